// SPDX-License-Identifier: BSD-2-Clause
/* boot/mptable.c - MP configuration table for guests without ACPI
 *
 * MultiProcessor Specification 1.4: floating pointer at 0xF0000 (4.1), table right behind
 * it (4.2). The IOAPIC's id is 0 as its register says. */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/wire.h"
#include "boot/boot.h"
#include "boot/tables_int.h"

#define MP_BYTES (BOOT_SMBIOS_GPA - BOOT_MPTABLE_GPA)
#define MP_FLOAT_BYTES 16u
#define MP_HEADER_BYTES 44u

#define BUS_PCI 0u
#define BUS_ISA 1u
#define IOAPIC_ID 0u
#define IOAPIC_GPA 0xfec00000u
#define LAPIC_GPA 0xfee00000u
#define APIC_VERSION 0x14u
#define IOAPIC_VERSION 0x11u
#define SCI_IRQ 9u

#define INT_VECTORED 0u
#define INT_NMI 1u
#define INT_EXTINT 3u
#define FLAGS_CONFORM 0u
#define FLAGS_LEVEL_LOW 0xfu

struct mp {
	u8 buf[MP_BYTES];
	size_t len; /* of the table, header included */
	unsigned entries;
	bool full;
	u8 waste[20]; /* where entries go that do not fit */
};

static u8 *entry(struct mp *m, u8 type, size_t n)
{
	u8 *p;

	if (MP_FLOAT_BYTES + m->len + n > MP_BYTES) {
		m->full = true;
		return m->waste;
	}
	p = m->buf + MP_FLOAT_BYTES + m->len;
	p[0] = type;
	m->len += n;
	m->entries++;
	return p;
}

static void add_cpus(struct mp *m, unsigned cpus)
{
	unsigned i;
	u8 *p;

	for (i = 0; i < cpus; i++) {
		p = entry(m, 0, 20);
		p[1] = (u8)i;
		p[2] = APIC_VERSION;
		p[3] = (u8)(1 | (i ? 0 : 2)); /* enabled, boot processor */
		store_le32(p + 4, 6u << 8 | 10u << 4 | 5u); /* family, model (low bits), stepping */
		store_le32(p + 8, 0xbfebfbff);
	}
}

static void add_bus(struct mp *m, u8 id, const char *name)
{
	u8 *p = entry(m, 1, 8);

	p[1] = id;
	memcpy(p + 2, name, 6);
}

static void add_int(struct mp *m, u8 type, u8 kind, u16 flags, u8 bus, u8 src, u8 dest, u8 pin)
{
	u8 *p = entry(m, type, 8);

	p[1] = kind;
	store_le16(p + 2, flags);
	p[4] = bus;
	p[5] = src;
	p[6] = dest;
	p[7] = pin;
}

static void add_isa(struct mp *m)
{
	u8 pin;

	for (pin = 0; pin < 16; pin++) {
		if (pin == 0) /* the PICs' output */
			add_int(m, 3, INT_EXTINT, FLAGS_CONFORM, BUS_ISA, 0, IOAPIC_ID, 0);
		else if (pin == 2) /* the timer; IRQ 2 is the cascade */
			add_int(m, 3, INT_VECTORED, FLAGS_CONFORM, BUS_ISA, 0, IOAPIC_ID, 2);
		else
			add_int(m, 3, INT_VECTORED, pin == SCI_IRQ ? FLAGS_LEVEL_LOW : FLAGS_CONFORM,
				BUS_ISA, pin, IOAPIC_ID, pin);
	}
}

static void add_pci(struct mp *m, const struct boot_pci *pci)
{
	const struct boot_intx *x;
	unsigned i;

	for (i = 0; i < pci->num_routes; i++) {
		x = &pci->route[i];
		add_int(m, 3, INT_VECTORED, FLAGS_LEVEL_LOW, BUS_PCI,
			(u8)(x->slot << 2 | (x->pin - 1)), IOAPIC_ID, x->gsi);
	}
}

int boot_mptable_build(const struct boot_env *env, const struct boot_pci *pci, struct hk_err *err)
{
	struct mp m = { .len = MP_HEADER_BYTES };
	u8 *f = m.buf, *t = m.buf + MP_FLOAT_BYTES, *p;
	int rc;

	if (pci->bus_used_beyond_0)
		return err_set(err, -EINVAL, "MP table: unsupported PCI bus other than 0, use -Y");
	add_cpus(&m, env->cpus);
	add_bus(&m, BUS_PCI, "PCI   ");
	add_bus(&m, BUS_ISA, "ISA   ");
	p = entry(&m, 2, 8);
	p[1] = IOAPIC_ID;
	p[2] = IOAPIC_VERSION;
	p[3] = 1;
	store_le32(p + 4, IOAPIC_GPA);
	add_isa(&m);
	add_pci(&m, pci);
	add_int(&m, 4, INT_EXTINT, FLAGS_CONFORM, BUS_ISA, 0, 0xff, 0);
	add_int(&m, 4, INT_NMI, FLAGS_CONFORM, BUS_ISA, 0, 0xff, 1);
	if (m.full)
		return err_set(err, -ENOSPC, "MP table: %u CPUs do not fit", env->cpus);

	memcpy(t, "PCMP", 4);
	store_le16(t + 4, (u16)m.len);
	t[6] = 4;
	memcpy(t + 8, "BHyVe   ", 8);
	memcpy(t + 16, "Hypervisor  ", 12);
	store_le16(t + 34, (u16)m.entries);
	store_le32(t + 36, LAPIC_GPA);
	t[7] = boot_checksum(t, m.len);

	memcpy(f, "_MP_", 4);
	store_le32(f + 4, BOOT_MPTABLE_GPA + MP_FLOAT_BYTES);
	f[8] = 1;
	f[9] = 4;
	f[10] = boot_checksum(f, MP_FLOAT_BYTES);
	rc = mem_write(env->mem, BOOT_MPTABLE_GPA, m.buf, sizeof(m.buf));
	return rc ? err_set(err, rc, "mptable requires mapped mem") : 0;
}
