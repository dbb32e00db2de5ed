// SPDX-License-Identifier: BSD-2-Clause
/* test/lib/fake.c - The machine without CPUs: buses, RAM, recorders; see fake.h */
#include "lib/fake.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>

#include "base/err.h"

#define START_NS 5000000000ull
#define START_WALL (1700000000ll * (s64)NS_PER_SEC)
#define FAKE_MSI_ADDR 0xfee00000ull

void fake_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "fake machine: ");
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	abort();
}

/* ---- recorders ---- */

static void rec_log(void *arg, enum hk_log_level level, const char *text)
{
	struct fake *f = arg;

	snprintf(f->log_text, sizeof(f->log_text), "%s", text);
	atomic_fetch_add(&f->log_lines, 1);
	if (getenv("FAKE_LOG"))
		fprintf(stderr, "log: %s\n", text);
}

static int rec_msi(void *arg, u64 addr, u32 data)
{
	struct fake *f = arg;

	atomic_fetch_add(&f->msi_total, 1);
	if (addr == FAKE_MSI_ADDR && data < FAKE_VECTORS)
		atomic_fetch_add(&f->msi[data], 1);
	return 0;
}

static void rec_isa(void *arg, unsigned n, int level)
{
	atomic_store(&((struct fake *)arg)->isa[n], level);
}

static void rec_gsi(void *arg, unsigned n, int level)
{
	struct fake *f = arg;

	if (!atomic_exchange(&f->gsi[n], level) && level)
		atomic_fetch_add(&f->gsi_rises, 1);
}

static void rec_exit(void *arg, enum hk_exit why, int value)
{
	struct fake *f = arg;

	f->exit = why;
	atomic_fetch_add(&f->exits, 1);
}

static void rec_acpi(void *arg, bool on)
{
}

static void rec_wrote(void *arg, gpa_t gpa, u64 len)
{
	struct fake *f = arg;

	atomic_fetch_add(&f->wrote_calls, 1);
	atomic_fetch_add(&f->wrote_bytes, len);
	for (u64 at = gpa & PAGE_MASK; at < gpa + len; at += PAGE_BYTES) {
		u64 page = at >= FAKE_HIGH_GPA ? (at - FAKE_HIGH_GPA + FAKE_LOW_BYTES) : at;

		if (page / PAGE_BYTES < (FAKE_LOW_BYTES + FAKE_HIGH_BYTES) / PAGE_BYTES)
			f->wrote_map[page / PAGE_BYTES] = 1;
	}
}

/* ---- life ---- */

struct fake *fake_new_flags(unsigned flags)
{
	struct fake *f = calloc(1, sizeof(*f));
	struct pci_bus_config cfg = {
		.io_base = 0x2000,
		.io_limit = 0x10000,
		.mem32_base = 0xc0000000,
		.mem32_limit = 0xe0000000,
		.mem64_base = 0xd000000000,
		.mem64_limit = 0xfd00000000,
		.ecam_base = 0xe0000000,
	};

	if (!f)
		fake_die("out of memory");
	clock_fake_init(&f->clock, START_NS, START_WALL);
	f->log = (struct log){ .fn = rec_log, .arg = f, .level = HK_LOG_DEBUG };
	f->wrote_map = calloc(1, (FAKE_LOW_BYTES + FAKE_HIGH_BYTES) / PAGE_BYTES);
	mem_init(&f->mem);
	if (!f->wrote_map || loop_create(&f->loop, &f->clock.clock, NULL) ||
	    bus_init(&f->mem_bus, "memory", 64, NULL) || bus_init(&f->pio_bus, "ports", 16, NULL) ||
	    mem_add(&f->mem, 0, FAKE_LOW_BYTES, 0, NULL) ||
	    mem_add(&f->mem, FAKE_HIGH_GPA, FAKE_HIGH_BYTES, 0, NULL))
		fake_die("cannot be built");
	/* A test touches little: clearing 2 MiB for each byte would be most of its time */
	for (unsigned i = 0; i < f->mem.num_blocks; i++)
		madvise(f->mem.block[i].hva, f->mem.block[i].len, MADV_NOHUGEPAGE);
	f->mem.wrote = rec_wrote;
	f->mem.wrote_arg = f;
	f->env = (struct dev_env){
		.flags = flags,
		.mem_bus = &f->mem_bus,
		.pio_bus = &f->pio_bus,
		.mem = &f->mem,
		.loop = f->loop,
		.clock = &f->clock.clock,
		.log = &f->log,
		.msi = { rec_msi, f },
		.request_exit = rec_exit,
		.acpi_enabled = rec_acpi,
		.m = f,
	};
	for (unsigned n = 0; n < 16; n++)
		f->env.isa_irq[n] = (struct irq){ rec_isa, f, n };
	for (unsigned n = 0; n < 24; n++)
		f->env.gsi[n] = (struct irq){ rec_gsi, f, n };
	cfg.env = &f->env;
	if (pci_bus_create(&f->pci, &cfg, NULL))
		fake_die("no PCI bus");
	f->env.pci = f->pci;
	f->alloc_at = 0x100000;
	return f;
}

struct fake *fake_new(void)
{
	return fake_new_flags(0);
}

