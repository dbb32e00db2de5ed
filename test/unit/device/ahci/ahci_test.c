// SPDX-License-Identifier: BSD-2-Clause
/* A SATA disk as a driver uses it: registers, commands, queues, interrupts */
#include "unit/device/ahci/rig.h"

#include "base/strbuf.h"

static void check_pattern(const u8 *buf, u64 at, u32 len)
{
	for (u32 i = 0; i < len; i++)
		if (buf[i] != pattern(at + i))
			fail_msg("byte %u: %02x instead of %02x", i, buf[i], pattern(at + i));
}

static u16 word(const u8 *buf, unsigned w)
{
	return load_le16(buf + 2 * w);
}

static void text(const u8 *buf, unsigned w, unsigned words, char *out)
{
	for (unsigned i = 0; i < 2 * words; i++)
		out[i] = (char)buf[2 * w + (i ^ 1)];
	out[2 * words] = 0;
}

static void power_on_shows_one_port_with_a_disk(void **state)
{
	struct rig *r = *state;
	struct gahci *g = r->g;

	assert_int_equal(fake_cfg_rd(r->f, r->d, 0, 4), 0x28218086);
	assert_int_equal(fake_cfg_rd(r->f, r->d, 8, 4) >> 8, 0x010601);
	assert_int_equal(gahci_rd(g, AR_PI), 1);
	assert_int_equal(gahci_rd(g, AR_VS), 0x00010301);
	assert_int_equal(gahci_rd(g, AR_CAP) >> 8 & 31, 31);
	assert_int_equal(gahci_rd(g, AR_CAP) & 31, 0);
	assert_true(gahci_rd(g, AR_GHC) >> 31);
	assert_int_equal(gahci_rd(g, PR_SSTS), 0x133);
	assert_int_equal(gahci_rd(g, PR_SIG), 0x101);
	assert_int_equal(gahci_rd(g, PR_TFD) & 0xff, GOOD);
	assert_int_equal(gahci_rd(g, PR_CMD) & 0xc000, 0xc000);
	/* registers of ports that are not there, and reserved ones */
	assert_int_equal(gahci_rd(g, 0x198), 0);
	assert_int_equal(gahci_rd(g, 0x1c), 0);
}

static void identify_describes_the_disk(void **state)
{
	struct rig *r = rig_open("ahci-hd", ",serial=AB12,model=My disk");
	u8 buf[512], sum = 0;
	char s[64];

	assert_int_equal(gahci_do(r->g, (struct gahci_cmd){ .command = 0xec }, buf, 512), GOOD);
	for (unsigned i = 0; i < 512; i++)
		sum = (u8)(sum + buf[i]);
	assert_int_equal(sum, 0);
	text(buf, 10, 10, s);
	assert_string_equal(s, "AB12                ");
	text(buf, 27, 20, s);
	assert_string_equal(s, "My disk                                 ");
	assert_int_equal(word(buf, 60) | word(buf, 61) << 16, SECTORS);
	assert_int_equal(word(buf, 100), SECTORS);
	assert_int_equal(word(buf, 75), 31);
	assert_int_equal(word(buf, 76) & 0x100, 0x100);
	assert_int_equal(word(buf, 106) & 0xe000, 0x6000);
	/* PIO set-up FIS: to the host, with interrupt, 512 bytes, good at the end */
	assert_int_equal(r->g->rx[0x20], 0x5f);
	assert_int_equal(r->g->rx[0x21], 0x60);
	assert_int_equal(r->g->rx[0x22], 0x58);
	assert_int_equal(r->g->rx[0x2f], 0x50);
	assert_int_equal(load_le16(r->g->rx + 0x30), 512);
	assert_int_equal(gahci_prdbc(r->g, 0), 512);
	assert_true(gahci_rd(r->g, PR_IS) & 2);
	rig_close(r);
}

static void hyperkits_serial_number_is_kept(void **state)
{
	struct rig *r = *state;
	u8 buf[512];
	char s[64];

	gahci_do(r->g, (struct gahci_cmd){ .command = 0xec }, buf, 512);
	text(buf, 10, 10, s);
	assert_memory_equal(s, "BHYVE-", 6);
	assert_int_equal(s[10], '-');
	assert_int_equal(s[15], '-');
	text(buf, 27, 20, s);
	assert_memory_equal(s, "BHYVE SATA DISK ", 16);
}

