// SPDX-License-Identifier: BSD-2-Clause
/* test/isa/prog_flow.c - Branches, loops, calls, code that changes itself, and how programs end
 *
 * Everything goes forward but for counted loops, so each program ends. */
#include <string.h>

#include "accel/soft/decode/decode.h"
#include "accel/x86_state.h"
#include "program.h"

static unsigned rel(struct prog *g, const void *b, unsigned len, unsigned width)
{
	u8 buf[15] = { 0 };
	unsigned i;

	memcpy(buf, b, len);
	i = prog_bytes(g, buf, len + width);
	g->p->item[i].fix = ISA_FIX_REL;
	g->p->item[i].at = (u8)len;
	g->p->item[i].width = (u8)width;
	g->p->item[i].target = (s16)(g->p->n);
	return i;
}
#define REL(g, s, width) rel(g, s, sizeof(s) - 1, width)

/* @item leads to what comes next */
static void here(struct prog *g, unsigned item)
{
	g->p->item[item].target = (s16)g->p->n;
}

/* lea reg, [an item that is not there yet], or mov reg, its address */
static unsigned address_of(struct prog *g, unsigned reg)
{
	u8 b[7] = { 0 };
	unsigned i;

	if (g->bits == 8) {
		b[0] = 0x48 | (reg >> 3) << 2;
		b[1] = 0x8d;
		b[2] = (reg & 7) << 3 | 5;
		i = prog_bytes(g, b, 7);
		g->p->item[i].fix = ISA_FIX_RIP_ITEM;
		g->p->item[i].at = 3;
	} else {
		b[0] = 0xb8 | reg;
		i = prog_bytes(g, b, 5);
		g->p->item[i].fix = ISA_FIX_ABS_ITEM;
		g->p->item[i].at = 1;
	}
	g->p->item[i].width = 4;
	g->p->item[i].target = (s16)g->p->n;
	return i;
}

/* An instruction of one register in ModRM, 64 bits wide without REX.W (call, jmp, push) */
static void one_reg(struct prog *g, u8 opcode, u8 ext, unsigned reg, bool mem)
{
	u8 b[3];
	unsigned n = 0;

	if (reg > 7)
		b[n++] = 0x41;
	b[n++] = opcode;
	b[n++] = (mem ? 0x80 : 0xc0) | ext << 3 | (reg & 7);
	prog_bytes(g, b, n);
}

static void free_insns(struct prog *g, unsigned n)
{
	for (unsigned tries = 0; n && tries < 400 && !g->full; tries++)
		n -= prog_insn(g);
}

static unsigned some(struct prog *g, unsigned max) { return 1 + (unsigned)prog_below(g, max); }

/* ------------------------------------------------------------ branches */

static void over(struct prog *g)
{
	u8 b[2];
	unsigned i;

	switch (prog_below(g, 5)) {
	case 0: i = REL(g, "\xeb", 1); break;
	case 1: i = REL(g, "\xe9", 4); break;
	case 2: /* with prefixes that mean nothing */
		i = rel(g, prog_chance(g, 2) ? "\x2e\x74" : prog_chance(g, 2) ? "\x3e\x75" : "\xf2\x7c", 2, 1);
		break;
	case 3:
		b[0] = prog_chance(g, 2) ? 0xe3 : 0xe0 + (u8)prog_below(g, 3);
		if (b[0] != 0xe3 && g->fixed & BIT(X86_RCX))
			b[0] = 0xe3;
		i = prog_chance(g, 4) && b[0] == 0xe3 ? REL(g, "\x67\xe3", 1) : rel(g, b, 1, 1);
		g->depth++;
		free_insns(g, some(g, 3));
		g->depth--;
		here(g, i);
		return;
	default:
		b[0] = 0x70 | (isa_rand(&g->r) & 15);
		i = rel(g, b, 1, 1);
		break;
	}
	g->depth++;
	prog_body(g, some(g, 6));
	g->depth--;
	here(g, i);
}

