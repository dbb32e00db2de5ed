// SPDX-License-Identifier: BSD-2-Clause
/* Firmware tables, read back from guest memory as an operating system reads them */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/wire.h"
#include "boot/aml.h"
#include "boot/boot.h"

#define RAM (256ull << 20)

struct rig {
	struct mem mem;
	struct boot_env env;
	struct boot_pci pci;
	struct hk_err err;
};

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	mem_init(&r->mem);
	assert_int_equal(mem_add(&r->mem, 0, RAM, 0, &r->err), 0);
	r->env = (struct boot_env){
		.mem = &r->mem,
		.lowmem_bytes = RAM,
		.cpus = 2,
		.uuid = "00112233-4455-6677-8899-aabbccddeeff",
		.acpi = true,
		.mptable = true,
	};
	r->pci = (struct boot_pci){
		.io_base = 0x2000,
		.io_limit = 0x10000,
		.mem32_base = 0xc0000000,
		.mem32_limit = 0xe0000000,
		.mem64_base = 0xd000000000,
		.mem64_limit = 0xfd00000000,
		.ecam_base = 0xe0000000,
		.lpc_slot = 31,
		.hpet = true,
		.com1 = true,
		.com2 = true,
		.num_routes = 3,
		.route = {
			{ 0, 1, 1, 16, 0, 5 },
			{ 0, 1, 2, 17, 1, 6 },
			{ 0, 9, 1, 18, 2, 7 },
		},
	};
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	mem_fini(&r->mem);
	free(r);
	return 0;
}

static u8 *at(struct rig *r, u64 gpa, u64 len)
{
	u8 *p = mem_ptr(&r->mem, gpa, len);

	assert_non_null(p);
	return p;
}

static u8 sum(const u8 *p, size_t n)
{
	u8 s = 0;

	while (n--)
		s = (u8)(s + *p++);
	return s;
}

/* Look a table up as an OS does: RSDP, XSDT, signature. NULL when it is not listed. */
static u8 *acpi_find(struct rig *r, const char *sig, u32 *len)
{
	u8 *rsdp = at(r, BOOT_ACPI_GPA, 36), *xsdt, *t;
	u32 i, n;

	assert_memory_equal(rsdp, "RSD PTR ", 8);
	assert_int_equal(sum(rsdp, 20), 0);
	assert_int_equal(sum(rsdp, 36), 0);
	xsdt = at(r, load_le64(rsdp + 24), 36);
	n = load_le32(xsdt + 4);
	assert_int_equal(sum(xsdt, n), 0);
	for (i = 36; i < n; i += 8) {
		t = at(r, load_le64(xsdt + i), 36);
		if (memcmp(t, sig, 4))
			continue;
		*len = load_le32(t + 4);
		assert_int_equal(sum(at(r, load_le64(xsdt + i), *len), *len), 0);
		return t;
	}
	return NULL;
}

static u8 *acpi_dsdt(struct rig *r, u32 *len)
{
	u8 *fadt = acpi_find(r, "FACP", len), *dsdt;

	dsdt = at(r, load_le64(fadt + 140), 36);
	*len = load_le32(dsdt + 4);
	assert_int_equal(sum(at(r, load_le64(fadt + 140), *len), *len), 0);
	return dsdt;
}

static void acpi_tables_are_where_hyperkit_has_them(void **state)
{
	static const struct { u32 gpa; const char *sig; } place[] = {
		{ 0xf2400, "RSD " }, { 0xf2440, "RSDT" }, { 0xf2480, "XSDT" }, { 0xf2500, "APIC" },
		{ 0xf2a00, "FACP" }, { 0xf2b40, "HPET" }, { 0xf2b80, "MCFG" }, { 0xf2bc0, "FACS" },
		{ 0xf2c00, "DSDT" },
	};
	struct rig *r = *state;
	unsigned i;

	assert_int_equal(boot_acpi_build(&r->env, &r->pci, &r->err), 0);
	for (i = 0; i < ARRAY_LEN(place); i++)
		assert_memory_equal(at(r, place[i].gpa, 4), place[i].sig, 4);
}

