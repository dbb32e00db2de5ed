// SPDX-License-Identifier: BSD-2-Clause
/* Interrupts of PCI functions: INTx lines and their sharers, MSI, MSI-X */
#include "unit/device/pci/rig.h"

static const struct pci_fn_class intx_cls = { .vendor = 1, .device = 1, .intx = true };
static const struct pci_fn_class msi_cls = { .vendor = 1, .device = 2, .intx = true, .msi_vectors = 4 };
static const struct pci_fn_class msix_cls = {
	.vendor = 1, .device = 3, .intx = true, .msix_vectors = 3, .msix_bar = 1,
	.bar = { { PCI_BAR_NONE }, { PCI_BAR_MEM32 } },
};
#define TABLE 0xc0000000ull
#define PBA (TABLE + 0x1000)

/* ---- INTx ---- */

static void pins_of_a_slot_are_handed_out_in_turn(void **state)
{
	struct pci_rig *r = *state;
	static struct toy t[5];
	unsigned i;

	for (i = 0; i < 5; i++) {
		toy_add(r, &t[i], &intx_cls, 3, i);
		assert_int_equal(cfg_rd(r, 3, i, 0x3d, 1), i % 4 + 1);
	}
}

static void routes_go_round_the_eight_inputs(void **state)
{
	struct pci_intx_route route[16];
	struct pci_rig *r = *state;
	static struct toy t[9];
	unsigned i;

	for (i = 0; i < 9; i++)
		toy_add(r, &t[i], &intx_cls, 3 + i, 0);
	pci_route_intx(r->bus);
	assert_int_equal(pci_routes(r->bus, route, ARRAY_LEN(route)), 9);
	for (i = 0; i < 9; i++) {
		assert_int_equal(route[i].slot, 3 + i);
		assert_int_equal(route[i].pin, 1);
		assert_int_equal(route[i].gsi, 16 + i % 8);
		assert_int_equal(route[i].pirq, i % 8);
		/* an interrupt that a PCI device may have; neither a COM port's nor the SCI */
		assert_true(0xdce0 & 1u << route[i].isa_irq);
		assert_int_equal(cfg_rd(r, 3 + i, 0, 0x3c, 1), route[i].isa_irq);
		assert_int_equal(pci_pirq_read(r->bus, route[i].pirq), route[i].isa_irq);
	}
}

static void a_line_reaches_ioapic_and_pic(void **state)
{
	struct pci_intx_route route;
	struct pci_rig *r = *state;
	static struct toy t;

	toy_add(r, &t, &intx_cls, 3, 0);
	pci_route_intx(r->bus);
	assert_int_equal(pci_routes(r->bus, &route, 1), 1);
	pci_intx_set(&t.fn, 1);
	assert_int_equal(r->b->gsi[route.gsi].level, 1);
	assert_int_equal(r->b->isa[route.isa_irq].level, 1);
	assert_int_equal(cfg_rd(r, 3, 0, 6, 2) & 8, 8);
	pci_intx_set(&t.fn, 0);
	assert_int_equal(r->b->gsi[route.gsi].level, 0);
	assert_int_equal(r->b->isa[route.isa_irq].level, 0);
	assert_int_equal(cfg_rd(r, 3, 0, 6, 2) & 8, 0);
}

/* Functions 0 and 4 of a slot share a pin, slots 3 and 11 an input */
static void a_shared_line_stays_up_until_the_last_sharer_is_quiet(void **state)
{
	struct pci_rig *r = *state;
	static struct toy t[12];
	unsigned i;

	for (i = 0; i < 5; i++)
		toy_add(r, &t[i], &intx_cls, 3, i);
	for (; i < 10; i++)
		toy_add(r, &t[i], &intx_cls, i, 0);
	pci_route_intx(r->bus);
	/* slot 3 has inputs 16..19, slots 5..9 have 20..23, 16 */
	pci_intx_set(&t[0].fn, 1);
	pci_intx_set(&t[4].fn, 1);
	pci_intx_set(&t[9].fn, 1);
	assert_int_equal(r->b->gsi[16].level, 1);
	pci_intx_set(&t[0].fn, 0);
	assert_int_equal(r->b->gsi[16].level, 1);
	pci_intx_set(&t[4].fn, 0);
	assert_int_equal(r->b->gsi[16].level, 1);
	pci_intx_set(&t[9].fn, 0);
	assert_int_equal(r->b->gsi[16].level, 0);
	assert_int_equal(r->b->gsi[16].rises, 1);
	/* twice the same level counts once */
	pci_intx_set(&t[0].fn, 1);
	pci_intx_set(&t[0].fn, 1);
	pci_intx_set(&t[0].fn, 0);
	assert_int_equal(r->b->gsi[16].level, 0);
}

