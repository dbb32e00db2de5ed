// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/sys/pvclock.c - What KVM guests expect: clock pages, hypercalls
 *
 * Documentation/virt/kvm/x86/{msr,cpuid,hypercalls}.rst of Linux are the
 * specification.
 *
 * The clock: a guest computes now = system_time + (TSC - tsc_timestamp) * mul >> 32.
 * All vCPUs share one TSC (offset per VM), so every page is written with the same
 * (TSC, ns) pair, taken once; then the "stable" bit is true and no page is ever
 * written again until sc_pvclock_rebase(). A vCPU whose TSC the guest moved by
 * IA32_TSC_ADJUST gets its own TSC of the same moment. [vcpu] unless tagged */
#include <errno.h>
#include <time.h>

#include "accel/soft/cache/cache.h"
#include "accel/soft/sys/sys_int.h"

#define MSR_WALL_CLOCK_OLD 0x11u
#define MSR_SYSTEM_TIME_OLD 0x12u
#define MSR_WALL_CLOCK 0x4b564d00u
#define MSR_SYSTEM_TIME 0x4b564d01u
#define MSR_ASYNC_PF_EN 0x4b564d02u
#define MSR_STEAL_TIME 0x4b564d03u
#define MSR_POLL_CONTROL 0x4b564d05u
#define MSR_ASYNC_PF_INT 0x4b564d06u
#define MSR_ASYNC_PF_ACK 0x4b564d07u

#define CLOCK_ENABLED 1ull
#define STEAL_ENABLED 1ull
#define CLOCK_TSC_STABLE BIT(0)

#define HC_VAPIC_POLL_IRQ 1
#define HC_KICK_CPU 5
#define HC_EPERM 1
#define HC_ENOSYS 1000

/* Pages as the guest reads them */
struct vcpu_time {
	u32 version, pad0;
	u64 tsc_timestamp, system_time;
	u32 tsc_to_system_mul;
	s8 tsc_shift;
	u8 flags, pad[2];
};
struct wall_clock {
	u32 version, sec, nsec;
};
struct steal_time {
	u64 steal;
	u32 version, flags;
	u8 preempted, pad8[3];
	u32 pad[11];
};
_Static_assert(sizeof(struct vcpu_time) == 32 && sizeof(struct wall_clock) == 12 &&
	       sizeof(struct steal_time) == 64, "guest ABI");

enum { PAIR_NONE, PAIR_BUSY, PAIR_READY };

static u64 vm_tsc(struct sc_vm *vm)
{
	return __builtin_ia32_rdtsc() + atomic_load(&vm->tsc_offset);
}

/* The VM's pair of readings; the first vCPU that needs it takes it */
static void take_pair(struct sc_vcpu *v)
{
	struct sc_vm *vm = v->vm;
	u32 none = PAIR_NONE;
	u64 before, after;

	if (atomic_load(&vm->pvclock_state) == PAIR_READY)
		return;
	sc_fpu_save(v);
	if (!atomic_compare_exchange_strong(&vm->pvclock_state, &none, PAIR_BUSY)) {
		while (atomic_load(&vm->pvclock_state) == PAIR_BUSY)
			__builtin_ia32_pause();
		return;
	}
	before = vm_tsc(vm);
	vm->pvclock_ns = vm->host->clock_ns(vm->m);
	after = vm_tsc(vm);
	vm->pvclock_tsc = before + (after - before) / 2;
	atomic_store(&vm->pvclock_state, PAIR_READY);
}

/* ns = (ticks << shift) * mul >> 32 with mul in [2^31, 2^32) */
static void scale(u64 hz, u32 *mul, s8 *shift)
{
	u64 ns = 1000000000, div = MAX(hz, 1ull);
	int s = 0;

	while (div > 2 * ns || div >> 32) {
		div >>= 1;
		s--;
	}
	while (div <= ns) {
		div <<= 1;
		s++;
	}
	*mul = (u32)(((u128)ns << 32) / div);
	*shift = (s8)s;
}

static u64 now_ns(struct sc_vcpu *v)
{
	return v->vm->pvclock_ns +
	       (u64)((u128)(vm_tsc(v->vm) - v->vm->pvclock_tsc) * 1000000000 / MAX(v->vm->tsc_hz, 1ull));
}

/* Odd version, contents, even version: a reader on another vCPU sees them in this order, as
 * host and guest both have x86's store order */
static void write_versioned(struct sc_vcpu *v, gpa_t gpa, const void *page, unsigned len,
			    unsigned version_at)
{
	u32 version = 0;

	sc_phys_read(v->vm, gpa + version_at, &version, 4);
	version = (version | 1) + (version & 1 ? 2 : 0);
	sc_phys_write(v, gpa + version_at, &version, 4);
	atomic_thread_fence(memory_order_seq_cst);
	if (version_at)
		sc_phys_write(v, gpa, page, version_at);
	sc_phys_write(v, gpa + version_at + 4, (const u8 *)page + version_at + 4,
		      len - version_at - 4);
	atomic_thread_fence(memory_order_seq_cst);
	version++;
	sc_phys_write(v, gpa + version_at, &version, 4);
}

