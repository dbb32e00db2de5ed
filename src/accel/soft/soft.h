// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/soft.h - Inner door of the software CPU: state, memory, who calls whom
 *
 * Rooms below: decode/ (Zydis behind one door), interp/ (one instruction at a
 * time, whole ISA, all modes), translate/ + emit/ (64-bit code to host code),
 * mmu/ (page walk, TLB), cache/ (translations, self-modifying code), sys/
 * (segments, exceptions, MSRs), fault/ (host signals), fpu/ (who owns the host's
 * vector registers).
 *
 * Two rules hold in every file here:
 *
 * (1) Guest x87, MMX, XMM, YMM and MXCSR live in the *host's* registers while
 *     v->fpu_live is set. All of accel/soft is compiled with
 *     -mgeneral-regs-only; before it calls anything outside (libc, Zydis, a
 *     callback of accel_host) it calls sc_fpu_save(v). memcpy and memset count
 *     as outside: use sc_copy and sc_zero. sc_fpu_load(v) brings the guest's
 *     registers back; only enter.S and interp/native.c need to call it.
 *
 * (2) An instruction has no architectural effect before its last possible
 *     fault. Whoever finds a fault calls sc_throw(), which never returns: it
 *     unwinds to the dispatch loop with v->rip still at the instruction. */
#ifndef ACCEL_SOFT_SOFT_H
#define ACCEL_SOFT_SOFT_H

#include <pthread.h>
#include <stdatomic.h>

#include "accel/accel.h"
#include "base/types.h"

/* ------------------------------------------------------------------- TLB */

/* One entry serves one 4 KiB page of one table. A probe computes tag ^ address and
 * compares with 4096 - size: page match and page crossing in one test. A tag that can
 * never match is one whose index bits are not the entry's own: 0 for every entry but
 * the first, 0x1000 for the first. */
struct sc_tlbe {
	u64 tag_r;    /* page address when loads may go straight to memory */
	u64 tag_w;    /* likewise stores: dirty bit set, no translated code in the page */
	u64 addend;   /* host address = guest address + addend */
	u64 gpa_flags; /* guest-physical page | SC_TLBE_* */
};
#define SC_TLB_BITS 12
#define SC_TLB_ENTRIES (1u << SC_TLB_BITS)
#define SC_TLBE_GLOBAL BIT(0) /* PTE.G: survives MOV CR3 */

/* Slot of a window (translate/tr_window.c): the page it was in last. Filled from the TLB,
 * emptied with it (mmu/site.c) */
struct sc_site {
	u64 tag;    /* as tag_r or tag_w */
	u64 addend;
};
#define SC_SITES 8192 /* of one kind: the lower half loads, the upper half stores */
/* Bits of site_note */
#define SC_SITE_MISSES 0x7f  /* since mmu_site_is_poly was asked last */
#define SC_SITE_LISTED BIT(7) /* in site_used */

/* Which table: code at CPL 3, or code at CPL 0..2 */
enum sc_tlb_kind { SC_TLB_KERNEL, SC_TLB_USER, SC_NUM_TLBS };

/* Why an access is made; the bits of the page-fault error code (SDM 3A 4.7) */
#define SC_PF_P BIT(0)
#define SC_PF_W BIT(1)
#define SC_PF_U BIT(2)
#define SC_PF_RSVD BIT(3)
#define SC_PF_I BIT(4)

enum sc_access { SC_READ = 0, SC_WRITE = SC_PF_W, SC_EXEC = SC_PF_I };

/* Indirect-branch cache: guest rip -> host code, one table per CPL class. The index mixes
 * in the page number: code of different pages has the same offsets. */
struct sc_ibtc {
	u64 rip;
	void *host; /* entry that expects the flags in v->flags_stash */
};
#define SC_IBTC_BITS 15
#define SC_IBTC_ENTRIES (1u << SC_IBTC_BITS)

/* -------------------------------------------------------------------- VM */

struct sc_vcpu;
struct sc_cache;
#define SC_MAX_CPUS 64

