// SPDX-License-Identifier: BSD-2-Clause
/* device/chipset/ioapic.c - I/O APIC: interrupt lines become messages
 *
 * Intel 82093AA data sheet; EOI register as in ICH (version 0x20). Lines are set
 * and EOIs arrive by any thread. The one lock is held while a message is sent, so
 * that remote IRR and the message agree; it comes after the locks of devices and
 * before those of LAPICs, whose EOI callback holds none. Polarity is kept but has
 * no effect: a line's level here means "asserted". */
#include <pthread.h>

#include "base/strbuf.h"
#include "device/chipset/chipset.h"

#define IOAPIC_BASE 0xfec00000ull
#define IOAPIC_PINS 24
#define IOAPIC_VERSION 0x20 /* has the EOI register */

/* Redirection entry (82093AA 3.2.4) */
#define RED_MODE_SHIFT 8
#define RED_LOGICAL BIT64(11)
#define RED_STATUS BIT64(12)
#define RED_REMOTE_IRR BIT64(14)
#define RED_LEVEL BIT64(15)
#define RED_MASKED BIT64(16)
#define RED_WRITABLE 0xff0000000001afffull

struct ioapic {
	struct dev dev;
	pthread_mutex_t lock;
	struct region mmio;
	bool mapped;
	u8 select, id;
	u32 lines;
	u64 red[IOAPIC_PINS];
};

static void send_locked(struct ioapic *io, unsigned pin)
{
	u64 red = io->red[pin], addr = 0xfee00000;
	u32 data = red & 0x7ff; /* vector and delivery mode are where MSI has them */

	addr |= (red >> 56) << 12;
	if (red & RED_LOGICAL)
		addr |= BIT(2);
	if (red & RED_LEVEL)
		data |= BIT(15) | BIT(14);
	/* Remote IRR means that a LAPIC accepted it (3.2.4); else nobody would end it */
	if (msi_send(&io->dev.env->msi, addr, data) >= 0 && (red & RED_LEVEL))
		io->red[pin] |= RED_REMOTE_IRR;
}

/* A level that is up and not yet on its way */
static void look_locked(struct ioapic *io, unsigned pin)
{
	u64 red = io->red[pin];

	if ((red & RED_LEVEL) && !(red & (RED_MASKED | RED_REMOTE_IRR)) && (io->lines & BIT(pin)))
		send_locked(io, pin);
}

void ioapic_set(void *dev, unsigned pin, int level)
{
	struct ioapic *io = dev;
	bool rose;

	if (pin >= IOAPIC_PINS)
		return;
	pthread_mutex_lock(&io->lock);
	rose = level && !(io->lines & BIT(pin));
	if (level)
		io->lines |= BIT(pin);
	else
		io->lines &= ~BIT(pin);
	if (io->red[pin] & RED_LEVEL)
		look_locked(io, pin);
	else if (rose && !(io->red[pin] & RED_MASKED)) /* a masked edge is lost */
		send_locked(io, pin);
	pthread_mutex_unlock(&io->lock);
}

void ioapic_eoi(void *dev, u8 vector)
{
	struct ioapic *io = dev;

	pthread_mutex_lock(&io->lock);
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		if ((u8)io->red[pin] != vector || !(io->red[pin] & RED_REMOTE_IRR))
			continue;
		io->red[pin] &= ~RED_REMOTE_IRR;
		look_locked(io, pin);
	}
	pthread_mutex_unlock(&io->lock);
}

static u32 read_register_locked(struct ioapic *io)
{
	unsigned n = io->select - 0x10;

	if (io->select >= 0x10 && n / 2 < IOAPIC_PINS)
		return n & 1 ? io->red[n / 2] >> 32 : (u32)io->red[n / 2];
	switch (io->select) {
	case 0: /* id */
	case 2: /* arbitration id */
		return (u32)io->id << 24;
	case 1:
		return (IOAPIC_PINS - 1) << 16 | IOAPIC_VERSION;
	case 3: /* boot configuration: messages go by the system bus */
		return 1;
	default:
		return 0;
	}
}

