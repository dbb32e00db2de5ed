// SPDX-License-Identifier: BSD-2-Clause
/* device/virtio/vio_int.h - Between the core (vio.c) and the PCI transport; nobody else includes it
 *
 * The transport keeps what the driver writes into registers (selectors, addresses, vectors, accepted
 * features) under v->lock and calls vio_driver_*() for what changes the device's life. */
#ifndef DEVICE_VIRTIO_VIO_INT_H
#define DEVICE_VIRTIO_VIO_INT_H

#include "device/virtio/vio.h"

/* What the driver told of one queue. (L) */
struct vio_queue_regs {
	u16 size;	/* 0 = the largest */
	gpa_t desc, avail, used;
	bool enabled;
	bool legacy;	/* by page number */
};

/* vio.c; all [vcpu], with no lock held, and done when they return */
void vio_driver_status(struct vio *v, u8 status);
void vio_driver_enable(struct vio *v, unsigned q); /* the registers of @q are complete */
void vio_driver_disable(struct vio *v, unsigned q); /* legacy: page number 0 */
void vio_driver_cfg_write(struct vio *v, unsigned off, const u8 *bytes, unsigned len);
void vio_driver_kick(struct vio *v, unsigned q);
void vio_driver_rang(struct vio *v, unsigned q); /* [loop] the same, by eventfd */
u64 vio_offered(const struct vio *v); /* core's bits too */

/* vio_pci.c */
int vio_pci_create(struct vio *v, struct hk_err *err) MUST_CHECK; /* [setup] plug */
void vio_pci_destroy(struct vio *v);			/* [setup] NULL transport ok */
struct vio_queue_regs vio_pci_queue(struct vio *v, unsigned q);	  /* [any] a copy */
u64 vio_pci_driver_features(struct vio *v);		/* [any] */
void vio_pci_reset(struct vio *v);			/* [loop] registers to power-on, no interrupt */
void vio_pci_dump(struct vio *v, struct strbuf *out);

/* opts.c */
struct vio_opts {
	bool disable_legacy, disable_modern;
	bool have_vectors;
	unsigned vectors;
};
int vio_take_opts(struct vio_opts *o, const char *opts, char **rest, struct hk_err *err) MUST_CHECK;

#endif
