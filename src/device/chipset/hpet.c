// SPDX-License-Identifier: BSD-2-Clause
/* device/chipset/hpet.c - High precision event timers
 *
 * IA-PC HPET specification 1.0a. 64-bit main counter at 10 MHz, eight timers,
 * each periodic or one-shot, 64 or 32 bit wide, interrupting by an IOAPIC pin,
 * a message (FSB) or, timers 0 and 1, in place of the PIT and the RTC. vCPUs use
 * the page, the loop fires; one lock, held while lines are set. */
#include <pthread.h>

#include "base/strbuf.h"
#include "device/chipset/chipset.h"
#include "device/chipset/chipset_int.h"

#define HPET_BASE 0xfed00000ull
#define TICK_NS 100ull
#define TICK_FS (TICK_NS * 1000000)
#define NUM_TIMERS 8
#define MIN_PERIOD_NS 50000ull /* a guest must not keep the host busy */
#define NEVER (~0ull)

_Static_assert((HPET_CAP_ID >> 8 & 0x1f) == NUM_TIMERS - 1, "the id word counts the timers");

#define CONF_ENABLE BIT64(0)
#define CONF_LEGACY BIT64(1)

/* Timer configuration (2.3.8) */
#define TN_LEVEL BIT64(1)
#define TN_INT_ENABLE BIT64(2)
#define TN_PERIODIC BIT64(3)
#define TN_PERIODIC_CAP BIT64(4)
#define TN_64BIT_CAP BIT64(5)
#define TN_VAL_SET BIT64(6)
#define TN_32BIT BIT64(8)
#define TN_ROUTE_SHIFT 9
#define TN_FSB BIT64(14)
#define TN_FSB_CAP BIT64(15)
#define TN_WRITABLE (TN_LEVEL | TN_INT_ENABLE | TN_PERIODIC | TN_VAL_SET | TN_32BIT | \
		     31ull << TN_ROUTE_SHIFT | TN_FSB)
#define ROUTES 0x00f00000ull /* pins 20..23, that no ISA device has */
#define TN_CAPS (TN_PERIODIC_CAP | TN_64BIT_CAP | TN_FSB_CAP | ROUTES << 32)

/* Lines we drive: GSI by number, then the two legacy ones */
#define LINE_IRQ0 24
#define LINE_IRQ8 25
#define NO_LINE 31

struct hpet_timer {
	u64 conf, cmp, period, fsb;
	u64 due_ns; /* when the counter meets cmp; NEVER */
};

struct hpet {
	struct dev dev;
	pthread_mutex_t lock;
	struct region mmio;
	bool mapped, running;
	struct dev *pit, *rtc;
	u64 conf, status;
	u64 count;    /* at base_ns; while disabled: the counter */
	u64 base_ns;
	u32 lines;    /* level-triggered lines that are up */
	struct hpet_timer t[NUM_TIMERS];
	struct timer timer;
};

static u64 now_ns(struct hpet *h) { return clock_ns(h->dev.env->clock); }

static u64 counter(const struct hpet *h, u64 now)
{
	return h->conf & CONF_ENABLE ? h->count + (now - h->base_ns) / TICK_NS : h->count;
}

static u64 width_mask(const struct hpet_timer *t)
{
	return t->conf & TN_32BIT ? 0xffffffff : ~0ull;
}

static unsigned line_of(const struct hpet *h, unsigned n)
{
	unsigned route = h->t[n].conf >> TN_ROUTE_SHIFT & 31;

	if ((h->conf & CONF_LEGACY) && n < 2)
		return n ? LINE_IRQ8 : LINE_IRQ0;
	return ROUTES & BIT64(route) ? route : NO_LINE;
}

static void set_line(struct hpet *h, unsigned line, int level)
{
	const struct dev_env *env = h->dev.env;

	if (line < ARRAY_LEN(env->gsi))
		irq_set(&env->gsi[line], level);
	else if (line == LINE_IRQ0)
		irq_set(&env->isa_irq[0], level);
	else if (line == LINE_IRQ8)
		irq_set(&env->isa_irq[8], level);
}

