// SPDX-License-Identifier: BSD-2-Clause
/* All CPUs come up, then halt one after the other with interrupts off */
#include "guest.h"

static volatile u32 up, turn;

void ap_main(void)
{
	u32 me = atomic_inc(&up);

	while (turn < me)
		pause();
	turn++;
	for (;;)
		__asm__ volatile("cli; hlt");
}

int main(u32 magic, u32 info)
{
	u32 r[4], cpus;

	cpuid(0xB, 1, r);
	cpus = r[1];
	smp_start_all();
	while (up < cpus - 1)
		pause();
	turn = 1;
	for (;;)
		__asm__ volatile("cli; hlt");
}
