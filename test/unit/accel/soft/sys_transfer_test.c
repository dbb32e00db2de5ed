// SPDX-License-Identifier: BSD-2-Clause
/* test/unit/accel/soft/sys_transfer_test.c - Segments, gates, exceptions, far transfers
 *
 * The expected frames and error codes are those of SDM 3A chapters 5, 6 and 8. */
#include "sys_rig.h"

static void do_load_seg(u64 seg, u64 sel, u64 c) { sc_load_seg(cpu0, seg, sel); }
static void do_ltr(u64 sel, u64 b, u64 c) { sc_load_tr(cpu0, sel); }
static void do_lldt(u64 sel, u64 b, u64 c) { sc_load_ldtr(cpu0, sel); }
static void do_int(u64 vec, u64 kind, u64 next) { sc_software_int(cpu0, vec, kind, next); }
static void do_jmp(u64 sel, u64 off, u64 size) { sc_far_jmp(cpu0, sel, off, size, cpu0->rip + 7); }
static void do_call(u64 sel, u64 off, u64 size) { sc_far_call(cpu0, sel, off, size, cpu0->rip + 7); }
static void do_ret(u64 size, u64 pop, u64 c) { sc_far_ret(cpu0, size, pop); }
static void do_iret(u64 size, u64 b, u64 c) { sc_iret(cpu0, size); }
static void do_syscall(u64 next, u64 b, u64 c) { sc_syscall(cpu0, next); }
static void do_sysret(u64 size, u64 b, u64 c) { sc_sysret(cpu0, size); }
static void do_sysenter(u64 next, u64 b, u64 c) { sc_sysenter(cpu0, next); }
static void do_sysexit(u64 size, u64 b, u64 c) { sc_sysexit(cpu0, size); }

/* Deliver @vector as the dispatch loop does after a throw */
static void raise_exc(unsigned vector, bool has_error, u32 error)
{
	cpu0->exc = (struct sc_exception){ .vector = vector, .has_error = has_error,
					   .error = error, .cr2 = 0xabc000, .dr6 = DR6_BS };
	sc_deliver_exception(cpu0);
}

static void push_frame(unsigned size, unsigned n, const u64 *val)
{
	for (unsigned i = 0; i < n; i++)
		wr(cpu0->gpr[X86_RSP] + i * size, val[i], size);
}

static void vendor(bool amd)
{
	cpu0->cpuid[0].ecx = amd ? 0x444d4163 : 0x6c65746e;
}

/* ------------------------------------------------------------------ segments */

static void data_segment_needs_privilege_and_presence(void **s)
{
	rig_protected(3);
	must_throw(X86_VEC_GP, S_DATA0, do_load_seg, X86_DS, S_DATA0, 0);
	must_throw(X86_VEC_GP, S_DATA0, do_load_seg, X86_DS, S_DATA0 | 3, 0);
	must_do(do_load_seg, X86_DS, S_DATA3, 0);
	must_do(do_load_seg, X86_ES, S_CONFORMING, 0);
	rig_protected(0);
	must_throw(X86_VEC_GP, S_DATA0, do_load_seg, X86_DS, S_DATA0 | 3, 0); /* RPL counts too */
	must_throw(X86_VEC_NP, S_ABSENT, do_load_seg, X86_DS, S_ABSENT, 0);
	must_throw(X86_VEC_GP, GDT_BYTES, do_load_seg, X86_DS, GDT_BYTES, 0);
	must_throw(X86_VEC_GP, S_TSS, do_load_seg, X86_DS, S_TSS, 0);
	must_throw(X86_VEC_GP, 0x0c, do_load_seg, X86_DS, 0x0c, 0); /* no LDT */
}

static void stack_segment_has_stricter_rules(void **s)
{
	rig_protected(0);
	must_throw(X86_VEC_GP, 0, do_load_seg, X86_SS, 0, 0);
	must_throw(X86_VEC_GP, S_RO, do_load_seg, X86_SS, S_RO, 0);
	must_throw(X86_VEC_GP, S_DATA3 & ~3, do_load_seg, X86_SS, S_DATA3, 0);
	must_throw(X86_VEC_SS, S_ABSENT, do_load_seg, X86_SS, S_ABSENT, 0);
	must_do(do_load_seg, X86_SS, S_DATA0, 0);
	rig_long(0);
	must_do(do_load_seg, X86_SS, 0, 0);
	assert_int_equal(cpu0->cpl, 0);
	rig_long(3);
	must_throw(X86_VEC_GP, 0, do_load_seg, X86_SS, 3, 0);
}

static void loading_sets_the_accessed_bit_in_memory(void **s)
{
	rig_protected(0);
	gdt_set(S_RO, desc(0x1000, 0xfff, 0x90, 0x4));
	must_do(do_load_seg, X86_DS, S_RO, 0);
	assert_int_equal(gdt_get(S_RO) >> 40 & 0xff, 0x91);
	assert_int_equal(cpu0->seg[X86_DS].attr & 0xff, 0x91);
	assert_int_equal(cpu0->seg[X86_DS].base, 0x1000);
	assert_int_equal(cpu0->seg[X86_DS].limit, 0xfff);
}

static void null_fs_loses_its_base(void **s)
{
	rig_long(0);
	cpu0->seg[X86_FS].base = 0x1234567890;
	sc_seg_changed(cpu0);
	assert_int_equal(cpu0->fs_base, 0x1234567890);
	must_do(do_load_seg, X86_FS, 0, 0);
	assert_int_equal(cpu0->fs_base, 0);
}

static void real_mode_load_keeps_a_big_limit(void **s)
{
	rig_real();
	cpu0->seg[X86_DS].limit = 0xffffffff;
	must_do(do_load_seg, X86_DS, 0x1234, 0);
	assert_int_equal(cpu0->seg[X86_DS].base, 0x12340);
	assert_int_equal(cpu0->seg[X86_DS].limit, 0xffffffff);
}

