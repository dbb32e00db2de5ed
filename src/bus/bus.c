// SPDX-License-Identifier: BSD-2-Clause
/* bus/bus.c - Who answers at which address
 *
 * vCPU threads come in through bus_read and bus_write, which take no lock;
 * whoever changes the map takes the bus's mutex. That mutex is last in any lock
 * order: no handler is called with it held. Test: test/unit/bus. */
#include "bus/bus.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/strbuf.h"

/**
 * DOC: Theory of operation - readers without a lock
 *
 * The map is a sorted array that never changes once published. A writer copies
 * it, changes the copy and stores the pointer. Two things need to know that no
 * reader is left behind: freeing the old array, and bus_unmap(), whose caller
 * frees the region and what its handlers use.
 *
 * Readers announce themselves in one of BUS_SLOTS counters (chosen by thread, so
 * that they rarely share a cache line), of which each slot has two: one per
 * phase. A reader counts itself in under the phase it saw, then loads the table,
 * calls handlers, and counts itself out in the same counter.
 *
 * A writer turns the phase when the counters of the *other* phase have each been
 * seen at zero. A reader that has the old table counted itself in before the new
 * one was published; both its possible counters have been seen at zero once the
 * phase was turned twice after that. So: two turns = nobody holds what was
 * unpublished before. A reader that read the phase, slept and counts itself in
 * late is in the "wrong" counter, but it loads the table after that and thus gets
 * the new one; it only delays a turn. Turning the phase sends newcomers to the
 * other counter, so a busy bus cannot keep a writer waiting for ever.
 *
 * bus_move() never waits, because it is called from handlers (a guest writes a
 * BAR): it turns the phase if it can and else leaves the old array on a list.
 * bus_unmap() waits for its two turns, without the mutex, since the handler that
 * it waits for may be about to take it.
 */

#define BUS_SLOTS 32 /* power of two */

struct bus_entry {
	u64 base, last; /* copied: region->base changes under readers */
	struct region *r;
};

struct bus_table {
	struct bus_table *retired; /* next one waiting to be freed */
	size_t n;
	struct bus_entry e[];
};

struct bus_slot {
	_Atomic u32 inside[2]; /* readers, by phase */
	_Atomic u64 unclaimed;
} ALIGNED(64);

struct bus_int {
	struct bus_slot slot[BUS_SLOTS];
	_Atomic u32 phase;
	pthread_mutex_t lock;
	u64 turns;			      /* under the lock */
	struct bus_table *fresh, *aged;	      /* retired after, before the last turn */
	struct bus_doorbell_host host;	      /* constant after set-up; add NULL = nobody */
	struct bus_doorbell *doorbells;	      /* under the lock */
};

/* ------------------------------------------------------------- readers */

/* Threads of one process differ in the address of their thread block */
static struct bus_slot *own_slot(struct bus *b)
{
	u64 h = (u64)pthread_self() * 0x9e3779b97f4a7c15ull;

	return &b->in->slot[h >> 59];
}
_Static_assert(BUS_SLOTS == 1 << (64 - 59), "own_slot() yields 5 bits");

struct reader {
	struct bus_slot *slot;
	u32 phase;
	const struct bus_table *table;
};

static inline struct reader enter(struct bus *b)
{
	struct reader r = { .slot = own_slot(b) };

	r.phase = atomic_load(&b->in->phase) & 1;
	atomic_fetch_add(&r.slot->inside[r.phase], 1);
	r.table = atomic_load(&b->table);
	return r;
}

static inline void leave(const struct reader *r)
{
	atomic_fetch_sub_explicit(&r->slot->inside[r->phase], 1, memory_order_release);
}

/* The entry that holds @addr; else NULL and *@next = first mapped address above, ~0 = none */
static const struct bus_entry *find(const struct bus_table *t, u64 addr, u64 *next)
{
	size_t lo = 0, hi = t->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->e[mid].base <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo && addr <= t->e[lo - 1].last)
		return &t->e[lo - 1];
	*next = lo < t->n ? t->e[lo].base : ~0ull;
	return NULL;
}

static inline u64 low_bytes(u64 val, unsigned n)
{
	return n >= 8 ? val : val & ((1ull << (8 * n)) - 1);
}

/* ------------------------------------ what a device sees of an access
 *
 * An access that the device did not declare becomes several: in rising order,
 * each as large as alignment and ->max allow. One that is smaller than ->min is
 * a read of the aligned unit around it; as a write, a read followed by a write
 * of the whole unit with the new bytes in it. */

struct piece {
	u64 off;	/* of the unit that the device is asked for */
	unsigned size;	/* of the unit */
	unsigned shift; /* our first byte in it */
	unsigned n;	/* our bytes in it */
};

