// SPDX-License-Identifier: BSD-2-Clause
/* test/unit/accel/soft/interp_test.c - Modes, faults, devices and system instructions
 *
 * What interp_native_test.c cannot compare with the host. */
#include "interp_rig.h"

static struct rig rig;

static int setup(void **state)
{
	rig_open(&rig);
	return 0;
}

static int teardown(void **state)
{
	rig_close(&rig);
	return 0;
}

static u8 *data_at(u64 off)
{
	return rig.ram + DATA_GPA + off;
}

static u64 ram64(u32 gpa)
{
	u64 x;

	memcpy(&x, rig.ram + gpa, 8);
	return x;
}

/* ------------------------------------------------------------------ fetch */

static void an_instruction_over_an_unmapped_page_faults_at_the_second_page(void **state)
{
	static const u8 mov[] = { 0xb8, 1 };

	rig_long(&rig, 3);
	memcpy(rig.ram + CODE_GPA + 4094, mov, 2);
	rig.v->rip = CODE + 4094;
	assert_int_equal(rig_step(&rig), X86_VEC_PF);
	assert_int_equal(rig.v->exc.cr2, CODE + 4096);
	assert_int_equal(rig.v->exc.error, SC_PF_U | SC_PF_I);
	assert_int_equal(rig.v->rip, CODE + 4094);
}

static void an_instruction_that_ends_at_the_page_end_runs(void **state)
{
	rig_long(&rig, 3);
	rig.ram[CODE_GPA + 4095] = 0x90;
	rig.v->rip = CODE + 4095;
	assert_int_equal(rig_step(&rig), NO_EXCEPTION);
	assert_int_equal(rig.v->rip, CODE + 4096);
}

static void sixteen_bytes_are_too_long(void **state)
{
	rig_long(&rig, 3);
	assert_int_equal(RUN(&rig, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
			     0x66, 0x66, 0x66, 0x66, 0x90),
			 X86_VEC_GP);
	rig_long(&rig, 3);
	assert_int_equal(RUN(&rig, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
			     0x66, 0x66, 0x66, 0x90),
			 NO_EXCEPTION);
	assert_int_equal(rig.v->rip, CODE + 15);
}

static void code_past_the_segment_limit_is_a_protection_fault(void **state)
{
	rig_real(&rig);
	rig.v->rip = 0xffff;
	assert_int_equal(RUN(&rig, 0xb8), X86_VEC_GP);
	rig_real(&rig);
	rig.v->rip = 0x10000;
	assert_int_equal(rig_step(&rig), X86_VEC_GP);
}

static void what_is_no_instruction_is_undefined(void **state)
{
	rig_long(&rig, 3);
	assert_int_equal(RUN(&rig, 0x06), X86_VEC_UD);
	assert_int_equal(RUN(&rig, 0x0f, 0x0b), X86_VEC_UD);
	assert_int_equal(RUN(&rig, 0x0f, 0xff, 0xc0), X86_VEC_UD);
	/* LOCK where it is not allowed: register destination, MOV, BT */
	assert_int_equal(RUN(&rig, 0xf0, 0x01, 0xc0), X86_VEC_UD);
	assert_int_equal(RUN(&rig, 0xf0, 0x89, 0x00), X86_VEC_UD);
	assert_int_equal(RUN(&rig, 0xf0, 0x0f, 0xa3, 0x00), X86_VEC_UD);
	/* never shown in CPUID: clac, monitor, invpcid, rsm */
	assert_int_equal(RUN(&rig, 0x0f, 0x01, 0xca), X86_VEC_UD);
	assert_int_equal(RUN(&rig, 0x0f, 0x01, 0xc8), X86_VEC_UD);
	assert_int_equal(RUN(&rig, 0x66, 0x0f, 0x38, 0x82, 0x00), X86_VEC_UD);
	assert_int_equal(RUN(&rig, 0x0f, 0xaa), X86_VEC_UD);
}

static void new_bytes_are_seen_at_once(void **state)
{
	rig_long(&rig, 3);
	assert_int_equal(RUN(&rig, 0xb8, 1, 0, 0, 0), NO_EXCEPTION);
	rig.v->rip = CODE;
	assert_int_equal(RUN(&rig, 0xb9, 2, 0, 0, 0), NO_EXCEPTION);
	assert_int_equal(rig.v->gpr[X86_RAX], 1);
	assert_int_equal(rig.v->gpr[X86_RCX], 2);
}

/* --------------------------------------------------------------- segments */

static void real_mode_adds_the_segment_base(void **state)
{
	rig_real(&rig);
	rig.v->gpr[X86_RBX] = 0x1230;
	rig.v->gpr[X86_RSI] = 4;
	rig.v->gpr[X86_RAX] = 0xbeef;
	assert_int_equal(RUN(&rig, 0x89, 0x00), NO_EXCEPTION); /* mov [bx+si], ax */
	assert_int_equal(ram64(0x81234) & 0xffff, 0xbeef);
	assert_int_equal(rig.v->rip, 2);
}