void fake_free(struct fake *f)
{
	if (!f)
		return;
	pci_bus_destroy(f->pci);
	loop_destroy(f->loop);
	bus_fini(&f->mem_bus);
	bus_fini(&f->pio_bus);
	mem_fini(&f->mem);
	free(f->wrote_map);
	free(f);
}

struct dev *fake_dev_of(struct fake *f, const struct dev_class *cls, unsigned slot,
			const char *opts, struct hk_err *err)
{
	struct dev *d = calloc(1, cls->size);
	int rc;

	if (!d)
		fake_die("out of memory");
	d->cls = cls;
	d->env = &f->env;
	d->pci_slot = slot;
	snprintf(d->id, sizeof(d->id), "0:%u.0", slot);
	rc = cls->init ? cls->init(d, opts, err) : 0;
	if (!rc && cls->plug)
		rc = cls->plug(d, err);
	if (!rc) {
		pci_route_intx(f->pci);
		rc = cls->start ? cls->start(d) : 0;
		if (rc)
			err_set(err, rc, "start: %s", strerror(-rc));
	}
	if (rc) {
		fake_dev_free(d);
		return NULL;
	}
	return d;
}

struct dev *fake_dev(struct fake *f, const char *name, unsigned slot, const char *opts,
		     struct hk_err *err)
{
	const struct dev_class *cls = dev_class_find(name);

	if (!cls)
		fake_die("there is no device \"%s\"", name);
	return fake_dev_of(f, cls, slot, opts, err);
}

void fake_dev_free(struct dev *d)
{
	if (!d)
		return;
	if (d->cls->stop)
		d->cls->stop(d);
	if (d->cls->fini)
		d->cls->fini(d);
	free(d);
}

/* ---- time and the loop ---- */

unsigned fake_step(struct fake *f)
{
	unsigned ran = 0;
	int n;

	while ((n = loop_step(f->loop, 0)) > 0) {
		ran += (unsigned)n;
		if (ran > 1000000)
			fake_die("the loop does not come to rest");
	}
	return ran;
}

static u64 real_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000 + (u64)ts.tv_nsec / 1000000;
}

bool fake_wait(struct fake *f, bool (*cond)(void *arg), void *arg, int ms)
{
	u64 end = real_ms() + (u64)ms;

	while (!cond(arg)) {
		if (real_ms() >= end)
			return false;
		loop_step(f->loop, 10);
	}
	return true;
}

void fake_advance(struct fake *f, u64 ns)
{
	clock_fake_advance(&f->clock, ns);
	fake_step(f);
}

/* ---- guest memory and registers ---- */

gpa_t fake_alloc(struct fake *f, u64 len, u64 align)
{
	u64 at = ALIGN_UP(f->alloc_at, align ? align : 1);

	if (at < FAKE_LOW_BYTES && at + len > FAKE_LOW_BYTES)
		at = ALIGN_UP(FAKE_HIGH_GPA, align ? align : 1);
	if (at >= FAKE_HIGH_GPA && at + len > FAKE_HIGH_GPA + FAKE_HIGH_BYTES)
		fake_die("no guest memory left");
	f->alloc_at = at + len;
	memset(fake_ptr(f, at, len), 0, len);
	return at;
}

void fake_release(struct fake *f, u64 mark)
{
	f->alloc_at = mark;
}

void *fake_ptr(struct fake *f, gpa_t gpa, u64 len)
{
	void *p = mem_ptr(&f->mem, gpa, len);

	if (!p)
		fake_die("%#llx is not RAM", (unsigned long long)gpa);
	return p;
}

static u64 ecam(const struct dev *d, unsigned reg)
{
	return 0xe0000000ull + (d->pci_bus << 20 | d->pci_slot << 15 | d->pci_func << 12 | reg);
}

u32 fake_cfg_rd(struct fake *f, struct dev *d, unsigned reg, unsigned size)
{
	return (u32)fake_mmio_rd(f, ecam(d, reg), size);
}

void fake_cfg_wr(struct fake *f, struct dev *d, unsigned reg, u32 val, unsigned size)
{
	fake_mmio_wr(f, ecam(d, reg), val, size);
}

unsigned fake_cap(struct fake *f, struct dev *d, u8 id, unsigned nth)
{
	unsigned at, n = 0;

	if (!(fake_cfg_rd(f, d, 6, 2) & 0x10))
		return 0;
	for (at = fake_cfg_rd(f, d, 0x34, 1); at && n < 48; at = fake_cfg_rd(f, d, at + 1, 1), n++)
		if (fake_cfg_rd(f, d, at, 1) == id && !nth--)
			return at;
	return 0;
}

u64 fake_mmio_rd(struct fake *f, gpa_t at, unsigned size)
{
	u64 val = ~0ull;

	bus_read(&f->mem_bus, at, size, &val);
	return val;
}

void fake_mmio_wr(struct fake *f, gpa_t at, u64 val, unsigned size)
{
	bus_write(&f->mem_bus, at, size, val);
}

u64 fake_pio_rd(struct fake *f, u16 port, unsigned size)
{
	u64 val = ~0ull;

	bus_read(&f->pio_bus, port, size, &val);
	return val;
}

void fake_pio_wr(struct fake *f, u16 port, u64 val, unsigned size)
{
	bus_write(&f->pio_bus, port, size, val);
}
