// SPDX-License-Identifier: BSD-2-Clause
/* device/virtio/vio.h - What every virtio device is (door of the room)
 *
 * A device embeds struct vio as its first member and describes itself with a const
 * struct vio_class. Transport (vio_pci.c), rings (vq.c), feature negotiation, status,
 * reset, interrupts, options common to all are done here and never by the device.
 *
 *	struct rnd { struct vio v; ... };
 *
 *	static int rnd_init(struct dev *d, const char *opts, struct hk_err *err)
 *	{
 *		struct rnd *r = container_of(d, struct rnd, v.dev);
 *		char *rest;
 *		int rc = vio_init(&r->v, &rnd_vio, opts, &rest, err);
 *		... the device's own options from rest (NULL when there were none), free(rest) ...
 *		r->v.features |= ...; vio_set_queues(&r->v, n, err); vio_config_init(...)
 *	}
 *
 *	const struct dev_class rnd_class = {
 *		.name = "virtio-rnd", .help = "...", .size = sizeof(struct rnd),
 *		.init = rnd_init, .plug = vio_plug, .start = vio_start, .stop = vio_stop,
 *		.reset = vio_reset, .dump = vio_dump, .fini = rnd_fini (calls vio_fini last),
 *	};
 *
 * Threads: every function of struct vio_class is [loop]: one at a time, with no lock held,
 * together with all other callbacks of the VM's loop (timers, watches, back ends). [loop] is
 * exclusion, not a thread: when the loop sleeps, the vCPU that kicked runs notify itself as the
 * loop (loop_run() in base/loop.h), which saves two wake-ups; when the loop is busy or the kick
 * came by eventfd, it runs on the loop's thread. loop_is_current() is true in either case. So:
 * no thread-local state, no io_uring of the kind that wants one submitting thread.
 *
 * The guest waits in a register write for set_features, activate, deactivate and cfg_write;
 * it does not wait for notify, but may be the one who runs it: do what is cheap, give the rest
 * (disk, DNS, big copies) to back ends. */
#ifndef DEVICE_VIRTIO_VIO_H
#define DEVICE_VIRTIO_VIO_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/types.h"
#include "device/dev.h"
#include "device/pci/pci.h"
#include "device/virtio/vq.h"

#define VIO_MAX_QUEUES 64u
#define VIO_MAX_CONFIG 1024u

/* Feature bits that the core knows (virtio 1.2, 6); it offers and uses them itself */
#define VIO_F_NOTIFY_ON_EMPTY 24 /* legacy; not offered */
#define VIO_F_ANY_LAYOUT 27	 /* legacy; offered: no device depends on how chains are cut */
#define VIO_F_INDIRECT 28
#define VIO_F_EVENT_IDX 29
#define VIO_F_VERSION_1 32

/* Device status (2.1) */
#define VIO_S_ACKNOWLEDGE 1u
#define VIO_S_DRIVER 2u
#define VIO_S_DRIVER_OK 4u
#define VIO_S_FEATURES_OK 8u
#define VIO_S_NEEDS_RESET 64u
#define VIO_S_FAILED 128u

struct vio_class {
	const char *name;	/* "virtio-rnd": messages */
	u16 id;			/* virtio device id: 1 net, 2 block, 4 entropy, ... (5) */
	u16 pci_legacy_id;	/* PCI device id of the transitional function: 0x1000...; 0 = none, modern
				 * only. The modern-only id is 0x1040 + id. */
	u8 pci_class, pci_subclass;
	u64 features;		/* device-type bits (0..23, 41..) always offered; more: v->features */
	unsigned num_queues;	/* default of vio_set_queues() */
	u16 queue_size;		/* default of each vq.max_size */

	/* All optional, all [loop] */
	/* The driver settled on vio_acked(v): FEATURES_OK, or DRIVER_OK of a legacy driver. @return
	 * false: this combination is refused (modern drivers are told, legacy ones are not) */
	bool (*set_features)(struct vio *v, u64 acked);
	/* DRIVER_OK: queues that the driver enabled may be used from now on. notify follows for each
	 * of them, once, without a kick (legacy drivers fill rings before DRIVER_OK). */
	void (*activate)(struct vio *v);
	/* Reset, stop, end. After it returns the device touches no queue and no guest memory: drain or
	 * cancel what is in flight first (then vq_push and vq_signal still work, in here). Chains not
	 * pushed are forgotten. Called once for each activate. */
	void (*deactivate)(struct vio *v);
	/* The driver kicked queue @q (or had filled it before activate) */
	void (*notify)(struct vio *v, unsigned q);
	/* The driver writes @len (1, 2, 4) bytes of the device configuration; the device decides and
	 * stores with vio_config_set(). Legacy drivers write byte by byte. NULL: configuration is
	 * read-only. Not only while active. */
	void (*cfg_write)(struct vio *v, unsigned off, const u8 *bytes, unsigned len);
	/* State for humans, after what the core says. [any] */
	void (*dump)(struct vio *v, struct strbuf *out);
	/* notify is long: always on the loop's own thread, never on the vCPU that kicks */
	bool notify_on_loop;
};

