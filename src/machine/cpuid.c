// SPDX-License-Identifier: BSD-2-Clause
/* machine/cpuid.c - What each vCPU says about itself: topology and hidden features
 *
 * The accelerator's table holds everything the guest may be told. Here come the
 * rows that only the board knows (how many CPUs, which APIC id, how caches are
 * shared) and go the features that nobody behind the interface serves. Each vCPU
 * is a core of its own in one package, without threads, APIC id = number.
 * SDM 2A CPUID; AMD APM 3 appendix E. [setup] */
#include <string.h>

#include "machine/machine_int.h"

/* DTES64 MONITOR DS-CPL VMX SMX EST TM2 CNXT-ID PDCM DCA */
#define LEAF1_ECX_HIDE                                                                         \
	(BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(10) | BIT(15) |    \
	 BIT(18))
#define LEAF1_ECX_X2APIC BIT(21)
#define LEAF1_ECX_TSC_DEADLINE BIT(24)
#define LEAF1_EDX_HIDE (BIT(21) | BIT(22) | BIT(29) | BIT(31)) /* DS ACPI TM PBE */
#define LEAF1_EDX_HTT BIT(28)
#define LEAF6_EAX_ARAT BIT(2)
/* SVM IBS SKINIT WDT LWP NodeId-MSR PerfCtrExtCore PerfCtrExtNB PerfTsc PerfCtrExtLLC MONITORX */
#define LEAF80000001_ECX_HIDE                                                                  \
	(BIT(2) | BIT(10) | BIT(12) | BIT(13) | BIT(15) | BIT(19) | BIT(23) | BIT(24) |        \
	 BIT(27) | BIT(28) | BIT(29))
#define LEAF80000001_ECX_CMP_LEGACY BIT(1)
#define LEAF80000001_ECX_TOPOEXT BIT(22)

struct table {
	struct cpuid_entry *row;
	unsigned n;
};

static struct cpuid_entry *find(struct table *t, u32 leaf)
{
	for (unsigned i = 0; i < t->n; i++)
		if (t->row[i].leaf == leaf)
			return &t->row[i];
	return NULL;
}

static void drop(struct table *t, u32 leaf)
{
	unsigned n = 0;

	for (unsigned i = 0; i < t->n; i++)
		if (t->row[i].leaf != leaf)
			t->row[n++] = t->row[i];
	t->n = n;
}

static void add(struct table *t, u32 leaf, u32 subleaf, u32 eax, u32 ebx, u32 ecx, u32 edx)
{
	if (t->n < ACCEL_MAX_CPUID)
		t->row[t->n++] = (struct cpuid_entry){ leaf, subleaf, true, eax, ebx, ecx, edx };
}

/* Bits that hold numbers 0..n-1 */
static u32 bits_for(unsigned n)
{
	return n > 1 ? 32 - __builtin_clz(n - 1) : 0;
}

/* SDM: leaf 0xB, levels thread (1) and core (2), then an empty one */
static void add_x2apic_topology(struct table *t, unsigned cpu, unsigned cpus)
{
	drop(t, 0xB);
	drop(t, 0x1F);
	add(t, 0xB, 0, 0, 1, 1 << 8 | 0, cpu);
	add(t, 0xB, 1, bits_for(cpus), cpus, 2 << 8 | 1, cpu);
	add(t, 0xB, 2, 0, 0, 2, cpu);
}

/* Leaf 4 and 0x8000001D: levels 1 and 2 belong to one core, level 3 to all.
 * Bits 25:14: APIC ids sharing it - 1 */
static void share_caches(struct table *t, u32 leaf, unsigned cpus)
{
	for (unsigned i = 0; i < t->n; i++) {
		struct cpuid_entry *e = &t->row[i];
		u32 sharing, cores;

		if (e->leaf != leaf || !(e->eax & 0x1f))
			continue;
		sharing = (e->eax >> 5 & 7) >= 3 ? (1u << bits_for(cpus)) - 1 : 0;
		e->eax = (e->eax & 0x3fff) | sharing << 14;
		if (leaf == 4) { /* bits 31:26: core ids in the package - 1 */
			cores = MIN((1u << bits_for(cpus)) - 1, 63u);
			e->eax |= cores << 26;
		}
	}
}

static void basic_leaves(struct table *t, bool lapic_ours, unsigned cpu, unsigned cpus)
{
	struct cpuid_entry *e = find(t, 1), *max = find(t, 0);

	if (e) {
		e->ecx &= ~LEAF1_ECX_HIDE;
		if (lapic_ours) /* chipset/lapic.c has both */
			e->ecx |= LEAF1_ECX_X2APIC | LEAF1_ECX_TSC_DEADLINE;
		e->edx &= ~(LEAF1_EDX_HIDE | LEAF1_EDX_HTT);
		if (cpus > 1)
			e->edx |= LEAF1_EDX_HTT;
		/* APIC id; ids in the package; CLFLUSH size and brand stay */
		e->ebx = (e->ebx & 0xffff) | cpu << 24 | (1u << bits_for(cpus)) << 16;
	}
	share_caches(t, 4, cpus);
	e = find(t, 5); /* MONITOR line sizes */
	if (e)
		e->eax = e->ebx = e->ecx = e->edx = 0;
	e = find(t, 6); /* thermal: only "the LAPIC timer never stops" */
	if (e) {
		e->eax = LEAF6_EAX_ARAT;
		e->ebx = e->ecx = e->edx = 0;
	}
	e = find(t, 0xA); /* no performance counters */
	if (e)
		e->eax = e->ebx = e->ecx = e->edx = 0;
	if (max && max->eax >= 0xB)
		add_x2apic_topology(t, cpu, cpus);
}

static void extended_leaves(struct table *t, unsigned cpu, unsigned cpus)
{
	struct cpuid_entry *e = find(t, 0x80000001), *vendor = find(t, 0);
	bool amd = vendor && vendor->ecx == 0x444d4163; /* "cAMD" */

	if (e) {
		e->ecx &= ~(LEAF80000001_ECX_HIDE | LEAF80000001_ECX_CMP_LEGACY);
		if (amd && cpus > 1)
			e->ecx |= LEAF80000001_ECX_CMP_LEGACY;
	}
	if (!amd)
		return;
	e = find(t, 0x80000008);
	if (e) /* cores - 1, and how many APIC id bits they take */
		e->ecx = (e->ecx & ~0xf0ffu) | (cpus - 1) | bits_for(cpus) << 12;
	share_caches(t, 0x8000001D, cpus);
	e = find(t, 0x80000001);
	if (e && (e->ecx & LEAF80000001_ECX_TOPOEXT)) {
		drop(t, 0x8000001E);
		/* APIC id; core id, 1 thread a core; node 0 of 1 */
		add(t, 0x8000001E, 0, cpu, cpu, 0, 0);
	}
	drop(t, 0x80000022); /* performance monitoring v2 */
	drop(t, 0x80000026); /* extended topology: 0xB says it */
}

unsigned cpuid_build(const struct accel_caps *caps, bool lapic_ours, unsigned cpu, unsigned cpus,
		     struct cpuid_entry *out)
{
	struct table t = { .row = out, .n = MIN(caps->num_cpuid, ACCEL_MAX_CPUID) };

	memcpy(out, caps->cpuid, t.n * sizeof(*out));
	basic_leaves(&t, lapic_ours, cpu, cpus);
	extended_leaves(&t, cpu, cpus);
	return t.n;
}
