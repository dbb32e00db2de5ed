// SPDX-License-Identifier: BSD-2-Clause
/* boot/linux.c - bzImage by the Linux/x86 boot protocol (Documentation/arch/x86/boot.rst)
 *
 * The real-mode part is never run. A kernel that offers the 64-bit entry gets it;
 * others are entered in 32-bit protected mode, as HyperKit does. Compressed
 * payloads are the kernel's own business. [setup] */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/range.h"
#include "base/wire.h"
#include "boot/boot_int.h"

/* The setup header; offsets are the same in the file and in the zero page */
#define HDR_START 0x1f1
#define HDR_SETUP_SECTS 0x1f1
#define HDR_SYSSIZE 0x1f4
#define HDR_BOOT_FLAG 0x1fe
#define HDR_JUMP_LEN 0x201
#define HDR_MAGIC 0x202
#define HDR_VERSION 0x206
#define HDR_TYPE_OF_LOADER 0x210
#define HDR_LOADFLAGS 0x211
#define HDR_CODE32_START 0x214
#define HDR_RAMDISK_IMAGE 0x218
#define HDR_RAMDISK_SIZE 0x21c
#define HDR_CMD_LINE_PTR 0x228
#define HDR_INITRD_ADDR_MAX 0x22c
#define HDR_KERNEL_ALIGNMENT 0x230
#define HDR_RELOCATABLE 0x234
#define HDR_XLOADFLAGS 0x236
#define HDR_CMDLINE_SIZE 0x238
#define HDR_HARDWARE_SUBARCH 0x23c
#define HDR_SETUP_DATA 0x250
#define HDR_PREF_ADDRESS 0x258
#define HDR_INIT_SIZE 0x260
#define HDR_END_2_06 0x23c
#define HDR_END_2_10 0x264
#define HDR_END_MAX 0x290 /* the zero page has other things from here on */

#define LOADED_HIGH BIT(0)
#define XLF_KERNEL_64 BIT(0)
#define XLF_CAN_BE_LOADED_ABOVE_4G BIT(1)

/* The rest of the zero page (Documentation/arch/x86/zero-page.rst) */
#define ZP_ACPI_RSDP 0x070
#define ZP_EXT_RAMDISK_IMAGE 0x0c0
#define ZP_EXT_RAMDISK_SIZE 0x0c4
#define ZP_ALT_MEM_K 0x1e0
#define ZP_E820_ENTRIES 0x1e8
#define ZP_E820_TABLE 0x2d0
#define ZP_BYTES 4096

#define LOADER_TYPE 0x0d /* what HyperKit says */
#define ENTRY64_OFF 0x200
#define MAX_ALIGN (1u << 30)

