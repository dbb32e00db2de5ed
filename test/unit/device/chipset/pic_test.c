// SPDX-License-Identifier: BSD-2-Clause
#include "board.h"

static int output;
static unsigned output_calls;

static void on_output(void *arg, int level)
{
	output = level;
	output_calls++;
}

struct fix {
	struct board *b;
	struct dev *pic;
};

static void init_chip(struct board *b, u16 port, u8 base, u8 cascade, u8 icw4)
{
	outb(b, port, 0x11);
	outb(b, port + 1, base);
	outb(b, port + 1, cascade);
	outb(b, port + 1, icw4);
}

/* As Linux does it, all inputs open */
static void init_pair(struct board *b, u8 icw4)
{
	init_chip(b, 0x20, 0x30, 4, icw4);
	init_chip(b, 0xa0, 0x38, 2, icw4);
	outb(b, 0x21, 0);
	outb(b, 0xa1, 0);
}

static int setup(void **state)
{
	struct fix *f = calloc(1, sizeof(*f));

	f->b = board_new(0);
	f->pic = dev_new(f->b, &pic_class);
	pic_on_output(f->pic, on_output, NULL);
	dev_up(f->pic);
	output = 0;
	output_calls = 0;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	dev_down(f->pic);
	board_free(f->b);
	free(f);
	return 0;
}

static void pulse(struct fix *f, unsigned irq)
{
	pic_set(f->pic, irq, 1);
	pic_set(f->pic, irq, 0);
}

static void nothing_comes_before_initialisation(void **state)
{
	struct fix *f = *state;

	pulse(f, 0);
	assert_int_equal(output, 0);
	assert_int_equal(pic_ack(f->pic, true), -1);
}

static void edge_is_kept_until_acknowledged_and_given_once(void **state)
{
	struct fix *f = *state;

	init_pair(f->b, 1);
	pulse(f, 4);
	assert_int_equal(output, 1);
	assert_int_equal(pic_ack(f->pic, true), 0x34);
	assert_int_equal(pic_ack(f->pic, false), 0x34);
	assert_int_equal(output, 0);
	pic_set(f->pic, 4, 1); /* again, but in service */
	assert_int_equal(output, 0);
	outb(f->b, 0x20, 0x20);
	assert_int_equal(output, 1);
	assert_int_equal(pic_ack(f->pic, false), 0x34);
	outb(f->b, 0x20, 0x64); /* specific EOI */
	assert_int_equal(output, 0); /* the line is still up: no new edge */
}

static void slave_interrupts_have_their_own_vectors(void **state)
{
	struct fix *f = *state;

	init_pair(f->b, 1);
	pulse(f, 8);
	pulse(f, 12);
	assert_int_equal(pic_ack(f->pic, false), 0x38);
	outb(f->b, 0xa0, 0x20);
	outb(f->b, 0x20, 0x20);
	assert_int_equal(output, 1);
	assert_int_equal(pic_ack(f->pic, false), 0x3c);
	outb(f->b, 0xa0, 0x20);
	outb(f->b, 0x20, 0x20);
	assert_int_equal(output, 0);
}

static void higher_priority_interrupts_a_lower_one_only(void **state)
{
	struct fix *f = *state;

	init_pair(f->b, 1);
	pulse(f, 4);
	assert_int_equal(pic_ack(f->pic, false), 0x34);
	pulse(f, 5);
	assert_int_equal(output, 0);
	pulse(f, 1);
	assert_int_equal(pic_ack(f->pic, false), 0x31);
	outb(f->b, 0x20, 0x0b); /* read ISR */
	assert_int_equal(inb(f->b, 0x20), 0x12);
	outb(f->b, 0x20, 0x0a);
	assert_int_equal(inb(f->b, 0x20), 0x20);
	outb(f->b, 0x20, 0x20); /* ends 1, the highest in service */
	outb(f->b, 0x20, 0x0b);
	assert_int_equal(inb(f->b, 0x20), 0x10);
}

static void mask_holds_back_and_unmask_lets_go(void **state)
{
	struct fix *f = *state;

	init_pair(f->b, 1);
	outb(f->b, 0x21, 0x10);
	assert_int_equal(inb(f->b, 0x21), 0x10);
	pulse(f, 4);
	assert_int_equal(output, 0);
	outb(f->b, 0x21, 0);
	assert_int_equal(output, 1);
}