static struct piece next_piece(const struct region_ops *ops, u64 off, unsigned len)
{
	unsigned min = ops->min ? ops->min : 1, max = ops->max ? ops->max : 8;
	unsigned p = 8;

	while (p > 1 && (p > len || p > max || (!ops->unaligned_ok && (off & (p - 1)))))
		p /= 2;
	if (p >= min)
		return (struct piece){ .off = off, .size = p, .n = p };
	p = off & (min - 1);
	return (struct piece){ .off = off - p, .size = min, .shift = p, .n = MIN(len, min - p) };
}

static u64 region_read(const struct region *r, u64 off, unsigned len)
{
	u64 val = 0;

	for (unsigned done = 0; done < len;) {
		struct piece p = next_piece(r->ops, off + done, len - done);
		u64 v = r->ops->read ? r->ops->read(r->opaque, p.off, p.size) : ~0ull;

		val |= low_bytes(v >> (8 * p.shift), p.n) << (8 * done);
		done += p.n;
	}
	return val;
}

static void region_write(const struct region *r, u64 off, u64 val, unsigned len)
{
	if (!r->ops->write)
		return;
	for (unsigned done = 0; done < len;) {
		struct piece p = next_piece(r->ops, off + done, len - done);
		u64 v = low_bytes(val >> (8 * done), p.n);

		if (p.n < p.size) {
			u64 ours = low_bytes(~0ull, p.n) << (8 * p.shift);
			u64 old = r->ops->read ? r->ops->read(r->opaque, p.off, p.size) : 0;

			v = (old & ~ours) | v << (8 * p.shift);
		}
		r->ops->write(r->opaque, p.off, low_bytes(v, p.size), p.size);
		done += p.n;
	}
}

/* @val: in for writes, out for reads. Return: did anybody claim a byte of it? */
static bool bus_access(struct bus *b, u64 addr, unsigned size, u64 *val, bool write)
{
	struct reader rd = enter(b);
	bool somebody = false, nobody = false;
	u64 got = 0;
	unsigned done = 0;

	while (done < size) {
		u64 at = addr + done, next, n = size - done;
		const struct bus_entry *e;

		if (at < addr || at > b->limit) { /* past the end of the space */
			got |= low_bytes(~0ull, n) << (8 * done);
			nobody = true;
			break;
		}
		e = find(rd.table, at, &next);
		if (e) {
			n = MIN(n - 1, e->last - at) + 1;
			if (write)
				region_write(e->r, at - e->base, low_bytes(*val >> (8 * done), n), n);
			else
				got |= region_read(e->r, at - e->base, n) << (8 * done);
			somebody = true;
		} else {
			n = MIN(n, next - at);
			n = MAX(n, 1u); /* next == at only at the very last address */
			got |= low_bytes(~0ull, n) << (8 * done);
			nobody = true;
		}
		done += n;
	}
	if (nobody)
		atomic_fetch_add_explicit(&rd.slot->unclaimed, 1, memory_order_relaxed);
	leave(&rd);
	if (!write)
		*val = got;
	return somebody;
}

bool bus_read(struct bus *b, u64 addr, unsigned size, u64 *val)
{
	return bus_access(b, addr, MIN(size, 8u), val, false);
}

bool bus_write(struct bus *b, u64 addr, unsigned size, u64 val)
{
	return bus_access(b, addr, MIN(size, 8u), &val, true);
}

u64 bus_unclaimed(struct bus *b)
{
	u64 sum = 0;

	for (unsigned i = 0; i < BUS_SLOTS; i++)
		sum += atomic_load_explicit(&b->in->slot[i].unclaimed, memory_order_relaxed);
	return sum;
}

/* ------------------------------------------------------------- writers */

static void free_tables(struct bus_table *t)
{
	while (t) {
		struct bus_table *next = t->retired;

		free(t);
		t = next;
	}
}

/* Turn the phase if the other one has run empty; free what two turns have passed over */
static void try_turn_locked(struct bus *b)
{
	struct bus_int *in = b->in;
	u32 other = ~atomic_load(&in->phase) & 1;

	for (unsigned i = 0; i < BUS_SLOTS; i++)
		if (atomic_load(&in->slot[i].inside[other]))
			return;
	atomic_store(&in->phase, other);
	in->turns++;
	free_tables(in->aged);
	in->aged = in->fresh;
	in->fresh = NULL;
}

static void publish_locked(struct bus *b, struct bus_table *t)
{
	struct bus_table *old = atomic_load(&b->table);

	atomic_store(&b->table, t);
	old->retired = b->in->fresh;
	b->in->fresh = old;
	try_turn_locked(b);
}

static size_t index_of(const struct bus_table *t, const struct region *r)
{
	size_t i;

	for (i = 0; i < t->n; i++)
		if (t->e[i].r == r)
			break;
	return i;
}

