// SPDX-License-Identifier: BSD-2-Clause
/* One conformance suite for every kind of image: what is read is what a model in memory says */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/block/img.h"

#define KIB 1024ull
#define MIB (1ull << 20)

struct kind {
	const char *name;
	enum { RAW, MEM, QCOW2 } type;
	struct qcow2_create c; /* QCOW2; size is filled in */
	u64 size;
	bool backed; /* on a file of pattern, shorter than the disk */
};

static const struct kind kinds[] = {
	{ "raw", RAW, { 0 }, 3 * MIB, false },
	{ "mem", MEM, { 0 }, 3 * MIB, false },
	{ "qcow2", QCOW2, { 0 }, 3 * MIB, false },
	{ "qcow2 of 512-byte clusters", QCOW2, { .cluster_bytes = 512 }, 1 * MIB, false },
	{ "qcow2 v2", QCOW2, { .version = 2, .cluster_bytes = 4096 }, 2 * MIB, false },
	{ "qcow2 refcounts of 1 bit",
	  QCOW2,
	  { .cluster_bytes = 1024, .refcount_bits = 1 },
	  2 * MIB,
	  false },
	{ "qcow2 refcounts of 64 bits",
	  QCOW2,
	  { .cluster_bytes = 512, .refcount_bits = 64 },
	  2 * MIB,
	  false },
	{ "qcow2 of 2 MiB clusters", QCOW2, { .cluster_bytes = 2 * MIB }, 9 * MIB, false },
	{ "qcow2 that ends within a cluster", QCOW2, { 0 }, 3 * MIB + 512 * 5, false },
	{ "qcow2 on a backing file", QCOW2, { 0 }, 3 * MIB, true },
	{ "qcow2 v2 on a backing file", QCOW2, { .version = 2 }, 3 * MIB, true },
	{ "qcow2 small clusters on a backing file",
	  QCOW2,
	  { .cluster_bytes = 2048 },
	  2 * MIB,
	  true },
};

struct rig {
	const struct kind *kind;
	char dir[64], path[100], base[100];
	struct img *img;
	u8 *model;
};

static u8 base_byte(u64 at)
{
	return (u8)(at * 13 + at / 777);
}

static void open_img(struct rig *r)
{
	struct img_cfg cfg = { .path = r->path,
			       .backing_allow = true,
			       .sync = IMG_SYNC_NONE,
			       .format = r->kind->type == QCOW2 ? IMG_QCOW2 : IMG_RAW };
	struct hk_err err = { "" };

	if (img_open(&r->img, &cfg, &err))
		fail_msg("%s: %s", r->kind->name, err.text);
	assert_int_equal(r->img->size_bytes, r->kind->size);
}

static void make_file(const char *path, u64 size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	close(fd);
}

static void make_base(struct rig *r, u64 size)
{
	FILE *f = fopen(r->base, "w");

	assert_non_null(f);
	for (u64 i = 0; i < size; i++) {
		r->model[i] = base_byte(i);
		putc(r->model[i], f);
	}
	fclose(f);
}

