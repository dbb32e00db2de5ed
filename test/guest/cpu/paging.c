// SPDX-License-Identifier: BSD-2-Clause
/* 4-level paging: rights at each level, reserved bits, A and D, large pages, INVLPG, global
 * pages, WP, NX, SMEP and SMAP where CPUID shows them */
#include "cpu.h"

NO_APS

CODE(rd, "nop", "mov (%rdi), %rax");
CODE(wr, "nop", "mov %rsi, (%rdi)");
CODE(rmw, "nop", "addq $1, (%rdi)");
CODE(cas_fail, "mov $-1, %rax", "cmpxchg %rsi, (%rdi)");
CODE(exec, "nop", "call *%rdi");
CODE(wr_twice, "nop", "mov %rsi, (%rdi); mov %rsi, 8(%rdi)");
CODE(push_, "mov %rsp, %r8; mov %rdi, %rsp", "push %rsi; mov %r8, %rsp");
CODE(sse_wr, "nop", "movups %xmm0, (%rdi)");
CODE(wr_split, "nop", "mov %rsi, (%rdi)");

static u64 page, page2;
#define VA (TEST_VA + 0x1234000)

static void rights(void)
{
	static const char *const name[] = { "", "PT", "PD", "PDPT", "PML4" };

	for (unsigned level = 1; level <= 4; level++) {
		volatile u64 *e;
		u64 full;

		map(VA, page, P_P | P_W | P_U, 1);
		e = entry(VA, level);
		full = *e;
		put(name[level]);
		put(":\r\n");
		*e = full & ~P_P, invlpg(VA);
		faults(rd, VA, 0, PF, 0, "not present: read is 0");
		faults(wr, VA, 0, PF, 2, "write is 2");
		faults_user(rd, VA, 0, PF, 4, "read of ring 3 is 4");
		run(exec, VA, 0);
		ended(PF, 0x10, VA, "fetch is 0x10");
		*e = full & ~P_W, invlpg(VA);
		faults(wr, VA, 1, PF, 3, "not writable: write is 3");
		faults_user(wr, VA, 1, PF, 7, "write of ring 3 is 7");
		faults_user(rmw, VA, 0, PF, 7, "read-modify-write of ring 3 is 7");
		faults(cas_fail, VA, 0, PF, 3, "CMPXCHG that fails is 3");
		returns_user(rd, VA, 0, "read is fine");
		write_cr0(read_cr0() & ~0x10000ul);
		returns(wr, VA, 0xc3, "without CR0.WP ring 0 writes");
		faults_user(wr, VA, 1, PF, 7, "but ring 3 does not");
		write_cr0(read_cr0() | 0x10000);
		faults(wr, VA, 1, PF, 3, "with CR0.WP again ring 0 does not");
		*e = full & ~P_U, invlpg(VA);
		faults_user(rd, VA, 0, PF, 5, "not the user's: read of ring 3 is 5");
		faults_user(wr, VA, 0, PF, 7, "write of ring 3 is 7");
		run_user(exec, VA, 0);
		ended(PF, 0x15, VA, "fetch of ring 3 is 0x15");
		returns(wr, VA, 0xc3, "ring 0 may");
		*e = full | P_NX, invlpg(VA);
		run(exec, VA, 0);
		ended(PF, 0x11, VA, "NX: fetch is 0x11");
		run_user(exec, VA, 0);
		ended(PF, 0x15, VA, "of ring 3 0x15");
		returns_user(wr, VA, 0xc3, "read and write are fine");
		*e = full | 1ul << 51, invlpg(VA);
		faults(rd, VA, 0, PF, 9, "reserved address bit: read is 9");
		faults_user(wr, VA, 0, PF, 0xf, "write of ring 3 is 0xf");
		*e = (full | 1ul << 51) & ~P_P, invlpg(VA);
		faults(rd, VA, 0, PF, 0, "unless not present");
		if (level == 4) {
			*e = full | P_PS, invlpg(VA);
			faults(rd, VA, 0, PF, 9, "PS is reserved here");
		}
		wrmsr(0xC0000080, rdmsr(0xC0000080) & ~0x800ul);
		*e = full | P_NX, invlpg(VA);
		faults(rd, VA, 0, PF, 9, "bit 63 without EFER.NXE is reserved");
		*e = full, invlpg(VA);
		*e = full & ~P_P, invlpg(VA);
		run(exec, VA, 0);
		ended(PF, 0, VA, "fetch without NXE does not say so");
		wrmsr(0xC0000080, rdmsr(0xC0000080) | 0x800);
		*e = full, invlpg(VA);
		returns_user(wr, VA, 0xc3, "all rights: fine");
		returns_user(exec, VA, 0, "also to run");
	}
}

