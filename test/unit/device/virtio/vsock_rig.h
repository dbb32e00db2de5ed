// SPDX-License-Identifier: BSD-2-Clause
/* test/unit/device/virtio/vsock_rig.h - A guest's vsock packets on the fake machine
 *
 * The guest's side is written by hand, packet by packet, from virtio 1.2, 5.10. Host
 * programs are the embedder's (hub) or sockets in a folder of the test's own. */
#ifndef VSOCK_RIG_H
#define VSOCK_RIG_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "device/virtio/vsock_int.h"
#include "lib/fake.h"

#define CID 3u
#define RX_BYTES 4096u
#define GUEST_WINDOW (256u << 10)

struct packet {
	u64 src_cid, dst_cid;
	u32 src_port, dst_port, len, flags, buf_alloc, fwd_cnt;
	u16 type, op;
	u8 data[RX_BYTES];
};

/* The guest's end of a connection */
struct gsock {
	u32 port, host_port;
	u32 sent, got;	       /* bytes */
	u32 window;	       /* our buf_alloc */
	u32 read;	       /* our fwd_cnt */
	u32 peer_alloc, peer_fwd; /* the device's words */
};

struct rig {
	struct fake *f;
	struct vsk_hub *hub;
	struct dev *dev;
	struct vsock *s;
	struct gvio *g;
	char dir[48];
	gpa_t rx_at[VQ_MAX_SIZE]; /* by head */
	u32 rx_bytes;
	unsigned rx_posted;
	bool rx_hold; /* do not give buffers back */
	struct packet p; /* the last one */
};

static inline void rig_rx(struct rig *r, unsigned n, u32 bytes)
{
	for (unsigned i = 0; i < n; i++) {
		struct gseg seg = { fake_alloc(r->f, bytes, 16), bytes, true };
		int head = gvq_add(r->g, VSOCK_RX, &seg, 1);

		assert_true(head >= 0);
		r->rx_at[head] = seg.gpa;
		r->rx_posted++;
	}
	r->rx_bytes = bytes;
	gvio_kick(r->g, VSOCK_RX);
}

