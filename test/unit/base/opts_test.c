// SPDX-License-Identifier: BSD-2-Clause
/* Option strings and sizes */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/opts.h"

static const struct opt_desc table[] = {
	{ "path", OPT_STR, NULL, "where" },
	{ "ro", OPT_BOOL, NULL, "no writes" },
	{ "sync", OPT_BOOL, "on", "flush" },
	{ "queues", OPT_U64, "1", "how many" },
	{ "size", OPT_SIZE, "1m", "how large" },
	{ NULL, 0, NULL, NULL },
};

static void all_types_are_read(void **s)
{
	struct opts *o;
	struct hk_err e;

	assert_int_equal(opts_parse(&o, table, "path=/a b,ro,sync=off,queues=0x10,size=2k", &e), 0);
	assert_string_equal(opts_str(o, "path"), "/a b");
	assert_true(opts_bool(o, "ro"));
	assert_false(opts_bool(o, "sync"));
	assert_int_equal(opts_u64(o, "queues"), 16);
	assert_int_equal(opts_u64(o, "size"), 2048);
	opts_destroy(o);
}

static void nothing_given_means_the_defaults(void **s)
{
	const char *const empty[] = { NULL, "" };

	for (int i = 0; i < 2; i++) {
		struct opts *o;

		assert_int_equal(opts_parse(&o, table, empty[i], NULL), 0);
		assert_null(opts_str(o, "path"));
		assert_false(opts_bool(o, "ro"));
		assert_true(opts_bool(o, "sync"));
		assert_int_equal(opts_u64(o, "queues"), 1);
		assert_int_equal(opts_u64(o, "size"), 1 << 20);
		opts_destroy(o);
	}
}

static void mistakes_name_themselves(void **s)
{
	static const struct {
		const char *s, *words;
	} bad[] = {
		{ "colour=red", "unknown option 'colour'" },
		{ "ro,", "an option without a name" },
		{ "=1", "an option without a name" },
		{ "path", "option 'path' needs a value" },
		{ "ro,ro", "option 'ro' is given twice" },
		{ "queues=two", "queues=two: want a number" },
		{ "queues=2x", "queues=2x: want a number" },
		{ "queues=-1", "queues=-1: want a number" },
		{ "queues=", "queues=: want a number" },
		{ "queues=99999999999999999999", "queues=99999999999999999999: the number is too large" },
		{ "sync=maybe", "sync=maybe: want on or off" },
		{ "size=1q", "size=1q: want a size such as 512M" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct opts *o = NULL;
		struct hk_err e;

		assert_true(opts_parse(&o, table, bad[i].s, &e) < 0);
		assert_string_equal(e.text, bad[i].words);
		assert_null(o);
	}
}

static void an_empty_text_value_is_a_value(void **s)
{
	struct opts *o;

	assert_int_equal(opts_parse(&o, table, "path=", NULL), 0);
	assert_string_equal(opts_str(o, "path"), "");
	opts_destroy(o);
}

static void destroying_nothing_is_fine(void **s)
{
	opts_destroy(NULL);
}

static void sizes_are_powers_of_1024(void **s)
{
	static const struct {
		const char *s;
		u64 v;
	} good[] = {
		{ "0", 0 }, { "4096", 4096 }, { "7b", 7 }, { "1k", 1024 }, { "512M", 512ull << 20 },
		{ "1g", 1ull << 30 }, { "2T", 2ull << 40 }, { "1p", 1ull << 50 },
		{ "15e", 15ull << 60 }, { "0x200", 512 }, { "18446744073709551615", ~0ull },
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		u64 v;

		assert_int_equal(parse_size(good[i].s, &v), 0);
		assert_int_equal(v, good[i].v);
	}
}

static void bad_sizes_are_refused(void **s)
{
	static const struct {
		const char *s;
		int rc;
	} bad[] = {
		{ "", -EINVAL }, { "M", -EINVAL }, { "1x", -EINVAL }, { "1MB", -EINVAL },
		{ "-1", -EINVAL }, { " 1", -EINVAL }, { "1 ", -EINVAL }, { "0x", -EINVAL },
		{ "16e", -ERANGE }, { "18446744073709551616", -ERANGE }, { "1\x8b", -EINVAL },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		u64 v = 77;

		assert_int_equal(parse_size(bad[i].s, &v), bad[i].rc);
		assert_int_equal(v, 77);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_types_are_read),
		cmocka_unit_test(nothing_given_means_the_defaults),
		cmocka_unit_test(mistakes_name_themselves),
		cmocka_unit_test(an_empty_text_value_is_a_value),
		cmocka_unit_test(destroying_nothing_is_fine),
		cmocka_unit_test(sizes_are_powers_of_1024),
		cmocka_unit_test(bad_sizes_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