static void ad(void)
{
	volatile u64 *e = map(VA, page, P_P | P_W | P_U, 1), *up[5];
	u64 full = *e;

	for (unsigned l = 2; l <= 4; l++)
		up[l] = entry(VA, l);
#define FRESH (*e = full & ~(P_A | P_D), invlpg(VA))
	*up[2] &= ~(P_A | P_D), *up[3] &= ~(P_A | P_D), *up[4] &= ~(P_A | P_D);
	FRESH;
	returns(rd, VA, 0, "read");
	equal(*e & (P_A | P_D), P_A, "sets A and not D");
	for (unsigned l = 2; l <= 4; l++)
		equal(*up[l] & (P_A | P_D), P_A, "A above, never D");
	returns(wr, VA, 0xc3, "a write then");
	equal(*e & (P_A | P_D), P_A | P_D, "sets D");
	FRESH;
	returns(wr_twice, VA, 0xc3, "write first");
	equal(*e & (P_A | P_D), P_A | P_D, "sets A and D");
	FRESH;
	returns(exec, VA, 0, "fetch");
	equal(*e & (P_A | P_D), P_A, "sets A");
	FRESH;
	RD(u64, page) = 5;
	returns(cas_fail, VA, 0, "CMPXCHG that fails");
	equal(*e & (P_A | P_D), P_A | P_D, "sets D");
	FRESH;
	returns(push_, VA + 64, 0, "PUSH");
	equal(*e & (P_A | P_D), P_A | P_D, "sets D");
	FRESH;
	returns(sse_wr, VA, 0, "SSE store");
	equal(*e & (P_A | P_D), P_A | P_D, "sets D");
	FRESH;
	returns_user(rd, VA, 0, "ring 3 read");
	equal(*e & (P_A | P_D), P_A, "sets A");
	returns_user(wr, VA, 0xc3, "ring 3 write");
	equal(*e & (P_A | P_D), P_A | P_D, "sets D");
	/* what faults sets no D */
	*e = (full & ~(P_W | P_A | P_D)), invlpg(VA);
	faults(wr, VA, 0, PF, 3, "write to a read-only page");
	equal(*e & P_D, 0, "sets no D");
	*e = (full & ~(P_U | P_A | P_D)), invlpg(VA);
	faults_user(wr, VA, 0, PF, 7, "ring 3 write to ring 0's page");
	equal(*e & P_D, 0, "sets no D");
	/* D is set again after it was cleared and flushed */
	*e = full, invlpg(VA);
	returns(wr, VA, 0xc3, "write");
	*e &= ~P_D;
	invlpg(VA);
	returns(wr, VA, 0xc3, "write after D was cleared");
	equal(*e & P_D, P_D, "sets it again");
	*e &= ~P_D;
	write_cr3(read_cr3());
	returns(wr, VA, 0xc3, "the same with MOV CR3");
	equal(*e & P_D, P_D, "sets it again");
	/* across two pages, the second of which may not be written */
	map(VA, page, P_P | P_W | P_U, 1);
	volatile u64 *e2 = map(VA + 4096, page2, P_P | P_U, 1);
	run(wr_split, VA + 4092, 0);
	equal(last.cr2, VA + 4096, "write across pages into a read-only one faults there");
	equal(*e2 & P_D, 0, "and sets no D in it");
	*e2 = 0;
	invlpg(VA + 4096);
}

