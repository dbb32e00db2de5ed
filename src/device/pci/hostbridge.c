// SPDX-License-Identifier: BSD-2-Clause
/* device/pci/hostbridge.c - Host bridge, under HyperKit's own id and under one of AMD's
 *
 * It has no registers. The PCI Express capability is what some guests (FreeBSD) take as
 * the sign that message signalled interrupts may be used below. */
#include <errno.h>

#include "base/err.h"
#include "device/pci/pci.h"

struct hostbridge {
	struct dev dev;
	struct pci_fn fn;
};

static const struct pci_fn_class hostbridge_fn = {
	.vendor = 0x1275,
	.device = 0x1275,
	.class_code = 0x06,
	.pcie_root_port = true,
};

static const struct pci_fn_class amd_hostbridge_fn = {
	.vendor = 0x1022,
	.device = 0x7432,
	.class_code = 0x06,
	.pcie_root_port = true,
};

static int plug(struct dev *d, const struct pci_fn_class *fn, struct hk_err *err)
{
	struct hostbridge *h = container_of(d, struct hostbridge, dev);

	if (!d->env->pci)
		return err_set(err, -ENODEV, "%s: this board has no PCI", d->cls->name);
	return pci_fn_add(d->env->pci, &h->fn, fn, d, h, err);
}

static int hostbridge_plug(struct dev *d, struct hk_err *err)
{
	return plug(d, &hostbridge_fn, err);
}

static int amd_hostbridge_plug(struct dev *d, struct hk_err *err)
{
	return plug(d, &amd_hostbridge_fn, err);
}

static void hostbridge_fini(struct dev *d)
{
	pci_fn_remove(&container_of(d, struct hostbridge, dev)->fn);
}

extern const struct dev_class hostbridge_class, amd_hostbridge_class;
const struct dev_class hostbridge_class = {
	.name = "hostbridge",
	.help = "host bridge",
	.size = sizeof(struct hostbridge),
	.plug = hostbridge_plug,
	.fini = hostbridge_fini,
};
const struct dev_class amd_hostbridge_class = {
	.name = "amd_hostbridge",
	.help = "host bridge with an id of AMD",
	.size = sizeof(struct hostbridge),
	.plug = amd_hostbridge_plug,
	.fini = hostbridge_fini,
};
