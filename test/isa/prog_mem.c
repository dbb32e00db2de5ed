// SPDX-License-Identifier: BSD-2-Clause
/* test/isa/prog_mem.c - Addresses and every way to write them in ModRM */
#include <string.h>

#include "program.h"
#include "accel/x86_state.h"

/* Where a memory operand may be */
u64 prog_target(struct prog *g)
{
	if (g->wild) {
		switch (prog_below(g, 10)) {
		case 0: return ISA_HOLE - 1 - prog_below(g, 40); /* may run into the hole */
		case 1: return ISA_RO + prog_below(g, 0x1000);
		case 2: return ISA_HOLE + prog_below(g, 0x1000);
		case 3: return ISA_DATA - 1 - prog_below(g, 32);
		case 4: return g->bits == 8 ? 0x800000000000 + prog_below(g, 64) : 8;
		case 5: return g->bits == 8 ? 0xffff800000000000 - 16 + prog_below(g, 32) : 4;
		case 6: return g->bits == 8 ? 0xffffffffffffffc0 + prog_below(g, 64) : 0xffffff00;
		case 7: return prog_below(g, 0x1000);
		case 8: return ISA_STACK + ISA_STACK_LEN - prog_below(g, 32);
		default: return ISA_DATA + 1 + prog_below(g, 0x1000); /* not aligned */
		}
	}
	if (prog_chance(g, 12))
		return ISA_DATA + 0x1000 - prog_below(g, 64); /* may cross pages */
	if (prog_chance(g, 16))
		return ISA_CODE + 0x100 + prog_below(g, 0x80); /* a page that code is in */
	if (prog_chance(g, 16))
		return ISA_STACK + (prog_chance(g, 2) ? 0x100 : 0x900) + prog_below(g, 0x300); /* not where return addresses are */
	if (prog_chance(g, 4))
		return ISA_DATA + 0x200 + prog_below(g, 0x1a00);
	return ISA_DATA + 0x200 + 64 * prog_below(g, 0x1a00 / 64);
}

static bool fits32(u64 x) { return (u64)(s64)(s32)x == x; }
static bool fits8(u64 x) { return (u64)(s64)(s8)x == x; }

static void put_disp(struct prog *g, struct prog_mem *m, u64 disp, unsigned base)
{
	bool small = fits8(disp) && !prog_chance(g, 4);
	u32 d = (u32)disp;

	if (!disp && (base & 7) != X86_RBP && prog_chance(g, 2))
		return; /* mod 0 */
	m->b[0] |= small ? 0x40 : 0x80;
	memcpy(m->b + m->n, &d, 4);
	m->n += small ? 1 : 4;
}

/* [base + index * 2^scale + disp]; @index 4: none */
static void based(struct prog *g, struct prog_mem *m, unsigned base, unsigned index,
		  unsigned scale, u64 disp)
{
	m->rex = base >> 3 | (index >> 3) << 1;
	m->uses = BIT(base);
	if (index != 4)
		m->uses |= BIT(index);
	if (index == 4 && (base & 7) != X86_RSP && !prog_chance(g, 6)) {
		m->b[0] = base & 7;
		m->n = 1;
	} else {
		m->b[0] = 4;
		m->b[1] = (u8)(scale << 6 | (index & 7) << 3 | (base & 7));
		m->n = 2;
	}
	put_disp(g, m, disp, base);
}

/* [index * 2^scale + disp32] */
static void unbased(struct prog_mem *m, unsigned index, unsigned scale, u32 disp)
{
	m->rex = (index >> 3) << 1;
	m->uses = index != 4 ? BIT(index) : 0;
	m->b[0] = 4;
	m->b[1] = (u8)(scale << 6 | (index & 7) << 3 | 5);
	memcpy(m->b + 2, &disp, 4);
	m->n = 6;
}

static void load(struct prog_mem *m, unsigned reg, u64 val)
{
	m->set[m->nset] = (u8)reg;
	m->val[m->nset++] = val;
}

