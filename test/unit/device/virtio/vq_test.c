// SPDX-License-Identifier: BSD-2-Clause
/* Rings: what a driver may do, what it may not, and how both look to a device */
#include "unit/device/virtio/toy.h"

#include <errno.h>

static struct gvio *begin(struct rig *r, u64 features)
{
	return gvio_open(r->f, r->d, features, 0);
}

/* Chains on queue 1 are only held: look at them there */
static struct vq_chain *take(struct rig *r, const struct gseg *seg, unsigned n, bool indirect)
{
	unsigned before = r->t->held;

	assert_true((indirect ? gvq_add_indirect(r->g, 1, seg, n) : gvq_add(r->g, 1, seg, n)) >= 0);
	gvio_kick(r->g, 1);
	fake_step(r->f);
	return r->t->held == before + 1 ? r->t->chain[before] : NULL;
}

static bool broken(struct rig *r)
{
	return gvio_status(r->g) & VIO_S_NEEDS_RESET;
}

static void chains_arrive_with_their_bytes_in_order(void **s)
{
	struct rig *r = *s;
	struct gseg seg[4] = { { 0, 5, false }, { 0, 7, false }, { 0, 3, true }, { 0, 9, true } };
	struct vq_chain *c;
	char text[13] = "hello, world", got[13] = { 0 };

	r->g = begin(r, BIT64(VIO_F_INDIRECT));
	for (unsigned i = 0; i < 4; i++)
		seg[i].gpa = fake_alloc(r->f, seg[i].len, 1);
	memcpy(fake_ptr(r->f, seg[0].gpa, 5), text, 5);
	memcpy(fake_ptr(r->f, seg[1].gpa, 7), text + 5, 7);
	for (unsigned indirect = 0; indirect < 2; indirect++) {
		c = take(r, seg, 4, indirect);
		assert_non_null(c);
		assert_int_equal(c->num_out, 2);
		assert_int_equal(c->num_in, 2);
		assert_int_equal(c->out_len, 12);
		assert_int_equal(c->in_len, 12);
		assert_null(c->data);
		assert_int_equal(vq_read(c, 0, got, 13), 12);
		assert_string_equal(got, text);
		assert_int_equal(vq_read(c, 4, got, 3), 3);
		assert_memory_equal(got, "o, ", 3);
		assert_int_equal(vq_read(c, 12, got, 3), 0);
		assert_int_equal(vq_write(c, 2, "abcdef", 6), 6);
		assert_memory_equal(fake_ptr(r->f, seg[2].gpa, 3), "\0\0a", 3);
		assert_memory_equal(fake_ptr(r->f, seg[3].gpa, 6), "bcdef\0", 6);
		assert_int_equal(vq_write_zero(c, 1, 100), 11);
		assert_memory_equal(fake_ptr(r->f, seg[3].gpa, 6), "\0\0\0\0\0\0", 6);
	}
}

static void a_buffer_may_straddle_nothing_but_ram(void **s)
{
	static const struct gseg row[] = {
		{ FAKE_LOW_BYTES - 8, 16, false },
		{ FAKE_LOW_BYTES - 8, 16, true },
		{ 0xc0000000, 4, true },	      /* device memory */
		{ ~0ull - 3, 8, false },	      /* wraps */
		{ ~0ull - 3, 8, true },
		{ 0x2000000, 0xffffffff, false },
		{ 0x200000, 0, true },		      /* no bytes */
		{ 0x200000, 0, false },
	};
	struct rig *r = *s;

	for (unsigned i = 0; i < ARRAY_LEN(row); i++) {
		u64 mark = r->f->alloc_at;

		r->g = begin(r, 0);
		assert_null(take(r, &row[i], 1, false));
		assert_true(broken(r));
		assert_true(gvio_irqs(r->g, GVIO_CONFIG_IRQ) >= 1);
		assert_int_equal(gvq_get(r->g, 1, NULL), -1);
		gvio_close(r->g);
		fake_release(r->f, mark);
	}
	r->g = begin(r, 0);
	assert_false(broken(r));
}

