// SPDX-License-Identifier: BSD-2-Clause
/* test/boot/vsock/host.c - An embedder with a Linux guest whose vsock ports it uses
 *
 * usage: host ACCEL KERNEL INITRD FOLDER   (TAP on stdout)
 * HK_VSOCK_CONNS, HK_VSOCK_BYTES: how many connections at once, how long the transfers are. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <hyperkit/hyperkit.h>

#include "proto.h"

#define CID 7
#define FORWARD 5000
#define HOST_ECHO 3000 /* a socket of ours in the folder */
#define UDS_ECHO 3001  /* one of Firecracker's name */
#define API_ECHO 3002  /* by the embedder's functions */
#define BUF (256 << 10)
#define LIMIT_MS 120000

static char folder[64];
static struct hk_vm *vm;
static int ready_fd;
static unsigned tests, bad;
static char why[256];

static void fail(const char *fmt, ...)
{
	va_list ap;

	if (why[0])
		return;
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
}

static void verdict(const char *name)
{
	tests++;
	printf("%sok %u - %s\n", why[0] ? "not " : "", tests, name);
	if (why[0])
		printf("# %s\n", why);
	bad += why[0] != 0;
	why[0] = '\0';
	fflush(stdout);
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- sockets with a time limit ---- */

static int limited(int fd)
{
	struct timeval tv = { LIMIT_MS / 1000, 0 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	return fd;
}

static int unix_connect(const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/%.40s", folder, name);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a))) {
		fail("connect %s: %s", a.sun_path, strerror(errno));
		close(fd);
		return -1;
	}
	return limited(fd);
}

static int unix_listen(const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/%.40s", folder, name);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 64)) {
		fail("listen %s: %s", a.sun_path, strerror(errno));
		exit(1);
	}
	return fd;
}

/* With a time limit even a stop and a continuation of the process interrupt */
static ssize_t receive(int fd, void *buf, size_t n)
{
	ssize_t r;

	do
		r = recv(fd, buf, n, 0);
	while (r < 0 && errno == EINTR);
	return r;
}

static ssize_t transmit(int fd, const void *buf, size_t n)
{
	ssize_t r;

	do
		r = send(fd, buf, n, MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	return r;
}

static int put(int fd, const void *buf, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t r = transmit(fd, (const char *)buf + at, n - at);

		if (r <= 0) {
			fail("send: %s", strerror(errno));
			return -1;
		}
		at += (size_t)r;
	}
	return 0;
}

/* Return: bytes until end of file, error or @n */
static size_t get(int fd, void *buf, size_t n)
{
	size_t at = 0;

	while (at < n) {
		ssize_t r = receive(fd, (char *)buf + at, n - at);

		if (r < 0)
			fail("recv: %s", strerror(errno));
		if (r <= 0)
			break;
		at += (size_t)r;
	}
	return at;
}

static void want_eof(int fd, const char *what)
{
	char c;
	ssize_t r = receive(fd, &c, 1);

	if (r > 0)
		fail("%s: a byte instead of the end", what);
	else if (r < 0 && errno != ECONNRESET)
		fail("%s: %s instead of the end", what, strerror(errno));
}

/* HyperKit's way */
static int by_connect(unsigned port)
{
	char line[24];
	int fd = unix_connect("connect");

	snprintf(line, sizeof(line), "%08x.%08x\n", CID, port);
	if (fd >= 0)
		put(fd, line, 18);
	return fd;
}

/* Firecracker's way */
static int by_uds(unsigned port)
{
	char line[32];
	size_t n = 0;
	int fd = unix_connect("fc.sock");

	if (fd < 0)
		return fd;
	snprintf(line, sizeof(line), "CONNECT %u\n", port);
	put(fd, line, strlen(line));
	while (n < sizeof(line) - 1 && get(fd, line + n, 1) == 1 && line[n++] != '\n')
		;
	line[n] = '\0';
	if (strncmp(line, "OK ", 3) || !n || line[n - 1] != '\n')
		fail("instead of OK: \"%s\"", line);
	return fd;
}

static int by_api(unsigned port)
{
	struct hk_err err;
	int fd = -1;

	if (hk_vm_vsock_connect(vm, port, &fd, &err))
		fail("hk_vm_vsock_connect: %s", err.text);
	return fd >= 0 ? limited(fd) : fd;
}

static int by_forward(unsigned port)
{
	char name[32];

	snprintf(name, sizeof(name), "guest.%08x", port);
	return unix_connect(name);
}

/* ---- servers of ours ---- */

