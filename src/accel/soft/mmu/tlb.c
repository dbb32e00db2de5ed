// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/mmu/tlb.c - Software TLB: fill and flush
 *
 * Two tables a vCPU: code at CPL 3 and code below. A store tag is given only
 * when the page's D bit is set and no instruction was translated from the page,
 * so whoever hits may store at once. All functions run on the owner's thread. */
#include "accel/soft/cache/cache.h"
#include "accel/soft/mmu/mmu.h"
#include "accel/soft/translate/translate.h"

static void table_clear(struct sc_vcpu *v, enum sc_tlb_kind kind)
{
	struct sc_tlbe *t = v->tlb[kind];

	sc_zero(t, SC_TLB_ENTRIES * sizeof(*t));
	t[0].tag_r = t[0].tag_w = mmu_no_tag(0);
	sc_zero(v->stores[kind], sizeof(v->stores[kind]));
	v->local_count[kind] = 0;
}

/* rip 0 would match an empty slot 0 */
#define NO_RIP 1

void mmu_ibtc_flush(struct sc_vcpu *v, enum sc_tlb_kind kind)
{
	unsigned n = v->ibtc_count[kind], i;

	v->stats.branch_flush++;
	sc_shadow_reset(v, kind);
	if (n > ARRAY_LEN(v->ibtc_used[kind])) {
		sc_zero(v->ibtc[kind], sizeof(v->ibtc[kind]));
	} else {
		for (i = 0; i < n; i++)
			v->ibtc[kind][v->ibtc_used[kind][i]].rip = 0;
	}
	v->ibtc[kind][0].rip = NO_RIP;
	v->ibtc_count[kind] = 0;
	sc_zero(v->ibtc_pages[kind], sizeof(v->ibtc_pages[kind]));
}

/* Which bit stands for the page of @a in ibtc_pages */
static u64 *branch_bits(struct sc_vcpu *v, enum sc_tlb_kind kind, gva_t a)
{
	return &v->ibtc_pages[kind][a >> (PAGE_SHIFT + 6) & (ARRAY_LEN(v->ibtc_pages[kind]) - 1)];
}
static u64 branch_bit(gva_t a) { return BIT64(a >> PAGE_SHIFT & 63); }

void mmu_ibtc_add(struct sc_vcpu *v, enum sc_tlb_kind kind, u64 rip, void *host)
{
	struct sc_ibtc *t = mmu_ibtc(v, kind, rip);
	unsigned n = v->ibtc_count[kind];

	/* A slot in use is in the list, or the list has overflowed */
	if (t->rip == 0 || t->rip == NO_RIP) {
		if (n < ARRAY_LEN(v->ibtc_used[kind]))
			v->ibtc_used[kind][n] = t - v->ibtc[kind];
		if (n <= ARRAY_LEN(v->ibtc_used[kind]))
			v->ibtc_count[kind] = n + 1;
	}
	t->host = host;
	t->rip = rip;
	*branch_bits(v, kind, rip) |= branch_bit(rip);
}

void mmu_flush_all(struct sc_vcpu *v)
{
	unsigned k;

	for (k = 0; k < SC_NUM_TLBS; k++) {
		table_clear(v, k);
		mmu_ibtc_flush(v, k);
	}
	mmu_sites_clear(v);
	v->ibtc_local = false;
	v->fetch_generation++;
	v->fetch_global++;
	sc_zero(v->large_2m, sizeof(v->large_2m));
	sc_zero(v->large_1g, sizeof(v->large_1g));
	v->stats.flush_all++;
}

/*
 * A large page is entered as 4 KiB pieces, but one INVLPG anywhere inside has to
 * drop it whole. Two small hashed bitmaps remember where pieces may be: for 2 MiB
 * pages all entries of that region are looked at; 1 GiB (and 4 MiB) pages flush all.
 */
static void bit_set(u64 *map, u64 n) { map[n >> 6 & 15] |= BIT64(n & 63); }
static bool bit_test(const u64 *map, u64 n) { return map[n >> 6 & 15] & BIT64(n & 63); }

static void note_large(struct sc_vcpu *v, gva_t a, unsigned shift)
{
	if (shift == 21)
		bit_set(v->large_2m, a >> 21);
	else if (shift > 21)
		bit_set(v->large_1g, a >> 30);
}

/* Remember a non-global entry, so that MOV CR3 need not clear the table whole */
static void note_local(struct sc_vcpu *v, enum sc_tlb_kind kind, unsigned index)
{
	unsigned n = v->local_count[kind];

	if (n < ARRAY_LEN(v->local[kind]))
		v->local[kind][n] = index;
	if (n <= ARRAY_LEN(v->local[kind]))
		v->local_count[kind] = n + 1;
}

