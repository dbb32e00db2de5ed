// SPDX-License-Identifier: BSD-2-Clause
/* device/virtio/net_io.c - virtio-net: frames (virtio 1.2, 5.1.6)
 *
 * Transmit: each chain is a header and a frame, given to the back end as it lies in guest
 * memory. Receive: frames are pulled from the back end straight into the driver's buffers.
 * Used entries are published and the driver is interrupted once a burst. [loop] */
#include <errno.h>

#include "device/virtio/net_int.h"

/* Frames of one burst, so that the loop's other work has its turn */
#define BURST 256u
#define TX_SIGNAL_NS (NS_PER_SEC / 1000)

/* ---- receive ---- */

enum gather { GATHER_OK, GATHER_STARVED, GATHER_TOO_LARGE, GATHER_BROKEN };

static void put_back(struct vq *q, struct vnet *n, unsigned chains)
{
	while (chains)
		vq_unpop(q, n->chain[--chains]);
}

/* Chains for @total bytes; the driver sees nothing of it until they are filled */
static enum gather gather(struct vnet *n, struct vq *q, size_t total, unsigned *num_chains,
			  unsigned *num_iov)
{
	size_t have = 0;
	unsigned chains = 0, pieces = 0;

	while (have < total) {
		struct vq_chain *c = chains < ARRAY_LEN(n->chain) ? vq_pop(q) : NULL;

		if (!c && chains < ARRAY_LEN(n->chain)) {
			/* The kick is asked for while those that do not suffice are out, so that it
			 * comes for one more. Some may have come between the look and the asking. */
			if (vq_kicks_on(q) && !q->broken) {
				vq_kicks_off(q);
				continue;
			}
			put_back(q, n, chains);
			return q->broken ? GATHER_BROKEN : GATHER_STARVED;
		}
		if (!c) {
			put_back(q, n, chains);
			return GATHER_TOO_LARGE;
		}
		n->chain[chains++] = c;
		if (c->in_len < n->hdr_len) {
			vq_broken(q, "a receive buffer smaller than a header");
			return GATHER_BROKEN;
		}
		if (pieces + c->num_in > ARRAY_LEN(n->iov) || (!n->mergeable && c->in_len < total)) {
			put_back(q, n, chains);
			return GATHER_TOO_LARGE;
		}
		memcpy(n->iov + pieces, c->in, c->num_in * sizeof(c->in[0]));
		pieces += c->num_in;
		have += c->in_len;
	}
	*num_chains = chains;
	*num_iov = pieces;
	return GATHER_OK;
}

static void fill(struct vnet *n, struct vq *q, unsigned chains, unsigned pieces, size_t total)
{
	const struct net_hdr plain = { .num_buffers = le16_of((u16)chains) };
	struct vq_chain *first = n->chain[0];
	int cnt = (int)pieces;

	if (!n->net_hdr)
		cnt = iov_slice(n->iov, pieces, n->hdr_len, total - n->hdr_len, n->iov,
				ARRAY_LEN(n->iov));
	if (cnt < 0 || net_recv(n->net, n->iov, (unsigned)cnt) < 0) {
		put_back(q, n, chains);
		return;
	}
	if (!n->net_hdr)
		vq_write(first, 0, &plain, n->hdr_len);
	else if (n->hdr_len == sizeof(plain))
		vq_write(first, offsetof(struct net_hdr, num_buffers), &plain.num_buffers, 2);
	for (unsigned i = 0; i < chains; i++) {
		u32 len = (u32)MIN(total, n->chain[i]->in_len);

		total -= len;
		vq_fill(q, n->chain[i], len);
	}
}

/* One frame. Return: go on? */
static bool rx_one(struct vnet *n, struct vq *q)
{
	unsigned chains, pieces;
	const u8 *eth;
	size_t len = net_peek(n->net, &eth), total;

	if (!len)
		return false;
	if (!vnet_wants(n, eth)) {
		n->rx_filtered++;
		net_drop(n->net);
		return true;
	}
	total = len + (n->net_hdr ? 0 : n->hdr_len);
	switch (gather(n, q, total, &chains, &pieces)) {
	case GATHER_OK:
		fill(n, q, chains, pieces, total);
		return true;
	case GATHER_TOO_LARGE:
		n->rx_no_buffer++;
		net_drop(n->net);
		return true;
	case GATHER_STARVED:
		n->rx_starved = true;
		net_rx(n->net, false);
		return false;
	default:
		return false;
	}
}

void vnet_rx(struct vnet *n)
{
	struct vq *q = &n->v.q[NET_Q_RX];

	if (!n->v.active || n->rx_starved)
		return;
	/* Bounded by what the back end has at hand: it gets no new frames in here */
	while (rx_one(n, q))
		;
	vq_publish(q);
	vq_signal(q);
}

/* ---- transmit ---- */

static int tx_one(struct vnet *n, const struct vq_chain *c)
{
	int cnt;

	if (c->out_len <= n->hdr_len)
		return -EINVAL;
	if (n->net_hdr)
		return net_send(n->net, c->out, c->num_out);
	/* Nothing was negotiated that a header could ask for */
	cnt = iov_slice(c->out, c->num_out, n->hdr_len, c->out_len - n->hdr_len, n->iov,
			ARRAY_LEN(n->iov));
	return cnt < 0 ? cnt : net_send(n->net, n->iov, (unsigned)cnt);
}

void vnet_tx_signal(void *arg)
{
	struct vnet *n = arg;

	n->tx_owed = false;
	if (n->v.active)
		vq_signal(&n->v.q[NET_Q_TX]);
}

static void signal_later(struct vnet *n)
{
	if (n->tx_owed)
		return;
	n->tx_owed = true;
	timer_arm(&n->tx_timer, clock_ns(n->v.dev.env->clock) + TX_SIGNAL_NS);
}

void vnet_tx(struct vnet *n)
{
	struct vq *q = &n->v.q[NET_Q_TX], *rx = &n->v.q[NET_Q_RX];
	unsigned left = BURST;
	struct vq_chain *c;
	u64 received;

	if (!n->v.active || n->tx_blocked)
		return;
	vq_kicks_off(q);
	while (left && (c = vq_pop(q))) {
		int rc = tx_one(n, c);

		if (rc == -EAGAIN) {
			vq_unpop(q, c);
			n->tx_blocked = true;
			break;
		}
		if (rc)
			n->tx_bad++;
		vq_fill(q, c, 0);
		left--;
	}
	vq_publish(q);
	received = rx->signals;
	net_flush(n->net);
	/* Answers came at once and the driver was interrupted for them: drivers look at what was
	 * sent then, too. For one that does not the timer comes a little later. */
	if (rx->signals == received)
		vq_signal(q);
	else
		signal_later(n);
	if (n->tx_blocked)
		return;
	if (!left || vq_kicks_on(q))
		vio_kick(&n->v, NET_Q_TX);
}
