// SPDX-License-Identifier: BSD-2-Clause
/* Whose files are these: map=squash, none, xattr; attributes; locks */
#include "client.h"

#include <sys/file.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

static bool is_root(void) { return geteuid() == 0; }

static void needs_attributes(struct client *c)
{
	if (setxattr(c->dir, "user.probe", "x", 1, 0)) {
		print_message("# no user attributes in /tmp\n");
		skip();
	}
	removexattr(c->dir, "user.probe");
}

static void squashed_files_have_one_owner_whatever_chown_says(void **state)
{
	struct client *c = *state;
	struct stat st;
	struct attr a;

	serve_with(c, &(struct fs_config){ .uid = 1000, .gid = 1001 });
	assert_int_equal(c_walk(c, ROOT, 2, ""), 0);
	assert_int_equal(c_create(c, 2, "f", O_RDWR, 06755), 0);
	assert_int_equal(c_walk(c, ROOT, 3, "f"), 0);
	assert_int_equal(c_setattr(c, 3, P9_SET_UID | P9_SET_GID, 0, 5, 6, 0), 0);
	assert_int_equal(c_getattr(c, 3, &a), 0);
	assert_int_equal(a.uid, 1000);
	assert_int_equal(a.gid, 1001);
	assert_int_equal(a.mode, S_IFREG | 0755);
	stat(in_dir(c, "f"), &st);
	assert_int_equal(st.st_uid, geteuid());
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(c_setattr(c, 3, P9_SET_MODE, 06711, 0, 0, 0), 0);
	stat(in_dir(c, "f"), &st);
	assert_int_equal(st.st_mode & 07777, 0711);
	assert_int_equal(call(c, P9_TMKDIR, "dsdd", ROOT, "d", 02777u, 0u), 0);
	stat(in_dir(c, "d"), &st);
	assert_int_equal(st.st_mode & 07777, 0777);
}

static void the_mode_asked_for_is_given_whatever_our_umask(void **state)
{
	struct client *c = *state;
	mode_t old = umask(077);
	struct stat st;

	assert_int_equal(c_walk(c, ROOT, 2, ""), 0);
	assert_int_equal(c_create(c, 2, "f", O_RDWR, 0664), 0);
	assert_int_equal(c_mkdir(c, ROOT, "d"), 0);
	assert_int_equal(call(c, P9_TMKNOD, "dsdddd", ROOT, "p", S_IFIFO | 0666u, 0u, 0u, 0u), 0);
	umask(old);
	stat(in_dir(c, "f"), &st);
	assert_int_equal(st.st_mode & 07777, 0664);
	stat(in_dir(c, "d"), &st);
	assert_int_equal(st.st_mode & 07777, 0755);
	stat(in_dir(c, "p"), &st);
	assert_int_equal(st.st_mode & 07777, 0666);
}

static void unmapped_owners_and_modes_go_through(void **state)
{
	struct client *c = *state;
	struct stat st;
	struct attr a;

	if (!is_root())
		skip();
	serve_with(c, &(struct fs_config){ .map = FS_MAP_NONE });
	assert_int_equal(c_attach(c, 9, 1234, ""), 0);
	assert_int_equal(call(c, P9_TLCREATE, "dsddd", 9u, "f", 2u, 04755u, 4321u), 0);
	stat(in_dir(c, "f"), &st);
	assert_int_equal(st.st_uid, 1234);
	assert_int_equal(st.st_gid, 4321);
	assert_int_equal(st.st_mode & 07777, 04755);
	assert_int_equal(c_walk(c, ROOT, 3, "f"), 0);
	assert_int_equal(c_setattr(c, 3, P9_SET_UID, 0, 77, 0, 0), 0);
	assert_int_equal(c_getattr(c, 3, &a), 0);
	assert_int_equal(a.uid, 77);
	assert_int_equal(a.gid, 4321);
	if (!call(c, P9_TMKNOD, "dsdddd", ROOT, "null", S_IFCHR | 0666u, 1u, 3u, 0u)) {
		stat(in_dir(c, "null"), &st);
		assert_int_equal(st.st_rdev, makedev(1, 3));
		assert_int_equal(c_walk(c, ROOT, 4, "null"), 0);
		assert_int_equal(c_getattr(c, 4, &a), 0);
		assert_int_equal(a.rdev, makedev(1, 3));
	}
	/* a symlink has an owner too */
	assert_int_equal(c_attach(c, 10, 55, ""), 0);
	assert_int_equal(call(c, P9_TSYMLINK, "dssd", 10u, "l", "nowhere", 66u), 0);
	lstat(in_dir(c, "l"), &st);
	assert_int_equal(st.st_uid, 55);
	assert_int_equal(st.st_gid, 66);
}

