// SPDX-License-Identifier: BSD-2-Clause
/* test/lib/frames.h - Ethernet frames for tests: ARP, UDP and TCP over IPv4
 *
 * Written from RFC 826, 791, 768, 9293; a second opinion beside what is tested, so it shares no
 * code with src/. */
#ifndef TEST_LIB_FRAMES_H
#define TEST_LIB_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define FRAME_GUEST_IP 0x0a00020fu /* 10.0.2.15 */
#define FRAME_HOST_IP 0x0a000202u
#define FRAME_ETH 14u
#define FRAME_IP 20u
#define FRAME_TYPE 0x88b5 /* for experiments: nobody's */

static const uint8_t frame_guest_mac[6] = { 2, 1, 2, 3, 4, 5 };
static const uint8_t frame_bcast[6] = { 255, 255, 255, 255, 255, 255 };

static inline void frame_put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void frame_put32(uint8_t *p, uint32_t v)
{
	frame_put16(p, v >> 16);
	frame_put16(p + 2, v & 0xffff);
}

static inline unsigned frame_get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static inline uint32_t frame_get32(const uint8_t *p)
{
	return (uint32_t)frame_get16(p) << 16 | frame_get16(p + 2);
}

static inline unsigned frame_sum(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static inline size_t frame_eth(uint8_t *f, const uint8_t dst[6], unsigned type)
{
	memcpy(f, dst, 6);
	memcpy(f + 6, frame_guest_mac, 6);
	frame_put16(f + 12, type);
	return FRAME_ETH;
}

/* Who has @his? Tell @mine. A question of oneself tells the others */
static inline size_t frame_arp(uint8_t *f, uint32_t mine, uint32_t his)
{
	uint8_t *p = f + frame_eth(f, frame_bcast, 0x0806);

	memset(p, 0, 46);
	frame_put16(p, 1);
	frame_put16(p + 2, 0x0800);
	p[4] = 6;
	p[5] = 4;
	frame_put16(p + 6, 1);
	memcpy(p + 8, frame_guest_mac, 6);
	frame_put32(p + 14, mine);
	frame_put32(p + 24, his);
	return FRAME_ETH + 46;
}

static inline size_t frame_ip(uint8_t *f, unsigned proto, uint32_t src, uint32_t dst, size_t len)
{
	static const uint8_t gateway[6] = { 0x52, 0x55, 10, 0, 2, 2 };
	uint8_t *p = f + frame_eth(f, gateway, 0x0800);

	memset(p, 0, FRAME_IP);
	p[0] = 0x45;
	frame_put16(p + 2, (unsigned)(FRAME_IP + len));
	p[8] = 64;
	p[9] = (uint8_t)proto;
	frame_put32(p + 12, src);
	frame_put32(p + 16, dst);
	frame_put16(p + 10, ~frame_sum(0, p, FRAME_IP) & 0xffff);
	return FRAME_ETH + FRAME_IP;
}

/* Sum of the pseudo header and @len bytes behind the IPv4 header; 0xffff when a checksum in it
 * is right */
static inline unsigned frame_l4_sum(const uint8_t *f, size_t len)
{
	const uint8_t *ip = f + FRAME_ETH;
	size_t ihl = (ip[0] & 15) * 4u;

	return frame_sum(frame_sum(0, ip + 12, 8) + ip[9] + (uint32_t)len, ip + ihl, len);
}

static inline size_t frame_udp(uint8_t *f, uint32_t src, unsigned sport, uint32_t dst,
			       unsigned dport, const void *payload, size_t len)
{
	uint8_t *p = f + frame_ip(f, 17, src, dst, 8 + len);

	frame_put16(p, sport);
	frame_put16(p + 2, dport);
	frame_put16(p + 4, (unsigned)(8 + len));
	frame_put16(p + 6, 0);
	memcpy(p + 8, payload, len);
	frame_put16(p + 6, ~frame_l4_sum(f, 8 + len) & 0xffff);
	return FRAME_ETH + FRAME_IP + 8 + len;
}

/* @opts: options, @opts_len a multiple of 4 */
static inline size_t frame_tcp(uint8_t *f, uint32_t src, unsigned sport, uint32_t dst,
			       unsigned dport, uint32_t seq, uint32_t ack, unsigned flags,
			       const void *opts, size_t opts_len, const void *payload, size_t len)
{
	size_t tcp = 20 + opts_len;
	uint8_t *p = f + frame_ip(f, 6, src, dst, tcp + len);

	memset(p, 0, 20);
	frame_put16(p, sport);
	frame_put16(p + 2, dport);
	frame_put32(p + 4, seq);
	frame_put32(p + 8, ack);
	p[12] = (uint8_t)(tcp / 4 << 4);
	p[13] = (uint8_t)flags;
	frame_put16(p + 14, 65535);
	if (opts_len)
		memcpy(p + 20, opts, opts_len);
	if (len)
		memcpy(p + tcp, payload, len);
	frame_put16(p + 16, ~frame_l4_sum(f, tcp + len) & 0xffff);
	return FRAME_ETH + FRAME_IP + tcp + len;
}

/* Right sums of an IPv4 packet with TCP or UDP that is no fragment? */
static inline bool frame_sums_ok(const uint8_t *f, size_t len)
{
	const uint8_t *ip = f + FRAME_ETH;
	size_t ihl = (ip[0] & 15) * 4u, total = frame_get16(ip + 2);

	return len >= FRAME_ETH + total && total >= ihl && frame_sum(0, ip, ihl) == 0xffff &&
	       frame_l4_sum(f, total - ihl) == 0xffff;
}

#endif
