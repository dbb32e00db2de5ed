// SPDX-License-Identifier: BSD-2-Clause
/* device/virtio/vsock.c - virtio-sock: options, queues, packets in and out (virtio 1.2, 5.10)
 *
 * [loop]. tx (guest to host) is served when the guest kicks, rx when somebody has something
 * to say and the guest has given buffers. Control packets go before bytes; connections with
 * bytes take turns. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "device/virtio/vsock_int.h"

/**
 * DOC: Theory of operation - back-pressure
 *
 * Nothing is queued for the guest. A connection that has to tell something is a member of
 * s->tell with bits that say what; one whose socket may have bytes is in s->ready. Both lists
 * hold a connection once, so a guest that gives no rx buffers costs nothing but patience of
 * its peers. Only answers to packets that belong to no connection need a place of their own
 * (s->stray); while it is full, the tx queue is not read (5.10.6.2 allows that).
 *
 * Buffers are taken from rx before it is known whether the host's socket has bytes for them.
 * What was not needed stays in s->spare for the next packet.
 *
 * A round has a budget, after which timers and other devices of the loop come first.
 */

#define RX_BUDGET_BYTES (1u << 20)
#define TX_BUDGET 128u
/* One turn of one connection: one system call */
#define TURN_BYTES (128u << 10)

static struct vsock *vsock_of(struct vio *v)
{
	return container_of(v, struct vsock, v);
}

static struct vsock *vsock_of_dev(struct dev *d)
{
	return container_of(d, struct vsock, v.dev);
}

void vsock_work(struct vsock *s)
{
	if (!s->v.active || s->work_armed)
		return;
	s->work_armed = true;
	timer_arm(&s->work, 0);
}

/* ---- rx: to the guest ---- */

/* Have at least @n buffers of the guest. Return: how many there are */
static unsigned rx_buffers(struct vsock *s, unsigned n)
{
	struct vq *q = &s->v.q[VSOCK_RX];
	struct vq_chain *ch;

	while (s->num_spares < n && (ch = vq_pop(q))) {
		if (ch->in_len <= VSOCK_HDR_BYTES) {
			vq_push(q, ch, 0);
			vq_broken(q, "a receive buffer is too small for a packet");
			break;
		}
		s->spare[s->num_spares++] = ch;
	}
	return q->broken ? 0 : s->num_spares;
}

static void rx_used(struct vsock *s, unsigned n)
{
	s->num_spares -= n;
	memmove(s->spare, s->spare + n, s->num_spares * sizeof(s->spare[0]));
}

/* A packet without payload, into the first buffer */
static void rx_control(struct vsock *s, const struct vsock_hdr *h)
{
	vq_write(s->spare[0], 0, h, VSOCK_HDR_BYTES);
	vq_fill(&s->v.q[VSOCK_RX], s->spare[0], VSOCK_HDR_BYTES);
	rx_used(s, 1);
}

static void rx_stray(struct vsock *s)
{
	const struct stray *t = &s->stray[s->stray_head];
	const struct vsock_hdr h = {
		.src_cid = le64_of(t->src_cid),
		.dst_cid = le64_of(t->dst_cid),
		.src_port = le32_of(t->src_port),
		.dst_port = le32_of(t->dst_port),
		.type = le16_of(t->type),
		.op = le16_of(VSOCK_OP_RST),
	};

	s->stray_head = (s->stray_head + 1) % VSOCK_MAX_STRAYS;
	s->num_strays--;
	s->resets++;
	rx_control(s, &h);
}

/* One turn of @c: as much as fits into the buffers at hand, by one read. Return: bytes */
static u32 rx_data(struct vsock *s, struct conn *c)
{
	struct vq *q = &s->v.q[VSOCK_RX];
	u32 want = MIN(conn_credit(c), TURN_BYTES), sum = 0, left;
	unsigned used = 0;
	int pieces = 0, k;
	ssize_t n;

	if (!want) { /* the guest took its credit back */
		conn_update(c);
		return 0;
	}
	while (sum < want && used < VSOCK_MAX_SPARES && rx_buffers(s, used + 1) > used) {
		struct vq_chain *ch = s->spare[used];
		u32 part = MIN(ch->in_len - VSOCK_HDR_BYTES, want - sum);

		k = iov_slice(ch->in, ch->num_in, VSOCK_HDR_BYTES, part, s->iov + pieces,
			      VSOCK_MAX_IOV - (unsigned)pieces);
		if (k < 0)
			break;
		pieces += k;
		sum += part;
		used++;
	}
	if (!pieces) {
		/* A single buffer of more pieces than a read takes */
		vq_broken(q, "a receive buffer has too many descriptors");
		return 0;
	}
	n = conn_read(c, s->iov, pieces);
	if (n <= 0)
		return 0;
	left = (u32)n;
	for (used = 0; left; used++) {
		struct vq_chain *ch = s->spare[used];
		u32 part = MIN(ch->in_len - VSOCK_HDR_BYTES, left);
		struct vsock_hdr h;

		conn_data_header(c, &h, part);
		vq_write(ch, 0, &h, VSOCK_HDR_BYTES);
		vq_fill(q, ch, VSOCK_HDR_BYTES + part);
		left -= part;
	}
	rx_used(s, used);
	/* Its turn is over: to the end of the line */
	list_del(&c->ready);
	conn_update(c);
	return (u32)n;
}

