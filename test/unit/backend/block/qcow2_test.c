// SPDX-License-Identifier: BSD-2-Clause
/* qcow2: images that lie, disks that fill or fail, what is refused and in which words */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/block/img.h"
#include "base/wire.h"

#define KIB 1024ull
#define MIB (1ull << 20)

/* A filter below the format that fails on demand */
struct fault {
	struct img img;
	long writes_left; /* then `error`; < 0 = for ever */
	long flushes_left;
	int error;
	unsigned flushes, writes;
};

static struct fault *fault_of(struct img *i)
{
	return (struct fault *)i;
}

static int f_preadv(struct img *i, const struct iovec *iov, unsigned n, u64 off, u64 len)
{
	return i->child->ops->preadv(i->child, iov, n, off, len);
}

static int f_pwritev(struct img *i, const struct iovec *iov, unsigned n, u64 off, u64 len)
{
	struct fault *f = fault_of(i);

	f->writes++;
	if (!f->writes_left)
		return f->error;
	f->writes_left--;
	return i->child->ops->pwritev(i->child, iov, n, off, len);
}

static int f_flush(struct img *i)
{
	struct fault *f = fault_of(i);

	f->flushes++;
	if (!f->flushes_left)
		return f->error;
	f->flushes_left--;
	return 0;
}

static int f_discard(struct img *i, u64 off, u64 len)
{
	return i->child->ops->discard(i->child, off, len);
}

static void f_close(struct img *i) {}

static const struct img_ops fault_ops = {
	.name = "fault",
	.preadv = f_preadv,
	.pwritev = f_pwritev,
	.flush = f_flush,
	.discard = f_discard,
	.close = f_close,
};

static struct img *new_file(u64 size, u32 cluster)
{
	struct qcow2_create c = { .size_bytes = size, .cluster_bytes = cluster };
	struct hk_err err = { "" };
	struct img *m;

	assert_int_equal(mem_img_open(&m, 0, NULL), 0);
	if (qcow2_create(m, &c, &err))
		fail_msg("%s", err.text);
	return m;
}

static struct fault *faulty(struct img *below)
{
	struct fault *f = calloc(1, sizeof(*f));

	f->img = *below;
	f->img.ops = &fault_ops;
	f->img.child = below;
	f->writes_left = f->flushes_left = -1;
	return f;
}

static int open_q(struct img **out, struct img *child, bool read_only, struct hk_err *err)
{
	const struct img_cfg cfg = { .format = IMG_QCOW2, .read_only = read_only };

	return img_open_over(out, child, &cfg, err);
}

static void put(struct img *m, u64 at, u64 v, unsigned bytes)
{
	be64 w = be64_of(v);
	struct iovec iov = { .iov_base = (u8 *)&w + 8 - bytes, .iov_len = bytes };

	assert_int_equal(m->ops->pwritev(m, &iov, 1, at, bytes), 0);
}

static u64 get64(struct img *m, u64 at)
{
	be64 w;

	assert_int_equal(img_pread(m, &w, at, 8), 0);
	return be64_get(w);
}

