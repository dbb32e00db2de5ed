// SPDX-License-Identifier: BSD-2-Clause
/* device/virtio/vio_legacy.c - Ports of the legacy interface (virtio 1.2, 4.1.4.10; 0.9.5, 2.2.2)
 *
 * [vcpu]. Ring addresses are page numbers of 4096 bytes, the queue's size is ours, the three parts
 * follow each other with the used ring on a page of its own (2.7.2). With MSI-X enabled two vector
 * registers slide in before the device's configuration. */
#include "device/virtio/vio_pci.h"

#include "base/wire.h"

enum {
	L_FEATURES = 0, L_DRIVER = 4, L_PFN = 8, L_QUEUE_SIZE = 12, L_QUEUE_SELECT = 14,
	L_NOTIFY = 16, L_STATUS = 18, L_ISR = 19, L_CONFIG_VECTOR = 20, L_QUEUE_VECTOR = 22,
};

static unsigned head_len(struct vio_pci *p)
{
	return VIO_LEGACY_HEAD + (pci_msix_enabled(&p->fn) ? 4 : 0);
}

u64 vio_legacy_bar_bytes(const struct vio *v)
{
	return MAX(32u, VIO_LEGACY_HEAD + 4 + v->config_len);
}

static void head_locked(struct vio_pci *p, u8 *b)
{
	struct vio *v = p->v;
	unsigned i = p->queue_select;

	store_le32(b + L_FEATURES, (u32)vio_offered(v));
	store_le32(b + L_DRIVER, (u32)p->driver_features);
	store_le16(b + L_QUEUE_SELECT, p->queue_select);
	b[L_STATUS] = (u8)atomic_load(&v->status);
	store_le16(b + L_CONFIG_VECTOR, atomic_load(&p->config_vector));
	store_le16(b + L_QUEUE_VECTOR, VIO_NO_VECTOR);
	if (i >= v->num_queues)
		return;
	if (p->q[i].r.enabled)
		store_le32(b + L_PFN, (u32)(p->q[i].r.desc / VIO_LEGACY_PAGE));
	store_le16(b + L_QUEUE_SIZE, v->q[i].max_size);
	store_le16(b + L_QUEUE_VECTOR, atomic_load(&p->q[i].vector));
}

static u64 legacy_read(void *opaque, u64 off, unsigned size)
{
	struct vio_pci *p = opaque;
	unsigned len = head_len(p);
	u8 b[VIO_LEGACY_HEAD + 4 + 8] = { 0 };

	if (off >= len)
		return vio_cfg_bytes(p, off - len, size);
	pthread_mutex_lock(&p->v->lock);
	head_locked(p, b);
	pthread_mutex_unlock(&p->v->lock);
	if (off <= L_ISR && off + size > L_ISR)
		b[L_ISR] = vio_isr_take(p);
	return load_le64(b + off);
}

/* Return: what to tell the core */
enum tell { TELL_NOTHING, TELL_ENABLE, TELL_DISABLE };

static enum tell pfn_locked(struct vio_pci *p, u32 pfn)
{
	unsigned i = p->queue_select;
	struct vio_queue_regs *r;
	u16 size;

	if (i >= p->v->num_queues)
		return TELL_NOTHING;
	r = &p->q[i].r;
	if (!pfn) {
		*r = (struct vio_queue_regs){ 0 };
		return TELL_DISABLE;
	}
	if (r->enabled)
		return TELL_NOTHING;
	size = p->v->q[i].max_size;
	r->size = size;
	r->desc = (u64)pfn * VIO_LEGACY_PAGE;
	r->avail = r->desc + (u64)size * 16;
	r->used = ALIGN_UP(r->avail + 6 + (u64)size * 2, VIO_LEGACY_PAGE);
	r->enabled = r->legacy = true;
	return TELL_ENABLE;
}

static void head_write(struct vio_pci *p, u64 off, u32 val, unsigned size)
{
	enum tell tell = TELL_NOTHING;
	struct vio *v = p->v;
	unsigned q;

	if (off == L_STATUS && size == 1) {
		vio_driver_status(v, (u8)val);
		return;
	}
	if (off == L_NOTIFY) {
		vio_driver_kick(v, val & 0xffff);
		return;
	}
	pthread_mutex_lock(&v->lock);
	q = p->queue_select;
	if (off == L_DRIVER && size == 4) {
		/* Fixed once in use, as the rings were set up with them */
		if (!(atomic_load(&v->status) & VIO_S_DRIVER_OK))
			p->driver_features = val;
	} else if (off == L_PFN && size == 4) {
		tell = pfn_locked(p, val);
	} else if (off == L_QUEUE_SELECT && size == 2) {
		p->queue_select = (u16)val;
	} else if (off == L_CONFIG_VECTOR && size == 2) {
		atomic_store(&p->config_vector, vio_vector_of(p, (u16)val));
	} else if (off == L_QUEUE_VECTOR && size == 2 && q < v->num_queues) {
		atomic_store(&p->q[q].vector, vio_vector_of(p, (u16)val));
	}
	pthread_mutex_unlock(&v->lock);
	if (tell == TELL_ENABLE)
		vio_driver_enable(v, q);
	else if (tell == TELL_DISABLE)
		vio_driver_disable(v, q);
}

static void legacy_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct vio_pci *p = opaque;
	unsigned len = head_len(p);

	if (off >= len)
		vio_cfg_store(p, off - len, val, size);
	else
		head_write(p, off, (u32)val, size);
}

const struct region_ops vio_legacy_ops = {
	.read = legacy_read,
	.write = legacy_write,
	.min = 1,
	.max = 4,
};
