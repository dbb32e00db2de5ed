// SPDX-License-Identifier: BSD-2-Clause
/* backend/fs/dir.c - Treaddir
 *
 * Offsets are the host's d_off, which only seeking to them gives a meaning. Entries need
 * no look at their inodes: number and kind come with the name. */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "backend/fs/fs_int.h"
#include "base/wire.h"

#define ENTRY_FIXED 24u	/* qid, offset, kind, length of the name */
#define BATCH 8192u
/* A dirent64 takes at least 24 bytes for a name of up to 4, the guest's entry at most 28 */
#define GROWTH_NUM 28u
#define GROWTH_DEN 24u
#define DIRENT_MAX 280u /* with a name of 255 */

/* One entry to @to; its length */
static size_t entry(struct fs *fs, struct node *dir, const struct dirent64 *d, u8 *to)
{
	size_t len = strlen(d->d_name);
	u64 ino = d->d_ino;
	u8 kind = d->d_type, qid = kind == DT_DIR ? P9_QTDIR : kind == DT_LNK ? P9_QTSYMLINK : 0;

	/* What is above the share is nobody's business */
	if (dir == fs->root && !strcmp(d->d_name, ".."))
		ino = dir->ino;
	/* May be anything: the note knows */
	if (fs->cfg.map == FS_MAP_XATTR && kind == DT_REG)
		kind = DT_UNKNOWN;
	to[0] = qid;
	store_le32(to + 1, 0);
	store_le64(to + 5, qid_path(fs, dir->dev, ino));
	store_le64(to + 13, (u64)d->d_off);
	to[21] = kind;
	store_le16(to + 22, (u16)len);
	memcpy(to + ENTRY_FIXED, d->d_name, len);
	return ENTRY_FIXED + len;
}

/* Fill @room bytes behind the reply's head, from where ->fd stands. Under f->busy */
static int fill(struct req *r, struct fid *f, size_t room)
{
	_Alignas(struct dirent64) char host[BATCH];
	u8 guest[BATCH / GROWTH_DEN * GROWTH_NUM + GROWTH_NUM];
	size_t used = 0;

	for (;;) {
		size_t want = MIN(sizeof(host), (room - used) / GROWTH_NUM * GROWTH_DEN);
		size_t at = 0, len = 0;
		ssize_t n;

		/* The last entries of a page: a few more may fit, the next request gets them */
		if (used && want < DIRENT_MAX)
			break;
		n = getdents64(f->fd, host, MAX(want, (size_t)DIRENT_MAX));
		if (n < 0 && !used)
			return -errno;
		if (n <= 0)
			break;
		while (at < (size_t)n) {
			const struct dirent64 *d = (const struct dirent64 *)(host + at);

			if (used + len + ENTRY_FIXED + strlen(d->d_name) > room) {
				/* Only when the guest's room is tiny */
				if (lseek(f->fd, (off_t)f->dir_pos, SEEK_SET) < 0)
					return -errno;
				rq_iov_put(r->out, r->nout, P9_READ_HEAD + used, guest, len);
				r->extra = used + len;
				return used + len ? 0 : -EINVAL;
			}
			len += entry(r->fs, f->node, d, guest + len);
			f->dir_pos = (u64)d->d_off;
			at += d->d_reclen;
		}
		rq_iov_put(r->out, r->nout, P9_READ_HEAD + used, guest, len);
		used += len;
	}
	r->extra = used;
	return 0;
}

int serve_readdir(struct req *r)
{
	u32 id = rq_u32(r);
	u64 off = rq_u64(r);
	u32 room = data_room(r, rq_u32(r));
	struct fid *f;
	int rc;

	if (r->bad)
		return -EPROTO;
	rc = fid_get(r->fs, id, &f);
	if (rc)
		return rc;
	if (f->kind != FID_DIR) {
		rc = f->kind == FID_FILE ? -ENOTDIR : -EBADF;
		fid_put(r->fs, f);
		return rc;
	}
	pthread_mutex_lock(&f->busy);
	/* Zero also when we stand there: it asks for the directory as it is now */
	if ((off != f->dir_pos || !off) && lseek(f->fd, (off_t)off, SEEK_SET) < 0) {
		rc = -errno;
	} else {
		f->dir_pos = off;
		rc = fill(r, f, room);
	}
	pthread_mutex_unlock(&f->busy);
	if (!rc)
		rq_put_u32(r, (u32)r->extra);
	fid_put(r->fs, f);
	return rc;
}
