// SPDX-License-Identifier: BSD-2-Clause
/* Event loop: timers by a fake clock, descriptors, calls, cancelling under way */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/thread.h"

static struct clock_fake fake;
static struct clock host;

static int setup(void **s)
{
	struct loop *l;

	clock_fake_init(&fake, 1000, 0);
	clock_init_host(&host);
	if (loop_create(&l, &fake.clock, NULL))
		return -1;
	*s = l;
	return 0;
}

static int teardown(void **s)
{
	loop_destroy(*s);
	return 0;
}

/* Wait for @sem at most five seconds */
static bool got(sem_t *sem)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec += 5;
	return !sem_timedwait(sem, &ts);
}

static void post(void *arg)
{
	sem_post(arg);
}

static char order[64];
static char x[] = "x", none[] = "", digit[][2] = { "0", "1", "2", "3" };

static void note(void *arg)
{
	strcat(order, arg);
}

static void timers_fire_in_order_of_their_deadlines(void **s)
{
	struct loop *l = *s;
	struct timer t[5];
	char names[][2] = { "a", "b", "c", "d", "e" };
	static const u64 at[] = { 3000, 1500, 5000, 2000, 1200 };

	order[0] = '\0';
	for (int i = 0; i < 5; i++) {
		timer_init(&t[i], l, note, names[i]);
		timer_arm(&t[i], at[i]);
	}
	assert_int_equal(loop_step(l, 0), 0);
	clock_fake_advance(&fake, 1000);
	assert_int_equal(loop_step(l, 0), 3);
	assert_string_equal(order, "ebd");
	clock_fake_advance(&fake, 10000);
	assert_int_equal(loop_step(l, 0), 2);
	assert_string_equal(order, "ebdac");
	assert_int_equal(loop_step(l, 0), 0);
}

static void arming_again_moves_a_timer(void **s)
{
	struct loop *l = *s;
	struct timer t;

	order[0] = '\0';
	timer_init(&t, l, note, x);
	timer_arm(&t, 2000);
	timer_arm(&t, 4000);
	clock_fake_advance(&fake, 1500);
	assert_int_equal(loop_step(l, 0), 0);
	timer_arm(&t, 100); /* in the past: now */
	assert_int_equal(loop_step(l, 0), 1);
	assert_int_equal(loop_step(l, 0), 0);
}

static void a_cancelled_timer_does_not_fire(void **s)
{
	struct loop *l = *s;
	struct timer t[3];

	order[0] = '\0';
	for (int i = 0; i < 3; i++) {
		timer_init(&t[i], l, note, x);
		timer_arm(&t[i], 1100 + i);
	}
	timer_cancel(&t[0]);
	timer_cancel_sync(&t[2]);
	timer_cancel(&t[0]);
	clock_fake_advance(&fake, 10000);
	assert_int_equal(loop_step(l, 0), 1);
}

static void thousands_of_timers_keep_their_order(void **s)
{
	enum { N = 5000 };
	struct loop *l = *s;
	struct timer *t = calloc(N, sizeof(*t));
	u32 rnd = 1;
	int fired = 0;

	for (int i = 0; i < N; i++) {
		rnd = rnd * 1664525 + 1013904223;
		timer_init(&t[i], l, note, none);
		timer_arm(&t[i], 2000 + (rnd >> 8) % 10000);
	}
	for (int i = 0; i < N; i += 3)
		timer_cancel(&t[i]);
	for (int i = 0; i < N; i += 2)
		timer_arm(&t[i], 1500 + i);
	for (u64 now = 1000; now < 13000; now += 100) {
		u64 before = clock_ns(&fake.clock);

		clock_fake_advance(&fake, 100);
		fired += loop_step(l, 0);
		/* None that was due is left */
		for (int i = 0; i < N; i += 7)
			assert_false(t[i].heap_pos && t[i].deadline_ns <= before);
	}
	assert_int_equal(fired, N / 2 + N / 2 - N / 6 - (N % 6 > 3));
	free(t);
}

static int rearms;
static void rearm(void *arg)
{
	rearms++;
	timer_arm(arg, 0);
}

