// SPDX-License-Identifier: BSD-2-Clause
/* boot/acpi.c - ACPI 5.0 tables in guest RAM
 *
 * Where HyperKit has them: RSDP 0xF2400 to DSDT 0xF2C00, and behind the DSDT an SSDT with
 * everything that depends on the machine (see dsdt.asl). Built in a buffer, then copied. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/wire.h"
#include "boot/aml.h"
#include "boot/boot.h"
#include "boot/tables_int.h"

/* Offsets from BOOT_ACPI_GPA */
#define OFF_RSDP 0x000u
#define OFF_RSDT 0x040u
#define OFF_XSDT 0x080u
#define OFF_MADT 0x100u
#define OFF_FADT 0x600u
#define OFF_HPET 0x740u
#define OFF_MCFG 0x780u
#define OFF_FACS 0x7c0u
#define OFF_DSDT 0x800u
#define AREA_BYTES (BOOT_ACPI_END - BOOT_ACPI_GPA)

#define HEADER_BYTES 36u
#define FADT_BYTES 268u
#define FACS_BYTES 64u

#define SCI_IRQ 9u
#define PM1_EVT 0x400u
#define PM1_CNT 0x404u
#define PM_TMR 0x408u
#define SMI_CMD 0xb2u
#define RESET_PORT 0xcf9u
#define IOAPIC_GPA 0xfec00000u
#define LAPIC_GPA 0xfee00000u
#define HPET_GPA 0xfed00000u
#define HPET_ID 0x8086a701u

/* FADT flags (ACPI 5.0, table 5-35) */
#define FADT_WBINVD BIT(0)
#define FADT_C1 BIT(2)
#define FADT_SLEEP_BUTTON_IS_DEVICE BIT(5)
#define FADT_TIMER_32 BIT(8)
#define FADT_RESET_REG BIT(10)
#define FADT_HEADLESS BIT(12)
#define FADT_PHYSICAL_DEST BIT(19)
/* Boot architecture flags: no VGA, no ASPM; 8042 absent */
#define FADT_BOOT_FLAGS (BIT(2) | BIT(4))

#define MAX_TABLES 5u

struct acpi {
	const struct boot_env *env;
	const struct boot_pci *pci;
	u8 *area;
	u32 table[MAX_TABLES]; /* guest addresses for RSDT and XSDT */
	unsigned num_tables;
};

static void header(u8 *t, const char *sig, u8 rev, const char *table_id, size_t len)
{
	memcpy(t, sig, 4);
	store_le32(t + 4, (u32)len);
	t[8] = rev;
	memcpy(t + 10, "BHYVE ", 6);
	memcpy(t + 16, table_id, 8);
	store_le32(t + 24, 1);
	memcpy(t + 28, "INTL", 4);
	store_le32(t + 32, 0x20140828);
	t[9] = 0;
	t[9] = boot_checksum(t, len);
}

static void listed(struct acpi *a, unsigned off)
{
	a->table[a->num_tables++] = BOOT_ACPI_GPA + off;
}

/* ---- MADT (5.2.12) ---- */

static u8 *madt_override(u8 *p, u8 irq, u32 gsi, u16 flags)
{
	p[0] = 2;
	p[1] = 10;
	p[3] = irq;
	store_le32(p + 4, gsi);
	store_le16(p + 8, flags);
	return p + 10;
}

static void build_madt(struct acpi *a)
{
	u8 *t = a->area + OFF_MADT, *p = t + 44;
	unsigned i;

	store_le32(t + 36, LAPIC_GPA);
	store_le32(t + 40, 1); /* PC-AT compatible: there are PICs */
	for (i = 0; i < a->env->cpus; i++, p += 8) {
		p[0] = 0;
		p[1] = 8;
		p[2] = p[3] = (u8)i;
		store_le32(p + 4, 1);
	}
	p[0] = 1; /* IOAPIC 0 from GSI 0 */
	p[1] = 12;
	store_le32(p + 4, IOAPIC_GPA);
	p += 12;
	p = madt_override(p, 0, 2, 0x5);
	p = madt_override(p, SCI_IRQ, SCI_IRQ, 0xf); /* level, active low */
	p[0] = 4; /* NMI: LINT1 of all processors, edge, active high */
	p[1] = 6;
	p[2] = 0xff;
	store_le16(p + 3, 0x5);
	p[5] = 1;
	p += 6;
	header(t, "APIC", 1, "BVMADT  ", (size_t)(p - t));
	listed(a, OFF_MADT);
}