struct vio_pci;

/* (c) constant after plug, (I) between vio_init and plug the device's, then constant,
 * (l) [loop], (L) under lock, (a) atomic */
struct vio {
	struct dev dev;		/* first: struct dev of the machine's */
	const struct vio_class *cls; /* (c) */
	u64 features;		/* (I) more device-type bits to offer */
	unsigned num_queues;	/* (c) vio_set_queues() */
	struct vq *q;		/* (c) [num_queues]; ->max_size is (I) */
	bool legacy, modern;	/* (c) which interfaces the function has */
	unsigned vectors;	/* (c) MSI-X vectors; 0 = INTx (and MSI) only */

	bool active;		/* (l) between activate and deactivate */
	bool started;		/* (l) between vio_start and vio_stop */
	bool in_use;		/* (l) the driver uses it: activate at start */
	u64 acked;		/* (l) as set_features got it */
	_Atomic u32 status;	/* (a) VIO_S_* */
	u64 resets, breaks;	/* (l) statistics */

	pthread_mutex_t lock;
	u8 *config;		/* (L) */
	unsigned config_len;	/* (c) */
	u32 generation;		/* (L) */

	/* The core's and the transport's own */
	_Atomic u64 kicks;	/* (a) queues whose notify is due */
	struct work kick_work;
	bool have_lock;
	struct vio_pci *pci;
};

/* [setup] From the device's init. Takes the words common to all devices out of @opts:
 *   disable-legacy, disable-modern, vectors=N (MSI-X; 0 = none)
 * and leaves the others, in order, as malloc'd text in *@rest (NULL when @opts was NULL or nothing
 * is left; empty words stay: ",mac=x"). Makes cls->num_queues queues. After a failure only
 * vio_fini() may follow. */
int vio_init(struct vio *v, const struct vio_class *cls, const char *opts, char **rest,
	     struct hk_err *err) MUST_CHECK;
/* [setup] before plug: another number of queues than the class's (multi-queue) */
int vio_set_queues(struct vio *v, unsigned n, struct hk_err *err) MUST_CHECK;
/* [setup] before plug: the device configuration as it is at power-on; copied */
int vio_config_init(struct vio *v, const void *bytes, unsigned len, struct hk_err *err) MUST_CHECK;

/* struct dev_class entries, to be used as they are or called from the device's own */
int vio_plug(struct dev *d, struct hk_err *err);
int vio_start(struct dev *d);
void vio_stop(struct dev *d);
void vio_reset(struct dev *d, enum dev_reset kind);
void vio_dump(struct dev *d, struct strbuf *out);
void vio_fini(struct dev *d); /* last in the device's own fini; also after a failed init */

static inline struct vio *vio_of(struct dev *d)
{
	return container_of(d, struct vio, dev);
}

/* [loop] Did the driver accept feature @bit? Valid from set_features on */
static inline bool vio_has(const struct vio *v, unsigned bit)
{
	return v->acked >> bit & 1;
}

/* [any] Change configuration bytes and the generation; the driver learns of it by
 * vio_config_changed(), which interrupts (and does nothing while not active) */
void vio_config_set(struct vio *v, unsigned off, const void *bytes, unsigned len);
void vio_config_get(struct vio *v, unsigned off, void *bytes, unsigned len);
void vio_config_changed(struct vio *v);
/* [any] Have notify(v, q) run on the loop soon, as if the driver had kicked */
void vio_kick(struct vio *v, unsigned q);
/* [loop] The device cannot go on until the driver resets it; vq_broken() calls it */
void vio_needs_reset(struct vio *v, const char *why);

/* ---- the transport, for vq.c and tests only ---- */

void vio_raise_queue(struct vio *v, unsigned q); /* [any] */
void vio_raise_config(struct vio *v);		 /* [any] */

#endif
