// SPDX-License-Identifier: BSD-2-Clause
/* virtio-console: the control conversation, bytes both ways, slow and absent host sides */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/fake.h"

#define SIZE BIT64(0)
#define MULTIPORT BIT64(1)

enum { READY, ADD, REMOVE, PORT_READY, CONSOLE, RESIZE, OPEN, NAME };

struct rig {
	struct fake *f;
	struct dev *d;
	struct gvio *g;
	char dir[64], path[96], opts[256];
	int client;
	u32 rx_head[128];
	gpa_t rx_buf[128];
};

static struct rig *begin(const char *opts, u64 want, unsigned flags)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct hk_err err = { "" };

	snprintf(r->dir, sizeof(r->dir), "/tmp/con-test.XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->path, sizeof(r->path), "%s/x", r->dir);
	if (opts)
		snprintf(r->opts, sizeof(r->opts), opts, r->path);
	r->client = -1;
	r->f = fake_new();
	r->d = fake_dev(r->f, "virtio-console", 6, opts ? r->opts : NULL, &err);
	if (!r->d)
		fail_msg("%s", err.text);
	r->g = gvio_open(r->f, r->d, want, flags);
	return r;
}

static void end(struct rig *r)
{
	gvio_close(r->g);
	fake_dev_free(r->d);
	if (r->client >= 0)
		close(r->client);
	fake_free(r->f);
	unlink(r->path);
	assert_int_equal(rmdir(r->dir), 0);
	free(r);
}

static int dial(struct rig *r)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", r->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	fake_step(r->f);
	return fd;
}

/* Give queue @q a buffer of @len bytes */
static gpa_t give(struct rig *r, unsigned q, u32 len)
{
	struct gseg seg = { fake_alloc(r->f, len, 8), len, true };

	assert_true(gvq_add(r->g, q, &seg, 1) >= 0);
	gvio_kick_if_wanted(r->g, q);
	fake_step(r->f);
	return seg.gpa;
}

/* The next control message must be this one; returns its payload's length */
static u32 expect(struct rig *r, u32 id, u16 event, u16 value, void *payload)
{
	gpa_t at = give(r, 2, 64);
	const u8 *b = fake_ptr(r->f, at, 64);
	u32 n;

	assert_true(gvq_get(r->g, 2, &n) >= 0);
	assert_true(n >= 8);
	assert_int_equal(load_le32(b), id);
	assert_int_equal(load_le16(b + 4), event);
	assert_int_equal(load_le16(b + 6), value);
	if (payload)
		memcpy(payload, b + 8, n - 8);
	return n - 8;
}

static void say(struct rig *r, u32 id, u16 event, u16 value)
{
	u8 b[8];

	store_le32(b, id);
	store_le16(b + 4, event);
	store_le16(b + 6, value);
	gvio_request(r->g, 3, b, 8, NULL, 0);
}

static void a_single_console_is_of_the_simple_kind(void **s)
{
	struct rig *r = begin("file=%s", ~0ull, 0);
	u16 size[2] = { 132, 43 };
	char got[8] = "";
	int fd;

	assert_int_equal(r->g->num_queues, 2);
	assert_int_equal(r->g->features & (SIZE | MULTIPORT), SIZE);
	assert_int_equal(gvio_config(r->g, 0, 4), 25 << 16 | 80);
	gvio_request(r->g, 1, "hello\n", 6, NULL, 0);
	fake_advance(r->f, 10000000);
	fd = open(r->path, O_RDONLY);
	assert_int_equal(read(fd, got, 8), 6);
	assert_string_equal(got, "hello\n");
	close(fd);
	/* the terminal's size */
	gvio_irqs(r->g, GVIO_CONFIG_IRQ);
	assert_int_equal(r->d->cls->control(r->d, DEV_CONSOLE_SIZE, size), 0);
	fake_step(r->f);
	assert_int_equal(gvio_irqs(r->g, GVIO_CONFIG_IRQ), 1);
	assert_int_equal(gvio_config(r->g, 0, 4), 43 << 16 | 132);
	end(r);
	(void)s;
}

static void emergency_writes_need_no_queues(void **s)
{
	struct rig *r = begin("file=%s", 0, GVIO_NO_START);
	char got[8] = "";
	int fd;

	gvio_set_status(r->g, 0);
	gvio_config_write(r->g, 8, 'p', 4);
	gvio_config_write(r->g, 8, '\n', 4);
	fake_advance(r->f, 10000000);
	fd = open(r->path, O_RDONLY);
	assert_int_equal(read(fd, got, 8), 2);
	assert_string_equal(got, "p\n");
	close(fd);
	end(r);
	(void)s;
}

