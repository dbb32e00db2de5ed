// SPDX-License-Identifier: BSD-2-Clause
/* backend/block/qcow2.h - What the files of the qcow2 format share; nobody else includes it
 *
 * Specification: QEMU's docs/interop/qcow2.txt ("qcow2" below), versions 2 and 3.
 *
 *	qcow2.c		 open, close, the table of functions
 *	qcow2_header.c	 the first cluster: parse, check, change
 *	qcow2_table.c	 L2 tables and refcount blocks in memory
 *	qcow2_refcount.c which clusters of the file are in use; allocation
 *	qcow2_map.c	 guest cluster -> place in the file
 *	qcow2_io.c	 read, write, discard, zero
 *	qcow2_commit.c	 in which order metadata reaches the disk
 *	qcow2_comp.c	 compressed clusters
 *	qcow2_backing.c	 the file below
 *	qcow2_create.c	 new images, new sizes
 *	qcow2_check.c	 is all of it consistent
 *	qcow2_repair.c	 refcounts made anew
 *	qcow2_snapshot.c internal snapshots: left as they are
 *
 * One mutex guards metadata in memory. It is held while metadata is read from the file,
 * never while guest data moves and never during a flush. */
#ifndef BACKEND_BLOCK_QCOW2_H
#define BACKEND_BLOCK_QCOW2_H

#include <pthread.h>

#include "backend/block/img.h"
#include "base/list.h"
#include "base/wire.h"

#define QC_MAGIC 0x514649fbu /* "QFI\xfb" */
#define QC_COPIED BIT64(63)
#define QC_COMPRESSED BIT64(62)
#define QC_ZERO BIT64(0) /* version 3 */
#define QC_OFFSET 0x00fffffffffffe00ull
#define QC_L2_RESERVED 0x3f000000000001feull
#define QC_L1_RESERVED 0x7f000000000001ffull
#define QC_REFTABLE_RESERVED 0x1ffull

#define QC_MAX_L1_BYTES (32u << 20)
#define QC_MAX_REFTABLE_BYTES (8u << 20)
#define QC_MAX_SNAPSHOTS 65536
#define QC_MAX_SNAPSHOT_BYTES (64u << 20)
#define QC_MAX_BACKING_NAME 1023
#define QC_MAX_DEPTH 64

/* Header bits ("qcow2: Feature bits") */
enum {
	QC_INCOMPAT_DIRTY = BIT(0),
	QC_INCOMPAT_CORRUPT = BIT(1),
	QC_INCOMPAT_DATA_FILE = BIT(2),
	QC_INCOMPAT_COMPRESSION = BIT(3),
	QC_INCOMPAT_EXTENDED_L2 = BIT(4),
	QC_COMPAT_LAZY = BIT(0),
	QC_AUTOCLEAR_BITMAPS = BIT(0),
};

struct qc_header_w {
	be32 magic, version;
	be64 backing_off;
	be32 backing_len, cluster_bits;
	be64 size_bytes;
	be32 crypt_method, l1_size;
	be64 l1_off, reftable_off;
	be32 reftable_clusters, num_snapshots;
	be64 snapshots_off;
	/* version 3 */
	be64 incompat, compat, autoclear;
	be32 refcount_order, header_len;
	u8 compression, pad[7];
};
#define QC_V2_HEADER 72
#define QC_V3_HEADER 104
_Static_assert(sizeof(struct qc_header_w) == 112, "qcow2: Header");

/* The same as numbers, checked */
struct qc_header {
	u32 version, cluster_bits, l1_size, reftable_clusters, num_snapshots, crypt_method;
	u64 size_bytes, l1_off, reftable_off, snapshots_off;
	u64 incompat, compat, autoclear;
	u32 refcount_order, header_len;
	u8 compression; /* 0 zlib, 1 zstd */
	bool lies_dirty; /* opened dirty: refcounts are not to be believed */
	char backing_file[QC_MAX_BACKING_NAME + 1], backing_format[16];
	u64 bitmaps_off, bitmaps_bytes; /* directory of bitmaps; 0 = none */
	u32 num_bitmaps;
};

/* A cluster of metadata in memory */
enum qc_kind { QC_L2, QC_REFS };
struct qc_table {
	struct qc_table *hash_next;
	u64 off;
	u64 used; /* when last; for eviction */
	enum qc_kind kind;
	bool dirty;
	bool busy; /* a commit writes it out: stay */
	u8 *data;
	u64 dirty_map[64]; /* one bit per q->unit bytes */
};

#define QC_HASH 1024
struct qc_cache {
	struct qc_table *hash[QC_HASH];
	unsigned num, max, num_dirty_l2;
	u64 tick;
};

