// SPDX-License-Identifier: BSD-2-Clause
/* backend/fs/local.c - share: the built-in server and who runs its requests
 *
 * DOC: Theory of operation - on the spot or on a worker
 *
 * Most requests of 9P are metadata in the host's caches: microseconds, while handing them to
 * another thread and back costs several wake-ups. So on local file systems a request is
 * answered on the spot, as the loop, unless it is known to wait: Tfsync, and a Tread whose
 * bytes are not in the page cache (asked with RWF_NOWAIT). Should one sleep long all the same
 * (a cold directory, a disk under load), workers get everything for a while: the loop loses
 * a few milliseconds at most now and then. Time alone does not tell: on a busy host a thread
 * that never slept was preempted, and handing over would cost even more there. On network
 * file systems all goes to workers.
 *
 * Tflush: a request that still waits for a worker is dropped, one that runs is waited for;
 * Rflush comes after it in either case. Nothing here waits for ever, so nothing needs to be
 * interrupted. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "backend/fs/fs_int.h"
#include "base/err.h"
#include "base/strbuf.h"
#include "base/wire.h"

#define WORKERS 4u
#define SLOW_NS 2000000ull
#define SLOW_FOR_NS 100000000ull

enum { REQ_QUEUED, REQ_RUNNING, REQ_DROPPED };

struct local {
	struct share share;
	struct fs *fs;
	struct pool *pool;
	struct clock clock;	/* the host's: how long things really take */
	bool local;
	u64 slow_until;		/* [loop] */
	pthread_mutex_t lock;
	pthread_cond_t idle;
	struct list busy;	/* (lock) with a worker, or waiting for one */
	unsigned num_busy;	/* (lock) and their flushers */
	u64 on_spot, on_worker, flushed; /* [loop] statistics */
};

static struct local *local_of(struct share *s)
{
	return container_of(s, struct local, share);
}

static size_t answer(struct local *l, struct share_req *r, bool now)
{
	return fs_request(l->fs, r->in, r->nin, r->out, r->nout, now);
}

static void work(struct pool_job *job)
{
	struct share_req *r = container_of(job, struct share_req, job), *next;
	struct local *l = local_of(r->share);
	unsigned num = 0;
	size_t n = 0;
	bool dropped;

	pthread_mutex_lock(&l->lock);
	dropped = r->state == REQ_DROPPED;
	r->state = REQ_RUNNING;
	pthread_mutex_unlock(&l->lock);
	if (!dropped)
		n = answer(l, r, false);
	pthread_mutex_lock(&l->lock);
	list_del(&r->link); /* no flusher finds it any more */
	pthread_mutex_unlock(&l->lock);
	for (; r; r = next, num++) {
		next = r->flusher;
		if (num)
			n = answer(l, r, false);
		r->done(r, n);
	}
	pthread_mutex_lock(&l->lock);
	l->num_busy -= num;
	if (!l->num_busy)
		pthread_cond_broadcast(&l->idle);
	pthread_mutex_unlock(&l->lock);
}

/* How often did this thread sleep? */
static long sleeps(void)
{
	struct rusage u;

	return getrusage(RUSAGE_THREAD, &u) ? 0 : u.ru_nvcsw;
}

/* Hang @r on the request that it flushes. Return: is there such a one? */
static bool flush(struct local *l, struct share_req *r)
{
	struct share_req *old;
	struct list *p;
	bool found = false;

	pthread_mutex_lock(&l->lock);
	list_for_each(p, &l->busy) {
		old = container_of(p, struct share_req, link);
		if (old->tag != r->old_tag)
			continue;
		if (old->state == REQ_QUEUED)
			old->state = REQ_DROPPED;
		r->flusher = old->flusher;
		old->flusher = r;
		l->num_busy++;
		found = true;
		break;
	}
	pthread_mutex_unlock(&l->lock);
	l->flushed += found;
	return found;
}

static bool local_submit(struct share *s, struct share_req *r, size_t *written)
{
	struct local *l = local_of(s);
	u64 start, end;
	long before;
	u8 head[9] = { 0 };

	r->share = s;
	r->flusher = NULL;
	rq_iov_get(r->in, r->nin, 0, head, sizeof(head));
	r->type = head[4];
	r->tag = load_le16(head + 5);
	r->old_tag = load_le16(head + 7);
	if (r->type == P9_TFLUSH) {
		if (flush(l, r))
			return false;
		*written = answer(l, r, true);
		return true;
	}
	start = clock_ns(&l->clock);
	if (l->local && r->type != P9_TFSYNC && start >= l->slow_until) {
		before = sleeps();
		*written = answer(l, r, true);
		end = clock_ns(&l->clock);
		if (end - start > SLOW_NS && sleeps() != before)
			l->slow_until = end + SLOW_FOR_NS;
		if (*written != FS_AGAIN) {
			l->on_spot++;
			return true;
		}
	}
	l->on_worker++;
	r->state = REQ_QUEUED;
	r->job.fn = work;
	pthread_mutex_lock(&l->lock);
	list_add_tail(&l->busy, &r->link);
	l->num_busy++;
	pthread_mutex_unlock(&l->lock);
	pool_submit(l->pool, &r->job);
	return false;
}

static void local_reset(struct share *s)
{
	struct local *l = local_of(s);
	struct list *p;

	pthread_mutex_lock(&l->lock);
	list_for_each(p, &l->busy) {
		struct share_req *r = container_of(p, struct share_req, link);

		if (r->state == REQ_QUEUED)
			r->state = REQ_DROPPED;
	}
	while (l->num_busy)
		pthread_cond_wait(&l->idle, &l->lock);
	pthread_mutex_unlock(&l->lock);
	fs_reset(l->fs);
}

static void local_dump(struct share *s, struct strbuf *out)
{
	struct local *l = local_of(s);

	fs_dump(l->fs, out);
	strbuf_add(out, "answered on the spot %llu, by workers %llu, flushed %llu\n",
		   (unsigned long long)l->on_spot, (unsigned long long)l->on_worker,
		   (unsigned long long)l->flushed);
}

static void local_close(struct share *s)
{
	struct local *l = local_of(s);

	pool_destroy(l->pool);
	fs_close(l->fs);
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->idle);
	free(l);
}

static const struct share_ops local_share_ops = {
	.submit = local_submit,
	.reset = local_reset,
	.dump = local_dump,
	.close = local_close,
};

int share_open_dir(struct share **out, const struct fs_config *cfg, struct loop *loop,
		   struct log *log, struct hk_err *err)
{
	struct local *l = calloc(1, sizeof(*l));
	int rc;

	if (!l)
		return err_set(err, -ENOMEM, "out of memory");
	l->share.ops = &local_share_ops;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->idle, NULL);
	list_init(&l->busy);
	clock_init_host(&l->clock);
	rc = fs_open(&l->fs, cfg, err);
	if (!rc)
		rc = pool_create(&l->pool, WORKERS, "hk:9p", err);
	if (rc) {
		local_close(&l->share);
		return rc;
	}
	l->local = fs_is_local(l->fs);
	*out = &l->share;
	return 0;
}
