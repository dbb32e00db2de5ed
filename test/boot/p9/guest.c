// SPDX-License-Identifier: BSD-2-Clause
/* test/boot/p9/guest.c - What programs in the guest expect of a mounted directory
 *
 * usage: p9-guest NAME DIR [loose] [owners]
 * Prints "NAME: TEST ok" or "NAME: TEST failed: line N: why (errno)". With "loose" shared
 * mappings are written; with "owners" chown and device nodes are kept. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static int bad_line, bad_errno;
static const char *bad_why;
#define WANT(cond)                                \
	do {                                      \
		if (!(cond) && !bad_line) {       \
			bad_errno = errno;        \
			bad_line = __LINE__;      \
			bad_why = #cond;          \
			return;                   \
		}                                 \
	} while (0)

static int loose, owners;

static void put(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	WANT(fd >= 0);
	WANT(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	WANT(!close(fd));
}

static void holds(const char *name, const char *text)
{
	char buf[4096];
	int fd = open(name, O_RDONLY);
	ssize_t n;

	WANT(fd >= 0);
	n = read(fd, buf, sizeof(buf));
	close(fd);
	WANT(n == (ssize_t)strlen(text) && !memcmp(buf, text, (size_t)n));
}

static void files(void)
{
	struct stat st;
	char buf[16];
	int fd;

	put("a", "hello");
	holds("a", "hello");
	fd = open("a", O_WRONLY | O_APPEND);
	WANT(fd >= 0 && write(fd, " and", 4) == 4 && write(fd, " more", 5) == 5 && !close(fd));
	holds("a", "hello and more");
	WANT(!truncate("a", 5));
	holds("a", "hello");
	fd = open("a", O_RDWR);
	WANT(fd >= 0 && !ftruncate(fd, 100000) && pwrite(fd, "end", 3, 99997) == 3);
	WANT(!fsync(fd) && !close(fd));
	WANT(!stat("a", &st) && st.st_size == 100000 && S_ISREG(st.st_mode));
	WANT(open("a", O_RDWR | O_CREAT | O_EXCL, 0600) == -1 && errno == EEXIST);
	WANT(open("none", O_RDONLY) == -1 && errno == ENOENT);
	/* a file that lost its name while open */
	fd = open("b", O_RDWR | O_CREAT, 0600);
	WANT(fd >= 0 && write(fd, "ghost", 5) == 5 && !unlink("b"));
	WANT(pread(fd, buf, 16, 0) == 5 && !memcmp(buf, "ghost", 5));
	WANT(!fstat(fd, &st) && st.st_nlink == 0 && !close(fd));
	WANT(!unlink("a"));
}

static void names(void)
{
	char longest[256], target[300];
	struct stat st, st2;
	int fd;

	memset(longest, 'l', 255);
	longest[255] = '\0';
	put(longest, "x");
	holds(longest, "x");
	WANT(!unlink(longest));
	WANT(!mkdir("d", 0755) && mkdir("d", 0755) == -1 && errno == EEXIST);
	put("d/f", "inner");
	WANT(rmdir("d") == -1 && errno == ENOTEMPTY);
	/* over another that somebody has open, and directories with files open in them */
	put("x", "old");
	fd = open("x", O_RDONLY);
	put("y", "new");
	WANT(!rename("y", "x"));
	holds("x", "new");
	WANT(pread(fd, target, 10, 0) == 3 && !memcmp(target, "old", 3) && !close(fd));
	fd = open("d/f", O_RDWR);
	WANT(!rename("d", "e") && pread(fd, target, 10, 0) == 5 && !close(fd));
	holds("e/f", "inner");
	WANT(!rename("e/f", "f") && !rmdir("e"));
	WANT(!link("f", "g") && !stat("f", &st) && st.st_nlink == 2);
	WANT(!stat("g", &st2) && st.st_ino == st2.st_ino);
	WANT(!unlink("f") && !unlink("g") && !unlink("x"));
	WANT(!symlink("../../etc/passwd", "s") && !lstat("s", &st) && S_ISLNK(st.st_mode));
	WANT(readlink("s", target, sizeof(target)) == 16 && !memcmp(target, "../../etc/passwd", 16));
	WANT(!unlink("s"));
	WANT(!mkfifo("p", 0600) && !lstat("p", &st) && S_ISFIFO(st.st_mode) && !unlink("p"));
}

static void directories(void)
{
	char name[300], seen[700] = { 0 };
	struct dirent *e;
	unsigned n = 0;
	DIR *d;

	WANT(!mkdir("many", 0755));
	for (unsigned i = 0; i < 700; i++) {
		snprintf(name, sizeof(name), "many/%u", i);
		put(name, "");
	}
	d = opendir("many");
	WANT(d);
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		WANT((unsigned)atoi(e->d_name) < 700 && !seen[atoi(e->d_name)]++);
		n++;
		snprintf(name, sizeof(name), "many/%s", e->d_name);
		WANT(!unlink(name)); /* while it is read, as rm does */
	}
	WANT(n == 700 && !closedir(d) && !rmdir("many"));
}

