// SPDX-License-Identifier: BSD-2-Clause
/* device/chipset/lapic.c - Local APICs: registers, acceptance, acknowledge, EOI
 *
 * SDM 3A chapter 11. Registers are used by the owning vCPU's thread; interrupts
 * arrive from any thread (lapic_msg.c) and from the timer (lapic_timer.c). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/strbuf.h"
#include "device/chipset/lapic_int.h"

/**
 * DOC: Theory of operation - locks
 *
 * Each LAPIC has one lock; nobody ever holds two of them. What has to be called
 * because of a change (kick the vCPU, tell the IOAPIC of an EOI) is noted in a
 * struct lapic_todo under the lock and done by lapic_act() after it. So a LAPIC's
 * lock comes after every device's and controller's lock, and before the loop's
 * own only (arming the timer).
 */

/* Pentium 4 and later, six LVT entries, EOI broadcast can be suppressed (11.4.8) */
#define VERSION_VALUE (0x14u | (LVT_NUM - 1) << 16 | BIT(24))

#define MSR_APIC_BASE 0x1bu
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_X2APIC 0x800u
#define DEFAULT_BASE 0xfee00000ull
#define BASE_ADDRESS 0x000ffffffffff000ull /* up to 52 bits */

static const u32 lvt_writable[LVT_NUM] = {
	[LVT_TIMER] = 0x700ff,	[LVT_THERMAL] = 0x107ff, [LVT_PERF] = 0x107ff,
	[LVT_LINT0] = 0x1a7ff,	[LVT_LINT1] = 0x1a7ff,	 [LVT_ERROR] = 0x100ff,
};

/* ------------------------------------------------------------- priority */

static void set_vec(u32 *bits, unsigned vec) { bits[vec / 32] |= BIT(vec % 32); }
static void clear_vec(u32 *bits, unsigned vec) { bits[vec / 32] &= ~BIT(vec % 32); }

static u32 ppr(struct lapic *l)
{
	return atomic_load_explicit(&l->ppr, memory_order_relaxed);
}

/* 11.8.3.1 */
static void update_ppr_locked(struct lapic *l)
{
	int vec = lapic_highest(l->isr);
	u32 isr_class = vec < 0 ? 0 : (u32)vec & 0xf0, tpr = l->tpr & 0xff;

	atomic_store_explicit(&l->ppr, (tpr & 0xf0) >= isr_class ? tpr : isr_class,
			      memory_order_relaxed);
}

/* Vector that may be delivered now, or -1 */
static int deliverable(struct lapic *l)
{
	int vec = lapic_highest(l->irr);

	return vec >= 0 && ((u32)vec & 0xf0) > (ppr(l) & 0xf0) ? vec : -1;
}

/* ----------------------------------------------- events (lock is held) */

void lapic_accept_locked(struct lapic *l, u8 vector, bool level, struct lapic_todo *t)
{
	if (vector < 16) {
		lapic_error_locked(l, ESR_RECV_VECTOR, t);
		return;
	}
	set_vec(l->irr, vector);
	if (level)
		set_vec(l->tmr, vector);
	else
		clear_vec(l->tmr, vector);
	if (l->pv_pending || deliverable(l) >= 0)
		t->intr = true;
}

void lapic_error_locked(struct lapic *l, u32 esr_bit, struct lapic_todo *t)
{
	bool fresh = !(l->esr_pending & esr_bit);

	l->esr_pending |= esr_bit;
	/* An illegal vector in the error LVT itself must not come here for ever */
	if (fresh && (l->lvt[LVT_ERROR] & 0xff) >= 16)
		lapic_lvt_fire_locked(l, LVT_ERROR, t);
}

