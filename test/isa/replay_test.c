// SPDX-License-Identifier: BSD-2-Clause
/* test/isa/replay_test.c - Every difference that was ever found, again
 *
 *   replay_test [FILE...]		without: all of test/isa/cases
 *
 * The files are what fuzz/isa_diff left behind (casefile.c). */
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"

static struct isa_case the_case;
static struct isa_result want, got;
static unsigned number;

static bool replay(const char *path)
{
	const char *name = strrchr(path, '/');
	bool ok = true;

	name = name ? name + 1 : path;
	if (isa_case_load(&the_case, path)) {
		fprintf(stderr, "%s: cannot be read\n", path);
		ok = false;
	}
	/* Twice: translations that are there already are another matter than new ones */
	for (unsigned k = 0; ok && k < 2; k++) {
		isa_run(&isa_native, &the_case, &want);
		for (unsigned i = 0; isa_engines[i]; i++) {
			isa_run(isa_engines[i], &the_case, &got);
			if (isa_compare(&the_case, isa_engines[i]->name, &want, &got, stderr))
				ok = false;
		}
	}
	printf("%sok %u - %s\n", ok ? "" : "not ", ++number, name);
	return ok;
}

int main(int argc, char **argv)
{
	glob_t files = { 0 };
	bool ok = true;

	isa_start();
	if (argc > 1) {
		for (int i = 1; i < argc; i++)
			ok &= replay(argv[i]);
	} else if (!glob(HK_TEST_DATA "/isa/cases/*.txt", 0, NULL, &files)) {
		for (size_t i = 0; i < files.gl_pathc; i++)
			ok &= replay(files.gl_pathv[i]);
		globfree(&files);
	}
	printf("1..%u\n", number);
	isa_stop();
	return !ok;
}
