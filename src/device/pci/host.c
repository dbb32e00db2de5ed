// SPDX-License-Identifier: BSD-2-Clause
/* device/pci/host.c - How the guest reaches configuration space; life of the bus
 *
 * Mechanism #1 at ports 0xCF8 and 0xCFC..0xCFF (PCI 3.0, 3.2.2.3.2) and the memory
 * window of PCI Express (PCIe 7.2.2), one MiB a bus. The reset control register at 0xCF9
 * shares the address register's bytes and is therefore here too. Functions are added and removed in
 * [setup] only, so lookups take no lock. */
#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "device/pci/pci_int.h"

#define PORT_ADDR 0xcf8u
#define PORT_RESET 0xcf9u
#define RESET_CPU BIT(2)
#define PORT_DATA 0xcfcu
#define ADDR_ENABLE BIT(31)
#define ECAM_BYTES_PER_BUS (1ull << 20)

/* Only a dword access is the address register (3.2.2.3.2). Chipsets put their reset
 * control register between its bytes, so it has to be answered here: a byte at 0xCF9. */
static u64 addr_read(void *opaque, u64 off, unsigned size)
{
	struct pci_bus *p = opaque;

	if (off == PORT_RESET - PORT_ADDR && size == 1)
		return atomic_load_explicit(&p->reset_reg, memory_order_relaxed);
	return size == 4 ? atomic_load_explicit(&p->addr, memory_order_relaxed) : ~0ull;
}

static void addr_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct pci_bus *p = opaque;

	if (off == PORT_RESET - PORT_ADDR && size == 1) {
		atomic_store_explicit(&p->reset_reg, (u8)val, memory_order_relaxed);
		if ((val & RESET_CPU) && p->env->request_exit)
			p->env->request_exit(p->env->m, HK_EXIT_RESET, 0);
	} else if (size == 4) {
		atomic_store_explicit(&p->addr, (u32)val & ~3u, memory_order_relaxed);
	}
}

static struct pci_fn_int *addressed(const struct pci_bus *p, u64 off, unsigned *reg)
{
	u32 a = atomic_load_explicit(&p->addr, memory_order_relaxed);

	*reg = (a & 0xfc) | (unsigned)off;
	return a & ADDR_ENABLE ? pci_find(p, a >> 16 & 0xff, a >> 11 & 0x1f, a >> 8 & 7) : NULL;
}

static u64 data_read(void *opaque, u64 off, unsigned size)
{
	struct pci_fn_int *f;
	unsigned reg;

	f = addressed(opaque, off, &reg);
	return f ? pci_cfg_read(f, reg, size) : ~0ull;
}

static void data_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct pci_fn_int *f;
	unsigned reg;

	f = addressed(opaque, off, &reg);
	if (f)
		pci_cfg_write(f, reg, size, (u32)val);
}

static u64 ecam_read(void *opaque, u64 off, unsigned size)
{
	struct pci_fn_int *f = pci_find(opaque, (unsigned)(off >> 20), off >> 15 & 0x1f,
					off >> 12 & 7);

	return f ? pci_cfg_read(f, off & 0xfff, size) : ~0ull;
}

static void ecam_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct pci_fn_int *f = pci_find(opaque, (unsigned)(off >> 20), off >> 15 & 0x1f,
					off >> 12 & 7);

	if (f)
		pci_cfg_write(f, off & 0xfff, size, (u32)val);
}

static const struct region_ops addr_ops = { addr_read, addr_write, 1, 4, false };
static const struct region_ops data_ops = { data_read, data_write, 1, 4, false };
static const struct region_ops ecam_ops = { ecam_read, ecam_write, 1, 4, false };

