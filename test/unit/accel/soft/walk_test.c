// SPDX-License-Identifier: BSD-2-Clause
/* Page tables in places where a walk's accessed and dirty bits need thought */
#include "hostile_rig.h"

#define ROM_AT 0x800000u
#define LOG_AT 0x900000u
#define LINEAR (6 * GiB) /* PML4 entry 0, PDPT entry 6 */

static u8 *map(struct rig *r, unsigned id, gpa_t gpa, u32 flags)
{
	struct accel_ram ram = { .id = id, .gpa = gpa, .len = 0x4000, .flags = flags };

	ram.hva = mmap(NULL, ram.len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(ram.hva, MAP_FAILED);
	assert_int_equal(sc_accel_ops.ram_map(r->vm, &ram), 0);
	return ram.hva;
}

/* mov %al, (%rdi); mov (%rdi), %bl; hlt */
static void store_and_load(struct rig *r, u64 at, u8 what)
{
	static const u8 code[] = { 0x88, 0x07, 0x8a, 0x1f, 0xf4 };
	struct accel_exit_info info;

	memcpy(r->low + CODE_AT, code, sizeof(code));
	cpu_init(r->v[0], M_LONG, CODE_AT);
	r->v[0]->gpr[X86_RDI] = at;
	r->v[0]->gpr[X86_RAX] = what;
	assert_int_equal(sc_accel_ops.vcpu_run(&r->v[0]->base, &info), 0);
	assert_int_equal(info.exit, ACCEL_EXIT_HLT);
	assert_int_equal(r->v[0]->gpr[X86_RBX] & 0xff, what);
}

static void set_up(struct rig *r)
{
	rig_open(r, 1);
	r->quiet = true;
	tables_init(r);
	gdt_init(r);
	memset(r->low + IDT_AT, 0, 0x1000);
}

/* One table in ROM: its bits stay as they are, and nobody minds */
static void tables_in_rom_are_not_written(void **state)
{
	struct rig r;
	u64 *rom;

	set_up(&r);
	rom = (u64 *)map(&r, 5, ROM_AT, ACCEL_RAM_ROM);
	rom[0] = (ROM_AT + 0x1000) | 7;
	rom[512] = DATA_AT | 7;
	assert_int_equal(mprotect(rom, 0x4000, PROT_READ), 0);
	put64(&r, PDPT_AT + 8 * 6, ROM_AT | 7);
	store_and_load(&r, LINEAR, 0x5c);
	assert_int_equal(r.low[DATA_AT], 0x5c);
	assert_int_equal(rom[0], (ROM_AT + 0x1000) | 7);
	assert_int_equal(rom[512], DATA_AT | 7);
	assert_int_equal(wild, 0);
	assert_int_equal(sc_accel_ops.ram_unmap(r.vm, 5), 0);
	munmap(rom, 0x4000);
	rig_close(&r);
}

/* Whoever saves dirty pages has to save the tables, too */
static void tables_that_a_walk_changes_are_dirty(void **state)
{
	u64 dirty = 0;
	struct rig r;
	u64 *log;

	set_up(&r);
	log = (u64 *)map(&r, 5, LOG_AT, ACCEL_RAM_LOG);
	log[512] = (LOG_AT + 0x2000) | 7;
	log[1024] = DATA_AT | 7;
	put64(&r, PDPT_AT + 8 * 6, (LOG_AT + 0x1000) | 7);
	store_and_load(&r, LINEAR, 0x5d);
	assert_int_equal(log[512], (LOG_AT + 0x2000) | 0x27);
	assert_int_equal(log[1024], DATA_AT | 0x67);
	assert_int_equal(sc_accel_ops.dirty_take(r.vm, 5, &dirty), 0);
	assert_int_equal(dirty, 6);
	/* They are as they should be now: the next walk changes nothing */
	store_and_load(&r, LINEAR, 0x5e);
	assert_int_equal(sc_accel_ops.dirty_take(r.vm, 5, &dirty), 0);
	assert_int_equal(dirty, 0);
	assert_int_equal(sc_accel_ops.ram_unmap(r.vm, 5), 0);
	munmap(log, 0x4000);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_in_rom_are_not_written),
		cmocka_unit_test(tables_that_a_walk_changes_are_dirty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