static void a_word_at_the_end_of_a_64k_segment_faults(void **state)
{
	rig_real(&rig);
	rig.v->gpr[X86_RBX] = 0xffff;
	assert_int_equal(RUN(&rig, 0x8b, 0x07), X86_VEC_GP); /* mov ax, [bx] */
	assert_int_equal(RUN(&rig, 0x8a, 0x07), NO_EXCEPTION);
	rig_real(&rig);
	rig.v->gpr[X86_RBP] = 0xffff;
	assert_int_equal(RUN(&rig, 0x8b, 0x46, 0x00), X86_VEC_SS); /* mov ax, [bp] */
}

static void sixteen_bit_addresses_wrap(void **state)
{
	rig_real(&rig);
	rig.v->gpr[X86_RBX] = 0xfff0;
	rig.v->gpr[X86_RSI] = 0x20;
	rig.ram[0x80010] = 0x5a;
	assert_int_equal(RUN(&rig, 0x8a, 0x00), NO_EXCEPTION); /* mov al, [bx+si] */
	assert_int_equal(rig.v->gpr[X86_RAX] & 0xff, 0x5a);
}

static void protected_mode_checks_rights_and_limits(void **state)
{
	struct sc_vcpu *v = rig.v;

	rig_protected(&rig, 4, 0);
	v->gpr[X86_RBX] = DATA_GPA;
	v->seg[X86_DS].attr = 0xc091; /* read-only */
	assert_int_equal(RUN(&rig, 0x89, 0x03), X86_VEC_GP);
	assert_int_equal(RUN(&rig, 0x8b, 0x03), NO_EXCEPTION);
	v->seg[X86_DS].attr = 0xc093;
	v->seg[X86_DS].limit = DATA_GPA + 3;
	assert_int_equal(RUN(&rig, 0x89, 0x03), NO_EXCEPTION);
	v->seg[X86_DS].limit = DATA_GPA + 2;
	assert_int_equal(RUN(&rig, 0x89, 0x03), X86_VEC_GP);
	/* a store through CS is never allowed, a load from execute-only neither */
	v->seg[X86_DS].limit = 0xffffffff;
	assert_int_equal(RUN(&rig, 0x2e, 0x89, 0x03), X86_VEC_GP);
	assert_int_equal(RUN(&rig, 0x2e, 0x8b, 0x03), NO_EXCEPTION);
	v->seg[X86_CS].attr = 0xc099;
	assert_int_equal(RUN(&rig, 0x2e, 0x8b, 0x03), X86_VEC_GP);
	/* null selector */
	v->seg[X86_DS].attr |= X86_SEG_UNUSABLE;
	assert_int_equal(RUN(&rig, 0x8b, 0x03), X86_VEC_GP);
}

static void an_expand_down_segment_is_valid_above_its_limit(void **state)
{
	struct sc_vcpu *v = rig.v;

	rig_protected(&rig, 4, 0);
	v->seg[X86_DS].attr = 0xc097;
	v->seg[X86_DS].limit = DATA_GPA;
	v->gpr[X86_RBX] = DATA_GPA;
	assert_int_equal(RUN(&rig, 0x8a, 0x03), X86_VEC_GP);
	v->gpr[X86_RBX] = DATA_GPA + 1;
	assert_int_equal(RUN(&rig, 0x8a, 0x03), NO_EXCEPTION);
	v->seg[X86_DS].attr = 0x8097; /* 16 bit: upper bound ffff */
	v->gpr[X86_RBX] = DATA_GPA + 1;
	assert_int_equal(RUN(&rig, 0x8a, 0x03), X86_VEC_GP);
}

static void a_non_canonical_address_faults_by_its_segment(void **state)
{
	rig_long(&rig, 3);
	rig.v->gpr[X86_RBX] = 0x800000000000;
	assert_int_equal(RUN(&rig, 0x8b, 0x03), X86_VEC_GP);
	rig.v->gpr[X86_RBP] = 0x800000000000;
	assert_int_equal(RUN(&rig, 0x8b, 0x45, 0x00), X86_VEC_SS);
	rig.v->gpr[X86_RBX] = 0x7ffffffffffd;
	assert_int_equal(RUN(&rig, 0x8b, 0x03), X86_VEC_GP); /* its last byte */
}

static void fs_and_gs_have_bases_in_64_bit_code(void **state)
{
	rig_long(&rig, 3);
	rig.v->seg[X86_GS].base = DATA;
	rig.v->seg[X86_DS].base = 0x1234; /* ignored */
	sc_seg_changed(rig.v);
	*data_at(8) = 0x77;
	rig.v->gpr[X86_RBX] = 8;
	assert_int_equal(RUN(&rig, 0x65, 0x8a, 0x03), NO_EXCEPTION);
	assert_int_equal(rig.v->gpr[X86_RAX] & 0xff, 0x77);
}

