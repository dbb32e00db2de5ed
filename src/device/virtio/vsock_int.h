// SPDX-License-Identifier: BSD-2-Clause
/* device/virtio/vsock_int.h - What the files of virtio-sock share (virtio 1.2, 5.10)
 *
 * vsock.c holds the device: options, queues, packets in and out, who may send next.
 * vsock_conn.c holds connections: states, credit, the host's sockets. Everything is
 * [loop] unless it says otherwise. */
#ifndef DEVICE_VIRTIO_VSOCK_INT_H
#define DEVICE_VIRTIO_VSOCK_INT_H

#include "backend/vsock/vsk.h"
#include "base/list.h"
#include "base/wire.h"
#include "device/virtio/vio.h"

enum { VSOCK_RX, VSOCK_TX, VSOCK_EVENT, VSOCK_NUM_QUEUES };

enum vsock_op {
	VSOCK_OP_INVALID,
	VSOCK_OP_REQUEST,
	VSOCK_OP_RESPONSE,
	VSOCK_OP_RST,
	VSOCK_OP_SHUTDOWN,
	VSOCK_OP_RW,
	VSOCK_OP_CREDIT_UPDATE,
	VSOCK_OP_CREDIT_REQUEST,
	VSOCK_NUM_OPS
};
#define VSOCK_TYPE_STREAM 1
#define VSOCK_SHUT_RCV BIT(0)  /* will receive no more */
#define VSOCK_SHUT_SEND BIT(1) /* will send no more */
#define VSOCK_SHUT_BOTH (VSOCK_SHUT_RCV | VSOCK_SHUT_SEND)

/* 5.10.6: in front of every packet */
struct vsock_hdr {
	le64 src_cid, dst_cid;
	le32 src_port, dst_port;
	le32 len;
	le16 type, op;
	le32 flags;
	le32 buf_alloc, fwd_cnt;
} PACKED;
#define VSOCK_HDR_BYTES 44u
_Static_assert(sizeof(struct vsock_hdr) == VSOCK_HDR_BYTES, "virtio 1.2, 5.10.6");

/* Limits. What the guest sends and no host program reads is kept, so it is bounded: the
 * first connections get a large window, the others a small one. At worst, with
 * VSOCK_MAX_CONNS connections of which none is read, 128 + 240 MiB. */
#define VSOCK_MAX_CONNS 8192u
#define VSOCK_WINDOW_LARGE (256u << 10)
#define VSOCK_WINDOW_SMALL (32u << 10)
#define VSOCK_WINDOW_BUDGET (128ull << 20)
/* More credit than this is not believed; keeps differences of counters positive */
#define VSOCK_PEER_WINDOW_MAX (1u << 30)
#define VSOCK_HASH 4096u
/* Answers to packets of no connection; a full ring stops the tx queue (5.10.6.2) */
#define VSOCK_MAX_STRAYS 64u
#define VSOCK_MAX_SPARES 64u
#define VSOCK_MAX_IOV 1024u /* IOV_MAX */

/* What a connection has to tell the guest, in the order in which it is told */
#define CONN_SEND_REQUEST BIT(0)
#define CONN_SEND_RESPONSE BIT(1)
#define CONN_SEND_RST BIT(2) /* the last */
#define CONN_SEND_SHUTDOWN BIT(3)
#define CONN_SEND_CREDIT BIT(4)
#define CONN_SEND_CREDIT_REQUEST BIT(5)

enum conn_state {
	CONN_DIALING,	/* the guest asked; the host's listener is busy: tried again until deadline */
	CONN_REQUESTED, /* a host program asked; RESPONSE or RST of the guest is awaited */
	CONN_OPEN,	/* bytes flow, until both sides have shut down */
	CONN_DEAD,	/* over for the guest once it has its RST; what it sent may still go out */
};

struct vsock;

struct conn {
	struct vsock *s;
	struct list all;   /* vsock.conns */
	struct list hash;  /* vsock.hash[]; linked to itself: the guest knows it no more */
	struct list tell;  /* vsock.tell, while send != 0 */
	struct list ready; /* vsock.ready, while host bytes can go to the guest */
	struct list timed; /* vsock.dialing, vsock.lingering */
	u64 deadline_ns;   /* while in one of them */
	u32 guest_port, host_port;
	enum conn_state state;
	u32 send;	/* CONN_SEND_* */
	bool hello;	/* the host program is owed an OK */
	bool requested; /* REQUEST is out */

