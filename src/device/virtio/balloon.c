// SPDX-License-Identifier: BSD-2-Clause
/* device/virtio/balloon.c - virtio-balloon: memory that the guest does not need (virtio 1.2, 5.5)
 *
 * Three ways back to the host: the balloon proper (the host asks for pages, the driver names them),
 * free page reporting (the driver tells of free ranges on its own, all the time), and deflation on
 * OOM, which is the driver's. Pages named are discarded at once; when the guest touches them again
 * they are zero. The software CPU's translations of such pages are dropped by mem_discard().
 *
 * Statistics: the driver leaves a buffer with numbers; giving it back asks for new ones. That is
 * done when somebody wants to know, so an idle guest stays idle. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "base/wire.h"
#include "device/virtio/vio.h"

#define BALLOON_QUEUE 128u
#define BALLOON_PAGE 4096u /* 5.5.6: whatever the guest's page size is */

#define F_STATS 1
#define F_DEFLATE_ON_OOM 2
#define F_POISON 4
#define F_REPORTING 5

/* 5.5.4 */
enum { CFG_NUM_PAGES = 0, CFG_ACTUAL = 4, CFG_POISON = 12, CFG_LEN = 16 };

/* 5.5.6.3, "Memory Statistics Tags" */
enum { STAT_SWAP_IN, STAT_SWAP_OUT, STAT_MAJFLT, STAT_MINFLT, STAT_FREE, STAT_TOTAL, STAT_AVAIL,
       STAT_CACHES, NUM_STATS };
#define STAT_BYTES 10u /* le16 tag, le64 value */

struct balloon {
	struct vio v;
	u64 ram_bytes;		/* (c) */
	bool reporting;		/* (c) option */
	struct vq *stats_q, *report_q; /* [loop] as negotiated, NULL = none */
	struct vq_chain *stats_chain;  /* [loop] to be given back for new numbers */
	struct work ask;	/* give it back */
	_Atomic u64 target;	/* bytes */
	_Atomic u64 given_back;	/* bytes */
	_Atomic u64 failed;	/* discards that the host refused */
	_Atomic u64 stat[NUM_STATS];
	_Atomic u64 stat_ns;	/* 0: never */
};

static struct balloon *balloon_of(struct vio *v)
{
	return container_of(v, struct balloon, v);
}

/* ------------------------------------------------------------- giving back */

static void discard(struct balloon *b, gpa_t gpa, u64 len)
{
	s64 n = len ? mem_discard(b->v.dev.env->mem, gpa, len) : 0;

	if (n >= 0)
		atomic_fetch_add(&b->given_back, (u64)n);
	else if (n != -EFAULT) /* page numbers outside RAM are only pointless */
		atomic_fetch_add(&b->failed, 1);
}

/* Page numbers of 32 bits; neighbours, rising or falling, are given back in one go */
static void inflate(struct balloon *b, const struct vq_chain *c)
{
	u64 start = 0, pages = 0, pfn;
	le32 buf[64];
	size_t off = 0, n;

	while ((n = vq_read(c, off, buf, sizeof(buf)) / sizeof(buf[0]))) {
		off += n * sizeof(buf[0]);
		for (size_t i = 0; i < n; i++) {
			pfn = le32_get(buf[i]);
			if (pages && pfn == start + pages) {
				pages++;
			} else if (pages && pfn + 1 == start) {
				start--;
				pages++;
			} else {
				discard(b, start * BALLOON_PAGE, pages * BALLOON_PAGE);
				start = pfn;
				pages = 1;
			}
		}
	}
	discard(b, start * BALLOON_PAGE, pages * BALLOON_PAGE);
}

static bool poisoned(struct balloon *b)
{
	le32 val;

	if (!vio_has(&b->v, F_POISON))
		return false;
	vio_config_get(&b->v, CFG_POISON, &val, sizeof(val));
	return le32_get(val);
}

static void report(struct balloon *b, const struct vq_chain *c)
{
	/* The driver expects to find its pattern in free pages, and would find zeros (5.5.6.5) */
	if (poisoned(b))
		return;
	for (unsigned i = 0; i < c->num_in; i++)
		discard(b, vq_in_gpa(c, i), c->in[i].iov_len);
}

/* --------------------------------------------------------------- statistics */

