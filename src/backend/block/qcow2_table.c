// SPDX-License-Identifier: BSD-2-Clause
/* backend/block/qcow2_table.c - L2 tables and refcount blocks in memory
 *
 * A table stays while it is dirty or a commit writes it out, else until room is needed.
 * Refcount blocks may be written at any time; L2 tables only by a commit, so a cache
 * full of dirty ones grows beyond its size until qc_make_room() has one done. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/block/qcow2.h"

static struct qc_table **bucket(struct qcow2 *q, u64 off)
{
	return &q->cache.hash[(off >> q->hdr.cluster_bits) % QC_HASH];
}

static void unhash(struct qcow2 *q, struct qc_table *t)
{
	struct qc_table **p = bucket(q, t->off);

	while (*p != t)
		p = &(*p)->hash_next;
	*p = t->hash_next;
	q->cache.num--;
}

static void table_free(struct qc_table *t)
{
	free(t->data);
	free(t);
}

struct qc_table *qc_cache_peek_locked(struct qcow2 *q, u64 off)
{
	struct qc_table *t;

	for (t = *bucket(q, off); t; t = t->hash_next) {
		if (t->off == off) {
			t->used = ++q->cache.tick;
			return t;
		}
	}
	return NULL;
}

/* Units of @t that are dirty, written; runs of them together */
static int write_units(struct qcow2 *q, const struct qc_table *t)
{
	unsigned units = (unsigned)(q->cluster / q->unit);

	for (unsigned u = 0; u < units;) {
		unsigned first;
		int rc;

		if (!(t->dirty_map[u / 64] >> (u % 64) & 1)) {
			u++;
			continue;
		}
		first = u;
		while (u < units && (t->dirty_map[u / 64] >> (u % 64) & 1))
			u++;
		rc = qc_child_write(q, t->data + first * q->unit, t->off + first * (u64)q->unit,
				    (u - first) * q->unit);
		if (rc)
			return rc;
	}
	return 0;
}

void qc_cache_clean_locked(struct qcow2 *q, struct qc_table *t)
{
	if (t->dirty && t->kind == QC_L2)
		q->cache.num_dirty_l2--;
	t->dirty = false;
	memset(t->dirty_map, 0, sizeof(t->dirty_map));
}

int qc_cache_write_refs_locked(struct qcow2 *q)
{
	for (unsigned b = 0; b < QC_HASH; b++) {
		for (struct qc_table *t = q->cache.hash[b]; t; t = t->hash_next) {
			int rc;

			if (t->kind != QC_REFS || !t->dirty)
				continue;
			rc = write_units(q, t);
			if (rc)
				return rc;
			qc_cache_clean_locked(q, t);
		}
	}
	return 0;
}

/* A table's memory to use anew, or NULL when none can be spared */
static struct qc_table *evict(struct qcow2 *q)
{
	struct qc_table *old = NULL;

	for (unsigned b = 0; b < QC_HASH; b++)
		for (struct qc_table *t = q->cache.hash[b]; t; t = t->hash_next)
			if (!t->busy && (!t->dirty || t->kind == QC_REFS) &&
			    (!old || t->used < old->used))
				old = t;
	if (!old)
		return NULL;
	if (old->dirty) {
		if (write_units(q, old))
			return NULL;
		qc_cache_clean_locked(q, old);
	}
	unhash(q, old);
	return old;
}

static int take(struct qcow2 *q, u64 off, enum qc_kind kind, struct qc_table **out)
{
	struct qc_table *t = q->cache.num >= q->cache.max ? evict(q) : NULL;

	if (!t) {
		t = calloc(1, sizeof(*t));
		if (!t)
			return -ENOMEM;
		if (posix_memalign((void **)&t->data, 4096, q->cluster)) {
			free(t);
			return -ENOMEM;
		}
	}
	t->off = off;
	t->kind = kind;
	t->dirty = t->busy = false;
	t->used = ++q->cache.tick;
	memset(t->dirty_map, 0, sizeof(t->dirty_map));
	*out = t;
	return 0;
}

static void enter(struct qcow2 *q, struct qc_table *t)
{
	struct qc_table **b = bucket(q, t->off);

	t->hash_next = *b;
	*b = t;
	q->cache.num++;
}

int qc_cache_get_locked(struct qcow2 *q, u64 off, enum qc_kind kind, struct qc_table **out)
{
	struct qc_table *t = qc_cache_peek_locked(q, off);
	int rc;

	*out = NULL;
	if (t) {
		/* One cluster of the file, two roles: somebody made this image to confuse us */
		if (t->kind != kind)
			return qc_corrupt_locked(q, "a table is both L2 and refcount block", off);
		*out = t;
		return 0;
	}
	if (off % q->cluster || !off || off >= ALIGN_UP(q->file_bytes, q->cluster))
		return qc_corrupt_locked(q, "a table lies outside of the file", off);
	rc = take(q, off, kind, &t);
	if (rc)
		return rc;
	rc = qc_child_read(q, t->data, off, q->cluster);
	if (rc) {
		table_free(t);
		return rc;
	}
	enter(q, t);
	*out = t;
	return 0;
}

int qc_cache_new_locked(struct qcow2 *q, u64 off, enum qc_kind kind, struct qc_table **out)
{
	struct qc_table *t;
	int rc;

	*out = NULL;
	qc_cache_forget_locked(q, off);
	rc = take(q, off, kind, &t);
	if (rc)
		return rc;
	memset(t->data, 0, q->cluster);
	enter(q, t);
	qc_cache_dirty_locked(q, t, 0, q->cluster);
	*out = t;
	return 0;
}

void qc_cache_forget_locked(struct qcow2 *q, u64 off)
{
	struct qc_table *t = qc_cache_peek_locked(q, off);

	if (!t || t->busy)
		return;
	qc_cache_clean_locked(q, t);
	unhash(q, t);
	table_free(t);
}

void qc_cache_dirty_locked(struct qcow2 *q, struct qc_table *t, u64 at, u64 len)
{
	if (!t->dirty && t->kind == QC_L2)
		q->cache.num_dirty_l2++;
	t->dirty = true;
	for (u64 u = at / q->unit; u <= (at + len - 1) / q->unit; u++)
		t->dirty_map[u / 64] |= BIT64(u % 64);
}

void qc_cache_fini(struct qcow2 *q)
{
	for (unsigned b = 0; b < QC_HASH; b++) {
		while (q->cache.hash[b]) {
			struct qc_table *t = q->cache.hash[b];

			q->cache.hash[b] = t->hash_next;
			table_free(t);
		}
	}
}
