// SPDX-License-Identifier: BSD-2-Clause
/* test/accel/vm.h - The smallest machine around an accelerator
 *
 * 2 MiB of RAM at 0, one or two vCPUs, callbacks that record. A guest ends a run
 * with OUT to PORT_DONE: the callback kicks its own vCPU, so vcpu_run returns
 * ACCEL_EXIT_KICKED with the instruction done, on every accelerator alike. A
 * watchdog kicks a guest that never gets there. */
#ifndef TEST_ACCEL_VM_H
#define TEST_ACCEL_VM_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "accel/accel.h"
#include "base/strbuf.h"
#include "base/wire.h"

#define RAM_BYTES (2u << 20)
#define CODE 0x1000u	   /* where guests are copied to and start */
#define STACK 0x8000u
#define TABLES 0x10000u	   /* GDT, IDT, page tables of protected and long mode */
#define IDT (TABLES + 0x1000)
#define PML4 (TABLES + 0x2000)
#define DATA 0x20000u	   /* for guests to play with */
#define MMIO 0x10000000u   /* nothing is mapped there */

#define PORT_OUT 0xe0	   /* recorded */
#define PORT_IN 0xe1	   /* answers in_value, then in_value + 1, ... */
#define PORT_HOOK 0xe2	   /* calls guest.hook */
#define PORT_DONE 0xe4

#define TIMEOUT_S 20
#define MAX_LOG 64

struct access {
	u64 addr, val;
	unsigned len, cpu;
	bool write;
};

struct guest {
	const struct accel_ops *ops;
	struct accel_caps caps;
	struct accel_vm *vm;
	struct accel_vcpu *cpu[2];
	unsigned num_cpus;
	u8 *ram;
	struct x86_state *st;	   /* scratch for state_get and state_set */
	struct accel_exit_info info;

	/* What callbacks saw; under lock */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct access out[MAX_LOG], mmio[MAX_LOG], msr[MAX_LOG];
	unsigned num_out, num_mmio, num_msr, num_resets;
	u64 in_value, mmio_value;

	int msr_rc;
	u64 msr_value;
	_Atomic int pending[2];	   /* vector that intr_ack gives, -1 = none */
	_Atomic unsigned tpr_writes;
	_Atomic u8 last_tpr;
	void (*hook)(struct guest *g, unsigned cpu);
	void *hook_arg;
	_Atomic bool late;
};

/* ------------------------------------------------------------- callbacks */

static inline u64 bytes_to_val(const void *p, unsigned len)
{
	u64 v = 0;

	memcpy(&v, p, len);
	return v;
}

static inline void record(struct guest *g, struct access *log, unsigned *n, struct access a)
{
	pthread_mutex_lock(&g->lock);
	if (*n < MAX_LOG)
		log[(*n)++] = a;
	pthread_cond_broadcast(&g->cond);
	pthread_mutex_unlock(&g->lock);
}

static inline void cb_pio(void *m, unsigned cpu, u16 port, void *data, unsigned len, bool write)
{
	struct guest *g = m;

	if (write && port == PORT_OUT)
		record(g, g->out, &g->num_out,
		       (struct access){ port, bytes_to_val(data, len), len, cpu, true });
	else if (write && port == PORT_DONE)
		g->ops->vcpu_kick(g->cpu[cpu]);
	else if (write && port == PORT_HOOK && g->hook)
		g->hook(g, cpu);
	else if (!write)
		memcpy(data, &(u64){ port == PORT_IN ? g->in_value++ : ~0ull }, len);
}

static inline void cb_mmio(void *m, unsigned cpu, gpa_t gpa, void *data, unsigned len, bool write)
{
	struct guest *g = m;

	if (!write)
		memcpy(data, gpa >= MMIO ? &g->mmio_value : &(u64){ ~0ull }, len);
	record(g, g->mmio, &g->num_mmio,
	       (struct access){ gpa, bytes_to_val(data, len), len, cpu, write });
}

static inline int cb_msr(void *m, unsigned cpu, u32 index, u64 *val, bool write)
{
	struct guest *g = m;

	if (!write)
		*val = g->msr_value;
	record(g, g->msr, &g->num_msr, (struct access){ index, *val, 8, cpu, write });
	return g->msr_rc;
}

