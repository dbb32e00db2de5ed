// SPDX-License-Identifier: BSD-2-Clause
/* Timer, controllers and LAPICs joined as machine/pc.c does it */
#include "board.h"

struct fix {
	struct board *b;
	struct apics *a;
	struct dev *pic, *io, *pit, *power;
	unsigned intr;
};

static void on_intr(void *arg, unsigned cpu) { ((struct fix *)arg)->intr++; }
static int on_msi(void *arg, u64 addr, u32 data) { return apics_msi(((struct fix *)arg)->a, addr, data); }
static void on_output(void *arg, int level) { apics_lint0(((struct fix *)arg)->a, level); }
static void on_eoi(void *arg, u8 vector) { ioapic_eoi(((struct fix *)arg)->io, vector); }
static int on_extint(void *arg, bool peek) { return pic_ack(((struct fix *)arg)->pic, peek); }

static void on_isa(void *arg, unsigned n, int level)
{
	struct fix *f = arg;

	pic_set(f->pic, n, level);
	ioapic_set(f->io, n ? n : 2, level);
}

static int setup(void **state)
{
	struct fix *f = calloc(1, sizeof(*f));
	struct apics_config cfg = { .cpus = 2, .sink = { .intr = on_intr, .arg = f } };

	f->b = board_new(0);
	cfg.env = &f->b->env;
	f->b->env.msi = (struct msi_sink){ on_msi, f };
	for (unsigned n = 0; n < 16; n++)
		f->b->env.isa_irq[n] = (struct irq){ on_isa, f, n };
	assert_int_equal(apics_create(&f->a, &cfg, NULL), 0);
	apics_on_eoi(f->a, on_eoi, f);
	apics_on_extint(f->a, on_extint, f);
	f->pic = dev_new(f->b, &pic_class);
	pic_on_output(f->pic, on_output, f);
	f->io = dev_new(f->b, &ioapic_class);
	f->pit = dev_new(f->b, &pit_class);
	f->power = dev_new(f->b, &power_class);
	dev_up(f->pic);
	dev_up(f->io);
	dev_up(f->pit);
	dev_up(f->power);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	dev_down(f->power);
	dev_down(f->pit);
	dev_down(f->io);
	dev_down(f->pic);
	apics_destroy(f->a);
	board_free(f->b);
	free(f);
	return 0;
}

static void tick(struct fix *f)
{
	outb(f->b, 0x43, 0x34);
	outb(f->b, 0x40, 0xa9);
	outb(f->b, 0x40, 0x04);
	leap(f->b, 1000000);
}

static void init_pic(struct fix *f)
{
	static const u8 icw[] = { 0x11, 0x30, 4, 1 };

	for (unsigned i = 0; i < 4; i++)
		outb(f->b, i ? 0x21 : 0x20, icw[i]);
	outb(f->b, 0x21, 0);
}

static void redirect(struct fix *f, unsigned pin, u32 low)
{
	assert_true(bus_write(&f->b->mem_bus, 0xfec00000, 4, 0x10 + 2 * pin));
	assert_true(bus_write(&f->b->mem_bus, 0xfec00010, 4, low));
}

static void timer_through_the_pic_in_virtual_wire_mode(void **state)
{
	struct fix *f = *state;

	init_pic(f);
	for (int i = 0; i < 3; i++) {
		tick(f);
		assert_int_equal(apics_ack(f->a, 0, true), 0x30);
		assert_int_equal(apics_ack(f->a, 0, false), 0x30);
		assert_int_equal(apics_ack(f->a, 0, false), -1);
		outb(f->b, 0x20, 0x60);
	}
}

static void timer_through_pin_2_of_the_ioapic(void **state)
{
	struct fix *f = *state;

	apics_mmio_write(f->a, 0, 0xf0, 0x1ff);
	redirect(f, 2, 0x31);
	for (int i = 0; i < 3; i++) {
		tick(f);
		assert_int_equal(apics_ack(f->a, 0, false), 0x31);
		apics_mmio_write(f->a, 0, 0xb0, 0);
	}
}

static void sci_comes_again_until_its_cause_is_gone(void **state)
{
	struct fix *f = *state;

	apics_mmio_write(f->a, 0, 0xf0, 0x1ff);
	redirect(f, 9, 0x8039);
	outb(f->b, 0xb2, 0xa0);
	out(f->b, 0x402, 0x100, 2);
	power_button(f->power);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(apics_ack(f->a, 0, false), 0x39);
		apics_mmio_write(f->a, 0, 0xb0, 0);
	}
	assert_int_equal(apics_ack(f->a, 0, false), 0x39);
	out(f->b, 0x400, 0x100, 2);
	apics_mmio_write(f->a, 0, 0xb0, 0);
	assert_int_equal(apics_ack(f->a, 0, false), -1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(timer_through_the_pic_in_virtual_wire_mode),
		T(timer_through_pin_2_of_the_ioapic),
		T(sci_comes_again_until_its_cause_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
