// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <pthread.h>

#include "board.h"

#define ID 0x20
#define VERSION 0x30
#define TPR 0x80
#define PPR 0xa0
#define EOI 0xb0
#define LDR 0xd0
#define DFR 0xe0
#define SVR 0xf0
#define ESR 0x280
#define ICR 0x300
#define ICR2 0x310
#define LVT_TIMER 0x320
#define LVT_LINT0 0x350
#define LVT_LINT1 0x360
#define LVT_ERROR 0x370

#define CPUS 40

struct fix {
	struct board *b;
	struct apics *a;
	struct { _Atomic unsigned intr, nmi, init, sipi, smi; u8 vector; } cpu[CPUS];
	u8 eoi[16];
	unsigned eois;
	int pic_vector; /* -1 = none */
	unsigned pic_acks;
};

static void on_intr(void *arg, unsigned cpu) { ((struct fix *)arg)->cpu[cpu].intr++; }
static void on_nmi(void *arg, unsigned cpu) { ((struct fix *)arg)->cpu[cpu].nmi++; }
static void on_init(void *arg, unsigned cpu) { ((struct fix *)arg)->cpu[cpu].init++; }
static void on_smi(void *arg, unsigned cpu) { ((struct fix *)arg)->cpu[cpu].smi++; }

static void on_sipi(void *arg, unsigned cpu, u8 vector)
{
	((struct fix *)arg)->cpu[cpu].sipi++;
	((struct fix *)arg)->cpu[cpu].vector = vector;
}

static void on_eoi(void *arg, u8 vector)
{
	struct fix *f = arg;

	assert_true(f->eois < 16);
	f->eoi[f->eois++] = vector;
}

static int on_extint(void *arg, bool peek)
{
	struct fix *f = arg;
	int vec = f->pic_vector;

	if (!peek) {
		f->pic_acks++;
		f->pic_vector = -1;
	}
	return vec;
}

static int start(void **state, unsigned cpus, bool x2)
{
	struct fix *f = calloc(1, sizeof(*f));
	struct apics_config cfg = {
		.cpus = cpus,
		.sink = { on_intr, on_nmi, on_init, on_sipi, on_smi, f },
		.tsc_hz = 2000000000,
		.x2apic_start = x2,
	};

	f->b = board_new(0);
	cfg.env = &f->b->env;
	f->pic_vector = -1;
	assert_int_equal(apics_create(&f->a, &cfg, NULL), 0);
	apics_on_eoi(f->a, on_eoi, f);
	apics_on_extint(f->a, on_extint, f);
	*state = f;
	return 0;
}

static int setup(void **state) { return start(state, CPUS, false); }
static int setup_x2(void **state) { return start(state, CPUS, true); }

static int teardown(void **state)
{
	struct fix *f = *state;

	apics_destroy(f->a);
	board_free(f->b);
	free(f);
	return 0;
}

static u32 rd(struct fix *f, unsigned cpu, unsigned off)
{
	return apics_mmio_read(f->a, cpu, off);
}

static void wr(struct fix *f, unsigned cpu, unsigned off, u32 val)
{
	apics_mmio_write(f->a, cpu, off, val);
}

static int rdmsr(struct fix *f, unsigned cpu, u32 index, u64 *val)
{
	return apics_msr(f->a, cpu, index, val, false);
}

static int wrmsr(struct fix *f, unsigned cpu, u32 index, u64 val)
{
	return apics_msr(f->a, cpu, index, &val, true);
}

static void enable_all(struct fix *f, unsigned cpus)
{
	for (unsigned i = 0; i < cpus; i++)
		wr(f, i, SVR, 0x1ff);
}

static void msi(struct fix *f, u8 dest, u32 data)
{
	apics_msi(f->a, 0xfee00000 | (u32)dest << 12, data);
}

static int ack(struct fix *f, unsigned cpu)
{
	return apics_ack(f->a, cpu, false);
}

/* -------------------------------------------------------------- registers */

