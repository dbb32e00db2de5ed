// SPDX-License-Identifier: BSD-2-Clause
/* device/virtio/vio_modern.c - Registers of the modern interface (virtio 1.2, 4.1.4)
 *
 * [vcpu], several at once. Registers are under v->lock, which is released before the core is
 * called. Drivers access a field with its own width (4.1.3.1), 64-bit ones in halves; other
 * widths read what is there and do not write. */
#include "device/virtio/vio_pci.h"

#include "base/wire.h"

enum {
	C_FEATURE_SELECT = 0, C_FEATURE = 4, C_DRIVER_SELECT = 8, C_DRIVER_FEATURE = 12,
	C_CONFIG_VECTOR = 16, C_NUM_QUEUES = 18, C_STATUS = 20, C_GENERATION = 21,
	C_QUEUE_SELECT = 22, C_QUEUE_SIZE = 24, C_QUEUE_VECTOR = 26, C_QUEUE_ENABLE = 28,
	C_QUEUE_NOTIFY_OFF = 30, C_DESC = 32, C_AVAIL = 40, C_USED = 48,
};

static u32 half(u64 v, u32 select)
{
	return select == 0 ? (u32)v : select == 1 ? (u32)(v >> 32) : 0;
}

static void common_locked(struct vio_pci *p, u8 *b)
{
	struct vio *v = p->v;
	const struct vio_vq_regs *q;

	store_le32(b + C_FEATURE_SELECT, p->feature_select);
	store_le32(b + C_FEATURE, half(vio_offered(v) & ~BIT64(VIO_F_ANY_LAYOUT),
				       p->feature_select));
	store_le32(b + C_DRIVER_SELECT, p->driver_select);
	store_le32(b + C_DRIVER_FEATURE, half(p->driver_features, p->driver_select));
	store_le16(b + C_CONFIG_VECTOR, atomic_load(&p->config_vector));
	store_le16(b + C_NUM_QUEUES, (u16)v->num_queues);
	b[C_STATUS] = (u8)atomic_load(&v->status);
	b[C_GENERATION] = (u8)v->generation;
	store_le16(b + C_QUEUE_SELECT, p->queue_select);
	if (p->queue_select >= v->num_queues)
		return; /* size 0: there is none */
	q = &p->q[p->queue_select];
	store_le16(b + C_QUEUE_SIZE, q->r.size ? q->r.size : v->q[p->queue_select].max_size);
	store_le16(b + C_QUEUE_VECTOR, atomic_load(&q->vector));
	store_le16(b + C_QUEUE_ENABLE, q->r.enabled);
	store_le16(b + C_QUEUE_NOTIFY_OFF, p->queue_select);
	store_le64(b + C_DESC, q->r.desc);
	store_le64(b + C_AVAIL, q->r.avail);
	store_le64(b + C_USED, q->r.used);
}

static u64 common_read(struct vio_pci *p, u64 off, unsigned size)
{
	u8 b[VIO_COMMON_LEN + 8] = { 0 };

	pthread_mutex_lock(&p->v->lock);
	common_locked(p, b);
	pthread_mutex_unlock(&p->v->lock);
	return load_le64(b + off);
}

/* Which queue the registers are of; NULL while it is fixed: enabled, or there is none */
static struct vio_vq_regs *open_queue_locked(struct vio_pci *p)
{
	struct vio_vq_regs *q;

	if (p->queue_select >= p->v->num_queues)
		return NULL;
	q = &p->q[p->queue_select];
	return q->r.enabled ? NULL : q;
}

static void set_half(u64 *to, unsigned at, u32 val)
{
	*to = at ? (*to & UINT32_MAX) | (u64)val << 32 : (*to & ~(u64)UINT32_MAX) | val;
}