static void task_register_becomes_busy_and_refuses_busy(void **s)
{
	rig_protected(0);
	assert_int_equal(gdt_get(S_TSS) >> 40 & 0xff, 0x8b);
	must_throw(X86_VEC_GP, S_TSS, do_ltr, S_TSS, 0, 0);
	must_throw(X86_VEC_GP, 0, do_ltr, 0, 0, 0);
	must_throw(X86_VEC_GP, S_DATA0, do_ltr, S_DATA0, 0, 0);
	rig_long(0);
	gdt_set(S_TSS, desc(TSS_AT, 0x3ff, 0x89, 0));
	gdt_set(S_TSS + 8, 0x12345678); /* not canonical */
	must_throw(X86_VEC_GP, S_TSS, do_ltr, S_TSS, 0, 0);
	gdt_set(S_TSS + 8, 0xffff8000);
	must_do(do_ltr, S_TSS, 0, 0);
	assert_true(cpu0->seg[X86_TR].base == 0xffff800000000000ull + TSS_AT);
	cpu0->cpl = 3;
	must_throw(X86_VEC_GP, 0, do_ltr, S_TSS, 0, 0);
	rig_real();
	must_throw(X86_VEC_UD, -1, do_ltr, S_TSS, 0, 0);
}

static void segment_from_ldt_is_found(void **s)
{
	rig_protected(0);
	must_do(do_lldt, S_LDT, 0, 0);
	wr(LDT_AT + 8, desc(0x7000, 0xff, 0x93, 0x4), 8);
	must_do(do_load_seg, X86_GS, 0x0c, 0);
	assert_int_equal(cpu0->gs_base, 0x7000);
	must_throw(X86_VEC_GP, 0x104, do_load_seg, X86_GS, 0x104, 0);
	must_throw(X86_VEC_GP, S_DATA0, do_lldt, S_DATA0, 0, 0);
}

static void lar_lsl_and_verify_answer_by_privilege(void **s)
{
	u32 val = 0;

	rig_protected(3);
	assert_true(sc_lar(cpu0, S_DATA3, &val));
	assert_int_equal(val, 0xcff300);
	assert_true(sc_lsl(cpu0, S_CODE3, &val));
	assert_int_equal(val, 0xffffffff);
	assert_false(sc_lar(cpu0, S_DATA0, &val));
	assert_false(sc_lar(cpu0, 0, &val));
	assert_false(sc_lsl(cpu0, GDT_BYTES, &val));
	assert_true(sc_verify_seg(cpu0, S_DATA3, true));
	assert_true(sc_verify_seg(cpu0, S_CODE3, false));
	assert_false(sc_verify_seg(cpu0, S_CODE3, true));
	assert_false(sc_verify_seg(cpu0, S_DATA0, false));
	rig_protected(0);
	assert_true(sc_lsl(cpu0, S_TSS, &val));
	assert_int_equal(val, 0x3ff);
}

/* ---------------------------------------------------------------- exceptions */

static void real_mode_interrupt_uses_the_vector_table(void **s)
{
	rig_real();
	wr(0x21 * 4, 0x9abc5678, 4);
	must_do(do_int, 0x21, SC_INT_N, 0x1236);
	assert_int_equal(cpu0->seg[X86_CS].sel, 0x9abc);
	assert_int_equal(cpu0->seg[X86_CS].base, 0x9abc0);
	assert_int_equal(cpu0->rip, 0x5678);
	assert_int_equal(cpu0->gpr[X86_RSP], STACK3 - 6);
	assert_int_equal(rd(STACK3 - 6, 2), 0x1236);
	assert_int_equal(rd(STACK3 - 4, 2), 0);
	assert_int_equal(rd(STACK3 - 2, 2), 0x202);
	assert_false(cpu0->rflags & X86_FLAG_IF);
}

static void real_mode_iret_undoes_it(void **s)
{
	rig_real();
	cpu0->rflags = 2;
	push_frame(2, 3, (u64[]){ 0x4321, 0x1000, 0x3202 });
	must_do(do_iret, 2, 0, 0);
	assert_int_equal(cpu0->rip, 0x4321);
	assert_int_equal(cpu0->seg[X86_CS].base, 0x10000);
	assert_int_equal(cpu0->rflags, 0x3202);
	assert_int_equal(cpu0->gpr[X86_RSP], STACK3 + 6);
}

static void protected_trap_gate_same_ring_pushes_three(void **s)
{
	rig_protected(0);
	idt_set(X86_VEC_GP, S_CODE0, HANDLER, 0x8f, 0);
	raise_exc(X86_VEC_GP, true, 0x1230);
	assert_int_equal(cpu0->rip, HANDLER);
	assert_int_equal(cpu0->gpr[X86_RSP], STACK3 - 16);
	assert_int_equal(rd(STACK3 - 16, 4), 0x1230);
	assert_int_equal(rd(STACK3 - 12, 4), CODE);
	assert_int_equal(rd(STACK3 - 8, 4), S_CODE0);
	assert_int_equal(rd(STACK3 - 4, 4), 0x202 | X86_FLAG_RF);
	assert_true(cpu0->rflags & X86_FLAG_IF);
}