void sc_pvclock_refresh(struct sc_vcpu *v)
{
	struct vcpu_time t;

	if (!(v->msr.kvm_system_time & CLOCK_ENABLED))
		return;
	take_pair(v);
	sc_zero(&t, sizeof(t));
	t.tsc_timestamp = v->vm->pvclock_tsc + v->msr.tsc_adjust;
	t.system_time = v->vm->pvclock_ns;
	scale(v->vm->tsc_hz, &t.tsc_to_system_mul, &t.tsc_shift);
	t.flags = CLOCK_TSC_STABLE;
	write_versioned(v, v->msr.kvm_system_time & ~CLOCK_ENABLED, &t, sizeof(t), 0);
}

void sc_pvclock_rebase(struct sc_vm *vm)
{
	atomic_store(&vm->pvclock_state, PAIR_NONE);
}

/* Time of day when the guest's clock was 0 */
static void write_wall_clock(struct sc_vcpu *v, gpa_t gpa)
{
	struct wall_clock w = { 0 };
	struct timespec ts;
	u64 ns;

	take_pair(v);
	sc_fpu_save(v);
	clock_gettime(CLOCK_REALTIME, &ts);
	ns = (u64)ts.tv_sec * 1000000000 + ts.tv_nsec - now_ns(v);
	w.sec = (u32)(ns / 1000000000);
	w.nsec = (u32)(ns % 1000000000);
	write_versioned(v, gpa, &w, sizeof(w), 0);
}

static bool in_ram(struct sc_vcpu *v, gpa_t gpa, unsigned len)
{
	u8 last;

	return gpa + len > gpa && sc_phys_read(v->vm, gpa, &last, 1) &&
	       sc_phys_read(v->vm, gpa + len - 1, &last, 1);
}

int pvclock_rdmsr(struct sc_vcpu *v, u32 index, u64 *val)
{
	switch (index) {
	case MSR_WALL_CLOCK:
	case MSR_WALL_CLOCK_OLD:
		*val = v->msr.kvm_wall_clock;
		return 0;
	case MSR_SYSTEM_TIME:
	case MSR_SYSTEM_TIME_OLD:
		*val = v->msr.kvm_system_time;
		return 0;
	case MSR_STEAL_TIME:
		*val = v->msr.kvm_steal_time;
		return 0;
	case MSR_ASYNC_PF_EN:
	case MSR_ASYNC_PF_INT:
	case MSR_ASYNC_PF_ACK:
		*val = 0;
		return 0;
	case MSR_POLL_CONTROL:
		*val = 1;
		return 0;
	}
	return -ENOENT;
}

int pvclock_wrmsr(struct sc_vcpu *v, u32 index, u64 val)
{
	struct steal_time steal;

	switch (index) {
	case MSR_WALL_CLOCK:
	case MSR_WALL_CLOCK_OLD:
		v->msr.kvm_wall_clock = val;
		if (val && in_ram(v, val, sizeof(struct wall_clock)))
			write_wall_clock(v, val);
		return 0;
	case MSR_SYSTEM_TIME:
	case MSR_SYSTEM_TIME_OLD:
		if ((val & CLOCK_ENABLED) &&
		    !in_ram(v, val & ~CLOCK_ENABLED, sizeof(struct vcpu_time)))
			return -EINVAL;
		v->msr.kvm_system_time = val;
		sc_pvclock_refresh(v);
		return 0;
	case MSR_STEAL_TIME:
		if (val & 0x3e)
			return -EINVAL;
		if (val & STEAL_ENABLED) {
			if (!in_ram(v, val & ~63ull, sizeof(steal)))
				return -EINVAL;
			/* Stays 0: host time is not accounted to vCPUs */
			sc_zero(&steal, sizeof(steal));
			write_versioned(v, val & ~63ull, &steal, sizeof(steal),
					offsetof(struct steal_time, version));
		}
		v->msr.kvm_steal_time = val;
		return 0;
	case MSR_ASYNC_PF_EN:
	case MSR_ASYNC_PF_INT:
	case MSR_ASYNC_PF_ACK:
		/* Not offered; switching it off is no mistake */
		return val ? -EINVAL : 0;
	case MSR_POLL_CONTROL:
		return val & ~1ull ? -EINVAL : 0;
	}
	return -ENOENT;
}

/* Wake the vCPU with APIC id @id out of HLT. The flag is sticky, as the kick may come just
 * before the target halts. */
static void kick(struct sc_vcpu *v, u32 id)
{
	unsigned i;

	for (i = 0; i < v->vm->num_cpus && i < SC_MAX_CPUS; i++) {
		struct sc_vcpu *t = atomic_load(&v->vm->cpu[i]);

		if (!t || cpuid_apic_id(t) != id)
			continue;
		atomic_store(&t->pv_unhalt, true);
		sc_attention(t, SC_ATTN_INTR);
		if (v->vm->host->kick_halted) {
			sc_fpu_save(v);
			cache_guest_leave(v);
			v->vm->host->kick_halted(v->vm->m, t->cpu);
			cache_guest_enter(v);
		}
		return;
	}
}

void sc_hypercall(struct sc_vcpu *v)
{
	bool wide = sc_code64(v);
	u64 nr = v->gpr[X86_RAX];
	s64 ret;

	if (!cpuid_has_kvm(v))
		sc_ud(v);
	if (!wide)
		nr = (u32)nr;
	if (v->cpl) {
		ret = -HC_EPERM;
	} else if (nr == HC_VAPIC_POLL_IRQ) {
		ret = 0;
	} else if (nr == HC_KICK_CPU) {
		kick(v, (u32)v->gpr[X86_RCX]);
		ret = 0;
	} else {
		ret = -HC_ENOSYS;
	}
	v->gpr[X86_RAX] = wide ? (u64)ret : (u32)ret;
}
