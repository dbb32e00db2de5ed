// SPDX-License-Identifier: BSD-2-Clause
/* Memory that nobody has reads ones, forgets stores, and holds no instructions that run */
#include "guest.h"

NO_APS
int main(u32 magic, u32 info)
{
	wr32(0xC8000000, 5);
	if (rd32(0xC8000000) != ~0u || *(volatile u8 *)0xFED80001 != 0xff)
		return 2;
	((void (*)(void))0xC8000000)(); /* FF FF: #UD, and no IDT to take it */
	return 3;
}
