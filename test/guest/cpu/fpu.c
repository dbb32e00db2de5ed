// SPDX-License-Identifier: BSD-2-Clause
/* x87 and SSE: images of FXSAVE and XSAVE, exceptions, state that survives exits, interrupts and
 * what another CPU does with its own */
#include "cpu.h"

static u8 area[4][1024] __attribute__((aligned(64)));
static volatile u32 up, stop, ap_bad[16], ap_rounds[16];

CODE(fninit_, "nop", "fninit");
CODE(ldmxcsr_, "nop", "ldmxcsr (%rdi)");
CODE(fxrstor_, "nop", "fxrstor (%rdi)");
CODE(xrstor_, "mov $7, %eax; xor %edx, %edx", "xrstor (%rdi)");
CODE(fld_bad, "fninit; fldcw (%rdi); fld1; fchs; fsqrt", "fld1");
CODE(fnstsw_pending, "fninit; fldcw (%rdi); fld1; fchs; fsqrt", "fnstsw %ax; fnclex; nop");
CODE(fst_masked, "fninit; fld1", "fstpl (%rdi)");
CODE(stack_over, "fninit; fldcw (%rdi); .rept 8; fld1; .endr", "fld1; fwait; nop");
CODE(cvt_bad, "ldmxcsr (%rdi)", "cvtss2si 4(%rdi), %eax");
CODE(denormal, "ldmxcsr (%rdi)", "mulss 4(%rdi), %xmm0");
CODE(max_all, "ldmxcsr (%rdi); movaps 16(%rdi), %xmm0", "divps 32(%rdi), %xmm0");

static void images(void)
{
	u8 *a = area[0], *b = area[1];

	__asm__ volatile("fninit; fldpi; fld1; movups %1, %%xmm0; movups %1, %%xmm15; fxsave64 %0"
			 : "=m"(*a) : "m"(*(u8 (*)[16])area[2]) : "memory");
	equal(RD(u16, a), 0x37f, "FXSAVE: control word");
	equal(RD(u16, a + 2) >> 11 & 7, 6, "top of stack is 6");
	equal(a[4], 0xc0, "abridged tag word");
	equal(RD(u16, a + 32 + 8), 0x3fff, "ST0 is 1");
	equal(RD(u16, a + 48 + 8), 0x4000, "ST1 is pi");
	equal(RD(u32, a + 24), 0x1f80, "MXCSR");
	check(RD(u32, a + 28) & 0x40, "MXCSR mask has DAZ");
	for (unsigned i = 0; i < 256; i++)
		a[160 + i] = (u8)(i * 3 + 1);
	returns(fxrstor_, a, 0, "FXRSTOR");
	__asm__ volatile("fxsave64 %0" : "=m"(*b) : : "memory");
	bool same = true;
	for (unsigned i = 0; i < 416; i++)
		same &= a[i] == b[i] || (i >= 6 && i < 24);
	check(same, "FXSAVE gives back what FXRSTOR got");
	RD(u32, a + 24) = 0x10000;
	faults(fxrstor_, a, 0, GP, 0, "FXRSTOR of a bad MXCSR is #GP");
	RD(u32, a + 24) = 0x1f80;
	RD(u16, a) = 0x27f;
	returns(fxrstor_, a, 0, "another control word");
	u16 cw;
	__asm__ volatile("fnstcw %0" : "=m"(cw));
	equal(cw, 0x27f, "is taken");
	__asm__ volatile("fninit; fldpi; fnsave %0" : "=m"(*b) : : "memory");
	equal(RD(u16, b), 0x37f, "FNSAVE: control word");
	equal(RD(u16, b + 8), 0x3fff, "full tag word: one valid");
	__asm__ volatile("fnstsw %0" : "=m"(cw));
	equal(cw, 0, "and the FPU is initialised");
	__asm__ volatile("frstor %0; fnstsw %1" : : "m"(*b), "m"(cw) : "memory");
	equal(cw >> 11 & 7, 7, "FRSTOR brings it back");
	__asm__ volatile("fninit");
}

