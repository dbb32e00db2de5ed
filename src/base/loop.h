// SPDX-License-Identifier: BSD-2-Clause
/* base/loop.h - One VM's I/O thread: file descriptors, timers, calls from elsewhere
 *
 * A loop either has its own thread (loop_start) or is stepped by hand
 * (loop_step), as tests with a fake clock do. Callbacks run on the loop
 * ([loop]) with no lock of the loop held, so they may call anything here.
 *
 * [loop] is exclusion rather than a thread: while the loop sleeps, loop_run() and work_run() let
 * another thread be the loop for one callback, which saves waking it. loop_is_current() is true
 * there too.
 *
 * Timers are the caller's own structs. After timer_cancel_sync() or loop_stop()
 * the callback is not running and will not run. */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include "base/clock.h"
#include "base/types.h"
#include "hyperkit/hyperkit.h"

struct loop;

int loop_create(struct loop **out, struct clock *clock, struct hk_err *err) MUST_CHECK;
void loop_destroy(struct loop *l);		       /* [setup] stops first; NULL ok */
int loop_start(struct loop *l, const char *name, struct hk_err *err) MUST_CHECK; /* [setup] */
void loop_stop(struct loop *l);			       /* [setup] joins; idempotent */
/* [setup] Run what is due without a thread; @wait_ms as epoll_wait. Return: callbacks run. */
int loop_step(struct loop *l, int wait_ms);
bool loop_is_current(const struct loop *l);	       /* [any] */
struct clock *loop_clock(struct loop *l);	       /* [any] */

/* A timer fires once per arming, at or after @deadline_ns of the loop's clock */
struct timer {
	void (*fn)(void *arg); /* [loop] */
	void *arg;
	struct loop *loop;
	u64 deadline_ns; /* under the loop's lock; meaningful while heap_pos != 0 */
	size_t heap_pos; /* under the loop's lock; 0 = not armed */
};

void timer_init(struct timer *t, struct loop *l, void (*fn)(void *), void *arg);
void timer_arm(struct timer *t, u64 deadline_ns); /* [any] moves an armed one */
void timer_cancel(struct timer *t);		  /* [any] may still be running elsewhere */
/* [any but from under a lock that fn takes] also waits for a running callback,
 * unless called from the loop itself */
void timer_cancel_sync(struct timer *t);

/* Watch a descriptor with epoll events (EPOLLIN, EPOLLOUT); level-triggered */
struct watch {
	void (*fn)(void *arg, u32 events); /* [loop] */
	void *arg;
	struct loop *loop;
	int fd;
	u32 events;	/* 0 = paused but registered */
	u32 generation; /* the loop's own */
};

/* [any] -EPERM when epoll cannot watch this kind of file (regular file, /dev/null) */
int watch_add(struct watch *w, struct loop *l, int fd, u32 events,
	      void (*fn)(void *, u32), void *arg) MUST_CHECK;
void watch_set(struct watch *w, u32 events); /* [any] */
void watch_del(struct watch *w);	     /* [any] idempotent; syncs like timer_cancel_sync */

/* [any] Have @fn run once on the loop soon. 0 or -ENOMEM. */
int loop_call(struct loop *l, void (*fn)(void *), void *arg) MUST_CHECK;
/* [any] The same and wait until it ran; direct call when on the loop */
void loop_call_wait(struct loop *l, void (*fn)(void *), void *arg);
/* [any, holding nothing that a loop callback takes] Run @fn as the loop: on this thread if the loop
 * has nothing to do now, else by loop_call_wait() */
void loop_run(struct loop *l, void (*fn)(void *), void *arg);

/* A call that is made again and again: nothing is allocated, it cannot fail */
struct work {
	void (*fn)(void *arg); /* [loop] */
	void *arg;
	struct loop *loop;
	struct work *next; /* under the loop's lock */
	bool queued;	   /* under the loop's lock */
};

void work_init(struct work *w, struct loop *l, void (*fn)(void *), void *arg);
void work_post(struct work *w); /* [any] once soon; posted again before it began: still once */
/* [any, as loop_run] Now, on this thread, if the loop has nothing to do; else work_post() */
void work_run(struct work *w);
void work_cancel_sync(struct work *w); /* [any but from under a lock that fn takes] */

#endif