void lapic_lvt_fire_locked(struct lapic *l, enum lapic_lvt which, struct lapic_todo *t)
{
	u32 lvt = l->lvt[which];
	bool lint = which == LVT_LINT0 || which == LVT_LINT1, level = lint && (lvt & LVT_LEVEL);
	enum apic_mode mode = which == LVT_TIMER || which == LVT_ERROR ? APIC_FIXED : lvt >> 8 & 7;

	if (lvt & LVT_MASKED)
		return;
	switch (mode) {
	case APIC_FIXED:
		if (level && (lvt & LVT_REMOTE_IRR))
			return;
		if (level && (lvt & 0xff) >= 16)
			l->lvt[which] |= LVT_REMOTE_IRR;
		lapic_accept_locked(l, lvt & 0xff, level, t);
		break;
	case APIC_SMI:
		t->smi = true;
		break;
	case APIC_NMI:
		t->nmi = true;
		break;
	case APIC_INIT:
		t->init = true;
		break;
	case APIC_EXTINT:
		t->intr = true;
		break;
	default: /* reserved in an LVT */
		break;
	}
}

void lapic_act(struct lapic *l, const struct lapic_todo *t)
{
	struct apics *a = l->set;
	const struct apic_cpu_sink *s = &a->cfg.sink;

	if (t->pv_wrote)
		mem_wrote(a->cfg.env->mem, l->pv_msr & ~3ull, 4);
	if (t->eoi && a->eoi)
		a->eoi(a->eoi_arg, t->eoi_vector);
	if (t->init && s->init)
		s->init(s->arg, l->cpu);
	if (t->smi && s->smi)
		s->smi(s->arg, l->cpu);
	if (t->nmi && s->nmi)
		s->nmi(s->arg, l->cpu);
	if (t->intr && s->intr)
		s->intr(s->arg, l->cpu);
}

/* 11.8.5 */
void lapic_eoi_locked(struct lapic *l, struct lapic_todo *t)
{
	int vec = lapic_highest(l->isr);
	u32 *lint0 = &l->lvt[LVT_LINT0];

	if (vec < 0)
		return;
	clear_vec(l->isr, (unsigned)vec);
	update_ppr_locked(l);
	if (lapic_test_vec(l->tmr, (unsigned)vec)) {
		if ((*lint0 & LVT_REMOTE_IRR) && (*lint0 & 0xff) == (u32)vec) {
			*lint0 &= ~LVT_REMOTE_IRR;
			if (l->lint0)
				lapic_lvt_fire_locked(l, LVT_LINT0, t);
		}
		if (!(atomic_load_explicit(&l->svr, memory_order_relaxed) & SVR_NO_EOI_BROADCAST)) {
			t->eoi = true;
			t->eoi_vector = (u8)vec;
		}
	}
	if (deliverable(l) >= 0)
		t->intr = true;
}

/* ---------------------------------------------------------- acknowledge */

/* Is the PIC this CPU's concern now? 11.8.4; with the LAPIC off LINT0 is the INTR pin */
static bool wants_pic_locked(struct lapic *l)
{
	u32 lvt = l->lvt[LVT_LINT0];

	if (l->extint)
		return true;
	if (!l->lint0)
		return false;
	return !lapic_on(l) || (!(lvt & LVT_MASKED) && (lvt >> 8 & 7) == APIC_EXTINT);
}

int apics_ack(struct apics *a, unsigned cpu, bool peek)
{
	struct lapic *l = &a->lapic[cpu];
	struct lapic_todo t = { 0 };
	int vec;

	pthread_mutex_lock(&l->lock);
	if (unlikely(wants_pic_locked(l)) && a->extint) {
		if (!peek)
			l->extint = false;
		pthread_mutex_unlock(&l->lock);
		vec = a->extint(a->extint_arg, peek);
		if (vec >= 0 && peek)
			return vec;
		pthread_mutex_lock(&l->lock);
		if (vec >= 0) {
			/* Ours waits behind it: the vCPU is to ask again */
			t.intr = lapic_on(l) && deliverable(l) >= 0;
			pthread_mutex_unlock(&l->lock);
			lapic_act(l, &t);
			return vec;
		}
	}
	lapic_pv_sync_locked(l, &t);
	vec = lapic_on(l) ? deliverable(l) : -1;
	if (vec >= 0 && !peek) {
		clear_vec(l->irr, (unsigned)vec);
		set_vec(l->isr, (unsigned)vec);
		update_ppr_locked(l);
		lapic_pv_offer_locked(l, (unsigned)vec, &t);
	}
	pthread_mutex_unlock(&l->lock);
	t.intr = false; /* the caller is asking right now */
	lapic_act(l, &t);
	return vec;
}

