// SPDX-License-Identifier: BSD-2-Clause
/* boot/boot_int.h - What the loaders share; included only in this room
 *
 * A source is opened and every number in its headers is checked against the file
 * in boot_*_open(); boot_source_load() checks the same numbers against RAM, then
 * copies. File contents never pass through memory that we map from the file: a
 * file that shrinks meanwhile is an error, not a signal. */
#ifndef BOOT_BOOT_INT_H
#define BOOT_BOOT_INT_H

#include "boot/boot.h"

/* Low memory while a kernel is entered (hyperkit-facts 2.1 and 1.4) */
#define BOOT_LOW_GPA 0x2000u
#define BOOT_GDT_GPA 0x2000u	  /* four descriptors */
#define BOOT_INFO_GPA 0x3000u	  /* zero page; PVH or multiboot information */
#define BOOT_CMDLINE_GPA 0x4000u
#define BOOT_CMDLINE_END 0x10000u
#define BOOT_PGTABLE_GPA 0x10000u /* 64-bit entry: PML4, PDPT, four directories */
#define BOOT_LOW_END 0x16000u
#define BOOT_EBDA_GPA 0x9fc00u	  /* where usable low RAM ends */
#define BOOT_1MIB 0x100000u

#define BOOT_CS 0x10
#define BOOT_DS 0x18

struct boot_file {
	char *path;
	int fd;
	u64 len; /* bytes when it was opened */
};

#define BOOT_MAX_SEGMENTS 32
struct boot_segment {
	u64 gpa, vaddr;
	u64 off, file_bytes; /* checked against the file */
	u64 mem_bytes;	     /* >= file_bytes; the rest is zeroed */
};

/* An executable that says itself where it wants to be */
struct boot_image {
	struct boot_segment seg[BOOT_MAX_SEGMENTS];
	unsigned num_segs;
	u64 entry;	 /* physical */
	bool has_phys32; /* ELF: XEN_ELFNOTE_PHYS32_ENTRY was found */
	u64 phys32;
	u16 machine;	 /* ELF: EM_386 or EM_X86_64 */
};

/* A bzImage: the header fields we use, checked */
struct boot_bzimage {
	u16 version;
	u16 xloadflags;
	u32 header_bytes;	/* of the setup header, from offset 0x1f1 */
	u64 off, len;		/* protected-mode part in the file */
	u64 align, pref, init_bytes;
	u32 cmdline_max;
	u64 initrd_max;		/* highest address that the initrd may occupy */
	bool relocatable;
};

struct boot_module {
	struct boot_file file;
	char *args; /* text handed to the kernel: path, blank, arguments */
};
#define BOOT_MAX_MODULES 64

enum boot_kind { BOOT_BZIMAGE, BOOT_PVH, BOOT_MULTIBOOT };

struct boot_source {
	enum boot_kind kind;
	struct boot_file kernel;
	struct boot_module mod[BOOT_MAX_MODULES]; /* Linux: the initrd is mod[0] */
	unsigned num_mods;
	char *cmdline; /* NULL only for multiboot */
	struct boot_bzimage bz;
	struct boot_image image;
};

/* source.c. All [setup] */
int boot_file_open(struct boot_file *f, const char *path, struct hk_err *err) MUST_CHECK;
void boot_file_close(struct boot_file *f);
/* Exactly @len bytes; the caller has checked them against f->len */
int boot_file_read(const struct boot_file *f, u64 off, void *buf, u64 len,
		   struct hk_err *err) MUST_CHECK;
int boot_file_to_ram(const struct boot_file *f, u64 off, u64 len, struct mem *mem, gpa_t gpa,
		     struct hk_err *err) MUST_CHECK;
int boot_ram_zero(struct mem *mem, gpa_t gpa, u64 len) MUST_CHECK;
/* Command line and its zero at BOOT_CMDLINE_GPA */
int boot_put_cmdline(const struct boot_source *s, const struct boot_env *env,
		     struct hk_err *err) MUST_CHECK;

/* linux.c, elf.c, multiboot.c */
int bzimage_parse(const struct boot_file *f, struct boot_bzimage *bz, struct hk_err *err) MUST_CHECK;
int bzimage_load(struct boot_source *s, const struct boot_env *env, struct x86_state *bsp,
		 struct hk_err *err) MUST_CHECK;
int elf_parse(const struct boot_file *f, struct boot_image *img, struct hk_err *err) MUST_CHECK;
/* Copy the segments. @end: receives the first address behind them, page aligned */
int image_load(const struct boot_source *s, const struct boot_env *env, u64 *end,
	       struct hk_err *err) MUST_CHECK;
int pvh_load(struct boot_source *s, const struct boot_env *env, struct x86_state *bsp,
	     struct hk_err *err) MUST_CHECK;
int multiboot_parse(const struct boot_file *f, struct boot_image *img, struct hk_err *err) MUST_CHECK;
int multiboot_load(struct boot_source *s, const struct boot_env *env, struct x86_state *bsp,
		   struct hk_err *err) MUST_CHECK;

/* entry.c: GDT, page tables and the registers of a CPU that starts in flat mode */
int entry_protected(const struct boot_env *env, struct x86_state *bsp, u32 rip) MUST_CHECK;
int entry_long(const struct boot_env *env, struct x86_state *bsp, u64 rip) MUST_CHECK;

#endif
