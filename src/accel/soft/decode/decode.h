// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/decode/decode.h - Instruction bytes to a compact description
 *
 * The only door to the decoders: tables of our own for what is frequent in 64-bit code
 * (fast.c), Zydis for the rest. The interpreter, interp/native.c and the translator read
 * struct sc_insn; its meaning depends on the bytes and on the code size alone, never
 * on privilege, registers or CPUID, so it may be kept as long as the bytes are the same.
 *
 * [vcpu] sc_decode saves the FPU before it enters Zydis (soft.h, rule 1). */
#ifndef ACCEL_SOFT_DECODE_DECODE_H
#define ACCEL_SOFT_DECODE_DECODE_H

#include "base/types.h"

struct sc_vcpu;

/* Who interprets it, and roughly what it is. interp/interp.c has the table of handlers. */
enum sc_class {
	SC_C_UD,	/* decodes to #UD whatever the mode: ud0, ud1, ud2 */
	SC_C_NATIVE,	/* not integer: interp/native.c */
	/* alu.c, bits.c; sub in parentheses */
	SC_C_ALU,	/* add or adc sbb and sub xor cmp (0..7, the opcode's own number) */
	SC_C_TEST,
	SC_C_INCDEC,	/* inc dec not neg (0..3) */
	SC_C_MUL,	/* mul, imul with one operand, div, idiv (4..7) */
	SC_C_IMUL,	/* imul with two or three operands */
	SC_C_SHIFT,	/* rol ror rcl rcr shl shr sal sar (0..7) */
	SC_C_SHD,	/* shld shrd (0, 1) */
	SC_C_BT,	/* bt bts btr btc (0..3) */
	SC_C_SCAN,	/* bsf bsr tzcnt lzcnt popcnt (enum sc_scan) */
	SC_C_BSWAP,
	SC_C_MOVBE,
	SC_C_CRC32,
	SC_C_BMI,	/* enum sc_bmi */
	SC_C_ADX,	/* adcx adox (0, 1) */
	SC_C_BCD,	/* daa das aaa aas aam aad (0..5) */
	/* mov.c, stack.c */
	SC_C_MOV,	/* general registers, memory, immediates, moffs */
	SC_C_MOVZX,
	SC_C_MOVSX,	/* and movsxd */
	SC_C_MOV_SEG,	/* mov to and from a segment register */
	SC_C_LOAD_FAR,	/* les lds lss lfs lgs (segment register number) */
	SC_C_XCHG,
	SC_C_XADD,
	SC_C_CMPXCHG,
	SC_C_CMPXCHG8B, /* and 16b: op[0].size */
	SC_C_CMOV,	/* condition 0..15 */
	SC_C_SETCC,	/* condition */
	SC_C_LEA,
	SC_C_PUSH,	/* register, memory, immediate, segment register */
	SC_C_POP,
	SC_C_PUSHA,
	SC_C_POPA,
	SC_C_PUSHF,
	SC_C_POPF,
	SC_C_ENTER,
	SC_C_LEAVE,
	SC_C_LAHF,
	SC_C_SAHF,
	SC_C_FLAG,	/* clc stc cmc cld std (0..4) */
	SC_C_SALC,
	SC_C_XLAT,
	SC_C_CBW,	/* cbw cwde cdqe: opsize is the result's */
	SC_C_CWD,	/* cwd cdq cqo */
	SC_C_BOUND,
	SC_C_ARPL,
	SC_C_NOP,	/* nop, pause, endbr, prefetch, cldemote...: no memory access at all */
	/* string.c */
	SC_C_MOVS,
	SC_C_CMPS,
	SC_C_SCAS,
	SC_C_LODS,
	SC_C_STOS,
	SC_C_INS,
	SC_C_OUTS,
	/* branch.c; rel forms: op[0].kind == SC_OP_REL, imm is the displacement */
	SC_C_JCC,	/* condition */
	SC_C_JCXZ,
	SC_C_LOOP,	/* loopne loope loop (0..2) */
	SC_C_JMP,
	SC_C_CALL,
	SC_C_RET,	/* imm: bytes to pop */
	SC_C_JMPF,	/* op[0] SC_OP_PTR (selector in imm2, offset in imm) or SC_OP_MEM */
	SC_C_CALLF,
	SC_C_RETF,
	SC_C_IRET,
	SC_C_INT,	/* int n, int3, into, int1 (enum sc_soft_int) */
	SC_C_SYSCALL,	/* syscall sysret sysenter sysexit (0..3) */
	/* system.c */
	SC_C_HLT,
	SC_C_CLI,
	SC_C_STI,
	SC_C_CLTS,
	SC_C_DTABLE,	/* sgdt sidt lgdt lidt (0..3) */
	SC_C_LDTR,	/* sldt str lldt ltr (0..3) */
	SC_C_SMSW,
	SC_C_LMSW,
	SC_C_INVLPG,
	SC_C_WBINVD,	/* wbinvd, invd, wbnoinvd */
	SC_C_MOV_CR,
	SC_C_MOV_DR,
	SC_C_RDMSR,
	SC_C_WRMSR,
	SC_C_RDTSC,	/* rdtsc rdtscp rdpid rdpmc (0..3) */
	SC_C_CPUID,
	SC_C_IN,
	SC_C_OUT,
	SC_C_SWAPGS,
	SC_C_FSGSBASE,	/* rdfsbase rdgsbase wrfsbase wrgsbase (0..3) */
	SC_C_CLFLUSH,	/* clflush clflushopt clwb: touches its byte */
	SC_C_FENCE,	/* mfence lfence sfence serialize (0..3) */
	SC_C_LAR,	/* lar lsl (0, 1) */
	SC_C_VERR,	/* verr verw (0, 1) */
	SC_C_XGETBV,
	SC_C_XSETBV,
	SC_C_HYPERCALL, /* vmcall vmmcall */
	SC_C_RDRAND,	/* rdrand rdseed (0, 1) */
	SC_C_MOVNTI,
	SC_C_NOP_OR_UD, /* 0F 0D with a register: a NOP on Intel, #UD on AMD */
	SC_NUM_CLASSES
};