void apics_lint0(struct apics *a, int level)
{
	struct lapic *l = &a->lapic[0];
	struct lapic_todo t = { 0 };
	bool rose;

	pthread_mutex_lock(&l->lock);
	rose = level && !l->lint0;
	l->lint0 = level;
	/* ExtINT is passed on each time the PIC says so: it may have several to give */
	if (level && wants_pic_locked(l))
		t.intr = true;
	else if (rose && lapic_on(l))
		lapic_lvt_fire_locked(l, LVT_LINT0, &t);
	pthread_mutex_unlock(&l->lock);
	lapic_act(l, &t);
}

/* ------------------------------------------------------------ registers */

static void reset_locked(struct lapic *l)
{
	l->tpr = l->esr = l->esr_pending = 0;
	l->icr = 0;
	for (unsigned i = 0; i < LVT_NUM; i++)
		l->lvt[i] = LVT_MASKED;
	memset(l->irr, 0, sizeof(l->irr));
	memset(l->isr, 0, sizeof(l->isr));
	memset(l->tmr, 0, sizeof(l->tmr));
	atomic_store(&l->ldr, 0);
	atomic_store(&l->dfr, ~0u);
	atomic_store(&l->svr, 0xff);
	atomic_store(&l->ppr, 0);
	l->extint = false;
	l->pv_msr = 0;
	l->pv_word = NULL;
	l->pv_pending = false;
	l->dcr = 0;
	lapic_timer_off_locked(l);
}

static void write_lvt_locked(struct lapic *l, enum lapic_lvt which, u32 val, struct lapic_todo *t)
{
	u32 old = l->lvt[which];

	val &= lvt_writable[which];
	if (!lapic_sw_on(l))
		val |= LVT_MASKED;
	if ((val & LVT_LEVEL) && (old & LVT_LEVEL))
		val |= old & LVT_REMOTE_IRR;
	l->lvt[which] = val;
	if (which == LVT_TIMER)
		lapic_timer_mode_locked(l, old);
	/* A pin that is up counts from now on if it is level-sensed; ExtINT always is */
	if (which == LVT_LINT0 && l->lint0 &&
	    ((val & LVT_LEVEL) || (val >> 8 & 7) == APIC_EXTINT))
		lapic_lvt_fire_locked(l, LVT_LINT0, t);
}

static void write_svr_locked(struct lapic *l, u32 val)
{
	atomic_store_explicit(&l->svr,
			      val & (0xff | SVR_ENABLED | SVR_FOCUS_OFF | SVR_NO_EOI_BROADCAST),
			      memory_order_relaxed);
	if (!(val & SVR_ENABLED))
		for (unsigned i = 0; i < LVT_NUM; i++)
			l->lvt[i] |= LVT_MASKED;
}

static void write_tpr_locked(struct lapic *l, u32 tpr, struct lapic_todo *t)
{
	lapic_pv_sync_locked(l, t);
	l->tpr = tpr & 0xff;
	update_ppr_locked(l);
	if (deliverable(l) >= 0)
		t->intr = true;
}

static void write_eoi_locked(struct lapic *l, struct lapic_todo *t)
{
	lapic_pv_withdraw_locked(l, t);
	lapic_eoi_locked(l, t);
}

