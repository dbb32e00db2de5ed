// SPDX-License-Identifier: BSD-2-Clause
/* mem/access.c - Checked access to guest RAM for everybody but the CPUs
 *
 * [any] The block list is constant by now, so nothing here takes a lock. The
 * guest may change the bytes at any moment: copy once, then look. */
#include "mem/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/range.h"

static const struct mem_block *block_at(const struct mem *m, gpa_t gpa)
{
	for (unsigned i = 0; i < m->num_blocks; i++)
		if (gpa - m->block[i].gpa < m->block[i].len)
			return &m->block[i];
	return NULL;
}

void *mem_ptr(const struct mem *m, gpa_t gpa, u64 len)
{
	const struct mem_block *b = block_at(m, gpa);

	if (!b || !range_ok(gpa - b->gpa, len, b->len))
		return NULL;
	return b->hva + (gpa - b->gpa);
}

/* The longest piece that starts at @gpa; 0 = none. Sets *@p. */
static u64 piece(const struct mem *m, gpa_t gpa, u64 len, bool writable, u8 **p)
{
	const struct mem_block *b = block_at(m, gpa);

	if (!b || (writable && (b->flags & MEM_ROM)))
		return 0;
	*p = b->hva + (gpa - b->gpa);
	return MIN(len, b->len - (gpa - b->gpa));
}

int mem_read(const struct mem *m, gpa_t gpa, void *buf, u64 len)
{
	u8 *to = buf, *from;

	while (len) {
		u64 n = piece(m, gpa, len, false, &from);

		if (!n)
			return -EFAULT;
		memcpy(to, from, n);
		to += n;
		gpa += n;
		len -= n;
	}
	return 0;
}

int mem_write(struct mem *m, gpa_t gpa, const void *buf, u64 len)
{
	const u8 *from = buf;
	u8 *to;

	while (len) {
		u64 n = piece(m, gpa, len, true, &to);

		if (!n)
			return -EFAULT;
		memcpy(to, from, n);
		/* Piece by piece: what was stored before a later piece fails is told too */
		mem_wrote(m, gpa, n);
		from += n;
		gpa += n;
		len -= n;
	}
	return 0;
}

int mem_iov(const struct mem *m, gpa_t gpa, u64 len, bool writable, struct iovec *iov, int max)
{
	int count = 0;

	while (len) {
		u8 *p;
		u64 n = piece(m, gpa, len, writable, &p);

		if (!n)
			return -EFAULT;
		if (count == max)
			return -E2BIG;
		iov[count++] = (struct iovec){ .iov_base = p, .iov_len = n };
		gpa += n;
		len -= n;
	}
	return count;
}

s64 mem_discard(struct mem *m, gpa_t gpa, u64 len)
{
	u64 start = ALIGN_UP(gpa, PAGE_BYTES), end = ALIGN_DOWN(gpa + len, PAGE_BYTES);
	u64 done = 0;
	u8 *p;

	if (gpa + len < gpa || start < gpa)
		return -EFAULT;
	for (gpa = start; gpa < end;) {
		u64 n = piece(m, gpa, end - gpa, true, &p);

		if (!n)
			return -EFAULT;
		if (madvise(p, n, MADV_DONTNEED))
			return -errno;
		mem_wrote(m, gpa, n);
		gpa += n;
		done += n;
	}
	return (s64)done;
}

void mem_wrote(struct mem *m, gpa_t gpa, u64 len)
{
	if (m->wrote && len)
		m->wrote(m->wrote_arg, gpa, len);
}
