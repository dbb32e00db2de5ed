// SPDX-License-Identifier: BSD-2-Clause
/* Power cuts: a run is recorded below qcow2, write for write and flush for flush. Then the power
 * fails at each point of it: what was flushed is there, of the rest all (a prefix) or any
 * part, down to single sectors. The image must open, check clean but for leaks, hold every
 * guest write that a guest flush covered, and work on.
 *
 * HK_POWERCUT=full: all points, many parts of each, a sample through `qemu-img check`.
 * Otherwise a tenth of it. */
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
#include <unistd.h>

#include "backend/block/img.h"

#define SECTOR 512u
#define NO_OP 0u

/* ------------------------------------------------------------ recorder */

struct entry {
	enum { WRITE, HOLE, FLUSH } what;
	u64 off, len;
	u8 *data;
	size_t covers; /* FLUSH: entries before this one are on the disk */
};

struct tape {
	pthread_mutex_t lock;
	struct entry *e;
	size_t n, room;
};

struct recorder {
	struct img img;
	struct tape *tape;
};

static size_t tape_now(struct tape *t)
{
	size_t n;

	pthread_mutex_lock(&t->lock);
	n = t->n;
	pthread_mutex_unlock(&t->lock);
	return n;
}

static void tape_add(struct tape *t, struct entry e)
{
	pthread_mutex_lock(&t->lock);
	if (t->n == t->room) {
		t->room = t->room ? 2 * t->room : 256;
		t->e = realloc(t->e, t->room * sizeof(*t->e));
	}
	t->e[t->n++] = e;
	pthread_mutex_unlock(&t->lock);
}

static struct tape *tape_of(struct img *i)
{
	return ((struct recorder *)i)->tape;
}

static int rec_preadv(struct img *i, const struct iovec *iov, unsigned n, u64 off, u64 len)
{
	return i->child->ops->preadv(i->child, iov, n, off, len);
}

static int rec_pwritev(struct img *i, const struct iovec *iov, unsigned n, u64 off, u64 len)
{
	struct entry e = { .what = WRITE, .off = off, .len = len, .data = malloc(len) };
	u64 at = 0;
	int rc;

	for (unsigned v = 0; v < n && at < len; v++) {
		u64 part = MIN((u64)iov[v].iov_len, len - at);

		memcpy(e.data + at, iov[v].iov_base, part);
		at += part;
	}
	rc = i->child->ops->pwritev(i->child, iov, n, off, len);
	tape_add(tape_of(i), e);
	return rc;
}

static int rec_flush(struct img *i)
{
	struct entry e = { .what = FLUSH, .covers = tape_now(tape_of(i)) };

	tape_add(tape_of(i), e);
	return 0;
}

static int rec_discard(struct img *i, u64 off, u64 len)
{
	struct entry e = { .what = HOLE, .off = off, .len = len };
	int rc = i->child->ops->discard(i->child, off, len);

	tape_add(tape_of(i), e);
	return rc;
}

static void rec_close(struct img *i) {}

static const struct img_ops rec_ops = {
	.name = "recorder",
	.preadv = rec_preadv,
	.pwritev = rec_pwritev,
	.flush = rec_flush,
	.discard = rec_discard,
	.close = rec_close,
};

/* --------------------------------------------------------------- guest */

/* What one guest request did to a sector */
struct change {
	unsigned op;	   /* stamp; NO_OP = zeros */
	size_t start, end; /* of the request, on the tape */
};

struct sector {
	struct change *c;
	size_t n, room;
};

struct flushed {
	size_t start, end;
};

struct run {
	const char *name;
	struct qcow2_create c;
	u64 size;
	unsigned threads, ops;
	bool backed;
	/* --- */
	struct tape tape;
	struct img *disk;
	struct sector *sector;
	pthread_mutex_t lock;
	struct flushed *flush;
	size_t num_flush;
	unsigned next_op;
	u8 *start_image; /* as created, flushed */
	u64 start_len;
};

static u64 rnd(u64 *s, u64 below)
{
	*s = *s * 6364136223846793005ull + 1442695040888963407ull;
	return below ? (*s >> 33) % below : 0;
}

static void stamp(u8 *p, u64 sector, unsigned op)
{
	if (op == NO_OP) {
		memset(p, 0, SECTOR);
		return;
	}
	for (unsigned i = 0; i < SECTOR / 8; i++) {
		u64 v = ((u64)op << 32 | sector) * 0x9e3779b97f4a7c15ull +
			i * (i ? 0x1234567ull : 0);

		memcpy(p + 8 * i, &v, 8);
	}
}

/* The backing file's sectors have a stamp as well */
#define BASE_OP 0xffffffffu

