// SPDX-License-Identifier: BSD-2-Clause
/* backend/net/fifo.c - Frames that were received and that the guest has not taken yet
 *
 * One piece of memory. No frame is cut at its end, so it holds either [head, tail), or, once the
 * tail has begun anew at 0, [head, end) and then [0, tail). [loop] */
#include <errno.h>
#include <stdlib.h>

#include "backend/net/net_int.h"

#define LEN_BYTES sizeof(u32)

int net_fifo_init(struct net_fifo *f, size_t cap)
{
	*f = (struct net_fifo){ .buf = malloc(cap), .cap = cap };
	return f->buf ? 0 : -ENOMEM;
}

void net_fifo_fini(struct net_fifo *f)
{
	free(f->buf);
	*f = (struct net_fifo){ 0 };
}

u8 *net_fifo_reserve(struct net_fifo *f, size_t max)
{
	max += LEN_BYTES;
	if (f->end)
		return f->head - f->tail < max ? NULL : f->buf + f->tail + LEN_BYTES;
	if (f->cap - f->tail < max) {
		if (f->head < max)
			return NULL;
		f->end = f->tail;
		f->tail = 0;
	}
	return f->buf + f->tail + LEN_BYTES;
}

void net_fifo_commit(struct net_fifo *f, size_t len)
{
	store_le32(f->buf + f->tail, (u32)len);
	f->tail += LEN_BYTES + len;
}

/* The first part is empty: the second is the whole */
static void normalise(struct net_fifo *f)
{
	if (f->end && f->head == f->end)
		f->head = f->end = 0;
	if (!f->end && f->head == f->tail)
		f->head = f->tail = 0;
}

size_t net_fifo_peek(struct net_fifo *f, const u8 **frame)
{
	normalise(f);
	if (!net_fifo_bytes(f))
		return 0;
	*frame = f->buf + f->head + LEN_BYTES;
	return load_le32(f->buf + f->head);
}

void net_fifo_take(struct net_fifo *f)
{
	f->head += LEN_BYTES + load_le32(f->buf + f->head);
	normalise(f);
}

size_t net_fifo_bytes(const struct net_fifo *f)
{
	return (f->end ? f->end : f->tail) - f->head + (f->end ? f->tail : 0);
}

void net_fifo_clear(struct net_fifo *f)
{
	f->head = f->tail = f->end = 0;
}