static void rsdt_and_xsdt_list_the_same_tables(void **state)
{
	struct rig *r = *state;
	u8 *rsdt, *xsdt;
	unsigned i, n;

	assert_int_equal(boot_acpi_build(&r->env, &r->pci, &r->err), 0);
	rsdt = at(r, 0xf2440, 64);
	xsdt = at(r, 0xf2480, 128);
	n = (load_le32(rsdt + 4) - 36) / 4;
	assert_int_equal(sum(rsdt, load_le32(rsdt + 4)), 0);
	assert_int_equal(n, (load_le32(xsdt + 4) - 36) / 8);
	assert_int_equal(n, 5);
	for (i = 0; i < n; i++)
		assert_int_equal(load_le32(rsdt + 36 + 4 * i), load_le64(xsdt + 36 + 8 * i));
}

static void madt_has_one_lapic_for_each_cpu(void **state)
{
	struct rig *r = *state;
	unsigned cpus, seen, ioapics;
	u32 len, i;
	u8 *t;

	for (cpus = 1; cpus <= 64; cpus += 21) {
		r->env.cpus = cpus;
		assert_int_equal(boot_acpi_build(&r->env, &r->pci, &r->err), 0);
		t = acpi_find(r, "APIC", &len);
		assert_non_null(t);
		seen = ioapics = 0;
		for (i = 44; i < len; i += t[i + 1]) {
			assert_in_range(t[i + 1], 2, len - i);
			if (t[i] == 0) {
				assert_int_equal(t[i + 3], seen);
				assert_int_equal(load_le32(t + i + 4), 1);
				seen++;
			}
			ioapics += t[i] == 1;
		}
		assert_int_equal(seen, cpus);
		assert_int_equal(ioapics, 1);
	}
}

static void fadt_agrees_with_the_chipset(void **state)
{
	struct rig *r = *state;
	u32 len;
	u8 *t;

	assert_int_equal(boot_acpi_build(&r->env, &r->pci, &r->err), 0);
	t = acpi_find(r, "FACP", &len);
	assert_int_equal(len, 268);
	assert_int_equal(load_le16(t + 46), 9);
	assert_int_equal(load_le32(t + 48), 0xb2);
	assert_int_equal(load_le32(t + 56), 0x400);
	assert_int_equal(load_le32(t + 64), 0x404);
	assert_int_equal(load_le32(t + 76), 0x408);
	assert_int_equal(load_le32(t + 112), 0x81525);
	assert_int_equal(load_le16(t + 109), 0x14);
	assert_int_equal(load_le64(t + 120), 0xcf9);
	assert_int_equal(t[128], 6);
	/* The extended blocks repeat the old ones; Linux warns where they differ */
	assert_int_equal(load_le64(t + 152), 0x400);
	assert_int_equal(t[149], t[88] * 8);
	assert_int_equal(load_le64(t + 176), 0x404);
	assert_int_equal(t[173], t[89] * 8);
	assert_int_equal(load_le64(t + 212), 0x408);
	assert_int_equal(t[209], t[91] * 8);
	assert_int_equal(load_le64(t + 132), 0);
	assert_int_equal(load_le32(t + 40), load_le64(t + 140));
	assert_int_equal(load_le32(t + 36) % 64, 0);
}

static void all_tables_fit_with_every_route(void **state)
{
	struct rig *r = *state;
	unsigned i;
	u32 len;
	u8 *t;

	r->env.cpus = 64;
	r->pci.num_routes = ARRAY_LEN(r->pci.route);
	for (i = 0; i < r->pci.num_routes; i++)
		r->pci.route[i] = (struct boot_intx){ 0, (u8)(i / 4), (u8)(i % 4 + 1),
						      (u8)(16 + i % 8), (u8)(i % 8), 5 };
	assert_int_equal(boot_acpi_build(&r->env, &r->pci, &r->err), 0);
	t = acpi_find(r, "SSDT", &len);
	assert_true(t + len <= at(r, 0, BOOT_ACPI_END) + BOOT_ACPI_END);
	assert_int_equal(boot_mptable_build(&r->env, &r->pci, &r->err), 0);
	assert_int_equal(boot_smbios_build(&r->env, &r->err), 0);
	/* and none has run over its neighbour */
	assert_memory_equal(at(r, BOOT_SMBIOS_GPA, 4), "_SM_", 4);
	assert_memory_equal(at(r, BOOT_MPTABLE_GPA, 4), "_MP_", 4);
	assert_memory_equal(at(r, BOOT_ACPI_GPA, 4), "RSD ", 4);
}