static void protected_gate_to_ring0_switches_stacks(void **s)
{
	rig_protected(3);
	idt_set(0x80, S_CODE0, HANDLER, 0xee, 0);
	must_do(do_int, 0x80, SC_INT_N, CODE + 2);
	assert_int_equal(cpu0->cpl, 0);
	assert_int_equal(cpu0->seg[X86_CS].sel, S_CODE0);
	assert_int_equal(cpu0->seg[X86_SS].sel, S_DATA0);
	assert_int_equal(cpu0->gpr[X86_RSP], STACK0 - 20);
	assert_int_equal(rd(STACK0 - 20, 4), CODE + 2);
	assert_int_equal(rd(STACK0 - 16, 4), S_CODE3);
	assert_int_equal(rd(STACK0 - 12, 4), 0x202);
	assert_int_equal(rd(STACK0 - 8, 4), STACK3);
	assert_int_equal(rd(STACK0 - 4, 4), S_DATA3);
	assert_false(cpu0->rflags & X86_FLAG_IF);
	/* and back, with data segments of ring 0 taken away */
	must_do(do_load_seg, X86_ES, S_DATA0, 0);
	must_do(do_iret, 4, 0, 0);
	assert_int_equal(cpu0->cpl, 3);
	assert_int_equal(cpu0->rip, CODE + 2);
	assert_int_equal(cpu0->gpr[X86_RSP], STACK3);
	assert_int_equal(cpu0->seg[X86_ES].sel, 0);
	assert_int_equal(cpu0->seg[X86_DS].sel, S_DATA3);
}

static void sixteen_bit_gate_pushes_words(void **s)
{
	rig_protected(0);
	idt_set(5, S_CODE0, 0xbeef1234, 0x86, 0);
	raise_exc(X86_VEC_BR, false, 0);
	assert_int_equal(cpu0->rip, 0x1234);
	assert_int_equal(cpu0->gpr[X86_RSP], STACK3 - 6);
	assert_int_equal(rd(STACK3 - 6, 2), CODE & 0xffff);
}

static void software_interrupt_checks_the_gate(void **s)
{
	rig_protected(3);
	idt_set(0x40, S_CODE0, HANDLER, 0x8e, 0);
	must_throw(X86_VEC_GP, 0x40 * 8 + 2, do_int, 0x40, SC_INT_N, CODE + 2);
	must_throw(X86_VEC_GP, 0x41 * 8 + 2, do_int, 0x41, SC_INT_N, CODE + 2);
	idt_set(0x42, S_CODE0, HANDLER, 0x6e, 0);
	must_throw(X86_VEC_NP, 0x42 * 8 + 2, do_int, 0x42, SC_INT_N, CODE + 2);
	cpu0->idt.limit = 0x40 * 8;
	must_throw(X86_VEC_GP, 0x40 * 8 + 2, do_int, 0x40, SC_INT_N, CODE + 2);
	/* INT1 does not look at the gate's DPL */
	cpu0->idt.limit = 0xfff;
	idt_set(1, S_CODE0, HANDLER, 0x8e, 0);
	must_do(do_int, 1, SC_INT1, CODE + 1);
	assert_int_equal(cpu0->cpl, 0);
}

static void long_mode_frame_is_aligned_and_has_five_words(void **s)
{
	rig_long(0);
	cpu0->gpr[X86_RSP] = STACK3 - 5;
	idt_set(X86_VEC_PF, S_CODE64, HANDLER, 0x8e, 0);
	raise_exc(X86_VEC_PF, true, 2);
	assert_int_equal(cpu0->rip, HANDLER);
	assert_int_equal(cpu0->cr2, 0xabc000);
	assert_int_equal(cpu0->gpr[X86_RSP], STACK3 - 16 - 48);
	assert_int_equal(rd(STACK3 - 64, 8), 2);
	assert_int_equal(rd(STACK3 - 56, 8), CODE);
	assert_int_equal(rd(STACK3 - 48, 8), S_CODE64);
	assert_int_equal(rd(STACK3 - 40, 8), 0x202 | X86_FLAG_RF);
	assert_int_equal(rd(STACK3 - 32, 8), STACK3 - 5);
	assert_int_equal(rd(STACK3 - 24, 8), S_DATA0);
	assert_int_equal(cpu0->seg[X86_SS].sel, S_DATA0);
}

static void long_mode_interrupt_from_user_loads_null_ss(void **s)
{
	rig_long(3);
	idt_set(0x20, S_CODE64, HANDLER, 0x8e, 0);
	cpu0->halted = true;
	cpu0->int_shadow = 1;
	sc_deliver_interrupt(cpu0, 0x20);
	assert_int_equal(cpu0->cpl, 0);
	assert_int_equal(cpu0->mode & SC_MODE_USER, 0);
	assert_int_equal(cpu0->seg[X86_SS].sel, 0);
	assert_int_equal(cpu0->gpr[X86_RSP], STACK0 - 40);
	assert_int_equal(rd(STACK0 - 24, 8), 0x202);
	assert_int_equal(rd(STACK0 - 8, 8), S_DATA3);
	assert_false(cpu0->halted);
	assert_int_equal(cpu0->int_shadow, 0);
	must_do(do_iret, 8, 0, 0);
	assert_int_equal(cpu0->cpl, 3);
	assert_int_equal(cpu0->gpr[X86_RSP], STACK3);
	assert_int_equal(cpu0->rflags, 0x202);
}

static void ist_is_used_without_change_of_ring(void **s)
{
	rig_long(0);
	idt_set(X86_VEC_NMI, S_CODE64, HANDLER, 0x8e, 1);
	sc_deliver_nmi(cpu0);
	assert_int_equal(cpu0->gpr[X86_RSP], IST1 - 40);
	assert_int_equal(cpu0->seg[X86_SS].sel, S_DATA0);
	assert_true(cpu0->nmi_blocked);
	must_do(do_iret, 8, 0, 0);
	assert_false(cpu0->nmi_blocked);
	assert_int_equal(cpu0->gpr[X86_RSP], STACK3);
}