/* Descriptors of the test's own making on queue 1 */
static bool breaks(struct rig *r, const struct gdesc *d, unsigned n, u16 head, u64 features)
{
	u64 mark = r->f->alloc_at;
	struct gvq *q;
	bool bad;

	gvio_close(r->g);
	r->t->held = 0;
	r->g = begin(r, features);
	q = &r->g->q[1];
	memcpy(q->desc, d, n * sizeof(*d));
	store_le16(q->avail + 4, head);
	store_le16(q->avail + 2, 1);
	gvio_kick(r->g, 1);
	fake_step(r->f);
	bad = broken(r);
	assert_int_equal(r->t->v.q[1].broken, bad);
	assert_int_equal(r->t->held, !bad);
	fake_release(r->f, mark);
	return bad;
}

static struct gdesc desc(u64 addr, u32 len, u16 flags, u16 next)
{
	return (struct gdesc){ le64_of(addr), le32_of(len), le16_of(flags), le16_of(next) };
}

static void nonsense_in_the_descriptor_table_breaks_the_queue(void **s)
{
	struct rig *r = *s;
	u64 ram = 0x400000, ind = BIT64(VIO_F_INDIRECT);
	struct gdesc d[16];

	memset(d, 0, sizeof(d));
	d[0] = desc(ram, 4, 0, 0);
	assert_false(breaks(r, d, 16, 0, 0));
	/* heads and links */
	assert_true(breaks(r, d, 16, 16, 0));
	assert_true(breaks(r, d, 16, 0xffff, 0));
	d[0] = desc(ram, 4, GDESC_NEXT, 16);
	assert_true(breaks(r, d, 16, 0, 0));
	d[0] = desc(ram, 4, GDESC_NEXT, 0); /* itself */
	assert_true(breaks(r, d, 16, 0, 0));
	d[0] = desc(ram, 4, GDESC_NEXT, 1);
	d[1] = desc(ram, 4, GDESC_NEXT, 0);
	assert_true(breaks(r, d, 16, 0, 0));
	/* readable behind writable */
	d[0] = desc(ram, 4, GDESC_IN | GDESC_NEXT, 1);
	d[1] = desc(ram, 4, 0, 0);
	assert_true(breaks(r, d, 16, 0, 0));
	/* indirect: not negotiated, bad lengths, going on, nested, not in RAM */
	d[0] = desc(ram, 16, GDESC_INDIRECT, 0);
	*(struct gdesc *)fake_ptr(r->f, ram, 16) = desc(ram, 4, 0, 0);
	assert_true(breaks(r, d, 16, 0, 0));
	assert_false(breaks(r, d, 16, 0, ind));
	d[0] = desc(ram, 0, GDESC_INDIRECT, 0);
	assert_true(breaks(r, d, 16, 0, ind));
	d[0] = desc(ram, 17, GDESC_INDIRECT, 0);
	assert_true(breaks(r, d, 16, 0, ind));
	d[0] = desc(ram, 16 * 1025, GDESC_INDIRECT, 0);
	assert_true(breaks(r, d, 16, 0, ind));
	d[0] = desc(ram, 16, GDESC_INDIRECT | GDESC_NEXT, 1);
	assert_true(breaks(r, d, 16, 0, ind));
	d[0] = desc(0xc0000000, 16, GDESC_INDIRECT, 0);
	assert_true(breaks(r, d, 16, 0, ind));
	d[0] = desc(~0ull - 15, 32, GDESC_INDIRECT, 0);
	assert_true(breaks(r, d, 16, 0, ind));
	d[0] = desc(ram, 16, GDESC_INDIRECT, 0);
	*(struct gdesc *)fake_ptr(r->f, ram, 16) = desc(ram, 16, GDESC_INDIRECT, 0);
	assert_true(breaks(r, d, 16, 0, ind));
	*(struct gdesc *)fake_ptr(r->f, ram, 16) = desc(ram, 4, GDESC_NEXT, 1);
	assert_true(breaks(r, d, 16, 0, ind));
	/* an ordinary one in front of a table is allowed */
	*(struct gdesc *)fake_ptr(r->f, ram, 16) = desc(ram, 4, GDESC_IN, 0);
	d[0] = desc(ram, 4, GDESC_NEXT, 1);
	d[1] = desc(ram, 16, GDESC_INDIRECT, 0);
	assert_false(breaks(r, d, 16, 0, ind));
	assert_int_equal(r->t->chain[0]->num_out, 1);
	assert_int_equal(r->t->chain[0]->num_in, 1);
}

