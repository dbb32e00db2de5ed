// SPDX-License-Identifier: BSD-2-Clause
/* test/unit/accel/soft/interp_rig.h - One vCPU with 4 MiB of RAM, for the interpreter's tests
 *
 * Included by each test program once. Guest code sits at CODE, data at DATA; both are
 * mapped there in long mode and in 32-bit paging-off mode they are plain RAM. */
#ifndef TEST_INTERP_RIG_H
#define TEST_INTERP_RIG_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "accel/soft/cache/cache.h"
#include "accel/soft/interp/interp.h"

#define RAM_BYTES (4u << 20)
#define CODE 0x20000000ull
#define DATA 0x20010000ull
#define DATA_PAGES 3
#define DEVICE 0x7fc0000000ull /* long mode */
#define CODE_GPA 0x200000u
#define DATA_GPA 0x210000u

struct rig {
	struct accel_vm *vm;
	struct sc_vcpu *v;
	u8 *ram;
	/* what devices saw */
	unsigned mmio_reads, mmio_writes, pio_writes, pio_reads;
	u64 mmio_value, pio_value;
};

static void rig_mmio(void *m, unsigned cpu, gpa_t gpa, void *data, unsigned len, bool write)
{
	struct rig *r = m;

	if (write) {
		r->mmio_writes++;
		r->mmio_value = 0;
		memcpy(&r->mmio_value, data, len);
	} else {
		r->mmio_reads++;
		memcpy(data, &r->mmio_value, len);
	}
}

static void rig_pio(void *m, unsigned cpu, u16 port, void *data, unsigned len, bool write)
{
	struct rig *r = m;

	if (write) {
		r->pio_writes++;
		r->pio_value = 0;
		memcpy(&r->pio_value, data, len);
	} else {
		r->pio_reads++;
		memcpy(data, &r->pio_value, len);
	}
}

static const struct accel_host rig_host = { .mmio = rig_mmio, .pio = rig_pio };

static UNUSED void rig_open(struct rig *r)
{
	struct accel_vm_config cfg = { .cpus = 1, .host = &rig_host, .m = r };
	static struct accel_caps caps;
	struct accel_vcpu *av;
	struct accel_ram ram = { .len = RAM_BYTES };
	u64 *t;

	memset(r, 0, sizeof(*r));
	assert_int_equal(sc_accel_ops.probe(&caps), 0);
	assert_int_equal(sc_accel_ops.vm_create(&r->vm, &cfg, NULL), 0);
	r->ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(r->ram, MAP_FAILED);
	ram.hva = r->ram;
	assert_int_equal(sc_accel_ops.ram_map(r->vm, &ram), 0);
	assert_int_equal(sc_accel_ops.vcpu_create(r->vm, 0, &av, NULL), 0);
	assert_int_equal(sc_accel_ops.cpuid_set(av, caps.cpuid, caps.num_cpuid), 0);
	r->v = (struct sc_vcpu *)av;
	cache_guest_enter(r->v);

	/* 0..2 MiB identity, CODE and DATA as user pages, DEVICE nowhere in RAM */
	t = (u64 *)r->ram;
	t[0x1000 / 8] = 0x2007;		 /* PML4 */
	t[0x2000 / 8] = 0x3007;		 /* PDPT */
	t[0x2000 / 8 + 511] = 0x40000000 | 0xe7;
	t[0x3000 / 8] = 0xe3;		 /* PD */
	t[0x3000 / 8 + 0x100] = 0x4007;
	t[0x4000 / 8] = CODE_GPA | 0x67; /* PT */
	for (unsigned i = 0; i < DATA_PAGES; i++)
		t[0x4000 / 8 + 0x10 + i] = (DATA_GPA + i * 4096) | 0x67;
}

static UNUSED void rig_close(struct rig *r)
{
	cache_guest_leave(r->v);
	sc_accel_ops.vcpu_destroy(&r->v->base);
	sc_accel_ops.vm_destroy(r->vm);
	munmap(r->ram, RAM_BYTES);
}

static UNUSED void rig_segs(struct sc_vcpu *v, u32 cs_attr, u32 attr, u32 limit, unsigned cpl)
{
	for (unsigned i = 0; i < 6; i++)
		v->seg[i] = (struct x86_segment){ .limit = limit, .attr = attr | cpl << 5,
						  .sel = (u16)(0x10 | cpl) };
	v->seg[X86_CS].attr = cs_attr | cpl << 5;
	v->seg[X86_CS].sel = (u16)(8 | cpl);
	sc_seg_changed(v);
	sc_mode_update(v);
}

static UNUSED void rig_clear(struct sc_vcpu *v)
{
	sc_cpu_reset(v, true);
	memset(v->gpr, 0, sizeof(v->gpr));
	v->rflags = 0x202;
	atomic_store(&v->attention, 0);
}

/* 64-bit code */
static UNUSED void rig_long(struct rig *r, unsigned cpl)
{
	struct sc_vcpu *v = r->v;

	rig_clear(v);
	v->cr3 = 0x1000;
	v->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR;
	v->efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_SCE | X86_EFER_NXE;
	v->cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_WP | X86_CR0_ET | X86_CR0_NE;
	rig_segs(v, 0xa09b, 0xc093, 0xffffffff, cpl);
	sc_flush_tlb(v, true);
	v->rip = CODE;
}

/* Paging off: code and data are at their guest-physical addresses */
static UNUSED void rig_protected(struct rig *r, unsigned size, unsigned cpl)
{
	rig_clear(r->v);
	r->v->cr0 = X86_CR0_PE | X86_CR0_ET;
	rig_segs(r->v, size == 4 ? 0xc09b : 0x809b, size == 4 ? 0xc093 : 0x8093, 0xffffffff, cpl);
	r->v->rip = CODE_GPA;
}

/* CS = DS = SS = ES = 0x8000, code at 8000:0000 */
static UNUSED void rig_real(struct rig *r)
{
	struct sc_vcpu *v = r->v;

	rig_clear(v);
	v->cr0 = X86_CR0_ET;
	for (unsigned i = 0; i < 6; i++)
		v->seg[i] = (struct x86_segment){ .base = 0x80000, .limit = 0xffff, .attr = 0x93,
						  .sel = 0x8000 };
	sc_seg_changed(v);
	sc_mode_update(v);
	v->rip = 0;
}

/* Bytes at where rip points */
static UNUSED void rig_code(struct rig *r, const void *bytes, unsigned len)
{
	struct sc_vcpu *v = r->v;
	u32 gpa = sc_code64(v) ? CODE_GPA + (u32)(v->rip - CODE)
			       : (u32)(v->seg[X86_CS].base + v->rip);

	memcpy(r->ram + gpa, bytes, len);
}

#define NO_EXCEPTION (-1)

/* One instruction; a cut string instruction counts as one. Return: vector or NO_EXCEPTION */
static int __attribute__((noinline)) rig_step(struct rig *rig)
{
	struct rig *volatile r = rig;

	if (__builtin_setjmp(r->v->throw_buf))
		return r->v->exc.vector;
	sc_interp_one(r->v);
	return NO_EXCEPTION;
}

#define RUN(r, ...)                                                 \
	({                                                          \
		static const u8 bytes_[] = { __VA_ARGS__ };         \
		rig_code(r, bytes_, sizeof(bytes_));                \
		rig_step(r);                                        \
	})

#endif
