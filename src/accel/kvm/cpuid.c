// SPDX-License-Identifier: BSD-2-Clause
/* accel/kvm/cpuid.c - What KVM lets the guest know of its CPU
 *
 * The table is the kernel's, with its paravirtual leaves (0x40000000). Topology
 * and what the board hides are machine/cpuid.c's. */
#include "accel/kvm/hkvm.h"

#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>

#define KERNEL_MAX_CPUID 256
#define LEAF1_ECX_VMX BIT(5)
#define LEAF1_ECX_TSC_DEADLINE BIT(24)
#define LEAF1_ECX_HYPERVISOR BIT(31)
#define LEAF80000001_ECX_SVM BIT(2)

bool hkvm_cpu_has_vt(void)
{
	unsigned a, b, c, d;

	if (__get_cpuid(1, &a, &b, &c, &d) && (c & LEAF1_ECX_VMX))
		return true;
	return __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & LEAF80000001_ECX_SVM);
}

static int add_row(struct accel_caps *caps, const struct kvm_cpuid_entry2 *e)
{
	bool indexed = e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX;

	/* A missing subleaf reads as zeros anyway */
	if (indexed && e->index && !e->eax && !e->ebx && !e->ecx && !e->edx)
		return 0;
	if (caps->num_cpuid == ACCEL_MAX_CPUID)
		return -E2BIG;
	caps->cpuid[caps->num_cpuid++] = (struct cpuid_entry){
		.leaf = e->function, .subleaf = e->index, .has_subleaf = indexed,
		.eax = e->eax, .ebx = e->ebx, .ecx = e->ecx, .edx = e->edx,
	};
	return 0;
}

int hkvm_cpuid_probe(int kvm_fd, struct accel_caps *caps)
{
	struct kvm_cpuid2 *t = calloc(1, sizeof(*t) + KERNEL_MAX_CPUID * sizeof(t->entries[0]));
	int rc;

	if (!t)
		return -ENOMEM;
	t->nent = KERNEL_MAX_CPUID;
	rc = hkvm_ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, t);
	caps->num_cpuid = 0;
	for (u32 i = 0; !rc && i < t->nent; i++) {
		/* Two bits the kernel leaves to us: that the paravirtual leaves exist, and the
		 * deadline timer, since it needs the LAPIC in the kernel, which we use */
		if (t->entries[i].function == 1) {
			t->entries[i].ecx |= LEAF1_ECX_HYPERVISOR;
			if (hkvm_ioctl_num(kvm_fd, KVM_CHECK_EXTENSION,
					   KVM_CAP_TSC_DEADLINE_TIMER) > 0)
				t->entries[i].ecx |= LEAF1_ECX_TSC_DEADLINE;
		}
		rc = add_row(caps, &t->entries[i]);
	}
	free(t);
	return rc;
}

int hkvm_cpuid_set(struct accel_vcpu *av, const struct cpuid_entry *table, unsigned n)
{
	struct kvm_cpuid2 *t;
	int rc;

	if (n > ACCEL_MAX_CPUID)
		return -E2BIG;
	t = calloc(1, sizeof(*t) + n * sizeof(t->entries[0]));
	if (!t)
		return -ENOMEM;
	t->nent = n;
	for (unsigned i = 0; i < n; i++)
		t->entries[i] = (struct kvm_cpuid_entry2){
			.function = table[i].leaf, .index = table[i].subleaf,
			.flags = table[i].has_subleaf ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
			.eax = table[i].eax, .ebx = table[i].ebx,
			.ecx = table[i].ecx, .edx = table[i].edx,
		};
	rc = hkvm_ioctl(hkvm_vcpu(av)->fd, KVM_SET_CPUID2, t);
	free(t);
	return rc;
}
