// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/interp/segm.c - Segment checks and the stack (SDM 3A chapter 5) */
#include "accel/soft/interp/interp.h"

#define TYPE_CODE BIT(3)
#define TYPE_EXPAND_DOWN BIT(2) /* data */
#define TYPE_WRITABLE BIT(1)	/* data */
#define TYPE_READABLE BIT(1)	/* code */

static void NORETURN seg_fault(struct sc_vcpu *v, enum x86_seg seg)
{
	sc_throw_error(v, seg == X86_SS ? X86_VEC_SS : X86_VEC_GP, 0);
}

gva_t sc_lin_any(struct sc_vcpu *v, enum x86_seg seg, u64 off, unsigned size, bool write)
{
	const struct x86_segment *s = &v->seg[seg];
	u64 last;

	if (sc_code64(v)) {
		u64 a = off;

		if (seg == X86_FS || seg == X86_GS)
			a += s->base;
		if (unlikely(!sc_canonical(a) || !sc_canonical(a + size - 1)))
			seg_fault(v, seg);
		if (unlikely(v->watch))
			sc_watch(v, a, size, write, false);
		return a;
	}
	if (sc_protected(v) && !sc_vm86(v)) {
		/* a null selector has no rights whatever its cached type says */
		if (s->attr & X86_SEG_UNUSABLE)
			sc_gp0(v);
		if (s->attr & TYPE_CODE ? write || !(s->attr & TYPE_READABLE)
					: write && !(s->attr & TYPE_WRITABLE))
			seg_fault(v, seg);
	}
	last = off + size - 1;
	if ((s->attr & (TYPE_CODE | TYPE_EXPAND_DOWN)) == TYPE_EXPAND_DOWN) {
		if (off <= s->limit || last > (s->attr & X86_SEG_DB ? 0xffffffffull : 0xffffull))
			seg_fault(v, seg);
	} else if (unlikely(last > s->limit)) {
		seg_fault(v, seg);
	}
	if (unlikely(v->watch))
		sc_watch(v, (u32)(s->base + off), size, write, false);
	return (u32)(s->base + off);
}

gva_t sc_lin(struct sc_vcpu *v, enum x86_seg seg, u64 off, unsigned size, bool write)
{
	gva_t a = sc_lin_any(v, seg, off, size, write);

	if (unlikely(a & (size - 1)) && v->cr0 & X86_CR0_AM && v->rflags & X86_FLAG_AC &&
	    v->cpl == 3 && (size == 2 || size == 4 || size == 8))
		sc_throw_error(v, X86_VEC_AC, 0);
	return a;
}

void sc_push(struct sc_vcpu *v, u64 val, unsigned size)
{
	u64 sp = sc_stack_add(v, -(s64)size);
	u64 off = sp & sc_addr_mask(sc_stack_size(v));

	sc_write(v, sc_lin(v, X86_SS, off, size, true), val, size);
	v->gpr[X86_RSP] = sp;
}

u64 sc_stack_peek(struct sc_vcpu *v, unsigned off, unsigned size)
{
	u64 a = (v->gpr[X86_RSP] + off) & sc_addr_mask(sc_stack_size(v));

	return sc_read(v, sc_lin(v, X86_SS, a, size, false), size);
}

u64 sc_pop(struct sc_vcpu *v, unsigned size)
{
	u64 val = sc_stack_peek(v, 0, size);

	v->gpr[X86_RSP] = sc_stack_add(v, size);
	return val;
}
