// SPDX-License-Identifier: BSD-2-Clause
/* What goes wrong: errors of the disk, of the guest's structures, resets at any moment */
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>

#include "base/strbuf.h"

#include "unit/device/ahci/rig.h"

#define TFES 0x40000000u
#define HBFS 0x20000000u
#define HBDS 0x10000000u
#define IFS 0x08000000u
#define OFS 0x01000000u

static void build_read(struct rig *r, unsigned slot, u8 command, u64 lba, u16 n, gpa_t at)
{
	struct gprd prd = { at, n * 512u, false };
	struct gahci_cmd c = { .command = command, .device = 0x40, .lba = lba, .count = n,
			       .prd = &prd, .nprd = 1 };

	if (command == 0x60) {
		c.features = n;
		c.count = (u16)(slot << 3);
	}
	gahci_build(r->g, slot, &c);
}

/* The port works: one read in slot 0 */
static void works(struct rig *r)
{
	u8 buf[512];

	assert_int_equal(gahci_do(r->g, (struct gahci_cmd){ .command = 0x25, .count = 1, .lba = 9,
		.device = 0x40 }, buf, 512), GOOD);
	assert_int_equal(buf[5], pattern(9 * 512 + 5));
}

static void a_read_beyond_the_end_stops_the_engine(void **state)
{
	struct rig *r = *state;
	u8 buf[1024];
	gpa_t at = fake_alloc(r->f, 1024, 512);

	assert_int_equal(gahci_do(r->g, (struct gahci_cmd){ .command = 0x25, .count = 2,
		.lba = SECTORS - 1, .device = 0x40 }, buf, 1024) & 0xffff, 0x1051);
	assert_true(gahci_rd(r->g, PR_IS) & TFES);
	/* which one it was: its bit stays, CCS names it, the D2H FIS has the sector */
	assert_int_equal(gahci_rd(r->g, PR_CI), 1);
	assert_int_equal(gahci_rd(r->g, PR_CMD) >> 8 & 31, 0);
	assert_int_equal(load_le32(r->g->rx + 0x44) & 0xffffff, SECTORS - 1);
	/* nothing is fetched until ST went off (AHCI 6.2.2.1) */
	build_read(r, 1, 0x25, 0, 1, at);
	gahci_issue(r->g, 2, 0);
	fake_step(r->f);
	assert_int_equal(gahci_rd(r->g, PR_CI), 3);
	gahci_recover(r->g);
	assert_int_equal(gahci_rd(r->g, PR_CI), 0);
	works(r);
	/* far beyond, and to the last sector */
	assert_int_equal(gahci_do(r->g, (struct gahci_cmd){ .command = 0x25, .count = 0,
		.lba = 0xffffffffffff, .device = 0x40 }, buf, 1024) & 0xffff, 0x1051);
	gahci_recover(r->g);
	assert_int_equal(gahci_do(r->g, (struct gahci_cmd){ .command = 0x25, .count = 1,
		.lba = SECTORS - 1, .device = 0x40 }, buf, 512), GOOD);
}

static void one_bad_queued_command_ends_all_and_is_in_the_log(void **state)
{
	struct rig *r = *state;
	gpa_t at = fake_alloc(r->f, 32 * 4096, 4096);
	u8 log[512], sum = 0;

	build_read(r, 4, 0x60, 0, 8, at);
	build_read(r, 5, 0x60, SECTORS, 8, at + 4096);
	build_read(r, 6, 0x60, 8, 8, at + 8192);
	gahci_issue(r->g, 0x70, 0x70);
	gahci_wait(r->g, 0x70);
	assert_int_equal(gahci_rd(r->g, PR_TFD) & 0xffff, 0x1041 | (gahci_rd(r->g, PR_TFD) & 0x10));
	assert_true(gahci_rd(r->g, PR_SACT) & 0x20);
	gahci_recover(r->g);
	assert_int_equal(gahci_rd(r->g, PR_SACT), 0);
	/* until the log is read the device does nothing else */
	assert_int_equal(gahci_do(r->g, (struct gahci_cmd){ .command = 0xe7 }, NULL, 0), ABORTED);
	gahci_recover(r->g);
	assert_int_equal(gahci_do(r->g, (struct gahci_cmd){ .command = 0x2f, .lba = 0x10,
		.count = 1 }, log, 512), GOOD);
	for (unsigned i = 0; i < 512; i++)
		sum = (u8)(sum + log[i]);
	assert_int_equal(sum, 0);
	assert_int_equal(log[0], 5);
	assert_int_equal(log[3], 0x10);
	assert_int_equal(load_le32(log + 4) & 0xffffff, SECTORS);
	works(r);
}

