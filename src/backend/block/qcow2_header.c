// SPDX-License-Identifier: BSD-2-Clause
/* backend/block/qcow2_header.c - The first cluster: parse, check, change
 *
 * Everything in it is hostile. What a field says is checked against the specification,
 * the limits of qcow2.h, and the size of the file before anything is allocated. Changes are
 * written field by field, each within one sector, so that a power cut leaves either
 * header. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/block/qcow2.h"
#include "base/err.h"
#include "base/range.h"

#define EXT_END 0u
#define EXT_BACKING_FORMAT 0xe2792acau
#define EXT_BITMAPS 0x23852875u

static int parse_numbers(struct qc_header *h, const struct qc_header_w *w, struct hk_err *err)
{
	h->version = be32_get(w->version);
	if (be32_get(w->magic) != QC_MAGIC)
		return err_set(err, -EINVAL, "not a qcow2 image");
	if (h->version != 2 && h->version != 3)
		return err_set(err, -ENOTSUP, "qcow2 version %u; known are 2 and 3", h->version);
	h->cluster_bits = be32_get(w->cluster_bits);
	if (h->cluster_bits < 9 || h->cluster_bits > 21)
		return err_set(err, -EINVAL, "clusters of 2^%u bytes", h->cluster_bits);
	h->size_bytes = be64_get(w->size_bytes);
	h->crypt_method = be32_get(w->crypt_method);
	h->l1_size = be32_get(w->l1_size);
	h->l1_off = be64_get(w->l1_off);
	h->reftable_off = be64_get(w->reftable_off);
	h->reftable_clusters = be32_get(w->reftable_clusters);
	h->num_snapshots = be32_get(w->num_snapshots);
	h->snapshots_off = be64_get(w->snapshots_off);
	h->refcount_order = 4;
	h->header_len = QC_V2_HEADER;
	if (h->version == 2)
		return 0;
	h->incompat = be64_get(w->incompat);
	h->compat = be64_get(w->compat);
	h->autoclear = be64_get(w->autoclear);
	h->refcount_order = be32_get(w->refcount_order);
	h->header_len = be32_get(w->header_len);
	if (h->header_len < QC_V3_HEADER || h->header_len % 8 ||
	    h->header_len > 1u << h->cluster_bits)
		return err_set(err, -EINVAL, "a header of %u bytes", h->header_len);
	if (h->header_len > QC_V3_HEADER)
		h->compression = w->compression;
	if (h->refcount_order > 6)
		return err_set(err, -EINVAL, "refcounts of 2^%u bits", h->refcount_order);
	return 0;
}

static int check_features(const struct qc_header *h, struct hk_err *err)
{
	u64 unknown = h->incompat &
		      ~(u64)(QC_INCOMPAT_DIRTY | QC_INCOMPAT_CORRUPT | QC_INCOMPAT_DATA_FILE |
			     QC_INCOMPAT_COMPRESSION | QC_INCOMPAT_EXTENDED_L2);

	if (unknown)
		return err_set(err, -ENOTSUP,
			       "uses features that are not known here (incompatible bits 0x%llx)",
			       (unsigned long long)unknown);
	if (h->incompat & QC_INCOMPAT_DATA_FILE)
		return err_set(err, -ENOTSUP,
			       "keeps its data in another file, which is not supported");
	if (h->incompat & QC_INCOMPAT_EXTENDED_L2)
		return err_set(err, -ENOTSUP,
			       "has extended L2 entries (subclusters), which are not supported");
	if (h->crypt_method)
		return err_set(err, -ENOTSUP, "is encrypted, which is not supported");
	if (h->compression > 1)
		return err_set(err, -ENOTSUP, "compression type %u is not known", h->compression);
	if (!(h->incompat & QC_INCOMPAT_COMPRESSION) != !h->compression)
		return err_set(err, -EINVAL,
			       "compression type and feature bit contradict each other");
	return 0;
}

static int check_places(const struct qc_header *h, u64 file_bytes, struct hk_err *err)
{
	u64 cluster = 1ull << h->cluster_bits;
	u64 per_l1 = cluster << (h->cluster_bits - 3); /* bytes of disk that an L1 entry covers */
	u64 l1_need = h->size_bytes / per_l1 + !!(h->size_bytes % per_l1);

	if (h->size_bytes > INT64_MAX || l1_need * 8 > QC_MAX_L1_BYTES)
		return err_set(err, -EFBIG, "a disk of %llu bytes with clusters of %llu",
			       (unsigned long long)h->size_bytes, (unsigned long long)cluster);
	if (h->l1_size > QC_MAX_L1_BYTES / 8)
		return err_set(err, -EFBIG, "an L1 table of %u entries", h->l1_size);
	if (h->l1_size < l1_need)
		return err_set(err, -EINVAL,
			       "an L1 table of %u entries is too short for %llu bytes", h->l1_size,
			       (unsigned long long)h->size_bytes);
	if (h->l1_off % cluster || (h->l1_size && !h->l1_off) ||
	    !range_ok(h->l1_off, h->l1_size * 8ull, ALIGN_UP(file_bytes, cluster)))
		return err_set(err, -EINVAL, "the L1 table lies outside of the file");
	if (!h->reftable_clusters ||
	    h->reftable_clusters > QC_MAX_REFTABLE_BYTES >> h->cluster_bits)
		return err_set(err, -EINVAL, "a refcount table of %u clusters",
			       h->reftable_clusters);
	if (h->reftable_off % cluster || !h->reftable_off ||
	    !range_ok(h->reftable_off, (u64)h->reftable_clusters << h->cluster_bits,
		      ALIGN_UP(file_bytes, cluster)))
		return err_set(err, -EINVAL, "the refcount table lies outside of the file");
	if (h->num_snapshots > QC_MAX_SNAPSHOTS)
		return err_set(err, -EFBIG, "%u snapshots", h->num_snapshots);
	if (h->num_snapshots &&
	    (h->snapshots_off % cluster || !h->snapshots_off || h->snapshots_off >= file_bytes))
		return err_set(err, -EINVAL, "the snapshot table lies outside of the file");
	return 0;
}

