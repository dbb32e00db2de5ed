// SPDX-License-Identifier: BSD-2-Clause
/* device/pci/cfg.c - Functions: configuration space, capabilities, base addresses
 *
 * PCI 3.0 chapter 6, header type 0. Configuration space is an array of bytes with a
 * mask of what the guest may change, so that registers of any kind take accesses of any
 * width: a BAR's read-only low bits are what its size is read from. After a write the
 * places that depend on the changed bytes are brought in line.
 *
 * Beyond byte 255 lies the extended space of PCI Express; no function has capabilities
 * there, which a zero at 0x100 says (PCIe 7.9.1). */
#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/range.h"
#include "base/strbuf.h"
#include "base/wire.h"
#include "device/pci/pci_int.h"

#define BAR_IO 1u
#define BAR_MEM_64 4u
#define BAR_IO_MIN 4u
#define BAR_MEM_MIN 16u
/* Larger 64-bit BARs go above RAM, others stay where 32-bit guests reach them */
#define BAR_LARGE (32ull << 20)

#define PCIE_CAP_LEN 0x3cu
#define PCIE_FLAGS 2u
#define PCIE_LINK_CAP 0xcu
#define PCIE_LINK_STATUS 0x12u
#define PCIE_V2_ROOT_PORT (2u | 4u << 4)

static const char bar_letter[] = { '-', 'i', 'm', 'M' };

static u64 pow2_up(u64 n)
{
	u64 p = 1;

	while (p < n)
		p <<= 1;
	return p;
}

/* ---- base addresses ---- */

int pci_bar_alloc(struct pci_bus *p, enum pci_bar_kind kind, u64 size, u64 *at)
{
	u64 limit, *next;

	if (kind == PCI_BAR_IO) {
		next = &p->io_next;
		limit = p->cfg.io_limit;
	} else if (kind == PCI_BAR_MEM64 && size > BAR_LARGE &&
		   p->cfg.mem64_limit > p->cfg.mem64_base) {
		next = &p->mem64_next;
		limit = p->cfg.mem64_limit;
	} else {
		next = &p->mem32_next;
		limit = p->cfg.mem32_limit;
	}
	*at = ALIGN_UP(*next, size);
	if (*at < *next || !range_ok(*at, size, limit))
		return -ENOSPC;
	*next = *at + size;
	return 0;
}

/* Where the registers say that BAR @i answers; BUS_NOWHERE while it does not */
static u64 bar_target(const struct pci_fn_int *f, unsigned i)
{
	const struct pci_bar *b = &f->bar[i];
	unsigned off = PCI_R_BAR0 + i * 4;
	u16 cmd = pci_cfg16(f, PCI_R_COMMAND);
	u64 at = pci_cfg32(f, off), top = 0x100000000ull;

	if (b->kind == PCI_BAR_IO) {
		at &= ~3ull;
		return (cmd & PCI_CMD_IO) && range_ok(at, b->size, 0x10000) ? at : BUS_NOWHERE;
	}
	at &= ~0xfull;
	if (b->kind == PCI_BAR_MEM64) {
		at |= (u64)pci_cfg32(f, off + 4) << 32;
		top = BIT64(52);
	}
	/* Ending exactly at the top is what sizing leaves there for a moment */
	if (!(cmd & PCI_CMD_MEM) || !at || !range_ok(at, b->size, top - 1))
		return BUS_NOWHERE;
	return at;
}

static void bars_update_locked(struct pci_fn_int *f)
{
	struct pci_bar *b;
	struct bus *bus;
	unsigned i;
	u64 to;

	for (i = 0; i < 6; i++) {
		b = &f->bar[i];
		if (b->kind == PCI_BAR_NONE)
			continue;
		to = bar_target(f, i);
		if (to == b->at)
			continue;
		bus = b->kind == PCI_BAR_IO ? f->bus->env->pio_bus : f->bus->env->mem_bus;
		/* Moved onto somebody else it stays hidden until moved away again */
		b->at = bus_move(bus, &b->region, to) ? BUS_NOWHERE : to;
	}
}

