// SPDX-License-Identifier: BSD-2-Clause
/* device/virtio/vsock_conn.c - Connections of virtio-sock: states, credit, host sockets
 *
 * [loop]. A connection never touches a queue: it notes what it has to tell (c->send) or
 * that it has bytes (s->ready) and vsock.c comes to fetch that when the guest has buffers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "device/virtio/vsock_int.h"

/**
 * DOC: Theory of operation - bytes, windows and ends
 *
 * Guest to host. A packet's payload goes from guest memory straight into the host's socket.
 * What the socket does not take is copied into c->buf, which is as large as the window that
 * the guest was promised (buf_alloc), so there is always room unless the guest breaks the
 * rules; then the connection is reset. fwd_cnt grows when bytes leave us.
 *
 * Host to guest. A connection is in s->ready while its socket may have bytes, the guest has
 * granted credit and has not shut down receiving. It is read only then, straight into guest
 * buffers, so nothing is ever held here: the host program feels a slow guest.
 *
 * Sockets are watched edge-triggered: `readable` stays set until a read says EAGAIN.
 *
 * Ends. End of file from the host is SHUTDOWN(SEND); a host program that closed altogether
 * is SHUTDOWN(both), after which the guest answers RST when its program is done. If it does
 * not within LINGER_NS although it took all bytes, we send RST. (Linux drops what its
 * program has not read yet when RST comes, hence "took all": CREDIT_REQUEST finds out.)
 * SHUTDOWN(both) of the guest is answered by RST at once; what the guest sent before is
 * still brought to the host program, by a connection that the guest does not know any
 * more (CONN_DEAD, unhashed).
 */

#define DIAL_RETRY_NS 5000000ull
#define DIAL_LIMIT_NS (10 * NS_PER_SEC)
#define DIAL_BATCH 64
#define LINGER_NS (30 * NS_PER_SEC)
#define WATCH_IN ((u32)EPOLLIN | (u32)EPOLLRDHUP | (u32)EPOLLET)
#define WATCH_CLOSED ((u32)EPOLLRDHUP | (u32)EPOLLET) /* before the guest answered */

static void dial_due(void *arg);
static void linger_due(void *arg);
static void host_ready(void *arg, u32 events);

void conns_init(struct vsock *s)
{
	list_init(&s->conns);
	list_init(&s->tell);
	list_init(&s->ready);
	list_init(&s->dialing);
	list_init(&s->lingering);
	for (unsigned i = 0; i < VSOCK_HASH; i++)
		list_init(&s->hash[i]);
	s->next_port = 0x10000;
	timer_init(&s->dial_timer, s->v.dev.env->loop, dial_due, s);
	timer_init(&s->linger_timer, s->v.dev.env->loop, linger_due, s);
}

/* ---- the table ---- */

static struct list *bucket(struct vsock *s, u32 guest_port, u32 host_port)
{
	u32 x = guest_port * 0x9E3779B1u ^ host_port * 0x85EBCA77u;

	return &s->hash[(x ^ x >> 15) % VSOCK_HASH];
}

struct conn *conn_find(struct vsock *s, u32 guest_port, u32 host_port)
{
	struct list *head = bucket(s, guest_port, host_port), *n;

	list_for_each(n, head) {
		struct conn *c = container_of(n, struct conn, hash);

		if (c->guest_port == guest_port && c->host_port == host_port)
			return c;
	}
	return NULL;
}

static struct conn *conn_new(struct vsock *s, u32 guest_port, u32 host_port, enum conn_state state)
{
	struct conn *c;

	if (s->num_conns == VSOCK_MAX_CONNS)
		return NULL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->s = s;
	c->fd = -1;
	c->guest_port = guest_port;
	c->host_port = host_port;
	c->state = state;
	c->window = s->windows + VSOCK_WINDOW_LARGE <= VSOCK_WINDOW_BUDGET ? VSOCK_WINDOW_LARGE :
									     VSOCK_WINDOW_SMALL;
	s->windows += c->window;
	s->num_conns++;
	list_init(&c->tell);
	list_init(&c->ready);
	list_init(&c->timed);
	list_add_tail(&s->conns, &c->all);
	list_add_tail(bucket(s, guest_port, host_port), &c->hash);
	return c;
}

