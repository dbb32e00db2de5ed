// SPDX-License-Identifier: BSD-2-Clause
/* backend/fs/attr.c - Tgetattr, Tsetattr, Tstatfs, Treadlink */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "backend/fs/fs_int.h"

/* A descriptor that stands for the fid's file: its own when it is open. Then release(). */
static int hold(struct fs *fs, u32 id, struct fid **out)
{
	struct fid *f;
	int rc = fid_get(fs, id, &f);

	if (rc)
		return rc;
	rc = f->fd >= 0 ? f->fd : node_pin(fs, f->node);
	if (rc < 0)
		fid_put(fs, f);
	*out = f;
	return rc;
}

static void release(struct fs *fs, struct fid *f)
{
	if (f->fd < 0)
		node_unpin(fs, f->node);
	fid_put(fs, f);
}

static void put_time(struct req *r, const struct statx_timestamp *t)
{
	rq_put_u64(r, (u64)t->tv_sec);
	rq_put_u64(r, t->tv_nsec);
}

int serve_getattr(struct req *r)
{
	static const struct statx_timestamp never;
	u32 id = rq_u32(r);
	struct statx st;
	struct fid *f;
	bool born;
	int at, rc;

	rq_u64(r); /* which ones: all cost the same */
	if (r->bad)
		return -EPROTO;
	at = hold(r->fs, id, &f);
	if (at < 0)
		return at;
	rc = path_stat(at, &st);
	if (!rc)
		rc = ident_stat(r->fs, at, &st);
	release(r->fs, f);
	if (rc)
		return rc;
	born = st.stx_mask & STATX_BTIME;
	rq_put_u64(r, P9_ATTR_BASIC | (born ? P9_ATTR_BTIME : 0));
	rq_put_qid(r, &st);
	rq_put_u32(r, st.stx_mode);
	rq_put_u32(r, st.stx_uid);
	rq_put_u32(r, st.stx_gid);
	rq_put_u64(r, st.stx_nlink);
	rq_put_u64(r, makedev(st.stx_rdev_major, st.stx_rdev_minor));
	rq_put_u64(r, st.stx_size);
	rq_put_u64(r, st.stx_blksize);
	rq_put_u64(r, st.stx_blocks);
	put_time(r, &st.stx_atime);
	put_time(r, &st.stx_mtime);
	put_time(r, &st.stx_ctime);
	put_time(r, born ? &st.stx_btime : &never);
	rq_put_u64(r, 0); /* generation */
	rq_put_u64(r, 0); /* data version */
	return 0;
}

static int set_size(struct fs *fs, struct fid *f, int at, u64 size)
{
	struct statx st;
	int fd, rc;

	if (size > INT64_MAX)
		return -EFBIG;
	if (f->fd >= 0 && f->writable)
		return ftruncate(f->fd, (off_t)size) ? -errno : 0;
	rc = path_stat(at, &st);
	if (!rc)
		rc = ident_stat(fs, at, &st);
	if (rc)
		return rc;
	if (f->node->kind != S_IFREG || !S_ISREG(st.stx_mode))
		return f->node->kind == S_IFDIR ? -EISDIR : -EINVAL;
	fd = path_reopen(fs, at, O_WRONLY);
	if (fd < 0)
		return fd;
	rc = ftruncate(fd, (off_t)size) ? -errno : 0;
	close(fd);
	return rc;
}

/* @valid: whether to set, whether to the time given */
static int time_of(struct req *r, bool set, bool to, struct timespec *ts)
{
	u64 sec = rq_u64(r), nsec = rq_u64(r);

	ts->tv_sec = 0;
	ts->tv_nsec = set ? UTIME_NOW : UTIME_OMIT;
	if (!set || !to)
		return 0;
	/* The numbers that mean NOW and OMIT are above */
	if (nsec >= 1000000000u)
		return -EINVAL;
	ts->tv_sec = (time_t)sec;
	ts->tv_nsec = (long)nsec;
	return 0;
}

