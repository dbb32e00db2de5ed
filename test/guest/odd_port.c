// SPDX-License-Identifier: BSD-2-Clause
/* A port that nobody has reads ones (and with -e ends the VM) */
#include "guest.h"

NO_APS
int main(u32 magic, u32 info)
{
	outb(0x1234, 1);
	return inb(0x1234) == 0xff && inw(0x1234) == 0xffff && inl(0x1234) == ~0u ? PASS : 2;
}
