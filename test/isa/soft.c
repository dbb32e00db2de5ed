// SPDX-License-Identifier: BSD-2-Clause
/* test/isa/soft.c - The engines under test, on a vCPU that is made by hand
 *
 * One vCPU in long mode at CPL 3, paging on, memory only the arena. Interrupts never
 * come. The dispatch loop is not used: an engine here is the smallest loop around its
 * entry point, so that what differs is its fault. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accel/soft/cache/cache.h"
#include "accel/soft/fault/fault.h"
#include "accel/soft/interp/native.h"
#include "accel/soft/mmu/mmu.h"
#include "soft.h"

#define TSS (ISA_SYSTEM + 0x800)
#define IDT (ISA_SYSTEM + 0x1000)
#define STACK_TOP (ISA_SYSTEM + 0x4000)
#define HANDLERS (ISA_SYSTEM + 0x5000) /* 16 bytes a vector */
#define KERNEL_CS 0x10
#define MAX_STEPS 200000u

static struct sc_vm vm;
static struct sc_vcpu *v;

void isa_no_mmio(void *m, unsigned cpu, gpa_t gpa, void *data, unsigned len, bool write)
{
	fprintf(stderr, "the vCPU left the arena: %#llx\n", (unsigned long long)gpa);
	exit(2);
}

/* As Linux has them in a process: FS and GS are null selectors with a base */
static void segments(struct sc_vcpu *cpu, const struct isa_case *c)
{
	const u32 common = X86_SEG_S | X86_SEG_P | X86_SEG_G | 3u << X86_SEG_DPL_SHIFT;
	unsigned bits = c ? c->bits : 8;

	for (unsigned i = 0; i < 6; i++)
		cpu->seg[i] = (struct x86_segment){ .limit = ~0u, .attr = common | X86_SEG_DB | 3,
						    .sel = ISA_DS };
	cpu->seg[X86_CS].attr = common | 0xb | (bits == 8 ? X86_SEG_L : X86_SEG_DB);
	cpu->seg[X86_CS].sel = bits == 8 ? ISA_CS64 : ISA_CS32;
	cpu->seg[X86_FS] = (struct x86_segment){ .base = c ? c->in.fs_base : 0, .attr = X86_SEG_UNUSABLE };
	cpu->seg[X86_GS] = (struct x86_segment){ .base = c ? c->in.gs_base : 0, .attr = X86_SEG_UNUSABLE };
	cpu->cpl = 3;
	sc_seg_changed(cpu);
	sc_mode_update(cpu);
}

static void tables(void)
{
	u64 *idt = (u64 *)IDT, rsp0 = STACK_TOP;
	u16 no_ports = 0x68;

	memset((void *)TSS, 0, 0x80);
	memcpy((u8 *)TSS + 0x66, &no_ports, 2);
	memcpy((u8 *)TSS + 4, &rsp0, 8);
	memset((void *)HANDLERS, 0xf4, 0x1000);
	for (unsigned i = 0; i < 32; i++) {
		u64 at = HANDLERS + 16 * i;
		u64 type = i == X86_VEC_BP || i == X86_VEC_OF ? 0xee00 : 0x8e00;

		idt[2 * i] = (at & 0xffff) | (u64)KERNEL_CS << 16 | type << 32 |
			     (at >> 16 & 0xffff) << 48;
		idt[2 * i + 1] = at >> 32;
	}
}

bool isa_cpu_frame(struct sc_vcpu *cpu, const struct isa_case *c, struct isa_result *r)
{
	u64 vector = (cpu->rip - HANDLERS) / 16, end = c->bits == 8 ? ISA_EXIT : ISA_EXIT32;
	const u64 *frame = (const u64 *)cpu->gpr[X86_RSP];

	if (cpu->cpl || vector >= 32)
		return false;
	if (isa_has_error((int)vector))
		r->error = (u32)*frame++;
	memcpy(r->out.gpr, cpu->gpr, sizeof(cpu->gpr));
	r->out.gpr[X86_RSP] = frame[3];
	r->out.rip = frame[0];
	r->out.rflags = frame[2];
	r->out.fs_base = cpu->seg[X86_FS].base;
	r->out.gs_base = cpu->seg[X86_GS].base;
	r->vector = (int)vector;
	r->fault_addr = vector == X86_VEC_PF ? cpu->cr2 : 0;
	if (vector == X86_VEC_BP && r->out.rip == end + 1) {
		r->vector = ISA_NO_FAULT;
		r->out.rip--;
	}
	return true;
}

void isa_cpu_setup(struct sc_vcpu *cpu)
{
	tables();
	/* What guests are shown; the host runs the same instructions */
	cpu->num_cpuid = sc_cpuid_model(cpu->cpuid, ACCEL_MAX_CPUID, 1000000000);
	sc_cpuid_changed(cpu);
	cpu->gdt = (struct x86_table){ .base = ISA_GDT, .limit = ISA_GDT_LIMIT };
	cpu->idt = (struct x86_table){ .base = IDT, .limit = 0x1ff };
	cpu->seg[X86_TR] = (struct x86_segment){ .base = TSS, .limit = 0x67,
						 .attr = X86_SEG_P | 0xb, .sel = 0x40 };
	cpu->seg[X86_LDTR] = (struct x86_segment){ .attr = X86_SEG_UNUSABLE };
	cpu->cr0 = X86_CR0_PE | X86_CR0_MP | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_AM |
		   X86_CR0_PG;
	cpu->cr3 = ISA_CR3;
	cpu->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE |
		   X86_CR4_FSGSBASE;
	cpu->efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE | X86_EFER_SCE;
	cpu->xcr0 = sc_fpu_components(cpu);
	sc_fpu_reset(cpu);
	segments(cpu, NULL);
	mmu_flush_all(cpu);
}

