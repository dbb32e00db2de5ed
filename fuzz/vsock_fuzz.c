// SPDX-License-Identifier: BSD-2-Clause
/* fuzz/vsock_fuzz.c - virtio-sock: the guest's packets, buffers and order, and host programs
 *
 * The input is a program of short commands for a guest and its peers on the fake machine.
 * What is checked: a window is never exceeded towards the guest, packets have the right
 * form, and at the end of all connections nothing is left. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "device/virtio/vsock_int.h"
#include "lib/fake.h"
#include "input.h"

#define RX 16u
#define RX_BYTES 512u
#define HOSTS 8u

struct world {
	struct fake *f;
	struct gvio *g;
	struct vsock *s;
	struct vsk_hub *hub;
	struct dev *dev;
	gpa_t rx_at[VQ_MAX_SIZE];
	u32 host_port[HOSTS]; /* of REQUESTs seen last */
	unsigned seen;
	int host[HOSTS], lfd;
	gpa_t tx_at;
	u64 mark; /* guest memory in use between inputs */
};

static void post_rx(struct world *w, gpa_t at)
{
	struct gseg seg = { at, RX_BYTES, true };
	int head = gvq_add(w->g, VSOCK_RX, &seg, 1);

	if (head >= 0)
		w->rx_at[head] = at;
}

static void take_packets(struct world *w, bool give_back)
{
	u32 n;
	int head;

	while ((head = gvq_get(w->g, VSOCK_RX, &n)) >= 0) {
		struct vsock_hdr h;

		require(n >= sizeof(h) && n <= RX_BYTES, "a packet of odd length");
		memcpy(&h, fake_ptr(w->f, w->rx_at[head], n), sizeof(h));
		require(le32_get(h.len) == n - sizeof(h), "a packet whose length is not its length");
		require(le16_get(h.op) >= VSOCK_OP_REQUEST && le16_get(h.op) < VSOCK_NUM_OPS, "an odd op");
		require(le16_get(h.op) == VSOCK_OP_RW || n == sizeof(h), "bytes behind a control packet");
		if (le16_get(h.op) == VSOCK_OP_REQUEST)
			w->host_port[w->seen++ % HOSTS] = le32_get(h.src_port);
		if (give_back)
			post_rx(w, w->rx_at[head]);
	}
	while (gvq_get(w->g, VSOCK_TX, NULL) >= 0)
		;
	if (give_back)
		gvio_kick(w->g, VSOCK_RX);
}

/* A packet with more or less sensible fields */
static void send_packet(struct world *w, struct in *in)
{
	u8 sense = u8_of(in), pick = u8_of(in);
	u32 len = u8_of(in) << (sense & 7), said = sense & 8 ? u32_of(in) : len;
	struct vsock_hdr h = {
		.src_cid = le64_of(sense & 16 ? u32_of(in) : 3),
		.dst_cid = le64_of(sense & 32 ? u32_of(in) : 2),
		.src_port = le32_of(pick & 7),
		.dst_port = le32_of(pick & 8 ? w->host_port[pick >> 4 & 7] : 100 + (pick >> 4 & 1)),
		.len = le32_of(said),
		.type = le16_of(sense & 64 ? u8_of(in) : 1),
		.op = le16_of(u8_of(in) % 9),
		.flags = le32_of(u8_of(in) % 5),
		.buf_alloc = le32_of(sense & 128 ? u32_of(in) : 65536),
		.fwd_cnt = le32_of(sense & 128 ? u32_of(in) : 0),
	};
	u8 cut = u8_of(in);
	u32 n = (cut & 3) == 3 ? cut >> 2 : (u32)sizeof(h) + len;
	struct gseg seg[2] = { { w->tx_at, MIN(n, 44), false }, { w->tx_at + 44, n - MIN(n, 44), false } };

	if (cut & 4)
		seg[0] = (struct gseg){ w->tx_at, n, false };
	memcpy(fake_ptr(w->f, w->tx_at, 44), &h, sizeof(h));
	if (gvq_add(w->g, VSOCK_TX, seg, (cut & 4) || n <= 44 ? 1 : 2) < 0)
		return;
	gvio_kick(w->g, VSOCK_TX);
}

