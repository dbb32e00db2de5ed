// SPDX-License-Identifier: BSD-2-Clause
/* backend/vsock/unix.c - Sockets in the file system that lead to a guest's ports and back
 *
 *	DIR/connect			we listen; the first line names CID and port
 *	DIR/CCCCCCCC.PPPPPPPP		we listen, one for each forwarded port; no line
 *	DIR/guest.PPPPPPPP		symbolic link to the former
 *	DIR/00000002.PPPPPPPP		a host program listens; the guest connects to port P
 *	UDS				we listen; "CONNECT <port>\n", answered "OK <port>\n"
 *	UDS_<port>			a host program listens
 *
 * All of it runs on the loop. A listener that finds no descriptor left rests for a while
 * instead of spinning; clients wait in its backlog. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "backend/vsock/vsk.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"

#define ACCEPT_BATCH 64
#define REST_NS 100000000ull

enum listener_kind { LISTEN_CID, LISTEN_CONNECT, LISTEN_FORWARD };

/* (c) constant   (l) loop, or setup while stopped */
struct listener {
	struct vsk *k;
	enum listener_kind kind;
	u32 port; /* (c) LISTEN_FORWARD */
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)]; /* (c) */
	char link[sizeof(((struct sockaddr_un *)NULL)->sun_path)]; /* (c) "" = none */
	dev_t dev; /* (c) of the socket we made: what has another identity is not ours to remove */
	ino_t ino;
	int fd;
	struct watch watch;
};

/* A host program that has not finished its line */
struct hello {
	struct list node;
	struct vsk *k;
	enum vsk_line kind;
	struct watch watch;
	int fd;
	size_t n;
	char line[VSK_LINE_MAX];
};

struct vsk {
	struct loop *loop;     /* (c) */
	struct log *log;       /* (c) */
	struct vsk_peer peer;  /* (c) */
	u32 guest_cid;	       /* (c) */
	char *dir, *uds;       /* (c) */
	struct listener listen[VSK_MAX_FORWARDS + 2];
	unsigned num_listen;   /* (c) */
	struct list hellos;    /* (l) */
	unsigned num_hellos;   /* (l) */
	bool started;	       /* (l) */
	bool resting;	       /* (l) listeners are not watched */
	struct timer rest;
};

/* ---- who waits with half a line ---- */

static void hello_free(struct hello *h)
{
	watch_del(&h->watch);
	list_del(&h->node);
	h->k->num_hellos--;
	if (h->fd >= 0)
		close(h->fd);
	free(h);
}

static void listeners_rest(struct vsk *k, bool rest)
{
	k->resting = rest;
	for (unsigned i = 0; i < k->num_listen; i++)
		watch_set(&k->listen[i].watch, rest ? 0 : EPOLLIN);
}

/* Take the line's bytes and none behind it: look first, then read */
static void hello_ready(void *arg, u32 events)
{
	struct hello *h = arg;
	struct vsk *k = h->k;
	size_t had = h->n;
	ssize_t n;
	u32 port;
	int len, fd;

	n = recv(h->fd, h->line + had, VSK_LINE_MAX - had, MSG_PEEK);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		hello_free(h);
		return;
	}
	h->n += (size_t)n;
	len = vsk_line_parse(h->kind, h->line, h->n, k->guest_cid, &port);
	if (len < 0) {
		log_debug(k->log, "virtio-sock: a host program's first line %s",
			  len == -EADDRNOTAVAIL ? "names another CID" : "makes no sense");
		hello_free(h);
		return;
	}
	n = recv(h->fd, h->line + had, len ? (size_t)len - had : (size_t)n, 0);
	if (n <= 0 || (len && (size_t)n != (size_t)len - had)) {
		hello_free(h);
		return;
	}
	if (!len) {
		h->n = had + (size_t)n;
		return;
	}
	fd = h->fd;
	watch_del(&h->watch);
	h->fd = -1;
	len = h->kind == VSK_LINE_CONNECT;
	hello_free(h);
	k->peer.incoming(k->peer.arg, fd, port, len);
}

