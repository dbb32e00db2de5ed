// SPDX-License-Identifier: BSD-2-Clause
/* Configuration space and base addresses, as a guest finds them */
#include "unit/device/pci/rig.h"

#include <errno.h>

static const struct pci_fn_class plain = {
	.vendor = 0x1234, .device = 0x5678, .subsys_vendor = 0x1af4, .subsys = 2,
	.class_code = 1, .subclass = 6, .prog_if = 1, .revision = 7, .intx = true,
	.bar = { { PCI_BAR_IO, 20, &toy_ops }, { PCI_BAR_MEM32, 0x1000, &toy_ops },
		 { PCI_BAR_MEM64, 0x2000, &toy_ops } },
};

static const struct pci_fn_class large = {
	.vendor = 0x1234, .device = 0x9999,
	.bar = { { PCI_BAR_MEM64, 64 << 20, &toy_ops } },
};

static void absent_functions_read_ones(void **state)
{
	struct pci_rig *r = *state;
	static struct toy t;

	toy_add(r, &t, &plain, 3, 0);
	assert_int_equal(cfg_rd(r, 4, 0, 0, 4), 0xffffffff);
	assert_int_equal(cfg_rd(r, 3, 1, 0, 2), 0xffff);
	assert_int_equal(ecam_rd(r, 4, 0, 0, 4), 0xffffffff);
	/* bus 1, enable bit clear */
	out(r->b, 0xcf8, 0x80010000u | 3 << 11, 4);
	assert_int_equal(in(r->b, 0xcfc, 4), 0xffffffff);
	out(r->b, 0xcf8, 3 << 11, 4);
	assert_int_equal(in(r->b, 0xcfc, 4), 0xffffffff);
	out(r->b, 0xcfc, 0, 4);
}

static void header_reads_alike_by_ports_and_memory_in_any_width(void **state)
{
	struct pci_rig *r = *state;
	static struct toy t;
	unsigned reg;

	toy_add(r, &t, &plain, 3, 0);
	assert_int_equal(cfg_rd(r, 3, 0, 0, 4), 0x56781234);
	assert_int_equal(cfg_rd(r, 3, 0, 2, 2), 0x5678);
	assert_int_equal(cfg_rd(r, 3, 0, 8, 4), 0x01060107);
	assert_int_equal(cfg_rd(r, 3, 0, 0x2c, 4), 0x00021af4);
	for (reg = 0; reg < 256; reg++) {
		assert_int_equal(cfg_rd(r, 3, 0, reg, 1), ecam_rd(r, 3, 0, reg, 1));
		if (!(reg & 1))
			assert_int_equal(cfg_rd(r, 3, 0, reg, 2), ecam_rd(r, 3, 0, reg, 2));
		if (!(reg & 3))
			assert_int_equal(cfg_rd(r, 3, 0, reg, 4), ecam_rd(r, 3, 0, reg, 4));
	}
	/* no extended capabilities */
	assert_int_equal(ecam_rd(r, 3, 0, 0x100, 4), 0);
	assert_int_equal(ecam_rd(r, 3, 0, 0xffc, 4), 0);
}

static void address_register_takes_dwords_only(void **state)
{
	struct pci_rig *r = *state;

	out(r->b, 0xcf8, 0x80001804, 4);
	assert_int_equal(in(r->b, 0xcf8, 4), 0x80001804);
	/* Linux's probe of mechanism #1 writes a byte to 0xCFB first */
	outb(r->b, 0xcfb, 1);
	outb(r->b, 0xcf8, 0xff);
	out(r->b, 0xcf8, 0xffff, 2);
	assert_int_equal(in(r->b, 0xcf8, 4), 0x80001804);
	assert_int_equal(in(r->b, 0xcf8, 1), 0xff);
	assert_int_equal(r->b->exits, 0);
}

static void reset_register_lies_between(void **state)
{
	struct pci_rig *r = *state;

	outb(r->b, 0xcf9, 0x02);
	assert_int_equal(r->b->exits, 0);
	assert_int_equal(inb(r->b, 0xcf9), 0x02);
	/* the address's second byte is not the reset register */
	out(r->b, 0xcf8, 0x80000400, 4);
	assert_int_equal(r->b->exits, 0);
	outb(r->b, 0xcf9, 0x06);
	assert_int_equal(r->b->exits, 1);
	assert_int_equal(r->b->exit, HK_EXIT_RESET);
}

