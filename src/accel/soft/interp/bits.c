// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/interp/bits.c - Bit tests, scans, BMI, CRC32, byte swaps */
#include "accel/soft/interp/operand.h"

/* ------------------------------------------------------------ bt family */

#define BT(op, m)                                                        \
	__asm__(SC_FLAGS_IN op " %" m "[s], %" m "[d]" SC_FLAGS_OUT      \
		: [d] "+&r"(d), "+&a"(f) : [s] "r"(s) : "cc")
#define BT_SIZES(op)                     \
	switch (size) {                  \
	case 2: BT(op, "w"); break;      \
	case 4: BT(op, "k"); break;      \
	default: BT(op, "q"); break;     \
	}                                \
	break

static u64 do_bt(u64 d, u64 s, unsigned size, unsigned sub, u64 *ax)
{
	u64 f = *ax;

	switch (sub) {
	case 0: BT_SIZES("bt");
	case 1: BT_SIZES("bts");
	case 2: BT_SIZES("btr");
	default: BT_SIZES("btc");
	}
	*ax = f;
	return d;
}

u64 sc_h_bt(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	unsigned size = in->op[0].size;
	u64 bit = sc_op_read(v, in, 1), ax = sc_flags_pack(v->rflags), off;
	gva_t a;

	if (in->op[0].kind != SC_OP_MEM) {
		u64 d = do_bt(sc_op_read(v, in, 0), bit, size, in->sub, &ax);

		if (in->sub)
			sc_op_write(v, in, 0, d);
		v->rflags = sc_flags_unpack(v->rflags, ax);
		return next;
	}
	off = sc_ea(v, in);
	if (in->op[1].kind == SC_OP_GPR) {
		/* the register is a signed bit index into a string of operands */
		s64 word = (s64)sc_sext(bit, size) >> (size == 8 ? 6 : size == 4 ? 5 : 4);

		off = (off + (u64)word * size) & sc_addr_mask(in->addrsize);
	}
	a = sc_lin(v, in->seg, off, size, in->sub != 0);
	if (in->sub) {
		sc_modify_mem(v, a, size, do_bt, bit, in->sub, in->flags & SC_I_LOCK);
	} else {
		do_bt(sc_read(v, a, size), bit, size, 0, &ax);
		v->rflags = sc_flags_unpack(v->rflags, ax);
	}
	return next;
}

/* ----------------------------------------------- source to register forms */

/* The destination goes through the host instruction whole: a zero source, a 16-bit and a
 * 32-bit form leave or clear its other bits as this CPU does. */
#define SCAN(op, m)                                                      \
	__asm__(SC_FLAGS_IN op " %" m "[s], %" m "[d]" SC_FLAGS_OUT      \
		: [d] "+&r"(d), "+&a"(f) : [s] "r"(s) : "cc")
#define SCAN_SIZES(op)                     \
	switch (size) {                    \
	case 2: SCAN(op, "w"); break;      \
	case 4: SCAN(op, "k"); break;      \
	default: SCAN(op, "q"); break;     \
	}                                  \
	break

u64 sc_h_scan(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	u64 s = sc_op_read(v, in, 1), d = v->gpr[in->op[0].reg], f = sc_flags_pack(v->rflags);
	unsigned size = in->op[0].size;

	switch (in->sub) {
	case SC_BSF: SCAN_SIZES("bsf");
	case SC_BSR: SCAN_SIZES("bsr");
	case SC_TZCNT: SCAN_SIZES("tzcnt");
	case SC_LZCNT: SCAN_SIZES("lzcnt");
	default: SCAN_SIZES("popcnt");
	}
	v->gpr[in->op[0].reg] = d;
	v->rflags = sc_flags_unpack(v->rflags, f);
	return next;
}

u64 sc_h_crc32(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	u64 s = sc_op_read(v, in, 1), d = v->gpr[in->op[0].reg];

	switch (in->op[1].size) {
	case 1: __asm__("crc32b %b1, %k0" : "+r"(d) : "r"(s)); break;
	case 2: __asm__("crc32w %w1, %k0" : "+r"(d) : "r"(s)); break;
	case 4: __asm__("crc32l %k1, %k0" : "+r"(d) : "r"(s)); break;
	default: __asm__("crc32q %q1, %q0" : "+r"(d) : "r"(s)); break;
	}
	v->gpr[in->op[0].reg] = d;
	return next;
}