static void entry_clear(struct sc_tlbe *e, unsigned index)
{
	e->tag_r = e->tag_w = mmu_no_tag(index);
}

static void region_clear(struct sc_vcpu *v, u64 region)
{
	unsigned first = region << 9 & (SC_TLB_ENTRIES - 1), i, k;

	mmu_sites_clear(v);
	for (k = 0; k < SC_NUM_TLBS; k++)
		for (i = first; i < first + 512; i++)
			if (v->tlb[k][i].tag_r >> 21 == region)
				entry_clear(&v->tlb[k][i], i);
	v->fetch_generation++;
	v->fetch_global++;
	mmu_ibtc_flush(v, SC_TLB_KERNEL);
	mmu_ibtc_flush(v, SC_TLB_USER);
}

void sc_flush_tlb(struct sc_vcpu *v, bool global_too)
{
	unsigned i, k;

	if (global_too) {
		mmu_flush_all(v);
		return;
	}
	v->stats.flush_cr3++;
	mmu_ibtc_flush(v, SC_TLB_USER);
	mmu_sites_clear_local(v);
	if (v->ibtc_local) {
		mmu_ibtc_flush(v, SC_TLB_KERNEL);
		v->ibtc_local = false;
	}
	for (k = 0; k < SC_NUM_TLBS; k++) {
		if (v->local_count[k] > ARRAY_LEN(v->local[k])) {
			table_clear(v, k);
			continue;
		}
		for (i = 0; i < v->local_count[k]; i++)
			entry_clear(&v->tlb[k][v->local[k][i]], v->local[k][i]);
		v->local_count[k] = 0;
	}
	v->fetch_generation++;
}

static u64 fetch_key(const struct sc_vcpu *v, gva_t a)
{
	return (a & PAGE_MASK) | 1 | (v->cpl == 3 ? 2 : 0);
}

static struct sc_fetch_entry *fetch_entry(struct sc_vcpu *v, gva_t a)
{
	return &v->fetch[a >> PAGE_SHIFT & (ARRAY_LEN(v->fetch) - 1)];
}

static bool fetch_hit(const struct sc_vcpu *v, const struct sc_fetch_entry *f, gva_t a)
{
	return f->key == fetch_key(v, a) &&
	       f->generation == (f->global ? v->fetch_global : v->fetch_generation);
}

void sc_invlpg(struct sc_vcpu *v, gva_t a)
{
	unsigned idx = a >> PAGE_SHIFT & (SC_TLB_ENTRIES - 1), k;
	gva_t page = a & PAGE_MASK;
	struct sc_fetch_entry *f;

	v->stats.invlpg++;
	if (bit_test(v->large_1g, a >> 30)) {
		mmu_flush_all(v);
		return;
	}
	if (bit_test(v->large_2m, a >> 21)) {
		v->stats.invlpg_large++;
		region_clear(v, a >> 21);
	}
	for (k = 0; k < SC_NUM_TLBS; k++) {
		struct sc_tlbe *e = &v->tlb[k][idx];

		if (e->tag_r == page || e->tag_w == page)
			entry_clear(e, idx);
	}
	mmu_sites_invlpg(v, a);
	f = fetch_entry(v, a);
	if ((f->key & PAGE_MASK) == page && f->key)
		f->key = 0;
	for (k = 0; k < SC_NUM_TLBS; k++)
		if (*branch_bits(v, k, a) & branch_bit(a))
			mmu_ibtc_flush(v, k);
}

static u64 store_bit(gpa_t page)
{
	return BIT64((page >> PAGE_SHIFT) * 0x9e3779b97f4a7c15ull >> 58);
}

void mmu_drop_writes(struct sc_vcpu *v, gpa_t page)
{
	bool any = false;
	unsigned k, i;

	for (k = 0; k < SC_NUM_TLBS; k++) {
		for (i = 0; i < SC_TLB_ENTRIES; i++) {
			if (!(i & 63) && !(v->stores[k][i / 64] & store_bit(page))) {
				i += 63;
				continue;
			}
			any = true;
			if ((v->tlb[k][i].gpa_flags & PAGE_MASK) == page)
				v->tlb[k][i].tag_w = mmu_no_tag(i);
		}
	}
	/* A slot's page went through an entry with that bit. A block may be behind its check:
	 * when it comes back from whatever brought us here, it must not go on. */
	if (any) {
		mmu_sites_clear_stores(v);
		v->code_written = true;
	}
}

