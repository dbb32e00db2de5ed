// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/fpu/fpu.c - Guest vector state between the host's registers and memory
 *
 * While v->fpu_live the guest's x87, MXCSR, XMM and YMM are in the host's registers, where
 * translated code and native snippets use them in place. C code that may touch them runs
 * only between sc_fpu_save() and sc_fpu_load(). [vcpu]
 *
 * The guest's upper ZMM halves do not exist: AVX-512 is not shown to it, and whatever the C
 * library leaves there a guest instruction cannot read. */
#include "accel/soft/fpu/fpu.h"

#include <cpuid.h>
#include <errno.h>

static u32 host_components(void)
{
	u32 a, b, c, d, lo, hi;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
		return SC_XSTATE_X87 | SC_XSTATE_SSE;
	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	if (!(c & bit_AVX))
		lo &= ~SC_XSTATE_AVX;
	return (lo & SC_XSTATE_AVX) | SC_XSTATE_X87 | SC_XSTATE_SSE;
}

u32 sc_fpu_components(struct sc_vcpu *v)
{
	if (unlikely(!v->fpu_mask)) {
		ALIGNED(16) u8 img[512];
		u32 mask;

		sc_zero(img, sizeof(img));
		__asm__ volatile("fxsave64 %0" : "=m"(img));
		sc_copy(&mask, img + SC_XS_MXCSR_MASK, sizeof(mask));
		/* 0 means the mask of the first SSE processors (SDM 1, 11.6.6) */
		v->mxcsr_mask = mask ? mask : 0xffbf;
		v->fpu_mask = host_components();
	}
	return v->fpu_mask;
}

void sc_fpu_save(struct sc_vcpu *v)
{
	static const u32 mxcsr = SC_MXCSR_DEFAULT;
	u64 bv;

	if (!v->fpu_live)
		return;
	v->fpu_live = false;
	if (v->fpu_mask & SC_XSTATE_AVX) {
		/* Not XSAVEOPT: readers of v->xsave want every byte, also of components
		 * that are in their initial state */
		__asm__ volatile("xsave64 %0"
				 : "+m"(v->xsave)
				 : "a"(SC_XSTATE_ALL), "d"(0));
		bv = sc_xs64(v, SC_XS_BV);
		if (bv & SC_XSTATE_AVX)
			__asm__ volatile("vzeroupper");
	} else {
		__asm__ volatile("fxsave64 %0" : "=m"(v->xsave));
		bv = SC_XSTATE_X87 | SC_XSTATE_SSE;
		sc_xs_put(v, SC_XS_BV, bv, 8);
	}
	/* MMX leaves the x87 stack full and the guest may have changed rounding: C code
	 * relies on neither. FNINIT does not wait, so a pending exception does not fire. */
	if (bv & SC_XSTATE_X87)
		__asm__ volatile("fninit");
	__asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
}

void sc_fpu_load(struct sc_vcpu *v)
{
	if (v->fpu_live)
		return;
	if (sc_fpu_components(v) & SC_XSTATE_AVX)
		__asm__ volatile("xrstor64 %0" : : "m"(v->xsave), "a"(SC_XSTATE_ALL), "d"(0));
	else
		__asm__ volatile("fxrstor64 %0" : : "m"(v->xsave));
	v->fpu_live = true;
}

void sc_fpu_finit(struct sc_vcpu *v)
{
	sc_zero(v->xsave, SC_XS_MXCSR);
	sc_xs_put(v, SC_XS_FCW, 0x37f, 2);
	sc_zero(v->xsave + SC_XS_ST, SC_XS_XMM - SC_XS_ST);
	sc_xs_put(v, SC_XS_BV, sc_xs64(v, SC_XS_BV) | SC_XSTATE_X87, 8);
}

void sc_fpu_reset(struct sc_vcpu *v)
{
	sc_fpu_save(v);
	sc_fpu_components(v);
	sc_zero(v->xsave, sizeof(v->xsave));
	sc_xs_put(v, SC_XS_FCW, 0x40, 2);
	sc_xs_put(v, SC_XS_FTW, 0xff, 1); /* all valid: tag word 5555h */
	sc_xs_put(v, SC_XS_MXCSR, SC_MXCSR_DEFAULT, 4);
	sc_xs_put(v, SC_XS_MXCSR_MASK, v->mxcsr_mask, 4);
	sc_xs_put(v, SC_XS_BV, SC_XSTATE_X87 | SC_XSTATE_SSE, 8);
}

void sc_fpu_get(struct sc_vcpu *v, struct x86_state *st)
{
	sc_fpu_save(v);
	sc_zero(st->xsave, sizeof(st->xsave));
	sc_copy(st->xsave, v->xsave, SC_XS_END);
	sc_zero(st->xsave + SC_XS_FOP, SC_XS_MXCSR - SC_XS_FOP);
	sc_copy(st->xsave + SC_XS_MXCSR_MASK, &v->mxcsr_mask, 4);
}

int sc_fpu_set(struct sc_vcpu *v, const struct x86_state *st)
{
	u64 header[8], have = sc_fpu_components(v);
	u32 mxcsr;

	sc_copy(header, st->xsave + SC_XS_BV, sizeof(header));
	sc_copy(&mxcsr, st->xsave + SC_XS_MXCSR, sizeof(mxcsr));
	if (header[0] & ~have || mxcsr & ~v->mxcsr_mask)
		return -EINVAL;
	for (unsigned i = 1; i < ARRAY_LEN(header); i++)
		if (header[i])
			return -EINVAL;
	sc_fpu_save(v);
	sc_copy(v->xsave, st->xsave, SC_XS_END);
	if (!(have & SC_XSTATE_AVX)) {
		/* FXRSTOR knows no XSTATE_BV: give it the initial state in bytes */
		if (!(header[0] & SC_XSTATE_X87))
			sc_fpu_finit(v);
		if (!(header[0] & SC_XSTATE_SSE))
			sc_zero(v->xsave + SC_XS_XMM, SC_XS_LEGACY_END - SC_XS_XMM);
		sc_xs_put(v, SC_XS_BV, have, 8);
	}
	return 0;
}
