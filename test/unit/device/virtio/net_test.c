// SPDX-License-Identifier: BSD-2-Clause
/* device/virtio/net*.c with a guest's driver on one side and a socket on the other */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "device/virtio/net_int.h"
#include "lib/fake.h"
#include "lib/frames.h"

#define ALL (~0ull)
#define MAC "02:aa:bb:cc:dd:ee"
static const u8 own_mac[6] = { 0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee };

struct rig {
	struct fake *f;
	struct dev *d;
	struct gvio *g;
	int far; /* one datagram, one frame */
	unsigned hdr;
};

static struct rig *rig_open(u64 want, unsigned flags)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct hk_err err = { "" };
	char opts[96];
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, fd), 0);
	snprintf(opts, sizeof(opts), "backend=socket,type=dgram,fd=%d,mac=" MAC ",mtu=1400", fd[0]);
	r->f = fake_new();
	r->d = fake_dev(r->f, "virtio-net", 2, opts, &err);
	if (!r->d)
		fail_msg("%s", err.text);
	close(fd[0]);
	r->far = fd[1];
	r->g = gvio_open(r->f, r->d, want, flags);
	r->hdr = flags & GVIO_LEGACY && !(want >> NET_F_MRG_RXBUF & 1) ? 10 : 12;
	fake_step(r->f);
	return r;
}

static void rig_free(struct rig *r)
{
	gvio_close(r->g);
	fake_dev_free(r->d);
	fake_free(r->f);
	if (r->far >= 0)
		close(r->far);
	free(r);
}

static size_t make_frame(u8 *f, size_t len, u8 with)
{
	memset(f, with, len);
	return frame_eth(f, own_mac, FRAME_TYPE) ? len : 0;
}

/* A receive buffer of @len bytes; where it is */
static gpa_t give(struct rig *r, u32 len)
{
	gpa_t at = fake_alloc(r->f, len, 64);

	assert_true(gvq_add(r->g, NET_Q_RX, &(struct gseg){ at, len, true }, 1) >= 0);
	return at;
}

static void kick(struct rig *r, unsigned q)
{
	gvio_kick(r->g, q);
	fake_step(r->f);
}

static void far_send(struct rig *r, const void *frame, size_t len)
{
	assert_int_equal(send(r->far, frame, len, MSG_DONTWAIT), len);
}

static void pump(struct rig *r)
{
	for (unsigned i = 0; i < 20; i++)
		fake_step(r->f);
}

static int transmit(struct rig *r, const void *frame, size_t len)
{
	gpa_t at = fake_alloc(r->f, r->hdr + len, 16);

	memcpy(fake_ptr(r->f, at + r->hdr, len), frame, len);
	return gvq_add(r->g, NET_Q_TX, &(struct gseg){ at, (u32)(r->hdr + len), false }, 1);
}

/* ---- what the driver sees ---- */

static void the_configuration_says_address_link_and_mtu(void **state)
{
	struct rig *r = rig_open(ALL, 0);

	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(gvio_config(r->g, i, 1), own_mac[i]);
	assert_int_equal(gvio_config(r->g, 6, 2), NET_S_LINK_UP);
	assert_int_equal(gvio_config(r->g, 8, 2), 1);
	assert_int_equal(gvio_config(r->g, 10, 2), 1400);
	assert_true(r->g->offered >> NET_F_MTU & 1);
	/* A back end that knows plain frames only */
	assert_false(r->g->offered >> NET_F_CSUM & 1);
	assert_false(r->g->offered >> NET_F_GUEST_TSO4 & 1);
	assert_int_equal(gvio_queue_size(r->g, NET_Q_RX), 1024);
	rig_free(r);
}

static void user_networking_offers_offloads_unless_told_not_to(void **state)
{
	const u64 all = BIT64(NET_F_CSUM) | BIT64(NET_F_GUEST_CSUM) | BIT64(NET_F_GUEST_TSO4) |
			BIT64(NET_F_GUEST_TSO6) | BIT64(NET_F_HOST_TSO4) | BIT64(NET_F_HOST_TSO6) |
			BIT64(NET_F_CTRL_GUEST_OFFLOADS);
	struct fake *f = fake_new();
	struct dev *d = fake_dev(f, "virtio-net", 2, NULL, NULL), *e;
	struct gvio *g = gvio_probe(f, d, 0), *h;

	assert_int_equal(gvio_offered(g) & all, all);
	e = fake_dev(f, "virtio-net", 3, "offload=off", NULL);
	h = gvio_probe(f, e, 0);
	assert_int_equal(gvio_offered(h) & all, 0);
	gvio_close(g);
	gvio_close(h);
	fake_dev_free(d);
	fake_dev_free(e);
	fake_free(f);
}