/* Cluster 0 header, 1 refcount table, 2 refcount block, 3 L1; 4 KiB clusters, 64 MiB */
static const struct lie {
	const char *what;
	u64 at, value;
	unsigned bytes;
	const char *words;
} lies[] = {
	{ "magic", 0, 0x514649fc, 4, "not a qcow2 image" },
	{ "version 1", 4, 1, 4, "qcow2 version 1" },
	{ "version 4", 4, 4, 4, "qcow2 version 4" },
	{ "name outside", 8, 0x100000, 8, "name lies outside" },
	{ "name in the header's fields", 8, 8, 8, "name lies outside" },
	{ "clusters of 1 byte", 20, 0, 4, "clusters of 2^0" },
	{ "clusters of 2^22", 20, 22, 4, "clusters of 2^22" },
	{ "clusters of 2^4294967295", 20, 0xffffffff, 4, "clusters of 2^4294967295" },
	{ "exabytes", 24, 1ull << 62, 8, "a disk of 4611686018427387904" },
	{ "negative size", 24, UINT64_MAX, 8, "a disk of" },
	{ "more than the L1 covers", 24, 1ull << 32, 8, "too short" },
	{ "encrypted", 32, 1, 4, "encrypted" },
	{ "L1 of 4 Gi entries", 36, 0xffffffff, 4, "L1 table of 4294967295" },
	{ "no L1", 36, 0, 4, "too short" },
	{ "L1 outside", 40, 1ull << 40, 8, "L1 table lies outside" },
	{ "L1 unaligned", 40, 0x3008, 8, "L1 table lies outside" },
	{ "L1 at the end of the world", 40, 0xfffffffffffff000ull, 8, "L1 table lies outside" },
	{ "L1 in the header", 40, 0, 8, "L1 table lies outside" },
	{ "L1 over the refcount block", 40, 0x2000, 8, "overlaps" },
	{ "refcount table outside", 48, 1ull << 40, 8, "refcount table lies outside" },
	{ "refcount table over the header", 48, 0, 8, "refcount table lies outside" },
	{ "refcount table over L1", 48, 0x3000, 8, "overlaps" },
	{ "no refcount table", 56, 0, 4, "refcount table of 0" },
	{ "refcount table of 4 Gi clusters", 56, 0xffffffff, 4, "refcount table of 4294967295" },
	{ "snapshots galore", 60, 0xffffffff, 4, "4294967295 snapshots" },
	{ "snapshots outside", 60, 1, 4, "snapshot table lies outside" },
	{ "unknown feature", 72, 1ull << 40, 8, "incompatible bits 0x10000000000" },
	{ "corrupt bit", 72, 2, 8, "marked corrupt" },
	{ "data file bit", 72, 4, 8, "another file" },
	{ "compression bit without type", 72, 8, 8, "contradict" },
	{ "extended L2", 72, 16, 8, "extended L2" },
	{ "refcounts of 2^7 bits", 96, 7, 4, "refcounts of 2^7" },
	{ "a short header", 100, 96, 4, "a header of 96" },
	{ "a huge header", 100, 0xfffffff8, 4, "a header of 4294967288" },
	{ "compression type 7", 104, 7, 1, "compression type 7" },
	{ "an extension that never ends", 112, 0xe2792acafffffff0ull, 8, "extension lies outside" },
	{ "a refcount block outside", 0x1000, 1ull << 45, 8, "refcount block lies outside" },
	{ "a refcount block unaligned", 0x1000, 0x2200, 8, "refcount block lies outside" },
	{ "a refcount block over L1", 0x1000, 0x3000, 8, "overlaps" },
	{ "the same refcount block twice", 0x1008, 0x2000, 8, "overlaps" },
	{ "an L2 table outside", 0x3000, 1ull << 63 | 1ull << 45, 8, "L2 table lies outside" },
	{ "an L2 table over the header", 0x3000, 1ull << 63 | 0x1000, 8, "overlaps" },
	{ "an L2 table unaligned", 0x3000, 1ull << 63 | 0x2200, 8, "L2 table lies outside" },
	{ "L1's own refcount is 0", 0x2000 + 3 * 2, 0, 2, "errors in its metadata" },
};

static void a_lie_is_answered_with_a_clear_line(void **s)
{
	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		struct img *m = new_file(64 * MIB, 4096), *q;
		struct hk_err err = { "" };
		int rc;

		put(m, lies[i].at, lies[i].value, lies[i].bytes);
		rc = open_q(&q, m, false, &err);
		if (!rc)
			fail_msg("%s: opens", lies[i].what);
		if (!strstr(err.text, lies[i].words))
			fail_msg("%s: \"%s\" lacks \"%s\"", lies[i].what, err.text, lies[i].words);
	}
}

static void every_single_damaged_byte_is_survived(void **s)
{
	struct img *good = new_file(1 * MIB, 512), *q;
	u8 buf[8192];
	u64 end;

	assert_int_equal(open_q(&q, good, false, NULL), 0);
	memset(buf, 0x3c, sizeof(buf));
	assert_int_equal(img_pwrite(q, buf, 100 * KIB, sizeof(buf)), 0);
	assert_int_equal(img_flush(q), 0);
	end = MIN(good->size_bytes, 24 * KIB);
	for (u64 at = 0; at < end; at += 1 + at / 256) {
		u8 *copy = malloc(good->size_bytes);
		struct iovec iov = { .iov_base = copy, .iov_len = good->size_bytes };
		struct img *m, *d;
		int rc;

		assert_int_equal(img_pread(good, copy, 0, good->size_bytes), 0);
		copy[at] ^= (u8)(0x80 >> at % 8 | 1);
		assert_int_equal(mem_img_open(&m, 0, NULL), 0);
		assert_int_equal(m->ops->pwritev(m, &iov, 1, 0, iov.iov_len), 0);
		rc = open_q(&d, m, false, NULL);
		if (!rc) {
			struct img_report r = { 0 };
			u64 n = MIN(d->size_bytes, sizeof(buf));

			/* Good enough to be written, so good after it */
			if (!img_pwrite(d, buf, 0, n) && !img_flush(d) &&
			    !d->ops->check(d, 0, &r) && r.corruptions)
				fail_msg("byte %llu: accepted, then corrupt",
					 (unsigned long long)at);
			rc = img_pread(d, buf, 0, n);
			img_close(d);
			memset(buf, 0x3c, sizeof(buf));
		}
		free(copy);
	}
	img_close(q);
}

