// SPDX-License-Identifier: BSD-2-Clause
/* test/boot/net/vpnkit_server.c - A VPNKit server: the protocol in front, user networking behind
 *
 *	vpnkit-server SOCKET [FRAMES]
 *
 * Serves one client after the other. After FRAMES frames of the first client it hangs up once,
 * as a server that is restarted. The network behind is that of backend=user. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/un.h>

#include "backend/net/net_int.h"
#include "lib/vpnkit.h"

struct server {
	struct loop *loop;
	struct net *net;
	struct net_stream s;
	struct watch watch;
	long hang_up_after; /* < 0: never */
	bool gone;
};

static void to_client(void *arg)
{
	static u8 buf[NET_MAX_FRAME];
	struct server *s = arg;
	struct iovec iov = { buf, sizeof(buf) };
	ssize_t n;

	while ((n = net_recv(s->net, &iov, 1)) > 0) {
		struct iovec out = { buf, (size_t)n };

		/* A full socket loses frames, as networks do */
		if (net_stream_send(&s->s, &out, 1, (size_t)n))
			continue;
	}
	if (net_stream_flush(&s->s) == -ECONNRESET)
		s->gone = true;
}

static void from_client(void *arg, u32 events)
{
	struct server *s = arg;
	const u8 *frame;
	ssize_t n;

	if (net_stream_fill(&s->s) == -ECONNRESET)
		s->gone = true;
	while ((n = net_stream_peek(&s->s, &frame)) > 0) {
		struct iovec iov = { (void *)(uintptr_t)frame, (size_t)n };

		if (n < 60)
			fprintf(stderr, "vpnkit-server: a frame of %zd bytes\n", n);
		if (net_send(s->net, &iov, 1))
			fprintf(stderr, "vpnkit-server: a frame was refused\n");
		net_stream_take(&s->s);
		if (s->hang_up_after > 0 && !--s->hang_up_after) {
			s->hang_up_after = -1;
			printf("hang up\n");
			s->gone = true;
		}
	}
	if (n < 0)
		s->gone = true;
	net_flush(s->net);
}

static void serve(struct server *s, int fd)
{
	static const u8 mac[6] = { 0x02, 0x50, 0, 0, 0, 1 };
	struct vpnkit_hello h;

	if (!vpnkit_hear(fd, &h) || !vpnkit_accept(fd, 1500, mac)) {
		close(fd);
		return;
	}
	printf("client %s\n", h.uuid);
	net_stream_connected(&s->s, fd);
	s->gone = false;
	if (watch_add(&s->watch, s->loop, fd, EPOLLIN, from_client, s))
		exit(1);
	net_rx(s->net, true);
	while (!s->gone)
		loop_step(s->loop, -1);
	net_rx(s->net, false);
	watch_del(&s->watch);
	net_stream_drop(&s->s);
}

int main(int argc, char **argv)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct server s = { .hang_up_after = argc > 2 ? atol(argv[2]) : -1 };
	const struct net_peer peer = { .readable = to_client, .arg = &s };
	struct hk_err err = { "" };
	struct net_env env = { .id = "server" };
	struct clock clock;
	int l;

	signal(SIGPIPE, SIG_IGN);
	setlinebuf(stdout);
	clock_init_host(&clock);
	if (argc < 2 || loop_create(&s.loop, &clock, &err))
		return 2;
	env.loop = s.loop;
	if (net_open(&s.net, "user", NULL, &env, &err) ||
	    net_stream_init(&s.s, NET_FRAMING_LE16)) {
		fprintf(stderr, "vpnkit-server: %s\n", err.text);
		return 1;
	}
	net_attach(s.net, &peer);
	if (net_start(s.net))
		return 1;
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", argv[1]);
	unlink(un.sun_path);
	l = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(l, (void *)&un, sizeof(un)) || listen(l, 4)) {
		perror("vpnkit-server");
		return 1;
	}
	for (;;) {
		int fd = accept(l, NULL, NULL);

		if (fd >= 0)
			serve(&s, fd);
	}
}
