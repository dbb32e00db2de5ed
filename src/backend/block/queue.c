// SPDX-License-Identifier: BSD-2-Clause
/* backend/block/queue.c - Requests of a front end made asynchronous
 *
 * Everything here runs on the loop but run_job(), which runs on a worker thread. A
 * request goes through io_uring when the image says where its bytes are in a file,
 * else through a worker. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "backend/block/blk_int.h"
#include "base/err.h"
#include "base/log.h"
#include "base/range.h"

/**
 * DOC: Theory of operation - flushes
 *
 * A flush covers every write that was started before it. It waits until those are
 * done; writes that come later neither wait for it nor are waited for. One flush runs at
 * a time: those that arrive meanwhile become the next group, served by one call, so
 * that a guest with many threads in fsync costs few of them.
 *
 * Writes are numbered when they start and listed in that order, so "all before it are
 * done" is a look at the first of the list.
 */

#define RETRY_NS 500000000ull /* on-error=pause: the pause stops this clock's timer, too */

static struct blk_req *req_at(struct list *l)
{
	return container_of(l, struct blk_req, link);
}

static u64 now_ns(struct blk_priv *p)
{
	return clock_ns(loop_clock(p->env.loop));
}

static bool is_change(const struct blk_req *req)
{
	return req->kind != BLK_READ && req->kind != BLK_FLUSH;
}

/* ---------------------------------------------------------------- workers */

static int do_request(struct blk_priv *p, struct blk_req *req)
{
	int rc;

	switch (req->kind) {
	case BLK_READ:
		return img_preadv(p->img, req->iov, req->niov, req->off, req->len);
	case BLK_WRITE:
		rc = img_pwritev(p->img, req->iov, req->niov, req->off, req->len);
		break;
	case BLK_DISCARD:
		return img_discard(p->img, req->off, req->len);
	case BLK_WRITE_ZEROES:
		rc = img_write_zeroes(p->img, req->off, req->len, req->flags & BLK_REQ_UNMAP);
		break;
	default:
		return img_flush(p->img);
	}
	if (!rc && (req->flags & BLK_REQ_FUA))
		rc = img_flush(p->img);
	return rc;
}

static void finish(struct blk_priv *p, struct blk_req *req, int rc)
{
	u64 one = 1;
	bool first;

	pthread_mutex_lock(&p->lock);
	req->rc = rc;
	first = list_empty(&p->finished);
	list_add_tail(&p->finished, &req->job.link);
	/* Under the lock: after it is dropped the disk may be closed at any time */
	if (first && write(p->efd, &one, sizeof(one)) < 0)
		log_error(p->env.log, "disk %s: eventfd: %s", p->id, strerrordesc_np(errno));
	pthread_mutex_unlock(&p->lock);
}

static void run_job(struct pool_job *job) /* [worker] */
{
	struct blk_req *req = container_of(job, struct blk_req, job);
	struct blk_priv *p = priv_of(req->blk);

	finish(p, req, do_request(p, req));
}

static void to_worker(struct blk_priv *p, struct blk_req *req)
{
	req->job.fn = run_job;
	pool_submit(p->pool, &req->job);
}

/* ------------------------------------------------------------------ start */

static bool to_ring(struct blk_priv *p, struct blk_req *req)
{
	u64 host;
	int fd;

	if (!p->ring || (req->kind != BLK_READ && req->kind != BLK_WRITE) ||
	    (req->flags & BLK_REQ_FUA) || !p->img->ops->map)
		return false;
	if (p->img->direct || (p->img->child && p->img->child->direct)) {
		const struct img *raw = p->img->child ? p->img->child : p->img;

		for (unsigned v = 0; v < req->niov; v++)
			if (((uintptr_t)req->iov[v].iov_base | req->iov[v].iov_len) %
			    raw->mem_align)
				return false;
	}
	if (!p->img->ops->map(p->img, req->off, req->len, req->kind == BLK_WRITE, &fd, &host,
			      &req->token))
		return false;
	if (!uring_queue(p->ring, req, fd, host)) {
		p->img->ops->unmap(p->img, req->token);
		return false;
	}
	req->mapped = true;
	return true;
}

static void ring_submit(struct blk_priv *p)
{
	if (p->ring && !p->plugged && uring_submit(p->ring))
		timer_arm(&p->limit_timer, now_ns(p) + 1000000); /* the kernel is short of memory */
}

