// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/interp/native_xsave.c - FXSAVE, FXRSTOR, XSAVE, XSAVEOPT, XSAVEC, XRSTOR
 *
 * Worked out in C between v->xsave and guest memory (SDM 1, chapter 13 and 10.5): the
 * host's own instructions would store the host's x87 pointers, and components that the
 * guest has not enabled. With three components the compacted format puts AVX state where
 * the standard one does, at 576.
 *
 * Outside 64-bit mode registers 8 to 15 are neither stored nor loaded.
 *
 * Task switches and the dynamic linker use these a lot, so 64-bit code has a short way
 * through the host's instruction: a save straight to guest memory when no x87 pointers are in
 * play, a restore from a copy (another vCPU could change the header after it was checked). */
#include "accel/soft/interp/native.h"

static gva_t operand(struct sc_vcpu *v, const struct sc_insn *in, unsigned size, unsigned align,
		     bool write)
{
	gva_t a = sc_lin_any(v, in->seg, sc_ea(v, in), size, write);

	if (a & (align - 1))
		sc_gp0(v);
	return a;
}

static unsigned num_vec(const struct sc_vcpu *v)
{
	return sc_code64(v) ? 16 : 8;
}

/* x87 part of the legacy region: all but MXCSR and its mask */
static void x87_image(struct sc_vcpu *v, u8 *img)
{
	sc_copy(img, v->xsave, SC_XS_FOP);
	sc_zero(img + SC_XS_FOP, SC_XS_MXCSR - SC_XS_FOP);
	sc_copy(img + SC_XS_ST, v->xsave + SC_XS_ST, SC_XS_XMM - SC_XS_ST);
}

static void x87_take(struct sc_vcpu *v, const u8 *img)
{
	sc_copy(v->xsave, img, SC_XS_FOP);
	sc_zero(v->xsave + SC_XS_FOP, SC_XS_MXCSR - SC_XS_FOP);
	sc_copy(v->xsave + SC_XS_ST, img + SC_XS_ST, SC_XS_XMM - SC_XS_ST);
}

static void mxcsr_image(struct sc_vcpu *v, u8 *img)
{
	sc_copy(img + SC_XS_MXCSR, v->xsave + SC_XS_MXCSR, 4);
	sc_copy(img + SC_XS_MXCSR_MASK, &v->mxcsr_mask, 4);
}

static void set_bv(struct sc_vcpu *v, u64 bv)
{
	sc_xs_put(v, SC_XS_BV, bv, 8);
}

void sc_native_fxsave(struct sc_vcpu *v, const struct sc_insn *in)
{
	gva_t a = operand(v, in, 512, 16, true);
	unsigned len = SC_XS_XMM + 16 * num_vec(v);
	u8 *img = v->native->bounce;

	sc_check_write(v, a, 512);
	sc_fpu_save(v);
	x87_image(v, img);
	mxcsr_image(v, img);
	sc_copy(img + SC_XS_XMM, v->xsave + SC_XS_XMM, 16 * num_vec(v));
	sc_write_bytes(v, a, img, len);
}

void sc_native_fxrstor(struct sc_vcpu *v, const struct sc_insn *in)
{
	gva_t a = operand(v, in, 512, 16, false);
	u8 *img = v->native->bounce;
	u32 mxcsr;

	sc_read_bytes(v, a, img, 512);
	sc_copy(&mxcsr, img + SC_XS_MXCSR, 4);
	if (mxcsr & ~v->mxcsr_mask)
		sc_gp0(v);
	sc_fpu_save(v);
	x87_take(v, img);
	sc_xs_put(v, SC_XS_MXCSR, mxcsr, 4);
	sc_copy(v->xsave + SC_XS_XMM, img + SC_XS_XMM, 16 * num_vec(v));
	set_bv(v, sc_xs64(v, SC_XS_BV) | SC_XSTATE_X87 | SC_XSTATE_SSE);
	sc_fpu_load(v); /* settles FSW.ES and FCW's fixed bits */
}

