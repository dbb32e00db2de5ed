// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/mmu/access.c - Loads, stores and fetches of the interpreter and sys/
 *
 * Everything that is not a TLB hit comes here: page crossing, MMIO, ROM, pages
 * with translated code. Stores are all or nothing: both pages are translated
 * before the first byte moves. [vcpu] */
#include "accel/soft/cache/cache.h"
#include "accel/soft/mmu/mmu.h"

static u64 load_n(const void *p, unsigned size)
{
	switch (size) {
	case 1: return *(const u8 *)p;
	case 2: return *(const u16 *)p;
	case 4: return *(const u32 *)p;
	default: return *(const u64 *)p;
	}
}

static void store_n(void *p, u64 val, unsigned size)
{
	switch (size) {
	case 1: *(u8 *)p = val; break;
	case 2: *(u16 *)p = val; break;
	case 4: *(u32 *)p = val; break;
	default: *(u64 *)p = val; break;
	}
}

/* Leave guest context for a callback: others need not wait for us meanwhile */
static void mmio(struct sc_vcpu *v, gpa_t gpa, void *data, unsigned len, bool write)
{
	u64 begin = __builtin_ia32_rdtsc();

	v->stats.mmio++;
	sc_fpu_save(v);
	cache_guest_leave(v);
	v->vm->host->mmio(v->vm->m, v->cpu, gpa, data, len, write);
	v->stats.device_cycles += __builtin_ia32_rdtsc() - begin;
	cache_guest_enter(v);
}

/* Inside one page. ROM reads as memory; stores to it are the bus's. */
static void phys_read(struct sc_vcpu *v, gpa_t gpa, void *buf, unsigned len)
{
	void *p = sc_phys_ptr(v->vm, gpa, len);
	u8 *b = buf;

	if (p) {
		sc_copy(buf, p, len);
		return;
	}
	while (len) {
		unsigned n = len >= 8 && !(gpa & 7) ? 8 : len >= 4 && !(gpa & 3) ? 4 :
			     len >= 2 && !(gpa & 1) ? 2 : 1;

		mmio(v, gpa, b, n, false);
		b += n;
		gpa += n;
		len -= n;
	}
}

static void phys_write(struct sc_vcpu *v, gpa_t gpa, const void *buf, unsigned len)
{
	const struct accel_ram *r = sc_ram_find(v->vm, gpa);
	const u8 *b = buf;

	if (r && !(r->flags & ACCEL_RAM_ROM) && len <= r->len - (gpa - r->gpa)) {
		u8 *p = (u8 *)r->hva + (gpa - r->gpa);

		if (len == 1 || len == 2 || len == 4 || len == 8)
			store_n(p, load_n(buf, len), len);
		else
			sc_copy(p, buf, len);
		if (r->flags & ACCEL_RAM_LOG)
			cache_mark_dirty(v->vm, r, gpa, len);
		if (sc_cache_has_code(v->vm, gpa, len))
			sc_cache_invalidate(v->vm, v, gpa, len);
		return;
	}
	while (len) {
		unsigned n = len >= 8 && !(gpa & 7) ? 8 : len >= 4 && !(gpa & 3) ? 4 :
			     len >= 2 && !(gpa & 1) ? 2 : 1;
		u64 tmp = 0;

		sc_copy(&tmp, b, n);
		mmio(v, gpa, &tmp, n, true);
		b += n;
		gpa += n;
		len -= n;
	}
}

static gpa_t translate(struct sc_vcpu *v, gva_t a, enum sc_access access, bool user)
{
	struct mmu_walk w;

	mmu_walk(v, a, access, user, false, &w);
	if (w.error)
		sc_throw_pf(v, a, w.error);
	return w.gpa;
}

static gva_t wrap(const struct sc_vcpu *v, gva_t a)
{
	return sc_long_mode(v) ? a : a & 0xffffffffu;
}

