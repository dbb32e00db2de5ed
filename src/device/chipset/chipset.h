// SPDX-License-Identifier: BSD-2-Clause
/* device/chipset/chipset.h - The board's own devices (door of the room)
 *
 * Each is a struct dev_class, created by machine/pc.c, not by -s. Those that
 * others must call into have functions below. Interrupt flow without cap LAPIC:
 *
 *   device -> env.isa_irq[n] -> pic + ioapic -> lapic -> cpu_sink (kick the vCPU)
 *   vCPU   -> apics_ack()    -> lapic, else pic (ExtINT)
 */
#ifndef DEVICE_CHIPSET_CHIPSET_H
#define DEVICE_CHIPSET_CHIPSET_H

#include "base/types.h"
#include "device/dev.h"

/* ---- LAPICs of all CPUs: lapic.c, lapic_timer.c. SDM 3A chapter 11 ---- */

struct apics; /* the set: it routes messages between LAPICs */

/* How LAPICs reach their CPUs; called [any], with no lock held */
struct apic_cpu_sink {
	void (*intr)(void *arg, unsigned cpu); /* something may be deliverable: ask apics_ack */
	void (*nmi)(void *arg, unsigned cpu);
	void (*init)(void *arg, unsigned cpu);
	void (*sipi)(void *arg, unsigned cpu, u8 vector);
	void (*smi)(void *arg, unsigned cpu); /* may be NULL */
	void *arg;
};

struct apics_config {
	unsigned cpus;
	const struct dev_env *env;
	struct apic_cpu_sink sink;
	u64 tsc_hz;
	u64 (*tsc)(void *arg, unsigned cpu); /* [any] guest TSC now, for TSC-deadline */
	void *tsc_arg;
	bool x2apic_start; /* -x: begin in x2APIC mode */
};

/* The timer counts this before its divider; a CPUID that names a frequency says the same */
#define APICS_TIMER_HZ 1000000000ull

int apics_create(struct apics **out, const struct apics_config *cfg, struct hk_err *err) MUST_CHECK;
void apics_destroy(struct apics *a);
void apics_stop(struct apics *a);	       /* [setup] timers are quiet after it */
void apics_start(struct apics *a);	       /* [setup] they run again; created running */
void apics_reset(struct apics *a);	       /* [parked] power-on */
void apics_cpu_init(struct apics *a, unsigned cpu); /* [vcpu] INIT: all but the APIC id and base */
/* [vcpu] xAPIC page; @off 0..0xfff */
u32 apics_mmio_read(struct apics *a, unsigned cpu, unsigned off);
void apics_mmio_write(struct apics *a, unsigned cpu, unsigned off, u32 val);
/* [vcpu] IA32_APIC_BASE, IA32_TSC_DEADLINE, x2APIC 0x800..0x8ff. 0 or -EINVAL (#GP) */
int apics_msr(struct apics *a, unsigned cpu, u32 index, u64 *val, bool write);
u64 apics_base(struct apics *a, unsigned cpu);
/* [vcpu] Highest deliverable vector (moved to ISR unless @peek), -1 none. ExtINT: asks the PIC. */
int apics_ack(struct apics *a, unsigned cpu, bool peek);
void apics_set_tpr(struct apics *a, unsigned cpu, u8 cr8); /* [vcpu] */
u8 apics_get_tpr(struct apics *a, unsigned cpu);
/* [any] An MSI or IOAPIC message (SDM 3A 11.11). 0, -ENOENT nobody took it, -EINVAL no such address */
int apics_msi(struct apics *a, u64 addr, u32 data);
/* [any] Level of the LINT0 (PIC output), LINT1 (NMI) pins of CPU 0 (LINT0) */
void apics_lint0(struct apics *a, int level);
/* [any] ns of the env clock at which CPU's timer fires next, ~0 = not armed. A halted
 * vCPU sleeps no longer than that and then calls apics_timer_poll. */
u64 apics_timer_deadline(struct apics *a, unsigned cpu);
void apics_timer_poll(struct apics *a, unsigned cpu);
/* EOI of a level vector goes here (IOAPIC); set once by pc.c */
void apics_on_eoi(struct apics *a, void (*eoi)(void *arg, u8 vector), void *arg);
/* Ask for the PIC's vector at ExtINT delivery; set once by pc.c */
void apics_on_extint(struct apics *a, int (*ack)(void *arg, bool peek), void *arg);
/* PV EOI (KVM_FEATURE_PV_EOI): gpa of this CPU's flag, bit 0 = enabled; [vcpu] */
int apics_set_pv_eoi(struct apics *a, unsigned cpu, u64 msr);
/* [any] KVM_HC_KICK_CPU and HLT: is an NMI, INIT, SIPI or interrupt waiting for this CPU */
void apics_dump(struct apics *a, struct strbuf *out);

/* ---- the rest of the board: struct dev_class each ---- */

extern const struct dev_class ioapic_class;  /* 0xFEC00000, 24 pins, id 0, version 0x11 (0x20 with EOI) */
extern const struct dev_class pic_class;     /* 0x20, 0xA0, ELCR 0x4D0 */
extern const struct dev_class pit_class;     /* 0x40..0x43, 0x61 */
extern const struct dev_class rtc_class;     /* 0x70, 0x71 */
extern const struct dev_class hpet_class;    /* 0xFED00000 */
extern const struct dev_class pmtimer_class; /* 0x408 */
/* PM1 0x400..0x405, SMI command 0xB2. The reset register 0xCF9 lies inside the PCI address
 * register 0xCF8..0xCFB and is answered by device/pci/host.c. */
extern const struct dev_class power_class;
extern const struct dev_class i8042_class;   /* 0x60, 0x64, 0x92: no keyboard; reset */
extern const struct dev_class post_class;    /* 0x84, 0x80 and other ports that must swallow writes */
extern const struct dev_class debug_exit_class; /* isa-debug-exit, 0xF4 */

/* IOAPIC and PIC inputs as struct irq targets; @arg is the instance's struct dev */
void ioapic_set(void *dev, unsigned pin, int level);	/* [any] */
void ioapic_eoi(void *dev, u8 vector);			/* [any] */
void pic_set(void *dev, unsigned irq, int level);	/* [any] */
int pic_ack(void *dev, bool peek);			/* [any] vector or -1 */
/* PIC output INTR; set once before plug */
void pic_on_output(struct dev *pic, void (*out)(void *arg, int level), void *arg);

struct rtc_config {
	bool utc;
	u64 low_bytes, high_bytes; /* RAM below 4 GiB and from 4 GiB: CMOS cells 0x34.., 0x5B.. */
};
void rtc_configure(struct dev *rtc, const struct rtc_config *cfg); /* [setup] before plug */

/* The id word that the ACPI HPET table repeats: 8 timers, 64-bit counter, legacy replacement */
#define HPET_CAP_ID 0x8086a701u
/* Whose IRQ 0 and 8 the HPET takes in legacy replacement mode; [setup], either may be NULL */
void hpet_replaces(struct dev *hpet, struct dev *pit, struct dev *rtc);

void power_button(struct dev *power);			/* [any] */
bool power_acpi_on(struct dev *power);			/* [any] */

#endif
