// SPDX-License-Identifier: BSD-2-Clause
#include "board.h"

struct fix {
	struct board *b;
	struct dev *io;
};

static int setup(void **state)
{
	struct fix *f = calloc(1, sizeof(*f));

	f->b = board_new(0);
	f->io = dev_new(f->b, &ioapic_class);
	dev_up(f->io);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	dev_down(f->io);
	board_free(f->b);
	free(f);
	return 0;
}

static u32 get(struct fix *f, u8 reg)
{
	u64 v;

	assert_true(bus_write(&f->b->mem_bus, 0xfec00000, 4, reg));
	assert_true(bus_read(&f->b->mem_bus, 0xfec00010, 4, &v));
	return (u32)v;
}

static void put(struct fix *f, u8 reg, u32 val)
{
	assert_true(bus_write(&f->b->mem_bus, 0xfec00000, 4, reg));
	assert_true(bus_write(&f->b->mem_bus, 0xfec00010, 4, val));
}

static void entry(struct fix *f, unsigned pin, u32 low, u8 dest)
{
	put(f, (u8)(0x11 + 2 * pin), (u32)dest << 24);
	put(f, (u8)(0x10 + 2 * pin), low);
}

static void version_says_24_pins_and_eoi_register(void **state)
{
	struct fix *f = *state;

	assert_int_equal(get(f, 1), 0x00170020);
	put(f, 0, 0x05000000);
	assert_int_equal(get(f, 0), 0x05000000);
	assert_int_equal(get(f, 0x10), 0x00010000);
}

static void rising_edge_sends_one_message(void **state)
{
	struct fix *f = *state;

	entry(f, 4, 0x0041, 3);
	ioapic_set(f->io, 4, 1);
	ioapic_set(f->io, 4, 1);
	ioapic_set(f->io, 4, 0);
	assert_int_equal(f->b->num_msi, 1);
	assert_int_equal(f->b->msi[0].addr, 0xfee03000);
	assert_int_equal(f->b->msi[0].data, 0x41);
	ioapic_set(f->io, 4, 1);
	assert_int_equal(f->b->num_msi, 2);
}

static void logical_lowest_priority_is_passed_on(void **state)
{
	struct fix *f = *state;

	entry(f, 4, 0x0951, 0xff);
	ioapic_set(f->io, 4, 1);
	assert_int_equal(f->b->msi[0].addr, 0xfeeff004);
	assert_int_equal(f->b->msi[0].data, 0x151);
}

static void masked_edge_is_lost_and_masked_level_waits(void **state)
{
	struct fix *f = *state;

	entry(f, 4, 0x10041, 0);
	ioapic_set(f->io, 4, 1);
	entry(f, 4, 0x41, 0);
	assert_int_equal(f->b->num_msi, 0);
	entry(f, 9, 0x18049, 0);
	ioapic_set(f->io, 9, 1);
	assert_int_equal(f->b->num_msi, 0);
	entry(f, 9, 0x8049, 0);
	assert_int_equal(f->b->num_msi, 1);
	assert_int_equal(f->b->msi[0].data, 0xc049);
}

static void level_repeats_after_eoi_while_up(void **state)
{
	struct fix *f = *state;

	entry(f, 9, 0x8049, 0);
	ioapic_set(f->io, 9, 1);
	ioapic_set(f->io, 9, 1);
	assert_int_equal(f->b->num_msi, 1);
	assert_int_equal(get(f, 0x22) & 0x4000, 0x4000);
	ioapic_eoi(f->io, 0x48); /* somebody else's */
	assert_int_equal(f->b->num_msi, 1);
	ioapic_eoi(f->io, 0x49);
	assert_int_equal(f->b->num_msi, 2);
	ioapic_set(f->io, 9, 0);
	ioapic_eoi(f->io, 0x49);
	assert_int_equal(f->b->num_msi, 2);
	assert_int_equal(get(f, 0x22) & 0x4000, 0);
}

static void eoi_register_and_edge_trick_clear_remote_irr(void **state)
{
	struct fix *f = *state;

	entry(f, 9, 0x8049, 0);
	ioapic_set(f->io, 9, 1);
	ioapic_set(f->io, 9, 0);
	assert_true(bus_write(&f->b->mem_bus, 0xfec00040, 4, 0x49));
	assert_int_equal(get(f, 0x22) & 0x4000, 0);
	ioapic_set(f->io, 9, 1);
	assert_int_equal(get(f, 0x22) & 0x4000, 0x4000);
	put(f, 0x22, 0x10049);
	assert_int_equal(get(f, 0x22), 0x10049);
}

static void read_only_bits_stay(void **state)
{
	struct fix *f = *state;

	put(f, 0x22, 0xffffffff);
	assert_int_equal(get(f, 0x22), 0x1afff);
	put(f, 0x23, 0xffffffff);
	assert_int_equal(get(f, 0x23), 0xff000000);
	put(f, 0x40, 0xffffffff); /* past the last pin */
	assert_int_equal(get(f, 0x40), 0);
	put(f, 0xff, 0xffffffff);
	ioapic_set(f->io, 24, 1);
}

static void message_that_nobody_takes_leaves_no_remote_irr(void **state)
{
	struct fix *f = *state;

	f->b->msi_rc = -2;
	entry(f, 9, 0x8049, 0);
	ioapic_set(f->io, 9, 1);
	assert_int_equal(get(f, 0x22) & 0x4000, 0);
	f->b->msi_rc = 0;
	ioapic_set(f->io, 9, 1);
	assert_int_equal(f->b->num_msi, 2);
	assert_int_equal(get(f, 0x22) & 0x4000, 0x4000);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(version_says_24_pins_and_eoi_register),
		T(rising_edge_sends_one_message),
		T(logical_lowest_priority_is_passed_on),
		T(masked_edge_is_lost_and_masked_level_waits),
		T(level_repeats_after_eoi_while_up),
		T(eoi_register_and_edge_trick_clear_remote_irr),
		T(read_only_bits_stay),
		T(message_that_nobody_takes_leaves_no_remote_irr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
