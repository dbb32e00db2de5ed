// SPDX-License-Identifier: BSD-2-Clause
/* backend/fs/xattr.c - Extended attributes
 *
 * Reading: Txattrwalk makes a fid whose Tread gives the value (or the names). Writing:
 * Txattrcreate turns a fid into one that takes Twrite, and the clunk sets the value. Values
 * are kept meanwhile, so all of them together have a limit. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "backend/fs/fs_int.h"

#define VALUE_MAX 65536u /* XATTR_SIZE_MAX, XATTR_LIST_MAX */
#define TOTAL_MAX (16u << 20)

static int budget_take(struct fs *fs, u32 len)
{
	int rc = 0;

	pthread_mutex_lock(&fs->lock);
	if (fs->xattr_bytes + len > TOTAL_MAX)
		rc = -ENOSPC;
	else
		fs->xattr_bytes += len;
	pthread_mutex_unlock(&fs->lock);
	return rc;
}

static void budget_give(struct fs *fs, u32 len)
{
	pthread_mutex_lock(&fs->lock);
	fs->xattr_bytes -= len;
	pthread_mutex_unlock(&fs->lock);
}

/* Give @f a buffer of @len */
static int value_alloc(struct fs *fs, struct fid *f, u32 len)
{
	int rc = budget_take(fs, len);

	if (rc)
		return rc;
	f->xattr = malloc(len ? len : 1);
	if (!f->xattr) {
		budget_give(fs, len);
		return -ENOMEM;
	}
	f->xattr_len = len;
	return 0;
}

void xattr_free(struct fs *fs, struct fid *f)
{
	if (f->xattr)
		budget_give(fs, f->xattr_len);
	free(f->xattr);
	free(f->xattr_name);
}

/* Leave only the names that the guest may use. Return: length */
static u32 filter(const struct fs *fs, char *list, size_t len)
{
	size_t kept = 0, n;

	for (size_t at = 0; at < len; at += n) {
		n = strnlen(list + at, len - at) + 1;
		if (at + n > len)
			break;
		if (!ident_xattr_ok(fs, list + at))
			continue;
		memmove(list + kept, list + at, n);
		kept += n;
	}
	return (u32)kept;
}

/* @name NULL: the list of names */
static int load(struct fs *fs, struct fid *f, const char *path, const char *name)
{
	char *buf = malloc(VALUE_MAX);
	ssize_t n;
	int rc;

	if (!buf)
		return -ENOMEM;
	n = name ? getxattr(path, name, buf, VALUE_MAX) : listxattr(path, buf, VALUE_MAX);
	rc = n < 0 ? -errno : 0;
	if (!rc && !name)
		n = filter(fs, buf, (size_t)n);
	if (!rc)
		rc = value_alloc(fs, f, (u32)n);
	if (!rc)
		memcpy(f->xattr, buf, (size_t)n);
	free(buf);
	return rc;
}

int serve_xattrwalk(struct req *r)
{
	struct fs *fs = r->fs;
	u32 id = rq_u32(r), new_id = rq_u32(r), size;
	size_t len;
	const char *name = rq_str(r, &len);
	char path[PATH_PROC_MAX];
	struct fid *f, *fresh;
	int at, rc;

	if (r->bad)
		return -EPROTO;
	if (len != strlen(name))
		return -EINVAL;
	rc = fid_get(fs, id, &f);
	if (rc)
		return rc;
	/* Linux asks for security.capability before each write: no system call for that */
	if (len && !ident_xattr_ok(fs, name)) {
		fid_put(fs, f);
		return -EOPNOTSUPP;
	}
	rc = at = node_pin(fs, f->node);
	if (at < 0) {
		fid_put(fs, f);
		return rc;
	}
	rc = fid_new(&fresh, new_id, FID_XATTR_READ, node_get(fs, f->node), f->uid);
	if (rc) {
		node_put(fs, f->node);
	} else {
		rc = load(fs, fresh, path_proc(path, at), len ? name : NULL);
		size = fresh->xattr_len;
		if (rc)
			fid_put(fs, fresh);
		else if (!(rc = fid_add(fs, fresh)))
			rq_put_u64(r, size);
	}
	node_unpin(fs, f->node);
	fid_put(fs, f);
	return rc;
}

int serve_xattrcreate(struct req *r)
{
	struct fs *fs = r->fs;
	u32 id = rq_u32(r), flags;
	size_t len;
	const char *name = rq_str(r, &len);
	u64 size = rq_u64(r);
	struct fid *f, *fresh;
	int rc;

	flags = rq_u32(r);
	if (r->bad)
		return -EPROTO;
	if (!len || len != strlen(name) || flags & ~(u32)(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	if (fs->cfg.ro || !ident_xattr_ok(fs, name))
		return fs->cfg.ro ? -EROFS : -EOPNOTSUPP;
	if (size > VALUE_MAX)
		return -E2BIG;
	rc = fid_get(fs, id, &f);
	if (rc)
		return rc;
	if (f->kind != FID_PATH) {
		fid_put(fs, f);
		return -EBADF;
	}
	rc = fid_new(&fresh, id, FID_XATTR_WRITE, node_get(fs, f->node), f->uid);
	if (rc) {
		node_put(fs, f->node);
	} else {
		fresh->xattr_flags = flags;
		fresh->xattr_name = strdup(name);
		rc = fresh->xattr_name ? value_alloc(fs, fresh, (u32)size) : -ENOMEM;
		if (rc)
			fid_put(fs, fresh);
		else
			rc = fid_replace(fs, f, fresh);
	}
	fid_put(fs, f);
	return rc;
}

int xattr_read(struct req *r, struct fid *f, u64 off, u32 count)
{
	u32 n = off >= f->xattr_len ? 0 : MIN(count, f->xattr_len - (u32)off);

	if (n)
		rq_iov_put(r->out, r->nout, P9_READ_HEAD, f->xattr + off, n);
	rq_put_u32(r, n);
	r->extra = n;
	return 0;
}

int xattr_write(struct req *r, struct fid *f, u64 off, u32 count)
{
	int rc = 0;

	pthread_mutex_lock(&f->busy);
	if (off != f->xattr_done)
		rc = -EINVAL;
	else if (count > f->xattr_len - f->xattr_done)
		rc = -ENOSPC;
	else
		f->xattr_done += (u32)rq_iov_get(r->in, r->nin, P9_WRITE_HEAD, f->xattr + off, count);
	pthread_mutex_unlock(&f->busy);
	if (!rc)
		rq_put_u32(r, count);
	return rc;
}

int xattr_finish(struct fs *fs, struct fid *f)
{
	char path[PATH_PROC_MAX];
	u32 done;
	int at, rc;

	pthread_mutex_lock(&f->busy);
	done = f->xattr_done;
	pthread_mutex_unlock(&f->busy);
	if (done != f->xattr_len)
		return -EINVAL;
	at = node_pin(fs, f->node);
	if (at < 0)
		return at;
	path_proc(path, at);
	/* Linux says "remove" by replacing with nothing */
	if (!f->xattr_len && f->xattr_flags == XATTR_REPLACE)
		rc = removexattr(path, f->xattr_name) ? -errno : 0;
	else
		rc = setxattr(path, f->xattr_name, f->xattr, f->xattr_len, (int)f->xattr_flags) ?
			     -errno : 0;
	node_unpin(fs, f->node);
	return rc;
}
