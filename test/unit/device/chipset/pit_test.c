// SPDX-License-Identifier: BSD-2-Clause
#include "board.h"

#define TICK_NS(n) (((u64)(n) * NS_PER_SEC + 1193181) / 1193182)

struct fix {
	struct board *b;
	struct dev *pit;
};

static int setup(void **state)
{
	struct fix *f = calloc(1, sizeof(*f));

	f->b = board_new(0);
	f->pit = dev_new(f->b, &pit_class);
	dev_up(f->pit);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	dev_down(f->pit);
	board_free(f->b);
	free(f);
	return 0;
}

static void program(struct fix *f, unsigned ch, u8 control, u16 count)
{
	outb(f->b, 0x43, (u8)(ch << 6 | control));
	outb(f->b, (u16)(0x40 + ch), (u8)count);
	outb(f->b, (u16)(0x40 + ch), (u8)(count >> 8));
}

static u16 latched(struct fix *f, unsigned ch)
{
	u8 lo;

	outb(f->b, 0x43, (u8)(ch << 6));
	lo = inb(f->b, (u16)(0x40 + ch));
	return (u16)(lo | inb(f->b, (u16)(0x40 + ch)) << 8);
}

static void mode2_interrupts_at_its_rate(void **state)
{
	struct fix *f = *state;

	program(f, 0, 0x34, 1193); /* about 1000 Hz */
	pass(f->b, NS_PER_SEC, 10000);
	assert_in_range(f->b->isa[0].rises, 999, 1001);
}

static void mode3_interrupts_at_its_rate(void **state)
{
	struct fix *f = *state;

	program(f, 0, 0x36, 11932);
	pass(f->b, NS_PER_SEC, 1000);
	assert_in_range(f->b->isa[0].rises, 99, 100);
}

static void count_of_zero_means_65536(void **state)
{
	struct fix *f = *state;

	program(f, 0, 0x34, 0);
	pass(f->b, NS_PER_SEC, 1000);
	assert_in_range(f->b->isa[0].rises, 18, 18);
}

static void mode0_interrupts_once(void **state)
{
	struct fix *f = *state;

	program(f, 0, 0x30, 1000);
	leap(f->b, TICK_NS(1000) - 2000);
	assert_int_equal(f->b->isa[0].rises, 0);
	leap(f->b, 2000);
	assert_int_equal(f->b->isa[0].rises, 1);
	leap(f->b, NS_PER_SEC);
	assert_int_equal(f->b->isa[0].rises, 1);
}

static void mode4_interrupts_once_per_count(void **state)
{
	struct fix *f = *state;

	program(f, 0, 0x38, 1000);
	leap(f->b, TICK_NS(1001));
	assert_int_equal(f->b->isa[0].rises, 1);
	/* Linux writes only the count for the next one */
	outb(f->b, 0x40, 0xe8);
	outb(f->b, 0x40, 0x03);
	leap(f->b, TICK_NS(1001));
	assert_int_equal(f->b->isa[0].rises, 2);
}

static void long_pause_brings_no_storm(void **state)
{
	struct fix *f = *state;

	program(f, 0, 0x34, 1193);
	leap(f->b, 3600 * NS_PER_SEC);
	pass(f->b, NS_PER_SEC / 10, 1000);
	/* A hundred of its own and a few owed ones, not 3.6 million */
	assert_in_range(f->b->isa[0].rises, 100, 125);
}

static void short_delay_loses_no_tick(void **state)
{
	struct fix *f = *state;

	program(f, 0, 0x34, 1193);
	for (int i = 0; i < 100; i++) {
		leap(f->b, 5 * TICK_NS(1193)); /* five at once, then time to catch up */
		pass(f->b, 5 * TICK_NS(1193), 40);
	}
	assert_in_range(f->b->isa[0].rises, 990, 1000);
}

static void stopped_device_is_silent_and_resumes(void **state)
{
	struct fix *f = *state;

	program(f, 0, 0x34, 11932);
	f->pit->cls->stop(f->pit);
	leap(f->b, NS_PER_SEC);
	assert_int_equal(f->b->isa[0].rises, 0);
	f->pit->cls->start(f->pit);
	pass(f->b, NS_PER_SEC / 10, 100);
	assert_true(f->b->isa[0].rises > 0);
}

static void latch_holds_the_count_of_its_moment(void **state)
{
	struct fix *f = *state;
	u8 lo;

	program(f, 0, 0x34, 10000);
	clock_fake_advance(&f->b->clock, TICK_NS(100));
	outb(f->b, 0x43, 0x00);
	clock_fake_advance(&f->b->clock, TICK_NS(100));
	lo = inb(f->b, 0x40);
	assert_int_equal(lo | inb(f->b, 0x40) << 8, 9900);
	assert_int_equal(latched(f, 0), 9800);
}

/* What quick_pit_calibrate() of Linux does */
static void channel2_counts_in_mode0_behind_its_gate(void **state)
{
	struct fix *f = *state;
	u8 lo;

	outb(f->b, 0x61, (inb(f->b, 0x61) & ~2) | 1);
	program(f, 2, 0x30, 0xffff);
	for (unsigned i = 1; i < 60000; i += 777) {
		clock_fake_advance(&f->b->clock, TICK_NS(777));
		lo = inb(f->b, 0x42);
		assert_in_range((u64)(lo | inb(f->b, 0x42) << 8), 0xffff - i - 777, 0xffff - i);
		assert_int_equal(inb(f->b, 0x61) & 0x20, 0);
	}
	clock_fake_advance(&f->b->clock, TICK_NS(10000));
	assert_int_equal(inb(f->b, 0x61) & 0x20, 0x20);
}

