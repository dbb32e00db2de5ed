// SPDX-License-Identifier: BSD-2-Clause
/* base/pool.c - Worker threads for calls that block (files, compression)
 *
 * A job wakes a sleeping thread; when none sleeps and there is room for one more,
 * a thread is made. Threads stay until the pool ends. */
#include "base/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/thread.h"

struct pool {
	const char *name;	/* constant */
	unsigned max_threads;	/* constant */
	pthread_mutex_t lock;
	pthread_cond_t work;
	/* --- under the lock --- */
	struct list jobs;
	unsigned num_threads;
	unsigned idle;		/* threads that sleep and were not yet promised a job */
	bool stop;
	pthread_t thread[];
};

static void *worker(void *arg)
{
	struct pool *p = arg;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		struct pool_job *job;

		while (list_empty(&p->jobs) && !p->stop) {
			p->idle++;
			pthread_cond_wait(&p->work, &p->lock);
			p->idle--;
		}
		if (list_empty(&p->jobs))
			break;
		job = container_of(p->jobs.next, struct pool_job, link);
		list_del(&job->link);
		pthread_mutex_unlock(&p->lock);
		job->fn(job);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

int pool_create(struct pool **out, unsigned max_threads, const char *name, struct hk_err *err)
{
	struct pool *p;

	*out = NULL;
	if (!max_threads)
		return err_set(err, -EINVAL, "a pool needs a thread");
	p = calloc(1, sizeof(*p) + max_threads * sizeof(p->thread[0]));
	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	p->name = name;
	p->max_threads = max_threads;
	list_init(&p->jobs);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	*out = p;
	return 0;
}

void pool_destroy(struct pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->num_threads; i++)
		thread_join(p->thread[i]);
	pthread_cond_destroy(&p->work);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

void pool_submit(struct pool *p, struct pool_job *job)
{
	unsigned waiting = 0;
	struct list *l;

	pthread_mutex_lock(&p->lock);
	list_add_tail(&p->jobs, &job->link);
	/* A sleeper that was signalled counts as idle until it runs, so look how many jobs wait */
	list_for_each(l, &p->jobs)
		if (++waiting > p->idle)
			break;
	if (waiting <= p->idle) {
		pthread_cond_signal(&p->work);
	} else if (p->num_threads < p->max_threads) {
		if (!thread_create(&p->thread[p->num_threads], p->name, worker, p, NULL))
			p->num_threads++;
	}
	if (!p->num_threads) {
		list_del(&job->link);
		pthread_mutex_unlock(&p->lock);
		job->fn(job);
		return;
	}
	pthread_mutex_unlock(&p->lock);
}