/* Requested-feature bitmap: EDX:EAX limited to what the guest enabled */
static u32 rfbm(struct sc_vcpu *v)
{
	return (u32)v->gpr[X86_RAX] & (u32)v->xcr0;
}

/* May the host's XSAVE store components @want for the guest? It knows more components than
 * ours, but RFBM hides them; x87 state in use has pointers, which are the host's. */
static bool direct_save(struct sc_vcpu *v, u32 want)
{
	u32 inuse, high;

	if (!sc_code64(v) || !(v->fpu_mask & SC_XSTATE_AVX) || !(v->native->have & BIT(SC_NF_XSAVEC)))
		return false;
	if (!(want & SC_XSTATE_X87))
		return true;
	if (!(v->native->xgetbv1))
		return false;
	sc_fpu_load(v);
	__asm__ volatile("xgetbv" : "=a"(inuse), "=d"(high) : "c"(1));
	return !(inuse & SC_XSTATE_X87);
}

void sc_native_xsave(struct sc_vcpu *v, const struct sc_insn *in, enum sc_nat_kind kind)
{
	static const u32 mxcsr_init = SC_MXCSR_DEFAULT;
	u32 want = rfbm(v), store, inuse, mxcsr;
	unsigned vec = num_vec(v), size;
	bool compact = kind == SC_NAT_XSAVEC;
	u64 bv, header[2];
	gva_t a;
	u8 *img = v->native->bounce;

	/* Header and legacy region always; AVX state when asked for */
	size = want & SC_XSTATE_AVX ? SC_XS_END : SC_XS_HEADER_END;
	a = operand(v, in, size, 64, true);
	if (direct_save(v, want)) {
		void *p = sc_rw_ptr(v, a, size);

		if (p) {
			sc_fpu_load(v);
			/* XSAVEOPT may not be: the guest's page could be another than the one
			 * that the host restored from at this address */
			if (compact)
				__asm__ volatile("xsavec64 (%0)" : : "r"(p), "a"(want), "d"(0) : "memory");
			else
				__asm__ volatile("xsave64 (%0)" : : "r"(p), "a"(want), "d"(0) : "memory");
			sc_store_done(v);
			return;
		}
	}
	sc_check_write(v, a, size);
	/* XSAVE keeps the XSTATE_BV bits that it was not asked about */
	bv = compact ? 0 : sc_read(v, a + SC_XS_BV, 8);

	sc_fpu_save(v);
	inuse = (u32)sc_xs64(v, SC_XS_BV);
	mxcsr = sc_xs32(v, SC_XS_MXCSR);
	if (compact && mxcsr != mxcsr_init)
		inuse |= SC_XSTATE_SSE;
	/* XSAVE stores initial components too, its optimised kin do not */
	store = kind == SC_NAT_XSAVE ? want : want & inuse;

	if (store & SC_XSTATE_X87) {
		x87_image(v, img);
		sc_write_bytes(v, a, img, SC_XS_MXCSR);
		sc_write_bytes(v, a + SC_XS_ST, img + SC_XS_ST, SC_XS_XMM - SC_XS_ST);
	}
	if (compact ? store & SC_XSTATE_SSE : want & (SC_XSTATE_SSE | SC_XSTATE_AVX)) {
		mxcsr_image(v, img);
		sc_write_bytes(v, a + SC_XS_MXCSR, img + SC_XS_MXCSR, 8);
	}
	if (store & SC_XSTATE_SSE)
		sc_write_bytes(v, a + SC_XS_XMM, v->xsave + SC_XS_XMM, 16 * vec);
	if (store & SC_XSTATE_AVX)
		sc_write_bytes(v, a + SC_XS_YMMH, v->xsave + SC_XS_YMMH, 16 * vec);
	if (compact) {
		/* bytes 16 and on of the header are not written */
		header[0] = want & inuse;
		header[1] = want | BIT64(63);
		sc_write_bytes(v, a + SC_XS_BV, header, sizeof(header));
	} else {
		sc_write(v, a + SC_XS_BV, (bv & ~(u64)want) | (want & inuse), 8);
	}
}

