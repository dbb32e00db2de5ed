// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/sys/cpuid.c - CPUID at run time: a table, never the host's instruction
 *
 * The host's CPUID exits to its hypervisor and takes microseconds. The table came
 * from cpuid_model.c through machine/, which added topology. [vcpu] */
#include "accel/soft/sys/sys_int.h"

const struct cpuid_entry *cpuid_find(const struct sc_vcpu *v, u32 leaf, u32 subleaf)
{
	unsigned i;

	for (i = 0; i < v->num_cpuid; i++) {
		const struct cpuid_entry *e = &v->cpuid[i];

		if (e->leaf == leaf && (!e->has_subleaf || e->subleaf == subleaf))
			return e;
	}
	return NULL;
}

bool cpuid_is_amd(const struct sc_vcpu *v)
{
	const struct cpuid_entry *e = cpuid_find(v, 0, 0);

	/* "cAMD" of AuthenticAMD, "uine" of HygonGenuine */
	return e && (e->ecx == 0x444d4163 || e->ecx == 0x656e6975);
}

bool cpuid_has_kvm(const struct sc_vcpu *v)
{
	const struct cpuid_entry *e = cpuid_find(v, 0x40000000, 0);

	return e && e->ebx == 0x4b4d564b;
}

u32 cpuid_apic_id(const struct sc_vcpu *v)
{
	const struct cpuid_entry *e = cpuid_find(v, 0xb, 0);

	if (e)
		return e->edx;
	e = cpuid_find(v, 1, 0);
	return e ? e->ebx >> 24 : v->cpu;
}

u64 cpuid_cr4_bits(const struct sc_vcpu *v)
{
	const struct cpuid_entry *one = cpuid_find(v, 1, 0), *seven = cpuid_find(v, 7, 0);
	u64 bits = X86_CR4_PCE;

	if (one) {
		bits |= one->edx & BIT(4) ? X86_CR4_TSD : 0;
		bits |= one->edx & BIT(2) ? X86_CR4_DE : 0;
		bits |= one->edx & BIT(3) ? X86_CR4_PSE : 0;
		bits |= one->edx & BIT(6) ? X86_CR4_PAE : 0;
		bits |= one->edx & BIT(7) ? X86_CR4_MCE : 0;
		bits |= one->edx & BIT(13) ? X86_CR4_PGE : 0;
		bits |= one->edx & BIT(24) ? X86_CR4_OSFXSR : 0;
		bits |= one->edx & BIT(25) ? X86_CR4_OSXMMEXCPT : 0;
		bits |= one->ecx & BIT(26) ? X86_CR4_OSXSAVE : 0;
		bits |= one->ecx & BIT(17) ? X86_CR4_PCIDE : 0;
	}
	if (seven) {
		bits |= seven->ebx & BIT(0) ? X86_CR4_FSGSBASE : 0;
		bits |= seven->ebx & BIT(7) ? X86_CR4_SMEP : 0;
		bits |= seven->ebx & BIT(20) ? X86_CR4_SMAP : 0;
		bits |= seven->ecx & BIT(2) ? X86_CR4_UMIP : 0;
	}
	return bits;
}

u64 cpuid_efer_bits(const struct sc_vcpu *v)
{
	const struct cpuid_entry *ext = cpuid_find(v, 0x80000001, 0);
	const struct cpuid_entry *ext2 = cpuid_find(v, 0x80000021, 0);
	u64 bits = 0;

	if (ext) {
		bits |= ext->edx & BIT(11) ? X86_EFER_SCE : 0;
		bits |= ext->edx & BIT(29) ? X86_EFER_LME : 0;
		bits |= ext->edx & BIT(20) ? X86_EFER_NXE : 0;
	}
	if (ext2)
		bits |= ext2->eax & BIT(8) ? X86_EFER_AUTOIBRS : 0;
	return bits;
}

u64 cpuid_xcr0_bits(const struct sc_vcpu *v)
{
	const struct cpuid_entry *e = cpuid_find(v, 0xd, 0);

	return e ? (e->eax | (u64)e->edx << 32) & 7 : 1;
}

void sc_cpuid_changed(struct sc_vcpu *v)
{
	const struct cpuid_entry *e = cpuid_find(v, 0x80000008, 0);
	unsigned width = e ? e->eax & 0xff : 36;

	if (width < 32 || width > 52)
		width = 36;
	v->maxphyaddr_rsvd = (BIT64(52) - 1) & ~(BIT64(width) - 1);
}

/* Intel answers a leaf above the highest with the highest basic one (SDM 2A CPUID) */
static const struct cpuid_entry *beyond(const struct sc_vcpu *v, u32 leaf, u32 subleaf)
{
	const struct cpuid_entry *max;

	if (cpuid_is_amd(v) || (leaf >> 16) == 0x4000)
		return NULL;
	max = cpuid_find(v, leaf & 0x80000000, 0);
	if (max && leaf <= max->eax)
		return NULL;
	max = cpuid_find(v, 0, 0);
	return max ? cpuid_find(v, max->eax, subleaf) : NULL;
}

/* Size of an XSAVE area with the components of @mask: x87 and SSE, header, AVX */
static u32 xsave_size(u64 mask)
{
	return mask & 4 ? 832 : 576;
}

void sc_cpuid(struct sc_vcpu *v)
{
	u32 leaf = (u32)v->gpr[X86_RAX], subleaf = (u32)v->gpr[X86_RCX];
	const struct cpuid_entry *e = cpuid_find(v, leaf, subleaf);
	struct cpuid_entry r = { 0 };

	if (!e && (leaf == 0xb || leaf == 0x1f)) {
		/* Levels past the last: the number asked for, and still the APIC id */
		e = cpuid_find(v, leaf, 0);
		if (e) {
			r.ecx = subleaf & 0xff;
			r.edx = e->edx;
			e = NULL;
		}
	} else {
		if (!e)
			e = beyond(v, leaf, subleaf);
		if (e) {
			r = *e;
			leaf = e->leaf;
		}
	}
	switch (leaf) {
	case 1:
		r.ecx &= ~BIT(27);
		r.ecx |= v->cr4 & X86_CR4_OSXSAVE ? BIT(27) : 0;
		break;
	case 7:
		if (subleaf == 0)
			r.ecx &= ~BIT(4); /* OSPKE: CR4.PKE cannot be set */
		break;
	case 0xd:
		if (e && subleaf <= 1)
			r.ebx = xsave_size(v->xcr0);
		break;
	}
	v->gpr[X86_RAX] = r.eax;
	v->gpr[X86_RBX] = r.ebx;
	v->gpr[X86_RCX] = r.ecx;
	v->gpr[X86_RDX] = r.edx;
}
