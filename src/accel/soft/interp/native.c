// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/interp/native.c - x87, MMX, SSE and AVX instructions, run by the host
 *
 * Order of events as the SDM gives it: #UD for what the guest's CPUID, CR0, CR4, XCR0 do not
 * allow, #NM, a waiting x87 exception (#MF), faults of the memory operand, then the
 * instruction itself, whose own faults come back from the snippet.
 *
 * A memory operand is used in place when the page is plain RAM, else through a buffer
 * with the same alignment, so that the host raises the alignment #GP that is due. Stores
 * into the buffer are carried out after sc_check_write() said that they can be.
 *
 * CR0.NE: with NE clear a PC signals x87 errors through IRQ 13. Nobody since the 1980s
 * relies on it; #MF is raised in both cases.
 *
 * Pointers of the last x87 instruction (FIP, FDP, FOP) are the host's, of no use to the
 * guest and none of its business: wherever they would show they read 0. */
#include <Zydis/Mnemonic.h>
#include <Zydis/Generated/EnumISASet.h>

#include "accel/soft/interp/native.h"

#define MXCSR_MM BIT(17)

static bool is_x87(const struct sc_insn *in)
{
	return in->encoding == SC_ENC_LEGACY && in->map == 0 &&
	       ((in->opcode & 0xf8) == 0xd8 || in->opcode == 0x9b);
}

static bool has_kind(const struct sc_insn *in, enum sc_op_kind kind)
{
	for (unsigned i = 0; i < in->nops; i++)
		if (in->op[i].kind == kind)
			return true;
	return false;
}

static enum sc_nat_feature feature_of(const struct sc_insn *in)
{
	if (is_x87(in))
		return in->isa_set == ZYDIS_ISA_SET_SSE3X87	      ? SC_NF_SSE3
		       : in->isa_set == ZYDIS_ISA_SET_FCMOV ||
				 in->isa_set == ZYDIS_ISA_SET_PPRO ? SC_NF_CMOV
								   : SC_NF_FPU;
	switch (in->isa_set) {
	case ZYDIS_ISA_SET_X87: return SC_NF_FPU;
	case ZYDIS_ISA_SET_PENTIUMMMX: return SC_NF_MMX;
	case ZYDIS_ISA_SET_FXSAVE:
	case ZYDIS_ISA_SET_FXSAVE64: return SC_NF_FXSR;
	case ZYDIS_ISA_SET_SSE:
	case ZYDIS_ISA_SET_SSEMXCSR: return SC_NF_SSE;
	case ZYDIS_ISA_SET_SSE2:
	case ZYDIS_ISA_SET_SSE2MMX: return SC_NF_SSE2;
	case ZYDIS_ISA_SET_SSE3: return SC_NF_SSE3;
	case ZYDIS_ISA_SET_SSSE3:
	case ZYDIS_ISA_SET_SSSE3MMX: return SC_NF_SSSE3;
	case ZYDIS_ISA_SET_SSE4: return SC_NF_SSE41;
	case ZYDIS_ISA_SET_SSE42: return SC_NF_SSE42;
	case ZYDIS_ISA_SET_SSE4A: return SC_NF_SSE4A;
	case ZYDIS_ISA_SET_AES:
	case ZYDIS_ISA_SET_AVXAES: return SC_NF_AES;
	case ZYDIS_ISA_SET_PCLMULQDQ: return SC_NF_PCLMUL;
	case ZYDIS_ISA_SET_SHA: return SC_NF_SHA;
	case ZYDIS_ISA_SET_AVX:
		/* the VEX form of PCLMULQDQ is filed under AVX */
		return in->mnemonic == ZYDIS_MNEMONIC_VPCLMULQDQ ? SC_NF_PCLMUL : SC_NF_AVX;
	case ZYDIS_ISA_SET_AVX2:
	case ZYDIS_ISA_SET_AVX2GATHER: return SC_NF_AVX2;
	case ZYDIS_ISA_SET_FMA: return SC_NF_FMA;
	case ZYDIS_ISA_SET_F16C: return SC_NF_F16C;
	case ZYDIS_ISA_SET_VAES: return SC_NF_VAES;
	case ZYDIS_ISA_SET_VPCLMULQDQ: return SC_NF_VPCLMUL;
	case ZYDIS_ISA_SET_GFNI:
	case ZYDIS_ISA_SET_AVX_GFNI: return SC_NF_GFNI;
	case ZYDIS_ISA_SET_AVX_VNNI: return SC_NF_AVX_VNNI;
	case ZYDIS_ISA_SET_XSAVE: return SC_NF_XSAVE;
	case ZYDIS_ISA_SET_XSAVEOPT: return SC_NF_XSAVEOPT;
	case ZYDIS_ISA_SET_XSAVEC: return SC_NF_XSAVEC;
	default: return SC_NF_NONE;
	}
}

