// SPDX-License-Identifier: BSD-2-Clause
/* device/virtio/iov.c - Bytes of iovecs, and of a chain's two halves [any] */
#include <errno.h>
#include <string.h>

#include "device/virtio/vq.h"

size_t iov_bytes(const struct iovec *iov, unsigned n)
{
	size_t sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

enum iov_op { IOV_READ, IOV_WRITE, IOV_ZERO };

static size_t iov_copy(const struct iovec *iov, unsigned n, size_t off, void *buf, size_t len,
		       enum iov_op op)
{
	u8 *b = buf;
	size_t done = 0;

	for (unsigned i = 0; i < n && done < len; i++) {
		size_t room = iov[i].iov_len, now;
		u8 *p = iov[i].iov_base;

		if (off >= room) {
			off -= room;
			continue;
		}
		now = MIN(room - off, len - done);
		if (op == IOV_READ)
			memcpy(b + done, p + off, now);
		else if (op == IOV_WRITE)
			memcpy(p + off, b + done, now);
		else
			memset(p + off, 0, now);
		done += now;
		off = 0;
	}
	return done;
}

size_t iov_read(const struct iovec *iov, unsigned n, size_t off, void *buf, size_t len)
{
	return iov_copy(iov, n, off, buf, len, IOV_READ);
}

size_t iov_write(const struct iovec *iov, unsigned n, size_t off, const void *buf, size_t len)
{
	return iov_copy(iov, n, off, (void *)buf, len, IOV_WRITE);
}

int iov_slice(const struct iovec *iov, unsigned n, size_t off, size_t len, struct iovec *to,
	      unsigned max)
{
	unsigned count = 0;

	for (unsigned i = 0; i < n && len; i++) {
		struct iovec v = iov[i]; /* before @to, which may be @iov, is written */

		if (off >= v.iov_len) {
			off -= v.iov_len;
			continue;
		}
		if (count == max)
			return -E2BIG;
		v.iov_base = (u8 *)v.iov_base + off;
		v.iov_len = MIN(v.iov_len - off, len);
		len -= v.iov_len;
		off = 0;
		to[count++] = v;
	}
	return (int)count;
}

size_t vq_read(const struct vq_chain *c, size_t off, void *buf, size_t len)
{
	return iov_copy(c->out, c->num_out, off, buf, len, IOV_READ);
}

size_t vq_write(struct vq_chain *c, size_t off, const void *buf, size_t len)
{
	return iov_copy(c->in, c->num_in, off, (void *)buf, len, IOV_WRITE);
}

size_t vq_write_zero(struct vq_chain *c, size_t off, size_t len)
{
	return iov_copy(c->in, c->num_in, off, NULL, len, IOV_ZERO);
}
