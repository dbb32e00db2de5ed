// SPDX-License-Identifier: BSD-2-Clause
/* The transport and the life of a device, as a guest's driver sees them */
#include "unit/device/virtio/toy.h"

#include <stdio.h>

#include "base/strbuf.h"

#define EVENT_IDX BIT64(VIO_F_EVENT_IDX)
#define INDIRECT BIT64(VIO_F_INDIRECT)
#define ALL_FEATURES (EVENT_IDX | INDIRECT | BIT64(TOY_FEATURE) | BIT64(VIO_F_ANY_LAYOUT))

static void echo_works(struct rig *r)
{
	u8 out[100], in[100];

	for (unsigned i = 0; i < sizeof(out); i++)
		out[i] = (u8)(i * 3);
	memset(in, 0, sizeof(in));
	assert_int_equal(gvio_request(r->g, 0, out, sizeof(out), in, sizeof(in)), sizeof(in));
	for (unsigned i = 0; i < sizeof(in); i++)
		assert_int_equal(in[i], (u8)(out[i] + 1));
}

static void a_modern_driver_gets_answers_and_one_message_a_queue(void **s)
{
	struct rig *r = *s;

	r->g = gvio_open(r->f, r->d, ALL_FEATURES, 0);
	assert_int_equal(r->t->activated, 1);
	assert_true(r->t->features == (BIT64(VIO_F_VERSION_1) | EVENT_IDX | INDIRECT |
				       BIT64(TOY_FEATURE)));
	gvio_irqs(r->g, 0);
	echo_works(r);
	assert_int_equal(gvio_irqs(r->g, 0), 1);
	assert_int_equal(gvio_irqs(r->g, 1), 0);
	assert_int_equal(gvio_isr(r->g), 0);
	/* the data, the used element and the index were told to the accelerator */
	assert_int_equal(r->f->wrote_map[r->g->q[0].used_gpa / PAGE_BYTES], 1);
}

static void a_legacy_driver_gets_answers_with_msix_and_with_intx(void **s)
{
	struct rig *r = *s;

	r->g = gvio_open(r->f, r->d, ALL_FEATURES, GVIO_LEGACY);
	assert_true(r->t->features == (ALL_FEATURES));
	echo_works(r);
	assert_int_equal(gvio_irqs(r->g, 0), 1);
	gvio_close(r->g);

	fake_cfg_wr(r->f, r->d, fake_cap(r->f, r->d, 0x11, 0) + 2, 0, 2);
	r->g = gvio_open(r->f, r->d, 0, GVIO_LEGACY | GVIO_INTX);
	gvio_isr(r->g);
	gvio_irqs(r->g, 0);
	echo_works(r);
	assert_int_equal(gvio_irqs(r->g, 0), 1);
	assert_int_equal(fake_cfg_rd(r->f, r->d, 6, 2) & 8, 8);
	assert_int_equal(gvio_isr(r->g), 1);
	assert_int_equal(gvio_isr(r->g), 0);
	assert_int_equal(fake_cfg_rd(r->f, r->d, 6, 2) & 8, 0);
}

static void rings_and_buffers_may_lie_above_4_gib(void **s)
{
	struct rig *r = *s;

	r->g = gvio_open(r->f, r->d, 0, GVIO_HIGH);
	assert_true(r->g->q[0].desc_gpa >= FAKE_HIGH_GPA);
	echo_works(r);
}

static void modern_without_msix_uses_the_line(void **s)
{
	struct rig *r = *s;

	r->g = gvio_open(r->f, r->d, 0, GVIO_INTX);
	gvio_isr(r->g);
	gvio_irqs(r->g, 0);
	echo_works(r);
	assert_int_equal(gvio_irqs(r->g, 0), 1);
	assert_int_equal(gvio_isr(r->g), 1);
	vio_config_changed(&r->t->v);
	assert_int_equal(gvio_isr(r->g), 3);
}

