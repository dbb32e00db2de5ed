// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/decode/fast.c - The frequent 64-bit instructions, from our own tables
 *
 * Zydis takes 150 ns for an instruction, this a tenth; a translator that meets new code
 * all the time is made of such. Only certain answers are given: prefixes that are not
 * allowed, opcodes without a row, bytes that are not there, all are left to Zydis, so
 * nothing here decides what is #UD. [any] */
#include "accel/soft/decode/fast.h"

#include "accel/soft/soft.h"

/* Prefixes of the instruction, and the bytes still to be looked at */
struct parse {
	const u8 *buf, *p, *end;
	u8 rex;
	u8 pp;		/* enum sc_pp */
	u8 vvvv;
	bool vex, l, w, p67, lock, rep;
	u8 seg;		/* X86_FS, X86_GS; X86_DS: no prefix that matters */
	u8 modrm;
	u16 flags;	/* SC_I_* */
};

enum { P_NONE, P_REX, P_66, P_67, P_F2, P_F3, P_LOCK, P_FS, P_GS, P_SEG };
static const u8 prefix_of[256] = {
	[0x26] = P_SEG, [0x2e] = P_SEG, [0x36] = P_SEG, [0x3e] = P_SEG,
	[0x40 ... 0x4f] = P_REX,
	[0x64] = P_FS, [0x65] = P_GS, [0x66] = P_66, [0x67] = P_67,
	[0xf0] = P_LOCK, [0xf2] = P_F2, [0xf3] = P_F3,
};

/* Legacy prefixes and REX. false: leave it to Zydis */
static inline bool prefixes(struct parse *s)
{
	bool other_seg = false;
	unsigned k;

	for (; s->p < s->end; s->p++) {
		k = prefix_of[*s->p];
		if (likely(k == P_NONE))
			return !(other_seg && s->seg != X86_DS);
		if (k == P_REX) {
			s->rex = *s->p;
			continue;
		}
		s->rex = 0; /* only right before the opcode does it count */
		switch (k) {
		case P_66:
			s->flags |= SC_I_HAS_66;
			break;
		case P_67:
			s->flags |= SC_I_HAS_67;
			s->p67 = true;
			break;
		case P_F2:
		case P_F3:
			if (s->rep)
				return false;
			s->rep = true;
			s->pp = k == P_F2 ? SC_PP_F2 : SC_PP_F3;
			break;
		case P_LOCK:
			s->lock = true;
			break;
		case P_SEG:
			other_seg = true; /* ES, CS, SS, DS have no effect */
			break;
		default:
			if (s->seg != X86_DS)
				return false;
			s->seg = k == P_FS ? X86_FS : X86_GS;
			break;
		}
	}
	return false;
}

/* The VEX prefix at s->p, up to the opcode. Return: map, or SC_NUM_MAPS */
static inline unsigned vex(struct parse *s)
{
	bool three = s->p[0] == 0xc4;
	unsigned map = 1, last;

	if (s->end - s->p < 4 || s->rex || s->rep || s->lock || (s->flags & SC_I_HAS_66))
		return SC_NUM_MAPS;
	s->vex = true;
	/* as REX has them: W R X B */
	s->rex = (~s->p[1] & 0x80) >> 5;
	if (three) {
		s->rex |= (~s->p[1] & 0x60) >> 5;
		map = s->p[1] & 31;
		s->w = s->p[2] & 0x80;
		s->p++;
	}
	last = s->p[1];
	s->p += 2;
	s->vvvv = ~(last >> 3) & 15;
	s->l = last & 4;
	s->pp = last & 3;	/* 0, 66, F3, F2: the order of enum sc_pp */
	return map >= 1 && map <= 3 ? SC_MAP_V0F + map - 1 : SC_NUM_MAPS;
}

