// SPDX-License-Identifier: BSD-2-Clause
/* device/virtio/vio_pci.c - virtio over PCI: one function, two interfaces (virtio 1.2, 4.1)
 *
 *	BAR 0	I/O	legacy registers			(not with disable-legacy)
 *	BAR 1	MEM32	MSI-X table and pending bits		(not with vectors=0, -W)
 *	BAR 4	MEM64	modern structures, a page each		(not with disable-modern)
 *
 * Interrupts are raised from any thread. Lock order: v->lock, then the PCI function's. */
#include "device/virtio/vio_pci.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/range.h"
#include "base/strbuf.h"
#include "base/wire.h"

#define CAP_VENDOR 0x09u
enum { CAP_COMMON = 1, CAP_NOTIFY, CAP_ISR, CAP_DEVICE, CAP_PCI };

/* ------------------------------------------------------------- interrupts */

/* Without MSI-X: ISR bit and INTx, or the one MSI for drivers that turn it on */
static void raise_isr(struct vio_pci *p, u8 bit)
{
	pthread_mutex_lock(&p->v->lock);
	p->isr |= bit;
	pci_intx_set(&p->fn, 1);
	pthread_mutex_unlock(&p->v->lock);
	if (pci_msi_enabled(&p->fn))
		pci_msi_raise(&p->fn, 0);
}

static void raise(struct vio_pci *p, u16 vector, u8 bit)
{
	if (!pci_msix_enabled(&p->fn))
		raise_isr(p, bit);
	else if (vector != VIO_NO_VECTOR)
		pci_msix_raise(&p->fn, vector);
}

void vio_raise_queue(struct vio *v, unsigned q)
{
	if (v->pci)
		raise(v->pci, atomic_load(&v->pci->q[q].vector), VIO_ISR_QUEUE);
}

void vio_raise_config(struct vio *v)
{
	if (v->pci)
		raise(v->pci, atomic_load(&v->pci->config_vector), VIO_ISR_QUEUE | VIO_ISR_CONFIG);
}

u8 vio_isr_take(struct vio_pci *p)
{
	u8 isr;

	pthread_mutex_lock(&p->v->lock);
	isr = p->isr;
	p->isr = 0;
	pci_intx_set(&p->fn, 0);
	pthread_mutex_unlock(&p->v->lock);
	return isr;
}

u16 vio_vector_of(struct vio_pci *p, u16 vector)
{
	return vector < p->v->vectors ? vector : VIO_NO_VECTOR;
}

/* --------------------------------------------------- device configuration */

u64 vio_cfg_bytes(struct vio_pci *p, u64 off, unsigned size)
{
	u8 b[8] = { 0 };

	if (off < VIO_MAX_CONFIG)
		vio_config_get(p->v, (unsigned)off, b, size);
	return load_le64(b);
}

void vio_cfg_store(struct vio_pci *p, u64 off, u64 val, unsigned size)
{
	u8 b[8];

	store_le64(b, val);
	if (off < VIO_MAX_CONFIG)
		vio_driver_cfg_write(p->v, (unsigned)off, b, size);
}

/* ------------------------------------------- what the core asks of us */

struct vio_queue_regs vio_pci_queue(struct vio *v, unsigned q)
{
	struct vio_queue_regs r;

	pthread_mutex_lock(&v->lock);
	r = v->pci->q[q].r;
	pthread_mutex_unlock(&v->lock);
	return r;
}

u64 vio_pci_driver_features(struct vio *v)
{
	u64 f;

	pthread_mutex_lock(&v->lock);
	f = v->pci->driver_features;
	pthread_mutex_unlock(&v->lock);
	return f;
}

void vio_pci_reset(struct vio *v)
{
	struct vio_pci *p = v->pci;

	pthread_mutex_lock(&v->lock);
	p->feature_select = p->driver_select = 0;
	p->driver_features = 0;
	p->queue_select = 0;
	p->isr = 0;
	pci_intx_set(&p->fn, 0);
	atomic_store(&p->config_vector, VIO_NO_VECTOR);
	for (unsigned i = 0; i < v->num_queues; i++) {
		p->q[i].r = (struct vio_queue_regs){ 0 };
		atomic_store(&p->q[i].vector, VIO_NO_VECTOR);
	}
	pthread_mutex_unlock(&v->lock);
}

