// SPDX-License-Identifier: BSD-2-Clause
/* backend/block/qcow2_io.c - Read, write, discard, zero
 *
 * Each request is cut where the mapping changes its kind. The lock is held to look a
 * piece up and to enter a new place, not while bytes move. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/block/qcow2.h"

/**
 * DOC: Theory of operation - writes that need a new place
 *
 *	lock	clusters are allocated; a qc_alloc says which guest clusters are under way
 *	unlock	the new clusters are written: guest bytes, and around them what was there
 *	lock	L2 entries change, the old clusters are freed, the qc_alloc ends
 *
 * Until the last step all others see the old content. Another write, discard or zero of
 * the same guest clusters waits for the end of the qc_alloc and looks again. Reads never wait.
 *
 * A write in place (DATA, copied) needs none of it: a discard that comes in between
 * frees the cluster, but nobody gets it before this write has ended (generations, see
 * qcow2_refcount.c).
 */

#define MAX_ALLOC_BYTES (4u << 20)

unsigned qc_io_begin_locked(struct qcow2 *q)
{
	q->users[q->gen]++;
	return q->gen;
}

void qc_io_end_locked(struct qcow2 *q, unsigned gen)
{
	q->users[gen]--;
}

static void io_end(struct qcow2 *q, unsigned gen)
{
	pthread_mutex_lock(&q->lock);
	qc_io_end_locked(q, gen);
	pthread_mutex_unlock(&q->lock);
}

/* [at, at + len) of @iov, into at most @max iovecs; *len becomes what they hold */
static unsigned slice(const struct iovec *iov, unsigned n, u64 at, u64 *len, struct iovec *out,
		      unsigned max)
{
	u64 left = *len, have = 0;
	unsigned m = 0;

	for (unsigned v = 0; v < n && left && m < max; v++) {
		u64 here = iov[v].iov_len, part;

		if (at >= here) {
			at -= here;
			continue;
		}
		part = MIN(here - at, left);
		out[m].iov_base = (u8 *)iov[v].iov_base + at;
		out[m++].iov_len = part;
		at = 0;
		left -= part;
		have += part;
	}
	*len = have;
	return m;
}

static void fill(const struct iovec *iov, unsigned n, u64 at, const u8 *from, u64 len)
{
	for (unsigned v = 0; v < n && len; v++) {
		u64 here = iov[v].iov_len, part;

		if (at >= here) {
			at -= here;
			continue;
		}
		part = MIN(here - at, len);
		if (from) {
			memcpy((u8 *)iov[v].iov_base + at, from, part);
			from += part;
		} else {
			memset((u8 *)iov[v].iov_base + at, 0, part);
		}
		at = 0;
		len -= part;
	}
}

/* ------------------------------------------------------------------- read */

static int read_backing(struct qcow2 *q, const struct iovec *iov, unsigned n, u64 at, u64 off,
			u64 len)
{
	u64 have = 0;

	if (q->backed && off < q->img.backing->size_bytes)
		have = MIN(len, q->img.backing->size_bytes - off);
	for (u64 done = 0; done < have;) {
		struct iovec part[64];
		u64 got = have - done;
		unsigned m = slice(iov, n, at + done, &got, part, ARRAY_LEN(part));
		int rc = img_preadv(q->img.backing, part, m, off + done, got);

		if (rc)
			return rc;
		done += got;
	}
	fill(iov, n, at + have, NULL, len - have);
	return 0;
}

static int read_packed(struct qcow2 *q, const struct qc_map *m, const struct iovec *iov, unsigned n,
		       u64 at, u64 in_cluster, u64 len)
{
	u8 *buf = malloc(q->cluster);
	int rc;

	if (!buf)
		return -ENOMEM;
	rc = qc_unpack(q, m, buf);
	if (!rc)
		fill(iov, n, at, buf + in_cluster, len);
	free(buf);
	return rc;
}

static int read_data(struct qcow2 *q, const struct iovec *iov, unsigned n, u64 at, u64 host,
		     u64 len)
{
	struct iovec part[64];

	while (len) {
		u64 got = len;
		unsigned m = slice(iov, n, at, &got, part, ARRAY_LEN(part));
		int rc = q->img.child->ops->preadv(q->img.child, part, m, host, got);

		if (rc)
			return rc;
		at += got;
		host += got;
		len -= got;
	}
	return 0;
}

