// SPDX-License-Identifier: BSD-2-Clause
/* virtio-blk as a driver uses and misuses it (virtio 1.2, 5.2) */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/fake.h"

#define SECTORS 4096u
#define EVENT_IDX BIT64(29)
#define F(n) BIT64(n)
#define USUAL (F(1) | F(2) | F(6) | F(9) | F(10) | F(13) | F(14) | F(28) | EVENT_IDX)

enum { IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8, DISCARD = 11, ZEROES = 13 };
enum { OK = 0, IOERR = 1, UNSUPP = 2 };

struct rig {
	struct fake *f;
	struct dev *d;
	struct gvio *g;
	char path[64];
	int fd;
};

static u8 pattern(u64 at)
{
	return (u8)(at ^ at >> 8 ^ at >> 16 ^ 0xa5);
}

static struct rig *rig_open(const char *opts, u64 want, unsigned flags)
{
	struct rig *r = calloc(1, sizeof(*r));
	char all[256];
	u8 buf[512];

	assert_non_null(r);
	snprintf(r->path, sizeof(r->path), "/tmp/hk-vblk-XXXXXX");
	r->fd = mkstemp(r->path);
	assert_true(r->fd >= 0);
	for (u64 s = 0; s < SECTORS; s++) {
		for (unsigned i = 0; i < 512; i++)
			buf[i] = pattern(s * 512 + i);
		assert_int_equal(pwrite(r->fd, buf, 512, (off_t)s * 512), 512);
	}
	r->f = fake_new();
	snprintf(all, sizeof(all), "%s%s", r->path, opts);
	r->d = fake_dev(r->f, "virtio-blk", 4, all, NULL);
	assert_non_null(r->d);
	r->g = gvio_open(r->f, r->d, want, flags);
	return r;
}

static void rig_close(struct rig *r)
{
	gvio_close(r->g);
	fake_dev_free(r->d);
	fake_free(r->f);
	close(r->fd);
	unlink(r->path);
	free(r);
}

static int setup(void **state)
{
	*state = rig_open("", USUAL, 0);
	return 0;
}

static int teardown(void **state)
{
	rig_close(*state);
	return 0;
}

static void header(u8 *h, u32 type, u64 sector)
{
	store_le32(h, type);
	store_le32(h + 4, 0);
	store_le64(h + 8, sector);
}

/* One request of any kind, header and status in descriptors of their own. Return: status */
static u8 request(struct gvio *g, u32 type, u64 sector, void *buf, u32 len, bool in)
{
	u8 out[16 + 70000], back[70001] = { 0 };
	u32 n;

	assert_true(len <= 70000);
	header(out, type, sector);
	if (!in && len)
		memcpy(out + 16, buf, len);
	back[in ? len : 0] = 0xee;
	n = gvio_request(g, 0, out, 16 + (in ? 0 : len), back, 1 + (in ? len : 0));
	assert_int_equal(n, 1 + (in ? len : 0));
	if (in && len)
		memcpy(buf, back, len);
	return back[in ? len : 0];
}

static void configuration_tells_size_and_limits(void **state)
{
	struct rig *r = *state;
	struct gvio *g = r->g;

	assert_int_equal(fake_cfg_rd(r->f, r->d, 0, 4), 0x10011af4);
	assert_int_equal(gvio_config(g, 0, 4), SECTORS);
	assert_int_equal(gvio_config(g, 4, 4), 0);
	assert_int_equal(gvio_config(g, 12, 4), 254);
	assert_true(gvio_config(g, 8, 4) * 254ull <= 64 << 20);
	assert_int_equal(gvio_config(g, 20, 4), 512);
	assert_int_equal(gvio_config(g, 24, 1), 3);
	assert_int_equal(gvio_config(g, 32, 1), 1);
	assert_int_equal(gvio_config(g, 34, 2), 1);
	assert_true(g->offered & F(14));
	assert_false(g->offered & F(5));
	assert_false(g->offered & F(12));
	assert_int_equal(gvio_queue_size(g, 0), 256);
}

