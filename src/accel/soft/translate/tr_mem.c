// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/translate/tr_mem.c - Registers, flags, addresses, TLB probe, slow paths
 *
 * The order inside one instruction: stash flags, address, probe, take flags out
 * of the stash, the instruction itself. [vcpu, cache locked] */
#include "accel/soft/translate/tr.h"

void tr_forget(struct tr *t)
{
	t->held = TR_NONE_HELD;
}

bool tr_hold(struct tr *t, unsigned g)
{
	/* This use is one of the uses */
	if (t->pinned || t->uses[g - 8] < 2 || (t->held != TR_NONE_HELD && t->uses[t->held - 8] >= t->uses[g - 8]))
		return false;
	t->held = g;
	return true;
}

unsigned tr_get(struct tr *t, unsigned g, unsigned scratch)
{
	if (!tr_in_memory(g))
		return tr_host(g);
	if (t->held != g) {
		if (tr_hold(t, g))
			scratch = H_R10;
		e_gs_load(&t->e, scratch, tr_gpr_off(g));
	}
	if (t->held == g) {
		t->pinned = true;
		return H_R10;
	}
	return scratch;
}

unsigned tr_dst(struct tr *t, unsigned g, unsigned scratch)
{
	if (!tr_in_memory(g))
		return tr_host(g);
	return t->held == g || tr_hold(t, g) ? H_R10 : scratch;
}

void tr_put(struct tr *t, unsigned g, unsigned host)
{
	if (tr_in_memory(g))
		e_gs_store(&t->e, host, tr_gpr_off(g));
}

void tr_rsp(struct tr *t)
{
	if (t->lag)
		e_lea(&t->e, true, H_R11, H_R11, 0xff, 0, t->lag);
	t->lag = 0;
}

static void stash(struct tr *t)
{
	struct emit *e = &t->e;

	e_mov(e, H_R8, H_RAX);
	e8(e, 0x9f);					/* lahf */
	e8(e, 0x0f), e8(e, 0x90), e8(e, 0xc0);		/* seto al */
	e8(e, 0x66);					/* mov gs:stash, ax */
	e_gs(e, false, 0x89, H_RAX, SC_OFF_STASH);
	e_mov(e, H_RAX, H_R8);
}

void tr_clobber_flags(struct tr *t, u16 live)
{
	if (!(live & SC_ARITH)) {
		t->flags = TR_DEAD;
		return;
	}
	if (t->flags == TR_REGS)
		stash(t);
	if (t->flags != TR_DEAD)
		t->flags = TR_STASHED;
}

void tr_want_flags(struct tr *t, unsigned tmp)
{
	struct emit *e = &t->e;

	if (t->flags != TR_STASHED)
		return;
	e_mov(e, tmp, H_RAX);
	e8(e, 0x65), e8(e, 0x0f), e8(e, 0xb7), e8(e, 0x04), e8(e, 0x25); /* movzx eax, word gs:stash */
	e32(e, SC_OFF_STASH);
	e8(e, 0x04), e8(e, 0x7f);			/* add al, 0x7f: OF when al was 1 */
	e8(e, 0x9e);					/* sahf */
	e_mov(e, H_RAX, tmp);
	t->flags = TR_BOTH;
}

bool tr_address(struct tr *t, unsigned dst, unsigned tmp)
{
	const struct sc_insn *in = tr_insn(t);
	struct emit *e = &t->e;
	unsigned b, x;
	bool wide = in->addrsize == 8;

	if (in->addrsize < 4 || (in->flags & SC_I_VSIB) || in->disp != (s32)in->disp)
		return false;
	if (in->base == SC_REG_RIP) {
		s64 d = in->disp + tr_next_off(t);

		if (!wide || d != (s32)d)
			return false;
		e_gs_load(e, dst, SC_OFF_RIP_PAGE);
		e_lea(e, true, dst, dst, 0xff, 0, d);
	} else if (in->base == SC_REG_NONE && in->index == SC_REG_NONE) {
		e_rex(e, wide, 0, 0, dst);		/* mov dst, imm32 */
		e8(e, 0xc7), e8(e, 0xc0 | (dst & 7));
		e32(e, in->disp);
	} else {
		b = in->base == SC_REG_NONE ? 0xff : tr_get(t, in->base, dst);
		x = in->index == SC_REG_NONE ? 0xff : tr_get(t, in->index, tmp);
		if (x == 0xff && !in->disp && wide) {
			if (b != dst)
				e_mov(e, dst, b);
		} else {
			e_lea(e, wide, dst, b, x, in->scale, in->disp);
		}
	}
	if (in->seg == X86_FS || in->seg == X86_GS)	/* add dst, base */
		e_gs(e, true, 0x03, dst, in->seg == X86_FS ? SC_OFF_FS_BASE : SC_OFF_GS_BASE);
	return true;
}

struct sc_meta tr_meta(const struct tr *t)
{
	struct sc_meta m = { .guest = t->off[t->i], .len = tr_insn(t)->len };

