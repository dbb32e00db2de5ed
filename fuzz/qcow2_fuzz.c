// SPDX-License-Identifier: BSD-2-Clause
/* fuzz/qcow2_fuzz.c - Hostile qcow2 images: looked through, read, written, repaired
 *
 * The input is one byte of choice and an image. What may happen: an error. What may not: a
 * crash, and an image that was taken for writing and is not consistent after it, or does not
 * hold what was written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/block/img.h"
#include "input.h"

#define SPAN (64u << 10) /* bytes at each end of the disk that are touched */

static struct img *file_of(const u8 *data, size_t n)
{
	struct iovec iov = { .iov_base = (void *)data, .iov_len = n };
	struct img *m;

	require(!mem_img_open(&m, 0, NULL), "no memory");
	require(!m->ops->pwritev(m, &iov, 1, 0, n), "no memory");
	return m;
}

static struct img *below(void)
{
	struct img *b;
	u8 buf[4096];

	memset(buf, 0x5b, sizeof(buf));
	require(!mem_img_open(&b, 64 << 10, NULL), "no memory");
	for (u64 at = 0; at < b->size_bytes; at += sizeof(buf))
		require(!img_pwrite(b, buf, at, sizeof(buf)), "no memory");
	b->read_only = true;
	return b;
}

static void read_all(struct img *i)
{
	static u8 buf[SPAN];
	u64 n = MIN(i->size_bytes, SPAN);
	enum img_extent what;
	u64 run;
	int rc;

	rc = img_pread(i, buf, 0, n);
	rc |= img_pread(i, buf, i->size_bytes - n, n);
	for (u64 at = 0; at < i->size_bytes && !img_extent(i, at, i->size_bytes - at, &what, &run);
	     at += run)
		if (at > 4 * SPAN)
			break;
	(void)rc;
}

static void check(const u8 *data, size_t n, unsigned fix)
{
	struct img_cfg cfg = { .format = IMG_QCOW2, .may_be_dirty = true, .read_only = !fix };
	struct strbuf text = { 0 };
	struct img_report r = { .text = &text };
	struct img *i;

	if (img_open_over(&i, file_of(data, n), &cfg, NULL))
		return;
	if (!i->ops->check(i, fix, &r) && fix && r.corruptions == r.corruptions_fixed) {
		struct img_report again = { 0 };

		require(!i->ops->check(i, 0, &again), "a repaired image cannot be checked");
		require(!again.corruptions && !again.leaks, "a repaired image is not clean");
	}
	img_close(i);
	strbuf_fini(&text);
}

/* Writes that succeed are read; what the image said before does not matter */
static void use(struct img *i, u8 choice)
{
	static u8 buf[SPAN], back[SPAN];
	u64 n = MIN(ALIGN_DOWN(i->size_bytes, 512), 40 << 10);
	u64 off = choice & 1 ? ALIGN_DOWN(i->size_bytes, 512) - n : 0;
	int rc;

	if (!n)
		return;
	memset(buf, 0xa0 + choice, n);
	rc = img_pwrite(i, buf, off, n);
	if (!rc && n > 8192 && choice & 2) {
		rc = img_discard(i, off + 512, 7000 / 512 * 512);
		if (!rc)
			memset(buf + 512, 0, 7000 / 512 * 512);
		if (rc == -95 /* EOPNOTSUPP: version 2 on a backing file */)
			rc = 0;
	}
	if (!rc && choice & 4)
		rc = img_flush(i);
	if (!rc && n > 16384 && choice & 8) {
		rc = img_write_zeroes(i, off + 8192, 4096, choice & 16);
		if (!rc)
			memset(buf + 8192, 0, 4096);
	}
	if (!rc) {
		require(!img_pread(i, back, off, n), "what was written cannot be read");
		require(!memcmp(buf, back, n), "what was written is not read");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct img_cfg cfg = { .format = IMG_QCOW2 };
	struct hk_err err;
	struct img *i;
	u8 choice;

	if (size < 73)
		return 0;
	choice = data[0];
	data++;
	size--;
	check(data, size, 0);
	check(data, size, IMG_FIX_LEAKS | IMG_FIX_ERRORS);
	cfg.backing_img = below();
	cfg.read_only = true;
	if (!img_open_over(&i, file_of(data, size), &cfg, &err)) {
		read_all(i);
		img_close(i);
	}
	cfg.backing_img = below();
	cfg.read_only = false;
	if (!img_open_over(&i, file_of(data, size), &cfg, &err)) {
		struct img_report r = { 0 };

		use(i, choice);
		use(i, choice * 7);
		require(!i->ops->check(i, 0, &r) || r.corruptions == 0,
			"cannot be checked after use");
		require(!r.corruptions, "an image that was good is not any more");
		img_close(i);
	}
	return 0;
}