static void data_goes_both_ways(struct rig *r)
{
	static u8 buf[65536], disk[65536];

	assert_int_equal(request(r->g, IN, 7, buf, sizeof(buf), true), OK);
	for (unsigned i = 0; i < sizeof(buf); i++)
		assert_int_equal(buf[i], pattern(7 * 512 + i));
	for (unsigned i = 0; i < sizeof(buf); i++)
		buf[i] = (u8)(i * 7);
	assert_int_equal(request(r->g, OUT, 1000, buf, sizeof(buf), false), OK);
	assert_int_equal(pread(r->fd, disk, sizeof(disk), 1000 * 512), sizeof(disk));
	assert_memory_equal(disk, buf, sizeof(buf));
	assert_int_equal(request(r->g, FLUSH, 0, NULL, 0, false), OK);
}

static void modern_and_legacy_drivers_read_and_write(void **state)
{
	static const unsigned how[] = { 0, GVIO_INTX, GVIO_HIGH, GVIO_LEGACY,
					GVIO_LEGACY | GVIO_INTX };

	for (unsigned i = 0; i < ARRAY_LEN(how); i++) {
		struct rig *r = rig_open("", USUAL, how[i]);

		data_goes_both_ways(r);
		rig_close(r);
	}
}

static void chains_may_be_cut_anywhere(void **state)
{
	static const u32 cuts[] = { 1, 5, 15, 16, 17, 100, 511, 512, 513, 1024 };
	struct rig *r = *state;
	u8 h[16], *p;
	gpa_t out = fake_alloc(r->f, 4096, 4096), in = fake_alloc(r->f, 4096, 4096);
	u32 written;

	for (unsigned c = 0; c < ARRAY_LEN(cuts); c++) {
		for (unsigned type = IN; type <= OUT; type++) {
			u32 out_len = 16 + (type == OUT ? 1024 : 0);
			u32 in_len = 1 + (type == IN ? 1024 : 0);
			struct gseg seg[256];
			unsigned n = 0;
			u8 disk[1024];

			if ((out_len + in_len) / cuts[c] + 2 > ARRAY_LEN(seg))
				continue; /* more pieces than the ring has */
			header(h, type, 50);
			p = fake_ptr(r->f, out, 4096);
			memcpy(p, h, 16);
			for (unsigned i = 0; i < 1024; i++)
				p[16 + i] = (u8)(pattern(50 * 512 + i) + c);
			for (u32 at = 0; at < out_len; at += cuts[c])
				seg[n++] = (struct gseg){ out + at, MIN(cuts[c], out_len - at), false };
			for (u32 at = 0; at < in_len; at += cuts[c])
				seg[n++] = (struct gseg){ in + at, MIN(cuts[c], in_len - at), true };
			memset(fake_ptr(r->f, in, 4096), 0xee, 4096);
			assert_true(gvq_add(r->g, 0, seg, n) >= 0);
			gvio_kick(r->g, 0);
			for (int head = -1; head < 0; fake_step(r->f))
				head = gvq_get(r->g, 0, &written);
			assert_int_equal(written, in_len);
			p = fake_ptr(r->f, in, 4096);
			assert_int_equal(p[in_len - 1], OK);
			if (type == IN) {
				/* what the round before has written */
				pread(r->fd, disk, 1024, 50 * 512);
				assert_memory_equal(p, disk, 1024);
			} else {
				pread(r->fd, disk, 1024, 50 * 512);
				assert_int_equal(disk[77], (u8)(pattern(50 * 512 + 77) + c));
			}
		}
	}
}

static void the_id_is_hyperkits_or_the_one_given(void **state)
{
	struct rig *r = *state, *s = rig_open(",serial=0123456789abcdefghij", USUAL, 0);
	char id[21] = { 0 }, part[6] = { 0 };

	assert_int_equal(request(r->g, GET_ID, 0, id, 20, true), OK);
	assert_memory_equal(id, "BHYVE-", 6);
	assert_int_equal(strlen(id), 20);
	assert_int_equal(request(s->g, GET_ID, 0, id, 20, true), OK);
	assert_string_equal(id, "0123456789abcdefghij");
	assert_int_equal(request(s->g, GET_ID, 0, part, 5, true), OK);
	assert_string_equal(part, "01234");
	rig_close(s);
}

static u8 range(struct gvio *g, u32 type, u64 sector, u32 n, u32 flags)
{
	u8 b[16];

	store_le64(b, sector);
	store_le32(b + 8, n);
	store_le32(b + 12, flags);
	return request(g, type, 0, b, 16, false);
}

