// SPDX-License-Identifier: BSD-2-Clause
/* device/chipset/lapic_timer.c - The LAPIC timer: one-shot, periodic, TSC deadline
 *
 * SDM 3A 11.5.4. The vCPU's thread programs it; it fires either on the loop's
 * thread or, when the vCPU is awake anyway, on its own by apics_timer_poll(). */
#include "device/chipset/lapic_int.h"

/**
 * DOC: Theory of operation - why the loop's timer lags behind
 *
 * A guest moves its deadline some ten thousand times a second, nearly always to
 * a later moment. Telling the loop each time would cost a lock and now and then
 * a system call. So the loop is told only of a deadline earlier than the one it
 * has (armed_ns); when it wakes too early it looks at deadline_ns and goes back
 * to sleep. deadline_ns is the truth, armed_ns the alarm clock: armed_ns <=
 * deadline_ns whenever the timer is not stopped.
 */

/* Shortest distance of two periodic expiries: a guest must not keep the host busy */
#define MIN_PERIOD_NS 50000ull

static u64 now_ns(struct lapic *l)
{
	return clock_ns(l->set->cfg.env->clock);
}

static u64 guest_tsc(struct lapic *l)
{
	const struct apics_config *c = &l->set->cfg;

	return c->tsc ? c->tsc(c->tsc_arg, l->cpu) : muldiv64(now_ns(l), c->tsc_hz, NS_PER_SEC);
}

static u32 mode(const struct lapic *l)
{
	return l->lvt[LVT_TIMER] & LVT_TIMER_MODE;
}

/* Figure 11-10: bits 3, 1, 0; 111 divides by 1. Ticks are ns as APICS_TIMER_HZ is 1 GHz. */
static u64 divider(const struct lapic *l)
{
	unsigned code = (l->dcr & 3) | (l->dcr >> 1 & 4);

	return 1ull << ((code + 1) & 7);
}
_Static_assert(APICS_TIMER_HZ == NS_PER_SEC, "counts are taken for ns");

static u64 period_ns(const struct lapic *l)
{
	return l->init_count * divider(l);
}

static void set_deadline_locked(struct lapic *l, u64 ns)
{
	atomic_store_explicit(&l->deadline_ns, ns, memory_order_relaxed);
	if (ns < l->armed_ns && !atomic_load(&l->set->stopped)) {
		l->armed_ns = ns;
		timer_arm(&l->timer, ns);
	}
}

void lapic_timer_off_locked(struct lapic *l)
{
	l->tsc_deadline = 0;
	l->init_count = 0;
	set_deadline_locked(l, ~0ull);
}

void lapic_timer_count_locked(struct lapic *l, u32 initial)
{
	if (mode(l) & LVT_TIMER_DEADLINE)
		return; /* 11.5.4.1: ignored */
	l->init_count = initial;
	l->start_ns = now_ns(l);
	set_deadline_locked(l, initial ? l->start_ns + period_ns(l) : ~0ull);
}

void lapic_timer_divide_locked(struct lapic *l, u32 dcr)
{
	u32 left = lapic_timer_current_locked(l);
	u64 now = now_ns(l);

	l->dcr = dcr & 0xb;
	if (!left)
		return;
	/* The count goes on from where it is, at the new rate */
	l->start_ns = now - (l->init_count - left) * divider(l);
	set_deadline_locked(l, now + left * divider(l));
}

void lapic_timer_mode_locked(struct lapic *l, u32 old_lvt)
{
	u32 changed = (old_lvt ^ l->lvt[LVT_TIMER]) & LVT_TIMER_MODE;

	if (changed & LVT_TIMER_DEADLINE)
		lapic_timer_off_locked(l); /* 11.5.4.1: either way disarms */
}

static u64 tsc_to_ns(struct lapic *l, u64 tsc)
{
	u64 now = now_ns(l), at = guest_tsc(l), hz = l->set->cfg.tsc_hz;
	u128 wait;

	if (tsc <= at || !hz)
		return now;
	wait = ((u128)(tsc - at) * NS_PER_SEC + hz - 1) / hz;
	return wait > (~0ull >> 2) ? ~0ull >> 1 : now + (u64)wait;
}

static void expire_tsc_locked(struct lapic *l, struct lapic_todo *t)
{
	/* The host's clock is disciplined, its TSC is not: over a long wait they differ */
	if (l->set->cfg.tsc_hz && guest_tsc(l) < l->tsc_deadline) {
		set_deadline_locked(l, tsc_to_ns(l, l->tsc_deadline));
		return;
	}
	l->tsc_deadline = 0;
	set_deadline_locked(l, ~0ull);
	lapic_lvt_fire_locked(l, LVT_TIMER, t);
}