/* Header of an XRSTOR image. Return: compacted? */
static bool check_header(struct sc_vcpu *v, const u64 *header)
{
	bool compact = header[1] >> 63;
	u64 all = compact ? header[1] & ~BIT64(63) : v->xcr0;

	if (compact && (!(v->native->have & BIT(SC_NF_XSAVEC)) || all & ~v->xcr0))
		sc_gp0(v);
	if (header[0] & ~all)
		sc_gp0(v);
	for (unsigned i = compact ? 2 : 1; i < (compact ? 8 : 3); i++)
		if (header[i])
			sc_gp0(v);
	return compact;
}

void sc_native_xrstor(struct sc_vcpu *v, const struct sc_insn *in)
{
	u32 want = rfbm(v), load, init, mxcsr = SC_MXCSR_DEFAULT;
	unsigned vec = num_vec(v), size;
	u64 header[8];
	bool compact, set_mxcsr;
	gva_t a;
	u8 *img = v->native->bounce;

	size = want & SC_XSTATE_AVX ? SC_XS_END : SC_XS_HEADER_END;
	a = operand(v, in, size, 64, false);
	sc_read_bytes(v, a, img, size);
	sc_copy(header, img + SC_XS_BV, sizeof(header));
	compact = check_header(v, header);
	load = want & (u32)header[0];
	init = want & ~(u32)header[0];

	/* Standard: MXCSR comes from memory with SSE or AVX asked for, whatever XSTATE_BV
	 * says. Compacted: it is part of the SSE component. */
	if (compact) {
		set_mxcsr = want & SC_XSTATE_SSE;
		if (load & SC_XSTATE_SSE)
			sc_copy(&mxcsr, img + SC_XS_MXCSR, 4);
	} else {
		set_mxcsr = want & (SC_XSTATE_SSE | SC_XSTATE_AVX);
		if (set_mxcsr)
			sc_copy(&mxcsr, img + SC_XS_MXCSR, 4);
	}
	if (set_mxcsr && mxcsr & ~v->mxcsr_mask)
		sc_gp0(v);

	/* Nothing can fault any more */
	if (vec == 16 && v->fpu_mask & SC_XSTATE_AVX) {
		sc_fpu_load(v);
		__asm__ volatile("xrstor64 (%0)" : : "r"(img), "a"(want), "d"(0) : "memory");
		return;
	}
	sc_fpu_save(v);
	if (set_mxcsr)
		sc_xs_put(v, SC_XS_MXCSR, mxcsr, 4);
	if (load & SC_XSTATE_X87)
		x87_take(v, img);
	else if (init & SC_XSTATE_X87)
		sc_fpu_finit(v);
	if (load & SC_XSTATE_SSE)
		sc_copy(v->xsave + SC_XS_XMM, img + SC_XS_XMM, 16 * vec);
	else if (init & SC_XSTATE_SSE)
		sc_zero(v->xsave + SC_XS_XMM, 16 * vec);
	if (load & SC_XSTATE_AVX)
		sc_copy(v->xsave + SC_XS_YMMH, img + SC_XS_YMMH, 16 * vec);
	else if (init & SC_XSTATE_AVX)
		sc_zero(v->xsave + SC_XS_YMMH, 16 * vec);
	/* An initial component may go back to "not in use", when all of it is initial */
	if (vec == 16)
		set_bv(v, (sc_xs64(v, SC_XS_BV) & ~(u64)init) | load);
	else
		set_bv(v, sc_xs64(v, SC_XS_BV) | want);
	sc_fpu_load(v); /* settles FSW.ES and FCW's fixed bits */
}
