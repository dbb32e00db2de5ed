// SPDX-License-Identifier: BSD-2-Clause
/* test/isa/gen.c - Random instructions and states that make sense
 *
 * Opcodes are not listed: every point of the opcode space is tried, the decoder says
 * what it is, and what cannot be compared (branches, privileged, time, segment
 * registers of this process) is left out.
 *
 * R13 is a small index, R14 and R15 point at data; instructions of a sequence leave
 * those and RSP alone. */
#include <Zydis/Zydis.h>
#include <string.h>

#include "accel/soft/interp/native.h"
#include "isa.h"

u64 isa_rand(struct isa_rng *r)
{
	u64 z = (r->s += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}
static bool chance(struct isa_rng *r, unsigned one_in) { return isa_below(r, one_in) == 0; }

/* ------------------------------------------------------------------ states */

static const u64 corners[] = {
	0, 1, 2, ~0ull, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffff, 0x80000000, 0x7fffffff,
	0x100000000, 0xff, 0x80, 0x7f, 0xffff, 0x8000, 0x3ff0000000000000, 0x7ff0000000000000,
	0xfff0000000000000, 0x7ff8000000000001, 0x7ff0000000000001, 0x0000000000000001,
	0x000fffffffffffff, 0x3f8000003f800000, 0x7f8000007f800001, 0xff80000000000001,
	0x4000000040000000, 0x8000000080000000, 0x41e0000000000000, 0xc1e0000000200000
};

u64 isa_value(struct isa_rng *r)
{
	switch (isa_below(r, 8)) {
	case 0: return corners[isa_below(r, ARRAY_LEN(corners))];
	case 1: return isa_rand(r) >> isa_below(r, 64);
	case 2: { /* a double near one */
		u64 exp = 1023 - 20 + isa_below(r, 40);

		return (isa_rand(r) & 0x800fffffffffffffull) | exp << 52;
	}
	case 3: { /* two floats near one */
		u64 a = 127 - 20 + isa_below(r, 40), b = 127 - 20 + isa_below(r, 40);

		return (isa_rand(r) & 0x807fffff807fffffull) | a << 23 | b << 55;
	}
	case 4: return (u64)(s64)(s8)isa_rand(r);
	default: return isa_rand(r);
	}
}

static void fill(u8 *p, unsigned len, struct isa_rng *r)
{
	for (unsigned i = 0; i < len; i += 8) {
		u64 x = isa_value(r);

		memcpy(p + i, &x, 8);
	}
}

static void random_x87(u8 *xs, struct isa_rng *r)
{
	u16 fcw = 0x37f, fsw = 0;

	if (chance(r, 3))
		fcw = 0x7f | (isa_rand(r) & 0xf00); /* precision, rounding */
	if (chance(r, 8))
		fcw &= ~(1u << isa_below(r, 6)); /* one exception unmasked */
	fsw = isa_rand(r) & 0x7f00;		 /* TOP, conditions */
	if (chance(r, 4))
		fsw |= isa_rand(r) & 0x7f;
	if (fsw & ~fcw & 0x3f) {
		if (chance(r, 4))
			fsw |= 0x8080; /* ES, B: an exception waits */
		else
			fsw &= ~0x3f;
	}
	memcpy(xs, &fcw, 2);
	memcpy(xs + 2, &fsw, 2);
	xs[4] = chance(r, 2) ? 0xff : (u8)isa_rand(r);
	for (unsigned i = 0; i < 8; i++) {
		u64 m = isa_value(r);
		u16 e = 16383 - 20 + isa_below(r, 40);

		if (chance(r, 8))
			e = isa_rand(r);
		else if (chance(r, 16))
			e = chance(r, 2) ? 0x7fff : 0;
		else
			m |= BIT64(63);
		e |= isa_rand(r) & 0x8000;
		memcpy(xs + 32 + 16 * i, &m, 8);
		memcpy(xs + 40 + 16 * i, &e, 2);
	}
}

void isa_case_init(struct isa_case *c, struct isa_rng *r, unsigned bits)
{
	u32 mxcsr = 0x1f80;
	u64 bv = 7;

	memset(&c->in, 0, sizeof(c->in));
	memset(c->code, 0xcc, sizeof(c->code));
	c->start = c->len = 0;
	c->bits = bits;
	for (unsigned i = 0; i < 16; i++)
		c->in.gpr[i] = isa_value(r);
	c->in.gpr[X86_RSP] = ISA_STACK + ISA_STACK_LEN / 2;
	c->in.gpr[X86_RSI] = ISA_DATA + 0x400 + isa_below(r, 64);
	c->in.gpr[X86_RDI] = ISA_DATA + 0xc00 + isa_below(r, 64);
	c->in.gpr[X86_R13] = isa_below(r, 32);
	c->in.gpr[X86_R14] = ISA_DATA + 0x800;
	c->in.gpr[X86_R15] = ISA_DATA + 0x1000;
	if (bits != 8)
		for (unsigned i = 0; i < 16; i++)
			c->in.gpr[i] = (u32)c->in.gpr[i];
	c->in.rflags = isa_rand(r) & 0x8d5;
	c->in.fs_base = c->in.gs_base = 0;
	random_x87(c->in.xsave, r);
	fill(c->in.xsave + 160, 256, r);
	fill(c->in.xsave + 576, 256, r);
	if (chance(r, 3))
		mxcsr = 0x1f80 | (isa_rand(r) & 0xe07f); /* rounding, FTZ, DAZ, sticky flags */
	if (chance(r, 8))
		mxcsr &= ~(0x80u << isa_below(r, 6));
	memcpy(c->in.xsave + 24, &mxcsr, 4);
	memcpy(c->in.xsave + 512, &bv, 8);
	fill(c->data, sizeof(c->data), r);
	fill(c->stack, sizeof(c->stack), r);
}

/* ------------------------------------------------------------ instructions */

static bool class_ok(const struct sc_insn *in)
{
	switch (in->cls) {
	case SC_C_UD:
	case SC_C_MOV_SEG:
	case SC_C_LOAD_FAR:
	case SC_C_POPF:
	case SC_C_PUSHF:
	case SC_C_ENTER:
	case SC_C_LEAVE:
	case SC_C_LAR:
	case SC_C_VERR:
	case SC_C_DTABLE:
	case SC_C_LDTR:
	case SC_C_SMSW:
	case SC_C_RDTSC:
	case SC_C_CPUID:
	case SC_C_IN:
	case SC_C_OUT:
	case SC_C_INS:
	case SC_C_OUTS:
	case SC_C_FSGSBASE:
	case SC_C_XGETBV:
	case SC_C_HYPERCALL:
	case SC_C_RDRAND:
	case SC_C_BOUND:
	case SC_C_STI:
	case SC_C_CLI:
	case SC_C_HLT: return false;
	case SC_C_PUSH:
	case SC_C_POP:
		for (unsigned i = 0; i < in->nops; i++)
			if (in->op[i].kind == SC_OP_SEG)
				return false;
		return true;
	case SC_C_NATIVE: return isa_exposed(in);
	default: return !(in->flags & SC_I_BRANCH) && in->cls != SC_C_XSETBV &&
			in->cls != SC_C_WBINVD && in->cls != SC_C_INVLPG && in->cls != SC_C_CLTS &&
			in->cls != SC_C_LMSW && in->cls != SC_C_MOV_CR && in->cls != SC_C_MOV_DR &&
			in->cls != SC_C_RDMSR && in->cls != SC_C_WRMSR && in->cls != SC_C_SWAPGS;
	}
}

/* FXSAVE, XSAVE and their likes. The x87 pointers in them are the host's own unless no x87
 * instruction came before, so they stand alone. */
static bool image(const struct sc_insn *in)
{
	struct sc_nat e = { 0 };

	if (in->cls != SC_C_NATIVE)
		return false;
	sc_native_classify(in, &e);
	return e.kind == SC_NAT_ENV || e.kind == SC_NAT_LDENV ||
	       (e.kind >= SC_NAT_FXSAVE && e.kind <= SC_NAT_XRSTOR);
}

#define IMAGE (ISA_DATA + 0x400)

/* Make an image that can be loaded: its header and MXCSR */
static void valid_image(struct isa_case *c, struct isa_rng *r)
{
	u8 *img = c->data + (IMAGE - ISA_DATA);
	u32 mxcsr = 0x1f80 | (isa_rand(r) & 0xe07f);
	u64 header[8] = { isa_rand(r) & 7 };

	if (chance(r, 2))
		header[1] = BIT64(63) | (isa_rand(r) & 7);
	if (chance(r, 16))
		header[isa_below(r, 4)] |= BIT64(isa_below(r, 64));
	memcpy(img + 24, &mxcsr, 4);
	memcpy(img + 512, header, sizeof(header));
}

static u64 target(struct isa_rng *r, enum isa_style style)
{
	if (style == ISA_SINGLE) {
		switch (isa_below(r, 24)) {
		case 0: return ISA_HOLE - 1 - isa_below(r, 40); /* may run into the hole */
		case 1: return ISA_RO + 64 * isa_below(r, 32);
		case 2: return ISA_DATA + 0x1000 - isa_below(r, 40); /* may cross pages */
		case 3: return ISA_HOLE + 64 * isa_below(r, 32);
		}
	}
	if (chance(r, 3))
		return ISA_DATA + 0x200 + isa_below(r, 0x1a00);
	return ISA_DATA + 0x200 + 64 * isa_below(r, 0x1a00 / 64);
}

struct enc {
	u8 b[32];
	unsigned n;
};
static void put(struct enc *e, u8 b) { e->b[e->n++] = b; }
static void put32(struct enc *e, u32 x)
{
	memcpy(e->b + e->n, &x, 4);
	e->n += 4;
}

/* ModRM for a memory operand at @t. Sets registers of @c when the style allows. @rip_at:
 * where to patch a RIP-relative displacement, 0 none. rex: X and B that it needs. */
static u8 put_mem(struct enc *e, struct isa_case *c, struct isa_rng *r, enum isa_style style, u8 reg,
		  u64 t, unsigned *rip_at)
{
	unsigned how = isa_below(r, 6), base, scale = isa_below(r, 4);
	u32 idx = (u32)c->in.gpr[X86_R13];
	u64 b;
	u8 rex = 0;

	*rip_at = 0;
	if (c->bits != 8)
		how = style == ISA_SINGLE && how >= 4 ? 5 : 4;
	switch (how) {
	case 0: /* [r14 + disp32] */
		put(e, 0x80 | reg << 3 | 6);
		put32(e, (u32)(t - c->in.gpr[X86_R14]));
		return 1;
	case 1: /* [r15 + r13 * scale + disp32] */
		put(e, 0x80 | reg << 3 | 4);
		put(e, scale << 6 | 5 << 3 | 7);
		put32(e, (u32)(t - c->in.gpr[X86_R15] - ((u64)idx << scale)));
		return 3;
	case 2: /* RIP */
		put(e, reg << 3 | 5);
		*rip_at = e->n;
		put32(e, (u32)t);
		return 0;
	case 3: /* [rsp + disp32] */
		put(e, 0x80 | reg << 3 | 4);
		put(e, 0x24);
		put32(e, (u32)(t - c->in.gpr[X86_RSP]));
		return 0;
	case 4: /* absolute */
		if (c->bits == 8) {
			put(e, reg << 3 | 4);
			put(e, 0x25);
		} else {
			put(e, reg << 3 | 5);
		}
		put32(e, (u32)t);
		return 0;
	default: /* any base */
		if (style == ISA_SEQUENCE) {
			put(e, 0x80 | reg << 3 | 7);
			put32(e, (u32)(t - c->in.gpr[X86_R15]));
			return 1;
		}
		base = isa_below(r, c->bits == 8 ? 16 : 8);
		if (base == X86_RSP)
			base = X86_RBP;
		if (base & 8)
			rex = 1;
		b = t;
		if ((base & 7) == X86_RSP) { /* r12 wants a SIB */
			put(e, 0x40 | reg << 3 | 4);
			put(e, 0x24);
			put(e, 0x10);
			b -= 0x10;
		} else if (chance(r, 2)) {
			s8 d = (s8)isa_rand(r);

			put(e, 0x40 | reg << 3 | (base & 7));
			put(e, (u8)d);
			b -= (s64)d;
		} else if ((base & 7) != X86_RBP) {
			put(e, reg << 3 | (base & 7));
		} else {
			put(e, 0x40 | reg << 3 | (base & 7));
			put(e, 0);
		}
		c->in.gpr[base] = b;
		return rex;
	}
}

/* VSIB: base r14, index any vector register whose elements are made small */
static u8 put_vsib(struct enc *e, struct isa_case *c, struct isa_rng *r, u8 reg, unsigned *index)
{
	unsigned i = isa_below(r, c->bits == 8 ? 16 : 8);

	*index = i;
	put(e, 0x80 | reg << 3 | 4);
	put(e, isa_below(r, 3) << 6 | (i & 7) << 3 | (c->bits == 8 ? 6 : 6));
	put32(e, (u32)isa_below(r, 0x200));
	return (i & 8 ? 2 : 0) | (c->bits == 8 ? 1 : 0);
}

static void small_indices(struct isa_case *c, struct isa_rng *r, unsigned reg, bool qword)
{
	for (unsigned i = 0; i < (qword ? 4u : 8u); i++) {
		s64 x = (s64)isa_below(r, 0x400) - 0x200;
		unsigned off = i * (qword ? 8 : 4);
		u8 *p = off < 16 ? c->in.xsave + 160 + 16 * reg + off
				 : c->in.xsave + 576 + 16 * reg + off - 16;

		if (chance(r, 24))
			x = ISA_HOLE - ISA_DATA;
		memcpy(p, &x, qword ? 8 : 4);
	}
}

bool isa_case_add(struct isa_case *c, struct isa_rng *r, const struct isa_opcode *op,
		  enum isa_style style)
{
	struct isa_case saved_regs;
	struct enc e = { .n = 0 }, body = { .n = 0 };
	unsigned vsib = ~0u, rip_at = 0, prefix_len;
	bool mem = chance(r, 2), gather = op->vex && op->map == 2 && op->opcode >= 0x90 &&
					  op->opcode <= 0x93;
	u8 reg = isa_rand(r) & 7, rex = 0;
	/* Large images: which of their words is looked at first is not written anywhere */
	bool fxsave_like = op->map == 1 && !op->vex && (op->opcode == 0xae || op->opcode == 0xc7);
	bool env = op->map == 0 && (op->opcode == 0xd9 || op->opcode == 0xdd) && (reg & 5) == 4;
	enum isa_style where = fxsave_like || env ? ISA_SEQUENCE : style;
	struct sc_insn in;
	const u16 fixed = BIT(X86_RSP) | BIT(X86_R13) | BIT(X86_R14) | BIT(X86_R15);

	if (c->len + 15 > 256)
		return false;
	memcpy(&saved_regs.in, &c->in, sizeof(c->in));

	/* the part from ModRM on, as if there were one */
	if (gather)
		rex = put_vsib(&body, c, r, reg, &vsib);
	else if (mem)
		rex = put_mem(&body, c, r, style, reg,
			      fxsave_like && chance(r, 2) ? IMAGE : target(r, where), &rip_at);
	else
		put(&body, 0xc0 | reg << 3 | (isa_rand(r) & 7));
	for (unsigned i = 0; i < 8; i++)
		put(&body, isa_rand(r));

	if (op->vex) {
		u8 vvvv = isa_rand(r) & 15, w = isa_rand(r) & 1, l = isa_rand(r) & 1;
		u8 pp = op->prefix == 0x66 ? 1 : op->prefix == 0xf3 ? 2 : op->prefix == 0xf2 ? 3 : 0;
		u8 rext = isa_rand(r) & 1;

		if (!mem && !gather)
			rex = isa_rand(r) & 1;
		if (c->bits != 8)
			rex = rext = 0, vvvv &= 7;
		if (chance(r, 2)) /* many do not use it and insist on zero */
			vvvv = 0;
		if (op->map == 1 && !(rex & 3) && !w && chance(r, 2)) {
			put(&e, 0xc5);
			put(&e, (rext ? 0 : 0x80) | (~vvvv & 15) << 3 | l << 2 | pp);
		} else {
			put(&e, 0xc4);
			put(&e, (rext ? 0 : 0x80) | (rex & 2 ? 0 : 0x40) | (rex & 1 ? 0 : 0x20) |
					op->map);
			put(&e, w << 7 | (~vvvv & 15) << 3 | l << 2 | pp);
		}
	} else {
		bool lock = style == ISA_SINGLE && mem && op->prefix != 0xf3 && op->prefix != 0xf2 &&
			    chance(r, 8);

		if (lock)
			put(&e, 0xf0);
		if (chance(r, 16))
			put(&e, 0x3e);
		if (op->prefix)
			put(&e, op->prefix);
		if (c->bits == 8) {
			if (!mem)
				rex = isa_rand(r) & 1;
			rex |= isa_rand(r) & 0xc;
			if (rex || chance(r, 8))
				put(&e, 0x40 | rex);
		}
		if (op->map)
			put(&e, 0x0f);
		if (op->map == 2)
			put(&e, 0x38);
		if (op->map == 3)
			put(&e, 0x3a);
	}
	put(&e, op->opcode);
	prefix_len = e.n;
	memcpy(e.b + e.n, body.b, MIN(body.n, sizeof(e.b) - e.n));
	if (sc_decode(NULL, c->bits, e.b, 15, &in) != SC_DEC_OK)
		goto no;
	if (!in.off_modrm && in.map == 0 && (in.opcode & 0xfc) == 0xa0) {
		u64 t = target(r, style); /* moffs */

		memcpy(e.b + prefix_len, &t, 8);
		if (sc_decode(NULL, c->bits, e.b, 15, &in) != SC_DEC_OK)
			goto no;
	}
	/* VPEXTRQ and VPINSRQ in 32-bit code: the D form on Intel, #UD on AMD */
	if (op->vex && c->bits != 8 && op->map == 3 && (op->opcode == 0x16 || op->opcode == 0x22) &&
	    in.raw[in.off_opcode + 2] & 0x80)
		goto no;
	if (!class_ok(&in) || (image(&in) && style == ISA_SEQUENCE) || in.map != op->map || in.opcode != op->opcode ||
	    (in.encoding == SC_ENC_VEX) != op->vex)
		goto no;
	if (in.off_modrm && rip_at) {
		u32 disp = (u32)((in.flags & SC_I_MEM ? target(r, where) : 0) - ISA_CODE - c->len -
				 in.len);

		memcpy(e.b + prefix_len + rip_at, &disp, 4);
		if (sc_decode(NULL, c->bits, e.b, 15, &in) != SC_DEC_OK)
			goto no;
	}
	if (in.cls == SC_C_BT && in.flags & SC_I_MEM && in.op[1].kind == SC_OP_GPR) {
		/* A bit far away would be in memory that no run puts back */
		if (style == ISA_SEQUENCE || in.op[1].reg == in.base || in.op[1].reg == in.index)
			goto no;
		c->in.gpr[in.op[1].reg] = isa_below(r, 8192) - 4096;
	}
	if (image(&in) && op->map == 1) {
		if (in.base == X86_RAX || in.base == X86_RDX)
			goto no;
		/* The host knows components that the guest does not have */
		c->in.gpr[X86_RAX] &= 7;
		c->in.gpr[X86_RDX] = 0;
		valid_image(c, r);
	}
	if (in.flags & SC_I_MEM_HIDDEN || in.cls == SC_C_XLAT || in.cls == SC_C_MOVS ||
	    in.cls == SC_C_CMPS || in.cls == SC_C_SCAS || in.cls == SC_C_LODS ||
	    in.cls == SC_C_STOS) {
		if (style == ISA_SEQUENCE && in.cls != SC_C_PUSH && in.cls != SC_C_POP)
			goto no;
		c->in.gpr[X86_RBX] = ISA_DATA + 0x600;
		/* CMPS: which of two bad operands is reported is not written anywhere */
		c->in.gpr[X86_RSI] = target(r, in.cls == SC_C_CMPS ? ISA_SEQUENCE : style);
		/* MASKMOVQ: AMD marks the x87 registers as MMX even when the store faults */
		c->in.gpr[X86_RDI] = target(r, in.mnemonic == ZYDIS_MNEMONIC_MASKMOVQ ? ISA_SEQUENCE
									      : style);
		c->in.gpr[X86_RCX] = isa_below(r, 20);
		if (chance(r, 4))
			c->in.rflags |= X86_FLAG_DF;
		if (chance(r, 4))
			memcpy(c->data + 0x1000, c->data, 0x1000);
	}
	if (vsib != ~0u) {
		if (style == ISA_SEQUENCE)
			goto no;
		if (c->bits != 8)
			c->in.gpr[X86_RSI] = ISA_DATA + 0x800;
		small_indices(c, r, vsib, op->opcode & 1);
	}
	if (style == ISA_SEQUENCE &&
	    (in.gpr_written & (in.cls == SC_C_PUSH || in.cls == SC_C_POP ? fixed & ~BIT(X86_RSP)
									  : fixed)))
		goto no;
	if (style == ISA_SEQUENCE && (in.cls == SC_C_PUSH || in.cls == SC_C_POP) &&
	    in.op[0].kind == SC_OP_GPR && in.op[0].reg == X86_RSP)
		goto no;
	memcpy(c->code + c->len, e.b, in.len);
	c->len += in.len;
	return true;
no:
	memcpy(&c->in, &saved_regs.in, sizeof(c->in));
	return false;
}

void isa_case_bytes(struct isa_case *c, const u8 *bytes, unsigned len)
{
	memcpy(c->code + c->len, bytes, len);
	while (len) {
		struct sc_insn in;

		if (sc_decode(NULL, c->bits, bytes, MIN(len, 15u), &in) != SC_DEC_OK)
			in.len = len;
		c->len += in.len;
		bytes += in.len;
		len -= in.len;
	}
}
