// SPDX-License-Identifier: BSD-2-Clause
/* backend/net/user_frame.c - Large segments between a guest and libslirp
 *
 * libslirp ends TCP connections in this process, so nothing on the way limits the size of a
 * segment: one of 64 KiB costs as much work as one of 1460 bytes, in libslirp and in the guest.
 *
 * To libslirp: a guest with segmentation offload gives large segments as they are, and libslirp
 * takes them as they are; only the checksum is to be completed.
 *
 * To the guest: libslirp makes segments as large as the MSS that the guest announced in its
 * SYN. When the guest takes large segments (VIRTIO_NET_F_GUEST_TSO4/6), user_raise_mss() writes
 * a large number there, and what comes is marked as a large segment of pieces that fit the
 * guest's MTU, as a card that joins segments would mark it.
 *
 * What is not TCP and does not fit the guest's MTU is cut into fragments (RFC 791). [loop] */
#include "backend/net/user_int.h"

#define ETH 14u
#define IP4 0x0800
#define IP6 0x86dd
#define IP4_MIN 20u
#define IP6_HDR 40u
#define TCP_MIN 20u
#define PROTO_TCP 6
#define TCP_SYN 2
#define OPT_END 0
#define OPT_NOP 1
#define OPT_MSS 2
/* Half of the window that is possible without window scaling: two segments on their way */
#define BIG_MSS 32700u

static u16 get16(const u8 *p)
{
	return (u16)(p[0] << 8 | p[1]);
}

static void put16(u8 *p, unsigned v)
{
	p[0] = (u8)(v >> 8);
	p[1] = (u8)v;
}

/* Where the TCP header is; 0: it is not TCP, or a part of something */
static size_t tcp_at(const u8 *f, size_t len, bool *v6)
{
	size_t at;

	if (len < ETH + IP4_MIN)
		return 0;
	*v6 = get16(f + 12) == IP6;
	if (*v6) {
		if (f[ETH + 6] != PROTO_TCP)
			return 0;
		at = ETH + IP6_HDR;
	} else {
		if (get16(f + 12) != IP4 || f[ETH] >> 4 != 4 || f[ETH + 9] != PROTO_TCP ||
		    get16(f + ETH + 6) & 0x3fff)
			return 0;
		at = ETH + (f[ETH] & 15) * 4u;
	}
	return len >= at + TCP_MIN && at >= ETH + IP4_MIN ? at : 0;
}

void user_raise_mss(struct user *u, u8 *f, size_t len)
{
	bool v6;
	size_t at = tcp_at(f, len, &v6), end, p, size;
	u32 sum;

	if (!at || !(f[at + 13] & TCP_SYN) ||
	    !(u->net.features & (v6 ? NET_RX_TSO6 : NET_RX_TSO4)))
		return;
	end = MIN(len, at + (f[at + 12] >> 4) * 4u);
	for (p = at + TCP_MIN; p < end && f[p] != OPT_END; p += size) {
		size = f[p] == OPT_NOP ? 1 : p + 1 < end ? f[p + 1] : 0;
		if (!size || p + size > end)
			return;
		if (f[p] != OPT_MSS || size != 4)
			continue;
		/* RFC 1624, eqn. 3. A field at an odd place counts with its bytes swapped. */
		sum = (u16)~get16(f + at + 16);
		if ((p - at) & 1) {
			sum += (u16)~(u16)(f[p + 3] << 8 | f[p + 2]);
			sum += (BIG_MSS & 0xff) << 8 | BIG_MSS >> 8;
		} else {
			sum += (u16)~get16(f + p + 2);
			sum += BIG_MSS;
		}
		put16(f + p + 2, BIG_MSS);
		put16(f + at + 16, net_csum_fold(sum));
		return;
	}
}

