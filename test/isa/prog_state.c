// SPDX-License-Identifier: BSD-2-Clause
/* test/isa/prog_state.c - Instructions that need a prepared operand: x87 and XSAVE images,
 * MXCSR, control words, gathers, segment registers, flags, stack frames
 *
 * The pointers of the last x87 instruction are the host's in native images and zero in the
 * guest's: they are overwritten after each. */
#include <string.h>

#include "accel/x86_state.h"
#include "program.h"

/* Emit opcode bytes with the memory operand at @at. @w: REX.W */
static void with_mem(struct prog *g, const void *op, unsigned len, u8 ext, u64 at, bool w)
{
	const u8 *o = op;
	struct prog_mem m;
	struct isa_item *it;
	u8 b[20];
	unsigned n = 0, rip, skip = 0;

	prog_mem(g, &m, at, true);
	for (unsigned i = 0; i < m.nset; i++)
		prog_mov_imm(g, m.set[i], m.val[i]);
	while (skip < len && (o[skip] == 0x66 || o[skip] == 0xf3 || o[skip] == 0xf2))
		b[n++] = o[skip++];
	if (g->bits == 8 && (m.rex || w))
		b[n++] = 0x40 | m.rex | (w ? 8 : 0);
	memcpy(b + n, o + skip, len - skip);
	n += len - skip;
	rip = m.rip_at ? n + m.rip_at : 0;
	memcpy(b + n, m.b, m.n);
	b[n] |= ext << 3;
	it = &g->p->item[prog_bytes(g, b, n + m.n)];
	if (rip) {
		it->fix = ISA_FIX_RIP;
		it->at = (u8)rip;
		it->width = 4;
		it->addr = m.addr;
	}
}

#define MXCSR(g) (0x1f80u | (isa_rand(&(g)->r) & (prog_chance(g, 20) ? 0xe07f & ~(0x80u << prog_below(g, 6)) : 0xe07f)))

static u32 control_word(struct prog *g)
{
	u32 cw = 0x7f | (isa_rand(&g->r) & 0xf00);

	return prog_chance(g, 24) ? cw & ~(1u << prog_below(g, 6)) : cw;
}

static u64 image_at(struct prog *g, unsigned len)
{
	return ISA_DATA + 64 * prog_below(g, (ISA_DATA_LEN - len) / 64);
}

/* What was appended since @first goes with it */
static void tie(struct prog *g, unsigned first)
{
	for (unsigned i = first + 1; i < g->p->n; i++)
		g->p->item[i].tied = true;
}

static void environment(struct prog *g)
{
	u64 at = ISA_DATA + 64 * prog_below(g, 0x70) + (prog_chance(g, 4) ? prog_below(g, 64) : 0);
	bool narrow = prog_chance(g, 3), all = prog_chance(g, 2), load = prog_chance(g, 2);
	unsigned op = narrow ? 2 : 4, first = g->p->n;

	if (load) {
		prog_poke(g, at, control_word(g), 2);
		prog_poke(g, at + op, isa_rand(&g->r) & 0x7f40, 2); /* no exception waits */
		prog_poke(g, at + 2 * op, isa_rand(&g->r) & 0xffff, 2);
	}
	with_mem(g, narrow ? (all ? "\x66\xdd" : "\x66\xd9") : all ? "\xdd" : "\xd9", narrow ? 2 : 1,
		 load ? 4 : 6, at, prog_chance(g, 8) && !narrow);
	if (load)
		return;
	for (unsigned i = 0, n = narrow ? 2 : 4; i < n; i++)
		prog_poke(g, at + (narrow ? 6 : 12) + 4 * i, 0, 4);
	tie(g, first);
}

/* Is a register free that an image's mask goes into? */
static bool mask_regs(struct prog *g)
{
	return !(g->fixed & (BIT(X86_RAX) | BIT(X86_RDX)));
}

