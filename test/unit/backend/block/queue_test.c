// SPDX-License-Identifier: BSD-2-Clause
/* Requests through the queue: order of flushes, drain, limits, errors, resizing */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/block/img.h"
#include "base/clock.h"
#include "base/log.h"

#define MIB (1ull << 20)

/* A disk on a loop that the test steps by hand */
struct rig {
	struct clock_fake clock;
	struct loop *loop;
	struct blk_env env;
	struct blk *blk;
	struct gate *gate;
	char path[64];
	unsigned pauses;
	char why[200];
};

/* A filter that can hold calls back and fail them */
struct gate {
	struct img img;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool closed;	  /* writes wait */
	unsigned waiting; /* writes that do */
	unsigned flushes;
	int fail; /* the next writes and flushes return it */
	unsigned fail_times;
};

static struct gate *gate_of(struct img *i)
{
	return (struct gate *)i;
}

static int gate_fail(struct gate *g)
{
	int rc = 0;

	pthread_mutex_lock(&g->lock);
	if (g->fail_times) {
		g->fail_times--;
		rc = g->fail;
	}
	pthread_mutex_unlock(&g->lock);
	return rc;
}

static int gate_preadv(struct img *i, const struct iovec *iov, unsigned n, u64 off, u64 len)
{
	return i->child->ops->preadv(i->child, iov, n, off, len);
}

static int gate_pwritev(struct img *i, const struct iovec *iov, unsigned n, u64 off, u64 len)
{
	struct gate *g = gate_of(i);
	int rc = gate_fail(g);

	if (rc)
		return rc;
	pthread_mutex_lock(&g->lock);
	g->waiting++;
	pthread_cond_broadcast(&g->cond);
	while (g->closed)
		pthread_cond_wait(&g->cond, &g->lock);
	g->waiting--;
	pthread_mutex_unlock(&g->lock);
	return i->child->ops->pwritev(i->child, iov, n, off, len);
}

static int gate_flush(struct img *i)
{
	struct gate *g = gate_of(i);
	int rc = gate_fail(g);

	pthread_mutex_lock(&g->lock);
	g->flushes++;
	pthread_mutex_unlock(&g->lock);
	return rc;
}

static int gate_resize(struct img *i, u64 bytes, struct hk_err *err)
{
	int rc = i->child->ops->resize(i->child, bytes, err);

	i->size_bytes = i->child->size_bytes;
	return rc;
}

static void gate_close(struct img *i) {}

static const struct img_ops gate_ops = {
	.name = "gate",
	.preadv = gate_preadv,
	.pwritev = gate_pwritev,
	.flush = gate_flush,
	.resize = gate_resize,
	.close = gate_close,
};

static void on_pause(void *m, const char *why)
{
	struct rig *r = m;

	r->pauses++;
	snprintf(r->why, sizeof(r->why), "%s", why);
}

static void rig_base(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	clock_fake_init(&r->clock, 1000000000ull, 0);
	assert_int_equal(loop_create(&r->loop, &r->clock.clock, NULL), 0);
	r->env.loop = r->loop;
	r->env.request_pause = on_pause;
	r->env.m = r;
}

static struct blk_open how_of(struct rig *r)
{
	struct blk_open how = { .env = &r->env, .id = "t" };

	return how;
}