/* Map of the opcode that s->p is at then, or SC_NUM_MAPS */
static inline unsigned opcode_map(struct parse *s)
{
	if (*s->p == 0xc4 || *s->p == 0xc5)
		return vex(s);
	s->w = s->rex & 8;
	if (!s->rep && (s->flags & SC_I_HAS_66))
		s->pp = SC_PP_66;
	if (*s->p != 0x0f)
		return SC_MAP_1B;
	if (s->end - s->p < 3)
		return s->end - s->p == 2 && s->p[1] != 0x38 && s->p[1] != 0x3a ? s->p++, SC_MAP_0F
									    : SC_NUM_MAPS;
	s->p++;
	if (*s->p == 0x38)
		return s->p++, SC_MAP_0F38;
	if (*s->p == 0x3a)
		return s->p++, SC_MAP_0F3A;
	return SC_MAP_0F;
}

static const struct sc_row *find_row(const struct parse *s, const struct sc_row *row)
{
	u32 is = s->modrm | s->w << 8 | s->l << 9 | (s->rex & 1) << 11 | !!(s->flags & SC_I_HAS_66) << 12 |
		 s->p67 << 13;

	if (row->attr & SC_R_MODRM && s->modrm < 0xc0)
		is |= SC_W_MEM;
	if (row->attr & SC_R_BY_REG)
		row += s->modrm >> 3 & 7;
	while (((row->when ^ is) & row->when >> 16) != 0)
		if ((++row)->attr & SC_R_FIRST)
			return NULL;
	return row;
}

static inline s64 load_signed(const u8 *p, unsigned n)
{
	switch (n) {
	case 1: return *(const s8 *)p;
	case 2: return *(const s16 *)(const void *)p;
	case 4: return *(const s32 *)(const void *)p;
	default: return *(const s64 *)(const void *)p;
	}
}

static inline void note_segment(const struct parse *s, struct sc_insn *in)
{
	in->seg = s->seg;
	if (s->seg != X86_DS)
		in->flags |= SC_I_SEG;
}

/* ModRM's memory operand; s->p is behind ModRM. false: bytes missing */
static inline bool memory(struct parse *s, struct sc_insn *in)
{
	unsigned mod = s->modrm >> 6, rm = s->modrm & 7, n = mod == 1 ? 1 : mod == 2 ? 4 : 0;

	in->flags |= SC_I_MEM;
	note_segment(s, in);
	if (rm == 4) {
		unsigned sib, base, index;

		if (s->p == s->end)
			return false;
		in->off_sib = s->p - s->buf;
		sib = *s->p++;
		base = sib & 7;
		index = (sib >> 3 & 7) | (s->rex & 2) << 2;
		if (index != 4) {
			in->index = index;
			in->scale = sib >> 6;
			in->gpr_read |= BIT(index);
		}
		if (base == 5 && !mod) {
			n = 4;
			goto disp;
		}
		in->base = base | (s->rex & 1) << 3;
	} else if (rm == 5 && !mod) {
		in->base = SC_REG_RIP;
		n = 4;
		goto disp;
	} else {
		in->base = rm | (s->rex & 1) << 3;
	}
	in->gpr_read |= BIT(in->base);
	if ((in->base == X86_RSP || in->base == X86_RBP) && s->seg == X86_DS)
		in->seg = X86_SS;
disp:
	if (n) {
		if (s->end - s->p < n)
			return false;
		in->off_disp = s->p - s->buf;
		in->disp_len = n;
		in->disp = load_signed(s->p, n);
		s->p += n;
	}
	return true;
}

/* An immediate, its size already in op->size. false: bytes missing */
static inline bool immediate(struct parse *s, struct sc_insn *in, unsigned n, bool zero_extend)
{
	if (s->end - s->p < n)
		return false;
	in->off_imm = s->p - s->buf;
	in->imm_len = n;
	in->imm = load_signed(s->p, n);
	if (zero_extend)
		in->imm &= n == 1 ? 0xff : 0xffff;
	s->p += n;
	return true;
}

