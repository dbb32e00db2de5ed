// SPDX-License-Identifier: BSD-2-Clause
/* Worker threads run every job once */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/pool.h"

enum { JOBS = 5000 };

struct meeting {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	unsigned here, wanted;
};
static struct meeting meeting = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0 };

struct count_job {
	struct pool_job job;
	atomic_uint *count;
};

static void count(struct pool_job *job)
{
	struct count_job *c = (struct count_job *)job;

	atomic_fetch_add(c->count, 1);
}

static void every_job_runs_before_the_pool_ends(void **s)
{
	static struct count_job job[JOBS];
	atomic_uint n = 0;
	struct pool *p;

	assert_int_equal(pool_create(&p, 4, "t", NULL), 0);
	for (unsigned i = 0; i < JOBS; i++) {
		job[i].job.fn = count;
		job[i].count = &n;
		pool_submit(p, &job[i].job);
	}
	pool_destroy(p);
	assert_int_equal(atomic_load(&n), JOBS);
}

static void meet(struct pool_job *job)
{
	pthread_mutex_lock(&meeting.lock);
	meeting.here++;
	pthread_cond_broadcast(&meeting.cond);
	while (meeting.here < meeting.wanted)
		pthread_cond_wait(&meeting.cond, &meeting.lock);
	pthread_mutex_unlock(&meeting.lock);
}

/* Each job waits for all others, so it ends only when as many threads run */
static void jobs_run_at_the_same_time(void **s)
{
	struct pool_job job[6];
	struct pool *p;

	meeting.wanted = 6;
	assert_int_equal(pool_create(&p, 6, "t", NULL), 0);
	for (unsigned i = 0; i < 6; i++) {
		job[i].fn = meet;
		pool_submit(p, &job[i]);
	}
	pool_destroy(p);
	assert_int_equal(meeting.here, 6);
}

static void a_pool_without_threads_is_refused(void **s)
{
	struct pool *p;

	assert_int_equal(pool_create(&p, 0, "t", NULL), -EINVAL);
	assert_null(p);
	pool_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_job_runs_before_the_pool_ends),
		cmocka_unit_test(jobs_run_at_the_same_time),
		cmocka_unit_test(a_pool_without_threads_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
