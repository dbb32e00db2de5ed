// SPDX-License-Identifier: BSD-2-Clause
/* backend/block/raw.c - Plain files and block devices
 *
 * As a disk of its own (size fixed at open) or, growable, as what a format keeps its
 * bytes in. With direct I/O everything that the kernel would refuse for its
 * alignment goes through an aligned buffer; sectors are then as large as the file
 * needs them, so that a write never has to read its surroundings first.
 *
 * A disk whose file was made shorter behind our back gives -EIO where bytes are
 * missing. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "backend/block/img.h"
#include "backend/block/lock.h"
#include "base/err.h"
#include "base/log.h"

#define RAW_BOUNCE (256u << 10)

struct raw_img {
	struct img img;
	int fd;
	bool device, growable;
	enum img_sync sync;
};

static struct raw_img *raw_of(struct img *i)
{
	return container_of(i, struct raw_img, img);
}

static bool aligned(const struct img *i, const struct iovec *iov, unsigned n, u64 off, u64 len)
{
	if (!i->direct)
		return true;
	if ((off | len) % i->logical)
		return false;
	for (unsigned v = 0; v < n; v++)
		if (((uintptr_t)iov[v].iov_base | iov[v].iov_len) % i->mem_align)
			return false;
	return true;
}

/* Zeros into what is left of @iov after @done bytes */
static void zero_rest(const struct iovec *iov, unsigned n, u64 done, u64 len)
{
	for (unsigned v = 0; v < n && len; v++) {
		u64 have = MIN((u64)iov[v].iov_len, len);

		len -= have;
		if (done >= have) {
			done -= have;
			continue;
		}
		memset((u8 *)iov[v].iov_base + done, 0, have - done);
		done = 0;
	}
}

/* The pieces of @iov that remain after @done of @len bytes. Return: how many (at most @max) */
static unsigned rest_of(const struct iovec *iov, unsigned n, u64 done, u64 len, struct iovec *out,
			unsigned max)
{
	unsigned m = 0;

	for (unsigned v = 0; v < n && len && m < max; v++) {
		u64 have = MIN((u64)iov[v].iov_len, len);

		len -= have;
		if (done >= have) {
			done -= have;
			continue;
		}
		out[m].iov_base = (u8 *)iov[v].iov_base + done;
		out[m++].iov_len = have - done;
		done = 0;
	}
	return m;
}