/* Level-triggered timers hold their line while their status bit is set */
static void update_lines_locked(struct hpet *h)
{
	u32 want = 0, changed;

	for (unsigned n = 0; n < NUM_TIMERS; n++) {
		u64 c = h->t[n].conf;

		if ((h->status & BIT64(n)) && (c & TN_LEVEL) && (c & TN_INT_ENABLE) && !(c & TN_FSB))
			want |= BIT(line_of(h, n));
	}
	want &= ~BIT(NO_LINE);
	changed = want ^ h->lines;
	h->lines = want;
	for (unsigned line = 0; line < NO_LINE; line++)
		if (changed & BIT(line))
			set_line(h, line, want >> line & 1);
}

/* ------------------------------------------------------------ comparing */

/* Work out due_ns anew from the counter and the comparator */
static void aim_locked(struct hpet *h, unsigned n, u64 now)
{
	struct hpet_timer *t = &h->t[n];
	u64 cur = counter(h, now), ticks = (t->cmp - cur) & width_mask(t);

	t->due_ns = NEVER;
	if (!(h->conf & CONF_ENABLE) || ticks > (~0ull >> 2) / TICK_NS)
		return;
	/* The end of the tick in which the counter meets the comparator is early enough */
	t->due_ns = h->base_ns + (cur - h->count + ticks) * TICK_NS;
}

static void arm_locked(struct hpet *h)
{
	u64 first = NEVER;

	for (unsigned n = 0; n < NUM_TIMERS; n++)
		if (h->t[n].conf & TN_INT_ENABLE)
			first = MIN(first, h->t[n].due_ns);
	if (first != NEVER && h->running)
		timer_arm(&h->timer, first);
	else
		timer_cancel(&h->timer);
}

static void interrupt_locked(struct hpet *h, unsigned n)
{
	struct hpet_timer *t = &h->t[n];
	unsigned line = line_of(h, n);

	if (!(t->conf & TN_INT_ENABLE))
		return;
	if (t->conf & TN_FSB) {
		msi_send(&h->dev.env->msi, t->fsb >> 32, (u32)t->fsb);
	} else if (t->conf & TN_LEVEL) {
		h->status |= BIT64(n);
		update_lines_locked(h);
	} else {
		set_line(h, line, 1);
		set_line(h, line, 0);
	}
}

/* Everything that is due happens now; called before the guest changes anything */
static void run_locked(struct hpet *h, u64 now)
{
	for (unsigned n = 0; n < NUM_TIMERS; n++) {
		struct hpet_timer *t = &h->t[n];
		u64 late;

		if (now < t->due_ns)
			continue;
		if ((t->conf & TN_PERIODIC) && t->period) {
			/* On to the first multiple that is still to come */
			late = (counter(h, now) - t->cmp) & width_mask(t);
			t->cmp = (t->cmp + (late / t->period + 1) * t->period) & width_mask(t);
			aim_locked(h, n, now);
			t->due_ns = MAX(t->due_ns, now + MIN_PERIOD_NS);
		} else {
			/* Again when the counter has come round */
			t->due_ns = t->conf & TN_32BIT ? t->due_ns + (BIT64(32) * TICK_NS) : NEVER;
		}
		interrupt_locked(h, n);
	}
}

/* [loop] */
static void timer_fn(void *arg)
{
	struct hpet *h = arg;

	pthread_mutex_lock(&h->lock);
	if (h->running)
		run_locked(h, now_ns(h));
	arm_locked(h);
	pthread_mutex_unlock(&h->lock);
}

/* ------------------------------------------------------------ registers */

static u64 read_reg_locked(struct hpet *h, u64 reg, u64 now)
{
	struct hpet_timer *t;

	switch (reg) {
	case 0x000:
		return TICK_FS << 32 | HPET_CAP_ID;
	case 0x010:
		return h->conf;
	case 0x020:
		return h->status;
	case 0x0f0:
		return counter(h, now);
	default:
		break;
	}
	if (reg < 0x100 || (reg - 0x100) / 0x20 >= NUM_TIMERS)
		return 0;
	t = &h->t[(reg - 0x100) / 0x20];
	switch (reg & 0x18) {
	case 0x00:
		return t->conf;
	case 0x08:
		return t->cmp;
	case 0x10:
		return t->fsb;
	default:
		return 0;
	}
}

