// SPDX-License-Identifier: BSD-2-Clause
/* device/pci/lpc.c - ISA bridge with the interrupt router and two serial ports
 *
 * Answers as Intel's PIIX3 (82371SB, function 0): PIRQ A-D route control at 0x60..0x63.
 * E-H at 0x68..0x6B as its successors have them (ICH, "PIRQ[n]_ROUT"). */
#include <errno.h>

#include "base/err.h"
#include "base/strbuf.h"
#include "device/pci/lpc.h"
#include "device/pci/pci_int.h"
#include "device/serial/uart.h"

#define NUM_COMS 2u
#define COM_PORTS 8u
#define PIRQ_A_REG 0x60u
#define PIRQ_E_REG 0x68u

static const struct {
	const char *name;
	u16 port;
	u8 irq;
} com_place[NUM_COMS] = { { "com1", 0x3f8, 4 }, { "com2", 0x2f8, 3 } };

struct lpc_com {
	struct chr *chr;	/* the machine's; NULL = none */
	struct uart *uart;
	struct region region;
	bool mapped;
};

struct lpc {
	struct dev dev;
	struct pci_fn fn;
	struct lpc_com com[NUM_COMS];
};

static struct lpc *lpc_of(struct dev *d)
{
	return container_of(d, struct lpc, dev);
}

void lpc_set_chr(struct dev *d, unsigned port, struct chr *chr)
{
	if (port >= 1 && port <= NUM_COMS)
		lpc_of(d)->com[port - 1].chr = chr;
}

/* ---- router registers ---- */

/* PIRQ link behind configuration byte @off, -1 none */
static int pirq_of(unsigned off)
{
	if (off >= PIRQ_A_REG && off < PIRQ_A_REG + 4)
		return (int)(off - PIRQ_A_REG);
	if (off >= PIRQ_E_REG && off < PIRQ_E_REG + 4)
		return (int)(off - PIRQ_E_REG + 4);
	return -1;
}

static bool lpc_cfg_read(void *opaque, unsigned off, unsigned size, u32 *val)
{
	struct lpc *l = opaque;
	unsigned i;

	if (pirq_of(off) < 0)
		return false;
	/* Both blocks are four bytes and aligned, so an access is inside one or outside */
	*val = 0;
	for (i = 0; i < size; i++)
		*val |= (u32)pci_pirq_read(l->dev.env->pci, (unsigned)pirq_of(off + i)) << 8 * i;
	return true;
}

static bool lpc_cfg_write(void *opaque, unsigned off, unsigned size, u32 val)
{
	struct lpc *l = opaque;
	unsigned i;

	if (pirq_of(off) < 0)
		return false;
	for (i = 0; i < size; i++)
		pci_pirq_write(l->dev.env->pci, (unsigned)pirq_of(off + i), (u8)(val >> 8 * i));
	return true;
}

static const struct pci_fn_class lpc_fn_class = {
	.vendor = 0x8086,
	.device = 0x7000,
	.class_code = 0x06,
	.subclass = 0x01,
	.cfg_read = lpc_cfg_read,
	.cfg_write = lpc_cfg_write,
};

/* ---- serial ports ---- */

static u64 com_read(void *opaque, u64 off, unsigned size)
{
	return uart_read(opaque, (unsigned)off);
}

static void com_write(void *opaque, u64 off, u64 val, unsigned size)
{
	uart_write(opaque, (unsigned)off, (u8)val);
}

static const struct region_ops com_ops = { com_read, com_write, 1, 1, true };

/* irq.n is the port's index; links may be routed to the same ISA interrupt */
static void com_irq(void *arg, unsigned n, int level)
{
	struct lpc *l = arg;

	pci_isa_set(l->dev.env->pci, com_place[n].irq, PCI_ISA_SRC_COM(n), level);
}

static int com_plug(struct lpc *l, unsigned n, struct hk_err *err)
{
	struct irq irq = { .set = com_irq, .arg = l, .n = n };
	struct lpc_com *c = &l->com[n];
	int rc;

	rc = uart_create(&c->uart, c->chr, &irq, l->dev.env->log);
	if (rc)
		return err_set(err, rc, "%s: out of memory", com_place[n].name);
	c->region = (struct region){ .name = com_place[n].name,
				     .size = COM_PORTS,
				     .ops = &com_ops,
				     .opaque = c->uart };
	rc = bus_map(l->dev.env->pio_bus, &c->region, com_place[n].port, err);
	c->mapped = !rc;
	return rc;
}

/* ---- life ---- */

static int lpc_plug(struct dev *d, struct hk_err *err)
{
	struct lpc *l = lpc_of(d);
	unsigned i;
	int rc;

	if (!d->env->pci)
		return err_set(err, -ENODEV, "lpc: this board has no PCI");
	if (d->pci_bus)
		return err_set(err, -EINVAL, "lpc: only possible on bus 0");
	if (pci_lpc_slot(d->env->pci) >= 0)
		return err_set(err, -EBUSY, "lpc: there is one already");
	rc = pci_fn_add(d->env->pci, &l->fn, &lpc_fn_class, d, l, err);
	for (i = 0; i < NUM_COMS && !rc; i++)
		rc = com_plug(l, i, err);
	return rc;
}

static int lpc_start(struct dev *d)
{
	struct lpc *l = lpc_of(d);
	unsigned i;
	int rc = 0;

	for (i = 0; i < NUM_COMS && !rc; i++)
		if (l->com[i].chr)
			rc = chr_start(l->com[i].chr);
	return rc;
}

static void lpc_stop(struct dev *d)
{
	struct lpc *l = lpc_of(d);
	unsigned i;

	for (i = 0; i < NUM_COMS; i++)
		if (l->com[i].chr)
			chr_stop(l->com[i].chr);
}

static void lpc_reset(struct dev *d, enum dev_reset kind)
{
	struct lpc *l = lpc_of(d);
	unsigned i;

	for (i = 0; i < NUM_COMS; i++)
		uart_reset(l->com[i].uart);
}

static void lpc_fini(struct dev *d)
{
	struct lpc *l = lpc_of(d);
	struct lpc_com *c;
	unsigned i;

	lpc_stop(d);
	for (i = 0; i < NUM_COMS; i++) {
		c = &l->com[i];
		if (c->mapped)
			bus_unmap(d->env->pio_bus, &c->region);
		c->mapped = false;
		uart_destroy(c->uart);
		c->uart = NULL;
	}
	pci_fn_remove(&l->fn);
}

static void lpc_dump(struct dev *d, struct strbuf *out)
{
	struct lpc *l = lpc_of(d);
	unsigned i;

	strbuf_add(out, "pirq");
	for (i = 0; i < PCI_PIRQS; i++)
		strbuf_add(out, " %c:%02x", 'A' + i, pci_pirq_read(d->env->pci, i));
	strbuf_add(out, "\n");
	for (i = 0; i < NUM_COMS; i++) {
		if (!l->com[i].uart)
			continue;
		strbuf_add(out, "%s ", com_place[i].name);
		uart_dump(l->com[i].uart, out);
	}
}

extern const struct dev_class lpc_class;
const struct dev_class lpc_class = {
	.name = "lpc",
	.help = "ISA bridge with interrupt router and two serial ports",
	.size = sizeof(struct lpc),
	.plug = lpc_plug,
	.start = lpc_start,
	.stop = lpc_stop,
	.reset = lpc_reset,
	.dump = lpc_dump,
	.fini = lpc_fini,
};