/* ---- FADT (5.2.9) ---- */

/* Generic address of I/O ports; @size: 1 byte, 2 word, 3 dword */
static void gas(u8 *p, u8 bits, u8 size, u64 port)
{
	p[0] = 1;
	p[1] = bits;
	p[3] = size;
	store_le64(p + 4, port);
}

static void build_fadt(struct acpi *a)
{
	u8 *t = a->area + OFF_FADT;

	store_le32(t + 36, BOOT_ACPI_GPA + OFF_FACS);
	store_le32(t + 40, BOOT_ACPI_GPA + OFF_DSDT);
	store_le16(t + 46, SCI_IRQ);
	store_le32(t + 48, SMI_CMD);
	t[52] = 0xa0; /* written there: ACPI on, off */
	t[53] = 0xa1;
	store_le32(t + 56, PM1_EVT);
	store_le32(t + 64, PM1_CNT);
	store_le32(t + 76, PM_TMR);
	t[88] = 4;
	t[89] = 2;
	t[91] = 4;
	store_le16(t + 96, 0x65);  /* latencies that say: no C2, no C3 */
	store_le16(t + 98, 0x3e9);
	t[108] = 0x32; /* century in CMOS */
	store_le16(t + 109, FADT_BOOT_FLAGS);
	store_le32(t + 112, FADT_WBINVD | FADT_C1 | FADT_SLEEP_BUTTON_IS_DEVICE | FADT_TIMER_32 |
				    FADT_RESET_REG | FADT_HEADLESS | FADT_PHYSICAL_DEST);
	gas(t + 116, 8, 1, RESET_PORT);
	t[128] = 6;
	/* X_FIRMWARE_CTRL stays zero: named twice, Linux would take the FACS for two tables */
	store_le64(t + 140, BOOT_ACPI_GPA + OFF_DSDT);
	gas(t + 148, 32, 2, PM1_EVT);
	gas(t + 172, 16, 2, PM1_CNT);
	gas(t + 208, 32, 3, PM_TMR);
	header(t, "FACP", 5, "BVFACP  ", FADT_BYTES);
	listed(a, OFF_FADT);
}

/* ---- small ones ---- */

static void build_hpet(struct acpi *a)
{
	u8 *t = a->area + OFF_HPET;

	if (!a->pci->hpet)
		return;
	store_le32(t + 36, HPET_ID);
	store_le64(t + 44, HPET_GPA);
	t[55] = 1; /* nothing else in its 4 KiB */
	header(t, "HPET", 1, "BVHPET  ", 56);
	listed(a, OFF_HPET);
}

static void build_mcfg(struct acpi *a)
{
	u8 *t = a->area + OFF_MCFG;

	if (!a->pci->ecam_base)
		return;
	store_le64(t + 44, a->pci->ecam_base);
	t[55] = 255; /* buses 0..255 of segment 0 */
	header(t, "MCFG", 1, "BVMCFG  ", 60);
	listed(a, OFF_MCFG);
}

static void build_facs(struct acpi *a)
{
	u8 *t = a->area + OFF_FACS;

	memcpy(t, "FACS", 4);
	store_le32(t + 4, FACS_BYTES);
	t[32] = 2;
}

/* ---- SSDT ---- */

