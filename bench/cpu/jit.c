// SPDX-License-Identifier: BSD-2-Clause
/* bench/cpu - code that is written and run: what a JIT compiler does, and patching */
#include <string.h>
#include <sys/mman.h>

#include "cpu.h"

#define AREA (256u << 10)
#define SLOT 64
static uint8_t *area;
static uint64_t seed, next_slot;

typedef uint32_t (*function)(uint32_t);

static bool area_setup(void)
{
	area = mmap(NULL, AREA, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	seed = 41;
	return area != MAP_FAILED;
}

static uint8_t *put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, 4);
	return p + 4;
}

/* mov eax, edi; then add, xor and rol eax by numbers; ret. Returns f(x) as C knows it */
static uint32_t emit(uint8_t *p, uint32_t x)
{
	uint64_t r;
	int i;

	*p++ = 0x89;
	*p++ = 0xf8;
	for (i = 0; i < 4; i++) {
		r = rnd(&seed);
		*p++ = 0x05;
		p = put32(p, r);
		x += (uint32_t)r;
		*p++ = 0x35;
		p = put32(p, r >> 32);
		x ^= r >> 32;
		*p++ = 0xc1;
		*p++ = 0xc0;
		*p++ = 5;
		x = x << 5 | x >> 27;
	}
	*p = 0xc3;
	return x;
}

static uint64_t new_run(void)
{
	uint64_t right = 0;
	uint32_t want;
	uint8_t *p;
	int i;

	for (i = 0; i < 10; i++) {
		p = area + next_slot++ * SLOT % AREA;
		want = emit(p, i);
		right += ((function)(uintptr_t)p)(i) == want;
	}
	return right;
}

/* The address space of a careful JIT: writable or executable, never both */
static bool careful_setup(void)
{
	return area_setup() && !mprotect(area, AREA, PROT_READ | PROT_EXEC);
}

static uint64_t careful_run(void)
{
	uint8_t *p = area + next_slot++ * SLOT % AREA, *page = (uint8_t *)((uintptr_t)p & ~4095ul);
	uint32_t want;

	if (mprotect(page, 4096, PROT_READ | PROT_WRITE))
		return 0;
	want = emit(p, 7);
	if (mprotect(page, 4096, PROT_READ | PROT_EXEC))
		return 0;
	return ((function)(uintptr_t)p)(7) == want;
}

/* One number within code that runs again and again */
static bool patch_setup(void)
{
	if (!area_setup())
		return false;
	emit(area, 0);
	return true;
}

static uint64_t patch_run(void)
{
	uint64_t right = 0;
	uint32_t x, old, new;
	int i;

	for (i = 0; i < 10; i++) {
		x = ((function)(uintptr_t)area)(5);
		/* The last xor: known from the result, before the last rol */
		memcpy(&old, area + 2 + 3 * 13 + 6, 4);
		new = old ^ (1u << i);
		put32(area + 2 + 3 * 13 + 6, new);
		x ^= 1u << i << 5 | (i > 26 ? 1u << i >> 27 : 0);
		right += ((function)(uintptr_t)area)(5) == x;
	}
	return right;
}

/* mov ecx, 1000; mov eax, edi; 1: add eax, n; rol eax, 3; dec ecx; jnz 1b; ret */
static uint64_t hot_run(void)
{
	uint8_t *p = area, *loop;
	uint32_t n = rnd(&seed), want = 9, i;

	*p++ = 0xb9;
	p = put32(p, 1000);
	*p++ = 0x89;
	*p++ = 0xf8;
	loop = p;
	*p++ = 0x05;
	p = put32(p, n);
	memcpy(p, (const uint8_t[]){ 0xc1, 0xc0, 3, 0xff, 0xc9, 0x75 }, 6);
	p += 6;
	*p = loop - (p + 1);
	p++;
	*p = 0xc3;
	for (i = 0; i < 1000; i++) {
		want += n;
		want = want << 3 | want >> 29;
	}
	return ((function)(uintptr_t)area)(9) == want;
}

static const struct work works[] = {
	{ "jit-new", "function written and called", 10, 10, area_setup, new_run },
	{ "jit-mprotect", "function, writable then executable", 1, 1, careful_setup, careful_run },
	{ "jit-patch", "number in code changed", 10, 10, patch_setup, patch_run },
	{ "jit-hot", "loop of 1000 written and run", 1, 1, area_setup, hot_run },
};
GROUP(jit, works);
