// SPDX-License-Identifier: BSD-2-Clause
/* test/isa/prog_insn.c - Single random instructions of a program, with what makes them work
 *
 * Opcodes are not listed: a random point of the opcode space is encoded with random
 * prefixes and operands, and the decoder says what it is. */
#include <Zydis/Zydis.h>
#include <string.h>

#include "accel/soft/interp/native.h"
#include "program.h"

unsigned prog_bytes(struct prog *g, const void *b, unsigned len)
{
	struct isa_program *p = g->p;
	struct isa_item *it = &p->item[p->n];
	struct sc_insn in;

	if (p->n + 1 >= ISA_MAX_ITEMS) {
		g->full = true;
		return p->n - 1;
	}
	memset(it, 0, sizeof(*it));
	memcpy(it->b, b, len);
	it->len = (u8)len;
	if (sc_decode(NULL, g->bits, it->b, len, &in) == SC_DEC_OK)
		it->mnemonic = in.mnemonic;
	return p->n++;
}

void prog_code(struct prog *g, const void *b, unsigned len)
{
	const u8 *p = b;
	struct sc_insn in;

	for (unsigned n; len; p += n, len -= n) {
		n = sc_decode(NULL, g->bits, p, len, &in) == SC_DEC_OK ? in.len : len;
		prog_bytes(g, p, n);
	}
}

unsigned prog_mov_imm(struct prog *g, unsigned reg, u64 val)
{
	u8 b[10];
	unsigned n = 0;

	if (g->bits != 8)
		val = (u32)val;
	if (val > 0xffffffff || reg > 7)
		b[n++] = 0x40 | (val > 0xffffffff ? 8 : 0) | reg >> 3;
	b[n++] = 0xb8 | (reg & 7);
	memcpy(b + n, &val, 8);
	return prog_bytes(g, b, n + (val > 0xffffffff ? 8 : 4));
}

void prog_poke(struct prog *g, u64 at, u32 imm, unsigned size)
{
	u8 b[15];
	unsigned n = 0;
	u32 where = (u32)at;

	if (size == 2)
		b[n++] = 0x66;
	if (size == 8)
		b[n++] = 0x48;
	b[n++] = 0xc7;
	if (g->bits == 8) {
		b[n++] = 0x04;
		b[n++] = 0x25;
	} else {
		b[n++] = 0x05;
	}
	memcpy(b + n, &where, 4);
	memcpy(b + n + 4, &imm, 4);
	prog_bytes(g, b, n + (size == 2 ? 6 : 8));
}

unsigned prog_free_reg(struct prog *g, u16 avoid)
{
	unsigned reg;

	avoid |= g->fixed | BIT(X86_RSP);
	do
		reg = prog_below(g, g->regs);
	while (avoid >> reg & 1);
	return reg;
}

static bool is_string(const struct sc_insn *in)
{
	return in->cls >= SC_C_MOVS && in->cls <= SC_C_STOS;
}

/* May it stand anywhere in a program? */
static bool allowed(struct prog *g, const struct sc_insn *in)
{
	if (in->flags & SC_I_BRANCH || in->gpr_written & g->fixed)
		return false;
	switch (in->cls) {
	case SC_C_PUSH:
	case SC_C_POP:
	case SC_C_PUSHF:
	case SC_C_PUSHA:
		if (g->no_push || g->looping)
			return false;
		for (unsigned i = 0; i < in->nops; i++)
			if (in->op[i].kind == SC_OP_SEG ||
			    (in->op[i].kind == SC_OP_GPR && in->op[i].reg == X86_RSP))
				return false;
		return true;
	default: break;
	}
	if (in->gpr_written & BIT(X86_RSP))
		return false;
	switch (in->cls) {
	case SC_C_MOV_SEG: return in->op[0].kind != SC_OP_SEG;
	case SC_C_FSGSBASE: return in->sub < 2 && isa_have_fsgsbase();
	case SC_C_BOUND:
	case SC_C_POPA:
	case SC_C_LOAD_FAR:
	case SC_C_POPF:
	case SC_C_ENTER:
	case SC_C_LEAVE:
	case SC_C_LAR:
	case SC_C_VERR:
	case SC_C_DTABLE:
	case SC_C_LDTR:
	case SC_C_SMSW:
	case SC_C_LMSW:
	case SC_C_RDTSC:
	case SC_C_CPUID:
	case SC_C_IN:
	case SC_C_OUT:
	case SC_C_INS:
	case SC_C_OUTS:
	case SC_C_XGETBV:
	case SC_C_XSETBV:
	case SC_C_HYPERCALL:
	case SC_C_RDRAND:
	case SC_C_STI:
	case SC_C_CLI:
	case SC_C_HLT:
	case SC_C_WBINVD:
	case SC_C_INVLPG:
	case SC_C_CLTS:
	case SC_C_MOV_CR:
	case SC_C_MOV_DR:
	case SC_C_RDMSR:
	case SC_C_WRMSR:
	case SC_C_SWAPGS:
	case SC_C_ARPL: return in->cls == SC_C_ARPL;
	case SC_C_NATIVE: {
		struct sc_nat e = { 0 };

		sc_native_classify(in, &e);
		/* Those of prog_state.c */
		if (e.kind == SC_NAT_ENV || e.kind == SC_NAT_LDENV ||
		    (e.kind >= SC_NAT_FXSAVE && e.kind <= SC_NAT_XRSTOR) || e.kind == SC_NAT_GATHER)
			return false;
		if (in->mnemonic == ZYDIS_MNEMONIC_LDMXCSR || in->mnemonic == ZYDIS_MNEMONIC_VLDMXCSR ||
		    in->mnemonic == ZYDIS_MNEMONIC_FLDCW)
			return false;
		return isa_exposed(in);
	}
	default: return isa_exposed(in);
	}
}