static void buf_free(struct conn *c)
{
	struct vsock *s = c->s;

	if (c->buf && c->window == VSOCK_WINDOW_LARGE && !s->free_buf)
		s->free_buf = c->buf;
	else
		free(c->buf);
	c->buf = NULL;
	c->buf_head = c->buf_len = 0;
}

static void host_close(struct conn *c)
{
	if (c->fd >= 0) {
		watch_del(&c->watch);
		close(c->fd);
	}
	c->fd = -1;
	c->readable = false;
	buf_free(c);
}

static void conn_free(struct conn *c)
{
	struct vsock *s = c->s;

	host_close(c);
	list_del(&c->all);
	list_del(&c->hash);
	list_del(&c->tell);
	list_del(&c->ready);
	list_del(&c->timed);
	s->windows -= c->window;
	s->num_conns--;
	free(c);
}

static void tell(struct conn *c, u32 what)
{
	if (!c->send)
		list_add_tail(&c->s->tell, &c->tell);
	c->send |= what;
	vsock_work(c->s);
}

static void watch_update(struct conn *c)
{
	u32 events = c->state == CONN_OPEN ? WATCH_IN : c->state == CONN_REQUESTED ? WATCH_CLOSED : 0;

	if (c->buf_len)
		events |= (u32)EPOLLOUT | (u32)EPOLLET;
	watch_set(&c->watch, events);
}

/* Over, as far as the guest is concerned. @rst: it has to be told. What it sent goes on to the
 * host program. @c may be gone after it. */
static void conn_kill(struct conn *c, bool rst)
{
	struct vsock *s = c->s;

	if (rst)
		s->resets++;
	c->state = CONN_DEAD;
	list_del(&c->ready);
	list_del(&c->timed);
	list_del(&c->tell);
	c->send = 0;
	if (!c->buf_len || c->hup)
		host_close(c);
	else
		watch_update(c);
	if (rst)
		tell(c, CONN_SEND_RST);
	else if (c->fd < 0)
		conn_free(c);
	else
		list_del(&c->hash);
}

void conns_drop(struct vsock *s, bool now)
{
	struct list *n, *tmp;

	list_for_each_safe(n, tmp, &s->conns) {
		struct conn *c = container_of(n, struct conn, all);

		if (now)
			conn_free(c);
		else
			conn_kill(c, false);
	}
	if (now) {
		free(s->free_buf);
		s->free_buf = NULL;
	}
}

/* ---- bytes to the host program ---- */

/* The guest learns of the room that it does not know of, before it runs out of it */
static void credit_check(struct conn *c)
{
	u32 news = c->fwd_cnt - c->told_fwd;

	if (c->state == CONN_OPEN && news && news >= c->window / 2)
		tell(c, CONN_SEND_CREDIT);
}

static void linger(struct conn *c)
{
	struct vsock *s = c->s;

	list_del(&c->timed);
	c->deadline_ns = clock_ns(s->v.dev.env->clock) + LINGER_NS;
	if (list_empty(&s->lingering))
		timer_arm(&s->linger_timer, c->deadline_ns);
	list_add_tail(&s->lingering, &c->timed);
}

/* The host program's side has ended: @what of it is news for the guest */
static void host_shut(struct conn *c, u32 what)
{
	if ((c->host_shut | what) == c->host_shut)
		return;
	c->host_shut |= what;
	tell(c, CONN_SEND_SHUTDOWN);
	if (c->host_shut == VSOCK_SHUT_BOTH)
		linger(c);
}

/* Nobody will read what the guest sends any more: it is thrown away from now on */
static void host_deaf(struct conn *c)
{
	c->fwd_cnt += c->buf_len;
	buf_free(c);
	if (c->state == CONN_OPEN) {
		host_shut(c, VSOCK_SHUT_RCV);
		credit_check(c);
	}
}