static void alignment_checks_are_for_ring_3_with_ac(void **state)
{
	rig_long(&rig, 3);
	rig.v->gpr[X86_RBX] = DATA + 1;
	rig.v->rflags |= X86_FLAG_AC;
	assert_int_equal(RUN(&rig, 0x8a, 0x03), NO_EXCEPTION);
	rig.v->rip = CODE;
	assert_int_equal(RUN(&rig, 0x8b, 0x03), NO_EXCEPTION); /* CR0.AM is off */
	rig.v->cr0 |= X86_CR0_AM;
	rig.v->rip = CODE;
	assert_int_equal(rig_step(&rig), X86_VEC_AC);
	assert_int_equal(rig.v->exc.error, 0);
	rig.v->rflags &= ~(u64)X86_FLAG_AC;
	assert_int_equal(rig_step(&rig), NO_EXCEPTION);
}

/* ------------------------------------------------------------------ stack */

static void a_push_that_faults_leaves_rsp(void **state)
{
	rig_long(&rig, 3);
	rig.v->gpr[X86_RSP] = DATA;
	assert_int_equal(RUN(&rig, 0x50), X86_VEC_PF);
	assert_int_equal(rig.v->gpr[X86_RSP], DATA);
	assert_int_equal(rig.v->exc.cr2, DATA - 8);
	assert_int_equal(RUN(&rig, 0xe8, 0, 1, 0, 0), X86_VEC_PF);
	assert_int_equal(rig.v->rip, CODE);
}

static void a_pusha_that_faults_leaves_rsp(void **state)
{
	rig_protected(&rig, 4, 0);
	memset(data_at(0), 0x11, 64);
	rig.v->gpr[X86_RSP] = DATA_GPA + 16;
	rig.v->seg[X86_SS].attr = 0xc097; /* expand-down: nothing at or below the limit */
	rig.v->seg[X86_SS].limit = DATA_GPA - 1;
	assert_int_equal(RUN(&rig, 0x60), X86_VEC_SS);
	/* As on the host, what was pushed before the fault is there: eax, ecx, edx, ebx */
	assert_int_equal(ram64(DATA_GPA) & 0xffffffff, (u32)rig.v->gpr[X86_RBX]);
	assert_int_equal(ram64(DATA_GPA - 8), 0);
	assert_int_equal(rig.v->gpr[X86_RSP], DATA_GPA + 16);
	rig.v->gpr[X86_RSP] = DATA_GPA + 32;
	rig.v->gpr[X86_RDI] = 7;
	rig.v->gpr[X86_RAX] = 1;
	assert_int_equal(rig_step(&rig), NO_EXCEPTION);
	assert_int_equal(ram64(DATA_GPA) & 0xffffffff, 7);
	assert_int_equal(ram64(DATA_GPA + 24) >> 32, 1);
	assert_int_equal(ram64(DATA_GPA + 12) & 0xffffffff, DATA_GPA + 32); /* old ESP */
	assert_int_equal(rig.v->gpr[X86_RSP], DATA_GPA);
}

static void a_16_bit_stack_wraps_and_keeps_the_upper_half(void **state)
{
	rig_real(&rig);
	rig.v->gpr[X86_RSP] = 0xabcd0000;
	rig.v->gpr[X86_RAX] = 0x55aa;
	assert_int_equal(RUN(&rig, 0x50), NO_EXCEPTION);
	assert_int_equal(rig.v->gpr[X86_RSP], 0xabcdfffe);
	assert_int_equal(ram64(0x8fffe) & 0xffff, 0x55aa);
	assert_int_equal(RUN(&rig, 0x5b), NO_EXCEPTION);
	assert_int_equal(rig.v->gpr[X86_RBX], 0x55aa);
	assert_int_equal(rig.v->gpr[X86_RSP], 0xabcd0000);
}

static void call_and_ret_cut_to_the_operand_size(void **state)
{
	rig_real(&rig);
	rig.v->rip = 0x100;
	rig.v->gpr[X86_RSP] = 0x1000;
	assert_int_equal(RUN(&rig, 0xe8, 0x00, 0xff), NO_EXCEPTION); /* to 0x103 - 0x100 */
	assert_int_equal(rig.v->rip, 3);
	assert_int_equal(ram64(0x80ffe) & 0xffff, 0x103);
	assert_int_equal(RUN(&rig, 0xc2, 6, 0), NO_EXCEPTION); /* ret 6 */
	assert_int_equal(rig.v->rip, 0x103);
	assert_int_equal(rig.v->gpr[X86_RSP], 0x1006);
}

static void a_jump_to_a_non_canonical_place_faults_at_the_jump(void **state)
{
	rig_long(&rig, 3);
	rig.v->gpr[X86_RAX] = 0x8000000000000000;
	assert_int_equal(RUN(&rig, 0xff, 0xe0), X86_VEC_GP);
	assert_int_equal(rig.v->rip, CODE);
	rig.v->gpr[X86_RSP] = DATA + 0x100;
	memset(data_at(0x100), 0x80, 8);
	assert_int_equal(RUN(&rig, 0xc3), X86_VEC_GP);
	assert_int_equal(rig.v->gpr[X86_RSP], DATA + 0x100);
}

