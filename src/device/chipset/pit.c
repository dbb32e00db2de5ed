// SPDX-License-Identifier: BSD-2-Clause
/* device/chipset/pit.c - 8254 interval timer and port 0x61
 *
 * Intel 82C54 data sheet (1994); port 0x61: PIIX4 4.4 NMI status and control.
 * Channel 0 drives IRQ 0, channel 2 the speaker. vCPUs use the ports, the loop
 * ticks channel 0; one lock.
 *
 * Nothing counts: a channel remembers when its count began, and reads are worked
 * out from the clock, so they are right to the nanosecond. Kernels measure the
 * CPU's speed with channel 2. */
#include <pthread.h>

#include "base/strbuf.h"
#include "device/chipset/chipset.h"
#include "device/chipset/chipset_int.h"

#define PIT_HZ 1193182ull
#define MIN_TICK_NS 50000ull /* a guest must not keep the host busy */
#define MAX_OWED 16	     /* ticks delivered late, one by one; older ones are dropped */
#define REFRESH_NS 15085ull  /* port 0x61 bit 4 toggles so often */

enum rw_mode { RW_LATCH, RW_LSB, RW_MSB, RW_BOTH };

struct channel {
	u8 mode;	 /* 0..5 */
	enum rw_mode rw;
	bool bcd;
	u32 reload;	 /* 1..65536 (10000) */
	bool loaded;	 /* a count was written since the control word */
	bool started;	 /* counting has begun: modes 1 and 5 wait for the gate */
	bool gate;
	u64 start_ns;	 /* when the count began, shifted by pauses of the gate */
	u64 pause_ns;	 /* gate low: when it fell */
	bool paused;
	u32 next_reload; /* modes 2, 3: takes over at the end of the period; 0 = none */
	u64 next_ns;
	bool write_msb;	 /* RW_BOTH: the next byte is the high one */
	bool read_msb;
	u8 write_lsb;
	u16 latch;
	u8 latch_left;	 /* bytes of the latched count still to be read */
	bool status_latched;
	u8 status;
};

struct pit {
	struct dev dev;
	pthread_mutex_t lock;
	struct region ports, port61;
	bool mapped, mapped61;
	struct channel ch[3];
	u8 port61_bits;	/* bits 0-3 as written */
	bool running;	/* between start and stop */
	bool irq_off;	/* HPET legacy replacement took IRQ 0 */
	struct timer timer;
	u64 tick;	/* index of the next edge of channel 0's output since start_ns */
	bool armed;
};

/* ------------------------------------------------- counting (no state) */

static u64 now_ns(struct pit *p) { return clock_ns(p->dev.env->clock); }
static u64 ticks_to_ns(u64 ticks)
{
	return ((u128)ticks * NS_PER_SEC + PIT_HZ - 1) / PIT_HZ;
}

static u64 elapsed(const struct channel *c, u64 now)
{
	u64 at = c->paused ? c->pause_ns : now;

	return at > c->start_ns ? muldiv64(at - c->start_ns, PIT_HZ, NS_PER_SEC) : 0;
}

/* A count that was written in mode 2 or 3 while another one ran takes over in time */
static void settle_locked(struct pit *p, unsigned n, u64 now)
{
	struct channel *c = &p->ch[n];

	if (!c->next_reload || now < c->next_ns || c->paused)
		return;
	c->reload = c->next_reload;
	c->start_ns = c->next_ns;
	c->next_reload = 0;
	if (n == 0)
		p->tick = 0; /* the edge that ended the old count is still to be given */
}

static bool counting(const struct channel *c)
{
	return c->loaded && c->started;
}

/* The OUT pin */
static bool out(const struct channel *c, u64 now)
{
	u64 d;

	if (!counting(c))
		return c->mode != 0;
	d = elapsed(c, now);
	switch (c->mode) {
	case 0:
	case 1:
		return d >= c->reload;
	case 2:
		return c->paused || d % c->reload != c->reload - 1;
	case 3:
		return c->paused || d % c->reload < (c->reload + 1) / 2;
	default: /* strobes are one tick low */
		return d != c->reload;
	}
}

static u32 modulus(const struct channel *c)
{
	return c->bcd ? 10000 : 65536;
}

static u16 to_bcd(u32 v)
{
	return (u16)(v % 10 | v / 10 % 10 << 4 | v / 100 % 10 << 8 | v / 1000 % 10 << 12);
}

static u32 from_bcd(u32 v)
{
	return (v & 15) + (v >> 4 & 15) * 10 + (v >> 8 & 15) * 100 + (v >> 12 & 15) * 1000;
}

