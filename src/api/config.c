// SPDX-License-Identifier: BSD-2-Clause
/* api/config.c - Sized structs, and what can be asked without a VM [any] */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "accel/accel.h"
#include "api/api_int.h"
#include "base/err.h"
#include "device/dev.h"
#include "device/virtio/net.h"

int api_take_sized(void *out, size_t out_size, const void *in, size_t in_size, size_t min_size,
		   const char *what, struct hk_err *err)
{
	const u8 *extra = in;

	if (in_size < min_size)
		return err_set(err, -EINVAL, "%s: size is not set", what);
	for (size_t i = out_size; i < in_size; i++)
		if (extra[i])
			return err_set(err, -EINVAL, "%s: built for a newer version", what);
	memcpy(out, in, in_size < out_size ? in_size : out_size);
	return 0;
}

const char *hk_version(void)
{
	return HK_VERSION;
}

int hk_accel_query(unsigned index, struct hk_accel_info *info)
{
	const struct accel_ops *ops = NULL, *best;
	struct accel_caps caps;

	if (!info)
		return -EINVAL;
	for (unsigned i = 0; accel_all[i]; i++)
		if (i == index)
			ops = accel_all[i];
	if (!ops)
		return -ENOENT;
	memset(info, 0, sizeof(*info));
	memset(&caps, 0, sizeof(caps));
	info->name = ops->name;
	info->present = ops->probe(&caps) == 0;
	info->usable = info->present && caps.fits_kernels;
	snprintf(info->why, sizeof(info->why), "%s", caps.why);
	info->chosen_by_auto = !accel_choose("auto", &best, &caps, NULL) && best == ops;
	return 0;
}

int hk_device_query(unsigned index, const char **name, const char **help)
{
	unsigned i = 0;

	while (i < index && dev_registry[i])
		i++;
	if (!dev_registry[i])
		return -ENOENT;
	if (name)
		*name = dev_registry[i]->name;
	if (help)
		*help = dev_registry[i]->help ? dev_registry[i]->help : "";
	return 0;
}

int hk_net_mac(const char *name, const char *opts, const char *uuid, unsigned bus, unsigned slot,
	       unsigned func, uint8_t mac[6], struct hk_err *err)
{
	const struct vnet_place at = { .uuid = uuid, .bus = bus, .slot = slot, .func = func };

	if (!name || !mac)
		return err_set(err, -EINVAL, "hk_net_mac needs a name and a place for the address");
	return vnet_mac(name, opts, &at, mac, err);
}