static void rig_begin(struct rig *r, const struct kind *k)
{
	struct hk_err err = { "" };

	memset(r, 0, sizeof(*r));
	r->kind = k;
	snprintf(r->dir, sizeof(r->dir), "/tmp/hk-img-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->path, sizeof(r->path), "%s/disk", r->dir);
	snprintf(r->base, sizeof(r->base), "%s/base", r->dir);
	r->model = calloc(1, k->size);
	if (k->type == MEM) {
		assert_int_equal(mem_img_open(&r->img, k->size, NULL), 0);
		return;
	}
	make_file(r->path, k->type == RAW ? k->size : 0);
	if (k->type == QCOW2) {
		struct img_cfg cfg = { .path = r->path, .growable = true };
		struct qcow2_create c = k->c;
		struct img *file;

		c.size_bytes = k->size;
		if (k->backed) {
			make_base(r, k->size / 2 + 512);
			c.backing_file = "base";
			c.backing_format = "raw";
		}
		assert_int_equal(raw_open(&file, &cfg, &err), 0);
		if (qcow2_create(file, &c, &err))
			fail_msg("%s: %s", k->name, err.text);
		img_close(file);
	}
	open_img(r);
}

static void rig_end(struct rig *r)
{
	img_close(r->img);
	unlink(r->path);
	unlink(r->base);
	rmdir(r->dir);
	free(r->model);
}

static void reopen(struct rig *r)
{
	if (r->kind->type == MEM)
		return;
	img_close(r->img);
	open_img(r);
}

static void compare(struct rig *r)
{
	u8 *buf = malloc(r->kind->size);

	assert_int_equal(img_pread(r->img, buf, 0, r->kind->size), 0);
	for (u64 i = 0; i < r->kind->size; i++)
		if (buf[i] != r->model[i])
			fail_msg("%s: byte %llu is %02x and not %02x", r->kind->name,
				 (unsigned long long)i, buf[i], r->model[i]);
	free(buf);
}

static void check(struct rig *r, u64 max_leaks)
{
	struct strbuf text = { 0 };
	struct img_report rep = { .text = &text };

	if (!r->img->ops->check)
		return;
	assert_int_equal(r->img->ops->check(r->img, 0, &rep), 0);
	if (rep.corruptions || rep.leaks > max_leaks)
		fail_msg("%s: %llu errors, %llu leaks\n%s", r->kind->name,
			 (unsigned long long)rep.corruptions, (unsigned long long)rep.leaks,
			 text.s);
	strbuf_fini(&text);
}

static u64 rnd(u64 *s, u64 below)
{
	*s = *s * 6364136223846793005ull + 1442695040888963407ull;
	return below ? (*s >> 33) % below : 0;
}

static void random_op(struct rig *r, u64 *seed)
{
	u64 size = r->kind->size, what = rnd(seed, 100);
	u64 max = rnd(seed, 10) ? 32 * KIB : 700 * KIB;
	u64 off = rnd(seed, size / 512) * 512, len = (1 + rnd(seed, max / 512)) * 512;
	u8 *buf;

	len = MIN(len, size - off);
	if (what < 40) {
		struct iovec iov[3];
		u64 a = len / 3, b = len / 2;

		buf = malloc(len);
		for (u64 i = 0; i < len; i++)
			buf[i] = (u8)rnd(seed, 256);
		iov[0] = (struct iovec){ buf, a };
		iov[1] = (struct iovec){ buf + a, b - a };
		iov[2] = (struct iovec){ buf + b, len - b };
		assert_int_equal(img_pwritev(r->img, iov, 3, off, len), 0);
		memcpy(r->model + off, buf, len);
		free(buf);
	} else if (what < 70) {
		buf = malloc(len);
		memset(buf, 0xcc, len);
		assert_int_equal(img_pread(r->img, buf, off, len), 0);
		if (memcmp(buf, r->model + off, len))
			fail_msg("%s: %llu bytes at %llu differ", r->kind->name,
				 (unsigned long long)len, (unsigned long long)off);
		free(buf);
	} else if (what < 80) {
		int rc = img_discard(r->img, off, len);

		if (rc == -EOPNOTSUPP && !(r->img->caps & BLK_CAP_DISCARD))
			return;
		assert_int_equal(rc, 0);
		if (r->img->caps & BLK_CAP_DISCARD_ZEROES)
			memset(r->model + off, 0, len);
	} else if (what < 90) {
		assert_int_equal(img_write_zeroes(r->img, off, len, rnd(seed, 2)), 0);
		memset(r->model + off, 0, len);
	} else if (what < 97) {
		assert_int_equal(img_flush(r->img), 0);
	} else {
		reopen(r);
	}
}

static void random_requests_agree_with_the_model(void **s)
{
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		struct rig r;
		u64 seed = 1000 + k;

		rig_begin(&r, &kinds[k]);
		for (unsigned n = 0; n < 400; n++)
			random_op(&r, &seed);
		compare(&r);
		check(&r, 0);
		reopen(&r);
		compare(&r);
		check(&r, 0);
		rig_end(&r);
	}
}

static void a_new_image_reads_zeros_or_what_is_below(void **s)
{
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		struct rig r;

		rig_begin(&r, &kinds[k]);
		compare(&r);
		check(&r, 0);
		rig_end(&r);
	}
}

static void requests_outside_of_the_disk_are_refused(void **s)
{
	u8 buf[1024] = { 0 };

	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		struct rig r;
		u64 size = kinds[k].size;

		rig_begin(&r, &kinds[k]);
		assert_int_equal(img_pread(r.img, buf, size, 512), -EINVAL);
		assert_int_equal(img_pwrite(r.img, buf, size - 512, 1024), -EINVAL);
		assert_int_equal(img_pwrite(r.img, buf, UINT64_MAX - 511, 512), -EINVAL);
		assert_int_equal(img_write_zeroes(r.img, size, 512, true), -EINVAL);
		assert_int_equal(img_pwrite(r.img, buf, size - 512, 512), 0);
		rig_end(&r);
	}
}

static void a_read_only_image_is_not_written(void **s)
{
	u8 buf[512] = { 0 };

	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		struct rig r;
		struct img_cfg cfg = { .backing_allow = true,
				       .read_only = true,
				       .format = kinds[k].type == QCOW2 ? IMG_QCOW2 : IMG_RAW };

		if (kinds[k].type == MEM)
			continue;
		rig_begin(&r, &kinds[k]);
		img_close(r.img);
		cfg.path = r.path;
		assert_int_equal(img_open(&r.img, &cfg, NULL), 0);
		assert_true(r.img->read_only);
		assert_int_equal(img_pwrite(r.img, buf, 0, 512), -EROFS);
		assert_int_equal(img_discard(r.img, 0, 512), -EROFS);
		assert_int_equal(img_write_zeroes(r.img, 0, 512, false), -EROFS);
		assert_int_equal(img_flush(r.img), 0);
		compare(&r);
		rig_end(&r);
	}
}

struct worker {
	struct rig *r;
	unsigned n;
	u64 from, to;
	atomic_bool *stop;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	u64 seed = 77 + w->n;
	u8 *buf = malloc(256 * KIB);