/* The counting element, as a read finds it */
static u16 count(const struct channel *c, u64 now)
{
	u32 n = c->reload, v;
	u64 d;

	if (!counting(c)) {
		v = n % modulus(c);
		return c->bcd ? to_bcd(v) : (u16)v;
	}
	d = elapsed(c, now);
	switch (c->mode) {
	case 2:
		v = n - (u32)(d % n);
		break;
	case 3: /* by twos, each half of the period from the start; odd counts begin even */
		d %= n;
		if (d >= (n + 1) / 2)
			d -= (n + 1) / 2;
		v = (n & ~1u) - (u32)(2 * d);
		break;
	default: /* goes on below zero */
		v = (u32)((n + modulus(c) - d % modulus(c)) % modulus(c));
		break;
	}
	v %= modulus(c);
	return c->bcd ? to_bcd(v) : (u16)v;
}

/* --------------------------------------------------- channel 0's ticks */

static bool periodic(const struct channel *c)
{
	return c->mode == 2 || c->mode == 3;
}

/* When does OUT rise for the @k-th time (1, 2, ...)? */
static u64 edge_ns(const struct channel *c, u64 k)
{
	u64 ticks = periodic(c) ? k * c->reload : c->mode == 4 ? c->reload + 1 : c->reload;

	return c->start_ns + ticks_to_ns(ticks);
}

static void arm_locked(struct pit *p, u64 not_before)
{
	struct channel *c = &p->ch[0];
	bool want = counting(c) && (c->mode == 0 || c->mode == 4 || periodic(c));

	p->armed = want && (periodic(c) || p->tick == 1);
	if (p->armed && p->running)
		timer_arm(&p->timer, MAX(edge_ns(c, p->tick), not_before));
	else
		timer_cancel(&p->timer);
}

/* [loop] */
static void tick_fn(void *arg)
{
	struct pit *p = arg;
	struct channel *c = &p->ch[0];
	u64 now, period, passed, soonest = 0;

	pthread_mutex_lock(&p->lock);
	now = now_ns(p);
	settle_locked(p, 0, now);
	if (!p->running || !p->armed || now < edge_ns(c, p->tick)) {
		arm_locked(p, 0);
		pthread_mutex_unlock(&p->lock);
		return;
	}
	p->tick++;
	if (periodic(c)) {
		/* A guest that counts ticks gets late ones too, spaced so that it can take
		 * each; after a long pause (stopped VM, slept host) it does not. */
		period = ticks_to_ns(c->reload);
		passed = elapsed(c, now) / c->reload;
		if (passed > p->tick + MAX_OWED)
			p->tick = passed - MAX_OWED;
		soonest = now + MAX(period / 2, MIN_TICK_NS);
	}
	arm_locked(p, soonest);
	if (!p->irq_off)
		irq_pulse(&p->dev.env->isa_irq[0]);
	pthread_mutex_unlock(&p->lock);
}

static void restart_locked(struct pit *p, unsigned n, u64 now)
{
	struct channel *c = &p->ch[n];

	c->start_ns = now;
	c->started = true;
	c->next_reload = 0;
	/* Modes 0, 2, 3, 4: a low gate holds the count */
	c->paused = !c->gate && c->mode != 1 && c->mode != 5;
	c->pause_ns = now;
	if (n == 0) {
		p->tick = 1;
		arm_locked(p, 0);
	}
}

/* --------------------------------------------------------------- access */

static void load_locked(struct pit *p, unsigned n, u32 val)
{
	struct channel *c = &p->ch[n];
	u64 now = now_ns(p), period;
	u32 reload = c->bcd ? from_bcd(val) : val;

	if (!reload)
		reload = modulus(c);
	if (c->mode == 3 && reload == 1)
		reload = 2; /* 1 is illegal: it has no second half */
	if (counting(c) && periodic(c) && !c->paused) {
		settle_locked(p, n, now);
		period = elapsed(c, now) / c->reload + 1;
		c->next_reload = reload;
		c->next_ns = c->start_ns + ticks_to_ns(period * c->reload);
		if (n == 0) {
			p->tick = MIN(p->tick, period);
			arm_locked(p, 0);
		}
		return;
	}
	c->reload = reload;
	c->loaded = true;
	if (c->mode == 1 || c->mode == 5)
		return; /* the gate starts it; one that runs is not disturbed */
	restart_locked(p, n, now);
}

