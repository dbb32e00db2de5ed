// SPDX-License-Identifier: BSD-2-Clause
#include "board.h"

/* 2026-11-22 15:43:07 UTC, a Sunday */
#define WALL 1795362187

struct fix {
	struct board *b;
	struct dev *rtc;
};

static int start(void **state, s64 wall, bool utc)
{
	struct fix *f = calloc(1, sizeof(*f));
	struct rtc_config cfg = {
		.utc = utc, .low_bytes = 3ull << 30, .high_bytes = (1ull << 30) + (5 << 16),
	};

	f->b = board_new(wall);
	f->rtc = dev_new(f->b, &rtc_class);
	rtc_configure(f->rtc, &cfg);
	dev_up(f->rtc);
	*state = f;
	return 0;
}

static int setup(void **state)
{
	return start(state, WALL, true);
}

static int setup_local(void **state)
{
	setenv("TZ", "XYZ-3", 1); /* three hours east */
	tzset();
	return start(state, WALL, false);
}

static int teardown(void **state)
{
	struct fix *f = *state;

	dev_down(f->rtc);
	board_free(f->b);
	free(f);
	return 0;
}

static u8 get(struct fix *f, u8 reg)
{
	outb(f->b, 0x70, reg);
	return inb(f->b, 0x71);
}

static void put(struct fix *f, u8 reg, u8 val)
{
	outb(f->b, 0x70, reg);
	outb(f->b, 0x71, val);
}

#define ASSERT_TIME(f, cent, year, mon, day, hour, min, sec)   \
	do {                                                   \
		assert_int_equal(get(f, 0x32), cent);          \
		assert_int_equal(get(f, 9), year);             \
		assert_int_equal(get(f, 8), mon);              \
		assert_int_equal(get(f, 7), day);              \
		assert_int_equal(get(f, 4), hour);             \
		assert_int_equal(get(f, 2), min);              \
		assert_int_equal(get(f, 0), sec);              \
	} while (0)

static void shows_the_hosts_time_in_bcd(void **state)
{
	struct fix *f = *state;

	ASSERT_TIME(f, 0x20, 0x26, 0x11, 0x22, 0x15, 0x43, 0x07);
	assert_int_equal(get(f, 6), 1);
	assert_int_equal(get(f, 0x0d), 0x80);
	leap(f->b, 53 * NS_PER_SEC);
	ASSERT_TIME(f, 0x20, 0x26, 0x11, 0x22, 0x15, 0x44, 0x00);
}

static void local_time_is_the_hosts_zone(void **state)
{
	struct fix *f = *state;

	assert_int_equal(get(f, 4), 0x18);
}

static void binary_and_12_hour_formats(void **state)
{
	struct fix *f = *state;

	put(f, 0x0b, 0x06);
	assert_int_equal(get(f, 9), 26);
	assert_int_equal(get(f, 4), 15);
	put(f, 0x0b, 0x00);
	assert_int_equal(get(f, 4), 0x83);
	put(f, 0x0b, 0x04);
	assert_int_equal(get(f, 4), 0x83);
	leap(f->b, 9ull * 3600 * NS_PER_SEC);
	assert_int_equal(get(f, 4), 12); /* midnight */
	ASSERT_TIME(f, 20, 26, 11, 23, 12, 43, 7);
}

static void follows_the_host_when_its_clock_steps(void **state)
{
	struct fix *f = *state;

	atomic_fetch_add(&f->b->clock.wall, 86400 * (s64)NS_PER_SEC); /* slept a day */
	assert_int_equal(get(f, 7), 0x23);
}

static void guest_sets_the_time_with_set_bit(void **state)
{
	struct fix *f = *state;

	put(f, 0x0b, 0x82);
	assert_int_equal(get(f, 0), 0x07);
	leap(f->b, 10 * NS_PER_SEC);
	assert_int_equal(get(f, 0), 0x07); /* held */
	put(f, 0x32, 0x19);
	put(f, 9, 0x99);
	put(f, 8, 0x12);
	put(f, 7, 0x31);
	put(f, 4, 0x23);
	put(f, 2, 0x59);
	put(f, 0, 0x58);
	put(f, 0x0b, 0x02);
	ASSERT_TIME(f, 0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x58);
	leap(f->b, 2 * NS_PER_SEC);
	ASSERT_TIME(f, 0x20, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00);
	leap(f->b, 59ull * 86400 * NS_PER_SEC); /* 2000 is a leap year */
	ASSERT_TIME(f, 0x20, 0x00, 0x02, 0x29, 0x00, 0x00, 0x00);
	assert_int_equal(get(f, 6), 3);
}