static void loops_count_in_the_address_size(void **state)
{
	rig_long(&rig, 3);
	rig.v->gpr[X86_RCX] = 0x100000001;
	assert_int_equal(RUN(&rig, 0x67, 0xe2, 0x10), NO_EXCEPTION); /* loop with ECX = 1 */
	assert_int_equal(rig.v->rip, CODE + 3);
	assert_int_equal(rig.v->gpr[X86_RCX], 0);
	rig.v->rip = CODE;
	assert_int_equal(RUN(&rig, 0xe3, 0x10), NO_EXCEPTION); /* jrcxz */
	assert_int_equal(rig.v->rip, CODE + 0x12);
	rig.v->rip = CODE;
	rig.v->gpr[X86_RCX] = 5;
	rig.v->rflags |= X86_FLAG_ZF;
	assert_int_equal(RUN(&rig, 0xe0, 0x10), NO_EXCEPTION); /* loopne */
	assert_int_equal(rig.v->rip, CODE + 2);
	rig.v->rip = CODE;
	assert_int_equal(RUN(&rig, 0xe1, 0x10), NO_EXCEPTION); /* loope */
	assert_int_equal(rig.v->rip, CODE + 0x12);
	assert_int_equal(rig.v->gpr[X86_RCX], 3);
}

/* ---------------------------------------------------------- locked access */

static void a_locked_add_works_across_two_pages(void **state)
{
	rig_long(&rig, 3);
	memset(data_at(4094), 0xff, 4);
	rig.v->gpr[X86_RBX] = DATA + 4094;
	rig.v->gpr[X86_RAX] = 0x00010001;
	assert_int_equal(RUN(&rig, 0xf0, 0x01, 0x03), NO_EXCEPTION);
	assert_int_equal(ram64(DATA_GPA + 4094) & 0xffffffff, 0x00010000);
	assert_true(rig.v->rflags & X86_FLAG_CF);
}

static void a_fault_in_a_split_lock_leaves_the_bus_free(void **state)
{
	rig_long(&rig, 3);
	rig.v->gpr[X86_RBX] = DATA + DATA_PAGES * 4096 - 2;
	assert_int_equal(RUN(&rig, 0xf0, 0x01, 0x03), X86_VEC_PF);
	assert_int_equal(rig.v->exc.cr2, DATA + DATA_PAGES * 4096);
	assert_int_equal(rig.v->rip, CODE);
	assert_int_equal(pthread_mutex_trylock(&rig.v->vm->bus_lock), 0);
	pthread_mutex_unlock(&rig.v->vm->bus_lock);
}

static void cmpxchg16b_wants_alignment(void **state)
{
	rig_long(&rig, 3);
	rig.v->gpr[X86_RSI] = DATA + 8;
	assert_int_equal(RUN(&rig, 0xf0, 0x48, 0x0f, 0xc7, 0x0e), X86_VEC_GP);
	memset(data_at(16), 0, 16);
	rig.v->gpr[X86_RSI] = DATA + 16;
	rig.v->gpr[X86_RBX] = 3;
	rig.v->gpr[X86_RCX] = 4;
	assert_int_equal(rig_step(&rig), NO_EXCEPTION);
	assert_int_equal(ram64(DATA_GPA + 16), 3);
	assert_int_equal(ram64(DATA_GPA + 24), 4);
	assert_true(rig.v->rflags & X86_FLAG_ZF);
}

static void a_failed_cmpxchg_needs_a_writable_page(void **state)
{
	u64 *pte = (u64 *)(rig.ram + 0x4000) + 0x10;

	rig_long(&rig, 3);
	*pte &= ~2ull;
	sc_flush_tlb(rig.v, true);
	memset(data_at(0), 1, 8);
	rig.v->gpr[X86_RBX] = DATA;
	assert_int_equal(RUN(&rig, 0x0f, 0xb1, 0x0b), X86_VEC_PF);
	assert_int_equal(rig.v->exc.error, SC_PF_P | SC_PF_W | SC_PF_U);
	*pte |= 2;
}

/* ---------------------------------------------------------------- devices */

static void a_device_sees_one_read_and_one_write_for_an_add(void **state)
{
	rig_long(&rig, 0);
	rig.mmio_reads = rig.mmio_writes = 0;
	rig.mmio_value = 40;
	rig.v->gpr[X86_RBX] = DEVICE;
	rig.v->gpr[X86_RAX] = 2;
	assert_int_equal(RUN(&rig, 0xf0, 0x01, 0x03), NO_EXCEPTION);
	assert_int_equal(rig.mmio_reads, 1);
	assert_int_equal(rig.mmio_writes, 1);
	assert_int_equal(rig.mmio_value, 42);
}

static void a_repeated_move_from_a_device_reads_each_element_once(void **state)
{
	rig_long(&rig, 0);
	rig.mmio_reads = 0;
	rig.mmio_value = 0x61;
	rig.v->gpr[X86_RSI] = DEVICE;
	rig.v->gpr[X86_RDI] = DATA;
	rig.v->gpr[X86_RCX] = 5;
	assert_int_equal(RUN(&rig, 0xf3, 0xa4), NO_EXCEPTION);
	assert_int_equal(rig.mmio_reads, 5);
	assert_memory_equal(data_at(0), "aaaaa", 5);
	assert_int_equal(rig.v->rip, CODE + 2);
}

