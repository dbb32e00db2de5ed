// SPDX-License-Identifier: BSD-2-Clause
/* cli/info.c - `hyperkit info`: what this host can do, which accelerator is taken, and why */
#include <string.h>

#include "cli/cli.h"

static const char *state(const struct hk_accel_info *i)
{
	if (i->usable)
		return "works";
	return i->present ? "opens, but not fit for kernels" : "does not work here";
}

int info_main(const char *prog)
{
	struct hk_accel_info info;
	const char *name, *help, *taken = NULL;

	printf("%s %s\n\nAccelerators, in the order --accel auto tries them:\n", prog, hk_version());
	for (unsigned i = 0; hk_accel_query(i, &info) == 0; i++) {
		printf("  %-6s %s%s\n", info.name, state(&info),
		       info.chosen_by_auto ? "; taken by default" : "");
		if (info.why[0])
			printf("         %s\n", info.why);
		if (info.chosen_by_auto)
			taken = info.name;
	}
	if (taken)
		printf("\n--accel auto takes %s.\n", taken);
	else
		printf("\n--accel auto finds nothing that can boot a kernel here.\n");
	printf("\nDevices for -s:\n");
	for (unsigned i = 0; hk_device_query(i, &name, &help) == 0; i++)
		printf("  %-16s %s\n", name, help);
	return taken ? CLI_OK : CLI_ERROR;
}