static void notes_keep_owner_mode_and_kind_of_files(void **state)
{
	struct client *c = *state;
	char target[128];
	struct stat st;
	struct attr a;

	needs_attributes(c);
	serve_with(c, &(struct fs_config){ .map = FS_MAP_XATTR, .uid = 7, .gid = 8 });
	put_file(in_dir(c, "hosts"), "x");
	assert_int_equal(c_attach(c, 9, 1234, ""), 0);
	assert_int_equal(call(c, P9_TLCREATE, "dsddd", 9u, "f", 2u, 04755u, 4321u), 0);
	assert_int_equal(call(c, P9_TMKNOD, "dsdddd", ROOT, "null", S_IFCHR | 0666u, 1u, 3u, 0u), 0);
	assert_int_equal(call(c, P9_TSYMLINK, "dssd", ROOT, "l", "../outside", 66u), 0);
	assert_int_equal(call(c, P9_TMKDIR, "dsdd", ROOT, "d", 01777u, 5u), 0);
	/* the host sees plain files of its own */
	lstat(in_dir(c, "f"), &st);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_int_equal(st.st_uid, geteuid());
	lstat(in_dir(c, "null"), &st);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	lstat(in_dir(c, "l"), &st);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	lstat(in_dir(c, "d"), &st);
	assert_int_equal(st.st_mode, S_IFDIR | 0700);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(c_walk(c, ROOT, 3, "f"), 0);
		assert_int_equal(c_getattr(c, 3, &a), 0);
		assert_int_equal(a.mode, S_IFREG | (again ? 0640 : 04755));
		assert_int_equal(a.uid, again ? 99 : 1234);
		assert_int_equal(a.gid, 4321);
		assert_int_equal(c_walk(c, ROOT, 4, "null"), 0);
		assert_int_equal(c_getattr(c, 4, &a), 0);
		assert_int_equal(a.mode, S_IFCHR | 0666);
		assert_int_equal(a.rdev, makedev(1, 3));
		assert_int_equal(c_open(c, 4, 0), -ENXIO);
		assert_int_equal(c_walk(c, ROOT, 5, "l"), 0);
		assert_int_equal(take_qid(c).type, P9_QTSYMLINK);
		assert_int_equal(call(c, P9_TREADLINK, "d", 5u), 0);
		assert_string_equal(take_str(c, target), "../outside");
		assert_int_equal(c_open(c, 5, 0), -ELOOP);
		assert_int_equal(c_walk(c, 5, 6, "secret"), -ENOTDIR);
		assert_int_equal(c_walk(c, ROOT, 7, "d"), 0);
		assert_int_equal(c_getattr(c, 7, &a), 0);
		assert_int_equal(a.mode, S_IFDIR | 01777);
		assert_int_equal(c_walk(c, ROOT, 8, "hosts"), 0);
		assert_int_equal(c_getattr(c, 8, &a), 0);
		assert_int_equal(a.uid, 7);
		assert_int_equal(a.gid, 8);
		assert_int_equal(call(c, P9_TREADLINK, "d", 8u), -EINVAL);
		if (!again) {
			assert_int_equal(c_setattr(c, 3, P9_SET_UID, 0, 99, 0, 0), 0);
			assert_int_equal(c_setattr(c, 3, P9_SET_MODE, S_IFCHR | 0640, 0, 0, 0), 0);
			/* and after a restart */
			serve_with(c, &(struct fs_config){ .map = FS_MAP_XATTR, .uid = 7, .gid = 8 });
		}
	}
	/* the note itself is not for the guest */
	assert_int_equal(call(c, P9_TXATTRWALK, "dds", 3u, 20u, "user.hyperkit.9p"), -EOPNOTSUPP);
	assert_int_equal(call(c, P9_TXATTRCREATE, "dsqd", 3u, "user.hyperkit.9p", 24ull, 0u), -EOPNOTSUPP);
	assert_int_equal(call(c, P9_TXATTRWALK, "dds", 3u, 20u, ""), 0);
	assert_int_equal(take(c, 8), 0);
}