static int io_direct(struct raw_img *r, const struct iovec *iov, unsigned n, u64 off, u64 len,
		     bool write)
{
	for (u64 done = 0; done < len;) {
		struct iovec part[64];
		unsigned m = rest_of(iov, n, done, len, part, ARRAY_LEN(part));
		ssize_t got = write ? pwritev(r->fd, part, m, (off_t)(off + done))
				    : preadv(r->fd, part, m, (off_t)(off + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return errno == EFBIG ? -ENOSPC : -errno;
		if (!got) {
			if (write || !r->growable)
				return -EIO;
			zero_rest(iov, n, done, len);
			return 0;
		}
		done += got;
	}
	return 0;
}

static void copy_iov(const struct iovec *iov, unsigned n, u64 at, u8 *buf, u64 len, bool to_buf)
{
	for (unsigned v = 0; v < n && len; v++) {
		u64 have = iov[v].iov_len, part;

		if (at >= have) {
			at -= have;
			continue;
		}
		part = MIN(have - at, len);
		if (to_buf)
			memcpy(buf, (u8 *)iov[v].iov_base + at, part);
		else
			memcpy((u8 *)iov[v].iov_base + at, buf, part);
		at = 0;
		buf += part;
		len -= part;
	}
}

/* Direct I/O from memory, or at a place, that the kernel does not take */
static int io_bounced(struct raw_img *r, const struct iovec *iov, unsigned n, u64 off, u64 len,
		      bool write)
{
	u64 unit = MAX(r->img.logical, r->img.mem_align);
	void *buf;
	int rc = 0;

	if (write && (off | len) % r->img.logical)
		return -EINVAL;
	if (posix_memalign(&buf, MAX(unit, PAGE_BYTES), RAW_BOUNCE))
		return -ENOMEM;
	for (u64 done = 0; done < len && !rc;) {
		u64 at = off + done, start = ALIGN_DOWN(at, r->img.logical);
		u64 part = MIN(len - done, RAW_BOUNCE - (at - start));
		struct iovec one = { .iov_base = buf,
				     .iov_len = ALIGN_UP(at - start + part, r->img.logical) };

		if (write)
			copy_iov(iov, n, done, buf, part, true);
		rc = io_direct(r, &one, 1, start, one.iov_len, write);
		if (!rc && !write)
			copy_iov(iov, n, done, (u8 *)buf + (at - start), part, false);
		done += part;
	}
	free(buf);
	return rc;
}

static int raw_io(struct img *i, const struct iovec *iov, unsigned n, u64 off, u64 len, bool write)
{
	struct raw_img *r = raw_of(i);

	if (off > INT64_MAX - len)
		return write ? -ENOSPC : -EINVAL;
	if (aligned(i, iov, n, off, len))
		return io_direct(r, iov, n, off, len, write);
	return io_bounced(r, iov, n, off, len, write);
}

static int raw_preadv(struct img *i, const struct iovec *iov, unsigned n, u64 off, u64 len)
{
	return raw_io(i, iov, n, off, len, false);
}

static int raw_pwritev(struct img *i, const struct iovec *iov, unsigned n, u64 off, u64 len)
{
	return raw_io(i, iov, n, off, len, true);
}

static int raw_flush(struct img *i)
{
	struct raw_img *r = raw_of(i);
	int rc;

	if (r->sync == IMG_SYNC_NONE)
		return 0;
	do {
		rc = r->sync == IMG_SYNC_FULL ? fsync(r->fd) : fdatasync(r->fd);
	} while (rc && errno == EINTR);
	return rc ? -errno : 0;
}

static int raw_fallocate(struct raw_img *r, int mode, u64 off, u64 len)
{
	int rc;

	do {
		rc = fallocate(r->fd, mode, (off_t)off, (off_t)len);
	} while (rc && errno == EINTR);
	if (!rc)
		return 0;
	return errno == ENOSYS || errno == EOPNOTSUPP || errno == EINVAL ? -EOPNOTSUPP : -errno;
}

static int raw_discard(struct img *i, u64 off, u64 len)
{
	struct raw_img *r = raw_of(i);
	u64 range[2] = { off, len };

	if (off > INT64_MAX - len)
		return -EINVAL;
	if (!r->device)
		return raw_fallocate(r, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len);
	if (ioctl(r->fd, BLKDISCARD, range))
		return errno == EINVAL ? -EOPNOTSUPP : -errno;
	return 0;
}

static int raw_write_zeroes(struct img *i, u64 off, u64 len, bool unmap)
{
	struct raw_img *r = raw_of(i);
	int rc = -EOPNOTSUPP;

	if (off > INT64_MAX - len)
		return -ENOSPC;
	/* A hole may be where space was promised, so only who gives it up gets one */
	if (unmap && (i->caps & BLK_CAP_DISCARD))
		rc = raw_fallocate(r, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len);
	if (rc == -EOPNOTSUPP)
		rc = raw_fallocate(r,
				   FALLOC_FL_ZERO_RANGE | (r->growable ? 0 : FALLOC_FL_KEEP_SIZE),
				   off, len);
	return rc;
}

static int raw_resize(struct img *i, u64 bytes, struct hk_err *err)
{
	struct raw_img *r = raw_of(i);

	if (r->device)
		return err_set(err, -ENOTSUP, "a block device keeps its size");
	if (bytes > INT64_MAX || (!r->growable && bytes % i->logical))
		return err_set(err, -EINVAL, "%llu is no size of a disk with sectors of %u bytes",
			       (unsigned long long)bytes, i->logical);
	if (ftruncate(r->fd, (off_t)bytes))
		return err_set(err, -errno, "cannot resize: %s", strerrordesc_np(errno));
	i->size_bytes = bytes;
	return 0;
}

static int raw_extent(struct img *i, u64 off, u64 len, enum img_extent *what, u64 *run)
{
	struct raw_img *r = raw_of(i);
	off_t data, hole;

	*what = IMG_EXTENT_DATA;
	*run = len;
	if (r->device)
		return 0;
	data = lseek(r->fd, (off_t)off, SEEK_DATA);
	if (data < 0 && errno != ENXIO)
		return 0;
	if (data < 0 || (u64)data >= off + len) {
		*what = IMG_EXTENT_ZERO;
		return 0;
	}
	if ((u64)data > off) {
		*what = IMG_EXTENT_ZERO;
		*run = (u64)data - off;
		return 0;
	}
	hole = lseek(r->fd, (off_t)off, SEEK_HOLE);
	if (hole > (off_t)off && (u64)hole < off + len)
		*run = (u64)hole - off;
	return 0;
}

static void raw_info(struct img *i, struct img_info *info)
{
	struct raw_img *r = raw_of(i);
	struct stat st;

	info->format = "raw";
	if (!fstat(r->fd, &st)) {
		info->file_bytes = r->device ? i->size_bytes : (u64)st.st_size;
		info->used_bytes = r->device ? i->size_bytes : (u64)st.st_blocks * 512;
	}
}

static bool raw_map(struct img *i, u64 off, u64 len, bool write, int *fd, u64 *host,
		    unsigned *token)
{
	*fd = raw_of(i)->fd;
	*host = off;
	*token = 0;
	return true;
}

static void raw_unmap(struct img *i, unsigned token) {}

static void raw_close(struct img *i)
{
	unlock_image(raw_of(i)->fd);
	close(raw_of(i)->fd);
}

static const struct img_ops raw_ops = {
	.name = "raw",
	.preadv = raw_preadv,
	.pwritev = raw_pwritev,
	.flush = raw_flush,
	.discard = raw_discard,
	.write_zeroes = raw_write_zeroes,
	.resize = raw_resize,
	.extent = raw_extent,
	.info = raw_info,
	.map = raw_map,
	.unmap = raw_unmap,
	.close = raw_close,
};

/* ------------------------------------------------------------------ open */

static u64 sysfs_number(const struct stat *st, const char *what)
{
	static const char *const where[] = { "", "../" }; /* disk, partition */
	unsigned long long v = 0;

	for (unsigned w = 0; w < ARRAY_LEN(where); w++) {
		char path[128];
		FILE *f;

		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%squeue/%s", major(st->st_rdev),
			 minor(st->st_rdev), where[w], what);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fscanf(f, "%llu", &v) != 1)
			v = 0;
		fclose(f);
		return v;
	}
	return 0;
}