static void read_slow(struct sc_vcpu *v, gva_t a, void *buf, unsigned len, bool user)
{
	unsigned first = PAGE_BYTES - (a & ~PAGE_MASK);
	gpa_t g1, g2 = 0;

	a = wrap(v, a);
	g1 = translate(v, a, SC_READ, user);
	if (first < len)
		g2 = translate(v, wrap(v, a + first), SC_READ, user);
	if (first >= len) {
		phys_read(v, g1, buf, len);
		return;
	}
	phys_read(v, g1, buf, first);
	phys_read(v, g2, (u8 *)buf + first, len - first);
}

static void write_slow(struct sc_vcpu *v, gva_t a, const void *buf, unsigned len, bool user)
{
	unsigned first = PAGE_BYTES - (a & ~PAGE_MASK);
	gpa_t g1, g2 = 0;

	a = wrap(v, a);
	g1 = translate(v, a, SC_WRITE, user);
	if (first < len)
		g2 = translate(v, wrap(v, a + first), SC_WRITE, user);
	if (first >= len) {
		phys_write(v, g1, buf, len);
		return;
	}
	phys_write(v, g1, buf, first);
	phys_write(v, g2, (const u8 *)buf + first, len - first);
}

static bool tlb_hit(u64 tag, gva_t a, unsigned size)
{
	return (tag ^ a) <= PAGE_BYTES - size;
}

void *sc_r_ptr(struct sc_vcpu *v, gva_t a, unsigned size)
{
	struct sc_tlbe *e = mmu_entry(v, mmu_kind(v), a);

	if (likely(tlb_hit(e->tag_r, a, size)))
		return mmu_host(e, a);
	e = mmu_fill(v, a, size, SC_READ);
	return e ? mmu_host(e, a) : NULL;
}

void *sc_rw_ptr(struct sc_vcpu *v, gva_t a, unsigned size)
{
	struct sc_tlbe *e = mmu_entry(v, mmu_kind(v), a);
	const struct accel_ram *r;
	gpa_t gpa;

	v->store_gpa = ~0ull;
	if (likely(tlb_hit(e->tag_w, a, size)))
		return mmu_host(e, a);
	e = mmu_fill(v, a, size, SC_WRITE);
	if (e)
		return mmu_host(e, a);
	if ((a & ~PAGE_MASK) > PAGE_BYTES - size || (sc_long_mode(v) && !sc_canonical(a)))
		return NULL;
	gpa = translate(v, wrap(v, a), SC_WRITE, v->cpl == 3);
	r = sc_ram_find(v->vm, gpa);
	if (!r || (r->flags & ACCEL_RAM_ROM))
		return NULL;
	v->store_gpa = gpa;
	v->store_len = size;
	return (u8 *)r->hva + (gpa - r->gpa);
}

void sc_store_done(struct sc_vcpu *v)
{
	const struct accel_ram *r;

	if (likely(v->store_gpa == ~0ull))
		return;
	r = sc_ram_find(v->vm, v->store_gpa);
	if (r && (r->flags & ACCEL_RAM_LOG))
		cache_mark_dirty(v->vm, r, v->store_gpa, v->store_len);
	if (sc_cache_has_code(v->vm, v->store_gpa, v->store_len))
		sc_cache_invalidate(v->vm, v, v->store_gpa, v->store_len);
	v->store_gpa = ~0ull;
}

u64 sc_read(struct sc_vcpu *v, gva_t a, unsigned size)
{
	void *p = sc_r_ptr(v, a, size);
	u64 val = 0;

	if (likely(p))
		return load_n(p, size);
	read_slow(v, a, &val, size, v->cpl == 3);
	return val;
}

void sc_write(struct sc_vcpu *v, gva_t a, u64 val, unsigned size)
{
	struct sc_tlbe *e = mmu_entry(v, mmu_kind(v), a);

	if (likely(tlb_hit(e->tag_w, a, size))) {
		store_n(mmu_host(e, a), val, size);
		return;
	}
	e = mmu_fill(v, a, size, SC_WRITE);
	if (e)
		store_n(mmu_host(e, a), val, size);
	else
		write_slow(v, a, &val, size, v->cpl == 3);
}

