// SPDX-License-Identifier: BSD-2-Clause
/* bench/cpu - what a program asks of its kernel: calls, processes, pages, files, signals */
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cpu.h"

static uint64_t getppid_run(void)
{
	pid_t parent = getppid();
	uint64_t same = 0;
	int i;

	for (i = 0; i < 100; i++)
		same += syscall(SYS_getppid) == parent;
	return same;
}

/* ---------------------------------------------------------------- two processes in turn */
static int there[2], back[2];

/* A partner that answers every byte with its successor, until we are gone */
static bool echo_setup(int mine, int other)
{
	char c;

	if (!pin_to(mine) || pipe(there) || pipe(back))
		return false;
	switch (fork()) {
	case -1:
		return false;
	case 0:
		close(there[1]);
		close(back[0]);
		pin_to(other);
		while (read(there[0], &c, 1) == 1) {
			c++;
			if (write(back[1], &c, 1) != 1)
				break;
		}
		_exit(0);
	}
	close(there[0]);
	close(back[1]);
	return true;
}

static bool echo_here_setup(void)
{
	return echo_setup(0, 0);
}

static bool echo_far_setup(void)
{
	return echo_setup(0, 1);
}

static uint64_t echo_run(void)
{
	uint64_t right = 0;
	char c, r = 0;
	int i;

	for (i = 0; i < 10; i++) {
		c = i * 3;
		if (write(there[1], &c, 1) != 1 || read(back[0], &r, 1) != 1)
			return 0;
		right += r == (char)(c + 1);
	}
	return right;
}

static bool pipe_setup(void)
{
	return !pipe(there);
}

static uint64_t pipe_run(void)
{
	uint64_t right = 0, v;
	int i;

	for (i = 0; i < 10; i++) {
		v = i * 1000003;
		if (write(there[1], &v, 8) != 8 || read(there[0], &v, 8) != 8)
			return 0;
		right += v == i * 1000003ull;
	}
	return right;
}

static bool yield_setup(void)
{
	if (!pin_to(0))
		return false;
	switch (fork()) {
	case -1:
		return false;
	case 0:
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			sched_yield();
	}
	return true;
}

static uint64_t yield_run(void)
{
	int i;

	for (i = 0; i < 10; i++)
		if (sched_yield())
			return 0;
	return 1;
}

/* ---------------------------------------------------------------------------- processes */
static uint64_t fork_run(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(42);
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 42;
}

static uint64_t exec_run(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execl(bench_self, "cpu", "--exit", "43", (char *)NULL);
		_exit(1);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 43;
}

/* -------------------------------------------------------------------------------- pages */
#define PAGES 64

static uint64_t fault_run(void)
{
	uint8_t *p = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t sum = 0;
	int i;

	if (p == MAP_FAILED)
		return 0;
	for (i = 0; i < PAGES; i++) {
		sum += p[i * 4096 + 8] == 0;
		p[i * 4096 + 8] = i;
	}
	for (i = 0; i < PAGES; i++)
		sum += p[i * 4096 + 8] == i;
	munmap(p, PAGES * 4096);
	return sum;
}

static uint8_t *pages;

static bool pages_setup(void)
{
	pages = need_memory(PAGES * 4096);
	memset(pages, 1, PAGES * 4096);
	return true;
}

static uint64_t mprotect_run(void)
{
	uint64_t done = 0;
	int i;

	for (i = 1; i < PAGES - 1; i++) {
		done += !mprotect(pages + i * 4096, 4096, PROT_READ);
		done += pages[i * 4096];
		done += !mprotect(pages + i * 4096, 4096, PROT_READ | PROT_WRITE);
		pages[i * 4096] = 1;
	}
	return done;
}

/* -------------------------------------------------------------------------------- files */
static char path[256];
static int file = -1;
static uint8_t buffer[4096], buffer2[4096];

static bool file_setup(void)
{
	snprintf(path, sizeof(path), "%s/hk-bench-%d", bench_dir, getpid());
	file = open(path, O_CREAT | O_RDWR | O_TRUNC, 0600);
	memset(buffer, 'x', sizeof(buffer));
	return file >= 0 && write(file, buffer, sizeof(buffer)) == sizeof(buffer);
}

static void forget_file(void)
{
	unlink(path);
}

static bool named_setup(void)
{
	return file_setup() && !atexit(forget_file);
}

static bool open_setup(void)
{
	if (!file_setup())
		return false;
	unlink(path);
	return true;
}

static uint64_t open_run(void)
{
	uint64_t right = 0;
	int i, fd;

	for (i = 0; i < 10; i++) {
		fd = open(path, O_RDONLY);
		right += fd >= 0 && !close(fd);
	}
	return right;
}

static uint64_t stat_run(void)
{
	struct stat st;
	uint64_t right = 0;
	int i;

	for (i = 0; i < 10; i++)
		right += !stat(path, &st) && st.st_size == 4096;
	return right;
}

