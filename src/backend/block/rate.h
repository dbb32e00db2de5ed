// SPDX-License-Identifier: BSD-2-Clause
/* backend/block/rate.h - How much may pass in a second: a token bucket [caller's lock]
 *
 * A request passes when the bucket is not empty and may leave it in debt, so that one
 * larger than the burst still gets through; the next waits until the debt is paid. */
#ifndef BACKEND_BLOCK_RATE_H
#define BACKEND_BLOCK_RATE_H

#include "base/types.h"

struct rate {
	u64 per_s; /* 0 = no limit */
	u64 burst;
	s64 tokens;
	u64 last_ns;
};

static inline void rate_init(struct rate *r, u64 per_s, u64 burst, u64 now_ns)
{
	r->per_s = MIN(per_s, (u64)1 << 50);
	r->burst = MIN(burst ? burst : MAX(r->per_s / 10, 1), (u64)1 << 50);
	r->tokens = (s64)r->burst;
	r->last_ns = now_ns;
}

static inline void rate_refill(struct rate *r, u64 now_ns)
{
	u64 dt = now_ns > r->last_ns ? now_ns - r->last_ns : 0;
	u128 add = (u128)dt * r->per_s / 1000000000u;

	if ((s64)r->burst - r->tokens <= (s64)MIN(add, (u128)1 << 62)) {
		r->tokens = (s64)r->burst;
		r->last_ns = now_ns;
		return;
	}
	r->tokens += (s64)add;
	/* Only the time that became whole tokens, so that none is lost to rounding */
	r->last_ns += (u64)(add * 1000000000u / r->per_s);
}

/* Return: 0 = may pass now, else how many ns until it may */
static inline u64 rate_wait_ns(struct rate *r, u64 now_ns)
{
	if (!r->per_s)
		return 0;
	rate_refill(r, now_ns);
	if (r->tokens > 0)
		return 0;
	return (u64)(((u128)(1 - r->tokens) * 1000000000u + r->per_s - 1) / r->per_s);
}

static inline void rate_take(struct rate *r, u64 n)
{
	if (r->per_s)
		r->tokens -= (s64)MIN(n, (u64)1 << 50);
}

#endif
