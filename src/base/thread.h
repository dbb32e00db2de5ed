// SPDX-License-Identifier: BSD-2-Clause
/* base/thread.h - Threads that an embedder's program does not notice */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>

#include "base/types.h"
#include "hyperkit/hyperkit.h"

/**
 * thread_create() - Start a thread that takes none of the embedder's signals
 * @out:   receives the thread; join it with thread_join()
 * @name:  what ps and gdb show; the kernel keeps the first 15 bytes
 *
 * [any] All signals are blocked in it but those that its own instructions raise
 * (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP): blocking them would turn a fault
 * into the end of the process before any handler is asked.
 *
 * Return: 0; -EAGAIN or -ENOMEM
 */
int thread_create(pthread_t *out, const char *name, void *(*fn)(void *), void *arg,
		  struct hk_err *err) MUST_CHECK;
void thread_join(pthread_t t); /* [any but @t] */

#endif