int serve_setattr(struct req *r)
{
	struct fs *fs = r->fs;
	u32 id = rq_u32(r), valid = rq_u32(r), mode = rq_u32(r), uid = rq_u32(r), gid = rq_u32(r);
	u64 size = rq_u64(r);
	struct timespec ts[2];
	char link[16];
	struct fid *f;
	int at, rc, rc2;

	rc = time_of(r, valid & P9_SET_ATIME, valid & P9_SET_ATIME_TO, &ts[0]);
	rc2 = time_of(r, valid & P9_SET_MTIME, valid & P9_SET_MTIME_TO, &ts[1]);
	if (r->bad || rc || rc2)
		return r->bad ? -EPROTO : -EINVAL;
	if (fs->cfg.ro)
		return -EROFS;
	at = hold(fs, id, &f);
	if (at < 0)
		return at;
	/* chown takes set-user-id bits, truncate sets times: so this order */
	if (valid & P9_SET_SIZE)
		rc = set_size(fs, f, at, size);
	if (!rc && valid & (P9_SET_UID | P9_SET_GID))
		rc = ident_chown(fs, at, valid & P9_SET_UID ? uid : P9_NOUID,
				 valid & P9_SET_GID ? gid : P9_NOUID);
	if (!rc && valid & P9_SET_MODE)
		rc = ident_chmod(fs, at, mode);
	if (!rc && valid & (P9_SET_ATIME | P9_SET_MTIME)) {
		snprintf(link, sizeof(link), "%d", at);
		rc = utimensat(fs->proc_fd, link, ts, 0) ? -errno : 0;
	}
	release(fs, f);
	return rc;
}

int serve_statfs(struct req *r)
{
	struct statfs s;
	struct fid *f;
	int at, rc;

	at = hold(r->fs, rq_u32(r), &f);
	if (at < 0)
		return r->bad ? -EPROTO : at;
	rc = fstatfs(at, &s) ? -errno : 0;
	release(r->fs, f);
	if (rc)
		return rc;
	rq_put_u32(r, P9_STATFS_TYPE);
	rq_put_u32(r, (u32)s.f_bsize);
	rq_put_u64(r, s.f_blocks);
	rq_put_u64(r, s.f_bfree);
	rq_put_u64(r, s.f_bavail);
	rq_put_u64(r, s.f_files);
	rq_put_u64(r, s.f_ffree);
	rq_put_u64(r, (u32)s.f_fsid.__val[0] | (u64)(u32)s.f_fsid.__val[1] << 32);
	rq_put_u32(r, NAME_MAX);
	return 0;
}

/* The target of a symlink that is a regular file with a note */
static ssize_t read_posing(struct fs *fs, int at, char *buf, size_t len)
{
	struct statx st;
	ssize_t n;
	int fd, rc;

	rc = path_stat(at, &st);
	if (!rc && !S_ISREG(st.stx_mode))
		rc = -EINVAL;
	if (!rc)
		rc = ident_stat(fs, at, &st);
	if (!rc && !S_ISLNK(st.stx_mode))
		rc = -EINVAL;
	if (rc)
		return rc;
	fd = path_reopen(fs, at, O_RDONLY);
	if (fd < 0)
		return fd;
	n = pread(fd, buf, len, 0);
	rc = -errno;
	close(fd);
	return n < 0 ? rc : n;
}

int serve_readlink(struct req *r)
{
	char target[PATH_MAX];
	struct fid *f;
	ssize_t n;
	int at;

	at = hold(r->fs, rq_u32(r), &f);
	if (at < 0)
		return r->bad ? -EPROTO : at;
	if (f->node->kind == S_IFLNK) {
		n = readlinkat(at, "", target, sizeof(target));
		n = n < 0 ? -errno : n;
	} else {
		n = read_posing(r->fs, at, target, sizeof(target));
	}
	release(r->fs, f);
	if (n < 0)
		return (int)n;
	rq_put_str(r, target, (size_t)n);
	return 0;
}
