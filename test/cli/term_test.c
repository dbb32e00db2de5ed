// SPDX-License-Identifier: BSD-2-Clause
/* -l com1,stdio on a terminal: raw while the guest has it, as before on every way out
 *
 * Each test runs the command on the slave of a pty, as its controlling terminal. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_MS 30000

static char hyperkit[512], guests[512];

/* The pty, and the command on it */
static struct {
	int master, slave; /* our own descriptor of the slave keeps its settings */
	pid_t pid;
	struct termios before;
	int flags_before;
	char seen[65536];
	size_t n;
} tty;

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static const char *env(const char *name)
{
	const char *s = getenv(name);

	return s ? s : ".";
}

static int build_guests(void **state)
{
	char cmd[1200];

	snprintf(hyperkit, sizeof(hyperkit), "%s/hyperkit", env("HK_BUILD"));
	snprintf(guests, sizeof(guests), "%s/guest", env("HK_TMP"));
	snprintf(cmd, sizeof(cmd), "%s/test/guest/build-guests %s echo spin triple", env("HK_TOP"),
		 guests);
	return system(cmd);
}

static void child(const char *guest, bool bad_serial)
{
	char fw[1024];
	const char *argv[] = { "hyperkit", "--debug-exit", "-m", "16M", "-s", "0:0,hostbridge",
			       "-s", "31,lpc", "-l", "com1,stdio", "-f", fw, "-l",
			       bad_serial ? "com2,/no/such/tty" : "com2,null", NULL };

	snprintf(fw, sizeof(fw), "multiboot,%s/%s.elf", guests, guest);
	setsid();
	ioctl(tty.slave, TIOCSCTTY, 0);
	for (int fd = 0; fd < 3; fd++)
		dup2(tty.slave, fd);
	close(tty.master);
	close(tty.slave);
	execv(hyperkit, (char **)argv);
	_exit(127);
}

static void launch(const char *guest, bool bad_serial)
{
	memset(&tty, 0, sizeof(tty));
	tty.master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(tty.master >= 0);
	assert_int_equal(grantpt(tty.master), 0);
	assert_int_equal(unlockpt(tty.master), 0);
	tty.slave = open(ptsname(tty.master), O_RDWR | O_NOCTTY);
	assert_true(tty.slave >= 0);
	assert_int_equal(tcgetattr(tty.slave, &tty.before), 0);
	tty.flags_before = fcntl(tty.slave, F_GETFL);
	tty.pid = fork();
	assert_true(tty.pid >= 0);
	if (!tty.pid)
		child(guest, bad_serial);
}

/* Read what comes until @text was seen */
static void expect(const char *text)
{
	long until = now_ms() + LIMIT_MS;

	while (!strstr(tty.seen, text)) {
		struct pollfd p = { .fd = tty.master, .events = POLLIN };
		long left = until - now_ms();
		ssize_t n;

		if (left <= 0 || poll(&p, 1, (int)left) <= 0)
			fail_msg("no \"%s\" in: %s", text, tty.seen);
		n = read(tty.master, tty.seen + tty.n, sizeof(tty.seen) - 1 - tty.n);
		if (n <= 0)
			fail_msg("end of output before \"%s\": %s", text, tty.seen);
		tty.n += (size_t)n;
		tty.seen[tty.n] = '\0';
	}
}

static void type(const char *keys)
{
	assert_int_equal(write(tty.master, keys, strlen(keys)), strlen(keys));
}

static int wait_end(void)
{
	long until = now_ms() + LIMIT_MS;
	int status;
	pid_t pid;

	while (!(pid = waitpid(tty.pid, &status, WNOHANG))) {
		char drain[256];
		struct pollfd p = { .fd = tty.master, .events = POLLIN };

		/* Keep the pty from filling up; POLLHUP cannot come, as we hold the slave */
		if (poll(&p, 1, 20) > 0 && read(tty.master, drain, sizeof(drain)) < 0)
			break;
		if (now_ms() > until) {
			kill(tty.pid, SIGKILL);
			fail_msg("it does not end");
		}
	}
	assert_int_equal(pid, tty.pid);
	return status;
}

static bool is_raw(void)
{
	struct termios t;

	assert_int_equal(tcgetattr(tty.slave, &t), 0);
	return !(t.c_lflag & (ICANON | ECHO | ISIG)) && !(t.c_oflag & OPOST);
}

static void check_restored(void)
{
	struct termios t;

	assert_int_equal(tcgetattr(tty.slave, &t), 0);
	assert_int_equal(t.c_iflag, tty.before.c_iflag);
	assert_int_equal(t.c_oflag, tty.before.c_oflag);
	assert_int_equal(t.c_cflag, tty.before.c_cflag);
	assert_int_equal(t.c_lflag, tty.before.c_lflag);
	assert_memory_equal(t.c_cc, tty.before.c_cc, sizeof(t.c_cc));
	assert_int_equal(fcntl(tty.slave, F_GETFL), tty.flags_before);
	close(tty.master);
	close(tty.slave);
}

static void guest_has_the_terminal_raw_and_gives_it_back(void **state)
{
	int status;

	launch("echo", false);
	expect("ready");
	assert_true(is_raw());
	type("HAL");
	expect("IBM");
	type("q");
	status = wait_end();
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 33);
	check_restored();
}

static void control_c_is_a_byte_for_the_guest(void **state)
{
	launch("echo", false);
	expect("ready");
	type("\003");
	expect("^C");
	type("\034\032A"); /* quit and suspend characters, too */
	expect("B");
	type("q");
	assert_true(WIFEXITED(wait_end()));
	check_restored();
}

static void every_deadly_signal_restores_the_terminal(void **state)
{
	static const int deadly[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGSEGV, SIGABRT, SIGBUS,
				      SIGFPE, SIGILL };

	for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++) {
		int status;

		launch("spin", false);
		expect("ready");
		assert_true(is_raw());
		assert_int_equal(kill(tty.pid, deadly[i]), 0);
		status = wait_end();
		if (!WIFSIGNALED(status) || WTERMSIG(status) != deadly[i])
			fail_msg("signal %d: status %x", deadly[i], status);
		check_restored();
	}
}

static void a_triple_fault_restores_the_terminal(void **state)
{
	int status;

	launch("triple", false);
	status = wait_end();
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 3);
	check_restored();
}

static void an_error_at_start_restores_the_terminal(void **state)
{
	int status;

	launch("no-such-guest", false);
	expect("no-such-guest");
	status = wait_end();
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
	check_restored();

	launch("echo", true);
	expect("for LPC device COM2");
	status = wait_end();
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
	check_restored();
}

static void lines_of_the_command_end_in_cr_lf_while_raw(void **state)
{
	launch("spin", false);
	expect("ready");
	kill(tty.pid, SIGUSR1);
	expect("received sigusr1, pausing\r\n");
	kill(tty.pid, SIGTERM);
	wait_end();
	check_restored();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guest_has_the_terminal_raw_and_gives_it_back),
		cmocka_unit_test(control_c_is_a_byte_for_the_guest),
		cmocka_unit_test(every_deadly_signal_restores_the_terminal),
		cmocka_unit_test(a_triple_fault_restores_the_terminal),
		cmocka_unit_test(an_error_at_start_restores_the_terminal),
		cmocka_unit_test(lines_of_the_command_end_in_cr_lf_while_raw),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, build_guests, NULL);
}