/* 0; -EINVAL: not readable in this mode */
static int read_locked(struct lapic *l, unsigned reg, bool x2, u32 *val, struct lapic_todo *t)
{
	*val = 0;
	switch (reg) {
	case LAPIC_ID:
		*val = x2 ? l->cpu : l->cpu << 24;
		return 0;
	case LAPIC_VERSION:
		*val = VERSION_VALUE;
		return 0;
	case LAPIC_TPR:
		*val = l->tpr;
		return 0;
	case LAPIC_PPR:
		lapic_pv_sync_locked(l, t);
		*val = ppr(l);
		return 0;
	case LAPIC_APR:
	case LAPIC_RRD:
	case LAPIC_EOI:
		return x2 ? -EINVAL : 0;
	case LAPIC_LDR:
		*val = x2 ? (l->cpu >> 4) << 16 | BIT(l->cpu & 15) : atomic_load(&l->ldr);
		return 0;
	case LAPIC_DFR:
		*val = atomic_load(&l->dfr);
		return x2 ? -EINVAL : 0;
	case LAPIC_SVR:
		*val = atomic_load(&l->svr);
		return 0;
	case LAPIC_ISR ... LAPIC_ISR + 7:
		lapic_pv_sync_locked(l, t);
		*val = l->isr[reg - LAPIC_ISR];
		return 0;
	case LAPIC_TMR ... LAPIC_TMR + 7:
		*val = l->tmr[reg - LAPIC_TMR];
		return 0;
	case LAPIC_IRR ... LAPIC_IRR + 7:
		*val = l->irr[reg - LAPIC_IRR];
		return 0;
	case LAPIC_ESR:
		*val = l->esr;
		return 0;
	case LAPIC_ICR:
		*val = (u32)l->icr;
		return 0;
	case LAPIC_ICR2:
		*val = l->icr >> 32;
		return x2 ? -EINVAL : 0;
	case LAPIC_LVT ... LAPIC_LVT + LVT_NUM - 1:
		*val = l->lvt[reg - LAPIC_LVT];
		return 0;
	case LAPIC_INIT_COUNT:
		*val = l->init_count;
		return 0;
	case LAPIC_CUR_COUNT:
		*val = lapic_timer_current_locked(l);
		return 0;
	case LAPIC_DCR:
		*val = l->dcr;
		return 0;
	default:
		return -EINVAL;
	}
}

/* What both modes may write, but for ICR. 0; -EINVAL: not writable */
static int write_locked(struct lapic *l, unsigned reg, u32 val, struct lapic_todo *t)
{
	switch (reg) {
	case LAPIC_TPR:
		write_tpr_locked(l, val, t);
		return 0;
	case LAPIC_EOI:
		write_eoi_locked(l, t);
		return 0;
	case LAPIC_SVR:
		write_svr_locked(l, val);
		return 0;
	case LAPIC_ESR:
		/* 11.5.3: the write shows what was collected since the last one */
		l->esr = l->esr_pending;
		l->esr_pending = 0;
		return 0;
	case LAPIC_LVT ... LAPIC_LVT + LVT_NUM - 1:
		write_lvt_locked(l, reg - LAPIC_LVT, val, t);
		return 0;
	case LAPIC_INIT_COUNT:
		lapic_timer_count_locked(l, val);
		return 0;
	case LAPIC_DCR:
		lapic_timer_divide_locked(l, val);
		return 0;
	default:
		return -EINVAL;
	}
}

u32 apics_mmio_read(struct apics *a, unsigned cpu, unsigned off)
{
	struct lapic *l = &a->lapic[cpu];
	struct lapic_todo t = { 0 };
	u32 val;

	if (!lapic_on(l) || lapic_x2(l))
		return ~0u; /* nobody answers at the page */
	if (off & 0xc)
		return 0; /* only the first of each four words exists (11.4.1) */
	pthread_mutex_lock(&l->lock);
	if (read_locked(l, off >> 4, false, &val, &t))
		lapic_error_locked(l, ESR_REGISTER, &t);
	pthread_mutex_unlock(&l->lock);
	lapic_act(l, &t);
	return val >> (8 * (off & 3));
}