static bool is_zero(struct rig *r, u64 sector)
{
	u8 buf[512];

	assert_int_equal(pread(r->fd, buf, 512, (off_t)sector * 512), 512);
	for (unsigned i = 0; i < 512; i++)
		if (buf[i])
			return false;
	return true;
}

static void discard_and_write_zeroes_do_what_they_say(void **state)
{
	struct rig *r = *state;
	u8 two[32];

	assert_int_equal(range(r->g, ZEROES, 10, 3, 0), OK);
	assert_int_equal(range(r->g, ZEROES, 20, 300, 1), OK);
	for (u64 s = 9; s < 325; s++)
		assert_int_equal(is_zero(r, s), (s >= 10 && s < 13) || (s >= 20 && s < 320));
	if (!(r->g->offered & F(13)))
		skip(); /* the file system below /tmp punches no holes */
	assert_int_equal(range(r->g, DISCARD, 1000, 64, 0), OK);
	assert_true(is_zero(r, 1000) && is_zero(r, 1063));
	assert_false(is_zero(r, 1064));
	/* several ranges in one request */
	store_le64(two, 2000);
	store_le32(two + 8, 8);
	store_le32(two + 12, 0);
	store_le64(two + 16, 2100);
	store_le32(two + 24, 8);
	store_le32(two + 28, 0);
	assert_int_equal(request(r->g, DISCARD, 0, two, 32, false), OK);
	assert_true(is_zero(r, 2000) && is_zero(r, 2107));
	/* the second is wrong: nothing is done of the first either */
	store_le64(two, 3000);
	store_le64(two + 16, SECTORS);
	assert_int_equal(request(r->g, DISCARD, 0, two, 32, false), IOERR);
	assert_false(is_zero(r, 3000));
}

static void wrong_requests_get_a_status(void **state)
{
	struct rig *r = *state;
	u8 buf[1024] = { 0 };
	static const u64 beyond[] = { SECTORS, SECTORS - 1, ~0ull, ~0ull / 512, 1ull << 55,
				      (1ull << 55) + 1 };

	for (unsigned i = 0; i < ARRAY_LEN(beyond); i++) {
		assert_int_equal(request(r->g, IN, beyond[i], buf, 1024, true), IOERR);
		assert_int_equal(request(r->g, OUT, beyond[i], buf, 1024, false), IOERR);
		assert_int_equal(range(r->g, ZEROES, beyond[i], 2, 0), IOERR);
	}
	assert_int_equal(lseek(r->fd, 0, SEEK_END), SECTORS * 512);
	assert_int_equal(request(r->g, IN, 0, buf, 511, true), IOERR);
	assert_int_equal(request(r->g, OUT, 0, buf, 700, false), IOERR);
	assert_int_equal(request(r->g, IN, 0, NULL, 0, true), OK);
	for (u32 type = 2; type < 40; type++)
		if (type != FLUSH && type != 5 && type != GET_ID && type != DISCARD && type != ZEROES)
			assert_int_equal(request(r->g, type, 0, NULL, 0, false), UNSUPP);
	/* the barrier bit of old drivers */
	assert_int_equal(request(r->g, 0x80000000u | IN, 0, buf, 512, true), OK);
	assert_int_equal(request(r->g, ZEROES, 0, buf, 15, false), IOERR);
	assert_int_equal(request(r->g, ZEROES, 0, NULL, 0, false), IOERR);
	assert_int_equal(request(r->g, ZEROES, 0, buf, 17 * 16, false), IOERR);
	assert_int_equal(range(r->g, ZEROES, 0, 0, 0), IOERR);
	assert_int_equal(range(r->g, ZEROES, 0, 1, 2), UNSUPP);
	assert_int_equal(range(r->g, DISCARD, 0, 1, 1), UNSUPP);
	assert_int_equal(gvio_status(r->g) & VIO_S_NEEDS_RESET, 0);
}

static void a_request_without_header_or_status_needs_a_reset(void **state)
{
	static const struct { u32 out, in; } bad[] = { { 15, 1 }, { 0, 1 }, { 16, 0 }, { 100, 0 } };

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		struct rig *r = rig_open("", USUAL, 0);
		struct gseg seg[2];
		unsigned n = 0;

		if (bad[i].out)
			seg[n++] = (struct gseg){ fake_alloc(r->f, 512, 512), bad[i].out, false };
		if (bad[i].in)
			seg[n++] = (struct gseg){ fake_alloc(r->f, 512, 512), bad[i].in, true };
		gvq_add(r->g, 0, seg, n);
		gvio_kick(r->g, 0);
		fake_step(r->f);
		assert_int_equal(gvio_status(r->g) & VIO_S_NEEDS_RESET, VIO_S_NEEDS_RESET);
		gvio_close(r->g);
		r->g = gvio_open(r->f, r->d, USUAL, 0);
		data_goes_both_ways(r);
		rig_close(r);
	}
}

