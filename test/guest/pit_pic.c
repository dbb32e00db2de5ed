// SPDX-License-Identifier: BSD-2-Clause
/* PIT through the 8259 pair: ten ticks wake ten sleeps, at the rate asked for */
#include "guest.h"

NO_APS
static volatile u32 ticks;

static void tick(struct trap *t)
{
	ticks++;
	outb(0x20, 0x20);
}

int main(u32 magic, u32 info)
{
	idt_init();
	traps[0x20] = tick;
	pic_init(0xFFFE);
	pit_rate(11932); /* 100 Hz */
	for (u32 n = 1; n <= 10; n++) {
		while (ticks < n)
			sti_hlt_cli();
	}
	return PASS;
}
