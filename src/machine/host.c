// SPDX-License-Identifier: BSD-2-Clause
/* machine/host.c - What the accelerator asks of the board, and how our LAPICs reach CPUs
 *
 * Everything in machine_host runs on the vCPU's thread, inside vcpu_run; the
 * LAPIC sink runs on any thread. Nothing here keeps a lock while it calls. */
#include <errno.h>
#include <string.h>
#include <x86intrin.h>

#include "base/wire.h"
#include "machine/machine_int.h"

#define APIC_BASE_X2APIC BIT64(10)
#define APIC_BASE_ENABLE BIT64(11)

#define MSR_APIC_BASE 0x1B
#define MSR_TSC_DEADLINE 0x6E0
#define MSR_X2APIC_FIRST 0x800
#define MSR_X2APIC_LAST 0x8FF
#define MSR_KVM_PV_EOI 0x4B564D04

/* --------------------------------------------------------------- memory */

static u64 load_le(const void *data, unsigned len)
{
	u8 b[8] = { 0 };

	memcpy(b, data, MIN(len, 8u));
	return load_le64(b);
}

static void store_le(void *data, u64 val, unsigned len)
{
	u8 b[8];

	store_le64(b, val);
	memcpy(data, b, MIN(len, 8u));
}

/* Is @gpa in this CPU's xAPIC page? Each CPU may have moved its own. */
static bool in_lapic_page(struct machine *m, unsigned cpu, gpa_t gpa)
{
	u64 base;

	if (!m->apics)
		return false;
	base = apics_base(m->apics, cpu);
	return (base & (APIC_BASE_ENABLE | APIC_BASE_X2APIC)) == APIC_BASE_ENABLE &&
	       (gpa & PAGE_MASK) == (base & PAGE_MASK);
}

/* Registers are 32 bits at 16-byte steps; other accesses are undefined (SDM 3A 11.4.1),
 * so a part of a register reads as such and is not written */
static void lapic_access(struct machine *m, unsigned cpu, unsigned off, void *data, unsigned len,
			 bool write)
{
	u64 val;

	if (write) {
		if (len >= 4 && !(off & 3))
			apics_mmio_write(m->apics, cpu, off, (u32)load_le(data, 4));
		return;
	}
	val = apics_mmio_read(m->apics, cpu, off & ~3u);
	store_le(data, val >> (off & 3) * 8, len);
}

static void host_mmio(void *arg, unsigned cpu, gpa_t gpa, void *data, unsigned len, bool write)
{
	struct machine *m = arg;
	u64 val = ~0ull;

	if (in_lapic_page(m, cpu, gpa)) {
		lapic_access(m, cpu, gpa & 0xfff, data, len, write);
		return;
	}
	if (write) {
		bus_write(&m->mem_bus, gpa, len, load_le(data, len));
		return;
	}
	bus_read(&m->mem_bus, gpa, len, &val);
	store_le(data, val, len);
}

/* ---------------------------------------------------------------- ports */

/* -e: the words are HyperKit's */
static void unclaimed_port(struct machine *m, unsigned cpu, u16 port, unsigned len, bool write)
{
	static const char width[] = { '?', 'b', 'w', '?', 'l' };
	struct vcpu *v = &m->vcpu[cpu];
	u64 rip = 0;

	if (!m->ops->state_get(v->av, X86_STATE_GPR, v->st))
		rip = v->st->rip;
	machine_request_exit(m, HK_EXIT_ERROR, 0, "Unhandled %s%c 0x%04x at 0x%llx",
			     write ? "out" : "in", len <= 4 ? width[len] : '?', port,
			     (unsigned long long)rip);
}

static void host_pio(void *arg, unsigned cpu, u16 port, void *data, unsigned len, bool write)
{
	struct machine *m = arg;
	u64 val = ~0ull;
	bool claimed;

	if (write) {
		claimed = bus_write(&m->pio_bus, port, len, load_le(data, len));
	} else {
		claimed = bus_read(&m->pio_bus, port, len, &val);
		store_le(data, val, len);
	}
	if (!claimed && (m->flags & HK_VM_STRICT_IO))
		unclaimed_port(m, cpu, port, len, write);
}

/* ----------------------------------------------------------------- MSRs */

enum { MSR_RD = 1, MSR_WR = 2, MSR_RW = 3 };

