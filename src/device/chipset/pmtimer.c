// SPDX-License-Identifier: BSD-2-Clause
/* device/chipset/pmtimer.c - ACPI power management timer
 *
 * ACPI 5.0 4.8.2.1: 3.579545 MHz, 32 bits (FADT flag TMR_VAL_EXT), read-only. It
 * never interrupts and has no state but its moment of birth. [any] */
#include "base/strbuf.h"
#include "device/chipset/chipset.h"

#define PM_TIMER_PORT 0x408
#define PM_TIMER_HZ 3579545ull

struct pmtimer {
	struct dev dev;
	struct region port;
	bool mapped;
	_Atomic u64 start_ns;
};

static u32 ticks(struct pmtimer *p)
{
	return (u32)muldiv64(clock_ns(p->dev.env->clock) - p->start_ns, PM_TIMER_HZ, NS_PER_SEC);
}

static u64 pmtimer_read(void *opaque, u64 off, unsigned size)
{
	return ticks(opaque) >> (8 * off);
}

static const struct region_ops pmtimer_ops = { .read = pmtimer_read, .min = 1, .max = 4 };

static void pmtimer_reset(struct dev *d, enum dev_reset kind)
{
	struct pmtimer *p = container_of(d, struct pmtimer, dev);

	p->start_ns = clock_ns(d->env->clock);
}

static int pmtimer_plug(struct dev *d, struct hk_err *err)
{
	struct pmtimer *p = container_of(d, struct pmtimer, dev);
	int rc;

	pmtimer_reset(d, DEV_RESET_POWER_ON);
	p->port = (struct region){ .name = "pm-timer", .size = 4, .ops = &pmtimer_ops, .opaque = p };
	rc = bus_map(d->env->pio_bus, &p->port, PM_TIMER_PORT, err);
	p->mapped = !rc;
	return rc;
}

static void pmtimer_dump(struct dev *d, struct strbuf *out)
{
	strbuf_add(out, "pm-timer: %08x\n", ticks(container_of(d, struct pmtimer, dev)));
}

static void pmtimer_fini(struct dev *d)
{
	struct pmtimer *p = container_of(d, struct pmtimer, dev);

	if (p->mapped)
		bus_unmap(d->env->pio_bus, &p->port);
}

const struct dev_class pmtimer_class = {
	.name = "pm-timer",
	.help = "ACPI power management timer",
	.size = sizeof(struct pmtimer),
	.plug = pmtimer_plug,
	.reset = pmtimer_reset,
	.dump = pmtimer_dump,
	.fini = pmtimer_fini,
};
