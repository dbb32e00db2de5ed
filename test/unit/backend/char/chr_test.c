// SPDX-License-Identifier: BSD-2-Clause
/* Byte streams to terminals, files and callbacks, and back */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "backend/char/chr.h"

#define MAX_IN 65536u
#define FOREVER_MS 20000

struct rig {
	char dir[64];
	struct clock clock;
	struct loop *loop;
	struct chr *chr;
	/* front end */
	size_t room; /* how much it still takes */
	u8 in[MAX_IN];
	size_t in_len;
	/* output callback */
	u8 out[MAX_IN];
	size_t out_len;
	unsigned out_calls;
};

static size_t peer_room(void *arg)
{
	return ((struct rig *)arg)->room;
}

static void peer_input(void *arg, const u8 *bytes, size_t n)
{
	struct rig *r = arg;

	assert_true(n && n <= r->room && r->in_len + n <= MAX_IN);
	memcpy(r->in + r->in_len, bytes, n);
	r->in_len += n;
	r->room -= n;
}

static void output(void *arg, const uint8_t *bytes, size_t n)
{
	struct rig *r = arg;

	assert_true(r->out_len + n <= MAX_IN);
	memcpy(r->out + r->out_len, bytes, n);
	r->out_len += n;
	r->out_calls++;
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	snprintf(r->dir, sizeof(r->dir), "/tmp/hk-chr-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	clock_init_host(&r->clock);
	assert_int_equal(loop_create(&r->loop, &r->clock, NULL), 0);
	r->room = MAX_IN;
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;
	char cmd[128];

	chr_close(r->chr);
	loop_destroy(r->loop);
	snprintf(cmd, sizeof(cmd), "rm -r %s", r->dir);
	assert_int_equal(system(cmd), 0);
	free(r);
	return 0;
}

static void open_cfg(struct rig *r, const struct hk_serial_config *cfg)
{
	struct chr_peer peer = { peer_room, peer_input, r };
	struct hk_err err = { "" };

	if (chr_open(&r->chr, cfg, r->loop, NULL, &err))
		fail_msg("%s", err.text);
	chr_attach(r->chr, &peer);
	assert_int_equal(chr_start(r->chr), 0);
}

static void put(struct rig *r, const char *text)
{
	chr_write(r->chr, (const u8 *)text, strlen(text));
}

/* Step until @n bytes came in */
static void await_input(struct rig *r, size_t n)
{
	unsigned tries = 0;

	while (r->in_len < n && tries++ < 1000)
		loop_step(r->loop, 20);
	assert_int_equal(r->in_len, n);
}

static void quiet(struct rig *r)
{
	while (loop_step(r->loop, 5))
		;
}

/* Exactly @n bytes from @fd, or failure */
static void read_all(int fd, void *buf, size_t n)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t got = 0;
	ssize_t k;

	while (got < n) {
		assert_int_equal(poll(&p, 1, FOREVER_MS), 1);
		k = read(fd, (char *)buf + got, n - got);
		assert_true(k > 0);
		got += (size_t)k;
	}
}

static u64 now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000 + (u64)t.tv_nsec / 1000000;
}

static int flags_of(int fd)
{
	return fcntl(fd, F_GETFL);
}

/* Byte @i of a stream that never repeats itself in step with buffers */
static u8 pattern(size_t i)
{
	return (u8)(i * 31 + i / 251);
}

/* ---- output ---- */

static void a_line_goes_out_whole(void **state)
{
	struct hk_serial_config cfg = HK_SERIAL_CONFIG_INIT;
	struct rig *r = *state;
	const char *c;

	cfg.output = output;
	cfg.output_arg = r;
	open_cfg(r, &cfg);
	for (c = "one line\n"; *c; c++)
		chr_write(r->chr, (const u8 *)c, 1);
	assert_int_equal(r->out_calls, 1);
	assert_int_equal(r->out_len, 9);
	assert_memory_equal(r->out, "one line\n", 9);
}

