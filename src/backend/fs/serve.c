// SPDX-License-Identifier: BSD-2-Clause
/* backend/fs/serve.c - One 9P message in, one out
 *
 * The fields of a request are copied once and then looked at; only the data of Tread,
 * Treaddir and Twrite never passes through here. A reply is put together in req->rep and
 * copied to the guest in one go, behind data that a handler may have put there already. */
#include <errno.h>
#include <string.h>

#include "backend/fs/fs_int.h"
#include "base/wire.h"

/* ------------------------------------------------------------------ iovecs */

size_t rq_iov_len(const struct iovec *iov, unsigned n)
{
	size_t len = 0;

	for (unsigned i = 0; i < n; i++)
		len += iov[i].iov_len;
	return len;
}

static size_t copy(const struct iovec *iov, unsigned n, size_t off, u8 *buf, size_t len, bool to_iov)
{
	size_t done = 0;

	for (unsigned i = 0; i < n && done < len; i++) {
		size_t part;
		u8 *at;

		if (off >= iov[i].iov_len) {
			off -= iov[i].iov_len;
			continue;
		}
		at = (u8 *)iov[i].iov_base + off;
		part = MIN(iov[i].iov_len - off, len - done);
		if (to_iov)
			memcpy(at, buf + done, part);
		else
			memcpy(buf + done, at, part);
		done += part;
		off = 0;
	}
	return done;
}

size_t rq_iov_get(const struct iovec *iov, unsigned n, size_t off, void *buf, size_t len)
{
	return copy(iov, n, off, buf, len, false);
}

size_t rq_iov_put(const struct iovec *iov, unsigned n, size_t off, const void *buf, size_t len)
{
	return copy(iov, n, off, (u8 *)(uintptr_t)buf, len, true);
}

int rq_iov_cut(const struct iovec *iov, unsigned n, size_t off, size_t len, struct iovec *to)
{
	unsigned num = 0;

	for (unsigned i = 0; i < n && len && num < DATA_IOV; i++) {
		if (off >= iov[i].iov_len) {
			off -= iov[i].iov_len;
			continue;
		}
		to[num].iov_base = (u8 *)iov[i].iov_base + off;
		to[num].iov_len = MIN(iov[i].iov_len - off, len);
		len -= to[num++].iov_len;
		off = 0;
	}
	return (int)num;
}

/* ------------------------------------------------------------------ fields */

static const u8 *take(struct req *r, size_t len)
{
	static const u8 zeros[8];

	if (len > r->end - r->pos) {
		r->bad = true;
		r->pos = r->end;
		return zeros;
	}
	r->pos += len;
	return r->buf + r->pos - len;
}

u8 rq_u8(struct req *r) { return *take(r, 1); }
u16 rq_u16(struct req *r) { return load_le16(take(r, 2)); }
u32 rq_u32(struct req *r) { return load_le32(take(r, 4)); }
u64 rq_u64(struct req *r) { return load_le64(take(r, 8)); }

const char *rq_str(struct req *r, size_t *len)
{
	size_t n = rq_u16(r);
	char *at = (char *)r->buf + r->pos;

	*len = 0;
	if (r->bad || n > r->end - r->pos) {
		r->bad = true;
		return "";
	}
	r->pos += n;
	/* The length field makes room for the NUL */
	memmove(at - 2, at, n);
	at[-2 + (ptrdiff_t)n] = '\0';
	*len = n;
	return at - 2;
}

const char *rq_name(struct req *r, int *rc)
{
	size_t len;
	const char *s = rq_str(r, &len);

	*rc = r->bad ? -EPROTO : name_check(s, len);
	return *rc ? NULL : s;
}

static void put(struct req *r, const void *p, size_t len)
{
	if (len > REP_MAX - r->rep_len) {
		r->bad = true; /* no reply that we make is as long */
		return;
	}
	memcpy(r->rep + r->rep_len, p, len);
	r->rep_len += len;
}

