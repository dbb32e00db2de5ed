// SPDX-License-Identifier: BSD-2-Clause
/* machine/machine.c - Life of one VM: create, configure, start, end, destroy
 *
 * A machine is zeroed at birth and machine_destroy() takes any half-built one.
 * What a function of machine.h may be called from is said in hyperkit.h. */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/machine_int.h"

/* Below it not even the tables at 0xF0000 have a place (hyperkit-facts 2.8) */
#define MEMORY_MIN (1ull << 20)
#define MEMORY_DEFAULT (256ull << 20)
/* Guest-physical addresses of RAM stay below the 64-bit PCI window */
#define MEMORY_MAX (0xD000000000ull - BOOT_HIGHMEM_GPA + BOOT_LOWMEM_MAX)

static bool uuid_ok(const char *s)
{
	if (strlen(s) != 36)
		return false;
	for (unsigned i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? s[i] != '-' : !isxdigit((unsigned char)s[i]))
			return false;
	}
	return true;
}

static int take_config(struct machine *m, const struct hk_vm_config *cfg, struct hk_err *err)
{
	m->cpus = cfg->cpus ? cfg->cpus : 1;
	m->flags = cfg->flags;
	m->memory_bytes = cfg->memory_bytes ? cfg->memory_bytes : MEMORY_DEFAULT;
	snprintf(m->name, sizeof(m->name), "%s", cfg->name ? cfg->name : "vm");
	m->log = (struct log){ .fn = cfg->log, .arg = cfg->log_arg, .level = cfg->log_level };

	if (m->cpus > MACHINE_MAX_CPUS)
		return err_set(err, -EINVAL, "%u vCPUs requested but only %u available", m->cpus,
			       MACHINE_MAX_CPUS);
	if (m->memory_bytes % PAGE_BYTES)
		return err_set(err, -EINVAL, "memory size %llu is not a multiple of 4096 bytes",
			       (unsigned long long)m->memory_bytes);
	if (m->memory_bytes < MEMORY_MIN)
		return err_set(err, -EINVAL, "memory size %llu is below 1 MiB",
			       (unsigned long long)m->memory_bytes);
	if (m->memory_bytes > MEMORY_MAX)
		return err_set(err, -EINVAL, "memory size %llu does not fit below the PCI window",
			       (unsigned long long)m->memory_bytes);
	if (cfg->uuid) {
		if (!uuid_ok(cfg->uuid))
			return err_set(err, -EINVAL, "\"%s\" is not a UUID", cfg->uuid);
		snprintf(m->uuid, sizeof(m->uuid), "%s", cfg->uuid);
		m->has_uuid = true;
	}
	m->low_bytes = MIN(m->memory_bytes, BOOT_LOWMEM_MAX);
	m->high_bytes = m->memory_bytes - m->low_bytes;
	return 0;
}

static int open_accel(struct machine *m, const char *name, struct hk_err *err)
{
	const struct accel_vm_config cfg = {
		.cpus = m->cpus,
		.host = &machine_host,
		.m = m,
		.log = &m->log,
		.name = m->name,
		.ignore_msr = m->flags & HK_VM_IGNORE_MSR,
		.pause_exit = m->flags & HK_VM_PAUSE_EXIT,
	};
	int rc = accel_choose(name, &m->ops, &m->caps, err);

	if (rc)
		return rc;
	m->lapic_ours = !(m->caps.bits & ACCEL_CAP_LAPIC);
	m->ioapic_ours = !(m->caps.bits & ACCEL_CAP_IOAPIC);
	if (m->lapic_ours && !m->ioapic_ours)
		return err_set(err, -ENOTSUP, "accelerator %s has an IOAPIC but no LAPICs",
			       m->ops->name);
	if (m->caps.max_cpus && m->cpus > m->caps.max_cpus)
		return err_set(err, -EINVAL, "%u vCPUs requested but accelerator %s takes %u",
			       m->cpus, m->ops->name, m->caps.max_cpus);
	rc = m->ops->vm_create(&m->avm, &cfg, err);
	if (rc)
		return err_wrap(err, rc, "accelerator %s", m->ops->name);
	log_debug(&m->log, "%s: accelerator %s: %s", m->name, m->ops->name, m->caps.why);
	return 0;
}