static void a_timer_that_is_always_due_does_not_starve_others(void **s)
{
	struct loop *l = *s;
	struct timer greedy, t;

	rearms = 0;
	order[0] = '\0';
	timer_init(&greedy, l, rearm, &greedy);
	timer_init(&t, l, note, x);
	timer_arm(&greedy, 0);
	timer_arm(&t, 900);
	loop_step(l, 0);
	loop_step(l, 0);
	loop_step(l, 0);
	assert_in_range(rearms, 1, 10);
	timer_cancel(&greedy);
	loop_step(l, 0);
	assert_string_equal(order, "x");
}

static void free_it(void *arg)
{
	free(arg);
}

static void a_callback_may_free_its_own_timer(void **s)
{
	struct loop *l = *s;
	struct timer *t = malloc(sizeof(*t));

	timer_init(t, l, free_it, t);
	timer_arm(t, 0);
	assert_int_equal(loop_step(l, 0), 1);
}

struct pipe_watch {
	struct watch w, *other;
	int fd[2];
	int calls;
	u32 events;
	bool drain;
};

static void on_pipe(void *arg, u32 events)
{
	struct pipe_watch *p = arg;
	char c;

	p->calls++;
	p->events = events;
	if (p->drain)
		assert_int_equal(read(p->fd[0], &c, 1), 1);
	if (p->other)
		watch_del(p->other);
}

static void pipe_open(struct pipe_watch *p, struct loop *l)
{
	memset(p, 0, sizeof(*p));
	p->drain = true;
	assert_int_equal(pipe2(p->fd, O_NONBLOCK | O_CLOEXEC), 0);
	assert_int_equal(watch_add(&p->w, l, p->fd[0], EPOLLIN, on_pipe, p), 0);
}

static void pipe_close(struct pipe_watch *p)
{
	watch_del(&p->w);
	close(p->fd[0]);
	close(p->fd[1]);
}

static void a_readable_descriptor_is_reported_until_it_is_read(void **s)
{
	struct loop *l = *s;
	struct pipe_watch p;

	pipe_open(&p, l);
	assert_int_equal(loop_step(l, 0), 0);
	assert_int_equal(write(p.fd[1], "ab", 2), 2);
	assert_int_equal(loop_step(l, 0), 1);
	assert_int_equal(p.events, EPOLLIN);
	assert_int_equal(loop_step(l, 0), 1);
	assert_int_equal(loop_step(l, 0), 0);
	assert_int_equal(p.calls, 2);
	pipe_close(&p);
}

static void a_paused_watch_is_silent_even_after_a_hang_up(void **s)
{
	struct loop *l = *s;
	struct pipe_watch p;

	pipe_open(&p, l);
	p.drain = false;
	assert_int_equal(write(p.fd[1], "a", 1), 1);
	watch_set(&p.w, 0);
	assert_int_equal(loop_step(l, 0), 0);
	close(p.fd[1]);
	p.fd[1] = -1;
	loop_step(l, 0);
	assert_int_equal(p.calls, 0);
	/* And it does not keep the loop awake: a wait of 20 ms is really waited */
	{
		u64 t0 = clock_ns(&host);

		assert_int_equal(loop_step(l, 20), 0);
		assert_true(clock_ns(&host) - t0 >= 19000000);
	}
	watch_set(&p.w, EPOLLIN);
	assert_int_equal(loop_step(l, 0), 1);
	assert_true(p.events & EPOLLHUP);
	pipe_close(&p);
}

static void deleting_from_a_callback_stops_an_event_already_fetched(void **s)
{
	struct loop *l = *s;
	struct pipe_watch a, b;

	pipe_open(&a, l);
	pipe_open(&b, l);
	a.other = &b.w;
	b.other = &a.w;
	assert_int_equal(write(a.fd[1], "x", 1), 1);
	assert_int_equal(write(b.fd[1], "x", 1), 1);
	assert_int_equal(loop_step(l, 0), 1);
	assert_int_equal(loop_step(l, 0), 0);
	assert_int_equal(a.calls + b.calls, 1);
	pipe_close(&a);
	pipe_close(&b);
}

static void a_reused_descriptor_number_is_a_new_watch(void **s)
{
	struct loop *l = *s;
	struct pipe_watch a, b;
	int old;

	pipe_open(&a, l);
	old = a.fd[0];
	pipe_close(&a);
	pipe_open(&b, l);
	assert_int_equal(b.fd[0], old);
	assert_int_equal(write(b.fd[1], "x", 1), 1);
	watch_del(&a.w); /* idempotent, and does not hit b */
	assert_int_equal(loop_step(l, 0), 1);
	assert_int_equal(a.calls, 0);
	assert_int_equal(b.calls, 1);
	pipe_close(&b);
}