static void first_update_comes_500_ms_after_divider_reset(void **state)
{
	struct fix *f = *state;

	put(f, 0x0b, 0x82);
	put(f, 0x0a, 0x76);
	leap(f->b, 777000000);
	put(f, 0, 0x10);
	put(f, 0x0b, 0x02);
	put(f, 0x0a, 0x26);
	leap(f->b, 499000000);
	assert_int_equal(get(f, 0), 0x10);
	leap(f->b, 2000000);
	assert_int_equal(get(f, 0), 0x11);
}

/* Each setting shifts the phase again; the second must stay what was written */
static void setting_again_and_again_keeps_the_written_second(void **state)
{
	struct fix *f = *state;

	for (unsigned i = 0; i < 40; i++) {
		leap(f->b, i < 20 ? 199000000 : 1000000ull * (i * 37 % 100) * 10 + 5000000);
		put(f, 0x0b, 0x82);
		put(f, 0x0a, 0x76);
		put(f, 0, 0x20);
		put(f, 0x0b, 0x02);
		put(f, 0x0a, 0x26);
		assert_int_equal(get(f, 0), 0x20);
		leap(f->b, 499000000);
		assert_int_equal(get(f, 0), 0x20);
		leap(f->b, 2000000);
		assert_int_equal(get(f, 0), 0x21);
	}
}

static void update_in_progress_is_seen_before_the_second_turns(void **state)
{
	struct fix *f = *state;

	assert_int_equal(get(f, 0x0a), 0x26);
	leap(f->b, NS_PER_SEC - 244001);
	assert_int_equal(get(f, 0x0a), 0x26);
	leap(f->b, 1);
	assert_int_equal(get(f, 0x0a), 0xa6);
	leap(f->b, 243999);
	assert_int_equal(get(f, 0x0a), 0xa6);
	assert_int_equal(get(f, 0), 0x07);
	leap(f->b, 1);
	assert_int_equal(get(f, 0x0a), 0x26);
	assert_int_equal(get(f, 0), 0x08);
}

static void update_interrupt_each_second_once_acknowledged(void **state)
{
	struct fix *f = *state;

	put(f, 0x0b, 0x12);
	leap(f->b, 3 * NS_PER_SEC);
	assert_int_equal(f->b->isa[8].level, 1);
	assert_int_equal(f->b->isa[8].rises, 1); /* until register C is read */
	assert_int_equal(get(f, 0x0c) & 0x90, 0x90);
	assert_int_equal(f->b->isa[8].level, 0);
	assert_int_equal(get(f, 0x0c), 0);
	for (int i = 0; i < 5; i++) {
		leap(f->b, NS_PER_SEC);
		get(f, 0x0c);
	}
	assert_int_equal(f->b->isa[8].rises, 6);
}

static void periodic_interrupt_at_1024_hz(void **state)
{
	struct fix *f = *state;
	unsigned n = 0;

	put(f, 0x0b, 0x42);
	for (int i = 0; i < 10000; i++) {
		leap(f->b, 100000);
		if (f->b->isa[8].level) {
			assert_int_equal(get(f, 0x0c) & 0xc0, 0xc0);
			n++;
		}
	}
	assert_in_range(n, 1022, 1025);
}

static void rate_1_is_256_hz(void **state)
{
	struct fix *f = *state;
	unsigned n = 0;

	put(f, 0x0a, 0x21);
	put(f, 0x0b, 0x42);
	for (int i = 0; i < 10000; i++) {
		leap(f->b, 100000);
		n += get(f, 0x0c) >> 7;
	}
	assert_in_range(n, 255, 257);
}

/* The timer itself has to come in time: nobody reads register C before */
static void alarm_comes_in_its_second_whenever_it_was_set(void **state)
{
	struct fix *f = *state;

	leap(f->b, 900000000);
	put(f, 5, 0xff);
	put(f, 3, 0xff);
	put(f, 1, 0x09);
	put(f, 0x0b, 0x22);
	leap(f->b, 1099999999);
	assert_int_equal(f->b->isa[8].rises, 0);
	assert_int_equal(loop_step(f->b->loop, 0), 0);
	leap(f->b, 1);
	assert_int_equal(f->b->isa[8].rises, 1);
}

static void unacknowledged_interrupt_costs_nothing(void **state)
{
	struct fix *f = *state;

	put(f, 0x0a, 0x23); /* 8192 Hz */
	put(f, 0x0b, 0x72);
	assert_true(leap(f->b, 3600 * NS_PER_SEC) < 20);
	assert_int_equal(f->b->isa[8].rises, 1);
}

