// SPDX-License-Identifier: BSD-2-Clause
/* device/virtio/blk.c - virtio-blk: a disk (virtio 1.2, 5.2)
 *
 * All of it is [loop]. A request's data goes between guest memory and the back end without a
 * copy; header and status byte are cut off the chain in place. Requests of one kick are given to
 * the back end one after the other, completions of one round of the loop share an interrupt.
 * Test: test/unit/device/virtio/blk_test.c, fuzz/virtio_blk_fuzz.c, test/boot/disk_test.sh. */
#include <errno.h>
#include <stdlib.h>

#include "backend/block/blk.h"
#include "base/err.h"
#include "base/range.h"
#include "base/strbuf.h"
#include "base/wire.h"
#include "device/virtio/vio.h"

#define SECTOR 512u
#define QUEUE_SIZE 256u
/* Header and status take two descriptors */
#define SEG_MAX(queue_size) ((queue_size)-2u)
#define SIZE_MAX_LIMIT (1u << 30)
#define RANGES_MAX 16u /* segments of one discard or write zeroes */

/* 5.2.3 */
#define F_SIZE_MAX 1
#define F_SEG_MAX 2
#define F_RO 5
#define F_BLK_SIZE 6
#define F_FLUSH 9
#define F_TOPOLOGY 10
#define F_CONFIG_WCE 11
#define F_MQ 12
#define F_DISCARD 13
#define F_WRITE_ZEROES 14

/* 5.2.6 */
enum {
	T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_FLUSH_OUT = 5, T_GET_ID = 8, T_DISCARD = 11,
	T_WRITE_ZEROES = 13,
};
#define T_BARRIER BIT(31) /* very old drivers; flush is all there is */
#define S_OK 0
#define S_IOERR 1
#define S_UNSUPP 2
#define RANGE_UNMAP BIT(0)

struct header {
	le32 type, reserved;
	le64 sector;
};

struct range {
	le64 sector;
	le32 num_sectors, flags;
};

/* 5.2.4 */
struct config {
	le64 capacity;
	le32 size_max, seg_max;
	le16 cylinders;
	u8 heads, sectors;
	le32 blk_size;
	u8 physical_exp, alignment;
	le16 min_io;
	le32 opt_io;
	u8 writeback, unused0;
	le16 num_queues;
	le32 max_discard_sectors, max_discard_seg, discard_align;
	le32 max_zeroes_sectors, max_zeroes_seg;
	u8 zeroes_may_unmap, unused1[3];
};
_Static_assert(sizeof(struct config) == 60, "virtio 1.2, 5.2.4");

struct vblk;

struct vblk_req {
	struct blk_req req;
	struct vblk *b;
	struct vq *q;
	struct vq_chain *c;
	u8 *status;		/* in the guest */
	unsigned num_ranges, next_range;
	struct range range[RANGES_MAX]; /* copied once */
};

struct vblk_queue {
	struct vblk_req *req;	/* [size] by head */
	bool signal;		/* something was pushed since the last signal */
};

struct vblk {
	struct vio v;
	struct blk_env env;
	struct blk *blk;
	unsigned num_queues, queue_size; /* options */
	struct vblk_queue *queue; /* [v.num_queues] */
	struct work signal_work;
	bool have_work;
	bool through;		/* writes are done when they are safe: no flush comes */
	u64 bad;		/* requests that were refused without asking the back end */
};

static struct vblk *vblk_of(struct vio *v)
{
	return container_of(v, struct vblk, v);
}

/* ---- the end of a request ---- */

static void signal_queues(void *arg)
{
	struct vblk *b = arg;
	unsigned i;

	for (i = 0; i < b->v.num_queues; i++) {
		if (!b->queue[i].signal)
			continue;
		b->queue[i].signal = false;
		vq_signal(&b->v.q[i]);
	}
}

static void finish(struct vblk_req *r, u8 status)
{
	struct vblk *b = r->b;

	*(volatile u8 *)r->status = status;
	/* The status byte is the last that we store, so "all" is the length that covers it */
	vq_push(r->q, r->c, r->c->in_len);
	if (!b->queue[r->q->index].signal) {
		b->queue[r->q->index].signal = true;
		work_post(&b->signal_work);
	}
}

