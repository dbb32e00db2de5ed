// SPDX-License-Identifier: BSD-2-Clause
/* base/log.h - Messages through a callback; nothing is printed by the library
 *
 * One `struct log` per VM; no global state. A guest cannot flood it:
 * log_guest() lets one line per place and second through and counts the rest. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdatomic.h>

#include "base/types.h"
#include "hyperkit/hyperkit.h" /* enum hk_log_level, hk_log_fn */

struct log {
	hk_log_fn *fn; /* NULL: drop */
	void *arg;
	enum hk_log_level level; /* messages above it are dropped */
};

/* One per call site of log_guest(): when it last spoke, what it swallowed */
struct log_rate {
	_Atomic u64 last_ns;
	_Atomic u64 dropped;
};

/* [any] @log may be NULL. No newline at the end of the message. */
void log_msg(const struct log *log, enum hk_log_level level, const char *fmt, ...)
	PRINTF(3, 4);
void log_msg_limited(const struct log *log, struct log_rate *rate,
		     enum hk_log_level level, const char *fmt, ...) PRINTF(4, 5);

#define log_error(log, ...) log_msg(log, HK_LOG_ERROR, __VA_ARGS__)
#define log_warn(log, ...) log_msg(log, HK_LOG_WARN, __VA_ARGS__)
#define log_info(log, ...) log_msg(log, HK_LOG_INFO, __VA_ARGS__)
#define log_debug(log, ...) log_msg(log, HK_LOG_DEBUG, __VA_ARGS__)
/* Something odd that the guest did. The place's memory of it is shared by all VMs. */
#define log_guest(log, ...)                                                \
	do {                                                               \
		static struct log_rate rate_;                              \
		log_msg_limited(log, &rate_, HK_LOG_WARN, __VA_ARGS__);    \
	} while (0)

#endif