static void write_count_locked(struct pit *p, unsigned n, u8 val)
{
	struct channel *c = &p->ch[n];

	switch (c->rw) {
	case RW_LSB:
		load_locked(p, n, val);
		break;
	case RW_MSB:
		load_locked(p, n, (u32)val << 8);
		break;
	case RW_BOTH:
		if (c->write_msb) {
			c->write_msb = false;
			load_locked(p, n, (u32)val << 8 | c->write_lsb);
		} else {
			c->write_msb = true;
			c->write_lsb = val;
			if (c->mode == 0) { /* the first byte stops it and takes OUT low */
				c->loaded = false;
				if (n == 0)
					arm_locked(p, 0);
			}
		}
		break;
	case RW_LATCH: /* no control word yet */
		break;
	}
}

static void latch_count(struct channel *c, u64 now)
{
	if (c->latch_left)
		return; /* an unread latch stays */
	c->latch = count(c, now);
	c->latch_left = c->rw == RW_BOTH ? 2 : 1;
}

static void latch_status(struct channel *c, u64 now)
{
	if (c->status_latched)
		return;
	c->status = (u8)(out(c, now) << 7 | (!c->loaded || c->next_reload) << 6 | c->rw << 4 |
			 c->mode << 1 | c->bcd);
	c->status_latched = true;
}

static u8 read_count(struct channel *c, u64 now)
{
	u16 v;
	bool msb;

	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	if (c->latch_left) {
		msb = c->rw == RW_MSB || (c->rw == RW_BOTH && c->latch_left == 1);
		c->latch_left--;
		v = c->latch;
	} else {
		msb = c->rw == RW_MSB || (c->rw == RW_BOTH && c->read_msb);
		if (c->rw == RW_BOTH)
			c->read_msb = !c->read_msb;
		v = count(c, now);
	}
	return (u8)(msb ? v >> 8 : v);
}

static void control_locked(struct pit *p, u8 val)
{
	unsigned n = val >> 6;
	u64 now = now_ns(p);
	struct channel *c;

	for (unsigned i = 0; i < 3; i++)
		settle_locked(p, i, now);
	if (n == 3) { /* read-back: a zero bit asks */
		for (unsigned i = 0; i < 3; i++) {
			if (!(val & BIT(i + 1)))
				continue;
			if (!(val & BIT(5)))
				latch_count(&p->ch[i], now);
			if (!(val & BIT(4)))
				latch_status(&p->ch[i], now);
		}
		return;
	}
	c = &p->ch[n];
	if ((val >> 4 & 3) == RW_LATCH) {
		latch_count(c, now);
		return;
	}
	c->rw = val >> 4 & 3;
	c->mode = val >> 1 & 7;
	if (c->mode > 5)
		c->mode &= 3; /* modes 2 and 3 have two codes */
	c->bcd = val & 1;
	c->loaded = c->started = c->paused = false;
	c->write_msb = c->read_msb = false;
	c->latch_left = 0;
	c->status_latched = false;
	c->next_reload = 0;
	if (n == 0)
		arm_locked(p, 0);
}

static void gate_locked(struct pit *p, unsigned n, bool level)
{
	struct channel *c = &p->ch[n];
	u64 now = now_ns(p);

	if (level == c->gate)
		return;
	settle_locked(p, n, now);
	c->gate = level;
	if (!c->loaded)
		return;
	switch (c->mode) {
	case 0:
	case 4:
		if (!level && !c->paused) {
			c->paused = true;
			c->pause_ns = now;
		} else if (level && c->paused) {
			c->paused = false;
			c->start_ns += now - c->pause_ns;
		}
		break;
	case 1:
	case 5:
		if (level)
			restart_locked(p, n, now);
		break;
	default: /* a rising gate begins a new period */
		if (level) {
			if (c->next_reload)
				c->reload = c->next_reload;
			restart_locked(p, n, now);
		} else {
			c->paused = true;
			c->pause_ns = now;
		}
		break;
	}
}

static u64 pit_read(void *opaque, u64 off, unsigned size)
{
	struct pit *p = opaque;
	u64 now;
	u8 val = 0xff; /* the control register cannot be read */

	pthread_mutex_lock(&p->lock);
	if (off < 3) {
		now = now_ns(p);
		settle_locked(p, (unsigned)off, now);
		val = read_count(&p->ch[off], now);
	}
	pthread_mutex_unlock(&p->lock);
	return val;
}

static void pit_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct pit *p = opaque;

	pthread_mutex_lock(&p->lock);
	if (off < 3)
		write_count_locked(p, (unsigned)off, (u8)val);
	else
		control_locked(p, (u8)val);
	pthread_mutex_unlock(&p->lock);
}