void isa_cpu_load(struct sc_vcpu *cpu, const struct isa_case *c)
{
	segments(cpu, c);
	memcpy(cpu->gpr, c->in.gpr, sizeof(cpu->gpr));
	cpu->rip = ISA_CODE + c->start;
	cpu->rflags = (c->in.rflags & 0xcd5) | 0x202;
	memcpy(cpu->xsave, c->in.xsave, ISA_XSAVE_LEN);
	cpu->fpu_live = false;
	cpu->int_shadow = 0;
	cpu->rf_next = false;
	cpu->exc_pending_db = false;
	sc_mode_update(cpu);
}

static void init(void)
{
	static struct accel_host host = { .mmio = isa_no_mmio };

	if (v)
		return;
	vm.num_cpus = 1;
	vm.host = &host;
	pthread_mutex_init(&vm.bus_lock, NULL);
	vm.ram[0] = (struct accel_ram){ .gpa = ISA_BASE, .len = ISA_SIZE, .hva = (void *)ISA_BASE };
	vm.num_ram = 1;
	if (sc_cache_create(&vm.cache, &vm) || cache_ram_map(vm.cache, &vm.ram[0])) {
		fprintf(stderr, "no code cache\n");
		exit(2);
	}
	v = aligned_alloc(64, ALIGN_UP(sizeof(*v), 64));
	memset(v, 0, sizeof(*v));
	v->vm = &vm;
	v->self = (u64)v;
	v->store_gpa = ~0ull;
	vm.cpu[0] = v;
	isa_cpu_setup(v);
	if (sc_interp_init(v) || sc_native_init(v) || sc_fault_install()) {
		fprintf(stderr, "cannot set up the interpreter\n");
		exit(2);
	}
	cache_guest_enter(v);
}

bool isa_exposed(const struct sc_insn *in)
{
	struct sc_nat e = { 0 };

	if (in->cls == SC_C_UD)
		return false;
	if (in->cls != SC_C_NATIVE)
		return sc_interp_has(v, in->feature);
	sc_native_classify(in, &e);
	return e.kind != SC_NAT_UD && v->native->have >> e.feature & 1 &&
	       (e.check != SC_NAT_C_VEX || v->native->have & BIT(SC_NF_AVX));
}

#define DELIVERED 100 /* in the guest's way already */

/* Registers are lost at the second return of __builtin_setjmp, hence a frame of its own */
static __attribute__((noinline)) int steps(u64 end, struct isa_result *r)
{
	u64 at;

	if (__builtin_setjmp(v->throw_buf))
		return v->exc.vector;
	for (r->steps = 0; r->steps < MAX_STEPS && v->rip != end; r->steps++) {
		at = v->rip - ISA_CODE;
		v->exc_pending_db = v->rflags & X86_FLAG_TF;
		v->int_shadow = 0;
		sc_interp_one(v);
		if (at < ISA_CODE_LEN && !v->rf_next)
			r->seen[at / 64] |= BIT64(at % 64);
		if (!v->cpl) { /* INT n */
			v->exc_pending_db = false;
			return DELIVERED;
		}
		if (v->exc_pending_db && v->int_shadow != 2)
			return X86_VEC_DB;
	}
	return ISA_NO_FAULT;
}

static void interp_run(const struct isa_case *c, struct isa_result *r)
{
	u64 end = c->bits == 8 ? ISA_EXIT : ISA_EXIT32;
	int vector;

	memset(r->seen, 0, sizeof(r->seen));
	isa_cpu_load(v, c);
	sc_cache_invalidate(&vm, v, ISA_CODE, ISA_CODE_LEN);
	v->code_written = false;
	sc_fault_enter(v, NULL);
	vector = steps(end, r);
	sc_fpu_save(v);
	sc_fault_leave();
	memcpy(r->out.xsave, v->xsave, ISA_XSAVE_LEN);
	if (v->broken[0]) {
		fprintf(stderr, "the vCPU is broken: %s\n", v->broken);
		exit(2);
	}
	if (vector == DELIVERED) {
		r->gave_up = !isa_cpu_frame(v, c, r);
		return;
	}
	memcpy(r->out.gpr, v->gpr, sizeof(v->gpr));
	r->out.rip = v->rip;
	r->out.rflags = v->rflags;
	r->out.fs_base = v->seg[X86_FS].base;
	r->out.gs_base = v->seg[X86_GS].base;
	r->vector = vector;
	r->error = isa_has_error(vector) ? v->exc.error : 0;
	r->fault_addr = vector == X86_VEC_PF ? v->exc.cr2 : 0;
	r->gave_up = vector == ISA_NO_FAULT && r->out.rip != end;
}

const struct isa_engine isa_interp = { .name = "interp", .init = init, .run = interp_run };

const struct isa_engine *const isa_engines[] = { &isa_interp, &isa_translate, NULL };
