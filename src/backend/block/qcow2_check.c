// SPDX-License-Identifier: BSD-2-Clause
/* backend/block/qcow2_check.c - Is all metadata consistent
 *
 * Walks everything that refers to clusters, counts the references, and compares with the
 * refcounts. More references than counted: a corruption, since such a cluster would be given
 * out again. Fewer: a leak. Tables are read from the file, not through the cache; changes in
 * memory are committed first. [setup] */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/block/qcow2.h"
#include "base/range.h"

#define MAX_CLUSTERS (1ull << 28)

struct walk {
	struct qcow2 *q;
	struct img_report *r;
	unsigned fix;
	u32 *counts; /* references found */
	u64 num;     /* clusters of the file */
	u64 *table;  /* an L2 table or refcount block */
	bool changed;
	u64 unsaid; /* corruptions that only new refcounts mend */
};

static void bad(struct walk *w, const char *what, u64 where)
{
	w->r->corruptions++;
	img_report_line(w->r, "error: %s at 0x%llx", what, (unsigned long long)where);
}

/* One more reference to each cluster that [off, off + bytes) touches. false: not in the file */
static bool refer(struct walk *w, u64 off, u64 bytes, const char *what)
{
	u64 first, last;

	if (!bytes)
		return true;
	if (!range_ok(off, bytes, w->num << w->q->hdr.cluster_bits)) {
		bad(w, what, off);
		return false;
	}
	first = off >> w->q->hdr.cluster_bits;
	last = (off + bytes - 1) >> w->q->hdr.cluster_bits;
	for (u64 c = first; c <= last; c++)
		if (w->counts[c] != UINT32_MAX)
			w->counts[c]++;
	return true;
}

static int read_table(struct walk *w, u64 off)
{
	return qc_child_read(w->q, w->table, off, w->q->cluster);
}

static void check_copied(struct walk *w, u64 entry, u64 host, bool active, const char *what)
{
	u64 n;

	if (!active)
		return;
	pthread_mutex_lock(&w->q->lock);
	if (qc_refcount_get_locked(w->q, host >> w->q->hdr.cluster_bits, &n))
		n = 0;
	pthread_mutex_unlock(&w->q->lock);
	if (n != 1 && (entry & QC_COPIED)) {
		bad(w, what, host);
		w->unsaid++;
	} else if (n == 1 && !(entry & QC_COPIED)) {
		/* Costs a copy at the next write and does no harm */
		w->r->leaks++;
		img_report_line(w->r, "leak: no copied flag at 0x%llx, which has refcount 1",
				(unsigned long long)host);
	}
}

static void check_packed(struct walk *w, const struct qc_map *m)
{
	u64 end = w->num << w->q->hdr.cluster_bits;

	w->r->clusters_used++;
	w->r->clusters_compressed++;
	/* Its length is rounded up and may reach beyond the end */
	refer(w, m->host, m->host < end ? MIN(m->packed_len, end - m->host) : m->packed_len,
	      "compressed data outside of the file");
}

/* Return: entries of the table that had to be cleared */
static unsigned check_l2_table(struct walk *w, u64 off, bool active)
{
	struct qcow2 *q = w->q;
	unsigned cleared = 0;

	for (u64 i = 0; i < BIT64(q->l2_bits); i++) {
		u64 entry = __builtin_bswap64(w->table[i]);
		struct qc_map m;
		int rc;

		if (!entry)
			continue;
		rc = qc_entry_parse(q, entry, &m);
		if (!rc && m.what == QC_PACKED) {
			check_packed(w, &m);
			if (entry & QC_COPIED)
				bad(w, "compressed cluster with the copied flag", entry);
			continue;
		}
		if (!rc && (entry & QC_L2_RESERVED & ~(q->hdr.version >= 3 ? QC_ZERO : 0)))
			rc = -EINVAL;
		if (!rc && !m.host)
			continue;
		if (!rc && qc_is_meta_locked(q, m.host, 1)) {
			bad(w, "guest data and metadata in one cluster", m.host);
		} else if (!rc) {
			w->r->clusters_used++;
			if (refer(w, m.host, q->cluster, "guest data outside of the file")) {
				check_copied(w, entry, m.host, active,
					     "copied flag of guest data contradicts its refcount");
				continue;
			}
		} else {
			bad(w, "an L2 entry that points nowhere", off + i * 8);
		}
		if (w->fix & IMG_FIX_ERRORS) {
			w->table[i] = 0;
			cleared++;
		}
	}
	return cleared;
}

