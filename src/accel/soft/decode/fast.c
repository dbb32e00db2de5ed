// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/decode/fast.c - The frequent 64-bit instructions, from our own tables
 *
 * Zydis takes 165 ns for an instruction, this 33 (docs/decisions/soft-decoder.md). Only certain
 * answers are given: prefixes that are not allowed, opcodes without a row, bytes that are
 * not there, all are left to Zydis, so nothing here decides what is #UD.
 *
 * Much of the time would go into the host's wrong guesses of branches, for one instruction of
 * the guest says little about the next. So the bytes are in two registers, prefixes and SIB
 * are looked at without asking whether they are there, and operands come from templates. [any] */
#include "accel/soft/decode/fast.h"

#include "accel/soft/soft.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))

/* Eight and four bytes anywhere */
struct word {
	u64 bytes;
} __attribute__((packed));
struct half {
	u32 bytes;
} __attribute__((packed));

/* Lives in registers: nothing that is not inlined may have its address */
struct parse {
	u64 lo, hi;	/* the instruction's bytes, zeros behind the last that is there */
	unsigned at;	/* offset of the byte to be looked at next */
	u8 rex;		/* VEX, too: W R X B */
	u8 pp;		/* enum sc_pp */
	u8 vvvv;
	bool l, rep, lock;
	u8 seg;		/* X86_FS, X86_GS; X86_DS: no prefix that matters */
	u8 modrm, sib;
	u16 flags;	/* SC_I_* */
};

/* At least @n bytes from offset @at on, in the lower part */
static ALWAYS_INLINE u64 bytes_at(const struct parse *s, unsigned at, unsigned n)
{
	if (likely(at + n <= 8))
		return s->lo >> at * 8;
	return (u64)(((unsigned __int128)s->hi << 64 | s->lo) >> at * 8);
}

/* The lowest @n bytes of @v, 1 to 8 of them */
static ALWAYS_INLINE s64 low_bytes(u64 v, unsigned n, bool sign)
{
	unsigned shift = 64 - n * 8;

	v <<= shift;
	return sign ? (s64)v >> shift : (s64)(v >> shift);
}

enum { P_NONE, P_REX, P_66, P_67, P_REP, P_LOCK, P_FS_GS, P_SEG };
static const u8 prefix_of[256] = {
	[0x26] = P_SEG, [0x2e] = P_SEG, [0x36] = P_SEG, [0x3e] = P_SEG,
	[0x40 ... 0x4f] = P_REX,
	[0x64] = P_FS_GS, [0x65] = P_FS_GS, [0x66] = P_66, [0x67] = P_67,
	[0xf0] = P_LOCK, [0xf2] = P_REP, [0xf3] = P_REP,
};

/* What precedes REX and opcode */
struct prefixes {
	u8 n;		/* bytes */
	u8 pp, seg;	/* as in struct parse */
	bool rep, lock;
	u16 flags;
};

/* Prefixes up to REX or the opcode. false: leave it to Zydis */
static bool legacy_prefixes(u64 lo, u64 hi, struct prefixes *x)
{
	bool other_seg = false;
	u8 b;

	*x = (struct prefixes){ .seg = X86_DS };
	for (;; x->n++) {
		if (x->n > 12)
			return false;
		b = (u8)((x->n < 8 ? lo : hi) >> (x->n & 7) * 8);
		switch (prefix_of[b]) {
		case P_66: x->flags |= SC_I_HAS_66; break;
		case P_67: x->flags |= SC_I_HAS_67; break;
		case P_LOCK: x->lock = true; break;
		case P_SEG: other_seg = true; break; /* ES, CS, SS, DS have no effect */
		case P_REP:
			if (x->rep)
				return false;
			x->rep = true;
			x->pp = b == 0xf2 ? SC_PP_F2 : SC_PP_F3;
			break;
		case P_FS_GS:
			if (x->seg != X86_DS)
				return false;
			x->seg = b == 0x64 ? X86_FS : X86_GS;
			break;
		default:
			if (!x->rep && x->flags & SC_I_HAS_66)
				x->pp = SC_PP_66;
			return !(other_seg && x->seg != X86_DS);
		}
	}
}

