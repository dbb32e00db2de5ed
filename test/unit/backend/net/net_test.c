// SPDX-License-Identifier: BSD-2-Clause
/* The contract of backend/net/net.h, kept by every kind of back end
 *
 * Each kind has a far end here. Payloads go through the whole back end; how a frame carries
 * them is the far end's business: behind an Ethernet header of a type of nobody's, or in a UDP
 * datagram to a socket of ours. */
#include "rig.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/frames.h"
#include "lib/vpnkit.h"

struct far {
	struct rig *r;
	int fd, listener;
	pthread_t server;
	struct sockaddr_un un;
	u8 in[1 << 20]; /* stream: bytes that were read */
	size_t in_len, in_at;
	u16 port;		  /* user: of our socket */
	struct sockaddr_in guest; /* user: the guest's socket as it looks from here */
};

struct far_kind {
	const char *name;
	u32 features;  /* with a header of 12 bytes; 0: plain frames */
	bool can_fill; /* net_send() says -EAGAIN when the far end does not read */
	const char *(*open)(struct far *f); /* NULL, or why it cannot be tested here */
	void (*send)(struct far *f, const void *payload, size_t len);
	ssize_t (*recv)(struct far *f, u8 *payload, size_t max); /* -1: none now */
	size_t (*wrap)(struct far *f, u8 *frame, const void *payload, size_t len);
	const u8 *(*unwrap)(const u8 *frame, size_t len, size_t *payload_len); /* NULL: not ours */
};

static u8 scratch[NET_MAX_FRAME + 64];

/* ---- frames of a type of nobody's ---- */

static size_t raw_wrap(struct far *f, u8 *frame, const void *payload, size_t len)
{
	memcpy(frame + frame_eth(frame, frame_bcast, FRAME_TYPE), payload, len);
	return FRAME_ETH + len;
}

static const u8 *raw_unwrap(const u8 *frame, size_t len, size_t *payload_len)
{
	if (frame_get16(frame + 12) != FRAME_TYPE)
		return NULL;
	*payload_len = len - FRAME_ETH;
	return frame + FRAME_ETH;
}

/* ---- streams ---- */

static void stream_send(struct far *f, unsigned prefix, const void *payload, size_t len)
{
	size_t n = raw_wrap(f, scratch + prefix, payload, len), at = 0;

	if (prefix == 4)
		frame_put32(scratch, (u32)n);
	else
		store_le16(scratch, (u16)n);
	while (at < prefix + n) {
		ssize_t w = send(f->fd, scratch + at, prefix + n - at, MSG_DONTWAIT);

		if (w > 0)
			at += (size_t)w;
		else
			loop_step(f->r->loop, 1);
	}
}

static ssize_t stream_recv(struct far *f, unsigned prefix, u8 *payload, size_t max)
{
	ssize_t n = recv(f->fd, f->in + f->in_len, sizeof(f->in) - f->in_len, MSG_DONTWAIT);
	size_t len, payload_len;
	const u8 *p = f->in + f->in_at;

	if (n > 0)
		f->in_len += (size_t)n;
	if (f->in_len - f->in_at < prefix)
		return -1;
	len = prefix == 4 ? frame_get32(p) : load_le16(p);
	if (f->in_len - f->in_at < prefix + len)
		return -1;
	p = raw_unwrap(p + prefix, len, &payload_len);
	assert_non_null(p);
	assert_true(payload_len <= max);
	memcpy(payload, p, payload_len);
	f->in_at += prefix + len;
	if (f->in_at == f->in_len)
		f->in_at = f->in_len = 0;
	return (ssize_t)payload_len;
}

static void be32_send(struct far *f, const void *payload, size_t len)
{
	stream_send(f, 4, payload, len);
}

static ssize_t be32_recv(struct far *f, u8 *payload, size_t max)
{
	return stream_recv(f, 4, payload, max);
}

static void le16_send(struct far *f, const void *payload, size_t len)
{
	stream_send(f, 2, payload, len);
}

static ssize_t le16_recv(struct far *f, u8 *payload, size_t max)
{
	return stream_recv(f, 2, payload, max);
}

static void address(struct far *f, const char *name)
{
	f->un.sun_family = AF_UNIX;
	snprintf(f->un.sun_path, sizeof(f->un.sun_path), "%.60s/%s", f->r->folder, name);
}

