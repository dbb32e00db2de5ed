// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/translate/tr_window.c - One check for several memory accesses
 *
 * A window is a range of guest memory around a register that does not change: the
 * fields of a structure, the slots of a stack frame, the variables of a page of
 * data. The first access of a block to it compares the range with the page that is
 * remembered in the window's slot (struct sc_site, one a vCPU); the others just add
 * the slot's addend. Nearly all accesses find the page of last time, so neither the
 * address nor the check is on the way of the data.
 *
 * The stack has one slot for all blocks: guest rsp moves by known amounts inside a
 * block until something loads it anew, so push, pop, call, ret and all operands at
 * rsp + constant are one window.
 *
 * When the page changes, sc_thunk_site refills the slot from the TLB. When the range
 * crosses a page, or the page cannot be accessed directly, the block's variant from
 * that instruction on runs, in which each access has a window of its own
 * (SC_MODE_SOLO). An instruction that meets another page nearly each time is marked
 * (cache_is_poly) and probes the TLB instead. [vcpu, cache locked] */
#include "accel/soft/translate/tr.h"

/* Farther apart is more likely to cross a page */
#define REACH 256
#define REACH_STACK 512

static bool is_stack(const struct tr_window *w) { return w->kind == TR_WINDOW_STACK; }

/* Make [at, at + size) part of @w if it does not become too wide */
static bool join(struct tr_window *w, s64 at, unsigned size)
{
	s64 lo = MIN(w->lo, at), hi = MAX(w->hi, at + (s64)size);

	if (hi - lo > (is_stack(w) ? REACH_STACK : REACH))
		return false;
	w->lo = lo;
	w->hi = hi;
	w->members++;
	return true;
}

static u8 open_window(struct tr *t, enum tr_window_kind kind, unsigned base, bool write, s64 at,
		      unsigned size)
{
	t->window[t->num_windows] = (struct tr_window){
		.kind = kind, .base = base, .write = write, .lo = at, .hi = at + (s64)size, .members = 1,
		.tlb = kind != TR_WINDOW_STACK && (!t->hot || t->poly) };
	return t->num_windows++;
}

/* The windows that later instructions may join */
struct plan {
	struct tr *t;
	u8 read[17], write[17]; /* by base register, SC_REG_RIP included */
	u8 stack;
	s32 rsp;		/* known moves of rsp so far, added up */
};

static u8 join_or_open(struct plan *p, unsigned base, bool write, s64 at, unsigned size)
{
	struct tr *t = p->t;
	u8 *cur = write ? &p->write[base] : &p->read[base];

	/* Who may store may load */
	if (!write && p->write[base] != TR_NO_WINDOW && join(&t->window[p->write[base]], at, size))
		return p->write[base];
	if (*cur != TR_NO_WINDOW && join(&t->window[*cur], at, size))
		return *cur;
	return *cur = open_window(t, TR_WINDOW_BASE, base, write, at, size);
}

static u8 stack_access(struct plan *p, s64 at, unsigned size)
{
	struct tr *t = p->t;

	if (p->stack == TR_NO_WINDOW || !join(&t->window[p->stack], p->rsp + at, size))
		p->stack = open_window(t, TR_WINDOW_STACK, X86_RSP, true, p->rsp + at, size);
	return p->stack;
}

/* How far @in moves rsp; false: nobody knows */
static bool rsp_moves(const struct sc_insn *in, s32 *by)
{
	bool rsp_imm = in->op[0].kind == SC_OP_GPR && in->op[0].reg == X86_RSP && in->opsize == 8;

	*by = 0;
	switch (in->cls) {
	case SC_C_PUSH:
	case SC_C_PUSHF:
	case SC_C_CALL:
		*by = -8;
		return in->opsize == 8;
	case SC_C_POP:
		*by = 8;
		return in->opsize == 8 && !rsp_imm && in->op[0].kind == SC_OP_GPR;
	case SC_C_ALU:
		if (rsp_imm && in->op[1].kind == SC_OP_IMM && (in->sub == 0 || in->sub == 5) &&
		    in->imm >= -65536 && in->imm <= 65536) {
			*by = in->sub == 0 ? in->imm : -in->imm;
			return true;
		}
		break;
	case SC_C_LEA:
		if (rsp_imm && in->base == X86_RSP && in->index == SC_REG_NONE && in->addrsize == 8 &&
		    in->disp >= -65536 && in->disp <= 65536) {
			*by = in->disp;
			return true;
		}
		break;
	}
	return !(in->gpr_written & BIT(X86_RSP));
}

