// SPDX-License-Identifier: BSD-2-Clause
/* Bytes written to COM1 come out in order */
#include "guest.h"

NO_APS
int main(u32 magic, u32 info)
{
	put("hello from a bare guest\r\n");
	return PASS;
}
