// SPDX-License-Identifier: BSD-2-Clause
/* Counts for ever: for pause, stop and kill */
#include "guest.h"

NO_APS
int main(u32 magic, u32 info)
{
	put("ready\r\n");
	for (volatile u32 i = 0;; i++)
		if (!(i & 0xfffff))
			put(".");
}