int machine_create(struct machine **out, const struct hk_vm_config *cfg, struct hk_err *err)
{
	struct machine *m = calloc(1, sizeof(*m));
	int rc;

	*out = NULL;
	if (!m)
		return err_set(err, -ENOMEM, "no memory for a machine");
	pthread_mutex_init(&m->life_lock, NULL);
	pthread_mutex_init(&m->end_lock, NULL);
	clock_init_host(&m->clock);
	m->boot_ns = clock_ns(&m->clock);

	rc = take_config(m, cfg, err);
	if (!rc)
		rc = park_init(m, err);
	if (!rc) {
		rc = events_init(&m->events, err);
		m->events_ok = !rc;
	}
	if (!rc)
		rc = open_accel(m, cfg->accel, err);
	if (!rc)
		rc = pc_create(m, err);
	if (rc) {
		machine_destroy(m);
		return rc;
	}
	*out = m;
	return 0;
}

void machine_destroy(struct machine *m)
{
	if (!m)
		return;
	if (m->park_ready)
		machine_request_exit(m, HK_EXIT_STOPPED, 0, "stopped");
	vcpus_join(m);
	pc_stop(m);
	pc_unplug(m); /* first: a device may still lower its line towards a vCPU */
	vcpus_destroy(m);
	pc_destroy(m);
	boot_source_close(m->boot);
	while (m->slots) {
		struct slot *s = m->slots;

		m->slots = s->next;
		free(s->opts);
		free(s);
	}
	if (m->events_ok)
		events_fini(&m->events);
	park_fini(m);
	strbuf_fini(&m->fault);
	pthread_mutex_destroy(&m->end_lock);
	pthread_mutex_destroy(&m->life_lock);
	free(m);
}

const char *machine_accel(const struct machine *m)
{
	return m->ops->name;
}

/* ---------------------------------------------------------------- set-up */

static int check_setup(const struct machine *m, struct hk_err *err)
{
	if (atomic_load(&m->phase) != MACHINE_SETUP)
		return err_set(err, -EBUSY, "the VM was started already");
	return 0;
}

static int slot_cmp(const struct slot *s, unsigned bus, unsigned slot, unsigned func)
{
	unsigned a = s->bus << 8 | s->slot << 3 | s->func, b = bus << 8 | slot << 3 | func;

	return a < b ? -1 : a > b;
}

static int check_class(struct machine *m, const char *name, unsigned slot, unsigned func,
		       const struct dev_class **out, struct hk_err *err)
{
	*out = dev_class_find(name);
	if (*out)
		return 0;
	for (const char *const *p = dev_planned; *p; p++)
		if (!strcmp(*p, name))
			return err_set(err, -ENODEV, "pci slot %u:%u: device \"%s\" is not built "
				       "into this version", slot, func, name);
	return err_set(err, -ENODEV, "pci slot %u:%u: unknown device \"%s\"", slot, func, name);
}

