// SPDX-License-Identifier: BSD-2-Clause
/* CPUID rows of the board: topology that a kernel can add up, features that are not there */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "machine/machine_int.h"

#define ECX_AMD 0x444d4163u
#define ECX_INTEL 0x6c65746eu

static struct accel_caps caps;
static struct cpuid_entry rows[ACCEL_MAX_CPUID];
static unsigned num_rows;

static void add(u32 leaf, int subleaf, u32 eax, u32 ebx, u32 ecx, u32 edx)
{
	caps.cpuid[caps.num_cpuid++] = (struct cpuid_entry){
		leaf, subleaf < 0 ? 0 : (u32)subleaf, subleaf >= 0, eax, ebx, ecx, edx
	};
}

static void model(u32 vendor_ecx)
{
	memset(&caps, 0, sizeof(caps));
	add(0, -1, 0xD, 0, vendor_ecx, 0);
	add(1, -1, 0x00a20f10, 0xff400800, ~0u, ~0u);
	add(4, 0, 0x21 | 7 << 14 | 7u << 26, 1, 2, 3);	/* L1 */
	add(4, 1, 0x63 | 63 << 14, 1, 2, 3);		/* L3 */
	add(4, 2, 0, 0, 0, 0);
	add(5, -1, 0x40, 0x40, 3, 0x20);
	add(6, -1, ~0u, ~0u, ~0u, ~0u);
	add(0xA, -1, ~0u, ~0u, ~0u, ~0u);
	add(0xB, 0, 1, 2, 0x100, 77);
	add(0x80000001, -1, 0, 0, ~0u, ~0u);
	add(0x80000008, -1, 0x3030, 0x1000, 0x703f, 0);
	add(0x8000001D, 0, 0x121 | 1 << 14, 1, 2, 3);
	add(0x8000001D, 1, 0x163 | 15 << 14, 1, 2, 3);
	add(0x8000001E, -1, 99, 0x0199, 0x0300, 0);
}

static void build(unsigned cpu, unsigned cpus)
{
	num_rows = cpuid_build(&caps, true, cpu, cpus, rows);
}

static const struct cpuid_entry *row(u32 leaf, u32 subleaf)
{
	for (unsigned i = 0; i < num_rows; i++)
		if (rows[i].leaf == leaf && (!rows[i].has_subleaf || rows[i].subleaf == subleaf))
			return &rows[i];
	fail_msg("no row for leaf %x/%x", leaf, subleaf);
	return NULL;
}

static void every_cpu_has_its_own_apic_id_everywhere(void **state)
{
	model(ECX_AMD);
	for (unsigned cpu = 0; cpu < 64; cpu++) {
		build(cpu, 64);
		assert_int_equal(row(1, 0)->ebx >> 24, cpu);
		for (unsigned sub = 0; sub < 3; sub++)
			assert_int_equal(row(0xB, sub)->edx, cpu);
		assert_int_equal(row(0x8000001E, 0)->eax, cpu);
		assert_int_equal(row(0x8000001E, 0)->ebx, cpu);
	}
}

static void core_count_agrees_in_all_leaves(void **state)
{
	static const struct { unsigned cpus, shift; } cases[] = {
		{ 1, 0 }, { 2, 1 }, { 3, 2 }, { 4, 2 }, { 5, 3 }, { 16, 4 }, { 64, 6 }
	};

	model(ECX_AMD);
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		unsigned n = cases[i].cpus, shift = cases[i].shift;

		build(0, n);
		assert_int_equal(row(1, 0)->edx >> 28 & 1, n > 1);
		assert_int_equal(row(1, 0)->ebx >> 16 & 0xff, 1u << shift);
		assert_int_equal(row(0xB, 0)->eax, 0); /* no threads */
		assert_int_equal(row(0xB, 0)->ebx, 1);
		assert_int_equal(row(0xB, 0)->ecx, 0x100);
		assert_int_equal(row(0xB, 1)->eax, shift);
		assert_int_equal(row(0xB, 1)->ebx, n);
		assert_int_equal(row(0xB, 1)->ecx, 0x201);
		assert_int_equal(row(0xB, 2)->ecx, 2);
		assert_int_equal(row(0xB, 2)->ebx, 0);
		assert_int_equal(row(0x80000008, 0)->ecx & 0xff, n - 1);
		assert_int_equal(row(0x80000008, 0)->ecx >> 12 & 0xf, shift);
		assert_int_equal(row(0x80000008, 0)->eax, 0x3030); /* address widths stay */
		assert_int_equal(row(4, 0)->eax >> 26, (1u << shift) - 1);
	}
}

static void only_the_last_cache_level_is_shared(void **state)
{
	model(ECX_AMD);
	build(1, 4);
	assert_int_equal(row(4, 0)->eax >> 14 & 0xfff, 0);
	assert_int_equal(row(4, 1)->eax >> 14 & 0xfff, 3);
	assert_int_equal(row(4, 2)->eax, 0); /* the end of the list stays one */
	assert_int_equal(row(0x8000001D, 0)->eax, 0x121);
	assert_int_equal(row(0x8000001D, 1)->eax, 0x163 | 3 << 14);
	assert_int_equal(row(4, 1)->ebx, 1); /* sizes stay */
}

static void features_that_nobody_serves_are_hidden(void **state)
{
	const u32 hidden = BIT(3) | BIT(5) | BIT(6) | BIT(7) | BIT(15); /* MONITOR VMX SMX EST PDCM */

	model(ECX_INTEL);
	build(0, 1);
	assert_int_equal(row(1, 0)->ecx & hidden, 0);
	assert_int_equal(row(5, 0)->eax | row(5, 0)->edx, 0);
	assert_int_equal(row(6, 0)->eax, 4);
	assert_int_equal(row(0xA, 0)->eax | row(0xA, 0)->edx, 0);
	assert_int_equal(row(0x80000001, 0)->ecx & BIT(2), 0); /* SVM */
}

static void our_lapics_bring_x2apic_and_deadline_timer(void **state)
{
	model(ECX_INTEL);
	caps.cpuid[1].ecx = 0;
	build(0, 1);
	assert_int_equal(row(1, 0)->ecx, BIT(21) | BIT(24));
	num_rows = cpuid_build(&caps, false, 0, 1, rows);
	assert_int_equal(row(1, 0)->ecx, 0); /* the accelerator's own: it says itself */
}

static void amd_rows_are_left_alone_on_intel(void **state)
{
	model(ECX_INTEL);
	build(3, 4);
	assert_int_equal(row(0x80000008, 0)->ecx, 0x703f);
	assert_int_equal(row(0x80000001, 0)->ecx & BIT(1), 0);
}

static void a_full_table_stays_within_its_bounds(void **state)
{
	model(ECX_AMD);
	while (caps.num_cpuid < ACCEL_MAX_CPUID)
		add(0x40000000 + caps.num_cpuid, -1, 0, 0, 0, 0);
	build(0, 2);
	assert_true(num_rows <= ACCEL_MAX_CPUID);
	caps.num_cpuid = ACCEL_MAX_CPUID + 1000;
	build(0, 2);
	assert_true(num_rows <= ACCEL_MAX_CPUID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cpu_has_its_own_apic_id_everywhere),
		cmocka_unit_test(core_count_agrees_in_all_leaves),
		cmocka_unit_test(only_the_last_cache_level_is_shared),
		cmocka_unit_test(features_that_nobody_serves_are_hidden),
		cmocka_unit_test(our_lapics_bring_x2apic_and_deadline_timer),
		cmocka_unit_test(amd_rows_are_left_alone_on_intel),
		cmocka_unit_test(a_full_table_stays_within_its_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
