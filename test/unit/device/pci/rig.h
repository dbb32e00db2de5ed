// SPDX-License-Identifier: BSD-2-Clause
/* test/unit/device/pci/rig.h - A PCI bus on a board of recorders, and a guest's view of it */
#ifndef TEST_PCI_RIG_H
#define TEST_PCI_RIG_H

#include "unit/device/chipset/board.h"

#include <stdio.h>

#include "device/pci/pci.h"

#define ECAM 0xe0000000ull

struct pci_rig {
	struct board *b;
	struct pci_bus *bus;
};

static inline int rig_setup(void **state)
{
	struct pci_rig *r = calloc(1, sizeof(*r));
	struct pci_bus_config cfg = {
		.io_base = 0x2000,
		.io_limit = 0x10000,
		.mem32_base = 0xc0000000,
		.mem32_limit = 0xe0000000,
		.mem64_base = 0xd000000000,
		.mem64_limit = 0xfd00000000,
		.ecam_base = ECAM,
	};

	assert_non_null(r);
	r->b = board_new(0);
	cfg.env = &r->b->env;
	assert_int_equal(pci_bus_create(&r->bus, &cfg, NULL), 0);
	r->b->env.pci = r->bus;
	*state = r;
	return 0;
}

static inline int rig_teardown(void **state)
{
	struct pci_rig *r = *state;

	pci_bus_destroy(r->bus);
	board_free(r->b);
	free(r);
	return 0;
}

/* A function that counts what its BARs get */
struct toy {
	struct dev dev;
	struct pci_fn fn;
	u64 last_off, last_val;
	unsigned last_size, reads, writes;
};

static inline u64 toy_read(void *opaque, u64 off, unsigned size)
{
	struct toy *t = opaque;

	t->reads++;
	t->last_off = off;
	return 0x1122334455667788;
}

static inline void toy_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct toy *t = opaque;

	t->writes++;
	t->last_off = off;
	t->last_val = val;
	t->last_size = size;
}

static const struct region_ops toy_ops = { toy_read, toy_write, 1, 8, false };

static inline int toy_try(struct pci_rig *r, struct toy *t, const struct pci_fn_class *cls,
			  unsigned bus, unsigned slot, unsigned func, struct hk_err *err)
{
	memset(t, 0, sizeof(*t));
	t->dev.env = &r->b->env;
	snprintf(t->dev.id, sizeof(t->dev.id), "%u:%u.%u", bus, slot, func);
	t->dev.pci_bus = bus;
	t->dev.pci_slot = slot;
	t->dev.pci_func = func;
	return pci_fn_add(r->bus, &t->fn, cls, &t->dev, t, err);
}

static inline void toy_add(struct pci_rig *r, struct toy *t, const struct pci_fn_class *cls,
			   unsigned slot, unsigned func)
{
	assert_int_equal(toy_try(r, t, cls, 0, slot, func, NULL), 0);
}

/* Configuration access by ports */
static inline void cf8(struct pci_rig *r, unsigned slot, unsigned func, unsigned reg)
{
	out(r->b, 0xcf8, 0x80000000u | slot << 11 | func << 8 | (reg & 0xfc), 4);
}

static inline u32 cfg_rd(struct pci_rig *r, unsigned slot, unsigned func, unsigned reg, unsigned size)
{
	cf8(r, slot, func, reg);
	return in(r->b, (u16)(0xcfc + (reg & 3)), size);
}

static inline void cfg_wr(struct pci_rig *r, unsigned slot, unsigned func, unsigned reg, u32 val,
			  unsigned size)
{
	cf8(r, slot, func, reg);
	out(r->b, (u16)(0xcfc + (reg & 3)), val, size);
}

/* and by memory */
static inline u32 ecam_rd(struct pci_rig *r, unsigned slot, unsigned func, unsigned reg, unsigned size)
{
	u64 v;

	assert_true(bus_read(&r->b->mem_bus, ECAM + (slot << 15 | func << 12 | reg), size, &v));
	return (u32)v;
}

static inline u64 mem_rd(struct pci_rig *r, u64 addr, unsigned size)
{
	u64 v;

	bus_read(&r->b->mem_bus, addr, size, &v);
	return v;
}

static inline void mem_wr(struct pci_rig *r, u64 addr, u64 val, unsigned size)
{
	assert_true(bus_write(&r->b->mem_bus, addr, size, val));
}

static inline bool mem_claimed(struct pci_rig *r, u64 addr)
{
	u64 v;

	return bus_read(&r->b->mem_bus, addr, 4, &v);
}

/* Offset of capability @id in the guest's own walk, 0 none */
static inline unsigned cap_find(struct pci_rig *r, unsigned slot, unsigned id)
{
	unsigned at = cfg_rd(r, slot, 0, 0x34, 1), n = 0;

	if (!(cfg_rd(r, slot, 0, 6, 2) & 0x10))
		return 0;
	for (; at && n < 48; n++, at = cfg_rd(r, slot, 0, at + 1, 1)) {
		assert_int_equal(at & 3, 0);
		if (cfg_rd(r, slot, 0, at, 1) == id)
			return at;
	}
	assert_true(n < 48);
	return 0;
}

#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

#endif