enum sc_scan { SC_BSF, SC_BSR, SC_TZCNT, SC_LZCNT, SC_POPCNT };
enum sc_bmi {
	SC_ANDN, SC_BEXTR, SC_BLSI, SC_BLSMSK, SC_BLSR, SC_BZHI, SC_MULX, SC_PDEP, SC_PEXT,
	SC_RORX, SC_SARX, SC_SHLX, SC_SHRX
};

/* CPUID feature without which an integer instruction is #UD; native.c has its own */
enum sc_feature {
	SC_F_NONE, SC_F_POPCNT, SC_F_LZCNT, SC_F_BMI1, SC_F_BMI2, SC_F_ADX, SC_F_MOVBE, SC_F_SSE42,
	SC_F_CX16, SC_F_RDRAND, SC_F_RDSEED, SC_F_RDTSCP, SC_F_RDPID, SC_F_FSGSBASE, SC_F_CLFLUSHOPT,
	SC_F_CLWB, SC_F_SERIALIZE, SC_F_XSAVE, SC_F_SSE2,
	SC_NUM_FEATURES
};

enum sc_op_kind {
	SC_OP_NONE,
	SC_OP_GPR,	/* reg 0..15; size 1: its low byte */
	SC_OP_HIGH8,	/* reg 0..3: AH CH DH BH */
	SC_OP_MEM,	/* the one of base, index... below */
	SC_OP_IMM,	/* imm (a second one: imm2), sign-extended to 64 bits where the CPU does */
	SC_OP_REL,	/* imm, relative to the next instruction */
	SC_OP_PTR,	/* imm2:imm */
	SC_OP_SEG,	/* enum x86_seg */
	SC_OP_CR,
	SC_OP_DR,
	SC_OP_X87,	/* ST(reg) */
	SC_OP_MMX,
	SC_OP_XMM,
	SC_OP_YMM,
	SC_OP_ZMM,
	SC_OP_MASK,	/* AVX-512 k0..k7 */
	SC_OP_OTHER
};

/* Bits of sc_op.act */
#define SC_ACT_R BIT(0)
#define SC_ACT_W BIT(1)
#define SC_ACT_COND BIT(2) /* the read or write may not happen */

struct sc_op {
	u8 kind; /* enum sc_op_kind */
	u8 reg;
	u8 size; /* bytes; 0: see mem_size */
	u8 act;
};

#define SC_MAX_OPS 4
#define SC_REG_RIP 16	   /* base */
#define SC_REG_NONE 0xff   /* base or index */

