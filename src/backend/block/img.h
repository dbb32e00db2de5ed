// SPDX-License-Identifier: BSD-2-Clause
/* backend/block/img.h - Disk images as plain synchronous code
 *
 * A `struct img` is a node: raw and mem hold bytes; qcow2 keeps its clusters in a
 * child node and reads what it does not have from a backing node, through the same
 * functions, so that a test can put a filter in between. Above: queue.c makes
 * requests asynchronous, api/disk.c is `hyperkit disk`.
 *
 * Threads: preadv to write_zeroes are [worker], several at once; the rest [setup],
 * when no request is under way. */
#ifndef BACKEND_BLOCK_IMG_H
#define BACKEND_BLOCK_IMG_H

#include <sys/uio.h>

#include "backend/block/blk.h"
#include "base/strbuf.h"

enum img_format { IMG_RAW, IMG_QCOW2, IMG_NUM_FORMATS };

/* What flush means: fdatasync, fsync (metadata of the file too), nothing at all */
enum img_sync { IMG_SYNC_OS, IMG_SYNC_FULL, IMG_SYNC_NONE };
enum img_aio { IMG_AIO_AUTO, IMG_AIO_URING, IMG_AIO_THREADS };

struct img_cfg {
	const char *path;
	enum img_format format;
	enum img_sync sync;
	bool read_only;
	bool ro_fallback;	/* cannot be opened for writing: open it read-only */
	bool o_sync, direct;	/* O_SYNC; O_DIRECT */
	bool no_lock;
	bool no_discard;	/* offer none, free nothing */
	bool no_check;		/* qcow2: do not check metadata before writing to an image */
	bool growable;		/* raw: writes beyond the end make the file longer (below a format) */
	bool may_be_dirty;	/* qcow2: do not repair a dirty image at open (`disk check`) */
	u32 logical, physical;	/* 0 = 512; the host's block size */
	bool backing_allow;
	const char *backing_dir; /* backing files must lie beneath; NULL = beside the image */
	unsigned depth;		/* backing files above this one */
	struct img *backing_img; /* below, whatever the image names; taken over */
	struct log *log;
};

/* What `check` found. Corruptions can lose data, leaks only waste space. */
struct img_report {
	u64 corruptions, leaks;
	u64 corruptions_fixed, leaks_fixed;
	u64 clusters_total, clusters_used, clusters_compressed;
	u64 image_end_bytes;	/* everything beyond is unused */
	struct strbuf *text;	/* a line per finding, at most IMG_REPORT_LINES; may be NULL */
	unsigned lines;
};
#define IMG_REPORT_LINES 200
#define IMG_FIX_LEAKS BIT(0)
#define IMG_FIX_ERRORS BIT(1)

/* What a stretch of the disk is made of */
enum img_extent { IMG_EXTENT_DATA, IMG_EXTENT_ZERO, IMG_EXTENT_BACKING };

/* For `info` */
struct img_info {
	const char *format;
	u64 size_bytes, file_bytes, used_bytes; /* used: what the file takes on the host */
	u32 cluster_bytes;
	unsigned version, refcount_bits, num_snapshots;
	bool dirty, corrupt, lazy_refcounts, encrypted, extended_l2, data_file;
	const char *compression; /* "zlib", "zstd"; NULL for raw */
	char backing_file[1024], backing_format[16];
};

struct img;
struct img_ops {
	const char *name;
	/* All @len bytes or -errno; [off, off + len) lies inside the disk */
	int (*preadv)(struct img *i, const struct iovec *iov, unsigned n, u64 off, u64 len);
	int (*pwritev)(struct img *i, const struct iovec *iov, unsigned n, u64 off, u64 len);
	int (*flush)(struct img *i); /* what completed before survives a power cut */
	int (*discard)(struct img *i, u64 off, u64 len);		 /* NULL: cannot */
	int (*write_zeroes)(struct img *i, u64 off, u64 len, bool unmap); /* NULL or -EOPNOTSUPP: by writing */
	int (*resize)(struct img *i, u64 bytes, struct hk_err *err);	 /* NULL: cannot */
	int (*check)(struct img *i, unsigned fix, struct img_report *r); /* NULL: nothing to check */
	/* What is at @off, and how far does that go (at most @len)? NULL: all data */
	int (*extent)(struct img *i, u64 off, u64 len, enum img_extent *what, u64 *run);
	void (*info)(struct img *i, struct img_info *info);
	/* Can this request go straight to descriptor *fd at *host? true: until unmap() those bytes
	 * are this disk's. Never blocks. NULL: never. */
	bool (*map)(struct img *i, u64 off, u64 len, bool write, int *fd, u64 *host, unsigned *token);
	void (*unmap)(struct img *i, unsigned token);
	void (*close)(struct img *i); /* not the struct itself, nor child and backing */
};