struct enc {
	u8 b[40];
	unsigned n;
};
static void put(struct enc *e, u8 b) { e->b[e->n++] = b; }

static void legacy(struct prog *g, struct enc *e, const struct isa_opcode *op, struct prog_mem *m,
		   u8 rex)
{
	static const u8 silly[] = { 0x2e, 0x36, 0x3e, 0x26, 0x66, 0xf2, 0xf3 };
	u8 pre[12];
	unsigned n = 0;

	for (unsigned i = 0; m && i < m->nprefix; i++)
		pre[n++] = m->prefix[i];
	if (op->prefix)
		pre[n++] = op->prefix;
	if (m && prog_chance(g, 12))
		pre[n++] = 0xf0;
	while (prog_chance(g, 12) && n < 6)
		pre[n++] = silly[prog_below(g, g->bits == 8 ? ARRAY_LEN(silly) : 3)];
	if (m && g->bits == 8 && m->addr <= 0xffffffff && !(m->nprefix && m->prefix[0] == 0x67) &&
	    prog_chance(g, 12))
		pre[n++] = 0x67;
	for (unsigned i = 1; i < n; i++) { /* in any order */
		unsigned k = prog_below(g, i + 1);
		u8 t = pre[i];

		pre[i] = pre[k];
		pre[k] = t;
	}
	for (unsigned i = 0; i < n; i++)
		put(e, pre[i]);
	if (g->bits == 8) {
		rex |= isa_rand(&g->r) & (prog_chance(g, 3) ? 0xc : 4);
		if (prog_chance(g, 24)) { /* one that does not count */
			put(e, 0x40 | (isa_rand(&g->r) & 15));
			put(e, 0x3e);
		}
		if (rex || prog_chance(g, 8))
			put(e, 0x40 | rex);
	}
	if (op->map)
		put(e, 0x0f);
	if (op->map == 2)
		put(e, 0x38);
	if (op->map == 3)
		put(e, 0x3a);
	put(e, op->opcode);
}

static void vex(struct prog *g, struct enc *e, const struct isa_opcode *op, struct prog_mem *m, u8 rex)
{
	u8 vvvv = isa_rand(&g->r) & 15, w = isa_rand(&g->r) & 1, l = isa_rand(&g->r) & 1;
	u8 pp = op->prefix == 0x66 ? 1 : op->prefix == 0xf3 ? 2 : op->prefix == 0xf2 ? 3 : 0;
	u8 rext = isa_rand(&g->r) & 1;

	if (g->bits != 8)
		rex = rext = 0, vvvv &= 7;
	if (prog_chance(g, 2)) /* many do not use it and insist on zero */
		vvvv = 0;
	for (unsigned i = 0; m && i < m->nprefix; i++)
		put(e, m->prefix[i]);
	if (op->map == 1 && !(rex & 3) && !w && prog_chance(g, 2)) {
		put(e, 0xc5);
		put(e, (rext ? 0 : 0x80) | (~vvvv & 15) << 3 | l << 2 | pp);
	} else {
		put(e, 0xc4);
		put(e, (rext ? 0 : 0x80) | (rex & 2 ? 0 : 0x40) | (rex & 1 ? 0 : 0x20) | op->map);
		put(e, w << 7 | (~vvvv & 15) << 3 | l << 2 | pp);
	}
}

