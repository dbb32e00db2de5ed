// SPDX-License-Identifier: BSD-2-Clause
/* device/virtio/vq.c - Split virtqueues (virtio 1.2, 2.7)
 *
 * [loop]. Rings live in guest RAM and are read by nobody else. The driver may write to them at
 * any moment, so each field is loaded once into a local variable, and all that is decided
 * and used is the local copy. Test: test/unit/device/virtio/vq_test.c, fuzz/vq_fuzz.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/wire.h"
#include "device/virtio/vio.h"

/**
 * DOC: What makes a ring broken
 *
 * - the driver's index runs ahead by more than the ring has entries;
 * - a head or a next beyond the table; a head that is still out;
 * - more descriptors than VQ_MAX_SIZE (so a cycle ends there);
 * - a buffer of no bytes, or one that touches anything but RAM (ROM for writing);
 * - a device-readable buffer behind a device-writable one (2.7.4.2);
 * - 4 GiB or more in one direction;
 * - an indirect table that was not negotiated, is empty, not a multiple of 16 bytes, not in RAM,
 *   inside another one, or flagged to go on (2.7.5.3).
 *
 * Nothing of such a chain reaches the device: pop checks the whole chain first.
 */

#define DESC_NEXT 1u
#define DESC_WRITE 2u
#define DESC_INDIRECT 4u
#define AVAIL_NO_INTERRUPT 1u
#define USED_NO_NOTIFY 1u

struct desc {
	u64 addr;
	u32 len;
	u16 flags, next;
};
_Static_assert(sizeof(struct desc) == 16, "virtio 1.2, 2.7.5");

struct piece {
	gpa_t gpa;
	u64 len;
};

struct vq_chain_int {
	struct vq_chain c;
	struct iovec *iov;	/* out pieces, then in pieces */
	struct piece *piece;	/* where they are in the guest: the device may change iov */
	unsigned cap;
	bool out;		/* the device has it */
};

struct vq_int {
	struct mem *mem;
	const u8 *desc;
	const u8 *avail;
	u8 *used;
	gpa_t used_gpa;
	bool event_idx, indirect;
	u16 next_avail;		/* ring position of the next pop */
	u16 next_used;		/* of the next fill */
	u16 published;		/* used->idx as the driver sees it */
	u16 signalled;		/* and as it was at the last vq_signal */
	unsigned in_flight;
	struct vq_chain_int *chain; /* [max_size] by head */
	unsigned num_chains;
};

/* ------------------------------------------------- one field of a ring, once */

static u16 ring_get(const u8 *p)
{
	return __atomic_load_n((const u16 *)(const void *)p, __ATOMIC_ACQUIRE);
}

static void ring_put(struct vq *q, size_t off, u16 val)
{
	struct vq_int *in = q->in;

	__atomic_store_n((u16 *)(void *)(in->used + off), val, __ATOMIC_RELEASE);
	mem_wrote(in->mem, in->used_gpa + off, 2);
}

static u16 avail_idx(const struct vq *q)
{
	return ring_get(q->in->avail + 2);
}

/* A copy that the compiler cannot take from the ring a second time */
static struct desc desc_get(const u8 *table, unsigned i)
{
	struct desc d;

	memcpy(&d, table + (size_t)i * sizeof(d), sizeof(d));
	__asm__ volatile("" : "+m"(d));
	return d;
}

static size_t used_off(const struct vq *q, u16 idx)
{
	return 4 + (size_t)(idx & (q->size - 1)) * 8;
}

/* ------------------------------------------------------------------ popping */

static int chain_room(struct vq_chain_int *ci, unsigned need)
{
	unsigned cap = ci->cap ? ci->cap : 8;
	struct iovec *iov;
	struct piece *piece;

	if (need <= ci->cap)
		return 0;
	while (cap < need)
		cap *= 2;
	iov = realloc(ci->iov, cap * sizeof(*iov));
	if (iov)
		ci->iov = iov;
	piece = realloc(ci->piece, cap * sizeof(*piece));
	if (piece)
		ci->piece = piece;
	if (!iov || !piece)
		return -ENOMEM;
	ci->cap = cap;
	return 0;
}

