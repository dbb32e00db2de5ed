// SPDX-License-Identifier: BSD-2-Clause
/* MSRs: values that stick, values that fault; CPUID: leaves that agree with one another and with
 * what the CPU does */
#include "cpu.h"

NO_APS

CODE(rdmsr_, "mov %edi, %ecx", "rdmsr");
CODE(wrmsr_, "mov %edi, %ecx; mov %rsi, %rax; mov %rsi, %rdx; shr $32, %rdx", "wrmsr");
CODE(xgetbv_, "mov %edi, %ecx", "xgetbv");
CODE(xsetbv_, "mov %edi, %ecx; mov %rsi, %rax; mov %rsi, %rdx; shr $32, %rdx", "xsetbv");
CODE(rdfsbase_, "nop", "rdfsbase %rax");
CODE(wrfsbase_, "nop", "wrfsbase %rdi");
CODE(rdtscp_, "nop", "rdtscp");
CODE(rdtsc_, "nop", "rdtsc");
CODE(rdpid_, "nop", ".byte 0xf3, 0x0f, 0xc7, 0xf8");
CODE(monitor_, "mov %rdi, %rax; xor %ecx, %ecx; xor %edx, %edx", "monitor");
CODE(invpcid_, "xor %eax, %eax", ".byte 0x66, 0x0f, 0x38, 0x82, 0x07");
CODE(stac_, "nop", "stac");
CODE(vmxon_, "nop", "vmxon (%rdi)");
CODE(vmrun_, "nop", ".byte 0x0f, 0x01, 0xd8");
CODE(xsave_, "mov $7, %eax; xor %edx, %edx", "xsave (%rdi)");
CODE(vaddps_, "nop", "vaddps %ymm0, %ymm0, %ymm0");
CODE(xbegin_, "nop", ".byte 0xc7, 0xf8, 0, 0, 0, 0");
CODE(rdpkru_, "xor %ecx, %ecx", ".byte 0x0f, 0x01, 0xee");
CODE(xsaves_, "mov $7, %eax; xor %edx, %edx", ".byte 0x0f, 0xc7, 0x2f");
CODE(vaes_, "nop", "vaesenc %ymm0, %ymm0, %ymm0");
CODE(gfni_, "nop", "gf2p8mulb %xmm0, %xmm0");
CODE(sse4a_, "nop", "extrq %xmm1, %xmm0");
CODE(zmm_, "nop", ".byte 0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc0");

static u64 msr_get(u32 i, bool *fault)
{
	run(rdmsr_, i, 0);
	*fault = last.t.vector != NONE;
	return 0;
}

#define STICKS(i, v, what)                                                                    \
	do {                                                                                  \
		returns(wrmsr_, i, v, what ": write");                                        \
		equal(rdmsr(i), v, what ": reads the same");                                  \
	} while (0)

static void msrs(void)
{
	u64 odd = 0x0000800000000000ul, old;
	static const u32 addresses[] = { 0xC0000100, 0xC0000101, 0xC0000102, 0xC0000082, 0xC0000083,
					 0x175, 0x176 };

	faults(rdmsr_, 0x12345, 0, GP, 0, "an MSR that is not there: RDMSR is #GP");
	faults(wrmsr_, 0x12345, 0, GP, 0, "and WRMSR");
	for (unsigned i = 0; i < 7; i++) {
		old = rdmsr(addresses[i]);
		put_hex(addresses[i]);
		put(":\r\n");
		STICKS(addresses[i], 0xffff800012345678ul, "an address");
		faults(wrmsr_, addresses[i], odd, GP, 0, "one that is not canonical is #GP");
		equal(rdmsr(addresses[i]), 0xffff800012345678ul, "and changes nothing");
		wrmsr(addresses[i], old);
	}
	STICKS(0xC0000081, 0x001b000800000000ul, "STAR");
	STICKS(0xC0000084, 0x47700, "SFMASK");
	STICKS(0xC0000103, 0x1234, "TSC_AUX");
	run(rdtscp_, 0, 0);
	equal(last.t.vector, NONE, "RDTSCP");
	u32 aux;
	__asm__ volatile("rdtscp" : "=c"(aux) : : "eax", "edx");
	equal(aux, 0x1234, "gives TSC_AUX");
	wrmsr(0xC0000084, 0);
	STICKS(0x277, 0x0007040600070406ul, "PAT");
	faults(wrmsr_, 0x277, 0x0207040600070406ul, GP, 0, "PAT with a reserved type is #GP");
	STICKS(0x174, 0x10, "SYSENTER_CS");
	wrmsr(0x174, 0);
	/* APIC base */
	old = rdmsr(0x1B);
	equal(old & 0xfffff000, LAPIC, "APIC_BASE");
	check(old & 0x100, "has BSP");
	check(old & 0x800, "and is enabled");
	faults(wrmsr_, 0x1B, old | 1, GP, 0, "APIC_BASE with reserved bits is #GP");
	faults(wrmsr_, 0x1B, (old & ~0x800ul) | 0x400, GP, 0, "x2APIC without xAPIC is #GP");
	faults(rdmsr_, 0x802, 0, GP, 0, "x2APIC register in xAPIC mode is #GP");
	/* TSC */
	u64 a = rdtsc();
	wrmsr(0x10, 0x100000000000ul);
	u64 b = rdtsc();
	check(b >= 0x100000000000ul && b < 0x100100000000ul, "TSC can be written");
	wrmsr(0x10, a);
	check(rdtsc() - a < 0x100000000ul, "and set back");
	u64 adj = rdmsr(0x3B);
	wrmsr(0x3B, adj + 0x10000000000ul);
	check(rdtsc() - a > 0x10000000000ul, "TSC_ADJUST moves the TSC");
	wrmsr(0x3B, adj);
	check(rdtsc() - a < 0x100000000ul, "and back");
	/* MTRRs */
	u64 cap = rdmsr(0xFE);
	check((cap & 0xff) <= 16, "MTRRcap");
	STICKS(0x200, 0xC0000000, "a variable MTRR");
	wrmsr(0x200, 0);
	returns(rdmsr_, 0x2FF, 0, "MTRR default type");
	faults(wrmsr_, 0xFE, 0, GP, 0, "MTRRcap is read-only");
	bool f;
	msr_get(0x8B, &f);
	check(!f, "microcode revision reads");
}