static void indirect(struct prog *g)
{
	unsigned reg = prog_free_reg(g, 0), i = address_of(g, reg);
	u64 at = ISA_DATA + 8 * prog_below(g, 0x3ff);
	bool mem = prog_chance(g, 2);
	u8 b[8];

	if (mem || g->no_push || g->looping || prog_chance(g, 2)) {
		if (mem) {
			/* mov [at], reg; jmp [at] */
			u32 where = (u32)at;

			if (g->bits == 8) {
				b[0] = 0x48 | (reg >> 3) << 2;
				b[1] = 0x89;
				b[2] = (reg & 7) << 3 | 4;
				b[3] = 0x25;
				memcpy(b + 4, &where, 4);
				prog_bytes(g, b, 8);
				memcpy(b, "\xff\x24\x25", 3);
				memcpy(b + 3, &where, 4);
				prog_bytes(g, b, 7);
			} else {
				b[0] = 0x89;
				b[1] = (u8)(reg << 3 | 5);
				memcpy(b + 2, &where, 4);
				prog_bytes(g, b, 6);
				memcpy(b, "\xff\x25", 2);
				memcpy(b + 2, &where, 4);
				prog_bytes(g, b, 6);
			}
		} else {
			one_reg(g, 0xff, 4, reg, false);
		}
	} else {
		one_reg(g, 0xff, 6, reg, false); /* push reg; ret */
		PROG_BYTES(g, "\xc3");
	}
	prog_bytes(g, "\x0f\x0b", 2);
	here(g, i);
}

static void loop(struct prog *g)
{
	bool rcx = !(g->fixed & BIT(X86_RCX)) && prog_chance(g, 2), was = g->looping;
	unsigned c = rcx ? X86_RCX : g->counter, top;
	u16 fixed = g->fixed;
	u8 b[3];
	unsigned n = 0, i;

	/* Loops inside a loop have registers of their own */
	if (was && !rcx)
		return;
	prog_mov_imm(g, c, some(g, 8));
	g->fixed |= BIT(c);
	g->looping = true;
	g->depth++;
	top = g->p->n;
	prog_body(g, some(g, 8));
	g->depth--;
	g->looping = was;
	g->fixed = fixed;
	if (rcx && prog_chance(g, 2)) {
		if (g->p->n - top < 12) {
			b[0] = prog_chance(g, 3) ? 0xe1 : 0xe2;
			i = rel(g, b, 1, 1);
			g->p->item[i].target = (s16)top;
			/* short only: perhaps it does not reach, then the program is made anew */
			return;
		}
	}
	if (c > 7)
		b[n++] = 0x41;
	b[n++] = 0xff; /* dec */
	b[n++] = 0xc8 | (c & 7);
	prog_bytes(g, b, n);
	i = REL(g, "\x0f\x85", 4);
	g->p->item[i].target = (s16)top;
}

static void call(struct prog *g)
{
	bool was = g->no_push;
	unsigned reg, i, end, pop = prog_chance(g, 4) ? 8 * some(g, 4) : 0;
	u8 b[4] = { 0x48, 0x8d, 0x64, 0x24 };

	if (g->looping && pop)
		pop = 0;
	if (pop) { /* lea rsp, [rsp - pop] */
		u8 lea[5] = { 0x48, 0x8d, 0x64, 0x24, (u8)-pop };

		prog_bytes(g, lea + (g->bits != 8), 4 + (g->bits == 8));
	}
	if (prog_chance(g, 2)) {
		i = REL(g, "\xe8", 4);
	} else {
		reg = prog_free_reg(g, 0);
		i = address_of(g, reg);
		one_reg(g, 0xff, 2, reg, false);
	}
	end = REL(g, "\xe9", 4);
	here(g, i);
	g->no_push = true;
	g->depth++;
	prog_body(g, some(g, 5));
	g->depth--;
	g->no_push = was;
	if (pop) {
		b[0] = 0xc2;
		b[1] = (u8)pop;
		b[2] = 0;
		prog_bytes(g, b, 3);
	} else if (prog_chance(g, 6)) {
		PROG_BYTES(g, "\xf3\xc3");
	} else {
		PROG_BYTES(g, "\xc3");
	}
	here(g, end);
}

