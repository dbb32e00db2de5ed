// SPDX-License-Identifier: BSD-2-Clause
/* device/pci/pci_int.h - What the files of device/pci share; nobody else includes it
 *
 * Lock order: a device's own locks -> pci_fn_int.lock -> pci_bus.intx_lock -> whatever
 * stands behind irq_set(), msi_send() and bus_move(). Those never call back into PCI, so
 * they may be called with our locks held, and are: a line's level and an MSI's mask state
 * change together with what the interrupt controller sees of them. */
#ifndef DEVICE_PCI_PCI_INT_H
#define DEVICE_PCI_PCI_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "device/pci/pci.h"

#define PCI_SLOTS 32u
#define PCI_FUNCS 8u
#define PCI_FNS (PCI_SLOTS * PCI_FUNCS)
#define PCI_BUSES 256u
#define PCI_PINS 4u
#define PCI_PIRQS 8u
#define PCI_GSI_BASE 16u
#define PCI_GSIS 8u

/* Header type 0 (PCI 3.0, 6.1) */
#define PCI_R_VENDOR 0x00u
#define PCI_R_DEVICE 0x02u
#define PCI_R_COMMAND 0x04u
#define PCI_R_STATUS 0x06u
#define PCI_R_REVISION 0x08u
#define PCI_R_PROG_IF 0x09u
#define PCI_R_SUBCLASS 0x0au
#define PCI_R_CLASS 0x0bu
#define PCI_R_CACHE_LINE 0x0cu
#define PCI_R_HEADER_TYPE 0x0eu
#define PCI_R_BAR0 0x10u
#define PCI_R_SUBSYS_VENDOR 0x2cu
#define PCI_R_SUBSYS 0x2eu
#define PCI_R_CAP_PTR 0x34u
#define PCI_R_INT_LINE 0x3cu
#define PCI_R_INT_PIN 0x3du
#define PCI_R_FIRST_CAP 0x40u

#define PCI_CMD_IO BIT(0)
#define PCI_CMD_MEM BIT(1)
#define PCI_CMD_MASTER BIT(2)
#define PCI_CMD_PARITY BIT(6)
#define PCI_CMD_SERR BIT(8)
#define PCI_CMD_INTX_OFF BIT(10)
#define PCI_STATUS_INTX BIT(3)
#define PCI_STATUS_CAPS BIT(4)

#define PCI_CFG_BYTES 256u
#define PCI_CFG_EXT_BYTES 4096u

struct pci_bar {
	enum pci_bar_kind kind;	/* (c) */
	u64 size;		/* (c) power of two */
	u64 home;		/* (c) address given at plug */
	struct region region;	/* bus's; moved with the function's lock held */
	u64 at;			/* (L) where region is now, BUS_NOWHERE hidden */
};

struct pci_msix_vec {
	u64 addr; /* (L,g) */
	u32 data; /* (L,g) */
	bool masked;
};

/* (c) constant after pci_fn_add   (L) under ->lock   (X) under the bus's intx_lock
 * (a) atomic   (g) the guest chose it */
struct pci_fn_int {
	struct pci_bus *bus;	/* (c) */
	struct pci_fn *fn;	/* (c) */
	const struct pci_fn_class *cls; /* (c) */
	struct dev *dev;	/* (c) */
	u8 nr, slot, func;	/* (c) bus number, place */
	u8 pin;			/* (c) 0 none, 1..4 */
	u8 msi_cap, msix_cap, pcie_cap; /* (c) offsets, 0 none */
	unsigned caps_end;	/* setup */

	pthread_mutex_t lock;
	u8 cfg[PCI_CFG_BYTES];	 /* (L,g) */
	u8 wmask[PCI_CFG_BYTES]; /* (c) bits that the guest may write, BARs too */
	u8 init[PCI_CFG_BYTES];	 /* (c) power-on content */
	struct pci_bar bar[6];

	unsigned num_msix;	 /* (c) */
	struct pci_msix_vec *msix; /* (L) */
	u64 *pba;		 /* (L) pending bits */
	u64 pba_off;		 /* (c) in the MSI-X BAR */