/* Return: bytes that the socket took; -errno when it takes none for good */
static ssize_t host_send(struct conn *c, struct iovec *iov, int n)
{
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = (size_t)n };
	ssize_t r = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (r >= 0)
		return r;
	return errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM ? 0 : -errno;
}

/* All that the guest sent is out */
static void drained(struct conn *c)
{
	buf_free(c);
	if (c->guest_shut & VSOCK_SHUT_SEND)
		shutdown(c->fd, SHUT_WR);
	watch_update(c);
}

/* Return: false when @c is gone */
static bool buf_flush(struct conn *c)
{
	while (c->buf_len) {
		u32 first = MIN(c->buf_len, c->window - c->buf_head);
		struct iovec iov[2] = { { c->buf + c->buf_head, first },
					{ c->buf, c->buf_len - first } };
		ssize_t n = host_send(c, iov, c->buf_len > first ? 2 : 1);

		if (n == 0)
			break;
		if (n < 0) {
			host_deaf(c);
			break;
		}
		c->buf_head = (c->buf_head + (u32)n) % c->window;
		c->buf_len -= (u32)n;
		c->fwd_cnt += (u32)n;
		if (!c->buf_len)
			drained(c);
	}
	if (c->state == CONN_DEAD && !c->buf_len) {
		host_close(c);
		if (!c->send) {
			conn_free(c);
			return false;
		}
	}
	credit_check(c);
	return true;
}

/* Keep @len bytes of the chain from @off on. There is room: the window was checked. */
static int buf_put(struct conn *c, const struct vq_chain *ch, size_t off, u32 len)
{
	u32 at, first;

	if (!c->buf) {
		if (c->window == VSOCK_WINDOW_LARGE && c->s->free_buf) {
			c->buf = c->s->free_buf;
			c->s->free_buf = NULL;
		} else {
			c->buf = malloc(c->window);
		}
		if (!c->buf)
			return -ENOMEM;
	}
	at = (c->buf_head + c->buf_len) % c->window;
	first = MIN(len, c->window - at);
	vq_read(ch, off, c->buf + at, first);
	vq_read(ch, off + first, c->buf, len - first);
	c->buf_len += len;
	watch_update(c);
	return 0;
}

/* RW of the guest. Return: false when @c is dead or gone */
static bool take_bytes(struct conn *c, u32 len, const struct vq_chain *ch)
{
	struct vsock *s = c->s;
	ssize_t sent = 0;
	int n;

	/* 5.10.6.3: no more than fits, and nothing after having said so */
	if (len > c->window - (c->rx_cnt - c->fwd_cnt) || c->guest_shut & VSOCK_SHUT_SEND) {
		log_guest(s->v.dev.env->log, "%s: the guest sends beyond its credit or its end",
			  s->v.dev.id);
		conn_kill(c, true);
		return false;
	}
	c->rx_cnt += len;
	s->bytes_out += len;
	if (c->host_shut & VSOCK_SHUT_RCV) {
		c->fwd_cnt += len;
		credit_check(c);
		return true;
	}
	if (!c->buf_len) {
		n = iov_slice(ch->out, ch->num_out, VSOCK_HDR_BYTES, len, s->iov, VSOCK_MAX_IOV);
		if (n > 0)
			sent = host_send(c, s->iov, n);
	}
	if (sent < 0) {
		c->fwd_cnt += len;
		host_deaf(c);
		return true;
	}
	c->fwd_cnt += (u32)sent;
	if ((u32)sent < len && buf_put(c, ch, VSOCK_HDR_BYTES + (size_t)sent, len - (u32)sent)) {
		conn_kill(c, true);
		return false;
	}
	credit_check(c);
	return true;
}

/* ---- bytes from the host program ---- */

u32 conn_credit(const struct conn *c)
{
	u32 flying = c->tx_cnt - c->peer_fwd;

	return c->peer_alloc > flying ? c->peer_alloc - flying : 0;
}

