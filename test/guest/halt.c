// SPDX-License-Identifier: BSD-2-Clause
/* HLT with interrupts off, a timer interrupt pending all the time: nothing can wake it */
#include "guest.h"

NO_APS
int main(u32 magic, u32 info)
{
	pic_init(0xFFFE);
	pit_rate(1193);
	cli();
	for (;;)
		__asm__ volatile("hlt");
}