static void take_stats(struct balloon *b, const struct vq_chain *c)
{
	u8 e[STAT_BYTES];
	unsigned tag;

	for (size_t off = 0; vq_read(c, off, e, sizeof(e)) == sizeof(e); off += sizeof(e)) {
		tag = load_le16(e);
		if (tag < NUM_STATS)
			atomic_store(&b->stat[tag], load_le64(e + 2));
		if (off > 100 * STAT_BYTES)
			break;
	}
	atomic_store(&b->stat_ns, clock_ns(b->v.dev.env->clock));
}

static void ask_stats(void *arg)
{
	struct balloon *b = arg;
	struct vq_chain *c = b->stats_chain;

	if (!b->v.active || !c)
		return;
	b->stats_chain = NULL;
	vq_push(b->stats_q, c, 0);
	vq_signal(b->stats_q);
}

static void stats_notify(struct balloon *b, struct vq *q)
{
	unsigned budget = q->size;
	struct vq_chain *c;

	while (budget-- && (c = vq_pop(q))) {
		take_stats(b, c);
		/* The driver has one buffer; of more the last is kept */
		if (b->stats_chain)
			vq_push(q, b->stats_chain, 0);
		b->stats_chain = c;
	}
	if (vq_kicks_on(q))
		vio_kick(&b->v, q->index);
	vq_signal(q);
}

/* -------------------------------------------------------------------- queues */

static void balloon_notify(struct vio *v, unsigned i)
{
	struct balloon *b = balloon_of(v);
	struct vq *q = &v->q[i];
	unsigned budget = q->size;
	struct vq_chain *c;

	if (q == b->stats_q) {
		stats_notify(b, q);
		return;
	}
	vq_kicks_off(q);
	while (budget-- && (c = vq_pop(q))) {
		if (i == 0)
			inflate(b, c);
		else if (q == b->report_q)
			report(b, c);
		vq_push(q, c, 0); /* deflation (1) needs nothing: touched pages come back */
	}
	if (vq_kicks_on(q))
		vio_kick(v, i);
	vq_signal(q);
}

/* Optional queues follow each other without gaps, as negotiated (5.5.2) */
static bool balloon_features(struct vio *v, u64 acked)
{
	struct balloon *b = balloon_of(v);
	unsigned next = 2;

	b->stats_q = vio_has(v, F_STATS) ? &v->q[next++] : NULL;
	b->report_q = vio_has(v, F_REPORTING) ? &v->q[next++] : NULL;
	return true;
}

static void balloon_deactivate(struct vio *v)
{
	static const u8 zero[CFG_LEN - CFG_ACTUAL];

	balloon_of(v)->stats_chain = NULL;
	/* A new driver begins with an empty balloon, and is asked again */
	vio_config_set(v, CFG_ACTUAL, zero, sizeof(zero));
}

static void balloon_cfg_write(struct vio *v, unsigned off, const u8 *bytes, unsigned len)
{
	/* Legacy drivers write byte by byte */
	if ((off & ~3u) == CFG_ACTUAL || (off & ~3u) == CFG_POISON)
		vio_config_set(v, off, bytes, len);
}

/* ------------------------------------------------------------------ the host */

static void set_target(struct balloon *b, u64 bytes)
{
	le32 pages;

	bytes = MIN(bytes, b->ram_bytes);
	pages = le32_of((u32)MIN(bytes / BALLOON_PAGE, (u64)UINT32_MAX));
	atomic_store(&b->target, bytes / BALLOON_PAGE * BALLOON_PAGE);
	vio_config_set(&b->v, CFG_NUM_PAGES, &pages, sizeof(pages));
	vio_config_changed(&b->v);
}

static u64 actual_bytes(struct balloon *b)
{
	le32 pages;

	vio_config_get(&b->v, CFG_ACTUAL, &pages, sizeof(pages));
	return (u64)le32_get(pages) * BALLOON_PAGE;
}

static void get_info(struct balloon *b, struct hk_balloon_info *info)
{
	u64 at = atomic_load(&b->stat_ns), s[NUM_STATS];

	for (unsigned i = 0; i < NUM_STATS; i++)
		s[i] = atomic_load(&b->stat[i]);
	*info = (struct hk_balloon_info){
		.size = info->size,
		.target_bytes = atomic_load(&b->target),
		.actual_bytes = actual_bytes(b),
		.given_back_bytes = atomic_load(&b->given_back),
		.age_ms = at ? (clock_ns(b->v.dev.env->clock) - at) / 1000000 : UINT64_MAX,
		.free_bytes = s[STAT_FREE], .total_bytes = s[STAT_TOTAL],
		.available_bytes = s[STAT_AVAIL], .cache_bytes = s[STAT_CACHES],
		.swap_in_bytes = s[STAT_SWAP_IN], .swap_out_bytes = s[STAT_SWAP_OUT],
		.major_faults = s[STAT_MAJFLT], .minor_faults = s[STAT_MINFLT],
	};
	work_post(&b->ask);
}

