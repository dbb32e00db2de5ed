// SPDX-License-Identifier: BSD-2-Clause
/* backend/net/user.c - User networking: a private network inside this process (libslirp)
 *
 * DHCP, DNS and a gateway for the guest; its connections become sockets of this process.
 * No rights are needed. All of libslirp runs on the loop.
 *
 * A guest that takes no frames makes its queue grow to STALL_BYTES; then host sockets are not
 * read any more, TCP's windows close and the senders wait. Frames that come all the same (answers
 * to what the guest sends) have the rest of the queue; when that is full they are lost. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "backend/net/user_int.h"

#define FIFO_BYTES (16u << 20) /* 200 windows of 64 KiB; pages that are not used cost nothing */
#define STALL_BYTES (1u << 20)
#define RESUME_BYTES (STALL_BYTES / 2)

static struct user *user_of(struct net *n)
{
	return container_of(n, struct user, net);
}

static u64 now(struct user *u)
{
	return clock_ns(loop_clock(u->net.env.loop));
}

/* ---- what libslirp calls ---- */

static ssize_t cb_send_packet(const void *buf, size_t len, void *opaque)
{
	struct user *u = opaque;

	if (u->net.started && len >= NET_MIN_FRAME && len <= NET_MAX_FRAME)
		user_deliver(u, buf, len);
	return (ssize_t)len; /* what is lost, TCP sends again */
}

static void cb_guest_error(const char *msg, void *opaque)
{
	struct user *u = opaque;

	log_guest(u->net.env.log, "%s: %s", u->net.env.id, msg);
}

static int64_t cb_clock(void *opaque)
{
	return (int64_t)now(opaque);
}

static void after(struct user *u);

static void timer_due(void *arg)
{
	struct user_timer *t = arg;

	t->deadline_ns = 0;
	slirp_handle_timer(t->u->slirp, t->id, t->cb_opaque);
	after(t->u);
}

static void *cb_timer_new(SlirpTimerId id, void *cb_opaque, void *opaque)
{
	struct user *u = opaque;

	for (unsigned i = 0; i < USER_MAX_TIMERS; i++) {
		struct user_timer *t = &u->timer[i];

		if (t->u)
			continue;
		*t = (struct user_timer){ .u = u, .id = id, .cb_opaque = cb_opaque };
		timer_init(&t->timer, u->net.env.loop, timer_due, t);
		return t;
	}
	return NULL;
}

static void cb_timer_free(void *timer, void *opaque)
{
	struct user_timer *t = timer;

	if (!t)
		return;
	timer_cancel_sync(&t->timer);
	t->u = NULL;
}

static void cb_timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
	struct user_timer *t = timer;

	if (!t)
		return;
	/* Before the start nobody but the opener may touch libslirp */
	t->deadline_ns = (u64)expire_ms * 1000000;
	if (t->u->net.started)
		timer_arm(&t->timer, t->deadline_ns);
}

static void cb_register(int fd, void *opaque)
{
}

static void cb_unregister(int fd, void *opaque)
{
	struct user *u = opaque;

	user_poll_forget(&u->poll, fd);
}

static void cb_notify(void *opaque)
{
	struct user *u = opaque;

	u->stale = true;
}

static const SlirpCb callbacks = {
	.send_packet = cb_send_packet,
	.guest_error = cb_guest_error,
	.clock_get_ns = cb_clock,
	.timer_free = cb_timer_free,
	.timer_mod = cb_timer_mod,
	.register_poll_fd = cb_register,
	.unregister_poll_fd = cb_unregister,
	.notify = cb_notify,
	.timer_new_opaque = cb_timer_new,
};

/* ---- waiting ---- */

/* libslirp did something: wait for what it wants now */
static void refill(struct user *u)
{
	u32 ms;

	u->stale = false;
	u->stalled = net_fifo_bytes(&u->fifo) >= STALL_BYTES;
	ms = user_poll_fill(&u->poll, u->slirp);
	watch_set(&u->watch, u->stalled ? 0 : EPOLLIN);
	if (ms != ~0u)
		timer_arm(&u->wake, now(u) + (u64)ms * 1000000);
	else
		timer_cancel(&u->wake);
}

static void after(struct user *u)
{
	refill(u);
	if (net_fifo_bytes(&u->fifo))
		net_readable(&u->net);
}

