// SPDX-License-Identifier: BSD-2-Clause
/* RAM is where the memory map says: the last word below the limit holds, the next does not */
#include "guest.h"

NO_APS
int main(u32 magic, u32 info)
{
	u32 upper_kib = *(u32 *)(info + 8); /* multiboot: KiB above 1 MiB */
	u32 top = 0x100000 + upper_kib * 1024;
	u32 cmos;

	outb(0x70, 0x34);
	cmos = inb(0x71);
	outb(0x70, 0x35);
	cmos |= (u32)inb(0x71) << 8;
	if ((cmos << 16) + (16u << 20) != top)
		return 2;
	wr32(top - 4, 0x12345678);
	if (rd32(top - 4) != 0x12345678)
		return 3;
	wr32(top, 0x12345678);
	return rd32(top) == ~0u ? PASS : 4;
}