static void a_read_only_disk_says_so_and_refuses(void **state)
{
	struct rig *r = rig_open(",ro", USUAL, 0);
	u8 buf[512] = { 0 };

	assert_true(r->g->offered & F(5));
	assert_false(r->g->offered & (F(13) | F(14)));
	assert_int_equal(request(r->g, OUT, 0, buf, 512, false), IOERR);
	assert_int_equal(range(r->g, ZEROES, 0, 1, 0), IOERR);
	assert_int_equal(request(r->g, IN, 0, buf, 512, true), OK);
	assert_int_equal(buf[3], pattern(3));
	assert_int_equal(request(r->g, FLUSH, 0, NULL, 0, false), OK);
	rig_close(r);
}

static void several_queues_serve_at_once(void **state)
{
	struct rig *r = rig_open(",num-queues=4,queue-size=64", USUAL | F(12), 0);
	u8 h[16];
	gpa_t at = fake_alloc(r->f, 4 * 32 * 4096, 4096);
	unsigned left = 4 * 32;
	u32 written;

	assert_true(r->g->offered & F(12));
	assert_int_equal(gvio_config(r->g, 34, 2), 4);
	assert_int_equal(gvio_queue_size(r->g, 3), 64);
	for (unsigned q = 0; q < 4; q++) {
		for (unsigned i = 0; i < 21; i++) {
			gpa_t a = at + (q * 32 + i) * 4096;
			struct gseg seg[3] = { { a, 16, false }, { a + 512, 512, true },
					       { a + 16, 1, true } };

			header(h, IN, q * 100 + i);
			memcpy(fake_ptr(r->f, a, 16), h, 16);
			*(u8 *)fake_ptr(r->f, a + 16, 1) = 0xee;
			assert_true(gvq_add(r->g, q, seg, 3) >= 0);
		}
	}
	left = 4 * 21;
	for (unsigned q = 0; q < 4; q++)
		gvio_kick(r->g, q);
	for (unsigned round = 0; left && round < 100000; round++) {
		loop_step(r->f->loop, 10);
		for (unsigned q = 0; q < 4; q++)
			while (gvq_get(r->g, q, &written) >= 0)
				left--;
	}
	assert_int_equal(left, 0);
	for (unsigned q = 0; q < 4; q++) {
		assert_true(gvio_irqs(r->g, q) >= 1);
		for (unsigned i = 0; i < 21; i++) {
			u8 *p = fake_ptr(r->f, at + (q * 32 + i) * 4096, 4096);

			assert_int_equal(p[16], OK);
			assert_int_equal(p[512 + 9], pattern((q * 100 + i) * 512 + 9));
		}
	}
	rig_close(r);
}

static void reset_waits_for_requests_in_flight(void **state)
{
	struct rig *r = *state;
	u8 h[16];
	gpa_t at = fake_alloc(r->f, 64 * 4096, 4096);

	for (unsigned round = 0; round < 4; round++) {
		u64 calls;

		for (unsigned i = 0; i < 40; i++) {
			gpa_t a = at + i * 4096;
			struct gseg seg[3] = { { a, 16, false }, { a + 512, 2048, true },
					       { a + 16, 1, true } };

			header(h, IN, i);
			memcpy(fake_ptr(r->f, a, 16), h, 16);
			gvq_add(r->g, 0, seg, 3);
		}
		gvio_kick(r->g, 0);
		loop_step(r->f->loop, 0);
		if (round & 1)
			r->d->cls->reset(r->d, DEV_RESET_WARM);
		else
			gvio_set_status(r->g, 0);
		calls = atomic_load(&r->f->wrote_calls);
		fake_step(r->f);
		assert_int_equal(atomic_load(&r->f->wrote_calls), calls);
		gvio_close(r->g);
		r->g = gvio_open(r->f, r->d, USUAL, 0);
		data_goes_both_ways(r);
	}
}