static void alarm_at_a_time_and_with_wild_cards(void **state)
{
	struct fix *f = *state;

	put(f, 5, 0x15);
	put(f, 3, 0x44);
	put(f, 1, 0x30);
	put(f, 0x0b, 0x22);
	pass(f->b, 82 * NS_PER_SEC, 82); /* 15:44:29 */
	assert_int_equal(f->b->isa[8].rises, 0);
	leap(f->b, NS_PER_SEC);
	assert_int_equal(f->b->isa[8].rises, 1);
	assert_int_equal(get(f, 0x0c) & 0xa0, 0xa0);
	put(f, 5, 0xff);
	put(f, 3, 0xc0);
	put(f, 1, 0x00);
	pass(f->b, 29 * NS_PER_SEC, 29);
	assert_int_equal(f->b->isa[8].rises, 1);
	pass(f->b, NS_PER_SEC, 1);
	assert_int_equal(f->b->isa[8].rises, 2);
	get(f, 0x0c);
	pass(f->b, 60 * NS_PER_SEC, 60);
	assert_int_equal(f->b->isa[8].rises, 3);
}

static void impossible_alarm_never_comes(void **state)
{
	struct fix *f = *state;

	put(f, 5, 0x25);
	put(f, 3, 0x79);
	put(f, 1, 0x99);
	put(f, 0x0b, 0x22);
	pass(f->b, 86400ull * 2 * NS_PER_SEC, 500);
	assert_int_equal(f->b->isa[8].rises, 0);
}

static void memory_cells_tell_sizes(void **state)
{
	struct fix *f = *state;
	u32 ext = ((3u << 30) - (16u << 20)) >> 16;

	assert_int_equal(get(f, 0x15) | get(f, 0x16) << 8, 640);
	assert_int_equal(get(f, 0x34) | get(f, 0x35) << 8, ext);
	assert_int_equal(get(f, 0x5b) | get(f, 0x5c) << 8 | get(f, 0x5d) << 16, 16384 + 5);
	assert_int_equal(get(f, 0x17) | get(f, 0x18) << 8, 0xffff);
}

static void battery_ram_keeps_bytes_over_reset(void **state)
{
	struct fix *f = *state;

	put(f, 0x40, 0x5a);
	put(f, 0xc1, 0xa5); /* bit 7 of the index is no part of it */
	f->rtc->cls->reset(f->rtc, DEV_RESET_WARM);
	assert_int_equal(get(f, 0x40), 0x5a);
	assert_int_equal(get(f, 0x41), 0xa5);
	ASSERT_TIME(f, 0x20, 0x26, 0x11, 0x22, 0x15, 0x43, 0x07);
}

static void stopped_clock_does_not_interrupt(void **state)
{
	struct fix *f = *state;

	put(f, 0x0b, 0x52);
	f->rtc->cls->stop(f->rtc);
	leap(f->b, 10 * NS_PER_SEC);
	assert_int_equal(f->b->isa[8].rises, 0);
	f->rtc->cls->start(f->rtc);
	assert_int_equal(f->b->isa[8].rises, 1);
}

static void nonsense_in_time_cells_is_harmless(void **state)
{
	struct fix *f = *state;

	for (unsigned b = 0; b < 8; b += 2) {
		put(f, 0x0b, (u8)(0x80 | b));
		for (u8 i = 0; i < 10; i++)
			put(f, i, (u8)(0xff - i));
		put(f, 0x32, 0xff);
		put(f, 0x0b, (u8)(0x70 | b));
		leap(f->b, 5 * NS_PER_SEC);
		get(f, 0x0c);
		get(f, 0);
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(shows_the_hosts_time_in_bcd),
		cmocka_unit_test_setup_teardown(local_time_is_the_hosts_zone, setup_local, teardown),
		T(binary_and_12_hour_formats),
		T(follows_the_host_when_its_clock_steps),
		T(guest_sets_the_time_with_set_bit),
		T(first_update_comes_500_ms_after_divider_reset),
		T(setting_again_and_again_keeps_the_written_second),
		T(update_in_progress_is_seen_before_the_second_turns),
		T(update_interrupt_each_second_once_acknowledged),
		T(periodic_interrupt_at_1024_hz),
		T(rate_1_is_256_hz),
		T(alarm_comes_in_its_second_whenever_it_was_set),
		T(unacknowledged_interrupt_costs_nothing),
		T(alarm_at_a_time_and_with_wild_cards),
		T(impossible_alarm_never_comes),
		T(memory_cells_tell_sizes),
		T(battery_ram_keeps_bytes_over_reset),
		T(stopped_clock_does_not_interrupt),
		T(nonsense_in_time_cells_is_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
