// SPDX-License-Identifier: BSD-2-Clause
/* backend/char/ring.c - A file that holds the last 64 KiB of output
 *
 * No header and no cursor: byte n of the output is at n mod 65536, unwritten bytes are
 * NUL; readers of HyperKit's console-ring find the seam themselves. Written with pwrite
 * and not through a mapping, because a store into a mapping of a file that somebody
 * truncated, or of one on a full disk, is a SIGBUS. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "backend/char/chr_int.h"
#include "base/err.h"

#define RING_BYTES 65536u

int chr_ring_open(struct chr_ring *r, const char *path, struct hk_err *err)
{
	int rc;

	r->next = 0;
	r->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (r->fd < 0)
		return err_set(err, -errno, "ring log %s: %s", path, strerrordesc_np(errno));
	if (ftruncate(r->fd, RING_BYTES)) {
		rc = err_set(err, -errno, "ring log %s: %s", path, strerrordesc_np(errno));
		chr_ring_close(r);
		return rc;
	}
	return 0;
}

void chr_ring_close(struct chr_ring *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}

void chr_ring_put(struct chr_ring *r, const u8 *bytes, size_t n)
{
	size_t part;

	while (n && r->fd >= 0) {
		part = MIN(n, RING_BYTES - r->next);
		/* A log that cannot be written must not hurt the guest */
		ssize_t done UNUSED = pwrite(r->fd, bytes, part, r->next);

		r->next = (u32)(r->next + part) % RING_BYTES;
		bytes += part;
		n -= part;
	}
}