static void reset_values_are_those_of_the_manual(void **state)
{
	struct fix *f = *state;

	assert_int_equal(rd(f, 5, ID), 5u << 24);
	assert_int_equal(rd(f, 0, VERSION), 0x01050014);
	assert_int_equal(rd(f, 1, SVR), 0xff);
	assert_int_equal(rd(f, 1, DFR), ~0u);
	for (unsigned off = LVT_TIMER; off <= LVT_ERROR; off += 0x10)
		assert_int_equal(rd(f, 1, off), 0x10000);
	assert_int_equal(rd(f, 0, LVT_LINT0), 0x700); /* virtual wire, as firmware leaves it */
	assert_int_equal(apics_base(f->a, 0), 0xfee00900);
	assert_int_equal(apics_base(f->a, 1), 0xfee00800);
}

static void only_first_word_of_each_register_exists(void **state)
{
	struct fix *f = *state;

	assert_int_equal(rd(f, 0, VERSION + 4), 0);
	assert_int_equal(rd(f, 0, VERSION + 2), 0x105);
	wr(f, 0, TPR + 4, 0x50);
	assert_int_equal(rd(f, 0, TPR), 0);
}

static void software_disable_masks_every_lvt(void **state)
{
	struct fix *f = *state;

	wr(f, 1, SVR, 0x1ff);
	wr(f, 1, LVT_TIMER, 0x40);
	assert_int_equal(rd(f, 1, LVT_TIMER), 0x40);
	wr(f, 1, SVR, 0xff);
	assert_int_equal(rd(f, 1, LVT_TIMER), 0x10040);
	wr(f, 1, LVT_TIMER, 0x40);
	assert_int_equal(rd(f, 1, LVT_TIMER), 0x10040);
	msi(f, 1, 0x50);
	assert_int_equal(ack(f, 1), -1);
}

static void illegal_register_sets_esr_and_interrupts(void **state)
{
	struct fix *f = *state;

	enable_all(f, 1);
	wr(f, 0, LVT_ERROR, 0xfe);
	rd(f, 0, 0x2f0); /* no CMCI, as the version register says */
	assert_int_equal(rd(f, 0, ESR), 0);
	wr(f, 0, ESR, 0);
	assert_int_equal(rd(f, 0, ESR), 0x80);
	assert_int_equal(ack(f, 0), 0xfe);
	wr(f, 0, ESR, 0);
	assert_int_equal(rd(f, 0, ESR), 0);
}

static void vectors_below_16_are_errors(void **state)
{
	struct fix *f = *state;

	enable_all(f, 2);
	msi(f, 1, 0x0f);
	assert_int_equal(ack(f, 1), -1);
	wr(f, 1, ESR, 0);
	assert_int_equal(rd(f, 1, ESR), 0x40);
	wr(f, 0, ICR, 0x40005);
	wr(f, 0, ESR, 0);
	assert_int_equal(rd(f, 0, ESR), 0x20);
}

static void error_lvt_with_illegal_vector_does_not_recurse(void **state)
{
	struct fix *f = *state;

	enable_all(f, 1);
	wr(f, 0, LVT_ERROR, 0x05);
	msi(f, 0, 0x03);
	assert_int_equal(ack(f, 0), -1);
}

/* --------------------------------------------------------------- priority */

static void highest_vector_is_first_and_eoi_lets_the_next_pass(void **state)
{
	struct fix *f = *state;
	unsigned kicks;

	enable_all(f, 1);
	msi(f, 0, 0x41);
	msi(f, 0, 0x61);
	msi(f, 0, 0x62);
	assert_int_equal(apics_ack(f->a, 0, true), 0x62);
	assert_int_equal(ack(f, 0), 0x62);
	assert_int_equal(rd(f, 0, PPR), 0x60);
	assert_int_equal(ack(f, 0), -1); /* same class */
	msi(f, 0, 0x71);
	assert_int_equal(ack(f, 0), 0x71);
	wr(f, 0, EOI, 0);
	assert_int_equal(ack(f, 0), -1);
	kicks = f->cpu[0].intr;
	wr(f, 0, EOI, 0);
	assert_true(f->cpu[0].intr > kicks);
	assert_int_equal(ack(f, 0), 0x61);
	wr(f, 0, EOI, 0);
	assert_int_equal(ack(f, 0), 0x41);
	wr(f, 0, EOI, 0);
	wr(f, 0, EOI, 0); /* one too many */
	assert_int_equal(ack(f, 0), -1);
	assert_int_equal(f->eois, 0); /* all were edges */
}

