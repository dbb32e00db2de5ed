// SPDX-License-Identifier: BSD-2-Clause
/* No IDT at all: the first exception is a triple fault */
#include "guest.h"

NO_APS
int main(u32 magic, u32 info)
{
	struct { u16 limit; u32 base; } __attribute__((packed)) r = { 0, 0 };

	__asm__ volatile("lidt %0; mov $0xC0FFEE, %%eax; ud2" : : "m"(r) : "eax");
	return 1;
}
