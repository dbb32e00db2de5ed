// SPDX-License-Identifier: BSD-2-Clause
/* test/unit/backend/fs/client.h - A 9P client without a wire, and a directory to work in
 *
 * call() builds a message from a format, has the server answer it and leaves the reply's
 * fields to take(). Formats: b w d q = u8 u16 u32 u64, s = string, S = pointer and length. */
#ifndef TEST_FS_CLIENT_H
#define TEST_FS_CLIENT_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/fs/fs_int.h"
#include "base/wire.h"

#define MSG_MAX (1u << 20)
#define ROOT 1u

struct client {
	struct fs *fs;
	char top[64];	 /* top/share is shared, top/outside is not */
	char dir[80], outside[80];
	u8 *req, *rep;
	size_t len, rep_len, pos;
	unsigned split;	 /* cut requests and replies in pieces of so many bytes; 0: whole */
};

static UNUSED size_t build(u8 *to, u8 type, u16 tag, const char *fmt, va_list ap)
{
	size_t at = 7;

	for (; *fmt; fmt++) {
		switch (*fmt) {
		case 'b': to[at++] = (u8)va_arg(ap, unsigned); break;
		case 'w': store_le16(to + at, (u16)va_arg(ap, unsigned)); at += 2; break;
		case 'd': store_le32(to + at, va_arg(ap, u32)); at += 4; break;
		case 'q': store_le64(to + at, va_arg(ap, u64)); at += 8; break;
		case 's':
		case 'S': {
			const char *s = va_arg(ap, const char *);
			size_t n = *fmt == 's' ? strlen(s) : va_arg(ap, size_t);

			store_le16(to + at, (u16)n);
			memcpy(to + at + 2, s, n);
			at += 2 + n;
			break;
		}
		default: fail_msg("format %c", *fmt);
		}
	}
	store_le32(to, (u32)at);
	to[4] = type;
	store_le16(to + 5, tag);
	return at;
}

static UNUSED unsigned pieces(struct iovec *iov, unsigned max, u8 *p, size_t len, unsigned split)
{
	unsigned n = 0;

	for (size_t at = 0; at < len; n++) {
		size_t part = split && n + 1 < max ? MIN((size_t)split, len - at) : len - at;

		iov[n].iov_base = p + at;
		iov[n].iov_len = part;
		at += part;
	}
	return n;
}

/* Send c->req. 0, -errno of Rlerror, or 1: no answer at all */
static UNUSED int exchange_room(struct client *c, size_t room)
{
	struct iovec in[256], out[256];
	unsigned nin = pieces(in, 256, c->req, c->len, c->split);
	unsigned nout = pieces(out, 256, c->rep, room, c->split);
	u8 type = c->req[4];

	c->rep_len = fs_request(c->fs, in, nin, out, nout, false);
	c->pos = 7;
	if (!c->rep_len)
		return 1;
	assert_true(c->rep_len <= room);
	assert_int_equal(load_le32(c->rep), c->rep_len);
	assert_int_equal(load_le16(c->rep + 5), load_le16(c->req + 5));
	if (c->rep[4] == 7) {
		assert_int_equal(c->rep_len, 11);
		return -(int)load_le32(c->rep + 7);
	}
	assert_int_equal(c->rep[4], type + 1);
	return 0;
}
static UNUSED int exchange(struct client *c) { return exchange_room(c, MSG_MAX); }

static UNUSED int call(struct client *c, u8 type, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	c->len = build(c->req, type, 42, fmt, ap);
	va_end(ap);
	return exchange(c);
}

static UNUSED u64 take(struct client *c, unsigned bytes)
{
	u64 v = 0;

	assert_true(c->pos + bytes <= c->rep_len);
	memcpy(&v, c->rep + c->pos, bytes);
	c->pos += bytes;
	return v;
}
struct qid { u8 type; u32 version; u64 path; };
static UNUSED struct qid take_qid(struct client *c)
{
	struct qid q;

	q.type = (u8)take(c, 1);
	q.version = (u32)take(c, 4);
	q.path = take(c, 8);
	return q;
}
static UNUSED char *take_str(struct client *c, char *to)
{
	size_t n = take(c, 2);

	assert_true(c->pos + n <= c->rep_len);
	memcpy(to, c->rep + c->pos, n);
	to[n] = '\0';
	c->pos += n;
	return to;
}

/* ---- requests by name ---- */

