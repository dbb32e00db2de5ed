// SPDX-License-Identifier: BSD-2-Clause
/* test/unit/boot/multiboot_test.c - Multiboot kernels: address fields, ELF32, modules */
#include <elf.h>

#include "boot_test_images.h"

#define HDR 0x40
#define LOAD 0x100000
#define INFO 0x3000

static void put_header(u8 *h, u32 flags)
{
	store_le32(h, 0x1badb002);
	store_le32(h + 4, flags);
	store_le32(h + 8, 0u - 0x1badb002 - flags);
}

/* A flat file that says where it goes; the header is 0x40 into it */
static void make_flat(struct fixture *f)
{
	u8 *h = f->image + HDR;

	f->len = 0x2000;
	memset(f->image, 0xcc, f->len);
	put_header(h, BIT(16) | 3);
	store_le32(h + 12, LOAD + HDR);
	store_le32(h + 16, LOAD);
	store_le32(h + 20, LOAD + 0x1000);
	store_le32(h + 24, LOAD + 0x5000);
	store_le32(h + 28, LOAD + 0x80);
}

static void make_elf32(struct fixture *f)
{
	Elf32_Ehdr h = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, 1 },
			 .e_type = ET_EXEC, .e_machine = EM_386, .e_version = 1,
			 .e_entry = 0xc0100010, .e_phoff = 0x40,
			 .e_phentsize = sizeof(Elf32_Phdr), .e_phnum = 1 };
	Elf32_Phdr p = { .p_type = PT_LOAD, .p_offset = 0x1000, .p_vaddr = 0xc0100000,
			 .p_paddr = LOAD, .p_filesz = 0x100, .p_memsz = 0x200 };

	f->len = 0x1100;
	memset(f->image, 0, f->len);
	memcpy(f->image, &h, sizeof(h));
	memcpy(f->image + 0x40, &p, sizeof(p));
	memset(f->image + 0x1000, 0xcc, 0x100);
	put_header(f->image + 0x1000, 2);
}

static int open_kernel(struct fixture *f, const char *modules)
{
	write_file(f->kernel, f->image, f->len, 0);
	return boot_multiboot_open(&f->source, f->kernel, modules, "kernel args", &f->err);
}

static int load(struct fixture *f)
{
	return boot_source_load(f->source, &f->env, &f->bsp, &f->err);
}

static void flat_kernel_goes_where_its_header_says(void **state)
{
	struct fixture *f = fx(state);

	make_flat(f);
	make_ram(f, 16 * MIB, 0);
	memset(ram(f, LOAD), 0x77, 0x6000);
	assert_int_equal(open_kernel(f, NULL), 0);
	assert_int_equal(load(f), 0);
	assert_int_equal(f->bsp.rip, LOAD + 0x80);
	assert_int_equal(f->bsp.gpr[X86_RAX], 0x2badb002);
	assert_int_equal(f->bsp.gpr[X86_RBX], INFO);
	assert_int_equal(f->bsp.cr0 & 0x21, 0x21);
	assert_int_equal(*ram(f, LOAD + 0xfff), 0xcc);
	assert_int_equal(*ram(f, LOAD + 0x1000), 0);
	assert_int_equal(*ram(f, LOAD + 0x4fff), 0);
	assert_int_equal(*ram(f, LOAD + 0x5000), 0x77);
}

static void elf_kernel_may_give_its_entry_as_linked_address(void **state)
{
	struct fixture *f = fx(state);

	make_elf32(f);
	make_ram(f, 16 * MIB, 0);
	assert_int_equal(open_kernel(f, NULL), 0);
	assert_int_equal(load(f), 0);
	assert_int_equal(f->bsp.rip, LOAD + 0x10);
	assert_int_equal(*ram(f, LOAD + 0xff), 0xcc);
}

static void information_has_memory_command_line_and_map(void **state)
{
	struct fixture *f = fx(state);
	u64 map;

	make_flat(f);
	make_ram(f, 16 * MIB, 0);
	assert_int_equal(open_kernel(f, NULL), 0);
	assert_int_equal(load(f), 0);
	assert_int_equal(load_le32(ram(f, INFO)) & 0xd, 0x5); /* memory, command line, no modules */
	assert_int_equal(load_le32(ram(f, INFO + 4)), 640);
	assert_int_equal(load_le32(ram(f, INFO + 8)), 15 * 1024);
	assert_string_equal(ram(f, load_le32(ram(f, INFO + 16))), "kernel args");
	map = load_le32(ram(f, INFO + 48));
	assert_int_equal(load_le32(ram(f, map)), 20);
	assert_int_equal(load_le64(ram(f, map + 12)), 0x9fc00);
}

static void modules_follow_page_aligned_with_their_arguments(void **state)
{
	struct fixture *f = fx(state);
	char list[300], want[120];
	u64 row;

	make_flat(f);
	make_ram(f, 16 * MIB, 0);
	write_file(f->initrd, "ONE", 3, 0);
	write_file(f->other, "SECOND", 6, 0);
	snprintf(list, sizeof(list), "%s;a=1 b:%s", f->initrd, f->other);
	assert_int_equal(open_kernel(f, list), 0);
	assert_int_equal(load(f), 0);
	assert_int_equal(load_le32(ram(f, INFO)) & 8, 8);
	assert_int_equal(load_le32(ram(f, INFO + 20)), 2);
	row = load_le32(ram(f, INFO + 24));
	assert_int_equal(load_le32(ram(f, row)), LOAD + 0x5000);
	assert_int_equal(load_le32(ram(f, row + 4)), LOAD + 0x5003);
	assert_memory_equal(ram(f, LOAD + 0x5000), "ONE", 3);
	snprintf(want, sizeof(want), "%s a=1 b", f->initrd);
	assert_string_equal(ram(f, load_le32(ram(f, row + 8))), want);
	assert_int_equal(load_le32(ram(f, row + 16)) & 0xfff, 0);
	assert_memory_equal(ram(f, load_le32(ram(f, row + 16))), "SECOND", 6);
}