static u64 port61_read(void *opaque, u64 off, unsigned size)
{
	struct pit *p = opaque;
	u64 now;
	u8 val;

	pthread_mutex_lock(&p->lock);
	now = now_ns(p);
	settle_locked(p, 2, now);
	val = p->port61_bits | (u8)((now / REFRESH_NS & 1) << 4 | out(&p->ch[2], now) << 5);
	pthread_mutex_unlock(&p->lock);
	return val;
}

static void port61_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct pit *p = opaque;

	pthread_mutex_lock(&p->lock);
	p->port61_bits = val & 0xf;
	gate_locked(p, 2, val & 1);
	pthread_mutex_unlock(&p->lock);
}

static const struct region_ops pit_ops = {
	.read = pit_read, .write = pit_write, .min = 1, .max = 1,
};
static const struct region_ops port61_ops = {
	.read = port61_read, .write = port61_write, .min = 1, .max = 1,
};

/* ----------------------------------------------------------------- life */

void pit_connect_irq(struct dev *d, bool on)
{
	struct pit *p = container_of(d, struct pit, dev);

	pthread_mutex_lock(&p->lock);
	p->irq_off = !on;
	pthread_mutex_unlock(&p->lock);
}

static void pit_reset(struct dev *d, enum dev_reset kind)
{
	struct pit *p = container_of(d, struct pit, dev);

	pthread_mutex_lock(&p->lock);
	for (unsigned i = 0; i < 3; i++)
		p->ch[i] = (struct channel){ .reload = 65536, .gate = i != 2, .rw = RW_BOTH };
	p->port61_bits = 0;
	p->irq_off = false;
	p->tick = 1;
	p->armed = false;
	pthread_mutex_unlock(&p->lock);
	timer_cancel(&p->timer);
}

static int pit_init(struct dev *d, const char *opts, struct hk_err *err)
{
	struct pit *p = container_of(d, struct pit, dev);

	pthread_mutex_init(&p->lock, NULL);
	pit_reset(d, DEV_RESET_POWER_ON);
	return 0;
}

static int pit_plug(struct dev *d, struct hk_err *err)
{
	struct pit *p = container_of(d, struct pit, dev);
	int rc;

	timer_init(&p->timer, d->env->loop, tick_fn, p);
	p->ports = (struct region){ .name = "pit", .size = 4, .ops = &pit_ops, .opaque = p };
	p->port61 = (struct region){ .name = "port61", .size = 1, .ops = &port61_ops, .opaque = p };
	rc = bus_map(d->env->pio_bus, &p->ports, 0x40, err);
	p->mapped = !rc;
	if (rc)
		return rc;
	rc = bus_map(d->env->pio_bus, &p->port61, 0x61, err);
	p->mapped61 = !rc;
	return rc;
}

static int pit_start(struct dev *d)
{
	struct pit *p = container_of(d, struct pit, dev);

	pthread_mutex_lock(&p->lock);
	p->running = true;
	arm_locked(p, 0);
	pthread_mutex_unlock(&p->lock);
	return 0;
}

static void pit_stop(struct dev *d)
{
	struct pit *p = container_of(d, struct pit, dev);

	pthread_mutex_lock(&p->lock);
	p->running = false;
	pthread_mutex_unlock(&p->lock);
	timer_cancel_sync(&p->timer);
}

static void pit_dump(struct dev *d, struct strbuf *buf)
{
	struct pit *p = container_of(d, struct pit, dev);

	pthread_mutex_lock(&p->lock);
	for (unsigned i = 0; i < 3; i++) {
		const struct channel *c = &p->ch[i];

		strbuf_add(buf, "pit%u: mode %u reload %u count %u gate %d out %d%s\n", i, c->mode,
			   c->reload, count(c, now_ns(p)), c->gate, out(c, now_ns(p)),
			   counting(c) ? "" : " idle");
	}
	pthread_mutex_unlock(&p->lock);
}

static void pit_fini(struct dev *d)
{
	struct pit *p = container_of(d, struct pit, dev);

	if (p->mapped)
		bus_unmap(d->env->pio_bus, &p->ports);
	if (p->mapped61)
		bus_unmap(d->env->pio_bus, &p->port61);
	timer_cancel_sync(&p->timer);
	pthread_mutex_destroy(&p->lock);
}

const struct dev_class pit_class = {
	.name = "pit",
	.help = "8254 interval timer",
	.size = sizeof(struct pit),
	.init = pit_init,
	.plug = pit_plug,
	.start = pit_start,
	.stop = pit_stop,
	.reset = pit_reset,
	.dump = pit_dump,
	.fini = pit_fini,
};
