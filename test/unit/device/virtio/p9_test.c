// SPDX-License-Identifier: BSD-2-Clause
/* virtio-9p as a guest's driver sees it: identity, tag, messages through the ring, reset */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fake.h"

static char dir[64];

static int setup(void **s)
{
	(void)s;
	strcpy(dir, "/tmp/hk-p9.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}
static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *f)
{
	return remove(path);
}
static int teardown(void **s)
{
	(void)s;
	return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static char *opts(const char *more)
{
	static char text[400];

	snprintf(text, sizeof(text), "dir=%s%s", dir, more);
	return text;
}

static void ids_and_tag_are_those_of_the_original(void **s)
{
	static const unsigned flags[] = { 0, GVIO_LEGACY, GVIO_LEGACY | GVIO_INTX };
	struct fake *f = fake_new();
	char tag[257] = "", more[300], got[300];

	memset(tag, 't', 256);
	for (unsigned k = 0; k < 3; k++) {
		const char *want = k == 0 ? "plan9" : k == 1 ? "a-tag-of-more-than-six" : tag;

		snprintf(more, sizeof(more), "%s%s", k ? ",tag=" : "", k ? want : "");
		for (unsigned i = 0; i < ARRAY_LEN(flags); i++) {
			struct dev *d = fake_dev(f, "virtio-9p", 4, opts(more), NULL);
			struct gvio *g;

			assert_non_null(d);
			assert_int_equal(fake_cfg_rd(f, d, 0, 4), 0x10091af4);
			assert_int_equal(fake_cfg_rd(f, d, 8, 4) >> 16, 0xff00);
			assert_int_equal(fake_cfg_rd(f, d, 0x2c, 4), 0x00091af4);
			g = gvio_open(f, d, ~0ull, flags[i]);
			assert_int_equal(g->q[0].size, 256);
			assert_true(g->offered & 1);
			/* whole, also with MSI-X on, where the original lost all but six bytes */
			assert_int_equal(gvio_config(g, 0, 2), strlen(want));
			for (unsigned b = 0; b < strlen(want); b++)
				got[b] = (char)gvio_config(g, 2 + b, 1);
			got[strlen(want)] = '\0';
			assert_string_equal(got, want);
			gvio_close(g);
			fake_dev_free(d);
		}
	}
	fake_free(f);
	(void)s;
}

static u32 send(struct gvio *g, u8 type, const void *body, u32 len, u8 *reply, u32 room)
{
	u8 m[8300];

	store_le32(m, 7 + len);
	m[4] = type;
	store_le16(m + 5, 3);
	memcpy(m + 7, body, len);
	return gvio_request(g, 0, m, 7 + len, reply, room);
}

static void mount(struct gvio *g)
{
	u8 r[8300];

	assert_int_equal(send(g, 100, "\0\x20\0\0\x08\0" "9P2000.L", 14, r, sizeof(r)), 21);
	assert_memory_equal(r + 13, "9P2000.L", 8);
	assert_int_equal(send(g, 104, "\1\0\0\0\xff\xff\xff\xff\0\0\0\0\0\0\0\0", 16, r, sizeof(r)), 20);
	assert_int_equal(r[4], 105);
}

static void a_session_through_the_ring_reaches_the_directory(void **s)
{
	static const unsigned flags[] = { 0, GVIO_LEGACY | GVIO_INTX, GVIO_HIGH };
	char path[100];
	struct stat st;
	u8 r[8300];

	for (unsigned i = 0; i < ARRAY_LEN(flags); i++) {
		struct fake *f = fake_new();
		struct dev *d = fake_dev(f, "virtio-9p", 4, opts(",uid=1000"), NULL);
		struct gvio *g = gvio_open(f, d, ~0ull, flags[i]);

		mount(g);
		/* Tmkdir "d"; Twalk to it; Tgetattr; Tfsync of what is not open */
		assert_int_equal(send(g, 72, "\1\0\0\0\1\0d\xed\1\0\0\0\0\0\0", 15, r, sizeof(r)), 20);
		snprintf(path, sizeof(path), "%s/d", dir);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(send(g, 110, "\1\0\0\0\2\0\0\0\1\0\1\0d", 13, r, sizeof(r)), 22);
		assert_int_equal(send(g, 24, "\2\0\0\0\xff\7\0\0\0\0\0\0", 12, r, sizeof(r)), 160);
		assert_int_equal(load_le64(r + 7 + 8 + 5), st.st_ino);
		assert_int_equal(load_le32(r + 32), 1000);
		assert_int_equal(send(g, 50, "\2\0\0\0\0\0\0\0", 8, r, sizeof(r)), 11);
		assert_int_equal(load_le32(r + 7), EBADF);
		/* no room: used with nothing written */
		assert_int_equal(send(g, 24, "\2\0\0\0\xff\7\0\0\0\0\0\0", 12, r, 10), 0);
		assert_int_equal(send(g, 24, "\2\0\0\0\xff\7\0\0\0\0\0\0", 12, r, 20), 11);
		assert_int_equal(load_le32(r + 7), EMSGSIZE);
		/* a reset ends the session */
		gvio_close(g);
		g = gvio_open(f, d, ~0ull, flags[i]);
		assert_int_equal(send(g, 24, "\2\0\0\0\xff\7\0\0\0\0\0\0", 12, r, sizeof(r)), 11);
		assert_int_equal(load_le32(r + 7), EBADF);
		mount(g);
		gvio_close(g);
		fake_dev_free(d);
		fake_free(f);
		rmdir(path);
	}
	(void)s;
}

static void a_reset_with_requests_on_their_way_is_clean(void **s)
{
	struct fake *f = fake_new();
	struct dev *d = fake_dev(f, "virtio-9p", 4, opts(""), NULL);
	u8 r[8300], m[15];

	for (unsigned round = 0; round < 20; round++) {
		struct gvio *g = gvio_open(f, d, ~0ull, 0);
		u64 mark = f->alloc_at;

		mount(g);
		/* Tlcreate "f" as fid 1, then fsyncs, which workers answer, in flight */
		assert_int_equal(send(g, 14, "\1\0\0\0\1\0f\2\0\0\0\x80\1\0\0\0\0\0\0", 19, r, sizeof(r)), 24);
		for (unsigned i = 0; i < 30; i++) {
			gpa_t at = fake_alloc(f, 64, 64);
			struct gseg seg[2] = { { at, 15, false }, { at + 32, 11, true } };

			store_le32(m, 15);
			m[4] = 50;
			store_le16(m + 5, (u16)i);
			store_le32(m + 7, 1);
			store_le32(m + 11, 0);
			memcpy(fake_ptr(f, at, 15), m, 15);
			assert_true(gvq_add(g, 0, seg, 2) >= 0);
		}
		gvio_kick(g, 0);
		gvio_set_status(g, 0);
		fake_step(f);
		gvio_close(g);
		fake_release(f, mark);
	}
	fake_dev_free(d);
	fake_free(f);
	(void)s;
}

static void options_are_checked(void **s)
{
	static const struct { const char *text, *words; } bad[] = {
		{ "", "want one of" },
		{ "tag=x", "want one of" },
		{ "path=/x,port=5", "want one of" },
		{ "dir=/tmp,path=/x", "want one of" },
		{ "dir=/nonexistent", "No such file" },
		{ "dir=/etc/passwd", "Not a directory" },
		{ "dir=/tmp,tag=", "a tag has 1 to 256" },
		{ "dir=/tmp,map=all", "want squash, none or xattr" },
		{ "dir=/tmp,uid=4294967295", "too large" },
		{ "dir=/tmp,colour=red", "unknown option" },
		{ "port=0", "1 to 65535" },
		{ "port=65536", "1 to 65535" },
		{ "port=x", "a number" },
	};
	struct fake *f = fake_new();
	struct hk_err err;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		memset(&err, 0, sizeof(err));
		assert_null(fake_dev(f, "virtio-9p", 4, bad[i].text, &err));
		if (!strstr(err.text, bad[i].words))
			fail_msg("\"%s\" says: %s", bad[i].text, err.text);
	}
	struct dev *d = fake_dev(f, "virtio-9p", 4, "path=/nonexistent/socket,tag=t", &err);

	assert_non_null(d); /* the server may come later */
	fake_dev_free(d);
	d = fake_dev(f, "virtio-9p", 4, opts(",ro,map=none,disable-legacy"), &err);
	assert_non_null(d);
	fake_dev_free(d);
	fake_free(f);
	(void)s;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_and_tag_are_those_of_the_original),
		cmocka_unit_test(a_session_through_the_ring_reaches_the_directory),
		cmocka_unit_test(a_reset_with_requests_on_their_way_is_clean),
		cmocka_unit_test(options_are_checked),
	};

	return cmocka_run_group_tests_name("virtio/p9", tests, setup, teardown);
}
