// SPDX-License-Identifier: BSD-2-Clause
/* accel/accel.h - The accelerator interface: what runs guest instructions
 *
 * Two leaves implement it, accel/kvm and accel/soft. They include this room and
 * base/ only; what they need of the machine they reach through struct accel_host.
 *
 * Threads: [setup] before start or while stopped; [vcpu] the vCPU's own thread;
 * [any]; [signal] any context, async-signal-safe. */
#ifndef ACCEL_ACCEL_H
#define ACCEL_ACCEL_H

#include "accel/x86_state.h"
#include "base/types.h"
#include "hyperkit/hyperkit.h"

struct accel_vm;   /* owned by the leaf; its own struct embeds this as first member */
struct accel_vcpu; /* likewise */
struct strbuf;
struct log;

/* Capabilities. A function is NULL exactly when its bit is clear. */
#define ACCEL_CAP_DIRTY_LOG BIT(0)  /* dirty_take */
#define ACCEL_CAP_LAPIC BIT(1)	    /* LAPICs are the accelerator's: msi; else ours: inject INTR */
#define ACCEL_CAP_IOAPIC BIT(2)	    /* IOAPIC and PIC are the accelerator's: irq_line */
#define ACCEL_CAP_IRQFD BIT(3)	    /* irqfd_add, irqfd_del */
#define ACCEL_CAP_DOORBELL BIT(4)   /* doorbell_add, doorbell_del */
#define ACCEL_CAP_DEBUG BIT(5)	    /* debug_set */
#define ACCEL_CAP_RAM_WRITTEN BIT(6) /* ram_written: must be told of foreign stores */
#define ACCEL_CAP_CLOCK BIT(7)	    /* clock_get, clock_set */

struct cpuid_entry {
	u32 leaf, subleaf;
	bool has_subleaf; /* subleaf must match; else the row serves every subleaf */
	u32 eax, ebx, ecx, edx;
};
#define ACCEL_MAX_CPUID 128

struct accel_caps {
	u32 bits;	   /* ACCEL_CAP_* */
	bool fits_kernels; /* an unmodified kernel runs at a useful speed */
	unsigned max_cpus;
	u64 tsc_hz;	   /* what the guest's TSC will count */
	/* Everything the guest may be told about its CPU; machine/ filters and adds topology */
	struct cpuid_entry cpuid[ACCEL_MAX_CPUID];
	unsigned num_cpuid;
	char why[200];	   /* one sentence for `hyperkit info` */
};

/* RAM or ROM that the guest sees at gpa. Slots never overlap. */
struct accel_ram {
	unsigned id;	 /* 0..ACCEL_MAX_RAM-1 */
	gpa_t gpa;	 /* page aligned */
	u64 len;	 /* bytes, page aligned */
	void *hva;	 /* stays mapped until ram_unmap */
	u32 flags;	 /* ACCEL_RAM_* */
};
#define ACCEL_MAX_RAM 32
#define ACCEL_RAM_ROM BIT(0) /* guest stores go to accel_host.mmio */
#define ACCEL_RAM_LOG BIT(1) /* record dirty pages */

enum accel_exit {
	ACCEL_EXIT_HLT,	     /* HLT executed and nothing deliverable: the thread should sleep */
	ACCEL_EXIT_KICKED,   /* vcpu_kick was called */
	ACCEL_EXIT_SHUTDOWN, /* triple fault */
	ACCEL_EXIT_DEBUG,    /* breakpoint or step */
	ACCEL_EXIT_BROKEN,   /* cannot go on: state_get and report; why in accel_exit_info */
	ACCEL_NUM_EXITS
};

struct accel_exit_info {
	enum accel_exit exit;
	bool hlt_irqs_off;   /* HLT: RFLAGS.IF was 0 */
	char text[160];	     /* BROKEN: what happened */
};

enum accel_inject { ACCEL_INJECT_NMI, ACCEL_INJECT_INIT, ACCEL_INJECT_SIPI, ACCEL_INJECT_INTR };

enum accel_space { ACCEL_SPACE_MEM, ACCEL_SPACE_PIO };

/* Calls up. All [vcpu], from inside vcpu_run, with no lock of the leaf held. A
 * callback may not call vcpu_run or destroy anything; it may (un)map regions,
 * inject and kick. Data is little endian in the guest's byte order. */
struct accel_host {
	/* @len 1, 2, 4 or 8; on a read @data is filled with all ones where nobody answers */
	void (*mmio)(void *m, unsigned cpu, gpa_t gpa, void *data, unsigned len, bool write);
	void (*pio)(void *m, unsigned cpu, u16 port, void *data, unsigned len, bool write);
	/* MSRs that the leaf does not keep itself. 0, or -EINVAL for #GP */
	int (*msr)(void *m, unsigned cpu, u32 index, u64 *val, bool write);
	/* Highest deliverable vector and mark it in service, or -1. @peek only looks.
	 * Only without cap LAPIC. */
	int (*intr_ack)(void *m, unsigned cpu, bool peek);
	/* The guest changed CR8 (TPR bits 7:4); only without cap LAPIC */
	void (*tpr)(void *m, unsigned cpu, u8 cr8);
	u8 (*tpr_get)(void *m, unsigned cpu);
	/* EOI of a level interrupt; only cap LAPIC without cap IOAPIC */
	void (*eoi)(void *m, unsigned cpu, u8 vector);
	/* INIT arrived (SIPI too): reset what the machine keeps per CPU */
	void (*cpu_reset)(void *m, unsigned cpu);
	/* Guest nanoseconds since boot, for kvm-clock */
	u64 (*clock_ns)(void *m);
	/* Another vCPU kicked @cpu out of HLT (KVM_HC_KICK_CPU): wake its thread if it sleeps
	 * after ACCEL_EXIT_HLT; has_work() is true then. May be NULL with cap LAPIC */
	void (*kick_halted)(void *m, unsigned cpu);
};

