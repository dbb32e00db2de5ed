// SPDX-License-Identifier: BSD-2-Clause
/* fuzz/virtio_blk_fuzz.c - virtio-blk: requests of every form, configuration, resets
 *
 * The input is a program of short commands for a guest's driver on the fake machine. Rings are
 * well formed here (fuzz/vq_fuzz.c breaks those); what is in them is not. After each input the
 * device is reset and must serve a read; each used length must cover the status byte. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/fake.h"
#include "input.h"

#define DISK_BYTES (256u << 10)
#define MAX_SEGS 12u

struct world {
	struct fake *f;
	struct dev *dev;
	struct gvio *g;
	gpa_t data;
	u64 mark;
};

static u32 length(struct in *in)
{
	static const u32 usual[] = { 1, 16, 512, 1024, 4096, 15, 17, 20 };
	u8 b = u8_of(in);

	return b < 224 ? usual[b % ARRAY_LEN(usual)] : 1 + u32_of(in) % 20000;
}

static void request(struct world *w, struct in *in)
{
	static const u8 types[] = { 0, 1, 4, 5, 8, 11, 13, 2 };
	struct gseg seg[MAX_SEGS];
	unsigned outs = u8_of(in) % 6, ins = u8_of(in) % 6, n = 0, q;
	u8 *h, what = u8_of(in);
	gpa_t at = w->data + (u64)u8_of(in) * 4096;

	for (unsigned i = 0; i < outs + ins; i++) {
		seg[n] = (struct gseg){ at, length(in), i >= outs };
		at += u8_of(in) & 1 ? seg[n].len : 4096;
		n++;
	}
	if (!n)
		return;
	h = fake_ptr(w->f, seg[0].gpa, 64);
	store_le32(h, what & 0x80 ? u32_of(in) : types[what % sizeof(types)]);
	store_le64(h + 8, what & 0x40 ? (u64)u32_of(in) << 32 | u32_of(in) : u8_of(in));
	/* a range, if it is that kind of request */
	store_le64(h + 16, u8_of(in));
	store_le32(h + 24, what & 0x20 ? u32_of(in) : u8_of(in));
	store_le32(h + 28, u8_of(in) & 3);
	q = u8_of(in) % w->g->num_queues;
	if (what & 0x10)
		gvq_add_indirect(w->g, q, seg, n);
	else
		gvq_add(w->g, q, seg, n);
	gvio_kick(w->g, q);
}

static void take(struct world *w)
{
	u32 written;

	for (unsigned q = 0; q < w->g->num_queues; q++)
		while (gvq_get(w->g, q, &written) >= 0)
			require(written, "a request without a status");
}

static void run(struct world *w, struct in *in)
{
	while (in->n) {
		switch (u8_of(in) % 8) {
		case 0:
			loop_step(w->f->loop, 0);
			take(w);
			break;
		case 1:
			gvio_config_write(w->g, u8_of(in) % 64, u32_of(in), 1u << u8_of(in) % 3);
			break;
		case 2: gvio_config(w->g, u8_of(in) % 60, 1); break;
		case 3:
			if (u8_of(in) < 32)
				w->dev->cls->reset(w->dev, DEV_RESET_WARM);
			break;
		default: request(w, in);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;
	static const u64 features[] = {
		0, ~0ull, BIT64(9) | BIT64(11) | BIT64(28), BIT64(13) | BIT64(14) | BIT64(29),
	};
	struct in in = { data, size };
	u8 out[16] = { 0 }, back[513], mode = u8_of(&in);
	char opts[96];

	if (!w.f) {
		int fd = memfd_create("disk", 0);

		require(fd >= 0 && !ftruncate(fd, DISK_BYTES), "no disk");
		w.f = fake_new();
		snprintf(opts, sizeof(opts), "/proc/self/fd/%d,lock=off,num-queues=2", fd);
		w.dev = fake_dev(w.f, "virtio-blk", 3, opts, NULL);
		require(w.dev, "no device");
		w.data = fake_alloc(w.f, 2 << 20, 4096);
		w.mark = w.f->alloc_at;
	}
	w.g = gvio_open(w.f, w.dev, features[mode % 4], mode & 4 ? GVIO_LEGACY : 0);
	run(&w, &in);
	gvio_set_status(w.g, 0);
	gvio_close(w.g);
	fake_release(w.f, w.mark);
	w.g = gvio_open(w.f, w.dev, 0, 0);
	back[512] = 0xee;
	require(gvio_request(w.g, 0, out, 16, back, 513) == 513 && back[512] == 0,
		"the disk does not work any more");
	gvio_close(w.g);
	w.dev->cls->reset(w.dev, DEV_RESET_WARM);
	fake_release(w.f, w.mark);
	return 0;
}
