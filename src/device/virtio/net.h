// SPDX-License-Identifier: BSD-2-Clause
/* device/virtio/net.h - What can be asked of network cards without having one */
#ifndef DEVICE_VIRTIO_NET_H
#define DEVICE_VIRTIO_NET_H

#include "base/types.h"
#include "hyperkit/hyperkit.h"

/* Where a card is and whose it is */
struct vnet_place {
	const char *uuid; /* of the VM; NULL: none was given */
	unsigned bus, slot, func;
};

/* [any] The address of device @name with @opts. -ENODEV: no network card; -EAGAIN: it is not known
 * before the device is made (a server's, or a random one) */
int vnet_mac(const char *name, const char *opts, const struct vnet_place *at, u8 mac[6],
	     struct hk_err *err) MUST_CHECK;

#endif
