// SPDX-License-Identifier: BSD-2-Clause
/* backend/block/qcow2_commit.c - In which order metadata reaches the disk
 *
 * After a power cut the disk has any part of what was written since the last flush. Two
 * promises must hold all the same: the image is consistent (clusters may be lost to nobody's
 * use, never shared), and what the guest flushed is there. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/block/qcow2.h"
#include "base/log.h"

/**
 * DOC: Theory of operation - a commit
 *
 *	1 refcount blocks are written		an entry may point to a cluster only when its
 *	  flush					count, and its content, are on disk
 *	2 L2 entries are written
 *	  flush, if there are L1 entries	an L2 table must be there before L1 points to it
 *	3 L1 entries are written
 *	  flush
 *
 * Guest data was written before its L2 entry was made in memory, so the first flush covers it.
 * If only data in places of their own was written, 2 and 3 are empty and one flush is all.
 *
 * While the disk flushes, the lock is not held and other requests change L2 tables further.
 * Those changes rest on data that the first flush need not cover. So what will be written in
 * 2 and 3 is copied under the lock before it: the dirty sectors, not whole tables.
 *
 * Freed clusters (see qcow2_refcount.c) of before the copy may be used again after 3.
 */

#define MAX_PENDING 4096 /* clusters */

struct part {
	u64 off, len;
	size_t at; /* in the bytes of the copy */
};

struct copy {
	struct part *part;
	size_t num, room;
	u8 *bytes;
	size_t len, bytes_room;
};

static int copy_add(struct copy *c, const void *p, u64 off, u64 len)
{
	if (c->num == c->room) {
		size_t room = c->room ? 2 * c->room : 32;
		struct part *part = realloc(c->part, room * sizeof(*part));

		if (!part)
			return -ENOMEM;
		c->part = part;
		c->room = room;
	}
	if (c->len + len > c->bytes_room) {
		size_t room = MAX(2 * c->bytes_room, c->len + len);
		u8 *b;

		/* realloc() keeps no alignment, which direct I/O wants */
		if (posix_memalign((void **)&b, 4096, room))
			return -ENOMEM;
		if (c->len)
			memcpy(b, c->bytes, c->len);
		free(c->bytes);
		c->bytes = b;
		c->bytes_room = room;
	}
	memcpy(c->bytes + c->len, p, len);
	c->part[c->num++] = (struct part){ .off = off, .len = len, .at = c->len };
	c->len += len;
	return 0;
}

static int copy_write(struct qcow2 *q, const struct copy *c)
{
	for (size_t i = 0; i < c->num; i++) {
		int rc =
			qc_child_write(q, c->bytes + c->part[i].at, c->part[i].off, c->part[i].len);

		if (rc)
			return rc;
	}
	return 0;
}

static void copy_fini(struct copy *c)
{
	free(c->part);
	free(c->bytes);
}

static int copy_table(struct qcow2 *q, struct qc_table *t, struct copy *c)
{
	unsigned units = (unsigned)(q->cluster / q->unit);

	for (unsigned u = 0; u < units;) {
		unsigned first = u;
		int rc;

		if (!(t->dirty_map[u / 64] >> (u % 64) & 1)) {
			u++;
			continue;
		}
		while (u < units && (t->dirty_map[u / 64] >> (u % 64) & 1))
			u++;
		rc = copy_add(c, t->data + first * q->unit, t->off + first * (u64)q->unit,
			      (u - first) * q->unit);
		if (rc)
			return rc;
	}
	return 0;
}

static int copy_l2_locked(struct qcow2 *q, struct copy *c)
{
	for (unsigned b = 0; b < QC_HASH; b++) {
		for (struct qc_table *t = q->cache.hash[b]; t; t = t->hash_next) {
			int rc;

			if (t->kind != QC_L2 || !t->dirty)
				continue;
			rc = copy_table(q, t, c);
			if (rc)
				return rc;
		}
	}
	return 0;
}

/* The copy is complete: from here on these tables are clean, and stay in memory */
static void clean_l2_locked(struct qcow2 *q)
{
	for (unsigned b = 0; b < QC_HASH; b++) {
		for (struct qc_table *t = q->cache.hash[b]; t; t = t->hash_next) {
			if (t->kind != QC_L2 || !t->dirty)
				continue;
			qc_cache_clean_locked(q, t);
			t->busy = true;
		}
	}
}

static u64 l1_units(const struct qcow2 *q)
{
	return (q->hdr.l1_size * 8ull + q->unit - 1) / q->unit;
}

static int copy_l1_locked(struct qcow2 *q, struct copy *c)
{
	u64 per = q->unit / 8;
	be64 *w;
	int rc = 0;

	if (!q->l1_is_dirty)
		return 0;
	w = malloc(q->unit);
	if (!w)
		return -ENOMEM;
	for (u64 u = 0; u < l1_units(q) && !rc; u++) {
		if (!(q->l1_dirty[u / 64] >> (u % 64) & 1))
			continue;
		for (u64 i = 0; i < per; i++)
			w[i] = be64_of(u * per + i < q->hdr.l1_size ? q->l1[u * per + i] : 0);
		rc = copy_add(c, w, q->hdr.l1_off + u * q->unit, q->unit);
	}
	free(w);
	return rc;
}