void mmu_drop_all_writes(struct sc_vcpu *v)
{
	unsigned k, i;

	mmu_sites_clear_stores(v);
	v->code_written = true;
	for (k = 0; k < SC_NUM_TLBS; k++)
		for (i = 0; i < SC_TLB_ENTRIES; i++)
			v->tlb[k][i].tag_w = mmu_no_tag(i);
}

struct sc_tlbe *mmu_fill(struct sc_vcpu *v, gva_t a, unsigned size, enum sc_access access)
{
	enum sc_tlb_kind kind = mmu_kind(v);
	unsigned idx = a >> PAGE_SHIFT & (SC_TLB_ENTRIES - 1);
	struct sc_tlbe *e = &v->tlb[kind][idx];
	const struct accel_ram *r;
	struct mmu_walk w;
	gpa_t page;
	u64 tag;

	if ((a & ~PAGE_MASK) > PAGE_BYTES - size)
		return NULL;
	if (sc_long_mode(v) && !sc_canonical(a))
		return NULL;
	mmu_walk(v, a, access, kind == SC_TLB_USER, false, &w);
	if (w.error)
		sc_throw_pf(v, a, w.error);
	if (!(v->efer & X86_EFER_LMA))
		a &= 0xffffffffu;
	r = sc_ram_find(v->vm, w.gpa);
	if (!r)
		return NULL;
	page = w.gpa & PAGE_MASK;
	tag = a & PAGE_MASK;
	e->addend = (u64)r->hva + (page - r->gpa) - tag;
	e->gpa_flags = page | (w.global ? SC_TLBE_GLOBAL : 0);
	e->tag_r = tag;
	/*
	 * Another vCPU that is about to translate from this page sets the tracked bit first
	 * and then asks every vCPU to drop its store tags (cache_track_locked). Either we see
	 * the bit here, or its request finds our tag.
	 */
	e->tag_w = w.writable && w.dirty && !(r->flags & ACCEL_RAM_ROM) ? tag : mmu_no_tag(idx);
	atomic_thread_fence(memory_order_seq_cst);
	if (cache_page_tracked(v->vm, page) || (r->flags & ACCEL_RAM_LOG))
		e->tag_w = mmu_no_tag(idx);
	if (e->tag_w == tag)
		v->stores[kind][idx / 64] |= store_bit(page);
	if (!w.global)
		note_local(v, kind, idx);
	if (unlikely(w.shift != PAGE_SHIFT))
		note_large(v, a, w.shift);
	v->stats.tlb_fill++;
	if (access == SC_WRITE)
		return e->tag_w == tag ? e : NULL;
	return e;
}

gpa_t mmu_fetch_cached(const struct sc_vcpu *v, gva_t a)
{
	const struct sc_fetch_entry *f = fetch_entry((struct sc_vcpu *)v, a);

	return fetch_hit(v, f, a) ? f->page | (a & ~PAGE_MASK) : ~0ull;
}

/* 0 and *gpa, or the #PF error code; ~0 for an address that is not canonical */
static u32 fetch(struct sc_vcpu *v, gva_t a, gpa_t *gpa)
{
	struct sc_fetch_entry *f = fetch_entry(v, a);
	struct mmu_walk w;

	if (likely(fetch_hit(v, f, a))) {
		*gpa = f->page | (a & ~PAGE_MASK);
		return 0;
	}
	if (sc_long_mode(v) && !sc_canonical(a))
		return ~0u;
	mmu_walk(v, a, SC_EXEC, v->cpl == 3, false, &w);
	if (w.error)
		return w.error;
	f->key = fetch_key(v, a);
	f->generation = w.global ? v->fetch_global : v->fetch_generation;
	f->page = w.gpa & PAGE_MASK;
	f->global = w.global;
	if (unlikely(w.shift != PAGE_SHIFT))
		note_large(v, a, w.shift);
	*gpa = w.gpa;
	return 0;
}

gpa_t mmu_fetch_gpa(struct sc_vcpu *v, gva_t a)
{
	gpa_t gpa;
	u32 e = fetch(v, a, &gpa);

	if (unlikely(e == ~0u))
		sc_gp0(v);
	if (unlikely(e))
		sc_throw_pf(v, a, e);
	return gpa;
}

gpa_t mmu_fetch_try(struct sc_vcpu *v, gva_t a)
{
	gpa_t gpa;

	return fetch(v, a, &gpa) ? ~0ull : gpa;
}
