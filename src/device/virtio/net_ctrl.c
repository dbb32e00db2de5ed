// SPDX-License-Identifier: BSD-2-Clause
/* device/virtio/net_ctrl.c - virtio-net: control queue and address filter (5.1.6.5)
 *
 * The filter spares the guest frames that are not its own; it protects nobody, as a driver
 * may ask for all frames of its network at any time. [loop] */
#include <string.h>

#include "device/virtio/net_int.h"

#define CLASS_RX 0
#define RX_PROMISC 0
#define RX_ALLMULTI 1
#define RX_ALLUNI 2
#define RX_NOMULTI 3
#define RX_NOUNI 4
#define RX_NOBCAST 5
#define CLASS_MAC 1
#define MAC_TABLE_SET 0
#define MAC_ADDR_SET 1
#define CLASS_ANNOUNCE 3
#define ANNOUNCE_ACK 0
#define CLASS_OFFLOADS 5
#define OFFLOADS_SET 0

#define HEAD_BYTES 2u /* class, command */
#define BUDGET 16u

void vnet_filter_reset(struct vnet *n)
{
	/* A driver that never speaks of it gets all */
	n->filter = (struct net_filter){ .promisc = true };
}

static bool listed(const u8 (*table)[6], unsigned num, const u8 *mac)
{
	for (unsigned i = 0; i < num; i++)
		if (!memcmp(table[i], mac, 6))
			return true;
	return false;
}

bool vnet_wants(struct vnet *n, const u8 *eth)
{
	static const u8 broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	const struct net_filter *f = &n->filter;

	if (f->promisc)
		return true;
	if (!memcmp(eth, broadcast, 6))
		return !f->no_bcast;
	if (eth[0] & 1)
		return !f->no_multi && (f->all_multi || f->multi_overflow ||
					listed(f->multi, f->num_multi, eth));
	return !f->no_uni && (f->all_uni || f->uni_overflow || !memcmp(eth, n->mac, 6) ||
			      listed(f->uni, f->num_uni, eth));
}

static bool rx_mode(struct vnet *n, u8 cmd, const struct vq_chain *c)
{
	bool *const mode[] = {
		[RX_PROMISC] = &n->filter.promisc, [RX_ALLMULTI] = &n->filter.all_multi,
		[RX_ALLUNI] = &n->filter.all_uni,  [RX_NOMULTI] = &n->filter.no_multi,
		[RX_NOUNI] = &n->filter.no_uni,	   [RX_NOBCAST] = &n->filter.no_bcast,
	};
	u8 on;

	if (cmd >= ARRAY_LEN(mode) || vq_read(c, HEAD_BYTES, &on, 1) != 1)
		return false;
	*mode[cmd] = on;
	return true;
}

/* One of the two tables at byte @*off of the request */
static bool mac_table(const struct vq_chain *c, size_t *off, u8 (*table)[6], unsigned *num,
		      bool *overflow)
{
	le32 count;
	u32 have;

	if (vq_read(c, *off, &count, sizeof(count)) != sizeof(count))
		return false;
	*off += sizeof(count);
	have = le32_get(count);
	if (have > (c->out_len - *off) / 6)
		return false;
	*overflow = have > NET_MAX_MACS;
	*num = *overflow ? 0 : have;
	if (*num && vq_read(c, *off, table, *num * 6u) != *num * 6u)
		return false;
	*off += (size_t)have * 6;
	return true;
}

static bool mac_command(struct vnet *n, u8 cmd, const struct vq_chain *c)
{
	struct net_filter f = n->filter;
	size_t off = HEAD_BYTES;
	u8 mac[6];

	switch (cmd) {
	case MAC_TABLE_SET:
		if (!mac_table(c, &off, f.uni, &f.num_uni, &f.uni_overflow) ||
		    !mac_table(c, &off, f.multi, &f.num_multi, &f.multi_overflow))
			return false;
		n->filter = f;
		return true;
	case MAC_ADDR_SET:
		if (c->out_len != HEAD_BYTES + 6 || vq_read(c, HEAD_BYTES, mac, 6) != 6)
			return false;
		memcpy(n->mac, mac, 6);
		vio_config_set(&n->v, offsetof(struct net_config, mac), mac, 6);
		return true;
	default:
		return false;
	}
}

static bool announce(struct vnet *n, u8 cmd)
{
	struct net_config cfg;

	if (cmd != ANNOUNCE_ACK)
		return false;
	vio_config_get(&n->v, 0, &cfg, sizeof(cfg));
	cfg.status = le16_of((u16)(le16_get(cfg.status) & ~NET_S_ANNOUNCE));
	vio_config_set(&n->v, offsetof(struct net_config, status), &cfg.status, 2);
	return true;
}

static bool offloads(struct vnet *n, u8 cmd, const struct vq_chain *c)
{
	const u32 rx = NET_RX_CSUM | NET_RX_TSO4 | NET_RX_TSO6;
	le64 bits;
	u64 want;

	if (cmd != OFFLOADS_SET || !vio_has(&n->v, NET_F_CTRL_GUEST_OFFLOADS) ||
	    vq_read(c, HEAD_BYTES, &bits, sizeof(bits)) != sizeof(bits))
		return false;
	want = le64_get(bits);
	if (want & ~n->v.acked)
		return false;
	vnet_set_offloads(n, (n->offloads & ~rx) | (vnet_offloads_of(want) & rx));
	return true;
}

static bool command(struct vnet *n, const struct vq_chain *c)
{
	u8 head[HEAD_BYTES];

	if (vq_read(c, 0, head, sizeof(head)) != sizeof(head))
		return false;
	switch (head[0]) {
	case CLASS_RX:
		return rx_mode(n, head[1], c);
	case CLASS_MAC:
		return mac_command(n, head[1], c);
	case CLASS_ANNOUNCE:
		return announce(n, head[1]);
	case CLASS_OFFLOADS:
		return offloads(n, head[1], c);
	default:
		return false;
	}
}

void vnet_ctrl(struct vnet *n)
{
	struct vq *q = &n->v.q[NET_Q_CTRL];
	unsigned left = BUDGET;
	struct vq_chain *c;

	vq_kicks_off(q);
	while (left && (c = vq_pop(q))) {
		u8 ack;

		left--;
		if (!c->in_len) {
			vq_broken(q, "a command without room for its answer");
			return;
		}
		ack = command(n, c) ? 0 : 1; /* OK, ERR */
		vq_push(q, c, (u32)vq_write(c, 0, &ack, 1));
	}
	vq_signal(q);
	if (!left || vq_kicks_on(q))
		vio_kick(&n->v, NET_Q_CTRL);
}