struct accel_vm_config {
	unsigned cpus;
	const struct accel_host *host;
	void *m;		/* first argument of the callbacks */
	struct log *log;
	const char *name;
	bool ignore_msr;	/* unknown MSR reads 0 */
	bool pause_exit;
};

struct accel_ops {
	const char *name;
	/* [any] No lasting effect. 0 also when it cannot work: see caps->fits_kernels.
	 * -errno: it does not open at all; caps->why says so. */
	int (*probe)(struct accel_caps *caps);
	int (*vm_create)(struct accel_vm **out, const struct accel_vm_config *cfg,
			 struct hk_err *err);				/* [setup] */
	void (*vm_destroy)(struct accel_vm *vm);			/* [setup] NULL ok */
	int (*ram_map)(struct accel_vm *vm, const struct accel_ram *ram); /* [setup, parked] */
	int (*ram_unmap)(struct accel_vm *vm, unsigned id);		/* [setup, parked] */
	/* [any] after somebody other than a vCPU stored to RAM */
	void (*ram_written)(struct accel_vm *vm, gpa_t gpa, u64 len);
	/* [any] fetch and clear; one bit a page of slot @id, @bitmap has len/4096 bits */
	int (*dirty_take)(struct accel_vm *vm, unsigned id, u64 *bitmap);
	/* [setup] before any vCPU of @cpu exists is an error */
	int (*vcpu_create)(struct accel_vm *vm, unsigned cpu, struct accel_vcpu **out,
			   struct hk_err *err);
	void (*vcpu_destroy)(struct accel_vcpu *v);
	int (*cpuid_set)(struct accel_vcpu *v, const struct cpuid_entry *table, unsigned n); /* [setup] */
	/* [vcpu] Runs until something changes this thread's life. 0 and @info, or -errno */
	int (*vcpu_run)(struct accel_vcpu *v, struct accel_exit_info *info);
	void (*vcpu_kick)(struct accel_vcpu *v);			/* [signal] sticky */
	int (*state_get)(struct accel_vcpu *v, u32 groups, struct x86_state *st); /* [vcpu, parked] */
	int (*state_set)(struct accel_vcpu *v, u32 groups, const struct x86_state *st);
	/* [any] NMI, INIT, SIPI(vector); INTR: ask intr_ack soon. Wakes vcpu_run but not a
	 * thread that sleeps after ACCEL_EXIT_HLT: that is the caller's. */
	int (*inject)(struct accel_vcpu *v, enum accel_inject kind, u8 vector);
	/* [any] Would vcpu_run find something to do after an ACCEL_EXIT_HLT? */
	bool (*has_work)(struct accel_vcpu *v);
	int (*irq_line)(struct accel_vm *vm, unsigned gsi, int level);	/* [any] */
	int (*msi)(struct accel_vm *vm, u64 addr, u32 data);		/* [any] */
	/* [any] Route @gsi to an MSI message (needed before irqfd_add with it) */
	int (*msi_route)(struct accel_vm *vm, unsigned gsi, u64 addr, u32 data);
	int (*irqfd_add)(struct accel_vm *vm, unsigned gsi, int fd, int resample_fd); /* [any] */
	int (*irqfd_del)(struct accel_vm *vm, unsigned gsi, int fd);	/* [any] */
	/* [any] signal @fd on a store; @len 0 = any size, @match NULL = any value */
	int (*doorbell_add)(struct accel_vm *vm, enum accel_space space, u64 addr, unsigned len,
			    const u64 *match, int fd);
	int (*doorbell_del)(struct accel_vm *vm, enum accel_space space, u64 addr, unsigned len,
			    const u64 *match, int fd);
	int (*clock_get)(struct accel_vm *vm, u64 *ns);			/* [parked] */
	int (*clock_set)(struct accel_vm *vm, u64 ns);			/* [parked] */
	/* [parked] @n addresses (0..4) and single-stepping */
	int (*debug_set)(struct accel_vcpu *v, const u64 *breakpoints, unsigned n, bool step);
	void (*stats)(struct accel_vm *vm, struct strbuf *out);		/* [any] */
};

/* First member of each leaf's own struct */
struct accel_vm {
	const struct accel_ops *ops;
};
struct accel_vcpu {
	const struct accel_ops *ops;
};

extern const struct accel_ops hkvm_accel_ops; /* accel/kvm */
extern const struct accel_ops sc_accel_ops;   /* accel/soft */

/* The visible table, preferred first, NULL-terminated */
extern const struct accel_ops *const accel_all[];

/**
 * accel_choose() - Find the accelerator that @name asks for
 * @name:  "auto", NULL or the name of one
 * @caps:  filled by the chosen one's probe
 *
 * [any] "auto" takes the first that fits kernels. A name takes it when it opens
 * at all. Return: 0, -EINVAL unknown name, -ENOTSUP does not work here
 */
int accel_choose(const char *name, const struct accel_ops **out, struct accel_caps *caps,
		 struct hk_err *err) MUST_CHECK;

#endif
