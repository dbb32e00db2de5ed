// SPDX-License-Identifier: BSD-2-Clause
/* machine/pc.c - The PC board: address map, who serves interrupts, devices, firmware
 *
 * Here, and only here, it is decided whose interrupt controllers are used:
 *
 *   accelerator has        LAPIC        IOAPIC and PIC    a line goes to
 *   nothing                ours         ours              pic_set, ioapic_set
 *   LAPIC                  its          ours              pic_set, ioapic_set -> ops->msi
 *   LAPIC and IOAPIC       its          its               ops->irq_line
 *
 * Devices see lines and an MSI sink and cannot tell. All of it is [setup] but
 * the functions that lines and devices call, which are [any]. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <x86intrin.h>

#include "machine/machine_int.h"

/* hyperkit-facts 2.1 */
#define MEM32_BASE 0xC0000000ull
#define MEM32_LIMIT 0xE0000000ull
#define ECAM_BASE 0xE0000000ull
#define MEM64_BASE 0xD000000000ull
#define MEM64_LIMIT 0xFD00000000ull
#define IO_BASE 0x2000u
#define IO_LIMIT 0x10000u

#define APIC_BASE_X2APIC BIT64(10)
/* Threads are made when calls that block pile up, most of them of disks */
#define POOL_THREADS 16

/* -------------------------------------------------- what devices call, [any] */

static void dev_request_exit(void *arg, enum hk_exit why, int value)
{
	static const char *const text[] = {
		[HK_EXIT_POWEROFF] = "powered off",
		[HK_EXIT_RESET] = "reset",
		[HK_EXIT_DEBUG] = "debug exit",
	};
	const char *s = NULL;

	if ((unsigned)why < ARRAY_LEN(text))
		s = text[why];
	machine_request_exit(arg, why, value, "%s", s ? s : "a device ended the VM");
}

static void dev_acpi_enabled(void *arg, bool on)
{
	struct machine *m = arg;
	const struct hk_event ev = { .type = HK_EVENT_ACPI_ENABLED, .value = on };

	events_post(&m->events, &ev);
}

/* ISA line n: 8259 input n and IOAPIC pin n; the timer's line 0 is on pin 2 */
static void isa_set_ours(void *arg, unsigned n, int level)
{
	struct machine *m = arg;

	pic_set(m->pic, n, level);
	ioapic_set(m->ioapic, n ? n : 2, level);
}

static void gsi_set_ours(void *arg, unsigned n, int level)
{
	struct machine *m = arg;

	ioapic_set(m->ioapic, n, level);
}

static void gsi_set_accel(void *arg, unsigned n, int level)
{
	struct machine *m = arg;

	m->ops->irq_line(m->avm, n, level);
}

static int msi_ours(void *arg, u64 addr, u32 data)
{
	struct machine *m = arg;

	return apics_msi(m->apics, addr, data);
}

static int msi_accel(void *arg, u64 addr, u32 data)
{
	struct machine *m = arg;

	return m->ops->msi(m->avm, addr, data);
}

/* INTR of the master 8259 goes to CPU 0 */
static void pic_output(void *arg, int level)
{
	struct machine *m = arg;

	if (m->apics) {
		apics_lint0(m->apics, level);
	} else if (level && atomic_load(&m->num_vcpus)) {
		m->ops->inject(m->vcpu[0].av, ACCEL_INJECT_INTR, 0);
		vcpu_wake(&m->vcpu[0]);
	}
}

static void eoi_to_ioapic(void *arg, u8 vector)
{
	struct machine *m = arg;

	ioapic_eoi(m->ioapic, vector);
}

static int extint_from_pic(void *arg, bool peek)
{
	struct machine *m = arg;

	return pic_ack(m->pic, peek);
}

static u64 guest_tsc(void *arg, unsigned cpu)
{
	struct machine *m = arg;

	return __rdtsc() + (u64)atomic_load(&m->vcpu[cpu].tsc_offset);
}