static void ids_and_status_are_read_only(void **state)
{
	struct pci_rig *r = *state;
	static struct toy t;

	toy_add(r, &t, &plain, 3, 0);
	cfg_wr(r, 3, 0, 0, 0, 4);
	cfg_wr(r, 3, 0, 8, 0, 4);
	cfg_wr(r, 3, 0, 0x2c, 0, 4);
	cfg_wr(r, 3, 0, 6, 0xffff, 2);
	assert_int_equal(cfg_rd(r, 3, 0, 0, 4), 0x56781234);
	assert_int_equal(cfg_rd(r, 3, 0, 8, 4), 0x01060107);
	assert_int_equal(cfg_rd(r, 3, 0, 0x2c, 4), 0x00021af4);
	assert_int_equal(cfg_rd(r, 3, 0, 6, 2), 0);
	/* what a driver may keep there */
	cfg_wr(r, 3, 0, 0x3c, 0x0b, 1);
	cfg_wr(r, 3, 0, 0x0c, 0x10, 1);
	assert_int_equal(cfg_rd(r, 3, 0, 0x3c, 1), 0x0b);
	assert_int_equal(cfg_rd(r, 3, 0, 0x0c, 1), 0x10);
	assert_int_equal(cfg_rd(r, 3, 0, 0x3d, 1), 1);
}

static void bars_are_programmed_and_decoded_without_firmware(void **state)
{
	struct pci_rig *r = *state;
	static struct toy t;

	toy_add(r, &t, &plain, 3, 0);
	assert_int_equal(cfg_rd(r, 3, 0, 4, 2), 7);
	assert_int_equal(cfg_rd(r, 3, 0, 0x10, 4), 0x2001);
	assert_int_equal(cfg_rd(r, 3, 0, 0x14, 4), 0xc0000000);
	assert_int_equal(cfg_rd(r, 3, 0, 0x18, 4), 0xc0002004);
	assert_int_equal(cfg_rd(r, 3, 0, 0x1c, 4), 0);
	out(r->b, 0x2004, 0x55, 1);
	assert_int_equal(t.last_off, 4);
	mem_wr(r, 0xc0000ff8, 0x123456789abcdef0, 8);
	assert_int_equal(t.last_off, 0xff8);
	assert_true(t.last_val == 0x123456789abcdef0);
	mem_wr(r, 0xc0003000, 1, 4);
	assert_int_equal(t.last_off, 0x1000);
}

/* The usual probe: all ones in, size out, old value back; with any access width */
static void bar_size_shows_in_every_access_width(void **state)
{
	static const struct { unsigned reg; u32 mask; } bar[] = {
		{ 0x10, 0xffffffe1 }, { 0x14, 0xfffff000 }, { 0x18, 0xffffe004 },
		{ 0x1c, 0xffffffff }, { 0x20, 0 },	    { 0x30, 0 },
	};
	struct pci_rig *r = *state;
	unsigned i, size, at;
	static struct toy t;
	u32 old;

	toy_add(r, &t, &plain, 3, 0);
	for (i = 0; i < ARRAY_LEN(bar); i++) {
		for (size = 1; size <= 4; size *= 2) {
			old = cfg_rd(r, 3, 0, bar[i].reg, 4);
			for (at = 0; at < 4; at += size)
				cfg_wr(r, 3, 0, bar[i].reg + at, 0xffffffff, size);
			assert_int_equal(cfg_rd(r, 3, 0, bar[i].reg, 4), bar[i].mask);
			for (at = 0; at < 4; at += size)
				cfg_wr(r, 3, 0, bar[i].reg + at, old >> 8 * at, size);
			assert_int_equal(cfg_rd(r, 3, 0, bar[i].reg, 4), old);
		}
	}
	/* and everything answers where it was */
	assert_true(mem_claimed(r, 0xc0000000));
	assert_true(mem_claimed(r, 0xc0002000));
	out(r->b, 0x2000, 1, 1);
}

static void bar_moves_where_the_guest_puts_it(void **state)
{
	struct pci_rig *r = *state;
	static struct toy t;

	toy_add(r, &t, &plain, 3, 0);
	cfg_wr(r, 3, 0, 0x14, 0xd0000000, 4);
	assert_false(mem_claimed(r, 0xc0000000));
	assert_true(mem_claimed(r, 0xd0000000));
	/* one byte of it */
	cfg_wr(r, 3, 0, 0x16, 0x10, 1);
	assert_true(mem_claimed(r, 0xd0100000));
	/* above 4 GiB with both halves */
	cfg_wr(r, 3, 0, 4, 0, 2);
	cfg_wr(r, 3, 0, 0x1c, 0xd0, 4);
	cfg_wr(r, 3, 0, 0x18, 0x00004000, 4);
	assert_false(mem_claimed(r, 0xd000004000));
	cfg_wr(r, 3, 0, 4, 2, 2);
	assert_true(mem_claimed(r, 0xd000004000));
}

