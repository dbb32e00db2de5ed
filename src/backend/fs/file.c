// SPDX-License-Identifier: BSD-2-Clause
/* backend/fs/file.c - Tlopen, Tlcreate, Tread, Twrite, Tfsync
 *
 * Data goes straight between the file and the guest's memory. O_APPEND is not passed on:
 * Linux says where to write anyway, and with write-back caching it writes back pages
 * through the same fid, which O_APPEND would put at the end. O_DIRECT is not either: the
 * guest's buffers need not be aligned as the host wants. */
#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "backend/fs/fs_int.h"

/* The host's flags for a guest's; -errno when they cannot be had */
static int host_flags(const struct fs *fs, u32 flags)
{
	int f = (int)(flags & P9_O_ACCMODE);

	if (f == O_ACCMODE)
		return -EINVAL;
	if (fs->cfg.ro && (f != O_RDONLY || flags & P9_O_TRUNC))
		return -EROFS;
	if (flags & P9_O_TRUNC)
		f |= O_TRUNC;
	if ((flags & P9_O_SYNC) == P9_O_SYNC)
		f |= O_SYNC;
	else if (flags & P9_O_DSYNC)
		f |= O_DSYNC;
	return f;
}

/* The fid that @old becomes by opening; takes @fd and the count of @node */
static int become(struct fs *fs, struct fid *old, struct node *node, int fd, int flags)
{
	struct fid *f;
	int rc;

	rc = fid_new(&f, old->id, node->kind == S_IFDIR ? FID_DIR : FID_FILE, node, old->uid);
	if (rc) {
		close(fd);
		open_slot_give(fs);
		node_put(fs, node);
		return rc;
	}
	f->fd = fd;
	f->writable = (flags & O_ACCMODE) != O_RDONLY;
	return fid_replace(fs, old, f);
}

/* Open what @at, an O_PATH descriptor of @node, is. fd with a slot taken, or -errno.
 * *@st: the guest's view. */
static int open_node(struct fs *fs, struct node *node, int at, u32 flags, int host, struct statx *st)
{
	int fd, rc;

	rc = path_stat(at, st);
	if (!rc)
		rc = ident_stat(fs, at, st);
	if (rc)
		return rc;
	if (node->kind == S_IFDIR) {
		if ((host & O_ACCMODE) != O_RDONLY || host & O_TRUNC)
			return -EISDIR;
	} else if (S_ISLNK(st->stx_mode)) {
		return -ELOOP;
	} else if (node->kind != S_IFREG || !S_ISREG(st->stx_mode)) {
		return -ENXIO; /* devices and FIFOs are the guest's own affair */
	} else if (flags & P9_O_DIRECTORY) {
		return -ENOTDIR;
	}
	rc = open_slot_take(fs);
	if (rc)
		return rc;
	fd = node->kind == S_IFDIR ? path_open_dir(fs, at) : path_reopen(fs, at, host);
	if (fd >= 0 && host & O_TRUNC && !(rc = path_stat(fd, st)))
		rc = ident_stat(fs, fd, st);
	if (fd < 0 || rc) {
		if (fd >= 0)
			close(fd);
		open_slot_give(fs);
		return fd < 0 ? fd : rc;
	}
	return fd;
}

int serve_lopen(struct req *r)
{
	struct fs *fs = r->fs;
	u32 id = rq_u32(r), flags = rq_u32(r);
	struct statx st;
	struct fid *f;
	int host, at, fd, rc;

	if (r->bad)
		return -EPROTO;
	host = host_flags(fs, flags);
	if (host < 0)
		return host;
	rc = fid_get(fs, id, &f);
	if (rc)
		return rc;
	rc = -EBADF;
	if (f->kind != FID_PATH)
		goto out;
	rc = at = node_pin(fs, f->node);
	if (at < 0)
		goto out;
	rc = fd = open_node(fs, f->node, at, flags, host, &st);
	node_unpin(fs, f->node);
	if (fd < 0)
		goto out;
	rc = become(fs, f, node_get(fs, f->node), fd, host);
	if (!rc) {
		rq_put_qid(r, &st);
		rq_put_u32(r, 0); /* as much at a time as a message holds */
	}
out:
	fid_put(fs, f);
	return rc;
}

/* Make @name in @at. fd with a slot taken, or -errno */
static int make(struct fs *fs, struct fid *dir, int at, const char *name, int host, u32 mode,
		u32 gid, struct statx *on_host, struct statx *st)
{
	int fd, rc;

	rc = open_slot_take(fs);
	if (rc)
		return rc;
	fd = path_open(fs, at, name, host | O_CREAT | O_EXCL | O_NOCTTY,
		       ident_create_mode(fs, S_IFREG, mode));
	if (fd < 0) {
		open_slot_give(fs);
		return fd;
	}
	rc = path_stat(fd, on_host);
	if (!rc)
		rc = ident_created(fs, fd, dir->uid, gid, S_IFREG | (mode & 07777), 0, st);
	if (rc) {
		close(fd);
		open_slot_give(fs);
		unlinkat(at, name, 0);
		return rc;
	}
	return fd;
}

