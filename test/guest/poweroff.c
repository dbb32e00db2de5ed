// SPDX-License-Identifier: BSD-2-Clause
/* ACPI S5 */
#include "guest.h"

NO_APS
int main(u32 magic, u32 info)
{
	outb(0xB2, 0xA0);
	if (!(inw(0x404) & 1)) /* SCI_EN answers the SMI command */
		return 1;
	outw(0x404, 0x2000 | 5 << 10);
	for (;;)
		__asm__ volatile("sti; hlt");
}
