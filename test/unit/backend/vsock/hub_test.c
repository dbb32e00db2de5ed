// SPDX-License-Identifier: BSD-2-Clause
/* The embedder's ends of vsock connections */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/vsock/vsk.h"

struct rig {
	struct clock clock;
	struct loop *loop;
	struct vsk_hub *hub;
	unsigned came;
	int fd;
	u32 port;
};

static void incoming(void *arg, int fd, u32 port, bool hello)
{
	struct rig *r = arg;

	if (r->fd >= 0)
		close(r->fd);
	r->came++;
	r->fd = fd;
	r->port = port;
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	r->fd = -1;
	clock_init_host(&r->clock);
	assert_int_equal(loop_create(&r->loop, &r->clock, NULL), 0);
	assert_int_equal(vsk_hub_create(&r->hub, r->loop, NULL), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	vsk_hub_destroy(r->hub);
	loop_destroy(r->loop);
	if (r->fd >= 0)
		close(r->fd);
	free(r);
	return 0;
}

static void attach(struct rig *r)
{
	const struct vsk_peer peer = { incoming, r };

	assert_int_equal(vsk_hub_attach(r->hub, &peer), 0);
}

static void settle(struct rig *r)
{
	while (loop_step(r->loop, 0))
		;
}

static void who_connects_before_there_is_a_device_waits_for_it(void **state)
{
	struct rig *r = *state;
	char buf[4] = "";
	int fd;

	assert_int_equal(vsk_hub_connect(r->hub, 7, &fd), 0);
	assert_int_equal(write(fd, "hi", 2), 2);
	settle(r);
	assert_int_equal(r->came, 0);
	attach(r);
	settle(r);
	assert_int_equal(r->came, 1);
	assert_int_equal(r->port, 7);
	assert_int_equal(read(r->fd, buf, 4), 2);
	assert_string_equal(buf, "hi");
	close(fd);
}

static void only_so_many_may_wait(void **state)
{
	struct rig *r = *state;
	int fd, n = 0, rc;

	while (n < 2000 && !(rc = vsk_hub_connect(r->hub, 7, &fd))) {
		close(fd);
		n++;
	}
	if (rc == -EMFILE)
		n = VSK_HUB_MAX_WAITING;
	else
		assert_int_equal(rc, -ENOBUFS);
	assert_int_equal(n, VSK_HUB_MAX_WAITING);
	attach(r);
	settle(r);
	assert_int_equal(vsk_hub_connect(r->hub, 7, &fd), 0);
	close(fd);
}

static void a_device_that_leaves_ends_those_who_wait(void **state)
{
	struct rig *r = *state;
	char c;
	int fd;

	attach(r);
	assert_int_equal(vsk_hub_connect(r->hub, 7, &fd), 0);
	vsk_hub_detach(r->hub, r);
	settle(r);
	assert_int_equal(r->came, 0);
	assert_int_equal(read(fd, &c, 1), 0);
	close(fd);
}

static void a_second_device_is_not_the_embedders(void **state)
{
	struct rig *r = *state;
	struct rig another = { .fd = -1 };
	const struct vsk_peer other = { incoming, &another };

	attach(r);
	assert_int_equal(vsk_hub_attach(r->hub, &other), -EBUSY);
	vsk_hub_detach(r->hub, &another);
	assert_int_equal(vsk_hub_attach(r->hub, &other), -EBUSY);
}

static void the_guests_connections_arrive_with_their_port(void **state)
{
	struct rig *r = *state;
	struct pollfd pfd = { .events = POLLIN };
	int ours, theirs;
	u32 port;
	char c;

	assert_int_equal(vsk_hub_dial(r->hub, 9, 1024, &ours), -ENOENT);
	assert_int_equal(vsk_hub_listen(r->hub, 9, &pfd.fd), 0);
	assert_int_equal(poll(&pfd, 1, 0), 0);
	assert_int_equal(vsk_hub_dial(r->hub, 9, 1024, &ours), 0);
	assert_int_equal(poll(&pfd, 1, 0), 1);
	assert_int_equal(vsk_hub_accept(pfd.fd, &theirs, &port), 0);
	assert_int_equal(port, 1024);
	assert_true(fcntl(theirs, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(ours, "x", 1), 1);
	assert_int_equal(read(theirs, &c, 1), 1);
	close(ours);
	assert_int_equal(read(theirs, &c, 1), 0);
	close(theirs);
	fcntl(pfd.fd, F_SETFL, O_NONBLOCK);
	assert_int_equal(vsk_hub_accept(pfd.fd, &theirs, &port), -EAGAIN);
	close(pfd.fd);
}

static void a_port_is_free_again_when_its_listener_is_closed(void **state)
{
	struct rig *r = *state;
	int a, b, fd;

	assert_int_equal(vsk_hub_listen(r->hub, 9, &a), 0);
	assert_int_equal(vsk_hub_listen(r->hub, 9, &b), -EADDRINUSE);
	close(a);
	assert_int_equal(vsk_hub_dial(r->hub, 9, 1024, &fd), -ENOENT);
	assert_int_equal(vsk_hub_listen(r->hub, 9, &b), 0);
	assert_int_equal(vsk_hub_dial(r->hub, 9, 1024, &fd), 0);
	close(fd);
	close(b);
}

static void an_embedder_that_does_not_accept_is_busy(void **state)
{
	struct rig *r = *state;
	int l, fd[1000], n = 0, rc = 0;

	assert_int_equal(vsk_hub_listen(r->hub, 9, &l), 0);
	while (n < 1000 && !(rc = vsk_hub_dial(r->hub, 9, 1024, &fd[n])))
		n++;
	assert_int_equal(rc, -EAGAIN);
	while (n)
		close(fd[--n]);
	close(l);
}

static void the_end_of_the_vm_ends_the_listening(void **state)
{
	struct rig *r = *state;
	int l, fd;

	assert_int_equal(vsk_hub_listen(r->hub, 9, &l), 0);
	vsk_hub_destroy(r->hub);
	r->hub = NULL;
	assert_int_equal(vsk_hub_accept(l, &fd, NULL), -ECONNABORTED);
	close(l);
}

#define with_rig(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_rig(who_connects_before_there_is_a_device_waits_for_it),
		with_rig(only_so_many_may_wait),
		with_rig(a_device_that_leaves_ends_those_who_wait),
		with_rig(a_second_device_is_not_the_embedders),
		with_rig(the_guests_connections_arrive_with_their_port),
		with_rig(a_port_is_free_again_when_its_listener_is_closed),
		with_rig(an_embedder_that_does_not_accept_is_busy),
		with_rig(the_end_of_the_vm_ends_the_listening),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
