// SPDX-License-Identifier: BSD-2-Clause
/* backend/block/img.c - What is the same for all image nodes: checks, fall-backs, life */
#include "backend/block/img.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/range.h"

static const char *const format_names[] = { [IMG_RAW] = "raw", [IMG_QCOW2] = "qcow2" };
_Static_assert(ARRAY_LEN(format_names) == IMG_NUM_FORMATS, "one name per format");

const char *img_format_name(enum img_format f)
{
	return format_names[f];
}

int img_format_parse(const char *name, enum img_format *f)
{
	for (unsigned i = 0; i < IMG_NUM_FORMATS; i++) {
		if (!strcmp(name, format_names[i])) {
			*f = i;
			return 0;
		}
	}
	if (!strcmp(name, "qcow")) { /* HyperKit's word for qcow2 */
		*f = IMG_QCOW2;
		return 0;
	}
	return -EINVAL;
}

const char *img_guess_format(const char *path)
{
	static const char magic[4] = { 'Q', 'F', 'I', '\xfb' };
	char head[4] = { 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = -1;

	if (fd >= 0) {
		n = pread(fd, head, sizeof(head), 0);
		close(fd);
	}
	return n == sizeof(head) && !memcmp(head, magic, sizeof(magic)) ? "qcow2" : "raw";
}

int img_open_over(struct img **out, struct img *child, const struct img_cfg *cfg,
		  struct hk_err *err)
{
	*out = NULL;
	switch (cfg->format) {
	case IMG_RAW:
		*out = child;
		return 0;
	case IMG_QCOW2:
		return qcow2_open(out, child, cfg, err);
	default:
		img_close(child);
		return err_set(err, -EINVAL, "unknown image format");
	}
}

int img_open(struct img **out, const struct img_cfg *cfg, struct hk_err *err)
{
	struct img_cfg file = *cfg;
	struct img *child;
	int rc;

	*out = NULL;
	if (cfg->format != IMG_RAW) {
		file.growable = true;
		file.logical = file.physical = 0;
	}
	rc = raw_open(&child, &file, err);
	if (rc)
		return rc;
	rc = img_open_over(out, child, cfg, err);
	return rc ? err_wrap(err, rc, "%s", cfg->path) : 0;
}

void img_close(struct img *i)
{
	/* A chain of backing files may be long: no recursion along it */
	while (i) {
		struct img *next = i->backing;

		i->ops->close(i);
		if (i->child)
			img_close(i->child);
		free(i);
		i = next;
	}
}

int img_preadv(struct img *i, const struct iovec *iov, unsigned n, u64 off, u64 len)
{
	if (!range_ok(off, len, i->size_bytes))
		return -EINVAL;
	return len ? i->ops->preadv(i, iov, n, off, len) : 0;
}

int img_pwritev(struct img *i, const struct iovec *iov, unsigned n, u64 off, u64 len)
{
	if (i->read_only)
		return -EROFS;
	if (!range_ok(off, len, i->size_bytes))
		return -EINVAL;
	return len ? i->ops->pwritev(i, iov, n, off, len) : 0;
}

int img_pread(struct img *i, void *buf, u64 off, u64 len)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };

	return img_preadv(i, &iov, 1, off, len);
}

int img_pwrite(struct img *i, const void *buf, u64 off, u64 len)
{
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };

	return img_pwritev(i, &iov, 1, off, len);
}

int img_flush(struct img *i)
{
	return i->read_only ? 0 : i->ops->flush(i);
}

int img_discard(struct img *i, u64 off, u64 len)
{
	if (i->read_only)
		return -EROFS;
	if (!(i->caps & BLK_CAP_DISCARD))
		return -EOPNOTSUPP;
	if (!range_ok(off, len, i->size_bytes))
		return -EINVAL;
	return len ? i->ops->discard(i, off, len) : 0;
}

static int write_zero_bytes(struct img *i, u64 off, u64 len)
{
	const u64 chunk = 128 << 10;
	void *zeros;
	int rc = 0;

	if (posix_memalign(&zeros, 4096, chunk))
		return -ENOMEM;
	memset(zeros, 0, chunk);
	while (len && !rc) {
		u64 n = MIN(len, chunk - off % chunk);

		rc = img_pwrite(i, zeros, off, n);
		off += n;
		len -= n;
	}
	free(zeros);
	return rc;
}

int img_write_zeroes(struct img *i, u64 off, u64 len, bool unmap)
{
	int rc = -EOPNOTSUPP;

	if (i->read_only)
		return -EROFS;
	if (!range_ok(off, len, i->size_bytes))
		return -EINVAL;
	if (!len)
		return 0;
	if (i->ops->write_zeroes)
		rc = i->ops->write_zeroes(i, off, len, unmap);
	return rc == -EOPNOTSUPP ? write_zero_bytes(i, off, len) : rc;
}

int img_extent(struct img *i, u64 off, u64 len, enum img_extent *what, u64 *run)
{
	if (!range_ok(off, len, i->size_bytes))
		return -EINVAL;
	*what = IMG_EXTENT_DATA;
	*run = len;
	return i->ops->extent && len ? i->ops->extent(i, off, len, what, run) : 0;
}

void img_report_line(struct img_report *r, const char *fmt, ...)
{
	char line[200];
	va_list ap;

	if (!r->text || r->lines > IMG_REPORT_LINES)
		return;
	if (r->lines++ == IMG_REPORT_LINES) {
		strbuf_add(r->text, "and more, not listed\n");
		return;
	}
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	strbuf_add(r->text, "%s\n", line);
}
