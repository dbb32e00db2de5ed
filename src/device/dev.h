// SPDX-License-Identifier: BSD-2-Clause
/* device/dev.h - What every guest-visible device is (door of the room)
 *
 * A class is const data plus few functions. The machine allocates and zeroes an
 * instance of class->size bytes whose first member is struct dev.
 *
 * Life: init -> plug -> start <-> stop -> fini, reset any time after plug. */
#ifndef DEVICE_DEV_H
#define DEVICE_DEV_H

#include "base/loop.h"
#include "base/opts.h"
#include "base/types.h"
#include "bus/bus.h"
#include "bus/irq.h"
#include "mem/mem.h"

struct log;
struct pool;
struct strbuf;
struct pci_bus;
struct vsk_hub;
struct dev;

#define DEV_ENV_MSI_ONLY BIT(0) /* functions have MSI instead of MSI-X (hyperkit -W) */

/* What a device may use of its surroundings. Constant while the device lives. */
struct dev_env {
	u32 flags; /* DEV_ENV_* */
	struct bus *mem_bus, *pio_bus;
	struct mem *mem;
	struct loop *loop;
	struct clock *clock;
	struct log *log;
	const char *uuid;	/* of the VM, as text; NULL: none was given */
	/* Interrupt controller inputs: isa_irq[n] drives PIC input n and IOAPIC pin n (2 for 0) */
	struct irq isa_irq[16];
	struct irq gsi[24];	/* IOAPIC pins alone (16..23 are for PCI INTx) */
	struct msi_sink msi;
	struct pci_bus *pci;	/* NULL on a board without PCI */
	/* Ends the VM. @why is HK_EXIT_*; @value as struct hk_event. [any] First caller wins. */
	void (*request_exit)(void *m, enum hk_exit why, int value);
	/* The guest switched ACPI mode on or off. [any] */
	void (*acpi_enabled)(void *m, bool on);
	/* The host failed a device (disk full): the VM stands still until somebody resumes it, and
	 * hears @why in an event. Returns before it stands still. NULL: nobody could resume. [any] */
	void (*request_pause)(void *m, const char *why);
	struct vsk_hub *vsock; /* the embedder's ends of vsock connections (backend/vsock) */
	struct pool *pool;	/* workers for calls that block; NULL: a device makes its own */
	void *m;
};

enum dev_reset { DEV_RESET_POWER_ON, DEV_RESET_WARM };

/* What only some kinds of devices understand */
enum dev_control {
	DEV_BALLOON_SET,  /* u64 *: bytes that the guest shall do without */
	DEV_BALLOON_INFO, /* struct hk_balloon_info * */
	DEV_CONSOLE_SIZE, /* u16[2]: columns, rows */
	DEV_DISK_RESIZE,  /* struct dev_disk *: to ->bytes */
	DEV_DISK_LIMIT,	  /* struct dev_disk *: ->limits */
};

/* Which disk; -ENOTSUP from all others */
struct dev_disk {
	unsigned bus, slot, func;
	u64 bytes;
	const struct hk_disk_limits *limits;
	struct hk_err *err;
};

struct dev_class {
	const char *name;	     /* "virtio-blk": option name, probe argument, snapshot section */
	const char *help;	     /* one line */
	size_t size;		     /* of the instance */
	const struct opt_desc *opts; /* NULL-name terminated; NULL = takes none */
	/* [setup] Open back ends, check options; nothing the guest could see.
	 * @opts: raw text after the device's name, NULL when there was none */
	int (*init)(struct dev *d, const char *opts, struct hk_err *err);
	/* [setup] Map regions, take interrupt lines, register PCI functions */
	int (*plug)(struct dev *d, struct hk_err *err);
	int (*start)(struct dev *d);  /* [setup] NULL = nothing */
	void (*stop)(struct dev *d);  /* [setup] after it no callback runs, no guest byte changes; idempotent */
	void (*reset)(struct dev *d, enum dev_reset kind);  /* [vCPUs parked] */
	void (*dump)(struct dev *d, struct strbuf *out);    /* [any] state for humans */
	int (*control)(struct dev *d, enum dev_control what, void *arg); /* [any] NULL or -ENOTSUP: not ours */
	void (*fini)(struct dev *d);  /* [setup] also after a failed init */
};

struct dev {
	const struct dev_class *cls;
	const struct dev_env *env;
	char id[24];			/* "0:3.0" or "com1": for messages */
	unsigned pci_bus, pci_slot, pci_func; /* where -s put it; PCI devices only */
};

static inline bool dev_disk_is(const struct dev *d, const struct dev_disk *which)
{
	return d->pci_bus == which->bus && d->pci_slot == which->slot && d->pci_func == which->func;
}

/* Devices that -s can name; NULL-terminated; device/registry.c */
extern const struct dev_class *const dev_registry[];
/* Names HyperKit had whose devices are not built yet: refused with a clear line */
extern const char *const dev_planned[];
/* [any] NULL when unknown */
const struct dev_class *dev_class_find(const char *name);

#endif
