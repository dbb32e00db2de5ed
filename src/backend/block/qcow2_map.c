// SPDX-License-Identifier: BSD-2-Clause
/* backend/block/qcow2_map.c - Guest cluster -> place in the file
 *
 * qcow2: "Cluster mapping". L1 is in memory, L2 tables come through the cache. An entry that
 * points where it may not (unaligned, outside of the file, at metadata) is an I/O error. */
#include <errno.h>
#include <string.h>

#include "backend/block/qcow2.h"
#include "base/range.h"

static u64 l2_index(const struct qcow2 *q, u64 cluster)
{
	return cluster & (BIT64(q->l2_bits) - 1);
}

static u64 entry_at(const struct qc_table *t, u64 index)
{
	return __builtin_bswap64(load_le64(t->data + index * 8));
}

/* qcow2: "Compressed Clusters Descriptor": x = 62 - (cluster_bits - 8) bits of offset, then the
 * number of further sectors */
static int parse_packed(const struct qcow2 *q, u64 entry, struct qc_map *m)
{
	unsigned x = 62 - (q->hdr.cluster_bits - 8);
	u64 sectors = ((entry & ~(QC_COPIED | QC_COMPRESSED)) >> x) + 1;

	m->what = QC_PACKED;
	m->copied = false;
	m->host = entry & (BIT64(x) - 1);
	m->packed_len = sectors * 512 - m->host % 512;
	m->num = 1;
	return m->host && m->host < q->file_bytes ? 0 : -EIO;
}

int qc_entry_parse(const struct qcow2 *q, u64 entry, struct qc_map *m)
{
	if (entry & QC_COMPRESSED)
		return parse_packed(q, entry, m);
	m->host = entry & QC_OFFSET;
	m->copied = entry & QC_COPIED;
	m->num = 1;
	if (q->hdr.version >= 3 && (entry & QC_ZERO))
		m->what = m->host ? QC_KEPT_ZERO : QC_PLAIN_ZERO;
	else
		m->what = m->host ? QC_DATA : QC_NOTHING;
	if (m->host % q->cluster)
		return -EIO;
	/* The last cluster may be cut short, and what is missing is zeros */
	return !m->host || m->host < ALIGN_UP(q->file_bytes, q->cluster) ? 0 : -EIO;
}

static int l2_off(struct qcow2 *q, u64 first, u64 *off)
{
	u64 i = first >> q->l2_bits;

	if (i >= q->hdr.l1_size)
		return -EIO;
	*off = q->l1[i] & QC_OFFSET;
	if (*off % q->cluster)
		return qc_corrupt_locked(q, "an L1 entry is not aligned", q->l1[i]);
	return 0;
}

static int walk(struct qcow2 *q, const struct qc_table *t, u64 first, u64 max, struct qc_map *m)
{
	u64 i = l2_index(q, first), end = MIN(BIT64(q->l2_bits), i + max);
	int rc = qc_entry_parse(q, entry_at(t, i), m);

	if (rc)
		return qc_corrupt_locked(q, "an L2 entry points nowhere", entry_at(t, i));
	if (m->what == QC_PACKED)
		return 0;
	while (i + m->num < end) {
		struct qc_map next;

		if (qc_entry_parse(q, entry_at(t, i + m->num), &next) || next.what != m->what ||
		    next.copied != m->copied)
			break;
		if (m->what == QC_DATA && next.host != m->host + (m->num << q->hdr.cluster_bits))
			break;
		m->num++;
	}
	return 0;
}

static void nothing(struct qcow2 *q, u64 first, u64 max, struct qc_map *m)
{
	memset(m, 0, sizeof(*m));
	m->num = MIN(max, BIT64(q->l2_bits) - l2_index(q, first));
}

int qc_lookup_locked(struct qcow2 *q, u64 first, u64 max, struct qc_map *m)
{
	struct qc_table *t;
	u64 off;
	int rc = l2_off(q, first, &off);

	if (rc)
		return rc;
	if (!off) {
		nothing(q, first, max, m);
		return 0;
	}
	rc = qc_cache_get_locked(q, off, QC_L2, &t);
	return rc ? rc : walk(q, t, first, max, m);
}

bool qc_lookup_fast_locked(struct qcow2 *q, u64 first, u64 max, struct qc_map *m)
{
	struct qc_table *t;
	u64 off;

	if (l2_off(q, first, &off) || !off)
		return false;
	t = qc_cache_peek_locked(q, off);
	return t && t->kind == QC_L2 && !walk(q, t, first, max, m);
}

static void l1_set(struct qcow2 *q, u64 i, u64 entry)
{
	u64 unit = i * 8 / q->unit;

	q->l1[i] = entry;
	q->l1_dirty[unit / 64] |= BIT64(unit % 64);
	q->l1_is_dirty = true;
}

int qc_l2_prepare_locked(struct qcow2 *q, u64 first, struct qc_table **out)
{
	u64 i = first >> q->l2_bits, old, off, got;
	struct qc_table *t, *from = NULL;
	int rc = l2_off(q, first, &old);

	*out = NULL;
	if (rc)
		return rc;
	if (old && (q->l1[i] & QC_COPIED))
		return qc_cache_get_locked(q, old, QC_L2, out);
	rc = qc_alloc_locked(q, 1, true, &off, &got);
	if (rc)
		return rc;
	q->fresh = MAX(q->fresh, (off >> q->hdr.cluster_bits) + 1);
	rc = qc_meta_mark_locked(q, off, 1, true);
	if (!rc)
		rc = qc_cache_new_locked(q, off, QC_L2, &t);
	if (!rc && old)
		rc = qc_cache_get_locked(q, old, QC_L2, &from);
	if (rc) {
		qc_cache_forget_locked(q, off);
		qc_unalloc_locked(q, off, 1);
		return rc;
	}
	if (old) {
		/* A snapshot shares the old one: its clusters are counted for both already */
		memcpy(t->data, from->data, q->cluster);
		qc_free_locked(q, old, 1);
	}
	l1_set(q, i, off | QC_COPIED);
	*out = t;
	return 0;
}

/* Clusters of the file that an old entry refers to */
static void free_entry(struct qcow2 *q, u64 entry)
{
	struct qc_map m;

	if (qc_entry_parse(q, entry, &m))
		return;
	if (m.what == QC_PACKED) {
		u64 first = ALIGN_DOWN(m.host, q->cluster);
		u64 last = ALIGN_DOWN(m.host + m.packed_len - 1, q->cluster);

		/* The last sectors are a bound; clusters beyond the end were never there */
		last = MIN(last, ALIGN_DOWN(q->file_bytes - 1, q->cluster));
		qc_free_locked(q, first, ((last - first) >> q->hdr.cluster_bits) + 1);
	} else if (m.host) {
		qc_free_locked(q, m.host, 1);
	}
}

int qc_entry_set_locked(struct qcow2 *q, u64 at, u64 entry)
{
	struct qc_table *t;
	u64 i = l2_index(q, at), old;
	int rc = qc_l2_prepare_locked(q, at, &t);

	if (rc)
		return rc;
	old = entry_at(t, i);
	if (old == entry)
		return 0;
	store_le64(t->data + i * 8, __builtin_bswap64(entry));
	qc_cache_dirty_locked(q, t, i * 8, 8);
	if ((old & QC_OFFSET) != (entry & QC_OFFSET) || (old & QC_COMPRESSED))
		free_entry(q, old);
	return 0;
}
