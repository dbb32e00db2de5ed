// SPDX-License-Identifier: BSD-2-Clause
/* bench/io/p9.c - Work on a shared directory, timed from inside the guest
 *
 * usage: p9-bench DIR FILES MEGABYTES
 * Prints "p9: WORD NUMBER": operations a second, or MB/s. The same program for both VMs. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PER_DIR 100
#define CHUNK (1 << 20)
static char buf[CHUNK];

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static char *name(int i)
{
	static char s[64];

	snprintf(s, sizeof(s), "d%d/f%d", i / PER_DIR, i);
	return s;
}

static void create(int i)
{
	int fd = open(name(i), O_WRONLY | O_CREAT | O_EXCL, 0644);
	struct timespec ts[2] = { { 1, 0 }, { 1, 0 } };

	/* as tar does it */
	if (fd < 0 || write(fd, buf, 2000) != 2000 || futimens(fd, ts) || fchmod(fd, 0640) || close(fd))
		die("create");
}
static void look(int i)
{
	struct stat st;

	if (lstat(name(i), &st) || st.st_size != 2000)
		die("lstat");
}
static void get(int i)
{
	int fd = open(name(i), O_RDONLY);

	if (fd < 0 || read(fd, buf, sizeof(buf)) != 2000 || close(fd))
		die("read");
}
static void drop(int i)
{
	if (unlink(name(i)))
		die("unlink");
}

static void each(const char *what, void (*fn)(int), int n)
{
	double start = now();

	for (int i = 0; i < n; i++)
		fn(i);
	printf("p9: %s %.0f\n", what, n / (now() - start));
	fflush(stdout);
}

static void stream(const char *what, int mib, int flags, size_t chunk)
{
	int fd = open("big", flags, 0644);
	double start;

	if (fd < 0)
		die("open");
	start = now();
	for (size_t done = 0; done < (size_t)mib << 20; done += chunk)
		if ((flags & O_ACCMODE ? write(fd, buf, chunk) : read(fd, buf, chunk)) != (ssize_t)chunk)
			die(what);
	close(fd);
	printf("p9: %s %.1f\n", what, mib / (now() - start));
	fflush(stdout);
}

int main(int argc, char **argv)
{
	char d[32];
	int n, mib;

	if (argc != 4 || chdir(argv[1]))
		die("usage: p9-bench DIR FILES MEGABYTES");
	n = atoi(argv[2]);
	mib = atoi(argv[3]);
	memset(buf, 'x', sizeof(buf));
	for (int i = 0; i * PER_DIR < n; i++) {
		snprintf(d, sizeof(d), "d%d", i);
		if (mkdir(d, 0755))
			die("mkdir");
	}
	each("create", create, n);
	each("stat", look, n);
	each("read", get, n);
	each("unlink", drop, n);
	stream("write-1M", mib, O_WRONLY | O_CREAT | O_TRUNC, 1 << 20);
	stream("read-1M", mib, O_RDONLY, 1 << 20);
	stream("read-4k", mib / 8, O_RDONLY, 4096);
	return 0;
}
