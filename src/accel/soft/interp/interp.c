// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/interp/interp.c - Fetch, decode cache, dispatch of one instruction
 *
 * The decode cache compares the bytes themselves: sc_fetch has them at hand anyway, the
 * decoder depends on nothing else but the code size, and so no store, no mapping change
 * and no other vCPU can make an entry wrong. Pages need no tracking on its behalf. */
#include "accel/soft/interp/interp.h"

#include <errno.h>
#include <stdlib.h>

#include "accel/soft/mmu/mmu.h"

#define CACHE_BITS 12

struct sc_interp_cache {
	bool features_known;
	bool feature[SC_NUM_FEATURES];
	struct sc_insn insn[1 << CACHE_BITS]; /* len 0: free */
};

static sc_handler *const handlers[SC_NUM_CLASSES] = {
	[SC_C_ALU] = sc_h_alu,
	[SC_C_TEST] = sc_h_test,
	[SC_C_INCDEC] = sc_h_incdec,
	[SC_C_MUL] = sc_h_mul,
	[SC_C_IMUL] = sc_h_imul,
	[SC_C_SHIFT] = sc_h_shift,
	[SC_C_SHD] = sc_h_shd,
	[SC_C_BT] = sc_h_bt,
	[SC_C_SCAN] = sc_h_scan,
	[SC_C_BSWAP] = sc_h_bswap,
	[SC_C_MOVBE] = sc_h_movbe,
	[SC_C_CRC32] = sc_h_crc32,
	[SC_C_BMI] = sc_h_bmi,
	[SC_C_ADX] = sc_h_adx,
	[SC_C_BCD] = sc_h_bcd,
	[SC_C_MOV] = sc_h_mov,
	[SC_C_MOVZX] = sc_h_movzx,
	[SC_C_MOVSX] = sc_h_movsx,
	[SC_C_MOV_SEG] = sc_h_mov_seg,
	[SC_C_LOAD_FAR] = sc_h_load_far,
	[SC_C_XCHG] = sc_h_xchg,
	[SC_C_XADD] = sc_h_xadd,
	[SC_C_CMPXCHG] = sc_h_cmpxchg,
	[SC_C_CMPXCHG8B] = sc_h_cmpxchg8b,
	[SC_C_CMOV] = sc_h_cmov,
	[SC_C_SETCC] = sc_h_setcc,
	[SC_C_LEA] = sc_h_lea,
	[SC_C_PUSH] = sc_h_push,
	[SC_C_POP] = sc_h_pop,
	[SC_C_PUSHA] = sc_h_pusha,
	[SC_C_POPA] = sc_h_popa,
	[SC_C_PUSHF] = sc_h_pushf,
	[SC_C_POPF] = sc_h_popf,
	[SC_C_ENTER] = sc_h_enter,
	[SC_C_LEAVE] = sc_h_leave,
	[SC_C_LAHF] = sc_h_lahf,
	[SC_C_SAHF] = sc_h_sahf,
	[SC_C_FLAG] = sc_h_flag,
	[SC_C_SALC] = sc_h_salc,
	[SC_C_XLAT] = sc_h_xlat,
	[SC_C_CBW] = sc_h_cbw,
	[SC_C_CWD] = sc_h_cwd,
	[SC_C_BOUND] = sc_h_bound,
	[SC_C_ARPL] = sc_h_arpl,
	[SC_C_NOP] = sc_h_nop,
	[SC_C_NOP_OR_UD] = sc_h_nop_or_ud,
	[SC_C_MOVS] = sc_h_movs,
	[SC_C_CMPS] = sc_h_cmps,
	[SC_C_SCAS] = sc_h_scas,
	[SC_C_LODS] = sc_h_lods,
	[SC_C_STOS] = sc_h_stos,
	[SC_C_INS] = sc_h_ins,
	[SC_C_OUTS] = sc_h_outs,
	[SC_C_JCC] = sc_h_jcc,
	[SC_C_JCXZ] = sc_h_jcxz,
	[SC_C_LOOP] = sc_h_loop,
	[SC_C_JMP] = sc_h_jmp,
	[SC_C_CALL] = sc_h_call,
	[SC_C_RET] = sc_h_ret,
	[SC_C_JMPF] = sc_h_jmpf,
	[SC_C_CALLF] = sc_h_callf,
	[SC_C_RETF] = sc_h_retf,
	[SC_C_IRET] = sc_h_iret,
	[SC_C_INT] = sc_h_int,
	[SC_C_SYSCALL] = sc_h_syscall,
	[SC_C_HLT] = sc_h_hlt,
	[SC_C_CLI] = sc_h_cli,
	[SC_C_STI] = sc_h_sti,
	[SC_C_CLTS] = sc_h_clts,
	[SC_C_DTABLE] = sc_h_dtable,
	[SC_C_LDTR] = sc_h_ldtr,
	[SC_C_SMSW] = sc_h_smsw,
	[SC_C_LMSW] = sc_h_lmsw,
	[SC_C_INVLPG] = sc_h_invlpg,
	[SC_C_WBINVD] = sc_h_wbinvd,
	[SC_C_MOV_CR] = sc_h_mov_cr,
	[SC_C_MOV_DR] = sc_h_mov_dr,
	[SC_C_RDMSR] = sc_h_rdmsr,
	[SC_C_WRMSR] = sc_h_wrmsr,
	[SC_C_RDTSC] = sc_h_rdtsc,
	[SC_C_CPUID] = sc_h_cpuid,
	[SC_C_IN] = sc_h_in,
	[SC_C_OUT] = sc_h_out,
	[SC_C_SWAPGS] = sc_h_swapgs,
	[SC_C_FSGSBASE] = sc_h_fsgsbase,
	[SC_C_CLFLUSH] = sc_h_clflush,
	[SC_C_FENCE] = sc_h_fence,
	[SC_C_LAR] = sc_h_lar,
	[SC_C_VERR] = sc_h_verr,
	[SC_C_XGETBV] = sc_h_xgetbv,
	[SC_C_XSETBV] = sc_h_xsetbv,
	[SC_C_HYPERCALL] = sc_h_hypercall,
	[SC_C_RDRAND] = sc_h_rdrand,
	[SC_C_MOVNTI] = sc_h_mov,
};

