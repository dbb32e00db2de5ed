// SPDX-License-Identifier: BSD-2-Clause
/* backend/fs/peer.c - share: an external 9P server at a stream socket
 *
 * Messages pass unchanged but for sizes: a request is sent as long as its chain says, and a
 * Twrite whose size field is wrong (old Linux) is put right. Replies are matched by tag.
 *
 * DOC: Life of the connection
 *
 * It is made when the guest begins a session (Tversion), as HyperKit did at the first kick:
 * the server may start after us. For ten seconds it is tried every 50 ms; the guest's
 * request waits meanwhile, nobody else does. When the server dies, or breaks the protocol,
 * all requests fail with EIO, those to come too: its fids are gone, and only the guest
 * can make new ones. With the next Tversion (a mount) a new connection is made. A reset of
 * the device ends the connection, so that the server forgets the fids of a guest that
 * rebooted. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "backend/fs/fs_int.h"
#include "base/err.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "base/wire.h"

#define RETRY_NS 50000000ull
#define GIVE_UP_NS (10 * NS_PER_SEC)
#define MAX_REPLY (2u << 20)
#define ROUND_BYTES (4u << 20) /* then the rest of the loop has a turn */

enum peer_state {
	PEER_IDLE,	 /* no session yet, no connection */
	PEER_CONNECTING, /* requests wait */
	PEER_UP,
	PEER_DEAD,	 /* the session is lost; Tversion connects again */
	PEER_NUM_STATES
};

struct peer {
	struct share share;
	struct loop *loop;
	struct log *log;
	struct log_rate rate;
	char *path;	 /* NULL: TCP */
	unsigned port;
	/* all [loop] */
	enum peer_state state;
	int fd;
	struct watch watch;
	struct timer retry;
	u64 give_up;
	struct list to_send;	/* the first may be sent in part */
	struct list waiting;	/* for their replies */
	u8 head[P9_HEAD];	/* of the reply that is being received */
	size_t got;		/* of the reply, head included */
	u32 size;
	struct share_req *cur;	/* whose reply; NULL: nobody's, drop it */
	u64 sent, received, deaths;
};

static struct peer *peer_of(struct share *s)
{
	return container_of(s, struct peer, share);
}

/* Rlerror to the guest. Return: bytes */
static size_t refuse(struct share_req *r, int rc)
{
	u8 msg[P9_ERROR_LEN];

	if (rq_iov_len(r->out, r->nout) < sizeof(msg))
		return 0;
	store_le32(msg, sizeof(msg));
	msg[4] = P9_RLERROR;
	store_le16(msg + 5, r->tag);
	store_le32(msg + 7, (u32)-rc);
	return rq_iov_put(r->out, r->nout, 0, msg, sizeof(msg));
}

/* All that is under way ends with @rc; 0: cancelled */
static void end_all(struct peer *p, int rc)
{
	struct list all, *q, *next;

	/* done() may submit again: take them out first */
	list_init(&all);
	if (p->cur)
		list_add_tail(&all, &p->cur->link);
	p->cur = NULL;
	list_for_each_safe(q, next, &p->waiting) {
		list_del(q);
		list_add_tail(&all, q);
	}
	list_for_each_safe(q, next, &p->to_send) {
		list_del(q);
		list_add_tail(&all, q);
	}
	list_for_each_safe(q, next, &all) {
		struct share_req *r = container_of(q, struct share_req, link);

		list_del(q);
		r->done(r, rc ? refuse(r, rc) : 0);
	}
}

static void hang_up(struct peer *p, enum peer_state state)
{
	timer_cancel(&p->retry);
	if (p->fd >= 0) {
		watch_del(&p->watch);
		close(p->fd);
	}
	p->fd = -1;
	p->got = 0;
	p->state = state;
}

static void die(struct peer *p, const char *why)
{
	log_msg_limited(p->log, &p->rate, HK_LOG_WARN,
			"virtio-9p: the 9P server is gone: %s; mount again when it is back", why);
	p->deaths++;
	hang_up(p, PEER_DEAD);
	end_all(p, -EIO);
}

/* -------------------------------------------------------------------- send */

static void interest(struct peer *p)
{
	watch_set(&p->watch, EPOLLIN | (list_empty(&p->to_send) ? 0 : EPOLLOUT));
}

static void send_some(struct peer *p)
{
	struct iovec iov[DATA_IOV + 1];

	while (p->state == PEER_UP && !list_empty(&p->to_send)) {
		struct share_req *r = container_of(p->to_send.next, struct share_req, link);
		struct msghdr m = { .msg_iov = iov };
		size_t off = MAX(r->sent, (size_t)r->head_len);
		ssize_t n;

		if (r->sent < r->head_len)
			iov[m.msg_iovlen++] = (struct iovec){ r->head + r->sent,
							      r->head_len - r->sent };
		m.msg_iovlen += (size_t)rq_iov_cut(r->in, r->nin, off, r->size - off,
						   iov + m.msg_iovlen);
		n = sendmsg(p->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			die(p, strerror(errno));
			return;
		}
		r->sent += (size_t)n;
		p->sent += (u64)n;
		if (r->sent == r->size) {
			list_del(&r->link);
			list_add_tail(&p->waiting, &r->link);
		}
	}
	if (p->state == PEER_UP)
		interest(p);
}

