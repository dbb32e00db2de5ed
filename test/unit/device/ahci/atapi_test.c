// SPDX-License-Identifier: BSD-2-Clause
/* A CD as a driver uses it: packet commands */
#include "unit/device/ahci/rig.h"

#define BLOCKS (SECTORS / 4)
#define NO_DISC 0x023a02u
#define ATTENTION 0x062900u

/* One packet command with data in; by DMA or PIO. Return: PxTFD */
static u32 packet_of(struct gahci *g, const u8 *cdb, void *buf, u32 len, bool dma)
{
	struct gahci_cmd c = { .command = 0xa0, .atapi = true, .features = dma,
			       .lba = 0xfffe00 };

	memcpy(c.cdb, cdb, 12);
	return gahci_do(g, c, buf, len) & 0xffff;
}

static u32 packet(struct gahci *g, const u8 *cdb, void *buf, u32 len)
{
	return packet_of(g, cdb, buf, len, true);
}
#define CDB(...) ((const u8[12]){ __VA_ARGS__ })

/* After a failure: key, code and qualifier */
static u32 sense(struct gahci *g)
{
	u8 b[18];

	gahci_recover(g);
	assert_int_equal(packet(g, CDB(0x03, 0, 0, 0, 18), b, 18), GOOD);
	assert_int_equal(b[0], 0x70);
	return (u32)b[2] << 16 | b[12] << 8 | b[13];
}