static void a_tag_that_is_not_its_slot_is_an_error(void **state)
{
	struct rig *r = *state;
	struct gprd prd = { fake_alloc(r->f, 512, 512), 512, false };

	gahci_build(r->g, 2, &(struct gahci_cmd){ .command = 0x60, .features = 1, .count = 9 << 3,
		.device = 0x40, .prd = &prd, .nprd = 1 });
	gahci_issue(r->g, 4, 4);
	assert_int_equal(gahci_wait(r->g, 4) & 0x401, 0x401);
}

static void data_outside_ram_is_a_bus_error(void **state)
{
	static const struct { gpa_t gpa; u32 len; } bad[] = {
		{ 0xfee00000, 512 }, { FAKE_LOW_BYTES, 512 }, { FAKE_LOW_BYTES - 256, 512 },
		{ ~1ull, 512 }, { ~511ull, 512 }, { FAKE_HIGH_GPA + FAKE_HIGH_BYTES - 2, 4 << 20 },
	};
	struct rig *r = *state;

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		struct gprd prd[2] = { { fake_alloc(r->f, 512, 512), 512, false },
				       { bad[i].gpa, bad[i].len, false } };

		gahci_build(r->g, 0, &(struct gahci_cmd){ .command = 0x25, .count = 2,
			.device = 0x40, .prd = prd, .nprd = 2 });
		gahci_issue(r->g, 1, 0);
		gahci_wait(r->g, 1);
		assert_true(gahci_rd(r->g, PR_IS) & HBDS);
		assert_int_equal(gahci_rd(r->g, PR_CI), 1);
		gahci_recover(r->g);
		works(r);
	}
	/* identify data and packets alike */
	gahci_build(r->g, 0, &(struct gahci_cmd){ .command = 0xec,
		.prd = &(struct gprd){ FAKE_LOW_BYTES, 512, false }, .nprd = 1 });
	gahci_issue(r->g, 1, 0);
	gahci_wait(r->g, 1);
	assert_true(gahci_rd(r->g, PR_IS) & HBDS);
	gahci_recover(r->g);
	works(r);
}

static void lists_outside_ram_are_bus_errors(void **state)
{
	struct rig *r = *state;
	u8 *h = fake_ptr(r->f, r->g->clb, 32);

	build_read(r, 0, 0x25, 0, 1, fake_alloc(r->f, 512, 512));
	store_le32(h + 8, 0xfffff000);
	gahci_issue(r->g, 1, 0);
	gahci_wait(r->g, 1);
	assert_true(gahci_rd(r->g, PR_IS) & HBFS);
	gahci_recover(r->g);
	works(r);
	gahci_stop(r->g);
	gahci_wr(r->g, PR_CLBU, 7);
	gahci_start(r->g);
	gahci_issue(r->g, 1, 0);
	gahci_wait(r->g, 1);
	assert_true(gahci_rd(r->g, PR_IS) & HBFS);
	gahci_wr(r->g, PR_CLBU, 0);
	gahci_recover(r->g);
	works(r);
	/* nowhere to put FISes */
	gahci_stop(r->g);
	gahci_wr(r->g, PR_CMD, 6);
	gahci_wr(r->g, PR_FBU, 9);
	gahci_start(r->g);
	build_read(r, 0, 0x25, 0, 1, fake_alloc(r->f, 512, 512));
	gahci_issue(r->g, 1, 0);
	gahci_wait(r->g, 1);
	assert_true(gahci_rd(r->g, PR_IS) & HBFS);
}

