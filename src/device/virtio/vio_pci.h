// SPDX-License-Identifier: BSD-2-Clause
/* device/virtio/vio_pci.h - What the files of the PCI transport share; nobody else includes it
 *
 *	vio_pci.c	the function, interrupts, the notify places, capabilities
 *	vio_modern.c	BAR 4: common, ISR, device and notify structures (virtio 1.2, 4.1.4)
 *	vio_legacy.c	BAR 0: the I/O ports of virtio 0.9 (4.1.4.10, "Legacy Interfaces") */
#ifndef DEVICE_VIRTIO_VIO_PCI_H
#define DEVICE_VIRTIO_VIO_PCI_H

#include "device/virtio/vio_int.h"

#define VIO_NO_VECTOR 0xffffu
#define VIO_ISR_QUEUE 1u
#define VIO_ISR_CONFIG 2u

#define VIO_PCI_VENDOR 0x1af4u
#define VIO_LEGACY_BAR 0u
#define VIO_MSIX_BAR 1u
#define VIO_MODERN_BAR 4u

/* BAR 4; a page each, so that an accelerator may map or trap them apart */
#define VIO_COMMON_OFF 0x0000u
#define VIO_COMMON_LEN 0x40u
#define VIO_ISR_OFF 0x1000u
#define VIO_ISR_LEN 4u
#define VIO_DEVICE_OFF 0x2000u
#define VIO_NOTIFY_OFF 0x3000u
#define VIO_NOTIFY_STEP 4u
#define VIO_MODERN_LEN 0x4000u

#define VIO_LEGACY_PAGE 4096u
#define VIO_LEGACY_HEAD 20u	/* device configuration follows, 4 bytes later with MSI-X on */

struct vio_vq_regs {
	struct vio_queue_regs r; /* (L) */
	_Atomic u16 vector;	 /* (a) */
};

/* (c) after plug, (L) under vio.lock, (a) atomic */
struct vio_pci {
	struct vio *v;
	struct pci_fn fn;
	struct pci_fn_class cls; /* (c) */
	struct pci_cap_desc cap[5]; /* (c) */
	u8 cap_bytes[5][20];	 /* (c) */
	unsigned cfg_data;	 /* (c) offset of the window of the PCI access capability; 0 none */
	u32 feature_select, driver_select; /* (L) */
	u64 driver_features;	 /* (L) */
	u16 queue_select;	 /* (L) */
	u8 isr;			 /* (L) */
	_Atomic u16 config_vector;
	struct vio_vq_regs *q;	 /* [num_queues] */
	struct bus_doorbell *bell; /* [2 * num_queues] notify places */
	unsigned num_bells;	 /* setup */
};

extern const struct region_ops vio_modern_ops, vio_legacy_ops;	/* opaque: struct vio_pci */
u64 vio_modern_read(void *opaque, u64 off, unsigned size);
void vio_modern_write(void *opaque, u64 off, u64 val, unsigned size);
u64 vio_legacy_bar_bytes(const struct vio *v);

u8 vio_isr_take(struct vio_pci *p);			/* [vcpu] read and clear */
u16 vio_vector_of(struct vio_pci *p, u16 vector);	/* as stored: VIO_NO_VECTOR when impossible */
/* [vcpu] Bytes of the device configuration; what is beyond reads as zero */
u64 vio_cfg_bytes(struct vio_pci *p, u64 off, unsigned size);
void vio_cfg_store(struct vio_pci *p, u64 off, u64 val, unsigned size);

#endif
