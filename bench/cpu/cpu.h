/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench/cpu - a guest program that measures a CPU by small named workloads
 *
 * A workload is a function that does a fixed number of operations from a fixed start
 * and returns a digest of what it computed. main.c calls it until enough time has gone
 * by, and compares the digest each time: a CPU that is fast but wrong is noticed.
 * Each workload runs in a process of its own.
 */
#ifndef BENCH_CPU_H
#define BENCH_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct work {
	const char *name;
	const char *unit;	/* what one operation is */
	double ops;		/* operations in one call of run */
	uint64_t want;		/* what run returns */
	bool (*setup)(void);	/* may be NULL; false: this CPU or system cannot */
	uint64_t (*run)(void);
};

struct group {
	const char *name;
	const struct work *works;
	size_t n;
};

extern const struct group integer_group, flow_group, fp_group, memory_group, kernel_group,
	jit_group, smp_group;

/* Options */
extern const char *bench_dir;	/* a folder on tmpfs */
extern const char *bench_self;	/* path of this program */

#define GROUP(tag, list) \
	const struct group tag##_group = { #tag, list, sizeof(list) / sizeof(list[0]) }

/* xorshift64*; the same numbers everywhere */
static inline uint64_t rnd(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

static inline uint64_t mix(uint64_t digest, uint64_t v)
{
	digest = (digest ^ v) * 0x9e3779b97f4a7c15ull;
	return digest ^ digest >> 29;
}

/* Keep the compiler from removing or moving what was computed */
#define KEEP(p) __asm__ volatile("" : : "r"(p) : "memory")

bool pin_to(int cpu);			/* this thread to one CPU; false: not possible */
void *need_memory(size_t size);		/* zeroed, or the end of the program */
uint64_t sha_unit(void);		/* some 64 KiB of SHA-256, for smp.c */

#endif
