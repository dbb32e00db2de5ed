// SPDX-License-Identifier: BSD-2-Clause
/* An MSR that does not exist: #GP, and with -w zero */
#include "guest.h"

NO_APS
static volatile u32 faults;

static void gp(struct trap *t)
{
	faults++;
	t->eip += 2; /* past RDMSR */
	t->eax = 1;
	t->edx = 0;
}

int main(u32 magic, u32 info)
{
	idt_init();
	traps[13] = gp;
	if (!(rdmsr(0x1B) & 1u << 11)) /* one that is known: the LAPIC is on */
		return 2;
	return rdmsr(0x12345) == 1 && faults == 1 ? PASS : faults ? 3 : 4;
}
