// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/fault/fault.h - Host signals that guest instructions cause
 *
 * Guest instructions run on the host CPU in two places: in translated code and in the
 * snippets of interp/native.c. When one of them divides by zero, meets an unmasked
 * floating-point exception or a misaligned SSE operand, the host kernel sends a signal.
 * Process-wide handlers for SIGSEGV, SIGBUS, SIGFPE and SIGILL find out whose it is and
 * move the interrupted thread to a place that raises the guest's exception; signals that
 * are not ours go to the handler that was there before. */
#ifndef ACCEL_SOFT_FAULT_FAULT_H
#define ACCEL_SOFT_FAULT_FAULT_H

#include "accel/soft/soft.h"

/* One signal. @gregs is the interrupted context (REG_* of sys/ucontext.h): what is
 * changed there is what the thread continues with. */
struct sc_fault {
	int sig, code; /* code: si_code */
	u64 addr;      /* si_addr: of a memory access, 0 for #GP */
	u64 pc;
	long long *gregs;
};

/* Offered every synchronous signal of this vCPU's thread that no snippet caused. [signal]
 * Return: true when f->pc lies in translated code and gregs now say where to go on. */
typedef bool sc_fault_hook(struct sc_vcpu *v, struct sc_fault *f);

/* Install the handlers, once per process. [setup] Return: 0 or -errno */
int sc_fault_install(void) MUST_CHECK;

/* This thread runs @v from now on; @hook may be NULL. Around vcpu_run, [vcpu] */
void sc_fault_enter(struct sc_vcpu *v, sc_fault_hook *hook);
void sc_fault_leave(void);

/* The guest exception that a signal stands for (SDM 3A 6.15), or -1 when the guest cannot
 * have caused it. @x87: the instruction is an x87 or MMX one, whose SIGFPE is #MF, not #XM. */
int sc_fault_vector(const struct sc_fault *f, bool x87);

#endif
