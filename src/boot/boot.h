// SPDX-License-Identifier: BSD-2-Clause
/* boot/boot.h - Put a kernel and the firmware tables into guest RAM (door)
 *
 * Everything runs in [setup]. Kernel files are hostile: each number in them is
 * checked against the file and RAM before it is used. */
#ifndef BOOT_BOOT_H
#define BOOT_BOOT_H

#include "accel/x86_state.h"
#include "base/types.h"
#include "mem/mem.h"

/* Memory map of the board (hyperkit-facts 2.1), bytes */
#define BOOT_MPTABLE_GPA 0xF0000u
#define BOOT_SMBIOS_GPA 0xF1000u
#define BOOT_ACPI_GPA 0xF2400u
#define BOOT_ACPI_END 0x100000u
#define BOOT_LOWMEM_MAX 0xC0000000ull
#define BOOT_HIGHMEM_GPA 0x100000000ull

enum boot_e820_type { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3, E820_NVS = 4 };
struct boot_e820 {
	u64 addr, size;
	u32 type;
};
#define BOOT_MAX_E820 32

/* What boot code needs to know of the machine */
struct boot_env {
	struct mem *mem;
	u64 lowmem_bytes, highmem_bytes;
	unsigned cpus;
	const char *uuid;  /* 36 characters, checked, or NULL = derive */
	bool acpi, mptable;
};

/* [any] Memory map that the kernel sees: RAM, and what is ours as reserved. Return: rows */
unsigned boot_e820_build(const struct boot_env *env, struct boot_e820 *out, unsigned max);

struct boot_source; /* kernel, initrd, command line, or multiboot modules: opened and checked */
int boot_linux_open(struct boot_source **out, const char *kernel, const char *initrd,
		    const char *cmdline, struct hk_err *err) MUST_CHECK; /* bzImage or ELF with PVH note */
int boot_multiboot_open(struct boot_source **out, const char *kernel, const char *modules,
			const char *cmdline, struct hk_err *err) MUST_CHECK;
void boot_source_close(struct boot_source *s);
/* Load into RAM and set the BSP's registers. May be called again after a reset. */
int boot_source_load(struct boot_source *s, const struct boot_env *env, struct x86_state *bsp,
		     struct hk_err *err) MUST_CHECK;

/* Tables. @routes: INTx users, see device/pci */
struct boot_pci {
	u64 io_base, io_limit, mem32_base, mem32_limit, mem64_base, mem64_limit, ecam_base;
	int lpc_slot; /* -1: none */
	struct boot_intx { u8 bus, slot, pin, gsi, pirq, isa_irq; } route[128];
	unsigned num_routes;
	bool bus_used_beyond_0;
	bool hpet;
	bool com1, com2;
};
int boot_acpi_build(const struct boot_env *env, const struct boot_pci *pci, struct hk_err *err) MUST_CHECK;
int boot_mptable_build(const struct boot_env *env, const struct boot_pci *pci, struct hk_err *err) MUST_CHECK;
int boot_smbios_build(const struct boot_env *env, struct hk_err *err) MUST_CHECK;

#endif
