// SPDX-License-Identifier: BSD-2-Clause
/* power.c, pmtimer.c, i8042.c, post.c and debug_exit.c */
#include "board.h"

struct fix {
	struct board *b;
	struct dev *power, *other[4];
};

static int setup(void **state)
{
	static const struct dev_class *const other[4] = {
		&pmtimer_class, &i8042_class, &post_class, &debug_exit_class,
	};
	struct fix *f = calloc(1, sizeof(*f));

	f->b = board_new(0);
	f->power = dev_new(f->b, &power_class);
	dev_up(f->power);
	for (unsigned i = 0; i < 4; i++) {
		f->other[i] = dev_new(f->b, other[i]);
		dev_up(f->other[i]);
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	for (unsigned i = 0; i < 4; i++)
		dev_down(f->other[i]);
	dev_down(f->power);
	board_free(f->b);
	free(f);
	return 0;
}

static void smi_command_switches_acpi(void **state)
{
	struct fix *f = *state;

	assert_int_equal(in(f->b, 0x404, 2), 0);
	assert_false(power_acpi_on(f->power));
	outb(f->b, 0xb2, 0xa0);
	assert_int_equal(in(f->b, 0x404, 2), 1);
	assert_true(power_acpi_on(f->power));
	assert_int_equal(f->b->acpi, 1);
	out(f->b, 0x404, 0, 2); /* SCI_EN is not the guest's */
	assert_int_equal(in(f->b, 0x404, 2), 1);
	outb(f->b, 0xb2, 0xa1);
	assert_int_equal(in(f->b, 0x404, 2), 0);
	assert_int_equal(f->b->acpi, 0);
	outb(f->b, 0xb2, 0x55);
	assert_int_equal(in(f->b, 0x404, 2), 0);
}

static void button_raises_sci_until_cleared(void **state)
{
	struct fix *f = *state;

	outb(f->b, 0xb2, 0xa0);
	power_button(f->power);
	assert_int_equal(f->b->isa[9].level, 0);
	out(f->b, 0x402, 0x120, 2);
	assert_int_equal(f->b->isa[9].level, 1);
	assert_int_equal(in(f->b, 0x400, 2), 0x100);
	out(f->b, 0x400, 0x20, 2);
	assert_int_equal(f->b->isa[9].level, 1);
	out(f->b, 0x400, 0x100, 2);
	assert_int_equal(f->b->isa[9].level, 0);
	assert_int_equal(in(f->b, 0x400, 2), 0);
	power_button(f->power);
	assert_int_equal(f->b->isa[9].rises, 2);
}

static void button_without_acpi_waits_for_it(void **state)
{
	struct fix *f = *state;

	out(f->b, 0x402, 0x100, 2);
	power_button(f->power);
	assert_int_equal(f->b->isa[9].level, 0);
	outb(f->b, 0xb2, 0xa0);
	assert_int_equal(f->b->isa[9].level, 1);
}

static void every_fixed_event_can_be_enabled(void **state)
{
	struct fix *f = *state;

	out(f->b, 0x402, 0xffff, 2);
	assert_int_equal(in(f->b, 0x402, 2), 0x721);
	out(f->b, 0x400, 0x07210000, 4); /* both registers at once */
	assert_int_equal(in(f->b, 0x400, 4), 0x07210000);
	outb(f->b, 0x403, 0);
	assert_int_equal(in(f->b, 0x402, 2), 0x21);
}

static void s5_powers_off_and_nothing_else_does(void **state)
{
	struct fix *f = *state;

	out(f->b, 0x404, 5 << 10, 2); /* no SLP_EN */
	assert_int_equal(f->b->exits, 0);
	assert_int_equal(in(f->b, 0x404, 2), 5 << 10);
	out(f->b, 0x404, 0x2000 | 1 << 10, 2);
	assert_int_equal(f->b->exits, 0);
	out(f->b, 0x404, 0x2000 | 5 << 10, 2);
	assert_int_equal(f->b->exits, 1);
	assert_int_equal(f->b->exit, HK_EXIT_POWEROFF);
	assert_int_equal(in(f->b, 0x404, 2) & 0x2000, 0);
}

static void s5_by_bytes_works_too(void **state)
{
	struct fix *f = *state;

	outb(f->b, 0x405, 0x34);
	assert_int_equal(f->b->exit, HK_EXIT_POWEROFF);
}

static void power_reset_lowers_sci(void **state)
{
	struct fix *f = *state;

	outb(f->b, 0xb2, 0xa0);
	out(f->b, 0x402, 0x100, 2);
	power_button(f->power);
	f->power->cls->reset(f->power, DEV_RESET_POWER_ON);
	assert_int_equal(f->b->isa[9].level, 0);
	assert_false(power_acpi_on(f->power));
}

static void pm_timer_counts_3579545_hz(void **state)
{
	struct fix *f = *state;
	u32 before = in(f->b, 0x408, 4);

	leap(f->b, NS_PER_SEC);
	assert_int_equal(in(f->b, 0x408, 4) - before, 3579545);
	assert_int_equal(in(f->b, 0x409, 1), in(f->b, 0x408, 4) >> 8 & 0xff);
	leap(f->b, 1200 * NS_PER_SEC); /* wraps at 32 bits */
	assert_int_equal(in(f->b, 0x408, 4) - before, (u32)(1201ull * 3579545));
	out(f->b, 0x408, 0, 4);
	assert_int_equal(in(f->b, 0x408, 4) - before, (u32)(1201ull * 3579545));
}

static void keyboard_controller_resets(void **state)
{
	struct fix *f = *state;

	assert_int_equal(inb(f->b, 0x64), 0x04);
	assert_int_equal(inb(f->b, 0x60), 0);
	outb(f->b, 0x64, 0xff); /* pulses nothing */
	outb(f->b, 0x92, 0x02);
	assert_int_equal(f->b->exits, 0);
	outb(f->b, 0x64, 0xfe);
	assert_int_equal(f->b->exits, 1);
	assert_int_equal(f->b->exit, HK_EXIT_RESET);
	outb(f->b, 0x64, 0xd1);
	outb(f->b, 0x60, 0xdf); /* A20 on */
	assert_int_equal(f->b->exits, 1);
	outb(f->b, 0x64, 0xd1);
	outb(f->b, 0x60, 0xde);
	assert_int_equal(f->b->exits, 2);
	outb(f->b, 0x92, 0x01);
	assert_int_equal(f->b->exits, 3);
}

static void keyboard_controller_answers_probing(void **state)
{
	struct fix *f = *state;

	outb(f->b, 0x64, 0xaa);
	assert_int_equal(inb(f->b, 0x64), 0x05);
	assert_int_equal(inb(f->b, 0x60), 0x55);
	assert_int_equal(inb(f->b, 0x64), 0x04);
	outb(f->b, 0x64, 0x60);
	outb(f->b, 0x60, 0x47);
	outb(f->b, 0x64, 0x20);
	assert_int_equal(inb(f->b, 0x60), 0x47);
	outb(f->b, 0x64, 0xd3); /* no mouse port: not given back */
	outb(f->b, 0x60, 0x5a);
	assert_int_not_equal(inb(f->b, 0x60), 0x5a);
	outb(f->b, 0x60, 0xf2); /* no keyboard hears it */
	assert_int_equal(inb(f->b, 0x64), 0x04);
}

static void post_ports_swallow_writes(void **state)
{
	static const u16 ports[] = { 0x80, 0x84, 0x8f, 0xed, 0xf0, 0x488 };
	struct fix *f = *state;

	for (unsigned i = 0; i < ARRAY_LEN(ports); i++) {
		outb(f->b, ports[i], 0);
		assert_int_equal(inb(f->b, ports[i]), 0xff);
	}
	assert_int_equal(bus_unclaimed(&f->b->pio_bus), 0);
}

static void debug_exit_gives_its_value(void **state)
{
	static const unsigned sizes[] = { 1, 2, 4 };
	struct fix *f = *state;

	for (unsigned i = 0; i < 3; i++) {
		out(f->b, 0xf4, 0x10 + i, sizes[i]);
		assert_int_equal(f->b->exits, i + 1);
		assert_int_equal(f->b->exit, HK_EXIT_DEBUG);
		assert_int_equal(f->b->exit_value, 2 * (0x10 + i) + 1);
	}
	assert_int_equal(in(f->b, 0xf4, 4), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(smi_command_switches_acpi),
		T(button_raises_sci_until_cleared),
		T(button_without_acpi_waits_for_it),
		T(every_fixed_event_can_be_enabled),
		T(s5_powers_off_and_nothing_else_does),
		T(s5_by_bytes_works_too),
		T(power_reset_lowers_sci),
		T(pm_timer_counts_3579545_hz),
		T(keyboard_controller_resets),
		T(keyboard_controller_answers_probing),
		T(post_ports_swallow_writes),
		T(debug_exit_gives_its_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