static void ids_and_interfaces_follow_the_options(void **s)
{
	static const struct {
		const char *opts;
		u16 device, revision;
		bool io, caps;
	} row[] = {
		{ NULL, 0x1030, 0, true, true },
		{ "disable-legacy", 0x106a, 1, false, true },
		{ "x=1,disable-legacy=on,", 0x106a, 1, false, true },
		{ "disable-modern", 0x1030, 0, true, false },
		{ "disable-modern=off,disable-legacy=off", 0x1030, 0, true, true },
	};

	for (unsigned i = 0; i < ARRAY_LEN(row); i++) {
		struct rig *r = rig_make(row[i].opts);

		assert_int_equal(fake_cfg_rd(r->f, r->d, 0, 4), (u32)row[i].device << 16 | 0x1af4);
		assert_int_equal(fake_cfg_rd(r->f, r->d, 8, 1), row[i].revision);
		assert_int_equal(fake_cfg_rd(r->f, r->d, 0x2c, 4), 42u << 16 | 0x1af4);
		assert_int_equal(fake_cfg_rd(r->f, r->d, 0x10, 4) & 1, row[i].io);
		assert_int_equal(fake_cap(r->f, r->d, 9, 4) != 0, row[i].caps);
		assert_int_equal(fake_cfg_rd(r->f, r->d, fake_cap(r->f, r->d, 0x11, 0) + 2, 2), 2);
		void *p = r;
		rig_teardown(&p);
	}
	(void)s;
}

static void impossible_options_are_refused_with_words(void **s)
{
	static const char *const bad[] = {
		"disable-legacy,disable-modern", "disable-legacy=maybe", "vectors=", "vectors=66",
		"vectors=-1", "vectors=2x",
	};
	struct rig *r = *s;
	struct hk_err err;

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		err.text[0] = 0;
		assert_null(fake_dev_of(r->f, &toy_class, 4, bad[i], &err));
		assert_memory_equal(err.text, "toy: ", 5);
	}
}

static void other_options_stay_as_they_were(void **s)
{
	static const char *const row[][2] = {
		{ "", "" },
		{ "a,disable-legacy,b=disable-modern", "a,b=disable-modern" },
		{ ",,mac=1", ",,mac=1" },
		{ "vectors=3", NULL },
		{ "vectors=3,", "" },
		{ "disable-legacyx,x", "disable-legacyx,x" },
	};

	for (unsigned i = 0; i < ARRAY_LEN(row); i++) {
		struct toy t = { 0 };
		struct rig *r = *s;
		char *rest;

		t.v.dev.env = &r->f->env;
		assert_int_equal(vio_init(&t.v, &toy_vio, row[i][0], &rest, NULL), 0);
		if (row[i][1])
			assert_string_equal(rest, row[i][1]);
		else
			assert_null(rest);
		free(rest);
		vio_fini(&t.v.dev);
	}
}

static void without_msix_there_is_msi(void **s)
{
	struct fake *f = fake_new_flags(DEV_ENV_MSI_ONLY);
	struct dev *d = fake_dev_of(f, &toy_class, 3, NULL, NULL);
	struct rig r = { .f = f, .d = d, .t = toy_of(vio_of(d)) };
	unsigned cap = fake_cap(f, d, 5, 0);

	assert_int_equal(fake_cap(f, d, 0x11, 0), 0);
	r.g = gvio_open(f, d, 0, GVIO_LEGACY);
	assert_false(r.g->msix);
	fake_cfg_wr(f, d, cap + 4, 0xfee00000, 4);
	fake_cfg_wr(f, d, cap + 12, 9, 2);
	fake_cfg_wr(f, d, cap + 2, 1, 2);
	echo_works(&r);
	assert_int_equal(atomic_load(&f->msi[9]), 1);
	assert_int_equal(gvio_isr(r.g), 1);
	gvio_close(r.g);
	fake_dev_free(d);
	fake_free(f);
	(void)s;
}

