// SPDX-License-Identifier: BSD-2-Clause
/* backend/fs/fid.c - The numbers by which a guest names files
 *
 * A fid's object is constant once it is in the table, so a request uses what it found
 * without a lock; Tlopen and the like put a new object in the old one's place. Requests in
 * flight keep objects alive by counting, also past a clunk. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "backend/fs/fs_int.h"

static u64 fid_hash(const struct fs *fs, u32 id)
{
	return hash_u64(fs->seed, id);
}

static struct fid *find_locked(struct fs *fs, u32 id)
{
	struct hent *e;

	for (e = htab_find(&fs->fids, fid_hash(fs, id)); e; e = htab_next(e)) {
		struct fid *f = container_of(e, struct fid, link);

		if (f->id == id)
			return f;
	}
	return NULL;
}

static void fid_free(struct fs *fs, struct fid *f)
{
	locks_of_fid_drop(fs, f);
	if (f->fd >= 0) {
		close(f->fd);
		open_slot_give(fs);
	}
	xattr_free(fs, f);
	node_put(fs, f->node);
	pthread_mutex_destroy(&f->busy);
	free(f);
}

int fid_new(struct fid **out, u32 id, enum fid_kind kind, struct node *counted, u32 uid)
{
	struct fid *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	pthread_mutex_init(&f->busy, NULL);
	f->id = id;
	f->kind = kind;
	f->node = counted;
	f->uid = uid;
	f->fd = -1;
	f->refs = 1;
	*out = f;
	return 0;
}

int fid_get(struct fs *fs, u32 id, struct fid **out)
{
	struct fid *f;

	pthread_mutex_lock(&fs->lock);
	f = find_locked(fs, id);
	if (f)
		f->refs++;
	pthread_mutex_unlock(&fs->lock);
	*out = f;
	return f ? 0 : -EBADF;
}

void fid_put(struct fs *fs, struct fid *f)
{
	bool last;

	if (!f)
		return;
	pthread_mutex_lock(&fs->lock);
	last = !--f->refs;
	pthread_mutex_unlock(&fs->lock);
	if (last)
		fid_free(fs, f);
}

int fid_add(struct fs *fs, struct fid *f)
{
	int rc = 0;

	pthread_mutex_lock(&fs->lock);
	if (f->id == P9_NOFID || find_locked(fs, f->id)) {
		rc = -EBADF;
	} else if (fs->num_fids >= fs->cfg.max_fids) {
		rc = -ENFILE;
	} else {
		fs->num_fids++;
		htab_add(&fs->fids, &f->link, fid_hash(fs, f->id));
	}
	pthread_mutex_unlock(&fs->lock);
	if (rc)
		fid_put(fs, f);
	return rc;
}

int fid_replace(struct fs *fs, struct fid *old, struct fid *f)
{
	int rc = 0;

	pthread_mutex_lock(&fs->lock);
	if (old->dead) {
		rc = -EBADF;
	} else {
		htab_del(&fs->fids, &old->link);
		old->dead = true;
		htab_add(&fs->fids, &f->link, fid_hash(fs, f->id));
	}
	pthread_mutex_unlock(&fs->lock);
	fid_put(fs, rc ? f : old);
	return rc;
}

static void remove_locked(struct fs *fs, struct fid *f)
{
	htab_del(&fs->fids, &f->link);
	f->dead = true;
	fs->num_fids--;
}

int fid_remove(struct fs *fs, struct fid *f)
{
	int rc = 0;

	pthread_mutex_lock(&fs->lock);
	if (f->dead)
		rc = -EBADF;
	else
		remove_locked(fs, f);
	pthread_mutex_unlock(&fs->lock);
	if (!rc)
		fid_put(fs, f);
	return rc;
}

void fids_forget(struct fs *fs)
{
	struct fid *f;
	size_t i = 0;

	pthread_mutex_lock(&fs->lock);
	while (fs->fids.n && i < fs->fids.num_slots) {
		struct hent *e = fs->fids.slot[i];

		if (!e) {
			i++;
			continue;
		}
		f = container_of(e, struct fid, link);
		remove_locked(fs, f);
		pthread_mutex_unlock(&fs->lock);
		fid_put(fs, f);
		pthread_mutex_lock(&fs->lock);
		/* The table may have grown meanwhile; a fid that came behind us is of the new session */
	}
	pthread_mutex_unlock(&fs->lock);
}