static void four_gib_in_one_direction_are_too_much(void **s)
{
	struct rig *r = *s;
	u32 len = FAKE_LOW_BYTES;
	unsigned n = 300;
	struct gdesc d[16], *t = fake_ptr(r->f, 0x100000, n * 16);

	for (unsigned i = 0; i < n; i++)
		t[i] = desc(0, len, GDESC_IN | GDESC_NEXT, (u16)(i + 1));
	t[n - 1] = desc(0, len, GDESC_IN, 0);
	memset(d, 0, sizeof(d));
	d[0] = desc(0x100000, n * 16, GDESC_INDIRECT, 0);
	r->f->alloc_at = 0x200000;
	assert_true(breaks(r, d, 16, 0, BIT64(VIO_F_INDIRECT)));
	d[0] = desc(0x100000 + (n - 255) * 16, 255 * 16, GDESC_INDIRECT, 0);
	for (unsigned i = 0; i < 254; i++)
		t[n - 255 + i] = desc(0, len, GDESC_IN | GDESC_NEXT, (u16)(i + 1));
	assert_false(breaks(r, d, 16, 0, BIT64(VIO_F_INDIRECT)));
	assert_int_equal(r->t->chain[0]->in_len, 255 * len);
}

static void an_index_that_jumps_breaks_the_queue(void **s)
{
	struct rig *r = *s;

	r->g = begin(r, 0);
	store_le16(r->g->q[1].avail + 2, 17);
	gvio_kick(r->g, 1);
	fake_step(r->f);
	assert_true(broken(r));
	assert_int_equal(r->t->held, 0);
	assert_int_equal(r->t->v.breaks, 1);
}

static void a_head_that_is_out_breaks_the_queue(void **s)
{
	struct rig *r = *s;
	struct gseg seg = { 0x400000, 4, true };

	r->g = begin(r, 0);
	assert_non_null(take(r, &seg, 1, false));
	store_le16(r->g->q[1].avail + 6, 0);
	store_le16(r->g->q[1].avail + 2, 2);
	gvio_kick(r->g, 1);
	fake_step(r->f);
	assert_true(broken(r));
	assert_int_equal(r->t->held, 1);
	/* what is out may still be given back, and goes nowhere */
	toy_complete(r->t);
	assert_int_equal(gvq_get(r->g, 1, NULL), -1);
}

static void requests_come_back_in_any_order(void **s)
{
	struct rig *r = *s;
	struct vq_chain *c[3];
	struct gseg seg = { 0x400000, 64, true };
	u32 written;
	int head[3];

	r->g = begin(r, 0);
	for (unsigned i = 0; i < 3; i++) {
		c[i] = take(r, &seg, 1, false);
		head[i] = c[i]->head;
	}
	for (int i = 2; i >= 0; i--)
		vq_push(&r->t->v.q[1], c[i], (u32)i);
	for (int i = 2; i >= 0; i--) {
		assert_int_equal(gvq_get(r->g, 1, &written), head[i]);
		assert_int_equal(written, i);
	}
	/* more than fits is cut: the driver trusts this number */
	c[0] = take(r, &seg, 1, false);
	r->t->held = 0;
	vq_push(&r->t->v.q[1], c[0], 1000);
	gvq_get(r->g, 1, &written);
	assert_int_equal(written, 64);
	/* and twice is once */
	vq_push(&r->t->v.q[1], c[0], 1000);
	assert_int_equal(gvq_get(r->g, 1, &written), -1);
}

static void frames_of_several_chains_appear_together(void **s)
{
	struct rig *r = *s;
	struct gseg seg = { 0x400000, 64, true };
	struct vq_chain *a, *b;

	r->g = begin(r, 0);
	a = take(r, &seg, 1, false);
	b = take(r, &seg, 1, false);
	gvio_irqs(r->g, 1);
	vq_fill(&r->t->v.q[1], a, 1);
	vq_fill(&r->t->v.q[1], b, 1);
	vq_signal(&r->t->v.q[1]);
	assert_int_equal(gvq_get(r->g, 1, NULL), -1);
	assert_int_equal(gvio_irqs(r->g, 1), 0);
	vq_publish(&r->t->v.q[1]);
	vq_signal(&r->t->v.q[1]);
	assert_int_equal(gvio_irqs(r->g, 1), 1);
	assert_true(gvq_get(r->g, 1, NULL) >= 0);
	assert_true(gvq_get(r->g, 1, NULL) >= 0);
}

