// SPDX-License-Identifier: BSD-2-Clause
/* device/chipset/debug_exit.c - A port with which a test kernel ends its VM
 *
 * A write of v to port 0xF4 (1, 2 or 4 bytes) ends the VM with value 2 * v + 1,
 * the exit status that QEMU's isa-debug-exit has. Reads give 0. [vcpu] */
#include "device/chipset/chipset.h"

#define DEBUG_EXIT_PORT 0xf4

struct debug_exit {
	struct dev dev;
	struct region port;
	bool mapped;
};

static u64 debug_exit_read(void *opaque, u64 off, unsigned size) { return 0; }

static void debug_exit_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct debug_exit *x = opaque;
	const struct dev_env *env = x->dev.env;

	if (off == 0 && env->request_exit)
		env->request_exit(env->m, HK_EXIT_DEBUG, (int)((u32)val << 1 | 1));
}

static const struct region_ops debug_exit_ops = {
	.read = debug_exit_read, .write = debug_exit_write, .min = 1, .max = 4,
};

static int debug_exit_plug(struct dev *d, struct hk_err *err)
{
	struct debug_exit *x = container_of(d, struct debug_exit, dev);
	int rc;

	x->port = (struct region){
		.name = "debug-exit", .size = 4, .ops = &debug_exit_ops, .opaque = x,
	};
	rc = bus_map(d->env->pio_bus, &x->port, DEBUG_EXIT_PORT, err);
	x->mapped = !rc;
	return rc;
}

static void debug_exit_fini(struct dev *d)
{
	struct debug_exit *x = container_of(d, struct debug_exit, dev);

	if (x->mapped)
		bus_unmap(d->env->pio_bus, &x->port);
}

const struct dev_class debug_exit_class = {
	.name = "isa-debug-exit",
	.help = "test kernels end the VM with a value",
	.size = sizeof(struct debug_exit),
	.plug = debug_exit_plug,
	.fini = debug_exit_fini,
};
