// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/interp/stack.c - Push, pop and frames
 *
 * The stack's own width comes from SS, the width of what is pushed from the instruction.
 * RSP changes last, so that a fault finds it as it was. */
#include "accel/soft/interp/interp.h"

u64 sc_h_push(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	/* immediates are sign-extended, selectors zero-extended to the operand size */
	sc_push(v, sc_op_read(v, in, 0), in->opsize);
	return next;
}

u64 sc_h_pop(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	unsigned size = in->opsize;
	u64 val = sc_stack_peek(v, 0, size);
	u64 sp = sc_stack_add(v, size), off;

	switch (in->op[0].kind) {
	case SC_OP_SEG:
		sc_load_seg(v, in->op[0].reg, (u16)val);
		v->gpr[X86_RSP] = sp;
		if (in->op[0].reg == X86_SS)
			v->int_shadow = 2;
		break;
	case SC_OP_GPR:
		v->gpr[X86_RSP] = sp;
		sc_set_gpr(v, in->op[0].reg, val, size);
		break;
	default: /* an address with RSP in it is computed after the increment */
		off = (u64)in->disp;
		if (in->base < 16)
			off += in->base == X86_RSP ? sp : v->gpr[in->base];
		else if (in->base == SC_REG_RIP)
			off += next;
		if (in->index < 16)
			off += v->gpr[in->index] << in->scale;
		off &= sc_addr_mask(in->addrsize);
		sc_write(v, sc_lin(v, in->seg, off, size, true), val, size);
		v->gpr[X86_RSP] = sp;
		break;
	}
	return next;
}

/* Linear address of the stack slot at @sp; the bits that the stack width drops may be set */
static gva_t slot(struct sc_vcpu *v, u64 sp, unsigned size, bool write)
{
	return sc_lin(v, X86_SS, sp & sc_addr_mask(sc_stack_size(v)), size, write);
}

u64 sc_h_pusha(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	unsigned size = in->opsize;
	u64 sp = v->gpr[X86_RSP];

	/* as eight pushes: what came before a fault stays below the stack pointer */
	for (unsigned i = 0; i < 8; i++)
		sc_write(v, slot(v, sp - (i + 1) * size, size, true), v->gpr[i], size);
	v->gpr[X86_RSP] = sc_stack_add(v, -8 * (s64)size);
	return next;
}

u64 sc_h_popa(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	unsigned size = in->opsize;
	u64 val[8], sp = v->gpr[X86_RSP];

	for (unsigned i = 0; i < 8; i++)
		val[7 - i] = sc_read(v, slot(v, sp + i * size, size, false), size);
	for (unsigned i = 0; i < 8; i++)
		if (i != X86_RSP)
			sc_set_gpr(v, i, val[i], size);
	v->gpr[X86_RSP] = sc_stack_add(v, 8 * size);
	return next;
}

u64 sc_h_pushf(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	if (sc_vm86(v) && sc_iopl(v) < 3)
		sc_gp0(v);
	sc_push(v, v->rflags & ~(u64)(X86_FLAG_VM | X86_FLAG_RF), in->opsize);
	return next;
}

u64 sc_h_popf(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	u64 val, sp = sc_stack_add(v, in->opsize);

	val = sc_stack_peek(v, 0, in->opsize);
	sc_popf(v, val, in->opsize);
	v->gpr[X86_RSP] = sp;
	return next;
}

/* SDM 2A, ENTER: push RBP, copy level - 1 frame pointers, push the new one, reserve */
u64 sc_h_enter(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	unsigned size = in->opsize, level = in->imm2 & 31;
	u64 sp = v->gpr[X86_RSP], bp = v->gpr[X86_RBP];
	u64 stack_mask = sc_addr_mask(sc_stack_size(v)), frame, final;
	unsigned n = level ? level - 1 : 0;

	/* One after the other, as pushes: the frames may overlap, and what was pushed before a fault
	 * stays below the stack pointer, where it will be pushed again */
	frame = sp - size;
	sc_write(v, slot(v, frame, size, true), bp, size);
	for (unsigned i = 1; i <= n; i++)
		sc_write(v, slot(v, frame - i * size, size, true),
			 sc_read(v, slot(v, bp - i * size, size, false), size), size);
	if (level)
		sc_write(v, slot(v, frame - level * size, size, true), frame & stack_mask, size);
	final = sp - (n + 1 + (level ? 1 : 0)) * size - (u16)in->imm;
	/* the last word of the frame must take a store, or ENTER faults */
	sc_check_write(v, slot(v, final, 1, true), 1);
	v->gpr[X86_RSP] = sc_stack_add(v, (s64)(final - sp));
	sc_set_gpr(v, X86_RBP, frame, size);
	return next;
}

u64 sc_h_leave(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	unsigned size = in->opsize;
	u64 bp = v->gpr[X86_RBP];
	u64 val = sc_read(v, slot(v, bp, size, false), size);

	v->gpr[X86_RSP] = sc_stack_add(v, (s64)(bp + size - v->gpr[X86_RSP]));
	sc_set_gpr(v, X86_RBP, val, size);
	return next;
}