static void start(struct blk_priv *p, struct blk_req *req)
{
	req->mapped = false;
	if (is_change(req)) {
		req->seq = ++p->seq;
		list_add_tail(&p->writes, &req->link);
	}
	if (to_ring(p, req))
		ring_submit(p);
	else
		to_worker(p, req);
}

static void start_flush(struct blk_priv *p)
{
	struct list *l, *tmp;

	if (!list_empty(&p->flushing))
		return;
	list_for_each_safe(l, tmp, &p->flushes) {
		struct blk_req *req = req_at(l);

		if (!list_empty(&p->writes) && req_at(p->writes.next)->seq <= req->seq)
			break;
		list_del(l);
		list_add_tail(&p->flushing, l);
	}
	if (!list_empty(&p->flushing))
		to_worker(p, req_at(p->flushing.next));
}

/* Return: 0 = may start, else when */
static u64 limit_ns(struct blk_priv *p, const struct blk_req *req)
{
	u64 now, wait, more;

	if (p->draining || req->kind == BLK_FLUSH || !atomic_load(&p->limited))
		return 0;
	now = now_ns(p);
	pthread_mutex_lock(&p->lock);
	wait = rate_wait_ns(&p->bytes, now);
	more = rate_wait_ns(&p->ops, now);
	wait = MAX(wait, more);
	if (!wait) {
		rate_take(&p->bytes, req->kind == BLK_DISCARD ? 0 : req->len);
		rate_take(&p->ops, 1);
	}
	pthread_mutex_unlock(&p->lock);
	return wait ? now + wait : 0;
}

static void run_throttled(struct blk_priv *p)
{
	while (!list_empty(&p->throttled)) {
		struct blk_req *req = req_at(p->throttled.next);
		u64 when = limit_ns(p, req);

		if (when) {
			timer_arm(&p->limit_timer, when);
			return;
		}
		list_del(&req->link);
		start(p, req);
	}
}

static void limit_timer(void *arg)
{
	struct blk_priv *p = arg;

	ring_submit(p);
	run_throttled(p);
}

static int check(struct blk_priv *p, const struct blk_req *req)
{
	const struct blk *b = &p->blk;

	if (req->kind >= BLK_NUM_KINDS)
		return -EINVAL;
	if (req->kind == BLK_FLUSH)
		return 0;
	if (req->kind != BLK_READ && b->read_only)
		return -EROFS;
	if (req->kind == BLK_DISCARD && !(b->caps & BLK_CAP_DISCARD))
		return -EOPNOTSUPP;
	if (((req->off | req->len) & (b->logical - 1)) ||
	    !range_ok(req->off, req->len, b->size_bytes))
		return -EINVAL;
	if (req->kind == BLK_READ || req->kind == BLK_WRITE) {
		u64 sum = 0;

		if (req->niov > BLK_MAX_SEGMENTS)
			return -EINVAL;
		for (unsigned v = 0; v < req->niov; v++)
			if (__builtin_add_overflow(sum, (u64)req->iov[v].iov_len, &sum))
				return -EINVAL;
		if (sum != req->len)
			return -EINVAL;
	}
	return 0;
}

void blk_submit(struct blk *b, struct blk_req *req)
{
	struct blk_priv *p = priv_of(b);
	int rc;

	req->blk = b;
	req->mapped = false;
	req->submit_ns = now_ns(p);
	req->pauses = p->pauses;
	list_init(&req->link);
	list_init(&req->job.link);
	atomic_fetch_add_explicit(&p->in_flight, 1, memory_order_relaxed);
	rc = check(p, req);
	if (rc || (!req->len && req->kind != BLK_FLUSH)) {
		finish(p, req, rc);
	} else if (req->kind == BLK_FLUSH) {
		req->seq = p->seq;
		list_add_tail(&p->flushes, &req->link);
		start_flush(p);
	} else if (atomic_load(&p->limited) && !p->draining) {
		u64 when = list_empty(&p->throttled) ? limit_ns(p, req) : 1;

		if (!when) {
			start(p, req);
			return;
		}
		atomic_fetch_add_explicit(&p->stats.throttled, 1, memory_order_relaxed);
		if (list_empty(&p->throttled))
			timer_arm(&p->limit_timer, when);
		list_add_tail(&p->throttled, &req->link);
	} else {
		start(p, req);
	}
}

void blk_plug(struct blk *b)
{
	priv_of(b)->plugged++;
}

void blk_unplug(struct blk *b)
{
	struct blk_priv *p = priv_of(b);

	if (p->plugged && !--p->plugged)
		ring_submit(p);
}