/* A copy without @drop and with @add at @base; either may be NULL */
static struct bus_table *copy_table(const struct bus_table *old, const struct region *drop,
				    struct region *add, u64 base)
{
	struct bus_table *t = malloc(sizeof(*t) + (old->n + 1) * sizeof(t->e[0]));
	struct bus_entry e = { .base = base, .r = add };
	size_t n = 0;

	if (!t)
		return NULL;
	if (add)
		e.last = base + (add->size - 1);
	for (size_t i = 0; i < old->n; i++) {
		if (old->e[i].r == drop)
			continue;
		if (e.r && e.base < old->e[i].base) {
			t->e[n++] = e;
			e.r = NULL;
		}
		t->e[n++] = old->e[i];
	}
	if (e.r)
		t->e[n++] = e;
	t->n = n;
	t->retired = NULL;
	return t;
}

/* Whom would @r meet at @base? NULL = nobody */
static const struct bus_entry *obstacle(const struct bus_table *t, const struct region *r, u64 base)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->e[i].r != r && base <= t->e[i].last && t->e[i].base <= base + (r->size - 1))
			return &t->e[i];
	return NULL;
}

static bool fits(const struct bus *b, const struct region *r, u64 base)
{
	return base <= b->limit && r->size - 1 <= b->limit - base;
}

static bool size_ok(u8 n)
{
	return !n || n == 1 || n == 2 || n == 4 || n == 8;
}

static bool region_ok(const struct region *r)
{
	unsigned min;

	if (!r->size || !r->ops || !size_ok(r->ops->min) || !size_ok(r->ops->max))
		return false;
	min = r->ops->min ? r->ops->min : 1;
	/* Else a unit could reach past the region's end */
	return r->size % min == 0 && (!r->ops->max || r->ops->max >= min);
}

/* Ring at @at from now on. What the accelerator refuses comes to the region's handler. */
static void doorbell_move_locked(struct bus *b, struct bus_doorbell *d, u64 at)
{
	const struct bus_doorbell_host *h = &b->in->host;
	const u64 *match = d->has_match ? &d->match : NULL;

	if (d->at == at)
		return;
	if (d->at != BUS_NOWHERE)
		h->del(h->arg, d->at, d->size, match, d->fd);
	d->at = at;
	if (at != BUS_NOWHERE && h->add(h->arg, at, d->size, match, d->fd))
		d->at = BUS_NOWHERE;
}

static void doorbells_follow_locked(struct bus *b, const struct region *r)
{
	struct bus_doorbell *d;

	for (d = b->in->doorbells; d; d = d->next)
		if (d->region == r)
			doorbell_move_locked(b, d, r->base == BUS_NOWHERE ? r->base : r->base + d->off);
}

/* Show @r at @base (BUS_NOWHERE: nowhere) instead of where it was */
static int place_locked(struct bus *b, struct region *r, u64 base)
{
	const struct bus_table *old = atomic_load(&b->table);
	struct region *add = base == BUS_NOWHERE ? NULL : r;
	struct bus_table *t;

	if (add || index_of(old, r) < old->n) {
		t = copy_table(old, r, add, base);
		if (!t)
			return -ENOMEM;
		publish_locked(b, t);
	}
	r->base = base;
	doorbells_follow_locked(b, r);
	return 0;
}

int bus_map(struct bus *b, struct region *r, u64 base, struct hk_err *err)
{
	const struct bus_entry *e;
	int rc;

	if (!region_ok(r))
		return err_set(err, -EINVAL, "%s: region %s has impossible sizes", b->name, r->name);
	if (base != BUS_NOWHERE && !fits(b, r, base))
		return err_set(err, -ERANGE, "%s: %s at %#llx ends past the address space", b->name,
			       r->name, (unsigned long long)base);
	pthread_mutex_lock(&b->in->lock);
	e = base == BUS_NOWHERE ? NULL : obstacle(atomic_load(&b->table), r, base);
	if (e)
		rc = err_set(err, -EEXIST, "%s: %s at %#llx overlaps %s at %#llx", b->name, r->name,
			     (unsigned long long)base, e->r->name, (unsigned long long)e->base);
	else
		rc = place_locked(b, r, base);
	pthread_mutex_unlock(&b->in->lock);
	if (rc == -ENOMEM)
		err_set(err, rc, "out of memory");
	return rc;
}

int bus_move(struct bus *b, struct region *r, u64 base)
{
	int hide, rc = 0;

	pthread_mutex_lock(&b->in->lock);
	if (base != BUS_NOWHERE && !fits(b, r, base))
		rc = -ERANGE;
	else if (base != BUS_NOWHERE && obstacle(atomic_load(&b->table), r, base))
		rc = -EEXIST;
	if (rc)
		base = BUS_NOWHERE;
	if (base != r->base) {
		hide = place_locked(b, r, base);
		rc = rc ? rc : hide;
	}
	pthread_mutex_unlock(&b->in->lock);
	return rc;
}

