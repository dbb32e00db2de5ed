// SPDX-License-Identifier: BSD-2-Clause
/* boot/aml.h - Write ACPI machine language: the few terms that our SSDT needs
 *
 * ACPI 5.0 chapter 20. Into a buffer of fixed size; too much sets `full`. [setup] */
#ifndef BOOT_AML_H
#define BOOT_AML_H

#include "base/types.h"

struct aml {
	u8 *buf;
	size_t len, cap;
	bool full;
};

void aml_bytes(struct aml *a, const void *p, size_t n);
void aml_int(struct aml *a, u64 val);
/* "\\_SB.PC00": segments of 1 to 4 characters, optional root */
void aml_path(struct aml *a, const char *path);
void aml_name(struct aml *a, const char *path); /* Name(path, <what is added next>) */

/* Terms with a length: what is added between begin and end is inside */
size_t aml_scope_begin(struct aml *a, const char *path);
size_t aml_device_begin(struct aml *a, const char *path);
size_t aml_package_begin(struct aml *a, u8 elements);
void aml_end(struct aml *a, size_t mark);
void aml_buffer(struct aml *a, const void *p, size_t n);

/* Resource templates (6.4): descriptors go to a plain buffer, then into an aml_buffer */
enum aml_space { AML_SPACE_MEM, AML_SPACE_IO, AML_SPACE_BUS };
void aml_res_word(struct aml *r, enum aml_space space, u16 min, u16 max);
void aml_res_mem32(struct aml *r, u32 min, u32 max);
void aml_res_mem64(struct aml *r, u64 min, u64 max);
void aml_res_fixed32(struct aml *r, u32 base, u32 len);
void aml_res_io(struct aml *r, u16 base, u8 len);
void aml_res_end(struct aml *r);

#endif
