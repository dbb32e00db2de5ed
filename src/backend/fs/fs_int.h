// SPDX-License-Identifier: BSD-2-Clause
/* backend/fs/fs_int.h - What the files of the built-in server share; nobody else includes it
 *
 * Locks, outermost first: rename_lock, note_lock, flock_lock, fid->busy, lock. No system
 * call that touches the shared files runs under `lock`. */
#ifndef BACKEND_FS_FS_INT_H
#define BACKEND_FS_FS_INT_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "backend/fs/fs.h"
#include "backend/fs/p9.h"

/* ---- table.c: hash table of intrusive entries; the caller brings the lock ---- */

struct hent {
	struct hent *next;
	u64 hash;
};
struct htab {
	struct hent **slot;
	size_t num_slots; /* a power of two */
	size_t n;
};
int htab_init(struct htab *t) MUST_CHECK;
void htab_fini(struct htab *t);
void htab_add(struct htab *t, struct hent *e, u64 hash);
void htab_del(struct htab *t, struct hent *e);
/* First entry with @hash, then the next of the same */
struct hent *htab_find(const struct htab *t, u64 hash);
struct hent *htab_next(const struct hent *e);
u64 hash_u64(u64 seed, u64 x);
u64 hash_bytes(u64 seed, const void *p, size_t n);

/* ---- node.c: one file of the host, whatever names it has ---- */

struct node {
	struct hent by_inode, by_name;
	/* (S) under fs->lock, (c) constant */
	struct node *parent;  /* (S) counted; with ->name the way back. NULL: root or unnamed */
	char *name;	      /* (S) */
	u64 dev, ino, born;   /* (c) identity; born: creation time, 0 where unknown */
	u32 kind;	      /* (c) S_IFMT bits of the host's file */
	int fd;		      /* (S) O_PATH; -1: closed for now */
	unsigned refs, pins;  /* (S) pins: somebody is using ->fd */
	bool keep;	      /* (S) no way back: the descriptor stays */
	bool hashed;	      /* (S) in the inode table */
	struct list lru;      /* (S) in fs->lru while the descriptor may be closed */
};

/* Kinds of fid. An object never changes: opening a fid puts another object in its place, so
 * that a request that found it may use it without a lock. */
enum fid_kind { FID_PATH, FID_FILE, FID_DIR, FID_XATTR_READ, FID_XATTR_WRITE };

struct fid {
	struct hent link;
	u32 id;		    /* (c) */
	enum fid_kind kind; /* (c) */
	u32 uid;	    /* (c) who attached */
	struct node *node;  /* (c) counted */
	int fd;		    /* (c) FID_FILE, FID_DIR; else -1 */
	bool writable;	    /* (c) of fd */
	unsigned refs;	    /* (S) */
	bool dead;	    /* (S) no longer in the table */
	bool has_locks;	    /* under flock_lock */
	pthread_mutex_t busy;
	u64 dir_pos;	    /* (busy) where fd stands */
	u8 *xattr;	    /* (busy) value or list; xattr_len bytes */
	u32 xattr_len, xattr_done;
	u32 xattr_flags;    /* (c) */
	char *xattr_name;   /* (c) */
};

struct fs {
	struct fs_config cfg;
	int proc_fd;	     /* (c) /proc/self/fd */
	bool have_openat2;   /* (c) */
	bool local;	     /* (c) */
	struct node *root;   /* (c) */
	u64 root_dev;	     /* (c) */
	u64 seed;	     /* (c) */
	u32 uid, gid;	     /* (c) ours */

	_Atomic u32 msize;   /* 0 = no session */

	pthread_mutex_t lock;
	struct htab inodes, names, fids; /* (S) */
	struct list lru;	     /* (S) nodes with a descriptor to spare, oldest first */
	u32 num_fids, num_node_fds, num_open, max_open; /* (S) */
	u64 xattr_bytes;	     /* (S) */
	u64 renames;		     /* (S) counts names that changed */
	unsigned renaming;	     /* (S) and those under way */
	u64 devs[64];		     /* (S) devices seen below, for qids */
	unsigned num_devs;	     /* (S) */

