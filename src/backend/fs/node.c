// SPDX-License-Identifier: BSD-2-Clause
/* backend/fs/node.c - Which file of the host a fid means
 *
 * DOC: Theory of operation - nodes
 *
 * A node is one inode of the host that some fid refers to, found by (device, inode,
 * creation time) so that all fids of a file share one. It holds an O_PATH descriptor:
 * the identity that renames cannot change.
 *
 * Guests keep far more fids than a process may have descriptors (with cache=loose one
 * for each cached name). So a node also knows its way back, (parent, name), and the
 * descriptors of nodes that nobody uses right now are closed, oldest first, when there
 * are too many. Opening one again compares the inode; another one in its place is
 * -ESTALE, never the wrong file.
 *
 * The way back must stay right when names change:
 *   - by this guest: rename and unlink run one at a time (rename_lock) and tell us here.
 *     A file that lost the name we knew keeps its descriptor (`keep`).
 *   - by a look-up that raced with those: node_found() compares epochs and does not
 *     trust the name it came by; such a node is `keep` too.
 *   - by the host: noticed as -ESTALE, if its descriptor had been closed at all.
 *
 * A directory's node is counted by those of its children, so a way back always exists. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/fs/fs_int.h"

#define TRIM 32u

/* What one pass under the lock left to be closed and freed outside of it */
struct trash {
	struct node *nodes; /* by by_inode.next */
	int fd[TRIM];
	unsigned num_fds;
};

static u64 inode_hash(const struct fs *fs, u64 dev, u64 ino)
{
	return hash_u64(hash_u64(fs->seed, dev), ino);
}

static u64 name_hash(const struct fs *fs, const struct node *dir, const char *name)
{
	return hash_bytes(fs->seed ^ (uintptr_t)dir, name, strlen(name));
}

static void empty(struct trash *t)
{
	struct node *n;

	for (unsigned i = 0; i < t->num_fds; i++)
		close(t->fd[i]);
	t->num_fds = 0;
	while ((n = t->nodes)) {
		t->nodes = (struct node *)n->by_inode.next;
		if (n->fd >= 0)
			close(n->fd);
		free(n->name);
		free(n);
	}
}
_Static_assert(offsetof(struct node, by_inode) == 0, "the trash is linked by it");

/* ------------------------------------------------------- under fs->lock */

static void lru_update_locked(struct fs *fs, struct node *n)
{
	list_del(&n->lru);
	if (n->fd >= 0 && !n->pins && !n->keep)
		list_add_tail(&fs->lru, &n->lru);
}

static void unref_locked(struct fs *fs, struct node *n, struct trash *t)
{
	while (n && !--n->refs) {
		struct node *parent = n->parent;

		if (n->hashed)
			htab_del(&fs->inodes, &n->by_inode);
		if (n->name)
			htab_del(&fs->names, &n->by_name);
		list_del(&n->lru);
		if (n->fd >= 0)
			fs->num_node_fds--;
		n->by_inode.next = (struct hent *)t->nodes;
		t->nodes = n;
		n = parent;
	}
}

static void unname_locked(struct fs *fs, struct node *n, struct trash *t)
{
	struct node *parent = n->parent;

	if (!n->name)
		return;
	htab_del(&fs->names, &n->by_name);
	free(n->name);
	n->name = NULL;
	n->parent = NULL;
	n->keep = true;
	lru_update_locked(fs, n);
	unref_locked(fs, parent, t);
}

/* Takes @name. The node has none. */
static void name_locked(struct fs *fs, struct node *n, struct node *dir, char *name)
{
	n->name = name;
	n->parent = dir;
	dir->refs++;
	n->keep = false;
	htab_add(&fs->names, &n->by_name, name_hash(fs, dir, name));
	lru_update_locked(fs, n);
}

static bool has_name(const struct node *n, const struct node *dir, const char *name)
{
	return n->name && n->parent == dir && !strcmp(n->name, name);
}

