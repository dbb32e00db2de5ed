// SPDX-License-Identifier: BSD-2-Clause
/* fuzz/net_user_fuzz.c - Frames of a hostile guest into user networking, and frames cut for it
 *
 * restrict=on: nothing leaves this process. Byte 0 of a frame: 1 = as if libslirp had made it,
 * 2 = with a header that asks for a checksum; then its length in two bytes, then the bytes. */
#include <signal.h>
#include <stdlib.h>

#include "backend/net/user_int.h"

static unsigned mtu;

static void readable(void *arg)
{
	static u8 buf[NET_MAX_HDR + NET_MAX_FRAME];
	struct net *n = *(struct net **)arg;
	struct iovec iov = { buf, sizeof(buf) };
	ssize_t len;

	while ((len = net_recv(n, &iov, 1)) > 0) {
		const struct net_hdr *h = (const void *)buf;

		if (len > NET_MAX_HDR + 14 + (ssize_t)mtu && !h->gso_type)
			abort(); /* larger than the guest wants, and not marked */
		if (h->flags & NET_HDR_NEEDS_CSUM &&
		    net_complete_csum(h, buf + NET_MAX_HDR, (size_t)len - NET_MAX_HDR))
			abort(); /* we asked for what cannot be done */
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static u8 frame[NET_MAX_FRAME];
	struct net *net;
	const struct net_peer peer = { .readable = readable, .arg = &net };
	struct net_env env = { .id = "fuzz" };
	struct clock_fake clock;
	struct hk_err err;
	u32 features = 0;

	if (n < 2)
		return 0;
	signal(SIGPIPE, SIG_IGN);
	clock_fake_init(&clock, NS_PER_SEC, 0);
	if (loop_create(&env.loop, &clock.clock, &err) ||
	    net_open(&net, "user", data[0] & 1 ? "restrict=on,ipv6=on" : "restrict=on", &env, &err))
		abort();
	if (data[0] & 2)
		features = net_features(net);
	mtu = 68 + 8u * data[1];
	net_attach(net, &peer);
	net_set_features(net, features, NET_MAX_HDR, mtu);
	if (net_start(net))
		abort();
	net_rx(net, true);
	for (size_t at = 2; at + 3 <= n;) {
		u8 how = data[at];
		size_t len = MIN((size_t)load_le16(data + at + 1), sizeof(frame)), have;
		struct net_hdr h = { .flags = how & 2 ? NET_HDR_NEEDS_CSUM : 0,
				     .csum_start = le16_of(34), .csum_offset = le16_of(how & 4 ? 16 : 6) };
		struct iovec iov[2] = { { &h, sizeof(h) }, { frame, len } };

		at += 3;
		have = MIN(len, n - at);
		memset(frame, 0, len);
		memcpy(frame, data + at, have);
		at += have;
		if (!(how & 1)) {
			if (!net_send(net, iov, 2) && (how & 8))
				net_flush(net);
		} else if (len >= NET_MIN_FRAME) {
			struct user *u = container_of(net, struct user, net);

			user_raise_mss(u, frame, len);
			user_deliver(u, frame, len);
			readable(&net);
		}
		if (how & 16)
			clock_fake_advance(&clock, NS_PER_SEC);
		loop_step(env.loop, 0);
	}
	net_flush(net);
	net_close(net);
	loop_destroy(env.loop);
	return 0;
}