static void tpr_holds_back_and_lowering_it_kicks(void **state)
{
	struct fix *f = *state;
	unsigned kicks;

	enable_all(f, 1);
	apics_set_tpr(f->a, 0, 5);
	assert_int_equal(rd(f, 0, TPR), 0x50);
	assert_int_equal(rd(f, 0, PPR), 0x50);
	kicks = f->cpu[0].intr;
	msi(f, 0, 0x51);
	assert_int_equal(f->cpu[0].intr, kicks);
	assert_int_equal(ack(f, 0), -1);
	apics_set_tpr(f->a, 0, 4);
	assert_int_equal(f->cpu[0].intr, kicks + 1);
	assert_int_equal(apics_get_tpr(f->a, 0), 4);
	assert_int_equal(ack(f, 0), 0x51);
}

static void level_vector_tells_the_ioapic_at_eoi(void **state)
{
	struct fix *f = *state;

	enable_all(f, 1);
	msi(f, 0, 0xc049);
	assert_int_equal(rd(f, 0, 0x180 + 0x20) >> 9 & 1, 1);
	assert_int_equal(ack(f, 0), 0x49);
	assert_int_equal(f->eois, 0);
	wr(f, 0, EOI, 0);
	assert_int_equal(f->eois, 1);
	assert_int_equal(f->eoi[0], 0x49);
	wr(f, 0, SVR, 0x11ff); /* suppress the broadcast */
	msi(f, 0, 0xc049);
	ack(f, 0);
	wr(f, 0, EOI, 0);
	assert_int_equal(f->eois, 1);
}

/* ----------------------------------------------------------- destinations */

static u64 who_has(struct fix *f, unsigned vec)
{
	u64 set = 0;

	for (unsigned i = 0; i < CPUS; i++)
		if (ack(f, i) == vec) {
			set |= BIT64(i);
			wr(f, i, EOI, 0);
		}
	return set;
}

static void physical_and_broadcast_destinations(void **state)
{
	struct fix *f = *state;

	enable_all(f, CPUS);
	msi(f, 39, 0x40);
	assert_int_equal(who_has(f, 0x40), BIT64(39));
	msi(f, 0xff, 0x40);
	assert_int_equal(who_has(f, 0x40), BIT64(CPUS) - 1);
	assert_int_equal(apics_msi(f->a, 0xfee00000 | 50 << 12, 0x40), -ENOENT);
	assert_int_equal(apics_msi(f->a, 0x12345678, 0x40), -EINVAL);
}

static void flat_logical_destination(void **state)
{
	struct fix *f = *state;

	enable_all(f, 8);
	for (unsigned i = 0; i < 8; i++)
		wr(f, i, LDR, 1u << (24 + i));
	apics_msi(f->a, 0xfee00004 | 0xa5 << 12, 0x40);
	assert_int_equal(who_has(f, 0x40), 0xa5);
	apics_msi(f->a, 0xfee00004 | 0xff << 12, 0x40);
	assert_int_equal(who_has(f, 0x40), 0xff);
}

static void cluster_logical_destination(void **state)
{
	struct fix *f = *state;

	enable_all(f, 8);
	for (unsigned i = 0; i < 8; i++) {
		wr(f, i, DFR, 0x0fffffff);
		wr(f, i, LDR, (i / 4) << 28 | 1u << (24 + i % 4));
	}
	apics_msi(f->a, 0xfee00004 | 0x16 << 12, 0x40);
	assert_int_equal(who_has(f, 0x40), 0x60);
	apics_msi(f->a, 0xfee00004 | 0xf1 << 12, 0x40);
	assert_int_equal(who_has(f, 0x40), 0x11);
}

static void lowest_priority_goes_to_the_idlest_and_rotates(void **state)
{
	struct fix *f = *state;
	u64 seen = 0, set;

	enable_all(f, 4);
	for (unsigned i = 0; i < 4; i++)
		wr(f, i, LDR, 1u << (24 + i));
	wr(f, 0, TPR, 0x20);
	wr(f, 2, TPR, 0x20);
	for (int i = 0; i < 16; i++) {
		apics_msi(f->a, 0xfee00004 | 0xf << 12, 0x141);
		set = who_has(f, 0x41);
		assert_int_equal(__builtin_popcountll(set), 1);
		seen |= set;
	}
	assert_int_equal(seen, 0xa);
}

