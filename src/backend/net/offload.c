// SPDX-License-Identifier: BSD-2-Clause
/* backend/net/offload.c - Checksums that a guest left to its network card [any] */
#include <errno.h>

#include "backend/net/net_int.h"

u32 net_csum_add(u32 start, const u8 *p, size_t len)
{
	u64 sum = start, carry = 0, x;

	/* RFC 1071, 2 (B) and (C): any byte order and any width sum to the same */
	while (len >= 8) {
		memcpy(&x, p, 8);
		sum += x;
		carry += sum < x;
		p += 8;
		len -= 8;
	}
	if (len) {
		x = 0;
		memcpy(&x, p, len);
		sum += x;
		carry += sum < x;
	}
	sum = (sum & 0xffffffff) + (sum >> 32) + carry;
	sum = (sum & 0xffffffff) + (sum >> 32);
	return (u32)((sum & 0xffffffff) + (sum >> 32));
}

u16 net_csum_fold(u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (u16)~sum;
}

int net_complete_csum(const struct net_hdr *h, u8 *frame, size_t len)
{
	size_t start = le16_get(h->csum_start), offset = le16_get(h->csum_offset);
	u16 sum;

	if (!(h->flags & NET_HDR_NEEDS_CSUM))
		return 0;
	if (start > len || offset + 2 > len - start)
		return -EINVAL;
	/* The field holds the sum of the pseudo header already (virtio 1.2, 5.1.6.2) */
	sum = net_csum_fold(net_csum_add(0, frame + start, len - start));
	if (!sum)
		sum = 0xffff; /* in UDP 0 means "none"; in TCP both are the same number */
	memcpy(frame + start + offset, &sum, 2);
	return 0;
}
