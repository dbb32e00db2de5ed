// SPDX-License-Identifier: BSD-2-Clause
/* Event queue: order, the descriptor, what a full queue forgets, the end */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>

#include "machine/machine_int.h"

static struct events *make(void)
{
	static struct events e;

	assert_int_equal(events_init(&e, NULL), 0);
	return &e;
}

static bool readable(const struct events *e)
{
	struct pollfd p = { .fd = e->fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void post(struct events *e, int value)
{
	const struct hk_event ev = { .type = HK_EVENT_ACPI_ENABLED, .value = value };

	events_post(e, &ev);
}

static void end(struct events *e, enum hk_exit why)
{
	const struct hk_event ev = { .type = HK_EVENT_EXIT, .exit = why };

	events_end(e, &ev);
}

static void events_come_in_order_and_the_end_comes_last(void **state)
{
	struct events *e = make();
	struct hk_event ev;

	post(e, 1);
	end(e, HK_EXIT_RESET);
	post(e, 2); /* nothing happens after the end */
	assert_int_equal(events_next(e, &ev), 0);
	assert_int_equal(ev.value, 1);
	assert_int_equal(events_next(e, &ev), 0);
	assert_int_equal(ev.type, HK_EVENT_EXIT);
	assert_int_equal(ev.exit, HK_EXIT_RESET);
	assert_int_equal(events_next(e, &ev), -EAGAIN);
	events_fini(e);
}

static void descriptor_is_readable_exactly_while_an_event_waits(void **state)
{
	struct events *e = make();
	struct hk_event ev;

	assert_false(readable(e));
	post(e, 1);
	post(e, 2);
	assert_true(readable(e));
	assert_int_equal(events_next(e, &ev), 0);
	assert_true(readable(e));
	assert_int_equal(events_next(e, &ev), 0);
	assert_false(readable(e));
	end(e, HK_EXIT_HALT);
	assert_true(readable(e));
	assert_int_equal(events_next(e, &ev), 0);
	assert_false(readable(e));
	events_fini(e);
}

static void a_guest_that_floods_loses_old_events_and_never_the_end(void **state)
{
	struct events *e = make();
	struct hk_event ev;
	int n = 0, first = -1;

	for (int i = 0; i < 1000; i++)
		post(e, i);
	end(e, HK_EXIT_POWEROFF);
	while (events_next(e, &ev) == 0) {
		if (first < 0)
			first = ev.value;
		n++;
	}
	assert_int_equal(n, EVENTS_RING + 1);
	assert_int_equal(first, 1000 - EVENTS_RING);
	assert_int_equal(ev.exit, HK_EXIT_POWEROFF);
	events_fini(e);
}

static void only_the_first_end_counts(void **state)
{
	struct events *e = make();
	enum hk_exit why = HK_EXIT_NONE;

	assert_int_equal(events_wait_end(e, 0, &why), -ETIMEDOUT);
	end(e, HK_EXIT_RESET);
	end(e, HK_EXIT_HALT);
	assert_int_equal(events_wait_end(e, -1, &why), 0);
	assert_int_equal(why, HK_EXIT_RESET);
	/* waiting took nothing from the queue */
	assert_true(readable(e));
	events_fini(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_come_in_order_and_the_end_comes_last),
		cmocka_unit_test(descriptor_is_readable_exactly_while_an_event_waits),
		cmocka_unit_test(a_guest_that_floods_loses_old_events_and_never_the_end),
		cmocka_unit_test(only_the_first_end_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
