// SPDX-License-Identifier: BSD-2-Clause
/* test/unit/boot/e820_test.c - The memory map that kernels are told */
#include "boot_test_images.h"

static unsigned build(struct boot_e820 *map, u64 low, u64 high)
{
	struct boot_env env = { .lowmem_bytes = low, .highmem_bytes = high };

	return boot_e820_build(&env, map, BOOT_MAX_E820);
}

static u32 type_at(const struct boot_e820 *map, unsigned n, u64 addr)
{
	for (unsigned i = 0; i < n; i++)
		if (addr >= map[i].addr && addr - map[i].addr < map[i].size)
			return map[i].type;
	return 0;
}

static void what_is_ours_is_reserved_and_ram_is_ram(void **state)
{
	struct boot_e820 map[BOOT_MAX_E820];
	unsigned n = build(map, 3072 * MIB, 5120 * MIB);

	assert_int_equal(type_at(map, n, 0), E820_RAM);
	assert_int_equal(type_at(map, n, 0x9fbff), E820_RAM);
	assert_int_equal(type_at(map, n, 0x9fc00), E820_RESERVED);
	assert_int_equal(type_at(map, n, 0xa0000), 0);
	assert_int_equal(type_at(map, n, 0xf0000), E820_RESERVED);
	assert_int_equal(type_at(map, n, 0xfffff), E820_RESERVED);
	assert_int_equal(type_at(map, n, 0x100000), E820_RAM);
	assert_int_equal(type_at(map, n, 3072 * MIB - 1), E820_RAM);
	assert_int_equal(type_at(map, n, 3072 * MIB), 0);
	assert_int_equal(type_at(map, n, 0xe0000000), E820_RESERVED);
	assert_int_equal(type_at(map, n, 0x100000000), E820_RAM);
	assert_int_equal(type_at(map, n, 0x100000000 + 5120 * MIB), 0);
}

static void rows_are_sorted_and_never_overlap(void **state)
{
	struct boot_e820 map[BOOT_MAX_E820];
	unsigned n = build(map, 3072 * MIB, 5120 * MIB);

	for (unsigned i = 1; i < n; i++)
		assert_true(map[i].addr >= map[i - 1].addr + map[i - 1].size);
}

static void one_mib_of_ram_has_no_empty_row(void **state)
{
	struct boot_e820 map[BOOT_MAX_E820];
	unsigned n = build(map, 1 * MIB, 0);

	for (unsigned i = 0; i < n; i++)
		assert_true(map[i].size > 0);
	assert_int_equal(type_at(map, n, 0x100000), 0);
}

static void never_more_rows_than_asked_for(void **state)
{
	struct boot_e820 map[3] = { 0 };
	struct boot_env env = { .lowmem_bytes = 64 * MIB };

	assert_int_equal(boot_e820_build(&env, map, 2), 2);
	assert_int_equal(map[2].size, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_ours_is_reserved_and_ram_is_ram),
		cmocka_unit_test(rows_are_sorted_and_never_overlap),
		cmocka_unit_test(one_mib_of_ram_has_no_empty_row),
		cmocka_unit_test(never_more_rows_than_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
