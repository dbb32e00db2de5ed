// SPDX-License-Identifier: BSD-2-Clause
/* bench/cpu - control flow: calls, returns, indirect jumps, branches that nobody can guess */
#include <string.h>

#include "cpu.h"

/* ---------------------------------------------------------------------- recursive calls */
__attribute__((noinline)) static unsigned fib(unsigned n)
{
	unsigned r;

	if (n < 2)
		return n;
	/* Keeps the compiler from turning half of the calls into a loop */
	r = fib(n - 1);
	KEEP(r);
	r += fib(n - 2);
	KEEP(r);
	return r;
}

static uint64_t fib_run(void)
{
	return fib(20);
}

__attribute__((noinline)) static unsigned deeper(unsigned n)
{
	unsigned r = n ? deeper(n - 1) : 1;

	KEEP(r);
	return r + n;
}

static uint64_t deep_run(void)
{
	return deeper(4095);
}

/* ------------------------------------------------- a stack machine: counts primes to 500 */
enum { PUSH, LOAD, STORE, ADD, MUL, MOD, LESS, EQUAL, JUMP, JUMP0, END };

static const int code[] = {
	/* 0: n = 2, count = 0 */
	PUSH, 2, STORE, 0, PUSH, 0, STORE, 1,
	/* 8: while n < 500 */
	LOAD, 0, PUSH, 500, LESS, JUMP0, 67,
	/* 15: d = 2 */
	PUSH, 2, STORE, 2,
	/* 19: while d * d < n + 1 */
	LOAD, 2, LOAD, 2, MUL, LOAD, 0, PUSH, 1, ADD, LESS, JUMP0, 51,
	/* 32: if n % d == 0 leave, no prime */
	LOAD, 0, LOAD, 2, MOD, PUSH, 0, EQUAL, JUMP0, 44,
	/* 42: */ JUMP, 58,
	/* 44: d++ */
	LOAD, 2, PUSH, 1, ADD, JUMP, 68,
	/* 51: count++ */
	LOAD, 1, PUSH, 1, ADD, STORE, 1,
	/* 58: n++ */
	LOAD, 0, PUSH, 1, ADD, STORE, 0, JUMP, 8,
	/* 67: */ END,
	/* 68: */ STORE, 2, JUMP, 19,
};

static uint64_t interp_run(void)
{
	int64_t stack[16], *sp = stack, var[3] = { 0 };
	uint64_t steps = 0;
	const int *pc = code;

	for (;; steps++) {
		switch (*pc++) {
		case PUSH:
			*sp++ = *pc++;
			break;
		case LOAD:
			*sp++ = var[*pc++];
			break;
		case STORE:
			var[*pc++] = *--sp;
			break;
		case ADD:
			sp--;
			sp[-1] += *sp;
			break;
		case MUL:
			sp--;
			sp[-1] *= *sp;
			break;
		case MOD:
			sp--;
			sp[-1] = (int)sp[-1] % (int)*sp;
			break;
		case LESS:
			sp--;
			sp[-1] = sp[-1] < *sp;
			break;
		case EQUAL:
			sp--;
			sp[-1] = sp[-1] == *sp;
			break;
		case JUMP:
			pc = code + *pc;
			break;
		case JUMP0:
			pc = *--sp ? pc + 1 : code + *pc;
			break;
		default:
			return steps * 1000 + var[1];
		}
	}
}

/* ----------------------------------------------------------------------- virtual calls */
struct shape;
struct shape_ops {
	uint64_t (*area)(const struct shape *);
	void (*grow)(struct shape *);
};
struct shape {
	const struct shape_ops *ops;
	uint64_t a, b;
};

static uint64_t square_area(const struct shape *s) { return s->a * s->a; }
static uint64_t rect_area(const struct shape *s) { return s->a * s->b; }
static uint64_t tri_area(const struct shape *s) { return s->a * s->b / 2; }
static uint64_t ring_area(const struct shape *s) { return 3 * (s->a * s->a - s->b * s->b); }
static void grow_a(struct shape *s) { s->a++; }
static void grow_b(struct shape *s) { s->b++; }

static const struct shape_ops kinds[] = {
	{ square_area, grow_a }, { rect_area, grow_b }, { tri_area, grow_a }, { ring_area, grow_b },
};
static struct shape shapes[512];

static uint64_t virtual_run(void)
{
	uint64_t s = 11, sum = 0, r;
	int i, k;

	for (i = 0; i < 512; i++) {
		r = rnd(&s);
		shapes[i] = (struct shape){ &kinds[r >> 62], r & 0xff, r >> 8 & 0xff };
	}
	KEEP(shapes);
	for (k = 0; k < 8; k++)
		for (i = 0; i < 512; i++) {
			sum += shapes[i].ops->area(&shapes[i]);
			shapes[i].ops->grow(&shapes[i]);
		}
	return sum;
}

/* -------------------------------------------------------------- binary tree, unbalanced */
static struct node {
	struct node *kid[2];
	uint64_t key;
} nodes[4096];

static uint64_t tree_run(void)
{
	struct node *root = NULL, **at, *n;
	uint64_t s = 13, key, found = 0, depth = 0;
	int i;

	for (i = 0; i < 4096; i++) {
		key = rnd(&s);
		for (at = &root; (n = *at); at = &n->kid[key > n->key])
			depth++;
		*at = &nodes[i];
		nodes[i] = (struct node){ .key = key };
	}
	for (s = 13, i = 0; i < 4096; i++) {
		key = rnd(&s) + (i & 1);
		for (n = root; n && n->key != key; n = n->kid[key > n->key])
			;
		found += n != NULL;
	}
	return depth * 10000 + found;
}

/* -------------------------------------------------------------------- quicksort, inline */
static uint32_t numbers[2048];

static void quick(uint32_t *v, ptrdiff_t n)
{
	while (n > 1) {
		uint32_t pivot = v[(n - 1) / 2], t;
		ptrdiff_t i = -1, j = n;

		for (;;) {
			while (v[++i] < pivot)
				;
			while (v[--j] > pivot)
				;
			if (i >= j)
				break;
			t = v[i];
			v[i] = v[j];
			v[j] = t;
		}
		quick(v, j + 1);
		v += j + 1;
		n -= j + 1;
	}
}

static uint64_t quick_run(void)
{
	uint64_t s = 17, d = 0;
	int i;

	for (i = 0; i < 2048; i++)
		numbers[i] = rnd(&s) >> 32;
	quick(numbers, 2048);
	for (i = 0; i < 2048; i++)
		d = mix(d, numbers[i]);
	return d;
}

static const struct work works[] = {
	{ "fib", "call", 21891, 6765, NULL, fib_run },
	{ "deep-recursion", "call", 4096, 8386561, NULL, deep_run },
	{ "bytecode", "bytecode", 46851, 46851095, NULL, interp_run },
	{ "virtual-call", "call", 8192, 40602216, NULL, virtual_run },
	{ "binary-tree", "insert or lookup", 8192, 551042048, NULL, tree_run },
	{ "quicksort", "element", 2048, 0x3dd8bd9a8928e7baull, NULL, quick_run },
};
GROUP(flow, works);