static void shorthands(void **state)
{
	struct fix *f = *state;

	enable_all(f, CPUS);
	wr(f, 3, ICR, 0x40042);
	assert_int_equal(who_has(f, 0x42), BIT64(3));
	wr(f, 3, ICR, 0x80043);
	assert_int_equal(who_has(f, 0x43), BIT64(CPUS) - 1);
	wr(f, 3, ICR, 0xc0044);
	assert_int_equal(who_has(f, 0x44), (BIT64(CPUS) - 1) & ~BIT64(3));
	assert_int_equal(rd(f, 3, ICR), 0xc0044);
}

static void init_and_sipi_start_a_cpu(void **state)
{
	struct fix *f = *state;

	wr(f, 0, ICR2, 2u << 24);
	wr(f, 0, ICR, 0xc500); /* INIT, level, assert */
	assert_int_equal(f->cpu[2].init, 1);
	wr(f, 0, ICR, 0x8500); /* de-assert */
	assert_int_equal(f->cpu[2].init, 1);
	wr(f, 0, ICR, 0x0699);
	assert_int_equal(f->cpu[2].sipi, 1);
	assert_int_equal(f->cpu[2].vector, 0x99);
	wr(f, 0, ICR, 0xc4500); /* all but self */
	for (unsigned i = 1; i < CPUS; i++)
		assert_int_equal(f->cpu[i].init, 1 + (i == 2));
	assert_int_equal(f->cpu[0].init, 0);
}

static void nmi_and_smi_reach_a_software_disabled_lapic(void **state)
{
	struct fix *f = *state;

	wr(f, 0, ICR2, 2u << 24);
	wr(f, 0, ICR, 0x4400);
	wr(f, 0, ICR, 0x4200);
	assert_int_equal(f->cpu[2].nmi, 1);
	assert_int_equal(f->cpu[2].smi, 1);
	assert_int_equal(f->cpu[2].intr, 0);
}

static void cpu_init_keeps_id_and_base(void **state)
{
	struct fix *f = *state;

	enable_all(f, 3);
	msi(f, 2, 0x40);
	wr(f, 2, LVT_TIMER, 0x55);
	apics_cpu_init(f->a, 2);
	assert_int_equal(rd(f, 2, ID), 2u << 24);
	assert_int_equal(rd(f, 2, SVR), 0xff);
	assert_int_equal(rd(f, 2, LVT_TIMER), 0x10000);
	assert_int_equal(ack(f, 2), -1);
	assert_int_equal(apics_base(f->a, 2), 0xfee00800);
}

/* ----------------------------------------------------------------- LINT0 */

static void pic_reaches_cpu0_before_any_set_up(void **state)
{
	struct fix *f = *state;

	f->pic_vector = 0x30;
	apics_lint0(f->a, 1);
	assert_int_equal(f->cpu[0].intr, 1);
	assert_int_equal(apics_ack(f->a, 0, true), 0x30);
	assert_int_equal(f->pic_acks, 0);
	assert_int_equal(ack(f, 0), 0x30);
	assert_int_equal(f->pic_acks, 1);
	assert_int_equal(apics_ack(f->a, 1, true), -1);
	wr(f, 0, LVT_LINT0, 0x10700);
	f->pic_vector = 0x31;
	assert_int_equal(ack(f, 0), -1);
	wr(f, 0, SVR, 0x1ff);
	wr(f, 0, LVT_LINT0, 0x700);
	assert_int_equal(f->cpu[0].intr, 2);
	assert_int_equal(ack(f, 0), 0x31);
}

static void lint0_can_be_fixed_or_nmi(void **state)
{
	struct fix *f = *state;

	enable_all(f, 1);
	wr(f, 0, LVT_LINT0, 0x45);
	apics_lint0(f->a, 1);
	apics_lint0(f->a, 1);
	assert_int_equal(ack(f, 0), 0x45);
	wr(f, 0, EOI, 0);
	assert_int_equal(ack(f, 0), -1);
	apics_lint0(f->a, 0);
	wr(f, 0, LVT_LINT0, 0x400);
	apics_lint0(f->a, 1);
	assert_int_equal(f->cpu[0].nmi, 1);
}