void sc_read_bytes(struct sc_vcpu *v, gva_t a, void *buf, unsigned len)
{
	void *p = sc_r_ptr(v, a, len);

	if (likely(p))
		sc_copy(buf, p, len);
	else
		read_slow(v, a, buf, len, v->cpl == 3);
}

void sc_write_bytes(struct sc_vcpu *v, gva_t a, const void *buf, unsigned len)
{
	struct sc_tlbe *e = mmu_entry(v, mmu_kind(v), a);

	if (!tlb_hit(e->tag_w, a, len))
		e = mmu_fill(v, a, len, SC_WRITE);
	if (e)
		sc_copy(mmu_host(e, a), buf, len);
	else
		write_slow(v, a, buf, len, v->cpl == 3);
}

void sc_check_write(struct sc_vcpu *v, gva_t a, unsigned len)
{
	unsigned first = PAGE_BYTES - (a & ~PAGE_MASK);

	if (tlb_hit(mmu_entry(v, mmu_kind(v), a)->tag_w, a, len))
		return;
	translate(v, wrap(v, a), SC_WRITE, v->cpl == 3);
	if (first < len)
		translate(v, wrap(v, a + first), SC_WRITE, v->cpl == 3);
}

u64 sc_sys_read(struct sc_vcpu *v, gva_t a, unsigned size)
{
	u64 val = 0;

	read_slow(v, a, &val, size, false);
	return val;
}

void sc_sys_write(struct sc_vcpu *v, gva_t a, u64 val, unsigned size)
{
	write_slow(v, a, &val, size, false);
}

void sc_bus_lock(struct sc_vcpu *v)
{
	sc_fpu_save(v);
	cache_guest_leave(v);
	pthread_mutex_lock(&v->vm->bus_lock);
	cache_guest_enter(v);
}

void sc_bus_unlock(struct sc_vcpu *v)
{
	sc_fpu_save(v);
	pthread_mutex_unlock(&v->vm->bus_lock);
}

unsigned sc_fetch(struct sc_vcpu *v, gva_t a, u8 *buf, gpa_t *gpa)
{
	unsigned first, n = 15;
	struct mmu_walk w;

	a = wrap(v, a);
	first = PAGE_BYTES - (a & ~PAGE_MASK);
	*gpa = mmu_fetch_gpa(v, a);
	phys_read(v, *gpa, buf, MIN(first, n));
	if (first >= n)
		return n;
	/* The next page only if it is there: an instruction that ends before it must not fault */
	mmu_walk(v, wrap(v, a + first), SC_EXEC, v->cpl == 3, true, &w);
	if (w.error || (sc_long_mode(v) && !sc_canonical(a + first)) || !sc_ram_find(v->vm, w.gpa))
		return first;
	phys_read(v, w.gpa, buf + first, n - first);
	return n;
}

void sc_fetch_fault(struct sc_vcpu *v, gva_t a)
{
	struct mmu_walk w;

	a = wrap(v, a);
	if (sc_long_mode(v) && !sc_canonical(a))
		sc_gp0(v);
	mmu_walk(v, a, SC_EXEC, v->cpl == 3, false, &w);
	if (w.error)
		sc_throw_pf(v, a, w.error);
	/* The page is there but nobody answers as memory: what it reads is not an instruction */
	sc_ud(v);
}

bool sc_phys_read(struct sc_vm *vm, gpa_t gpa, void *buf, unsigned len)
{
	void *p = sc_phys_ptr(vm, gpa, len);

	if (p)
		sc_copy(buf, p, len);
	return p;
}

bool sc_phys_write(struct sc_vcpu *v, gpa_t gpa, const void *buf, unsigned len)
{
	const struct accel_ram *r = sc_ram_find(v->vm, gpa);

	if (!r || (r->flags & ACCEL_RAM_ROM) || len > r->len - (gpa - r->gpa))
		return false;
	phys_write(v, gpa, buf, len);
	return true;
}
