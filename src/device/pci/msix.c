// SPDX-License-Identifier: BSD-2-Clause
/* device/pci/msix.c - MSI-X: table, pending bits, function and vector masks
 *
 * PCI 3.0, 6.8.2. The table starts its BAR, the pending bit array has pages of its own
 * behind it. An interrupt raised while its vector (or the function) is masked sets the
 * pending bit and is sent on unmask, once however often it was raised. */
#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/wire.h"
#include "device/pci/pci_int.h"

#define MSIX_CTRL 2u
#define MSIX_TABLE 4u
#define MSIX_PBA 8u
#define MSIX_LEN 12u
#define MSIX_CTRL_ENABLE BIT(15)
#define MSIX_CTRL_MASK_ALL BIT(14)
#define MSIX_MAX 2048u
#define MSIX_VEC_BYTES 16u

static u64 table_bytes(unsigned n)
{
	return ALIGN_UP((u64)n * MSIX_VEC_BYTES, PAGE_BYTES);
}

u64 pci_msix_bar_bytes(unsigned vectors)
{
	return table_bytes(vectors) + ALIGN_UP((vectors + 63) / 64 * 8, PAGE_BYTES);
}

int pci_msix_init(struct pci_fn_int *f, struct hk_err *err)
{
	const struct pci_fn_class *cls = f->cls;
	unsigned i;
	u8 at;

	if (!cls->msix_vectors)
		return 0;
	if (cls->msix_vectors > MSIX_MAX || cls->msix_bar > 5 ||
	    (cls->bar[cls->msix_bar].kind != PCI_BAR_MEM32 &&
	     cls->bar[cls->msix_bar].kind != PCI_BAR_MEM64))
		return err_set(err, -EINVAL, "%s: impossible MSI-X description", f->dev->id);
	at = pci_cap_add(f, 0x11, MSIX_LEN);
	f->msix = calloc(cls->msix_vectors, sizeof(*f->msix));
	f->pba = calloc((cls->msix_vectors + 63) / 64, sizeof(*f->pba));
	if (!at || !f->msix || !f->pba)
		return err_set(err, -ENOMEM, "%s: no room for MSI-X", f->dev->id);
	for (i = 0; i < cls->msix_vectors; i++)
		f->msix[i].masked = true;
	f->num_msix = cls->msix_vectors;
	f->pba_off = table_bytes(f->num_msix);
	store_le16(f->cfg + at + MSIX_CTRL, (u16)(f->num_msix - 1));
	store_le16(f->wmask + at + MSIX_CTRL, (u16)(MSIX_CTRL_ENABLE | MSIX_CTRL_MASK_ALL));
	store_le32(f->cfg + at + MSIX_TABLE, cls->msix_bar);
	store_le32(f->cfg + at + MSIX_PBA, (u32)f->pba_off | cls->msix_bar);
	f->msix_cap = at;
	return 0;
}

void pci_msix_fini(struct pci_fn_int *f)
{
	free(f->msix);
	free(f->pba);
	f->msix = NULL;
	f->pba = NULL;
	f->num_msix = 0;
}

bool pci_msix_on_locked(const struct pci_fn_int *f)
{
	return f->msix_cap && (pci_cfg16(f, f->msix_cap + MSIX_CTRL) & MSIX_CTRL_ENABLE);
}

bool pci_msix_enabled(const struct pci_fn *fn)
{
	struct pci_fn_int *f = fn->in;
	bool on;

	if (!f)
		return false;
	pthread_mutex_lock(&f->lock);
	on = pci_msix_on_locked(f);
	pthread_mutex_unlock(&f->lock);
	return on;
}

/* Enabled and the function as a whole not masked */
static bool open_locked(const struct pci_fn_int *f)
{
	return (pci_cfg16(f, f->msix_cap + MSIX_CTRL) & (MSIX_CTRL_ENABLE | MSIX_CTRL_MASK_ALL)) ==
	       MSIX_CTRL_ENABLE;
}

