// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/sys/gate.c - From an event to its handler: IVT, IDT gates, TSS stacks
 *
 * SDM 3A 6.12 (protected mode), 6.14 (64-bit mode), 20.1.4 (real mode), 20.3
 * (virtual-8086). All checks and pushes come before the first register changes, so
 * a fault here leaves the interrupted state as it was. [vcpu] */
#include "accel/soft/sys/sys_int.h"

/* Image of RFLAGS that an event pushes */
static u64 pushed_flags(const struct sc_vcpu *v, const struct sys_event *ev)
{
	return v->rflags | ev->flags | 2;
}

static void deliver_real(struct sc_vcpu *v, const struct sys_event *ev)
{
	struct sys_stack st;
	u32 entry;

	if (ev->vector * 4u + 3 > v->idt.limit)
		sc_throw_error(v, X86_VEC_GP, ev->vector * 8u + 2 + ev->ext);
	entry = (u32)sys_read(v, v->idt.base + ev->vector * 4u, 4);
	stack_current(v, &st);
	stack_push(v, &st, pushed_flags(v, ev), 2);
	stack_push(v, &st, v->seg[X86_CS].sel, 2);
	stack_push(v, &st, ev->rip, 2);
	v->gpr[X86_RSP] = stack_rsp(v, &st);
	flags_set(v, 0, X86_FLAG_IF | X86_FLAG_TF | X86_FLAG_AC | X86_FLAG_RF);
	seg_load_real(v, X86_CS, entry >> 16);
	v->rip = entry & 0xffff;
	sc_mode_update(v);
}

void tss_stack(struct sc_vcpu *v, unsigned dpl, u32 ext, struct sys_stack *st)
{
	const struct x86_segment *tr = &v->seg[X86_TR];
	bool is32 = tr->attr & 8;
	u32 off = is32 ? 4 + 8 * dpl : 2 + 4 * dpl, size = is32 ? 4 : 2;
	struct x86_segment ss;
	u16 sel;
	u32 sp;

	if (off + size + 1 > tr->limit)
		sys_throw_sel(v, X86_VEC_TS, tr->sel, ext);
	sp = (u32)sys_read(v, tr->base + off, size);
	sel = (u16)sys_read(v, tr->base + off + size, 2);
	seg_check_stack(v, sel, dpl, X86_VEC_TS, ext, &ss);
	stack_new(st, &ss, sp, dpl, (sel & 0xfffc) | ext);
}

u64 tss_rsp(struct sc_vcpu *v, unsigned dpl, unsigned ist, u32 ext)
{
	const struct x86_segment *tr = &v->seg[X86_TR];
	u32 off = ist ? 28 + 8 * ist : 4 + 8 * dpl;
	u64 sp;

	if (off + 7 > tr->limit)
		sys_throw_sel(v, X86_VEC_TS, tr->sel, ext);
	sp = sys_read(v, tr->base + off, 8);
	if (!sc_canonical(sp))
		sc_throw_error(v, X86_VEC_SS, ext);
	return sp;
}

/* Gate of the vector: limit, type, DPL and presence */
static u64 gate_fetch(struct sc_vcpu *v, const struct sys_event *ev, unsigned size, u64 *high)
{
	u32 error = ev->vector * 8u + 2 + ev->ext;
	gva_t at = v->idt.base + ev->vector * size;
	unsigned type;
	u64 gate;

	if (ev->vector * size + size - 1 > v->idt.limit)
		sc_throw_error(v, X86_VEC_GP, error);
	gate = sys_read(v, at, 8);
	type = gate >> 40 & 0x1f; /* with S */
	if (size == 16) {
		*high = sys_read(v, at + 8, 8);
		if (type != SYS_INT32 && type != SYS_TRAP32)
			sc_throw_error(v, X86_VEC_GP, error);
	} else if (type != SYS_TASK_GATE && (type & ~9u) != SYS_INT16) {
		sc_throw_error(v, X86_VEC_GP, error);
	}
	if (ev->soft && desc_dpl(gate) < v->cpl)
		sc_throw_error(v, X86_VEC_GP, error);
	if (!desc_present(gate))
		sc_throw_error(v, X86_VEC_NP, error);
	return gate;
}

/* The handler's code segment; returns the privilege that the handler runs at */
static unsigned gate_code(struct sc_vcpu *v, u16 sel, u32 ext, struct x86_segment *cs)
{
	u64 raw;

	if (sel_null(sel))
		sc_throw_error(v, X86_VEC_GP, ext);
	if (!desc_fetch(v, sel, &raw))
		sys_throw_sel(v, X86_VEC_GP, sel, ext);
	desc_to_seg(raw, sel, cs);
	if (!attr_is_code(cs->attr) || attr_dpl(cs->attr) > v->cpl)
		sys_throw_sel(v, X86_VEC_GP, sel, ext);
	if (sc_long_mode(v) && (cs->attr & (X86_SEG_L | X86_SEG_DB)) != X86_SEG_L)
		sys_throw_sel(v, X86_VEC_GP, sel, ext);
	if (!desc_present(raw))
		sys_throw_sel(v, X86_VEC_NP, sel, ext);
	if (!(attr_conforming(cs->attr)) && attr_dpl(cs->attr) < v->cpl)
		return attr_dpl(cs->attr);
	return v->cpl;
}