static void level_lint0_repeats_while_up(void **state)
{
	struct fix *f = *state;

	enable_all(f, 1);
	wr(f, 0, LVT_LINT0, 0x8045);
	apics_lint0(f->a, 1);
	assert_int_equal(rd(f, 0, LVT_LINT0), 0xc045);
	assert_int_equal(ack(f, 0), 0x45);
	wr(f, 0, LVT_LINT0, 0x8045); /* still under way */
	assert_int_equal(rd(f, 0, LVT_LINT0), 0xc045);
	assert_int_equal(rd(f, 0, 0x200 + 0x20), 0); /* IRR */
	wr(f, 0, EOI, 0);
	assert_int_equal(ack(f, 0), 0x45);
	apics_lint0(f->a, 0);
	wr(f, 0, EOI, 0);
	assert_int_equal(ack(f, 0), -1);
	assert_int_equal(rd(f, 0, LVT_LINT0), 0x8045);
}

static void extint_message_asks_the_pic_once(void **state)
{
	struct fix *f = *state;

	enable_all(f, 2);
	f->pic_vector = 0x30;
	msi(f, 1, 0x700);
	assert_int_equal(f->cpu[1].intr, 1);
	assert_int_equal(ack(f, 1), 0x30);
	f->pic_vector = 0x31;
	assert_int_equal(ack(f, 1), -1);
}

static void lapic_vector_behind_the_pics_kicks_again(void **state)
{
	struct fix *f = *state;
	unsigned kicks;

	enable_all(f, 1);
	wr(f, 0, LVT_LINT0, 0x700);
	msi(f, 0, 0x41);
	f->pic_vector = 0x30;
	apics_lint0(f->a, 1);
	kicks = f->cpu[0].intr;
	assert_int_equal(ack(f, 0), 0x30);
	assert_true(f->cpu[0].intr > kicks);
	assert_int_equal(ack(f, 0), 0x41);
}

/* ------------------------------------------------------- base and x2APIC */

static void apic_base_moves_only_along_legal_ways(void **state)
{
	struct fix *f = *state;
	u64 v;

	assert_int_equal(rdmsr(f, 0, 0x1b, &v), 0);
	assert_int_equal(v, 0xfee00900);
	assert_int_equal(wrmsr(f, 0, 0x1b, 0xfee00500), -EINVAL); /* EXTD without EN */
	assert_int_equal(wrmsr(f, 0, 0x1b, 0xfee00901), -EINVAL);
	assert_int_equal(wrmsr(f, 0, 0x1b, 1ull << 60 | 0xfee00900), -EINVAL);
	assert_int_equal(wrmsr(f, 0, 0x1b, 0xfee00d00), 0);
	assert_int_equal(rd(f, 0, VERSION), ~0u); /* the page is gone */
	assert_int_equal(wrmsr(f, 0, 0x1b, 0xfee00900), -EINVAL); /* back to xAPIC */
	assert_int_equal(wrmsr(f, 0, 0x1b, 0xfee00100), 0);
	assert_int_equal(wrmsr(f, 0, 0x1b, 0xfee00d00), -EINVAL); /* off to x2APIC */
	assert_int_equal(wrmsr(f, 0, 0x1b, 0xfee00900), 0);
	assert_int_equal(rd(f, 0, SVR), 0xff);
}

