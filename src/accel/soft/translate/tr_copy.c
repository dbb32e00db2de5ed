// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/translate/tr_copy.c - Guest instructions that run as they are
 *
 * The instruction is encoded again with its memory operand replaced by [r8] and
 * its registers by their host registers. Guest r8..r11 are loaded into scratch
 * registers before and stored after. What cannot be expressed so goes to the
 * interpreter. [vcpu, cache locked] */
#include <Zydis/Zydis.h>

#include "accel/soft/translate/tr.h"

/* Opcodes whose ModRM.reg field is part of the opcode */
static bool reg_is_opcode(const struct sc_insn *in)
{
	if (in->encoding == SC_ENC_VEX)
		return (in->map == 2 && in->opcode == 0xf3) ||
		       (in->map == 1 && (in->opcode == 0xae || (in->opcode >= 0x71 && in->opcode <= 0x73)));
	switch (in->map) {
	case 0:
		switch (in->opcode) {
		case 0x80: case 0x81: case 0x82: case 0x83: case 0x8f: case 0xc0: case 0xc1:
		case 0xc6: case 0xc7: case 0xd0: case 0xd1: case 0xd2: case 0xd3: case 0xf6:
		case 0xf7: case 0xfe: case 0xff:
			return true;
		}
		return in->opcode >= 0xd8 && in->opcode <= 0xdf;
	case 1:
		switch (in->opcode) {
		case 0x00: case 0x01: case 0x0d: case 0x18: case 0x1c: case 0x1e: case 0x1f:
		case 0x71: case 0x72: case 0x73: case 0xae: case 0xba: case 0xc7:
			return true;
		}
		return false;
	}
	return false;
}

static bool native_ok(const struct tr *t, const struct sc_insn *in)
{
	unsigned i;

	if (!(t->mode & SC_MODE_FPU) || (in->encoding == SC_ENC_VEX && !(t->mode & SC_MODE_AVX)))
		return false;
	if (in->encoding != SC_ENC_LEGACY && in->encoding != SC_ENC_VEX)
		return false;
	if (in->flags & (SC_I_VSIB | SC_I_MEM_HIDDEN))
		return false;
	for (i = 0; i < in->nops && i < SC_MAX_OPS; i++)
		if (in->op[i].kind == SC_OP_MEM && (in->op[i].act & SC_ACT_COND))
			return false;
	/* Images of the FPU hold addresses and layouts that must be the guest's */
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_FXSAVE: case ZYDIS_MNEMONIC_FXSAVE64:
	case ZYDIS_MNEMONIC_FXRSTOR: case ZYDIS_MNEMONIC_FXRSTOR64:
	case ZYDIS_MNEMONIC_XSAVE: case ZYDIS_MNEMONIC_XSAVE64:
	case ZYDIS_MNEMONIC_XSAVEC: case ZYDIS_MNEMONIC_XSAVEC64:
	case ZYDIS_MNEMONIC_XSAVEOPT: case ZYDIS_MNEMONIC_XSAVEOPT64:
	case ZYDIS_MNEMONIC_XSAVES: case ZYDIS_MNEMONIC_XSAVES64:
	case ZYDIS_MNEMONIC_XRSTOR: case ZYDIS_MNEMONIC_XRSTOR64:
	case ZYDIS_MNEMONIC_XRSTORS: case ZYDIS_MNEMONIC_XRSTORS64:
	case ZYDIS_MNEMONIC_FNSTENV: case ZYDIS_MNEMONIC_FLDENV:
	case ZYDIS_MNEMONIC_FNSAVE: case ZYDIS_MNEMONIC_FRSTOR:
	case ZYDIS_MNEMONIC_MASKMOVQ: case ZYDIS_MNEMONIC_MASKMOVDQU:
	case ZYDIS_MNEMONIC_VMASKMOVDQU:
	/* Masked-out elements must not fault, and the operand may be nothing but such */
	case ZYDIS_MNEMONIC_VMASKMOVPS: case ZYDIS_MNEMONIC_VMASKMOVPD:
	case ZYDIS_MNEMONIC_VPMASKMOVD: case ZYDIS_MNEMONIC_VPMASKMOVQ:
		return false;
	}
	switch (in->isa_ext) {
	case ZYDIS_ISA_EXT_X87: case ZYDIS_ISA_EXT_MMX: case ZYDIS_ISA_EXT_SSE:
	case ZYDIS_ISA_EXT_SSE2: case ZYDIS_ISA_EXT_SSE3: case ZYDIS_ISA_EXT_SSSE3:
	case ZYDIS_ISA_EXT_SSE4: case ZYDIS_ISA_EXT_AES: case ZYDIS_ISA_EXT_PCLMULQDQ:
	case ZYDIS_ISA_EXT_SHA: case ZYDIS_ISA_EXT_AVX: case ZYDIS_ISA_EXT_AVX2:
	case ZYDIS_ISA_EXT_AVXAES: case ZYDIS_ISA_EXT_F16C: case ZYDIS_ISA_EXT_FMA:
		return true;
	}
	return false;
}