	for (unsigned i = 0; i < 300; i++) {
		u64 off = w->from + rnd(&seed, (w->to - w->from) / 512) * 512;
		u64 len = (1 + rnd(&seed, 200)) * 512, what = rnd(&seed, 10);
		int rc = 0;

		len = MIN(len, w->to - off);
		if (what < 4) {
			for (u64 b = 0; b < len; b++)
				buf[b] = (u8)(off + b * 3 + i);
			rc = img_pwrite(w->r->img, buf, off, len);
			memcpy(w->r->model + off, buf, len);
		} else if (what < 7) {
			rc = img_pread(w->r->img, buf, off, len);
			if (memcmp(buf, w->r->model + off, len))
				rc = -EBADMSG;
		} else if (what < 8) {
			rc = img_discard(w->r->img, off, len);
			if (rc == -EOPNOTSUPP)
				rc = 0;
			else if (w->r->img->caps & BLK_CAP_DISCARD_ZEROES)
				memset(w->r->model + off, 0, len);
		} else if (what < 9) {
			rc = img_write_zeroes(w->r->img, off, len, i & 1);
			memset(w->r->model + off, 0, len);
		} else {
			rc = img_flush(w->r->img);
		}
		if (rc) {
			free(buf);
			return (void *)(intptr_t)rc;
		}
	}
	free(buf);
	return NULL;
}

/* Neighbours share clusters at their borders: each has its own sectors of them */
static void threads_with_sectors_of_their_own_do_not_disturb_each_other(void **s)
{
	enum { THREADS = 6 };

	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		struct worker w[THREADS];
		pthread_t t[THREADS];
		struct rig r;

		rig_begin(&r, &kinds[k]);
		for (unsigned i = 0; i < THREADS; i++) {
			u64 sectors = kinds[k].size / 512;

			w[i] = (struct worker){ .r = &r,
						.n = i,
						.from = sectors * i / THREADS * 512,
						.to = sectors * (i + 1) / THREADS * 512 };
			assert_int_equal(pthread_create(&t[i], NULL, work, &w[i]), 0);
		}
		for (unsigned i = 0; i < THREADS; i++) {
			void *rc;

			pthread_join(t[i], &rc);
			if (rc)
				fail_msg("%s: thread %u: %d", kinds[k].name, i, (int)(intptr_t)rc);
		}
		compare(&r);
		check(&r, 0);
		reopen(&r);
		compare(&r);
		check(&r, 0);
		rig_end(&r);
	}
}

static void disks_grow_and_shrink(void **s)
{
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		struct kind big = kinds[k], odd = kinds[k];
		struct hk_err err = { "" };
		u64 seed = 5;
		struct rig r;

		rig_begin(&r, &kinds[k]);
		for (unsigned n = 0; n < 60; n++)
			random_op(&r, &seed);
		/* An odd size within a cluster, then much more: what is new reads zeros */
		odd.size = kinds[k].size - 7 * 512;
		if (r.img->ops->resize(r.img, odd.size, &err))
			fail_msg("%s: %s", kinds[k].name, err.text);
		r.kind = &odd;
		compare(&r);
		big.size = kinds[k].size * 2 + 512;
		if (kinds[k].type == QCOW2 && kinds[k].c.cluster_bytes == 512)
			big.size = 20 * MIB; /* the L1 table gets more clusters */
		if (kinds[k].backed && kinds[k].c.version == 2)
			big.size = odd.size + 512;
		if (r.img->ops->resize(r.img, big.size, &err))
			fail_msg("%s: %s", kinds[k].name, err.text);
		r.model = realloc(r.model, big.size);
		memset(r.model + odd.size, 0, big.size - odd.size);
		r.kind = &big;
		compare(&r);
		check(&r, 0);
		for (unsigned n = 0; n < 60; n++)
			random_op(&r, &seed);
		compare(&r);
		check(&r, 0);
		reopen(&r);
		compare(&r);
		rig_end(&r);
	}
}

static void extents_say_where_zeros_are(void **s)
{
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		u64 seed = 9;
		struct rig r;

		rig_begin(&r, &kinds[k]);
		for (unsigned n = 0; n < 100; n++)
			random_op(&r, &seed);
		for (u64 off = 0; off < kinds[k].size;) {
			enum img_extent what;
			u64 run;

			assert_int_equal(img_extent(r.img, off, kinds[k].size - off, &what, &run),
					 0);
			assert_true(run > 0 && run <= kinds[k].size - off);
			for (u64 i = off; what == IMG_EXTENT_ZERO && i < off + run; i++)
				assert_int_equal(r.model[i], 0);
			off += run;
		}
		rig_end(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_image_reads_zeros_or_what_is_below),
		cmocka_unit_test(random_requests_agree_with_the_model),
		cmocka_unit_test(requests_outside_of_the_disk_are_refused),
		cmocka_unit_test(a_read_only_image_is_not_written),
		cmocka_unit_test(threads_with_sectors_of_their_own_do_not_disturb_each_other),
		cmocka_unit_test(disks_grow_and_shrink),
		cmocka_unit_test(extents_say_where_zeros_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
