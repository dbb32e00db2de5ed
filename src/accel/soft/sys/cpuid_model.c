// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/sys/cpuid_model.c - The CPU that guests of the software CPU see
 *
 * Vendor, family and features are the host's, as most instructions run on it, less
 * what the translator and the MMU do not do, plus what we provide whatever the host
 * has (x2APIC, TSC deadline, KVM's leaves). The "not affected" bits spare Linux
 * retpolines, return thunks and page-table isolation, which would cost much here and
 * protect nothing: guest kernel and guest user share our process anyway.
 *
 * Topology (leaves 1.EBX, 4, 0xB, 0x80000008.ECX, 0x8000001D/E) is machine/'s; rows
 * here describe one CPU alone. SDM 2A CPUID, AMD APM 3 appendix E. [any] */
#include "accel/soft/sys/sys_int.h"

#define MAX_PHYS_BITS 46u
#define LINEAR_BITS 48u
#define TIMER_KHZ 1000000u /* the LAPIC timer's clock, 1 GHz */

/* What passes from the host */
#define L1_ECX                                                                                \
	(BIT(0) /* SSE3 */ | BIT(1) /* PCLMULQDQ */ | BIT(9) /* SSSE3 */ | BIT(12) /* FMA */ | \
	 BIT(13) /* CX16 */ | BIT(19) | BIT(20) /* SSE4 */ | BIT(22) /* MOVBE */ |            \
	 BIT(23) /* POPCNT */ | BIT(25) /* AES */ | BIT(26) /* XSAVE */ | BIT(28) /* AVX */ | \
	 BIT(29) /* F16C */ | BIT(30) /* RDRAND */)
#define L1_ECX_SET (BIT(21) /* x2APIC */ | BIT(24) /* TSC deadline */ | BIT(31) /* hypervisor */)
/* FPU DE PSE TSC MSR PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT PSE36 CLFLUSH MMX FXSR SSE SSE2;
 * all are baseline of x86-64 or ours. No VME. */
#define L1_EDX 0x078bfbfdu
#define L7_EBX                                                                                \
	(BIT(0) /* FSGSBASE */ | BIT(3) /* BMI1 */ | BIT(5) /* AVX2 */ |                      \
	 BIT(6) /* FDP_EXCPTN_ONLY */ | BIT(8) /* BMI2 */ | BIT(9) /* ERMS */ |               \
	 BIT(13) /* FCS, FDS zero */ | BIT(18) /* RDSEED */ | BIT(19) /* ADX */ |             \
	 BIT(23) /* CLFLUSHOPT */ | BIT(24) /* CLWB */ | BIT(29) /* SHA */)
#define L7_EBX_SET BIT(1) /* TSC_ADJUST */
#define L7_ECX BIT(22) /* RDPID */
#define L7_EDX BIT(4) /* FSRM */
#define L7_EDX_INTEL_SET (BIT(26) /* IBRS, IBPB */ | BIT(29) /* ARCH_CAPABILITIES */)
#define LD1_EAX (BIT(0) /* XSAVEOPT */ | BIT(1) /* XSAVEC */ | BIT(2) /* XGETBV 1 */)
#define L80000001_ECX                                                                         \
	(BIT(0) /* LAHF */ | BIT(1) /* CMP_LEGACY */ | BIT(5) /* LZCNT */ | BIT(6) /* SSE4A */ | \
	 BIT(7) /* misaligned SSE */ | BIT(8) /* PREFETCHW */ | BIT(22) /* TOPOEXT */)
#define L80000001_EDX                                                                         \
	(BIT(11) /* SYSCALL */ | BIT(20) /* NX */ | BIT(22) /* MMXEXT */ | BIT(26) /* 1 GB pages */ | \
	 BIT(27) /* RDTSCP */ | BIT(29) /* long mode */)
#define L80000001_EDX_AMD_MIRROR 0x0183fbfdu /* of leaf 1: bits 0-9, 12-17, 23, 24 */
#define L80000008_EBX_AMD_SET (BIT(26) /* SSB_NO */ | BIT(29) /* BTC_NO */)
/* NO_NESTED_DATA_BP, LFENCE_RDTSC, NULL_SEL_CLR_BASE, AutoIBRS, SRSO_NO, SRSO_USER_KERNEL_NO */
#define L80000021_EAX (BIT(0) | BIT(2) | BIT(6) | BIT(8) | BIT(29) | BIT(30))
#define L80000021_ECX (BIT(1) | BIT(2)) /* TSA_SQ_NO, TSA_L1_NO */

/* CLOCKSOURCE, NOP_IO_DELAY, CLOCKSOURCE2, PV_EOI, PV_UNHALT, CLOCKSOURCE_STABLE */
#define KVM_FEATURES (BIT(0) | BIT(1) | BIT(3) | BIT(6) | BIT(7) | BIT(24))

struct build {
	struct cpuid_entry *row;
	unsigned n, max;
};

struct regs {
	u32 a, b, c, d;
};

static struct regs host(u32 leaf, u32 subleaf)
{
	struct regs r;

	__asm__ volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d)
			 : "a"(leaf), "c"(subleaf));
	return r;
}