static void what_epoll_cannot_watch_is_refused(void **s)
{
	struct watch w;
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	assert_int_equal(watch_add(&w, *s, fd, EPOLLIN, on_pipe, NULL), -EPERM);
	assert_int_equal(watch_add(&w, *s, -1, EPOLLIN, on_pipe, NULL), -EBADF);
	watch_del(&w);
	watch_set(&w, EPOLLIN);
	close(fd);
}

static void call_again(void *arg)
{
	strcat(order, "1");
	assert_int_equal(loop_call(arg, note, digit[3]), 0);
}

static void calls_run_in_order_and_nested_ones_later(void **s)
{
	struct loop *l = *s;

	order[0] = '\0';
	assert_int_equal(loop_call(l, call_again, l), 0);
	assert_int_equal(loop_call(l, note, digit[2]), 0);
	assert_int_equal(loop_step(l, 0), 2);
	assert_string_equal(order, "12");
	assert_int_equal(loop_step(l, -1), 1); /* does not sleep over it */
	assert_string_equal(order, "123");
}

static void current(void *arg)
{
	struct { struct loop *l; bool yes; sem_t done; } *c = arg;

	c->yes = loop_is_current(c->l);
	sem_post(&c->done);
}

static void is_current_only_inside(void **s)
{
	struct { struct loop *l; bool yes; sem_t done; } c = { .l = *s };

	sem_init(&c.done, 0, 0);
	assert_false(loop_is_current(c.l));
	assert_int_equal(loop_call(c.l, current, &c), 0);
	loop_step(c.l, 0);
	assert_true(c.yes);
	assert_false(loop_is_current(c.l));
	c.yes = false;
	assert_int_equal(loop_start(c.l, "loop", NULL), 0);
	assert_int_equal(loop_call(c.l, current, &c), 0);
	assert_true(got(&c.done));
	assert_true(got(&c.done));
	assert_true(c.yes);
	assert_false(loop_is_current(c.l));
}

/* ------------------------------------------------ with a thread and real time */

static int setup_host(void **s)
{
	struct loop *l;

	clock_init_host(&host);
	if (loop_create(&l, &host, NULL) || loop_start(l, "test loop", NULL))
		return -1;
	*s = l;
	return 0;
}

static void a_timer_wakes_the_sleeping_thread(void **s)
{
	struct timer late, soon;
	sem_t sem;
	u64 t0 = clock_ns(&host);

	sem_init(&sem, 0, 0);
	timer_init(&late, *s, post, &sem);
	timer_init(&soon, *s, post, &sem);
	timer_arm(&late, t0 + 3600 * NS_PER_SEC);
	timer_arm(&soon, t0 + 3000000);
	assert_true(got(&sem));
	assert_in_range(clock_ns(&host) - t0, 3000000, 4 * NS_PER_SEC);
	timer_cancel_sync(&late);
}

static void call_wait_returns_when_it_ran(void **s)
{
	int hits = 0;

	for (int i = 0; i < 1000; i++) {
		

		order[0] = '\0';
		loop_call_wait(*s, note, x);
		hits += order[0] == 'x';
	}
	assert_int_equal(hits, 1000);
}

static void call_wait_without_a_thread_runs_at_once(void **s)
{
	order[0] = '\0';
	loop_call_wait(*s, note, x);
	assert_string_equal(order, "x");
}

struct gate {
	sem_t inside, go;
	struct timer t;
	struct watch w;
	int fd[2];
	_Atomic bool left;
	_Atomic int runs;
};

static void gate_run(struct gate *g)
{
	atomic_fetch_add(&g->runs, 1);
	sem_post(&g->inside);
	sem_wait(&g->go);
	atomic_store(&g->left, true);
}

static void gate_timer(void *arg)
{
	struct gate *g = arg;

	gate_run(g);
	timer_arm(&g->t, 0); /* tries to come back */
}

static void gate_watch(void *arg, u32 events)
{
	gate_run(arg);
}

static void *open_gate(void *arg)
{
	struct gate *g = arg;
	struct pollfd nothing = { .fd = -1 };

	poll(&nothing, 1, 20); /* let the other thread reach its wait, mostly */
	sem_post(&g->go);
	return NULL;
}

