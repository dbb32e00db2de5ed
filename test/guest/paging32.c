// SPDX-License-Identifier: BSD-2-Clause
/* 32-bit and PAE paging: rights, reserved bits, A and D, large pages, and the way between the
 * two modes */
#include "guest.h"

NO_APS

static u32 pd[1024] __attribute__((aligned(4096))), pt[1024] __attribute__((aligned(4096)));
static u64 pdpt[4] __attribute__((aligned(32)));
static u64 pd4[4][512] __attribute__((aligned(4096))), ptp[512] __attribute__((aligned(4096)));
static u8 page[2][4096] __attribute__((aligned(4096)));
static u32 failures;
static volatile u32 vec, err, cr2, resume;

#define VA 0x40000000u /* tests map here */
#define CR0(op) __asm__ volatile("mov %%cr0, %%eax; " op "; mov %%eax, %%cr0" : : : "eax", "memory")
static void cr3(const void *p) { __asm__ volatile("mov %0, %%cr3" : : "r"(p) : "memory"); }
static u32 get_cr4(void) { u32 v; __asm__ volatile("mov %%cr4, %0" : "=r"(v)); return v; }
static void set_cr4(u32 v) { __asm__ volatile("mov %0, %%cr4" : : "r"(v) : "memory"); }
static void invlpg(u32 a) { __asm__ volatile("invlpg (%0)" : : "r"(a) : "memory"); }

static void fault(struct trap *t)
{
	vec = t->vector;
	err = t->error;
	__asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
	t->eip = resume;
}

static void ok(int good, const char *what)
{
	put(good ? "ok " : "FAIL ");
	put(what);
	put("\r\n");
	failures += !good;
}

/* One instruction that may fault; vec is 0xff when it did not */
#define TRY(insn, ...)                                                                        \
	do {                                                                                  \
		vec = 0xff;                                                                   \
		__asm__ volatile("movl $1f, %0\n\t" insn "\n1:" : "=m"(resume) : __VA_ARGS__   \
				 : "memory", "eax");                                          \
	} while (0)
#define READ(a) TRY("movl (%1), %%eax", "r"(a))
#define WRITE(a) TRY("movl $5, (%1)", "r"(a))
#define CALL(a)                                                                               \
	do {                                                                                  \
		vec = 0xff;                                                                   \
		__asm__ volatile("movl $1f, %0\n\tmov %%esp, %%edi\n\tcall *%1\n1:\tmov %%edi, %%esp" \
				 : "=m"(resume) : "r"(a) : "memory", "eax", "edi");            \
	} while (0)
#define GAVE(v, e, what) ok(vec == (v) && ((v) == 0xff || err == (e)), what)

static void plain(void)
{
	u32 *e = &pt[1];

	set_cr4(get_cr4() | 0x10);
	for (u32 i = 0; i < 1024; i++)
		pd[i] = i << 22 | 0x83;
	pd[VA >> 22] = (u32)pt | 7;
	cr3(pd);
	CR0("or $0x80010000, %%eax");
	ok(1, "32-bit paging with 4 MiB pages");
	page[0][0] = page[1][0] = 0xc3;
	READ(VA + 0x1010);
	GAVE(14, 0, "not present: read is 0");
	ok(cr2 == VA + 0x1010, "CR2");
	WRITE(VA + 0x1010);
	GAVE(14, 2, "write is 2");
	*e = (u32)page[0] | 5;
	READ(VA + 0x1010);
	GAVE(0xff, 0, "made present without a flush");
	ok(*e == ((u32)page[0] | 0x25), "sets A");
	WRITE(VA + 0x1010);
	GAVE(14, 3, "write to a read-only page is 3");
	ok(!(*e & 0x40), "and sets no D");
	CR0("and $~0x10000, %%eax");
	WRITE(VA + 0x1010);
	GAVE(0xff, 0, "without WP it is fine");
	ok(*e & 0x40, "and sets D");
	CR0("or $0x10000, %%eax");
	pd[VA >> 22] &= ~2u;
	*e |= 2;
	invlpg(VA + 0x1000);
	WRITE(VA + 0x1010);
	GAVE(14, 3, "read-only by the directory is 3");
	ok(pd[VA >> 22] & 0x20, "whose A is set");
	pd[VA >> 22] |= 2;
	invlpg(VA + 0x1000);
	CALL(VA + 0x1000);
	GAVE(0xff, 0, "code runs there");
	*e = 0;
	invlpg(VA + 0x1000);
	CALL(VA + 0x1000);
	ok(vec == 14 && err == 0, "fetch from no page is 0");
	pd[(VA >> 22) + 1] = 0x00600083 | 1u << 21;
	invlpg(VA + 0x400000);
	READ(VA + 0x400000);
	GAVE(14, 9, "4 MiB page: bit 21 is reserved");
	pd[(VA >> 22) + 1] = 0x00400083;
	invlpg(VA + 0x400000);
	*(volatile u32 *)0x512340 = 0x1234;
	ok(*(volatile u32 *)(VA + 0x400000 + 0x112340) == 0x1234, "4 MiB page reads the right place");
	ok((pd[(VA >> 22) + 1] & 0x60) == 0x20, "sets A and not D");
	*(volatile u32 *)(VA + 0x400000) = 1;
	ok((pd[(VA >> 22) + 1] & 0x60) == 0x60, "a write sets D");
	pd[(VA >> 22) + 1] = 0x00800083;
	invlpg(VA + 0x7ff000);
	*(volatile u32 *)0x912340 = 0x5678;
	ok(*(volatile u32 *)(VA + 0x400000 + 0x112340) == 0x5678, "INVLPG at its end drops it all");
	CR0("and $0x7fffffff, %%eax");
	ok(1, "paging off");
}

