// SPDX-License-Identifier: BSD-2-Clause
/* backend/fs/lock.c - Tlock, Tgetlock
 *
 * Owners are (client, process) and may lock through any fid of a file, so what they hold is
 * kept here, per inode. Towards the host the whole guest is one owner: one descriptor per
 * locked inode carries an open file description lock for the union of what the guest's
 * owners hold; so host programs and other VMs are kept out, and a process that dies
 * unlocks. A lock that cannot be had is answered BLOCKED at once; Linux asks again.
 *
 * Locks end with unlock, with the fid they were taken by, and with the session. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/fs/fs_int.h"

#define MAX_RANGES 65536u
#define CLIENT_MAX 255u

struct range {
	struct list link;
	u64 first, last; /* inclusive; last is INT64_MAX for "to the end" */
	bool write;
	u32 pid;
	const struct fid *via;
	char client[]; /* NUL-terminated */
};

/* One inode with locks. All of it under fs->flock_lock */
struct locked {
	struct hent link;
	struct node *node; /* counted */
	int fd;
	bool can_write;    /* fd may carry a write lock */
	struct list ranges;
};

struct ask {
	u8 type;
	u64 first, last;
	u32 pid;
	const char *client;
};

static bool is_owner(const struct range *g, const struct ask *a)
{
	return g->pid == a->pid && !strcmp(g->client, a->client);
}

static bool meets(const struct range *g, u64 first, u64 last)
{
	return g->first <= last && first <= g->last;
}

static struct locked *locked_find(struct fs *fs, const struct node *n)
{
	struct hent *e;

	for (e = htab_find(&fs->flocks, hash_u64(fs->seed, (uintptr_t)n)); e; e = htab_next(e))
		if (container_of(e, struct locked, link)->node == n)
			return container_of(e, struct locked, link);
	return NULL;
}

static void locked_drop_if_empty(struct fs *fs, struct locked *l)
{
	if (!list_empty(&l->ranges))
		return;
	htab_del(&fs->flocks, &l->link);
	close(l->fd);
	open_slot_give(fs);
	node_put(fs, l->node);
	free(l);
}

static int locked_make(struct fs *fs, struct node *n, struct locked **out)
{
	struct locked *l = calloc(1, sizeof(*l));
	int at, rc = -ENOMEM;

	if (!l)
		return rc;
	rc = open_slot_take(fs);
	if (rc)
		goto fail;
	rc = at = node_pin(fs, n);
	if (at >= 0) {
		l->can_write = !fs->cfg.ro;
		rc = l->fd = l->can_write ? path_reopen(fs, at, O_RDWR) : -EROFS;
		if (rc < 0) {
			l->can_write = false;
			rc = l->fd = path_reopen(fs, at, O_RDONLY);
		}
		node_unpin(fs, n);
	}
	if (rc < 0) {
		open_slot_give(fs);
		goto fail;
	}
	list_init(&l->ranges);
	l->node = node_get(fs, n);
	htab_add(&fs->flocks, &l->link, hash_u64(fs->seed, (uintptr_t)n));
	*out = l;
	return 0;
fail:
	free(l);
	return rc;
}

static int host_lock(const struct locked *l, short type, u64 first, u64 last)
{
	struct flock k = {
		.l_type = type == F_WRLCK && !l->can_write ? F_RDLCK : type,
		.l_whence = SEEK_SET,
		.l_start = (off_t)first,
		.l_len = last == INT64_MAX ? 0 : (off_t)(last - first + 1),
	};

	return fcntl(l->fd, F_OFD_SETLK, &k) ? -errno : 0;
}

/* Unlock on the host what of [first, last] no owner holds any more */
static void host_unlock(const struct locked *l, u64 first, u64 last)
{
	u64 at = first;

	for (;;) {
		u64 stop = last, skip = 0;
		bool held = false;
		struct list *p;

		list_for_each(p, &l->ranges) {
			const struct range *g = container_of(p, struct range, link);

			if (g->first <= at && at <= g->last) {
				held = true;
				skip = MAX(skip, g->last);
			} else if (g->first > at && g->first <= stop) {
				stop = g->first - 1;
			}
		}
		if (held)
			stop = MIN(skip, last);
		else
			(void)host_lock(l, F_UNLCK, at, stop);
		if (stop >= last)
			return;
		at = stop + 1;
	}
}

static struct range *range_new(struct fs *fs, const struct ask *a, const struct fid *via)
{
	struct range *g;

