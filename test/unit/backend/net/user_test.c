// SPDX-License-Identifier: BSD-2-Clause
/* backend/net/user*.c: the network inside, seen by a guest that is this test */
#include "rig.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "backend/net/net_int.h"
#include "lib/frames.h"

#define SYN 2
#define ACK 16
#define PSH 8
#define FIN 1
#define OFFLOADS (NET_TX_CSUM | NET_TX_TSO4 | NET_RX_CSUM | NET_RX_TSO4)

static u8 buf[NET_MAX_FRAME];

static struct rig *up(const char *opts, u32 features, unsigned hdr_len)
{
	struct rig *r = rig_new();
	struct hk_err err = { "" };

	if (rig_open(r, "user", opts, &err))
		fail_msg("%s", err.text);
	rig_start(r, features, hdr_len);
	rig_settle(r);
	assert_int_equal(rig_send(r, NULL, buf, frame_arp(buf, FRAME_GUEST_IP, FRAME_GUEST_IP)), 0);
	net_flush(r->net);
	rig_settle(r);
	rig_forget(r);
	return r;
}

static int host_socket(int type, u16 *port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, type, 0);

	assert_int_equal(bind(fd, (void *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(fd, (void *)&in, &len), 0);
	*port = ntohs(in.sin_port);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static u16 free_port(int type)
{
	u16 port;

	close(host_socket(type, &port));
	return port;
}

static int host_connect(int type, u16 port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, type, 0);

	assert_int_equal(connect(fd, (void *)&in, sizeof(in)), 0);
	return fd;
}

struct seek {
	struct rig *r;
	unsigned proto, dport, from; /* frames before that were seen */
	const struct frame *found;
};

static bool is_there(void *arg)
{
	struct seek *s = arg;

	for (; s->from < s->r->num_got; s->from++) {
		const struct frame *f = &s->r->got[s->from];
		const u8 *ip = f->bytes + FRAME_ETH;

		if (frame_get16(f->bytes + 12) == 0x0800 && ip[9] == s->proto &&
		    frame_get16(ip + FRAME_IP + 2) == s->dport) {
			s->found = f;
			s->from++;
			return true;
		}
	}
	return false;
}

/* The next frame for our port */
static const struct frame *next(struct seek *s)
{
	assert_true(rig_wait(s->r, is_there, s));
	return s->found;
}

static void give(struct rig *r, size_t len)
{
	assert_int_equal(rig_send(r, NULL, buf, len), 0);
	net_flush(r->net);
}

/* ---- a guest's TCP connection ---- */

struct tcp {
	struct seek s;
	u16 mine, his;
	u32 seq, ack, his_ip;
};

static void tcp_give(struct tcp *t, unsigned flags, const void *payload, size_t len)
{
	give(t->s.r, frame_tcp(buf, FRAME_GUEST_IP, t->mine, t->his_ip, t->his, t->seq, t->ack, flags,
			       NULL, 0, payload, len));
	t->seq += (u32)len + !!(flags & (SYN | FIN));
}

static void tcp_syn(struct tcp *t, struct rig *r, u32 ip, u16 port, u16 mss)
{
	u8 opts[8] = { 1, 1, 1, 2, 4, (u8)(mss >> 8), (u8)mss, 0 };

	*t = (struct tcp){ .s = { .r = r, .proto = 6, .dport = 2000 }, .mine = 2000, .his = port,
			   .seq = 1000, .his_ip = ip };
	give(r, frame_tcp(buf, FRAME_GUEST_IP, t->mine, ip, port, t->seq, 0, SYN, opts, 8, NULL, 0));
	t->seq++;
}

static void tcp_open(struct tcp *t, struct rig *r, u16 port, u16 mss)
{
	const struct frame *f;

	tcp_syn(t, r, FRAME_HOST_IP, port, mss);
	f = next(&t->s);
	assert_int_equal(f->bytes[FRAME_ETH + FRAME_IP + 13], SYN | ACK);
	t->ack = frame_get32(f->bytes + FRAME_ETH + FRAME_IP + 4) + 1;
	tcp_give(t, ACK, NULL, 0);
}

/* The payload of the next segment that has one, at its place in the stream; acknowledged */
static size_t tcp_take(struct tcp *t, u8 *stream, u32 base, const struct frame **out)
{
	for (;;) {
		const struct frame *f = next(&t->s);
		const u8 *tcp = f->bytes + FRAME_ETH + FRAME_IP;
		size_t head = (tcp[12] >> 4) * 4u;
		size_t len = frame_get16(f->bytes + FRAME_ETH + 2) - FRAME_IP - head;
		u32 seq = frame_get32(tcp + 4);

		if (!len || seq != t->ack)
			continue;
		memcpy(stream + (seq - base), tcp + head, len);
		t->ack += (u32)len;
		tcp_give(t, ACK, NULL, 0);
		if (out)
			*out = f;
		return len;
	}
}

static void fill_bytes(u8 *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (u8)(i * 131 + (i >> 8) * 7);
}

/* ---- tests ---- */

static void dhcp_gives_an_address_a_router_and_a_name_server(void **state)
{
	struct rig *r = up("hostname=vm7,domainname=example", 0, 0);
	struct seek s = { .r = r, .proto = 17, .dport = 68 };
	u8 d[300] = { 1, 1, 6, 0, 1, 2, 3, 4 };
	static const u8 opts[] = { 0x63, 0x82, 0x53, 0x63, 53, 1, 1, 55, 4, 1, 3, 6, 12, 255 };
	const u8 *p, *end;
	unsigned seen = 0;

	memcpy(d + 28, frame_guest_mac, 6);
	memcpy(d + 236, opts, sizeof(opts));
	give(r, frame_udp(buf, 0, 68, 0xffffffff, 67, d, sizeof(d)));
	p = next(&s)->bytes + FRAME_ETH + FRAME_IP + 8;
	assert_int_equal(frame_get32(p + 16), FRAME_GUEST_IP);
	end = s.found->bytes + s.found->len;
	for (p += 240; p < end && *p != 255; p += 2 + p[1]) {
		if (*p == 3)
			assert_int_equal(frame_get32(p + 2), 0x0a000202);
		if (*p == 6)
			assert_int_equal(frame_get32(p + 2), 0x0a000203);
		if (*p == 12)
			assert_memory_equal(p + 2, "vm7", 3);
		if (*p == 3 || *p == 6 || *p == 12)
			seen++;
	}
	assert_int_equal(seen, 3);
	rig_free(r);
}

static void another_network_can_be_chosen(void **state)
{
	struct rig *r = up("net=192.168.7.0/26,host=192.168.7.1,dns=192.168.7.9,dhcpstart=192.168.7.33", 0, 0);
	struct seek s = { .r = r, .proto = 17, .dport = 68 };
	u8 d[300] = { 1, 1, 6, 0, 1, 2, 3, 4 };

	memcpy(d + 28, frame_guest_mac, 6);
	memcpy(d + 236, (u8[]){ 0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255 }, 8);
	give(r, frame_udp(buf, 0, 68, 0xffffffff, 67, d, sizeof(d)));
	assert_int_equal(frame_get32(next(&s)->bytes + FRAME_ETH + FRAME_IP + 8 + 16), 0xc0a80721);
	rig_free(r);
}

static void a_connection_to_the_gateway_reaches_the_loopback(void **state)
{
	static u8 sent[300000], got[300000];
	struct rig *r = up(NULL, 0, 0);
	struct tcp t;
	u16 port;
	int l = host_socket(SOCK_STREAM, &port), fd;
	u32 base;

	tcp_open(&t, r, port, 1460);
	fd = accept(l, NULL, NULL);
	assert_true(fd >= 0);
	fill_bytes(sent, sizeof(sent));
	/* Out */
	for (size_t at = 0; at < 14000; at += 1400)
		tcp_give(&t, ACK | PSH, sent + at, 1400);
	assert_int_equal(recv(fd, got, 14000, MSG_WAITALL), 14000);
	assert_memory_equal(got, sent, 14000);
	/* In */
	fcntl(fd, F_SETFL, O_NONBLOCK);
	base = t.ack;
	for (size_t in = 0, out = 0; in < sizeof(sent);) {
		ssize_t n = send(fd, sent + out, sizeof(sent) - out, 0);
		const struct frame *f;

		if (n > 0)
			out += (size_t)n;
		in += tcp_take(&t, got, base, &f);
		assert_true(f->len <= 1514);
		assert_true(frame_sums_ok(f->bytes, f->len));
	}
	assert_memory_equal(got, sent, sizeof(sent));
	close(fd);
	close(l);
	rig_free(r);
}

static void a_guest_that_takes_large_segments_gets_them(void **state)
{
	static u8 sent[300000], got[300000];
	struct rig *r = up(NULL, OFFLOADS, 12);
	size_t largest = 0;
	struct tcp t;
	u16 port;
	int l = host_socket(SOCK_STREAM, &port), fd;
	u32 base;

	tcp_open(&t, r, port, 1460);
	fd = accept(l, NULL, NULL);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	fill_bytes(sent, sizeof(sent));
	base = t.ack;
	for (size_t in = 0, out = 0; in < sizeof(sent);) {
		ssize_t n = send(fd, sent + out, sizeof(sent) - out, 0);
		const struct frame *f;

		if (n > 0)
			out += (size_t)n;
		in += tcp_take(&t, got, base, &f);
		largest = MAX(largest, f->len);
		if (f->len <= 1514) {
			assert_int_equal(f->hdr.flags, NET_HDR_DATA_VALID);
			assert_int_equal(f->hdr.gso_type, NET_HDR_GSO_NONE);
			assert_true(frame_sums_ok(f->bytes, f->len));
			continue;
		}
		/* virtio 1.2, 5.1.6.4.1 */
		assert_int_equal(f->hdr.flags, NET_HDR_NEEDS_CSUM);
		assert_int_equal(f->hdr.gso_type, NET_HDR_GSO_TCPV4);
		assert_int_equal(le16_get(f->hdr.gso_size), 1460);
		assert_int_equal(le16_get(f->hdr.csum_start), 34);
		assert_int_equal(le16_get(f->hdr.csum_offset), 16);
		assert_int_equal(le16_get(f->hdr.hdr_len), 54);
		assert_int_equal(net_complete_csum(&f->hdr, f->bytes, f->len), 0);
		assert_true(frame_sums_ok(f->bytes, f->len));
	}
	assert_true(largest > 20000);
	assert_memory_equal(got, sent, sizeof(sent));
	close(fd);
	close(l);
	rig_free(r);
}

static void a_large_segment_of_the_guest_arrives_with_its_sum_completed(void **state)
{
	static u8 sent[40000], got[40000];
	struct rig *r = up(NULL, OFFLOADS, 12);
	struct net_hdr h = { .flags = NET_HDR_NEEDS_CSUM, .gso_type = NET_HDR_GSO_TCPV4,
			     .gso_size = le16_of(1460), .hdr_len = le16_of(54),
			     .csum_start = le16_of(34), .csum_offset = le16_of(16) };
	struct tcp t;
	u16 port;
	int l = host_socket(SOCK_STREAM, &port), fd;
	size_t len;

	tcp_open(&t, r, port, 1460);
	fd = accept(l, NULL, NULL);
	fill_bytes(sent, sizeof(sent));
	len = frame_tcp(buf, FRAME_GUEST_IP, t.mine, t.his_ip, port, t.seq, t.ack, ACK | PSH, NULL, 0, sent,
			sizeof(sent));
	frame_put16(buf + 34 + 16, frame_sum(frame_sum(0, buf + 26, 8) + 6 + 20 + sizeof(sent), buf, 0));
	assert_int_equal(rig_send(r, &h, buf, len), 0);
	net_flush(r->net);
	assert_int_equal(recv(fd, got, sizeof(got), MSG_WAITALL), sizeof(got));
	assert_memory_equal(got, sent, sizeof(sent));
	close(fd);
	close(l);
	rig_free(r);
}

static void a_header_that_does_not_fit_its_frame_is_refused(void **state)
{
	static const u16 bad[][2] = { { 0, 65535 }, { 65535, 0 }, { 50, 5 }, { 60, 0 }, { 61, 65535 } };
	struct rig *r = up(NULL, OFFLOADS, 12);

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		struct net_hdr h = { .flags = NET_HDR_NEEDS_CSUM, .csum_start = le16_of(bad[i][0]),
				     .csum_offset = le16_of(bad[i][1]) };

		assert_int_equal(rig_send(r, &h, buf, bad[i][0] == 50 ? 56 : 60), -EINVAL);
	}
	rig_free(r);
}

