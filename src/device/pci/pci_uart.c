// SPDX-License-Identifier: BSD-2-Clause
/* device/pci/pci_uart.c - A 16550A behind an I/O BAR, with an INTx pin
 *
 * "-s N,uart,OPTS": OPTS as a COM port's, see chr_open_opts(). */
#include <errno.h>

#include "base/err.h"
#include "base/strbuf.h"
#include "device/pci/pci.h"
#include "device/serial/uart.h"

struct pci_uart {
	struct dev dev;
	struct pci_fn fn;
	struct chr *chr;
	struct uart *uart;
};

static struct pci_uart *uart_of(struct dev *d)
{
	return container_of(d, struct pci_uart, dev);
}

/* The machine starts no vCPU before plug made ->uart */
static u64 reg_read(void *opaque, u64 off, unsigned size)
{
	struct pci_uart *u = opaque;

	return uart_read(u->uart, (unsigned)off);
}

static void reg_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct pci_uart *u = opaque;

	uart_write(u->uart, (unsigned)off, (u8)val);
}

static const struct region_ops reg_ops = { reg_read, reg_write, 1, 1, true };

static const struct pci_fn_class pci_uart_fn = {
	.vendor = 0x131f,
	.device = 0x2000,
	.class_code = 0x07,
	.intx = true,
	.bar = { { PCI_BAR_IO, 8, &reg_ops } },
};

static void intx(void *arg, unsigned n, int level)
{
	struct pci_uart *u = arg;

	pci_intx_set(&u->fn, level);
}

static int pci_uart_init(struct dev *d, const char *opts, struct hk_err *err)
{
	struct pci_uart *u = uart_of(d);
	int rc;

	rc = chr_open_opts(&u->chr, opts, d->env->loop, d->env->log, err);
	return rc ? err_wrap(err, rc, "uart %s", d->id) : 0;
}

static int pci_uart_plug(struct dev *d, struct hk_err *err)
{
	struct pci_uart *u = uart_of(d);
	struct irq irq = { .set = intx, .arg = u };
	int rc;

	if (!d->env->pci)
		return err_set(err, -ENODEV, "uart: this board has no PCI");
	rc = uart_create(&u->uart, u->chr, &irq, d->env->log);
	if (rc)
		return err_set(err, rc, "uart %s: out of memory", d->id);
	return pci_fn_add(d->env->pci, &u->fn, &pci_uart_fn, d, u, err);
}

static int pci_uart_start(struct dev *d)
{
	return chr_start(uart_of(d)->chr);
}

static void pci_uart_stop(struct dev *d)
{
	chr_stop(uart_of(d)->chr);
}

static void pci_uart_reset(struct dev *d, enum dev_reset kind)
{
	uart_reset(uart_of(d)->uart);
}

static void pci_uart_dump(struct dev *d, struct strbuf *out)
{
	uart_dump(uart_of(d)->uart, out);
}

static void pci_uart_fini(struct dev *d)
{
	struct pci_uart *u = uart_of(d);

	chr_stop(u->chr);
	/* The uart lowers its line, so it goes before the function */
	uart_destroy(u->uart);
	u->uart = NULL;
	pci_fn_remove(&u->fn);
	chr_close(u->chr);
	u->chr = NULL;
}

extern const struct dev_class pci_uart_class;
const struct dev_class pci_uart_class = {
	.name = "uart",
	.help = "PCI serial port",
	.size = sizeof(struct pci_uart),
	.init = pci_uart_init,
	.plug = pci_uart_plug,
	.start = pci_uart_start,
	.stop = pci_uart_stop,
	.reset = pci_uart_reset,
	.dump = pci_uart_dump,
	.fini = pci_uart_fini,
};
