// SPDX-License-Identifier: BSD-2-Clause
/* backend/net/fifo.c - Frames that were received and that the guest has not taken yet
 *
 * One piece of memory, filled from the left and emptied from the left; it usually runs
 * empty, and then both ends go back to its beginning. [loop] */
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
	if (f->cap - f->tail < max && f->head) {
		/* Rare: the guest took a part and then ran out of buffers */
		memmove(f->buf, f->buf + f->head, f->tail - f->head);
		f->tail -= f->head;
		f->head = 0;
	}
	return f->cap - f->tail < max ? NULL : f->buf + f->tail + LEN_BYTES;
}

void net_fifo_commit(struct net_fifo *f, size_t len)
{
	store_le32(f->buf + f->tail, (u32)len);
	f->tail += LEN_BYTES + len;
}

size_t net_fifo_peek(const struct net_fifo *f, const u8 **frame)
{
	if (f->head == f->tail)
		return 0;
	*frame = f->buf + f->head + LEN_BYTES;
	return load_le32(f->buf + f->head);
}

void net_fifo_take(struct net_fifo *f)
{
	f->head += LEN_BYTES + load_le32(f->buf + f->head);
	if (f->head == f->tail)
		f->head = f->tail = 0;
}