static void a_chain_can_be_put_back(void **s)
{
	struct rig *r = *s;
	struct gseg seg = { 0x400000, 64, true };
	struct vq *q = &r->t->v.q[1];
	struct vq_chain *a, *b;
	u16 head;

	r->g = begin(r, 0);
	a = take(r, &seg, 1, false);
	b = take(r, &seg, 1, false);
	head = a->head;
	vq_unpop(q, b);
	vq_unpop(q, a);
	assert_int_equal(vq_avail(q), 2);
	assert_int_equal(vq_in_flight(q), 0);
	a = vq_pop(q);
	assert_int_equal(a->head, head);
}

static void interrupts_follow_the_drivers_wish(void **s)
{
	struct rig *r = *s;
	struct gseg seg = { 0x400000, 4, true };

	r->g = begin(r, 0);
	gvio_irqs(r->g, 1);
	gvq_no_interrupt(r->g, 1, true);
	take(r, &seg, 1, false);
	toy_complete(r->t);
	assert_int_equal(gvio_irqs(r->g, 1), 0);
	gvq_no_interrupt(r->g, 1, false);
	vq_signal(&r->t->v.q[1]); /* nothing new */
	assert_int_equal(gvio_irqs(r->g, 1), 0);
	take(r, &seg, 1, false);
	toy_complete(r->t);
	assert_int_equal(gvio_irqs(r->g, 1), 1);
	gvio_close(r->g);

	r->g = begin(r, BIT64(VIO_F_EVENT_IDX));
	gvq_set_used_event(r->g, 1, 2); /* at the third */
	gvio_irqs(r->g, 1);
	for (unsigned i = 0; i < 8; i++) {
		take(r, &seg, 1, false);
		toy_complete(r->t);
		assert_int_equal(gvio_irqs(r->g, 1), i == 2);
		gvq_get(r->g, 1, NULL);
	}
	/* several at once, the wanted one among them */
	gvq_set_used_event(r->g, 1, 9);
	for (unsigned i = 0; i < 4; i++)
		take(r, &seg, 1, false);
	toy_complete(r->t);
	assert_int_equal(gvio_irqs(r->g, 1), 1);
}

static void kicks_follow_the_devices_wish(void **s)
{
	static const u64 features[] = { 0, BIT64(VIO_F_EVENT_IDX) };
	struct rig *r = *s;
	struct gseg seg = { 0x400000, 4, true };
	struct vq *q = &r->t->v.q[1];
	u16 old;

	for (unsigned i = 0; i < 2; i++) {
		r->g = begin(r, features[i]);
		old = r->g->q[1].avail_idx;
		gvq_add(r->g, 1, &seg, 1);
		assert_true(gvq_wants_kick(r->g, 1, old));
		gvio_kick(r->g, 1);
		fake_step(r->f);
		vq_kicks_off(q);
		old = r->g->q[1].avail_idx;
		gvq_add(r->g, 1, &seg, 1);
		if (!i) /* with EVENT_IDX the first after a wish still kicks */
			assert_false(gvq_wants_kick(r->g, 1, old));
		assert_true(vq_kicks_on(q)); /* there is one that nobody kicked for */
		while (vq_pop(q))
			;
		vq_kicks_off(q);
		assert_false(vq_kicks_on(q));
		old = r->g->q[1].avail_idx;
		gvq_add(r->g, 1, &seg, 1);
		assert_true(gvq_wants_kick(r->g, 1, old));
		gvio_close(r->g);
	}
	r->g = NULL;
}

