// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/sys/syscall.c - SYSCALL, SYSRET, SYSENTER, SYSEXIT
 *
 * Intel and AMD differ: SYSCALL outside 64-bit code and SYSENTER in long mode exist
 * with one of them only, and SYSRET to a bad rip faults before (Intel) or after
 * (AMD) the change of privilege. The vendor is what CPUID leaf 0 shows. [vcpu] */
#include "accel/soft/sys/sys_int.h"

#define CODE0_64 (X86_SEG_P | X86_SEG_S | 0xb | X86_SEG_L | X86_SEG_G)
#define CODE0_32 (X86_SEG_P | X86_SEG_S | 0xb | X86_SEG_DB | X86_SEG_G)
#define DATA0 (X86_SEG_P | X86_SEG_S | 3 | X86_SEG_DB | X86_SEG_G)
#define RING3 (3u << X86_SEG_DPL_SHIFT)

/* RFLAGS that SYSRET takes from R11 */
#define SYSRET_FLAGS 0x3c7fd7ull

/* A trap that is due comes by the TF of after SYSCALL and SYSRET: so SFMASK spares the kernel
 * single steps, and SYSRET makes up for the one behind SYSCALL */
static void step_by_new_tf(struct sc_vcpu *v)
{
	v->exc_pending_db = v->rflags & X86_FLAG_TF;
}

static void enter(struct sc_vcpu *v, u16 cs, u16 ss, unsigned cpl, bool code64, u64 rip)
{
	u32 dpl = cpl ? RING3 : 0;

	seg_set_flat(v, X86_CS, cs, (code64 ? CODE0_64 : CODE0_32) | dpl);
	seg_set_flat(v, X86_SS, ss, DATA0 | dpl);
	v->cpl = cpl;
	v->rip = rip;
	sc_mode_update(v);
	if (v->rflags & X86_FLAG_IF)
		sc_if_changed(v);
}

void sc_syscall(struct sc_vcpu *v, u64 next_rip)
{
	bool from64 = sc_code64(v);
	u16 cs = v->msr.star >> 32 & 0xfffc;

	if (!sc_protected(v) || !(v->efer & X86_EFER_SCE) || (!from64 && !cpuid_is_amd(v)))
		sc_ud(v);
	if (!sc_long_mode(v)) {
		v->gpr[X86_RCX] = (u32)next_rip;
		v->rflags &= ~(u64)(X86_FLAG_VM | X86_FLAG_IF | X86_FLAG_RF);
		enter(v, cs, cs + 8, 0, false, (u32)v->msr.star);
		return;
	}
	v->gpr[X86_RCX] = next_rip;
	v->gpr[X86_R11] = v->rflags & ~(u64)X86_FLAG_RF;
	v->rflags = (v->rflags & ~v->msr.sfmask & ~(u64)X86_FLAG_RF) | 2;
	step_by_new_tf(v);
	enter(v, cs, cs + 8, 0, true, from64 ? v->msr.lstar : v->msr.cstar);
}

void sc_sysret(struct sc_vcpu *v, unsigned opsize)
{
	u16 base = v->msr.star >> 48;
	bool to64 = opsize == 8;

	if (!(v->efer & X86_EFER_SCE) || (!sc_code64(v) && !cpuid_is_amd(v)))
		sc_ud(v);
	if (!sc_protected(v) || v->cpl)
		sc_gp0(v);
	if (!sc_long_mode(v)) {
		v->rflags |= X86_FLAG_IF;
		enter(v, base | 3, (base + 8) | 3, 3, false, (u32)v->gpr[X86_RCX]);
		return;
	}
	if (to64 && !sc_canonical(v->gpr[X86_RCX]) && !cpuid_is_amd(v))
		sc_gp0(v);
	v->rflags = (v->gpr[X86_R11] & SYSRET_FLAGS & ~(u64)X86_FLAG_RF) | 2;
	/* AMD leaves SS's hidden part as it was; loading it, as Intel does, is what software
	 * for either expects */
	step_by_new_tf(v);
	if (to64)
		enter(v, (base + 16) | 3, (base + 8) | 3, 3, true, v->gpr[X86_RCX]);
	else
		enter(v, base | 3, (base + 8) | 3, 3, false, (u32)v->gpr[X86_RCX]);
}

void sc_sysenter(struct sc_vcpu *v, u64 next_rip)
{
	u16 cs = v->msr.sysenter_cs & 0xfffc;
	bool lm = sc_long_mode(v);

	if (lm && cpuid_is_amd(v))
		sc_ud(v);
	if (!sc_protected(v) || !cs)
		sc_gp0(v);
	v->rflags &= ~(u64)(X86_FLAG_VM | X86_FLAG_IF | X86_FLAG_RF);
	v->gpr[X86_RSP] = lm ? v->msr.sysenter_esp : (u32)v->msr.sysenter_esp;
	enter(v, cs, cs + 8, 0, lm, lm ? v->msr.sysenter_eip : (u32)v->msr.sysenter_eip);
}

void sc_sysexit(struct sc_vcpu *v, unsigned opsize)
{
	u16 cs = v->msr.sysenter_cs & 0xfffc;
	u64 rip = v->gpr[X86_RDX], rsp = v->gpr[X86_RCX];

	if (v->cpl)
		sc_gp0(v);
	if (sc_long_mode(v) && cpuid_is_amd(v))
		sc_ud(v);
	if (!sc_protected(v) || !cs)
		sc_gp0(v);
	if (opsize == 8) {
		if (!sc_canonical(rip) || !sc_canonical(rsp))
			sc_gp0(v);
		v->gpr[X86_RSP] = rsp;
		enter(v, (cs + 32) | 3, (cs + 40) | 3, 3, true, rip);
		return;
	}
	v->gpr[X86_RSP] = (u32)rsp;
	enter(v, (cs + 16) | 3, (cs + 24) | 3, 3, false, (u32)rip);
}