/* ---- frames ---- */

static void exchange(u64 want, unsigned flags)
{
	struct rig *r = rig_open(want, flags);
	u8 f[1514], got[1514];
	gpa_t at[8];
	u32 written;

	for (unsigned i = 0; i < 8; i++)
		at[i] = give(r, 1600);
	kick(r, NET_Q_RX);
	for (unsigned i = 0; i < 8; i++) {
		gvq_set_used_event(r->g, NET_Q_RX, r->g->q[NET_Q_RX].used_seen);
		far_send(r, f, make_frame(f, 60 + 200 * i, (u8)i));
		pump(r);
		assert_true(gvq_get(r->g, NET_Q_RX, &written) >= 0);
		assert_int_equal(written, r->hdr + 60 + 200 * i);
		assert_memory_equal(fake_ptr(r->f, at[i] + r->hdr, 60 + 200 * i), f, 60 + 200 * i);
		if (r->hdr == 12)
			assert_int_equal(load_le16(fake_ptr(r->f, at[i] + 10, 2)), 1);
		assert_int_equal(gvio_irqs(r->g, NET_Q_RX), 1);
	}
	for (unsigned i = 0; i < 8; i++) {
		assert_true(transmit(r, f, make_frame(f, 60 + 200 * i, (u8)(i + 50))) >= 0);
		kick(r, NET_Q_TX);
		assert_int_equal(recv(r->far, got, sizeof(got), MSG_DONTWAIT), 60 + 200 * i);
		assert_memory_equal(got, f, 60 + 200 * i);
		assert_true(gvq_get(r->g, NET_Q_TX, &written) >= 0);
		assert_int_equal(written, 0);
	}
	rig_free(r);
}

static void frames_pass_with_a_modern_driver(void **state)
{
	exchange(ALL, 0);
	exchange(0, 0);
	exchange(ALL, GVIO_HIGH);
}

static void frames_pass_with_a_legacy_driver(void **state)
{
	exchange(0, GVIO_LEGACY);
	exchange(BIT64(NET_F_MRG_RXBUF), GVIO_LEGACY);
	exchange(BIT64(NET_F_MRG_RXBUF) | BIT64(VIO_F_EVENT_IDX), GVIO_LEGACY);
}

static void header_and_frame_may_be_cut_anywhere(void **state)
{
	struct rig *r = rig_open(ALL, 0);
	gpa_t at = fake_alloc(r->f, 12 + 300, 16);
	u8 f[300], got[400];

	make_frame(f, 300, 9);
	memcpy(fake_ptr(r->f, at + 12, 300), f, 300);
	for (u32 cut = 1; cut < 311; cut += 7) {
		struct gseg seg[3] = { { at, cut, false }, { at + cut, 1, false },
				       { at + cut + 1, 311 - cut, false } };

		assert_true((cut & 1 ? gvq_add : gvq_add_indirect)(r->g, NET_Q_TX, seg, 3) >= 0);
		kick(r, NET_Q_TX);
		assert_int_equal(recv(r->far, got, sizeof(got), MSG_DONTWAIT), 300);
		assert_memory_equal(got, f, 300);
		gvq_get(r->g, NET_Q_TX, NULL);
	}
	rig_free(r);
}