static void refuse(struct vblk_req *r, u8 status)
{
	r->b->bad++;
	finish(r, status);
}

static void io_done(struct blk_req *req, int rc)
{
	struct vblk_req *r = container_of(req, struct vblk_req, req);

	finish(r, !rc ? S_OK : rc == -EOPNOTSUPP ? S_UNSUPP : S_IOERR);
}

/* ---- requests ---- */

static void read_write(struct vblk_req *r, u64 sector, bool write)
{
	struct vblk *b = r->b;
	struct vq_chain *c = r->c;
	u32 len = write ? c->out_len - (u32)sizeof(struct header) : c->in_len - 1;
	struct blk_req *q = &r->req;
	int n;

	if (sector > UINT64_MAX / SECTOR || len % SECTOR || len > b->blk->max_transfer) {
		refuse(r, S_IOERR);
		return;
	}
	if (write) {
		n = iov_slice(c->out, c->num_out, sizeof(struct header), len, c->out, c->num_out);
		q->iov = c->out;
	} else {
		/* The last byte is the status */
		n = (int)c->num_in - (--c->in[c->num_in - 1].iov_len == 0);
		q->iov = c->in;
	}
	if (n < 0 || (unsigned)n > b->blk->max_segments ||
	    !range_ok(sector * SECTOR, len, b->blk->size_bytes)) {
		refuse(r, S_IOERR);
		return;
	}
	if (!len) {
		finish(r, S_OK);
		return;
	}
	q->kind = write ? BLK_WRITE : BLK_READ;
	q->flags = write && b->through ? BLK_REQ_FUA : 0;
	q->off = sector * SECTOR;
	q->len = len;
	q->niov = (unsigned)n;
	q->done = io_done;
	blk_submit(b->blk, q);
}

static void range_done(struct blk_req *req, int rc);

static void range_next(struct vblk_req *r)
{
	const struct range *a = &r->range[r->next_range++];
	bool unmap = le32_get(a->flags) & RANGE_UNMAP;

	r->req.flags = (r->req.kind == BLK_WRITE_ZEROES && unmap ? BLK_REQ_UNMAP : 0) |
		       (r->req.kind == BLK_WRITE_ZEROES && r->b->through ? BLK_REQ_FUA : 0);
	r->req.off = le64_get(a->sector) * SECTOR;
	r->req.len = (u64)le32_get(a->num_sectors) * SECTOR;
	r->req.iov = NULL;
	r->req.niov = 0;
	r->req.done = range_done;
	blk_submit(r->b->blk, &r->req);
}

static void range_done(struct blk_req *req, int rc)
{
	struct vblk_req *r = container_of(req, struct vblk_req, req);

	if (rc || r->next_range == r->num_ranges)
		io_done(req, rc);
	else
		range_next(r);
}

/* Everything is checked before anything is done (5.2.6.2). Return: status */
static u8 check_ranges(struct vblk_req *r, bool zeroes)
{
	struct blk *blk = r->b->blk;
	u32 flags;
	unsigned i;
	u64 at, n;

	for (i = 0; i < r->num_ranges; i++) {
		flags = le32_get(r->range[i].flags);
		if (flags & ~(zeroes ? RANGE_UNMAP : 0))
			return S_UNSUPP;
		at = le64_get(r->range[i].sector);
		n = le32_get(r->range[i].num_sectors);
		if (!n || n * SECTOR > blk->max_discard || at > UINT64_MAX / SECTOR ||
		    !range_ok(at * SECTOR, n * SECTOR, blk->size_bytes))
			return S_IOERR;
	}
	return S_OK;
}

static void ranges(struct vblk_req *r, bool zeroes)
{
	struct vblk *b = r->b;
	u32 len = r->c->out_len - (u32)sizeof(struct header);
	u8 status;

	if (!vio_has(&b->v, zeroes ? F_WRITE_ZEROES : F_DISCARD)) {
		refuse(r, S_UNSUPP);
		return;
	}
	if (!len || len % sizeof(struct range) || len / sizeof(struct range) > RANGES_MAX) {
		refuse(r, S_IOERR);
		return;
	}
	r->num_ranges = len / (u32)sizeof(struct range);
	r->next_range = 0;
	vq_read(r->c, sizeof(struct header), r->range, len);
	status = check_ranges(r, zeroes);
	if (status) {
		refuse(r, status);
		return;
	}
	r->req.kind = zeroes ? BLK_WRITE_ZEROES : BLK_DISCARD;
	range_next(r);
}

