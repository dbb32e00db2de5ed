// SPDX-License-Identifier: BSD-2-Clause
/* Into long mode with 2 MiB pages, 64-bit arithmetic and addressing, and back by debug exit */
#include "guest.h"

NO_APS
static u64 pml4[512] __attribute__((aligned(4096)));
static u64 pdpt[512] __attribute__((aligned(4096)));
static u64 pd[512] __attribute__((aligned(4096)));

int main(u32 magic, u32 info)
{
	pml4[0] = pml4[256] = (u32)pdpt | 3;
	pdpt[0] = (u32)pd | 3;
	for (u32 i = 0; i < 512; i++)
		pd[i] = (u64)i << 21 | 0x83;
	__asm__ volatile(
		"mov %%cr4, %%eax; or $0x20, %%eax; mov %%eax, %%cr4\n"	/* PAE */
		"mov %0, %%cr3\n"
		"mov $0xC0000080, %%ecx; rdmsr; or $0x100, %%eax; wrmsr\n" /* LME */
		"mov %%cr0, %%eax; or $0x80000000, %%eax; mov %%eax, %%cr0\n"
		"ljmp $0x18, $1f\n"
		".code64\n"
		"1: movabs $0x0123456789abcdef, %%rax\n"
		"mov %%rax, %%r9\n"
		"imul $3, %%r9\n"
		"movabs $0x369d0369d0369cd, %%r10\n"
		"mov $2, %%eax\n"
		"cmp %%r9, %%r10\n"
		"jne 2f\n"
		"movabs $0xffff800000600000, %%r8\n" /* the second mapping of 6 MiB */
		"mov %%r9, (%%r8)\n"
		"mov $3, %%eax\n"
		"cmp %%r9, 0x600000\n"
		"jne 2f\n"
		"mov $16, %%eax\n" /* PASS */
		"2: out %%al, $0xF4\n"
		"3: cli; hlt; jmp 3b\n"
		".code32\n"
		: : "r"(pml4) : "eax", "ecx", "edx", "memory");
	return 1;
}