static void iret_unblocks_nmi_even_when_it_faults(void **s)
{
	rig_long(0);
	cpu0->nmi_blocked = true;
	push_frame(8, 5, (u64[]){ CODE, 0, 2, STACK3, 0 });
	must_throw(X86_VEC_GP, 0, do_iret, 8, 0, 0);
	assert_false(cpu0->nmi_blocked);
}

static void string_instruction_cut_by_interrupt_pushes_rf(void **s)
{
	rig_long(0);
	idt_set(0x20, S_CODE64, HANDLER, 0x8e, 0);
	cpu0->rf_next = true;
	sc_deliver_interrupt(cpu0, 0x20);
	assert_int_equal(rd(STACK3 - 24, 8), 0x202 | X86_FLAG_RF);
	assert_false(cpu0->rf_next);
}

static void debug_exception_sets_dr6_and_clears_gd(void **s)
{
	rig_long(0);
	idt_set(X86_VEC_DB, S_CODE64, HANDLER, 0x8e, 0);
	cpu0->dr[6] = DR6_ONES | 3;
	cpu0->dr[7] |= DR7_GD;
	raise_exc(X86_VEC_DB, false, 0);
	assert_int_equal(cpu0->dr[6], DR6_ONES | DR6_BS);
	assert_int_equal(cpu0->dr[7] & DR7_GD, 0);
	assert_int_equal(rd(STACK3 - 24, 8), 0x202); /* no RF */
}

static void two_contributory_faults_make_a_double_fault(void **s)
{
	rig_long(0);
	idt_set(X86_VEC_DF, S_CODE64, HANDLER, 0x8e, 1);
	/* #GP has no gate: #GP while delivering #GP */
	raise_exc(X86_VEC_GP, true, 0x50);
	assert_int_equal(cpu0->rip, HANDLER);
	assert_int_equal(rd(IST1 - 48, 8), 0);
	assert_int_equal(rd(IST1 - 40, 8), CODE);
	assert_false(cpu0->shutdown);
}

/* SDM 3A table 6-5: second fault is always the #GP of a gate that is not there */
static void table_of_double_faults(void **s)
{
	static const struct { unsigned first; bool error, df; } t[] = {
		{ X86_VEC_DE, false, true }, { X86_VEC_TS, true, true }, { X86_VEC_NP, true, true },
		{ X86_VEC_SS, true, true }, { X86_VEC_GP, true, true }, { X86_VEC_PF, true, true },
		{ X86_VEC_DB, false, false }, { X86_VEC_BP, false, false },
		{ X86_VEC_NM, false, false }, { X86_VEC_MF, false, false },
		{ X86_VEC_AC, true, false }, { X86_VEC_XM, false, false },
	};

	for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
		rig_long(0);
		idt_set(X86_VEC_DF, S_CODE64, HANDLER, 0x8e, 0);
		if (t[i].first != X86_VEC_GP)
			idt_set(X86_VEC_GP, S_CODE64, HANDLER + 8, 0x8e, 0);
		raise_exc(t[i].first, t[i].error, 0);
		assert_false(cpu0->shutdown);
		assert_int_equal(cpu0->rip, t[i].df ? HANDLER : HANDLER + 8);
	}
}

static void page_fault_on_the_stack_is_a_double_fault(void **s)
{
	rig_long(0);
	idt_set(X86_VEC_PF, S_CODE64, HANDLER, 0x8e, 0);
	idt_set(X86_VEC_DF, S_CODE64, HANDLER + 8, 0x8e, 1);
	cpu0->gpr[X86_RSP] = NOWHERE;
	raise_exc(X86_VEC_PF, true, 2);
	assert_int_equal(cpu0->rip, HANDLER + 8);
	assert_int_equal(rd(IST1 - 16, 8), NOWHERE);
	/* CR2 is that of the second fault */
	assert_int_equal(cpu0->cr2, NOWHERE - 8);
}

static void benign_exception_then_fault_delivers_the_fault(void **s)
{
	rig_long(0);
	idt_set(X86_VEC_GP, S_CODE64, HANDLER, 0x8e, 0);
	raise_exc(X86_VEC_UD, false, 0);
	assert_int_equal(cpu0->rip, HANDLER);
	/* #GP for gate 6, EXT set */
	assert_int_equal(rd(cpu0->gpr[X86_RSP], 8), X86_VEC_UD * 8 + 3);
}

static void fault_in_double_fault_shuts_down(void **s)
{
	rig_long(0);
	raise_exc(X86_VEC_GP, true, 0);
	assert_true(cpu0->shutdown);
	rig_real();
	cpu0->idt.limit = 0;
	raise_exc(X86_VEC_UD, false, 0);
	assert_true(cpu0->shutdown);
}

static void delivery_leaves_the_callers_landing_place(void **s)
{
	void *before[5];

	rig_long(0);
	idt_set(X86_VEC_DF, S_CODE64, HANDLER, 0x8e, 1);
	memset(cpu0->throw_buf, 0x5a, sizeof(cpu0->throw_buf));
	memcpy(before, cpu0->throw_buf, sizeof(before));
	raise_exc(X86_VEC_GP, true, 0);
	assert_memory_equal(before, cpu0->throw_buf, sizeof(before));
}

static void bad_inner_stack_is_an_invalid_tss(void **s)
{
	rig_protected(3);
	idt_set(0x80, S_CODE0, HANDLER, 0xee, 0);
	wr(TSS_AT + 8, S_DATA3, 4);
	must_throw(X86_VEC_TS, S_DATA3 & ~3, do_int, 0x80, SC_INT_N, CODE + 2);
	wr(TSS_AT + 8, 0, 4);
	must_throw(X86_VEC_TS, 0, do_int, 0x80, SC_INT_N, CODE + 2);
	cpu0->seg[X86_TR].limit = 8;
	must_throw(X86_VEC_TS, S_TSS, do_int, 0x80, SC_INT_N, CODE + 2);
	rig_long(3);
	idt_set(0x80, S_CODE64, HANDLER, 0xee, 0);
	wr(TSS_AT + 4, 0x8000000000000000ull, 8);
	must_throw(X86_VEC_SS, 0, do_int, 0x80, SC_INT_N, CODE + 2);
}

