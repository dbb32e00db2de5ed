// SPDX-License-Identifier: BSD-2-Clause
/* test/accel/guests.h - Guests as assembler text inside C
 *
 * GUEST(name, bits, text) defines g_name[]..g_name_end[]; it runs at CODE. Inside,
 * "AT(label)" is a label's address there. */
#ifndef TEST_ACCEL_GUESTS_H
#define TEST_ACCEL_GUESTS_H

#include "vm.h"

#define GUEST(name, bits, text)                                              \
	extern const u8 g_##name[], g_##name##_end[];                        \
	__asm__(".pushsection .rodata\n"                                     \
		".code" #bits "\n"                                           \
		".globl g_" #name "\n.globl g_" #name "_end\n"               \
		".hidden g_" #name "\n.hidden g_" #name "_end\n"             \
		"g_" #name ":\n77:\n"                                         \
		text                                                         \
		"\ng_" #name "_end:\n.code64\n.popsection\n")

/* Address of local label @l (such as 1f) while the guest runs */
#define AT(l) "(" #l " - 77b + 0x1000)"
#define DONE "out %al, $0xe4\n"
#define OUT8 "out %al, $0xe0\n"
#define OUT32 "out %eax, $0xe0\n"

#define LOAD(g, name) memcpy((g)->ram + CODE, g_##name, g_##name##_end - g_##name)

#endif