static int balloon_control(struct dev *d, enum dev_control what, void *arg)
{
	struct balloon *b = balloon_of(vio_of(d));

	switch (what) {
	case DEV_BALLOON_SET:
		set_target(b, *(const u64 *)arg);
		return 0;
	case DEV_BALLOON_INFO:
		get_info(b, arg);
		return 0;
	default:
		return -ENOTSUP;
	}
}

static void balloon_dump(struct vio *v, struct strbuf *out)
{
	struct balloon *b = balloon_of(v);

	strbuf_add(out, "  target %llu actual %llu given_back %llu failed %llu free %lld of %lld\n",
		   (unsigned long long)atomic_load(&b->target), (unsigned long long)actual_bytes(b),
		   (unsigned long long)atomic_load(&b->given_back),
		   (unsigned long long)atomic_load(&b->failed),
		   (long long)atomic_load(&b->stat[STAT_FREE]),
		   (long long)atomic_load(&b->stat[STAT_TOTAL]));
}

static const struct vio_class balloon_vio = {
	.name = "virtio-balloon",
	.id = 5,
	.pci_legacy_id = 0x1002,
	.pci_class = 0xff,
	.features = BIT64(F_STATS) | BIT64(F_DEFLATE_ON_OOM),
	.num_queues = 4,
	.queue_size = BALLOON_QUEUE,
	.set_features = balloon_features,
	.deactivate = balloon_deactivate,
	.notify = balloon_notify,
	.cfg_write = balloon_cfg_write,
	.dump = balloon_dump,
};

static const struct opt_desc balloon_opts[] = {
	{ "size", OPT_SIZE, "0", "what the guest shall do without from the start (512M)" },
	{ "reporting", OPT_BOOL, "on", "free memory of the guest goes back to the host" },
	{ NULL },
};

static int balloon_init(struct dev *d, const char *text, struct hk_err *err)
{
	struct balloon *b = balloon_of(vio_of(d));
	static const u8 config[CFG_LEN];
	const struct mem *m = d->env->mem;
	struct opts *o = NULL;
	char *rest;
	u64 size = 0;
	int rc = vio_init(&b->v, &balloon_vio, text, &rest, err);

	if (rc)
		return rc;
	work_init(&b->ask, d->env->loop, ask_stats, b);
	for (unsigned i = 0; i < NUM_STATS; i++)
		atomic_store(&b->stat[i], UINT64_MAX);
	for (unsigned i = 0; i < m->num_blocks; i++)
		b->ram_bytes += m->block[i].flags & MEM_ROM ? 0 : m->block[i].len;
	rc = opts_parse(&o, balloon_opts, rest, err);
	if (!rc) {
		b->reporting = opts_bool(o, "reporting");
		size = opts_u64(o, "size");
		if (size >= b->ram_bytes)
			rc = err_set(err, -EINVAL, "size is not less than the guest's memory");
	}
	opts_destroy(o);
	free(rest);
	if (rc)
		return err_wrap(err, rc, "virtio-balloon");
	if (b->reporting)
		b->v.features |= BIT64(F_REPORTING) | BIT64(F_POISON);
	rc = vio_config_init(&b->v, config, sizeof(config), err);
	if (!rc)
		set_target(b, size);
	return rc;
}

static void balloon_fini(struct dev *d)
{
	vio_stop(d);
	work_cancel_sync(&balloon_of(vio_of(d))->ask);
	vio_fini(d);
}

extern const struct dev_class virtio_balloon_class;
const struct dev_class virtio_balloon_class = {
	.name = "virtio-balloon",
	.help = "memory that the guest does not need goes back to the host",
	.size = sizeof(struct balloon),
	.opts = balloon_opts,
	.init = balloon_init,
	.plug = vio_plug,
	.start = vio_start,
	.stop = vio_stop,
	.reset = vio_reset,
	.dump = vio_dump,
	.control = balloon_control,
	.fini = balloon_fini,
};