static void deliver_pending_locked(struct pci_fn_int *f, unsigned v)
{
	u64 bit = BIT64(v % 64);

	if (!(f->pba[v / 64] & bit) || f->msix[v].masked)
		return;
	f->pba[v / 64] &= ~bit;
	msi_send(&f->bus->env->msi, f->msix[v].addr, f->msix[v].data);
}

void pci_msix_control_locked(struct pci_fn_int *f, u16 before)
{
	u16 mask = MSIX_CTRL_ENABLE | MSIX_CTRL_MASK_ALL;
	unsigned i;

	if (!open_locked(f) || (before & mask) == MSIX_CTRL_ENABLE)
		return;
	for (i = 0; i < f->num_msix; i++)
		deliver_pending_locked(f, i);
}

void pci_msix_reset_locked(struct pci_fn_int *f)
{
	unsigned i;

	for (i = 0; i < f->num_msix; i++)
		f->msix[i] = (struct pci_msix_vec){ .masked = true };
	for (i = 0; i < (f->num_msix + 63) / 64; i++)
		f->pba[i] = 0;
}

void pci_msix_raise(struct pci_fn *fn, unsigned vector)
{
	struct pci_fn_int *f = fn->in;

	if (!f || vector >= f->num_msix)
		return;
	pthread_mutex_lock(&f->lock);
	if (pci_msix_on_locked(f)) {
		f->pba[vector / 64] |= BIT64(vector % 64);
		if (open_locked(f))
			deliver_pending_locked(f, vector);
	}
	pthread_mutex_unlock(&f->lock);
}

static u32 dword_read(const struct pci_fn_int *f, u64 off)
{
	const struct pci_msix_vec *v;
	u64 q;

	if (off < (u64)f->num_msix * MSIX_VEC_BYTES) {
		v = &f->msix[off / MSIX_VEC_BYTES];
		switch (off % MSIX_VEC_BYTES) {
		case 0:
			return (u32)v->addr;
		case 4:
			return (u32)(v->addr >> 32);
		case 8:
			return v->data;
		default:
			return v->masked;
		}
	}
	if (off >= f->pba_off && off - f->pba_off < (f->num_msix + 63) / 64 * 8) {
		q = f->pba[(off - f->pba_off) / 8];
		return (u32)(off & 4 ? q >> 32 : q);
	}
	return 0;
}

static void dword_write(struct pci_fn_int *f, u64 off, u32 val)
{
	struct pci_msix_vec *v;

	/* The pending bit array is read-only */
	if (off >= (u64)f->num_msix * MSIX_VEC_BYTES)
		return;
	v = &f->msix[off / MSIX_VEC_BYTES];
	switch (off % MSIX_VEC_BYTES) {
	case 0:
		v->addr = (v->addr & ~0xffffffffull) | (val & ~3u);
		break;
	case 4:
		v->addr = (v->addr & 0xffffffffull) | (u64)val << 32;
		break;
	case 8:
		v->data = val;
		break;
	default:
		v->masked = val & 1;
		if (open_locked(f))
			deliver_pending_locked(f, (unsigned)(off / MSIX_VEC_BYTES));
		break;
	}
}

static u64 table_read(void *opaque, u64 off, unsigned size)
{
	struct pci_fn_int *f = opaque;
	u64 val;

	pthread_mutex_lock(&f->lock);
	val = dword_read(f, off);
	if (size == 8)
		val |= (u64)dword_read(f, off + 4) << 32;
	pthread_mutex_unlock(&f->lock);
	return val;
}

static void table_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct pci_fn_int *f = opaque;

	pthread_mutex_lock(&f->lock);
	dword_write(f, off, (u32)val);
	if (size == 8)
		dword_write(f, off + 4, (u32)(val >> 32));
	pthread_mutex_unlock(&f->lock);
}

const struct region_ops pci_msix_region_ops = {
	.read = table_read,
	.write = table_write,
	.min = 4,
	.max = 8,
};