int bzimage_parse(const struct boot_file *f, struct boot_bzimage *bz, struct hk_err *err)
{
	u8 h[HDR_END_MAX] = { 0 };
	u32 setup_bytes, header_end;
	int rc;

	rc = boot_file_read(f, 0, h, MIN(sizeof(h), f->len), err);
	if (rc)
		return rc;
	if (f->len < HDR_END_2_06 || load_le16(h + HDR_BOOT_FLAG) != 0xaa55 ||
	    memcmp(h + HDR_MAGIC, "HdrS", 4))
		return err_set(err, -ENOEXEC, "%s: is neither a bzImage nor an ELF file", f->path);
	bz->version = load_le16(h + HDR_VERSION);
	if (bz->version < 0x206)
		return err_set(err, -ENOEXEC, "%s: boot protocol %u.%02u, 2.06 is needed", f->path,
			       bz->version >> 8, bz->version & 0xff);
	if (!(h[HDR_LOADFLAGS] & LOADED_HIGH))
		return err_set(err, -ENOEXEC, "%s: is a zImage, a bzImage is needed", f->path);
	header_end = MIN(HDR_MAGIC + (u32)h[HDR_JUMP_LEN], HDR_END_MAX);
	if (header_end < (bz->version >= 0x20a ? HDR_END_2_10 : HDR_END_2_06) ||
	    header_end > f->len)
		return err_set(err, -ENOEXEC, "%s: its setup header is cut short", f->path);
	bz->header_bytes = header_end - HDR_START;

	/* Zero means four, for reasons of history that the protocol keeps */
	setup_bytes = ((h[HDR_SETUP_SECTS] ? h[HDR_SETUP_SECTS] : 4) + 1) * 512u;
	bz->off = setup_bytes;
	bz->len = (u64)load_le32(h + HDR_SYSSIZE) * 16;
	if (!bz->len || !range_ok(bz->off, bz->len, f->len))
		return err_set(err, -ENOEXEC, "%s: is truncated: %llu bytes, its header says %llu",
			       f->path, (unsigned long long)f->len,
			       (unsigned long long)(bz->off + bz->len));

	bz->cmdline_max = load_le32(h + HDR_CMDLINE_SIZE);
	bz->initrd_max = load_le32(h + HDR_INITRD_ADDR_MAX);
	bz->relocatable = h[HDR_RELOCATABLE];
	bz->align = load_le32(h + HDR_KERNEL_ALIGNMENT);
	bz->xloadflags = bz->version >= 0x20c ? load_le16(h + HDR_XLOADFLAGS) : 0;
	bz->pref = BOOT_1MIB;
	bz->init_bytes = bz->len;
	if (bz->version >= 0x20a) {
		bz->pref = load_le64(h + HDR_PREF_ADDRESS);
		bz->init_bytes = ALIGN_UP(load_le32(h + HDR_INIT_SIZE), PAGE_BYTES);
	}
	if (bz->relocatable && (!bz->align || bz->align & (bz->align - 1) || bz->align > MAX_ALIGN))
		return err_set(err, -ENOEXEC, "%s: alignment %#llx is absurd", f->path,
			       (unsigned long long)bz->align);
	if (bz->init_bytes < bz->len)
		return err_set(err, -ENOEXEC, "%s: init_size is smaller than the kernel", f->path);
	if ((!bz->relocatable && bz->pref < BOOT_1MIB) || bz->pref >= BOOT_HIGHMEM_GPA)
		return err_set(err, -ENOEXEC, "%s: wants to be loaded at %#llx", f->path,
			       (unsigned long long)bz->pref);
	if (bz->xloadflags & XLF_KERNEL_64 && bz->len <= ENTRY64_OFF)
		return err_set(err, -ENOEXEC, "%s: has no room for its 64-bit entry", f->path);
	return 0;
}

/* Where the kernel goes. A relocatable one is not put below its pref_address even
 * when RAM ends before what it needs there: it moves itself up to it unasked. */
static u64 kernel_place(const struct boot_bzimage *bz)
{
	return bz->relocatable ? ALIGN_UP(MAX(bz->pref, BOOT_1MIB), bz->align) : bz->pref;
}

/* As high as allowed in low RAM, behind all that the kernel may overwrite before
 * it looks at its memory map; above 4 GiB only when it does not fit there */
static int initrd_place(const struct boot_source *s, const struct boot_env *env, u64 kernel_end,
			u64 *at, struct hk_err *err)
{
	const struct boot_file *f = &s->mod[0].file;
	u64 top = MIN(s->bz.initrd_max + 1, env->lowmem_bytes);

	if (f->len <= top) {
		*at = ALIGN_DOWN(top - f->len, PAGE_BYTES);
		if (*at >= kernel_end)
			return 0;
	}
	if (s->bz.xloadflags & XLF_CAN_BE_LOADED_ABOVE_4G && f->len <= env->highmem_bytes) {
		*at = ALIGN_DOWN(BOOT_HIGHMEM_GPA + env->highmem_bytes - f->len, PAGE_BYTES);
		return 0;
	}
	return err_set(err, -ENOMEM, "initrd %s: its %llu MiB do not fit into RAM beside the kernel",
		       f->path, (unsigned long long)(f->len >> 20));
}