static inline void rig_open(struct rig *r, const char *opts, unsigned rx, unsigned flags)
{
	char text[256];
	struct hk_err err = { "" };

	r->f = fake_new();
	assert_int_equal(vsk_hub_create(&r->hub, r->f->loop, NULL), 0);
	r->f->env.vsock = r->hub;
	snprintf(r->dir, sizeof(r->dir), "/tmp/hk-vsock-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(text, sizeof(text), "guest_cid=3,path=%s%s", r->dir, opts);
	r->dev = fake_dev(r->f, "virtio-sock", 4, text, &err);
	if (!r->dev)
		fail_msg("%s", err.text);
	r->s = container_of(r->dev, struct vsock, v.dev);
	r->g = gvio_open(r->f, r->dev, BIT64(VIO_F_EVENT_IDX) | BIT64(VIO_F_INDIRECT), flags);
	if (rx)
		rig_rx(r, rx, RX_BYTES);
}

static inline struct rig *rig_new(void)
{
	struct rig *r = calloc(1, sizeof(*r));

	rig_open(r, "", 64, 0);
	return r;
}

static inline void rig_free(struct rig *r)
{
	char cmd[80];

	gvio_close(r->g);
	fake_dev_free(r->dev);
	vsk_hub_destroy(r->hub);
	fake_free(r->f);
	snprintf(cmd, sizeof(cmd), "rm -r %s", r->dir);
	assert_int_equal(system(cmd), 0);
	free(r);
}

/* ---- the guest sends ---- */

static inline struct vsock_hdr hdr(const struct gsock *c, u16 op, u32 len, u32 flags)
{
	return (struct vsock_hdr){
		.src_cid = le64_of(CID), .dst_cid = le64_of(2), .src_port = le32_of(c->port),
		.dst_port = le32_of(c->host_port), .len = le32_of(len),
		.type = le16_of(VSOCK_TYPE_STREAM), .op = le16_of(op), .flags = le32_of(flags),
		.buf_alloc = le32_of(c->window), .fwd_cnt = le32_of(c->read),
	};
}

static inline void send_raw(struct rig *r, const struct vsock_hdr *h, const void *data, u32 len)
{
	u8 *buf = malloc(sizeof(*h) + len);

	memcpy(buf, h, sizeof(*h));
	if (len)
		memcpy(buf + sizeof(*h), data, len);
	gvio_request(r->g, VSOCK_TX, buf, sizeof(*h) + len, NULL, 0);
	free(buf);
}

static inline void send_op(struct rig *r, const struct gsock *c, u16 op, u32 flags)
{
	struct vsock_hdr h = hdr(c, op, 0, flags);

	send_raw(r, &h, NULL, 0);
}

static inline void send_data(struct rig *r, struct gsock *c, const void *data, u32 len)
{
	struct vsock_hdr h = hdr(c, VSOCK_OP_RW, len, 0);

	send_raw(r, &h, data, len);
	c->sent += len;
}

/* ---- the guest receives ---- */

/* Next packet into r->p. False: the device has none to say */
static inline bool rig_recv(struct rig *r)
{
	const struct vsock_hdr *h;
	u32 n;
	int head = gvq_get(r->g, VSOCK_RX, &n);

	if (head < 0) {
		fake_step(r->f);
		head = gvq_get(r->g, VSOCK_RX, &n);
	}
	if (head < 0)
		return false;
	assert_true(n >= sizeof(*h) && n <= r->rx_bytes);
	h = fake_ptr(r->f, r->rx_at[head], n);
	r->p = (struct packet){
		.src_cid = le64_get(h->src_cid), .dst_cid = le64_get(h->dst_cid),
		.src_port = le32_get(h->src_port), .dst_port = le32_get(h->dst_port),
		.len = le32_get(h->len), .flags = le32_get(h->flags),
		.buf_alloc = le32_get(h->buf_alloc), .fwd_cnt = le32_get(h->fwd_cnt),
		.type = le16_get(h->type), .op = le16_get(h->op),
	};
	assert_int_equal(r->p.len, n - sizeof(*h));
	memcpy(r->p.data, h + 1, r->p.len);
	r->rx_posted--;
	if (!r->rx_hold) {
		struct gseg seg = { r->rx_at[head], r->rx_bytes, true };
		gpa_t at = r->rx_at[head];

		head = gvq_add(r->g, VSOCK_RX, &seg, 1);
		assert_true(head >= 0);
		r->rx_at[head] = at;
		r->rx_posted++;
		gvio_kick(r->g, VSOCK_RX);
	}
	return true;
}

#define want_packet(r, want)                                                                 \
	do {                                                                                 \
		if (!rig_recv(r))                                                            \
			fail_msg("no packet instead of op %d", want);                        \
		if ((r)->p.op != (want))                                                     \
			fail_msg("op %d (flags %u) instead of %d", (r)->p.op, (r)->p.flags, want); \
	} while (0)
#define want_silence(r)                                                     \
	do {                                                                \
		if (rig_recv(r))                                            \
			fail_msg("op %d instead of silence", (r)->p.op);    \
	} while (0)

static inline void take_words(struct rig *r, struct gsock *c)
{
	assert_int_equal(r->p.src_cid, 2);
	assert_int_equal(r->p.dst_cid, CID);
	assert_int_equal(r->p.src_port, c->host_port);
	assert_int_equal(r->p.dst_port, c->port);
	assert_int_equal(r->p.type, VSOCK_TYPE_STREAM);
	c->peer_alloc = r->p.buf_alloc;
	c->peer_fwd = r->p.fwd_cnt;
}

/* ---- connections ---- */

/* A host program (the embedder) connects, the guest accepts. Return: the program's end */
static inline int host_connects(struct rig *r, struct gsock *c, u32 port)
{
	int fd;

	assert_int_equal(vsk_hub_connect(r->hub, port, &fd), 0);
	want_packet(r, VSOCK_OP_REQUEST);
	assert_int_equal(r->p.dst_port, port);
	assert_true(r->p.src_port > 65535);
	*c = (struct gsock){ .port = port, .host_port = r->p.src_port, .window = GUEST_WINDOW };
	take_words(r, c);
	send_op(r, c, VSOCK_OP_RESPONSE, 0);
	return fd;
}

static inline int listen_in(struct rig *r, const char *name, int backlog)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/%s", r->dir, name);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

static inline int connect_in(struct rig *r, const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/%s", r->dir, name);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* The guest connects to port 4096 of the embedder, @lfd. Return: the program's end */
static inline int guest_connects(struct rig *r, struct gsock *c, u32 guest_port, u32 port, int lfd)
{
	u32 from;
	int fd;

	*c = (struct gsock){ .port = guest_port, .host_port = port, .window = GUEST_WINDOW };
	send_op(r, c, VSOCK_OP_REQUEST, 0);
	want_packet(r, VSOCK_OP_RESPONSE);
	take_words(r, c);
	assert_int_equal(vsk_hub_accept(lfd, &fd, &from), 0);
	assert_int_equal(from, guest_port);
	return fd;
}

/* What the program can read now, without waiting */
static inline ssize_t host_read(int fd, void *buf, size_t n)
{
	ssize_t r = recv(fd, buf, n, MSG_DONTWAIT);

	return r < 0 ? -errno : r;
}

static inline void want_host_eof(int fd)
{
	u8 b;
	ssize_t n = host_read(fd, &b, 1);

	if (n != 0 && n != -ECONNRESET)
		fail_msg("%zd instead of end of file", n);
}

#endif