unsigned sc_native_env_size(const struct sc_insn *in)
{
	bool p66 = in->flags & SC_I_HAS_66;

	if (in->rex & 8)
		return 4; /* there is no 64-bit format, but W outdoes 66 */
	return (in->code == 2) != p66 ? 2 : 4;
}

static enum sc_nat_kind kind_of(const struct sc_insn *in)
{
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_FNSAVE: return SC_NAT_ENV;
	case ZYDIS_MNEMONIC_FLDENV:
	case ZYDIS_MNEMONIC_FRSTOR: return SC_NAT_LDENV;
	case ZYDIS_MNEMONIC_FWAIT: return SC_NAT_WAIT;
	case ZYDIS_MNEMONIC_FXSAVE:
	case ZYDIS_MNEMONIC_FXSAVE64: return SC_NAT_FXSAVE;
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64: return SC_NAT_FXRSTOR;
	case ZYDIS_MNEMONIC_XSAVE:
	case ZYDIS_MNEMONIC_XSAVE64: return SC_NAT_XSAVE;
	case ZYDIS_MNEMONIC_XSAVEOPT:
	case ZYDIS_MNEMONIC_XSAVEOPT64: return SC_NAT_XSAVEOPT;
	case ZYDIS_MNEMONIC_XSAVEC:
	case ZYDIS_MNEMONIC_XSAVEC64: return SC_NAT_XSAVEC;
	case ZYDIS_MNEMONIC_XRSTOR:
	case ZYDIS_MNEMONIC_XRSTOR64: return SC_NAT_XRSTOR;
	case ZYDIS_MNEMONIC_MASKMOVQ:
	case ZYDIS_MNEMONIC_MASKMOVDQU:
	case ZYDIS_MNEMONIC_VMASKMOVDQU: return SC_NAT_MASKMOV;
	case ZYDIS_MNEMONIC_VMASKMOVPS:
	case ZYDIS_MNEMONIC_VMASKMOVPD:
	case ZYDIS_MNEMONIC_VPMASKMOVD:
	case ZYDIS_MNEMONIC_VPMASKMOVQ: return SC_NAT_VMASKMOV;
	case ZYDIS_MNEMONIC_VZEROALL:
	case ZYDIS_MNEMONIC_VZEROUPPER: return in->code == 8 ? SC_NAT_PLAIN : SC_NAT_VZERO;
	default:
		if (in->flags & SC_I_VSIB)
			return SC_NAT_GATHER;
		return SC_NAT_PLAIN;
	}
}

static enum sc_nat_check check_of(const struct sc_insn *in, enum sc_nat_kind kind)
{
	switch (kind) {
	case SC_NAT_FXSAVE:
	case SC_NAT_FXRSTOR: return SC_NAT_C_FXSAVE;
	case SC_NAT_XSAVE:
	case SC_NAT_XSAVEOPT:
	case SC_NAT_XSAVEC:
	case SC_NAT_XRSTOR: return SC_NAT_C_XSAVE;
	case SC_NAT_WAIT: return SC_NAT_C_WAIT;
	default: break;
	}
	if (in->encoding == SC_ENC_VEX)
		return SC_NAT_C_VEX;
	if (is_x87(in))
		return SC_NAT_C_X87;
	if (in->mnemonic == ZYDIS_MNEMONIC_EMMS ||
	    (has_kind(in, SC_OP_MMX) && !has_kind(in, SC_OP_XMM)))
		return SC_NAT_C_MMX;
	return SC_NAT_C_SSE;
}

/* Does a misaligned memory operand raise #GP? The host would tell, but only after the page
 * faults that come later by rights. */
static bool must_align(const struct sc_insn *in)
{
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_MOVUPS:
	case ZYDIS_MNEMONIC_MOVUPD:
	case ZYDIS_MNEMONIC_MOVDQU:
	case ZYDIS_MNEMONIC_LDDQU:
	case ZYDIS_MNEMONIC_PCMPESTRI:
	case ZYDIS_MNEMONIC_PCMPESTRM:
	case ZYDIS_MNEMONIC_PCMPISTRI:
	case ZYDIS_MNEMONIC_PCMPISTRM: return false;
	case ZYDIS_MNEMONIC_VMOVAPS:
	case ZYDIS_MNEMONIC_VMOVAPD:
	case ZYDIS_MNEMONIC_VMOVDQA:
	case ZYDIS_MNEMONIC_VMOVNTPS:
	case ZYDIS_MNEMONIC_VMOVNTPD:
	case ZYDIS_MNEMONIC_VMOVNTDQ:
	case ZYDIS_MNEMONIC_VMOVNTDQA: return true;
	default:
		/* SHA: Intel wants alignment, AMD does not */
		return in->encoding == SC_ENC_LEGACY && in->flags & SC_I_MEM &&
		       in->mem_size == 16 && in->isa_set != ZYDIS_ISA_SET_SHA;
	}
}

