// SPDX-License-Identifier: BSD-2-Clause
/* backend/net/net_int.h - What the files of backend/net share; nobody else includes it */
#ifndef BACKEND_NET_NET_INT_H
#define BACKEND_NET_NET_INT_H

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "backend/net/net.h"
#include "base/err.h"
#include "base/log.h"
#include "base/opts.h"

struct net_pcap;

/* A kind of back end. Each function may rely on what net.h promises of its namesake. */
struct net_ops {
	const char *kind;
	size_t size; /* of the instance, whose first member is struct net */
	int (*open)(struct net *n, const char *opts, struct hk_err *err);
	void (*close)(struct net *n); /* also after a failed open; stopped */
	int (*start)(struct net *n);
	void (*stop)(struct net *n);
	void (*set_features)(struct net *n);	/* n->features, hdr_len, mtu are set; NULL ok */
	int (*send)(struct net *n, const struct iovec *iov, unsigned cnt, size_t bytes);
	void (*flush)(struct net *n);		/* NULL: nothing is gathered */
	/* The next frame where it lies, with its header; 0 = none */
	size_t (*peek)(struct net *n, const u8 **frame);
	void (*take)(struct net *n);		/* the peeked frame is done with */
	void (*rx)(struct net *n);		/* n->rx_on changed */
};

extern const struct net_ops user_net_ops, tap_net_ops, vpnkit_net_ops, socket_net_ops,
	none_net_ops;

struct net {
	const struct net_ops *ops;
	struct net_env env;	 /* (c) */
	struct net_peer peer;	 /* (c) while started */
	u32 can;		 /* (c) after open: NET_* */
	u32 features;
	unsigned hdr_len, mtu;	 /* as set by net_set_features() */
	bool started, rx_on;
	bool mac_known;		 /* (c) after open */
	u8 mac[6];		 /* (c) after open */
	unsigned peer_mtu;	 /* (c) after open; 0 = unknown */
	_Atomic bool link_up;
	struct net_stats stats;
	struct net_pcap *pcap;	 /* NULL = none */
	char info[160];
};

/* Call the front end; only while started and, for readable, while it wants frames */
void net_readable(struct net *n);
void net_writable(struct net *n);
void net_set_link(struct net *n, bool up);

/* ---- iov.c: bytes of iovecs that the guest owns ---- */

size_t net_iov_bytes(const struct iovec *iov, unsigned cnt);
/* Copy all to @buf / @len bytes to @iov. The caller checked the sizes. */
void net_iov_read(const struct iovec *iov, unsigned cnt, void *buf);
void net_iov_write(const struct iovec *iov, unsigned cnt, const void *buf, size_t len);

/* ---- fifo.c: frames that wait for the guest ---- */

struct net_fifo {
	u8 *buf;
	size_t cap, head, tail, end; /* frames, each behind its length (u32); fifo.c says where */
};
int net_fifo_init(struct net_fifo *f, size_t cap) MUST_CHECK;
void net_fifo_fini(struct net_fifo *f);
/* Room for one frame of at most @max bytes; NULL = full. net_fifo_commit() makes it one */
u8 *net_fifo_reserve(struct net_fifo *f, size_t max);
void net_fifo_commit(struct net_fifo *f, size_t len);
size_t net_fifo_peek(struct net_fifo *f, const u8 **frame);
void net_fifo_take(struct net_fifo *f);
size_t net_fifo_bytes(const struct net_fifo *f);
void net_fifo_clear(struct net_fifo *f);

/* ---- stream.c: frames behind their length in a byte stream ---- */

enum net_framing { NET_FRAMING_BE32, NET_FRAMING_LE16 };

struct net_stream {
	int fd; /* non-blocking; -1 = none */
	enum net_framing framing;
	size_t max_frame; /* a longer one breaks the stream */
	size_t max_send;  /* a longer one is refused, -EMSGSIZE */
	size_t min_send;  /* shorter frames are filled up with zeros */
	u8 *in, *out;
	size_t in_head, in_tail, out_head, out_tail;
};
int net_stream_init(struct net_stream *s, enum net_framing framing) MUST_CHECK;
void net_stream_fini(struct net_stream *s); /* closes */
void net_stream_connected(struct net_stream *s, int fd);
void net_stream_drop(struct net_stream *s); /* close the descriptor, forget the bytes */
/* Read what there is, once. 0; -EAGAIN; -ECONNRESET: the other side is gone */
int net_stream_fill(struct net_stream *s);
/* Next frame. Return: its length; 0: not whole yet; -EPROTO: a length that cannot be */
ssize_t net_stream_peek(struct net_stream *s, const u8 **frame);
void net_stream_take(struct net_stream *s);
/* Take @bytes of @iov. 0; -EAGAIN: full; -EMSGSIZE */
int net_stream_send(struct net_stream *s, const struct iovec *iov, unsigned cnt, size_t bytes);
/* Write what was gathered. 0: all; -EAGAIN: some is left; -ECONNRESET */
int net_stream_flush(struct net_stream *s);

