// SPDX-License-Identifier: BSD-2-Clause
/* backend/net/fifo.c, offload.c: against the simplest thing that could be right */
#include "rig.h"

#include "backend/net/net_int.h"
#include "lib/frames.h"

static u32 rnd(u32 *x)
{
	return (*x = *x * 1664525 + 1013904223) >> 8;
}

static void frames_come_out_as_they_went_in_whatever_the_order_of_calls(void **state)
{
	struct net_fifo f;
	u32 x = 1, in = 0, out = 0;
	const u8 *p;

	assert_int_equal(net_fifo_init(&f, 5000), 0);
	for (unsigned step = 0; step < 200000; step++) {
		if (rnd(&x) % 100 < (step / 1000 & 1 ? 60 : 45)) {
			size_t len = 8 + rnd(&x) % 1200;
			u8 *to = net_fifo_reserve(&f, len);

			if (!to || rnd(&x) % 10 == 0)
				continue; /* reserved, and nothing came */
			store_le32(to, in);
			store_le32(to + 4, (u32)len);
			memset(to + 8, (u8)in, len - 8);
			net_fifo_commit(&f, len);
			in++;
		} else {
			size_t len = net_fifo_peek(&f, &p);

			assert_int_equal(!len, in == out);
			if (!len)
				continue;
			assert_int_equal(load_le32(p), out);
			assert_int_equal(load_le32(p + 4), len);
			assert_int_equal(p[len - 1], len > 8 ? (u8)out : p[len - 1]);
			net_fifo_take(&f);
			out++;
		}
		assert_int_equal(!net_fifo_bytes(&f), in == out);
	}
	assert_true(in > 10000);
	net_fifo_clear(&f);
	assert_int_equal(net_fifo_peek(&f, &p), 0);
	assert_non_null(net_fifo_reserve(&f, 4900));
	assert_null(net_fifo_reserve(&f, 5000));
	net_fifo_fini(&f);
}

static void sums_are_those_of_rfc_1071(void **state)
{
	u8 buf[300];
	u32 x = 7;
	be16 got;

	for (unsigned i = 0; i < sizeof(buf); i++)
		buf[i] = (u8)rnd(&x);
	for (unsigned len = 0; len <= sizeof(buf); len++) {
		u16 sum = net_csum_fold(net_csum_add(0, buf, len));

		memcpy(&got, &sum, 2);
		assert_int_equal(be16_get(got), (u16)~frame_sum(0, buf, len));
	}
	memset(buf, 0xff, sizeof(buf));
	for (unsigned len = 2; len <= sizeof(buf); len += 2)
		assert_int_equal(net_csum_fold(net_csum_add(0, buf, len)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_come_out_as_they_went_in_whatever_the_order_of_calls),
		cmocka_unit_test(sums_are_those_of_rfc_1071),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
