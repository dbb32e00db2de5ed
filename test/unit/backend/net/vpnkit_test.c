// SPDX-License-Identifier: BSD-2-Clause
/* backend/net/vpnkit.c and conn.c: the greeting, byte by byte, and servers that come and go */
#include "rig.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "lib/frames.h"
#include "lib/vpnkit.h"

#define UUID "deadbeef-0123-4567-89ab-cdef01234567"

static const u8 mac[6] = { 0x02, 0x50, 0, 0, 0, 7 };

struct server {
	struct rig *r;
	struct sockaddr_un un;
	int listener, fd;
	pthread_t thread;
	struct vpnkit_hello h;
	unsigned refuse; /* so many times first */
	bool garbage;	 /* says hello to itself first */
};

static void *serve(void *arg)
{
	struct server *s = arg;

	for (;;) {
		s->fd = accept(s->listener, NULL, NULL);
		if (s->garbage) {
			s->garbage = false;
			assert_int_equal(write(s->fd, "HTTP/1.1 400 Bad Request, and many more bytes than that", 55), 55);
			close(s->fd);
			continue;
		}
		assert_true(vpnkit_hear(s->fd, &s->h));
		if (!s->refuse)
			break;
		s->refuse--;
		assert_true(vpnkit_refuse(s->fd, "no more addresses"));
		close(s->fd);
	}
	assert_true(vpnkit_accept(s->fd, 1400, mac));
	return NULL;
}

static void server_new(struct server *s)
{
	*s = (struct server){ .r = rig_new(), .fd = -1 };
	s->un.sun_family = AF_UNIX;
	snprintf(s->un.sun_path, sizeof(s->un.sun_path), "%s/sock", s->r->folder);
	s->listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(s->listener, (void *)&s->un, sizeof(s->un)), 0);
	assert_int_equal(listen(s->listener, 4), 0);
}

static void server_free(struct server *s)
{
	rig_free(s->r);
	close(s->listener);
	if (s->fd >= 0)
		close(s->fd);
}

static int open_with(struct server *s, const char *more, struct hk_err *err)
{
	char opts[320];

	snprintf(opts, sizeof(opts), "path=%s%s", s->un.sun_path, more);
	return rig_open(s->r, "vpnkit", opts, err);
}

static void open_served(struct server *s, const char *more)
{
	struct hk_err err = { "" };

	pthread_create(&s->thread, NULL, serve, s);
	if (open_with(s, more, &err))
		fail_msg("%s", err.text);
	pthread_join(s->thread, NULL);
}

static void the_greeting_is_as_written(void **state)
{
	/* From the protocol's description, not from the program */
	static const u8 want_hello[9] = { 'V', 'M', 'N', '3', 'T', 22, 0, 0, 0 };
	struct server s;
	u8 hello[49], answer[49], command[41], response[258] = { 1, 0xdc, 5, 0x0e, 6, 2, 4, 6, 8, 10, 12 };
	pid_t child;
	u8 got[6];
	int status;

	server_new(&s);
	child = fork();
	if (!child) {
		char opts[256];
		struct net_env env = { .loop = s.r->loop, .log = &s.r->log, .id = "n" };
		int rc;

		snprintf(opts, sizeof(opts), "path=%s,uuid=" UUID ",preferred_ipv4=192.168.65.10",
			 s.un.sun_path);
		rc = net_open(&s.r->net, "vpnkit", opts, &env, NULL);
		_exit(rc || !net_mac(s.r->net, got) || memcmp(got, "\2\4\6\10\12\14", 6) ||
		      net_mtu(s.r->net) != 1500);
	}
	s.fd = accept(s.listener, NULL, NULL);
	assert_true(vpnkit_read(s.fd, hello, 49));
	assert_memory_equal(hello, want_hello, 9);
	for (int i = 9; i < 49; i++)
		assert_non_null(strchr("0123456789abcdef", hello[i]));
	/* It waits for our hello before it goes on */
	assert_int_equal(recv(s.fd, command, 1, MSG_DONTWAIT), -1);
	memcpy(answer, hello, 49);
	answer[5] = 23; /* another version is no reason to stop */
	assert_int_equal(write(s.fd, answer, 49), 49);
	assert_true(vpnkit_read(s.fd, command, 41));
	assert_int_equal(command[0], 8);
	assert_memory_equal(command + 1, UUID, 36);
	assert_memory_equal(command + 37, "\x0a\x41\xa8\xc0", 4);
	/* In two pieces */
	assert_int_equal(write(s.fd, response, 7), 7);
	assert_int_equal(write(s.fd, response + 7, 251), 251);
	waitpid(child, &status, 0);
	assert_int_equal(status, 0);
	server_free(&s);
}

