// SPDX-License-Identifier: BSD-2-Clause
/* Clocks and the small arithmetic of base/ */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/range.h"
#include "base/wire.h"

static void the_host_clock_never_goes_back(void **s)
{
	struct clock c;
	u64 last;

	clock_init_host(&c);
	last = clock_ns(&c);
	for (int i = 0; i < 1000; i++) {
		u64 now = clock_ns(&c);

		assert_true(now >= last);
		last = now;
	}
	/* Later than 2020 */
	assert_true(c.wall_ns(&c) > 1577836800ll * (s64)NS_PER_SEC);
}

static void the_fake_clock_moves_by_hand_only(void **s)
{
	struct clock_fake f;

	clock_fake_init(&f, 100, 5000);
	assert_int_equal(clock_ns(&f.clock), 100);
	assert_int_equal(clock_ns(&f.clock), 100);
	clock_fake_advance(&f, 11);
	assert_int_equal(clock_ns(&f.clock), 111);
	assert_int_equal(f.clock.wall_ns(&f.clock), 5011);
}

static void muldiv_keeps_the_upper_half(void **s)
{
	assert_int_equal(muldiv64(1ull << 63, 1000, 2000), 1ull << 62);
	assert_int_equal(muldiv64(7, 2, 3), 4);
}

static void ranges_do_not_overflow(void **s)
{
	assert_true(range_ok(0, 10, 10));
	assert_true(range_ok(10, 0, 10));
	assert_false(range_ok(1, 10, 10));
	assert_false(range_ok(~0ull, 2, ~0ull));
	assert_false(range_ok(11, 0, 10));
	assert_true(range_overlap(0, 10, 9, 1));
	assert_false(range_overlap(0, 10, 10, 1));
	assert_true(range_overlap(~0ull - 1, 2, ~0ull, 1));
	assert_false(range_overlap(5, 0, 5, 1));
}

static void wire_numbers_have_the_byte_order_they_say(void **s)
{
	const u8 bytes[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	le32 l;
	be32 b;
	be16 h = be16_of(0x0102);

	memcpy(&l, bytes, 4);
	memcpy(&b, bytes, 4);
	assert_int_equal(le32_get(l), 0x04030201);
	assert_int_equal(be32_get(b), 0x01020304);
	assert_memory_equal(&h, bytes, 2);
	assert_int_equal(le64_get(le64_of(0x1122334455667788ull)), 0x1122334455667788ull);
	assert_int_equal(load_le16(bytes + 1), 0x0302);
}

static void a_list_survives_removal_while_walking(void **s)
{
	struct { struct list l; int n; } item[3] = { { .n = 0 }, { .n = 1 }, { .n = 2 } };
	struct list head, *pos, *tmp;
	int sum = 0;

	list_init(&head);
	assert_true(list_empty(&head));
	for (int i = 0; i < 3; i++)
		list_add_tail(&head, &item[i].l);
	list_for_each_safe(pos, tmp, &head) {
		sum = sum * 10 + ((__typeof__(item[0]) *)pos)->n;
		list_del(pos);
		list_del(pos);
	}
	assert_int_equal(sum, 12);
	assert_true(list_empty(&head));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_host_clock_never_goes_back),
		cmocka_unit_test(the_fake_clock_moves_by_hand_only),
		cmocka_unit_test(muldiv_keeps_the_upper_half),
		cmocka_unit_test(ranges_do_not_overflow),
		cmocka_unit_test(wire_numbers_have_the_byte_order_they_say),
		cmocka_unit_test(a_list_survives_removal_while_walking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