int qcow2_preadv(struct img *i, const struct iovec *iov, unsigned n, u64 off, u64 len)
{
	struct qcow2 *q = qcow2_of(i);

	for (u64 done = 0; done < len;) {
		u64 at = off + done, first = at >> q->hdr.cluster_bits, in = at & (q->cluster - 1),
		    part;
		struct qc_map m;
		unsigned gen;
		int rc;

		pthread_mutex_lock(&q->lock);
		rc = qc_lookup_locked(q, first,
				      ((off + len - 1) >> q->hdr.cluster_bits) - first + 1, &m);
		gen = qc_io_begin_locked(q);
		pthread_mutex_unlock(&q->lock);
		part = rc ? 0 : MIN(len - done, (m.num << q->hdr.cluster_bits) - in);
		if (!rc) {
			switch (m.what) {
			case QC_NOTHING:
				rc = read_backing(q, iov, n, done, at, part);
				break;
			case QC_DATA:
				rc = read_data(q, iov, n, done, m.host + in, part);
				break;
			case QC_PACKED:
				rc = read_packed(q, &m, iov, n, done, in, part);
				break;
			default:
				fill(iov, n, done, NULL, part);
				break;
			}
		}
		io_end(q, gen);
		if (rc)
			return rc;
		done += part;
	}
	return 0;
}

/* ------------------------------------------------------------------ write */

static bool under_way_locked(struct qcow2 *q, u64 first, u64 num)
{
	struct list *l;

	list_for_each(l, &q->allocs) {
		struct qc_alloc *a = container_of(l, struct qc_alloc, link);

		if (first < a->first + a->num && a->first < first + num)
			return true;
	}
	return false;
}

static int write_in_place(struct qcow2 *q, const struct iovec *iov, unsigned n, u64 at, u64 host,
			  u64 len)
{
	struct iovec part[64];

	while (len) {
		u64 got = len;
		unsigned m = slice(iov, n, at, &got, part, ARRAY_LEN(part));
		int rc = q->img.child->ops->pwritev(q->img.child, part, m, host, got);

		if (rc)
			return rc;
		at += got;
		host += got;
		len -= got;
	}
	return 0;
}

/* One piece of a write that gets a new place */
struct move {
	const struct iovec *iov; /* NULL: zeros */
	unsigned n;
	u64 at;	      /* in iov */
	u64 off, len; /* guest bytes */
	u64 host;     /* first new cluster */
	bool virgin;  /* reads zeros already */
};

/* What was in [off, off + len), less than a cluster of it, goes to @host */
static int keep(struct qcow2 *q, u64 off, u64 len, u64 host, bool virgin)
{
	struct iovec iov = { .iov_len = len };
	struct qc_map m;
	bool zeros;
	int rc;

	if (!len)
		return 0;
	pthread_mutex_lock(&q->lock);
	rc = qc_lookup_locked(q, off >> q->hdr.cluster_bits, 1, &m);
	pthread_mutex_unlock(&q->lock);
	if (rc)
		return rc;
	zeros = m.what == QC_PLAIN_ZERO || m.what == QC_KEPT_ZERO ||
		(m.what == QC_NOTHING && (!q->backed || off >= q->img.backing->size_bytes));
	if (zeros && virgin)
		return 0;
	if (posix_memalign(&iov.iov_base, 4096, ALIGN_UP(len, 4096)))
		return -ENOMEM;
	/* The disk may end within its last cluster; beyond is nothing that anybody could read */
	memset(iov.iov_base, 0, len);
	if (!zeros && off < q->img.size_bytes) {
		u64 have = MIN(len, q->img.size_bytes - off);

		rc = qcow2_preadv(&q->img, &iov, 1, off, have);
	}
	if (!rc)
		rc = q->img.child->ops->pwritev(q->img.child, &iov, 1, host, len);
	free(iov.iov_base);
	return rc;
}

static int write_zeros_at(struct qcow2 *q, u64 host, u64 len)
{
	struct iovec iov = { .iov_len = len };
	int rc;

	if (posix_memalign(&iov.iov_base, 4096, ALIGN_UP(len, 4096)))
		return -ENOMEM;
	memset(iov.iov_base, 0, len);
	rc = q->img.child->ops->pwritev(q->img.child, &iov, 1, host, len);
	free(iov.iov_base);
	return rc;
}