static void large(void)
{
	u64 big = 0x1000000, two = TEST_VA + 0x40000000ul, one = TEST_VA + 0x80000000ul;
	u32 r[4];
	volatile u64 *e = map(two, big, P_P | P_W | P_U, 2);

	RD(u64, big + 0x12345 * 8) = 0x1122334455667788ul;
	run(rd, two + 0x12345 * 8, 0);
	ended(NONE, 0, 0, "2 MiB page");
	equal(RD(u64, two + 0x12345 * 8), 0x1122334455667788ul, "reads the right place");
	equal(*e & (P_A | P_D), P_A, "read sets A");
	RD(u64, two + 0x1ff000) = 7;
	equal(*e & (P_A | P_D), P_A | P_D, "write sets D");
	equal(RD(u64, big + 0x1ff000), 7, "at the right place");
	*e = (big + 0x2000) | P_P | P_W | P_PS, invlpg(two);
	faults(rd, two, 0, PF, 9, "2 MiB page: address bit 13 is reserved");
	*e = (big + 0x100000) | P_P | P_W | P_PS, invlpg(two);
	faults(rd, two, 0, PF, 9, "bit 20 too");
	*e = big | 0x1000 | P_P | P_W | P_PS, invlpg(two);
	returns(rd, two, 0, "bit 12 is PAT and fine");
	/* INVLPG anywhere in it drops it all */
	*e = big | P_P | P_W | P_PS, invlpg(two);
	RD(u64, big + 0x5000) = 1, RD(u64, big + 0x200000 + 0x5000) = 2;
	RD(u64, big + 0x9000) = 1, RD(u64, big + 0x200000 + 0x9000) = 2;
	equal(RD(u64, two + 0x5000) + RD(u64, two + 0x9000), 2, "2 MiB page, two pieces");
	*e = (big + 0x200000) | P_P | P_W | P_PS;
	invlpg(two + 0x1f0000);
	equal(RD(u64, two + 0x5000) + RD(u64, two + 0x9000), 4, "INVLPG of another piece drops both");
	/* a table in place of the large page */
	volatile u64 *t = (volatile u64 *)page_alloc();
	t[5] = page | P_P | P_W, t[9] = page2 | P_P | P_W;
	RD(u64, page) = 55, RD(u64, page2) = 99;
	*e = (u64)t | P_P | P_W;
	invlpg(two);
	equal(RD(u64, two + 0x5000), 55, "split into small pages: first");
	equal(RD(u64, two + 0x9000), 99, "second");
	faults(rd, two, 0, PF, 0, "and what is not there is not");
	*e = 0;
	invlpg(two);

	cpuid(0x80000001, 0, r);
	if (r[3] & 1u << 26) {
		e = map(one, 0, P_P | P_W | P_U, 3);
		equal(RD(u64, one + big + 0x9000), 1, "1 GiB page");
		equal(*e & (P_A | P_D), P_A, "read sets A");
		RD(u64, one + big + 0x9000) = 3;
		equal(*e & (P_A | P_D), P_A | P_D, "write sets D");
		equal(RD(u64, big + 0x9000), 3, "at the right place");
		*e = 0x2000 | P_P | P_W | P_PS, invlpg(one);
		faults(rd, one, 0, PF, 9, "1 GiB page: address bit 13 is reserved");
		*e = 0x20000000 | P_P | P_W | P_PS, invlpg(one);
		faults(rd, one, 0, PF, 9, "bit 29 too");
		*e = P_P | P_W | P_PS, invlpg(one);
		equal(RD(u64, one + big + 0x9000), 3, "good again");
		*e = 0;
		invlpg(one + 0x3fffffff);
		faults(rd, one + big + 0x9000, 0, PF, 0, "INVLPG at its end drops it all");
		run(exec, one, 0);
		ended(PF, 0x10, one, "for code too");
	} else {
		e = map(one, 0, P_P | P_W | P_U, 3);
		faults(rd, one, 0, PF, 9, "1 GiB page without CPUID's leave is reserved");
		*e = 0;
	}
	invlpg(one);
}

static u64 via(u64 va) { return RD(u64, va); }