void rq_put_u8(struct req *r, u8 v) { put(r, &v, 1); }
void rq_put_u16(struct req *r, u16 v) { le16 w = le16_of(v); put(r, &w, 2); }
void rq_put_u32(struct req *r, u32 v) { le32 w = le32_of(v); put(r, &w, 4); }
void rq_put_u64(struct req *r, u64 v) { le64 w = le64_of(v); put(r, &w, 8); }

void rq_put_str(struct req *r, const char *s, size_t len)
{
	rq_put_u16(r, (u16)len);
	put(r, s, len);
}

/* -------------------------------------------------------------------- qids */

#define INO_BITS 48
#define NUM_DEVS ARRAY_LEN(((struct fs *)0)->devs)

/* Inode numbers of the shared directory's own device are used as they are. Those of others
 * get the device's place in our list on top. What does not fit is hashed, with the top bit. */
u64 qid_path(struct fs *fs, u64 dev, u64 ino)
{
	unsigned i = 0;

	if (dev != fs->root_dev) {
		pthread_mutex_lock(&fs->lock);
		while (i < fs->num_devs && fs->devs[i] != dev)
			i++;
		if (i == fs->num_devs && i < NUM_DEVS)
			fs->devs[fs->num_devs++] = dev;
		pthread_mutex_unlock(&fs->lock);
		i++;
	}
	if (i <= NUM_DEVS && !(ino >> INO_BITS))
		return (u64)i << INO_BITS | ino;
	return hash_u64(hash_u64(fs->seed, dev), ino) | BIT64(63);
}

u8 qid_type(u32 mode)
{
	if (S_ISDIR(mode))
		return P9_QTDIR;
	return S_ISLNK(mode) ? P9_QTSYMLINK : P9_QTFILE;
}

void rq_put_qid(struct req *r, const struct statx *st)
{
	/* Changes when the content does. 0 would tell Linux not to cache. */
	u32 version = (u32)st->stx_mtime.tv_sec ^ st->stx_mtime.tv_nsec ^ (u32)st->stx_size << 8;

	rq_put_u8(r, qid_type(st->stx_mode));
	rq_put_u32(r, version ? version : 1);
	rq_put_u64(r, qid_path(r->fs, statx_dev(st), st->stx_ino));
}

u32 data_room(struct req *r, u32 want)
{
	size_t room = MIN(r->out_len, (size_t)atomic_load(&r->fs->msize));

	return room <= P9_READ_HEAD ? 0 : (u32)MIN((size_t)want, room - P9_READ_HEAD);
}

/* ---------------------------------------------------------------- dispatch */

static int serve_version(struct req *r)
{
	static const char known[] = "9P2000.L", unknown[] = "unknown";
	u32 msize = rq_u32(r);
	size_t len;
	const char *version = rq_str(r, &len);

	if (r->bad)
		return -EPROTO;
	if (msize < 4096)
		return -EINVAL; /* no room for names and attributes */
	fs_reset(r->fs);
	/* A suffix that we do not know may be left out: "9P2000.L.x" (version(5)) */
	if (len >= 8 && !memcmp(version, known, 8) && (len == 8 || version[8] == '.')) {
		msize = MIN(msize, FS_MAX_MSIZE);
		atomic_store(&r->fs->msize, msize);
		rq_put_u32(r, msize);
		rq_put_str(r, known, 8);
	} else {
		atomic_store(&r->fs->msize, 0);
		rq_put_u32(r, MIN(msize, FS_MAX_MSIZE));
		rq_put_str(r, unknown, 7);
	}
	return 0;
}

/* There is nothing to prove: who holds the device has the directory */
static int serve_auth(struct req *r)
{
	return -EOPNOTSUPP;
}

/* Whatever was to be flushed is not here: share knows what is in flight */
static int serve_flush(struct req *r)
{
	rq_u16(r);
	return 0;
}