/* Header and frame into the guest's queue, @head bytes of @frame, then @len of @rest */
static bool put(struct user *u, const struct net_hdr *h, const u8 *head, size_t head_len,
		const u8 *rest, size_t len)
{
	size_t hdr = u->net.hdr_len;
	u8 *to = net_fifo_reserve(&u->fifo, hdr + head_len + len);

	if (!to) {
		u->net.stats.rx_dropped++;
		return false;
	}
	memcpy(to, h, hdr);
	memcpy(to + hdr, head, head_len);
	memcpy(to + hdr + head_len, rest, len);
	net_fifo_commit(&u->fifo, hdr + head_len + len);
	return true;
}

/* The checksum field gets the sum of the pseudo header, as the guest's own stack would do it */
static void pseudo_sum(u8 *f, size_t at, size_t len, bool v6)
{
	u8 tail[4] = { 0, PROTO_TCP };
	u32 sum;
	u16 folded;

	put16(tail + 2, (unsigned)(len - at));
	sum = net_csum_add(0, v6 ? f + ETH + 8 : f + ETH + 12, v6 ? 32 : 8);
	folded = (u16)~net_csum_fold(net_csum_add(sum, tail, sizeof(tail)));
	memcpy(f + at + 16, &folded, 2);
}

static void large_segment(struct user *u, const u8 *f, size_t len, size_t at, bool v6)
{
	size_t head = MIN(len, at + (f[at + 12] >> 4) * 4u);
	struct net_hdr h = {
		.flags = NET_HDR_NEEDS_CSUM,
		.gso_type = v6 ? NET_HDR_GSO_TCPV6 : NET_HDR_GSO_TCPV4,
		.hdr_len = le16_of((u16)head),
		.gso_size = le16_of((u16)(u->net.mtu - (head - ETH))),
		.csum_start = le16_of((u16)at),
		.csum_offset = le16_of(16),
	};
	u8 copy[ETH + 60 + 60];

	if (head > sizeof(copy) || u->net.mtu <= head - ETH)
		return;
	memcpy(copy, f, head);
	pseudo_sum(copy, at, len, v6);
	put(u, &h, copy, head, f + head, len - head);
}

/* RFC 791, 3.2: pieces of a multiple of 8 bytes but for the last */
static void fragments(struct user *u, const u8 *f, size_t len, const struct net_hdr *h)
{
	size_t ihl = (f[ETH] & 15) * 4u, total = get16(f + ETH + 2), off, piece, most;
	unsigned flags = get16(f + ETH + 6), first = flags & 0x1fff;
	u8 head[ETH + 60];

	if (ihl < IP4_MIN || total <= ihl || ETH + total > len || u->net.mtu < ihl + 8) {
		u->net.stats.rx_dropped++;
		return;
	}
	most = (u->net.mtu - ihl) & ~7ul;
	memcpy(head, f, ETH + ihl);
	for (off = 0; off < total - ihl; off += piece) {
		bool last;
		u16 sum;

		piece = MIN(most, total - ihl - off);
		last = off + piece == total - ihl;
		put16(head + ETH + 2, (unsigned)(ihl + piece));
		put16(head + ETH + 6, (flags & 0xa000) | (last ? flags & 0x2000 : 0x2000) |
				      ((first + off / 8) & 0x1fff));
		put16(head + ETH + 10, 0);
		sum = net_csum_fold(net_csum_add(0, head + ETH, ihl));
		memcpy(head + ETH + 10, &sum, 2);
		if (!put(u, h, head, ETH + ihl, f + ETH + ihl + off, piece))
			return;
	}
}

void user_deliver(struct user *u, const u8 *f, size_t len)
{
	/* Nothing can have changed the bytes since libslirp made the sums */
	struct net_hdr h = {
		.flags = u->net.features & NET_RX_CSUM ? NET_HDR_DATA_VALID : 0,
		.num_buffers = le16_of(1),
	};
	bool v6;
	size_t at;

	if (len <= ETH + u->net.mtu) {
		put(u, &h, f, len, f, 0);
		return;
	}
	at = tcp_at(f, len, &v6);
	if (at && u->net.features & (v6 ? NET_RX_TSO6 : NET_RX_TSO4))
		large_segment(u, f, len, at, v6);
	else if (get16(f + 12) == IP4)
		fragments(u, f, len, &h);
	else
		u->net.stats.rx_dropped++;
}
