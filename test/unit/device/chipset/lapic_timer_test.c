// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>

#include "board.h"

#define SVR 0xf0
#define EOI 0xb0
#define LVT_TIMER 0x320
#define INITIAL 0x380
#define CURRENT 0x390
#define DIVIDE 0x3e0
#define MSR_DEADLINE 0x6e0
#define TSC_HZ 2500000000ull

struct fix {
	struct board *b;
	struct apics *a;
	unsigned intr;
	s64 tsc_skew; /* guest's TSC against the clock */
};

static void on_intr(void *arg, unsigned cpu) { ((struct fix *)arg)->intr++; }

static void on_intr_atomic(void *arg, unsigned cpu)
{
	__atomic_fetch_add(&((struct fix *)arg)->intr, 1, __ATOMIC_RELAXED);
}

static u64 tsc(void *arg, unsigned cpu)
{
	struct fix *f = arg;

	return muldiv64(clock_ns(&f->b->clock.clock), TSC_HZ, NS_PER_SEC) + (u64)f->tsc_skew;
}

static int setup(void **state)
{
	struct fix *f = calloc(1, sizeof(*f));
	struct apics_config cfg = {
		.cpus = 2, .sink = { .intr = on_intr, .arg = f }, .tsc_hz = TSC_HZ, .tsc = tsc,
		.tsc_arg = f,
	};

	f->b = board_new(0);
	cfg.env = &f->b->env;
	assert_int_equal(apics_create(&f->a, &cfg, NULL), 0);
	apics_mmio_write(f->a, 0, SVR, 0x1ff);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	apics_destroy(f->a);
	board_free(f->b);
	free(f);
	return 0;
}

static u32 rd(struct fix *f, unsigned off) { return apics_mmio_read(f->a, 0, off); }
static void wr(struct fix *f, unsigned off, u32 v) { apics_mmio_write(f->a, 0, off, v); }

static unsigned taken(struct fix *f)
{
	unsigned n = 0;

	while (apics_ack(f->a, 0, false) == 0x40) {
		wr(f, EOI, 0);
		n++;
	}
	return n;
}

static u64 now(struct fix *f) { return clock_ns(&f->b->clock.clock); }

static void deadline_in(struct fix *f, u64 ticks)
{
	u64 v = tsc(f, 0) + ticks;

	assert_int_equal(apics_msr(f->a, 0, MSR_DEADLINE, &v, true), 0);
}

static u64 deadline(struct fix *f)
{
	u64 v;

	assert_int_equal(apics_msr(f->a, 0, MSR_DEADLINE, &v, false), 0);
	return v;
}

static void one_shot_counts_down_and_fires_once(void **state)
{
	struct fix *f = *state;

	wr(f, DIVIDE, 0x3); /* by 16 */
	wr(f, LVT_TIMER, 0x40);
	wr(f, INITIAL, 1000);
	assert_int_equal(rd(f, CURRENT), 1000);
	assert_int_equal(apics_timer_deadline(f->a, 0), now(f) + 16000);
	leap(f->b, 8000);
	assert_int_equal(rd(f, CURRENT), 500);
	leap(f->b, 7999);
	assert_int_equal(taken(f), 0);
	leap(f->b, 1);
	assert_int_equal(f->intr, 1);
	assert_int_equal(taken(f), 1);
	assert_int_equal(rd(f, CURRENT), 0);
	assert_int_equal(apics_timer_deadline(f->a, 0), ~0ull);
	leap(f->b, NS_PER_SEC);
	assert_int_equal(taken(f), 0);
}

static void every_divider(void **state)
{
	static const struct { u32 code; unsigned by; } div[] = {
		{ 0, 2 }, { 1, 4 }, { 2, 8 }, { 3, 16 }, { 8, 32 }, { 9, 64 }, { 10, 128 }, { 11, 1 },
	};
	struct fix *f = *state;

	wr(f, LVT_TIMER, 0x40);
	for (unsigned i = 0; i < ARRAY_LEN(div); i++) {
		wr(f, DIVIDE, div[i].code);
		assert_int_equal(rd(f, DIVIDE), div[i].code);
		wr(f, INITIAL, 1000000);
		assert_int_equal(apics_timer_deadline(f->a, 0), now(f) + 1000000ull * div[i].by);
	}
}

static void periodic_fires_again_and_again(void **state)
{
	struct fix *f = *state;
	unsigned n = 0;

	wr(f, DIVIDE, 0xb);
	wr(f, LVT_TIMER, 0x20040);
	wr(f, INITIAL, 1000000);
	for (int i = 0; i < 10000; i++) {
		leap(f->b, 100000);
		n += taken(f);
	}
	assert_int_equal(n, 1000);
	leap(f->b, 250000);
	assert_int_equal(rd(f, CURRENT), 750000);
	wr(f, INITIAL, 0);
	taken(f);
	leap(f->b, NS_PER_SEC);
	assert_int_equal(taken(f), 0);
}

