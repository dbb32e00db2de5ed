// SPDX-License-Identifier: BSD-2-Clause
/* test/unit/boot/linux_test.c - bzImages good and hostile */
#include "boot_test_images.h"

#define SETUP_BYTES 1024
#define PAYLOAD_BYTES 8192
#define ZP 0x3000
#define PREF 0x400000

/* Protocol 2.15, relocatable, 64-bit entry, initrd anywhere: as Debian's */
static void make_bzimage(struct fixture *f)
{
	u8 *b = f->image;

	f->len = SETUP_BYTES + PAYLOAD_BYTES;
	memset(b, 0, f->len);
	b[0x1f1] = 1;
	store_le32(b + 0x1f4, PAYLOAD_BYTES / 16);
	store_le16(b + 0x1fe, 0xaa55);
	b[0x200] = 0xeb;
	b[0x201] = 0x6a;
	memcpy(b + 0x202, "HdrS", 4);
	store_le16(b + 0x206, 0x20f);
	b[0x211] = 1;
	store_le32(b + 0x22c, 0x7fffffff);
	store_le32(b + 0x230, 0x200000);
	b[0x234] = 1;
	store_le16(b + 0x236, 3);
	store_le32(b + 0x238, 2047);
	store_le64(b + 0x250, 0x1122334455667788); /* setup_data: not for us to believe */
	store_le64(b + 0x258, PREF);
	store_le32(b + 0x260, 0x100000);
	memset(b + SETUP_BYTES, 0xc3, PAYLOAD_BYTES);
}

static int open_kernel(struct fixture *f, const char *cmdline)
{
	write_file(f->kernel, f->image, f->len, 0);
	return boot_linux_open(&f->source, f->kernel, NULL, cmdline, &f->err);
}

static int open_with_initrd(struct fixture *f, u64 initrd_len)
{
	write_file(f->kernel, f->image, f->len, 0);
	write_file(f->initrd, "INITRD", 6, initrd_len);
	return boot_linux_open(&f->source, f->kernel, f->initrd, NULL, &f->err);
}

static int load(struct fixture *f)
{
	return boot_source_load(f->source, &f->env, &f->bsp, &f->err);
}

static void kernel_with_a_64_bit_entry_starts_in_long_mode(void **state)
{
	struct fixture *f = fx(state);

	make_bzimage(f);
	make_ram(f, 64 * MIB, 0);
	assert_int_equal(open_kernel(f, "console=ttyS0"), 0);
	assert_int_equal(load(f), 0);
	assert_int_equal(f->bsp.rip, PREF + 0x200);
	assert_int_equal(f->bsp.gpr[X86_RSI], ZP);
	assert_int_equal(f->bsp.efer, X86_EFER_LME | X86_EFER_LMA);
	assert_true(f->bsp.cr0 & X86_CR0_PG);
	assert_true(f->bsp.cr4 & X86_CR4_PAE);
	assert_int_equal(f->bsp.seg[X86_CS].sel, 0x10);
	assert_true(f->bsp.seg[X86_CS].attr & X86_SEG_L);
	assert_false(f->bsp.seg[X86_CS].attr & X86_SEG_DB);
	assert_int_equal(f->bsp.rflags, 2);
	assert_int_equal(*ram(f, PREF), 0xc3);
	assert_int_equal(*ram(f, PREF + PAYLOAD_BYTES - 1), 0xc3);
	assert_string_equal(ram(f, load_le32(ram(f, ZP + 0x228))), "console=ttyS0");
}

/* Walk what CR3 points to, as the CPU would */
static u64 walk(struct fixture *f, u64 va)
{
	u64 at = f->bsp.cr3;

	for (int shift = 39; shift >= 21; shift -= 9) {
		u64 e = load_le64(ram(f, (at & ~0xfffull) + (va >> shift & 511) * 8));

		if (!(e & 1))
			return ~0ull;
		if (shift == 21 && e & 0x80)
			return (e & ~0x1fffffull) | (va & 0x1fffff);
		at = e;
	}
	return ~0ull;
}

static void long_mode_tables_map_the_first_four_gib_to_themselves(void **state)
{
	static const u64 at[] = { 0, 0x1fffff, 0x200000, 0x3fffffff, 0x40000000, 0xc0001234,
				  0xffffffff };
	struct fixture *f = fx(state);

	make_bzimage(f);
	make_ram(f, 64 * MIB, 0);
	assert_int_equal(open_kernel(f, NULL), 0);
	assert_int_equal(load(f), 0);
	for (size_t i = 0; i < ARRAY_LEN(at); i++)
		assert_int_equal(walk(f, at[i]), at[i]);
	assert_int_equal(walk(f, 0x100000000), ~0ull);
}

