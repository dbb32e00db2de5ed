// SPDX-License-Identifier: BSD-2-Clause
/* device/pci/intx.c - INTx pins, their way to the IOAPIC and to the PIC
 *
 * A function's level goes to its pin; several functions of a slot may share one. A pin
 * drives one IOAPIC input (16..23) and one of the LPC bridge's eight PIRQ links, and a
 * link drives the ISA interrupt that its router register names. At each junction the
 * inputs are OR-ed by counting, so that one sharer going quiet leaves the others heard.
 *
 * Threads: set from any, all counts under intx_lock. See pci_int.h for the lock order. */
#include "base/strbuf.h"
#include "device/pci/pci_int.h"

/* ISA interrupts that a link may be given: not timer, keyboard, cascade, RTC, FPU */
#define ISA_PERMITTED 0xdef8u
/* Worth avoiding: COM2, COM1 (3, 4) have an owner; the SCI sits on 9 */
#define ISA_OWNED (BIT(3) | BIT(4))
#define ISA_SCI 9u

#define ELCR_PORT 0x4d0u

static void isa_update(struct pci_bus *p, unsigned irq, u32 sources)
{
	u32 before = p->isa_sources[irq];

	p->isa_sources[irq] = sources;
	if (!before != !sources)
		irq_set(&p->env->isa_irq[irq], sources != 0);
}

/* The ISA interrupt that link @n drives, -1 none */
static int pirq_isa(const struct pci_bus *p, unsigned n)
{
	unsigned irq = p->pirq[n] & 0xf;

	if (p->pirq[n] & PCI_PIRQ_OFF || !(ISA_PERMITTED & BIT(irq)))
		return -1;
	return (int)irq;
}

static void pirq_add(struct pci_bus *p, unsigned n, int delta)
{
	unsigned before = p->pirq_count[n];
	int irq = pirq_isa(p, n);

	p->pirq_count[n] += (unsigned)delta;
	if (irq < 0 || !before == !p->pirq_count[n])
		return;
	isa_update(p, (unsigned)irq, p->pirq_count[n] ? p->isa_sources[irq] | BIT(n) :
							p->isa_sources[irq] & ~BIT(n));
}

static void gsi_add(struct pci_bus *p, unsigned gsi, int delta)
{
	unsigned *count = &p->gsi_count[gsi - PCI_GSI_BASE];
	unsigned before = *count;

	*count += (unsigned)delta;
	if (!before != !*count)
		irq_set(&p->env->gsi[gsi], *count != 0);
}

static void pin_add(struct pci_bus *p, struct pci_pin *pin, int delta)
{
	unsigned before = pin->count;

	pin->count += (unsigned)delta;
	if (!pin->routed || !before == !pin->count)
		return;
	gsi_add(p, pin->gsi, delta);
	pirq_add(p, pin->pirq, delta);
}

static struct pci_pin *fn_pin(const struct pci_fn_int *f)
{
	return &f->bus->slots[f->nr][f->slot].pin[f->pin - 1];
}

void pci_intx_update_locked(struct pci_fn_int *f)
{
	struct pci_bus *p = f->bus;
	bool out;

	if (!f->pin)
		return;
	out = f->intx_wanted && !(pci_cfg16(f, PCI_R_COMMAND) & PCI_CMD_INTX_OFF) &&
	      !pci_msi_on_locked(f) && !pci_msix_on_locked(f);
	pthread_mutex_lock(&p->intx_lock);
	if (out != f->intx_out) {
		f->intx_out = out;
		pin_add(p, fn_pin(f), out ? 1 : -1);
	}
	pthread_mutex_unlock(&p->intx_lock);
}

void pci_intx_set(struct pci_fn *fn, int level)
{
	struct pci_fn_int *f = fn->in;

	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	if (f->intx_wanted != !!level) {
		f->intx_wanted = level;
		pci_intx_update_locked(f);
	}
	pthread_mutex_unlock(&f->lock);
}

void pci_intx_init(struct pci_bus *p)
{
	unsigned i;

	pthread_mutex_init(&p->intx_lock, NULL);
	for (i = 0; i < PCI_PIRQS; i++)
		p->pirq[i] = p->pirq_home[i] = PCI_PIRQ_OFF;
}

void pci_intx_assign(struct pci_fn_int *f)
{
	struct pci_slot *s = &f->bus->slots[f->nr][f->slot];
	unsigned i, best = 0;

	for (i = 1; i < PCI_PINS; i++)
		if (s->pin[i].users < s->pin[best].users)
			best = i;
	s->pin[best].users++;
	f->pin = (u8)(best + 1);
}

void pci_intx_release(struct pci_fn_int *f)
{
	if (!f->pin)
		return;
	pthread_mutex_lock(&f->lock);
	f->intx_wanted = false;
	pci_intx_update_locked(f);
	pthread_mutex_unlock(&f->lock);
	fn_pin(f)->users--;
	f->pin = 0;
}

/* What firmware would do: PCI interrupts are levels, so tell the PICs. They live behind
 * ports; a board without them ignores this. */
static void set_elcr(struct pci_bus *p)
{
	u32 want = 0;
	unsigned i, port;
	u64 val;

	for (i = 0; i < PCI_PIRQS; i++)
		if (pirq_isa(p, i) >= 0)
			want |= BIT(p->pirq[i] & 0xf);
	for (port = 0; port < 2 && p->env->pio_bus; port++) {
		if (!(want >> port * 8 & 0xff) ||
		    !bus_read(p->env->pio_bus, ELCR_PORT + port, 1, &val))
			continue;
		bus_write(p->env->pio_bus, ELCR_PORT + port, 1, val | (want >> port * 8 & 0xff));
	}
}