static void hpet_is_listed_only_when_there_is_one(void **state)
{
	struct rig *r = *state;
	u32 len;

	assert_int_equal(boot_acpi_build(&r->env, &r->pci, &r->err), 0);
	assert_non_null(acpi_find(r, "HPET", &len));
	r->pci.hpet = false;
	assert_int_equal(boot_acpi_build(&r->env, &r->pci, &r->err), 0);
	assert_null(acpi_find(r, "HPET", &len));
}

static void a_bus_beyond_0_is_refused_with_words(void **state)
{
	struct rig *r = *state;

	r->pci.bus_used_beyond_0 = true;
	assert_int_equal(boot_acpi_build(&r->env, &r->pci, &r->err), -EINVAL);
	assert_non_null(strstr(r->err.text, "bus"));
	r->err.text[0] = 0;
	assert_int_equal(boot_mptable_build(&r->env, &r->pci, &r->err), -EINVAL);
	assert_non_null(strstr(r->err.text, "bus"));
}

/* ---- with ACPICA's own programs ---- */

struct work {
	char dir[64];
};

static void work_begin(struct work *w)
{
	snprintf(w->dir, sizeof(w->dir), "/tmp/hk-tables-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
}

static void work_end(struct work *w)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -r %s", w->dir);
	assert_int_equal(system(cmd), 0);
}

static void put_file(struct work *w, const char *name, const u8 *p, size_t n)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", w->dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(p, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

/* Output of `cd DIR && CMD`, to be freed; *@rc is its exit status */
static char *run(struct work *w, const char *cmd, int *rc)
{
	char line[512], *out = NULL;
	size_t cap = 0;
	FILE *p, *m = open_memstream(&out, &cap);
	int c;

	snprintf(line, sizeof(line), "cd %s && %s 2>&1 </dev/null", w->dir, cmd);
	p = popen(line, "r");
	assert_non_null(p);
	while ((c = fgetc(p)) != EOF)
		fputc(c ? c : ' ', m); /* acpiexec's progress bar has NULs */
	*rc = WEXITSTATUS(pclose(p));
	fclose(m);
	return out;
}

static bool have(const char *prog)
{
	char cmd[64];

	snprintf(cmd, sizeof(cmd), "command -v %s >/dev/null", prog);
	return system(cmd) == 0;
}

static void dump_aml(struct rig *r, struct work *w)
{
	u32 len;
	u8 *t;

	t = acpi_dsdt(r, &len);
	put_file(w, "dsdt.dat", t, len);
	t = acpi_find(r, "SSDT", &len);
	assert_non_null(t);
	put_file(w, "ssdt.dat", t, len);
}

static void iasl_decompiles_every_table(void **state)
{
	static const char *const sigs[] = { "APIC", "FACP", "HPET", "MCFG" };
	struct rig *r = *state;
	char name[32], cmd[64], *out;
	struct work w;
	unsigned i;
	u32 len;
	u8 *t;
	int rc;

	if (!have("iasl")) {
		print_message("skipped: iasl (acpica-tools) is not installed\n");
		skip();
	}
	work_begin(&w);
	assert_int_equal(boot_acpi_build(&r->env, &r->pci, &r->err), 0);
	for (i = 0; i < ARRAY_LEN(sigs); i++) {
		t = acpi_find(r, sigs[i], &len);
		assert_non_null(t);
		snprintf(name, sizeof(name), "%s.dat", sigs[i]);
		put_file(&w, name, t, len);
		snprintf(cmd, sizeof(cmd), "iasl -d %s", name);
		out = run(&w, cmd, &rc);
		if (rc || strstr(out, "rror") || strstr(out, "arning"))
			fail_msg("%s", out);
		free(out);
	}
	dump_aml(r, &w);
	out = run(&w, "iasl -e ssdt.dat -d dsdt.dat && iasl -e dsdt.dat -d ssdt.dat", &rc);
	if (rc || strstr(out, "rror") || strstr(out, "arning"))
		fail_msg("%s", out);
	free(out);
	work_end(&w);
}

/* What ACPICA, the interpreter in Linux, says of @object */
static char *evaluate(struct work *w, const char *commands)
{
	char cmd[400], *out;
	int rc;

	snprintf(cmd, sizeof(cmd), "timeout 20 acpiexec -b \"%s\" dsdt.dat ssdt.dat", commands);
	out = run(w, cmd, &rc);
	assert_int_equal(rc, 0);
	/* "resources" ends with a trial of _SRS, which a host bridge has not */
	if (strstr(out, "Error") || (strstr(out, "AE_") && !strstr(commands, "resources")))
		fail_msg("%s", out);
	return out;
}