static UNUSED int c_version(struct client *c, u32 msize, const char *v)
{
	return call(c, P9_TVERSION, "ds", msize, v);
}
static UNUSED int c_attach(struct client *c, u32 fid, u32 uid, const char *aname)
{
	return call(c, P9_TATTACH, "ddssd", fid, P9_NOFID, "me", aname, uid);
}
/* @path: components separated by '/', at most 16; "" clones */
static UNUSED int c_walk(struct client *c, u32 from, u32 to, const char *path)
{
	char copy[4096], *save, *part;
	size_t at = 17;
	unsigned n = 0;

	snprintf(copy, sizeof(copy), "%s", path);
	for (part = strtok_r(copy, "/", &save); part; part = strtok_r(NULL, "/", &save), n++) {
		store_le16(c->req + at, (u16)strlen(part));
		memcpy(c->req + at + 2, part, strlen(part));
		at += 2 + strlen(part);
	}
	store_le32(c->req, (u32)at);
	c->req[4] = P9_TWALK;
	store_le16(c->req + 5, 42);
	store_le32(c->req + 7, from);
	store_le32(c->req + 11, to);
	store_le16(c->req + 15, (u16)n);
	c->len = at;
	int rc = exchange(c);

	/* a short walk is a miss too */
	return rc ? rc : take(c, 2) == n ? 0 : -ENOENT;
}
static UNUSED int c_clunk(struct client *c, u32 fid) { return call(c, P9_TCLUNK, "d", fid); }
static UNUSED int c_open(struct client *c, u32 fid, u32 flags)
{
	return call(c, P9_TLOPEN, "dd", fid, flags);
}
static UNUSED int c_create(struct client *c, u32 fid, const char *name, u32 flags, u32 mode)
{
	return call(c, P9_TLCREATE, "dsddd", fid, name, flags, mode, 0u);
}
static UNUSED int c_mkdir(struct client *c, u32 fid, const char *name)
{
	return call(c, P9_TMKDIR, "dsdd", fid, name, 0755u, 0u);
}
static UNUSED int c_write(struct client *c, u32 fid, u64 off, const void *p, u32 n)
{
	store_le32(c->req + 7, fid);
	store_le64(c->req + 11, off);
	store_le32(c->req + 19, n);
	memcpy(c->req + 23, p, n);
	c->len = 23 + n;
	store_le32(c->req, (u32)c->len);
	c->req[4] = P9_TWRITE;
	store_le16(c->req + 5, 42);
	int rc = exchange(c);

	return rc ? rc : (int)take(c, 4);
}
/* Bytes, which are at c->rep + 11, or -errno */
static UNUSED int c_read(struct client *c, u32 fid, u64 off, u32 n)
{
	int rc = call(c, P9_TREAD, "dqd", fid, off, n);

	if (rc)
		return rc;
	n = (u32)take(c, 4);
	assert_int_equal(c->rep_len, 11 + n);
	return (int)n;
}
static UNUSED int c_unlink(struct client *c, u32 dir, const char *name, u32 flags)
{
	return call(c, P9_TUNLINKAT, "dsd", dir, name, flags);
}
static UNUSED int c_rename(struct client *c, u32 from, const char *a, u32 to, const char *b)
{
	return call(c, P9_TRENAMEAT, "dsds", from, a, to, b);
}
struct attr { u64 valid; struct qid qid; u32 mode, uid, gid; u64 nlink, rdev, size; };
static UNUSED int c_getattr(struct client *c, u32 fid, struct attr *a)
{
	int rc = call(c, P9_TGETATTR, "dq", fid, ~0ull);

	if (rc)
		return rc;
	assert_int_equal(c->rep_len, 160);
	a->valid = take(c, 8);
	a->qid = take_qid(c);
	a->mode = (u32)take(c, 4);
	a->uid = (u32)take(c, 4);
	a->gid = (u32)take(c, 4);
	a->nlink = take(c, 8);
	a->rdev = take(c, 8);
	a->size = take(c, 8);
	return 0;
}
static UNUSED int c_setattr(struct client *c, u32 fid, u32 valid, u32 mode, u32 uid, u32 gid, u64 size)
{
	return call(c, P9_TSETATTR, "dddddqqqqq", fid, valid, mode, uid, gid, size, 1000000000ull,
		    5ull, 1100000000ull, 6ull);
}

/* ---- the directory ---- */

static UNUSED int remove_one(const char *path, const struct stat *st, int kind, struct FTW *f)
{
	return remove(path);
}

static UNUSED char *in_dir(struct client *c, const char *name)
{
	static __thread char buf[2][4200];
	static __thread unsigned turn;
	char *b = buf[turn++ % 2];

	snprintf(b, sizeof(buf[0]), "%s/%s", c->dir, name);
	return b;
}

static UNUSED void put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static UNUSED void begin(struct client *c)
{
	assert_int_equal(c_version(c, MSG_MAX, "9P2000.L"), 0);
	assert_int_equal(c_attach(c, ROOT, 0, ""), 0);
}

/* Another server for the same directory, with a session */
static UNUSED void serve_with(struct client *c, const struct fs_config *cfg)
{
	struct fs_config copy = *cfg;
	struct hk_err err = { "" };

	fs_close(c->fs);
	copy.dir = c->dir;
	if (fs_open(&c->fs, &copy, &err))
		fail_msg("%s", err.text);
	begin(c);
}

static UNUSED int client_setup(void **state)
{
	struct client *c = calloc(1, sizeof(*c));

	c->req = malloc(MSG_MAX + 64);
	c->rep = malloc(MSG_MAX + 64);
	strcpy(c->top, "/tmp/hk-fs.XXXXXX");
	if (!mkdtemp(c->top))
		return -1;
	snprintf(c->dir, sizeof(c->dir), "%s/share", c->top);
	snprintf(c->outside, sizeof(c->outside), "%s/outside", c->top);
	mkdir(c->dir, 0755);
	mkdir(c->outside, 0755);
	serve_with(c, &(struct fs_config){ 0 });
	*state = c;
	return 0;
}

static UNUSED int client_teardown(void **state)
{
	struct client *c = *state;

	fs_close(c->fs);
	nftw(c->top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(c->req);
	free(c->rep);
	free(c);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, client_setup, client_teardown)

#endif