void bus_unmap(struct bus *b, struct region *r)
{
	const struct timespec nap = { .tv_nsec = 50000 };
	u64 target;
	bool done;

	pthread_mutex_lock(&b->in->lock);
	while (place_locked(b, r, BUS_NOWHERE)) {
		/* No memory for the smaller copy. The owner will free the region, so
		 * hiding it cannot fail: wait for memory. */
		pthread_mutex_unlock(&b->in->lock);
		nanosleep(&nap, NULL);
		pthread_mutex_lock(&b->in->lock);
	}
	target = b->in->turns + 2;
	pthread_mutex_unlock(&b->in->lock);
	for (unsigned tries = 0;; tries++) {
		pthread_mutex_lock(&b->in->lock);
		try_turn_locked(b);
		done = b->in->turns >= target;
		pthread_mutex_unlock(&b->in->lock);
		if (done)
			return;
		if (tries < 16)
			sched_yield();
		else
			nanosleep(&nap, NULL);
	}
}

void bus_dump(struct bus *b, struct strbuf *out)
{
	const struct bus_table *t;

	pthread_mutex_lock(&b->in->lock);
	t = atomic_load(&b->table);
	for (size_t i = 0; i < t->n; i++)
		strbuf_add(out, "%s %0*llx-%0*llx %s\n", b->name, b->limit > 0xffff ? 16 : 4,
			   (unsigned long long)t->e[i].base, b->limit > 0xffff ? 16 : 4,
			   (unsigned long long)t->e[i].last, t->e[i].r->name);
	pthread_mutex_unlock(&b->in->lock);
}

/* ------------------------------------------------------------ doorbells */

static void doorbell_rang(void *arg, u32 events)
{
	struct bus_doorbell *d = arg;
	u64 count;

	if (read(d->fd, &count, sizeof(count)) == sizeof(count))
		d->fn(d->arg);
}

void bus_set_doorbell_host(struct bus *b, const struct bus_doorbell_host *host)
{
	b->in->host = *host;
}

int bus_doorbell_add(struct bus *b, struct bus_doorbell *d, struct loop *loop)
{
	int rc;

	d->fd = -1;
	d->at = BUS_NOWHERE;
	d->next = NULL;
	d->watch = (struct watch){ 0 };
	if (!b->in->host.add)
		return 0;
	d->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->fd < 0)
		return -errno;
	rc = watch_add(&d->watch, loop, d->fd, EPOLLIN, doorbell_rang, d);
	if (rc) {
		close(d->fd);
		d->fd = -1;
		return rc;
	}
	pthread_mutex_lock(&b->in->lock);
	d->next = b->in->doorbells;
	b->in->doorbells = d;
	doorbells_follow_locked(b, d->region);
	pthread_mutex_unlock(&b->in->lock);
	return 0;
}

void bus_doorbell_del(struct bus *b, struct bus_doorbell *d)
{
	struct bus_doorbell **p;

	if (!d->watch.loop)
		return;
	pthread_mutex_lock(&b->in->lock);
	for (p = &b->in->doorbells; *p && *p != d; p = &(*p)->next)
		;
	if (*p)
		*p = d->next;
	doorbell_move_locked(b, d, BUS_NOWHERE);
	pthread_mutex_unlock(&b->in->lock);
	watch_del(&d->watch);
	close(d->fd);
	d->fd = -1;
	d->watch = (struct watch){ 0 };
}

int bus_init(struct bus *b, const char *name, unsigned bits, struct hk_err *err)
{
	struct bus_table *t = calloc(1, sizeof(*t));

	memset(b, 0, sizeof(*b));
	b->name = name;
	b->limit = bits >= 64 ? ~0ull : (1ull << bits) - 1;
	b->in = aligned_alloc(_Alignof(struct bus_int), sizeof(struct bus_int));
	if (!t || !b->in) {
		free(t);
		free(b->in);
		b->in = NULL;
		return err_set(err, -ENOMEM, "out of memory");
	}
	memset(b->in, 0, sizeof(*b->in));
	pthread_mutex_init(&b->in->lock, NULL);
	atomic_store(&b->table, t);
	return 0;
}

void bus_fini(struct bus *b)
{
	if (!b || !b->in)
		return;
	free_tables(b->in->aged);
	free_tables(b->in->fresh);
	free(atomic_load(&b->table));
	pthread_mutex_destroy(&b->in->lock);
	free(b->in);
	memset(b, 0, sizeof(*b));
}
