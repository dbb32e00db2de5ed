// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/sys/reset.c - Power-on, INIT and start-up IPI
 *
 * SDM 3A table 9-1. INIT leaves alone what the table says: caches' CR0 bits, XCR0,
 * FPU registers, MSRs, the TSC. [vcpu; power-on also setup] */
#include "accel/soft/fpu/fpu.h"
#include "accel/soft/sys/sys_int.h"

#define PAT_RESET 0x0007040600070406ull

void sc_cpu_reset(struct sc_vcpu *v, bool power_on)
{
	const struct cpuid_entry *sig = cpuid_find(v, 1, 0);
	unsigned i;

	for (i = 0; i < X86_NUM_GPRS; i++)
		v->gpr[i] = 0;
	v->gpr[X86_RDX] = sig ? sig->eax : 0xf00;
	v->rip = 0xfff0;
	v->rflags = 2;
	for (i = 0; i < X86_NUM_SEGS; i++)
		v->seg[i] = (struct x86_segment){ .limit = 0xffff,
						  .attr = X86_SEG_P | X86_SEG_S | 3 };
	v->seg[X86_CS].sel = 0xf000;
	v->seg[X86_CS].base = 0xffff0000;
	v->seg[X86_CS].attr = X86_SEG_P | X86_SEG_S | 0xb;
	v->seg[X86_LDTR].attr = X86_SEG_P | SYS_LDT;
	v->seg[X86_TR].attr = X86_SEG_P | SYS_TSS32_BUSY;
	v->gdt = v->idt = (struct x86_table){ .limit = 0xffff };
	v->cr0 = X86_CR0_ET | (power_on ? X86_CR0_CD | X86_CR0_NW
					: v->cr0 & (X86_CR0_CD | X86_CR0_NW));
	v->cr2 = v->cr3 = v->cr4 = v->efer = 0;
	for (i = 0; i < 8; i++)
		v->dr[i] = 0;
	v->dr[6] = DR6_ONES;
	v->dr[7] = DR7_ONES;
	if (power_on) {
		sc_zero(&v->msr, sizeof(v->msr));
		v->msr.pat = PAT_RESET;
		v->msr.misc_enable = 1; /* fast strings */
		v->xcr0 = 1;
		sc_fpu_reset(v);
	}
	v->halted = false;
	v->shutdown = false;
	v->int_shadow = 0;
	v->nmi_blocked = false;
	v->rf_next = false;
	v->exc_pending_db = false;
	v->watch_hits = 0;
	v->exc.dr6 = 0;
	atomic_store(&v->pv_unhalt, false);
	/* CPU 0 is the bootstrap processor: INIT sends it to the reset vector */
	v->wait_sipi = v->cpu != 0;
	sc_cpuid_changed(v);
	sc_seg_changed(v);
	sc_flush_tlb(v, true);
	sc_mode_update(v);
}

void sc_cpu_sipi(struct sc_vcpu *v, u8 vector)
{
	v->seg[X86_CS].sel = vector << 8;
	v->seg[X86_CS].base = (u32)vector << 12;
	v->rip = 0;
	v->wait_sipi = false;
	v->halted = false;
	sc_mode_update(v);
}