static void cancel_sync_waits_for_the_running_callback(void **s)
{
	struct gate g = { .left = false };
	pthread_t t;

	sem_init(&g.inside, 0, 0);
	sem_init(&g.go, 0, 0);
	timer_init(&g.t, *s, gate_timer, &g);
	timer_arm(&g.t, 0);
	assert_true(got(&g.inside));
	pthread_create(&t, NULL, open_gate, &g);
	timer_cancel_sync(&g.t);
	assert_true(atomic_load(&g.left));
	loop_call_wait(*s, note, none);
	loop_call_wait(*s, note, none);
	assert_int_equal(atomic_load(&g.runs), 1);
	pthread_join(t, NULL);
}

static void watch_del_waits_for_the_running_callback(void **s)
{
	struct gate g = { .left = false };
	pthread_t t;

	sem_init(&g.inside, 0, 0);
	sem_init(&g.go, 0, 0);
	assert_int_equal(pipe2(g.fd, O_CLOEXEC), 0);
	assert_int_equal(watch_add(&g.w, *s, g.fd[0], EPOLLIN, gate_watch, &g), 0);
	assert_int_equal(write(g.fd[1], "x", 1), 1);
	assert_true(got(&g.inside));
	pthread_create(&t, NULL, open_gate, &g);
	watch_del(&g.w);
	assert_true(atomic_load(&g.left));
	loop_call_wait(*s, note, none);
	assert_int_equal(atomic_load(&g.runs), 1);
	pthread_join(t, NULL);
	close(g.fd[0]);
	close(g.fd[1]);
}

static void stop_runs_what_was_called_and_then_nothing(void **s)
{
	struct timer t;
	sem_t sem;
	int n;

	sem_init(&sem, 0, 0);
	timer_init(&t, *s, post, &sem);
	for (int i = 0; i < 10; i++)
		assert_int_equal(loop_call(*s, post, &sem), 0);
	loop_stop(*s);
	loop_stop(*s);
	sem_getvalue(&sem, &n);
	assert_int_equal(n, 10);
	timer_arm(&t, 0);
	sem_getvalue(&sem, &n);
	assert_int_equal(n, 10);
	assert_int_equal(loop_start(*s, "again", NULL), 0);
	for (int i = 0; i < 11; i++)
		assert_true(got(&sem));
}

static void an_idle_loop_sleeps(void **s)
{
	struct timespec a, b;
	struct pollfd nothing = { .fd = -1 };
	struct { struct loop *l; bool yes; sem_t done; } c = { .l = *s };

	/* CPU time of the whole process: nobody else runs in it */
	sem_init(&c.done, 0, 0);
	loop_call_wait(*s, current, &c);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	poll(&nothing, 1, 100);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	assert_true((b.tv_sec - a.tv_sec) * 1000000000ll + b.tv_nsec - a.tv_nsec < 20000000);
}

static _Atomic int storm_fired;
static void count(void *arg)
{
	atomic_fetch_add(&storm_fired, 1);
}

static void *storm(void *arg)
{
	struct timer *t = arg;
	struct loop *l = t->loop;

	for (int i = 0; i < 2000; i++) {
		timer_arm(t, i % 3 ? clock_ns(&host) + 1000 * (i % 50) : 0);
		if (i % 7 == 0)
			timer_cancel_sync(t);
		if (i % 11 == 0)
			loop_call_wait(l, count, NULL);
	}
	timer_cancel_sync(t);
	return NULL;
}