static void a_prompt_without_newline_goes_out_soon(void **state)
{
	struct hk_serial_config cfg = HK_SERIAL_CONFIG_INIT;
	struct rig *r = *state;
	unsigned tries = 0;

	cfg.output = output;
	cfg.output_arg = r;
	open_cfg(r, &cfg);
	put(r, "login: ");
	while (!r->out_len && tries++ < 100)
		loop_step(r->loop, 20);
	assert_int_equal(r->out_len, 7);
	quiet(r);
	assert_int_equal(r->out_calls, 1);
}

static void stop_flushes_what_waits(void **state)
{
	struct hk_serial_config cfg = HK_SERIAL_CONFIG_INIT;
	struct rig *r = *state;
	char buf[8];
	int p[2];

	assert_int_equal(pipe(p), 0);
	cfg.out_fd = p[1];
	open_cfg(r, &cfg);
	put(r, "bye");
	chr_stop(r->chr);
	read_all(p[0], buf, 3);
	assert_memory_equal(buf, "bye", 3);
	/* and again later: stop and start do not lose anything */
	assert_int_equal(chr_start(r->chr), 0);
	put(r, "re\n");
	read_all(p[0], buf, 3);
	close(p[0]);
	close(p[1]);
}

struct slow {
	int fd;
	size_t n;
	bool good;
};

static void *slow_reader(void *arg)
{
	struct slow *s = arg;
	size_t got = 0, i;
	u8 buf[700];
	ssize_t n;

	s->good = true;
	while ((n = read(s->fd, buf, sizeof(buf))) > 0) {
		for (i = 0; i < (size_t)n; i++)
			s->good &= buf[i] == pattern(got + i);
		got += (size_t)n;
		sched_yield();
	}
	s->n = got;
	return NULL;
}

static void a_slow_pipe_gets_every_byte(void **state)
{
	struct hk_serial_config cfg = HK_SERIAL_CONFIG_INIT;
	struct rig *r = *state;
	const size_t total = 2 << 20;
	struct slow s = { 0 };
	pthread_t t;
	size_t i;
	int p[2];
	u8 b;

	assert_int_equal(pipe(p), 0);
	s.fd = p[0];
	cfg.out_fd = p[1];
	open_cfg(r, &cfg);
	assert_int_equal(loop_start(r->loop, "test", NULL), 0);
	assert_int_equal(pthread_create(&t, NULL, slow_reader, &s), 0);
	for (i = 0; i < total; i++) {
		b = pattern(i);
		chr_write(r->chr, &b, 1);
	}
	chr_stop(r->chr);
	loop_stop(r->loop);
	chr_close(r->chr);
	r->chr = NULL;
	close(p[1]);
	pthread_join(t, NULL);
	assert_int_equal(s.n, total);
	assert_true(s.good);
	close(p[0]);
}

static void a_stuck_pipe_holds_the_guest_up_once_and_works_again(void **state)
{
	struct hk_serial_config cfg = HK_SERIAL_CONFIG_INIT;
	struct rig *r = *state;
	static u8 buf[1 << 20];
	struct pollfd pfd;
	u64 start;
	int p[2];
	unsigned i;

	assert_int_equal(pipe(p), 0);
	cfg.out_fd = p[1];
	open_cfg(r, &cfg);
	memset(buf, 'x', sizeof(buf));
	start = now_ms();
	for (i = 0; i < 16; i++)
		chr_write(r->chr, buf, sizeof(buf));
	assert_in_range(now_ms() - start, 80, 5000);
	/* the caller's end is as it was */
	assert_int_equal(flags_of(p[1]) & O_NONBLOCK, 0);
	/* somebody reads again: what is new arrives */
	pfd = (struct pollfd){ .fd = p[0], .events = POLLIN };
	while (poll(&pfd, 1, 0) == 1) {
		assert_true(read(p[0], buf, sizeof(buf)) > 0);
		loop_step(r->loop, 0);
	}
	put(r, "alive\n");
	read_all(p[0], buf, 6);
	assert_memory_equal(buf, "alive\n", 6);
	close(p[0]);
	close(p[1]);
}

