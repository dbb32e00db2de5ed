// SPDX-License-Identifier: BSD-2-Clause
/* boot/e820.c - The memory map that a kernel is told
 *
 * RAM, and as reserved what is ours: the top of low memory, the tables below
 * 1 MiB, the PCIe configuration window (Linux uses it only when it is reserved
 * here or in ACPI) and the four pages that KVM needs on old Intel CPUs. */
#include "boot/boot_int.h"

#define ECAM_GPA 0xe0000000ull
#define ECAM_BYTES 0x10000000ull
#define KVM_TSS_GPA 0xfeffc000ull
#define KVM_TSS_BYTES 0x4000ull

unsigned boot_e820_build(const struct boot_env *env, struct boot_e820 *out, unsigned max)
{
	const u64 low = env->lowmem_bytes;
	const struct boot_e820 row[] = {
		{ 0, MIN(low, BOOT_EBDA_GPA), E820_RAM },
		{ BOOT_EBDA_GPA, 0xa0000 - BOOT_EBDA_GPA, E820_RESERVED },
		{ BOOT_MPTABLE_GPA, BOOT_1MIB - BOOT_MPTABLE_GPA, E820_RESERVED },
		{ BOOT_1MIB, low > BOOT_1MIB ? low - BOOT_1MIB : 0, E820_RAM },
		{ ECAM_GPA, ECAM_BYTES, E820_RESERVED },
		{ KVM_TSS_GPA, KVM_TSS_BYTES, E820_RESERVED },
		{ BOOT_HIGHMEM_GPA, env->highmem_bytes, E820_RAM },
	};
	unsigned n = 0;

	for (unsigned i = 0; i < ARRAY_LEN(row) && n < max; i++)
		if (row[i].size)
			out[n++] = row[i];
	return n;
}