/* What must be gone after each kind of flush. What may stay is not tested. */
static void flushes(void)
{
	volatile u64 *e = map(VA, page, P_P | P_W | P_U, 1);
	u64 cr4 = read_cr4();

	RD(u64, page) = 1, RD(u64, page2) = 2;
	equal(via(VA), 1, "first mapping");
	*e = page2 | P_P | P_W | P_U;
	invlpg(VA + 0xfff);
	equal(via(VA), 2, "INVLPG");
	*e = page | P_P | P_W | P_U;
	write_cr3(read_cr3());
	equal(via(VA), 1, "MOV CR3");
	write_cr4(cr4 | 0x80);
	*e = page | P_P | P_W | P_U | P_G;
	invlpg(VA);
	equal(via(VA), 1, "global page");
	*e = page2 | P_P | P_W | P_U | P_G;
	invlpg(VA);
	equal(via(VA), 2, "INVLPG drops a global one");
	*e = page | P_P | P_W | P_U | P_G;
	write_cr4(cr4);
	equal(via(VA), 1, "clearing CR4.PGE drops global ones");
	write_cr4(cr4 | 0x80);
	*e = page2 | P_P | P_W | P_U;
	write_cr4(cr4);
	equal(via(VA), 2, "so it does others");
	*e = page | P_P | P_W | P_U;
	write_cr0(read_cr0() ^ 0x10000);
	write_cr0(read_cr0() ^ 0x10000);
	write_cr3(read_cr3());
	equal(via(VA), 1, "after CR0.WP and MOV CR3");
	/* another table by MOV CR3, many times, as a scheduler does */
	u64 other = page_alloc(), pdpt2 = page_alloc(), pd2 = page_alloc(), pt2 = page_alloc();
	u64 mine = read_cr3(), sum = 0;

	for (unsigned i = 0; i < 512; i++)
		RD(u64, other + 8 * i) = pml4[i];
	RD(u64, other + 8 * (VA >> 39 & 511)) = pdpt2 | 7;
	RD(u64, pdpt2 + 8 * (VA >> 30 & 511)) = pd2 | 7;
	RD(u64, pd2 + 8 * (VA >> 21 & 511)) = pt2 | 7;
	RD(u64, pt2 + 8 * (VA >> 12 & 511)) = page2 | 7;
	for (unsigned i = 0; i < 1000; i++) {
		write_cr3(i & 1 ? other : mine);
		sum += via(VA);
	}
	write_cr3(mine);
	equal(sum, 1500, "1000 switches of CR3");
	/* the same for code */
	RD(u32, page) = 0xc3c0ff48; /* inc rax; ret */
	RD(u32, page2) = 0xc3c8ff48; /* dec rax; ret */
	sum = 0;
	for (unsigned i = 0; i < 1000; i++) {
		u64 x = 10;

		write_cr3(i & 1 ? other : mine);
		__asm__ volatile("call *%1" : "+a"(x) : "r"(VA));
		sum += x - 9;
	}
	write_cr3(mine);
	equal(sum, 1000, "1000 switches of CR3 with code there");
	/* code through INVLPG */
	sum = 0;
	for (unsigned i = 0; i < 100; i++) {
		u64 x = 10;

		*e = (i & 1 ? page2 : page) | 7;
		invlpg(VA);
		__asm__ volatile("call *%1" : "+a"(x) : "r"(VA));
		sum += x == (i & 1 ? 9 : 11);
	}
	equal(sum, 100, "code remapped by INVLPG");
	/* more rights need no flush: a fault must not come from an old entry */
	*e = page | P_P, invlpg(VA);
	equal(via(VA) & 0xff, 0x48, "read-only page");
	*e = page | P_P | P_W;
	returns(wr, VA, 0xc3, "made writable without a flush: no fault");
	*e = page | P_P | P_W | P_NX, invlpg(VA);
	via(VA);
	*e = page | P_P | P_W;
	returns(exec, VA, 0, "made executable without a flush: no fault");
	*e = 0, invlpg(VA);
	faults(rd, VA, 0, PF, 0, "absent");
	*e = page | P_P;
	returns(rd, VA, 0, "made present without a flush: no fault");
	*e = page | P_P | P_W, invlpg(VA);
	returns_user(rd, USER(page) , 0, "some other page");
	*e = page | P_P | P_W | P_U;
	returns_user(rd, VA, 0, "given to ring 3 without a flush: no fault");
}

