// SPDX-License-Identifier: BSD-2-Clause
/* fuzz/bzimage_fuzz.c - bzImage files: opened, checked, loaded (boot/linux.c) */
#include "boot_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct boot_input *in = boot_input_set(data, n);
	struct boot_source *s;
	struct hk_err err;

	if (boot_linux_open(&s, in->kernel, n % 2 ? in->initrd : NULL, "console=ttyS0", &err))
		return 0;
	boot_input_load_all(s);
	boot_source_close(s);
	return 0;
}