/* Clusters that nothing refers to any more, in memory; the file may still */
struct qc_free {
	u64 off;
	u64 clusters;
};
struct qc_frees {
	struct qc_free *v;
	size_t n, room;
	u64 clusters;
};

/* Guest clusters that a writer is moving to a new place */
struct qc_alloc {
	struct list link;
	u64 first, num;
};

struct qcow2 {
	struct img img;
	struct qc_header hdr;	/* changes under ->lock */
	u64 cluster;		/* bytes */
	unsigned l2_bits;	/* entries of an L2 table, as a power of two */
	unsigned refs_bits;	/* entries of a refcount block */
	u32 unit;		/* bytes in which metadata is written: a sector of the file */
	bool backed;		/* a backing file is there */
	bool warned;		/* one line about corruption is enough */

	pthread_mutex_t lock;
	pthread_cond_t cond;	/* an allocation has ended, or a commit has */
	/* --- under the lock --- */
	u64 *l1;		/* host byte order */
	u64 *l1_dirty;		/* one bit per unit */
	bool l1_is_dirty;
	u64 *reftable;
	u64 num_reftable;	/* entries */
	struct qc_cache cache;
	u64 file_bytes;		/* where the file ends: at open, and by what was allocated since */
	u64 free_hint;		/* no free cluster before this one */
	u64 fresh;		/* from this cluster on nothing was ever written: reads zeros */
	u64 *meta;		/* one bit per cluster of the file: holds metadata */
	u64 num_meta;		/* clusters that it covers */
	struct list allocs;
	struct qc_frees pending; /* freed since the last commit began */
	struct qc_frees resting; /* commit done, but old I/O may still look there */
	u64 users[2];		/* I/O under way, by generation */
	unsigned gen;		/* the generation of new I/O */
	bool aged;		/* all new I/O is younger than `resting` */
	bool committing;
	int failed;		/* a flush failed: nothing that was written can be believed */
};

static inline struct qcow2 *qcow2_of(struct img *i)
{
	return (struct qcow2 *)i;
}

static inline u64 qc_clusters(const struct qcow2 *q, u64 bytes)
{
	return (bytes + q->cluster - 1) >> q->hdr.cluster_bits;
}

/* Metadata of the file; what lies beyond its end is zeros */
int qc_child_read(struct qcow2 *q, void *buf, u64 off, u64 len) MUST_CHECK;
int qc_child_write(struct qcow2 *q, const void *buf, u64 off, u64 len) MUST_CHECK;

/* ---- qcow2_header.c ---- */
int qc_header_read(struct img *child, struct qc_header *h, struct hk_err *err) MUST_CHECK;
int qc_header_flags(struct qcow2 *q, u64 incompat, u64 autoclear) MUST_CHECK; /* and flush */
int qc_header_l1(struct qcow2 *q, u64 off, u32 entries) MUST_CHECK;
int qc_header_reftable(struct qcow2 *q, u64 off, u32 clusters) MUST_CHECK;
int qc_header_size(struct qcow2 *q, u64 bytes) MUST_CHECK;
int qc_table_load(struct qcow2 *q, u64 off, u64 entries, u64 **out) MUST_CHECK; /* big-endian words */

/* ---- qcow2_table.c ---- */
int qc_cache_get_locked(struct qcow2 *q, u64 off, enum qc_kind kind, struct qc_table **t) MUST_CHECK;
/* The same, but only if it is in memory */
struct qc_table *qc_cache_peek_locked(struct qcow2 *q, u64 off);
/* A table that is new at @off: zeros, all dirty */
int qc_cache_new_locked(struct qcow2 *q, u64 off, enum qc_kind kind, struct qc_table **t) MUST_CHECK;
void qc_cache_forget_locked(struct qcow2 *q, u64 off);
void qc_cache_dirty_locked(struct qcow2 *q, struct qc_table *t, u64 at, u64 len);
void qc_cache_clean_locked(struct qcow2 *q, struct qc_table *t);
int qc_cache_write_refs_locked(struct qcow2 *q) MUST_CHECK;
void qc_cache_fini(struct qcow2 *q);