static void fill_zero_page(u8 *zp, const struct boot_source *s, const struct boot_env *env,
			   u64 load, u64 initrd)
{
	struct boot_e820 map[BOOT_MAX_E820];
	unsigned rows = boot_e820_build(env, map, ARRAY_LEN(map));
	u64 initrd_len = s->num_mods ? s->mod[0].file.len : 0;

	zp[HDR_TYPE_OF_LOADER] = LOADER_TYPE;
	store_le32(zp + HDR_CODE32_START, (u32)load);
	store_le32(zp + HDR_CMD_LINE_PTR, BOOT_CMDLINE_GPA);
	store_le32(zp + HDR_HARDWARE_SUBARCH, 0);
	store_le32(zp + HDR_RAMDISK_IMAGE, (u32)initrd);
	store_le32(zp + HDR_RAMDISK_SIZE, (u32)initrd_len);
	store_le32(zp + ZP_EXT_RAMDISK_IMAGE, (u32)(initrd >> 32));
	store_le32(zp + ZP_EXT_RAMDISK_SIZE, (u32)(initrd_len >> 32));
	store_le32(zp + ZP_ALT_MEM_K, (u32)((env->lowmem_bytes - BOOT_1MIB) >> 10));
	if (s->bz.version >= 0x209)
		store_le64(zp + HDR_SETUP_DATA, 0); /* a pointer that only a loader may set */
	if (env->acpi && s->bz.version >= 0x20e)
		store_le64(zp + ZP_ACPI_RSDP, BOOT_ACPI_GPA);
	zp[ZP_E820_ENTRIES] = (u8)rows;
	for (unsigned i = 0; i < rows; i++) {
		u8 *e = zp + ZP_E820_TABLE + i * 20;

		store_le64(e, map[i].addr);
		store_le64(e + 8, map[i].size);
		store_le32(e + 16, map[i].type);
	}
}

int bzimage_load(struct boot_source *s, const struct boot_env *env, struct x86_state *bsp,
		 struct hk_err *err)
{
	const struct boot_bzimage *bz = &s->bz;
	u64 load, initrd = 0;
	u8 zp[ZP_BYTES] = { 0 };
	int rc;

	load = kernel_place(bz);
	if (!range_ok(load, bz->init_bytes, env->lowmem_bytes))
		return err_set(err, -ENOMEM, "kernel %s: needs %llu MiB of RAM from %llu MiB on, the VM has %llu MiB in all",
			       s->kernel.path, (unsigned long long)((bz->init_bytes + 0xfffff) >> 20),
			       (unsigned long long)(load >> 20),
			       (unsigned long long)((env->lowmem_bytes + env->highmem_bytes) >> 20));
	if (s->num_mods) {
		rc = initrd_place(s, env, load + bz->init_bytes, &initrd, err);
		if (!rc)
			rc = boot_file_to_ram(&s->mod[0].file, 0, s->mod[0].file.len, env->mem,
					      initrd, err);
		if (rc)
			return rc;
	}
	rc = boot_file_to_ram(&s->kernel, bz->off, bz->len, env->mem, load, err);
	if (rc)
		return rc;
	rc = boot_put_cmdline(s, env, err);
	if (rc)
		return rc;
	rc = boot_file_read(&s->kernel, HDR_START, zp + HDR_START, bz->header_bytes, err);
	if (rc)
		return rc;
	fill_zero_page(zp, s, env, load, initrd);
	rc = mem_write(env->mem, BOOT_INFO_GPA, zp, sizeof(zp));
	if (rc)
		return err_set(err, rc, "no RAM for the zero page");
	if (bz->xloadflags & XLF_KERNEL_64)
		rc = entry_long(env, bsp, load + ENTRY64_OFF);
	else
		rc = entry_protected(env, bsp, (u32)load);
	if (rc)
		return err_set(err, rc, "no RAM for the boot tables");
	bsp->gpr[X86_RSI] = BOOT_INFO_GPA;
	return 0;
}