static int mem_bell_add(void *arg, u64 addr, unsigned len, const u64 *match, int fd)
{
	struct machine *m = arg;

	return m->ops->doorbell_add(m->avm, ACCEL_SPACE_MEM, addr, len, match, fd);
}

static int mem_bell_del(void *arg, u64 addr, unsigned len, const u64 *match, int fd)
{
	struct machine *m = arg;

	return m->ops->doorbell_del(m->avm, ACCEL_SPACE_MEM, addr, len, match, fd);
}

static int pio_bell_add(void *arg, u64 addr, unsigned len, const u64 *match, int fd)
{
	struct machine *m = arg;

	return m->ops->doorbell_add(m->avm, ACCEL_SPACE_PIO, addr, len, match, fd);
}

static int pio_bell_del(void *arg, u64 addr, unsigned len, const u64 *match, int fd)
{
	struct machine *m = arg;

	return m->ops->doorbell_del(m->avm, ACCEL_SPACE_PIO, addr, len, match, fd);
}

static void ram_written(void *arg, gpa_t gpa, u64 len)
{
	struct machine *m = arg;

	m->ops->ram_written(m->avm, gpa, len);
}

/* ------------------------------------------------------- RAM, buses, loop */

static int create_ram(struct machine *m, struct hk_err *err)
{
	int rc;

	mem_init(&m->mem);
	m->mem_ok = true;
	rc = mem_add(&m->mem, 0, m->low_bytes, 0, err);
	if (!rc && m->high_bytes)
		rc = mem_add(&m->mem, BOOT_HIGHMEM_GPA, m->high_bytes, 0, err);
	if (rc)
		return err_wrap(err, rc, "guest memory");
	for (unsigned i = 0; i < m->mem.num_blocks; i++) {
		const struct mem_block *b = &m->mem.block[i];
		const struct accel_ram ram = {
			.id = i,
			.gpa = b->gpa,
			.len = b->len,
			.hva = b->hva,
			.flags = b->flags & MEM_ROM ? ACCEL_RAM_ROM : 0,
		};

		rc = m->ops->ram_map(m->avm, &ram);
		if (rc)
			return err_set(err, rc, "guest memory: accelerator %s: %s", m->ops->name,
				       strerror(-rc));
		m->ram_mapped++;
	}
	if (m->caps.bits & ACCEL_CAP_RAM_WRITTEN) {
		m->mem.wrote_arg = m;
		m->mem.wrote = ram_written;
	}
	return 0;
}

static void wire_irqs(struct machine *m)
{
	struct dev_env *env = &m->env;

	for (unsigned n = 0; n < ARRAY_LEN(env->isa_irq); n++)
		env->isa_irq[n] = (struct irq){ m->ioapic_ours ? isa_set_ours : gsi_set_accel, m, n };
	for (unsigned n = 0; n < ARRAY_LEN(env->gsi); n++)
		env->gsi[n] = (struct irq){ m->ioapic_ours ? gsi_set_ours : gsi_set_accel, m, n };
	env->msi = (struct msi_sink){ m->lapic_ours ? msi_ours : msi_accel, m };
}

int pc_create(struct machine *m, struct hk_err *err)
{
	int rc = create_ram(m, err);

	if (rc)
		return rc;
	rc = bus_init(&m->mem_bus, "memory", 64, err);
	if (rc)
		return rc;
	m->mem_bus_ok = true;
	rc = bus_init(&m->pio_bus, "ports", 16, err);
	if (rc)
		return rc;
	m->pio_bus_ok = true;
	if (m->caps.bits & ACCEL_CAP_DOORBELL) {
		bus_set_doorbell_host(&m->mem_bus, &(struct bus_doorbell_host){
			.add = mem_bell_add, .del = mem_bell_del, .arg = m });
		bus_set_doorbell_host(&m->pio_bus, &(struct bus_doorbell_host){
			.add = pio_bell_add, .del = pio_bell_del, .arg = m });
	}
	rc = loop_create(&m->loop, &m->clock, err);
	if (!rc)
		rc = vsk_hub_create(&m->vsock, m->loop, err);
	if (!rc)
		rc = pool_create(&m->pool, POOL_THREADS, "hk:work", err);
	if (rc)
		return rc;
	pause_init(m);
	m->env = (struct dev_env){
		.flags = m->flags & HK_VM_MSI_ONLY ? DEV_ENV_MSI_ONLY : 0,
		.mem_bus = &m->mem_bus,
		.pio_bus = &m->pio_bus,
		.mem = &m->mem,
		.loop = m->loop,
		.clock = &m->clock,
		.log = &m->log,
		.uuid = m->has_uuid ? m->uuid : NULL,
		.request_exit = dev_request_exit,
		.acpi_enabled = dev_acpi_enabled,
		.request_pause = machine_request_pause,
		.pool = m->pool,
		.vsock = m->vsock,
		.m = m,
	};
	wire_irqs(m);
	return 0;
}

