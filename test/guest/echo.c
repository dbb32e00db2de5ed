// SPDX-License-Identifier: BSD-2-Clause
/* Polls COM1 and sends back what it gets, one letter up; 'q' ends it, byte 3 is shown as ^C */
#include "guest.h"

NO_APS
int main(u32 magic, u32 info)
{
	put("ready\r\n");
	for (;;) {
		char c[2] = { 0 };

		while (!(inb(0x3FD) & 1))
			pause();
		c[0] = (char)inb(0x3F8);
		if (c[0] == 'q')
			return PASS;
		if (c[0] == 3) {
			put("^C");
			continue;
		}
		c[0]++;
		put(c);
	}
}
