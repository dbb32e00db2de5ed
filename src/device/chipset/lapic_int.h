// SPDX-License-Identifier: BSD-2-Clause
/* device/chipset/lapic_int.h - What the lapic*.c files share
 *
 * lapic.c keeps the registers, lapic_msg.c finds the targets of a message and
 * accepts it there, lapic_timer.c is the timer, lapic_pv.c the paravirtual EOI. Register numbers are SDM 3A
 * table 11-1 offsets divided by 16, which is also the x2APIC MSR minus 0x800. */
#ifndef DEVICE_CHIPSET_LAPIC_INT_H
#define DEVICE_CHIPSET_LAPIC_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/loop.h"
#include "device/chipset/chipset.h"

#define LAPIC_MAX_CPUS 64 /* a set of CPUs is a u64 */

enum lapic_reg {
	LAPIC_ID = 0x02, LAPIC_VERSION = 0x03, LAPIC_TPR = 0x08, LAPIC_APR = 0x09,
	LAPIC_PPR = 0x0a, LAPIC_EOI = 0x0b, LAPIC_RRD = 0x0c, LAPIC_LDR = 0x0d,
	LAPIC_DFR = 0x0e, LAPIC_SVR = 0x0f, LAPIC_ISR = 0x10, LAPIC_TMR = 0x18,
	LAPIC_IRR = 0x20, LAPIC_ESR = 0x28, LAPIC_ICR = 0x30, LAPIC_ICR2 = 0x31,
	LAPIC_LVT = 0x32, LAPIC_INIT_COUNT = 0x38, LAPIC_CUR_COUNT = 0x39, LAPIC_DCR = 0x3e,
	LAPIC_SELF_IPI = 0x3f
};

/* In the order of their registers, 0x320.. */
enum lapic_lvt {
	LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_NUM
};
#define LVT_MASKED BIT(16)
#define LVT_LEVEL BIT(15)
#define LVT_REMOTE_IRR BIT(14)
#define LVT_TIMER_MODE (3u << 17)
#define LVT_TIMER_ONESHOT 0u
#define LVT_TIMER_PERIODIC BIT(17)
#define LVT_TIMER_DEADLINE BIT(18)

#define SVR_ENABLED BIT(8)
#define SVR_FOCUS_OFF BIT(9)
#define SVR_NO_EOI_BROADCAST BIT(12)

/* SDM 3A figure 11-9 */
#define ESR_SEND_VECTOR BIT(5)
#define ESR_RECV_VECTOR BIT(6)
#define ESR_REGISTER BIT(7)

#define APIC_BASE_BSP BIT64(8)
#define APIC_BASE_X2 BIT64(10)
#define APIC_BASE_ON BIT64(11)

/* Delivery modes of ICR, LVT and MSI */
enum apic_mode {
	APIC_FIXED, APIC_LOWEST, APIC_SMI, APIC_REMOTE_READ, APIC_NMI, APIC_INIT, APIC_SIPI,
	APIC_EXTINT
};

/* A message on its way; @wide: @dest has 32 bits (sent from an x2APIC) */
struct apic_msg {
	u32 dest;
	bool wide, logical, level;
	enum apic_mode mode;
	u8 vector;
};

/* What must be called once the LAPIC's lock is released */
struct lapic_todo {
	bool intr, nmi, smi, init;
	bool pv_wrote; /* the guest's PV EOI word was stored to */
	bool eoi;
	u8 eoi_vector;
};

struct lapic {
	pthread_mutex_t lock;
	struct apics *set;
	unsigned cpu; /* = APIC id */

	/* Written under the lock; lapic_msg.c reads them without it to find targets */
	_Atomic u64 base;
	_Atomic u32 ldr, dfr, svr;
	_Atomic u32 ppr;

	/* The rest is under the lock */
	u32 tpr, esr, esr_pending;
	u64 icr;
	u32 lvt[LVT_NUM];
	u32 irr[8], isr[8], tmr[8];
	bool extint; /* an ExtINT message waits for its acknowledge */
	bool lint0;  /* level of the pin */

	/* PV EOI: the guest's word is only touched by the vCPU's own thread */
	u64 pv_msr;
	u32 *pv_word;
	bool pv_pending; /* we set bit 0; clear now means: the guest did an EOI */

	/* Timer */
	struct timer timer;
	u32 init_count, dcr;
	u64 start_ns;		 /* when the count was written, or the period began */
	u64 tsc_deadline;	 /* 0 = none */
	_Atomic u64 deadline_ns; /* next expiry, ~0 = none */
	u64 armed_ns;		 /* what the loop was told, ~0 = nothing */
} ALIGNED(64);

struct apics {
	struct apics_config cfg;
	void (*eoi)(void *arg, u8 vector);
	void *eoi_arg;
	int (*extint)(void *arg, bool peek);
	void *extint_arg;
	_Atomic bool stopped;
	_Atomic unsigned rotor; /* ties of lowest-priority arbitration */
	struct lapic lapic[];
};

static inline bool lapic_on(struct lapic *l)
{
	return atomic_load_explicit(&l->base, memory_order_relaxed) & APIC_BASE_ON;
}

static inline bool lapic_x2(struct lapic *l)
{
	return atomic_load_explicit(&l->base, memory_order_relaxed) & APIC_BASE_X2;
}

static inline bool lapic_sw_on(struct lapic *l)
{
	return atomic_load_explicit(&l->svr, memory_order_relaxed) & SVR_ENABLED;
}

/* Highest vector of a 256-bit register, -1 none */
static inline int lapic_highest(const u32 *bits)
{
	for (int i = 7; i >= 0; i--)
		if (bits[i])
			return i * 32 + 31 - __builtin_clz(bits[i]);
	return -1;
}

static inline bool lapic_test_vec(const u32 *bits, unsigned vec)
{
	return bits[vec / 32] >> (vec % 32) & 1;
}

/* lapic.c; @l->lock is held */
void lapic_error_locked(struct lapic *l, u32 esr_bit, struct lapic_todo *t);
void lapic_lvt_fire_locked(struct lapic *l, enum lapic_lvt which, struct lapic_todo *t);
void lapic_accept_locked(struct lapic *l, u8 vector, bool level, struct lapic_todo *t);
void lapic_eoi_locked(struct lapic *l, struct lapic_todo *t);
/* No lock held */
void lapic_act(struct lapic *l, const struct lapic_todo *t);

/* lapic_msg.c; no lock held */
void lapic_icr(struct lapic *l, u64 icr, bool wide);

/* lapic_pv.c; @l->lock is held, [vcpu] */
void lapic_pv_sync_locked(struct lapic *l, struct lapic_todo *t);
void lapic_pv_offer_locked(struct lapic *l, unsigned vec, struct lapic_todo *t);
void lapic_pv_withdraw_locked(struct lapic *l, struct lapic_todo *t);

/* lapic_timer.c; @l->lock is held but for init and quiet */
void lapic_timer_init(struct lapic *l);
void lapic_timer_quiet(struct lapic *l); /* no callback runs after it */
void lapic_timer_off_locked(struct lapic *l);
void lapic_timer_count_locked(struct lapic *l, u32 initial);
void lapic_timer_divide_locked(struct lapic *l, u32 dcr);
void lapic_timer_mode_locked(struct lapic *l, u32 old_lvt);
void lapic_timer_tsc_locked(struct lapic *l, u64 deadline, struct lapic_todo *t);
void lapic_timer_resume_locked(struct lapic *l);
u32 lapic_timer_current_locked(struct lapic *l);

#endif
