// SPDX-License-Identifier: BSD-2-Clause
#include "board.h"

#define HPET 0xfed00000ull

struct fix {
	struct board *b;
	struct dev *hpet, *pit, *rtc;
};

static int setup(void **state)
{
	struct fix *f = calloc(1, sizeof(*f));

	f->b = board_new(0);
	f->pit = dev_new(f->b, &pit_class);
	f->rtc = dev_new(f->b, &rtc_class);
	f->hpet = dev_new(f->b, &hpet_class);
	hpet_replaces(f->hpet, f->pit, f->rtc);
	dev_up(f->pit);
	dev_up(f->rtc);
	dev_up(f->hpet);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	dev_down(f->hpet);
	dev_down(f->rtc);
	dev_down(f->pit);
	board_free(f->b);
	free(f);
	return 0;
}

static u64 rd(struct fix *f, u64 off, unsigned size)
{
	u64 v;

	assert_true(bus_read(&f->b->mem_bus, HPET + off, size, &v));
	return v;
}

static void wr(struct fix *f, u64 off, u64 val, unsigned size)
{
	assert_true(bus_write(&f->b->mem_bus, HPET + off, size, val));
}

#define TN(n) (0x100ull + 0x20 * (n))

static void capabilities_say_what_acpi_repeats(void **state)
{
	struct fix *f = *state;

	assert_int_equal(rd(f, 0, 4), HPET_CAP_ID);
	assert_int_equal(rd(f, 4, 4), 100000000); /* fs: 10 MHz */
	assert_int_equal(rd(f, 0, 8), 100000000ull << 32 | HPET_CAP_ID);
	assert_int_equal(rd(f, TN(7), 8), 0x00f0000000008030);
	assert_int_equal(rd(f, TN(8), 8), 0);
}

static void counter_runs_only_while_enabled(void **state)
{
	struct fix *f = *state;

	leap(f->b, NS_PER_SEC);
	assert_int_equal(rd(f, 0xf0, 8), 0);
	wr(f, 0xf0, 0xfffffff0, 8);
	wr(f, 0x10, 1, 4);
	leap(f->b, 3200);
	assert_int_equal(rd(f, 0xf0, 8), 0x100000010);
	assert_int_equal(rd(f, 0xf4, 4), 1);
	wr(f, 0xf0, 0, 8); /* running: ignored */
	assert_int_equal(rd(f, 0xf0, 8), 0x100000010);
	wr(f, 0x10, 0, 4);
	leap(f->b, NS_PER_SEC);
	assert_int_equal(rd(f, 0xf0, 8), 0x100000010);
}

static void one_shot_edge_by_route(void **state)
{
	struct fix *f = *state;

	wr(f, 0x10, 1, 4);
	wr(f, TN(2), 20 << 9 | 4, 4);
	wr(f, TN(2) + 8, 1000, 8);
	leap(f->b, 99999);
	assert_int_equal(f->b->gsi[20].rises, 0);
	leap(f->b, 1);
	assert_int_equal(f->b->gsi[20].rises, 1);
	assert_int_equal(f->b->gsi[20].level, 0);
	leap(f->b, NS_PER_SEC);
	assert_int_equal(f->b->gsi[20].rises, 1);
}

static void level_holds_the_line_until_status_is_cleared(void **state)
{
	struct fix *f = *state;

	wr(f, 0x10, 1, 4);
	wr(f, TN(3), 21 << 9 | 6, 4);
	wr(f, TN(3) + 8, 1000, 8);
	leap(f->b, 100000);
	assert_int_equal(f->b->gsi[21].level, 1);
	assert_int_equal(rd(f, 0x20, 4), 8);
	wr(f, 0x20, 1, 4);
	assert_int_equal(f->b->gsi[21].level, 1);
	wr(f, 0x20, 8, 4);
	assert_int_equal(f->b->gsi[21].level, 0);
}

/* As Linux sets up its tick */
static void legacy_periodic_replaces_pit_and_rtc(void **state)
{
	struct fix *f = *state;
	u32 now;

	outb(f->b, 0x43, 0x34);
	outb(f->b, 0x40, 0xa9);
	outb(f->b, 0x40, 0x04);
	wr(f, 0x10, 3, 4);
	now = (u32)rd(f, 0xf0, 4);
	wr(f, TN(0), 0x14c, 4); /* 32 bit, VAL_SET, periodic, enable */
	wr(f, TN(0) + 8, now + 100000, 4);
	wr(f, TN(0) + 8, 100000, 4);
	pass(f->b, NS_PER_SEC, 1000);
	assert_in_range(f->b->isa[0].rises, 99, 100); /* 100 Hz and not 1000 of the PIT */
	assert_int_equal(rd(f, TN(0), 4) & 0x40, 0);
	wr(f, 0x10, 0, 4);
	f->b->isa[0].rises = 0;
	pass(f->b, NS_PER_SEC / 10, 100);
	assert_in_range(f->b->isa[0].rises, 90, 120); /* the PIT is back */
}