	pthread_mutex_t rename_lock; /* rename, unlink: the host's names and ours change in step */
	pthread_mutex_t note_lock;   /* read, change, write of a note (FS_MAP_XATTR) */
	pthread_mutex_t flock_lock;
	struct htab flocks;	     /* (flock_lock) */
	unsigned num_ranges;	     /* (flock_lock) */

	_Atomic u64 requests, errors, reopens;
};

/* A node with its descriptor held open: from node_pin() to node_unpin() */
int node_pin(struct fs *fs, struct node *n); /* fd or -errno */
void node_unpin(struct fs *fs, struct node *n);
struct node *node_get(struct fs *fs, struct node *n);
void node_put(struct fs *fs, struct node *n); /* NULL ok */
/* Where names stood before a look-up; node_found() compares */
struct epoch { u64 renames; bool busy; };
struct epoch node_epoch(struct fs *fs);
/* The node of a file just looked up as @name in @parent. Takes @fd (O_PATH, or -1). */
int node_found(struct fs *fs, struct node *parent, const char *name, int fd,
	       const struct statx *st, struct epoch e, struct node **out);
int node_root(struct fs *fs, int fd, const struct statx *st);
/* Tell the tables what rename or unlink is about to do, and has done. Under rename_lock.
 * begin() holds on to who may lose its last name; end() takes what it returned. */
struct node *node_names_begin(struct fs *fs, struct node *victim_dir, const char *victim);
void node_names_end(struct fs *fs, struct node *victim);
void node_renamed(struct fs *fs, struct node *from, const char *old, struct node *to,
		  const char *name);
void node_unlinked(struct fs *fs, struct node *dir, const char *name);
/* Room for one more descriptor of an open file, or -EMFILE; then file_close() */
int open_slot_take(struct fs *fs);
void open_slot_give(struct fs *fs);
/* After EMFILE: close some descriptors that can be had again. Return: were there any? */
bool nodes_trim(struct fs *fs);

/* ---- fid.c ---- */

int fid_get(struct fs *fs, u32 id, struct fid **out) MUST_CHECK; /* -EBADF */
void fid_put(struct fs *fs, struct fid *f);
int fid_new(struct fid **out, u32 id, enum fid_kind kind, struct node *counted, u32 uid);
/* Put @f in the table; takes it, also when it fails. -EBADF in use, -ENFILE too many */
int fid_add(struct fs *fs, struct fid *f);
/* Put @f in the place of @old; takes @f. -EBADF when @old is gone meanwhile */
int fid_replace(struct fs *fs, struct fid *old, struct fid *f);
int fid_remove(struct fs *fs, struct fid *f); /* -EBADF when somebody else did */
void fids_forget(struct fs *fs);

/* ---- path.c: the only calls that take names ---- */

int name_check(const char *name, size_t len);
/* Open @name, one component, in @dir; never follows a symlink. fd or -errno */
int path_open(struct fs *fs, int dir, const char *name, int flags, mode_t mode);
/* Open again what @fd, a regular file, is. fd or -errno */
int path_reopen(struct fs *fs, int fd, int flags);
int path_open_dir(struct fs *fs, int fd);
/* ".." of @fd if it is still below the root: fd, -EXDEV, or -errno */
int path_parent(struct fs *fs, int fd);
int path_stat(int fd, struct statx *st);
/* The inode of @fd as an absolute name that ends in a magic link */
#define PATH_PROC_MAX 32
const char *path_proc(char buf[PATH_PROC_MAX], int fd);

static inline u64 statx_dev(const struct statx *st)
{
	return (u64)st->stx_dev_major << 32 | st->stx_dev_minor;
}

/* ---- ident.c: owners, modes, kinds as the guest sees them ---- */

/* Change *@st of @fd from the host's view to the guest's */
int ident_stat(struct fs *fs, int fd, struct statx *st);
/* What a new file is created with on the host */
mode_t ident_create_mode(struct fs *fs, u32 kind, u32 mode);
/* A file was just made as @fd; give it owner and mode. *@st: the guest's view of it */
int ident_created(struct fs *fs, int fd, u32 uid, u32 gid, u32 kind_and_mode, u64 rdev,
		  struct statx *st);