void apics_mmio_write(struct apics *a, unsigned cpu, unsigned off, u32 val)
{
	struct lapic *l = &a->lapic[cpu];
	struct lapic_todo t = { 0 };
	bool send = false;
	u64 icr = 0;

	if (!lapic_on(l) || lapic_x2(l) || (off & 0xf))
		return;
	pthread_mutex_lock(&l->lock);
	switch (off >> 4) {
	case LAPIC_ID: /* read-only, as on all CPUs that have x2APIC */
	case LAPIC_VERSION:
	case LAPIC_APR:
	case LAPIC_PPR:
	case LAPIC_RRD:
	case LAPIC_ISR ... LAPIC_ISR + 7:
	case LAPIC_TMR ... LAPIC_TMR + 7:
	case LAPIC_IRR ... LAPIC_IRR + 7:
	case LAPIC_CUR_COUNT:
		break;
	case LAPIC_LDR:
		atomic_store_explicit(&l->ldr, val & 0xff000000, memory_order_relaxed);
		break;
	case LAPIC_DFR:
		atomic_store_explicit(&l->dfr, val | 0x0fffffff, memory_order_relaxed);
		break;
	case LAPIC_ICR2:
		l->icr = (u32)l->icr | (u64)(val & 0xff000000) << 32;
		break;
	case LAPIC_ICR:
		/* Bit 12, send pending, reads as idle: sending is done when we return */
		l->icr = (l->icr & 0xffffffff00000000ull) | (val & 0xccfff);
		icr = l->icr;
		send = true;
		break;
	default:
		if (write_locked(l, off >> 4, val, &t))
			lapic_error_locked(l, ESR_REGISTER, &t);
		break;
	}
	pthread_mutex_unlock(&l->lock);
	lapic_act(l, &t);
	if (send)
		lapic_icr(l, icr, false);
}

/* 11.12.1.2: bits that must be written as zero in x2APIC mode */
static bool x2_write_ok(unsigned reg, u64 val)
{
	if (val >> 32)
		return false;
	switch (reg) {
	case LAPIC_TPR:
	case LAPIC_SELF_IPI:
		return !(val & ~0xffull);
	case LAPIC_EOI:
	case LAPIC_ESR:
		return !val;
	case LAPIC_SVR:
		return !(val & ~(u64)(0xff | SVR_ENABLED | SVR_FOCUS_OFF | SVR_NO_EOI_BROADCAST));
	case LAPIC_DCR:
		return !(val & ~0xbull);
	case LAPIC_LVT ... LAPIC_LVT + LVT_NUM - 1:
		/* Delivery status and remote IRR are read-only, not reserved */
		return !(val & ~(u64)(lvt_writable[reg - LAPIC_LVT] | BIT(12) | LVT_REMOTE_IRR));
	default:
		return true;
	}
}

static int x2_write(struct lapic *l, unsigned reg, u64 val)
{
	struct lapic_todo t = { 0 };
	int rc;

	if (reg == LAPIC_ICR) {
		/* Reserved: 31:20, 17:16, 13; software that came from xAPIC may set 12 */
		if (val & 0xfff32000)
			return -EINVAL;
		val &= ~BIT64(12);
		pthread_mutex_lock(&l->lock);
		l->icr = val;
		pthread_mutex_unlock(&l->lock);
		lapic_icr(l, val, true);
		return 0;
	}
	if (!x2_write_ok(reg, val))
		return -EINVAL;
	pthread_mutex_lock(&l->lock);
	if (reg == LAPIC_SELF_IPI) {
		rc = 0;
		if (lapic_sw_on(l))
			lapic_accept_locked(l, (u8)val, false, &t);
	} else {
		rc = write_locked(l, reg, (u32)val, &t);
	}
	pthread_mutex_unlock(&l->lock);
	lapic_act(l, &t);
	return rc;
}

static int x2_read(struct lapic *l, unsigned reg, u64 *val)
{
	struct lapic_todo t = { 0 };
	u32 v;
	int rc;

	pthread_mutex_lock(&l->lock);
	rc = read_locked(l, reg, true, &v, &t);
	*val = reg == LAPIC_ICR ? l->icr : v;
	pthread_mutex_unlock(&l->lock);
	lapic_act(l, &t);
	return rc;
}

