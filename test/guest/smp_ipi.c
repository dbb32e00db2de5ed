// SPDX-License-Identifier: BSD-2-Clause
/* CPUs come up by INIT and SIPI with ids of their own; then BSP and each AP wake one
 * another out of HLT by interrupts, many times: no wake-up may be lost */
#include "guest.h"

#define ROUNDS 300
static volatile u32 up, ids, pongs, pings[64];

static void ping(struct trap *t)
{
	pings[lapic_id()]++;
	lapic_eoi();
	lapic_send(0, 0x51);
}

static void pong(struct trap *t)
{
	pongs++;
	lapic_eoi();
}

void ap_main(void)
{
	idt_load();
	lapic_on();
	__atomic_or_fetch(&ids, 1u << lapic_id(), __ATOMIC_SEQ_CST);
	atomic_inc(&up);
	for (;;)
		__asm__ volatile("sti; hlt");
}

int main(u32 magic, u32 info)
{
	u32 r[4], cpus;

	idt_init();
	traps[0x50] = ping;
	traps[0x51] = pong;
	pic_init(0xFFFF);
	cpuid(0xB, 1, r);
	cpus = r[1];
	smp_start_all();
	while (up < cpus - 1)
		pause();
	if (ids != (1u << cpus) - 2)
		return 2;
	for (u32 cpu = 1; cpu < cpus; cpu++) {
		for (u32 i = 0; i < ROUNDS; i++) {
			u32 want = pongs + 1;

			lapic_send(cpu, 0x4050);
			while (pongs < want)
				sti_hlt_cli();
		}
		if (pings[cpu] != ROUNDS)
			return 3;
	}
	return PASS;
}
