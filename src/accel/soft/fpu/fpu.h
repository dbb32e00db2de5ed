// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/fpu/fpu.h - Who owns the host's x87, MXCSR and vector registers
 *
 * sc_fpu_save() and sc_fpu_load() themselves are declared in soft.h, because every
 * file of the software CPU may need them. All of this is [vcpu]. */
#ifndef ACCEL_SOFT_FPU_FPU_H
#define ACCEL_SOFT_FPU_FPU_H

#include "accel/soft/soft.h"

/* XSAVE state components, bits of XCR0 and XSTATE_BV (SDM 1, 13.1) */
#define SC_XSTATE_X87 BIT(0)
#define SC_XSTATE_SSE BIT(1)
#define SC_XSTATE_AVX BIT(2)
#define SC_XSTATE_ALL (SC_XSTATE_X87 | SC_XSTATE_SSE | SC_XSTATE_AVX)

/* Offsets in the standard format (SDM 1, tables 10-2 and 13-1) */
#define SC_XS_FCW 0
#define SC_XS_FSW 2
#define SC_XS_FTW 4
#define SC_XS_FOP 6
#define SC_XS_FIP 8
#define SC_XS_FDP 16
#define SC_XS_MXCSR 24
#define SC_XS_MXCSR_MASK 28
#define SC_XS_ST 32
#define SC_XS_XMM 160
#define SC_XS_LEGACY_END 416 /* bytes 416..511 are the program's */
#define SC_XS_BV 512
#define SC_XS_COMP_BV 520
#define SC_XS_HEADER_END 576
#define SC_XS_YMMH 576
#define SC_XS_END 832

#define SC_MXCSR_DEFAULT 0x1f80u
#define SC_FSW_ES BIT(7) /* an unmasked x87 exception waits for the next instruction */

/* Components that the host keeps and hence the guest may enable: 7, or 3 without AVX.
 * Also fills v->fpu_mask and v->mxcsr_mask. Cheap after the first call. */
u32 sc_fpu_components(struct sc_vcpu *v);

/* Power-on state (SDM 3A table 9-1): FCW 0040h, tags zero, MXCSR 1F80h, the rest 0.
 * INIT leaves the registers alone, so do not call this then. */
void sc_fpu_reset(struct sc_vcpu *v);

/* FINIT state in v->xsave, which must be valid (!v->fpu_live). Vector registers stay. */
void sc_fpu_finit(struct sc_vcpu *v);

/* The FPU group of struct x86_state. get: pointers of the last x87 instruction read 0 (they
 * would be the host's). set: -EINVAL for components or MXCSR bits that the host lacks and
 * for the compacted format; then nothing changed. */
void sc_fpu_get(struct sc_vcpu *v, struct x86_state *st);
int sc_fpu_set(struct sc_vcpu *v, const struct x86_state *st) MUST_CHECK;

/* Fields of v->xsave, valid while !v->fpu_live */
static inline u16 sc_xs16(const struct sc_vcpu *v, unsigned off)
{
	return v->xsave[off] | v->xsave[off + 1] << 8;
}
static inline u32 sc_xs32(const struct sc_vcpu *v, unsigned off)
{
	return sc_xs16(v, off) | (u32)sc_xs16(v, off + 2) << 16;
}
static inline u64 sc_xs64(const struct sc_vcpu *v, unsigned off)
{
	return sc_xs32(v, off) | (u64)sc_xs32(v, off + 4) << 32;
}
static inline void sc_xs_put(struct sc_vcpu *v, unsigned off, u64 val, unsigned len)
{
	sc_copy(v->xsave + off, &val, len);
}

#endif