/* 11.12.5, figure 11-27. ON and X2 as a two-bit number: 0 off, 2 xAPIC, 3 x2APIC */
static int write_base(struct lapic *l, u64 val)
{
	u64 old = atomic_load(&l->base);
	unsigned from = old >> 10 & 3, to = val >> 10 & 3;

	if (val & ~(BASE_ADDRESS | APIC_BASE_BSP | APIC_BASE_X2 | APIC_BASE_ON))
		return -EINVAL;
	if (to == 1 || (to == 3 && from == 0) || (to == 2 && from == 3))
		return -EINVAL;
	pthread_mutex_lock(&l->lock);
	if (from != to && to == 0)
		reset_locked(l);
	if (from == 2 && to == 3)
		l->icr = (u32)l->icr; /* the destination has another format */
	atomic_store(&l->base, val);
	pthread_mutex_unlock(&l->lock);
	return 0;
}

int apics_msr(struct apics *a, unsigned cpu, u32 index, u64 *val, bool write)
{
	struct lapic *l = &a->lapic[cpu];
	struct lapic_todo t = { 0 };

	if (index >= MSR_X2APIC && index < MSR_X2APIC + 0x100) {
		if (!lapic_x2(l))
			return -EINVAL;
		index -= MSR_X2APIC;
		return write ? x2_write(l, index, *val) : x2_read(l, index, val);
	}
	if (index == MSR_TSC_DEADLINE) {
		pthread_mutex_lock(&l->lock);
		if (write)
			lapic_timer_tsc_locked(l, *val, &t);
		else
			*val = l->tsc_deadline;
		pthread_mutex_unlock(&l->lock);
		lapic_act(l, &t);
		return 0;
	}
	if (index == MSR_APIC_BASE) {
		if (write)
			return write_base(l, *val);
		*val = atomic_load(&l->base);
		return 0;
	}
	return -EINVAL;
}

u64 apics_base(struct apics *a, unsigned cpu)
{
	return atomic_load_explicit(&a->lapic[cpu].base, memory_order_relaxed);
}

void apics_set_tpr(struct apics *a, unsigned cpu, u8 cr8)
{
	struct lapic *l = &a->lapic[cpu];
	struct lapic_todo t = { 0 };

	pthread_mutex_lock(&l->lock);
	write_tpr_locked(l, (u32)cr8 << 4, &t);
	pthread_mutex_unlock(&l->lock);
	lapic_act(l, &t);
}

u8 apics_get_tpr(struct apics *a, unsigned cpu)
{
	struct lapic *l = &a->lapic[cpu];
	u8 cr8;

	pthread_mutex_lock(&l->lock);
	cr8 = l->tpr >> 4 & 0xf;
	pthread_mutex_unlock(&l->lock);
	return cr8;
}

/* ----------------------------------------------------------------- life */

void apics_on_eoi(struct apics *a, void (*eoi)(void *arg, u8 vector), void *arg)
{
	a->eoi = eoi;
	a->eoi_arg = arg;
}

void apics_on_extint(struct apics *a, int (*ack)(void *arg, bool peek), void *arg)
{
	a->extint = ack;
	a->extint_arg = arg;
}

void apics_cpu_init(struct apics *a, unsigned cpu)
{
	struct lapic *l = &a->lapic[cpu];

	pthread_mutex_lock(&l->lock);
	reset_locked(l);
	pthread_mutex_unlock(&l->lock);
}

