// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/decode/fast.h - Opcode tables of the fast decoder; decode/'s own
 *
 * fast_table.c holds one row for each instruction form, written in the operand codes
 * of the opcode maps (SDM 2D appendix A): legacy.def, sse.def, vex.def. fast.c reads
 * them. An opcode without a row is Zydis' business. */
#ifndef ACCEL_SOFT_DECODE_FAST_H
#define ACCEL_SOFT_DECODE_FAST_H

#include "accel/soft/decode/decode.h"

/* Opcode maps, VEX ones apart */
enum sc_map { SC_MAP_1B, SC_MAP_0F, SC_MAP_0F38, SC_MAP_0F3A, SC_MAP_V0F, SC_MAP_V0F38, SC_MAP_V0F3A,
	      SC_NUM_MAPS };
/* Columns of a map: mandatory prefix, VEX.pp. F2 and F3 outdo 66. */
enum sc_pp { SC_PP_NP, SC_PP_66, SC_PP_F3, SC_PP_F2 };

/* Where a register number comes from: bytes of the word that fast.c gathers them in */
enum sc_from { SC_FROM_REG, SC_FROM_RM, SC_FROM_VVVV, SC_FROM_OPCODE, SC_FROM_0, SC_FROM_1, SC_FROM_2,
	       SC_FROM_NONE };

/* Bits of sc_operand.how */
#define SC_H_RM BIT(0)		/* memory unless ModRM.mod is 3 */
#define SC_H_IMM BIT(1)		/* the immediate */
#define SC_H_UNSIGNED BIT(2)	/* zero-extended */
#define SC_H_ONE BIT(3)		/* the constant of a shift */
#define SC_H_MOFFS BIT(4)	/* memory at an absolute offset */
#define SC_H_IS4 BIT(5)		/* register in bits 7:4 of an immediate byte */
#define SC_H_VVVV BIT(6)
#define SC_H_GPR BIT(7)

/* What an operand code means. Columns: log2 of the operand size, 4 more with VEX.L */
#define SC_COLUMNS 8
struct sc_operand {
	u8 how;		/* SC_H_* */
	u8 from;	/* enum sc_from */
	struct sc_op reg[SC_COLUMNS]; /* what it becomes, register number and action apart */
	struct sc_op mem[SC_COLUMNS]; /* SC_H_RM; size 0: the address size */
};
/* Bits 7:6 of sc_row.op are SC_ACT_R and SC_ACT_W */
#define SC_OPERAND(x) ((x) & 63)
#define SC_OPERAND_ACT(x) ((x) >> 6)

/* Flags and registers that the operands do not show */
struct sc_effect {
	u16 fl_read, fl_written, fl_killed, gpr_read; /* copied to sc_insn at once */
	u16 gpr_written;
	u16 flags;	/* SC_I_* */
	bool cond0;	/* operand 0 may not be accessed, or not written */
	bool sized;	/* hidden registers have the operand size: narrow writes are reads, too */
};

/* Operand size by prefix: none, 66, W, W and 66 */
enum sc_rule { SC_RULE_V, SC_RULE_B, SC_RULE_D64, SC_RULE_F64, SC_RULE_Y, SC_RULE_Z, SC_NUM_RULES };

/* Bits of sc_row.attr; SC_R_ISA's byte is in the upper half */
#define SC_R_MODRM BIT(0)
#define SC_R_LOCK BIT(1)	/* LOCK is allowed with a memory operand 0 */
#define SC_R_STRING BIT(2)	/* F2 and F3 repeat */
#define SC_R_FIX BIT(3)		/* sc_correct_masks has something to say */
#define SC_R_BY_REG BIT(4)	/* first of eight rows, one for each ModRM.reg */
#define SC_R_FIRST BIT(5)	/* first row of an opcode */

struct sc_row {
	u16 mnemonic;
	u8 cls, sub;
	u8 op[4];	/* operand codes and actions; 0: no more */
	u16 attr;	/* SC_R_*; bits 15:8: enum sc_feature, natives: enum sc_isa */
	u8 effect;	/* index in sc_effects */
	u8 rule;	/* enum sc_rule */
	u32 when;	/* what to compare, with what (SC_W_*); 0: this row in any case */
};
/* Compared bits of a form, in the upper half of sc_row.when those that count */
#define SC_W_MODRM 0x00ff
#define SC_W_W 0x0100
#define SC_W_L 0x0200
#define SC_W_MEM 0x0400		/* a ModRM memory operand */
#define SC_W_B 0x0800		/* REX.B */
#define SC_W_66 0x1000
#define SC_W_67 0x2000

/* ZYDIS_ISA_EXT_* and ZYDIS_ISA_SET_* of vector instructions, for VEX.L 0 and 1 */
struct sc_isa {
	u8 ext, set;
};

extern const u16 sc_row_of[SC_NUM_MAPS][256][4]; /* index in sc_rows, 0: none */
extern const struct sc_row sc_rows[];
extern const struct sc_operand sc_operands[64];
extern const struct sc_effect sc_effects[];
extern const struct sc_isa sc_isas[][2];
extern const u8 sc_rule_sizes[SC_NUM_RULES][4];

/* decode.c: what the tables leave open, for both decoders */
void sc_correct_masks(struct sc_insn *in);

/* decode.c: sc_decode without the tables, which it must agree with */
enum sc_decode_result sc_decode_zydis(struct sc_vcpu *v, unsigned code, const u8 *buf, unsigned len,
				      struct sc_insn *in);

/**
 * sc_decode_fast() - Describe a frequent 64-bit instruction
 *
 * [any] Return: false for everything that is rare, invalid or not all there: ask Zydis. */
bool sc_decode_fast(const u8 *buf, unsigned len, struct sc_insn *in);

#endif