/* Will tr_operand() be asked for the memory operand? */
static bool operand_is_direct(const struct tr *t, const struct sc_insn *in)
{
	if (!(in->flags & SC_I_MEM) || !in->mem_size || in->mem_size > 64 || in->addrsize != 8 ||
	    (in->flags & SC_I_VSIB) || in->disp != (s32)in->disp ||
	    in->disp + 4096 != (s32)(in->disp + 4096))
		return false;
	switch (in->cls) {
	case SC_C_PUSH:
	case SC_C_CALL:
	case SC_C_JMP:
		return in->opsize == 8;
	default:
		return tr_can_copy(t, in);
	}
}

static u8 operand_window(struct plan *p, unsigned i)
{
	struct tr *t = p->t;
	const struct sc_insn *in = &t->in[i];
	bool write = in->op[in->mem_op].act & SC_ACT_W, plain;
	unsigned size = in->mem_size;
	s64 disp = in->disp;

	plain = in->index == SC_REG_NONE && in->addrsize == 8 && in->seg != X86_FS &&
		in->seg != X86_GS && in->base != SC_REG_NONE;
	if (in->base == SC_REG_RIP) {
		u8 *cur = write ? &p->write[SC_REG_RIP] : &p->read[SC_REG_RIP];

		disp += t->off[i] + in->len;
		if (disp != (s32)disp || (disp & (PAGE_BYTES - 1)) + size > PAGE_BYTES || !plain)
			return open_window(t, TR_WINDOW_ADDRESS, 0, write, 0, size);
		/* Another page is another window, and inside a page no range is too wide */
		if (*cur != TR_NO_WINDOW && t->window[*cur].lo >> PAGE_SHIFT == disp >> PAGE_SHIFT &&
		    !(t->mode & SC_MODE_SOLO)) {
			t->window[*cur].lo = MIN(t->window[*cur].lo, disp);
			t->window[*cur].hi = MAX(t->window[*cur].hi, disp + (s64)size);
			t->window[*cur].members++;
			return *cur;
		}
		return *cur = open_window(t, TR_WINDOW_BASE, SC_REG_RIP, write, disp, size);
	}
	if (!plain)
		return open_window(t, TR_WINDOW_ADDRESS, 0, write, 0, size);
	if (t->mode & SC_MODE_SOLO)
		return open_window(t, TR_WINDOW_BASE, in->base, write, disp, size);
	if (in->base == X86_RSP)
		return stack_access(p, disp, size);
	return join_or_open(p, in->base, write, disp, size);
}

static u8 slot_window(struct plan *p, s64 at, bool write)
{
	if (p->t->mode & SC_MODE_SOLO)
		return open_window(p->t, TR_WINDOW_BASE, X86_RSP, write, at, 8);
	return stack_access(p, at, 8);
}

