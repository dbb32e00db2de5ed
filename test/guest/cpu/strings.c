// SPDX-License-Identifier: BSD-2-Clause
/* String instructions cut by faults: registers say how far they came; and LOCK across a page */
#include "cpu.h"

static volatile u32 up, go, done;

/* Two pages that map to memory, the third does not: BASE .. BASE + 8191 */
#define BASE (TEST_VA + 0x10000)
#define SRC (TEST_VA + 0x20000)
static u64 mem[2], src[2];

CODE(movsb_, "movq count(%rip), %rcx", "rep movsb");
CODE(movsq_, "movq count(%rip), %rcx", "rep movsq");
CODE(movsb_down, "movq count(%rip), %rcx; std", "rep movsb; cld");
CODE(movsq_down, "movq count(%rip), %rcx; std", "rep movsq; cld");
CODE(stosb_, "movq count(%rip), %rcx; mov $0x5a, %eax", "rep stosb");
CODE(stosq_, "movq count(%rip), %rcx; mov $0x5a, %eax", "rep stosq");
CODE(lodsb_, "movq count(%rip), %rcx", "rep lodsb");
CODE(cmpsb_, "movq count(%rip), %rcx", "repe cmpsb");
CODE(scasb_, "movq count(%rip), %rcx; mov $0x77, %eax", "repne scasb");
CODE(insb_, "movq count(%rip), %rcx; mov $0x61, %edx", "rep insb");
CODE(outsb_, "movq count(%rip), %rcx; mov $0x80, %edx", "rep outsb");
CODE(movsb_32, "movq count(%rip), %rcx", ".byte 0x67; rep movsb");
u64 count;

static u8 b(u64 a) { return RD(u8, a); }

static void zero(void)
{
	for (unsigned i = 0; i < 8192; i++) {
		RD(u8, BASE + i) = 0;
		RD(u8, SRC + i) = (u8)(i * 7 + 1);
	}
}

static void regs(u64 cx, u64 di, u64 si, const char *what)
{
	bool ok = last.t.rcx == cx && last.t.rdi == di && last.t.rsi == si;

	check(ok, what);
	if (!ok) {
		put("  rcx "), put_hex(last.t.rcx), put(" rdi "), put_hex(last.t.rdi);
		put(" rsi "), put_hex(last.t.rsi), put("\r\n");
	}
}

static void faults_inside(void)
{
	zero();
	count = 10000;
	faults(movsb_, BASE, SRC, PF, 0, "REP MOVSB out of its source's pages");
	regs(10000 - 8192, BASE + 8192, SRC + 8192, "registers at the first byte that is not there");
	equal(last.cr2, SRC + 8192, "CR2 too");
	equal(b(BASE + 8191), (u8)(8191 * 7 + 1), "and all before was moved");
	check(last.t.rflags & RF, "RF is set in the frame");
	zero();
	count = 10000;
	faults(movsb_, BASE + 100, SRC, PF, 2, "out of its destination's pages");
	regs(10000 - 8092, BASE + 8192, SRC + 8092, "registers there");
	equal(b(BASE + 8191), (u8)(8091 * 7 + 1), "and all before was moved");
	zero();
	count = 2000;
	faults(movsq_, BASE + 4, SRC, PF, 2, "REP MOVSQ, the element across the end");
	regs(2000 - 1023, BASE + 4 + 8184, SRC + 8184, "registers at that element");
	equal(last.cr2, BASE + 8192, "CR2 at the page");
	equal(RD(u32, BASE + 8188), 0, "and nothing of it was stored");
	zero();
	count = 10000;
	faults(movsb_down, BASE + 8191, SRC + 8191, PF, 0, "REP MOVSB downwards");
	regs(10000 - 8192, BASE - 1, SRC - 1, "registers below");
	equal(b(BASE), 1, "and all was moved");
	zero();
	count = 10000;
	faults(stosb_, BASE, 0, PF, 2, "REP STOSB");
	regs(10000 - 8192, BASE + 8192, 0, "registers");
	equal(b(BASE + 8191), 0x5a, "and the last byte");
	zero();
	count = 5000;
	faults(stosq_, BASE + 1, 0, PF, 2, "REP STOSQ misaligned");
	regs(5000 - 1023, BASE + 1 + 8184, 0, "registers");
	count = 10000;
	faults(lodsb_, 0, SRC, PF, 0, "REP LODSB");
	regs(10000 - 8192, 0, SRC + 8192, "registers");
	zero();
	for (unsigned i = 0; i < 8192; i++)
		RD(u8, BASE + i) = b(SRC + i);
	count = 10000;
	run(cmpsb_, BASE, SRC);
	ended(PF, 0, (u64)cmpsb__at, "REPE CMPSB");
	regs(10000 - 8192, BASE + 8192, SRC + 8192, "registers");
	zero();
	RD(u8, BASE + 5000) = 0;
	count = 10000;
	faults(scasb_, BASE, 0, PF, 0, "REPNE SCASB");
	regs(10000 - 8192, BASE + 8192, 0, "registers");
	RD(u8, BASE + 5000) = 0x77;
	returns(scasb_, BASE, 0, "REPNE SCASB that finds it");
	count = 10000;
	faults(insb_, BASE, 0, PF, 2, "REP INSB");
	regs(10000 - 8192, BASE + 8192, 0, "registers");
	count = 8200;
	faults(outsb_, 0, SRC, PF, 0, "REP OUTSB");
	regs(8, 0, SRC + 8192, "registers");
	count = 0;
	returns(movsb_, 0x0000800000000000ul, TEST_VA, "a count of 0 touches nothing");
	count = 1;
	faults(movsb_, 0x0000800000000000ul, SRC, GP, 0, "a destination that is not canonical is #GP");
	faults(movsb_, BASE, 0x0000800000000000ul, GP, 0, "a source too");
	count = 0xffffffff00000003ul;
	zero();
	for (unsigned i = 0; i < 8; i++)
		RD(u8, 0x600000 + i) = (u8)(i + 1), RD(u8, 0x601000 + i) = 0;
	returns(movsb_32, 0xdead000000601000ul, 0xbeef000000600000ul, "32-bit addresses");
	equal(RD(u32, 0x601000), 0x00030201, "take 32 bits of each register");
}