static void clean_l1_locked(struct qcow2 *q)
{
	memset(q->l1_dirty, 0, (l1_units(q) + 63) / 64 * 8);
	q->l1_is_dirty = false;
}

/* What could not be written is dirty again. Tables did not leave memory meanwhile. */
static void redo_locked(struct qcow2 *q, const struct copy *l2, const struct copy *l1)
{
	for (size_t i = 0; i < l2->num; i++) {
		u64 table = ALIGN_DOWN(l2->part[i].off, q->cluster);
		struct qc_table *t = qc_cache_peek_locked(q, table);

		if (t)
			qc_cache_dirty_locked(q, t, l2->part[i].off - table, l2->part[i].len);
	}
	for (size_t i = 0; i < l1->num; i++) {
		u64 u = (l1->part[i].off - q->hdr.l1_off) / q->unit;

		q->l1_dirty[u / 64] |= BIT64(u % 64);
		q->l1_is_dirty = true;
	}
}

static void unbusy_locked(struct qcow2 *q)
{
	for (unsigned b = 0; b < QC_HASH; b++)
		for (struct qc_table *t = q->cache.hash[b]; t; t = t->hash_next)
			t->busy = false;
}

static void frees_move(struct qc_frees *to, struct qc_frees *from)
{
	if (!to->n) {
		struct qc_frees t = *to;

		*to = *from;
		*from = t;
		return;
	}
	if (to->n + from->n > to->room) {
		struct qc_free *v = realloc(to->v, (to->n + from->n) * sizeof(*v));

		if (!v) /* leaked */
			goto out;
		to->v = v;
		to->room = to->n + from->n;
	}
	if (from->n)
		memcpy(to->v + to->n, from->v, from->n * sizeof(*from->v));
	to->n += from->n;
	to->clusters += from->clusters;
out:
	from->n = 0;
	from->clusters = 0;
}

int qc_child_flush(struct qcow2 *q)
{
	return q->img.child->ops->flush(q->img.child);
}

/* Steps 1 to 3 without the lock, after the copies were made */
static int write_out(struct qcow2 *q, const struct copy *l2, const struct copy *l1,
		     bool *flush_failed)
{
	int rc;

	*flush_failed = true;
	rc = qc_child_flush(q);
	if (rc || (!l2->num && !l1->num))
		return rc;
	*flush_failed = false;
	rc = copy_write(q, l2);
	if (rc)
		return rc;
	if (l1->num) {
		*flush_failed = true;
		rc = qc_child_flush(q);
		if (rc)
			return rc;
		*flush_failed = false;
		rc = copy_write(q, l1);
		if (rc)
			return rc;
	}
	*flush_failed = true;
	return qc_child_flush(q);
}

static int commit_locked(struct qcow2 *q)
{
	struct copy l2 = { 0 }, l1 = { 0 };
	struct qc_frees freed = { 0 };
	bool flush_failed = false;
	int rc;

	rc = qc_cache_write_refs_locked(q);
	if (!rc)
		rc = copy_l2_locked(q, &l2);
	if (!rc)
		rc = copy_l1_locked(q, &l1);
	if (rc)
		goto out;
	clean_l2_locked(q);
	clean_l1_locked(q);
	freed = q->pending;
	memset(&q->pending, 0, sizeof(q->pending));
	q->committing = true;
	pthread_mutex_unlock(&q->lock);
	rc = write_out(q, &l2, &l1, &flush_failed);
	pthread_mutex_lock(&q->lock);
	q->committing = false;
	unbusy_locked(q);
	if (rc) {
		redo_locked(q, &l2, &l1);
		frees_move(&q->pending, &freed);
		/* After a failed flush the kernel may have dropped what was dirty: what we know
		 * of the disk may be wrong, and only a new open can tell */
		if (flush_failed && !q->failed) {
			log_error(q->img.log,
				  "qcow2: a flush failed: %s; the image is not written any more",
				  strerrordesc_np(-rc));
			q->failed = -EIO;
		}
	} else if (!q->resting.n) {
		frees_move(&q->resting, &freed);
	} else {
		frees_move(&q->pending, &freed);
	}
	pthread_cond_broadcast(&q->cond);
out:
	qc_frees_fini(&freed);
	copy_fini(&l2);
	copy_fini(&l1);
	return rc;
}

static int commit_one(struct qcow2 *q)
{
	int rc;

	pthread_mutex_lock(&q->lock);
	/* One that runs may have begun before our writes were done */
	while (q->committing)
		pthread_cond_wait(&q->cond, &q->lock);
	rc = q->failed ? q->failed : commit_locked(q);
	qc_release_locked(q);
	pthread_mutex_unlock(&q->lock);
	return rc;
}

int qcow2_flush(struct img *i)
{
	return commit_one(qcow2_of(i));
}

int qc_make_room(struct qcow2 *q)
{
	bool full;

	pthread_mutex_lock(&q->lock);
	full = q->cache.num_dirty_l2 > q->cache.max / 2 || q->pending.clusters > MAX_PENDING;
	pthread_mutex_unlock(&q->lock);
	return full ? commit_one(q) : 0;
}