static void kernel_without_it_starts_in_protected_mode(void **state)
{
	struct fixture *f = fx(state);

	make_bzimage(f);
	store_le16(f->image + 0x236, 0);
	make_ram(f, 64 * MIB, 0);
	assert_int_equal(open_kernel(f, NULL), 0);
	assert_int_equal(load(f), 0);
	assert_int_equal(f->bsp.rip, PREF);
	assert_int_equal(f->bsp.efer, 0);
	assert_int_equal(f->bsp.cr0 & (X86_CR0_PE | X86_CR0_PG), X86_CR0_PE);
	assert_int_equal(f->bsp.seg[X86_CS].attr, 0xc09b);
	assert_int_equal(f->bsp.seg[X86_DS].attr, 0xc093);
	assert_int_equal(f->bsp.seg[X86_CS].limit, 0xffffffff);
	assert_int_equal(f->bsp.gdt.base, 0x2000);
	assert_int_equal(load_le64(ram(f, 0x2010)), 0x00cf9a000000ffff);
	assert_int_equal(load_le64(ram(f, 0x2018)), 0x00cf92000000ffff);
}

static void protocol_2_06_is_enough(void **state)
{
	struct fixture *f = fx(state);

	make_bzimage(f);
	store_le16(f->image + 0x206, 0x206);
	f->image[0x201] = 0x3a; /* its header ends at 0x23c */
	make_ram(f, 64 * MIB, 0);
	assert_int_equal(open_kernel(f, NULL), 0);
	assert_int_equal(load(f), 0);
	assert_int_equal(f->bsp.rip, 0x200000); /* no pref_address: 1 MiB, aligned */
	assert_int_equal(load_le64(ram(f, ZP + 0x070)), 0); /* acpi_rsdp_addr came with 2.14 */
}

static void command_line_is_auto_unless_given(void **state)
{
	struct fixture *f = fx(state);

	make_bzimage(f);
	make_ram(f, 64 * MIB, 0);
	assert_int_equal(open_kernel(f, NULL), 0);
	assert_int_equal(load(f), 0);
	assert_string_equal(ram(f, load_le32(ram(f, ZP + 0x228))), "auto");
}

static void zero_page_tells_memory_loader_and_rsdp(void **state)
{
	struct fixture *f = fx(state);
	unsigned rows;
	u64 usable = 0;

	make_bzimage(f);
	make_ram(f, 64 * MIB, 32 * MIB);
	assert_int_equal(open_kernel(f, NULL), 0);
	assert_int_equal(load(f), 0);
	assert_int_equal(*ram(f, ZP + 0x210), 0x0d);
	assert_int_equal(load_le64(ram(f, ZP + 0x070)), BOOT_ACPI_GPA);
	assert_int_equal(load_le32(ram(f, ZP + 0x1e0)), 63 * 1024);
	assert_int_equal(load_le64(ram(f, ZP + 0x250)), 0);
	rows = *ram(f, ZP + 0x1e8);
	for (unsigned i = 0; i < rows; i++)
		if (load_le32(ram(f, ZP + 0x2d0 + i * 20 + 16)) == E820_RAM)
			usable += load_le64(ram(f, ZP + 0x2d0 + i * 20 + 8));
	assert_int_equal(usable, 0x9fc00 + 63 * MIB + 32 * MIB);
}

static void no_acpi_means_no_rsdp(void **state)
{
	struct fixture *f = fx(state);

	make_bzimage(f);
	make_ram(f, 64 * MIB, 0);
	f->env.acpi = false;
	assert_int_equal(open_kernel(f, NULL), 0);
	assert_int_equal(load(f), 0);
	assert_int_equal(load_le64(ram(f, ZP + 0x070)), 0);
}

static void initrd_lies_at_the_top_of_low_ram(void **state)
{
	struct fixture *f = fx(state);

	make_bzimage(f);
	make_ram(f, 64 * MIB, 64 * MIB);
	assert_int_equal(open_with_initrd(f, 10000), 0);
	assert_int_equal(load(f), 0);
	assert_int_equal(load_le32(ram(f, ZP + 0x218)), 64 * MIB - 3 * 4096);
	assert_int_equal(load_le32(ram(f, ZP + 0x21c)), 10000);
	assert_int_equal(load_le32(ram(f, ZP + 0x0c0)), 0);
	assert_memory_equal(ram(f, 64 * MIB - 3 * 4096), "INITRD", 7);
}

