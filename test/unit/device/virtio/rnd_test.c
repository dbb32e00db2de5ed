// SPDX-License-Identifier: BSD-2-Clause
/* virtio-rnd: bytes, as many as asked for, and different ones each time */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/fake.h"

static void ids_are_those_of_the_original(void **s)
{
	struct fake *f = fake_new();
	struct dev *d = fake_dev(f, "virtio-rnd", 4, NULL, NULL);

	assert_non_null(d);
	assert_int_equal(fake_cfg_rd(f, d, 0, 4), 0x10051af4);
	assert_int_equal(fake_cfg_rd(f, d, 8, 4), 0x10000000);
	assert_int_equal(fake_cfg_rd(f, d, 0x2c, 4), 0x00041af4);
	fake_dev_free(d);
	fake_free(f);
	(void)s;
}

static void every_interface_gives_different_bytes(void **s)
{
	static const unsigned flags[] = { 0, GVIO_LEGACY, GVIO_INTX, GVIO_LEGACY | GVIO_INTX };

	for (unsigned i = 0; i < ARRAY_LEN(flags); i++) {
		struct fake *f = fake_new();
		struct dev *d = fake_dev(f, "virtio-rnd", 4, NULL, NULL);
		struct gvio *g = gvio_open(f, d, ~0ull, flags[i]);
		u8 a[2][4096] = { { 0 } };
		unsigned ones = 0;

		assert_int_equal(g->num_queues, 1);
		assert_int_equal(g->q[0].size, 64);
		assert_int_equal(gvio_request(g, 0, NULL, 0, a[0], 4096), 4096);
		assert_int_equal(gvio_request(g, 0, NULL, 0, a[1], 4096), 4096);
		assert_memory_not_equal(a[0], a[1], 4096);
		for (unsigned k = 0; k < 4096; k++)
			ones += (unsigned)__builtin_popcount(a[0][k]);
		assert_in_range(ones, 15800, 16968); /* 16384 +- 6.5 sigma */
		gvio_close(g);
		fake_dev_free(d);
		fake_free(f);
	}
	(void)s;
}

static void odd_requests_are_answered(void **s)
{
	struct fake *f = fake_new();
	struct dev *d = fake_dev(f, "virtio-rnd", 4, "anything", NULL);
	struct gvio *g = gvio_open(f, d, 0, 0);
	u8 *big = calloc(1, 200000), b = 0;

	/* nothing to write to, one byte, more than it gives in one go */
	assert_int_equal(gvio_request(g, 0, &b, 1, NULL, 0), 0);
	assert_int_equal(gvio_request(g, 0, &b, 1, &b, 1), 1);
	assert_int_equal(gvio_request(g, 0, NULL, 0, big, 200000), 65536);
	assert_int_equal(big[65536], 0);
	free(big);
	gvio_close(g);
	fake_dev_free(d);
	fake_free(f);
	(void)s;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_are_those_of_the_original),
		cmocka_unit_test(every_interface_gives_different_bytes),
		cmocka_unit_test(odd_requests_are_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
