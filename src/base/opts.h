// SPDX-License-Identifier: BSD-2-Clause
/* base/opts.h - "key=value,flag" strings against a table of what is allowed */
#ifndef BASE_OPTS_H
#define BASE_OPTS_H

#include "base/types.h"
#include "hyperkit/hyperkit.h"

enum opt_type { OPT_STR, OPT_BOOL, OPT_U64, OPT_SIZE, OPT_NUM_TYPES };

/* One row of a device's table; the CLI prints its help from it */
struct opt_desc {
	const char *name;
	enum opt_type type;
	const char *def;  /* default as text, NULL = none */
	const char *help; /* one line */
};

struct opts; /* parsed: every row of the table with its value */

/* [setup] @s may be NULL (= empty). Unknown or malformed items name themselves in @err. */
int opts_parse(struct opts **out, const struct opt_desc *table, const char *s,
	       struct hk_err *err) MUST_CHECK;
void opts_destroy(struct opts *o);
const char *opts_str(const struct opts *o, const char *name); /* NULL: not given, no default */
bool opts_bool(const struct opts *o, const char *name);
u64 opts_u64(const struct opts *o, const char *name);

/* [any] "512M", "1g", "4096": number with b k m g t p e, powers of 1024. 0 or -EINVAL/-ERANGE */
int parse_size(const char *s, u64 *bytes) MUST_CHECK;

#endif