static const struct {
	const char *name;
	u8 read, write;
	bool ext, queued;
	unsigned most; /* sectors */
} kinds[] = {
	{ "DMA", 0xc8, 0xca, false, false, 256 },
	{ "DMA EXT", 0x25, 0x35, true, false, 1024 },
	{ "DMA FUA", 0x25, 0x3d, true, false, 9 },
	{ "sectors", 0x20, 0x30, false, false, 17 },
	{ "sectors EXT", 0x24, 0x34, true, false, 300 },
	{ "multiple", 0xc4, 0xc5, false, false, 64 },
	{ "multiple EXT", 0x29, 0x39, true, false, 64 },
	{ "queued", 0x60, 0x61, true, true, 1024 },
};

/* Any number of sectors to or from slot 3 */
static u32 transfer(struct gahci *g, unsigned kind, bool write, u64 lba, u32 n,
		    const struct gprd *prd, unsigned nprd)
{
	struct gahci_cmd c = {
		.command = write ? kinds[kind].write : kinds[kind].read,
		.device = 0x40, .lba = lba, .write = write, .prd = prd, .nprd = nprd,
	};

	if (kinds[kind].queued) {
		c.features = (u16)n;
		c.count = 3 << 3;
	} else if (kinds[kind].ext) {
		c.count = (u16)n;
	} else {
		c.count = n & 0xff;
		c.device |= lba >> 24 & 0xf;
		c.lba &= 0xffffff;
	}
	gahci_build(g, 3, &c);
	gahci_issue(g, 8, kinds[kind].queued ? 8 : 0);
	return gahci_wait(g, 8) & 0xffff;
}

static void every_kind_of_read_and_write_moves_its_sectors(void **state)
{
	struct rig *r = *state;

	for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
		u64 mark = r->f->alloc_at;
		u32 n = kinds[k].most, len = n * 512;
		struct gprd prd = { fake_alloc(r->f, len, 512), len, false };
		u8 *mem = fake_ptr(r->f, prd.gpa, len), *disk = malloc(len);

		assert_non_null(disk);
		memset(r->f->wrote_map, 0, (FAKE_LOW_BYTES + FAKE_HIGH_BYTES) / PAGE_BYTES);
		if (transfer(r->g, k, false, 1000, n, &prd, 1) != GOOD)
			fail_msg("%s: read", kinds[k].name);
		for (u64 at = prd.gpa; at < prd.gpa + len; at += PAGE_BYTES)
			if (!r->f->wrote_map[at / PAGE_BYTES])
				fail_msg("%s: nobody was told of the stores", kinds[k].name);
		for (u32 i = 0; i < len; i++)
			if (mem[i] != pattern(1000 * 512 + i))
				fail_msg("%s: byte %u", kinds[k].name, i);
		for (u32 i = 0; i < len; i++)
			mem[i] = (u8)~mem[i];
		if (transfer(r->g, k, true, 1000, n, &prd, 1) != GOOD)
			fail_msg("%s: write", kinds[k].name);
		assert_int_equal(pread(r->fd, disk, len, 1000 * 512), len);
		assert_memory_equal(disk, mem, len);
		for (u32 i = 0; i < len; i++)
			mem[i] = (u8)~mem[i];
		transfer(r->g, k, true, 1000, n, &prd, 1);
		if (!kinds[k].queued)
			assert_int_equal(gahci_prdbc(r->g, 3), len);
		assert_int_equal(gahci_rd(r->g, PR_IS) & 0x7d000000, 0);
		free(disk);
		fake_release(r->f, mark);
	}
}

static void cylinders_heads_and_sectors_are_understood(void **state)
{
	struct rig *r = *state;
	u8 buf[512];
	/* cylinder 2, head 5, sector 7 of 16 heads and 63 sectors */
	u64 lba = (2 * 16 + 5) * 63 + 7 - 1;

	assert_int_equal(gahci_do(r->g, (struct gahci_cmd){ .command = 0x20, .count = 1,
		.lba = 7 | 2 << 8, .device = 5 }, buf, 512), GOOD);
	check_pattern(buf, lba * 512, 512);
	assert_int_equal(gahci_do(r->g, (struct gahci_cmd){ .command = 0x20, .count = 1,
		.lba = 64 | 2 << 8, .device = 5 }, buf, 512) & 0x1001, 0x1001);
}

