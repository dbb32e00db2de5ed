// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/sys/task.c - Hardware task switch, 16 and 32 bit
 *
 * SDM 3A chapter 8. Up to the moment when the new TSS is in TR a fault belongs to the
 * old task and nothing but memory of its own TSS has changed; from then on faults
 * are the new task's, with its registers (8.3, steps 11 to 13). [vcpu] */
#include "accel/soft/sys/sys_int.h"

/* Offsets in the two layouts (figures 8-2 and 8-10) */
struct layout {
	u8 size;	  /* of a register */
	u8 cr3, ip, flags, gpr, seg, ldt, trap;
	u8 num_seg;
	u16 min_limit;
	u8 end_of_saved;  /* last byte that the old task's state covers */
};
static const struct layout tss32 = { 4, 0x1c, 0x20, 0x24, 0x28, 0x48, 0x60, 0x64, 6, 0x67, 0x5f };
static const struct layout tss16 = { 2, 0, 0x0e, 0x10, 0x12, 0x22, 0x2a, 0, 4, 0x2b, 0x29 };

struct task {
	u64 cr3;
	u32 ip, flags, gpr[8];
	u16 seg[6], ldt;
	bool trap;
};

static const struct layout *layout_of(u32 attr)
{
	return attr & 8 ? &tss32 : &tss16;
}

static void task_read(struct sc_vcpu *v, const struct x86_segment *tss, struct task *t)
{
	const struct layout *l = layout_of(tss->attr);
	unsigned i;

	t->cr3 = l->cr3 ? sys_read(v, tss->base + l->cr3, 4) : 0;
	t->ip = (u32)sys_read(v, tss->base + l->ip, l->size);
	t->flags = (u32)sys_read(v, tss->base + l->flags, l->size);
	for (i = 0; i < 8; i++) {
		t->gpr[i] = (u32)sys_read(v, tss->base + l->gpr + i * l->size, l->size);
		if (l->size == 2)
			t->gpr[i] |= 0xffff0000;
	}
	for (i = 0; i < 6; i++)
		t->seg[i] = i < l->num_seg ?
			(u16)sys_read(v, tss->base + l->seg + i * l->size, 2) : 0;
	t->ldt = (u16)sys_read(v, tss->base + l->ldt, 2);
	t->trap = l->trap && (sys_read(v, tss->base + l->trap, 1) & 1);
}

static void task_save(struct sc_vcpu *v, u64 next_rip, u64 flags)
{
	const struct x86_segment *tss = &v->seg[X86_TR];
	const struct layout *l = layout_of(tss->attr);
	unsigned i;

	sys_write(v, tss->base + l->ip, next_rip, l->size);
	sys_write(v, tss->base + l->flags, flags, l->size);
	for (i = 0; i < 8; i++)
		sys_write(v, tss->base + l->gpr + i * l->size, v->gpr[i], l->size);
	for (i = 0; i < l->num_seg; i++)
		sys_write(v, tss->base + l->seg + i * l->size, v->seg[i].sel, 2);
}

/* #PF now if [a, a+len) cannot be written with supervisor rights */
static void need_writable(struct sc_vcpu *v, gva_t a, unsigned len)
{
	u32 error;
	gpa_t gpa;
	gva_t at;

	for (at = a;; at = a + len - 1) {
		error = sc_walk(v, (u32)at, SC_WRITE, false, false, &gpa);
		if (error)
			sc_throw_pf(v, at, error);
		if (at != a || len == 1)
			return;
	}
}

/* The new task's CS, with #TS */
static void load_code(struct sc_vcpu *v, u16 sel, u32 ext)
{
	unsigned rpl = sel & 3, dpl;
	struct x86_segment cs;
	u64 raw;

	if (sel_null(sel) || !desc_fetch(v, sel, &raw))
		sys_throw_sel(v, X86_VEC_TS, sel, ext);
	desc_to_seg(raw, sel, &cs);
	dpl = attr_dpl(cs.attr);
	if (!attr_is_code(cs.attr) || (attr_conforming(cs.attr) ? dpl > rpl : dpl != rpl))
		sys_throw_sel(v, X86_VEC_TS, sel, ext);
	if (!desc_present(raw))
		sys_throw_sel(v, X86_VEC_NP, sel, ext);
	desc_accessed(v, &cs);
	v->seg[X86_CS] = cs;
}

static void load_segments(struct sc_vcpu *v, const struct task *t, u32 ext)
{
	static const u8 data[] = { X86_ES, X86_DS, X86_FS, X86_GS };
	unsigned cpl = t->seg[X86_CS] & 3, i;
	struct x86_segment s;

	if (v->rflags & X86_FLAG_VM) {
		for (i = 0; i < 6; i++)
			seg_load_real(v, i, t->seg[i]);
		sc_mode_update(v);
		return;
	}
	/* The privilege is that of the new CS from here on, whatever faults */
	v->seg[X86_SS].attr = X86_SEG_UNUSABLE | cpl << X86_SEG_DPL_SHIFT;
	sc_mode_update(v);
	load_code(v, t->seg[X86_CS], ext);
	seg_check_stack(v, t->seg[X86_SS], cpl, X86_VEC_TS, ext, &s);
	v->seg[X86_SS] = s;
	for (i = 0; i < 4; i++) {
		if (sel_null(t->seg[data[i]])) {
			seg_set_null(v, data[i], t->seg[data[i]]);
			continue;
		}
		seg_check_data(v, data[i], t->seg[data[i]], cpl, X86_VEC_TS, ext, &s);
		v->seg[data[i]] = s;
	}
	sc_seg_changed(v);
	sc_mode_update(v);
}

