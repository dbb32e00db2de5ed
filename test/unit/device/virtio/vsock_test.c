// SPDX-License-Identifier: BSD-2-Clause
/* virtio-sock on the fake machine: connections, windows, ends, hostile packets */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "vsock_rig.h"

static int setup(void **state)
{
	*state = rig_new();
	return 0;
}

static int teardown(void **state)
{
	rig_free(*state);
	return 0;
}

static u8 mix(u32 i)
{
	return (u8)(i * 2654435761u >> 13);
}

/* ---- beginnings ---- */

static void the_guest_learns_its_cid(void **state)
{
	struct rig *r = *state;

	assert_int_equal(gvio_config(r->g, 0, 4), CID);
	assert_int_equal(gvio_config(r->g, 4, 4), 0);
}

static void bytes_flow_both_ways(void **state)
{
	struct rig *r = *state;
	struct gsock c;
	int fd = host_connects(r, &c, 80);
	char buf[16] = "";

	send_data(r, &c, "from guest", 10);
	assert_int_equal(host_read(fd, buf, sizeof(buf)), 10);
	assert_string_equal(buf, "from guest");
	assert_int_equal(write(fd, "from host", 9), 9);
	want_packet(r, VSOCK_OP_RW);
	take_words(r, &c);
	assert_int_equal(r->p.len, 9);
	assert_memory_equal(r->p.data, "from host", 9);
	assert_int_equal(r->p.fwd_cnt, 10);
	want_silence(r);
	close(fd);
}

static void bytes_written_before_the_answer_are_not_lost(void **state)
{
	struct rig *r = *state;
	struct gsock c = { .port = 9, .window = GUEST_WINDOW };
	int fd;

	assert_int_equal(vsk_hub_connect(r->hub, 9, &fd), 0);
	assert_int_equal(write(fd, "early", 5), 5);
	close(fd);
	want_packet(r, VSOCK_OP_REQUEST);
	c.host_port = r->p.src_port;
	want_silence(r);
	send_op(r, &c, VSOCK_OP_RESPONSE, 0);
	/* Order of the two is ours; the bytes come before the end of sending */
	for (bool seen = false; rig_recv(r);) {
		if (r->p.op == VSOCK_OP_RW) {
			assert_memory_equal(r->p.data, "early", 5);
			seen = true;
		} else {
			assert_int_equal(r->p.op, VSOCK_OP_SHUTDOWN);
			assert_true(seen || !(r->p.flags & VSOCK_SHUT_SEND));
		}
	}
	assert_int_equal(r->p.flags, VSOCK_SHUT_BOTH);
}

static void who_gives_up_before_the_answer_is_forgotten(void **state)
{
	struct rig *r = *state;
	int fd;

	assert_int_equal(vsk_hub_connect(r->hub, 9, &fd), 0);
	want_packet(r, VSOCK_OP_REQUEST);
	close(fd);
	want_packet(r, VSOCK_OP_RST);
	assert_int_equal(r->s->num_conns, 0);
}

static void a_refused_host_program_sees_the_end(void **state)
{
	struct rig *r = *state;
	struct gsock c = { .port = 9 };
	int fd;

	assert_int_equal(vsk_hub_connect(r->hub, 9, &fd), 0);
	want_packet(r, VSOCK_OP_REQUEST);
	c.host_port = r->p.src_port;
	send_op(r, &c, VSOCK_OP_RST, 0);
	want_host_eof(fd);
	assert_int_equal(r->s->num_conns, 0);
	want_silence(r);
	close(fd);
}

static void the_guest_connects_to_the_embedder(void **state)
{
	struct rig *r = *state;
	struct gsock c;
	char buf[8] = "";
	int lfd, fd;

	assert_int_equal(vsk_hub_listen(r->hub, 4096, &lfd), 0);
	fd = guest_connects(r, &c, 1024, 4096, lfd);
	send_data(r, &c, "hi", 2);
	assert_int_equal(host_read(fd, buf, sizeof(buf)), 2);
	close(fd);
	close(lfd);
	/* Nobody listens any more */
	c.port = 1025;
	want_packet(r, VSOCK_OP_SHUTDOWN);
	send_op(r, &c, VSOCK_OP_REQUEST, 0);
	want_packet(r, VSOCK_OP_RST);
	assert_int_equal(r->p.dst_port, 1025);
}

