// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/string.c - What compilers call on their own for an assignment or an initialiser
 *
 * The build renames memcpy, memmove, memset and memcmp in objects of accel/soft to
 * these: libc's would use the vector registers, which are the guest's (soft.h, rule 1).
 * gcc puts "rep movsb" in place and rarely calls them, clang always does. [any] */
#include "accel/soft/soft.h"

void *sc_memcpy(void *dst, const void *src, size_t n);
void *sc_memmove(void *dst, const void *src, size_t n);
void *sc_memset(void *dst, int c, size_t n);
int sc_memcmp(const void *a, const void *b, size_t n);

void *sc_memcpy(void *dst, const void *src, size_t n)
{
	sc_copy(dst, src, n);
	return dst;
}

void *sc_memmove(void *dst, const void *src, size_t n)
{
	u8 *d = dst;
	const u8 *s = src;

	if ((u64)d - (u64)s >= n)
		return sc_memcpy(dst, src, n);
	while (n--)
		__atomic_store_n(&d[n], s[n], __ATOMIC_RELAXED); /* no loop that becomes a call again */
	return dst;
}

void *sc_memset(void *dst, int c, size_t n)
{
	void *d = dst;

	__asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
	return dst;
}

int sc_memcmp(const void *a, const void *b, size_t n)
{
	const u8 *x = a, *y = b;

	for (; n; n--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}