static void sockets_ready(void *arg, u32 events)
{
	struct user *u = arg;

	user_poll_run(&u->poll, u->slirp, true);
	after(u);
}

static void wake(void *arg)
{
	struct user *u = arg;

	user_poll_run(&u->poll, u->slirp, false);
	after(u);
}

/* ---- net_ops ---- */

static int user_open(struct net *n, const char *text, struct hk_err *err)
{
	struct user *u = user_of(n);
	int rc = user_poll_init(&u->poll);

	if (rc)
		return err_set(err, rc, "epoll: %s", strerrordesc_np(-rc));
	timer_init(&u->wake, n->env.loop, wake, u);
	u->frame = malloc(NET_MAX_HDR + NET_MAX_FRAME);
	if (!u->frame || net_fifo_init(&u->fifo, FIFO_BYTES))
		return err_set(err, -ENOMEM, "out of memory");
	n->can = NET_TX_CSUM | NET_TX_TSO4 | NET_TX_TSO6 | NET_RX_CSUM | NET_RX_TSO4 | NET_RX_TSO6;
	n->link_up = true;
	return user_configure(u, text, &callbacks, err);
}

static void user_close(struct net *n)
{
	struct user *u = user_of(n);

	if (u->slirp)
		slirp_cleanup(u->slirp);
	user_poll_fini(&u->poll);
	net_fifo_fini(&u->fifo);
	free(u->frame);
}

static int user_start(struct net *n)
{
	struct user *u = user_of(n);
	int rc = watch_add(&u->watch, n->env.loop, u->poll.epfd, EPOLLIN, sockets_ready, u);

	if (rc)
		return rc;
	for (unsigned i = 0; i < USER_MAX_TIMERS; i++)
		if (u->timer[i].u && u->timer[i].deadline_ns)
			timer_arm(&u->timer[i].timer, u->timer[i].deadline_ns);
	timer_arm(&u->wake, now(u)); /* on the loop: libslirp is nobody else's */
	return 0;
}

static void user_stop(struct net *n)
{
	struct user *u = user_of(n);

	watch_del(&u->watch);
	timer_cancel_sync(&u->wake);
	for (unsigned i = 0; i < USER_MAX_TIMERS; i++)
		if (u->timer[i].u)
			timer_cancel_sync(&u->timer[i].timer);
}

static void user_set_features(struct net *n)
{
	net_fifo_clear(&user_of(n)->fifo);
}

static int user_send(struct net *n, const struct iovec *iov, unsigned cnt, size_t bytes)
{
	struct user *u = user_of(n);
	u8 *frame = u->frame + n->hdr_len;
	size_t len = bytes - n->hdr_len;
	struct net_hdr h = { 0 };
	int rc;

	/* From here on it does not change any more */
	net_iov_read(iov, cnt, u->frame);
	memcpy(&h, u->frame, n->hdr_len);
	if (h.flags & NET_HDR_NEEDS_CSUM) {
		rc = n->features & NET_TX_CSUM ? net_complete_csum(&h, frame, len) : -EINVAL;
		if (rc)
			return rc;
	}
	user_raise_mss(u, frame, len);
	slirp_input(u->slirp, frame, (int)len);
	u->stale = true;
	return 0;
}

static void user_flush(struct net *n)
{
	struct user *u = user_of(n);

	if (u->stale)
		after(u);
}

static size_t user_peek(struct net *n, const u8 **frame)
{
	return net_fifo_peek(&user_of(n)->fifo, frame);
}

static void user_take(struct net *n)
{
	struct user *u = user_of(n);

	net_fifo_take(&u->fifo);
	if (u->stalled && net_fifo_bytes(&u->fifo) <= RESUME_BYTES) {
		u->stalled = false;
		watch_set(&u->watch, EPOLLIN);
	}
}

static void user_rx(struct net *n)
{
}

const struct net_ops user_net_ops = {
	.kind = "user",
	.size = sizeof(struct user),
	.open = user_open,
	.close = user_close,
	.start = user_start,
	.stop = user_stop,
	.set_features = user_set_features,
	.send = user_send,
	.flush = user_flush,
	.peek = user_peek,
	.take = user_take,
	.rx = user_rx,
};