static void put(struct build *t, u32 leaf, int subleaf, struct regs r)
{
	struct cpuid_entry *e;

	if (t->n >= t->max)
		return;
	e = &t->row[t->n++];
	e->leaf = leaf;
	e->has_subleaf = subleaf >= 0;
	e->subleaf = subleaf >= 0 ? subleaf : 0;
	e->eax = r.a;
	e->ebx = r.b;
	e->ecx = r.c;
	e->edx = r.d;
}

/* Leaf 4 or 0x8000001D: the host's caches, each for one CPU alone. A host without them
 * (some hypervisors) gets what is common, as glibc takes its memcpy thresholds from here. */
static void put_caches(struct build *t, u32 leaf, u32 host_max)
{
	/* 32 KiB data and code, 512 KiB, 16 MiB; 64-byte lines */
	static const struct regs usual[] = {
		{ 0x121, 0x01c0003f, 63, 0 },
		{ 0x122, 0x01c0003f, 63, 0 },
		{ 0x143, 0x01c0003f, 1023, 0 },
		{ 0x163, 0x03c0003f, 16383, 0 },
	};
	bool have = host_max >= leaf && (host(leaf, 0).a & 0x1f);
	unsigned i;

	for (i = 0; i < 8; i++) {
		struct regs r = { 0, 0, 0, 0 };

		if (have)
			r = host(leaf, i);
		else if (i < ARRAY_LEN(usual))
			r = usual[i];
		if (!(r.a & 0x1f))
			r = (struct regs){ 0, 0, 0, 0 };
		r.a &= 0x3fff; /* nobody shares it, one core in the package */
		put(t, leaf, i, r);
		if (!(r.a & 0x1f))
			break;
	}
}

static void put_basic(struct build *t, const struct regs *vendor, bool intel, u64 tsc_hz)
{
	u32 khz = (u32)(tsc_hz / 1000), xcr0;
	struct regs one = host(1, 0), seven = { 0, 0, 0, 0 }, r;
	bool avx;

	put(t, 0, -1, (struct regs){ intel ? 0x16 : 0xd, vendor->b, vendor->c, vendor->d });

	one.c &= L1_ECX;
	one.b = 8u << 8 | 1u << 16; /* CLFLUSH of 64 bytes; one CPU, APIC id 0 */
	one.d = L1_EDX;
	/* What XSAVE may hold decides about AVX: the host kernel may not have enabled it */
	xcr0 = one.c & BIT(26) && vendor->a >= 0xd ? host(0xd, 0).a & 7 : 0;
	if (xcr0 & 2) {
		u32 lo, hi;

		/* OSXSAVE is set in any host that enables AVX for us */
		if (host(1, 0).c & BIT(27)) {
			__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
			xcr0 &= lo;
		} else {
			xcr0 = 0;
		}
	}
	if (!(xcr0 & 2))
		one.c &= ~BIT(26);
	avx = (one.c & BIT(28)) && xcr0 == 7;
	if (!avx) {
		xcr0 &= 3;
		one.c &= ~(BIT(28) | BIT(12) | BIT(29));
	}
	one.c |= L1_ECX_SET;
	put(t, 1, -1, one);

	if (intel && vendor->a >= 2)
		put(t, 2, -1, host(2, 0));
	if (intel)
		put_caches(t, 4, vendor->a);
	put(t, 6, -1, (struct regs){ BIT(2), 0, 0, 0 }); /* ARAT */

	if (vendor->a >= 7)
		seven = host(7, 0);
	seven.a = 0;
	seven.b = (seven.b & L7_EBX) | L7_EBX_SET;
	seven.c &= L7_ECX;
	seven.d = (seven.d & L7_EDX) | (intel ? L7_EDX_INTEL_SET : 0);
	if (!avx)
		seven.b &= ~BIT(5);
	put(t, 7, 0, seven);

	if (one.c & BIT(26)) {
		u32 size = avx ? 832 : 576;

		put(t, 0xd, 0, (struct regs){ xcr0, 576, size, 0 });
		put(t, 0xd, 1, (struct regs){ host(0xd, 1).a & LD1_EAX, size, 0, 0 });
		if (avx) /* 256 bytes at 576, the only place that host and guest agree on */
			put(t, 0xd, 2, (struct regs){ 256, 576, 0, 0 });
	}
	if (!intel)
		return;
	/* TSC = crystal * EBX / EAX, with the LAPIC timer's clock as the crystal */
	put(t, 0x15, -1, (struct regs){ TIMER_KHZ, khz, TIMER_KHZ * 1000u, 0 });
	r = (struct regs){ khz / 1000, khz / 1000, 100, 0 };
	put(t, 0x16, -1, r);
}

