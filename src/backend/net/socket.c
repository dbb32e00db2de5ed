// SPDX-License-Identifier: BSD-2-Clause
/* backend/net/socket.c - A cable to another program: passt, gvproxy, QEMU, another VM
 *
 * stream: frames behind a 4-byte big-endian length (passt --socket, gvproxy -listen-qemu,
 * QEMU -netdev socket/stream), over conn.c. dgram: one frame a datagram of a unix socket
 * (gvproxy -listen-vfkit, QEMU -netdev dgram), dgram.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "backend/net/net_int.h"

/* One of the two; net->ops says which once it is open */
union socket_net {
	struct net net;
	struct net_conn stream;
	struct net_dgram dgram;
};

static const struct net_ops stream_ops, dgram_ops;

static const struct opt_desc socket_opts[] = {
	{ "connect", OPT_STR, NULL, "PATH or tcp:ADDRESS:PORT of the other side" },
	{ "listen", OPT_STR, NULL, "where to wait for the other side" },
	{ "fd", OPT_U64, NULL, "an open socket of this process" },
	{ "type", OPT_STR, "stream", "stream or dgram" },
	{ "local", OPT_STR, NULL, "dgram: path of our own end" },
	{ "vfkit", OPT_BOOL, "off", "dgram: begin with vfkit's greeting" },
	{ 0 }
};

/* The descriptor stays the caller's: a duplicate shares all but its life */
static int take_fd(struct net *n, u64 number, int type, struct hk_err *err)
{
	int fd = number <= 0x7fffffff ? fcntl((int)number, F_DUPFD_CLOEXEC, 0) : -1, have = 0;
	socklen_t len = sizeof(have);

	if (fd < 0)
		return err_set(err, -EBADF, "fd=%llu is not open", (unsigned long long)number);
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &have, &len) ||
	    (have != type && !(type == SOCK_DGRAM && have == SOCK_SEQPACKET))) {
		close(fd);
		return err_set(err, -EINVAL, "fd=%llu is no %s socket", (unsigned long long)number,
			       type == SOCK_STREAM ? "stream" : "dgram");
	}
	return fd;
}

static int open_stream(union socket_net *s, const struct opts *o, struct hk_err *err)
{
	const char *to = opts_str(o, "connect"), *at = opts_str(o, "listen");
	struct net_conn *c = &s->stream;
	int rc;

	if (net_conn_init(c, NET_FRAMING_BE32))
		return err_set(err, -ENOMEM, "out of memory");
	if (opts_str(o, "fd")) {
		rc = take_fd(&s->net, opts_u64(o, "fd"), SOCK_STREAM, err);
		if (rc < 0)
			return rc;
		c->once = true;
		c->state = NET_CONN_UP;
		s->net.link_up = true;
		net_stream_connected(&c->s, rc);
		snprintf(s->net.info, sizeof(s->net.info), "socket fd %s", opts_str(o, "fd"));
		return 0;
	}
	rc = net_addr_parse(&c->addr, to ? to : at, err);
	if (rc)
		return rc;
	snprintf(s->net.info, sizeof(s->net.info), "socket %s", to ? to : at);
	if (to)
		return 0;
	c->listen = true;
	c->listen_fd = net_listen(&c->addr, SOCK_STREAM, err);
	return c->listen_fd < 0 ? err_wrap(err, c->listen_fd, "%s", at) : 0;
}

static int open_dgram(union socket_net *s, const struct opts *o, struct hk_err *err)
{
	const char *to = opts_str(o, "connect"), *at = opts_str(o, "local");
	int rc = net_dgram_init(&s->dgram);

	if (rc)
		return err_set(err, rc, "out of memory");
	if (opts_str(o, "listen"))
		return err_set(err, -EINVAL, "listen= is for type=stream; dgram has local=");
	if (opts_str(o, "fd")) {
		rc = take_fd(&s->net, opts_u64(o, "fd"), SOCK_DGRAM, err);
		if (rc < 0)
			return rc;
		net_dgram_adopt(&s->dgram, rc);
		snprintf(s->net.info, sizeof(s->net.info), "socket fd %s", opts_str(o, "fd"));
		return 0;
	}
	rc = net_addr_parse(&s->dgram.peer, to, err);
	if (!rc && at)
		rc = net_addr_parse(&s->dgram.local, at, err);
	if (!rc && (s->dgram.peer.sa.sa_family != AF_UNIX ||
		    (at && s->dgram.local.sa.sa_family != AF_UNIX)))
		rc = err_set(err, -EINVAL, "type=dgram is for unix sockets");
	s->dgram.vfkit = opts_bool(o, "vfkit");
	snprintf(s->net.info, sizeof(s->net.info), "socket dgram %s", to);
	return rc ? rc : net_dgram_bind(&s->dgram, err);
}

static int socket_open(struct net *n, const char *text, struct hk_err *err)
{
	union socket_net *s = container_of(n, union socket_net, net);
	struct opts *o;
	const char *type;
	bool dgram;
	int rc, ways;

	rc = opts_parse(&o, socket_opts, text, err);
	if (rc)
		return rc;
	type = opts_str(o, "type");
	dgram = !strcmp(type, "dgram");
	ways = !!opts_str(o, "connect") + !!opts_str(o, "listen") + !!opts_str(o, "fd");
	if (!dgram && strcmp(type, "stream"))
		rc = err_set(err, -EINVAL, "type=%s: want stream or dgram", type);
	else if (ways != 1)
		rc = err_set(err, -EINVAL, "a socket network needs one of connect=, listen=, fd=");
	if (!rc) {
		n->ops = dgram ? &dgram_ops : &stream_ops;
		rc = dgram ? open_dgram(s, o, err) : open_stream(s, o, err);
	}
	opts_destroy(o);
	return rc;
}

static void nothing(struct net *n)
{
}

const struct net_ops socket_net_ops = {
	.kind = "socket",
	.size = sizeof(union socket_net),
	.open = socket_open,
	.close = nothing, /* not yet one of the two */
};

static const struct net_ops stream_ops = {
	.kind = "socket",
	.close = net_conn_close,
	.start = net_conn_start,
	.stop = net_conn_stop,
	.send = net_conn_send,
	.flush = net_conn_flush,
	.peek = net_conn_peek,
	.take = net_conn_take,
	.rx = net_conn_rx,
};

static const struct net_ops dgram_ops = {
	.kind = "socket",
	.close = net_dgram_close,
	.start = net_dgram_start,
	.stop = net_dgram_stop,
	.send = net_dgram_send,
	.peek = net_dgram_peek,
	.take = net_dgram_take,
	.rx = net_dgram_rx,
};