static void remember(struct run *r, u64 first, u64 num, struct change c)
{
	pthread_mutex_lock(&r->lock);
	for (u64 s = first; s < first + num; s++) {
		struct sector *sec = &r->sector[s];

		if (sec->n == sec->room) {
			sec->room = sec->room ? 2 * sec->room : 8;
			sec->c = realloc(sec->c, sec->room * sizeof(*sec->c));
		}
		sec->c[sec->n++] = c;
	}
	pthread_mutex_unlock(&r->lock);
}

struct guest {
	struct run *r;
	u64 seed, from, to; /* sectors that are this thread's own */
};

static void *guest(void *arg)
{
	struct guest *g = arg;
	struct run *r = g->r;

	for (unsigned i = 0; i < r->ops / r->threads; i++) {
		u64 first = g->from + rnd(&g->seed, g->to - g->from), what = rnd(&g->seed, 100);
		u64 num = 1 + rnd(&g->seed, rnd(&g->seed, 4) ? 12 : 200);
		struct change c = { .start = tape_now(&r->tape) };
		int rc = 0;

		num = MIN(num, g->to - first);
		if (what < 55) {
			u8 *buf = malloc(num * SECTOR);

			pthread_mutex_lock(&r->lock);
			c.op = ++r->next_op;
			pthread_mutex_unlock(&r->lock);
			for (u64 s = 0; s < num; s++)
				stamp(buf + s * SECTOR, first + s, c.op);
			rc = img_pwrite(r->disk, buf, first * SECTOR, num * SECTOR);
			free(buf);
		} else if (what < 70) {
			rc = img_discard(r->disk, first * SECTOR, num * SECTOR);
		} else if (what < 80) {
			rc = img_write_zeroes(r->disk, first * SECTOR, num * SECTOR, what & 1);
		} else {
			struct flushed f = { .start = c.start };

			rc = img_flush(r->disk);
			f.end = tape_now(&r->tape);
			pthread_mutex_lock(&r->lock);
			r->flush = realloc(r->flush, (r->num_flush + 1) * sizeof(f));
			r->flush[r->num_flush++] = f;
			pthread_mutex_unlock(&r->lock);
			num = 0;
		}
		if (rc)
			return (void *)(intptr_t)rc;
		c.end = tape_now(&r->tape);
		remember(r, first, num, c);
	}
	return NULL;
}

static struct img *backing(struct run *r)
{
	struct img *b;
	u8 buf[SECTOR];

	assert_int_equal(mem_img_open(&b, r->size / 2, NULL), 0);
	for (u64 s = 0; s < r->size / 2 / SECTOR; s++) {
		stamp(buf, s, BASE_OP);
		assert_int_equal(img_pwrite(b, buf, s * SECTOR, SECTOR), 0);
	}
	b->read_only = true;
	return b;
}

static struct img *open_over(struct run *r, struct img *child, struct hk_err *err)
{
	struct img_cfg cfg = { .format = IMG_QCOW2 };
	struct img *i = NULL;

	if (r->backed)
		cfg.backing_img = backing(r);
	if (img_open_over(&i, child, &cfg, err))
		return NULL;
	return i;
}

static void record(struct run *r)
{
	struct recorder rec = { .tape = &r->tape }, *heap;
	struct guest g[8];
	pthread_t t[8];
	struct hk_err err = { "" };
	struct img *file;

	pthread_mutex_init(&r->lock, NULL);
	pthread_mutex_init(&r->tape.lock, NULL);
	r->sector = calloc(r->size / SECTOR, sizeof(*r->sector));
	assert_int_equal(mem_img_open(&file, 0, NULL), 0);
	r->c.size_bytes = r->size;
	if (r->backed) {
		r->c.backing_file = "base";
		r->c.backing_format = "raw";
	}
	if (qcow2_create(file, &r->c, &err))
		fail_msg("%s", err.text);
	r->start_len = file->size_bytes;
	r->start_image = malloc(r->start_len);
	assert_int_equal(img_pread(file, r->start_image, 0, r->start_len), 0);
	rec.img = *file;
	rec.img.ops = &rec_ops;
	rec.img.child = file;
	/* img_close() frees what it closes */
	heap = malloc(sizeof(rec));
	*heap = rec;
	r->disk = open_over(r, &heap->img, &err);
	if (!r->disk)
		fail_msg("%s", err.text);
	for (unsigned i = 0; i < r->threads; i++) {
		u64 sectors = r->size / SECTOR;

		g[i] = (struct guest){ .r = r,
				       .seed = 1 + i + r->ops,
				       .from = sectors * i / r->threads,
				       .to = sectors * (i + 1) / r->threads };
		assert_int_equal(pthread_create(&t[i], NULL, guest, &g[i]), 0);
	}
	for (unsigned i = 0; i < r->threads; i++) {
		void *rc;

		pthread_join(t[i], &rc);
		assert_null(rc);
	}
	img_close(r->disk);
}

