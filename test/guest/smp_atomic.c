// SPDX-License-Identifier: BSD-2-Clause
/* LOCK-ed additions of all CPUs add up; plain ones behind a spin lock too */
#include "guest.h"

#define ROUNDS 20000
static volatile u32 up, done, atomic_sum, lock, plain_sum;

static void work(void)
{
	for (u32 i = 0; i < ROUNDS; i++) {
		atomic_inc(&atomic_sum);
		while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
			pause();
		plain_sum++;
		__atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
	}
	atomic_inc(&done);
}

void ap_main(void)
{
	atomic_inc(&up);
	work();
}

int main(u32 magic, u32 info)
{
	u32 r[4], cpus;

	cpuid(0xB, 1, r);
	cpus = r[1];
	smp_start_all();
	while (up < cpus - 1)
		pause();
	work();
	while (done < cpus)
		pause();
	return atomic_sum == cpus * ROUNDS && plain_sum == cpus * ROUNDS ? PASS : 2;
}
