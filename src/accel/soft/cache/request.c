// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/cache/request.c - What one vCPU may ask of another, and waiting for it
 *
 * A request is noted in the other's struct and v->attention makes it look at its
 * next block boundary; out of guest context it looks when it enters. */
#include <sched.h>

#include "accel/soft/cache/cache.h"
#include "accel/soft/mmu/mmu.h"

static void lock(struct sc_vcpu *v)
{
	while (atomic_flag_test_and_set_explicit(&v->req_lock, memory_order_acquire))
		__builtin_ia32_pause();
}

static void unlock(struct sc_vcpu *v)
{
	atomic_flag_clear_explicit(&v->req_lock, memory_order_release);
}

u64 cache_ask(struct sc_vcpu *w, u32 req, gpa_t page)
{
	u64 number;

	lock(w);
	if (req & SC_REQ_DROP_WRITES) {
		if (w->num_drops < ARRAY_LEN(w->drop_page))
			w->drop_page[w->num_drops] = page;
		if (w->num_drops <= ARRAY_LEN(w->drop_page))
			w->num_drops++;
	}
	number = ++w->req_asked;
	atomic_fetch_or(&w->requests, req);
	unlock(w);
	sc_attention(w, SC_ATTN_REQUEST);
	return number;
}

/* Code memory is written through another mapping; a CPU that ran the old bytes has to
 * serialize before it runs new ones at their place (SDM 3A 8.1.3). IRET does. */
static void serialize(void)
{
	u64 tmp;

	__asm__ volatile("mov %%ss, %k0; push %0; lea 8(%%rsp), %0; push %0; pushfq; "
			 "mov %%cs, %k0; push %0; lea 1f(%%rip), %0; push %0; iretq; 1:"
			 : "=&r"(tmp) : : "memory", "cc");
}

void cache_serve(struct sc_vcpu *v)
{
	gpa_t page[ARRAY_LEN(v->drop_page)];
	unsigned drops, i;
	u64 number;
	u32 req;

	/* Cleared before the work: what is asked meanwhile sets it again */
	atomic_fetch_and(&v->attention, ~SC_ATTN_REQUEST);
	do {
		lock(v);
		req = atomic_exchange(&v->requests, 0);
		number = v->req_asked;
		drops = v->num_drops;
		v->num_drops = 0;
		for (i = 0; i < MIN(drops, ARRAY_LEN(page)); i++)
			page[i] = v->drop_page[i];
		unlock(v);

		if (req & SC_REQ_FLUSH_TLB)
			mmu_flush_all(v);
		if (drops > ARRAY_LEN(page)) {
			mmu_drop_all_writes(v);
		} else {
			for (i = 0; i < drops; i++)
				mmu_drop_writes(v, page[i]);
		}
		if (req & (SC_REQ_FLUSH_IBTC | SC_REQ_FLUSH_CODE)) {
			mmu_ibtc_flush(v, SC_TLB_KERNEL);
			mmu_ibtc_flush(v, SC_TLB_USER);
		}
		if (req & SC_REQ_FLUSH_CODE) {
			/* What we were running goes away: do not return into it */
			v->code_written = true;
			serialize();
		}
		atomic_store(&v->req_served, number);
	} while (atomic_load(&v->requests));
}

void cache_guest_enter(struct sc_vcpu *v)
{
	atomic_store(&v->in_guest, 1);
	if (unlikely(atomic_load(&v->requests)))
		cache_serve(v);
}

void cache_guest_leave(struct sc_vcpu *v)
{
	atomic_store(&v->in_guest, 0);
}

void cache_lock(struct sc_vcpu *v)
{
	struct sc_cache *c = v->vm->cache;

	if (!pthread_mutex_trylock(&c->lock))
		return;
	cache_guest_leave(v);
	pthread_mutex_lock(&c->lock);
	cache_guest_enter(v);
}

void cache_unlock(struct sc_vcpu *v)
{
	pthread_mutex_unlock(&v->vm->cache->lock);
}

void cache_handshake_locked(struct sc_vcpu *v, u32 req, gpa_t page)
{
	u64 number[SC_MAX_CPUS] = { 0 };
	struct sc_vm *vm = v->vm;
	unsigned i, spins;

	for (i = 0; i < vm->num_cpus; i++) {
		struct sc_vcpu *w = atomic_load(&vm->cpu[i]);

		if (w && w != v)
			number[i] = cache_ask(w, req, page);
	}
	for (i = 0; i < vm->num_cpus; i++) {
		struct sc_vcpu *w = atomic_load(&vm->cpu[i]);

		if (!number[i])
			continue;
		for (spins = 0; atomic_load(&w->in_guest) && atomic_load(&w->req_served) < number[i];
		     spins++) {
			__builtin_ia32_pause();
			if (spins > 2000)
				sched_yield();
		}
	}
}
