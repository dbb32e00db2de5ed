// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/interp/branch.c - Control transfer; the far kinds go on to sys/ */
#include "accel/soft/interp/interp.h"

/* Cut a near target to the operand size and check it: #GP(0) before any effect */
static u64 target(struct sc_vcpu *v, u64 t, unsigned opsize)
{
	if (sc_code64(v)) {
		if (!sc_canonical(t))
			sc_gp0(v);
		return t;
	}
	t &= sc_size_mask(opsize);
	if (t > v->seg[X86_CS].limit)
		sc_gp0(v);
	return t;
}

/* Where a near jump or call goes */
static u64 near_any(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	return in->op[0].kind == SC_OP_REL ? next + (u64)in->imm : sc_op_read(v, in, 0);
}

/* The same, or #GP when that cannot be */
static u64 near_target(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	return target(v, near_any(v, in, next), in->opsize);
}

u64 sc_h_jcc(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	return sc_cond(v->rflags, in->sub) ? near_target(v, in, next) : next;
}

u64 sc_h_jcxz(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	if (v->gpr[X86_RCX] & sc_addr_mask(in->addrsize))
		return next;
	return near_target(v, in, next);
}

u64 sc_h_loop(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	u64 count = (v->gpr[X86_RCX] - 1) & sc_addr_mask(in->addrsize);
	bool zf = v->rflags & X86_FLAG_ZF;

	if (count && (in->sub == 2 || zf == in->sub))
		next = near_target(v, in, next);
	sc_set_gpr(v, X86_RCX, count, in->addrsize);
	return next;
}

u64 sc_h_jmp(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	return near_target(v, in, next);
}

u64 sc_h_call(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	u64 t = near_any(v, in, next);
	u64 sp = sc_stack_add(v, -(s64)in->opsize) & sc_addr_mask(sc_stack_size(v));

	/* A stack that cannot be written is found before a target that cannot be */
	sc_check_write(v, sc_lin(v, X86_SS, sp, in->opsize, true), in->opsize);
	t = target(v, t, in->opsize);
	sc_push(v, next, in->opsize);
	return t;
}

u64 sc_h_ret(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	u64 t = target(v, sc_stack_peek(v, 0, in->opsize), in->opsize);

	v->gpr[X86_RSP] = sc_stack_add(v, in->opsize + (in->nops ? (u16)in->imm : 0));
	return t;
}

/* Offset and selector of a far jump or call */
static u64 far_target(struct sc_vcpu *v, const struct sc_insn *in, unsigned size, u16 *sel)
{
	u64 off, t;

	if (in->op[0].kind == SC_OP_PTR) {
		*sel = (u16)in->imm2;
		return (u64)in->imm & sc_size_mask(in->opsize);
	}
	off = sc_ea(v, in);
	t = sc_read(v, sc_lin(v, in->seg, off, size, false), size);
	off = (off + size) & sc_addr_mask(in->addrsize);
	*sel = (u16)sc_read(v, sc_lin_any(v, in->seg, off, 2, false), 2);
	return t;
}

u64 sc_h_jmpf(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	unsigned size = sc_far_size(v, in->opsize);
	u16 sel;
	u64 t = far_target(v, in, size, &sel);

	sc_far_jmp(v, sel, t, size, next);
	return v->rip;
}

u64 sc_h_callf(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	unsigned size = sc_far_size(v, in->opsize);
	u16 sel;
	u64 t = far_target(v, in, size, &sel);

	sc_far_call(v, sel, t, size, next);
	return v->rip;
}

u64 sc_h_retf(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	sc_far_ret(v, in->opsize, in->nops ? (u16)in->imm : 0);
	return v->rip;
}

u64 sc_h_iret(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	sc_iret(v, in->opsize);
	return v->rip;
}

u64 sc_h_int(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	static const u8 vector[] = {
		[SC_INT3] = X86_VEC_BP, [SC_INTO] = X86_VEC_OF, [SC_INT1] = X86_VEC_DB
	};

	if (in->sub == SC_INTO && !(v->rflags & X86_FLAG_OF))
		return next;
	sc_software_int(v, in->sub == SC_INT_N ? (u8)in->imm : vector[in->sub], in->sub, next);
	return v->rip;
}

u64 sc_h_syscall(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	switch (in->sub) {
	case 0: sc_syscall(v, next); break;
	case 1: sc_sysret(v, in->opsize); break;
	case 2: sc_sysenter(v, next); break;
	default: sc_sysexit(v, in->opsize); break;
	}
	return v->rip;
}