static void a_large_frame_takes_several_merged_buffers(void **state)
{
	struct rig *r = rig_open(ALL, 0);
	u8 f[1514], got[1600];
	gpa_t at[8];
	size_t have = 0;
	u32 written;

	for (unsigned i = 0; i < 8; i++)
		at[i] = give(r, 400);
	kick(r, NET_Q_RX);
	far_send(r, f, make_frame(f, 1514, 3));
	pump(r);
	for (unsigned i = 0; i < 4; i++) {
		assert_true(gvq_get(r->g, NET_Q_RX, &written) >= 0);
		assert_int_equal(written, i < 3 ? 400 : 12 + 1514 - 1200);
		memcpy(got + have, fake_ptr(r->f, at[i], written), written);
		have += written;
	}
	assert_int_equal(gvq_get(r->g, NET_Q_RX, NULL), -1);
	assert_int_equal(load_le16(got + 10), 4);
	assert_memory_equal(got + 12, f, 1514);
	rig_free(r);
}

static void without_merged_buffers_a_frame_too_large_is_dropped(void **state)
{
	struct rig *r = rig_open(ALL & ~BIT64(NET_F_MRG_RXBUF), 0);
	u8 f[1514];
	u32 written;

	give(r, 400);
	give(r, 1600);
	kick(r, NET_Q_RX);
	far_send(r, f, make_frame(f, 1514, 3));
	pump(r);
	assert_int_equal(gvq_get(r->g, NET_Q_RX, &written), -1);
	far_send(r, f, make_frame(f, 200, 4));
	pump(r);
	assert_true(gvq_get(r->g, NET_Q_RX, &written) >= 0);
	assert_int_equal(written, 212);
	rig_free(r);
}

static void frames_wait_while_the_driver_gives_no_buffers(void **state)
{
	struct rig *r = rig_open(ALL, 0);
	u8 f[1514];
	u32 written;

	for (u8 i = 0; i < 6; i++)
		far_send(r, f, make_frame(f, 100, i));
	pump(r);
	for (u8 i = 0; i < 6; i++) {
		u16 old = r->g->q[NET_Q_RX].avail_idx;
		gpa_t at = give(r, 1600);

		/* A device out of buffers asks to be told of each */
		assert_true(gvq_wants_kick(r->g, NET_Q_RX, old));
		kick(r, NET_Q_RX);
		assert_true(gvq_get(r->g, NET_Q_RX, &written) >= 0);
		assert_int_equal(*(u8 *)fake_ptr(r->f, at + 12 + 50, 1), i);
	}
	rig_free(r);
}

static void a_frame_that_needs_more_buffers_than_there_are_waits_for_them(void **state)
{
	static const u64 want[] = { ALL, ALL & ~BIT64(VIO_F_EVENT_IDX) };

	for (unsigned w = 0; w < ARRAY_LEN(want); w++) {
		struct rig *r = rig_open(want[w], 0);
		u8 f[1514];
		u32 written;
		u16 old;

		give(r, 600);
		give(r, 600);
		kick(r, NET_Q_RX);
		far_send(r, f, make_frame(f, 1514, 3));
		pump(r);
		assert_int_equal(gvq_get(r->g, NET_Q_RX, &written), -1);
		old = r->g->q[NET_Q_RX].avail_idx;
		give(r, 600);
		assert_true(gvq_wants_kick(r->g, NET_Q_RX, old));
		kick(r, NET_Q_RX);
		for (unsigned i = 0; i < 3; i++)
			assert_true(gvq_get(r->g, NET_Q_RX, &written) >= 0);
		rig_free(r);
	}
}

static void a_burst_costs_one_interrupt(void **state)
{
	struct rig *r = rig_open(ALL & ~BIT64(VIO_F_EVENT_IDX), 0);
	u8 f[1514];

	for (unsigned i = 0; i < 64; i++)
		give(r, 1600);
	kick(r, NET_Q_RX);
	for (u8 i = 0; i < 10; i++)
		far_send(r, f, make_frame(f, 100, i));
	pump(r);
	assert_int_equal(gvio_irqs(r->g, NET_Q_RX), 1);
	for (u8 i = 0; i < 10; i++)
		assert_true(gvq_get(r->g, NET_Q_RX, NULL) >= 0);
	for (u8 i = 0; i < 10; i++)
		transmit(r, f, make_frame(f, 100, i));
	kick(r, NET_Q_TX);
	assert_int_equal(gvio_irqs(r->g, NET_Q_TX), 1);
	rig_free(r);
}

