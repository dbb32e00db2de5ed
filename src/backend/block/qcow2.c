// SPDX-License-Identifier: BSD-2-Clause
/* backend/block/qcow2.c - qcow2 images: open, close, what they can do
 *
 * The map of the format's files is at the head of qcow2.h. */
#include "backend/block/qcow2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/range.h"

/* Tables that an open looks through before the image is written; more take too long */
#define CHECK_MAX_TABLES 2048
#define CACHE_BYTES (32u << 20)

int qc_child_read(struct qcow2 *q, void *buf, u64 off, u64 len)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };

	return q->img.child->ops->preadv(q->img.child, &iov, 1, off, len);
}

int qc_child_write(struct qcow2 *q, const void *buf, u64 off, u64 len)
{
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };

	return q->img.child->ops->pwritev(q->img.child, &iov, 1, off, len);
}

/* ------------------------------------------------------------------- load */

/* @bytes at @off hold metadata and nothing else may. @strict: an error if they overlap */
static int claim(struct qcow2 *q, u64 off, u64 bytes, bool strict, const char *what,
		 struct hk_err *err)
{
	u64 n = qc_clusters(q, bytes);

	if (!n)
		return 0;
	if (off % q->cluster ||
	    !range_ok(off, n << q->hdr.cluster_bits, ALIGN_UP(q->file_bytes, q->cluster)))
		return strict ? err_set(err, -EINVAL, "%s lies outside of the file (0x%llx)", what,
					(unsigned long long)off)
			      : 0;
	if (strict && qc_is_meta_locked(q, off, n))
		return err_set(err, -EINVAL, "%s overlaps other metadata (0x%llx)", what,
			       (unsigned long long)off);
	if (qc_meta_mark_locked(q, off, n, true))
		return err_set(err, -ENOMEM, "out of memory");
	return 0;
}

static int claim_snapshots(struct qcow2 *q, bool strict, struct hk_err *err)
{
	struct qc_snapshot *s;
	u64 bytes;
	int rc = qc_snapshots_read(q, &s, &bytes);

	if (rc)
		return strict ? err_set(err, rc, "the snapshot table is damaged") : 0;
	rc = claim(q, q->hdr.snapshots_off, bytes, strict, "the snapshot table", err);
	for (u32 i = 0; i < q->hdr.num_snapshots && !rc; i++)
		rc = claim(q, s[i].l1_off, s[i].l1_size * 8ull, strict, "a snapshot's L1 table",
			   err);
	free(s);
	return rc;
}

static int claim_all(struct qcow2 *q, bool strict, struct hk_err *err)
{
	int rc = claim(q, 0, q->cluster, strict, "the header", err);

	if (!rc)
		rc = claim(q, q->hdr.l1_off, q->hdr.l1_size * 8ull, strict, "the L1 table", err);
	if (!rc)
		rc = claim(q, q->hdr.reftable_off,
			   (u64)q->hdr.reftable_clusters << q->hdr.cluster_bits, strict,
			   "the refcount table", err);
	for (u64 i = 0; i < q->num_reftable && !rc; i++)
		if (q->reftable[i])
			rc = claim(q, q->reftable[i], q->cluster, strict, "a refcount block", err);
	for (u32 i = 0; i < q->hdr.l1_size && !rc; i++) {
		u64 off = q->l1[i] & QC_OFFSET;

		/* A table that a snapshot shares may be there twice; it is never written in place */
		if (off)
			rc = claim(q, off, q->cluster, strict && (q->l1[i] & QC_COPIED),
				   "an L2 table", err);
	}
	if (!rc && q->hdr.num_snapshots)
		rc = claim_snapshots(q, strict, err);
	return rc;
}

int qc_load(struct qcow2 *q, bool strict, struct hk_err *err)
{
	u64 units;
	int rc;

	q->num_reftable = ((u64)q->hdr.reftable_clusters << q->hdr.cluster_bits) / 8;
	rc = qc_table_load(q, q->hdr.l1_off, q->hdr.l1_size, &q->l1);
	if (!rc)
		rc = qc_table_load(q, q->hdr.reftable_off, q->num_reftable, &q->reftable);
	if (rc)
		return err_set(err, rc, "cannot read its tables: %s", strerrordesc_np(-rc));
	units = q->hdr.l1_size * 8ull / q->unit + 1;
	q->l1_dirty = calloc((units + 63) / 64, 8);
	if (!q->l1_dirty)
		return err_set(err, -ENOMEM, "out of memory");
	return claim_all(q, strict, err);
}

void qc_unload(struct qcow2 *q)
{
	qc_cache_fini(q);
	memset(&q->cache, 0, sizeof(q->cache));
	q->cache.max = MIN(MAX(CACHE_BYTES >> q->hdr.cluster_bits, 16), 4096);
	free(q->l1);
	free(q->l1_dirty);
	free(q->reftable);
	free(q->meta);
	q->l1 = q->l1_dirty = q->reftable = q->meta = NULL;
	q->num_meta = 0;
	q->free_hint = 0;
	q->l1_is_dirty = false;
}

