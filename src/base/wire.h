// SPDX-License-Identifier: BSD-2-Clause
/* base/wire.h - Little and big endian numbers that somebody else wrote
 *
 * A field of such a type is not a number until it is read with its accessor,
 * so byte order and alignment mistakes do not compile. [any] */
#ifndef BASE_WIRE_H
#define BASE_WIRE_H

#include <string.h>

#include "base/types.h"

typedef struct { u8 b[2]; } le16;
typedef struct { u8 b[4]; } le32;
typedef struct { u8 b[8]; } le64;
typedef struct { u8 b[2]; } be16;
typedef struct { u8 b[4]; } be32;
typedef struct { u8 b[8]; } be64;

#define WIRE_DEFINE(bits, order, swap)                              \
	static inline u##bits order##bits##_get(order##bits v)      \
	{                                                           \
		u##bits x;                                          \
		memcpy(&x, v.b, sizeof(x));                         \
		return swap(x);                                     \
	}                                                           \
	static inline order##bits order##bits##_of(u##bits x)       \
	{                                                           \
		order##bits v;                                      \
		x = swap(x);                                        \
		memcpy(v.b, &x, sizeof(x));                         \
		return v;                                           \
	}
#define WIRE_SAME(x) (x)
WIRE_DEFINE(16, le, WIRE_SAME)
WIRE_DEFINE(32, le, WIRE_SAME)
WIRE_DEFINE(64, le, WIRE_SAME)
WIRE_DEFINE(16, be, __builtin_bswap16)
WIRE_DEFINE(32, be, __builtin_bswap32)
WIRE_DEFINE(64, be, __builtin_bswap64)
#undef WIRE_SAME
#undef WIRE_DEFINE

/* Unaligned little endian at a raw place */
static inline u16 load_le16(const void *p) { u16 v; memcpy(&v, p, 2); return v; }
static inline u32 load_le32(const void *p) { u32 v; memcpy(&v, p, 4); return v; }
static inline u64 load_le64(const void *p) { u64 v; memcpy(&v, p, 8); return v; }
static inline void store_le16(void *p, u16 v) { memcpy(p, &v, 2); }
static inline void store_le32(void *p, u32 v) { memcpy(p, &v, 4); }
static inline void store_le64(void *p, u64 v) { memcpy(p, &v, 8); }

#endif
