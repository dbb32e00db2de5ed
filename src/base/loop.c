// SPDX-License-Identifier: BSD-2-Clause
/* base/loop.c - One VM's I/O thread: file descriptors, timers, calls from elsewhere
 *
 * The thread sleeps in epoll until the earliest timer; an eventfd wakes it when
 * another thread brings work. One mutex guards all state and is never held while
 * a callback runs, so it is the last in any lock order. A second one, exec, is held
 * while callbacks run: who holds it is the loop. */
#include "base/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/thread.h"

/**
 * DOC: Theory of operation - what is running, and who waits for it
 *
 * A loop runs one callback at a time. `running` names the timer or watch whose
 * callback that is. timer_cancel_sync() and watch_del() first take their object
 * out of the heap or table and then wait until `running` is another one. On the
 * loop itself they do not wait: the callback that is running is the caller. A
 * timer that somebody waits for so cannot arm itself again from its callback.
 * After the callback returned the loop does not touch the object again, so a
 * callback may free the struct it belongs to.
 *
 * epoll hands out events in batches, so one callback may delete the watch of an
 * event that is already in our hands. Each event therefore carries descriptor
 * and generation and is looked up again under the lock.
 *
 * The loop's thread takes exec for each round of callbacks, not while it sleeps. Then
 * loop_run() and work_run() may take it (they only try, so they cannot starve behind a
 * busy loop, nor it behind them) and run one callback on the caller's thread.
 *
 * timer_arm() must not fail, so the heap has its address space from the start
 * and gets its pages by being used.
 */

#define LOOP_MAX_TIMERS (1ul << 18)
#define LOOP_BATCH 32
#define LOOP_WAKE (~0ull) /* epoll data of our eventfd */

struct call {
	struct call *next;
	void (*fn)(void *arg);
	void *arg;
	bool *done; /* a waiter's, under the lock; then the struct is the waiter's too */
};

struct loop {
	struct clock *clock; /* constant */
	int epfd, wakefd;    /* constant */
	pthread_mutex_t exec; /* before lock */
	pthread_mutex_t lock;
	pthread_cond_t idle; /* a callback or a waited-for call has ended */
	/* --- under the lock --- */
	struct timer **heap; /* [1..heap_len], earliest first */
	size_t heap_len;
	struct watch **watch; /* by descriptor */
	size_t num_fds;
	u32 generation;
	struct call *calls, **calls_end;
	struct work *works, **works_end;
	void *running;	  /* struct timer or struct watch */
	u64 run;	  /* number of the callback that runs or ran last */
	bool no_rearm;	  /* somebody waits for `running`, a timer, to end for good */
	u64 asleep_until; /* deadline the loop sleeps for; 0 = awake */
	bool started, stop;
	/* --- */
	pthread_t thread;	      /* valid while started */
	_Atomic(pthread_t) owner;     /* the thread that holds exec */
	_Atomic bool owned;
};

static void wake(struct loop *l)
{
	u64 one = 1;
	ssize_t n UNUSED = write(l->wakefd, &one, sizeof(one));
}

bool loop_is_current(const struct loop *l)
{
	/* Only this thread stores its own id here, so the two loads cannot lie to it */
	return atomic_load(&l->owned) && pthread_equal(atomic_load(&l->owner), pthread_self());
}

static void exec_taken(struct loop *l)
{
	atomic_store(&l->owner, pthread_self());
	atomic_store(&l->owned, true);
}

static void exec_enter(struct loop *l)
{
	pthread_mutex_lock(&l->exec);
	exec_taken(l);
}

static bool exec_try(struct loop *l)
{
	if (pthread_mutex_trylock(&l->exec))
		return false;
	exec_taken(l);
	return true;
}

static void exec_leave(struct loop *l)
{
	atomic_store(&l->owned, false);
	pthread_mutex_unlock(&l->exec);
}

struct clock *loop_clock(struct loop *l)
{
	return l->clock;
}

/* ---------------------------------------------------------------- timers */

static void heap_put(struct loop *l, size_t pos, struct timer *t)
{
	l->heap[pos] = t;
	t->heap_pos = pos;
}

