// SPDX-License-Identifier: BSD-2-Clause
/* Sockets in a folder that lead to a guest's ports and back */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "backend/vsock/vsk.h"

struct rig {
	char dir[48];
	struct clock clock;
	struct loop *loop;
	struct vsk *k;
	/* the last that came */
	unsigned came;
	int fd;
	u32 port;
	bool hello;
};

static void incoming(void *arg, int fd, u32 port, bool hello)
{
	struct rig *r = arg;

	if (r->fd >= 0)
		close(r->fd);
	r->came++;
	r->fd = fd;
	r->port = port;
	r->hello = hello;
}

static int open_vsk(struct rig *r, struct hk_err *err)
{
	char uds[64];
	const struct vsk_peer peer = { incoming, r };
	const struct vsk_config cfg = { .guest_cid = 3, .dir = r->dir, .uds = uds,
					.forward = { 80, 0xabcdef01 }, .num_forwards = 2 };

	snprintf(uds, sizeof(uds), "%s/u.sock", r->dir);
	return vsk_open(&r->k, &cfg, &peer, r->loop, NULL, err);
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct hk_err err;

	snprintf(r->dir, sizeof(r->dir), "/tmp/hk-vsk-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	r->fd = -1;
	clock_init_host(&r->clock);
	assert_int_equal(loop_create(&r->loop, &r->clock, NULL), 0);
	if (open_vsk(r, &err))
		fail_msg("%s", err.text);
	assert_int_equal(vsk_start(r->k), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;
	char cmd[80];

	vsk_close(r->k);
	loop_destroy(r->loop);
	if (r->fd >= 0)
		close(r->fd);
	snprintf(cmd, sizeof(cmd), "rm -r %s", r->dir);
	assert_int_equal(system(cmd), 0);
	free(r);
	return 0;
}

static int dial(struct rig *r, const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/%s", r->dir, name);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)))
		fail_msg("%s: %s", a.sun_path, strerror(errno));
	return fd;
}

static void settle(struct rig *r)
{
	while (loop_step(r->loop, 0))
		;
}

static void say(struct rig *r, int fd, const char *s)
{
	assert_int_equal(send(fd, s, strlen(s), MSG_NOSIGNAL), strlen(s));
	settle(r);
}

static bool is_closed(int fd)
{
	char c;
	ssize_t n = recv(fd, &c, 1, MSG_DONTWAIT);

	return n == 0 || (n < 0 && errno == ECONNRESET);
}

static void the_bytes_behind_the_line_are_the_guests(void **state)
{
	struct rig *r = *state;
	int fd = dial(r, "connect");
	char buf[16] = "";

	say(r, fd, "00000003.00000050\nGET /");
	assert_int_equal(r->came, 1);
	assert_int_equal(r->port, 80);
	assert_false(r->hello);
	assert_int_equal(recv(r->fd, buf, sizeof(buf), 0), 5);
	assert_string_equal(buf, "GET /");
	close(fd);
}

static void a_line_may_come_byte_by_byte(void **state)
{
	struct rig *r = *state;
	const char *line = "CONNECT 1024\n";
	int fd = dial(r, "u.sock");
	char buf[16] = "";

	for (const char *p = line; *p; p++) {
		assert_int_equal(r->came, 0);
		say(r, fd, (char[2]){ *p, 0 });
	}
	assert_int_equal(r->came, 1);
	assert_int_equal(r->port, 1024);
	assert_true(r->hello);
	assert_int_equal(vsk_say_ok(r->fd, 70000), 0);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 9);
	assert_string_equal(buf, "OK 70000\n");
	close(fd);
}

static void nonsense_half_lines_and_other_cids_are_closed(void **state)
{
	struct rig *r = *state;
	static const char *const line[] = { "00000004.00000050\n", "hello, world! hello!\n", "\n" };

	for (unsigned i = 0; i < 3; i++) {
		int fd = dial(r, "connect");

		say(r, fd, line[i]);
		assert_true(is_closed(fd));
		close(fd);
	}
	int fd = dial(r, "connect");

	say(r, fd, "00000003.");
	assert_false(is_closed(fd));
	close(fd);
	settle(r);
	assert_int_equal(r->came, 0);
}

static void the_silent_do_not_hold_up_the_others(void **state)
{
	struct rig *r = *state;
	int silent[50], fd;

	for (unsigned i = 0; i < 50; i++)
		silent[i] = dial(r, "connect");
	settle(r);
	fd = dial(r, "connect");
	say(r, fd, "00000003.00000051\n");
	assert_int_equal(r->came, 1);
	vsk_stop(r->k);
	for (unsigned i = 0; i < 50; i++) {
		assert_true(is_closed(silent[i]));
		close(silent[i]);
	}
	close(fd);
}

static void a_forward_needs_no_line(void **state)
{
	struct rig *r = *state;
	char target[64] = "", path[96];
	int a = dial(r, "00000003.00000050"), b;

	settle(r);
	assert_int_equal(r->came, 1);
	assert_int_equal(r->port, 80);
	b = dial(r, "guest.abcdef01");
	settle(r);
	assert_int_equal(r->came, 2);
	assert_int_equal(r->port, 0xabcdef01);
	snprintf(path, sizeof(path), "%s/guest.abcdef01", r->dir);
	assert_true(readlink(path, target, sizeof(target)) > 0);
	assert_string_equal(target, "00000003.abcdef01");
	close(a);
	close(b);
}

static void host_programs_are_found_by_either_name(void **state)
{
	struct rig *r = *state;
	static const char *const name[] = { "00000002.00000100", "u.sock_257" };
	int fd;

	for (u32 i = 0; i < 2; i++) {
		struct sockaddr_un a = { .sun_family = AF_UNIX };
		int l = socket(AF_UNIX, SOCK_STREAM, 0);

		assert_int_equal(vsk_connect(r->k, 256 + i, &fd), -ENOENT);
		snprintf(a.sun_path, sizeof(a.sun_path), "%s/%s", r->dir, name[i]);
		assert_int_equal(bind(l, (struct sockaddr *)&a, sizeof(a)), 0);
		assert_int_not_equal(vsk_connect(r->k, 256 + i, &fd), 0);
		assert_int_equal(listen(l, 0), 0);
		assert_int_equal(vsk_connect(r->k, 256 + i, &fd), 0);
		close(fd);
		close(l);
	}
}

static void a_full_backlog_is_try_again(void **state)
{
	struct rig *r = *state;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int l = socket(AF_UNIX, SOCK_STREAM, 0), fd[16], n = 0, rc = 0;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/00000002.00000100", r->dir);
	assert_int_equal(bind(l, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(l, 0), 0);
	while (n < 16 && !(rc = vsk_connect(r->k, 256, &fd[n])))
		n++;
	assert_int_equal(rc, -EAGAIN);
	while (n)
		close(fd[--n]);
	close(l);
}

static void sockets_of_an_earlier_run_are_replaced_and_ours_removed(void **state)
{
	struct rig *r = *state, other = *r;
	struct hk_err err = { "" };
	char path[96];
	struct stat st;

	/* A second one takes the names over; the first must not remove what is not its own */
	other.k = NULL;
	if (open_vsk(&other, &err))
		fail_msg("%s", err.text);
	vsk_close(r->k);
	r->k = NULL;
	snprintf(path, sizeof(path), "%s/connect", r->dir);
	assert_int_equal(lstat(path, &st), 0);
	vsk_close(other.k);
	assert_int_equal(lstat(path, &st), -1);
	snprintf(path, sizeof(path), "%s/guest.00000050", r->dir);
	assert_int_equal(lstat(path, &st), -1);
}

static void a_file_in_the_way_is_not_removed(void **state)
{
	struct rig *r = *state;
	struct hk_err err = { "" };
	char path[96];
	FILE *f;

	vsk_close(r->k);
	r->k = NULL;
	snprintf(path, sizeof(path), "%s/connect", r->dir);
	f = fopen(path, "w");
	fclose(f);
	assert_int_equal(open_vsk(r, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, path));
	assert_int_equal(access(path, F_OK), 0);
}

/* Clients wait in the backlog meanwhile; the loop does not spin */
static void without_descriptors_the_listener_rests(void **state)
{
	struct rig *r = *state;
	struct rlimit old, lim;
	int fd[8], top, ran = 0;

	for (unsigned i = 0; i < 8; i++)
		fd[i] = dial(r, "connect");
	getrlimit(RLIMIT_NOFILE, &old);
	lim = old;
	top = dup(0);
	lim.rlim_cur = (rlim_t)top;
	close(top);
	setrlimit(RLIMIT_NOFILE, &lim);
	for (unsigned i = 0; i < 50; i++)
		ran += loop_step(r->loop, 0);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_in_range(ran, 1, 5);
	assert_int_equal(send(fd[7], "00000003.00000009\n", 18, 0), 18);
	for (unsigned i = 0; i < 100 && !r->came; i++)
		loop_step(r->loop, 100);
	assert_int_equal(r->came, 1);
	for (unsigned i = 0; i < 8; i++)
		close(fd[i]);
}

#define with_rig(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_rig(the_bytes_behind_the_line_are_the_guests),
		with_rig(a_line_may_come_byte_by_byte),
		with_rig(nonsense_half_lines_and_other_cids_are_closed),
		with_rig(the_silent_do_not_hold_up_the_others),
		with_rig(a_forward_needs_no_line),
		with_rig(host_programs_are_found_by_either_name),
		with_rig(a_full_backlog_is_try_again),
		with_rig(sockets_of_an_earlier_run_are_replaced_and_ours_removed),
		with_rig(a_file_in_the_way_is_not_removed),
		with_rig(without_descriptors_the_listener_rests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