static void write_conf_locked(struct hpet *h, u64 val, u64 now)
{
	u64 old = h->conf;

	val &= CONF_ENABLE | CONF_LEGACY;
	if ((old ^ val) & CONF_ENABLE) {
		h->count = counter(h, now);
		h->base_ns = now;
	}
	h->conf = val;
	if ((old ^ val) & CONF_LEGACY) {
		if (h->pit)
			pit_connect_irq(h->pit, !(val & CONF_LEGACY));
		if (h->rtc)
			rtc_connect_irq(h->rtc, !(val & CONF_LEGACY));
	}
	update_lines_locked(h);
	if ((old ^ val) & CONF_ENABLE)
		for (unsigned n = 0; n < NUM_TIMERS; n++)
			aim_locked(h, n, now);
}

static void write_timer_locked(struct hpet *h, unsigned n, u64 reg, u64 val, u64 now)
{
	struct hpet_timer *t = &h->t[n];

	switch (reg) {
	case 0x00:
		t->conf = (val & TN_WRITABLE) | TN_CAPS;
		if (t->conf & TN_32BIT) {
			t->cmp = (u32)t->cmp;
			t->period = (u32)t->period;
		}
		if (!(t->conf & TN_LEVEL))
			h->status &= ~BIT64(n);
		update_lines_locked(h);
		aim_locked(h, n, now);
		break;
	case 0x08:
		val &= width_mask(t);
		/* 2.3.9.2.2: a periodic timer's comparator itself is only reached after VAL_SET;
		 * each write is the period from then on */
		if (!(t->conf & TN_PERIODIC) || (t->conf & TN_VAL_SET))
			t->cmp = val;
		if (t->conf & TN_PERIODIC)
			t->period = val;
		t->conf &= ~TN_VAL_SET;
		aim_locked(h, n, now);
		break;
	case 0x10:
		t->fsb = val;
		break;
	default:
		break;
	}
}

static void write_reg_locked(struct hpet *h, u64 reg, u64 val, u64 now)
{
	switch (reg) {
	case 0x010:
		write_conf_locked(h, val, now);
		return;
	case 0x020: /* write 1 to clear */
		h->status &= ~val;
		update_lines_locked(h);
		return;
	case 0x0f0:
		if (!(h->conf & CONF_ENABLE)) /* else undefined (2.3.7): ignored */
			h->count = val;
		return;
	default:
		break;
	}
	if (reg >= 0x100 && (reg - 0x100) / 0x20 < NUM_TIMERS)
		write_timer_locked(h, (unsigned)(reg - 0x100) / 0x20, reg & 0x18, val, now);
}

static u64 hpet_read(void *opaque, u64 off, unsigned size)
{
	struct hpet *h = opaque;
	u64 val, now;

	pthread_mutex_lock(&h->lock);
	now = now_ns(h);
	if (off >= 0x100)
		run_locked(h, now);
	val = read_reg_locked(h, off & ~7ull, now);
	pthread_mutex_unlock(&h->lock);
	return off & 4 ? val >> 32 : val;
}

static void hpet_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct hpet *h = opaque;
	u64 now, reg = off & ~7ull, old;

	pthread_mutex_lock(&h->lock);
	now = now_ns(h);
	run_locked(h, now);
	if (size == 4) {
		/* Half of a register; the other half keeps its value, and of bits that are
		 * cleared by writing 1 none is touched */
		old = reg == 0x020 ? 0 : read_reg_locked(h, reg, now);
		val = off & 4 ? val << 32 | (u32)old : (old & 0xffffffff00000000ull) | (u32)val;
		/* The period is what is written; the accumulator is no part of it */
		if (reg >= 0x100 && (reg & 0x18) == 0x08 && (off & 4) == 0 &&
		    ((reg - 0x100) / 0x20) < NUM_TIMERS) {
			struct hpet_timer *t = &h->t[(reg - 0x100) / 0x20];

			if ((t->conf & TN_PERIODIC) && !(t->conf & TN_VAL_SET))
				val = (t->period & 0xffffffff00000000ull) | (u32)val;
		}
	}
	write_reg_locked(h, reg, val, now);
	arm_locked(h);
	pthread_mutex_unlock(&h->lock);
}