static void pae(void)
{
	u64 *e = &ptp[1];

	for (u32 g = 0; g < 4; g++) {
		pdpt[g] = (u32)pd4[g] | 1;
		for (u32 i = 0; i < 512; i++)
			pd4[g][i] = (u64)g << 30 | i << 21 | 0x83;
	}
	pd4[VA >> 30][VA >> 21 & 511] = (u32)ptp | 7;
	set_cr4((get_cr4() | 0x20) & ~0x10u);
	cr3(pdpt);
	CR0("or $0x80010000, %%eax");
	ok(1, "PAE paging with 2 MiB pages");
	wrmsr(0xC0000080, rdmsr(0xC0000080) | 0x800);
	READ(VA + 0x1010);
	GAVE(14, 0, "not present: read is 0");
	*e = (u32)page[1] | 7 | 1ull << 63;
	READ(VA + 0x1010);
	GAVE(0xff, 0, "NX page: read is fine");
	CALL(VA + 0x1000);
	GAVE(14, 0x11, "fetch is 0x11");
	*e &= ~(1ull << 63);
	invlpg(VA + 0x1000);
	CALL(VA + 0x1000);
	GAVE(0xff, 0, "without NX it runs");
	*e = (u32)page[1] | 7 | 1ull << 51;
	invlpg(VA + 0x1000);
	READ(VA + 0x1010);
	GAVE(14, 9, "a reserved bit is 9");
	wrmsr(0xC0000080, rdmsr(0xC0000080) & ~0x800ull);
	*e = (u32)page[1] | 7 | 1ull << 63;
	invlpg(VA + 0x1000);
	READ(VA + 0x1010);
	GAVE(14, 9, "bit 63 without NXE is 9");
	*e = (u32)page[1] | 5;
	invlpg(VA + 0x1000);
	WRITE(VA + 0x1010);
	GAVE(14, 3, "read-only is 3");
	pd4[VA >> 30][(VA >> 21 & 511) + 1] = 0x00800083 | 1u << 13;
	invlpg(VA + 0x200000);
	READ(VA + 0x200000);
	GAVE(14, 9, "2 MiB page: bit 13 is reserved");
	pd4[VA >> 30][(VA >> 21 & 511) + 1] = 0x00800083;
	invlpg(VA + 0x200000);
	*(volatile u32 *)0x845670 = 0x9abc;
	ok(*(volatile u32 *)(VA + 0x200000 + 0x45670) == 0x9abc, "2 MiB page reads the right place");
	/* page-directory pointers are checked when CR3 is loaded */
	pdpt[2] |= 2;
	TRY("movl %1, %%cr3", "r"(pdpt));
	GAVE(13, 0, "MOV CR3 with a reserved bit in a PDPTE is #GP");
	pdpt[2] = 0;
	TRY("movl %1, %%cr3", "r"(pdpt));
	GAVE(0xff, 0, "an absent one is fine");
	READ(0x80001000u);
	GAVE(14, 0, "and faults when it is used");
	/* from one mode to the other under paging */
	pdpt[2] = (u32)pd4[2] | 1;
	cr3(pdpt);
	CR0("and $0x7fffffff, %%eax");
	set_cr4((get_cr4() & ~0x20u) | 0x10);
	cr3(pd);
	CR0("or $0x80000000, %%eax");
	ok(*(volatile u32 *)(VA + 0x400000 + 0x112340) == 0x5678, "and 32-bit paging again");
	CR0("and $0x7fffffff, %%eax");
}

int main(u32 magic, u32 info)
{
	idt_init();
	traps[14] = traps[13] = fault;
	pic_init(0xffff);
	plain();
	pae();
	return failures ? 1 : PASS;
}
