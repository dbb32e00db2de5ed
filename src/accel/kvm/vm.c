// SPDX-License-Identifier: BSD-2-Clause
/* accel/kvm/vm.c - What KVM can do here; a VM and its memory slots
 *
 * Opening /dev/kvm proves little: it also opens where KVM runs without VT-x or
 * AMD-V by page-table tricks, and there an unmodified guest kernel is emulated
 * instruction by instruction. Tiny guests are right on it, kernels crawl. */
#include "accel/kvm/hkvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/err.h"

/* Pages that KVM uses below 4 GiB on Intel CPUs without "unrestricted guest";
 * boot/e820.c reserves them */
#define IDENTITY_MAP_GPA 0xfeffc000ull
#define TSS_GPA 0xfeffd000ul

int hkvm_ioctl(int fd, unsigned long request, void *arg)
{
	int rc;

	do
		rc = ioctl(fd, request, arg);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : rc;
}

int hkvm_ioctl_num(int fd, unsigned long request, unsigned long arg)
{
	return hkvm_ioctl(fd, request, (void *)arg);
}

/* ------------------------------------------------------------------ probe */

static int extension(int fd, long cap)
{
	int rc = hkvm_ioctl_num(fd, KVM_CHECK_EXTENSION, cap);

	return rc < 0 ? 0 : rc;
}

/* All of them are older than Linux 5.10 */
static const struct { long cap; const char *name; } needed[] = {
	{ KVM_CAP_USER_MEMORY, "memory slots" },
	{ KVM_CAP_IRQCHIP, "interrupt controllers" },
	{ KVM_CAP_IRQ_ROUTING, "interrupt routing" },
	{ KVM_CAP_SIGNAL_MSI, "MSI" },
	{ KVM_CAP_IMMEDIATE_EXIT, "immediate exit" },
	{ KVM_CAP_MP_STATE, "MP state" },
	{ KVM_CAP_VCPU_EVENTS, "vCPU events" },
	{ KVM_CAP_DEBUGREGS, "debug registers" },
	{ KVM_CAP_XSAVE, "XSAVE" },
	{ KVM_CAP_EXT_CPUID, "CPUID" },
	{ KVM_CAP_SET_TSS_ADDR, "TSS address" },
};

static const struct { u32 bit; long cap; } optional[] = {
	{ ACCEL_CAP_IRQFD, KVM_CAP_IRQFD },
	{ ACCEL_CAP_DOORBELL, KVM_CAP_IOEVENTFD },
	{ ACCEL_CAP_DEBUG, KVM_CAP_SET_GUEST_DEBUG },
	{ ACCEL_CAP_CLOCK, KVM_CAP_ADJUST_CLOCK },
};

/* Only a vCPU knows; it is gone when we return */
static u64 probe_tsc_hz(int kvm_fd)
{
	int vm_fd = hkvm_ioctl_num(kvm_fd, KVM_CREATE_VM, 0), cpu_fd, khz = 0;

	if (vm_fd < 0)
		return 0;
	cpu_fd = hkvm_ioctl_num(vm_fd, KVM_CREATE_VCPU, 0);
	if (cpu_fd >= 0) {
		khz = hkvm_ioctl_num(cpu_fd, KVM_GET_TSC_KHZ, 0);
		close(cpu_fd);
	}
	close(vm_fd);
	return khz > 0 ? khz * 1000ull : 0;
}

static int open_kvm(struct accel_caps *caps)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC), rc;

	if (fd >= 0)
		return fd;
	rc = -errno;
	snprintf(caps->why, sizeof(caps->why), "/dev/kvm does not open: %s%s", strerror(-rc),
		 rc == -EACCES ? " (is this user in the group kvm?)" : "");
	return rc;
}