static void heap_up(struct loop *l, size_t pos, struct timer *t)
{
	for (; pos > 1 && t->deadline_ns < l->heap[pos / 2]->deadline_ns; pos /= 2)
		heap_put(l, pos, l->heap[pos / 2]);
	heap_put(l, pos, t);
}

static void heap_down(struct loop *l, size_t pos, struct timer *t)
{
	size_t kid;

	while ((kid = 2 * pos) <= l->heap_len) {
		if (kid < l->heap_len &&
		    l->heap[kid + 1]->deadline_ns < l->heap[kid]->deadline_ns)
			kid++;
		if (t->deadline_ns <= l->heap[kid]->deadline_ns)
			break;
		heap_put(l, pos, l->heap[kid]);
		pos = kid;
	}
	heap_put(l, pos, t);
}

static void disarm_locked(struct loop *l, struct timer *t)
{
	size_t pos = t->heap_pos;
	struct timer *last;

	if (!pos)
		return;
	t->heap_pos = 0;
	last = l->heap[l->heap_len--];
	if (last == t)
		return;
	if (pos > 1 && last->deadline_ns < l->heap[pos / 2]->deadline_ns)
		heap_up(l, pos, last);
	else
		heap_down(l, pos, last);
}

void timer_init(struct timer *t, struct loop *l, void (*fn)(void *), void *arg)
{
	memset(t, 0, sizeof(*t));
	t->loop = l;
	t->fn = fn;
	t->arg = arg;
}

void timer_arm(struct timer *t, u64 deadline_ns)
{
	struct loop *l = t->loop;
	bool earlier;

	pthread_mutex_lock(&l->lock);
	if (l->running == t && l->no_rearm && loop_is_current(l)) {
		pthread_mutex_unlock(&l->lock);
		return;
	}
	disarm_locked(l, t);
	t->deadline_ns = deadline_ns;
	if (l->heap_len < LOOP_MAX_TIMERS)
		heap_up(l, ++l->heap_len, t);
	earlier = deadline_ns < l->asleep_until;
	if (earlier)
		l->asleep_until = 0; /* one wake-up is enough */
	pthread_mutex_unlock(&l->lock);
	if (earlier)
		wake(l);
}

void timer_cancel(struct timer *t)
{
	struct loop *l = t->loop;

	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	disarm_locked(l, t);
	pthread_mutex_unlock(&l->lock);
}

void timer_cancel_sync(struct timer *t)
{
	struct loop *l = t->loop;
	u64 run;

	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	disarm_locked(l, t);
	run = l->run;
	while (l->running == t && l->run == run && !loop_is_current(l)) {
		/* A periodic timer arms itself again in its callback; it would be running
		 * the next time before we are awake */
		l->no_rearm = true;
		pthread_cond_wait(&l->idle, &l->lock);
	}
	pthread_mutex_unlock(&l->lock);
}

static void run_begin_locked(struct loop *l, void *object)
{
	l->running = object;
	l->run++;
	pthread_mutex_unlock(&l->lock);
}

static void run_end_locked(struct loop *l)
{
	pthread_mutex_lock(&l->lock);
	l->running = NULL;
	l->no_rearm = false;
	pthread_cond_broadcast(&l->idle);
}

static int run_timers_locked(struct loop *l)
{
	/* A timer that arms itself for the past again must not starve the rest */
	size_t left = l->heap_len;
	u64 now = clock_ns(l->clock);
	int n = 0;

	while (left-- && l->heap_len && l->heap[1]->deadline_ns <= now && !l->stop) {
		struct timer *t = l->heap[1];
		void (*fn)(void *);
		void *arg;

		disarm_locked(l, t);
		fn = t->fn;
		arg = t->arg;
		run_begin_locked(l, t);
		fn(arg);
		run_end_locked(l);
		n++;
	}
	return n;
}

/* --------------------------------------------------------------- watches */

static int watch_ctl(struct watch *w, int op)
{
	struct epoll_event ev = {
		/* Hang-up and error cannot be masked; a paused descriptor reports them once
		 * (edge) instead of for ever */
		.events = w->events ? w->events : (u32)EPOLLET,
		.data.u64 = (u64)w->generation << 32 | (u32)w->fd,
	};

	return epoll_ctl(w->loop->epfd, op, w->fd, &ev) ? -errno : 0;
}

