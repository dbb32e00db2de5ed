// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/sys/cr.c - Control registers, EFER and XCR0
 *
 * SDM 3A 2.5, 2.6, 4.1, 9.8. Check everything, then change, then flush what the
 * change makes stale and recompute the mode. [vcpu] */
#include "accel/soft/cache/cache.h"
#include "accel/soft/sys/sys_int.h"

#define CR0_KNOWN                                                                             \
	(X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | X86_CR0_NE |        \
	 X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | X86_CR0_PG)

/* Bits of a present PDPTE that must be zero besides the address bits (SDM 3A table 4-8) */
#define PDPTE_RSVD 0xfff00000000001e6ull

static u8 tpr_get(struct sc_vcpu *v)
{
	u8 val;

	sc_fpu_save(v);
	cache_guest_leave(v);
	val = v->vm->host->tpr_get(v->vm->m, v->cpu);
	cache_guest_enter(v);
	return val & 0xf;
}

static void tpr_set(struct sc_vcpu *v, u8 val)
{
	sc_fpu_save(v);
	cache_guest_leave(v);
	v->vm->host->tpr(v->vm->m, v->cpu, val);
	cache_guest_enter(v);
	/* A lower priority may let an interrupt through */
	sc_attention(v, SC_ATTN_INTR);
}

/* PAE paging outside long mode: a bad page-directory-pointer table faults at the load of
 * CR3 and not at its use */
static void check_pdptes(struct sc_vcpu *v, u64 cr3)
{
	u64 pdpte[4];
	unsigned i;

	if (!sc_phys_read(v->vm, cr3 & 0xffffffe0, pdpte, sizeof(pdpte)))
		sc_gp0(v);
	for (i = 0; i < 4; i++)
		if ((pdpte[i] & 1) && (pdpte[i] & (PDPTE_RSVD | v->maxphyaddr_rsvd)))
			sc_gp0(v);
}

static void write_cr0(struct sc_vcpu *v, u64 val)
{
	u64 changed, efer = v->efer;

	if (val >> 32)
		sc_gp0(v);
	val = (val & CR0_KNOWN) | X86_CR0_ET;
	if (((val & X86_CR0_PG) && !(val & X86_CR0_PE)) ||
	    ((val & X86_CR0_NW) && !(val & X86_CR0_CD)))
		sc_gp0(v);
	changed = val ^ v->cr0;
	if (changed & X86_CR0_PG) {
		if (val & X86_CR0_PG) {
			if (v->efer & X86_EFER_LME) {
				if (!(v->cr4 & X86_CR4_PAE) || (v->seg[X86_CS].attr & X86_SEG_L))
					sc_gp0(v);
				efer |= X86_EFER_LMA;
			} else if (v->cr4 & X86_CR4_PAE) {
				check_pdptes(v, v->cr3);
			}
		} else {
			if (sc_code64(v) || (v->cr4 & X86_CR4_PCIDE))
				sc_gp0(v);
			efer &= ~(u64)X86_EFER_LMA;
		}
	}
	v->cr0 = val;
	v->efer = efer;
	if (changed & (X86_CR0_PG | X86_CR0_WP | X86_CR0_PE))
		sc_flush_tlb(v, true);
	sc_mode_update(v);
}

static void write_cr3(struct sc_vcpu *v, u64 val)
{
	if (sc_long_mode(v)) {
		if (v->cr4 & X86_CR4_PCIDE)
			val &= ~BIT64(63);
		if (val & (0xfff0000000000000ull | v->maxphyaddr_rsvd))
			sc_gp0(v);
	} else {
		val = (u32)val;
		if ((v->cr0 & X86_CR0_PG) && (v->cr4 & X86_CR4_PAE))
			check_pdptes(v, val);
	}
	v->cr3 = val;
	sc_flush_tlb(v, false);
}

static void write_cr4(struct sc_vcpu *v, u64 val)
{
	u64 changed = val ^ v->cr4;

	if (val & ~cpuid_cr4_bits(v))
		sc_gp0(v);
	if (sc_long_mode(v) && !(val & X86_CR4_PAE))
		sc_gp0(v);
	if ((changed & val & X86_CR4_PCIDE) && (!sc_long_mode(v) || (v->cr3 & 0xfff)))
		sc_gp0(v);
	if ((val & X86_CR4_PAE) && (v->cr0 & X86_CR0_PG) && !sc_long_mode(v) &&
	    (changed & (X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PSE | X86_CR4_SMEP)))
		check_pdptes(v, v->cr3);
	v->cr4 = val;
	if (changed & (X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PCIDE | X86_CR4_SMEP |
		       X86_CR4_SMAP))
		sc_flush_tlb(v, true);
	sc_mode_update(v);
}

u64 sc_read_cr(struct sc_vcpu *v, unsigned n)
{
	if (v->cpl)
		sc_gp0(v);
	switch (n) {
	case 0: return v->cr0;
	case 2: return v->cr2;
	case 3: return v->cr3;
	case 4: return v->cr4;
	case 8: return tpr_get(v);
	}
	sc_ud(v);
}

void sc_write_cr(struct sc_vcpu *v, unsigned n, u64 val)
{
	if (n != 0 && n != 2 && n != 3 && n != 4 && n != 8)
		sc_ud(v);
	if (v->cpl)
		sc_gp0(v);
	switch (n) {
	case 0:
		write_cr0(v, val);
		break;
	case 2:
		v->cr2 = val;
		break;
	case 3:
		write_cr3(v, val);
		break;
	case 4:
		write_cr4(v, val);
		break;
	case 8:
		if (val & ~0xfull)
			sc_gp0(v);
		tpr_set(v, (u8)val);
		break;
	}
}

void efer_write(struct sc_vcpu *v, u64 val)
{
	u64 changed;

	if (val & ~(cpuid_efer_bits(v) | X86_EFER_LMA))
		sc_gp0(v);
	val = (val & ~(u64)X86_EFER_LMA) | (v->efer & X86_EFER_LMA);
	changed = val ^ v->efer;
	if ((changed & X86_EFER_LME) && (v->cr0 & X86_CR0_PG))
		sc_gp0(v);
	v->efer = val;
	if (changed & X86_EFER_NXE)
		sc_flush_tlb(v, true);
	sc_mode_update(v);
}

void sc_xsetbv(struct sc_vcpu *v, u32 index, u64 val)
{
	if (!(v->cr4 & X86_CR4_OSXSAVE))
		sc_ud(v);
	if (v->cpl || index || !(val & 1) || (val & ~cpuid_xcr0_bits(v)) ||
	    ((val & 4) && !(val & 2)))
		sc_gp0(v);
	v->xcr0 = val;
	sc_mode_update(v);
}