static int hkvm_probe(struct accel_caps *caps)
{
	int fd = open_kvm(caps), rc;

	if (fd < 0)
		return fd;
	rc = hkvm_ioctl_num(fd, KVM_GET_API_VERSION, 0);
	if (rc != KVM_API_VERSION) {
		snprintf(caps->why, sizeof(caps->why), "/dev/kvm has API version %d, %d is needed",
			 rc, KVM_API_VERSION);
		rc = -ENOTSUP;
		goto out;
	}
	for (unsigned i = 0; i < ARRAY_LEN(needed); i++) {
		if (extension(fd, needed[i].cap))
			continue;
		snprintf(caps->why, sizeof(caps->why), "this KVM has no %s", needed[i].name);
		rc = -ENOTSUP;
		goto out;
	}
	caps->bits = ACCEL_CAP_DIRTY_LOG | ACCEL_CAP_LAPIC | ACCEL_CAP_IOAPIC;
	for (unsigned i = 0; i < ARRAY_LEN(optional); i++)
		if (extension(fd, optional[i].cap))
			caps->bits |= optional[i].bit;
	caps->max_cpus = MIN(MAX(extension(fd, KVM_CAP_MAX_VCPUS), 1), HKVM_MAX_CPUS);
	rc = hkvm_cpuid_probe(fd, caps);
	if (rc) {
		snprintf(caps->why, sizeof(caps->why), "KVM does not tell its CPUID: %s",
			 strerror(-rc));
		goto out;
	}
	caps->tsc_hz = probe_tsc_hz(fd);
	if (!caps->tsc_hz) {
		snprintf(caps->why, sizeof(caps->why), "opens, but makes no virtual CPU");
		rc = -ENOTSUP;
		goto out;
	}
	caps->fits_kernels = hkvm_cpu_has_vt();
	snprintf(caps->why, sizeof(caps->why), "%s", caps->fits_kernels ?
		 "/dev/kvm opens and the CPU has hardware virtualization" :
		 "opens, but the CPU shows neither VT-x nor AMD-V: guests would be emulated "
		 "at about 2 million instructions a second");
out:
	close(fd);
	return rc;
}

/* --------------------------------------------------------------------- VM */

static void hkvm_vm_destroy(struct accel_vm *avm)
{
	struct hkvm_vm *vm = hkvm_vm(avm);

	if (!vm)
		return;
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->kvm_fd >= 0)
		close(vm->kvm_fd);
	if (vm->has_lock)
		pthread_mutex_destroy(&vm->lock);
	free(vm->routes);
	free(vm);
}

/* Registers that KVM does not know go to accel_host.msr. A KVM without it answers
 * #GP itself, which is what the host would mostly say. */
static int enable_user_msrs(struct hkvm_vm *vm)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_USER_SPACE_MSR,
				      .args = { KVM_MSR_EXIT_REASON_UNKNOWN } };

	if (!extension(vm->kvm_fd, KVM_CAP_X86_USER_SPACE_MSR))
		return 0;
	return hkvm_ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

static int vm_setup(struct hkvm_vm *vm, struct hk_err *err)
{
	u64 identity = IDENTITY_MAP_GPA;
	int rc;

	rc = hkvm_ioctl_num(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (rc < (int)sizeof(struct kvm_run))
		return err_set(err, rc < 0 ? rc : -EINVAL, "KVM_GET_VCPU_MMAP_SIZE failed");
	vm->run_bytes = (size_t)rc;
	vm->fd = hkvm_ioctl_num(vm->kvm_fd, KVM_CREATE_VM, 0);
	if (vm->fd < 0)
		return err_set(err, vm->fd, "KVM_CREATE_VM: %s", strerror(-vm->fd));
	if (extension(vm->kvm_fd, KVM_CAP_SET_IDENTITY_MAP_ADDR)) {
		rc = hkvm_ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity);
		if (rc)
			return err_set(err, rc, "KVM_SET_IDENTITY_MAP_ADDR: %s", strerror(-rc));
	}
	rc = hkvm_ioctl_num(vm->fd, KVM_SET_TSS_ADDR, TSS_GPA);
	if (rc)
		return err_set(err, rc, "KVM_SET_TSS_ADDR: %s", strerror(-rc));
	rc = hkvm_irq_init(vm);
	if (rc)
		return err_set(err, rc, "KVM interrupt controllers: %s", strerror(-rc));
	rc = enable_user_msrs(vm);
	if (rc)
		return err_set(err, rc, "KVM_CAP_X86_USER_SPACE_MSR: %s", strerror(-rc));
	vm->has_readonly = extension(vm->kvm_fd, KVM_CAP_READONLY_MEM);
	vm->has_xcr0 = extension(vm->kvm_fd, KVM_CAP_XCRS);
	return 0;
}

static int hkvm_vm_create(struct accel_vm **out, const struct accel_vm_config *cfg,
			  struct hk_err *err)
{
	struct hkvm_vm *vm;
	int rc;

