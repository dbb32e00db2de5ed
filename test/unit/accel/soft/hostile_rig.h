// SPDX-License-Identifier: BSD-2-Clause
/* test/unit/accel/soft/hostile_rig.h - A software CPU whose RAM lies alone in forbidden memory
 *
 * Two blocks of guest RAM, LOW at 0 and HIGH at 4 GiB, are placed in 16 GiB of host address
 * space that nobody may touch, each right before and behind a forbidden page. All that a
 * guest does to its addresses is checked before the host does it, so a SIGSEGV with an
 * address is an access that left guest RAM: the rig counts them, and then lets the
 * software CPU's handler have it. */
#ifndef TEST_HOSTILE_RIG_H
#define TEST_HOSTILE_RIG_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/ucontext.h>
#include <unistd.h>

#include "accel/soft/mmu/mmu.h"
#include "accel/soft/soft.h"

#define GiB (1ull << 30)
#define RESERVED (16 * GiB)
#define LOW_BYTES 0x405000u	/* ends inside what 2 MiB pages map */
#define HIGH_GPA (4 * GiB)
#define HIGH_BYTES 0x3000u
#define LOW_AT (4 * GiB)	/* offsets in the reservation */
#define HIGH_AT (12 * GiB)

/* Places in LOW */
#define GDT_AT 0x1000u
#define IDT_AT 0x2000u
#define TSS_AT 0x3000u
#define HANDLERS 0x4000u	/* 16 bytes a vector */
#define PML4_AT 0x6000u
#define PDPT_AT 0x7000u
#define PD_AT 0x8000u
#define PT_AT 0x9000u
#define PD32_AT 0xa000u
#define PDPAE_AT 0xb000u
#define STACK_TOP 0x1f000u
#define CODE_AT 0x20000u
#define CODE_BYTES 0x10000u
#define DATA_AT 0x40000u

/* Linear addresses in long mode that see the end of LOW and of HIGH at the edges of the halves */
#define EDGE_PAGES 5u
#define TOP_OF_LOWER_HALF 0x7fffffffffffull /* last byte = last byte of LOW */

struct rig {
	struct accel_vm *vm;
	unsigned num_cpus;
	struct sc_vcpu *v[2];
	u8 *space, *low, *high;
	_Atomic unsigned long mmio, pio;
	_Atomic u64 noise;	/* what devices answer, and whether they interrupt */
	u64 last_mmio;
	unsigned mmio_bytes;
	bool quiet;		/* devices answer all ones and never interrupt */
};

static _Atomic unsigned long wild;	/* accesses that left RAM */
static _Atomic u64 wild_addr, wild_pc;
static struct sigaction behind_us, caught[4]; /* the software CPU's */
static const int caught_sig[4] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };

static inline void on_wild(int sig, siginfo_t *si, void *uc)
{
	if (si->si_code > 0 && si->si_code != SI_KERNEL) {
		wild++;
		wild_addr = (u64)si->si_addr;
		wild_pc = (u64)((ucontext_t *)uc)->uc_mcontext.gregs[REG_RIP];
	}
	behind_us.sa_sigaction(sig, si, uc);
}