static void image(struct prog *g)
{
	u64 at = image_at(g, 1024);
	unsigned kind = (unsigned)prog_below(g, 6);
	bool w = g->bits == 8 && prog_chance(g, 2);
	u16 fixed = g->fixed;
	unsigned first = g->p->n;

	if (kind < 4 && !mask_regs(g))
		return;
	/* What is in its initial state may be left out, and when it is taken to be in that
	 * state is the host's affair: then make both the same */
	if (kind == 2 || kind == 3) {
		if (g->fixed & (BIT(X86_RDI) | BIT(X86_RCX)))
			return;
		at &= ~1023ull;
		prog_mov_imm(g, X86_RDI, at);
		prog_mov_imm(g, X86_RCX, 832);
		prog_mov_imm(g, X86_RAX, 0);
		PROG_BYTES(g, "\xfc\xf3\xaa");
	}
	/* XSAVEOPT may leave out what was not changed since XRSTOR from the same place */
	if (kind == 1)
		at |= 64;
	switch (kind) {
	case 1: /* XRSTOR */
	case 5: /* FXRSTOR */
		prog_poke(g, at, control_word(g), 2);
		prog_poke(g, at + 2, isa_rand(&g->r) & 0x7f40, 2);
		prog_poke(g, at + 24, MXCSR(g), 4);
		if (kind == 5)
			break;
		prog_poke(g, at + 512, isa_rand(&g->r) & 7, 4);
		for (unsigned i = 4; i < 64; i += 4)
			prog_poke(g, at + 512 + i, 0, 4);
		if (prog_chance(g, 3)) {
			prog_poke(g, at + 520, isa_rand(&g->r) & 7, 4);
			prog_poke(g, at + 524, 0x80000000, 4);
		}
		break;
	default:
		/* XSAVE writes only parts of the header, XSAVEOPT skips components */
		break;
	}
	if (kind < 4) {
		prog_mov_imm(g, X86_RAX, isa_rand(&g->r) & 7);
		prog_mov_imm(g, X86_RDX, 0);
		g->fixed |= BIT(X86_RAX) | BIT(X86_RDX);
	}
	switch (kind) {
	case 0: with_mem(g, "\x0f\xae", 2, 4, at, w); break; /* XSAVE */
	case 1: with_mem(g, "\x0f\xae", 2, 5, at, w); break;
	case 2: with_mem(g, "\x0f\xc7", 2, 4, at, w); break; /* XSAVEC */
	case 3: with_mem(g, "\x0f\xae", 2, 6, at, w); break; /* XSAVEOPT */
	case 4: with_mem(g, "\x0f\xae", 2, 0, at, w); break; /* FXSAVE */
	default: with_mem(g, "\x0f\xae", 2, 1, at, w); break;
	}
	g->fixed = fixed;
	if (kind != 1 && kind != 5) {
		prog_poke(g, at + 6, 0, 2);
		if (kind < 4)
			prog_poke(g, at + 512, 0, 4);
		if (kind == 2 || kind == 3) {
			prog_poke(g, at, 0x37f, 2);
			prog_poke(g, at + 24, 0, 4);
		}
		for (unsigned i = 8; i < 24; i += 4)
			prog_poke(g, at + i, 0, 4);
		prog_poke(g, at + 28, 0, 4); /* MXCSR_MASK */
		tie(g, first);
	}
}

static void gather(struct prog *g)
{
	u64 table = ISA_DATA + 32 * prog_below(g, 0xf0);
	unsigned index = (unsigned)prog_below(g, g->regs), dst = (unsigned)prog_below(g, g->regs),
		 mask = (unsigned)prog_below(g, g->regs), k = (unsigned)prog_below(g, 2);
	u8 op = 0x90 + (u8)prog_below(g, 4), b[12] = { 0xc4 };
	bool qindex = op & 1, w = prog_chance(g, 2), l = prog_chance(g, 2);
	u32 disp = (u32)(ISA_DATA + 0x800 + prog_below(g, 0x800) - g->base_at[k]);
	u32 where = (u32)table;
	unsigned scale = (unsigned)prog_below(g, 4), n;

	if (g->bits != 8 || !__builtin_cpu_supports("avx2"))
		return;
	for (unsigned i = 0; i < 32; i += qindex ? 8 : 4) {
		s32 x = (s32)prog_below(g, 0x100) - 0x80;

		if (prog_chance(g, 200))
			x = 0x10000;
		prog_poke(g, table + i, (u32)x, qindex ? 8 : 4);
	}
	b[1] = (index & 8 ? 0 : 0x80) | 0x60 | 1; /* vmovdqu ymm, [table] */
	b[2] = 0x7e;
	b[3] = 0x6f;
	b[4] = (index & 7) << 3 | 4;
	b[5] = 0x25;
	memcpy(b + 6, &where, 4);
	prog_bytes(g, b, 10);
	b[1] = (dst & 8 ? 0 : 0x80) | (index & 8 ? 0 : 0x40) | (g->base[k] & 8 ? 0 : 0x20) | 2;
	b[2] = (w ? 0x80 : 0) | (~mask & 15) << 3 | (l ? 4 : 0) | 1;
	b[3] = op;
	b[4] = 0x80 | (dst & 7) << 3 | 4;
	b[5] = (u8)(scale << 6 | (index & 7) << 3 | (g->base[k] & 7));
	memcpy(b + 6, &disp, 4);
	n = 10;
	prog_bytes(g, b, n);
}