int serve_lcreate(struct req *r)
{
	struct fs *fs = r->fs;
	u32 id = rq_u32(r);
	int rc, host, at, fd = -1, path = -1;
	const char *name = rq_name(r, &rc);
	u32 flags = rq_u32(r), mode = rq_u32(r), gid = rq_u32(r);
	struct statx on_host, st;
	struct epoch e;
	struct node *node;
	struct fid *dir;

	if (r->bad || rc)
		return r->bad ? -EPROTO : rc;
	host = host_flags(fs, flags);
	if (host < 0 || fs->cfg.ro)
		return host < 0 ? host : -EROFS;
	rc = fid_get(fs, id, &dir);
	if (rc)
		return rc;
	rc = dir->kind != FID_PATH ? -EBADF : dir->node->kind != S_IFDIR ? -ENOTDIR : 0;
	at = rc ? rc : node_pin(fs, dir->node);
	if (at < 0) {
		fid_put(fs, dir);
		return at;
	}
	/* Two steps, so that an existing symlink, device or FIFO is never opened */
	for (int i = 0; i < 16; i++) {
		e = node_epoch(fs);
		rc = fd = make(fs, dir, at, name, host & ~O_TRUNC, mode, gid, &on_host, &st);
		if (fd != -EEXIST || flags & P9_O_EXCL)
			break;
		rc = path = path_open(fs, at, name, O_PATH, 0);
		if (path == -ENOENT)
			continue;
		if (path >= 0)
			rc = path_stat(path, &on_host);
		break;
	}
	if (rc < 0 && path >= 0)
		close(path);
	if (rc >= 0)
		rc = node_found(fs, dir->node, name, path, &on_host, e, &node);
	node_unpin(fs, dir->node);
	if (rc < 0) {
		if (fd >= 0) {
			close(fd);
			open_slot_give(fs);
		}
		fid_put(fs, dir);
		return rc;
	}
	if (fd < 0) {
		rc = at = node_pin(fs, node);
		if (at >= 0) {
			rc = fd = node->kind == S_IFDIR ? -EISDIR :
				  open_node(fs, node, at, flags, host, &st);
			node_unpin(fs, node);
		}
	}
	if (fd >= 0)
		rc = become(fs, dir, node, fd, host);
	else
		node_put(fs, node);
	if (!rc) {
		rq_put_qid(r, &st);
		rq_put_u32(r, 0);
	}
	fid_put(fs, dir);
	return rc;
}

int serve_read(struct req *r)
{
	u32 id = rq_u32(r), count;
	u64 off = rq_u64(r);
	struct iovec to[DATA_IOV];
	struct fid *f;
	ssize_t n;
	int rc;

	count = data_room(r, rq_u32(r));
	if (r->bad)
		return -EPROTO;
	if (off > INT64_MAX)
		return -EINVAL; /* -1 would mean "where the file stands" to Linux */
	rc = fid_get(r->fs, id, &f);
	if (rc)
		return rc;
	if (f->kind == FID_XATTR_READ) {
		rc = xattr_read(r, f, off, count);
	} else if (f->kind == FID_FILE) {
		rc = rq_iov_cut(r->out, r->nout, P9_READ_HEAD, count, to);
		n = preadv2(f->fd, to, rc, (off_t)off, r->now ? RWF_NOWAIT : 0);
		rc = n < 0 ? -errno : 0;
		r->again = r->now && (rc == -EAGAIN || rc == -EOPNOTSUPP);
		if (!rc) {
			r->extra = (size_t)n;
			rq_put_u32(r, (u32)n);
		}
	} else {
		rc = f->kind == FID_DIR ? -EISDIR : -EBADF;
	}
	fid_put(r->fs, f);
	return rc;
}

int serve_write(struct req *r)
{
	u32 id = rq_u32(r), count;
	u64 off = rq_u64(r);
	struct iovec from[DATA_IOV];
	struct fid *f;
	ssize_t n;
	int rc;

	count = rq_u32(r);
	if (r->bad || count > r->in_len - P9_WRITE_HEAD)
		return -EPROTO;
	if (off > INT64_MAX)
		return -EINVAL;
	rc = fid_get(r->fs, id, &f);
	if (rc)
		return rc;
	if (f->kind == FID_XATTR_WRITE) {
		rc = xattr_write(r, f, off, count);
	} else if (f->kind == FID_FILE && f->writable) {
		rc = rq_iov_cut(r->in, r->nin, P9_WRITE_HEAD, count, from);
		n = pwritev(f->fd, from, rc, (off_t)off);
		rc = n < 0 ? -errno : 0;
		if (!rc)
			rq_put_u32(r, (u32)n);
	} else {
		rc = -EBADF;
	}
	fid_put(r->fs, f);
	return rc;
}

int serve_fsync(struct req *r)
{
	u32 id = rq_u32(r), data_only = rq_u32(r);
	struct fid *f;
	int rc;

	if (r->bad)
		return -EPROTO;
	rc = fid_get(r->fs, id, &f);
	if (rc)
		return rc;
	if (f->fd < 0)
		rc = -EBADF;
	else if (data_only ? fdatasync(f->fd) : fsync(f->fd))
		rc = -errno;
	fid_put(r->fs, f);
	return rc;
}