/* An L1 table, active or a snapshot's. @fixed: set when an entry was cleared */
static int check_l1(struct walk *w, u64 *l1, u32 entries, bool active, bool *fixed)
{
	struct qcow2 *q = w->q;

	for (u32 i = 0; i < entries; i++) {
		u64 off = l1[i] & QC_OFFSET;
		bool fits;
		int rc;

		if (!l1[i])
			continue;
		fits = !(off % q->cluster) && off && !(l1[i] & QC_L1_RESERVED);
		if (!fits)
			bad(w, "an L1 entry that points nowhere", l1[i]);
		if (!fits || !refer(w, off, q->cluster, "an L2 table outside of the file")) {
			if (w->fix & IMG_FIX_ERRORS) {
				l1[i] = 0;
				*fixed = true;
			}
			continue;
		}
		/* One L1 table has it once; else a small file could keep us busy for ever */
		if (w->counts[off >> q->hdr.cluster_bits] > q->hdr.num_snapshots + 1) {
			bad(w, "an L2 table that is referred to too often", off);
			continue;
		}
		check_copied(w, l1[i], off, active,
			     "copied flag of an L2 table contradicts its refcount");
		rc = read_table(w, off);
		if (rc)
			return rc;
		if (check_l2_table(w, off, active)) {
			rc = qc_child_write(q, w->table, off, q->cluster);
			if (rc)
				return rc;
			w->changed = true;
		}
	}
	return 0;
}

static int store_l1(struct walk *w)
{
	struct qcow2 *q = w->q;
	u64 bytes = ALIGN_UP(q->hdr.l1_size * 8ull, q->unit);
	be64 *t;
	int rc;

	if (posix_memalign((void **)&t, 4096, bytes))
		return -ENOMEM;
	memset(t, 0, bytes);
	for (u32 i = 0; i < q->hdr.l1_size; i++)
		t[i] = be64_of(q->l1[i]);
	rc = qc_child_write(q, t, q->hdr.l1_off, bytes);
	free(t);
	w->changed = true;
	return rc;
}

static int check_snapshots(struct walk *w)
{
	struct qcow2 *q = w->q;
	struct qc_snapshot *s;
	u64 bytes;
	int rc;

	if (!q->hdr.num_snapshots)
		return 0;
	rc = qc_snapshots_read(q, &s, &bytes);
	if (rc) {
		bad(w, "the snapshot table is damaged", q->hdr.snapshots_off);
		return 0;
	}
	refer(w, q->hdr.snapshots_off, bytes, "the snapshot table outside of the file");
	for (u32 i = 0; i < q->hdr.num_snapshots && !rc; i++) {
		bool fixed = false;
		u64 *l1;

		if (!s[i].l1_size || !refer(w, s[i].l1_off, s[i].l1_size * 8ull,
					    "a snapshot's L1 table outside of the file"))
			continue;
		if (w->counts[s[i].l1_off >> q->hdr.cluster_bits] > 1) {
			bad(w, "a snapshot's L1 table overlaps something", s[i].l1_off);
			continue;
		}
		rc = qc_table_load(q, s[i].l1_off, s[i].l1_size, &l1);
		if (!rc)
			rc = check_l1(w, l1, s[i].l1_size, false, &fixed);
		free(l1);
	}
	free(s);
	return rc;
}

