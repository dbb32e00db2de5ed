// SPDX-License-Identifier: BSD-2-Clause
/* base/log.c - Messages through a callback; nothing is printed by the library
 *
 * [any] No allocation: a message is formatted on the caller's stack. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

#define LOG_MAX_BYTES 512

static bool wanted(const struct log *log, enum hk_log_level level)
{
	return log && log->fn && level <= log->level;
}

static void deliver(const struct log *log, enum hk_log_level level, const char *fmt, va_list ap,
		    u64 dropped)
{
	char text[LOG_MAX_BYTES];
	size_t n;

	vsnprintf(text, sizeof(text), fmt, ap);
	n = strlen(text);
	if (dropped)
		snprintf(text + n, sizeof(text) - n, " (and %llu more like it)",
			 (unsigned long long)dropped);
	log->fn(log->arg, level, text);
}

void log_msg(const struct log *log, enum hk_log_level level, const char *fmt, ...)
{
	va_list ap;

	if (!wanted(log, level))
		return;
	va_start(ap, fmt);
	deliver(log, level, fmt, ap, 0);
	va_end(ap);
}

void log_msg_limited(const struct log *log, struct log_rate *rate, enum hk_log_level level,
		     const char *fmt, ...)
{
	struct timespec ts;
	u64 now, last;
	va_list ap;

	if (!wanted(log, level))
		return;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	now = (u64)ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
	last = atomic_load_explicit(&rate->last_ns, memory_order_relaxed);
	/* Of several threads that find the second over, the one that moves the stamp speaks */
	if ((last && now - last < NS_PER_SEC) ||
	    !atomic_compare_exchange_strong(&rate->last_ns, &last, now ? now : 1)) {
		atomic_fetch_add_explicit(&rate->dropped, 1, memory_order_relaxed);
		return;
	}
	va_start(ap, fmt);
	deliver(log, level, fmt, ap, atomic_exchange(&rate->dropped, 0));
	va_end(ap);
}