	int fd; /* -1: gone */
	struct watch watch;
	bool readable; /* not known to be empty */
	bool hup;      /* the host program closed both directions */

	u32 guest_shut, host_shut; /* VSOCK_SHUT_* of either side, as told to the other */

	/* guest to host */
	u32 window;	/* our buf_alloc */
	u32 rx_cnt;	/* bytes that came */
	u32 fwd_cnt;	/* of these, gone to the host program or thrown away */
	u32 told_fwd;	/* fwd_cnt as the guest knows it */
	u8 *buf;	/* ring of @window bytes; NULL while nothing waits */
	u32 buf_head, buf_len;
	/* host to guest */
	u32 tx_cnt;
	u32 peer_alloc, peer_fwd; /* the guest's words, made plausible */
	bool credit_asked;
};

struct stray {
	u64 src_cid, dst_cid;
	u32 src_port, dst_port;
	u16 type;
};

struct vsock {
	struct vio v;
	u32 guest_cid;		/* (c) */
	struct vsk *vsk;	/* (c) NULL: no sockets in the file system */
	struct vsk_hub *hub;	/* (c) NULL: this device is not the embedder's */

	struct list conns;	/* all of them */
	unsigned num_conns;
	struct list hash[VSOCK_HASH];
	u64 windows;		/* sum of conn.window */
	u32 next_port;
	u8 *free_buf;		/* one buffer of VSOCK_WINDOW_LARGE kept for the next who needs one */

	struct list tell, ready;
	struct list dialing, lingering; /* by deadline */
	struct timer dial_timer, linger_timer;
	struct timer work;	/* packets, soon: also gathers what several callbacks want */
	bool work_armed;
	bool tx_stopped;	/* chains wait though no kick will come: stray ring full, or budget */
	bool started, stopping; /* [setup] */
	bool cut;		/* stopped while active: connections are gone, the guest does not know */
	bool event_due;		/* TRANSPORT_RESET waits for a buffer */

	struct stray stray[VSOCK_MAX_STRAYS];
	unsigned stray_head, num_strays;
	struct vq_chain *spare[VSOCK_MAX_SPARES]; /* rx buffers taken and not used yet, oldest first */
	unsigned num_spares;
	struct iovec iov[VSOCK_MAX_IOV]; /* scratch */

	/* statistics */
	u64 opened, refused, resets, bad_packets, bytes_in, bytes_out;
};

/* ---- vsock.c ---- */

void vsock_work(struct vsock *s); /* packets wait: serve the queues soon */
/* Answer the sender of @h with RST */
void vsock_stray_rst(struct vsock *s, const struct vsock_hdr *h);

/* ---- vsock_conn.c ---- */

void conns_init(struct vsock *s);
struct conn *conn_find(struct vsock *s, u32 guest_port, u32 host_port);
/* A host program over @fd wants @port: struct vsk_peer */
void conn_incoming(void *arg, int fd, u32 port, bool hello);
/* REQUEST of the guest for ports that have no connection */
void conn_request(struct vsock *s, const struct vsock_hdr *h);
/* Any packet of the guest for @c. @ch: its payload follows the header, h->len was checked.
 * @c may be gone after it. */
void conn_packet(struct conn *c, const struct vsock_hdr *h, const struct vq_chain *ch);
/* Fill in the next packet that @c has to send, for c->send != 0. @c may be gone after it. */
void conn_tell(struct conn *c, struct vsock_hdr *h);
/* Header of a packet with @len payload bytes; counts them as sent */
void conn_data_header(struct conn *c, struct vsock_hdr *h, u32 len);
/* How many bytes may be sent now */
u32 conn_credit(const struct conn *c);
/* Read host bytes into @iov. > 0; 0: nothing now (and @c may be gone) */
ssize_t conn_read(struct conn *c, const struct iovec *iov, int n);
/* Put into or take from the list of those with bytes for the guest */
void conn_update(struct conn *c);
/* The guest forgot all connections. @now: buffered bytes of the guest are thrown away */
void conns_drop(struct vsock *s, bool now);

#endif