static void hello_new(struct vsk *k, int fd, enum vsk_line kind)
{
	struct hello *h = calloc(1, sizeof(*h));

	if (!h) {
		close(fd);
		return;
	}
	h->k = k;
	h->fd = fd;
	h->kind = kind;
	list_add_tail(&k->hellos, &h->node);
	k->num_hellos++;
	if (watch_add(&h->watch, k->loop, fd, EPOLLIN, hello_ready, h))
		hello_free(h);
}

/* ---- listening ---- */

static void rest_over(void *arg)
{
	struct vsk *k = arg;

	if (k->started)
		listeners_rest(k, false);
}

static void listen_ready(void *arg, u32 events)
{
	struct listener *l = arg;
	struct vsk *k = l->k;

	for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
		int fd = -1;

		if (k->num_hellos < VSK_MAX_HELLOS)
			fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		else
			errno = EMFILE;
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
				listeners_rest(k, true);
				timer_arm(&k->rest, clock_ns(loop_clock(k->loop)) + REST_NS);
			}
			return;
		}
		if (l->kind == LISTEN_FORWARD)
			k->peer.incoming(k->peer.arg, fd, l->port, false);
		else
			hello_new(k, fd, l->kind == LISTEN_CID ? VSK_LINE_CID : VSK_LINE_CONNECT);
	}
}

static int address(struct sockaddr_un *a, const char *path)
{
	size_t n = strlen(path);

	if (n >= sizeof(a->sun_path))
		return -ENAMETOOLONG;
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	memcpy(a->sun_path, path, n + 1);
	return 0;
}

/* Remove what an earlier run left behind, but no file of somebody else's making */
static void remove_old(const char *path, mode_t kind)
{
	struct stat st;

	if (!lstat(path, &st) && (st.st_mode & S_IFMT) == kind)
		unlink(path);
}

static int listen_on(struct vsk *k, enum listener_kind kind, u32 port, const char *path,
		     struct hk_err *err)
{
	struct listener *l = &k->listen[k->num_listen];
	struct sockaddr_un a;
	struct stat st;
	int rc = address(&a, path);

	if (rc)
		return err_set(err, rc, "path too long: %s", path);
	l->k = k;
	l->kind = kind;
	l->port = port;
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return err_set(err, -errno, "no socket: %s", strerrordesc_np(errno));
	k->num_listen++;
	remove_old(path, S_IFSOCK);
	if (bind(l->fd, (struct sockaddr *)&a, sizeof(a)))
		return err_set(err, -errno, "cannot listen on %s: %s", path, strerrordesc_np(errno));
	snprintf(l->path, sizeof(l->path), "%s", path);
	if (!lstat(path, &st)) {
		l->dev = st.st_dev;
		l->ino = st.st_ino;
	}
	if (listen(l->fd, SOMAXCONN))
		return err_set(err, -errno, "cannot listen on %s: %s", path, strerrordesc_np(errno));
	return 0;
}

static int listen_forward(struct vsk *k, u32 port, struct hk_err *err)
{
	struct listener *l = &k->listen[k->num_listen];
	char name[32], path[256];
	int rc;

	snprintf(name, sizeof(name), "%08x.%08x", k->guest_cid, port);
	snprintf(path, sizeof(path), "%s/%s", k->dir, name);
	rc = listen_on(k, LISTEN_FORWARD, port, path, err);
	if (rc)
		return rc;
	/* Shorter than the name it points at, so it fits */
	snprintf(path, sizeof(path), "%s/guest.%08x", k->dir, port);
	remove_old(path, S_IFLNK);
	if (symlink(name, path))
		return err_set(err, -errno, "cannot make %s: %s", path, strerrordesc_np(errno));
	memcpy(l->link, path, strlen(path) + 1);
	return 0;
}

static int open_all(struct vsk *k, const struct vsk_config *cfg, struct hk_err *err)
{
	char path[256];
	int rc = 0;

	if (cfg->dir) {
		k->dir = strdup(cfg->dir);
		if (!k->dir)
			return err_set(err, -ENOMEM, "out of memory");
		/* The longest name that will stand behind it, the zero included */
		if (strlen(cfg->dir) + 19 > sizeof(((struct sockaddr_un *)NULL)->sun_path))
			return err_set(err, -ENAMETOOLONG, "path too long: %s", cfg->dir);
		snprintf(path, sizeof(path), "%s/connect", k->dir);
		rc = listen_on(k, LISTEN_CID, 0, path, err);
		for (unsigned i = 0; i < cfg->num_forwards && !rc; i++)
			rc = listen_forward(k, cfg->forward[i], err);
	}
	if (!rc && cfg->uds) {
		k->uds = strdup(cfg->uds);
		if (!k->uds)
			return err_set(err, -ENOMEM, "out of memory");
		rc = listen_on(k, LISTEN_CONNECT, 0, k->uds, err);
	}
	return rc;
}