static void clflush_does_not_disturb_a_device(void **state)
{
	rig_long(&rig, 0);
	rig.mmio_reads = 0;
	rig.v->gpr[X86_RBX] = DEVICE;
	assert_int_equal(RUN(&rig, 0x0f, 0xae, 0x3b), NO_EXCEPTION);
	assert_int_equal(rig.mmio_reads, 0);
}

static void ports_move_the_operand_size(void **state)
{
	rig_long(&rig, 0);
	rig.pio_writes = 0;
	rig.v->gpr[X86_RAX] = 0x1122334455667788;
	rig.v->gpr[X86_RDX] = 0x3f8;
	assert_int_equal(RUN(&rig, 0x66, 0xef), NO_EXCEPTION); /* out dx, ax */
	assert_int_equal(rig.pio_value, 0x7788);
	rig.v->rip = CODE;
	rig.pio_value = 0xa1b2c3d4;
	assert_int_equal(RUN(&rig, 0xed), NO_EXCEPTION); /* in eax, dx */
	assert_int_equal(rig.v->gpr[X86_RAX], 0xa1b2c3d4);
	rig.v->rip = CODE;
	assert_int_equal(RUN(&rig, 0xe4, 0x60), NO_EXCEPTION); /* in al, 0x60 */
	assert_int_equal(rig.v->gpr[X86_RAX], 0xa1b2c3d4);
	assert_int_equal(rig.pio_writes, 1);
}

static void ins_does_not_read_the_port_when_the_store_would_fault(void **state)
{
	rig_long(&rig, 0);
	rig.pio_reads = 0;
	rig.v->gpr[X86_RDX] = 0x1f0;
	rig.v->gpr[X86_RDI] = DATA + DATA_PAGES * 4096;
	assert_int_equal(RUN(&rig, 0x66, 0x6d), X86_VEC_PF);
	assert_int_equal(rig.pio_reads, 0);
}

static void ports_are_closed_to_ring_3_without_iopl(void **state)
{
	rig_long(&rig, 3);
	rig.v->seg[X86_TR].attr = 0x8b;
	rig.v->seg[X86_TR].limit = 0x67;
	memset(rig.ram + 0x66, 0xff, 2); /* no I/O bitmap */
	assert_int_equal(RUN(&rig, 0xe4, 0x60), X86_VEC_GP);
	rig.v->rflags |= 3 << 12;
	assert_int_equal(rig_step(&rig), NO_EXCEPTION);
}

/* ---------------------------------------------------------------- strings */

static void a_repeated_store_stops_for_attention_and_goes_on(void **state)
{
	struct sc_vcpu *v = rig.v;
	unsigned calls = 0;

	rig_long(&rig, 0);
	memset(data_at(0), 0, DATA_PAGES * 4096);
	v->gpr[X86_RDI] = DATA + 100;
	v->gpr[X86_RCX] = 9000;
	v->gpr[X86_RAX] = 0x77;
	sc_attention(v, SC_ATTN_INTR);
	rig_code(&rig, "\xf3\xaa", 2);
	while (v->rip == CODE && calls < 100) {
		u64 before = v->gpr[X86_RCX];

		assert_int_equal(rig_step(&rig), NO_EXCEPTION);
		assert_true(v->gpr[X86_RCX] < before);
		assert_int_equal(v->gpr[X86_RDI], DATA + 100 + 9000 - v->gpr[X86_RCX]);
		assert_int_equal(v->rf_next, v->rip == CODE);
		calls++;
	}
	assert_true(calls > 1 && calls < 100);
	for (unsigned i = 0; i < DATA_PAGES * 4096; i++)
		assert_int_equal(*data_at(i), i >= 100 && i < 9100 ? 0x77 : 0);
}

static void a_repeated_move_faults_with_its_registers_at_the_fault(void **state)
{
	struct sc_vcpu *v = rig.v;
	u64 end = DATA + DATA_PAGES * 4096;

	rig_long(&rig, 3);
	v->gpr[X86_RSI] = DATA;
	v->gpr[X86_RDI] = end - 10;
	v->gpr[X86_RCX] = 20;
	assert_int_equal(RUN(&rig, 0xf3, 0xa4), X86_VEC_PF);
	assert_int_equal(v->exc.cr2, end);
	assert_int_equal(v->gpr[X86_RCX], 10);
	assert_int_equal(v->gpr[X86_RSI], DATA + 10);
	assert_int_equal(v->gpr[X86_RDI], end);
	assert_int_equal(v->rip, CODE);
}

static void single_step_sees_every_iteration(void **state)
{
	rig_long(&rig, 3);
	rig.v->gpr[X86_RDI] = DATA;
	rig.v->gpr[X86_RCX] = 3;
	rig.v->rflags |= X86_FLAG_TF;
	assert_int_equal(RUN(&rig, 0xf3, 0xaa), NO_EXCEPTION);
	assert_int_equal(rig.v->gpr[X86_RCX], 2);
	assert_int_equal(rig.v->rip, CODE);
}

