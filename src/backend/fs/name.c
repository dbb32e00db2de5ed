// SPDX-License-Identifier: BSD-2-Clause
/* backend/fs/name.c - Requests that make, move and remove names
 *
 * Each works on one component in a directory's descriptor. Renames and removals run one
 * at a time, because node.c keeps the ways back to files in step with them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "backend/fs/fs_int.h"

/* A directory in which to change something: its fid and descriptor */
struct place {
	struct fid *f;
	int at;
};

static int place_begin(struct fs *fs, u32 id, struct place *p)
{
	int rc;

	if (fs->cfg.ro)
		return -EROFS;
	rc = fid_get(fs, id, &p->f);
	if (rc)
		return rc;
	p->at = p->f->node->kind == S_IFDIR ? node_pin(fs, p->f->node) : -ENOTDIR;
	if (p->at < 0) {
		fid_put(fs, p->f);
		return p->at;
	}
	return 0;
}

static void place_end(struct fs *fs, struct place *p)
{
	node_unpin(fs, p->f->node);
	fid_put(fs, p->f);
}

/* The new @name gets its owner and mode, the reply its qid */
static int finish(struct req *r, struct place *p, const char *name, u32 mode, u64 rdev, u32 gid)
{
	struct statx st;
	int fd, rc;

	fd = path_open(r->fs, p->at, name, O_PATH, 0);
	if (fd < 0)
		return fd;
	rc = ident_created(r->fs, fd, p->f->uid, gid, mode, rdev, &st);
	close(fd);
	if (rc)
		unlinkat(p->at, name, S_ISDIR(mode) ? AT_REMOVEDIR : 0);
	else
		rq_put_qid(r, &st);
	return rc;
}

