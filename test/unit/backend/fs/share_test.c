// SPDX-License-Identifier: BSD-2-Clause
/* Who runs requests: worker threads with Tflush, and an external server at a socket */
#include "client.h"

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/strbuf.h"

/* One request in flight and what came of it */
struct rq {
	struct share_req r;
	struct iovec in, out;
	u8 req[8300], rep[8300];
	_Atomic int done;
	size_t written;
	_Atomic unsigned *order;
	unsigned place;
};

static void on_done(struct share_req *r, size_t written)
{
	struct rq *q = container_of(r, struct rq, r);

	q->written = written;
	if (q->order)
		q->place = ++*q->order;
	atomic_fetch_add(&q->done, 1);
}

static void send_built(struct share *s, struct rq *q, size_t len)
{
	size_t n;

	q->in = (struct iovec){ q->req, len };
	q->out = (struct iovec){ q->rep, sizeof(q->rep) };
	q->r = (struct share_req){ .in = &q->in, .nin = 1, .out = &q->out, .nout = 1, .done = on_done };
	atomic_store(&q->done, 0);
	if (s->ops->submit(s, &q->r, &n))
		on_done(&q->r, n);
}

static void send_rq(struct share *s, struct rq *q, u8 type, u16 tag, const char *fmt, ...)
{
	va_list ap;
	size_t len;

	va_start(ap, fmt);
	len = build(q->req, type, tag, fmt, ap);
	va_end(ap);
	send_built(s, q, len);
}

static int result(const struct rq *q)
{
	if (!q->written)
		return 1;
	return q->rep[4] == 7 ? -(int)load_le32(q->rep + 7) : 0;
}

static void wait_done(struct rq *q)
{
	for (int i = 0; i < 20000 && !atomic_load(&q->done); i++)
		poll(NULL, 0, 1);
	assert_int_equal(atomic_load(&q->done), 1);
}

/* ------------------------------------------------------------------- local */

static void each_request_is_answered_once_and_flushes_come_after(void **state)
{
	enum { N = 60 };
	struct client *c = *state;
	struct fs_config cfg = { .dir = c->dir };
	struct rq *q = calloc(N, sizeof(*q)), *f = calloc(N, sizeof(*f)), *one = calloc(1, sizeof(*one));
	_Atomic unsigned order = 0;
	struct share *s;
	unsigned dropped = 0;

	assert_int_equal(share_open_dir(&s, &cfg, NULL, NULL, NULL), 0);
	send_rq(s, one, P9_TVERSION, 65535, "ds", 8192u, "9P2000.L");
	assert_int_equal(result(one), 0);
	send_rq(s, one, P9_TATTACH, 1, "ddssd", 1u, P9_NOFID, "", "", 0u);
	send_rq(s, one, P9_TWALK, 1, "ddw", 1u, 2u, 0u);
	send_rq(s, one, P9_TLCREATE, 1, "dsddd", 2u, "f", 2u, 0600u, 0u);
	assert_int_equal(result(one), 0);
	/* fsyncs always go to workers; each flushed while it waits, runs or is over */
	for (unsigned round = 0; round < 5; round++) {
		order = 0;
		for (unsigned i = 0; i < N; i++) {
			q[i].order = f[i].order = &order;
			send_rq(s, &q[i], P9_TFSYNC, (u16)(100 + i), "dd", 2u, 0u);
		}
		for (unsigned i = 0; i < N; i++)
			send_rq(s, &f[i], P9_TFLUSH, (u16)(500 + i), "w", 100 + N - 1 - i);
		for (unsigned i = 0; i < N; i++) {
			wait_done(&q[i]);
			wait_done(&f[i]);
		}
		for (unsigned i = 0; i < N; i++) {
			struct rq *old = &q[N - 1 - i];

			assert_int_equal(result(&f[i]), 0);
			assert_int_equal(f[i].rep[4], P9_TFLUSH + 1);
			assert_int_equal(load_le16(f[i].rep + 5), 500 + i);
			assert_true(f[i].place > old->place);
			assert_true(result(old) == 0 || result(old) == 1);
			dropped += result(old) == 1;
		}
	}
	assert_true(dropped > 0);
	s->ops->reset(s);
	share_close(s);
	free(q);
	free(f);
	free(one);
}