void sc_native_classify(const struct sc_insn *in, struct sc_nat *e)
{
	e->feature = feature_of(in);
	e->kind = kind_of(in);
	if (e->feature == SC_NF_NONE ||
	    (in->encoding != SC_ENC_LEGACY && in->encoding != SC_ENC_VEX)) {
		e->kind = SC_NAT_UD;
		return;
	}
	e->check = check_of(in, e->kind);
	if (is_x87(in)) {
		e->flags |= SC_NAT_F_X87;
		if (in->flags & SC_I_MEM && in->op[in->mem_op].act & SC_ACT_W)
			e->flags |= SC_NAT_F_PREREAD;
		switch (in->mnemonic) {
		case ZYDIS_MNEMONIC_FNINIT:
		case ZYDIS_MNEMONIC_FNCLEX:
		case ZYDIS_MNEMONIC_FNSTSW:
		case ZYDIS_MNEMONIC_FNSTCW:
		case ZYDIS_MNEMONIC_FNSTENV:
		case ZYDIS_MNEMONIC_FNSAVE:
		case ZYDIS_MNEMONIC_FENI8087_NOP:
		case ZYDIS_MNEMONIC_FDISI8087_NOP:
		case ZYDIS_MNEMONIC_FSETPM287_NOP: break;
		default: e->flags |= SC_NAT_F_PENDING;
		}
	} else if (has_kind(in, SC_OP_MMX) || in->mnemonic == ZYDIS_MNEMONIC_EMMS) {
		/* An SSE instruction with an MMX register (CVTPI2PS) may raise either; the
		 * x87 one is tested before, so what the snippet raises is #XM */
		e->flags |= SC_NAT_F_PENDING;
	}
	if (must_align(in))
		e->flags |= SC_NAT_F_ALIGNED;
}

static void check(struct sc_vcpu *v, const struct sc_nat *e)
{
	bool em = v->cr0 & X86_CR0_EM, ts = v->cr0 & X86_CR0_TS;

	if (!(v->native->have >> e->feature & 1))
		sc_ud(v);
	switch ((enum sc_nat_check)e->check) {
	case SC_NAT_C_X87:
	case SC_NAT_C_FXSAVE:
		ts |= em;
		break;
	case SC_NAT_C_WAIT:
		ts = ts && v->cr0 & X86_CR0_MP;
		break;
	case SC_NAT_C_SSE:
		if (!(v->cr4 & X86_CR4_OSFXSR))
			sc_ud(v);
		/* fall through */
	case SC_NAT_C_MMX:
		if (em)
			sc_ud(v);
		break;
	case SC_NAT_C_VEX:
		if (!sc_prot_not_vm86(v) || !(v->native->have & BIT(SC_NF_AVX)) ||
		    (v->xcr0 & 6) != 6)
			sc_ud(v);
		/* fall through */
	case SC_NAT_C_XSAVE:
		if (!(v->cr4 & X86_CR4_OSXSAVE))
			sc_ud(v);
		break;
	}
	if (ts)
		sc_throw(v, X86_VEC_NM);
}

static void check_pending(struct sc_vcpu *v)
{
	u16 fsw;

	sc_fpu_load(v);
	__asm__ volatile("fnstsw %0" : "=a"(fsw));
	if (unlikely(fsw & SC_FSW_ES))
		sc_throw(v, X86_VEC_MF);
}

/* AMD's misaligned mode (MXCSR.MM) lets loads of arithmetic instructions pass: then the host
 * decides in its own time */
static void check_aligned(struct sc_vcpu *v, gva_t a, unsigned size)
{
	u32 mxcsr;

	if (likely(!(a & (size - 1))))
		return;
	sc_fpu_load(v);
	__asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
	if (!(mxcsr & MXCSR_MM))
		sc_gp0(v);
}

/* Alignment checks (SDM 3A 6.15, #AC) come before the page is looked at */
void sc_native_check_ac(struct sc_vcpu *v, gva_t a, unsigned align)
{
	if (unlikely(v->rflags & X86_FLAG_AC) && a & (align - 1) && v->cpl == 3 &&
	    v->cr0 & X86_CR0_AM)
		sc_throw_error(v, X86_VEC_AC, 0);
}

/* Place in the buffer that has the alignment of @a */
static u8 *bounce_at(struct sc_vcpu *v, gva_t a)
{
	return v->native->bounce + (a & 63);
}