	if (cfg->cpus < 1 || cfg->cpus > HKVM_MAX_CPUS)
		return err_set(err, -EINVAL, "%u vCPUs: 1 to %u are possible", cfg->cpus,
			       HKVM_MAX_CPUS);
	rc = hkvm_kick_init(err);
	if (rc)
		return rc;
	vm = calloc(1, sizeof(*vm));
	if (!vm)
		return err_set(err, -ENOMEM, "out of memory");
	vm->base.ops = &hkvm_accel_ops;
	vm->host = cfg->host;
	vm->m = cfg->m;
	vm->log = cfg->log;
	vm->ignore_msr = cfg->ignore_msr;
	vm->cpus = cfg->cpus;
	vm->fd = -1;
	vm->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm_fd < 0) {
		rc = err_set(err, -errno, "/dev/kvm: %s", strerror(errno));
		goto fail;
	}
	rc = -pthread_mutex_init(&vm->lock, NULL);
	if (rc) {
		err_set(err, rc, "no lock");
		goto fail;
	}
	vm->has_lock = true;
	rc = vm_setup(vm, err);
	if (rc)
		goto fail;
	*out = &vm->base;
	return 0;
fail:
	hkvm_vm_destroy(&vm->base);
	return rc;
}

/* ----------------------------------------------------------------- memory */

static int set_slot(struct hkvm_vm *vm, const struct accel_ram *ram, u64 len)
{
	struct kvm_userspace_memory_region r = {
		.slot = ram->id,
		.guest_phys_addr = ram->gpa,
		.memory_size = len,
		.userspace_addr = (u64)(uintptr_t)ram->hva,
	};

	if (ram->flags & ACCEL_RAM_ROM)
		r.flags |= KVM_MEM_READONLY;
	if (ram->flags & ACCEL_RAM_LOG)
		r.flags |= KVM_MEM_LOG_DIRTY_PAGES;
	return hkvm_ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r);
}

static int hkvm_ram_map(struct accel_vm *avm, const struct accel_ram *ram)
{
	struct hkvm_vm *vm = hkvm_vm(avm);
	int rc;

	if (ram->id >= ACCEL_MAX_RAM || !ram->len)
		return -EINVAL;
	if (ram->flags & ACCEL_RAM_ROM && !vm->has_readonly)
		return -ENOTSUP;
	if (vm->ram[ram->id].len)
		return -EEXIST;
	rc = set_slot(vm, ram, ram->len);
	if (!rc)
		vm->ram[ram->id] = *ram;
	return rc;
}

static int hkvm_ram_unmap(struct accel_vm *avm, unsigned id)
{
	struct hkvm_vm *vm = hkvm_vm(avm);
	int rc;

	if (id >= ACCEL_MAX_RAM || !vm->ram[id].len)
		return -ENOENT;
	rc = set_slot(vm, &vm->ram[id], 0);
	if (!rc)
		vm->ram[id].len = 0;
	return rc;
}

/* ------------------------------------------------------------------ clock */

static int hkvm_clock_get(struct accel_vm *avm, u64 *ns)
{
	struct kvm_clock_data data = { 0 };
	int rc = hkvm_ioctl(hkvm_vm(avm)->fd, KVM_GET_CLOCK, &data);

	*ns = data.clock;
	return rc < 0 ? rc : 0;
}

static int hkvm_clock_set(struct accel_vm *avm, u64 ns)
{
	struct kvm_clock_data data = { .clock = ns };

	return hkvm_ioctl(hkvm_vm(avm)->fd, KVM_SET_CLOCK, &data);
}

const struct accel_ops hkvm_accel_ops = {
	.name = "kvm",
	.probe = hkvm_probe,
	.vm_create = hkvm_vm_create,
	.vm_destroy = hkvm_vm_destroy,
	.ram_map = hkvm_ram_map,
	.ram_unmap = hkvm_ram_unmap,
	.dirty_take = hkvm_dirty_take,
	.vcpu_create = hkvm_vcpu_create,
	.vcpu_destroy = hkvm_vcpu_destroy,
	.cpuid_set = hkvm_cpuid_set,
	.vcpu_run = hkvm_vcpu_run,
	.vcpu_kick = hkvm_vcpu_kick,
	.state_get = hkvm_state_get,
	.state_set = hkvm_state_set,
	.inject = hkvm_inject,
	.has_work = hkvm_has_work,
	.irq_line = hkvm_irq_line,
	.msi = hkvm_msi,
	.msi_route = hkvm_msi_route,
	.irqfd_add = hkvm_irqfd_add,
	.irqfd_del = hkvm_irqfd_del,
	.doorbell_add = hkvm_doorbell_add,
	.doorbell_del = hkvm_doorbell_del,
	.clock_get = hkvm_clock_get,
	.clock_set = hkvm_clock_set,
	.debug_set = hkvm_debug_set,
	.stats = hkvm_stats,
};
