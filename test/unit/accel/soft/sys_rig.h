// SPDX-License-Identifier: BSD-2-Clause
/* test/unit/accel/soft/sys_rig.h - A VM with 2 vCPUs and 2 MiB for the tests of sys/
 *
 * Included by each test program once. Everything is identity-mapped: paging is off, or
 * one 2 MiB user page in long mode. A fault is caught as the dispatch loop would. */
#ifndef TEST_SYS_RIG_H
#define TEST_SYS_RIG_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "accel/soft/cache/cache.h"
#include "accel/soft/sys/sys_int.h"

#define RAM_BYTES (2u << 20)
#define PML4_AT 0x1000u
#define GDT_AT 0x4000u
#define IDT_AT 0x5000u
#define TSS_AT 0x6000u
#define TSS2_AT 0x6800u
#define LDT_AT 0x6c00u
#define STACK0 0x8000u /* top of ring 0's stack from the TSS */
#define STACK3 0xa000u /* where RSP starts */
#define IST1 0xc000u
#define CODE 0x10000u
#define HANDLER 0x11000u
#define NOWHERE 0x40000000u /* not mapped in long mode */

/* Selectors of the GDT that rig_tables() writes */
enum {
	S_CODE0 = 0x08, S_DATA0 = 0x10, S_CODE3 = 0x1b, S_DATA3 = 0x23, S_CODE64 = 0x28,
	S_CODE64_3 = 0x33, S_TSS = 0x38 /* two entries */, S_TSS2 = 0x48, S_LDT = 0x58,
	S_GATE = 0x68 /* two entries */, S_ABSENT = 0x78, S_CONFORMING = 0x80, S_RO = 0x88,
	S_CODE16 = 0x90, S_TASK_GATE = 0x98, GDT_BYTES = 0xa0
};

struct rig {
	struct accel_vm *vm;
	struct sc_vcpu *v, *v1;
	u8 *ram;
	u64 msr_val;
	u32 msr_index;
	int msr_rc;
	u8 tpr;
	unsigned kicked, pio_port, pio_size, resets;
	u64 pio_val, clock;
};

static void rig_pio(void *m, unsigned cpu, u16 port, void *data, unsigned len, bool write)
{
	struct rig *r = m;

	r->pio_port = port;
	r->pio_size = len;
	if (write)
		r->pio_val = 0;
	memcpy(write ? (void *)&r->pio_val : data, write ? data : (void *)&r->pio_val, len);
}

static void rig_mmio(void *m, unsigned cpu, gpa_t gpa, void *data, unsigned len, bool write)
{
	if (!write)
		memset(data, 0xff, len);
}

static int rig_msr(void *m, unsigned cpu, u32 index, u64 *val, bool write)
{
	struct rig *r = m;

	r->msr_index = index;
	if (write)
		r->msr_val = *val;
	else
		*val = r->msr_val;
	return r->msr_rc;
}

static void rig_tpr(void *m, unsigned cpu, u8 cr8) { ((struct rig *)m)->tpr = cr8; }
static u8 rig_tpr_get(void *m, unsigned cpu) { return ((struct rig *)m)->tpr; }
static u64 rig_clock(void *m) { return ((struct rig *)m)->clock; }
static void rig_kick(void *m, unsigned cpu) { ((struct rig *)m)->kicked |= BIT(cpu); }

static const struct accel_host rig_host = {
	.mmio = rig_mmio, .pio = rig_pio, .msr = rig_msr, .tpr = rig_tpr, .tpr_get = rig_tpr_get,
	.clock_ns = rig_clock, .kick_halted = rig_kick,
};

static struct rig rig;
static struct sc_vcpu *cpu0; /* rig.v */

/* ------------------------------------------------------------------ catching */

typedef void act_fn(u64 a, u64 b, u64 c);

/* true: @fn threw, and cpu0->exc says what */
static bool __attribute__((noinline)) throws(act_fn *fn, u64 a, u64 b, u64 c)
{
	volatile bool caught = true;

	cpu0->exc = (struct sc_exception){ .vector = 0xff };
	if (!__builtin_setjmp(cpu0->throw_buf)) {
		fn(a, b, c);
		caught = false;
	}
	return caught;
}

