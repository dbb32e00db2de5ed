// SPDX-License-Identifier: BSD-2-Clause
/* device/chipset/pic.c - Two 8259A interrupt controllers in cascade
 *
 * Intel 8259A data sheet (1988); ELCR: Intel 82371AB (PIIX4) 4.2. Lines are set by
 * any thread, ports are used by vCPUs; one lock, held while the output is passed
 * on, so that levels arrive in order. It comes after the locks of devices and
 * before those of LAPICs. */
#include <pthread.h>

#include "base/strbuf.h"
#include "device/chipset/chipset.h"

#define CASCADE 2 /* master input of the slave's output */

enum init_step { INIT_DONE, INIT_ICW2, INIT_ICW3, INIT_ICW4 };

struct pic_chip {
	u8 lines;	/* level of the inputs */
	u8 irr, isr, imr;
	u8 elcr, elcr_writable;
	u8 base;	/* ICW2: vector of input 0 */
	u8 lowest;	/* input that has the lowest priority, 7 after ICW1 */
	enum init_step step;
	bool need_icw4, single, level_all;
	bool auto_eoi, rotate_auto, nested; /* nested: special fully nested mode */
	bool special_mask, read_isr, poll;
};

struct pic {
	struct dev dev;
	pthread_mutex_t lock;
	struct pic_chip chip[2];
	struct region port[2], elcr;
	bool mapped[3];
	bool intr; /* the output */
	void (*out)(void *arg, int level);
	void *out_arg;
};

/* ------------------------------------------------------- one controller */

static u8 level_sensed(const struct pic_chip *c)
{
	return c->level_all ? 0xff : c->elcr;
}

/* Input of the highest priority among @set, -1 if it is empty */
static int first(const struct pic_chip *c, u8 set)
{
	for (unsigned i = 1; i <= 8; i++)
		if (set & BIT((c->lowest + i) & 7))
			return (c->lowest + i) & 7;
	return -1;
}

static unsigned rank(const struct pic_chip *c, int input)
{
	return (unsigned)(input - c->lowest - 1) & 7;
}

/* The input that the chip would have served now, or -1 */
static int request(const struct pic_chip *c, bool master)
{
	int req = first(c, c->irr & ~c->imr), busy;
	u8 isr = c->isr;

	if (req < 0 || c->step != INIT_DONE)
		return -1;
	if (c->special_mask)
		isr &= ~c->imr; /* what is masked blocks nobody */
	if (c->nested && master)
		isr &= ~BIT(CASCADE); /* the slave sorts out its own */
	busy = first(c, isr);
	if (busy >= 0 && rank(c, busy) <= rank(c, req))
		return -1;
	return req;
}

static void serve(struct pic_chip *c, int input)
{
	u8 bit = BIT(input);

	if (!(level_sensed(c) & bit))
		c->irr &= ~bit;
	if (!c->auto_eoi)
		c->isr |= bit;
	else if (c->rotate_auto)
		c->lowest = (u8)input;
}

static void end(struct pic_chip *c, int input, bool rotate)
{
	if (input < 0)
		return;
	c->isr &= ~BIT(input);
	if (rotate)
		c->lowest = (u8)input;
}

static void icw1(struct pic_chip *c, u8 val)
{
	c->need_icw4 = val & BIT(0);
	c->single = val & BIT(1);
	c->level_all = val & BIT(3);
	/* Edge detection starts anew: a line that is up needs another rising edge */
	c->irr = c->lines & level_sensed(c);
	c->isr = c->imr = 0;
	c->lowest = 7;
	c->auto_eoi = c->rotate_auto = c->nested = false;
	c->special_mask = c->read_isr = c->poll = false;
	c->step = INIT_ICW2;
}

static void ocw2(struct pic_chip *c, u8 val)
{
	int input = val & 7;
	u8 isr = c->special_mask ? c->isr & ~c->imr : c->isr;

	switch (val >> 5) {
	case 0:
	case 4:
		c->rotate_auto = val & BIT(7);
		break;
	case 1:
	case 5: /* non-specific EOI */
		end(c, first(c, isr), val & BIT(7));
		break;
	case 3:
	case 7: /* specific EOI */
		end(c, input, val & BIT(7));
		break;
	case 6:
		c->lowest = (u8)input;
		break;
	default: /* 2: no operation */
		break;
	}
}

