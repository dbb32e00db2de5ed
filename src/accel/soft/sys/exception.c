// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/sys/exception.c - Throwing, and delivering what was thrown
 *
 * Anybody below the dispatch loop throws; the dispatch loop calls the sc_deliver_*
 * functions here, which never throw themselves: a fault met while delivering is
 * caught by an own landing place and combined as SDM 3A 6.15 (table 6-5) says. */
#include "accel/soft/sys/sys_int.h"

static void unwind(struct sc_vcpu *v) NORETURN;
static void __attribute__((noinline)) unwind(struct sc_vcpu *v)
{
	__builtin_longjmp(v->throw_buf, 1);
}

void sc_throw(struct sc_vcpu *v, unsigned vector)
{
	v->exc.vector = vector;
	v->exc.has_error = false;
	v->exc.error = 0;
	unwind(v);
}

void sc_throw_error(struct sc_vcpu *v, unsigned vector, u32 error)
{
	v->exc.vector = vector;
	v->exc.has_error = true;
	v->exc.error = error;
	unwind(v);
}

void sc_throw_pf(struct sc_vcpu *v, gva_t addr, u32 error)
{
	v->exc.vector = X86_VEC_PF;
	v->exc.has_error = true;
	v->exc.error = error & (SC_PF_P | SC_PF_W | SC_PF_U | SC_PF_RSVD | SC_PF_I);
	v->exc.cr2 = sc_long_mode(v) ? addr : (u32)addr;
	unwind(v);
}

/* One attempt. true: done; false: v->exc has the fault that was met.
 *
 * The landing place of whoever called us is put back in both cases. Nothing but
 * memory is used after the second return of __builtin_setjmp, as registers are lost. */
static bool __attribute__((noinline)) attempt(struct sc_vcpu *volatile v,
					      const struct sys_event *ev)
{
	void *volatile saved[5];
	volatile bool done = false;
	unsigned i;

	for (i = 0; i < 5; i++)
		saved[i] = v->throw_buf[i];
	if (!__builtin_setjmp(v->throw_buf)) {
		gate_deliver(v, ev);
		done = true;
	}
	for (i = 0; i < 5; i++)
		v->throw_buf[i] = saved[i];
	return done;
}

enum severity { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE_FAULT };

static enum severity severity(unsigned vector)
{
	switch (vector) {
	case X86_VEC_DE:
	case X86_VEC_TS:
	case X86_VEC_NP:
	case X86_VEC_SS:
	case X86_VEC_GP:
		return CONTRIBUTORY;
	case X86_VEC_PF:
		return PAGE_FAULT;
	case X86_VEC_DF:
		return DOUBLE_FAULT;
	default:
		return BENIGN;
	}
}

/* Do @first and then @second, met while delivering it, make a double fault? */
static bool makes_df(enum severity first, enum severity second)
{
	if (first == CONTRIBUTORY)
		return second == CONTRIBUTORY;
	if (first == PAGE_FAULT)
		return second == CONTRIBUTORY || second == PAGE_FAULT;
	return false;
}

/* Faults push RF so that an instruction breakpoint does not hit twice; #DB, traps and aborts
 * do not (SDM 3B 18.3.1.1) */
static bool pushes_rf(unsigned vector)
{
	switch (vector) {
	case X86_VEC_DB:
	case X86_VEC_BP:
	case X86_VEC_OF:
	case X86_VEC_DF:
	case X86_VEC_MC:
		return false;
	default:
		return true;
	}
}

/* Effects of an exception besides the transfer */
static void record(struct sc_vcpu *v, const struct sc_exception *e)
{
	if (e->vector == X86_VEC_PF)
		v->cr2 = e->cr2;
	if (e->vector == X86_VEC_DB) {
		v->dr[6] = (v->dr[6] & ~(u64)DR6_TRAPS) | e->dr6 | DR6_ONES;
		v->dr[7] &= ~(u64)DR7_GD;
	}
}

static void event_done(struct sc_vcpu *v)
{
	v->exc.dr6 = 0;
	v->rf_next = false;
	v->int_shadow = 0;
	v->halted = false;
}

/* The pushes of a delivery touched data breakpoints: a #DB before the handler's first
 * instruction. Those of that #DB count no more, or it would have no end. */
static bool watched_delivery(struct sc_vcpu *v, unsigned vector)
{
	u8 hits = v->watch_hits;

	v->watch_hits = 0;
	if (likely(!hits) || vector == X86_VEC_DB)
		return false;
	v->exc = (struct sc_exception){ .vector = X86_VEC_DB, .dr6 = hits };
	return true;
}

/* Deliver v->exc, met while an event of @first was delivered (BENIGN: none) */
static void deliver_faults(struct sc_vcpu *v, enum severity first)
{
	struct sys_event ev;

	for (;;) {
		enum severity now = severity(v->exc.vector);

		if (first == DOUBLE_FAULT && now != BENIGN) {
			v->shutdown = true;
			break;
		}
		record(v, &v->exc);
		if (makes_df(first, now)) {
			v->exc.vector = X86_VEC_DF;
			v->exc.has_error = true;
			v->exc.error = 0;
			now = DOUBLE_FAULT;
		}
		ev.vector = v->exc.vector;
		ev.has_error = v->exc.has_error;
		ev.error = v->exc.error;
		ev.soft = false;
		ev.ext = 1;
		ev.rip = v->rip;
		ev.flags = pushes_rf(ev.vector) || v->rf_next ? X86_FLAG_RF : 0;
		v->watch_hits = 0;
		if (attempt(v, &ev)) {
			v->rf_next = false;
			if (likely(!watched_delivery(v, ev.vector)))
				break;
			now = BENIGN;
		}
		first = now;
	}
	event_done(v);
}

void sc_deliver_exception(struct sc_vcpu *v)
{
	deliver_faults(v, BENIGN);
}

static void deliver_external(struct sc_vcpu *v, u8 vector)
{
	struct sys_event ev = { .vector = vector, .ext = 1, .rip = v->rip,
				.flags = v->rf_next ? X86_FLAG_RF : 0 };

	v->watch_hits = 0;
	if (!attempt(v, &ev) || unlikely(watched_delivery(v, vector)))
		deliver_faults(v, BENIGN);
	else
		event_done(v);
}

void sc_deliver_interrupt(struct sc_vcpu *v, u8 vector)
{
	deliver_external(v, vector);
}

void sc_deliver_nmi(struct sc_vcpu *v)
{
	v->nmi_blocked = true;
	deliver_external(v, X86_VEC_NMI);
}

/* SDM 2A "INT n/INTO/INT3/INT1". INT1 counts as a hardware event: no DPL check, EXT set */
void sc_software_int(struct sc_vcpu *v, u8 vector, enum sc_soft_int kind, u64 next_rip)
{
	struct sys_event ev = { .vector = vector, .soft = kind != SC_INT1,
				.ext = kind == SC_INT1, .rip = next_rip };

	if (kind == SC_INT_N && sc_vm86(v) && sc_iopl(v) < 3)
		sc_gp0(v);
	gate_deliver(v, &ev);
	/* TF was cleared before a single-step trap could come */
	v->exc_pending_db = false;
	v->int_shadow = 0;
	v->rf_next = false;
}