/* ----------------------------------------------------------------- cut */

static void apply(struct img *m, const struct entry *e, u64 *torn)
{
	for (u64 at = 0; at < e->len; at += SECTOR) {
		u64 n = MIN(SECTOR, e->len - at);
		struct iovec iov = { .iov_base = e->data + at, .iov_len = n };

		if (torn && !rnd(torn, 2))
			continue;
		if (e->what == WRITE)
			assert_int_equal(m->ops->pwritev(m, &iov, 1, e->off + at, n), 0);
		else
			assert_int_equal(m->ops->discard(m, e->off + at, n), 0);
	}
}

static struct img *copy_of(const struct img *from, u64 len)
{
	u8 *buf = malloc(len);
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct img *m;

	assert_int_equal(mem_img_open(&m, 0, NULL), 0);
	assert_int_equal(from->ops->preadv((struct img *)from, &iov, 1, 0, len), 0);
	assert_int_equal(m->ops->pwritev(m, &iov, 1, 0, len), 0);
	free(buf);
	return m;
}

/* Is what sector @s holds after a cut at @cut something that it may hold? */
static bool may_hold(const struct run *r, u64 s, const u8 *p, size_t cut, size_t sure_start)
{
	const struct sector *sec = &r->sector[s];
	size_t from = 0;
	u8 want[SECTOR];

	/* The last change that a flush covers; older ones are gone */
	for (size_t i = 0; i < sec->n; i++)
		if (sec->c[i].end <= sure_start)
			from = i + 1;
	for (size_t i = from ? from - 1 : 0; i < sec->n && sec->c[i].start <= cut; i++) {
		stamp(want, s, sec->c[i].op);
		if (!memcmp(p, want, SECTOR))
			return true;
	}
	if (from)
		return false;
	stamp(want, s, r->backed && s < r->size / 2 / SECTOR ? BASE_OP : NO_OP);
	return !memcmp(p, want, SECTOR);
}

/* Requests end (and are seen by the guest) a moment after their last entry: a flush counts as
 * done at @cut when all its entries are before */
static size_t sure_at(const struct run *r, size_t cut)
{
	size_t sure = 0;

	for (size_t i = 0; i < r->num_flush; i++)
		if (r->flush[i].end <= cut && r->flush[i].start > sure)
			sure = r->flush[i].start;
	return sure;
}

static void qemu_check(const struct run *r, struct img *m, size_t cut)
{
	char path[] = "/tmp/hk-cut-XXXXXX", cmd[200];
	u8 *buf = malloc(m->size_bytes);
	int fd = mkstemp(path), rc;

	assert_true(fd >= 0);
	assert_int_equal(img_pread(m, buf, 0, m->size_bytes), 0);
	assert_int_equal(write(fd, buf, m->size_bytes), (ssize_t)m->size_bytes);
	close(fd);
	free(buf);
	snprintf(cmd, sizeof(cmd), "qemu-img check -f qcow2 %s >%s.log 2>&1", path, path);
	rc = system(cmd);
	if (!WIFEXITED(rc) || (WEXITSTATUS(rc) != 0 && WEXITSTATUS(rc) != 3))
		fail_msg("%s, cut at %zu: qemu-img check says %d, see %s.log", r->name, cut,
			 WEXITSTATUS(rc), path);
	unlink(path);
	snprintf(cmd, sizeof(cmd), "%s.log", path);
	unlink(cmd);
}

/* The power comes back */
static void restart(struct run *r, struct img *m, size_t cut, bool prefix)
{
	struct strbuf text = { 0 };
	struct img_report rep = { .text = &text };
	size_t sure = sure_at(r, cut);
	struct hk_err err = { "" };
	u8 *buf = malloc(r->size), one[SECTOR];
	struct img *i = open_over(r, m, &err);

	if (!i)
		fail_msg("%s, cut at %zu%s: does not open: %s", r->name, cut,
			 prefix ? "" : " (part)", err.text);
	assert_int_equal(img_pread(i, buf, 0, r->size), 0);
	for (u64 s = 0; s < r->size / SECTOR; s++)
		if (!may_hold(r, s, buf + s * SECTOR, cut, sure))
			fail_msg("%s, cut at %zu%s: sector %llu holds what it should not", r->name,
				 cut, prefix ? "" : " (part)", (unsigned long long)s);
	/* And it works on */
	for (unsigned n = 0; n < 4; n++) {
		u64 s = (cut * 37 + n * 101) % (r->size / SECTOR);

		stamp(one, s, 0xfffffff0u + n);
		assert_int_equal(img_pwrite(i, one, s * SECTOR, SECTOR), 0);
		memcpy(buf + s * SECTOR, one, SECTOR);
	}
	assert_int_equal(img_flush(i), 0);
	assert_int_equal(i->ops->check(i, 0, &rep), 0);
	if (rep.corruptions)
		fail_msg("%s, cut at %zu%s: %s", r->name, cut, prefix ? "" : " (part)", text.s);
	{
		u8 *again = malloc(r->size);

		assert_int_equal(img_pread(i, again, 0, r->size), 0);
		assert_memory_equal(buf, again, r->size);
		free(again);
	}
	strbuf_fini(&text);
	free(buf);
	img_close(i);
}