/* ----------------------------------------------------------------- receive */

static struct share_req *find(struct list *in, u16 tag)
{
	struct list *q;

	list_for_each(q, in) {
		struct share_req *r = container_of(q, struct share_req, link);

		if (r->tag == tag)
			return r;
	}
	return NULL;
}

/* The reply's head is there: whose is it? */
static void reply_begin(struct peer *p)
{
	p->cur = find(&p->waiting, load_le16(p->head + 5));
	if (!p->cur)
		return; /* flushed, or the server's mistake */
	list_del(&p->cur->link);
	if (p->size > rq_iov_len(p->cur->out, p->cur->nout)) {
		p->cur->done(p->cur, refuse(p->cur, -EMSGSIZE));
		p->cur = NULL;
		return;
	}
	rq_iov_put(p->cur->out, p->cur->nout, 0, p->head, P9_HEAD);
}

static void reply_end(struct peer *p)
{
	struct share_req *r = p->cur, *old;

	p->cur = NULL;
	p->got = 0;
	if (!r)
		return;
	/* What was flushed comes back without an answer, and before Rflush */
	if (r->type == P9_TFLUSH && p->head[4] == P9_TFLUSH + 1) {
		old = find(&p->waiting, r->old_tag);
		if (old) {
			list_del(&old->link);
			old->done(old, 0);
		}
	}
	r->done(r, p->size);
}

/* Where the next bytes go. Return: pieces */
static int room_for(struct peer *p, struct iovec *iov, u8 *sink, size_t sink_len)
{
	size_t left = p->size - p->got;

	if (p->got < P9_HEAD) {
		iov[0] = (struct iovec){ p->head + p->got, P9_HEAD - p->got };
		return 1;
	}
	if (p->cur)
		return rq_iov_cut(p->cur->out, p->cur->nout, p->got, left, iov);
	iov[0] = (struct iovec){ sink, MIN(left, sink_len) };
	return 1;
}

static void receive(struct peer *p)
{
	struct iovec iov[DATA_IOV];
	u8 sink[4096];
	size_t sum = 0;

	while (p->state == PEER_UP && sum < ROUND_BYTES) {
		ssize_t n = readv(p->fd, iov, room_for(p, iov, sink, sizeof(sink)));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			die(p, n ? strerror(errno) : "it closed the connection");
			return;
		}
		sum += (size_t)n;
		p->received += (u64)n;
		p->got += (size_t)n;
		if (p->got < P9_HEAD)
			continue;
		if (p->got == P9_HEAD) {
			p->size = load_le32(p->head);
			if (p->size < P9_HEAD || p->size > MAX_REPLY) {
				die(p, "a reply of impossible size");
				return;
			}
			reply_begin(p);
		}
		if (p->got == p->size)
			reply_end(p);
	}
}

/* ----------------------------------------------------------------- connect */

static void try_connect(void *arg);

static void up(struct peer *p)
{
	timer_cancel(&p->retry);
	p->state = PEER_UP;
	log_debug(p->log, "virtio-9p: connected");
	send_some(p);
}

static void again_or_give_up(struct peer *p, int rc)
{
	struct clock *c = loop_clock(p->loop);

	hang_up(p, PEER_CONNECTING);
	if (clock_ns(c) < p->give_up) {
		timer_arm(&p->retry, clock_ns(c) + RETRY_NS);
		return;
	}
	if (p->path)
		log_error(p->log, "virtio-9p: failed to connect to path %s: %s", p->path, strerror(-rc));
	else
		log_error(p->log, "virtio-9p: failed to connect to port %u: %s", p->port, strerror(-rc));
	p->state = PEER_DEAD;
	end_all(p, rc);
}

static void on_event(void *arg, u32 events)
{
	struct peer *p = arg;
	socklen_t len = sizeof(int);
	int rc = 0;

	if (p->state == PEER_CONNECTING) {
		if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &rc, &len))
			rc = errno;
		if (rc)
			again_or_give_up(p, -rc);
		else
			up(p);
		return;
	}
	if (p->state == PEER_UP && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		receive(p);
	if (p->state == PEER_UP && events & EPOLLOUT)
		send_some(p);
}

/* Return: 0 connected, -EINPROGRESS, or why not */
static int dial(struct peer *p)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_port = htons((u16)p->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const int one = 1;

	p->fd = socket(p->path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->fd < 0)
		return -errno;
	if (p->path) {
		memcpy(un.sun_path, p->path, strlen(p->path) + 1);
		return connect(p->fd, (struct sockaddr *)&un, sizeof(un)) ? -errno : 0;
	}
	(void)setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return connect(p->fd, (struct sockaddr *)&in, sizeof(in)) ? -errno : 0;
}