static u64 swap_bytes(u64 x, unsigned size)
{
	return size == 8 ? __builtin_bswap64(x) : size == 4 ? __builtin_bswap32((u32)x)
							    : __builtin_bswap16((u16)x);
}

u64 sc_h_bswap(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	u64 *r = &v->gpr[in->op[0].reg];

	if (in->op[0].size == 2) /* undefined: let this CPU say */
		__asm__(".byte 0x66, 0x0f, 0xc8" : "+a"(*r));
	else
		*r = swap_bytes(*r, in->op[0].size);
	return next;
}

u64 sc_h_movbe(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	sc_op_write(v, in, 0, swap_bytes(sc_op_read(v, in, 1), in->op[0].size));
	return next;
}

/* ----------------------------------------------------------------- BMI */

/* dst, src1, src2: AT&T order is src2, src1, dst */
#define BMI3(op, a, b)                                                                     \
	do {                                                                               \
		if (size == 8)                                                             \
			__asm__(SC_FLAGS_IN op " %q[y], %q[x], %q[d]" SC_FLAGS_OUT         \
				: [d] "=&r"(d), "+&a"(f) : [x] "r"(a), [y] "r"(b) : "cc"); \
		else                                                                       \
			__asm__(SC_FLAGS_IN op " %k[y], %k[x], %k[d]" SC_FLAGS_OUT         \
				: [d] "=&r"(d), "+&a"(f) : [x] "r"(a), [y] "r"(b) : "cc"); \
	} while (0)
#define BMI2(op, a)                                                           \
	do {                                                                  \
		if (size == 8)                                                \
			__asm__(SC_FLAGS_IN op " %q[x], %q[d]" SC_FLAGS_OUT   \
				: [d] "=&r"(d), "+&a"(f) : [x] "r"(a) : "cc"); \
		else                                                          \
			__asm__(SC_FLAGS_IN op " %k[x], %k[d]" SC_FLAGS_OUT   \
				: [d] "=&r"(d), "+&a"(f) : [x] "r"(a) : "cc"); \
	} while (0)

static u64 do_mulx(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	u64 s = sc_op_read(v, in, 2), lo, hi;

	if (in->op[0].size == 8) {
		__asm__("mulq %3" : "=a"(lo), "=d"(hi) : "0"(v->gpr[X86_RDX]), "r"(s) : "cc");
	} else {
		lo = (u64)(u32)v->gpr[X86_RDX] * (u32)s;
		hi = lo >> 32;
	}
	/* the same register twice gets the high half */
	sc_op_write(v, in, 1, lo);
	sc_op_write(v, in, 0, hi);
	return next;
}

u64 sc_h_bmi(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	unsigned size = in->op[0].size;
	u64 f = sc_flags_pack(v->rflags), d, a, b = 0;

	/* VEX encodings do not exist in real and virtual-8086 mode */
	if (!sc_prot_not_vm86(v))
		sc_ud(v);
	if (in->sub == SC_MULX)
		return do_mulx(v, in, next);
	a = sc_op_read(v, in, 1);
	if (in->nops == 3)
		b = sc_op_read(v, in, 2);
	switch (in->sub) {
	case SC_ANDN: BMI3("andn", a, b); break;
	case SC_BEXTR: BMI3("bextr", a, b); break;
	case SC_BZHI: BMI3("bzhi", a, b); break;
	case SC_PDEP: BMI3("pdep", a, b); break;
	case SC_PEXT: BMI3("pext", a, b); break;
	case SC_SARX: BMI3("sarx", a, b); break;
	case SC_SHLX: BMI3("shlx", a, b); break;
	case SC_SHRX: BMI3("shrx", a, b); break;
	case SC_BLSI: BMI2("blsi", a); break;
	case SC_BLSMSK: BMI2("blsmsk", a); break;
	case SC_BLSR: BMI2("blsr", a); break;
	default: /* rorx */
		b &= size == 8 ? 63 : 31;
		if (size == 8)
			d = a >> b | a << (-b & 63);
		else
			d = (u32)a >> b | (u32)a << (-b & 31);
		break;
	}
	sc_op_write(v, in, 0, d);
	v->rflags = sc_flags_unpack(v->rflags, f);
	return next;
}