/* ------------------------------------------------------------------- open */

static u64 count_l2(const struct qcow2 *q)
{
	u64 n = 0;

	for (u32 i = 0; i < q->hdr.l1_size; i++)
		n += !!(q->l1[i] & QC_OFFSET);
	return n;
}

static int repair_dirty(struct qcow2 *q, struct hk_err *err)
{
	struct img_report r = { 0 };
	int rc = qcow2_check(&q->img, IMG_FIX_LEAKS | IMG_FIX_ERRORS, &r);

	if (rc)
		return err_set(err, rc, "was not closed, and cannot be repaired: %s",
			       strerrordesc_np(-rc));
	log_info(q->img.log, "qcow2: was not closed; %llu refcounts made anew",
		 (unsigned long long)(r.corruptions_fixed + r.leaks_fixed));
	if (r.corruptions > r.corruptions_fixed)
		return err_set(err, -EINVAL,
			       "was not closed, and has damage that cannot be repaired");
	return 0;
}

static int ready_to_write(struct qcow2 *q, const struct img_cfg *cfg, struct hk_err *err)
{
	struct img_report r = { 0 };
	int rc;

	if (q->hdr.incompat & QC_INCOMPAT_CORRUPT)
		return err_set(
			err, -EINVAL,
			"is marked corrupt: `hyperkit disk check --repair all` first, or open it read-only");
	if (q->hdr.incompat & QC_INCOMPAT_DIRTY) {
		rc = repair_dirty(q, err);
		if (rc)
			return rc;
	} else if (!cfg->no_check && count_l2(q) <= CHECK_MAX_TABLES) {
		rc = qcow2_check(&q->img, 0, &r);
		if (rc)
			return err_set(err, rc, "cannot check its metadata: %s",
				       strerrordesc_np(-rc));
		if (r.corruptions)
			return err_set(err, -EINVAL,
				       "has %llu errors in its metadata: see `hyperkit disk check`",
				       (unsigned long long)r.corruptions);
	}
	if (q->hdr.autoclear) {
		/* What these features describe is not kept right by us; the bits say so */
		if (q->hdr.autoclear & QC_AUTOCLEAR_BITMAPS && q->hdr.num_bitmaps)
			log_warn(q->img.log,
				 "qcow2: its %u dirty bitmaps are out of date from now on",
				 q->hdr.num_bitmaps);
		rc = qc_header_flags(q, q->hdr.incompat, 0);
		if (rc)
			return err_set(err, rc, "cannot write the header: %s",
				       strerrordesc_np(-rc));
	}
	return 0;
}

static void describe(struct qcow2 *q, const struct img_cfg *cfg)
{
	struct img *i = &q->img;

	i->size_bytes = q->hdr.size_bytes;
	i->logical = cfg->logical ? MAX(cfg->logical, i->child->logical) : i->child->logical;
	i->physical = cfg->physical ? cfg->physical : MAX(i->child->physical, i->logical);
	i->read_only = cfg->read_only || i->child->read_only;
	i->mem_align = i->child->mem_align;
	i->discard_align = (u32)q->cluster;
	i->max_discard = 1ull << 30;
	i->caps = BLK_CAP_WRITE_ZEROES;
	if (!cfg->no_discard && (!q->backed || q->hdr.version >= 3))
		i->caps |= BLK_CAP_DISCARD | BLK_CAP_DISCARD_ZEROES;
}

static const struct img_ops qcow2_ops;

static int open_it(struct qcow2 *q, const struct img_cfg *cfg, struct hk_err *err)
{
	struct img *child = q->img.child;
	struct qc_header h;
	int rc = qc_header_read(child, &h, err);

	if (rc)
		return rc;
	q->hdr = h;
	q->cluster = 1ull << q->hdr.cluster_bits;
	q->l2_bits = q->hdr.cluster_bits - 3;
	q->refs_bits = q->hdr.cluster_bits + 3 - q->hdr.refcount_order;
	q->unit = MAX(512, child->logical);
	if (q->unit > q->cluster)
		return err_set(err, -ENOTSUP,
			       "clusters of %llu bytes, but the file's sectors have %u",
			       (unsigned long long)q->cluster, q->unit);
	q->file_bytes = child->size_bytes;
	q->fresh = child->grows ? qc_clusters(q, q->file_bytes) : UINT64_MAX;
	q->cache.max = MIN(MAX(CACHE_BYTES >> q->hdr.cluster_bits, 16), 4096);
	rc = qc_load(q, !cfg->may_be_dirty && !cfg->read_only && !child->read_only, err);
	if (!rc && q->hdr.backing_file[0] && !cfg->may_be_dirty)
		rc = qc_backing_open(q, cfg, err);
	if (rc)
		return rc;
	describe(q, cfg);
	return q->img.read_only || cfg->may_be_dirty ? 0 : ready_to_write(q, cfg, err);
}

