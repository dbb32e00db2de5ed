// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/cache/cache.c - Code memory, block lookup, chaining, flush
 *
 * cache.h says how stale translations go away; stores are noticed in smc.c.
 * Lookups take no lock: blocks are never changed after they were published and
 * their memory is reused only when every vCPU is out of translated code. */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "accel/soft/cache/cache.h"
#include "accel/soft/mmu/mmu.h"

#ifndef SC_CODE_BYTES /* a test of the flush builds with less */
#define SC_CODE_BYTES (128u << 20)
#endif
#define CODE_BYTES SC_CODE_BYTES
#define HUGE_BYTES (2u << 20)
#ifndef MADV_COLLAPSE /* Linux 6.1 */
#define MADV_COLLAPSE 25
#endif
#define META_BYTES (192ull << 20)
/* Key of a slot, bits 1:0: 2 a block, 3 one that crosses a page, 0 a dropped block, whose
 * address stays; 1 alone: a dropped one that crossed a page */
#define HASH_CROSSES 1ull
#define HASH_STATE 3ull
#define HASH_DROPPED_CROSSING 1ull
/* Longer chains are rewritten code that crosses pages: better begin anew */
#define HASH_LONG 512

static void *map_lazily(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	/* Looked up at random: small pages would cost a host TLB miss each time */
	if (bytes >= 2u << 20)
		madvise(p, bytes, MADV_HUGEPAGE);
	return p;
}

/* The two mappings of the code, side by side and aligned to huge pages. 0 or -errno */
static int map_code(struct sc_cache *c, int fd)
{
	size_t bytes = 2 * (size_t)CODE_BYTES + HUGE_BYTES;
	u8 *p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), *at;

	if (p == MAP_FAILED)
		return -ENOMEM;
	c->code_map = p;
	c->code_map_bytes = bytes;
	at = (u8 *)(((u64)p + HUGE_BYTES - 1) & ~(u64)(HUGE_BYTES - 1));
	c->rw = mmap(at, CODE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd, 0);
	if (c->rw == MAP_FAILED)
		return -ENOMEM;
	c->rx = mmap(at + CODE_BYTES, CODE_BYTES, PROT_READ | PROT_EXEC,
		     MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd, 0);
	/* The host may forbid executable mappings of a memfd */
	return c->rx == MAP_FAILED ? -EPERM : 0;
}

/*
 * Big guest programs spread over tens of megabytes of code, and a host TLB miss for
 * each page of it costs more than anything else here. Hosts do not give huge pages to a memfd
 * of their own accord (shmem_enabled is "never"), but do when asked for memory that is there.
 */
void cache_grown_locked(struct sc_cache *c)
{
	while (c->used >= c->huge + HUGE_BYTES && c->huge < c->size) {
		if (madvise(c->rx + c->huge, HUGE_BYTES, MADV_COLLAPSE)) {
			c->huge = c->size; /* an older host */
			return;
		}
		c->huge += HUGE_BYTES;
	}
}

int sc_cache_create(struct sc_cache **out, struct sc_vm *vm)
{
	struct sc_cache *c = map_lazily(sizeof(*c));
	int fd, rc = -ENOMEM;

	if (!c)
		return -ENOMEM;
	pthread_mutex_init(&c->lock, NULL);
	c->vm = vm;
	c->size = CODE_BYTES;
	c->meta_size = META_BYTES;
	c->meta = map_lazily(META_BYTES);
	c->sorted = map_lazily(SC_MAX_BLOCKS * sizeof(*c->sorted));
	fd = memfd_create("hyperkit-code", MFD_CLOEXEC);
	if (fd >= 0 && !ftruncate(fd, CODE_BYTES))
		rc = map_code(c, fd);
	if (fd >= 0)
		close(fd);
	if (rc || !c->meta || !c->sorted) {
		sc_cache_destroy(c);
		return rc ? rc : -ENOMEM;
	}
	*out = c;
	return 0;
}

