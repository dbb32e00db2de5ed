// SPDX-License-Identifier: BSD-2-Clause
/* accel/kvm/dirty.c - Which pages the guest wrote
 *
 * The kernel logs vCPUs' stores only; mem/ adds those of devices. */
#include "accel/kvm/hkvm.h"

#include <errno.h>

int hkvm_dirty_take(struct accel_vm *avm, unsigned id, u64 *bitmap)
{
	struct hkvm_vm *vm = hkvm_vm(avm);
	struct kvm_dirty_log log = { .slot = id, .dirty_bitmap = bitmap };

	if (id >= ACCEL_MAX_RAM || !vm->ram[id].len || !(vm->ram[id].flags & ACCEL_RAM_LOG))
		return -EINVAL;
	return hkvm_ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log);
}
