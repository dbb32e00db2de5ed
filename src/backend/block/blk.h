// SPDX-License-Identifier: BSD-2-Clause
/* backend/block/blk.h - A disk as its front end sees it: requests in, completions out (door)
 *
 * AHCI and virtio-blk open a disk from HyperKit's option string, put requests in on
 * the loop and get each one back on the loop. Below: queue.c makes them
 * asynchronous, img.h is the synchronous side (formats). What a request's iovecs
 * point at may be guest RAM that changes at any time; this room copies it or hands
 * it to the kernel, it never looks at it twice.
 *
 * In a device:
 *	init:	blk_open(&d->blk, opts, &open, err)
 *	plug:	blk_attach(d->blk, &peer); read the public fields
 *	notify:	fill a struct blk_req of its own, blk_submit(d->blk, &r->req)
 *	reset, stop: blk_drain(d->blk)
 *	fini:	blk_close(d->blk) */
#ifndef BACKEND_BLOCK_BLK_H
#define BACKEND_BLOCK_BLK_H

#include <sys/uio.h>

#include "base/list.h"
#include "base/loop.h"
#include "base/opts.h"
#include "base/pool.h"
#include "base/types.h"

struct img;
struct log;
struct strbuf;

enum blk_kind {
	BLK_READ,
	BLK_WRITE,
	BLK_FLUSH,	  /* all writes whose done() ran before the submit survive a power cut */
	BLK_DISCARD,	  /* content is not needed; reads zeros after if BLK_CAP_DISCARD_ZEROES */
	BLK_WRITE_ZEROES, /* reads zeros after, always */
	BLK_NUM_KINDS
};

/* struct blk_req.flags */
#define BLK_REQ_FUA BIT(0)   /* write, write zeroes: done() means it survives a power cut */
#define BLK_REQ_UNMAP BIT(1) /* write zeroes: space may be given back (virtio 1.2, 5.2.6.2) */

/* One request. The caller's storage, usually first in a struct of its own; it and what
 * @iov points at live until done() ran. @off and @len are bytes, multiples of blk->logical. */
struct blk_req {
	enum blk_kind kind;
	unsigned flags;
	u64 off;
	u64 len;		 /* read, write: the sum of iov; flush: 0 */
	const struct iovec *iov; /* read, write only */
	unsigned niov;		 /* at most BLK_MAX_SEGMENTS */
	/* [loop] Exactly once, never from inside blk_submit(). @rc: 0 = every byte; else -errno:
	 * -EINVAL outside the disk or misaligned, -EROFS, -EOPNOTSUPP (see caps), -ENOSPC the
	 * host's disk is full, -EIO, -ECANCELED waited for space (on-error=pause) at the end */
	void (*done)(struct blk_req *req, int rc);

	/* --- the queue's own --- */
	struct list link;
	struct pool_job job;
	struct blk *blk;
	u64 seq, submit_ns;
	u64 pauses;	/* asked for when it was tried (on-error=pause) */
	unsigned token;
	bool mapped;
	int rc;
};

#define BLK_MAX_SEGMENTS 1024
#define BLK_SERIAL_BYTES 20 /* virtio-blk's GET_ID; ATA's serial number too */

/* struct blk.caps */
#define BLK_CAP_DISCARD BIT(0)
#define BLK_CAP_DISCARD_ZEROES BIT(1) /* discarded space reads zeros for certain (ATA RZAT) */
#define BLK_CAP_WRITE_ZEROES BIT(2)   /* faster than writing them; works without, too */

enum blk_on_error { BLK_REPORT, BLK_PAUSE };

/* [loop] What the front end hears besides done() */
struct blk_peer {
	void (*resized)(void *arg); /* blk->size_bytes has changed; NULL = not interested */
	void *arg;
};

/* An open disk. The first part is for the front end to read; constant after blk_open(),
 * but for size_bytes, which changes on the loop only. */
