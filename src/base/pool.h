// SPDX-License-Identifier: BSD-2-Clause
/* base/pool.h - Worker threads for calls that block (files, compression)
 *
 * Threads are made when there is work for them and end with the pool. Jobs are the
 * caller's own structs, so queueing cannot fail. */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include "base/list.h"
#include "base/types.h"
#include "hyperkit/hyperkit.h"

struct pool;

struct pool_job {
	void (*fn)(struct pool_job *job); /* [worker] may free the struct it is part of */
	struct list link;		  /* the pool's */
};

/* [setup] @max_threads at least 1. No thread is started yet. */
int pool_create(struct pool **out, unsigned max_threads, const char *name,
		struct hk_err *err) MUST_CHECK;
/* [setup] Runs what is queued, joins the threads. NULL ok. */
void pool_destroy(struct pool *p);
/* [any] Oldest first. When not one thread can be made, the job runs in this call. */
void pool_submit(struct pool *p, struct pool_job *job);

#endif