static void while_it_has_buffers_no_kick_is_wanted(void **state)
{
	struct rig *r = rig_open(ALL, 0);
	u16 old;

	for (unsigned i = 0; i < 8; i++)
		give(r, 1600);
	kick(r, NET_Q_RX);
	old = r->g->q[NET_Q_RX].avail_idx;
	give(r, 1600);
	assert_false(gvq_wants_kick(r->g, NET_Q_RX, old));
	rig_free(r);
}

static void a_full_back_end_holds_frames_back_and_loses_none(void **state)
{
	struct rig *r = rig_open(ALL, 0);
	u8 f[1514], got[1514];
	unsigned done = 0, sent;

	for (sent = 0; sent < 900; sent++)
		assert_true(transmit(r, f, make_frame(f, 1514, (u8)sent)) >= 0);
	kick(r, NET_Q_TX);
	pump(r);
	while (gvq_get(r->g, NET_Q_TX, NULL) >= 0)
		done++;
	assert_true(done > 0 && done < sent);
	for (unsigned i = 0; i < sent; i++) {
		for (unsigned k = 0; k < 1000 && recv(r->far, got, sizeof(got), MSG_DONTWAIT) < 0; k++)
			fake_step(r->f);
		assert_int_equal(got[100], (u8)i);
	}
	pump(r);
	while (gvq_get(r->g, NET_Q_TX, NULL) >= 0)
		done++;
	assert_int_equal(done, sent);
	rig_free(r);
}

static void frames_of_no_sense_are_given_back(void **state)
{
	struct rig *r = rig_open(ALL, 0);
	gpa_t at = fake_alloc(r->f, 128 << 10, 4096);
	static const u32 lens[] = { 1, 11, 12, 13, 25, 12 + NET_MAX_FRAME + 1, 128 << 10 };
	u8 got[64], f[64];

	for (unsigned i = 0; i < ARRAY_LEN(lens); i++) {
		gvq_add(r->g, NET_Q_TX, &(struct gseg){ at, lens[i], false }, 1);
		kick(r, NET_Q_TX);
		assert_true(gvq_get(r->g, NET_Q_TX, NULL) >= 0);
		assert_int_equal(recv(r->far, got, sizeof(got), MSG_DONTWAIT), -1);
	}
	transmit(r, f, make_frame(f, 60, 1));
	kick(r, NET_Q_TX);
	assert_int_equal(recv(r->far, got, sizeof(got), MSG_DONTWAIT), 60);
	assert_int_equal(gvio_status(r->g) & VIO_S_NEEDS_RESET, 0);
	rig_free(r);
}

static void a_receive_buffer_that_cannot_hold_a_header_breaks_the_queue(void **state)
{
	struct rig *r = rig_open(ALL, 0);
	u8 f[64];

	give(r, 5);
	kick(r, NET_Q_RX);
	far_send(r, f, make_frame(f, 60, 1));
	pump(r);
	assert_true(gvio_status(r->g) & VIO_S_NEEDS_RESET);
	/* A new start heals it */
	gvio_close(r->g);
	r->g = gvio_open(r->f, r->d, ALL, 0);
	give(r, 1600);
	kick(r, NET_Q_RX);
	pump(r);
	far_send(r, f, make_frame(f, 60, 2));
	pump(r);
	assert_true(gvq_get(r->g, NET_Q_RX, NULL) >= 0);
	rig_free(r);
}

/* ---- control queue ---- */

static u8 control(struct rig *r, u8 class, u8 cmd, const void *data, size_t len)
{
	u8 req[1024] = { class, cmd }, ack = 0xff;

	if (len)
		memcpy(req + 2, data, len);
	assert_int_equal(gvio_request(r->g, NET_Q_CTRL, req, (u32)(2 + len), &ack, 1), 1);
	return ack;
}

static bool arrives(struct rig *r, const char *dst)
{
	u8 f[60];
	bool yes;

	make_frame(f, 60, 0);
	memcpy(f, dst, 6);
	far_send(r, f, 60);
	pump(r);
	yes = gvq_get(r->g, NET_Q_RX, NULL) >= 0;
	if (yes) {
		give(r, 1600);
		kick(r, NET_Q_RX);
	}
	return yes;
}