/* ---- sock.c: addresses, non-blocking connects ---- */

/* "PATH", "unix:PATH" or "tcp:A.B.C.D:PORT" ("tcp:[IPv6]:PORT") */
struct net_addr {
	union {
		struct sockaddr sa;
		struct sockaddr_un un;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	};
	socklen_t len;
};
int net_addr_parse(struct net_addr *a, const char *text, struct hk_err *err) MUST_CHECK;
/* A non-blocking connect: descriptor (*@pending: wait for EPOLLOUT, then net_connect_result) */
int net_connect(const struct net_addr *a, int type, bool *pending);
int net_connect_result(int fd);
int net_listen(const struct net_addr *a, int type, struct hk_err *err);

/* ---- conn.c: a back end whose peer is at the other end of a stream ---- */

enum net_conn_state {
	NET_CONN_DOWN,	     /* nobody there: the timer or the listener brings the next one */
	NET_CONN_CONNECTING, /* wait for EPOLLOUT */
	NET_CONN_GREETING,   /* greet() is not content yet */
	NET_CONN_UP,
	NET_CONN_BROKEN,     /* seen in the middle of a call: the timer cleans up */
	NET_CONN_NUM_STATES
};

struct net_conn {
	struct net net;
	struct net_stream s;
	struct net_addr addr;
	bool listen, once;     /* (c) wait for the peer; a descriptor that cannot be had again */
	int listen_fd;	       /* -1 = none */
	enum net_conn_state state;
	bool tx_blocked;       /* writable() is owed */
	u64 backoff_ns;
	unsigned connects;
	struct watch watch, listen_watch;
	struct timer retry;
	/* (c) NULL: none. A step of the greeting: 0 done, -EAGAIN: wait for EPOLLIN, else give up */
	int (*greet)(struct net_conn *c);
};

int net_conn_init(struct net_conn *c, enum net_framing framing) MUST_CHECK;
void net_conn_close(struct net *n);
/* Entries of struct net_ops */
int net_conn_start(struct net *n);
void net_conn_stop(struct net *n);
int net_conn_send(struct net *n, const struct iovec *iov, unsigned cnt, size_t bytes);
void net_conn_flush(struct net *n);
size_t net_conn_peek(struct net *n, const u8 **frame);
void net_conn_take(struct net *n);
void net_conn_rx(struct net *n);

/* ---- dgram.c: one frame a datagram of a unix socket ---- */

struct net_dgram {
	struct net net;
	struct net_addr peer, local; /* (c) len 0: none */
	bool vfkit;		     /* (c) */
	bool adopted;		     /* (c) a descriptor that was given: connected for ever */
	bool bound_path;	     /* unlink it at the end */
	int fd;
	bool tx_blocked; /* writable() is owed */
	struct net_fifo fifo;
	struct watch watch;
	struct timer retry;
};

int net_dgram_init(struct net_dgram *d) MUST_CHECK;
void net_dgram_adopt(struct net_dgram *d, int fd);
int net_dgram_bind(struct net_dgram *d, struct hk_err *err) MUST_CHECK;
/* Entries of struct net_ops */
void net_dgram_close(struct net *n);
int net_dgram_start(struct net *n);
void net_dgram_stop(struct net *n);
int net_dgram_send(struct net *n, const struct iovec *iov, unsigned cnt, size_t bytes);
size_t net_dgram_peek(struct net *n, const u8 **frame);
void net_dgram_take(struct net *n);
void net_dgram_rx(struct net *n);

/* ---- pcap.c ---- */

int net_pcap_open(struct net_pcap **out, const char *path, struct hk_err *err) MUST_CHECK;
void net_pcap_close(struct net_pcap *p);
/* One frame: @iov from its @skip-th byte on. A file that cannot be written is given up. */
void net_pcap_put(struct net_pcap *p, s64 wall_ns, const struct iovec *iov, unsigned cnt,
		  size_t skip);

/* ---- offload.c ---- */

/* Do what the header of a frame leaves to do, as a network card would: complete the checksum.
 * @frame holds @len bytes behind the header. 0; -EINVAL: the header does not fit the frame */
int net_complete_csum(const struct net_hdr *h, u8 *frame, size_t len) MUST_CHECK;
/* 16-bit one's complement sum (RFC 1071) of @len bytes, continuing @sum */
u32 net_csum_add(u32 sum, const u8 *p, size_t len);
u16 net_csum_fold(u32 sum);

#endif