static struct node *by_name_locked(struct fs *fs, const struct node *dir, const char *name)
{
	struct hent *e;

	for (e = htab_find(&fs->names, name_hash(fs, dir, name)); e; e = htab_next(e)) {
		struct node *n = container_of(e, struct node, by_name);

		if (has_name(n, dir, name))
			return n;
	}
	return NULL;
}

static bool trim_locked(struct fs *fs, struct trash *t)
{
	while (t->num_fds < TRIM && !list_empty(&fs->lru)) {
		struct node *n = container_of(fs->lru.next, struct node, lru);

		t->fd[t->num_fds++] = n->fd;
		n->fd = -1;
		fs->num_node_fds--;
		list_del(&n->lru);
	}
	return t->num_fds;
}

static void fd_set_locked(struct fs *fs, struct node *n, int fd, struct trash *t)
{
	n->fd = fd;
	fs->num_node_fds++;
	if (fs->num_node_fds + fs->num_open > fs->cfg.max_files)
		trim_locked(fs, t);
	lru_update_locked(fs, n);
}

/* All descriptors belong to open files and to nodes without a way back */
static bool is_full_locked(const struct fs *fs)
{
	return fs->num_node_fds + fs->num_open >= fs->cfg.max_files && list_empty(&fs->lru);
}

/* ------------------------------------------------------------------ life */

struct node *node_get(struct fs *fs, struct node *n)
{
	pthread_mutex_lock(&fs->lock);
	n->refs++;
	pthread_mutex_unlock(&fs->lock);
	return n;
}

void node_put(struct fs *fs, struct node *n)
{
	struct trash t = { 0 };

	pthread_mutex_lock(&fs->lock);
	unref_locked(fs, n, &t);
	pthread_mutex_unlock(&fs->lock);
	empty(&t);
}

bool nodes_trim(struct fs *fs)
{
	struct trash t = { 0 };
	bool any;

	pthread_mutex_lock(&fs->lock);
	any = trim_locked(fs, &t);
	pthread_mutex_unlock(&fs->lock);
	empty(&t);
	return any;
}

int open_slot_take(struct fs *fs)
{
	struct trash t = { 0 };
	int rc = 0;

	pthread_mutex_lock(&fs->lock);
	if (fs->num_open >= fs->max_open)
		rc = -EMFILE;
	else if (++fs->num_open + fs->num_node_fds > fs->cfg.max_files)
		trim_locked(fs, &t);
	pthread_mutex_unlock(&fs->lock);
	empty(&t);
	return rc;
}

void open_slot_give(struct fs *fs)
{
	pthread_mutex_lock(&fs->lock);
	fs->num_open--;
	pthread_mutex_unlock(&fs->lock);
}

static u64 born_of(const struct statx *st)
{
	if (!(st->stx_mask & STATX_BTIME))
		return 0;
	return (u64)st->stx_btime.tv_sec * 1000000000u + st->stx_btime.tv_nsec;
}

static bool is_same(const struct node *n, const struct statx *st)
{
	return n->dev == statx_dev(st) && n->ino == st->stx_ino &&
	       n->kind == (st->stx_mode & S_IFMT) && n->born == born_of(st);
}

static struct node *node_new(int fd, const struct statx *st)
{
	struct node *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->dev = statx_dev(st);
	n->ino = st->stx_ino;
	n->born = born_of(st);
	n->kind = st->stx_mode & S_IFMT;
	n->fd = fd;
	n->refs = 1;
	list_init(&n->lru);
	return n;
}

int node_root(struct fs *fs, int fd, const struct statx *st)
{
	struct node *n = node_new(fd, st);

	if (!n)
		return -ENOMEM;
	n->keep = true;
	n->hashed = true;
	fs->num_node_fds++;
	htab_add(&fs->inodes, &n->by_inode, inode_hash(fs, n->dev, n->ino));
	fs->root = n;
	return 0;
}

struct epoch node_epoch(struct fs *fs)
{
	struct epoch e;