static void reset_waits_for_what_runs_and_forgets_the_session(void **state)
{
	enum { N = 50 };
	struct client *c = *state;
	struct fs_config cfg = { .dir = c->dir };
	struct rq *q = calloc(N, sizeof(*q)), *one = calloc(1, sizeof(*one));
	struct strbuf text = { 0 };
	struct share *s;

	assert_int_equal(share_open_dir(&s, &cfg, NULL, NULL, NULL), 0);
	for (unsigned round = 0; round < 10; round++) {
		send_rq(s, one, P9_TVERSION, 65535, "ds", 8192u, "9P2000.L");
		send_rq(s, one, P9_TATTACH, 1, "ddssd", 1u, P9_NOFID, "", "", 0u);
		send_rq(s, one, P9_TWALK, 1, "ddw", 1u, 2u, 0u);
		send_rq(s, one, P9_TLCREATE, 1, "dsddd", 2u, "f", 2u, 0600u, 0u);
		for (unsigned i = 0; i < N; i++)
			send_rq(s, &q[i], P9_TFSYNC, (u16)(100 + i), "dd", 2u, 0u);
		s->ops->reset(s);
		for (unsigned i = 0; i < N; i++)
			assert_int_equal(atomic_load(&q[i].done), 1);
		send_rq(s, one, P9_TCLUNK, 1, "d", 2u);
		assert_int_equal(result(one), -EBADF);
	}
	s->ops->dump(s, &text);
	assert_non_null(strstr(text.s, "by workers 500"));
	strbuf_fini(&text);
	share_close(s);
	free(q);
	free(one);
}

/* -------------------------------------------------------------------- peer */

/* A 9P server at a socket, misbehaving as told */
struct server {
	struct client *c;
	int listener;
	_Atomic int fd;
	pthread_t thread;
	_Atomic unsigned sessions, messages;
	_Atomic int mode; /* what to do with the next request */
	u8 last[64];	  /* head of the last request */
};
enum { OK, DRIBBLE, DIE, HALF_THEN_DIE, WRONG_TAG_FIRST, SIZE_6, SIZE_HUGE, SILENT, TOO_LONG };

