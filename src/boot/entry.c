// SPDX-License-Identifier: BSD-2-Clause
/* boot/entry.c - GDT, page tables and registers of the first instruction
 *
 * The selectors 0x10 and 0x18 are those of the Linux boot protocol ("32-bit" and
 * "64-bit Boot Protocol"); PVH and multiboot do not care. */
#include "base/wire.h"
#include "boot/boot_int.h"

#define PTE_P BIT64(0)
#define PTE_W BIT64(1)
#define PTE_PS BIT64(7)

#define CODE32_DESC 0x00cf9a000000ffffull
#define CODE64_DESC 0x00af9a000000ffffull
#define DATA_DESC 0x00cf92000000ffffull
#define GDT_BYTES 32

static int flat_segments(const struct boot_env *env, struct x86_state *bsp, bool code64)
{
	const struct x86_segment data = { .limit = 0xffffffff, .sel = BOOT_DS,
					  .attr = X86_SEG_G | X86_SEG_DB | X86_SEG_P |
						  X86_SEG_S | 3 };
	u8 gdt[GDT_BYTES] = { 0 };

	store_le64(gdt + BOOT_CS, code64 ? CODE64_DESC : CODE32_DESC);
	store_le64(gdt + BOOT_DS, DATA_DESC);
	x86_state_reset(bsp, true);
	bsp->gpr[X86_RDX] = 0;
	bsp->seg[X86_CS] = data;
	bsp->seg[X86_CS].sel = BOOT_CS;
	bsp->seg[X86_CS].attr = X86_SEG_G | (code64 ? X86_SEG_L : X86_SEG_DB) | X86_SEG_P |
				X86_SEG_S | 0xb;
	bsp->seg[X86_DS] = bsp->seg[X86_ES] = bsp->seg[X86_SS] = data;
	bsp->seg[X86_FS] = bsp->seg[X86_GS] = data;
	/* No descriptor stands behind TR: the kernel loads its own before it needs one */
	bsp->seg[X86_TR].limit = 0x67;
	bsp->seg[X86_LDTR].attr = X86_SEG_UNUSABLE;
	bsp->gdt = (struct x86_table){ .base = BOOT_GDT_GPA, .limit = GDT_BYTES - 1 };
	bsp->idt = (struct x86_table){ 0 };
	return mem_write(env->mem, BOOT_GDT_GPA, gdt, sizeof(gdt));
}

int entry_protected(const struct boot_env *env, struct x86_state *bsp, u32 rip)
{
	int rc = flat_segments(env, bsp, false);

	bsp->cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE;
	bsp->rip = rip;
	return rc;
}

/* The first 4 GiB one to one, in pages of 2 MiB */
static int identity_map(const struct boot_env *env)
{
	u64 table[512];
	gpa_t at = BOOT_PGTABLE_GPA;
	int rc;

	for (unsigned t = 0; t < 6; t++, at += PAGE_BYTES) {
		for (unsigned i = 0; i < 512; i++) {
			u64 e = 0;

			if (t == 0 && i == 0)
				e = (at + PAGE_BYTES) | PTE_W | PTE_P;
			else if (t == 1 && i < 4)
				e = (at + (i + 1) * PAGE_BYTES) | PTE_W | PTE_P;
			else if (t > 1)
				e = ((u64)(t - 2) << 30 | (u64)i << 21) | PTE_PS | PTE_W | PTE_P;
			store_le64(&table[i], e);
		}
		rc = mem_write(env->mem, at, table, sizeof(table));
		if (rc)
			return rc;
	}
	return 0;
}

int entry_long(const struct boot_env *env, struct x86_state *bsp, u64 rip)
{
	int rc = flat_segments(env, bsp, true);

	if (!rc)
		rc = identity_map(env);
	bsp->cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE | X86_CR0_PG;
	bsp->cr3 = BOOT_PGTABLE_GPA;
	bsp->cr4 = X86_CR4_PAE;
	bsp->efer = X86_EFER_LME | X86_EFER_LMA;
	bsp->rip = rip;
	return rc;
}