struct sc_vm {
	struct accel_vm base;
	const struct accel_host *host;
	void *m;
	struct log *log;
	unsigned num_cpus;		/* as configured */
	bool ignore_msr;
	struct accel_ram ram[ACCEL_MAX_RAM]; /* sorted by gpa; changes only while vCPUs are parked */
	unsigned num_ram;
	struct sc_cache *cache;
	struct sc_vcpu *_Atomic cpu[SC_MAX_CPUS];
	pthread_mutex_t bus_lock;	/* split and uncached locked accesses */
	u64 tsc_hz;
	_Atomic u64 tsc_offset;		/* guest TSC = host TSC + offset */
	/* kvm-clock: one pair of readings that every vCPU's page is made of (sys/pvclock.c) */
	_Atomic u32 pvclock_state;
	u64 pvclock_tsc, pvclock_ns;
};

/* ------------------------------------------------------------------ vCPU */

/* Reasons to leave translated code, bits of v->attention. Set by anybody with
 * sc_attention(); the dispatch loop looks at each and clears what it dealt with. */
#define SC_ATTN_INTR BIT(0)	 /* ask intr_ack when RFLAGS.IF allows */
#define SC_ATTN_NMI BIT(1)
#define SC_ATTN_INIT BIT(2)
#define SC_ATTN_SIPI BIT(3)
#define SC_ATTN_KICK BIT(4)	 /* vcpu_kick */
#define SC_ATTN_REQUEST BIT(5)	 /* another vCPU wants a handshake (v->requests) */
#define SC_ATTN_SINGLE BIT(6)	 /* TF, debug registers or gdb: interpret one at a time */

/* Bits of v->requests (atomic, set by others, served at a block boundary) */
#define SC_REQ_FLUSH_TLB BIT(0)
#define SC_REQ_DROP_WRITES BIT(2) /* v->drop_page[] got code: no direct stores to them */
#define SC_REQ_FLUSH_IBTC BIT(3) /* translations went away */
#define SC_REQ_FLUSH_CODE BIT(4) /* all translations go: leave the running block too */

/* Mode bits that a translation depends on; part of its key */
#define SC_MODE_USER BIT(0)   /* CPL 3 */
#define SC_MODE_FPU BIT(1)    /* CR0.EM = CR0.TS = 0, CR4.OSFXSR = 1: x87 and SSE do not fault */
#define SC_MODE_AVX BIT(2)    /* CR4.OSXSAVE and XCR0.AVX */
#define SC_MODE_SOLO BIT(4)   /* not of the vCPU: variant of a block, each access checked alone */
#define SC_MODE_64 BIT(3)     /* long mode, CS.L: else only the interpreter runs */

/* A pending exception: what sc_throw recorded */
struct sc_exception {
	u8 vector;
	bool has_error;
	u32 error;
	u64 cr2; /* #PF */
	u64 dr6; /* #DB: bits to OR into DR6 */
};

/* Field legend: (v) own thread; (a) atomic, anybody. enter.S and the translator know the
 * offsets of the first block: static assertions in translate/ tie them. */
struct sc_vcpu {
	struct accel_vcpu base;
	/* --- touched by translated code through gs: --- */
	u64 gpr[16];		/* (v) valid while not in translated code */
	u64 rip;		/* (v) likewise */
	u64 rflags;		/* (v) all bits while not in translated code; there the arithmetic
				 * bits are the host's. DF, IF, IOPL, AC... are always right here. */
	u64 rip_page;		/* (v) page of the running block: rip & ~0xfff */
	u64 flags_stash;	/* (v) lahf/seto image: AH flags in bits 15:8, OF in bit 0 */
	u64 scratch[4];
	u64 fs_base, gs_base;	/* (v) copies of seg[].base for inline use; keep in step
				 * with sc_seg_changed() */
	_Atomic u32 attention;	/* (a) SC_ATTN_* */
	u32 mode;		/* (v) SC_MODE_*, from sc_mode_update() */
	void *host_rsp;		/* (v) frame of the dispatch loop, for unwinding */
	struct sc_block *block;
	void *resume;
	u64 self;		/* address of this struct, for "mov gs:self, reg" */
	struct sc_site stack[SC_NUM_TLBS]; /* page that guest rsp points into; its tag is a store tag */
	/* Calls under way, {host code behind the call, guest return address} each; one stack a kind
	 * (translate/shadow.c). Where rsp goes on, where it begins, below which a call begins anew */
	u64 shadow[SC_NUM_TLBS], shadow_top[SC_NUM_TLBS], shadow_limit[SC_NUM_TLBS];