static void configuration_is_read_in_any_width_and_moves_with_msix(void **s)
{
	struct rig *r = *s;

	r->g = gvio_open(r->f, r->d, 0, 0);
	assert_int_equal(r->g->device_len, 16);
	assert_int_equal(gvio_config(r->g, 0, 4), 0x04030201);
	assert_int_equal(gvio_config(r->g, 6, 2), 0x0807);
	assert_int_equal(gvio_config(r->g, 15, 1), 16);
	assert_int_equal(gvio_config(r->g, 16, 4), 0);
	gvio_close(r->g);
	/* MSI-X is still on: the configuration is at 24 */
	r->g = gvio_open(r->f, r->d, 0, GVIO_LEGACY);
	assert_int_equal(gvio_config(r->g, 0, 4), 0x04030201);
	fake_cfg_wr(r->f, r->d, fake_cap(r->f, r->d, 0x11, 0) + 2, 0, 2);
	r->g->msix = false;
	assert_int_equal(gvio_config(r->g, 0, 4), 0x04030201);
}

static void the_device_decides_what_is_written_to_its_configuration(void **s)
{
	struct rig *r = *s;
	u32 gen;

	r->g = gvio_open(r->f, r->d, 0, 0);
	gen = gvio_generation(r->g);
	gvio_config_write(r->g, 0, 0xffffffff, 4);
	assert_int_equal(gvio_config(r->g, 0, 4), 0x04030201);
	assert_int_equal(gvio_generation(r->g), gen);
	gvio_config_write(r->g, 8, 0xaabbccdd, 4);
	assert_int_equal(gvio_config(r->g, 8, 4), 0xaabbccdd);
	assert_int_not_equal(gvio_generation(r->g), gen);
	gvio_config_write(r->g, 14, 0x12345678, 4); /* the upper half is beyond the end */
	gvio_config_write(r->g, 16, 1, 4);
	gvio_config_write(r->g, 4000, 1, 1);
	assert_int_equal(gvio_config(r->g, 12, 4), 0x56780e0d);
}

static void a_changed_configuration_interrupts_only_who_is_ready(void **s)
{
	struct rig *r = *s;
	u8 b = 99;

	r->g = gvio_open(r->f, r->d, 0, GVIO_NO_START);
	vio_config_changed(&r->t->v);
	assert_int_equal(gvio_irqs(r->g, GVIO_CONFIG_IRQ), 0);
	gvio_set_status(r->g, 15);
	vio_config_set(&r->t->v, 0, &b, 1);
	vio_config_changed(&r->t->v);
	assert_int_equal(gvio_irqs(r->g, GVIO_CONFIG_IRQ), 1);
	assert_int_equal(gvio_config(r->g, 0, 1), 99);
}

static void features_are_taken_only_when_offered_and_liked(void **s)
{
	static const struct { u64 accept; bool ok; } row[] = {
		{ BIT64(VIO_F_VERSION_1), true },
		{ BIT64(VIO_F_VERSION_1) | BIT64(TOY_FEATURE), true },
		{ 0, false },				    /* a modern driver must */
		{ BIT64(VIO_F_VERSION_1) | BIT64(9), false }, /* not offered */
		{ BIT64(VIO_F_VERSION_1) | BIT64(TOY_REFUSE), false },
	};
	struct rig *r = *s;

	r->g = gvio_probe(r->f, r->d, 0);
	for (unsigned i = 0; i < ARRAY_LEN(row); i++) {
		gvio_set_status(r->g, 0);
		gvio_set_status(r->g, 3);
		gvio_accept(r->g, row[i].accept);
		gvio_set_status(r->g, 11);
		assert_int_equal(gvio_status(r->g), row[i].ok ? 11 : 3);
	}
	/* features are fixed once they were taken */
	gvio_set_status(r->g, 0);
	gvio_set_status(r->g, 3);
	gvio_accept(r->g, BIT64(VIO_F_VERSION_1));
	gvio_set_status(r->g, 11);
	gvio_accept(r->g, BIT64(VIO_F_VERSION_1) | BIT64(TOY_FEATURE));
	gvio_set_status(r->g, 15);
	assert_int_equal(r->t->activated, 1);
	assert_true(r->t->v.acked == BIT64(VIO_F_VERSION_1));
}

static void a_legacy_driver_may_use_the_device_before_it_says_so(void **s)
{
	struct rig *r = *s;

	r->g = gvio_open(r->f, r->d, 0, GVIO_LEGACY | GVIO_NO_START);
	assert_int_equal(r->t->activated, 0);
	echo_works(r);
	assert_int_equal(r->t->activated, 1);
	gvio_set_status(r->g, 7);
	assert_int_equal(r->t->activated, 1);
	echo_works(r);
}