void vio_pci_dump(struct vio *v, struct strbuf *out)
{
	struct vio_pci *p = v->pci;

	strbuf_add(out, "  pci: %s%s vectors %u isr %u msix %s\n", v->legacy ? "legacy " : "",
		   v->modern ? "modern" : "", v->vectors, p->isr,
		   pci_msix_enabled(&p->fn) ? "on" : "off");
}

/* --------------------------------- registers through configuration space
 *
 * 4.1.4.9: a driver without access to the BARs puts bar, offset and length into the capability and
 * then reads or writes its data window. Only BAR 4 is reached; all that is behind the other one is
 * in it too. */

static bool window(struct vio_pci *p, u64 *off, unsigned *size)
{
	unsigned cap = p->cfg_data - 16;
	u32 len = pci_fn_cfg(&p->fn, cap + 12, 4);

	*off = pci_fn_cfg(&p->fn, cap + 8, 4);
	*size = len;
	return pci_fn_cfg(&p->fn, cap + 4, 1) == VIO_MODERN_BAR &&
	       (len == 1 || len == 2 || len == 4) && !(*off & (len - 1)) &&
	       range_ok(*off, len, VIO_MODERN_LEN);
}

static bool cfg_read(void *opaque, unsigned off, unsigned size, u32 *val)
{
	struct vio_pci *p = opaque;
	unsigned len;
	u64 at;

	if (!p->cfg_data || off != p->cfg_data || !window(p, &at, &len))
		return false;
	*val = (u32)vio_modern_read(p, at, len);
	return true;
}

static bool cfg_write(void *opaque, unsigned off, unsigned size, u32 val)
{
	struct vio_pci *p = opaque;
	unsigned len;
	u64 at;

	if (!p->cfg_data || off != p->cfg_data)
		return false;
	if (window(p, &at, &len))
		vio_modern_write(p, at, len == 4 ? val : val & ((1u << 8 * len) - 1), len);
	return true;
}

/* ------------------------------------------------------------------- set-up */

static void cap_set(struct vio_pci *p, u8 type, u32 off, u32 len)
{
	unsigned n = p->cls.num_caps++;
	u8 *b = p->cap_bytes[n];

	b[2] = type == CAP_NOTIFY || type == CAP_PCI ? 20 : 16;
	b[3] = type;
	b[4] = type == CAP_PCI ? 0 : VIO_MODERN_BAR;
	store_le32(b + 8, off);
	store_le32(b + 12, len);
	if (type == CAP_NOTIFY)
		store_le32(b + 16, VIO_NOTIFY_STEP);
	p->cap[n] = (struct pci_cap_desc){ .id = CAP_VENDOR, .len = b[2], .bytes = b };
}

static void describe_modern(struct vio_pci *p)
{
	static const u8 pci_cap_wmask[20] = {
		[4] = 0xff, [8] = 0xff, 0xff, 0xff, 0xff, [12] = 0xff, 0xff, 0xff, 0xff,
		[16] = 0xff, 0xff, 0xff, 0xff,
	};
	struct vio *v = p->v;

	p->cls.bar[VIO_MODERN_BAR] =
		(struct pci_bar_desc){ PCI_BAR_MEM64, VIO_MODERN_LEN, &vio_modern_ops };
	cap_set(p, CAP_COMMON, VIO_COMMON_OFF, 56);
	cap_set(p, CAP_NOTIFY, VIO_NOTIFY_OFF, v->num_queues * VIO_NOTIFY_STEP);
	cap_set(p, CAP_ISR, VIO_ISR_OFF, 1);
	if (v->config_len)
		cap_set(p, CAP_DEVICE, VIO_DEVICE_OFF, v->config_len);
	cap_set(p, CAP_PCI, 0, 0);
	p->cap[p->cls.num_caps - 1].wmask = pci_cap_wmask;
	p->cls.caps = p->cap;
	p->cls.cfg_read = cfg_read;
	p->cls.cfg_write = cfg_write;
}

