// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/sys/transfer.c - Far jumps, calls and returns, call gates
 *
 * SDM 2A JMP, CALL, RET; 3A 5.8. IRET has its own file. [vcpu] */
#include "accel/soft/sys/sys_int.h"

static u64 cut(u64 x, unsigned size)
{
	return size == 8 ? x : size == 4 ? (u32)x : (u16)x;
}

void code_check_offset(struct sc_vcpu *v, const struct x86_segment *cs, u64 off, u32 ext)
{
	if (sc_long_mode(v) && (cs->attr & X86_SEG_L)) {
		if (!sc_canonical(off))
			sc_throw_error(v, X86_VEC_GP, ext);
	} else if (off > cs->limit) {
		sc_throw_error(v, X86_VEC_GP, ext);
	}
}

void code_commit(struct sc_vcpu *v, const struct x86_segment *cs, unsigned cpl, u64 rip)
{
	v->seg[X86_CS] = *cs;
	v->cpl = cpl;
	v->rip = rip;
	sc_mode_update(v);
}

/* L and D together are reserved in long mode */
static void check_ld(struct sc_vcpu *v, const struct x86_segment *cs)
{
	if (sc_long_mode(v) && (cs->attr & X86_SEG_L) && (cs->attr & X86_SEG_DB))
		sys_throw_sel(v, X86_VEC_GP, cs->sel, 0);
}

/* Real and virtual-8086 mode: JMP and CALL */
static void far_real(struct sc_vcpu *v, u16 sel, u64 off, unsigned opsize, bool call, u64 next_rip)
{
	struct sys_stack st;

	off = cut(off, opsize);
	if (off > v->seg[X86_CS].limit)
		sc_gp0(v);
	if (call) {
		stack_current(v, &st);
		stack_push(v, &st, v->seg[X86_CS].sel, opsize);
		stack_push(v, &st, next_rip, opsize);
		v->gpr[X86_RSP] = stack_rsp(v, &st);
	}
	seg_load_real(v, X86_CS, sel);
	v->rip = off;
	sc_mode_update(v);
}

/* To a code segment, same privilege */
static void far_code(struct sc_vcpu *v, struct x86_segment *cs, u64 off, unsigned opsize, bool call,
		     u64 next_rip)
{
	unsigned dpl = attr_dpl(cs->attr);
	struct sys_stack st;

	check_ld(v, cs);
	if (attr_conforming(cs->attr) ? dpl > v->cpl : dpl != v->cpl || (cs->sel & 3) > v->cpl)
		sys_throw_sel(v, X86_VEC_GP, cs->sel, 0);
	if (!(cs->attr & X86_SEG_P))
		sys_throw_sel(v, X86_VEC_NP, cs->sel, 0);
	off = cut(off, opsize);
	stack_current(v, &st);
	if (call) {
		stack_push(v, &st, v->seg[X86_CS].sel, opsize);
		stack_push(v, &st, next_rip, opsize);
	}
	code_check_offset(v, cs, off, 0);
	desc_accessed(v, cs);
	cs->sel = (cs->sel & ~3u) | v->cpl;
	v->gpr[X86_RSP] = call ? stack_rsp(v, &st) : v->gpr[X86_RSP];
	code_commit(v, cs, v->cpl, off);
}

/* CALL through a gate to more privilege */
static void gate_inner(struct sc_vcpu *v, u64 gate, struct x86_segment *cs, u64 off, unsigned size,
		       u64 next_rip)
{
	unsigned cpl = attr_dpl(cs->attr), params = size == 8 ? 0 : gate >> 32 & 31, i;
	struct x86_segment null_ss = { .sel = cpl };
	struct sys_stack st, old;

	stack_current(v, &old);
	if (size == 8) {
		null_ss.attr = X86_SEG_UNUSABLE | cpl << X86_SEG_DPL_SHIFT;
		stack_new(&st, &null_ss, tss_rsp(v, cpl, 0, 0), cpl, 0);
		st.is64 = true;
		st.mask = ~0ull;
	} else {
		tss_stack(v, cpl, 0, &st);
	}
	stack_push(v, &st, v->seg[X86_SS].sel, size);
	stack_push(v, &st, v->gpr[X86_RSP], size);
	for (i = params; i-- > 0;)
		stack_push(v, &st, stack_peek(v, &old, i * size, size), size);
	stack_push(v, &st, v->seg[X86_CS].sel, size);
	stack_push(v, &st, next_rip, size);
	code_check_offset(v, cs, off, 0);
	desc_accessed(v, cs);
	cs->sel = (cs->sel & ~3u) | cpl;
	v->seg[X86_SS] = st.ss;
	v->gpr[X86_RSP] = stack_rsp(v, &st);
	code_commit(v, cs, cpl, off);
}