static void legacy_timer1_has_irq8(void **state)
{
	struct fix *f = *state;

	wr(f, 0x10, 3, 4);
	wr(f, TN(1), 4, 4);
	wr(f, TN(1) + 8, 50, 8);
	leap(f->b, 5000);
	assert_int_equal(f->b->isa[8].rises, 1);
}

static void fsb_sends_a_message(void **state)
{
	struct fix *f = *state;

	wr(f, 0x10, 1, 4);
	wr(f, TN(4) + 0x10, 0xfee0100000000055, 8);
	wr(f, TN(4), 0x4004, 4);
	wr(f, TN(4) + 8, 50, 8);
	leap(f->b, 5000);
	assert_int_equal(f->b->num_msi, 1);
	assert_int_equal(f->b->msi[0].addr, 0xfee01000);
	assert_int_equal(f->b->msi[0].data, 0x55);
}

static void periodic_keeps_phase_and_drops_what_is_long_gone(void **state)
{
	struct fix *f = *state;

	wr(f, 0x10, 1, 4);
	wr(f, TN(2), 22 << 9 | 0x4c, 4);
	wr(f, TN(2) + 8, 10000, 8); /* 1 ms, first and period */
	leap(f->b, 1000 * NS_PER_SEC);
	assert_int_equal(f->b->gsi[22].rises, 1);
	assert_int_equal(rd(f, TN(2) + 8, 8), 10000010000);
	leap(f->b, 1000000);
	assert_int_equal(f->b->gsi[22].rises, 2);
}

static void narrow_timer_fires_again_when_its_counter_comes_round(void **state)
{
	struct fix *f = *state;

	wr(f, 0x10, 1, 4);
	wr(f, TN(2), 20 << 9 | 0x104, 4);
	wr(f, TN(2) + 8, 1000, 4);
	leap(f->b, 100000);
	assert_int_equal(f->b->gsi[20].rises, 1);
	leap(f->b, (1ull << 32) * 100 - 1);
	assert_int_equal(f->b->gsi[20].rises, 1);
	leap(f->b, 1);
	assert_int_equal(f->b->gsi[20].rises, 2);
}

static void write_close_to_expiry_does_not_lose_it(void **state)
{
	struct fix *f = *state;

	wr(f, 0x10, 1, 4);
	wr(f, TN(2), 20 << 9 | 4, 4);
	wr(f, TN(2) + 8, 1000, 8);
	clock_fake_advance(&f->b->clock, 200000); /* due, but the loop sleeps */
	wr(f, TN(3), 21 << 9, 4);
	assert_int_equal(f->b->gsi[20].rises, 1);
	leap(f->b, 0);
	assert_int_equal(f->b->gsi[20].rises, 1);
}

static void shortest_period_does_not_storm(void **state)
{
	struct fix *f = *state;

	wr(f, 0x10, 1, 4);
	wr(f, TN(2), 20 << 9 | 0x4c, 4);
	wr(f, TN(2) + 8, 1, 8);
	pass(f->b, NS_PER_SEC / 100, 10000);
	assert_in_range(f->b->gsi[20].rises, 1, 220);
}

static void stopped_device_is_silent_and_reset_is_power_on(void **state)
{
	struct fix *f = *state;

	wr(f, 0x10, 1, 4);
	wr(f, TN(2), 20 << 9 | 6, 4);
	wr(f, TN(2) + 8, 1000, 8);
	f->hpet->cls->stop(f->hpet);
	leap(f->b, NS_PER_SEC);
	assert_int_equal(f->b->gsi[20].rises, 0);
	f->hpet->cls->start(f->hpet);
	leap(f->b, 0);
	assert_int_equal(f->b->gsi[20].level, 1);
	f->hpet->cls->reset(f->hpet, DEV_RESET_POWER_ON);
	assert_int_equal(f->b->gsi[20].level, 0);
	assert_int_equal(rd(f, 0x10, 8), 0);
	assert_int_equal(rd(f, TN(2) + 8, 8), ~0ull);
	assert_int_equal(rd(f, 0xf0, 8), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(capabilities_say_what_acpi_repeats),
		T(counter_runs_only_while_enabled),
		T(one_shot_edge_by_route),
		T(level_holds_the_line_until_status_is_cleared),
		T(legacy_periodic_replaces_pit_and_rtc),
		T(legacy_timer1_has_irq8),
		T(fsb_sends_a_message),
		T(periodic_keeps_phase_and_drops_what_is_long_gone),
		T(narrow_timer_fires_again_when_its_counter_comes_round),
		T(write_close_to_expiry_does_not_lose_it),
		T(shortest_period_does_not_storm),
		T(stopped_device_is_silent_and_reset_is_power_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
