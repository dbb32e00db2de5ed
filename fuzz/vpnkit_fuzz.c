// SPDX-License-Identifier: BSD-2-Clause
/* fuzz/vpnkit_fuzz.c - What a VPNKit server says, from its first byte
 *
 * One port that lives through all inputs: each is a new connection after the last one was lost.
 * Byte 0: how much of a right greeting comes first (0: nothing, 1: the hello, 2: all of it). */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#include "backend/net/net.h"
#include "lib/vpnkit.h"

static struct net *net;
static struct net_env env = { .id = "fuzz" };
static struct clock_fake clock_;
static int listener;

static void readable(void *arg)
{
	static u8 buf[NET_MAX_FRAME];
	struct iovec iov = { buf, sizeof(buf) };

	while (net_recv(net, &iov, 1) > 0)
		;
}

static void *first_server(void *arg)
{
	int fd = accept(listener, NULL, NULL);
	struct vpnkit_hello h;

	if (!vpnkit_hear(fd, &h) || !vpnkit_accept(fd, 1500, (const u8 *)"\2\0\0\0\0\1"))
		abort();
	close(fd);
	return NULL;
}

static void set_up(void)
{
	const struct net_peer peer = { .readable = readable };
	const char *folder = getenv("HK_TMP");
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char opts[256];
	struct hk_err err;
	pthread_t t;

	snprintf(un.sun_path, sizeof(un.sun_path), "%.60s/vpnkit.%d", folder ? folder : "/tmp", (int)getpid());
	unlink(un.sun_path);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(listener, (void *)&un, sizeof(un)) || listen(listener, 4))
		abort();
	clock_fake_init(&clock_, 1, 0);
	if (loop_create(&env.loop, &clock_.clock, &err) || pthread_create(&t, NULL, first_server, NULL))
		abort();
	snprintf(opts, sizeof(opts), "path=%s", un.sun_path);
	if (net_open(&net, "vpnkit", opts, &env, &err))
		abort();
	pthread_join(t, NULL);
	net_attach(net, &peer);
	net_set_features(net, 0, 0, 1500);
	if (net_start(net))
		abort();
	net_rx(net, true);
}

static void step(void)
{
	for (unsigned i = 0; i < 6; i++) {
		clock_fake_advance(&clock_, NS_PER_SEC);
		loop_step(env.loop, 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	u8 drain[64];
	int fd;

	if (!net)
		set_up();
	if (!n)
		return 0;
	/* The former connection is gone, its successor waits in the listener's queue */
	step();
	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	if (fd < 0)
		abort();
	if (data[0] % 3 >= 1)
		send(fd, "VMN3T\x16\0\0\0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 49, MSG_NOSIGNAL);
	if (data[0] % 3 == 2)
		vpnkit_accept(fd, 1500, (const u8 *)"\2\0\0\0\0\1");
	for (size_t at = 1, piece = 1 + data[0]; at < n; at += piece) {
		if (send(fd, data + at, n - at < piece ? n - at : piece, MSG_NOSIGNAL) < 0)
			break;
		loop_step(env.loop, 0);
	}
	for (unsigned i = 0; i < 4; i++)
		loop_step(env.loop, 0);
	while (recv(fd, drain, sizeof(drain), 0) > 0)
		;
	close(fd);
	loop_step(env.loop, 0);
	loop_step(env.loop, 0);
	if (net_link(net))
		abort();
	return 0;
}