static void decode_bits_hide_and_show(void **state)
{
	struct pci_rig *r = *state;
	static struct toy t;
	u64 v;

	toy_add(r, &t, &plain, 3, 0);
	cfg_wr(r, 3, 0, 4, 1, 1);
	assert_false(mem_claimed(r, 0xc0000000));
	assert_true(bus_read(&r->b->pio_bus, 0x2000, 1, &v));
	cfg_wr(r, 3, 0, 4, 2, 1);
	assert_true(mem_claimed(r, 0xc0000000));
	assert_false(bus_read(&r->b->pio_bus, 0x2000, 1, &v));
}

static void bar_on_top_of_another_hides_until_it_moves_on(void **state)
{
	struct pci_rig *r = *state;
	static struct toy a, b;

	toy_add(r, &a, &plain, 3, 0);
	toy_add(r, &b, &plain, 4, 0);
	cfg_wr(r, 4, 0, 0x14, 0xc0000000, 4);
	mem_rd(r, 0xc0000000, 4);
	assert_int_equal(a.reads, 1);
	assert_int_equal(b.reads, 0);
	assert_int_equal(cfg_rd(r, 4, 0, 0x14, 4), 0xc0000000);
	cfg_wr(r, 4, 0, 0x14, 0xc8000000, 4);
	mem_rd(r, 0xc8000000, 4);
	assert_int_equal(b.reads, 1);
}

static void large_64_bit_bars_go_above_ram(void **state)
{
	struct pci_rig *r = *state;
	static struct toy t;

	toy_add(r, &t, &large, 3, 0);
	assert_int_equal(cfg_rd(r, 3, 0, 0x10, 4), 4);
	assert_int_equal(cfg_rd(r, 3, 0, 0x14, 4), 0xd0);
	assert_true(mem_claimed(r, 0xd000000000));
}

static void a_taken_slot_is_busy(void **state)
{
	struct pci_rig *r = *state;
	static struct toy a, b;
	struct hk_err err;

	toy_add(r, &a, &plain, 3, 0);
	assert_int_equal(toy_try(r, &b, &plain, 0, 3, 0, &err), -EBUSY);
	assert_non_null(strstr(err.text, "already occupied"));
	assert_int_equal(toy_try(r, &b, &plain, 0, 32, 0, &err), -EINVAL);
	assert_int_equal(toy_try(r, &b, &plain, 7, 3, 0, &err), 0);
}

static void too_large_a_bar_fails_and_leaves_nothing_behind(void **state)
{
	static const struct pci_fn_class huge = {
		.vendor = 1, .device = 1,
		.bar = { { PCI_BAR_IO, 8, &toy_ops }, { PCI_BAR_MEM32, 1u << 31, &toy_ops } },
	};
	struct pci_rig *r = *state;
	struct hk_err err;
	static struct toy t;
	u64 v;

	assert_int_equal(toy_try(r, &t, &huge, 0, 3, 0, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "BAR 1"));
	assert_null(t.fn.in);
	assert_int_equal(cfg_rd(r, 3, 0, 0, 4), 0xffffffff);
	assert_false(bus_read(&r->b->pio_bus, 0x2000, 1, &v));
}

static void multifunction_bit_tells_of_more_functions(void **state)
{
	struct pci_rig *r = *state;
	static struct toy a, b;

	toy_add(r, &a, &plain, 3, 0);
	assert_int_equal(cfg_rd(r, 3, 0, 0x0e, 1), 0);
	toy_add(r, &b, &plain, 3, 1);
	assert_int_equal(cfg_rd(r, 3, 0, 0x0e, 1), 0x80);
	pci_fn_remove(&b.fn);
	pci_fn_remove(&b.fn);
	assert_int_equal(cfg_rd(r, 3, 0, 0x0e, 1), 0);
}

static void reset_brings_everything_home(void **state)
{
	struct pci_rig *r = *state;
	static struct toy a, b;

	toy_add(r, &a, &plain, 3, 0);
	toy_add(r, &b, &plain, 4, 0);
	/* they swap places */
	cfg_wr(r, 3, 0, 4, 0, 2);
	cfg_wr(r, 4, 0, 0x14, 0xc0000000, 4);
	cfg_wr(r, 3, 0, 0x14, 0xc0004000, 4);
	cfg_wr(r, 3, 0, 4, 7, 2);
	cfg_wr(r, 3, 0, 0x3c, 0x33, 1);
	pci_bus_reset(r->bus);
	assert_int_equal(cfg_rd(r, 3, 0, 0x14, 4), 0xc0000000);
	assert_int_equal(cfg_rd(r, 3, 0, 0x3c, 1), 0xff);
	a.reads = b.reads = 0;
	mem_rd(r, 0xc0000000, 4);
	assert_int_equal(a.reads, 1);
	mem_rd(r, 0xc0004000, 4);
	assert_int_equal(b.reads, 1);
}

