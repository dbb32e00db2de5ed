// SPDX-License-Identifier: BSD-2-Clause
/* test/unit/boot/elf_test.c - ELF kernels entered by their PVH note */
#include <elf.h>

#include "boot_test_images.h"

#define PH 64
#define NOTE_OFF 0x200
#define CODE_OFF 0x1000
#define CODE_GPA 0x200000
#define INFO 0x3000

/* ELF64: one PT_LOAD with bss, one PT_NOTE with a foreign note before ours */
static void make_vmlinux(struct fixture *f)
{
	u8 *b = f->image;
	Elf64_Ehdr h = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1 },
			 .e_type = ET_EXEC, .e_machine = EM_X86_64, .e_version = 1,
			 .e_entry = 0xffffffff81000000, .e_phoff = PH,
			 .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 2 };
	Elf64_Phdr p[2] = {
		{ .p_type = PT_LOAD, .p_offset = CODE_OFF, .p_vaddr = 0xffffffff81000000,
		  .p_paddr = CODE_GPA, .p_filesz = 0x800, .p_memsz = 0x3000 },
		{ .p_type = PT_NOTE, .p_offset = NOTE_OFF, .p_filesz = 44, .p_align = 4 },
	};

	f->len = CODE_OFF + 0x800;
	memset(b, 0, f->len);
	memcpy(b, &h, sizeof(h));
	memcpy(b + PH, p, sizeof(p));
	store_le32(b + NOTE_OFF, 5); /* "Tool\0" pads to 8 */
	store_le32(b + NOTE_OFF + 4, 0);
	store_le32(b + NOTE_OFF + 8, 18);
	memcpy(b + NOTE_OFF + 12, "Tool", 5);
	store_le32(b + NOTE_OFF + 20, 4);
	store_le32(b + NOTE_OFF + 24, 8);
	store_le32(b + NOTE_OFF + 28, 18);
	memcpy(b + NOTE_OFF + 32, "Xen", 4);
	store_le64(b + NOTE_OFF + 36, CODE_GPA + 0x40);
	memset(b + CODE_OFF, 0x90, 0x800);
}

static Elf64_Phdr *phdr(struct fixture *f, unsigned i)
{
	return (Elf64_Phdr *)(void *)(f->image + PH) + i;
}

static int open_kernel(struct fixture *f)
{
	write_file(f->kernel, f->image, f->len, 0);
	return boot_linux_open(&f->source, f->kernel, NULL, "quiet", &f->err);
}

static int load(struct fixture *f)
{
	return boot_source_load(f->source, &f->env, &f->bsp, &f->err);
}

static void pvh_kernel_starts_at_its_note_in_protected_mode(void **state)
{
	struct fixture *f = fx(state);
	u64 map;

	make_vmlinux(f);
	f->len += 4; /* the note segment is 44 long and ends inside */
	make_ram(f, 16 * MIB, 0);
	memset(ram(f, CODE_GPA), 0x77, 0x3000);
	assert_int_equal(open_kernel(f), 0);
	assert_int_equal(load(f), 0);
	assert_int_equal(f->bsp.rip, CODE_GPA + 0x40);
	assert_int_equal(f->bsp.gpr[X86_RBX], INFO);
	assert_int_equal(f->bsp.cr0 & (X86_CR0_PE | X86_CR0_PG), X86_CR0_PE);
	assert_int_equal(f->bsp.seg[X86_CS].attr, 0xc09b);
	assert_int_equal(*ram(f, CODE_GPA + 0x7ff), 0x90);
	assert_int_equal(*ram(f, CODE_GPA + 0x800), 0); /* bss */
	assert_int_equal(*ram(f, CODE_GPA + 0x2fff), 0);
	assert_int_equal(load_le32(ram(f, INFO)), 0x336ec578);
	assert_int_equal(load_le32(ram(f, INFO + 4)), 1);
	assert_string_equal(ram(f, load_le64(ram(f, INFO + 24))), "quiet");
	assert_int_equal(load_le64(ram(f, INFO + 32)), BOOT_ACPI_GPA);
	map = load_le64(ram(f, INFO + 40));
	assert_int_equal(load_le64(ram(f, map)), 0);
	assert_int_equal(load_le64(ram(f, map + 8)), 0x9fc00);
	assert_int_equal(load_le32(ram(f, map + 16)), E820_RAM);
}

static void initrd_is_the_first_module(void **state)
{
	struct fixture *f = fx(state);
	u64 list;

	make_vmlinux(f);
	make_ram(f, 16 * MIB, 0);
	write_file(f->kernel, f->image, f->len, 0);
	write_file(f->initrd, "INITRD", 6, 5000);
	assert_int_equal(boot_linux_open(&f->source, f->kernel, f->initrd, NULL, &f->err), 0);
	assert_int_equal(load(f), 0);
	assert_int_equal(load_le32(ram(f, INFO + 12)), 1);
	list = load_le64(ram(f, INFO + 16));
	assert_int_equal(load_le64(ram(f, list)), 16 * MIB - 8192);
	assert_int_equal(load_le64(ram(f, list + 8)), 5000);
	assert_memory_equal(ram(f, 16 * MIB - 8192), "INITRD", 7);
}

static void initrd_larger_than_ram_is_refused(void **state)
{
	struct fixture *f = fx(state);

	make_vmlinux(f);
	make_ram(f, 16 * MIB, 0);
	write_file(f->kernel, f->image, f->len, 0);
	write_file(f->initrd, "INITRD", 6, 14 * MIB);
	assert_int_equal(boot_linux_open(&f->source, f->kernel, f->initrd, NULL, &f->err), 0);
	assert_refused(f, load(f), -ENOMEM, "do not fit");
}

