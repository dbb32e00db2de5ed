// SPDX-License-Identifier: BSD-2-Clause
/*
 * bench/cpu - runs the workloads, measures, checks
 *
 * For each workload one line "name group nanoseconds-per-operation", the median of some
 * runs by CLOCK_MONOTONIC, or "name group skipped|wrong|crashed ...". Lines that start
 * with "clock" let who reads our output compare our clock with its own.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cpu.h"

#define MAX_REPS 99
#define WORK_TIMEOUT 180	/* seconds until a workload counts as hung */

const char *bench_dir = "/tmp";
const char *bench_self;
static int reps = 3;
static double target_ns = 250e6;
static const char *pattern = "";
static const char *cc1, *cc1_input;

static const struct group *const groups[] = {
	&integer_group, &flow_group, &fp_group, &memory_group, &kernel_group, &jit_group, &smp_group,
};

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

bool pin_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return !sched_setaffinity(0, sizeof(set), &set);
}

void *need_memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("bench/cpu: memory");
		exit(2);
	}
	return p;
}

static int by_number(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, int n)
{
	qsort(v, n, sizeof(*v), by_number);
	return n & 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* ------------------------------------------------------------------------- one workload */
static double timed(const struct group *g, const struct work *w, uint64_t n)
{
	double start = now_ns();
	uint64_t i, got;

	for (i = 0; i < n; i++) {
		got = w->run();
		if (got != w->want) {
			printf("%s %s wrong: %" PRIu64 ", not %" PRIu64 ", in round %" PRIu64 "\n", w->name, g->name,
			       got, w->want, i);
			fflush(stdout);
			exit(1);
		}
	}
	return now_ns() - start;
}

/* In a process of its own: neither a crash nor memory of one reaches the next */
static void measure(const struct group *g, const struct work *w)
{
	double t, each[MAX_REPS];
	uint64_t n = 1;
	int i;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(WORK_TIMEOUT);
	if (w->setup && !w->setup()) {
		printf("%s %s skipped\n", w->name, g->name);
		exit(0);
	}
	while ((t = timed(g, w, n)) < target_ns / 4)
		n = t < target_ns / 64 ? n * 8 : n * 2;
	n = n * target_ns / t + 0.5;
	if (n < 1)
		n = 1;
	for (i = 0; i < reps; i++)
		each[i] = timed(g, w, n) / (n * w->ops);
	printf("%s %s %.4g\n", w->name, g->name, median(each, reps));
	exit(0);
}

static bool run_work(const struct group *g, const struct work *w)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0) {
		perror("bench/cpu: fork");
		return false;
	}
	if (pid == 0)
		measure(g, w);
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		printf("%s %s crashed: %s\n", w->name, g->name, strsignal(WTERMSIG(status)));
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* --------------------------------------------------------------- a real compiler */
static bool compile(const char *out, double *ns)
{
	double start = now_ns();
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execl(cc1, cc1, "-quiet", "-fpreprocessed", "-O2", cc1_input, "-o", out, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return false;
	*ns = now_ns() - start;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static uint64_t file_digest(const char *path)
{
	uint64_t d = 0;
	FILE *f = fopen(path, "r");
	int c;

	if (!f)
		return 0;
	while ((c = getc(f)) != EOF)
		d = mix(d, c);
	fclose(f);
	return d;
}

/* First time: nothing is translated yet. Then again, with what is there. */
static bool run_compiler(void)
{
	double cold, warm[MAX_REPS];
	char out[256];
	bool ok;
	int i;

	snprintf(out, sizeof(out), "%s/hk-bench-%d.s", bench_dir, getpid());
	ok = compile(out, &cold);
	for (i = 0; ok && i < reps; i++)
		ok = compile(out, &warm[i]);
	if (ok) {
		printf("cc1-cold compile %.4g\n", cold);
		printf("cc1-warm compile %.4g\n", median(warm, reps));
		/* The reader knows what the compiler makes of it elsewhere */
		printf("cc1-output digest %016" PRIx64 "\n", file_digest(out));
	} else {
		printf("cc1-cold compile crashed: it does not compile %s\n", cc1_input);
	}
	unlink(out);
	return ok;
}

static void list(void)
{
	size_t i, k;

	for (i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		for (k = 0; k < groups[i]->n; k++)
			printf("%s\t%s\t%s\n", groups[i]->works[k].name, groups[i]->name, groups[i]->works[k].unit);
	printf("cc1-cold\tcompile\tfile, first time\n");
	printf("cc1-warm\tcompile\tfile, again\n");
}

static void print_digests(void)
{
	const struct work *w;
	size_t i, k;

	for (i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		for (k = 0; k < groups[i]->n; k++) {
			w = &groups[i]->works[k];
			fflush(stdout);
			if (!w->setup || w->setup())
				printf("%s %s %" PRIu64 "\n", w->name, groups[i]->name, w->run());
		}
}

static bool wanted(const char *group, const char *name)
{
	char both[128], words[512], *p, *save;

	if (!*pattern)
		return true;
	snprintf(both, sizeof(both), "%s/%s", group, name);
	snprintf(words, sizeof(words), "%s", pattern);
	for (p = strtok_r(words, ",", &save); p; p = strtok_r(NULL, ",", &save))
		if (strstr(both, p))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	bool ok = true;
	size_t i, k;
	int o;

	if (argc == 3 && !strcmp(argv[1], "--exit"))
		return atoi(argv[2]);
	bench_self = "/proc/self/exe";
	while ((o = getopt(argc, argv, "c:d:i:k:lDr:t:")) != -1) {
		switch (o) {
		case 'c': cc1 = optarg; break;
		case 'd': bench_dir = optarg; break;
		case 'i': cc1_input = optarg; break;
		case 'k': pattern = optarg; break;
		case 'l': list(); return 0;
		case 'D': print_digests(); return 0;
		case 'r': reps = atoi(optarg); break;
		case 't': target_ns = atof(optarg) * 1e6; break;
		default:
			fprintf(stderr, "usage: cpu [-r repetitions] [-t milliseconds] [-k word,word...] [-d folder on tmpfs]\n"
				"           [-c path of cc1 -i preprocessed file]\n"
				"       cpu -l (list workloads) | -D (print the digests of this CPU)\n");
			return 2;
		}
	}
	if (reps < 1 || reps > MAX_REPS || target_ns < 1e6)
		return 2;
	printf("clock start %.0f\n", now_ns());
	fflush(stdout);
	if (cc1 && cc1_input && wanted("compile", "cc1"))
		ok &= run_compiler();
	for (i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		for (k = 0; k < groups[i]->n; k++)
			if (wanted(groups[i]->name, groups[i]->works[k].name))
				ok &= run_work(groups[i], &groups[i]->works[k]);
	printf("clock end %.0f\n", now_ns());
	return ok ? 0 : 1;
}
