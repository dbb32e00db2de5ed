// SPDX-License-Identifier: BSD-2-Clause
/* api/disk.c - The functions of hyperkit/disk.h, over images that no VM uses [any] */
#include "hyperkit/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/api_int.h"
#include "backend/block/img.h"

#define CHUNK (1u << 20)

static int take_format(const char *name, enum img_format *f, struct hk_err *err)
{
	if (!name)
		return err_set(err, -EINVAL, "no format given: raw or qcow2");
	if (img_format_parse(name, f))
		return err_set(err, -EINVAL, "unknown format %s: raw or qcow2", name);
	return 0;
}

static int open_image(struct img **out, const char *path, const char *format, struct img_cfg *cfg,
		      struct hk_err *err)
{
	int rc;

	*out = NULL;
	if (!path)
		return err_set(err, -EINVAL, "no path given");
	rc = take_format(format, &cfg->format, err);
	if (rc)
		return rc;
	cfg->path = path;
	return img_open(out, cfg, err);
}

/* ------------------------------------------------------------------ create */

static int take_config(struct hk_disk_config *c, const struct hk_disk_config *cfg,
		       enum img_format *format, struct hk_err *err)
{
	int rc;

	memset(c, 0, sizeof(*c));
	if (!cfg)
		return err_set(err, -EINVAL, "no disk config given");
	rc = api_take_sized(c, sizeof(*c), cfg, cfg->size,
			    offsetof(struct hk_disk_config, cluster_bytes), "hk_disk_config", err);
	if (!rc)
		rc = take_format(c->format, format, err);
	if (rc)
		return rc;
	if (c->flags & ~(HK_DISK_OVERWRITE | HK_DISK_LAZY))
		return err_set(err, -EINVAL, "unknown flags 0x%x", c->flags);
	if (c->size_bytes % 512 || c->size_bytes > INT64_MAX)
		return err_set(err, -EINVAL, "a disk of %llu bytes: a multiple of 512",
			       (unsigned long long)c->size_bytes);
	if (*format == IMG_RAW && (c->cluster_bytes || c->refcount_bits || c->version ||
				   c->backing_file || (c->flags & HK_DISK_LAZY)))
		return err_set(err, -EINVAL,
			       "a raw image has no clusters, refcounts or backing file");
	return 0;
}

/* An empty file, or a block device as it is. @made: remove it after a failure */
static int make_file(const char *path, bool overwrite, bool *made, struct hk_err *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	*made = fd >= 0;
	if (fd < 0 && !(errno == EEXIST && overwrite))
		return err_set(err, -errno, "cannot create %s: %s", path, strerrordesc_np(errno));
	if (fd >= 0)
		close(fd);
	return 0;
}

static bool is_device(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISBLK(st.st_mode);
}

/* Open @path to be filled; locked before anything of it is lost */
static int start_image(struct img **file, const char *path, const struct hk_disk_config *c,
		       enum img_format format, bool *made, struct hk_err *err)
{
	struct img_cfg cfg = { .path = path, .growable = true };
	int rc = make_file(path, c->flags & HK_DISK_OVERWRITE, made, err);

	*file = NULL;
	if (!rc)
		rc = raw_open(file, &cfg, err);
	if (rc)
		return rc;
	if (is_device(path)) {
		/* Nothing of what was there may be taken for part of the image */
		if (format == IMG_RAW && (*file)->size_bytes < c->size_bytes)
			return err_set(err, -ENOSPC, "%s is smaller than the disk", path);
		return 0;
	}
	rc = (*file)->ops->resize(*file, 0, err);
	if (!rc && format == IMG_RAW)
		rc = (*file)->ops->resize(*file, c->size_bytes, err);
	return rc;
}

static int fill_image(struct img *file, const struct hk_disk_config *c, enum img_format format,
		      struct hk_err *err)
{
	const struct qcow2_create q = {
		.size_bytes = c->size_bytes,
		.cluster_bytes = c->cluster_bytes,
		.version = c->version,
		.refcount_bits = c->refcount_bits,
		.lazy_refcounts = c->flags & HK_DISK_LAZY,
		.backing_file = c->backing_file,
		.backing_format = c->backing_format,
	};
	enum img_format below;