/* Registers that kernels touch on real machines and that mean nothing here: they read as
 * a constant, and a store is forgotten (hyperkit-facts 2.6; AMD BKDG/PPR "MSRs") */
static const struct harmless_msr {
	u32 first, last;
	u8 access;
	u64 value;
} harmless_msrs[] = {
	{ 0x17, 0x17, MSR_RD, 0 },	     /* IA32_PLATFORM_ID */
	{ 0x79, 0x79, MSR_WR, 0 },	     /* IA32_BIOS_UPDT_TRIG */
	{ 0x8B, 0x8B, MSR_RW, 0 },	     /* IA32_BIOS_SIGN_ID, AMD patch level */
	{ 0xCE, 0xCE, MSR_RD, 0 },	     /* PLATFORM_INFO */
	{ 0xFE, 0xFE, MSR_RD, 0 },	     /* IA32_MTRRCAP: none */
	{ 0x179, 0x17A, MSR_RD, 0 },	     /* IA32_MCG_CAP, _STATUS: no banks */
	{ 0x17A, 0x17A, MSR_WR, 0 },
	{ 0x1A0, 0x1A0, MSR_RW, 1 },	     /* IA32_MISC_ENABLE: fast strings */
	{ 0x1AD, 0x1AE, MSR_RD, 0 },	     /* TURBO_RATIO_LIMIT */
	{ 0x200, 0x20F, MSR_RW, 0 },	     /* variable MTRRs */
	{ 0x250, 0x250, MSR_RW, 0 },	     /* fixed MTRRs */
	{ 0x258, 0x259, MSR_RW, 0 },
	{ 0x268, 0x26F, MSR_RW, 0 },
	{ 0x2FF, 0x2FF, MSR_RW, 0 },	     /* IA32_MTRR_DEF_TYPE */
	{ 0x606, 0x606, MSR_RD, 0xA1003 },   /* RAPL units, and counters that stand */
	{ 0x611, 0x611, MSR_RD, 0 },
	{ 0x619, 0x619, MSR_RD, 0 },
	{ 0x639, 0x639, MSR_RD, 0 },
	{ 0x641, 0x641, MSR_RD, 0 },
	{ 0xC24, 0xC24, MSR_WR, 0 },	     /* uncore counters */
	{ 0xD04, 0xD04, MSR_WR, 0 },
	{ 0xC0010010, 0xC0010010, MSR_RW, 0 }, /* SYSCFG */
	{ 0xC0010015, 0xC0010015, MSR_RW, 0 }, /* HWCR */
	{ 0xC001001F, 0xC001001F, MSR_RW, 0 }, /* NB_CFG */
	{ 0xC0010055, 0xC0010055, MSR_RW, 0 }, /* interrupt pending */
	{ 0xC0010112, 0xC0010113, MSR_RD, 0 }, /* TSEG */
	{ 0xC0011020, 0xC0011023, MSR_RW, 0 }, /* LS_CFG .. CU_CFG */
	{ 0xC0011029, 0xC0011029, MSR_RW, 2 }, /* DE_CFG: LFENCE serializes */
	{ 0xC001102A, 0xC001102A, MSR_RW, 0 }, /* BU_CFG2 */
};

static bool harmless_msr(u32 index, u64 *val, bool write)
{
	for (unsigned i = 0; i < ARRAY_LEN(harmless_msrs); i++) {
		const struct harmless_msr *h = &harmless_msrs[i];

		if (index < h->first || index > h->last ||
		    !(h->access & (write ? MSR_WR : MSR_RD)))
			continue;
		if (!write)
			*val = h->value;
		return true;
	}
	return false;
}

/* The deadline timer counts in guest TSC ticks, which only the accelerator knows. The
 * offset is fetched whenever a CPU arms the timer, so a guest that sets its TSC is followed. */
void host_tsc_sync(struct vcpu *v)
{
	if (!v->m->ops->state_get(v->av, X86_STATE_MSR, v->st))
		atomic_store(&v->tsc_offset, (s64)(v->st->msr.tsc - __rdtsc()));
}

