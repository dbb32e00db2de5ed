// SPDX-License-Identifier: BSD-2-Clause
/* bench/cpu - memory: block moves as libc does them, rep movsb, pointers, strings, stream */
#include <stdlib.h>
#include <string.h>

#include "cpu.h"

#define BLOCK 65536
static uint8_t *from, *to;
static uint64_t count;

static bool block_setup(void)
{
	uint64_t s = 29;
	size_t i;

	from = need_memory(BLOCK);
	to = need_memory(BLOCK);
	for (i = 0; i < BLOCK; i++)
		from[i] = rnd(&s) >> 32;
	memcpy(to, from, BLOCK);
	for (i = 0; i < BLOCK; i++)
		if (to[i] != from[i])
			return false;
	return true;
}

/* Each round changes something, and looks at a few places: right is 1 */
static uint64_t memcpy_run(void)
{
	size_t at = ++count * 4093 % (BLOCK - 8);

	memcpy(from + at, &count, 8);
	memcpy(to, from, BLOCK);
	KEEP(to);
	return !memcmp(to + at, &count, 8) && to[0] == from[0] && to[BLOCK - 1] == from[BLOCK - 1];
}

static uint64_t memset_run(void)
{
	uint8_t v = ++count;

	memset(to, v, BLOCK);
	KEEP(to);
	return to[0] == v && to[count * 4093 % BLOCK] == v && to[BLOCK - 1] == v;
}

static uint64_t movsb_run(void)
{
	size_t at = ++count * 4093 % (4096 - 8), n = 4096;
	void *s = from, *d = to;

	memcpy(from + at, &count, 8);
	__asm__ volatile("rep movsb" : "+S"(s), "+D"(d), "+c"(n) : : "memory");
	return !memcmp(to + at, &count, 8) && n == 0 && s == from + 4096 && to[4095] == from[4095];
}

static uint64_t stosq_run(void)
{
	size_t n = 512;
	void *d = to;

	__asm__ volatile("rep stosq" : "+D"(d), "+c"(n) : "a"(++count) : "memory");
	return n == 0 && !memcmp(to, &count, 8) && !memcmp(to + 4088, &count, 8) && d == to + 4096;
}

/* --------------------------------------------------- a ring through 32 MiB, in random order */
#define RING (32u << 20)
static struct link {
	struct link *next;
	uint64_t value[7];
} *ring, *walker;

static bool chase_setup(void)
{
	size_t n = RING / sizeof(*ring), i, j;
	uint32_t *order = malloc(n * sizeof(*order)), t;
	uint64_t s = 31;

	ring = need_memory(RING);
	if (!order)
		return false;
	for (i = 0; i < n; i++)
		order[i] = i;
	for (i = n - 1; i > 0; i--) {
		j = rnd(&s) % (i + 1);
		t = order[i];
		order[i] = order[j];
		order[j] = t;
	}
	for (i = 0; i < n; i++) {
		ring[order[i]].next = &ring[order[(i + 1) % n]];
		ring[order[i]].value[0] = i;
	}
	walker = &ring[order[0]];
	free(order);
	return true;
}

static uint64_t chase_run(void)
{
	struct link *p = walker;
	uint64_t first = p->value[0];
	int i;

	for (i = 0; i < 1000; i++)
		p = p->next;
	walker = p;
	return (p->value[0] - first) % (RING / sizeof(*ring));
}

/* ------------------------------------------------------------------------- strings */
static char *lines;
#define LINES 256

static bool lines_setup(void)
{
	uint64_t s = 37;
	char *p;
	int i, n;

	p = lines = need_memory(LINES * 128);
	for (i = 0; i < LINES; i++) {
		for (n = rnd(&s) >> 58; n >= 0; n--)
			*p++ = 'a' + (rnd(&s) >> 32) % 26;
		*p++ = '\0';
	}
	return true;
}

static uint64_t strlen_run(void)
{
	const char *p = lines;
	uint64_t sum = 0;
	size_t n;
	int i;

	for (i = 0; i < LINES; i++) {
		n = strlen(p);
		sum = sum * 3 + n;
		p += n + 1;
	}
	return sum;
}

static uint64_t memchr_run(void)
{
	char *p = (char *)from;
	size_t at = 4000 + ++count % 64;
	char *hit;

	memset(p + 4000, 'a', 64);
	p[at] = '\n';
	KEEP(p);
	hit = memchr(p, '\n', 4096);
	return (size_t)(hit - p) == at;
}

static bool memchr_setup(void)
{
	from = need_memory(4096);
	memset(from, 'a', 4096);
	return true;
}

/* What a shell or an assembler does to a line: copy, split, compare, search */
static uint64_t words_run(void)
{
	static const char line[] = "mov eax, [rbx + 8] ; load the next word of the line and go on",
		*const names[] = { "add", "sub", "load", "word", "mov", "next", "line" };
	char copy[128], *p, *save;
	uint64_t sum = 0;
	size_t i;

	strcpy(copy, line);
	KEEP(copy);
	sum += strstr(copy, "next") - copy;
	sum += strchr(copy, ';') - copy;
	for (p = strtok_r(copy, " ,;", &save); p; p = strtok_r(NULL, " ,;", &save)) {
		for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			if (!strcmp(p, names[i]))
				sum += 100 * i;
		sum += 1000;
	}
	return sum;
}

/* -------------------------------------------------------------------------- stream */
#define VALUES (1u << 19)
static double *sa, *sb, *sc;

static bool stream_setup(void)
{
	size_t i;

	sa = need_memory(VALUES * 8);
	sb = need_memory(VALUES * 8);
	sc = need_memory(VALUES * 8);
	for (i = 0; i < VALUES; i++) {
		sb[i] = i;
		sc[i] = 2.0 * i + 1;
	}
	return true;
}

static uint64_t stream_run(void)
{
	size_t i;

	for (i = 0; i < VALUES; i++)
		sa[i] = sb[i] + 0.5 * sc[i];
	KEEP(sa);
	return sa[0] == 0.5 && sa[1000] == 2000.5 && sa[VALUES - 1] == 2.0 * (VALUES - 1) + 0.5;
}

static const struct work works[] = {
	{ "memcpy-64k", "64 KiB", 1, 1, block_setup, memcpy_run },
	{ "memset-64k", "64 KiB", 1, 1, block_setup, memset_run },
	{ "rep-movsb-4k", "4 KiB", 1, 1, block_setup, movsb_run },
	{ "rep-stosq-4k", "4 KiB", 1, 1, block_setup, stosq_run },
	{ "chase-32m", "hop", 1000, 1000, chase_setup, chase_run },
	{ "strlen", "string of 32 on average", LINES, 0x3a8a7220bfba6042ull, lines_setup, strlen_run },
	{ "memchr-4k", "4 KiB", 1, 1, memchr_setup, memchr_run },
	{ "strings", "line", 1, 17049, NULL, words_run },
	{ "stream-triad", "12 MiB pass", 1, 1, stream_setup, stream_run },
};
GROUP(memory, works);
