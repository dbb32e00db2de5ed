// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/mmu/walk.c - Page walk: 32-bit, PAE and 4-level paging
 *
 * SDM 3A chapter 4. Table entries are read and their A and D bits set with host
 * atomics, as other vCPUs and the guest itself race with us. [vcpu] */
#include "accel/soft/cache/cache.h"
#include "accel/soft/mmu/mmu.h"

#define PTE_P BIT64(0)
#define PTE_W BIT64(1)
#define PTE_U BIT64(2)
#define PTE_A BIT64(5)
#define PTE_D BIT64(6)
#define PTE_PS BIT64(7)
#define PTE_G BIT64(8)
#define PTE_NX BIT64(63)
#define PTE_ADDR 0x000ffffffffff000ull

const struct accel_ram *sc_ram_find(const struct sc_vm *vm, gpa_t gpa)
{
	unsigned i;

	for (i = 0; i < vm->num_ram; i++) {
		const struct accel_ram *r = &vm->ram[i];

		if (gpa - r->gpa < r->len)
			return r;
	}
	return NULL;
}

void *sc_phys_ptr(const struct sc_vm *vm, gpa_t gpa, u64 len)
{
	const struct accel_ram *r = sc_ram_find(vm, gpa);

	if (!r || len > r->len - (gpa - r->gpa))
		return NULL;
	return (u8 *)r->hva + (gpa - r->gpa);
}