static void flush(struct vblk_req *r)
{
	r->req.kind = BLK_FLUSH;
	r->req.flags = 0;
	r->req.off = r->req.len = 0;
	r->req.iov = NULL;
	r->req.niov = 0;
	r->req.done = io_done;
	blk_submit(r->b->blk, &r->req);
}

static void get_id(struct vblk_req *r)
{
	char id[BLK_SERIAL_BYTES] = { 0 };
	size_t n = strlen(r->b->blk->serial);

	memcpy(id, r->b->blk->serial, MIN(n, sizeof(id)));
	vq_write(r->c, 0, id, MIN(sizeof(id), r->c->in_len - 1));
	finish(r, S_OK);
}

static void start(struct vblk *b, struct vq *q, struct vq_chain *c)
{
	struct vblk_req *r = &b->queue[q->index].req[c->head];
	const struct iovec *last;
	struct header h;
	u32 type;

	if (c->out_len < sizeof(h) || !c->in_len) {
		vq_broken(q, "a request without header or status byte");
		return;
	}
	r->b = b;
	r->q = q;
	r->c = c;
	last = &c->in[c->num_in - 1];
	r->status = (u8 *)last->iov_base + last->iov_len - 1;
	vq_read(c, 0, &h, sizeof(h));
	type = le32_get(h.type) & ~T_BARRIER;
	if (b->blk->read_only && (type == T_OUT || type == T_DISCARD || type == T_WRITE_ZEROES)) {
		refuse(r, S_IOERR);
		return;
	}
	switch (type) {
	case T_IN: read_write(r, le64_get(h.sector), false); break;
	case T_OUT: read_write(r, le64_get(h.sector), true); break;
	case T_FLUSH: case T_FLUSH_OUT: flush(r); break;
	case T_GET_ID: get_id(r); break;
	case T_DISCARD: ranges(r, false); break;
	case T_WRITE_ZEROES: ranges(r, true); break;
	default: refuse(r, S_UNSUPP);
	}
}

/* ---- what the driver does ---- */

static void vblk_notify(struct vio *v, unsigned i)
{
	struct vblk *b = vblk_of(v);
	struct vq *q = &v->q[i];
	unsigned budget = q->size; /* a flood on one queue lets the others and the loop run */
	struct vq_chain *c;

	vq_kicks_off(q);
	while (budget && (c = vq_pop(q))) {
		budget--;
		start(b, q, c);
	}
	if (vq_kicks_on(q))
		vio_kick(v, i);
}

static void update_through(struct vblk *b)
{
	struct config cfg;

	vio_config_get(&b->v, 0, &cfg, sizeof(cfg));
	/* 5.2.5.2: a driver that knows neither flush nor cache mode expects safe writes */
	if (vio_has(&b->v, F_CONFIG_WCE))
		b->through = !cfg.writeback;
	else
		b->through = !vio_has(&b->v, F_FLUSH);
}

static void set_writeback(struct vblk *b, u8 on)
{
	vio_config_set(&b->v, offsetof(struct config, writeback), &on, 1);
	update_through(b);
}

static bool vblk_set_features(struct vio *v, u64 acked)
{
	update_through(vblk_of(v));
	return true;
}

static void vblk_cfg_write(struct vio *v, unsigned off, const u8 *bytes, unsigned len)
{
	unsigned at = offsetof(struct config, writeback);

	if (vio_has(v, F_CONFIG_WCE) && off <= at && at - off < len)
		set_writeback(vblk_of(v), bytes[at - off] & 1);
}

static void vblk_deactivate(struct vio *v)
{
	struct vblk *b = vblk_of(v);

	blk_drain(b->blk);
	signal_queues(b);
	set_writeback(b, 1);
}