void conn_update(struct conn *c)
{
	bool wants = c->state == CONN_OPEN && c->readable && !(c->guest_shut & VSOCK_SHUT_RCV) &&
		     !(c->host_shut & VSOCK_SHUT_SEND);
	bool can = wants && conn_credit(c);

	/* A guest that shrank its window may need to be asked for news; once is enough */
	if (wants && !can && !c->credit_asked) {
		c->credit_asked = true;
		tell(c, CONN_SEND_CREDIT_REQUEST);
	}
	if (!can) {
		list_del(&c->ready);
	} else if (list_empty(&c->ready)) {
		list_add_tail(&c->s->ready, &c->ready);
		vsock_work(c->s);
	}
}

ssize_t conn_read(struct conn *c, const struct iovec *iov, int n)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n };
	ssize_t r = recvmsg(c->fd, &msg, MSG_DONTWAIT);

	if (r > 0)
		return r;
	if (r == 0) {
		c->readable = false;
		host_shut(c, VSOCK_SHUT_SEND | (c->hup ? VSOCK_SHUT_RCV : 0));
	} else if (errno == EAGAIN || errno == ENOMEM) {
		c->readable = false;
	} else if (errno != EINTR) {
		conn_kill(c, true); /* closed with bytes of the guest unread */
		return 0;
	}
	conn_update(c);
	return 0;
}

/* Bytes that it has not been asked for yet */
static bool host_has_bytes(const struct conn *c)
{
	int n = 0;

	return ioctl(c->fd, FIONREAD, &n) || n;
}

/* It closed both directions. What it wrote before can still be read, if anybody wants it. */
static void host_hung_up(struct conn *c)
{
	if (c->guest_shut & VSOCK_SHUT_RCV || !host_has_bytes(c))
		host_shut(c, VSOCK_SHUT_BOTH);
	host_deaf(c);
}

static void host_ready(void *arg, u32 events)
{
	struct conn *c = arg;

	if (events & (EPOLLHUP | EPOLLERR))
		c->hup = true;
	switch (c->state) {
	case CONN_REQUESTED:
		/* Gave up before the guest answered; who wrote something first wants it delivered */
		if (c->hup && !host_has_bytes(c))
			conn_kill(c, c->requested);
		return;
	case CONN_OPEN:
		if (events & ~(u32)EPOLLOUT)
			c->readable = true;
		if (events & EPOLLOUT && !buf_flush(c))
			return;
		if (c->hup)
			host_hung_up(c);
		conn_update(c);
		return;
	case CONN_DEAD:
		if (c->hup)
			host_deaf(c);
		buf_flush(c);
		return;
	case CONN_DIALING:
		return;
	}
}

/* ---- beginnings ---- */

static int open_host(struct conn *c, int fd)
{
	int rc;

	c->fd = fd;
	rc = watch_add(&c->watch, c->s->v.dev.env->loop, fd,
		       c->state == CONN_OPEN ? WATCH_IN : WATCH_CLOSED, host_ready, c);
	if (rc) {
		close(fd);
		c->fd = -1;
	}
	return rc;
}

/* Ports above those that a guest's program may bind to without thinking; not one that this
 * guest port is connected to already */
static u32 host_port_new(struct vsock *s, u32 guest_port)
{
	do {
		if (++s->next_port < 0x10000 || s->next_port == UINT32_MAX)
			s->next_port = 0x10000;
	} while (conn_find(s, guest_port, s->next_port));
	return s->next_port;
}

void conn_incoming(void *arg, int fd, u32 port, bool hello)
{
	struct vsock *s = arg;
	struct conn *c = conn_new(s, port, host_port_new(s, port), CONN_REQUESTED);

	if (!c) {
		s->refused++;
		close(fd);
		return;
	}
	c->hello = hello;
	if (open_host(c, fd)) {
		conn_free(c);
		return;
	}
	tell(c, CONN_SEND_REQUEST);
}

static int dial(struct conn *c)
{
	struct vsock *s = c->s;
	int rc = -ENOENT, fd = -1;

	if (s->hub)
		rc = vsk_hub_dial(s->hub, c->host_port, c->guest_port, &fd);
	if (rc == -ENOENT && s->vsk)
		rc = vsk_connect(s->vsk, c->host_port, &fd);
	if (rc)
		return rc;
	c->state = CONN_OPEN;
	rc = open_host(c, fd);
	if (rc)
		return rc == -EAGAIN ? -EIO : rc;
	s->opened++;
	tell(c, CONN_SEND_RESPONSE);
	return 0;
}