static void far_gate(struct sc_vcpu *v, u16 sel, u64 gate, bool call, u64 next_rip)
{
	unsigned type = desc_type(gate), size = type & 8 ? 4 : 2, dpl;
	u16 cs_sel = gate >> 16 & 0xffff;
	struct x86_segment cs;
	struct sys_stack st;
	u64 off = gate & 0xffff, raw, high;

	if (desc_dpl(gate) < v->cpl || (sel & 3) > desc_dpl(gate))
		sys_throw_sel(v, X86_VEC_GP, sel, 0);
	if (sc_long_mode(v)) {
		if (!desc_fetch_high(v, sel, &high))
			sys_throw_sel(v, X86_VEC_GP, sel, 0);
		size = 8;
		off |= high << 32;
	}
	if (!desc_present(gate))
		sys_throw_sel(v, X86_VEC_NP, sel, 0);
	if (size > 2)
		off |= gate >> 32 & 0xffff0000;
	if (sel_null(cs_sel))
		sc_gp0(v);
	if (!desc_fetch(v, cs_sel, &raw))
		sys_throw_sel(v, X86_VEC_GP, cs_sel, 0);
	desc_to_seg(raw, cs_sel, &cs);
	dpl = attr_dpl(cs.attr);
	if (!attr_is_code(cs.attr) || dpl > v->cpl ||
	    (size == 8 && (cs.attr & (X86_SEG_L | X86_SEG_DB)) != X86_SEG_L) ||
	    (!call && !attr_conforming(cs.attr) && dpl != v->cpl))
		sys_throw_sel(v, X86_VEC_GP, cs_sel, 0);
	if (!desc_present(raw))
		sys_throw_sel(v, X86_VEC_NP, cs_sel, 0);
	if (call && !attr_conforming(cs.attr) && dpl < v->cpl) {
		gate_inner(v, gate, &cs, off, size, next_rip);
		return;
	}
	stack_current(v, &st);
	if (call) {
		if (size == 8) {
			st.is64 = true;
			st.mask = ~0ull;
		}
		stack_push(v, &st, v->seg[X86_CS].sel, size);
		stack_push(v, &st, next_rip, size);
	}
	code_check_offset(v, &cs, off, 0);
	desc_accessed(v, &cs);
	cs.sel = (cs.sel & ~3u) | v->cpl;
	if (call)
		v->gpr[X86_RSP] = stack_rsp(v, &st);
	code_commit(v, &cs, v->cpl, off);
}

static void far_protected(struct sc_vcpu *v, u16 sel, u64 off, unsigned opsize, bool call,
			  u64 next_rip)
{
	struct x86_segment s;
	u64 raw;

	if (sel_null(sel))
		sc_gp0(v);
	if (!desc_fetch(v, sel, &raw))
		sys_throw_sel(v, X86_VEC_GP, sel, 0);
	desc_to_seg(raw, sel, &s);
	if (attr_is_code(s.attr)) {
		far_code(v, &s, off, opsize, call, next_rip);
		return;
	}
	if (s.attr & X86_SEG_S)
		sys_throw_sel(v, X86_VEC_GP, sel, 0);
	switch (s.attr & X86_SEG_TYPE) {
	case SYS_CALL32:
		far_gate(v, sel, raw, call, next_rip);
		return;
	case SYS_CALL16:
		if (sc_long_mode(v))
			break;
		far_gate(v, sel, raw, call, next_rip);
		return;
	case SYS_TASK_GATE:
	case SYS_TSS16:
	case SYS_TSS32:
		if (sc_long_mode(v) || attr_dpl(s.attr) < v->cpl || attr_dpl(s.attr) < (sel & 3))
			break;
		if ((s.attr & X86_SEG_TYPE) != SYS_TASK_GATE && (sel & 4))
			break;
		if (!desc_present(raw))
			sys_throw_sel(v, X86_VEC_NP, sel, 0);
		if ((s.attr & X86_SEG_TYPE) == SYS_TASK_GATE)
			task_gate(v, raw, call ? TASK_CALL : TASK_JMP, next_rip, 0);
		else
			task_switch(v, sel, raw, call ? TASK_CALL : TASK_JMP, next_rip, 0);
		return;
	}
	sys_throw_sel(v, X86_VEC_GP, sel, 0);
}