	if (fs->num_ranges >= MAX_RANGES)
		return NULL;
	g = calloc(1, sizeof(*g) + strlen(a->client) + 1);
	if (!g)
		return NULL;
	fs->num_ranges++;
	g->first = a->first;
	g->last = a->last;
	g->write = a->type == P9_LOCK_WR;
	g->pid = a->pid;
	g->via = via;
	memcpy(g->client, a->client, strlen(a->client) + 1);
	return g;
}

static void range_free(struct fs *fs, struct range *g)
{
	list_del(&g->link);
	fs->num_ranges--;
	free(g);
}

/* Take [first, last] out of what the owner holds. @spare: for a range that falls in two; NULL
 * when it was used. */
static void cut(struct fs *fs, struct locked *l, const struct ask *a, struct range **spare)
{
	struct list *p, *next;

	list_for_each_safe(p, next, &l->ranges) {
		struct range *g = container_of(p, struct range, link);

		if (!is_owner(g, a) || !meets(g, a->first, a->last))
			continue;
		if (g->first < a->first && g->last > a->last) {
			struct range *tail = *spare;

			*spare = NULL;
			tail->first = a->last + 1;
			tail->last = g->last;
			tail->write = g->write;
			tail->via = g->via;
			list_add_tail(&l->ranges, &tail->link);
			g->last = a->first - 1;
			return; /* an owner's ranges do not overlap */
		}
		if (g->first < a->first)
			g->last = a->first - 1;
		else if (g->last > a->last)
			g->first = a->last + 1;
		else
			range_free(fs, g);
	}
}

static const struct range *conflict(const struct locked *l, const struct ask *a)
{
	struct list *p;

	list_for_each(p, &l->ranges) {
		const struct range *g = container_of(p, struct range, link);

		if (!is_owner(g, a) && meets(g, a->first, a->last) &&
		    (g->write || a->type == P9_LOCK_WR))
			return g;
	}
	return NULL;
}

/* Under flock_lock. P9_LOCK_* or -errno */
static int set(struct fs *fs, struct fid *f, const struct ask *a)
{
	struct locked *l = locked_find(fs, f->node);
	struct range *g, *spare;
	int rc;

	if (!l && a->type == P9_LOCK_UN)
		return P9_LOCK_SUCCESS;
	if (!l) {
		rc = locked_make(fs, f->node, &l);
		if (rc)
			return rc;
	}
	rc = P9_LOCK_BLOCKED;
	g = range_new(fs, a, f);
	if (g)
		list_init(&g->link);
	spare = range_new(fs, a, f);
	if (spare)
		list_init(&spare->link);
	if (!g || !spare) {
		rc = -ENOLCK;
		goto out;
	}
	if (a->type == P9_LOCK_UN) {
		cut(fs, l, a, &spare);
		host_unlock(l, a->first, a->last);
		rc = P9_LOCK_SUCCESS;
		goto out;
	}
	if (conflict(l, a))
		goto out;
	rc = host_lock(l, a->type == P9_LOCK_WR ? F_WRLCK : F_RDLCK, a->first, a->last);
	if (rc == -EAGAIN || rc == -EACCES)
		rc = P9_LOCK_BLOCKED;
	if (rc)
		goto out;
	cut(fs, l, a, &spare);
	list_add_tail(&l->ranges, &g->link);
	g = NULL;
	f->has_locks = true;
	rc = P9_LOCK_SUCCESS;
out:
	if (g)
		range_free(fs, g);
	if (spare)
		range_free(fs, spare);
	locked_drop_if_empty(fs, l);
	return rc;
}

/* Fields of both requests. Return: 0 or -errno */
static int get_ask(struct req *r, struct ask *a, u64 start, u64 len, u32 pid)
{
	size_t n;

	a->client = rq_str(r, &n);
	if (r->bad)
		return -EPROTO;
	if (n > CLIENT_MAX || n != strlen(a->client) || a->type > P9_LOCK_UN || start > INT64_MAX)
		return -EINVAL;
	a->first = start;
	a->pid = pid;
	a->last = !len || len > INT64_MAX - start ? INT64_MAX : start + len - 1;
	return 0;
}