static void the_filter_does_what_the_driver_says(void **state)
{
	struct rig *r = rig_open(ALL, 0);
	static const u8 table[] = { 1, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 0, 0, 0, 0x33, 0x33, 0, 0, 0, 1,
				    0x33, 0x33, 0, 0, 0, 2 };
	u8 off = 0, on = 1;

	for (unsigned i = 0; i < 8; i++)
		give(r, 1600);
	kick(r, NET_Q_RX);
	assert_true(arrives(r, "\x02\x09\x09\x09\x09\x09")); /* promiscuous until told */
	assert_int_equal(control(r, 0, 0, &off, 1), 0);
	assert_false(arrives(r, "\x02\x09\x09\x09\x09\x09"));
	assert_true(arrives(r, "\x02\xaa\xbb\xcc\xdd\xee"));
	assert_true(arrives(r, "\xff\xff\xff\xff\xff\xff"));
	assert_false(arrives(r, "\x33\x33\0\0\0\1"));
	assert_int_equal(control(r, 1, 0, table, sizeof(table)), 0);
	assert_true(arrives(r, "\x33\x33\0\0\0\1"));
	assert_false(arrives(r, "\x33\x33\0\0\0\3"));
	assert_true(arrives(r, "\2\2\2\2\2\2"));
	assert_int_equal(control(r, 0, 1, &on, 1), 0);
	assert_true(arrives(r, "\x33\x33\0\0\0\3"));
	assert_int_equal(control(r, 0, 3, &on, 1), 0);
	assert_false(arrives(r, "\x33\x33\0\0\0\1"));
	assert_int_equal(control(r, 0, 5, &on, 1), 0);
	assert_false(arrives(r, "\xff\xff\xff\xff\xff\xff"));
	assert_int_equal(control(r, 0, 4, &on, 1), 0);
	assert_false(arrives(r, "\x02\xaa\xbb\xcc\xdd\xee"));
	assert_int_equal(control(r, 0, 0, &on, 1), 0);
	assert_true(arrives(r, "\x02\x09\x09\x09\x09\x09"));
	rig_free(r);
}

static void the_driver_may_change_the_address_until_it_resets(void **state)
{
	struct rig *r = rig_open(ALL, 0);
	u8 off = 0;

	give(r, 1600);
	kick(r, NET_Q_RX);
	assert_int_equal(control(r, 0, 0, &off, 1), 0);
	assert_int_equal(control(r, 1, 1, "\2\4\4\4\4\4", 6), 0);
	assert_int_equal(gvio_config(r->g, 1, 1), 4);
	assert_true(arrives(r, "\2\4\4\4\4\4"));
	assert_false(arrives(r, "\x02\xaa\xbb\xcc\xdd\xee"));
	gvio_set_status(r->g, 0);
	assert_int_equal(gvio_config(r->g, 1, 1), 0xaa);
	rig_free(r);
}

static void commands_of_no_sense_are_answered_with_an_error(void **state)
{
	struct rig *r = rig_open(ALL, 0);
	u8 big[600] = { 0xff, 0xff, 0xff, 0xff };
	static const u8 two[4] = { 2 };

	assert_int_equal(control(r, 0, 6, big, 1), 1);
	assert_int_equal(control(r, 0, 0, NULL, 0), 1);
	assert_int_equal(control(r, 1, 0, big, 600), 1);
	assert_int_equal(control(r, 1, 0, two, 4), 1);
	assert_int_equal(control(r, 1, 0, big, 3), 1);
	assert_int_equal(control(r, 1, 1, big, 5), 1);
	assert_int_equal(control(r, 1, 1, big, 7), 1);
	assert_int_equal(control(r, 2, 0, big, 2), 1);
	assert_int_equal(control(r, 4, 0, big, 2), 1);
	assert_int_equal(control(r, 5, 0, big, 8), 1); /* not offered */
	assert_int_equal(control(r, 255, 255, NULL, 0), 1);
	rig_free(r);
}

static void a_list_of_too_many_addresses_lets_all_pass(void **state)
{
	struct rig *r = rig_open(ALL, 0);
	u8 table[4 + 6 + 4 + 6 * 100] = { 0 }, off = 0;

	give(r, 1600);
	kick(r, NET_Q_RX);
	assert_int_equal(control(r, 0, 0, &off, 1), 0);
	store_le32(table + 4, 100);
	assert_int_equal(control(r, 1, 0, table, 8 + 600), 0);
	assert_true(arrives(r, "\x33\x33\0\0\0\3"));
	assert_false(arrives(r, "\x02\x09\x09\x09\x09\x09"));
	rig_free(r);
}