u16 tr_killed(const struct sc_insn *in)
{
	switch (in->cls) {
	case SC_C_ALU:
		return in->sub == 1 || in->sub == 4 || in->sub == 6 ? SC_ARITH : in->fl_killed;
	case SC_C_TEST:
		return SC_ARITH;
	case SC_C_SHIFT:
		/* shl, shr, sar by a constant that is not 0 */
		return in->sub >= 4 && in->fl_killed && !(in->flags & SC_I_COND_FLAGS) ? SC_ARITH
										    : in->fl_killed;
	case SC_C_SCAN:
		return in->sub == SC_BSF || in->sub == SC_BSR ? SC_ARITH : in->fl_killed;
	default:
		return in->fl_killed;
	}
}

bool tr_can_copy(const struct tr *t, const struct sc_insn *in)
{
	switch (in->cls) {
	case SC_C_ALU: case SC_C_TEST: case SC_C_INCDEC: case SC_C_MUL: case SC_C_IMUL:
	case SC_C_SHIFT: case SC_C_SHD: case SC_C_SCAN: case SC_C_BSWAP: case SC_C_MOVBE:
	case SC_C_CRC32: case SC_C_BMI: case SC_C_ADX: case SC_C_MOVZX: case SC_C_MOVSX:
	case SC_C_XCHG: case SC_C_XADD: case SC_C_CMPXCHG: case SC_C_CMPXCHG8B:
	case SC_C_CMOV: case SC_C_SETCC: case SC_C_LAHF: case SC_C_SAHF: case SC_C_CBW:
	case SC_C_CWD: case SC_C_MOVNTI:
		break;
	case SC_C_MOV:
		/* The address of moffs is not ModRM's */
		if ((in->flags & SC_I_MEM) && !in->off_modrm)
			return false;
		break;
	case SC_C_BT:
		/* A register bit number reaches outside the operand in memory */
		if ((in->flags & SC_I_MEM) && !in->imm_len)
			return false;
		break;
	case SC_C_FLAG:
		if (in->sub > 2)
			return false;
		break;
	case SC_C_FENCE:
		if (in->sub > 2)
			return false;
		break;
	case SC_C_NATIVE:
		if (!native_ok(t, in))
			return false;
		break;
	default:
		return false;
	}
	if ((in->flags & SC_I_MEM) && (!in->off_modrm || !in->mem_size || in->mem_size > 64))
		return false;
	/* LOCK where it is not allowed, and LOCK on registers, are #UD: the interpreter knows */
	if ((in->flags & SC_I_LOCK) && !(in->flags & SC_I_MEM))
		return false;
	return true;
}

/* Scratch registers that stand for guest r8..r11 in one instruction */
struct subst {
	struct tr *t;
	u8 guest[3], host[3];
	bool held[3];	/* r10 has it already */
	unsigned n;
	u16 busy;	/* host registers that are taken */
};

static unsigned subst_reg(struct subst *s, unsigned g)
{
	struct tr *t = s->t;
	unsigned i;

	if (!tr_in_memory(g))
		return tr_host(g);
	for (i = 0; i < s->n; i++)
		if (s->guest[i] == g)
			return s->host[i];
	s->guest[s->n] = g;
	s->held[s->n] = t->held == g;
	if (t->held == g || (!(s->busy & BIT(H_R10)) && tr_hold(t, g))) {
		s->host[s->n] = H_R10;
	} else if (!(s->busy & BIT(H_R9))) {
		s->host[s->n] = H_R9;
	} else if (!(s->busy & BIT(H_R10))) {
		tr_forget(t);
		s->host[s->n] = H_R10;
	} else {
		s->host[s->n] = H_R8;
	}
	s->busy |= BIT(s->host[s->n]);
	return s->host[s->n++];
}

/* One register field; true: it stays as it is */
static bool replace(struct subst *s, unsigned *field)
{
	unsigned was = *field;

	*field = subst_reg(s, was);
	return *field == was;
}

/* Make r8 alone the address, so that r9 and r10 are free */
static void collapse(struct tr *t)
{
	e_lea(&t->e, true, H_R8, H_R8, t->m.index, 0, t->m.disp);
	t->m = (struct tr_mem){ .index = 0xff };
}

static bool is_high8(const struct sc_insn *in)
{
	unsigned i;

	for (i = 0; i < in->nops && i < SC_MAX_OPS; i++)
		if (in->op[i].kind == SC_OP_HIGH8)
			return true;
	return false;
}