static void expire_locked(struct lapic *l, u64 now, struct lapic_todo *t)
{
	u64 period;

	if (mode(l) & LVT_TIMER_DEADLINE) {
		expire_tsc_locked(l, t);
		return;
	}
	period = period_ns(l);
	if ((mode(l) & LVT_TIMER_PERIODIC) && period) {
		/* Periods that nobody could see are gone; the phase stays */
		l->start_ns += (now - l->start_ns) / period * period;
		set_deadline_locked(l, MAX(l->start_ns + period, now + MIN_PERIOD_NS));
	} else {
		set_deadline_locked(l, ~0ull);
	}
	lapic_lvt_fire_locked(l, LVT_TIMER, t);
}

void lapic_timer_tsc_locked(struct lapic *l, u64 deadline, struct lapic_todo *t)
{
	if (!(mode(l) & LVT_TIMER_DEADLINE))
		return; /* 11.5.4.1: ignored in the other modes */
	l->tsc_deadline = deadline;
	if (!deadline)
		set_deadline_locked(l, ~0ull);
	else if (deadline <= guest_tsc(l))
		expire_tsc_locked(l, t);
	else
		set_deadline_locked(l, tsc_to_ns(l, deadline));
}

u32 lapic_timer_current_locked(struct lapic *l)
{
	u64 ticks, now;

	if ((mode(l) & LVT_TIMER_DEADLINE) || !l->init_count)
		return 0;
	now = now_ns(l);
	ticks = (now - l->start_ns) / divider(l);
	if (mode(l) & LVT_TIMER_PERIODIC)
		return l->init_count - ticks % l->init_count;
	/* Reads 0 only once the expiry was seen, so that 0 and no interrupt never meet */
	if (atomic_load_explicit(&l->deadline_ns, memory_order_relaxed) == ~0ull)
		return 0;
	return ticks < l->init_count ? l->init_count - ticks : 1;
}

static bool due_locked(struct lapic *l, u64 now)
{
	return atomic_load_explicit(&l->deadline_ns, memory_order_relaxed) <= now;
}

/* [loop] */
static void timer_fn(void *arg)
{
	struct lapic *l = arg;
	struct lapic_todo t = { 0 };
	u64 now, next;

	pthread_mutex_lock(&l->lock);
	now = now_ns(l);
	l->armed_ns = ~0ull;
	if (!atomic_load(&l->set->stopped)) {
		if (due_locked(l, now))
			expire_locked(l, now, &t);
		next = atomic_load_explicit(&l->deadline_ns, memory_order_relaxed);
		if (next != ~0ull && l->armed_ns == ~0ull)
			set_deadline_locked(l, next);
	}
	pthread_mutex_unlock(&l->lock);
	lapic_act(l, &t);
}

void apics_timer_poll(struct apics *a, unsigned cpu)
{
	struct lapic *l = &a->lapic[cpu];
	struct lapic_todo t = { 0 };
	u64 deadline = atomic_load_explicit(&l->deadline_ns, memory_order_relaxed), now;

	if (deadline == ~0ull || now_ns(l) < deadline)
		return;
	pthread_mutex_lock(&l->lock);
	now = now_ns(l);
	if (due_locked(l, now) && !atomic_load(&a->stopped))
		expire_locked(l, now, &t);
	pthread_mutex_unlock(&l->lock);
	lapic_act(l, &t);
}

u64 apics_timer_deadline(struct apics *a, unsigned cpu)
{
	return atomic_load_explicit(&a->lapic[cpu].deadline_ns, memory_order_relaxed);
}

void lapic_timer_init(struct lapic *l)
{
	l->armed_ns = ~0ull;
	atomic_store(&l->deadline_ns, ~0ull);
	timer_init(&l->timer, l->set->cfg.env->loop, timer_fn, l);
}

void lapic_timer_quiet(struct lapic *l)
{
	timer_cancel_sync(&l->timer);
	pthread_mutex_lock(&l->lock);
	l->armed_ns = ~0ull;
	pthread_mutex_unlock(&l->lock);
}

void lapic_timer_resume_locked(struct lapic *l)
{
	u64 deadline;

	/* The guest's TSC may have stood still meanwhile, or not */
	if (l->tsc_deadline)
		atomic_store(&l->deadline_ns, tsc_to_ns(l, l->tsc_deadline));
	deadline = atomic_load(&l->deadline_ns);
	if (deadline != ~0ull)
		set_deadline_locked(l, deadline);
}
