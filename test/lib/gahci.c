// SPDX-License-Identifier: BSD-2-Clause
/* test/lib/gahci.c - A guest's driver of one AHCI port; see gahci.h */
#include "lib/gahci.h"

void fake_die(const char *fmt, ...);

#define ERRORS 0x7d000000u

u32 gahci_rd(struct gahci *g, unsigned reg)
{
	return (u32)fake_mmio_rd(g->f, g->abar + reg, 4);
}

void gahci_wr(struct gahci *g, unsigned reg, u32 val)
{
	fake_mmio_wr(g->f, g->abar + reg, val, 4);
}

static bool cr_off(void *arg)
{
	return !(gahci_rd(arg, PR_CMD) & 0x8000);
}

void gahci_start(struct gahci *g)
{
	gahci_wr(g, PR_CMD, 0x16);
	gahci_wr(g, PR_CMD, 0x17);
}

void gahci_stop(struct gahci *g)
{
	gahci_wr(g, PR_CMD, 0x16);
	if (!fake_wait(g->f, cr_off, g, 5000))
		fake_die("the AHCI port does not stop");
}

struct gahci *gahci_open(struct fake *f, struct dev *d, unsigned vector)
{
	struct gahci *g = calloc(1, sizeof(*g));
	unsigned cap = fake_cap(f, d, 0x05, 0);

	if (!g)
		fake_die("out of memory");
	g->f = f;
	g->dev = d;
	g->abar = fake_cfg_rd(f, d, 0x24, 4) & ~0xfu;
	if (vector) {
		fake_cfg_wr(f, d, cap + 4, 0xfee00000, 4);
		fake_cfg_wr(f, d, cap + 8, 0, 4);
		fake_cfg_wr(f, d, cap + 12, vector, 2);
		fake_cfg_wr(f, d, cap + 2, 1, 2);
	}
	g->clb = fake_alloc(f, 1024, 1024);
	g->fb = fake_alloc(f, 256, 256);
	g->table = fake_alloc(f, 32 * GAHCI_TABLE_BYTES, 128);
	g->rx = fake_ptr(f, g->fb, 256);
	gahci_wr(g, AR_GHC, 0x80000002);
	gahci_wr(g, PR_CLB, (u32)g->clb);
	gahci_wr(g, PR_CLBU, (u32)(g->clb >> 32));
	gahci_wr(g, PR_FB, (u32)g->fb);
	gahci_wr(g, PR_FBU, (u32)(g->fb >> 32));
	gahci_wr(g, PR_SERR, ~0u);
	gahci_wr(g, PR_IS, ~0u);
	gahci_wr(g, AR_IS, ~0u);
	gahci_wr(g, PR_IE, ~0u);
	gahci_start(g);
	return g;
}

void gahci_close(struct gahci *g)
{
	free(g);
}

void gahci_build(struct gahci *g, unsigned slot, const struct gahci_cmd *c)
{
	gpa_t table = g->table + (u64)slot * GAHCI_TABLE_BYTES;
	u8 *h = fake_ptr(g->f, g->clb + slot * 32, 32), *t = fake_ptr(g->f, table, GAHCI_TABLE_BYTES);
	unsigned i;

	if (c->nprd > GAHCI_MAX_PRDS)
		fake_die("too many PRDs");
	memset(h, 0, 32);
	store_le32(h, 5 | (c->write ? 0x40 : 0) | (c->atapi ? 0x20 : 0) | c->hdr_flags |
			      c->nprd << 16);
	store_le32(h + 8, (u32)table);
	store_le32(h + 12, (u32)(table >> 32));
	memset(t, 0, 0x80);
	t[0] = 0x27;
	t[1] = c->is_control ? 0 : 0x80;
	t[2] = c->command;
	t[3] = (u8)c->features;
	for (i = 0; i < 3; i++) {
		t[4 + i] = (u8)(c->lba >> 8 * i);
		t[8 + i] = (u8)(c->lba >> (24 + 8 * i));
	}
	t[7] = c->device;
	t[11] = (u8)(c->features >> 8);
	t[12] = (u8)c->count;
	t[13] = (u8)(c->count >> 8);
	t[14] = c->icc;
	t[15] = c->control;
	store_le32(t + 16, c->aux);
	memcpy(t + 0x40, c->cdb, 16);
	for (i = 0; i < c->nprd; i++) {
		store_le64(t + 0x80 + 16 * i, c->prd[i].gpa);
		store_le32(t + 0x80 + 16 * i + 8, 0);
		store_le32(t + 0x80 + 16 * i + 12,
			   (c->prd[i].len - 1) | (c->prd[i].intr ? 0x80000000u : 0));
	}
}

void gahci_issue(struct gahci *g, u32 slots, u32 tags)
{
	if (tags)
		gahci_wr(g, PR_SACT, tags);
	gahci_wr(g, PR_CI, slots);
}

struct waiting {
	struct gahci *g;
	u32 slots;
};

static bool over(void *arg)
{
	struct waiting *w = arg;

	return (gahci_rd(w->g, PR_IS) & ERRORS) ||
	       !((gahci_rd(w->g, PR_CI) | gahci_rd(w->g, PR_SACT)) & w->slots);
}

u32 gahci_wait(struct gahci *g, u32 slots)
{
	struct waiting w = { g, slots };

	if (!fake_wait(g->f, over, &w, 10000))
		fake_die("AHCI commands do not end: CI %08x SACT %08x IS %08x",
			 gahci_rd(g, PR_CI), gahci_rd(g, PR_SACT), gahci_rd(g, PR_IS));
	return gahci_rd(g, PR_TFD);
}

u32 gahci_do(struct gahci *g, struct gahci_cmd c, void *buf, u32 len)
{
	u64 mark = g->f->alloc_at;
	struct gprd prd = { .len = len };
	u32 tfd;

	if (len) {
		prd.gpa = fake_alloc(g->f, len, 4096);
		if (c.write)
			memcpy(fake_ptr(g->f, prd.gpa, len), buf, len);
		c.prd = &prd;
		c.nprd = 1;
	}
	gahci_build(g, 0, &c);
	gahci_issue(g, 1, 0);
	tfd = gahci_wait(g, 1);
	if (len && !c.write)
		memcpy(buf, fake_ptr(g->f, prd.gpa, len), len);
	fake_release(g->f, mark);
	return tfd;
}

u32 gahci_prdbc(struct gahci *g, unsigned slot)
{
	return load_le32((u8 *)fake_ptr(g->f, g->clb + slot * 32, 32) + 4);
}

void gahci_recover(struct gahci *g)
{
	gahci_stop(g);
	gahci_wr(g, PR_SERR, ~0u);
	gahci_wr(g, PR_IS, ~0u);
	gahci_wr(g, AR_IS, ~0u);
	gahci_start(g);
}