static void long_mode_refuses_32_bit_handlers(void **s)
{
	rig_long(0);
	idt_set(0x30, S_CODE0, HANDLER, 0x8e, 0);
	must_throw(X86_VEC_GP, S_CODE0, do_int, 0x30, SC_INT_N, CODE);
	idt_set(0x31, S_CODE64, HANDLER, 0x86, 0);
	must_throw(X86_VEC_GP, 0x31 * 8 + 2, do_int, 0x31, SC_INT_N, CODE);
}

/* --------------------------------------------------------------- vm86 */

static void enter_vm86(void)
{
	rig_protected(0);
	push_frame(4, 9, (u64[]){ 0x100, 0x2000, X86_FLAG_VM | 0x202, 0xff0, 0x900, 0x10, 0x20,
				  0x30, 0x40 });
	must_do(do_iret, 4, 0, 0);
}

static void iret_enters_virtual_8086_mode(void **s)
{
	enter_vm86();
	assert_int_equal(cpu0->cpl, 3);
	assert_int_equal(cpu0->rip, 0x100);
	assert_int_equal(cpu0->seg[X86_CS].base, 0x20000);
	assert_int_equal(cpu0->seg[X86_SS].base, 0x9000);
	assert_int_equal(cpu0->gpr[X86_RSP], 0xff0);
	assert_int_equal(cpu0->seg[X86_GS].base, 0x400);
	assert_int_equal(cpu0->seg[X86_ES].limit, 0xffff);
}

static void interrupt_leaves_virtual_8086_mode(void **s)
{
	enter_vm86();
	idt_set(X86_VEC_GP, S_CODE0, HANDLER, 0x8e, 0);
	must_throw(X86_VEC_GP, 0, do_int, 0x21, SC_INT_N, 0x102);
	sc_deliver_exception(cpu0);
	assert_int_equal(cpu0->cpl, 0);
	assert_false(sc_vm86(cpu0));
	assert_int_equal(cpu0->seg[X86_DS].sel, 0);
	assert_int_equal(rd(STACK0 - 4, 4), 0x40);  /* GS */
	assert_int_equal(rd(STACK0 - 16, 4), 0x10); /* ES */
	assert_int_equal(rd(STACK0 - 20, 4), 0x900);
	assert_int_equal(rd(STACK0 - 24, 4), 0xff0);
	assert_true(rd(STACK0 - 28, 4) & X86_FLAG_VM);
	assert_int_equal(rd(STACK0 - 36, 4), 0x100);
	assert_int_equal(rd(STACK0 - 40, 4), 0);
	must_throw(X86_VEC_GP, 0, do_load_seg, X86_SS, 0, 0);
}

/* ------------------------------------------------------------ far transfers */

static void far_jump_checks_the_code_segment(void **s)
{
	rig_protected(0);
	must_do(do_jmp, S_CODE0, 0x1234, 4);
	assert_int_equal(cpu0->rip, 0x1234);
	must_throw(X86_VEC_GP, 0, do_jmp, 0, 0, 4);
	must_throw(X86_VEC_GP, S_DATA0, do_jmp, S_DATA0, 0, 4);
	must_throw(X86_VEC_GP, S_CODE3 & ~3, do_jmp, S_CODE3, 0, 4);
	must_throw(X86_VEC_GP, 0, do_jmp, S_CODE16, 0x10000, 4); /* beyond its limit */
	must_do(do_jmp, S_CODE16, 0x11234, 2);
	assert_int_equal(cpu0->rip, 0x1234);
	rig_protected(3);
	must_do(do_jmp, S_CONFORMING, 0x77, 4);
	assert_int_equal(cpu0->cpl, 3);
	assert_int_equal(cpu0->seg[X86_CS].sel, S_CONFORMING | 3);
}

static void far_jump_into_64_bit_code_needs_a_canonical_target(void **s)
{
	rig_long(0);
	must_do(do_jmp, S_CODE0, HANDLER, 4);
	assert_int_equal(cpu0->mode & SC_MODE_64, 0);
	must_do(do_jmp, S_CODE64, HANDLER, 4);
	assert_int_equal(cpu0->mode & SC_MODE_64, SC_MODE_64);
	must_throw(X86_VEC_GP, 0, do_jmp, S_CODE64, 0x800000000000ull, 8);
	gdt_set(S_CODE16, desc(0, 0xfffff, 0x9b, 0xe)); /* L and D */
	must_throw(X86_VEC_GP, S_CODE16, do_jmp, S_CODE16, 0, 8);
}

static void far_call_and_return_keep_the_stack_balanced(void **s)
{
	rig_long(0);
	must_do(do_call, S_CODE64, HANDLER, 8);
	assert_int_equal(cpu0->rip, HANDLER);
	assert_int_equal(rd(STACK3 - 16, 8), CODE + 7);
	assert_int_equal(rd(STACK3 - 8, 8), S_CODE64);
	must_do(do_ret, 8, 0x20, 0);
	assert_int_equal(cpu0->rip, CODE + 7);
	assert_int_equal(cpu0->gpr[X86_RSP], STACK3 + 0x20);
}

