// SPDX-License-Identifier: BSD-2-Clause
/* backend/net/user_int.h - What the files of user networking share
 *
 * user.c: life, the way of a frame; user_opts.c: options, forwards; user_poll.c: libslirp's
 * sockets in an epoll set; user_frame.c: large segments and fragments. */
#ifndef BACKEND_NET_USER_INT_H
#define BACKEND_NET_USER_INT_H

#include <slirp/libslirp.h>

#include "backend/net/net_int.h"

#define USER_MAX_TIMERS 4

/* What we know of one descriptor of libslirp's */
struct user_fd {
	u32 set;     /* epoll events it is registered with; 0 = not registered */
	u32 round;   /* of the last fill that named it */
	u32 revents; /* epoll's answer, until libslirp has seen it */
};

struct user_poll {
	int epfd;
	struct user_fd *fd; /* by descriptor */
	size_t num_fds;
	int *named;	    /* descriptors of this fill, by libslirp's index */
	size_t num_named, cap_named;
	int *old;	    /* those of the fill before */
	size_t num_old;
	u32 round;
};

struct user_timer {
	struct timer timer;
	u64 deadline_ns; /* 0 = not armed; kept while the port is stopped */
	struct user *u;	 /* NULL: free */
	SlirpTimerId id;
	void *cb_opaque;
};

struct user {
	struct net net;
	Slirp *slirp;
	struct user_poll poll;
	struct watch watch;	 /* of poll.epfd */
	struct timer wake;	 /* libslirp's own time-outs; continue after a stall */
	struct user_timer timer[USER_MAX_TIMERS];
	struct net_fifo fifo;	 /* frames for the guest */
	bool stalled;		 /* the guest is slow: host sockets are not read */
	bool stale;		 /* libslirp's sockets may want something else than we wait for */
	u8 *frame;		 /* one frame of the guest in one piece */
};

/* ---- user_opts.c ---- */

int user_configure(struct user *u, const char *text, const SlirpCb *cb, struct hk_err *err);

/* ---- user_poll.c ---- */

int user_poll_init(struct user_poll *p);
void user_poll_fini(struct user_poll *p);
/* Ask libslirp what to wait for. Return: its time-out in ms, ~0 = none */
u32 user_poll_fill(struct user_poll *p, Slirp *s);
/* Tell it what happened; @look: at the sockets too, not only the clock */
void user_poll_run(struct user_poll *p, Slirp *s, bool look);
/* A descriptor is about to be closed */
void user_poll_forget(struct user_poll *p, int fd);

/* ---- user_frame.c ---- */

/* A frame of the guest, @len bytes: let TCP's peer believe that the guest takes large segments */
void user_raise_mss(struct user *u, u8 *frame, size_t len);
/* Put libslirp's frame where the guest finds it, in pieces or marked as a large segment. */
void user_deliver(struct user *u, const u8 *frame, size_t len);

#endif