/* @fn throws @vector with @error (-1: none), and rip stayed */
static UNUSED void must_throw(unsigned vector, int error, act_fn *fn, u64 a, u64 b, u64 c)
{
	u64 rip = cpu0->rip;

	assert_true(throws(fn, a, b, c));
	assert_int_equal(cpu0->exc.vector, vector);
	assert_int_equal(cpu0->exc.has_error, error >= 0);
	if (error >= 0)
		assert_int_equal(cpu0->exc.error, error);
	assert_int_equal(cpu0->rip, rip);
}

static UNUSED void must_do(act_fn *fn, u64 a, u64 b, u64 c)
{
	if (throws(fn, a, b, c))
		fail_msg("threw vector %u error %#x", cpu0->exc.vector, cpu0->exc.error);
}

/* ------------------------------------------------------------------- memory */

static UNUSED u64 rd(u64 at, unsigned size)
{
	u64 val = 0;

	memcpy(&val, rig.ram + at, size);
	return val;
}

static UNUSED void wr(u64 at, u64 val, unsigned size) { memcpy(rig.ram + at, &val, size); }

/* Descriptor; @access is the type byte, @flags the upper nibble (G D/B L AVL) */
static UNUSED u64 desc(u32 base, u32 limit, u8 access, u8 flags)
{
	return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)access << 40 |
	       (u64)(limit >> 16 & 15) << 48 | (u64)flags << 52 | (u64)(base >> 24) << 56;
}

static UNUSED void gdt_set(u16 sel, u64 raw) { wr(GDT_AT + (sel & ~7u), raw, 8); }
static UNUSED u64 gdt_get(u16 sel) { return rd(GDT_AT + (sel & ~7u), 8); }

static UNUSED u64 gate(u16 sel, u32 off, u8 access)
{
	return (off & 0xffff) | (u64)sel << 16 | (u64)access << 40 | (u64)(off >> 16) << 48;
}

static UNUSED void idt_set(unsigned vec, u16 sel, u32 off, u8 access, unsigned ist)
{
	unsigned size = sc_long_mode(cpu0) ? 16 : 8;

	wr(IDT_AT + vec * size, gate(sel, off, access) | (u64)ist << 32, 8);
	if (size == 16)
		wr(IDT_AT + vec * size + 8, 0, 8);
}

static UNUSED void rig_tables(void)
{
	memset(rig.ram + GDT_AT, 0, 0x4000);
	gdt_set(S_CODE0, desc(0, 0xfffff, 0x9b, 0xc));
	gdt_set(S_DATA0, desc(0, 0xfffff, 0x93, 0xc));
	gdt_set(S_CODE3, desc(0, 0xfffff, 0xfb, 0xc));
	gdt_set(S_DATA3, desc(0, 0xfffff, 0xf3, 0xc));
	gdt_set(S_CODE64, desc(0, 0xfffff, 0x9b, 0xa));
	gdt_set(S_CODE64_3, desc(0, 0xfffff, 0xfb, 0xa));
	gdt_set(S_TSS, desc(TSS_AT, 0x3ff, 0x89, 0));
	gdt_set(S_LDT, desc(LDT_AT, 0xff, 0x82, 0));
	gdt_set(S_ABSENT, desc(0, 0xfffff, 0x13, 0xc));
	gdt_set(S_CONFORMING, desc(0, 0xfffff, 0x9f, 0xc));
	gdt_set(S_RO, desc(0, 0xfffff, 0x91, 0xc));
	gdt_set(S_CODE16, desc(0, 0xffff, 0x9b, 0));
	cpu0->gdt = (struct x86_table){ GDT_AT, GDT_BYTES - 1 };
	cpu0->idt = (struct x86_table){ IDT_AT, 0xfff };
}

static UNUSED void rig_segs(u16 cs, u16 ss)
{
	unsigned i;

	for (i = 0; i < 6; i++)
		desc_to_seg(gdt_get(i == X86_CS ? cs : ss), i == X86_CS ? cs : ss, &cpu0->seg[i]);
	sc_seg_changed(cpu0);
	sc_mode_update(cpu0);
}