static void what_was_queued_before_driver_ok_is_served_then(void **s)
{
	struct rig *r = *s;
	struct gseg seg = { 0, 8, true };

	r->g = gvio_open(r->f, r->d, 0, GVIO_NO_START);
	seg.gpa = fake_alloc(r->f, 8, 8);
	gvq_add(r->g, 0, &seg, 1);
	gvio_kick(r->g, 0); /* too early for a modern driver: nothing may happen */
	fake_step(r->f);
	assert_int_equal(gvq_get(r->g, 0, NULL), -1);
	gvio_set_status(r->g, 15);
	fake_step(r->f);
	assert_true(gvq_get(r->g, 0, NULL) >= 0);
}

static void reset_in_flight_lets_nothing_be_written_after(void **s)
{
	struct rig *r = *s;
	struct gseg seg[2] = { { 0, 8, false }, { 0, 8, true } };
	u8 zero[8] = { 0 };
	gpa_t in;

	for (unsigned complete = 0; complete < 2; complete++) {
		r->t->complete_on_deactivate = complete;
		r->g = gvio_open(r->f, r->d, 0, 0);
		seg[0].gpa = fake_alloc(r->f, 8, 8);
		in = seg[1].gpa = fake_alloc(r->f, 8, 8);
		gvq_add(r->g, 1, seg, 2);
		gvio_kick(r->g, 1);
		fake_step(r->f);
		assert_int_equal(r->t->held, 1);
		assert_int_equal(vq_in_flight(&r->t->v.q[1]), 1);
		gvio_set_status(r->g, 0);
		assert_int_equal(gvio_status(r->g), 0);
		assert_int_equal(r->t->held, 0);
		assert_int_equal(vq_in_flight(&r->t->v.q[1]), 0);
		assert_int_equal(gvq_get(r->g, 1, NULL) >= 0, complete);
		/* memory is the guest's again: kicks of old do nothing */
		memset(fake_ptr(r->f, r->g->q[0].desc_gpa, 8192), 0xff, 8192);
		gvio_kick(r->g, 0);
		gvio_kick(r->g, 1);
		fake_step(r->f);
		assert_memory_equal(fake_ptr(r->f, in, 8), zero, 8);
		assert_int_equal(gvio_status(r->g), 0);
		gvio_close(r->g);
	}
	r->g = gvio_open(r->f, r->d, ALL_FEATURES, 0);
	echo_works(r);
}

static void reset_is_safe_in_every_state(void **s)
{
	struct rig *r = *s;

	for (unsigned state = 0; state < 5; state++) {
		struct gvio *g = gvio_probe(r->f, r->d, 0);

		gvio_set_status(g, 0);
		if (state > 0)
			gvio_set_status(g, 1);
		if (state > 1)
			gvio_set_status(g, 3);
		if (state > 2) {
			gvio_accept(g, BIT64(VIO_F_VERSION_1));
			gvio_set_status(g, 11);
		}
		if (state > 3) {
			gvio_queue_setup(g, 0, 0);
			gvio_set_status(g, 15);
		}
		gvio_set_status(g, 0);
		assert_int_equal(gvio_status(g), 0);
		gvio_close(g);
	}
	assert_int_equal(r->t->activated, r->t->deactivated);
	r->g = gvio_open(r->f, r->d, 0, 0);
	echo_works(r);
	r->d->cls->reset(r->d, DEV_RESET_WARM);
	assert_int_equal(gvio_status(r->g), 0);
	assert_int_equal(r->t->activated, r->t->deactivated);
}

