// SPDX-License-Identifier: BSD-2-Clause
/* test/isa/program_test.c - Some thousand random programs, the same each time
 *
 *   program_test [FIRST SEED] [NUMBER]
 *
 * A taste of fuzz/isa_diff for `make check`; that program also makes a failure small. */
#include <stdlib.h>
#include <string.h>

#include "program.h"

static struct isa_program prog;
static struct isa_result want, got;

int main(int argc, char **argv)
{
	u64 first = argc > 1 ? strtoull(argv[1], NULL, 0) : 1, n = argc > 2 ? strtoull(argv[2], NULL, 0) : 4000;
	unsigned failures = 0;

	isa_start();
	for (u64 seed = first; seed < first + n && failures < 5; seed++) {
		struct isa_rng r = { seed };
		u64 s = isa_rand(&r);

		isa_program_make(&prog, s);
		isa_run(&isa_native, &prog.c, &want);
		if (want.gave_up)
			continue;
		for (unsigned i = 0; isa_engines[i]; i++) {
			isa_run(isa_engines[i], &prog.c, &got);
			if (isa_compare(&prog.c, isa_engines[i]->name, &want, &got, stderr)) {
				fprintf(stderr, "  isa_diff --one %#llx\n", (unsigned long long)s);
				failures++;
				break;
			}
		}
	}
	isa_stop();
	printf("1..1\n%sok 1 - random programs end as on the host\n", failures ? "not " : "");
	return failures;
}
