// SPDX-License-Identifier: BSD-2-Clause
/* backend/block/mem.c - A disk in memory, for tests and scratch data
 *
 * Chunks are allocated when they are first written, so that an image with absurd
 * offsets costs what was written to it. Grows like a file. One lock: memory is fast
 * enough for what it is used for. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "backend/block/img.h"
#include "base/err.h"

#define MEM_CHUNK (64ull << 10)
#define MEM_MAX_BYTES (1ull << 40)

struct mem_img {
	struct img img;
	pthread_mutex_t lock;
	u8 **chunk; /* under the lock; NULL = zeros */
	u64 num_chunks;
};

static struct mem_img *mem_of(struct img *i)
{
	return container_of(i, struct mem_img, img);
}

static int grow_locked(struct mem_img *m, u64 end)
{
	u64 need = (end + MEM_CHUNK - 1) / MEM_CHUNK, room;
	u8 **chunk;

	if (need <= m->num_chunks)
		return 0;
	room = MAX(need, m->num_chunks * 2);
	chunk = realloc(m->chunk, room * sizeof(*chunk));
	if (!chunk)
		return -ENOSPC;
	memset(chunk + m->num_chunks, 0, (room - m->num_chunks) * sizeof(*chunk));
	m->chunk = chunk;
	m->num_chunks = room;
	return 0;
}

/* What to do with [off, off + n) of one chunk; @p is a piece of an iovec or NULL for zeros */
static int touch_locked(struct mem_img *m, u64 off, u8 *p, u64 n, bool write)
{
	u64 c = off / MEM_CHUNK, at = off % MEM_CHUNK;

	if (!write) {
		if (c < m->num_chunks && m->chunk[c])
			memcpy(p, m->chunk[c] + at, n);
		else
			memset(p, 0, n);
		return 0;
	}
	if (!p) {
		if (c >= m->num_chunks || !m->chunk[c])
			return 0;
		if (n == MEM_CHUNK) {
			free(m->chunk[c]);
			m->chunk[c] = NULL;
		} else {
			memset(m->chunk[c] + at, 0, n);
		}
		return 0;
	}
	if (grow_locked(m, off + n))
		return -ENOSPC;
	if (!m->chunk[c] && !(m->chunk[c] = calloc(1, MEM_CHUNK)))
		return -ENOSPC;
	memcpy(m->chunk[c] + at, p, n);
	return 0;
}

static int transfer(struct mem_img *m, const struct iovec *iov, unsigned num, u64 off, u64 len,
		    bool write)
{
	int rc = 0;

	if (off + len > MEM_MAX_BYTES || off + len < off)
		return write ? -ENOSPC : -EINVAL;
	pthread_mutex_lock(&m->lock);
	for (unsigned v = 0; v < num && len && !rc; v++) {
		u8 *p = iov[v].iov_base;
		u64 left = MIN((u64)iov[v].iov_len, len);

		len -= left;
		while (left && !rc) {
			u64 n = MIN(left, MEM_CHUNK - off % MEM_CHUNK);

			rc = touch_locked(m, off, p, n, write);
			p += n;
			off += n;
			left -= n;
		}
	}
	if (write && !rc && off > m->img.size_bytes)
		m->img.size_bytes = off;
	pthread_mutex_unlock(&m->lock);
	return rc;
}

static int mem_preadv(struct img *i, const struct iovec *iov, unsigned n, u64 off, u64 len)
{
	return transfer(mem_of(i), iov, n, off, len, false);
}

static int mem_pwritev(struct img *i, const struct iovec *iov, unsigned n, u64 off, u64 len)
{
	return transfer(mem_of(i), iov, n, off, len, true);
}

static int mem_flush(struct img *i)
{
	return 0;
}

static int mem_discard(struct img *i, u64 off, u64 len)
{
	struct mem_img *m = mem_of(i);
	int rc = 0;

	if (off + len > MEM_MAX_BYTES || off + len < off)
		return -EINVAL;
	pthread_mutex_lock(&m->lock);
	/* Beyond the last chunk all is zeros: a huge range is no reason to count long */
	while (len && off / MEM_CHUNK < m->num_chunks) {
		u64 n = MIN(len, MEM_CHUNK - off % MEM_CHUNK);

		rc = touch_locked(m, off, NULL, n, true);
		off += n;
		len -= n;
	}
	pthread_mutex_unlock(&m->lock);
	return rc;
}

static int mem_write_zeroes(struct img *i, u64 off, u64 len, bool unmap)
{
	return mem_discard(i, off, len);
}

static int mem_resize(struct img *i, u64 bytes, struct hk_err *err)
{
	if (bytes > MEM_MAX_BYTES)
		return err_set(err, -EFBIG, "a memory disk of %llu bytes",
			       (unsigned long long)bytes);
	if (bytes < i->size_bytes) {
		int rc = mem_discard(i, bytes, i->size_bytes - bytes);

		if (rc)
			return rc;
	}
	i->size_bytes = bytes;
	return 0;
}

static int mem_extent(struct img *i, u64 off, u64 len, enum img_extent *what, u64 *run)
{
	struct mem_img *m = mem_of(i);
	u64 c = off / MEM_CHUNK;

	pthread_mutex_lock(&m->lock);
	*what = c < m->num_chunks && m->chunk[c] ? IMG_EXTENT_DATA : IMG_EXTENT_ZERO;
	pthread_mutex_unlock(&m->lock);
	*run = MIN(len, MEM_CHUNK - off % MEM_CHUNK);
	return 0;
}

static void mem_info(struct img *i, struct img_info *info)
{
	info->format = "mem";
}

static void mem_close(struct img *i)
{
	struct mem_img *m = mem_of(i);

	for (u64 c = 0; c < m->num_chunks; c++)
		free(m->chunk[c]);
	free(m->chunk);
	pthread_mutex_destroy(&m->lock);
}

static const struct img_ops mem_ops = {
	.name = "mem",
	.preadv = mem_preadv,
	.pwritev = mem_pwritev,
	.flush = mem_flush,
	.discard = mem_discard,
	.write_zeroes = mem_write_zeroes,
	.resize = mem_resize,
	.extent = mem_extent,
	.info = mem_info,
	.close = mem_close,
};

int mem_img_open(struct img **out, u64 size_bytes, struct hk_err *err)
{
	struct mem_img *m = calloc(1, sizeof(*m));

	*out = NULL;
	if (!m)
		return err_set(err, -ENOMEM, "out of memory");
	pthread_mutex_init(&m->lock, NULL);
	m->img.ops = &mem_ops;
	m->img.size_bytes = size_bytes;
	m->img.logical = 512;
	m->img.physical = 4096;
	m->img.grows = true;
	m->img.mem_align = 1;
	m->img.caps = BLK_CAP_DISCARD | BLK_CAP_DISCARD_ZEROES | BLK_CAP_WRITE_ZEROES;
	m->img.max_discard = 1 << 30;
	m->img.discard_align = 4096;
	*out = &m->img;
	return 0;
}
