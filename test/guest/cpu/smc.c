// SPDX-License-Identifier: BSD-2-Clause
/* Self-modifying code on one CPU: every form of store, to elsewhere, to the same block, to the
 * next instruction, to the instruction's own bytes, through an alias, across pages */
#include "cpu.h"

NO_APS

static u8 page[8192] __attribute__((aligned(4096)));
typedef u64 fn(void);

/* mov eax, imm32; ret at @at */
static void function(u8 *at, u32 val)
{
	at[0] = 0xb8;
	*(volatile u32 *)(at + 1) = val;
	at[5] = 0xc3;
}

static u64 call(const void *f) { return ((fn *)f)(); }

/* -------------------------------------------------- every store form */

typedef void store_fn(void *to, u64 val);
u64 from[2];
#define STORE(name, insns)                                                                    \
	static void name(void *to, u64 val)                                                   \
	{                                                                                     \
		__asm__ volatile(insns : "+D"(to), "+S"(val) :                                \
				 : "rax", "rcx", "rdx", "rbx", "r8", "memory", "cc");         \
	}
STORE(mov8, "movb %%sil, (%%rdi)")
STORE(mov32, "movl %%esi, (%%rdi)")
STORE(mov64, "movq %%rsi, (%%rdi)")
STORE(mov_r8, "mov %%rdi, %%r8; movl %%esi, (%%r8)")
STORE(mov_high, "mov %%esi, %%eax; mov %%al, %%ah; movb %%ah, (%%rdi)")
STORE(movnti_, "movnti %%esi, (%%rdi)")
STORE(push_, "mov %%rsp, %%r8; lea 8(%%rdi), %%rsp; push %%rsi; mov %%r8, %%rsp")
STORE(pop_, "push %%rsi; popq (%%rdi)")
STORE(xchg_, "xchg %%esi, (%%rdi)")
STORE(xadd_, "movl $0, (%%rdi); lock xadd %%esi, (%%rdi)")
STORE(cas_, "movl (%%rdi), %%eax; lock cmpxchg %%esi, (%%rdi)")
STORE(add_, "movl (%%rdi), %%eax; sub %%eax, %%esi; addl %%esi, (%%rdi)")
STORE(lock_add, "movl (%%rdi), %%eax; sub %%eax, %%esi; lock addl %%esi, (%%rdi)")
STORE(inc_, "lea -1(%%rsi), %%eax; movl %%eax, (%%rdi); call *nothing(%%rip); incl (%%rdi)")
STORE(not_, "mov %%esi, %%eax; not %%eax; movl %%eax, (%%rdi); notl (%%rdi)")
STORE(shl_, "mov %%esi, %%eax; shr %%eax; movl %%eax, (%%rdi); bt $0, %%esi; rcll (%%rdi)")
STORE(stosb_, "mov %%esi, %%eax; stosb")
STORE(stosd_, "mov %%esi, %%eax; stosl")
STORE(rep_stosb, "mov %%esi, %%eax; mov $1, %%ecx; rep stosb")
STORE(rep_stosq, "mov %%rsi, %%rax; mov $1, %%ecx; rep stosq")
STORE(movs_, "movq %%rsi, from(%%rip); lea from(%%rip), %%rsi; movsl")
STORE(rep_movsb, "movq %%rsi, from(%%rip); lea from(%%rip), %%rsi; mov $4, %%ecx; rep movsb")
STORE(rep_movsq, "movq %%rsi, from(%%rip); lea from(%%rip), %%rsi; mov $1, %%ecx; rep movsq")
STORE(std_movsb, "movq %%rsi, from(%%rip); lea from+3(%%rip), %%rsi; add $3, %%rdi; mov $4, %%ecx;"
      "std; rep movsb; cld")
STORE(movd_, "movd %%esi, %%xmm0; movd %%xmm0, (%%rdi)")
STORE(movq_, "movq %%rsi, %%xmm0; movq %%xmm0, (%%rdi)")
STORE(movq_mmx, "movq %%rsi, %%mm0; movq %%mm0, (%%rdi); emms")
STORE(movups_, "movq %%rsi, %%xmm0; movups 8(%%rdi), %%xmm1; movups (%%rdi), %%xmm2;"
      "movsd %%xmm0, %%xmm2; movups %%xmm2, (%%rdi)")
STORE(fist_, "movl %%esi, from(%%rip); fildl from(%%rip); fistpl (%%rdi)")
STORE(fst_, "movq %%rsi, from(%%rip); fldl from(%%rip); fstpl (%%rdi)")
STORE(setc_bytes, "movb $1, (%%rdi); stc; setc (%%rdi); movl %%esi, (%%rdi)")
STORE(bts_, "movl %%esi, (%%rdi); btcl $0, (%%rdi); lock btcl $0, (%%rdi)")
STORE(cas8b, "mov (%%rdi), %%eax; mov 4(%%rdi), %%edx; mov %%edx, %%ecx; mov %%esi, %%ebx;"
      "lock cmpxchg8b (%%rdi)")