static void a_closed_pipe_is_no_signal(void **state)
{
	struct hk_serial_config cfg = HK_SERIAL_CONFIG_INIT;
	struct rig *r = *state;
	int p[2];

	assert_int_equal(pipe(p), 0);
	cfg.out_fd = p[1];
	cfg.output = output;
	cfg.output_arg = r;
	open_cfg(r, &cfg);
	close(p[0]);
	put(r, "nobody\n");
	put(r, "listens\n");
	assert_int_equal(r->out_len, 15);
	close(p[1]);
}

static void a_socket_works_both_ways(void **state)
{
	struct hk_serial_config cfg = HK_SERIAL_CONFIG_INIT;
	struct rig *r = *state;
	char buf[8];
	int s[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	cfg.in_fd = cfg.out_fd = s[1];
	open_cfg(r, &cfg);
	put(r, "ping\n");
	read_all(s[0], buf, 5);
	assert_int_equal(write(s[0], "pong", 4), 4);
	await_input(r, 4);
	assert_memory_equal(r->in, "pong", 4);
	close(s[0]);
	put(r, "gone\n");
	put(r, "gone\n");
	close(s[1]);
}

static void the_ring_log_holds_the_last_64_kib(void **state)
{
	struct hk_serial_config cfg = HK_SERIAL_CONFIG_INIT;
	struct rig *r = *state;
	const size_t total = 65536 + 1000;
	static u8 file[65536];
	char path[96];
	struct stat st;
	size_t i;
	int fd;
	u8 b;

	snprintf(path, sizeof(path), "%s/ring", r->dir);
	cfg.ring_file = path;
	open_cfg(r, &cfg);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 65536);
	put(r, "ab\n");
	fd = open(path, O_RDONLY);
	read_all(fd, file, sizeof(file));
	assert_memory_equal(file, "ab\n\0", 4);
	for (i = 3; i < total; i++) {
		b = pattern(i);
		chr_write(r->chr, &b, 1);
	}
	chr_stop(r->chr);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	read_all(fd, file, sizeof(file));
	for (i = total - 65536; i < total; i++)
		assert_int_equal(file[i % 65536], pattern(i));
	/* emptied by somebody under our feet */
	assert_int_equal(truncate(path, 0), 0);
	put(r, "still here\n");
	close(fd);
}

/* ---- input ---- */

static int file_with(struct rig *r, const u8 *bytes, size_t n)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "%s/input", r->dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), n);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static void a_regular_file_is_read_to_its_end_as_the_guest_takes_it(void **state)
{
	struct hk_serial_config cfg = HK_SERIAL_CONFIG_INIT;
	struct rig *r = *state;
	u8 bytes[5000];
	size_t i;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = pattern(i);
	cfg.in_fd = file_with(r, bytes, sizeof(bytes));
	r->room = 16;
	open_cfg(r, &cfg);
	quiet(r);
	assert_int_equal(r->in_len, 16);
	while (r->in_len < sizeof(bytes)) {
		r->room = MIN(16, sizeof(bytes) - r->in_len);
		chr_room(r->chr);
		quiet(r);
		assert_int_equal(r->room, 0);
	}
	assert_memory_equal(r->in, bytes, sizeof(bytes));
	/* at its end the loop has nothing to do */
	r->room = 16;
	chr_room(r->chr);
	quiet(r);
	assert_int_equal(loop_step(r->loop, 0), 0);
	close(cfg.in_fd);
}

static void dev_null_is_a_quiet_input(void **state)
{
	struct hk_serial_config cfg = HK_SERIAL_CONFIG_INIT;
	struct rig *r = *state;

	cfg.in_fd = cfg.out_fd = open("/dev/null", O_RDWR);
	assert_true(cfg.in_fd >= 0);
	open_cfg(r, &cfg);
	quiet(r);
	put(r, "void\n");
	assert_int_equal(loop_step(r->loop, 0), 0);
	assert_int_equal(r->in_len, 0);
	close(cfg.in_fd);
}