static void dial_arm(struct vsock *s)
{
	timer_arm(&s->dial_timer, clock_ns(s->v.dev.env->clock) + DIAL_RETRY_NS);
}

static void dial_due(void *arg)
{
	struct vsock *s = arg;
	u64 now = clock_ns(s->v.dev.env->clock);

	/* Those at the front go to the end, so that all have their turn */
	for (unsigned i = 0; i < DIAL_BATCH && !list_empty(&s->dialing); i++) {
		struct conn *c = container_of(s->dialing.next, struct conn, timed);
		int rc = dial(c);

		list_del(&c->timed);
		if (rc == -EAGAIN && now < c->deadline_ns) {
			list_add_tail(&s->dialing, &c->timed);
		} else if (rc) {
			s->refused++;
			conn_kill(c, true);
		}
	}
	if (!list_empty(&s->dialing))
		dial_arm(s);
}

static void peer_words(struct conn *c, const struct vsock_hdr *h)
{
	c->peer_alloc = MIN(le32_get(h->buf_alloc), VSOCK_PEER_WINDOW_MAX);
	c->peer_fwd = le32_get(h->fwd_cnt);
}

void conn_request(struct vsock *s, const struct vsock_hdr *h)
{
	struct conn *c = conn_new(s, le32_get(h->src_port), le32_get(h->dst_port), CONN_DIALING);
	int rc;

	if (!c) {
		s->refused++;
		vsock_stray_rst(s, h);
		return;
	}
	/* Nothing was sent yet, so nothing can have been forwarded */
	peer_words(c, h);
	c->peer_fwd = 0;
	rc = dial(c);
	if (rc == -EAGAIN) {
		c->deadline_ns = clock_ns(s->v.dev.env->clock) + DIAL_LIMIT_NS;
		if (list_empty(&s->dialing))
			dial_arm(s);
		list_add_tail(&s->dialing, &c->timed);
	} else if (rc) {
		log_debug(s->v.dev.env->log, "%s: guest wants port %u: %s", s->v.dev.id, c->host_port,
			  strerrordesc_np(-rc));
		s->refused++;
		conn_free(c);
		vsock_stray_rst(s, h);
	}
}

/* ---- ends ---- */

/* Both directions are shut by the host program, told LINGER_NS ago */
static void linger_due(void *arg)
{
	struct vsock *s = arg;
	u64 now = clock_ns(s->v.dev.env->clock);

	while (!list_empty(&s->lingering)) {
		struct conn *c = container_of(s->lingering.next, struct conn, timed);

		if (c->deadline_ns > now) {
			timer_arm(&s->linger_timer, c->deadline_ns);
			return;
		}
		if (c->tx_cnt == c->peer_fwd) {
			conn_kill(c, true);
			continue;
		}
		/* Its program has not read everything, as far as we know: ask */
		linger(c);
		tell(c, CONN_SEND_CREDIT_REQUEST);
	}
}

static void guest_shutdown(struct conn *c, u32 flags)
{
	if (!flags || flags & ~VSOCK_SHUT_BOTH) {
		conn_kill(c, true);
		return;
	}
	flags &= ~c->guest_shut;
	c->guest_shut |= flags;
	if (c->guest_shut == VSOCK_SHUT_BOTH) {
		conn_kill(c, true);
		return;
	}
	if (flags & VSOCK_SHUT_RCV)
		shutdown(c->fd, SHUT_RD);
	if (flags & VSOCK_SHUT_SEND && !c->buf_len)
		shutdown(c->fd, SHUT_WR);
	conn_update(c);
}

/* ---- packets ---- */

/* The guest's window and what it has read. A packet that another CPU of the guest overtook
 * has old words; words from the future are a lie. */
static bool credit_ok(struct conn *c, const struct vsock_hdr *h)
{
	u32 fwd = le32_get(h->fwd_cnt), flying = c->tx_cnt - fwd;

	if ((s32)flying < 0)
		return false;
	if (flying <= c->tx_cnt - c->peer_fwd)
		peer_words(c, h);
	c->credit_asked = false;
	return true;
}