/* ---------------------------------------------------------------- devices */

static struct dev *dev_alloc(struct machine *m, const struct dev_class *cls)
{
	struct dev *d = calloc(1, cls->size);

	if (!d)
		return NULL;
	d->cls = cls;
	d->env = &m->env;
	snprintf(d->id, sizeof(d->id), "%s", cls->name);
	return d;
}

static void dev_free(struct dev *d)
{
	if (d && d->cls->fini)
		d->cls->fini(d);
	free(d);
}

/* The device is in board[] from before its init, so that pc_unplug() finds it */
static int board_add(struct machine *m, const struct dev_class *cls, struct dev **out,
		     struct hk_err *err)
{
	struct dev *d;

	if (m->num_board == MACHINE_MAX_BOARD)
		return err_set(err, -ENOSPC, "too many devices on the board");
	d = dev_alloc(m, cls);
	if (!d)
		return err_set(err, -ENOMEM, "no memory for %s", cls->name);
	m->board[m->num_board++] = d;
	if (out)
		*out = d;
	return cls->init ? cls->init(d, NULL, err) : 0;
}

static int board_plug(struct machine *m, struct hk_err *err)
{
	int rc = 0;

	for (unsigned i = 0; i < m->num_board && !rc; i++) {
		struct dev *d = m->board[i];

		if (d->cls->plug)
			rc = d->cls->plug(d, err);
		if (rc)
			err_wrap(err, rc, "%s", d->id);
	}
	return rc;
}

static int create_controllers(struct machine *m, struct hk_err *err)
{
	const struct apics_config cfg = {
		.cpus = m->cpus,
		.env = &m->env,
		.sink = {
			.intr = machine_apic_sink.intr,
			.nmi = machine_apic_sink.nmi,
			.init = machine_apic_sink.init,
			.sipi = machine_apic_sink.sipi,
			.arg = m,
		},
		.tsc_hz = m->caps.tsc_hz,
		.tsc = guest_tsc,
		.tsc_arg = m,
		.x2apic_start = m->flags & HK_VM_X2APIC,
	};
	int rc = 0;

	if (m->lapic_ours)
		rc = apics_create(&m->apics, &cfg, err);
	if (rc || !m->ioapic_ours)
		return rc;
	rc = board_add(m, &ioapic_class, &m->ioapic, err);
	if (!rc)
		rc = board_add(m, &pic_class, &m->pic, err);
	if (rc)
		return rc;
	pic_on_output(m->pic, pic_output, m);
	if (m->apics) {
		apics_on_eoi(m->apics, eoi_to_ioapic, m);
		apics_on_extint(m->apics, extint_from_pic, m);
	}
	return 0;
}