static void end_of_a_pipe_stops_watching_it(void **state)
{
	struct hk_serial_config cfg = HK_SERIAL_CONFIG_INIT;
	struct rig *r = *state;
	int p[2];

	assert_int_equal(pipe(p), 0);
	cfg.in_fd = p[0];
	r->room = 2;
	open_cfg(r, &cfg);
	assert_int_equal(write(p[1], "abcd", 4), 4);
	close(p[1]);
	await_input(r, 2);
	/* hung up, bytes left, no room: nothing spins */
	quiet(r);
	assert_int_equal(loop_step(r->loop, 0), 0);
	r->room = 10;
	chr_room(r->chr);
	await_input(r, 4);
	assert_memory_equal(r->in, "abcd", 4);
	quiet(r);
	assert_int_equal(loop_step(r->loop, 0), 0);
	close(p[0]);
}

static void the_callers_descriptor_blocks_again_after_close(void **state)
{
	struct hk_serial_config cfg = HK_SERIAL_CONFIG_INIT;
	struct rig *r = *state;
	int p[2], q[2];

	assert_int_equal(pipe(p), 0);
	assert_int_equal(pipe2(q, O_NONBLOCK), 0);
	cfg.in_fd = p[0];
	open_cfg(r, &cfg);
	assert_int_equal(flags_of(p[0]) & O_NONBLOCK, O_NONBLOCK);
	chr_close(r->chr);
	assert_int_equal(flags_of(p[0]) & O_NONBLOCK, 0);
	/* one that did not block stays so */
	cfg.in_fd = q[0];
	open_cfg(r, &cfg);
	chr_close(r->chr);
	r->chr = NULL;
	assert_int_equal(flags_of(q[0]) & O_NONBLOCK, O_NONBLOCK);
	close(p[0]);
	close(p[1]);
	close(q[0]);
	close(q[1]);
}

static void fed_bytes_arrive_and_are_bounded(void **state)
{
	struct rig *r = *state;
	static u8 many[100000];
	size_t n;

	r->room = 3;
	open_cfg(r, NULL);
	assert_int_equal(chr_feed(r->chr, (const u8 *)"hello", 5), 5);
	await_input(r, 3);
	n = chr_feed(r->chr, many, sizeof(many));
	assert_in_range(n, 1000, sizeof(many) - 1);
	assert_int_equal(chr_feed(r->chr, many, 1), 0);
	r->room = MAX_IN;
	chr_room(r->chr);
	await_input(r, 5 + n);
	assert_memory_equal(r->in, "hello\0", 6);
	assert_int_equal(chr_feed(r->chr, many, 1), 1);
}

static void after_stop_nothing_comes_in(void **state)
{
	struct hk_serial_config cfg = HK_SERIAL_CONFIG_INIT;
	struct rig *r = *state;
	int p[2];

	assert_int_equal(pipe(p), 0);
	cfg.in_fd = p[0];
	open_cfg(r, &cfg);
	quiet(r);
	chr_stop(r->chr);
	assert_int_equal(write(p[1], "x", 1), 1);
	chr_feed(r->chr, (const u8 *)"y", 1);
	chr_room(r->chr);
	quiet(r);
	assert_int_equal(r->in_len, 0);
	assert_int_equal(chr_start(r->chr), 0);
	await_input(r, 2);
	close(p[0]);
	close(p[1]);
}

/* ---- pty ---- */

static int slave_open(struct rig *r)
{
	const char *name = chr_pty_name(r->chr);
	int fd;

	assert_non_null(name);
	fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_true(isatty(fd));
	return fd;
}

