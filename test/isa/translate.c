// SPDX-License-Identifier: BSD-2-Clause
/* test/isa/translate.c - The software CPU as a whole: translated code, dispatch loop, IDT
 *
 * A VM with one vCPU runs the case at CPL 3. INT3 stands behind the instructions; every gate of
 * the IDT leads to a HLT at CPL 0, which ends vcpu_run. So the exception and the
 * interrupted state are read from the stack frame it delivered.
 *
 * Arithmetic flags in the frame of a fault are not promised: where the faulting instruction
 * replaces them anyway, translated code has not kept them (translate.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accel/soft/mmu/mmu.h"
#include "soft.h"

#define GDT ISA_SYSTEM
#define TSS (ISA_SYSTEM + 0x800)
#define IDT (ISA_SYSTEM + 0x1000)
#define STACK_TOP (ISA_SYSTEM + 0x4000)
#define HANDLERS (ISA_SYSTEM + 0x5000) /* 16 bytes a vector */
#define KERNEL_CS 0x10

static struct accel_vm *vm;
static struct accel_vcpu *cpu;
static unsigned runs;

static void tables(void)
{
	u64 *gdt = (u64 *)GDT, *idt = (u64 *)IDT, rsp0 = STACK_TOP;

	memset(gdt, 0, 0x800);
	gdt[KERNEL_CS / 8] = 0x00af9b000000ffff;
	memset((void *)TSS, 0, 0x80);
	memcpy((u8 *)TSS + 4, &rsp0, 8);
	memset((void *)HANDLERS, 0xf4, 0x1000);
	for (unsigned i = 0; i < 32; i++) {
		u64 at = HANDLERS + 16 * i;

		idt[2 * i] = (at & 0xffff) | (u64)KERNEL_CS << 16 | (i == X86_VEC_BP ? 0xee00ull : 0x8e00ull) << 32 |
			     (at >> 16 & 0xffff) << 48;
		idt[2 * i + 1] = at >> 32;
	}
}

static void init(void)
{
	static struct accel_host host = { .mmio = isa_no_mmio };
	static const struct accel_vm_config cfg = { .cpus = 1, .host = &host, .name = "isa" };
	const struct accel_ram ram = { .gpa = ISA_BASE, .len = ISA_SIZE, .hva = (void *)ISA_BASE };
	struct sc_vcpu *v;

	if (cpu)
		return;
	if (sc_accel_ops.vm_create(&vm, &cfg, NULL) || sc_accel_ops.ram_map(vm, &ram) ||
	    sc_accel_ops.vcpu_create(vm, 0, &cpu, NULL)) {
		fprintf(stderr, "cannot create a VM\n");
		exit(2);
	}
	tables();
	v = (struct sc_vcpu *)cpu;
	isa_cpu_setup(v);
	v->gdt = (struct x86_table){ .base = GDT, .limit = 0x7ff };
	v->idt = (struct x86_table){ .base = IDT, .limit = 0x1ff };
	v->seg[X86_TR] = (struct x86_segment){ .base = TSS, .limit = 0x67,
					       .attr = X86_SEG_P | 0xb, .sel = 0x40 };
}

static void run(const struct isa_case *c, struct isa_result *r)
{
	static const u32 has_error = 0x27d00; /* 8, 10..14, 17 */
	struct sc_vcpu *v = (struct sc_vcpu *)cpu;
	struct accel_exit_info info;
	const u64 *frame;
	unsigned vector;

	isa_cpu_load(v, c);
	sc_accel_ops.ram_written(vm, ISA_CODE, 4096);
	v->halted = v->shutdown = false;
	if (++runs % 8 == 0)
		mmu_flush_all(v);
	sc_accel_ops.vcpu_run(cpu, &info);
	vector = (v->rip - HANDLERS) / 16;
	if (info.exit != ACCEL_EXIT_HLT || vector >= 32) {
		fprintf(stderr, "  exit %d %s at %#llx\n", info.exit, info.text,
			(unsigned long long)v->rip);
		v->broken[0] = 0;
		r->gave_up = true;
		return;
	}
	frame = (const u64 *)v->gpr[X86_RSP];
	if (has_error >> vector & 1)
		frame++;
	memcpy(r->out.gpr, v->gpr, sizeof(v->gpr));
	r->out.gpr[X86_RSP] = frame[3];
	r->out.rip = frame[0];
	r->out.rflags = frame[2];
	memcpy(r->out.xsave, v->xsave, ISA_XSAVE_LEN);
	r->vector = vector;
	r->fault_addr = vector == X86_VEC_PF ? v->cr2 : 0;
	if (vector == X86_VEC_BP && r->out.rip == ISA_CODE + c->len + 1) {
		r->vector = ISA_NO_FAULT;
		r->out.rip--;
	} else {
		r->flags_lost = true;
	}
}

static void fini(void)
{
	sc_accel_ops.vcpu_destroy(cpu);
	sc_accel_ops.vm_destroy(vm);
	cpu = NULL;
	vm = NULL;
}

const struct isa_engine isa_translate = { .name = "translate", .init = init, .fini = fini, .run = run };