void sc_cache_destroy(struct sc_cache *c)
{
	unsigned i;

	if (!c)
		return;
	for (i = 0; i < c->vm->num_ram; i++)
		cache_ram_unmap(c, &c->vm->ram[i]);
	if (c->code_map)
		munmap(c->code_map, c->code_map_bytes);
	if (c->meta)
		munmap(c->meta, META_BYTES);
	if (c->sorted)
		munmap(c->sorted, SC_MAX_BLOCKS * sizeof(*c->sorted));
	pthread_mutex_destroy(&c->lock);
	munmap(c, sizeof(*c));
}

int cache_ram_map(struct sc_cache *c, const struct accel_ram *r)
{
	u64 pages = r->len >> PAGE_SHIFT;

	c->pages[r->id] = map_lazily(pages * sizeof(struct sc_page));
	if (!c->pages[r->id])
		return -ENOMEM;
	if (r->flags & ACCEL_RAM_LOG) {
		c->dirty[r->id] = map_lazily((pages + 63) / 64 * 8);
		if (!c->dirty[r->id]) {
			cache_ram_unmap(c, r);
			return -ENOMEM;
		}
	}
	return 0;
}

void cache_ram_unmap(struct sc_cache *c, const struct accel_ram *r)
{
	u64 pages = r->len >> PAGE_SHIFT;

	if (c->pages[r->id])
		munmap(c->pages[r->id], pages * sizeof(struct sc_page));
	if (c->dirty[r->id])
		munmap(c->dirty[r->id], (pages + 63) / 64 * 8);
	c->pages[r->id] = NULL;
	c->dirty[r->id] = NULL;
}

struct sc_page *cache_page(struct sc_vm *vm, gpa_t gpa)
{
	const struct accel_ram *r = sc_ram_find(vm, gpa);

	return r ? &vm->cache->pages[r->id][(gpa - r->gpa) >> PAGE_SHIFT] : NULL;
}

void cache_mark_dirty(struct sc_vm *vm, const struct accel_ram *r, gpa_t gpa, u64 len)
{
	u64 *map = vm->cache->dirty[r->id];
	u64 p;

	if (!map || !len)
		return;
	for (p = (gpa - r->gpa) >> PAGE_SHIFT; p <= (gpa - r->gpa + len - 1) >> PAGE_SHIFT; p++)
		__atomic_fetch_or(&map[p / 64], BIT64(p % 64), __ATOMIC_SEQ_CST);
}

void cache_track_locked(struct sc_vcpu *v, gpa_t page)
{
	struct sc_page *p = cache_page(v->vm, page);

	if (!p || atomic_load(&p->tracked))
		return;
	atomic_store(&p->tracked, 1);
	mmu_drop_writes(v, page & PAGE_MASK);
	if (v->vm->num_cpus > 1)
		cache_handshake_locked(v, SC_REQ_DROP_WRITES, page & PAGE_MASK);
}

/* ------------------------------------------------------------ blocks */

static u64 cache_key(gpa_t gpa, u32 mode)
{
	_Static_assert(SC_MODE_64 < BIT(6) && SC_MODE_SOLO < BIT(6), "mode fits beside the address");
	return gpa << 8 | mode << 2 | 2;
}

/* Blocks of the same 64 bytes start in one cache line of four slots */
static u32 hash_of(u64 key)
{
	u64 gpa = key >> 8;

	return (gpa >> 6) * 0x9e3779b97f4a7c15ull >> (64 - SC_HASH_BITS + 2) << 2 | (gpa >> 4 & 3);
}

static bool same_pages(struct sc_vcpu *v, const struct sc_block *b)
{
	return mmu_fetch_cached(v, (v->rip & PAGE_MASK) + PAGE_BYTES) == b->gpa2;
}

static struct sc_block *block_at(struct sc_cache *c, u32 off)
{
	return (struct sc_block *)(c->meta + off);
}

static const struct sc_hash_slot *find_slot(struct sc_vcpu *v, gpa_t gpa, u32 mode)
{
	struct sc_cache *c = v->vm->cache;
	u64 key = cache_key(gpa, mode), k;
	u32 i = hash_of(key);

	for (; (k = atomic_load_explicit(&c->hash[i].key, memory_order_acquire));
	     i = (i + 1) & (ARRAY_LEN(c->hash) - 1)) {
		if (k == key)
			return &c->hash[i];
		if (k == (key | HASH_CROSSES) &&
		    same_pages(v, block_at(c, atomic_load_explicit(&c->hash[i].block,
								   memory_order_relaxed))))
			return &c->hash[i];
	}
	return NULL;
}

