// SPDX-License-Identifier: BSD-2-Clause
/* fuzz/opts_fuzz.c - Option strings, sizes, and sized structs of the public header */
#include <stdlib.h>
#include <string.h>

#include "api/api_int.h"
#include "base/opts.h"

static const struct opt_desc table[] = {
	{ "path", OPT_STR, NULL, "a path" },	 { "tag", OPT_STR, "plan9", "a tag" },
	{ "ro", OPT_BOOL, NULL, "read only" },	 { "queues", OPT_U64, "1", "number of queues" },
	{ "size", OPT_SIZE, "64K", "how large" }, { NULL, 0, NULL, NULL },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *s = malloc(n + 1), *copy = malloc(n ? n : 1);
	struct { uint64_t a, b, c; } sized = { 0 };
	struct opts *o;
	struct hk_err err;
	u64 v;

	memcpy(copy, data, n);
	memcpy(s, data, n);
	s[n] = '\0';
	if (!opts_parse(&o, table, s, &err)) {
		/* What was accepted has all its values, defaults included */
		if (!opts_str(o, "tag") || (opts_u64(o, "queues") == 0 && !strstr(s, "queues")))
			abort();
		(void)opts_str(o, "path");
		(void)opts_bool(o, "ro");
		(void)opts_u64(o, "size");
		opts_destroy(o);
	} else if (!memchr(err.text, 0, sizeof(err.text)) || !err.text[0]) {
		abort(); /* a refusal says why */
	}
	if (parse_size(s, &v) == 0 && !(s[0] >= '0' && s[0] <= '9'))
		abort();
	(void)!api_take_sized(&sized, sizeof(sized), copy, n, 8, "fuzzed", &err);
	free(copy);
	free(s);
	return 0;
}