static int (*const handlers[128])(struct req *r) = {
	[P9_TSTATFS] = serve_statfs,
	[P9_TLOPEN] = serve_lopen,
	[P9_TLCREATE] = serve_lcreate,
	[P9_TSYMLINK] = serve_symlink,
	[P9_TMKNOD] = serve_mknod,
	[P9_TRENAME] = serve_rename,
	[P9_TREADLINK] = serve_readlink,
	[P9_TGETATTR] = serve_getattr,
	[P9_TSETATTR] = serve_setattr,
	[P9_TXATTRWALK] = serve_xattrwalk,
	[P9_TXATTRCREATE] = serve_xattrcreate,
	[P9_TREADDIR] = serve_readdir,
	[P9_TFSYNC] = serve_fsync,
	[P9_TLOCK] = serve_lock,
	[P9_TGETLOCK] = serve_getlock,
	[P9_TLINK] = serve_link,
	[P9_TMKDIR] = serve_mkdir,
	[P9_TRENAMEAT] = serve_renameat,
	[P9_TUNLINKAT] = serve_unlinkat,
	[P9_TVERSION] = serve_version,
	[P9_TAUTH] = serve_auth,
	[P9_TATTACH] = serve_attach,
	[P9_TFLUSH] = serve_flush,
	[P9_TWALK] = serve_walk,
	[P9_TREAD] = serve_read,
	[P9_TWRITE] = serve_write,
	[P9_TCLUNK] = serve_clunk,
	[P9_TREMOVE] = serve_remove,
};

static int serve(struct req *r)
{
	int (*fn)(struct req *r);
	u32 size;
	int rc;

	r->end = rq_iov_get(r->in, r->nin, 0, r->buf, MIN(r->in_len, (size_t)REQ_MAX));
	size = rq_u32(r);
	r->type = rq_u8(r);
	r->tag = rq_u16(r);
	if (r->bad)
		return -EPROTO;
	fn = r->type < ARRAY_LEN(handlers) ? handlers[r->type] : NULL;
	/* Some old Linux sends Twrite with a size field that is wrong; its count is right */
	if (r->type != P9_TWRITE) {
		if (size < P9_HEAD || size > r->in_len)
			return -EPROTO;
		if (size > REQ_MAX)
			return -EMSGSIZE;
		r->end = size;
	}
	if (!fn)
		return -EOPNOTSUPP;
	if (!atomic_load(&r->fs->msize) && r->type != P9_TVERSION)
		return -EPROTO;
	rc = fn(r);
	/* Handlers look at ->bad before they act; this one is for those without effect */
	return rc ? rc : r->bad ? -EPROTO : 0;
}

size_t fs_request(struct fs *fs, const struct iovec *in, unsigned nin, const struct iovec *out,
		  unsigned nout, bool now)
{
	struct req r;
	u8 type;
	size_t total;
	int rc;

	memset(&r, 0, offsetof(struct req, buf));
	r.fs = fs;
	r.in = in;
	r.nin = nin;
	r.in_len = rq_iov_len(in, nin);
	r.out = out;
	r.nout = nout;
	r.out_len = rq_iov_len(out, nout);
	r.rep_len = P9_HEAD;
	r.now = now;
	atomic_fetch_add_explicit(&fs->requests, 1, memory_order_relaxed);
	if (r.out_len < P9_ERROR_LEN)
		return 0;
	rc = serve(&r);
	if (r.again)
		return FS_AGAIN;
	if (!rc && r.rep_len + r.extra > r.out_len)
		rc = -EMSGSIZE;
	type = r.type + 1;
	if (rc) {
		atomic_fetch_add_explicit(&fs->errors, 1, memory_order_relaxed);
		type = P9_RLERROR;
		r.rep_len = P9_HEAD;
		r.extra = 0;
		rq_put_u32(&r, (u32)-rc);
	}
	total = r.rep_len + r.extra;
	store_le32(r.rep, (u32)total);
	r.rep[4] = type;
	store_le16(r.rep + 5, r.tag);
	rq_iov_put(out, nout, 0, r.rep, r.rep_len);
	return total;
}
