// SPDX-License-Identifier: BSD-2-Clause
/* base/opts.c - "key=value,flag" strings against a table of what is allowed
 *
 * The table ends with a row whose name is NULL. Each item may be given once. A
 * value ends at the next comma; there is no way to quote one. */
#include "base/opts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"

struct opt_val {
	const char *text; /* into opts.copy or the table; NULL = absent */
	u64 num;	  /* OPT_BOOL, OPT_U64, OPT_SIZE */
	bool given;
};

struct opts {
	const struct opt_desc *table;
	char *copy;
	struct opt_val val[];
};

/* Digits of base 10, or 16 after 0x. Sets *@end after the last one. */
static int parse_digits(const char *s, u64 *val, const char **end)
{
	unsigned base = 10;
	u64 v = 0;
	const char *start;

	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		base = 16;
		s += 2;
	}
	for (start = s;; s++) {
		unsigned d;

		if (*s >= '0' && *s <= '9')
			d = *s - '0';
		else if (base == 16 && (*s | 0x20) >= 'a' && (*s | 0x20) <= 'f')
			d = (*s | 0x20) - 'a' + 10;
		else
			break;
		if (__builtin_mul_overflow(v, (u64)base, &v) || __builtin_add_overflow(v, (u64)d, &v))
			return -ERANGE;
	}
	if (s == start)
		return -EINVAL;
	*val = v;
	*end = s;
	return 0;
}

int parse_size(const char *s, u64 *bytes)
{
	static const char units[] = "bkmgtpe"; /* 1024 to the power of the place */
	const char *unit, *end;
	u64 v;
	int rc;

	rc = parse_digits(s, &v, &end);
	if (rc)
		return rc;
	if (*end) {
		/* "0x1b" reads as a number, as strtoull would have it */
		unit = strchr(units, *end | 0x20);
		if (!unit || end[1])
			return -EINVAL;
		if (__builtin_mul_overflow(v, 1ull << (10 * (unit - units)), &v))
			return -ERANGE;
	}
	*bytes = v;
	return 0;
}

static int parse_bool(const char *s, u64 *val)
{
	static const char *const yes[] = { "on", "yes", "true", "1" };
	static const char *const no[] = { "off", "no", "false", "0" };

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (!strcasecmp(s, yes[i]) || !strcasecmp(s, no[i])) {
			*val = !strcasecmp(s, yes[i]);
			return 0;
		}
	}
	return -EINVAL;
}

static int set_value(struct opt_val *v, const struct opt_desc *d, const char *text,
		     struct hk_err *err)
{
	static const char *const want[] = {
		[OPT_STR] = "text",
		[OPT_BOOL] = "on or off",
		[OPT_U64] = "a number",
		[OPT_SIZE] = "a size such as 512M",
	};
	const char *end;
	int rc = 0;

	_Static_assert(ARRAY_LEN(want) == OPT_NUM_TYPES, "one word per type");
	switch (d->type) {
	case OPT_BOOL:
		rc = parse_bool(text, &v->num);
		break;
	case OPT_U64:
		rc = parse_digits(text, &v->num, &end);
		if (!rc && *end)
			rc = -EINVAL;
		break;
	case OPT_SIZE:
		rc = parse_size(text, &v->num);
		break;
	default:
		break;
	}
	if (rc == -ERANGE)
		return err_set(err, rc, "%s=%s: the number is too large", d->name, text);
	if (rc)
		return err_set(err, rc, "%s=%s: want %s", d->name, text, want[d->type]);
	v->text = text;
	return 0;
}

static int parse_item(struct opts *o, char *item, struct hk_err *err)
{
	char *eq = strchr(item, '=');
	const char *value = eq ? eq + 1 : NULL;
	size_t i;

	if (eq)
		*eq = '\0';
	if (!*item)
		return err_set(err, -EINVAL, "an option without a name");
	for (i = 0; o->table[i].name; i++)
		if (!strcmp(o->table[i].name, item))
			break;
	if (!o->table[i].name)
		return err_set(err, -EINVAL, "unknown option '%s'", item);
	if (o->val[i].given)
		return err_set(err, -EINVAL, "option '%s' is given twice", item);
	if (!value && o->table[i].type != OPT_BOOL)
		return err_set(err, -EINVAL, "option '%s' needs a value", item);
	o->val[i].given = true;
	return set_value(&o->val[i], &o->table[i], value ? value : "on", err);
}

int opts_parse(struct opts **out, const struct opt_desc *table, const char *s, struct hk_err *err)
{
	struct opts *o;
	char *item, *next;
	size_t n = 0;
	int rc = -ENOMEM;

	while (table[n].name)
		n++;
	o = calloc(1, sizeof(*o) + n * sizeof(o->val[0]));
	if (!o)
		return err_set(err, -ENOMEM, "out of memory");
	o->table = table;
	o->copy = strdup(s ? s : "");
	if (!o->copy) {
		err_set(err, rc, "out of memory");
		goto fail;
	}
	for (size_t i = 0; i < n; i++) {
		if (!table[i].def)
			continue;
		rc = set_value(&o->val[i], &table[i], table[i].def, err);
		if (rc)
			goto fail;
	}
	for (item = *o->copy ? o->copy : NULL; item; item = next) {
		next = strchr(item, ',');
		if (next)
			*next++ = '\0';
		rc = parse_item(o, item, err);
		if (rc)
			goto fail;
	}
	*out = o;
	return 0;
fail:
	opts_destroy(o);
	return rc;
}

void opts_destroy(struct opts *o)
{
	if (!o)
		return;
	free(o->copy);
	free(o);
}

static const struct opt_val *find(const struct opts *o, const char *name)
{
	static const struct opt_val absent;

	for (size_t i = 0; o->table[i].name; i++)
		if (!strcmp(o->table[i].name, name))
			return &o->val[i];
	return &absent;
}

const char *opts_str(const struct opts *o, const char *name)
{
	return find(o, name)->text;
}

bool opts_bool(const struct opts *o, const char *name)
{
	return find(o, name)->num;
}

u64 opts_u64(const struct opts *o, const char *name)
{
	return find(o, name)->num;
}
