// SPDX-License-Identifier: BSD-2-Clause
/* Growing text */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/strbuf.h"

static void text_is_put_together(void **s)
{
	struct strbuf b = { 0 };

	strbuf_add(&b, "a%d", 1);
	strbuf_add_mem(&b, "xyz", 2);
	assert_string_equal(b.s, "a1xy");
	assert_int_equal(b.len, 4);
	strbuf_fini(&b);
	assert_null(b.s);
}

static void it_grows_past_any_first_size(void **s)
{
	struct strbuf b = { 0 };

	for (int i = 0; i < 10000; i++)
		strbuf_add(&b, "%05d,", i);
	assert_int_equal(b.len, 60000);
	assert_int_equal(strlen(b.s), 60000);
	assert_memory_equal(b.s + 59994, "09999,", 6);
	assert_false(b.oom);
	strbuf_fini(&b);
}

static void an_impossible_size_is_remembered_and_nothing_follows(void **s)
{
	struct strbuf b = { 0 };

	strbuf_add(&b, "kept");
	strbuf_add_mem(&b, "x", SIZE_MAX / 2);
	strbuf_add(&b, "lost");
	assert_true(b.oom);
	assert_string_equal(b.s, "kept");
	strbuf_fini(&b);
}

static void nothing_added_is_no_text(void **s)
{
	struct strbuf b = { 0 };

	assert_null(b.s);
	strbuf_add(&b, "%s", "");
	assert_string_equal(b.s, "");
	strbuf_fini(&b);
	strbuf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_put_together),
		cmocka_unit_test(it_grows_past_any_first_size),
		cmocka_unit_test(an_impossible_size_is_remembered_and_nothing_follows),
		cmocka_unit_test(nothing_added_is_no_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