static bool rx_wanted(const struct vsock *s)
{
	return s->num_strays || !list_empty(&s->tell) || !list_empty(&s->ready);
}

/* Return: false when the guest has to give buffers first */
static bool rx_one(struct vsock *s, u32 *bytes)
{
	struct vsock_hdr h;

	if (!rx_buffers(s, 1))
		return false;
	if (s->num_strays) {
		rx_stray(s);
		*bytes += VSOCK_HDR_BYTES;
	} else if (!list_empty(&s->tell)) {
		conn_tell(container_of(s->tell.next, struct conn, tell), &h);
		rx_control(s, &h);
		*bytes += VSOCK_HDR_BYTES;
	} else {
		/* A turn without bytes has cost a system call all the same */
		*bytes += rx_data(s, container_of(s->ready.next, struct conn, ready)) + 1024;
	}
	return true;
}

static void rx_run(struct vsock *s)
{
	struct vq *q = &s->v.q[VSOCK_RX];
	u32 bytes = 0;
	bool fed = true;

	vq_kicks_off(q);
	while (rx_wanted(s) && bytes < RX_BUDGET_BYTES) {
		fed = rx_one(s, &bytes);
		if (!fed && (q->broken || !vq_kicks_on(q)))
			break;
	}
	vq_publish(q);
	vq_signal(q);
	if (fed && rx_wanted(s) && !q->broken)
		vsock_work(s);
}

/* ---- tx: from the guest ---- */

void vsock_stray_rst(struct vsock *s, const struct vsock_hdr *h)
{
	struct stray *t;

	if (le16_get(h->op) == VSOCK_OP_RST)
		return;
	/* There is room: tx_run() looks before it takes a packet, and one packet needs one */
	t = &s->stray[(s->stray_head + s->num_strays) % VSOCK_MAX_STRAYS];
	s->num_strays++;
	*t = (struct stray){
		.src_cid = le64_get(h->dst_cid),
		.dst_cid = le64_get(h->src_cid),
		.src_port = le32_get(h->dst_port),
		.dst_port = le32_get(h->src_port),
		.type = le16_get(h->type),
	};
}

static void packet(struct vsock *s, const struct vq_chain *ch)
{
	struct vsock_hdr h;
	struct conn *c;

	if (vq_read(ch, 0, &h, sizeof(h)) < sizeof(h)) {
		s->bad_packets++;
		return; /* nobody to answer */
	}
	if (le64_get(h.src_cid) != s->guest_cid || le64_get(h.dst_cid) != VSK_HOST_CID ||
	    le16_get(h.type) != VSOCK_TYPE_STREAM) {
		s->bad_packets++;
		vsock_stray_rst(s, &h);
		return;
	}
	c = conn_find(s, le32_get(h.src_port), le32_get(h.dst_port));
	if (le16_get(h.op) == VSOCK_OP_RW && le32_get(h.len) > ch->out_len - VSOCK_HDR_BYTES) {
		log_guest(s->v.dev.env->log, "%s: a packet is shorter than it says", s->v.dev.id);
		s->bad_packets++;
		h.op = le16_of(VSOCK_OP_INVALID);
	}
	if (c)
		conn_packet(c, &h, ch);
	else if (le16_get(h.op) == VSOCK_OP_REQUEST)
		conn_request(s, &h);
	else
		vsock_stray_rst(s, &h);
}

static void tx_run(struct vsock *s)
{
	struct vq *q = &s->v.q[VSOCK_TX];
	unsigned left = TX_BUDGET;
	struct vq_chain *ch;

	s->tx_stopped = false;
	do {
		vq_kicks_off(q);
		while (left && s->num_strays < VSOCK_MAX_STRAYS && (ch = vq_pop(q))) {
			packet(s, ch);
			vq_push(q, ch, 0);
			left--;
		}
		if (!left || s->num_strays == VSOCK_MAX_STRAYS) {
			s->tx_stopped = true;
			break;
		}
	} while (vq_kicks_on(q));
	vq_signal(q);
}

