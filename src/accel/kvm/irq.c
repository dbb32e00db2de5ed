// SPDX-License-Identifier: BSD-2-Clause
/* accel/kvm/irq.c - Interrupts into the kernel's controllers, and eventfds for both ways
 *
 * GSI n means: 0..15 the ISA line n, which reaches 8259 input n and IOAPIC pin n,
 * line 0 IOAPIC pin 2 (as the MADT says); 16..23 IOAPIC pins; from 24 on what
 * msi_route() gave it. [any] */
#include "accel/kvm/hkvm.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"

/* Interrupt messages to one local APIC (SDM 3A 11.11): physical destination */
#define MSI_GPA 0xfee00000ull
#define MSI_DEST_SHIFT 12
#define MSI_DATA_INIT (5u << 8)
#define MSI_DATA_SIPI (6u << 8)
#define MSI_DATA_ASSERT BIT(14)

static struct kvm_irq_routing_entry *append(struct kvm_irq_routing *r)
{
	return &r->entries[r->nr++];
}

static void route_to_chip(struct kvm_irq_routing *r, unsigned gsi, unsigned chip, unsigned pin)
{
	*append(r) = (struct kvm_irq_routing_entry){
		.gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = chip, .pin = pin },
	};
}

int hkvm_irq_init(struct hkvm_vm *vm)
{
	struct kvm_irq_routing *r;
	int rc = hkvm_ioctl_num(vm->fd, KVM_CREATE_IRQCHIP, 0);

	if (rc)
		return rc;
	r = calloc(1, sizeof(*r) + HKVM_MAX_ROUTES * sizeof(r->entries[0]));
	if (!r)
		return -ENOMEM;
	vm->routes = r;
	for (unsigned gsi = 0; gsi < HKVM_IOAPIC_PINS; gsi++) {
		if (gsi == 2) /* the second 8259 sits on it */
			continue;
		if (gsi < 16)
			route_to_chip(r, gsi, gsi < 8 ? KVM_IRQCHIP_PIC_MASTER :
							KVM_IRQCHIP_PIC_SLAVE, gsi & 7);
		route_to_chip(r, gsi, KVM_IRQCHIP_IOAPIC, gsi ? gsi : 2);
	}
	return hkvm_ioctl(vm->fd, KVM_SET_GSI_ROUTING, r);
}

/* KVM_NMI is an ioctl of the vCPU, which would wait until KVM_RUN is over: its own
 * thread is asked to do it. INIT and SIPI are messages that any thread may send. */
int hkvm_inject(struct accel_vcpu *av, enum accel_inject kind, u8 vector)
{
	struct hkvm_vcpu *v = hkvm_vcpu(av);
	u64 addr = MSI_GPA | (u64)v->cpu << MSI_DEST_SHIFT;

	switch (kind) {
	case ACCEL_INJECT_NMI:
		if (!atomic_exchange(&v->nmi_wanted, true))
			hkvm_interrupt(v);
		return 0;
	case ACCEL_INJECT_INIT:
		return hkvm_msi(&v->vm->base, addr, MSI_DATA_INIT | MSI_DATA_ASSERT);
	case ACCEL_INJECT_SIPI:
		return hkvm_msi(&v->vm->base, addr, MSI_DATA_SIPI | MSI_DATA_ASSERT | vector);
	case ACCEL_INJECT_INTR: /* the LAPIC is not the caller's */
		break;
	}
	return -ENOTSUP;
}

int hkvm_irq_line(struct accel_vm *avm, unsigned gsi, int level)
{
	struct kvm_irq_level l = { .irq = gsi, .level = level ? 1 : 0 };

	if (gsi >= HKVM_IOAPIC_PINS)
		return -EINVAL;
	return hkvm_ioctl(hkvm_vm(avm)->fd, KVM_IRQ_LINE, &l);
}

