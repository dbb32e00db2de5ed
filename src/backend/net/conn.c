// SPDX-License-Identifier: BSD-2-Clause
/* backend/net/conn.c - A peer at the other end of a stream: connect, lose, connect again
 *
 * Used by vpnkit.c and socket.c. While there is no peer the guest sees its link down.
 * All on the loop, but start and stop. */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "backend/net/net_int.h"

#define BACKOFF_FIRST_NS (NS_PER_SEC / 10)
#define BACKOFF_LAST_NS (5 * NS_PER_SEC)

static struct net_conn *conn_of(struct net *n)
{
	return container_of(n, struct net_conn, net);
}

static u64 now(struct net_conn *c)
{
	return clock_ns(loop_clock(c->net.env.loop));
}

static u32 wanted(const struct net_conn *c)
{
	switch (c->state) {
	case NET_CONN_CONNECTING:
		return EPOLLOUT;
	case NET_CONN_GREETING:
		return EPOLLIN;
	case NET_CONN_UP:
		/* A peer that closes is noticed while the guest takes no frames, too */
		return (c->net.rx_on ? EPOLLIN : 0) | EPOLLRDHUP |
		       (c->s.out_tail > c->s.out_head ? EPOLLOUT : 0);
	default:
		return 0;
	}
}

static void watch_update(struct net_conn *c)
{
	watch_set(&c->watch, wanted(c));
}

/* From the loop's own callbacks only: it calls the front end */
static void went_down(struct net_conn *c)
{
	watch_del(&c->watch);
	net_stream_drop(&c->s);
	c->state = NET_CONN_DOWN;
	if (c->net.link_up)
		log_info(c->net.env.log, "%s: the peer is gone", c->net.env.id);
	net_set_link(&c->net, false);
	if (c->tx_blocked) {
		/* What the front end holds back will be dropped now, and not be sent to the next peer */
		c->tx_blocked = false;
		net_writable(&c->net);
	}
	if (c->listen || c->once || !c->net.started)
		return;
	timer_arm(&c->retry, now(c) + c->backoff_ns);
	c->backoff_ns = MIN(2 * c->backoff_ns, BACKOFF_LAST_NS);
}

/* From inside calls of the front end, which may not be called back */
static void broke(struct net_conn *c)
{
	if (c->state == NET_CONN_BROKEN)
		return;
	c->state = NET_CONN_BROKEN;
	watch_update(c);
	timer_arm(&c->retry, now(c));
}

static void went_up(struct net_conn *c)
{
	c->state = NET_CONN_UP;
	c->backoff_ns = BACKOFF_FIRST_NS;
	c->connects++;
	log_info(c->net.env.log, "%s: the peer is there", c->net.env.id);
	net_set_link(&c->net, true);
	watch_update(c);
}

/* After CONNECTING or at a step of the greeting */
static void greet(struct net_conn *c)
{
	int rc = c->greet ? c->greet(c) : 0;

	c->state = NET_CONN_GREETING;
	if (!rc)
		went_up(c);
	else if (rc == -EAGAIN)
		watch_update(c);
	else
		went_down(c);
}

static void ready(void *arg, u32 events)
{
	struct net_conn *c = arg;
	int rc;

	if (c->state == NET_CONN_CONNECTING) {
		if (net_connect_result(c->s.fd))
			went_down(c);
		else
			greet(c);
		return;
	}
	if (c->state == NET_CONN_GREETING) {
		greet(c);
		return;
	}
	if (events & EPOLLOUT) {
		rc = net_stream_flush(&c->s);
		if (rc && rc != -EAGAIN) {
			went_down(c);
			return;
		}
		if (!rc && c->tx_blocked) {
			c->tx_blocked = false;
			net_writable(&c->net);
		}
	}
	if (events & ~(u32)EPOLLOUT && c->state == NET_CONN_UP) {
		rc = net_stream_fill(&c->s);
		net_readable(&c->net);
		if (rc && rc != -EAGAIN) {
			went_down(c);
			return;
		}
		/* It closed, and its last bytes wait behind a guest that takes no frames */
		if (rc == -EAGAIN && events & EPOLLRDHUP) {
			went_down(c);
			return;
		}
	}
	watch_update(c);
}

