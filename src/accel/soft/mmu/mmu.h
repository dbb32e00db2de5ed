// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/mmu/mmu.h - Inner side of the MMU: page walk results, TLB fill */
#ifndef ACCEL_SOFT_MMU_MMU_H
#define ACCEL_SOFT_MMU_MMU_H

#include "accel/soft/soft.h"

/* What a walk found; permissions are those of all levels together */
struct mmu_walk {
	gpa_t gpa;	   /* of the byte asked for */
	bool writable;	   /* a store by the same privilege may go ahead (CR0.WP considered) */
	bool dirty;	   /* leaf D is set (or paging is off) */
	bool global;
	u8 shift;	   /* 12, 21, 22, 30: size of the page as a power of two */
	u32 error;	   /* 0, or the #PF error code with SC_PF_FAULT */
};

/**
 * mmu_walk() - Translate one linear address
 * @access:  SC_READ, SC_WRITE or SC_EXEC
 * @user:    rights of CPL 3
 * @probe:   do not set accessed and dirty bits
 *
 * [vcpu] SDM 3A 4.3 to 4.6.
 */
void mmu_walk(struct sc_vcpu *v, gva_t a, enum sc_access access, bool user, bool probe,
	      struct mmu_walk *w);

/* [any] RAM block that holds @gpa, or NULL */
const struct accel_ram *sc_ram_find(const struct sc_vm *vm, gpa_t gpa);
/* [any] Host address of [gpa, gpa+len) inside one block, or NULL */
void *sc_phys_ptr(const struct sc_vm *vm, gpa_t gpa, u64 len);

/**
 * mmu_fill() - Have the TLB hold @a if it may
 *
 * [vcpu] Throws #PF. Return: the entry when [a, a+size) may be accessed directly
 * for @access (SC_READ or SC_WRITE), NULL when it has to go the long way: MMIO, ROM,
 * a page with translated code, page crossing.
 */
struct sc_tlbe *mmu_fill(struct sc_vcpu *v, gva_t a, unsigned size, enum sc_access access);

/* site.c, [vcpu]: slots of windows go empty: all; those that MOV CR3 takes; stores; one page's */
void mmu_sites_clear(struct sc_vcpu *v);
void mmu_sites_clear_local(struct sc_vcpu *v);
void mmu_sites_clear_stores(struct sc_vcpu *v);
void mmu_sites_invlpg(struct sc_vcpu *v, gva_t a);
/* The slot at offset @slot of @v gets @page from its TLB entry */
void mmu_site_fill(struct sc_vcpu *v, u32 slot, const struct sc_tlbe *e, gva_t page);
/* Called at a miss: has the slot missed so often of late that the TLB is better? */
bool mmu_site_is_poly(struct sc_vcpu *v, u32 slot);

/* [vcpu] Take away direct stores to one physical page, or to all */
void mmu_drop_writes(struct sc_vcpu *v, gpa_t page);
void mmu_drop_all_writes(struct sc_vcpu *v);
/* [vcpu] Forget everything (also what others ask for through SC_REQ_FLUSH_TLB) */
void mmu_flush_all(struct sc_vcpu *v);
void mmu_ibtc_flush(struct sc_vcpu *v, enum sc_tlb_kind kind);
void mmu_ibtc_add(struct sc_vcpu *v, enum sc_tlb_kind kind, u64 rip, void *host);

/* [vcpu] Physical address for fetching at @a, from a small cache; throws #PF */
gpa_t mmu_fetch_gpa(struct sc_vcpu *v, gva_t a);
gpa_t mmu_fetch_try(struct sc_vcpu *v, gva_t a); /* the same; ~0 instead of a fault */
/* Only what the cache holds, else ~0: under cache->lock no walk may set A bits, as a table
 * may lie in a page with code */
/* After a successful fetch: is its page global? */
static inline bool mmu_fetch_is_global(const struct sc_vcpu *v, gva_t a)
{
	return v->fetch[a >> PAGE_SHIFT & (ARRAY_LEN(v->fetch) - 1)].global;
}
gpa_t mmu_fetch_cached(const struct sc_vcpu *v, gva_t a);

static inline struct sc_tlbe *mmu_entry(struct sc_vcpu *v, enum sc_tlb_kind k, gva_t a)
{
	return &v->tlb[k][a >> PAGE_SHIFT & (SC_TLB_ENTRIES - 1)];
}
/* Host address of @a, whose page @e has; outside long mode @a may have wrapped around */
static inline void *mmu_host(const struct sc_tlbe *e, gva_t a)
{
	return (void *)(e->addend + e->tag_r + (a & ~PAGE_MASK));
}
static inline enum sc_tlb_kind mmu_kind(const struct sc_vcpu *v)
{
	return v->cpl == 3 ? SC_TLB_USER : SC_TLB_KERNEL;
}
/* Slot of the branch cache; translate/tr_flow.c computes the same */
static inline struct sc_ibtc *mmu_ibtc(struct sc_vcpu *v, enum sc_tlb_kind k, u64 rip)
{
	return &v->ibtc[k][(rip >> PAGE_SHIFT ^ rip) & (SC_IBTC_ENTRIES - 1)];
}
/* A tag that no address with this index can have */
static inline u64 mmu_no_tag(unsigned index)
{
	return index ? 0 : PAGE_BYTES;
}

#endif