static void describe(struct vio_pci *p)
{
	struct vio *v = p->v;
	const struct vio_class *c = v->cls;

	p->cls = (struct pci_fn_class){
		.vendor = VIO_PCI_VENDOR,
		.device = v->legacy ? c->pci_legacy_id : (u16)(0x1040 + c->id),
		.subsys_vendor = VIO_PCI_VENDOR,
		.subsys = c->id,
		.class_code = c->pci_class,
		.subclass = c->pci_subclass,
		.revision = v->legacy ? 0 : 1, /* 4.1.2: 0 for transitional, 1 and up for others */
		.intx = true,
		.msi_vectors = 1,
		.msix_vectors = (u16)v->vectors,
		.msix_bar = VIO_MSIX_BAR,
	};
	if (v->legacy)
		p->cls.bar[VIO_LEGACY_BAR] = (struct pci_bar_desc){
			PCI_BAR_IO, vio_legacy_bar_bytes(v), &vio_legacy_ops };
	if (v->vectors)
		p->cls.bar[VIO_MSIX_BAR] = (struct pci_bar_desc){ PCI_BAR_MEM32, 1, NULL };
	if (v->modern)
		describe_modern(p);
}

static void rang(void *arg)
{
	struct vq *q = arg;

	vio_driver_rang(q->v, q->index);
}

static int add_bell(struct vio_pci *p, struct bus *bus, const struct bus_doorbell *d)
{
	struct bus_doorbell *bell = &p->bell[p->num_bells];
	int rc;

	*bell = *d;
	bell->fn = rang;
	rc = bus_doorbell_add(bus, bell, p->v->dev.env->loop);
	if (!rc)
		p->num_bells++;
	return rc;
}

static int add_bells(struct vio_pci *p, struct hk_err *err)
{
	struct vio *v = p->v;
	const struct dev_env *env = v->dev.env;
	int rc = 0;

	for (unsigned i = 0; i < v->num_queues && !rc; i++) {
		if (v->modern)
			rc = add_bell(p, env->mem_bus, &(struct bus_doorbell){
				.region = pci_fn_region(&p->fn, VIO_MODERN_BAR),
				.off = VIO_NOTIFY_OFF + i * VIO_NOTIFY_STEP,
				.size = 2, .arg = &v->q[i] });
		if (v->legacy && !rc)
			rc = add_bell(p, env->pio_bus, &(struct bus_doorbell){
				.region = pci_fn_region(&p->fn, VIO_LEGACY_BAR),
				.off = 16, .size = 2, .has_match = true, .match = i,
				.arg = &v->q[i] });
	}
	return rc ? err_set(err, rc, "%s: no descriptors left for doorbells", v->cls->name) : 0;
}

int vio_pci_create(struct vio *v, struct hk_err *err)
{
	struct vio_pci *p = calloc(1, sizeof(*p));
	unsigned cap, i;
	int rc;

	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	p->v = v;
	p->q = calloc(v->num_queues, sizeof(*p->q));
	p->bell = calloc(2 * v->num_queues, sizeof(*p->bell));
	v->pci = p;
	if (!p->q || !p->bell) {
		rc = err_set(err, -ENOMEM, "out of memory");
		goto fail;
	}
	atomic_store(&p->config_vector, VIO_NO_VECTOR);
	for (i = 0; i < v->num_queues; i++)
		atomic_store(&p->q[i].vector, VIO_NO_VECTOR);
	describe(p);
	rc = pci_fn_add(v->dev.env->pci, &p->fn, &p->cls, &v->dev, p, err);
	if (rc)
		goto fail;
	for (i = 0; (cap = pci_fn_cap(&p->fn, CAP_VENDOR, i)); i++)
		if (pci_fn_cfg(&p->fn, cap + 3, 1) == CAP_PCI)
			p->cfg_data = cap + 16;
	rc = add_bells(p, err);
	if (rc)
		goto fail;
	return 0;
fail:
	vio_pci_destroy(v);
	return rc;
}

void vio_pci_destroy(struct vio *v)
{
	struct vio_pci *p = v->pci;

	if (!p)
		return;
	while (p->num_bells) {
		struct bus_doorbell *d = &p->bell[--p->num_bells];

		bus_doorbell_del(d->has_match ? v->dev.env->pio_bus : v->dev.env->mem_bus, d);
	}
	pci_fn_remove(&p->fn);
	v->pci = NULL;
	free(p->bell);
	free(p->q);
	free(p);
}