static void segments(struct prog *g)
{
	static const u16 sel[] = { 0, ISA_DS, ISA_CS64, ISA_CS32, 0x2b, 3, 0x80, 0x12 };
	unsigned reg = prog_free_reg(g, 0), dst = prog_free_reg(g, 0);
	u16 s = sel[prog_below(g, ARRAY_LEN(sel))];
	u8 b[4] = { 0x40 };

	switch (prog_below(g, 5)) {
	case 0: /* mov ds, es: only what the next case can live with */
		if (g->bits != 8)
			return;
		prog_mov_imm(g, reg, ISA_DS);
		b[0] |= reg >> 3;
		b[1] = 0x8e;
		b[2] = 0xc0 | (prog_chance(g, 2) ? 3 : prog_chance(g, 2) ? 2 : 0) << 3 | (reg & 7);
		prog_bytes(g, b, 3);
		return;
	case 1:
	case 2: /* LAR, LSL */
		prog_mov_imm(g, reg, s | (isa_rand(&g->r) << 32));
		b[0] |= reg >> 3 | (dst >> 3) << 2 | (isa_rand(&g->r) & 8);
		b[1] = 0x0f;
		b[2] = 2 + (u8)prog_below(g, 2);
		b[3] = 0xc0 | (dst & 7) << 3 | (reg & 7);
		prog_bytes(g, g->bits == 8 ? b : b + 1, g->bits == 8 ? 4 : 3);
		return;
	default: /* VERR, VERW */
		prog_mov_imm(g, reg, s);
		b[0] |= reg >> 3;
		b[1] = 0x0f;
		b[2] = 0;
		b[3] = 0xe0 | (prog_chance(g, 2) ? 8 : 0) | (reg & 7);
		prog_bytes(g, g->bits == 8 ? b : b + 1, g->bits == 8 ? 4 : 3);
		return;
	}
}

static void bases(struct prog *g)
{
	unsigned reg = prog_free_reg(g, 0);
	bool gs = prog_chance(g, 2);
	u64 x = prog_chance(g, 3) ? 0x7fff00000000 : ISA_DATA + 64 * prog_below(g, 64);
	u8 b[5] = { 0xf3, (u8)(0x48 | reg >> 3), 0x0f, 0xae, (u8)((gs ? 0xd8 : 0xd0) | (reg & 7)) };

	/* Addresses are computed with the bases when the program is made */
	if (g->bits != 8 || g->depth || !isa_have_fsgsbase())
		return;
	prog_mov_imm(g, reg, x);
	prog_bytes(g, b, 5);
	if (gs)
		g->gs = x;
	else
		g->fs = x;
}

static void frames(struct prog *g)
{
	u8 b[4] = { 0xc8, (u8)(8 * prog_below(g, 12)), 0, (u8)prog_below(g, 4) }, push[5] = { 0x68 };

	if (g->no_push || g->looping || g->fixed & BIT(X86_RBP) || g->bits != 8)
		return;
	if (prog_chance(g, 2)) { /* flags */
		u32 fl = 0x202 | (isa_rand(&g->r) & (0xcd5 | X86_FLAG_ID));

		if (prog_chance(g, 20))
			fl |= X86_FLAG_NT;
		memcpy(push + 1, &fl, 4);
		prog_bytes(g, push, 5);
		if (prog_chance(g, 6))
			PROG_BYTES(g, "\x66\x9d");
		else
			PROG_BYTES(g, "\x9d");
		return;
	}
	PROG_BYTES(g, "\x48\x89\xe5"); /* mov rbp, rsp */
	prog_bytes(g, b, 4);
	g->fixed |= BIT(X86_RBP);
	for (unsigned i = 0; i < 3; i++)
		prog_insn(g);
	g->fixed &= ~BIT(X86_RBP);
	if (!prog_chance(g, 4))
		PROG_BYTES(g, "\xc9");
	else
		PROG_BYTES(g, "\x48\x8d\x64\x24\x08");
}