static void a_pty_works_both_ways_without_echo(void **state)
{
	struct hk_serial_config cfg = HK_SERIAL_CONFIG_INIT;
	struct rig *r = *state;
	char buf[16];
	int fd;

	cfg.pty = 1;
	open_cfg(r, &cfg);
	fd = slave_open(r);
	put(r, "boot: \r\n");
	read_all(fd, buf, 8);
	assert_memory_equal(buf, "boot: \r\n", 8);
	assert_int_equal(write(fd, "linux\r", 6), 6);
	await_input(r, 6);
	assert_memory_equal(r->in, "linux\r", 6);
	quiet(r);
	assert_int_equal(r->in_len, 6);
	/* users come and go */
	close(fd);
	quiet(r);
	assert_int_equal(loop_step(r->loop, 0), 0);
	fd = slave_open(r);
	assert_int_equal(write(fd, "!", 1), 1);
	await_input(r, 7);
	close(fd);
}

static void a_pty_that_nobody_reads_never_holds_the_guest_up(void **state)
{
	struct hk_serial_config cfg = HK_SERIAL_CONFIG_INIT;
	struct rig *r = *state;
	char all[200000], line[32];
	struct pollfd pfd;
	size_t n = 0;
	unsigned i;
	u64 start;
	ssize_t k;
	int fd;

	cfg.pty = 1;
	open_cfg(r, &cfg);
	start = now_ms();
	for (i = 0; i < 50000; i++) {
		snprintf(line, sizeof(line), "line %u\n", i);
		put(r, line);
	}
	assert_in_range(now_ms() - start, 0, 10000);
	/* whoever comes late finds the newest output */
	fd = slave_open(r);
	pfd = (struct pollfd){ .fd = fd, .events = POLLIN };
	for (i = 0; i < 10000; i++) {
		quiet(r);
		if (poll(&pfd, 1, 0) != 1)
			break;
		k = read(fd, all + n, sizeof(all) - 1 - n);
		assert_true(k > 0);
		n += (size_t)k;
	}
	all[n] = 0;
	assert_non_null(strstr(all, "line 49999\n"));
	assert_non_null(strstr(all, "line 49000\n"));
	close(fd);
}

static void the_pty_file_is_a_file_with_the_name_and_no_newline(void **state)
{
	struct hk_serial_config cfg = HK_SERIAL_CONFIG_INIT;
	struct rig *r = *state;
	char path[96], buf[128] = "";
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/tty", r->dir);
	/* what older releases left behind */
	assert_int_equal(symlink("/dev/pts/999999", path), 0);
	cfg.pty = 1;
	cfg.pty_file = path;
	open_cfg(r, &cfg);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0644);
	fd = open(path, O_RDONLY);
	assert_true(read(fd, buf, sizeof(buf) - 1) > 0);
	assert_string_equal(buf, chr_pty_name(r->chr));
	close(fd);
}

static void a_terminal_device_is_opened_raw_and_put_back(void **state)
{
	struct hk_serial_config cfg = HK_SERIAL_CONFIG_INIT;
	struct rig *r = *state;
	struct termios before, during, after;
	int master, slave;
	char name[64], c;

	master = posix_openpt(O_RDWR | O_NOCTTY);
	assert_true(master >= 0);
	assert_int_equal(grantpt(master) | unlockpt(master), 0);
	assert_int_equal(ptsname_r(master, name, sizeof(name)), 0);
	slave = open(name, O_RDWR | O_NOCTTY);
	assert_int_equal(tcgetattr(slave, &before), 0);
	cfg.device = name;
	open_cfg(r, &cfg);
	assert_int_equal(tcgetattr(slave, &during), 0);
	assert_int_equal(during.c_lflag & (ECHO | ICANON | ISIG), 0);
	put(r, "a\n");
	read_all(master, &c, 1);
	assert_int_equal(c, 'a');
	assert_int_equal(write(master, "\x03", 1), 1);
	await_input(r, 1);
	chr_close(r->chr);
	r->chr = NULL;
	assert_int_equal(tcgetattr(slave, &after), 0);
	assert_int_equal(after.c_lflag, before.c_lflag);
	close(slave);
	close(master);
}

/* ---- mistakes ---- */