static void far_listen(struct far *f)
{
	address(f, "sock");
	f->listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(f->listener, (void *)&f->un, sizeof(f->un)), 0);
	assert_int_equal(listen(f->listener, 1), 0);
}

static bool is_up(void *arg)
{
	return net_link(((struct rig *)arg)->net);
}

static const char *connect_open(struct far *f)
{
	char opts[320];

	far_listen(f);
	snprintf(opts, sizeof(opts), "connect=%s", f->un.sun_path);
	assert_int_equal(rig_open(f->r, "socket", opts, NULL), 0);
	rig_start(f->r, 0, 0);
	assert_true(rig_wait(f->r, is_up, f->r));
	f->fd = accept(f->listener, NULL, NULL);
	return NULL;
}

static const char *listen_open(struct far *f)
{
	char opts[320];

	address(f, "sock");
	snprintf(opts, sizeof(opts), "type=stream,listen=unix:%s", f->un.sun_path);
	assert_int_equal(rig_open(f->r, "socket", opts, NULL), 0);
	rig_start(f->r, 0, 0);
	assert_false(net_link(f->r->net));
	f->fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(connect(f->fd, (void *)&f->un, sizeof(f->un)), 0);
	assert_true(rig_wait(f->r, is_up, f->r));
	return NULL;
}

static const char *pair_open(struct far *f)
{
	char opts[64];
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	snprintf(opts, sizeof(opts), "fd=%d", fd[0]);
	assert_int_equal(rig_open(f->r, "socket", opts, NULL), 0);
	close(fd[0]); /* it has a duplicate */
	rig_start(f->r, 0, 0);
	assert_true(net_link(f->r->net));
	f->fd = fd[1];
	return NULL;
}

static void *vpnkit_server(void *arg)
{
	static const u8 mac[6] = { 2, 0x50, 0, 0, 0, 1 };
	struct far *f = arg;
	struct vpnkit_hello h;

	f->fd = accept(f->listener, NULL, NULL);
	assert_true(vpnkit_hear(f->fd, &h));
	assert_int_equal(h.command, 1);
	assert_true(vpnkit_accept(f->fd, 65000, mac));
	return NULL;
}

static const char *vpnkit_open(struct far *f)
{
	char opts[320];

	far_listen(f);
	pthread_create(&f->server, NULL, vpnkit_server, f);
	snprintf(opts, sizeof(opts), "path=%s", f->un.sun_path);
	assert_int_equal(rig_open(f->r, "vpnkit", opts, NULL), 0);
	pthread_join(f->server, NULL);
	rig_start(f->r, 0, 0);
	assert_true(net_link(f->r->net));
	return NULL;
}

/* ---- datagrams ---- */

static const char *dgram_open(struct far *f)
{
	int size = 1 << 20;
	char opts[320];

	address(f, "far");
	f->fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	setsockopt(f->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	assert_int_equal(bind(f->fd, (void *)&f->un, sizeof(f->un)), 0);
	snprintf(opts, sizeof(opts), "type=dgram,connect=%s,local=%s/near", f->un.sun_path,
		 f->r->folder);
	assert_int_equal(rig_open(f->r, "socket", opts, NULL), 0);
	rig_start(f->r, 0, 0);
	assert_true(rig_wait(f->r, is_up, f->r));
	address(f, "near");
	assert_int_equal(connect(f->fd, (void *)&f->un, sizeof(f->un)), 0);
	return NULL;
}

static const char *dgram_pair_open(struct far *f)
{
	char opts[64];
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, fd), 0);
	snprintf(opts, sizeof(opts), "type=dgram,fd=%d", fd[0]);
	assert_int_equal(rig_open(f->r, "socket", opts, NULL), 0);
	close(fd[0]);
	rig_start(f->r, 0, 0);
	f->fd = fd[1];
	return NULL;
}

static void dgram_send(struct far *f, const void *payload, size_t len)
{
	size_t n = raw_wrap(f, scratch, payload, len);

	while (send(f->fd, scratch, n, MSG_DONTWAIT) != (ssize_t)n)
		loop_step(f->r->loop, 1);
}

static ssize_t dgram_recv(struct far *f, u8 *payload, size_t max)
{
	ssize_t n = recv(f->fd, scratch, sizeof(scratch), MSG_DONTWAIT);
	size_t len;
	const u8 *p;

	if (n < 0)
		return -1;
	p = raw_unwrap(scratch, (size_t)n, &len);
	if (!p)
		return dgram_recv(f, payload, max); /* the kernel's own, on a tap */
	memcpy(payload, p, len);
	return (ssize_t)len;
}

