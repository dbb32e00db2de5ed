// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/sys/msr.c - RDMSR and WRMSR
 *
 * What is CPU state lives in struct sc_vcpu; a table has the registers that read a
 * constant; KVM's own are pvclock.c's; everything else (APIC, TSC deadline, x2APIC,
 * PV EOI) is the machine's. SDM 4 chapter 2; AMD PPR. [vcpu] */
#include <errno.h>

#include "accel/soft/cache/cache.h"
#include "accel/soft/sys/sys_int.h"

#define MSR_TSC 0x10u
#define MSR_TSC_ADJUST 0x3bu
#define MSR_SPEC_CTRL 0x48u
#define MSR_PRED_CMD 0x49u
#define MSR_BIOS_SIGN_ID 0x8bu
#define MSR_ARCH_CAPABILITIES 0x10au
#define MSR_SYSENTER_CS 0x174u
#define MSR_SYSENTER_ESP 0x175u
#define MSR_SYSENTER_EIP 0x176u
#define MSR_MISC_ENABLE 0x1a0u
#define MSR_DEBUGCTL 0x1d9u
#define MSR_MTRR_VAR 0x200u
#define MSR_PAT 0x277u
#define MSR_MTRR_DEF 0x2ffu
#define MSR_EFER 0xc0000080u
#define MSR_STAR 0xc0000081u
#define MSR_LSTAR 0xc0000082u
#define MSR_CSTAR 0xc0000083u
#define MSR_SFMASK 0xc0000084u
#define MSR_FS_BASE 0xc0000100u
#define MSR_GS_BASE 0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_TSC_AUX 0xc0000103u
#define MSR_SYSCFG 0xc0010010u
#define MSR_HWCR 0xc0010015u

#define HWCR_TSC_FREQ_SEL BIT64(24) /* the TSC counts at P0 frequency: always */
#define HWCR_WRITABLE (BIT64(3) | BIT64(6) | BIT64(8) | BIT64(18) | HWCR_TSC_FREQ_SEL | BIT64(30))
#define SPEC_CTRL_BITS 7ull /* IBRS, STIBP, SSBD */
#define DEBUGCTL_BITS 3ull /* LBR, BTF: kept, without effect */

/* "Not affected": RDCL_NO IBRS_ALL SKIP_L1DFL SSB_NO MDS_NO PSCHANGE_MC_NO TAA_NO SBDR_SSDP_NO
 * FBSDP_NO PSDP_NO BHI_NO PBRSB_NO GDS_NO RFDS_NO ITS_NO */
#define ARCH_CAPABILITIES                                                                     \
	(BIT64(0) | BIT64(1) | BIT64(3) | BIT64(4) | BIT64(5) | BIT64(6) | BIT64(8) |         \
	 BIT64(13) | BIT64(14) | BIT64(15) | BIT64(20) | BIT64(24) | BIT64(26) | BIT64(27) |  \
	 BIT64(62))

/* Registers that read one value and, where it says so, swallow what is written */
enum who { BOTH, INTEL, AMD };
static const struct fixed {
	u32 first, last;
	u64 value;
	u8 who;
	bool writable; /* else only the value itself may be written */
} fixed[] = {
	{ 0x17, 0x17, 0, BOTH, false },			/* PLATFORM_ID */
	{ 0x3a, 0x3a, 1, INTEL, false },		/* FEATURE_CONTROL: locked */
	{ 0x79, 0x79, 0, BOTH, true },			/* microcode update trigger */
	{ 0xce, 0xce, 0, INTEL, false },		/* PLATFORM_INFO */
	{ 0xfe, 0xfe, 0x508, BOTH, false },		/* MTRRCAP: 8 ranges, fixed, WC */
	{ 0x140, 0x140, 0, INTEL, false },		/* MISC_FEATURES_ENABLES */
	{ 0x179, 0x17a, 0, BOTH, false },		/* MCG_CAP: no banks; MCG_STATUS */
	{ 0xc0010000, 0xc0010007, 0, AMD, true },	/* old performance counters */
	{ 0xc001001a, 0xc001001a, 0, AMD, true },	/* TOP_MEM */
	{ 0xc001001d, 0xc001001d, 0, AMD, true },	/* TOP_MEM2 */
	{ 0xc001001f, 0xc0010020, 0, AMD, true },	/* NB_CFG; microcode loader */
	{ 0xc0010055, 0xc0010055, 0, AMD, true },	/* interrupt pending message */
	{ 0xc0010058, 0xc0010058, 0, AMD, true },	/* MMCONFIG base: off */
	{ 0xc0011020, 0xc0011020, 0, AMD, true },	/* LS_CFG */
	{ 0xc0011022, 0xc0011023, 0, AMD, true },	/* DC_CFG, TW_CFG */
	{ 0xc0011029, 0xc0011029, 2, AMD, true },	/* DE_CFG: LFENCE serializes */
	{ 0xc001102a, 0xc001102a, 0, AMD, true },	/* BU_CFG2 */
};