static void xsave(void)
{
	u32 r[4], one[4];
	u8 *a = area[0], *b = area[1];

	cpuid(1, 0, one);
	if (!(one[2] & 1u << 26)) {
		put("no XSAVE\r\n");
		return;
	}
	write_cr4(read_cr4() | 1ul << 18);
	cpuid(0xD, 0, r);
	u32 x = r[0] & 7;
	__asm__ volatile("xsetbv" : : "c"(0), "a"(x), "d"(0));
	for (unsigned i = 0; i < 1024; i++)
		a[i] = b[i] = 0;
	__asm__ volatile("fninit; fldpi; movups %1, %%xmm1; xsave64 %0" : "+m"(*a) : "m"(*(u8 (*)[16])area[2]), "a"(x), "d"(0) : "memory");
	check(RD(u64, a + 512) & 1, "XSAVE: x87 in use");
	equal(RD(u64, a + 512) & ~(u64)x, 0, "nothing that XCR0 has not");
	equal(RD(u16, a + 32 + 8), 0x4000, "ST0 is pi");
	RD(u64, a + 520) = 0;
	RD(u64, a + 512) = 2;
	for (unsigned i = 0; i < 256; i++)
		a[160 + i] = (u8)(i + 5);
	returns(xrstor_, a, 0, "XRSTOR with SSE only");
	__asm__ volatile("xsave64 %0" : "+m"(*b) : "a"(x), "d"(0) : "memory");
	bool same = true;
	for (unsigned i = 0; i < 256; i++)
		same &= b[160 + i] == (u8)(i + 5);
	check(same, "loads the XMM registers");
	u16 sw;
	__asm__ volatile("fnstsw %0" : "=m"(sw));
	equal(sw, 0, "and initialises x87");
	RD(u64, a + 512) = 1ul << 40;
	faults(xrstor_, a, 0, GP, 0, "XRSTOR of a component that is not is #GP");
	RD(u64, a + 512) = 2;
	RD(u64, a + 528) = 1;
	faults(xrstor_, a, 0, GP, 0, "XRSTOR of a header with reserved bytes is #GP");
	RD(u64, a + 528) = 0;
	if (x & 4) {
		static u8 y[2][32] __attribute__((aligned(32)));

		for (unsigned i = 0; i < 32; i++)
			y[0][i] = (u8)(i * 5 + 3);
		__asm__ volatile("vmovups %1, %%ymm7; xsave64 %0" : "+m"(*b) : "m"(y[0]), "a"(x), "d"(0) : "memory");
		same = true;
		for (unsigned i = 0; i < 16; i++)
			same &= b[576 + 7 * 16 + i] == y[0][16 + i];
		check(same, "upper half of YMM7 in the image");
		__asm__ volatile("vzeroall; xrstor64 %1; vmovups %%ymm7, %0" : "=m"(y[1]) : "m"(*b), "a"(x), "d"(0) : "memory");
		same = true;
		for (unsigned i = 0; i < 32; i++)
			same &= y[0][i] == y[1][i];
		check(same, "and back from it");
		__asm__ volatile("vzeroall; xsaveopt64 %0" : "+m"(*b) : "a"(x), "d"(0) : "memory");
		check(!(RD(u64, b + 512) & 4), "YMM in its initial state is not in use");
	}
}

static void exceptions(void)
{
	u32 *d = (u32 *)area[3];

	d[0] = 0x37e; /* invalid unmasked */
	run(fld_bad, (u64)d, 0);
	ended(MF, 0, (u64)fld_bad_at, "#MF comes at the next waiting instruction");
	__asm__ volatile("fnclex");
	returns(fnstsw_pending, d, 0, "FNSTSW and FNCLEX do not wait");
	run(stack_over, (u64)d, 0);
	equal(last.t.vector, MF, "stack overflow is #MF");
	u16 sw;
	__asm__ volatile("fnstsw %0" : "=m"(sw));
	check((sw & 0x241) == 0x241, "status word has IE, SF and C1");
	__asm__ volatile("fnclex; fninit");
	write_cr0(read_cr0() & ~0x20ul);
	write_cr0(read_cr0() | 0x20);
	d[0] = 0x1f00;
	d[1] = 0x7fc00000; /* NaN */
	faults(cvt_bad, d, 0, XM, 0, "CVTSS2SI of a NaN is #XM");
	d[0] = 0x1e80;
	d[1] = 1; /* denormal */
	faults(denormal, d, 0, XM, 0, "a denormal is #XM");
	d[0] = 0x1ec0;
	returns(denormal, d, 0, "with DAZ it is not");
	d[0] = 0x1d80;
	for (unsigned i = 0; i < 4; i++)
		d[4 + i] = d[8 + i] = 0x3f800000;
	returns(max_all, d, 0, "DIVPS of ones");
	d[10] = 0;
	faults(max_all, d, 0, XM, 0, "one zero among them is #XM");
	__asm__ volatile("ldmxcsr %0" : : "m"(*(u32[]){ 0x1f80 }));
}

/* --------------------------------------------------- nobody touches it */

