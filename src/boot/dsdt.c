// SPDX-License-Identifier: BSD-2-Clause
/* boot/dsdt.c - The compiled dsdt.asl; the only includer of the generated header */
#include "boot/tables_int.h"

/* iasl writes a definition without qualifiers: "unsigned char dsdt_aml_code[] =" */
static const
#include "dsdt.h"

const u8 *boot_dsdt(size_t *len)
{
	*len = sizeof(dsdt_aml_code);
	return dsdt_aml_code;
}
