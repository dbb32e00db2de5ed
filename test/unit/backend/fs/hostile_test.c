// SPDX-License-Identifier: BSD-2-Clause
/* Messages that no honest client sends: every length, every size field, random bytes */
#include "client.h"

static void each_message_cut_short_is_refused(void **state)
{
	struct client *c = *state;
	static const struct { u8 type; const char *fmt; unsigned fixed; } all[] = {
		{ P9_TSTATFS, "d", 4 },	  { P9_TLOPEN, "dd", 8 },      { P9_TLCREATE, "dsddd", 18 },
		{ P9_TSYMLINK, "dssd", 12 }, { P9_TMKNOD, "dsdddd", 22 }, { P9_TRENAME, "dds", 10 },
		{ P9_TREADLINK, "d", 4 }, { P9_TGETATTR, "dq", 12 },   { P9_TSETATTR, "dddddqqqqq", 60 },
		{ P9_TXATTRWALK, "dds", 10 }, { P9_TXATTRCREATE, "dsqd", 18 }, { P9_TREADDIR, "dqd", 16 },
		{ P9_TFSYNC, "dd", 8 },	  { P9_TLOCK, "dbdqqds", 31 }, { P9_TGETLOCK, "dbqqds", 27 },
		{ P9_TLINK, "dds", 10 },  { P9_TMKDIR, "dsdd", 14 },   { P9_TRENAMEAT, "dsds", 12 },
		{ P9_TUNLINKAT, "dsd", 10 }, { P9_TVERSION, "ds", 6 }, { P9_TATTACH, "ddssd", 16 },
		{ P9_TFLUSH, "w", 2 },	  { P9_TWALK, "ddw", 10 },     { P9_TREAD, "dqd", 16 },
		{ P9_TWRITE, "dqd", 16 }, { P9_TCLUNK, "d", 4 },       { P9_TREMOVE, "d", 4 },
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		for (u32 n = 0; n < all[i].fixed; n++) {
			memset(c->req, 0, 128);
			c->len = 7 + n;
			store_le32(c->req, 7 + n);
			c->req[4] = all[i].type;
			store_le32(c->req + 7, ROOT);
			/* short by a byte or more: EPROTO; all that may come before is a bad fid or name */
			int rc = exchange(c);

			if (rc >= 0)
				fail_msg("type %u of %u bytes was answered", all[i].type, n);
			assert_true(rc == -EPROTO || rc == -EINVAL || rc == -EBADF || rc == -ENOENT);
			if (all[i].type == P9_TCLUNK || all[i].type == P9_TREMOVE || all[i].type == P9_TVERSION)
				begin(c);
		}
	}
}

static void size_fields_and_lengths_that_lie_are_refused(void **state)
{
	struct client *c = *state;
	u8 *big = malloc(20000);

	/* shorter than a head, longer than the message, longer than any request */
	for (u32 size = 0; size < 7; size++) {
		call(c, P9_TGETATTR, "dq", ROOT, 0ull);
		store_le32(c->req, size);
		assert_int_equal(exchange(c), -EPROTO);
	}
	call(c, P9_TGETATTR, "dq", ROOT, 0ull);
	store_le32(c->req, 1000);
	assert_int_equal(exchange(c), -EPROTO);
	store_le32(c->req, 0xffffffff);
	assert_int_equal(exchange(c), -EPROTO);
	store_le16(c->req + 5, 0); /* a tag that is not there */
	c->len = 3;
	assert_int_equal(exchange(c), -EPROTO);
	c->len = 0;
	assert_int_equal(exchange(c), -EPROTO);
	memset(big, 'a', 20000);
	assert_int_equal(call(c, P9_TSYMLINK, "dsSd", ROOT, "l", big, (size_t)20000, 0u), -EMSGSIZE);
	/* bytes behind the message are nobody's */
	call(c, P9_TMKDIR, "dsdd", ROOT, "d", 0755u, 0u);
	memcpy(c->req + c->len, "garbage", 7);
	c->len += 7;
	assert_int_equal(exchange(c), -EEXIST);
	/* Twrite of old Linux: the size field is wrong, the count is right */
	assert_int_equal(c_walk(c, ROOT, 2, ""), 0);
	assert_int_equal(c_create(c, 2, "f", O_RDWR, 0644), 0);
	assert_int_equal(c_write(c, 2, 0, "0123456789", 10), 10);
	store_le32(c->req, 23);
	assert_int_equal(exchange(c), 0);
	assert_int_equal(take(c, 4), 10);
	/* but more data than there is, is not there */
	store_le32(c->req + 19, 11);
	assert_int_equal(exchange(c), -EPROTO);
	store_le32(c->req + 19, 0xffffffff);
	assert_int_equal(exchange(c), -EPROTO);
	/* offsets */
	assert_int_equal(c_write(c, 2, ~0ull, "x", 1), -EINVAL);
	assert_int_equal(c_read(c, 2, ~0ull, 1), -EINVAL);
	assert_int_equal(c_read(c, 2, 1ull << 62, 1), 0);
	assert_int_equal(c_walk(c, ROOT, 3, ""), 0);
	assert_int_equal(c_open(c, 3, 0), 0);
	int rc = call(c, P9_TREADDIR, "dqd", 3u, ~0ull, 1000u);

	assert_true(rc <= 0);
	/* unknown kinds of message, replies among them */
	for (unsigned t = 0; t < 256; t++)
		if (t < 8 || t == 9 || t == 101 || t > 122 || t == 200)
			assert_int_equal(call(c, (u8)t, "d", ROOT), -EOPNOTSUPP);
	free(big);
}

/* Valid shapes with wild fields: the sanitizers watch */
static void random_messages_do_no_harm(void **state)
{
	static const u8 types[] = { 8, 12, 14, 16, 18, 20, 22, 24, 26, 30, 32, 40, 50, 52, 54, 70, 72,
				    74, 76, 104, 108, 110, 116, 118, 120, 122 };
	struct client *c = *state;
	u32 x = 12345;
	struct stat st;

	for (unsigned i = 0; i < 20000; i++) {
		size_t n;

		x = x * 1664525u + 1013904223u;
		c->req[4] = types[(x >> 16) % sizeof(types)];
		n = 7 + (x >> 8) % 64;
		for (size_t k = 7; k < n; k++) {
			x = x * 1664525u + 1013904223u;
			c->req[k] = x >> 28 < 9 ? 0 : (u8)(x >> 20 & (x >> 28 < 14 ? 7 : 255));
		}
		c->len = n;
		store_le32(c->req, (u32)n);
		store_le16(c->req + 5, 1);
		c->split = x >> 30 ? 0 : 5;
		assert_true(exchange_room(c, 7 + (x >> 12) % 2000) <= 1);
		if (!(i % 500)) {
			c->split = 0;
			begin(c);
		}
	}
	assert_int_equal(stat(c->outside, &st), 0);
	assert_int_equal(st.st_nlink, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_message_cut_short_is_refused),
		TEST(size_fields_and_lengths_that_lie_are_refused),
		TEST(random_messages_do_no_harm),
	};

	return cmocka_run_group_tests_name("fs/hostile", tests, NULL, NULL);
}