static const struct region_ops hpet_ops = {
	.read = hpet_read, .write = hpet_write, .min = 4, .max = 8,
};

/* ----------------------------------------------------------------- life */

void hpet_replaces(struct dev *d, struct dev *pit, struct dev *rtc)
{
	struct hpet *h = container_of(d, struct hpet, dev);

	h->pit = pit;
	h->rtc = rtc;
}

static void hpet_reset(struct dev *d, enum dev_reset kind)
{
	struct hpet *h = container_of(d, struct hpet, dev);

	pthread_mutex_lock(&h->lock);
	h->status = 0;
	write_conf_locked(h, 0, 0);
	h->count = 0;
	for (unsigned n = 0; n < NUM_TIMERS; n++)
		h->t[n] = (struct hpet_timer){ .conf = TN_CAPS, .cmp = ~0ull, .due_ns = NEVER };
	pthread_mutex_unlock(&h->lock);
	timer_cancel(&h->timer);
}

static int hpet_init(struct dev *d, const char *opts, struct hk_err *err)
{
	struct hpet *h = container_of(d, struct hpet, dev);

	pthread_mutex_init(&h->lock, NULL);
	hpet_reset(d, DEV_RESET_POWER_ON);
	return 0;
}

static int hpet_plug(struct dev *d, struct hk_err *err)
{
	struct hpet *h = container_of(d, struct hpet, dev);
	int rc;

	timer_init(&h->timer, d->env->loop, timer_fn, h);
	h->mmio = (struct region){ .name = "hpet", .size = 0x400, .ops = &hpet_ops, .opaque = h };
	rc = bus_map(d->env->mem_bus, &h->mmio, HPET_BASE, err);
	h->mapped = !rc;
	return rc;
}

static int hpet_start(struct dev *d)
{
	struct hpet *h = container_of(d, struct hpet, dev);

	pthread_mutex_lock(&h->lock);
	h->running = true;
	arm_locked(h);
	pthread_mutex_unlock(&h->lock);
	return 0;
}

static void hpet_stop(struct dev *d)
{
	struct hpet *h = container_of(d, struct hpet, dev);

	pthread_mutex_lock(&h->lock);
	h->running = false;
	pthread_mutex_unlock(&h->lock);
	timer_cancel_sync(&h->timer);
}

static void hpet_dump(struct dev *d, struct strbuf *out)
{
	struct hpet *h = container_of(d, struct hpet, dev);

	pthread_mutex_lock(&h->lock);
	strbuf_add(out, "hpet: conf %llx status %llx counter %llx\n", (unsigned long long)h->conf,
		   (unsigned long long)h->status, (unsigned long long)counter(h, now_ns(h)));
	for (unsigned n = 0; n < NUM_TIMERS; n++)
		if (h->t[n].conf & TN_INT_ENABLE)
			strbuf_add(out, "hpet%u: conf %08x cmp %llx period %llx\n", n,
				   (u32)h->t[n].conf, (unsigned long long)h->t[n].cmp,
				   (unsigned long long)h->t[n].period);
	pthread_mutex_unlock(&h->lock);
}

static void hpet_fini(struct dev *d)
{
	struct hpet *h = container_of(d, struct hpet, dev);

	if (h->mapped)
		bus_unmap(d->env->mem_bus, &h->mmio);
	timer_cancel_sync(&h->timer);
	pthread_mutex_destroy(&h->lock);
}

const struct dev_class hpet_class = {
	.name = "hpet",
	.help = "high precision event timers",
	.size = sizeof(struct hpet),
	.init = hpet_init,
	.plug = hpet_plug,
	.start = hpet_start,
	.stop = hpet_stop,
	.reset = hpet_reset,
	.dump = hpet_dump,
	.fini = hpet_fini,
};
