// SPDX-License-Identifier: BSD-2-Clause
/* The messages of 9P2000.L as Linux uses them: backend/fs without a device */
#include "client.h"

#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sched.h>

static void other_versions_are_refused_and_leave_no_session(void **state)
{
	struct client *c = *state;
	char v[64];

	assert_int_equal(c_version(c, 8192, "9P2000.u"), 0);
	take(c, 4);
	assert_string_equal(take_str(c, v), "unknown");
	assert_int_equal(c_attach(c, ROOT, 0, ""), -EPROTO);
	assert_int_equal(c_version(c, 8192, "9P2000"), 0);
	take(c, 4);
	assert_string_equal(take_str(c, v), "unknown");
	assert_int_equal(c_version(c, 100, "9P2000.L"), -EINVAL);
	assert_int_equal(c_version(c, 8192, "9P2000.L"), 0);
	assert_int_equal(take(c, 4), 8192);
	assert_string_equal(take_str(c, v), "9P2000.L");
	assert_int_equal(c_attach(c, ROOT, 0, ""), 0);
}

static void messages_are_at_most_a_mebibyte(void **state)
{
	struct client *c = *state;

	assert_int_equal(c_version(c, 512 * 1024, "9P2000.L"), 0);
	assert_int_equal(take(c, 4), 512 * 1024);
	assert_int_equal(c_version(c, 0xffffffff, "9P2000.L"), 0);
	assert_int_equal(take(c, 4), FS_MAX_MSIZE);
}

static void a_new_session_forgets_the_fids_of_the_old(void **state)
{
	struct client *c = *state;
	struct attr a;

	assert_int_equal(c_walk(c, ROOT, 2, ""), 0);
	assert_int_equal(c_version(c, MSG_MAX, "9P2000.L"), 0);
	assert_int_equal(c_getattr(c, ROOT, &a), -EBADF);
	assert_int_equal(c_getattr(c, 2, &a), -EBADF);
	assert_int_equal(c->fs->num_fids, 0);
	assert_int_equal(c->fs->inodes.n, 1);
}

static void walk_answers_a_qid_for_each_name(void **state)
{
	struct client *c = *state;
	struct stat st;
	struct qid q;

	mkdir(in_dir(c, "a"), 0755);
	mkdir(in_dir(c, "a/b"), 0755);
	put_file(in_dir(c, "a/b/f"), "x");
	assert_int_equal(c_walk(c, ROOT, 2, "a/b/f"), 0);
	stat(in_dir(c, "a"), &st);
	q = take_qid(c);
	assert_int_equal(q.type, P9_QTDIR);
	assert_int_equal(q.path, st.st_ino);
	take_qid(c);
	stat(in_dir(c, "a/b/f"), &st);
	q = take_qid(c);
	assert_int_equal(q.type, 0);
	assert_int_equal(q.path, st.st_ino);
	assert_int_not_equal(q.version, 0);
	/* a miss in the middle: so far, and no fid */
	assert_int_equal(call(c, P9_TWALK, "ddwsss", ROOT, 3u, 3u, "a", "none", "f"), 0);
	assert_int_equal(take(c, 2), 1);
	assert_int_equal(c_clunk(c, 3), -EBADF);
	assert_int_equal(call(c, P9_TWALK, "ddws", ROOT, 3u, 1u, "none"), -ENOENT);
	/* in place, and onto a fid in use */
	assert_int_equal(c_walk(c, ROOT, 4, "a"), 0);
	assert_int_equal(c_walk(c, 4, 4, "b"), 0);
	assert_int_equal(c_walk(c, 4, 5, "f"), 0);
	assert_int_equal(c_walk(c, ROOT, 5, "a"), -EBADF);
	assert_int_equal(call(c, P9_TWALK, "ddw", ROOT, 6u, 17u), -EINVAL);
}