static void try_connect(void *arg)
{
	struct peer *p = arg;
	int rc = dial(p), rc2;

	if (rc && rc != -EINPROGRESS) {
		if (p->fd >= 0)
			close(p->fd);
		p->fd = -1;
		again_or_give_up(p, rc);
		return;
	}
	rc2 = watch_add(&p->watch, p->loop, p->fd, rc ? EPOLLOUT : EPOLLIN, on_event, p);
	if (rc2) {
		close(p->fd);
		p->fd = -1;
		again_or_give_up(p, rc2);
		return;
	}
	if (!rc)
		up(p);
}

/* ------------------------------------------------------------------- share */

/* Copy the head once and see to it that it tells the truth. 0 or -errno */
static int prepare(struct share_req *r)
{
	size_t len = rq_iov_len(r->in, r->nin);
	u32 size;

	memset(r->head, 0, sizeof(r->head));
	r->head_len = (u8)rq_iov_get(r->in, r->nin, 0, r->head, sizeof(r->head));
	r->type = r->head[4];
	r->tag = load_le16(r->head + 5);
	r->old_tag = load_le16(r->head + 7);
	size = load_le32(r->head);
	r->sent = 0;
	if (r->type == P9_TWRITE && len >= P9_WRITE_HEAD && size != len && len <= MAX_REPLY) {
		size = (u32)len;
		store_le32(r->head, size);
		store_le32(r->head + P9_WRITE_HEAD - 4, size - P9_WRITE_HEAD);
	}
	if (size < P9_HEAD || size > len || size > MAX_REPLY)
		return -EPROTO;
	r->size = size;
	r->head_len = (u8)MIN((u32)r->head_len, size);
	return 0;
}

static bool peer_submit(struct share *s, struct share_req *r, size_t *written)
{
	struct peer *p = peer_of(s);
	int rc;

	r->share = s;
	rc = prepare(r);
	if (!rc && r->type != P9_TVERSION && (p->state == PEER_IDLE || p->state == PEER_DEAD))
		rc = -EIO;
	if (rc) {
		*written = refuse(r, rc);
		return true;
	}
	list_add_tail(&p->to_send, &r->link);
	if (p->state == PEER_UP) {
		send_some(p);
	} else if (p->state != PEER_CONNECTING) {
		p->state = PEER_CONNECTING;
		p->give_up = clock_ns(loop_clock(p->loop)) + GIVE_UP_NS;
		try_connect(p);
	}
	return false;
}

static void peer_reset(struct share *s)
{
	struct peer *p = peer_of(s);

	hang_up(p, PEER_IDLE);
	end_all(p, 0);
}

static void peer_dump(struct share *s, struct strbuf *out)
{
	static const char *const words[] = {
		[PEER_IDLE] = "not connected yet",
		[PEER_CONNECTING] = "connecting",
		[PEER_UP] = "connected",
		[PEER_DEAD] = "lost",
	};
	struct peer *p = peer_of(s);

	_Static_assert(ARRAY_LEN(words) == PEER_NUM_STATES, "a word for each");
	strbuf_add(out, "server %s%s: %s, sent %llu, received %llu, lost %llu times\n",
		   p->path ? "at " : "on port ", p->path ? p->path : "", words[p->state],
		   (unsigned long long)p->sent, (unsigned long long)p->received,
		   (unsigned long long)p->deaths);
}

static void peer_close(struct share *s)
{
	struct peer *p = peer_of(s);

	timer_cancel_sync(&p->retry);
	hang_up(p, PEER_IDLE);
	free(p->path);
	free(p);
}

static const struct share_ops peer_share_ops = {
	.submit = peer_submit,
	.reset = peer_reset,
	.dump = peer_dump,
	.close = peer_close,
};

int share_open_peer(struct share **out, const char *path, unsigned port, struct loop *loop,
		    struct log *log, struct hk_err *err)
{
	struct sockaddr_un un;
	struct peer *p;

	if (path && (!*path || strlen(path) >= sizeof(un.sun_path)))
		return err_set(err, -EINVAL, "path=%s: a socket's name has 1 to %zu bytes", path,
			       sizeof(un.sun_path) - 1);
	if (!path && (!port || port > 65535))
		return err_set(err, -EINVAL, "port=%u: a port is 1 to 65535", port);
	p = calloc(1, sizeof(*p));
	if (!p || (path && !(p->path = strdup(path)))) {
		free(p);
		return err_set(err, -ENOMEM, "out of memory");
	}
	p->share.ops = &peer_share_ops;
	p->loop = loop;
	p->log = log;
	p->port = port;
	p->fd = -1;
	list_init(&p->to_send);
	list_init(&p->waiting);
	timer_init(&p->retry, loop, try_connect, p);
	*out = &p->share;
	return 0;
}
