// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/translate/tr_stack.c - One check for all stack accesses of a block
 *
 * Guest rsp moves by known amounts inside a block until something loads it anew.
 * Up to there every access at rsp + constant, push, pop, call and ret lies in a
 * range [lo, hi) around rsp at the block's start; the range is compared with the
 * page in v->stack once. [vcpu, cache locked] */
#include "accel/soft/translate/tr.h"

/* Farther from rsp is more likely to be another page */
#define REACH 1024
/* Fewer accesses do not pay for the check */
#define WORTH 2

static u32 stack_off(const struct tr *t)
{
	return offsetof(struct sc_vcpu, stack) + tr_tlb(t) * sizeof(struct sc_stack);
}

/* An access at @at bytes from the start's rsp */
static bool covered(struct tr *t, s32 at, unsigned size)
{
	if (at < -REACH || at + (s32)size > REACH)
		return false;
	t->stack_lo = MIN(t->stack_lo, at);
	t->stack_hi = MAX(t->stack_hi, at + (s32)size);
	return true;
}

/* How far @in moves rsp; false: nobody knows */
static bool moves(const struct tr *t, const struct sc_insn *in, s32 *by)
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

void tr_stack_plan(struct tr *t)
{
	unsigned i, count = 0;
	bool known = true;
	s32 rsp = 0, by;

	t->stack_lo = t->stack_hi = 0;
	t->stack_check = false;
	sc_zero(t->stack, sizeof(t->stack));
	if (t->mode & SC_MODE_NO_STACK)
		return;
	for (i = 0; i < t->n && known; i++) {
		const struct sc_insn *in = &t->in[i];

		if ((in->flags & SC_I_MEM) && in->cls != SC_C_LEA && in->base == X86_RSP &&
		    in->index == SC_REG_NONE && in->addrsize == 8 && in->seg != X86_FS &&
		    in->seg != X86_GS && in->mem_size && in->mem_size <= 64 &&
		    in->disp >= -REACH && in->disp <= REACH && in->cls != SC_C_BT &&
		    covered(t, rsp + (s32)in->disp, in->mem_size)) {
			t->stack[i] |= TR_STACK_OPERAND;
			count++;
		}
		known = moves(t, in, &by);
		if (!known && in->cls != SC_C_RET)
			break;
		switch (in->cls) {
		case SC_C_PUSH:
		case SC_C_CALL:
		case SC_C_PUSHF:
			if (covered(t, rsp - 8, 8))
				t->stack[i] |= TR_STACK_PUSH_POP, count++;
			break;
		case SC_C_POP:
		case SC_C_RET:
			if (in->opsize == 8 && covered(t, rsp, 8))
				t->stack[i] |= TR_STACK_PUSH_POP, count++;
			break;
		}
		rsp += by;
		if (rsp < -65536 || rsp > 65536)
			break;
	}
	t->stack_check = count >= WORTH;
	if (!t->stack_check)
		sc_zero(t->stack, sizeof(t->stack));
}

void tr_stack_check(struct tr *t)
{
	struct emit *e = &t->e;

	e_lea(e, true, H_R8, H_R11, 0xff, 0, t->stack_lo);
	e_gs(e, true, 0x33, H_R8, stack_off(t) + offsetof(struct sc_stack, tag)); /* xor r8, tag */
	e8(e, 0x49), e8(e, 0x81), e8(e, 0xf8);			/* cmp r8, 4096 - length */
	e32(e, PAGE_BYTES - (t->stack_hi - t->stack_lo));
	t->stack_site = e_jcc_later(e, CC_A);
}

void tr_stack_cold_emit(struct tr *t)
{
	struct emit *e = &t->e;
	u32 at;

	if (!t->stack_check)
		return;
	e_fix(e, t->stack_site);
	e_call(e, SC_THUNK_AT(SC_THUNK_STACK));
	at = e->at;
	_Static_assert(offsetof(struct sc_stack_meta, span) == 2 &&
		       offsetof(struct sc_stack_meta, back) == 4, "enter.S");
	e16(e, t->stack_lo);
	e16(e, t->stack_hi - t->stack_lo);
	e32(e, t->stack_start - at);
	e32(e, t->block);
	e8(e, (t->live[0] & SC_ARITH) != 0);
}

bool tr_stack_ptr(struct tr *t, unsigned which, s32 disp)
{
	if (!(t->stack[t->i] & which))
		return false;
	e_gs_load(&t->e, H_R8, stack_off(t) + offsetof(struct sc_stack, addend));
	e_lea(&t->e, true, H_R8, H_R8, H_R11, 0, disp);
	return true;
}