static int bar_init(struct pci_fn_int *f, unsigned i, struct hk_err *err)
{
	const struct pci_bar_desc *d = &f->cls->bar[i];
	bool msix = f->cls->msix_vectors && i == f->cls->msix_bar;
	struct pci_bar *b = &f->bar[i];
	unsigned off = PCI_R_BAR0 + i * 4;
	u64 size = d->size, mask;
	struct bus *bus;
	int rc;

	if (d->kind == PCI_BAR_NONE)
		return 0;
	if (msix)
		size = MAX(size, pci_msix_bar_bytes(f->cls->msix_vectors));
	if ((d->kind == PCI_BAR_MEM64 && i == 5) || (!d->ops && !msix) || (d->ops && msix) ||
	    !size || size > BIT64(40))
		return err_set(err, -EINVAL, "%s: impossible BAR %u", f->dev->id, i);
	b->size = pow2_up(MAX(size, d->kind == PCI_BAR_IO ? BAR_IO_MIN : BAR_MEM_MIN));
	rc = pci_bar_alloc(f->bus, d->kind, b->size, &b->home);
	if (rc)
		return err_set(err, rc, "%s: no address space left for BAR %u", f->dev->id, i);
	b->region = (struct region){
		.name = f->dev->id,
		.size = b->size,
		.ops = msix ? &pci_msix_region_ops : d->ops,
		.opaque = msix ? (void *)f : f->fn->opaque,
	};
	bus = d->kind == PCI_BAR_IO ? f->bus->env->pio_bus : f->bus->env->mem_bus;
	rc = bus_map(bus, &b->region, BUS_NOWHERE, err);
	if (rc)
		return err_wrap(err, rc, "%s: BAR %u", f->dev->id, i);
	b->kind = d->kind;
	b->at = BUS_NOWHERE;

	mask = ~(b->size - 1);
	store_le32(f->wmask + off, (u32)mask);
	store_le32(f->cfg + off, (u32)b->home);
	if (d->kind == PCI_BAR_IO) {
		f->cfg[off] |= BAR_IO;
		f->wmask[off] &= (u8)~3u;
	} else if (d->kind == PCI_BAR_MEM64) {
		f->cfg[off] |= BAR_MEM_64;
		store_le32(f->wmask + off + 4, (u32)(mask >> 32));
		store_le32(f->cfg + off + 4, (u32)(b->home >> 32));
	}
	return 0;
}

/* ---- configuration space ---- */

u8 pci_cap_add(struct pci_fn_int *f, u8 id, unsigned len)
{
	unsigned at = f->caps_end ? f->caps_end : PCI_R_FIRST_CAP, link = PCI_R_CAP_PTR;

	if (!range_ok(at, len, PCI_CFG_BYTES))
		return 0;
	while (f->cfg[link])
		link = f->cfg[link] + 1u;
	f->cfg[link] = (u8)at;
	f->caps_end = (unsigned)ALIGN_UP(at + len, 4);
	f->cfg[at] = id;
	f->cfg[PCI_R_STATUS] |= PCI_STATUS_CAPS;
	return (u8)at;
}

static int own_caps_init(struct pci_fn_int *f)
{
	const struct pci_cap_desc *c;
	unsigned i, k;
	u8 at;

	for (i = 0; i < f->cls->num_caps; i++) {
		c = &f->cls->caps[i];
		at = pci_cap_add(f, c->id, c->len);
		if (!at)
			return -ENOSPC;
		for (k = 2; k < c->len; k++) {
			f->cfg[at + k] = c->bytes[k];
			f->wmask[at + k] = c->wmask ? c->wmask[k] : 0;
		}
	}
	return 0;
}

unsigned pci_fn_cap(const struct pci_fn *fn, u8 id, unsigned nth)
{
	const struct pci_fn_int *f = fn->in;
	unsigned at;

	/* Heads are constant */
	for (at = f ? f->cfg[PCI_R_CAP_PTR] : 0; at; at = f->cfg[at + 1])
		if (f->cfg[at] == id && !nth--)
			return at;
	return 0;
}

