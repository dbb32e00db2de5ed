// SPDX-License-Identifier: BSD-2-Clause
/* cli/run.c - Wait for what the VM and the user have to say, until it ends
 *
 * Signals (hyperkit-facts 1.10) are blocked in every thread and read here, so
 * that nothing happens between two lines of other code. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cli/cli.h"

static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2,
			       SIGWINCH };

static sigset_t signal_set(void)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(&set, signals[i]);
	return set;
}

void signals_block(void)
{
	sigset_t set = signal_set();

	sigprocmask(SIG_BLOCK, &set, NULL);
}

/* The default action of @sig, after the terminal and the pid file were seen to */
static void die_of(int sig)
{
	sigset_t set;

	term_restore();
	pidfile_remove();
	fflush(NULL);
	signal(sig, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, sig);
	raise(sig);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	_exit(128 + sig); /* not reached: the signal's default is death */
}

static void pause_vm(const struct cli_args *a, struct hk_vm *vm)
{
	int rc;

	term_line(stdout, "received sigusr1, pausing");
	rc = hk_vm_pause(vm);
	if (rc == -EALREADY)
		term_line(stderr, "freeze signal received, but we are already frozen");
	for (int i = 0; !rc && i < a->cpus; i++)
		term_line(stderr, "vcpu %d waiting for signal to resume", i);
}

static void resume_vm(const struct cli_args *a, struct hk_vm *vm)
{
	int rc;

	term_line(stdout, "received sigusr2, unpausing");
	rc = hk_vm_resume(vm);
	if (rc == -EALREADY)
		term_line(stderr, "thaw signal received, but we are not frozen");
	for (int i = 0; !rc && i < a->cpus; i++)
		term_line(stderr, "vcpu %d received signal, resuming", i);
}

static bool is_ignored(int sig)
{
	struct sigaction sa;

	return sigaction(sig, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN;
}

/* The terminal we are on may be that of a virtio-console; without one this does nothing */
static void tell_size(struct hk_vm *vm)
{
	struct winsize w;

	if (!ioctl(0, TIOCGWINSZ, &w) && w.ws_col && w.ws_row &&
	    hk_vm_console_size(vm, w.ws_col, w.ws_row))
		return;
}

static void take_signal(const struct cli_args *a, struct hk_vm *vm, int sig, bool acpi_on)
{
	switch (sig) {
	case SIGWINCH:
		tell_size(vm);
		break;
	case SIGUSR1:
		pause_vm(a, vm);
		break;
	case SIGUSR2:
		resume_vm(a, vm);
		break;
	case SIGTERM:
		if (acpi_on) {
			hk_vm_power_button(vm);
			break;
		}
		die_of(sig);
		break;
	default: /* nohup and shells' background jobs ignore some: so do we */
		if (!is_ignored(sig))
			die_of(sig);
		break;
	}
}

static int report_end(struct hk_vm *vm, const struct hk_event *ev)
{
	switch (ev->exit) {
	case HK_EXIT_POWEROFF:
	case HK_EXIT_HALT:
	case HK_EXIT_STOPPED:
		return CLI_OK;
	case HK_EXIT_RESET:
		return CLI_RESET;
	case HK_EXIT_DEBUG:
		return ev->value & 0xff;
	case HK_EXIT_TRIPLE_FAULT:
		term_line(stderr, "%s", ev->text);
		term_text(stderr, hk_vm_fault_text(vm));
		return CLI_TRIPLE_FAULT;
	case HK_EXIT_ERROR:
	case HK_EXIT_BUG:
	case HK_EXIT_NONE:
		break;
	}
	term_line(stderr, "%s", ev->text);
	term_text(stderr, hk_vm_fault_text(vm));
	return CLI_ERROR;
}

static void print_stats(struct hk_vm *vm)
{
	size_t n = hk_vm_stats(vm, NULL, 0) + 256; /* counters grow a little meanwhile */
	char *buf = malloc(n);

	if (!buf)
		return;
	hk_vm_stats(vm, buf, n);
	term_text(stderr, buf);
	free(buf);
}

int run_vm(const struct cli_args *a, struct hk_vm *vm)
{
	sigset_t set = signal_set();
	int sfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), code = -1;
	struct pollfd fds[2] = { { .fd = hk_vm_fd(vm), .events = POLLIN },
				 { .fd = sfd, .events = POLLIN } };
	bool acpi_on = false;

	if (sfd < 0) {
		term_line(stderr, "%s: signalfd: %s", a->prog, strerror(errno));
		return CLI_ERROR;
	}
	tell_size(vm);
	while (code < 0) {
		struct signalfd_siginfo si;
		struct hk_event ev;

		if (poll(fds, 2, -1) < 0 && errno != EINTR) {
			term_line(stderr, "%s: poll: %s", a->prog, strerror(errno));
			code = CLI_ERROR;
			break;
		}
		/* Events first: "ACPI enabled" decides what a SIGTERM behind it means */
		while (code < 0 && hk_vm_next_event(vm, &ev) == 0) {
			if (ev.type == HK_EVENT_ACPI_ENABLED)
				acpi_on = ev.value;
			else if (ev.type == HK_EVENT_PAUSED && *ev.text)
				term_line(stderr, "paused: %s; SIGUSR2 resumes", ev.text);
			else if (ev.type == HK_EVENT_EXIT)
				code = report_end(vm, &ev);
		}
		while (code < 0 && read(sfd, &si, sizeof(si)) == sizeof(si))
			take_signal(a, vm, (int)si.ssi_signo, acpi_on);
	}
	close(sfd);
	if (a->stats)
		print_stats(vm);
	return code;
}
