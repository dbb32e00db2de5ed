// SPDX-License-Identifier: BSD-2-Clause
/* test/isa/native.c - The judge: instructions run as they are on the host CPU
 *
 * The segment bases are the guest's while its code runs; signal handlers of this program touch
 * no thread-local storage before they have put the host's back. */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/ucontext.h>

#include "isa.h"

extern u64 isa_entry;
extern struct PACKED {
	u32 off;
	u16 sel;
} isa_far_entry;
void isa_native_enter(struct isa_state *st);
extern const char isa_native_exit[], isa_native_abort[], isa_enter_compat[];

_Static_assert(offsetof(struct isa_state, rflags) == 136, "native_run.S");
_Static_assert(offsetof(struct isa_state, xsave) == 192, "native_run.S");

#ifndef HWCAP2_FSGSBASE
#define HWCAP2_FSGSBASE BIT(1)
#endif
#define TICK_USEC 200000
#define MAX_TICKS 6

static struct isa_result *volatile running;
static bool own_bases;
static u64 host_fs, host_gs;
static volatile unsigned ticks;
static struct sigaction engines_own[65];

bool isa_have_fsgsbase(void) { return getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE; }

static inline void bases_of(struct isa_state *st)
{
	__asm__ volatile("rdfsbase %0" : "=r"(st->fs_base));
	__asm__ volatile("rdgsbase %0" : "=r"(st->gs_base));
}

static inline void set_bases(u64 fs, u64 gs)
{
	__asm__ volatile("wrfsbase %0; wrgsbase %1" : : "r"(fs), "r"(gs) : "memory");
}

static void leave(ucontext_t *uc, int vector)
{
	static const int reg[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
				     REG_RSI, REG_RDI, REG_R8,	REG_R9,	 REG_R10, REG_R11,
				     REG_R12, REG_R13, REG_R14, REG_R15 };
	greg_t *g = uc->uc_mcontext.gregs;
	struct isa_state *st = &running->out;

	for (unsigned i = 0; i < 16; i++)
		st->gpr[i] = g[reg[i]];
	st->rip = g[REG_RIP];
	st->rflags = g[REG_EFL];
	memcpy(st->xsave, uc->uc_mcontext.fpregs, ISA_XSAVE_LEN);
	running->vector = vector;
	if (isa_has_error(vector))
		running->error = (u32)g[REG_ERR];
	running->fault_addr = vector == 14 ? (u64)g[REG_CR2] : 0;
	g[REG_RIP] = (greg_t)isa_native_abort;
	g[REG_EFL] = 0x202;
	g[REG_CSGSFS] = (g[REG_CSGSFS] & ~0xffffll) | ISA_CS64;
}

static bool in_our_code(u64 rip)
{
	return rip >= (u64)isa_native_enter && rip <= (u64)isa_native_abort + 64;
}

static void on_signal(int sig, siginfo_t *si, void *ucp)
{
	ucontext_t *uc = ucp;

	if (running && own_bases) {
		bases_of(&running->out);
		set_bases(host_fs, host_gs);
	}
	if (!running && engines_own[sig].sa_flags & SA_SIGINFO) {
		engines_own[sig].sa_sigaction(sig, si, ucp);
		return;
	}
	if (!running || in_our_code((u64)uc->uc_mcontext.gregs[REG_RIP])) {
		signal(sig, SIG_DFL);
		return;
	}
	leave(uc, (int)uc->uc_mcontext.gregs[REG_TRAPNO]);
}

/* CPU time goes by: does the case that ran at the last ticks still run? */
static void on_tick(int sig, siginfo_t *si, void *ucp)
{
	ucontext_t *uc = ucp;

	ticks++;
	if (ticks < MAX_TICKS)
		return;
	if (!running) {
		isa_stop_engines();
		return;
	}
	if (in_our_code((u64)uc->uc_mcontext.gregs[REG_RIP]))
		return;
	if (own_bases) {
		bases_of(&running->out);
		set_bases(host_fs, host_gs);
	}
	leave(uc, ISA_TIMEOUT);
}

static void init(void)
{
	static char alt[65536];
	static const int sigs[] = { SIGILL, SIGTRAP, SIGBUS, SIGSEGV, SIGFPE };
	const struct itimerval tick = { { 0, TICK_USEC }, { 0, TICK_USEC } };
	stack_t ss = { .ss_sp = alt, .ss_size = sizeof(alt) };
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	u8 *back = (u8 *)ISA_EXIT;
	u32 far_off = (u32)ISA_EXIT;
	u64 abs = (u64)isa_native_exit;

	sigaltstack(&ss, NULL);
	sigaddset(&sa.sa_mask, SIGPROF);
	for (unsigned i = 0; i < ARRAY_LEN(sigs); i++)
		sigaction(sigs[i], &sa, &engines_own[sigs[i]]);
	sa.sa_sigaction = on_tick;
	sa.sa_flags |= SA_RESTART;
	sigfillset(&sa.sa_mask);
	sigaction(SIGPROF, &sa, NULL);
	setitimer(ITIMER_PROF, &tick, NULL);
	own_bases = isa_have_fsgsbase();
	/* jmp *10(%rip); of 32-bit code first ljmp $0x33, $ISA_EXIT */
	memset(back, 0xcc, 4096);
	memcpy(back, "\xff\x25\x0a\0\0\0", 6);
	memcpy(back + 16, &abs, 8); /* aligned: RFLAGS.AC may be set */
	back += ISA_EXIT32 - ISA_EXIT;
	back[0] = 0xea;
	memcpy(back + 1, &far_off, 4);
	back[5] = ISA_CS64;
	back[6] = 0;
	if (mprotect((void *)ISA_EXIT, 4096, PROT_READ | PROT_EXEC)) {
		perror("mprotect");
		exit(2);
	}
}

static void protect_system(int prot)
{
	if (mprotect((void *)ISA_BASE, ISA_SYSTEM + ISA_SYSTEM_LEN - ISA_BASE, prot)) {
		perror("mprotect");
		exit(2);
	}
}

static void run(const struct isa_case *c, struct isa_result *r)
{
	if (c->bits == 8) {
		isa_entry = ISA_CODE + c->start;
	} else {
		isa_far_entry.off = (u32)(ISA_CODE + c->start);
		isa_far_entry.sel = ISA_CS32;
		isa_entry = (u64)isa_enter_compat;
	}
	r->out.rflags = (r->out.rflags & 0xcd5) | 0x202;
	r->out.rip = c->bits == 8 ? ISA_EXIT : ISA_EXIT32;
	ticks = 0;
	/* 64-bit processes live with null DS and ES, 32-bit code does not, and may have changed them */
	__asm__ volatile("mov %0, %%ds; mov %0, %%es" : : "r"(ISA_DS));
	if (own_bases) {
		__asm__ volatile("rdfsbase %0" : "=r"(host_fs));
		__asm__ volatile("rdgsbase %0" : "=r"(host_gs));
	}
	/* The guest's page tables and the like: not there for it, so not for the host's run either */
	protect_system(PROT_NONE);
	running = r;
	if (own_bases)
		set_bases(r->out.fs_base, r->out.gs_base);
	isa_native_enter(&r->out);
	if (own_bases && r->vector == ISA_NO_FAULT) {
		bases_of(&r->out);
		set_bases(host_fs, host_gs);
	}
	running = NULL;
	protect_system(PROT_READ | PROT_WRITE);
	ticks = 0;
	r->gave_up = r->vector == ISA_TIMEOUT;
}

const struct isa_engine isa_native = { .name = "native", .init = init, .run = run };