/* Bits of sc_insn.flags */
#define SC_I_LOCK BIT(0)
#define SC_I_REP BIT(1)	    /* F3 on a string instruction */
#define SC_I_REPNE BIT(2)   /* F2 on a string instruction */
#define SC_I_MEM BIT(3)	    /* a visible memory operand: base, index... and mem_size hold */
#define SC_I_VSIB BIT(4)    /* index is a vector register */
#define SC_I_HAS_66 BIT(5)  /* operand-size prefix among the bytes */
#define SC_I_HAS_67 BIT(6)  /* address-size prefix */
#define SC_I_REX BIT(7)
#define SC_I_COND_FLAGS BIT(8) /* fl_written may stay as they are (count 0) */
#define SC_I_BRANCH BIT(9)  /* may set rip to something else than the next instruction */
#define SC_I_MEM_HIDDEN BIT(10) /* base... describe a hidden operand (stack, string, maskmov) */
#define SC_I_SEG BIT(11)    /* a segment prefix is in effect */

enum sc_encoding { SC_ENC_LEGACY, SC_ENC_VEX, SC_ENC_EVEX, SC_ENC_OTHER };

struct sc_insn {
	u8 cls;		/* enum sc_class */
	u8 sub;
	u8 len;		/* bytes, 1..15 */
	u8 opsize;	/* effective operand size: 1, 2, 4, 8 */
	u8 addrsize;	/* effective address size: 2, 4, 8 */
	u8 code;	/* code size it was decoded for: 2, 4, 8 */
	u16 flags;	/* SC_I_* */

	/* memory operand */
	u8 base;	/* 0..15, SC_REG_RIP, SC_REG_NONE */
	u8 index;	/* 0..15, SC_REG_NONE; SC_I_VSIB: vector register */
	u8 scale;	/* shift count 0..3 */
	u8 seg;		/* enum x86_seg, override or default */
	u16 mem_size;	/* bytes */
	u8 mem_op;	/* which of op[] it is */
	u8 nops;	/* visible operands, in Intel order */
	s64 disp;

	struct sc_op op[SC_MAX_OPS];
	s64 imm;
	u32 imm2;	/* second immediate, or selector of a far pointer */

	u16 mnemonic;	/* ZYDIS_MNEMONIC_* */
	u8 feature;	/* enum sc_feature */

	/* for those who encode it again; offsets are 0 where the part is absent */
	u8 encoding;	/* enum sc_encoding */
	u8 map;		/* opcode map: 0 one byte, 1 0F, 2 0F38, 3 0F3A, other: Zydis' number */
	u8 opcode;
	u8 modrm;
	u8 rex;		/* the REX byte or 0 */
	u8 off_modrm, off_sib, off_disp, disp_len, off_imm, imm_len; /* lengths in bytes */
	u8 off_opcode;	/* first byte after the legacy prefixes, REX counted in: escape or opcode;
			 * VEX, EVEX: the prefix's first byte */
	u8 vec_len;	/* VEX, EVEX: vector length in bytes, else 0 */

	/* RFLAGS bits (arithmetic and DF, IF...) */
	u16 fl_read;	/* outcome depends on them */
	u16 fl_written; /* may be changed, undefined ones included */
	u16 fl_killed;	/* surely replaced by values that do not depend on the old ones: neither
			 * undefined nor conditional (shift by CL, REP) */
	/* General registers as bits 0..15, hidden operands and address parts included. A
	 * write to a part of a register counts as read and write. */
	u16 gpr_read, gpr_written;

	u8 raw[15];	/* the bytes; behind len anything */
	u8 isa_ext;	/* ZYDIS_ISA_EXT_* of it, for feature checks */
	u8 isa_set;	/* ZYDIS_ISA_SET_* */
};

enum sc_decode_result {
	SC_DEC_OK,
	SC_DEC_MORE,	 /* needs more than @len bytes (which were fewer than 15) */
	SC_DEC_TOO_LONG, /* more than 15 bytes: #GP(0) */
	SC_DEC_BAD	 /* #UD */
};

/**
 * sc_decode() - Describe the instruction at the start of @buf
 * @v:    NULL when no guest FPU state can be live (tests)
 * @code: 2, 4 or 8: bytes of the default code size
 * @buf:  at most 15 bytes of @len are looked at
 *
 * [vcpu] Reads nothing but its arguments. @in is undefined unless SC_DEC_OK.
 */
enum sc_decode_result sc_decode(struct sc_vcpu *v, unsigned code, const u8 *buf, unsigned len,
				struct sc_insn *in);

#endif