/* A regular file with @content that a note will make something else */
static int make_posing(struct fs *fs, struct place *p, const char *name, const char *content)
{
	size_t len = strlen(content);
	int fd = path_open(fs, p->at, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = len ? write(fd, content, len) : 0;
	close(fd);
	if (n == (ssize_t)len)
		return 0;
	unlinkat(p->at, name, 0);
	return n < 0 ? -errno : -ENOSPC;
}

int serve_symlink(struct req *r)
{
	u32 id = rq_u32(r), gid;
	int rc;
	const char *name = rq_name(r, &rc);
	size_t len;
	const char *target = rq_str(r, &len);
	struct place p;

	gid = rq_u32(r);
	if (r->bad || rc)
		return r->bad ? -EPROTO : rc;
	if (!len || len >= PATH_MAX || len != strlen(target))
		return !len ? -ENOENT : len >= PATH_MAX ? -ENAMETOOLONG : -EINVAL;
	rc = place_begin(r->fs, id, &p);
	if (rc)
		return rc;
	if (ident_by_note(r->fs, S_IFLNK))
		rc = make_posing(r->fs, &p, name, target);
	else
		rc = symlinkat(target, p.at, name) ? -errno : 0;
	if (!rc)
		rc = finish(r, &p, name, S_IFLNK | 0777, 0, gid);
	place_end(r->fs, &p);
	return rc;
}

int serve_mknod(struct req *r)
{
	u32 id = rq_u32(r);
	int rc;
	const char *name = rq_name(r, &rc);
	u32 mode = rq_u32(r), maj = rq_u32(r), min = rq_u32(r), gid = rq_u32(r);
	const u32 kind = mode & S_IFMT ? mode & S_IFMT : S_IFREG;
	u64 rdev = 0;
	struct place p;

	if (r->bad || rc)
		return r->bad ? -EPROTO : rc;
	switch (kind) {
	case S_IFCHR:
	case S_IFBLK:
		/* Linux has 12 and 20 bits for them */
		if (maj >> 12 || min >> 20)
			return -EINVAL;
		rdev = makedev(maj, min);
		if (r->fs->cfg.map == FS_MAP_SQUASH)
			return -EPERM;
		break;
	case S_IFREG:
	case S_IFIFO:
	case S_IFSOCK:
		break;
	default:
		return -EINVAL;
	}
	rc = place_begin(r->fs, id, &p);
	if (rc)
		return rc;
	if (ident_by_note(r->fs, kind))
		rc = make_posing(r->fs, &p, name, "");
	else
		rc = mknodat(p.at, name, kind | ident_create_mode(r->fs, kind, mode), rdev) ? -errno : 0;
	if (!rc)
		rc = finish(r, &p, name, kind | (mode & 07777), rdev, gid);
	place_end(r->fs, &p);
	return rc;
}

int serve_mkdir(struct req *r)
{
	u32 id = rq_u32(r);
	int rc;
	const char *name = rq_name(r, &rc);
	u32 mode = rq_u32(r), gid = rq_u32(r);
	struct place p;

	if (r->bad || rc)
		return r->bad ? -EPROTO : rc;
	rc = place_begin(r->fs, id, &p);
	if (rc)
		return rc;
	rc = mkdirat(p.at, name, ident_create_mode(r->fs, S_IFDIR, mode)) ? -errno : 0;
	if (!rc)
		rc = finish(r, &p, name, S_IFDIR | (mode & 07777), 0, gid);
	place_end(r->fs, &p);
	return rc;
}

int serve_link(struct req *r)
{
	struct fs *fs = r->fs;
	u32 dir = rq_u32(r), id = rq_u32(r);
	int rc, at;
	const char *name = rq_name(r, &rc);
	char link[16];
	struct place p;
	struct fid *f;

	if (r->bad || rc)
		return r->bad ? -EPROTO : rc;
	rc = place_begin(fs, dir, &p);
	if (rc)
		return rc;
	rc = fid_get(fs, id, &f);
	if (rc) {
		place_end(fs, &p);
		return rc;
	}
	rc = at = f->node->kind == S_IFDIR ? -EPERM : node_pin(fs, f->node);
	if (at >= 0) {
		/* The magic link leads to the inode itself, be it a symlink */
		snprintf(link, sizeof(link), "%d", at);
		rc = linkat(fs->proc_fd, link, p.at, name, AT_SYMLINK_FOLLOW) ? -errno : 0;
		node_unpin(fs, f->node);
	}
	fid_put(fs, f);
	place_end(fs, &p);
	return rc;
}

static int rename_in(struct fs *fs, struct node *from, int from_at, const char *old,
		     struct node *to, int to_at, const char *name)
{
	struct node *victim;
	int rc;

	pthread_mutex_lock(&fs->rename_lock);
	victim = node_names_begin(fs, to, name);
	rc = renameat(from_at, old, to_at, name) ? -errno : 0;
	if (!rc)
		node_renamed(fs, from, old, to, name);
	node_names_end(fs, victim);
	pthread_mutex_unlock(&fs->rename_lock);
	return rc;
}

int serve_renameat(struct req *r)
{
	u32 from_id = rq_u32(r), to_id;
	int rc, rc2;
	const char *old = rq_name(r, &rc), *name;
	struct place from, to;

	to_id = rq_u32(r);
	name = rq_name(r, &rc2);
	if (r->bad || rc || rc2)
		return r->bad ? -EPROTO : rc ? rc : rc2;
	rc = place_begin(r->fs, from_id, &from);
	if (rc)
		return rc;
	rc = place_begin(r->fs, to_id, &to);
	if (!rc) {
		rc = rename_in(r->fs, from.f->node, from.at, old, to.f->node, to.at, name);
		place_end(r->fs, &to);
	}
	place_end(r->fs, &from);
	return rc;
}

/* The directory that @n is known to be in, counted, and its name there */
static int way_back(struct fs *fs, struct node *n, struct node **dir, char name[NAME_MAX + 1])
{
	int rc = 0;

	pthread_mutex_lock(&fs->lock);
	if (n == fs->root) {
		rc = -EBUSY;
	} else if (!n->parent) {
		rc = -ENOENT;
	} else {
		memcpy(name, n->name, strlen(n->name) + 1);
		*dir = n->parent;
		n->parent->refs++;
	}
	pthread_mutex_unlock(&fs->lock);
	return rc;
}

/* Is @name in @at still @n? What the host exchanged is not touched. */
static int still_there(struct fs *fs, int at, const char *name, const struct node *n)
{
	struct statx st;
	int rc;

	rc = statx(at, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_INO, &st) ? -errno : 0;
	if (!rc && (st.stx_ino != n->ino || statx_dev(&st) != n->dev))
		rc = -ESTALE;
	return rc;
}

int serve_rename(struct req *r)
{
	struct fs *fs = r->fs;
	u32 id = rq_u32(r), dir = rq_u32(r);
	int rc, at;
	const char *name = rq_name(r, &rc);
	char old[NAME_MAX + 1];
	struct node *from;
	struct place to;
	struct fid *f;

	if (r->bad || rc)
		return r->bad ? -EPROTO : rc;
	rc = place_begin(fs, dir, &to);
	if (rc)
		return rc;
	rc = fid_get(fs, id, &f);
	if (rc) {
		place_end(fs, &to);
		return rc;
	}
	rc = way_back(fs, f->node, &from, old);
	if (!rc) {
		rc = at = node_pin(fs, from);
		if (at >= 0) {
			rc = still_there(fs, at, old, f->node);
			if (!rc)
				rc = rename_in(fs, from, at, old, to.f->node, to.at, name);
			node_unpin(fs, from);
		}
		node_put(fs, from);
	}
	fid_put(fs, f);
	place_end(fs, &to);
	return rc;
}

static int unlink_in(struct fs *fs, struct node *dir, int at, const char *name, int flags)
{
	struct node *victim;
	int rc;

	pthread_mutex_lock(&fs->rename_lock);
	victim = node_names_begin(fs, dir, name);
	rc = unlinkat(at, name, flags) ? -errno : 0;
	if (!rc)
		node_unlinked(fs, dir, name);
	node_names_end(fs, victim);
	pthread_mutex_unlock(&fs->rename_lock);
	return rc;
}

int serve_unlinkat(struct req *r)
{
	u32 id = rq_u32(r), flags;
	int rc;
	const char *name = rq_name(r, &rc);
	struct place p;

	flags = rq_u32(r);
	if (r->bad || rc)
		return r->bad ? -EPROTO : rc;
	if (flags & ~P9_AT_REMOVEDIR)
		return -EINVAL;
	rc = place_begin(r->fs, id, &p);
	if (rc)
		return rc;
	rc = unlink_in(r->fs, p.f->node, p.at, name, flags ? AT_REMOVEDIR : 0);
	place_end(r->fs, &p);
	return rc;
}

int serve_remove(struct req *r)
{
	struct fs *fs = r->fs;
	char name[NAME_MAX + 1];
	struct node *dir;
	struct fid *f;
	int rc, at;

	rc = fid_get(fs, rq_u32(r), &f);
	if (rc)
		return r->bad ? -EPROTO : rc;
	rc = fs->cfg.ro ? -EROFS : way_back(fs, f->node, &dir, name);
	if (!rc) {
		rc = at = node_pin(fs, dir);
		if (at >= 0) {
			rc = still_there(fs, at, name, f->node);
			if (!rc)
				rc = unlink_in(fs, dir, at, name,
					       f->node->kind == S_IFDIR ? AT_REMOVEDIR : 0);
			node_unpin(fs, dir);
		}
		node_put(fs, dir);
	}
	/* remove(5): the fid is clunked even if the remove fails */
	fid_remove(fs, f);
	fid_put(fs, f);
	return rc;
}