int pci_bus_create(struct pci_bus **out, const struct pci_bus_config *cfg, struct hk_err *err)
{
	const struct dev_env *env = cfg->env;
	struct pci_bus *p;
	int rc;

	p = calloc(1, sizeof(*p));
	if (!p)
		return err_set(err, -ENOMEM, "PCI: out of memory");
	p->cfg = *cfg;
	p->env = env;
	p->io_next = cfg->io_base;
	p->mem32_next = cfg->mem32_base;
	p->mem64_next = cfg->mem64_base;
	pci_intx_init(p);
	p->addr_region = (struct region){
		.name = "pci-address", .size = 4, .ops = &addr_ops, .opaque = p
	};
	p->data_region = (struct region){
		.name = "pci-data", .size = 4, .ops = &data_ops, .opaque = p
	};
	p->ecam_region = (struct region){ .name = "pci-ecam",
					  .size = ECAM_BYTES_PER_BUS * PCI_BUSES,
					  .ops = &ecam_ops,
					  .opaque = p };
	rc = bus_map(env->pio_bus, &p->addr_region, PORT_ADDR, err);
	if (rc)
		goto no_addr;
	rc = bus_map(env->pio_bus, &p->data_region, PORT_DATA, err);
	if (rc)
		goto no_data;
	if (cfg->ecam_base) {
		rc = bus_map(env->mem_bus, &p->ecam_region, cfg->ecam_base, err);
		if (rc)
			goto no_ecam;
		p->ecam_mapped = true;
	}
	*out = p;
	return 0;
no_ecam:
	bus_unmap(env->pio_bus, &p->data_region);
no_data:
	bus_unmap(env->pio_bus, &p->addr_region);
no_addr:
	pthread_mutex_destroy(&p->intx_lock);
	free(p);
	return err_wrap(err, rc, "PCI");
}

void pci_bus_destroy(struct pci_bus *p)
{
	unsigned bus, i;

	if (!p)
		return;
	for (bus = 0; bus < PCI_BUSES; bus++) {
		for (i = 0; p->slots[bus] && i < PCI_FNS; i++)
			if (p->slots[bus][i / PCI_FUNCS].fn[i % PCI_FUNCS])
				pci_fn_remove(p->slots[bus][i / PCI_FUNCS].fn[i % PCI_FUNCS]);
		free(p->slots[bus]);
	}
	if (p->ecam_mapped)
		bus_unmap(p->env->mem_bus, &p->ecam_region);
	bus_unmap(p->env->pio_bus, &p->data_region);
	bus_unmap(p->env->pio_bus, &p->addr_region);
	pthread_mutex_destroy(&p->intx_lock);
	free(p);
}

void pci_bus_reset(struct pci_bus *p)
{
	struct pci_fn_int *f;
	unsigned bus, i;

	atomic_store(&p->addr, 0);
	atomic_store(&p->reset_reg, 0);
	/* All BARs away first, else one may come home to a place another still holds */
	for (bus = 0; bus < PCI_BUSES; bus++) {
		for (i = 0; p->slots[bus] && i < PCI_FNS; i++) {
			f = pci_find(p, bus, i / PCI_FUNCS, i % PCI_FUNCS);
			if (f)
				pci_fn_hide(f);
		}
	}
	for (bus = 0; bus < PCI_BUSES; bus++) {
		for (i = 0; p->slots[bus] && i < PCI_FNS; i++) {
			f = pci_find(p, bus, i / PCI_FUNCS, i % PCI_FUNCS);
			if (f)
				pci_fn_reset(f);
		}
	}
	pci_intx_reset(p);
}

int pci_lpc_slot(const struct pci_bus *p)
{
	struct pci_fn_int *f;
	unsigned i;

	for (i = 0; i < PCI_FNS; i++) {
		f = pci_find(p, 0, i / PCI_FUNCS, i % PCI_FUNCS);
		if (f && f->cls->class_code == 0x06 && f->cls->subclass == 0x01)
			return f->slot;
	}
	return -1;
}

struct pci_bus_config pci_windows(const struct pci_bus *p)
{
	return p->cfg;
}