/* Set bits in a table entry unless it changed under us; false: walk again */
static bool entry_set(struct sc_vcpu *v, gpa_t at, void *p, unsigned size, u64 old, u64 bits)
{
	const struct accel_ram *r = sc_ram_find(v->vm, at);
	bool ok;

	/* A table in ROM stays as it is; the machine need not hear of a store that means nothing */
	if (r->flags & ACCEL_RAM_ROM)
		return true;
	if (size == 8) {
		u64 expect = old;

		ok = __atomic_compare_exchange_n((u64 *)p, &expect, old | bits, false,
						 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	} else {
		u32 expect = (u32)old;

		ok = __atomic_compare_exchange_n((u32 *)p, &expect, (u32)(old | bits), false,
						 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
	if (ok && (r->flags & ACCEL_RAM_LOG))
		cache_mark_dirty(v->vm, r, at, size);
	if (ok && sc_cache_has_code(v->vm, at, size))
		sc_cache_invalidate(v->vm, v, at, size);
	return ok;
}

static u64 entry_get(const void *p, unsigned size)
{
	return size == 8 ? __atomic_load_n((const u64 *)p, __ATOMIC_ACQUIRE)
			 : __atomic_load_n((const u32 *)p, __ATOMIC_ACQUIRE);
}

/* The shape of one paging mode */
struct mode {
	int levels;	     /* table levels to walk */
	unsigned entry;	     /* bytes of an entry */
	unsigned index_bits;
	bool nx;	     /* bit 63 means no-execute, else it is reserved (64-bit entries) */
};

static u32 fault_code(const struct sc_vcpu *v, enum sc_access access, bool user, u32 why)
{
	u32 e = SC_PF_FAULT | why;

	if (access == SC_WRITE)
		e |= SC_PF_W;
	if (user)
		e |= SC_PF_U;
	if (access == SC_EXEC && ((v->efer & X86_EFER_NXE) || (v->cr4 & X86_CR4_SMEP)) &&
	    (v->cr4 & X86_CR4_PAE))
		e |= SC_PF_I;
	return e;
}

/* One attempt; false: an entry changed while its bits were to be set */
static bool walk_once(struct sc_vcpu *v, gva_t a, enum sc_access access, bool user, bool probe,
		      struct mmu_walk *w)
{
	struct { void *p; gpa_t at; u64 val; } seen[4];
	struct mode m;
	gpa_t table;
	int level, n = 0;
	bool rw = true, us = true, nx = false;
	unsigned shift;
	u64 e = 0, rsvd_high;

	if (v->efer & X86_EFER_LMA) {
		m = (struct mode){ .levels = 4, .entry = 8, .index_bits = 9 };
		table = v->cr3 & PTE_ADDR;
	} else if (v->cr4 & X86_CR4_PAE) {
		m = (struct mode){ .levels = 3, .entry = 8, .index_bits = 9 };
		table = v->cr3 & 0xffffffe0ull;
		a &= 0xffffffffu;
	} else {
		m = (struct mode){ .levels = 2, .entry = 4, .index_bits = 10 };
		table = v->cr3 & 0xfffff000ull;
		a &= 0xffffffffu;
	}
	m.nx = m.entry == 8 && (v->efer & X86_EFER_NXE);
	rsvd_high = m.entry == 8 ? v->maxphyaddr_rsvd | (m.nx ? 0 : PTE_NX) : 0;

	for (level = m.levels - 1;; level--) {
		unsigned idx;
		gpa_t at;
		void *p;
		bool leaf, pdpte = m.levels == 3 && level == 2;

		shift = PAGE_SHIFT + level * m.index_bits;
		idx = a >> shift & (BIT(m.index_bits) - 1);
		if (pdpte)
			idx &= 3;
		at = table + idx * m.entry;
		p = sc_phys_ptr(v->vm, at, m.entry);
		/* Nobody there: the bus reads all ones, so reserved bits are set */
		e = p ? entry_get(p, m.entry) : (m.entry == 8 ? ~0ull : 0xffffffffull);
		if (!(e & PTE_P)) {
			w->error = fault_code(v, access, user, 0);
			return true;
		}
		leaf = level == 0;
		if (!leaf && (e & PTE_PS) && !pdpte) {
			if (m.entry == 4)
				leaf = v->cr4 & X86_CR4_PSE;
			else
				leaf = level <= 2; /* in level 3 the bit is reserved */
			if (m.levels == 4 && level == 3)
				e |= rsvd_high ? v->maxphyaddr_rsvd : 0;
		}
		if (!p || (e & rsvd_high) || (m.levels == 4 && level == 3 && (e & PTE_PS)) ||
		    (pdpte && (e & 0x1e6)) ||
		    (leaf && level && m.entry == 8 && (e & ((BIT64(shift) - 1) & 0xffffffffffffe000ull))) ||
		    (leaf && level && m.entry == 4 && (e & 0x3fe000 & ~0x1fe000))) {
			w->error = fault_code(v, access, user, SC_PF_P | SC_PF_RSVD);
			return true;
		}
		if (!pdpte) {
			rw &= !!(e & PTE_W);
			us &= !!(e & PTE_U);
			nx |= m.nx && (e & PTE_NX);
			seen[n].p = p;
			seen[n].at = at;
			seen[n++].val = e;
		}
		if (leaf)
			break;
		table = m.entry == 8 ? e & PTE_ADDR : e & 0xfffff000u;
	}

	/* Rights (SDM 3A 4.6) */
	if ((user && !us) || (access == SC_EXEC && nx) ||
	    (access == SC_EXEC && !user && us && (v->cr4 & X86_CR4_SMEP)) ||
	    (access == SC_WRITE && !rw && (user || (v->cr0 & X86_CR0_WP)))) {
		w->error = fault_code(v, access, user, SC_PF_P);
		return true;
	}
	if (!probe) {
		int i;

		for (i = 0; i < n; i++) {
			bool last = i == n - 1;
			u64 want = PTE_A | (last && access == SC_WRITE ? PTE_D : 0);

			if ((seen[i].val & want) == want)
				continue;
			if (!entry_set(v, seen[i].at, seen[i].p, m.entry, seen[i].val, want))
				return false;
			if (last)
				e |= want;
		}
	}
	if (m.entry == 4 && shift == 22) /* 4 MiB page: PSE-36 has address bits 39:32 in 20:13 */
		w->gpa = (e & 0xffc00000u) | (e & 0x1fe000) << 19 | (a & 0x3fffff);
	else
		w->gpa = (e & PTE_ADDR & ~(BIT64(shift) - 1)) | (a & (BIT64(shift) - 1));
	w->writable = rw || (!user && !(v->cr0 & X86_CR0_WP));
	w->dirty = e & PTE_D;
	w->shift = shift;
	w->global = (e & PTE_G) && (v->cr4 & X86_CR4_PGE);
	w->error = 0;
	return true;
}

void mmu_walk(struct sc_vcpu *v, gva_t a, enum sc_access access, bool user, bool probe,
	      struct mmu_walk *w)
{
	if (!(v->cr0 & X86_CR0_PG)) {
		*w = (struct mmu_walk){ .gpa = a & 0xffffffffu, .writable = true, .dirty = true,
					.shift = PAGE_SHIFT };
		return;
	}
	while (!walk_once(v, a, access, user, probe, w))
		;
}

u32 sc_walk(struct sc_vcpu *v, gva_t a, enum sc_access access, bool user, bool probe, gpa_t *gpa)
{
	struct mmu_walk w;

	mmu_walk(v, a, access, user, probe, &w);
	if (!w.error)
		*gpa = w.gpa;
	return w.error;
}