/* One buffer. Return: NULL, or why the ring is broken */
static const char *chain_add(struct vq *q, struct vq_chain_int *ci, const struct desc *d)
{
	struct vq_chain *c = &ci->c;
	struct iovec iov[MEM_MAX_BLOCKS];
	bool write = d->flags & DESC_WRITE;
	gpa_t gpa = d->addr;
	unsigned at = c->num_out + c->num_in;
	int n;

	if (!d->len)
		return "a buffer of no bytes";
	if (!write && c->num_in)
		return "a readable buffer behind a writable one";
	if ((u64)(write ? c->in_len : c->out_len) + d->len > UINT32_MAX)
		return "a request of 4 GiB or more";
	n = mem_iov(q->in->mem, gpa, d->len, write, iov, ARRAY_LEN(iov));
	if (n < 0)
		return "a buffer outside RAM";
	if (chain_room(ci, at + (unsigned)n))
		return "no host memory for a request";
	for (int i = 0; i < n; i++) {
		ci->iov[at + i] = iov[i];
		ci->piece[at + i] = (struct piece){ gpa, iov[i].iov_len };
		gpa += iov[i].iov_len;
	}
	if (write) {
		c->num_in += (unsigned)n;
		c->in_len += d->len;
	} else {
		c->num_out += (unsigned)n;
		c->out_len += d->len;
	}
	return NULL;
}

static const char *chain_walk(struct vq *q, struct vq_chain_int *ci, u16 head)
{
	struct vq_int *in = q->in;
	const u8 *table = in->desc;
	unsigned n = q->size, i = head, count = 0;
	const char *why;
	struct desc d;

	for (;;) {
		if (i >= n)
			return "a descriptor beyond the table";
		if (count++ == VQ_MAX_SIZE + 1)
			return "a chain that is too long or has a cycle";
		d = desc_get(table, i);
		if (d.flags & DESC_INDIRECT) {
			if (!in->indirect || table != in->desc)
				return "an indirect table where none may be";
			if ((d.flags & DESC_NEXT) || !d.len || d.len % sizeof(d) ||
			    d.len / sizeof(d) > VQ_MAX_SIZE)
				return "an indirect table of a wrong form";
			table = mem_ptr(in->mem, d.addr, d.len);
			if (!table)
				return "an indirect table outside RAM";
			n = d.len / sizeof(d);
			i = 0;
			continue;
		}
		why = chain_add(q, ci, &d);
		if (why || !(d.flags & DESC_NEXT))
			return why;
		i = d.next;
	}
}

unsigned vq_avail(struct vq *q)
{
	u16 n;

	if (!q->ready || q->broken)
		return 0;
	n = (u16)(avail_idx(q) - q->in->next_avail);
	if (n > q->size) {
		vq_broken(q, "the available index jumped");
		return 0;
	}
	return n;
}

struct vq_chain *vq_pop(struct vq *q)
{
	struct vq_int *in = q->in;
	struct vq_chain_int *ci;
	const char *why;
	u16 head;

	if (!vq_avail(q))
		return NULL;
	head = ring_get(in->avail + 4 + (size_t)(in->next_avail & (q->size - 1)) * 2);
	if (head >= q->size) {
		vq_broken(q, "a head beyond the table");
		return NULL;
	}
	ci = &in->chain[head];
	if (ci->out) {
		vq_broken(q, "a head that is in use");
		return NULL;
	}
	ci->c = (struct vq_chain){ .head = head, .priv = ci };
	why = chain_walk(q, ci, head);
	if (why) {
		vq_broken(q, why);
		return NULL;
	}
	ci->c.out = ci->iov;
	ci->c.in = ci->iov + ci->c.num_out;
	ci->out = true;
	in->in_flight++;
	in->next_avail++;
	q->popped++;
	return &ci->c;
}

void vq_unpop(struct vq *q, struct vq_chain *c)
{
	if (!c->priv->out)
		return;
	c->priv->out = false;
	q->in->in_flight--;
	q->in->next_avail--;
	q->popped--;
}

gpa_t vq_in_gpa(const struct vq_chain *c, unsigned i)
{
	return c->priv->piece[c->num_out + i].gpa;
}

/* ------------------------------------------------------------------ pushing */

static void tell_stores(struct vq *q, const struct vq_chain *c, u64 left)
{
	const struct piece *p = c->priv->piece + c->num_out;

	for (unsigned i = 0; i < c->num_in && left; i++) {
		u64 n = MIN(p[i].len, left);

		mem_wrote(q->in->mem, p[i].gpa, n);
		left -= n;
	}
}

void vq_fill(struct vq *q, struct vq_chain *c, u32 written)
{
	struct vq_int *in = q->in;
	size_t off;

	if (!c->priv->out)
		return;
	written = MIN(written, c->in_len);
	tell_stores(q, c, written);
	c->priv->out = false;
	in->in_flight--;
	if (!q->ready || q->broken)
		return;
	off = used_off(q, in->next_used++);
	store_le32(in->used + off, c->head);
	store_le32(in->used + off + 4, written);
	mem_wrote(in->mem, in->used_gpa + off, 8);
	q->pushed++;
}

void vq_publish(struct vq *q)
{
	struct vq_int *in = q->in;

	if (!q->ready || in->published == in->next_used)
		return;
	in->published = in->next_used;
	ring_put(q, 2, in->published);
}