static void the_guest_connects_to_a_socket_in_the_folder(void **state)
{
	struct rig *r = *state;
	struct gsock c = { .port = 1024, .host_port = 0xabc, .window = GUEST_WINDOW };
	int lfd = listen_in(r, "00000002.00000abc", 5), fd;
	char buf[8] = "";

	send_op(r, &c, VSOCK_OP_REQUEST, 0);
	want_packet(r, VSOCK_OP_RESPONSE);
	fd = accept(lfd, NULL, NULL);
	send_data(r, &c, "hi", 2);
	assert_int_equal(host_read(fd, buf, sizeof(buf)), 2);
	close(fd);
	close(lfd);
}

static void a_port_where_nobody_listens_is_reset(void **state)
{
	struct rig *r = *state;
	struct gsock c = { .port = 1024, .host_port = 5, .window = GUEST_WINDOW };

	send_op(r, &c, VSOCK_OP_REQUEST, 0);
	want_packet(r, VSOCK_OP_RST);
	assert_int_equal(r->p.src_port, 5);
	assert_int_equal(r->p.dst_port, 1024);
	assert_int_equal(r->s->num_conns, 0);
}

/* A Unix listener with a full backlog is asked again, and does not hold up the others */
static void a_busy_listener_is_asked_again(void **state)
{
	struct rig *r = *state;
	struct gsock c = { .port = 1, .host_port = 1, .window = GUEST_WINDOW }, other;
	int lfd = listen_in(r, "00000002.00000001", 0), full = -1, fd, n = 0;
	char buf[4];

	/* Fill it */
	while (n < 64) {
		struct sockaddr_un a = { .sun_family = AF_UNIX };

		full = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		snprintf(a.sun_path, sizeof(a.sun_path), "%s/00000002.00000001", r->dir);
		if (connect(full, (struct sockaddr *)&a, sizeof(a)))
			break;
		n++;
	}
	assert_true(n < 64);
	close(full);
	send_op(r, &c, VSOCK_OP_REQUEST, 0);
	want_silence(r);
	fd = host_connects(r, &other, 80);
	send_data(r, &other, "ok", 2);
	assert_int_equal(host_read(fd, buf, 4), 2);
	close(fd);
	want_packet(r, VSOCK_OP_SHUTDOWN);
	for (int i = 0; i < n; i++)
		close(accept(lfd, NULL, NULL));
	fake_advance(r->f, 10000000);
	want_packet(r, VSOCK_OP_RESPONSE);
	close(lfd);
}

static void a_listener_that_stays_busy_is_given_up(void **state)
{
	struct rig *r = *state;
	struct gsock c = { .port = 1, .host_port = 7, .window = GUEST_WINDOW };
	int lfd, n = 0;

	/* The embedder's listener takes as many as a socket buffer holds */
	assert_int_equal(vsk_hub_listen(r->hub, 7, &lfd), 0);
	for (n = 0; n < 2000; n++) {
		c.port = 1000 + (u32)n;
		send_op(r, &c, VSOCK_OP_REQUEST, 0);
		if (!rig_recv(r))
			break;
		assert_int_equal(r->p.op, VSOCK_OP_RESPONSE);
	}
	assert_in_range(n, 1, 1999);
	for (int i = 0; i < 11; i++)
		fake_advance(r->f, NS_PER_SEC);
	want_packet(r, VSOCK_OP_RST);
	assert_int_equal(r->p.dst_port, c.port);
	close(lfd);
}

static void who_connects_before_the_driver_waits(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	int fd;

	rig_open(r, "", 0, GVIO_NO_START);
	assert_int_equal(vsk_hub_connect(r->hub, 9, &fd), 0);
	fake_step(r->f);
	assert_int_equal(r->s->num_conns, 1);
	gvio_set_status(r->g, gvio_status(r->g) | VIO_S_DRIVER_OK);
	rig_rx(r, 4, RX_BYTES);
	want_packet(r, VSOCK_OP_REQUEST);
	close(fd);
	rig_free(r);
}

/* ---- windows ---- */

static void the_guest_may_fill_its_window_and_no_more(void **state)
{
	struct rig *r = *state;
	struct gsock c;
	int fd = host_connects(r, &c, 80), small = 4096;
	u32 sent = 0, got = 0;
	u8 *buf = malloc(65536);
	ssize_t n;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	/* The program reads nothing: the window is all that can be sent beyond the socket */
	while (sent - c.peer_fwd + 65536 <= c.peer_alloc) {
		for (u32 i = 0; i < 65536; i++)
			buf[i] = mix(sent + i);
		send_data(r, &c, buf, 65536);
		sent += 65536;
		while (rig_recv(r)) {
			assert_int_equal(r->p.op, VSOCK_OP_CREDIT_UPDATE);
			take_words(r, &c);
		}
	}
	assert_int_equal(r->s->num_conns, 1);
	/* It reads: all of it is there, in order, and credit returns */
	while (got < sent) {
		n = host_read(fd, buf, 65536);
		assert_true(n > 0 || n == -EAGAIN);
		for (ssize_t i = 0; i < n; i++)
			if (buf[i] != mix(got + (u32)i))
				fail_msg("byte %u is wrong", got + (u32)i);
		if (n > 0)
			got += (u32)n;
		fake_step(r->f);
	}
	while (rig_recv(r))
		take_words(r, &c);
	assert_true(c.peer_fwd > sent - c.peer_alloc / 2);
	close(fd);
	free(buf);
}

