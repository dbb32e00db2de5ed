// SPDX-License-Identifier: BSD-2-Clause
/* backend/net/tap.c - A network interface of the host, by name or as an open descriptor
 *
 * With IFF_VNET_HDR the kernel speaks the virtio-net header itself: the frame goes through as
 * the guest made it, checksums and large segments unfinished. Linux: networking/tuntap.rst.
 * Opening by name needs CAP_NET_ADMIN or an interface that was made for this user (ip tuntap
 * add NAME mode tap user U); fd= needs nothing. [loop] */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "backend/net/net_int.h"

#define FIFO_BYTES (512u << 10)
#define BURST 64
#define OLD_HDR 10u /* the kernel's own form of the header */

struct tap {
	struct net net;
	int fd;
	bool vnet_hdr;	 /* (c) every read and write has the kernel's header in front */
	bool tx_blocked; /* writable() is owed */
	struct net_fifo fifo;
	struct watch watch;
};

static const struct opt_desc tap_opts[] = {
	{ "ifname", OPT_STR, NULL, "name of the tap interface (also as the first word: tap0)" },
	{ "fd", OPT_U64, NULL, "an open tap descriptor of this process" },
	{ "vnet_hdr", OPT_BOOL, "on", "let the kernel finish checksums and segments" },
	{ 0 }
};

static struct tap *tap_of(struct net *n)
{
	return container_of(n, struct tap, net);
}

static void watch_update(struct tap *t)
{
	watch_set(&t->watch, (t->net.rx_on ? EPOLLIN : 0) | (t->tx_blocked ? EPOLLOUT : 0));
}

static void receive(struct tap *t)
{
	/* The guest's header may be absent while the kernel's is not, never the other way round */
	unsigned skip = t->vnet_hdr && !t->net.hdr_len ? OLD_HDR : 0;

	for (unsigned i = 0; i < BURST; i++) {
		u8 *to = net_fifo_reserve(&t->fifo, NET_MAX_HDR + NET_MAX_FRAME);
		ssize_t n;

		if (!to)
			return;
		n = read(t->fd, to, NET_MAX_HDR + NET_MAX_FRAME);
		if (n <= (ssize_t)skip)
			return;
		if (skip)
			memmove(to, to + skip, (size_t)n - skip);
		net_fifo_commit(&t->fifo, (size_t)n - skip);
	}
}

static void ready(void *arg, u32 events)
{
	struct tap *t = arg;

	if (events & EPOLLOUT && t->tx_blocked) {
		t->tx_blocked = false;
		net_writable(&t->net);
	}
	if (events & EPOLLIN) {
		receive(t);
		net_readable(&t->net);
	} else if (events & EPOLLERR) {
		/* The interface was deleted */
		watch_del(&t->watch);
		net_set_link(&t->net, false);
		return;
	}
	watch_update(t);
}

static int open_by_name(struct tap *t, const char *name, bool hdr, struct hk_err *err)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | (hdr ? IFF_VNET_HDR : 0) };
	int rc;

	if (!*name || strlen(name) >= sizeof(ifr.ifr_name))
		return err_set(err, -EINVAL, "'%s' is no name of a network interface", name);
	strcpy(ifr.ifr_name, name);
	t->fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (t->fd < 0)
		return err_set(err, -errno, "/dev/net/tun: %s", strerrordesc_np(errno));
	if (!ioctl(t->fd, TUNSETIFF, &ifr)) {
		snprintf(t->net.info, sizeof(t->net.info), "tap %s", ifr.ifr_name);
		return 0;
	}
	rc = -errno;
	if (rc == -EPERM)
		return err_set(err, rc, "tap interface %s: not permitted (as root: ip tuntap add %s "
			       "mode tap user NAME)", name, name);
	return err_set(err, rc, "tap interface %s: %s", name, strerrordesc_np(errno));
}

static int open_by_fd(struct tap *t, u64 number, struct hk_err *err)
{
	t->fd = number <= 0x7fffffff ? fcntl((int)number, F_DUPFD_CLOEXEC, 0) : -1;
	if (t->fd < 0)
		return err_set(err, -EBADF, "fd=%llu is not open", (unsigned long long)number);
	if (fcntl(t->fd, F_SETFL, fcntl(t->fd, F_GETFL) | O_NONBLOCK))
		return err_set(err, -errno, "fd=%llu: %s", (unsigned long long)number,
			       strerrordesc_np(errno));
	snprintf(t->net.info, sizeof(t->net.info), "tap fd %llu", (unsigned long long)number);
	return 0;
}