static void drivers_without_flush_get_safe_writes(void **state)
{
	/* They cannot ask for safety; we can only see that it works and that the mode is told */
	struct rig *r = rig_open("", F(11) | F(9), 0);

	data_goes_both_ways(r);
	assert_int_equal(gvio_config(r->g, 32, 1), 1);
	gvio_config_write(r->g, 32, 0, 1);
	fake_step(r->f);
	assert_int_equal(gvio_config(r->g, 32, 1), 0);
	data_goes_both_ways(r);
	/* read-only bytes stay */
	gvio_config_write(r->g, 0, 0, 4);
	assert_int_equal(gvio_config(r->g, 0, 4), SECTORS);
	gvio_set_status(r->g, 0);
	assert_int_equal(gvio_config(r->g, 32, 1), 1);
	rig_close(r);
	r = rig_open("", 0, GVIO_LEGACY);
	data_goes_both_ways(r);
	rig_close(r);
}

static bool config_told(void *arg)
{
	struct gvio *g = arg;

	return gvio_irqs(g, GVIO_CONFIG_IRQ);
}

static void a_new_size_is_told_and_limits_can_be_set(void **state)
{
	struct rig *r = *state;
	struct hk_disk_limits l = { .size = sizeof(l), .ops_per_s = 10, .burst_ops = 1 };
	struct dev_disk which = { .slot = 4, .bytes = 2 * SECTORS * 512, .limits = &l };
	struct dev_disk other = { .slot = 5, .bytes = 512 };
	u8 buf[512];

	gvio_irqs(r->g, GVIO_CONFIG_IRQ);
	assert_int_equal(request(r->g, IN, SECTORS, buf, 512, true), IOERR);
	assert_int_equal(r->d->cls->control(r->d, DEV_DISK_RESIZE, &other), -ENOTSUP);
	assert_int_equal(r->d->cls->control(r->d, DEV_DISK_RESIZE, &which), 0);
	assert_true(fake_wait(r->f, config_told, r->g, 5000));
	assert_int_equal(gvio_config(r->g, 0, 4), 2 * SECTORS);
	assert_int_equal(request(r->g, IN, 2 * SECTORS - 1, buf, 512, true), OK);
	assert_int_equal(buf[0], 0);
	assert_int_equal(lseek(r->fd, 0, SEEK_END), 2 * SECTORS * 512);
	which.bytes = 100 * 512;
	assert_int_equal(r->d->cls->control(r->d, DEV_DISK_RESIZE, &which), 0);
	assert_true(fake_wait(r->f, config_told, r->g, 5000));
	assert_int_equal(request(r->g, IN, 100, buf, 512, true), IOERR);
	assert_int_equal(r->d->cls->control(r->d, DEV_DISK_LIMIT, &which), 0);
	assert_int_equal(request(r->g, IN, 0, buf, 512, true), OK);
}

/* ---- the host fails ---- */

static char paused[256];
static unsigned pauses;

static void on_pause(void *m, const char *why)
{
	snprintf(paused, sizeof(paused), "%s", why);
	pauses++;
}

static bool was_paused(void *arg)
{
	return pauses;
}

static void limit_files(rlim_t bytes)
{
	struct rlimit rl;

	getrlimit(RLIMIT_FSIZE, &rl);
	rl.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &rl), 0);
}

static struct rig *rig_pausing(const char *opts)
{
	struct rig *r = calloc(1, sizeof(*r));
	char all[256];

	assert_non_null(r);
	signal(SIGXFSZ, SIG_IGN);
	snprintf(r->path, sizeof(r->path), "/tmp/hk-vblk-XXXXXX");
	r->fd = mkstemp(r->path);
	assert_true(r->fd >= 0);
	assert_int_equal(ftruncate(r->fd, SECTORS * 512), 0);
	r->f = fake_new();
	r->f->env.request_pause = on_pause;
	pauses = 0;
	snprintf(all, sizeof(all), "%s,aio=threads%s", r->path, opts);
	r->d = fake_dev(r->f, "virtio-blk", 4, all, NULL);
	assert_non_null(r->d);
	r->g = gvio_open(r->f, r->d, USUAL, 0);
	return r;
}