	/* --- architectural state --- */
	struct x86_segment seg[X86_NUM_SEGS]; /* attr as x86_state.h; CPL = v->cpl */
	struct x86_table gdt, idt;
	u8 cpl;
	u64 cr0, cr2, cr3, cr4, efer, xcr0;
	u64 dr[8];
	struct {
		u64 star, lstar, cstar, sfmask, kernel_gs_base;
		u64 sysenter_cs, sysenter_esp, sysenter_eip;
		u64 tsc_aux, tsc_adjust, pat, mtrr_def_type, misc_enable;
		u64 mtrr_fixed[11], mtrr_var[16];
		u64 kvm_system_time, kvm_wall_clock, kvm_steal_time, kvm_pv_eoi, kvm_async_pf;
		u64 spec_ctrl, debugctl, syscfg, hwcr;
	} msr;
	bool halted;		/* HLT executed, nothing woke it yet */
	_Atomic bool pv_unhalt;	/* (a) KVM_HC_KICK_CPU: ends this or the next HLT whatever IF is */
	bool wait_sipi;		/* INIT state of an AP */
	bool shutdown;		/* triple fault */
	u8 int_shadow;		/* 1: STI, 2: MOV SS; cleared by the dispatch loop after the next instruction */
	bool nmi_blocked;
	bool intr_wait;		/* an interrupt waits for RFLAGS.IF: sc_if_changed() asks again */
	bool nmi_wait;		/* an NMI waits for IRET */
	bool rf_next;		/* string instruction was cut: RFLAGS.RF in the frame if it faults or is interrupted */
	_Atomic u8 sipi_vector;

	/* --- exceptions --- */
	struct sc_exception exc;	/* the one being thrown */
	void *throw_buf[5];		/* (v) __builtin_setjmp of the dispatch loop */
	bool exc_pending_db;		/* single-step trap due after this instruction or block */
	u8 watch;			/* DR0..DR3 that DR7 enables for data or ports */
	u8 watch_hits;			/* those that the instruction touched: a trap after it */

	/* --- memory --- */
	struct sc_tlbe tlb[SC_NUM_TLBS][SC_TLB_ENTRIES] ALIGNED(64);
	struct sc_site site[SC_NUM_TLBS][SC_SITES] ALIGNED(64);
	u8 site_note[SC_NUM_TLBS][SC_SITES];
	u64 site_pages[2][64];	/* hashed: pages that slots were filled with; upper half, lower half */
	u64 window[64];		/* addends of the running block's windows that are not in a slot */
	u16 site_used[SC_NUM_TLBS][1024]; /* slots that MOV CR3 empties: all but the kernel's of
					   * global pages in the upper half */
	u32 site_count[SC_NUM_TLBS]; /* above 1024: too many, empty all */
	u32 site_time[SC_NUM_TLBS][SC_SITES]; /* TSC / 64 when its misses were counted last */
	struct sc_ibtc ibtc[SC_NUM_TLBS][SC_IBTC_ENTRIES] ALIGNED(64);
	u32 ibtc_mode[SC_NUM_TLBS]; /* mode of the blocks in it */
	u16 ibtc_used[SC_NUM_TLBS][1024]; /* slots filled since the last flush, which clears just these */
	u64 ibtc_pages[SC_NUM_TLBS][256]; /* hashed: pages that it has branches to */
	unsigned ibtc_count[SC_NUM_TLBS]; /* above 1024: too many, clear the table */
	gpa_t store_gpa;	/* (v) sc_rw_ptr: page holds code, sc_store_done must look; else ~0 */
	unsigned store_len;
	bool code_written;	/* (v) a store dropped translations: leave the running block */
	u64 maxphyaddr_rsvd;	/* PTE bits that must be zero */
	u16 local[SC_NUM_TLBS][512]; /* entries that are not global: MOV CR3 clears just these */
	unsigned local_count[SC_NUM_TLBS]; /* above 512: too many, clear the table */
	/* For 64 entries each: which physical pages (hashed) have store tags there */
	u64 stores[SC_NUM_TLBS][SC_TLB_ENTRIES / 64];
	bool ibtc_local;	/* the kernel's branch cache holds code of a non-global page */
	u64 large_2m[16], large_1g[16]; /* hashed: regions of which pieces of a large page were entered */
	struct sc_fetch_entry {	/* virtual to physical page, for finding translations */
		u64 key;	/* virtual page | 1 | user << 1; 0 = empty */
		gpa_t page;
		u32 generation;	/* must be fetch_generation, of a global page fetch_global */
		bool global;
	} fetch[2048];
	u32 samples[16];	/* pages where interrupts found the guest of late (cache_sample) */
	u32 next_sample;
	u32 fetch_generation, fetch_global; /* a flush is one step on */

