// SPDX-License-Identifier: BSD-2-Clause
/* backend/block/qcow2_create.c - New images, new sizes */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/block/qcow2.h"
#include "base/err.h"

#define EXT_BACKING_FORMAT 0xe2792acau

/* An empty image: header, refcount table, refcount blocks, L1 table */
struct plan {
	u32 cluster_bits, order;
	u64 cluster, l1_entries, l1_clusters, table, blocks, total;
};

static int log2_of(u64 v)
{
	return v && !(v & (v - 1)) ? __builtin_ctzll(v) : -1;
}

static int make_plan(const struct qcow2_create *c, struct plan *p, struct hk_err *err)
{
	int bits = log2_of(c->cluster_bytes ? c->cluster_bytes : 65536);
	int order = log2_of(c->refcount_bits ? c->refcount_bits : 16);
	unsigned version = c->version ? c->version : 3;
	u64 per_l1;

	if (bits < 9 || bits > 21)
		return err_set(err, -EINVAL,
			       "clusters of %u bytes: a power of two from 512 to 2 MiB",
			       c->cluster_bytes);
	if (order < 0 || order > 6 || (version == 2 && order != 4))
		return err_set(err, -EINVAL,
			       "refcounts of %u bits: a power of two up to 64; version 2: 16",
			       c->refcount_bits);
	if (version != 2 && version != 3)
		return err_set(err, -EINVAL, "qcow2 version %u: 2 or 3", version);
	if (c->size_bytes % 512 || c->size_bytes > INT64_MAX)
		return err_set(err, -EINVAL, "a disk of %llu bytes: a multiple of 512",
			       (unsigned long long)c->size_bytes);
	p->cluster_bits = (u32)bits;
	p->order = (u32)order;
	p->cluster = 1ull << bits;
	per_l1 = p->cluster << (bits - 3);
	p->l1_entries = MAX(c->size_bytes / per_l1 + !!(c->size_bytes % per_l1), 1);
	if (p->l1_entries * 8 > QC_MAX_L1_BYTES)
		return err_set(err, -EFBIG, "a disk of %llu bytes needs larger clusters than %llu",
			       (unsigned long long)c->size_bytes, (unsigned long long)p->cluster);
	p->l1_clusters = (p->l1_entries * 8 + p->cluster - 1) >> bits;
	p->table = p->blocks = 1;
	for (;;) {
		u64 per = p->cluster * 8 >> order, blocks, table;

		p->total = 1 + p->table + p->blocks + p->l1_clusters;
		blocks = (p->total + per - 1) / per;
		table = (blocks * 8 + p->cluster - 1) >> bits;
		if (blocks <= p->blocks && table <= p->table)
			return 0;
		p->blocks = MAX(blocks, p->blocks);
		p->table = MAX(table, p->table);
	}
}

static int put(struct img *child, const void *p, u64 off, u64 len)
{
	struct iovec iov = { .iov_base = (void *)p, .iov_len = len };

	return child->ops->pwritev(child, &iov, 1, off, len);
}

static int write_refs(struct img *child, const struct plan *p, u8 *buf)
{
	u64 per = p->cluster * 8 >> p->order;
	int rc = 0;

	for (u64 t = 0; t < p->table && !rc; t++) {
		memset(buf, 0, p->cluster);
		for (u64 i = 0; i < p->cluster / 8; i++) {
			u64 b = t * (p->cluster / 8) + i;

			if (b < p->blocks)
				store_le64(buf + i * 8, __builtin_bswap64((1 + p->table + b)
									  << p->cluster_bits));
		}
		rc = put(child, buf, (1 + t) << p->cluster_bits, p->cluster);
	}
	for (u64 b = 0; b < p->blocks && !rc; b++) {
		memset(buf, 0, p->cluster);
		for (u64 i = 0; i < per && b * per + i < p->total; i++)
			qc_refs_store(buf, p->order, i, 1);
		rc = put(child, buf, (1 + p->table + b) << p->cluster_bits, p->cluster);
	}
	memset(buf, 0, p->cluster);
	for (u64 l = 0; l < p->l1_clusters && !rc; l++)
		rc = put(child, buf, (1 + p->table + p->blocks + l) << p->cluster_bits, p->cluster);
	return rc;
}