/* What the interface is, whoever made it */
static int look(struct tap *t, struct hk_err *err)
{
	struct ifreq ifr = { 0 };
	int sock;

	if (ioctl(t->fd, TUNGETIFF, &ifr) || !(ifr.ifr_flags & IFF_TAP))
		return err_set(err, -EINVAL, "%s is no tap interface", t->net.info);
	if (!(ifr.ifr_flags & IFF_NO_PI))
		return err_set(err, -EINVAL, "%s was made without IFF_NO_PI", t->net.info);
	t->vnet_hdr = ifr.ifr_flags & IFF_VNET_HDR;
	if (t->vnet_hdr) {
		t->net.can = NET_TX_CSUM | NET_TX_TSO4 | NET_TX_TSO6;
		if (!ioctl(t->fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6))
			t->net.can |= NET_RX_CSUM | NET_RX_TSO4 | NET_RX_TSO6;
		ioctl(t->fd, TUNSETOFFLOAD, 0);
	}
	sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock >= 0) {
		if (!ioctl(sock, SIOCGIFMTU, &ifr) && ifr.ifr_mtu > 0 && ifr.ifr_mtu != 1500)
			t->net.peer_mtu = (unsigned)MIN(ifr.ifr_mtu, 65535);
		close(sock);
	}
	return 0;
}

static int tap_open(struct net *n, const char *text, struct hk_err *err)
{
	struct tap *t = tap_of(n);
	const char *name;
	struct opts *o;
	int rc;

	t->fd = -1;
	rc = opts_parse(&o, tap_opts, text, err);
	if (rc)
		return rc;
	name = opts_str(o, "ifname");
	if (!name == !opts_str(o, "fd"))
		rc = err_set(err, -EINVAL, "a tap network needs ifname= or fd=");
	else if (name)
		rc = open_by_name(t, name, opts_bool(o, "vnet_hdr"), err);
	else
		rc = open_by_fd(t, opts_u64(o, "fd"), err);
	opts_destroy(o);
	if (!rc)
		rc = look(t, err);
	if (!rc && net_fifo_init(&t->fifo, FIFO_BYTES))
		rc = err_set(err, -ENOMEM, "out of memory");
	n->link_up = !rc;
	return rc;
}

static void tap_close(struct net *n)
{
	struct tap *t = tap_of(n);

	if (t->fd >= 0)
		close(t->fd);
	net_fifo_fini(&t->fifo);
}

static void tap_set_features(struct net *n)
{
	struct tap *t = tap_of(n);
	unsigned flags = 0;
	int size = (int)MAX(n->hdr_len, OLD_HDR);

	net_fifo_clear(&t->fifo);
	if (!t->vnet_hdr)
		return;
	ioctl(t->fd, TUNSETVNETHDRSZ, &size);
	if (n->features & NET_RX_CSUM)
		flags = TUN_F_CSUM | (n->features & NET_RX_TSO4 ? TUN_F_TSO4 : 0) |
			(n->features & NET_RX_TSO6 ? TUN_F_TSO6 : 0);
	ioctl(t->fd, TUNSETOFFLOAD, flags);
}

static int tap_start(struct net *n)
{
	struct tap *t = tap_of(n);

	return watch_add(&t->watch, n->env.loop, t->fd,
			 (n->rx_on ? EPOLLIN : 0) | (t->tx_blocked ? EPOLLOUT : 0), ready, t);
}

static void tap_stop(struct net *n)
{
	watch_del(&tap_of(n)->watch);
}

static int tap_send(struct net *n, const struct iovec *iov, unsigned cnt, size_t bytes)
{
	static const u8 no_offload[OLD_HDR];
	struct tap *t = tap_of(n);
	struct iovec with[1 + 64];
	ssize_t rc;

	if (t->vnet_hdr && !n->hdr_len) {
		if (cnt > 64)
			return -EMSGSIZE;
		with[0] = (struct iovec){ (void *)(uintptr_t)no_offload, OLD_HDR };
		memcpy(with + 1, iov, cnt * sizeof(iov[0]));
		iov = with;
		cnt++;
	}
	rc = writev(t->fd, iov, (int)cnt);
	if (rc >= 0)
		return 0;
	if (errno != EAGAIN && errno != ENOBUFS)
		return -errno;
	t->tx_blocked = true;
	watch_update(t);
	return -EAGAIN;
}

static size_t tap_peek(struct net *n, const u8 **frame)
{
	return net_fifo_peek(&tap_of(n)->fifo, frame);
}

static void tap_take(struct net *n)
{
	net_fifo_take(&tap_of(n)->fifo);
}

static void tap_rx(struct net *n)
{
	watch_update(tap_of(n));
}

const struct net_ops tap_net_ops = {
	.kind = "tap",
	.size = sizeof(struct tap),
	.open = tap_open,
	.close = tap_close,
	.start = tap_start,
	.stop = tap_stop,
	.set_features = tap_set_features,
	.send = tap_send,
	.peek = tap_peek,
	.take = tap_take,
	.rx = tap_rx,
};
