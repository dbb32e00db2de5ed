// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/decode/decode.c - Zydis' view of an instruction, boiled down
 *
 * Zydis is told that MPX, CET and CLDEMOTE do not exist: on a CPU without them their
 * encodings are NOPs, and Zydis knows that. */
#include "accel/soft/decode/decode.h"

#include <Zydis/Zydis.h>

#include "accel/soft/decode/classify.h"
#include "accel/soft/decode/fast.h"
#include "accel/soft/soft.h"

_Static_assert(sizeof(struct sc_insn) <= 96, "the decode cache relies on it being small");
_Static_assert((int)ZYDIS_ISA_SET_MAX_VALUE < 256 && (int)ZYDIS_ISA_EXT_MAX_VALUE < 256,
	       "isa_set and isa_ext are bytes");

#define DF_AND_ARITH 0xcd5u /* RFLAGS bits kept in the masks, IF apart */

static void init_decoder(ZydisDecoder *d, unsigned code)
{
	if (code == 8)
		ZydisDecoderInit(d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	else if (code == 4)
		ZydisDecoderInit(d, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
	else
		ZydisDecoderInit(d, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
	ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
	ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
	ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
}

/* General register number 0..15, or SC_REG_NONE; *high for AH CH DH BH */
static u8 gpr_number(ZydisRegister r, bool *high)
{
	*high = false;
	if (r >= ZYDIS_REGISTER_RAX && r <= ZYDIS_REGISTER_R15)
		return r - ZYDIS_REGISTER_RAX;
	if (r >= ZYDIS_REGISTER_EAX && r <= ZYDIS_REGISTER_R15D)
		return r - ZYDIS_REGISTER_EAX;
	if (r >= ZYDIS_REGISTER_AX && r <= ZYDIS_REGISTER_R15W)
		return r - ZYDIS_REGISTER_AX;
	if (r >= ZYDIS_REGISTER_AL && r <= ZYDIS_REGISTER_BL)
		return r - ZYDIS_REGISTER_AL;
	if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH) {
		*high = true;
		return r - ZYDIS_REGISTER_AH;
	}
	if (r >= ZYDIS_REGISTER_SPL && r <= ZYDIS_REGISTER_R15B)
		return r - ZYDIS_REGISTER_SPL + 4;
	return SC_REG_NONE;
}

static u8 action_bits(ZydisOperandActions a)
{
	u8 act = 0;

	if (a & ZYDIS_OPERAND_ACTION_MASK_READ)
		act |= SC_ACT_R;
	if (a & ZYDIS_OPERAND_ACTION_MASK_WRITE)
		act |= SC_ACT_W;
	if (a & (ZYDIS_OPERAND_ACTION_CONDREAD | ZYDIS_OPERAND_ACTION_CONDWRITE))
		act |= SC_ACT_COND;
	return act;
}

static void register_operand(struct sc_op *op, ZydisRegister r)
{
	bool high;
	u8 n = gpr_number(r, &high);

	if (n != SC_REG_NONE) {
		op->kind = high ? SC_OP_HIGH8 : SC_OP_GPR;
		op->reg = n;
		return;
	}
	op->reg = (u8)ZydisRegisterGetId(r);
	switch (ZydisRegisterGetClass(r)) {
	case ZYDIS_REGCLASS_SEGMENT: op->kind = SC_OP_SEG; break;
	case ZYDIS_REGCLASS_CONTROL: op->kind = SC_OP_CR; break;
	case ZYDIS_REGCLASS_DEBUG: op->kind = SC_OP_DR; break;
	case ZYDIS_REGCLASS_X87: op->kind = SC_OP_X87; break;
	/* for a vector Zydis gives the size of what is used of it */
	case ZYDIS_REGCLASS_MMX: op->kind = SC_OP_MMX, op->size = 8; break;
	case ZYDIS_REGCLASS_XMM: op->kind = SC_OP_XMM, op->size = 16; break;
	case ZYDIS_REGCLASS_YMM: op->kind = SC_OP_YMM, op->size = 32; break;
	case ZYDIS_REGCLASS_ZMM: op->kind = SC_OP_ZMM, op->size = 64; break;
	case ZYDIS_REGCLASS_MASK: op->kind = SC_OP_MASK; break;
	default: op->kind = SC_OP_OTHER; break;
	}
}

static void memory_operand(struct sc_insn *in, const ZydisDecodedOperand *o, unsigned n, bool hidden)
{
	bool high;

	in->flags |= hidden ? SC_I_MEM_HIDDEN : SC_I_MEM;
	in->mem_op = (u8)n;
	in->mem_size = o->size / 8;
	in->disp = o->mem.disp.value;
	if (o->mem.base == ZYDIS_REGISTER_RIP || o->mem.base == ZYDIS_REGISTER_EIP)
		in->base = SC_REG_RIP;
	else
		in->base = gpr_number(o->mem.base, &high);
	if (o->mem.type == ZYDIS_MEMOP_TYPE_VSIB) {
		in->flags |= SC_I_VSIB;
		in->index = (u8)ZydisRegisterGetId(o->mem.index);
	} else {
		in->index = gpr_number(o->mem.index, &high);
	}
	in->scale = o->mem.scale == 8 ? 3 : o->mem.scale == 4 ? 2 : o->mem.scale == 2 ? 1 : 0;
	if (o->mem.segment >= ZYDIS_REGISTER_ES && o->mem.segment <= ZYDIS_REGISTER_GS)
		in->seg = o->mem.segment - ZYDIS_REGISTER_ES;
	else
		in->seg = X86_DS;
}

static void note_gpr(struct sc_insn *in, const ZydisDecodedOperand *o)
{
	bool high;
	u8 n = gpr_number(o->reg.value, &high);
	u16 bit;

	if (n == SC_REG_NONE)
		return;
	bit = (u16)BIT(n);
	if (o->actions & ZYDIS_OPERAND_ACTION_MASK_READ)
		in->gpr_read |= bit;
	if (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) {
		in->gpr_written |= bit;
		/* a narrow or conditional write keeps some of the old value */
		if (ZydisRegisterGetWidth(ZYDIS_MACHINE_MODE_LONG_64, o->reg.value) < 32 ||
		    o->actions & ZYDIS_OPERAND_ACTION_CONDWRITE)
			in->gpr_read |= bit;
	}
}

/* The first memory operand; of a string instruction's two the one that can have a segment prefix */
static bool memory_wanted(const struct sc_insn *in, const ZydisDecodedOperand *o)
{
	/* who pushes and pops knows what that means */
	if (o->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN &&
	    (o->mem.base == ZYDIS_REGISTER_RSP || o->mem.base == ZYDIS_REGISTER_ESP ||
	     o->mem.base == ZYDIS_REGISTER_SP || o->mem.base == ZYDIS_REGISTER_RBP ||
	     o->mem.base == ZYDIS_REGISTER_EBP || o->mem.base == ZYDIS_REGISTER_BP))
		return false;
	if (!(in->flags & (SC_I_MEM | SC_I_MEM_HIDDEN)))
		return true;
	return in->flags & SC_I_MEM_HIDDEN && in->base == X86_RDI &&
	       (o->mem.base == ZYDIS_REGISTER_RSI || o->mem.base == ZYDIS_REGISTER_ESI ||
		o->mem.base == ZYDIS_REGISTER_SI);
}

static void operands(struct sc_insn *in, const ZydisDecodedInstruction *zi,
		     const ZydisDecodedOperand *ops)
{
	unsigned imms = 0, n = 0;

	for (unsigned i = 0; i < zi->operand_count; i++) {
		const ZydisDecodedOperand *o = &ops[i];
		bool hidden = o->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN;
		struct sc_op *op;

		if (o->type == ZYDIS_OPERAND_TYPE_REGISTER)
			note_gpr(in, o);
		if (o->type == ZYDIS_OPERAND_TYPE_MEMORY && memory_wanted(in, o))
			memory_operand(in, o, n, hidden);
		if (o->type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ZydisRegisterGetClass(o->reg.value) == ZYDIS_REGCLASS_FLAGS &&
		    o->actions & ZYDIS_OPERAND_ACTION_CONDWRITE)
			in->flags |= SC_I_COND_FLAGS;
		if (hidden || n == SC_MAX_OPS)
			continue;
		op = &in->op[n++];
		op->size = o->size / 8 > 255 ? 0 : (u8)(o->size / 8);
		op->act = action_bits(o->actions);
		switch (o->type) {
		case ZYDIS_OPERAND_TYPE_REGISTER: register_operand(op, o->reg.value); break;
		case ZYDIS_OPERAND_TYPE_MEMORY: op->kind = SC_OP_MEM; break;
		case ZYDIS_OPERAND_TYPE_POINTER:
			op->kind = SC_OP_PTR;
			in->imm = o->ptr.offset;
			in->imm2 = o->ptr.segment;
			break;
		default:
			op->kind = o->imm.is_relative ? SC_OP_REL : SC_OP_IMM;
			if (imms++)
				in->imm2 = (u32)o->imm.value.u;
			else
				in->imm = o->imm.value.s;
			break;
		}
	}
	in->nops = (u8)n;
}

/* SIB with mod 0 and base 5 is a bare disp32 whatever REX.B says. Zydis 4.0 takes r13d for
 * the base when an address-size prefix is there. */
static void correct_base(struct sc_insn *in)
{
	u32 disp;

	if (!(in->flags & SC_I_MEM) || !in->off_sib || in->modrm >> 6 ||
	    (in->raw[in->off_sib] & 7) != 5 || in->base == SC_REG_NONE || !in->off_disp)
		return;
	sc_copy(&disp, in->raw + in->off_disp, sizeof(disp));
	in->base = SC_REG_NONE;
	in->disp = (s32)disp;
}

static void note_address(struct sc_insn *in)
{
	if (!(in->flags & (SC_I_MEM | SC_I_MEM_HIDDEN)))
		return;
	if (in->base < 16)
		in->gpr_read |= (u16)BIT(in->base);
	if (in->index < 16 && !(in->flags & SC_I_VSIB))
		in->gpr_read |= (u16)BIT(in->index);
}

static void encoding(struct sc_insn *in, const ZydisDecodedInstruction *zi)
{
	unsigned i = 0;

	switch (zi->encoding) {
	case ZYDIS_INSTRUCTION_ENCODING_LEGACY: in->encoding = SC_ENC_LEGACY; break;
	case ZYDIS_INSTRUCTION_ENCODING_VEX: in->encoding = SC_ENC_VEX; break;
	case ZYDIS_INSTRUCTION_ENCODING_EVEX: in->encoding = SC_ENC_EVEX; break;
	default: in->encoding = SC_ENC_OTHER; break;
	}
	in->map = (u8)zi->opcode_map;
	in->opcode = zi->opcode;
	if (zi->attributes & ZYDIS_ATTRIB_HAS_MODRM) {
		in->off_modrm = zi->raw.modrm.offset;
		in->modrm = in->raw[in->off_modrm];
	}
	if (zi->attributes & ZYDIS_ATTRIB_HAS_SIB)
		in->off_sib = zi->raw.sib.offset;
	in->off_disp = zi->raw.disp.size ? zi->raw.disp.offset : 0;
	in->disp_len = zi->raw.disp.size / 8;
	in->off_imm = zi->raw.imm[0].size ? zi->raw.imm[0].offset : 0;
	in->imm_len = (zi->raw.imm[0].size + zi->raw.imm[1].size) / 8;
	in->vec_len = in->encoding == SC_ENC_LEGACY ? 0 : (u8)(zi->avx.vector_length / 8);

	for (; i < in->len; i++) {
		u8 b = in->raw[i];

		if (b == 0x66)
			in->flags |= SC_I_HAS_66;
		else if (b == 0x67)
			in->flags |= SC_I_HAS_67;
		else if (in->code == 8 && (b & 0xf0) == 0x40)
			in->rex = b;
		else if (b != 0x26 && b != 0x2e && b != 0x36 && b != 0x3e && b != 0x64 &&
			 b != 0x65 && b != 0xf0 && b != 0xf2 && b != 0xf3)
			break;
		if ((b & 0xf0) != 0x40)
			in->rex = 0; /* only the last byte before the opcode counts */
	}
	in->off_opcode = (u8)i;
	if (in->rex)
		in->flags |= SC_I_REX;
}

/* What Zydis' tables leave open or get wrong for our purposes */
void sc_correct_masks(struct sc_insn *in)
{
	switch (in->cls) {
	case SC_C_SHIFT:
	case SC_C_SHD: {
		const struct sc_op *count = &in->op[in->nops - 1];

		if (count->kind == SC_OP_GPR) {
			in->flags |= SC_I_COND_FLAGS;
		} else if (!(in->imm & (in->op[0].size == 8 ? 63 : 31))) {
			in->fl_written = in->fl_killed = 0;
		} else if (in->sub == 2 || in->sub == 3) {
			/* rcl, rcr of 8 and 16 bits: a count of 9 or 17 is none */
			if (in->cls == SC_C_SHIFT)
				in->flags |= SC_I_COND_FLAGS;
		}
		break;
	}
	case SC_C_MOVS:
	case SC_C_CMPS:
	case SC_C_SCAS:
	case SC_C_LODS:
	case SC_C_STOS:
	case SC_C_INS:
	case SC_C_OUTS:
		if (in->cls != SC_C_SCAS && in->cls != SC_C_STOS && in->cls != SC_C_INS)
			in->gpr_read |= BIT(X86_RSI), in->gpr_written |= BIT(X86_RSI);
		if (in->cls != SC_C_LODS && in->cls != SC_C_OUTS)
			in->gpr_read |= BIT(X86_RDI), in->gpr_written |= BIT(X86_RDI);
		if (in->flags & (SC_I_REP | SC_I_REPNE)) {
			in->gpr_read |= BIT(X86_RCX);
			in->gpr_written |= BIT(X86_RCX);
			in->flags |= SC_I_COND_FLAGS;
			if (in->cls == SC_C_CMPS || in->cls == SC_C_SCAS)
				in->fl_read |= X86_FLAG_ZF;
			if (in->cls == SC_C_LODS)
				in->gpr_read |= BIT(X86_RAX);
		}
		in->fl_read |= X86_FLAG_DF;
		break;
	case SC_C_PUSHA:
		in->gpr_read = 0xff;
		in->gpr_written |= BIT(X86_RSP);
		break;
	case SC_C_POPA:
		in->gpr_read = BIT(X86_RSP);
		in->gpr_written = 0xff;
		break;
	case SC_C_JCC:
	case SC_C_JCXZ:
	case SC_C_LOOP:
	case SC_C_JMP:
	case SC_C_CALL:
	case SC_C_RET:
	case SC_C_JMPF:
	case SC_C_CALLF:
	case SC_C_RETF:
	case SC_C_IRET:
	case SC_C_INT:
	case SC_C_SYSCALL: in->flags |= SC_I_BRANCH; break;
	default: break;
	}
	if (in->flags & SC_I_COND_FLAGS)
		in->fl_killed = 0;
}

/* F3 90 is PAUSE, but with REX.B it is XCHG with R8, whose F3 means nothing. Zydis 4.0 takes it for
 * PAUSE: let it see the bytes without. */
static bool is_xchg_r8(const ZydisDecodedInstruction *zi)
{
	return zi->mnemonic == ZYDIS_MNEMONIC_PAUSE && zi->raw.rex.B;
}

static void hide_f3(const u8 *buf, unsigned len, u8 *out)
{
	for (unsigned i = 0; i < len; i++)
		out[i] = buf[i] == 0xf3 ? 0x3e : buf[i];
}

enum sc_decode_result sc_decode_zydis(struct sc_vcpu *v, unsigned code, const u8 *buf, unsigned len,
				      struct sc_insn *in)
{
	ZydisDecoder dec;
	ZydisDecodedInstruction zi;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZyanStatus status;

	if (v)
		sc_fpu_save(v);
	init_decoder(&dec, code);
	status = ZydisDecoderDecodeFull(&dec, buf, MIN(len, 15), &zi, ops);
	if (ZYAN_SUCCESS(status) && unlikely(is_xchg_r8(&zi))) {
		u8 other[15];

		hide_f3(buf, zi.length, other);
		status = ZydisDecoderDecodeFull(&dec, other, zi.length, &zi, ops);
	}
	if (status == ZYDIS_STATUS_NO_MORE_DATA)
		return len < 15 ? SC_DEC_MORE : SC_DEC_TOO_LONG;
	if (status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG)
		return SC_DEC_TOO_LONG;
	if (!ZYAN_SUCCESS(status))
		return SC_DEC_BAD;

	sc_zero(in, sizeof(*in));
	in->base = in->index = SC_REG_NONE;
	in->len = zi.length;
	in->code = (u8)code;
	in->opsize = zi.operand_width / 8;
	in->addrsize = zi.address_width / 8;
	in->mnemonic = (u16)zi.mnemonic;
	in->isa_ext = (u8)zi.meta.isa_ext;
	in->isa_set = (u8)zi.meta.isa_set;
	sc_copy(in->raw, buf, zi.length);
	if (zi.attributes & ZYDIS_ATTRIB_HAS_LOCK)
		in->flags |= SC_I_LOCK;
	if (zi.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE))
		in->flags |= SC_I_REP;
	if (zi.attributes & ZYDIS_ATTRIB_HAS_REPNE)
		in->flags |= SC_I_REPNE;
	if (zi.attributes & ZYDIS_ATTRIB_HAS_SEGMENT)
		in->flags |= SC_I_SEG;
	operands(in, &zi, ops);
	encoding(in, &zi);
	correct_base(in);
	note_address(in);
	if (zi.cpu_flags) {
		const ZydisAccessedFlags *f = zi.cpu_flags;
		u32 sure = f->modified | f->set_0 | f->set_1;

		in->fl_read = (u16)f->tested & DF_AND_ARITH;
		in->fl_written = (u16)((sure | f->undefined) & (DF_AND_ARITH | X86_FLAG_IF));
		in->fl_killed = (u16)(sure & ~f->undefined & (DF_AND_ARITH | X86_FLAG_IF));
	}
	sc_classify(in);
	sc_correct_masks(in);
	if (in->cls != SC_C_NATIVE)
		in->isa_ext = in->isa_set = 0;
	return SC_DEC_OK;
}

enum sc_decode_result sc_decode(struct sc_vcpu *v, unsigned code, const u8 *buf, unsigned len,
				struct sc_insn *in)
{
	if (code == 8 && sc_decode_fast(buf, len, in))
		return SC_DEC_OK;
	return sc_decode_zydis(v, code, buf, len, in);
}