static void enter_handler(struct sc_vcpu *v, struct x86_segment *cs, unsigned cpl, u64 rip,
			  bool keep_if)
{
	u64 clear = X86_FLAG_TF | X86_FLAG_NT | X86_FLAG_RF | X86_FLAG_VM |
		    (keep_if ? 0 : X86_FLAG_IF);

	v->rflags &= ~clear;
	cs->sel = (cs->sel & ~3u) | cpl;
	code_commit(v, cs, cpl, rip);
}

static void deliver_long(struct sc_vcpu *v, const struct sys_event *ev)
{
	struct x86_segment cs, null_ss = { .attr = X86_SEG_UNUSABLE };
	struct sys_stack st;
	unsigned cpl, ist;
	u64 gate, high, rip;
	u16 old_ss = v->seg[X86_SS].sel;
	bool new_ss;

	gate = gate_fetch(v, ev, 16, &high);
	cpl = gate_code(v, gate >> 16, ev->ext, &cs);
	rip = (gate & 0xffff) | (gate >> 32 & 0xffff0000) | high << 32;
	if (!sc_canonical(rip))
		sc_throw_error(v, X86_VEC_GP, ev->ext);
	ist = gate >> 32 & 7;
	new_ss = cpl != v->cpl;
	null_ss.sel = cpl;
	null_ss.attr |= cpl << X86_SEG_DPL_SHIFT;
	stack_new(&st, new_ss ? &null_ss : &v->seg[X86_SS], v->gpr[X86_RSP], cpl, ev->ext);
	st.is64 = true;
	st.mask = ~0ull;
	if (ist || new_ss)
		st.sp = tss_rsp(v, cpl, ist, ev->ext);
	st.sp &= ~15ull;
	stack_push(v, &st, old_ss, 8);
	stack_push(v, &st, v->gpr[X86_RSP], 8);
	stack_push(v, &st, pushed_flags(v, ev), 8);
	stack_push(v, &st, v->seg[X86_CS].sel, 8);
	stack_push(v, &st, ev->rip, 8);
	if (ev->has_error)
		stack_push(v, &st, ev->error, 8);
	desc_accessed(v, &cs);
	if (new_ss)
		v->seg[X86_SS] = null_ss;
	v->gpr[X86_RSP] = st.sp;
	enter_handler(v, &cs, cpl, rip, desc_type(gate) == SYS_TRAP32);
}

static void deliver_prot(struct sc_vcpu *v, const struct sys_event *ev)
{
	static const u8 vm86_data[] = { X86_GS, X86_FS, X86_DS, X86_ES };
	struct x86_segment cs;
	struct sys_stack st;
	bool vm86 = sc_vm86(v), inner;
	unsigned cpl, size, i;
	u64 gate;
	u32 rip;

	gate = gate_fetch(v, ev, 8, NULL);
	if (desc_type(gate) == SYS_TASK_GATE) {
		task_gate(v, gate, TASK_INT, ev->rip, ev->ext);
		if (ev->has_error)
			task_push_error(v, ev->error);
		return;
	}
	size = desc_type(gate) & 8 ? 4 : 2;
	cpl = gate_code(v, gate >> 16, ev->ext, &cs);
	/* Out of virtual-8086 mode only to ring 0 */
	if (vm86 && cpl != 0)
		sys_throw_sel(v, X86_VEC_GP, gate >> 16, ev->ext);
	inner = cpl != v->cpl;
	if (inner) {
		tss_stack(v, cpl, ev->ext, &st);
	} else {
		stack_current(v, &st);
		st.error = ev->ext;
	}
	rip = gate & 0xffff;
	if (size == 4)
		rip |= gate >> 32 & 0xffff0000;
	code_check_offset(v, &cs, rip, ev->ext);
	if (vm86)
		for (i = 0; i < 4; i++)
			stack_push(v, &st, v->seg[vm86_data[i]].sel, size);
	if (inner) {
		stack_push(v, &st, v->seg[X86_SS].sel, size);
		stack_push(v, &st, v->gpr[X86_RSP], size);
	}
	stack_push(v, &st, pushed_flags(v, ev), size);
	stack_push(v, &st, v->seg[X86_CS].sel, size);
	stack_push(v, &st, ev->rip, size);
	if (ev->has_error)
		stack_push(v, &st, ev->error, size);
	desc_accessed(v, &cs);
	if (vm86)
		for (i = 0; i < 4; i++)
			seg_set_null(v, vm86_data[i], 0);
	if (inner)
		v->seg[X86_SS] = st.ss;
	v->gpr[X86_RSP] = stack_rsp(v, &st);
	enter_handler(v, &cs, cpl, rip, desc_type(gate) & 1);
}

void gate_deliver(struct sc_vcpu *v, const struct sys_event *ev)
{
	if (!sc_protected(v))
		deliver_real(v, ev);
	else if (sc_long_mode(v))
		deliver_long(v, ev);
	else
		deliver_prot(v, ev);
}
