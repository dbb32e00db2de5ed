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
#include "accel/soft/vcpu.h"
#include "soft.h"

static struct accel_vm *vm;
static struct accel_vcpu *cpu;
static unsigned runs;
static u8 code[ISA_CODE_LEN]; /* as the last run left it */

static void init(void)
{
	static struct accel_host host = { .mmio = isa_no_mmio };
	static const struct accel_vm_config cfg = { .cpus = 1, .host = &host, .name = "isa" };
	const struct accel_ram ram = { .gpa = ISA_BASE, .len = ISA_SIZE, .hva = (void *)ISA_BASE };

	if (cpu)
		return;
	if (sc_accel_ops.vm_create(&vm, &cfg, NULL) || sc_accel_ops.ram_map(vm, &ram) ||
	    sc_accel_ops.vcpu_create(vm, 0, &cpu, NULL)) {
		fprintf(stderr, "cannot create a VM\n");
		exit(2);
	}
	isa_cpu_setup((struct sc_vcpu *)cpu);
}

static void run(const struct isa_case *c, struct isa_result *r)
{
	struct sc_vcpu *v = (struct sc_vcpu *)cpu;
	struct accel_exit_info info;

	isa_cpu_load(v, c);
	/* The same code again finds its translations */
	if (memcmp(code, (void *)ISA_CODE, ISA_CODE_LEN))
		sc_accel_ops.ram_written(vm, ISA_CODE, ISA_CODE_LEN);
	v->halted = v->shutdown = false;
	if (++runs % 8 == 0)
		mmu_flush_all(v);
	sc_accel_ops.vcpu_run(cpu, &info);
	memcpy(code, (void *)ISA_CODE, ISA_CODE_LEN);
	if (info.exit == ACCEL_EXIT_KICKED) {
		r->gave_up = true;
		r->vector = ISA_TIMEOUT;
		return;
	}
	if (info.exit != ACCEL_EXIT_HLT || !isa_cpu_frame(v, c, r)) {
		fprintf(stderr, "  exit %d %s at %#llx\n", info.exit, info.text,
			(unsigned long long)v->rip);
		v->broken[0] = 0;
		r->gave_up = true;
		return;
	}
	memcpy(r->out.xsave, v->xsave, ISA_XSAVE_LEN);
	r->flags_lost = r->vector != ISA_NO_FAULT;
}

void isa_stop_engines(void)
{
	if (cpu)
		sc_vcpu_kick(cpu);
}

void isa_translate_stats(u64 *interpreted, u64 *blocks)
{
	struct sc_vcpu *v = (struct sc_vcpu *)cpu;

	*interpreted = v ? v->stats.interp_insns + v->stats.slow_insns : 0;
	*blocks = v ? v->stats.blocks : 0;
}

static void fini(void)
{
	sc_accel_ops.vcpu_destroy(cpu);
	sc_accel_ops.vm_destroy(vm);
	cpu = NULL;
	vm = NULL;
}

const struct isa_engine isa_translate = { .name = "translate", .init = init, .fini = fini, .run = run };