static bool full_run(void)
{
	const char *v = getenv("HK_POWERCUT");

	return v && !strcmp(v, "full");
}

static unsigned long cuts;

static void cut_everywhere(struct run *r, unsigned parts, unsigned step, unsigned qemu_every)
{
	struct iovec iov = { .iov_base = r->start_image, .iov_len = r->start_len };
	struct img *disk; /* what is certain */
	size_t certain = 0;

	assert_int_equal(mem_img_open(&disk, 0, NULL), 0);
	assert_int_equal(disk->ops->pwritev(disk, &iov, 1, 0, iov.iov_len), 0);
	for (size_t cut = 0; cut <= r->tape.n; cut++) {
		size_t covers = certain;

		if (cut && r->tape.e[cut - 1].what == FLUSH)
			covers = MAX(covers, r->tape.e[cut - 1].covers);
		for (; certain < covers; certain++)
			if (r->tape.e[certain].what != FLUSH)
				apply(disk, &r->tape.e[certain], NULL);
		if (cut % step)
			continue;
		for (unsigned p = 0; p <= parts; p++) {
			struct img *m = copy_of(disk, disk->size_bytes);
			u64 seed = cut * 1000 + p;

			for (size_t e = certain; e < cut; e++) {
				if (r->tape.e[e].what == FLUSH || (p && rnd(&seed, 3) == 0))
					continue;
				/* Some whole, some torn */
				apply(m, &r->tape.e[e], p && rnd(&seed, 2) ? &seed : NULL);
			}
			cuts++;
			if (qemu_every && !r->backed && cuts % qemu_every == 0)
				qemu_check(r, m, cut);
			restart(r, m, cut, !p);
		}
	}
	img_close(disk);
}

static void run_fini(struct run *r)
{
	for (size_t i = 0; i < r->tape.n; i++)
		free(r->tape.e[i].data);
	for (u64 s = 0; s < r->size / SECTOR; s++)
		free(r->sector[s].c);
	free(r->tape.e);
	free(r->sector);
	free(r->flush);
	free(r->start_image);
}

static void power_may_fail_at_any_point(void **state)
{
	struct run runs[] = {
		{ .name = "4 KiB clusters",
		  .c = { .cluster_bytes = 4096 },
		  .size = 512 << 10,
		  .threads = 1 },
		{ .name = "512-byte clusters, refcounts of 64 bits",
		  .c = { .cluster_bytes = 512, .refcount_bits = 64 },
		  .size = 256 << 10,
		  .threads = 1 },
		{ .name = "1 KiB clusters, refcounts of 1 bit",
		  .c = { .cluster_bytes = 1024, .refcount_bits = 1 },
		  .size = 256 << 10,
		  .threads = 1 },
		{ .name = "64 KiB clusters", .c = { 0 }, .size = 1 << 20, .threads = 1 },
		{ .name = "backing file",
		  .c = { .cluster_bytes = 2048 },
		  .size = 512 << 10,
		  .threads = 1,
		  .backed = true },
		{ .name = "version 2",
		  .c = { .cluster_bytes = 1024, .version = 2 },
		  .size = 256 << 10,
		  .threads = 1 },
		{ .name = "four writers",
		  .c = { .cluster_bytes = 4096 },
		  .size = 512 << 10,
		  .threads = 4 },
		{ .name = "four writers, backing file",
		  .c = { .cluster_bytes = 1024 },
		  .size = 256 << 10,
		  .threads = 4,
		  .backed = true },
	};
	bool full = full_run();

	for (size_t i = 0; i < ARRAY_LEN(runs); i++) {
		runs[i].ops = full ? 240 : 100;
		record(&runs[i]);
		cut_everywhere(&runs[i], full ? 3 : 1, full ? 1 : 3, full ? 40 : 0);
		run_fini(&runs[i]);
	}
	print_message("# %lu power cuts\n", cuts);
	assert_true(cuts > (full ? 10000 : 800));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(power_may_fail_at_any_point),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
