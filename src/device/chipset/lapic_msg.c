// SPDX-License-Identifier: BSD-2-Clause
/* device/chipset/lapic_msg.c - Interrupt messages: who is meant, and acceptance there
 *
 * SDM 3A 11.6.1 (ICR), 11.6.2 (destinations), 11.11 (MSI). Any thread. Targets are
 * found without locks; then each target's lock is taken alone, one after the other. */
#include <errno.h>

#include "device/chipset/lapic_int.h"

static u64 all_cpus(const struct apics *a)
{
	return a->cfg.cpus == 64 ? ~0ull : BIT64(a->cfg.cpus) - 1;
}

static u32 x2_ldr(unsigned id)
{
	return (id >> 4) << 16 | BIT(id & 15);
}

/* 11.6.2.2 and 11.12.10.2: does this LAPIC find itself in logical @dest? */
static bool logical_match(struct lapic *l, u32 dest, bool wide)
{
	u32 ldr, dfr;

	if (lapic_x2(l)) {
		ldr = x2_ldr(l->cpu);
		return dest >> 16 == ldr >> 16 && (dest & ldr & 0xffff);
	}
	if (wide && dest > 0xff)
		return false;
	ldr = atomic_load_explicit(&l->ldr, memory_order_relaxed) >> 24;
	dfr = atomic_load_explicit(&l->dfr, memory_order_relaxed) >> 28;
	if (dfr == 0xf) /* flat */
		return dest & ldr;
	if (dfr) /* neither flat nor cluster: undefined */
		return false;
	return (dest >> 4 == 0xf || dest >> 4 == ldr >> 4) && (dest & ldr & 0xf);
}

static u64 find_targets(struct apics *a, const struct apic_msg *m)
{
	u64 set = 0;

	if (m->dest == (m->wide ? ~0u : 0xffu)) {
		set = all_cpus(a);
	} else if (!m->logical) {
		set = m->dest < a->cfg.cpus ? BIT64(m->dest) : 0;
	} else {
		for (unsigned i = 0; i < a->cfg.cpus; i++)
			if (logical_match(&a->lapic[i], m->dest, m->wide))
				set |= BIT64(i);
	}
	return set;
}

/* 11.6.2.4: the one that does the least urgent work; in turn among equals */
static u64 arbitrate(struct apics *a, u64 set)
{
	unsigned start = atomic_fetch_add_explicit(&a->rotor, 1, memory_order_relaxed), best = 0;
	u32 best_ppr = ~0u;

	for (unsigned n = 0; n < a->cfg.cpus; n++) {
		unsigned i = (start + n) % a->cfg.cpus;
		struct lapic *l = &a->lapic[i];
		u32 ppr;

		if (!(set & BIT64(i)) || !lapic_on(l) || !lapic_sw_on(l))
			continue;
		ppr = atomic_load_explicit(&l->ppr, memory_order_relaxed) >> 4;
		if (ppr < best_ppr) {
			best_ppr = ppr;
			best = i;
		}
	}
	return best_ppr == ~0u ? 0 : BIT64(best);
}

/* Return: did it take the message? */
static bool accept_msg(struct lapic *l, const struct apic_msg *m)
{
	const struct apic_cpu_sink *s = &l->set->cfg.sink;
	struct lapic_todo t = { 0 };
	bool taken = true;

	if (!lapic_on(l))
		return false; /* 11.4.7.1: not there at all */
	switch (m->mode) {
	case APIC_FIXED:
	case APIC_LOWEST:
		pthread_mutex_lock(&l->lock);
		taken = lapic_on(l) && lapic_sw_on(l);
		if (taken)
			lapic_accept_locked(l, m->vector, m->level, &t);
		pthread_mutex_unlock(&l->lock);
		break;
	case APIC_EXTINT:
		pthread_mutex_lock(&l->lock);
		l->extint = true;
		t.intr = true;
		pthread_mutex_unlock(&l->lock);
		break;
	case APIC_SMI:
		t.smi = true;
		break;
	case APIC_NMI:
		t.nmi = true;
		break;
	case APIC_INIT:
		t.init = true;
		break;
	case APIC_SIPI:
		if (s->sipi)
			s->sipi(s->arg, l->cpu, m->vector);
		break;
	case APIC_REMOTE_READ: /* P6 only: no answer */
		break;
	}
	lapic_act(l, &t);
	return taken;
}

/* Return: did anybody take it? */
static bool send_to(struct apics *a, const struct apic_msg *m, u64 set)
{
	bool taken = false;

	if (m->mode == APIC_LOWEST)
		set = arbitrate(a, set);
	while (set) {
		unsigned i = (unsigned)__builtin_ctzll(set);

		set &= set - 1;
		taken |= accept_msg(&a->lapic[i], m);
	}
	return taken;
}

int apics_msi(struct apics *a, u64 addr, u32 data)
{
	struct apic_msg m = {
		.dest = addr >> 12 & 0xff,
		.logical = addr & BIT(2),
		.level = data & BIT(15),
		.mode = data >> 8 & 7,
		.vector = data & 0xff,
	};

	if (addr >> 20 != 0xfee)
		return -EINVAL;
	if (m.level && !(data & BIT(14)))
		return 0; /* de-assert: nothing listens to it */
	/* Redirection hint: 11.11.1, only of meaning with a logical destination */
	if ((addr & BIT(3)) && m.logical && m.mode == APIC_FIXED)
		m.mode = APIC_LOWEST;
	return send_to(a, &m, find_targets(a, &m)) ? 0 : -ENOENT;
}

/* The ICR was written; table 11-3 says which combinations are valid */
void lapic_icr(struct lapic *l, u64 icr, bool wide)
{
	struct apics *a = l->set;
	unsigned shorthand = icr >> 18 & 3;
	struct apic_msg m = {
		.dest = wide ? (u32)(icr >> 32) : (u32)(icr >> 56),
		.wide = wide,
		.logical = icr & BIT(11),
		.mode = icr >> 8 & 7,
		.vector = icr & 0xff,
	};
	u64 self = BIT64(l->cpu), set;

	switch (m.mode) {
	case APIC_FIXED:
	case APIC_LOWEST:
		if (m.vector < 16) {
			struct lapic_todo t = { 0 };

			pthread_mutex_lock(&l->lock);
			lapic_error_locked(l, ESR_SEND_VECTOR, &t);
			pthread_mutex_unlock(&l->lock);
			lapic_act(l, &t);
			return;
		}
		break;
	case APIC_INIT:
		/* Level de-assert only ever set arbitration ids (not since Pentium 4) */
		if ((icr & BIT(15)) && !(icr & BIT(14)))
			return;
		break;
	case APIC_EXTINT:
	case APIC_REMOTE_READ:
		return; /* reserved in an ICR */
	default:
		break;
	}

	switch (shorthand) {
	case 0:
		set = find_targets(a, &m);
		break;
	case 1:
		set = self;
		break;
	case 2:
		set = all_cpus(a);
		break;
	default:
		set = all_cpus(a) & ~self;
		break;
	}
	/* "Self" and "all including self" are for interrupts; CPUs let an NMI pass */
	if ((shorthand == 1 || shorthand == 2) && m.mode != APIC_FIXED && m.mode != APIC_LOWEST &&
	    m.mode != APIC_NMI)
		return;
	send_to(a, &m, set);
}