/* Bytes of all the new clusters; no lock held */
static int fill_clusters(struct qcow2 *q, const struct move *w)
{
	u64 head = w->off & (q->cluster - 1), end = w->off + w->len;
	u64 tail = ALIGN_UP(end, q->cluster) - end;
	int rc;

	rc = keep(q, w->off - head, head, w->host, w->virgin);
	if (!rc)
		rc = keep(q, end, tail, w->host + head + w->len, w->virgin);
	if (!rc && w->iov)
		rc = write_in_place(q, w->iov, w->n, w->at, w->host + head, w->len);
	else if (!rc && !w->virgin)
		rc = write_zeros_at(q, w->host + head, w->len);
	return rc;
}

/* @num guest clusters from @first get new places. Takes and returns with the lock held. *done:
 * bytes of the request that this served. */
static int write_moved_locked(struct qcow2 *q, struct move *w, u64 num)
{
	struct qc_alloc a = { .first = w->off >> q->hdr.cluster_bits };
	u64 head = w->off & (q->cluster - 1), got;
	struct qc_table *t;
	int rc;

	rc = qc_l2_prepare_locked(q, a.first, &t);
	if (!rc)
		rc = qc_alloc_locked(q, num, false, &w->host, &got);
	if (rc)
		return rc;
	w->virgin = w->host >> q->hdr.cluster_bits >= q->fresh;
	q->fresh = MAX(q->fresh, (w->host >> q->hdr.cluster_bits) + got);
	w->len = MIN(w->len, (got << q->hdr.cluster_bits) - head);
	a.num = got;
	list_add_tail(&q->allocs, &a.link);
	pthread_mutex_unlock(&q->lock);

	rc = fill_clusters(q, w);

	pthread_mutex_lock(&q->lock);
	for (u64 i = 0; i < got; i++) {
		u64 host = w->host + (i << q->hdr.cluster_bits);

		if (!rc)
			rc = qc_entry_set_locked(q, a.first + i, host | QC_COPIED);
		if (rc) /* never seen by anyone */
			qc_unalloc_locked(q, host, 1);
	}
	list_del(&a.link);
	pthread_cond_broadcast(&q->cond);
	return rc;
}

static u64 alike(struct qcow2 *q, u64 first, u64 max, struct qc_map *m, int *rc)
{
	u64 num = 0, limit = MAX(MAX_ALLOC_BYTES >> q->hdr.cluster_bits, 1);

	/* Clusters that need a new place may be of several kinds; one L2 table's at a time */
	max = MIN(MIN(max, limit), BIT64(q->l2_bits) - (first & (BIT64(q->l2_bits) - 1)));
	while (num < max) {
		struct qc_map next;

		*rc = qc_lookup_locked(q, first + num, max - num, &next);
		if (*rc)
			return 0;
		if (!num)
			*m = next;
		if (next.what == QC_DATA && next.copied)
			return num ? num : next.num;
		num += next.num;
	}
	return MIN(num, max);
}

/* @iov NULL: zeros */
static int write_some(struct qcow2 *q, const struct iovec *iov, unsigned n, u64 at, u64 off,
		      u64 len, u64 *done)
{
	u64 first = off >> q->hdr.cluster_bits, in = off & (q->cluster - 1), num;
	u64 max = ((off + len - 1) >> q->hdr.cluster_bits) - first + 1;
	struct qc_map m = { 0 };
	unsigned gen;
	int rc = 0;

	pthread_mutex_lock(&q->lock);
	for (;;) {
		if (q->failed) {
			rc = q->failed;
			goto out;
		}
		num = alike(q, first, max, &m, &rc);
		if (rc)
			goto out;
		if (m.what == QC_DATA && m.copied)
			break;
		if (!under_way_locked(q, first, num)) {
			struct move w = { .iov = iov,
					  .n = n,
					  .at = at,
					  .off = off,
					  .len = MIN(len, (num << q->hdr.cluster_bits) - in) };

			rc = write_moved_locked(q, &w, num);
			*done = w.len;
			goto out;
		}
		pthread_cond_wait(&q->cond, &q->lock);
	}
	if (qc_is_meta_locked(q, m.host, num)) {
		rc = qc_corrupt_locked(q, "guest data and metadata in one cluster", m.host);
		goto out;
	}
	*done = MIN(len, (num << q->hdr.cluster_bits) - in);
	gen = qc_io_begin_locked(q);
	pthread_mutex_unlock(&q->lock);
	rc = iov ? write_in_place(q, iov, n, at, m.host + in, *done)
		 : write_zeros_at(q, m.host + in, *done);
	pthread_mutex_lock(&q->lock);
	qc_io_end_locked(q, gen);
out:
	pthread_mutex_unlock(&q->lock);
	return rc;
}