static inline int cb_intr_ack(void *m, unsigned cpu, bool peek)
{
	struct guest *g = m;

	return peek ? atomic_load(&g->pending[cpu]) : atomic_exchange(&g->pending[cpu], -1);
}

static inline void cb_tpr(void *m, unsigned cpu, u8 cr8)
{
	struct guest *g = m;

	atomic_store(&g->last_tpr, cr8);
	atomic_fetch_add(&g->tpr_writes, 1);
}

static inline u8 cb_tpr_get(void *m, unsigned cpu)
{
	return atomic_load(&((struct guest *)m)->last_tpr);
}

static inline void cb_eoi(void *m, unsigned cpu, u8 vector)
{
}

static inline void cb_cpu_reset(void *m, unsigned cpu)
{
	struct guest *g = m;

	pthread_mutex_lock(&g->lock);
	g->num_resets++;
	pthread_mutex_unlock(&g->lock);
}

static inline u64 cb_clock_ns(void *m)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static const struct accel_host test_host = {
	.mmio = cb_mmio, .pio = cb_pio, .msr = cb_msr, .intr_ack = cb_intr_ack, .tpr = cb_tpr,
	.tpr_get = cb_tpr_get, .eoi = cb_eoi, .cpu_reset = cb_cpu_reset, .clock_ns = cb_clock_ns,
};

/* ------------------------------------------------------------------ life */

