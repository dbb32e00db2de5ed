// SPDX-License-Identifier: BSD-2-Clause
/* backend/fs/ident.c - Owners, modes and kinds of files: the host's and the guest's view
 *
 * DOC: Whose files are these
 *
 * squash  The host's files belong to our process, the guest sees one owner for all
 *         (uid=, gid=). chown succeeds and does nothing, so tar and cp -a work. Set-user-id
 *         and set-group-id bits are dropped and device nodes refused: both would be ours.
 * none    Numbers and bits go through. What the guest may do is what our process may do;
 *         run as root, the guest's root can leave set-user-id programs of root in the
 *         directory, to be run by other users of the host.
 * xattr   Host files belong to our process, with mode 0600 or 0700. Owner, mode and kind
 *         that the guest asked for are a note in the attribute user.hyperkit.9p. Symlinks,
 *         devices, FIFOs and sockets are regular files with a note, so nothing on the host
 *         can be led astray by them.
 *
 * A note is input like any other: whoever may write the directory on the host may have
 * written it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "backend/fs/fs_int.h"
#include "base/wire.h"

#define NOTE_NAME "user.hyperkit.9p"
#define OURS "user.hyperkit."
#define NOTE_VERSION 1u

struct note_w {
	le32 version, mode, uid, gid;
	le64 rdev; /* Linux: major << 8 | minor, and the upper bits around it */
};

/* May a host file of kind @host pose as @guest? */
static bool may_pose(u32 host, u32 guest)
{
	if (host == guest)
		return true;
	return S_ISREG(host) && (S_ISLNK(guest) || S_ISCHR(guest) || S_ISBLK(guest) ||
				 S_ISFIFO(guest) || S_ISSOCK(guest));
}

static void note_apply(struct statx *st, const struct note_w *n)
{
	u32 mode = le32_get(n->mode);
	u64 rdev = le64_get(n->rdev);

	if (le32_get(n->version) != NOTE_VERSION || !may_pose(st->stx_mode & S_IFMT, mode & S_IFMT))
		return;
	st->stx_mode = (u16)(mode & (S_IFMT | 07777));
	st->stx_uid = le32_get(n->uid);
	st->stx_gid = le32_get(n->gid);
	st->stx_rdev_major = major(rdev);
	st->stx_rdev_minor = minor(rdev);
}

int ident_stat(struct fs *fs, int fd, struct statx *st)
{
	char path[PATH_PROC_MAX];
	struct note_w note;

	if (fs->cfg.map == FS_MAP_NONE)
		return 0;
	st->stx_uid = fs->cfg.uid;
	st->stx_gid = fs->cfg.gid;
	if (fs->cfg.map == FS_MAP_XATTR && (S_ISREG(st->stx_mode) || S_ISDIR(st->stx_mode)) &&
	    getxattr(path_proc(path, fd), NOTE_NAME, &note, sizeof(note)) == sizeof(note))
		note_apply(st, &note);
	return 0;
}

static int note_write(int fd, u32 mode, u32 uid, u32 gid, u64 rdev)
{
	char path[PATH_PROC_MAX];
	const struct note_w note = {
		.version = le32_of(NOTE_VERSION),
		.mode = le32_of(mode),
		.uid = le32_of(uid),
		.gid = le32_of(gid),
		.rdev = le64_of(rdev),
	};

	return setxattr(path_proc(path, fd), NOTE_NAME, &note, sizeof(note), 0) ? -errno : 0;
}