	if (format == IMG_RAW)
		return 0;
	if (c->backing_file && (!c->backing_format || img_format_parse(c->backing_format, &below)))
		return err_set(err, -EINVAL, "the backing file's format is not said: raw or qcow2");
	return qcow2_create(file, &q, err);
}

int hk_disk_create(const char *path, const struct hk_disk_config *cfg, struct hk_err *err)
{
	struct hk_disk_config c;
	enum img_format format;
	bool made = false;
	struct img *file = NULL;
	int rc = take_config(&c, cfg, &format, err);

	if (rc)
		return rc;
	if (!path)
		return err_set(err, -EINVAL, "no path given");
	rc = start_image(&file, path, &c, format, &made, err);
	if (!rc)
		rc = fill_image(file, &c, format, err);
	if (rc && made)
		unlink(path);
	img_close(file);
	return rc ? err_wrap(err, rc, "%s", path) : 0;
}

/* -------------------------------------------------------------------- info */

int hk_disk_info(const char *path, const char *format, struct hk_disk_info *info,
		 struct hk_err *err)
{
	/* Looking disturbs nobody, so a disk in use may be looked at */
	struct img_cfg cfg = { .read_only = true, .may_be_dirty = true, .no_lock = true };
	struct hk_disk_info out = { .size = sizeof(out) };
	struct img_info in;
	struct img *img;
	int rc;

	if (!info || !path || info->size < offsetof(struct hk_disk_info, cluster_bytes))
		return err_set(err, -EINVAL, "hk_disk_info: a path, and info with its size set");
	rc = open_image(&img, path, format ? format : img_guess_format(path), &cfg, err);
	if (rc)
		return rc;
	memset(&in, 0, sizeof(in));
	img->ops->info(img, &in);
	out.format = in.format;
	out.size_bytes = img->size_bytes;
	out.file_bytes = in.file_bytes;
	out.used_bytes = in.used_bytes;
	out.cluster_bytes = in.cluster_bytes;
	out.version = in.version;
	out.refcount_bits = in.refcount_bits;
	out.snapshots = in.num_snapshots;
	out.dirty = in.dirty;
	out.corrupt = in.corrupt;
	out.lazy_refcounts = in.lazy_refcounts;
	out.compression = in.compression;
	memcpy(out.backing_file, in.backing_file, sizeof(out.backing_file));
	memcpy(out.backing_format, in.backing_format, sizeof(out.backing_format));
	img_close(img);
	out.size = info->size;
	memcpy(info, &out, MIN(out.size, sizeof(out)));
	return 0;
}

/* ------------------------------------------------------------------- check */

static void give_lines(const struct hk_disk_report *r, char *text)
{
	char *line;

	while (r->line && (line = strsep(&text, "\n")))
		if (*line)
			r->line(r->line_arg, line);
}

int hk_disk_check(const char *path, const char *format, unsigned flags, struct hk_disk_report *r,
		  struct hk_err *err)
{
	struct strbuf text = { 0 };
	struct img_report rep = { .text = &text };
	struct img_cfg cfg = { .read_only = !flags, .may_be_dirty = true };
	unsigned fix = flags & HK_DISK_FIX_ALL	   ? IMG_FIX_LEAKS | IMG_FIX_ERRORS
		       : flags & HK_DISK_FIX_LEAKS ? IMG_FIX_LEAKS
						   : 0;
	struct img *img;
	int rc;

	if (!r || r->size < sizeof(*r))
		return err_set(err, -EINVAL, "hk_disk_check: a report with its size set");
	if (flags & ~(HK_DISK_FIX_LEAKS | HK_DISK_FIX_ALL))
		return err_set(err, -EINVAL, "unknown flags 0x%x", flags);
	rc = open_image(&img, path, format, &cfg, err);
	if (rc)
		return rc;
	if (!img->ops->check) {
		img_close(img);
		return err_set(err, -ENOTSUP, "%s: there is nothing to check in a raw image", path);
	}
	rc = img->ops->check(img, fix, &rep);
	if (rc)
		err_set(err, rc, "%s: cannot be checked: %s", path, strerrordesc_np(-rc));
	img_close(img);
	r->errors = rep.corruptions;
	r->leaks = rep.leaks;
	r->errors_fixed = rep.corruptions_fixed;
	r->leaks_fixed = rep.leaks_fixed;
	r->clusters = rep.clusters_total;
	r->used_clusters = rep.clusters_used;
	r->compressed_clusters = rep.clusters_compressed;
	r->image_end_bytes = rep.image_end_bytes;
	if (text.s)
		give_lines(r, text.s);
	strbuf_fini(&text);
	return rc;
}

