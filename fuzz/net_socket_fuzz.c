// SPDX-License-Identifier: BSD-2-Clause
/* fuzz/net_socket_fuzz.c - Bytes that a peer sends over a stream or datagram socket
 *
 * Byte 0: stream or datagrams, how the front end behaves; byte 1: the size of the pieces. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/net/net.h"

struct front {
	struct net *net;
	bool lazy;
	size_t bytes;
};

static void pull(struct front *f, unsigned most)
{
	static u8 buf[NET_MAX_FRAME];
	struct iovec iov[2] = { { buf, 100 }, { buf + 100, sizeof(buf) - 100 } };
	const u8 *eth;
	size_t len;

	while (most-- && (len = net_peek(f->net, &eth))) {
		if (len < NET_MIN_FRAME || len > NET_MAX_FRAME)
			abort();
		if (f->lazy && (f->bytes & 7) == 3)
			net_drop(f->net);
		else if (net_recv(f->net, iov, 2) != (ssize_t)len)
			abort();
		f->bytes += len;
	}
}

static void readable(void *arg)
{
	pull(arg, ~0u);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct front f = { 0 };
	const struct net_peer peer = { .readable = readable, .arg = &f };
	struct net_env env = { .id = "fuzz" };
	struct clock_fake clock;
	struct hk_err err;
	char opts[64];
	size_t piece;
	bool dgram;
	int fd[2];

	if (n < 2)
		return 0;
	dgram = data[0] & 1;
	piece = 1 + (size_t)data[1] * data[1];
	clock_fake_init(&clock, 1, 0);
	if (loop_create(&env.loop, &clock.clock, &err) ||
	    socketpair(AF_UNIX, dgram ? SOCK_DGRAM : SOCK_STREAM, 0, fd))
		abort();
	snprintf(opts, sizeof(opts), "type=%s,fd=%d", dgram ? "dgram" : "stream", fd[0]);
	if (net_open(&f.net, "socket", opts, &env, &err))
		abort();
	close(fd[0]);
	f.lazy = data[0] & 2;
	net_attach(f.net, &peer);
	net_set_features(f.net, 0, 0, 1500);
	if (net_start(f.net))
		abort();
	net_rx(f.net, !(data[0] & 4));
	for (size_t at = 2; at < n; at += piece) {
		if (send(fd[1], data + at, n - at < piece ? n - at : piece, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			break;
		loop_step(env.loop, 0);
		if (data[0] & 8)
			net_rx(f.net, at & 1);
		pull(&f, data[0] & 4 ? 1 : 0);
	}
	close(fd[1]);
	for (unsigned i = 0; i < 4; i++)
		loop_step(env.loop, 0);
	pull(&f, ~0u);
	if (f.bytes > n)
		abort(); /* more frames than bytes */
	net_close(f.net);
	loop_destroy(env.loop);
	return 0;
}
