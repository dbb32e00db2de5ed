// SPDX-License-Identifier: BSD-2-Clause
/* test/isa/soft.c - The engines under test, on a vCPU that is made by hand
 *
 * One vCPU in long mode at CPL 3, paging on, memory only the arena. Interrupts never
 * come. The dispatch loop is not used: an engine here is the smallest loop around its
 * entry point, so that what differs is its fault. */
#include <cpuid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accel/soft/cache/cache.h"
#include "accel/soft/fault/fault.h"
#include "accel/soft/interp/native.h"
#include "accel/soft/mmu/mmu.h"
#include "soft.h"

#define MAX_STEPS 200000u

static struct sc_vm vm;
static struct sc_vcpu *v;

void isa_no_mmio(void *m, unsigned cpu, gpa_t gpa, void *data, unsigned len, bool write)
{
	fprintf(stderr, "the vCPU left the arena: %#llx\n", (unsigned long long)gpa);
	exit(2);
}

static void copy_cpuid(struct sc_vcpu *cpu, u32 leaf, u32 subleaf, bool has_subleaf)
{
	struct cpuid_entry *e = &cpu->cpuid[cpu->num_cpuid++];

	e->leaf = leaf;
	e->subleaf = subleaf;
	e->has_subleaf = has_subleaf;
	__cpuid_count(leaf, subleaf, e->eax, e->ebx, e->ecx, e->edx);
}

static void segments(struct sc_vcpu *cpu, unsigned bits)
{
	const u32 common = X86_SEG_S | X86_SEG_P | X86_SEG_G | 3u << X86_SEG_DPL_SHIFT;

	for (unsigned i = 0; i < 6; i++)
		cpu->seg[i] = (struct x86_segment){ .limit = ~0u, .attr = common | X86_SEG_DB | 3,
						    .sel = 0x2b };
	cpu->seg[X86_CS].attr = common | 0xb | (bits == 8 ? X86_SEG_L : X86_SEG_DB);
	cpu->seg[X86_CS].sel = bits == 8 ? 0x33 : 0x23;
	cpu->cpl = 3;
	sc_seg_changed(cpu);
	sc_mode_update(cpu);
}

void isa_cpu_setup(struct sc_vcpu *cpu)
{
	cpu->num_cpuid = 0;
	copy_cpuid(cpu, 0, 0, false);
	copy_cpuid(cpu, 1, 0, false);
	copy_cpuid(cpu, 7, 0, true);
	copy_cpuid(cpu, 7, 1, true);
	copy_cpuid(cpu, 0xd, 0, true);
	copy_cpuid(cpu, 0xd, 1, true);
	copy_cpuid(cpu, 0x80000000, 0, false);
	copy_cpuid(cpu, 0x80000001, 0, false);
	cpu->cr0 = X86_CR0_PE | X86_CR0_MP | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_PG;
	cpu->cr3 = ISA_CR3;
	cpu->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE |
		   X86_CR4_FSGSBASE;
	cpu->efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE | X86_EFER_SCE;
	cpu->xcr0 = sc_fpu_components(cpu);
	cpu->maxphyaddr_rsvd = 0x000fc00000000000ull;
	sc_fpu_reset(cpu);
	segments(cpu, 8);
	mmu_flush_all(cpu);
}

void isa_cpu_load(struct sc_vcpu *cpu, const struct isa_case *c)
{
	segments(cpu, c->bits);
	memcpy(cpu->gpr, c->in.gpr, sizeof(cpu->gpr));
	cpu->rip = ISA_CODE;
	cpu->rflags = (c->in.rflags & 0xcd5) | 0x202;
	memcpy(cpu->xsave, c->in.xsave, ISA_XSAVE_LEN);
	cpu->fpu_live = false;
	cpu->int_shadow = 0;
	cpu->rf_next = false;
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
	vm.cpu[0] = v;
	isa_cpu_setup(v);
	if (sc_interp_init(v) || sc_fault_install()) {
		fprintf(stderr, "cannot set up the interpreter\n");
		exit(2);
	}
	cache_guest_enter(v);
}

static void store(struct isa_result *r, int vector)
{
	sc_fpu_save(v);
	sc_fault_leave();
	memcpy(r->out.gpr, v->gpr, sizeof(v->gpr));
	r->out.rip = v->rip;
	r->out.rflags = v->rflags;
	memcpy(r->out.xsave, v->xsave, ISA_XSAVE_LEN);
	r->vector = vector;
	r->fault_addr = vector == X86_VEC_PF ? v->exc.cr2 : 0;
	if (v->broken[0]) {
		fprintf(stderr, "the vCPU is broken: %s\n", v->broken);
		exit(2);
	}
}

/* Registers are lost at the second return of __builtin_setjmp, hence a frame of its own */
static __attribute__((noinline)) int steps(u64 end, unsigned max)
{
	if (__builtin_setjmp(v->throw_buf))
		return v->exc.vector;
	for (unsigned i = 0; i < max && v->rip != end; i++)
		sc_interp_one(v);
	return ISA_NO_FAULT;
}

static void interp_run(const struct isa_case *c, struct isa_result *r)
{
	int vector;

	isa_cpu_load(v, c);
	sc_cache_invalidate(&vm, v, ISA_CODE, 4096);
	v->code_written = false;
	sc_fault_enter(v, NULL);
	vector = steps(ISA_CODE + c->len, MAX_STEPS);
	store(r, vector);
	r->gave_up = vector == ISA_NO_FAULT && r->out.rip != ISA_CODE + c->len;
}

const struct isa_engine isa_interp = { .name = "interp", .init = init, .run = interp_run };

const struct isa_engine *const isa_engines[] = { &isa_interp, &isa_translate, NULL };