static void a_strange_fis_is_an_interface_error(void **state)
{
	struct rig *r = *state;

	build_read(r, 0, 0x25, 0, 1, fake_alloc(r->f, 512, 512));
	((u8 *)fake_ptr(r->f, r->g->table, 1))[0] = 0x46;
	gahci_issue(r->g, 1, 0);
	gahci_wait(r->g, 1);
	assert_true(gahci_rd(r->g, PR_IS) & IFS);
	gahci_recover(r->g);
	works(r);
}

static void a_short_prd_table_is_an_overflow(void **state)
{
	struct rig *r = *state;
	struct gprd prd = { fake_alloc(r->f, 1024, 512), 1024, false };

	gahci_build(r->g, 0, &(struct gahci_cmd){ .command = 0x25, .count = 4, .device = 0x40,
		.prd = &prd, .nprd = 1 });
	gahci_issue(r->g, 1, 0);
	gahci_wait(r->g, 1);
	assert_int_equal(gahci_rd(r->g, PR_IS) & (OFS | TFES), OFS | TFES);
	gahci_recover(r->g);
	gahci_build(r->g, 0, &(struct gahci_cmd){ .command = 0xec });
	gahci_issue(r->g, 1, 0);
	gahci_wait(r->g, 1);
	assert_int_equal(gahci_rd(r->g, PR_IS) & (OFS | TFES), OFS | TFES);
	gahci_recover(r->g);
	works(r);
}

static void unknown_commands_are_aborted(void **state)
{
	static const u8 known[] = {
		0x06, 0x10, 0x20, 0x21, 0x24, 0x25, 0x29, 0x2f, 0x30, 0x31, 0x34, 0x35, 0x39, 0x3d,
		0x40, 0x41, 0x42, 0x47, 0x60, 0x61, 0x63, 0x64, 0x65, 0x70, 0x90, 0x91, 0xb0, 0xc4,
		0xc5, 0xc6, 0xc8, 0xc9, 0xca, 0xcb, 0xce, 0xe0, 0xe1, 0xe2, 0xe3, 0xe5, 0xe6, 0xe7,
		0xea, 0xec, 0xef,
	};
	struct rig *r = *state;

	for (unsigned c = 0; c < 256; c++) {
		if (memchr(known, (int)c, sizeof(known)))
			continue;
		if (gahci_do(r->g, (struct gahci_cmd){ .command = (u8)c, .device = 0x40 }, NULL, 0) !=
		    ABORTED)
			fail_msg("command %02x", c);
		gahci_recover(r->g);
	}
}

/* Requests that the back end has are waited for, and then nothing of them is told */
static void start_ten(struct rig *r, u8 command)
{
	gpa_t at = fake_alloc(r->f, 10 * 4096, 4096);

	for (unsigned i = 0; i < 10; i++)
		build_read(r, i, command, i * 8, 8, at + i * 4096);
	gahci_issue(r->g, 0x3ff, command == 0x60 ? 0x3ff : 0);
	loop_step(r->f->loop, 0);
}

static bool hr_off(void *arg)
{
	return !(gahci_rd(arg, AR_GHC) & 1);
}

static bool link_is_up(void *arg)
{
	return gahci_rd(arg, PR_SSTS) == 0x133;
}

