// SPDX-License-Identifier: BSD-2-Clause
/* test/lib/fake.h - A machine without CPUs for device tests, and a guest's virtio driver
 *
 * The machine: buses, RAM in two blocks (16 MiB at 0, 16 MiB at 4 GiB), PCI, a clock moved and a
 * loop stepped by hand, recorders where messages, lines, exits and log lines go. The test plays the
 * CPU: what it calls here happens on its own thread, as a vCPU's register access would.
 *
 * The driver: modern or legacy, MSI-X or INTx, split rings; requests from the test's own buffers
 * (copied to and from guest RAM) or from descriptors that it writes as it likes.
 *
 * A mistake of the test or a device that does not answer ends the program with a line of words.
 * Nothing of cmocka is used, so that fuzz targets can link it too. */
#ifndef TEST_LIB_FAKE_H
#define TEST_LIB_FAKE_H

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/wire.h"
#include "device/dev.h"
#include "device/pci/pci.h"
#include "device/virtio/vio.h"
#include "mem/mem.h"

#define FAKE_LOW_BYTES (16ull << 20)
#define FAKE_HIGH_GPA (4ull << 30)
#define FAKE_HIGH_BYTES (16ull << 20)
#define FAKE_VECTORS 65 /* MSI data n, for n below it, is counted in msi[n] */

struct fake {
	struct clock_fake clock;
	struct loop *loop;
	struct bus mem_bus, pio_bus;
	struct mem mem;
	struct pci_bus *pci;
	struct dev_env env;
	struct log log;
	char log_text[256];		 /* the last line */
	_Atomic unsigned log_lines;
	_Atomic unsigned msi[FAKE_VECTORS]; /* messages by their data */
	_Atomic unsigned msi_total;
	_Atomic int gsi[24], isa[16];	 /* line levels */
	_Atomic unsigned gsi_rises;
	_Atomic unsigned exits;
	enum hk_exit exit;
	_Atomic u64 wrote_calls, wrote_bytes; /* mem_wrote() */
	u8 *wrote_map;			 /* one byte a page of both blocks: was it told? */
	u64 alloc_at;			 /* next free guest byte for fake_alloc() */
};

/* Ends the program with words */
void fake_die(const char *fmt, ...) PRINTF(1, 2) NORETURN;

struct fake *fake_new(void);
void fake_free(struct fake *f);
/* The same with flags of dev_env (DEV_ENV_*) */
struct fake *fake_new_flags(unsigned flags);

/* init, plug, start. NULL: refused, words in @err (may be NULL) */
struct dev *fake_dev(struct fake *f, const char *name, unsigned slot, const char *opts,
		     struct hk_err *err);
struct dev *fake_dev_of(struct fake *f, const struct dev_class *cls, unsigned slot,
			const char *opts, struct hk_err *err);
void fake_dev_free(struct dev *d); /* stop, fini; NULL ok */

/* Run what is due until nothing is (no waiting). Return: callbacks */
unsigned fake_step(struct fake *f);
/* Run the loop, waiting for descriptors, until @cond(arg) or @ms of real time. Return: came true */
bool fake_wait(struct fake *f, bool (*cond)(void *arg), void *arg, int ms);
void fake_advance(struct fake *f, u64 ns); /* the clock; then fake_step() */

/* ---- guest memory ---- */

gpa_t fake_alloc(struct fake *f, u64 len, u64 align); /* zeroed; ends the program when full */
void *fake_ptr(struct fake *f, gpa_t gpa, u64 len);
/* Give back all that was allocated after @mark (a former f->alloc_at) */
void fake_release(struct fake *f, u64 mark);

/* ---- configuration space ---- */

u32 fake_cfg_rd(struct fake *f, struct dev *d, unsigned reg, unsigned size);
void fake_cfg_wr(struct fake *f, struct dev *d, unsigned reg, u32 val, unsigned size);
/* Offset of the @nth capability @id; 0 = none */
unsigned fake_cap(struct fake *f, struct dev *d, u8 id, unsigned nth);
u64 fake_mmio_rd(struct fake *f, gpa_t at, unsigned size);
void fake_mmio_wr(struct fake *f, gpa_t at, u64 val, unsigned size);
u64 fake_pio_rd(struct fake *f, u16 port, unsigned size);
void fake_pio_wr(struct fake *f, u16 port, u64 val, unsigned size);

/* ---- the guest's driver of one virtio function ---- */