int machine_add_device(struct machine *m, unsigned bus, unsigned slot, unsigned func,
		       const char *name, const char *opts, struct hk_err *err)
{
	const struct dev_class *cls;
	struct slot **at = &m->slots, *s;
	int rc = check_setup(m, err);

	if (rc)
		return rc;
	if (bus > 255 || slot > 31 || func > 7)
		return err_set(err, -EINVAL, "Invalid PCI slot info field \"%u:%u:%u\"", bus, slot,
			       func);
	while (*at && slot_cmp(*at, bus, slot, func) < 0)
		at = &(*at)->next;
	if (*at && slot_cmp(*at, bus, slot, func) == 0)
		return err_set(err, -EBUSY, "pci slot %u:%u already occupied!", slot, func);
	rc = check_class(m, name, slot, func, &cls, err);
	if (rc)
		return rc;
	if (!strcmp(name, "lpc")) {
		/* Two would claim the same ports and the one PIRQ router */
		if (m->lpc)
			return err_set(err, -EBUSY, "pci slot %u:%u: there is an lpc already", slot,
				       func);
		if (bus)
			return err_set(err, -EINVAL, "pci slot %u:%u: lpc works on bus 0 only", slot,
				       func);
	}
	s = calloc(1, sizeof(*s));
	if (s && opts)
		s->opts = strdup(opts);
	if (!s || (opts && !s->opts)) {
		free(s);
		return err_set(err, -ENOMEM, "no memory for a device");
	}
	s->bus = bus;
	s->slot = slot;
	s->func = func;
	s->cls = cls;
	s->next = *at;
	*at = s;
	if (!strcmp(name, "lpc"))
		m->lpc = s;
	return 0;
}

int machine_set_serial(struct machine *m, unsigned port, const struct hk_serial_config *cfg,
		       struct hk_err *err)
{
	struct chr *chr = NULL;
	int rc = check_setup(m, err);

	if (rc)
		return rc;
	if (port < 1 || port > MACHINE_NUM_COMS)
		return err_set(err, -EINVAL, "there is no COM%u", port);
	if (cfg) {
		rc = chr_open(&chr, cfg, m->loop, &m->log, err);
		if (rc)
			return err_wrap(err, rc, "COM%u", port);
	}
	chr_close(m->com[port - 1]);
	m->com[port - 1] = chr;
	return 0;
}

const char *machine_serial_pty(const struct machine *m, unsigned port)
{
	if (port < 1 || port > MACHINE_NUM_COMS || !m->com[port - 1])
		return NULL;
	return chr_pty_name(m->com[port - 1]);
}

int machine_serial_input(struct machine *m, unsigned port, const u8 *bytes, size_t n)
{
	if (port < 1 || port > MACHINE_NUM_COMS)
		return -EINVAL;
	if (atomic_load(&m->phase) != MACHINE_STARTED || !m->com[port - 1])
		return -ENODEV;
	return (int)chr_feed(m->com[port - 1], bytes, MIN(n, (size_t)INT32_MAX));
}

/* ----------------------------------------------------------------- vsock */

static int check_vsock(const struct machine *m, struct hk_err *err)
{
	const struct slot *s = m->slots;

	while (s && strcmp(s->cls->name, "virtio-sock"))
		s = s->next;
	if (!s)
		return err_set(err, -ENODEV, "the VM has no virtio-sock");
	if (atomic_load(&m->stopping))
		return err_set(err, -ENODEV, "the VM has ended");
	return 0;
}

int machine_vsock_connect(struct machine *m, u32 port, int *fd, struct hk_err *err)
{
	int rc = check_vsock(m, err);

	if (!rc) {
		rc = vsk_hub_connect(m->vsock, port, fd);
		if (rc)
			err_set(err, rc, "vsock port %u: %s", port, strerrordesc_np(-rc));
	}
	return rc;
}

int machine_vsock_listen(struct machine *m, u32 port, int *fd, struct hk_err *err)
{
	int rc = check_vsock(m, err);

	if (!rc) {
		rc = vsk_hub_listen(m->vsock, port, fd);
		if (rc)
			err_set(err, rc, "vsock port %u: %s", port, strerrordesc_np(-rc));
	}
	return rc;
}

int machine_boot_linux(struct machine *m, const char *kernel, const char *initrd,
		       const char *cmdline, struct hk_err *err)
{
	struct boot_source *s;
	int rc = check_setup(m, err);

	if (!rc)
		rc = boot_linux_open(&s, kernel, initrd, cmdline, err);
	if (rc)
		return rc;
	boot_source_close(m->boot);
	m->boot = s;
	return 0;
}

