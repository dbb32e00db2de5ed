// SPDX-License-Identifier: BSD-2-Clause
/* virtio-balloon: what the guest names is given back and reads as zeros, nothing else is */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/mman.h>

#include "lib/fake.h"

#define STATS BIT64(1)
#define OOM BIT64(2)
#define POISON BIT64(4)
#define REPORTING BIT64(5)
#define AREA 0x800000ull
#define PAGES 64u

struct rig {
	struct fake *f;
	struct dev *d;
	struct gvio *g;
};

static struct rig *begin(const char *opts, u64 want, unsigned flags)
{
	struct rig *r = calloc(1, sizeof(*r));

	r->f = fake_new();
	r->d = fake_dev(r->f, "virtio-balloon", 5, opts, NULL);
	assert_non_null(r->d);
	r->g = gvio_open(r->f, r->d, want, flags);
	memset(fake_ptr(r->f, AREA, PAGES * 4096), 0xaa, PAGES * 4096);
	memset(r->f->wrote_map, 0, (FAKE_LOW_BYTES + FAKE_HIGH_BYTES) / 4096);
	return r;
}

static void end(struct rig *r)
{
	gvio_close(r->g);
	fake_dev_free(r->d);
	fake_free(r->f);
	free(r);
}

static bool given_back(struct rig *r, unsigned page)
{
	u8 *p = fake_ptr(r->f, AREA + page * 4096, 4096);
	bool told = r->f->wrote_map[(AREA >> 12) + page], zero = p[0] == 0 && p[4095] == 0;

	assert_int_equal(told, zero);
	return zero;
}

static struct hk_balloon_info info(struct rig *r)
{
	struct hk_balloon_info i = { .size = sizeof(i) };

	assert_int_equal(r->d->cls->control(r->d, DEV_BALLOON_INFO, &i), 0);
	fake_step(r->f);
	return i;
}

static void pages_that_are_named_are_given_back(void **s)
{
	static const unsigned flags[] = { 0, GVIO_LEGACY };
	static const u8 page[] = { 3, 4, 5, 9, 8, 7, 30, 3, 20 };

	for (unsigned k = 0; k < 2; k++) {
		struct rig *r = begin(NULL, ~0ull, flags[k]);
		le32 pfn[ARRAY_LEN(page) + 2];
		u64 mask = 0;

		for (unsigned i = 0; i < ARRAY_LEN(page); i++) {
			pfn[i] = le32_of((u32)(AREA >> 12) + page[i]);
			mask |= BIT64(page[i]);
		}
		/* outside RAM: nothing happens */
		pfn[ARRAY_LEN(page)] = le32_of(0xffffffff);
		pfn[ARRAY_LEN(page) + 1] = le32_of(0xc0000);
		gvio_request(r->g, 0, pfn, sizeof(pfn), NULL, 0);
		for (unsigned i = 0; i < PAGES; i++)
			assert_int_equal(given_back(r, i), mask >> i & 1);
		assert_int_equal(info(r).given_back_bytes, 9 * 4096); /* 3 twice */
		/* deflated pages simply come back */
		gvio_request(r->g, 1, pfn, sizeof(pfn[0]), NULL, 0);
		assert_int_equal(gvio_status(r->g) & VIO_S_NEEDS_RESET, 0);
		end(r);
	}
	(void)s;
}

static void the_host_sees_the_memory_come_back(void **s)
{
	struct rig *r = begin(NULL, ~0ull, 0);
	le32 pfn[PAGES];
	u8 in_core[PAGES];
	u8 *p = fake_ptr(r->f, AREA, PAGES * 4096);
	unsigned n = 0;

	for (unsigned i = 0; i < PAGES; i++)
		pfn[i] = le32_of((u32)(AREA >> 12) + i);
	gvio_request(r->g, 0, pfn, sizeof(pfn), NULL, 0);
	assert_int_equal(mincore(p, PAGES * 4096, in_core), 0);
	for (unsigned i = 0; i < PAGES; i++)
		n += in_core[i] & 1;
	assert_int_equal(n, 0);
	end(r);
	(void)s;
}

static void free_ranges_that_are_reported_are_given_back(void **s)
{
	/* the reporting queue follows the statistics queue if there is one */
	for (unsigned with_stats = 0; with_stats < 2; with_stats++) {
		struct rig *r = begin(NULL, REPORTING | (with_stats ? STATS : 0), 0);
		struct gseg seg[3] = {
			{ AREA + 4096, 2 * 4096, true },
			{ AREA + 10 * 4096 + 512, 2 * 4096, true }, /* one whole page in it */
			{ AREA + 20 * 4096 + 1, 4094, true },	   /* none */
		};

		gvq_add(r->g, 2 + with_stats, seg, 3);
		gvio_kick_if_wanted(r->g, 2 + with_stats);
		fake_step(r->f);
		assert_true(gvq_get(r->g, 2 + with_stats, NULL) >= 0);
		for (unsigned i = 0; i < PAGES; i++)
			assert_int_equal(given_back(r, i), i == 1 || i == 2 || i == 11);
		end(r);
	}
	(void)s;
}

static void poisoned_free_pages_stay(void **s)
{
	struct rig *r = begin(NULL, REPORTING | POISON, 0);
	struct gseg seg = { AREA, 4096, true };

	gvio_config_write(r->g, 12, 0xaaaaaaaa, 4);
	gvq_add(r->g, 2, &seg, 1);
	gvio_kick_if_wanted(r->g, 2);
	fake_step(r->f);
	assert_true(gvq_get(r->g, 2, NULL) >= 0);
	assert_false(given_back(r, 0));
	gvio_config_write(r->g, 12, 0, 4);
	gvq_add(r->g, 2, &seg, 1);
	gvio_kick_if_wanted(r->g, 2);
	fake_step(r->f);
	assert_true(given_back(r, 0));
	end(r);
	(void)s;
}

