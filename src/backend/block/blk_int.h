// SPDX-License-Identifier: BSD-2-Clause
/* backend/block/blk_int.h - What blk.c (life) and queue.c (requests) share */
#ifndef BACKEND_BLOCK_BLK_INT_H
#define BACKEND_BLOCK_BLK_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "backend/block/img.h"
#include "backend/block/rate.h"
#include "backend/block/uring.h"

/* (c) constant after blk_open() (l) loop only (L) under ->lock (a) atomic */
struct blk_priv {
	struct blk blk;
	struct img *img;	/* (c) */
	struct blk_env env;	/* (c) */
	struct pool *pool;	/* (c) */
	struct pool *own_pool;	/* (c) made by us: the VM has none */
	struct blk_peer peer;	/* (c) after blk_attach */
	char id[32];		/* (c) */

	/* Requests wait in one of these, or are reads in flight */
	struct list throttled;	/* (l) for a rate limit */
	struct list writes;	/* (l) everything that changes the disk and is in flight, by seq */
	struct list flushes;	/* (l) for earlier writes, or for the flush that runs */
	struct list flushing;	/* (l) the group that one flush serves */
	u64 pauses;		/* (l) asked for so far */
	struct list held;	/* (l) failed, tried again later (on-error=pause) */
	u64 seq;		/* (l) */
	unsigned plugged;	/* (l) */
	bool draining;		/* (l) */
	_Atomic u32 in_flight;	/* (a) submitted, done() not called; written on the loop */

	struct uring *ring;	/* (c) NULL: none */
	struct watch ring_watch;
	struct timer limit_timer, retry_timer;

	int efd;		/* (c) rings when `finished` is no longer empty */
	struct watch efd_watch;
	pthread_mutex_t lock;
	struct list finished;	/* (L) by workers, or wrong from the start; blk_req.job.link */
	struct rate bytes, ops;	/* (L) */
	_Atomic bool limited;	/* (a) */

	struct {
		_Atomic u64 ops[BLK_NUM_KINDS], bytes[BLK_NUM_KINDS], errors[BLK_NUM_KINDS];
		_Atomic u64 time_ns[BLK_NUM_KINDS];
		_Atomic u64 throttled;
	} stats;
};

static inline struct blk_priv *priv_of(const struct blk *b)
{
	return b->priv;
}

/* queue.c */
int queue_init(struct blk_priv *p, enum img_aio aio, struct hk_err *err) MUST_CHECK;
void queue_fini(struct blk_priv *p);

#endif
