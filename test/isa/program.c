// SPDX-License-Identifier: BSD-2-Clause
/* test/isa/program.c - Make a program from a seed; put its items together */
#include <string.h>

#include "accel/x86_state.h"
#include "program.h"

/* A short conditional or plain jump as its long form. false: has none */
static bool lengthen(struct isa_item *it)
{
	if (it->len == 2 && (it->b[0] & 0xf0) == 0x70) {
		it->b[1] = 0x80 | (it->b[0] & 15);
		it->b[0] = 0x0f;
		it->at = 2;
	} else if (it->len == 2 && it->b[0] == 0xeb) {
		it->b[0] = 0xe9;
		it->at = 1;
	} else {
		return false;
	}
	it->width = 4;
	it->len = it->at + 4;
	return true;
}

static bool patch(struct isa_program *p, unsigned i)
{
	struct isa_item *it = &p->item[i];
	u64 here = ISA_CODE + p->offset[i], next = here + it->len, x = 0;

	switch (it->fix) {
	case ISA_FIX_NONE: return true;
	case ISA_FIX_REL: x = ISA_CODE + p->offset[it->target] - next; break;
	case ISA_FIX_RIP: x = it->addr - next; break;
	case ISA_FIX_RIP_ITEM:
		if (it->add && p->item[it->target].gone)
			return false; /* it would change another instruction */
		x = ISA_CODE + p->offset[it->target] + it->add - next; break;
	case ISA_FIX_ABS_ITEM: x = ISA_CODE + p->offset[it->target] + it->add; break;
	}
	if (it->fix != ISA_FIX_ABS_ITEM && it->width == 1 && (u64)(s64)(s8)x != x)
		return false;
	memcpy(it->b + it->at, &x, it->width);
	return true;
}

bool isa_program_link(struct isa_program *p)
{
	bool again;

	do {
		unsigned at = p->c.start;

		again = false;
		for (unsigned i = 0; i < p->n; i++) {
			p->offset[i] = (u16)at;
			if (!p->item[i].gone)
				at += p->item[i].len;
		}
		p->offset[p->n] = (u16)at;
		if (at > ISA_CODE_LEN - 32)
			return false;
		for (unsigned i = 0; i < p->n; i++) {
			if (p->item[i].gone || patch(p, i))
				continue;
			if (!lengthen(&p->item[i]))
				return false;
			again = true;
		}
	} while (again);
	memset(p->c.code, 0xcc, sizeof(p->c.code));
	for (unsigned i = 0; i < p->n; i++)
		if (!p->item[i].gone)
			memcpy(p->c.code + p->offset[i], p->item[i].b, p->item[i].len);
	if (p->has_tail)
		memcpy(p->c.code + ISA_CODE_LEN - sizeof(p->tail), p->tail, sizeof(p->tail));
	p->c.len = p->offset[p->n];
	return true;
}

static u64 some_base(struct prog *g)
{
	switch (prog_below(g, 4)) {
	case 0: return ISA_DATA + 64 * prog_below(g, 64);
	case 1: return 0x7fffffffe000 - prog_below(g, 0x1000);
	case 2: return ISA_DATA - prog_below(g, 0x100000);
	default: return 0;
	}
}

static void roles(struct prog *g)
{
	struct isa_state *in = &g->p->c.in;
	u16 fixed = BIT(X86_RSP);

	g->fixed = 0;
	g->base[0] = (u8)prog_free_reg(g, fixed);
	fixed |= BIT(g->base[0]);
	/* Not enough registers in 32-bit code */
	g->base[1] = g->bits == 8 ? (u8)prog_free_reg(g, fixed) : g->base[0];
	fixed |= BIT(g->base[1]);
	g->index = (u8)prog_free_reg(g, fixed);
	fixed |= BIT(g->index);
	g->counter = (u8)prog_free_reg(g, fixed);
	fixed |= BIT(g->counter);
	g->fixed = fixed & ~BIT(X86_RSP);
	g->base_at[0] = ISA_DATA + 0x200 + 16 * prog_below(g, 256);
	g->base_at[1] = g->base[0] == g->base[1] ? g->base_at[0] : ISA_DATA + 0x1000;
	g->index_is = prog_chance(g, 2) ? prog_below(g, 64) : g->bits == 8 ? 0 - prog_below(g, 64) : 3;
	in->gpr[g->base[0]] = g->base_at[0];
	in->gpr[g->base[1]] = g->base_at[1];
	in->gpr[g->index] = g->index_is;
	in->gpr[X86_RSP] = ISA_STACK + ISA_STACK_LEN / 2;
	if (prog_chance(g, 12)) /* pushes will cross its end */
		in->gpr[X86_RSP] = ISA_STACK + 8 * prog_below(g, 32);
	else if (prog_chance(g, 12))
		in->gpr[X86_RSP] += prog_below(g, 16);
}

void isa_program_make(struct isa_program *p, u64 seed)
{
	struct prog g = { .p = p, .r = { seed } };
	unsigned want;

	do {
		g.full = g.no_push = g.looping = g.wild = false;
		g.depth = 0;
		g.bits = prog_chance(&g, 10) ? 4 : 8;
		g.regs = g.bits == 8 ? 16 : 8;
		p->n = 0;
		p->has_tail = false;
		isa_case_init(&p->c, &g.r, g.bits);
		roles(&g);
		p->c.start = prog_chance(&g, 3) ? 0xf00 + (unsigned)prog_below(&g, 256)
						: 0x400 + (unsigned)prog_below(&g, 0x800);
		if (g.bits == 8 && isa_have_fsgsbase()) {
			p->c.in.fs_base = some_base(&g);
			p->c.in.gs_base = some_base(&g);
		}
		g.fs = p->c.in.fs_base;
		g.gs = p->c.in.gs_base;
		want = prog_chance(&g, 3) ? 6 + (unsigned)prog_below(&g, 10) : 20 + (unsigned)prog_below(&g, 60);
		while (p->n < want)
			prog_body(&g, want - p->n);
		if (prog_chance(&g, 3))
			prog_end(&g);
	} while (!isa_program_link(p));
}