static void ports_introduce_themselves(void **s)
{
	struct rig *r = begin("null,port=org.test.0,socket=%s", ~0ull, 0);
	u8 payload[64];

	assert_int_equal(r->g->num_queues, 6);
	assert_int_equal(gvio_config(r->g, 4, 4), 2);
	say(r, 0xffffffff, READY, 1);
	expect(r, 0, ADD, 1, NULL);
	expect(r, 1, ADD, 1, NULL);
	say(r, 0, PORT_READY, 1);
	expect(r, 0, CONSOLE, 1, NULL);
	assert_int_equal(expect(r, 0, RESIZE, 0, payload), 4);
	assert_int_equal(load_le16(payload), 80);
	assert_int_equal(load_le16(payload + 2), 25);
	expect(r, 0, OPEN, 1, NULL);
	say(r, 1, PORT_READY, 1);
	assert_int_equal(expect(r, 1, NAME, 1, payload), 10);
	assert_memory_equal(payload, "org.test.0", 10);
	/* a client comes and goes */
	r->client = dial(r);
	expect(r, 1, OPEN, 1, NULL);
	close(r->client);
	r->client = -1;
	fake_step(r->f);
	expect(r, 1, OPEN, 0, NULL);
	r->client = dial(r);
	expect(r, 1, OPEN, 1, NULL);
	end(r);
	(void)s;
}

static struct rig *open_port(void)
{
	struct rig *r = begin("port=a,socket=%s", ~0ull, 0);

	say(r, 0, READY, 1);
	expect(r, 0, ADD, 1, NULL);
	say(r, 0, PORT_READY, 1);
	expect(r, 0, NAME, 1, NULL);
	r->client = dial(r);
	expect(r, 0, OPEN, 1, NULL);
	return r;
}

static void bytes_from_the_host_wait_until_the_guest_opens_the_port(void **s)
{
	struct rig *r = open_port();
	gpa_t at = give(r, 0, 16);

	assert_int_equal(write(r->client, "abc", 3), 3);
	fake_step(r->f);
	assert_int_equal(gvq_get(r->g, 0, NULL), -1);
	say(r, 0, OPEN, 1);
	fake_step(r->f);
	u32 n;
	assert_true(gvq_get(r->g, 0, &n) >= 0);
	assert_int_equal(n, 3);
	assert_memory_equal(fake_ptr(r->f, at, 3), "abc", 3);
	end(r);
	(void)s;
}

static u8 pattern(u32 i)
{
	return (u8)(i * 7 + (i >> 8));
}

static void nothing_is_lost_from_host_to_guest(void **s)
{
	struct rig *r = open_port();
	u32 total = 100000, sent = 0, got = 0, n;
	u64 mark = r->f->alloc_at;

	say(r, 0, OPEN, 1);
	while (got < total) {
		u8 buf[3000];
		ssize_t k = 0;
		gpa_t at;

		for (unsigned i = 0; i < sizeof(buf); i++)
			buf[i] = pattern(sent + i);
		if (sent < total)
			k = send(r->client, buf, MIN(sizeof(buf), total - sent), MSG_DONTWAIT);
		sent += k > 0 ? (u32)k : 0;
		at = give(r, 0, 1000);
		fake_step(r->f);
		while (gvq_get(r->g, 0, &n) < 0)
			assert_true(loop_step(r->f->loop, 1000) >= 0);
		for (u32 i = 0; i < n; i++)
			assert_int_equal(*(u8 *)fake_ptr(r->f, at + i, 1), pattern(got + i));
		got += n;
		fake_release(r->f, mark);
	}
	assert_int_equal(sent, total);
	end(r);
	(void)s;
}

static void the_guest_waits_for_a_slow_client_and_loses_nothing(void **s)
{
	struct rig *r = open_port();
	struct gseg seg = { 0x900000, 65536, false };
	u8 *p = fake_ptr(r->f, seg.gpa, seg.len);
	u32 got = 0, used = 0, added = 0;
	u8 buf[20000];

	for (u32 i = 0; i < seg.len; i++)
		p[i] = pattern(i);
	/* no client reads: the first buffers go into the socket, then the device waits */
	for (; added < 40; added++)
		assert_true(gvq_add(r->g, 1, &seg, 1) >= 0);
	gvio_kick_if_wanted(r->g, 1);
	fake_step(r->f);
	while (gvq_get(r->g, 1, NULL) >= 0)
		used++;
	assert_true(used < added);
	while (got < added * seg.len) {
		ssize_t n = recv(r->client, buf, sizeof(buf), 0);

		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			loop_step(r->f->loop, 1000);
			continue;
		}
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(buf[i], pattern((got + (u32)i) % seg.len));
		got += (u32)n;
	}
	fake_step(r->f);
	while (gvq_get(r->g, 1, NULL) >= 0)
		used++;
	assert_int_equal(used, added);
	end(r);
	(void)s;
}

static void a_client_that_dies_frees_the_guests_buffers(void **s)
{
	struct rig *r = open_port();
	struct gseg seg = { 0x900000, 65536, false };
	u32 used = 0;

	for (unsigned i = 0; i < 40; i++)
		gvq_add(r->g, 1, &seg, 1);
	gvio_kick_if_wanted(r->g, 1);
	fake_step(r->f);
	close(r->client);
	r->client = -1;
	fake_step(r->f);
	while (gvq_get(r->g, 1, NULL) >= 0)
		used++;
	assert_int_equal(used, 40);
	end(r);
	(void)s;
}

