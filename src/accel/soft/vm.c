// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/vm.c - The software CPU's side of accel_ops that concerns a whole VM */
#include <errno.h>
#include <sys/mman.h>

#include "accel/soft/cache/cache.h"
#include "accel/soft/fault/fault.h"
#include "accel/soft/mmu/mmu.h"
#include "accel/soft/translate/translate.h"
#include "accel/soft/vcpu.h"
#include "base/err.h"
#include "base/strbuf.h"

static struct sc_vm *of(struct accel_vm *vm)
{
	return (struct sc_vm *)vm;
}

static int probe(struct accel_caps *caps)
{
	static const char why[] = "translates guest code in this process; needs nothing of the host";

	sc_zero(caps, sizeof(*caps));
	caps->bits = ACCEL_CAP_DIRTY_LOG | ACCEL_CAP_DEBUG | ACCEL_CAP_RAM_WRITTEN;
	caps->fits_kernels = true;
	caps->max_cpus = SC_MAX_CPUS;
	caps->tsc_hz = sc_host_tsc_hz();
	caps->num_cpuid = sc_cpuid_model(caps->cpuid, ACCEL_MAX_CPUID, caps->tsc_hz);
	sc_copy(caps->why, why, sizeof(why));
	return 0;
}

static void vm_destroy(struct accel_vm *avm)
{
	struct sc_vm *vm = of(avm);

	if (!vm)
		return;
	if (vm->cache)
		sc_translate_fini(vm->cache);
	sc_cache_destroy(vm->cache);
	pthread_mutex_destroy(&vm->bus_lock);
	munmap(vm, sizeof(*vm));
}

static int vm_create(struct accel_vm **out, const struct accel_vm_config *cfg, struct hk_err *err)
{
	struct sc_vm *vm;
	int rc;

	if (!cfg->cpus || cfg->cpus > SC_MAX_CPUS)
		return err_set(err, -EINVAL, "%u vCPUs, at most %u", cfg->cpus, SC_MAX_CPUS);
	vm = mmap(NULL, sizeof(*vm), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (vm == MAP_FAILED)
		return err_set(err, -ENOMEM, "no memory for a VM");
	vm->base.ops = &sc_accel_ops;
	vm->host = cfg->host;
	vm->m = cfg->m;
	vm->log = cfg->log;
	vm->num_cpus = cfg->cpus;
	vm->ignore_msr = cfg->ignore_msr;
	vm->tsc_hz = sc_host_tsc_hz();
	/* The guest's TSC starts at 0 */
	atomic_store(&vm->tsc_offset, -__builtin_ia32_rdtsc());
	pthread_mutex_init(&vm->bus_lock, NULL);
	rc = sc_fault_install();
	if (rc) {
		err_set(err, rc, "cannot install signal handlers");
		goto fail;
	}
	rc = sc_cache_create(&vm->cache, vm);
	if (rc) {
		err_set(err, rc, rc == -EPERM ? "this host forbids memory that is executable"
					      : "no memory for translated code");
		goto fail;
	}
	rc = sc_translate_init(vm->cache);
	if (rc) {
		err_set(err, rc, "no memory for the translator");
		goto fail;
	}
	*out = &vm->base;
	return 0;
fail:
	vm_destroy(&vm->base);
	return rc;
}

static void flush_cpus(struct sc_vm *vm)
{
	unsigned i;

	for (i = 0; i < vm->num_cpus; i++) {
		struct sc_vcpu *v = atomic_load(&vm->cpu[i]);

		if (v)
			cache_ask(v, SC_REQ_FLUSH_TLB | SC_REQ_FLUSH_CODE, 0);
	}
}

static int ram_map(struct accel_vm *avm, const struct accel_ram *ram)
{
	struct sc_vm *vm = of(avm);
	unsigned i, at = vm->num_ram;
	int rc;

	if (vm->num_ram == ACCEL_MAX_RAM || ram->id >= ACCEL_MAX_RAM || !ram->len ||
	    (ram->gpa | ram->len | (u64)ram->hva) & ~PAGE_MASK)
		return -EINVAL;
	for (i = 0; i < vm->num_ram; i++) {
		const struct accel_ram *r = &vm->ram[i];

		if (r->id == ram->id)
			return -EEXIST;
		if (ram->gpa < r->gpa + r->len && r->gpa < ram->gpa + ram->len)
			return -EEXIST;
		if (r->gpa > ram->gpa && at > i)
			at = i;
	}
	rc = cache_ram_map(vm->cache, ram);
	if (rc)
		return rc;
	for (i = vm->num_ram; i > at; i--)
		vm->ram[i] = vm->ram[i - 1];
	vm->ram[at] = *ram;
	vm->num_ram++;
	flush_cpus(vm);
	return 0;
}

static int ram_unmap(struct accel_vm *avm, unsigned id)
{
	struct sc_vm *vm = of(avm);
	unsigned i;

	for (i = 0; i < vm->num_ram; i++) {
		struct accel_ram r = vm->ram[i];

		if (r.id != id)
			continue;
		sc_cache_invalidate(vm, NULL, r.gpa, r.len);
		for (; i + 1 < vm->num_ram; i++)
			vm->ram[i] = vm->ram[i + 1];
		vm->num_ram--;
		cache_ram_unmap(vm->cache, &r);
		flush_cpus(vm);
		return 0;
	}
	return -ENOENT;
}

static void ram_written(struct accel_vm *avm, gpa_t gpa, u64 len)
{
	struct sc_vm *vm = of(avm);
	const struct accel_ram *r;

	while (len) {
		u64 n = MIN(len, PAGE_BYTES - (gpa & ~PAGE_MASK));

		r = sc_ram_find(vm, gpa);
		if (r && (r->flags & ACCEL_RAM_LOG))
			cache_mark_dirty(vm, r, gpa, n);
		if (sc_cache_has_code(vm, gpa, n))
			sc_cache_invalidate(vm, NULL, gpa, n);
		gpa += n;
		len -= n;
	}
}

static int dirty_take(struct accel_vm *avm, unsigned id, u64 *bitmap)
{
	struct sc_vm *vm = of(avm);
	u64 *map, words, i;
	unsigned k;

	for (k = 0; k < vm->num_ram; k++) {
		if (vm->ram[k].id != id)
			continue;
		map = vm->cache->dirty[id];
		if (!map)
			return -EINVAL;
		words = ((vm->ram[k].len >> PAGE_SHIFT) + 63) / 64;
		for (i = 0; i < words; i++)
			bitmap[i] = __atomic_exchange_n(&map[i], 0, __ATOMIC_SEQ_CST);
		return 0;
	}
	return -ENOENT;
}

static void stats(struct accel_vm *avm, struct strbuf *out)
{
	sc_stats_print(of(avm), out);
}

const struct accel_ops sc_accel_ops = {
	.name = "soft",
	.probe = probe,
	.vm_create = vm_create,
	.vm_destroy = vm_destroy,
	.ram_map = ram_map,
	.ram_unmap = ram_unmap,
	.ram_written = ram_written,
	.dirty_take = dirty_take,
	.vcpu_create = sc_vcpu_create,
	.vcpu_destroy = sc_vcpu_destroy,
	.cpuid_set = sc_vcpu_cpuid_set,
	.vcpu_run = sc_vcpu_run,
	.vcpu_kick = sc_vcpu_kick,
	.state_get = sc_state_get,
	.state_set = sc_state_set,
	.inject = sc_vcpu_inject,
	.has_work = sc_vcpu_has_work,
	.debug_set = sc_vcpu_debug_set,
	.stats = stats,
};