static void smep_smap(void)
{
	u32 r[4];
	volatile u64 *e = map(VA, page, P_P | P_W | P_U, 1);

	cpuid(7, 0, r);
	RD(u8, page) = 0xc3;
	if (r[1] & 1u << 7) {
		write_cr4(read_cr4() | 1ul << 20);
		run(exec, VA, 0);
		ended(PF, 0x11, VA, "SMEP: ring 0 fetch of the user's page is 0x11");
		returns_user(exec, VA, 0, "ring 3 may");
		write_cr4(read_cr4() & ~(1ul << 20));
		returns(exec, VA, 0, "without SMEP ring 0 may");
	} else {
		put("no SMEP\r\n");
		returns(exec, VA, 0, "without SMEP ring 0 may");
	}
	if (r[1] & 1u << 20) {
		write_cr4(read_cr4() | 1ul << 21);
		faults(rd, VA, 0, PF, 1, "SMAP: ring 0 read of the user's page is 1");
		faults(wr, VA, 0, PF, 3, "write is 3");
		__asm__ volatile("stac");
		RD(u64, VA);
		__asm__ volatile("clac");
		returns_user(wr, VA, 0xc3, "ring 3 may");
		write_cr4(read_cr4() & ~(1ul << 21));
	} else {
		put("no SMAP\r\n");
	}
	*e = 0;
	invlpg(VA);
}

CODE(cr3_wr, "nop", "mov %rdi, %cr3");
CODE(cr4_wr, "nop", "mov %rdi, %cr4");
CODE(cr0_wr, "nop", "mov %rdi, %cr0");
CODE(cr8_wr, "nop", "mov %rdi, %cr8");
CODE(efer_wr, "mov $0xc0000080, %ecx; mov %rdi, %rax; xor %edx, %edx", "wrmsr");

static void control(void)
{
	u64 cr0 = read_cr0(), cr3 = read_cr3(), cr4 = read_cr4();

	faults(cr3_wr, cr3 | 1ul << 52, 0, GP, 0, "CR3 with a reserved bit is #GP");
	returns(cr3_wr, cr3 | 0x18, 0, "CR3 with PWT and PCD is fine");
	write_cr3(cr3);
	faults(cr4_wr, cr4 | 1ul << 40, 0, GP, 0, "CR4 with a reserved bit is #GP");
	faults(cr4_wr, cr4 & ~0x20ul, 0, GP, 0, "CR4 without PAE in long mode is #GP");
	faults(cr0_wr, cr0 & ~1ul, 0, GP, 0, "CR0.PG without PE is #GP");
	faults(cr0_wr, cr0 & ~(1ul << 31), 0, GP, 0, "CR0 without PG in 64-bit code is #GP");
	faults(cr0_wr, (cr0 | 1ul << 29) & ~(1ul << 30), 0, GP, 0, "CR0.NW without CD is #GP");
	faults(cr0_wr, cr0 | 1ul << 32, 0, GP, 0, "CR0 bits 63:32 are #GP");
	faults(cr8_wr, 0x10, 0, GP, 0, "CR8 above 15 is #GP");
	faults(efer_wr, (rdmsr(0xC0000080) & ~0x100ul), 0, GP, 0, "EFER without LME under paging is #GP");
	faults(efer_wr, rdmsr(0xC0000080) | 1ul << 9, 0, GP, 0, "EFER with a reserved bit is #GP");
	check(rdmsr(0xC0000080) & 0x400, "EFER.LMA is set");
	returns(efer_wr, rdmsr(0xC0000080) & ~0x400ul, 0, "and not to be written");
	check(rdmsr(0xC0000080) & 0x400, "so it stays");
	check(read_cr0() & 0x10, "CR0.ET is set");
	write_cr8(5);
	equal(read_cr8(), 5, "CR8");
	write_cr8(0);
	write_cr2(0x123456789abcul);
	equal(read_cr2(), 0x123456789abcul, "CR2");
}

int main64(void)
{
	init();
	page = page_alloc();
	page2 = page_alloc();
	RD(u8, page) = 0xc3;
	rights();
	ad();
	large();
	flushes();
	smep_smap();
	control();
	return verdict();
}
