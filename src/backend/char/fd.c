// SPDX-License-Identifier: BSD-2-Clause
/* backend/char/fd.c - Descriptors that bytes are read from and written to
 *
 * All of ours are duplicates, so that two ports may share one of the caller's and closing
 * is never a question. What belongs to the open file and not to the descriptor, namely
 * O_NONBLOCK, is put back at close. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "backend/char/chr_int.h"
#include "base/err.h"

static enum chr_fd_kind kind_of(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return CHR_FD_FILE;
	if (S_ISFIFO(st.st_mode))
		return CHR_FD_PIPE;
	if (S_ISSOCK(st.st_mode))
		return CHR_FD_SOCKET;
	return isatty(fd) ? CHR_FD_TTY : CHR_FD_FILE;
}

/* An open file of our own for the same pipe or terminal: then O_NONBLOCK is our affair
 * alone, where on a shared one it would surprise whoever else prints there.
 * Not for a pty's master: opening that again makes a new pty. */
static int reopen_for_write(int fd, enum chr_fd_kind kind)
{
	char path[40];
	int n;

	if (kind != CHR_FD_PIPE && (kind != CHR_FD_TTY || !ioctl(fd, TIOCGPTN, &n)))
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

int chr_fd_adopt(struct chr_fd *f, int fd, bool output)
{
	int flags;

	f->kind = kind_of(fd);
	f->restore = false;
	f->fd = output ? reopen_for_write(fd, f->kind) : -1;
	if (f->fd >= 0)
		return 0;
	f->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (f->fd < 0)
		return -errno;
	/* Sockets have MSG_DONTWAIT, files do not block */
	if (f->kind == CHR_FD_FILE || (f->kind == CHR_FD_SOCKET && output))
		return 0;
	flags = fcntl(f->fd, F_GETFL);
	if (flags < 0)
		return -errno;
	if (!(flags & O_NONBLOCK)) {
		if (fcntl(f->fd, F_SETFL, flags | O_NONBLOCK))
			return -errno;
		f->restore = true;
	}
	return 0;
}

static void fd_close(struct chr_fd *f)
{
	int flags;

	if (f->fd < 0)
		return;
	if (f->restore) {
		flags = fcntl(f->fd, F_GETFL);
		if (flags >= 0)
			fcntl(f->fd, F_SETFL, flags & ~O_NONBLOCK);
	}
	close(f->fd);
	f->fd = -1;
}

/* write() whose SIGPIPE nobody sees: the library owns no signal disposition */
static ssize_t write_no_sigpipe(int fd, const u8 *bytes, size_t n)
{
	const struct timespec now = { 0 };
	sigset_t pipe_set, old, pending;
	bool was_pending;
	ssize_t done;
	int saved;

	sigemptyset(&pipe_set);
	sigaddset(&pipe_set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_set, &old);
	sigpending(&pending);
	was_pending = sigismember(&pending, SIGPIPE);
	done = write(fd, bytes, n);
	saved = errno;
	/* The signal of a failed write is the thread's own and pending since */
	if (done < 0 && saved == EPIPE && !was_pending)
		while (sigtimedwait(&pipe_set, NULL, &now) < 0 && errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = saved;
	return done;
}

ssize_t chr_fd_write(const struct chr_fd *f, const u8 *bytes, size_t n)
{
	ssize_t done;

	do {
		if (f->kind == CHR_FD_SOCKET)
			done = send(f->fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		else if (f->kind == CHR_FD_PIPE)
			done = write_no_sigpipe(f->fd, bytes, n);
		else
			done = write(f->fd, bytes, n);
	} while (done < 0 && errno == EINTR);
	if (done > 0)
		return done;
	return done == 0 || errno == EAGAIN ? -EAGAIN : -errno;
}

ssize_t chr_fd_read(const struct chr_fd *f, u8 *bytes, size_t n)
{
	ssize_t done;

	do
		done = read(f->fd, bytes, n);
	while (done < 0 && errno == EINTR);
	return done < 0 ? -errno : done;
}

void chr_term_init(struct chr_term *t)
{
	memset(t, 0, sizeof(*t));
	t->in.fd = t->out.fd = t->slave = -1;
}

int chr_term_fds(struct chr_term *t, int in_fd, int out_fd, struct hk_err *err)
{
	int rc = 0;

	if (in_fd >= 0)
		rc = chr_fd_adopt(&t->in, in_fd, false);
	if (rc)
		return err_set(err, rc, "input descriptor %d: %s", in_fd, strerrordesc_np(-rc));
	if (out_fd >= 0)
		rc = chr_fd_adopt(&t->out, out_fd, true);
	if (rc)
		return err_set(err, rc, "output descriptor %d: %s", out_fd, strerrordesc_np(-rc));
	return 0;
}

int chr_term_device(struct chr_term *t, const char *path, struct hk_err *err)
{
	struct termios raw;
	int fd, rc;

	fd = open(path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "terminal %s: %s", path, strerrordesc_np(errno));
	if (tcgetattr(fd, &t->old)) {
		close(fd);
		return err_set(err, -ENOTTY, "%s is not a terminal", path);
	}
	raw = t->old;
	cfmakeraw(&raw);
	raw.c_cflag |= CLOCAL;
	rc = tcsetattr(fd, TCSANOW, &raw) ? -errno : 0;
	if (!rc) {
		t->restore_termios = true;
		rc = chr_fd_adopt(&t->in, fd, false);
	}
	if (!rc)
		rc = chr_fd_adopt(&t->out, fd, true);
	close(fd);
	return rc ? err_set(err, rc, "terminal %s: %s", path, strerrordesc_np(-rc)) : 0;
}

void chr_term_close(struct chr_term *t)
{
	if (t->restore_termios && t->in.fd >= 0)
		tcsetattr(t->in.fd, TCSANOW, &t->old);
	t->restore_termios = false;
	/* In reverse: both may have changed the same open file */
	fd_close(&t->out);
	fd_close(&t->in);
	if (t->slave >= 0)
		close(t->slave);
	t->slave = -1;
}