static void without_a_wish_the_command_is_1_and_the_uuid_random(void **state)
{
	struct server s, t;

	server_new(&s);
	open_served(&s, "");
	assert_int_equal(s.h.command, 1);
	assert_int_equal(s.h.ipv4, 0);
	assert_int_equal(s.h.uuid[14], '4');
	server_new(&t);
	open_served(&t, "");
	assert_string_not_equal(s.h.uuid, t.h.uuid);
	server_free(&s);
	server_free(&t);
}

static void the_mac_is_written_to_a_file_without_newline(void **state)
{
	struct server s;
	char more[128], path[96], text[32] = "";
	int fd;

	server_new(&s);
	snprintf(path, sizeof(path), "%s/mac", s.r->folder);
	snprintf(more, sizeof(more), ",macfile=%s", path);
	open_served(&s, more);
	fd = open(path, O_RDONLY);
	assert_int_equal(read(fd, text, sizeof(text)), 17);
	close(fd);
	assert_string_equal(text, "02:50:00:00:00:07");
	server_free(&s);
}

static void a_refusal_is_told_and_tried_again(void **state)
{
	struct server s;

	server_new(&s);
	s.refuse = 1;
	open_served(&s, ",wait=20");
	assert_non_null(strstr(s.r->log_text, "no more addresses"));
	server_free(&s);
}

static void a_server_that_is_no_vpnkit_is_tried_again(void **state)
{
	struct server s;

	server_new(&s);
	s.garbage = true;
	open_served(&s, ",wait=20");
	server_free(&s);
}

static void no_server_is_an_error_when_the_wait_is_over(void **state)
{
	struct hk_err err = { "" };
	struct server s;

	server_new(&s);
	close(s.listener);
	assert_int_equal(open_with(&s, ",wait=0", &err), -ECONNREFUSED);
	assert_non_null(strstr(err.text, "no VPNKit server"));
	server_free(&s);
}

static void a_server_that_says_nothing_is_an_error_too(void **state)
{
	struct hk_err err = { "" };
	struct server s;

	server_new(&s);
	assert_int_equal(open_with(&s, ",wait=0", &err), -ETIMEDOUT);
	server_free(&s);
}

static void bad_options_are_errors(void **state)
{
	static const char *const bad[] = { ",uuid=short", ",preferred_ipv4=1.2.3", ",bogus=1", ",wait=x" };
	struct server s;
	struct hk_err err;

	server_new(&s);
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		err.text[0] = '\0';
		assert_int_equal(open_with(&s, bad[i], &err), -EINVAL);
		assert_true(err.text[0]);
	}
	server_free(&s);
}

static size_t frame(u8 *f, size_t len)
{
	memset(f, 0x5a, len);
	frame_eth(f, frame_bcast, FRAME_TYPE);
	return len;
}

static void short_frames_are_filled_up_to_60_bytes(void **state)
{
	struct server s;
	u8 f[64], got[62];

	server_new(&s);
	open_served(&s, "");
	rig_start(s.r, 0, 0);
	assert_int_equal(rig_send(s.r, NULL, f, frame(f, 42)), 0);
	net_flush(s.r->net);
	assert_true(vpnkit_read(s.fd, got, 62));
	assert_int_equal(load_le16(got), 60);
	assert_memory_equal(got + 2, f, 42);
	for (int i = 44; i < 62; i++)
		assert_int_equal(got[i], 0);
	server_free(&s);
}

static void frames_larger_than_the_server_takes_are_dropped(void **state)
{
	struct server s;
	static u8 f[2000], got[2 + 1450];

	server_new(&s);
	open_served(&s, "");
	rig_start(s.r, 0, 0);
	assert_int_equal(rig_send(s.r, NULL, f, frame(f, 1451)), -EMSGSIZE);
	assert_int_equal(net_stats(s.r->net)->tx_dropped, 1);
	assert_int_equal(rig_send(s.r, NULL, f, frame(f, 1450)), 0);
	net_flush(s.r->net);
	assert_true(vpnkit_read(s.fd, got, sizeof(got)));
	assert_int_equal(load_le16(got), 1450);
	server_free(&s);
}

