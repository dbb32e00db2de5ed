// SPDX-License-Identifier: BSD-2-Clause
/* cli/pidfile.c - The file of -F: decimal pid, no newline, ours while we live
 *
 * Creating is exclusive. A file whose process is gone is taken over in place,
 * under a lock: two starters that both find it stale cannot both win. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"

static char *own_path;

static int write_pid(int fd)
{
	char buf[24];
	int n = snprintf(buf, sizeof(buf), "%ld", (long)getpid());

	if (ftruncate(fd, 0) || pwrite(fd, buf, (size_t)n, 0) != n)
		return -1;
	return 0;
}

/* Only a number of a process that does not exist is stale; anything else is not ours */
static bool is_stale(int fd)
{
	char buf[24] = { 0 }, *end;
	ssize_t n = pread(fd, buf, sizeof(buf) - 1, 0);
	long pid;

	if (n <= 0)
		return false;
	errno = 0;
	pid = strtol(buf, &end, 10);
	if (errno || end == buf || pid <= 0 || (*end && *end != '\n'))
		return false;
	return kill((pid_t)pid, 0) && errno == ESRCH;
}

static int take_over(const char *path)
{
	struct stat a, b;
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW), rc = -1;

	if (fd < 0)
		return -1;
	if (!flock(fd, LOCK_EX | LOCK_NB) && !fstat(fd, &a) && !stat(path, &b) &&
	    a.st_ino == b.st_ino && a.st_dev == b.st_dev && S_ISREG(a.st_mode) && is_stale(fd))
		rc = write_pid(fd);
	else
		errno = EEXIST;
	close(fd);
	return rc;
}

int pidfile_create(const char *path)
{
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644), rc;

	if (fd >= 0) {
		rc = write_pid(fd);
		close(fd);
		if (rc)
			unlink(path);
	} else {
		rc = errno == EEXIST ? take_over(path) : -1;
	}
	if (!rc) {
		own_path = realpath(path, NULL);
		atexit(pidfile_remove);
		return 0;
	}
	fprintf(stderr, "Failed to set up pidfile %s: %s\npidfile error -1\n", path,
		strerror(errno));
	return -1;
}

void pidfile_remove(void)
{
	if (own_path)
		unlink(own_path);
	free(own_path);
	own_path = NULL;
}