int qcow2_open(struct img **out, struct img *child, const struct img_cfg *cfg, struct hk_err *err)
{
	struct qcow2 *q = calloc(1, sizeof(*q));
	int rc;

	*out = NULL;
	if (!q) {
		img_close(child);
		return err_set(err, -ENOMEM, "out of memory");
	}
	q->img.ops = &qcow2_ops;
	q->img.child = child;
	q->img.backing = cfg->backing_img;
	q->img.log = cfg->log;
	q->img.read_only = true; /* until everything was looked at: nothing to write at close */
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->cond, NULL);
	list_init(&q->allocs);
	rc = open_it(q, cfg, err);
	if (rc) {
		q->img.read_only = true;
		img_close(&q->img);
		return rc;
	}
	*out = &q->img;
	return 0;
}

static void close_it(struct img *i)
{
	struct qcow2 *q = qcow2_of(i);
	int rc = 0;

	/* Twice: the first makes what was freed certain, the second writes the lower counts */
	for (unsigned n = 0; n < 2 && !i->read_only && !q->failed && !rc; n++)
		rc = qcow2_flush(i);
	if (rc)
		log_error(i->log, "qcow2: the last flush failed: %s", strerrordesc_np(-rc));
	qc_unload(q);
	qc_frees_fini(&q->pending);
	qc_frees_fini(&q->resting);
	pthread_cond_destroy(&q->cond);
	pthread_mutex_destroy(&q->lock);
}

/* -------------------------------------------------------------- questions */

static int extent(struct img *i, u64 off, u64 len, enum img_extent *what, u64 *run)
{
	struct qcow2 *q = qcow2_of(i);
	u64 in = off & (q->cluster - 1);
	struct qc_map m;
	int rc;

	pthread_mutex_lock(&q->lock);
	rc = qc_lookup_locked(q, off >> q->hdr.cluster_bits, qc_clusters(q, in + len), &m);
	pthread_mutex_unlock(&q->lock);
	if (rc)
		return rc;
	*run = MIN(len, (m.num << q->hdr.cluster_bits) - in);
	switch (m.what) {
	case QC_DATA:
	case QC_PACKED:
		*what = IMG_EXTENT_DATA;
		return 0;
	case QC_NOTHING:
		*what = IMG_EXTENT_ZERO;
		if (!q->backed || off >= i->backing->size_bytes)
			return 0;
		rc = img_extent(i->backing, off, MIN(*run, i->backing->size_bytes - off), what,
				run);
		return rc;
	default:
		*what = IMG_EXTENT_ZERO;
		return 0;
	}
}

static void info(struct img *i, struct img_info *out)
{
	const struct qcow2 *q = qcow2_of(i);
	const struct qc_header *h = &q->hdr;

	if (i->child->ops->info)
		i->child->ops->info(i->child, out);
	out->format = "qcow2";
	out->cluster_bytes = (u32)q->cluster;
	out->version = h->version;
	out->refcount_bits = 1u << h->refcount_order;
	out->num_snapshots = h->num_snapshots;
	out->dirty = h->incompat & QC_INCOMPAT_DIRTY;
	out->corrupt = h->incompat & QC_INCOMPAT_CORRUPT;
	out->lazy_refcounts = h->compat & QC_COMPAT_LAZY;
	out->compression = h->compression ? "zstd" : "zlib";
	memcpy(out->backing_file, h->backing_file, sizeof(out->backing_file));
	memcpy(out->backing_format, h->backing_format, sizeof(out->backing_format));
}

/* Straight to the file: only where nothing has to be read, allocated or waited for */
static bool map(struct img *i, u64 off, u64 len, bool write, int *fd, u64 *host, unsigned *token)
{
	struct qcow2 *q = qcow2_of(i);
	u64 in = off & (q->cluster - 1), num = qc_clusters(q, in + len);
	unsigned inner;
	struct qc_map m;
	bool ok = false;

	if (!i->child->ops->map || pthread_mutex_trylock(&q->lock))
		return false;
	if ((!write || !q->failed) && qc_lookup_fast_locked(q, off >> q->hdr.cluster_bits, num, &m))
		ok = m.what == QC_DATA && m.num >= num &&
		     (!write || (m.copied && !qc_is_meta_locked(q, m.host, num)));
	if (ok)
		ok = i->child->ops->map(i->child, m.host + in, len, write, fd, host, &inner);
	if (ok)
		*token = qc_io_begin_locked(q);
	pthread_mutex_unlock(&q->lock);
	return ok;
}

static void unmap(struct img *i, unsigned token)
{
	struct qcow2 *q = qcow2_of(i);

	pthread_mutex_lock(&q->lock);
	qc_io_end_locked(q, token);
	pthread_mutex_unlock(&q->lock);
}

static const struct img_ops qcow2_ops = {
	.name = "qcow2",
	.preadv = qcow2_preadv,
	.pwritev = qcow2_pwritev,
	.flush = qcow2_flush,
	.discard = qcow2_discard,
	.write_zeroes = qcow2_write_zeroes,
	.resize = qcow2_resize,
	.check = qcow2_check,
	.extent = extent,
	.info = info,
	.map = map,
	.unmap = unmap,
	.close = close_it,
};
