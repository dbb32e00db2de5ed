// SPDX-License-Identifier: BSD-2-Clause
/* Guest RAM: blocks, bounds, who is told of a store */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mem/mem.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)

struct told {
	int n;
	gpa_t gpa[8];
	u64 len[8];
	u8 first; /* byte at gpa when told */
	struct mem *m;
};

static void tell(void *arg, gpa_t gpa, u64 len)
{
	struct told *t = arg;

	t->first = *(u8 *)mem_ptr(t->m, gpa, 1);
	t->gpa[t->n] = gpa;
	t->len[t->n++] = len;
}

/* 1 MiB at 0, 1 MiB right after it, ROM of 64 KiB at 4 MiB, RAM at 4 GiB */
static void make(struct mem *m)
{
	struct hk_err e;

	mem_init(m);
	assert_int_equal(mem_add(m, 4 * GIB, MIB, 0, &e), 0);
	assert_int_equal(mem_add(m, 0, MIB, 0, &e), 0);
	assert_int_equal(mem_add(m, 4 * MIB, 65536, MEM_ROM, &e), 0);
	assert_int_equal(mem_add(m, MIB, MIB, 0, &e), 0);
}

static void blocks_are_sorted_and_zero(void **s)
{
	struct mem m;

	make(&m);
	assert_int_equal(m.num_blocks, 4);
	for (unsigned i = 1; i < m.num_blocks; i++)
		assert_true(m.block[i - 1].gpa < m.block[i].gpa);
	for (unsigned i = 0; i < MIB; i += 4096)
		assert_int_equal(m.block[0].hva[i], 0);
	mem_fini(&m);
	assert_int_equal(m.num_blocks, 0);
}

static void a_block_has_the_huge_page_offset_of_its_address(void **s)
{
	struct mem m;

	make(&m);
	for (unsigned i = 0; i < m.num_blocks; i++)
		assert_int_equal((uintptr_t)m.block[i].hva % (2 * MIB), m.block[i].gpa % (2 * MIB));
	mem_fini(&m);
}

static void impossible_blocks_are_refused(void **s)
{
	struct mem m;
	struct hk_err e;

	make(&m);
	assert_int_equal(mem_add(&m, MIB / 2, MIB, 0, &e), -EEXIST);
	assert_non_null(strstr(e.text, "overlaps"));
	assert_int_equal(mem_add(&m, 2 * MIB, 0, 0, &e), -EINVAL);
	assert_int_equal(mem_add(&m, 2 * MIB + 1, 4096, 0, &e), -EINVAL);
	assert_int_equal(mem_add(&m, 2 * MIB, 4097, 0, &e), -EINVAL);
	assert_int_equal(mem_add(&m, ~0ull & PAGE_MASK, 2 * 4096, 0, &e), -EINVAL);
	assert_int_equal(mem_add(&m, 8 * GIB, 1ull << 51, 0, &e), -ENOMEM);
	assert_int_equal(m.num_blocks, 4);
	for (unsigned i = 4; i < MEM_MAX_BLOCKS; i++)
		assert_int_equal(mem_add(&m, (16 + i) * MIB, 4096, 0, &e), 0);
	assert_int_equal(mem_add(&m, 64 * MIB, 4096, 0, &e), -ENOSPC);
	mem_fini(&m);
}

static void much_memory_costs_nothing_until_touched(void **s)
{
	struct mem m;
	u8 x = 7, y = 0;

	mem_init(&m);
	assert_int_equal(mem_add(&m, 4 * GIB, 64 * GIB, 0, NULL), 0);
	assert_int_equal(mem_write(&m, 67 * GIB, &x, 1), 0);
	assert_int_equal(mem_read(&m, 67 * GIB, &y, 1), 0);
	assert_int_equal(y, 7);
	mem_fini(&m);
}

static void ptr_stays_in_one_block(void **s)
{
	struct mem m;

	make(&m);
	assert_ptr_equal(mem_ptr(&m, 0, MIB), m.block[0].hva);
	assert_ptr_equal(mem_ptr(&m, MIB - 1, 1), m.block[0].hva + MIB - 1);
	assert_null(mem_ptr(&m, MIB - 1, 2));
	assert_null(mem_ptr(&m, 2 * MIB, 1));
	assert_null(mem_ptr(&m, 0, ~0ull));
	assert_null(mem_ptr(&m, ~0ull, 1));
	assert_non_null(mem_ptr(&m, 4 * MIB, 65536)); /* ROM is readable */
	mem_fini(&m);
}

static void copies_cross_blocks(void **s)
{
	struct mem m;
	u8 in[256], out[256];

	make(&m);
	for (unsigned i = 0; i < sizeof(in); i++)
		in[i] = i ^ 0x5a;
	assert_int_equal(mem_write(&m, MIB - 100, in, sizeof(in)), 0);
	assert_int_equal(mem_read(&m, MIB - 100, out, sizeof(out)), 0);
	assert_memory_equal(in, out, sizeof(in));
	assert_memory_equal(m.block[1].hva, in + 100, 156);
	mem_fini(&m);
}

static void outside_of_ram_is_a_fault(void **s)
{
	struct mem m;
	u8 buf[16] = { 0 };

	make(&m);
	assert_int_equal(mem_read(&m, 2 * MIB - 8, buf, 16), -EFAULT);
	assert_int_equal(mem_write(&m, 2 * MIB - 8, buf, 16), -EFAULT);
	assert_int_equal(mem_read(&m, 3 * MIB, buf, 1), -EFAULT);
	assert_int_equal(mem_read(&m, ~0ull, buf, 2), -EFAULT);
	assert_int_equal(mem_read(&m, 3 * MIB, buf, 0), 0);
	mem_fini(&m);
}

