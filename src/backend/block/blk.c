// SPDX-License-Identifier: BSD-2-Clause
/* backend/block/blk.c - A disk's life: opened from words, resized, asked how it does, closed */
#include "backend/block/blk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/block/blk_int.h"
#include "base/err.h"
#include "base/log.h"

enum { BLK_OWN_THREADS = 8 };

static void describe(struct blk_priv *p, const struct blk_open *how)
{
	const struct img *i = p->img;
	struct blk *b = &p->blk;

	b->priv = p;
	b->logical = MAX(i->logical, how->min_logical);
	b->physical = MAX(i->physical, b->logical);
	b->size_bytes = ALIGN_DOWN(i->size_bytes, b->logical);
	b->read_only = i->read_only;
	b->caps = i->read_only ? 0 : i->caps;
	b->max_segments = BLK_MAX_SEGMENTS;
	b->max_transfer = 64 << 20;
	b->max_discard = i->max_discard ? i->max_discard : 1 << 30;
	b->discard_align = MAX(i->discard_align, b->logical);
	b->discard_segments = 32;
	b->id = p->id;
}

static int make(struct blk **out, struct img *img, const struct blk_open *how,
		const struct blk_cfg *cfg, struct hk_err *err)
{
	struct blk_priv *p = calloc(1, sizeof(*p));
	int rc = 0;

	*out = NULL;
	if (!p) {
		img_close(img);
		return err_set(err, -ENOMEM, "out of memory");
	}
	p->img = img;
	p->env = *how->env;
	p->efd = -1;
	snprintf(p->id, sizeof(p->id), "%s", how->id ? how->id : "");
	if (how->force_read_only)
		img->read_only = true;
	describe(p, how);
	p->pool = p->env.pool;
	if (!p->pool) {
		rc = pool_create(&p->own_pool, BLK_OWN_THREADS, "hk:blk", err);
		p->pool = p->own_pool;
	}
	if (!rc)
		rc = queue_init(p, cfg ? cfg->aio : IMG_AIO_AUTO, err);
	if (rc) {
		blk_close(&p->blk);
		return rc;
	}
	if (cfg) {
		p->blk.on_error = cfg->on_error;
		snprintf(p->blk.serial, sizeof(p->blk.serial), "%s", cfg->serial);
		blk_set_limits(&p->blk, &cfg->limits);
	}
	*out = &p->blk;
	return 0;
}

int blk_open_img(struct blk **out, struct img *img, const struct blk_open *how, struct hk_err *err)
{
	return make(out, img, how, NULL, err);
}

int blk_open(struct blk **out, const char *opts, const struct blk_open *how, struct hk_err *err)
{
	struct blk_cfg cfg;
	struct img *img;
	int rc;

	*out = NULL;
	rc = blk_cfg_parse(&cfg, opts, how, err);
	if (rc)
		return err_wrap(err, rc, "disk %s", how->id);
	/* A smaller sector than the front end's would promise what it cannot keep */
	if (cfg.img.logical < how->min_logical && (cfg.img.logical || cfg.img.format == IMG_RAW))
		cfg.img.logical = how->min_logical;
	rc = img_open(&img, &cfg.img, err);
	if (!rc) {
		if (img->read_only && !cfg.img.read_only)
			log_warn(how->env->log, "disk %s: %s may not be written: read-only",
				 how->id, cfg.img.path);
		if (!strcmp(img->ops->name, "raw") &&
		    !strcmp(img_guess_format(cfg.img.path), "qcow2"))
			log_warn(how->env->log,
				 "disk %s: %s looks like qcow2 and is used raw, as format=raw says",
				 how->id, cfg.img.path);
		rc = make(out, img, how, &cfg, err);
	}
	blk_cfg_fini(&cfg);
	return rc ? err_wrap(err, rc, "disk %s", how->id) : 0;
}

void blk_close(struct blk *b)
{
	struct blk_priv *p;
	int rc;

	if (!b)
		return;
	p = priv_of(b);
	if (p->efd >= 0)
		blk_drain(b);
	rc = img_flush(p->img);
	if (rc)
		log_error(p->env.log, "disk %s: the last flush failed: %s", p->id,
			  strerrordesc_np(-rc));
	queue_fini(p);
	pool_destroy(p->own_pool);
	img_close(p->img);
	free(p);
}

void blk_attach(struct blk *b, const struct blk_peer *peer)
{
	priv_of(b)->peer = *peer;
}

struct resize_call {
	struct blk *b;
	u64 size_bytes;
	struct hk_err *err;
	int rc;
};

static void resize_on_loop(void *arg)
{
	struct resize_call *c = arg;
	struct blk_priv *p = priv_of(c->b);

	blk_drain(c->b);
	c->rc = p->img->ops->resize(p->img, c->size_bytes, c->err);
	if (c->rc)
		return;
	c->b->size_bytes = ALIGN_DOWN(p->img->size_bytes, c->b->logical);
	if (p->peer.resized)
		p->peer.resized(p->peer.arg);
}

int blk_resize(struct blk *b, u64 size_bytes, struct hk_err *err)
{
	struct resize_call c = { .b = b, .size_bytes = size_bytes, .err = err };
	struct blk_priv *p = priv_of(b);

	if (b->read_only)
		return err_set(err, -EROFS, "disk %s is read-only", p->id);
	if (!p->img->ops->resize)
		return err_set(err, -ENOTSUP, "disk %s cannot change its size", p->id);
	loop_call_wait(p->env.loop, resize_on_loop, &c);
	return c.rc ? err_wrap(err, c.rc, "disk %s", p->id) : 0;
}

void blk_get_stats(const struct blk *b, struct blk_stats *s)
{
	const struct blk_priv *p = priv_of(b);

	for (unsigned k = 0; k < BLK_NUM_KINDS; k++) {
		s->ops[k] = atomic_load_explicit(&p->stats.ops[k], memory_order_relaxed);
		s->bytes[k] = atomic_load_explicit(&p->stats.bytes[k], memory_order_relaxed);
		s->errors[k] = atomic_load_explicit(&p->stats.errors[k], memory_order_relaxed);
		s->time_ns[k] = atomic_load_explicit(&p->stats.time_ns[k], memory_order_relaxed);
	}
	s->throttled = atomic_load_explicit(&p->stats.throttled, memory_order_relaxed);
	s->in_flight = atomic_load_explicit(&p->in_flight, memory_order_relaxed);
}

void blk_dump(const struct blk *b, struct strbuf *out)
{
	static const char *const kinds[] = { "read", "write", "flush", "discard", "zero" };
	struct blk_stats s;

	blk_get_stats(b, &s);
	strbuf_add(
		out,
		"disk %s: %s %llu bytes sector %u/%u%s serial %s%s in flight %u throttled %llu\n",
		b->id, priv_of(b)->img->ops->name, (unsigned long long)b->size_bytes, b->logical,
		b->physical, b->read_only ? " read-only" : "", b->serial,
		priv_of(b)->ring ? " io_uring" : "", s.in_flight, (unsigned long long)s.throttled);
	for (unsigned k = 0; k < BLK_NUM_KINDS; k++)
		if (s.ops[k])
			strbuf_add(out, "disk %s: %s %llu ops %llu bytes %llu errors %llu us\n",
				   b->id, kinds[k], (unsigned long long)s.ops[k],
				   (unsigned long long)s.bytes[k], (unsigned long long)s.errors[k],
				   (unsigned long long)s.time_ns[k] / 1000);
}