static void attributes(void)
{
	/* Linux 6.1's v9fs rounds times that it sets to seconds */
	struct timespec ts[2] = { { 1000000000, 0 }, { 1100000000, 0 } };
	struct statfs fs;
	struct stat st;
	char v[64];

	put("a", "x");
	WANT(!chmod("a", 0640) && !stat("a", &st) && (st.st_mode & 07777) == 0640);
	WANT(!utimensat(AT_FDCWD, "a", ts, 0) && !stat("a", &st));
	WANT(st.st_atim.tv_sec == 1000000000 && st.st_mtim.tv_sec == 1100000000);
	WANT(!chown("a", 12, 34) && !stat("a", &st));
	WANT(owners ? st.st_uid == 12 && st.st_gid == 34 : st.st_uid == 0);
	if (owners) {
		WANT(!mknod("n", S_IFCHR | 0600, makedev(1, 3)) && !stat("n", &st));
		WANT(S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3) && !unlink("n"));
		WANT(!chmod("a", 04711) && !stat("a", &st) && (st.st_mode & 07777) == 04711);
	}
	WANT(!statfs(".", &fs) && fs.f_type == 0x01021997 && fs.f_blocks);
	WANT(!setxattr("a", "user.k", "value", 5, 0) && getxattr("a", "user.k", v, 64) == 5);
	WANT(!memcmp(v, "value", 5) && listxattr("a", v, 64) == 7 && !strcmp(v, "user.k"));
	WANT(setxattr("a", "user.k", "v", 1, XATTR_CREATE) == -1 && errno == EEXIST);
	WANT(!removexattr("a", "user.k") && getxattr("a", "user.k", v, 64) == -1 && errno == ENODATA);
	WANT(!unlink("a"));
}

static void mappings(void)
{
	char *p, buf[8];
	int fd;

	fd = open("m", O_RDWR | O_CREAT | O_TRUNC, 0644);
	WANT(fd >= 0 && !ftruncate(fd, 300000) && pwrite(fd, "before", 6, 200000) == 6);
	p = mmap(NULL, 300000, PROT_READ, MAP_PRIVATE, fd, 0);
	WANT(p != MAP_FAILED && !memcmp(p + 200000, "before", 6) && !munmap(p, 300000));
	if (loose) {
		p = mmap(NULL, 300000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		WANT(p != MAP_FAILED);
		memcpy(p + 100000, "mapped", 6);
		WANT(!msync(p, 300000, MS_SYNC) && !munmap(p, 300000));
		WANT(pread(fd, buf, 6, 100000) == 6 && !memcmp(buf, "mapped", 6));
	}
	WANT(!close(fd) && !unlink("m"));
}

static int child_says(int (*fn)(void))
{
	int status = 0;
	pid_t pid = fork();

	if (!pid)
		_exit(fn());
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}
static int try_lock(void)
{
	struct flock k = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 1 };
	int fd = open("l", O_RDWR);

	return fcntl(fd, F_SETLK, &k) ? errno : 0;
}
static int try_flock(void)
{
	int fd = open("l", O_RDWR);

	return flock(fd, LOCK_EX | LOCK_NB) ? errno : 0;
}

static void locks(void)
{
	struct flock k = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10 };
	int fd;

	put("l", "x");
	fd = open("l", O_RDWR);
	WANT(fd >= 0 && !fcntl(fd, F_SETLK, &k));
	WANT(child_says(try_lock) == EAGAIN);
	k.l_type = F_UNLCK;
	WANT(!fcntl(fd, F_SETLK, &k));
	WANT(child_says(try_lock) == 0 && child_says(try_lock) == 0);
	WANT(!flock(fd, LOCK_EX) && child_says(try_flock) == EAGAIN);
	WANT(!close(fd) && child_says(try_flock) == 0);
	WANT(!unlink("l"));
}

int main(int argc, char **argv)
{
	static const struct { const char *name; void (*fn)(void); } all[] = {
		{ "files", files }, { "names", names }, { "directories", directories },
		{ "attributes", attributes }, { "mappings", mappings }, { "locks", locks },
	};
	int rc = 0;

	if (argc < 3 || chdir(argv[2])) {
		perror("p9-guest");
		return 2;
	}
	for (int i = 3; i < argc; i++) {
		loose |= !strcmp(argv[i], "loose");
		owners |= !strcmp(argv[i], "owners");
	}
	umask(0);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		bad_line = 0;
		all[i].fn();
		if (bad_line)
			printf("%s: %s failed: line %d: %s (%s)\n", argv[1], all[i].name, bad_line, bad_why,
			       strerror(bad_errno));
		else
			printf("%s: %s ok\n", argv[1], all[i].name);
		fflush(stdout);
		rc |= bad_line;
	}
	return rc != 0;
}
