// SPDX-License-Identifier: BSD-2-Clause
/* bus/irq.h - An interrupt line and an MSI target are values
 *
 * Whether the controller behind is ours or the accelerator's is decided once, in
 * machine/pc.c; a device cannot tell. [any] */
#ifndef BUS_IRQ_H
#define BUS_IRQ_H

#include "base/types.h"

struct irq {
	void (*set)(void *arg, unsigned n, int level); /* NULL: not connected */
	void *arg;
	unsigned n;
};

static inline void irq_set(const struct irq *i, int level)
{
	if (i->set)
		i->set(i->arg, i->n, level);
}
static inline void irq_raise(const struct irq *i) { irq_set(i, 1); }
static inline void irq_lower(const struct irq *i) { irq_set(i, 0); }
static inline void irq_pulse(const struct irq *i)
{
	irq_set(i, 1);
	irq_set(i, 0);
}

/* Where MSI messages go: SDM 3A 11.11 address and data */
struct msi_sink {
	int (*send)(void *arg, u64 addr, u32 data);
	void *arg;
};

static inline int msi_send(const struct msi_sink *s, u64 addr, u32 data)
{
	return s->send ? s->send(s->arg, addr, data) : 0;
}

#endif