/* Which fields hold general registers: bit 0 reg, bit 1 rm, bit 2 vvvv; -1: cannot tell */
static int gpr_fields(const struct sc_insn *in, unsigned reg, unsigned rm, bool mem)
{
	int f = 0, g = -1, num = 0;
	unsigned i;

	if (in->cls != SC_C_NATIVE) {
		if (!reg_is_opcode(in))
			f |= 1;
		if (!mem)
			f |= 2;
		if (in->encoding == SC_ENC_VEX && in->mnemonic != ZYDIS_MNEMONIC_RORX)
			f |= 4;
		return f;
	}
	for (i = 0; i < in->nops && i < SC_MAX_OPS; i++) {
		if (in->op[i].kind == SC_OP_GPR) {
			g = in->op[i].reg;
			num++;
		}
	}
	if (!num)
		return 0;
	if (in->map == 0 && in->opcode >= 0xd8 && in->opcode <= 0xdf)
		return 0; /* fnstsw ax */
	if (num > 1)
		return -1;
	if (mem)
		return (unsigned)g == reg ? 1 : -1;
	if (g != 4 && !tr_in_memory(g))
		return 0; /* stays as it is */
	if ((unsigned)g == reg && (unsigned)g == rm)
		return -1;
	return (unsigned)g == reg ? 1 : (unsigned)g == rm ? 2 : -1;
}

static void emit_legacy(struct tr *t, const struct sc_insn *in, unsigned reg, unsigned rm, bool mem,
			unsigned base, bool may_rex)
{
	bool idx = mem && t->m.index != 0xff;
	struct emit *e = &t->e;
	unsigned p, op = in->off_opcode, rex;

	for (p = 0; p < op; p++) {
		u8 b = in->raw[p];

		if (b == 0x66 || b == 0xf2 || b == 0xf3 || b == 0xf0)
			e8(e, b);
	}
	rex = (in->rex & 8) | (reg >> 3) << 2 | (idx ? (t->m.index >> 3) << 1 : 0) |
	      (mem ? base >> 3 : rm >> 3);
	/* A bare REX decides between ah..bh and spl..dil */
	if (may_rex && (rex || in->rex))
		e8(e, 0x40 | rex);
	if (in->off_modrm) {
		while (op < in->off_modrm)
			e8(e, in->raw[op++]);
		if (mem)
			e_mem(e, reg, base, t->m.index, 0, t->m.disp);
		else
			e8(e, 0xc0 | (reg & 7) << 3 | (rm & 7));
	} else {
		while (op + 1 < (in->imm_len ? in->off_imm : in->len))
			e8(e, in->raw[op++]);
		/* the register is in the opcode's low bits, or there is none */
		e8(e, in->cls == SC_C_BSWAP || in->cls == SC_C_XCHG || (in->cls == SC_C_MOV)
			       ? (in->raw[op] & 0xf8) | (rm & 7) : in->raw[op]);
	}
	if (in->imm_len)
		for (p = in->off_imm; p < in->len; p++)
			e8(e, in->raw[p]);
}

static void emit_vex(struct tr *t, const struct sc_insn *in, unsigned reg, unsigned rm,
		     unsigned vvvv, bool mem)
{
	const u8 *p = in->raw + in->off_opcode;
	struct emit *e = &t->e;
	u8 last, map;
	unsigned i;

	if (p[0] == 0xc5) {
		map = 1;
		last = p[1] & 0x7f;
	} else {
		map = p[1] & 0x1f;
		last = p[2];
	}
	last = (last & 0x87) | (~vvvv & 15) << 3;
	e8(e, 0xc4);
	e8(e, (reg < 8) << 7 | (!mem || t->m.index == 0xff || t->m.index < 8) << 6 |
		      (mem ? 0 : (rm < 8) << 5) | map);
	e8(e, last);
	e8(e, in->opcode);
	if (mem)
		e_mem(e, reg, H_R8, t->m.index, 0, t->m.disp);
	else
		e8(e, 0xc0 | (reg & 7) << 3 | (rm & 7));
	if (in->imm_len)
		for (i = in->off_imm; i < in->len; i++)
			e8(e, in->raw[i]);
}

static void emit_raw(struct tr *t, const struct sc_insn *in)
{
	unsigned i;

	for (i = 0; i < in->len; i++)
		e8(&t->e, in->raw[i]);
}

