// SPDX-License-Identifier: BSD-2-Clause
/* mem/mem.c - Where guest RAM comes from
 *
 * Blocks are private anonymous memory that costs nothing until touched, between
 * guard pages. [setup] only; access.c has what devices call. */
#include "mem/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/err.h"
#include "base/range.h"

/* On both sides of a block: a host access past the end faults instead of reaching
 * what malloc put there */
#define GUARD_BYTES (64 * 1024ull)
#define HUGE_BYTES (2 * 1024 * 1024ull)

void mem_init(struct mem *m)
{
	memset(m, 0, sizeof(*m));
}

void mem_fini(struct mem *m)
{
	if (!m)
		return;
	for (unsigned i = 0; i < m->num_blocks; i++)
		munmap(m->block[i].hva - GUARD_BYTES, m->block[i].len + 2 * GUARD_BYTES);
	m->num_blocks = 0;
}

/* Memory whose address has the same place in a 2 MiB page as @gpa, so that host and
 * guest huge pages coincide */
static u8 *reserve(gpa_t gpa, u64 len)
{
	u64 total, start, end, hva;
	u8 *p;

	if (__builtin_add_overflow(len, 2 * GUARD_BYTES + HUGE_BYTES, &total))
		return NULL;
	p = mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	start = (u64)(uintptr_t)p;
	end = start + total;
	hva = ALIGN_DOWN(start + GUARD_BYTES, HUGE_BYTES) + (gpa & (HUGE_BYTES - 1));
	if (hva < start + GUARD_BYTES)
		hva += HUGE_BYTES;
	if (hva - GUARD_BYTES > start)
		munmap(p, hva - GUARD_BYTES - start);
	if (end > hva + len + GUARD_BYTES)
		munmap((u8 *)(uintptr_t)(hva + len + GUARD_BYTES), end - (hva + len + GUARD_BYTES));
	return (u8 *)(uintptr_t)hva;
}

int mem_add(struct mem *m, gpa_t gpa, u64 len, u32 flags, struct hk_err *err)
{
	unsigned at = 0;
	u8 *hva;

	if (!len || ((gpa | len) & ~PAGE_MASK) || !range_ok(gpa, len, 1ull << 52))
		return err_set(err, -EINVAL, "guest memory of %#llx bytes at %#llx is not possible",
			       (unsigned long long)len, (unsigned long long)gpa);
	if (m->num_blocks == MEM_MAX_BLOCKS)
		return err_set(err, -ENOSPC, "more than %u blocks of guest memory", MEM_MAX_BLOCKS);
	for (unsigned i = 0; i < m->num_blocks; i++) {
		const struct mem_block *b = &m->block[i];

		if (range_overlap(gpa, len, b->gpa, b->len))
			return err_set(err, -EEXIST,
				       "guest memory at %#llx overlaps guest memory at %#llx",
				       (unsigned long long)gpa, (unsigned long long)b->gpa);
		if (b->gpa < gpa)
			at = i + 1;
	}
	hva = reserve(gpa, len);
	if (!hva)
		return err_set(err, -ENOMEM, "no address space for %llu MiB of guest memory",
			       (unsigned long long)(len >> 20));
	if (mprotect(hva, len, PROT_READ | PROT_WRITE)) {
		munmap(hva - GUARD_BYTES, len + 2 * GUARD_BYTES);
		return err_set(err, -ENOMEM, "the host refuses %llu MiB of guest memory",
			       (unsigned long long)(len >> 20));
	}
	madvise(hva, len, MADV_HUGEPAGE); /* only a wish */
	memmove(&m->block[at + 1], &m->block[at], (m->num_blocks - at) * sizeof(m->block[0]));
	m->block[at] = (struct mem_block){ .gpa = gpa, .len = len, .hva = hva, .flags = flags };
	m->num_blocks++;
	return 0;
}