/* ---- link, life ---- */

static void a_link_that_goes_down_interrupts(void **state)
{
	struct rig *r = rig_open(ALL, 0);
	u8 f[60];

	gvio_irqs(r->g, GVIO_CONFIG_IRQ);
	close(r->far);
	r->far = -1;
	for (unsigned i = 0; i < 2; i++) {
		/* The first one finds out */
		transmit(r, f, make_frame(f, 60, 1));
		kick(r, NET_Q_TX);
		assert_true(gvq_get(r->g, NET_Q_TX, NULL) >= 0);
		pump(r);
		assert_int_equal(gvio_config(r->g, 6, 2), 0);
		assert_int_equal(gvio_irqs(r->g, GVIO_CONFIG_IRQ), !i);
	}
	rig_free(r);
}

static void after_stop_no_byte_of_the_guest_changes(void **state)
{
	struct rig *r = rig_open(ALL, 0);
	u8 f[60];
	u64 wrote;

	give(r, 1600);
	kick(r, NET_Q_RX);
	r->d->cls->stop(r->d);
	wrote = r->f->wrote_bytes;
	far_send(r, f, make_frame(f, 60, 1));
	pump(r);
	assert_int_equal(r->f->wrote_bytes, wrote);
	assert_int_equal(r->d->cls->start(r->d), 0);
	pump(r);
	assert_true(gvq_get(r->g, NET_Q_RX, NULL) >= 0);
	rig_free(r);
}

static void resets_at_any_moment_do_no_harm(void **state)
{
	struct rig *r = rig_open(ALL, 0);
	u8 f[1514];

	for (unsigned round = 0; round < 30; round++) {
		u64 mark = r->f->alloc_at;

		for (unsigned i = 0; i < round % 5; i++)
			give(r, 600);
		if (round & 1)
			kick(r, NET_Q_RX);
		for (u8 i = 0; i < 5; i++)
			far_send(r, f, make_frame(f, 1000, i));
		for (u8 i = 0; i < round; i++)
			transmit(r, f, make_frame(f, 500, i));
		gvio_kick(r->g, NET_Q_TX);
		if (round & 2)
			pump(r);
		if (round % 3)
			r->d->cls->reset(r->d, DEV_RESET_WARM);
		gvio_close(r->g);
		fake_release(r->f, mark);
		r->g = gvio_open(r->f, r->d, round & 4 ? ALL : 0, round & 8 ? GVIO_LEGACY : 0);
		while (recv(r->far, f, sizeof(f), MSG_DONTWAIT) > 0)
			;
	}
	rig_free(r);
}

/* ---- options ---- */

static bool makes(const char *name, const char *opts, u8 mac[6], const char *uuid, unsigned slot)
{
	struct fake *f = fake_new();
	struct hk_err err = { "" };
	struct dev *d;
	bool ok;

	f->env.uuid = uuid;
	d = fake_dev(f, name, slot, opts, &err);
	ok = d != NULL;
	assert_true(ok || err.text[0]);
	if (d && mac)
		memcpy(mac, ((struct vnet *)vio_of(d))->mac0, 6);
	fake_dev_free(d);
	fake_free(f);
	return ok;
}

static void addresses_come_from_the_uuid_and_the_slot(void **state)
{
	u8 a[6], b[6];

	assert_true(makes("virtio-net", NULL, a, "01234567-89ab-cdef-0123-456789abcdef", 2));
	assert_true(makes("virtio-net", NULL, b, "01234567-89AB-CDEF-0123-456789ABCDEF", 2));
	assert_memory_equal(a, b, 6);
	assert_int_equal(a[0] & 3, 2);
	assert_true(makes("virtio-net", NULL, b, "01234567-89ab-cdef-0123-456789abcdef", 3));
	assert_memory_not_equal(a, b, 6);
	assert_true(makes("virtio-net", NULL, b, "01234567-89ab-cdef-0123-456789abcdee", 2));
	assert_memory_not_equal(a, b, 6);
	/* HyperKit's own for a tap in slot 2 */
	assert_true(makes("virtio-tap", NULL, a, NULL, 2));
	assert_memory_equal(a, "\x00\xa0\x98\x4d\x81\x48", 6);
}