static void command_bit_10_silences_and_remembers(void **state)
{
	struct pci_rig *r = *state;
	static struct toy t;

	toy_add(r, &t, &intx_cls, 3, 0);
	pci_route_intx(r->bus);
	cfg_wr(r, 3, 0, 4, 0x407, 2);
	pci_intx_set(&t.fn, 1);
	assert_int_equal(r->b->gsi[16].level, 0);
	cfg_wr(r, 3, 0, 4, 0x7, 2);
	assert_int_equal(r->b->gsi[16].level, 1);
	cfg_wr(r, 3, 0, 5, 0x4, 1);
	assert_int_equal(r->b->gsi[16].level, 0);
}

static void router_registers_move_the_isa_interrupt(void **state)
{
	struct pci_rig *r = *state;
	static struct toy t;

	toy_add(r, &t, &intx_cls, 3, 0);
	pci_route_intx(r->bus);
	pci_intx_set(&t.fn, 1);
	pci_pirq_write(r->bus, 0, 11);
	assert_int_equal(r->b->isa[11].level, 1);
	assert_int_equal(r->b->isa[5].level, 0);
	pci_pirq_write(r->bus, 0, 0x80);
	assert_int_equal(r->b->isa[11].level, 0);
	/* the timer, the cascade, the clock, the FPU are not to be had */
	pci_pirq_write(r->bus, 0, 0);
	pci_pirq_write(r->bus, 0, 2);
	pci_pirq_write(r->bus, 0, 8);
	pci_pirq_write(r->bus, 0, 13);
	assert_int_equal(r->b->isa[0].rises + r->b->isa[2].rises + r->b->isa[8].rises +
				 r->b->isa[13].rises, 0);
	pci_pirq_write(r->bus, 0, 10);
	assert_int_equal(r->b->isa[10].level, 1);
	assert_int_equal(r->b->gsi[16].rises, 1);
	pci_bus_reset(r->bus);
	assert_int_equal(r->b->isa[10].level, 0);
	assert_int_equal(pci_pirq_read(r->bus, 0), 5);
}

static void a_removed_function_lets_go_of_its_line(void **state)
{
	struct pci_rig *r = *state;
	static struct toy t;

	toy_add(r, &t, &intx_cls, 3, 0);
	pci_route_intx(r->bus);
	pci_intx_set(&t.fn, 1);
	pci_fn_remove(&t.fn);
	assert_int_equal(r->b->gsi[16].level, 0);
	pci_intx_set(&t.fn, 1);
	assert_int_equal(r->b->gsi[16].level, 0);
}

/* ---- MSI ---- */

static unsigned msi_on(struct pci_rig *r, unsigned slot, u64 addr, u16 data, unsigned log2)
{
	unsigned c = cap_find(r, slot, 0x05);

	assert_true(c);
	cfg_wr(r, slot, 0, c + 4, (u32)addr, 4);
	cfg_wr(r, slot, 0, c + 8, (u32)(addr >> 32), 4);
	cfg_wr(r, slot, 0, c + 12, data, 2);
	cfg_wr(r, slot, 0, c + 2, 1 | log2 << 4, 2);
	return c;
}

static void msi_sends_the_whole_address(void **state)
{
	struct pci_rig *r = *state;
	static struct toy t;

	toy_add(r, &t, &msi_cls, 3, 0);
	pci_msi_raise(&t.fn, 0);
	assert_int_equal(r->b->num_msi, 0);
	assert_false(pci_msi_enabled(&t.fn));
	msi_on(r, 3, 0x12fee01000, 0x4041, 0);
	assert_true(pci_msi_enabled(&t.fn));
	pci_msi_raise(&t.fn, 0);
	assert_int_equal(r->b->num_msi, 1);
	assert_true(r->b->msi[0].addr == 0x12fee01000);
	assert_int_equal(r->b->msi[0].data, 0x4041);
}

static void msi_vectors_beyond_those_granted_share(void **state)
{
	struct pci_rig *r = *state;
	unsigned c, i;
	static struct toy t;

	toy_add(r, &t, &msi_cls, 3, 0);
	c = msi_on(r, 3, 0xfee00000, 0x30, 2);
	assert_int_equal(cfg_rd(r, 3, 0, c + 2, 2) >> 1 & 7, 2);
	for (i = 0; i < 4; i++)
		pci_msi_raise(&t.fn, i);
	for (i = 0; i < 4; i++)
		assert_int_equal(r->b->msi[i].data, 0x30 + i);
	/* two granted of four */
	cfg_wr(r, 3, 0, c + 2, 1 | 1 << 4, 2);
	r->b->num_msi = 0;
	pci_msi_raise(&t.fn, 3);
	assert_int_equal(r->b->msi[0].data, 0x31);
	/* more than asked for */
	cfg_wr(r, 3, 0, c + 2, 1 | 5 << 4, 2);
	r->b->num_msi = 0;
	pci_msi_raise(&t.fn, 7);
	assert_int_equal(r->b->msi[0].data, 0x33);
}