	if (t->flags == TR_STASHED || t->flags == TR_BOTH)
		m.guest |= SC_MAP_STASHED;
	else if (t->flags == TR_DEAD)
		m.guest |= SC_MAP_DEAD;
	return m;
}

void tr_tlb_index(struct tr *t)
{
	struct emit *e = &t->e;

	_Static_assert(sizeof(struct sc_tlbe) == 32, "the shift below");
	e_rex(e, false, H_R8, 0, H_R9);			/* mov r9d, r8d */
	e8(e, 0x89), e8(e, 0xc0 | (H_R8 & 7) << 3 | (H_R9 & 7));
	e8(e, 0x41), e8(e, 0xc1), e8(e, 0xe9), e8(e, PAGE_SHIFT - 5); /* shr r9d, 7 */
	e8(e, 0x41), e8(e, 0x81), e8(e, 0xe1);		/* and r9d, index mask */
	e32(e, (SC_TLB_ENTRIES - 1) * sizeof(struct sc_tlbe));
}

void tr_probe(struct tr *t, unsigned size, bool write)
{
	u32 tlb = offsetof(struct sc_vcpu, tlb) + tr_tlb(t) * sizeof(t->v->tlb[0]);
	u32 tag = tlb + (write ? offsetof(struct sc_tlbe, tag_w) : offsetof(struct sc_tlbe, tag_r));
	struct tr_cold *cold = &t->cold[t->num_cold++];
	struct emit *e = &t->e;

	tr_forget(t);
	cold->thunk = SC_THUNK_SLOW;
	cold->held = TR_NONE_HELD;
	cold->retry = e->at;
	tr_tlb_index(t);
	e_gs_based(e, 0x8b, H_R10, H_R9, tag);		/* mov r10, tag */
	e8(e, 0x4d), e8(e, 0x31), e8(e, 0xc2);		/* xor r10, r8 */
	e8(e, 0x49), e8(e, 0x81), e8(e, 0xfa);		/* cmp r10, 4096 - size */
	e32(e, PAGE_BYTES - size);
	cold->site = e_jcc_later(e, CC_A);
	e_gs_based(e, 0x03, H_R8, H_R9, tlb + offsetof(struct sc_tlbe, addend)); /* add r8, addend */
	cold->meta = tr_meta(t);
	cold->meta.access = size | (write ? 0x80 : 0);
	t->m = (struct tr_mem){ .index = 0xff };
}

void tr_call_interp(struct tr *t, struct sc_meta m)
{
	e_call(&t->e, SC_THUNK_AT(SC_THUNK_INTERP));
	e16(&t->e, m.guest);
	e8(&t->e, m.len);
	e8(&t->e, m.access);
	e16(&t->e, 0);
	e16(&t->e, 0);
}

void tr_interp(struct tr *t, bool end)
{
	struct sc_meta m = tr_meta(t);

	m.access = end ? 0x80 : 0;
	tr_call_interp(t, m);
	t->flags = TR_BOTH;
	tr_forget(t);
}

/* Where a slow path goes on: at @to, with r10 and r8 holding what the code there expects */
static u32 way_back(struct tr *t, unsigned held, u32 addend, u32 to)
{
	u32 at = t->e.at;

	if (held == TR_NONE_HELD && !addend)
		return to;
	if (addend)
		e_gs_load(&t->e, H_R8, addend);
	if (held != TR_NONE_HELD)
		e_gs_load(&t->e, H_R10, tr_gpr_off(held));
	e_jmp(&t->e, to);
	return at;
}

void tr_cold_emit(struct tr *t)
{
	struct emit *e = &t->e;
	unsigned i;

	for (i = 0; i < t->num_cold; i++) {
		const struct tr_cold *c = &t->cold[i];
		struct sc_meta *m;
		u32 at;

		e_fix(e, c->site);
		e_call(e, SC_THUNK_AT(c->thunk));
		at = e->at;
		m = (struct sc_meta *)(e->base + at);
		*m = c->meta;
		e->at += sizeof(*m);
		if (c->thunk != SC_THUNK_SLOW) {
			struct sc_site_meta *s = (struct sc_site_meta *)m;

			s->w.span = c->span;
			s->w.delta = c->delta | (c->solo ? SC_SITE_SOLO : 0);
			e->at = at + sizeof(s->w);
			if (c->thunk == SC_THUNK_SITE)
				e32(e, c->slot);
			_Static_assert(sizeof(*s) == 16, "sc_thunk_site");
			if (c->thunk == SC_THUNK_SITE && c->slot < SC_OFF_SITE)
				tr_jump_solo(t, c->meta.guest & (PAGE_BYTES - 1),
					     c->meta.guest & SC_MAP_STASHED);
		}
		m->to_retry = way_back(t, c->held, 0, c->retry) - at;
		/* After a window that others share it is never the next instruction */
		if (c->thunk == SC_THUNK_SLOW || c->solo)
			m->to_next = way_back(t, c->held_next, c->r8_next, c->next) - at;
	}
}