	/* --- FPU --- */
	bool fpu_live;		/* guest registers are in the host's */
	u32 fpu_mask;		/* XSAVE components kept: host XCR0 & 7; 0 until first asked (fpu/) */
	u32 mxcsr_mask;		/* writable MXCSR bits of the host, with fpu_mask */
	void *shadow_memory;	/* translate/shadow.c's own */
	struct sc_native *native; /* executable snippets, interp/native.c's own */
	ALIGNED(64) u8 xsave[1024]; /* XSAVE standard format, x87 + SSE + AVX; valid while !fpu_live */

	/* --- the rest --- */
	struct sc_vm *vm;
	unsigned cpu;
	/* What others ask of this vCPU (cache/request.c). A request is served when
	 * req_served has reached the number it was given. */
	_Atomic u32 requests;	/* (a) SC_REQ_*: written under req_lock */
	atomic_flag req_lock;
	gpa_t drop_page[8];	/* under req_lock */
	unsigned num_drops;	/* under req_lock; above 8: all pages */
	u64 req_asked;		/* under req_lock */
	_Atomic u64 req_served;
	_Atomic u32 in_guest;	/* (a) 1 while it may touch guest RAM or run blocks */
	struct cpuid_entry cpuid[ACCEL_MAX_CPUID];
	unsigned num_cpuid;
	struct sc_interp_cache *interp;	/* decode cache, interp/'s own */
	char broken[160];	/* why vcpu_run must give up; "" = fine */
	struct sc_stats {
		/* work, and why it was not translated code that did it */
		u64 blocks, guest_bytes, interp_insns, slow_insns, solo_blocks;
		u64 tlb_fill, window_miss, site_poly, hot_pages;
		/* TLB flushes by cause; of the branch cache */
		u64 flush_cr3, flush_all, invlpg, invlpg_large, branch_flush;
		/* translated code left, by cause */
		u64 left_exit, left_branch, left_attention, left_fault, left_other;
		u64 branch_fill, exceptions, interrupts, mmio, pio, code_writes;
		/* TSC cycles */
		u64 translate_cycles, device_cycles, run_cycles;
	} stats;
	u64 bp[4];		/* gdb breakpoints */
	unsigned num_bp;
	bool debug_step, debug_hit;
	bool debug_resume;	/* stopped at a breakpoint: step over it first */
};

/* ------------------------------------------------------- small tools */

static inline void sc_copy(void *dst, const void *src, size_t n)
{
	__asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
}
static inline void sc_zero(void *dst, size_t n)
{
	__asm__ volatile("rep stosb" : "+D"(dst), "+c"(n) : "a"(0) : "memory");
}