struct blk {
	u64 size_bytes;		/* multiple of logical */
	u32 logical, physical;	/* sector sizes, powers of two, 512 <= logical <= physical */
	bool read_only;		/* tell the guest */
	bool rotational;	/* always false today: guests do better without an elevator */
	unsigned caps;		/* BLK_CAP_* */
	u32 max_segments;	/* iovecs of one request */
	u64 max_transfer;	/* bytes of one read or write */
	u64 max_discard;	/* bytes of one discard or write zeroes */
	u32 discard_align;	/* power of two: discards that are not whole blocks of it free less */
	u32 discard_segments;	/* advice for virtio-blk's max_discard_seg */
	enum blk_on_error on_error;
	/* At most 20 characters: serial=TEXT, or HyperKit's "BHYVE-XXXX-XXXX-XXXX" made of the
	 * MD5 of the whole option string (so that /dev/disk/by-id stays what it was) */
	char serial[BLK_SERIAL_BYTES + 1];
	const char *id;		/* for messages and statistics: "0:4.0" */
	struct blk_priv *priv;	/* queue.c's */
};

/* What blk_open() may use. Pointers stay valid while the disk is open. */
struct blk_env {
	struct loop *loop;
	struct pool *pool;	/* the VM's; NULL: the disk makes one of its own */
	struct log *log;	/* may be NULL */
	/* [any] on-error=pause: stand the VM still, tell why. NULL: errors are reported to the
	 * guest. The failed request waits and is tried again when the loop runs after a resume. */
	void (*request_pause)(void *m, const char *why);
	void *m;
};

struct blk_open {
	const struct blk_env *env;
	const char *id;		/* copied */
	bool force_read_only;	/* a CD */
	u32 min_logical;	/* 2048 for a CD; 0 = 512 */
	/* Options of the front end in the same string ("queues=4"): true = taken. @value is NULL
	 * for a word without "=". Set *rc and @err when it was the front end's but wrong. */
	bool (*own_opt)(void *arg, const char *key, const char *value, int *rc, struct hk_err *err);
	void *own_arg;
};

/* PATH[,option...] as docs/devices/disk.md has it; NULL-name terminated, for help texts */
extern const struct opt_desc blk_opts[];

/**
 * blk_open() - Open a disk from its option string
 * @out:   receives the disk; NULL after an error
 * @opts:  "PATH[,option...]"; NULL is an error that says what is missing
 *
 * [setup] Locks the file. Return: 0; -EINVAL bad option or bad image, -ENOENT, -EACCES,
 * -EBUSY locked by somebody, -ENOTSUP a feature that we do not have
 */
int blk_open(struct blk **out, const char *opts, const struct blk_open *how,
	     struct hk_err *err) MUST_CHECK;
/* [setup] The same over an image that is open already (tests, memory disks). Takes @img over,
 * also on failure. */
int blk_open_img(struct blk **out, struct img *img, const struct blk_open *how,
		 struct hk_err *err) MUST_CHECK;
/* [setup] Drains, flushes, unlocks. NULL ok. */
void blk_close(struct blk *b);
void blk_attach(struct blk *b, const struct blk_peer *peer); /* [setup] copied */

/* [loop] Never blocks, never fails: what is wrong arrives in done(). No limit of requests:
 * a front end's rings are one. Order is not kept, but for flush. */
void blk_submit(struct blk *b, struct blk_req *req);
/* [loop] Around several blk_submit(): they reach the kernel together at the unplug. Optional;
 * may nest. */
void blk_plug(struct blk *b);
void blk_unplug(struct blk *b);
/* [loop, or setup] Returns when nothing is in flight and every done() ran (from inside this
 * call). Rate limits do not hold it up; a request that waits for on-error=pause gets its error.
 * Not from done(). */
void blk_drain(struct blk *b);

/* [any] A new size: the file is made larger or smaller, resized() is called on the loop. */
int blk_resize(struct blk *b, u64 size_bytes, struct hk_err *err) MUST_CHECK;

/* New limits; 0 = none */
struct blk_limits {
	u64 bytes_per_s, ops_per_s; /* sustained */
	u64 burst_bytes, burst_ops; /* at once after a pause; 0 = a tenth of a second's worth */
};
void blk_set_limits(struct blk *b, const struct blk_limits *l); /* [any] */

/* Counted since open; [any] */
struct blk_stats {
	u64 ops[BLK_NUM_KINDS], bytes[BLK_NUM_KINDS], errors[BLK_NUM_KINDS];
	u64 time_ns[BLK_NUM_KINDS]; /* sum over requests, submit to done() */
	u64 throttled;		    /* requests that waited for a limit */
	u32 in_flight;
};
void blk_get_stats(const struct blk *b, struct blk_stats *s); /* [any] */
void blk_dump(const struct blk *b, struct strbuf *out);	      /* [any] for dev_class.dump */

#endif