static void x2apic_msrs_are_checked(void **state)
{
	struct fix *f = *state;
	u64 v;

	assert_int_equal(rdmsr(f, 37, 0x802, &v), 0);
	assert_int_equal(v, 37);
	assert_int_equal(rdmsr(f, 37, 0x80d, &v), 0);
	assert_int_equal(v, 2u << 16 | 1 << 5);
	assert_int_equal(rdmsr(f, 0, 0x803, &v), 0);
	assert_int_equal(v, 0x01050014);
	/* Not there, write-only, read-only, reserved bits */
	assert_int_equal(rdmsr(f, 0, 0x80e, &v), -EINVAL);
	assert_int_equal(rdmsr(f, 0, 0x831, &v), -EINVAL);
	assert_int_equal(rdmsr(f, 0, 0x80b, &v), -EINVAL);
	assert_int_equal(rdmsr(f, 0, 0x83f, &v), -EINVAL);
	assert_int_equal(rdmsr(f, 0, 0x82f, &v), -EINVAL);
	assert_int_equal(wrmsr(f, 0, 0x802, 1), -EINVAL);
	assert_int_equal(wrmsr(f, 0, 0x80d, 1), -EINVAL);
	assert_int_equal(wrmsr(f, 0, 0x80b, 1), -EINVAL);
	assert_int_equal(wrmsr(f, 0, 0x828, 1), -EINVAL);
	assert_int_equal(wrmsr(f, 0, 0x808, 0x100), -EINVAL);
	assert_int_equal(wrmsr(f, 0, 0x80f, 1ull << 32 | 0x1ff), -EINVAL);
	assert_int_equal(wrmsr(f, 0, 0x830, 1 << 20), -EINVAL);
	assert_int_equal(wrmsr(f, 0, 0x832, 1 << 20), -EINVAL);
	assert_int_equal(wrmsr(f, 0, 0x8ff, 0), -EINVAL);
	assert_int_equal(wrmsr(f, 0, 0x80f, 0x1ff), 0);
	assert_int_equal(wrmsr(f, 0, 0x808, 0x20), 0);
	assert_int_equal(apics_get_tpr(f->a, 0), 2);
	assert_int_equal(wrmsr(f, 0, 0x123, 0), -EINVAL);
}

static void x2apic_msrs_need_x2apic_mode(void **state)
{
	struct fix *f = *state;
	u64 v;

	assert_int_equal(rdmsr(f, 0, 0x802, &v), -EINVAL);
}

static void x2apic_ipis(void **state)
{
	struct fix *f = *state;
	u64 v;

	for (unsigned i = 0; i < CPUS; i++)
		assert_int_equal(wrmsr(f, i, 0x80f, 0x1ff), 0);
	assert_int_equal(wrmsr(f, 0, 0x830, 39ull << 32 | 0x40), 0);
	assert_int_equal(ack(f, 39), 0x40);
	assert_int_equal(rdmsr(f, 0, 0x830, &v), 0);
	assert_int_equal(v, 39ull << 32 | 0x40);
	/* Logical: cluster 2, CPUs 33 and 37 */
	assert_int_equal(wrmsr(f, 0, 0x830, 0x00020022ull << 32 | 0x841), 0);
	assert_int_equal(ack(f, 33), 0x41);
	assert_int_equal(ack(f, 37), 0x41);
	assert_int_equal(ack(f, 1), -1);
	/* 0xff is a CPU that is not there; all ones is everybody */
	assert_int_equal(wrmsr(f, 0, 0x830, 0xffull << 32 | 0x42), 0);
	assert_int_equal(ack(f, 1), -1);
	assert_int_equal(wrmsr(f, 0, 0x830, 0xffffffffull << 32 | 0x52), 0);
	for (unsigned i = 0; i < CPUS; i++)
		assert_int_equal(ack(f, i), 0x52);
	assert_int_equal(wrmsr(f, 5, 0x83f, 0x63), 0);
	assert_int_equal(ack(f, 5), 0x63);
	assert_int_equal(wrmsr(f, 5, 0x80b, 0), 0);
	assert_int_equal(rdmsr(f, 5, 0x80a, &v), 0);
	assert_int_equal(v, 0x50);
	/* A message from the IOAPIC has 8 bits and reaches x2APICs too */
	msi(f, 38, 0x70);
	assert_int_equal(ack(f, 38), 0x70);
}

static void switched_off_lapic_takes_nothing_but_the_pics(void **state)
{
	struct fix *f = *state;

	enable_all(f, 1);
	assert_int_equal(wrmsr(f, 0, 0x1b, 0xfee00100), 0);
	msi(f, 0, 0x40);
	msi(f, 0, 0x400);
	assert_int_equal(f->cpu[0].nmi, 0);
	assert_int_equal(ack(f, 0), -1);
	f->pic_vector = 0x30;
	apics_lint0(f->a, 1);
	assert_int_equal(ack(f, 0), 0x30);
}

/* ---------------------------------------------------------------- PV EOI */

#define WORD 0x1000

static u32 word(struct fix *f)
{
	u32 v;

	assert_int_equal(mem_read(&f->b->mem, WORD, &v, 4), 0);
	return v;
}

