// SPDX-License-Identifier: BSD-2-Clause
/* backend/block/qcow2_repair.c - Refcounts made anew
 *
 * The old ones are not mended but replaced: new blocks and a new table are written
 * behind everything that is in use, and one header write makes them the valid ones. A power
 * cut leaves the old state or the new. Then the copied flags are made to agree. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/block/qcow2.h"

struct layout {
	u64 blocks, table; /* clusters; blocks first */
};

/* Blocks describe clusters 0 .. end, themselves and the table */
static int plan(const struct qcow2 *q, u64 end, struct layout *l)
{
	u64 per = BIT64(q->refs_bits), per_table = q->cluster / 8;

	l->blocks = l->table = 1;
	for (;;) {
		u64 blocks = (end + l->blocks + l->table + per - 1) / per;
		u64 table = (blocks + per_table - 1) / per_table;

		if (blocks <= l->blocks && table <= l->table)
			break;
		l->blocks = MAX(blocks, l->blocks);
		l->table = MAX(table, l->table);
	}
	return l->table << q->hdr.cluster_bits > QC_MAX_REFTABLE_BYTES ? -EFBIG : 0;
}

static u32 count_of(const struct qcow2 *q, const u32 *counts, u64 num, u64 end,
		    const struct layout *l, u64 c)
{
	u64 max = q->hdr.refcount_order >= 5 ? UINT32_MAX
					     : (1ull << (1u << q->hdr.refcount_order)) - 1;

	if (c >= end && c < end + l->blocks + l->table)
		return 1;
	return c < num ? (u32)MIN(counts[c], max) : 0;
}

static int write_blocks(struct qcow2 *q, const u32 *counts, u64 num, u64 end,
			const struct layout *l)
{
	u64 per = BIT64(q->refs_bits);
	u8 *block;
	be64 *table;
	int rc = 0;

	if (posix_memalign((void **)&block, 4096, q->cluster))
		return -ENOMEM;
	if (posix_memalign((void **)&table, 4096, l->table << q->hdr.cluster_bits)) {
		free(block);
		return -ENOMEM;
	}
	memset(table, 0, l->table << q->hdr.cluster_bits);
	for (u64 b = 0; b < l->blocks && !rc; b++) {
		memset(block, 0, q->cluster);
		for (u64 i = 0; i < per; i++)
			qc_refs_store(block, q->hdr.refcount_order, i,
				      count_of(q, counts, num, end, l, b * per + i));
		table[b] = be64_of((end + b) << q->hdr.cluster_bits);
		rc = qc_child_write(q, block, (end + b) << q->hdr.cluster_bits, q->cluster);
	}
	if (!rc)
		rc = qc_child_write(q, table, (end + l->blocks) << q->hdr.cluster_bits,
				    l->table << q->hdr.cluster_bits);
	free(block);
	free(table);
	return rc;
}

static u64 with_flag(u64 entry, bool one)
{
	return one ? entry | QC_COPIED : entry & ~QC_COPIED;
}

static int flag_l2(struct qcow2 *q, const u32 *counts, u64 num, u64 off, u64 *t)
{
	bool changed = false;
	int rc = qc_child_read(q, t, off, q->cluster);

	if (rc)
		return rc;
	for (u64 i = 0; i < BIT64(q->l2_bits); i++) {
		u64 entry = __builtin_bswap64(t[i]), want = entry;
		struct qc_map m;

		if (!entry || qc_entry_parse(q, entry, &m))
			continue;
		if (m.what == QC_PACKED)
			want = entry & ~QC_COPIED;
		else if (m.host && m.host >> q->hdr.cluster_bits < num)
			want = with_flag(entry, counts[m.host >> q->hdr.cluster_bits] == 1);
		if (want != entry) {
			t[i] = __builtin_bswap64(want);
			changed = true;
		}
	}
	return changed ? qc_child_write(q, t, off, q->cluster) : 0;
}

static int flag_all(struct qcow2 *q, const u32 *counts, u64 num)
{
	u64 bytes = ALIGN_UP(MAX(q->hdr.l1_size * 8ull, 8), q->unit);
	be64 *l1;
	u64 *t;
	int rc = 0;

	if (posix_memalign((void **)&t, 4096, q->cluster))
		return -ENOMEM;
	if (posix_memalign((void **)&l1, 4096, bytes)) {
		free(t);
		return -ENOMEM;
	}
	memset(l1, 0, bytes);
	for (u32 i = 0; i < q->hdr.l1_size && !rc; i++) {
		u64 off = q->l1[i] & QC_OFFSET, c = off >> q->hdr.cluster_bits;

		if (off && c < num && !(off % q->cluster)) {
			q->l1[i] = with_flag(q->l1[i], counts[c] == 1);
			rc = flag_l2(q, counts, num, off, t);
		}
		l1[i] = be64_of(q->l1[i]);
	}
	if (!rc && q->hdr.l1_size)
		rc = qc_child_write(q, l1, q->hdr.l1_off, bytes);
	free(t);
	free(l1);
	return rc;
}

int qc_rebuild(struct qcow2 *q, u32 *counts, u64 num, u64 end)
{
	struct layout l;
	int rc = plan(q, end, &l);

	if (!rc)
		rc = write_blocks(q, counts, num, end, &l);
	if (!rc)
		rc = qc_header_reftable(q, (end + l.blocks) << q->hdr.cluster_bits, (u32)l.table);
	if (!rc)
		rc = flag_all(q, counts, num);
	if (rc)
		return rc;
	q->file_bytes = MAX(q->file_bytes, (end + l.blocks + l.table) << q->hdr.cluster_bits);
	if (q->fresh != UINT64_MAX)
		q->fresh = MAX(q->fresh, end + l.blocks + l.table);
	return qc_child_flush(q);
}
