// SPDX-License-Identifier: BSD-2-Clause
/*
 * bench/cpu - two processes after each other on one CPU (x1), and at once on two (x2)
 *
 * bench/cpu/run shows the quotient of both times, the speed-up.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cpu.h"

static uint64_t computed(void)
{
	uint64_t d = 0;
	int i;

	for (i = 0; i < 64; i++)
		d = mix(d, sha_unit());
	return d != 0;
}

static uint64_t faulted(void)
{
	uint8_t *p;
	int i, k;

	for (i = 0; i < 64; i++) {
		p = mmap(NULL, 64 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			return 0;
		for (k = 0; k < 64; k++)
			p[k * 4096] = 1;
		munmap(p, 64 * 4096);
	}
	return 1;
}

static pid_t start(int cpu, uint64_t (*load)(void))
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(pin_to(cpu) ? 10 + load() : 1);
	return pid;
}

static uint64_t finish(pid_t pid)
{
	int status;

	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 11;
}

static uint64_t in_turn(uint64_t (*load)(void))
{
	uint64_t right = finish(start(0, load));

	return right + finish(start(0, load));
}

static uint64_t at_once(uint64_t (*load)(void))
{
	pid_t a = start(0, load), b = start(1, load);
	uint64_t right = finish(a);

	return right + finish(b);
}

static uint64_t sha_x1(void) { return in_turn(computed); }
static uint64_t sha_x2(void) { return at_once(computed); }
static uint64_t fault_x1(void) { return in_turn(faulted); }
static uint64_t fault_x2(void) { return at_once(faulted); }

static bool two_cpus(void)
{
	return pin_to(1) && pin_to(0);
}

static const struct work works[] = {
	{ "compute-x1", "two loads", 1, 2, two_cpus, sha_x1 },
	{ "compute-x2", "two loads", 1, 2, two_cpus, sha_x2 },
	{ "page-fault-x1", "two loads", 1, 2, two_cpus, fault_x1 },
	{ "page-fault-x2", "two loads", 1, 2, two_cpus, fault_x2 },
};
GROUP(smp, works);
