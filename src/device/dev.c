// SPDX-License-Identifier: BSD-2-Clause
/* device/dev.c - Find a device class by its name */
#include "device/dev.h"

#include <string.h>

const struct dev_class *dev_class_find(const char *name)
{
	const struct dev_class *const *c;

	for (c = dev_registry; *c; c++)
		if (!strcmp((*c)->name, name))
			return *c;
	return NULL;
}