static int parse_bitmaps(struct qc_header *h, const u8 *p, u32 len, struct hk_err *err)
{
	if (len < 24)
		return err_set(err, -EINVAL, "a bitmap extension of %u bytes", len);
	h->num_bitmaps = __builtin_bswap32(load_le32(p));
	h->bitmaps_bytes = __builtin_bswap64(load_le64(p + 8));
	h->bitmaps_off = __builtin_bswap64(load_le64(p + 16));
	return 0;
}

/* Extensions and the backing file's name fill what is left of the first cluster */
static int parse_rest(struct qc_header *h, const struct qc_header_w *w, const u8 *head, u64 have,
		      struct hk_err *err)
{
	u64 name_off = be64_get(w->backing_off), at = h->header_len;
	u32 name_len = be32_get(w->backing_len);
	u64 end = name_off ? name_off : have;

	if (name_off) {
		if (!name_len || name_len > QC_MAX_BACKING_NAME ||
		    !range_ok(name_off, name_len, have) || name_off < at)
			return err_set(err, -EINVAL,
				       "the backing file's name lies outside of the header");
		memcpy(h->backing_file, head + name_off, name_len);
		if (memchr(h->backing_file, 0, name_len))
			return err_set(err, -EINVAL, "the backing file's name has a zero byte");
	}
	while (range_ok(at, 8, end)) {
		u32 type = __builtin_bswap32(load_le32(head + at));
		u32 len = __builtin_bswap32(load_le32(head + at + 4));

		at += 8;
		if (type == EXT_END)
			break;
		if (!range_ok(at, len, end))
			return err_set(err, -EINVAL,
				       "a header extension lies outside of the header");
		if (type == EXT_BACKING_FORMAT) {
			if (len >= sizeof(h->backing_format))
				return err_set(err, -EINVAL,
					       "the backing file's format has %u letters", len);
			memcpy(h->backing_format, head + at, len);
			h->backing_format[len] = '\0';
		} else if (type == EXT_BITMAPS) {
			int rc = parse_bitmaps(h, head + at, len, err);

			if (rc)
				return rc;
		}
		at += ALIGN_UP(len, 8);
	}
	return 0;
}