static void every_reset_works_with_requests_in_flight(void **state)
{
	struct rig *r = *state;
	struct gahci *g = r->g;

	for (unsigned round = 0; round < 8; round++) {
		u64 mark = r->f->alloc_at;

		start_ten(r, round & 1 ? 0x60 : 0x25);
		switch (round >> 1) {
		case 0: /* the engine stops */
			gahci_stop(g);
			assert_int_equal(gahci_rd(g, PR_CI) | gahci_rd(g, PR_SACT), 0);
			gahci_start(g);
			break;
		case 1: /* COMRESET, without stopping first */
			gahci_wr(g, PR_SERR, ~0u);
			gahci_wr(g, PR_SCTL, 0x301);
			assert_int_equal(gahci_rd(g, PR_SSTS) & 1, 0);
			gahci_wr(g, PR_SCTL, 0x300);
			assert_true(fake_wait(r->f, link_is_up, g, 5000));
			assert_int_equal(gahci_rd(g, PR_SIG), 0x101);
			assert_true(gahci_rd(g, PR_SERR) & 1 << 26);
			assert_true(gahci_rd(g, PR_IS) & 0x40);
			gahci_wr(g, PR_SERR, ~0u);
			assert_false(gahci_rd(g, PR_IS) & 0x40);
			gahci_recover(g);
			break;
		case 2: /* the controller */
			gahci_wr(g, AR_GHC, 0x80000003);
			assert_true(fake_wait(r->f, hr_off, g, 5000));
			assert_int_equal(gahci_rd(g, AR_GHC), 0x80000000);
			assert_int_equal(gahci_rd(g, PR_CMD) & 0xc011, 0);
			assert_int_equal(gahci_rd(g, PR_IE), 0);
			assert_int_equal(gahci_rd(g, PR_CLB), g->clb);
			gahci_wr(g, AR_GHC, 0x80000002);
			gahci_wr(g, PR_IE, ~0u);
			gahci_wr(g, PR_SERR, ~0u);
			gahci_start(g);
			break;
		case 3: /* the machine */
			r->d->cls->reset(r->d, DEV_RESET_WARM);
			assert_int_equal(gahci_rd(g, PR_CLB), 0);
			gahci_close(g);
			r->g = g = gahci_open(r->f, r->d, 1);
			break;
		}
		fake_step(r->f);
		assert_int_equal(gahci_rd(g, PR_CI) | gahci_rd(g, PR_SACT), 0);
		works(r);
		fake_release(r->f, mark);
	}
}

static void software_reset_answers_with_the_signature(void **state)
{
	struct rig *r = *state;
	struct gahci *g = r->g;

	gahci_build(g, 0, &(struct gahci_cmd){ .is_control = true, .control = 4, .hdr_flags = 0x500 });
	gahci_build(g, 1, &(struct gahci_cmd){ .is_control = true });
	gahci_issue(g, 1, 0);
	gahci_wait(g, 1);
	gahci_issue(g, 2, 0);
	assert_int_equal(gahci_wait(g, 2) & 0xff, GOOD);
	assert_int_equal(g->rx[0x40], 0x34);
	assert_int_equal(g->rx[0x44], 1);
	assert_int_equal(g->rx[0x4c], 1);
	works(r);
	/* EXECUTE DEVICE DIAGNOSTIC: error register 1 means passed */
	assert_int_equal(gahci_do(g, (struct gahci_cmd){ .command = 0x90 }, NULL, 0), 0x150);
}

static void command_list_override_clears_busy(void **state)
{
	struct rig *r = *state;
	struct gahci *g = r->g;

	/* SRST without "clear busy": BSY until the second half */
	gahci_build(g, 0, &(struct gahci_cmd){ .is_control = true, .control = 4 });
	gahci_issue(g, 1, 0);
	assert_int_equal(gahci_wait(g, 1) & 0x80, 0x80);
	gahci_wr(g, PR_CMD, 0x1f); /* only with ST off */
	assert_int_equal(gahci_rd(g, PR_TFD) & 0x80, 0x80);
	gahci_stop(g);
	gahci_wr(g, PR_CMD, 0x1e);
	assert_int_equal(gahci_rd(g, PR_TFD) & 0x88, 0);
	assert_int_equal(gahci_rd(g, PR_CMD) & 8, 0);
	gahci_start(g);
	gahci_build(g, 0, &(struct gahci_cmd){ .is_control = true });
	gahci_issue(g, 1, 0);
	gahci_wait(g, 1);
	works(r);
}

