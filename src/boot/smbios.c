// SPDX-License-Identifier: BSD-2-Clause
/* boot/smbios.c - SMBIOS 2.7 structures: what machine this is
 *
 * DMTF DSP0134 2.7.1; the entry point at 0xF1000, structures right behind, all below the
 * ACPI tables. The strings are HyperKit's: guests know it by product "BHYVE". */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/wire.h"
#include "boot/boot.h"
#include "boot/tables_int.h"

#define SMBIOS_BYTES (BOOT_ACPI_GPA - BOOT_SMBIOS_GPA)
#define ENTRY_BYTES 31u
#define STRUCTS_OFF 32u /* the entry point's length, aligned */
#define KIB 1024ull
#define MIB (1024ull * KIB)

struct smbios {
	u8 buf[SMBIOS_BYTES];
	size_t len; /* bytes used in buf */
	size_t start; /* of the structure being written */
	size_t max; /* largest structure */
	u16 handle; /* next one */
	u8 strings; /* in the present structure */
	unsigned count;
	bool full;
	u8 waste[64];
};

/* Formatted part of a structure of @n bytes, header filled in */
static u8 *begin(struct smbios *s, u8 type, u8 n)
{
	u8 *p = s->buf + s->len;

	s->start = s->len;
	s->strings = 0;
	if (s->len + n + 2 > sizeof(s->buf)) {
		s->full = true;
		return s->waste;
	}
	p[0] = type;
	p[1] = n;
	store_le16(p + 2, s->handle++);
	s->len += n;
	s->count++;
	return p;
}

/* Return: the string's number */
static u8 str(struct smbios *s, const char *text)
{
	size_t n = strlen(text) + 1;

	if (s->len + n + 1 > sizeof(s->buf)) {
		s->full = true;
		return 0;
	}
	memcpy(s->buf + s->len, text, n);
	s->len += n;
	return ++s->strings;
}

/* Two NULs end a structure: one of the last string, or both here (6.1.3) */
static void end(struct smbios *s)
{
	size_t n = s->strings ? 1 : 2;

	if (s->full || s->len + n > sizeof(s->buf)) {
		s->full = true;
		return;
	}
	memset(s->buf + s->len, 0, n);
	s->len += n;
	s->max = MAX(s->max, s->len - s->start);
}

/* ---- system UUID ---- */

static u64 fnv1a(u64 h, const char *s)
{
	for (; *s; s++)
		h = (h ^ (u8)*s) * 0x100000001b3ull;
	return h;
}

/* The same on each start on one host: version 8 (RFC 9562, 5.8), a hash of the host's name */
static void uuid_derive(u8 out[16])
{
	char host[256] = "";

	gethostname(host, sizeof(host) - 1);
	store_le64(out, fnv1a(fnv1a(0xcbf29ce484222325ull, "vm"), host));
	store_le64(out + 8, fnv1a(fnv1a(0x84222325cbf29ce4ull, "hyperkit"), host));
	out[6] = (out[6] & 0x0f) | 0x80;
	out[8] = (out[8] & 0x3f) | 0x80;
}

static unsigned hex(char c)
{
	return isdigit((unsigned char)c) ? (unsigned)(c - '0') : (unsigned)(tolower(c) - 'a' + 10);
}

static int uuid_parse(u8 out[16], const char *text)
{
	unsigned i, n = 0;

	for (i = 0; i < 36; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (text[i] != '-')
				return -EINVAL;
			continue;
		}
		if (!isxdigit((unsigned char)text[i]))
			return -EINVAL;
		out[n / 2] = (u8)(out[n / 2] << 4 | hex(text[i]));
		n++;
	}
	return text[36] ? -EINVAL : 0;
}

static void swap(u8 *a, u8 *b)
{
	u8 t = *a;

	*a = *b;
	*b = t;
}

/* Text order to table order: the first three fields are little endian (7.2.1) */
static void uuid_store(u8 *p, const u8 u[16])
{
	memcpy(p, u, 16);
	swap(p, p + 3);
	swap(p + 1, p + 2);
	swap(p + 4, p + 5);
	swap(p + 6, p + 7);
}

/* ---- structures ---- */

static void bios(struct smbios *s) /* 7.1 */
{
	u8 *p = begin(s, 0, 0x18);

	p[4] = str(s, "BHYVE");
	p[5] = str(s, "1.00");
	store_le16(p + 6, 0xf000);
	p[8] = str(s, "03/14/2014");
	p[9] = 0; /* 64 KiB */
	store_le64(p + 0x0a, BIT(3)); /* characteristics are not said */
	p[0x12] = BIT(0);	      /* ACPI */
	p[0x13] = BIT(4);	      /* virtual machine */
	p[0x14] = 1;
	p[0x15] = 0;
	p[0x16] = p[0x17] = 0xff; /* no embedded controller */
	end(s);
}

static void system_info(struct smbios *s, const u8 uuid[16]) /* 7.2 */
{
	u8 *p = begin(s, 1, 0x1b);

	p[4] = str(s, " ");
	p[5] = str(s, "BHYVE");
	p[6] = str(s, "1.0");
	p[7] = str(s, "None");
	uuid_store(p + 8, uuid);
	p[0x18] = 6; /* woken by the power switch */
	p[0x19] = str(s, "None");
	p[0x1a] = str(s, " ");
	end(s);
}

static void chassis(struct smbios *s) /* 7.4 */
{
	u8 *p = begin(s, 3, 0x16);

	p[4] = str(s, " ");
	p[5] = 2; /* type unknown */
	p[6] = str(s, "1.0");
	p[7] = str(s, "None");
	p[8] = str(s, "None");
	p[9] = p[10] = p[11] = 3; /* safe */
	p[12] = 3;		  /* no security */
	p[0x15] = str(s, "None");
	end(s);
}

