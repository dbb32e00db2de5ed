// SPDX-License-Identifier: BSD-2-Clause
/* backend/fs/fs.h - Sharing a directory of the host: 9P2000.L (door of the room)
 *
 * Two layers. `struct fs` is the server: one request message in, one reply out, on any
 * thread, many at once; it knows neither queues nor guests. `struct share` is what a
 * device talks to: it runs requests of a built-in server on worker threads, or hands
 * them to an external server at a socket, and gives Tflush its meaning.
 *
 * Everything in a request is hostile. The server reaches the host's files only below
 * the shared directory: see path.c (names), node.c (identity), ident.c (owners).
 *
 * Test without a VM: test/unit/backend/fs; fuzz/p9_fuzz.c. */
#ifndef BACKEND_FS_FS_H
#define BACKEND_FS_FS_H

#include <sys/uio.h>

#include "base/list.h"
#include "base/loop.h"
#include "base/pool.h"
#include "base/types.h"
#include "hyperkit/hyperkit.h"

struct log;
struct strbuf;

/* Whose files does the guest see (docs/devices/9p.md) */
enum fs_map {
	FS_MAP_SQUASH, /* all belong to one user in the guest, to our process on the host */
	FS_MAP_NONE,   /* numbers go through as they are */
	FS_MAP_XATTR,  /* owner, mode and kind live in an extended attribute */
	FS_NUM_MAPS
};

struct fs_config {
	const char *dir;
	bool ro;
	enum fs_map map;
	u32 uid, gid;	    /* squash: what the guest sees; xattr: owner of files without a note */
	u32 max_fids;	    /* 0 = FS_MAX_FIDS */
	u32 max_files;	    /* host descriptors; 0 = from RLIMIT_NOFILE */
	bool no_openat2;    /* as if the kernel had none; for tests */
};

#define FS_MAX_FIDS 524288u
#define FS_MIN_FILES 64u
#define FS_MAX_MSIZE (1u << 20) /* largest message */

struct fs;

/* [setup] Strings are copied. -ENOTDIR, -ENOENT, ...: words in @err */
int fs_open(struct fs **out, const struct fs_config *cfg, struct hk_err *err) MUST_CHECK;
void fs_close(struct fs *fs); /* [setup] nothing in flight; NULL ok */

/**
 * fs_request() - Answer one 9P message
 * @in:   the message; more bytes than its size field says may follow
 * @out:  room for the reply. File data goes straight between file and these places.
 * @now:  Tread answers FS_AGAIN instead of waiting for a disk; ask again without @now
 *
 * [any, several at once] May block as long as the host's files do, never on a peer.
 * The memory behind @in and @out may change at any time.
 *
 * Return: bytes of the reply; 0 when there is no room even for an error
 */
size_t fs_request(struct fs *fs, const struct iovec *in, unsigned nin, const struct iovec *out,
		  unsigned nout, bool now);
#define FS_AGAIN SIZE_MAX

/* [any] Forget all fids and locks, as a new session does */
void fs_reset(struct fs *fs);
/* [any] Is the file system a local one, where metadata costs microseconds? */
bool fs_is_local(const struct fs *fs);
void fs_dump(struct fs *fs, struct strbuf *out); /* [any] */

/* ------------------------------------------------------------------ share */

/* One request of the guest; the caller's storage, which lives until it is done */
struct share_req {
	const struct iovec *in, *out;
	unsigned nin, nout;
	/* [any] Exactly once if submit() returned false, perhaps before it returned. @written bytes
	 * of @out, from the beginning; 0: cancelled by Tflush or by reset() */
	void (*done)(struct share_req *r, size_t written);

	/* the share's own */
	struct share *share;
	struct list link;
	struct pool_job job;
	struct share_req *flusher; /* Tflush requests that wait for this one, by ->flusher */
	u16 tag, old_tag;
	u8 type, state;
	u8 head[23]; /* external: copied once, sizes put right */
	u8 head_len;
	size_t sent, size;
};

struct share;
struct share_ops {
	/* [loop] @return true: answered at once, *@written bytes; done() is not called */
	bool (*submit)(struct share *s, struct share_req *r, size_t *written);
	/* [loop] Afterwards nothing is in flight (done() ran for all, or has been called) and
	 * the session is forgotten */
	void (*reset)(struct share *s);
	void (*dump)(struct share *s, struct strbuf *out); /* [any] */
	void (*close)(struct share *s); /* [setup] after reset */
};
struct share {
	const struct share_ops *ops;
};

/* [setup] A built-in server and its worker threads */
int share_open_dir(struct share **out, const struct fs_config *cfg, struct loop *loop,
		   struct log *log, struct hk_err *err) MUST_CHECK;
/* [setup] A server at the UNIX socket @path, or at TCP @port of 127.0.0.1 when @path is NULL.
 * Connected when the guest begins a session. */
int share_open_peer(struct share **out, const char *path, unsigned port, struct loop *loop,
		    struct log *log, struct hk_err *err) MUST_CHECK;
static inline void share_close(struct share *s)
{
	if (s)
		s->ops->close(s);
}

#endif