struct sc_block *cache_find(struct sc_vcpu *v, gpa_t gpa, u32 mode)
{
	const struct sc_hash_slot *s = find_slot(v, gpa, mode);

	return s ? block_at(v->vm->cache, atomic_load_explicit(&s->block, memory_order_relaxed)) : NULL;
}

u32 cache_find_code(struct sc_vcpu *v, gpa_t gpa, u32 mode)
{
	const struct sc_hash_slot *s = find_slot(v, gpa, mode);

	return s ? s->code_stashed : 0;
}

void cache_insert_locked(struct sc_vcpu *v, struct sc_block *b)
{
	struct sc_cache *c = v->vm->cache;
	u64 key = cache_key(b->gpa, b->mode);
	u32 at = hash_of(key);
	unsigned i, probes = 0;
	u64 k;

	for (i = 0; i < (b->gpa2 ? 2 : 1); i++) {
		struct sc_page *p = cache_page(v->vm, i ? b->gpa2 : b->gpa);

		b->link[i] = (struct sc_link){ .next = p->blocks, .block = b };
		p->blocks = &b->link[i];
	}
	c->sorted[c->num_sorted++] = b;
	/*
	 * A reader may have the key of a dropped block's slot but not yet the rest: the slot is for
	 * the same address again or for nobody. Code that is written over and over would else
	 * make a chain without end. Which pages a crossing block is of, the key does not say.
	 */
	for (; (k = atomic_load_explicit(&c->hash[at].key, memory_order_relaxed));
	     at = (at + 1) & (ARRAY_LEN(c->hash) - 1), probes++)
		if (k == (key & ~HASH_STATE) && !b->gpa2)
			break;
	c->hash_used++;
	if (unlikely(probes > HASH_LONG))
		c->hash_used = SC_MAX_BLOCKS;
	c->hash[at].code_stashed = b->code_stashed;
	atomic_store_explicit(&c->hash[at].block, (u8 *)b - c->meta, memory_order_relaxed);
	atomic_store_explicit(&c->hash[at].key, b->gpa2 ? key | HASH_CROSSES : key,
			      memory_order_release);
}

void *cache_meta_locked(struct sc_cache *c, size_t bytes)
{
	void *p;

	bytes = (bytes + 7) & ~7ull;
	if (bytes > c->meta_size - c->meta_used)
		return NULL;
	p = c->meta + c->meta_used;
	c->meta_used += bytes;
	return p;
}

/* The site never crosses a cache line (translate/ sees to it), so other vCPUs fetch the
 * old or the new displacement */
static void patch(struct sc_cache *c, u32 site, u32 to)
{
	__atomic_store_n((u32 *)(c->rw + site), to - (site + 4), __ATOMIC_RELEASE);
}

void cache_chain_locked(struct sc_cache *c, struct sc_exit *e, struct sc_block *b)
{
	/* A block that crosses a page depends on the mapping of the next: only v->ibtc, which
	 * goes with the mapping, may lead there */
	if (e->target || b->dead || e->owner->dead || b->gpa2)
		return;
	e->target = b;
	e->next_in = b->incoming;
	b->incoming = e;
	patch(c, e->site, e->stashed ? b->code_stashed : b->code);
}

static void unlink_incoming(struct sc_cache *c, struct sc_block *b)
{
	struct sc_exit *e, *next;

	for (e = b->incoming; e; e = next) {
		next = e->next_in;
		patch(c, e->site, e->stub);
		e->target = NULL;
		e->next_in = NULL;
	}
	b->incoming = NULL;
}

static void unlink_outgoing(struct sc_block *b)
{
	unsigned i;

	for (i = 0; i < b->num_exits; i++) {
		struct sc_exit *e = &b->exits[i], **pp;

		if (!e->target)
			continue;
		for (pp = &e->target->incoming; *pp && *pp != e; pp = &(*pp)->next_in)
			;
		if (*pp)
			*pp = e->next_in;
		e->target = NULL;
	}
}

