// SPDX-License-Identifier: BSD-2-Clause
/* boot/elf.c - ELF executables: segments to RAM, and the PVH way in
 *
 * A vmlinux carries a note (owner "Xen", type 18) with the physical address of a
 * 32-bit entry; see Xen's docs/misc/pvh.pandoc and its start_info.h for what EBX
 * points to there. ELF32 files without the note serve multiboot. [setup] */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/range.h"
#include "base/wire.h"
#include "boot/boot_int.h"

#define MAX_PHDRS 128
#define MAX_NOTE_BYTES (256u * 1024)
#define NOTE_PHYS32_ENTRY 18

/* ---- parsing */

/* The fields of both classes' program headers that we use */
struct phdr {
	u32 type;
	u64 off, vaddr, paddr, filesz, memsz, align;
};

static struct phdr phdr_decode(const u8 *p, bool is64)
{
	if (is64)
		return (struct phdr){ load_le32(p), load_le64(p + 8), load_le64(p + 16),
				      load_le64(p + 24), load_le64(p + 32), load_le64(p + 40),
				      load_le64(p + 48) };
	return (struct phdr){ load_le32(p), load_le32(p + 4), load_le32(p + 8), load_le32(p + 12),
			      load_le32(p + 16), load_le32(p + 20), load_le32(p + 28) };
}

static int add_segment(const struct boot_file *f, struct boot_image *img, const struct phdr *p,
		       struct hk_err *err)
{
	u64 end;

	if (!p->memsz)
		return 0;
	if (!range_ok(p->off, p->filesz, f->len))
		return err_set(err, -ENOEXEC, "%s: is truncated: a segment ends behind the file",
			       f->path);
	if (p->filesz > p->memsz || __builtin_add_overflow(p->paddr, p->memsz, &end))
		return err_set(err, -ENOEXEC, "%s: a segment has absurd sizes", f->path);
	if (img->num_segs == BOOT_MAX_SEGMENTS)
		return err_set(err, -ENOEXEC, "%s: more than %u segments", f->path,
			       BOOT_MAX_SEGMENTS);
	img->seg[img->num_segs++] = (struct boot_segment){
		.gpa = p->paddr, .vaddr = p->vaddr, .off = p->off,
		.file_bytes = p->filesz, .mem_bytes = p->memsz,
	};
	return 0;
}

/* Malformed notes end the walk: they are for others, only ours matters */
static void find_phys32(const u8 *notes, u64 len, u64 align, struct boot_image *img)
{
	u64 at = 0;

	while (range_ok(at, 12, len)) {
		u64 namesz = load_le32(notes + at), descsz = load_le32(notes + at + 4);
		u32 type = load_le32(notes + at + 8);
		u64 name = at + 12, desc = ALIGN_UP(name + namesz, align);

		if (!range_ok(name, namesz, len) || !range_ok(desc, descsz, len))
			return;
		if (type == NOTE_PHYS32_ENTRY && namesz == 4 && !memcmp(notes + name, "Xen", 4) &&
		    (descsz == 4 || descsz == 8)) {
			img->phys32 = descsz == 4 ? load_le32(notes + desc) :
						    load_le64(notes + desc);
			img->has_phys32 = true;
		}
		at = ALIGN_UP(desc + descsz, align);
	}
}

static int read_notes(const struct boot_file *f, struct boot_image *img, const struct phdr *p,
		      struct hk_err *err)
{
	u8 *buf;
	int rc;

	if (!range_ok(p->off, p->filesz, f->len))
		return err_set(err, -ENOEXEC, "%s: is truncated: its notes end behind the file",
			       f->path);
	if (!p->filesz || p->filesz > MAX_NOTE_BYTES)
		return 0;
	buf = malloc(p->filesz);
	if (!buf)
		return err_set(err, -ENOMEM, "out of memory");
	rc = boot_file_read(f, p->off, buf, p->filesz, err);
	if (!rc)
		find_phys32(buf, p->filesz, p->align == 8 ? 8 : 4, img);
	free(buf);
	return rc;
}