static void set_word(struct fix *f, u32 v)
{
	assert_int_equal(mem_write(&f->b->mem, WORD, &v, 4), 0);
}

static void pv_eoi_spares_the_write(void **state)
{
	struct fix *f = *state;

	enable_all(f, 1);
	assert_int_equal(apics_set_pv_eoi(f->a, 0, WORD | 1), 0);
	msi(f, 0, 0x41);
	assert_int_equal(ack(f, 0), 0x41);
	assert_int_equal(word(f), 1);
	set_word(f, 0); /* the guest's EOI */
	msi(f, 0, 0x41);
	assert_int_equal(ack(f, 0), 0x41);
	assert_int_equal(word(f), 1);
	set_word(f, 0);
	assert_int_equal(rd(f, 0, 0x100 + 0x20), 0); /* ISR */
	assert_int_equal(rd(f, 0, PPR), 0);
}

static void pv_eoi_is_taken_back_when_something_waits(void **state)
{
	struct fix *f = *state;
	unsigned kicks;

	enable_all(f, 1);
	assert_int_equal(apics_set_pv_eoi(f->a, 0, WORD | 1), 0);
	msi(f, 0, 0x41);
	assert_int_equal(ack(f, 0), 0x41);
	kicks = f->cpu[0].intr;
	msi(f, 0, 0x42);
	assert_int_equal(f->cpu[0].intr, kicks + 1); /* we cannot know: ask */
	assert_int_equal(ack(f, 0), -1);
	assert_int_equal(word(f), 0);
	wr(f, 0, EOI, 0); /* the guest found it cleared */
	assert_int_equal(ack(f, 0), 0x42);
	assert_int_equal(word(f), 1);
}

static void pv_eoi_nests(void **state)
{
	struct fix *f = *state;

	enable_all(f, 1);
	assert_int_equal(apics_set_pv_eoi(f->a, 0, WORD | 1), 0);
	msi(f, 0, 0x41);
	assert_int_equal(ack(f, 0), 0x41);
	msi(f, 0, 0x61);
	assert_int_equal(ack(f, 0), 0x61);
	assert_int_equal(word(f), 1);
	set_word(f, 0); /* ends 61 */
	wr(f, 0, EOI, 0); /* ends 41 */
	assert_int_equal(rd(f, 0, PPR), 0);
	assert_int_equal(word(f), 0);
}

static void pv_eoi_not_for_level_nor_with_others_pending(void **state)
{
	struct fix *f = *state;

	enable_all(f, 1);
	assert_int_equal(apics_set_pv_eoi(f->a, 0, WORD | 1), 0);
	msi(f, 0, 0xc041);
	assert_int_equal(ack(f, 0), 0x41);
	assert_int_equal(word(f), 0);
	wr(f, 0, EOI, 0);
	assert_int_equal(f->eois, 1);
	msi(f, 0, 0x51);
	msi(f, 0, 0x61);
	assert_int_equal(ack(f, 0), 0x61);
	assert_int_equal(word(f), 0);
}

static void pv_eoi_real_eoi_still_works(void **state)
{
	struct fix *f = *state;

	enable_all(f, 1);
	assert_int_equal(apics_set_pv_eoi(f->a, 0, WORD | 1), 0);
	msi(f, 0, 0x41);
	assert_int_equal(ack(f, 0), 0x41);
	wr(f, 0, EOI, 0);
	assert_int_equal(word(f), 0);
	assert_int_equal(rd(f, 0, PPR), 0);
	msi(f, 0, 0x41);
	assert_int_equal(ack(f, 0), 0x41);
	assert_int_equal(apics_set_pv_eoi(f->a, 0, 0), 0);
	assert_int_equal(word(f), 0);
	assert_int_equal(rd(f, 0, PPR), 0x40); /* not ended yet */
}

static void pv_eoi_address_is_checked(void **state)
{
	struct fix *f = *state;

	assert_int_equal(apics_set_pv_eoi(f->a, 0, WORD | 3), -EINVAL);
	assert_int_equal(apics_set_pv_eoi(f->a, 0, 0x7fffffff0001), -EINVAL);
	assert_int_equal(apics_set_pv_eoi(f->a, 0, ~0ull & ~2ull), -EINVAL);
}

