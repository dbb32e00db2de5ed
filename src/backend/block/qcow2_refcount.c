// SPDX-License-Identifier: BSD-2-Clause
/* backend/block/qcow2_refcount.c - Which clusters of the file are in use; allocation
 *
 * qcow2: "Host cluster management". We only ever take free clusters (0 -> 1) and drop
 * references; nothing here makes a count larger than one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/block/qcow2.h"
#include "base/log.h"
#include "base/range.h"

/**
 * DOC: Theory of operation - a cluster's way back
 *
 * Guest data moves without the lock, so when a cluster is given up two parties may still
 * want it: reads and writes that looked it up before, and the file, whose L2 table on
 * disk still points there until a commit. So
 *
 *	pending --(a commit wrote the new L2 entries)--> resting
 *	resting --(all I/O of the old generation ended)--> hole punched, refcount - 1
 *
 * and only then may it be allocated again. Until a commit has written the lower count, the
 * file says "used" of a cluster that nothing points to: a leak if power fails, no more.
 *
 * A new refcount block describes itself and is on disk before the table points to it. A new
 * refcount table lies, with the blocks that describe it, beyond all that was covered before.
 */

#define FREE_BATCH 64

u64 qc_refs_load(const u8 *block, unsigned order, u64 i)
{
	switch (order) {
	case 0:
		return block[i / 8] >> (i % 8) & 1;
	case 1:
		return block[i / 4] >> (2 * (i % 4)) & 3;
	case 2:
		return block[i / 2] >> (4 * (i % 2)) & 15;
	case 3:
		return block[i];
	case 4:
		return __builtin_bswap16(load_le16(block + 2 * i));
	case 5:
		return __builtin_bswap32(load_le32(block + 4 * i));
	default:
		return __builtin_bswap64(load_le64(block + 8 * i));
	}
}

void qc_refs_store(u8 *block, unsigned order, u64 i, u64 v)
{
	unsigned shift;

	switch (order) {
	case 0:
	case 1:
	case 2:
		shift = (unsigned)(i << order) % 8;
		block[(i << order) / 8] &= (u8) ~(((1u << (1 << order)) - 1) << shift);
		block[(i << order) / 8] |= (u8)(v << shift);
		break;
	case 3:
		block[i] = (u8)v;
		break;
	case 4:
		store_le16(block + 2 * i, __builtin_bswap16((u16)v));
		break;
	case 5:
		store_le32(block + 4 * i, __builtin_bswap32((u32)v));
		break;
	default:
		store_le64(block + 8 * i, __builtin_bswap64(v));
		break;
	}
}

int qc_corrupt_locked(struct qcow2 *q, const char *what, u64 where)
{
	if (q->warned)
		return -EIO;
	q->warned = true;
	log_error(q->img.log, "qcow2: %s (0x%llx); the image is corrupt, see hyperkit disk check",
		  what, (unsigned long long)where);
	/* Nothing is written from here on: what we know of the image is wrong */
	q->failed = -EIO;
	return -EIO;
}

/* -------------------------------------------------------- metadata's bitmap */

int qc_meta_mark_locked(struct qcow2 *q, u64 off, u64 clusters, bool on)
{
	u64 first = off >> q->hdr.cluster_bits, end = first + clusters;

	if (end > q->num_meta) {
		u64 room = ALIGN_UP(MAX(end, q->num_meta + q->num_meta / 2), 64);
		u64 *m = realloc(q->meta, room / 8);

		if (!m)
			return -ENOMEM;
		memset(m + q->num_meta / 64, 0, (room - q->num_meta) / 8);
		q->meta = m;
		q->num_meta = room;
	}
	for (u64 c = first; c < end; c++) {
		if (on)
			q->meta[c / 64] |= BIT64(c % 64);
		else
			q->meta[c / 64] &= ~BIT64(c % 64);
	}
	return 0;
}

bool qc_is_meta_locked(const struct qcow2 *q, u64 off, u64 clusters)
{
	u64 first = off >> q->hdr.cluster_bits;

	for (u64 c = first; c < first + clusters && c < q->num_meta; c++)
		if (q->meta[c / 64] >> (c % 64) & 1)
			return true;
	return false;
}

/* ---------------------------------------------------------------- refcounts */

