// SPDX-License-Identifier: BSD-2-Clause
/* backend/net/user_frame.c - Large segments between a guest and libslirp
 *
 * libslirp ends TCP connections in this process, so nothing on the way limits the size of a
 * segment: one of 64 KiB costs as much work as one of 1460 bytes, in libslirp and in the guest.
 *
 * To libslirp: a guest with segmentation offload gives large segments as they are, and libslirp
 * takes them as they are; only the checksum is to be completed.
 *
 * To the guest: libslirp makes segments of half the window, whatever MSS the guest announced, but
 * for connections that come from outside: there it heeds the guest's SYN, and user_raise_mss()
 * writes a large number into it. A guest that takes large segments (VIRTIO_NET_F_GUEST_TSO4/6)
 * gets them marked as made of pieces that fit its MTU, as a card that joins segments would mark
 * them; for others they are cut. What is not TCP and too large becomes fragments (RFC 791). [loop] */
#include "backend/net/user_int.h"

#define ETH 14u
#define IP4 0x0800
#define IP6 0x86dd
#define IP4_MIN 20u
#define IP6_HDR 40u
#define TCP_MIN 20u
#define PROTO_TCP 6
#define TCP_FIN 1
#define TCP_SYN 2
#define TCP_PSH 8
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
static void pseudo_sum(u8 *f, size_t at, size_t len /* of TCP */, bool v6)
{
	u8 tail[4] = { 0, PROTO_TCP };
	u32 sum;
	u16 folded;

	put16(tail + 2, (unsigned)len);
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
	pseudo_sum(copy, at, len - at, v6);
	put(u, &h, copy, head, f + head, len - head);
}

/* What a card with segmentation offload does with a large segment */
static void segments(struct user *u, const u8 *f, size_t len, size_t at, bool v6,
		     const struct net_hdr *h)
{
	size_t head = MIN(len, at + (f[at + 12] >> 4) * 4u), piece;
	u32 seq = (u32)get16(f + at + 4) << 16 | get16(f + at + 6);
	unsigned id = get16(f + ETH + 4);
	u8 copy[ETH + 60 + 60];

	if (head > sizeof(copy) || u->net.mtu <= head - ETH) {
		u->net.stats.rx_dropped++;
		return;
	}
	memcpy(copy, f, head);
	for (size_t off = head; off < len; off += piece) {
		u16 sum;

		piece = MIN(len - off, u->net.mtu - (head - ETH));
		copy[at + 13] = f[at + 13];
		if (off + piece < len)
			copy[at + 13] &= (u8)~(TCP_FIN | TCP_PSH);
		put16(copy + at + 4, (seq + (u32)(off - head)) >> 16);
		put16(copy + at + 6, seq + (u32)(off - head));
		if (v6) {
			put16(copy + ETH + 4, (unsigned)(head + piece - at));
		} else {
			put16(copy + ETH + 2, (unsigned)(head + piece - ETH));
			put16(copy + ETH + 4, id++);
			put16(copy + ETH + 10, 0);
			sum = net_csum_fold(net_csum_add(0, copy + ETH, at - ETH));
			memcpy(copy + ETH + 10, &sum, 2);
		}
		pseudo_sum(copy, at, head + piece - at, v6);
		sum = net_csum_fold(net_csum_add(net_csum_add(0, copy + at, head - at), f + off, piece));
		memcpy(copy + at + 16, &sum, 2);
		if (!put(u, h, copy, head, f + off, piece))
			return;
	}
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
	else if (at)
		segments(u, f, len, at, v6, &h);
	else if (get16(f + 12) == IP4)
		fragments(u, f, len, &h);
	else
		u->net.stats.rx_dropped++;
}