static int grow_table_locked(struct loop *l, size_t need)
{
	size_t n = l->num_fds ? l->num_fds : 16;
	struct watch **table;

	if (need <= l->num_fds)
		return 0;
	while (n < need)
		n *= 2;
	table = realloc(l->watch, n * sizeof(table[0]));
	if (!table)
		return -ENOMEM;
	memset(table + l->num_fds, 0, (n - l->num_fds) * sizeof(table[0]));
	l->watch = table;
	l->num_fds = n;
	return 0;
}

int watch_add(struct watch *w, struct loop *l, int fd, u32 events, void (*fn)(void *, u32),
	      void *arg)
{
	int rc;

	*w = (struct watch){ .fn = fn, .arg = arg, .fd = fd, .events = events };
	if (fd < 0)
		return -EBADF;
	pthread_mutex_lock(&l->lock);
	rc = grow_table_locked(l, (size_t)fd + 1);
	if (rc)
		goto out;
	w->loop = l;
	w->generation = ++l->generation;
	rc = watch_ctl(w, EPOLL_CTL_ADD);
	if (rc)
		w->loop = NULL;
	else
		l->watch[fd] = w;
out:
	pthread_mutex_unlock(&l->lock);
	return rc;
}

void watch_set(struct watch *w, u32 events)
{
	struct loop *l = w->loop;

	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	if (w->events != events && l->watch[w->fd] == w) {
		w->events = events;
		watch_ctl(w, EPOLL_CTL_MOD);
	}
	pthread_mutex_unlock(&l->lock);
}

void watch_del(struct watch *w)
{
	struct loop *l = w->loop;
	u64 run;

	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	if (l->watch[w->fd] == w) {
		l->watch[w->fd] = NULL;
		epoll_ctl(l->epfd, EPOLL_CTL_DEL, w->fd, NULL);
	}
	run = l->run;
	while (l->running == w && l->run == run && !loop_is_current(l))
		pthread_cond_wait(&l->idle, &l->lock);
	pthread_mutex_unlock(&l->lock);
}

static int run_watch_locked(struct loop *l, const struct epoll_event *ev)
{
	size_t fd = (u32)ev->data.u64;
	u32 generation = ev->data.u64 >> 32;
	struct watch *w = fd < l->num_fds ? l->watch[fd] : NULL;
	void (*fn)(void *, u32);
	void *arg;
	u32 events;

	if (!w || w->generation != generation || !w->events || l->stop)
		return 0;
	/* What was asked for may have changed since epoll looked */
	events = ev->events & (w->events | EPOLLERR | EPOLLHUP);
	if (!events)
		return 0;
	fn = w->fn;
	arg = w->arg;
	run_begin_locked(l, w);
	fn(arg, events);
	run_end_locked(l);
	return 1;
}

/* ----------------------------------------------------------------- calls */

static void enqueue_locked(struct loop *l, struct call *c)
{
	c->next = NULL;
	*l->calls_end = c;
	l->calls_end = &c->next;
	if (l->asleep_until) {
		l->asleep_until = 0;
		wake(l);
	}
}

int loop_call(struct loop *l, void (*fn)(void *), void *arg)
{
	struct call *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->fn = fn;
	c->arg = arg;
	pthread_mutex_lock(&l->lock);
	enqueue_locked(l, c);
	pthread_mutex_unlock(&l->lock);
	return 0;
}

void loop_call_wait(struct loop *l, void (*fn)(void *), void *arg)
{
	bool done = false;
	struct call c = { .fn = fn, .arg = arg, .done = &done };

	if (loop_is_current(l)) {
		fn(arg);
		return;
	}
	pthread_mutex_lock(&l->lock);
	if (!l->started) {
		/* Nobody steps it: this thread is as good as the loop */
		pthread_mutex_unlock(&l->lock);
		exec_enter(l);
		fn(arg);
		exec_leave(l);
		return;
	}
	enqueue_locked(l, &c);
	while (!done)
		pthread_cond_wait(&l->idle, &l->lock);
	pthread_mutex_unlock(&l->lock);
}