static void a_note_that_makes_no_sense_is_ignored(void **state)
{
	struct client *c = *state;
	u8 note[24];
	struct attr a;

	needs_attributes(c);
	serve_with(c, &(struct fs_config){ .map = FS_MAP_XATTR });
	put_file(in_dir(c, "f"), "x");
	mkdir(in_dir(c, "d"), 0755);
	store_le32(note, 1);
	store_le32(note + 4, S_IFDIR | 0777);
	memset(note + 8, 1, 16);
	assert_int_equal(setxattr(in_dir(c, "f"), "user.hyperkit.9p", note, 24, 0), 0);
	assert_int_equal(c_walk(c, ROOT, 2, "f"), 0);
	assert_int_equal(c_getattr(c, 2, &a), 0);
	assert_int_equal(a.mode, S_IFREG | 0644);
	store_le32(note + 4, S_IFLNK | 0777);
	assert_int_equal(setxattr(in_dir(c, "d"), "user.hyperkit.9p", note, 24, 0), 0);
	assert_int_equal(c_walk(c, ROOT, 3, "d"), 0);
	assert_int_equal(c_getattr(c, 3, &a), 0);
	assert_int_equal(a.mode, S_IFDIR | 0755);
	store_le32(note, 2);
	store_le32(note + 4, S_IFREG | 0777);
	assert_int_equal(setxattr(in_dir(c, "f"), "user.hyperkit.9p", note, 24, 0), 0);
	assert_int_equal(c_getattr(c, 2, &a), 0);
	assert_int_equal(a.mode, S_IFREG | 0644);
	assert_int_equal(setxattr(in_dir(c, "f"), "user.hyperkit.9p", note, 23, 0), 0);
	assert_int_equal(c_getattr(c, 2, &a), 0);
	assert_int_equal(a.mode, S_IFREG | 0644);
}

/* ------------------------------------------------------------- attributes */

static int set_attr(struct client *c, const char *name, const char *value, u32 n, u32 flags)
{
	int rc = c_walk(c, 2, 30, "");

	rc = rc ? rc : call(c, P9_TXATTRCREATE, "dsqd", 30u, name, (u64)n, flags);
	if (!rc && n)
		rc = c_write(c, 30, 0, value, n) == (int)n ? 0 : -EIO;
	if (rc) {
		c_clunk(c, 30);
		return rc;
	}
	return c_clunk(c, 30);
}

static int get_attr(struct client *c, const char *name, char *value)
{
	int rc = call(c, P9_TXATTRWALK, "dds", 2u, 31u, name), n;

	if (rc)
		return rc;
	n = (int)take(c, 8);
	rc = c_read(c, 31, 0, 65536);
	assert_int_equal(rc, n);
	memcpy(value, c->rep + 11, (size_t)n);
	value[n] = '\0';
	assert_int_equal(c_clunk(c, 31), 0);
	return n;
}

