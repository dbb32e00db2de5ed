// SPDX-License-Identifier: BSD-2-Clause
/* LAPIC timer: periodic, one-shot and by TSC deadline; each wakes a halted CPU */
#include "guest.h"

NO_APS
static volatile u32 ticks;

static void tick(struct trap *t)
{
	ticks++;
	lapic_eoi();
}

static void wait(u32 n)
{
	while (ticks < n)
		sti_hlt_cli();
}

int main(u32 magic, u32 info)
{
	u32 r[4];

	idt_init();
	traps[0x41] = tick;
	pic_init(0xFFFF);
	lapic_on();
	wr32(LAPIC + LAPIC_TIMER_DIV, 0xB); /* divide by 1 */
	wr32(LAPIC + LAPIC_LVT_TIMER, 0x41 | 1 << 17);
	wr32(LAPIC + LAPIC_TIMER_INIT, 1000000);
	wait(5);
	wr32(LAPIC + LAPIC_TIMER_INIT, 0);
	ticks = 0;
	wr32(LAPIC + LAPIC_LVT_TIMER, 0x41);
	wr32(LAPIC + LAPIC_TIMER_INIT, 1000000);
	wait(1);
	cpuid(1, 0, r);
	if (!(r[2] & 1u << 24)) {
		put("no deadline mode\r\n");
		return PASS;
	}
	ticks = 0;
	wr32(LAPIC + LAPIC_LVT_TIMER, 0x41 | 2 << 17);
	for (u32 n = 1; n <= 5; n++) {
		u64 when = rdtsc() + 1000000;

		wrmsr(0x6E0, when);
		wait(n);
		if (rdtsc() < when)
			return 2; /* it rang too early */
	}
	return PASS;
}