/* What only 32-bit code has */
static void legacy32(struct prog *g)
{
	unsigned reg = prog_free_reg(g, 0), i;
	u64 at = ISA_DATA + 8 * prog_below(g, 0x3fe);
	bool narrow;
	u8 b[3];

	switch (prog_below(g, 5)) {
	case 0: /* BOUND */
		prog_mov_imm(g, reg, prog_below(g, 100));
		prog_poke(g, at, (u32)prog_below(g, 40), 4);
		prog_poke(g, at + 4, 60 + (u32)prog_below(g, 40), 4);
		narrow = prog_chance(g, 4);
		with_mem(g, narrow ? "\x66\x62" : "\x62", 1 + narrow, (u8)reg, at, false);
		return;
	case 1: /* LES, LDS, LSS */
		prog_poke(g, at, isa_rand(&g->r), 4);
		prog_poke(g, at + 4, ISA_DS, 2);
		b[0] = prog_chance(g, 2) ? 0xc4 : 0xc5;
		if (prog_chance(g, 3))
			with_mem(g, "\x0f\xb2", 2, (u8)reg, at, false);
		else
			with_mem(g, b, 1, (u8)reg, at, false);
		return;
	case 2: /* POPA of what PUSHA pushed, all but ESP and one */
		if (g->no_push || g->looping)
			return;
		PROG_BYTES(g, "\x60");
		b[0] = 0x89;
		b[1] = 0x44 | (u8)reg << 3;
		b[2] = 0x24;
		{
			u8 put[4] = { b[0], b[1], b[2], (u8)(28 - 4 * prog_free_reg(g, 0)) };

			prog_bytes(g, put, 4);
		}
		if (prog_chance(g, 3))
			PROG_BYTES(g, "\x66\x60\x66\x61");
		PROG_BYTES(g, "\x61");
		return;
	case 3: /* IRETD */
		if (g->no_push || g->looping)
			return;
		PROG_BYTES(g, "\x9c\x6a\x23");
		i = prog_bytes(g, "\x68\0\0\0\0", 5);
		g->p->item[i].fix = ISA_FIX_ABS_ITEM;
		g->p->item[i].at = 1;
		g->p->item[i].width = 4;
		PROG_BYTES(g, "\xcf\x0f\x0b");
		g->p->item[i].target = (s16)g->p->n;
		return;
	default:
		if (g->no_push || g->looping)
			return;
		PROG_BYTES(g, "\x9c\x80\x34\x24\xd5\x9d"); /* pushf, xor [esp], popf */
		return;
	}
}

void prog_state(struct prog *g)
{
	u64 at;

	if (g->bits != 8 && prog_chance(g, 4)) {
		legacy32(g);
		return;
	}
	switch (prog_below(g, 14)) {
	case 0:
	case 1: environment(g); break;
	case 2:
	case 3: image(g); break;
	case 4:
	case 5: gather(g); break;
	case 6:
		at = ISA_DATA + 4 * prog_below(g, 0x7ff);
		prog_poke(g, at, MXCSR(g), 4);
		if (g->bits == 8 && prog_chance(g, 4) && __builtin_cpu_supports("avx")) {
			u8 v[9] = { 0xc5, 0xf8, 0xae, 0x14, 0x25 }; /* VLDMXCSR [at] */
			u32 where = (u32)at;

			memcpy(v + 5, &where, 4);
			prog_bytes(g, v, 9);
			break;
		}
		with_mem(g, "\x0f\xae", 2, 2, at, false);
		break;
	case 7:
		at = ISA_DATA + 2 * prog_below(g, 0xfff);
		prog_poke(g, at, control_word(g), 2);
		with_mem(g, "\xd9", 1, 5, at, false);
		break;
	case 8: segments(g); break;
	case 9: bases(g); break;
	case 10:
	case 11: frames(g); break;
	case 12: PROG_BYTES(g, "\xdb\xe3"); break; /* FNINIT */
	default: PROG_BYTES(g, "\x0f\x77"); break; /* EMMS */
	}
}
