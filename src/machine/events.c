// SPDX-License-Identifier: BSD-2-Clause
/* machine/events.c - Queue of events to the embedder, with a descriptor to poll
 *
 * The guest can make events (it may switch ACPI mode on and off for ever), so
 * the queue has a fixed size and forgets its oldest entry. The end of the VM
 * has a place of its own and comes last. [any] throughout. */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "machine/machine_int.h"

int events_init(struct events *e, struct hk_err *err)
{
	pthread_condattr_t attr;

	memset(e, 0, sizeof(*e));
	e->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (e->fd < 0)
		return err_set(err, -errno, "eventfd: %s", strerror(errno));
	pthread_mutex_init(&e->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&e->ended_cond, &attr);
	pthread_condattr_destroy(&attr);
	return 0;
}

void events_fini(struct events *e)
{
	close(e->fd);
	pthread_cond_destroy(&e->ended_cond);
	pthread_mutex_destroy(&e->lock);
}

static bool waiting_locked(const struct events *e)
{
	return e->count || (e->ended && !e->end_taken);
}

/* The descriptor says whether something waits, not how much */
static void update_fd_locked(struct events *e)
{
	u64 n = 1;
	ssize_t rc;

	if (waiting_locked(e))
		rc = write(e->fd, &n, sizeof(n)); /* EAGAIN: it is readable anyway */
	else
		rc = read(e->fd, &n, sizeof(n)); /* EAGAIN: it was not */
	(void)rc;
}

void events_post(struct events *e, const struct hk_event *ev)
{
	pthread_mutex_lock(&e->lock);
	if (!e->ended) {
		if (e->count == EVENTS_RING) {
			e->head = (e->head + 1) % EVENTS_RING;
			e->count--;
		}
		e->ring[(e->head + e->count++) % EVENTS_RING] = *ev;
		update_fd_locked(e);
	}
	pthread_mutex_unlock(&e->lock);
}

void events_end(struct events *e, const struct hk_event *ev)
{
	pthread_mutex_lock(&e->lock);
	if (!e->ended) {
		e->end = *ev;
		e->ended = true;
		update_fd_locked(e);
		pthread_cond_broadcast(&e->ended_cond);
	}
	pthread_mutex_unlock(&e->lock);
}

int events_next(struct events *e, struct hk_event *ev)
{
	int rc = 0;

	pthread_mutex_lock(&e->lock);
	if (e->count) {
		*ev = e->ring[e->head];
		e->head = (e->head + 1) % EVENTS_RING;
		e->count--;
	} else if (e->ended && !e->end_taken) {
		*ev = e->end;
		e->end_taken = true;
	} else {
		rc = -EAGAIN;
	}
	if (!rc && !waiting_locked(e))
		update_fd_locked(e);
	pthread_mutex_unlock(&e->lock);
	return rc;
}

int events_wait_end(struct events *e, int timeout_ms, enum hk_exit *why)
{
	struct timespec until;
	int rc = 0;

	if (timeout_ms >= 0) {
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += timeout_ms / 1000;
		until.tv_nsec += timeout_ms % 1000 * 1000000l;
		if (until.tv_nsec >= 1000000000l) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000l;
		}
	}
	pthread_mutex_lock(&e->lock);
	while (!e->ended && !rc) {
		if (timeout_ms < 0)
			pthread_cond_wait(&e->ended_cond, &e->lock);
		else
			rc = pthread_cond_timedwait(&e->ended_cond, &e->lock, &until);
	}
	if (e->ended) {
		rc = 0;
		if (why)
			*why = e->end.exit;
	}
	pthread_mutex_unlock(&e->lock);
	return rc ? -ETIMEDOUT : 0;
}
