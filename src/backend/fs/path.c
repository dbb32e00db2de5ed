// SPDX-License-Identifier: BSD-2-Clause
/* backend/fs/path.c - The only calls of the server that take names
 *
 * DOC: Why no guest leaves the directory
 *
 * Every object is held as an O_PATH descriptor, which follows renames and cannot be
 * exchanged behind our back. A name from the guest is always ONE component: not empty,
 * not "." or "..", without '/' or NUL. It is looked up in a directory descriptor with
 * O_NOFOLLOW and, where the kernel has it, openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
 * RESOLVE_NO_MAGICLINKS). One such step leads to an entry of that directory, whatever
 * others rename meanwhile, so openat2 is the second lock on the door and its absence
 * (before Linux 5.6, some seccomp filters) does not open it.
 *
 * A symlink is an object like others: read for the guest, never followed by us.
 *
 * Only a regular file or a directory is opened for real. The kind is asked of the O_PATH
 * descriptor, and what is opened is that same inode, by its magic link in /proc/self/fd
 * (files) or by "." (directories). No name is looked up a second time, so no device or
 * FIFO can slip in between, and none is ever opened.
 *
 * ".." is a step that could lead out when a directory was moved out of the share by a
 * process of the host: the parent is opened and then climbed from, until the shared
 * directory is met. Where it is not met the step is refused. What had been reached before
 * it was moved stays reachable, as for any process with an open directory. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backend/fs/fs_int.h"

#define MAX_CLIMB 4096u

int name_check(const char *name, size_t len)
{
	if (len > NAME_MAX)
		return -ENAMETOOLONG;
	if (!len || memchr(name, '/', len) || memchr(name, '\0', len))
		return -EINVAL;
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return -EINVAL;
	return 0;
}

int path_open(struct fs *fs, int dir, const char *name, int flags, mode_t mode)
{
	int fd;

	flags |= O_NOFOLLOW | O_CLOEXEC;
	if (fs->have_openat2) {
		const struct open_how how = {
			.flags = (u32)flags,
			.mode = mode,
			.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
		};

		fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));
		if (fd < 0 && (errno == EMFILE || errno == ENFILE) && nodes_trim(fs))
			fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));
	} else {
		fd = openat(dir, name, flags, mode);
		if (fd < 0 && (errno == EMFILE || errno == ENFILE) && nodes_trim(fs))
			fd = openat(dir, name, flags, mode);
	}
	return fd < 0 ? -errno : fd;
}

int path_reopen(struct fs *fs, int fd, int flags)
{
	char name[16];
	int to;

	snprintf(name, sizeof(name), "%d", fd);
	flags |= O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	to = openat(fs->proc_fd, name, flags);
	if (to < 0 && (errno == EMFILE || errno == ENFILE) && nodes_trim(fs))
		to = openat(fs->proc_fd, name, flags);
	return to < 0 ? -errno : to;
}

int path_open_dir(struct fs *fs, int fd)
{
	return path_open(fs, fd, ".", O_RDONLY | O_DIRECTORY, 0);
}

int path_stat(int fd, struct statx *st)
{
	return statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
		     STATX_BASIC_STATS | STATX_BTIME, st) ? -errno : 0;
}

/* "..": not through path_open(), which would refuse it. Return: fd or -errno */
static int up(int fd, struct statx *st)
{
	int to = openat(fd, "..", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), rc;

	if (to < 0)
		return -errno;
	rc = path_stat(to, st);
	if (rc) {
		close(to);
		return rc;
	}
	return to;
}

int path_parent(struct fs *fs, int fd)
{
	struct statx st, below;
	int parent, at, next, rc;

	parent = up(fd, &st);
	if (parent < 0)
		return parent;
	at = fcntl(parent, F_DUPFD_CLOEXEC, 0);
	rc = at < 0 ? -errno : -EXDEV;
	for (unsigned i = 0; at >= 0 && i < MAX_CLIMB; i++) {
		if (statx_dev(&st) == fs->root->dev && st.stx_ino == fs->root->ino) {
			rc = 0;
			break;
		}
		below = st;
		next = up(at, &st);
		close(at);
		at = next;
		/* The root of the host is its own parent */
		if (at >= 0 && statx_dev(&st) == statx_dev(&below) && st.stx_ino == below.stx_ino)
			break;
	}
	if (at >= 0)
		close(at);
	if (rc) {
		close(parent);
		return rc;
	}
	return parent;
}

const char *path_proc(char buf[PATH_PROC_MAX], int fd)
{
	snprintf(buf, PATH_PROC_MAX, "/proc/self/fd/%d", fd);
	return buf;
}
