// SPDX-License-Identifier: BSD-2-Clause
/* backend/block/qcow2_snapshot.c - Internal snapshots: left as they are
 *
 * qcow2: "Snapshots". We neither make, load nor delete them; we must know which clusters
 * they hold. Entries have variable length, so the table is walked. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/block/qcow2.h"

struct snapshot_w {
	be64 l1_off;
	be32 l1_size;
	be16 id_len, name_len;
	be32 date_s, date_ns;
	be64 vm_clock_ns;
	be32 vm_state_bytes, extra_len;
};
_Static_assert(sizeof(struct snapshot_w) == 40, "qcow2: Snapshots");

int qc_snapshots_read(struct qcow2 *q, struct qc_snapshot **out, u64 *bytes)
{
	u64 at = q->hdr.snapshots_off, start = at;
	struct qc_snapshot *s;

	*out = NULL;
	*bytes = 0;
	if (!q->hdr.num_snapshots)
		return 0;
	s = calloc(q->hdr.num_snapshots, sizeof(*s));
	if (!s)
		return -ENOMEM;
	for (u32 n = 0; n < q->hdr.num_snapshots; n++) {
		struct snapshot_w w;
		u64 len;
		int rc = qc_child_read(q, &w, at, sizeof(w));

		len = sizeof(w) + (u64)be32_get(w.extra_len) + be16_get(w.id_len) +
		      be16_get(w.name_len);
		s[n].l1_off = be64_get(w.l1_off);
		s[n].l1_size = be32_get(w.l1_size);
		if (!rc && (be32_get(w.extra_len) > 1024 || s[n].l1_size > QC_MAX_L1_BYTES / 8 ||
			    s[n].l1_off % q->cluster || s[n].l1_off >= q->file_bytes ||
			    at - start + len > QC_MAX_SNAPSHOT_BYTES || at >= q->file_bytes))
			rc = -EINVAL;
		if (rc) {
			free(s);
			return rc;
		}
		at += ALIGN_UP(len, 8);
	}
	*out = s;
	*bytes = at - start;
	return 0;
}