static void set_up_mistakes_are_told_in_words(void **state)
{
	static const struct { struct hk_serial_config cfg; int rc; const char *word; } row[] = {
		{ { .in_fd = -1, .out_fd = -1, .device = "/etc/passwd" }, -ENOTTY, "/etc/passwd" },
		{ { .in_fd = -1, .out_fd = -1, .device = "/nowhere/x" }, -ENOENT, "/nowhere/x" },
		{ { .in_fd = -1, .out_fd = -1, .ring_file = "/nowhere/r" }, -ENOENT, "/nowhere/r" },
		{ { .in_fd = -1, .out_fd = -1, .pty = 1, .pty_file = "/nowhere/t" }, -ENOENT, "/nowhere/t" },
		{ { .in_fd = 0, .out_fd = -1, .pty = 1 }, -EINVAL, "more than one" },
		{ { .in_fd = 987, .out_fd = -1 }, -EBADF, "987" },
	};
	struct rig *r = *state;
	struct hk_err err;
	struct chr *c;
	unsigned i;

	for (i = 0; i < ARRAY_LEN(row); i++) {
		struct hk_serial_config cfg = row[i].cfg;

		cfg.size = sizeof(cfg);
		err.text[0] = 0;
		assert_int_equal(chr_open(&c, &cfg, r->loop, NULL, &err), row[i].rc);
		if (!strstr(err.text, row[i].word))
			fail_msg("row %u: \"%s\" has no \"%s\"", i, err.text, row[i].word);
	}
	assert_int_equal(chr_open_opts(&c, "/nowhere/y", r->loop, NULL, &err), -ENOENT);
	assert_int_equal(chr_open_opts(&c, "null,log=", r->loop, NULL, &err), -EINVAL);
}

static void words_of_hyperkit_are_understood(void **state)
{
	struct rig *r = *state;
	char opts[256], path[96], buf[8];
	int fd;

	assert_int_equal(chr_open_opts(&r->chr, NULL, r->loop, NULL, NULL), 0);
	assert_null(chr_pty_name(r->chr));
	chr_close(r->chr);
	assert_int_equal(chr_open_opts(&r->chr, "autopty,null", r->loop, NULL, NULL), 0);
	assert_null(chr_pty_name(r->chr)); /* the last one wins */
	chr_close(r->chr);
	snprintf(path, sizeof(path), "%s/ring", r->dir);
	snprintf(opts, sizeof(opts), "log=%s,autopty=%s/tty", path, r->dir);
	assert_int_equal(chr_open_opts(&r->chr, opts, r->loop, NULL, NULL), 0);
	assert_non_null(chr_pty_name(r->chr));
	assert_int_equal(chr_start(r->chr), 0);
	put(r, "hi\n");
	fd = open(path, O_RDONLY);
	read_all(fd, buf, 4);
	assert_memory_equal(buf, "hi\n", 4);
	close(fd);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_line_goes_out_whole),
		T(a_prompt_without_newline_goes_out_soon),
		T(stop_flushes_what_waits),
		T(a_slow_pipe_gets_every_byte),
		T(a_stuck_pipe_holds_the_guest_up_once_and_works_again),
		T(a_closed_pipe_is_no_signal),
		T(a_socket_works_both_ways),
		T(the_ring_log_holds_the_last_64_kib),
		T(a_regular_file_is_read_to_its_end_as_the_guest_takes_it),
		T(dev_null_is_a_quiet_input),
		T(end_of_a_pipe_stops_watching_it),
		T(the_callers_descriptor_blocks_again_after_close),
		T(fed_bytes_arrive_and_are_bounded),
		T(after_stop_nothing_comes_in),
		T(a_pty_works_both_ways_without_echo),
		T(a_pty_that_nobody_reads_never_holds_the_guest_up),
		T(the_pty_file_is_a_file_with_the_name_and_no_newline),
		T(a_terminal_device_is_opened_raw_and_put_back),
		T(set_up_mistakes_are_told_in_words),
		T(words_of_hyperkit_are_understood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
