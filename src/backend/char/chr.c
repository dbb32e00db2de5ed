// SPDX-License-Identifier: BSD-2-Clause
/* backend/char/chr.c - A byte stream: gathering output, handing out input
 *
 * Output comes from vCPU threads, byte by byte. It waits in `stage` until a newline, until
 * the stage is full or for a millisecond, then goes to all sinks at once. A terminal that
 * is slower than the guest gets a queue of 64 KiB behind which the guest is made to wait,
 * but for 100 ms at most without any progress; then bytes are lost until it moves again.
 * A pty is different, for there need not be anybody at its other end: the oldest bytes
 * make room and the guest never waits.
 *
 * Input is read on the loop and only while the front end has room.
 *
 * Locks: out_lock for all of output, held while the guest waits, therefore only tried by
 * the loop; in_lock for bytes fed by the embedder. Neither is held while the front end is
 * called. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "backend/char/chr_int.h"
#include "base/err.h"
#include "base/log.h"

#define STAGE_BYTES 512u
#define STAGE_NS 1000000ull
#define QUEUE_BYTES 65536u
#define STALL_MS 100
#define FEED_BYTES 4096u
#define READ_BYTES 256u
/* Reads per call of the pump, so that a long file does not keep the loop */
#define PUMP_ROUNDS 16

/* (c) constant   (O) under out_lock   (I) under in_lock   (l) loop only   (s) setup only */
struct chr {
	struct loop *loop;	 /* (c) */
	struct log *log;	 /* (c) */
	struct chr_peer peer;	 /* (s) */
	bool started;		 /* (s) */

	pthread_mutex_t out_lock;
	struct chr_term term;	 /* (c) but for term.out.fd's errors, see out_dead */
	struct chr_ring ring;	 /* (O) */
	struct chr_syslog *syslog; /* (O) NULL = none */
	void (*output)(void *arg, const u8 *bytes, size_t n); /* (c) */
	void *output_arg;	 /* (c) */
	u8 stage[STAGE_BYTES];	 /* (O) */
	size_t stage_len;	 /* (O) */
	u8 *queue;		 /* (O) NULL = no terminal */
	size_t queue_head, queue_len; /* (O) */
	bool out_dead;		 /* (O) the terminal failed for good */
	int waited_ms;		 /* (O) since the last progress */
	u64 lost_bytes;		 /* (O) */
	bool live;		 /* (O) timer and watch may be used */
	struct timer flush_timer;
	struct watch out_watch;
	bool out_watched;	 /* (s) */

	pthread_mutex_t in_lock;
	u8 feed[FEED_BYTES];	 /* (I) */
	size_t feed_head, feed_len; /* (I) */
	bool in_live;		 /* (I) the pump's timer may be armed */
	_Atomic bool paused;	 /* the front end had no room when last asked */
	bool in_eof;		 /* (l) */
	bool in_watched;	 /* (s,l) false: a kind of file that epoll does not know */
	struct timer pump_timer;
	struct watch in_watch;
};

/* ---- output ---- */

/* Send from the queue what goes now. Return: bytes, or -errno as chr_fd_write */
static ssize_t queue_drain_locked(struct chr *c)
{
	size_t part, sum = 0;
	ssize_t n = 0;

	while (c->queue_len && !c->out_dead) {
		part = MIN(c->queue_len, QUEUE_BYTES - c->queue_head);
		n = chr_fd_write(&c->term.out, c->queue + c->queue_head, part);
		if (n < 0)
			break;
		c->queue_head = (c->queue_head + (size_t)n) % QUEUE_BYTES;
		c->queue_len -= (size_t)n;
		sum += (size_t)n;
	}
	if (n < 0 && n != -EAGAIN) {
		log_warn(c->log, "serial output stopped: %s", strerrordesc_np((int)-n));
		c->out_dead = true;
		c->queue_len = 0;
	}
	if (sum)
		c->waited_ms = 0;
	return sum ? (ssize_t)sum : n;
}

static void queue_put_locked(struct chr *c, const u8 *bytes, size_t n)
{
	size_t at = (c->queue_head + c->queue_len) % QUEUE_BYTES;
	size_t part = MIN(n, QUEUE_BYTES - at);

	memcpy(c->queue + at, bytes, part);
	memcpy(c->queue, bytes + part, n - part);
	c->queue_len += n;
}