static int open_file(struct raw_img *r, const struct img_cfg *cfg, struct hk_err *err)
{
	/* O_NONBLOCK: a FIFO must not make us wait for its other end */
	int flags = O_CLOEXEC | O_NONBLOCK | (cfg->o_sync ? O_SYNC : 0) |
		    (cfg->direct ? O_DIRECT : 0);

	r->img.read_only = cfg->read_only;
	r->fd = open(cfg->path, flags | (cfg->read_only ? O_RDONLY : O_RDWR));
	if (r->fd < 0 && cfg->ro_fallback && !cfg->read_only &&
	    (errno == EACCES || errno == EROFS || errno == EPERM)) {
		r->fd = open(cfg->path, flags | O_RDONLY);
		r->img.read_only = true;
	}
	if (r->fd < 0 && errno == EINVAL && cfg->direct)
		return err_set(err, -EINVAL,
			       "%s: its file system has no direct I/O (buffered=1 does without)",
			       cfg->path);
	if (r->fd < 0)
		return err_set(err, -errno, "cannot open %s: %s", cfg->path,
			       strerrordesc_np(errno));
	return 0;
}

static void device_limits(struct raw_img *r, const struct stat *st)
{
	u64 max = sysfs_number(st, "discard_max_bytes");

	if (max) {
		r->img.caps |= BLK_CAP_DISCARD;
		r->img.max_discard = MIN(max, 1ull << 30);
		r->img.discard_align = 4096;
	}
	r->img.caps |= BLK_CAP_WRITE_ZEROES;
}

static void file_limits(struct raw_img *r, const struct stat *st)
{
	u32 blk = st->st_blksize >= 512 && st->st_blksize <= 65536 &&
				  !(st->st_blksize & (st->st_blksize - 1))
			  ? (u32)st->st_blksize
			  : 4096;

	/* Beyond the end nothing is there to lose, so asking costs nothing */
	if (!r->img.read_only && !raw_fallocate(r, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
						ALIGN_UP((u64)st->st_size, 1 << 20), 1 << 20)) {
		r->img.caps |= BLK_CAP_DISCARD | BLK_CAP_DISCARD_ZEROES | BLK_CAP_WRITE_ZEROES;
		r->img.max_discard = 1ull << 30;
	}
	r->img.discard_align = blk;
}