static void call_gate_copies_parameters_to_the_inner_stack(void **s)
{
	rig_protected(3);
	gdt_set(S_GATE, gate(S_CODE0, HANDLER, 0xec) | 2ull << 32);
	push_frame(4, 2, (u64[]){ 0x11111111, 0x22222222 });
	must_do(do_call, S_GATE | 3, 0, 4);
	assert_int_equal(cpu0->cpl, 0);
	assert_int_equal(cpu0->rip, HANDLER);
	assert_int_equal(cpu0->gpr[X86_RSP], STACK0 - 24);
	assert_int_equal(rd(STACK0 - 24, 4), CODE + 7);
	assert_int_equal(rd(STACK0 - 16, 4), 0x11111111);
	assert_int_equal(rd(STACK0 - 12, 4), 0x22222222);
	assert_int_equal(rd(STACK0 - 8, 4), STACK3);
	must_do(do_ret, 4, 8, 0);
	assert_int_equal(cpu0->cpl, 3);
	assert_int_equal(cpu0->gpr[X86_RSP], STACK3 + 8);
	must_throw(X86_VEC_GP, S_CODE0, do_jmp, S_GATE | 3, 0, 4); /* JMP keeps the ring */
}

static void call_gate_in_long_mode_has_16_bytes(void **s)
{
	rig_long(3);
	gdt_set(S_GATE, gate(S_CODE64, HANDLER, 0xec));
	gdt_set(S_GATE + 8, 0);
	must_do(do_call, S_GATE | 3, 0, 4);
	assert_int_equal(cpu0->cpl, 0);
	assert_int_equal(cpu0->gpr[X86_RSP], STACK0 - 32);
	assert_int_equal(cpu0->seg[X86_SS].sel, 0);
	rig_long(3);
	gdt_set(S_GATE, gate(S_CODE64, HANDLER, 0xec));
	gdt_set(S_GATE + 8, 1ull << 40);
	must_throw(X86_VEC_GP, S_GATE, do_call, S_GATE | 3, 0, 4);
}

static void return_refuses_inner_rings_and_bad_stacks(void **s)
{
	rig_protected(3);
	push_frame(4, 2, (u64[]){ CODE, S_CODE0 });
	must_throw(X86_VEC_GP, S_CODE0, do_ret, 4, 0, 0);
	rig_protected(0);
	push_frame(4, 2, (u64[]){ CODE, S_CODE3 & ~3 }); /* DPL 3 by RPL 0 */
	must_throw(X86_VEC_GP, S_CODE3 & ~3, do_ret, 4, 0, 0);
	push_frame(4, 4, (u64[]){ CODE, S_CODE3, STACK3, S_DATA0 });
	must_throw(X86_VEC_GP, S_DATA0, do_ret, 4, 0, 0);
	assert_int_equal(cpu0->gpr[X86_RSP], STACK3);
	assert_int_equal(cpu0->cpl, 0);
}

static void iretq_restores_flags_by_privilege(void **s)
{
	rig_long(3);
	push_frame(8, 5, (u64[]){ CODE + 9, S_CODE64_3, 0x3000 | X86_FLAG_CF, 0x9000, S_DATA3 });
	must_do(do_iret, 8, 0, 0);
	assert_int_equal(cpu0->rip, CODE + 9);
	assert_int_equal(cpu0->gpr[X86_RSP], 0x9000);
	/* neither IOPL nor IF move in ring 3 */
	assert_int_equal(cpu0->rflags, 0x203);
	rig_long(0);
	push_frame(8, 5, (u64[]){ CODE, S_CODE64_3, 0x3246, 0x9000, S_DATA3 });
	must_do(do_iret, 8, 0, 0);
	assert_int_equal(cpu0->rflags, 0x3246);
	assert_int_equal(cpu0->cpl, 3);
}

static void iret_restores_rf_when_breakpoints_are_on(void **s)
{
	rig_long(0);
	cpu0->dr[7] |= 1;
	push_frame(8, 5, (u64[]){ CODE, S_CODE64, 0x2 | X86_FLAG_RF, 0x9000, S_DATA0 });
	must_do(do_iret, 8, 0, 0);
	assert_true(cpu0->rflags & X86_FLAG_RF);
	assert_true(atomic_load(&cpu0->attention) & SC_ATTN_SINGLE);
}

static void iretq_to_a_16_bit_stack_keeps_the_upper_half(void **s)
{
	rig_long(0);
	gdt_set(S_DATA3, desc(0, 0xffff, 0xf3, 0));
	cpu0->gpr[X86_RSP] = 0x1a000;
	push_frame(8, 5, (u64[]){ CODE, S_CODE3, 2, 0x3333, S_DATA3 });
	must_do(do_iret, 8, 0, 0);
	assert_int_equal(cpu0->gpr[X86_RSP], 0x13333);
}

static void iretq_fails_on_a_bad_frame(void **s)
{
	rig_long(0);
	push_frame(8, 5, (u64[]){ 1ull << 60, S_CODE64, 2, 0x9000, S_DATA0 });
	must_throw(X86_VEC_GP, 0, do_iret, 8, 0, 0);
	push_frame(8, 5, (u64[]){ CODE, S_CODE64_3, 2, 0x9000, 0 });
	must_throw(X86_VEC_GP, 0, do_iret, 8, 0, 0);
	cpu0->rflags |= X86_FLAG_NT;
	must_throw(X86_VEC_GP, 0, do_iret, 8, 0, 0);
	rig_long(0);
	cpu0->gpr[X86_RSP] = 1ull << 50;
	must_throw(X86_VEC_SS, 0, do_iret, 8, 0, 0);
}

/* ------------------------------------------------------------------ syscalls */

