// SPDX-License-Identifier: BSD-2-Clause
/* backend/fs/table.c - Hash table of intrusive entries
 *
 * Keys are chosen by guests, so hashes are seeded and the table doubles when it is
 * full. When there is no memory to double it only becomes slow. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/fs/fs_int.h"

#define FIRST_SLOTS 64u

int htab_init(struct htab *t)
{
	t->slot = calloc(FIRST_SLOTS, sizeof(t->slot[0]));
	if (!t->slot)
		return -ENOMEM;
	t->num_slots = FIRST_SLOTS;
	t->n = 0;
	return 0;
}

void htab_fini(struct htab *t)
{
	free(t->slot);
	t->slot = NULL;
	t->n = 0;
}

static void grow(struct htab *t)
{
	size_t num = t->num_slots * 2;
	struct hent **slot = calloc(num, sizeof(slot[0]));
	struct hent *e;

	if (!slot)
		return;
	for (size_t i = 0; i < t->num_slots; i++) {
		while ((e = t->slot[i])) {
			t->slot[i] = e->next;
			e->next = slot[e->hash & (num - 1)];
			slot[e->hash & (num - 1)] = e;
		}
	}
	free(t->slot);
	t->slot = slot;
	t->num_slots = num;
}

void htab_add(struct htab *t, struct hent *e, u64 hash)
{
	struct hent **slot;

	if (t->n >= t->num_slots)
		grow(t);
	slot = &t->slot[hash & (t->num_slots - 1)];
	e->hash = hash;
	e->next = *slot;
	*slot = e;
	t->n++;
}

void htab_del(struct htab *t, struct hent *e)
{
	struct hent **at = &t->slot[e->hash & (t->num_slots - 1)];

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	e->next = NULL;
	t->n--;
}

static struct hent *same(struct hent *e, u64 hash)
{
	while (e && e->hash != hash)
		e = e->next;
	return e;
}

struct hent *htab_find(const struct htab *t, u64 hash)
{
	return same(t->slot[hash & (t->num_slots - 1)], hash);
}

struct hent *htab_next(const struct hent *e)
{
	return same(e->next, e->hash);
}

/* A bijection that spreads each bit over all (the finaliser of a xorshift-multiply generator) */
u64 hash_u64(u64 seed, u64 x)
{
	x ^= seed;
	x = (x ^ x >> 32) * 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 29) * 0xd6e8feb86659fd93ull;
	return x ^ x >> 32;
}

u64 hash_bytes(u64 seed, const void *p, size_t n)
{
	const u8 *b = p;
	u64 h = seed + n, word;

	for (; n >= 8; b += 8, n -= 8) {
		memcpy(&word, b, 8);
		h = hash_u64(h, word);
	}
	word = 0;
	memcpy(&word, b, n);
	return hash_u64(h, word);
}