static void long_pause_brings_one_interrupt(void **state)
{
	struct fix *f = *state;

	wr(f, DIVIDE, 0xb);
	wr(f, LVT_TIMER, 0x20040);
	wr(f, INITIAL, 1000000);
	assert_true(leap(f->b, 3600 * NS_PER_SEC) < 10);
	assert_int_equal(taken(f), 1);
}

static void shortest_period_does_not_storm(void **state)
{
	struct fix *f = *state;

	wr(f, DIVIDE, 0xb);
	wr(f, LVT_TIMER, 0x20040);
	wr(f, INITIAL, 1);
	pass(f->b, NS_PER_SEC / 100, 10000);
	assert_in_range(f->intr, 1, 210);
}

static void masked_timer_counts_silently(void **state)
{
	struct fix *f = *state;

	wr(f, DIVIDE, 0xb);
	wr(f, LVT_TIMER, 0x10040);
	wr(f, INITIAL, 1000000);
	leap(f->b, 2000000);
	assert_int_equal(taken(f), 0);
	assert_int_equal(rd(f, CURRENT), 0);
}

static void tsc_deadline_fires_when_the_tsc_is_there(void **state)
{
	struct fix *f = *state;

	wr(f, LVT_TIMER, 0x40040);
	deadline_in(f, 2500);
	assert_int_equal(apics_timer_deadline(f->a, 0), now(f) + 1000);
	leap(f->b, 999);
	assert_int_equal(taken(f), 0);
	assert_int_not_equal(deadline(f), 0);
	leap(f->b, 1);
	assert_int_equal(taken(f), 1);
	assert_int_equal(deadline(f), 0);
}

static void tsc_deadline_in_the_past_fires_at_once(void **state)
{
	struct fix *f = *state;
	u64 v = 1;

	wr(f, LVT_TIMER, 0x40040);
	assert_int_equal(apics_msr(f->a, 0, MSR_DEADLINE, &v, true), 0);
	assert_int_equal(f->intr, 1);
	assert_int_equal(taken(f), 1);
}

static void tsc_deadline_of_zero_disarms(void **state)
{
	struct fix *f = *state;
	u64 v = 0;

	wr(f, LVT_TIMER, 0x40040);
	deadline_in(f, 25000);
	assert_int_equal(apics_msr(f->a, 0, MSR_DEADLINE, &v, true), 0);
	assert_int_equal(apics_timer_deadline(f->a, 0), ~0ull);
	leap(f->b, NS_PER_SEC);
	assert_int_equal(taken(f), 0);
}

static void tsc_deadline_is_never_early_by_the_tsc(void **state)
{
	struct fix *f = *state;

	wr(f, LVT_TIMER, 0x40040);
	deadline_in(f, TSC_HZ);
	f->tsc_skew = -25000; /* the TSC proved slower than the clock by 10 us a second */
	leap(f->b, NS_PER_SEC);
	assert_int_equal(taken(f), 0);
	leap(f->b, 10000);
	assert_int_equal(taken(f), 1);
}

static void tsc_deadline_far_away_does_not_overflow(void **state)
{
	struct fix *f = *state;
	u64 v = ~0ull;

	wr(f, LVT_TIMER, 0x40040);
	assert_int_equal(apics_msr(f->a, 0, MSR_DEADLINE, &v, true), 0);
	assert_true(apics_timer_deadline(f->a, 0) > now(f) + 1000 * NS_PER_SEC);
	leap(f->b, 1000 * NS_PER_SEC);
	assert_int_equal(taken(f), 0);
}

static void modes_do_not_mix(void **state)
{
	struct fix *f = *state;

	deadline_in(f, 2500); /* one-shot mode: ignored */
	assert_int_equal(deadline(f), 0);
	wr(f, DIVIDE, 0xb);
	wr(f, LVT_TIMER, 0x40040);
	wr(f, INITIAL, 1000); /* deadline mode: ignored */
	assert_int_equal(rd(f, CURRENT), 0);
	assert_int_equal(apics_timer_deadline(f->a, 0), ~0ull);
	deadline_in(f, 2500);
	wr(f, LVT_TIMER, 0x40); /* the change disarms */
	leap(f->b, NS_PER_SEC);
	assert_int_equal(taken(f), 0);
	wr(f, INITIAL, 1000);
	wr(f, LVT_TIMER, 0x40040);
	leap(f->b, NS_PER_SEC);
	assert_int_equal(taken(f), 0);
}

