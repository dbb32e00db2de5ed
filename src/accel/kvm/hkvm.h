// SPDX-License-Identifier: BSD-2-Clause
/* accel/kvm/hkvm.h - Inside of the KVM leaf; included only in this folder
 *
 * The kernel holds LAPICs, IOAPIC and 8259 pair (docs/decisions/kvm-irqchip.md),
 * the board's other devices are the machine's. Linux UAPI: Documentation/virt/kvm/api.rst.
 *
 *   vm.c     probe, VM, memory slots          irq.c    lines, MSI, routes, irqfd, ioeventfd
 *   vcpu.c   vCPU life, the exit switch       kick.c   getting a thread out of KVM_RUN
 *   state.c  registers in and out             cpuid.c  what the guest may be told
 *   dirty.c  dirty log                        debug.c  breakpoints and steps */
#ifndef ACCEL_KVM_HKVM_H
#define ACCEL_KVM_HKVM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "accel/accel.h"
#include "base/log.h"

#define HKVM_MAX_CPUS 64
#define HKVM_IOAPIC_PINS 24
#define HKVM_MAX_MSI_ROUTES 1024
/* 16 inputs of the 8259 pair, 24 of the IOAPIC, then MSI messages */
#define HKVM_MAX_ROUTES (16 + HKVM_IOAPIC_PINS + HKVM_MAX_MSI_ROUTES)

struct hkvm_vcpu;

/* (c) constant after vm_create   (L) under ->lock */
struct hkvm_vm {
	struct accel_vm base;		/* (c) */
	const struct accel_host *host;	/* (c) */
	void *m;			/* (c) first argument of host's functions */
	struct log *log;		/* (c) */
	bool ignore_msr;		/* (c) */
	unsigned cpus;			/* (c) */
	int kvm_fd, fd;			/* (c) /dev/kvm and the VM */
	size_t run_bytes;		/* (c) size of a vCPU's shared page(s) */
	bool has_readonly;		/* (c) KVM_CAP_READONLY_MEM */
	bool has_xcr0;			/* (c) KVM_CAP_XCRS: the CPU has XSAVE */
	struct accel_ram ram[ACCEL_MAX_RAM]; /* [setup, parked]; len 0 = free */
	_Atomic(struct hkvm_vcpu *) cpu[HKVM_MAX_CPUS];
	pthread_mutex_t lock;
	bool has_lock;
	struct kvm_irq_routing *routes;	/* (L) what the kernel has now */
};

enum hkvm_stat {
	HKVM_STAT_PIO, HKVM_STAT_MMIO, HKVM_STAT_MSR, HKVM_STAT_SIGNAL, HKVM_STAT_OTHER,
	HKVM_NUM_STATS
};

/* (c) constant after vcpu_create   (v) own thread   (a) atomic, anybody */
struct hkvm_vcpu {
	struct accel_vcpu base;	/* (c) */
	struct hkvm_vm *vm;	/* (c) */
	unsigned cpu;		/* (c) */
	int fd;			/* (c) */
	struct kvm_run *run;	/* (c) shared with the kernel; immediate_exit is (a) */
	bool completing;	/* (v) the kernel must finish an I/O instruction first */
	_Atomic bool kicked;	/* (a) vcpu_kick was called, vcpu_run has not said so yet */
	_Atomic bool nmi_wanted; /* (a) KVM_NMI is due; only the own thread can ask for it */
	_Atomic pid_t run_tid;	/* (a) thread inside vcpu_run, 0 = none */
	pid_t unblocked_tid;	/* (v) thread whose signal mask lets the kick through */
	_Atomic u64 stat[HKVM_NUM_STATS]; /* (a) written by the own thread */
};

static inline struct hkvm_vm *hkvm_vm(struct accel_vm *vm)
{
	return (struct hkvm_vm *)vm;
}
static inline struct hkvm_vcpu *hkvm_vcpu(struct accel_vcpu *v)
{
	return (struct hkvm_vcpu *)v;
}

/* vm.c. ioctl that answers 0.. or -errno and repeats after a signal */
int hkvm_ioctl(int fd, unsigned long request, void *arg);
int hkvm_ioctl_num(int fd, unsigned long request, unsigned long arg);

/* vcpu.c */
int hkvm_vcpu_create(struct accel_vm *vm, unsigned cpu, struct accel_vcpu **out,
		     struct hk_err *err);
void hkvm_vcpu_destroy(struct accel_vcpu *v);
int hkvm_vcpu_run(struct accel_vcpu *v, struct accel_exit_info *info);
bool hkvm_has_work(struct accel_vcpu *v);
void hkvm_stats(struct accel_vm *vm, struct strbuf *out);

/* kick.c */
int hkvm_kick_init(struct hk_err *err);		/* [any] takes the signal, once per process */
void hkvm_kick_enter(struct hkvm_vcpu *v);	/* [vcpu] this thread can be kicked from here on */
void hkvm_kick_leave(struct hkvm_vcpu *v);
void hkvm_interrupt(struct hkvm_vcpu *v);	/* [signal] leave KVM_RUN and look at the flags */
void hkvm_vcpu_kick(struct accel_vcpu *v);

/* state.c */
int hkvm_state_get(struct accel_vcpu *v, u32 groups, struct x86_state *st);
int hkvm_state_set(struct accel_vcpu *v, u32 groups, const struct x86_state *st);

/* cpuid.c */
int hkvm_cpuid_probe(int kvm_fd, struct accel_caps *caps);
bool hkvm_cpu_has_vt(void);
int hkvm_cpuid_set(struct accel_vcpu *v, const struct cpuid_entry *table, unsigned n);

/* irq.c */
int hkvm_irq_init(struct hkvm_vm *vm);
int hkvm_inject(struct accel_vcpu *v, enum accel_inject kind, u8 vector);
int hkvm_irq_line(struct accel_vm *vm, unsigned gsi, int level);
int hkvm_msi(struct accel_vm *vm, u64 addr, u32 data);
int hkvm_msi_route(struct accel_vm *vm, unsigned gsi, u64 addr, u32 data);
int hkvm_irqfd_add(struct accel_vm *vm, unsigned gsi, int fd, int resample_fd);
int hkvm_irqfd_del(struct accel_vm *vm, unsigned gsi, int fd);
int hkvm_doorbell_add(struct accel_vm *vm, enum accel_space space, u64 addr, unsigned len,
		      const u64 *match, int fd);
int hkvm_doorbell_del(struct accel_vm *vm, enum accel_space space, u64 addr, unsigned len,
		      const u64 *match, int fd);

/* dirty.c, debug.c */
int hkvm_dirty_take(struct accel_vm *vm, unsigned id, u64 *bitmap);
int hkvm_debug_set(struct accel_vcpu *v, const u64 *breakpoints, unsigned n, bool step);

#endif