static void initrd_stays_below_the_kernels_limit(void **state)
{
	struct fixture *f = fx(state);

	make_bzimage(f);
	store_le32(f->image + 0x22c, 0x1ffffff);
	make_ram(f, 64 * MIB, 0);
	assert_int_equal(open_with_initrd(f, 4096), 0);
	assert_int_equal(load(f), 0);
	assert_int_equal(load_le32(ram(f, ZP + 0x218)), 32 * MIB - 4096);
}

static void large_initrd_goes_above_four_gib_where_the_kernel_allows(void **state)
{
	struct fixture *f = fx(state);

	make_bzimage(f);
	make_ram(f, 16 * MIB, 64 * MIB);
	assert_int_equal(open_with_initrd(f, 20 * MIB), 0);
	assert_int_equal(load(f), 0);
	assert_int_equal(load_le32(ram(f, ZP + 0x0c0)), 1);
	assert_int_equal(load_le32(ram(f, ZP + 0x218)), 44 * MIB);
	assert_memory_equal(ram(f, BOOT_HIGHMEM_GPA + 44 * MIB), "INITRD", 7);
}

static void large_initrd_is_refused_where_it_does_not(void **state)
{
	struct fixture *f = fx(state);

	make_bzimage(f);
	store_le16(f->image + 0x236, 1);
	make_ram(f, 16 * MIB, 64 * MIB);
	assert_int_equal(open_with_initrd(f, 20 * MIB), 0);
	assert_refused(f, load(f), -ENOMEM, "20 MiB do not fit");
}

static void initrd_larger_than_all_ram_is_refused(void **state)
{
	struct fixture *f = fx(state);

	make_bzimage(f);
	make_ram(f, 16 * MIB, 0);
	assert_int_equal(open_with_initrd(f, 1ull << 40), 0);
	assert_refused(f, load(f), -ENOMEM, "do not fit into RAM");
}

static void initrd_never_overlaps_the_running_kernel(void **state)
{
	struct fixture *f = fx(state);

	make_bzimage(f);
	store_le16(f->image + 0x236, 1);
	make_ram(f, 6 * MIB, 0);
	/* 4 MiB + init_size 1 MiB: one MiB is left */
	assert_int_equal(open_with_initrd(f, 1 * MIB), 0);
	assert_int_equal(load(f), 0);
	boot_source_close(f->source);
	f->source = NULL;
	assert_int_equal(open_with_initrd(f, 1 * MIB + 1), 0);
	assert_refused(f, load(f), -ENOMEM, "do not fit");
}

/* Loaded lower it would start, move itself to pref_address and run over the end of RAM */
static void relocatable_kernel_is_not_put_below_its_preferred_address(void **state)
{
	struct fixture *f = fx(state);

	make_bzimage(f);
	make_ram(f, 4 * MIB, 0);
	assert_int_equal(open_kernel(f, NULL), 0);
	assert_refused(f, load(f), -ENOMEM, "from 4 MiB on");
}

static void misaligned_preferred_address_is_rounded_up(void **state)
{
	struct fixture *f = fx(state);

	make_bzimage(f);
	store_le64(f->image + 0x258, PREF + 0x1000);
	make_ram(f, 16 * MIB, 0);
	assert_int_equal(open_kernel(f, NULL), 0);
	assert_int_equal(load(f), 0);
	assert_int_equal(f->bsp.rip, PREF + 0x200000 + 0x200);
}

static void relocatable_kernel_without_preference_goes_above_one_mib(void **state)
{
	struct fixture *f = fx(state);

	make_bzimage(f);
	store_le64(f->image + 0x258, 0);
	make_ram(f, 16 * MIB, 0);
	assert_int_equal(open_kernel(f, NULL), 0);
	assert_int_equal(load(f), 0);
	assert_int_equal(f->bsp.rip, 0x200200);
}

static void kernel_that_needs_more_ram_is_refused_with_both_figures(void **state)
{
	struct fixture *f = fx(state);

	make_bzimage(f);
	store_le32(f->image + 0x260, 100 * MIB);
	make_ram(f, 64 * MIB, 0);
	assert_int_equal(open_kernel(f, NULL), 0);
	assert_refused(f, load(f), -ENOMEM, "needs 100 MiB of RAM");
	assert_refused(f, -ENOMEM, -ENOMEM, "has 64 MiB");
}