unsigned sc_far_size(const struct sc_vcpu *v, unsigned opsize)
{
	return opsize == 8 && cpuid_is_amd(v) ? 4 : opsize;
}

void sc_far_jmp(struct sc_vcpu *v, u16 sel, u64 off, unsigned opsize, u64 next_rip)
{
	if (!sc_protected(v) || sc_vm86(v))
		far_real(v, sel, off, opsize, false, next_rip);
	else
		far_protected(v, sel, off, opsize, false, next_rip);
}

void sc_far_call(struct sc_vcpu *v, u16 sel, u64 off, unsigned opsize, u64 next_rip)
{
	if (!sc_protected(v) || sc_vm86(v))
		far_real(v, sel, off, opsize, true, next_rip);
	else
		far_protected(v, sel, off, opsize, true, next_rip);
}

void return_check_code(struct sc_vcpu *v, u16 sel, struct x86_segment *cs)
{
	unsigned rpl = sel & 3, dpl;
	u64 raw;

	if (sel_null(sel))
		sc_gp0(v);
	if (!desc_fetch(v, sel, &raw))
		sys_throw_sel(v, X86_VEC_GP, sel, 0);
	desc_to_seg(raw, sel, cs);
	dpl = attr_dpl(cs->attr);
	if (!attr_is_code(cs->attr) || rpl < v->cpl ||
	    (attr_conforming(cs->attr) ? dpl > rpl : dpl != rpl))
		sys_throw_sel(v, X86_VEC_GP, sel, 0);
	check_ld(v, cs);
	if (!desc_present(raw))
		sys_throw_sel(v, X86_VEC_NP, sel, 0);
}

void return_check_stack(struct sc_vcpu *v, u16 sel, unsigned cpl, bool to64,
			struct x86_segment *ss)
{
	if (sel_null(sel) && to64 && cpl != 3 && (sel & 3) == cpl) {
		*ss = (struct x86_segment){ .sel = sel, .attr = X86_SEG_UNUSABLE |
					    cpl << X86_SEG_DPL_SHIFT };
		return;
	}
	seg_check_stack(v, sel, cpl, X86_VEC_GP, 0, ss);
}

u64 return_rsp(const struct sc_vcpu *v, const struct x86_segment *ss, bool to64, u64 sp)
{
	if (to64)
		return sp;
	if (ss->attr & X86_SEG_DB)
		return (u32)sp;
	return (v->gpr[X86_RSP] & ~0xffffull) | (sp & 0xffff);
}

void sc_far_ret(struct sc_vcpu *v, unsigned opsize, u16 pop_bytes)
{
	struct x86_segment cs, ss;
	struct sys_stack st;
	u16 cs_sel, ss_sel;
	unsigned cpl;
	u64 rip, sp;
	bool to64;

	stack_current(v, &st);
	rip = stack_pop(v, &st, opsize);
	cs_sel = (u16)stack_pop(v, &st, opsize);
	if (!sc_protected(v) || sc_vm86(v)) {
		if (rip > v->seg[X86_CS].limit)
			sc_gp0(v);
		st.sp += pop_bytes;
		v->gpr[X86_RSP] = stack_rsp(v, &st);
		seg_load_real(v, X86_CS, cs_sel);
		v->rip = rip;
		sc_mode_update(v);
		return;
	}
	return_check_code(v, cs_sel, &cs);
	cpl = cs_sel & 3;
	to64 = sc_long_mode(v) && (cs.attr & X86_SEG_L);
	if (cpl == v->cpl) {
		code_check_offset(v, &cs, rip, 0);
		desc_accessed(v, &cs);
		st.sp += pop_bytes;
		v->gpr[X86_RSP] = stack_rsp(v, &st);
		code_commit(v, &cs, cpl, rip);
		return;
	}
	sp = stack_peek(v, &st, pop_bytes, opsize);
	ss_sel = (u16)stack_peek(v, &st, pop_bytes + opsize, opsize);
	return_check_stack(v, ss_sel, cpl, to64, &ss);
	code_check_offset(v, &cs, rip, 0);
	desc_accessed(v, &cs);
	v->seg[X86_SS] = ss;
	v->gpr[X86_RSP] = return_rsp(v, &ss, to64, sp + pop_bytes);
	code_commit(v, &cs, cpl, rip);
	seg_null_for(v, cpl);
}