static void module_larger_than_ram_is_refused(void **state)
{
	struct fixture *f = fx(state);

	make_flat(f);
	make_ram(f, 16 * MIB, 0);
	write_file(f->initrd, "ONE", 3, 1ull << 40);
	assert_int_equal(open_kernel(f, f->initrd), 0);
	assert_refused(f, load(f), -ENOMEM, "do not fit");
}

static void bad_module_lists_are_refused(void **state)
{
	struct fixture *f = fx(state);
	char many[BOOT_MAX_E820 * 40 * 4] = "";

	make_flat(f);
	assert_refused(f, open_kernel(f, "/no/such/file"), -ENOENT, "/no/such/file");
	assert_refused(f, open_kernel(f, ";args only"), -EINVAL, "no path");
	write_file(f->initrd, "ONE", 3, 0);
	for (int i = 0; i < 65; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many), "%s%s", i ? ":" : "",
			 f->initrd);
	assert_refused(f, open_kernel(f, many), -E2BIG, "64 modules");
}

static void file_without_a_header_in_8_kib_is_refused(void **state)
{
	struct fixture *f = fx(state);

	f->len = 0x3000;
	memset(f->image, 0, f->len);
	put_header(f->image + 8192, 0);
	assert_refused(f, open_kernel(f, NULL), -ENOEXEC, "no multiboot header");
}

static void wrong_checksum_is_no_header(void **state)
{
	struct fixture *f = fx(state);

	make_flat(f);
	f->image[HDR + 8]++;
	assert_refused(f, open_kernel(f, NULL), -ENOEXEC, "no multiboot header");
}

static void unknown_mandatory_flags_are_refused(void **state)
{
	struct fixture *f = fx(state);

	make_flat(f);
	put_header(f->image + HDR, BIT(16) | BIT(2)); /* video mode */
	assert_refused(f, open_kernel(f, NULL), -ENOEXEC, "flags");
}

static void elf64_is_refused(void **state)
{
	struct fixture *f = fx(state);

	make_elf32(f);
	f->image[4] = ELFCLASS64;
	assert_refused(f, open_kernel(f, NULL), -ENOEXEC, "64-bit");
}

static void absurd_addresses_are_refused(void **state)
{
	static const struct { const char *name; u32 header, load, load_end, bss_end; } row[] = {
		{ "load behind header", LOAD, LOAD + 4, 0, 0 },
		{ "load before the file", LOAD + 0x1000, LOAD, 0, 0 },
		{ "end before load", LOAD + HDR, LOAD, LOAD - 1, 0 },
		{ "end behind the file", LOAD + HDR, LOAD, LOAD + 0x2001, 0 },
		{ "end at 4 GiB", LOAD + HDR, LOAD, 0xffffffff, 0 },
		{ "bss before end", LOAD + HDR, LOAD, LOAD + 0x1000, LOAD + 0xfff },
	};
	struct fixture *f = fx(state);

	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		make_flat(f);
		store_le32(f->image + HDR + 12, row[i].header);
		store_le32(f->image + HDR + 16, row[i].load);
		store_le32(f->image + HDR + 20, row[i].load_end);
		store_le32(f->image + HDR + 24, row[i].bss_end);
		if (open_kernel(f, NULL) != -ENOEXEC)
			fail_msg("%s was accepted", row[i].name);
	}
}

static void bss_and_entry_outside_ram_are_refused(void **state)
{
	struct fixture *f = fx(state);

	make_ram(f, 16 * MIB, 0);
	make_flat(f);
	store_le32(f->image + HDR + 24, 0xffffffff);
	assert_int_equal(open_kernel(f, NULL), 0);
	assert_refused(f, load(f), -ENOMEM, "needs RAM");
	boot_source_close(f->source);
	f->source = NULL;
	make_flat(f);
	store_le32(f->image + HDR + 28, 0xfffffff0);
	assert_int_equal(open_kernel(f, NULL), 0);
	assert_refused(f, load(f), -ENOEXEC, "outside RAM");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		boot_test(flat_kernel_goes_where_its_header_says),
		boot_test(elf_kernel_may_give_its_entry_as_linked_address),
		boot_test(information_has_memory_command_line_and_map),
		boot_test(modules_follow_page_aligned_with_their_arguments),
		boot_test(module_larger_than_ram_is_refused),
		boot_test(bad_module_lists_are_refused),
		boot_test(file_without_a_header_in_8_kib_is_refused),
		boot_test(wrong_checksum_is_no_header),
		boot_test(unknown_mandatory_flags_are_refused),
		boot_test(elf64_is_refused),
		boot_test(absurd_addresses_are_refused),
		boot_test(bss_and_entry_outside_ram_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