static void rom_is_read_only_for_devices(void **s)
{
	struct mem m;
	struct iovec iov[2];
	u8 x = 1;

	make(&m);
	assert_int_equal(mem_read(&m, 4 * MIB, &x, 1), 0);
	assert_int_equal(x, 0);
	assert_int_equal(mem_write(&m, 4 * MIB, &x, 1), -EFAULT);
	assert_int_equal(mem_iov(&m, 4 * MIB, 16, true, iov, 2), -EFAULT);
	assert_int_equal(mem_iov(&m, 4 * MIB, 16, false, iov, 2), 1);
	mem_fini(&m);
}

static void iov_gives_the_pieces(void **s)
{
	struct mem m;
	struct iovec iov[2];

	make(&m);
	assert_int_equal(mem_iov(&m, MIB - 16, 48, true, iov, 2), 2);
	assert_ptr_equal(iov[0].iov_base, m.block[0].hva + MIB - 16);
	assert_int_equal(iov[0].iov_len, 16);
	assert_ptr_equal(iov[1].iov_base, m.block[1].hva);
	assert_int_equal(iov[1].iov_len, 32);
	assert_int_equal(mem_iov(&m, MIB - 16, 48, true, iov, 1), -E2BIG);
	assert_int_equal(mem_iov(&m, 2 * MIB - 16, 48, true, iov, 2), -EFAULT);
	assert_int_equal(mem_iov(&m, 0, 0, true, iov, 0), 0);
	mem_fini(&m);
}

static void a_store_is_told_after_it_happened(void **s)
{
	struct mem m;
	struct told t = { .m = &m };
	u8 x[2] = { 0xab, 0xcd };

	make(&m);
	m.wrote = tell;
	m.wrote_arg = &t;
	assert_int_equal(mem_write(&m, 0x5000, x, 2), 0);
	assert_int_equal(t.n, 1);
	assert_int_equal(t.gpa[0], 0x5000);
	assert_int_equal(t.len[0], 2);
	assert_int_equal(t.first, 0xab);
	mem_wrote(&m, 0x6000, 8);
	assert_int_equal(t.n, 2);
	assert_int_equal(t.gpa[1], 0x6000);
	mem_wrote(&m, 0x6000, 0);
	assert_int_equal(t.n, 2);
	assert_int_equal(mem_read(&m, 0x5000, x, 2), 0);
	assert_int_equal(t.n, 2);
	mem_fini(&m);
}

static void a_store_that_fails_midway_is_told_as_far_as_it_went(void **s)
{
	struct mem m;
	struct told t = { .m = &m };
	u8 x[16] = { 1 };

	make(&m);
	m.wrote = tell;
	m.wrote_arg = &t;
	assert_int_equal(mem_write(&m, 2 * MIB - 4, x, 16), -EFAULT);
	assert_int_equal(t.n, 1);
	assert_int_equal(t.len[0], 4);
	mem_fini(&m);
}

/* Dies by a signal (or a sanitizer's report) if the byte cannot be touched */
static bool touching_kills(volatile u8 *p)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		signal(SIGSEGV, SIG_DFL);
		close(2);
		*p = 1;
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return !WIFEXITED(status) || WEXITSTATUS(status);
}

static void guard_pages_stand_on_both_sides(void **s)
{
	struct mem m;

	make(&m);
	assert_false(touching_kills(m.block[0].hva));
	assert_false(touching_kills(m.block[0].hva + MIB - 1));
	assert_true(touching_kills(m.block[0].hva - 1));
	assert_true(touching_kills(m.block[0].hva + MIB));
	mem_fini(&m);
}

static u64 told_bytes;

static void count_told(void *arg, gpa_t gpa, u64 len)
{
	told_bytes += len;
}

static void discarded_pages_are_zero_and_told_and_their_neighbours_stay(void **s)
{
	struct mem m;
	u8 *p;

	make(&m);
	m.wrote = count_told;
	told_bytes = 0;
	p = mem_ptr(&m, m.block[0].gpa, 8 * 4096);
	memset(p, 0x55, 8 * 4096);
	/* a byte of page 1 and of page 4 are outside: two whole pages are inside */
	assert_int_equal(mem_discard(&m, m.block[0].gpa + 4097, 3 * 4096), 2 * 4096);
	assert_int_equal(told_bytes, 2 * 4096);
	for (unsigned i = 0; i < 8 * 4096; i++)
		assert_int_equal(p[i], i / 4096 == 2 || i / 4096 == 3 ? 0 : 0x55);
	assert_int_equal(mem_discard(&m, m.block[0].gpa + 100, 3000), 0);
	assert_int_equal(mem_discard(&m, 0x7000000000, 4096), -EFAULT);
	assert_int_equal(mem_discard(&m, ~0ull - 4095, 8192), -EFAULT);
	assert_int_equal(told_bytes, 2 * 4096);
	mem_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(discarded_pages_are_zero_and_told_and_their_neighbours_stay),
		cmocka_unit_test(blocks_are_sorted_and_zero),
		cmocka_unit_test(a_block_has_the_huge_page_offset_of_its_address),
		cmocka_unit_test(impossible_blocks_are_refused),
		cmocka_unit_test(much_memory_costs_nothing_until_touched),
		cmocka_unit_test(ptr_stays_in_one_block),
		cmocka_unit_test(copies_cross_blocks),
		cmocka_unit_test(outside_of_ram_is_a_fault),
		cmocka_unit_test(rom_is_read_only_for_devices),
		cmocka_unit_test(iov_gives_the_pieces),
		cmocka_unit_test(a_store_is_told_after_it_happened),
		cmocka_unit_test(a_store_that_fails_midway_is_told_as_far_as_it_went),
		cmocka_unit_test(guard_pages_stand_on_both_sides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