static void rig_clear(void)
{
	sc_cpu_reset(cpu0, true);
	memset(rig.ram, 0, 0x20000);
	memset(cpu0->gpr, 0, sizeof(cpu0->gpr));
	cpu0->rflags = 0x202;
	atomic_store(&cpu0->attention, 0);
	cpu0->intr_wait = false;
	rig_tables();
	cpu0->gpr[X86_RSP] = STACK3;
	cpu0->rip = CODE;
	rig.msr_rc = 0;
}

/* 32-bit protected mode, paging off, at ring @cpl with a TSS whose ring 0 stack is STACK0 */
static UNUSED void rig_protected(unsigned cpl)
{
	rig_clear();
	cpu0->cr0 = X86_CR0_PE | X86_CR0_ET;
	wr(TSS_AT + 4, STACK0, 4);
	wr(TSS_AT + 8, S_DATA0, 4);
	sc_load_tr(cpu0, S_TSS);
	rig_segs(cpl ? S_CODE3 : S_CODE0, cpl ? S_DATA3 : S_DATA0);
}

/* Long mode, 64-bit code */
static UNUSED void rig_long(unsigned cpl)
{
	rig_clear();
	wr(PML4_AT, 0x2007, 8);
	wr(0x2000, 0x3007, 8);
	wr(0x3000, 0xe7, 8);
	cpu0->cr3 = PML4_AT;
	cpu0->cr4 = X86_CR4_PAE;
	cpu0->efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_SCE | X86_EFER_NXE;
	cpu0->cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_WP | X86_CR0_ET;
	sc_flush_tlb(cpu0, true);
	wr(TSS_AT + 4, STACK0, 8);
	wr(TSS_AT + 0x24, IST1, 8);
	sc_load_tr(cpu0, S_TSS);
	rig_segs(cpl ? S_CODE64_3 : S_CODE64, cpl ? S_DATA3 : S_DATA0);
}

static UNUSED void rig_real(void)
{
	rig_clear();
	cpu0->idt = (struct x86_table){ 0, 0x3ff };
	for (unsigned i = 0; i < 6; i++)
		seg_load_real(cpu0, i, 0);
	cpu0->seg[X86_CS].limit = 0xffff;
	cpu0->rip = 0x1234;
	sc_mode_update(cpu0);
}

static int rig_open(void **state)
{
	static struct accel_caps caps;
	struct accel_vm_config cfg = { .cpus = 2, .host = &rig_host, .m = &rig };
	struct accel_ram ram = { .len = RAM_BYTES };
	struct accel_vcpu *av;
	unsigned i;

	memset(&rig, 0, sizeof(rig));
	assert_int_equal(sc_accel_ops.probe(&caps), 0);
	assert_int_equal(sc_accel_ops.vm_create(&rig.vm, &cfg, NULL), 0);
	rig.ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(rig.ram, MAP_FAILED);
	ram.hva = rig.ram;
	assert_int_equal(sc_accel_ops.ram_map(rig.vm, &ram), 0);
	for (i = 0; i < 2; i++) {
		assert_int_equal(sc_accel_ops.vcpu_create(rig.vm, i, &av, NULL), 0);
		caps.cpuid[1].ebx = (caps.cpuid[1].ebx & 0xffffff) | i << 24;
		assert_int_equal(sc_accel_ops.cpuid_set(av, caps.cpuid, caps.num_cpuid), 0);
		*(i ? &rig.v1 : &rig.v) = (struct sc_vcpu *)av;
	}
	cpu0 = rig.v;
	cache_guest_enter(cpu0);
	return 0;
}

static int rig_close(void **state)
{
	cache_guest_leave(cpu0);
	sc_accel_ops.vcpu_destroy(&rig.v1->base);
	sc_accel_ops.vcpu_destroy(&rig.v->base);
	sc_accel_ops.vm_destroy(rig.vm);
	munmap(rig.ram, RAM_BYTES);
	return 0;
}

#endif
