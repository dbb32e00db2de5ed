// SPDX-License-Identifier: BSD-2-Clause
/* test/isa/isa_test.c - isa_test: random instructions, host against software CPU
 *
 *   isa_test [-e interp] [-f FAMILY] [-n ROUNDS] [-s SEED] [-b "0f 58 c1"] [-v]
 *
 * Without -f all families run. A failure prints the seed that repeats the case alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "isa.h"

struct family {
	const char *name;
	bool vex;
	u8 map, first, last;
	bool sequence;
	u8 bits;
};
static const struct family families[] = {
	{ "int", false, 0, 0x00, 0xd7, false, 8 },
	{ "x87", false, 0, 0xd8, 0xdf, false, 8 },
	{ "group3", false, 0, 0xe0, 0xff, false, 8 },
	{ "0f", false, 1, 0x00, 0xff, false, 8 },
	{ "0f38", false, 2, 0x00, 0xff, false, 8 },
	{ "0f3a", false, 3, 0x00, 0xff, false, 8 },
	{ "vex0f", true, 1, 0x00, 0xff, false, 8 },
	{ "vex0f38", true, 2, 0x00, 0xff, false, 8 },
	{ "vex0f3a", true, 3, 0x00, 0xff, false, 8 },
	{ "int32", false, 0, 0x00, 0xd7, false, 4 },
	{ "x8732", false, 0, 0xd8, 0xdf, false, 4 },
	{ "0f32", false, 1, 0x00, 0xff, false, 4 },
	{ "0f3832", false, 2, 0x00, 0xff, false, 4 },
	{ "vex0f32", true, 1, 0x00, 0xff, false, 4 },
	{ "vex0f3832", true, 2, 0x00, 0xff, false, 4 },
	{ "vex0f3a32", true, 3, 0x00, 0xff, false, 4 },
	{ "sequence", false, 0, 0, 0, true, 8 },
};

static struct isa_case the_case;
static struct isa_result want, got;
static unsigned cases, failures, max_failures = 20;
static const struct isa_engine *only;
static bool verbose;

static void judge(const char *family, u64 seed)
{
	cases++;
	if (verbose) {
		fprintf(stderr, "%s -s %#llx\n", family, (unsigned long long)seed);
		isa_print_code(&the_case, stderr);
	}
	isa_run(&isa_native, &the_case, &want);
	for (unsigned i = 0; isa_engines[i]; i++) {
		if (only && only != isa_engines[i])
			continue;
		isa_run(isa_engines[i], &the_case, &got);
		if (!isa_compare(&the_case, isa_engines[i]->name, &want, &got, stderr))
			continue;
		fprintf(stderr, "  again: isa_test -f %s -n 0 -s %#llx\n\n", family,
			(unsigned long long)seed);
		if (++failures >= max_failures) {
			fprintf(stderr, "too many failures\n");
			exit(1);
		}
	}
}

static void random_opcode(struct isa_rng *r, struct isa_opcode *op)
{
	static const u8 prefixes[] = { 0, 0x66, 0xf3, 0xf2 };

	op->vex = isa_below(r, 4) == 0;
	op->map = op->vex ? 1 + isa_below(r, 3) : isa_below(r, 4);
	op->prefix = isa_below(r, 2) ? prefixes[isa_below(r, 4)] : 0;
	op->opcode = isa_rand(r);
}

/* Everything about a case follows from its seed, opcode included */
static bool one(const struct family *f, u64 seed)
{
	static const u8 prefixes[] = { 0, 0x66, 0xf3, 0xf2 };
	struct isa_rng r = { seed };
	struct isa_opcode op = { .vex = f->vex, .map = f->map };

	isa_case_init(&the_case, &r, f->bits);
	if (f->sequence) {
		unsigned n = 3 + isa_below(&r, 10), have = 0;

		for (unsigned i = 0; i < 400 && have < n; i++) {
			random_opcode(&r, &op);
			have += isa_case_add(&the_case, &r, &op, ISA_SEQUENCE);
		}
	} else {
		unsigned n = (f->last - f->first + 1) * 4;
		unsigned at = (seed >> 8) % n;

		op.opcode = f->first + at / 4;
		op.prefix = prefixes[at % 4];
		if (!isa_case_add(&the_case, &r, &op, ISA_SINGLE))
			return false;
	}
	if (!the_case.len)
		return false;
	judge(f->name, seed);
	return true;
}

static void run_family(const struct family *f, unsigned rounds, u64 seed)
{
	unsigned before = cases, fails = failures;

	if (!rounds) {
		one(f, seed);
	} else if (f->sequence) {
		for (unsigned i = 0; i < rounds * 200; i++)
			one(f, seed + ((u64)i << 8));
	} else {
		/* every point of the opcode space, @rounds times */
		u64 n = (u64)(f->last - f->first + 1) * 4;

		for (u64 i = 0; i < n; i++)
			for (unsigned k = 0; k < rounds; k++)
				one(f, ((seed * 4096 + k) * n + i) << 8);
	}
	printf("%-10s %7u cases %s\n", f->name, cases - before, failures == fails ? "ok" : "FAILED");
}

static void given_bytes(const char *hex, unsigned rounds, u64 seed, unsigned bits)
{
	struct isa_rng r = { seed };
	u8 b[128];
	unsigned n = 0;

	while (*hex && n < sizeof(b)) {
		char *end;

		b[n++] = strtoul(hex, &end, 16);
		if (end == hex)
			break;
		hex = end + strspn(end, " ");
	}
	for (unsigned i = 0; i < rounds; i++) {
		isa_case_init(&the_case, &r, bits);
		isa_case_bytes(&the_case, b, n);
		judge("bytes", r.s);
	}
}

int main(int argc, char **argv)
{
	unsigned rounds = 8, bits = 8;
	const char *family = NULL, *bytes = NULL;
	u64 seed = 1;
	int opt;

	while ((opt = getopt(argc, argv, "e:f:n:s:b:m:xv")) != -1) {
		switch (opt) {
		case 'e':
			for (unsigned i = 0; isa_engines[i]; i++)
				if (!strcmp(isa_engines[i]->name, optarg))
					only = isa_engines[i];
			break;
		case 'f': family = optarg; break;
		case 'n': rounds = strtoul(optarg, NULL, 0); break;
		case 's': seed = strtoull(optarg, NULL, 0); break;
		case 'b': bytes = optarg; break;
		case 'm': max_failures = strtoul(optarg, NULL, 0); break;
		case 'x': bits = 4; break;
		case 'v': verbose = true; break;
		default: return 2;
		}
	}
	isa_start();
	if (bytes) {
		given_bytes(bytes, rounds, seed, bits);
	} else {
		for (unsigned i = 0; i < ARRAY_LEN(families); i++)
			if (!family || !strcmp(family, families[i].name))
				run_family(&families[i], rounds, seed);
	}
	isa_stop();
	printf("%u cases, %u failures\n", cases, failures);
	return failures != 0;
}