static int create_board(struct machine *m, struct hk_err *err)
{
	static const struct dev_class *const plain[] = {
		&pmtimer_class, &i8042_class, &post_class,
	};
	const struct rtc_config rtc_cfg = {
		.utc = m->flags & HK_VM_RTC_UTC,
		.low_bytes = m->low_bytes,
		.high_bytes = m->high_bytes,
	};
	struct dev *rtc, *pit, *hpet;
	int rc = 0;

	rc = board_add(m, &pit_class, &pit, err);
	if (!rc)
		rc = board_add(m, &hpet_class, &hpet, err);
	for (unsigned i = 0; i < ARRAY_LEN(plain) && !rc; i++)
		rc = board_add(m, plain[i], NULL, err);
	if (!rc)
		rc = board_add(m, &rtc_class, &rtc, err);
	if (!rc) {
		rtc_configure(rtc, &rtc_cfg);
		hpet_replaces(hpet, pit, rtc);
	}
	if (!rc)
		rc = board_add(m, &power_class, &m->power, err);
	if (!rc && (m->flags & HK_VM_DEBUG_EXIT))
		rc = board_add(m, &debug_exit_class, NULL, err);
	return rc;
}

static int create_slots(struct machine *m, struct hk_err *err)
{
	for (struct slot *s = m->slots; s; s = s->next) {
		int rc;

		s->dev = dev_alloc(m, s->cls);
		if (!s->dev)
			return err_set(err, -ENOMEM, "no memory for %s", s->cls->name);
		snprintf(s->dev->id, sizeof(s->dev->id), "%u:%u.%u", s->bus, s->slot, s->func);
		s->dev->pci_bus = s->bus;
		s->dev->pci_slot = s->slot;
		s->dev->pci_func = s->func;
		rc = s->cls->init ? s->cls->init(s->dev, s->opts, err) : 0;
		/* COM ports are on the bridge; connected or not, both exist there */
		for (unsigned i = 0; !rc && s == m->lpc && i < MACHINE_NUM_COMS; i++)
			lpc_set_chr(s->dev, i + 1, m->com[i]);
		if (!rc && s->cls->plug)
			rc = s->cls->plug(s->dev, err);
		if (rc)
			return err_wrap(err, rc, "pci slot %u:%u: %s", s->slot, s->func,
					s->cls->name);
	}
	return 0;
}

int pc_plug(struct machine *m, struct hk_err *err)
{
	const struct pci_bus_config cfg = {
		.env = &m->env,
		.io_base = IO_BASE,
		.io_limit = IO_LIMIT,
		.mem32_base = MEM32_BASE,
		.mem32_limit = MEM32_LIMIT,
		.mem64_base = MEM64_BASE,
		.mem64_limit = MEM64_LIMIT,
		.ecam_base = ECAM_BASE,
	};
	int rc = create_controllers(m, err);

	if (!rc)
		rc = create_board(m, err);
	if (!rc)
		rc = board_plug(m, err);
	if (!rc)
		rc = pci_bus_create(&m->pci, &cfg, err);
	if (rc)
		return rc;
	m->env.pci = m->pci;
	rc = create_slots(m, err);
	if (!rc)
		pci_route_intx(m->pci);
	return rc;
}

/* ---------------------------------------------------------------- firmware */

static void describe_pci(struct machine *m, struct boot_pci *out)
{
	const struct pci_bus_config win = pci_windows(m->pci);
	struct pci_intx_route routes[ARRAY_LEN(out->route)];
	unsigned n = pci_routes(m->pci, routes, ARRAY_LEN(routes));

	memset(out, 0, sizeof(*out));
	out->io_base = win.io_base;
	out->io_limit = win.io_limit;
	out->mem32_base = win.mem32_base;
	out->mem32_limit = win.mem32_limit;
	out->mem64_base = win.mem64_base;
	out->mem64_limit = win.mem64_limit;
	out->ecam_base = win.ecam_base;
	out->lpc_slot = pci_lpc_slot(m->pci);
	out->num_routes = MIN(n, (unsigned)ARRAY_LEN(routes));
	for (unsigned i = 0; i < out->num_routes; i++) {
		const struct pci_intx_route *r = &routes[i];

		out->route[i] = (struct boot_intx){ r->bus, r->slot, r->pin, r->gsi, r->pirq,
						    r->isa_irq };
	}
	for (const struct slot *s = m->slots; s; s = s->next)
		out->bus_used_beyond_0 |= s->bus != 0;
	out->hpet = true;
	out->com1 = out->com2 = m->lpc != NULL;
}