static void has(char *out, const char *what)
{
	if (!strstr(out, what))
		fail_msg("no \"%s\" in:\n%s", what, out);
}

static void has_not(char *out, const char *what)
{
	if (strstr(out, what))
		fail_msg("\"%s\" in:\n%s", what, out);
}

static void aml_begin(struct rig *r, struct work *w)
{
	if (!have("acpiexec")) {
		print_message("skipped: acpiexec (acpica-tools) is not installed\n");
		skip();
	}
	work_begin(w);
	assert_int_equal(boot_acpi_build(&r->env, &r->pci, &r->err), 0);
	dump_aml(r, w);
}

static void prt_routes_to_the_ioapic_when_the_os_says_so(void **state)
{
	struct rig *r = *state;
	struct work w;
	char *out;

	aml_begin(r, &w);
	out = evaluate(&w, "evaluate \\_PIC 1;evaluate \\_SB.PC00._PRT");
	has(out, "[Integer] = 000000000001FFFF");
	has(out, "[Integer] = 000000000009FFFF");
	has(out, "[Integer] = 0000000000000011");
	has(out, "[Integer] = 0000000000000012");
	has_not(out, "LNK");
	free(out);
	work_end(&w);
}

static void prt_routes_to_links_with_the_pic(void **state)
{
	struct rig *r = *state;
	struct work w;
	char *out;

	aml_begin(r, &w);
	out = evaluate(&w, "evaluate \\_PIC 0;evaluate \\_SB.PC00._PRT");
	has(out, "[Integer] = 000000000009FFFF");
	has(out, "LNKA");
	has(out, "LNKC");
	has_not(out, "LNKD");
	free(out);
	work_end(&w);
}

static void without_lpc_there_is_neither_bridge_nor_port(void **state)
{
	struct rig *r = *state;
	struct work w;
	char *out;

	r->pci.lpc_slot = -1;
	aml_begin(r, &w);
	out = evaluate(&w, "evaluate \\_SB.PC00.ISA._STA;evaluate \\_SB.PC00.ISA.COM1._STA");
	has(out, "[Integer] = 0000000000000000");
	has_not(out, "000000000000000F");
	free(out);
	out = evaluate(&w, "evaluate \\_PIC 0;evaluate \\_SB.PC00._PRT");
	has_not(out, "LNK");
	free(out);
	work_end(&w);
}

static void the_bridge_is_at_its_slot_and_has_its_ports(void **state)
{
	struct rig *r = *state;
	struct work w;
	char *out;

	r->pci.lpc_slot = 3;
	aml_begin(r, &w);
	out = evaluate(&w, "evaluate \\_SB.PC00.ISA._ADR;evaluate \\_SB.PC00.ISA.COM1._STA;"
			   "evaluate \\_SB.HPET._STA");
	has(out, "0000000000030000");
	has(out, "000000000000000F");
	has_not(out, "[Integer] = 0000000000000000");
	free(out);
	work_end(&w);
}

static void windows_are_those_of_the_bus(void **state)
{
	struct rig *r = *state;
	struct work w;
	char *out;

	r->pci.mem32_base = 0xc1234000;
	r->pci.io_base = 0x3000;
	aml_begin(r, &w);
	out = evaluate(&w, "resources \\_SB.PC00");
	has(out, "C1234000");
	has(out, "DFFFFFFF");
	has(out, "000000D000000000");
	has(out, "000000FCFFFFFFFF");
	has(out, "3000");
	free(out);
	work_end(&w);
}

/* ---- MP table ---- */

static void mp_table_counts_and_sums_are_right(void **state)
{
	static const u8 bytes[] = { 20, 8, 8, 8, 8 };
	unsigned n[5] = { 0 }, i, total = 0;
	struct rig *r = *state;
	u8 *f, *t;

	r->env.cpus = 64;
	assert_int_equal(boot_mptable_build(&r->env, &r->pci, &r->err), 0);
	f = at(r, 0xf0000, 16);
	assert_memory_equal(f, "_MP_", 4);
	assert_int_equal(sum(f, 16), 0);
	t = at(r, load_le32(f + 4), 4096 - 16);
	assert_memory_equal(t, "PCMP", 4);
	assert_int_equal(sum(t, load_le16(t + 4)), 0);
	for (i = 44; i < load_le16(t + 4); i += bytes[t[i]], total++) {
		assert_in_range(t[i], 0, 4);
		n[t[i]]++;
	}
	assert_int_equal(i, load_le16(t + 4));
	assert_int_equal(total, load_le16(t + 34));
	assert_int_equal(n[0], 64);
	assert_int_equal(n[1], 2);
	assert_int_equal(n[2], 1);
	assert_int_equal(n[3], 16 + 3);
	assert_int_equal(n[4], 2);
}

