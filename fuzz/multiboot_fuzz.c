// SPDX-License-Identifier: BSD-2-Clause
/* fuzz/multiboot_fuzz.c - Multiboot 1 kernels, and the text of a list of modules
 *
 * The list is what stands behind the last 0xFF of the input; module paths that the
 * fuzzer makes up do not exist, "K" stands for a file that does. */
#include <string.h>

#include "boot_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const uint8_t *mark = n ? memrchr(data, 0xff, n) : NULL;
	size_t list_n = mark ? (size_t)(data + n - mark) - 1 : 0, at = 0;
	struct boot_input *in = boot_input_set(data, n);
	char list[1024];
	struct boot_source *s;
	struct hk_err err;

	for (size_t i = 0; i < list_n && at < sizeof(list) - sizeof(in->initrd); i++) {
		if (mark[1 + i] == 'K')
			at += (size_t)sprintf(list + at, "%s", in->initrd);
		else if (mark[1 + i])
			list[at++] = (char)mark[1 + i];
	}
	list[at] = '\0';
	if (boot_multiboot_open(&s, in->kernel, list, n % 2 ? "cmdline" : NULL, &err))
		return 0;
	boot_input_load_all(s);
	boot_source_close(s);
	return 0;
}