static void response(struct conn *c)
{
	c->state = CONN_OPEN;
	c->s->opened++;
	if (c->hello && vsk_say_ok(c->fd, c->host_port)) {
		conn_kill(c, true);
		return;
	}
	watch_update(c); /* says what is readable already */
	conn_update(c);
}

void conn_packet(struct conn *c, const struct vsock_hdr *h, const struct vq_chain *ch)
{
	u16 op = le16_get(h->op);

	if (op == VSOCK_OP_RST) {
		conn_kill(c, false);
		return;
	}
	if (c->state == CONN_DEAD)
		return; /* its RST is on the way */
	if (!credit_ok(c, h)) {
		log_guest(c->s->v.dev.env->log, "%s: the guest read more than it was sent",
			  c->s->v.dev.id);
		conn_kill(c, true);
		return;
	}
	if (c->state == CONN_REQUESTED && c->requested && op == VSOCK_OP_RESPONSE) {
		response(c);
		return;
	}
	if (c->state != CONN_OPEN) {
		conn_kill(c, true);
		return;
	}
	switch (op) {
	case VSOCK_OP_RW:
		if (take_bytes(c, le32_get(h->len), ch))
			break;
		return;
	case VSOCK_OP_SHUTDOWN:
		guest_shutdown(c, le32_get(h->flags));
		return;
	case VSOCK_OP_CREDIT_REQUEST:
		tell(c, CONN_SEND_CREDIT);
		break;
	case VSOCK_OP_CREDIT_UPDATE:
		break;
	default: /* REQUEST, RESPONSE out of place, unknown */
		conn_kill(c, true);
		return;
	}
	conn_update(c);
}

static void header(struct conn *c, struct vsock_hdr *h, enum vsock_op op, u32 len, u32 flags)
{
	*h = (struct vsock_hdr){
		.src_cid = le64_of(VSK_HOST_CID),
		.dst_cid = le64_of(c->s->guest_cid),
		.src_port = le32_of(c->host_port),
		.dst_port = le32_of(c->guest_port),
		.len = le32_of(len),
		.type = le16_of(VSOCK_TYPE_STREAM),
		.op = le16_of(op),
		.flags = le32_of(flags),
		.buf_alloc = le32_of(c->window),
		.fwd_cnt = le32_of(c->fwd_cnt),
	};
	c->told_fwd = c->fwd_cnt;
	c->send &= ~CONN_SEND_CREDIT;
	if (!c->send)
		list_del(&c->tell);
}

void conn_data_header(struct conn *c, struct vsock_hdr *h, u32 len)
{
	c->tx_cnt += len;
	c->s->bytes_in += len;
	header(c, h, VSOCK_OP_RW, len, 0);
}

void conn_tell(struct conn *c, struct vsock_hdr *h)
{
	static const struct { u32 bit; enum vsock_op op; } order[] = {
		{ CONN_SEND_REQUEST, VSOCK_OP_REQUEST },
		{ CONN_SEND_RESPONSE, VSOCK_OP_RESPONSE },
		{ CONN_SEND_RST, VSOCK_OP_RST },
		{ CONN_SEND_SHUTDOWN, VSOCK_OP_SHUTDOWN },
		{ CONN_SEND_CREDIT, VSOCK_OP_CREDIT_UPDATE },
		{ CONN_SEND_CREDIT_REQUEST, VSOCK_OP_CREDIT_REQUEST },
	};
	unsigned i = 0;

	while (i < ARRAY_LEN(order) - 1 && !(c->send & order[i].bit))
		i++;
	c->send &= ~order[i].bit;
	header(c, h, order[i].op, 0, order[i].op == VSOCK_OP_SHUTDOWN ? c->host_shut : 0);
	if (order[i].bit == CONN_SEND_REQUEST)
		c->requested = true;
	if (order[i].bit != CONN_SEND_RST)
		return;
	if (c->fd < 0)
		conn_free(c);
	else
		list_del(&c->hash);
}