int serve_lock(struct req *r)
{
	struct fs *fs = r->fs;
	u32 id = rq_u32(r), pid;
	struct ask a = { .type = rq_u8(r) };
	struct fid *f;
	u64 start, len;
	int rc;

	rq_u32(r); /* flags: whether the client would wait; it asks again by itself */
	start = rq_u64(r);
	len = rq_u64(r);
	pid = rq_u32(r);
	rc = get_ask(r, &a, start, len, pid);
	if (!rc)
		rc = fid_get(fs, id, &f);
	if (rc)
		return rc;
	if (f->kind != FID_FILE) {
		rc = -EBADF;
	} else {
		pthread_mutex_lock(&fs->flock_lock);
		rc = set(fs, f, &a);
		pthread_mutex_unlock(&fs->flock_lock);
	}
	fid_put(fs, f);
	if (rc < 0)
		return rc;
	rq_put_u8(r, (u8)rc);
	return 0;
}

int serve_getlock(struct req *r)
{
	struct fs *fs = r->fs;
	u32 id = rq_u32(r), pid;
	struct ask a = { .type = rq_u8(r) };
	struct flock k = { .l_whence = SEEK_SET };
	const struct range *g;
	struct locked *l;
	struct fid *f;
	u64 start, len;
	int rc;

	start = rq_u64(r);
	len = rq_u64(r);
	pid = rq_u32(r);
	rc = get_ask(r, &a, start, len, pid);
	if (!rc)
		rc = fid_get(fs, id, &f);
	if (rc)
		return rc;
	if (f->kind != FID_FILE) {
		fid_put(fs, f);
		return -EBADF;
	}
	pthread_mutex_lock(&fs->flock_lock);
	l = locked_find(fs, f->node);
	g = l ? conflict(l, &a) : NULL;
	if (g) {
		rq_put_u8(r, g->write ? P9_LOCK_WR : P9_LOCK_RD);
		rq_put_u64(r, g->first);
		rq_put_u64(r, g->last == INT64_MAX ? 0 : g->last - g->first + 1);
		rq_put_u32(r, g->pid);
		rq_put_str(r, g->client, strlen(g->client));
	} else {
		/* Who holds it on the host? Our own descriptor does not see its own locks. */
		k.l_type = a.type == P9_LOCK_WR ? F_WRLCK : F_RDLCK;
		k.l_start = (off_t)a.first;
		k.l_len = a.last == INT64_MAX ? 0 : (off_t)(a.last - a.first + 1);
		if (a.type == P9_LOCK_UN || fcntl(l ? l->fd : f->fd, F_OFD_GETLK, &k))
			k.l_type = F_UNLCK;
		if (k.l_type == F_UNLCK) {
			rq_put_u8(r, P9_LOCK_UN);
			rq_put_u64(r, start);
			rq_put_u64(r, len);
			rq_put_u32(r, pid);
			rq_put_str(r, a.client, strlen(a.client));
		} else {
			rq_put_u8(r, k.l_type == F_WRLCK ? P9_LOCK_WR : P9_LOCK_RD);
			rq_put_u64(r, (u64)k.l_start);
			rq_put_u64(r, (u64)k.l_len);
			rq_put_u32(r, 0); /* no process of the guest */
			rq_put_str(r, "host", 4);
		}
	}
	pthread_mutex_unlock(&fs->flock_lock);
	fid_put(fs, f);
	return 0;
}

static void drop_ranges(struct fs *fs, struct locked *l, const struct fid *via)
{
	struct list *p, *next;

	list_for_each_safe(p, next, &l->ranges) {
		struct range *g = container_of(p, struct range, link);
		u64 first = g->first, last = g->last;

		if (via && g->via != via)
			continue;
		range_free(fs, g);
		host_unlock(l, first, last);
	}
	locked_drop_if_empty(fs, l);
}

void locks_of_fid_drop(struct fs *fs, struct fid *f)
{
	struct locked *l;

	/* The last reference is ours, so nobody sets it now */
	if (!f->has_locks)
		return;
	pthread_mutex_lock(&fs->flock_lock);
	l = locked_find(fs, f->node);
	if (l)
		drop_ranges(fs, l, f);
	pthread_mutex_unlock(&fs->flock_lock);
}

void locks_forget(struct fs *fs)
{
	pthread_mutex_lock(&fs->flock_lock);
	for (size_t i = 0; i < fs->flocks.num_slots; i++)
		while (fs->flocks.slot[i])
			drop_ranges(fs, container_of(fs->flocks.slot[i], struct locked, link), NULL);
	pthread_mutex_unlock(&fs->flock_lock);
}