/* The VEX prefix that the bytes @w begin with. Return: map, or SC_NUM_MAPS */
static ALWAYS_INLINE unsigned vex(struct parse *s, u64 w)
{
	u8 b1 = w >> 8, last = b1;
	unsigned map = 1;

	if (s->rex || s->rep || s->lock || (s->flags & SC_I_HAS_66))
		return SC_NUM_MAPS;
	s->rex = (~b1 & 0x80) >> 5;
	s->at += 2;
	if ((u8)w == 0xc4) {
		last = w >> 16;
		s->rex |= (~b1 & 0x60) >> 5 | (last & 0x80) >> 4;
		map = b1 & 31;
		s->at++;
	}
	s->vvvv = ~(last >> 3) & 15;
	s->l = last & 4;
	s->pp = last & 3;	/* none, 66, F3, F2: the order of enum sc_pp */
	return map >= 1 && map <= 3 ? SC_MAP_V0F + map - 1 : SC_NUM_MAPS;
}

/* What sc_row.when is compared with */
static ALWAYS_INLINE u32 form_bits(const struct parse *s)
{
	_Static_assert(SC_I_HAS_66 << 7 == SC_W_66 && SC_I_HAS_67 << 7 == SC_W_67, "shifted below");
	return s->modrm | (s->rex & 8) << 5 | s->l << 9 | (s->modrm < 0xc0) << 10 | (s->rex & 1) << 11 |
	       (s->flags & (SC_I_HAS_66 | SC_I_HAS_67)) << 7;
}

/* Of the rows of an opcode the one that is meant, or NULL */
static const struct sc_row *pick_row(const struct sc_row *row, u32 bits)
{
	if (row->attr & SC_R_BY_REG)
		return row + (bits >> 3 & 7);
	while (((row->when ^ bits) & row->when >> 16) != 0)
		if ((++row)->attr & SC_R_FIRST)
			return NULL;
	return row;
}

/* ModRM's memory forms, by mod and rm (SDM 2A table 2-2) */
#define NUMBERED 0
static const struct form {
	u8 base;	/* NUMBERED or SC_REG_NONE, SC_REG_RIP */
	u8 disp;	/* bytes */
	u8 sib;
} forms[32] = {
	[0 ... 3] = { NUMBERED, 0, 0 }, [4] = { NUMBERED, 0, 1 }, [5] = { SC_REG_RIP, 4, 0 },
	[6 ... 7] = { NUMBERED, 0, 0 },
	[8 ... 11] = { NUMBERED, 1, 0 }, [12] = { NUMBERED, 1, 1 }, [13 ... 15] = { NUMBERED, 1, 0 },
	[16 ... 19] = { NUMBERED, 4, 0 }, [20] = { NUMBERED, 4, 1 }, [21 ... 23] = { NUMBERED, 4, 0 },
	[24 ... 31] = { SC_REG_NONE, 0, 0 },
};

/* ModRM's memory operand; s->at is behind ModRM. @w: bytes from there on */
static ALWAYS_INLINE void memory(struct parse *s, struct sc_insn *in, u64 w, u32 *gprs)
{
	const struct form *f = &forms[(s->modrm >> 3 & 0x18) | (s->modrm & 7)];
	unsigned disp = f->disp, sib = f->sib ? (u8)w : 4 << 3;
	unsigned base = (f->sib ? sib : s->modrm) & 7, index = (sib >> 3 & 7) | (s->rex & 2) << 2;

	in->off_sib = f->sib ? s->at : 0;
	s->at += f->sib;
	base = f->base ? f->base : base | (s->rex & 1) << 3;
	if (unlikely(f->sib && (sib & 7) == 5 && s->modrm < 0x40)) {
		base = SC_REG_NONE;
		disp = 4;
	}
	in->base = base;
	*gprs |= (u32)(base < 16) << (base & 15);
	if (f->sib && index != 4) {
		in->index = index;
		in->scale = sib >> 6;
		*gprs |= BIT(index);
	} else {
		in->index = SC_REG_NONE;
	}
	if (disp) {
		in->off_disp = s->at;
		in->disp_len = disp;
		in->disp = low_bytes(bytes_at(s, s->at, disp), disp, true);
		s->at += disp;
	}
	in->seg = s->seg;
	s->flags |= SC_I_MEM;
	if (likely(s->seg == X86_DS))
		in->seg = base == X86_RSP || base == X86_RBP ? X86_SS : X86_DS;
	else
		s->flags |= SC_I_SEG;
}