int qcow2_pwritev(struct img *i, const struct iovec *iov, unsigned n, u64 off, u64 len)
{
	struct qcow2 *q = qcow2_of(i);
	int rc = qc_make_room(q);

	for (u64 done = 0; done < len && !rc;) {
		u64 part = 0;

		rc = write_some(q, iov, n, done, off + done, len - done, &part);
		done += part;
	}
	return rc;
}

/* --------------------------------------------------------- discard and zero */

/* Part of a cluster becomes zeros. Nothing to do where zeros are. */
static int zero_part(struct qcow2 *q, u64 off, u64 len)
{
	struct qc_map m;
	u64 done = 0;
	int rc;

	pthread_mutex_lock(&q->lock);
	while (under_way_locked(q, off >> q->hdr.cluster_bits, 1))
		pthread_cond_wait(&q->cond, &q->lock);
	rc = qc_lookup_locked(q, off >> q->hdr.cluster_bits, 1, &m);
	pthread_mutex_unlock(&q->lock);
	if (rc || m.what == QC_PLAIN_ZERO || m.what == QC_KEPT_ZERO ||
	    (m.what == QC_NOTHING && (!q->backed || off >= q->img.backing->size_bytes)))
		return rc;
	return write_some(q, NULL, 0, 0, off, len, &done);
}

/* What a whole cluster's entry becomes. false: it stays */
static bool zero_entry(const struct qcow2 *q, u64 cluster, const struct qc_map *m, bool unmap,
		       u64 *entry)
{
	bool below = q->backed && cluster << q->hdr.cluster_bits < q->img.backing->size_bytes;

	if (m->what == QC_PLAIN_ZERO || (m->what == QC_NOTHING && !below))
		return false;
	if (m->what == QC_KEPT_ZERO && !unmap)
		return false;
	*entry = below ? QC_ZERO : 0;
	/* Without leave to give space back it stays ours, where that can be said */
	if (!unmap && m->what == QC_DATA && m->copied && q->hdr.version >= 3)
		*entry = m->host | QC_COPIED | QC_ZERO;
	return true;
}

static int zero_cluster_locked(struct qcow2 *q, u64 cluster, bool unmap)
{
	struct qc_map m;
	u64 entry;
	int rc;

	while (under_way_locked(q, cluster, 1))
		pthread_cond_wait(&q->cond, &q->lock);
	if (q->failed)
		return q->failed;
	rc = qc_lookup_locked(q, cluster, 1, &m);
	if (rc || !zero_entry(q, cluster, &m, unmap, &entry))
		return rc;
	return qc_entry_set_locked(q, cluster, entry);
}

static int zero_range(struct qcow2 *q, u64 off, u64 len, bool unmap)
{
	u64 end = off + len, first, last;
	/* The disk's last cluster is whole even if the disk ends within */
	bool at_end = end == q->img.size_bytes;
	int rc = 0;

	/* Version 2 has no zero clusters: what lies below would come to light */
	if (q->backed && q->hdr.version < 3)
		return -EOPNOTSUPP;
	first = qc_clusters(q, off);
	last = at_end ? qc_clusters(q, end) : end >> q->hdr.cluster_bits;
	if (first > last)
		return zero_part(q, off, len);
	if (off & (q->cluster - 1)) {
		u64 n = MIN(len, q->cluster - (off & (q->cluster - 1)));

		rc = zero_part(q, off, n);
	}
	for (u64 c = first; c < last && !rc; c++) {
		struct qc_map m;

		rc = qc_make_room(q);
		if (rc)
			break;
		pthread_mutex_lock(&q->lock);
		rc = zero_cluster_locked(q, c, unmap);
		/* Large stretches of nothing are passed in one step */
		if (!rc && !q->backed && !qc_lookup_locked(q, c, last - c, &m) &&
		    m.what == QC_NOTHING)
			c += m.num - 1;
		pthread_mutex_unlock(&q->lock);
	}
	if (!rc && !at_end && (end & (q->cluster - 1)) && last >= first)
		rc = zero_part(q, last << q->hdr.cluster_bits, end & (q->cluster - 1));
	return rc;
}

int qcow2_discard(struct img *i, u64 off, u64 len)
{
	return zero_range(qcow2_of(i), off, len, true);
}

int qcow2_write_zeroes(struct img *i, u64 off, u64 len, bool unmap)
{
	return zero_range(qcow2_of(i), off, len, unmap && (i->caps & BLK_CAP_DISCARD));
}