static void elf_without_the_note_is_refused_with_advice(void **state)
{
	struct fixture *f = fx(state);

	make_vmlinux(f);
	phdr(f, 1)->p_type = PT_NULL;
	assert_refused(f, open_kernel(f), -ENOEXEC, "bzImage");
}

static void broken_notes_are_not_followed(void **state)
{
	static const struct { unsigned off; u32 val; } row[] = {
		{ 0, 0xffffffff }, { 4, 0xffffffff }, { 20, 0xfffffffd }, { 24, 0xfffffff0 },
		{ 24, 7 }, { 28, 17 },
	};
	struct fixture *f = fx(state);

	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		make_vmlinux(f);
		store_le32(f->image + NOTE_OFF + row[i].off, row[i].val);
		assert_refused(f, open_kernel(f), -ENOEXEC, "without a PVH entry note");
	}
}

static void every_truncation_is_refused(void **state)
{
	struct fixture *f = fx(state);
	size_t full;

	make_vmlinux(f);
	full = f->len;
	for (f->len = 1; f->len < full; f->len += f->len < 700 ? 1 : 97)
		if (open_kernel(f) == 0)
			fail_msg("%zu of %zu bytes were taken for a kernel", f->len, full);
}

static void absurd_segments_are_refused(void **state)
{
	static const struct {
		const char *name;
		u64 off, filesz, memsz, paddr;
	} row[] = {
		{ "offset behind the file", 1ull << 40, 0x10, 0x10, CODE_GPA },
		{ "offset that wraps", ~0ull - 8, 0x10, 0x10, CODE_GPA },
		{ "size behind the file", CODE_OFF, 0x801, 0x801, CODE_GPA },
		{ "file part larger than memory", CODE_OFF, 0x800, 0x7ff, CODE_GPA },
		{ "memory that wraps", CODE_OFF, 0x800, ~0ull, CODE_GPA },
		{ "address that wraps", CODE_OFF, 0x800, 0x1000, ~0ull - 0x800 },
	};
	struct fixture *f = fx(state);

	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		make_vmlinux(f);
		phdr(f, 0)->p_offset = row[i].off;
		phdr(f, 0)->p_filesz = row[i].filesz;
		phdr(f, 0)->p_memsz = row[i].memsz;
		phdr(f, 0)->p_paddr = row[i].paddr;
		if (open_kernel(f) != -ENOEXEC)
			fail_msg("%s was accepted", row[i].name);
	}
}

static void segments_outside_ram_or_over_our_tables_are_refused(void **state)
{
	static const struct {
		u64 paddr, memsz;
		const char *words;
	} row[] = {
		{ 15 * MIB, 2 * MIB, "needs RAM" },
		{ 1ull << 40, 0x1000, "needs RAM" },
		{ CODE_GPA, 1ull << 40, "needs RAM" },
		{ 0x3000, 0x1000, "which is ours" },
		{ 0xf0000, 0x1000, "which is ours" },
		{ 0x90000, 0x200000, "which is ours" },
	};
	struct fixture *f = fx(state);

	make_ram(f, 16 * MIB, 0);
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		make_vmlinux(f);
		phdr(f, 0)->p_paddr = row[i].paddr;
		phdr(f, 0)->p_memsz = row[i].memsz;
		phdr(f, 0)->p_filesz = 0x800;
		assert_int_equal(open_kernel(f), 0);
		assert_true(load(f) < 0);
		assert_non_null(strstr(f->err.text, row[i].words));
		boot_source_close(f->source);
		f->source = NULL;
	}
}

static void entry_outside_ram_is_refused(void **state)
{
	struct fixture *f = fx(state);

	make_vmlinux(f);
	store_le64(f->image + NOTE_OFF + 36, 1ull << 33);
	make_ram(f, 16 * MIB, 0);
	assert_int_equal(open_kernel(f), 0);
	assert_refused(f, load(f), -ENOEXEC, "outside RAM");
}

static void foreign_elf_files_are_refused(void **state)
{
	static const struct { unsigned off, bytes; u32 val; } row[] = {
		{ 4, 1, 3 },	    /* class */
		{ 5, 1, 2 },	    /* big endian */
		{ 16, 2, ET_REL },  /* an object file */
		{ 18, 2, 183 },	    /* AArch64 */
		{ 54, 2, 8 },	    /* program header size */
		{ 56, 2, 0 },	    /* none of them */
		{ 56, 2, 0xffff },
		{ 32, 4, 0xfffffff0 },
	};
	struct fixture *f = fx(state);

	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		make_vmlinux(f);
		memcpy(f->image + row[i].off, &row[i].val, row[i].bytes);
		if (open_kernel(f) != -ENOEXEC)
			fail_msg("row %zu was accepted", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		boot_test(pvh_kernel_starts_at_its_note_in_protected_mode),
		boot_test(initrd_is_the_first_module),
		boot_test(initrd_larger_than_ram_is_refused),
		boot_test(elf_without_the_note_is_refused_with_advice),
		boot_test(broken_notes_are_not_followed),
		boot_test(every_truncation_is_refused),
		boot_test(absurd_segments_are_refused),
		boot_test(segments_outside_ram_or_over_our_tables_are_refused),
		boot_test(entry_outside_ram_is_refused),
		boot_test(foreign_elf_files_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