static const struct fixed *fixed_find(const struct sc_vcpu *v, u32 index)
{
	unsigned i;

	for (i = 0; i < ARRAY_LEN(fixed); i++) {
		const struct fixed *f = &fixed[i];

		if (index < f->first || index > f->last)
			continue;
		if (f->who == BOTH || (f->who == AMD) == cpuid_is_amd(v))
			return f;
	}
	return NULL;
}

/* Index into mtrr_fixed[] or -1: one of 64 KiB, two of 16 KiB, eight of 4 KiB pieces */
static int mtrr_fixed_index(u32 index)
{
	if (index == 0x250)
		return 0;
	if (index == 0x258 || index == 0x259)
		return 1 + (index - 0x258);
	if (index >= 0x268 && index <= 0x26f)
		return 3 + (index - 0x268);
	return -1;
}

static bool memory_type_ok(u8 t)
{
	return t == 0 || t == 1 || t == 4 || t == 5 || t == 6;
}

static bool memory_types_ok(u64 val, bool pat)
{
	unsigned i;

	for (i = 0; i < 8; i++) {
		u8 t = val >> i * 8 & 0xff;

		if (!memory_type_ok(t) && !(pat && t == 7))
			return false;
	}
	return true;
}

static bool has_spec_ctrl(const struct sc_vcpu *v)
{
	const struct cpuid_entry *e = cpuid_find(v, 7, 0), *x = cpuid_find(v, 0x80000008, 0);

	/* Intel: IBRS/IBPB, STIBP, SSBD; AMD: IBPB, IBRS, STIBP, SSBD */
	return (e && (e->edx & (BIT(26) | BIT(27) | BIT(31)))) ||
	       (x && (x->ebx & (BIT(12) | BIT(14) | BIT(15) | BIT(24))));
}

static bool has_arch_capabilities(const struct sc_vcpu *v)
{
	const struct cpuid_entry *e = cpuid_find(v, 7, 0);

	return e && (e->edx & BIT(29));
}

/* The machine's registers, and after it nobody's: #GP(0) unless the user wants them ignored */
static void ask_machine(struct sc_vcpu *v, u32 index, u64 *val, bool write)
{
	int rc;

	sc_fpu_save(v);
	cache_guest_leave(v);
	rc = v->vm->host->msr(v->vm->m, v->cpu, index, val, write);
	cache_guest_enter(v);
	if (!rc)
		return;
	if (!v->vm->ignore_msr)
		sc_gp0(v);
	if (!write)
		*val = 0;
}

u64 sc_rdmsr(struct sc_vcpu *v, u32 index)
{
	const struct fixed *f;
	u64 val = 0;
	int i;

	if (v->cpl)
		sc_gp0(v);
	switch (index) {
	case MSR_TSC: return sc_rdtsc(v);
	case MSR_TSC_ADJUST: return v->msr.tsc_adjust;
	case MSR_SYSENTER_CS: return v->msr.sysenter_cs;
	case MSR_SYSENTER_ESP: return v->msr.sysenter_esp;
	case MSR_SYSENTER_EIP: return v->msr.sysenter_eip;
	case MSR_MISC_ENABLE: return v->msr.misc_enable;
	case MSR_DEBUGCTL: return v->msr.debugctl;
	case MSR_PAT: return v->msr.pat;
	case MSR_MTRR_DEF: return v->msr.mtrr_def_type;
	case MSR_EFER: return v->efer;
	case MSR_STAR: return v->msr.star;
	case MSR_LSTAR: return v->msr.lstar;
	case MSR_CSTAR: return v->msr.cstar;
	case MSR_SFMASK: return v->msr.sfmask;
	case MSR_FS_BASE: return v->seg[X86_FS].base;
	case MSR_GS_BASE: return v->seg[X86_GS].base;
	case MSR_KERNEL_GS_BASE: return v->msr.kernel_gs_base;
	case MSR_TSC_AUX: return v->msr.tsc_aux;
	case MSR_BIOS_SIGN_ID:
		/* What KVM shows; microcode of the host says nothing about us */
		return cpuid_is_amd(v) ? 0x01000065 : 0x100000000ull;
	case MSR_SPEC_CTRL:
		if (!has_spec_ctrl(v))
			break;
		return v->msr.spec_ctrl;
	case MSR_ARCH_CAPABILITIES:
		if (!has_arch_capabilities(v))
			break;
		return ARCH_CAPABILITIES;
	case MSR_SYSCFG:
		if (!cpuid_is_amd(v))
			break;
		return v->msr.syscfg;
	case MSR_HWCR:
		if (!cpuid_is_amd(v))
			break;
		return v->msr.hwcr | HWCR_TSC_FREQ_SEL;
	default:
		if (index - MSR_MTRR_VAR < ARRAY_LEN(v->msr.mtrr_var))
			return v->msr.mtrr_var[index - MSR_MTRR_VAR];
		i = mtrr_fixed_index(index);
		if (i >= 0)
			return v->msr.mtrr_fixed[i];
		f = fixed_find(v, index);
		if (f)
			return f->value;
		i = pvclock_rdmsr(v, index, &val);
		if (!i)
			return val;
		if (i == -EINVAL)
			sc_gp0(v);
	}
	ask_machine(v, index, &val, false);
	return val;
}