/* --------------------------------------------------------------- complete */

static void count(struct blk_priv *p, const struct blk_req *req, int rc)
{
	unsigned k = req->kind;

	if (k >= BLK_NUM_KINDS)
		return;
	atomic_fetch_add_explicit(&p->stats.ops[k], 1, memory_order_relaxed);
	if (rc)
		atomic_fetch_add_explicit(&p->stats.errors[k], 1, memory_order_relaxed);
	else
		atomic_fetch_add_explicit(&p->stats.bytes[k], req->len, memory_order_relaxed);
	atomic_fetch_add_explicit(&p->stats.time_ns[k], now_ns(p) - req->submit_ns,
				  memory_order_relaxed);
}

static void give_back(struct blk_priv *p, struct blk_req *req, int rc)
{
	count(p, req, rc);
	atomic_fetch_sub_explicit(&p->in_flight, 1, memory_order_relaxed);
	req->done(req, rc);
}

/* The host failed, and the user wants the guest to wait instead of seeing it */
static bool hold(struct blk_priv *p, struct blk_req *req, int rc)
{
	char why[160];

	if (!rc || p->blk.on_error != BLK_PAUSE || !p->env.request_pause || p->draining ||
	    rc == -EINVAL || rc == -EROFS || rc == -EOPNOTSUPP)
		return false;
	atomic_fetch_add_explicit(&p->stats.errors[req->kind], 1, memory_order_relaxed);
	req->rc = rc;
	list_add_tail(&p->held, &req->link);
	timer_arm(&p->retry_timer, now_ns(p) + RETRY_NS);
	/* Who was tried before the last pause tells nothing new: perhaps there is room by now */
	if (req->pauses == p->pauses) {
		p->pauses++;
		snprintf(why, sizeof(why), "disk %s: %s", p->id, strerrordesc_np(-rc));
		p->env.request_pause(p->env.m, why);
	}
	return true;
}

static void complete(struct blk_priv *p, struct blk_req *req, int rc)
{
	static const char *const kinds[] = { "read", "write", "flush", "discard", "write zeroes" };

	_Static_assert(ARRAY_LEN(kinds) == BLK_NUM_KINDS, "one word per kind");
	if (rc == -EIO || rc == -ENOSPC)
		log_guest(p->env.log, "disk %s: %s of %llu bytes at %llu: %s", p->id,
			  kinds[req->kind], (unsigned long long)req->len,
			  (unsigned long long)req->off, strerrordesc_np(-rc));
	if (req->kind == BLK_FLUSH) {
		struct list *l, *tmp, group;

		/* This one leads the group, and all others of it fare as it did */
		list_init(&group);
		list_for_each_safe(l, tmp, &p->flushing) {
			list_del(l);
			list_add_tail(&group, l);
		}
		start_flush(p);
		list_for_each_safe(l, tmp, &group) {
			list_del(l);
			if (!hold(p, req_at(l), rc))
				give_back(p, req_at(l), rc);
		}
		return;
	}
	list_del(&req->link);
	if (!hold(p, req, rc))
		give_back(p, req, rc);
	start_flush(p);
}

static void retry_timer(void *arg)
{
	struct blk_priv *p = arg;
	struct list *l, *tmp, again;

	list_init(&again);
	list_for_each_safe(l, tmp, &p->held) {
		list_del(l);
		list_add_tail(&again, l);
	}
	list_for_each_safe(l, tmp, &again) {
		struct blk_req *req = req_at(l);

		list_del(l);
		req->pauses = p->pauses;
		if (req->kind == BLK_FLUSH) {
			req->seq = p->seq;
			list_add_tail(&p->flushes, &req->link);
			start_flush(p);
		} else {
			start(p, req);
		}
	}
}

