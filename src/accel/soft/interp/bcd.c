// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/interp/bcd.c - Decimal adjustment, which 64-bit hosts cannot run
 *
 * From the operation sections of the SDM. SF, ZF and PF are always those of AL; flags
 * called undefined there are cleared. */
#include "accel/soft/interp/interp.h"

static u64 result_flags(u8 al)
{
	u64 f = 0;

	if (!al)
		f |= X86_FLAG_ZF;
	if (al & 0x80)
		f |= X86_FLAG_SF;
	if (!__builtin_parity(al))
		f |= X86_FLAG_PF;
	return f;
}

u64 sc_h_bcd(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	u8 al = (u8)v->gpr[X86_RAX], ah = (u8)(v->gpr[X86_RAX] >> 8), old = al;
	bool cf = v->rflags & X86_FLAG_CF, af = v->rflags & X86_FLAG_AF;
	u64 ax;

	switch (in->sub) {
	case 0: /* daa */
	case 1: { /* das */
		bool low = (al & 0xf) > 9 || af, high = old > 0x99 || cf;

		if (in->sub == 0) {
			al += low ? 6 : 0;
			al += high ? 0x60 : 0;
			cf = high;
		} else {
			cf = high || (low && old < 6);
			al -= low ? 6 : 0;
			al -= high ? 0x60 : 0;
		}
		af = low;
		break;
	}
	case 2: /* aaa */
	case 3: /* aas */
		ax = v->gpr[X86_RAX] & 0xffff;
		cf = af = (al & 0xf) > 9 || af;
		if (af)
			ax = in->sub == 2 ? ax + 0x106 : ax - 0x106;
		al = ax & 0xf;
		ah = (u8)(ax >> 8);
		break;
	case 4: { /* aam */
		u8 base = (u8)in->imm;

		if (!base)
			sc_throw(v, X86_VEC_DE);
		ah = al / base;
		al = al % base;
		cf = af = false;
		break;
	}
	default: /* aad */
		al = (u8)(al + ah * (u8)in->imm);
		ah = 0;
		cf = af = false;
		break;
	}
	sc_set_gpr(v, X86_RAX, al | ah << 8, 2);
	v->rflags = (v->rflags & ~(u64)SC_ARITH_FLAGS) | result_flags(al) |
		    (cf ? X86_FLAG_CF : 0) | (af ? X86_FLAG_AF : 0);
	return next;
}
