// SPDX-License-Identifier: BSD-2-Clause
/* boot/tables_int.h - What the writers of firmware tables share; included only in this room */
#ifndef BOOT_TABLES_INT_H
#define BOOT_TABLES_INT_H

#include "base/types.h"

/* The constant part of our ACPI machine language, header included; boot/dsdt.c */
const u8 *boot_dsdt(size_t *len);

/* The byte that makes @n bytes sum up to zero */
static inline u8 boot_checksum(const u8 *p, size_t n)
{
	u8 sum = 0;

	while (n--)
		sum = (u8)(sum + *p++);
	return (u8)-sum;
}

#endif
