// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/interp/bcd.c - Decimal adjustment, which 64-bit hosts cannot run
 *
 * From the operation sections of the SDM. The flags it leaves undefined are those of the
 * addition or subtraction that the adjustment amounts to, 16 bits wide for AAA and AAS,
 * which is what Zen does. */
#include "accel/soft/interp/interp.h"

static u64 result_flags(u64 result, unsigned bits)
{
	u64 f = 0;

	if (!(result & ((1u << bits) - 1)))
		f |= X86_FLAG_ZF;
	if (result >> (bits - 1) & 1)
		f |= X86_FLAG_SF;
	if (!__builtin_parity(result & 0xff))
		f |= X86_FLAG_PF;
	return f;
}

/* OF of a + b = sum or, with @sub, of a - b = sum */
static u64 overflow(u64 a, u64 b, u64 sum, unsigned bits, bool sub)
{
	u64 x = sub ? (a ^ b) & (a ^ sum) : (a ^ sum) & (b ^ sum);

	return x >> (bits - 1) & 1 ? X86_FLAG_OF : 0;
}

u64 sc_h_bcd(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	u8 al = (u8)v->gpr[X86_RAX], ah = (u8)(v->gpr[X86_RAX] >> 8), add;
	bool cf = v->rflags & X86_FLAG_CF, af = v->rflags & X86_FLAG_AF, sub = in->sub & 1;
	u64 ax = v->gpr[X86_RAX] & 0xffff, flags, sum;

	switch (in->sub) {
	case 0: /* daa */
	case 1: /* das */
		af = (al & 0xf) > 9 || af;
		add = af ? 6 : 0;
		if (al > 0x99 || cf) {
			add += 0x60;
			cf = true;
		} else if (sub) {
			cf = af && al < 6;
		}
		sum = sub ? al - add : al + add;
		flags = result_flags(sum, 8) | overflow(al, add, sum, 8, sub);
		ax = (ax & 0xff00) | (sum & 0xff);
		break;
	case 2: /* aaa */
	case 3: /* aas */
		cf = af = (al & 0xf) > 9 || af;
		sum = sub ? ax - (af ? 0x106 : 0) : ax + (af ? 0x106 : 0);
		flags = result_flags(sum, 16) | overflow(ax, af ? 0x106 : 0, sum, 16, sub);
		ax = sum & 0xff0f;
		break;
	case 4: { /* aam */
		u8 base = (u8)in->imm;

		if (!base)
			sc_throw(v, X86_VEC_DE);
		ax = (u64)(al / base) << 8 | al % base;
		flags = result_flags(ax, 8);
		cf = af = false;
		break;
	}
	default: /* aad */
		add = (u8)(ah * (u8)in->imm);
		sum = al + add;
		flags = result_flags(sum, 8) | overflow(al, add, sum, 8, false);
		cf = sum >> 8;
		af = (al ^ add ^ sum) & 0x10;
		ax = sum & 0xff;
		break;
	}
	sc_set_gpr(v, X86_RAX, ax, 2);
	v->rflags = (v->rflags & ~(u64)SC_ARITH_FLAGS) | flags | (cf ? X86_FLAG_CF : 0) |
		    (af ? X86_FLAG_AF : 0);
	return next;
}
