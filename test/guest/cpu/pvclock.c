// SPDX-License-Identifier: BSD-2-Clause
/* kvm-clock: the page is filled, its time runs with the TSC and never back; KVM's leaves */
#include "cpu.h"

static volatile u32 up, go;
struct clock {
	volatile u32 version;
	u32 pad;
	volatile u64 tsc, ns;
	volatile u32 mul;
	volatile signed char shift;
	volatile u8 flags;
	u8 pad2[2];
};
static struct clock page[4] __attribute__((aligned(64)));
static volatile u64 last_ns;
static volatile u32 turn, back;

static u64 now(struct clock *c)
{
	u32 v;
	u64 ns;

	do {
		v = c->version & ~1u;
		__asm__ volatile("lfence" : : : "memory");
		u64 d = rdtsc() - c->tsc;

		d = c->shift >= 0 ? d << c->shift : d >> -c->shift;
		ns = c->ns + (u64)((unsigned __int128)d * c->mul >> 32);
		__asm__ volatile("lfence" : : : "memory");
	} while (v != c->version);
	return ns;
}

static void turns(u32 me, u32 n)
{
	for (u32 i = 0; i < 300; i++) {
		while (turn % n != me)
			pause();
		u64 t = now(&page[me]);

		back += t < last_ns;
		last_ns = t;
		__atomic_add_fetch(&turn, 1, __ATOMIC_SEQ_CST);
	}
}

void ap_main64(void)
{
	u32 id = lapic_id();

	wrmsr(0x4b564d01, (u64)&page[id] | 1);
	atomic_inc(&up);
	while (!go)
		pause();
	turns(id, num_cpus());
	for (;;)
		__asm__ volatile("cli; hlt");
}

CODE(wrmsr_, "mov %edi, %ecx; mov %rsi, %rax; mov %rsi, %rdx; shr $32, %rdx", "wrmsr");

int main64(void)
{
	u32 r[4], n = num_cpus();

	init();
	cpuid(0x40000000, 0, r);
	if (r[1] != 0x4b4d564b) {
		put("no KVM signature\r\n");
		return PASS;
	}
	cpuid(0x40000001, 0, r);
	check(r[0] & 8, "CLOCKSOURCE2 is there");
	check(r[0] & 1u << 24, "and stable");
	wrmsr(0x4b564d01, (u64)&page[0] | 1);
	check(page[0].version && !(page[0].version & 1), "the page has an even version");
	check(page[0].mul, "a factor");
	check(page[0].flags & 1, "and says that it is stable");
	u64 a = now(&page[0]), t0 = rdtsc();
	while (rdtsc() - t0 < 100000000)
		pause();
	u64 b = now(&page[0]), t1 = rdtsc();
	check(b > a, "time passes");
	/* by CPUID's TSC rate, within 5 percent */
	cpuid(0x40000010, 0, r);
	if (r[0]) {
		u64 want = (t1 - t0) * 1000000 / r[0];

		check(b - a > want - want / 20 && b - a < want + want / 5, "as fast as the TSC's rate says");
	}
	u64 old = a, wrong = 0;
	for (u32 i = 0; i < 5000; i++) {
		u64 t = now(&page[0]);

		wrong += t < old;
		old = t;
	}
	equal(wrong, 0, "never back");
	static struct { u32 version, sec, nsec; } wall __attribute__((aligned(16)));
	wrmsr(0x4b564d00, (u64)&wall);
	check(!(wall.version & 1) && wall.nsec < 1000000000 && wall.sec > 1600000000, "wall clock");
	wrmsr(0x4b564d01, 0);
	u32 v = page[0].version;
	for (u32 i = 0; i < 100; i++)
		pause();
	equal(page[0].version, v, "switched off: nobody writes");
	wrmsr(0x4b564d01, (u64)&page[0] | 1);
	if (n > 1) {
		smp_start();
		check(wait_for(up == n - 1), "other CPUs have theirs");
		go = 1;
		turns(0, n);
		equal(back, 0, "no CPU's clock is behind another's");
	}
	faults(wrmsr_, 0x4b564d7f, 0, GP, 0, "an MSR of KVM's range that is not is #GP");
	return verdict();
}