/* NULL in *@t: that part of the file is not described, so not used */
static int refs_of(struct qcow2 *q, u64 cluster, struct qc_table **t)
{
	u64 r = cluster >> q->refs_bits, off;

	*t = NULL;
	if (r >= q->num_reftable || !q->reftable[r])
		return 0;
	off = q->reftable[r];
	if (off & QC_REFTABLE_RESERVED)
		return qc_corrupt_locked(q, "reserved bits in the refcount table", off);
	return qc_cache_get_locked(q, off, QC_REFS, t);
}

static u64 index_in(const struct qcow2 *q, u64 cluster)
{
	return cluster & (BIT64(q->refs_bits) - 1);
}

static void refs_set(struct qcow2 *q, struct qc_table *t, u64 cluster, u64 v)
{
	u64 i = index_in(q, cluster);

	qc_refs_store(t->data, q->hdr.refcount_order, i, v);
	qc_cache_dirty_locked(q, t, (i << q->hdr.refcount_order) / 8, 1);
}

int qc_refcount_get_locked(struct qcow2 *q, u64 cluster, u64 *n)
{
	struct qc_table *t;
	int rc = refs_of(q, cluster, &t);

	*n = 0;
	if (!rc && t)
		*n = qc_refs_load(t->data, q->hdr.refcount_order, index_in(q, cluster));
	return rc;
}

/* ------------------------------------------------------------ more refcounts */

static int write_reftable_entry(struct qcow2 *q, u64 r)
{
	u64 per = q->unit / 8, first = r & ~(per - 1);
	be64 *w;
	int rc;

	if (posix_memalign((void **)&w, 4096, q->unit))
		return -ENOMEM;
	for (u64 i = 0; i < per; i++)
		w[i] = be64_of(first + i < q->num_reftable ? q->reftable[first + i] : 0);
	rc = qc_child_write(q, w, q->hdr.reftable_off + first * 8, q->unit);
	free(w);
	return rc;
}

/* A block for the part of the file that @cluster is in, put at @place, which is free: the same
 * cluster, or one that another block describes */
static int add_block(struct qcow2 *q, u64 cluster, u64 place)
{
	u64 r = cluster >> q->refs_bits, off = place << q->hdr.cluster_bits;
	struct qc_table *t, *other = NULL;
	int rc;

	if (qc_is_meta_locked(q, off, 1))
		return qc_corrupt_locked(q, "metadata in a cluster that is not counted", off);
	if (place >> q->refs_bits != r) {
		rc = refs_of(q, place, &other);
		if (!rc && other) {
			refs_set(q, other, place, 1);
			rc = qc_cache_write_refs_locked(q);
		}
		if (rc || !other)
			return rc ? rc : -EIO;
	}
	rc = qc_cache_new_locked(q, off, QC_REFS, &t);
	if (rc)
		return rc;
	if (!other)
		refs_set(q, t, place, 1);
	rc = qc_child_write(q, t->data, off, q->cluster);
	if (!rc)
		rc = qc_child_flush(q);
	if (!rc) {
		q->reftable[r] = off;
		rc = write_reftable_entry(q, r);
		if (rc)
			q->reftable[r] = 0;
	}
	if (rc) {
		qc_cache_forget_locked(q, off);
		return rc;
	}
	qc_cache_clean_locked(q, t);
	q->file_bytes = MAX(q->file_bytes, off + q->cluster);
	if (q->fresh != UINT64_MAX)
		q->fresh = MAX(q->fresh, place + 1);
	return qc_meta_mark_locked(q, off, 1, true);
}

/* Write @blocks refcount blocks and a table of @table clusters at cluster @at, where nothing is
 * described yet; the blocks say that all of this is used */
static int write_new_table(struct qcow2 *q, u64 at, u64 blocks, u64 table, u64 *words)
{
	u64 per = BIT64(q->refs_bits), used = blocks + table;
	u8 *block;
	int rc = 0;

	if (posix_memalign((void **)&block, 4096, q->cluster))
		return -ENOMEM;
	for (u64 b = 0; b < blocks && !rc; b++) {
		memset(block, 0, q->cluster);
		for (u64 i = 0; i < per && b * per + i < used; i++)
			qc_refs_store(block, q->hdr.refcount_order, i, 1);
		words[(at >> q->refs_bits) + b] = (at + b) << q->hdr.cluster_bits;
		rc = qc_child_write(q, block, (at + b) << q->hdr.cluster_bits, q->cluster);
	}
	free(block);
	return rc;
}