static void stopped_devices_rest_and_go_on_where_they_were(void **s)
{
	struct rig *r = *s;
	struct gseg seg = { 0, 8, true };

	r->g = gvio_open(r->f, r->d, 0, 0);
	echo_works(r);
	r->d->cls->stop(r->d);
	r->d->cls->stop(r->d);
	assert_int_equal(r->t->deactivated, 1);
	seg.gpa = fake_alloc(r->f, 8, 8);
	gvq_add(r->g, 0, &seg, 1);
	gvio_kick(r->g, 0);
	fake_step(r->f);
	assert_int_equal(gvq_get(r->g, 0, NULL), -1);
	r->d->cls->start(r->d);
	fake_step(r->f);
	assert_true(gvq_get(r->g, 0, NULL) >= 0);
	echo_works(r);
}

static void a_queue_can_be_smaller_and_is_fixed_once_enabled(void **s)
{
	struct rig *r = *s;

	r->g = gvio_probe(r->f, r->d, 0);
	gvio_set_status(r->g, 0);
	gvio_set_status(r->g, 3);
	gvio_accept(r->g, BIT64(VIO_F_VERSION_1));
	gvio_set_status(r->g, 11);
	assert_int_equal(gvio_queue_size(r->g, 0), 16);
	assert_int_equal(gvio_queue_size(r->g, 2), 0);
	gvio_queue_setup(r->g, 0, 4);
	assert_int_equal(gvio_queue_size(r->g, 0), 4);
	gvio_queue_raw(r->g, 0, 8, 0, 0, 0);
	assert_int_equal(gvio_queue_size(r->g, 0), 4);
	gvio_set_status(r->g, 15);
	for (unsigned i = 0; i < 11; i++)
		echo_works(r);
	/* another one after DRIVER_OK */
	gvio_queue_setup(r->g, 1, 8);
	gvio_kick(r->g, 1);
	assert_int_equal(r->t->v.q[1].size, 8);
}

static void impossible_queue_addresses_ask_for_a_reset(void **s)
{
	static const gpa_t row[][3] = {
		{ 0x100001, 0x101000, 0x102000 }, { 0x100000, 0x101001, 0x102000 },
		{ 0x100000, 0x101000, 0x102002 }, { 0xc0000000, 0x101000, 0x102000 },
		{ 0x100000, ~0ull & ~1ull, 0x102000 }, { 0x100000, 0x101000, 0xfffffc },
		{ FAKE_LOW_BYTES - 16, 0x101000, 0x102000 },
	};
	struct rig *r = *s;

	for (unsigned i = 0; i < ARRAY_LEN(row); i++) {
		r->g = gvio_open(r->f, r->d, 0, GVIO_NO_START);
		gvio_set_status(r->g, 0);
		gvio_set_status(r->g, 3);
		gvio_accept(r->g, BIT64(VIO_F_VERSION_1));
		gvio_set_status(r->g, 11);
		gvio_queue_raw(r->g, 0, 16, row[i][0], row[i][1], row[i][2]);
		gvio_set_status(r->g, 15);
		assert_int_equal(gvio_status(r->g), 15 | VIO_S_NEEDS_RESET);
		gvio_kick(r->g, 0);
		fake_step(r->f);
		gvio_close(r->g);
	}
	r->g = gvio_open(r->f, r->d, 0, 0);
	assert_int_equal(gvio_status(r->g), 15);
	echo_works(r);
}

static void registers_can_be_reached_through_configuration_space(void **s)
{
	struct rig *r = *s;
	unsigned cap = 0, i;

	for (i = 0; (cap = fake_cap(r->f, r->d, 9, i)); i++)
		if (fake_cfg_rd(r->f, r->d, cap + 3, 1) == 5)
			break;
	assert_int_not_equal(cap, 0);
	fake_cfg_wr(r->f, r->d, cap + 4, 4, 1);
	fake_cfg_wr(r->f, r->d, cap + 8, 20, 4); /* device_status */
	fake_cfg_wr(r->f, r->d, cap + 12, 1, 4);
	fake_cfg_wr(r->f, r->d, cap + 16, 3, 1);
	assert_int_equal(fake_cfg_rd(r->f, r->d, cap + 16, 1), 3);
	assert_int_equal(atomic_load(&r->t->v.status), 3);
	fake_cfg_wr(r->f, r->d, cap + 8, 0x2000, 4);
	fake_cfg_wr(r->f, r->d, cap + 12, 4, 4);
	assert_int_equal(fake_cfg_rd(r->f, r->d, cap + 16, 4), 0x04030201);
	/* nonsense goes nowhere */
	fake_cfg_wr(r->f, r->d, cap + 12, 3, 4);
	fake_cfg_wr(r->f, r->d, cap + 16, 1, 4);
	fake_cfg_wr(r->f, r->d, cap + 12, 4, 4);
	fake_cfg_wr(r->f, r->d, cap + 8, 0xfffffffc, 4);
	fake_cfg_wr(r->f, r->d, cap + 16, 1, 4);
	fake_cfg_wr(r->f, r->d, cap + 8, 0, 4);
	fake_cfg_wr(r->f, r->d, cap + 4, 0, 1);
	fake_cfg_wr(r->f, r->d, cap + 16, 1, 4);
	fake_cfg_rd(r->f, r->d, cap + 16, 4);
	assert_int_equal(atomic_load(&r->t->v.status), 3);
}

