// SPDX-License-Identifier: BSD-2-Clause
/* Threads of ours and the embedder's signals */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "base/thread.h"

struct seen {
	sigset_t mask;
	char name[16];
};

static void *look(void *arg)
{
	struct seen *s = arg;

	pthread_sigmask(SIG_BLOCK, NULL, &s->mask);
	return NULL;
}

static void it_takes_no_signal_but_its_own_faults(void **s)
{
	struct seen seen;
	pthread_t t;

	assert_int_equal(thread_create(&t, "x", look, &seen, NULL), 0);
	thread_join(t);
	assert_true(sigismember(&seen.mask, SIGTERM));
	assert_true(sigismember(&seen.mask, SIGINT));
	assert_true(sigismember(&seen.mask, SIGUSR1));
	assert_true(sigismember(&seen.mask, SIGCHLD));
	assert_false(sigismember(&seen.mask, SIGSEGV));
	assert_false(sigismember(&seen.mask, SIGBUS));
	assert_false(sigismember(&seen.mask, SIGFPE));
}

static void the_creator_keeps_its_mask(void **s)
{
	struct seen seen, after;
	sigset_t before;
	pthread_t t;

	pthread_sigmask(SIG_BLOCK, NULL, &before);
	assert_int_equal(thread_create(&t, "x", look, &seen, NULL), 0);
	thread_join(t);
	look(&after);
	for (int sig = 1; sig < 32; sig++)
		assert_int_equal(sigismember(&before, sig), sigismember(&after.mask, sig));
}

static void *wait_for_release(void *arg)
{
	pthread_mutex_lock(arg);
	pthread_mutex_unlock(arg);
	return NULL;
}

static void a_long_name_is_cut(void **s)
{
	pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
	char name[16];
	pthread_t t;

	pthread_mutex_lock(&gate);
	assert_int_equal(thread_create(&t, "a-very-long-name-indeed", wait_for_release, &gate, NULL), 0);
	assert_int_equal(pthread_getname_np(t, name, sizeof(name)), 0);
	assert_string_equal(name, "a-very-long-nam");
	pthread_mutex_unlock(&gate);
	thread_join(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_takes_no_signal_but_its_own_faults),
		cmocka_unit_test(the_creator_keeps_its_mask),
		cmocka_unit_test(a_long_name_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