/* ---- qcow2_refcount.c ---- */
u64 qc_refs_load(const u8 *block, unsigned order, u64 index);
void qc_refs_store(u8 *block, unsigned order, u64 index, u64 value);
int qc_refcount_get_locked(struct qcow2 *q, u64 cluster, u64 *n) MUST_CHECK;
/* Up to @want clusters in a row, at least 1: @got of them at *@off, refcount 1 */
int qc_alloc_locked(struct qcow2 *q, u64 want, bool all, u64 *off, u64 *got) MUST_CHECK;
/* Never linked by anything, in memory or file: free at once */
void qc_unalloc_locked(struct qcow2 *q, u64 off, u64 clusters);
/* One reference less, once the file says so too */
void qc_free_locked(struct qcow2 *q, u64 off, u64 clusters);
/* Frees of an ended commit whose readers are gone. Drops the lock while it punches holes. */
void qc_release_locked(struct qcow2 *q);
void qc_frees_fini(struct qc_frees *f);
int qc_meta_mark_locked(struct qcow2 *q, u64 off, u64 clusters, bool on) MUST_CHECK;
bool qc_is_meta_locked(const struct qcow2 *q, u64 off, u64 clusters);
/* Once per image: says what is wrong; no more is written. Return: -EIO */
int qc_corrupt_locked(struct qcow2 *q, const char *what, u64 where);

/* ---- qcow2_map.c ---- */
enum qc_what { QC_NOTHING, QC_PLAIN_ZERO, QC_KEPT_ZERO, QC_DATA, QC_PACKED };
struct qc_map {
	enum qc_what what;
	bool copied;	/* only we refer to it: may be written in place */
	u64 host;	/* DATA, KEPT_ZERO: of the first cluster; PACKED: of the first byte */
	u64 packed_len; /* PACKED: sectors' worth of bytes from host */
	u64 num;	/* clusters alike (DATA: in a row in the file), >= 1 */
};
/* What is at guest cluster @first; looks at @max clusters at most, all of one L2 table */
int qc_lookup_locked(struct qcow2 *q, u64 first, u64 max, struct qc_map *m) MUST_CHECK;
/* Only what is in memory: false = would have to read */
bool qc_lookup_fast_locked(struct qcow2 *q, u64 first, u64 max, struct qc_map *m);
int qc_entry_parse(const struct qcow2 *q, u64 entry, struct qc_map *m) MUST_CHECK;
/* Have an L2 table for @first that may be changed */
int qc_l2_prepare_locked(struct qcow2 *q, u64 first, struct qc_table **t) MUST_CHECK;
/* Guest cluster @at gets @entry (0, zero flag, host | COPIED); what was there is freed */
int qc_entry_set_locked(struct qcow2 *q, u64 at, u64 entry) MUST_CHECK;

/* ---- qcow2_io.c ---- */
int qcow2_preadv(struct img *i, const struct iovec *iov, unsigned n, u64 off, u64 len);
int qcow2_pwritev(struct img *i, const struct iovec *iov, unsigned n, u64 off, u64 len);
int qcow2_discard(struct img *i, u64 off, u64 len);
int qcow2_write_zeroes(struct img *i, u64 off, u64 len, bool unmap);
unsigned qc_io_begin_locked(struct qcow2 *q);
void qc_io_end_locked(struct qcow2 *q, unsigned gen);

/* ---- qcow2_commit.c ---- */
int qcow2_flush(struct img *i);
/* Enough is dirty or waits to be freed that a commit should come before more */
int qc_make_room(struct qcow2 *q) MUST_CHECK;
int qc_child_flush(struct qcow2 *q) MUST_CHECK;

/* ---- qcow2_comp.c ---- */
/* The cluster that @m (QC_PACKED) says, unpacked into @out */
int qc_unpack(struct qcow2 *q, const struct qc_map *m, u8 *out) MUST_CHECK;

/* ---- qcow2_backing.c ---- */
int qc_backing_open(struct qcow2 *q, const struct img_cfg *cfg, struct hk_err *err) MUST_CHECK;

/* ---- qcow2_create.c ---- */
int qcow2_resize(struct img *i, u64 bytes, struct hk_err *err);

/* ---- qcow2.c ---- */
/* Read the tables into memory; @strict: an entry that points nowhere is an error */
int qc_load(struct qcow2 *q, bool strict, struct hk_err *err) MUST_CHECK;
void qc_unload(struct qcow2 *q);

/* ---- qcow2_check.c ---- */
int qcow2_check(struct img *i, unsigned fix, struct img_report *r);

/* ---- qcow2_repair.c ---- */
/* @counts of @num clusters without those of the refcounts themselves; @end: first cluster that
 * nothing, not even the old refcounts, lies in */
int qc_rebuild(struct qcow2 *q, u32 *counts, u64 num, u64 end) MUST_CHECK;

/* ---- qcow2_snapshot.c ---- */
struct qc_snapshot {
	u64 l1_off;
	u32 l1_size;
};
/* The table of snapshots: *@bytes long. @out: num_snapshots of them, to be freed */
int qc_snapshots_read(struct qcow2 *q, struct qc_snapshot **out, u64 *bytes) MUST_CHECK;

#endif
