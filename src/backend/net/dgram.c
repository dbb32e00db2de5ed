// SPDX-License-Identifier: BSD-2-Clause
/* backend/net/dgram.c - A cable made of unix datagrams: one frame, one datagram
 *
 * Spoken by gvproxy (vfkit's greeting: the four bytes "VFKT" first) and QEMU. The socket is
 * connected, so nobody but the peer can send to it, and its queue is what poll looks at.
 * Nobody there: the link is down and the connect is tried again. [loop] */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "backend/net/net_int.h"

#define FIFO_BYTES (512u << 10)
#define BURST 64
#define QUEUE_BYTES (1 << 20)
#define RETRY_NS (NS_PER_SEC / 2)

static struct net_dgram *dgram_of(struct net *n)
{
	return container_of(n, struct net_dgram, net);
}

static void watch_update(struct net_dgram *d)
{
	watch_set(&d->watch, (d->net.rx_on ? EPOLLIN : 0) | (d->tx_blocked ? EPOLLOUT : 0));
}

static bool try_connect(struct net_dgram *d)
{
	if (connect(d->fd, &d->peer.sa, d->peer.len))
		return false;
	if (d->vfkit && send(d->fd, "VFKT", 4, MSG_NOSIGNAL | MSG_DONTWAIT) != 4)
		return false;
	return true;
}

static void retry(void *arg)
{
	struct net_dgram *d = arg;

	/* Also after a send that found nobody: then the link is still up */
	if (!d->adopted && try_connect(d)) {
		net_set_link(&d->net, true);
		return;
	}
	net_set_link(&d->net, false);
	if (!d->adopted)
		timer_arm(&d->retry, clock_ns(loop_clock(d->net.env.loop)) + RETRY_NS);
}

static void receive(struct net_dgram *d)
{
	for (unsigned i = 0; i < BURST; i++) {
		u8 *to = net_fifo_reserve(&d->fifo, NET_MAX_FRAME + 1);
		ssize_t n;

		if (!to)
			return;
		n = recv(d->fd, to, NET_MAX_FRAME + 1, MSG_DONTWAIT);
		if (n < 0)
			return;
		if (n >= (ssize_t)NET_MIN_FRAME && n <= (ssize_t)NET_MAX_FRAME)
			net_fifo_commit(&d->fifo, (size_t)n);
		else
			d->net.stats.rx_dropped++;
	}
}

static void ready(void *arg, u32 events)
{
	struct net_dgram *d = arg;

	if (events & EPOLLOUT && d->tx_blocked) {
		d->tx_blocked = false;
		net_writable(&d->net);
	}
	if (events & EPOLLIN) {
		receive(d);
		net_readable(&d->net);
	} else if (events & (EPOLLHUP | EPOLLERR) && d->adopted) {
		/* The other end of a pair is closed: nothing will come any more */
		watch_del(&d->watch);
		net_set_link(&d->net, false);
		return;
	}
	watch_update(d);
}

int net_dgram_init(struct net_dgram *d)
{
	d->fd = -1;
	timer_init(&d->retry, d->net.env.loop, retry, d);
	return net_fifo_init(&d->fifo, FIFO_BYTES);
}

static void queue_bytes(int fd)
{
	int n = QUEUE_BYTES;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &n, sizeof(n));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &n, sizeof(n));
}

void net_dgram_adopt(struct net_dgram *d, int fd)
{
	d->fd = fd;
	d->adopted = true;
	d->net.link_up = true;
}

int net_dgram_bind(struct net_dgram *d, struct hk_err *err)
{
	/* Without a path the kernel chooses an abstract name, so that the peer can answer */
	struct sockaddr_un any = { .sun_family = AF_UNIX };

	if (d->local.len) {
		d->fd = net_listen(&d->local, SOCK_DGRAM, err);
		if (d->fd < 0)
			return err_wrap(err, d->fd, "%s", d->local.un.sun_path);
		d->bound_path = true;
	} else {
		d->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (d->fd < 0 || bind(d->fd, (struct sockaddr *)&any, sizeof(any.sun_family)))
			return err_set(err, -errno, "unix socket: %s", strerrordesc_np(errno));
	}
	queue_bytes(d->fd);
	return 0;
}

void net_dgram_close(struct net *n)
{
	struct net_dgram *d = dgram_of(n);

	if (d->fd >= 0)
		close(d->fd);
	if (d->bound_path)
		unlink(d->local.un.sun_path);
	net_fifo_fini(&d->fifo);
}

int net_dgram_start(struct net *n)
{
	struct net_dgram *d = dgram_of(n);
	int rc = watch_add(&d->watch, n->env.loop, d->fd,
			   (n->rx_on ? EPOLLIN : 0) | (d->tx_blocked ? EPOLLOUT : 0), ready, d);

	if (!rc && !d->adopted && !n->link_up)
		timer_arm(&d->retry, clock_ns(loop_clock(n->env.loop)));
	return rc;
}

void net_dgram_stop(struct net *n)
{
	struct net_dgram *d = dgram_of(n);

	timer_cancel_sync(&d->retry);
	watch_del(&d->watch);
}

int net_dgram_send(struct net *n, const struct iovec *iov, unsigned cnt, size_t bytes)
{
	struct net_dgram *d = dgram_of(n);
	struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = cnt };
	int rc;

	if (sendmsg(d->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return 0;
	if (errno == EAGAIN || errno == ENOBUFS || errno == EINTR) {
		d->tx_blocked = true;
		watch_update(d);
		return -EAGAIN;
	}
	rc = -errno;
	if (rc == -ECONNREFUSED || rc == -ENOTCONN || rc == -ECONNRESET)
		timer_arm(&d->retry, clock_ns(loop_clock(n->env.loop)));
	return rc;
}

size_t net_dgram_peek(struct net *n, const u8 **frame)
{
	return net_fifo_peek(&dgram_of(n)->fifo, frame);
}

void net_dgram_take(struct net *n)
{
	net_fifo_take(&dgram_of(n)->fifo);
}

void net_dgram_rx(struct net *n)
{
	watch_update(dgram_of(n));
}