static void msi_takes_the_place_of_intx(void **state)
{
	struct pci_rig *r = *state;
	static struct toy t;
	unsigned c;

	toy_add(r, &t, &msi_cls, 3, 0);
	pci_route_intx(r->bus);
	pci_intx_set(&t.fn, 1);
	assert_int_equal(r->b->gsi[16].level, 1);
	c = msi_on(r, 3, 0xfee00000, 0x30, 0);
	assert_int_equal(r->b->gsi[16].level, 0);
	cfg_wr(r, 3, 0, c + 2, 0, 2);
	assert_int_equal(r->b->gsi[16].level, 1);
}

/* ---- MSI-X ---- */

static unsigned msix_add(struct pci_rig *r, struct toy *t)
{
	unsigned c, i;

	toy_add(r, t, &msix_cls, 3, 0);
	c = cap_find(r, 3, 0x11);
	assert_true(c);
	assert_int_equal(cfg_rd(r, 3, 0, c + 2, 2), 2);
	assert_int_equal(cfg_rd(r, 3, 0, c + 4, 4), 1);
	assert_int_equal(cfg_rd(r, 3, 0, c + 8, 4), 0x1001);
	for (i = 0; i < 3; i++) {
		assert_int_equal(mem_rd(r, TABLE + 16 * i + 12, 4), 1);
		mem_wr(r, TABLE + 16 * i, 0x5fee00000ull + 0x1000 * i, 8);
		mem_wr(r, TABLE + 16 * i + 8, 0x40 + i, 4);
	}
	return c;
}

static void msix_table_reads_back_in_dwords_and_qwords(void **state)
{
	struct pci_rig *r = *state;
	static struct toy t;

	msix_add(r, &t);
	assert_true(mem_rd(r, TABLE + 16, 8) == 0x5fee01000ull);
	assert_int_equal(mem_rd(r, TABLE + 16 + 4, 4), 5);
	assert_true(mem_rd(r, TABLE + 16 + 8, 8) == 0x100000041ull);
	mem_wr(r, TABLE + 16 + 8, 0x0000000000000055ull, 8);
	assert_true(mem_rd(r, TABLE + 16 + 8, 8) == 0x55);
	/* behind the last vector and in the pending bits nothing sticks */
	mem_wr(r, TABLE + 48, 0xffffffff, 4);
	assert_int_equal(mem_rd(r, TABLE + 48, 4), 0);
	mem_wr(r, PBA, ~0ull, 8);
	assert_int_equal(mem_rd(r, PBA, 8), 0);
}

static void msix_sends_when_enabled_and_unmasked(void **state)
{
	struct pci_rig *r = *state;
	static struct toy t;
	unsigned c;

	c = msix_add(r, &t);
	mem_wr(r, TABLE + 16 + 12, 0, 4);
	pci_msix_raise(&t.fn, 1);
	assert_int_equal(r->b->num_msi, 0);
	cfg_wr(r, 3, 0, c + 2, 0x8000, 2);
	assert_true(pci_msix_enabled(&t.fn));
	/* what came while off went the other way, by INTx */
	assert_int_equal(r->b->num_msi, 0);
	pci_msix_raise(&t.fn, 1);
	assert_int_equal(r->b->num_msi, 1);
	assert_true(r->b->msi[0].addr == 0x5fee01000ull);
	assert_int_equal(r->b->msi[0].data, 0x41);
	assert_int_equal(mem_rd(r, PBA, 8), 0);
	pci_msix_raise(&t.fn, 3);
	pci_msix_raise(&t.fn, 5000);
	assert_int_equal(r->b->num_msi, 1);
}

static void a_masked_vector_pends_and_is_sent_once_on_unmask(void **state)
{
	struct pci_rig *r = *state;
	static struct toy t;
	unsigned c;

	c = msix_add(r, &t);
	cfg_wr(r, 3, 0, c + 2, 0x8000, 2);
	pci_msix_raise(&t.fn, 2);
	pci_msix_raise(&t.fn, 2);
	assert_int_equal(r->b->num_msi, 0);
	assert_int_equal(mem_rd(r, PBA, 8), 4);
	mem_wr(r, TABLE + 32 + 12, 0, 4);
	assert_int_equal(r->b->num_msi, 1);
	assert_int_equal(r->b->msi[0].data, 0x42);
	assert_int_equal(mem_rd(r, PBA, 8), 0);
	mem_wr(r, TABLE + 32 + 12, 1, 4);
	mem_wr(r, TABLE + 32 + 12, 0, 4);
	assert_int_equal(r->b->num_msi, 1);
}