static void host_acts(struct world *w, struct in *in)
{
	static u8 junk[4096];
	u8 what = u8_of(in);
	int *fd = &w->host[what & 7];

	switch (what >> 3 & 7) {
	case 0:
		if (*fd < 0 && vsk_hub_connect(w->hub, what & 3, fd))
			*fd = -1;
		break;
	case 1:
		if (*fd < 0 && w->lfd >= 0 && vsk_hub_accept(w->lfd, fd, NULL))
			*fd = -1;
		break;
	case 2:
	case 3:
		(void)!send(*fd, junk, 1u << (what >> 6) * 4, MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case 4:
	case 5:
		(void)!recv(*fd, junk, 1u << (what >> 6) * 4, MSG_DONTWAIT);
		break;
	case 6:
		shutdown(*fd, what >> 6 & 1 ? SHUT_WR : SHUT_RD);
		break;
	case 7:
		if (*fd >= 0)
			close(*fd);
		*fd = -1;
		break;
	}
}

static void open_guest(struct world *w)
{
	w->g = gvio_open(w->f, w->dev, BIT64(VIO_F_INDIRECT), 0);
	for (unsigned i = 0; i < RX; i++)
		post_rx(w, fake_alloc(w->f, RX_BYTES, 16));
	gvio_kick(w->g, VSOCK_RX);
}

/* The machine is made once; each input ends with a reset device and no connection */
static void make_world(struct world *w)
{
	w->f = fake_new();
	if (vsk_hub_create(&w->hub, w->f->loop, NULL))
		abort();
	w->f->env.vsock = w->hub;
	w->dev = fake_dev(w->f, "virtio-sock", 4, "guest_cid=3,api", NULL);
	require(w->dev, "no device");
	w->s = container_of(w->dev, struct vsock, v.dev);
	for (unsigned i = 0; i < HOSTS; i++)
		w->host[i] = -1;
	if (vsk_hub_listen(w->hub, 100, &w->lfd))
		abort();
	fcntl(w->lfd, F_SETFL, O_NONBLOCK);
	w->tx_at = fake_alloc(w->f, 44 + (255u << 7), 16);
	w->mark = w->f->alloc_at;
}

static void check_conns(struct world *w)
{
	for (struct list *l = w->s->conns.next; l != &w->s->conns; l = l->next) {
		struct conn *c = container_of(l, struct conn, all);

		require(c->buf_len <= c->window, "more bytes than the window");
		require(c->state == CONN_DEAD || c->rx_cnt - c->fwd_cnt == c->buf_len,
			"bytes are lost or invented");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct world w;
	struct in in = { data, n };
	int fd;

	if (!w.f)
		make_world(&w);
	open_guest(&w);
	while (in.n) {
		u8 cmd = u8_of(&in);

		switch (cmd & 7) {
		case 0:
		case 1:
		case 2:
			send_packet(&w, &in);
			break;
		case 3:
		case 4:
			host_acts(&w, &in);
			break;
		case 5:
			take_packets(&w, true);
			break;
		case 6:
			take_packets(&w, cmd & 8);
			fake_advance(w.f, (u64)(cmd >> 4) * NS_PER_SEC);
			break;
		case 7:
			if (cmd >> 3 == 31) { /* a driver that starts anew */
				gvio_set_status(w.g, 0);
				gvio_close(w.g);
				fake_release(w.f, w.mark);
				open_guest(&w);
			}
			break;
		}
		if (cmd & 128)
			fake_step(w.f);
		check_conns(&w);
	}
	fake_step(w.f); /* who waits for the device is handed over */
	gvio_set_status(w.g, 0);
	for (unsigned i = 0; i < HOSTS; i++) {
		if (w.host[i] >= 0)
			close(w.host[i]);
		w.host[i] = -1;
	}
	while (!vsk_hub_accept(w.lfd, &fd, NULL))
		close(fd);
	fake_step(w.f);
	require(w.s->num_conns == 0 && w.s->windows == 0, "connections are left");
	gvio_close(w.g);
	fake_release(w.f, w.mark);
	return 0;
}
