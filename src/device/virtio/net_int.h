// SPDX-License-Identifier: BSD-2-Clause
/* device/virtio/net_int.h - What the files of virtio-net share
 *
 * net.c: options, features, life; net_io.c: frames; net_ctrl.c: control queue, address filter. */
#ifndef DEVICE_VIRTIO_NET_INT_H
#define DEVICE_VIRTIO_NET_INT_H

#include "backend/net/net.h"
#include "device/virtio/net.h"
#include "device/virtio/vio.h"

/* virtio 1.2, 5.1.3 */
#define NET_F_CSUM 0
#define NET_F_GUEST_CSUM 1
#define NET_F_CTRL_GUEST_OFFLOADS 2
#define NET_F_MTU 3
#define NET_F_MAC 5
#define NET_F_GUEST_TSO4 7
#define NET_F_GUEST_TSO6 8
#define NET_F_HOST_TSO4 11
#define NET_F_HOST_TSO6 12
#define NET_F_MRG_RXBUF 15
#define NET_F_STATUS 16
#define NET_F_CTRL_VQ 17
#define NET_F_CTRL_RX 18
#define NET_F_CTRL_RX_EXTRA 20
#define NET_F_GUEST_ANNOUNCE 21
#define NET_F_CTRL_MAC_ADDR 23

enum { NET_Q_RX, NET_Q_TX, NET_Q_CTRL, NET_NUM_QUEUES };

/* Device configuration (5.1.4) */
struct net_config {
	u8 mac[6];
	le16 status, max_pairs, mtu;
} PACKED;
#define NET_S_LINK_UP 1
#define NET_S_ANNOUNCE 2

#define NET_MAX_MACS 64u /* of the filter; more: all frames of that kind are taken */

/* What the driver wants to receive (5.1.6.5.1, 5.1.6.5.2) */
struct net_filter {
	bool promisc, all_multi, all_uni, no_multi, no_uni, no_bcast;
	bool uni_overflow, multi_overflow;
	unsigned num_uni, num_multi;
	u8 uni[NET_MAX_MACS][6], multi[NET_MAX_MACS][6];
};

struct vnet {
	struct vio v;
	struct net *net;
	char name[40];		/* (c) "virtio-net 0:2.0" */
	u8 mac0[6];		/* (c) at power-on */
	unsigned mtu0;		/* (c) 0: not told to the guest */

	/* [loop] */
	u8 mac[6];		/* as the driver set it: the filter's */
	struct net_filter filter;
	u32 offloads;		/* NET_* in use */
	unsigned hdr_len;	/* 12, or 10 of a legacy driver without mergeable buffers */
	bool mergeable;
	bool net_hdr;		/* the back end makes and reads the header */
	bool rx_starved;	/* the driver gave no buffers: notify starts the flow again */
	bool tx_blocked;	/* the back end is full: writable() starts the flow again */
	struct timer tx_timer;
	bool tx_owed;		/* an interrupt for frames that were sent: tx_timer is armed */
	u64 rx_no_buffer, rx_filtered, tx_bad;
	struct vq_chain *chain[VQ_MAX_SIZE];	 /* of the frame under way */
	struct iovec iov[2 * VQ_MAX_SIZE];
};

/* ---- net.c ---- */

/* Use other offloads: NET_* of backend/net/net.h */
void vnet_set_offloads(struct vnet *n, u32 bits);
/* NET_RX_* that the driver's feature bits @f stand for */
u32 vnet_offloads_of(u64 f);

/* ---- net_io.c ---- */

void vnet_rx(struct vnet *n); /* pull what waits, as far as there are buffers */
void vnet_tx(struct vnet *n);
void vnet_tx_signal(void *vnet); /* of tx_timer */

/* ---- net_ctrl.c ---- */

void vnet_filter_reset(struct vnet *n);
bool vnet_wants(struct vnet *n, const u8 *eth);
void vnet_ctrl(struct vnet *n);

#endif