void loop_run(struct loop *l, void (*fn)(void *), void *arg)
{
	if (loop_is_current(l) || !exec_try(l)) {
		loop_call_wait(l, fn, arg);
		return;
	}
	fn(arg);
	exec_leave(l);
}

void work_init(struct work *w, struct loop *l, void (*fn)(void *), void *arg)
{
	*w = (struct work){ .fn = fn, .arg = arg, .loop = l };
}

void work_post(struct work *w)
{
	struct loop *l = w->loop;
	bool sleeping;

	pthread_mutex_lock(&l->lock);
	if (!w->queued) {
		w->queued = true;
		w->next = NULL;
		*l->works_end = w;
		l->works_end = &w->next;
	}
	sleeping = l->asleep_until;
	l->asleep_until = 0;
	pthread_mutex_unlock(&l->lock);
	if (sleeping)
		wake(l);
}

void work_run(struct work *w)
{
	struct loop *l = w->loop;

	if (loop_is_current(l) || !exec_try(l)) {
		work_post(w);
		return;
	}
	pthread_mutex_lock(&l->lock);
	if (!w->queued) { /* else the loop is on its way to it */
		run_begin_locked(l, w);
		w->fn(w->arg);
		run_end_locked(l);
	}
	pthread_mutex_unlock(&l->lock);
	exec_leave(l);
}

void work_cancel_sync(struct work *w)
{
	struct loop *l = w->loop;
	struct work **p;
	u64 run;

	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	for (p = &l->works; w->queued && *p; p = &(*p)->next) {
		if (*p != w)
			continue;
		*p = w->next;
		if (!*p)
			l->works_end = p;
		break;
	}
	w->queued = false;
	run = l->run;
	while (l->running == w && l->run == run && !loop_is_current(l))
		pthread_cond_wait(&l->idle, &l->lock);
	pthread_mutex_unlock(&l->lock);
}

/* One posted while it runs waits for the next round */
static int run_works_locked(struct loop *l)
{
	struct work *w;
	unsigned left = 0;
	int n = 0;

	for (w = l->works; w; w = w->next)
		left++;
	while (left-- && (w = l->works)) {
		l->works = w->next;
		if (!l->works)
			l->works_end = &l->works;
		w->queued = false;
		run_begin_locked(l, w);
		w->fn(w->arg);
		run_end_locked(l);
		n++;
	}
	return n;
}

static int run_calls_locked(struct loop *l)
{
	struct call *c, *next = l->calls;
	int n = 0;

	/* Those that arrive meanwhile wait for the next round */
	l->calls = NULL;
	l->calls_end = &l->calls;
	while ((c = next)) {
		bool *done = c->done;
		void (*fn)(void *);
		void *arg;

		next = c->next;
		fn = c->fn;
		arg = c->arg;
		run_begin_locked(l, c);
		fn(arg);
		run_end_locked(l);
		if (done) {
			*done = true; /* c is gone as soon as we unlock */
			pthread_cond_broadcast(&l->idle);
		} else {
			free(c);
		}
		n++;
	}
	return n;
}

/* ------------------------------------------------------------- the loop */

/* How long to sleep; notes it in asleep_until. Return: ns, ~0 = for ever */
static u64 sleep_ns_locked(struct loop *l, int wait_ms)
{
	u64 now = clock_ns(l->clock), ns = ~0ull;

	if (l->calls || l->works || l->stop)
		return 0;
	l->asleep_until = ~0ull;
	if (l->heap_len) {
		u64 deadline = l->heap[1]->deadline_ns;

		ns = deadline > now ? deadline - now : 0;
		l->asleep_until = deadline ? deadline : 1;
	}
	if (wait_ms >= 0)
		ns = MIN(ns, (u64)wait_ms * 1000000);
	return ns;
}

static int wait_events(struct loop *l, struct epoll_event *ev, u64 ns)
{
	/* A deadline further off than a day is looked at again after a day */
	u64 capped = MIN(ns, 86400 * NS_PER_SEC);
	struct timespec ts = { .tv_sec = capped / NS_PER_SEC, .tv_nsec = capped % NS_PER_SEC };
	int n;

	n = epoll_pwait2(l->epfd, ev, LOOP_BATCH, ns == ~0ull ? NULL : &ts, NULL);
	if (n < 0 && (errno == ENOSYS || errno == EPERM)) /* Linux before 5.11, old seccomp */
		n = epoll_wait(l->epfd, ev, LOOP_BATCH,
			       ns == ~0ull ? -1 : (int)((capped + 999999) / 1000000));
	return n < 0 ? 0 : n;
}

