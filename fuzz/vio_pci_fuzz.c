// SPDX-License-Identifier: BSD-2-Clause
/* fuzz/vio_pci_fuzz.c - virtio's registers: any access at any time, to rnd, console, balloon
 *
 * The first byte chooses device and options, the rest is a program of accesses to both BARs, to
 * configuration space and its window, to MSI-X, of stores to guest memory, kicks and time. After
 * it the device must reset and answer. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/fake.h"
#include "input.h"

static const struct {
	const char *name, *opts;
} device[] = {
	{ "virtio-rnd", NULL },
	{ "virtio-rnd", "disable-legacy,vectors=0" },
	{ "virtio-balloon", "size=1M" },
	{ "virtio-balloon", "reporting=off,disable-modern" },
	{ "virtio-console", NULL },
	{ "virtio-console", "null,port=a,null,port=b,null" },
	{ "virtio-console", "port=a,null,disable-legacy,vectors=2" },
};

struct world {
	struct fake *f;
	struct dev *d;
	u64 modern, io, msix;
};

static u64 bar(struct world *w, unsigned i)
{
	return fake_cfg_rd(w->f, w->d, 0x10 + 4 * i, 4) & ~0xfull;
}

/* A queue whose rings are RAM, so that the rest of the program gets somewhere */
static void good_queue(struct world *w, struct in *in)
{
	u64 at = 0x200000 + (u64)(u8_of(in) & 63) * 8192, c = w->modern;

	fake_mmio_wr(w->f, c + 22, u8_of(in) & 7, 2);
	for (unsigned i = 0; i < 3; i++) {
		fake_mmio_wr(w->f, c + 32 + 8 * i, at + 4096 * (i == 2) + 2048 * (i == 1), 4);
		fake_mmio_wr(w->f, c + 36 + 8 * i, 0, 4);
	}
	fake_mmio_wr(w->f, c + 24, 1u << (u8_of(in) & 7), 2);
	fake_mmio_wr(w->f, c + 28, 1, 2);
}

static void step(struct world *w, struct in *in)
{
	static const u16 places[] = { 0, 4, 8, 12, 16, 20, 22, 24, 26, 28, 32, 36, 40, 48, 52,
				      0x1000, 0x2000, 0x2004, 0x2008, 0x200c, 0x3000, 0x3004 };
	unsigned size, off;
	u8 op = u8_of(in);

	size = 1u << (op >> 4 & 3);
	switch (op & 15) {
	case 0:
	case 1:
		off = places[u8_of(in) % ARRAY_LEN(places)];
		fake_mmio_wr(w->f, w->modern + off, num_of(in, size), size);
		break;
	case 2:
		fake_mmio_wr(w->f, w->modern + num_of(in, 2) % 0x4000, num_of(in, size), size);
		break;
	case 3:
		fake_mmio_rd(w->f, w->modern + num_of(in, 2) % 0x4000, size);
		break;
	case 4:
		fake_pio_wr(w->f, (u16)(w->io + u8_of(in) % 64), num_of(in, MIN(size, 4u)), MIN(size, 4u));
		break;
	case 5:
		fake_pio_rd(w->f, (u16)(w->io + u8_of(in) % 64), MIN(size, 4u));
		break;
	case 6:
		fake_cfg_wr(w->f, w->d, 0x40 + u8_of(in) % 0xc0u, (u32)num_of(in, MIN(size, 4u)), MIN(size, 4u));
		break;
	case 7:
		fake_cfg_rd(w->f, w->d, u8_of(in), MIN(size, 4u));
		break;
	case 8:
		fake_mmio_wr(w->f, w->msix + num_of(in, 2) % 0x2000, num_of(in, size), size);
		break;
	case 9:
	case 10:
		store_le64(fake_ptr(w->f, 0x200000 + num_of(in, 3) % 0x80000, 8), num_of(in, size));
		break;
	case 11:
		good_queue(w, in);
		break;
	case 12:
		fake_mmio_wr(w->f, w->modern + 8, 1, 4);
		fake_mmio_wr(w->f, w->modern + 12, 1, 4);
		fake_mmio_wr(w->f, w->modern + 20, 11, 1);
		break;
	case 13:
		fake_mmio_wr(w->f, w->modern + 20, 15, 1);
		break;
	case 14:
		loop_step(w->f->loop, 0);
		break;
	case 15:
		fake_mmio_wr(w->f, w->modern + 0x3000 + 4u * (u8_of(in) & 15), 0, 2);
		loop_step(w->f->loop, 0);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct in in = { data, size };
	u8 which = u8_of(&in) % ARRAY_LEN(device);
	struct world w = { .f = fake_new() };
	struct gvio *g;
	unsigned flags;

	w.d = fake_dev(w.f, device[which].name, 1, device[which].opts, NULL);
	require(w.d, "no device");
	w.modern = bar(&w, 4);
	w.io = fake_cfg_rd(w.f, w.d, 0x10, 4) & ~3u;
	w.msix = bar(&w, 1);
	flags = w.modern ? 0 : GVIO_LEGACY;
	for (unsigned i = 0; in.n && i < 1000; i++)
		step(&w, &in);
	for (unsigned i = 0; i < 100 && loop_step(w.f->loop, 0) > 0; i++)
		;
	/* the guest may have moved or hidden the BARs: power-on brings all back */
	pci_bus_reset(w.f->pci);
	w.d->cls->reset(w.d, DEV_RESET_POWER_ON);
	g = gvio_open(w.f, w.d, 0, flags);
	require(!(gvio_status(g) & VIO_S_NEEDS_RESET), "broken after a reset");
	gvio_request(g, which >= 4 ? 1 : 0, "abcd", 4, NULL, 0);
	gvio_close(g);
	fake_dev_free(w.d);
	fake_free(w.f);
	return 0;
}
