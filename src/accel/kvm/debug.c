// SPDX-License-Identifier: BSD-2-Clause
/* accel/kvm/debug.c - Breakpoints and single steps for a debugger
 *
 * The CPU's own debug registers, lent by KVM: the guest's are put aside. */
#include "accel/kvm/hkvm.h"

#include <errno.h>

#define DR7_GE_LE 0x300u
#define DR7_FIXED 0x400u

int hkvm_debug_set(struct accel_vcpu *av, const u64 *breakpoints, unsigned n, bool step)
{
	struct kvm_guest_debug d = { 0 };

	if (n > 4)
		return -EINVAL;
	if (n || step)
		d.control = KVM_GUESTDBG_ENABLE;
	if (step)
		d.control |= KVM_GUESTDBG_SINGLESTEP;
	if (n) {
		d.control |= KVM_GUESTDBG_USE_HW_BP;
		d.arch.debugreg[7] = DR7_FIXED | DR7_GE_LE;
	}
	for (unsigned i = 0; i < n; i++) {
		d.arch.debugreg[i] = breakpoints[i];
		d.arch.debugreg[7] |= 2u << 2 * i; /* global enable; type 0: execute, one byte */
	}
	return hkvm_ioctl(hkvm_vcpu(av)->fd, KVM_SET_GUEST_DEBUG, &d);
}