struct region *pci_fn_region(struct pci_fn *fn, unsigned bar)
{
	if (!fn->in || bar > 5 || fn->in->bar[bar].kind == PCI_BAR_NONE)
		return NULL;
	return &fn->in->bar[bar].region;
}

static void pcie_init(struct pci_fn_int *f)
{
	u8 at = pci_cap_add(f, 0x10, PCIE_CAP_LEN);

	store_le16(f->cfg + at + PCIE_FLAGS, PCIE_V2_ROOT_PORT);
	store_le32(f->cfg + at + PCIE_LINK_CAP, 0x411);
	store_le16(f->cfg + at + PCIE_LINK_STATUS, 0x11);
	f->pcie_cap = at;
}

static u32 bytes_get(const u8 *p, unsigned size)
{
	return size == 1 ? p[0] : size == 2 ? load_le16(p) : load_le32(p);
}

u32 pci_fn_cfg(const struct pci_fn *fn, unsigned off, unsigned size)
{
	struct pci_fn_int *f = fn->in;
	u32 val = ~0u;

	if (!f || !range_ok(off, size, PCI_CFG_BYTES) || size > 4)
		return val;
	pthread_mutex_lock(&f->lock);
	val = bytes_get(f->cfg + off, size);
	pthread_mutex_unlock(&f->lock);
	return val;
}

u32 pci_cfg_read(struct pci_fn_int *f, unsigned off, unsigned size)
{
	u8 b[4] = { 0 };
	unsigned i;
	u32 val;

	if (!range_ok(off, size, PCI_CFG_EXT_BYTES) || size > 4)
		return ~0u;
	if (f->cls->cfg_read && f->cls->cfg_read(f->fn->opaque, off, size, &val))
		return val;
	pthread_mutex_lock(&f->lock);
	for (i = 0; i < size && off + i < PCI_CFG_BYTES; i++) {
		b[i] = f->cfg[off + i];
		if (off + i == PCI_R_STATUS && f->intx_wanted && f->pin)
			b[i] |= PCI_STATUS_INTX;
	}
	pthread_mutex_unlock(&f->lock);
	return bytes_get(b, size);
}

void pci_cfg_write(struct pci_fn_int *f, unsigned off, unsigned size, u32 val)
{
	unsigned i;
	u16 msix_before = 0;
	u8 mask;

	if (!range_ok(off, size, PCI_CFG_BYTES) || size > 4)
		return;
	if (f->cls->cfg_write && f->cls->cfg_write(f->fn->opaque, off, size, val))
		return;
	pthread_mutex_lock(&f->lock);
	if (f->msix_cap)
		msix_before = pci_cfg16(f, f->msix_cap + 2);
	for (i = 0; i < size; i++) {
		mask = f->wmask[off + i];
		f->cfg[off + i] = (u8)((f->cfg[off + i] & ~mask) | (val >> 8 * i & mask));
	}
	if (range_overlap(off, size, PCI_R_COMMAND, 2) || range_overlap(off, size, PCI_R_BAR0, 24))
		bars_update_locked(f);
	if (f->msix_cap && range_overlap(off, size, f->msix_cap + 2, 2))
		pci_msix_control_locked(f, msix_before);
	pci_intx_update_locked(f);
	pthread_mutex_unlock(&f->lock);
}

/* ---- life of a function ---- */

struct pci_fn_int *pci_find(const struct pci_bus *p, unsigned bus, unsigned slot, unsigned func)
{
	struct pci_fn *fn;

	if (bus >= PCI_BUSES || slot >= PCI_SLOTS || func >= PCI_FUNCS || !p->slots[bus])
		return NULL;
	fn = p->slots[bus][slot].fn[func];
	return fn ? fn->in : NULL;
}

