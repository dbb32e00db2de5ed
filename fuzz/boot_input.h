// SPDX-License-Identifier: BSD-2-Clause
/* fuzz/boot_input.h - Hand a fuzzer's bytes to a loader as the kernel file it opens
 *
 * The file is a memfd that lives as long as the process; loaders get its path below
 * /proc. What parses is loaded twice, with much and with little RAM. */
#ifndef FUZZ_BOOT_INPUT_H
#define FUZZ_BOOT_INPUT_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "boot/boot.h"

struct boot_input {
	int kernel_fd, initrd_fd;
	char kernel[32], initrd[32];
};

static inline int boot_input_file(char *path, const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0)
		abort();
	snprintf(path, 32, "/proc/self/fd/%d", fd);
	return fd;
}

static inline struct boot_input *boot_input_set(const uint8_t *data, size_t n)
{
	static struct boot_input in;

	if (!in.kernel[0]) {
		in.kernel_fd = boot_input_file(in.kernel, "kernel");
		in.initrd_fd = boot_input_file(in.initrd, "initrd");
		if (ftruncate(in.initrd_fd, 12345))
			abort();
	}
	if (ftruncate(in.kernel_fd, 0) || pwrite(in.kernel_fd, data, n, 0) != (ssize_t)n)
		abort();
	return &in;
}

static inline void boot_input_load(struct boot_source *s, u64 low_bytes)
{
	struct mem mem;
	struct boot_env env = { .mem = &mem, .lowmem_bytes = low_bytes, .cpus = 2, .acpi = true };
	struct x86_state bsp = { 0 };
	struct hk_err err;

	mem_init(&mem);
	if (mem_add(&mem, 0, low_bytes, 0, NULL))
		abort();
	if (boot_source_load(s, &env, &bsp, &err) == 0 && !env.mem)
		abort();
	mem_fini(&mem);
}

static inline void boot_input_load_all(struct boot_source *s)
{
	boot_input_load(s, 24u << 20);
	boot_input_load(s, 1u << 20);
}

#endif