static int fill_header(const struct qcow2_create *c, const struct plan *p, u8 *buf,
		       struct hk_err *err)
{
	unsigned version = c->version ? c->version : 3;
	struct qc_header_w h = {
		.magic = be32_of(QC_MAGIC),
		.version = be32_of(version),
		.cluster_bits = be32_of(p->cluster_bits),
		.size_bytes = be64_of(c->size_bytes),
		.l1_size = be32_of((u32)p->l1_entries),
		.l1_off = be64_of((1 + p->table + p->blocks) << p->cluster_bits),
		.reftable_off = be64_of(p->cluster),
		.reftable_clusters = be32_of((u32)p->table),
		.compat = be64_of(version == 3 && c->lazy_refcounts ? QC_COMPAT_LAZY : 0),
		.refcount_order = be32_of(p->order),
		.header_len = be32_of(sizeof(h)),
	};
	u64 at = version == 2 ? QC_V2_HEADER : sizeof(h);

	memset(buf, 0, p->cluster);
	if (c->backing_file) {
		const char *format = c->backing_format ? c->backing_format : "";
		u64 len = strlen(c->backing_file), flen = strlen(format);

		if (!len || len > QC_MAX_BACKING_NAME ||
		    at + 16 + ALIGN_UP(flen, 8) + len > p->cluster)
			return err_set(err, -ENAMETOOLONG, "the backing file's name is too long");
		store_le32(buf + at, __builtin_bswap32(EXT_BACKING_FORMAT));
		store_le32(buf + at + 4, __builtin_bswap32((u32)flen));
		memcpy(buf + at + 8, format, flen);
		at += 8 + ALIGN_UP(flen, 8) + 8; /* and the end of extensions: zeros */
		memcpy(buf + at, c->backing_file, len);
		h.backing_off = be64_of(at);
		h.backing_len = be32_of((u32)len);
	}
	memcpy(buf, &h, version == 2 ? QC_V2_HEADER : sizeof(h));
	return 0;
}

int qcow2_create(struct img *child, const struct qcow2_create *c, struct hk_err *err)
{
	struct plan p = { 0 };
	u8 *buf;
	int rc = make_plan(c, &p, err);

	if (rc)
		return rc;
	if (p.cluster < child->logical)
		return err_set(err, -EINVAL,
			       "clusters of %llu bytes, but the file's sectors have %u",
			       (unsigned long long)p.cluster, child->logical);
	if (posix_memalign((void **)&buf, 4096, p.cluster))
		return err_set(err, -ENOMEM, "out of memory");
	rc = write_refs(child, &p, buf);
	if (!rc)
		rc = child->ops->flush(child);
	if (rc)
		rc = err_set(err, rc, "cannot write the image: %s", strerrordesc_np(-rc));
	else
		rc = fill_header(c, &p, buf, err);
	if (!rc) {
		/* Last: before it, this is no image */
		rc = put(child, buf, 0, p.cluster);
		if (!rc)
			rc = child->ops->flush(child);
		if (rc)
			rc = err_set(err, rc, "cannot write the image: %s", strerrordesc_np(-rc));
	}
	free(buf);
	return rc;
}

/* ------------------------------------------------------------------ resize */

static int grow_l1_locked(struct qcow2 *q, u64 entries)
{
	u64 clusters = qc_clusters(q, entries * 8), off, got, units;
	u64 old_off = q->hdr.l1_off, old_clusters = qc_clusters(q, q->hdr.l1_size * 8ull);
	u64 *l1 = NULL, *dirty = NULL;
	be64 *w = NULL;
	int rc;

	if (clusters == old_clusters) /* the last cluster has room */
		return 1;
	rc = qc_alloc_locked(q, clusters, true, &off, &got);
	if (rc)
		return rc;
	if (q->fresh != UINT64_MAX)
		q->fresh = MAX(q->fresh, (off >> q->hdr.cluster_bits) + got);
	units = (clusters << q->hdr.cluster_bits) / q->unit + 1;
	l1 = calloc(1, clusters << q->hdr.cluster_bits);
	dirty = calloc((units + 63) / 64, 8);
	rc = !l1 || !dirty || posix_memalign((void **)&w, 4096, clusters << q->hdr.cluster_bits)
		     ? -ENOMEM
		     : qc_meta_mark_locked(q, off, clusters, true);
	if (!rc) {
		memcpy(l1, q->l1, q->hdr.l1_size * 8ull);
		memset(w, 0, clusters << q->hdr.cluster_bits);
		for (u32 i = 0; i < q->hdr.l1_size; i++)
			w[i] = be64_of(l1[i]);
		/* The caller committed: counts of the new clusters are what is left to write */
		rc = qc_cache_write_refs_locked(q);
	}
	if (!rc)
		rc = qc_child_write(q, w, off, clusters << q->hdr.cluster_bits);
	if (!rc)
		rc = qc_header_l1(q, off, (u32)entries);
	free(w);
	if (rc) {
		free(l1);
		free(dirty);
		qc_unalloc_locked(q, off, clusters);
		return rc;
	}
	free(q->l1);
	free(q->l1_dirty);
	q->l1 = l1;
	q->l1_dirty = dirty;
	rc = qc_meta_mark_locked(q, old_off, old_clusters, false);
	if (old_clusters)
		qc_free_locked(q, old_off, old_clusters);
	return rc;
}

