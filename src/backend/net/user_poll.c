// SPDX-License-Identifier: BSD-2-Clause
/* backend/net/user_poll.c - libslirp's sockets in an epoll set of their own
 *
 * libslirp is made for poll(): before each wait it names every descriptor and what to wait
 * for, after it it asks for each what happened. The epoll set remembers what was named, so
 * that only changes cost a system call, and the VM's loop watches the set as one. [loop] */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "backend/net/user_int.h"

#define BATCH 256

int user_poll_init(struct user_poll *p)
{
	p->epfd = epoll_create1(EPOLL_CLOEXEC);
	return p->epfd < 0 ? -errno : 0;
}

void user_poll_fini(struct user_poll *p)
{
	if (p->epfd > 0)
		close(p->epfd);
	free(p->fd);
	free(p->named);
	free(p->old);
	*p = (struct user_poll){ 0 };
}

static struct user_fd *fd_of(struct user_poll *p, int fd)
{
	size_t n = p->num_fds ? p->num_fds : 64;
	struct user_fd *grown;

	if ((size_t)fd < p->num_fds)
		return &p->fd[fd];
	while (n <= (size_t)fd)
		n *= 2;
	grown = realloc(p->fd, n * sizeof(grown[0]));
	if (!grown)
		return NULL;
	memset(grown + p->num_fds, 0, (n - p->num_fds) * sizeof(grown[0]));
	p->fd = grown;
	p->num_fds = n;
	return &p->fd[fd];
}

static void want(struct user_poll *p, int fd, struct user_fd *f, u32 events)
{
	struct epoll_event ev = { .events = events, .data.fd = fd };
	int op = !events ? EPOLL_CTL_DEL : f->set ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (f->set == events)
		return;
	/* A number that was closed and opened again behind our back is not in the set any more */
	if (epoll_ctl(p->epfd, op, fd, &ev) && op != EPOLL_CTL_DEL) {
		op = errno == ENOENT ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
		if (epoll_ctl(p->epfd, op, fd, &ev))
			events = 0;
	}
	f->set = events;
}

static bool room_for_one(struct user_poll *p)
{
	size_t n = p->cap_named ? 2 * p->cap_named : 64;
	int *named, *old;

	if (p->num_named < p->cap_named)
		return true;
	named = realloc(p->named, n * sizeof(named[0]));
	if (named)
		p->named = named;
	old = realloc(p->old, n * sizeof(old[0]));
	if (old)
		p->old = old;
	if (!named || !old)
		return false;
	p->cap_named = n;
	return true;
}

static int add_poll(int fd, int events, void *opaque)
{
	struct user_poll *p = opaque;
	struct user_fd *f = fd < 0 ? NULL : fd_of(p, fd);

	if (!f || !room_for_one(p))
		return -1; /* this socket stands still until there is memory */
	f->round = p->round;
	want(p, fd, f, (events & SLIRP_POLL_IN ? EPOLLIN : 0) |
		       (events & SLIRP_POLL_OUT ? EPOLLOUT : 0) |
		       (events & SLIRP_POLL_PRI ? EPOLLPRI : 0) |
		       (events & SLIRP_POLL_ERR ? EPOLLERR : 0) |
		       (events & SLIRP_POLL_HUP ? EPOLLHUP : 0));
	p->named[p->num_named] = fd;
	return (int)p->num_named++;
}

u32 user_poll_fill(struct user_poll *p, Slirp *s)
{
	u32 timeout = ~0u;
	int *old = p->named;

	p->named = p->old;
	p->old = old;
	p->num_old = p->num_named;
	p->num_named = 0;
	p->round++;
	slirp_pollfds_fill(s, &timeout, add_poll, p);
	for (size_t i = 0; i < p->num_old; i++) {
		struct user_fd *f = &p->fd[p->old[i]];

		if (f->round != p->round)
			want(p, p->old[i], f, 0);
	}
	return timeout;
}

static int get_revents(int index, void *opaque)
{
	struct user_poll *p = opaque;
	u32 r;

	if (index < 0 || (size_t)index >= p->num_named)
		return 0;
	r = p->fd[p->named[index]].revents;
	return (r & EPOLLIN ? SLIRP_POLL_IN : 0) | (r & EPOLLOUT ? SLIRP_POLL_OUT : 0) |
	       (r & EPOLLPRI ? SLIRP_POLL_PRI : 0) | (r & EPOLLERR ? SLIRP_POLL_ERR : 0) |
	       (r & EPOLLHUP ? SLIRP_POLL_HUP : 0);
}

void user_poll_run(struct user_poll *p, Slirp *s, bool look)
{
	struct epoll_event ev[BATCH];
	int n = look ? epoll_wait(p->epfd, ev, BATCH, 0) : 0;

	for (int i = 0; i < n; i++)
		p->fd[ev[i].data.fd].revents = ev[i].events;
	slirp_pollfds_poll(s, 0, get_revents, p);
	for (int i = 0; i < n; i++)
		p->fd[ev[i].data.fd].revents = 0;
}

void user_poll_forget(struct user_poll *p, int fd)
{
	if (fd < 0 || (size_t)fd >= p->num_fds)
		return;
	want(p, fd, &p->fd[fd], 0);
	p->fd[fd].revents = 0;
}