static void vblk_dump(struct vio *v, struct strbuf *out)
{
	struct vblk *b = vblk_of(v);

	strbuf_add(out, "  refused %llu\n", (unsigned long long)b->bad);
	blk_dump(b->blk, out);
}

static const struct vio_class vblk_vio = {
	.name = "virtio-blk",
	.id = 2,
	.pci_legacy_id = 0x1001,
	.pci_class = 0x01,
	.features = BIT64(F_SIZE_MAX) | BIT64(F_SEG_MAX) | BIT64(F_BLK_SIZE) | BIT64(F_FLUSH) |
		    BIT64(F_TOPOLOGY) | BIT64(F_CONFIG_WCE),
	.num_queues = 1,
	.queue_size = QUEUE_SIZE,
	.set_features = vblk_set_features,
	.deactivate = vblk_deactivate,
	.notify = vblk_notify,
	.cfg_write = vblk_cfg_write,
	.dump = vblk_dump,
};

/* ---- set-up ---- */

static le64 capacity(const struct vblk *b)
{
	return le64_of(b->blk->size_bytes / SECTOR);
}

/* [loop] */
static void resized(void *arg)
{
	struct vblk *b = arg;
	le64 sectors = capacity(b);

	vio_config_set(&b->v, offsetof(struct config, capacity), &sectors, sizeof(sectors));
	vio_config_changed(&b->v);
}

static int number(const char *key, const char *value, unsigned max, unsigned *out,
		  struct hk_err *err)
{
	unsigned long n = 0;
	char *end;

	if (value && *value >= '0' && *value <= '9') {
		n = strtoul(value, &end, 10);
		if (*end)
			n = 0;
	}
	if (!n || n > max)
		return err_set(err, -EINVAL, "%s: a number from 1 to %u is needed", key, max);
	*out = (unsigned)n;
	return 0;
}

static bool own_opt(void *arg, const char *key, const char *value, int *rc, struct hk_err *err)
{
	struct vblk *b = arg;

	if (!strcmp(key, "num-queues")) {
		*rc = number(key, value, VIO_MAX_QUEUES, &b->num_queues, err);
	} else if (!strcmp(key, "queue-size")) {
		*rc = number(key, value, VQ_MAX_SIZE, &b->queue_size, err);
		if (!*rc && (b->queue_size < 4 || (b->queue_size & (b->queue_size - 1))))
			*rc = err_set(err, -EINVAL, "queue-size: a power of two from 4 to %u is "
				      "needed", VQ_MAX_SIZE);
	} else {
		return false;
	}
	return true;
}

static const struct opt_desc vblk_opts[] = {
	{ "num-queues", OPT_U64, "1", "request queues, 1 to 64" },
	{ "queue-size", OPT_U64, "256", "requests in flight a queue, a power of two" },
	{ 0 },
};

static unsigned log2_of(u32 n)
{
	return 31u - (unsigned)__builtin_clz(n);
}

static int make_config(struct vblk *b, struct hk_err *err)
{
	const struct blk *blk = b->blk;
	u64 most = MIN(blk->max_discard / SECTOR, (u64)UINT32_MAX);
	u32 segs = MIN(MAX(blk->discard_segments, 1u), RANGES_MAX);
	u32 seg_max = MIN(SEG_MAX(b->queue_size), blk->max_segments);
	struct config cfg = {
		.capacity = capacity(b),
		/* Together they keep a request below what the back end takes */
		.size_max = le32_of((u32)ALIGN_DOWN(MIN(blk->max_transfer / seg_max,
							(u64)SIZE_MAX_LIMIT), PAGE_BYTES)),
		.seg_max = le32_of(seg_max),
		.blk_size = le32_of(blk->logical),
		.physical_exp = (u8)log2_of(blk->physical / blk->logical),
		.writeback = 1,
		.num_queues = le16_of((u16)b->num_queues),
	};

	if (blk->read_only) {
		b->v.features |= BIT64(F_RO);
	} else {
		b->v.features |= BIT64(F_WRITE_ZEROES);
		cfg.max_zeroes_sectors = le32_of((u32)most);
		cfg.max_zeroes_seg = le32_of(segs);
		cfg.zeroes_may_unmap = blk->caps & BLK_CAP_DISCARD ? 1 : 0;
	}
	if (!blk->read_only && (blk->caps & BLK_CAP_DISCARD)) {
		b->v.features |= BIT64(F_DISCARD);
		cfg.max_discard_sectors = le32_of((u32)most);
		cfg.max_discard_seg = le32_of(segs);
		cfg.discard_align = le32_of(MAX(blk->discard_align, blk->logical) / SECTOR);
	}
	if (b->num_queues > 1)
		b->v.features |= BIT64(F_MQ);
	return vio_config_init(&b->v, &cfg, sizeof(cfg), err);
}

