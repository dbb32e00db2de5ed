// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/stats.c - What the software CPU did, as text
 *
 * Each vCPU counts for itself without locks; a reader elsewhere sees numbers that are
 * a moment old. docs/performance/README.md says what each tells. [any] */
#include "accel/soft/cache/cache.h"
#include "base/strbuf.h"

typedef unsigned long long ull;

static u64 ms_of(const struct sc_vm *vm, u64 cycles)
{
	return vm->tsc_hz >= 1000 ? cycles / (vm->tsc_hz / 1000) : 0;
}

static void cpu_print(const struct sc_vm *vm, const struct sc_vcpu *v, struct strbuf *out)
{
	const struct sc_stats *s = &v->stats;
	unsigned i = v->cpu;

	strbuf_add(out, "soft: cpu %u: ran %llu ms, of which translating %llu ms, devices %llu ms\n", i,
		   (ull)ms_of(vm, s->run_cycles), (ull)ms_of(vm, s->translate_cycles),
		   (ull)ms_of(vm, s->device_cycles));
	strbuf_add(out, "soft: cpu %u: translated %llu blocks (%llu solo) of %llu guest bytes, hot pages %llu\n",
		   i, (ull)s->blocks, (ull)s->solo_blocks, (ull)s->guest_bytes, (ull)s->hot_pages);
	strbuf_add(out, "soft: cpu %u: interpreted %llu, slow accesses %llu, mmio %llu, pio %llu\n", i,
		   (ull)s->interp_insns, (ull)s->slow_insns, (ull)s->mmio, (ull)s->pio);
	strbuf_add(out, "soft: cpu %u: tlb fills %llu, window misses %llu, windows left to the tlb %llu\n", i,
		   (ull)s->tlb_fill, (ull)s->window_miss, (ull)s->site_poly);
	strbuf_add(out, "soft: cpu %u: flushes: cr3 %llu, all %llu, invlpg %llu (large %llu), branches %llu, "
			"code writes %llu\n", i, (ull)s->flush_cr3, (ull)s->flush_all, (ull)s->invlpg,
		   (ull)s->invlpg_large, (ull)s->branch_flush, (ull)s->code_writes);
	strbuf_add(out, "soft: cpu %u: left code: new exit %llu, branch %llu (not known %llu), attention %llu, "
			"fault %llu, other %llu\n", i, (ull)s->left_exit, (ull)s->left_branch,
		   (ull)s->branch_fill, (ull)s->left_attention, (ull)s->left_fault, (ull)s->left_other);
	strbuf_add(out, "soft: cpu %u: exceptions %llu, interrupts %llu\n", i, (ull)s->exceptions,
		   (ull)s->interrupts);
}

void sc_stats_print(const struct sc_vm *vm, struct strbuf *out)
{
	struct sc_cache *c = vm->cache;
	unsigned i;

	strbuf_add(out, "soft: code %u KiB of %u, %u blocks since its last flush, flushes %llu, dropped %llu\n",
		   c->used >> 10, c->size >> 10, c->num_sorted, (ull)atomic_load(&c->flushes),
		   (ull)atomic_load(&c->dropped));
	for (i = 0; i < vm->num_cpus; i++) {
		const struct sc_vcpu *v = atomic_load(&((struct sc_vm *)vm)->cpu[i]);

		if (v)
			cpu_print(vm, v, out);
	}
}