static void strings_in_real_mode_wrap_and_use_the_override(void **state)
{
	struct sc_vcpu *v = rig.v;

	rig_real(&rig);
	v->seg[X86_FS].base = 0x60000;
	memcpy(rig.ram + 0x6fffe, "ab", 2);
	memcpy(rig.ram + 0x60000, "cd", 2);
	v->gpr[X86_RSI] = 0xfffe;
	v->gpr[X86_RDI] = 0x500;
	v->gpr[X86_RCX] = 4;
	assert_int_equal(RUN(&rig, 0x64, 0xf3, 0xa4), NO_EXCEPTION); /* rep movsb from fs:si */
	assert_memory_equal(rig.ram + 0x80500, "abcd", 4);
	assert_int_equal(v->gpr[X86_RSI], 2);
}

/* ----------------------------------------------------------------- system */

static void sti_shadows_one_instruction_only_when_it_sets_if(void **state)
{
	rig_long(&rig, 0);
	rig.v->rflags &= ~(u64)X86_FLAG_IF;
	rig.v->int_shadow = 0;
	assert_int_equal(RUN(&rig, 0xfb), NO_EXCEPTION);
	assert_true(rig.v->rflags & X86_FLAG_IF);
	assert_int_equal(rig.v->int_shadow, 1);
	rig.v->int_shadow = 0;
	rig.v->rip = CODE;
	assert_int_equal(rig_step(&rig), NO_EXCEPTION);
	assert_int_equal(rig.v->int_shadow, 0);
}

static void loading_ss_shadows_the_next_instruction(void **state)
{
	rig_real(&rig);
	rig.v->gpr[X86_RAX] = 0x7000;
	assert_int_equal(RUN(&rig, 0x8e, 0xd0), NO_EXCEPTION); /* mov ss, ax */
	assert_int_equal(rig.v->int_shadow, 2);
	assert_int_equal(rig.v->seg[X86_SS].base, 0x70000);
}

static void ring_3_may_not(void **state)
{
	static const u8 list[][5] = {
		{ 0xf4 }, { 0xfa }, { 0xfb }, { 0x0f, 0x06 }, { 0x0f, 0x20, 0xc0 },
		{ 0x0f, 0x22, 0xd8 }, { 0x0f, 0x21, 0xf8 }, { 0x0f, 0x30 }, { 0x0f, 0x32 },
		{ 0x0f, 0x09 }, { 0x0f, 0x01, 0xf8 }, { 0x0f, 0x01, 0x13 }, { 0x0f, 0x01, 0x1b },
		{ 0x0f, 0x00, 0xd0 }, { 0x0f, 0x00, 0xd8 }, { 0x0f, 0x01, 0xf0 }, { 0x0f, 0x01, 0x3b },
		{ 0x0f, 0x33 },
	};

	rig_long(&rig, 3);
	rig.v->gpr[X86_RBX] = DATA;
	for (unsigned i = 0; i < ARRAY_LEN(list); i++) {
		rig_code(&rig, list[i], sizeof(list[i]));
		if (rig_step(&rig) != X86_VEC_GP)
			fail_msg("bytes %02x %02x %02x were allowed", list[i][0], list[i][1], list[i][2]);
	}
}

static void hlt_halts_after_itself(void **state)
{
	rig_long(&rig, 0);
	assert_int_equal(RUN(&rig, 0xf4), NO_EXCEPTION);
	assert_true(rig.v->halted);
	assert_int_equal(rig.v->rip, CODE + 1);
	rig.v->halted = false;
}

static void descriptor_table_registers_have_the_size_of_the_mode(void **state)
{
	struct sc_vcpu *v = rig.v;
	static const u8 image[10] = { 0xff, 0x0f, 0x78, 0x56, 0x34, 0x12, 0, 0x80, 0xff, 0xff };

	rig_long(&rig, 0);
	memcpy(data_at(0), image, 10);
	v->gpr[X86_RBX] = DATA;
	assert_int_equal(RUN(&rig, 0x0f, 0x01, 0x13), NO_EXCEPTION); /* lgdt */
	assert_int_equal(v->gdt.base, 0xffff800012345678);
	assert_int_equal(v->gdt.limit, 0xfff);
	v->rip = CODE;
	v->gpr[X86_RBX] = DATA + 16;
	assert_int_equal(RUN(&rig, 0x0f, 0x01, 0x03), NO_EXCEPTION); /* sgdt */
	assert_memory_equal(data_at(16), image, 10);

	rig_real(&rig);
	memcpy(rig.ram + 0x80100, image, 6);
	v->gpr[X86_RBX] = 0x100;
	assert_int_equal(RUN(&rig, 0x0f, 0x01, 0x1f), NO_EXCEPTION); /* lidt, 24-bit base */
	assert_int_equal(v->idt.base, 0x345678);
	v->rip = 0;
	assert_int_equal(RUN(&rig, 0x66, 0x0f, 0x01, 0x1f), NO_EXCEPTION);
	assert_int_equal(v->idt.base, 0x12345678);
}