/* The handler maps what is missing, and the instruction goes on */
static u32 mapped;
static void map_in(struct trap *t)
{
	u64 a = read_cr2() & ~0xffful;

	mapped++;
	map(a, 0xa00000 + (a & 0xff000), P_P | P_W, 1);
}

static void goes_on(void)
{
	u64 far = TEST_VA + 0x1000000;

	hooks[PF] = map_in;
	count = 65536;
	returns(stosb_, far, 0, "REP STOSB over 16 pages that come one by one");
	equal(mapped, 16, "16 faults");
	bool same = true;
	for (unsigned i = 0; i < 65536; i++)
		same &= b(far + i) == 0x5a;
	check(same, "all stored");
	mapped = 0;
	count = 65536 / 8;
	returns(movsq_down, far + 0x100000 + 65536 - 8, far + 65536 - 8, "REP MOVSQ downwards into such");
	equal(mapped, 16, "16 faults");
	hooks[PF] = 0;
}

static void overlap(void)
{
	zero();
	for (unsigned i = 0; i < 16; i++)
		RD(u8, BASE + i) = (u8)(i + 1);
	count = 4000;
	returns(movsb_, BASE + 1, BASE, "REP MOVSB onto the next byte");
	bool same = true;
	for (unsigned i = 0; i < 4000; i++)
		same &= b(BASE + i) == 1;
	check(same, "repeats the first byte");
	for (unsigned i = 0; i < 8192; i++)
		RD(u8, BASE + i) = (u8)(i * 3);
	count = 100;
	returns(movsq_, BASE + 3, BASE, "REP MOVSQ onto 3 bytes further");
	static u8 model[1024];
	for (unsigned i = 0; i < 1024; i++)
		model[i] = (u8)(i * 3);
	for (unsigned k = 0; k < 100; k++) {
		u64 q = 0;

		for (unsigned j = 8; j-- > 0;)
			q = q << 8 | model[k * 8 + j];
		for (unsigned j = 0; j < 8; j++)
			model[k * 8 + 3 + j] = (u8)(q >> j * 8);
	}
	same = true;
	for (unsigned i = 0; i < 1000; i++)
		same &= b(BASE + i) == model[i];
	check(same, "element by element");
	count = 200;
	returns(movsb_down, BASE + 1000, BASE + 1001, "REP MOVSB downwards");
	same = true;
	for (unsigned i = 801; i <= 1000; i++)
		same &= b(BASE + i) == b(BASE + 1001);
	check(same, "onto the byte below repeats the last");
}

/* ------------------------------------------------- LOCK across a page */

#define ROUNDS 20000
#define SPLIT (BASE + 4096 - 3)

static void add_split(void)
{
	for (unsigned i = 0; i < ROUNDS; i++)
		__asm__ volatile("lock incq (%0)" : : "r"(SPLIT) : "memory", "cc");
}

void ap_main64(void)
{
	atomic_inc(&up);
	while (!go)
		pause();
	add_split();
	for (unsigned i = 0; i < ROUNDS; i++)
		__asm__ volatile("lock incl (%0)" : : "r"(BASE + 64) : "memory", "cc");
	atomic_inc(&done);
	for (;;)
		__asm__ volatile("hlt");
}

CODE(lock_inc, "nop", "lock incq (%rdi)");

static void locks(void)
{
	u32 n = num_cpus();

	zero();
	RD(u64, BASE + 8192 - 4096 - 3) = 0;
	faults(lock_inc, BASE + 8192 - 3, 0, PF, 2, "LOCK into a missing page is #PF");
	equal(last.cr2, BASE + 8192, "there");
	returns(lock_inc, SPLIT, 0, "LOCK across two pages");
	equal(RD(u64, SPLIT), 1, "works");
	RD(u64, SPLIT) = 0;
	if (n == 1)
		return;
	smp_start();
	check(wait_for(up == n - 1), "other CPUs run");
	go = 1;
	add_split();
	for (unsigned i = 0; i < ROUNDS; i++)
		__asm__ volatile("lock incl (%0)" : : "r"(BASE + 64) : "memory", "cc");
	check(wait_for(done == n - 1), "and end");
	equal(RD(u64, SPLIT), (u64)ROUNDS * n, "LOCK across pages of all CPUs loses nothing");
	equal(RD(u32, BASE + 64), ROUNDS * n, "nor does the plain one");
}

int main64(void)
{
	init();
	for (unsigned i = 0; i < 2; i++) {
		mem[i] = page_alloc();
		src[i] = page_alloc();
		map(BASE + i * 4096, mem[i], P_P | P_W, 1);
		map(SRC + i * 4096, src[i], P_P | P_W, 1);
	}
	faults_inside();
	goes_on();
	overlap();
	locks();
	return verdict();
}