STORE(cas16b, "sub $8, %%rdi; mov (%%rdi), %%rax; mov 8(%%rdi), %%rdx; mov %%rax, %%rbx;"
      "mov %%rdx, %%rcx; shr $32, %%rcx; shl $32, %%rcx; mov %%esi, %%esi; or %%rsi, %%rcx;"
      "lock cmpxchg16b (%%rdi)")
STORE(call_, "mov (%%rdi), %%rdx; mov %%rsp, %%r8; lea 8(%%rdi), %%rsp; call 1f; 1: mov %%r8, %%rsp;"
      "mov %%rdx, (%%rdi); movl %%esi, (%%rdi)")
STORE(maskmov, "movl %%esi, %%eax; movd %%eax, %%xmm0; pcmpeqd %%xmm1, %%xmm1; psrldq $12, %%xmm1;"
      "maskmovdqu %%xmm1, %%xmm0")

extern u8 nothing_[];
__asm__(".pushsection .text\nnothing_: ret\n.popsection\n"
	".pushsection .data\n.globl nothing\nnothing: .quad nothing_\n.popsection");

static const struct { store_fn *f; const char *name; u8 bytes; } stores[] = {
	{ mov8, "MOV 8", 1 }, { mov32, "MOV 32", 4 }, { mov64, "MOV 64", 8 }, { mov_r8, "MOV by R8", 4 },
	{ mov_high, "MOV AH", 1 }, { movnti_, "MOVNTI", 4 }, { push_, "PUSH", 8 }, { pop_, "POP", 8 },
	{ xchg_, "XCHG", 4 }, { xadd_, "LOCK XADD", 4 }, { cas_, "LOCK CMPXCHG", 4 }, { add_, "ADD", 4 },
	{ lock_add, "LOCK ADD", 4 }, { inc_, "INC", 4 }, { not_, "NOT", 4 }, { shl_, "RCL", 4 },
	{ stosb_, "STOSB", 1 }, { stosd_, "STOSD", 4 }, { rep_stosb, "REP STOSB", 1 },
	{ rep_stosq, "REP STOSQ", 8 }, { movs_, "MOVSD", 4 }, { rep_movsb, "REP MOVSB", 4 },
	{ rep_movsq, "REP MOVSQ", 8 }, { std_movsb, "REP MOVSB down", 4 }, { movd_, "MOVD", 4 },
	{ movq_, "MOVQ", 8 }, { movq_mmx, "MOVQ of MMX", 8 }, { movups_, "MOVUPS", 8 },
	{ fist_, "FISTP", 4 }, { fst_, "FSTP", 8 }, { setc_bytes, "SETC", 4 }, { bts_, "BTC", 4 },
	{ cas8b, "CMPXCHG8B", 4 }, { cas16b, "CMPXCHG16B", 4 }, { call_, "CALL", 4 },
	{ maskmov, "MASKMOVDQU", 4 },
};

static void forms(void)
{
	/* imm32 at a multiple of 8 (and of 16 for CMPXCHG16B's upper half), ret behind 8 bytes:
	 * mov eax, imm32 is at -1; what follows the immediate stays as it is */
	for (unsigned n = 0; n < sizeof(stores) / sizeof(*stores); n++) {
		u8 *at = page + 256 + 8;
		u64 bad = 0;

		function(at - 1, 0x100);
		at[5] = at[6] = at[7] = 0x90;
		for (unsigned i = 0; i < 200; i++) {
			u64 val = *(volatile u32 *)at;
			u64 want = stores[n].bytes == 1 ? (val & ~0xfful) | (u8)(i * 7 + 1) : i * 7919 + 1;

			stores[n].f(at, stores[n].bytes == 8 ? want | *(volatile u64 *)at >> 32 << 32
				    : stores[n].bytes == 1 ? (u8)want : want);
			bad += call(at - 1) != want;
		}
		equal(bad, 0, stores[n].name);
	}
}

/* ----------------------------------------------------- inside one block */

/* The store changes the immediate of the instruction right behind it, in the same block */
extern u8 next_insn[], loop_self[];
__asm__(".pushsection .data\n\t.balign 4096\n"
	"next_insn:\n\tmovl %edi, 1f+1(%rip)\n1:\tmov $0, %eax\n\tret\n\t.balign 64\n"
	"loop_self:\n\txor %eax, %eax\n\tmov $100, %ecx\n"
	"2:\tmovb %cl, 3f+2(%rip)\n\tnop\n3:\tadd $0, %eax\n\tmovb $0, 3b+2(%rip)\n\tdec %ecx\n\tjnz 2b\n\tret\n"
	"\t.balign 64\n.globl push_over\n"
	"push_over:\n\tmov %rsp, %rdx\n\tlea 5f+8(%rip), %rsp\n\tmovabs $0x909090c3d4894890, %rcx\n\tpush %rcx\n"
	"5:\tud2\n\tud2\n\tud2\n\tud2\n"
	".popsection");
extern u8 push_over[];
typedef u64 fn1(u64);