/* Some kernels give the entry as a linked address: find the segment it lies in */
static u64 entry_to_physical(const struct boot_image *img, u64 entry)
{
	for (unsigned i = 0; i < img->num_segs; i++) {
		const struct boot_segment *g = &img->seg[i];

		if (entry >= g->vaddr && entry - g->vaddr < g->mem_bytes)
			return entry - g->vaddr + g->gpa;
	}
	return entry;
}

int elf_parse(const struct boot_file *f, struct boot_image *img, struct hk_err *err)
{
	u8 h[sizeof(Elf64_Ehdr)] = { 0 }, ph[sizeof(Elf64_Phdr)];
	u64 phoff, entry;
	unsigned phnum, phsize, want;
	bool is64;
	int rc;

	memset(img, 0, sizeof(*img));
	if (f->len < sizeof(Elf32_Ehdr))
		return err_set(err, -ENOEXEC, "%s: is truncated: no ELF header", f->path);
	rc = boot_file_read(f, 0, h, MIN(sizeof(h), f->len), err);
	if (rc)
		return rc;
	is64 = h[EI_CLASS] == ELFCLASS64;
	img->machine = load_le16(h + 18);
	if (memcmp(h, ELFMAG, SELFMAG) || h[EI_DATA] != ELFDATA2LSB ||
	    (!is64 && h[EI_CLASS] != ELFCLASS32) ||
	    (img->machine != EM_386 && img->machine != EM_X86_64))
		return err_set(err, -ENOEXEC, "%s: is not an ELF file for x86", f->path);
	if (load_le16(h + 16) != ET_EXEC && load_le16(h + 16) != ET_DYN)
		return err_set(err, -ENOEXEC, "%s: is an ELF file but not an executable", f->path);
	entry = is64 ? load_le64(h + 24) : load_le32(h + 24);
	phoff = is64 ? load_le64(h + 32) : load_le32(h + 28);
	phsize = load_le16(h + (is64 ? 54 : 42));
	phnum = load_le16(h + (is64 ? 56 : 44));
	want = is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	if (phsize != want || !phnum || phnum > MAX_PHDRS)
		return err_set(err, -ENOEXEC, "%s: %u program headers of %u bytes", f->path, phnum,
			       phsize);
	if (!range_ok(phoff, (u64)phnum * phsize, f->len))
		return err_set(err, -ENOEXEC, "%s: is truncated: no program headers", f->path);
	for (unsigned i = 0; i < phnum; i++) {
		struct phdr p;

		rc = boot_file_read(f, phoff + (u64)i * phsize, ph, phsize, err);
		if (rc)
			return rc;
		p = phdr_decode(ph, is64);
		if (p.type == PT_LOAD)
			rc = add_segment(f, img, &p, err);
		else if (p.type == PT_NOTE)
			rc = read_notes(f, img, &p, err);
		if (rc)
			return rc;
	}
	if (!img->num_segs)
		return err_set(err, -ENOEXEC, "%s: has nothing to load", f->path);
	img->entry = entry_to_physical(img, entry);
	return 0;
}

/* ---- loading */

int image_load(const struct boot_source *s, const struct boot_env *env, u64 *end,
	       struct hk_err *err)
{
	const struct boot_image *img = &s->image;
	int rc = 0;

	*end = BOOT_1MIB;
	for (unsigned i = 0; i < img->num_segs && !rc; i++) {
		const struct boot_segment *g = &img->seg[i];

		if (!range_ok(g->gpa, g->mem_bytes, env->lowmem_bytes))
			return err_set(err, -ENOMEM, "kernel %s: needs RAM from %#llx to %#llx, the VM has %llu MiB there",
				       s->kernel.path, (unsigned long long)g->gpa,
				       (unsigned long long)(g->gpa + g->mem_bytes),
				       (unsigned long long)(env->lowmem_bytes >> 20));
		if (range_overlap(g->gpa, g->mem_bytes, 0, BOOT_LOW_END) ||
		    range_overlap(g->gpa, g->mem_bytes, BOOT_EBDA_GPA, BOOT_1MIB - BOOT_EBDA_GPA))
			return err_set(err, -ENOEXEC, "kernel %s: wants RAM at %#llx, which is ours",
				       s->kernel.path, (unsigned long long)g->gpa);
		rc = boot_file_to_ram(&s->kernel, g->off, g->file_bytes, env->mem, g->gpa, err);
		if (!rc && boot_ram_zero(env->mem, g->gpa + g->file_bytes,
					 g->mem_bytes - g->file_bytes))
			rc = err_set(err, -EFAULT, "kernel %s: no RAM at %#llx", s->kernel.path,
				     (unsigned long long)g->gpa);
		*end = MAX(*end, ALIGN_UP(g->gpa + g->mem_bytes, PAGE_BYTES));
	}
	return rc;
}

