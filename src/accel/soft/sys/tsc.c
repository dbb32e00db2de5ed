// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/sys/tsc.c - The guest's time-stamp counter and how fast it runs
 *
 * Guest TSC = host TSC + the VM's offset + the vCPU's IA32_TSC_ADJUST, so it never
 * stops and needs no emulation. Its frequency is the host's, found once. */
#include <time.h>

#include "accel/soft/sys/sys_int.h"

u64 sc_rdtsc(struct sc_vcpu *v)
{
	return __builtin_ia32_rdtsc() +
	       atomic_load_explicit(&v->vm->tsc_offset, memory_order_relaxed) + v->msr.tsc_adjust;
}

static u32 host_cpuid(u32 leaf, u32 *b, u32 *c, u32 *d)
{
	u32 a = leaf;

	*c = 0;
	__asm__ volatile("cpuid" : "+a"(a), "=b"(*b), "+c"(*c), "=d"(*d));
	return a;
}

/* What the host's CPUID says, Hz, or 0 */
static u64 claimed_hz(void)
{
	u32 a, b, c, d, max;

	host_cpuid(1, &b, &c, &d);
	if (c >> 31) { /* a hypervisor: VMware's timing leaf, which KVM has too */
		max = host_cpuid(0x40000000, &b, &c, &d);
		if (max >= 0x40000010 && max < 0x40010000) {
			a = host_cpuid(0x40000010, &b, &c, &d);
			if (a)
				return a * 1000ull;
		}
	}
	if (host_cpuid(0, &b, &c, &d) >= 0x15) {
		a = host_cpuid(0x15, &b, &c, &d);
		if (a && b && c)
			return (u64)c * b / a;
	}
	return 0;
}

struct sample {
	u64 tsc, ns;
};

/* A pair of readings with the least time between them */
static struct sample sample(void)
{
	struct sample best = { 0, 0 };
	u64 least = ~0ull;
	unsigned i;

	for (i = 0; i < 8; i++) {
		struct timespec ts;
		u64 before = __builtin_ia32_rdtsc(), after;

		clock_gettime(CLOCK_MONOTONIC, &ts);
		after = __builtin_ia32_rdtsc();
		if (after - before < least) {
			least = after - before;
			best.tsc = before + least / 2;
			best.ns = (u64)ts.tv_sec * 1000000000 + ts.tv_nsec;
		}
	}
	return best;
}

static u64 measure(u64 ns)
{
	struct sample a = sample(), b;

	do
		b = sample();
	while (b.ns - a.ns < ns);
	return (u64)((u128)(b.tsc - a.tsc) * 1000000000 / (b.ns - a.ns));
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static u64 host_hz; /* constant after @once ran */

static void find_hz(void)
{
	u64 claim = claimed_hz(), hz;

	/* Some hypervisors scale the TSC and pass leaf 0x15 through: believe it to 0.1 % */
	if (claim) {
		hz = measure(2000000);
		if (claim - claim / 1000 < hz && hz < claim + claim / 1000) {
			host_hz = claim;
			return;
		}
	}
	/* Guests think in kHz; a rounded figure lets all their sources agree */
	host_hz = (measure(20000000) + 500) / 1000 * 1000;
}

u64 sc_host_tsc_hz(void)
{
	pthread_once(&once, find_hz);
	return host_hz;
}
