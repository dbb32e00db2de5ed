// SPDX-License-Identifier: BSD-2-Clause
/* device/virtio/console_host.c - What is behind a port of virtio-console on the host
 *
 * Either a struct chr, as behind the serial ports ("stdio", "autopty[=FILE]", "log=FILE", "asl", a
 * terminal's path, and here also "file=PATH"), or a socket ("socket=PATH"). A terminal that is too
 * slow loses bytes, a socket's client never does: the guest's writes wait for it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "device/virtio/console_int.h"

/* ------------------------------------------------------------------- sockets */

static void sock_events(struct con_sock *s)
{
	u32 ev = 0;

	if (s->fd < 0)
		return;
	if (con_port_room(s->port))
		ev |= EPOLLIN;
	if (s->blocked)
		ev |= EPOLLOUT;
	watch_set(&s->watch, ev);
}

static void sock_hang_up(struct con_sock *s)
{
	if (s->fd < 0)
		return;
	watch_del(&s->watch);
	close(s->fd);
	s->fd = -1;
	s->blocked = false;
	con_port_opened(s->port, false);
	con_port_writable(s->port); /* what waited is lost: nobody is there */
	watch_set(&s->listen_watch, EPOLLIN);
}

static void sock_ready(void *arg, u32 events)
{
	struct con_sock *s = arg;
	size_t room = con_port_room(s->port);
	u8 buf[1024];
	ssize_t n;

	if (room && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
		n = recv(s->fd, buf, MIN(room, sizeof(buf)), MSG_DONTWAIT);
		if (n > 0) {
			con_port_input(s->port, buf, (size_t)n);
		} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
			sock_hang_up(s);
			return;
		}
	}
	if (s->blocked && (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))) {
		s->blocked = false;
		con_port_writable(s->port);
	}
	sock_events(s);
}

static void sock_accept(void *arg, u32 events)
{
	struct con_sock *s = arg;
	int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (s->fd >= 0 || watch_add(&s->watch, s->listen_watch.loop, fd,
				    EPOLLIN, sock_ready, s)) {
		close(fd);
		return;
	}
	s->fd = fd;
	watch_set(&s->listen_watch, 0); /* the next client waits in line */
	con_port_opened(s->port, true);
	sock_events(s);
}

/* A socket file that nobody listens on is left over from a program that was killed */
static bool stale(const struct sockaddr_un *a)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), rc;
	struct stat st;

	if (fd < 0)
		return false;
	rc = lstat(a->sun_path, &st) || !S_ISSOCK(st.st_mode) ||
	     !connect(fd, (const struct sockaddr *)a, sizeof(*a)) || errno != ECONNREFUSED;
	close(fd);
	return !rc;
}

static int sock_open(struct con_port *p, const char *path, struct log *log, struct hk_err *err)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct con_sock *s;
	int rc;

	if (!*path || strlen(path) >= sizeof(a.sun_path))
		return err_set(err, -EINVAL, "\"%s\" cannot be a socket's path", path);
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	p->sock = s;
	s->port = p;
	s->log = log;
	s->fd = -1;
	s->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->listen_fd < 0)
		return err_set(err, -errno, "socket: %s", strerrordesc_np(errno));
	memcpy(a.sun_path, path, strlen(path));
	rc = bind(s->listen_fd, (struct sockaddr *)&a, sizeof(a));
	if (rc && errno == EADDRINUSE && stale(&a)) {
		unlink(path);
		rc = bind(s->listen_fd, (struct sockaddr *)&a, sizeof(a));
	}
	if (rc)
		return err_set(err, -errno, "%s: %s", path, strerrordesc_np(errno));
	memcpy(s->path, path, strlen(path));
	if (listen(s->listen_fd, 4))
		return err_set(err, -errno, "%s: %s", path, strerrordesc_np(errno));
	return 0;
}

static void sock_stop(struct con_sock *s)
{
	watch_del(&s->listen_watch);
	watch_del(&s->watch);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->blocked = false;
}

static void sock_close(struct con_sock *s)
{
	if (!s)
		return;
	sock_stop(s);
	if (s->listen_fd >= 0)
		close(s->listen_fd);
	if (s->path[0])
		unlink(s->path);
	free(s);
}

/* Without a client bytes are lost, as on a line that nobody plugged in */
static size_t sock_write(struct con_sock *s, const u8 *bytes, size_t n)
{
	size_t done = 0;
	ssize_t rc;

	if (s->fd < 0)
		s->port->lost_bytes += n;
	while (s->fd >= 0 && done < n) {
		rc = send(s->fd, bytes + done, n - done, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (rc > 0) {
			done += (size_t)rc;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN) /* it went; the watch hangs up */
			return n;
		s->blocked = true;
		sock_events(s);
		return done;
	}
	return n;
}

/* ---------------------------------------------------------------- terminals */

static size_t chr_peer_room(void *arg)
{
	return con_port_room(arg);
}

static void chr_peer_input(void *arg, const u8 *bytes, size_t n)
{
	con_port_input(arg, bytes, n);
}

static int file_open(struct con_port *p, const char *path, struct loop *loop, struct log *log,
		     struct hk_err *err)
{
	struct hk_serial_config cfg = HK_SERIAL_CONFIG_INIT;
	int rc;

	cfg.out_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (cfg.out_fd < 0)
		return err_set(err, -errno, "%s: %s", path, strerrordesc_np(errno));
	rc = chr_open(&p->chr, &cfg, loop, log, err);
	close(cfg.out_fd); /* it has a duplicate */
	return rc;
}

int con_host_open(struct con_port *p, struct loop *loop, struct log *log, struct hk_err *err)
{
	const struct chr_peer peer = { chr_peer_room, chr_peer_input, p };
	int rc;

	if (p->spec && !strncmp(p->spec, "socket=", 7))
		return sock_open(p, p->spec + 7, log, err);
	if (p->spec && !strncmp(p->spec, "file=", 5))
		rc = file_open(p, p->spec + 5, loop, log, err);
	else
		rc = chr_open_opts(&p->chr, p->spec, loop, log, err);
	if (rc)
		return rc;
	chr_attach(p->chr, &peer);
	p->host_open = true;
	return 0;
}

void con_host_close(struct con_port *p)
{
	con_host_stop(p);
	sock_close(p->sock);
	p->sock = NULL;
	chr_close(p->chr);
	p->chr = NULL;
}

int con_host_start(struct con_port *p)
{
	struct con_sock *s = p->sock;

	if (p->chr)
		return chr_start(p->chr);
	if (s)
		return watch_add(&s->listen_watch, p->rx->v->dev.env->loop, s->listen_fd, EPOLLIN,
				 sock_accept, s);
	return 0;
}

void con_host_stop(struct con_port *p)
{
	if (p->chr)
		chr_stop(p->chr);
	if (p->sock)
		sock_stop(p->sock);
}

size_t con_host_write(struct con_port *p, const u8 *bytes, size_t n)
{
	if (p->sock)
		return sock_write(p->sock, bytes, n);
	if (p->chr)
		chr_write(p->chr, bytes, n);
	return n;
}

void con_host_room(struct con_port *p)
{
	if (p->chr)
		chr_room(p->chr);
	if (p->sock)
		sock_events(p->sock);
}