static void the_link_can_be_off_and_slow(void **state)
{
	struct rig *r = *state;
	struct gahci *g = r->g;

	gahci_stop(g);
	gahci_wr(g, PR_SCTL, 4);
	assert_int_equal(gahci_rd(g, PR_SSTS), 4);
	gahci_wr(g, PR_SCTL, 0x11);
	gahci_wr(g, PR_SCTL, 0x10);
	assert_int_equal(gahci_rd(g, PR_SSTS), 0x113);
	gahci_wr(g, PR_SERR, ~0u);
	gahci_start(g);
	works(r);
}

static void queued_and_other_commands_take_turns(void **state)
{
	struct rig *r = *state;
	gpa_t at = fake_alloc(r->f, 8 * 4096, 4096);

	for (unsigned i = 0; i < 8; i++)
		build_read(r, i, i & 1 ? 0x25 : 0x60, i * 8, 8, at + i * 4096);
	gahci_issue(r->g, 0xff, 0x55);
	assert_int_equal(gahci_wait(r->g, 0xff) & 0xff, GOOD);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(*(u8 *)fake_ptr(r->f, at + i * 4096 + 77, 1),
				 pattern(i * 4096 + 77));
}

static void a_slot_issued_again_while_its_command_runs_waits(void **state)
{
	struct rig *r = *state;
	gpa_t at = fake_alloc(r->f, 8192, 4096);

	build_read(r, 6, 0x60, 16, 8, at);
	for (unsigned i = 0; i < 5; i++) {
		gahci_issue(r->g, 0x40, 0x40);
		loop_step(r->f->loop, 0);
		gahci_issue(r->g, 0x40, 0x40);
		gahci_issue(r->g, 0x40, 0x40);
		assert_int_equal(gahci_wait(r->g, 0x40) & 0xff, GOOD);
		fake_step(r->f);
	}
	works(r);
}

static void nothing_is_stored_after_stop(void **state)
{
	struct rig *r = *state;
	u64 calls;

	start_ten(r, 0x60);
	r->d->cls->stop(r->d);
	r->d->cls->stop(r->d);
	calls = atomic_load(&r->f->wrote_calls);
	gahci_issue(r->g, 0x3ff, 0x3ff);
	fake_step(r->f);
	assert_int_equal(atomic_load(&r->f->wrote_calls), calls);
	assert_int_equal(r->d->cls->start(r->d), 0);
	gahci_wait(r->g, 0x3ff);
}