static void host_bridge_crs(struct acpi *a, struct aml *out)
{
	const struct boot_pci *p = a->pci;
	u8 buf[256];
	struct aml r = { .buf = buf, .cap = sizeof(buf) };

	aml_res_word(&r, AML_SPACE_BUS, 0, 0);
	aml_res_io(&r, 0xcf8, 8);
	aml_res_word(&r, AML_SPACE_IO, 0, 0xcf7);
	aml_res_word(&r, AML_SPACE_IO, 0xd00, (u16)(p->io_base - 1));
	aml_res_word(&r, AML_SPACE_IO, (u16)p->io_base, (u16)(p->io_limit - 1));
	aml_res_mem32(&r, (u32)p->mem32_base, (u32)(p->mem32_limit - 1));
	if (p->mem64_limit > p->mem64_base)
		aml_res_mem64(&r, p->mem64_base, p->mem64_limit - 1);
	aml_res_end(&r);
	aml_name(out, "_CRS");
	aml_buffer(out, r.buf, r.len);
}

/* Interrupt routes (6.2.12) of bus 0: to the IOAPIC, or to a link when @pic */
static void routing(struct acpi *a, struct aml *out, const char *name, bool pic)
{
	char link[] = "\\_SB.PC00.ISA.LNKA";
	const struct boot_intx *x;
	unsigned i, n = 0;
	size_t all, one;

	for (i = 0; i < a->pci->num_routes; i++)
		n += a->pci->route[i].bus == 0;
	/* The links are behind the ISA bridge */
	if (pic && a->pci->lpc_slot < 0)
		n = 0;
	aml_name(out, name);
	all = aml_package_begin(out, (u8)n);
	for (i = 0; n && i < a->pci->num_routes; i++) {
		x = &a->pci->route[i];
		if (x->bus)
			continue;
		one = aml_package_begin(out, 4);
		aml_int(out, (u32)x->slot << 16 | 0xffff);
		aml_int(out, x->pin - 1u);
		if (pic) {
			link[sizeof(link) - 2] = (char)('A' + (x->pirq & 7));
			aml_path(out, link);
			aml_int(out, 0);
		} else {
			aml_int(out, 0);
			aml_int(out, x->gsi);
		}
		aml_end(out, one);
	}
	aml_end(out, all);
}

static void status(struct aml *out, const char *scope, bool present)
{
	size_t mark = aml_scope_begin(out, scope);

	aml_name(out, "_STA");
	aml_int(out, present ? 0x0f : 0);
	aml_end(out, mark);
}

static void isa_bridge(struct acpi *a, struct aml *out)
{
	bool there = a->pci->lpc_slot >= 0;
	size_t mark = aml_scope_begin(out, "\\_SB.PC00.ISA");

	/* Without a bridge the address is never asked for */
	aml_name(out, "_ADR");
	aml_int(out, there ? (u64)a->pci->lpc_slot << 16 : 0);
	aml_name(out, "_STA");
	aml_int(out, there ? 0x0f : 0);
	aml_end(out, mark);
	status(out, "\\_SB.PC00.ISA.COM1", there && a->pci->com1);
	status(out, "\\_SB.PC00.ISA.COM2", there && a->pci->com2);
}

/* An OS uses the configuration window only when some device claims it */
static void ecam_claim(struct acpi *a, struct aml *out)
{
	u8 buf[32];
	struct aml r = { .buf = buf, .cap = sizeof(buf) };
	size_t mark;

	if (!a->pci->ecam_base)
		return;
	aml_res_fixed32(&r, (u32)a->pci->ecam_base, 0x10000000);
	aml_res_end(&r);
	mark = aml_device_begin(out, "\\_SB.ECAM");
	aml_name(out, "_HID");
	aml_int(out, 0x020cd041); /* PNP0C02 */
	aml_name(out, "_UID");
	aml_int(out, 2);
	aml_name(out, "_CRS");
	aml_buffer(out, r.buf, r.len);
	aml_end(out, mark);
}

static int build_dsdt(struct acpi *a, struct hk_err *err)
{
	size_t len, off, mark;
	const u8 *dsdt = boot_dsdt(&len);
	struct aml out;
	u8 *t;

	off = ALIGN_UP(OFF_DSDT + len, 64);
	if (off + HEADER_BYTES > AREA_BYTES)
		return err_set(err, -ENOSPC, "ACPI: the DSDT does not fit below 1 MiB");
	memcpy(a->area + OFF_DSDT, dsdt, len);

	t = a->area + off;
	out = (struct aml){ .buf = t, .len = HEADER_BYTES, .cap = AREA_BYTES - off };
	mark = aml_scope_begin(&out, "\\_SB.PC00");
	host_bridge_crs(a, &out);
	routing(a, &out, "PRTA", false);
	routing(a, &out, "PRTP", true);
	aml_end(&out, mark);
	isa_bridge(a, &out);
	status(&out, "\\_SB.HPET", a->pci->hpet);
	ecam_claim(a, &out);
	if (out.full)
		return err_set(err, -ENOSPC, "ACPI: the tables do not fit below 1 MiB");
	header(t, "SSDT", 2, "BVSSDT  ", out.len);
	listed(a, (unsigned)off);
	return 0;
}