	pthread_mutex_lock(&fs->lock);
	e.renames = fs->renames;
	e.busy = fs->renaming;
	pthread_mutex_unlock(&fs->lock);
	return e;
}

static struct node *by_inode_locked(struct fs *fs, const struct statx *st, u64 hash)
{
	struct hent *e;

	for (e = htab_find(&fs->inodes, hash); e; e = htab_next(e)) {
		struct node *n = container_of(e, struct node, by_inode);

		if (n->dev != statx_dev(st) || n->ino != st->stx_ino)
			continue;
		if (is_same(n, st))
			return n;
		/* The host deleted that file and its number has a new owner */
		htab_del(&fs->inodes, &n->by_inode);
		n->hashed = false;
		return NULL;
	}
	return NULL;
}

/* Would @n become its own ancestor? Only when the host moved directories at the same time. */
static bool above_locked(const struct node *n, const struct node *dir)
{
	for (; dir; dir = dir->parent)
		if (dir == n)
			return true;
	return false;
}

int node_found(struct fs *fs, struct node *parent, const char *name, int fd,
	       const struct statx *st, struct epoch e, struct node **out)
{
	u64 hash = inode_hash(fs, statx_dev(st), st->stx_ino);
	struct node *fresh = node_new(-1, st), *n, *old;
	char *copy = name ? strdup(name) : NULL;
	struct trash t = { 0 };
	bool trust;

	if (!fresh || (name && !copy)) {
		free(fresh);
		free(copy);
		if (fd >= 0)
			close(fd);
		return -ENOMEM;
	}
	pthread_mutex_lock(&fs->lock);
	trust = name && !e.busy && !fs->renaming && e.renames == fs->renames;
	n = by_inode_locked(fs, st, hash);
	if (n) {
		n->refs++;
	} else if (fd >= 0 && is_full_locked(fs)) {
		pthread_mutex_unlock(&fs->lock);
		close(fd);
		free(fresh);
		free(copy);
		return -EMFILE;
	} else {
		n = fresh;
		fresh = NULL;
		n->keep = true; /* until it has a name */
		n->hashed = true;
		htab_add(&fs->inodes, &n->by_inode, hash);
	}
	if (n->fd < 0 && fd >= 0) {
		fd_set_locked(fs, n, fd, &t);
		fd = -1;
	}
	/* The newest name is the best. Who else had it lost it on the host. */
	if (trust && n != fs->root && !has_name(n, parent, copy) && !above_locked(n, parent)) {
		old = by_name_locked(fs, parent, copy);
		if (old)
			unname_locked(fs, old, &t);
		unname_locked(fs, n, &t);
		name_locked(fs, n, parent, copy);
		copy = NULL;
	}
	pthread_mutex_unlock(&fs->lock);
	empty(&t);
	if (fd >= 0)
		close(fd);
	free(fresh);
	free(copy);
	*out = n;
	return 0;
}

/* ------------------------------------------------- descriptor on demand */

/* The nearest way to a descriptor of @n: a node below one that has its own. Pins the upper,
 * counts the lower. Return: 0, 1 when @n has one (then pinned), -ESTALE without a way */
static int find_step_locked(struct fs *fs, struct node *n, struct node **from, struct node **to)
{
	if (n->fd >= 0) {
		n->pins++;
		lru_update_locked(fs, n);
		return 1;
	}
	while (n->parent && n->parent->fd < 0)
		n = n->parent;
	if (!n->parent)
		return -ESTALE;
	*from = n->parent;
	*to = n;
	n->parent->refs++;
	n->parent->pins++;
	lru_update_locked(fs, n->parent);
	n->refs++;
	return 0;
}

static bool is_full(struct fs *fs)
{
	bool full;

	pthread_mutex_lock(&fs->lock);
	full = is_full_locked(fs);
	pthread_mutex_unlock(&fs->lock);
	return full;
}