/* Return: requests that came back */
static unsigned reap(struct blk_priv *p)
{
	struct blk_req *req;
	unsigned n = 0;
	int res;

	while (p->ring && (req = uring_reap(p->ring, &res))) {
		if (req->mapped) {
			p->img->ops->unmap(p->img, req->token);
			req->mapped = false;
		}
		n++;
		if (res >= 0 && (u64)res == req->len)
			complete(p, req, 0);
		else /* short, interrupted or failed: the plain way finds out what it is */
			to_worker(p, req);
	}
	pthread_mutex_lock(&p->lock);
	while (!list_empty(&p->finished)) {
		req = container_of(p->finished.next, struct blk_req, job.link);
		list_del(&req->job.link);
		pthread_mutex_unlock(&p->lock);
		n++;
		if (req->kind >= BLK_NUM_KINDS ||
		    (req->kind == BLK_FLUSH && list_empty(&req->link)))
			give_back(p, req, req->rc);
		else
			complete(p, req, req->rc);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return n;
}

static void efd_readable(void *arg, u32 events)
{
	struct blk_priv *p = arg;
	u64 n;
	ssize_t got UNUSED = read(p->efd, &n, sizeof(n));

	reap(p);
}

static void ring_readable(void *arg, u32 events)
{
	reap(arg);
}

static void drain(void *arg)
{
	struct blk_priv *p = arg;
	struct list *l, *tmp;
	unsigned plugged = p->plugged;

	p->draining = true;
	p->plugged = 0;
	timer_cancel(&p->retry_timer);
	while (atomic_load_explicit(&p->in_flight, memory_order_relaxed)) {
		struct pollfd fds[2] = {
			{ .fd = p->efd, .events = POLLIN },
			{ .fd = p->ring ? uring_fd(p->ring) : -1, .events = POLLIN },
		};
		bool short_of_memory;

		list_for_each_safe(l, tmp, &p->held) {
			list_del(l);
			give_back(p, req_at(l), req_at(l)->rc);
		}
		run_throttled(p);
		short_of_memory = p->ring && uring_submit(p->ring);
		if (reap(p) || !atomic_load_explicit(&p->in_flight, memory_order_relaxed))
			continue;
		poll(fds, 2, short_of_memory ? 1 : -1);
		if (fds[0].revents & POLLIN) {
			u64 n;
			ssize_t got UNUSED = read(p->efd, &n, sizeof(n));
		}
	}
	p->plugged = plugged;
	p->draining = false;
}

void blk_drain(struct blk *b)
{
	struct blk_priv *p = priv_of(b);

	loop_call_wait(p->env.loop, drain, p);
}

/* ------------------------------------------------------------------- life */

void blk_set_limits(struct blk *b, const struct blk_limits *l)
{
	struct blk_priv *p = priv_of(b);
	u64 now = now_ns(p);

	pthread_mutex_lock(&p->lock);
	rate_init(&p->bytes, l->bytes_per_s, l->burst_bytes, now);
	rate_init(&p->ops, l->ops_per_s, l->burst_ops, now);
	atomic_store(&p->limited, l->bytes_per_s || l->ops_per_s);
	pthread_mutex_unlock(&p->lock);
	timer_arm(&p->limit_timer, 0); /* what waits may pass under the new ones */
}

int queue_init(struct blk_priv *p, enum img_aio aio, struct hk_err *err)
{
	int rc = 0;

	list_init(&p->throttled);
	list_init(&p->writes);
	list_init(&p->flushes);
	list_init(&p->flushing);
	list_init(&p->held);
	list_init(&p->finished);
	pthread_mutex_init(&p->lock, NULL);
	timer_init(&p->limit_timer, p->env.loop, limit_timer, p);
	timer_init(&p->retry_timer, p->env.loop, retry_timer, p);
	p->efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (p->efd < 0)
		return err_set(err, -errno, "no eventfd: %s", strerrordesc_np(errno));
	rc = watch_add(&p->efd_watch, p->env.loop, p->efd, EPOLLIN, efd_readable, p);
	if (rc)
		return err_set(err, rc, "cannot watch an eventfd: %s", strerrordesc_np(-rc));
	if (aio == IMG_AIO_THREADS || !p->img->ops->map)
		return 0;
	rc = uring_create(&p->ring, err);
	if (!rc) {
		rc = watch_add(&p->ring_watch, p->env.loop, uring_fd(p->ring), EPOLLIN,
			       ring_readable, p);
		if (rc) {
			uring_destroy(p->ring);
			p->ring = NULL;
		}
	}
	if (!rc || aio == IMG_AIO_URING)
		return rc;
	log_debug(p->env.log, "disk %s: worker threads, as io_uring is not available", p->id);
	return 0;
}

void queue_fini(struct blk_priv *p)
{
	if (p->limit_timer.loop) {
		timer_cancel_sync(&p->limit_timer);
		timer_cancel_sync(&p->retry_timer);
	}
	if (p->ring) {
		watch_del(&p->ring_watch);
		uring_destroy(p->ring);
	}
	if (p->efd >= 0) {
		if (p->efd_watch.loop)
			watch_del(&p->efd_watch);
		close(p->efd);
	}
	pthread_mutex_destroy(&p->lock);
}