static void dotdot_goes_up_and_stops_at_the_root(void **state)
{
	struct client *c = *state;
	struct stat st;
	struct attr a;

	mkdir(in_dir(c, "a"), 0755);
	mkdir(in_dir(c, "a/b"), 0755);
	assert_int_equal(c_walk(c, ROOT, 2, "a/b/.."), 0);
	assert_int_equal(c_getattr(c, 2, &a), 0);
	stat(in_dir(c, "a"), &st);
	assert_int_equal(a.qid.path, st.st_ino);
	assert_int_equal(c_walk(c, ROOT, 3, "a/../../../../.."), 0);
	assert_int_equal(c_getattr(c, 3, &a), 0);
	stat(c->dir, &st);
	assert_int_equal(a.qid.path, st.st_ino);
}

static void attach_can_name_a_directory_below(void **state)
{
	struct client *c = *state;
	struct stat st;
	struct attr a;

	mkdir(in_dir(c, "a"), 0755);
	mkdir(in_dir(c, "a/b"), 0755);
	put_file(in_dir(c, "f"), "x");
	assert_int_equal(symlink("a", in_dir(c, "link")), 0);
	assert_int_equal(c_attach(c, 2, 0, "/a/b"), 0);
	assert_int_equal(c_getattr(c, 2, &a), 0);
	stat(in_dir(c, "a/b"), &st);
	assert_int_equal(a.qid.path, st.st_ino);
	assert_int_equal(c_attach(c, 3, 0, "/a/../.."), -EINVAL);
	assert_int_equal(c_attach(c, 3, 0, "link/b"), -ENOTDIR);
	assert_int_equal(c_attach(c, 3, 0, "f"), -ENOTDIR);
	assert_int_equal(c_attach(c, 3, 0, "none"), -ENOENT);
	assert_int_equal(call(c, P9_TATTACH, "ddssd", 3u, 1u, "", "", 0u), -EINVAL);
	assert_int_equal(call(c, P9_TAUTH, "dssd", 3u, "", "", 0u), -EOPNOTSUPP);
}

static void what_is_written_is_read_however_messages_are_cut(void **state)
{
	static const unsigned cuts[] = { 0, 1, 3, 7, 11, 23, 24, 4096 };
	struct client *c = *state;
	u8 *data = malloc(500000);

	for (unsigned i = 0; i < 500000; i++)
		data[i] = (u8)(i * 2654435761u >> 13);
	for (unsigned i = 0; i < ARRAY_LEN(cuts); i++) {
		c->split = cuts[i];
		assert_int_equal(c_walk(c, ROOT, 2, ""), 0);
		assert_int_equal(c_create(c, 2, "f", O_RDWR | O_CREAT | O_TRUNC, 0644), 0);
		assert_int_equal(c_write(c, 2, 5, data, 500000), 500000);
		assert_int_equal(c_read(c, 2, 5, 500000), 500000);
		assert_memory_equal(c->rep + 11, data, 500000);
		assert_int_equal(c_read(c, 2, 500000, 100), 5);
		assert_int_equal(c_read(c, 2, 500005, 100), 0);
		assert_int_equal(c_clunk(c, 2), 0);
	}
	free(data);
}

static void a_read_is_no_longer_than_the_room_for_it(void **state)
{
	struct client *c = *state;

	put_file(in_dir(c, "f"), "0123456789");
	assert_int_equal(c_walk(c, ROOT, 2, "f"), 0);
	assert_int_equal(c_open(c, 2, 0), 0);
	assert_int_equal(c_read(c, 2, 0, 0xffffffff), 10);
	/* 15 bytes of room: 4 of data. 11: none. Less: not even an error. */
	call(c, P9_TREAD, "dqd", 2u, 0ull, 10u);
	assert_int_equal(exchange_room(c, 15), 0);
	assert_int_equal(take(c, 4), 4);
	assert_int_equal(exchange_room(c, 11), 0);
	assert_int_equal(take(c, 4), 0);
	assert_int_equal(exchange_room(c, 10), 1);
	call(c, P9_TGETATTR, "dq", 2u, 0ull);
	assert_int_equal(exchange_room(c, 100), -EMSGSIZE);
}