#define GVIO_LEGACY 1u	/* use the legacy interface */
#define GVIO_INTX 2u	/* no MSI-X */
#define GVIO_HIGH 4u	/* rings and buffers above 4 GiB */
#define GVIO_NO_START 8u /* stop before DRIVER_OK */

/* Descriptor and ring layout (2.7) */
struct gdesc {
	le64 addr;
	le32 len;
	le16 flags, next;
} PACKED;
#define GDESC_NEXT 1
#define GDESC_IN 2 /* device-writable */
#define GDESC_INDIRECT 4

struct gvq {
	u16 size;
	gpa_t desc_gpa, avail_gpa, used_gpa;
	struct gdesc *desc;
	u8 *avail, *used;	/* raw: flags, idx, ring, event */
	u16 avail_idx, used_seen, kicked_idx;
	bool *busy;		/* descriptor heads and links in use */
	u16 *links;		/* descriptors of the chain by head: count */
	u64 notify_at;		/* modern: address */
	unsigned vector;
};

struct gvio {
	struct fake *f;
	struct dev *dev;
	unsigned flags;
	u64 offered, features;	/* device's and ours */
	u64 common, isr, device, notify; /* modern: addresses of the structures, 0 = absent */
	u32 notify_mult;
	u32 device_len;
	u16 io;			/* legacy: port of BAR0, 0 = absent */
	bool msix;
	unsigned num_queues;
	struct gvq q[VIO_MAX_QUEUES];
};

/* Find the structures; no register of the device is written */
struct gvio *gvio_probe(struct fake *f, struct dev *d, unsigned flags);
/* probe, reset, accept offered & @want (VERSION_1 is added for modern), set up every queue, one
 * MSI-X vector each (config 0, queue n: n + 1), DRIVER_OK */
struct gvio *gvio_open(struct fake *f, struct dev *d, u64 want, unsigned flags);
void gvio_close(struct gvio *g); /* frees; does not touch the device */

u32 gvio_status(struct gvio *g);
void gvio_set_status(struct gvio *g, u32 status);
u64 gvio_offered(struct gvio *g);
void gvio_accept(struct gvio *g, u64 features);
u8 gvio_isr(struct gvio *g);	/* reads and clears */
u32 gvio_config(struct gvio *g, unsigned off, unsigned size);
void gvio_config_write(struct gvio *g, unsigned off, u32 val, unsigned size);
u32 gvio_generation(struct gvio *g); /* modern */
unsigned gvio_queue_size(struct gvio *g, unsigned q);
/* Give queue @q a ring of @size (0: what the device says) and enable it */
void gvio_queue_setup(struct gvio *g, unsigned q, unsigned size);
/* The same with any addresses; no struct gvq is made */
void gvio_queue_raw(struct gvio *g, unsigned q, unsigned size, gpa_t desc, gpa_t avail, gpa_t used);
void gvio_kick(struct gvio *g, unsigned q); /* always, whatever the device asked for */
/* As real drivers do: only if the device wants to hear of what was added since the last call */
void gvio_kick_if_wanted(struct gvio *g, unsigned q);
/* Messages (or rises of the line) since the last call; q = GVIO_CONFIG_IRQ: configuration */
#define GVIO_CONFIG_IRQ (~0u)
unsigned gvio_irqs(struct gvio *g, unsigned q);

struct gseg {
	gpa_t gpa;
	u32 len;
	bool in;
};
/* Make one chain available. Return: head, or -1 when the ring is full */
int gvq_add(struct gvio *g, unsigned q, const struct gseg *seg, unsigned n);
/* The same through an indirect table */
int gvq_add_indirect(struct gvio *g, unsigned q, const struct gseg *seg, unsigned n);
/* Next used element. Return: head, or -1 */
int gvq_get(struct gvio *g, unsigned q, u32 *written);
/* What the device asks for: would a driver kick now? (flags or avail_event) */
bool gvq_wants_kick(struct gvio *g, unsigned q, u16 old_avail_idx);
void gvq_set_used_event(struct gvio *g, unsigned q, u16 idx);
void gvq_no_interrupt(struct gvio *g, unsigned q, bool on); /* avail->flags */

/* One request, copied to and from the test's own buffers: add, kick if wanted, run the loop until it is
 * used (at most 5 s). Return: bytes written by the device */
u32 gvio_request(struct gvio *g, unsigned q, const void *out, u32 out_len, void *in, u32 in_len);

#endif
