// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/vcpu.c - A vCPU's dispatch loop: events, translated code, interpreter
 *
 * One host thread runs a vCPU. Exceptions found anywhere below unwind to
 * dispatch() (soft.h, rule 2), which delivers them and goes on. */
#include <asm/prctl.h>
#include <errno.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <unistd.h>

#include "accel/soft/fault/fault.h"
#include "accel/soft/fpu/fpu.h"
#include "accel/soft/interp/native.h"
#include "accel/soft/mmu/mmu.h"
#include "accel/soft/offsets.h"
#include "accel/soft/translate/translate.h"
#include "accel/soft/vcpu.h"
#include "base/err.h"

#define AT_OFFSET(field, off) \
	_Static_assert(offsetof(struct sc_vcpu, field) == (off), #field " is used by enter.S")
AT_OFFSET(gpr, SC_OFF_GPR);
AT_OFFSET(rip, SC_OFF_RIP);
AT_OFFSET(rflags, SC_OFF_RFLAGS);
AT_OFFSET(rip_page, SC_OFF_RIP_PAGE);
AT_OFFSET(flags_stash, SC_OFF_STASH);
AT_OFFSET(scratch, SC_OFF_SCRATCH);
AT_OFFSET(fs_base, SC_OFF_FS_BASE);
AT_OFFSET(gs_base, SC_OFF_GS_BASE);
AT_OFFSET(attention, SC_OFF_ATTENTION);
AT_OFFSET(mode, SC_OFF_MODE);
AT_OFFSET(host_rsp, SC_OFF_HOST_RSP);
AT_OFFSET(block, SC_OFF_BLOCK);
AT_OFFSET(resume, SC_OFF_RESUME);
AT_OFFSET(self, SC_OFF_SELF);
AT_OFFSET(stack, SC_OFF_STACK);
AT_OFFSET(shadow, SC_OFF_SHADOW);
AT_OFFSET(tlb, SC_OFF_TLB);
AT_OFFSET(site, SC_OFF_SITE);
AT_OFFSET(site_note, SC_OFF_SITE_NOTE);
AT_OFFSET(site_pages, SC_OFF_SITE_PAGES);
_Static_assert(SC_TLB_BITS == SC_TLB_INDEX_BITS && SC_NUM_TLBS == 2 && SC_TLB_USER == 1 &&
	       SC_MODE_USER == 1 && sizeof(struct sc_tlbe) == 32 && sizeof(struct sc_site) == 16 &&
	       SC_SITES == 1 << SC_SITES_BITS && SC_SITE_LISTED == 0x80 && SC_TLBE_GLOBAL == 1 &&
	       offsetof(struct sc_site_meta, slot) == 12 && offsetof(struct sc_window_meta, span) == 8 &&
	       sizeof(struct sc_site_meta) == 16 && SC_SITE_STORES == 0x8000 && offsetof(struct sc_meta, to_retry) == 4,
	       "sc_thunk_site computes with these");

static struct sc_vcpu *of(struct accel_vcpu *v)
{
	return (struct sc_vcpu *)v;
}

/* ----------------------------------------------------------- gs base */

#ifndef HWCAP2_FSGSBASE
#define HWCAP2_FSGSBASE BIT(1)
#endif

/* Translated code finds its vCPU through gs, which nothing else on x86-64 Linux uses */
static u64 gs_swap(u64 base)
{
	u64 old;

	if (getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE) {
		__asm__ volatile("rdgsbase %0" : "=r"(old));
		__asm__ volatile("wrgsbase %0" : : "r"(base));
	} else {
		syscall(SYS_arch_prctl, ARCH_GET_GS, &old);
		syscall(SYS_arch_prctl, ARCH_SET_GS, base);
	}
	return old;
}

/* ------------------------------------------------------------ events */

/* Interrupts and the like, at an instruction boundary. true: leave vcpu_run. */
static bool attend(struct sc_vcpu *v, struct accel_exit_info *info)
{
	u32 attn = atomic_load(&v->attention);

	if (attn & SC_ATTN_REQUEST)
		cache_serve(v);
	if (attn & SC_ATTN_INIT) {
		atomic_fetch_and(&v->attention, ~(SC_ATTN_INIT | SC_ATTN_NMI | SC_ATTN_INTR));
		v->intr_wait = v->nmi_wait = false;
		sc_cpu_reset(v, false);
		sc_fpu_save(v);
		if (v->vm->host->cpu_reset)
			v->vm->host->cpu_reset(v->vm->m, v->cpu);
		mmu_flush_all(v);
	}
	if (attn & SC_ATTN_SIPI) {
		atomic_fetch_and(&v->attention, ~SC_ATTN_SIPI);
		if (v->wait_sipi) {
			sc_cpu_sipi(v, v->sipi_vector);
			v->wait_sipi = false;
		}
	}
	if (attn & SC_ATTN_KICK) {
		atomic_fetch_and(&v->attention, ~SC_ATTN_KICK);
		info->exit = ACCEL_EXIT_KICKED;
		return true;
	}
	if (v->wait_sipi || v->int_shadow)
		return false;
	if (attn & SC_ATTN_NMI) {
		atomic_fetch_and(&v->attention, ~SC_ATTN_NMI);
		if (v->nmi_blocked) {
			v->nmi_wait = true;
		} else {
			v->halted = false;
			v->stats.interrupts++;
			sc_deliver_nmi(v);
			return false;
		}
	}
	if (attn & SC_ATTN_INTR) {
		int vec;

		/* Before the question, so that an interrupt that comes after the answer asks again */
		atomic_fetch_and(&v->attention, ~SC_ATTN_INTR);
		if (!(v->rflags & X86_FLAG_IF)) {
			v->intr_wait = true;
			return false;
		}
		v->intr_wait = false;
		sc_fpu_save(v);
		vec = v->vm->host->intr_ack ? v->vm->host->intr_ack(v->vm->m, v->cpu, false) : -1;
		if (vec >= 0) {
			/* There may be another behind it */
			v->intr_wait = true;
			v->halted = false;
			v->stats.interrupts++;
			sc_deliver_interrupt(v, vec);
		}
	}
	return false;
}

/* ------------------------------------------------- one at a time */

/* Alignment checks are the interpreter's */
static bool checks_alignment(const struct sc_vcpu *v)
{
	return v->cpl == 3 && (v->rflags & X86_FLAG_AC) && (v->cr0 & X86_CR0_AM);
}

/* Instruction breakpoints in DR0..DR3 (SDM 3B 17.2.4): length and type bits 0 */
static void check_breakpoints(struct sc_vcpu *v)
{
	gva_t lin = v->rip + (sc_code64(v) ? 0 : v->seg[X86_CS].base);
	u64 hit = 0;
	unsigned i;

	/* RF, or a string instruction that goes on */
	if (v->rflags & X86_FLAG_RF || v->rf_next)
		return;
	for (i = 0; i < 4; i++)
		if ((v->dr[7] >> (2 * i) & 3) && !(v->dr[7] >> (16 + 4 * i) & 15) && v->dr[i] == lin)
			hit |= BIT64(i);
	if (!hit)
		return;
	v->exc.dr6 = hit;
	sc_throw(v, X86_VEC_DB);
}

static bool gdb_stops(struct sc_vcpu *v)
{
	unsigned i;

	for (i = 0; i < v->num_bp; i++)
		if (v->bp[i] == v->rip + (sc_code64(v) ? 0 : v->seg[X86_CS].base) && !v->debug_resume)
			return true;
	v->debug_resume = false;
	return false;
}

/* The #DB trap that is due behind the instruction. A MOV SS puts off what its own operand hit;
 * its single step is lost. */
static void debug_trap(struct sc_vcpu *v)
{
	bool step = v->exc_pending_db;

	v->exc_pending_db = false;
	if (likely(!step && !v->watch_hits) || v->int_shadow == 2)
		return;
	v->exc = (struct sc_exception){ .vector = X86_VEC_DB,
					.dr6 = (step ? BIT(14) : 0) | v->watch_hits };
	v->watch_hits = 0;
	v->stats.exceptions++;
	v->halted = false;
	sc_deliver_exception(v);
}

static void step(struct sc_vcpu *v)
{
	/* SYSCALL, SYSRET and INT n say otherwise */
	v->exc_pending_db = v->rflags & X86_FLAG_TF;
	v->int_shadow = 0;
	if (unlikely(v->dr[7] & 0xff))
		check_breakpoints(v);
	v->stats.interp_insns++;
	sc_interp_one(v);
	debug_trap(v);
	if (v->debug_step)
		v->debug_hit = true;
}

/* ------------------------------------------------- translated code */

/* Physical address of v->rip, for a look-up */
static gpa_t fetch_rip(struct sc_vcpu *v)
{
	gpa_t gpa = mmu_fetch_gpa(v, v->rip);

	/* An instruction that starts here may need the next page: have its address at hand */
	if (unlikely((gpa & ~PAGE_MASK) > PAGE_BYTES - 15))
		mmu_fetch_try(v, (v->rip & PAGE_MASK) + PAGE_BYTES);
	return gpa;
}

static struct sc_block *find_block(struct sc_vcpu *v, u32 mode)
{
	gpa_t gpa = fetch_rip(v);
	struct sc_block *b = cache_find(v, gpa, mode);

	return b ? b : sc_translate(v, gpa, mode);
}

/* Offset of the code to enter with stashed flags; 0: interpret */
static u32 find_code(struct sc_vcpu *v)
{
	gpa_t gpa = fetch_rip(v);
	u32 code = cache_find_code(v, gpa, v->mode);
	struct sc_block *b;

	if (likely(code))
		return code;
	b = sc_translate(v, gpa, v->mode);
	return b ? b->code_stashed : 0;
}

/* The branch to v->rip will not have to come here again */
static void remember(struct sc_vcpu *v, u32 code)
{
	enum sc_tlb_kind k = mmu_kind(v);

	if (k == SC_TLB_KERNEL && !mmu_fetch_is_global(v, v->rip))
		v->ibtc_local = true;
	mmu_ibtc_add(v, k, v->rip, v->vm->cache->rx + code);
	v->stats.branch_fill++;
}

/* Something interrupted translated code here */
static void sample(struct sc_vcpu *v, gva_t a)
{
	gpa_t gpa = mmu_fetch_cached(v, a);

	if (gpa != ~0ull)
		cache_sample(v, gpa);
}

/* Flags into v->rflags as the exit says; v->rip; chain it when that is allowed */
static struct sc_block *through_exit(struct sc_vcpu *v, struct sc_exit *x)
{
	bool attend_only = x->off & SC_EXIT_ATTEND;
	struct sc_cache *c = v->vm->cache;
	struct sc_block *b;

	v->rip = v->rip_page + (x->off & (PAGE_BYTES - 1));
	if (x->stashed)
		v->rflags = sc_unstash(v->rflags, v->flags_stash);
	else
		v->rflags = (v->rflags & ~(u64)SC_ARITH) | (v->scratch[0] & SC_ARITH);
	if (attend_only) {
		v->stats.left_attention++;
		sample(v, v->rip);
	}
	if (attend_only || atomic_load(&v->attention) || v->code_written)
		return NULL;
	b = find_block(v, x->off & SC_EXIT_SOLO ? v->mode | SC_MODE_SOLO : v->mode);
	/* Making the block may have emptied the cache, and the exit with it */
	if (!b || v->code_written)
		return NULL;
	sc_fpu_save(v);
	cache_lock(v);
	if (!v->code_written)
		cache_chain_locked(c, x, b);
	cache_unlock(v);
	return v->code_written ? NULL : b;
}

/* A near branch to what is not an address is that branch's #GP, before it did anything. false:
 * a jump to a constant, or code that ran over the end; the fault is at the target then. */
static bool branch_undone(struct sc_vcpu *v)
{
	u32 from = (u32)v->scratch[0];

	if (!from)
		return false;
	v->rip = v->rip_page + (from & 0xffff) - 1;
	v->gpr[X86_RSP] += (u64)(s64)(s16)(from >> 16);
	return true;
}

/* Run translated code from v->rip until something needs the loop */
static void run_blocks(struct sc_vcpu *v)
{
	struct sc_cache *c = v->vm->cache;
	enum sc_tlb_kind k = mmu_kind(v);
	struct sc_block *b = NULL;
	u64 left;

	v->code_written = false;
	if (unlikely(v->ibtc_mode[k] != v->mode)) {
		mmu_ibtc_flush(v, k);
		v->ibtc_mode[k] = v->mode;
	}
	for (;;) {
		if (!b) {
			struct sc_ibtc *t = mmu_ibtc(v, k, v->rip);
			void *host = t->host;

			if (t->rip != v->rip) {
				u32 code = find_code(v);

				if (!code) {
					step(v);
					return;
				}
				if (v->code_written)
					return;
				remember(v, code);
				host = c->rx + code;
			}
			v->resume = host;
		} else {
			v->resume = c->rx + b->code_stashed;
		}
		v->rip_page = v->rip & PAGE_MASK;
		v->flags_stash = sc_stash_of(v->rflags);
		sc_fpu_load(v);
		left = sc_enter(v, v->resume);
		b = NULL;
		if (left == SC_LEFT_DONE) {
			v->stats.left_other++;
			return;
		}
		if (left == SC_LEFT_FAULT) {
			v->stats.left_fault++;
			if (!v->broken[0])
				step(v);
			return;
		}
		if (left == SC_LEFT_BRANCH) {
			v->stats.left_branch++;
			v->rflags = sc_unstash(v->rflags, v->flags_stash);
			if (unlikely(!sc_canonical(v->rip)) && branch_undone(v)) {
				step(v);
				return;
			}
			if (atomic_load(&v->attention)) {
				v->stats.left_attention++;
				sample(v, v->rip_page);
				sample(v, v->rip);
				return;
			}
			if (v->code_written)
				return;
			continue;
		}
		v->stats.left_exit++;
		b = through_exit(v, (struct sc_exit *)(c->meta + left));
		if (!b)
			return;
	}
}

/* [signal] A host instruction of translated code faulted: hand its guest instruction to the
 * interpreter, which finds the exception */
static bool fault_hook(struct sc_vcpu *v, struct sc_fault *f)
{
	static const struct { u8 guest, reg; } map[] = {
		{ X86_RAX, REG_RAX }, { X86_RCX, REG_RCX }, { X86_RDX, REG_RDX }, { X86_RBX, REG_RBX },
		{ X86_RSP, REG_R11 }, { X86_RBP, REG_RBP }, { X86_RSI, REG_RSI }, { X86_RDI, REG_RDI },
		{ X86_R12, REG_R12 }, { X86_R13, REG_R13 }, { X86_R14, REG_R14 }, { X86_R15, REG_R15 },
	};
	const struct sc_insn_map *m;
	const struct sc_block *b;
	unsigned i;

	if (!cache_pc_to_insn(v->vm->cache, f->pc, &b, &m))
		return false;
	for (i = 0; i < ARRAY_LEN(map); i++)
		v->gpr[map[i].guest] = f->gregs[map[i].reg];
	v->rip = v->rip_page + (m->guest & (PAGE_BYTES - 1));
	if (m->guest & SC_MAP_STASHED)
		v->rflags = sc_unstash(v->rflags, v->flags_stash);
	else
		v->rflags = (v->rflags & ~(u64)SC_ARITH) | (f->gregs[REG_EFL] & SC_ARITH);
	v->shadow[mmu_kind(v)] = (u64)f->gregs[REG_RSP];
	/* Windows and probes let an access go to guest RAM or to an address that is not canonical,
	 * a #GP. A host page fault is a fault of ours: no guest can be trusted to it. */
	if (f->gregs[REG_TRAPNO] == X86_VEC_PF) {
		static const char why[] = "translated code touched memory that is not the guest's";

		sc_copy(v->broken, why, sizeof(why));
	}
	f->gregs[REG_RAX] = SC_LEFT_FAULT;
	f->gregs[REG_RIP] = (long long)(u64)sc_leave;
	return true;
}

/* ---------------------------------------------------------- the loop */

static void on_throw(struct sc_vcpu *v)
{
	v->stats.exceptions++;
	v->exc_pending_db = false;
	v->watch_hits = 0;
	v->int_shadow = 0;
	v->halted = false;
	v->store_gpa = ~0ull;
	sc_deliver_exception(v);
}

static void dispatch(struct sc_vcpu *v, struct accel_exit_info *info)
{
	if (__builtin_setjmp(v->throw_buf))
		on_throw(v);
	for (;;) {
		u32 attn;

		if (v->intr_wait && (v->rflags & X86_FLAG_IF)) {
			v->intr_wait = false;
			sc_attention(v, SC_ATTN_INTR);
		}
		if (v->nmi_wait && !v->nmi_blocked) {
			v->nmi_wait = false;
			sc_attention(v, SC_ATTN_NMI);
		}
		attn = atomic_load_explicit(&v->attention, memory_order_relaxed);
		if (unlikely(attn & ~SC_ATTN_SINGLE) && attend(v, info))
			return;
		if (unlikely(v->shutdown)) {
			info->exit = ACCEL_EXIT_SHUTDOWN;
			return;
		}
		if (unlikely(v->broken[0])) {
			info->exit = ACCEL_EXIT_BROKEN;
			sc_copy(info->text, v->broken, sizeof(info->text));
			return;
		}
		if (v->halted && atomic_exchange(&v->pv_unhalt, false))
			v->halted = false;
		if (v->halted || v->wait_sipi) {
			/* Something may have come since attend() looked */
			if (atomic_load(&v->attention) & ~(u32)SC_ATTN_SINGLE)
				continue;
			info->exit = ACCEL_EXIT_HLT;
			info->hlt_irqs_off = v->wait_sipi || !(v->rflags & X86_FLAG_IF);
			return;
		}
		if (unlikely(v->debug_hit || gdb_stops(v))) {
			v->debug_hit = false;
			v->debug_resume = true;
			info->exit = ACCEL_EXIT_DEBUG;
			return;
		}
		if (v->int_shadow || (attn & SC_ATTN_SINGLE) || !(v->mode & SC_MODE_64) ||
		    checks_alignment(v))
			step(v);
		else
			run_blocks(v);
		/* SYSRET of a block may have set TF */
		if (unlikely(v->exc_pending_db))
			debug_trap(v);
	}
}

int sc_vcpu_run(struct accel_vcpu *av, struct accel_exit_info *info)
{
	struct sc_vcpu *v = of(av);
	u64 old_gs = gs_swap((u64)v), begin = __builtin_ia32_rdtsc();

	sc_zero(info, sizeof(*info));
	sc_fault_enter(v, fault_hook);
	cache_guest_enter(v);
	dispatch(v, info);
	sc_fpu_save(v);
	cache_guest_leave(v);
	sc_fault_leave();
	gs_swap(old_gs);
	v->stats.run_cycles += __builtin_ia32_rdtsc() - begin;
	return 0;
}

void sc_vcpu_kick(struct accel_vcpu *v)
{
	sc_attention(of(v), SC_ATTN_KICK);
}

int sc_vcpu_inject(struct accel_vcpu *av, enum accel_inject kind, u8 vector)
{
	struct sc_vcpu *v = of(av);

	switch (kind) {
	case ACCEL_INJECT_NMI: sc_attention(v, SC_ATTN_NMI); break;
	case ACCEL_INJECT_INIT: sc_attention(v, SC_ATTN_INIT); break;
	case ACCEL_INJECT_INTR: sc_attention(v, SC_ATTN_INTR); break;
	case ACCEL_INJECT_SIPI:
		atomic_store(&v->sipi_vector, vector);
		sc_attention(v, SC_ATTN_SIPI);
		break;
	}
	return 0;
}

bool sc_vcpu_has_work(struct accel_vcpu *v)
{
	return (atomic_load(&of(v)->attention) & ~(u32)(SC_ATTN_SINGLE | SC_ATTN_REQUEST)) ||
	       atomic_load(&of(v)->pv_unhalt);
}

int sc_vcpu_debug_set(struct accel_vcpu *av, const u64 *breakpoints, unsigned n, bool single)
{
	struct sc_vcpu *v = of(av);
	unsigned i;

	if (n > ARRAY_LEN(v->bp))
		return -EINVAL;
	for (i = 0; i < n; i++)
		v->bp[i] = breakpoints[i];
	v->num_bp = n;
	v->debug_step = single;
	v->debug_hit = false;
	sc_mode_update(v);
	return 0;
}

int sc_vcpu_cpuid_set(struct accel_vcpu *av, const struct cpuid_entry *table, unsigned n)
{
	struct sc_vcpu *v = of(av);

	if (n > ACCEL_MAX_CPUID)
		return -E2BIG;
	sc_copy(v->cpuid, table, n * sizeof(*table));
	v->num_cpuid = n;
	sc_cpuid_changed(v);
	return 0;
}

int sc_vcpu_create(struct accel_vm *avm, unsigned cpu, struct accel_vcpu **out, struct hk_err *err)
{
	struct sc_vm *vm = (struct sc_vm *)avm;
	struct sc_vcpu *v;
	int rc;

	if (cpu >= vm->num_cpus || atomic_load(&vm->cpu[cpu]))
		return err_set(err, -EINVAL, "vCPU %u exists or is out of range", cpu);
	v = mmap(NULL, sizeof(*v), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (v == MAP_FAILED)
		return err_set(err, -ENOMEM, "no memory for vCPU %u", cpu);
	v->base.ops = avm->ops;
	v->vm = vm;
	v->cpu = cpu;
	v->self = (u64)v;
	v->store_gpa = ~0ull;
	v->maxphyaddr_rsvd = ~(BIT64(46) - 1) & 0x000fffffffffffffull;
	rc = sc_interp_init(v);
	if (!rc)
		rc = sc_shadow_init(v);
	if (rc) {
		sc_interp_fini(v);
		munmap(v, sizeof(*v));
		return err_set(err, rc, "no memory for vCPU %u", cpu);
	}
	sc_fpu_components(v);
	sc_cpu_reset(v, true);
	sc_fpu_reset(v);
	mmu_flush_all(v);
	v->wait_sipi = cpu != 0;
	atomic_store(&vm->cpu[cpu], v);
	*out = &v->base;
	return 0;
}

void sc_vcpu_destroy(struct accel_vcpu *av)
{
	struct sc_vcpu *v = of(av);

	if (!v)
		return;
	atomic_store(&v->vm->cpu[v->cpu], NULL);
	sc_native_fini(v);
	sc_shadow_fini(v);
	sc_interp_fini(v);
	munmap(v, sizeof(*v));
}
