// SPDX-License-Identifier: BSD-2-Clause
/* cli/term.c - The user's terminal: raw while the guest has it, restored on every way out
 *
 * Ways out: return from main and exit() (atexit), signals that end the process
 * by default (run.c reads those with a signalfd and calls term_restore), faults
 * and abort() (handlers here, which stand before the library installs its own, so
 * that it passes on what is not its). SIGKILL alone cannot be caught.
 *
 * The one set of static variables in the program: a signal handler has no argument. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli/cli.h"

static struct termios saved_termios;
static int saved_flags[2] = { -1, -1 };
static volatile sig_atomic_t is_taken, is_raw;

void term_restore(void)
{
	if (!is_taken)
		return;
	is_taken = 0;
	if (is_raw)
		tcsetattr(0, TCSANOW, &saved_termios);
	is_raw = 0;
	/* O_NONBLOCK belongs to the open file, which the shell shares with us */
	for (int fd = 0; fd < 2; fd++)
		if (saved_flags[fd] >= 0)
			fcntl(fd, F_SETFL, saved_flags[fd]);
}

/* [signal] Tidy up, then die of the same signal */
static void fatal(int sig)
{
	term_restore();
	signal(sig, SIG_DFL);
	raise(sig);
}

void term_init(void)
{
	static const int fatal_signals[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP,
					     SIGSYS, SIGXCPU, SIGXFSZ, SIGALRM, SIGVTALRM };
	struct sigaction sa = { .sa_handler = fatal, .sa_flags = SA_NODEFER | SA_ONSTACK };
	int fd;

	/* A closed descriptor 0, 1 or 2 would be given to the first file that is opened */
	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
	for (fd = 0; fd < 2; fd++)
		saved_flags[fd] = fcntl(fd, F_GETFL); /* before the library changes them */
	for (size_t i = 0; i < sizeof(fatal_signals) / sizeof(fatal_signals[0]); i++)
		sigaction(fatal_signals[i], &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	atexit(term_restore);
}

void term_take(void)
{
	is_taken = 1;
}

void term_raw(void)
{
	struct termios t;

	if (is_raw || !isatty(0) || tcgetattr(0, &saved_termios))
		return;
	t = saved_termios;
	cfmakeraw(&t);
	t.c_cflag |= CLOCAL;
	is_raw = 1;
	if (tcsetattr(0, TCSANOW, &t))
		is_raw = 0;
}

bool term_is_raw(void)
{
	return is_raw;
}

/* The original wrote to descriptor 0 always; with input from a file or pipe that loses
 * everything, so only a terminal that can be written is used both ways */
int term_output_fd(void)
{
	int flags = fcntl(0, F_GETFL);

	return isatty(0) && flags >= 0 && (flags & O_ACCMODE) == O_RDWR ? 0 : 1;
}

/* One write a line, so that lines of different threads do not mix */
static void put_line(FILE *f, const char *text, size_t n)
{
	bool crlf = is_raw && isatty(fileno(f));

	fprintf(f, "%.*s%s", (int)n, text, crlf ? "\r\n" : "\n");
	fflush(f);
}

void term_line(FILE *f, const char *fmt, ...)
{
	char buf[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	put_line(f, buf, strlen(buf));
}

void term_text(FILE *f, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\n");

		put_line(f, text, n);
		text += n + (text[n] == '\n');
	}
}
