// SPDX-License-Identifier: BSD-2-Clause
/* device/chipset/lapic_pv.c - An EOI without a register access
 *
 * KVM_FEATURE_PV_EOI, Linux Documentation/virt/kvm/x86/msr.rst. All of it runs on
 * the owning vCPU's thread. */
#include <errno.h>

#include "device/chipset/lapic_int.h"

/**
 * DOC: Theory of operation
 *
 * When an edge interrupt enters service and nothing else waits, bit 0 of a word
 * in guest RAM is set. The guest, at the end of its handler, clears it with a
 * plain instruction and, having found it set, writes no EOI. We learn of it the
 * next time the vCPU's thread comes here (pv_sync_locked). An interrupt that
 * arrives meanwhile kicks the vCPU although ISR seems to forbid it; if the bit
 * is still set then, we clear it, and the guest will write a real EOI. The
 * guest's instruction is not atomic: only the vCPU's own thread touches the word.
 */

#define PV_EOI_ON BIT64(0)
#define PV_EOI_RESERVED BIT64(1)

/* [vcpu] Did the guest end its interrupt behind our back? */
void lapic_pv_sync_locked(struct lapic *l, struct lapic_todo *t)
{
	u32 word;

	if (likely(!l->pv_pending))
		return;
	word = __atomic_load_n(l->pv_word, __ATOMIC_RELAXED);
	if (!(word & 1)) {
		l->pv_pending = false;
		lapic_eoi_locked(l, t);
	} else if (lapic_highest(l->irr) >= 0) {
		__atomic_store_n(l->pv_word, word & ~1u, __ATOMIC_RELAXED);
		l->pv_pending = false;
		t->pv_wrote = true;
	}
}

/* An interrupt has just entered service */
void lapic_pv_offer_locked(struct lapic *l, unsigned vec, struct lapic_todo *t)
{
	u32 word;

	if (!l->pv_word || lapic_test_vec(l->tmr, vec) || lapic_highest(l->irr) >= 0)
		return;
	word = __atomic_load_n(l->pv_word, __ATOMIC_RELAXED);
	__atomic_store_n(l->pv_word, word | 1, __ATOMIC_RELAXED);
	l->pv_pending = true;
	t->pv_wrote = true;
}

/* The guest writes a real EOI, or we forget: take the offer back */
void lapic_pv_withdraw_locked(struct lapic *l, struct lapic_todo *t)
{
	u32 word;

	lapic_pv_sync_locked(l, t);
	if (!l->pv_pending)
		return;
	word = __atomic_load_n(l->pv_word, __ATOMIC_RELAXED);
	__atomic_store_n(l->pv_word, word & ~1u, __ATOMIC_RELAXED);
	l->pv_pending = false;
	t->pv_wrote = true;
}

int apics_set_pv_eoi(struct apics *a, unsigned cpu, u64 msr)
{
	struct lapic *l = &a->lapic[cpu];
	struct lapic_todo t = { 0 };
	u32 *word = NULL, now;

	if (msr & PV_EOI_RESERVED)
		return -EINVAL;
	if (msr & PV_EOI_ON) {
		gpa_t gpa = msr & ~3ull;

		/* The write shows whether it is RAM that may be stored to */
		if (!a->cfg.env->mem || mem_read(a->cfg.env->mem, gpa, &now, 4) ||
		    mem_write(a->cfg.env->mem, gpa, &now, 4))
			return -EINVAL;
		word = mem_ptr(a->cfg.env->mem, gpa, 4);
		if (!word)
			return -EINVAL;
	}
	pthread_mutex_lock(&l->lock);
	lapic_pv_withdraw_locked(l, &t);
	pthread_mutex_unlock(&l->lock);
	lapic_act(l, &t); /* while pv_msr is still the old one */
	pthread_mutex_lock(&l->lock);
	l->pv_msr = msr;
	l->pv_word = word;
	pthread_mutex_unlock(&l->lock);
	return 0;
}