/* ------------------------------------------------------------- features */

enum { EAX, EBX, ECX, EDX };

static bool cpuid_bit(const struct sc_vcpu *v, u32 leaf, u32 subleaf, unsigned reg, unsigned bit)
{
	for (unsigned i = 0; i < v->num_cpuid; i++) {
		const struct cpuid_entry *e = &v->cpuid[i];
		u32 r[4] = { e->eax, e->ebx, e->ecx, e->edx };

		if (e->leaf == leaf && (!e->has_subleaf || e->subleaf == subleaf))
			return r[reg] >> bit & 1;
	}
	return false;
}

static void learn_features(struct sc_vcpu *v, struct sc_interp_cache *c)
{
	static const struct {
		u32 leaf;
		u8 reg, bit;
	} where[SC_NUM_FEATURES] = {
		[SC_F_POPCNT] = { 1, ECX, 23 },
		[SC_F_LZCNT] = { 0x80000001, ECX, 5 },
		[SC_F_BMI1] = { 7, EBX, 3 },
		[SC_F_BMI2] = { 7, EBX, 8 },
		[SC_F_ADX] = { 7, EBX, 19 },
		[SC_F_MOVBE] = { 1, ECX, 22 },
		[SC_F_SSE42] = { 1, ECX, 20 },
		[SC_F_CX16] = { 1, ECX, 13 },
		[SC_F_RDRAND] = { 1, ECX, 30 },
		[SC_F_RDSEED] = { 7, EBX, 18 },
		[SC_F_RDTSCP] = { 0x80000001, EDX, 27 },
		[SC_F_RDPID] = { 7, ECX, 22 },
		[SC_F_FSGSBASE] = { 7, EBX, 0 },
		[SC_F_CLFLUSHOPT] = { 7, EBX, 23 },
		[SC_F_CLWB] = { 7, EBX, 24 },
		[SC_F_SERIALIZE] = { 7, EDX, 14 },
		[SC_F_XSAVE] = { 1, ECX, 26 },
		[SC_F_SSE2] = { 1, EDX, 26 },
	};

	c->feature[SC_F_NONE] = true;
	for (unsigned f = 1; f < SC_NUM_FEATURES; f++)
		c->feature[f] = cpuid_bit(v, where[f].leaf, 0, where[f].reg, where[f].bit);
	c->features_known = true;
}

bool sc_interp_has(struct sc_vcpu *v, unsigned f)
{
	if (!v->interp->features_known)
		learn_features(v, v->interp);
	return v->interp->feature[f];
}