static void chip_write(struct pic_chip *c, bool high_port, u8 val)
{
	if (!high_port) {
		if (val & BIT(4)) {
			icw1(c, val);
		} else if (val & BIT(3)) { /* OCW3 */
			c->poll = val & BIT(2);
			if (val & BIT(1))
				c->read_isr = val & BIT(0);
			if (val & BIT(6))
				c->special_mask = val & BIT(5);
		} else {
			ocw2(c, val);
		}
		return;
	}
	switch (c->step) {
	case INIT_DONE:
		c->imr = val;
		break;
	case INIT_ICW2:
		c->base = val & 0xf8;
		c->step = !c->single ? INIT_ICW3 : c->need_icw4 ? INIT_ICW4 : INIT_DONE;
		break;
	case INIT_ICW3: /* the wiring is what it is */
		c->step = c->need_icw4 ? INIT_ICW4 : INIT_DONE;
		break;
	case INIT_ICW4:
		c->nested = val & BIT(4);
		c->auto_eoi = val & BIT(1);
		c->step = INIT_DONE;
		break;
	}
}

static u8 chip_read(struct pic_chip *c, bool high_port, bool master)
{
	int input;

	if (c->poll) {
		c->poll = false;
		input = request(c, master);
		if (input < 0)
			return 7;
		serve(c, input);
		return (u8)(0x80 | input);
	}
	if (high_port)
		return c->imr;
	return c->read_isr ? c->isr : c->irr;
}

static void chip_line(struct pic_chip *c, unsigned input, int level)
{
	u8 bit = BIT(input);

	if (level_sensed(c) & bit)
		c->irr = level ? c->irr | bit : c->irr & ~bit;
	else if (level && !(c->lines & bit))
		c->irr |= bit; /* stays, so that a pulse is enough */
	c->lines = level ? c->lines | bit : c->lines & ~bit;
}

/* ------------------------------------------------------------- the pair */

/* @again: say a high output even if it was high before (a request was served) */
static void update_locked(struct pic *p, bool again)
{
	struct pic_chip *m = &p->chip[0];
	bool intr;

	/* The slave's output is followed like a level: another of its requests is
	 * seen by the master even though no edge came in between */
	if (request(&p->chip[1], false) >= 0)
		m->irr |= BIT(CASCADE);
	else
		m->irr &= ~BIT(CASCADE);
	intr = request(m, true) >= 0;
	if (intr == p->intr && !(again && intr))
		return;
	p->intr = intr;
	if (p->out)
		p->out(p->out_arg, intr);
}

void pic_set(void *dev, unsigned irq, int level)
{
	struct pic *p = dev;

	if (irq > 15 || irq == CASCADE)
		return;
	pthread_mutex_lock(&p->lock);
	chip_line(&p->chip[irq / 8], irq & 7, level);
	update_locked(p, false);
	pthread_mutex_unlock(&p->lock);
}

int pic_ack(void *dev, bool peek)
{
	struct pic *p = dev;
	struct pic_chip *c = &p->chip[0];
	int input, vec = -1;

	pthread_mutex_lock(&p->lock);
	input = request(c, true);
	if (input == CASCADE) {
		if (!peek)
			serve(c, input);
		c = &p->chip[1];
		input = request(c, false);
	}
	if (input >= 0) {
		vec = c->base + input;
		if (!peek) {
			serve(c, input);
			update_locked(p, true);
		}
	} else if (!peek) {
		/* The request went away before the acknowledge: spurious, not in service */
		vec = c->base + 7;
	}
	pthread_mutex_unlock(&p->lock);
	return vec;
}

void pic_on_output(struct dev *pic, void (*out)(void *arg, int level), void *arg)
{
	struct pic *p = container_of(pic, struct pic, dev);

	p->out = out;
	p->out_arg = arg;
}

/* ---------------------------------------------------------------- ports */

static u64 pic_read(struct pic *p, unsigned which, u64 off)
{
	u8 val;

	pthread_mutex_lock(&p->lock);
	val = chip_read(&p->chip[which], off & 1, which == 0);
	update_locked(p, false);
	pthread_mutex_unlock(&p->lock);
	return val;
}

static void pic_write(struct pic *p, unsigned which, u64 off, u64 val)
{
	pthread_mutex_lock(&p->lock);
	chip_write(&p->chip[which], off & 1, (u8)val);
	update_locked(p, false);
	pthread_mutex_unlock(&p->lock);
}

static u64 master_read(void *opaque, u64 off, unsigned size) { return pic_read(opaque, 0, off); }
static u64 slave_read(void *opaque, u64 off, unsigned size) { return pic_read(opaque, 1, off); }

static void master_write(void *opaque, u64 off, u64 val, unsigned size)
{
	pic_write(opaque, 0, off, val);
}

