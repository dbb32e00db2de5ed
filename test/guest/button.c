// SPDX-License-Identifier: BSD-2-Clause
/* Waits for the power button (SCI, IRQ 9 through the 8259) and powers off */
#include "guest.h"

NO_APS
static volatile u32 pressed;

static void sci(struct trap *t)
{
	if (inw(0x400) & 0x100) {
		outw(0x400, 0x100);
		pressed = 1;
	}
	outb(0xA0, 0x20);
	outb(0x20, 0x20);
}

int main(u32 magic, u32 info)
{
	idt_init();
	traps[0x29] = sci;
	pic_init(0xFDFB);
	outb(0x4D1, 2); /* IRQ 9 is level triggered */
	outb(0xB2, 0xA0);
	outw(0x402, 0x100);
	put("ready\r\n");
	while (!pressed)
		sti_hlt_cli();
	put("pressed\r\n");
	outw(0x404, 0x2000 | 5 << 10);
	for (;;)
		__asm__ volatile("cli; hlt");
}