/* Off the hash, the jumps and, by the caller, the page */
static void drop_locked(struct sc_cache *c, struct sc_block *b)
{
	u32 i = hash_of(cache_key(b->gpa, b->mode));

	__atomic_store_n(&b->dead, true, __ATOMIC_SEQ_CST);
	for (; atomic_load(&c->hash[i].key); i = (i + 1) & (ARRAY_LEN(c->hash) - 1)) {
		if (block_at(c, atomic_load(&c->hash[i].block)) == b) {
			atomic_store(&c->hash[i].key, b->gpa2 ? HASH_DROPPED_CROSSING
							      : cache_key(b->gpa, b->mode) & ~HASH_STATE);
			break;
		}
	}
	unlink_incoming(c, b);
	unlink_outgoing(b);
	atomic_fetch_add(&c->dropped, 1);
}

/* The bytes of a block in one of its pages */
static void part_of(const struct sc_link *l, unsigned *start, unsigned *len)
{
	const struct sc_block *b = l->block;
	unsigned off = b->gpa & ~PAGE_MASK;
	unsigned first = MIN(b->len, PAGE_BYTES - off);

	*start = l == &b->link[0] ? off : 0;
	*len = l == &b->link[0] ? first : b->len - first;
}

u64 cache_granules(const struct sc_link *l)
{
	unsigned start, len;

	part_of(l, &start, &len);
	return cache_granule_mask(start, len) | (l == &l->block->link[0] ? l->block->deps : 0);
}

/* Take a block off the list of its other page */
static void unlink_page(struct sc_vm *vm, struct sc_link *l)
{
	struct sc_block *b = l->block;
	struct sc_page *p = cache_page(vm, l == &b->link[0] ? b->gpa : b->gpa2);
	struct sc_link **pp;

	for (pp = p ? &p->blocks : NULL; pp && *pp; pp = &(*pp)->next) {
		if (*pp == l) {
			*pp = l->next;
			return;
		}
	}
}

/* Drop blocks of one page that overlap [off, off+len) of it; true: there was something */
static bool drop_range_locked(struct sc_vm *vm, gpa_t page, unsigned off, unsigned len)
{
	struct sc_page *p = cache_page(vm, page);
	struct sc_link **pp, *l;
	u64 left = 0;
	bool any = false;

	if (!p || !atomic_load(&p->tracked))
		return false;
	for (pp = &p->blocks; (l = *pp);) {
		struct sc_block *b = l->block;
		unsigned start, n;

		part_of(l, &start, &n);
		if ((start < off + len && off < start + n) ||
		    (l == &b->link[0] && (b->deps & cache_granule_mask(off, len)))) {
			*pp = l->next;
			if (b->gpa2)
				unlink_page(vm, l == &b->link[0] ? &b->link[1] : &b->link[0]);
			drop_locked(vm->cache, b);
			any = true;
		} else {
			left |= cache_granules(l);
			pp = &l->next;
		}
	}
	atomic_store(&p->granules, left);
	/* Nothing left: stores may have tags again (mmu_fill looks at tracked) */
	if (!p->blocks)
		atomic_store(&p->tracked, 0);
	return any;
}

bool sc_cache_has_code(struct sc_vm *vm, gpa_t gpa, unsigned len)
{
	unsigned off = gpa & ~PAGE_MASK;
	struct sc_page *p = cache_page(vm, gpa);

	/* The store that we are asked about comes before the look: whoever translates sets the
	 * granules first and reads the code then, so that one of the two sees the other */
	atomic_thread_fence(memory_order_seq_cst);
	if (!p || !atomic_load(&p->tracked))
		return false;
	return atomic_load(&p->granules) & cache_granule_mask(off, MIN(len, PAGE_BYTES - off));
}

void sc_cache_invalidate(struct sc_vm *vm, struct sc_vcpu *v, gpa_t gpa, u64 len)
{
	bool any = false;
	unsigned i;

	if (v) {
		sc_fpu_save(v);
		cache_lock(v);
	} else {
		pthread_mutex_lock(&vm->cache->lock);
	}
	while (len) {
		unsigned off = gpa & ~PAGE_MASK;
		unsigned n = MIN(len, PAGE_BYTES - off);

		if (sc_cache_has_code(vm, gpa, n))
			any |= drop_range_locked(vm, gpa & PAGE_MASK, off, n);
		gpa += n;
		len -= n;
	}
	if (any) {
		for (i = 0; i < vm->num_cpus; i++) {
			struct sc_vcpu *w = atomic_load(&vm->cpu[i]);

			if (w && w != v)
				cache_ask(w, SC_REQ_FLUSH_IBTC, 0);
		}
		if (v) {
			v->code_written = true;
			v->stats.code_writes++;
			mmu_ibtc_flush(v, SC_TLB_KERNEL);
			mmu_ibtc_flush(v, SC_TLB_USER);
		}
	}
	pthread_mutex_unlock(&vm->cache->lock);
}