static void slave_write(void *opaque, u64 off, u64 val, unsigned size)
{
	pic_write(opaque, 1, off, val);
}

static u64 elcr_read(void *opaque, u64 off, unsigned size)
{
	struct pic *p = opaque;
	u8 val;

	pthread_mutex_lock(&p->lock);
	val = p->chip[off & 1].elcr;
	pthread_mutex_unlock(&p->lock);
	return val;
}

static void elcr_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct pic *p = opaque;
	struct pic_chip *c = &p->chip[off & 1];
	u8 now;

	pthread_mutex_lock(&p->lock);
	c->elcr = (u8)val & c->elcr_writable;
	now = level_sensed(c);
	c->irr = (c->irr & ~now) | (c->lines & now);
	update_locked(p, false);
	pthread_mutex_unlock(&p->lock);
}

static const struct region_ops port_ops[2] = {
	{ .read = master_read, .write = master_write, .min = 1, .max = 1 },
	{ .read = slave_read, .write = slave_write, .min = 1, .max = 1 },
};
static const struct region_ops elcr_ops = {
	.read = elcr_read, .write = elcr_write, .min = 1, .max = 1,
};

/* ----------------------------------------------------------------- life */

static void pic_reset(struct dev *d, enum dev_reset kind)
{
	struct pic *p = container_of(d, struct pic, dev);

	pthread_mutex_lock(&p->lock);
	for (unsigned i = 0; i < 2; i++) {
		u8 lines = p->chip[i].lines; /* belong to the devices */

		/* Silent until the guest has initialised it */
		p->chip[i] = (struct pic_chip){
			.lines = lines, .imr = 0xff, .lowest = 7,
			/* 0, 1, 2, 8 and 13 cannot be level-sensed */
			.elcr_writable = i ? 0xde : 0xf8,
		};
	}
	update_locked(p, false);
	pthread_mutex_unlock(&p->lock);
}

static int pic_init(struct dev *d, const char *opts, struct hk_err *err)
{
	struct pic *p = container_of(d, struct pic, dev);

	pthread_mutex_init(&p->lock, NULL);
	pic_reset(d, DEV_RESET_POWER_ON);
	return 0;
}

static int pic_plug(struct dev *d, struct hk_err *err)
{
	struct pic *p = container_of(d, struct pic, dev);
	struct {
		struct region *r;
		u16 base;
		struct region init;
	} map[3] = {
		{ &p->port[0], 0x20, { .name = "pic1", .size = 2, .ops = &port_ops[0] } },
		{ &p->port[1], 0xa0, { .name = "pic2", .size = 2, .ops = &port_ops[1] } },
		{ &p->elcr, 0x4d0, { .name = "elcr", .size = 2, .ops = &elcr_ops } },
	};

	for (unsigned i = 0; i < ARRAY_LEN(map); i++) {
		int rc;

		*map[i].r = map[i].init;
		map[i].r->opaque = p;
		rc = bus_map(d->env->pio_bus, map[i].r, map[i].base, err);
		if (rc)
			return rc;
		p->mapped[i] = true;
	}
	return 0;
}

static void pic_dump(struct dev *d, struct strbuf *out)
{
	struct pic *p = container_of(d, struct pic, dev);

	pthread_mutex_lock(&p->lock);
	for (unsigned i = 0; i < 2; i++) {
		const struct pic_chip *c = &p->chip[i];

		strbuf_add(out, "pic%u: lines %02x irr %02x isr %02x imr %02x elcr %02x base %02x lowest %u%s\n",
			   i + 1, c->lines, c->irr, c->isr, c->imr, c->elcr, c->base, c->lowest,
			   c->step == INIT_DONE ? "" : " (being initialised)");
	}
	pthread_mutex_unlock(&p->lock);
}

static void pic_fini(struct dev *d)
{
	struct pic *p = container_of(d, struct pic, dev);
	struct region *r[3] = { &p->port[0], &p->port[1], &p->elcr };

	for (unsigned i = 0; i < ARRAY_LEN(r); i++)
		if (p->mapped[i])
			bus_unmap(d->env->pio_bus, r[i]);
	pthread_mutex_destroy(&p->lock);
}

const struct dev_class pic_class = {
	.name = "pic",
	.help = "pair of 8259A interrupt controllers",
	.size = sizeof(struct pic),
	.init = pic_init,
	.plug = pic_plug,
	.reset = pic_reset,
	.dump = pic_dump,
	.fini = pic_fini,
};
