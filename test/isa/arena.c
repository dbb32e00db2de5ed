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
	/* Nothing but the named pages is there, for the host neither: an instruction that went
	 * elsewhere would change what no run puts back */
	for (u64 a = ISA_BASE + 0x10000; a < ISA_BASE + ISA_SIZE; a += 4096) {
		u64 rights = PTE_P | PTE_U | PTE_W;
		int prot = PROT_READ | PROT_WRITE;

		if (a == ISA_RO) {
			rights &= ~(u64)PTE_W;
			prot = PROT_READ;
		} else if (a - ISA_DATA >= ISA_DATA_LEN && a - ISA_STACK >= ISA_STACK_LEN &&
			   a - ISA_CODE >= 0x2000) {
			rights = 0;
			prot = PROT_NONE;
		}
		pt[(a - ISA_BASE) >> 12] = a | rights;
		protect(a, 4096, prot);
	}
	/* The judge's own code page; this is a test, the product never does that */
	protect(ISA_CODE, 0x2000, PROT_READ | PROT_WRITE | PROT_EXEC);
}

void isa_run(const struct isa_engine *e, const struct isa_case *c, struct isa_result *r)
{
	memcpy((void *)ISA_DATA, c->data, ISA_DATA_LEN);
	memcpy((void *)ISA_STACK, c->stack, ISA_STACK_LEN);
	memset((void *)ISA_CODE, 0xcc, 4096); /* INT3 */
	memcpy((void *)ISA_CODE, c->code, c->len);
	r->vector = ISA_NO_FAULT;
	r->fault_addr = 0;
	r->gave_up = r->flags_lost = false;
	r->out = c->in;
	e->run(c, r);
	isa_normalize(&r->out);
	memcpy(r->data, (void *)ISA_DATA, ISA_DATA_LEN);
	memcpy(r->stack, (void *)ISA_STACK, ISA_STACK_LEN);
}
