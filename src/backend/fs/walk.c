// SPDX-License-Identifier: BSD-2-Clause
/* backend/fs/walk.c - Tattach, Twalk, Tclunk: getting to a file and letting go of it */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "backend/fs/fs_int.h"

/* One step from @dir, which is consumed when it succeeds. @st: the guest's view of *@out. */
static int step(struct fs *fs, struct node *dir, const char *name, struct node **out,
		struct statx *st)
{
	const bool parent = !strcmp(name, "..");
	struct epoch e = node_epoch(fs);
	struct statx host;
	int at, fd, rc;

	if (dir->kind != S_IFDIR)
		return -ENOTDIR;
	at = node_pin(fs, dir);
	if (at < 0)
		return at;
	if (parent && dir == fs->root)
		fd = fcntl(at, F_DUPFD_CLOEXEC, 0); /* intro(5): its parent is itself */
	else if (parent)
		fd = path_parent(fs, at);
	else
		fd = path_open(fs, at, name, O_PATH, 0);
	rc = fd < 0 ? (parent && dir == fs->root ? -errno : fd) : path_stat(fd, &host);
	node_unpin(fs, dir);
	if (rc < 0) {
		if (fd >= 0)
			close(fd);
		return rc;
	}
	*st = host;
	rc = ident_stat(fs, fd, st);
	if (rc) {
		close(fd);
		return rc;
	}
	rc = node_found(fs, dir, parent ? NULL : name, fd, &host, e, out);
	if (!rc)
		node_put(fs, dir);
	return rc;
}

/* What the guest sees of a node, by its descriptor */
static int stat_node(struct fs *fs, struct node *n, struct statx *st)
{
	int fd = node_pin(fs, n), rc;

	if (fd < 0)
		return fd;
	rc = path_stat(fd, st);
	if (!rc)
		rc = ident_stat(fs, fd, st);
	node_unpin(fs, n);
	return rc;
}

int serve_attach(struct req *r)
{
	struct fs *fs = r->fs;
	u32 id = rq_u32(r), afid = rq_u32(r), uid;
	size_t len;
	const char *name = (rq_str(r, &len), rq_str(r, &len)), *end;
	struct node *n, *next;
	struct statx st;
	struct fid *f;
	char part[NAME_MAX + 1];
	int rc;

	uid = rq_u32(r);
	if (r->bad)
		return -EPROTO;
	if (afid != P9_NOFID)
		return -EINVAL;
	if (len != strlen(name))
		return -EINVAL;
	n = node_get(fs, fs->root);
	rc = stat_node(fs, n, &st);
	/* aname: a directory below, each component as in a walk */
	for (; !rc; name = end) {
		name += strspn(name, "/");
		if (!*name)
			break;
		end = name + strcspn(name, "/");
		rc = name_check(name, (size_t)(end - name));
		if (rc)
			break;
		memcpy(part, name, (size_t)(end - name));
		part[end - name] = '\0';
		rc = step(fs, n, part, &next, &st);
		if (!rc)
			n = next;
	}
	if (!rc && n->kind != S_IFDIR)
		rc = -ENOTDIR;
	if (!rc)
		rc = fid_new(&f, id, FID_PATH, n, uid == P9_NOUID ? 0 : uid);
	if (rc) {
		node_put(fs, n);
		return rc;
	}
	rc = fid_add(fs, f);
	if (!rc)
		rq_put_qid(r, &st);
	return rc;
}

int serve_walk(struct req *r)
{
	struct fs *fs = r->fs;
	u32 id = rq_u32(r), new_id = rq_u32(r);
	u16 num = rq_u16(r), i;
	struct fid *f, *fresh;
	struct node *n, *next;
	struct statx st;
	const size_t count_at = r->rep_len;
	int rc;

	if (r->bad)
		return -EPROTO;
	if (num > P9_MAX_WALK)
		return -EINVAL;
	rc = fid_get(fs, id, &f);
	if (rc)
		return rc;
	/* walk(5): not from a fid that is open for I/O; Linux does clone those of directories */
	if (f->kind == FID_XATTR_READ || f->kind == FID_XATTR_WRITE) {
		fid_put(fs, f);
		return -EBADF;
	}
	n = node_get(fs, f->node);
	rq_put_u16(r, 0);
	for (i = 0; i < num; i++) {
		size_t len;
		const char *name = rq_str(r, &len);

		rc = r->bad ? -EPROTO : 0;
		if (!rc && !(len == 2 && !memcmp(name, "..", 2)))
			rc = name_check(name, len);
		if (!rc)
			rc = step(fs, n, name, &next, &st);
		if (rc)
			break;
		n = next;
		rq_put_qid(r, &st);
	}
	/* The first step's failure is an error, a later one's a short reply and no new fid */
	if (i < num) {
		node_put(fs, n);
		fid_put(fs, f);
		if (!i || rc == -EPROTO)
			return rc;
		r->rep[count_at] = (u8)i;
		return 0;
	}
	r->rep[count_at] = (u8)num;
	rc = fid_new(&fresh, new_id, FID_PATH, n, f->uid);
	if (rc)
		node_put(fs, n);
	else if (new_id == id && f->kind != FID_PATH)
		rc = -EBADF, fid_put(fs, fresh);
	else
		rc = new_id == id ? fid_replace(fs, f, fresh) : fid_add(fs, fresh);
	fid_put(fs, f);
	return rc;
}

int serve_clunk(struct req *r)
{
	struct fid *f;
	int rc, late = 0;

	rc = fid_get(r->fs, rq_u32(r), &f);
	if (rc)
		return r->bad ? -EPROTO : rc;
	rc = fid_remove(r->fs, f);
	/* The fid is gone whatever comes of its attribute */
	if (!rc && f->kind == FID_XATTR_WRITE)
		late = xattr_finish(r->fs, f);
	fid_put(r->fs, f);
	return rc ? rc : late;
}