static void impossible_vectors_read_back_as_none(void **s)
{
	struct rig *r = *s;

	r->g = gvio_open(r->f, r->d, 0, 0);
	fake_mmio_wr(r->f, r->g->common + 16, 3, 2);
	assert_int_equal(fake_mmio_rd(r->f, r->g->common + 16, 2), 0xffff);
	fake_mmio_wr(r->f, r->g->common + 16, 2, 2);
	assert_int_equal(fake_mmio_rd(r->f, r->g->common + 16, 2), 2);
	/* a queue without a vector is silent */
	fake_mmio_wr(r->f, r->g->common + 22, 0, 2);
	fake_mmio_wr(r->f, r->g->common + 26, 0xffff, 2);
	atomic_store(&r->f->msi_total, 0);
	echo_works(r);
	assert_int_equal(atomic_load(&r->f->msi_total), 0);
}

static void interrupts_of_a_masked_vector_wait(void **s)
{
	struct rig *r = *s;
	u64 table;

	r->g = gvio_open(r->f, r->d, 0, 0);
	table = fake_cfg_rd(r->f, r->d, 0x14, 4) & ~0xfu;
	fake_mmio_wr(r->f, table + 16 + 12, 1, 4);
	echo_works(r);
	echo_works(r);
	assert_int_equal(gvio_irqs(r->g, 0), 0);
	assert_int_equal(fake_mmio_rd(r->f, table + 4096, 8), 2);
	fake_mmio_wr(r->f, table + 16 + 12, 0, 4);
	assert_int_equal(gvio_irqs(r->g, 0), 1);
}

static void every_register_survives_any_access(void **s)
{
	struct rig *r = *s;
	u32 x = 12345;

	r->g = gvio_open(r->f, r->d, ALL_FEATURES, 0);
	for (unsigned i = 0; i < 200000; i++) {
		unsigned size = 1u << (x >> 7 & 3), off;
		u64 val = (u64)x * x;

		x = x * 1664525 + 1013904223;
		off = x >> 8;
		if (x & 64)
			val &= 0xff >> (x & 7);
		if (x & 32)
			(x & 16) ? fake_mmio_wr(r->f, r->g->common + (off & 0x3fff), val, size) :
				   fake_mmio_wr(r->f, r->g->common + (off & 0x3f), val, size);
		else if (x & 16)
			fake_mmio_rd(r->f, r->g->common + (off & 0x3f), size);
		else
			fake_pio_wr(r->f, (u16)(0x2000 + (off & 63)), val, size & 7 ? size : 4);
	}
	fake_step(r->f);
	gvio_close(r->g);
	r->g = gvio_open(r->f, r->d, 0, 0);
	echo_works(r);
}

static void dump_shows_queues_and_status(void **s)
{
	struct rig *r = *s;
	struct strbuf b = { 0 };

	r->g = gvio_open(r->f, r->d, 0, 0);
	echo_works(r);
	r->d->cls->dump(r->d, &b);
	assert_non_null(strstr(b.s, "toy 0:3.0: status 0xf"));
	assert_non_null(strstr(b.s, "queue 0: size 16 ready kicks"));
	strbuf_fini(&b);
}