static int grow(struct qcow2 *q, u64 bytes, struct hk_err *err)
{
	u64 per_l1 = q->cluster << q->l2_bits, old = q->img.size_bytes, end;
	u64 entries = bytes / per_l1 + !!(bytes % per_l1);
	int rc = 0;

	if (entries * 8 > QC_MAX_L1_BYTES)
		return err_set(err, -EFBIG, "a disk of %llu bytes needs larger clusters",
			       (unsigned long long)bytes);
	pthread_mutex_lock(&q->lock);
	if (entries > q->hdr.l1_size) {
		rc = grow_l1_locked(q, entries);
		if (rc == 1) {
			/* Entries behind the old end are whatever was there */
			u64 *l1 = realloc(q->l1, ALIGN_UP(entries * 8, q->cluster));
			u64 *d = calloc((entries * 8 / q->unit + 64) / 64 + 1, 8);

			rc = l1 && d ? 0 : -ENOMEM;
			if (l1)
				q->l1 = l1;
			if (!rc) {
				u64 from = q->hdr.l1_size, units;

				free(q->l1_dirty);
				q->l1_dirty = d;
				memset(l1 + from, 0, (entries - from) * 8);
				units = entries * 8 / q->unit + 1;
				for (u64 u = from * 8 / q->unit; u < units; u++)
					d[u / 64] |= BIT64(u % 64);
				q->l1_is_dirty = true;
			} else {
				free(d);
			}
			if (!rc) {
				u32 was = q->hdr.l1_size;

				q->hdr.l1_size = (u32)entries;
				pthread_mutex_unlock(&q->lock);
				rc = qcow2_flush(&q->img);
				pthread_mutex_lock(&q->lock);
				if (!rc)
					rc = qc_header_l1(q, q->hdr.l1_off, (u32)entries);
				if (rc)
					q->hdr.l1_size = was;
			}
		}
	}
	if (!rc)
		rc = qc_header_size(q, bytes);
	pthread_mutex_unlock(&q->lock);
	if (rc)
		return err_set(err, rc, "cannot grow: %s", strerrordesc_np(-rc));
	q->img.size_bytes = bytes;
	/* Neither old bytes behind the end nor a larger backing file may come to light */
	end = ALIGN_UP(old, q->cluster);
	if (q->backed)
		end = MAX(end, q->img.backing->size_bytes);
	end = MIN(end, bytes);
	rc = end > old ? img_write_zeroes(&q->img, old, end - old, true) : 0;
	if (!rc)
		rc = qcow2_flush(&q->img);
	return rc ? err_set(err, rc, "cannot clear what was added: %s", strerrordesc_np(-rc)) : 0;
}

static int shrink(struct qcow2 *q, u64 bytes, struct hk_err *err)
{
	u64 old = q->img.size_bytes;
	int rc;

	/* Without leave to free space it stays, as zeros */
	rc = img_write_zeroes(&q->img, bytes, old - bytes, true);
	if (!rc)
		rc = qcow2_flush(&q->img);
	if (!rc) {
		pthread_mutex_lock(&q->lock);
		rc = qc_header_size(q, bytes);
		pthread_mutex_unlock(&q->lock);
	}
	if (rc)
		return err_set(err, rc, "cannot shrink: %s", strerrordesc_np(-rc));
	q->img.size_bytes = bytes;
	return 0;
}

int qcow2_resize(struct img *i, u64 bytes, struct hk_err *err)
{
	struct qcow2 *q = qcow2_of(i);
	int rc;

	if (i->read_only)
		return err_set(err, -EROFS, "is read-only");
	if (q->hdr.num_snapshots)
		return err_set(err, -ENOTSUP, "has internal snapshots, which keep its size");
	if (bytes % i->logical || bytes > INT64_MAX)
		return err_set(err, -EINVAL, "%llu is no size of a disk with sectors of %u bytes",
			       (unsigned long long)bytes, i->logical);
	rc = qcow2_flush(i);
	if (rc)
		return err_set(err, rc, "cannot write: %s", strerrordesc_np(-rc));
	if (bytes == i->size_bytes)
		return 0;
	return bytes > i->size_bytes ? grow(q, bytes, err) : shrink(q, bytes, err);
}
