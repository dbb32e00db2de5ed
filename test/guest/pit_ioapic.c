// SPDX-License-Identifier: BSD-2-Clause
/* PIT through IOAPIC pin 2 and the local APIC, the 8259 pair masked */
#include "guest.h"

NO_APS
static volatile u32 ticks;

static void tick(struct trap *t)
{
	ticks++;
	lapic_eoi();
}

int main(u32 magic, u32 info)
{
	idt_init();
	traps[0x40] = tick;
	pic_init(0xFFFF);
	lapic_on();
	ioapic_write(0x10 + 2 * 2 + 1, 0);
	ioapic_write(0x10 + 2 * 2, 0x40);
	pit_rate(11932);
	while (ticks < 10)
		sti_hlt_cli();
	return PASS;
}