static void datagrams_larger_than_the_mtu_come_as_fragments(void **state)
{
	struct rig *r = up(NULL, OFFLOADS, 12);
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	static u8 sent[4000], got[8192];
	size_t have = 0;
	u16 port;
	int fd = host_socket(SOCK_DGRAM, &port);
	bool last = false;

	give(r, frame_udp(buf, FRAME_GUEST_IP, 1000, FRAME_HOST_IP, port, "x", 1));
	assert_int_equal(recvfrom(fd, got, 1, 0, (void *)&from, &from_len), 1);
	rig_forget(r);
	fill_bytes(sent, sizeof(sent));
	assert_int_equal(sendto(fd, sent, sizeof(sent), 0, (void *)&from, from_len), sizeof(sent));
	rig_settle(r);
	assert_int_equal(r->num_got, 3);
	for (unsigned i = 0; i < r->num_got; i++) {
		const u8 *ip = r->got[i].bytes + FRAME_ETH;
		unsigned off = (frame_get16(ip + 6) & 0x1fff) * 8, len = frame_get16(ip + 2) - FRAME_IP;

		assert_true(r->got[i].len <= 1514);
		assert_int_equal(r->got[i].len, FRAME_ETH + FRAME_IP + len);
		assert_int_equal(frame_sum(0, ip, FRAME_IP), 0xffff);
		assert_int_equal(off, have);
		memcpy(got + off, ip + FRAME_IP, len);
		have += len;
		last = !(frame_get16(ip + 6) & 0x2000);
		assert_int_equal(last, i == 2);
	}
	assert_int_equal(have, 8 + sizeof(sent));
	assert_memory_equal(got + 8, sent, sizeof(sent));
	close(fd);
	rig_free(r);
}