static void hyperkits_spellings_of_the_address_are_read(void **state)
{
	static const char *const good[] = { ",mac=" MAC, "vmnet0,mac=" MAC, "mac=" MAC, "mac=2:AA:bb:cC:dd:ee" };
	u8 mac[6];

	for (unsigned i = 0; i < ARRAY_LEN(good); i++) {
		assert_true(makes("virtio-net", good[i], mac, NULL, 2));
		assert_memory_equal(mac, own_mac, 6);
	}
	assert_true(makes("virtio-tap", "backend=none,mac=" MAC, mac, NULL, 2));
	assert_memory_equal(mac, own_mac, 6);
}

static void options_of_no_sense_are_refused(void **state)
{
	static const char *const bad[][2] = {
		{ "virtio-net", "mac=01:00:00:00:00:00" }, { "virtio-net", "mac=00:00:00:00:00:00" },
		{ "virtio-net", "mac=1:2:3:4:5" }, { "virtio-net", "mac=02:00:00:00:00:00x" },
		{ "virtio-net", "mtu=67" }, { "virtio-net", "mtu=65536" }, { "virtio-net", "backend=carrier" },
		{ "virtio-net", "hostfwd=x" }, { "virtio-net", "bogus=1" }, { "virtio-net", "pcap=/nowhere/x" },
		{ "virtio-net", "backend=socket" }, { "virtio-net", "backend=socket,fd=999999" },
		{ "virtio-net", "backend=socket,connect=a,listen=b" }, { "virtio-net", "backend=none,x=y" },
		{ "virtio-net", "backend=socket,connect=tcp:localhost:1" },
		{ "virtio-tap", "name-that-is-too-long-for-linux" }, { "virtio-tap", "fd=999999" },
		{ "virtio-vpnkit", "path=/nowhere/sock,wait=0" }, { "virtio-vpnkit", "bogus=1" },
	};

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
		if (makes(bad[i][0], bad[i][1], NULL, NULL, 2))
			fail_msg("%s,%s was accepted", bad[i][0], bad[i][1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_configuration_says_address_link_and_mtu),
		cmocka_unit_test(user_networking_offers_offloads_unless_told_not_to),
		cmocka_unit_test(frames_pass_with_a_modern_driver),
		cmocka_unit_test(frames_pass_with_a_legacy_driver),
		cmocka_unit_test(header_and_frame_may_be_cut_anywhere),
		cmocka_unit_test(a_large_frame_takes_several_merged_buffers),
		cmocka_unit_test(without_merged_buffers_a_frame_too_large_is_dropped),
		cmocka_unit_test(frames_wait_while_the_driver_gives_no_buffers),
		cmocka_unit_test(a_frame_that_needs_more_buffers_than_there_are_waits_for_them),
		cmocka_unit_test(a_burst_costs_one_interrupt),
		cmocka_unit_test(while_it_has_buffers_no_kick_is_wanted),
		cmocka_unit_test(a_full_back_end_holds_frames_back_and_loses_none),
		cmocka_unit_test(frames_of_no_sense_are_given_back),
		cmocka_unit_test(a_receive_buffer_that_cannot_hold_a_header_breaks_the_queue),
		cmocka_unit_test(the_filter_does_what_the_driver_says),
		cmocka_unit_test(the_driver_may_change_the_address_until_it_resets),
		cmocka_unit_test(commands_of_no_sense_are_answered_with_an_error),
		cmocka_unit_test(a_list_of_too_many_addresses_lets_all_pass),
		cmocka_unit_test(a_link_that_goes_down_interrupts),
		cmocka_unit_test(after_stop_no_byte_of_the_guest_changes),
		cmocka_unit_test(resets_at_any_moment_do_no_harm),
		cmocka_unit_test(addresses_come_from_the_uuid_and_the_slot),
		cmocka_unit_test(hyperkits_spellings_of_the_address_are_read),
		cmocka_unit_test(options_of_no_sense_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
