// SPDX-License-Identifier: BSD-2-Clause
/* Code that was just written runs: in the same page, and a thousand times */
#include "guest.h"

NO_APS
static u8 code[64] __attribute__((aligned(64)));

int main(u32 magic, u32 info)
{
	u32 sum = 0;

	code[0] = 0xB8; /* mov eax, imm32 */
	code[5] = 0xC3; /* ret */
	for (u32 i = 0; i < 1000; i++) {
		*(volatile u32 *)(code + 1) = i;
		sum += ((u32 (*)(void))code)();
	}
	return sum == 1000 * 999 / 2 ? PASS : 2;
}
