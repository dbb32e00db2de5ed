// SPDX-License-Identifier: BSD-2-Clause
/* mem/mem.h - Guest RAM: blocks, checked access, who must be told of a store (door) */
#ifndef MEM_MEM_H
#define MEM_MEM_H

#include <sys/uio.h>

#include "base/types.h"
#include "hyperkit/hyperkit.h"

#define MEM_MAX_BLOCKS 16
#define MEM_ROM BIT(0) /* the guest cannot store there; mem_write by devices is refused too */

struct mem_block {
	gpa_t gpa;
	u64 len;
	u8 *hva;
	u32 flags;
};

struct mem {
	struct mem_block block[MEM_MAX_BLOCKS]; /* sorted by gpa; constant after [setup] */
	unsigned num_blocks;
	/* Called after each foreign store, NULL = nobody cares; set in [setup] */
	void (*wrote)(void *arg, gpa_t gpa, u64 len);
	void *wrote_arg;
};

void mem_init(struct mem *m);
void mem_fini(struct mem *m); /* unmaps; no vCPU may exist any more */
/* [setup] Allocate zeroed lazily-touched memory; page aligned. -EEXIST overlap, -ENOMEM */
int mem_add(struct mem *m, gpa_t gpa, u64 len, u32 flags, struct hk_err *err) MUST_CHECK;
/* [any] Host address of [gpa, gpa+len) when it lies in one block, else NULL. For reads;
 * a caller that stores there calls mem_wrote() after. ROM is returned too. */
void *mem_ptr(const struct mem *m, gpa_t gpa, u64 len);
/* [any] Copies across blocks; -EFAULT outside RAM (or ROM on write), then nothing is promised */
int mem_read(const struct mem *m, gpa_t gpa, void *buf, u64 len) MUST_CHECK;
int mem_write(struct mem *m, gpa_t gpa, const void *buf, u64 len) MUST_CHECK;
/* [any] Pieces of [gpa, gpa+len) as iovecs. Return: count, -EFAULT, -E2BIG above @max */
int mem_iov(const struct mem *m, gpa_t gpa, u64 len, bool writable, struct iovec *iov, int max) MUST_CHECK;
/* [any] Give the host back the whole pages inside [gpa, gpa+len): they read as zeros and cost nothing
 * until touched. Tells the accelerator. Return: bytes given back, -EFAULT outside RAM, -errno */
s64 mem_discard(struct mem *m, gpa_t gpa, u64 len);
/* [any] Tell the accelerator, after direct stores: store first, tell afterwards */
void mem_wrote(struct mem *m, gpa_t gpa, u64 len);

#endif