static void user_tsc(void)
{
	returns_user(rdtsc_, 0, 0, "RDTSC in ring 3");
	write_cr4(read_cr4() | 4);
	faults_user(rdtsc_, 0, 0, GP, 0, "with CR4.TSD is #GP");
	faults_user(rdtscp_, 0, 0, GP, 0, "RDTSCP too");
	returns(rdtsc_, 0, 0, "not in ring 0");
	write_cr4(read_cr4() & ~4ul);
	u64 lastt = 0, bad = 0;
	for (unsigned i = 0; i < 20000; i++) {
		u64 now = rdtsc();

		bad += now < lastt;
		lastt = now;
	}
	equal(bad, 0, "the TSC never goes back");
}

/* What CPUID hides must be #UD or the CR4 bit #GP; what it shows must work */
CODE(cr4_wr, "nop", "mov %rdi, %cr4");
static void feature(bool have, unsigned bit, const char *what)
{
	u64 cr4 = read_cr4();

	put(what);
	put(have ? ": shown\r\n" : ": hidden\r\n");
	run(cr4_wr, cr4 | 1ul << bit, 0);
	if (have)
		ended(NONE, 0, 0, "its CR4 bit can be set");
	else
		ended(GP, 0, (u64)cr4_wr_at, "its CR4 bit is #GP");
	write_cr4(cr4);
}