/* Give link @n the permitted ISA interrupt with the fewest links on it */
static void pirq_choose(struct pci_bus *p, unsigned n)
{
	unsigned users[16] = { [ISA_SCI] = 1 };
	unsigned i, best = 16;

	for (i = 0; i < PCI_PIRQS; i++)
		if (!(p->pirq[i] & PCI_PIRQ_OFF))
			users[p->pirq[i] & 0xf]++;
	for (i = 0; i < 16; i++) {
		if (!(ISA_PERMITTED & ~ISA_OWNED & BIT(i)))
			continue;
		if (best == 16 || users[i] < users[best])
			best = i;
	}
	p->pirq[n] = p->pirq_home[n] = (u8)best;
}

static void route_pin(struct pci_bus *p, struct pci_pin *pin, unsigned nth)
{
	pin->gsi = (u8)(PCI_GSI_BASE + nth % PCI_GSIS);
	pin->pirq = (u8)(nth % PCI_PIRQS);
	pin->routed = true;
	if (p->pirq[pin->pirq] & PCI_PIRQ_OFF)
		pirq_choose(p, pin->pirq);
	if (pin->count) {
		gsi_add(p, pin->gsi, 1);
		pirq_add(p, pin->pirq, 1);
	}
}

static void slot_lines(struct pci_bus *p, struct pci_slot *s)
{
	struct pci_fn_int *f;
	unsigned i;
	u8 line;

	for (i = 0; i < PCI_FUNCS; i++) {
		f = s->fn[i] ? s->fn[i]->in : NULL;
		if (!f || !f->pin)
			continue;
		pthread_mutex_lock(&p->intx_lock);
		line = p->pirq[s->pin[f->pin - 1].pirq] & 0xf;
		pthread_mutex_unlock(&p->intx_lock);
		pthread_mutex_lock(&f->lock);
		f->cfg[PCI_R_INT_LINE] = f->init[PCI_R_INT_LINE] = line;
		pthread_mutex_unlock(&f->lock);
	}
}

void pci_route_intx(struct pci_bus *p)
{
	unsigned bus, slot, pin, nth = 0;
	struct pci_slot *s;

	pthread_mutex_lock(&p->intx_lock);
	for (bus = 0; bus < PCI_BUSES; bus++) {
		for (slot = 0; p->slots[bus] && slot < PCI_SLOTS; slot++) {
			s = &p->slots[bus][slot];
			for (pin = 0; pin < PCI_PINS; pin++) {
				if (!s->pin[pin].users)
					continue;
				if (!s->pin[pin].routed)
					route_pin(p, &s->pin[pin], nth);
				nth++;
			}
		}
	}
	pthread_mutex_unlock(&p->intx_lock);
	for (bus = 0; bus < PCI_BUSES; bus++)
		for (slot = 0; p->slots[bus] && slot < PCI_SLOTS; slot++)
			slot_lines(p, &p->slots[bus][slot]);
	set_elcr(p);
}

void pci_intx_reset(struct pci_bus *p)
{
	unsigned i;

	for (i = 0; i < PCI_PIRQS; i++)
		pci_pirq_write(p, i, p->pirq_home[i]);
	set_elcr(p);
}

u8 pci_pirq_read(struct pci_bus *p, unsigned pirq)
{
	u8 val;

	if (pirq >= PCI_PIRQS)
		return 0xff;
	pthread_mutex_lock(&p->intx_lock);
	val = p->pirq[pirq];
	pthread_mutex_unlock(&p->intx_lock);
	return val;
}

void pci_pirq_write(struct pci_bus *p, unsigned pirq, u8 val)
{
	int irq;

	if (pirq >= PCI_PIRQS)
		return;
	val &= PCI_PIRQ_OFF | 0xf;
	pthread_mutex_lock(&p->intx_lock);
	if (val != p->pirq[pirq]) {
		irq = pirq_isa(p, pirq);
		if (irq >= 0)
			isa_update(p, (unsigned)irq, p->isa_sources[irq] & ~BIT(pirq));
		p->pirq[pirq] = val;
		irq = pirq_isa(p, pirq);
		if (irq >= 0 && p->pirq_count[pirq])
			isa_update(p, (unsigned)irq, p->isa_sources[irq] | BIT(pirq));
	}
	pthread_mutex_unlock(&p->intx_lock);
}

void pci_isa_set(struct pci_bus *p, unsigned irq, unsigned source, int level)
{
	u32 s;

	if (irq >= 16)
		return;
	pthread_mutex_lock(&p->intx_lock);
	s = p->isa_sources[irq];
	isa_update(p, irq, level ? s | BIT(source) : s & ~BIT(source));
	pthread_mutex_unlock(&p->intx_lock);
}

unsigned pci_routes(const struct pci_bus *p, struct pci_intx_route *out, unsigned max)
{
	unsigned bus, slot, i, n = 0;
	const struct pci_pin *pin;

	for (bus = 0; bus < PCI_BUSES; bus++) {
		for (slot = 0; p->slots[bus] && slot < PCI_SLOTS; slot++) {
			for (i = 0; i < PCI_PINS; i++) {
				pin = &p->slots[bus][slot].pin[i];
				if (!pin->users || !pin->routed)
					continue;
				if (n < max)
					out[n] = (struct pci_intx_route){
						.bus = (u8)bus,
						.slot = (u8)slot,
						.pin = (u8)(i + 1),
						.gsi = pin->gsi,
						.pirq = pin->pirq,
						.isa_irq = p->pirq[pin->pirq] & 0xf,
					};
				n++;
			}
		}
	}
	return MIN(n, max);
}