static bool read_all(int fd, u8 *p, size_t n)
{
	while (n) {
		ssize_t k = recv(fd, p, n, 0);

		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

static void *server_main(void *arg)
{
	struct server *v = arg;
	u8 *req = malloc(MSG_MAX), *rep = malloc(MSG_MAX);

	int fd;

	while ((fd = accept(v->listener, NULL, NULL)) >= 0) {
		atomic_store(&v->fd, fd);
		atomic_fetch_add(&v->sessions, 1);
		while (read_all(fd, req, 7) && load_le32(req) >= 7 && load_le32(req) < MSG_MAX &&
		       read_all(fd, req + 7, load_le32(req) - 7)) {
			struct iovec in = { req, load_le32(req) }, out = { rep, MSG_MAX };
			int mode = atomic_exchange(&v->mode, OK);
			size_t n = fs_request(v->c->fs, &in, 1, &out, 1, false);

			memcpy(v->last, req, MIN(in.iov_len, sizeof(v->last)));
			atomic_fetch_add(&v->messages, 1);
			if (mode == DIE)
				break;
			if (mode == SILENT)
				continue;
			if (mode == SIZE_6)
				store_le32(rep, 6);
			if (mode == SIZE_HUGE)
				store_le32(rep, 1u << 30);
			if (mode == TOO_LONG) {
				store_le32(rep, 20000);
				n = 20000;
			}
			if (mode == WRONG_TAG_FIRST) {
				u8 other[500] = { 0 };

				store_le32(other, sizeof(other));
				store_le16(other + 5, 0x7777);
				send(fd, other, sizeof(other), MSG_NOSIGNAL);
			}
			if (mode == HALF_THEN_DIE) {
				send(fd, rep, n / 2, MSG_NOSIGNAL);
				break;
			}
			if (mode == DRIBBLE) {
				for (size_t i = 0; i < n; i++)
					send(fd, rep + i, 1, MSG_NOSIGNAL);
				continue;
			}
			send(fd, rep, n, MSG_NOSIGNAL);
		}
		atomic_store(&v->fd, -1);
		close(fd);
	}
	free(req);
	free(rep);
	return NULL;
}

static void server_start(struct server *v, struct client *c, const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	memset(v, 0, sizeof(*v));
	v->c = c;
	v->fd = -1;
	v->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	assert_int_equal(bind(v->listener, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(v->listener, 5), 0);
	assert_int_equal(pthread_create(&v->thread, NULL, server_main, v), 0);
}

static void server_stop(struct server *v)
{
	int fd = atomic_load(&v->fd);

	shutdown(v->listener, SHUT_RDWR);
	if (fd >= 0)
		shutdown(fd, SHUT_RDWR);
	pthread_join(v->thread, NULL);
	close(v->listener);
}

struct rig {
	struct clock_fake clock;
	struct loop *loop;
	struct share *s;
	struct server v;
	char path[100];
	struct rq *q; /* 8 of them */
};

static void step_until(struct rig *g, struct rq *q)
{
	for (int i = 0; i < 2000 && !atomic_load(&q->done); i++)
		loop_step(g->loop, 10);
	assert_int_equal(atomic_load(&q->done), 1);
}

static void rig_open(struct rig *g, struct client *c, bool server)
{
	memset(g, 0, sizeof(*g));
	clock_fake_init(&g->clock, 1, 1);
	assert_int_equal(loop_create(&g->loop, &g->clock.clock, NULL), 0);
	snprintf(g->path, sizeof(g->path), "%s/9p.sock", c->top);
	g->q = calloc(8, sizeof(g->q[0]));
	if (server)
		server_start(&g->v, c, g->path);
	assert_int_equal(share_open_peer(&g->s, g->path, 0, g->loop, NULL, NULL), 0);
}

static void rig_close(struct rig *g, bool server)
{
	g->s->ops->reset(g->s);
	share_close(g->s);
	if (server)
		server_stop(&g->v);
	unlink(g->path);
	loop_destroy(g->loop);
	free(g->q);
}

static void rig_mount(struct rig *g)
{
	send_rq(g->s, &g->q[0], P9_TVERSION, 65535, "ds", 8192u, "9P2000.L");
	step_until(g, &g->q[0]);
	assert_int_equal(result(&g->q[0]), 0);
	send_rq(g->s, &g->q[0], P9_TATTACH, 1, "ddssd", 1u, P9_NOFID, "", "", 0u);
	step_until(g, &g->q[0]);
	assert_int_equal(result(&g->q[0]), 0);
}

static void messages_pass_to_the_server_and_back(void **state)
{
	static const int modes[] = { OK, DRIBBLE, WRONG_TAG_FIRST };
	struct client *c = *state;
	struct rig g;

	rig_open(&g, c, true);
	rig_mount(&g);
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		atomic_store(&g.v.mode, modes[i]);
		send_rq(g.s, &g.q[1], P9_TGETATTR, 7, "dq", 1u, 0ull);
		step_until(&g, &g.q[1]);
		assert_int_equal(g.q[1].written, 160);
		assert_int_equal(load_le16(g.q[1].rep + 5), 7);
	}
	/* several at once */
	for (unsigned i = 1; i < 8; i++)
		send_rq(g.s, &g.q[i], P9_TGETATTR, (u16)(10 + i), "dq", 1u, 0ull);
	for (unsigned i = 1; i < 8; i++) {
		step_until(&g, &g.q[i]);
		assert_int_equal(load_le16(g.q[i].rep + 5), 10 + i);
	}
	/* more than there is room for: an error, and the stream goes on */
	atomic_store(&g.v.mode, TOO_LONG);
	send_rq(g.s, &g.q[1], P9_TGETATTR, 7, "dq", 1u, 0ull);
	step_until(&g, &g.q[1]);
	assert_int_equal(result(&g.q[1]), -EMSGSIZE);
	send_rq(g.s, &g.q[1], P9_TGETATTR, 7, "dq", 1u, 0ull);
	step_until(&g, &g.q[1]);
	assert_int_equal(g.q[1].written, 160);
	assert_int_equal(atomic_load(&g.v.sessions), 1);
	rig_close(&g, true);
}

static void sizes_that_old_linux_gets_wrong_are_put_right(void **state)
{
	struct client *c = *state;
	struct rig g;

	rig_open(&g, c, true);
	rig_mount(&g);
	memset(g.q[1].req, 0, 64);
	store_le32(g.q[1].req, 23);
	g.q[1].req[4] = P9_TWRITE;
	store_le32(g.q[1].req + 7, 99);
	store_le32(g.q[1].req + 19, 4);
	send_built(g.s, &g.q[1], 33);
	step_until(&g, &g.q[1]);
	assert_int_equal(load_le32(g.v.last), 33);
	assert_int_equal(load_le32(g.v.last + 19), 10);
	/* other messages that lie are refused here */
	g.q[1].req[4] = P9_TCLUNK;
	store_le32(g.q[1].req, 100);
	send_built(g.s, &g.q[1], 33);
	assert_int_equal(result(&g.q[1]), -EPROTO);
	rig_close(&g, true);
}

static void a_server_that_dies_is_io_errors_until_the_next_mount(void **state)
{
	static const int modes[] = { DIE, HALF_THEN_DIE, SIZE_6, SIZE_HUGE };
	struct client *c = *state;
	struct rig g;

	rig_open(&g, c, true);
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		rig_mount(&g);
		assert_int_equal(atomic_load(&g.v.sessions), i + 1);
		atomic_store(&g.v.mode, SILENT);
		send_rq(g.s, &g.q[1], P9_TGETATTR, 7, "dq", 1u, 0ull);
		while (atomic_load(&g.v.mode) == SILENT)
			loop_step(g.loop, 1);
		atomic_store(&g.v.mode, modes[i]);
		send_rq(g.s, &g.q[2], P9_TGETATTR, 8, "dq", 1u, 0ull);
		step_until(&g, &g.q[2]);
		step_until(&g, &g.q[1]);
		assert_int_equal(result(&g.q[1]), -EIO);
		assert_int_equal(result(&g.q[2]), -EIO);
		assert_int_equal(load_le16(g.q[1].rep + 5), 7);
		send_rq(g.s, &g.q[1], P9_TCLUNK, 7, "d", 1u);
		assert_int_equal(result(&g.q[1]), -EIO);
	}
	rig_close(&g, true);
}

static void what_is_flushed_comes_back_before_rflush(void **state)
{
	struct client *c = *state;
	_Atomic unsigned order = 0;
	struct rig g;

	rig_open(&g, c, true);
	rig_mount(&g);
	atomic_store(&g.v.mode, SILENT);
	g.q[1].order = g.q[2].order = &order;
	send_rq(g.s, &g.q[1], P9_TGETATTR, 7, "dq", 1u, 0ull);
	send_rq(g.s, &g.q[2], P9_TFLUSH, 8, "w", 7);
	step_until(&g, &g.q[2]);
	assert_int_equal(result(&g.q[2]), 0);
	assert_int_equal(atomic_load(&g.q[1].done), 1);
	assert_int_equal(g.q[1].written, 0);
	assert_int_equal(g.q[1].place, 1);
	rig_close(&g, true);
}

static void a_server_may_start_late_but_not_too_late(void **state)
{
	struct client *c = *state;
	struct rig g;

	rig_open(&g, c, false);
	send_rq(g.s, &g.q[1], P9_TCLUNK, 7, "d", 1u);
	assert_int_equal(result(&g.q[1]), -EIO); /* no session yet */
	send_rq(g.s, &g.q[0], P9_TVERSION, 65535, "ds", 8192u, "9P2000.L");
	for (unsigned i = 0; i < 100; i++) {
		clock_fake_advance(&g.clock, 50000000);
		loop_step(g.loop, 0);
	}
	assert_int_equal(atomic_load(&g.q[0].done), 0);
	server_start(&g.v, c, g.path);
	clock_fake_advance(&g.clock, 50000000);
	step_until(&g, &g.q[0]);
	assert_int_equal(result(&g.q[0]), 0);
	server_stop(&g.v);
	unlink(g.path);
	/* gone for good: after ten seconds the mount fails */
	for (unsigned i = 0; i < 100; i++)
		loop_step(g.loop, 0);
	send_rq(g.s, &g.q[0], P9_TVERSION, 65535, "ds", 8192u, "9P2000.L");
	for (unsigned i = 0; i < 201; i++) {
		clock_fake_advance(&g.clock, 50000000);
		loop_step(g.loop, 0);
	}
	step_until(&g, &g.q[0]);
	assert_true(result(&g.q[0]) == -ENOENT || result(&g.q[0]) == -EIO);
	/* and a reset while connecting lets go of the request */
	send_rq(g.s, &g.q[0], P9_TVERSION, 65535, "ds", 8192u, "9P2000.L");
	g.s->ops->reset(g.s);
	assert_int_equal(atomic_load(&g.q[0].done), 1);
	assert_int_equal(g.q[0].written, 0);
	rig_close(&g, false);
}

static void names_and_ports_of_servers_are_checked(void **state)
{
	struct hk_err err = { "" };
	char path[200];
	struct share *s;

	memset(path, 'p', sizeof(path));
	path[199] = '\0';
	assert_int_equal(share_open_peer(&s, path, 0, NULL, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.text, "107"));
	assert_int_equal(share_open_peer(&s, "", 0, NULL, NULL, &err), -EINVAL);
	assert_int_equal(share_open_peer(&s, NULL, 0, NULL, NULL, &err), -EINVAL);
	assert_int_equal(share_open_peer(&s, NULL, 65536, NULL, NULL, &err), -EINVAL);
}

static void directories_that_cannot_be_shared_are_refused_with_words(void **state)
{
	struct client *c = *state;
	struct fs_config cfg = { .dir = "/nonexistent" };
	struct hk_err err = { "" };
	struct share *s;

	assert_int_equal(share_open_dir(&s, &cfg, NULL, NULL, &err), -ENOENT);
	assert_string_equal(err.text, "dir=/nonexistent: No such file or directory");
	put_file(in_dir(c, "f"), "x");
	cfg.dir = in_dir(c, "f");
	assert_int_equal(share_open_dir(&s, &cfg, NULL, NULL, &err), -ENOTDIR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_request_is_answered_once_and_flushes_come_after),
		TEST(reset_waits_for_what_runs_and_forgets_the_session),
		TEST(messages_pass_to_the_server_and_back),
		TEST(sizes_that_old_linux_gets_wrong_are_put_right),
		TEST(a_server_that_dies_is_io_errors_until_the_next_mount),
		TEST(what_is_flushed_comes_back_before_rflush),
		TEST(a_server_may_start_late_but_not_too_late),
		TEST(names_and_ports_of_servers_are_checked),
		TEST(directories_that_cannot_be_shared_are_refused_with_words),
	};

	return cmocka_run_group_tests_name("fs/share", tests, NULL, NULL);
}
