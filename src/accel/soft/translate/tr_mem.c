// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/translate/tr_mem.c - Flags, memory operands, TLB probe, slow paths
 *
 * The order inside one instruction: stash flags, address, probe, take flags out
 * of the stash, the instruction itself. [vcpu, cache locked] */
#include "accel/soft/translate/tr.h"

unsigned tr_get(struct tr *t, unsigned g, unsigned scratch)
{
	if (!tr_in_memory(g))
		return tr_host(g);
	e_gs_load(&t->e, scratch, tr_gpr_off(g));
	return scratch;
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

void tr_want_flags(struct tr *t)
{
	struct emit *e = &t->e;

	if (t->flags != TR_STASHED)
		return;
	e_mov(e, H_R9, H_RAX);
	e8(e, 0x65), e8(e, 0x0f), e8(e, 0xb7), e8(e, 0x04), e8(e, 0x25); /* movzx eax, word gs:stash */
	e32(e, SC_OFF_STASH);
	e8(e, 0x04), e8(e, 0x7f);			/* add al, 0x7f: OF when al was 1 */
	e8(e, 0x9e);					/* sahf */
	e_mov(e, H_RAX, H_R9);
	t->flags = TR_BOTH;
}

bool tr_address(struct tr *t)
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
		e_gs_load(e, H_R8, SC_OFF_RIP_PAGE);
		e_lea(e, true, H_R8, H_R8, 0xff, 0, d);
	} else if (in->base == SC_REG_NONE && in->index == SC_REG_NONE) {
		e_rex(e, wide, 0, 0, H_R8);		/* mov r8, imm32 */
		e8(e, 0xc7), e8(e, 0xc0);
		e32(e, in->disp);
	} else {
		b = in->base == SC_REG_NONE ? 0xff : tr_get(t, in->base, H_R8);
		x = in->index == SC_REG_NONE ? 0xff : tr_get(t, in->index, H_R9);
		if (x == 0xff && !in->disp && wide) {
			if (b != H_R8)
				e_mov(e, H_R8, b);
		} else {
			e_lea(e, wide, H_R8, b, x, in->scale, in->disp);
		}
	}
	if (in->seg == X86_FS || in->seg == X86_GS) {
		e_gs_load(e, H_R9, in->seg == X86_FS ? SC_OFF_FS_BASE : SC_OFF_GS_BASE);
		e_lea(e, true, H_R8, H_R8, H_R9, 0, 0);
	}
	return true;
}

bool tr_operand(struct tr *t, unsigned size, bool write, u16 live)
{
	if (tr_stack_ptr(t, TR_STACK_OPERAND, tr_insn(t)->disp))
		return true;
	tr_clobber_flags(t, live);
	if (!tr_address(t))
		return false;
	tr_probe(t, size, write);
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

void tr_probe(struct tr *t, unsigned size, bool write)
{
	u32 tlb = offsetof(struct sc_vcpu, tlb) + tr_tlb(t) * sizeof(t->v->tlb[0]);
	u32 tag = tlb + (write ? offsetof(struct sc_tlbe, tag_w) : offsetof(struct sc_tlbe, tag_r));
	struct tr_cold *cold = &t->cold[t->num_cold++];
	struct emit *e = &t->e;

	_Static_assert(sizeof(struct sc_tlbe) == 32, "the shift below");
	cold->retry = e->at;
	e_rex(e, false, H_R8, 0, H_R9);			/* mov r9d, r8d */
	e8(e, 0x89), e8(e, 0xc0 | (H_R8 & 7) << 3 | (H_R9 & 7));
	e8(e, 0x41), e8(e, 0xc1), e8(e, 0xe9), e8(e, PAGE_SHIFT - 5); /* shr r9d, 7 */
	e8(e, 0x41), e8(e, 0x81), e8(e, 0xe1);		/* and r9d, index mask */
	e32(e, (SC_TLB_ENTRIES - 1) * sizeof(struct sc_tlbe));
	e_gs_based(e, 0x8b, H_R10, H_R9, tag);		/* mov r10, tag */
	e8(e, 0x4d), e8(e, 0x31), e8(e, 0xc2);		/* xor r10, r8 */
	e8(e, 0x49), e8(e, 0x81), e8(e, 0xfa);		/* cmp r10, 4096 - size */
	e32(e, PAGE_BYTES - size);
	cold->site = e_jcc_later(e, CC_A);
	e_gs_based(e, 0x03, H_R8, H_R9, tlb + offsetof(struct sc_tlbe, addend)); /* add r8, addend */
	cold->meta = tr_meta(t);
	cold->meta.access = size | (write ? 0x80 : 0);
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
}

void tr_cold_emit(struct tr *t)
{
	struct emit *e = &t->e;
	unsigned i;

	for (i = 0; i < t->num_cold; i++) {
		const struct tr_cold *c = &t->cold[i];
		u32 at;

		e_fix(e, c->site);
		e_call(e, SC_THUNK_AT(SC_THUNK_SLOW));
		at = e->at;
		e16(e, c->meta.guest);
		e8(e, c->meta.len);
		e8(e, c->meta.access);
		e16(e, at - c->retry);
		e16(e, at - c->next);
	}
}