static void bytes_beyond_the_window_reset_the_connection(void **state)
{
	struct rig *r = *state;
	struct gsock c;
	int fd = host_connects(r, &c, 80);
	u8 *buf = calloc(1, 65536);

	for (u32 sent = 0; sent < 2u << 20 && r->s->resets == 0; sent += 65536)
		send_data(r, &c, buf, 65536);
	assert_int_equal(r->s->resets, 1);
	while (rig_recv(r) && r->p.op != VSOCK_OP_RST)
		;
	assert_int_equal(r->p.op, VSOCK_OP_RST);
	close(fd);
	free(buf);
}

static void credit_is_told_before_the_guest_runs_dry(void **state)
{
	struct rig *r = *state;
	struct gsock c;
	int fd = host_connects(r, &c, 80);
	u8 *buf = calloc(1, 65536);

	/* 4 MiB through a window of 256 KiB */
	for (u32 sent = 0; sent < 4u << 20; sent += 16384) {
		assert_true(sent - c.peer_fwd + 16384 <= c.peer_alloc);
		send_data(r, &c, buf, 16384);
		while (host_read(fd, buf, 65536) > 0)
			;
		while (rig_recv(r))
			take_words(r, &c);
	}
	assert_int_equal(r->s->resets, 0);
	close(fd);
	free(buf);
}

static void a_credit_request_is_answered(void **state)
{
	struct rig *r = *state;
	struct gsock c;
	int fd = host_connects(r, &c, 80);

	send_data(r, &c, "12345", 5);
	send_op(r, &c, VSOCK_OP_CREDIT_REQUEST, 0);
	want_packet(r, VSOCK_OP_CREDIT_UPDATE);
	assert_int_equal(r->p.fwd_cnt, 5);
	want_silence(r);
	close(fd);
}