int machine_boot_multiboot(struct machine *m, const char *kernel, const char *modules,
			   const char *cmdline, struct hk_err *err)
{
	struct boot_source *s;
	int rc = check_setup(m, err);

	if (!rc)
		rc = boot_multiboot_open(&s, kernel, modules, cmdline, err);
	if (rc)
		return rc;
	boot_source_close(m->boot);
	m->boot = s;
	return 0;
}

/* ----------------------------------------------------------------- start */

static int set_registers(struct machine *m, const struct x86_state *bsp, struct hk_err *err)
{
	struct x86_state *ap = aligned_alloc(64, ALIGN_UP(sizeof(*ap), 64));
	int rc = 0;

	if (!ap)
		return err_set(err, -ENOMEM, "no memory for registers");
	x86_state_reset(ap, false);
	for (unsigned i = 0; i < m->num_vcpus && !rc; i++) {
		const struct x86_state *st = i ? ap : bsp;
		u32 groups = X86_STATE_GPR | X86_STATE_SEG | X86_STATE_CTRL | X86_STATE_FPU |
			     X86_STATE_MSR | X86_STATE_DEBUG | X86_STATE_EVENTS;

		rc = m->ops->state_set(m->vcpu[i].av, groups, st);
		if (rc)
			err_set(err, rc, "vcpu %u: registers refused: %s", i, strerror(-rc));
	}
	free(ap);
	return rc;
}

static int start_locked(struct machine *m, struct hk_err *err)
{
	struct x86_state *bsp;
	int rc;

	if (!m->boot)
		return err_set(err, -EINVAL, "no kernel: nothing to boot");
	bsp = aligned_alloc(64, ALIGN_UP(sizeof(*bsp), 64));
	if (!bsp)
		return err_set(err, -ENOMEM, "no memory for registers");
	x86_state_reset(bsp, true);

	rc = vcpus_create(m, err);
	if (!rc)
		rc = pc_plug(m, err);
	if (!rc)
		rc = pc_firmware(m, bsp, err);
	if (!rc)
		rc = set_registers(m, bsp, err);
	free(bsp);
	if (!rc)
		rc = pc_start(m, err);
	if (rc)
		return rc;
	for (unsigned i = 0; m->lapic_ours && i < m->num_vcpus; i++)
		host_tsc_sync(&m->vcpu[i]);
	m->boot_ns = clock_ns(&m->clock);
	rc = vcpus_start(m, err);
	if (!rc && !m->lapic_ours)
		halt_watch_start(m);
	return rc;
}

int machine_start(struct machine *m, struct hk_err *err)
{
	struct hk_err own = { "" };
	int rc;

	if (!err)
		err = &own; /* the event repeats the words */
	pthread_mutex_lock(&m->life_lock);
	rc = check_setup(m, err);
	if (rc)
		goto out;
	rc = start_locked(m, err);
	atomic_store(&m->phase, rc ? MACHINE_FAILED : MACHINE_STARTED);
	if (rc) { /* who waits for the end shall not wait for ever */
		machine_request_exit(m, HK_EXIT_ERROR, 0, "%s", err->text);
		machine_ended(m);
	}
out:
	pthread_mutex_unlock(&m->life_lock);
	return rc;
}

/* ------------------------------------------------------------------- end */

void machine_request_exit(struct machine *m, enum hk_exit why, int value, const char *fmt, ...)
{
	bool first;

	pthread_mutex_lock(&m->end_lock);
	first = !m->end_set;
	if (first) {
		va_list ap;

		m->end_set = true;
		m->end.type = HK_EVENT_EXIT;
		m->end.exit = why;
		m->end.value = value;
		va_start(ap, fmt);
		vsnprintf(m->end.text, sizeof(m->end.text), fmt, ap);
		va_end(ap);
	}
	pthread_mutex_unlock(&m->end_lock);
	if (!first)
		return;

	/* Under the lock, so that a thread about to clear attention cannot miss it */
	pthread_mutex_lock(&m->park_lock);
	atomic_store(&m->stopping, true);
	atomic_store(&m->attention, true);
	pthread_cond_broadcast(&m->go_cond);
	pthread_cond_broadcast(&m->parked_cond);
	pthread_mutex_unlock(&m->park_lock);
	vcpus_kick_all(m);
}

