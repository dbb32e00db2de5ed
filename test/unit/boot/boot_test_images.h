// SPDX-License-Identifier: BSD-2-Clause
/* test/unit/boot/boot_test_images.h - Synthetic kernels, a small VM, temporary files
 *
 * Each test mends or breaks bytes of an image in memory, writes it to a file in a
 * directory that goes away with the test, and opens it. */
#ifndef BOOT_TEST_IMAGES_H
#define BOOT_TEST_IMAGES_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/wire.h"
#include "boot/boot.h"

#define MIB (1024ull * 1024)

struct fixture {
	char dir[64], kernel[96], initrd[96], other[96];
	u8 image[64 * 1024];
	size_t len;
	struct mem mem;
	struct boot_env env;
	struct x86_state bsp;
	struct boot_source *source;
	struct hk_err err;
};

static inline struct fixture *fx(void **state)
{
	return *state;
}

static inline int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/hk-boot-test-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->kernel, sizeof(f->kernel), "%s/kernel", f->dir);
	snprintf(f->initrd, sizeof(f->initrd), "%s/initrd", f->dir);
	snprintf(f->other, sizeof(f->other), "%s/other", f->dir);
	mem_init(&f->mem);
	*state = f;
	return 0;
}

static inline int fixture_teardown(void **state)
{
	struct fixture *f = *state;

	boot_source_close(f->source);
	mem_fini(&f->mem);
	unlink(f->kernel);
	unlink(f->initrd);
	unlink(f->other);
	rmdir(f->dir);
	free(f);
	return 0;
}

static inline void write_file(const char *path, const void *p, size_t n, u64 sparse_len)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, n), n);
	if (sparse_len)
		assert_int_equal(ftruncate(fd, (off_t)sparse_len), 0);
	close(fd);
}

static inline void make_ram(struct fixture *f, u64 low, u64 high)
{
	assert_int_equal(mem_add(&f->mem, 0, low, 0, NULL), 0);
	if (high)
		assert_int_equal(mem_add(&f->mem, BOOT_HIGHMEM_GPA, high, 0, NULL), 0);
	f->env = (struct boot_env){ .mem = &f->mem, .lowmem_bytes = low, .highmem_bytes = high,
				    .cpus = 1, .acpi = true };
}

static inline u8 *ram(struct fixture *f, u64 gpa)
{
	u8 *p = mem_ptr(&f->mem, gpa, 1);

	assert_non_null(p);
	return p;
}

/* The words must say what is wrong */
static inline void assert_refused(struct fixture *f, int rc, int want, const char *words)
{
	if (rc != want || !strstr(f->err.text, words))
		fail_msg("rc %d, want %d; \"%s\" does not say \"%s\"", rc, want, f->err.text,
			 words);
}

#define boot_test(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

#endif
