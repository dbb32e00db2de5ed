// SPDX-License-Identifier: BSD-2-Clause
/* Configuration space by ports and by ECAM agree; the two bridges are where -s put them */
#include "guest.h"

NO_APS
static u32 cfg(u32 slot, u32 off)
{
	outl(0xCF8, 1u << 31 | slot << 11 | off);
	return inl(0xCFC);
}

int main(u32 magic, u32 info)
{
	u32 found = 0;

	for (u32 slot = 0; slot < 32; slot++) {
		if (cfg(slot, 0) != rd32(0xE0000000 + (slot << 15)))
			return 2;
		if (cfg(slot, 0) != ~0u)
			found |= 1u << slot;
	}
	if (found != (1u | 1u << 31))
		return 3;
	if (cfg(0, 0) != 0x12751275 || cfg(31, 0) != 0x70008086)
		return 4;
	return cfg(31, 8) >> 16 == 0x0601 ? PASS : 5;
}