void machine_ended(struct machine *m)
{
	if (atomic_exchange(&m->end_told, true))
		return;
	pc_quiet(m);
	for (unsigned i = 0; i < m->num_vcpus; i++)
		if (m->vcpu[i].dump.len)
			strbuf_add_mem(&m->fault, m->vcpu[i].dump.s, m->vcpu[i].dump.len);
	atomic_store(&m->fault_ready, true);
	events_end(&m->events, &m->end);
}

void machine_stop(struct machine *m)
{
	machine_request_exit(m, HK_EXIT_STOPPED, 0, "stopped");
	/* Without threads nobody else would post the end; a start under way finishes first */
	pthread_mutex_lock(&m->life_lock);
	if (atomic_load(&m->phase) == MACHINE_SETUP)
		machine_ended(m);
	pthread_mutex_unlock(&m->life_lock);
}

int machine_event_fd(const struct machine *m)
{
	return m->events.fd;
}

int machine_next_event(struct machine *m, struct hk_event *ev)
{
	return events_next(&m->events, ev);
}

int machine_wait(struct machine *m, int timeout_ms, enum hk_exit *why)
{
	return events_wait_end(&m->events, timeout_ms, why);
}

void machine_power_button(struct machine *m)
{
	if (atomic_load(&m->phase) == MACHINE_STARTED)
		power_button(m->power);
}

int machine_control(struct machine *m, enum dev_control what, void *arg)
{
	int rc;

	if (atomic_load(&m->phase) != MACHINE_STARTED)
		return -ENODEV;
	for (const struct slot *s = m->slots; s; s = s->next) {
		rc = s->cls->control ? s->cls->control(s->dev, what, arg) : -ENOTSUP;
		if (rc != -ENOTSUP)
			return rc;
	}
	return -ENODEV;
}

const char *machine_fault_text(const struct machine *m)
{
	if (!atomic_load(&m->fault_ready) || !m->fault.s)
		return "";
	return m->fault.s;
}

/* Counters of a running VM: each is read once, none is exact against the others */
size_t machine_stats(struct machine *m, char *buf, size_t n)
{
	struct strbuf b = { 0 };
	u64 hlts = 0, kicks = 0;
	size_t need;

	for (unsigned i = 0; i < m->num_vcpus; i++) {
		hlts += atomic_load(&m->vcpu[i].hlts);
		kicks += atomic_load(&m->vcpu[i].kicks);
	}
	strbuf_add(&b, "accel %s\nvcpus %u\nuptime_ms %llu\nhlt_sleeps %llu\nkicks %llu\n",
		   m->ops->name, m->cpus,
		   (unsigned long long)((clock_ns(&m->clock) - m->boot_ns) / 1000000),
		   (unsigned long long)hlts, (unsigned long long)kicks);
	strbuf_add(&b, "unclaimed_mmio %llu\nunclaimed_pio %llu\n",
		   (unsigned long long)bus_unclaimed(&m->mem_bus),
		   (unsigned long long)bus_unclaimed(&m->pio_bus));
	if (m->ops->stats)
		m->ops->stats(m->avm, &b);
	if (atomic_load(&m->phase) == MACHINE_STARTED)
		for (const struct slot *s = m->slots; s; s = s->next)
			if (s->cls->dump)
				s->cls->dump(s->dev, &b);
	need = b.len;
	if (n) {
		size_t take = MIN(need, n - 1);

		if (take)
			memcpy(buf, b.s, take);
		buf[take] = '\0';
	}
	strbuf_fini(&b);
	return need;
}
