// SPDX-License-Identifier: BSD-2-Clause
/* base/clock.h - Where time comes from, so that tests can bring their own
 *
 * Each machine has one `struct clock`. The host's is CLOCK_MONOTONIC; a test's
 * is a number it moves by hand. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <time.h>

#include "base/types.h"

#define NS_PER_SEC 1000000000ull

struct clock {
	u64 (*now_ns)(struct clock *c);	     /* [any] monotonic, ns */
	s64 (*wall_ns)(struct clock *c);     /* [any] ns since 1970 UTC */
};

void clock_init_host(struct clock *c); /* [any] */

static inline u64 clock_ns(struct clock *c) { return c->now_ns(c); }

/* A clock that stands still until clock_fake_advance() */
struct clock_fake {
	struct clock clock; /* first: cast from it */
	_Atomic u64 ns;
	_Atomic s64 wall;
};
void clock_fake_init(struct clock_fake *f, u64 start_ns, s64 wall_ns);
void clock_fake_advance(struct clock_fake *f, u64 ns);

/* @a * @mul / @div without losing the upper half, rounding down */
static inline u64 muldiv64(u64 a, u64 mul, u64 div)
{
	return (u64)((u128)a * mul / div);
}

#endif