struct server {
	int listen;
	bool api;
};

/* Echo for any number of connections, until the process ends */
static void *echo_main(void *arg)
{
	struct server *s = arg;
	static __thread struct pollfd pfd[4096];
	char buf[4096];
	unsigned n = 1;

	pfd[0] = (struct pollfd){ .fd = s->listen, .events = POLLIN };
	while (poll(pfd, n, -1) >= 0) {
		if (pfd[0].revents && n < 4096) {
			int fd = -1;

			if (!s->api)
				fd = accept(s->listen, NULL, NULL);
			else if (hk_vsock_accept(s->listen, &fd, NULL))
				return NULL;
			if (fd < 0)
				return NULL;
			pfd[n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
		}
		for (unsigned i = 1; i < n; i++) {
			ssize_t r;

			if (!pfd[i].revents)
				continue;
			pfd[i].revents = 0;
			r = receive(pfd[i].fd, buf, sizeof(buf));
			if (r > 0 && transmit(pfd[i].fd, buf, (size_t)r) == r)
				continue;
			close(pfd[i].fd);
			pfd[i--] = pfd[--n];
		}
	}
	return NULL;
}

static void serve_echo(int listen, bool api)
{
	struct server *s = malloc(sizeof(*s));
	pthread_t t;

	*s = (struct server){ listen, api };
	pthread_create(&t, NULL, echo_main, s);
	pthread_detach(t);
}

/* ---- the guest's commands ---- */

static int control_fd = -1;

static void command(const char *fmt, ...)
{
	char line[80];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	put(control_fd, line, strlen(line));
}

static void answer(char *line, size_t max)
{
	size_t n = 0;

	while (n < max - 1 && get(control_fd, line + n, 1) == 1 && line[n] != '\n')
		n++;
	line[n] = '\0';
}

static void want_ok(void)
{
	char line[80];

	answer(line, sizeof(line));
	if (strncmp(line, "ok", 2))
		fail("the guest says \"%s\"", line);
}

static bool await_ready(int ms)
{
	struct pollfd pfd = { .fd = ready_fd, .events = POLLIN };
	uint32_t port = 0;
	int fd;

	if (poll(&pfd, 1, ms) != 1 || hk_vsock_accept(ready_fd, &fd, &port)) {
		fail("the guest did not connect");
		return false;
	}
	if (!port)
		fail("its port is 0");
	close(fd);
	return true;
}

/* ---- tests ---- */

static void echo_over(int fd, const char *words)
{
	char hear[64] = "";

	if (fd < 0)
		return;
	put(fd, words, strlen(words));
	get(fd, hear, strlen(words));
	if (strcmp(words, hear))
		fail("said \"%s\", heard \"%s\"", words, hear);
	close(fd);
}

static void test_ways_in(void)
{
	echo_over(by_connect(PORT_ECHO), "connect");
	verdict("a_line_on_the_connect_socket_reaches_the_guest");
	echo_over(by_forward(FORWARD), "forward");
	verdict("a_forwarded_port_has_a_socket_of_its_own");
	echo_over(by_uds(PORT_ECHO), "firecracker");
	verdict("the_connect_handshake_is_answered_ok");
	echo_over(by_api(PORT_ECHO), "api");
	verdict("the_embedder_connects_without_a_file");
}

static void test_ways_out(void)
{
	static const unsigned ports[] = { HOST_ECHO, UDS_ECHO, API_ECHO };
	static const char *const names[] = {
		"the_guest_reaches_a_socket_in_the_folder",
		"the_guest_reaches_a_socket_of_firecrackers_name",
		"the_guest_reaches_the_embedder",
	};

	for (unsigned i = 0; i < 3; i++) {
		command("dial 1 %u\n", ports[i]);
		want_ok();
		verdict(names[i]);
	}
}

static void test_refused(void)
{
	char line[80];
	int fd = by_connect(PORT_NOBODY);

	want_eof(fd, "connect socket");
	close(fd);
	fd = by_api(PORT_NOBODY);
	want_eof(fd, "api");
	close(fd);
	verdict("a_port_where_nobody_listens_is_end_of_file");
	command("dial 1 %u\n", 999);
	answer(line, sizeof(line));
	if (!strstr(line, "reset"))
		fail("the guest says \"%s\"", line);
	verdict("a_host_port_where_nobody_listens_is_reset");
}

static void test_many(unsigned n, double *took)
{
	int *fd = calloc(n, sizeof(*fd));
	char say[48], hear[48];
	double t = seconds();

	command("dial %u %u\n", n, HOST_ECHO);
	for (unsigned i = 0; i < n; i++) {
		fd[i] = i % 2 ? by_connect(PORT_ECHO) : by_api(PORT_ECHO);
		snprintf(say, sizeof(say), "host connection %06u", i);
		put(fd[i], say, strlen(say));
	}
	for (unsigned i = 0; i < n && !why[0]; i++) {
		memset(hear, 0, sizeof(hear));
		snprintf(say, sizeof(say), "host connection %06u", i);
		get(fd[i], hear, strlen(say));
		if (strcmp(say, hear))
			fail("connection %u heard \"%s\"", i, hear);
	}
	want_ok();
	*took = seconds() - t;
	for (unsigned i = 0; i < n; i++)
		close(fd[i]);
	free(fd);
	verdict("many_connections_at_once_in_both_directions");
}

static void test_to_guest(uint64_t bytes, double *took)
{
	unsigned char *buf = malloc(BUF);
	struct sum s = { 0, 0 };
	double t = seconds();
	int fd = by_connect(PORT_SINK);

	for (uint64_t at = 0; at < bytes;) {
		size_t n = bytes - at < BUF ? bytes - at : BUF;

		pattern_fill(buf, at, n);
		if (put(fd, buf, n))
			break;
		at += n;
	}
	shutdown(fd, SHUT_WR);
	if (get(fd, &s, sizeof(s)) != sizeof(s))
		fail("no sum after half-close");
	else if (s.bytes != bytes || s.wrong != ~0ull)
		fail("%llu bytes arrived, first wrong one %llu", (unsigned long long)s.bytes,
		     (unsigned long long)s.wrong);
	*took = seconds() - t;
	want_eof(fd, "after the sum");
	close(fd);
	free(buf);
	verdict("a_long_transfer_to_the_guest_is_whole_and_half_close_ends_it");
}

static void test_from_guest(uint64_t bytes, double *took)
{
	unsigned char *buf = malloc(BUF);
	uint64_t at = 0, wrong = ~0ull;
	double t = seconds();
	int fd = by_api(PORT_SOURCE);
	ssize_t n;

	put(fd, &bytes, sizeof(bytes));
	while ((n = receive(fd, buf, BUF)) > 0) {
		pattern_check(buf, at, (size_t)n, &wrong);
		at += (uint64_t)n;
	}
	if (n < 0)
		fail("recv: %s", strerror(errno));
	if (at != bytes || wrong != ~0ull)
		fail("%llu bytes arrived, first wrong one %llu", (unsigned long long)at,
		     (unsigned long long)wrong);
	*took = seconds() - t;
	close(fd);
	free(buf);
	verdict("a_long_transfer_from_the_guest_is_whole");
}

/* A host program that does not read stops the guest's writer and nobody else */
static void test_slow_reader(void)
{
	uint64_t len = 4 << 20, at = 0, wrong = ~0ull;
	int slow = by_connect(PORT_SOURCE);
	unsigned char buf[4096];
	ssize_t n;

	put(slow, &len, sizeof(len));
	for (unsigned i = 0; i < 20; i++)
		echo_over(by_connect(PORT_ECHO), "quick");
	while ((n = receive(slow, buf, sizeof(buf))) > 0) {
		pattern_check(buf, at, (size_t)n, &wrong);
		at += (uint64_t)n;
	}
	if (at != len || wrong != ~0ull)
		fail("%llu bytes, wrong at %llu", (unsigned long long)at, (unsigned long long)wrong);
	close(slow);
	verdict("a_slow_reader_holds_up_only_itself");
}

static void test_ends(void)
{
	char hear[8] = "";
	int fd = by_connect(PORT_RUDE);
	unsigned char junk[8192] = { 0 };

	put(fd, junk, sizeof(junk));
	if (get(fd, hear, 3) != 3 || strcmp(hear, "bye"))
		fail("heard \"%s\"", hear);
	want_eof(fd, "after bye");
	close(fd);
	verdict("a_guest_program_that_closes_without_reading_ends_the_connection");

	/* A host program that vanishes: the guest's echo threads must all end, or the next
	 * crowd has no place */
	for (unsigned i = 0; i < 300; i++) {
		fd = by_api(PORT_ECHO);
		put(fd, "x", 1);
		close(fd);
	}
	echo_over(by_connect(PORT_ECHO), "still there");
	verdict("host_programs_that_vanish_leave_nothing_behind");
}

static void test_rebind(void)
{
	int a = by_connect(PORT_ECHO), b = by_api(PORT_ECHO);
	char c;

	put(a, "x", 1);
	put(b, "x", 1);
	get(a, &c, 1);
	get(b, &c, 1);
	command("rebind\n");
	want_ok();
	want_eof(a, "connection by socket");
	want_eof(b, "connection by api");
	want_eof(control_fd, "control");
	close(a);
	close(b);
	close(control_fd);
	if (await_ready(LIMIT_MS)) {
		control_fd = by_api(PORT_CONTROL);
		echo_over(by_connect(PORT_ECHO), "again");
		command("dial 1 %u\n", HOST_ECHO);
		want_ok();
	}
	verdict("a_driver_that_starts_anew_cuts_all_and_serves_again");
}

static void on_serial(void *arg, const uint8_t *bytes, size_t n)
{
	fwrite(bytes, 1, n, arg);
}

static unsigned long long setting(const char *name, unsigned long long def)
{
	const char *s = getenv(name);

	return s ? strtoull(s, NULL, 0) : def;
}

int main(int argc, char **argv)
{
	const struct hk_vm_config cfg = {
		.size = sizeof(cfg), .cpus = 2, .flags = HK_VM_ACPI | HK_VM_RTC_UTC,
		.memory_bytes = 768ull << 20, .accel = argc == 5 ? argv[1] : NULL,
	};
	struct hk_serial_config serial = HK_SERIAL_CONFIG_INIT;
	struct rlimit lim;
	struct hk_err err = { "" };
	uint64_t bytes = setting("HK_VSOCK_BYTES", 64 << 20);
	unsigned conns = (unsigned)setting("HK_VSOCK_CONNS", 200);
	double many, to, from;
	char opts[256], log[96];
	int echo_api, early;

	if (argc != 5)
		return 2;
	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
	snprintf(folder, sizeof(folder), "%s", argv[4]);
	snprintf(log, sizeof(log), "%s/console", folder);
	serial.output = on_serial;
	serial.output_arg = fopen(log, "w");
	snprintf(opts, sizeof(opts), "guest_cid=%u,path=%s,guest_forwards=%u,uds=%s/fc.sock", CID, folder,
		 FORWARD, folder);
	if (hk_vm_create(&vm, &cfg, &err) || hk_vm_device(vm, 0, 0, 0, "hostbridge", NULL, &err) ||
	    hk_vm_device(vm, 0, 31, 0, "lpc", NULL, &err) || hk_vm_serial(vm, 1, &serial, &err) ||
	    hk_vm_device(vm, 0, 4, 0, "virtio-sock", opts, &err) ||
	    hk_vm_boot_linux(vm, argv[2], argv[3], "console=ttyS0 hk.run=/bin/vsock-guest", &err) ||
	    hk_vm_vsock_listen(vm, PORT_READY, &ready_fd, &err) ||
	    hk_vm_vsock_listen(vm, API_ECHO, &echo_api, &err) ||
	    hk_vm_vsock_connect(vm, PORT_NOBODY, &early, &err)) {
		printf("Bail out! %s\n", err.text);
		return 1;
	}
	serve_echo(unix_listen("00000002.00000bb8"), false);
	serve_echo(unix_listen("fc.sock_3001"), false);
	serve_echo(echo_api, true);
	if (hk_vm_start(vm, &err)) {
		printf("Bail out! %s\n", err.text);
		return 1;
	}
	if (!await_ready(LIMIT_MS)) {
		verdict("the_guest_says_that_it_is_ready");
		return 1;
	}
	want_eof(early, "connected before the guest ran");
	verdict("the_guest_says_that_it_is_ready");
	control_fd = by_api(PORT_CONTROL);
	test_ways_in();
	test_ways_out();
	test_refused();
	test_many(conns, &many);
	test_to_guest(bytes, &to);
	test_from_guest(bytes, &from);
	test_slow_reader();
	test_ends();
	test_rebind();
	test_many(conns / 4, &(double){ 0 });
	printf("# %u connections each way: %.2f s; to guest %.1f MB/s, from guest %.1f MB/s\n", conns,
	       many, (double)bytes / to / 1e6, (double)bytes / from / 1e6);
	command("quit\n");
	if (hk_vm_wait(vm, LIMIT_MS, NULL))
		fail("the guest does not power off");
	verdict("the_guest_ends");
	hk_vm_destroy(vm);
	if (!access((snprintf(log, sizeof(log), "%s/connect", folder), log), F_OK))
		fail("%s is still there", log);
	verdict("no_socket_is_left_behind");
	printf("1..%u\n", tests);
	return bad != 0;
}
