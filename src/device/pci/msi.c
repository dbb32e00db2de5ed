// SPDX-License-Identifier: BSD-2-Clause
/* device/pci/msi.c - MSI capability: 64-bit address, no per-vector mask
 *
 * PCI 3.0, 6.8.1. Registers live in configuration space; cfg.c stores what the guest
 * writes under the write masks set here. */
#include "base/wire.h"
#include "device/pci/pci_int.h"

#define MSI_CTRL 2u
#define MSI_ADDR 4u
#define MSI_ADDR_HI 8u
#define MSI_DATA 12u
#define MSI_LEN 14u
#define MSI_CTRL_ENABLE BIT(0)
#define MSI_CTRL_MMC_SHIFT 1
#define MSI_CTRL_MME_SHIFT 4
#define MSI_CTRL_64 BIT(7)

static unsigned log2_up(unsigned n)
{
	unsigned bits = 0;

	while ((1u << bits) < n)
		bits++;
	return bits;
}

int pci_msi_init(struct pci_fn_int *f)
{
	unsigned bits;
	u8 at;

	if (!f->cls->msi_vectors)
		return 0;
	bits = log2_up(MIN(f->cls->msi_vectors, 32));
	at = pci_cap_add(f, 0x05, MSI_LEN);
	if (!at)
		return -1;
	store_le16(f->cfg + at + MSI_CTRL, (u16)(MSI_CTRL_64 | bits << MSI_CTRL_MMC_SHIFT));
	store_le16(f->wmask + at + MSI_CTRL, MSI_CTRL_ENABLE | 7u << MSI_CTRL_MME_SHIFT);
	store_le32(f->wmask + at + MSI_ADDR, ~3u);
	store_le32(f->wmask + at + MSI_ADDR_HI, ~0u);
	store_le16(f->wmask + at + MSI_DATA, 0xffff);
	f->msi_cap = at;
	return 0;
}

bool pci_msi_on_locked(const struct pci_fn_int *f)
{
	return f->msi_cap && (pci_cfg16(f, f->msi_cap + MSI_CTRL) & MSI_CTRL_ENABLE);
}

bool pci_msi_enabled(const struct pci_fn *fn)
{
	struct pci_fn_int *f = fn->in;
	bool on;

	if (!f)
		return false;
	pthread_mutex_lock(&f->lock);
	on = pci_msi_on_locked(f);
	pthread_mutex_unlock(&f->lock);
	return on;
}

/* The guest may have granted fewer vectors than we asked for: the device's vectors then
 * share those granted, as 6.8.3.4 leaves to the function. */
void pci_msi_raise(struct pci_fn *fn, unsigned vector)
{
	struct pci_fn_int *f = fn->in;
	unsigned bits, granted, asked;
	u64 addr;
	u16 ctrl, data;

	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	if (pci_msi_on_locked(f)) {
		ctrl = pci_cfg16(f, f->msi_cap + MSI_CTRL);
		granted = ctrl >> MSI_CTRL_MME_SHIFT & 7;
		asked = ctrl >> MSI_CTRL_MMC_SHIFT & 7;
		bits = MIN(granted, asked);
		addr = pci_cfg32(f, f->msi_cap + MSI_ADDR) |
		       (u64)pci_cfg32(f, f->msi_cap + MSI_ADDR_HI) << 32;
		data = pci_cfg16(f, f->msi_cap + MSI_DATA);
		data = (u16)((data & ~((1u << bits) - 1)) | (vector & ((1u << bits) - 1)));
		msi_send(&f->bus->env->msi, addr, data);
	}
	pthread_mutex_unlock(&f->lock);
}