/* Registers made for the purpose: any base, any index, perhaps 32-bit addresses */
static void any_regs(struct prog *g, struct prog_mem *m, u64 ea)
{
	unsigned base = prog_free_reg(g, 0), index, scale = prog_below(g, 4);
	u64 disp = prog_chance(g, 2) ? (u64)(s64)(s8)isa_rand(&g->r) : (u64)(s64)(s32)isa_rand(&g->r);
	u64 junk = 0, b, i;

	if (prog_chance(g, 3))
		disp = 0;
	if (g->bits == 8 && ea <= 0xffffffff && prog_chance(g, 3)) {
		m->prefix[m->nprefix++] = 0x67;
		junk = isa_rand(&g->r) << 32;
	}
	if (prog_chance(g, 2)) { /* base alone */
		load(m, base, ea - disp + junk);
		based(g, m, base, 4, 0, disp);
		return;
	}
	index = prog_free_reg(g, BIT(X86_RSP));
	if (prog_chance(g, 6)) { /* no base */
		disp = ea & ((1u << scale) - 1);
		i = (ea - disp) >> scale;
		if (junk || i << scale == ea - disp) {
			load(m, index, i + (junk << 1));
			unbased(m, index, scale, (u32)disp);
			return;
		}
	}
	if (index == base) {
		b = isa_below(&g->r, 0x1000);
		if (fits32(ea - b - (b << scale))) {
			load(m, base, b + junk);
			based(g, m, base, index, scale, ea - b - (b << scale));
			return;
		}
		load(m, base, ea - disp + junk);
		based(g, m, base, 4, 0, disp);
		return;
	}
	i = prog_chance(g, 2) ? prog_below(g, 64) : isa_rand(&g->r);
	load(m, index, i);
	load(m, base, ea - disp - (i << scale) + junk);
	based(g, m, base, index, scale, disp);
}

void prog_mem(struct prog *g, struct prog_mem *m, u64 at, bool plain)
{
	unsigned k = prog_below(g, 2), scale = prog_below(g, 4);
	u64 ea = at, from;

	memset(m, 0, sizeof(*m));
	if (g->bits == 8 && !plain && prog_chance(g, 8)) {
		bool gs = prog_chance(g, 2);

		/* AMD wants the offset canonical as well as the sum */
		from = at - (gs ? g->gs : g->fs);
		if ((u64)((s64)(from << 16) >> 16) == from) {
			m->prefix[m->nprefix++] = gs ? 0x65 : 0x64;
			ea = from;
		}
	}
	m->addr = ea;
	from = ea - g->base_at[k];
	switch (prog_below(g, plain ? 6 : 12)) {
	case 0:
	case 1:
		if (!fits32(from) && g->bits == 8)
			break;
		based(g, m, g->base[k], 4, 0, from);
		return;
	case 2:
		from -= g->index_is << scale;
		if (!fits32(from) && g->bits == 8)
			break;
		based(g, m, g->base[k], g->index, scale, from);
		return;
	case 3:
	case 4:
		if (g->bits != 8) {
			u32 d = (u32)ea;

			m->b[0] = 5;
			memcpy(m->b + 1, &d, 4);
			m->n = 5;
			return;
		}
		if (!fits32(ea - ISA_CODE))
			break;
		m->b[0] = 5;
		m->n = 5;
		m->rip_at = 1;
		return;
	case 5:
		if (!fits32(ea) && g->bits == 8)
			break;
		unbased(m, 4, prog_below(g, 4), (u32)ea);
		return;
	case 6: /* near the top of the stack, wherever that is now */
		if (m->nprefix || g->wild || g->no_push)
			break;
		based(g, m, X86_RSP, 4, 0, 16 * prog_below(g, 16) - 64);
		return;
	default: break;
	}
	if (g->bits != 8)
		ea = (u32)ea;
	any_regs(g, m, ea);
}