static void lmsw_sets_pe_but_does_not_clear_it(void **state)
{
	rig_real(&rig);
	rig.v->gpr[X86_RAX] = 1;
	assert_int_equal(RUN(&rig, 0x0f, 0x01, 0xf0), NO_EXCEPTION);
	assert_true(rig.v->cr0 & X86_CR0_PE);
	rig.v->gpr[X86_RAX] = 0;
	rig.v->rip = 0;
	assert_int_equal(rig_step(&rig), NO_EXCEPTION);
	assert_true(rig.v->cr0 & X86_CR0_PE);
}

static void swapgs_exchanges_the_bases(void **state)
{
	rig_long(&rig, 0);
	rig.v->msr.kernel_gs_base = 0x1000;
	rig.v->seg[X86_GS].base = 0x2000;
	assert_int_equal(RUN(&rig, 0x0f, 0x01, 0xf8), NO_EXCEPTION);
	assert_int_equal(rig.v->seg[X86_GS].base, 0x1000);
	assert_int_equal(rig.v->gs_base, 0x1000);
	assert_int_equal(rig.v->msr.kernel_gs_base, 0x2000);
}

static void protected_mode_instructions_are_undefined_in_real_mode(void **state)
{
	rig_real(&rig);
	assert_int_equal(RUN(&rig, 0x0f, 0x00, 0xc0), X86_VEC_UD); /* sldt */
	assert_int_equal(RUN(&rig, 0x0f, 0x02, 0xc0), X86_VEC_UD); /* lar */
	assert_int_equal(RUN(&rig, 0x63, 0xc0), X86_VEC_UD);	   /* arpl */
	assert_int_equal(RUN(&rig, 0xc4, 0xe2, 0x78, 0xf2, 0xc1), X86_VEC_UD); /* andn */
}

static void bound_and_into_trap_only_outside(void **state)
{
	static const s32 bounds[2] = { -2, 5 };
	struct sc_vcpu *v = rig.v;

	rig_protected(&rig, 4, 0);
	memcpy(data_at(0), bounds, 8);
	v->gpr[X86_RBX] = DATA_GPA;
	v->gpr[X86_RAX] = (u32)-2;
	assert_int_equal(RUN(&rig, 0x62, 0x03), NO_EXCEPTION);
	v->rip = CODE_GPA;
	v->gpr[X86_RAX] = 6;
	assert_int_equal(rig_step(&rig), X86_VEC_BR);
	v->rflags &= ~(u64)X86_FLAG_OF;
	assert_int_equal(RUN(&rig, 0xce), NO_EXCEPTION);
	assert_int_equal(v->rip, CODE_GPA + 1);
}

static void a_feature_that_cpuid_hides_is_undefined(void **state)
{
	struct rig other;

	rig_open(&other);
	other.v->num_cpuid = 0;
	rig_long(&other, 3);
	other.v->gpr[X86_RCX] = 6;
	assert_int_equal(RUN(&other, 0xf3, 0x0f, 0xb8, 0xc1), X86_VEC_UD); /* popcnt */
	assert_int_equal(RUN(&other, 0xf3, 0x0f, 0xbc, 0xc1), NO_EXCEPTION); /* tzcnt is bsf then */
	assert_int_equal(other.v->gpr[X86_RAX], 1);
	other.v->gpr[X86_RCX] = 0;
	other.v->rip = CODE;
	assert_int_equal(rig_step(&other), NO_EXCEPTION);
	assert_int_equal(other.v->gpr[X86_RAX], 1); /* tzcnt would say 32 */
	rig_close(&other);
	rig_long(&rig, 3);
	rig.v->gpr[X86_RCX] = 6;
	assert_int_equal(RUN(&rig, 0xf3, 0x0f, 0xb8, 0xc1), NO_EXCEPTION);
	assert_int_equal(rig.v->gpr[X86_RAX], 2);
}

static void rf_is_gone_after_an_instruction(void **state)
{
	rig_long(&rig, 3);
	rig.v->rflags |= X86_FLAG_RF;
	assert_int_equal(RUN(&rig, 0x90), NO_EXCEPTION);
	assert_false(rig.v->rflags & X86_FLAG_RF);
}