static void a_forward_brings_a_host_connection_to_the_guest(void **state)
{
	u16 port = free_port(SOCK_STREAM);
	const struct frame *f;
	struct rig *r;
	struct tcp t;
	char opts[96], got[8];
	int fd;

	snprintf(opts, sizeof(opts), "hostfwd=tcp:127.0.0.1:%u-:80", port);
	r = up(opts, 0, 0);
	fd = host_connect(SOCK_STREAM, port);
	t = (struct tcp){ .s = { .r = r, .proto = 6, .dport = 80 }, .mine = 80, .seq = 5000 };
	f = next(&t.s);
	assert_int_equal(f->bytes[47], SYN);
	t.his = (u16)frame_get16(f->bytes + 34);
	t.his_ip = frame_get32(f->bytes + 26);
	t.ack = frame_get32(f->bytes + 38) + 1;
	tcp_give(&t, SYN | ACK, NULL, 0);
	tcp_give(&t, ACK | PSH, "welcome", 7);
	rig_settle(r);
	assert_int_equal(recv(fd, got, 7, 0), 7);
	assert_memory_equal(got, "welcome", 7);
	close(fd);
	rig_free(r);
}

static void a_forward_of_datagrams_reaches_the_guest(void **state)
{
	u16 port = free_port(SOCK_DGRAM);
	struct seek s = { .proto = 17, .dport = 5353 };
	char opts[96];
	int fd;

	snprintf(opts, sizeof(opts), "hostfwd=udp::%u-10.0.2.15:5353", port);
	s.r = up(opts, 0, 0);
	fd = host_connect(SOCK_DGRAM, port);
	assert_int_equal(send(fd, "ping", 4, 0), 4);
	assert_memory_equal(next(&s)->bytes + FRAME_ETH + FRAME_IP + 8, "ping", 4);
	close(fd);
	rig_free(s.r);
}