struct strbuf;
void sc_stats_print(const struct sc_vm *vm, struct strbuf *out); /* [any] stats.c */

/* [any] */
static inline void sc_attention(struct sc_vcpu *v, u32 bits) { atomic_fetch_or(&v->attention, bits); }

static inline bool sc_long_mode(const struct sc_vcpu *v) { return v->efer & X86_EFER_LMA; }
/* 64-bit code segment in long mode */
static inline bool sc_code64(const struct sc_vcpu *v)
{
	return sc_long_mode(v) && (v->seg[X86_CS].attr & X86_SEG_L);
}
static inline bool sc_protected(const struct sc_vcpu *v) { return v->cr0 & X86_CR0_PE; }
static inline bool sc_vm86(const struct sc_vcpu *v) { return v->rflags & X86_FLAG_VM; }
static inline unsigned sc_iopl(const struct sc_vcpu *v) { return v->rflags >> 12 & 3; }
/* 48-bit linear addresses */
static inline bool sc_canonical(u64 a) { return (u64)((s64)(a << 16) >> 16) == a; }

/* --------------------------------------------- exceptions (sys/exception.c) */

/* [vcpu] Unwind to the dispatch loop, which delivers it. v->rip is the fault's rip. */
void sc_throw(struct sc_vcpu *v, unsigned vector) NORETURN;		/* no error code */
void sc_throw_error(struct sc_vcpu *v, unsigned vector, u32 error) NORETURN;
void sc_throw_pf(struct sc_vcpu *v, gva_t addr, u32 error) NORETURN;	/* sets CR2 on delivery */
#define sc_gp0(v) sc_throw_error(v, X86_VEC_GP, 0)
#define sc_ud(v) sc_throw(v, X86_VEC_UD)

/* [vcpu, dispatch loop] Deliver v->exc through the IDT; combines to #DF; sets v->shutdown on a
 * triple fault. Faults push v->rip. Never throws. */
void sc_deliver_exception(struct sc_vcpu *v);
/* [vcpu, dispatch loop] External interrupt or NMI; never throws (it delivers what it meets) */
void sc_deliver_interrupt(struct sc_vcpu *v, u8 vector);
void sc_deliver_nmi(struct sc_vcpu *v);
/* [vcpu, interp] INT n, INT3, INTO, INT1: throws or completes with v->rip at the handler.
 * @next_rip is pushed. */
enum sc_soft_int { SC_INT_N, SC_INT3, SC_INTO, SC_INT1 };
void sc_software_int(struct sc_vcpu *v, u8 vector, enum sc_soft_int kind, u64 next_rip);

/* ------------------------------------------- control transfer (sys/), [vcpu, interp] */
/* Each completes with v->rip, v->cpl, segments set, or throws before any effect. @opsize 2, 4, 8 */
void sc_far_jmp(struct sc_vcpu *v, u16 sel, u64 off, unsigned opsize, u64 next_rip);
void sc_far_call(struct sc_vcpu *v, u16 sel, u64 off, unsigned opsize, u64 next_rip);
void sc_far_ret(struct sc_vcpu *v, unsigned opsize, u16 pop_bytes);
/* Bytes of the offset of a far pointer in memory: AMD has none of 64 bits */
unsigned sc_far_size(const struct sc_vcpu *v, unsigned opsize);
void sc_iret(struct sc_vcpu *v, unsigned opsize);
void sc_syscall(struct sc_vcpu *v, u64 next_rip);
void sc_sysret(struct sc_vcpu *v, unsigned opsize);
void sc_sysenter(struct sc_vcpu *v, u64 next_rip);
void sc_sysexit(struct sc_vcpu *v, unsigned opsize);