/* ---- events ---- */

/* 5.10.6.7: every connection is gone, and the guest's CID may be another one */
static void event_run(struct vsock *s)
{
	static const u32 transport_reset = 0;
	struct vq *q = &s->v.q[VSOCK_EVENT];
	const le32 id = le32_of(transport_reset);
	struct vq_chain *ch;

	if (!s->event_due)
		return;
	ch = vq_pop(q);
	if (!ch)
		return;
	s->event_due = false;
	vq_push(q, ch, (u32)vq_write(ch, 0, &id, sizeof(id)));
	vq_signal(q);
}

/* ---- virtio ---- */

static void serve(struct vsock *s)
{
	tx_run(s);
	rx_run(s);
	/* Answers have left: there may be room for more of them */
	if (s->tx_stopped && s->num_strays < VSOCK_MAX_STRAYS)
		vsock_work(s);
}

static void work_due(void *arg)
{
	struct vsock *s = arg;

	s->work_armed = false;
	if (!s->v.active)
		return;
	if (s->tx_stopped)
		serve(s);
	else
		rx_run(s);
}

static void vsock_notify(struct vio *v, unsigned q)
{
	struct vsock *s = vsock_of(v);

	if (q == VSOCK_TX)
		serve(s);
	else if (q == VSOCK_RX)
		work_due(s);
	else
		event_run(s);
}

static void vsock_activate(struct vio *v)
{
	struct vsock *s = vsock_of(v);

	s->event_due = s->cut;
	s->cut = false;
	event_run(s);
	vsock_work(s); /* who connected before the driver was there */
}

static void vsock_deactivate(struct vio *v)
{
	struct vsock *s = vsock_of(v);

	s->cut = s->stopping;
	conns_drop(s, false);
	s->num_spares = s->num_strays = s->stray_head = 0;
	s->tx_stopped = s->event_due = s->work_armed = false;
	timer_cancel(&s->work);
}

static void vsock_dump(struct vio *v, struct strbuf *out)
{
	struct vsock *s = vsock_of(v);

	strbuf_add(out, "cid %u, connections %u, opened %llu, refused %llu, resets %llu, bad packets %llu, "
		   "to guest %llu bytes, from guest %llu bytes\n",
		   s->guest_cid, s->num_conns, (unsigned long long)s->opened,
		   (unsigned long long)s->refused, (unsigned long long)s->resets,
		   (unsigned long long)s->bad_packets, (unsigned long long)s->bytes_in,
		   (unsigned long long)s->bytes_out);
}

static const struct vio_class vsock_vio = {
	.name = "virtio-sock",
	.id = 19,
	.pci_legacy_id = 0x103f, /* not from the specification: HyperKit's, which old guests know */
	.pci_class = 0x02,
	.pci_subclass = 0x00,
	.num_queues = VSOCK_NUM_QUEUES,
	.queue_size = 256,
	.activate = vsock_activate,
	.deactivate = vsock_deactivate,
	.notify = vsock_notify,
	.dump = vsock_dump,
};

/* ---- options ---- */

static const struct opt_desc vsock_opts[] = {
	{ "guest_cid", OPT_STR, NULL, "the guest's address, 3 to 4294967294" },
	{ "path", OPT_STR, NULL, "folder of sockets: connect, CID.PORT" },
	{ "guest_forwards", OPT_STR, NULL, "ports with a socket of their own: P1;P2;..." },
	{ "uds", OPT_STR, NULL, "a socket with the protocol CONNECT <port>" },
	{ "api", OPT_BOOL, NULL, "no sockets but those of the program that embeds the VM" },
	{ NULL, 0, NULL, NULL },
};

static int parse_cid(const char *s, u32 *cid, struct hk_err *err)
{
	u64 v = 0;

	for (const char *p = s; *p; p++) {
		if (*p < '0' || *p > '9' || v > UINT32_MAX)
			return err_set(err, -EINVAL, "bad guest cid: %s", s);
		v = v * 10 + (u64)(*p - '0');
	}
	if (v <= VSK_HOST_CID || v >= UINT32_MAX)
		return err_set(err, -EINVAL, "invalid guest_cid %s", s);
	*cid = (u32)v;
	return 0;
}