static void cpuids(void)
{
	u32 r[4], one[4], seven[4], ext[4], max, d[4], d1[4];
	static u8 area[2048] __attribute__((aligned(64)));

	cpuid(0, 0, r);
	max = r[0];
	check(max >= 7, "leaf 0: 7 at least");
	cpuid(1, 0, one);
	cpuid(7, 0, seven);
	cpuid(0x80000001, 0, ext);
	cpuid(0x80000000, 0, r);
	check(r[0] >= 0x80000008, "leaf 0x80000000: 0x80000008 at least");
	check((one[3] & 0x0781a373) == (0x0781a373 & one[3]) && (one[3] & 1), "x87, TSC, MSR, PAE, CX8, APIC... are there");
	check((one[3] & 0x07008171) == 0x07008171, "SSE2, FXSR, MMX, CMOV, PAE, MSR, TSC, CX8");
	check(one[2] >> 31, "there is a hypervisor");
	check(ext[3] & 1u << 29, "long mode");
	equal(one[1] >> 24, lapic_id(), "leaf 1 has the APIC id");
	cpuid(0xB, 0, r);
	equal(r[3], lapic_id(), "leaf 0xB too");
	cpuid(0x80000008, 0, r);
	check((r[0] & 0xff) >= 36 && (r[0] & 0xff) <= 52, "physical address bits");
	equal(r[0] >> 8 & 0xff, 48, "linear address bits");
	/* OSXSAVE follows CR4 */
	write_cr4(read_cr4() & ~(1ul << 18));
	cpuid(1, 0, r);
	check(!(r[2] & 1u << 27), "OSXSAVE is clear without CR4.OSXSAVE");
	faults(xgetbv_, 0, 0, UD, 0, "XGETBV without CR4.OSXSAVE is #UD");
	faults(xsave_, area, 0, UD, 0, "XSAVE too");
	faults(vaddps_, 0, 0, UD, 0, "AVX too");
	if (one[2] & 1u << 26) {
		write_cr4(read_cr4() | 1ul << 18);
		cpuid(1, 0, r);
		check(r[2] & 1u << 27, "and set with it");
		cpuid(0xD, 0, d);
		faults(xsetbv_, 0, 0, GP, 0, "XCR0 without x87 is #GP");
		faults(xsetbv_, 0, 5, GP, 0, "XCR0 with AVX without SSE is #GP");
		faults(xsetbv_, 1, 1, GP, 0, "XCR1 is #GP");
		faults(xsetbv_, 0, d[0] | 1ul << 62, GP, 0, "XCR0 with what CPUID hides is #GP");
		faults_user(xsetbv_, 0, 1, GP, 0, "XSETBV in ring 3 is #GP");
		faults(xgetbv_, 5, 0, GP, 0, "XGETBV of 5 is #GP");
		returns(xsetbv_, 0, 1, "XCR0 = 1");
		faults(vaddps_, 0, 0, UD, 0, "AVX without XCR0.AVX is #UD");
		cpuid(0xD, 0, d1);
		equal(d1[1], 576, "leaf 0xD: size for x87");
		returns(xsetbv_, 0, d[0] & 7, "all of XCR0");
		cpuid(0xD, 0, d1);
		equal(d1[1], d[2], "leaf 0xD: current size is the maximum then");
		if (one[2] & 1u << 28)
			returns(vaddps_, 0, 0, "AVX works");
		if (!(seven[2] & 1u << 9))
			faults(vaes_, 0, 0, UD, 0, "VAES is hidden: AES of 32 bytes is #UD");
		if (!(seven[2] & 1u << 8))
			faults(gfni_, 0, 0, UD, 0, "GFNI is hidden: #UD");
		if (ext[2] & 1u << 6)
			returns(sse4a_, 0, 0, "SSE4A works");
		returns(xsave_, area, 0, "XSAVE works");
		faults(xsave_, area + 8, 0, GP, 0, "XSAVE misaligned is #GP");
	}
	feature(seven[1] & 1, 16, "FSGSBASE");
	feature(seven[1] & 1u << 7, 20, "SMEP");
	feature(seven[1] & 1u << 20, 21, "SMAP");
	feature(seven[2] & 1u << 3, 22, "PKU");
	feature(seven[2] & 1u << 2, 11, "UMIP");
	feature(seven[2] & 1u << 16, 12, "LA57");
	feature(seven[3] & 1u << 20 || seven[2] & 1u << 7, 23, "CET");
	feature(one[2] & 1u << 5, 13, "VMX");
	feature(one[2] & 1u << 17, 17, "PCID");
	if (!(one[2] & 1u << 3))
		faults(monitor_, area, 0, UD, 0, "MONITOR is hidden: #UD");
	if (!(seven[1] & 1u << 10))
		faults(invpcid_, area, 0, UD, 0, "INVPCID is hidden: #UD");
	if (!(seven[1] & 1u << 20))
		faults(stac_, 0, 0, UD, 0, "STAC without SMAP is #UD");
	if (!(one[2] & 1u << 5))
		faults(vmxon_, area, 0, UD, 0, "VMXON is #UD");
	if (!(ext[2] & 1u << 2))
		faults(vmrun_, area, 0, UD, 0, "VMRUN is #UD");
	if (!(seven[1] & 1u << 11))
		faults(xbegin_, 0, 0, UD, 0, "XBEGIN is #UD");
	if (!(seven[2] & 1u << 3))
		faults(rdpkru_, 0, 0, UD, 0, "RDPKRU is #UD");
	if (!(seven[1] & 1u << 16))
		faults(zmm_, 0, 0, UD, 0, "AVX-512 is #UD");
	cpuid(0xD, 1, r);
	if (!(r[0] & 8))
		faults(xsaves_, area, 0, UD, 0, "XSAVES is #UD");
	if (seven[2] & 1u << 22)
		returns(rdpid_, 0, 0, "RDPID works");
	faults(rdfsbase_, 0, 0, UD, 0, "RDFSBASE without CR4.FSGSBASE is #UD");
	if (seven[1] & 1) {
		write_cr4(read_cr4() | 1ul << 16);
		returns_user(wrfsbase_, 0x123456789000ul, 0, "WRFSBASE in ring 3");
		equal(rdmsr(0xC0000100), 0x123456789000ul, "sets the MSR");
		returns_user(rdfsbase_, 0, 0, "RDFSBASE");
		equal(last.t.rax, 0x123456789000ul, "reads it");
		faults_user(wrfsbase_, 0x0000800000000000ul, 0, GP, 0, "WRFSBASE of what is not canonical is #GP");
		write_cr4(read_cr4() & ~(1ul << 16));
	}
	/* the brand string prints, leaves above the maximum are the last one or 0, no fault */
	cpuid(0x8fffffff, 0, r);
	check(1, "CPUID never faults");
}

int main64(void)
{
	init();
	lapic_on();
	msrs();
	user_tsc();
	cpuids();
	return verdict();
}