static inline void *map_pages(u64 len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

static inline struct guest *guest_create(const struct accel_ops *ops, unsigned cpus,
					 bool ignore_msr)
{
	struct guest *g = calloc(1, sizeof(*g));
	struct accel_vm_config cfg = { .cpus = cpus, .host = &test_host, .m = g, .name = "test",
				       .ignore_msr = ignore_msr };
	struct accel_ram ram = { .id = 0, .gpa = 0, .len = RAM_BYTES };
	struct hk_err err = { "" };

	g->ops = ops;
	g->num_cpus = cpus;
	g->msr_rc = -EINVAL;
	g->pending[0] = g->pending[1] = -1;
	pthread_mutex_init(&g->lock, NULL);
	pthread_cond_init(&g->cond, NULL);
	g->st = aligned_alloc(64, ALIGN_UP(sizeof(*g->st), 64));
	memset(g->st, 0, sizeof(*g->st));
	assert_int_equal(ops->probe(&g->caps), 0);
	if (ops->vm_create(&g->vm, &cfg, &err))
		fail_msg("vm_create: %s", err.text);
	ram.hva = g->ram = map_pages(RAM_BYTES);
	assert_int_equal(ops->ram_map(g->vm, &ram), 0);
	for (unsigned i = 0; i < cpus; i++) {
		if (ops->vcpu_create(g->vm, i, &g->cpu[i], &err))
			fail_msg("vcpu_create: %s", err.text);
		assert_int_equal(ops->cpuid_set(g->cpu[i], g->caps.cpuid, g->caps.num_cpuid), 0);
		x86_state_reset(g->st, i == 0);
		assert_int_equal(ops->state_set(g->cpu[i], X86_STATE_ALL & ~X86_STATE_LAPIC,
						g->st), 0);
	}
	return g;
}

static inline void guest_destroy(struct guest *g)
{
	for (unsigned i = 0; i < g->num_cpus; i++)
		g->ops->vcpu_destroy(g->cpu[i]);
	g->ops->ram_unmap(g->vm, 0);
	g->ops->vm_destroy(g->vm);
	munmap(g->ram, RAM_BYTES);
	pthread_cond_destroy(&g->cond);
	pthread_mutex_destroy(&g->lock);
	free(g->st);
	free(g);
}

static inline bool has(const struct guest *g, u32 cap)
{
	return g->caps.bits & cap;
}

/* ------------------------------------------------------------ processor modes */

static inline void set_state(struct guest *g, unsigned cpu)
{
	g->st->event.activity = X86_RUNNING;
	assert_int_equal(g->ops->state_set(g->cpu[cpu], X86_STATE_ALL & ~X86_STATE_LAPIC, g->st), 0);
}

static inline void start_real(struct guest *g, unsigned cpu)
{
	x86_state_reset(g->st, cpu == 0);
	for (unsigned i = X86_ES; i <= X86_GS; i++) {
		g->st->seg[i].base = 0;
		g->st->seg[i].sel = 0;
	}
	g->st->rip = CODE;
	g->st->gpr[X86_RSP] = STACK - cpu * 0x800;
	set_state(g, cpu);
}

static inline void flat(struct x86_segment *s, u16 sel, u32 type, bool l)
{
	*s = (struct x86_segment){ .limit = 0xffffffff, .sel = sel,
				   .attr = X86_SEG_G | (l ? X86_SEG_L : X86_SEG_DB) | X86_SEG_P |
					   X86_SEG_S | type };
}

/* Interrupt gates; guests fill in handlers themselves through idt_gate() */
static inline void tables(struct guest *g, bool l)
{
	store_le64(g->ram + TABLES, 0);
	store_le64(g->ram + TABLES + 8, l ? 0x00af9b000000ffff : 0x00cf9b000000ffff);
	store_le64(g->ram + TABLES + 16, 0x00cf93000000ffff);
	flat(&g->st->seg[X86_CS], 8, 0xb, l);
	for (unsigned i = X86_ES; i <= X86_GS; i++)
		if (i != X86_CS)
			flat(&g->st->seg[i], 16, 3, false);
	g->st->seg[X86_TR].limit = 0x67;
	g->st->gdt = (struct x86_table){ .base = TABLES, .limit = 23 };
	g->st->idt = (struct x86_table){ .base = IDT, .limit = l ? 0xfff : 0x7ff };
}

static inline void idt_gate(struct guest *g, bool l, unsigned vector, u32 handler)
{
	u8 *p = g->ram + IDT + vector * (l ? 16 : 8);

	store_le32(p, 8u << 16 | (handler & 0xffff));
	store_le32(p + 4, (handler & 0xffff0000) | 0x8e00);
	if (l)
		store_le64(p + 8, 0);
}

static inline void start_protected(struct guest *g, unsigned cpu)
{
	x86_state_reset(g->st, cpu == 0);
	tables(g, false);
	g->st->cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE;
	g->st->rip = CODE;
	g->st->gpr[X86_RSP] = STACK - cpu * 0x800;
	set_state(g, cpu);
}

/* The first GiB one to one, in pages of 2 MiB, but the first 2 MiB in pages of 4 KiB */
static inline void start_long(struct guest *g, unsigned cpu)
{
	x86_state_reset(g->st, cpu == 0);
	tables(g, true);
	store_le64(g->ram + PML4, (PML4 + 0x1000) | 7);
	store_le64(g->ram + PML4 + 0x1000, (PML4 + 0x2000) | 7);
	store_le64(g->ram + PML4 + 0x2000, (PML4 + 0x3000) | 7);
	for (u64 i = 1; i < 512; i++)
		store_le64(g->ram + PML4 + 0x2000 + i * 8, i << 21 | 0x87);
	for (u64 i = 0; i < 512; i++)
		store_le64(g->ram + PML4 + 0x3000 + i * 8, i << 12 | 7);
	g->st->cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE | X86_CR0_PG | X86_CR0_WP;
	g->st->cr3 = PML4;
	g->st->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR;
	g->st->efer = X86_EFER_LME | X86_EFER_LMA;
	g->st->rip = CODE;
	g->st->gpr[X86_RSP] = STACK - cpu * 0x800;
	set_state(g, cpu);
}

/* -------------------------------------------------------------------- running */

struct watchdog {
	struct guest *g;
	pthread_t thread;
	bool stop; /* under g->lock */
};

static inline void *watchdog_main(void *arg)
{
	struct watchdog *w = arg;
	struct guest *g = w->g;
	struct timespec ts;
	int rc = 0;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec += TIMEOUT_S;
	pthread_mutex_lock(&g->lock);
	while (!w->stop && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&g->cond, &g->lock, &ts);
	pthread_mutex_unlock(&g->lock);
	if (rc == ETIMEDOUT) {
		atomic_store(&g->late, true);
		for (unsigned i = 0; i < g->num_cpus; i++)
			g->ops->vcpu_kick(g->cpu[i]);
	}
	return NULL;
}

static inline void watchdog_start(struct watchdog *w, struct guest *g)
{
	*w = (struct watchdog){ .g = g };
	assert_int_equal(pthread_create(&w->thread, NULL, watchdog_main, w), 0);
}

static inline void watchdog_stop(struct watchdog *w)
{
	pthread_mutex_lock(&w->g->lock);
	w->stop = true;
	pthread_cond_broadcast(&w->g->cond);
	pthread_mutex_unlock(&w->g->lock);
	pthread_join(w->thread, NULL);
}

/* Run once; the exit must be @want */
static inline void run_to(struct guest *g, unsigned cpu, enum accel_exit want)
{
	struct watchdog w;
	int rc;

	watchdog_start(&w, g);
	rc = g->ops->vcpu_run(g->cpu[cpu], &g->info);
	watchdog_stop(&w);
	if (g->late)
		fail_msg("the guest was not done after %d seconds", TIMEOUT_S);
	/* Without VT-x or AMD-V, KVM emulates and does not know every instruction */
	if (!rc && g->info.exit == ACCEL_EXIT_BROKEN && !g->caps.fits_kernels &&
	    strstr(g->info.text, "cannot emulate")) {
		print_message("skipped: without hardware virtualization, %s\n", g->info.text);
		skip();
	}
	if (rc || g->info.exit != want)
		fail_msg("vcpu_run: rc %d, exit %d, want %d: %s", rc, g->info.exit, want,
			 g->info.text);
}

static inline void run_done(struct guest *g, unsigned cpu)
{
	run_to(g, cpu, ACCEL_EXIT_KICKED);
}

/* A vCPU on its own thread, as machine/vcpu.c runs it: sleeps out HLT exits */
struct runner {
	struct guest *g;
	unsigned cpu;
	pthread_t thread;
	int rc;
	struct accel_exit_info info;
};

static inline void *runner_main(void *arg)
{
	struct runner *r = arg;
	struct guest *g = r->g;

	for (;;) {
		r->rc = g->ops->vcpu_run(g->cpu[r->cpu], &r->info);
		if (r->rc || r->info.exit != ACCEL_EXIT_HLT)
			break;
		while (!g->ops->has_work(g->cpu[r->cpu]))
			sched_yield();
	}
	return NULL;
}

static inline void runner_start(struct runner *r, struct guest *g, unsigned cpu)
{
	*r = (struct runner){ .g = g, .cpu = cpu };
	assert_int_equal(pthread_create(&r->thread, NULL, runner_main, r), 0);
}

static inline void runner_join(struct runner *r)
{
	pthread_join(r->thread, NULL);
	if (r->rc || r->info.exit != ACCEL_EXIT_KICKED)
		fail_msg("vcpu %u: rc %d, exit %d: %s", r->cpu, r->rc, r->info.exit, r->info.text);
}

/* Wait until @n bytes came out of PORT_OUT */
static inline void wait_out(struct guest *g, unsigned n)
{
	struct timespec ts;
	bool ok;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec += TIMEOUT_S;
	pthread_mutex_lock(&g->lock);
	while (g->num_out < n && !pthread_cond_timedwait(&g->cond, &g->lock, &ts))
		;
	ok = g->num_out >= n;
	pthread_mutex_unlock(&g->lock);
	if (!ok)
		fail_msg("%u of %u outputs came", g->num_out, n);
}

static inline void assert_out(struct guest *g, unsigned i, u64 val, unsigned len)
{
	if (i >= g->num_out || g->out[i].val != val || g->out[i].len != len)
		fail_msg("output %u of %u is %#llx (%u bytes), want %#llx (%u)", i, g->num_out,
			 (unsigned long long)g->out[i].val, g->out[i].len,
			 (unsigned long long)val, len);
}

static inline void assert_mmio(struct guest *g, unsigned i, u64 addr, u64 val, unsigned len,
			       bool write)
{
	const struct access *a = &g->mmio[i];

	if (i >= g->num_mmio || a->addr != addr || a->len != len || a->write != write ||
	    (write && a->val != val))
		fail_msg("access %u of %u: %s %#llx %u bytes %#llx", i, g->num_mmio,
			 a->write ? "store" : "load", (unsigned long long)a->addr, a->len,
			 (unsigned long long)a->val);
}

static inline u64 get_gpr(struct guest *g, unsigned cpu, enum x86_gpr r)
{
	assert_int_equal(g->ops->state_get(g->cpu[cpu], X86_STATE_GPR, g->st), 0);
	return g->st->gpr[r];
}

#endif
