// SPDX-License-Identifier: BSD-2-Clause
/* test/unit/backend/net/rig.h - A loop stepped by hand and a front end that remembers */
#ifndef TEST_UNIT_BACKEND_NET_RIG_H
#define TEST_UNIT_BACKEND_NET_RIG_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/net/net.h"
#include "base/log.h"

#define MAX_FRAMES 4096

struct frame {
	size_t len;
	u8 *bytes; /* without header */
	struct net_hdr hdr;
};

struct rig {
	struct clock clock;
	struct loop *loop;
	struct log log;
	char log_text[512];
	struct net *net;
	unsigned hdr_len;
	bool taking; /* pull at readable() */
	unsigned readables, writables, links;
	struct frame got[MAX_FRAMES];
	unsigned num_got;
	char folder[64];
};

static inline void rig_log(void *arg, enum hk_log_level level, const char *text)
{
	struct rig *r = arg;

	snprintf(r->log_text, sizeof(r->log_text), "%s", text);
}

static inline bool rig_pull_one(struct rig *r)
{
	static u8 buf[NET_MAX_HDR + NET_MAX_FRAME];
	struct iovec iov[3] = { { buf, 7 }, { buf + 7, 30 }, { buf + 37, sizeof(buf) - 37 } };
	struct frame *f = &r->got[r->num_got];
	const u8 *eth;
	size_t len = net_peek(r->net, &eth);
	ssize_t n;

	if (!len)
		return false;
	n = net_recv(r->net, iov, 3);
	assert_int_equal(n, len);
	assert_true(r->num_got < MAX_FRAMES);
	memcpy(&f->hdr, buf, r->hdr_len);
	f->len = len - r->hdr_len;
	f->bytes = malloc(f->len);
	memcpy(f->bytes, buf + r->hdr_len, f->len);
	r->num_got++;
	return true;
}

static inline void rig_pull(struct rig *r)
{
	while (rig_pull_one(r))
		;
}

static inline void rig_forget(struct rig *r)
{
	for (unsigned i = 0; i < r->num_got; i++)
		free(r->got[i].bytes);
	r->num_got = 0;
}

static inline void rig_readable(void *arg)
{
	struct rig *r = arg;

	r->readables++;
	if (r->taking)
		rig_pull(r);
}

static inline void rig_writable(void *arg)
{
	((struct rig *)arg)->writables++;
}

static inline void rig_link(void *arg)
{
	((struct rig *)arg)->links++;
}

static inline struct rig *rig_new(void)
{
	struct rig *r = calloc(1, sizeof(*r));
	sigset_t set;

	/* As the library's own threads have it */
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	clock_init_host(&r->clock);
	r->log = (struct log){ rig_log, r, HK_LOG_DEBUG };
	assert_int_equal(loop_create(&r->loop, &r->clock, NULL), 0);
	snprintf(r->folder, sizeof(r->folder), "/tmp/hk-net.XXXXXX");
	assert_non_null(mkdtemp(r->folder));
	r->taking = true;
	return r;
}

static inline int rig_open(struct rig *r, const char *kind, const char *opts, struct hk_err *err)
{
	const struct net_env env = { .loop = r->loop, .log = &r->log, .id = "net 0:2.0" };

	return net_open(&r->net, kind, opts, &env, err);
}

static inline void rig_start(struct rig *r, u32 features, unsigned hdr_len)
{
	const struct net_peer peer = { rig_readable, rig_writable, rig_link, r };

	r->hdr_len = hdr_len;
	net_attach(r->net, &peer);
	net_set_features(r->net, features, hdr_len, 1500);
	assert_int_equal(net_start(r->net), 0);
	net_rx(r->net, true);
}

static inline void rig_free(struct rig *r)
{
	char cmd[128];

	rig_forget(r);
	net_close(r->net);
	loop_destroy(r->loop);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", r->folder);
	assert_int_equal(system(cmd), 0);
	free(r);
}

/* Run the loop until @cond(arg), at most 5 s */
static inline bool rig_wait(struct rig *r, bool (*cond)(void *), void *arg)
{
	u64 end = clock_ns(&r->clock) + 5 * NS_PER_SEC;

	while (!cond(arg)) {
		if (clock_ns(&r->clock) > end)
			return false;
		loop_step(r->loop, 20);
	}
	return true;
}

static inline void rig_settle(struct rig *r)
{
	while (loop_step(r->loop, 20))
		;
}

static inline int rig_send(struct rig *r, const struct net_hdr *h, const void *frame, size_t len)
{
	static const struct net_hdr none;
	u8 *p = (u8 *)(uintptr_t)frame;
	size_t cut = len > 20 ? 20 : len / 2;
	struct iovec iov[3] = { { (void *)(uintptr_t)(h ? h : &none), r->hdr_len },
				{ p, cut }, { p + cut, len - cut } };

	return r->hdr_len ? net_send(r->net, iov, 3) : net_send(r->net, iov + 1, 2);
}

#endif