void vq_push(struct vq *q, struct vq_chain *c, u32 written)
{
	vq_fill(q, c, written);
	vq_publish(q);
}

void vq_signal(struct vq *q)
{
	struct vq_int *in = q->in;
	u16 new = in->published, old = in->signalled, event;
	bool wanted;

	if (!q->ready || new == old)
		return;
	in->signalled = new;
	/* The driver stores what it wants and then looks at used->idx; we stored used->idx and now
	 * look at what it wants: with both fences one of the two sees the other */
	atomic_thread_fence(memory_order_seq_cst);
	if (in->event_idx) {
		event = ring_get(in->avail + 4 + (size_t)q->size * 2);
		wanted = (u16)(new - event - 1) < (u16)(new - old);
	} else {
		wanted = !(ring_get(in->avail) & AVAIL_NO_INTERRUPT);
	}
	if (!wanted)
		return;
	q->signals++;
	vio_raise_queue(q->v, q->index);
}

/* -------------------------------------------------------------------- kicks */

void vq_kicks_off(struct vq *q)
{
	/* With EVENT_IDX the index that was reached stays behind us: no kick comes */
	if (q->ready && !q->broken && !q->in->event_idx)
		ring_put(q, 0, USED_NO_NOTIFY);
}

bool vq_kicks_on(struct vq *q)
{
	struct vq_int *in = q->in;

	if (!q->ready || q->broken)
		return false;
	if (in->event_idx)
		ring_put(q, 4 + (size_t)q->size * 8, in->next_avail);
	else
		ring_put(q, 0, 0);
	atomic_thread_fence(memory_order_seq_cst);
	return avail_idx(q) != in->next_avail;
}

void vq_broken(struct vq *q, const char *why)
{
	struct vio *v = q->v;

	if (q->broken)
		return;
	q->broken = true;
	v->breaks++;
	log_guest(v->dev.env->log, "%s %s: queue %u is broken: %s", v->cls->name, v->dev.id,
		  q->index, why);
	vio_needs_reset(v, why);
}

/* --------------------------------------------------------------------- life */

int vq_init(struct vq *q, struct vio *v, u16 index, u16 max_size)
{
	*q = (struct vq){ .v = v, .index = index, .max_size = max_size };
	q->in = calloc(1, sizeof(*q->in));
	if (!q->in)
		return -ENOMEM;
	q->in->mem = v->dev.env->mem;
	return 0;
}

void vq_fini(struct vq *q)
{
	if (!q->in)
		return;
	for (unsigned i = 0; i < q->in->num_chains; i++) {
		free(q->in->chain[i].iov);
		free(q->in->chain[i].piece);
	}
	free(q->in->chain);
	free(q->in);
	q->in = NULL;
}

void vq_forget(struct vq *q)
{
	for (unsigned i = 0; i < q->in->num_chains; i++)
		q->in->chain[i].out = false;
	q->in->in_flight = 0;
}

void vq_reset(struct vq *q)
{
	struct vq_int *in = q->in;

	vq_forget(q);
	q->ready = q->broken = false;
	q->size = 0;
	in->next_avail = in->next_used = in->published = in->signalled = 0;
	in->desc = in->avail = in->used = NULL;
}

unsigned vq_in_flight(const struct vq *q)
{
	return q->in->in_flight;
}

static void *ring_at(const struct vq *q, gpa_t gpa, u64 len, bool write)
{
	struct iovec iov;

	/* One piece: rings that straddle two blocks of RAM are no real driver's */
	return mem_iov(q->in->mem, gpa, len, write, &iov, 1) == 1 ? iov.iov_base : NULL;
}

int vq_enable(struct vq *q, u16 size, gpa_t desc, gpa_t avail, gpa_t used, bool event_idx,
	      bool indirect)
{
	struct vq_int *in = q->in;
	struct vq_chain_int *chain;

	if (!size || size > q->max_size || (size & (size - 1)) || (desc & 15) || (avail & 1) ||
	    (used & 3))
		return -EINVAL;
	if (in->num_chains < size) {
		chain = realloc(in->chain, size * sizeof(*chain));
		if (!chain)
			return -ENOMEM;
		memset(chain + in->num_chains, 0, (size - in->num_chains) * sizeof(*chain));
		in->chain = chain;
		in->num_chains = size;
	}
	vq_reset(q);
	in->desc = ring_at(q, desc, (u64)size * 16, false);
	in->avail = ring_at(q, avail, (u64)size * 2 + 6, false);
	in->used = ring_at(q, used, (u64)size * 8 + 6, true);
	if (!in->desc || !in->avail || !in->used)
		return -EFAULT;
	in->used_gpa = used;
	in->event_idx = event_idx;
	in->indirect = indirect;
	q->size = size;
	q->ready = true;
	return 0;
}
