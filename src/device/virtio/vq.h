// SPDX-License-Identifier: BSD-2-Clause
/* device/virtio/vq.h - Virtqueues: the only place that reads rings (virtio 1.2, 2.7)
 *
 * A device takes chains with vq_pop(), reads c->out, fills c->in, gives them back with
 * vq_push() in any order and then calls vq_signal() once. It sees host iovecs that were
 * copied from the descriptors once and checked against guest RAM; never a guest address.
 * The bytes behind the iovecs are the guest's and may change at any moment: copy what you
 * decide upon (vq_read), then look.
 *
 * All functions are [loop] (see vio.h: one at a time, on the loop's or a vCPU's thread).
 * The usual notify; the budget lets others run when another vCPU refills as fast as we serve:
 *
 *	vq_kicks_off(q);
 *	for (budget = q->size; budget && (c = vq_pop(q)); budget--)
 *		vq_push(q, c, serve(c));
 *	if (vq_kicks_on(q))
 *		vio_kick(v, q->index);
 *	vq_signal(q);
 */
#ifndef DEVICE_VIRTIO_VQ_H
#define DEVICE_VIRTIO_VQ_H

#include <sys/uio.h>

#include "base/types.h"
#include "mem/mem.h"

#define VQ_MAX_SIZE 1024u /* descriptors; a power of two. The largest that a class may ask for */

struct vio;
struct vq_int;

/* One request. Owned by the queue: valid from vq_pop until vq_push, vq_unpop or the end of
 * deactivate. At most one per head is out, so an array of q->size entries indexed by ->head
 * is all that a device needs to remember its own things; or use ->data. */
struct vq_chain {
	struct iovec *out;	/* device-readable part, num_out pieces, out_len bytes together */
	struct iovec *in;	/* device-writable part */
	unsigned num_out, num_in;
	u32 out_len, in_len;	/* sums; each at most 4 GiB - 1 */
	u16 head;		/* < q->size; the driver's name of this chain */
	void *data;		/* the device's; NULL after vq_pop */
	struct vq_chain_int *priv;
};

struct vq {
	struct vio *v;		/* (c) */
	u16 index;		/* (c) */
	u16 max_size;		/* (c) after vio_init: the device may lower or raise it before plug */
	u16 size;		/* as the driver chose; constant while active */
	bool ready;		/* the driver enabled it (legacy: gave it an address) */
	bool broken;		/* the driver's ring made no sense; nothing is popped until reset */
	u64 popped, pushed, signals, kicks; /* statistics */
	struct vq_int *in;
};

/* Take the next request. NULL: none, or the queue is not ready, or broken. */
struct vq_chain *vq_pop(struct vq *q);
/* Undo: put the chain that vq_pop() returned last back (and then the one before, ...) */
void vq_unpop(struct vq *q, struct vq_chain *c);
/* Give back: @written bytes of c->in were stored, from its beginning. Tells the accelerator of
 * the stores. The driver sees it at once; interrupts come from vq_signal(). */
void vq_push(struct vq *q, struct vq_chain *c, u32 written);
/* The same in two steps, for a frame that needs several chains to be seen together: any number
 * of vq_fill() (c is gone after it), then one vq_publish() */
void vq_fill(struct vq *q, struct vq_chain *c, u32 written);
void vq_publish(struct vq *q);
/* Interrupt the driver if anything was published since and the driver wants to hear of it */
void vq_signal(struct vq *q);

/* Are there requests that were not popped yet? How many heads (hostile: at most size)? */
unsigned vq_avail(struct vq *q);
/* Ask the driver for no kicks; ask for them again. vq_kicks_on() returns true when requests
 * have arrived meanwhile, for which no kick will come: go round again. With EVENT_IDX a wish for
 * kicks is good for one kick: whoever waits for requests (also for receive buffers!) must have
 * called vq_kicks_on(), and got false, since it popped last. */
void vq_kicks_off(struct vq *q);
bool vq_kicks_on(struct vq *q);

/* The driver's ring is nonsense: stop it, count, log (rate limited), DEVICE_NEEDS_RESET and a
 * configuration interrupt. Devices call it too, for requests that cannot be answered at all. */
void vq_broken(struct vq *q, const char *why);

/* ---- bytes of a chain; offsets beyond the end are harmless ---- */

/* Copy from c->out / to c->in, at byte @off of it. Return: bytes copied, short at the end */
size_t vq_read(const struct vq_chain *c, size_t off, void *buf, size_t len);
size_t vq_write(struct vq_chain *c, size_t off, const void *buf, size_t len);
/* Set bytes of c->in. Return: bytes */
size_t vq_write_zero(struct vq_chain *c, size_t off, size_t len);

/* Guest address of piece @i of c->in, for those who deal in memory itself (balloon) */
gpa_t vq_in_gpa(const struct vq_chain *c, unsigned i);

/* The same on any iovecs */
size_t iov_bytes(const struct iovec *iov, unsigned n);
size_t iov_read(const struct iovec *iov, unsigned n, size_t off, void *buf, size_t len);
size_t iov_write(const struct iovec *iov, unsigned n, size_t off, const void *buf, size_t len);
/* The pieces of bytes [off, off+len) of @iov into @to. Return: pieces used (less bytes when @iov
 * ends before), or -E2BIG above @max. @to may be @iov itself. */
int iov_slice(const struct iovec *iov, unsigned n, size_t off, size_t len, struct iovec *to,
	      unsigned max);

/* ---- for vio.c, vio_pci.c and tests only ---- */

int vq_init(struct vq *q, struct vio *v, u16 index, u16 max_size) MUST_CHECK; /* [setup] */
void vq_fini(struct vq *q);
/* Resolve the ring's addresses. -EFAULT not RAM, -EINVAL alignment or size */
int vq_enable(struct vq *q, u16 size, gpa_t desc, gpa_t avail, gpa_t used, bool event_idx,
	      bool indirect) MUST_CHECK;
/* Forget chains in flight */
void vq_forget(struct vq *q);
/* Forget everything */
void vq_reset(struct vq *q);
unsigned vq_in_flight(const struct vq *q);

#endif
