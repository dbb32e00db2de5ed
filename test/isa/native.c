// SPDX-License-Identifier: BSD-2-Clause
/* test/isa/native.c - The judge: instructions run as they are on the host CPU */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ucontext.h>

#include "accel/soft/decode/decode.h"
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

/* Behind the code page: the way back from 32-bit code */
#define COMPAT_EXIT (ISA_CODE + 0x1000)
#define CS32 0x23
#define CS64 0x33
#define DS32 0x2b

static struct isa_result *running;
static unsigned running_bits;

/* #MF and #XM arrive alike: does the instruction look at pending x87 exceptions, and is one? */
static bool waits_for_x87(const struct isa_state *st)
{
	struct sc_insn in;
	bool x87;

	if (!(st->xsave[2] & 0x80) ||
	    sc_decode(NULL, running_bits, (const u8 *)st->rip, 15, &in) != SC_DEC_OK)
		return false;
	x87 = in.encoding == SC_ENC_LEGACY && in.map == 0;
	for (unsigned i = 0; i < in.nops; i++)
		x87 |= in.op[i].kind == SC_OP_MMX;
	return x87 || in.opcode == 0x77; /* EMMS */
}

static int vector_of(int sig, const siginfo_t *si, const struct isa_state *st)
{
	switch (sig) {
	case SIGILL: return 6;
	case SIGTRAP: return 3;
	case SIGBUS: return 12; /* a stack access to a non-canonical address */
	case SIGSEGV: return si->si_code == SI_KERNEL ? 13 : 14;
	case SIGFPE:
		if (si->si_code == FPE_INTDIV)
			return 0;
		return waits_for_x87(st) ? 16 : 19;
	default: return 99;
	}
}

static void on_signal(int sig, siginfo_t *si, void *ucp)
{
	static const int reg[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
				     REG_RSI, REG_RDI, REG_R8,	REG_R9,	 REG_R10, REG_R11,
				     REG_R12, REG_R13, REG_R14, REG_R15 };
	ucontext_t *uc = ucp;
	greg_t *g = uc->uc_mcontext.gregs;
	struct isa_state *st;

	if (!running || (u64)g[REG_RIP] - ISA_CODE >= 4096) {
		signal(sig, SIG_DFL);
		return;
	}
	st = &running->out;
	for (unsigned i = 0; i < 16; i++)
		st->gpr[i] = g[reg[i]];
	st->rip = g[REG_RIP];
	st->rflags = g[REG_EFL];
	memcpy(st->xsave, uc->uc_mcontext.fpregs, ISA_XSAVE_LEN);
	running->vector = vector_of(sig, si, st);
	running->fault_addr = running->vector == 14 ? (u64)si->si_addr : 0;
	g[REG_RIP] = (greg_t)isa_native_abort;
	g[REG_EFL] = 0x202;
	g[REG_CSGSFS] = (g[REG_CSGSFS] & ~0xffffll) | CS64;
}

static void init(void)
{
	static char alt[65536];
	static const int sigs[] = { SIGILL, SIGTRAP, SIGBUS, SIGSEGV, SIGFPE };
	stack_t ss = { .ss_sp = alt, .ss_size = sizeof(alt) };
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	u8 *back = (u8 *)COMPAT_EXIT;
	u32 far_off = (u32)COMPAT_EXIT + 16;
	u64 abs = (u64)isa_native_exit;

	sigaltstack(&ss, NULL);
	for (unsigned i = 0; i < ARRAY_LEN(sigs); i++)
		sigaction(sigs[i], &sa, NULL);
	/* 64-bit processes live with null DS and ES, 32-bit code does not */
	__asm__ volatile("mov %0, %%ds; mov %0, %%es" : : "r"(DS32));
	/* ljmp $0x33, $COMPAT_EXIT+16; there jmp *0(%rip) */
	back[0] = 0xea;
	memcpy(back + 1, &far_off, 4);
	back[5] = CS64;
	back[6] = 0;
	memcpy(back + 16, "\xff\x25\0\0\0\0", 6);
	memcpy(back + 22, &abs, 8);
}

static void run(const struct isa_case *c, struct isa_result *r)
{
	u8 *end = (u8 *)ISA_CODE + c->len;
	u64 abs = (u64)isa_native_exit;

	if (c->bits == 8) {
		memcpy(end, "\xff\x25\0\0\0\0", 6);
		memcpy(end + 6, &abs, 8);
		isa_entry = ISA_CODE;
	} else {
		s32 rel = (s32)(COMPAT_EXIT - (ISA_CODE + c->len + 5));

		*end = 0xe9;
		memcpy(end + 1, &rel, 4);
		isa_far_entry.off = (u32)ISA_CODE;
		isa_far_entry.sel = CS32;
		isa_entry = (u64)isa_enter_compat;
	}
	r->out.rflags = (r->out.rflags & 0xcd5) | 0x202;
	r->out.rip = ISA_CODE + c->len;
	running_bits = c->bits;
	running = r;
	isa_native_enter(&r->out);
	running = NULL;
}

const struct isa_engine isa_native = { .name = "native", .init = init, .run = run };