static int attach_fd(struct net_conn *c, int fd, bool pending)
{
	int rc;

	net_stream_connected(&c->s, fd);
	c->state = pending ? NET_CONN_CONNECTING : NET_CONN_GREETING;
	rc = watch_add(&c->watch, c->net.env.loop, fd, wanted(c), ready, c);
	if (rc) {
		net_stream_drop(&c->s);
		c->state = NET_CONN_DOWN;
		return rc;
	}
	if (!pending)
		greet(c);
	return 0;
}

static void retry(void *arg)
{
	struct net_conn *c = arg;
	bool pending;
	int fd;

	if (c->state == NET_CONN_BROKEN) {
		went_down(c);
		return;
	}
	if (c->state == NET_CONN_CONNECTING || c->state == NET_CONN_GREETING ||
	    c->state == NET_CONN_UP)
		return;
	fd = net_connect(&c->addr, SOCK_STREAM, &pending);
	if (fd < 0 || attach_fd(c, fd, pending)) {
		if (c->backoff_ns == BACKOFF_FIRST_NS)
			log_warn(c->net.env.log, "%s: nobody at %s; trying again", c->net.env.id,
				 c->net.info);
		went_down(c);
	}
}

static void incoming(void *arg, u32 events)
{
	struct net_conn *c = arg;
	int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (c->state != NET_CONN_DOWN) {
		/* One cable, two ends */
		close(fd);
		return;
	}
	if (attach_fd(c, fd, false))
		went_down(c);
}

int net_conn_init(struct net_conn *c, enum net_framing framing)
{
	c->listen_fd = -1;
	c->backoff_ns = BACKOFF_FIRST_NS;
	timer_init(&c->retry, c->net.env.loop, retry, c);
	return net_stream_init(&c->s, framing);
}

void net_conn_close(struct net *n)
{
	struct net_conn *c = conn_of(n);

	if (!c->s.in && !c->s.out)
		return; /* open failed before net_conn_init() */
	net_stream_fini(&c->s);
	if (c->listen_fd >= 0)
		close(c->listen_fd);
	if (c->listen && c->listen_fd >= 0 && c->addr.sa.sa_family == AF_UNIX)
		unlink(c->addr.un.sun_path);
}

int net_conn_start(struct net *n)
{
	struct net_conn *c = conn_of(n);
	int rc = 0;

	if (c->s.fd >= 0) /* from before the stop, or greeted by open */
		rc = watch_add(&c->watch, n->env.loop, c->s.fd, wanted(c), ready, c);
	if (!rc && c->listen)
		rc = watch_add(&c->listen_watch, n->env.loop, c->listen_fd, EPOLLIN, incoming, c);
	if (!rc && !c->listen && !c->once && c->s.fd < 0)
		timer_arm(&c->retry, now(c));
	return rc;
}

void net_conn_stop(struct net *n)
{
	struct net_conn *c = conn_of(n);

	watch_del(&c->listen_watch);
	timer_cancel_sync(&c->retry);
	watch_del(&c->watch);
	if (c->state == NET_CONN_BROKEN) {
		net_stream_drop(&c->s);
		c->state = NET_CONN_DOWN;
		n->link_up = false;
	}
}

int net_conn_send(struct net *n, const struct iovec *iov, unsigned cnt, size_t bytes)
{
	struct net_conn *c = conn_of(n);
	int rc;

	if (c->state != NET_CONN_UP)
		return -ENETDOWN;
	rc = net_stream_send(&c->s, iov, cnt, bytes);
	if (rc == -EAGAIN) {
		c->tx_blocked = true;
		watch_update(c);
	} else if (rc == -ECONNRESET) {
		broke(c);
	}
	return rc;
}

void net_conn_flush(struct net *n)
{
	struct net_conn *c = conn_of(n);
	int rc;

	if (c->state != NET_CONN_UP || c->s.out_head == c->s.out_tail)
		return;
	rc = net_stream_flush(&c->s);
	if (rc == -EAGAIN)
		watch_update(c);
	else if (rc)
		broke(c);
}

size_t net_conn_peek(struct net *n, const u8 **frame)
{
	struct net_conn *c = conn_of(n);
	ssize_t len;

	if (c->state != NET_CONN_UP)
		return 0;
	len = net_stream_peek(&c->s, frame);
	if (len >= 0)
		return (size_t)len;
	log_warn(n->env.log, "%s: the peer sent a frame of a length that cannot be", n->env.id);
	broke(c);
	return 0;
}

void net_conn_take(struct net *n)
{
	net_stream_take(&conn_of(n)->s);
}

void net_conn_rx(struct net *n)
{
	watch_update(conn_of(n));
}