static void write_register_locked(struct ioapic *io, u32 val)
{
	unsigned n = io->select - 0x10, pin = n / 2;
	u64 old, red;

	if (io->select == 0)
		io->id = val >> 24 & 0xf;
	if (io->select < 0x10 || pin >= IOAPIC_PINS)
		return;
	old = io->red[pin];
	if (n & 1)
		red = (u64)val << 32 | (u32)old;
	else
		red = (old & 0xffffffff00000000ull) | val;
	red = (red & RED_WRITABLE) | (old & RED_REMOTE_IRR);
	if (!(red & RED_LEVEL))
		red &= ~RED_REMOTE_IRR; /* how an EOI is forced on chips without the register */
	io->red[pin] = red;
	look_locked(io, pin);
}

static u64 ioapic_read(void *opaque, u64 off, unsigned size)
{
	struct ioapic *io = opaque;
	u32 val = 0;

	pthread_mutex_lock(&io->lock);
	switch (off & ~3ull) {
	case 0x00:
		val = io->select;
		break;
	case 0x10:
		val = read_register_locked(io);
		break;
	default:
		break;
	}
	pthread_mutex_unlock(&io->lock);
	return val >> (8 * (off & 3));
}

static void ioapic_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct ioapic *io = opaque;

	if (off == 0x40) {
		ioapic_eoi(io, (u8)val);
		return;
	}
	pthread_mutex_lock(&io->lock);
	if (off == 0x00)
		io->select = (u8)val;
	else if (off == 0x10 && size == 4) /* only whole registers (3.0) */
		write_register_locked(io, (u32)val);
	pthread_mutex_unlock(&io->lock);
}

static const struct region_ops ioapic_ops = {
	.read = ioapic_read, .write = ioapic_write, .min = 1, .max = 4,
};

static void ioapic_reset(struct dev *d, enum dev_reset kind)
{
	struct ioapic *io = container_of(d, struct ioapic, dev);

	pthread_mutex_lock(&io->lock);
	io->select = io->id = 0;
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
		io->red[pin] = RED_MASKED;
	pthread_mutex_unlock(&io->lock);
}

static int ioapic_init(struct dev *d, const char *opts, struct hk_err *err)
{
	struct ioapic *io = container_of(d, struct ioapic, dev);

	pthread_mutex_init(&io->lock, NULL);
	ioapic_reset(d, DEV_RESET_POWER_ON);
	return 0;
}

static int ioapic_plug(struct dev *d, struct hk_err *err)
{
	struct ioapic *io = container_of(d, struct ioapic, dev);
	int rc;

	io->mmio = (struct region){
		.name = "ioapic", .size = 0x1000, .ops = &ioapic_ops, .opaque = io,
	};
	rc = bus_map(d->env->mem_bus, &io->mmio, IOAPIC_BASE, err);
	io->mapped = !rc;
	return rc;
}

static void ioapic_dump(struct dev *d, struct strbuf *out)
{
	struct ioapic *io = container_of(d, struct ioapic, dev);

	pthread_mutex_lock(&io->lock);
	strbuf_add(out, "ioapic: id %u lines %06x\n", io->id, io->lines);
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
		if (!(io->red[pin] & RED_MASKED))
			strbuf_add(out, "ioapic: pin %u %016llx\n", pin,
				   (unsigned long long)io->red[pin]);
	pthread_mutex_unlock(&io->lock);
}

static void ioapic_fini(struct dev *d)
{
	struct ioapic *io = container_of(d, struct ioapic, dev);

	if (io->mapped)
		bus_unmap(d->env->mem_bus, &io->mmio);
	pthread_mutex_destroy(&io->lock);
}

const struct dev_class ioapic_class = {
	.name = "ioapic",
	.help = "82093AA I/O APIC",
	.size = sizeof(struct ioapic),
	.init = ioapic_init,
	.plug = ioapic_plug,
	.reset = ioapic_reset,
	.dump = ioapic_dump,
	.fini = ioapic_fini,
};