static void syscall_and_sysret_go_and_come_back(void **s)
{
	rig_long(3);
	cpu0->msr.star = (u64)(S_CODE3 & ~3) << 48 | (u64)S_CODE0 << 32;
	cpu0->msr.lstar = HANDLER;
	cpu0->msr.sfmask = X86_FLAG_IF | X86_FLAG_TF;
	cpu0->rflags = 0x207 | X86_FLAG_RF;
	must_do(do_syscall, CODE + 2, 0, 0);
	assert_int_equal(cpu0->cpl, 0);
	assert_int_equal(cpu0->rip, HANDLER);
	assert_int_equal(cpu0->gpr[X86_RCX], CODE + 2);
	assert_int_equal(cpu0->gpr[X86_R11], 0x207);
	assert_int_equal(cpu0->rflags, 7);
	assert_int_equal(cpu0->gpr[X86_RSP], STACK3);
	assert_int_equal(cpu0->seg[X86_SS].sel, S_CODE0 + 8);
	assert_true(sc_code64(cpu0));
	must_do(do_sysret, 8, 0, 0);
	assert_int_equal(cpu0->cpl, 3);
	assert_int_equal(cpu0->rip, CODE + 2);
	assert_int_equal(cpu0->rflags, 0x207);
	assert_int_equal(cpu0->seg[X86_CS].sel, (S_CODE3 & ~3) + 16 + 3);
	assert_true(sc_code64(cpu0));
	must_throw(X86_VEC_GP, 0, do_sysret, 8, 0, 0);
	rig_long(0);
	cpu0->msr.star = (u64)(S_CODE3 & ~3) << 48;
	must_do(do_sysret, 4, 0, 0);
	assert_false(sc_code64(cpu0));
}

static void syscall_rules_follow_the_vendor(void **s)
{
	rig_long(0);
	cpu0->efer &= ~(u64)X86_EFER_SCE;
	must_throw(X86_VEC_UD, -1, do_syscall, CODE + 2, 0, 0);
	must_throw(X86_VEC_UD, -1, do_sysret, 8, 0, 0);
	vendor(false);
	rig_long(0);
	cpu0->gpr[X86_RCX] = 1ull << 50;
	must_throw(X86_VEC_GP, 0, do_sysret, 8, 0, 0);
	must_do(do_jmp, S_CODE0, CODE, 4);
	must_throw(X86_VEC_UD, -1, do_syscall, CODE + 2, 0, 0);
	vendor(true);
	cpu0->msr.cstar = HANDLER;
	must_do(do_syscall, CODE + 2, 0, 0);
	assert_int_equal(cpu0->rip, HANDLER);
	rig_long(0);
	cpu0->gpr[X86_RCX] = 1ull << 50;
	must_do(do_sysret, 8, 0, 0);
	assert_int_equal(cpu0->cpl, 3);
	must_throw(X86_VEC_UD, -1, do_sysenter, CODE + 2, 0, 0);
}

static void sysenter_needs_a_selector(void **s)
{
	vendor(false);
	rig_long(3);
	must_throw(X86_VEC_GP, 0, do_sysenter, CODE + 2, 0, 0);
	cpu0->msr.sysenter_cs = S_CODE0;
	cpu0->msr.sysenter_eip = HANDLER;
	cpu0->msr.sysenter_esp = STACK0;
	must_do(do_sysenter, CODE + 2, 0, 0);
	assert_int_equal(cpu0->cpl, 0);
	assert_int_equal(cpu0->gpr[X86_RSP], STACK0);
	assert_int_equal(cpu0->rflags, 2);
	cpu0->gpr[X86_RDX] = CODE;
	cpu0->gpr[X86_RCX] = STACK3;
	must_do(do_sysexit, 8, 0, 0);
	assert_int_equal(cpu0->cpl, 3);
	assert_int_equal(cpu0->seg[X86_CS].sel, S_CODE0 + 32 + 3);
	assert_int_equal(cpu0->gpr[X86_RSP], STACK3);
	must_throw(X86_VEC_GP, 0, do_sysexit, 8, 0, 0);
}

/* --------------------------------------------------------------------- tasks */

static void make_task(u16 cs, u16 ss)
{
	gdt_set(S_TSS2, desc(TSS2_AT, 0x67, 0x89, 0));
	wr(TSS2_AT + 0x20, HANDLER, 4);
	wr(TSS2_AT + 0x24, 2, 4);
	wr(TSS2_AT + 0x28, 0xaaaa5555, 4); /* EAX */
	wr(TSS2_AT + 0x38, 0x9000, 4);	   /* ESP */
	for (unsigned i = 0; i < 4; i++)
		wr(TSS2_AT + 0x48 + 4 * (u64[]){ 0, 3, 4, 5 }[i], S_DATA0, 4);
	wr(TSS2_AT + 0x4c, cs, 4);
	wr(TSS2_AT + 0x50, ss, 4);
}

static void call_switches_tasks_and_iret_returns(void **s)
{
	rig_protected(0);
	make_task(S_CODE0, S_DATA0);
	cpu0->gpr[X86_RAX] = 0x1111;
	must_do(do_call, S_TSS2, 0, 4);
	assert_int_equal(cpu0->rip, HANDLER);
	assert_int_equal(cpu0->gpr[X86_RAX], 0xaaaa5555);
	assert_int_equal(cpu0->gpr[X86_RSP], 0x9000);
	assert_int_equal(cpu0->seg[X86_TR].sel, S_TSS2);
	assert_true(cpu0->rflags & X86_FLAG_NT);
	assert_true(cpu0->cr0 & X86_CR0_TS);
	assert_int_equal(rd(TSS2_AT, 2), S_TSS);
	assert_int_equal(rd(TSS_AT + 0x20, 4), CODE + 7);
	assert_int_equal(gdt_get(S_TSS2) >> 40 & 0xff, 0x8b);
	assert_int_equal(gdt_get(S_TSS) >> 40 & 0xff, 0x8b);
	must_do(do_iret, 4, 0, 0);
	assert_int_equal(cpu0->rip, CODE + 7);
	assert_int_equal(cpu0->gpr[X86_RAX], 0x1111);
	assert_int_equal(cpu0->seg[X86_TR].sel, S_TSS);
	assert_int_equal(gdt_get(S_TSS2) >> 40 & 0xff, 0x89);
	assert_false(cpu0->rflags & X86_FLAG_NT);
}