static void attributes_are_set_read_listed_and_removed(void **state)
{
	struct client *c = *state;
	char v[65537];

	needs_attributes(c);
	put_file(in_dir(c, "f"), "x");
	assert_int_equal(c_walk(c, ROOT, 2, "f"), 0);
	assert_int_equal(set_attr(c, "user.a", "value", 5, 0), 0);
	assert_int_equal(get_attr(c, "user.a", v), 5);
	assert_string_equal(v, "value");
	assert_int_equal(set_attr(c, "user.a", "other", 5, XATTR_CREATE), -EEXIST);
	assert_int_equal(set_attr(c, "user.b", "other", 5, XATTR_REPLACE), -ENODATA);
	assert_int_equal(set_attr(c, "user.b", "", 0, 0), 0);
	assert_int_equal(get_attr(c, "user.b", v), 0);
	setxattr(in_dir(c, "f"), "user.hyperkit.x", "y", 1, 0);
	assert_int_equal(get_attr(c, "", v), 14);
	assert_memory_equal(v + strlen(v) + 1 - strlen(v) - 1, "user.", 5);
	/* Linux removes by replacing with nothing */
	assert_int_equal(set_attr(c, "user.a", "", 0, XATTR_REPLACE), 0);
	assert_int_equal(get_attr(c, "user.a", v), -ENODATA);
	assert_int_equal(set_attr(c, "user.a", "", 0, XATTR_REPLACE), -ENODATA);
	/* labels and capabilities are the host's */
	assert_int_equal(get_attr(c, "security.capability", v), -EOPNOTSUPP);
	assert_int_equal(set_attr(c, "trusted.x", "v", 1, 0), -EOPNOTSUPP);
	assert_int_equal(get_attr(c, "system.posix_acl_access", v), -EOPNOTSUPP);
}

static void attribute_messages_out_of_order_change_nothing(void **state)
{
	struct client *c = *state;
	char v[65537];
	int rc = 0;
	u32 i;

	needs_attributes(c);
	put_file(in_dir(c, "f"), "x");
	assert_int_equal(c_walk(c, ROOT, 2, "f"), 0);
	assert_int_equal(c_walk(c, 2, 3, ""), 0);
	assert_int_equal(call(c, P9_TXATTRCREATE, "dsqd", 3u, "user.a", 10ull, 0u), 0);
	assert_int_equal(c_write(c, 3, 5, "x", 1), -EINVAL);
	assert_int_equal(c_write(c, 3, 0, "01234567890", 11), -ENOSPC);
	assert_int_equal(c_write(c, 3, 0, "01234", 5), 5);
	assert_int_equal(c_read(c, 3, 0, 5), -EBADF);
	assert_int_equal(c_open(c, 3, 0), -EBADF);
	assert_int_equal(c_walk(c, 3, 4, ""), -EBADF);
	assert_int_equal(c_clunk(c, 3), -EINVAL);
	assert_int_equal(c_clunk(c, 3), -EBADF);
	assert_int_equal(get_attr(c, "user.a", v), -ENODATA);
	assert_int_equal(c_walk(c, 2, 3, ""), 0);
	assert_int_equal(call(c, P9_TXATTRCREATE, "dsqd", 3u, "user.a", 65537ull, 0u), -E2BIG);
	assert_int_equal(call(c, P9_TXATTRCREATE, "dsqd", 3u, "user.a", ~0ull, 0u), -E2BIG);
	assert_int_equal(call(c, P9_TXATTRCREATE, "dsqd", 3u, "user.a", 1ull, 4u), -EINVAL);
	assert_int_equal(call(c, P9_TXATTRCREATE, "dsqd", 3u, "", 1ull, 0u), -EINVAL);
	/* values under way have a limit together */
	for (i = 100; i < 1000 && !rc; i++) {
		assert_int_equal(c_walk(c, 2, i, ""), 0);
		rc = call(c, P9_TXATTRCREATE, "dsqd", i, "user.a", 65536ull, 0u);
	}
	assert_int_equal(rc, -ENOSPC);
	assert_true(i > 300);
	fs_reset(c->fs);
	assert_int_equal(c->fs->xattr_bytes, 0);
}

/* ------------------------------------------------------------------- locks */