/* qcow2: "Bitmaps": a directory, for each bitmap a table, for each part of it a cluster */
static int check_bitmaps(struct walk *w)
{
	struct qcow2 *q = w->q;
	u64 at = q->hdr.bitmaps_off, end = at + q->hdr.bitmaps_bytes;
	int rc = 0;

	if (!(q->hdr.autoclear & QC_AUTOCLEAR_BITMAPS) || !q->hdr.num_bitmaps)
		return 0;
	if (end < at ||
	    !refer(w, at, q->hdr.bitmaps_bytes, "the bitmap directory outside of the file"))
		return 0;
	for (u32 n = 0; n < q->hdr.num_bitmaps && !rc; n++) {
		struct {
			be64 table_off;
			be32 table_size, flags;
			u8 type, granularity;
			be16 name_len;
			be32 extra_len;
		} e;
		u64 *table, entries;

		if (!range_ok(at, sizeof(e), end)) {
			bad(w, "the bitmap directory is damaged", at);
			return 0;
		}
		rc = qc_child_read(q, &e, at, sizeof(e));
		if (rc)
			return rc;
		at += ALIGN_UP(sizeof(e) + be16_get(e.name_len) + (u64)be32_get(e.extra_len), 8);
		entries = be32_get(e.table_size);
		if (!entries || !refer(w, be64_get(e.table_off), entries * 8,
				       "a bitmap's table outside of the file"))
			continue;
		if (w->counts[be64_get(e.table_off) >> q->hdr.cluster_bits] > 1) {
			bad(w, "a bitmap's table overlaps something", be64_get(e.table_off));
			continue;
		}
		rc = qc_table_load(q, be64_get(e.table_off), entries, &table);
		for (u64 i = 0; i < entries && !rc; i++)
			if (table[i] & QC_OFFSET)
				refer(w, table[i] & QC_OFFSET, q->cluster,
				      "a bitmap outside of the file");
		free(table);
	}
	return rc;
}

/* Everything but the refcounts themselves */
static int count_data(struct walk *w)
{
	struct qcow2 *q = w->q;
	bool fixed = false;
	int rc;

	refer(w, 0, q->cluster, "the header outside of the file");
	refer(w, q->hdr.l1_off, q->hdr.l1_size * 8ull, "the L1 table outside of the file");
	rc = check_l1(w, q->l1, q->hdr.l1_size, true, &fixed);
	if (!rc && fixed)
		rc = store_l1(w);
	if (!rc)
		rc = check_snapshots(w);
	if (!rc)
		rc = check_bitmaps(w);
	return rc;
}

/* ...and those. @end: one after the last cluster that anything lies in */
static u64 count_refs(struct walk *w)
{
	struct qcow2 *q = w->q;
	u64 end = 0;

	refer(w, q->hdr.reftable_off, (u64)q->hdr.reftable_clusters << q->hdr.cluster_bits,
	      "the refcount table outside of the file");
	for (u64 i = 0; i < q->num_reftable; i++) {
		if (!q->reftable[i])
			continue;
		if (q->reftable[i] % q->cluster) {
			bad(w, "a refcount block that is not aligned", q->reftable[i]);
			w->unsaid++;
		} else if (!refer(w, q->reftable[i], q->cluster,
				  "a refcount block outside of the file")) {
			w->unsaid++;
		}
	}
	for (u64 c = 0; c < w->num; c++)
		if (w->counts[c])
			end = c + 1;
	return end;
}

static void differ(struct walk *w, u64 cluster, u64 have, u64 want)
{
	if (want > have) {
		w->r->corruptions++;
		w->unsaid++;
		img_report_line(w->r, "error: cluster %llu has refcount %llu and %llu references",
				(unsigned long long)cluster, (unsigned long long)have,
				(unsigned long long)want);
	} else {
		w->r->leaks++;
		img_report_line(w->r, "leak: cluster %llu has refcount %llu and %llu references",
				(unsigned long long)cluster, (unsigned long long)have,
				(unsigned long long)want);
	}
}

