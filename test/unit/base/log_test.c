// SPDX-License-Identifier: BSD-2-Clause
/* Log: levels, the flood gate */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/log.h"

struct heard {
	int count;
	enum hk_log_level level;
	char text[600];
};

static void hear(void *arg, enum hk_log_level level, const char *text)
{
	struct heard *h = arg;

	h->count++;
	h->level = level;
	strncpy(h->text, text, sizeof(h->text) - 1);
}

static void a_message_arrives_with_its_level(void **s)
{
	struct heard h = { 0 };
	struct log log = { .fn = hear, .arg = &h, .level = HK_LOG_INFO };

	log_warn(&log, "port %#x", 0x80);
	assert_int_equal(h.count, 1);
	assert_int_equal(h.level, HK_LOG_WARN);
	assert_string_equal(h.text, "port 0x80");
}

static void what_is_above_the_level_is_dropped(void **s)
{
	struct heard h = { 0 };
	struct log log = { .fn = hear, .arg = &h, .level = HK_LOG_WARN };

	log_info(&log, "no");
	log_debug(&log, "no");
	assert_int_equal(h.count, 0);
	log_error(&log, "yes");
	assert_int_equal(h.count, 1);
}

static void no_log_and_no_function_are_silent(void **s)
{
	struct log log = { .level = HK_LOG_DEBUG };

	log_error(NULL, "x");
	log_error(&log, "x");
	log_guest(NULL, "x");
}

static void a_guest_cannot_flood(void **s)
{
	struct heard h = { 0 };
	struct log log = { .fn = hear, .arg = &h, .level = HK_LOG_DEBUG };
	struct log_rate rate = { 0 };

	for (int i = 0; i < 1000; i++)
		log_msg_limited(&log, &rate, HK_LOG_WARN, "bad %d", i);
	assert_in_range(h.count, 1, 2); /* 2: a second may end meanwhile */
	if (h.count == 1)
		assert_string_equal(h.text, "bad 0");
	/* A second later the next one speaks for the swallowed ones */
	atomic_fetch_sub(&rate.last_ns, 2000000000ull);
	log_msg_limited(&log, &rate, HK_LOG_WARN, "bad again");
	assert_non_null(strstr(h.text, "bad again (and "));
	assert_int_equal(atomic_load(&rate.dropped), 0);
}

static void places_are_limited_each_for_itself(void **s)
{
	struct heard h = { 0 };
	struct log log = { .fn = hear, .arg = &h, .level = HK_LOG_DEBUG };

	log_guest(&log, "one");
	log_guest(&log, "two");
	assert_int_equal(h.count, 2);
}

static void a_long_message_is_cut(void **s)
{
	struct heard h = { 0 };
	struct log log = { .fn = hear, .arg = &h, .level = HK_LOG_DEBUG };

	log_info(&log, "%2000d", 1);
	assert_in_range(strlen(h.text), 100, 599);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_arrives_with_its_level),
		cmocka_unit_test(what_is_above_the_level_is_dropped),
		cmocka_unit_test(no_log_and_no_function_are_silent),
		cmocka_unit_test(a_guest_cannot_flood),
		cmocka_unit_test(places_are_limited_each_for_itself),
		cmocka_unit_test(a_long_message_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