/* ---- tap: a packet socket on the interface ---- */

static const char *tap_open_as(struct far *f, u32 features, unsigned hdr_len, const char *more)
{
	struct sockaddr_ll ll = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	struct ifreq ifr = { 0 };
	struct hk_err err;
	char opts[64], name[16];
	int s;

	snprintf(name, sizeof(name), "hkt%x", (unsigned)getpid() & 0xffffff);
	snprintf(opts, sizeof(opts), "ifname=%s%s", name, more);
	if (rig_open(f->r, "tap", opts, &err))
		return "tap: /dev/net/tun is not for us";
	strcpy(ifr.ifr_name, name);
	s = socket(AF_INET, SOCK_DGRAM, 0);
	ifr.ifr_mtu = 9000;
	assert_int_equal(ioctl(s, SIOCSIFMTU, &ifr), 0);
	ifr.ifr_flags = IFF_UP;
	assert_int_equal(ioctl(s, SIOCSIFFLAGS, &ifr), 0);
	assert_int_equal(ioctl(s, SIOCGIFINDEX, &ifr), 0);
	close(s);
	f->fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
	if (f->fd < 0)
		return "tap: no packet sockets here";
	ll.sll_ifindex = ifr.ifr_ifindex;
	assert_int_equal(bind(f->fd, (void *)&ll, sizeof(ll)), 0);
	s = 1;
	setsockopt(f->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &s, sizeof(s));
	rig_start(f->r, features, hdr_len);
	return NULL;
}

static const char *tap_hdr_open(struct far *f)
{
	return tap_open_as(f, NET_TX_CSUM | NET_RX_CSUM, 12, "");
}

static const char *tap_hidden_hdr_open(struct far *f)
{
	return tap_open_as(f, 0, 0, "");
}

static const char *tap_plain_open(struct far *f)
{
	return tap_open_as(f, 0, 0, ",vnet_hdr=off");
}

/* ---- user: a UDP socket on the loopback ---- */

