// SPDX-License-Identifier: BSD-2-Clause
/* Local APIC: timer in each mode and divider, IPIs in each form, x2APIC */
#include "cpu.h"

static volatile u32 up, ticks[16], got[16], nmis[16], ids, x2;
static volatile u64 t_tick;

static bool in_x2(void) { return rdmsr(0x1B) >> 10 & 1; }
static u32 me(void) { return in_x2() ? (u32)rdmsr(0x802) : lapic_id(); }
static void eoi(void)
{
	if (in_x2())
		wrmsr(0x80B, 0);
	else
		lapic_eoi();
}

static void on_tick(struct trap *t)
{
	t_tick = rdtsc();
	ticks[me() & 15]++;
	eoi();
}

static void on_ipi(struct trap *t)
{
	atomic_inc(&got[me() & 15]);
	eoi();
}

static void on_nmi(struct trap *t) { atomic_inc(&nmis[me() & 15]); }

void ap_main64(void)
{
	static volatile u32 which;
	u32 n = atomic_inc(&which);
	static struct tss t[16];
	static u64 g[16][64];
	struct { u16 limit; u64 base; } __attribute__((packed)) r;

	for (unsigned i = 0; i < (u64)(gdt_end - gdt); i++)
		g[n][i] = gdt[i];
	sys_desc(&g[n][TSS_SEL / 8], (u64)&t[n], 103, 0x89);
	r.limit = (u16)((u8 *)gdt_end - (u8 *)gdt - 1), r.base = (u64)g[n];
	__asm__ volatile("lgdt %0; ltr %w1" : : "m"(r), "r"(TSS_SEL));
	load_idt();
	lapic_on();
	__atomic_or_fetch(&ids, 1u << lapic_id(), __ATOMIC_SEQ_CST);
	atomic_inc(&up);
	while (!x2)
		sti_hlt_cli();
	wrmsr(0x1B, rdmsr(0x1B) | 0x400);
	atomic_inc(&up);
	for (;;)
		sti_hlt_cli();
}

/* ---------------------------------------------------------------- timer */

/* TSC cycles of @count timer ticks with divider code @div */
static u64 one_shot(u32 div, u32 count)
{
	u32 want = ticks[0] + 1;
	u64 start;

	lapic_wr(LAPIC_TIMER_DIV, div);
	lapic_wr(LAPIC_LVT_TIMER, 0x50);
	start = rdtsc();
	lapic_wr(LAPIC_TIMER_INIT, count);
	while (ticks[0] < want)
		sti_hlt_cli();
	return t_tick - start;
}