static void low_gate_holds_the_count(void **state)
{
	struct fix *f = *state;

	program(f, 2, 0x30, 5000);
	clock_fake_advance(&f->b->clock, TICK_NS(100));
	assert_int_equal(latched(f, 2), 5000);
	outb(f->b, 0x61, 1);
	clock_fake_advance(&f->b->clock, TICK_NS(100));
	outb(f->b, 0x61, 0);
	clock_fake_advance(&f->b->clock, TICK_NS(100));
	assert_int_equal(latched(f, 2), 4900);
	outb(f->b, 0x61, 1);
	clock_fake_advance(&f->b->clock, TICK_NS(4901));
	assert_int_equal(inb(f->b, 0x61) & 0x20, 0x20);
}

static void rising_gate_starts_mode1(void **state)
{
	struct fix *f = *state;

	program(f, 2, 0x32, 1000);
	assert_int_equal(inb(f->b, 0x61) & 0x20, 0x20);
	outb(f->b, 0x61, 1);
	assert_int_equal(inb(f->b, 0x61) & 0x20, 0);
	clock_fake_advance(&f->b->clock, TICK_NS(1001));
	assert_int_equal(inb(f->b, 0x61) & 0x20, 0x20);
}

static void mode3_output_is_square(void **state)
{
	struct fix *f = *state;
	unsigned high = 0;

	outb(f->b, 0x61, 1);
	program(f, 2, 0x36, 1000);
	for (unsigned i = 0; i < 1000; i++) {
		high += inb(f->b, 0x61) >> 5 & 1;
		clock_fake_advance(&f->b->clock, TICK_NS(7));
	}
	assert_in_range(high, 480, 520);
}

static void read_back_latches_status_then_count(void **state)
{
	struct fix *f = *state;
	u8 lo;

	program(f, 0, 0x34, 10000);
	clock_fake_advance(&f->b->clock, TICK_NS(500));
	outb(f->b, 0x43, 0xc2); /* both, channel 0 */
	assert_int_equal(inb(f->b, 0x40), 0xb4);
	lo = inb(f->b, 0x40);
	assert_int_equal(lo | inb(f->b, 0x40) << 8, 9500);
	outb(f->b, 0x43, 0x34); /* no count yet: null count */
	outb(f->b, 0x43, 0xe2);
	assert_int_equal(inb(f->b, 0x40) & 0x40, 0x40);
}

static void bcd_counts_in_decimal(void **state)
{
	struct fix *f = *state;

	program(f, 0, 0x35, 0x1000);
	clock_fake_advance(&f->b->clock, TICK_NS(1));
	assert_int_equal(latched(f, 0), 0x0999);
}

static void new_periodic_count_waits_for_the_end_of_the_period(void **state)
{
	struct fix *f = *state;

	program(f, 0, 0x34, 10000);
	clock_fake_advance(&f->b->clock, TICK_NS(5000));
	outb(f->b, 0x40, 2000 & 0xff);
	outb(f->b, 0x40, 2000 >> 8);
	assert_int_equal(latched(f, 0), 5000);
	leap(f->b, TICK_NS(5000));
	assert_int_equal(f->b->isa[0].rises, 1);
	assert_int_equal(latched(f, 0), 2000);
	leap(f->b, TICK_NS(2000));
	assert_int_equal(f->b->isa[0].rises, 2);
}

static void refresh_bit_toggles(void **state)
{
	struct fix *f = *state;
	unsigned changes = 0;
	u8 last = inb(f->b, 0x61) & 0x10, now;

	for (int i = 0; i < 100; i++) {
		clock_fake_advance(&f->b->clock, 15085);
		now = inb(f->b, 0x61) & 0x10;
		changes += now != last;
		last = now;
	}
	assert_int_equal(changes, 100);
}

static void odd_and_tiny_counts_are_harmless(void **state)
{
	struct fix *f = *state;

	for (unsigned mode = 0; mode < 8; mode++)
		for (u16 n = 0; n < 4; n++)
			for (unsigned bcd = 0; bcd < 2; bcd++) {
				program(f, 0, (u8)(0x30 | mode << 1 | bcd), n);
				assert_true(leap(f->b, 1000000) < 100);
				latched(f, 0);
			}
	program(f, 0, 0x35, 0xffff); /* not decimal */
	leap(f->b, NS_PER_SEC);
	latched(f, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(mode2_interrupts_at_its_rate),
		T(mode3_interrupts_at_its_rate),
		T(count_of_zero_means_65536),
		T(mode0_interrupts_once),
		T(mode4_interrupts_once_per_count),
		T(long_pause_brings_no_storm),
		T(short_delay_loses_no_tick),
		T(stopped_device_is_silent_and_resumes),
		T(latch_holds_the_count_of_its_moment),
		T(channel2_counts_in_mode0_behind_its_gate),
		T(low_gate_holds_the_count),
		T(rising_gate_starts_mode1),
		T(mode3_output_is_square),
		T(read_back_latches_status_then_count),
		T(bcd_counts_in_decimal),
		T(new_periodic_count_waits_for_the_end_of_the_period),
		T(refresh_bit_toggles),
		T(odd_and_tiny_counts_are_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
