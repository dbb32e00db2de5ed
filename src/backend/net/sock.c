// SPDX-License-Identifier: BSD-2-Clause
/* backend/net/sock.c - Addresses of peers, connects that do not block [any]
 *
 * No names are resolved: that could take seconds. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "backend/net/net_int.h"

static int parse_tcp(struct net_addr *a, const char *text, struct hk_err *err)
{
	char host[64];
	const char *colon = strrchr(text, ':');
	size_t n = colon ? (size_t)(colon - text) : 0;
	unsigned long port;
	char *end;

	if (!n || n >= sizeof(host))
		return err_set(err, -EINVAL, "tcp:%s: want tcp:ADDRESS:PORT", text);
	port = strtoul(colon + 1, &end, 10);
	if (*end || !port || port > 65535)
		return err_set(err, -EINVAL, "tcp:%s: the port is no number from 1 to 65535", text);
	if (text[0] == '[' && n > 2 && text[n - 1] == ']') {
		text++;
		n -= 2;
	}
	memcpy(host, text, n);
	host[n] = '\0';
	if (inet_pton(AF_INET, host, &a->in.sin_addr) == 1) {
		a->in.sin_family = AF_INET;
		a->in.sin_port = htons((u16)port);
		a->len = sizeof(a->in);
	} else if (inet_pton(AF_INET6, host, &a->in6.sin6_addr) == 1) {
		a->in6.sin6_family = AF_INET6;
		a->in6.sin6_port = htons((u16)port);
		a->len = sizeof(a->in6);
	} else {
		return err_set(err, -EINVAL, "'%s' is no IP address (names are not looked up)", host);
	}
	return 0;
}

int net_addr_parse(struct net_addr *a, const char *text, struct hk_err *err)
{
	size_t n;

	memset(a, 0, sizeof(*a));
	if (!strncmp(text, "tcp:", 4))
		return parse_tcp(a, text + 4, err);
	if (!strncmp(text, "unix:", 5))
		text += 5;
	n = strlen(text);
	if (!n || n >= sizeof(a->un.sun_path))
		return err_set(err, -EINVAL, "socket path '%s' has not 1 to %zu bytes", text,
			       sizeof(a->un.sun_path) - 1);
	a->un.sun_family = AF_UNIX;
	memcpy(a->un.sun_path, text, n);
	a->len = sizeof(a->un);
	return 0;
}

int net_connect(const struct net_addr *a, int type, bool *pending)
{
	int fd = socket(a->sa.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1, rc;

	if (fd < 0)
		return -errno;
	if (a->sa.sa_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	*pending = false;
	if (!connect(fd, &a->sa, a->len))
		return fd;
	rc = -errno;
	/* A unix socket says EAGAIN when the listener's queue is full: that is to be tried anew */
	if (rc == -EINPROGRESS) {
		*pending = true;
		return fd;
	}
	close(fd);
	return rc;
}

int net_connect_result(int fd)
{
	int e = 0;
	socklen_t n = sizeof(e);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &n))
		return -errno;
	return -e;
}

int net_listen(const struct net_addr *a, int type, struct hk_err *err)
{
	int fd, one = 1, rc;

	fd = socket(a->sa.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(err, -errno, "socket: %s", strerrordesc_np(errno));
	if (a->sa.sa_family != AF_UNIX) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	} else {
		/* A socket that nobody listens to is what a former run left */
		int probe = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		if (probe >= 0) {
			if (connect(probe, &a->sa, a->len) && errno == ECONNREFUSED)
				unlink(a->un.sun_path);
			close(probe);
		}
	}
	if (!bind(fd, &a->sa, a->len) && (type == SOCK_DGRAM || !listen(fd, 4)))
		return fd;
	rc = err_set(err, -errno, "cannot listen: %s", strerrordesc_np(errno));
	close(fd);
	return rc;
}