/* Change what the note of @fd says; P9_NOUID: leave. @mode without kind, ~0: leave */
static int note_change(struct fs *fs, int fd, u32 mode, u32 uid, u32 gid)
{
	struct statx st;
	int rc;

	pthread_mutex_lock(&fs->note_lock);
	rc = path_stat(fd, &st);
	/* A symlink of the host cannot carry a note and needs none */
	if (!rc && (S_ISREG(st.stx_mode) || S_ISDIR(st.stx_mode))) {
		ident_stat(fs, fd, &st);
		rc = note_write(fd, mode == ~0u ? st.stx_mode : (st.stx_mode & S_IFMT) | (mode & 07777),
				uid == P9_NOUID ? st.stx_uid : uid, gid == P9_NOUID ? st.stx_gid : gid,
				makedev(st.stx_rdev_major, st.stx_rdev_minor));
	}
	pthread_mutex_unlock(&fs->note_lock);
	return rc;
}

static int host_chmod(struct fs *fs, int fd, u32 mode)
{
	char name[16];

	/* Not fchmod(): it refuses O_PATH. The link leads to the inode and nowhere else. */
	snprintf(name, sizeof(name), "%d", fd);
	return fchmodat(fs->proc_fd, name, mode, 0) ? -errno : 0;
}

static int host_chown(int fd, u32 uid, u32 gid)
{
	return fchownat(fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) ? -errno : 0;
}

static u32 host_mode(const struct fs *fs, u32 mode)
{
	return fs->cfg.map == FS_MAP_NONE ? mode & 07777 : mode & 01777;
}

mode_t ident_create_mode(struct fs *fs, u32 kind, u32 mode)
{
	if (fs->cfg.map == FS_MAP_XATTR)
		return S_ISDIR(kind) ? 0700 : 0600;
	return host_mode(fs, mode);
}

int ident_created(struct fs *fs, int fd, u32 uid, u32 gid, u32 mode, u64 rdev, struct statx *st)
{
	int rc = path_stat(fd, st);
	bool again = false;

	if (rc)
		return rc;
	if (fs->cfg.map == FS_MAP_XATTR && (S_ISREG(st->stx_mode) || S_ISDIR(st->stx_mode))) {
		rc = note_write(fd, mode, uid, gid, rdev);
	} else if (fs->cfg.map != FS_MAP_XATTR) {
		if (fs->cfg.map == FS_MAP_NONE && (st->stx_uid != uid || st->stx_gid != gid)) {
			rc = host_chown(fd, uid, gid);
			again = true;
		}
		/* Our umask may have taken bits, chown too */
		if (!rc && !S_ISLNK(st->stx_mode) &&
		    (again || (st->stx_mode & 07777u) != host_mode(fs, mode))) {
			rc = host_chmod(fs, fd, host_mode(fs, mode));
			again = true;
		}
	}
	if (!rc && again)
		rc = path_stat(fd, st);
	return rc ? rc : ident_stat(fs, fd, st);
}

int ident_chmod(struct fs *fs, int fd, u32 mode)
{
	if (fs->cfg.map == FS_MAP_XATTR)
		return note_change(fs, fd, mode & 07777, P9_NOUID, P9_NOUID);
	return host_chmod(fs, fd, host_mode(fs, mode));
}

int ident_chown(struct fs *fs, int fd, u32 uid, u32 gid)
{
	if (fs->cfg.map == FS_MAP_XATTR)
		return note_change(fs, fd, ~0u, uid, gid);
	if (fs->cfg.map == FS_MAP_NONE)
		return host_chown(fd, uid, gid);
	return 0;
}

bool ident_by_note(const struct fs *fs, u32 kind)
{
	return fs->cfg.map == FS_MAP_XATTR && !S_ISREG(kind) && !S_ISDIR(kind);
}

bool ident_xattr_ok(const struct fs *fs, const char *name)
{
	static const char *const whole[] = { "trusted.", "security.", "system.posix_acl_" };

	if (!strncmp(name, OURS, strlen(OURS)))
		return false;
	if (!strncmp(name, "user.", 5))
		return true;
	/* Capabilities and labels are the host's; they go with the owners */
	for (size_t i = 0; fs->cfg.map == FS_MAP_NONE && i < ARRAY_LEN(whole); i++)
		if (!strncmp(name, whole[i], strlen(whole[i])))
			return true;
	return false;
}