/* A guest that writes nonsense everywhere neither crashes us nor reaches others */
static void random_writes_do_no_harm(void **state)
{
	static const struct pci_fn_class all = {
		.vendor = 0x1234, .device = 0x4321, .intx = true, .msi_vectors = 4,
		.msix_vectors = 70, .msix_bar = 4, .pcie_root_port = true,
		.bar = { { PCI_BAR_IO, 4, &toy_ops }, { PCI_BAR_MEM64, 16, &toy_ops },
			 { PCI_BAR_NONE }, { PCI_BAR_MEM32, 1 << 20, &toy_ops },
			 { PCI_BAR_MEM32 } },
	};
	struct pci_rig *r = *state;
	u64 x = 88172645463325252ull;
	static struct toy a, b;
	unsigned i;
	u64 v;

	toy_add(r, &a, &all, 3, 0);
	toy_add(r, &b, &all, 4, 0);
	for (i = 0; i < 20000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		r->b->num_msi = 0;
		if (x & 1)
			cfg_wr(r, 3 + (x >> 1 & 1), 0, x >> 2 & 0xff, (u32)(x >> 20),
			       1u << (x >> 10 & 1));
		else
			bus_write(&r->b->mem_bus, ECAM + (x >> 8 & 0x3ffff), 4, x >> 30);
		if (i % 16 == 0) {
			pci_intx_set(&a.fn, x >> 40 & 1);
			pci_msix_raise(&a.fn, x >> 41 & 127);
			r->b->num_msi = 0;
			pci_msi_raise(&b.fn, x >> 41 & 31);
		}
	}
	assert_int_equal(cfg_rd(r, 3, 0, 0, 4), 0x43211234);
	pci_bus_reset(r->bus);
	assert_true(bus_read(&r->b->pio_bus, 0x2000, 4, &v));
	assert_true(cap_find(r, 3, 0x05));
	assert_true(cap_find(r, 3, 0x10));
	assert_true(cap_find(r, 3, 0x11));
}

static bool hook_read(void *opaque, unsigned off, unsigned size, u32 *val)
{
	if (off != 0x40)
		return false;
	*val = 0xabcd;
	return true;
}

static bool hook_write(void *opaque, unsigned off, unsigned size, u32 val)
{
	struct toy *t = opaque;

	if (off != 0x40)
		return false;
	t->last_val = val;
	return true;
}

static void cfg_hooks_come_first(void **state)
{
	static const struct pci_fn_class hooked = {
		.vendor = 1, .device = 2, .cfg_read = hook_read, .cfg_write = hook_write,
	};
	struct pci_rig *r = *state;
	static struct toy t;

	toy_add(r, &t, &hooked, 3, 0);
	assert_int_equal(cfg_rd(r, 3, 0, 0x40, 4), 0xabcd);
	cfg_wr(r, 3, 0, 0x40, 0x77, 1);
	assert_int_equal(t.last_val, 0x77);
	assert_int_equal(cfg_rd(r, 3, 0, 0, 2), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(absent_functions_read_ones),
		RIG_TEST(header_reads_alike_by_ports_and_memory_in_any_width),
		RIG_TEST(address_register_takes_dwords_only),
		RIG_TEST(reset_register_lies_between),
		RIG_TEST(ids_and_status_are_read_only),
		RIG_TEST(bars_are_programmed_and_decoded_without_firmware),
		RIG_TEST(bar_size_shows_in_every_access_width),
		RIG_TEST(bar_moves_where_the_guest_puts_it),
		RIG_TEST(decode_bits_hide_and_show),
		RIG_TEST(bar_on_top_of_another_hides_until_it_moves_on),
		RIG_TEST(large_64_bit_bars_go_above_ram),
		RIG_TEST(a_taken_slot_is_busy),
		RIG_TEST(too_large_a_bar_fails_and_leaves_nothing_behind),
		RIG_TEST(multifunction_bit_tells_of_more_functions),
		RIG_TEST(reset_brings_everything_home),
		RIG_TEST(random_writes_do_no_harm),
		RIG_TEST(cfg_hooks_come_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