int qc_header_read(struct img *child, struct qc_header *h, struct hk_err *err)
{
	u64 file = child->size_bytes, have;
	struct qc_header_w w;
	u8 *head = NULL;
	int rc;

	memset(h, 0, sizeof(*h));
	memset(&w, 0, sizeof(w));
	if (file < QC_V2_HEADER)
		return err_set(err, -EINVAL, "not a qcow2 image (%llu bytes)",
			       (unsigned long long)file);
	rc = img_pread(child, &w, 0, MIN(file, sizeof(w)));
	if (rc)
		return err_set(err, rc, "cannot read the header: %s", strerrordesc_np(-rc));
	rc = parse_numbers(h, &w, err);
	if (!rc)
		rc = check_features(h, err);
	if (!rc)
		rc = check_places(h, file, err);
	if (rc)
		return rc;
	have = MIN(file, 1ull << h->cluster_bits);
	head = malloc(have);
	if (!head)
		return err_set(err, -ENOMEM, "out of memory");
	rc = img_pread(child, head, 0, have);
	if (rc)
		rc = err_set(err, rc, "cannot read the header: %s", strerrordesc_np(-rc));
	else
		rc = parse_rest(h, &w, head, have, err);
	free(head);
	return rc;
}

/* Change @n bytes at @at, all in one sector; flushed before and after: what came before must be
 * there when this is, and this when something is built upon it */
static int put(struct qcow2 *q, u64 at, const void *bytes, u64 n)
{
	u64 start = ALIGN_DOWN(at, q->unit);
	u8 *sector;
	int rc;

	if (posix_memalign((void **)&sector, 4096, q->unit))
		return -ENOMEM;
	rc = qc_child_flush(q);
	if (!rc)
		rc = qc_child_read(q, sector, start, q->unit);
	if (!rc) {
		memcpy(sector + (at - start), bytes, n);
		rc = qc_child_write(q, sector, start, q->unit);
	}
	free(sector);
	return rc ? rc : qc_child_flush(q);
}

int qc_header_flags(struct qcow2 *q, u64 incompat, u64 autoclear)
{
	struct {
		be64 incompat, compat, autoclear;
	} w = { be64_of(incompat), be64_of(q->hdr.compat), be64_of(autoclear) };
	int rc;

	if (q->hdr.version < 3)
		return 0;
	rc = put(q, offsetof(struct qc_header_w, incompat), &w, sizeof(w));
	if (!rc) {
		q->hdr.incompat = incompat;
		q->hdr.autoclear = autoclear;
	}
	return rc;
}

int qc_header_l1(struct qcow2 *q, u64 off, u32 entries)
{
	struct {
		be32 l1_size;
		be64 l1_off;
	} PACKED w = { be32_of(entries), be64_of(off) };
	int rc = put(q, offsetof(struct qc_header_w, l1_size), &w, sizeof(w));

	if (!rc) {
		q->hdr.l1_off = off;
		q->hdr.l1_size = entries;
	}
	return rc;
}

int qc_header_reftable(struct qcow2 *q, u64 off, u32 clusters)
{
	struct {
		be64 off;
		be32 clusters;
	} PACKED w = { be64_of(off), be32_of(clusters) };
	int rc = put(q, offsetof(struct qc_header_w, reftable_off), &w, sizeof(w));

	if (!rc) {
		q->hdr.reftable_off = off;
		q->hdr.reftable_clusters = clusters;
	}
	return rc;
}

int qc_header_size(struct qcow2 *q, u64 bytes)
{
	be64 w = be64_of(bytes);
	int rc = put(q, offsetof(struct qc_header_w, size_bytes), &w, sizeof(w));

	if (!rc)
		q->hdr.size_bytes = bytes;
	return rc;
}

int qc_table_load(struct qcow2 *q, u64 off, u64 entries, u64 **out)
{
	u64 room = MAX(ALIGN_UP(entries * 8, q->cluster), q->cluster);
	u64 *t;
	int rc;

	*out = NULL;
	if (posix_memalign((void **)&t, 4096, room))
		return -ENOMEM;
	memset(t, 0, room);
	rc = qc_child_read(q, t, off, entries * 8);
	if (rc) {
		free(t);
		return rc;
	}
	for (u64 i = 0; i < entries; i++)
		t[i] = __builtin_bswap64(t[i]);
	*out = t;
	return 0;
}