/* What the operands of an instruction are made of */
struct sources {
	u64 regs;		/* numbers by enum sc_from */
	unsigned column;	/* in struct sc_operand */
	unsigned addrsize;
	bool mem;		/* E and W are memory */
	bool low8;		/* registers 4..7 of one byte are SPL to DIL */
};

/* Operand @n of @in from its code. @gprs: registers read, written << 16. Return: SC_H_*, size << 8 */
static ALWAYS_INLINE unsigned operand(struct sc_insn *in, unsigned n, unsigned code,
				      const struct sources *src, u32 *gprs)
{
	const struct sc_operand *c = &sc_operands[SC_OPERAND(code)];
	unsigned act = SC_OPERAND_ACT(code), how = c->how, size, kind, reg;

	if (how & SC_H_RM && src->mem) {
		size = c->mem[src->column].size;
		if (unlikely(!size))
			size = src->addrsize;
		in->mem_op = n;
		in->mem_size = size;
		in->op[n] = (struct sc_op){ .kind = SC_OP_MEM, .size = size, .act = act };
		return 0;
	}
	kind = c->reg[src->column].kind;
	size = c->reg[src->column].size;
	reg = (u8)(src->regs >> c->from * 8);
	if (how & SC_H_GPR) {
		if (unlikely(size == 1) && (reg & ~3u) == 4 && !src->low8) {
			kind = SC_OP_HIGH8;
			reg -= 4;
		}
		_Static_assert(SC_ACT_R == 1 && SC_ACT_W == 2, "taken apart below");
		*gprs |= ((act | (size < 4)) & 1) << reg | (act >> 1) << 16 << reg;
	} else if (unlikely(kind == SC_OP_MMX)) {
		reg &= 7;
	}
	in->op[n] = (struct sc_op){ .kind = kind, .reg = reg, .size = size, .act = act };
	return how | size << 8;
}

/* The operands that are not registers, ModRM memory or immediates */
static ALWAYS_INLINE void odd_operand(struct parse *s, struct sc_insn *in, unsigned how, unsigned n)
{
	if (how & SC_H_ONE) {
		in->imm = 1;
	} else if (how & SC_H_MOFFS) {
		s->flags |= SC_I_MEM | (s->seg != X86_DS ? SC_I_SEG : 0);
		in->seg = s->seg;
		in->mem_op = n;
		in->mem_size = in->op[n].size;
		in->off_disp = s->at;
		in->disp_len = in->addrsize;
		in->disp = low_bytes(bytes_at(s, s->at, 8), in->addrsize, true);
		s->at += in->addrsize;
	} else if (how & SC_H_IS4) {
		in->op[n].reg = (u8)bytes_at(s, s->at, 1) >> 4;
		in->off_imm = s->at++;
		in->imm_len = 1;
	}
}

