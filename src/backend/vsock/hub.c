// SPDX-License-Identifier: BSD-2-Clause
/* backend/vsock/hub.c - Ports of a guest in the embedder's own hands
 *
 * No names in any file system: both directions are socket pairs. A listener is a pair of
 * SOCK_SEQPACKET sockets; for each connection of the guest one packet with the descriptor
 * of its other end (SCM_RIGHTS) goes to the embedder. The kernel limits how many wait,
 * which is the backlog. Closing the embedder's end is the end of listening.
 *
 * The hub lives as long as the VM, so the embedder may connect and listen before there
 * is a device; what it connects waits. One mutex; no function of the device is called
 * under it. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/vsock/vsk.h"
#include "base/err.h"
#include "base/list.h"

/* (L) under ->lock */
struct waiting {
	struct list node;
	int fd;
	u32 port;
};

struct port {
	struct list node;
	u32 port;
	int fd; /* our end; the other is the embedder's */
};

struct vsk_hub {
	pthread_mutex_t lock;
	struct list waiting;	  /* (L) struct waiting */
	unsigned num_waiting;	  /* (L) */
	struct list ports;	  /* (L) struct port */
	struct vsk_peer peer;	  /* (L) incoming == NULL: no device */
	struct timer hand_over;
};

static void hand_over(void *arg)
{
	struct vsk_hub *h = arg;

	for (;;) {
		struct vsk_peer peer;
		struct waiting *w = NULL;

		pthread_mutex_lock(&h->lock);
		peer = h->peer;
		if (peer.incoming && !list_empty(&h->waiting)) {
			w = container_of(h->waiting.next, struct waiting, node);
			list_del(&w->node);
			h->num_waiting--;
		}
		pthread_mutex_unlock(&h->lock);
		if (!w)
			return;
		peer.incoming(peer.arg, w->fd, w->port, false);
		free(w);
	}
}

/* Who waits sees the end of file */
static void waiting_drop_locked(struct vsk_hub *h)
{
	while (!list_empty(&h->waiting)) {
		struct waiting *w = container_of(h->waiting.next, struct waiting, node);

		list_del(&w->node);
		close(w->fd);
		free(w);
	}
	h->num_waiting = 0;
}

int vsk_hub_create(struct vsk_hub **out, struct loop *loop, struct hk_err *err)
{
	struct vsk_hub *h = calloc(1, sizeof(*h));

	if (!h)
		return err_set(err, -ENOMEM, "out of memory");
	pthread_mutex_init(&h->lock, NULL);
	list_init(&h->waiting);
	list_init(&h->ports);
	timer_init(&h->hand_over, loop, hand_over, h);
	*out = h;
	return 0;
}

static void port_free(struct port *p)
{
	list_del(&p->node);
	close(p->fd);
	free(p);
}

void vsk_hub_destroy(struct vsk_hub *h)
{
	if (!h)
		return;
	timer_cancel_sync(&h->hand_over);
	waiting_drop_locked(h);
	while (!list_empty(&h->ports))
		port_free(container_of(h->ports.next, struct port, node));
	pthread_mutex_destroy(&h->lock);
	free(h);
}

int vsk_hub_connect(struct vsk_hub *h, u32 port, int *fd)
{
	struct waiting *w = calloc(1, sizeof(*w));
	int pair[2], rc = 0;

	if (!w)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		rc = -errno;
		free(w);
		return rc;
	}
	w->fd = pair[1];
	w->port = port;
	pthread_mutex_lock(&h->lock);
	if (h->num_waiting == VSK_HUB_MAX_WAITING) {
		rc = -ENOBUFS;
	} else {
		list_add_tail(&h->waiting, &w->node);
		h->num_waiting++;
		if (h->peer.incoming)
			timer_arm(&h->hand_over, 0);
	}
	pthread_mutex_unlock(&h->lock);
	if (rc) {
		close(pair[0]);
		close(pair[1]);
		free(w);
		return rc;
	}
	*fd = pair[0];
	return 0;
}