static void header_init(struct pci_fn_int *f)
{
	const struct pci_fn_class *c = f->cls;

	store_le16(f->cfg + PCI_R_VENDOR, c->vendor);
	store_le16(f->cfg + PCI_R_DEVICE, c->device);
	store_le16(f->cfg + PCI_R_SUBSYS_VENDOR, c->subsys_vendor);
	store_le16(f->cfg + PCI_R_SUBSYS, c->subsys);
	f->cfg[PCI_R_REVISION] = c->revision;
	f->cfg[PCI_R_PROG_IF] = c->prog_if;
	f->cfg[PCI_R_SUBCLASS] = c->subclass;
	f->cfg[PCI_R_CLASS] = c->class_code;
	f->cfg[PCI_R_INT_LINE] = 0xff;
	store_le16(f->cfg + PCI_R_COMMAND, PCI_CMD_IO | PCI_CMD_MEM | PCI_CMD_MASTER);
	store_le16(f->wmask + PCI_R_COMMAND,
		   PCI_CMD_IO | PCI_CMD_MEM | PCI_CMD_MASTER | PCI_CMD_PARITY | PCI_CMD_SERR |
			   PCI_CMD_INTX_OFF);
	f->wmask[PCI_R_CACHE_LINE] = 0xff;
	f->wmask[PCI_R_INT_LINE] = 0xff;
}

/* Function 0 tells a scan whether to look for the others (PCI 3.0, 6.2.1) */
static void multifunction_update(struct pci_slot *s)
{
	struct pci_fn_int *f;
	unsigned i, n = 0;
	u8 type;

	for (i = 0; i < PCI_FUNCS; i++)
		n += s->fn[i] != NULL;
	type = n > 1 ? 0x80 : 0;
	for (i = 0; i < PCI_FUNCS; i++) {
		f = s->fn[i] ? s->fn[i]->in : NULL;
		if (!f)
			continue;
		pthread_mutex_lock(&f->lock);
		f->cfg[PCI_R_HEADER_TYPE] = f->init[PCI_R_HEADER_TYPE] = type;
		pthread_mutex_unlock(&f->lock);
	}
}

static int place_check(struct pci_bus *p, const struct dev *dev, struct hk_err *err)
{
	unsigned bus = dev->pci_bus;

	if (bus >= PCI_BUSES || dev->pci_slot >= PCI_SLOTS || dev->pci_func >= PCI_FUNCS)
		return err_set(err, -EINVAL, "%s: no such PCI slot", dev->id);
	if (!p->slots[bus])
		p->slots[bus] = calloc(PCI_SLOTS, sizeof(*p->slots[bus]));
	if (!p->slots[bus])
		return err_set(err, -ENOMEM, "%s: out of memory", dev->id);
	if (p->slots[bus][dev->pci_slot].fn[dev->pci_func])
		return err_set(err, -EBUSY, "pci slot %u:%u already occupied!", dev->pci_slot,
			       dev->pci_func);
	return 0;
}

int pci_fn_add(struct pci_bus *p, struct pci_fn *fn, const struct pci_fn_class *cls,
	       struct dev *dev, void *opaque, struct hk_err *err)
{
	struct pci_fn_int *f;
	struct pci_slot *s;
	unsigned i;
	int rc;

	rc = place_check(p, dev, err);
	if (rc)
		return rc;
	f = calloc(1, sizeof(*f));
	if (!f)
		return err_set(err, -ENOMEM, "%s: out of memory", dev->id);
	*f = (struct pci_fn_int){
		.bus = p,
		.fn = fn,
		.cls = cls,
		.dev = dev,
		.nr = (u8)dev->pci_bus,
		.slot = (u8)dev->pci_slot,
		.func = (u8)dev->pci_func,
	};
	pthread_mutex_init(&f->lock, NULL);
	fn->cls = cls;
	fn->opaque = opaque;
	fn->in = f;
	s = &p->slots[f->nr][f->slot];
	s->fn[f->func] = fn;