static int lock(struct client *c, u32 fid, u8 type, u64 start, u64 len, u32 pid)
{
	int rc = call(c, P9_TLOCK, "dbdqqds", fid, (unsigned)type, 0u, start, len, pid, "guest");

	return rc ? rc : (int)take(c, 1);
}

/* What stands in the way: type, and its range */
static int get_lock(struct client *c, u32 fid, u8 type, u64 start, u64 len, u32 pid, u64 *at, u64 *n, u32 *who)
{
	int rc = call(c, P9_TGETLOCK, "dbqqds", fid, (unsigned)type, start, len, pid, "guest");

	if (rc)
		return rc;
	rc = (int)take(c, 1);
	*at = take(c, 8);
	*n = take(c, 8);
	*who = (u32)take(c, 4);
	return rc;
}

static void open_two(struct client *c)
{
	put_file(in_dir(c, "f"), "x");
	assert_int_equal(c_walk(c, ROOT, 2, "f"), 0);
	assert_int_equal(c_open(c, 2, O_RDWR), 0);
	assert_int_equal(c_walk(c, ROOT, 3, "f"), 0);
	assert_int_equal(c_open(c, 3, O_RDWR), 0);
}

static void owners_exclude_each_other_range_by_range(void **state)
{
	struct client *c = *state;
	u64 at, n;
	u32 who;

	open_two(c);
	assert_int_equal(lock(c, 2, P9_LOCK_WR, 0, 100, 1), P9_LOCK_SUCCESS);
	assert_int_equal(lock(c, 3, P9_LOCK_RD, 50, 10, 2), P9_LOCK_BLOCKED);
	assert_int_equal(lock(c, 3, P9_LOCK_WR, 100, 0, 2), P9_LOCK_SUCCESS);
	/* an owner is not in its own way, by whatever fid */
	assert_int_equal(lock(c, 3, P9_LOCK_WR, 0, 100, 1), P9_LOCK_SUCCESS);
	assert_int_equal(get_lock(c, 3, P9_LOCK_RD, 0, 0, 2, &at, &n, &who), P9_LOCK_WR);
	assert_int_equal(at, 0);
	assert_int_equal(n, 100);
	assert_int_equal(who, 1);
	assert_int_equal(get_lock(c, 3, P9_LOCK_WR, 0, 0, 1, &at, &n, &who), P9_LOCK_WR);
	assert_int_equal(at, 100);
	assert_int_equal(n, 0);
	/* the middle is given up: two ranges are left */
	assert_int_equal(lock(c, 2, P9_LOCK_UN, 40, 20, 1), P9_LOCK_SUCCESS);
	assert_int_equal(lock(c, 3, P9_LOCK_RD, 40, 20, 2), P9_LOCK_SUCCESS);
	assert_int_equal(lock(c, 3, P9_LOCK_RD, 39, 1, 2), P9_LOCK_BLOCKED);
	assert_int_equal(lock(c, 3, P9_LOCK_RD, 60, 1, 2), P9_LOCK_BLOCKED);
	/* readers together */
	assert_int_equal(lock(c, 2, P9_LOCK_RD, 40, 20, 1), P9_LOCK_SUCCESS);
	assert_int_equal(lock(c, 2, P9_LOCK_WR, 40, 20, 1), P9_LOCK_BLOCKED);
	assert_int_equal(lock(c, 2, P9_LOCK_WR, 1ull << 63, 1, 1), -EINVAL);
	assert_int_equal(lock(c, 2, 3, 0, 1, 1), -EINVAL);
	assert_int_equal(lock(c, ROOT, P9_LOCK_WR, 0, 1, 1), -EBADF);
	assert_int_equal(lock(c, 2, P9_LOCK_UN, 0, ~0ull, 1), P9_LOCK_SUCCESS);
	assert_int_equal(lock(c, 2, P9_LOCK_UN, 0, 0, 2), P9_LOCK_SUCCESS);
	assert_int_equal(c->fs->num_ranges, 0);
	assert_int_equal(c->fs->flocks.n, 0);
}

static int host_try(int fd, short type, off_t start, off_t len)
{
	struct flock k = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };

	return fcntl(fd, F_OFD_SETLK, &k) ? -errno : 0;
}