int vsk_open(struct vsk **out, const struct vsk_config *cfg, const struct vsk_peer *peer,
	     struct loop *loop, struct log *log, struct hk_err *err)
{
	struct vsk *k;
	int rc;

	if (cfg->num_forwards > VSK_MAX_FORWARDS)
		return err_set(err, -E2BIG, "Too many forwards: at most %u", VSK_MAX_FORWARDS);
	k = calloc(1, sizeof(*k));
	if (!k)
		return err_set(err, -ENOMEM, "out of memory");
	k->loop = loop;
	k->log = log;
	k->peer = *peer;
	k->guest_cid = cfg->guest_cid;
	list_init(&k->hellos);
	timer_init(&k->rest, loop, rest_over, k);
	rc = open_all(k, cfg, err);
	if (rc) {
		vsk_close(k);
		return rc;
	}
	*out = k;
	return 0;
}

int vsk_start(struct vsk *k)
{
	int rc;

	if (k->started)
		return 0;
	for (unsigned i = 0; i < k->num_listen; i++) {
		struct listener *l = &k->listen[i];

		rc = watch_add(&l->watch, k->loop, l->fd, EPOLLIN, listen_ready, l);
		if (rc) {
			while (i--)
				watch_del(&k->listen[i].watch);
			return rc;
		}
	}
	k->started = true;
	return 0;
}

/* On the loop: callbacks of hellos free themselves */
static void stop_on_loop(void *arg)
{
	struct vsk *k = arg;

	k->started = false;
	for (unsigned i = 0; i < k->num_listen; i++)
		watch_del(&k->listen[i].watch);
	while (!list_empty(&k->hellos))
		hello_free(container_of(k->hellos.next, struct hello, node));
}

void vsk_stop(struct vsk *k)
{
	if (!k || !k->started)
		return;
	loop_call_wait(k->loop, stop_on_loop, k);
	timer_cancel_sync(&k->rest);
}

void vsk_close(struct vsk *k)
{
	if (!k)
		return;
	vsk_stop(k);
	for (unsigned i = 0; i < k->num_listen; i++) {
		struct listener *l = &k->listen[i];
		struct stat st;

		if (l->path[0] && !lstat(l->path, &st) && st.st_dev == l->dev && st.st_ino == l->ino) {
			unlink(l->path);
			if (l->link[0])
				remove_old(l->link, S_IFLNK);
		}
		close(l->fd);
	}
	free(k->dir);
	free(k->uds);
	free(k);
}

/* ---- to host programs ---- */

static int connect_to(const char *path, int *out)
{
	struct sockaddr_un a;
	int fd, rc = address(&a, path);

	if (rc)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* A Unix socket connects at once, or says EAGAIN when the backlog is full */
	if (connect(fd, (struct sockaddr *)&a, sizeof(a))) {
		rc = -errno;
		close(fd);
		return rc;
	}
	*out = fd;
	return 0;
}

int vsk_connect(struct vsk *k, u32 port, int *fd)
{
	char path[256];
	int rc = -ENOENT;

	if (k->dir) {
		snprintf(path, sizeof(path), "%s/%08x.%08x", k->dir, VSK_HOST_CID, port);
		rc = connect_to(path, fd);
	}
	if (rc && rc != -EAGAIN && k->uds) {
		if (snprintf(path, sizeof(path), "%s_%u", k->uds, port) >= (int)sizeof(path))
			return -ENAMETOOLONG;
		rc = connect_to(path, fd);
	}
	return rc;
}

int vsk_say_ok(int fd, u32 host_port)
{
	char line[24];
	int n = snprintf(line, sizeof(line), "OK %u\n", host_port);

	/* The first bytes into an empty socket: all or an error */
	return send(fd, line, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) == n ? 0 : -EPIPE;
}
