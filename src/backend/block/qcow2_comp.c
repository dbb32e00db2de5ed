// SPDX-License-Identifier: BSD-2-Clause
/* backend/block/qcow2_comp.c - Compressed clusters: read only
 *
 * qcow2: "Compressed Clusters Descriptor". zlib means raw deflate with a 12-bit window. The
 * length is that of whole sectors: what follows the compressed stream there is somebody
 * else's. The stream is hostile; both libraries are given the exact bounds. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "backend/block/qcow2.h"

static int inflate_raw(const u8 *in, u64 in_len, u8 *out, u64 out_len)
{
	z_stream z = { .next_in = (u8 *)in,
		       .avail_in = (uInt)in_len,
		       .next_out = out,
		       .avail_out = (uInt)out_len };
	int rc;

	if (inflateInit2(&z, -12) != Z_OK)
		return -ENOMEM;
	rc = inflate(&z, Z_FINISH);
	inflateEnd(&z);
	/* Z_BUF_ERROR: the output is full before the stream's end mark was seen */
	return (rc == Z_STREAM_END || rc == Z_BUF_ERROR) && !z.avail_out ? 0 : -EIO;
}

static int unpack_zstd(const u8 *in, u64 in_len, u8 *out, u64 out_len)
{
	ZSTD_inBuffer i = { .src = in, .size = in_len };
	ZSTD_outBuffer o = { .dst = out, .size = out_len };
	ZSTD_DCtx *d = ZSTD_createDCtx();
	size_t rc = 1;

	if (!d)
		return -ENOMEM;
	/* Frames of unknown length, so not ZSTD_decompress(); several may follow one another */
	while (o.pos < o.size && i.pos < i.size) {
		size_t before = o.pos + i.pos;

		rc = ZSTD_decompressStream(d, &o, &i);
		if (ZSTD_isError(rc) || o.pos + i.pos == before)
			break;
	}
	ZSTD_freeDCtx(d);
	return o.pos == o.size && !ZSTD_isError(rc) ? 0 : -EIO;
}

int qc_unpack(struct qcow2 *q, const struct qc_map *m, u8 *out)
{
	u8 *in;
	int rc;

	/* At most 2^(cluster_bits - 8) sectors: twice the cluster */
	in = malloc(m->packed_len);
	if (!in)
		return -ENOMEM;
	rc = qc_child_read(q, in, m->host, m->packed_len);
	if (!rc && q->hdr.compression)
		rc = unpack_zstd(in, m->packed_len, out, q->cluster);
	else if (!rc)
		rc = inflate_raw(in, m->packed_len, out, q->cluster);
	free(in);
	return rc;
}
