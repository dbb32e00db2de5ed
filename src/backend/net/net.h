// SPDX-License-Identifier: BSD-2-Clause
/* backend/net/net.h - Host side of a network port: where Ethernet frames go (door)
 *
 * Pull shape: the back end says "readable", the front end pulls frames straight into the
 * guest's buffers. When the guest has none, it does not pull, calls net_rx(n, false) and the
 * frames wait where they are: in the tap, in the socket, with the peer. That is the
 * back-pressure. In the other direction net_send() says -EAGAIN and "writable" follows.
 *
 * One frame is one Ethernet frame without FCS, at most NET_MAX_FRAME bytes, behind
 * the header that net_set_features() agreed upon. All of it [loop] unless marked. */
#ifndef BACKEND_NET_NET_H
#define BACKEND_NET_NET_H

#include <sys/uio.h>

#include "base/loop.h"
#include "base/types.h"
#include "base/wire.h"

struct net;
struct log;

#define NET_MAX_FRAME 65550u /* 64 KiB of segmentation offload and an Ethernet header, rounded up */
#define NET_MAX_HDR 12u
#define NET_MIN_FRAME 14u    /* Ethernet's header */

/* What a back end can do beyond plain frames. The virtio-net header tells which frames. */
#define NET_TX_CSUM BIT(0) /* net_send() takes frames whose checksum is still to be completed */
#define NET_TX_TSO4 BIT(1) /* ... and TCP segments larger than the MTU */
#define NET_TX_TSO6 BIT(2)
#define NET_RX_CSUM BIT(3) /* net_recv() may give them */
#define NET_RX_TSO4 BIT(4)
#define NET_RX_TSO6 BIT(5)

/* The header before a frame (virtio 1.2, 5.1.6): 12 bytes, or 10 without num_buffers */
struct net_hdr {
	u8 flags, gso_type;
	le16 hdr_len, gso_size, csum_start, csum_offset, num_buffers;
} PACKED;
#define NET_HDR_NEEDS_CSUM 1
#define NET_HDR_DATA_VALID 2
#define NET_HDR_GSO_NONE 0
#define NET_HDR_GSO_TCPV4 1
#define NET_HDR_GSO_TCPV6 4
#define NET_HDR_GSO_ECN 0x80

/* The front end. [loop], never from inside a function of this file but net_flush() */
struct net_peer {
	void (*readable)(void *arg);	 /* frames wait; pull until net_peek() is 0, or net_rx(false) */
	void (*writable)(void *arg);	 /* after -EAGAIN: try again */
	void (*link_changed)(void *arg); /* net_link() says what now */
	void *arg;
};

/* What a back end may use. Constant while it lives. */
struct net_env {
	struct loop *loop;
	struct log *log;
	const char *id;	  /* "virtio-net 0:2.0": for messages and names */
	const char *uuid; /* of the VM as text; NULL = none was given */
};

struct net_stats {
	u64 tx_frames, tx_bytes, tx_dropped;
	u64 rx_frames, rx_bytes, rx_dropped;
};

/* [setup] Kinds: "user", "tap", "vpnkit", "socket", "none" */
int net_open(struct net **out, const char *kind, const char *opts, const struct net_env *env,
	     struct hk_err *err) MUST_CHECK;
void net_close(struct net *n);				  /* [setup] stops; NULL ok */
void net_attach(struct net *n, const struct net_peer *p); /* [setup] stopped */
/* [setup] Write every frame of both directions to @path as a pcap file */
int net_pcap(struct net *n, const char *path, struct hk_err *err) MUST_CHECK;
int net_start(struct net *n) MUST_CHECK; /* [setup] 0 or -errno; idempotent */
void net_stop(struct net *n);	/* [setup] no callback after it returns; idempotent */

/* [setup] NET_* that net_set_features() could accept */
u32 net_features(const struct net *n);
/* Use @bits, a subset of net_features(). @hdr_len: every frame begins with so many bytes of
 * struct net_hdr, in both directions; 0: plain frames (then @bits are 0). Frames that wait are
 * dropped. @mtu: the largest IP packet that the guest wants to see. */
void net_set_features(struct net *n, u32 bits, unsigned hdr_len, unsigned mtu);
/* [setup] What the peer told: address for the guest, MTU (0: it did not say) */
bool net_mac(const struct net *n, u8 mac[6]);
unsigned net_mtu(const struct net *n);
bool net_link(const struct net *n); /* [any] */

/* One frame. 0; -EAGAIN: not now, writable() follows; other -errno: it was dropped and counted.
 * The bytes are the guest's: they may change while they are read. */
int net_send(struct net *n, const struct iovec *iov, unsigned cnt) MUST_CHECK;
/* The end of a burst of net_send(): what was gathered goes out. May call readable() */
void net_flush(struct net *n);
/* Length of the next frame with its header, 0 = none now. *@eth: its Ethernet header, 14 bytes
 * readable, until the next call of any function here. */
size_t net_peek(struct net *n, const u8 **eth);
/* Take the next frame. Return: its length; -EAGAIN none; -EMSGSIZE: @iov was too small, it is lost */
ssize_t net_recv(struct net *n, const struct iovec *iov, unsigned cnt) MUST_CHECK;
/* Throw the next frame away; counted as dropped */
void net_drop(struct net *n);
/* Does the front end want frames? After net_rx(n, false) readable() is not called. After
 * net_rx(n, true) it is called for frames that arrive; look for those that wait yourself. */
void net_rx(struct net *n, bool on);

const struct net_stats *net_stats(const struct net *n); /* [any] not exact while running */
const char *net_info(const struct net *n);		/* [any] "tap tap0": for humans */

#endif