static const char *user_open_as(struct far *f, u32 features, unsigned hdr_len)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);
	u8 frame[256];
	size_t n;

	f->fd = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(bind(f->fd, (void *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(f->fd, (void *)&in, &len), 0);
	f->port = ntohs(in.sin_port);
	assert_int_equal(rig_open(f->r, "user", NULL, NULL), 0);
	rig_start(f->r, features, hdr_len);
	rig_settle(f->r);
	/* The network learns who we are, and our socket where the guest's is */
	n = frame_arp(frame, FRAME_GUEST_IP, FRAME_GUEST_IP);
	assert_int_equal(rig_send(f->r, NULL, frame, n), 0);
	n = frame_udp(frame, FRAME_GUEST_IP, 1000, FRAME_HOST_IP, f->port, "hello", 5);
	assert_int_equal(rig_send(f->r, NULL, frame, n), 0);
	net_flush(f->r->net);
	len = sizeof(f->guest);
	assert_int_equal(recvfrom(f->fd, frame, sizeof(frame), 0, (void *)&f->guest, &len), 5);
	rig_settle(f->r);
	return NULL;
}

static const char *user_open(struct far *f)
{
	return user_open_as(f, 0, 0);
}

static const char *user_hdr_open(struct far *f)
{
	return user_open_as(f, NET_TX_CSUM | NET_RX_CSUM | NET_TX_TSO4 | NET_RX_TSO4, 12);
}

static void user_send(struct far *f, const void *payload, size_t len)
{
	assert_int_equal(sendto(f->fd, payload, len, 0, (void *)&f->guest, sizeof(f->guest)), len);
}

static ssize_t user_recv(struct far *f, u8 *payload, size_t max)
{
	return recv(f->fd, payload, max, MSG_DONTWAIT);
}

static size_t user_wrap(struct far *f, u8 *frame, const void *payload, size_t len)
{
	return frame_udp(frame, FRAME_GUEST_IP, 1000, FRAME_HOST_IP, f->port, payload, len);
}

static const u8 *user_unwrap(const u8 *frame, size_t len, size_t *payload_len)
{
	if (frame_get16(frame + 12) != 0x0800 || frame[FRAME_ETH + 9] != 17 ||
	    frame_get16(frame + FRAME_ETH + FRAME_IP + 2) != 1000)
		return NULL;
	assert_true(frame_sums_ok(frame, len));
	*payload_len = frame_get16(frame + FRAME_ETH + FRAME_IP + 4) - 8;
	return frame + FRAME_ETH + FRAME_IP + 8;
}

static const struct far_kind kinds[] = {
	{ "socket, connecting", 0, true, connect_open, be32_send, be32_recv, raw_wrap, raw_unwrap },
	{ "socket, listening", 0, true, listen_open, be32_send, be32_recv, raw_wrap, raw_unwrap },
	{ "socket, given", 0, true, pair_open, be32_send, be32_recv, raw_wrap, raw_unwrap },
	{ "datagrams", 0, true, dgram_open, dgram_send, dgram_recv, raw_wrap, raw_unwrap },
	{ "datagrams, given", 0, true, dgram_pair_open, dgram_send, dgram_recv, raw_wrap, raw_unwrap },
	{ "vpnkit", 0, true, vpnkit_open, le16_send, le16_recv, raw_wrap, raw_unwrap },
	{ "tap", NET_TX_CSUM, false, tap_hdr_open, dgram_send, dgram_recv, raw_wrap, raw_unwrap },
	{ "tap, header hidden", 0, false, tap_hidden_hdr_open, dgram_send, dgram_recv, raw_wrap,
	  raw_unwrap },
	{ "tap, no header", 0, false, tap_plain_open, dgram_send, dgram_recv, raw_wrap, raw_unwrap },
	{ "user", 0, false, user_open, user_send, user_recv, user_wrap, user_unwrap },
	{ "user, header", NET_TX_CSUM, false, user_hdr_open, user_send, user_recv, user_wrap,
	  user_unwrap },
};

/* ---- the tests: each for the kind in *state ---- */

struct bench {
	const struct far_kind *k;
	struct far f;
};

static struct bench *begin(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	const char *why;

	b->k = *state;
	b->f.r = rig_new();
	b->f.fd = b->f.listener = -1;
	why = b->k->open(&b->f);
	if (why) {
		print_message("%s\n", why);
		rig_free(b->f.r);
		free(b);
		skip();
	}
	return b;
}

static void end(struct bench *b)
{
	rig_free(b->f.r);
	if (b->f.fd >= 0)
		close(b->f.fd);
	if (b->f.listener >= 0)
		close(b->f.listener);
	free(b);
}

/* Payloads that differ in length and content */
static size_t payload(u8 *p, unsigned n)
{
	static const size_t sizes[] = { 46, 64, 100, 333, 1000, 1471, 1472 };
	size_t len = sizes[n % ARRAY_LEN(sizes)];

	for (size_t i = 0; i < len; i++)
		p[i] = (u8)(n * 7 + i * (n + 1));
	return len;
}

static void check_payload(const u8 *got, size_t len, unsigned n)
{
	u8 want[2048];

	assert_int_equal(len, payload(want, n));
	assert_memory_equal(got, want, len);
}

static void drop_others(struct bench *b)
{
	struct rig *r = b->f.r;
	unsigned keep = 0;
	size_t len;

	for (unsigned i = 0; i < r->num_got; i++) {
		if (b->k->unwrap(r->got[i].bytes, r->got[i].len, &len))
			r->got[keep++] = r->got[i];
		else
			free(r->got[i].bytes);
	}
	r->num_got = keep;
}

struct want {
	struct bench *b;
	unsigned n;
};

static bool has_frames(void *arg)
{
	struct want *w = arg;

	drop_others(w->b);
	return w->b->f.r->num_got >= w->n;
}

static void check_got(struct bench *b, unsigned first, unsigned n)
{
	struct rig *r = b->f.r;
	struct want w = { b, n };
	size_t len;
	const u8 *p;

	assert_true(rig_wait(r, has_frames, &w));
	for (unsigned i = 0; i < n; i++) {
		p = b->k->unwrap(r->got[i].bytes, r->got[i].len, &len);
		check_payload(p, len, first + i);
		if (r->hdr_len)
			assert_int_equal(r->got[i].hdr.gso_type, 0);
	}
	rig_forget(r);
}

static int near_send(struct bench *b, unsigned n)
{
	u8 p[2048];
	size_t len = payload(p, n);

	len = b->k->wrap(&b->f, scratch, p, len);
	return rig_send(b->f.r, NULL, scratch, len);
}

static void far_check(struct bench *b, unsigned n)
{
	u8 p[2048];
	ssize_t len = -1;

	for (unsigned i = 0; i < 500 && len < 0; i++) {
		len = b->k->recv(&b->f, p, sizeof(p));
		if (len < 0)
			loop_step(b->f.r->loop, 10);
	}
	assert_true(len > 0);
	check_payload(p, (size_t)len, n);
}

static void frames_go_out_whole_and_in_order(void **state)
{
	struct bench *b = begin(state);

	for (unsigned i = 0; i < 40; i++) {
		assert_int_equal(near_send(b, i), 0);
		if (i % 5 == 4) {
			net_flush(b->f.r->net);
			for (unsigned k = i - 4; k <= i; k++)
				far_check(b, k);
		}
	}
	assert_true(net_stats(b->f.r->net)->tx_frames >= 40);
	assert_int_equal(net_stats(b->f.r->net)->tx_dropped, 0);
	end(b);
}

static void frames_come_in_whole_and_in_order(void **state)
{
	struct bench *b = begin(state);
	u8 p[2048];

	for (unsigned i = 0; i < 100; i++)
		b->k->send(&b->f, p, payload(p, i));
	check_got(b, 0, 100);
	assert_true(b->f.r->readables < 100 + 40); /* not each on its own, but for bad luck */
	end(b);
}

static void frames_wait_for_a_front_end_that_takes_none(void **state)
{
	struct bench *b = begin(state);
	struct rig *r = b->f.r;
	unsigned before;
	u8 p[2048];

	rig_settle(r);
	net_rx(r->net, false);
	before = r->readables;
	for (unsigned i = 0; i < 20; i++)
		b->k->send(&b->f, p, payload(p, i));
	rig_settle(r);
	assert_int_equal(r->readables, before);
	net_rx(r->net, true);
	rig_pull(r);
	check_got(b, 0, 20);
	end(b);
}

static void a_front_end_may_stop_in_the_middle(void **state)
{
	struct bench *b = begin(state);
	struct rig *r = b->f.r;
	u8 p[2048];

	r->taking = false;
	for (unsigned i = 0; i < 30; i++)
		b->k->send(&b->f, p, payload(p, i));
	for (unsigned i = 0; i < 500 && r->num_got < 30; i++) {
		/* One at a time */
		loop_step(r->loop, 1);
		rig_pull_one(r);
		drop_others(b);
		net_rx(r->net, i & 1);
	}
	net_rx(r->net, true);
	check_got(b, 0, 30);
	end(b);
}

static bool wrote(void *arg)
{
	return ((struct rig *)arg)->writables > 0;
}

static void a_far_end_that_does_not_read_stops_us_and_nothing_is_lost(void **state)
{
	struct bench *b = begin(state);
	struct rig *r = b->f.r;
	unsigned sent = 0, seen = 0;
	int rc = 0;

	if (!b->k->can_fill) {
		end(b);
		return;
	}
	while (sent < 100000 && !(rc = near_send(b, sent)))
		sent++;
	assert_int_equal(rc, -EAGAIN);
	rig_settle(r);
	assert_int_equal(r->writables, 0);
	/* How much room is enough to tell of it is the kernel's business */
	while (seen < sent && !r->writables) {
		far_check(b, seen++);
		loop_step(r->loop, 0);
	}
	assert_true(rig_wait(r, wrote, r));
	assert_int_equal(near_send(b, sent), 0);
	net_flush(r->net);
	while (seen <= sent)
		far_check(b, seen++);
	end(b);
}

static void runts_and_giants_are_refused(void **state)
{
	struct bench *b = begin(state);
	struct rig *r = b->f.r;
	u64 dropped = net_stats(r->net)->tx_dropped;

	assert_int_equal(rig_send(r, NULL, scratch, 13), -EMSGSIZE);
	assert_int_equal(rig_send(r, NULL, scratch, NET_MAX_FRAME + 1), -EMSGSIZE);
	assert_int_equal(net_stats(r->net)->tx_dropped, dropped + 2);
	assert_int_equal(near_send(b, 3), 0);
	net_flush(r->net);
	far_check(b, 3);
	end(b);
}

static bool waits(void *arg)
{
	struct bench *b = arg;
	const u8 *eth;
	size_t len;

	while (net_peek(b->f.r->net, &eth)) {
		if (b->k->unwrap(eth, 1500, &len))
			return true;
		net_drop(b->f.r->net);
	}
	return false;
}

static void a_frame_that_does_not_fit_is_lost_and_counted(void **state)
{
	struct bench *b = begin(state);
	struct rig *r = b->f.r;
	u64 dropped;
	u8 p[2048], small[40];
	struct iovec iov = { small, sizeof(small) };

	r->taking = false;
	b->k->send(&b->f, p, payload(p, 3));
	b->k->send(&b->f, p, payload(p, 4));
	assert_true(rig_wait(r, waits, b));
	dropped = net_stats(r->net)->rx_dropped;
	assert_int_equal(net_recv(r->net, &iov, 1), -EMSGSIZE);
	assert_int_equal(net_stats(r->net)->rx_dropped, dropped + 1);
	assert_true(rig_wait(r, waits, b));
	rig_pull_one(r);
	check_got(b, 4, 1);
	end(b);
}

static void a_stopped_back_end_calls_nobody_and_goes_on_later(void **state)
{
	struct bench *b = begin(state);
	struct rig *r = b->f.r;
	unsigned before;
	u8 p[2048];

	rig_settle(r);
	net_stop(r->net);
	net_stop(r->net);
	before = r->readables + r->writables + r->links;
	b->k->send(&b->f, p, payload(p, 1));
	rig_settle(r);
	assert_int_equal(r->readables + r->writables + r->links, before);
	assert_int_not_equal(near_send(b, 0), 0);
	assert_int_equal(net_start(r->net), 0);
	check_got(b, 1, 1);
	assert_int_equal(near_send(b, 2), 0);
	net_flush(r->net);
	far_check(b, 2);
	end(b);
}

static void every_frame_is_in_the_capture(void **state)
{
	struct bench *b = begin(state);
	struct rig *r = b->f.r;
	u8 p[2048], file[1 << 16];
	size_t len, at = 24;
	unsigned found = 0;
	char path[128];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/pcap", r->folder);
	assert_int_equal(net_pcap(r->net, path, NULL), 0);
	assert_int_equal(near_send(b, 2), 0);
	net_flush(r->net);
	far_check(b, 2);
	b->k->send(&b->f, p, payload(p, 3));
	check_got(b, 3, 1);
	fd = open(path, O_RDONLY);
	n = read(fd, file, sizeof(file));
	close(fd);
	assert_true(n > 24);
	assert_int_equal(load_le32(file), 0xa1b23c4d);
	while (at + 16 <= (size_t)n) {
		const u8 *q = b->k->unwrap(file + at + 16, load_le32(file + at + 8), &len);

		/* The first one carries payload 2 to the far end, then payload 3 came; a frame of
		 * ours to a UDP socket has another port, so only the second is recognised there */
		if (q) {
			u8 want[2048];

			if (b->k->unwrap == raw_unwrap && !found)
				assert_int_equal(len, payload(want, 2));
			else
				assert_int_equal(len, payload(want, 3));
			assert_memory_equal(q, want, len);
			found++;
		}
		at += 16 + load_le32(file + at + 8);
	}
	assert_int_equal(at, n);
	assert_int_equal(found, b->k->unwrap == raw_unwrap ? 2 : 1);
	end(b);
}

#define TEST(t) { #t, t }
static const struct {
	const char *name;
	void (*fn)(void **);
} tests[] = {
	TEST(frames_go_out_whole_and_in_order),
	TEST(frames_come_in_whole_and_in_order),
	TEST(frames_wait_for_a_front_end_that_takes_none),
	TEST(a_front_end_may_stop_in_the_middle),
	TEST(a_far_end_that_does_not_read_stops_us_and_nothing_is_lost),
	TEST(runts_and_giants_are_refused),
	TEST(a_frame_that_does_not_fit_is_lost_and_counted),
	TEST(a_stopped_back_end_calls_nobody_and_goes_on_later),
	TEST(every_frame_is_in_the_capture),
};

int main(void)
{
	static struct CMUnitTest all[ARRAY_LEN(tests) * ARRAY_LEN(kinds)];
	static char names[ARRAY_LEN(all)][128];
	unsigned n = 0;

	for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
		for (unsigned t = 0; t < ARRAY_LEN(tests); t++, n++) {
			snprintf(names[n], sizeof(names[n]), "%s: %s", kinds[k].name, tests[t].name);
			all[n] = (struct CMUnitTest){ .name = names[n], .test_func = tests[t].fn,
						      .initial_state = (void *)(uintptr_t)&kinds[k] };
		}
	}
	return _cmocka_run_group_tests("net", all, n, NULL, NULL);
}
