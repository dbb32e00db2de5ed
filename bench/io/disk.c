// SPDX-License-Identifier: BSD-2-Clause
/* bench/io/disk.c - What a guest's disk does: requests and bytes a second
 *
 * usage: disk MILLISECONDS DEVICE...	(as /bench/disk in the guest)
 * Linux's own asynchronous I/O with O_DIRECT, so that the guest's page cache is not what is
 * measured. Prints lines "disk DEVICE NAME VALUE UNIT". */
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MAX_DEPTH 32

struct test {
	const char *name;
	unsigned bytes, depth;
	int write, random;
};

static const struct test tests[] = {
	{ "read-4k-qd1", 4096, 1, 0, 1 },     { "read-4k-qd32", 4096, 32, 0, 1 },
	{ "write-4k-qd1", 4096, 1, 1, 1 },    { "write-4k-qd32", 4096, 32, 1, 1 },
	{ "read-seq-1m", 1 << 20, 4, 0, 0 },  { "write-seq-1m", 1 << 20, 4, 1, 0 },
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static uint64_t rnd(void)
{
	static uint64_t x = 88172645463325252ull;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

static int fail(const char *what)
{
	perror(what);
	return 1;
}

static int run(const char *dev, int fd, uint64_t size, const struct test *t, double seconds)
{
	static struct iocb cb[MAX_DEPTH];
	static unsigned char *buf[MAX_DEPTH];
	struct io_event ev[MAX_DEPTH];
	uint64_t blocks = size / t->bytes, next = 0, done = 0;
	aio_context_t ctx = 0;
	double start, end;
	unsigned i, flight = 0;

	if (syscall(SYS_io_setup, MAX_DEPTH, &ctx))
		return fail("io_setup");
	for (i = 0; i < t->depth; i++) {
		if (!buf[i] && posix_memalign((void **)&buf[i], 4096, 1 << 20))
			return fail("memory");
		memset(buf[i], (int)i + 1, t->bytes);
	}
	start = end = now();
	for (i = 0; i < t->depth || flight;) {
		struct iocb *list[MAX_DEPTH];
		unsigned n = 0;
		long got;

		/* All that are free go out together, as a queue of that depth does */
		for (; i < t->depth; i++, n++) {
			uint64_t at = t->random ? rnd() % blocks : next++ % blocks;

			memset(&cb[i], 0, sizeof(cb[i]));
			cb[i].aio_fildes = (unsigned)fd;
			cb[i].aio_lio_opcode = t->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
			cb[i].aio_buf = (uintptr_t)buf[i];
			cb[i].aio_nbytes = t->bytes;
			cb[i].aio_offset = (int64_t)(at * t->bytes);
			cb[i].aio_data = i;
			list[n] = &cb[i];
		}
		if (n && syscall(SYS_io_submit, ctx, (long)n, list) != (long)n)
			return fail("io_submit");
		flight += n;
		for (;;) {
			got = syscall(SYS_io_getevents, ctx, 1L, (long)MAX_DEPTH, ev, NULL);
			if (got < 1)
				return fail("io_getevents");
			end = now();
			n = 0;
			for (long e = 0; e < got; e++) {
				struct iocb *c = &cb[ev[e].data];
				uint64_t at = t->random ? rnd() % blocks : next++ % blocks;

				if (ev[e].res != (int64_t)t->bytes) {
					fprintf(stderr, "%s %s: a request failed\n", dev, t->name);
					return 1;
				}
				done++;
				c->aio_offset = (int64_t)(at * t->bytes);
				list[n++] = c;
			}
			flight -= n;
			if (end - start >= seconds)
				break;
			if (syscall(SYS_io_submit, ctx, (long)n, list) != (long)n)
				return fail("io_submit");
			flight += n;
		}
		while (flight) {
			got = syscall(SYS_io_getevents, ctx, 1L, (long)MAX_DEPTH, ev, NULL);
			if (got < 1)
				return fail("io_getevents");
			flight -= (unsigned)got;
		}
	}
	syscall(SYS_io_destroy, ctx);
	if (t->random)
		printf("disk %s %s %.0f IOPS\n", dev, t->name, (double)done / (end - start));
	else
		printf("disk %s %s %.1f MB/s\n", dev, t->name,
		       (double)done * t->bytes / 1e6 / (end - start));
	fflush(stdout);
	return 0;
}

int main(int argc, char **argv)
{
	double seconds;

	if (argc < 3) {
		fprintf(stderr, "usage: disk MILLISECONDS DEVICE...\n");
		return 2;
	}
	seconds = atof(argv[1]) / 1000;
	for (int i = 2; i < argc; i++) {
		int fd = open(argv[i], O_RDWR | O_DIRECT);
		uint64_t size = 0;

		if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size))
			return fail(argv[i]);
		for (unsigned t = 0; t < sizeof(tests) / sizeof(tests[0]); t++)
			if (run(argv[i] + strlen("/dev/"), fd, size, &tests[t], seconds))
				return 1;
		close(fd);
	}
	return 0;
}