static int grow_table(struct qcow2 *q)
{
	u64 at = q->num_reftable << q->refs_bits; /* first cluster beyond all blocks */
	u64 per = BIT64(q->refs_bits), per_cluster = q->cluster / 8;
	u64 blocks = 1, table, entries, old_off, old_clusters, *words;
	be64 *w;
	int rc;

	for (;;) {
		table = (q->num_reftable * 3 / 2 + blocks + per_cluster) / per_cluster;
		if (blocks * per >= blocks + table)
			break;
		blocks++;
	}
	entries = table * per_cluster;
	if (table << q->hdr.cluster_bits > QC_MAX_REFTABLE_BYTES)
		return -ENOSPC;
	words = calloc(entries, sizeof(*words));
	if (!words)
		return -ENOMEM;
	memcpy(words, q->reftable, q->num_reftable * sizeof(*words));
	rc = write_new_table(q, at, blocks, table, words);
	if (!rc && posix_memalign((void **)&w, 4096, entries * 8))
		rc = -ENOMEM;
	if (!rc) {
		for (u64 i = 0; i < entries; i++)
			w[i] = be64_of(words[i]);
		rc = qc_child_write(q, w, (at + blocks) << q->hdr.cluster_bits, entries * 8);
		free(w);
	}
	if (!rc)
		rc = qc_meta_mark_locked(q, at << q->hdr.cluster_bits, blocks + table, true);
	old_off = q->hdr.reftable_off;
	old_clusters = q->hdr.reftable_clusters;
	if (!rc)
		rc = qc_header_reftable(q, (at + blocks) << q->hdr.cluster_bits, (u32)table);
	if (rc) {
		free(words);
		return rc;
	}
	free(q->reftable);
	q->reftable = words;
	q->num_reftable = entries;
	q->file_bytes = MAX(q->file_bytes, (at + blocks + table) << q->hdr.cluster_bits);
	q->fresh = MAX(q->fresh, at + blocks + table);
	rc = qc_meta_mark_locked(q, old_off, old_clusters, false);
	qc_free_locked(q, old_off, old_clusters);
	return rc;
}

/* -------------------------------------------------------------- allocation */

/* Is @c free? -EAGAIN: the refcount table has become longer, look again; -ENODATA: there is no
 * block that could say so */
static int is_free(struct qcow2 *q, u64 c, bool *yes)
{
	struct qc_table *t;
	int rc;

	if (c >> (55 - q->hdr.cluster_bits))
		return -ENOSPC;
	if (c >> q->refs_bits >= q->num_reftable) {
		rc = grow_table(q);
		return rc ? rc : -EAGAIN;
	}
	rc = refs_of(q, c, &t);
	if (rc)
		return rc;
	if (!t)
		return -ENODATA;
	*yes = !qc_refs_load(t->data, q->hdr.refcount_order, index_in(q, c));
	return 0;
}

int qc_alloc_locked(struct qcow2 *q, u64 want, bool all, u64 *off, u64 *got)
{
	u64 first = 0, n = 0, c = q->free_hint;
	struct qc_table *t = NULL;
	bool skipped = false;
	int rc;

	if (q->failed)
		return q->failed;
	while (n < want) {
		bool yes = false;

		rc = is_free(q, c, &yes);
		if (rc == -ENODATA) {
			/* In front of a run, so that one can be longer than a block describes */
			rc = add_block(q, c, n ? first : c);
			if (n) {
				first++;
				n--;
			}
			if (!rc)
				continue;
		}
		if (rc == -EAGAIN) {
			n = 0;
			continue;
		}
		if (rc)
			return rc;
		if (!yes) {
			if (n && !all)
				break;
			skipped |= n > 0;
			n = 0;
		} else if (!n++) {
			first = c;
		}
		c++;
	}
	if (qc_is_meta_locked(q, first << q->hdr.cluster_bits, n))
		return qc_corrupt_locked(q, "metadata in a cluster that is not counted",
					 first << q->hdr.cluster_bits);
	for (u64 i = 0; i < n; i++) {
		rc = refs_of(q, first + i, &t);
		if (rc || !t) {
			qc_unalloc_locked(q, first << q->hdr.cluster_bits, i);
			return rc ? rc : -EIO;
		}
		refs_set(q, t, first + i, 1);
	}
	if (!skipped)
		q->free_hint = first + n;
	q->file_bytes = MAX(q->file_bytes, (first + n) << q->hdr.cluster_bits);
	*off = first << q->hdr.cluster_bits;
	*got = n;
	return 0;
}