static void a_host_that_fails_is_an_error_of_the_disk(void **state)
{
	struct fake *f = fake_new();
	struct gahci *g;
	struct dev *d;
	char path[64];
	u8 buf[512] = { 3 };
	int fd = memfd_create("disk", MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d,aio=threads,lock=off", fd);
	d = fake_dev(f, "ahci-hd", 3, path, NULL);
	assert_non_null(d);
	g = gahci_open(f, d, 1);
	assert_int_equal(gahci_do(g, (struct gahci_cmd){ .command = 0x35, .count = 1,
		.device = 0x40, .write = true }, buf, 512), GOOD);
	/* from now on nobody can write to it */
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	assert_int_equal(gahci_do(g, (struct gahci_cmd){ .command = 0x35, .count = 1,
		.device = 0x40, .write = true }, buf, 512), ABORTED);
	gahci_recover(g);
	buf[0] = 0;
	assert_int_equal(gahci_do(g, (struct gahci_cmd){ .command = 0x25, .count = 1,
		.device = 0x40 }, buf, 512), GOOD);
	assert_int_equal(buf[0], 3);
	gahci_close(g);
	fake_dev_free(d);
	fake_free(f);
	close(fd);
}

/* The loop has a thread of its own here, as in a real machine; this thread is the vCPU */
static void registers_and_completions_may_meet_at_any_moment(void **state)
{
	struct rig *r = *state;
	struct gahci *g = r->g;
	gpa_t at = fake_alloc(r->f, 32 * 4096, 4096);
	struct strbuf b = { 0 };

	assert_int_equal(loop_start(r->f->loop, "test:io", NULL), 0);
	for (unsigned round = 0; round < 300; round++) {
		for (unsigned i = 0; i < 32; i++)
			build_read(r, i, round & 1 ? 0x60 : 0x25, i * 8, 8, at + i * 4096);
		gahci_issue(g, ~0u, round & 1 ? ~0u : 0);
		if (round % 3 == 1) {
			gahci_wr(g, PR_CMD, 0x16);
			while (gahci_rd(g, PR_CMD) & 0x8000)
				sched_yield();
			gahci_wr(g, PR_CMD, 0x17);
		} else if (round % 3 == 2 && round % 5 == 0) {
			gahci_wr(g, PR_SCTL, 1);
			gahci_wr(g, PR_SCTL, 0);
			while (gahci_rd(g, PR_SSTS) != 0x133)
				sched_yield();
			gahci_wr(g, PR_CMD, 0x16);
			while (gahci_rd(g, PR_CMD) & 0x8000)
				sched_yield();
			gahci_wr(g, PR_CMD, 0x17);
		} else {
			while (gahci_rd(g, PR_CI) | gahci_rd(g, PR_SACT))
				sched_yield();
			assert_int_equal(*(u8 *)fake_ptr(r->f, at + 31 * 4096 + 9, 1),
					 pattern(31 * 4096 + 9));
		}
		gahci_wr(g, PR_IS, ~0u);
		gahci_wr(g, AR_IS, 1);
		if (round % 50 == 0)
			r->d->cls->dump(r->d, &b);
	}
	strbuf_fini(&b);
	gahci_issue(g, 0x3ff, 0);
	r->d->cls->stop(r->d);
	loop_stop(r->f->loop);
}

static void no_register_write_harms(void **state)
{
	struct rig *r = *state;
	u64 x = 88172645463325252ull;

	for (unsigned i = 0; i < 20000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		gahci_wr(r->g, (unsigned)(x >> 40) & 0x3fc,
			 x & 0x100 ? (u32)(x >> 8) : 1u << (x & 31));
		if (!(i % 16))
			loop_step(r->f->loop, 0);
		gahci_rd(r->g, (unsigned)(x >> 20) & 0x3fc);
	}
	r->d->cls->reset(r->d, DEV_RESET_POWER_ON);
	gahci_close(r->g);
	r->g = gahci_open(r->f, r->d, 1);
	works(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HD_TEST(a_read_beyond_the_end_stops_the_engine),
		HD_TEST(one_bad_queued_command_ends_all_and_is_in_the_log),
		HD_TEST(a_tag_that_is_not_its_slot_is_an_error),
		HD_TEST(data_outside_ram_is_a_bus_error),
		HD_TEST(lists_outside_ram_are_bus_errors),
		HD_TEST(a_strange_fis_is_an_interface_error),
		HD_TEST(a_short_prd_table_is_an_overflow),
		HD_TEST(unknown_commands_are_aborted),
		HD_TEST(every_reset_works_with_requests_in_flight),
		HD_TEST(software_reset_answers_with_the_signature),
		HD_TEST(command_list_override_clears_busy),
		HD_TEST(the_link_can_be_off_and_slow),
		HD_TEST(queued_and_other_commands_take_turns),
		HD_TEST(a_slot_issued_again_while_its_command_runs_waits),
		HD_TEST(nothing_is_stored_after_stop),
		cmocka_unit_test(a_host_that_fails_is_an_error_of_the_disk),
		HD_TEST(registers_and_completions_may_meet_at_any_moment),
		HD_TEST(no_register_write_harms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