/* Load a data segment, SS, LDTR or TR from a selector with all checks (not CS) */
void sc_load_seg(struct sc_vcpu *v, enum x86_seg seg, u16 sel);
void sc_load_ldtr(struct sc_vcpu *v, u16 sel);
void sc_load_tr(struct sc_vcpu *v, u16 sel);
/* LAR, LSL, VERR, VERW: true and the value when the selector is good */
bool sc_lar(struct sc_vcpu *v, u16 sel, u32 *rights);
bool sc_lsl(struct sc_vcpu *v, u16 sel, u32 *limit);
bool sc_verify_seg(struct sc_vcpu *v, u16 sel, bool write);
/* After any change of CR0, CR4, EFER, XCR0, CPL, CS: recompute v->mode; of FS or GS: copies */
void sc_mode_update(struct sc_vcpu *v);
void sc_seg_changed(struct sc_vcpu *v);

/* System registers (sys/), [vcpu, interp]: check, then change, or throw */
u64 sc_read_cr(struct sc_vcpu *v, unsigned n);
void sc_write_cr(struct sc_vcpu *v, unsigned n, u64 val);
u64 sc_read_dr(struct sc_vcpu *v, unsigned n);
void sc_write_dr(struct sc_vcpu *v, unsigned n, u64 val);
/* v->watch is not 0 and the instruction accesses linear @a (@io: a port): note what it hits */
void sc_watch(struct sc_vcpu *v, gva_t a, unsigned size, bool write, bool io);
u64 sc_rdmsr(struct sc_vcpu *v, u32 index);
void sc_wrmsr(struct sc_vcpu *v, u32 index, u64 val);
void sc_xsetbv(struct sc_vcpu *v, u32 index, u64 val);
void sc_cpuid(struct sc_vcpu *v); /* reads EAX, ECX; writes the four */
u64 sc_rdtsc(struct sc_vcpu *v);
/* [setup] v->cpuid was filled: what follows from it (maxphyaddr_rsvd) */
void sc_cpuid_changed(struct sc_vcpu *v);
/* [any] What the guest may be told, from the host's CPUID filtered; rows written, <= @max */
unsigned sc_cpuid_model(struct cpuid_entry *table, unsigned max, u64 tsc_hz);
u64 sc_host_tsc_hz(void); /* [any] measured at most once a process */
/* [vcpu, parked] Write the vCPU's kvm-clock page anew (after state_set, clock changes) */
void sc_pvclock_refresh(struct sc_vcpu *v);
/* [parked] accel_host.clock_ns or the TSC was set: take a new pair; then refresh each vCPU */
void sc_pvclock_rebase(struct sc_vm *vm);
void sc_hypercall(struct sc_vcpu *v); /* VMCALL, VMMCALL under the KVM signature */
/* RFLAGS by POPF with @opsize, by CPL and IOPL rules; sets int_shadow never */
void sc_popf(struct sc_vcpu *v, u64 val, unsigned opsize);
/* IF was set or a shadow ended: make the dispatch loop look for interrupts */
void sc_if_changed(struct sc_vcpu *v);
/* May this code use port..port+len-1? Throws #GP(0) (IOPL, TSS bitmap) */
void sc_check_io(struct sc_vcpu *v, u16 port, unsigned len);
u64 sc_port_in(struct sc_vcpu *v, u16 port, unsigned size);
void sc_port_out(struct sc_vcpu *v, u16 port, unsigned size, u64 val);
/* Power-on or INIT state */
void sc_cpu_reset(struct sc_vcpu *v, bool power_on);
void sc_cpu_sipi(struct sc_vcpu *v, u8 vector);

/* ------------------------------------------------ memory (mmu/), [vcpu] */
/* Linear addresses; segmentation was done by the caller. Permission by v->cpl. They throw
 * #PF; in 64-bit mode the caller has checked canonical form (#GP or #SS is its choice). */