static void with_on_error_pause_a_failed_write_waits_and_is_tried_again(void **state)
{
	struct rig *r = rig_pausing(",on-error=pause");
	gpa_t a = fake_alloc(r->f, 4096, 4096);
	struct gseg seg[2] = { { a, 16 + 512, false }, { a + 1024, 1, true } };
	u8 *p = fake_ptr(r->f, a, 4096), disk[512];
	u32 written;
	int head = -1;

	header(p, OUT, 9);
	memset(p + 16, 0x77, 512);
	p[1024] = 0xee;
	limit_files(0);
	gvq_add(r->g, 0, seg, 2);
	gvio_kick(r->g, 0);
	assert_true(fake_wait(r->f, was_paused, NULL, 5000));
	assert_non_null(strstr(paused, "0:4.0"));
	assert_int_equal(gvq_get(r->g, 0, &written), -1);
	assert_int_equal(p[1024], 0xee);
	/* there is room again, and the VM runs again */
	limit_files(RLIM_INFINITY);
	for (unsigned i = 0; head < 0 && i < 1000; i++) {
		fake_advance(r->f, 100000000);
		loop_step(r->f->loop, 1);
		head = gvq_get(r->g, 0, &written);
	}
	assert_true(head >= 0);
	assert_int_equal(p[1024], OK);
	assert_int_equal(pread(r->fd, disk, 512, 9 * 512), 512);
	assert_int_equal(disk[511], 0x77);
	rig_close(r);
}

static void a_reset_ends_what_waits_for_the_host(void **state)
{
	struct rig *r = rig_pausing(",on-error=pause");
	gpa_t a = fake_alloc(r->f, 4096, 4096);
	struct gseg seg[2] = { { a, 16 + 512, false }, { a + 1024, 1, true } };

	header(fake_ptr(r->f, a, 16), OUT, 9);
	limit_files(0);
	gvq_add(r->g, 0, seg, 2);
	gvio_kick(r->g, 0);
	assert_true(fake_wait(r->f, was_paused, NULL, 5000));
	gvio_set_status(r->g, 0);
	assert_int_equal(gvio_status(r->g), 0);
	limit_files(RLIM_INFINITY);
	rig_close(r);
}

static void with_on_error_report_the_guest_sees_the_error(void **state)
{
	struct rig *r = rig_pausing("");
	u8 buf[512] = { 0 };

	limit_files(0);
	assert_int_equal(request(r->g, OUT, 1, buf, 512, false), IOERR);
	limit_files(RLIM_INFINITY);
	assert_int_equal(request(r->g, OUT, 1, buf, 512, false), OK);
	assert_int_equal(pauses, 0);
	rig_close(r);
}

static void impossible_options_are_refused(void **state)
{
	static const char *const bad[] = { ",num-queues=0", ",num-queues=65", ",num-queues=x",
					   ",num-queues", ",queue-size=3", ",queue-size=48",
					   ",queue-size=2048", ",bogus", ",sectorsize=300" };
	struct rig *r = *state;
	struct fake *f = fake_new();
	struct hk_err err;
	char all[128];

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		snprintf(all, sizeof(all), "%s%s,lock=off", r->path, bad[i]);
		if (fake_dev(f, "virtio-blk", 4, all, &err))
			fail_msg("%s was taken", bad[i]);
	}
	assert_null(fake_dev(f, "virtio-blk", 4, NULL, &err));
	assert_null(fake_dev(f, "virtio-blk", 4, r->path, &err)); /* locked by the other */
	fake_free(f);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(configuration_tells_size_and_limits),
		cmocka_unit_test(modern_and_legacy_drivers_read_and_write),
		TEST(chains_may_be_cut_anywhere),
		TEST(the_id_is_hyperkits_or_the_one_given),
		TEST(discard_and_write_zeroes_do_what_they_say),
		TEST(wrong_requests_get_a_status),
		cmocka_unit_test(a_request_without_header_or_status_needs_a_reset),
		cmocka_unit_test(a_read_only_disk_says_so_and_refuses),
		cmocka_unit_test(several_queues_serve_at_once),
		TEST(reset_waits_for_requests_in_flight),
		cmocka_unit_test(drivers_without_flush_get_safe_writes),
		TEST(a_new_size_is_told_and_limits_can_be_set),
		cmocka_unit_test(with_on_error_pause_a_failed_write_waits_and_is_tried_again),
		cmocka_unit_test(a_reset_ends_what_waits_for_the_host),
		cmocka_unit_test(with_on_error_report_the_guest_sees_the_error),
		TEST(impossible_options_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