static void level_line_repeats_until_lowered(void **state)
{
	struct fix *f = *state;

	init_pair(f->b, 1);
	outb(f->b, 0x4d1, 0xff);
	assert_int_equal(inb(f->b, 0x4d1), 0xde); /* 8 and 13 cannot */
	pic_set(f->pic, 9, 1);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pic_ack(f->pic, false), 0x39);
		outb(f->b, 0xa0, 0x20);
		outb(f->b, 0x20, 0x20);
		assert_int_equal(output, 1);
	}
	pic_set(f->pic, 9, 0);
	assert_int_equal(output, 0);
	assert_int_equal(pic_ack(f->pic, true), -1);
}

static void acknowledge_of_nothing_is_spurious_irq7(void **state)
{
	struct fix *f = *state;

	init_pair(f->b, 1);
	assert_int_equal(pic_ack(f->pic, false), 0x37);
	outb(f->b, 0x20, 0x0b);
	assert_int_equal(inb(f->b, 0x20), 0); /* not in service: no EOI is due */
}

static void auto_eoi_announces_the_next_at_once(void **state)
{
	struct fix *f = *state;
	unsigned calls;

	init_pair(f->b, 3);
	pulse(f, 3);
	pulse(f, 4);
	calls = output_calls;
	assert_int_equal(pic_ack(f->pic, false), 0x33);
	assert_int_equal(output, 1);
	assert_true(output_calls > calls); /* the vCPU has to ask again */
	assert_int_equal(pic_ack(f->pic, false), 0x34);
	assert_int_equal(output, 0);
}

static void poll_acknowledges_without_vector(void **state)
{
	struct fix *f = *state;

	init_pair(f->b, 1);
	outb(f->b, 0x20, 0x0c);
	assert_int_equal(inb(f->b, 0x20) & 0x80, 0);
	pulse(f, 6);
	outb(f->b, 0x20, 0x0c);
	assert_int_equal(inb(f->b, 0x20), 0x86);
	assert_int_equal(output, 0);
	outb(f->b, 0x20, 0x0b);
	assert_int_equal(inb(f->b, 0x20), 0x40);
}

static void special_mask_mode_lets_lower_priorities_pass(void **state)
{
	struct fix *f = *state;

	init_pair(f->b, 1);
	pulse(f, 1);
	assert_int_equal(pic_ack(f->pic, false), 0x31);
	pulse(f, 5);
	assert_int_equal(output, 0);
	outb(f->b, 0x20, 0x68);
	outb(f->b, 0x21, 0x02); /* mask what is in service */
	assert_int_equal(output, 1);
	assert_int_equal(pic_ack(f->pic, false), 0x35);
}

static void rotation_changes_who_is_first(void **state)
{
	struct fix *f = *state;

	init_pair(f->b, 1);
	outb(f->b, 0x20, 0xc4); /* 4 is lowest, so 5 is highest */
	pulse(f, 0);
	pulse(f, 5);
	assert_int_equal(pic_ack(f->pic, false), 0x35);
	outb(f->b, 0x20, 0xa0); /* rotate on EOI: 5 is lowest */
	pulse(f, 5);
	assert_int_equal(pic_ack(f->pic, false), 0x30);
}

static void special_fully_nested_master_lets_the_slave_nest(void **state)
{
	struct fix *f = *state;

	init_chip(f->b, 0x20, 0x30, 4, 0x11);
	init_chip(f->b, 0xa0, 0x38, 2, 1);
	pulse(f, 12);
	assert_int_equal(pic_ack(f->pic, false), 0x3c);
	pulse(f, 8);
	assert_int_equal(output, 1);
	assert_int_equal(pic_ack(f->pic, false), 0x38);
}

static void reset_forgets_requests_but_not_lines(void **state)
{
	struct fix *f = *state;

	init_pair(f->b, 1);
	pic_set(f->pic, 4, 1);
	f->pic->cls->reset(f->pic, DEV_RESET_POWER_ON);
	assert_int_equal(output, 0);
	init_pair(f->b, 1);
	assert_int_equal(output, 0);
	pic_set(f->pic, 4, 1); /* no edge: it was up all the time */
	assert_int_equal(output, 0);
	pic_set(f->pic, 4, 0);
	pic_set(f->pic, 4, 1);
	assert_int_equal(output, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(nothing_comes_before_initialisation),
		T(edge_is_kept_until_acknowledged_and_given_once),
		T(slave_interrupts_have_their_own_vectors),
		T(higher_priority_interrupts_a_lower_one_only),
		T(mask_holds_back_and_unmask_lets_go),
		T(level_line_repeats_until_lowered),
		T(acknowledge_of_nothing_is_spurious_irq7),
		T(auto_eoi_announces_the_next_at_once),
		T(poll_acknowledges_without_vector),
		T(special_mask_mode_lets_lower_priorities_pass),
		T(rotation_changes_who_is_first),
		T(special_fully_nested_master_lets_the_slave_nest),
		T(reset_forgets_requests_but_not_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