int pc_firmware(struct machine *m, struct x86_state *bsp, struct hk_err *err)
{
	const struct boot_env env = {
		.mem = &m->mem,
		.lowmem_bytes = m->low_bytes,
		.highmem_bytes = m->high_bytes,
		.cpus = m->cpus,
		.uuid = m->has_uuid ? m->uuid : NULL,
		.acpi = m->flags & HK_VM_ACPI,
		.mptable = !(m->flags & HK_VM_NO_MPTABLE),
	};
	struct boot_pci *pci = calloc(1, sizeof(*pci));
	int rc = 0;

	if (!pci)
		return err_set(err, -ENOMEM, "no memory for firmware tables");
	describe_pci(m, pci);
	if (env.mptable)
		rc = boot_mptable_build(&env, pci, err);
	if (!rc)
		rc = boot_smbios_build(&env, err);
	if (!rc && env.acpi)
		rc = boot_acpi_build(&env, pci, err);
	if (!rc)
		rc = boot_source_load(m->boot, &env, bsp, err);
	if (!m->lapic_ours && (m->flags & HK_VM_X2APIC))
		bsp->apic_base |= APIC_BASE_X2APIC;
	free(pci);
	return rc;
}

/* ------------------------------------------------------------- start, stop */

static int dev_start(struct dev *d, struct hk_err *err)
{
	int rc = d->cls->start ? d->cls->start(d) : 0;

	return rc ? err_set(err, rc, "%s cannot start: %s", d->id, strerror(-rc)) : 0;
}

static void dev_stop(struct dev *d)
{
	if (d->cls->stop)
		d->cls->stop(d);
}

int pc_start(struct machine *m, struct hk_err *err)
{
	int rc = loop_start(m->loop, "hk:io", err);

	for (unsigned i = 0; i < m->num_board && !rc; i++) {
		m->board_started = i + 1;
		rc = dev_start(m->board[i], err);
	}
	for (struct slot *s = m->slots; s && !rc; s = s->next) {
		s->started = true;
		rc = dev_start(s->dev, err);
	}
	return rc;
}

void pc_quiet(struct machine *m)
{
	for (struct slot *s = m->slots; s; s = s->next)
		if (s->started)
			dev_stop(s->dev);
}

void pc_stop(struct machine *m)
{
	halt_watch_stop(m);
	pc_quiet(m);
	while (m->board_started)
		dev_stop(m->board[--m->board_started]);
	if (m->apics)
		apics_stop(m->apics);
	if (m->loop)
		loop_stop(m->loop);
}

void pc_unplug(struct machine *m)
{
	for (struct slot *s = m->slots; s; s = s->next) {
		dev_free(s->dev);
		s->dev = NULL;
	}
	for (unsigned i = 0; i < MACHINE_NUM_COMS; i++) {
		chr_close(m->com[i]);
		m->com[i] = NULL;
	}
	if (m->pci)
		pci_bus_destroy(m->pci);
	m->pci = NULL;
	/* Interrupt controllers are first in board[]: whoever pulls a line goes before them */
	while (m->num_board)
		dev_free(m->board[--m->num_board]);
	if (m->apics)
		apics_destroy(m->apics);
	m->apics = NULL;
}

void pc_destroy(struct machine *m)
{
	vsk_hub_destroy(m->vsock);
	pool_destroy(m->pool);
	loop_destroy(m->loop);
	if (m->avm) {
		for (unsigned i = 0; i < m->ram_mapped; i++)
			m->ops->ram_unmap(m->avm, i);
		m->ops->vm_destroy(m->avm);
	}
	if (m->pio_bus_ok)
		bus_fini(&m->pio_bus);
	if (m->mem_bus_ok)
		bus_fini(&m->mem_bus);
	if (m->mem_ok)
		mem_fini(&m->mem);
}