/* Open @to again in @from */
static int take_step(struct fs *fs, struct node *from, struct node *to, const char *name)
{
	struct trash t = { 0 };
	struct statx st;
	int fd, rc = 0;

	if (is_full(fs))
		return -EMFILE;
	fd = path_open(fs, from->fd, name, O_PATH, 0);
	if (fd < 0)
		return fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP ? -ESTALE : fd;
	atomic_fetch_add_explicit(&fs->reopens, 1, memory_order_relaxed);
	rc = path_stat(fd, &st);
	if (!rc && !is_same(to, &st))
		rc = -ESTALE;
	pthread_mutex_lock(&fs->lock);
	if (!rc && to->fd < 0) {
		fd_set_locked(fs, to, fd, &t);
		fd = -1;
	}
	pthread_mutex_unlock(&fs->lock);
	if (fd >= 0)
		close(fd);
	empty(&t);
	return rc;
}

int node_pin(struct fs *fs, struct node *n)
{
	struct node *from, *to;
	char name[NAME_MAX + 1];
	int rc;

	/* Others may close what we opened, so progress has no guarantee but a limit */
	for (unsigned i = 0; i < 65536; i++) {
		pthread_mutex_lock(&fs->lock);
		rc = find_step_locked(fs, n, &from, &to);
		if (!rc)
			memcpy(name, to->name, strlen(to->name) + 1);
		pthread_mutex_unlock(&fs->lock);
		if (rc)
			return rc > 0 ? n->fd : rc;
		rc = take_step(fs, from, to, name);
		node_unpin(fs, from);
		node_put(fs, from);
		node_put(fs, to);
		if (rc)
			return rc;
	}
	return -EMFILE;
}

void node_unpin(struct fs *fs, struct node *n)
{
	pthread_mutex_lock(&fs->lock);
	n->pins--;
	lru_update_locked(fs, n);
	pthread_mutex_unlock(&fs->lock);
}

/* ------------------------------------------------------ names that change */

struct node *node_names_begin(struct fs *fs, struct node *victim_dir, const char *victim)
{
	struct node *n;

	pthread_mutex_lock(&fs->lock);
	fs->renaming++;
	n = victim_dir ? by_name_locked(fs, victim_dir, victim) : NULL;
	if (n)
		n->refs++;
	pthread_mutex_unlock(&fs->lock);
	/* Its last name may go: a descriptor keeps it alive for the fids that have it */
	if (n && node_pin(fs, n) < 0) {
		node_put(fs, n);
		n = NULL;
	}
	return n;
}

void node_names_end(struct fs *fs, struct node *victim)
{
	pthread_mutex_lock(&fs->lock);
	fs->renaming--;
	fs->renames++;
	pthread_mutex_unlock(&fs->lock);
	if (victim) {
		node_unpin(fs, victim);
		node_put(fs, victim);
	}
}

void node_unlinked(struct fs *fs, struct node *dir, const char *name)
{
	struct trash t = { 0 };
	struct node *n;

	pthread_mutex_lock(&fs->lock);
	n = by_name_locked(fs, dir, name);
	if (n)
		unname_locked(fs, n, &t);
	pthread_mutex_unlock(&fs->lock);
	empty(&t);
}

void node_renamed(struct fs *fs, struct node *from, const char *old, struct node *to,
		  const char *name)
{
	struct trash t = { 0 };
	struct node *n, *victim;
	char *copy = strdup(name);

	pthread_mutex_lock(&fs->lock);
	n = by_name_locked(fs, from, old);
	victim = by_name_locked(fs, to, name);
	if (victim && victim != n)
		unname_locked(fs, victim, &t);
	if (n && (from != to || strcmp(old, name))) {
		n->refs++; /* while it hangs nowhere */
		unname_locked(fs, n, &t);
		if (copy && !above_locked(n, to)) {
			name_locked(fs, n, to, copy);
			copy = NULL;
		}
		unref_locked(fs, n, &t);
	}
	pthread_mutex_unlock(&fs->lock);
	empty(&t);
	free(copy);
}