/* Operands by the row's codes. false: leave it to Zydis */
static inline bool operands(struct parse *s, struct sc_insn *in, const struct sc_row *row,
			    unsigned opsize_log, unsigned opcode)
{
	const u8 (*sizes)[8] = sc_sizes;
	unsigned st = opsize_log | s->l << 2, n, used = 0;
	/* register numbers by enum sc_from */
	u64 regs = (s->modrm >> 3 & 7) | (s->rex & 4) << 1 |
		   ((s->modrm & 7) | (s->rex & 1) << 3) << 8 | s->vvvv << 16 |
		   (u64)((opcode & 7) | (s->rex & 1) << 3) << 24 | 1ull << 40 | 2ull << 48;

	for (n = 0; n < 4 && row->op[n]; n++) {
		const struct sc_operand *c = &sc_operands[SC_OPERAND(row->op[n])];
		unsigned act = SC_OPERAND_ACT(row->op[n]), size = sizes[c->size][st];
		struct sc_op *op = &in->op[n];
		unsigned reg, bit;

		op->act = act;
		if (c->from == SC_FROM_RM && s->modrm < 0xc0) {
			in->mem_op = n;
			size = sizes[c->mem_size][st];
			if (!size)
				size = in->addrsize;
			in->mem_size = op->size = size;
			op->kind = SC_OP_MEM;
			continue;
		}
		op->kind = c->kind;
		op->size = size;
		switch (c->from) {
		case SC_FROM_IMM:
		case SC_FROM_IMM_U:
			if (!immediate(s, in, size, c->from == SC_FROM_IMM_U))
				return false;
			continue;
		case SC_FROM_ONE:
			in->imm = 1;
			continue;
		case SC_FROM_MOFFS:
			in->flags |= SC_I_MEM;
			note_segment(s, in);
			in->mem_op = n;
			in->mem_size = size;
			in->off_disp = s->p - s->buf;
			in->disp_len = in->addrsize;
			if (s->end - s->p < in->addrsize)
				return false;
			in->disp = load_signed(s->p, in->addrsize);
			s->p += in->addrsize;
			continue;
		case SC_FROM_IS4:
			if (s->p == s->end)
				return false;
			in->off_imm = s->p - s->buf;
			in->imm_len = 1;
			reg = *s->p++ >> 4;
			break;
		default:
			used |= BIT(c->from);
			reg = regs >> c->from * 8 & 0xff;
		}
		if (c->kind == SC_OP_GPR) {
			if (size == 1 && reg >= 4 && reg < 8 && !s->rex && !s->vex) {
				op->kind = SC_OP_HIGH8;
				reg -= 4;
			}
			bit = BIT(reg);
			if (act & SC_ACT_W) {
				in->gpr_written |= bit;
				if (size < 4)
					in->gpr_read |= bit;
			}
			if (act & SC_ACT_R)
				in->gpr_read |= bit;
		} else if (c->kind == SC_OP_XMM) {
			op->kind += size >> 5;
		} else if (c->kind == SC_OP_MMX) {
			reg &= 7;
		}
		op->reg = reg;
	}
	in->nops = n;
	return !s->vvvv || (used & BIT(SC_FROM_VVVV));
}

/* String instructions: the one memory operand that can have a segment prefix, else [rdi] */
static void string_operand(const struct parse *s, struct sc_insn *in)
{
	bool rsi = in->cls == SC_C_MOVS || in->cls == SC_C_CMPS || in->cls == SC_C_LODS;

	in->flags |= SC_I_MEM_HIDDEN | (s->pp == SC_PP_F3 ? SC_I_REP : s->pp == SC_PP_F2 ? SC_I_REPNE : 0);
	in->mem_size = in->opsize;
	in->base = rsi ? X86_RSI : X86_RDI;
	if (rsi)
		note_segment(s, in);
	else
		in->seg = X86_ES;
	in->gpr_read |= BIT(in->base);
	sc_correct_masks(in);
}

static inline void copy_raw(u8 *raw, const u8 *buf, unsigned avail, unsigned len)
{
	u64 lo, hi;

	if (unlikely(avail < 15)) {
		for (unsigned i = 0; i < len; i++)
			raw[i] = buf[i];
		return;
	}
	lo = *(const u64 *)(const void *)buf;
	hi = *(const u64 *)(const void *)(buf + 7) >> 8;
	if (len < 8) {
		lo &= (1ull << len * 8) - 1;
		hi = 0;
	} else {
		hi &= (1ull << (len - 8) * 8) - 1;
	}
	*(u64 *)(void *)raw = lo;
	*(u64 *)(void *)(raw + 8) = hi; /* one byte too many: isa_ext, which comes later */
}
_Static_assert(offsetof(struct sc_insn, isa_ext) == offsetof(struct sc_insn, raw) + 15, "copy_raw");