/* mov rax, [the same operand]: makes a compare-and-exchange succeed now and then */
static void load_rax(struct prog *g, const struct prog_mem *m)
{
	struct enc e = { .n = 0 };
	unsigned rip = 0, i;
	struct isa_item *it;

	for (i = 0; i < m->nprefix; i++)
		put(&e, m->prefix[i]);
	if (g->bits == 8)
		put(&e, 0x48 | m->rex);
	put(&e, 0x8b);
	if (m->rip_at)
		rip = e.n + m->rip_at;
	for (i = 0; i < m->n; i++)
		put(&e, m->b[i]);
	it = &g->p->item[prog_bytes(g, e.b, e.n)];
	if (rip) {
		it->fix = ISA_FIX_RIP;
		it->at = (u8)rip;
		it->width = 4;
		it->addr = m->addr;
	}
}

/* What the instruction wants in registers. false: cannot be had */
static bool prepare(struct prog *g, const struct sc_insn *in, const struct prog_mem *m)
{
	u16 uses = m ? m->uses : 0, wants = 0;
	u64 len, to, from;

	if (in->cls == SC_C_BT && m && in->op[1].kind == SC_OP_GPR) {
		/* A bit far away would be in memory that no run puts back */
		if ((uses | g->fixed) >> in->op[1].reg & 1 || in->op[1].reg == X86_RSP)
			return false;
		prog_mov_imm(g, in->op[1].reg, prog_below(g, 4096) - 2048);
		return true;
	}
	if (in->cls == SC_C_MUL && in->sub >= 6) {
		if ((uses | g->fixed) & (BIT(X86_RAX) | BIT(X86_RDX)))
			return !prog_below(g, 40);
		if (!prog_chance(g, 40)) {
			prog_mov_imm(g, X86_RAX, in->op[0].size == 1 ? prog_below(g, 0x80)
								      : (u32)isa_rand(&g->r) >> 1);
			prog_mov_imm(g, X86_RDX, 0);
			if (in->op[0].kind == SC_OP_GPR && !(BIT(in->op[0].reg) & (g->fixed | 5 | BIT(X86_RSP))))
				prog_mov_imm(g, in->op[0].reg, isa_value(&g->r) | 3);
		}
		return true;
	}
	if (in->cls == SC_C_CMPXCHG && m && !((uses | g->fixed) & 1) && prog_chance(g, 2))
		load_rax(g, m);
	if (in->cls == SC_C_XLAT)
		wants = BIT(X86_RBX);
	else if (is_string(in))
		wants = BIT(X86_RSI) | BIT(X86_RDI) | BIT(X86_RCX);
	else if (in->flags & SC_I_MEM_HIDDEN && in->cls == SC_C_NATIVE)
		wants = BIT(X86_RDI);
	if (!wants)
		return true;
	if (wants & g->fixed)
		return false;
	if (wants == BIT(X86_RBX)) {
		prog_mov_imm(g, X86_RBX, ISA_DATA + prog_below(g, 0x1e00));
		return true;
	}
	/* MASKMOVQ: AMD marks the x87 registers as MMX even when it faults. CMPS: which of
	 * two bad operands is reported is not written anywhere */
	if ((in->mnemonic == ZYDIS_MNEMONIC_MASKMOVQ || in->cls == SC_C_CMPS) && in->flags & SC_I_SEG)
		return false;
	if (in->mnemonic == ZYDIS_MNEMONIC_MASKMOVQ || in->cls == SC_C_CMPS)
		g->wild = false;
	to = prog_target(g);
	prog_mov_imm(g, X86_RDI, to);
	if (wants == BIT(X86_RDI))
		return true;
	from = prog_chance(g, 4) ? to + prog_below(g, 64) - 32 /* they overlap */ : prog_target(g);
	if (g->bits == 8 && in->flags & SC_I_SEG && in->seg >= X86_FS) {
		from -= in->seg == X86_FS ? g->fs : g->gs;
		/* AMD wants the offset canonical as well as the sum */
		if ((u64)((s64)(from << 16) >> 16) != from)
			return false;
	}
	prog_mov_imm(g, X86_RSI, from);
	len = prog_chance(g, 8) ? prog_below(g, 120) : prog_below(g, 20);
	if (g->bits == 8 && in->flags & SC_I_HAS_67)
		len |= isa_rand(&g->r) << 32;
	prog_mov_imm(g, X86_RCX, len);
	if (prog_chance(g, 6))
		PROG_BYTES(g, "\xfd");
	else if (prog_chance(g, 3))
		PROG_BYTES(g, "\xfc");
	return true;
}