/* Has the embedder closed its end? */
static bool port_dead(const struct port *p)
{
	struct pollfd pfd = { .fd = p->fd, .events = 0 };

	return poll(&pfd, 1, 0) > 0 && pfd.revents & (POLLHUP | POLLERR);
}

static struct port *port_find_locked(struct vsk_hub *h, u32 port)
{
	struct list *n, *tmp;

	list_for_each_safe(n, tmp, &h->ports) {
		struct port *p = container_of(n, struct port, node);

		if (p->port != port)
			continue;
		if (!port_dead(p))
			return p;
		port_free(p);
	}
	return NULL;
}

int vsk_hub_listen(struct vsk_hub *h, u32 port, int *fd)
{
	struct port *p = calloc(1, sizeof(*p));
	int pair[2], rc = 0;

	if (!p)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		rc = -errno;
		free(p);
		return rc;
	}
	p->port = port;
	p->fd = pair[1];
	list_init(&p->node);
	pthread_mutex_lock(&h->lock);
	if (port_find_locked(h, port))
		rc = -EADDRINUSE;
	else
		list_add_tail(&h->ports, &p->node);
	pthread_mutex_unlock(&h->lock);
	if (rc) {
		close(pair[0]);
		port_free(p);
		return rc;
	}
	*fd = pair[0];
	return 0;
}

/* One packet: the guest's port as a u32, and a descriptor */
union fd_control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int))];
};

static int send_fd(int to, int fd, u32 guest_port)
{
	union fd_control control = { 0 };
	struct iovec iov = { &guest_port, sizeof(guest_port) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(to, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

int vsk_hub_accept(int listen_fd, int *fd, u32 *guest_port)
{
	union fd_control control;
	u32 port = 0;
	struct iovec iov = { &port, sizeof(port) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *c;
	ssize_t n;

	do
		n = recvmsg(listen_fd, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	c = CMSG_FIRSTHDR(&msg);
	if (n == 0)
		return -ECONNABORTED;
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
	    c->cmsg_len < CMSG_LEN(sizeof(int)))
		return -EMFILE; /* the kernel found no place for it in our table */
	memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	if (guest_port)
		*guest_port = port;
	return 0;
}

int vsk_hub_attach(struct vsk_hub *h, const struct vsk_peer *peer)
{
	int rc = 0;

	pthread_mutex_lock(&h->lock);
	if (h->peer.incoming)
		rc = -EBUSY;
	else
		h->peer = *peer;
	if (!rc && !list_empty(&h->waiting))
		timer_arm(&h->hand_over, 0);
	pthread_mutex_unlock(&h->lock);
	return rc;
}

void vsk_hub_detach(struct vsk_hub *h, const void *arg)
{
	bool ours;

	pthread_mutex_lock(&h->lock);
	ours = h->peer.arg == arg;
	if (ours) {
		h->peer = (struct vsk_peer){ 0 };
		waiting_drop_locked(h);
	}
	pthread_mutex_unlock(&h->lock);
	if (ours)
		timer_cancel_sync(&h->hand_over);
}

int vsk_hub_dial(struct vsk_hub *h, u32 port, u32 guest_port, int *fd)
{
	struct port *p;
	int pair[2], rc = -ENOENT;

	pthread_mutex_lock(&h->lock);
	p = port_find_locked(h, port);
	if (p && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		rc = -errno;
	} else if (p) {
		rc = send_fd(p->fd, pair[0], guest_port);
		close(pair[0]);
		if (rc)
			close(pair[1]);
		else
			*fd = pair[1];
		if (rc == -EPIPE || rc == -ECONNRESET)
			rc = -ECONNREFUSED;
		if (rc == -ETOOMANYREFS) /* descriptors under way count, too */
			rc = -EAGAIN;
	}
	pthread_mutex_unlock(&h->lock);
	return rc;
}