static int host_msr(void *arg, unsigned cpu, u32 index, u64 *val, bool write)
{
	struct machine *m = arg;

	if (m->apics) {
		if (index == MSR_TSC_DEADLINE && write && *val)
			host_tsc_sync(&m->vcpu[cpu]);
		if (index == MSR_APIC_BASE || index == MSR_TSC_DEADLINE ||
		    (index >= MSR_X2APIC_FIRST && index <= MSR_X2APIC_LAST))
			return apics_msr(m->apics, cpu, index, val, write);
		if (index == MSR_KVM_PV_EOI && write)
			return apics_set_pv_eoi(m->apics, cpu, *val);
	}
	if (harmless_msr(index, val, write))
		return 0;
	if (write)
		log_guest(&m->log, "wrmsr to register 0x%x(0x%llx) on vcpu %u", index,
			  (unsigned long long)*val, cpu);
	else
		log_guest(&m->log, "rdmsr to register 0x%x on vcpu %u", index, cpu);
	if (!(m->flags & HK_VM_IGNORE_MSR))
		return -EINVAL;
	if (!write)
		*val = 0;
	return 0;
}

/* ----------------------------------------------------------- interrupts */

static int host_intr_ack(void *arg, unsigned cpu, bool peek)
{
	struct machine *m = arg;

	if (m->apics)
		return apics_ack(m->apics, cpu, peek);
	/* Split: LAPICs are the accelerator's, the 8259 pair on CPU 0 is ours */
	return m->pic && cpu == 0 ? pic_ack(m->pic, peek) : -1;
}

static void host_tpr(void *arg, unsigned cpu, u8 cr8)
{
	struct machine *m = arg;

	if (m->apics)
		apics_set_tpr(m->apics, cpu, cr8);
}

static u8 host_tpr_get(void *arg, unsigned cpu)
{
	struct machine *m = arg;

	return m->apics ? apics_get_tpr(m->apics, cpu) : 0;
}

static void host_eoi(void *arg, unsigned cpu, u8 vector)
{
	struct machine *m = arg;

	if (m->ioapic)
		ioapic_eoi(m->ioapic, vector);
}

static void host_cpu_reset(void *arg, unsigned cpu)
{
	struct machine *m = arg;

	if (m->apics)
		apics_cpu_init(m->apics, cpu);
}

static u64 host_clock_ns(void *arg)
{
	struct machine *m = arg;

	return clock_ns(&m->clock) - m->boot_ns;
}

/* The leaf has made has_work() true already */
static void host_kick_halted(void *arg, unsigned cpu)
{
	struct machine *m = arg;

	if (cpu < m->num_vcpus)
		vcpu_wake(&m->vcpu[cpu]);
}

const struct accel_host machine_host = {
	.kick_halted = host_kick_halted,
	.mmio = host_mmio,
	.pio = host_pio,
	.msr = host_msr,
	.intr_ack = host_intr_ack,
	.tpr = host_tpr,
	.tpr_get = host_tpr_get,
	.eoi = host_eoi,
	.cpu_reset = host_cpu_reset,
	.clock_ns = host_clock_ns,
};

/* Our LAPICs -> CPUs. First the work, then the wake-up (see vcpu.c). The board may
 * interrupt before the vCPU exists or after it is gone: then nobody listens. */
static void sink(void *arg, unsigned cpu, enum accel_inject kind, u8 vector)
{
	struct machine *m = arg;

	if (cpu >= atomic_load(&m->num_vcpus))
		return;
	m->ops->inject(m->vcpu[cpu].av, kind, vector);
	vcpu_wake(&m->vcpu[cpu]);
}

static void sink_intr(void *arg, unsigned cpu)
{
	sink(arg, cpu, ACCEL_INJECT_INTR, 0);
}

static void sink_nmi(void *arg, unsigned cpu)
{
	sink(arg, cpu, ACCEL_INJECT_NMI, 0);
}

static void sink_init(void *arg, unsigned cpu)
{
	struct machine *m = arg;

	if (cpu < MACHINE_MAX_CPUS)
		atomic_store(&m->vcpu[cpu].started, false);
	sink(arg, cpu, ACCEL_INJECT_INIT, 0);
}

static void sink_sipi(void *arg, unsigned cpu, u8 vector)
{
	struct machine *m = arg;

	if (cpu < MACHINE_MAX_CPUS)
		atomic_store(&m->vcpu[cpu].started, true);
	sink(arg, cpu, ACCEL_INJECT_SIPI, vector);
}

const struct apic_cpu_sink machine_apic_sink = {
	.intr = sink_intr,
	.nmi = sink_nmi,
	.init = sink_init,
	.sipi = sink_sipi,
};