static void stores_of_the_device_are_told_before_they_can_be_seen(void **s)
{
	struct rig *r = *s;
	struct gseg seg[2] = { { 0, 3 * 4096, true }, { 0, 4096, true } };
	struct vq_chain *c;
	u64 page;

	r->g = begin(r, 0);
	seg[0].gpa = fake_alloc(r->f, seg[0].len, 4096);
	fake_alloc(r->f, 4096, 4096);
	seg[1].gpa = fake_alloc(r->f, seg[1].len, 4096);
	c = take(r, seg, 2, false);
	page = seg[0].gpa / 4096;
	memset(r->f->wrote_map + page, 0, 6);
	vq_fill(&r->t->v.q[1], c, 2 * 4096 + 1);
	assert_int_equal(r->f->wrote_map[page], 1);
	assert_int_equal(r->f->wrote_map[page + 1], 1);
	assert_int_equal(r->f->wrote_map[page + 2], 1);
	assert_int_equal(r->f->wrote_map[page + 3], 0);
	assert_int_equal(r->f->wrote_map[page + 4], 0);
	assert_int_equal(gvq_get(r->g, 1, NULL), -1);
	vq_publish(&r->t->v.q[1]);
	assert_true(gvq_get(r->g, 1, NULL) >= 0);
	/* the device may have changed its iovecs; what is told are the driver's */
	c = take(r, seg, 2, false);
	c->in[0].iov_len = 0;
	memset(r->f->wrote_map + page, 0, 6);
	vq_push(&r->t->v.q[1], c, 4 * 4096);
	assert_int_equal(r->f->wrote_map[page], 1);
	assert_int_equal(r->f->wrote_map[page + 4], 1);
}

static void indexes_wrap(void **s)
{
	struct rig *r = *s;
	u8 out[4] = { 1, 2, 3, 4 }, in[4];

	r->g = begin(r, BIT64(VIO_F_EVENT_IDX));
	for (unsigned i = 0; i < 70000; i++) {
		gvq_set_used_event(r->g, 0, r->g->q[0].used_seen);
		assert_int_equal(gvio_request(r->g, 0, out, 4, in, 4), 4);
		assert_int_equal(in[3], 5);
	}
	assert_int_equal(gvio_irqs(r->g, 0), 70000);
}

static void pieces_of_iovecs(void **s)
{
	char a[4], b[6], c[2];
	struct iovec v[3] = { { a, 4 }, { b, 6 }, { c, 2 } }, to[3];

	assert_int_equal(iov_bytes(v, 3), 12);
	assert_int_equal(iov_slice(v, 3, 0, 12, to, 3), 3);
	assert_int_equal(iov_slice(v, 3, 5, 2, to, 3), 1);
	assert_ptr_equal(to[0].iov_base, b + 1);
	assert_int_equal(to[0].iov_len, 2);
	assert_int_equal(iov_slice(v, 3, 3, 8, to, 2), -E2BIG);
	assert_int_equal(iov_slice(v, 3, 3, 8, to, 3), 3);
	assert_int_equal(to[0].iov_len, 1);
	assert_int_equal(to[2].iov_len, 1);
	assert_int_equal(iov_slice(v, 3, 12, 8, to, 3), 0);
	assert_int_equal(iov_slice(v, 3, 10, 100, to, 3), 1);
	assert_int_equal(to[0].iov_len, 2);
	/* in place */
	assert_int_equal(iov_slice(v, 3, 4, 7, v, 3), 2);
	assert_ptr_equal(v[0].iov_base, b);
	assert_int_equal(v[1].iov_len, 1);
	(void)s;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG(chains_arrive_with_their_bytes_in_order),
		RIG(a_buffer_may_straddle_nothing_but_ram),
		RIG(nonsense_in_the_descriptor_table_breaks_the_queue),
		RIG(four_gib_in_one_direction_are_too_much),
		RIG(an_index_that_jumps_breaks_the_queue),
		RIG(a_head_that_is_out_breaks_the_queue),
		RIG(requests_come_back_in_any_order),
		RIG(frames_of_several_chains_appear_together),
		RIG(a_chain_can_be_put_back),
		RIG(interrupts_follow_the_drivers_wish),
		RIG(kicks_follow_the_devices_wish),
		RIG(stores_of_the_device_are_told_before_they_can_be_seen),
		RIG(indexes_wrap),
		cmocka_unit_test(pieces_of_iovecs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