static void the_target_reaches_the_guest_and_its_answer_the_host(void **s)
{
	struct rig *r = begin("size=4M", ~0ull, 0);
	u64 bytes = 8 << 20;

	assert_int_equal(gvio_config(r->g, 0, 4), 1024);
	gvio_irqs(r->g, GVIO_CONFIG_IRQ);
	assert_int_equal(r->d->cls->control(r->d, DEV_BALLOON_SET, &bytes), 0);
	assert_int_equal(gvio_irqs(r->g, GVIO_CONFIG_IRQ), 1);
	assert_int_equal(gvio_config(r->g, 0, 4), 2048);
	gvio_config_write(r->g, 4, 1000, 4);
	assert_int_equal(info(r).target_bytes, 8 << 20);
	assert_int_equal(info(r).actual_bytes, 1000 * 4096);
	/* Linux's legacy driver writes bytes */
	for (unsigned i = 0; i < 4; i++)
		gvio_config_write(r->g, 4 + i, 0x00010203 >> 8 * i & 255, 1);
	assert_int_equal(info(r).actual_bytes, 0x00010203ull * 4096);
	/* what only the host may change */
	gvio_config_write(r->g, 0, 7, 4);
	assert_int_equal(gvio_config(r->g, 0, 4), 2048);
	/* more than there is */
	bytes = 1ull << 60;
	assert_int_equal(r->d->cls->control(r->d, DEV_BALLOON_SET, &bytes), 0);
	assert_int_equal(gvio_config(r->g, 0, 4), (FAKE_LOW_BYTES + FAKE_HIGH_BYTES) >> 12);
	/* a new driver begins empty */
	gvio_set_status(r->g, 0);
	assert_int_equal(info(r).actual_bytes, 0);
	end(r);
	(void)s;
}

static void statistics_come_when_asked_for(void **s)
{
	static const struct { u16 tag; u64 val; } stat[] = {
		{ 4, 111 << 20 }, { 5, 222 << 20 }, { 99, 5 }, { 7, 333 },
	};
	struct rig *r = begin(NULL, STATS | BIT64(VIO_F_EVENT_IDX), 0);
	u8 buf[sizeof(stat[0]) * 4 + 3] = { 0 };
	struct gseg seg = { 0, 4 * 10 + 3, false };

	assert_true(info(r).age_ms == UINT64_MAX);
	assert_true(info(r).free_bytes == UINT64_MAX);
	for (unsigned i = 0; i < 4; i++) {
		store_le16(buf + i * 10, stat[i].tag);
		store_le64(buf + i * 10 + 2, stat[i].val);
	}
	seg.gpa = fake_alloc(r->f, sizeof(buf), 8);
	memcpy(fake_ptr(r->f, seg.gpa, seg.len), buf, seg.len);
	gvq_add(r->g, 2, &seg, 1);
	gvio_kick_if_wanted(r->g, 2);
	fake_step(r->f);
	/* kept until somebody wants newer ones */
	assert_int_equal(gvq_get(r->g, 2, NULL), -1);
	fake_advance(r->f, 5000000000ull);
	assert_int_equal(info(r).free_bytes, 111 << 20);
	assert_int_equal(gvio_irqs(r->g, 2), 1);
	assert_true(gvq_get(r->g, 2, NULL) >= 0);
	assert_int_equal(info(r).total_bytes, 222 << 20);
	assert_int_equal(info(r).cache_bytes, 333);
	assert_true(info(r).swap_in_bytes == UINT64_MAX);
	assert_int_equal(info(r).age_ms, 5000);
	assert_int_equal(gvq_get(r->g, 2, NULL), -1); /* it has none to give back */
	gvq_add(r->g, 2, &seg, 1);
	gvio_kick_if_wanted(r->g, 2);
	fake_step(r->f);
	assert_int_equal(info(r).age_ms, 0);
	fake_step(r->f);
	assert_true(gvq_get(r->g, 2, NULL) >= 0);
	/* reset with the buffer in our hands */
	gvq_add(r->g, 2, &seg, 1);
	gvio_kick_if_wanted(r->g, 2);
	fake_step(r->f);
	gvio_set_status(r->g, 0);
	info(r);
	end(r);
	(void)s;
}

static void options_are_checked(void **s)
{
	static const char *const bad[] = { "size=32M", "size=x", "reporting=perhaps", "what" };
	struct fake *f = fake_new();
	struct hk_err err;
	struct dev *d;

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		assert_null(fake_dev(f, "virtio-balloon", 5, bad[i], &err));
		assert_memory_equal(err.text, "virtio-balloon: ", 16);
	}
	d = fake_dev(f, "virtio-balloon", 5, "reporting=off,disable-legacy", NULL);
	assert_non_null(d);
	struct gvio *g = gvio_open(f, d, ~0ull, 0);

	assert_int_equal(g->features & (REPORTING | POISON | STATS | OOM), STATS | OOM);
	gvio_close(g);
	fake_dev_free(d);
	fake_free(f);
	(void)s;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_that_are_named_are_given_back),
		cmocka_unit_test(the_host_sees_the_memory_come_back),
		cmocka_unit_test(free_ranges_that_are_reported_are_given_back),
		cmocka_unit_test(poisoned_free_pages_stay),
		cmocka_unit_test(the_target_reaches_the_guest_and_its_answer_the_host),
		cmocka_unit_test(statistics_come_when_asked_for),
		cmocka_unit_test(options_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