static void processor(struct smbios *s, unsigned n) /* 7.5 */
{
	char socket[16];
	u8 *p = begin(s, 4, 0x2a);

	snprintf(socket, sizeof(socket), "CPU #%u", n);
	p[4] = str(s, socket);
	p[5] = 3;    /* central processor */
	p[6] = 2;    /* family unknown */
	p[0x18] = BIT(6) | 1; /* populated, enabled */
	p[0x19] = 6; /* no upgrade */
	store_le16(p + 0x1a, 0xffff); /* no cache structures */
	store_le16(p + 0x1c, 0xffff);
	store_le16(p + 0x1e, 0xffff);
	p[0x23] = p[0x24] = p[0x25] = 1;
	store_le16(p + 0x26, BIT(2)); /* 64-bit capable */
	store_le16(p + 0x28, 2);
	end(s);
}

/* Return: its handle */
static u16 memory_array(struct smbios *s, u64 bytes, unsigned devices) /* 7.17 */
{
	u8 *p = begin(s, 16, 0x17);
	u16 handle = load_le16(p + 2);

	p[4] = 3; /* on the board */
	p[5] = 3; /* system memory */
	p[6] = 2; /* error correction unknown */
	if (bytes / KIB < 0x80000000u) {
		store_le32(p + 7, (u32)(bytes / KIB));
	} else {
		store_le32(p + 7, 0x80000000u);
		store_le64(p + 0x0f, bytes);
	}
	store_le16(p + 0x0b, 0xfffe); /* no error information */
	store_le16(p + 0x0d, (u16)devices);
	end(s);
	return handle;
}

static void memory_device(struct smbios *s, u16 array, u64 bytes) /* 7.18 */
{
	u64 mib = MAX(bytes / MIB, 1);
	u8 *p = begin(s, 17, 0x22);

	store_le16(p + 4, array);
	store_le16(p + 6, 0xfffe);
	store_le16(p + 8, 64);
	store_le16(p + 0x0a, 64);
	if (mib < 0x7fff) {
		store_le16(p + 0x0c, (u16)mib);
	} else {
		store_le16(p + 0x0c, 0x7fff);
		store_le32(p + 0x1c, (u32)MIN(mib, 0x7fffffffu));
	}
	p[0x0e] = 2; /* form factor unknown */
	p[0x12] = 2; /* type unknown */
	store_le16(p + 0x13, BIT(2));
	end(s);
}

/* [@base, @base + @bytes) as inclusive KiB, or as bytes where that is too large (7.20) */
static void memory_range(struct smbios *s, u16 array, u64 base, u64 bytes)
{
	u64 last = base + bytes - 1;
	u8 *p = begin(s, 19, 0x1f);

	if (last / KIB < 0xffffffffu) {
		store_le32(p + 4, (u32)(base / KIB));
		store_le32(p + 8, (u32)(last / KIB));
	} else {
		store_le32(p + 4, 0xffffffffu);
		store_le32(p + 8, 0xffffffffu);
		store_le64(p + 0x0f, base);
		store_le64(p + 0x17, last);
	}
	store_le16(p + 0x0c, array);
	p[0x0e] = 1;
	end(s);
}

static void boot_status(struct smbios *s) /* 7.33 */
{
	begin(s, 32, 0x0b);
	end(s);
}

static void memory(struct smbios *s, const struct boot_env *env)
{
	u64 low = env->lowmem_bytes, high = env->highmem_bytes;
	u16 array = memory_array(s, low + high, high ? 2 : 1);

	memory_device(s, array, low);
	if (high)
		memory_device(s, array, high);
	memory_range(s, array, 0, low);
	if (high)
		memory_range(s, array, BOOT_HIGHMEM_GPA, high);
}

/* 5.2.1 */
static void entry_point(struct smbios *s)
{
	u8 *e = s->buf;

	memcpy(e, "_SM_", 4);
	e[5] = ENTRY_BYTES;
	e[6] = 2;
	e[7] = 7;
	store_le16(e + 8, (u16)s->max);
	memcpy(e + 16, "_DMI_", 5);
	store_le16(e + 22, (u16)(s->len - STRUCTS_OFF));
	store_le32(e + 24, BOOT_SMBIOS_GPA + STRUCTS_OFF);
	store_le16(e + 28, (u16)s->count);
	e[30] = 0x27;
	e[21] = boot_checksum(e + 16, 15);
	e[4] = boot_checksum(e, ENTRY_BYTES);
}

int boot_smbios_build(const struct boot_env *env, struct hk_err *err)
{
	struct smbios s = { .len = STRUCTS_OFF, .handle = 1 };
	u8 uuid[16] = { 0 };
	unsigned i;
	int rc = 0;

	if (env->uuid)
		rc = uuid_parse(uuid, env->uuid);
	else
		uuid_derive(uuid);
	if (rc)
		return err_set(err, rc, "bad UUID %s", env->uuid);
	bios(&s);
	system_info(&s, uuid);
	chassis(&s);
	for (i = 0; i < env->cpus; i++)
		processor(&s, i);
	memory(&s, env);
	boot_status(&s);
	begin(&s, 127, 4);
	end(&s);
	if (s.full)
		return err_set(err, -ENOSPC, "SMBIOS: %u CPUs do not fit", env->cpus);
	entry_point(&s);
	rc = mem_write(env->mem, BOOT_SMBIOS_GPA, s.buf, sizeof(s.buf));
	return rc ? err_set(err, rc, "SMBIOS: the guest has no memory for the tables") : 0;
}
