// SPDX-License-Identifier: BSD-2-Clause
/* device/pci/dummy.c - Test device: plain storage behind BARs, interrupts on request
 *
 * BAR 0: 8 ports of storage. A dword written at offset 4 raises MSI (value mod 4);
 * 0xABCDEF raises all four. BARs 1 and 2: 4 KiB of storage each. */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/err.h"
#include "device/pci/pci.h"

#define DUMMY_IO 8u
#define DUMMY_MEM 4096u
#define DUMMY_MSGS 4u
#define DUMMY_DOORBELL 4u
#define DUMMY_ALL 0xabcdefu

struct dummy {
	struct dev dev;
	struct pci_fn fn;
	pthread_mutex_t lock;
	bool have_lock;
	u8 io[DUMMY_IO];
	u8 mem[2][DUMMY_MEM];
};

static u64 store_read(struct dummy *y, const u8 *at, unsigned size)
{
	u64 val = 0;

	pthread_mutex_lock(&y->lock);
	memcpy(&val, at, size);
	pthread_mutex_unlock(&y->lock);
	return val;
}

static void store_write(struct dummy *y, u8 *at, u64 val, unsigned size)
{
	pthread_mutex_lock(&y->lock);
	memcpy(at, &val, size);
	pthread_mutex_unlock(&y->lock);
}

static u64 io_read(void *opaque, u64 off, unsigned size)
{
	struct dummy *y = opaque;

	return store_read(y, y->io + off, size);
}

static void io_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct dummy *y = opaque;
	unsigned i;

	store_write(y, y->io + off, val, size);
	if (off != DUMMY_DOORBELL || size != 4)
		return;
	for (i = 0; i < DUMMY_MSGS; i++)
		if ((u32)val == DUMMY_ALL || i == (u32)val % DUMMY_MSGS)
			pci_msi_raise(&y->fn, i);
}

static u64 mem1_read(void *opaque, u64 off, unsigned size)
{
	struct dummy *y = opaque;

	return store_read(y, y->mem[0] + off, size);
}

static void mem1_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct dummy *y = opaque;

	store_write(y, y->mem[0] + off, val, size);
}

static u64 mem2_read(void *opaque, u64 off, unsigned size)
{
	struct dummy *y = opaque;

	return store_read(y, y->mem[1] + off, size);
}

static void mem2_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct dummy *y = opaque;

	store_write(y, y->mem[1] + off, val, size);
}

static const struct region_ops io_ops = { io_read, io_write, 1, 4, false };
static const struct region_ops mem1_ops = { mem1_read, mem1_write, 1, 8, false };
static const struct region_ops mem2_ops = { mem2_read, mem2_write, 1, 8, false };

static const struct pci_fn_class dummy_fn = {
	.vendor = 0x10dd,
	.device = 0x0001,
	.class_code = 0x02,
	.msi_vectors = DUMMY_MSGS,
	.bar = {
		{ PCI_BAR_IO, DUMMY_IO, &io_ops },
		{ PCI_BAR_MEM32, DUMMY_MEM, &mem1_ops },
		{ PCI_BAR_MEM32, DUMMY_MEM, &mem2_ops },
	},
};

static int dummy_init(struct dev *d, const char *opts, struct hk_err *err)
{
	struct dummy *y = container_of(d, struct dummy, dev);

	pthread_mutex_init(&y->lock, NULL);
	y->have_lock = true;
	return 0;
}

static int dummy_plug(struct dev *d, struct hk_err *err)
{
	struct dummy *y = container_of(d, struct dummy, dev);

	if (!d->env->pci)
		return err_set(err, -ENODEV, "dummy: this board has no PCI");
	return pci_fn_add(d->env->pci, &y->fn, &dummy_fn, d, y, err);
}

static void dummy_reset(struct dev *d, enum dev_reset kind)
{
	struct dummy *y = container_of(d, struct dummy, dev);

	pthread_mutex_lock(&y->lock);
	memset(y->io, 0, sizeof(y->io));
	memset(y->mem, 0, sizeof(y->mem));
	pthread_mutex_unlock(&y->lock);
}

static void dummy_fini(struct dev *d)
{
	struct dummy *y = container_of(d, struct dummy, dev);

	pci_fn_remove(&y->fn);
	if (y->have_lock)
		pthread_mutex_destroy(&y->lock);
	y->have_lock = false;
}

extern const struct dev_class dummy_class;
const struct dev_class dummy_class = {
	.name = "dummy",
	.help = "test device: storage and message signalled interrupts",
	.size = sizeof(struct dummy),
	.init = dummy_init,
	.plug = dummy_plug,
	.reset = dummy_reset,
	.fini = dummy_fini,
};
