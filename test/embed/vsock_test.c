// SPDX-License-Identifier: BSD-2-Clause
/* A guest's vsock ports in the embedder's hands: what holds without a guest that answers */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <hyperkit/hyperkit.h>

static int setup(void **state)
{
	const struct hk_vm_config cfg = { .size = sizeof(cfg), .accel = "soft" };
	struct hk_vm *vm;
	struct hk_err err;

	if (hk_vm_create(&vm, &cfg, &err))
		fail_msg("%s", err.text);
	*state = vm;
	return 0;
}

static int teardown(void **state)
{
	hk_vm_destroy(*state);
	return 0;
}

static void add_sock(struct hk_vm *vm)
{
	struct hk_err err;

	if (hk_vm_device(vm, 0, 4, 0, "virtio-sock", "guest_cid=3,api", &err))
		fail_msg("%s", err.text);
}

static void without_the_device_there_are_no_ports(void **state)
{
	struct hk_err err = { "" };
	int fd = -1;

	assert_int_equal(hk_vm_vsock_connect(*state, 1, &fd, &err), -ENODEV);
	assert_non_null(strstr(err.text, "virtio-sock"));
	assert_int_equal(hk_vm_vsock_listen(*state, 1, &fd, &err), -ENODEV);
	assert_int_equal(fd, -1);
}

static void ends_made_before_the_start_end_with_the_vm(void **state)
{
	struct hk_vm *vm = *state;
	int fd, listener, conn;
	char c;

	add_sock(vm);
	assert_int_equal(hk_vm_vsock_connect(vm, 1, &fd, NULL), 0);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(hk_vm_vsock_listen(vm, 1, &listener, NULL), 0);
	hk_vm_destroy(vm);
	*state = NULL;
	assert_true(read(fd, &c, 1) <= 0);
	assert_int_equal(hk_vsock_accept(listener, &conn, NULL), -ECONNABORTED);
	close(fd);
	close(listener);
}

static void a_port_has_one_listener(void **state)
{
	struct hk_err err = { "" };
	int a, b;

	add_sock(*state);
	assert_int_equal(hk_vm_vsock_listen(*state, 1, &a, &err), 0);
	assert_int_equal(hk_vm_vsock_listen(*state, 1, &b, &err), -EADDRINUSE);
	close(a);
	assert_int_equal(hk_vm_vsock_listen(*state, 1, &b, &err), 0);
	close(b);
}

static void after_the_end_nothing_connects(void **state)
{
	int fd;

	add_sock(*state);
	hk_vm_stop(*state);
	assert_int_equal(hk_vm_vsock_connect(*state, 1, &fd, NULL), -ENODEV);
}

static void nothing_given_is_an_error_not_a_crash(void **state)
{
	int fd;

	assert_int_equal(hk_vm_vsock_connect(NULL, 1, &fd, NULL), -EINVAL);
	assert_int_equal(hk_vm_vsock_listen(*state, 1, NULL, NULL), -EINVAL);
	assert_int_equal(hk_vsock_accept(-1, NULL, NULL), -EINVAL);
	assert_int_equal(hk_vsock_accept(-1, &fd, NULL), -EBADF);
}

#define with_vm(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_vm(without_the_device_there_are_no_ports),
		with_vm(ends_made_before_the_start_end_with_the_vm),
		with_vm(a_port_has_one_listener),
		with_vm(after_the_end_nothing_connects),
		with_vm(nothing_given_is_an_error_not_a_crash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