/* --------------------------------------------------------------- threads */

#define SENDERS 3
#define MESSAGES 20000

static void *sender(void *arg)
{
	struct fix *f = arg;

	for (unsigned i = 0; i < MESSAGES; i++) {
		msi(f, 0, 0x40 + i % 0x80);
		msi(f, 0xff, 0xc0c1);
		if (i % 64 == 0)
			apics_lint0(f->a, i & 64);
	}
	return NULL;
}

/* No message is lost: what was sent last is found pending at the end */
static void messages_from_many_threads(void **state)
{
	struct fix *f = *state;
	pthread_t t[SENDERS];
	unsigned taken = 0;
	int vec;

	enable_all(f, 2);
	for (int i = 0; i < SENDERS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, sender, f), 0);
	for (unsigned i = 0; i < MESSAGES; i++) {
		vec = ack(f, 0);
		if (vec >= 0) {
			taken++;
			wr(f, 0, EOI, 0);
			f->eois = 0;
		}
		wr(f, 0, ICR2, 1u << 24);
		wr(f, 0, ICR, 0x4033);
		apics_timer_deadline(f->a, 1);
	}
	for (int i = 0; i < SENDERS; i++)
		pthread_join(t[i], NULL);
	while ((vec = ack(f, 0)) >= 0) {
		taken++;
		wr(f, 0, EOI, 0);
		f->eois = 0;
	}
	assert_true(taken > 0);
	assert_int_equal(rd(f, 0, PPR), 0);
	assert_int_equal(ack(f, 1), 0xc1);
}

static void dump_names_pending_vectors(void **state)
{
	struct fix *f = *state;
	struct strbuf s = { 0 };

	enable_all(f, 1);
	msi(f, 0, 0x4a);
	apics_dump(f->a, &s);
	assert_non_null(strstr(s.s, "irr 4a"));
	strbuf_fini(&s);
}

static void number_of_cpus_is_limited(void **state)
{
	struct apics_config cfg = { .cpus = 65 };
	struct apics *a = NULL;

	assert_int_equal(apics_create(&a, &cfg, NULL), -EINVAL);
	cfg.cpus = 0;
	assert_int_equal(apics_create(&a, &cfg, NULL), -EINVAL);
	apics_destroy(NULL);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define X2(name) cmocka_unit_test_setup_teardown(name, setup_x2, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(reset_values_are_those_of_the_manual),
		T(only_first_word_of_each_register_exists),
		T(software_disable_masks_every_lvt),
		T(illegal_register_sets_esr_and_interrupts),
		T(vectors_below_16_are_errors),
		T(error_lvt_with_illegal_vector_does_not_recurse),
		T(highest_vector_is_first_and_eoi_lets_the_next_pass),
		T(tpr_holds_back_and_lowering_it_kicks),
		T(level_vector_tells_the_ioapic_at_eoi),
		T(physical_and_broadcast_destinations),
		T(flat_logical_destination),
		T(cluster_logical_destination),
		T(lowest_priority_goes_to_the_idlest_and_rotates),
		T(shorthands),
		T(init_and_sipi_start_a_cpu),
		T(nmi_and_smi_reach_a_software_disabled_lapic),
		T(cpu_init_keeps_id_and_base),
		T(pic_reaches_cpu0_before_any_set_up),
		T(lint0_can_be_fixed_or_nmi),
		T(level_lint0_repeats_while_up),
		T(extint_message_asks_the_pic_once),
		T(lapic_vector_behind_the_pics_kicks_again),
		T(apic_base_moves_only_along_legal_ways),
		X2(x2apic_msrs_are_checked),
		T(x2apic_msrs_need_x2apic_mode),
		X2(x2apic_ipis),
		T(switched_off_lapic_takes_nothing_but_the_pics),
		T(pv_eoi_spares_the_write),
		T(pv_eoi_is_taken_back_when_something_waits),
		T(pv_eoi_nests),
		T(pv_eoi_not_for_level_nor_with_others_pending),
		T(pv_eoi_real_eoi_still_works),
		T(pv_eoi_address_is_checked),
		T(messages_from_many_threads),
		T(dump_names_pending_vectors),
		cmocka_unit_test(number_of_cpus_is_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