static int make_queues(struct vblk *b, struct hk_err *err)
{
	int rc = vio_set_queues(&b->v, b->num_queues, err);
	unsigned i;

	if (rc)
		return rc;
	b->queue = calloc(b->num_queues, sizeof(*b->queue));
	if (!b->queue)
		return err_set(err, -ENOMEM, "out of memory");
	for (i = 0; i < b->num_queues; i++) {
		b->v.q[i].max_size = (u16)b->queue_size;
		b->queue[i].req = calloc(b->queue_size, sizeof(*b->queue[i].req));
		if (!b->queue[i].req)
			return err_set(err, -ENOMEM, "out of memory");
	}
	return 0;
}

static int vblk_init(struct dev *d, const char *opts, struct hk_err *err)
{
	struct vblk *b = vblk_of(vio_of(d));
	struct blk_open how = {
		.env = &b->env, .id = d->id, .own_opt = own_opt, .own_arg = b,
	};
	char *rest = NULL;
	int rc;

	b->num_queues = 1;
	b->queue_size = QUEUE_SIZE;
	b->env = (struct blk_env){
		.loop = d->env->loop,
		.pool = d->env->pool,
		.log = d->env->log,
		.request_pause = d->env->request_pause,
		.m = d->env->m,
	};
	rc = vio_init(&b->v, &vblk_vio, opts, &rest, err);
	if (!rc)
		rc = blk_open(&b->blk, rest, &how, err);
	free(rest);
	if (!rc)
		rc = make_queues(b, err);
	if (!rc)
		rc = make_config(b, err);
	return rc;
}

static int vblk_plug(struct dev *d, struct hk_err *err)
{
	struct vblk *b = vblk_of(vio_of(d));
	const struct blk_peer peer = { resized, b };

	work_init(&b->signal_work, d->env->loop, signal_queues, b);
	b->have_work = true;
	blk_attach(b->blk, &peer);
	return vio_plug(d, err);
}

static int vblk_control(struct dev *d, enum dev_control what, void *arg)
{
	const struct dev_disk *which = arg;
	const struct hk_disk_limits *l;
	struct blk *blk = vblk_of(vio_of(d))->blk;

	if ((what != DEV_DISK_RESIZE && what != DEV_DISK_LIMIT) || !dev_disk_is(d, which))
		return -ENOTSUP;
	if (what == DEV_DISK_RESIZE)
		return blk_resize(blk, which->bytes, which->err);
	l = which->limits;
	blk_set_limits(blk, &(struct blk_limits){ l->bytes_per_s, l->ops_per_s, l->burst_bytes,
						  l->burst_ops });
	return 0;
}

static void vblk_fini(struct dev *d)
{
	struct vblk *b = vblk_of(vio_of(d));
	unsigned i;

	if (b->have_work)
		work_cancel_sync(&b->signal_work);
	blk_close(b->blk);
	b->blk = NULL;
	for (i = 0; b->queue && i < b->num_queues; i++)
		free(b->queue[i].req);
	free(b->queue);
	b->queue = NULL;
	vio_fini(d);
}

extern const struct dev_class virtio_blk_class;
const struct dev_class virtio_blk_class = {
	.name = "virtio-blk",
	.help = "disk: PATH[,option...]",
	.size = sizeof(struct vblk),
	.opts = vblk_opts,
	.init = vblk_init,
	.plug = vblk_plug,
	.start = vio_start,
	.stop = vio_stop,
	.reset = vio_reset,
	.dump = vio_dump,
	.control = vblk_control,
	.fini = vblk_fini,
};