/* iretq, retfq, jmp far: to the same code segment */
static void far_transfer(struct prog *g)
{
	unsigned reg, i;
	u64 at = ISA_DATA + 8 * prog_below(g, 0x3fe);
	u8 b[12];
	u32 where = (u32)at;

	if (g->bits != 8 || g->no_push || g->looping)
		return;
	reg = prog_free_reg(g, 0);
	switch (prog_below(g, 3)) {
	case 0:
		b[0] = 0x48 | reg >> 3; /* mov reg, rsp */
		b[1] = 0x89;
		b[2] = 0xe0 | (reg & 7);
		prog_bytes(g, b, 3);
		b[0] = 0x6a;
		b[1] = ISA_DS;
		prog_bytes(g, b, 2);
		one_reg(g, 0xff, 6, reg, false);
		PROG_BYTES(g, "\x9c");
		b[1] = ISA_CS64;
		prog_bytes(g, b, 2);
		i = address_of(g, reg);
		one_reg(g, 0xff, 6, reg, false);
		PROG_BYTES(g, "\x48\xcf");
		break;
	case 1:
		b[0] = 0x6a;
		b[1] = ISA_CS64;
		prog_bytes(g, b, 2);
		i = address_of(g, reg);
		one_reg(g, 0xff, 6, reg, false);
		PROG_BYTES(g, "\x48\xcb");
		break;
	default:
		i = address_of(g, reg);
		b[0] = 0x48 | (reg >> 3) << 2; /* mov [at], reg */
		b[1] = 0x89;
		b[2] = (reg & 7) << 3 | 4;
		b[3] = 0x25;
		memcpy(b + 4, &where, 4);
		prog_bytes(g, b, 8);
		prog_poke(g, at + 4, ISA_CS64, 2);
		memcpy(b, "\xff\x2c\x25", 3);
		memcpy(b + 3, &where, 4);
		prog_bytes(g, b, 7);
		break;
	}
	PROG_BYTES(g, "\x0f\x0b");
	here(g, i);
}

/* -------------------------------------------- code that changes itself */

static void self_modifying(struct prog *g)
{
	unsigned reg = prog_free_reg(g, 0), i, n = 0;
	u8 b[12];
	struct isa_item *it;
	bool back = g->looping && prog_chance(g, 2); /* what ran already and will again */
	unsigned victim = 0;

	if (g->bits != 8)
		return;
	if (back)
		victim = prog_mov_imm(g, reg, (u32)isa_rand(&g->r) | 0x10000);
	switch (prog_below(g, 5)) {
	case 0: /* mov dword [victim], imm32 */
		memcpy(b, "\xc7\x05\0\0\0\0", 6);
		n = 10;
		break;
	case 1: /* inc byte */
		memcpy(b, "\xfe\x05", 2);
		n = 6;
		break;
	case 2: /* lock xor word, imm8 */
		memcpy(b, "\xf0\x66\x83\x35", 4);
		n = 9;
		break;
	case 3: /* mov [victim], r8 */
		memcpy(b, "\x88\x0d", 2);
		n = 6;
		break;
	default: /* add dword, imm8 */
		memcpy(b, "\x83\x05", 2);
		n = 7;
		break;
	}
	for (unsigned k = n - 4; k < n; k++)
		b[k] = isa_rand(&g->r);
	if (b[0] == 0xc7)
		for (unsigned k = 6; k < 10; k++)
			b[k] = isa_rand(&g->r);
	i = prog_bytes(g, b, n);
	it = &g->p->item[i];
	it->fix = ISA_FIX_RIP_ITEM;
	it->at = b[0] == 0xf0 ? 4 : 2;
	it->width = 4;
	if (!back) {
		if (prog_chance(g, 2))
			free_insns(g, some(g, 4));
		victim = prog_mov_imm(g, reg, (u32)isa_rand(&g->r) | 0x10000);
	}
	it->target = (s16)victim;
	it->add = g->p->item[victim].len - 4;
}