static void programs_of_the_host_and_guests_exclude_each_other(void **state)
{
	struct client *c = *state;
	u64 at, n;
	u32 who;
	int fd;

	open_two(c);
	fd = open(in_dir(c, "f"), O_RDWR);
	assert_int_equal(lock(c, 2, P9_LOCK_WR, 0, 10, 1), P9_LOCK_SUCCESS);
	assert_int_equal(host_try(fd, F_RDLCK, 5, 1), -EAGAIN);
	assert_int_equal(host_try(fd, F_WRLCK, 10, 10), 0);
	assert_int_equal(lock(c, 2, P9_LOCK_RD, 10, 1, 1), P9_LOCK_BLOCKED);
	assert_int_equal(get_lock(c, 2, P9_LOCK_RD, 0, 0, 1, &at, &n, &who), P9_LOCK_WR);
	assert_int_equal(at, 10);
	assert_int_equal(n, 10);
	/* two readers in the guest: the host's range is free when the last has gone */
	assert_int_equal(lock(c, 2, P9_LOCK_RD, 30, 10, 1), P9_LOCK_SUCCESS);
	assert_int_equal(lock(c, 3, P9_LOCK_RD, 35, 10, 2), P9_LOCK_SUCCESS);
	assert_int_equal(lock(c, 2, P9_LOCK_UN, 30, 10, 1), P9_LOCK_SUCCESS);
	assert_int_equal(host_try(fd, F_WRLCK, 30, 5), 0);
	assert_int_equal(host_try(fd, F_WRLCK, 35, 1), -EAGAIN);
	assert_int_equal(host_try(fd, F_WRLCK, 44, 1), -EAGAIN);
	assert_int_equal(lock(c, 3, P9_LOCK_UN, 0, 0, 2), P9_LOCK_SUCCESS);
	assert_int_equal(host_try(fd, F_WRLCK, 35, 10), 0);
	/* the end of a fid, and of a session */
	assert_int_equal(host_try(fd, F_WRLCK, 0, 10), -EAGAIN);
	assert_int_equal(c_clunk(c, 2), 0);
	assert_int_equal(host_try(fd, F_WRLCK, 0, 10), 0);
	assert_int_equal(lock(c, 3, P9_LOCK_WR, 1000, 1, 2), P9_LOCK_SUCCESS);
	assert_int_equal(host_try(fd, F_WRLCK, 1000, 1), -EAGAIN);
	begin(c);
	assert_int_equal(host_try(fd, F_WRLCK, 1000, 1), 0);
	close(fd);
}

static void a_reader_may_lock_what_it_cannot_write(void **state)
{
	struct client *c = *state;

	put_file(in_dir(c, "f"), "x");
	serve_with(c, &(struct fs_config){ .ro = true });
	assert_int_equal(c_walk(c, ROOT, 2, "f"), 0);
	assert_int_equal(c_open(c, 2, O_RDONLY), 0);
	assert_int_equal(lock(c, 2, P9_LOCK_WR, 0, 0, 1), P9_LOCK_SUCCESS);
	assert_int_equal(lock(c, 2, P9_LOCK_RD, 0, 0, 2), P9_LOCK_BLOCKED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(squashed_files_have_one_owner_whatever_chown_says),
		TEST(the_mode_asked_for_is_given_whatever_our_umask),
		TEST(unmapped_owners_and_modes_go_through),
		TEST(notes_keep_owner_mode_and_kind_of_files),
		TEST(a_note_that_makes_no_sense_is_ignored),
		TEST(attributes_are_set_read_listed_and_removed),
		TEST(attribute_messages_out_of_order_change_nothing),
		TEST(owners_exclude_each_other_range_by_range),
		TEST(programs_of_the_host_and_guests_exclude_each_other),
		TEST(a_reader_may_lock_what_it_cannot_write),
	};

	return cmocka_run_group_tests_name("fs/ident", tests, NULL, NULL);
}