static void put_kvm(struct build *t, u64 tsc_hz)
{
	/* "KVMKVMKVM\0\0\0" */
	put(t, 0x40000000, -1, (struct regs){ 0x40000010, 0x4b4d564b, 0x564b4d56, 0x4d });
	put(t, 0x40000001, -1, (struct regs){ KVM_FEATURES, 0, 0, 0 });
	put(t, 0x40000010, -1, (struct regs){ (u32)(tsc_hz / 1000), TIMER_KHZ, 0, 0 });
}

static void put_extended(struct build *t, const struct regs *vendor, bool amd)
{
	u32 max = host(0x80000000, 0).a, leaf, phys = 36, more = 0;
	struct regs r, one = host(1, 0);

	put(t, 0x80000000, -1, (struct regs){ amd ? 0x80000021 : 0x80000008,
					      amd ? vendor->b : 0, amd ? vendor->c : 0,
					      amd ? vendor->d : 0 });
	r = host(0x80000001, 0);
	r.c &= amd ? L80000001_ECX : L80000001_ECX & (BIT(0) | BIT(5) | BIT(8));
	r.d &= L80000001_EDX;
	r.d |= BIT(11) | BIT(20) | BIT(29);
	if (amd) {
		r.a = one.a;
		r.b &= 0xf0000000; /* package type */
		r.d |= L1_EDX & L80000001_EDX_AMD_MIRROR;
	} else {
		r.b = 0;
	}
	put(t, 0x80000001, -1, r);
	for (leaf = 0x80000002; leaf <= 0x80000006; leaf++)
		if (leaf <= max && (amd || leaf != 0x80000005))
			put(t, leaf, -1, host(leaf, 0));
	put(t, 0x80000007, -1, (struct regs){ 0, 0, 0, BIT(8) }); /* invariant TSC */
	if (max >= 0x80000008) {
		r = host(0x80000008, 0);
		phys = r.a & 0xff;
		/* XSAVEERPTR: FXSAVE and FXRSTOR are the host's; without it Linux works around
		 * a leak of x87 pointers at every switch of tasks */
		more = r.b & BIT(2);
	}
	phys = MIN(MAX(phys, 36u), MAX_PHYS_BITS);
	put(t, 0x80000008, -1, (struct regs){ LINEAR_BITS << 8 | phys,
					      amd ? L80000008_EBX_AMD_SET | more : 0, 0, 0 });
	if (!amd)
		return;
	if (max >= 0x80000019)
		put(t, 0x80000019, -1, host(0x80000019, 0)); /* TLBs for 1 GB pages */
	if (max >= 0x8000001a) {
		r = host(0x8000001a, 0); /* how wide the SIMD units are */
		put(t, 0x8000001a, -1, (struct regs){ r.a & 7, 0, 0, 0 });
	}
	put_caches(t, 0x8000001d, max);
	/* One thread, one node: APIC id and core id 0 */
	put(t, 0x8000001e, -1, (struct regs){ 0, 0, 0, 0 });
	put(t, 0x80000021, -1, (struct regs){ L80000021_EAX, 0, L80000021_ECX, 0 });
}

unsigned sc_cpuid_model(struct cpuid_entry *table, unsigned max, u64 tsc_hz)
{
	struct build t = { .row = table, .max = max };
	struct regs vendor = host(0, 0);
	bool amd = vendor.c == 0x444d4163 || vendor.c == 0x656e6975;

	put_basic(&t, &vendor, !amd, tsc_hz);
	put_kvm(&t, tsc_hz);
	put_extended(&t, &vendor, amd);
	return t.n;
}
