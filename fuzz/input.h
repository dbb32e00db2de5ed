// SPDX-License-Identifier: BSD-2-Clause
/* fuzz/input.h - A fuzzer's bytes as numbers, and what a target demands
 *
 * Reading behind the end gives zeros, so that every input is a whole one. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/types.h"

struct in {
	const u8 *p;
	size_t n;
};

static inline u8 u8_of(struct in *in)
{
	if (!in->n)
		return 0;
	in->n--;
	return *in->p++;
}

/* At most 8 bytes, the first one highest */
static inline u64 num_of(struct in *in, unsigned bytes)
{
	u64 v = 0;

	while (bytes--)
		v = v << 8 | u8_of(in);
	return v;
}

static inline u32 u32_of(struct in *in)
{
	return (u32)num_of(in, 4);
}

/* A finding when it does not hold */
static inline void require(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
		abort();
	}
}

#endif
