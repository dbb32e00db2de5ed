// SPDX-License-Identifier: BSD-2-Clause
/* base/thread.c - Threads that an embedder's program does not notice
 *
 * The name and the signal mask are set before the thread's first own
 * instruction, so neither a signal nor ps ever meets it half made. */
#include "base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

int thread_create(pthread_t *out, const char *name, void *(*fn)(void *), void *arg,
		  struct hk_err *err)
{
	static const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
	sigset_t block, before;
	char shown[16];
	int rc;

	sigfillset(&block);
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		sigdelset(&block, own[i]);
	/* A new thread inherits the mask of its creator */
	pthread_sigmask(SIG_BLOCK, &block, &before);
	rc = pthread_create(out, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc)
		return err_set(err, -rc, "cannot start thread %s: %s", name, strerrordesc_np(rc));
	snprintf(shown, sizeof(shown), "%s", name);
	pthread_setname_np(*out, shown);
	return 0;
}

void thread_join(pthread_t t)
{
	pthread_join(t, NULL);
}