static void many_threads_may_use_one_loop(void **s)
{
	struct timer t[4];
	pthread_t th[4];

	atomic_store(&storm_fired, 0);
	for (int i = 0; i < 4; i++) {
		timer_init(&t[i], *s, count, NULL);
		pthread_create(&th[i], NULL, storm, &t[i]);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(th[i], NULL);
	assert_true(atomic_load(&storm_fired) >= 4 * 182);
}

struct inside {
	struct loop *l;
	int in, most, ran, foreign; /* plain: exclusion is what is tested */
	pthread_t at;
	struct work w;
};

static void come_in(void *arg)
{
	struct inside *i = arg;

	i->in++;
	i->most = i->in > i->most ? i->in : i->most;
	i->foreign += !loop_is_current(i->l);
	i->ran++;
	i->at = pthread_self();
	i->in--;
}

static void a_resting_loop_lets_the_caller_run_its_work(void **s)
{
	struct inside i = { .l = *s };

	work_init(&i.w, *s, come_in, &i);
	work_run(&i.w);
	assert_int_equal(i.ran, 1);
	assert_int_equal(i.foreign, 0);
	loop_run(*s, come_in, &i);
	assert_int_equal(i.ran, 2);
	assert_false(loop_is_current(*s));
	assert_int_equal(loop_step(*s, 0), 0);
}

static void posts_thrice(void *arg)
{
	struct inside *i = arg;

	for (int n = 0; n < 3; n++)
		work_run(&i->w); /* on the loop: never nested */
	assert_int_equal(i->ran, 0);
}

static void work_posted_often_runs_once(void **s)
{
	struct inside i = { .l = *s };

	work_init(&i.w, *s, come_in, &i);
	work_post(&i.w);
	work_post(&i.w);
	assert_int_equal(loop_step(*s, 0), 1);
	assert_int_equal(i.ran, 1);
	i.ran = 0;
	loop_run(*s, posts_thrice, &i);
	assert_int_equal(loop_step(*s, 0), 1);
	assert_int_equal(i.ran, 1);
}

static void posts_itself(void *arg)
{
	struct inside *i = arg;

	i->ran++;
	work_post(&i->w);
}

static void work_that_posts_itself_does_not_starve_others(void **s)
{
	struct inside i = { .l = *s };

	work_init(&i.w, *s, posts_itself, &i);
	work_post(&i.w);
	for (int n = 1; n < 5; n++) {
		assert_int_equal(loop_step(*s, 0), 1);
		assert_int_equal(i.ran, n);
	}
	work_cancel_sync(&i.w);
	assert_int_equal(loop_step(*s, 0), 0);
	work_post(&i.w);
	assert_int_equal(loop_step(*s, 0), 1);
	work_cancel_sync(&i.w);
}

static void *burst(void *arg)
{
	struct inside *i = arg;
	struct work own;

	work_init(&own, i->l, come_in, i);
	for (int n = 0; n < 3000; n++) {
		if (n % 5 == 0)
			loop_run(i->l, come_in, i);
		else if (n % 7 == 0)
			work_post(&own);
		else if (n % 31 == 0)
			work_cancel_sync(&own);
		else
			work_run(&own);
	}
	work_cancel_sync(&own);
	return NULL;
}

static void whoever_runs_work_runs_it_alone(void **s)
{
	struct inside i = { .l = *s };
	pthread_t th[4];

	for (int n = 0; n < 4; n++)
		pthread_create(&th[n], NULL, burst, &i);
	for (int n = 0; n < 4; n++)
		pthread_join(th[n], NULL);
	assert_int_equal(i.most, 1);
	assert_int_equal(i.foreign, 0);
	assert_true(i.ran >= 4 * 600);
}

#define FAKE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define HOST(f) cmocka_unit_test_setup_teardown(f, setup_host, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FAKE(timers_fire_in_order_of_their_deadlines),
		FAKE(arming_again_moves_a_timer),
		FAKE(a_cancelled_timer_does_not_fire),
		FAKE(thousands_of_timers_keep_their_order),
		FAKE(a_timer_that_is_always_due_does_not_starve_others),
		FAKE(a_callback_may_free_its_own_timer),
		FAKE(a_readable_descriptor_is_reported_until_it_is_read),
		FAKE(a_paused_watch_is_silent_even_after_a_hang_up),
		FAKE(deleting_from_a_callback_stops_an_event_already_fetched),
		FAKE(a_reused_descriptor_number_is_a_new_watch),
		FAKE(what_epoll_cannot_watch_is_refused),
		FAKE(calls_run_in_order_and_nested_ones_later),
		FAKE(is_current_only_inside),
		FAKE(call_wait_without_a_thread_runs_at_once),
		HOST(a_timer_wakes_the_sleeping_thread),
		HOST(call_wait_returns_when_it_ran),
		HOST(cancel_sync_waits_for_the_running_callback),
		HOST(watch_del_waits_for_the_running_callback),
		HOST(stop_runs_what_was_called_and_then_nothing),
		HOST(an_idle_loop_sleeps),
		HOST(many_threads_may_use_one_loop),
		FAKE(a_resting_loop_lets_the_caller_run_its_work),
		FAKE(work_posted_often_runs_once),
		FAKE(work_that_posts_itself_does_not_starve_others),
		HOST(whoever_runs_work_runs_it_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