int loop_step(struct loop *l, int wait_ms)
{
	struct epoll_event ev[LOOP_BATCH];
	bool outermost = !loop_is_current(l);
	int n, ran = 0;
	u64 ns;

	pthread_mutex_lock(&l->lock);
	ns = sleep_ns_locked(l, wait_ms);
	pthread_mutex_unlock(&l->lock);

	n = wait_events(l, ev, ns);

	if (outermost)
		exec_enter(l);
	pthread_mutex_lock(&l->lock);
	l->asleep_until = 0;
	for (int i = 0; i < n; i++) {
		u64 count;

		if (ev[i].data.u64 == LOOP_WAKE) {
			ssize_t r UNUSED = read(l->wakefd, &count, sizeof(count));
		} else {
			ran += run_watch_locked(l, &ev[i]);
		}
	}
	ran += run_calls_locked(l);
	ran += run_works_locked(l);
	ran += run_timers_locked(l);
	pthread_mutex_unlock(&l->lock);
	if (outermost)
		exec_leave(l);
	return ran;
}

static void *loop_main(void *arg)
{
	struct loop *l = arg;
	bool stop;

	/* Guest timers: the default slack of 50 us would be added to each */
	prctl(PR_SET_TIMERSLACK, 1ul, 0, 0, 0);
	do {
		loop_step(l, -1);
		pthread_mutex_lock(&l->lock);
		stop = l->stop;
		pthread_mutex_unlock(&l->lock);
	} while (!stop);
	return NULL;
}

int loop_create(struct loop **out, struct clock *clock, struct hk_err *err)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = LOOP_WAKE };
	struct loop *l = calloc(1, sizeof(*l));
	int rc;

	if (!l)
		return err_set(err, -ENOMEM, "out of memory");
	l->clock = clock;
	l->calls_end = &l->calls;
	l->works_end = &l->works;
	l->wakefd = -1;
	pthread_mutex_init(&l->exec, NULL);
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->idle, NULL);
	l->heap = mmap(NULL, (LOOP_MAX_TIMERS + 1) * sizeof(l->heap[0]), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (l->heap == MAP_FAILED)
		l->heap = NULL;
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epfd >= 0)
		l->wakefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!l->heap || l->wakefd < 0 || epoll_ctl(l->epfd, EPOLL_CTL_ADD, l->wakefd, &ev)) {
		rc = err_set(err, -errno, "cannot create an event loop: %s",
			     strerrordesc_np(errno));
		loop_destroy(l);
		return rc;
	}
	*out = l;
	return 0;
}

int loop_start(struct loop *l, const char *name, struct hk_err *err)
{
	int rc;

	l->stop = false;
	l->started = true;
	rc = thread_create(&l->thread, name, loop_main, l, err);
	if (rc)
		l->started = false;
	return rc;
}

void loop_stop(struct loop *l)
{
	bool started;

	pthread_mutex_lock(&l->lock);
	started = l->started;
	l->stop = true;
	pthread_mutex_unlock(&l->lock);
	if (started) {
		wake(l);
		thread_join(l->thread);
	}
	pthread_mutex_lock(&l->lock);
	l->started = false;
	l->stop = false;
	/* Whoever waits for a call must not wait for ever */
	while (l->calls)
		run_calls_locked(l);
	pthread_mutex_unlock(&l->lock);
}

void loop_destroy(struct loop *l)
{
	if (!l)
		return;
	loop_stop(l);
	if (l->wakefd >= 0)
		close(l->wakefd);
	if (l->epfd >= 0)
		close(l->epfd);
	if (l->heap)
		munmap(l->heap, (LOOP_MAX_TIMERS + 1) * sizeof(l->heap[0]));
	free(l->watch);
	pthread_cond_destroy(&l->idle);
	pthread_mutex_destroy(&l->lock);
	pthread_mutex_destroy(&l->exec);
	free(l);
}