static void timer(void)
{
	static const u8 code[8] = { 0xb, 0, 1, 2, 3, 8, 9, 0xa };
	u64 base, cyc, again;
	u32 c, r[4];

	hooks[0x50] = on_tick;
	base = one_shot(0xb, 2000000);
	check(base > 100000, "one-shot by 1");
	for (unsigned i = 1; i < 8; i++) {
		cyc = one_shot(code[i], 2000000 >> i);
		/* Late is allowed, this is a shared machine; early is not. Was the base late? */
		for (unsigned tries = 0; cyc < base - base / 8 && tries < 50; tries++) {
			again = one_shot(0xb, 2000000);
			if (again < base)
				base = again;
		}
		check(cyc >= base - base / 8, "divided, no earlier");
	}
	c = ticks[0];
	lapic_wr(LAPIC_TIMER_DIV, 0xb);
	lapic_wr(LAPIC_TIMER_INIT, 300000);
	check(lapic_rd(LAPIC_TIMER_CUR) <= 300000, "current count is at most the initial");
	check(lapic_rd(LAPIC_TIMER_CUR) > 0, "and runs");
	check(wait_for(lapic_rd(LAPIC_TIMER_CUR) == 0), "down to 0");
	sti(); pause(); cli();
	check(wait_for(({ sti(); pause(); cli(); ticks[0] == c + 1; })), "one interrupt");
	for (unsigned i = 0; i < 10000; i++) {
		sti();
		pause();
		cli();
	}
	equal(ticks[0], c + 1, "and no second one");
	lapic_wr(LAPIC_LVT_TIMER, 0x50 | 1u << 17);
	lapic_wr(LAPIC_TIMER_INIT, 200000);
	c = ticks[0];
	while (ticks[0] < c + 20)
		sti_hlt_cli();
	check(1, "periodic");
	lapic_wr(LAPIC_LVT_TIMER, 0x50 | 1u << 17 | 1u << 16);
	sti(); pause(); cli();
	c = ticks[0];
	for (u64 until = rdtsc() + 3000000; rdtsc() < until;) {
		sti();
		pause();
		cli();
	}
	equal(ticks[0], c, "masked: none");
	lapic_wr(LAPIC_LVT_TIMER, 0x50);
	lapic_wr(LAPIC_TIMER_INIT, 0);
	equal(lapic_rd(LAPIC_TIMER_CUR), 0, "an initial count of 0 stops it");
	cpuid(1, 0, r);
	if (!(r[2] & 1u << 24)) {
		put("no TSC deadline\r\n");
		return;
	}
	lapic_wr(LAPIC_LVT_TIMER, 0x50 | 2u << 17);
	u32 early = 0;
	for (unsigned i = 0; i < 20; i++) {
		u64 when = rdtsc() + 200000;
		u32 want = ticks[0] + 1;

		wrmsr(0x6E0, when);
		while (ticks[0] < want)
			sti_hlt_cli();
		early += t_tick < when;
		early += rdmsr(0x6E0) != 0;
	}
	equal(early, 0, "TSC deadline: never early, and it reads 0 then");
	c = ticks[0];
	wrmsr(0x6E0, rdtsc() - 1000);
	check(wait_for(({ sti(); pause(); cli(); ticks[0] == c + 1; })), "one in the past comes at once");
	wrmsr(0x6E0, rdtsc() + 500000);
	wrmsr(0x6E0, 0);
	for (u64 until = rdtsc() + 2000000; rdtsc() < until;) {
		sti();
		pause();
		cli();
	}
	equal(ticks[0], c + 1, "0 cancels it");
	wrmsr(0x6E0, rdtsc() + (1ul << 40));
	lapic_wr(LAPIC_LVT_TIMER, 0x50);
	equal(rdmsr(0x6E0), 0, "another mode disarms it");
}

/* ----------------------------------------------------------------- IPIs */

static void expect(u32 mask, u32 n, const char *what)
{
	bool ok = wait_for(({
		bool all = true;
		sti(); pause(); cli();
		for (u32 i = 0; i < n; i++)
			all &= got[i] == (mask >> i & 1);
		all;
	}));
	report(ok, what);
	for (u32 i = 0; i < n; i++)
		got[i] = 0;
}

static void ipis(u32 n)
{
	u32 all = (1u << n) - 1;

	hooks[0x60] = on_ipi;
	hooks[NMI] = on_nmi;
	self_ipi(0x60);
	expect(1, n, "self");
	lapic_send(0, ICR_ALL | ICR_ASSERT | 0x60);
	expect(all, n, "all");
	lapic_send(0, ICR_OTHERS | ICR_ASSERT | 0x60);
	expect(all & ~1u, n, "all but self");
	lapic_send(0xff, ICR_ASSERT | 0x60);
	expect(all, n, "physical broadcast");
	for (u32 i = 0; i < n; i++) {
		lapic_send(i, ICR_ASSERT | 0x60);
		expect(1u << i, n, "physical");
	}
	lapic_wr(0xE0, 0xffffffff); /* flat model */
	lapic_wr(0xD0, 1u << 24);
	lapic_send(1, ICR_ASSERT | 0x800 | 0x60);
	expect(1, n, "logical, flat");
	lapic_send(0, ICR_OTHERS | ICR_ASSERT | ICR_NMI);
	bool ok = wait_for(({
		bool every = true;
		for (u32 i = 1; i < n; i++)
			every &= nmis[i] == 1;
		every;
	}));
	check(ok && nmis[0] == 0, "NMI to all but self");
	/* a vector below 16 is an error and not sent */
	lapic_wr(0x280, 0);
	lapic_send(0, ICR_SELF | ICR_ASSERT | 5);
	lapic_wr(0x280, 0);
	check(lapic_rd(0x280) & 0x20, "an illegal vector shows in ESR");
	lapic_wr(0x280, 0);
}