/* false: leave it to Zydis */
static ALWAYS_INLINE bool operands(struct parse *s, struct sc_insn *in, const struct sc_row *row,
				   unsigned log, unsigned opcode, u32 *gprs)
{
	unsigned b = (s->rex & 1) << 3;
	struct sources src = {
		.regs = (s->modrm >> 3 & 7) | (s->rex & 4) << 1 | ((s->modrm & 7) | b) << 8 | s->vvvv << 16 |
			((opcode & 7) | b) << 24 | 1ull << 40 | 2ull << 48,
		.column = log | s->l << 2,
		.mem = s->modrm < 0xc0,
		.addrsize = in->addrsize,
		.low8 = s->rex,
	};
	unsigned n, all = 0;

	for (n = 0; n < 4 && row->op[n]; n++) {
		unsigned how = operand(in, n, row->op[n], &src, gprs);

		all |= how;
		if (how & SC_H_IMM) {
			in->off_imm = s->at;
			in->imm_len = how >> 8;
			in->imm = low_bytes(bytes_at(s, s->at, how >> 8), how >> 8, !(how & SC_H_UNSIGNED));
			s->at += how >> 8;
		} else if (unlikely(how & (SC_H_ONE | SC_H_MOFFS | SC_H_IS4))) {
			odd_operand(s, in, how, n);
		}
	}
	in->nops = n;
	return !s->vvvv || (all & SC_H_VVVV);
}

/* String instructions: the one memory operand that can have a segment prefix, else [rdi] */
static void string_operand(struct sc_insn *in, u8 pp, u8 seg)
{
	bool rsi = in->cls == SC_C_MOVS || in->cls == SC_C_CMPS || in->cls == SC_C_LODS;

	in->flags |= SC_I_MEM_HIDDEN | (pp == SC_PP_F3 ? SC_I_REP : pp == SC_PP_F2 ? SC_I_REPNE : 0);
	in->mem_size = in->opsize;
	in->base = rsi ? X86_RSI : X86_RDI;
	in->seg = rsi ? seg : X86_ES;
	if (rsi && seg != X86_DS)
		in->flags |= SC_I_SEG;
	in->gpr_read |= BIT(in->base);
}

/* At most 15 bytes into two words. Those may be all that can be read. */
static ALWAYS_INLINE void load(struct parse *s, const u8 *buf, unsigned len)
{
	if (likely(len >= 15)) {
		s->lo = ((const struct word *)buf)->bytes;
		/* in parts, for a load across two words that were just stored has to wait for both */
		s->hi = ((const struct half *)(buf + 8))->bytes |
			(u64)(buf[12] | (u32)buf[13] << 8 | (u32)buf[14] << 16) << 32;
	} else {
		u64 word[2] = { 0, 0 };

		for (unsigned i = 0; i < len; i++)
			word[i >> 3] |= (u64)buf[i] << (i & 7) * 8;
		s->lo = word[0];
		s->hi = word[1];
	}
}