bool prog_insn(struct prog *g)
{
	static const u8 prefixes[] = { 0, 0x66, 0xf3, 0xf2 };
	struct isa_rng *r = &g->r;
	struct isa_opcode op = { .vex = prog_below(g, 4) == 0 };
	struct enc e = { .n = 0 };
	struct prog_mem m;
	struct sc_insn in;
	struct isa_item *it;
	bool mem = prog_chance(g, 2), wild = g->wild;
	unsigned at, len;
	u8 modrm[8], reg = isa_rand(r) & 7;

	op.map = op.vex ? 1 + prog_below(g, 3) : prog_chance(g, 4) ? 2 + prog_below(g, 2) : prog_below(g, 2);
	op.prefix = prog_below(g, 2) ? prefixes[prog_below(g, 4)] : 0;
	op.opcode = isa_rand(r);
	/* What would only be thrown away again */
	if (!op.vex && op.map == 0 && (op.opcode == 0x0f || (op.opcode & 0xf0) == 0x70 || op.opcode == 0xc4 ||
			    op.opcode == 0xc5 || op.opcode == 0x62 || (op.opcode & 0xf0) == 0x40))
		op.opcode = g->bits == 8 || prog_chance(g, 2) ? 0xd8 | (op.opcode & 7) : 0x40 | (op.opcode & 15);
	if (mem) {
		prog_mem(g, &m, prog_target(g), false);
		memcpy(modrm, m.b, m.n);
		modrm[0] |= reg << 3;
		len = m.n;
	} else {
		modrm[0] = 0xc0 | reg << 3 | (isa_rand(r) & 7);
		len = 1;
	}
	if (op.vex)
		vex(g, &e, &op, mem ? &m : NULL, mem ? m.rex : isa_rand(r) & 1);
	else
		legacy(g, &e, &op, mem ? &m : NULL, mem ? m.rex : isa_rand(r) & 1);
	if (op.vex)
		put(&e, op.opcode);
	at = e.n;
	memcpy(e.b + at, modrm, len);
	for (unsigned i = 0; i < 10; i++)
		e.b[at + len + i] = isa_rand(r);
	if (sc_decode(NULL, g->bits, e.b, 15, &in) != SC_DEC_OK || in.map != op.map ||
	    in.opcode != op.opcode || (in.encoding == SC_ENC_VEX) != op.vex)
		return false;
	if (!in.off_modrm && in.map == 0 && (in.opcode & 0xfc) == 0xa0) {
		if (mem && m.nprefix)
			return false; /* they are for another address */
		u64 t = prog_target(g); /* moffs */

		memcpy(e.b + at, &t, 8);
		if (sc_decode(NULL, g->bits, e.b, 15, &in) != SC_DEC_OK)
			return false;
	}
	if (!in.off_modrm)
		mem = false;
	/* VPEXTRQ and VPINSRQ in 32-bit code: the D form on Intel, #UD on AMD. MOV from CR8 with
	 * LOCK is AMD's alone. */
	if (op.vex && g->bits != 8 && op.map == 3 && (op.opcode == 0x16 || op.opcode == 0x22) &&
	    in.raw[in.off_opcode + 2] & 0x80)
		return false;
	if (!allowed(g, &in) || (mem && in.cls == SC_C_LEA && !(in.flags & SC_I_MEM)))
		return false;
	if (mem)
		for (unsigned i = 0; i < m.nset; i++)
			prog_mov_imm(g, m.set[i], m.val[i]);
	if (!prepare(g, &in, mem && in.flags & SC_I_MEM ? &m : NULL))
		return false;
	g->wild = wild;
	it = &g->p->item[prog_bytes(g, e.b, in.len)];
	if (mem && m.rip_at) {
		it->fix = ISA_FIX_RIP;
		it->at = (u8)(at + m.rip_at);
		it->width = 4;
		it->addr = m.addr;
	}
	return true;
}