/* Moving the deadline back and forth, as an idle loop does */
static void later_and_earlier_deadlines_both_hold(void **state)
{
	struct fix *f = *state;

	wr(f, LVT_TIMER, 0x40040);
	deadline_in(f, 25000); /* 10 us */
	deadline_in(f, 250000); /* 100 us */
	leap(f->b, 99999);
	assert_int_equal(taken(f), 0);
	leap(f->b, 1);
	assert_int_equal(taken(f), 1);
	deadline_in(f, 250000);
	deadline_in(f, 25000);
	leap(f->b, 10000);
	assert_int_equal(taken(f), 1);
	leap(f->b, NS_PER_SEC);
	assert_int_equal(taken(f), 0);
}

static void owner_can_fire_its_own_timer(void **state)
{
	struct fix *f = *state;

	wr(f, LVT_TIMER, 0x40040);
	deadline_in(f, 25000);
	apics_timer_poll(f->a, 0);
	assert_int_equal(taken(f), 0);
	clock_fake_advance(&f->b->clock, 10000); /* the loop sleeps */
	apics_timer_poll(f->a, 0);
	assert_int_equal(taken(f), 1);
	leap(f->b, 0); /* nothing is left for it */
	assert_int_equal(taken(f), 0);
	apics_timer_poll(f->a, 0);
	assert_int_equal(taken(f), 0);
}

static void stopped_timers_are_silent_and_resume(void **state)
{
	struct fix *f = *state;

	wr(f, LVT_TIMER, 0x40040);
	deadline_in(f, 25000);
	apics_stop(f->a);
	apics_stop(f->a);
	leap(f->b, NS_PER_SEC);
	assert_int_equal(taken(f), 0);
	apics_start(f->a);
	leap(f->b, 0);
	assert_int_equal(taken(f), 1);
	deadline_in(f, 25000);
	apics_stop(f->a);
	apics_start(f->a);
	leap(f->b, 10000);
	assert_int_equal(taken(f), 1);
}

static void init_disarms(void **state)
{
	struct fix *f = *state;

	wr(f, LVT_TIMER, 0x40040);
	deadline_in(f, 25000);
	apics_cpu_init(f->a, 0);
	assert_int_equal(apics_timer_deadline(f->a, 0), ~0ull);
	leap(f->b, NS_PER_SEC);
	assert_int_equal(f->intr, 0);
}

static u64 host_tsc(void *arg, unsigned cpu)
{
	return clock_ns(arg);
}

/* The owner polls while the loop's thread runs: each deadline fires exactly once */
static void owner_and_loop_thread_share_the_timer(void **state)
{
	struct clock clock;
	struct dev_env env = { .clock = &clock };
	struct fix f = { 0 };
	struct apics_config cfg = {
		.cpus = 1, .env = &env, .sink = { .intr = on_intr_atomic, .arg = &f },
		.tsc_hz = NS_PER_SEC, .tsc = host_tsc, .tsc_arg = &clock,
	};
	u64 v, end;
	int vec;

	clock_init_host(&clock);
	assert_int_equal(loop_create(&env.loop, &clock, NULL), 0);
	assert_int_equal(loop_start(env.loop, "loop", NULL), 0);
	assert_int_equal(apics_create(&f.a, &cfg, NULL), 0);
	wr(&f, SVR, 0x1ff);
	wr(&f, LVT_TIMER, 0x40040);
	for (unsigned i = 0; i < 300; i++) {
		v = clock_ns(&clock) + i % 10 * 10000;
		assert_int_equal(apics_msr(f.a, 0, MSR_DEADLINE, &v, true), 0);
		end = clock_ns(&clock) + 10 * NS_PER_SEC;
		while ((vec = apics_ack(f.a, 0, false)) < 0 && clock_ns(&clock) < end)
			if (i & 1)
				apics_timer_poll(f.a, 0);
		assert_int_equal(vec, 0x40);
		assert_true(clock_ns(&clock) >= v);
		wr(&f, EOI, 0);
	}
	apics_destroy(f.a); /* waits for the loop's last call */
	assert_int_equal(__atomic_load_n(&f.intr, __ATOMIC_RELAXED), 300);
	loop_destroy(env.loop);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(one_shot_counts_down_and_fires_once),
		T(every_divider),
		T(periodic_fires_again_and_again),
		T(long_pause_brings_one_interrupt),
		T(shortest_period_does_not_storm),
		T(masked_timer_counts_silently),
		T(tsc_deadline_fires_when_the_tsc_is_there),
		T(tsc_deadline_in_the_past_fires_at_once),
		T(tsc_deadline_of_zero_disarms),
		T(tsc_deadline_is_never_early_by_the_tsc),
		T(tsc_deadline_far_away_does_not_overflow),
		T(modes_do_not_mix),
		T(later_and_earlier_deadlines_both_hold),
		T(owner_can_fire_its_own_timer),
		T(stopped_timers_are_silent_and_resume),
		T(init_disarms),
		cmocka_unit_test(owner_and_loop_thread_share_the_timer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
