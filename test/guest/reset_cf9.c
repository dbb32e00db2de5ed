// SPDX-License-Identifier: BSD-2-Clause
/* Reset by port 0xCF9 */
#include "guest.h"

NO_APS
int main(u32 magic, u32 info)
{
	outb(0xCF9, 2);
	outb(0xCF9, 6);
	for (;;)
		__asm__ volatile("sti; hlt");
}
