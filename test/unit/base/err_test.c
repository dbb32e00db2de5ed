// SPDX-License-Identifier: BSD-2-Clause
/* Error words: order, truncation, one line */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/err.h"

static void set_returns_the_code_and_keeps_the_words(void **s)
{
	struct hk_err e;

	assert_int_equal(err_set(&e, -ENOENT, "no image %s", "a.raw"), -ENOENT);
	assert_string_equal(e.text, "no image a.raw");
}

static void wrap_puts_words_in_front(void **s)
{
	struct hk_err e;

	err_set(&e, -ENOENT, "no image a.raw");
	assert_int_equal(err_wrap(&e, -EIO, "disk %s", "root"), -EIO);
	assert_string_equal(e.text, "disk root: no image a.raw");
}

static void wrap_of_nothing_adds_no_colon(void **s)
{
	struct hk_err e = { "" };

	err_wrap(&e, -EIO, "disk");
	assert_string_equal(e.text, "disk");
}

static void nobody_listening_is_fine(void **s)
{
	assert_int_equal(err_set(NULL, -EINVAL, "%s", "x"), -EINVAL);
	assert_int_equal(err_wrap(NULL, -EINVAL, "%s", "x"), -EINVAL);
}

static void long_words_are_cut_and_stay_a_string(void **s)
{
	struct hk_err e;
	char big[600];

	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	err_set(&e, -EIO, "%s", big);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	err_wrap(&e, -EIO, "outer");
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	assert_memory_equal(e.text, "outer: aaa", 10);
}

static void the_old_text_may_be_an_argument(void **s)
{
	struct hk_err e;

	err_set(&e, -EIO, "inner");
	err_set(&e, -EIO, "<%s>", e.text);
	assert_string_equal(e.text, "<inner>");
}

static void a_newline_in_a_name_does_not_make_two_lines(void **s)
{
	struct hk_err e;

	err_set(&e, -ENOENT, "no %s", "a\nb");
	assert_string_equal(e.text, "no a b");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_returns_the_code_and_keeps_the_words),
		cmocka_unit_test(wrap_puts_words_in_front),
		cmocka_unit_test(wrap_of_nothing_adds_no_colon),
		cmocka_unit_test(nobody_listening_is_fine),
		cmocka_unit_test(long_words_are_cut_and_stay_a_string),
		cmocka_unit_test(the_old_text_may_be_an_argument),
		cmocka_unit_test(a_newline_in_a_name_does_not_make_two_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
