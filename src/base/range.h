// SPDX-License-Identifier: BSD-2-Clause
/* base/range.h - Overflow-checked "offset + length" on numbers nobody vouches for [any] */
#ifndef BASE_RANGE_H
#define BASE_RANGE_H

#include "base/types.h"

/* Is [off, off+len) inside [0, limit)? An empty range at @limit is. */
static inline bool range_ok(u64 off, u64 len, u64 limit)
{
	return len <= limit && off <= limit - len;
}

/* Do [a, a+alen) and [b, b+blen) share a byte? Neither range wraps. */
static inline bool range_overlap(u64 a, u64 alen, u64 b, u64 blen)
{
	return alen && blen && a <= b + (blen - 1) && b <= a + (alen - 1);
}

#endif