static void rig_file(struct rig *r, u64 size, const char *opts)
{
	struct blk_open how;
	char text[200];
	struct hk_err err = { "" };
	int fd;

	rig_base(r);
	snprintf(r->path, sizeof(r->path), "/tmp/hk-queue-XXXXXX");
	fd = mkstemp(r->path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	close(fd);
	snprintf(text, sizeof(text), "%s%s", r->path, opts);
	how = how_of(r);
	if (blk_open(&r->blk, text, &how, &err))
		fail_msg("%s", err.text);
}

static void rig_gate(struct rig *r, enum blk_on_error on_error)
{
	struct gate *g = calloc(1, sizeof(*g));
	struct blk_open how;

	rig_base(r);
	assert_non_null(g);
	assert_int_equal(mem_img_open(&g->img.child, MIB, NULL), 0);
	g->img.ops = &gate_ops;
	g->img.size_bytes = MIB;
	g->img.logical = 512;
	g->img.physical = 4096;
	pthread_mutex_init(&g->lock, NULL);
	pthread_cond_init(&g->cond, NULL);
	r->gate = g;
	how = how_of(r);
	assert_int_equal(blk_open_img(&r->blk, &g->img, &how, NULL), 0);
	r->blk->on_error = on_error;
}

static void rig_end(struct rig *r)
{
	blk_close(r->blk);
	loop_destroy(r->loop);
	if (r->path[0])
		unlink(r->path);
}

static void gate_set(struct rig *r, bool closed)
{
	pthread_mutex_lock(&r->gate->lock);
	r->gate->closed = closed;
	pthread_cond_broadcast(&r->gate->cond);
	pthread_mutex_unlock(&r->gate->lock);
}

struct op {
	struct blk_req req;
	struct iovec iov;
	bool done;
	int rc;
	unsigned order;
};
static unsigned order_of_done;

static void op_done(struct blk_req *req, int rc)
{
	struct op *o = (struct op *)req;

	assert_false(o->done);
	o->done = true;
	o->rc = rc;
	o->order = ++order_of_done;
}

static void op_start(struct rig *r, struct op *o, enum blk_kind kind, u64 off, void *buf, u64 len)
{
	memset(o, 0, sizeof(*o));
	o->iov.iov_base = buf;
	o->iov.iov_len = len;
	o->req.kind = kind;
	o->req.off = off;
	o->req.len = len;
	o->req.iov = &o->iov;
	o->req.niov = 1;
	o->req.done = op_done;
	blk_submit(r->blk, &o->req);
	assert_false(o->done); /* never from inside */
}

static void wait_done(struct rig *r, struct op *o)
{
	for (unsigned i = 0; i < 1000 && !o->done; i++)
		loop_step(r->loop, 1000);
	assert_true(o->done);
}

static int op_run(struct rig *r, enum blk_kind kind, u64 off, void *buf, u64 len)
{
	struct op o;

	op_start(r, &o, kind, off, buf, len);
	wait_done(r, &o);
	return o.rc;
}

static void round_trip(const char *opts)
{
	struct rig r;
	u8 *w = aligned_alloc(4096, 256 << 10), *rd = aligned_alloc(4096, 256 << 10);
	struct op o[64];

	rig_file(&r, 4 * MIB, opts);
	for (unsigned i = 0; i < 256 << 10; i++)
		w[i] = (u8)(i * 7 + i / 512);
	blk_plug(r.blk);
	for (unsigned i = 0; i < 64; i++)
		op_start(&r, &o[i], BLK_WRITE, i * 4096ull, w + i * 4096, 4096);
	blk_unplug(r.blk);
	for (unsigned i = 0; i < 64; i++) {
		wait_done(&r, &o[i]);
		assert_int_equal(o[i].rc, 0);
	}
	assert_int_equal(op_run(&r, BLK_FLUSH, 0, NULL, 0), 0);
	memset(rd, 0xee, 256 << 10);
	assert_int_equal(op_run(&r, BLK_READ, 0, rd, 256 << 10), 0);
	assert_memory_equal(w, rd, 256 << 10);
	rig_end(&r);
	free(w);
	free(rd);
}

static void what_is_written_is_read_with_io_uring(void **s)
{
	round_trip("");
}
static void what_is_written_is_read_with_threads(void **s)
{
	round_trip(",aio=threads");
}

static void direct_io_takes_unaligned_memory(void **s)
{
	u8 *m = malloc(16384 + 1), *back = malloc(16384);
	struct hk_err err = { "" };
	struct img_cfg cfg = { .direct = true };
	struct img *probe;
	struct rig r;

	rig_file(&r, MIB, "");
	cfg.path = r.path;
	cfg.no_lock = true;
	if (raw_open(&probe, &cfg, &err)) { /* tmpfs of old kernels */
		rig_end(&r);
		free(m);
		free(back);
		skip();
	}
	img_close(probe);
	rig_end(&r);
	rig_file(&r, MIB, ",nocache");
	memset(m, 0x5a, 16385);
	assert_int_equal(op_run(&r, BLK_WRITE, 8192, m + 1, 16384), 0);
	assert_int_equal(op_run(&r, BLK_READ, 8192, back, 16384), 0);
	assert_memory_equal(m + 1, back, 16384);
	rig_end(&r);
	free(m);
	free(back);
}

static void bad_requests_come_back_with_a_reason(void **s)
{
	struct rig r;
	u8 buf[1024];
	struct op o;

	rig_file(&r, MIB, "");
	assert_int_equal(op_run(&r, BLK_READ, MIB, buf, 512), -EINVAL);
	assert_int_equal(op_run(&r, BLK_READ, MIB - 512, buf, 1024), -EINVAL);
	assert_int_equal(op_run(&r, BLK_WRITE, UINT64_MAX - 511, buf, 512), -EINVAL);
	assert_int_equal(op_run(&r, BLK_READ, 1, buf, 512), -EINVAL);
	assert_int_equal(op_run(&r, BLK_READ, 0, buf, 100), -EINVAL);
	assert_int_equal(op_run(&r, BLK_READ, 0, buf, 0), 0);
	assert_int_equal(op_run(&r, (enum blk_kind)77, 0, buf, 512), -EINVAL);
	memset(&o, 0, sizeof(o));
	o.req.kind = BLK_READ;
	o.req.len = 1024; /* no iovec for it */
	o.req.done = op_done;
	blk_submit(r.blk, &o.req);
	wait_done(&r, &o);
	assert_int_equal(o.rc, -EINVAL);
	rig_end(&r);
}

static void a_read_only_disk_is_not_written(void **s)
{
	struct rig r;
	u8 buf[512] = { 1 };

	rig_file(&r, MIB, ",ro");
	assert_true(r.blk->read_only);
	assert_int_equal(r.blk->caps, 0);
	assert_int_equal(op_run(&r, BLK_WRITE, 0, buf, 512), -EROFS);
	assert_int_equal(op_run(&r, BLK_DISCARD, 0, NULL, 512), -EROFS);
	assert_int_equal(op_run(&r, BLK_WRITE_ZEROES, 0, NULL, 512), -EROFS);
	assert_int_equal(op_run(&r, BLK_READ, 0, buf, 512), 0);
	assert_int_equal(buf[0], 0);
	rig_end(&r);
}

static void discarded_space_reads_zeros_and_leaves_the_host(void **s)
{
	u8 *buf = malloc(MIB);
	struct stat before, after;
	struct rig r;

	rig_file(&r, MIB, "");
	if (!(r.blk->caps & BLK_CAP_DISCARD)) {
		rig_end(&r);
		free(buf);
		skip();
	}
	memset(buf, 0xaa, MIB);
	assert_int_equal(op_run(&r, BLK_WRITE, 0, buf, MIB), 0);
	assert_int_equal(op_run(&r, BLK_FLUSH, 0, NULL, 0), 0);
	assert_int_equal(stat(r.path, &before), 0);
	assert_int_equal(op_run(&r, BLK_DISCARD, 512, NULL, MIB - 1024), 0);
	assert_int_equal(stat(r.path, &after), 0);
	assert_true(after.st_blocks < before.st_blocks);
	assert_int_equal(after.st_size, MIB);
	assert_int_equal(op_run(&r, BLK_READ, 0, buf, MIB), 0);
	assert_int_equal(buf[511], 0xaa);
	assert_int_equal(buf[512], 0);
	assert_int_equal(buf[MIB - 513], 0);
	assert_int_equal(buf[MIB - 512], 0xaa);
	rig_end(&r);
	free(buf);
}

static void write_zeroes_works_with_and_without_unmap(void **s)
{
	u8 *buf = malloc(MIB);

	for (unsigned flags = 0; flags < 2; flags++) {
		struct rig r;
		struct op o = { .req = { .kind = BLK_WRITE_ZEROES,
					 .off = 4096,
					 .len = MIB / 2,
					 .flags = flags ? BLK_REQ_UNMAP : 0,
					 .done = op_done } };

		rig_file(&r, MIB, "");
		memset(buf, 0x77, MIB);
		assert_int_equal(op_run(&r, BLK_WRITE, 0, buf, MIB), 0);
		blk_submit(r.blk, &o.req);
		wait_done(&r, &o);
		assert_int_equal(o.rc, 0);
		assert_int_equal(op_run(&r, BLK_READ, 0, buf, MIB), 0);
		assert_int_equal(buf[4095], 0x77);
		for (unsigned i = 4096; i < 4096 + MIB / 2; i++)
			assert_int_equal(buf[i], 0);
		assert_int_equal(buf[4096 + MIB / 2], 0x77);
		rig_end(&r);
	}
	free(buf);
}

static void a_flush_waits_for_earlier_writes_only(void **s)
{
	struct op w1, w2, f;
	u8 buf[512] = { 0 };
	struct rig r;

	rig_gate(&r, BLK_REPORT);
	gate_set(&r, true);
	op_start(&r, &w1, BLK_WRITE, 0, buf, 512);
	op_start(&r, &f, BLK_FLUSH, 0, NULL, 0);
	op_start(&r, &w2, BLK_WRITE, 512, buf, 512);
	pthread_mutex_lock(&r.gate->lock);
	while (r.gate->waiting < 2)
		pthread_cond_wait(&r.gate->cond, &r.gate->lock);
	assert_int_equal(r.gate->flushes, 0);
	pthread_mutex_unlock(&r.gate->lock);
	gate_set(&r, false);
	wait_done(&r, &f);
	wait_done(&r, &w2);
	assert_true(w1.done);
	assert_true(w1.order < f.order);
	rig_end(&r);
}

static void flushes_that_wait_share_one_call(void **s)
{
	struct op w, f[10];
	u8 buf[512] = { 0 };
	struct rig r;

	rig_gate(&r, BLK_REPORT);
	gate_set(&r, true);
	op_start(&r, &w, BLK_WRITE, 0, buf, 512);
	for (unsigned i = 0; i < 10; i++)
		op_start(&r, &f[i], BLK_FLUSH, 0, NULL, 0);
	gate_set(&r, false);
	for (unsigned i = 0; i < 10; i++) {
		wait_done(&r, &f[i]);
		assert_int_equal(f[i].rc, 0);
	}
	assert_int_equal(r.gate->flushes, 1);
	rig_end(&r);
}

static void drain_returns_when_nothing_is_in_flight(void **s)
{
	struct op o[32];
	u8 buf[512] = { 0 };
	struct rig r;

	rig_file(&r, MIB, ",iops=1,iops-burst=1");
	for (unsigned i = 0; i < 32; i++)
		op_start(&r, &o[i], i % 8 == 7 ? BLK_FLUSH : BLK_WRITE, i * 512, buf,
			 i % 8 == 7 ? 0 : 512);
	blk_drain(r.blk);
	for (unsigned i = 0; i < 32; i++) {
		assert_true(o[i].done);
		assert_int_equal(o[i].rc, 0);
	}
	rig_end(&r);
}

static void a_limit_of_requests_holds(void **s)
{
	struct op o[21];
	u8 buf[512] = { 0 };
	struct blk_stats st;
	unsigned done = 0;
	struct rig r;

	rig_file(&r, MIB, ",iops=10,iops-burst=1,aio=threads");
	for (unsigned i = 0; i < 21; i++)
		op_start(&r, &o[i], BLK_READ, 0, buf, 512);
	/* One at once, then ten a second */
	for (unsigned tenth = 1; tenth <= 20; tenth++) {
		wait_done(&r, &o[done]);
		done = 0;
		while (done < 21 && o[done].done)
			done++;
		assert_int_equal(done, tenth);
		clock_fake_advance(&r.clock, 100000000);
		loop_step(r.loop, 0);
	}
	wait_done(&r, &o[20]);
	blk_get_stats(r.blk, &st);
	assert_int_equal(st.throttled, 20);
	rig_end(&r);
}

static void a_limit_of_bytes_lets_a_large_request_through_in_the_end(void **s)
{
	u8 *buf = calloc(1, MIB);
	struct op a, b;
	struct rig r;

	rig_file(&r, MIB, ",bps=64k,bps-burst=64k");
	op_start(&r, &a, BLK_READ, 0, buf, MIB);
	op_start(&r, &b, BLK_READ, 0, buf, 512);
	wait_done(&r, &a);
	clock_fake_advance(&r.clock, 14000000000ull);
	loop_step(r.loop, 0);
	assert_false(b.done);
	clock_fake_advance(&r.clock, 2000000000ull);
	wait_done(&r, &b);
	rig_end(&r);
	free(buf);
}

static void errors_reach_the_guest_by_default(void **s)
{
	u8 buf[512] = { 0 };
	struct rig r;

	rig_gate(&r, BLK_REPORT);
	r.gate->fail = -ENOSPC;
	r.gate->fail_times = 1;
	assert_int_equal(op_run(&r, BLK_WRITE, 0, buf, 512), -ENOSPC);
	assert_int_equal(r.pauses, 0);
	assert_int_equal(op_run(&r, BLK_WRITE, 0, buf, 512), 0);
	rig_end(&r);
}

static void with_pause_a_request_waits_for_space(void **s)
{
	u8 buf[512] = { 0 };
	struct rig r;
	struct op o, f;

	rig_gate(&r, BLK_PAUSE);
	r.gate->fail = -ENOSPC;
	r.gate->fail_times = 2;
	op_start(&r, &o, BLK_WRITE, 0, buf, 512);
	while (r.pauses < 1)
		loop_step(r.loop, 1000);
	assert_false(o.done);
	assert_non_null(strstr(r.why, "No space left"));
	clock_fake_advance(&r.clock, 500000000ull);
	while (r.pauses < 2)
		loop_step(r.loop, 1000);
	assert_false(o.done);
	clock_fake_advance(&r.clock, 500000000ull);
	wait_done(&r, &o);
	assert_int_equal(o.rc, 0);
	/* A flush as well */
	r.gate->fail = -EIO;
	r.gate->fail_times = 1;
	op_start(&r, &f, BLK_FLUSH, 0, NULL, 0);
	while (r.pauses < 3)
		loop_step(r.loop, 1000);
	assert_false(f.done);
	clock_fake_advance(&r.clock, 500000000ull);
	wait_done(&r, &f);
	assert_int_equal(f.rc, 0);
	rig_end(&r);
}

static void requests_that_fail_together_ask_for_one_pause(void **s)
{
	u8 buf[512] = { 0 };
	struct blk_stats st;
	struct rig r;
	struct op o[3];

	rig_gate(&r, BLK_PAUSE);
	r.gate->fail = -ENOSPC;
	r.gate->fail_times = 3;
	for (unsigned i = 0; i < 3; i++)
		op_start(&r, &o[i], BLK_WRITE, i * 512, buf, 512);
	for (blk_get_stats(r.blk, &st); st.errors[BLK_WRITE] < 3; blk_get_stats(r.blk, &st))
		loop_step(r.loop, 1000);
	assert_int_equal(r.pauses, 1);
	clock_fake_advance(&r.clock, 500000000ull);
	for (unsigned i = 0; i < 3; i++) {
		wait_done(&r, &o[i]);
		assert_int_equal(o[i].rc, 0);
	}
	assert_int_equal(r.pauses, 1);
	rig_end(&r);
}

static void drain_gives_a_waiting_request_its_error(void **s)
{
	u8 buf[512] = { 0 };
	struct rig r;
	struct op o;

	rig_gate(&r, BLK_PAUSE);
	r.gate->fail = -ENOSPC;
	r.gate->fail_times = 1;
	op_start(&r, &o, BLK_WRITE, 0, buf, 512);
	while (r.pauses < 1)
		loop_step(r.loop, 1000);
	blk_drain(r.blk);
	assert_true(o.done);
	assert_int_equal(o.rc, -ENOSPC);
	rig_end(&r);
}

static void a_file_that_shrinks_gives_an_error(void **s)
{
	const char *const modes[] = { "", ",aio=threads" };
	u8 buf[1024];

	for (unsigned i = 0; i < 2; i++) {
		struct rig r;

		rig_file(&r, MIB, modes[i]);
		assert_int_equal(truncate(r.path, 512), 0);
		assert_int_equal(op_run(&r, BLK_READ, 65536, buf, 512), -EIO);
		assert_int_equal(op_run(&r, BLK_READ, 0, buf, 1024), -EIO);
		assert_int_equal(op_run(&r, BLK_READ, 0, buf, 512), 0);
		rig_end(&r);
	}
}

/* Sixteen requests at once, each in a stretch of its own, against a model */
enum { SLOTS = 16, SLOT_BYTES = 192 << 10 };

struct slot {
	struct op op;
	u8 *buf, *model;
	u64 off, len;
	enum blk_kind kind;
	unsigned left;
	bool busy;
};

static u64 rnd(u64 *s, u64 below)
{
	*s = *s * 6364136223846793005ull + 1442695040888963407ull;
	return (*s >> 33) % below;
}

static void slot_next(struct rig *r, struct slot *sl, unsigned i, u64 *seed)
{
	u64 what = rnd(seed, 10);

	sl->off = rnd(seed, SLOT_BYTES / 512) * 512;
	sl->len = (1 + rnd(seed, 60)) * 512;
	sl->len = MIN(sl->len, SLOT_BYTES - sl->off);
	sl->kind = what < 4   ? BLK_WRITE
		   : what < 7 ? BLK_READ
		   : what < 8 ? BLK_DISCARD
		   : what < 9 ? BLK_WRITE_ZEROES
			      : BLK_FLUSH;
	if (sl->kind == BLK_WRITE)
		for (u64 b = 0; b < sl->len; b++)
			sl->buf[b] = (u8)(b + sl->left * 5 + i);
	sl->busy = true;
	op_start(r, &sl->op, sl->kind, sl->kind == BLK_FLUSH ? 0 : i * (u64)SLOT_BYTES + sl->off,
		 sl->buf, sl->kind == BLK_FLUSH ? 0 : sl->len);
}

static void slot_check(struct slot *sl)
{
	assert_int_equal(sl->op.rc, 0);
	if (sl->kind == BLK_WRITE)
		memcpy(sl->model + sl->off, sl->buf, sl->len);
	else if (sl->kind == BLK_READ)
		assert_memory_equal(sl->buf, sl->model + sl->off, sl->len);
	else if (sl->kind != BLK_FLUSH)
		memset(sl->model + sl->off, 0, sl->len);
	sl->busy = false;
}

static void many_at_once(const char *opts, bool qcow2)
{
	struct qcow2_create c = { .size_bytes = SLOTS * (u64)SLOT_BYTES };
	struct slot slot[SLOTS] = { 0 };
	unsigned left = SLOTS * 150;
	struct hk_err err = { "" };
	struct blk_open how;
	char text[200];
	u64 seed = 3;
	struct rig r;

	rig_file(&r, c.size_bytes, "");
	if (qcow2) {
		struct img_cfg cfg = { .path = r.path, .growable = true };
		struct img *file;

		blk_close(r.blk);
		assert_int_equal(truncate(r.path, 0), 0);
		assert_int_equal(raw_open(&file, &cfg, NULL), 0);
		assert_int_equal(qcow2_create(file, &c, NULL), 0);
		img_close(file);
		snprintf(text, sizeof(text), "%s,format=qcow2%s", r.path, opts);
		how = how_of(&r);
		if (blk_open(&r.blk, text, &how, &err))
			fail_msg("%s", err.text);
	}
	for (unsigned i = 0; i < SLOTS; i++) {
		slot[i].buf = aligned_alloc(4096, SLOT_BYTES);
		slot[i].model = calloc(1, SLOT_BYTES);
	}
	while (left) {
		blk_plug(r.blk);
		for (unsigned i = 0; i < SLOTS && left; i++) {
			if (slot[i].busy)
				continue;
			slot[i].left = left--;
			slot_next(&r, &slot[i], i, &seed);
		}
		blk_unplug(r.blk);
		loop_step(r.loop, 1000);
		for (unsigned i = 0; i < SLOTS; i++)
			if (slot[i].busy && slot[i].op.done)
				slot_check(&slot[i]);
	}
	blk_drain(r.blk);
	for (unsigned i = 0; i < SLOTS; i++) {
		if (slot[i].busy)
			slot_check(&slot[i]);
		assert_int_equal(op_run(&r, BLK_READ, i * (u64)SLOT_BYTES, slot[i].buf, SLOT_BYTES),
				 0);
		assert_memory_equal(slot[i].buf, slot[i].model, SLOT_BYTES);
		free(slot[i].buf);
		free(slot[i].model);
	}
	rig_end(&r);
}

static void many_requests_at_once_on_raw(void **s)
{
	many_at_once("", false);
}
static void many_requests_at_once_on_qcow2(void **s)
{
	many_at_once(",sync=none", true);
}
static void many_requests_at_once_on_qcow2_with_threads(void **s)
{
	many_at_once(",sync=none,aio=threads", true);
}

static void resized_cb(void *arg)
{
	++*(unsigned *)arg;
}

static void a_disk_grows_while_it_is_used(void **s)
{
	unsigned resized = 0;
	const struct blk_peer peer = { .resized = resized_cb, .arg = &resized };
	struct hk_err err = { "" };
	u8 buf[512];
	struct rig r;

	rig_file(&r, MIB, "");
	blk_attach(r.blk, &peer);
	assert_int_equal(op_run(&r, BLK_READ, MIB, buf, 512), -EINVAL);
	assert_int_equal(blk_resize(r.blk, 2 * MIB, &err), 0);
	assert_int_equal(resized, 1);
	assert_int_equal(r.blk->size_bytes, 2 * MIB);
	assert_int_equal(op_run(&r, BLK_READ, MIB, buf, 512), 0);
	assert_int_equal(blk_resize(r.blk, MIB + 100, &err), -EINVAL);
	rig_end(&r);
}

static void two_writers_of_one_file_are_refused(void **s)
{
	struct hk_err err = { "" };
	struct blk_open how;
	struct blk *other;
	char opts[100];
	struct rig r;

	rig_file(&r, MIB, "");
	how = how_of(&r);
	assert_int_equal(blk_open(&other, r.path, &how, &err), -EBUSY);
	assert_non_null(strstr(err.text, "in use"));
	snprintf(opts, sizeof(opts), "%s,ro", r.path);
	assert_int_equal(blk_open(&other, opts, &how, &err), -EBUSY);
	snprintf(opts, sizeof(opts), "%s,lock=off", r.path);
	assert_int_equal(blk_open(&other, opts, &how, &err), 0);
	blk_close(other);
	rig_end(&r);

	rig_file(&r, MIB, ",ro");
	how = how_of(&r);
	snprintf(opts, sizeof(opts), "%s,ro", r.path);
	assert_int_equal(blk_open(&other, opts, &how, &err), 0); /* readers share */
	blk_close(other);
	assert_int_equal(blk_open(&other, r.path, &how, &err), -EBUSY);
	rig_end(&r);
}

static void works_on_a_loop_with_a_thread(void **s)
{
	struct rig r;
	u8 buf[4096];
	struct op o[16];

	rig_file(&r, MIB, "");
	assert_int_equal(loop_start(r.loop, "t", NULL), 0);
	/* Submissions belong to the loop: drain from here waits for it */
	blk_drain(r.blk);
	loop_stop(r.loop);
	for (unsigned i = 0; i < 16; i++)
		op_start(&r, &o[i], BLK_READ, 0, buf, 4096);
	blk_drain(r.blk);
	for (unsigned i = 0; i < 16; i++)
		assert_true(o[i].done);
	rig_end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read_with_io_uring),
		cmocka_unit_test(what_is_written_is_read_with_threads),
		cmocka_unit_test(direct_io_takes_unaligned_memory),
		cmocka_unit_test(bad_requests_come_back_with_a_reason),
		cmocka_unit_test(a_read_only_disk_is_not_written),
		cmocka_unit_test(discarded_space_reads_zeros_and_leaves_the_host),
		cmocka_unit_test(write_zeroes_works_with_and_without_unmap),
		cmocka_unit_test(a_flush_waits_for_earlier_writes_only),
		cmocka_unit_test(flushes_that_wait_share_one_call),
		cmocka_unit_test(drain_returns_when_nothing_is_in_flight),
		cmocka_unit_test(a_limit_of_requests_holds),
		cmocka_unit_test(a_limit_of_bytes_lets_a_large_request_through_in_the_end),
		cmocka_unit_test(errors_reach_the_guest_by_default),
		cmocka_unit_test(with_pause_a_request_waits_for_space),
		cmocka_unit_test(requests_that_fail_together_ask_for_one_pause),
		cmocka_unit_test(drain_gives_a_waiting_request_its_error),
		cmocka_unit_test(a_file_that_shrinks_gives_an_error),
		cmocka_unit_test(many_requests_at_once_on_raw),
		cmocka_unit_test(many_requests_at_once_on_qcow2),
		cmocka_unit_test(many_requests_at_once_on_qcow2_with_threads),
		cmocka_unit_test(a_disk_grows_while_it_is_used),
		cmocka_unit_test(two_writers_of_one_file_are_refused),
		cmocka_unit_test(works_on_a_loop_with_a_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