static u32 be(const u8 *p)
{
	return (u32)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

static void take_attention(struct gahci *g)
{
	assert_int_equal(packet(g, CDB(0x00), NULL, 0) & 1, 1);
	assert_int_equal(sense(g), ATTENTION);
	assert_int_equal(packet(g, CDB(0x00), NULL, 0), GOOD);
}

static void signature_and_identify_are_a_packet_devices(void **state)
{
	struct rig *r = *state;
	u8 buf[512];

	assert_int_equal(gahci_rd(r->g, PR_SIG), 0xeb140101);
	assert_int_equal(gahci_do(r->g, (struct gahci_cmd){ .command = 0xec }, buf, 512), ABORTED);
	assert_int_equal(r->g->rx[0x45], 0x14);
	assert_int_equal(r->g->rx[0x46], 0xeb);
	gahci_recover(r->g);
	assert_int_equal(gahci_do(r->g, (struct gahci_cmd){ .command = 0xa1 }, buf, 512), GOOD);
	assert_int_equal(load_le16(buf), 0x85c0);
	gahci_do(r->g, (struct gahci_cmd){ .command = 0x08 }, NULL, 0);
	assert_int_equal(r->g->rx[0x46], 0xeb);
	/* an ATA command of disks */
	assert_int_equal(gahci_do(r->g, (struct gahci_cmd){ .command = 0x25 }, NULL, 0), ABORTED);
	gahci_recover(r->g);
	/* a packet command without a packet */
	assert_int_equal(gahci_do(r->g, (struct gahci_cmd){ .command = 0xa0 }, NULL, 0), ABORTED);
}

static void inquiry_names_the_drive(void **state)
{
	struct rig *r = rig_open("ahci-cd", ",serial=CD7");
	u8 b[96] = { 0 };

	assert_int_equal(packet_of(r->g, CDB(0x12, 0, 0, 0, 36), b, 36, false), GOOD);
	assert_int_equal(b[0], 5);
	assert_int_equal(b[1], 0x80);
	assert_memory_equal(b + 8, "BHYVE   BHYVE DVD-ROM   001 ", 28);
	assert_int_equal(r->g->rx[0x40 + 12], 3);
	assert_int_equal(gahci_prdbc(r->g, 0), 36);
	/* less than there is */
	memset(b, 0xee, sizeof(b));
	packet(r->g, CDB(0x12, 0, 0, 0, 5), b, 96);
	assert_int_equal(b[4], 31);
	assert_int_equal(b[5], 0);
	assert_int_equal(gahci_prdbc(r->g, 0), 5);
	packet(r->g, CDB(0x12, 1, 0x80, 0, 96), b, 96);
	assert_memory_equal(b + 4, "CD7", 3);
	packet(r->g, CDB(0x12, 1, 0x00, 0, 96), b, 96);
	assert_int_equal(b[5], 0x80);
	assert_int_equal(packet(r->g, CDB(0x12, 1, 0x99, 0, 96), b, 96) & 1, 1);
	assert_int_equal(sense(r->g), 0x052400);
	rig_close(r);
}

static void blocks_are_read(void **state)
{
	struct rig *r = *state;
	static u8 b[20 * 2048];

	take_attention(r->g);
	assert_int_equal(packet(r->g, CDB(0x25), b, 8), GOOD);
	assert_int_equal(be(b), BLOCKS - 1);
	assert_int_equal(be(b + 4), 2048);
	assert_int_equal(packet(r->g, CDB(0x28, 0, 0, 0, 1, 0, 0, 0, 20), b, sizeof(b)), GOOD);
	for (unsigned i = 0; i < sizeof(b); i++)
		assert_int_equal(b[i], pattern(256 * 2048 + i));
	assert_int_equal(packet_of(r->g, CDB(0xa8, 0, 0, 0, 0, 7, 0, 0, 0, 2), b, 4096, false), GOOD);
	assert_int_equal(b[4095], pattern(7 * 2048 + 4095));
	assert_int_equal(packet(r->g, CDB(0xbe, 0, 0, 0, 0, 9, 0, 0, 1, 0x10), b, 2048), GOOD);
	assert_int_equal(b[1], pattern(9 * 2048 + 1));
	/* no blocks are no error */
	assert_int_equal(packet(r->g, CDB(0x28, 0, 0, 0, 1, 0), NULL, 0), GOOD);
	/* the last and one more */
	assert_int_equal(packet(r->g, CDB(0x28, 0, 0, 0, 7, 0xff, 0, 0, 1), b, 2048), GOOD);
	assert_int_equal(packet(r->g, CDB(0x28, 0, 0, 0, 7, 0xff, 0, 0, 2), b, 4096), 0x5451);
	assert_int_equal(sense(r->g), 0x052100);
	assert_int_equal(packet(r->g, CDB(0xa8, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), b,
				4096) & 1, 1);
	assert_int_equal(sense(r->g), 0x052100);
	/* audio */
	assert_int_equal(packet(r->g, CDB(0xbe, 4, 0, 0, 0, 9, 0, 0, 1, 0x10), b, 2048) & 1, 1);
	assert_int_equal(sense(r->g), 0x056400);
}

static void the_table_of_contents_has_one_data_track(void **state)
{
	struct rig *r = *state;
	u8 b[64];

	take_attention(r->g);
	assert_int_equal(packet(r->g, CDB(0x43, 0, 0, 0, 0, 0, 0, 0, 64), b, 64), GOOD);
	assert_int_equal(b[1], 18);
	assert_int_equal(b[5], 0x14);
	assert_int_equal(b[6], 1);
	assert_int_equal(be(b + 8), 0);
	assert_int_equal(b[14], 0xaa);
	assert_int_equal(be(b + 16), BLOCKS);
	/* minutes, seconds, frames */
	packet(r->g, CDB(0x43, 2, 0, 0, 0, 0, 0, 0, 64), b, 64);
	assert_int_equal(be(b + 8), 0x000200);
	assert_int_equal(be(b + 16), ((BLOCKS + 150) / 75 % 60) << 8 | (BLOCKS + 150) % 75);
	packet(r->g, CDB(0x43, 0, 1, 0, 0, 0, 0, 0, 64), b, 64);
	assert_int_equal(b[1], 10);
	packet(r->g, CDB(0x43, 0, 2, 0, 0, 0, 0, 0, 64), b, 64);
	assert_int_equal(b[1], 46);
	assert_int_equal(packet(r->g, CDB(0x43, 0, 0, 0, 0, 0, 5, 0, 64), b, 64) & 1, 1);
	assert_int_equal(sense(r->g), 0x052400);
	assert_int_equal(packet(r->g, CDB(0x43, 0, 5, 0, 0, 0, 0, 0, 64), b, 64) & 1, 1);
	assert_int_equal(sense(r->g), 0x052400);
}

static void the_tray_opens_unless_it_is_locked(void **state)
{
	struct rig *r = *state;
	u8 b[64];

	take_attention(r->g);
	packet(r->g, CDB(0x1e, 0, 0, 0, 1), NULL, 0);
	assert_int_equal(packet(r->g, CDB(0x1b, 0, 0, 0, 2), NULL, 0) & 1, 1);
	assert_int_equal(sense(r->g), 0x055302);
	packet(r->g, CDB(0x1e, 0, 0, 0, 0), NULL, 0);
	assert_int_equal(packet(r->g, CDB(0x1b, 0, 0, 0, 2), NULL, 0), GOOD);
	assert_int_equal(packet(r->g, CDB(0x00), NULL, 0) & 1, 1);
	assert_int_equal(sense(r->g), NO_DISC);
	assert_int_equal(packet(r->g, CDB(0x25), b, 8) & 1, 1);
	assert_int_equal(sense(r->g), NO_DISC);
	packet(r->g, CDB(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), b, 8);
	assert_int_equal(b[2], 4);
	assert_int_equal(b[4], 3);
	assert_int_equal(b[5], 1);
	packet(r->g, CDB(0x46, 0, 0, 0, 0, 0, 0, 0, 64), b, 64);
	assert_int_equal(b[6] << 8 | b[7], 0);
	packet(r->g, CDB(0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8), b, 8);
	assert_int_equal(b[1], 0x10);
	/* back in: somebody may have changed the disc */
	assert_int_equal(packet(r->g, CDB(0x1b, 0, 0, 0, 3), NULL, 0), GOOD);
	take_attention(r->g);
	packet(r->g, CDB(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), b, 8);
	assert_int_equal(b[4], 2);
	assert_int_equal(b[5], 2);
	packet(r->g, CDB(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), b, 8);
	assert_int_equal(b[4], 0);
}

static void mode_pages_and_configuration_are_those_of_a_reader(void **state)
{
	struct rig *r = *state;
	u8 b[128];

	take_attention(r->g);
	assert_int_equal(packet(r->g, CDB(0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 128), b, 128), GOOD);
	assert_int_equal(b[1], 28);
	assert_int_equal(b[8], 0x2a);
	assert_int_equal(b[11], 0); /* writes nothing */
	packet(r->g, CDB(0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 128), b, 128);
	assert_int_equal(b[1], 6 + 12 + 22);
	packet(r->g, CDB(0x1a, 0, 0x01, 0, 128), b, 128);
	assert_int_equal(b[0], 15);
	assert_int_equal(packet(r->g, CDB(0x5a, 0, 0xea, 0, 0, 0, 0, 0, 128), b, 128) & 1, 1);
	assert_int_equal(sense(r->g), 0x053900);
	assert_int_equal(packet(r->g, CDB(0x5a, 0, 0x1c, 0, 0, 0, 0, 0, 128), b, 128) & 1, 1);
	assert_int_equal(sense(r->g), 0x052400);
	assert_int_equal(packet(r->g, CDB(0x46, 0, 0, 0, 0, 0, 0, 0, 128), b, 128), GOOD);
	assert_int_equal(b[7], 8); /* CD-ROM */
	assert_int_equal(be(b), 8 - 4 + 12 + 12 + 8 + 12 + 8 + 8);
	packet(r->g, CDB(0x46, 2, 0, 0x1e, 0, 0, 0, 0, 128), b, 128);
	assert_int_equal(be(b), 12);
	assert_int_equal(b[9], 0x1e);
	assert_int_equal(b[10] & 1, 1);
	packet(r->g, CDB(0x51, 0, 0, 0, 0, 0, 0, 0, 34), b, 34);
	assert_int_equal(b[2], 0x0e);
	packet(r->g, CDB(0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16), b, 16);
	assert_int_equal(be(b), 8);
	assert_int_equal(packet(r->g, CDB(0xbb), NULL, 0), GOOD);
}

static void unknown_packets_are_illegal_requests(void **state)
{
	static const u8 known[] = { 0x00, 0x03, 0x12, 0x1a, 0x1b, 0x1e, 0x25, 0x28, 0x2b, 0x43, 0x46,
				    0x4a, 0x51, 0x5a, 0xa0, 0xa8, 0xbb, 0xbd, 0xbe };
	struct rig *r = *state;

	take_attention(r->g);
	for (unsigned c = 0; c < 256; c++) {
		u8 cdb[12] = { (u8)c };

		if (memchr(known, (int)c, sizeof(known)))
			continue;
		assert_int_equal(packet(r->g, cdb, NULL, 0), 0x5451);
		assert_int_equal(sense(r->g), 0x052000);
	}
}

static void a_packet_without_room_is_no_harm(void **state)
{
	struct rig *r = *state;
	u8 b[2048];

	take_attention(r->g);
	/* a block, but no PRDs: the reader gets less than it asked for, and an error */
	packet(r->g, CDB(0x28, 0, 0, 0, 1, 0, 0, 0, 1), NULL, 0);
	assert_true(gahci_rd(r->g, PR_IS) & 0x41000000);
	gahci_recover(r->g);
	assert_int_equal(packet(r->g, CDB(0x12, 0, 0, 0, 36), NULL, 0), GOOD);
	assert_int_equal(gahci_prdbc(r->g, 0), 0);
	assert_int_equal(packet(r->g, CDB(0x28, 0, 0, 0, 1, 0, 0, 0, 1), b, 2048), GOOD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CD_TEST(signature_and_identify_are_a_packet_devices),
		cmocka_unit_test(inquiry_names_the_drive),
		CD_TEST(blocks_are_read),
		CD_TEST(the_table_of_contents_has_one_data_track),
		CD_TEST(the_tray_opens_unless_it_is_locked),
		CD_TEST(mode_pages_and_configuration_are_those_of_a_reader),
		CD_TEST(unknown_packets_are_illegal_requests),
		CD_TEST(a_packet_without_room_is_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