int ident_chmod(struct fs *fs, int fd, u32 mode);
int ident_chown(struct fs *fs, int fd, u32 uid, u32 gid); /* P9_NOUID: leave */
/* Are files of this kind made as regular files with a note? */
bool ident_by_note(const struct fs *fs, u32 kind);
/* May the guest use this attribute? */
bool ident_xattr_ok(const struct fs *fs, const char *name);

/* ---- serve.c: one request ---- */

#define REQ_MAX 8192u	/* longest request but Twrite: Twalk with 16 names of 255 bytes */
#define REP_MAX 4608u	/* longest reply but file data: Rreadlink with PATH_MAX */

struct req {
	struct fs *fs;
	const struct iovec *in, *out;
	unsigned nin, nout;
	size_t in_len, out_len;
	u8 type;
	u16 tag;
	bool bad;	  /* fields ran past the end */
	bool now, again;  /* must not wait for a disk; would have to */
	size_t pos, end;  /* of buf */
	size_t rep_len;
	size_t extra;	  /* bytes that the handler already put behind rep in @out */
	u8 buf[REQ_MAX + 1], rep[REP_MAX];
};

u8 rq_u8(struct req *r);
u16 rq_u16(struct req *r);
u32 rq_u32(struct req *r);
u64 rq_u64(struct req *r);
/* NUL-terminated in place; *@len tells whether there are NULs inside. "" when bad */
const char *rq_str(struct req *r, size_t *len);
/* A name of one component. NULL and *@rc */
const char *rq_name(struct req *r, int *rc);
void rq_put_u8(struct req *r, u8 v);
void rq_put_u16(struct req *r, u16 v);
void rq_put_u32(struct req *r, u32 v);
void rq_put_u64(struct req *r, u64 v);
void rq_put_str(struct req *r, const char *s, size_t len);
void rq_put_qid(struct req *r, const struct statx *st);
/* The qid of (@dev, @ino) */
u64 qid_path(struct fs *fs, u64 dev, u64 ino);
u8 qid_type(u32 mode);
/* How many bytes of @want fit behind a Rread header, in message size and in room */
u32 data_room(struct req *r, u32 want);
#define DATA_IOV 512u
/* [@off, @off + @len) of @iov into @to, at most DATA_IOV pieces. Return: pieces */
int rq_iov_cut(const struct iovec *iov, unsigned n, size_t off, size_t len, struct iovec *to);
size_t rq_iov_get(const struct iovec *iov, unsigned n, size_t off, void *buf, size_t len);
size_t rq_iov_put(const struct iovec *iov, unsigned n, size_t off, const void *buf, size_t len);
size_t rq_iov_len(const struct iovec *iov, unsigned n);

/* Handlers: 0 or -errno, which becomes Rlerror */
int serve_attach(struct req *r);
int serve_walk(struct req *r);
int serve_clunk(struct req *r);
int serve_lopen(struct req *r);
int serve_lcreate(struct req *r);
int serve_read(struct req *r);
int serve_write(struct req *r);
int serve_fsync(struct req *r);
int serve_readdir(struct req *r);
int serve_getattr(struct req *r);
int serve_setattr(struct req *r);
int serve_statfs(struct req *r);
int serve_readlink(struct req *r);
int serve_symlink(struct req *r);
int serve_mknod(struct req *r);
int serve_mkdir(struct req *r);
int serve_link(struct req *r);
int serve_rename(struct req *r);
int serve_renameat(struct req *r);
int serve_unlinkat(struct req *r);
int serve_remove(struct req *r);
int serve_xattrwalk(struct req *r);
int serve_xattrcreate(struct req *r);
int serve_lock(struct req *r);
int serve_getlock(struct req *r);

/* xattr.c, for Tread, Twrite and Tclunk of such fids */
int xattr_read(struct req *r, struct fid *f, u64 off, u32 count);
int xattr_write(struct req *r, struct fid *f, u64 off, u32 count);
int xattr_finish(struct fs *fs, struct fid *f);
void xattr_free(struct fs *fs, struct fid *f);

/* lock.c */
void locks_of_fid_drop(struct fs *fs, struct fid *f);
void locks_forget(struct fs *fs);

#endif