static inline u64 xorshift(u64 *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static inline u64 noise(struct rig *r)
{
	u64 s = atomic_load(&r->noise), n;

	n = xorshift(&s);
	atomic_store(&r->noise, s);
	return n;
}

static inline void cb_mmio(void *m, unsigned cpu, gpa_t gpa, void *data, unsigned len, bool write)
{
	struct rig *r = m;
	u64 val = r->quiet ? ~0ull : noise(r);

	if (!write)
		memcpy(data, &val, len);
	r->mmio++;
	r->mmio_bytes += len;
	r->last_mmio = gpa;
}

static inline void cb_pio(void *m, unsigned cpu, u16 port, void *data, unsigned len, bool write)
{
	struct rig *r = m;
	u64 val = r->quiet ? ~0ull : noise(r);

	r->pio++;
	if (!write)
		memcpy(data, &val, len);
}

static inline int cb_msr(void *m, unsigned cpu, u32 index, u64 *val, bool write)
{
	struct rig *r = m;

	if (r->quiet || noise(r) & 1)
		return -EINVAL;
	if (!write)
		*val = noise(r);
	return 0;
}

static inline int cb_intr_ack(void *m, unsigned cpu, bool peek)
{
	struct rig *r = m;

	return r->quiet || noise(r) & 1 ? -1 : (int)(noise(r) & 0xff);
}

static inline u64 cb_clock(void *m) { return 12345; }
static inline u8 cb_tpr_get(void *m, unsigned cpu) { return (u8)noise(m); }
static inline void cb_tpr(void *m, unsigned cpu, u8 cr8) { noise(m); }
static inline void cb_cpu(void *m, unsigned cpu) { noise(m); }

static inline void rig_open(struct rig *r, unsigned cpus)
{
	static const struct accel_host host = {
		.mmio = cb_mmio, .pio = cb_pio, .msr = cb_msr, .intr_ack = cb_intr_ack, .clock_ns = cb_clock,
		.tpr = cb_tpr, .tpr_get = cb_tpr_get, .cpu_reset = cb_cpu, .kick_halted = cb_cpu,
	};
	struct accel_vm_config cfg = { .cpus = cpus, .host = &host, .m = r };
	struct accel_ram low = { .gpa = 0, .len = LOW_BYTES };
	struct accel_ram high = { .id = 1, .gpa = HIGH_GPA, .len = HIGH_BYTES };
	struct sigaction sa = { .sa_sigaction = on_wild, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	struct accel_caps caps;

	memset(r, 0, sizeof(*r));
	r->num_cpus = cpus;
	r->noise = 1;
	assert_int_equal(sc_accel_ops.probe(&caps), 0);
	assert_int_equal(sc_accel_ops.vm_create(&r->vm, &cfg, NULL), 0);
	r->space = mmap(NULL, RESERVED, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(r->space, MAP_FAILED);
	low.hva = r->low = r->space + LOW_AT;
	high.hva = r->high = r->space + HIGH_AT;
	assert_int_equal(mprotect(r->low, LOW_BYTES, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(mprotect(r->high, HIGH_BYTES, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(sc_accel_ops.ram_map(r->vm, &low), 0);
	assert_int_equal(sc_accel_ops.ram_map(r->vm, &high), 0);
	for (unsigned i = 0; i < cpus; i++) {
		struct accel_vcpu *av;

		assert_int_equal(sc_accel_ops.vcpu_create(r->vm, i, &av, NULL), 0);
		assert_int_equal(sc_accel_ops.cpuid_set(av, caps.cpuid, caps.num_cpuid), 0);
		r->v[i] = (struct sc_vcpu *)av;
	}
	/* The software CPU installed its handlers with the first VM of the process, and cmocka its
	 * own before each test. Ours comes before the software CPU's. */
	for (unsigned i = 0; i < 4; i++) {
		if (!caught[i].sa_sigaction)
			sigaction(caught_sig[i], NULL, &caught[i]);
		sigaction(caught_sig[i], i ? &caught[i] : &sa, NULL);
	}
	behind_us = caught[0];
	wild = 0;
}

static inline void rig_close(struct rig *r)
{
	sigaction(SIGSEGV, &behind_us, NULL);
	for (unsigned i = 0; i < r->num_cpus; i++)
		sc_accel_ops.vcpu_destroy(&r->v[i]->base);
	sc_accel_ops.vm_destroy(r->vm);
	munmap(r->space, RESERVED);
}

static inline void put64(struct rig *r, u32 at, u64 val) { memcpy(r->low + at, &val, 8); }
static inline void put32(struct rig *r, u32 at, u32 val) { memcpy(r->low + at, &val, 4); }

/* Page tables of all modes. Long mode: 0..4 GiB as it is and HIGH behind it, again at the
 * start of the upper half; the last pages of the lower half are the last of LOW. */
static inline void tables_init(struct rig *r)
{
	unsigned i;

	memset(r->low + PML4_AT, 0, 0x8000);
	put64(r, PML4_AT, PDPT_AT | 7);
	put64(r, PML4_AT + 8 * 1, PML4_AT | 7);		/* itself */
	put64(r, PML4_AT + 8 * 2, 0xfee00000 | 7);	/* a table in a device */
	put64(r, PML4_AT + 8 * 3, (1ull << 40) | 7);	/* a table where nothing is */
	put64(r, PML4_AT + 8 * 4, (1ull << 46) | 7);	/* reserved bits */
	put64(r, PML4_AT + 8 * 5, (LOW_BYTES - 0x1000) | 7); /* a table at the end of LOW */
	put64(r, PML4_AT + 8 * 255, PDPT_AT | 7);
	put64(r, PML4_AT + 8 * 256, PDPT_AT | 7);
	put64(r, PML4_AT + 8 * 511, PDPT_AT | 7);
	put64(r, PDPT_AT, PD_AT | 7);
	for (i = 1; i < 4; i++)
		put64(r, PDPT_AT + 8 * i, i * GiB | 0x87);
	put64(r, PDPT_AT + 8 * 4, HIGH_GPA | 0x87);
	put64(r, PDPT_AT + 8 * 5, PDPT_AT | 7);
	put64(r, PDPT_AT + 8 * 511, PD_AT | 7);
	for (i = 0; i < 511; i++)
		put64(r, PD_AT + 8 * i, (u64)i << 21 | 0x87);
	put64(r, PD_AT + 8 * 511, PT_AT | 7);
	for (i = 0; i < EDGE_PAGES; i++)
		put64(r, PT_AT + 8 * (512 - EDGE_PAGES + i),
		      (LOW_BYTES - (EDGE_PAGES - i) * 4096) | 7);
	for (i = 0; i < 1024; i++)
		put32(r, PD32_AT + 4 * i, i << 22 | 0x87);
	for (i = 0; i < 4; i++)
		put64(r, PDPAE_AT + 8 * i, (PD_AT + (i ? 0x4000 : 0)) | 1);
	for (i = 0; i < 512; i++)
		put64(r, PD_AT + 0x4000 + 8 * i, (3 * GiB + ((u64)i << 21)) | 0x87);
}

static inline void gate(struct rig *r, unsigned size, unsigned vec, u16 sel, u64 at, u8 attr, u8 ist)
{
	u64 lo = (at & 0xffff) | (u64)sel << 16 | (u64)ist << 32 | (u64)attr << 40 |
		 (at & 0xffff0000) << 32;

	put64(r, IDT_AT + vec * size, lo);
	if (size == 16)
		put64(r, IDT_AT + vec * size + 8, at >> 32);
}

/* Selectors */
#define SEL_CODE64 0x08
#define SEL_DATA 0x10
#define SEL_CODE32 0x18
#define SEL_CODE16 0x20
#define SEL_USER32 0x2b
#define SEL_USERDATA 0x33
#define SEL_USER64 0x3b
#define SEL_TSS 0x40 /* 16 bytes in long mode */
#define SEL_DATA16 0x50
#define GDT_LIMIT 0xff

static inline void gdt_init(struct rig *r)
{
	static const u64 gdt[] = {
		0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff, 0x008f9b000000ffff,
		0x00cffb000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff,
		0x00008b0000000067 | (u64)TSS_AT << 16, 0, 0x008f93000000ffff,
		0x0000e90000000000 | (u64)SEL_CODE64 << 16, 0x0000850000000000 | (u64)SEL_TSS << 16,
	};

	memset(r->low + GDT_AT, 0, 0x1000);
	memcpy(r->low + GDT_AT, gdt, sizeof(gdt));
	memset(r->low + TSS_AT, 0, 0x1000);
	put32(r, TSS_AT + 4, STACK_TOP); /* RSP0 or ESP0 */
	put32(r, TSS_AT + 8, SEL_DATA);	 /* 32-bit: SS0; else the top of RSP0 */
}

enum rig_mode {
	M_LONG, M_LONG_USER, M_COMPAT, M_COMPAT_USER, M_PROT32, M_PROT32_USER, M_PAE, M_PAGED32,
	M_PROT16, M_REAL, M_VM86, NUM_MODES
};

static inline bool rig_is_long(enum rig_mode m) { return m <= M_COMPAT_USER; }

/* A CPU at CODE_AT in @mode, tables as the *_init functions made them */
static inline void cpu_init(struct sc_vcpu *v, enum rig_mode mode, u32 rip)
{
	static const struct { u32 cs, data; u16 cs_sel, sel; } how[NUM_MODES] = {
		[M_LONG] = { 0xa09b, 0xc093, SEL_CODE64, SEL_DATA },
		[M_LONG_USER] = { 0xa0fb, 0xc0f3, SEL_USER64, SEL_USERDATA },
		[M_COMPAT] = { 0xc09b, 0xc093, SEL_CODE32, SEL_DATA },
		[M_COMPAT_USER] = { 0xc0fb, 0xc0f3, SEL_USER32, SEL_USERDATA },
		[M_PROT32] = { 0xc09b, 0xc093, SEL_CODE32, SEL_DATA },
		[M_PROT32_USER] = { 0xc0fb, 0xc0f3, SEL_USER32, SEL_USERDATA },
		[M_PAE] = { 0xc09b, 0xc093, SEL_CODE32, SEL_DATA },
		[M_PAGED32] = { 0xc0fb, 0xc0f3, SEL_USER32, SEL_USERDATA },
		[M_PROT16] = { 0x809b, 0x8093, SEL_CODE16, SEL_DATA16 },
		[M_REAL] = { 0x9b, 0x93, CODE_AT >> 4, DATA_AT >> 4 },
		[M_VM86] = { 0xf3, 0xf3, CODE_AT >> 4, DATA_AT >> 4 },
	};
	bool small = mode == M_REAL || mode == M_VM86;
	unsigned i;

	/* As after power-on, whatever the last guest left */
	sc_cpu_reset(v, true);
	v->wait_sipi = v->halted = v->shutdown = v->nmi_blocked = v->intr_wait = v->nmi_wait = false;
	v->int_shadow = 0;
	atomic_store(&v->attention, 0);
	memset(v->gpr, 0, sizeof(v->gpr));
	for (i = 0; i < 6; i++)
		v->seg[i] = (struct x86_segment){ .base = small ? (u64)how[mode].sel << 4 : 0,
						  .limit = small ? 0xffff : 0xffffffff,
						  .attr = how[mode].data, .sel = how[mode].sel };
	v->seg[X86_CS].attr = how[mode].cs;
	v->seg[X86_CS].sel = how[mode].cs_sel;
	if (small)
		v->seg[X86_CS].base = (u64)how[mode].cs_sel << 4;
	v->seg[X86_TR] = (struct x86_segment){ .base = TSS_AT, .limit = 0x67, .attr = 0x8b, .sel = SEL_TSS };
	v->gdt = (struct x86_table){ GDT_AT, GDT_LIMIT };
	v->idt = (struct x86_table){ IDT_AT, 0xfff };
	if (mode == M_REAL)
		v->idt = (struct x86_table){ 0, 0x3ff };
	v->cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP;
	v->cr4 = X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE | X86_CR4_PSE;
	v->xcr0 = v->fpu_mask;
	v->efer = X86_EFER_NXE | X86_EFER_SCE;
	if (rig_is_long(mode)) {
		v->efer |= X86_EFER_LME | X86_EFER_LMA;
		v->cr4 |= X86_CR4_PAE;
		v->cr0 |= X86_CR0_PG;
		v->cr3 = PML4_AT;
	} else if (mode == M_PAE) {
		v->cr4 |= X86_CR4_PAE;
		v->cr0 |= X86_CR0_PG;
		v->cr3 = PDPAE_AT;
	} else if (mode == M_PAGED32) {
		v->cr0 |= X86_CR0_PG;
		v->cr3 = PD32_AT;
	} else if (mode == M_REAL) {
		v->cr0 = X86_CR0_ET;
	}
	v->rflags = 2 | (mode == M_VM86 ? X86_FLAG_VM : 0);
	v->cpl = mode == M_VM86 ? 3 : how[mode].cs >> 5 & 3;
	v->gpr[X86_RSP] = small ? 0xfff0 : STACK_TOP - 0x800;
	v->rip = small ? rip - ((u64)how[mode].cs_sel << 4) : rip;
	mmu_flush_all(v);
	sc_seg_changed(v);
	sc_mode_update(v);
}

#endif