bool sc_decode_fast(const u8 *buf, unsigned len, struct sc_insn *in)
{
	struct parse s = { .buf = buf, .p = buf, .end = buf + MIN(len, 15u), .seg = X86_DS };
	const struct sc_effect *fx;
	const struct sc_row *row;
	unsigned map, opcode, log;

	if (!prefixes(&s))
		return false;
	/* u64 stores: the compiler would take a slow rep stos */
	_Static_assert(sizeof(*in) % 8 == 0 && _Alignof(struct sc_insn) == 8, "cleared in u64s");
#pragma GCC unroll 16
	for (unsigned i = 0; i < sizeof(*in) / 8; i++)
		((u64 *)(void *)in)[i] = 0;
	in->off_opcode = s.p - buf;
	map = opcode_map(&s);
	if (map == SC_NUM_MAPS || s.p == s.end)
		return false;
	opcode = *s.p++;
	row = &sc_rows[sc_row_of[map][opcode][s.pp]];
	if (row->attr & SC_R_MODRM) {
		if (s.p == s.end)
			return false;
		in->off_modrm = s.p - buf;
		in->modrm = s.modrm = *s.p++;
	}
	row = find_row(&s, row);
	if (!row || !row->mnemonic)
		return false;

	log = sc_rule_sizes[row->rule][(s.flags & SC_I_HAS_66 ? 1 : 0) | s.w << 1];
	in->mnemonic = row->mnemonic;
	in->cls = row->cls;
	in->sub = row->sub;
	in->opsize = 1 << log;
	in->addrsize = s.p67 ? 4 : 8;
	in->code = 8;
	in->base = in->index = SC_REG_NONE;
	in->map = map < SC_MAP_V0F ? map : map - SC_MAP_V0F + 1;
	in->opcode = opcode;
	if (s.vex) {
		in->encoding = SC_ENC_VEX;
		in->vec_len = s.l ? 32 : 16;
	} else if (s.rex) {
		in->rex = s.rex;
		s.flags |= SC_I_REX;
	}
	fx = &sc_effects[row->effect];
	in->flags = s.flags | fx->flags;
	in->fl_read = fx->fl_read;
	in->fl_written = fx->fl_written;
	in->fl_killed = fx->fl_killed;
	in->gpr_read = fx->gpr_read;
	in->gpr_written = fx->gpr_written;
	if (fx->sized && log < 2)
		in->gpr_read |= fx->gpr_written;
	if (row->cls == SC_C_LEA)
		s.seg = X86_DS;
	if (in->off_modrm && s.modrm < 0xc0 && !memory(&s, in))
		return false;
	if (!operands(&s, in, row, log, opcode))
		return false;
	if (s.lock) {
		if (!(row->attr & SC_R_LOCK) || in->op[0].kind != SC_OP_MEM)
			return false;
		in->flags |= SC_I_LOCK;
	}
	if (fx->cond0) {
		in->op[0].act |= SC_ACT_COND;
		if (in->op[0].kind == SC_OP_GPR)
			in->gpr_read |= BIT(in->op[0].reg);
	}
	in->len = s.p - buf;
	copy_raw(in->raw, buf, s.end - buf, in->len);
	if (row->cls == SC_C_NATIVE) {
		in->isa_ext = sc_isas[row->attr >> 8][s.l].ext;
		in->isa_set = sc_isas[row->attr >> 8][s.l].set;
	} else {
		in->feature = row->attr >> 8;
	}
	if (unlikely(row->attr & SC_R_STRING))
		string_operand(&s, in);
	else if (row->attr & SC_R_FIX)
		sc_correct_masks(in);
	return true;
}