static void loading_twice_gives_the_same_ram(void **state)
{
	struct fixture *f = fx(state);

	make_bzimage(f);
	make_ram(f, 64 * MIB, 0);
	assert_int_equal(open_with_initrd(f, 0), 0);
	assert_int_equal(load(f), 0);
	memset(ram(f, 0), 0x5a, 0x20000);
	memset(ram(f, PREF), 0x5a, PAYLOAD_BYTES);
	assert_int_equal(load(f), 0);
	assert_int_equal(*ram(f, PREF), 0xc3);
	assert_int_equal(load_le64(ram(f, 0x2000)), 0);
	assert_string_equal(ram(f, 0x4000), "auto");
	assert_int_equal(walk(f, 0x12345678), 0x12345678);
}

static void file_that_shrinks_after_opening_is_an_error(void **state)
{
	struct fixture *f = fx(state);

	make_bzimage(f);
	make_ram(f, 64 * MIB, 0);
	assert_int_equal(open_kernel(f, NULL), 0);
	assert_int_equal(truncate(f->kernel, 2000), 0);
	assert_refused(f, load(f), -EIO, "shorter");
}

/* ---- files that are refused at once */

static void missing_kernel_is_named(void **state)
{
	struct fixture *f = fx(state);

	assert_refused(f, boot_linux_open(&f->source, f->kernel, NULL, NULL, &f->err), -ENOENT,
		       f->kernel);
}

static void missing_initrd_is_named(void **state)
{
	struct fixture *f = fx(state);

	make_bzimage(f);
	write_file(f->kernel, f->image, f->len, 0);
	assert_refused(f, boot_linux_open(&f->source, f->kernel, f->initrd, NULL, &f->err), -ENOENT,
		       "initrd");
}

static void directory_is_no_kernel(void **state)
{
	struct fixture *f = fx(state);

	assert_refused(f, boot_linux_open(&f->source, f->dir, NULL, NULL, &f->err), -EISDIR,
		       "directory");
}

static void fifo_is_refused_without_waiting_for_a_writer(void **state)
{
	struct fixture *f = fx(state);

	assert_int_equal(mkfifo(f->other, 0600), 0);
	assert_refused(f, boot_linux_open(&f->source, f->other, NULL, NULL, &f->err), -EINVAL,
		       "regular file");
}

static void empty_file_is_refused(void **state)
{
	struct fixture *f = fx(state);

	assert_refused(f, open_kernel(f, NULL), -ENOEXEC, "empty");
}

static void foreign_file_is_refused(void **state)
{
	struct fixture *f = fx(state);

	memset(f->image, 'x', f->len = 20000);
	assert_refused(f, open_kernel(f, NULL), -ENOEXEC, "neither a bzImage nor an ELF");
	f->len = 3;
	assert_refused(f, open_kernel(f, NULL), -ENOEXEC, "neither a bzImage nor an ELF");
}

static void every_truncation_of_a_good_image_is_refused(void **state)
{
	struct fixture *f = fx(state);
	size_t full;

	make_bzimage(f);
	full = f->len;
	for (f->len = 1; f->len < full; f->len += f->len < 1100 ? 1 : 997)
		if (open_kernel(f, NULL) == 0)
			fail_msg("%zu of %zu bytes were taken for a kernel", f->len, full);
}

static void absurd_headers_are_refused(void **state)
{
	static const struct {
		const char *name;
		unsigned off, bytes;
		u64 val;
		const char *words;
	} row[] = {
		{ "protocol before 2.06", 0x206, 2, 0x205, "2.06 is needed" },
		{ "zImage", 0x211, 1, 0, "bzImage is needed" },
		{ "header cut by its own jump", 0x201, 1, 0x20, "cut short" },
		{ "more setup sectors than file", 0x1f1, 1, 0xff, "truncated" },
		{ "syssize beyond the file", 0x1f4, 4, 0xffffffff, "truncated" },
		{ "no protected-mode part", 0x1f4, 4, 0, "truncated" },
		{ "alignment zero", 0x230, 4, 0, "alignment" },
		{ "alignment not a power of two", 0x230, 4, 0x300000, "alignment" },
		{ "alignment of 2 GiB", 0x230, 4, 0x80000000, "alignment" },
		{ "init_size below payload", 0x260, 4, 100, "init_size" },
	};
	struct fixture *f = fx(state);

	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		make_bzimage(f);
		memcpy(f->image + row[i].off, &row[i].val, row[i].bytes);
		if (open_kernel(f, NULL) != -ENOEXEC || !strstr(f->err.text, row[i].words))
			fail_msg("%s: \"%s\"", row[i].name, f->err.text);
	}
}