u64 sc_read(struct sc_vcpu *v, gva_t a, unsigned size);		 /* 1, 2, 4, 8; any alignment */
void sc_write(struct sc_vcpu *v, gva_t a, u64 val, unsigned size); /* all or nothing */
void sc_read_bytes(struct sc_vcpu *v, gva_t a, void *buf, unsigned len);	/* len <= 4096 */
void sc_write_bytes(struct sc_vcpu *v, gva_t a, const void *buf, unsigned len); /* all or nothing */
void sc_check_write(struct sc_vcpu *v, gva_t a, unsigned len);	/* throw now what a write would */
/* The same with supervisor rights whatever CPL is: descriptor tables, TSS */
u64 sc_sys_read(struct sc_vcpu *v, gva_t a, unsigned size);
void sc_sys_write(struct sc_vcpu *v, gva_t a, u64 val, unsigned size);
/* Host address for a direct access inside one page of RAM, NULL when it has to go through
 * sc_read / sc_write (MMIO, ROM, page crossing). Throws #PF. */
void *sc_r_ptr(struct sc_vcpu *v, gva_t a, unsigned size);
/* For stores, also atomic ones. After the store call sc_store_done(v). */
void *sc_rw_ptr(struct sc_vcpu *v, gva_t a, unsigned size);
void sc_store_done(struct sc_vcpu *v);
/* Under it, a locked access that has no direct host address is atomic against its like */
void sc_bus_lock(struct sc_vcpu *v);
void sc_bus_unlock(struct sc_vcpu *v);
/* Up to 15 instruction bytes at linear @a (CS base added), exec rights. Throws #PF only when the
 * first byte is not readable; else Return: bytes that could be had before a fault or 15.
 * *gpa: physical address of the first */
unsigned sc_fetch(struct sc_vcpu *v, gva_t a, u8 *buf, gpa_t *gpa);
/* Throw the #PF that fetching the byte at @a gives (after the decoder asked for more) */
void sc_fetch_fault(struct sc_vcpu *v, gva_t a) NORETURN;
void sc_flush_tlb(struct sc_vcpu *v, bool global_too); /* MOV CR3; CR4.PGE, CR0.PG, ... */
void sc_invlpg(struct sc_vcpu *v, gva_t a);
/* Walk for @access as @user; 0 and *gpa, or the #PF error code with P..I bits set as SDM 4.7
 * (never 0 on a fault: SC_PF_FAULT is set). No A/D updates when @probe. */
#define SC_PF_FAULT BIT(31)
u32 sc_walk(struct sc_vcpu *v, gva_t a, enum sc_access access, bool user, bool probe, gpa_t *gpa);
/* Physical access for MMIO and tables; false: outside RAM */
bool sc_phys_read(struct sc_vm *vm, gpa_t gpa, void *buf, unsigned len);
bool sc_phys_write(struct sc_vcpu *v, gpa_t gpa, const void *buf, unsigned len); /* tells the cache */

/* ------------------------------------------------------ FPU (fpu/), [vcpu] */
void sc_fpu_save(struct sc_vcpu *v); /* to v->xsave if live; host gets default MXCSR and x87 */
void sc_fpu_load(struct sc_vcpu *v); /* from v->xsave if not live */

/* ---------------------------------------------- interpreter (interp/), [vcpu] */
/* Run the one instruction at v->rip, any mode. Completes with v->rip past it (or where it
 * jumped), or throws. REP string instructions run up to a bounded number of iterations and
 * then return with v->rip still at them. */
void sc_interp_one(struct sc_vcpu *v);
/* interp/native.c: run a decoded x87, MMX, SSE, AVX, BMI... instruction on the host CPU, with its
 * memory operand redirected to a checked buffer. See that file. */
int sc_interp_init(struct sc_vcpu *v); /* [setup] 0 or -ENOMEM */
void sc_interp_fini(struct sc_vcpu *v);

/* ---------------------------------- translations (cache/, translate/) */
int sc_cache_create(struct sc_cache **out, struct sc_vm *vm); /* [setup] */
void sc_cache_destroy(struct sc_cache *c);
/* Does [gpa, gpa+len) hold bytes that were translated or decoded? lock-free hint */
bool sc_cache_has_code(struct sc_vm *vm, gpa_t gpa, unsigned len);
/* [any] Bytes changed: drop what was made of them; sets v->code_written when @v is not NULL */
void sc_cache_invalidate(struct sc_vm *vm, struct sc_vcpu *v, gpa_t gpa, u64 len);

#endif