/* First member of each node's own struct; calloc()ed by the node, freed by img_close() */
struct img {
	const struct img_ops *ops;
	struct img *child;	/* owned; may be NULL */
	struct img *backing;	/* owned; may be NULL */
	u64 size_bytes;		/* changes in resize() only; a growable raw file: at open */
	u32 logical, physical;
	bool read_only;
	bool grows;		/* writes beyond the end make it longer, with zeros in between */
	bool direct;		/* O_DIRECT: what goes by map() must be aligned to mem_align */
	u32 mem_align;
	unsigned caps;		/* BLK_CAP_* */
	u64 max_discard;
	u32 discard_align;
	struct log *log;
};

/* Open file and format as @cfg says. The content is never asked what it is. */
int img_open(struct img **out, const struct img_cfg *cfg, struct hk_err *err) MUST_CHECK;
/* A format over @child, which it takes over, also after an error */
int img_open_over(struct img **out, struct img *child, const struct img_cfg *cfg,
		  struct hk_err *err) MUST_CHECK;
void img_close(struct img *i); /* NULL ok; does not flush */

/* Range-checked: -EINVAL outside the disk, -EROFS */
int img_preadv(struct img *i, const struct iovec *iov, unsigned n, u64 off, u64 len) MUST_CHECK;
int img_pwritev(struct img *i, const struct iovec *iov, unsigned n, u64 off, u64 len) MUST_CHECK;
int img_pread(struct img *i, void *buf, u64 off, u64 len) MUST_CHECK;
int img_pwrite(struct img *i, const void *buf, u64 off, u64 len) MUST_CHECK;
int img_flush(struct img *i) MUST_CHECK;
int img_discard(struct img *i, u64 off, u64 len) MUST_CHECK;
int img_write_zeroes(struct img *i, u64 off, u64 len, bool unmap) MUST_CHECK;
int img_extent(struct img *i, u64 off, u64 len, enum img_extent *what, u64 *run) MUST_CHECK;

const char *img_format_name(enum img_format f);
/* "raw", "qcow2", "qcow"; -EINVAL */
int img_format_parse(const char *name, enum img_format *f) MUST_CHECK;
/* What the first bytes look like: for people to read, never to open by */
const char *img_guess_format(const char *path);

/* raw.c */
int raw_open(struct img **out, const struct img_cfg *cfg, struct hk_err *err) MUST_CHECK;
/* mem.c: for tests and scratch disks. Growable like a file. */
int mem_img_open(struct img **out, u64 size_bytes, struct hk_err *err) MUST_CHECK;

/* qcow2.c */
int qcow2_open(struct img **out, struct img *child, const struct img_cfg *cfg,
	       struct hk_err *err) MUST_CHECK;
struct qcow2_create {
	u64 size_bytes;
	u32 cluster_bytes;	/* 0 = 65536 */
	unsigned version;	/* 0 = 3 */
	unsigned refcount_bits; /* 0 = 16 */
	bool lazy_refcounts;
	const char *backing_file, *backing_format; /* NULL = none */
};
/* Write an empty image into @child, which is empty */
int qcow2_create(struct img *child, const struct qcow2_create *c, struct hk_err *err) MUST_CHECK;

/* cfg.c: HyperKit's option string */
struct blk_cfg {
	struct img_cfg img;
	enum img_aio aio;
	enum blk_on_error on_error;
	struct blk_limits limits;
	char serial[BLK_SERIAL_BYTES + 1];
	char *text; /* what the strings above point into */
};
int blk_cfg_parse(struct blk_cfg *c, const char *opts, const struct blk_open *how,
		  struct hk_err *err) MUST_CHECK;
void blk_cfg_fini(struct blk_cfg *c);

/* report.c: one finding; counted by the caller */
void img_report_line(struct img_report *r, const char *fmt, ...) PRINTF(2, 3);

#endif
