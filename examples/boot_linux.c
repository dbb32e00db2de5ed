// SPDX-License-Identifier: BSD-2-Clause
/* examples/boot_linux.c - Boot a kernel, show its console, tell how it ended
 *
 * cc boot_linux.c $(pkg-config --cflags --libs hyperkit)
 * ./a.out vmlinuz initrd "console=ttyS0" */
#include <hyperkit/hyperkit.h>
#include <poll.h>
#include <stdio.h>

static void console(void *arg, const uint8_t *bytes, size_t n)
{
	fwrite(bytes, 1, n, stdout);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct hk_vm_config cfg = { .size = sizeof(cfg), .cpus = 2, .flags = HK_VM_ACPI,
				    .memory_bytes = 512ull << 20 };
	struct hk_serial_config com1 = HK_SERIAL_CONFIG_INIT;
	struct hk_event ev = { .type = HK_EVENT_PAUSED };
	struct hk_vm *vm = NULL;
	struct hk_err err = { "usage: boot_linux KERNEL INITRD COMMAND-LINE" };

	com1.output = console;
	if (argc != 4 || hk_vm_create(&vm, &cfg, &err) ||
	    hk_vm_device(vm, 0, 0, 0, "hostbridge", NULL, &err) ||
	    hk_vm_device(vm, 0, 31, 0, "lpc", NULL, &err) ||
	    hk_vm_serial(vm, 1, &com1, &err) ||
	    hk_vm_boot_linux(vm, argv[1], argv[2], argv[3], &err) || hk_vm_start(vm, &err)) {
		fprintf(stderr, "%s\n", err.text);
		hk_vm_destroy(vm);
		return 1;
	}
	while (ev.type != HK_EVENT_EXIT) {
		struct pollfd p = { .fd = hk_vm_fd(vm), .events = POLLIN };

		poll(&p, 1, -1);
		while (ev.type != HK_EVENT_EXIT && !hk_vm_next_event(vm, &ev))
			;
	}
	printf("the guest ended: %s\n", ev.text);
	hk_vm_destroy(vm);
	return ev.exit != HK_EXIT_POWEROFF;
}