static void run_mem(struct sc_vcpu *v, const struct sc_insn *in, const struct sc_nat *e)
{
	unsigned act = in->op[in->mem_op].act, size = in->mem_size;
	bool write = act & SC_ACT_W;
	gva_t a;
	void *p;

	if (unlikely(!size || size > 256))
		sc_ud(v);
	if (e->flags & SC_NAT_F_ALIGNED) /* before the segment's limit, too */
		check_aligned(v, sc_ea(v, in) + (sc_code64(v) && in->seg < X86_FS ? 0 : v->seg[in->seg].base),
			      size);
	a = sc_lin_any(v, in->seg, sc_ea(v, in), size, write);
	sc_native_check_ac(v, a, size == 10 ? 8 : MIN(size, 16u));
	p = write ? sc_rw_ptr(v, a, size) : sc_r_ptr(v, a, size);
	if (likely(p)) {
		sc_native_call(v, e, p);
		if (write)
			sc_store_done(v);
		return;
	}
	p = bounce_at(v, a);
	if (write)
		sc_check_write(v, a, size);
	if (!write || act & SC_ACT_R || e->flags & SC_NAT_F_PREREAD)
		sc_read_bytes(v, a, p, size);
	sc_native_call(v, e, p);
	if (write)
		sc_write_bytes(v, a, p, size);
}

/* FNSTENV and FNSAVE, in the 14 and 28 byte formats of SDM 1, 8.1.10. The pointers are
 * cleared in the copy; the words between them that read as ones stay. */
static void run_env_store(struct sc_vcpu *v, const struct sc_insn *in, const struct sc_nat *e)
{
	unsigned opsize = sc_native_env_size(in), env = opsize * 7;
	unsigned size = in->mnemonic == ZYDIS_MNEMONIC_FNSAVE ? env + 80 : env;
	gva_t a = sc_lin_any(v, in->seg, sc_ea(v, in), size, true);
	u8 *buf = bounce_at(v, a);

	sc_native_check_ac(v, a, opsize);
	sc_check_write(v, a, size);
	sc_native_call(v, e, buf);
	if (opsize == 2) {
		sc_zero(buf + 6, 8);
	} else {
		sc_zero(buf + 12, 12);
		sc_zero(buf + 24, 2);
	}
	sc_write_bytes(v, a, buf, size);
}

static void run_env_load(struct sc_vcpu *v, const struct sc_insn *in, const struct sc_nat *e)
{
	unsigned env = sc_native_env_size(in) * 7;
	unsigned size = in->mnemonic == ZYDIS_MNEMONIC_FRSTOR ? env + 80 : env;
	gva_t a = sc_lin_any(v, in->seg, sc_ea(v, in), size, false);
	u8 *buf = bounce_at(v, a);

	sc_native_check_ac(v, a, sc_native_env_size(in));
	sc_read_bytes(v, a, buf, size);
	sc_native_call(v, e, buf);
}

bool sc_native_exec(struct sc_vcpu *v, const struct sc_insn *in)
{
	const struct sc_nat *e;

	if (unlikely(!v->native) && sc_native_init(v)) {
		static const char why[] = "no executable memory for native instructions";

		sc_copy(v->broken, why, sizeof(why));
		sc_throw_error(v, X86_VEC_MC, 0);
	}
	e = sc_native_find(v, in);
	if (e->kind == SC_NAT_UD || in->flags & SC_I_LOCK)
		return false;
	check(v, e);
	if (e->flags & SC_NAT_F_PENDING)
		check_pending(v);
	switch ((enum sc_nat_kind)e->kind) {
	case SC_NAT_PLAIN:
		if (in->flags & SC_I_MEM)
			run_mem(v, in, e);
		else
			sc_native_call(v, e, NULL);
		return true;
	case SC_NAT_ENV: run_env_store(v, in, e); return true;
	case SC_NAT_LDENV: run_env_load(v, in, e); return true;
	case SC_NAT_WAIT: return true;
	case SC_NAT_FXSAVE: sc_native_fxsave(v, in); return true;
	case SC_NAT_FXRSTOR: sc_native_fxrstor(v, in); return true;
	case SC_NAT_XSAVE:
	case SC_NAT_XSAVEOPT:
	case SC_NAT_XSAVEC: sc_native_xsave(v, in, e->kind); return true;
	case SC_NAT_XRSTOR: sc_native_xrstor(v, in); return true;
	case SC_NAT_MASKMOV: sc_native_maskmov(v, in); return true;
	case SC_NAT_VMASKMOV: sc_native_vmaskmov(v, in); return true;
	case SC_NAT_GATHER: sc_native_gather(v, in); return true;
	case SC_NAT_VZERO: sc_native_vzero(v, in); return true;
	case SC_NAT_UD: break;
	}
	return false;
}