static void open_is_checked_against_kind_and_mode_of_access(void **state)
{
	struct client *c = *state;

	put_file(in_dir(c, "f"), "0123456789");
	mkdir(in_dir(c, "d"), 0755);
	assert_int_equal(c_walk(c, ROOT, 2, "f"), 0);
	assert_int_equal(c_read(c, 2, 0, 1), -EBADF);
	assert_int_equal(c_open(c, 2, 3), -EINVAL);
	assert_int_equal(c_open(c, 2, P9_O_DIRECTORY), -ENOTDIR);
	assert_int_equal(c_open(c, 2, O_RDONLY), 0);
	assert_int_equal(c_open(c, 2, O_RDONLY), -EBADF);
	assert_int_equal(c_write(c, 2, 0, "x", 1), -EBADF);
	assert_int_equal(c_create(c, 2, "x", O_RDWR, 0644), -EBADF);
	assert_int_equal(call(c, P9_TREADDIR, "dqd", 2u, 0ull, 100u), -ENOTDIR);
	assert_int_equal(c_walk(c, ROOT, 3, "d"), 0);
	assert_int_equal(c_open(c, 3, O_RDWR), -EISDIR);
	assert_int_equal(c_open(c, 3, O_RDONLY | P9_O_TRUNC), -EISDIR);
	assert_int_equal(c_open(c, 3, O_RDONLY), 0);
	assert_int_equal(c_read(c, 3, 0, 1), -EISDIR);
	assert_int_equal(call(c, P9_TFSYNC, "dd", 3u, 0u), 0);
	/* truncate, and a file that others have: create without EXCL opens it */
	assert_int_equal(c_walk(c, ROOT, 4, ""), 0);
	assert_int_equal(c_create(c, 4, "f", O_RDWR | P9_O_EXCL, 0644), -EEXIST);
	assert_int_equal(c_create(c, 4, "f", O_RDWR, 0644), 0);
	assert_int_equal(c_read(c, 4, 0, 100), 10);
	assert_int_equal(c_walk(c, ROOT, 5, "f"), 0);
	assert_int_equal(c_open(c, 5, O_WRONLY | P9_O_TRUNC), 0);
	assert_int_equal(c_read(c, 5, 0, 1), -EBADF);
	assert_int_equal(c_read(c, 4, 0, 100), 0);
	assert_int_equal(call(c, P9_TFSYNC, "dd", 4u, 1u), 0);
	assert_int_equal(c_walk(c, ROOT, 6, ""), 0);
	assert_int_equal(c_create(c, 6, "d", O_RDONLY, 0644), -EISDIR);
}

/* Names by readdir with @count bytes at a time, from @off; counts each in seen[] */
static unsigned list(struct client *c, u32 fid, u32 count, unsigned *seen, unsigned max)
{
	unsigned total = 0, n;
	u64 off = 0;
	char name[256];

	for (;;) {
		assert_int_equal(call(c, P9_TREADDIR, "dqd", fid, off, count), 0);
		n = (unsigned)take(c, 4);
		assert_true(n <= count);
		assert_int_equal(c->rep_len, 11 + n);
		if (!n)
			return total;
		while (c->pos < c->rep_len) {
			take_qid(c);
			off = take(c, 8);
			take(c, 1);
			take_str(c, name);
			total++;
			if (name[0] == 'n') {
				assert_true((unsigned)atoi(name + 1) < max);
				seen[atoi(name + 1)]++;
			}
		}
	}
}