static void within(void)
{
	u64 bad = 0;

	for (unsigned i = 0; i < 300; i++)
		bad += ((fn1 *)(void *)next_insn)(i) != i;
	equal(bad, 0, "a store to the next instruction of the block");
	equal(((fn1 *)(void *)loop_self)(0), 5050, "a loop that changes itself twice a pass");
	u64 r;
	__asm__ volatile("call *%1" : "=a"(r) : "r"(push_over) : "rcx", "rdx", "memory");
	equal(push_over[20] != 0x0f, 1, "PUSH over the next instruction");
}

/* ------------------------------------------------------------- mappings */

static void aliases(void)
{
	u64 bad = 0;
	u8 *at = page + 512;
	volatile u8 *alias = (volatile u8 *)TEST_VA + 512;

	map(TEST_VA, (u64)page, P_P | P_W, 1);
	function(at, 0);
	for (unsigned i = 0; i < 300; i++) {
		*(volatile u32 *)(alias + 1) = i;
		bad += call(at) != i;
	}
	equal(bad, 0, "stores through an alias, code by the first name");
	bad = 0;
	for (unsigned i = 0; i < 300; i++) {
		*(volatile u32 *)(at + 1) = i;
		bad += call((void *)alias) != i;
	}
	equal(bad, 0, "and the other way");
	bad = 0;
	for (unsigned i = 0; i < 300; i++) {
		*(volatile u32 *)((i & 1 ? alias : at) + 1) = i;
		bad += call(i & 2 ? (void *)alias : at) != i;
	}
	equal(bad, 0, "both mixed");
	/* an alias that is a piece of a large page */
	map(TEST_VA + 0x200000, (u64)page & ~0x1ffffful, P_P | P_W, 2);
	alias = (volatile u8 *)TEST_VA + 0x200000 + ((u64)at & 0x1fffff);
	bad = 0;
	for (unsigned i = 0; i < 300; i++) {
		*(volatile u32 *)(alias + 1) = i;
		bad += call(at) != i;
	}
	equal(bad, 0, "stores through a large page");
	/* data in the page of code, next to it: the store must hit and the code go on */
	volatile u64 *data = (volatile u64 *)(page + 1024);
	*data = 0;
	bad = 0;
	for (unsigned i = 0; i < 2000; i++) {
		*data += 1;
		bad += call(at) != 299;
	}
	equal(*data + bad, 2000, "data in the page of code");
}

static void across(void)
{
	u64 bad = 0;

	/* an instruction across the page's end; the store changes either part, or both */
	for (int shift = 1; shift <= 5; shift++) {
		u8 *at = page + 4096 - shift;

		function(at, 0);
		for (unsigned i = 0; i < 100; i++) {
			u32 want = i * 0x01010101;

			*(volatile u32 *)(at + 1) = want;
			bad += call(at) != want;
			*(volatile u8 *)(at + 4) = 0x77;
			bad += call(at) != ((want & 0xffffff) | 0x77000000);
			*(volatile u8 *)(at + 1) = 0x55;
			bad += call(at) != ((want & 0xffff00) | 0x77000055);
		}
	}
	equal(bad, 0, "an instruction across two pages");
	/* an 8-byte store over the border of two instructions */
	bad = 0;
	u8 *at = page + 2048;
	for (unsigned i = 0; i < 100; i++) {
		/* mov eax, imm32 (5); add eax, imm32 (5); ret */
		at[0] = 0xb8, at[5] = 0x05, at[10] = 0xc3;
		*(volatile u64 *)(at + 1) = (u64)i | 0x05ul << 32 | (u64)(u8)i << 40;
		at[9] = 0, *(volatile u8 *)(at + 8) = 0;
		bad += call(at) != i + (u8)i;
	}
	equal(bad, 0, "a store over two instructions");
	/* a whole page by REP MOVS and REP STOS, from where other code runs */
	bad = 0;
	static u8 model[4096];
	for (unsigned i = 0; i < 50; i++) {
		u8 *d = page, *s = model;
		u64 n = 4096;

		function(model + 100, i);
		__asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
		bad += call(page + 100) != i;
	}
	equal(bad, 0, "a page by REP MOVSB");
	bad = 0;
	for (unsigned i = 0; i < 50; i++) {
		u64 *d = (u64 *)page, n = 512;

		/* xor eax, eax; inc/dec eax; ret */
		__asm__ volatile("rep stosq" : "+D"(d), "+c"(n)
				 : "a"(i & 1 ? 0x9090c3c8ffc03190ul : 0x9090c3c0ffc03190ul) : "memory");
		bad += (u32)call(page + 800) != (i & 1 ? ~0u : 1);
	}
	equal(bad, 0, "a page by REP STOSQ");
}

/* Code that is written and run once, all over the place, as a JIT does */
static void jit(void)
{
	u64 bad = 0;

	for (unsigned i = 0; i < 3000; i++) {
		u8 *at = page + (i * 37 & 4080);

		function(at, i);
		bad += call(at) != i;
	}
	equal(bad, 0, "3000 functions written and run");
}

int main64(void)
{
	init();
	forms();
	within();
	aliases();
	across();
	jit();
	return verdict();
}
