// SPDX-License-Identifier: BSD-2-Clause
/* backend/block/lock.c - One writer, or many readers, of an image file
 *
 * Open-file-description locks: they end with the descriptor, however the process
 * ends, and two disks of one process exclude each other too.
 *
 * QEMU's tools take part. They keep shared locks on bytes 100 + n for what they do
 * and on 200 + n for what nobody else may do, n = 1 being "write", and look with
 * F_OFD_GETLK whether somebody objects. So:
 *   writer: exclusive lock on the whole file; conflicts with everything
 *   reader: shared lock on bytes 0..99, which QEMU never touches, and on 201 ("no
 *	     writers"); then nobody may hold 101 ("I write") */
#include "backend/block/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "base/err.h"

enum { OURS_LEN = 100, QEMU_WRITES = 101, QEMU_NO_WRITERS = 201 };
enum { PATIENCE_NS = 600000000, PATIENCE_TRIES = 30 };

static int set(int fd, short type, off_t start, off_t len)
{
	struct flock fl = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };

	return fcntl(fd, F_OFD_SETLK, &fl) ? -errno : 0;
}

static int try_lock(int fd, bool write)
{
	struct flock fl = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = QEMU_WRITES, .l_len = 1
	};
	int rc;

	if (write)
		return set(fd, F_WRLCK, 0, 0);
	rc = set(fd, F_RDLCK, 0, OURS_LEN);
	if (!rc)
		rc = set(fd, F_RDLCK, QEMU_NO_WRITERS, 1);
	if (!rc && !fcntl(fd, F_OFD_GETLK, &fl) && fl.l_type != F_UNLCK)
		rc = -EAGAIN;
	return rc;
}

int lock_image(int fd, bool write, const char *path, struct hk_err *err)
{
	const struct timespec pause = { .tv_nsec = PATIENCE_NS / PATIENCE_TRIES };
	int rc = try_lock(fd, write);

	/* The kernel ends the io_uring of a killed VM, which may still write, a moment after the
	 * process is gone, and only then lets go of the file */
	for (unsigned n = 0; n < PATIENCE_TRIES && (rc == -EAGAIN || rc == -EACCES); n++) {
		nanosleep(&pause, NULL);
		rc = try_lock(fd, write);
	}
	if (rc == -EAGAIN || rc == -EACCES)
		return err_set(err, -EBUSY, "%s is in use by another disk or program (locked)",
			       path);
	/* Some network file systems have none: better unlocked than unusable */
	if (rc == -EOPNOTSUPP || rc == -ENOLCK || rc == -EINVAL)
		return 0;
	return rc ? err_set(err, rc, "cannot lock %s: %s", path, strerrordesc_np(-rc)) : 0;
}

void unlock_image(int fd)
{
	set(fd, F_UNLCK, 0, 0);
}
