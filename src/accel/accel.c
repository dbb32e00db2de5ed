// SPDX-License-Identifier: BSD-2-Clause
/* accel/accel.c - The table of accelerators, and the choice among them
 *
 * The only file outside the leaves that names them. [any] */
#include "accel/accel.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"

const struct accel_ops *const accel_all[] = { &hkvm_accel_ops, &sc_accel_ops, NULL };

static int choose_auto(const struct accel_ops **out, struct accel_caps *caps, struct hk_err *err)
{
	for (unsigned i = 0; accel_all[i]; i++) {
		memset(caps, 0, sizeof(*caps));
		if (accel_all[i]->probe(caps) || !caps->fits_kernels)
			continue;
		*out = accel_all[i];
		return 0;
	}
	/* caps->why is that of the last one, which is the one without needs */
	return err_set(err, -ENOTSUP, "no accelerator works here: %s: %s",
		       accel_all[ARRAY_LEN(accel_all) - 2]->name, caps->why);
}

int accel_choose(const char *name, const struct accel_ops **out, struct accel_caps *caps,
		 struct hk_err *err)
{
	if (!name || !strcmp(name, "auto"))
		return choose_auto(out, caps, err);
	for (unsigned i = 0; accel_all[i]; i++) {
		if (strcmp(name, accel_all[i]->name))
			continue;
		memset(caps, 0, sizeof(*caps));
		if (accel_all[i]->probe(caps))
			return err_set(err, -ENOTSUP, "accelerator %s: %s", name, caps->why);
		*out = accel_all[i];
		return 0;
	}
	return err_set(err, -EINVAL, "unknown accelerator \"%s\": auto, kvm or soft", name);
}
