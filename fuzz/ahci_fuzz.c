// SPDX-License-Identifier: BSD-2-Clause
/* fuzz/ahci_fuzz.c - AHCI: registers, command lists, FISes, PRD tables, packets
 *
 * The input is a program of short commands for a guest with a disk and a CD on the fake
 * machine. At its end both are reset and must read their first sector as if nothing had
 * been; no store may reach memory afterwards. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/gahci.h"
#include "input.h"

#define DISK_BYTES (256u << 10)

struct world {
	struct fake *f;
	struct dev *dev[2];
	struct gahci *g[2];
	gpa_t data;
};

/* Mostly places where something is */
static gpa_t address(struct world *w, struct in *in)
{
	u8 what = u8_of(in);
	u32 off = u32_of(in);

	switch (what % 8) {
	case 0: return w->data + off % (1u << 20);
	case 1: return FAKE_HIGH_GPA + off % (u32)FAKE_HIGH_BYTES;
	case 2: return FAKE_LOW_BYTES - off % 8192;
	case 3: return w->g[0]->clb + off % 1024;
	case 4: return w->g[0]->table + off % GAHCI_TABLE_BYTES;
	case 5: return (u64)off << 32 | off;
	default: return w->data + off % 65536 * 2;
	}
}

static void command(struct world *w, struct gahci *g, struct in *in)
{
	static const u8 common[] = { 0x25, 0x35, 0x60, 0x61, 0xa0, 0xec, 0xa1, 0x06, 0x64, 0x2f,
				     0xef, 0xea, 0xb0, 0xc8, 0xca, 0x20 };
	struct gahci_cmd c = { 0 };
	struct gprd prd[16];
	unsigned slot = u8_of(in) % 32, i;
	u8 flags = u8_of(in);

	c.command = flags & 1 ? u8_of(in) : common[u8_of(in) % sizeof(common)];
	c.write = flags & 2;
	c.atapi = flags & 4;
	c.is_control = (flags & 0x18) == 0x18;
	c.control = c.is_control ? u8_of(in) : 0;
	c.device = flags & 0x20 ? u8_of(in) : 0x40;
	c.lba = flags & 0x40 ? (u64)u32_of(in) << 16 | u8_of(in) : u8_of(in);
	c.count = flags & 0x80 ? (u16)u32_of(in) : u8_of(in);
	c.features = u8_of(in);
	c.aux = u8_of(in);
	if (c.command >= 0x60 && c.command <= 0x65 && !(flags & 0x80))
		c.count = (u16)(slot << 3);
	for (i = 0; c.atapi && i < 12; i++)
		c.cdb[i] = u8_of(in);
	c.nprd = u8_of(in) % 17;
	for (i = 0; i < c.nprd; i++) {
		prd[i].gpa = address(w, in);
		prd[i].len = 1 + (u32_of(in) & (flags & 1 ? 0x3fffff : 0xffff));
		prd[i].intr = u8_of(in) & 1;
	}
	c.prd = prd;
	/* the guest may have destroyed where its own tables are: no matter, they are ours */
	gahci_build(g, slot, &c);
	gahci_issue(g, BIT(slot), c.command >= 0x60 && c.command <= 0x65 ? BIT(slot) : 0);
}

static void poke(struct world *w, struct in *in)
{
	gpa_t at = address(w, in);
	u8 b[8];

	for (unsigned i = 0; i < sizeof(b); i++)
		b[i] = u8_of(in);
	if (mem_write(&w->f->mem, at, b, sizeof(b)))
		return;
}

static void run(struct world *w, struct in *in)
{
	while (in->n) {
		u8 op = u8_of(in);
		struct gahci *g = w->g[op >> 7];

		switch (op % 12) {
		case 0:
		case 1:
			gahci_wr(g, u8_of(in) % 160 * 4, u32_of(in));
			break;
		case 2: gahci_rd(g, u8_of(in) * 4); break;
		case 3: loop_step(w->f->loop, 0); break;
		case 4: poke(w, in); break;
		case 5: gahci_issue(g, u32_of(in), u8_of(in) & 1 ? ~0u : 0); break;
		case 6: gahci_wr(g, PR_CMD, u8_of(in) & 1 ? 0x17 : 0x16); break;
		case 7:
			gahci_wr(g, PR_SERR, ~0u);
			gahci_wr(g, PR_IS, ~0u);
			gahci_wr(g, AR_IS, 1);
			break;
		default: command(w, g, in);
		}
	}
}

static void make_world(struct world *w)
{
	char opts[96];
	int fd = memfd_create("disk", 0);

	require(fd >= 0 && !ftruncate(fd, DISK_BYTES), "no disk");
	w->f = fake_new();
	snprintf(opts, sizeof(opts), "/proc/self/fd/%d,lock=off", fd);
	w->dev[0] = fake_dev(w->f, "ahci-hd", 3, opts, NULL);
	w->dev[1] = fake_dev(w->f, "ahci-cd", 4, opts, NULL);
	require(w->dev[0] && w->dev[1], "no devices");
	for (unsigned i = 0; i < 2; i++)
		w->g[i] = gahci_open(w->f, w->dev[i], i + 1);
	w->data = fake_alloc(w->f, 2 << 20, 4096);
}

/* The same lists again: where they are does not change from input to input */
static void reopen(struct gahci *g)
{
	gahci_wr(g, AR_GHC, 0x80000002);
	gahci_wr(g, PR_CLB, (u32)g->clb);
	gahci_wr(g, PR_CLBU, (u32)(g->clb >> 32));
	gahci_wr(g, PR_FB, (u32)g->fb);
	gahci_wr(g, PR_FBU, (u32)(g->fb >> 32));
	gahci_wr(g, PR_SERR, ~0u);
	gahci_wr(g, PR_IE, ~0u);
	gahci_start(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;
	struct in in = { data, size };
	u8 buf[512];
	u64 stores;

	if (!w.f)
		make_world(&w);
	run(&w, &in);
	for (unsigned i = 0; i < 2; i++)
		w.dev[i]->cls->reset(w.dev[i], DEV_RESET_WARM);
	stores = atomic_load(&w.f->wrote_calls);
	fake_step(w.f);
	require(atomic_load(&w.f->wrote_calls) == stores, "a store after the reset");
	for (unsigned i = 0; i < 2; i++)
		reopen(w.g[i]);
	require(gahci_do(w.g[0], (struct gahci_cmd){ .command = 0x25, .count = 1, .device = 0x40 },
			 buf, 512) == 0x50, "the disk does not work any more");
	require((gahci_do(w.g[1], (struct gahci_cmd){ .command = 0xa1 }, buf, 512) & 0xff) == 0x50,
		"the CD does not work any more");
	return 0;
}