static void all_tags_run_at_once(void **state)
{
	struct rig *r = *state;
	struct gahci *g = r->g;
	gpa_t at = fake_alloc(r->f, 32 * 4096, 4096);

	for (unsigned i = 0; i < 32; i++) {
		struct gprd prd = { at + i * 4096, 4096, false };

		gahci_build(g, i, &(struct gahci_cmd){ .command = 0x60, .features = 8,
			.count = (u16)(i << 3), .lba = 100 + 8 * (31 - i), .device = 0x40,
			.prd = &prd, .nprd = 1 });
	}
	gahci_issue(g, ~0u, ~0u);
	loop_step(r->f->loop, 0);
	/* the device has taken all: PxCI is free again, PxSACT tells what runs */
	assert_int_equal(gahci_rd(g, PR_CI), 0);
	assert_int_equal(gahci_wait(g, ~0u) & 0xff, GOOD);
	for (unsigned i = 0; i < 32; i++)
		check_pattern(fake_ptr(r->f, at + i * 4096, 4096), (100 + 8 * (31 - i)) * 512, 4096);
	/* set device bits FIS, with interrupt */
	assert_int_equal(g->rx[0x58], 0xa1);
	assert_int_equal(g->rx[0x59], 0x40);
	assert_true(gahci_rd(g, PR_IS) & 8);
}

static void prd_tables_of_any_shape_work(void **state)
{
	static const u32 size[] = { 512, 4096, 2, 62, 1022, 510, 6, 65536, 3 * 512 };
	struct rig *r = *state;
	unsigned n;

	for (unsigned shape = 0; shape < ARRAY_LEN(size); shape++) {
		u64 mark = r->f->alloc_at;
		struct gprd prd[GAHCI_MAX_PRDS];
		u32 left, total = 0;
		u8 *all, *p;

		/* pieces in descending order, so that no two are neighbours */
		n = MIN(ARRAY_LEN(prd), (200u * 1024) / size[shape] + 1);
		total = ALIGN_DOWN(n * size[shape], 512);
		left = total;
		for (unsigned i = 0; i < n; i++) {
			prd[i] = (struct gprd){ 0, MIN(size[shape], left), i == n - 1 };
			left -= prd[i].len;
			if (!prd[i].len)
				n = i;
		}
		for (unsigned i = n; i-- > 0;)
			prd[i].gpa = fake_alloc(r->f, prd[i].len, 2);
		assert_int_equal(transfer(r->g, 1, false, 5, total / 512, prd, n), GOOD);
		all = p = malloc(total);
		assert_non_null(all);
		for (unsigned i = 0; i < n; i++, p += prd[i - 1].len)
			memcpy(p, fake_ptr(r->f, prd[i].gpa, prd[i].len), prd[i].len);
		check_pattern(all, 5 * 512, total);
		assert_int_equal(gahci_prdbc(r->g, 3), total);
		free(all);
		fake_release(r->f, mark);
	}
}

static void the_prds_interrupt_bit_is_reported(void **state)
{
	struct rig *r = *state;
	struct gprd prd[2] = { { fake_alloc(r->f, 512, 512), 512, true },
			       { fake_alloc(r->f, 512, 512), 512, false } };

	transfer(r->g, 0, false, 5, 2, prd, 2);
	assert_true(gahci_rd(r->g, PR_IS) & 0x20);
	gahci_wr(r->g, PR_IS, 0x20);
	prd[0].intr = false;
	transfer(r->g, 0, false, 5, 2, prd, 2);
	assert_false(gahci_rd(r->g, PR_IS) & 0x20);
}

static void structures_above_4_gib_are_reached(void **state)
{
	struct rig *r = *state;
	struct gprd prd = { FAKE_HIGH_GPA + 0x10000, 8192, false };

	assert_int_equal(transfer(r->g, 7, false, 33, 16, &prd, 1), GOOD);
	check_pattern(fake_ptr(r->f, prd.gpa, 8192), 33 * 512, 8192);
	assert_true(r->f->wrote_map[(FAKE_LOW_BYTES + 0x10000) / PAGE_BYTES]);
	/* lists and FISes too */
	gahci_stop(r->g);
	gahci_wr(r->g, PR_CMD, 6);
	r->g->clb = FAKE_HIGH_GPA + 0x20000;
	r->g->fb = FAKE_HIGH_GPA + 0x21000;
	r->g->table = FAKE_HIGH_GPA + 0x100000;
	gahci_wr(r->g, PR_CLB, (u32)r->g->clb);
	gahci_wr(r->g, PR_CLBU, 1);
	gahci_wr(r->g, PR_FB, (u32)r->g->fb);
	gahci_wr(r->g, PR_FBU, 1);
	gahci_start(r->g);
	assert_int_equal(transfer(r->g, 0, false, 44, 16, &prd, 1), GOOD);
	check_pattern(fake_ptr(r->f, prd.gpa, 8192), 44 * 512, 8192);
	assert_int_equal(((u8 *)fake_ptr(r->f, r->g->fb + 0x40, 20))[0], 0x34);
}

