// SPDX-License-Identifier: BSD-2-Clause
/* Balloon and console of the public header: what an embedder gets when there is none, before the
 * start, and while a guest that knows nothing of them runs */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hyperkit/hyperkit.h>

/* A Multiboot kernel that halts with interrupts on, so that the VM goes on */
static void write_kernel(char *path)
{
	static const uint32_t header[] = {
		0x1badb002, 0x10000, -(0x1badb002u + 0x10000u), /* addresses are in the header */
		0x100000, 0x100000, 0x100000 + 64, 0x100000 + 64, 0x100000 + 32,
	};
	static const uint8_t code[] = { 0xfb, 0xf4, 0xeb, 0xfd }; /* sti; hlt; jmp back */
	uint8_t file[64] = { 0 };
	int fd = mkstemp(path);

	memcpy(file, header, sizeof(header));
	memcpy(file + 32, code, sizeof(code));
	assert_true(fd >= 0);
	assert_int_equal(write(fd, file, sizeof(file)), sizeof(file));
	close(fd);
}

static struct hk_vm *make(int with)
{
	struct hk_vm_config cfg = { .size = sizeof(cfg), .memory_bytes = 32 << 20, .accel = "soft" };
	char path[] = "/tmp/hk-balloon.XXXXXX";
	struct hk_err err = { "" };
	struct hk_vm *vm;

	write_kernel(path);
	assert_int_equal(hk_vm_create(&vm, &cfg, &err), 0);
	if (with) {
		assert_int_equal(hk_vm_device(vm, 0, 3, 0, "virtio-balloon", "size=1M", &err), 0);
		assert_int_equal(hk_vm_device(vm, 0, 4, 0, "virtio-console", NULL, &err), 0);
	}
	if (hk_vm_boot_multiboot(vm, path, NULL, NULL, &err))
		fail_msg("%s", err.text);
	unlink(path);
	return vm;
}

static void without_the_devices_there_is_none(void **s)
{
	struct hk_balloon_info info = { .size = sizeof(info) };
	struct hk_vm *vm = make(0);

	assert_int_equal(hk_vm_balloon_set(NULL, 0), -EINVAL);
	assert_int_equal(hk_vm_balloon_info(NULL, &info), -EINVAL);
	assert_int_equal(hk_vm_balloon_info(vm, NULL), -EINVAL);
	assert_int_equal(hk_vm_console_size(NULL, 1, 1), -EINVAL);
	assert_int_equal(hk_vm_console_size(vm, 65536, 1), -EINVAL);
	for (int started = 0; started < 2; started++) {
		assert_int_equal(hk_vm_balloon_set(vm, 0), -ENODEV);
		assert_int_equal(hk_vm_balloon_info(vm, &info), -ENODEV);
		assert_int_equal(hk_vm_console_size(vm, 80, 25), -ENODEV);
		if (!started)
			assert_int_equal(hk_vm_start(vm, NULL), 0);
	}
	hk_vm_destroy(vm);
	(void)s;
}

static void a_guest_that_does_not_care_is_asked_in_vain(void **s)
{
	struct hk_balloon_info info = { .size = sizeof(info) };
	struct hk_vm *vm = make(1);
	enum hk_exit why;

	assert_int_equal(hk_vm_balloon_set(vm, 0), -ENODEV); /* not started yet */
	assert_int_equal(hk_vm_start(vm, NULL), 0);
	assert_int_equal(hk_vm_balloon_info(vm, &info), 0);
	assert_int_equal(info.target_bytes, 1 << 20);
	assert_int_equal(hk_vm_balloon_set(vm, (8 << 20) + 1), 0);
	assert_int_equal(hk_vm_balloon_info(vm, &info), 0);
	assert_int_equal(info.target_bytes, 8 << 20);
	assert_int_equal(info.actual_bytes, 0);
	assert_true(info.age_ms == UINT64_MAX && info.free_bytes == UINT64_MAX);
	assert_int_equal(hk_vm_console_size(vm, 80, 25), 0);
	/* a caller that was built against a shorter struct */
	info = (struct hk_balloon_info){ .size = offsetof(struct hk_balloon_info, actual_bytes),
					 .actual_bytes = 77 };
	assert_int_equal(hk_vm_balloon_info(vm, &info), 0);
	assert_int_equal(info.size, offsetof(struct hk_balloon_info, actual_bytes));
	assert_int_equal(info.target_bytes, 8 << 20);
	assert_int_equal(info.actual_bytes, 77);
	hk_vm_stop(vm);
	assert_int_equal(hk_vm_wait(vm, 10000, &why), 0);
	assert_int_equal(hk_vm_balloon_set(vm, 0), 0); /* harmless after the end */
	hk_vm_destroy(vm);
	(void)s;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_the_devices_there_is_none),
		cmocka_unit_test(a_guest_that_does_not_care_is_asked_in_vain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