static void a_guest_forward_ends_at_a_unix_socket(void **state)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct rig *r;
	struct tcp t;
	char opts[160], got[8];
	int l = socket(AF_UNIX, SOCK_STREAM, 0), fd;

	snprintf(un.sun_path, sizeof(un.sun_path), "/tmp/hk-guestfwd.%d", (int)getpid());
	assert_int_equal(bind(l, (void *)&un, sizeof(un)), 0);
	assert_int_equal(listen(l, 1), 0);
	snprintf(opts, sizeof(opts), "restrict=on,guestfwd=tcp:10.0.2.100:1234-unix:%s", un.sun_path);
	r = up(opts, 0, 0);
	tcp_syn(&t, r, 0x0a000264, 1234, 1460);
	t.ack = frame_get32(next(&t.s)->bytes + 38) + 1;
	tcp_give(&t, ACK, NULL, 0);
	tcp_give(&t, ACK | PSH, "hello", 5);
	rig_settle(r);
	fd = accept(l, NULL, NULL);
	assert_int_equal(recv(fd, got, 5, 0), 5);
	assert_memory_equal(got, "hello", 5);
	close(fd);
	close(l);
	unlink(un.sun_path);
	rig_free(r);
}

/* Does a SYN to a listening port of the loopback get through? */
static bool reaches_loopback(const char *opts)
{
	struct rig *r = up(opts, 0, 0);
	struct tcp t;
	u16 port;
	int l = host_socket(SOCK_STREAM, &port), fd;

	fcntl(l, F_SETFL, O_NONBLOCK);
	tcp_syn(&t, r, FRAME_HOST_IP, port, 1460);
	rig_settle(r);
	fd = accept(l, NULL, NULL);
	close(l);
	rig_free(r);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void restrict_and_loopback_off_keep_the_guest_from_the_host(void **state)
{
	assert_true(reaches_loopback(""));
	assert_false(reaches_loopback("restrict=on"));
	assert_false(reaches_loopback("loopback=off"));
}

static void a_guest_that_takes_nothing_makes_the_sender_wait(void **state)
{
	struct rig *r = up(NULL, OFFLOADS, 12);
	static u8 junk[65536];
	size_t total = 0;
	struct tcp t;
	u16 port;
	int l = host_socket(SOCK_STREAM, &port), fd;

	tcp_open(&t, r, port, 1460);
	fd = accept(l, NULL, NULL);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	net_rx(r->net, false);
	for (unsigned round = 0; round < 300; round++) {
		ssize_t n = send(fd, junk, sizeof(junk), 0);

		if (n > 0)
			total += (size_t)n;
		loop_step(r->loop, 1);
	}
	/* The window of the guest, buffers of libslirp's and of the two sockets, no more */
	assert_true(total < 16u << 20);
	assert_int_equal(send(fd, junk, 1, 0), -1);
	close(fd);
	close(l);
	rig_free(r);
}

static void what_cannot_be_is_refused_with_words(void **state)
{
	static const char *const bad[] = {
		"net=10.0.2.0/33", "net=10.0.2.0/30", "net=banana", "host=10.0.3.2", "dns=10.0.2.2",
		"dhcpstart=10.0.2.0", "hostfwd=tcp:1-2", "hostfwd=sctp::1-:2", "hostfwd=tcp::0-:2",
		"hostfwd=tcp::70000-:2", "hostfwd=tcp:1.2.3:1-:2", "hostfwd=", "guestfwd=tcp:1.2.3.4:5",
		"guestfwd=tcp:10.0.2.100:5-cmd:/bin/sh", "guestfwd=tcp:8.8.8.8:5-unix:/x",
		"restrict=maybe", "smb=/etc", "hostfwd=tcp:8.8.8.8:1-:2",
	};

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		struct rig *r = rig_new();
		struct hk_err err = { "" };

		if (!rig_open(r, "user", bad[i], &err))
			fail_msg("%s was accepted", bad[i]);
		assert_true(err.text[0]);
		rig_free(r);
	}
}