static void sectors_of_4096_bytes(void **state)
{
	struct rig *r = rig_open("ahci-hd", ",sectorsize=4096");
	struct gprd prd[600];
	u8 buf[512];

	gahci_do(r->g, (struct gahci_cmd){ .command = 0xec }, buf, 512);
	assert_int_equal(word(buf, 60), SECTORS / 8);
	assert_int_equal(word(buf, 106), 0x5000);
	assert_int_equal(word(buf, 117), 2048);
	/* pieces that end inside sectors */
	for (unsigned i = 0; i < 600; i++)
		prd[i] = (struct gprd){ fake_alloc(r->f, 2048, 4096), 2048, false };
	assert_int_equal(transfer(r->g, 1, false, 3, 300, prd, 600), GOOD);
	for (unsigned i = 0; i < 600; i++)
		check_pattern(fake_ptr(r->f, prd[i].gpa, 2048), 3 * 4096 + i * 2048, 2048);
	/* so small that no sector fits into what we hold */
	for (unsigned i = 0; i < 600; i++)
		prd[i].len = 2;
	assert_int_equal(transfer(r->g, 1, false, 3, 1, prd, 600) & 1, 1);
	rig_close(r);
}

static void messages_come_once_until_they_are_taken(void **state)
{
	struct rig *r = *state;
	struct gahci *g = r->g;
	struct gprd prd = { fake_alloc(r->f, 512, 512), 512, false };

	gahci_wr(g, PR_IS, ~0u);
	gahci_wr(g, AR_IS, ~0u);
	atomic_store(&r->f->msi[1], 0);
	transfer(g, 0, false, 1, 1, &prd, 1);
	transfer(g, 0, false, 1, 1, &prd, 1);
	assert_int_equal(atomic_load(&r->f->msi[1]), 1);
	assert_int_equal(gahci_rd(g, AR_IS), 1);
	/* an event between the handler's two writes is told again */
	gahci_wr(g, PR_IS, ~0u);
	transfer(g, 0, false, 1, 1, &prd, 1);
	assert_int_equal(atomic_load(&r->f->msi[1]), 1);
	gahci_wr(g, AR_IS, 1);
	assert_int_equal(atomic_load(&r->f->msi[1]), 2);
	gahci_wr(g, PR_IS, ~0u);
	gahci_wr(g, AR_IS, 1);
	assert_int_equal(gahci_rd(g, AR_IS), 0);
	/* off, then on again */
	gahci_wr(g, AR_GHC, 0x80000000);
	transfer(g, 0, false, 1, 1, &prd, 1);
	assert_int_equal(atomic_load(&r->f->msi[1]), 2);
	gahci_wr(g, AR_GHC, 0x80000002);
	assert_int_equal(atomic_load(&r->f->msi[1]), 3);
}

static void without_msi_the_line_follows(void **state)
{
	struct rig *r = *state;
	struct gahci *g;
	struct gprd prd = { fake_alloc(r->f, 512, 512), 512, false };
	unsigned cap = fake_cap(r->f, r->d, 5, 0), gsi = 0;

	fake_cfg_wr(r->f, r->d, cap + 2, 0, 2);
	g = gahci_open(r->f, r->d, 0);
	transfer(g, 0, false, 1, 1, &prd, 1);
	for (unsigned n = 16; n < 24; n++)
		if (atomic_load(&r->f->gsi[n]))
			gsi = n;
	assert_true(gsi);
	gahci_wr(g, PR_IS, ~0u);
	assert_true(atomic_load(&r->f->gsi[gsi]));
	gahci_wr(g, AR_IS, 1);
	assert_false(atomic_load(&r->f->gsi[gsi]));
	gahci_close(g);
}