static void a_truncated_image_is_refused_or_reads_what_is_left(void **s)
{
	struct img *m = new_file(4 * MIB, 4096), *q;
	u8 *all, buf[4096];
	u64 len;

	assert_int_equal(open_q(&q, m, false, NULL), 0);
	memset(buf, 0x42, sizeof(buf));
	for (u64 at = 0; at < 64 * KIB; at += sizeof(buf))
		assert_int_equal(img_pwrite(q, buf, at, sizeof(buf)), 0);
	assert_int_equal(img_flush(q), 0);
	len = m->size_bytes;
	all = malloc(len);
	assert_int_equal(img_pread(m, all, 0, len), 0);
	img_close(q);
	for (u64 n = 0; n < len; n += 1000) {
		struct iovec iov = { .iov_base = all, .iov_len = n };
		struct img *t, *d;

		assert_int_equal(mem_img_open(&t, 0, NULL), 0);
		if (n)
			assert_int_equal(t->ops->pwritev(t, &iov, 1, 0, n), 0);
		if (open_q(&d, t, true, NULL))
			continue;
		for (u64 at = 0; at < 64 * KIB; at += sizeof(buf)) {
			int rc = img_pread(d, buf, at, sizeof(buf));

			/* The cluster that the file ends in reads zeros behind the end */
			assert_true(rc == -EIO || (!rc && (buf[0] == 0x42 || !buf[0])));
		}
		img_close(d);
	}
	free(all);
}

static void a_full_disk_is_an_error_and_nothing_is_lost(void **s)
{
	for (long n = 0; n < 60; n++) {
		struct fault *f = faulty(new_file(4 * MIB, 4096));
		struct img *q;
		u8 buf[6000 / 512 * 512], back[sizeof(buf)];
		struct img_report r = { 0 };
		bool written[20] = { false };

		assert_int_equal(open_q(&q, &f->img, false, NULL), 0);
		f->error = -ENOSPC;
		f->writes_left = n;
		for (unsigned i = 0; i < 20; i++) {
			int rc;

			memset(buf, (int)(i + 1), sizeof(buf));
			rc = img_pwrite(q, buf, i * 8192, sizeof(buf));
			assert_true(!rc || rc == -ENOSPC);
			written[i] = !rc;
			if (i % 5 == 4) {
				rc = img_flush(q);
				assert_true(!rc || rc == -ENOSPC);
			}
		}
		/* Somebody makes room */
		f->writes_left = -1;
		assert_int_equal(img_flush(q), 0);
		for (unsigned i = 0; i < 20; i++) {
			if (!written[i])
				continue;
			memset(buf, (int)(i + 1), sizeof(buf));
			assert_int_equal(img_pread(q, back, i * 8192, sizeof(buf)), 0);
			assert_memory_equal(buf, back, sizeof(buf));
		}
		memset(buf, 0x99, sizeof(buf));
		assert_int_equal(img_pwrite(q, buf, 0, sizeof(buf)), 0);
		assert_int_equal(img_flush(q), 0);
		assert_int_equal(q->ops->check(q, 0, &r), 0);
		assert_int_equal(r.corruptions, 0);
		img_close(q);
	}
}

static void after_a_failed_flush_nothing_is_promised(void **s)
{
	struct fault *f = faulty(new_file(4 * MIB, 4096));
	u8 buf[4096] = { 1 };
	struct img *q;

	assert_int_equal(open_q(&q, &f->img, false, NULL), 0);
	assert_int_equal(img_pwrite(q, buf, 0, sizeof(buf)), 0);
	f->error = -EIO;
	f->flushes_left = 0;
	assert_int_equal(img_flush(q), -EIO);
	f->flushes_left = -1; /* the kernel forgets; we do not */
	assert_int_equal(img_flush(q), -EIO);
	assert_int_equal(img_pwrite(q, buf, 0, sizeof(buf)), -EIO);
	assert_int_equal(img_pread(q, buf, 0, sizeof(buf)), 0);
	img_close(q);
}

static void a_write_in_place_and_a_flush_cost_one_flush_of_the_host(void **s)
{
	struct fault *f = faulty(new_file(4 * MIB, 65536));
	u8 buf[4096] = { 1 };
	struct img *q;

	assert_int_equal(open_q(&q, &f->img, false, NULL), 0);
	assert_int_equal(img_pwrite(q, buf, 0, sizeof(buf)), 0);
	assert_int_equal(img_flush(q), 0);
	f->flushes = f->writes = 0;
	assert_int_equal(img_pwrite(q, buf, 4096, sizeof(buf)), 0);
	assert_int_equal(img_flush(q), 0);
	assert_int_equal(f->writes, 1);
	assert_int_equal(f->flushes, 1);
	img_close(q);
}

