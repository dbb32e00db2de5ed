// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/mmu/site.c - Slots of windows: fill and empty
 *
 * A slot copies one TLB entry for one place in the code (translate/tr_window.c). What
 * takes an entry out of the TLB for good takes it out of the slots too; an entry
 * that another page displaces stays in them. All on the owner's thread, at an
 * instruction boundary; when a block may be behind a check of its own at that
 * moment, v->code_written keeps it from going on. enter.S refills slots too. */
#include "accel/soft/mmu/mmu.h"

#define LIST_MAX ARRAY_LEN(((struct sc_vcpu *)NULL)->site_used[0])

/* The addend stays: a block that is behind its check of a window goes on to where it was
 * allowed to go, until it ends. With a tag that only an address which is not canonical
 * matches, the sum is not canonical either: a host fault, which fault_hook knows. */
#define EMPTY BIT64(63)

static void empty(struct sc_site *s, unsigned n)
{
	while (n--)
		s++->tag = EMPTY;
}

static void clear(struct sc_vcpu *v, enum sc_tlb_kind kind)
{
	empty(v->site[kind], SC_SITES);
	sc_zero(v->site_note[kind], sizeof(v->site_note[kind]));
	v->site_count[kind] = 0;
	empty(&v->stack[kind], 1);
}

void mmu_sites_clear(struct sc_vcpu *v)
{
	unsigned k;

	for (k = 0; k < SC_NUM_TLBS; k++)
		clear(v, k);
	sc_zero(v->site_pages, sizeof(v->site_pages));
}

void mmu_sites_clear_local(struct sc_vcpu *v)
{
	unsigned k, i;

	for (k = 0; k < SC_NUM_TLBS; k++) {
		if (v->site_count[k] > LIST_MAX) {
			clear(v, k);
			continue;
		}
		for (i = 0; i < v->site_count[k]; i++) {
			unsigned at = v->site_used[k][i];

			empty(&v->site[k][at], 1);
			v->site_note[k][at] = 0;
		}
		v->site_count[k] = 0;
		/* Whether the kernel's stack is global is not worth remembering */
		empty(&v->stack[k], 1);
	}
	/* All of the lower half are in the lists */
	sc_zero(v->site_pages[1], sizeof(v->site_pages[1]));
}

void mmu_sites_clear_stores(struct sc_vcpu *v)
{
	unsigned k;

	for (k = 0; k < SC_NUM_TLBS; k++) {
		empty(&v->site[k][SC_SITES / 2], SC_SITES / 2);
		empty(&v->stack[k], 1);
	}
}

/* The word of site_pages for a page, and its bit */
static u64 *page_word(struct sc_vcpu *v, gva_t a)
{
	return &v->site_pages[!(a >> 63)][a >> (PAGE_SHIFT + 6) & 63];
}
static u64 page_bit(gva_t a) { return BIT64(a >> PAGE_SHIFT & 63); }

void mmu_sites_invlpg(struct sc_vcpu *v, gva_t a)
{
	unsigned k;

	for (k = 0; k < SC_NUM_TLBS; k++)
		if (v->stack[k].tag == (a & PAGE_MASK))
			empty(&v->stack[k], 1);
	if (!(*page_word(v, a) & page_bit(a)))
		return;
	if (a >> 63)
		mmu_sites_clear(v);
	else
		mmu_sites_clear_local(v);
}

void mmu_site_fill(struct sc_vcpu *v, u32 slot, const struct sc_tlbe *e, gva_t page)
{
	enum sc_tlb_kind k = mmu_kind(v);
	struct sc_site *s = (struct sc_site *)((u8 *)v + slot);
	unsigned at = s - v->site[k];

	s->tag = page;
	s->addend = e->addend;
	if (s == &v->stack[k])
		return;
	*page_word(v, page) |= page_bit(page);
	if ((v->site_note[k][at] & SC_SITE_LISTED) ||
	    (k == SC_TLB_KERNEL && (page >> 63) && (e->gpa_flags & SC_TLBE_GLOBAL)))
		return;
	v->site_note[k][at] |= SC_SITE_LISTED;
	if (v->site_count[k] < LIST_MAX)
		v->site_used[k][v->site_count[k]] = at;
	if (v->site_count[k] <= LIST_MAX)
		v->site_count[k]++;
}

/* A miss costs some 40 cycles more than the TLB's own look-up; when they come less than this
 * far apart, that is worth more than the cheap hits in between */
#define MISSES_ASKED 64
#define POLY_CYCLES (MISSES_ASKED * 150)

bool mmu_site_is_poly(struct sc_vcpu *v, u32 slot)
{
	enum sc_tlb_kind k = mmu_kind(v);
	struct sc_site *s = (struct sc_site *)((u8 *)v + slot);
	unsigned at = s - v->site[k];
	u32 now, past;

	if (s == &v->stack[k] || (v->site_note[k][at] & SC_SITE_MISSES) < MISSES_ASKED)
		return false;
	now = __builtin_ia32_rdtsc() >> 6;
	past = now - v->site_time[k][at];
	v->site_time[k][at] = now;
	v->site_note[k][at] &= ~SC_SITE_MISSES;
	return past < POLY_CYCLES >> 6;
}
