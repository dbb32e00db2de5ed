// SPDX-License-Identifier: BSD-2-Clause
/* test/unit/device/chipset/board.h - A board for one device: buses, a clock moved by
 * hand, a loop stepped by hand, and recorders where lines, messages and exits go */
#ifndef TEST_CHIPSET_BOARD_H
#define TEST_CHIPSET_BOARD_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/strbuf.h"
#include "device/chipset/chipset.h"

#define BOARD_START_NS 5000000000ull
#define BOARD_MSIS 64

struct line {
	int level;
	unsigned rises;
};

struct board {
	struct clock_fake clock;
	struct loop *loop;
	struct bus mem_bus, pio_bus;
	struct mem mem;
	struct dev_env env;
	struct line isa[16], gsi[24];
	struct { u64 addr; u32 data; } msi[BOARD_MSIS];
	unsigned num_msi;
	int msi_rc;
	unsigned exits;
	enum hk_exit exit;
	int exit_value;
	int acpi; /* last value of the callback; -1 = never called */
};

static inline void line_set(struct line *l, int level)
{
	if (level && !l->level)
		l->rises++;
	l->level = level;
}

static inline void board_isa(void *arg, unsigned n, int level)
{
	line_set(&((struct board *)arg)->isa[n], level);
}

static inline void board_gsi(void *arg, unsigned n, int level)
{
	line_set(&((struct board *)arg)->gsi[n], level);
}

static inline int board_msi(void *arg, u64 addr, u32 data)
{
	struct board *b = arg;

	assert_true(b->num_msi < BOARD_MSIS);
	b->msi[b->num_msi].addr = addr;
	b->msi[b->num_msi++].data = data;
	return b->msi_rc;
}

static inline void board_exit(void *arg, enum hk_exit why, int value)
{
	struct board *b = arg;

	b->exits++;
	b->exit = why;
	b->exit_value = value;
}

static inline void board_acpi(void *arg, bool on)
{
	((struct board *)arg)->acpi = on;
}

/* @wall_s: the host's time of day, seconds since 1970 */
static inline struct board *board_new(s64 wall_s)
{
	struct board *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	clock_fake_init(&b->clock, BOARD_START_NS, wall_s * (s64)NS_PER_SEC);
	assert_int_equal(loop_create(&b->loop, &b->clock.clock, NULL), 0);
	assert_int_equal(bus_init(&b->mem_bus, "memory", 64, NULL), 0);
	assert_int_equal(bus_init(&b->pio_bus, "ports", 16, NULL), 0);
	mem_init(&b->mem);
	assert_int_equal(mem_add(&b->mem, 0, 65536, 0, NULL), 0);
	b->acpi = -1;
	b->env = (struct dev_env){
		.mem_bus = &b->mem_bus, .pio_bus = &b->pio_bus, .mem = &b->mem, .loop = b->loop,
		.clock = &b->clock.clock, .msi = { board_msi, b }, .request_exit = board_exit,
		.acpi_enabled = board_acpi, .m = b,
	};
	for (unsigned n = 0; n < 16; n++)
		b->env.isa_irq[n] = (struct irq){ board_isa, b, n };
	for (unsigned n = 0; n < 24; n++)
		b->env.gsi[n] = (struct irq){ board_gsi, b, n };
	return b;
}

static inline void board_free(struct board *b)
{
	loop_destroy(b->loop);
	bus_fini(&b->mem_bus);
	bus_fini(&b->pio_bus);
	mem_fini(&b->mem);
	free(b);
}

/* Created and initialised, not plugged */
static inline struct dev *dev_new(struct board *b, const struct dev_class *cls)
{
	struct dev *d = calloc(1, cls->size);

	assert_non_null(d);
	d->cls = cls;
	d->env = &b->env;
	if (cls->init)
		assert_int_equal(cls->init(d, NULL, NULL), 0);
	return d;
}

static inline void dev_up(struct dev *d)
{
	if (d->cls->plug)
		assert_int_equal(d->cls->plug(d, NULL), 0);
	if (d->cls->start)
		assert_int_equal(d->cls->start(d), 0);
}

static inline void dev_down(struct dev *d)
{
	if (d->cls->stop)
		d->cls->stop(d);
	if (d->cls->fini)
		d->cls->fini(d);
	free(d);
}

static inline u32 in(struct board *b, u16 port, unsigned size)
{
	u64 v;

	assert_true(bus_read(&b->pio_bus, port, size, &v));
	return (u32)v;
}

static inline void out(struct board *b, u16 port, u32 val, unsigned size)
{
	assert_true(bus_write(&b->pio_bus, port, size, val));
}

static inline u8 inb(struct board *b, u16 port) { return (u8)in(b, port, 1); }
static inline void outb(struct board *b, u16 port, u8 val) { out(b, port, val, 1); }

/* Time passes at once; what became due runs, again while it is due again */
static inline unsigned leap(struct board *b, u64 ns)
{
	unsigned ran = 0, n;

	clock_fake_advance(&b->clock, ns);
	while ((n = (unsigned)loop_step(b->loop, 0)) && ran < 10000)
		ran += n;
	return ran;
}

/* Time passes in @steps, as a loop that keeps up sees it */
static inline void pass(struct board *b, u64 ns, unsigned steps)
{
	for (unsigned i = 0; i < steps; i++)
		leap(b, ns / steps);
}

#endif