static void the_decoder_tells_registers_and_flags(void **state)
{
	struct sc_insn in;

	assert_int_equal(sc_decode(NULL, 8, (const u8 *)"\x48\x11\x44\x8b\x10", 5, &in), SC_DEC_OK);
	assert_int_equal(in.cls, SC_C_ALU); /* adc [rbx+rcx*4+16], rax */
	assert_int_equal(in.sub, 2);
	assert_int_equal(in.gpr_read, BIT(X86_RAX) | BIT(X86_RBX) | BIT(X86_RCX));
	assert_int_equal(in.gpr_written, 0);
	assert_int_equal(in.fl_read, X86_FLAG_CF);
	assert_int_equal(in.fl_killed, SC_ARITH_FLAGS);
	assert_int_equal(in.mem_size, 8);
	assert_int_equal(in.disp, 16);
	assert_int_equal(in.scale, 2);
	/* shl eax, cl may leave the flags; inc keeps CF; a byte write is a read too */
	assert_int_equal(sc_decode(NULL, 8, (const u8 *)"\xd3\xe0", 2, &in), SC_DEC_OK);
	assert_int_equal(in.fl_killed, 0);
	assert_true(in.fl_written & X86_FLAG_CF);
	assert_int_equal(sc_decode(NULL, 8, (const u8 *)"\xff\xc0", 2, &in), SC_DEC_OK);
	assert_false(in.fl_written & X86_FLAG_CF);
	assert_int_equal(sc_decode(NULL, 8, (const u8 *)"\xb0\x01", 2, &in), SC_DEC_OK);
	assert_true(in.gpr_read & BIT(X86_RAX));
	assert_int_equal(sc_decode(NULL, 8, (const u8 *)"\x48\x8b", 2, &in), SC_DEC_MORE);
	/* of two hidden operands the one with the prefix */
	assert_int_equal(sc_decode(NULL, 8, (const u8 *)"\x64\xf3\xa4", 3, &in), SC_DEC_OK);
	assert_int_equal(in.seg, X86_FS);
	assert_true(in.flags & SC_I_REP);
	/* SIB without base stays so under REX.B and an address prefix */
	assert_int_equal(sc_decode(NULL, 8, (const u8 *)"\x67\x41\x8b\x04\x6d\x44\x33\x22\x11", 9, &in),
			 SC_DEC_OK);
	assert_int_equal(in.base, SC_REG_NONE);
	assert_int_equal(in.disp, 0x11223344);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_instruction_over_an_unmapped_page_faults_at_the_second_page),
		cmocka_unit_test(an_instruction_that_ends_at_the_page_end_runs),
		cmocka_unit_test(sixteen_bytes_are_too_long),
		cmocka_unit_test(code_past_the_segment_limit_is_a_protection_fault),
		cmocka_unit_test(what_is_no_instruction_is_undefined),
		cmocka_unit_test(new_bytes_are_seen_at_once),
		cmocka_unit_test(real_mode_adds_the_segment_base),
		cmocka_unit_test(a_word_at_the_end_of_a_64k_segment_faults),
		cmocka_unit_test(sixteen_bit_addresses_wrap),
		cmocka_unit_test(protected_mode_checks_rights_and_limits),
		cmocka_unit_test(an_expand_down_segment_is_valid_above_its_limit),
		cmocka_unit_test(a_non_canonical_address_faults_by_its_segment),
		cmocka_unit_test(fs_and_gs_have_bases_in_64_bit_code),
		cmocka_unit_test(alignment_checks_are_for_ring_3_with_ac),
		cmocka_unit_test(a_push_that_faults_leaves_rsp),
		cmocka_unit_test(a_pusha_that_faults_leaves_rsp),
		cmocka_unit_test(a_16_bit_stack_wraps_and_keeps_the_upper_half),
		cmocka_unit_test(call_and_ret_cut_to_the_operand_size),
		cmocka_unit_test(a_jump_to_a_non_canonical_place_faults_at_the_jump),
		cmocka_unit_test(loops_count_in_the_address_size),
		cmocka_unit_test(a_locked_add_works_across_two_pages),
		cmocka_unit_test(a_fault_in_a_split_lock_leaves_the_bus_free),
		cmocka_unit_test(cmpxchg16b_wants_alignment),
		cmocka_unit_test(a_failed_cmpxchg_needs_a_writable_page),
		cmocka_unit_test(a_device_sees_one_read_and_one_write_for_an_add),
		cmocka_unit_test(a_repeated_move_from_a_device_reads_each_element_once),
		cmocka_unit_test(clflush_does_not_disturb_a_device),
		cmocka_unit_test(ports_move_the_operand_size),
		cmocka_unit_test(ins_does_not_read_the_port_when_the_store_would_fault),
		cmocka_unit_test(ports_are_closed_to_ring_3_without_iopl),
		cmocka_unit_test(a_repeated_store_stops_for_attention_and_goes_on),
		cmocka_unit_test(a_repeated_move_faults_with_its_registers_at_the_fault),
		cmocka_unit_test(single_step_sees_every_iteration),
		cmocka_unit_test(strings_in_real_mode_wrap_and_use_the_override),
		cmocka_unit_test(sti_shadows_one_instruction_only_when_it_sets_if),
		cmocka_unit_test(loading_ss_shadows_the_next_instruction),
		cmocka_unit_test(ring_3_may_not),
		cmocka_unit_test(hlt_halts_after_itself),
		cmocka_unit_test(descriptor_table_registers_have_the_size_of_the_mode),
		cmocka_unit_test(lmsw_sets_pe_but_does_not_clear_it),
		cmocka_unit_test(swapgs_exchanges_the_bases),
		cmocka_unit_test(protected_mode_instructions_are_undefined_in_real_mode),
		cmocka_unit_test(bound_and_into_trap_only_outside),
		cmocka_unit_test(a_feature_that_cpuid_hides_is_undefined),
		cmocka_unit_test(rf_is_gone_after_an_instruction),
		cmocka_unit_test(the_decoder_tells_registers_and_flags),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