static u64 need(struct sc_vcpu *v, u64 val, bool ok)
{
	if (!ok)
		sc_gp0(v);
	return val;
}

void sc_wrmsr(struct sc_vcpu *v, u32 index, u64 val)
{
	const struct fixed *f;
	int i;

	if (v->cpl)
		sc_gp0(v);
	switch (index) {
	case MSR_TSC:
		/* Moves IA32_TSC_ADJUST by the same amount (SDM 3B 18.17.3) */
		v->msr.tsc_adjust += val - sc_rdtsc(v);
		sc_pvclock_refresh(v);
		return;
	case MSR_TSC_ADJUST:
		v->msr.tsc_adjust = val;
		sc_pvclock_refresh(v);
		return;
	case MSR_SYSENTER_CS:
		v->msr.sysenter_cs = (u32)val;
		return;
	case MSR_SYSENTER_ESP:
		v->msr.sysenter_esp = need(v, val, sc_canonical(val));
		return;
	case MSR_SYSENTER_EIP:
		v->msr.sysenter_eip = need(v, val, sc_canonical(val));
		return;
	case MSR_MISC_ENABLE:
		v->msr.misc_enable = val;
		return;
	case MSR_DEBUGCTL:
		v->msr.debugctl = need(v, val, !(val & ~DEBUGCTL_BITS));
		return;
	case MSR_PAT:
		v->msr.pat = need(v, val, memory_types_ok(val, true));
		return;
	case MSR_MTRR_DEF:
		v->msr.mtrr_def_type = need(v, val, !(val & ~0xcffull) && memory_type_ok(val & 0xff));
		return;
	case MSR_EFER:
		efer_write(v, val);
		return;
	case MSR_STAR:
		v->msr.star = val;
		return;
	case MSR_LSTAR:
		v->msr.lstar = need(v, val, sc_canonical(val));
		return;
	case MSR_CSTAR:
		v->msr.cstar = need(v, val, sc_canonical(val));
		return;
	case MSR_SFMASK:
		v->msr.sfmask = (u32)val;
		return;
	case MSR_FS_BASE:
	case MSR_GS_BASE:
		v->seg[index == MSR_FS_BASE ? X86_FS : X86_GS].base = need(v, val, sc_canonical(val));
		sc_seg_changed(v);
		return;
	case MSR_KERNEL_GS_BASE:
		v->msr.kernel_gs_base = need(v, val, sc_canonical(val));
		return;
	case MSR_TSC_AUX:
		v->msr.tsc_aux = need(v, val, !(val >> 32));
		return;
	case MSR_BIOS_SIGN_ID:
		return;
	case MSR_SPEC_CTRL:
		if (!has_spec_ctrl(v))
			break;
		v->msr.spec_ctrl = need(v, val, !(val & ~SPEC_CTRL_BITS));
		return;
	case MSR_PRED_CMD:
		if (!has_spec_ctrl(v))
			break;
		need(v, val, !(val & ~1ull));
		return;
	case MSR_SYSCFG:
		if (!cpuid_is_amd(v))
			break;
		v->msr.syscfg = val;
		return;
	case MSR_HWCR:
		if (!cpuid_is_amd(v))
			break;
		v->msr.hwcr = need(v, val, !(val & ~HWCR_WRITABLE));
		return;
	default:
		if (index - MSR_MTRR_VAR < ARRAY_LEN(v->msr.mtrr_var)) {
			/* Base registers have the type in their low byte, masks the valid bit */
			bool mask = index & 1;

			need(v, val, !(val & v->maxphyaddr_rsvd) && !(val >> 52) &&
			     (mask ? !(val & 0x7ff) : !(val & 0xf00) && memory_type_ok(val & 0xff)));
			v->msr.mtrr_var[index - MSR_MTRR_VAR] = val;
			return;
		}
		i = mtrr_fixed_index(index);
		if (i >= 0) {
			v->msr.mtrr_fixed[i] = need(v, val, memory_types_ok(val, false));
			return;
		}
		f = fixed_find(v, index);
		if (f) {
			need(v, val, f->writable || val == f->value);
			return;
		}
		i = pvclock_wrmsr(v, index, val);
		if (!i)
			return;
		if (i == -EINVAL)
			sc_gp0(v);
	}
	ask_machine(v, index, &val, true);
}
