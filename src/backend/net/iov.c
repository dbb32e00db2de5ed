// SPDX-License-Identifier: BSD-2-Clause
/* backend/net/iov.c - Copies between one piece of memory and the guest's many [any] */
#include "backend/net/net_int.h"

size_t net_iov_bytes(const struct iovec *iov, unsigned cnt)
{
	size_t sum = 0;

	for (unsigned i = 0; i < cnt; i++)
		sum += iov[i].iov_len;
	return sum;
}

void net_iov_read(const struct iovec *iov, unsigned cnt, void *buf)
{
	u8 *to = buf;

	for (unsigned i = 0; i < cnt; i++) {
		memcpy(to, iov[i].iov_base, iov[i].iov_len);
		to += iov[i].iov_len;
	}
}

void net_iov_write(const struct iovec *iov, unsigned cnt, const void *buf, size_t len)
{
	const u8 *from = buf;

	for (unsigned i = 0; i < cnt && len; i++) {
		size_t n = MIN(len, iov[i].iov_len);

		memcpy(iov[i].iov_base, from, n);
		from += n;
		len -= n;
	}
}
