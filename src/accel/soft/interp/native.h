// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/interp/native.h - What the files of the native executor share
 *
 * native.c        classification, privilege and feature checks, memory operand, execution
 * native_code.c   executable memory, snippets, signals that hit them
 * native_run.S    the way in and out of a snippet
 * native_xsave.c  FXSAVE, XSAVE and their likes
 * native_mask.c   masked stores, masked loads, gathers
 *
 * A snippet is one guest instruction, encoded again for 64-bit mode with at most one
 * general register (RBX) and with [RSI] as its memory operand, between loads and stores
 * of the guest's general registers and flags. The guest's vector and x87 registers are the
 * host's. Snippets are kept by instruction bytes, per vCPU, so there is no lock. */
#ifndef ACCEL_SOFT_INTERP_NATIVE_H
#define ACCEL_SOFT_INTERP_NATIVE_H

#include "accel/soft/fpu/fpu.h"
#include "accel/soft/interp/interp.h"

struct sc_fault;

/* How an instruction is carried out */
enum sc_nat_kind {
	SC_NAT_UD,	 /* not for this guest */
	SC_NAT_PLAIN,	 /* a snippet */
	SC_NAT_ENV,	 /* FNSTENV, FNSAVE: a snippet, then hide pointers */
	SC_NAT_LDENV,	 /* FLDENV, FRSTOR */
	SC_NAT_WAIT,	 /* FWAIT */
	SC_NAT_FXSAVE, SC_NAT_FXRSTOR,
	SC_NAT_XSAVE, SC_NAT_XSAVEOPT, SC_NAT_XSAVEC, SC_NAT_XRSTOR,
	SC_NAT_MASKMOV,	 /* MASKMOVDQU, MASKMOVQ */
	SC_NAT_VMASKMOV,
	SC_NAT_GATHER,
	SC_NAT_VZERO	 /* VZEROALL, VZEROUPPER outside 64-bit mode */
};

/* Which rules of SDM 3A 2.5 (CR0) and 13 (OSFXSR, XSAVE) apply */
enum sc_nat_check {
	SC_NAT_C_X87,	 /* EM or TS: #NM */
	SC_NAT_C_WAIT,	 /* MP and TS: #NM */
	SC_NAT_C_MMX,	 /* EM: #UD, TS: #NM */
	SC_NAT_C_SSE,	 /* EM or no OSFXSR: #UD, TS: #NM */
	SC_NAT_C_VEX,	 /* real or vm86 mode, no OSXSAVE or no XCR0.AVX: #UD, TS: #NM */
	SC_NAT_C_FXSAVE, /* EM or TS: #NM */
	SC_NAT_C_XSAVE	 /* no OSXSAVE: #UD, TS: #NM */
};

/* CPUID bits that instructions depend on; sc_native.have has one bit each */
enum sc_nat_feature {
	SC_NF_FPU, SC_NF_MMX, SC_NF_FXSR, SC_NF_SSE, SC_NF_SSE2, SC_NF_SSE3, SC_NF_PCLMUL,
	SC_NF_SSSE3, SC_NF_FMA, SC_NF_SSE41, SC_NF_SSE42, SC_NF_AES, SC_NF_XSAVE, SC_NF_AVX,
	SC_NF_F16C, SC_NF_CMOV, SC_NF_AVX2, SC_NF_SHA, SC_NF_VAES, SC_NF_VPCLMUL, SC_NF_GFNI,
	SC_NF_AVX_VNNI, SC_NF_XSAVEOPT, SC_NF_XSAVEC, SC_NF_SSE4A,
	SC_NF_NONE, /* nobody has it */
	SC_NUM_NF
};

#define SC_NAT_F_PENDING BIT(0) /* an x87 exception that waits is #MF first */
#define SC_NAT_F_X87 BIT(1)	/* SIGFPE is #MF */
#define SC_NAT_F_PREREAD BIT(2) /* store that may not happen: the buffer starts as memory is */
#define SC_NAT_F_ALIGNED BIT(3) /* memory operand must be aligned to its size */

struct sc_nat {
	u64 key[2]; /* instruction bytes, code size in the last; key[1] 0: free */
	u32 code;   /* offset of the snippet */
	u8 kind, check;
	u8 flags;   /* SC_NAT_F_* */
	u8 feature; /* enum sc_nat_feature, with a second one for VEX forms by check */
};

#define SC_NAT_BITS 10
#define SC_NAT_ENTRIES (1u << SC_NAT_BITS)
#define SC_NAT_CODE_BYTES (128u << 10)

struct sc_native {
	u8 *rw;		/* the same pages as rx */
	const u8 *rx;
	u32 used;	/* bytes of code */
	u32 have;	/* bits of enum sc_nat_feature: guest and host both */
	u64 host_rsp;	/* of sc_native_run's frame, while a snippet runs */
	bool xgetbv1;	/* the host tells which components are in use */
	bool x87;	/* the running snippet's SC_NAT_F_X87 */
	struct sc_nat nat[SC_NAT_ENTRIES];
	/* Memory operand with its alignment up to 64, or a whole XSAVE image */
	ALIGNED(64) u8 bounce[1024];
};

/* [setup, vcpu] Lazily done by the first instruction. 0 or -errno. */
int sc_native_init(struct sc_vcpu *v);
void sc_native_fini(struct sc_vcpu *v);
/* [signal] Did a snippet of @v raise @f? Then its context now unwinds. */
bool sc_native_fault(struct sc_vcpu *v, struct sc_fault *f);

/* native_code.c: entry for @in, with its snippet if it has one. Never NULL. */
struct sc_nat *sc_native_find(struct sc_vcpu *v, const struct sc_insn *in);
/* native.c: fill kind, check, flags, feature */
void sc_native_classify(const struct sc_insn *in, struct sc_nat *e);
/* Run @e's snippet with [RSI] = @mem. Loads the FPU. Throws the guest exception it raises. */
void sc_native_call(struct sc_vcpu *v, const struct sc_nat *e, void *mem);
/* Operand size of x87 environments: 2 or 4 */
unsigned sc_native_env_size(const struct sc_insn *in);

/* native_run.S. Return: 0, or what sc_native_fault put in RAX: vector + 1 */
#define SC_NAT_BUS 0x1000 /* instead: host memory could not be had */
u32 sc_native_run(u64 *gpr, void *mem, const void *code, u64 *save_rsp);
extern const char sc_native_abort[];

/* #AC when @a is not a multiple of @align and the guest wants to know */
void sc_native_check_ac(struct sc_vcpu *v, gva_t a, unsigned align);

/* Special ones; @e is checked already */
void sc_native_fxsave(struct sc_vcpu *v, const struct sc_insn *in);
void sc_native_fxrstor(struct sc_vcpu *v, const struct sc_insn *in);
void sc_native_xsave(struct sc_vcpu *v, const struct sc_insn *in, enum sc_nat_kind kind);
void sc_native_xrstor(struct sc_vcpu *v, const struct sc_insn *in);
void sc_native_maskmov(struct sc_vcpu *v, const struct sc_insn *in);
void sc_native_vmaskmov(struct sc_vcpu *v, const struct sc_insn *in);
void sc_native_gather(struct sc_vcpu *v, const struct sc_insn *in);
void sc_native_vzero(struct sc_vcpu *v, const struct sc_insn *in);

#endif