void tr_windows_plan(struct tr *t)
{
	struct plan p = { .t = t, .stack = TR_NO_WINDOW };
	unsigned i, g;
	s32 by;

	for (g = 0; g < ARRAY_LEN(p.read); g++)
		p.read[g] = p.write[g] = TR_NO_WINDOW;
	t->num_windows = 0;
	for (i = 0; i < t->n; i++) {
		const struct sc_insn *in = &t->in[i];

		t->win_operand[i] = t->win_slot[i] = TR_NO_WINDOW;
		t->poly = cache_is_poly(t->c, t->gpa - t->off[0] + t->off[i]);
		if (operand_is_direct(t, in))
			t->win_operand[i] = operand_window(&p, i);
		switch (in->opsize == 8 ? in->cls : SC_NUM_CLASSES) {
		case SC_C_PUSH:
		case SC_C_CALL:
		case SC_C_PUSHF:
			t->win_slot[i] = slot_window(&p, -8, true);
			break;
		case SC_C_POP:
		case SC_C_RET:
			t->win_slot[i] = slot_window(&p, 0, false);
			break;
		case SC_C_LEAVE:
			t->win_slot[i] = t->mode & SC_MODE_SOLO
						 ? open_window(t, TR_WINDOW_BASE, X86_RBP, false, 0, 8)
						 : join_or_open(&p, X86_RBP, false, 0, 8);
			break;
		}
		t->rsp[i] = p.rsp;
		if (!rsp_moves(in, &by))
			p.stack = TR_NO_WINDOW;
		p.rsp += by;
		for (g = 0; g < 16; g++)
			if (in->gpr_written & BIT(g))
				p.read[g] = p.write[g] = TR_NO_WINDOW;
	}
}

static u32 slot_new(struct tr *t, const struct tr_window *w)
{
	u32 kind = tr_tlb(t), n;

	if (is_stack(w))
		return offsetof(struct sc_vcpu, stack) + kind * sizeof(struct sc_site);
	n = t->c->site_next[w->write]++ & (SC_SITES / 2 - 1);
	return offsetof(struct sc_vcpu, site) +
	       (kind * SC_SITES + w->write * (SC_SITES / 2) + n) * sizeof(struct sc_site);
}

/* Linear address of the window's first byte into r8; of TR_WINDOW_ADDRESS, into @dst */
static void begin(struct tr *t, const struct tr_window *w, s32 lo, unsigned dst)
{
	struct emit *e = &t->e;
	unsigned b;

	if (w->kind == TR_WINDOW_ADDRESS) {
		tr_address(t, dst, dst == H_R8 ? H_R9 : H_R8);
		return;
	}
	if (w->base == SC_REG_RIP) {
		e_gs_load(e, H_R8, SC_OFF_RIP_PAGE);
		b = H_R8;
	} else {
		b = tr_get(t, w->base, H_R8);
	}
	if (lo)
		e_lea(e, true, H_R8, b, 0xff, 0, lo);
	else if (b != H_R8)
		e_mov(e, H_R8, b);
}

/* Compare the window with its slot's page, or that of the TLB; @first: the access that is made
 * now, relative to the base register. Flags are stashed or dead. Behind it r8 is the addend;
 * the address of TR_WINDOW_ADDRESS is in r9 when it has a slot. */
static void check(struct tr *t, struct tr_window *w, s64 first, unsigned size, bool write)
{
	struct tr_cold *cold = &t->cold[t->num_cold++];
	u32 tlb = offsetof(struct sc_vcpu, tlb) + tr_tlb(t) * sizeof(t->v->tlb[0]);
	/* The base is rsp as it is now */
	s32 lo = w->lo - (is_stack(w) ? t->rsp[t->i] : 0);
	struct emit *e = &t->e;
	u32 slot = 0;

	w->checked = true;
	cold->held = t->held;
	cold->retry = e->at;
	if (w->tlb) {
		cold->thunk = SC_THUNK_WINDOW;
		w->addend = offsetof(struct sc_vcpu, window) + (w - t->window) * sizeof(u64);
		begin(t, w, lo, H_R8);
		tr_tlb_index(t);
		e_gs_based(e, 0x33, H_R8, H_R9, tlb + (w->write ? offsetof(struct sc_tlbe, tag_w)
							       : offsetof(struct sc_tlbe, tag_r))); /* xor r8, tag */
	} else {
		cold->thunk = SC_THUNK_SITE;
		slot = slot_new(t, w);
		w->addend = slot + offsetof(struct sc_site, addend);
		begin(t, w, lo, H_R9);
		if (w->kind == TR_WINDOW_ADDRESS)
			e_mov(e, H_R8, H_R9);
		e_gs(e, true, 0x33, H_R8, slot + offsetof(struct sc_site, tag)); /* xor r8, tag */
	}
	e8(e, 0x49), e8(e, 0x81), e8(e, 0xf8);			/* cmp r8, 4096 - length */
	e32(e, PAGE_BYTES - (w->hi - w->lo));
	cold->site = e_jcc_later(e, CC_A);
	cold->meta = tr_meta(t);
	cold->meta.access = size | (write ? 0x80 : 0);
	cold->slot = slot;
	cold->span = (w->hi - w->lo) | (w->write ? SC_SITE_STORES : 0);
	cold->delta = first - lo;
	cold->solo = w->kind == TR_WINDOW_ADDRESS || (t->mode & SC_MODE_SOLO);
	if (w->tlb) {
		e_gs_based(e, 0x8b, H_R8, H_R9, tlb + offsetof(struct sc_tlbe, addend)); /* mov r8, addend */
		if (w->members > 1)
			e_gs_store(e, H_R8, w->addend);
	} else {
		e_gs_load(e, H_R8, w->addend);
	}
	t->e.in_r8 = w->addend;
}