	header_init(f);
	if (cls->pcie_root_port)
		pcie_init(f);
	if (pci_msi_init(f)) {
		rc = err_set(err, -ENOSPC, "%s: no room for MSI", dev->id);
		goto fail;
	}
	rc = pci_msix_init(f, err);
	if (!rc && own_caps_init(f))
		rc = err_set(err, -ENOSPC, "%s: no room for capabilities", dev->id);
	for (i = 0; i < 6 && !rc; i++)
		rc = bar_init(f, i, err);
	if (rc)
		goto fail;
	if (cls->intx) {
		pci_intx_assign(f);
		f->cfg[PCI_R_INT_PIN] = f->pin;
	}
	memcpy(f->init, f->cfg, sizeof(f->init));
	multifunction_update(s);
	pthread_mutex_lock(&f->lock);
	bars_update_locked(f);
	pthread_mutex_unlock(&f->lock);
	return 0;
fail:
	pci_fn_remove(fn);
	return rc;
}

void pci_fn_remove(struct pci_fn *fn)
{
	struct pci_fn_int *f = fn->in;
	struct pci_slot *s;
	unsigned i;

	if (!f)
		return;
	pci_intx_release(f);
	for (i = 0; i < 6; i++)
		if (f->bar[i].kind != PCI_BAR_NONE)
			bus_unmap(f->bar[i].kind == PCI_BAR_IO ? f->bus->env->pio_bus :
								 f->bus->env->mem_bus,
				  &f->bar[i].region);
	s = &f->bus->slots[f->nr][f->slot];
	s->fn[f->func] = NULL;
	multifunction_update(s);
	fn->in = NULL;
	pci_msix_fini(f);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

void pci_fn_hide(struct pci_fn_int *f)
{
	pthread_mutex_lock(&f->lock);
	store_le16(f->cfg + PCI_R_COMMAND, 0);
	bars_update_locked(f);
	pthread_mutex_unlock(&f->lock);
}

void pci_fn_reset(struct pci_fn_int *f)
{
	pthread_mutex_lock(&f->lock);
	memcpy(f->cfg, f->init, sizeof(f->cfg));
	pci_msix_reset_locked(f);
	f->intx_wanted = false;
	pci_intx_update_locked(f);
	bars_update_locked(f);
	pthread_mutex_unlock(&f->lock);
}

static void fn_dump(struct pci_fn_int *f, struct strbuf *out)
{
	unsigned i;

	pthread_mutex_lock(&f->lock);
	strbuf_add(out, "%02x:%02x.%u %04x:%04x class %02x%02x cmd %04x", f->nr, f->slot, f->func,
		   f->cls->vendor, f->cls->device, f->cls->class_code, f->cls->subclass,
		   pci_cfg16(f, PCI_R_COMMAND));
	if (f->pin)
		strbuf_add(out, " INT%c%s", 'A' + f->pin - 1, f->intx_wanted ? "!" : "");
	if (pci_msi_on_locked(f))
		strbuf_add(out, " msi");
	if (pci_msix_on_locked(f))
		strbuf_add(out, " msix");
	for (i = 0; i < 6; i++) {
		if (f->bar[i].kind == PCI_BAR_NONE)
			continue;
		if (f->bar[i].at == BUS_NOWHERE)
			strbuf_add(out, " bar%u %c hidden", i, bar_letter[f->bar[i].kind]);
		else
			strbuf_add(out, " bar%u %c %#llx+%#llx", i, bar_letter[f->bar[i].kind],
				   (unsigned long long)f->bar[i].at,
				   (unsigned long long)f->bar[i].size);
	}
	strbuf_add(out, "\n");
	pthread_mutex_unlock(&f->lock);
}

void pci_dump(struct pci_bus *p, struct strbuf *out)
{
	struct pci_fn_int *f;
	unsigned bus, i;

	for (bus = 0; bus < PCI_BUSES; bus++) {
		for (i = 0; p->slots[bus] && i < PCI_FNS; i++) {
			f = pci_find(p, bus, i / PCI_FUNCS, i % PCI_FUNCS);
			if (f)
				fn_dump(f, out);
		}
	}
}