/* What an instruction is on a CPU without its feature */
static void without_feature(struct sc_insn *in)
{
	if (in->cls == SC_C_SCAN && in->sub == SC_TZCNT)
		in->sub = SC_BSF; /* the prefix is ignored */
	else if (in->cls == SC_C_SCAN && in->sub == SC_LZCNT)
		in->sub = SC_BSR;
	else
		in->cls = SC_C_UD;
}

/* ---------------------------------------------------------- fetch, decode */

static inline u64 load64(const u8 *p)
{
	return *(const u64 *)(const void *)p;
}

/* Is @in what the @n bytes of @buf (16 readable) mean? */
static inline bool matches(const struct sc_insn *in, unsigned code, const u8 *buf, unsigned n)
{
	u64 lo = load64(in->raw) ^ load64(buf);

	_Static_assert(offsetof(struct sc_insn, raw) + 16 <= sizeof(struct sc_insn),
		       "raw is compared 16 bytes at a time");
	if (!in->len || in->code != code || in->len > n)
		return false;
	if (in->len <= 8)
		return !(lo << (64 - in->len * 8));
	return !lo && !((load64(in->raw + 8) ^ load64(buf + 8)) << (128 - in->len * 8));
}

/* sc_fetch for the usual case, all 16 bytes of @buf in one page of RAM. Return: bytes to be had */
static inline unsigned fetch_bytes(struct sc_vcpu *v, gva_t a, u8 *buf)
{
	gpa_t gpa;

	if (likely((a & ~PAGE_MASK) <= PAGE_BYTES - 16)) {
		const u8 *p = sc_phys_ptr(v->vm, mmu_fetch_gpa(v, a), 16);

		if (likely(p)) {
			*(u64 *)(void *)buf = load64(p);
			*(u64 *)(void *)(buf + 8) = load64(p + 8);
			return 15;
		}
	}
	return sc_fetch(v, a, buf, &gpa);
}

static const struct sc_insn *fetch(struct sc_vcpu *v, unsigned code)
{
	struct sc_interp_cache *c = v->interp;
	u64 a = v->rip, room = 15;
	struct sc_insn *in;
	ALIGNED(8) u8 buf[16];
	unsigned n;

	if (code == 8) {
		if (unlikely(!sc_canonical(a)))
			sc_gp0(v);
	} else {
		const struct x86_segment *cs = &v->seg[X86_CS];

		if (a > cs->limit)
			sc_gp0(v);
		room = (u64)cs->limit - a + 1;
		a = (u32)(cs->base + a);
	}
	n = fetch_bytes(v, a, buf);
	in = &c->insn[(a ^ a >> CACHE_BITS) & ((1 << CACHE_BITS) - 1)];
	if (likely(matches(in, code, buf, (unsigned)MIN(n, room))))
		return in;

	in->len = 0;
	switch (sc_decode(v, code, buf, (unsigned)MIN(n, room), in)) {
	case SC_DEC_OK: break;
	case SC_DEC_MORE:
		in->len = 0;
		if (room <= n)
			sc_gp0(v);
		a += n;
		sc_fetch_fault(v, code == 8 ? a : (u32)a);
	case SC_DEC_TOO_LONG:
		in->len = 0;
		sc_gp0(v);
	default:
		in->len = 0;
		sc_ud(v);
	}
	if (!sc_interp_has(v, in->feature))
		without_feature(in);
	return in;
}

void sc_interp_one(struct sc_vcpu *v)
{
	unsigned code = sc_code64(v) ? 8 : v->seg[X86_CS].attr & X86_SEG_DB ? 4 : 2;
	const struct sc_insn *in = fetch(v, code);
	unsigned cls = in->cls;
	u64 next = v->rip + in->len;

	if (code != 8)
		next = (u32)next;
	v->rf_next = false;
	if (likely(handlers[cls]))
		next = handlers[cls](v, in, next);
	else if (cls != SC_C_NATIVE || !sc_native_exec(v, in))
		sc_ud(v);
	v->rip = next;
	/* RF covers all of a string instruction */
	if (cls != SC_C_IRET && !v->rf_next)
		v->rflags &= ~(u64)X86_FLAG_RF;
}

/* ---------------------------------------------------------------- set-up */

int sc_interp_init(struct sc_vcpu *v)
{
	v->interp = calloc(1, sizeof(*v->interp));
	return v->interp ? 0 : -ENOMEM;
}

void sc_interp_fini(struct sc_vcpu *v)
{
	free(v->interp);
	v->interp = NULL;
}