static void write32_locked(struct vio_pci *p, u64 off, u32 val)
{
	struct vio_vq_regs *q = open_queue_locked(p);

	switch (off) {
	case C_FEATURE_SELECT:
		p->feature_select = val;
		break;
	case C_DRIVER_SELECT:
		p->driver_select = val;
		break;
	case C_DRIVER_FEATURE:
		if (p->driver_select < 2 && !(atomic_load(&p->v->status) & VIO_S_FEATURES_OK))
			set_half(&p->driver_features, p->driver_select, val);
		break;
	case C_DESC:
	case C_DESC + 4:
		if (q)
			set_half(&q->r.desc, off & 4, val);
		break;
	case C_AVAIL:
	case C_AVAIL + 4:
		if (q)
			set_half(&q->r.avail, off & 4, val);
		break;
	case C_USED:
	case C_USED + 4:
		if (q)
			set_half(&q->r.used, off & 4, val);
		break;
	}
}

/* Return: number of the queue that was enabled, or -1 */
static int write16_locked(struct vio_pci *p, u64 off, u16 val)
{
	struct vio_vq_regs *q = open_queue_locked(p);

	switch (off) {
	case C_CONFIG_VECTOR:
		atomic_store(&p->config_vector, vio_vector_of(p, val));
		break;
	case C_QUEUE_SELECT:
		p->queue_select = val;
		break;
	case C_QUEUE_SIZE:
		if (q && val && val <= p->v->q[p->queue_select].max_size && !(val & (val - 1)))
			q->r.size = val;
		break;
	case C_QUEUE_VECTOR:
		if (p->queue_select < p->v->num_queues)
			atomic_store(&p->q[p->queue_select].vector, vio_vector_of(p, val));
		break;
	case C_QUEUE_ENABLE:
		if (!q || val != 1)
			break;
		if (!q->r.size)
			q->r.size = p->v->q[p->queue_select].max_size;
		q->r.enabled = true;
		q->r.legacy = false;
		return p->queue_select;
	}
	return -1;
}

static void common_write(struct vio_pci *p, u64 off, u64 val, unsigned size)
{
	struct vio *v = p->v;
	int enabled = -1;

	if (size == 1 && off == C_STATUS) {
		vio_driver_status(v, (u8)val);
		return;
	}
	pthread_mutex_lock(&v->lock);
	if (size == 2) {
		enabled = write16_locked(p, off, (u16)val);
	} else if (size == 4) {
		write32_locked(p, off, (u32)val);
	} else if (size == 8) {
		write32_locked(p, off, (u32)val);
		write32_locked(p, off + 4, (u32)(val >> 32));
	}
	pthread_mutex_unlock(&v->lock);
	if (enabled >= 0)
		vio_driver_enable(v, (unsigned)enabled);
}

u64 vio_modern_read(void *opaque, u64 off, unsigned size)
{
	struct vio_pci *p = opaque;

	if (off < VIO_COMMON_OFF + VIO_COMMON_LEN)
		return common_read(p, off - VIO_COMMON_OFF, size);
	if (off == VIO_ISR_OFF)
		return vio_isr_take(p);
	if (off >= VIO_DEVICE_OFF && off < VIO_NOTIFY_OFF)
		return vio_cfg_bytes(p, off - VIO_DEVICE_OFF, size);
	return 0;
}

void vio_modern_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct vio_pci *p = opaque;

	if (off >= VIO_NOTIFY_OFF)
		vio_driver_kick(p->v, (unsigned)((off - VIO_NOTIFY_OFF) / VIO_NOTIFY_STEP));
	else if (off >= VIO_DEVICE_OFF)
		vio_cfg_store(p, off - VIO_DEVICE_OFF, val, size);
	else if (off < VIO_COMMON_OFF + VIO_COMMON_LEN)
		common_write(p, off - VIO_COMMON_OFF, val, size);
}

const struct region_ops vio_modern_ops = {
	.read = vio_modern_read,
	.write = vio_modern_write,
	.min = 1,
	.max = 8,
};