/* ------------------------------------------------------------- bodies */

void prog_body(struct prog *g, unsigned items)
{
	unsigned end = g->p->n + items;

	for (unsigned tries = 0; g->p->n < end && !g->full && tries < 200; tries++) {
		g->wild = prog_chance(g, 400);
		if (g->depth > 3 || prog_chance(g, 2)) {
			free_insns(g, 1);
			continue;
		}
		switch (prog_below(g, 16)) {
		case 0:
		case 1:
		case 2: over(g); break;
		case 3: loop(g); break;
		case 4: call(g); break;
		case 5: indirect(g); break;
		case 6:
			if (prog_chance(g, 3))
				far_transfer(g);
			break;
		case 7: self_modifying(g); break;
		case 8:
		case 9: prog_state(g); break;
		default: free_insns(g, some(g, 4)); break;
		}
	}
	g->wild = false;
}

/* ---------------------------------------------------------------- ends */

/* Bytes that no CPU of our kind executes */
static bool bad_bytes(struct prog *g)
{
	static const u8 lone[] = { 0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x27, 0x2f, 0x37, 0x3f,
				   0x60, 0x61, 0x82, 0x9a, 0xc4, 0xc5, 0xce, 0xd4, 0xd5, 0xd6, 0xea };
	struct sc_insn in;
	u8 b[15], op;

	for (unsigned i = 0; i < sizeof(b); i++)
		b[i] = isa_rand(&g->r);
	switch (prog_below(g, 4)) {
	case 0: b[0] = lone[prog_below(g, sizeof(lone))]; break;
	case 1: /* LOCK where it must not be */
		b[0] = 0xf0;
		break;
	case 2:
		b[0] = 0x0f;
		break;
	default:
		b[0] = 0xc4 + (isa_rand(&g->r) & 1);
		b[1] |= 0xc0;
		break;
	}
	/* Nothing that could be one of Linux' doors in whatever reading of it, nor newer than us */
	for (unsigned i = 0; i < 14; i++)
		if (b[i] == 0x62 || (b[i] == 0x8f) || (b[i] == 0xcd) ||
		    (b[i] == 0x0f && (b[i + 1] == 5 || b[i + 1] == 0x34 || b[i + 1] == 1 || b[i + 1] == 0x0f ||
				      b[i + 1] == 0x7a || b[i + 1] == 0x78 || b[i + 1] == 0x79)))
			return false;
	/* VPERMQ, VPERMPD with W0: AMD does not mind. AVX-512's mask instructions are VEX, too. */
	op = b[0] == 0xc4 ? b[3] : b[2];
	if ((b[0] & 0xfe) == 0xc4 && (op <= 1 || (op & 0xf0) == 0x40 || (op & 0xf0) == 0x90))
		return false;
	if (sc_decode(NULL, g->bits, b, 15, &in) != SC_DEC_BAD)
		return false;
	prog_bytes(g, b, 15);
	return true;
}

