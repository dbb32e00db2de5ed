// SPDX-License-Identifier: BSD-2-Clause
/* backend/net/net.c - What all network back ends have in common
 *
 * Choice of the kind, checks of sizes, counters, the capture file. The kinds are in files
 * of their own and see only what was checked here. */
#include "backend/net/net.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/net/net_int.h"

static const struct net_ops *const kinds[] = {
	&user_net_ops, &tap_net_ops, &vpnkit_net_ops, &socket_net_ops, &none_net_ops, NULL,
};

int net_open(struct net **out, const char *kind, const char *opts, const struct net_env *env,
	     struct hk_err *err)
{
	const struct net_ops *const *k;
	struct net *n;
	int rc;

	for (k = kinds; *k; k++)
		if (!strcmp((*k)->kind, kind))
			break;
	if (!*k)
		return err_set(err, -EINVAL,
			       "unknown network '%s' (there are: user, tap, vpnkit, socket, none)",
			       kind);
	n = calloc(1, (*k)->size);
	if (!n)
		return err_set(err, -ENOMEM, "out of memory");
	n->ops = *k;
	n->env = *env;
	n->mtu = 1500;
	snprintf(n->info, sizeof(n->info), "%s", kind);
	rc = n->ops->open(n, opts, err);
	if (rc) {
		net_close(n);
		return rc;
	}
	*out = n;
	return 0;
}

void net_close(struct net *n)
{
	if (!n)
		return;
	net_stop(n);
	n->ops->close(n);
	net_pcap_close(n->pcap);
	free(n);
}

void net_attach(struct net *n, const struct net_peer *p)
{
	n->peer = *p;
}

int net_pcap(struct net *n, const char *path, struct hk_err *err)
{
	return net_pcap_open(&n->pcap, path, err);
}

int net_start(struct net *n)
{
	int rc = 0;

	if (n->started)
		return 0;
	n->started = true; /* before the first watch may fire: the loop runs already */
	if (n->ops->start)
		rc = n->ops->start(n);
	if (rc)
		net_stop(n);
	return rc;
}

void net_stop(struct net *n)
{
	if (!n || !n->started)
		return;
	if (n->ops->stop)
		n->ops->stop(n);
	n->started = false;
}

u32 net_features(const struct net *n)
{
	return n->can;
}

void net_set_features(struct net *n, u32 bits, unsigned hdr_len, unsigned mtu)
{
	n->hdr_len = MIN(hdr_len, NET_MAX_HDR);
	n->features = n->hdr_len ? bits & n->can : 0;
	n->mtu = mtu;
	if (n->ops->set_features)
		n->ops->set_features(n);
}

bool net_mac(const struct net *n, u8 mac[6])
{
	if (n->mac_known)
		memcpy(mac, n->mac, 6);
	return n->mac_known;
}

unsigned net_mtu(const struct net *n)
{
	return n->peer_mtu;
}

bool net_link(const struct net *n)
{
	return n->link_up;
}

static void capture(struct net *n, const struct iovec *iov, unsigned cnt)
{
	struct clock *c = loop_clock(n->env.loop);

	net_pcap_put(n->pcap, c->wall_ns(c), iov, cnt, n->hdr_len);
}

int net_send(struct net *n, const struct iovec *iov, unsigned cnt)
{
	size_t bytes = net_iov_bytes(iov, cnt);
	int rc;

	if (bytes < n->hdr_len + NET_MIN_FRAME || bytes > n->hdr_len + NET_MAX_FRAME)
		rc = -EMSGSIZE;
	else if (!n->started || !n->link_up)
		rc = -ENETDOWN;
	else
		rc = n->ops->send(n, iov, cnt, bytes);
	if (rc == -EAGAIN)
		return rc;
	if (rc) {
		n->stats.tx_dropped++;
		return rc;
	}
	if (unlikely(n->pcap))
		capture(n, iov, cnt);
	n->stats.tx_frames++;
	n->stats.tx_bytes += bytes - n->hdr_len;
	return 0;
}

void net_flush(struct net *n)
{
	if (n->started && n->ops->flush)
		n->ops->flush(n);
}

size_t net_peek(struct net *n, const u8 **eth)
{
	const u8 *frame;
	size_t len;

	/* What no guest could make sense of does not reach it */
	while ((len = n->ops->peek(n, &frame)) &&
	       (len < n->hdr_len + NET_MIN_FRAME || len > n->hdr_len + NET_MAX_FRAME))
		net_drop(n);
	if (len)
		*eth = frame + n->hdr_len;
	return len;
}

ssize_t net_recv(struct net *n, const struct iovec *iov, unsigned cnt)
{
	const u8 *frame, *eth;
	size_t len = net_peek(n, &eth);

	if (!len)
		return -EAGAIN;
	if (net_iov_bytes(iov, cnt) < len) {
		net_drop(n);
		return -EMSGSIZE;
	}
	frame = eth - n->hdr_len;
	net_iov_write(iov, cnt, frame, len);
	if (unlikely(n->pcap)) {
		struct iovec whole = { (void *)(uintptr_t)frame, len };

		capture(n, &whole, 1);
	}
	n->ops->take(n);
	n->stats.rx_frames++;
	n->stats.rx_bytes += len - n->hdr_len;
	return (ssize_t)len;
}

void net_drop(struct net *n)
{
	const u8 *frame;

	if (n->ops->peek(n, &frame)) {
		n->ops->take(n);
		n->stats.rx_dropped++;
	}
}

void net_rx(struct net *n, bool on)
{
	if (n->rx_on == on)
		return;
	n->rx_on = on;
	if (n->started && n->ops->rx)
		n->ops->rx(n);
}

const struct net_stats *net_stats(const struct net *n)
{
	return &n->stats;
}

const char *net_info(const struct net *n)
{
	return n->info;
}

/* ---- for the kinds ---- */

void net_readable(struct net *n)
{
	if (n->started && n->rx_on && n->peer.readable)
		n->peer.readable(n->peer.arg);
}

void net_writable(struct net *n)
{
	if (n->started && n->peer.writable)
		n->peer.writable(n->peer.arg);
}

void net_set_link(struct net *n, bool up)
{
	if (n->link_up == up)
		return;
	n->link_up = up;
	if (n->started && n->peer.link_changed)
		n->peer.link_changed(n->peer.arg);
}

/* ---- nobody: a cable that ends in the air, with the lights on ---- */

static int none_open(struct net *n, const char *opts, struct hk_err *err)
{
	if (opts && *opts)
		return err_set(err, -EINVAL, "a network of nobody takes no options: '%s'", opts);
	n->link_up = true;
	return 0;
}

static void none_close(struct net *n)
{
}

static int none_send(struct net *n, const struct iovec *iov, unsigned cnt, size_t bytes)
{
	return 0;
}

static size_t none_peek(struct net *n, const u8 **frame)
{
	return 0;
}

const struct net_ops none_net_ops = {
	.kind = "none",
	.size = sizeof(struct net),
	.open = none_open,
	.close = none_close,
	.send = none_send,
	.peek = none_peek,
	.take = none_close,
};