static void mp_table_routes_pci_pins(void **state)
{
	struct rig *r = *state;
	unsigned i, found = 0;
	u8 *t;

	assert_int_equal(boot_mptable_build(&r->env, &r->pci, &r->err), 0);
	t = at(r, 0xf0010, 4096 - 16);
	for (i = 44; i < load_le16(t + 4); i += t[i] ? 8 : 20) {
		if (t[i] != 3 || t[i + 4] != 0)
			continue;
		if (t[i + 5] == (9 << 2 | 0))
			assert_int_equal(t[i + 7], 18);
		if (t[i + 5] == (1 << 2 | 1))
			assert_int_equal(t[i + 7], 17);
		found++;
	}
	assert_int_equal(found, 3);
}

static void tables_need_low_memory(void **state)
{
	struct rig *r = *state;
	struct mem tiny;

	mem_init(&tiny);
	assert_int_equal(mem_add(&tiny, 0, 512 << 10, 0, &r->err), 0);
	r->env.mem = &tiny;
	assert_int_not_equal(boot_mptable_build(&r->env, &r->pci, &r->err), 0);
	assert_int_not_equal(boot_smbios_build(&r->env, &r->err), 0);
	assert_int_not_equal(boot_acpi_build(&r->env, &r->pci, &r->err), 0);
	mem_fini(&tiny);
}

/* ---- SMBIOS ---- */

/* Structure number @nth of @type; checks the walk */
static u8 *smbios_find(struct rig *r, u8 type, unsigned nth)
{
	u8 *e = at(r, 0xf1000, 31), *p, *end, *s, *found = NULL;
	unsigned count = 0, largest = 0;

	assert_memory_equal(e, "_SM_", 4);
	assert_int_equal(sum(e, e[5]), 0);
	assert_memory_equal(e + 16, "_DMI_", 5);
	assert_int_equal(sum(e + 16, 15), 0);
	p = at(r, load_le32(e + 24), load_le16(e + 22));
	end = p + load_le16(e + 22);
	assert_true(load_le32(e + 24) + load_le16(e + 22) <= BOOT_ACPI_GPA);
	while (p < end) {
		assert_int_equal(load_le16(p + 2), ++count); /* handles are unique */
		if (p[0] == type && !nth--)
			found = p;
		for (s = p + p[1]; s[0] || s[1]; s++)
			assert_true(s < end);
		s += 2;
		largest = MAX(largest, (unsigned)(s - p));
		p = s;
	}
	assert_ptr_equal(p, end);
	assert_int_equal(count, load_le16(e + 28));
	assert_int_equal(largest, load_le16(e + 8));
	return found;
}

static const char *smbios_str(const u8 *s, u8 n)
{
	const char *p = (const char *)s + s[1];

	assert_int_not_equal(n, 0);
	while (--n)
		p += strlen(p) + 1;
	return p;
}

static void smbios_walks_to_its_end(void **state)
{
	struct rig *r = *state;

	r->env.cpus = 64;
	assert_int_equal(boot_smbios_build(&r->env, &r->err), 0);
	assert_non_null(smbios_find(r, 127, 0));
	assert_non_null(smbios_find(r, 4, 63));
	assert_null(smbios_find(r, 4, 64));
	assert_string_equal(smbios_str(smbios_find(r, 4, 63), smbios_find(r, 4, 63)[4]), "CPU #63");
}

static void smbios_tells_product_and_uuid(void **state)
{
	static const u8 uuid[] = { 0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66,
				   0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };
	struct rig *r = *state;
	u8 *s;

	assert_int_equal(boot_smbios_build(&r->env, &r->err), 0);
	s = smbios_find(r, 1, 0);
	assert_string_equal(smbios_str(s, s[5]), "BHYVE");
	assert_memory_equal(s + 8, uuid, 16);
	r->env.uuid = "00112233-4455-6677-8899-aabbccddeexx";
	assert_int_equal(boot_smbios_build(&r->env, &r->err), -EINVAL);
}