static void task_gate_takes_a_double_fault_with_its_error_code(void **s)
{
	rig_protected(0);
	make_task(S_CODE0, S_DATA0);
	wr(IDT_AT + X86_VEC_DF * 8, gate(S_TSS2, 0, 0x85), 8);
	raise_exc(X86_VEC_GP, true, 0);
	assert_false(cpu0->shutdown);
	assert_int_equal(cpu0->rip, HANDLER);
	assert_int_equal(cpu0->gpr[X86_RSP], 0x9000 - 4);
	assert_int_equal(rd(0x9000 - 4, 4), 0);
}

static void jump_to_a_busy_or_short_tss_faults(void **s)
{
	rig_protected(0);
	make_task(S_CODE0, S_DATA0);
	must_throw(X86_VEC_GP, S_TSS, do_jmp, S_TSS, 0, 4);
	gdt_set(S_TSS2, desc(TSS2_AT, 0x66, 0x89, 0));
	must_throw(X86_VEC_TS, S_TSS2, do_jmp, S_TSS2, 0, 4);
	gdt_set(S_TSS2, desc(TSS2_AT, 0x67, 0x09, 0));
	must_throw(X86_VEC_NP, S_TSS2, do_jmp, S_TSS2, 0, 4);
	/* A bad CS in it is the new task's fault */
	make_task(S_DATA0, S_DATA0);
	assert_true(throws(do_jmp, S_TSS2, 0, 4));
	assert_int_equal(cpu0->exc.vector, X86_VEC_TS);
	assert_int_equal(cpu0->exc.error, S_DATA0);
	assert_int_equal(cpu0->rip, HANDLER);
	rig_long(0);
	must_throw(X86_VEC_GP, S_TSS, do_jmp, S_TSS, 0, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(data_segment_needs_privilege_and_presence),
		cmocka_unit_test(stack_segment_has_stricter_rules),
		cmocka_unit_test(loading_sets_the_accessed_bit_in_memory),
		cmocka_unit_test(null_fs_loses_its_base),
		cmocka_unit_test(real_mode_load_keeps_a_big_limit),
		cmocka_unit_test(task_register_becomes_busy_and_refuses_busy),
		cmocka_unit_test(segment_from_ldt_is_found),
		cmocka_unit_test(lar_lsl_and_verify_answer_by_privilege),
		cmocka_unit_test(real_mode_interrupt_uses_the_vector_table),
		cmocka_unit_test(real_mode_iret_undoes_it),
		cmocka_unit_test(protected_trap_gate_same_ring_pushes_three),
		cmocka_unit_test(protected_gate_to_ring0_switches_stacks),
		cmocka_unit_test(sixteen_bit_gate_pushes_words),
		cmocka_unit_test(software_interrupt_checks_the_gate),
		cmocka_unit_test(long_mode_frame_is_aligned_and_has_five_words),
		cmocka_unit_test(long_mode_interrupt_from_user_loads_null_ss),
		cmocka_unit_test(ist_is_used_without_change_of_ring),
		cmocka_unit_test(iret_unblocks_nmi_even_when_it_faults),
		cmocka_unit_test(string_instruction_cut_by_interrupt_pushes_rf),
		cmocka_unit_test(debug_exception_sets_dr6_and_clears_gd),
		cmocka_unit_test(two_contributory_faults_make_a_double_fault),
		cmocka_unit_test(table_of_double_faults),
		cmocka_unit_test(page_fault_on_the_stack_is_a_double_fault),
		cmocka_unit_test(benign_exception_then_fault_delivers_the_fault),
		cmocka_unit_test(fault_in_double_fault_shuts_down),
		cmocka_unit_test(delivery_leaves_the_callers_landing_place),
		cmocka_unit_test(bad_inner_stack_is_an_invalid_tss),
		cmocka_unit_test(long_mode_refuses_32_bit_handlers),
		cmocka_unit_test(iret_enters_virtual_8086_mode),
		cmocka_unit_test(interrupt_leaves_virtual_8086_mode),
		cmocka_unit_test(far_jump_checks_the_code_segment),
		cmocka_unit_test(far_jump_into_64_bit_code_needs_a_canonical_target),
		cmocka_unit_test(far_call_and_return_keep_the_stack_balanced),
		cmocka_unit_test(call_gate_copies_parameters_to_the_inner_stack),
		cmocka_unit_test(call_gate_in_long_mode_has_16_bytes),
		cmocka_unit_test(return_refuses_inner_rings_and_bad_stacks),
		cmocka_unit_test(iretq_restores_flags_by_privilege),
		cmocka_unit_test(iret_restores_rf_when_breakpoints_are_on),
		cmocka_unit_test(iretq_to_a_16_bit_stack_keeps_the_upper_half),
		cmocka_unit_test(iretq_fails_on_a_bad_frame),
		cmocka_unit_test(syscall_and_sysret_go_and_come_back),
		cmocka_unit_test(syscall_rules_follow_the_vendor),
		cmocka_unit_test(sysenter_needs_a_selector),
		cmocka_unit_test(call_switches_tasks_and_iret_returns),
		cmocka_unit_test(task_gate_takes_a_double_fault_with_its_error_code),
		cmocka_unit_test(jump_to_a_busy_or_short_tss_faults),
	};

	return cmocka_run_group_tests(tests, rig_open, rig_close);
}