static void readdir_lists_each_entry_once(void **state)
{
	static const u32 counts[] = { 4096, 512000, 300, 7777 };
	struct client *c = *state;
	unsigned *seen;
	char name[64];

	for (unsigned i = 0; i < 3000; i++) {
		/* names of all lengths */
		snprintf(name, sizeof(name), "n%u-%.*s", i, (int)(i % 40), "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
		put_file(in_dir(c, name), "");
	}
	assert_int_equal(c_walk(c, ROOT, 2, ""), 0);
	assert_int_equal(c_open(c, 2, 0), 0);
	for (unsigned i = 0; i < ARRAY_LEN(counts); i++) {
		seen = calloc(3000, sizeof(*seen));
		c->split = i == 3 ? 1000 : 0;
		assert_int_equal(list(c, 2, counts[i], seen, 3000), 3002);
		for (unsigned k = 0; k < 3000; k++)
			assert_int_equal(seen[k], 1);
		free(seen);
	}
	assert_int_equal(call(c, P9_TREADDIR, "dqd", 2u, 0ull, 20u), -EINVAL);
	/* what is above the share is not told */
	assert_int_equal(call(c, P9_TREADDIR, "dqd", 2u, 0ull, 500000u), 0);
	take(c, 4);
	while (c->pos < c->rep_len) {
		struct qid q = take_qid(c);
		struct stat st;

		take(c, 8);
		take(c, 1);
		if (!strcmp(take_str(c, name), "..")) {
			stat(c->dir, &st);
			assert_int_equal(q.path, st.st_ino);
		}
	}
}

static void getattr_tells_what_stat_tells(void **state)
{
	struct client *c = *state;
	struct stat st;
	struct attr a;

	put_file(in_dir(c, "f"), "0123456789");
	assert_int_equal(link(in_dir(c, "f"), in_dir(c, "g")), 0);
	assert_int_equal(c_walk(c, ROOT, 2, "f"), 0);
	assert_int_equal(c_getattr(c, 2, &a), 0);
	stat(in_dir(c, "f"), &st);
	assert_int_equal(a.valid & 0x7ff, 0x7ff);
	assert_int_equal(a.mode, st.st_mode);
	assert_int_equal(a.nlink, 2);
	assert_int_equal(a.size, 10);
	take(c, 8);
	assert_int_equal(take(c, 8), st.st_blocks);
	assert_int_equal(take(c, 8), st.st_atim.tv_sec);
	assert_int_equal(take(c, 8), st.st_atim.tv_nsec);
	assert_int_equal(take(c, 8), st.st_mtim.tv_sec);
	assert_int_equal(take(c, 8), st.st_mtim.tv_nsec);
	/* two names, one file: one qid */
	u64 path = a.qid.path;

	assert_int_equal(c_walk(c, ROOT, 3, "g"), 0);
	assert_int_equal(c_getattr(c, 3, &a), 0);
	assert_int_equal(a.qid.path, path);
	assert_int_equal(c->fs->inodes.n, 2);
}

static void setattr_sets_size_mode_and_times(void **state)
{
	struct client *c = *state;
	struct stat st;

	put_file(in_dir(c, "f"), "0123456789");
	assert_int_equal(c_walk(c, ROOT, 2, "f"), 0);
	assert_int_equal(c_setattr(c, 2, P9_SET_SIZE, 0, 0, 0, 4), 0);
	stat(in_dir(c, "f"), &st);
	assert_int_equal(st.st_size, 4);
	assert_int_equal(c_setattr(c, 2, P9_SET_MODE, 0640, 0, 0, 0), 0);
	stat(in_dir(c, "f"), &st);
	assert_int_equal(st.st_mode, S_IFREG | 0640);
	assert_int_equal(c_setattr(c, 2, P9_SET_ATIME | P9_SET_ATIME_TO | P9_SET_MTIME | P9_SET_MTIME_TO,
				   0, 0, 0, 0), 0);
	stat(in_dir(c, "f"), &st);
	assert_int_equal(st.st_atim.tv_sec, 1000000000);
	assert_int_equal(st.st_atim.tv_nsec, 5);
	assert_int_equal(st.st_mtim.tv_sec, 1100000000);
	assert_int_equal(c_setattr(c, 2, P9_SET_MTIME, 0, 0, 0, 0), 0);
	stat(in_dir(c, "f"), &st);
	assert_int_equal(st.st_atim.tv_sec, 1000000000);
	assert_true(st.st_mtim.tv_sec > 1100000000);
	assert_int_equal(c_setattr(c, 2, P9_SET_CTIME, 0, 0, 0, 0), 0);
	assert_int_equal(c_setattr(c, 2, P9_SET_SIZE, 0, 0, 0, ~0ull), -EFBIG);
	assert_int_equal(c_setattr(c, ROOT, P9_SET_SIZE, 0, 0, 0, 0), -EISDIR);
	/* UTIME_OMIT as a number of the guest's is no time */
	assert_int_equal(call(c, P9_TSETATTR, "dddddqqqqq", 2u, P9_SET_MTIME | P9_SET_MTIME_TO, 0u, 0u,
			      0u, 0ull, 0ull, 0ull, 0ull, (u64)UTIME_OMIT), -EINVAL);
}

static void statfs_and_readlink_tell_the_hosts_figures(void **state)
{
	struct client *c = *state;
	char target[4200];

	assert_int_equal(call(c, P9_TSTATFS, "d", ROOT), 0);
	assert_int_equal(take(c, 4), 0x01021997);
	assert_true(take(c, 4) >= 512);
	assert_true(take(c, 8) > 0);
	memset(target, 'x', 4095);
	target[4095] = '\0';
	assert_int_equal(call(c, P9_TSYMLINK, "dssd", ROOT, "long", target, 0u), 0);
	assert_int_equal(c_walk(c, ROOT, 2, "long"), 0);
	assert_int_equal(take_qid(c).type, P9_QTSYMLINK);
	assert_int_equal(call(c, P9_TREADLINK, "d", 2u), 0);
	char got[4200];

	assert_string_equal(take_str(c, got), target);
	strcat(target, "x");
	assert_int_equal(call(c, P9_TSYMLINK, "dssd", ROOT, "longer", target, 0u), -ENAMETOOLONG);
	assert_int_equal(call(c, P9_TSYMLINK, "dssd", ROOT, "empty", "", 0u), -ENOENT);
	assert_int_equal(call(c, P9_TREADLINK, "d", ROOT), -EINVAL);
}

static void names_are_made_moved_and_removed(void **state)
{
	struct client *c = *state;
	struct stat st;
	struct attr a;

	assert_int_equal(c_mkdir(c, ROOT, "d"), 0);
	assert_int_equal(take_qid(c).type, P9_QTDIR);
	assert_int_equal(c_mkdir(c, ROOT, "d"), -EEXIST);
	assert_int_equal(call(c, P9_TMKNOD, "dsdddd", ROOT, "fifo", S_IFIFO | 0600u, 0u, 0u, 0u), 0);
	lstat(in_dir(c, "fifo"), &st);
	assert_true(S_ISFIFO(st.st_mode));
	assert_int_equal(call(c, P9_TMKNOD, "dsdddd", ROOT, "reg", S_IFREG | 0600u, 0u, 0u, 0u), 0);
	assert_int_equal(call(c, P9_TMKNOD, "dsdddd", ROOT, "dir", S_IFDIR | 0700u, 0u, 0u, 0u), -EINVAL);
	assert_int_equal(call(c, P9_TMKNOD, "dsdddd", ROOT, "big", S_IFCHR | 0600u, 1u << 20, 0u, 0u), -EINVAL);

	assert_int_equal(c_walk(c, ROOT, 2, "reg"), 0);
	assert_int_equal(call(c, P9_TLINK, "dds", ROOT, 2u, "hard"), 0);
	assert_int_equal(c_getattr(c, 2, &a), 0);
	assert_int_equal(a.nlink, 2);
	assert_int_equal(c_walk(c, ROOT, 3, "d"), 0);
	assert_int_equal(call(c, P9_TLINK, "dds", ROOT, 3u, "dlink"), -EPERM);
	assert_int_equal(call(c, P9_TLINK, "dds", 2u, 2u, "x"), -ENOTDIR);

	assert_int_equal(c_rename(c, ROOT, "reg", 3, "moved"), 0);
	assert_int_equal(lstat(in_dir(c, "d/moved"), &st), 0);
	assert_int_equal(call(c, P9_TRENAME, "dds", 2u, ROOT, "back"), 0);
	assert_int_equal(lstat(in_dir(c, "back"), &st), 0);
	assert_int_equal(c_rename(c, ROOT, "none", ROOT, "x"), -ENOENT);
	assert_int_equal(c_rename(c, ROOT, "d", 3, "x"), -EINVAL);
	assert_int_equal(call(c, P9_TRENAME, "dds", ROOT, 3u, "x"), -EBUSY);

	assert_int_equal(c_unlink(c, ROOT, "d", 0), -EISDIR);
	assert_int_equal(c_unlink(c, ROOT, "hard", P9_AT_REMOVEDIR), -ENOTDIR);
	assert_int_equal(c_unlink(c, ROOT, "hard", 0x1000), -EINVAL);
	assert_int_equal(c_unlink(c, ROOT, "hard", 0), 0);
	assert_int_equal(c_unlink(c, ROOT, "d", P9_AT_REMOVEDIR), 0);
	assert_int_equal(call(c, P9_TREMOVE, "d", 2u), 0);
	assert_int_equal(lstat(in_dir(c, "back"), &st), -1);
	assert_int_equal(c_clunk(c, 2), -EBADF);
	/* the fid goes even when the file stays */
	assert_int_equal(c_walk(c, ROOT, 2, ""), 0);
	assert_int_equal(call(c, P9_TREMOVE, "d", 2u), -EBUSY);
	assert_int_equal(c_clunk(c, 2), -EBADF);
}

static void a_file_without_a_name_lives_as_long_as_a_fid(void **state)
{
	struct client *c = *state;
	struct attr a;

	assert_int_equal(c_walk(c, ROOT, 2, ""), 0);
	assert_int_equal(c_create(c, 2, "f", O_RDWR, 0600), 0);
	assert_int_equal(c_walk(c, ROOT, 3, "f"), 0);
	assert_int_equal(c_write(c, 2, 0, "hello", 5), 5);
	assert_int_equal(c_unlink(c, ROOT, "f", 0), 0);
	assert_int_equal(c_read(c, 2, 0, 5), 5);
	assert_int_equal(c_getattr(c, 3, &a), 0);
	assert_int_equal(a.nlink, 0);
	assert_int_equal(c_setattr(c, 3, P9_SET_SIZE, 0, 0, 0, 2), 0);
	assert_int_equal(c_open(c, 3, O_RDONLY), 0);
	assert_int_equal(c_read(c, 3, 0, 5), 2);
	assert_int_equal(call(c, P9_TREMOVE, "d", 3u), -ENOENT);
}

static void a_read_only_share_changes_nothing(void **state)
{
	struct client *c = *state;
	struct attr a;

	put_file(in_dir(c, "f"), "0123456789");
	mkdir(in_dir(c, "d"), 0755);
	serve_with(c, &(struct fs_config){ .ro = true });
	assert_int_equal(c_walk(c, ROOT, 2, "f"), 0);
	assert_int_equal(c_open(c, 2, O_RDWR), -EROFS);
	assert_int_equal(c_open(c, 2, O_WRONLY), -EROFS);
	assert_int_equal(c_open(c, 2, O_RDONLY | P9_O_TRUNC), -EROFS);
	assert_int_equal(c_setattr(c, 2, P9_SET_MODE, 0, 0, 0, 0), -EROFS);
	assert_int_equal(call(c, P9_TXATTRCREATE, "dsqd", 2u, "user.x", 1ull, 0u), -EROFS);
	assert_int_equal(c_walk(c, ROOT, 3, ""), 0);
	assert_int_equal(c_create(c, 3, "n", O_RDWR, 0644), -EROFS);
	assert_int_equal(c_create(c, 3, "f", O_RDONLY, 0644), -EROFS);
	assert_int_equal(c_mkdir(c, ROOT, "n"), -EROFS);
	assert_int_equal(call(c, P9_TSYMLINK, "dssd", ROOT, "n", "x", 0u), -EROFS);
	assert_int_equal(call(c, P9_TMKNOD, "dsdddd", ROOT, "n", S_IFREG | 0600u, 0u, 0u, 0u), -EROFS);
	assert_int_equal(call(c, P9_TLINK, "dds", ROOT, 2u, "n"), -EROFS);
	assert_int_equal(c_rename(c, ROOT, "f", ROOT, "n"), -EROFS);
	assert_int_equal(call(c, P9_TRENAME, "dds", 2u, ROOT, "n"), -EROFS);
	assert_int_equal(c_unlink(c, ROOT, "f", 0), -EROFS);
	assert_int_equal(c_open(c, 2, O_RDONLY), 0);
	assert_int_equal(c_read(c, 2, 0, 100), 10);
	assert_int_equal(c_getattr(c, 2, &a), 0);
	assert_int_equal(call(c, P9_TREMOVE, "d", 2u), -EROFS);
}

static void files_of_two_devices_have_different_qids(void **state)
{
	struct client *c = *state;
	struct attr a, b;

	mkdir(in_dir(c, "m"), 0755);
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", in_dir(c, "m"), "tmpfs", 0, NULL)) {
		print_message("# no mounts here: %s\n", strerror(errno));
		skip();
	}
	put_file(in_dir(c, "m/f"), "x");
	serve_with(c, &(struct fs_config){ 0 }); /* a root of the new mount name space */
	assert_int_equal(c_walk(c, ROOT, 2, "m/f"), 0);
	assert_int_equal(c_getattr(c, 2, &a), 0);
	assert_int_equal(a.qid.path >> 48, 1);
	assert_int_equal(c_walk(c, ROOT, 3, "m/f"), 0);
	assert_int_equal(c_getattr(c, 3, &b), 0);
	assert_int_equal(a.qid.path, b.qid.path);
	/* and up over the mount */
	assert_int_equal(c_walk(c, 2, 4, ".."), -ENOTDIR);
	assert_int_equal(c_walk(c, ROOT, 5, "m/.."), 0);
	assert_int_equal(c_getattr(c, 5, &b), 0);
	assert_int_equal(b.qid.path, c->fs->root->ino);
	fs_reset(c->fs);
	umount(in_dir(c, "m"));
}

