// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/cache/cache.h - Translated blocks: where they are, how they go away
 *
 * DOC: Theory of operation - dropping stale translations
 *
 * x86 promises that code just written can be executed. Every store into a page
 * that instructions were translated or decoded from has to be noticed:
 *   (1) by a vCPU   - such a page has no store tag in any TLB, so the store takes
 *                     the long way and looks at the page's granules
 *   (2) by a device - accel_ops.ram_written, after the store
 *
 * A granule is 64 bytes; only a store that touches a granule with code drops
 * blocks, so data beside code costs no translations.
 *
 * Tracking a page (cache_track_locked) takes store tags away from all vCPUs. A
 * vCPU may be between its TLB probe and the store at that moment, so the tracker
 * waits until each vCPU that is in guest context has passed a block boundary
 * ("handshake"). Only then bytes are read. While a block is being made, all
 * granules of its page count as code: a store that comes after the bytes were
 * read waits for cache->lock and then drops the new block.
 *
 * The order: a vCPU never waits for cache->lock while it is in guest context
 * (cache_lock leaves it), so the handshake, which is made under the lock, ends.
 *
 * Dropped blocks are unlinked from the hash, from their page and from jumps that
 * were chained to them; each vCPU's branch cache is emptied by request. Their
 * memory is not used again before the whole cache is flushed, for which every
 * vCPU has to be out of translated code (cache_flush_all_locked). */
#ifndef ACCEL_SOFT_CACHE_CACHE_H
#define ACCEL_SOFT_CACHE_CACHE_H

#include "accel/soft/soft.h"

struct sc_block;

/* A direct jump out of a block that can be chained to another block of its page */
struct sc_exit {
	struct sc_block *owner, *target; /* target NULL: not chained */
	struct sc_exit *next_in;	 /* others that are chained to target */
	u32 site;	/* offset in the code memory of the rel32 to patch */
	u32 stub;	/* offset of the code to run when not chained */
	u16 off;	/* guest offset in the page where it leads | SC_EXIT_* */
	bool stashed;	/* flags are in v->flags_stash there */
};

#define SC_EXIT_ATTEND BIT(15) /* taken because of v->attention: never chained */
#define SC_EXIT_SOLO BIT(14)   /* leads to the variant of SC_MODE_SOLO */

/* One instruction of a block: where its host code starts */
struct sc_insn_map {
	u16 host_off;
	u16 guest; /* offset in page; bit 15: flags are stashed before it, bit 14: dead */
};
#define SC_MAP_STASHED BIT(15)
#define SC_MAP_DEAD BIT(14)

struct sc_block {
	gpa_t gpa;		/* of the first byte */
	gpa_t gpa2;		/* page of the rest when its only instruction crosses a page, else 0 */
	u32 mode;
	u16 len;		/* guest bytes */
	u16 num_insns, num_exits;
	bool dead;
	u64 deps;		/* granules of its page that it was made with besides its own bytes */
	u32 code, code_stashed, host_len; /* offsets in the code memory */
	struct sc_link {	/* in the lists of its pages */
		struct sc_link *next;
		struct sc_block *block;
	} link[2];
	struct sc_exit *exits;
	struct sc_exit *incoming;
	struct sc_insn_map *map;
};

/* What is known of a RAM page */
struct sc_page {
	struct sc_link *blocks;
	_Atomic u64 granules; /* bit n: bytes 64n..64n+63 may hold translated code */
	_Atomic u8 tracked;   /* no store tags for it */
	_Atomic u8 hot;	      /* translate it for speed, not for size (cache_sample) */
};

/* Blocks by address and mode: open addressing, at most half full (SC_MAX_BLOCKS) */
#define SC_HASH_BITS 19
#define SC_MAX_BLOCKS (1u << (SC_HASH_BITS - 1))
struct sc_hash_slot {
	_Atomic u64 key;   /* cache_key() and what became of the block (cache.c); 0 = never used */
	_Atomic u32 block; /* offset in meta */
	u32 code_stashed;  /* copy of the block's, so that a look-up touches one cache line */
};