bool sc_decode_fast(const u8 *buf, unsigned len, struct sc_insn *in)
{
	struct parse s = { .seg = X86_DS };
	const struct sc_effect *fx;
	const struct sc_row *row;
	unsigned map, opcode, log;
	u32 gprs;
	bool is_0f, has_modrm;
	u64 w;

	load(&s, buf, len);
	w = s.lo; /* seven bytes reach from the opcode to SIB */
	if (unlikely(prefix_of[(u8)s.lo] > P_REX)) {
		struct prefixes x;

		if (!legacy_prefixes(s.lo, s.hi, &x))
			return false;
		s.at = x.n;
		s.pp = x.pp;
		s.seg = x.seg;
		s.rep = x.rep;
		s.lock = x.lock;
		s.flags = x.flags;
		w = bytes_at(&s, s.at, 8);
	}
	s.rex = (w & 0xf0) == 0x40 ? (u8)w : 0;
	s.at += !!s.rex;
	w >>= s.rex ? 8 : 0;
	if (unlikely(prefix_of[(u8)w])) /* behind REX */
		return false;

	/* u64 stores: the compiler would take a slow rep stos */
	_Static_assert(sizeof(*in) % 8 == 0 && _Alignof(struct sc_insn) == 8, "cleared in u64s");
#pragma GCC unroll 16
	for (unsigned i = 0; i < sizeof(*in) / 8; i++)
		((u64 *)(void *)in)[i] = 0;
	in->off_opcode = s.at;
	in->rex = s.rex;
	s.flags |= s.rex ? SC_I_REX : 0;
	if (unlikely((w & 0xfe) == 0xc4)) {
		map = vex(&s, w);
		w >>= (w & 1 ? 16 : 24);
		if (map == SC_NUM_MAPS)
			return false;
		in->encoding = SC_ENC_VEX;
		in->vec_len = s.l ? 32 : 16;
		in->map = map - SC_MAP_V0F + 1;
	} else {
		is_0f = (u8)w == 0x0f;
		map = is_0f;
		s.at += is_0f;
		w >>= is_0f ? 8 : 0;
		if (unlikely(is_0f && ((u8)w == 0x38 || (u8)w == 0x3a))) {
			map = (u8)w == 0x38 ? SC_MAP_0F38 : SC_MAP_0F3A;
			s.at++;
			w >>= 8;
		}
		in->map = map;
	}
	opcode = (u8)w;
	s.at++;
	w >>= 8;
	row = &sc_rows[sc_row_of[map][opcode][s.pp]];
	has_modrm = row->attr & SC_R_MODRM; /* the same in all rows of an opcode */
	s.modrm = has_modrm ? (u8)w : 0xc0;
	in->off_modrm = has_modrm ? s.at : 0;
	in->modrm = has_modrm ? (u8)w : 0;
	s.at += has_modrm;
	if (row->when) {
		row = pick_row(row, form_bits(&s));
		if (unlikely(!row))
			return false;
	} else if (unlikely(row == sc_rows)) {
		return false;
	}

	log = sc_rule_sizes[row->rule][(s.flags / SC_I_HAS_66 & 1) | (s.rex & 8) >> 2];
	in->mnemonic = row->mnemonic;
	in->cls = row->cls;
	in->sub = row->sub;
	in->opsize = 1 << log;
	in->addrsize = 8 >> !!(s.flags & SC_I_HAS_67);
	in->code = 8;
	in->opcode = opcode;
	fx = &sc_effects[row->effect];
	in->flags = fx->flags;
	in->fl_read = fx->fl_read;
	in->fl_written = fx->fl_written;
	in->fl_killed = fx->fl_killed;
	gprs = fx->gpr_read | (u32)fx->gpr_written << 16;
	if (unlikely(fx->sized) && log < 2)
		gprs |= fx->gpr_written;
	in->base = in->index = SC_REG_NONE;
	if (row->cls == SC_C_LEA)
		s.seg = X86_DS;
	if (s.modrm < 0xc0)
		memory(&s, in, w >> 8, &gprs);
	if (!operands(&s, in, row, log, opcode, &gprs))
		return false;
	in->gpr_read = (u16)gprs;
	in->gpr_written = gprs >> 16;
	in->flags |= s.flags;
	if (unlikely(s.lock)) {
		if (!(row->attr & SC_R_LOCK) || in->op[0].kind != SC_OP_MEM)
			return false;
		in->flags |= SC_I_LOCK;
	}
	if (unlikely(fx->cond0)) {
		in->op[0].act |= SC_ACT_COND;
		if (in->op[0].kind == SC_OP_GPR)
			in->gpr_read |= BIT(in->op[0].reg);
	}
	if (unlikely(s.at > MIN(len, 15u)))
		return false;
	in->len = s.at;
	_Static_assert(offsetof(struct sc_insn, isa_ext) == offsetof(struct sc_insn, raw) + 15,
		       "raw has a byte behind it that comes later");
	((struct word *)in->raw)->bytes = s.lo;
	((struct word *)(in->raw + 8))->bytes = s.hi;
	if (unlikely(row->cls == SC_C_NATIVE)) {
		in->isa_ext = sc_isas[row->attr >> 8][s.l].ext;
		in->isa_set = sc_isas[row->attr >> 8][s.l].set;
	} else {
		in->feature = row->attr >> 8;
		in->isa_ext = 0;
	}
	if (unlikely(row->attr & (SC_R_STRING | SC_R_FIX))) {
		if (row->attr & SC_R_STRING)
			string_operand(in, s.pp, s.seg);
		sc_correct_masks(in);
	}
	return true;
}