void apics_reset(struct apics *a)
{
	for (unsigned i = 0; i < a->cfg.cpus; i++) {
		struct lapic *l = &a->lapic[i];
		u64 base = DEFAULT_BASE | APIC_BASE_ON;

		if (a->cfg.x2apic_start)
			base |= APIC_BASE_X2;
		if (i == 0)
			base |= APIC_BASE_BSP;
		pthread_mutex_lock(&l->lock);
		reset_locked(l);
		atomic_store(&l->base, base);
		/* No firmware runs before the kernel, so its part is done here: virtual
		 * wire mode (MP specification 3.6.2.2), the PIC's interrupts through LINT0 */
		if (i == 0)
			l->lvt[LVT_LINT0] = APIC_EXTINT << 8;
		pthread_mutex_unlock(&l->lock);
	}
}

int apics_create(struct apics **out, const struct apics_config *cfg, struct hk_err *err)
{
	size_t bytes = sizeof(struct apics) + cfg->cpus * sizeof(struct lapic);
	struct apics *a;

	if (cfg->cpus < 1 || cfg->cpus > LAPIC_MAX_CPUS)
		return err_set(err, -EINVAL, "%u CPUs: 1 to %d are possible", cfg->cpus,
			       LAPIC_MAX_CPUS);
	a = aligned_alloc(_Alignof(struct apics), ALIGN_UP(bytes, _Alignof(struct apics)));
	if (!a)
		return err_set(err, -ENOMEM, "out of memory");
	memset(a, 0, bytes);
	a->cfg = *cfg;
	for (unsigned i = 0; i < cfg->cpus; i++) {
		struct lapic *l = &a->lapic[i];

		l->set = a;
		l->cpu = i;
		pthread_mutex_init(&l->lock, NULL);
		lapic_timer_init(l);
	}
	apics_reset(a);
	*out = a;
	return 0;
}

void apics_stop(struct apics *a)
{
	atomic_store(&a->stopped, true);
	for (unsigned i = 0; i < a->cfg.cpus; i++)
		lapic_timer_quiet(&a->lapic[i]);
}

void apics_start(struct apics *a)
{
	if (!atomic_exchange(&a->stopped, false))
		return;
	for (unsigned i = 0; i < a->cfg.cpus; i++) {
		pthread_mutex_lock(&a->lapic[i].lock);
		lapic_timer_resume_locked(&a->lapic[i]);
		pthread_mutex_unlock(&a->lapic[i].lock);
	}
}

void apics_destroy(struct apics *a)
{
	if (!a)
		return;
	apics_stop(a);
	for (unsigned i = 0; i < a->cfg.cpus; i++)
		pthread_mutex_destroy(&a->lapic[i].lock);
	free(a);
}

static void dump_vectors(struct strbuf *out, const char *name, const u32 *bits)
{
	strbuf_add(out, " %s", name);
	for (unsigned v = 0; v < 256; v++)
		if (lapic_test_vec(bits, v))
			strbuf_add(out, " %02x", v);
}

void apics_dump(struct apics *a, struct strbuf *out)
{
	for (unsigned i = 0; i < a->cfg.cpus; i++) {
		struct lapic *l = &a->lapic[i];

		pthread_mutex_lock(&l->lock);
		strbuf_add(out, "lapic %u: base %llx tpr %02x ppr %02x svr %03x ldr %08x dfr %08x esr %02x icr %llx\n",
			   i, (unsigned long long)atomic_load(&l->base), l->tpr, ppr(l),
			   atomic_load(&l->svr), atomic_load(&l->ldr), atomic_load(&l->dfr), l->esr,
			   (unsigned long long)l->icr);
		strbuf_add(out, "lapic %u: lvt", i);
		for (unsigned n = 0; n < LVT_NUM; n++)
			strbuf_add(out, " %05x", l->lvt[n]);
		strbuf_add(out, " count %u/%u dcr %x deadline %llu ns tsc %llx\n",
			   lapic_timer_current_locked(l), l->init_count, l->dcr,
			   (unsigned long long)atomic_load(&l->deadline_ns),
			   (unsigned long long)l->tsc_deadline);
		strbuf_add(out, "lapic %u:", i);
		dump_vectors(out, "irr", l->irr);
		dump_vectors(out, "isr", l->isr);
		strbuf_add(out, "\n");
		pthread_mutex_unlock(&l->lock);
	}
}
