// SPDX-License-Identifier: BSD-2-Clause
/* test/isa/arena.c - Memory that the host and the guest see at the same addresses */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "isa.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define PTE_P 1u
#define PTE_W 2u
#define PTE_U 4u
#define PTE_NX BIT64(63)

static void protect(u64 at, u64 len, int prot)
{
	if (mprotect((void *)at, len, prot)) {
		perror("mprotect");
		exit(2);
	}
}

void isa_arena_create(void)
{
	u64 *pml4 = (u64 *)ISA_CR3, *pdpt = pml4 + 512, *pd = pdpt + 512, *pt = pd + 512;
	u64 *gdt = (u64 *)ISA_GDT;
	void *p = mmap((void *)ISA_BASE, ISA_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (p != (void *)ISA_BASE) {
		fprintf(stderr, "the arena's addresses are taken\n");
		exit(2);
	}
	pml4[0] = (u64)pdpt | PTE_P | PTE_W | PTE_U;
	pdpt[ISA_BASE >> 30] = (u64)pd | PTE_P | PTE_W | PTE_U;
	for (unsigned i = 0; i < ISA_SIZE >> 21; i++)
		pd[(ISA_BASE >> 21 & 511) + i] = (u64)(pt + 512 * i) | PTE_P | PTE_W | PTE_U;
	for (u64 a = ISA_SYSTEM; a < ISA_SYSTEM + ISA_SYSTEM_LEN; a += 4096)
		pt[(a - ISA_BASE) >> 12] = a | PTE_P | PTE_W;
	gdt[2] = 0x00af9b000000ffff; /* the kernel's, of test/isa/translate.c */
	gdt[ISA_CS32 / 8] = 0x00cffb000000ffff;
	gdt[ISA_DS / 8] = 0x00cff3000000ffff;
	gdt[ISA_CS64 / 8] = 0x00affb000000ffff;
	memset((void *)ISA_GUEST_EXIT, 0xcc, 4096);
	/* Nothing but the named pages is there, for the host neither: an instruction that went
	 * elsewhere would change what no run puts back. Every page is touched, so that the host
	 * has it and its page faults are of rights only. */
	for (u64 a = ISA_BASE + 0x10000; a < ISA_BASE + ISA_SIZE; a += 4096) {
		u64 rights = a | PTE_P | PTE_U | PTE_W;
		int prot = PROT_READ | PROT_WRITE;

		if (a - ISA_CODE < ISA_CODE_LEN) {
			/* The judge's own code page; this is a test, the product never does that */
			prot |= PROT_EXEC;
		} else if (a == ISA_EXIT) {
			rights = ISA_GUEST_EXIT | PTE_P | PTE_U;
		} else if (a == ISA_RO) {
			rights = a | PTE_P | PTE_U | PTE_NX;
			prot = PROT_READ;
		} else if (a - ISA_DATA < ISA_DATA_LEN || a - ISA_STACK < ISA_STACK_LEN) {
			rights |= PTE_NX;
		} else {
			rights = 0;
			prot = PROT_NONE;
		}
		if (prot != PROT_NONE)
			memset((void *)a, 0x11, 4096);
		pt[(a - ISA_BASE) >> 12] = rights;
		protect(a, 4096, prot);
	}
}

void isa_run(const struct isa_engine *e, const struct isa_case *c, struct isa_result *r)
{
	u64 from = ISA_CODE + c->len;
	s32 rel = (s32)((c->bits == 8 ? ISA_EXIT : ISA_EXIT32) - (from + 5));

	memcpy((void *)ISA_DATA, c->data, ISA_DATA_LEN);
	memcpy((void *)ISA_STACK, c->stack, ISA_STACK_LEN);
	memcpy((void *)ISA_CODE, c->code, ISA_CODE_LEN);
	if (c->len + 5 <= ISA_CODE_LEN) { /* else it ends in a fault */
		*(u8 *)from = 0xe9;
		memcpy((u8 *)from + 1, &rel, 4);
	}
	r->vector = ISA_NO_FAULT;
	r->error = 0;
	r->fault_addr = 0;
	r->gave_up = r->flags_lost = false;
	r->out = c->in;
	e->run(c, r);
	isa_normalize(&r->out);
	memcpy(r->data, (void *)ISA_DATA, ISA_DATA_LEN);
	memcpy(r->stack, (void *)ISA_STACK, ISA_STACK_LEN);
	memcpy(r->code, (void *)ISA_CODE, ISA_CODE_LEN);
}

void isa_start(void)
{
	isa_arena_create();
	for (unsigned i = 0; isa_engines[i]; i++)
		isa_engines[i]->init();
	isa_native.init();
}

void isa_stop(void)
{
	for (unsigned i = 0; isa_engines[i]; i++)
		if (isa_engines[i]->fini)
			isa_engines[i]->fini();
}