static void kernel_must_want_a_sane_address(void **state)
{
	static const u64 bad[] = { 0, 0x3000, 0xfffff, 0x100000000, ~0ull };
	struct fixture *f = fx(state);

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		make_bzimage(f);
		f->image[0x234] = 0;
		store_le64(f->image + 0x258, bad[i]);
		assert_refused(f, open_kernel(f, NULL), -ENOEXEC, "wants to be loaded");
		f->image[0x234] = 1;
		if (bad[i] >= 0x100000000)
			assert_refused(f, open_kernel(f, NULL), -ENOEXEC, "wants to be loaded");
	}
}

static void init_size_of_4_gib_is_refused_by_ram(void **state)
{
	struct fixture *f = fx(state);

	make_bzimage(f);
	store_le32(f->image + 0x260, 0xffffffff);
	make_ram(f, 64 * MIB, 0);
	assert_int_equal(open_kernel(f, NULL), 0);
	assert_refused(f, load(f), -ENOMEM, "needs 4096 MiB");
}

static void command_line_longer_than_the_kernel_takes_is_refused(void **state)
{
	struct fixture *f = fx(state);
	char line[2049];

	make_bzimage(f);
	memset(line, 'a', sizeof(line));
	line[2048] = 0;
	assert_refused(f, open_kernel(f, line), -E2BIG, "takes 2047");
	line[2047] = 0;
	make_ram(f, 64 * MIB, 0);
	assert_int_equal(open_kernel(f, line), 0);
	assert_int_equal(load(f), 0);
}

static void kernel_that_takes_any_command_line_still_meets_our_limit(void **state)
{
	struct fixture *f = fx(state);
	char *line = calloc(1, 70000);

	make_bzimage(f);
	store_le32(f->image + 0x238, 0xffffffff);
	make_ram(f, 64 * MIB, 0);
	memset(line, 'a', 69999);
	assert_int_equal(open_kernel(f, line), 0);
	assert_refused(f, load(f), -E2BIG, "command line");
	free(line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		boot_test(kernel_with_a_64_bit_entry_starts_in_long_mode),
		boot_test(long_mode_tables_map_the_first_four_gib_to_themselves),
		boot_test(kernel_without_it_starts_in_protected_mode),
		boot_test(protocol_2_06_is_enough),
		boot_test(command_line_is_auto_unless_given),
		boot_test(zero_page_tells_memory_loader_and_rsdp),
		boot_test(no_acpi_means_no_rsdp),
		boot_test(initrd_lies_at_the_top_of_low_ram),
		boot_test(initrd_stays_below_the_kernels_limit),
		boot_test(large_initrd_goes_above_four_gib_where_the_kernel_allows),
		boot_test(large_initrd_is_refused_where_it_does_not),
		boot_test(initrd_larger_than_all_ram_is_refused),
		boot_test(initrd_never_overlaps_the_running_kernel),
		boot_test(relocatable_kernel_is_not_put_below_its_preferred_address),
		boot_test(misaligned_preferred_address_is_rounded_up),
		boot_test(relocatable_kernel_without_preference_goes_above_one_mib),
		boot_test(kernel_that_needs_more_ram_is_refused_with_both_figures),
		boot_test(loading_twice_gives_the_same_ram),
		boot_test(file_that_shrinks_after_opening_is_an_error),
		boot_test(missing_kernel_is_named),
		boot_test(missing_initrd_is_named),
		boot_test(directory_is_no_kernel),
		boot_test(fifo_is_refused_without_waiting_for_a_writer),
		boot_test(empty_file_is_refused),
		boot_test(foreign_file_is_refused),
		boot_test(every_truncation_of_a_good_image_is_refused),
		boot_test(absurd_headers_are_refused),
		boot_test(kernel_must_want_a_sane_address),
		boot_test(init_size_of_4_gib_is_refused_by_ram),
		boot_test(command_line_longer_than_the_kernel_takes_is_refused),
		boot_test(kernel_that_takes_any_command_line_still_meets_our_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