static void a_port_that_is_taken_is_an_error(void **state)
{
	struct rig *r = rig_new();
	struct hk_err err = { "" };
	char opts[64];
	u16 port;
	int l = host_socket(SOCK_STREAM, &port);

	snprintf(opts, sizeof(opts), "hostfwd=tcp::%u-:80", port);
	assert_int_equal(rig_open(r, "user", opts, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "cannot listen"));
	close(l);
	rig_free(r);
}

static void frames_of_garbage_do_no_harm(void **state)
{
	struct rig *r = up("ipv6=on", OFFLOADS, 12);
	u32 x = 12345;

	for (unsigned n = 0; n < 3000; n++) {
		size_t len = 14 + (x >> 8) % 200;

		for (size_t i = 0; i < len; i++)
			buf[i] = (u8)((x = x * 1664525 + 1013904223) >> 24);
		if (n & 1)
			frame_put16(buf + 12, n & 2 ? 0x0800 : 0x86dd);
		if (n & 4)
			buf[14] = n & 2 ? 0x45 : 0x60;
		if (n & 8)
			buf[n & 2 ? 23 : 20] = n & 16 ? 6 : 17;
		assert_int_equal(rig_send(r, NULL, buf, len), 0);
		if (n % 64 == 0)
			net_flush(r->net);
	}
	rig_settle(r);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dhcp_gives_an_address_a_router_and_a_name_server),
		cmocka_unit_test(another_network_can_be_chosen),
		cmocka_unit_test(a_connection_to_the_gateway_reaches_the_loopback),
		cmocka_unit_test(a_guest_that_takes_large_segments_gets_them),
		cmocka_unit_test(a_large_segment_of_the_guest_arrives_with_its_sum_completed),
		cmocka_unit_test(a_header_that_does_not_fit_its_frame_is_refused),
		cmocka_unit_test(datagrams_larger_than_the_mtu_come_as_fragments),
		cmocka_unit_test(a_forward_brings_a_host_connection_to_the_guest),
		cmocka_unit_test(a_forward_of_datagrams_reaches_the_guest),
		cmocka_unit_test(a_guest_forward_ends_at_a_unix_socket),
		cmocka_unit_test(restrict_and_loopback_off_keep_the_guest_from_the_host),
		cmocka_unit_test(a_guest_that_takes_nothing_makes_the_sender_wait),
		cmocka_unit_test(what_cannot_be_is_refused_with_words),
		cmocka_unit_test(a_port_that_is_taken_is_an_error),
		cmocka_unit_test(frames_of_garbage_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