/* Registers of @fields (as gpr_fields) that need a scratch register */
static unsigned num_in_memory(unsigned fields, unsigned reg, unsigned rm, unsigned vvvv)
{
	unsigned n = 0;

	n += (fields & 1) && tr_in_memory(reg);
	n += (fields & 2) && tr_in_memory(rm) && !((fields & 1) && rm == reg);
	n += (fields & 4) && tr_in_memory(vvvv) && !((fields & 1) && vvvv == reg) &&
	     !((fields & 2) && vvvv == rm);
	return n;
}

bool tr_copy(struct tr *t)
{
	const struct sc_insn *in = tr_insn(t);
	bool mem = in->flags & SC_I_MEM, vex = in->encoding == SC_ENC_VEX, high = is_high8(in);
	struct subst s = { .t = t };
	unsigned reg = 0, rm = 0, vvvv = 0, base = H_R8, i;
	bool has_modrm = in->off_modrm, plain_write, as_is;
	int f = 0;

	if (!tr_can_copy(t, in))
		return false;
	if (vex) {
		const u8 *p = in->raw + in->off_opcode;
		u8 last = p[0] == 0xc5 ? p[1] : p[2];

		reg = (in->modrm >> 3 & 7) | (p[1] & 0x80 ? 0 : 8);
		rm = (in->modrm & 7) | (p[0] == 0xc5 || (p[1] & 0x20) ? 0 : 8);
		vvvv = ~(last >> 3) & 15;
	} else if (has_modrm) {
		reg = (in->modrm >> 3 & 7) | (in->rex & 4) << 1;
		rm = (in->modrm & 7) | (in->rex & 1) << 3;
	} else if (in->cls == SC_C_BSWAP || in->cls == SC_C_XCHG || in->cls == SC_C_MOV) {
		rm = (in->raw[(in->imm_len ? in->off_imm : in->len) - 1] & 7) | (in->rex & 1) << 3;
		if (!high)
			f = 2;
	}
	if (has_modrm) {
		f = gpr_fields(in, reg, rm, mem);
		if (f < 0)
			return false;
	}
	if (high) {
		/* ah..bh: the bytes must have no REX, so no register may need one */
		if (in->rex || vex)
			return false;
		if (!mem && ((in->gpr_read | in->gpr_written) & 0x0f10))
			return false;
		if (mem && (in->cls == SC_C_NATIVE || in->cls == SC_C_MOVZX || in->cls == SC_C_MOVSX))
			return false;
		f = 0;
	}
	if (mem) {
		bool write = in->op[in->mem_op].act & SC_ACT_W;

		if (!tr_operand(t, in->mem_size, write, t->live[t->i]))
			return false;
		s.busy = BIT(H_R8) | (t->m.index == 0xff ? 0 : BIT(t->m.index));
	}
	if ((in->fl_read & SC_ARITH) ||
	    ((in->fl_written & SC_ARITH) && (t->live[t->i + 1] & ~tr_killed(in) & SC_ARITH))) {
		/* r9 may be in the address, and r10 too */
		if (t->flags == TR_STASHED && (s.busy & BIT(H_R9)))
			collapse(t), s.busy = BIT(H_R8);
		tr_want_flags(t, H_R9);
	}
	if (mem && t->m.index != 0xff &&
	    (high || ((s.busy & (BIT(H_R9) | BIT(H_R10))) && num_in_memory(f, reg, rm, vvvv) > 1)))
		collapse(t), s.busy = BIT(H_R8);
	as_is = !mem;
	if (f & 1)
		as_is &= replace(&s, &reg);
	if (f & 2)
		as_is &= replace(&s, &rm);
	if (f & 4)
		as_is &= replace(&s, &vvvv);
	plain_write = in->cls == SC_C_MOV || in->cls == SC_C_MOVZX || in->cls == SC_C_MOVSX;
	for (i = 0; i < s.n; i++)
		if (!s.held[i] && (!plain_write || (in->gpr_read & BIT(s.guest[i]))))
			e_gs_load(&t->e, s.host[i], tr_gpr_off(s.guest[i]));
	if (high && mem) {
		/* rdi stands in for r8, which would need a REX; nothing that has ah..bh uses rdi */
		if (t->m.disp)
			collapse(t);
		base = H_RDI;
		e_mov(&t->e, H_R9, H_RDI);
		e_mov(&t->e, H_RDI, H_R8);
	}
	if (as_is)
		emit_raw(t, in);
	else if (vex)
		emit_vex(t, in, reg, rm, vvvv, mem);
	else
		emit_legacy(t, in, reg, rm, mem, base, !high);
	if (high && mem)
		e_mov(&t->e, H_RDI, H_R9);
	for (i = 0; i < s.n; i++)
		if (in->gpr_written & BIT(s.guest[i]))
			e_gs_store(&t->e, s.host[i], tr_gpr_off(s.guest[i]));
	if (in->fl_written & SC_ARITH)
		t->flags = TR_REGS;
	return true;
}