static uint64_t write_run(void)
{
	uint64_t right = 0;
	int i;

	for (i = 0; i < 16; i++)
		right += pwrite(file, buffer, sizeof(buffer), i * 4096) == sizeof(buffer);
	return right;
}

static uint64_t read_run(void)
{
	uint64_t right = 0;
	int i;

	for (i = 0; i < 16; i++) {
		right += pread(file, buffer2, sizeof(buffer2), 0) == sizeof(buffer2);
		right += buffer2[i * 256] == 'x';
		buffer2[i * 256] = 0;
	}
	return right;
}

/* ------------------------------------------------------------------------------ signals */
static volatile sig_atomic_t caught;
static volatile uint8_t *guarded;

static void on_signal(int number)
{
	caught++;
}

static void on_segv(int number, siginfo_t *info, void *context)
{
	caught++;
	if (info->si_addr != guarded || mprotect((void *)guarded, 4096, PROT_READ | PROT_WRITE))
		_exit(3);
}

static bool signal_setup(void)
{
	struct sigaction sa = { .sa_handler = on_signal };

	return !sigaction(SIGUSR1, &sa, NULL);
}

static uint64_t signal_run(void)
{
	int i;

	caught = 0;
	for (i = 0; i < 10; i++)
		raise(SIGUSR1);
	return caught;
}

static bool segv_setup(void)
{
	struct sigaction sa = { .sa_sigaction = on_segv, .sa_flags = SA_SIGINFO };

	guarded = need_memory(4096);
	return !sigaction(SIGSEGV, &sa, NULL);
}

static uint64_t segv_run(void)
{
	int i;

	caught = 0;
	for (i = 0; i < 10; i++) {
		mprotect((void *)guarded, 4096, PROT_NONE);
		*guarded = i;
	}
	return caught;
}

/* ------------------------------------------------------------------------------ threads */
static atomic_uint turn;

static void turn_wait(unsigned value)
{
	unsigned now;

	while ((now = atomic_load(&turn)) != value)
		syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, now, NULL, NULL, 0);
}

static void turn_give(unsigned value)
{
	atomic_store(&turn, value);
	syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *turn_thread(void *arg)
{
	pin_to(0);
	for (;;) {
		turn_wait(1);
		turn_give(0);
	}
	return NULL;
}

static bool futex_setup(void)
{
	pthread_t t;

	return pin_to(0) && !pthread_create(&t, NULL, turn_thread, NULL);
}

static uint64_t futex_run(void)
{
	int i;

	for (i = 0; i < 10; i++) {
		turn_give(1);
		turn_wait(0);
	}
	return atomic_load(&turn) == 0;
}

static atomic_ulong shared_count;

static void *count_thread(void *arg)
{
	int i;

	for (i = 0; i < 20000; i++)
		atomic_fetch_add(&shared_count, 1);
	return NULL;
}

static uint64_t atomics_run(void)
{
	pthread_t t;

	atomic_store(&shared_count, 0);
	if (pthread_create(&t, NULL, count_thread, NULL))
		return 0;
	count_thread(NULL);
	pthread_join(t, NULL);
	return atomic_load(&shared_count);
}

static void *answer_thread(void *arg)
{
	return (char *)arg + 1;
}

static uint64_t thread_run(void)
{
	pthread_t t;
	void *got = NULL;

	if (pthread_create(&t, NULL, answer_thread, buffer))
		return 0;
	pthread_join(t, &got);
	return got == buffer + 1;
}

static const struct work works[] = {
	{ "getppid", "call", 100, 100, NULL, getppid_run },
	{ "pipe", "write and read", 10, 10, pipe_setup, pipe_run },
	{ "pipe-pingpong", "round trip, one CPU", 10, 10, echo_here_setup, echo_run },
	{ "pipe-pingpong-2", "round trip, two CPUs", 10, 10, echo_far_setup, echo_run },
	{ "context-switch", "sched_yield of two", 10, 1, yield_setup, yield_run },
	{ "fork", "fork and wait", 1, 1, NULL, fork_run },
	{ "exec", "fork, exec and wait", 1, 1, NULL, exec_run },
	{ "thread", "create and join", 1, 1, NULL, thread_run },
	{ "page-fault", "page", PAGES, 2 * PAGES, NULL, fault_run },
	{ "mprotect", "call", 2 * (PAGES - 2), 3 * (PAGES - 2), pages_setup, mprotect_run },
	{ "open-close", "pair", 10, 10, named_setup, open_run },
	{ "stat", "call", 10, 10, named_setup, stat_run },
	{ "write-4k", "4 KiB", 16, 16, open_setup, write_run },
	{ "read-4k", "4 KiB", 16, 32, open_setup, read_run },
	{ "signal", "raise and handler", 10, 10, signal_setup, signal_run },
	{ "segv", "fault, handler, mprotect", 10, 10, segv_setup, segv_run },
	{ "futex", "round trip, one CPU", 10, 1, futex_setup, futex_run },
	{ "atomics", "increment by two threads", 40000, 40000, NULL, atomics_run },
};
GROUP(kernel, works);
