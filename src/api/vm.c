// SPDX-License-Identifier: BSD-2-Clause
/* api/vm.c - The functions of a VM: arguments are checked here, work is done below
 *
 * Threads: as hyperkit.h says for each. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_int.h"

#define KNOWN_VM_FLAGS                                                                  \
	(HK_VM_ACPI | HK_VM_NO_MPTABLE | HK_VM_X2APIC | HK_VM_RTC_UTC | HK_VM_STRICT_IO | \
	 HK_VM_IGNORE_MSR | HK_VM_MSI_ONLY | HK_VM_DEBUG_EXIT | HK_VM_PAUSE_EXIT)

static int no_vm(struct hk_err *err)
{
	return err_set(err, -EINVAL, "no VM given");
}

int hk_vm_create(struct hk_vm **out, const struct hk_vm_config *cfg, struct hk_err *err)
{
	struct hk_vm_config c = { 0 };
	struct hk_vm *vm;
	int rc;

	if (!out || !cfg)
		return err_set(err, -EINVAL, "hk_vm_create needs a place for the VM and a config");
	*out = NULL;
	rc = api_take_sized(&c, sizeof(c), cfg, cfg->size,
			    offsetof(struct hk_vm_config, memory_bytes), "hk_vm_config", err);
	if (rc)
		return rc;
	if (c.flags & ~KNOWN_VM_FLAGS)
		return err_set(err, -EINVAL, "unknown flags 0x%x", c.flags & ~KNOWN_VM_FLAGS);
	if ((unsigned)c.log_level > HK_LOG_DEBUG)
		return err_set(err, -EINVAL, "unknown log level %d", (int)c.log_level);
	vm = calloc(1, sizeof(*vm));
	if (!vm)
		return err_set(err, -ENOMEM, "no memory for a VM");
	rc = machine_create(&vm->m, &c, err);
	if (rc) {
		free(vm);
		return rc;
	}
	*out = vm;
	return 0;
}

void hk_vm_destroy(struct hk_vm *vm)
{
	if (!vm)
		return;
	machine_destroy(vm->m);
	free(vm);
}

const char *hk_vm_accel(const struct hk_vm *vm)
{
	return vm ? machine_accel(vm->m) : NULL;
}

int hk_vm_device(struct hk_vm *vm, unsigned bus, unsigned slot, unsigned func, const char *name,
		 const char *opts, struct hk_err *err)
{
	if (!vm)
		return no_vm(err);
	if (!name)
		return err_set(err, -EINVAL, "pci slot %u:%u: no device named", slot, func);
	return machine_add_device(vm->m, bus, slot, func, name, opts, err);
}

int hk_vm_serial(struct hk_vm *vm, unsigned port, const struct hk_serial_config *cfg,
		 struct hk_err *err)
{
	struct hk_serial_config c = HK_SERIAL_CONFIG_INIT;
	int rc;

	if (!vm)
		return no_vm(err);
	if (!cfg)
		return machine_set_serial(vm->m, port, NULL, err);
	rc = api_take_sized(&c, sizeof(c), cfg, cfg->size,
			    offsetof(struct hk_serial_config, device), "hk_serial_config", err);
	if (rc)
		return rc;
	c.size = sizeof(c);
	return machine_set_serial(vm->m, port, &c, err);
}

const char *hk_vm_serial_pty(const struct hk_vm *vm, unsigned port)
{
	return vm ? machine_serial_pty(vm->m, port) : NULL;
}

int hk_vm_serial_input(struct hk_vm *vm, unsigned port, const uint8_t *bytes, size_t n)
{
	if (!vm || (!bytes && n))
		return -EINVAL;
	return machine_serial_input(vm->m, port, bytes, n);
}

int hk_vm_boot_linux(struct hk_vm *vm, const char *kernel, const char *initrd,
		     const char *cmdline, struct hk_err *err)
{
	if (!vm)
		return no_vm(err);
	if (!kernel)
		return err_set(err, -EINVAL, "no kernel given");
	return machine_boot_linux(vm->m, kernel, initrd, cmdline, err);
}

int hk_vm_boot_multiboot(struct hk_vm *vm, const char *kernel, const char *modules,
			 const char *cmdline, struct hk_err *err)
{
	if (!vm)
		return no_vm(err);
	if (!kernel)
		return err_set(err, -EINVAL, "no kernel given");
	return machine_boot_multiboot(vm->m, kernel, modules, cmdline, err);
}

int hk_vm_start(struct hk_vm *vm, struct hk_err *err)
{
	return vm ? machine_start(vm->m, err) : no_vm(err);
}

int hk_vm_fd(const struct hk_vm *vm)
{
	return vm ? machine_event_fd(vm->m) : -EINVAL;
}

int hk_vm_next_event(struct hk_vm *vm, struct hk_event *ev)
{
	return vm && ev ? machine_next_event(vm->m, ev) : -EINVAL;
}

int hk_vm_wait(struct hk_vm *vm, int timeout_ms, enum hk_exit *why)
{
	return vm ? machine_wait(vm->m, timeout_ms, why) : -EINVAL;
}

void hk_vm_stop(struct hk_vm *vm)
{
	if (vm)
		machine_stop(vm->m);
}

int hk_vm_pause(struct hk_vm *vm)
{
	return vm ? machine_pause(vm->m) : -EINVAL;
}

int hk_vm_resume(struct hk_vm *vm)
{
	return vm ? machine_resume(vm->m) : -EINVAL;
}

void hk_vm_power_button(struct hk_vm *vm)
{
	if (vm)
		machine_power_button(vm->m);
}

int hk_vm_balloon_set(struct hk_vm *vm, uint64_t bytes)
{
	u64 b = bytes;

	return vm ? machine_control(vm->m, DEV_BALLOON_SET, &b) : -EINVAL;
}

int hk_vm_balloon_info(struct hk_vm *vm, struct hk_balloon_info *info)
{
	struct hk_balloon_info all = { .size = sizeof(all) };
	int rc;

	if (!vm || !info || info->size < sizeof(info->size) || info->size > 4096)
		return -EINVAL;
	rc = machine_control(vm->m, DEV_BALLOON_INFO, &all);
	if (rc)
		return rc;
	all.size = info->size;
	memcpy(info, &all, MIN(all.size, sizeof(all)));
	return 0;
}

int hk_vm_console_size(struct hk_vm *vm, unsigned columns, unsigned rows)
{
	u16 size[2] = { (u16)columns, (u16)rows };

	if (!vm || columns > UINT16_MAX || rows > UINT16_MAX)
		return -EINVAL;
	return machine_control(vm->m, DEV_CONSOLE_SIZE, size);
}

int hk_vm_disk_resize(struct hk_vm *vm, unsigned bus, unsigned slot, unsigned func, uint64_t bytes,
		      struct hk_err *err)
{
	struct dev_disk d = { .bus = bus, .slot = slot, .func = func, .bytes = bytes, .err = err };
	int rc;

	if (!vm)
		return err_set(err, -EINVAL, "no VM");
	rc = machine_control(vm->m, DEV_DISK_RESIZE, &d);
	return rc == -ENODEV ? err_set(err, rc, "no disk at %u:%u.%u, or the VM does not run", bus,
				       slot, func) : rc;
}

int hk_vm_disk_limit(struct hk_vm *vm, unsigned bus, unsigned slot, unsigned func,
		     const struct hk_disk_limits *limits)
{
	struct hk_disk_limits l = { 0 };
	struct dev_disk d = { .bus = bus, .slot = slot, .func = func, .limits = &l };

	if (!vm || !limits || !limits->size || limits->size > sizeof(l))
		return -EINVAL;
	memcpy(&l, limits, limits->size);
	return machine_control(vm->m, DEV_DISK_LIMIT, &d);
}

const char *hk_vm_fault_text(const struct hk_vm *vm)
{
	return vm ? machine_fault_text(vm->m) : "";
}

size_t hk_vm_stats(struct hk_vm *vm, char *buf, size_t n)
{
	if (!vm || (!buf && n))
		return 0;
	return machine_stats(vm->m, buf, n);
}