/* ---- roots (5.2.5, 5.2.7, 5.2.8) ---- */

static void build_roots(struct acpi *a)
{
	u8 *rsdt = a->area + OFF_RSDT, *xsdt = a->area + OFF_XSDT, *rsdp = a->area + OFF_RSDP;
	unsigned i;

	for (i = 0; i < a->num_tables; i++) {
		store_le32(rsdt + HEADER_BYTES + 4 * i, a->table[i]);
		store_le64(xsdt + HEADER_BYTES + 8 * i, a->table[i]);
	}
	header(rsdt, "RSDT", 1, "BVRSDT  ", HEADER_BYTES + 4 * a->num_tables);
	header(xsdt, "XSDT", 1, "BVXSDT  ", HEADER_BYTES + 8 * a->num_tables);

	memcpy(rsdp, "RSD PTR ", 8);
	memcpy(rsdp + 9, "BHYVE ", 6);
	rsdp[15] = 2;
	store_le32(rsdp + 16, BOOT_ACPI_GPA + OFF_RSDT);
	store_le32(rsdp + 20, 36);
	store_le64(rsdp + 24, BOOT_ACPI_GPA + OFF_XSDT);
	rsdp[8] = boot_checksum(rsdp, 20);
	rsdp[32] = boot_checksum(rsdp, 36);
}

_Static_assert(OFF_MADT + 44 + 64 * 8 + 12 + 2 * 10 + 6 <= OFF_FADT, "64 CPUs fit");
_Static_assert(OFF_RSDT + HEADER_BYTES + 4 * MAX_TABLES <= OFF_XSDT, "RSDT fits");
_Static_assert(OFF_XSDT + HEADER_BYTES + 8 * MAX_TABLES <= OFF_MADT, "XSDT fits");
_Static_assert(OFF_FADT + FADT_BYTES <= OFF_HPET, "FADT fits");

static int check(const struct boot_env *env, const struct boot_pci *pci, struct hk_err *err)
{
	if (env->cpus < 1 || env->cpus > 64)
		return err_set(err, -EINVAL, "ACPI: impossible number of CPUs %u", env->cpus);
	if (pci->bus_used_beyond_0)
		return err_set(err, -EINVAL, "DSDT, unsupported PCI bus other than 0");
	/* Both windows are described by descriptors of their width */
	if (pci->io_base <= 0xd00 || pci->io_limit > 0x10000 || pci->io_base >= pci->io_limit ||
	    pci->mem32_base >= pci->mem32_limit || pci->mem32_limit > 0x100000000ull)
		return err_set(err, -EINVAL, "ACPI: impossible PCI windows");
	return 0;
}

int boot_acpi_build(const struct boot_env *env, const struct boot_pci *pci, struct hk_err *err)
{
	struct acpi a = { .env = env, .pci = pci };
	int rc = check(env, pci, err);

	if (rc)
		return rc;
	a.area = calloc(1, AREA_BYTES);
	if (!a.area)
		return err_set(err, -ENOMEM, "ACPI: out of memory");
	build_fadt(&a);
	build_madt(&a);
	build_hpet(&a);
	build_mcfg(&a);
	build_facs(&a);
	rc = build_dsdt(&a, err);
	if (!rc) {
		build_roots(&a);
		rc = mem_write(env->mem, BOOT_ACPI_GPA, a.area, AREA_BYTES);
		if (rc)
			err_set(err, rc, "ACPI: the guest has no memory for the tables");
	}
	free(a.area);
	return rc;
}
