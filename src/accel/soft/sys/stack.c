// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/sys/stack.c - Pushes and pops of far transfers, before registers change
 *
 * A far transfer may write to a stack that is not SS:RSP yet (the inner ring's), or
 * read ahead of a decision. RSP changes only when the caller commits. [vcpu] */
#include "accel/soft/sys/sys_int.h"

void stack_current(struct sc_vcpu *v, struct sys_stack *st)
{
	st->ss = v->seg[X86_SS];
	st->sp = v->gpr[X86_RSP];
	st->is64 = sc_code64(v);
	st->mask = st->is64 ? ~0ull : st->ss.attr & X86_SEG_DB ? 0xffffffff : 0xffff;
	st->user = v->cpl == 3;
	st->error = 0;
}

void stack_new(struct sys_stack *st, const struct x86_segment *ss, u64 sp, unsigned cpl, u32 error)
{
	st->ss = *ss;
	st->sp = sp;
	st->is64 = false;
	st->mask = ss->attr & X86_SEG_DB ? 0xffffffff : 0xffff;
	st->user = cpl == 3;
	st->error = error;
}

static gva_t address(struct sc_vcpu *v, const struct sys_stack *st, u64 sp, unsigned size, bool write)
{
	gva_t a = sp;

	if (st->is64) {
		if (!sc_canonical(sp) || !sc_canonical(sp + size - 1))
			sc_throw_error(v, X86_VEC_SS, st->error);
	} else {
		if (!seg_in_limit(&st->ss, sp, size))
			sc_throw_error(v, X86_VEC_SS, st->error);
		a = (u32)(st->ss.base + sp);
	}
	if (unlikely(v->watch))
		sc_watch(v, a, size, write, false);
	return a;
}

void stack_push(struct sc_vcpu *v, struct sys_stack *st, u64 val, unsigned size)
{
	u64 sp = (st->sp - size) & st->mask;
	gva_t at = address(v, st, sp, size, true);

	/* The rights of the ring that owns the stack, not those of the code that is left */
	if (st->user == (v->cpl == 3))
		sc_write(v, at, val, size);
	else
		sc_sys_write(v, at, val, size);
	st->sp = (st->sp & ~st->mask) | sp;
}

u64 stack_peek(struct sc_vcpu *v, const struct sys_stack *st, u64 off, unsigned size)
{
	return sc_read(v, address(v, st, (st->sp + off) & st->mask, size, false), size);
}

u64 stack_pop(struct sc_vcpu *v, struct sys_stack *st, unsigned size)
{
	u64 val = stack_peek(v, st, 0, size);

	st->sp = (st->sp & ~st->mask) | ((st->sp + size) & st->mask);
	return val;
}

u64 stack_rsp(const struct sc_vcpu *v, const struct sys_stack *st)
{
	if (st->mask == 0xffff)
		return (v->gpr[X86_RSP] & ~0xffffull) | (st->sp & 0xffff);
	return st->sp & st->mask;
}