static void fill(u8 seed)
{
	u8 *a = area[2];

	for (unsigned i = 0; i < 256; i++)
		a[i] = (u8)(i * 11 + seed);
	__asm__ volatile(
		"movaps (%0), %%xmm0; movaps 16(%0), %%xmm1; movaps 32(%0), %%xmm2; movaps 48(%0), %%xmm3;"
		"movaps 64(%0), %%xmm4; movaps 80(%0), %%xmm5; movaps 96(%0), %%xmm6; movaps 112(%0), %%xmm7;"
		"movaps 128(%0), %%xmm8; movaps 144(%0), %%xmm9; movaps 160(%0), %%xmm10; movaps 176(%0), %%xmm11;"
		"movaps 192(%0), %%xmm12; movaps 208(%0), %%xmm13; movaps 224(%0), %%xmm14; movaps 240(%0), %%xmm15;"
		"fninit; fldpi; fld1; fldl2e" : : "r"(a) : "memory");
}

static bool intact(u8 seed)
{
	u8 *a = area[2], *b = area[3];
	bool same = true;

	__asm__ volatile("fxsave64 (%0)" : : "r"(b) : "memory");
	for (unsigned i = 0; i < 256; i++)
		same &= b[160 + i] == a[i] && a[i] == (u8)(i * 11 + seed);
	return same && RD(u16, b + 2) >> 11 == 5 && RD(u16, b + 40) == 0x3fff && RD(u16, b + 72) == 0x4000;
}

static volatile u32 ticks;
static void tick(struct trap *t)
{
	ticks++;
	lapic_eoi();
}

static void survives(void)
{
	u32 r[4];

	fill(1);
	outb(0x80, 1);
	inb(0x61);
	check(intact(1), "port accesses");
	lapic_rd(LAPIC_ID);
	lapic_wr(LAPIC_TPR, 0);
	check(intact(1), "MMIO");
	cpuid(0, 0, r);
	rdmsr(0x1B);
	wrmsr(0xC0000103, 1);
	check(intact(1), "CPUID and MSRs");
	hooks[0x41] = tick;
	ticks = 0;
	lapic_wr(LAPIC_TIMER_DIV, 0xb);
	lapic_wr(LAPIC_LVT_TIMER, 0x41 | 1u << 17);
	lapic_wr(LAPIC_TIMER_INIT, 200000);
	while (ticks < 20)
		sti_hlt_cli();
	check(intact(1), "20 sleeps and interrupts");
	sti();
	while (ticks < 40)
		pause();
	cli();
	lapic_wr(LAPIC_TIMER_INIT, 0);
	check(intact(1), "20 interrupts of a busy loop");
	write_cr3(read_cr3());
	map(TEST_VA, 0x900000, P_P | P_W, 1);
	RD(u64, TEST_VA) = 1;
	check(intact(1), "TLB misses");
	volatile u8 *code = (volatile u8 *)TEST_VA;
	for (unsigned i = 0; i < 10; i++) {
		code[0] = 0x90, code[1] = 0xc3;
		__asm__ volatile("call *%0" : : "r"(code) : "memory");
	}
	check(intact(1), "self-modifying code");
	write_cr0(read_cr0() | 8);
	__asm__ volatile("clts");
	check(intact(1), "CR0.TS on and off");
}

/* Each CPU with values of its own, all the time in and out of HLT, MMIO and ports */
static void churn(u32 id)
{
	u64 seed = 0x3ff0000000000000ul + ((u64)id << 44), bits;

	__asm__ volatile("fninit; fldl %0; movsd %0, %%xmm9; movsd %0, %%xmm3" : : "m"(seed));
	while (!stop) {
		__asm__ volatile("movq %%xmm9, %0" : "=r"(bits));
		ap_bad[id] += bits != seed;
		__asm__ volatile("fstl %0" : "=m"(bits));
		ap_bad[id] += bits != seed;
		if (ap_rounds[id] % 4 == 0)
			outb(0x80, (u8)id);
		else if (ap_rounds[id] % 4 == 1)
			lapic_rd(LAPIC_ID);
		else
			for (unsigned i = 0; i < 50; i++)
				pause();
		ap_rounds[id]++;
	}
}

void ap_main64(void)
{
	u32 id = atomic_inc(&up);

	churn(id);
	atomic_inc(&stop);
}

int main64(void)
{
	u32 n = num_cpus(), bad = 0;

	init();
	lapic_on();
	images();
	xsave();
	exceptions();
	survives();
	if (n > 1) {
		bool all = true;

		smp_start();
		check(wait_for(up == n - 1), "other CPUs run");
		u64 until = rdtsc() + 300000000;
		fill(9);
		while (rdtsc() < until) {
			outb(0x80, 0);
			bad += !intact(9);
		}
		stop = 1;
		wait_for(stop == n);
		for (u32 i = 1; i < n; i++) {
			bad += ap_bad[i];
			all &= ap_rounds[i] > 10;
		}
		check(all, "each was busy");
		equal(bad, 0, "no CPU sees another's registers");
	}
	return verdict();
}