/* r8 is the addend of an access whose address was lost in the look-up: t->m becomes the rest */
static void address_again(struct tr *t)
{
	const struct sc_insn *in = tr_insn(t);
	struct emit *e = &t->e;
	unsigned x;

	if (in->base == SC_REG_RIP) {
		e_gs_load(e, H_R9, SC_OFF_RIP_PAGE);
		t->m = (struct tr_mem){ .index = H_R9, .disp = in->disp + tr_next_off(t) };
	} else {
		t->m = (struct tr_mem){ .index = 0xff, .disp = in->disp };
		if (in->index != SC_REG_NONE) {
			x = tr_get(t, in->index, H_R9);
			e_lea(e, true, H_R8, H_R8, x, in->scale, 0);
		}
		if (in->base != SC_REG_NONE)
			t->m.index = tr_get(t, in->base, H_R9);
	}
	if (in->seg == X86_FS || in->seg == X86_GS)	/* add r8, base */
		e_gs(e, true, 0x03, H_R8, in->seg == X86_FS ? SC_OFF_FS_BASE : SC_OFF_GS_BASE);
}

static void access_window(struct tr *t, struct tr_window *w, s64 at, unsigned size, bool write,
			  u16 live)
{
	struct emit *e = &t->e;

	if (!w->checked) {
		tr_rsp(t);
		tr_clobber_flags(t, live);
		check(t, w, at, size, write);
	} else if (t->e.in_r8 != w->addend) {
		e_gs_load(e, H_R8, w->addend);
		t->e.in_r8 = w->addend;
	}
	if (w->kind == TR_WINDOW_ADDRESS && w->tlb) {
		address_again(t);
		t->e.in_r8 = 0;
		return;
	}
	t->m.index = H_R9;
	t->m.disp = 0;
	if (w->kind == TR_WINDOW_ADDRESS)
		return;
	t->m.disp = at + (w->base == X86_RSP ? t->lag : 0);
	if (w->base == SC_REG_RIP)
		e_gs_load(e, H_R9, SC_OFF_RIP_PAGE);
	else
		t->m.index = tr_get(t, w->base, H_R9);
}

bool tr_operand(struct tr *t, unsigned size, bool write, u16 live)
{
	const struct sc_insn *in = tr_insn(t);
	u8 w = t->win_operand[t->i];
	s64 at = in->disp;

	if (w != TR_NO_WINDOW) {
		if (in->base == SC_REG_RIP)
			at += tr_next_off(t);
		access_window(t, &t->window[w], t->window[w].kind == TR_WINDOW_ADDRESS ? 0 : at, size, write, live);
		return true;
	}
	tr_clobber_flags(t, live);
	if (!tr_address(t, H_R8, H_R9))
		return false;
	tr_probe(t, size, write);
	return true;
}

void tr_slot(struct tr *t, s32 disp, bool write, u16 live)
{
	access_window(t, &t->window[t->win_slot[t->i]], disp, 8, write, live);
}