static void guest_data_never_lands_on_metadata(void **s)
{
	struct img *m = new_file(1 * MIB, 512), *q, *evil;
	const struct img_cfg trusting = { .format = IMG_QCOW2, .no_check = true };
	struct iovec iov;
	u8 buf[512], *copy;
	u64 l2;

	memset(buf, 0xee, sizeof(buf));
	assert_int_equal(open_q(&q, m, false, NULL), 0);
	assert_int_equal(img_pwrite(q, buf, 0, 512), 0);
	assert_int_equal(img_flush(q), 0);
	l2 = get64(m, get64(m, 40)) & 0x00fffffffffffe00ull;
	iov.iov_len = m->size_bytes;
	iov.iov_base = copy = malloc(iov.iov_len);
	assert_int_equal(img_pread(m, copy, 0, iov.iov_len), 0);
	img_close(q);
	/* The guest's first cluster is said to be the refcount table */
	assert_int_equal(mem_img_open(&evil, 0, NULL), 0);
	assert_int_equal(evil->ops->pwritev(evil, &iov, 1, 0, iov.iov_len), 0);
	put(evil, l2, 1ull << 63 | get64(evil, 48), 8);
	assert_int_equal(img_open_over(&q, evil, &trusting, NULL), 0);
	free(copy);
	assert_int_equal(img_pwrite(q, buf, 0, 512), -EIO);
	assert_int_equal(img_pwrite(q, buf, 512, 512), -EIO); /* and nothing else is written */
	img_close(q);
}

static void discarded_clusters_are_used_again_and_the_file_stays_small(void **s)
{
	struct img *m = new_file(64 * MIB, 65536), *q;
	struct img_report r = { 0 };
	u8 *buf = malloc(MIB);

	assert_int_equal(open_q(&q, m, false, NULL), 0);
	memset(buf, 0x11, MIB);
	for (unsigned n = 0; n < 40; n++) {
		assert_int_equal(img_pwrite(q, buf, n * MIB, MIB), 0);
		assert_int_equal(img_discard(q, n * MIB, MIB), 0);
		assert_int_equal(img_flush(q), 0);
	}
	assert_true(m->size_bytes < 4 * MIB);
	assert_int_equal(q->ops->check(q, 0, &r), 0);
	assert_int_equal(r.corruptions, 0);
	assert_int_equal(r.leaks, 0);
	assert_int_equal(r.clusters_used, 0);
	free(buf);
	img_close(q);
}

static void without_a_flush_freed_clusters_come_back_in_the_end(void **s)
{
	struct img *m = new_file(1024 * MIB, 4096), *q;
	u8 *buf = malloc(MIB);

	assert_int_equal(open_q(&q, m, false, NULL), 0);
	memset(buf, 0x11, MIB);
	for (unsigned n = 0; n < 200; n++) {
		assert_int_equal(img_pwrite(q, buf, n * MIB, MIB), 0);
		assert_int_equal(img_discard(q, n * MIB, MIB), 0);
	}
	assert_true(m->size_bytes < 64 * MIB);
	free(buf);
	img_close(q);
}

static void a_huge_discard_of_nothing_is_quick(void **s)
{
	struct img *m = new_file(1ull << 40, 65536), *q;

	assert_int_equal(open_q(&q, m, false, NULL), 0);
	assert_int_equal(img_discard(q, 0, 1ull << 40), 0);
	assert_int_equal(img_write_zeroes(q, 0, 1ull << 40, true), 0);
	img_close(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lie_is_answered_with_a_clear_line),
		cmocka_unit_test(every_single_damaged_byte_is_survived),
		cmocka_unit_test(a_truncated_image_is_refused_or_reads_what_is_left),
		cmocka_unit_test(a_full_disk_is_an_error_and_nothing_is_lost),
		cmocka_unit_test(after_a_failed_flush_nothing_is_promised),
		cmocka_unit_test(a_write_in_place_and_a_flush_cost_one_flush_of_the_host),
		cmocka_unit_test(guest_data_never_lands_on_metadata),
		cmocka_unit_test(discarded_clusters_are_used_again_and_the_file_stays_small),
		cmocka_unit_test(without_a_flush_freed_clusters_come_back_in_the_end),
		cmocka_unit_test(a_huge_discard_of_nothing_is_quick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