/* ----------------------------------------------------------------- convert */

static bool all_zeros(const u8 *p, u64 n)
{
	return n == 0 || (!p[0] && !memcmp(p, p + 1, n - 1));
}

/* Pieces of @step bytes that are not zeros */
static int write_dense(struct img *dst, const u8 *buf, u64 off, u64 len, u64 step)
{
	u64 at = 0;

	while (at < len) {
		u64 n = MIN(step - (off + at) % step, len - at), run = 0;
		int rc;

		if (all_zeros(buf + at, n)) {
			at += n;
			continue;
		}
		while (at + run < len) {
			n = MIN(step - (off + at + run) % step, len - at - run);
			if (all_zeros(buf + at + run, n))
				break;
			run += n;
		}
		rc = img_pwrite(dst, buf + at, off + at, run);
		if (rc)
			return rc;
		at += run;
	}
	return 0;
}

struct copy {
	struct img *src, *dst;
	bool dst_is_zeros;
	hk_disk_progress_fn *progress;
	void *arg;
	u64 len;
};

static int copy_chunk(const struct copy *c, u8 *buf, u64 off, u64 n)
{
	int rc = img_pread(c->src, buf, off, n);

	if (rc)
		return rc;
	if (c->dst_is_zeros)
		return write_dense(c->dst, buf, off, n, 4096);
	return img_pwrite(c->dst, buf, off, n);
}

static int copy_all(const struct copy *c)
{
	u8 *buf;
	int rc = 0;

	if (posix_memalign((void **)&buf, 4096, CHUNK))
		return -ENOMEM;
	for (u64 off = 0; off < c->len && !rc;) {
		enum img_extent what;
		u64 run;

		rc = img_extent(c->src, off, c->len - off, &what, &run);
		if (rc)
			break;
		if (what == IMG_EXTENT_ZERO) {
			if (!c->dst_is_zeros)
				rc = img_write_zeroes(c->dst, off, run, true);
		} else {
			run = MIN(run, CHUNK - off % CHUNK);
			rc = copy_chunk(c, buf, off, run);
		}
		off += run;
		if (!rc && c->progress && c->progress(c->arg, off, c->len))
			rc = -ECANCELED;
	}
	free(buf);
	return rc ? rc : img_flush(c->dst);
}

static int convert_into(struct img *src, const char *dst, struct hk_disk_config *c,
			enum img_format format, struct copy *how, struct hk_err *err)
{
	struct img_cfg cfg = {
		.path = dst, .format = format, .no_check = true, .backing_allow = true
	};
	struct img *file = NULL;
	bool made = false;
	int rc;

	if (!c->size_bytes)
		c->size_bytes = ALIGN_UP(src->size_bytes, 512);
	if (c->size_bytes < src->size_bytes)
		return err_set(err, -EINVAL, "%s: smaller than the source", dst);
	rc = start_image(&file, dst, c, format, &made, err);
	if (!rc)
		rc = fill_image(file, c, format, err);
	img_close(file);
	if (!rc)
		rc = img_open(&how->dst, &cfg, err);
	if (!rc) {
		how->dst_is_zeros = format == IMG_QCOW2 ? !c->backing_file : !is_device(dst);
		rc = copy_all(how);
		if (rc)
			err_set(err, rc, "%s", strerrordesc_np(-rc));
		img_close(how->dst);
	}
	if (rc && made)
		unlink(dst);
	return rc ? err_wrap(err, rc, "%s", dst) : 0;
}