static int compare(struct walk *w)
{
	struct qcow2 *q = w->q;
	u64 per = BIT64(q->refs_bits), blocks = (w->num + per - 1) >> q->refs_bits;

	for (u64 b = 0; b < MAX(blocks, q->num_reftable); b++) {
		u64 off = b < q->num_reftable ? q->reftable[b] : 0;
		bool usable = off && !(off % q->cluster) && off >> q->hdr.cluster_bits < w->num;
		int rc = usable ? read_table(w, off) : 0;

		if (rc)
			return rc;
		if (!usable && b >= blocks)
			continue;
		for (u64 i = 0; i < per; i++) {
			u64 c = b * per + i;
			u64 have = usable ? qc_refs_load((u8 *)w->table, q->hdr.refcount_order, i)
					  : 0;
			u64 want = c < w->num ? w->counts[c] : 0;

			if (have != want)
				differ(w, c, have, want);
		}
	}
	return 0;
}

/* Return: 0, and *@done whether anything was changed */
static int mend(struct walk *w, u64 end, bool *done)
{
	struct img_report *r = w->r;
	bool leaks = r->leaks && (w->fix & IMG_FIX_LEAKS);
	bool errors = w->unsaid && (w->fix & IMG_FIX_ERRORS);
	struct qcow2 *q = w->q;
	int rc;

	/* New counts mend both, so leaks alone are only mended when nothing else is wrong */
	if ((leaks && (!w->unsaid || errors)) || errors) {
		memset(w->counts, 0, w->num * sizeof(*w->counts));
		rc = count_data(&(struct walk){ .q = q,
						.counts = w->counts,
						.num = w->num,
						.table = w->table,
						.r = &(struct img_report){ 0 } });
		if (!rc)
			rc = qc_rebuild(q, w->counts, w->num, end);
		if (rc)
			return rc;
		w->changed = true;
	}
	*done = w->changed;
	if (!w->changed)
		return 0;
	qc_unload(q);
	q->failed = 0;
	q->warned = false;
	return qc_load(q, false, NULL);
}

/* Look, and with @fix mend */
static int look(struct qcow2 *q, unsigned fix, struct img_report *r, bool *mended)
{
	struct walk w = { .q = q, .r = r, .fix = fix, .num = qc_clusters(q, q->file_bytes) };
	u64 end;
	int rc;

	if (w.num > MAX_CLUSTERS)
		return -EFBIG;
	w.counts = calloc(w.num, sizeof(*w.counts));
	if (!w.counts || posix_memalign((void **)&w.table, 4096, q->cluster)) {
		free(w.counts);
		return -ENOMEM;
	}
	rc = count_data(&w);
	end = count_refs(&w);
	if (!rc)
		rc = compare(&w);
	r->clusters_total = qc_clusters(q, q->hdr.size_bytes);
	r->image_end_bytes = end << q->hdr.cluster_bits;
	if (!rc && fix)
		rc = mend(&w, end, mended);
	free(w.counts);
	free(w.table);
	return rc;
}

int qcow2_check(struct img *i, unsigned fix, struct img_report *r)
{
	struct qcow2 *q = qcow2_of(i);
	struct img_report left = { 0 };
	bool mended = false;
	int rc;

	if (!i->read_only && !q->failed) {
		rc = qcow2_flush(i);
		if (!rc)
			rc = qcow2_flush(i); /* what the first one freed */
		if (rc)
			return rc;
	}
	rc = look(q, fix, r, &mended);
	if (rc || !fix)
		return rc;
	/* Not all can be mended (a refcount of 1 bit for two references): say what really was */
	if (mended)
		rc = look(q, 0, &left, NULL);
	else
		left = *r;
	if (rc)
		return rc;
	r->corruptions_fixed = r->corruptions > left.corruptions ? r->corruptions - left.corruptions
								 : 0;
	r->leaks_fixed = r->leaks > left.leaks ? r->leaks - left.leaks : 0;
	if (left.corruptions || !(q->hdr.incompat & (QC_INCOMPAT_DIRTY | QC_INCOMPAT_CORRUPT)))
		return 0;
	return qc_header_flags(q, q->hdr.incompat & ~(u64)(QC_INCOMPAT_DIRTY | QC_INCOMPAT_CORRUPT),
			       q->hdr.autoclear);
}