static void derived_uuid_is_the_same_each_time(void **state)
{
	struct rig *r = *state;
	u8 first[16];

	r->env.uuid = NULL;
	assert_int_equal(boot_smbios_build(&r->env, &r->err), 0);
	memcpy(first, smbios_find(r, 1, 0) + 8, 16);
	assert_int_equal(boot_smbios_build(&r->env, &r->err), 0);
	assert_memory_equal(first, smbios_find(r, 1, 0) + 8, 16);
	assert_int_equal(first[7] >> 4, 8);
	assert_int_equal(first[8] >> 6, 2);
}

static void smbios_memory_adds_up(void **state)
{
	struct rig *r = *state;
	u8 *array, *dev, *range;

	r->env.lowmem_bytes = 3ull << 30;
	r->env.highmem_bytes = 61ull << 30;
	assert_int_equal(boot_smbios_build(&r->env, &r->err), 0);
	array = smbios_find(r, 16, 0);
	assert_int_equal(load_le32(array + 7), 64u << 20);
	assert_int_equal(load_le16(array + 13), 2);
	dev = smbios_find(r, 17, 0);
	assert_int_equal(load_le16(dev + 4), load_le16(array + 2));
	assert_int_equal(load_le16(dev + 12), 3 << 10);
	dev = smbios_find(r, 17, 1);
	assert_int_equal(load_le16(dev + 12), 0x7fff);
	assert_int_equal(load_le32(dev + 0x1c), 61 << 10);
	range = smbios_find(r, 19, 0);
	assert_int_equal(load_le16(range + 12), load_le16(array + 2));
	assert_int_equal(load_le32(range + 4), 0);
	assert_int_equal(load_le32(range + 8), (3u << 20) - 1);
	range = smbios_find(r, 19, 1);
	assert_int_equal(load_le32(range + 4), 4u << 20);
	assert_int_equal(load_le32(range + 8), (65u << 20) - 1);
}

/* ---- the AML writer ---- */

static void aml_integers_take_the_shortest_form(void **state)
{
	static const u8 want[] = { 0x00, 0x01, 0x0a, 2,	   0x0b, 0,    1,    0x0c, 0, 0,
				   1,	 0,    0x0e, 0x0, 0,	0,    0,    1,	  0, 0, 0 };
	u8 buf[64];
	struct aml a = { .buf = buf, .cap = sizeof(buf) };

	aml_int(&a, 0);
	aml_int(&a, 1);
	aml_int(&a, 2);
	aml_int(&a, 0x100);
	aml_int(&a, 0x10000);
	aml_int(&a, 0x100000000);
	assert_int_equal(a.len, sizeof(want));
	assert_memory_equal(buf, want, sizeof(want));
}

static void aml_that_does_not_fit_is_noticed(void **state)
{
	u8 buf[8];
	struct aml a = { .buf = buf, .cap = sizeof(buf) };

	aml_name(&a, "ABCD");
	assert_false(a.full);
	aml_int(&a, 0x10000);
	assert_true(a.full);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(acpi_tables_are_where_hyperkit_has_them),
		T(rsdt_and_xsdt_list_the_same_tables),
		T(madt_has_one_lapic_for_each_cpu),
		T(fadt_agrees_with_the_chipset),
		T(all_tables_fit_with_every_route),
		T(hpet_is_listed_only_when_there_is_one),
		T(a_bus_beyond_0_is_refused_with_words),
		T(iasl_decompiles_every_table),
		T(prt_routes_to_the_ioapic_when_the_os_says_so),
		T(prt_routes_to_links_with_the_pic),
		T(without_lpc_there_is_neither_bridge_nor_port),
		T(the_bridge_is_at_its_slot_and_has_its_ports),
		T(windows_are_those_of_the_bus),
		T(mp_table_counts_and_sums_are_right),
		T(mp_table_routes_pci_pins),
		T(tables_need_low_memory),
		T(smbios_walks_to_its_end),
		T(smbios_tells_product_and_uuid),
		T(derived_uuid_is_the_same_each_time),
		T(smbios_memory_adds_up),
		T(aml_integers_take_the_shortest_form),
		T(aml_that_does_not_fit_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