static void the_function_mask_holds_all_vectors_back(void **state)
{
	struct pci_rig *r = *state;
	static struct toy t;
	unsigned c, i;

	c = msix_add(r, &t);
	for (i = 0; i < 3; i++)
		mem_wr(r, TABLE + 16 * i + 12, i == 1, 4);
	cfg_wr(r, 3, 0, c + 2, 0xc000, 2);
	for (i = 0; i < 3; i++)
		pci_msix_raise(&t.fn, i);
	assert_int_equal(r->b->num_msi, 0);
	assert_int_equal(mem_rd(r, PBA, 8), 7);
	/* by its high byte alone */
	cfg_wr(r, 3, 0, c + 3, 0x80, 1);
	assert_int_equal(r->b->num_msi, 2);
	assert_int_equal(r->b->msi[0].data, 0x40);
	assert_int_equal(r->b->msi[1].data, 0x42);
	assert_int_equal(mem_rd(r, PBA, 8), 2);
}

static void msix_takes_the_place_of_intx_and_reset_ends_it(void **state)
{
	struct pci_rig *r = *state;
	static struct toy t;
	unsigned c;

	c = msix_add(r, &t);
	pci_route_intx(r->bus);
	pci_intx_set(&t.fn, 1);
	cfg_wr(r, 3, 0, c + 2, 0x8000, 2);
	assert_int_equal(r->b->gsi[16].level, 0);
	pci_msix_raise(&t.fn, 0);
	pci_bus_reset(r->bus);
	assert_false(pci_msix_enabled(&t.fn));
	assert_int_equal(mem_rd(r, PBA, 8), 0);
	assert_int_equal(mem_rd(r, TABLE + 12, 4), 1);
	assert_int_equal(r->b->gsi[16].level, 0);
	pci_intx_set(&t.fn, 1);
	assert_int_equal(r->b->gsi[16].level, 1);
}

static void a_large_table_has_its_pending_bits_behind_it(void **state)
{
	static const struct pci_fn_class many = {
		.vendor = 1, .device = 3, .msix_vectors = 600, .msix_bar = 0,
		.bar = { { PCI_BAR_MEM64 } },
	};
	struct pci_rig *r = *state;
	static struct toy t;
	unsigned c;

	toy_add(r, &t, &many, 3, 0);
	c = cap_find(r, 3, 0x11);
	assert_int_equal(cfg_rd(r, 3, 0, c + 2, 2), 599);
	assert_int_equal(cfg_rd(r, 3, 0, c + 8, 4), 0x3000);
	cfg_wr(r, 3, 0, c + 2, 0x8000, 2);
	pci_msix_raise(&t.fn, 599);
	assert_int_equal(mem_rd(r, 0xc0003000 + 599 / 64 * 8 + 4 * (599 % 64 / 32), 4), 1u << 599 % 32);
	mem_wr(r, 0xc0000000 + 16 * 599 + 8, 0x77, 4);
	mem_wr(r, 0xc0000000 + 16 * 599 + 12, 0, 4);
	assert_int_equal(r->b->num_msi, 1);
	assert_int_equal(r->b->msi[0].data, 0x77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(pins_of_a_slot_are_handed_out_in_turn),
		RIG_TEST(routes_go_round_the_eight_inputs),
		RIG_TEST(a_line_reaches_ioapic_and_pic),
		RIG_TEST(a_shared_line_stays_up_until_the_last_sharer_is_quiet),
		RIG_TEST(command_bit_10_silences_and_remembers),
		RIG_TEST(router_registers_move_the_isa_interrupt),
		RIG_TEST(a_removed_function_lets_go_of_its_line),
		RIG_TEST(msi_sends_the_whole_address),
		RIG_TEST(msi_vectors_beyond_those_granted_share),
		RIG_TEST(msi_takes_the_place_of_intx),
		RIG_TEST(msix_table_reads_back_in_dwords_and_qwords),
		RIG_TEST(msix_sends_when_enabled_and_unmasked),
		RIG_TEST(a_masked_vector_pends_and_is_sent_once_on_unmask),
		RIG_TEST(the_function_mask_holds_all_vectors_back),
		RIG_TEST(msix_takes_the_place_of_intx_and_reset_ends_it),
		RIG_TEST(a_large_table_has_its_pending_bits_behind_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