/* ---- several CPUs at once, and the loop on its own thread ---- */

struct storm {
	struct rig *r;
	_Atomic bool stop;
	_Atomic unsigned resets;
};

static void *kicker(void *arg)
{
	struct storm *st = arg;
	struct gvio *g = st->r->g;

	while (!atomic_load(&st->stop)) {
		for (unsigned q = 0; q < 2; q++)
			gvio_kick(g, q);
		gvio_config(g, 0, 4);
		gvio_config_write(g, 8, 5, 4);
		gvio_isr(g);
		gvio_status(g);
	}
	return NULL;
}

static void *resetter(void *arg)
{
	struct storm *st = arg;
	struct gvio *g = st->r->g;

	while (atomic_load(&st->resets) < 300) {
		gvio_set_status(g, 0);
		assert_int_equal(gvio_status(g), 0);
		assert_int_equal(vq_in_flight(&st->r->t->v.q[1]), 0);
		gvio_set_status(g, 3);
		gvio_accept(g, BIT64(VIO_F_VERSION_1));
		gvio_set_status(g, 11);
		for (unsigned q = 0; q < 2; q++)
			gvio_queue_raw(g, q, 16, g->q[q].desc_gpa, g->q[q].avail_gpa,
				       g->q[q].used_gpa);
		gvio_set_status(g, 15);
		atomic_fetch_add(&st->resets, 1);
	}
	return NULL;
}

static void kicks_and_resets_of_several_cpus_do_not_meet(void **s)
{
	struct rig *r = *s;
	struct storm st = { .r = r };
	struct gseg seg = { 0x400000, 4, true };
	pthread_t t[3];

	r->t->complete_on_deactivate = true;
	r->g = gvio_open(r->f, r->d, 0, 0);
	for (unsigned i = 0; i < 8; i++) {
		gvq_add(r->g, 0, &seg, 1);
		gvq_add(r->g, 1, &seg, 1);
	}
	assert_int_equal(loop_start(r->f->loop, "io", NULL), 0);
	for (unsigned i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, i ? kicker : resetter, &st);
	pthread_join(t[0], NULL);
	atomic_store(&st.stop, true);
	pthread_join(t[1], NULL);
	pthread_join(t[2], NULL);
	r->d->cls->stop(r->d);
	loop_stop(r->f->loop);
	assert_int_equal(r->t->activated, r->t->deactivated);
	assert_true(r->t->activated >= 300);
	assert_int_equal(atomic_load(&r->t->v.status) & VIO_S_NEEDS_RESET, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG(a_modern_driver_gets_answers_and_one_message_a_queue),
		RIG(a_legacy_driver_gets_answers_with_msix_and_with_intx),
		RIG(rings_and_buffers_may_lie_above_4_gib),
		RIG(modern_without_msix_uses_the_line),
		cmocka_unit_test(ids_and_interfaces_follow_the_options),
		RIG(impossible_options_are_refused_with_words),
		RIG(other_options_stay_as_they_were),
		cmocka_unit_test(without_msix_there_is_msi),
		RIG(configuration_is_read_in_any_width_and_moves_with_msix),
		RIG(the_device_decides_what_is_written_to_its_configuration),
		RIG(a_changed_configuration_interrupts_only_who_is_ready),
		RIG(features_are_taken_only_when_offered_and_liked),
		RIG(a_legacy_driver_may_use_the_device_before_it_says_so),
		RIG(what_was_queued_before_driver_ok_is_served_then),
		RIG(reset_in_flight_lets_nothing_be_written_after),
		RIG(reset_is_safe_in_every_state),
		RIG(stopped_devices_rest_and_go_on_where_they_were),
		RIG(a_queue_can_be_smaller_and_is_fixed_once_enabled),
		RIG(impossible_queue_addresses_ask_for_a_reset),
		RIG(registers_can_be_reached_through_configuration_space),
		RIG(impossible_vectors_read_back_as_none),
		RIG(interrupts_of_a_masked_vector_wait),
		RIG(every_register_survives_any_access),
		RIG(dump_shows_queues_and_status),
		RIG(kicks_and_resets_of_several_cpus_do_not_meet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