struct sc_cache {
	pthread_mutex_t lock;
	struct sc_vm *vm;
	/* code memory: one memfd mapped twice, so that no address is writable and executable */
	u8 *rw, *rx;
	u32 size, used, first;	/* first: the thunks end, blocks begin */
	u32 huge;		/* so much of it is in huge pages */
	u8 *code_map;		/* both mappings */
	size_t code_map_bytes;
	/* metadata, bump-allocated, emptied together with the code */
	u8 *meta;
	size_t meta_size, meta_used, meta_first;
	struct sc_hash_slot hash[1u << SC_HASH_BITS] ALIGNED(64);
	u32 hash_used;			/* blocks made since it was emptied */
	struct tr *tr;			/* scratch of the translator, under lock */
	struct sc_block **sorted;	/* all blocks by code offset, for faults */
	u32 num_sorted;
	u32 site_next[2];		/* slots of windows given out, for loads and for stores */
	u64 poly[1024];			/* hashed: instructions that probe the TLB (cache_is_poly) */
	struct sc_page *pages[ACCEL_MAX_RAM]; /* by ram id */
	u64 *dirty[ACCEL_MAX_RAM];	/* pages stored to, for slots with LOG */
	_Atomic u64 flushes, dropped;
};

/* [parked] follow accel_ops.ram_map and ram_unmap */
int cache_ram_map(struct sc_cache *c, const struct accel_ram *r) MUST_CHECK;
void cache_ram_unmap(struct sc_cache *c, const struct accel_ram *r);

struct sc_page *cache_page(struct sc_vm *vm, gpa_t gpa); /* [any] NULL outside RAM */
void cache_mark_dirty(struct sc_vm *vm, const struct accel_ram *r, gpa_t gpa, u64 len); /* [any] */

static inline bool cache_page_tracked(struct sc_vm *vm, gpa_t gpa)
{
	struct sc_page *p = cache_page(vm, gpa);

	return p && atomic_load(&p->tracked);
}

/* [vcpu] In guest context a vCPU may store to RAM and run blocks; out of it others
 * need not wait for it. Entering serves what was asked meanwhile. */
void cache_guest_enter(struct sc_vcpu *v);
void cache_guest_leave(struct sc_vcpu *v);
/* [vcpu, block boundary] Serve v->requests */
void cache_serve(struct sc_vcpu *v);
/* [any] Ask @w for SC_REQ_* (@page for DROP_WRITES). Return: what req_served will reach */
u64 cache_ask(struct sc_vcpu *w, u32 req, gpa_t page);
/* [vcpu, locked] Ask all others and wait until each has served it or is out of guest
 * context, where it will before it enters */
void cache_handshake_locked(struct sc_vcpu *v, u32 req, gpa_t page);

/* [vcpu, FPU saved] leaves guest context while it waits */
void cache_lock(struct sc_vcpu *v);
void cache_unlock(struct sc_vcpu *v);

/* [vcpu] Block for @gpa, where v->rip is, in @mode. Lock-free, never throws. A block
 * that crosses a page is found only while the next page is mapped as when it was made. */
struct sc_block *cache_find(struct sc_vcpu *v, gpa_t gpa, u32 mode);
/* [vcpu] The same; Return: its code_stashed, or 0 */
u32 cache_find_code(struct sc_vcpu *v, gpa_t gpa, u32 mode);
/* [vcpu, locked] */
void cache_insert_locked(struct sc_vcpu *v, struct sc_block *b); /* its pages are tracked */
void *cache_meta_locked(struct sc_cache *c, size_t bytes); /* NULL: full */
/* Granules of [off, off+len) of a page, len > 0 */
static inline u64 cache_granule_mask(unsigned off, unsigned len)
{
	return (~0ull << (off >> 6)) & (~0ull >> (63 - ((off + len - 1) >> 6)));
}
u64 cache_granules(const struct sc_link *l); /* which granules of that page its block covers */
void cache_flush_all_locked(struct sc_vcpu *v);
void cache_grown_locked(struct sc_cache *c); /* [vcpu, FPU saved] c->used went up */
void cache_track_locked(struct sc_vcpu *v, gpa_t page);
/* Does the instruction at @gpa touch another page nearly each time it runs? A bit of a hash: wrong
 * answers cost time only. Setting it drops its blocks. */
bool cache_is_poly(const struct sc_cache *c, gpa_t gpa); /* [vcpu, locked] */
void cache_set_poly(struct sc_vcpu *v, gpa_t gpa, unsigned len); /* [vcpu] */
/* [vcpu] The guest was found running at @gpa, by an interrupt or the like. A page that is found
 * several times of late becomes hot: its code is made anew. */
void cache_sample(struct sc_vcpu *v, gpa_t gpa);
/* [vcpu, locked] Make @e jump to @b */
void cache_chain_locked(struct sc_cache *c, struct sc_exit *e, struct sc_block *b);
/* [signal, vcpu] Block and instruction of a host address, false when not in a block */
bool cache_pc_to_insn(struct sc_cache *c, u64 pc, const struct sc_block **b,
		      const struct sc_insn_map **m);

#endif