	bool intx_wanted;	/* (L) the device's own level */
	bool intx_out;		/* (X) what it contributes to its pin */
};

struct pci_pin {
	unsigned users;		/* functions that have it (setup) */
	unsigned count;		/* (X) functions that assert it now */
	u8 gsi, pirq;		/* (X) valid when routed */
	bool routed;		/* (X) */
};

struct pci_slot {
	struct pci_fn *fn[PCI_FUNCS];
	struct pci_pin pin[PCI_PINS];
};

struct pci_bus {
	struct pci_bus_config cfg;	/* (c) */
	const struct dev_env *env;	/* (c) */
	struct region addr_region, data_region, ecam_region;
	bool ecam_mapped;
	_Atomic u32 addr;		/* (a,g) 0xCF8 */
	_Atomic u8 reset_reg;		/* (a,g) 0xCF9 */
	u64 io_next, mem32_next, mem64_next; /* setup: next free BAR address */
	struct pci_slot *slots[PCI_BUSES]; /* setup; PCI_SLOTS each, NULL = empty bus */

	pthread_mutex_t intx_lock;
	u8 pirq[PCI_PIRQS];		/* (X,g) router registers */
	u8 pirq_home[PCI_PIRQS];	/* (X) as pci_route_intx chose */
	unsigned pirq_count[PCI_PIRQS];	/* (X) pins that assert it */
	unsigned gsi_count[PCI_GSIS];	/* (X) */
	u32 isa_sources[16];		/* (X) who asserts: bits 0..7 PIRQs, 8.. ISA devices */
};

#define PCI_PIRQ_OFF 0x80u	/* router register: not routed (PIIX, 4.1.10) */
#define PCI_ISA_SRC_COM(n) (8u + (n))

/* cfg.c */
struct pci_fn_int *pci_find(const struct pci_bus *p, unsigned bus, unsigned slot, unsigned func);
u32 pci_cfg_read(struct pci_fn_int *f, unsigned off, unsigned size);
void pci_cfg_write(struct pci_fn_int *f, unsigned off, unsigned size, u32 val);
u8 pci_cap_add(struct pci_fn_int *f, u8 id, unsigned len); /* [setup] 0 = no room */
void pci_fn_reset(struct pci_fn_int *f);
void pci_fn_hide(struct pci_fn_int *f); /* all BARs off the bus, until the next reset */
int pci_bar_alloc(struct pci_bus *p, enum pci_bar_kind kind, u64 size, u64 *at);

static inline u16 pci_cfg16(const struct pci_fn_int *f, unsigned off)
{
	return (u16)(f->cfg[off] | f->cfg[off + 1] << 8);
}

static inline u32 pci_cfg32(const struct pci_fn_int *f, unsigned off)
{
	return pci_cfg16(f, off) | (u32)pci_cfg16(f, off + 2) << 16;
}

/* intx.c; *_locked: the function's lock is held */
void pci_intx_init(struct pci_bus *p);
void pci_intx_assign(struct pci_fn_int *f);	/* [setup] choose a pin */
void pci_intx_release(struct pci_fn_int *f);	/* [setup] */
void pci_intx_update_locked(struct pci_fn_int *f);
void pci_intx_reset(struct pci_bus *p);		/* all lines are low when it is called */
/* An ISA device behind the bridge shares the ISA line with the router. [any] */
void pci_isa_set(struct pci_bus *p, unsigned irq, unsigned source, int level);

/* msi.c */
int pci_msi_init(struct pci_fn_int *f);
bool pci_msi_on_locked(const struct pci_fn_int *f);

/* msix.c */
extern const struct region_ops pci_msix_region_ops; /* opaque: struct pci_fn_int */
int pci_msix_init(struct pci_fn_int *f, struct hk_err *err);
void pci_msix_fini(struct pci_fn_int *f);
u64 pci_msix_bar_bytes(unsigned vectors);
bool pci_msix_on_locked(const struct pci_fn_int *f);
void pci_msix_control_locked(struct pci_fn_int *f, u16 before); /* message control was written */
void pci_msix_reset_locked(struct pci_fn_int *f);

#endif
