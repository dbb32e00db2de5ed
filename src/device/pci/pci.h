// SPDX-License-Identifier: BSD-2-Clause
/* device/pci/pci.h - PCI bus and functions (door of the room)
 *
 * A device describes a function with const data; configuration space, BAR moves,
 * MSI, MSI-X tables and INTx routing are done here and never by the device.
 * PCI Local Bus 3.0 chapter 6; PCI Express Base (ECAM 7.2.2). */
#ifndef DEVICE_PCI_PCI_H
#define DEVICE_PCI_PCI_H

#include "base/types.h"
#include "bus/bus.h"
#include "bus/irq.h"
#include "device/dev.h"

enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEM32, PCI_BAR_MEM64 };

struct pci_bar_desc {
	enum pci_bar_kind kind;
	u64 size;		      /* bytes; rounded up to a power of two */
	const struct region_ops *ops; /* NULL: reserved for the MSI-X table and PBA */
};

/* A capability of the device's own, behind those of the core */
struct pci_cap_desc {
	u8 id;
	u8 len;		 /* bytes with the two of the head */
	const u8 *bytes; /* [len], bytes 0 and 1 are ignored */
	const u8 *wmask; /* [len] what the guest may write; NULL = nothing */
};

struct pci_fn;

struct pci_fn_class {
	u16 vendor, device, subsys_vendor, subsys;
	u8 class_code, subclass, prog_if, revision;
	bool intx;		/* wants an interrupt pin */
	u8 msi_vectors;		/* 0 = no MSI capability */
	u16 msix_vectors;	/* 0 = no MSI-X capability */
	u8 msix_bar;
	bool pcie_root_port;	/* PCI Express capability v2, root port (hostbridge) */
	struct pci_bar_desc bar[6];
	const struct pci_cap_desc *caps;
	unsigned num_caps;
	/* Optional. Return true when handled, false for the default */
	bool (*cfg_read)(void *opaque, unsigned off, unsigned size, u32 *val);
	bool (*cfg_write)(void *opaque, unsigned off, unsigned size, u32 val);
};

/* Embedded in the device; everything here belongs to device/pci */
struct pci_fn_int;
struct pci_fn {
	const struct pci_fn_class *cls;
	void *opaque;		/* argument of region ops and cfg hooks */
	struct pci_fn_int *in;
};

struct pci_bus_config {
	const struct dev_env *env;
	u64 io_base, io_limit;		/* for I/O BARs: [base, limit) */
	u64 mem32_base, mem32_limit;
	u64 mem64_base, mem64_limit;
	u64 ecam_base;			/* 1 MiB a bus */
};

int pci_bus_create(struct pci_bus **out, const struct pci_bus_config *cfg,
		   struct hk_err *err) MUST_CHECK;	/* [setup] maps 0xCF8/0xCFC and ECAM */
void pci_bus_destroy(struct pci_bus *p);		/* [setup] */
void pci_bus_reset(struct pci_bus *p);			/* [parked] every function to power-on */
/* [setup] From a device's plug(); place from dev->pci_*. -EBUSY when taken.
 * BARs are programmed and IO+MEM+BUSMASTER enabled, as no firmware will. */
int pci_fn_add(struct pci_bus *p, struct pci_fn *fn, const struct pci_fn_class *cls,
	       struct dev *dev, void *opaque, struct hk_err *err) MUST_CHECK;
void pci_fn_remove(struct pci_fn *fn);			/* [setup] idempotent */
/* [setup] After all functions exist: give each INTx pin its GSI and PIRQ */
void pci_route_intx(struct pci_bus *p);

/* [any] */
void pci_intx_set(struct pci_fn *fn, int level); /* silent while MSI or MSI-X is on; remembered */
void pci_msi_raise(struct pci_fn *fn, unsigned vector);
void pci_msix_raise(struct pci_fn *fn, unsigned vector); /* pending bit while masked */
/* Offset of the @nth capability @id, 0 = none; and bytes of configuration space as they are, past
 * the hooks of the class */
unsigned pci_fn_cap(const struct pci_fn *fn, u8 id, unsigned nth);
struct region *pci_fn_region(struct pci_fn *fn, unsigned bar); /* for doorbells; NULL = no such BAR */
u32 pci_fn_cfg(const struct pci_fn *fn, unsigned off, unsigned size);
bool pci_msi_enabled(const struct pci_fn *fn);
bool pci_msix_enabled(const struct pci_fn *fn);

/* Walk the INTx users for the ACPI _PRT and the MP table */
struct pci_intx_route {
	u8 bus, slot, pin;	/* pin 1..4 = INTA..INTD */
	u8 gsi;			/* 16..23 */
	u8 pirq, isa_irq;	/* PIRQ link 0..7, and the ISA IRQ it is set to */
};
unsigned pci_routes(const struct pci_bus *p, struct pci_intx_route *out, unsigned max);
/* Is a function with this class of device at bus 0? for the DSDT: slot of the LPC bridge, -1 none */
int pci_lpc_slot(const struct pci_bus *p);
struct pci_bus_config pci_windows(const struct pci_bus *p);
void pci_dump(struct pci_bus *p, struct strbuf *out);

/* The interrupt router of the LPC bridge (PIRQ A-H to ISA IRQ), device/pci/intx.c */
u8 pci_pirq_read(struct pci_bus *p, unsigned pirq);
void pci_pirq_write(struct pci_bus *p, unsigned pirq, u8 val);

#endif