static void features_are_set_and_shown(void **state)
{
	struct rig *r = *state;
	u8 buf[512];
	struct gahci_cmd id = { .command = 0xec };

	gahci_do(r->g, id, buf, 512);
	assert_int_equal(word(buf, 85) & 0x60, 0x60);
	gahci_do(r->g, (struct gahci_cmd){ .command = 0xef, .features = 0x82 }, NULL, 0);
	gahci_do(r->g, (struct gahci_cmd){ .command = 0xef, .features = 0x55 }, NULL, 0);
	gahci_do(r->g, (struct gahci_cmd){ .command = 0xef, .features = 3, .count = 0x42 }, NULL, 0);
	gahci_do(r->g, (struct gahci_cmd){ .command = 0xc6, .count = 16 }, NULL, 0);
	gahci_do(r->g, id, buf, 512);
	assert_int_equal(word(buf, 85) & 0x60, 0);
	assert_int_equal(word(buf, 88), 0x047f);
	assert_int_equal(word(buf, 59), 0x110);
	assert_int_equal(gahci_do(r->g, (struct gahci_cmd){ .command = 0xc6, .count = 3 }, NULL, 0),
			 ABORTED);
	gahci_recover(r->g);
	assert_int_equal(gahci_do(r->g, (struct gahci_cmd){ .command = 0xef, .features = 0x77 },
				  NULL, 0), ABORTED);
}

static void flush_power_and_smart_commands_are_answered(void **state)
{
	struct rig *r = *state;
	u8 buf[512], sum = 0;
	static const u8 plain[] = { 0xe7, 0xea, 0xe0, 0xe1, 0xe2, 0xe3, 0xe6, 0x10, 0x70, 0x91 };

	for (unsigned i = 0; i < sizeof(plain); i++)
		assert_int_equal(gahci_do(r->g, (struct gahci_cmd){ .command = plain[i],
			.count = 63, .device = 15 }, NULL, 0), GOOD);
	gahci_do(r->g, (struct gahci_cmd){ .command = 0xe1 }, NULL, 0);
	gahci_do(r->g, (struct gahci_cmd){ .command = 0xe5 }, NULL, 0);
	assert_int_equal(r->g->rx[0x40 + 12], 0xff);
	gahci_do(r->g, (struct gahci_cmd){ .command = 0xe0 }, NULL, 0);
	gahci_do(r->g, (struct gahci_cmd){ .command = 0xe5 }, NULL, 0);
	assert_int_equal(r->g->rx[0x40 + 12], 0);
	assert_int_equal(gahci_do(r->g, (struct gahci_cmd){ .command = 0xb0, .features = 0xda,
		.lba = 0xc24f00 }, NULL, 0), GOOD);
	assert_int_equal(r->g->rx[0x45] | r->g->rx[0x46] << 8, 0xc24f);
	assert_int_equal(gahci_do(r->g, (struct gahci_cmd){ .command = 0xb0, .features = 0xd0,
		.lba = 0xc24f00 }, buf, 512), GOOD);
	for (unsigned i = 0; i < 512; i++)
		sum = (u8)(sum + buf[i]);
	assert_int_equal(sum, 0);
	assert_int_equal(gahci_do(r->g, (struct gahci_cmd){ .command = 0xb0, .features = 0xd0 },
				  buf, 512), ABORTED);
}