static int parse_forwards(char *s, struct vsk_config *cfg, struct hk_err *err)
{
	char *one, *end;
	unsigned long v;

	while ((one = strsep(&s, ";"))) {
		if (cfg->num_forwards == VSK_MAX_FORWARDS)
			return err_set(err, -E2BIG, "Too many forwards: at most %u", VSK_MAX_FORWARDS);
		errno = 0;
		v = strtoul(one, &end, 0);
		if (*one < '0' || *one > '9' || *end || errno || v > UINT32_MAX)
			return err_set(err, -EINVAL, "failed to parse forward \"%s\"", one);
		cfg->forward[cfg->num_forwards++] = (u32)v;
	}
	return 0;
}

static int configure(struct vsock *s, const struct opts *o, struct hk_err *err)
{
	const char *cid = opts_str(o, "guest_cid"), *forwards = opts_str(o, "guest_forwards");
	const struct vsk_peer peer = { conn_incoming, s };
	struct vsk_config cfg = { .dir = opts_str(o, "path"), .uds = opts_str(o, "uds") };
	char *copy;
	int rc;

	if (!cid || (!cfg.dir && !cfg.uds && !opts_bool(o, "api")))
		return err_set(err, -EINVAL, "guest_cid and path options are both required.");
	rc = parse_cid(cid, &s->guest_cid, err);
	if (rc)
		return rc;
	cfg.guest_cid = s->guest_cid;
	if (forwards && *forwards) {
		if (!cfg.dir)
			return err_set(err, -EINVAL, "guest_forwards needs path");
		copy = strdup(forwards);
		rc = copy ? parse_forwards(copy, &cfg, err) : err_set(err, -ENOMEM, "out of memory");
		free(copy);
		if (rc)
			return rc;
	}
	if (!cfg.dir && !cfg.uds)
		return 0;
	return vsk_open(&s->vsk, &cfg, &peer, s->v.dev.env->loop, s->v.dev.env->log, err);
}

/* ---- life ---- */

static int vsock_init(struct dev *d, const char *text, struct hk_err *err)
{
	struct vsock *s = vsock_of_dev(d);
	struct opts *o = NULL;
	char *rest = NULL;
	le64 cid;
	int rc;

	conns_init(s);
	timer_init(&s->work, d->env->loop, work_due, s);
	rc = vio_init(&s->v, &vsock_vio, text, &rest, err);
	if (rc)
		return rc;
	if (!rest)
		return err_set(err, -EINVAL, "virtio-sock: configuration required");
	rc = opts_parse(&o, vsock_opts, rest, err);
	if (!rc)
		rc = configure(s, o, err);
	if (rc)
		rc = err_wrap(err, rc, "virtio-sock");
	opts_destroy(o);
	free(rest);
	if (rc)
		return rc;
	s->v.q[VSOCK_EVENT].max_size = 16;
	cid = le64_of(s->guest_cid);
	return vio_config_init(&s->v, &cid, sizeof(cid), err);
}

static int vsock_start(struct dev *d)
{
	struct vsock *s = vsock_of_dev(d);
	const struct vsk_peer peer = { conn_incoming, s };
	int rc = s->vsk ? vsk_start(s->vsk) : 0;

	if (rc)
		return rc;
	s->started = true;
	s->stopping = false;
	/* The first virtio-sock of a VM is the embedder's */
	if (d->env->vsock && !vsk_hub_attach(d->env->vsock, &peer))
		s->hub = d->env->vsock;
	return vio_start(d);
}

static void drop_on_loop(void *arg)
{
	struct vsock *s = arg;

	conns_drop(s, true);
}

static void vsock_stop(struct dev *d)
{
	struct vsock *s = vsock_of_dev(d);

	if (!s->started)
		return;
	s->started = false;
	s->stopping = true;
	vio_stop(d);
	vsk_stop(s->vsk);
	if (s->hub)
		vsk_hub_detach(s->hub, s);
	s->hub = NULL;
	timer_cancel_sync(&s->work);
	timer_cancel_sync(&s->dial_timer);
	timer_cancel_sync(&s->linger_timer);
	loop_call_wait(d->env->loop, drop_on_loop, s);
}

static void vsock_reset(struct dev *d, enum dev_reset kind)
{
	vsock_of_dev(d)->cut = false;
	vio_reset(d, kind);
}

static void vsock_fini(struct dev *d)
{
	struct vsock *s = vsock_of_dev(d);

	vsock_stop(d);
	vsk_close(s->vsk);
	vio_fini(d);
}

const struct dev_class virtio_sock_class = {
	.name = "virtio-sock",
	.help = "sockets between host programs and the guest",
	.size = sizeof(struct vsock),
	.opts = vsock_opts,
	.init = vsock_init,
	.plug = vio_plug,
	.start = vsock_start,
	.stop = vsock_stop,
	.reset = vsock_reset,
	.dump = vio_dump,
	.fini = vsock_fini,
};
