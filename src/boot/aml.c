// SPDX-License-Identifier: BSD-2-Clause
/* boot/aml.c - Write ACPI machine language (ACPI 5.0 chapter 20) */
#include "boot/aml.h"

#include <string.h>

#include "base/wire.h"

#define OP_NAME 0x08
#define OP_BYTE 0x0a
#define OP_WORD 0x0b
#define OP_DWORD 0x0c
#define OP_QWORD 0x0e
#define OP_SCOPE 0x10
#define OP_BUFFER 0x11
#define OP_PACKAGE 0x12
#define OP_EXT 0x5b
#define OP_EXT_DEVICE 0x82
#define NAME_DUAL 0x2e
#define NAME_MULTI 0x2f
/* PkgLength always in its three-byte form (20.2.4), which is patched at the end */
#define PKG_BYTES 3u

#define RES_IO 0x47
#define RES_END 0x79
#define RES_FIXED32 0x86
#define RES_DWORD 0x87
#define RES_WORD 0x88
#define RES_QWORD 0x8a
#define RES_FIXED_RANGE 0x0c /* both ends fixed, producer, positive decode */
#define RES_MEM_FLAGS 0x01   /* read-write, not cacheable */
#define RES_IO_FLAGS 0x03    /* entire range */

void aml_bytes(struct aml *a, const void *p, size_t n)
{
	if (n > a->cap - a->len) {
		a->full = true;
		return;
	}
	memcpy(a->buf + a->len, p, n);
	a->len += n;
}

static void put8(struct aml *a, u8 v)
{
	aml_bytes(a, &v, 1);
}

static void put_le(struct aml *a, u64 v, unsigned n)
{
	u8 b[8];

	store_le64(b, v);
	aml_bytes(a, b, n);
}

void aml_int(struct aml *a, u64 val)
{
	if (val <= 1) {
		put8(a, (u8)val);
	} else if (val <= 0xff) {
		put8(a, OP_BYTE);
		put_le(a, val, 1);
	} else if (val <= 0xffff) {
		put8(a, OP_WORD);
		put_le(a, val, 2);
	} else if (val <= 0xffffffff) {
		put8(a, OP_DWORD);
		put_le(a, val, 4);
	} else {
		put8(a, OP_QWORD);
		put_le(a, val, 8);
	}
}

void aml_path(struct aml *a, const char *path)
{
	const char *s;
	u8 segs = 1;
	size_t n;

	if (*path == '\\')
		put8(a, (u8)*path++);
	for (s = path; *s; s++)
		segs += *s == '.';
	if (segs == 2)
		put8(a, NAME_DUAL);
	if (segs > 2) {
		put8(a, NAME_MULTI);
		put8(a, segs);
	}
	for (s = path; segs; segs--) {
		n = strcspn(s, ".");
		aml_bytes(a, s, MIN(n, 4));
		if (n < 4)
			aml_bytes(a, "____", 4 - n);
		s += n + (s[n] == '.');
	}
}

void aml_name(struct aml *a, const char *path)
{
	put8(a, OP_NAME);
	aml_path(a, path);
}

static size_t pkg_begin(struct aml *a)
{
	size_t mark = a->len;

	aml_bytes(a, "\0\0\0", PKG_BYTES);
	return mark;
}

size_t aml_scope_begin(struct aml *a, const char *path)
{
	size_t mark;

	put8(a, OP_SCOPE);
	mark = pkg_begin(a);
	aml_path(a, path);
	return mark;
}

size_t aml_device_begin(struct aml *a, const char *path)
{
	size_t mark;

	put8(a, OP_EXT);
	put8(a, OP_EXT_DEVICE);
	mark = pkg_begin(a);
	aml_path(a, path);
	return mark;
}

size_t aml_package_begin(struct aml *a, u8 elements)
{
	size_t mark;

	put8(a, OP_PACKAGE);
	mark = pkg_begin(a);
	put8(a, elements);
	return mark;
}

void aml_end(struct aml *a, size_t mark)
{
	size_t n = a->len - mark;

	if (a->full || n >= 1u << 20) {
		a->full = true;
		return;
	}
	a->buf[mark] = (u8)(2 << 6 | (n & 0xf));
	a->buf[mark + 1] = (u8)(n >> 4);
	a->buf[mark + 2] = (u8)(n >> 12);
}

void aml_buffer(struct aml *a, const void *p, size_t n)
{
	size_t mark;

	put8(a, OP_BUFFER);
	mark = pkg_begin(a);
	aml_int(a, n);
	aml_bytes(a, p, n);
	aml_end(a, mark);
}

/* ---- resources ---- */

/* Large address space descriptor (6.4.3.5) with fields of @w bytes */
static void res_space(struct aml *r, u8 tag, unsigned w, enum aml_space space, u64 min, u64 max)
{
	put8(r, tag);
	put_le(r, 3 + 5 * w, 2);
	put8(r, (u8)space);
	put8(r, RES_FIXED_RANGE);
	put8(r, space == AML_SPACE_MEM ? RES_MEM_FLAGS : space == AML_SPACE_IO ? RES_IO_FLAGS : 0);
	put_le(r, 0, w); /* granularity */
	put_le(r, min, w);
	put_le(r, max, w);
	put_le(r, 0, w); /* translation */
	put_le(r, max - min + 1, w);
}

void aml_res_word(struct aml *r, enum aml_space space, u16 min, u16 max)
{
	res_space(r, RES_WORD, 2, space, min, max);
}

void aml_res_mem32(struct aml *r, u32 min, u32 max)
{
	res_space(r, RES_DWORD, 4, AML_SPACE_MEM, min, max);
}

void aml_res_mem64(struct aml *r, u64 min, u64 max)
{
	res_space(r, RES_QWORD, 8, AML_SPACE_MEM, min, max);
}

void aml_res_fixed32(struct aml *r, u32 base, u32 len)
{
	put8(r, RES_FIXED32);
	put_le(r, 9, 2);
	put8(r, 1); /* writable */
	put_le(r, base, 4);
	put_le(r, len, 4);
}

void aml_res_io(struct aml *r, u16 base, u8 len)
{
	put8(r, RES_IO);
	put8(r, 1); /* decodes 16 bits */
	put_le(r, base, 2);
	put_le(r, base, 2);
	put8(r, 1); /* alignment */
	put8(r, len);
}

void aml_res_end(struct aml *r)
{
	put8(r, RES_END);
	put8(r, 0); /* no checksum */
}
