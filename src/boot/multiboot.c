// SPDX-License-Identifier: BSD-2-Clause
/* boot/multiboot.c - Multiboot specification 0.6.96 ("version 1")
 *
 * The kernel is an ELF32 file, or says in its header where it goes (the address
 * fields, flag bit 16, which win over ELF). Modules follow it, page aligned. [setup] */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/range.h"
#include "base/wire.h"
#include "boot/boot_int.h"

#define MB_SEARCH_BYTES 8192
#define MB_HEADER_MAGIC 0x1badb002u
#define MB_BOOT_MAGIC 0x2badb002u

/* Header flags: bits 0 to 15 must be understood */
#define MB_MANDATORY 0xffffu
#define MB_KNOWN 0x3u /* page-aligned modules, memory information: done for all */
#define MB_ADDRESSES BIT(16)

/* Information flags */
#define MBI_MEM BIT(0)
#define MBI_CMDLINE BIT(2)
#define MBI_MODS BIT(3)
#define MBI_MMAP BIT(6)
#define MBI_LOADER_NAME BIT(9)

/* One page at BOOT_INFO_GPA: the structure, memory map, module list, names */
#define MBI_BYTES 88
#define MBI_MMAP_OFF 0x80
#define MBI_MMAP_ROW 24
#define MBI_MODS_OFF (MBI_MMAP_OFF + BOOT_MAX_E820 * MBI_MMAP_ROW)
#define MBI_MODS_ROW 16
#define MBI_NAME_OFF (MBI_MODS_OFF + BOOT_MAX_MODULES * MBI_MODS_ROW)
_Static_assert(MBI_NAME_OFF + 16 <= PAGE_BYTES, "multiboot information fits its page");

static int parse_addresses(const struct boot_file *f, struct boot_image *img, u64 header_off,
			   const u8 *h, struct hk_err *err)
{
	u64 header = load_le32(h + 12), load = load_le32(h + 16), load_end = load_le32(h + 20);
	u64 bss_end = load_le32(h + 24), entry = load_le32(h + 28), off, len;

	if (load > header || header - load > header_off)
		return err_set(err, -ENOEXEC, "%s: multiboot load address %#llx does not fit its header at %#llx",
			       f->path, (unsigned long long)load, (unsigned long long)header);
	off = header_off - (header - load);
	if (!load_end)
		len = f->len - off;
	else if (load_end > load)
		len = load_end - load;
	else
		return err_set(err, -ENOEXEC, "%s: multiboot load address ends before it begins",
			       f->path);
	if (!range_ok(off, len, f->len))
		return err_set(err, -ENOEXEC, "%s: is truncated: multiboot header asks for %llu bytes",
			       f->path, (unsigned long long)(off + len));
	if (bss_end && bss_end < load + len)
		return err_set(err, -ENOEXEC, "%s: multiboot bss ends before it begins", f->path);
	img->seg[0] = (struct boot_segment){
		.gpa = load, .vaddr = load, .off = off, .file_bytes = len,
		.mem_bytes = bss_end ? bss_end - load : len,
	};
	img->num_segs = 1;
	img->entry = entry;
	return 0;
}

int multiboot_parse(const struct boot_file *f, struct boot_image *img, struct hk_err *err)
{
	u8 b[MB_SEARCH_BYTES + 32] = { 0 };
	u64 n = MIN(MB_SEARCH_BYTES, f->len);
	u32 flags = 0;
	u64 at;
	int rc;

	memset(img, 0, sizeof(*img));
	rc = boot_file_read(f, 0, b, n, err);
	if (rc)
		return rc;
	for (at = 0; range_ok(at, 12, n); at += 4) {
		flags = load_le32(b + at + 4);
		if (load_le32(b + at) == MB_HEADER_MAGIC &&
		    MB_HEADER_MAGIC + flags + load_le32(b + at + 8) == 0)
			break;
	}
	if (!range_ok(at, 12, n))
		return err_set(err, -ENOEXEC, "%s: has no multiboot header in its first 8 KiB",
			       f->path);
	if (flags & MB_MANDATORY & ~MB_KNOWN)
		return err_set(err, -ENOEXEC, "%s: multiboot flags %#x ask for what we do not have",
			       f->path, flags);
	if (flags & MB_ADDRESSES) {
		if (!range_ok(at, 32, n))
			return err_set(err, -ENOEXEC, "%s: its multiboot header is cut short",
				       f->path);
		return parse_addresses(f, img, at, b + at, err);
	}
	if (!memcmp(b, ELFMAG, SELFMAG) && b[EI_CLASS] == ELFCLASS64)
		return err_set(err, -ENOEXEC, "%s: is a 64-bit ELF file: multiboot takes 32-bit ones",
			       f->path);
	return elf_parse(f, img, err);
}