static void host_bytes_wait_for_the_guests_credit(void **state)
{
	struct rig *r = *state;
	struct gsock c;
	int fd = host_connects(r, &c, 80);
	u32 total = 200000, got = 0;
	u8 *buf = malloc(total);

	for (u32 i = 0; i < total; i++)
		buf[i] = mix(i);
	c.window = 1000;
	send_op(r, &c, VSOCK_OP_CREDIT_UPDATE, 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	for (u32 put = 0; got < total;) {
		ssize_t n = put < total ? write(fd, buf + put, total - put) : 0;

		if (n > 0)
			put += (u32)n;
		while (rig_recv(r)) {
			if (r->p.op == VSOCK_OP_CREDIT_REQUEST)
				continue;
			assert_int_equal(r->p.op, VSOCK_OP_RW);
			assert_memory_equal(r->p.data, buf + got, r->p.len);
			got += r->p.len;
			c.got += r->p.len;
			assert_true(c.got - c.read <= c.window);
		}
		c.read = c.got;
		send_op(r, &c, VSOCK_OP_CREDIT_UPDATE, 0);
	}
	close(fd);
	free(buf);
}

static void host_bytes_wait_for_the_guests_buffers(void **state)
{
	struct rig *r = *state;
	struct gsock c;
	int fd = host_connects(r, &c, 80);
	u8 buf[30000];
	u32 got = 0;

	/* Two buffers are left; what is more waits in the socket */
	r->rx_hold = true;
	for (unsigned i = 0; i < sizeof(buf); i++)
		buf[i] = mix(i);
	while (r->rx_posted > 2) {
		send_op(r, &c, VSOCK_OP_CREDIT_REQUEST, 0);
		want_packet(r, VSOCK_OP_CREDIT_UPDATE);
	}
	assert_int_equal(write(fd, buf, sizeof(buf)), sizeof(buf));
	for (unsigned round = 0; got < sizeof(buf); round++) {
		assert_true(round < 100);
		while (rig_recv(r)) {
			assert_memory_equal(r->p.data, buf + got, r->p.len);
			got += r->p.len;
		}
		assert_true(got == MIN(sizeof(buf), (round + 1) * 2 * (RX_BYTES - VSOCK_HDR_BYTES)));
		rig_rx(r, 2, RX_BYTES);
	}
	close(fd);
}

static void a_packet_may_be_cut_into_any_pieces(void **state)
{
	struct rig *r = *state;
	struct gsock c;
	int fd = host_connects(r, &c, 80);
	struct vsock_hdr h = hdr(&c, VSOCK_OP_RW, 10, 0);
	gpa_t at = fake_alloc(r->f, 100, 16);
	struct gseg seg[3] = { { at, 20, false }, { at + 20, 30, false }, { at + 50, 4, false } };
	char buf[16] = "";

	memcpy(fake_ptr(r->f, at, 100), &h, sizeof(h));
	memcpy(fake_ptr(r->f, at + 44, 10), "0123456789", 10);
	assert_true(gvq_add_indirect(r->g, VSOCK_TX, seg, 3) >= 0);
	gvio_kick(r->g, VSOCK_TX);
	fake_step(r->f);
	assert_int_equal(host_read(fd, buf, 16), 10);
	assert_string_equal(buf, "0123456789");
	close(fd);
}

/* ---- ends ---- */

static void half_close_of_the_host_program_is_shutdown_send(void **state)
{
	struct rig *r = *state;
	struct gsock c;
	int fd = host_connects(r, &c, 80);
	char buf[8];

	shutdown(fd, SHUT_WR);
	want_packet(r, VSOCK_OP_SHUTDOWN);
	assert_int_equal(r->p.flags, VSOCK_SHUT_SEND);
	send_data(r, &c, "still", 5);
	assert_int_equal(host_read(fd, buf, 8), 5);
	close(fd);
	want_packet(r, VSOCK_OP_SHUTDOWN);
	assert_int_equal(r->p.flags, VSOCK_SHUT_BOTH);
	send_op(r, &c, VSOCK_OP_RST, 0);
	want_silence(r);
	assert_int_equal(r->s->num_conns, 0);
}

static void half_close_of_the_guest_is_end_of_file(void **state)
{
	struct rig *r = *state;
	struct gsock c;
	int fd = host_connects(r, &c, 80);
	char buf[8];

	send_data(r, &c, "last", 4);
	send_op(r, &c, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_SEND);
	assert_int_equal(host_read(fd, buf, 8), 4);
	want_host_eof(fd);
	assert_int_equal(write(fd, "more", 4), 4);
	want_packet(r, VSOCK_OP_RW);
	close(fd);
}

static void half_close_comes_after_bytes_that_wait(void **state)
{
	struct rig *r = *state;
	struct gsock c;
	int fd = host_connects(r, &c, 80);
	u32 sent = 0, got = 0;
	u8 *buf = calloc(1, 65536);
	ssize_t n;

	while (sent - c.peer_fwd + 65536 <= c.peer_alloc) {
		send_data(r, &c, buf, 65536);
		sent += 65536;
		while (rig_recv(r))
			take_words(r, &c);
	}
	/* Both directions at once: the guest is answered, its bytes arrive all the same */
	send_op(r, &c, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_SEND);
	assert_int_equal(r->s->num_conns, 1);
	send_op(r, &c, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_RCV);
	want_packet(r, VSOCK_OP_RST);
	send_op(r, &c, VSOCK_OP_CREDIT_REQUEST, 0);
	want_packet(r, VSOCK_OP_RST); /* the guest has no such connection any more */
	while ((n = host_read(fd, buf, 65536)) != 0) {
		assert_true(n > 0 || n == -EAGAIN);
		if (n > 0)
			got += (u32)n;
		fake_step(r->f);
	}
	assert_int_equal(got, sent);
	assert_int_equal(r->s->num_conns, 0);
	close(fd);
	free(buf);
}

static void who_reads_no_more_is_told_and_the_rest_thrown_away(void **state)
{
	struct rig *r = *state;
	struct gsock c;
	int fd = host_connects(r, &c, 80);

	shutdown(fd, SHUT_RD);
	send_data(r, &c, "nobody", 6);
	want_packet(r, VSOCK_OP_SHUTDOWN);
	assert_int_equal(r->p.flags, VSOCK_SHUT_RCV);
	assert_int_equal(r->p.fwd_cnt, 6);
	send_data(r, &c, "hears", 5);
	send_op(r, &c, VSOCK_OP_CREDIT_REQUEST, 0);
	want_packet(r, VSOCK_OP_CREDIT_UPDATE);
	assert_int_equal(r->p.fwd_cnt, 11);
	assert_int_equal(write(fd, "me", 2), 2);
	want_packet(r, VSOCK_OP_RW);
	close(fd);
}

static void a_guest_that_does_not_answer_the_end_is_reset_after_30_s(void **state)
{
	struct rig *r = *state;
	struct gsock c;
	int fd = host_connects(r, &c, 80);

	assert_int_equal(write(fd, "unread", 6), 6);
	close(fd);
	want_packet(r, VSOCK_OP_SHUTDOWN);
	assert_int_equal(r->p.flags, VSOCK_SHUT_RCV);
	want_packet(r, VSOCK_OP_RW);
	want_packet(r, VSOCK_OP_SHUTDOWN);
	assert_int_equal(r->p.flags, VSOCK_SHUT_BOTH);
	fake_advance(r->f, 29 * NS_PER_SEC);
	want_silence(r);
	/* It has not read all: RST would take the bytes from its program */
	fake_advance(r->f, 2 * NS_PER_SEC);
	want_packet(r, VSOCK_OP_CREDIT_REQUEST);
	c.read = 6;
	send_op(r, &c, VSOCK_OP_CREDIT_UPDATE, 0);
	fake_advance(r->f, 31 * NS_PER_SEC);
	want_packet(r, VSOCK_OP_RST);
	assert_int_equal(r->s->num_conns, 0);
}

static void shutdown_both_of_the_guest_is_answered_by_reset(void **state)
{
	struct rig *r = *state;
	struct gsock c;
	int fd = host_connects(r, &c, 80);
	char buf[8];

	send_data(r, &c, "bye", 3);
	send_op(r, &c, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_BOTH);
	want_packet(r, VSOCK_OP_RST);
	assert_int_equal(host_read(fd, buf, 8), 3);
	want_host_eof(fd);
	want_silence(r);
	assert_int_equal(r->s->num_conns, 0);
	close(fd);
}

static void a_reset_ends_the_host_program(void **state)
{
	struct rig *r = *state;
	struct gsock c;
	int fd = host_connects(r, &c, 80);

	send_op(r, &c, VSOCK_OP_RST, 0);
	want_host_eof(fd);
	want_silence(r);
	close(fd);
}

static void a_device_reset_ends_all_and_says_nothing(void **state)
{
	struct rig *r = *state;
	struct gsock c[8];
	int fd[8];

	for (u32 i = 0; i < 8; i++)
		fd[i] = host_connects(r, &c[i], 80 + i);
	gvio_set_status(r->g, 0);
	for (u32 i = 0; i < 8; i++) {
		want_host_eof(fd[i]);
		close(fd[i]);
	}
	assert_int_equal(r->s->num_conns, 0);
	gvio_close(r->g);
	r->g = gvio_open(r->f, r->dev, 0, 0);
	rig_rx(r, 8, RX_BYTES);
	want_silence(r);
	fd[0] = host_connects(r, &c[0], 80);
	assert_int_not_equal(c[0].host_port, c[7].host_port);
	close(fd[0]);
}

static void a_device_that_was_stopped_says_transport_reset(void **state)
{
	struct rig *r = *state;
	gpa_t at = fake_alloc(r->f, 4, 4);
	struct gseg seg = { at, 4, true };
	struct gsock c;
	u32 n;
	int fd = host_connects(r, &c, 80);

	memset(fake_ptr(r->f, at, 4), 0xff, 4);
	gvq_add(r->g, VSOCK_EVENT, &seg, 1);
	gvio_kick(r->g, VSOCK_EVENT);
	fake_step(r->f);
	assert_int_equal(gvq_get(r->g, VSOCK_EVENT, &n), -1);
	r->dev->cls->stop(r->dev);
	want_host_eof(fd);
	assert_int_equal(r->dev->cls->start(r->dev), 0);
	fake_step(r->f);
	assert_true(gvq_get(r->g, VSOCK_EVENT, &n) >= 0);
	assert_int_equal(n, 4);
	assert_int_equal(load_le32(fake_ptr(r->f, at, 4)), 0);
	close(fd);
}

/* ---- hostile packets ---- */

static void packets_of_no_connection_are_reset_but_not_resets(void **state)
{
	struct rig *r = *state;
	struct gsock c = { .port = 1, .host_port = 2, .window = 1 };

	for (u16 op = 0; op < 12; op++) {
		if (op == VSOCK_OP_REQUEST)
			continue;
		send_op(r, &c, op, 3);
		if (op == VSOCK_OP_RST) {
			want_silence(r);
			continue;
		}
		want_packet(r, VSOCK_OP_RST);
		assert_int_equal(r->p.src_port, 2);
		assert_int_equal(r->p.dst_port, 1);
	}
}

static void wrong_cids_and_types_are_reset_at_their_address(void **state)
{
	struct rig *r = *state;
	struct gsock c = { .port = 1, .host_port = 2 };
	struct vsock_hdr h = hdr(&c, VSOCK_OP_REQUEST, 0, 0);

	h.src_cid = le64_of(99);
	send_raw(r, &h, NULL, 0);
	want_packet(r, VSOCK_OP_RST);
	assert_int_equal(r->p.dst_cid, 99);
	assert_int_equal(r->p.src_cid, 2);
	h = hdr(&c, VSOCK_OP_REQUEST, 0, 0);
	h.dst_cid = le64_of(0x100000002);
	send_raw(r, &h, NULL, 0);
	want_packet(r, VSOCK_OP_RST);
	assert_int_equal(r->p.src_cid, 0x100000002);
	h = hdr(&c, VSOCK_OP_REQUEST, 0, 0);
	h.type = le16_of(2);
	send_raw(r, &h, NULL, 0);
	want_packet(r, VSOCK_OP_RST);
	assert_int_equal(r->p.type, 2);
}

static void each_mistake_resets_its_connection(void **state)
{
	struct rig *r = *state;
	static const struct { const char *what; u16 op; u32 len, flags, fwd; } row[] = {
		{ "op 0", 0, 0, 0, 0 },
		{ "op 8", 8, 0, 0, 0 },
		{ "a second request", VSOCK_OP_REQUEST, 0, 0, 0 },
		{ "a second response", VSOCK_OP_RESPONSE, 0, 0, 0 },
		{ "shutdown of nothing", VSOCK_OP_SHUTDOWN, 0, 0, 0 },
		{ "shutdown of what is not", VSOCK_OP_SHUTDOWN, 0, 7, 0 },
		{ "fewer bytes than said", VSOCK_OP_RW, 9, 0, 0 },
		{ "4 GiB", VSOCK_OP_RW, 0xffffffff, 0, 0 },
		{ "read what was never sent", VSOCK_OP_CREDIT_UPDATE, 0, 0, 1 },
		{ "read what was never sent, by far", VSOCK_OP_RW, 0, 0, 0x7fffffff },
	};

	for (unsigned i = 0; i < ARRAY_LEN(row); i++) {
		struct gsock c;
		int fd = host_connects(r, &c, 80);
		struct vsock_hdr h = hdr(&c, row[i].op, row[i].len, row[i].flags);

		h.fwd_cnt = le32_of(row[i].fwd);
		send_raw(r, &h, "12345678", row[i].len ? 8 : 0);
		if (!rig_recv(r) || r->p.op != VSOCK_OP_RST)
			fail_msg("%s: not reset", row[i].what);
		want_silence(r);
		want_host_eof(fd);
		assert_int_equal(r->s->num_conns, 0);
		close(fd);
	}
}

static void bytes_after_the_guests_end_reset(void **state)
{
	struct rig *r = *state;
	struct gsock c;
	int fd = host_connects(r, &c, 80);

	send_op(r, &c, VSOCK_OP_SHUTDOWN, VSOCK_SHUT_SEND);
	send_data(r, &c, "x", 1);
	want_packet(r, VSOCK_OP_RST);
	close(fd);
}

static void bytes_before_the_answer_reset(void **state)
{
	struct rig *r = *state;
	struct gsock c = { .port = 9, .window = 1 };
	int fd;

	assert_int_equal(vsk_hub_connect(r->hub, 9, &fd), 0);
	want_packet(r, VSOCK_OP_REQUEST);
	c.host_port = r->p.src_port;
	send_data(r, &c, "x", 1);
	want_packet(r, VSOCK_OP_RST);
	want_host_eof(fd);
	close(fd);
}

static void old_credit_words_are_not_a_lie(void **state)
{
	struct rig *r = *state;
	struct gsock c;
	int fd = host_connects(r, &c, 80);

	assert_int_equal(write(fd, "0123456789", 10), 10);
	want_packet(r, VSOCK_OP_RW);
	c.read = 10;
	send_op(r, &c, VSOCK_OP_CREDIT_UPDATE, 0);
	c.read = 4; /* overtaken by the one before */
	send_op(r, &c, VSOCK_OP_CREDIT_UPDATE, 0);
	want_silence(r);
	assert_int_equal(r->s->num_conns, 1);
	close(fd);
}

static void a_header_that_is_cut_short_is_dropped(void **state)
{
	struct rig *r = *state;
	u8 junk[43] = { 0 };

	gvio_request(r->g, VSOCK_TX, junk, sizeof(junk), NULL, 0);
	want_silence(r);
	assert_int_equal(r->s->bad_packets, 1);
}

static void answers_without_room_stop_the_tx_queue_and_none_is_lost(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct gsock c = { .host_port = 2 };
	unsigned taken = 0, answers = 0;

	rig_open(r, "", 0, 0);
	for (unsigned i = 0; i < 200; i++) {
		gpa_t at = fake_alloc(r->f, 44, 4);
		struct gseg seg = { at, 44, false };
		struct vsock_hdr h;

		c.port = 1000 + i;
		h = hdr(&c, VSOCK_OP_CREDIT_REQUEST, 0, 0);
		memcpy(fake_ptr(r->f, at, 44), &h, 44);
		assert_true(gvq_add(r->g, VSOCK_TX, &seg, 1) >= 0);
	}
	gvio_kick(r->g, VSOCK_TX);
	fake_step(r->f);
	while (gvq_get(r->g, VSOCK_TX, NULL) >= 0)
		taken++;
	assert_int_equal(taken, VSOCK_MAX_STRAYS);
	rig_rx(r, 8, 64);
	while (rig_recv(r)) {
		assert_int_equal(r->p.op, VSOCK_OP_RST);
		assert_int_equal(r->p.dst_port, 1000 + answers);
		answers++;
	}
	assert_int_equal(answers, 200);
	rig_free(r);
}

static void a_receive_buffer_without_room_breaks_the_queue(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct gsock c = { .port = 1, .host_port = 2 };

	rig_open(r, "", 0, 0);
	rig_rx(r, 1, 44);
	send_op(r, &c, VSOCK_OP_RW, 0);
	fake_step(r->f);
	assert_true(gvio_status(r->g) & VIO_S_NEEDS_RESET);
	rig_free(r);
}

/* ---- many ---- */

static void a_greedy_connection_does_not_hold_up_the_others(void **state)
{
	struct rig *r = *state;
	struct gsock greedy, modest;
	int a = host_connects(r, &greedy, 80), b = host_connects(r, &modest, 81);
	u8 *buf = calloc(1, 1 << 20);
	unsigned before = 0;

	greedy.window = 1u << 30;
	send_op(r, &greedy, VSOCK_OP_CREDIT_UPDATE, 0);
	fcntl(a, F_SETFL, O_NONBLOCK);
	assert_true(write(a, buf, 1 << 20) > 100000);
	want_packet(r, VSOCK_OP_RW);
	assert_int_equal(write(b, "me too", 6), 6);
	while (rig_recv(r) && r->p.dst_port == 80) {
		before++;
		(void)!write(a, buf, 1 << 20);
	}
	assert_int_equal(r->p.dst_port, 81);
	assert_in_range(before, 0, 2 * VSOCK_MAX_SPARES);
	close(a);
	close(b);
	free(buf);
}

static void hundreds_of_connections_each_way_are_served(void **state)
{
	struct rig *r = *state;
	enum { N = 150 }; /* descriptors of a test are limited: two each, both directions */
	struct gsock c[2 * N];
	int fd[2 * N], lfd;
	char say[32], hear[32];

	assert_int_equal(vsk_hub_listen(r->hub, 4096, &lfd), 0);
	for (u32 i = 0; i < N; i++) {
		fd[i] = host_connects(r, &c[i], 80);
		fd[N + i] = guest_connects(r, &c[N + i], 70000 + i, 4096, lfd);
	}
	assert_int_equal(r->s->num_conns, 2 * N);
	for (u32 i = 0; i < 2 * N; i++) {
		snprintf(say, sizeof(say), "connection %u", i);
		send_data(r, &c[i], say, (u32)strlen(say));
	}
	for (u32 i = 0; i < 2 * N; i++) {
		memset(hear, 0, sizeof(hear));
		assert_true(host_read(fd[i], hear, sizeof(hear)) > 0);
		snprintf(say, sizeof(say), "connection %u", i);
		assert_string_equal(say, hear);
		assert_int_equal(write(fd[i], say, strlen(say)), strlen(say));
	}
	for (u32 i = 0; i < 2 * N; i++) {
		u32 k = 0;

		want_packet(r, VSOCK_OP_RW);
		while (c[k].port != r->p.dst_port || c[k].host_port != r->p.src_port)
			assert_true(++k < 2 * N);
		snprintf(say, sizeof(say), "connection %u", k);
		assert_memory_equal(r->p.data, say, r->p.len);
	}
	for (u32 i = 0; i < 2 * N; i++)
		close(fd[i]);
	for (u32 i = 0; i < 2 * N; i++) {
		want_packet(r, VSOCK_OP_SHUTDOWN);
		send_op(r, &(struct gsock){ .port = r->p.dst_port, .host_port = r->p.src_port },
			VSOCK_OP_RST, 0);
	}
	assert_int_equal(r->s->num_conns, 0);
	assert_int_equal(r->s->windows, 0);
	close(lfd);
}

/* ---- options ---- */

static void bad_options_say_what_is_wrong(void **state)
{
	struct rig *r = *state;
	static const struct { const char *opts, *words; } row[] = {
		{ NULL, "configuration required" },
		{ "guest_cid=3", "both required" },
		{ "path=/tmp", "both required" },
		{ "guest_cid=2,api", "invalid guest_cid 2" },
		{ "guest_cid=4294967295,api", "invalid guest_cid" },
		{ "guest_cid=99999999999999999999,api", "bad guest cid" },
		{ "guest_cid=3x,api", "bad guest cid: 3x" },
		{ "guest_cid=3,path=/nowhere/at/all", "/nowhere/at/all/connect" },
		{ "guest_cid=3,path=/tmp,guest_forwards=1;x", "failed to parse forward \"x\"" },
		{ "guest_cid=3,path=/tmp,guest_forwards=1;", "failed to parse forward \"\"" },
		{ "guest_cid=3,api,guest_forwards=1", "needs path" },
		{ "guest_cid=3,path=/12345678901234567890123456789012345678901234567890123456789012345678"
		  "90123456789012345678901234567890", "path too long" },
		{ "guest_cid=3,api,bogus=1", "bogus" },
	};

	for (unsigned i = 0; i < ARRAY_LEN(row); i++) {
		struct hk_err err = { "" };
		struct dev *d = fake_dev(r->f, "virtio-sock", 5, row[i].opts, &err);

		if (d || !strstr(err.text, row[i].words))
			fail_msg("%s: \"%s\"", row[i].opts ? row[i].opts : "nothing", err.text);
	}
}

#define with_rig(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_rig(the_guest_learns_its_cid),
		with_rig(bytes_flow_both_ways),
		with_rig(bytes_written_before_the_answer_are_not_lost),
		with_rig(who_gives_up_before_the_answer_is_forgotten),
		with_rig(a_refused_host_program_sees_the_end),
		with_rig(the_guest_connects_to_the_embedder),
		with_rig(the_guest_connects_to_a_socket_in_the_folder),
		with_rig(a_port_where_nobody_listens_is_reset),
		with_rig(a_busy_listener_is_asked_again),
		with_rig(a_listener_that_stays_busy_is_given_up),
		cmocka_unit_test(who_connects_before_the_driver_waits),
		with_rig(the_guest_may_fill_its_window_and_no_more),
		with_rig(bytes_beyond_the_window_reset_the_connection),
		with_rig(credit_is_told_before_the_guest_runs_dry),
		with_rig(a_credit_request_is_answered),
		with_rig(host_bytes_wait_for_the_guests_credit),
		with_rig(host_bytes_wait_for_the_guests_buffers),
		with_rig(a_packet_may_be_cut_into_any_pieces),
		with_rig(half_close_of_the_host_program_is_shutdown_send),
		with_rig(half_close_of_the_guest_is_end_of_file),
		with_rig(half_close_comes_after_bytes_that_wait),
		with_rig(who_reads_no_more_is_told_and_the_rest_thrown_away),
		with_rig(a_guest_that_does_not_answer_the_end_is_reset_after_30_s),
		with_rig(shutdown_both_of_the_guest_is_answered_by_reset),
		with_rig(a_reset_ends_the_host_program),
		with_rig(a_device_reset_ends_all_and_says_nothing),
		with_rig(a_device_that_was_stopped_says_transport_reset),
		with_rig(packets_of_no_connection_are_reset_but_not_resets),
		with_rig(wrong_cids_and_types_are_reset_at_their_address),
		with_rig(each_mistake_resets_its_connection),
		with_rig(bytes_after_the_guests_end_reset),
		with_rig(bytes_before_the_answer_reset),
		with_rig(old_credit_words_are_not_a_lie),
		with_rig(a_header_that_is_cut_short_is_dropped),
		cmocka_unit_test(answers_without_room_stop_the_tx_queue_and_none_is_lost),
		cmocka_unit_test(a_receive_buffer_without_room_breaks_the_queue),
		with_rig(a_greedy_connection_does_not_hold_up_the_others),
		with_rig(hundreds_of_connections_each_way_are_served),
		with_rig(bad_options_say_what_is_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