/* struct hvm_start_info, version 1, then its memory map and module list */
#define HSI_MAGIC 0x336ec578u
#define HSI_BYTES 56
#define HSI_MEMMAP_OFF 0x40
#define HSI_MEMMAP_ROW 24
#define HSI_MODLIST_OFF (HSI_MEMMAP_OFF + BOOT_MAX_E820 * HSI_MEMMAP_ROW)
#define HSI_MODLIST_ROW 32
#define HSI_ALL_BYTES (HSI_MODLIST_OFF + HSI_MODLIST_ROW)
_Static_assert(HSI_ALL_BYTES <= PAGE_BYTES, "start info fits its page");

static void fill_start_info(u8 *b, const struct boot_source *s, const struct boot_env *env,
			    u64 initrd)
{
	struct boot_e820 map[BOOT_MAX_E820];
	unsigned rows = boot_e820_build(env, map, ARRAY_LEN(map));

	store_le32(b, HSI_MAGIC);
	store_le32(b + 4, 1);
	store_le32(b + 12, s->num_mods);
	store_le64(b + 16, s->num_mods ? BOOT_INFO_GPA + HSI_MODLIST_OFF : 0);
	store_le64(b + 24, BOOT_CMDLINE_GPA);
	store_le64(b + 32, env->acpi ? BOOT_ACPI_GPA : 0);
	store_le64(b + 40, BOOT_INFO_GPA + HSI_MEMMAP_OFF);
	store_le32(b + 48, rows);
	for (unsigned i = 0; i < rows; i++) {
		u8 *e = b + HSI_MEMMAP_OFF + i * HSI_MEMMAP_ROW;

		store_le64(e, map[i].addr);
		store_le64(e + 8, map[i].size);
		store_le32(e + 16, map[i].type);
	}
	if (s->num_mods) {
		store_le64(b + HSI_MODLIST_OFF, initrd);
		store_le64(b + HSI_MODLIST_OFF + 8, s->mod[0].file.len);
	}
}

int pvh_load(struct boot_source *s, const struct boot_env *env, struct x86_state *bsp,
	     struct hk_err *err)
{
	u8 info[HSI_ALL_BYTES] = { 0 };
	u64 end, initrd = 0;
	int rc;

	if (s->image.phys32 >= env->lowmem_bytes)
		return err_set(err, -ENOEXEC, "kernel %s: its entry %#llx is outside RAM",
			       s->kernel.path, (unsigned long long)s->image.phys32);
	rc = image_load(s, env, &end, err);
	if (rc)
		return rc;
	if (s->num_mods) {
		const struct boot_file *f = &s->mod[0].file;

		if (f->len > env->lowmem_bytes ||
		    ALIGN_DOWN(env->lowmem_bytes - f->len, PAGE_BYTES) < end)
			return err_set(err, -ENOMEM, "initrd %s: its %llu MiB do not fit into RAM beside the kernel",
				       f->path, (unsigned long long)(f->len >> 20));
		initrd = ALIGN_DOWN(env->lowmem_bytes - f->len, PAGE_BYTES);
		rc = boot_file_to_ram(f, 0, f->len, env->mem, initrd, err);
		if (rc)
			return rc;
	}
	rc = boot_put_cmdline(s, env, err);
	if (rc)
		return rc;
	fill_start_info(info, s, env, initrd);
	rc = mem_write(env->mem, BOOT_INFO_GPA, info, sizeof(info));
	if (!rc)
		rc = entry_protected(env, bsp, (u32)s->image.phys32);
	if (rc)
		return err_set(err, rc, "no RAM for the boot tables");
	bsp->gpr[X86_RBX] = BOOT_INFO_GPA;
	bsp->cr0 = X86_CR0_PE | X86_CR0_ET;
	return 0;
}
