// SPDX-License-Identifier: BSD-2-Clause
/* Reset by the keyboard controller */
#include "guest.h"

NO_APS
int main(u32 magic, u32 info)
{
	while (inb(0x64) & 2)
		;
	outb(0x64, 0xFE);
	for (;;)
		__asm__ volatile("sti; hlt");
}
