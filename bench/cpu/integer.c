// SPDX-License-Identifier: BSD-2-Clause
/* bench/cpu - integer work: hashes, long numbers, sorting, tables, compression */
#include <stdlib.h>
#include <string.h>

#include "cpu.h"

/* ---------------------------------------------------------------- SHA-256 (FIPS 180-4) */
static const uint32_t sha_k[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t ror(uint32_t v, int n)
{
	return v >> n | v << (32 - n);
}

static void sha_block(uint32_t h[8], const uint8_t *p)
{
	uint32_t w[64], s[8], t1, t2;
	int i;

	for (i = 0; i < 16; i++, p += 4)
		w[i] = (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
	for (; i < 64; i++)
		w[i] = w[i - 16] + w[i - 7] +
		       (ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ w[i - 15] >> 3) +
		       (ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ w[i - 2] >> 10);
	memcpy(s, h, sizeof(s));
	for (i = 0; i < 64; i++) {
		t1 = s[7] + (ror(s[4], 6) ^ ror(s[4], 11) ^ ror(s[4], 25)) +
		     ((s[4] & s[5]) ^ (~s[4] & s[6])) + sha_k[i] + w[i];
		t2 = (ror(s[0], 2) ^ ror(s[0], 13) ^ ror(s[0], 22)) +
		     ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
		s[7] = s[6];
		s[6] = s[5];
		s[5] = s[4];
		s[4] = s[3] + t1;
		s[3] = s[2];
		s[2] = s[1];
		s[1] = s[0];
		s[0] = t1 + t2;
	}
	for (i = 0; i < 8; i++)
		h[i] += s[i];
}

static uint64_t sha_of(const uint8_t *p, int blocks)
{
	uint32_t h[8] = {
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
	};
	uint64_t d = 0;
	int i;

	for (i = 0; i < blocks; i++, p += 64)
		sha_block(h, p);
	for (i = 0; i < 8; i++)
		d = mix(d, h[i]);
	return d;
}

static uint8_t data[65536];

static bool data_setup(void)
{
	uint64_t s = 1;
	size_t i;

	for (i = 0; i < sizeof(data); i++)
		data[i] = rnd(&s) >> 32;
	return true;
}

static uint64_t sha_run(void)
{
	return sha_of(data, 64);
}

uint64_t sha_unit(void)
{
	return sha_of(data, sizeof(data) / 64);
}

/* ------------------------------------------------------------------------------ CRC-32 */
static uint32_t crc_table[256];

static bool crc_setup(void)
{
	uint32_t i, c;
	int k;

	for (i = 0; i < 256; i++) {
		for (c = i, k = 0; k < 8; k++)
			c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
		crc_table[i] = c;
	}
	return data_setup();
}

static uint64_t crc_run(void)
{
	uint32_t c = ~0u;
	size_t i;

	for (i = 0; i < 16384; i++)
		c = crc_table[(c ^ data[i]) & 0xff] ^ c >> 8;
	return ~c;
}

/* ------------------------------------------- 1024-bit Montgomery multiplication, chained */
#define LIMBS 16
static uint64_t mod[LIMBS], base[LIMBS], mod_inv;

static bool bignum_setup(void)
{
	uint64_t s = 7;
	int i;

	for (i = 0; i < LIMBS; i++) {
		mod[i] = rnd(&s);
		base[i] = rnd(&s);
	}
	mod[0] |= 1;
	mod[LIMBS - 1] |= 1ull << 63;
	base[LIMBS - 1] &= ~(1ull << 63);
	for (mod_inv = 1, i = 0; i < 6; i++)
		mod_inv *= 2 - mod[0] * mod_inv;
	mod_inv = -mod_inv;
	return true;
}

static void mont_mul(uint64_t *r, const uint64_t *a, const uint64_t *b)
{
	uint64_t t[LIMBS + 2] = { 0 }, m, borrow;
	unsigned __int128 c;
	int i, j;

	for (i = 0; i < LIMBS; i++) {
		for (c = 0, j = 0; j < LIMBS; j++) {
			c += (unsigned __int128)a[j] * b[i] + t[j];
			t[j] = c;
			c >>= 64;
		}
		c += t[LIMBS];
		t[LIMBS] = c;
		t[LIMBS + 1] = c >> 64;
		m = t[0] * mod_inv;
		c = ((unsigned __int128)m * mod[0] + t[0]) >> 64;
		for (j = 1; j < LIMBS; j++) {
			c += (unsigned __int128)m * mod[j] + t[j];
			t[j - 1] = c;
			c >>= 64;
		}
		c += t[LIMBS];
		t[LIMBS - 1] = c;
		t[LIMBS] = t[LIMBS + 1] + (uint64_t)(c >> 64);
	}
	for (borrow = 0, j = 0; j < LIMBS; j++) {
		unsigned __int128 d = (unsigned __int128)t[j] - mod[j] - borrow;

		r[j] = d;
		borrow = d >> 64 & 1;
	}
	if (borrow > t[LIMBS])
		memcpy(r, t, LIMBS * 8);
}

static uint64_t bignum_run(void)
{
	uint64_t x[LIMBS], d = 0;
	int i;

	memcpy(x, base, sizeof(x));
	for (i = 0; i < 32; i++)
		mont_mul(x, x, i & 3 ? x : base);
	for (i = 0; i < LIMBS; i++)
		d = mix(d, x[i]);
	return d;
}

/* -------------------------------------------------- sorting through a function pointer */
static uint32_t sort_from[1024], sort_now[1024];

static bool sort_setup(void)
{
	uint64_t s = 3;
	int i;

	for (i = 0; i < 1024; i++)
		sort_from[i] = rnd(&s) >> 32;
	return true;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static uint64_t sort_run(void)
{
	uint64_t d = 0;
	int i;

	memcpy(sort_now, sort_from, sizeof(sort_now));
	qsort(sort_now, 1024, sizeof(sort_now[0]), by_value);
	for (i = 0; i < 1024; i++)
		d = mix(d, sort_now[i]);
	return d;
}

/* ---------------------------------------------- open-addressed hash table, 4096 entries */
#define SLOTS 16384
static struct slot {
	uint64_t key, value;
} *slots;

static bool hash_setup(void)
{
	slots = need_memory(SLOTS * sizeof(*slots));
	return true;
}

static struct slot *slot_of(uint64_t key)
{
	size_t i = (key * 0x9e3779b97f4a7c15ull) >> 50;

	while (slots[i].key && slots[i].key != key)
		i = (i + 1) % SLOTS;
	return &slots[i];
}

static uint64_t hash_run(void)
{
	uint64_t s = 5, sum = 0, key;
	int i;

	memset(slots, 0, SLOTS * sizeof(*slots));
	for (i = 0; i < 4096; i++) {
		struct slot *p = slot_of(key = rnd(&s) | 1);

		p->key = key;
		p->value = i;
	}
	for (s = 5, i = 0; i < 4096; i++)
		sum += slot_of(rnd(&s) | 1)->value;
	for (s = 6, i = 0; i < 4096; i++)
		sum += slot_of(rnd(&s) | 1)->key != 0;
	return sum;
}

/* -------------------------------------- LZ: greedy, one hash of four bytes, and back again */
#define TEXT 32768
static uint8_t text[TEXT], packed[TEXT * 2], unpacked[TEXT];
static uint16_t lz_last[4096];

static bool lz_setup(void)
{
	static const char *const words[] = {
		"the ", "guest ", "memory ", "page ", "is ", "of ", "a ", "register ", "holds ",
		"interrupt ", "and ", "value\n", "with ", "no ", "x", "42 ",
	};
	uint64_t s = 9;
	size_t at = 0, len;

	while (at < TEXT) {
		const char *w = words[(rnd(&s) >> 40) % 16];

		len = strlen(w);
		if (len > TEXT - at)
			len = TEXT - at;
		memcpy(text + at, w, len);
		at += len;
	}
	return true;
}

static size_t lz_pack(void)
{
	uint8_t *out = packed;
	size_t at = 0, from, len, lit = 0;
	uint32_t four;
	unsigned h;

	memset(lz_last, 0, sizeof(lz_last));
	while (at + 4 <= TEXT) {
		memcpy(&four, text + at, 4);
		h = four * 2654435761u >> 20;
		from = lz_last[h];
		lz_last[h] = at;
		if (from >= at || memcmp(text + from, text + at, 4) || lit == 127) {
			if (!lit)
				*out++ = 0;
			out[-1 - (ptrdiff_t)lit]++;
			*out++ = text[at++];
			lit = lit == 127 ? 0 : lit + 1;
			continue;
		}
		for (len = 4; len < 100 && at + len < TEXT && text[from + len] == text[at + len];)
			len++;
		*out++ = 128 + len;
		*out++ = (at - from) & 0xff;
		*out++ = (at - from) >> 8;
		at += len;
		lit = 0;
	}
	while (at < TEXT) {
		*out++ = 1;
		*out++ = text[at++];
	}
	return out - packed;
}

static size_t lz_unpack(size_t size)
{
	const uint8_t *in = packed, *end = packed + size;
	uint8_t *out = unpacked;
	size_t n, back;

	while (in < end) {
		n = *in++;
		if (n <= 128) {
			while (n--)
				*out++ = *in++;
			continue;
		}
		back = in[0] | in[1] << 8;
		in += 2;
		for (n -= 128; n--; out++)
			*out = out[-(ptrdiff_t)back];
	}
	return out - unpacked;
}

static uint64_t lz_run(void)
{
	size_t size = lz_pack();

	if (lz_unpack(size) != TEXT || memcmp(text, unpacked, TEXT))
		return 0;
	return size;
}

static const struct work works[] = {
	{ "sha256", "64-byte block", 64, 0xfd0d481fe099bef0ull, data_setup, sha_run },
	{ "crc32", "KiB", 16, 3543056880, crc_setup, crc_run },
	{ "bignum", "1024-bit product", 32, 0x53b7dfc3a4c9a05cull, bignum_setup, bignum_run },
	{ "qsort", "element", 1024, 0x70f862598cb411f1ull, sort_setup, sort_run },
	{ "hash-table", "insert or lookup", 12288, 8386560, hash_setup, hash_run },
	{ "lz", "KiB packed and unpacked", 32, 14687, lz_setup, lz_run },
};
GROUP(integer, works);