/* One reference less, in memory */
static void drop(struct qcow2 *q, u64 cluster)
{
	struct qc_table *t;
	u64 n;

	if (refs_of(q, cluster, &t) || !t)
		return;
	n = qc_refs_load(t->data, q->hdr.refcount_order, index_in(q, cluster));
	if (!n) {
		qc_corrupt_locked(q, "a cluster in use was not counted",
				  cluster << q->hdr.cluster_bits);
		return;
	}
	refs_set(q, t, cluster, n - 1);
	if (n == 1)
		q->free_hint = MIN(q->free_hint, cluster);
}

void qc_unalloc_locked(struct qcow2 *q, u64 off, u64 clusters)
{
	for (u64 i = 0; i < clusters; i++)
		drop(q, (off >> q->hdr.cluster_bits) + i);
}

void qc_free_locked(struct qcow2 *q, u64 off, u64 clusters)
{
	struct qc_frees *f = &q->pending;

	if (f->n && f->v[f->n - 1].off + (f->v[f->n - 1].clusters << q->hdr.cluster_bits) == off) {
		f->v[f->n - 1].clusters += clusters;
		f->clusters += clusters;
		return;
	}
	if (f->n == f->room) {
		size_t room = f->room ? 2 * f->room : 64;
		struct qc_free *v = realloc(f->v, room * sizeof(*v));

		if (!v)
			return; /* a leak in the file is the mildest way to go on */
		f->v = v;
		f->room = room;
	}
	f->v[f->n++] = (struct qc_free){ .off = off, .clusters = clusters };
	f->clusters += clusters;
}

void qc_frees_fini(struct qc_frees *f)
{
	free(f->v);
	memset(f, 0, sizeof(*f));
}

void qc_release_locked(struct qcow2 *q)
{
	struct qc_frees f = q->resting;

	if (!f.n)
		return;
	/* Two generations of I/O. That which begins after `gen` changed cannot know these
	 * clusters, and `gen` changes only when the generation before the last has ended. */
	if (!q->aged) {
		if (q->users[!q->gen])
			return;
		q->gen = !q->gen;
		q->aged = true;
	}
	if (q->users[!q->gen])
		return;
	q->aged = false;
	memset(&q->resting, 0, sizeof(q->resting));
	for (size_t i = 0; i < f.n && !q->failed; i += FREE_BATCH) {
		size_t end = MIN(i + FREE_BATCH, f.n);
		struct qc_free punch[FREE_BATCH];
		size_t np = 0;

		/* Only what nobody else refers to may lose its content */
		for (size_t k = i; k < end; k++) {
			u64 n = 0;

			if (!qc_refcount_get_locked(q, f.v[k].off >> q->hdr.cluster_bits, &n) &&
			    n == 1 && f.v[k].clusters == 1)
				punch[np++] = f.v[k];
			else if (f.v[k].clusters > 1) {
				u64 c;

				for (c = 0; c < f.v[k].clusters; c++)
					if (qc_refcount_get_locked(
						    q, (f.v[k].off >> q->hdr.cluster_bits) + c,
						    &n) ||
					    n != 1)
						break;
				if (c == f.v[k].clusters)
					punch[np++] = f.v[k];
			}
		}
		pthread_mutex_unlock(&q->lock);
		for (size_t k = 0; k < np; k++)
			if (q->img.child->caps & BLK_CAP_DISCARD) {
				int rc = q->img.child->ops->discard(q->img.child, punch[k].off,
								    punch[k].clusters
									    << q->hdr.cluster_bits);

				(void)rc; /* space that stays taken is no error */
			}
		pthread_mutex_lock(&q->lock);
		for (size_t k = i; k < end; k++)
			qc_unalloc_locked(q, f.v[k].off, f.v[k].clusters);
	}
	qc_frees_fini(&f);
}
