// SPDX-License-Identifier: BSD-2-Clause
/* test/unit/accel/x86_state_test.c - Reset state and its text */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "accel/x86_state.h"
#include "base/strbuf.h"
#include "base/wire.h"

static void first_instruction_is_sixteen_bytes_below_four_gib(void **state)
{
	struct x86_state st;

	x86_state_reset(&st, true);
	assert_int_equal(st.seg[X86_CS].base + st.rip, 0xfffffff0);
	assert_int_equal(st.seg[X86_CS].sel, 0xf000);
	assert_int_equal(st.cr0, 0x60000010);
	assert_int_equal(st.rflags, 2);
	assert_int_equal(st.gpr[X86_RDX], 0xf00);
	assert_int_equal(st.event.activity, X86_RUNNING);
}

static void application_processors_wait_for_sipi_and_are_not_the_bsp(void **state)
{
	struct x86_state bsp, ap;

	x86_state_reset(&bsp, true);
	x86_state_reset(&ap, false);
	assert_int_equal(ap.event.activity, X86_WAIT_SIPI);
	assert_int_equal(bsp.apic_base, 0xfee00900);
	assert_int_equal(ap.apic_base, 0xfee00800);
}

static void vector_state_is_initial_and_marked_present(void **state)
{
	struct x86_state st;

	x86_state_reset(&st, true);
	assert_int_equal(load_le16(st.xsave), 0x40);
	assert_int_equal(load_le32(st.xsave + 24), 0x1f80);
	assert_int_equal(load_le64(st.xsave + 512), 3);
}

static void dump_names_registers_and_set_flags(void **state)
{
	struct strbuf b = { 0 };
	struct x86_state st;

	x86_state_reset(&st, true);
	st.gpr[X86_R13] = 0x1234567;
	st.rflags |= X86_FLAG_IF | X86_FLAG_ZF;
	x86_state_dump(&st, 3, &b);
	assert_non_null(strstr(b.s, "vcpu 3: running, cpl 0\n"));
	assert_non_null(strstr(b.s, "rip 000000000000fff0"));
	assert_non_null(strstr(b.s, "r13 0000000001234567"));
	assert_non_null(strstr(b.s, " zf if\n"));
	assert_non_null(strstr(b.s, "cs   f000 base 00000000ffff0000"));
	strbuf_fini(&b);
}

static void dump_survives_a_nonsense_activity(void **state)
{
	struct strbuf b = { 0 };
	struct x86_state st;

	x86_state_reset(&st, true);
	st.event.activity = 200;
	x86_state_dump(&st, 0, &b);
	assert_non_null(strstr(b.s, "unknown state"));
	strbuf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_instruction_is_sixteen_bytes_below_four_gib),
		cmocka_unit_test(application_processors_wait_for_sipi_and_are_not_the_bsp),
		cmocka_unit_test(vector_state_is_initial_and_marked_present),
		cmocka_unit_test(dump_names_registers_and_set_flags),
		cmocka_unit_test(dump_survives_a_nonsense_activity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
