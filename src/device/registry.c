// SPDX-License-Identifier: BSD-2-Clause
/* device/registry.c - Which devices -s can name
 *
 * A visible table instead of constructors or linker sets, which vanish from static
 * libraries. A new device is one extern and one row. */
#include "device/dev.h"

extern const struct dev_class hostbridge_class;
extern const struct dev_class amd_hostbridge_class;
extern const struct dev_class lpc_class;
extern const struct dev_class pci_uart_class;
extern const struct dev_class dummy_class;
extern const struct dev_class ahci_hd_class, ahci_cd_class;
extern const struct dev_class virtio_blk_class;
extern const struct dev_class virtio_rnd_class;
extern const struct dev_class virtio_console_class;
extern const struct dev_class virtio_balloon_class;
extern const struct dev_class virtio_sock_class;
extern const struct dev_class virtio_9p_class;
extern const struct dev_class virtio_net_class, virtio_tap_class, virtio_vpnkit_class;

const struct dev_class *const dev_registry[] = {
	&hostbridge_class, &amd_hostbridge_class, &lpc_class, &pci_uart_class, &dummy_class,
	&ahci_hd_class, &ahci_cd_class, &virtio_blk_class, &virtio_rnd_class,
	&virtio_console_class, &virtio_balloon_class, &virtio_sock_class, &virtio_9p_class,
	&virtio_net_class, &virtio_tap_class, &virtio_vpnkit_class, NULL,
};

const char *const dev_planned[] = {
	NULL,
};