static void x2apic(u32 n)
{
	u32 r[4];

	cpuid(1, 0, r);
	if (!(r[2] & 1u << 21)) {
		put("no x2APIC\r\n");
		return;
	}
	wrmsr(0x1B, rdmsr(0x1B) | 0x400);
	x2 = 1;
	up = 0;
	/* xAPIC ICR is gone; x2APIC's is one register */
	wrmsr(0x830, ICR_OTHERS | ICR_ASSERT | 0x60);
	for (unsigned k = 0; k < 100 && up < n - 1; k++)
		wait_for(up == n - 1);
	equal(up, n - 1, "x2APIC: all CPUs are there");
	for (u64 until = rdtsc() + 3000000; rdtsc() < until;)
		pause();
	for (u32 i = 0; i < n; i++)
		got[i] = 0;
	equal(rdmsr(0x802), 0, "id");
	check((rdmsr(0x803) & 0xff) >= 0x10, "version");
	wrmsr(0x83F, 0x60);
	expect(1, n, "self IPI register");
	for (u32 i = 0; i < n; i++) {
		wrmsr(0x830, (u64)i << 32 | ICR_ASSERT | 0x60);
		expect(1u << i, n, "physical");
	}
	wrmsr(0x830, 0xfffffffful << 32 | ICR_ASSERT | 0x60);
	expect((1u << n) - 1, n, "broadcast");
	wrmsr(0x830, (u64)((1u << n) - 1) << 32 | ICR_ASSERT | 0x800 | 0x60);
	expect((1u << n) - 1, n, "logical, one cluster");
	equal(rdmsr(0x80D), 1, "logical id");
	wrmsr(0x808, 0x20);
	equal(read_cr8(), 2, "TPR and CR8 are one");
	write_cr8(0);
	equal(rdmsr(0x808), 0, "both ways");
	wrmsr(0x83E, 0xb);
	wrmsr(0x832, 0x50);
	u32 c = ticks[0];
	wrmsr(0x838, 100000);
	while (ticks[0] == c)
		sti_hlt_cli();
	check(1, "timer");
}

CODE(wrmsr_, "mov %edi, %ecx; mov %rsi, %rax; mov %rsi, %rdx; shr $32, %rdx", "wrmsr");
CODE(rdmsr_, "mov %edi, %ecx", "rdmsr");

int main64(void)
{
	u32 n = num_cpus();

	init();
	lapic_on();
	timer();
	smp_start();
	check(wait_for(up == n - 1), "CPUs come up by INIT and SIPI");
	equal(ids, (1u << n) - 2, "each with an id of its own");
	ipis(n);
	x2apic(n);
	if (x2) {
		faults(wrmsr_, 0x802, 1, GP, 0, "x2APIC id is read-only");
		faults(wrmsr_, 0x80B, 1, GP, 0, "EOI of other than 0 is #GP");
		faults(wrmsr_, 0x808, 0x100, GP, 0, "TPR above 255 is #GP");
		faults(rdmsr_, 0x80B, 0, GP, 0, "EOI is write-only");
		faults(rdmsr_, 0x80E, 0, GP, 0, "there is no DFR");
		faults(rdmsr_, 0x831, 0, GP, 0, "nor ICR2");
		faults(wrmsr_, 0x1B, rdmsr(0x1B) & ~0x400ul, GP, 0, "x2APIC to xAPIC directly is #GP");
	}
	return verdict();
}