int hk_disk_convert(const char *src, const char *src_format, const char *dst,
		    const struct hk_disk_config *cfg, unsigned flags, hk_disk_progress_fn *progress,
		    void *arg, struct hk_err *err)
{
	struct img_cfg from = { .read_only = true, .backing_allow = flags & HK_DISK_BACKING };
	struct copy how = { .progress = progress, .arg = arg };
	struct hk_disk_config c;
	enum img_format format;
	int rc;

	if (flags & ~HK_DISK_BACKING)
		return err_set(err, -EINVAL, "unknown flags 0x%x", flags);
	if (!dst)
		return err_set(err, -EINVAL, "no path given");
	rc = take_config(&c, cfg, &format, err);
	if (rc)
		return rc;
	rc = open_image(&how.src, src, src_format, &from, err);
	if (rc)
		return rc;
	how.len = how.src->size_bytes;
	rc = convert_into(how.src, dst, &c, format, &how, err);
	img_close(how.src);
	return rc;
}

/* ------------------------------------------------------- resize and compare */

int hk_disk_resize(const char *path, const char *format, uint64_t size_bytes, unsigned flags,
		   struct hk_err *err)
{
	/* Below a size that shrinks nothing has to be read: backing files are needed all the same,
	 * as what is added must not show them */
	struct img_cfg cfg = { .backing_allow = true };
	struct img *img;
	int rc;

	if (flags & ~HK_DISK_SHRINK)
		return err_set(err, -EINVAL, "unknown flags 0x%x", flags);
	rc = open_image(&img, path, format, &cfg, err);
	if (rc)
		return rc;
	if (size_bytes < img->size_bytes && !(flags & HK_DISK_SHRINK))
		rc = err_set(err, -EINVAL, "that is smaller than it is, and data would be lost");
	else if (size_bytes % 512)
		rc = err_set(err, -EINVAL, "%llu is not a multiple of 512",
			     (unsigned long long)size_bytes);
	else
		rc = img->ops->resize(img, size_bytes, err);
	img_close(img);
	return rc ? err_wrap(err, rc, "%s", path) : 0;
}

/* 1 = the same, 0 = not, at *@where; @b NULL: zeros */
static int same(struct img *a, struct img *b, u64 from, u64 to, u8 *buf, u64 *where)
{
	u8 *other = buf + CHUNK;

	for (u64 off = from; off < to;) {
		enum img_extent wa = IMG_EXTENT_DATA, wb = IMG_EXTENT_ZERO;
		u64 ra = to - off, rb = to - off, n;
		int rc = img_extent(a, off, ra, &wa, &ra);

		if (!rc && b)
			rc = img_extent(b, off, rb, &wb, &rb);
		if (rc)
			return rc;
		n = MIN(ra, rb);
		if (wa == IMG_EXTENT_ZERO && wb == IMG_EXTENT_ZERO) {
			off += n;
			continue;
		}
		n = MIN(n, CHUNK);
		memset(other, 0, n);
		rc = img_pread(a, buf, off, n);
		if (!rc && b)
			rc = img_pread(b, other, off, n);
		if (rc)
			return rc;
		if (memcmp(buf, other, n)) {
			for (n = 0; buf[n] == other[n]; n++)
				;
			*where = off + n;
			return 0;
		}
		off += n;
	}
	return 1;
}

int hk_disk_compare(const char *a, const char *a_format, const char *b, const char *b_format,
		    unsigned flags, uint64_t *where, struct hk_err *err)
{
	struct img_cfg cfg = { .read_only = true, .backing_allow = flags & HK_DISK_BACKING },
		       cfg2 = cfg;
	struct img *x = NULL, *y = NULL;
	u8 *buf = NULL;
	u64 at = 0;
	int rc;

	if (flags & ~HK_DISK_BACKING)
		return err_set(err, -EINVAL, "unknown flags 0x%x", flags);
	rc = open_image(&x, a, a_format, &cfg, err);
	if (!rc)
		rc = open_image(&y, b, b_format, &cfg2, err);
	if (!rc && posix_memalign((void **)&buf, 4096, 2 * CHUNK))
		rc = err_set(err, -ENOMEM, "out of memory");
	if (!rc) {
		u64 both = MIN(x->size_bytes, y->size_bytes),
		    all = MAX(x->size_bytes, y->size_bytes);

		rc = same(x, y, 0, both, buf, &at);
		if (rc == 1)
			rc = same(x->size_bytes == all ? x : y, NULL, both, all, buf, &at);
		if (rc < 0)
			err_set(err, rc, "cannot compare: %s", strerrordesc_np(-rc));
	}
	if (where)
		*where = at;
	free(buf);
	img_close(x);
	img_close(y);
	return rc;
}