void task_switch(struct sc_vcpu *v, u16 sel, u64 raw, enum task_reason why, u64 next_rip, u32 ext)
{
	const struct layout *l, *old_l = layout_of(v->seg[X86_TR].attr);
	u16 old_sel = v->seg[X86_TR].sel;
	bool nested = why == TASK_CALL || why == TASK_INT;
	struct x86_segment tss;
	struct task t;
	u64 flags;
	unsigned i;

	desc_to_seg(raw, sel, &tss);
	l = layout_of(tss.attr);
	if (tss.limit < l->min_limit)
		sys_throw_sel(v, X86_VEC_TS, sel, ext);
	if ((v->seg[X86_TR].attr & X86_SEG_UNUSABLE) || v->seg[X86_TR].limit < old_l->end_of_saved)
		sys_throw_sel(v, X86_VEC_TS, old_sel, ext);
	task_read(v, &tss, &t);
	need_writable(v, v->seg[X86_TR].base, old_l->end_of_saved + 1);
	if (nested)
		need_writable(v, tss.base, 2);

	flags = v->rflags;
	if (why == TASK_IRET)
		flags &= ~(u64)X86_FLAG_NT;
	task_save(v, next_rip, flags);
	if (!nested)
		desc_mark(v, old_sel, 0, 2);
	if (nested) {
		sys_write(v, tss.base, old_sel, 2);
		t.flags |= X86_FLAG_NT;
	}
	if (why != TASK_IRET)
		desc_mark(v, sel, 2, 0);
	tss.attr |= 2;

	/* The new task is in charge */
	v->seg[X86_TR] = tss;
	v->cr0 |= X86_CR0_TS;
	v->dr[7] &= ~0x155ull;
	if (l->cr3 && (v->cr0 & X86_CR0_PG)) {
		v->cr3 = t.cr3;
		sc_flush_tlb(v, false);
	}
	v->rip = t.ip;
	for (i = 0; i < 8; i++)
		v->gpr[i] = t.gpr[i];
	v->rflags = (t.flags & 0x3f7fd5) | 2;
	if (l->size == 2)
		v->rflags &= 0xffff;
	for (i = 0; i < 6; i++) {
		v->seg[i].sel = t.seg[i];
		if (i != X86_CS)
			v->seg[i].attr |= X86_SEG_UNUSABLE;
	}
	seg_load_ldtr(v, t.ldt, X86_VEC_TS, ext);
	load_segments(v, &t, ext);
	if (v->rip > v->seg[X86_CS].limit)
		sc_throw_error(v, X86_VEC_GP, ext);
	sc_if_changed(v);
	if (t.trap) {
		v->exc.dr6 = DR6_BT;
		sc_throw(v, X86_VEC_DB);
	}
}

void task_gate(struct sc_vcpu *v, u64 gate, enum task_reason why, u64 next_rip, u32 ext)
{
	u16 sel = gate >> 16 & 0xffff;
	unsigned type;
	u64 raw;

	if ((sel & 4) || sel_null(sel) || !desc_fetch(v, sel, &raw))
		sys_throw_sel(v, X86_VEC_GP, sel, ext);
	type = raw >> 40 & 0x1f;
	if (type != SYS_TSS16 && type != SYS_TSS32)
		sys_throw_sel(v, X86_VEC_GP, sel, ext);
	if (!desc_present(raw))
		sys_throw_sel(v, X86_VEC_NP, sel, ext);
	task_switch(v, sel, raw, why, next_rip, ext);
}

void task_return(struct sc_vcpu *v)
{
	u16 sel;
	unsigned type;
	u64 raw;

	sel = (u16)sys_read(v, v->seg[X86_TR].base, 2);
	if ((sel & 4) || sel_null(sel) || !desc_fetch(v, sel, &raw))
		sys_throw_sel(v, X86_VEC_TS, sel, 0);
	type = raw >> 40 & 0x1f;
	if (type != SYS_TSS16_BUSY && type != SYS_TSS32_BUSY)
		sys_throw_sel(v, X86_VEC_TS, sel, 0);
	if (!desc_present(raw))
		sys_throw_sel(v, X86_VEC_NP, sel, 0);
	/* IRET is two bytes at most with a prefix; its length does not matter, as the old task
	 * goes on at the next instruction when it is entered again */
	task_switch(v, sel, raw, TASK_IRET, v->rip + 1, 0);
}

void task_push_error(struct sc_vcpu *v, u32 error)
{
	unsigned size = v->seg[X86_TR].attr & 8 ? 4 : 2;
	struct sys_stack st;

	stack_current(v, &st);
	st.error = 1;
	stack_push(v, &st, error, size);
	v->gpr[X86_RSP] = stack_rsp(v, &st);
}