void prog_end(struct prog *g)
{
	static const struct {
		u8 len;
		u8 b[7];
	} privileged[] = {
		{ 1, "\xf4" }, { 1, "\xfa" }, { 1, "\xfb" }, { 2, "\x0f\x06" }, { 2, "\x0f\x08" },
		{ 2, "\x0f\x09" }, { 2, "\x0f\x30" }, { 2, "\x0f\x32" }, { 2, "\xe4\x70" },
		{ 1, "\xec" }, { 1, "\xed" }, { 1, "\xee" }, { 2, "\x66\xef" }, { 1, "\x6c" },
		{ 1, "\x6e" }, { 2, "\xf3\x6d" }, { 3, "\x0f\x20\xc0" }, { 3, "\x0f\x22\xd8" },
		{ 3, "\x0f\x21\xf8" }, { 3, "\x0f\x23\xf8" }, { 3, "\x0f\x01\x38" }, { 3, "\x0f\x01\x10" },
		{ 3, "\x0f\x01\x18" }, { 3, "\x0f\x00\xd0" }, { 3, "\x0f\x00\xd8" }, { 3, "\x0f\x01\xf0" },
		{ 3, "\x0f\x01\xd1" }, { 3, "\x0f\x01\xf8" }, { 2, "\x0f\x33" }, { 3, "\x48\x0f\x07" },
		{ 2, "\x0f\x35" }, { 1, "\xcc" }, { 2, "\x0f\x0b" }, { 3, "\x0f\xb9\xc0" },
		{ 2, "\xcd\x03" }, { 2, "\xcd\x04" }, { 2, "\xcd\x0d" }, { 2, "\xcd\x21" }, { 2, "\xcd\xff" },
		{ 3, "\x0f\x01\xca" }, { 3, "\x0f\x01\xcb" }, { 2, "\x0f\xaa" },
	};
	unsigned reg = prog_free_reg(g, 0), i;
	u64 to;

	g->wild = false;
	switch (prog_below(g, 10)) {
	case 0:
	case 1: /* one instruction that will not work, most likely */
		g->wild = true;
		free_insns(g, 3);
		return;
	case 2:
		i = (unsigned)prog_below(g, ARRAY_LEN(privileged));
		prog_bytes(g, privileged[i].b, privileged[i].len);
		return;
	case 3: /* fetches that cannot be */
		to = prog_chance(g, 4) ? ISA_DATA + prog_below(g, 0x1fff) : prog_chance(g, 3) ? ISA_RO :
		     prog_chance(g, 2) ? ISA_HOLE : g->bits == 8 ? 0x8000000000000000 >> prog_below(g, 16) : 0xfffffff0;
		prog_mov_imm(g, reg, to);
		switch (prog_below(g, 3)) {
		case 0: one_reg(g, 0xff, 4, reg, false); break;
		case 1: one_reg(g, 0xff, 2, reg, false); break;
		default:
			one_reg(g, 0xff, 6, reg, false);
			PROG_BYTES(g, "\xc3");
		}
		return;
	case 4: /* over the end of the last page */
		prog_mov_imm(g, reg, ISA_CODE + ISA_CODE_LEN - 1 - prog_below(g, 14));
		one_reg(g, 0xff, 4, reg, false);
		/* NOPs and a piece of an instruction */
		memset(g->p->tail, 0x90, sizeof(g->p->tail));
		if (prog_chance(g, 2))
			memcpy(g->p->tail + 12, "\x66\x66\x66\xb8", 4); /* wherever it is entered */
		g->p->has_tail = true;
		return;
	case 5: /* single step */
		if (g->bits != 8)
			return;
		PROG_BYTES(g, "\x9c\x80\x4c\x24\x01\x01\x9d");
		free_insns(g, 2);
		return;
	case 6: /* alignment checks */
		if (g->bits != 8)
			return;
		PROG_BYTES(g, "\x9c\x80\x4c\x24\x02\x04\x9d");
		free_insns(g, 6);
		return;
	case 7:
		if (g->bits == 8) /* a stack that cannot be */
			prog_mov_imm(g, X86_RSP, prog_chance(g, 2) ? ISA_STACK + prog_below(g, 16)
								    : 0x7ffffffffffc + prog_below(g, 8));
		PROG_BYTES(g, "\x50\x50\x50");
		if (g->bits == 8)
			PROG_BYTES(g, "\xc8\x40\x00\x00");
		return;
	default:
		for (i = 0; i < 60 && !bad_bytes(g); i++)
			;
		return;
	}
}
