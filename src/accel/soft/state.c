// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/state.c - struct x86_state in and out
 *
 * [vcpu, parked] The vCPU is not in vcpu_run, so its FPU is in v->xsave. */
#include <errno.h>

#include "accel/soft/fpu/fpu.h"
#include "accel/soft/mmu/mmu.h"
#include "accel/soft/vcpu.h"

static void msr_get(struct sc_vcpu *v, struct x86_state *st)
{
	st->msr.star = v->msr.star;
	st->msr.lstar = v->msr.lstar;
	st->msr.cstar = v->msr.cstar;
	st->msr.sfmask = v->msr.sfmask;
	st->msr.kernel_gs_base = v->msr.kernel_gs_base;
	st->msr.sysenter_cs = v->msr.sysenter_cs;
	st->msr.sysenter_esp = v->msr.sysenter_esp;
	st->msr.sysenter_eip = v->msr.sysenter_eip;
	st->msr.tsc = sc_rdtsc(v);
	st->msr.tsc_aux = v->msr.tsc_aux;
	st->msr.pat = v->msr.pat;
	st->msr.mtrr_def_type = v->msr.mtrr_def_type;
	st->msr.misc_enable = v->msr.misc_enable;
	st->msr.kvm_system_time = v->msr.kvm_system_time;
	st->msr.kvm_wall_clock = v->msr.kvm_wall_clock;
	st->msr.kvm_steal_time = v->msr.kvm_steal_time;
	st->msr.kvm_pv_eoi = v->msr.kvm_pv_eoi;
	st->msr.kvm_async_pf = v->msr.kvm_async_pf;
}

static void msr_set(struct sc_vcpu *v, const struct x86_state *st)
{
	unsigned i;

	v->msr.star = st->msr.star;
	v->msr.lstar = st->msr.lstar;
	v->msr.cstar = st->msr.cstar;
	v->msr.sfmask = st->msr.sfmask;
	v->msr.kernel_gs_base = st->msr.kernel_gs_base;
	v->msr.sysenter_cs = st->msr.sysenter_cs;
	v->msr.sysenter_esp = st->msr.sysenter_esp;
	v->msr.sysenter_eip = st->msr.sysenter_eip;
	v->msr.tsc_aux = st->msr.tsc_aux;
	v->msr.pat = st->msr.pat;
	v->msr.mtrr_def_type = st->msr.mtrr_def_type;
	v->msr.misc_enable = st->msr.misc_enable;
	v->msr.kvm_system_time = st->msr.kvm_system_time;
	v->msr.kvm_wall_clock = st->msr.kvm_wall_clock;
	v->msr.kvm_steal_time = st->msr.kvm_steal_time;
	v->msr.kvm_pv_eoi = st->msr.kvm_pv_eoi;
	v->msr.kvm_async_pf = st->msr.kvm_async_pf;
	/* One offset serves the VM; the vCPU that is set first moves it, others adjust */
	v->msr.tsc_adjust = 0;
	if (v->cpu == 0)
		atomic_store(&v->vm->tsc_offset, st->msr.tsc - __builtin_ia32_rdtsc());
	sc_pvclock_rebase(v->vm);
	for (i = 0; i < v->vm->num_cpus; i++) {
		struct sc_vcpu *w = atomic_load(&v->vm->cpu[i]);

		if (w)
			sc_pvclock_refresh(w);
	}
}

int sc_state_get(struct accel_vcpu *av, u32 groups, struct x86_state *st)
{
	struct sc_vcpu *v = (struct sc_vcpu *)av;
	unsigned i;

	if (groups & X86_STATE_LAPIC)
		groups &= ~X86_STATE_LAPIC; /* ours to give only with cap LAPIC */
	if (groups & X86_STATE_GPR) {
		sc_copy(st->gpr, v->gpr, sizeof(st->gpr));
		st->rip = v->rip;
		st->rflags = v->rflags | 2;
	}
	if (groups & X86_STATE_SEG) {
		sc_copy(st->seg, v->seg, sizeof(st->seg));
		st->gdt = v->gdt;
		st->idt = v->idt;
	}
	if (groups & X86_STATE_CTRL) {
		st->cr0 = v->cr0;
		st->cr2 = v->cr2;
		st->cr3 = v->cr3;
		st->cr4 = v->cr4;
		st->cr8 = v->vm->host->tpr_get ? v->vm->host->tpr_get(v->vm->m, v->cpu) : 0;
		st->efer = v->efer;
		st->xcr0 = v->xcr0;
	}
	if (groups & X86_STATE_FPU)
		sc_fpu_get(v, st);
	if (groups & X86_STATE_MSR)
		msr_get(v, st);
	if (groups & X86_STATE_DEBUG)
		for (i = 0; i < 8; i++)
			st->dr[i] = v->dr[i];
	if (groups & X86_STATE_EVENTS) {
		u32 attn = atomic_load(&v->attention);

		sc_zero(&st->event, sizeof(st->event));
		st->event.activity = v->shutdown ? X86_SHUTDOWN : v->wait_sipi ? X86_WAIT_SIPI :
				     v->halted ? X86_HALTED : X86_RUNNING;
		st->event.nmi_pending = v->nmi_wait || (attn & SC_ATTN_NMI);
		st->event.nmi_blocked = v->nmi_blocked;
		st->event.int_shadow = v->int_shadow;
	}
	return 0;
}

int sc_state_set(struct accel_vcpu *av, u32 groups, const struct x86_state *st)
{
	struct sc_vcpu *v = (struct sc_vcpu *)av;
	unsigned i;
	int rc;

	if (groups & X86_STATE_FPU) {
		rc = sc_fpu_set(v, st);
		if (rc)
			return rc;
	}
	if (groups & X86_STATE_GPR) {
		sc_copy(v->gpr, st->gpr, sizeof(v->gpr));
		v->rip = st->rip;
		v->rflags = (st->rflags & 0x3f7fd7) | 2;
	}
	if (groups & X86_STATE_SEG) {
		sc_copy(v->seg, st->seg, sizeof(v->seg));
		v->gdt = st->gdt;
		v->idt = st->idt;
	}
	if (groups & X86_STATE_CTRL) {
		v->cr0 = st->cr0;
		v->cr2 = st->cr2;
		v->cr3 = st->cr3;
		v->cr4 = st->cr4;
		v->efer = st->efer;
		v->xcr0 = st->xcr0 & sc_fpu_components(v) ? st->xcr0 & sc_fpu_components(v) : 1;
		if (v->vm->host->tpr)
			v->vm->host->tpr(v->vm->m, v->cpu, st->cr8);
	}
	if (groups & X86_STATE_MSR)
		msr_set(v, st);
	if (groups & X86_STATE_DEBUG)
		for (i = 0; i < 8; i++)
			v->dr[i] = st->dr[i];
	if (groups & X86_STATE_EVENTS) {
		v->shutdown = st->event.activity == X86_SHUTDOWN;
		v->wait_sipi = st->event.activity == X86_WAIT_SIPI;
		v->halted = st->event.activity == X86_HALTED;
		v->nmi_blocked = st->event.nmi_blocked;
		v->nmi_wait = false;
		v->int_shadow = st->event.int_shadow & 3;
		if (st->event.nmi_pending)
			sc_attention(v, SC_ATTN_NMI);
		if (st->event.exception_pending)
			return -EINVAL; /* we never stop between an exception and its delivery */
	}
	v->intr_wait = true; /* look again at what the machine has for us */
	mmu_flush_all(v);
	sc_seg_changed(v);
	sc_mode_update(v);
	return 0;
}