static void reset_while_the_client_is_slow_is_safe(void **s)
{
	struct rig *r = open_port();
	struct gseg seg = { 0x900000, 65536, false };

	for (unsigned i = 0; i < 40; i++)
		gvq_add(r->g, 1, &seg, 1);
	gvio_kick_if_wanted(r->g, 1);
	fake_step(r->f);
	gvio_set_status(r->g, 0);
	memset(fake_ptr(r->f, r->g->q[1].desc_gpa, 4096), 0xff, 4096);
	while (recv(r->client, fake_ptr(r->f, 0xa00000, 65536), 65536, 0) > 0)
		fake_step(r->f);
	fake_step(r->f);
	gvio_close(r->g);
	r->g = gvio_open(r->f, r->d, ~0ull, 0);
	say(r, 0, READY, 1);
	expect(r, 0, ADD, 1, NULL);
	end(r);
	(void)s;
}

static void hostile_control_messages_are_harmless(void **s)
{
	struct rig *r = open_port();
	u8 junk[3] = { 1, 2, 3 };

	for (u32 id = 0; id < 70000; id += 7777)
		for (u16 ev = 0; ev < 12; ev++)
			say(r, id, ev, (u16)(ev & 1));
	for (unsigned i = 0; i < 200; i++)
		say(r, 0, PORT_READY, 1); /* more than anybody listens to */
	gvio_request(r->g, 3, junk, 3, NULL, 0);
	assert_int_equal(gvio_status(r->g), 15);
	for (unsigned i = 0; i < 100; i++) {
		give(r, 2, 4 + i % 8); /* too short for some */
		gvq_get(r->g, 2, NULL);
	}
	assert_int_equal(gvio_status(r->g), 15);
	end(r);
	(void)s;
}

static void a_driver_without_multiport_gets_the_first_port(void **s)
{
	struct rig *r = begin("socket=%s,port=b,null", 0, GVIO_LEGACY);
	gpa_t at;
	u32 n;

	r->client = dial(r);
	at = give(r, 0, 16);
	assert_int_equal(write(r->client, "abc", 3), 3);
	fake_step(r->f);
	assert_true(gvq_get(r->g, 0, &n) >= 0);
	assert_memory_equal(fake_ptr(r->f, at, 3), "abc", 3);
	end(r);
	(void)s;
}

static void left_over_sockets_are_replaced_and_live_ones_respected(void **s)
{
	struct rig *r = begin("port=a,socket=%s", ~0ull, 0);
	struct hk_err err;
	int fd;

	assert_null(fake_dev(r->f, "virtio-console", 7, r->opts, &err));
	assert_non_null(strstr(err.text, r->path));
	end(r);

	r = begin(NULL, ~0ull, 0);
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", r->path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	close(fd);
	snprintf(r->opts, sizeof(r->opts), "port=a,socket=%s", r->path);
	struct dev *d = fake_dev(r->f, "virtio-console", 7, r->opts, &err);
	assert_non_null(d);
	fake_dev_free(d);
	assert_int_equal(access(r->path, F_OK), -1);
	end(r);
	(void)s;
}

#define PORTS_8 "port=a,port=a,port=a,port=a,port=a,port=a,port=a,port=a,"

static void bad_options_are_refused_with_words(void **s)
{
	static const char *const bad[] = {
		"port=", "socket=", "port=a,file=/no/such/dir/x", "port=a,socket=/no/such/dir/x",
		"/no/such/terminal",
		PORTS_8 PORTS_8 "port=a",
	};
	struct fake *f = fake_new();
	struct hk_err err;

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		err.text[0] = 0;
		assert_null(fake_dev(f, "virtio-console", 5, bad[i], &err));
		assert_memory_equal(err.text, "virtio-console: ", 16);
	}
	fake_free(f);
	(void)s;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_single_console_is_of_the_simple_kind),
		cmocka_unit_test(emergency_writes_need_no_queues),
		cmocka_unit_test(ports_introduce_themselves),
		cmocka_unit_test(bytes_from_the_host_wait_until_the_guest_opens_the_port),
		cmocka_unit_test(nothing_is_lost_from_host_to_guest),
		cmocka_unit_test(the_guest_waits_for_a_slow_client_and_loses_nothing),
		cmocka_unit_test(a_client_that_dies_frees_the_guests_buffers),
		cmocka_unit_test(reset_while_the_client_is_slow_is_safe),
		cmocka_unit_test(hostile_control_messages_are_harmless),
		cmocka_unit_test(a_driver_without_multiport_gets_the_first_port),
		cmocka_unit_test(left_over_sockets_are_replaced_and_live_ones_respected),
		cmocka_unit_test(bad_options_are_refused_with_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