/* Wait until the terminal takes something, within what is left of its 100 ms */
static bool queue_wait_locked(struct chr *c)
{
	struct pollfd pfd = { .fd = c->term.out.fd, .events = POLLOUT };
	struct timespec a, b;

	while (c->waited_ms < STALL_MS && !c->out_dead) {
		clock_gettime(CLOCK_MONOTONIC, &a);
		poll(&pfd, 1, STALL_MS - c->waited_ms);
		clock_gettime(CLOCK_MONOTONIC, &b);
		c->waited_ms += (int)((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000);
		if (queue_drain_locked(c) > 0)
			return true;
		/* Ready, yet nothing could be written: do not spin on it */
		c->waited_ms++;
	}
	return false;
}

static void term_put_locked(struct chr *c, const u8 *bytes, size_t n)
{
	size_t room, part;

	if (c->queue_len)
		queue_drain_locked(c);
	while (n && !c->out_dead) {
		room = QUEUE_BYTES - c->queue_len;
		if (!room && c->term.pty) {
			part = MIN(n, QUEUE_BYTES);
			c->queue_head = (c->queue_head + part) % QUEUE_BYTES;
			c->queue_len -= part;
			c->lost_bytes += part;
			continue;
		}
		if (!room && !queue_wait_locked(c)) {
			c->lost_bytes += n;
			return;
		}
		part = MIN(n, QUEUE_BYTES - c->queue_len);
		queue_put_locked(c, bytes, part);
		bytes += part;
		n -= part;
		queue_drain_locked(c);
	}
}

static void stage_flush_locked(struct chr *c)
{
	size_t n = c->stage_len;

	c->stage_len = 0;
	if (!n)
		return;
	chr_ring_put(&c->ring, c->stage, n);
	if (c->syslog)
		chr_syslog_put(c->syslog, c->stage, n);
	if (c->output)
		c->output(c->output_arg, c->stage, n);
	if (c->queue)
		term_put_locked(c, c->stage, n);
}

/* What could not go out goes when the descriptor says so */
static void out_watch_locked(struct chr *c)
{
	if (c->live && c->out_watched)
		watch_set(&c->out_watch, c->queue_len ? EPOLLOUT : 0);
}

static void flush_arm(struct chr *c)
{
	timer_arm(&c->flush_timer, clock_ns(loop_clock(c->loop)) + STAGE_NS);
}

void chr_write(struct chr *c, const u8 *bytes, size_t n)
{
	bool first, newline;
	size_t part;

	pthread_mutex_lock(&c->out_lock);
	while (n) {
		first = !c->stage_len;
		part = MIN(n, STAGE_BYTES - c->stage_len);
		memcpy(c->stage + c->stage_len, bytes, part);
		c->stage_len += part;
		newline = memchr(bytes, '\n', part);
		bytes += part;
		n -= part;
		if (newline || c->stage_len == STAGE_BYTES || !c->live) {
			stage_flush_locked(c);
			out_watch_locked(c);
		} else if (first) {
			flush_arm(c);
		}
	}
	pthread_mutex_unlock(&c->out_lock);
}

/* [loop] A writer that waits for a slow terminal holds the lock for long: come back */
static void flush_due(void *arg)
{
	struct chr *c = arg;

	if (pthread_mutex_trylock(&c->out_lock)) {
		flush_arm(c);
		return;
	}
	queue_drain_locked(c);
	/* Behind a full queue the loop would be the one to wait; the queue's next
	 * progress or the guest's next byte will see to the stage */
	if (c->term.pty || !c->queue || c->out_dead ||
	    QUEUE_BYTES - c->queue_len >= c->stage_len)
		stage_flush_locked(c);
	out_watch_locked(c);
	pthread_mutex_unlock(&c->out_lock);
}

static void out_ready(void *arg, u32 events)
{
	struct chr *c = arg;

	if (pthread_mutex_trylock(&c->out_lock)) {
		watch_set(&c->out_watch, 0);
		flush_arm(c);
		return;
	}
	pthread_mutex_unlock(&c->out_lock);
	flush_due(c);
}

/* ---- input ---- */

/* [loop] Bytes from the embedder first, up to @max. Return: how many */
static size_t feed_take(struct chr *c, u8 *buf, size_t max)
{
	size_t i, n;

	pthread_mutex_lock(&c->in_lock);
	n = MIN(max, c->feed_len);
	for (i = 0; i < n; i++)
		buf[i] = c->feed[(c->feed_head + i) % FEED_BYTES];
	c->feed_head = (c->feed_head + n) % FEED_BYTES;
	c->feed_len -= n;
	pthread_mutex_unlock(&c->in_lock);
	return n;
}

/* How many bytes the front end takes; none is remembered, so that chr_room wakes us.
 * The wish is stored before the question: room that appears after the answer is
 * announced by a chr_room that finds it. */
static size_t room_ask(struct chr *c)
{
	size_t n;

	atomic_store(&c->paused, true);
	n = c->peer.room ? c->peer.room(c->peer.arg) : 0;
	if (n)
		atomic_store(&c->paused, false);
	return n;
}

/* [loop] Return: look again at once */
static bool pump_round(struct chr *c)
{
	u8 buf[READ_BYTES];
	size_t max = MIN(room_ask(c), sizeof(buf));
	ssize_t n;

	if (!max)
		return false;
	n = (ssize_t)feed_take(c, buf, max);
	if (!n && c->term.in.fd >= 0 && !c->in_eof) {
		n = chr_fd_read(&c->term.in, buf, max);
		/* End of input, or a terminal that hung up: nothing will follow */
		if (n == 0 || (n < 0 && n != -EAGAIN))
			c->in_eof = true;
	}
	if (n > 0)
		c->peer.input(c->peer.arg, buf, (size_t)n);
	return n > 0;
}

static void pump(void *arg)
{
	struct chr *c = arg;
	unsigned i = 0;

	while (pump_round(c)) {
		if (++i == PUMP_ROUNDS) {
			timer_arm(&c->pump_timer, 0);
			break;
		}
	}
	if (c->in_watched)
		watch_set(&c->in_watch, c->in_eof || atomic_load(&c->paused) ? 0 : EPOLLIN);
}

static void in_ready(void *arg, u32 events)
{
	pump(arg);
}

/* Armed under the lock that chr_stop takes before it cancels, so never after that */
static void pump_arm_locked(struct chr *c)
{
	if (c->in_live)
		timer_arm(&c->pump_timer, 0);
}

void chr_room(struct chr *c)
{
	if (!atomic_load_explicit(&c->paused, memory_order_relaxed) ||
	    !atomic_exchange(&c->paused, false))
		return;
	pthread_mutex_lock(&c->in_lock);
	pump_arm_locked(c);
	pthread_mutex_unlock(&c->in_lock);
}

size_t chr_feed(struct chr *c, const u8 *bytes, size_t n)
{
	size_t i;

	pthread_mutex_lock(&c->in_lock);
	n = MIN(n, FEED_BYTES - c->feed_len);
	for (i = 0; i < n; i++)
		c->feed[(c->feed_head + c->feed_len + i) % FEED_BYTES] = bytes[i];
	c->feed_len += n;
	if (n)
		pump_arm_locked(c);
	pthread_mutex_unlock(&c->in_lock);
	return n;
}

/* ---- life ---- */

static int term_open(struct chr *c, const struct hk_serial_config *cfg, struct hk_err *err)
{
	bool fds = cfg->in_fd >= 0 || cfg->out_fd >= 0;
	int rc = 0;

	if ((cfg->pty != 0) + (cfg->device != NULL) + fds > 1)
		return err_set(err, -EINVAL, "more than one terminal for a serial port");
	if (cfg->pty)
		rc = chr_term_pty(&c->term, cfg->pty_file, err);
	else if (cfg->device)
		rc = chr_term_device(&c->term, cfg->device, err);
	else if (fds)
		rc = chr_term_fds(&c->term, cfg->in_fd, cfg->out_fd, err);
	if (rc || c->term.out.fd < 0)
		return rc;
	c->queue = malloc(QUEUE_BYTES);
	return c->queue ? 0 : err_set(err, -ENOMEM, "out of memory");
}

int chr_open(struct chr **out, const struct hk_serial_config *user, struct loop *loop,
	     struct log *log, struct hk_err *err)
{
	struct hk_serial_config cfg = HK_SERIAL_CONFIG_INIT;
	struct chr *c = calloc(1, sizeof(*c));
	int rc = 0;

	if (!c)
		return err_set(err, -ENOMEM, "out of memory");
	/* A caller built against a shorter struct has said nothing of the newer fields */
	if (user)
		memcpy(&cfg, user, MIN(user->size ? user->size : sizeof(cfg), sizeof(cfg)));
	c->loop = loop;
	c->log = log;
	c->ring.fd = -1;
	c->output = cfg.output;
	c->output_arg = cfg.output_arg;
	chr_term_init(&c->term);
	pthread_mutex_init(&c->out_lock, NULL);
	pthread_mutex_init(&c->in_lock, NULL);
	timer_init(&c->flush_timer, loop, flush_due, c);
	timer_init(&c->pump_timer, loop, pump, c);

	if (cfg.ring_file)
		rc = chr_ring_open(&c->ring, cfg.ring_file, err);
	if (!rc && cfg.syslog) {
		c->syslog = calloc(1, sizeof(*c->syslog));
		if (!c->syslog)
			rc = err_set(err, -ENOMEM, "out of memory");
	}
	if (!rc)
		rc = term_open(c, &cfg, err);
	if (rc) {
		chr_close(c);
		return rc;
	}
	*out = c;
	return 0;
}

void chr_attach(struct chr *c, const struct chr_peer *p)
{
	c->peer = p ? *p : (struct chr_peer){ 0 };
}

int chr_start(struct chr *c)
{
	int rc;

	if (c->started)
		return 0;
	c->in_watched = c->out_watched = false;
	if (c->term.in.fd >= 0 && !c->in_eof) {
		c->in_watched = true; /* before the watch may fire: the loop runs already */
		rc = watch_add(&c->in_watch, c->loop, c->term.in.fd, EPOLLIN, in_ready, c);
		/* A regular file or /dev/null is always readable: the pump reads it to its
		 * end as fast as the guest takes it */
		if (rc)
			c->in_watched = false;
		if (rc && rc != -EPERM)
			return rc;
	}
	if (c->term.out.fd >= 0) {
		c->out_watched = true;
		rc = watch_add(&c->out_watch, c->loop, c->term.out.fd, 0, out_ready, c);
		if (rc)
			c->out_watched = false;
		if (rc && rc != -EPERM) {
			watch_del(&c->in_watch);
			return rc;
		}
	}
	pthread_mutex_lock(&c->out_lock);
	c->live = true;
	out_watch_locked(c);
	pthread_mutex_unlock(&c->out_lock);
	pthread_mutex_lock(&c->in_lock);
	c->in_live = true;
	pump_arm_locked(c);
	pthread_mutex_unlock(&c->in_lock);
	c->started = true;
	return 0;
}

void chr_stop(struct chr *c)
{
	if (!c)
		return;
	/* First no new arming of timers and watches, then end those under way */
	pthread_mutex_lock(&c->out_lock);
	c->live = false;
	stage_flush_locked(c);
	while (c->queue_len && !c->out_dead && !c->term.pty && queue_wait_locked(c))
		;
	pthread_mutex_unlock(&c->out_lock);
	pthread_mutex_lock(&c->in_lock);
	c->in_live = false;
	pthread_mutex_unlock(&c->in_lock);
	if (!c->started)
		return;
	watch_del(&c->out_watch);
	watch_del(&c->in_watch);
	timer_cancel_sync(&c->flush_timer);
	timer_cancel_sync(&c->pump_timer);
	c->started = false;
}

void chr_close(struct chr *c)
{
	if (!c)
		return;
	chr_stop(c);
	if (c->syslog)
		chr_syslog_flush(c->syslog);
	if (c->lost_bytes)
		log_info(c->log, "serial output: %llu bytes were lost on a terminal that took none",
			 (unsigned long long)c->lost_bytes);
	free(c->syslog);
	chr_ring_close(&c->ring);
	chr_term_close(&c->term);
	free(c->queue);
	pthread_mutex_destroy(&c->in_lock);
	pthread_mutex_destroy(&c->out_lock);
	free(c);
}

const char *chr_pty_name(const struct chr *c)
{
	return c->term.pty ? c->term.name : NULL;
}