static bool down(void *arg)
{
	return !net_link(((struct rig *)arg)->net);
}

static bool up(void *arg)
{
	return net_link(((struct rig *)arg)->net);
}

static bool got_one(void *arg)
{
	return ((struct rig *)arg)->num_got > 0;
}

static void the_link_is_down_until_the_server_is_back_and_the_uuid_stays(void **state)
{
	struct server s;
	char uuid[37];
	u8 f[128], p[2 + 128];

	server_new(&s);
	open_served(&s, "");
	rig_start(s.r, 0, 0);
	memcpy(uuid, s.h.uuid, 37);
	for (unsigned round = 1; round <= 3; round++) {
		close(s.fd);
		assert_true(rig_wait(s.r, down, s.r));
		assert_int_equal(s.r->links, 2 * round - 1);
		assert_int_equal(rig_send(s.r, NULL, f, frame(f, 100)), -ENETDOWN);
		pthread_create(&s.thread, NULL, serve, &s);
		assert_true(rig_wait(s.r, up, s.r));
		pthread_join(s.thread, NULL);
		assert_int_equal(s.r->links, 2 * round);
		assert_string_equal(s.h.uuid, uuid);
		store_le16(p, 100);
		frame(p + 2, 100);
		assert_int_equal(write(s.fd, p, 102), 102);
		assert_true(rig_wait(s.r, got_one, s.r));
		rig_forget(s.r);
	}
	server_free(&s);
}

static void a_server_that_dies_while_we_wait_to_send_does_not_hang_us(void **state)
{
	struct server s;
	static u8 f[1400];
	int rc = 0;

	server_new(&s);
	open_served(&s, "");
	rig_start(s.r, 0, 0);
	for (unsigned i = 0; i < 100000 && !rc; i++)
		rc = rig_send(s.r, NULL, f, frame(f, 1400));
	assert_int_equal(rc, -EAGAIN);
	close(s.fd);
	assert_true(rig_wait(s.r, down, s.r));
	assert_int_equal(s.r->writables, 1);
	assert_int_equal(rig_send(s.r, NULL, f, frame(f, 1400)), -ENETDOWN);
	server_free(&s);
}

static void a_frame_of_no_bytes_ends_the_connection(void **state)
{
	struct server s;

	server_new(&s);
	open_served(&s, "");
	rig_start(s.r, 0, 0);
	assert_int_equal(write(s.fd, "\0\0", 2), 2);
	assert_true(rig_wait(s.r, down, s.r));
	server_free(&s);
}

static void a_frame_in_single_bytes_arrives(void **state)
{
	struct server s;
	u8 p[2 + 80];

	server_new(&s);
	open_served(&s, "");
	rig_start(s.r, 0, 0);
	store_le16(p, 80);
	frame(p + 2, 80);
	for (unsigned i = 0; i < sizeof(p); i++) {
		assert_int_equal(s.r->num_got, 0);
		assert_int_equal(write(s.fd, p + i, 1), 1);
		loop_step(s.r->loop, 20);
	}
	assert_int_equal(s.r->num_got, 1);
	assert_memory_equal(s.r->got[0].bytes, p + 2, 80);
	server_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_greeting_is_as_written),
		cmocka_unit_test(without_a_wish_the_command_is_1_and_the_uuid_random),
		cmocka_unit_test(the_mac_is_written_to_a_file_without_newline),
		cmocka_unit_test(a_refusal_is_told_and_tried_again),
		cmocka_unit_test(a_server_that_is_no_vpnkit_is_tried_again),
		cmocka_unit_test(no_server_is_an_error_when_the_wait_is_over),
		cmocka_unit_test(a_server_that_says_nothing_is_an_error_too),
		cmocka_unit_test(bad_options_are_errors),
		cmocka_unit_test(short_frames_are_filled_up_to_60_bytes),
		cmocka_unit_test(frames_larger_than_the_server_takes_are_dropped),
		cmocka_unit_test(the_link_is_down_until_the_server_is_back_and_the_uuid_stays),
		cmocka_unit_test(a_server_that_dies_while_we_wait_to_send_does_not_hang_us),
		cmocka_unit_test(a_frame_of_no_bytes_ends_the_connection),
		cmocka_unit_test(a_frame_in_single_bytes_arrives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