static void numbers_of_inodes_that_do_not_fit_are_still_different(void **state)
{
	struct client *c = *state;
	u64 dev = c->fs->root_dev, big = 1ull << 60;

	assert_int_equal(qid_path(c->fs, dev, 7), 7);
	assert_true(qid_path(c->fs, dev, big) >> 63);
	assert_int_equal(qid_path(c->fs, dev, big), qid_path(c->fs, dev, big));
	assert_int_not_equal(qid_path(c->fs, dev, big), qid_path(c->fs, dev, big + 1));
	for (u64 d = 1; d < 200; d++) {
		assert_int_equal(qid_path(c->fs, dev + d, 7), qid_path(c->fs, dev + d, 7));
		assert_int_not_equal(qid_path(c->fs, dev + d, 7), qid_path(c->fs, dev + d - 1, 7));
	}
}

static void limits_on_fids_and_open_files_are_told_to_the_guest(void **state)
{
	struct client *c = *state;
	struct attr a;
	int rc = 0;
	u32 i;

	put_file(in_dir(c, "f"), "x");
	serve_with(c, &(struct fs_config){ .max_fids = 200, .max_files = 64 });
	for (i = 2; i < 1000 && !rc; i++)
		rc = c_walk(c, ROOT, i, "f");
	assert_int_equal(rc, -ENFILE);
	assert_int_equal(i, 202);
	for (i = 2, rc = 0; i < 200 && !rc; i++)
		rc = c_open(c, i, 0);
	assert_int_equal(rc, -EMFILE);
	assert_true(i >= 48);
	/* the rest still works, and what is given back can be used again */
	assert_int_equal(c_getattr(c, 199, &a), 0);
	assert_int_equal(c_clunk(c, 2), 0);
	assert_int_equal(c_open(c, 199, 0), 0);
	assert_int_equal(c_walk(c, ROOT, P9_NOFID, "f"), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(other_versions_are_refused_and_leave_no_session),
		TEST(messages_are_at_most_a_mebibyte),
		TEST(a_new_session_forgets_the_fids_of_the_old),
		TEST(walk_answers_a_qid_for_each_name),
		TEST(dotdot_goes_up_and_stops_at_the_root),
		TEST(attach_can_name_a_directory_below),
		TEST(what_is_written_is_read_however_messages_are_cut),
		TEST(a_read_is_no_longer_than_the_room_for_it),
		TEST(open_is_checked_against_kind_and_mode_of_access),
		TEST(readdir_lists_each_entry_once),
		TEST(getattr_tells_what_stat_tells),
		TEST(setattr_sets_size_mode_and_times),
		TEST(statfs_and_readlink_tell_the_hosts_figures),
		TEST(names_are_made_moved_and_removed),
		TEST(a_file_without_a_name_lives_as_long_as_a_fid),
		TEST(a_read_only_share_changes_nothing),
		TEST(files_of_two_devices_have_different_qids),
		TEST(numbers_of_inodes_that_do_not_fit_are_still_different),
		TEST(limits_on_fids_and_open_files_are_told_to_the_guest),
	};

	return cmocka_run_group_tests_name("fs/serve", tests, NULL, NULL);
}