static u32 poly_bit(gpa_t gpa)
{
	return gpa * 0x9e3779b97f4a7c15ull >> 48;
}

bool cache_is_poly(const struct sc_cache *c, gpa_t gpa)
{
	return c->poly[poly_bit(gpa) / 64] & BIT64(poly_bit(gpa) % 64);
}

void cache_set_poly(struct sc_vcpu *v, gpa_t gpa, unsigned len)
{
	struct sc_cache *c = v->vm->cache;

	v->stats.site_poly++;
	sc_fpu_save(v);
	cache_lock(v);
	c->poly[poly_bit(gpa) / 64] |= BIT64(poly_bit(gpa) % 64);
	cache_unlock(v);
	sc_cache_invalidate(v->vm, v, gpa, len);
}

#define HOT_SAMPLES 3

void cache_sample(struct sc_vcpu *v, gpa_t gpa)
{
	struct sc_page *p = cache_page(v->vm, gpa);
	u32 page = gpa >> PAGE_SHIFT;
	unsigned i, n = 1;

	for (i = 0; i < ARRAY_LEN(v->samples); i++)
		n += v->samples[i] == page;
	v->samples[v->next_sample++ % ARRAY_LEN(v->samples)] = page;
	if (n < HOT_SAMPLES || !p || atomic_exchange(&p->hot, 1))
		return;
	v->stats.hot_pages++;
	sc_cache_invalidate(v->vm, v, gpa & PAGE_MASK, PAGE_BYTES);
}

static void page_forget(struct sc_page *p)
{
	if (!p || !p->blocks)
		return;
	p->blocks = NULL;
	atomic_store(&p->granules, 0);
	atomic_store(&p->tracked, 0);
}

void cache_flush_all_locked(struct sc_vcpu *v)
{
	struct sc_cache *c = v->vm->cache;
	unsigned i;

	/* First the look-up: a vCPU that has served the request must not find old blocks again */
	for (i = 0; i < ARRAY_LEN(c->hash); i++)
		atomic_store_explicit(&c->hash[i].key, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	cache_handshake_locked(v, SC_REQ_FLUSH_CODE, 0);
	mmu_ibtc_flush(v, SC_TLB_KERNEL);
	mmu_ibtc_flush(v, SC_TLB_USER);
	v->code_written = true;
	for (i = 0; i < c->num_sorted; i++) {
		page_forget(cache_page(c->vm, c->sorted[i]->gpa));
		if (c->sorted[i]->gpa2)
			page_forget(cache_page(c->vm, c->sorted[i]->gpa2));
	}
	sc_zero(c->poly, sizeof(c->poly));
	c->hash_used = 0;
	c->num_sorted = 0;
	c->used = c->first;
	c->meta_used = c->meta_first;
	atomic_fetch_add(&c->flushes, 1);
}

bool cache_pc_to_insn(struct sc_cache *c, u64 pc, const struct sc_block **out,
		      const struct sc_insn_map **m)
{
	u64 off = pc - (u64)c->rx;
	u32 lo = 0, hi = __atomic_load_n(&c->num_sorted, __ATOMIC_ACQUIRE), i;
	const struct sc_block *b;

	if (off >= c->size || !hi)
		return false;
	while (hi - lo > 1) {
		u32 mid = lo + (hi - lo) / 2;

		if (c->sorted[mid]->code <= off)
			lo = mid;
		else
			hi = mid;
	}
	b = c->sorted[lo];
	if (off < b->code || off >= b->code + b->host_len || !b->num_insns)
		return false;
	for (i = b->num_insns - 1; i > 0 && b->map[i].host_off > off - b->code; i--)
		;
	*out = b;
	*m = &b->map[i];
	return true;
}