int hkvm_msi(struct accel_vm *avm, u64 addr, u32 data)
{
	struct kvm_msi msi = { .address_lo = (u32)addr, .address_hi = (u32)(addr >> 32),
			       .data = data };
	int rc = hkvm_ioctl(hkvm_vm(avm)->fd, KVM_SIGNAL_MSI, &msi);

	/* 0: no CPU took it, which real hardware does not report either */
	return rc < 0 ? rc : 0;
}

static struct kvm_irq_routing_entry *find_msi_locked(struct hkvm_vm *vm, unsigned gsi)
{
	for (u32 i = 0; i < vm->routes->nr; i++)
		if (vm->routes->entries[i].gsi == gsi &&
		    vm->routes->entries[i].type == KVM_IRQ_ROUTING_MSI)
			return &vm->routes->entries[i];
	return NULL;
}

int hkvm_msi_route(struct accel_vm *avm, unsigned gsi, u64 addr, u32 data)
{
	struct hkvm_vm *vm = hkvm_vm(avm);
	struct kvm_irq_routing_entry *e;
	int rc = -ENOSPC;

	if (gsi < HKVM_IOAPIC_PINS || gsi >= HKVM_IOAPIC_PINS + HKVM_MAX_MSI_ROUTES)
		return -EINVAL;
	pthread_mutex_lock(&vm->lock);
	e = find_msi_locked(vm, gsi);
	if (!e && vm->routes->nr < HKVM_MAX_ROUTES)
		e = append(vm->routes);
	if (e) {
		*e = (struct kvm_irq_routing_entry){
			.gsi = gsi, .type = KVM_IRQ_ROUTING_MSI,
			.u.msi = { .address_lo = (u32)addr, .address_hi = (u32)(addr >> 32),
				   .data = data },
		};
		rc = hkvm_ioctl(vm->fd, KVM_SET_GSI_ROUTING, vm->routes);
	}
	pthread_mutex_unlock(&vm->lock);
	return rc;
}

static int irqfd(struct accel_vm *avm, unsigned gsi, int fd, int resample_fd, u32 flags)
{
	struct kvm_irqfd d = { .fd = (u32)fd, .gsi = gsi, .flags = flags };

	if (resample_fd >= 0) {
		d.flags |= KVM_IRQFD_FLAG_RESAMPLE;
		d.resamplefd = (u32)resample_fd;
	}
	return hkvm_ioctl(hkvm_vm(avm)->fd, KVM_IRQFD, &d);
}

int hkvm_irqfd_add(struct accel_vm *avm, unsigned gsi, int fd, int resample_fd)
{
	return irqfd(avm, gsi, fd, resample_fd, 0);
}

int hkvm_irqfd_del(struct accel_vm *avm, unsigned gsi, int fd)
{
	return irqfd(avm, gsi, fd, -1, KVM_IRQFD_FLAG_DEASSIGN);
}

static int doorbell(struct accel_vm *avm, enum accel_space space, u64 addr, unsigned len,
		    const u64 *match, int fd, u32 flags)
{
	struct kvm_ioeventfd d = { .addr = addr, .len = len, .fd = fd, .flags = flags };

	if (len > 8 || (match && !len))
		return -EINVAL;
	if (space == ACCEL_SPACE_PIO)
		d.flags |= KVM_IOEVENTFD_FLAG_PIO;
	if (match) {
		d.flags |= KVM_IOEVENTFD_FLAG_DATAMATCH;
		d.datamatch = *match;
	}
	return hkvm_ioctl(hkvm_vm(avm)->fd, KVM_IOEVENTFD, &d);
}

int hkvm_doorbell_add(struct accel_vm *avm, enum accel_space space, u64 addr, unsigned len,
		      const u64 *match, int fd)
{
	return doorbell(avm, space, addr, len, match, fd, 0);
}

int hkvm_doorbell_del(struct accel_vm *avm, enum accel_space space, u64 addr, unsigned len,
		      const u64 *match, int fd)
{
	return doorbell(avm, space, addr, len, match, fd, KVM_IOEVENTFD_FLAG_DEASSIGN);
}