static void trim_gives_zeros(void **state)
{
	struct rig *r = *state;
	u8 list[1024] = { 0 }, buf[512], log[512];
	struct gprd prd;

	gahci_do(r->g, (struct gahci_cmd){ .command = 0xec }, buf, 512);
	if (!(word(buf, 169) & 1))
		skip(); /* the file system below /tmp cannot punch holes */
	assert_int_equal(word(buf, 69) & 0x4020, 0x4020);
	store_le64(list, 64ull | 100ull << 48);
	store_le64(list + 8, 5000ull | 1ull << 48);
	store_le64(list + 1000, 5002ull | 1ull << 48);
	assert_int_equal(gahci_do(r->g, (struct gahci_cmd){ .command = 0x06, .features = 1,
		.count = 2, .write = true }, list, 1024), GOOD);
	for (u64 s = 63; s < 165; s++) {
		assert_int_equal(pread(r->fd, buf, 512, (off_t)s * 512), 512);
		if (s >= 64 && s < 164)
			for (unsigned i = 0; i < 512; i++)
				assert_int_equal(buf[i], 0);
		else
			check_pattern(buf, s * 512, 512);
	}
	pread(r->fd, buf, 512, 5001 * 512);
	check_pattern(buf, 5001 * 512, 512);
	pread(r->fd, buf, 512, 5002 * 512);
	assert_int_equal(buf[0] | buf[511], 0);
	/* queued: log 13h promises it */
	assert_int_equal(gahci_do(r->g, (struct gahci_cmd){ .command = 0x47, .lba = 0x13,
		.count = 1 }, log, 512), GOOD);
	assert_int_equal(log[0] & log[4], 1);
	prd = (struct gprd){ fake_alloc(r->f, 512, 512), 512, false };
	store_le64(fake_ptr(r->f, prd.gpa, 8), 6000ull | 1ull << 48);
	gahci_build(r->g, 7, &(struct gahci_cmd){ .command = 0x64, .features = 1, .count = 7 << 3,
		.device = 0x40, .aux = 1, .write = true, .prd = &prd, .nprd = 1 });
	gahci_issue(r->g, 0x80, 0x80);
	assert_int_equal(gahci_wait(r->g, 0x80) & 0xff, GOOD);
	pread(r->fd, buf, 512, 6000 * 512);
	assert_int_equal(buf[0] | buf[511], 0);
	/* a range beyond the end, too many blocks, no trim bit */
	store_le64(list, (u64)SECTORS | 1ull << 48);
	assert_int_equal(gahci_do(r->g, (struct gahci_cmd){ .command = 0x06, .features = 1,
		.count = 1, .write = true }, list, 512) & 0xff, 0x51);
	gahci_recover(r->g);
	assert_int_equal(gahci_do(r->g, (struct gahci_cmd){ .command = 0x06, .features = 1,
		.count = 9, .write = true }, list, 512), ABORTED);
	gahci_recover(r->g);
	assert_int_equal(gahci_do(r->g, (struct gahci_cmd){ .command = 0x06, .count = 1,
		.write = true }, list, 512), ABORTED);
}

static void a_read_only_disk_refuses_to_write(void **state)
{
	struct rig *r = rig_open("ahci-hd", ",ro");
	u8 buf[512] = { 1 };

	assert_int_equal(gahci_do(r->g, (struct gahci_cmd){ .command = 0x35, .count = 1,
		.device = 0x40, .write = true }, buf, 512), ABORTED);
	gahci_recover(r->g);
	assert_int_equal(gahci_do(r->g, (struct gahci_cmd){ .command = 0x25, .count = 1,
		.device = 0x40 }, buf, 512), GOOD);
	check_pattern(buf, 0, 512);
	gahci_do(r->g, (struct gahci_cmd){ .command = 0xec }, buf, 512);
	assert_int_equal(word(buf, 169), 0);
	rig_close(r);
}

static void impossible_options_are_refused(void **state)
{
	struct fake *f = fake_new();
	struct hk_err err;

	assert_null(fake_dev(f, "ahci-hd", 3, NULL, &err));
	assert_null(fake_dev(f, "ahci-hd", 3, "/no/such/file", &err));
	assert_non_null(strstr(err.text, "/no/such/file"));
	assert_null(fake_dev(f, "ahci-hd", 3, "/dev/zero,bogus=1", &err));
	assert_null(fake_dev(f, "ahci-hd", 3, "/dev/zero,model=", &err));
	fake_free(f);
}

static void the_dump_is_words(void **state)
{
	struct rig *r = *state;
	struct strbuf b = { 0 };

	r->d->cls->dump(r->d, &b);
	assert_non_null(strstr(b.s, "commands"));
	strbuf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HD_TEST(power_on_shows_one_port_with_a_disk),
		cmocka_unit_test(identify_describes_the_disk),
		HD_TEST(hyperkits_serial_number_is_kept),
		HD_TEST(every_kind_of_read_and_write_moves_its_sectors),
		HD_TEST(cylinders_heads_and_sectors_are_understood),
		HD_TEST(all_tags_run_at_once),
		HD_TEST(prd_tables_of_any_shape_work),
		HD_TEST(the_prds_interrupt_bit_is_reported),
		HD_TEST(structures_above_4_gib_are_reached),
		cmocka_unit_test(sectors_of_4096_bytes),
		HD_TEST(messages_come_once_until_they_are_taken),
		HD_TEST(without_msi_the_line_follows),
		HD_TEST(features_are_set_and_shown),
		HD_TEST(flush_power_and_smart_commands_are_answered),
		HD_TEST(trim_gives_zeros),
		cmocka_unit_test(a_read_only_disk_refuses_to_write),
		cmocka_unit_test(impossible_options_are_refused),
		HD_TEST(the_dump_is_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