static int load_modules(struct boot_source *s, const struct boot_env *env, u64 end, u8 *info,
			struct hk_err *err)
{
	for (unsigned i = 0; i < s->num_mods; i++) {
		const struct boot_module *m = &s->mod[i];
		u8 *row = info + MBI_MODS_OFF + i * MBI_MODS_ROW;
		u64 args = strlen(m->args) + 1;
		int rc;

		if (m->file.len > env->lowmem_bytes ||
		    !range_ok(end, m->file.len + args, env->lowmem_bytes))
			return err_set(err, -ENOMEM, "module %s: its %llu MiB do not fit into RAM",
				       m->file.path, (unsigned long long)(m->file.len >> 20));
		rc = boot_file_to_ram(&m->file, 0, m->file.len, env->mem, end, err);
		if (rc)
			return rc;
		store_le32(row, (u32)end);
		end += m->file.len;
		store_le32(row + 4, (u32)end);
		/* The text stands right behind its module */
		if (mem_write(env->mem, end, m->args, args))
			return err_set(err, -EFAULT, "module %s: no RAM", m->file.path);
		store_le32(row + 8, (u32)end);
		end = ALIGN_UP(end + args, PAGE_BYTES);
	}
	return 0;
}

static void fill_info(u8 *b, const struct boot_source *s, const struct boot_env *env)
{
	static const char name[] = "HyperKit";
	struct boot_e820 map[BOOT_MAX_E820];
	unsigned rows = boot_e820_build(env, map, ARRAY_LEN(map));
	u32 flags = MBI_MEM | MBI_MMAP | MBI_LOADER_NAME;

	store_le32(b + 4, 640);
	store_le32(b + 8, (u32)((env->lowmem_bytes - BOOT_1MIB) >> 10));
	if (s->cmdline) {
		flags |= MBI_CMDLINE;
		store_le32(b + 16, BOOT_CMDLINE_GPA);
	}
	if (s->num_mods) {
		flags |= MBI_MODS;
		store_le32(b + 20, s->num_mods);
		store_le32(b + 24, BOOT_INFO_GPA + MBI_MODS_OFF);
	}
	store_le32(b + 44, rows * MBI_MMAP_ROW);
	store_le32(b + 48, BOOT_INFO_GPA + MBI_MMAP_OFF);
	for (unsigned i = 0; i < rows; i++) {
		u8 *e = b + MBI_MMAP_OFF + i * MBI_MMAP_ROW;

		store_le32(e, MBI_MMAP_ROW - 4);
		store_le64(e + 4, map[i].addr);
		store_le64(e + 12, map[i].size);
		store_le32(e + 20, map[i].type);
	}
	store_le32(b + 64, BOOT_INFO_GPA + MBI_NAME_OFF);
	memcpy(b + MBI_NAME_OFF, name, sizeof(name));
	store_le32(b, flags);
}

int multiboot_load(struct boot_source *s, const struct boot_env *env, struct x86_state *bsp,
		   struct hk_err *err)
{
	u8 info[PAGE_BYTES] = { 0 };
	u64 end;
	int rc;

	if (s->image.entry >= env->lowmem_bytes)
		return err_set(err, -ENOEXEC, "kernel %s: its entry %#llx is outside RAM",
			       s->kernel.path, (unsigned long long)s->image.entry);
	rc = image_load(s, env, &end, err);
	if (!rc)
		rc = load_modules(s, env, end, info, err);
	if (!rc && s->cmdline)
		rc = boot_put_cmdline(s, env, err);
	if (rc)
		return rc;
	fill_info(info, s, env);
	rc = mem_write(env->mem, BOOT_INFO_GPA, info, sizeof(info));
	if (!rc)
		rc = entry_protected(env, bsp, (u32)s->image.entry);
	if (rc)
		return err_set(err, rc, "no RAM for the boot tables");
	bsp->gpr[X86_RAX] = MB_BOOT_MAGIC;
	bsp->gpr[X86_RBX] = BOOT_INFO_GPA;
	return 0;
}