/* What direct I/O wants of offsets and of memory */
static void direct_limits(struct raw_img *r, u32 *unit)
{
	struct statx sx;

	*unit = 4096;
	r->img.mem_align = 4096;
#ifdef STATX_DIOALIGN
	if (!statx(r->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) &&
	    (sx.stx_mask & STATX_DIOALIGN) && sx.stx_dio_offset_align) {
		*unit = sx.stx_dio_offset_align;
		r->img.mem_align = sx.stx_dio_mem_align;
	}
#else
	(void)sx;
#endif
	*unit = MAX(*unit, 512);
}

static int set_sectors(struct raw_img *r, const struct img_cfg *cfg, u32 need, u32 host_block,
		       struct hk_err *err)
{
	if (cfg->logical && cfg->logical < need)
		return err_set(err, -EINVAL, "%s: sectors of %u bytes, but %s has %u", cfg->path,
			       cfg->logical, cfg->direct ? "direct I/O there" : "the device", need);
	r->img.logical = cfg->logical ? cfg->logical : need;
	r->img.physical = cfg->physical ? cfg->physical : MAX(r->img.logical, host_block);
	return 0;
}

static int look_at(struct raw_img *r, const struct img_cfg *cfg, struct hk_err *err)
{
	u32 need = 512, host_block = 4096;
	unsigned phys = 0;
	struct stat st;
	int ssz = 0;
	u64 size;

	if (fstat(r->fd, &st))
		return err_set(err, -errno, "cannot look at %s: %s", cfg->path,
			       strerrordesc_np(errno));
	if (S_ISBLK(st.st_mode)) {
		if (ioctl(r->fd, BLKGETSIZE64, &size) || ioctl(r->fd, BLKSSZGET, &ssz))
			return err_set(err, -errno, "cannot ask for the size of %s: %s", cfg->path,
				       strerrordesc_np(errno));
		r->device = true;
		need = MAX(512, ssz);
		if (!ioctl(r->fd, BLKPBSZGET, &phys))
			host_block = phys;
	} else if (S_ISREG(st.st_mode)) {
		size = (u64)st.st_size;
		if (st.st_blksize >= 512 && st.st_blksize <= 65536 &&
		    !(st.st_blksize & (st.st_blksize - 1)))
			host_block = (u32)st.st_blksize;
	} else {
		return err_set(err, -EINVAL, "%s is neither a file nor a block device", cfg->path);
	}
	r->img.mem_align = 1;
	if (cfg->direct) {
		u32 unit;

		direct_limits(r, &unit);
		need = MAX(need, unit);
	}
	if (set_sectors(r, cfg, need, host_block, err))
		return -EINVAL;
	r->growable = cfg->growable;
	r->img.grows = cfg->growable && !r->device;
	r->img.size_bytes = r->growable ? size : ALIGN_DOWN(size, r->img.logical);
	r->img.direct = cfg->direct;
	if (cfg->no_lock)
		return 0;
	return lock_image(r->fd, !r->img.read_only, cfg->path, err);
}

int raw_open(struct img **out, const struct img_cfg *cfg, struct hk_err *err)
{
	struct raw_img *r = calloc(1, sizeof(*r));
	struct stat st;
	int rc;

	*out = NULL;
	if (!r)
		return err_set(err, -ENOMEM, "out of memory");
	r->img.ops = &raw_ops;
	r->img.log = cfg->log;
	r->sync = cfg->sync;
	rc = open_file(r, cfg, err);
	if (rc) {
		free(r);
		return rc;
	}
	rc = look_at(r, cfg, err);
	if (rc) {
		img_close(&r->img);
		return rc;
	}
	if (!fstat(r->fd, &st)) {
		if (r->device)
			device_limits(r, &st);
		else
			file_limits(r, &st);
	}
	if (cfg->no_discard)
		r->img.caps &= ~(BLK_CAP_DISCARD | BLK_CAP_DISCARD_ZEROES);
	*out = &r->img;
	return 0;
}
