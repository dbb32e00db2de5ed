// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/interp/alu.c - Integer arithmetic
 *
 * The operation itself is the host's instruction, so that every flag, those that the
 * manuals leave undefined too, is what this CPU gives natively. */
#include "accel/soft/interp/operand.h"

/* d = d op s in the operand size, flags through ax */
#define BIN(op, m)                                                       \
	__asm__(SC_FLAGS_IN op " %" m "[s], %" m "[d]" SC_FLAGS_OUT      \
		: [d] "+&r"(d), "+&a"(f) : [s] "r"(s) : "cc")
#define BIN_SIZES(op)                      \
	switch (size) {                    \
	case 1: BIN(op, "b"); break;       \
	case 2: BIN(op, "w"); break;       \
	case 4: BIN(op, "k"); break;       \
	default: BIN(op, "q"); break;      \
	}                                  \
	break
#define UN(op, m) \
	__asm__(SC_FLAGS_IN op " %" m "[d]" SC_FLAGS_OUT : [d] "+&r"(d), "+&a"(f) : : "cc")
#define UN_SIZES(op)                       \
	switch (size) {                    \
	case 1: UN(op, "b"); break;        \
	case 2: UN(op, "w"); break;        \
	case 4: UN(op, "k"); break;        \
	default: UN(op, "q"); break;       \
	}                                  \
	break

static u64 do_alu(u64 d, u64 s, unsigned size, unsigned sub, u64 *ax)
{
	u64 f = *ax;

	switch (sub) {
	case 0: BIN_SIZES("add");
	case 1: BIN_SIZES("or");
	case 2: BIN_SIZES("adc");
	case 3: BIN_SIZES("sbb");
	case 4: BIN_SIZES("and");
	case 5: BIN_SIZES("sub");
	case 6: BIN_SIZES("xor");
	default: BIN_SIZES("cmp");
	}
	*ax = f;
	return d;
}

u64 sc_h_alu(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	u64 src = sc_op_read(v, in, 1);

	if (in->sub == 7) {
		u64 ax = sc_flags_pack(v->rflags);

		do_alu(sc_op_read(v, in, 0), src, in->op[0].size, 7, &ax);
		v->rflags = sc_flags_unpack(v->rflags, ax);
	} else {
		sc_modify(v, in, do_alu, src, in->flags & SC_I_LOCK);
	}
	return next;
}

u64 sc_h_test(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	u64 d = sc_op_read(v, in, 0), s = sc_op_read(v, in, 1), f = sc_flags_pack(v->rflags);
	unsigned size = in->op[0].size;

	switch (0) {
	default: BIN_SIZES("test");
	}
	v->rflags = sc_flags_unpack(v->rflags, f);
	return next;
}

static u64 do_unary(u64 d, u64 s, unsigned size, unsigned sub, u64 *ax)
{
	u64 f = *ax;

	switch (sub) {
	case 0: UN_SIZES("inc");
	case 1: UN_SIZES("dec");
	case 2: UN_SIZES("not");
	default: UN_SIZES("neg");
	}
	*ax = f;
	return d;
}

u64 sc_h_incdec(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	sc_modify(v, in, do_unary, 0, in->flags & SC_I_LOCK);
	return next;
}

/* ------------------------------------------------------ multiply, divide */

/* One-operand form: RDX:RAX in and out, any of mul imul div idiv */
#define MUL(op, m)                                                                     \
	__asm__ volatile(SC_FLAGS_IN "movq %[lo], %%rax\n\t" op " %" m "[s]\n\t"       \
			 "movq %%rax, %[lo]" SC_FLAGS_OUT                              \
			 : [lo] "+&r"(lo), "+&d"(hi), "+&a"(f) : [s] "r"(s) : "cc")
#define MUL_SIZES(op)                      \
	switch (size) {                    \
	case 1: MUL(op, "b"); break;       \
	case 2: MUL(op, "w"); break;       \
	case 4: MUL(op, "k"); break;       \
	default: MUL(op, "q"); break;      \
	}                                  \
	break

/* Would DIV of hi:lo (each @size bytes; the 8-bit form has its dividend in AX) raise #DE? */
static bool div_faults(u64 hi, u64 lo, u64 s, unsigned size)
{
	u64 m = sc_size_mask(size);

	if (size == 1)
		hi = lo >> 8;
	return (hi & m) >= (s & m); /* covers zero */
}

/* Likewise IDIV: divide magnitudes, then see whether the signed quotient fits */
static bool idiv_faults(u64 hi, u64 lo, u64 s, unsigned size)
{
	u64 m = sc_size_mask(size), q, r;
	s64 d = (s64)sc_sext(s, size);
	bool neg;

	if (size == 1) {
		hi = lo >> 8 & 0xff;
		lo &= 0xff;
	}
	hi = sc_sext(hi & m, size);
	lo &= m;
	neg = (s64)hi < 0;
	if (neg) {
		/* -(hi:lo) in 2 * size bytes; hi is sign-extended to 64 bits */
		lo = -lo & m;
		hi = ~hi + (lo == 0);
	}
	neg ^= d < 0;
	s = d < 0 ? -(u64)d : (u64)d;
	/* the most negative dividend leaves hi = 2^(bits-1), still an unsigned value */
	if ((hi & m) >= s)
		return true;
	if (size == 8) {
		__asm__("divq %4" : "=a"(q), "=d"(r) : "0"(lo), "1"(hi), "r"(s) : "cc");
	} else {
		q = ((hi & m) << size * 8 | lo) / s;
	}
	return q > (m >> 1) + neg;
}

u64 sc_h_mul(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	unsigned size = in->op[0].size;
	u64 s = sc_op_read(v, in, 0);
	u64 lo = v->gpr[X86_RAX], hi = v->gpr[X86_RDX], f = sc_flags_pack(v->rflags);

	if ((in->sub == 6 && div_faults(hi, lo & (size == 1 ? 0xffff : ~0ull), s, size)) ||
	    (in->sub == 7 && idiv_faults(hi, lo, s, size)))
		sc_throw(v, X86_VEC_DE);
	switch (in->sub) {
	case 4: MUL_SIZES("mul");
	case 5: MUL_SIZES("imul");
	case 6: MUL_SIZES("div");
	default: MUL_SIZES("idiv");
	}
	/* the host wrote its registers by the same partial-write rules */
	v->gpr[X86_RAX] = lo;
	v->gpr[X86_RDX] = hi;
	v->rflags = sc_flags_unpack(v->rflags, f);
	return next;
}

u64 sc_h_imul(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	unsigned size = in->op[0].size;
	u64 d = sc_op_read(v, in, in->nops == 3 ? 2 : 0), s = sc_op_read(v, in, 1);
	u64 f = sc_flags_pack(v->rflags);

	switch (size) {
	case 2: BIN("imul", "w"); break;
	case 4: BIN("imul", "k"); break;
	default: BIN("imul", "q"); break;
	}
	sc_op_write(v, in, 0, d);
	v->rflags = sc_flags_unpack(v->rflags, f);
	return next;
}

u64 sc_h_adx(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	u64 s = sc_op_read(v, in, 1), d = sc_op_read(v, in, 0), f = sc_flags_pack(v->rflags);

	if (in->op[0].size == 8) {
		if (in->sub == 0)
			BIN("adcx", "q");
		else
			BIN("adox", "q");
	} else {
		if (in->sub == 0)
			BIN("adcx", "k");
		else
			BIN("adox", "k");
	}
	sc_op_write(v, in, 0, d);
	v->rflags = sc_flags_unpack(v->rflags, f);
	return next;
}

/* ---------------------------------------------------------- shift, rotate */

#define SHIFT(op, m)                                                  \
	__asm__(SC_FLAGS_IN op " %%cl, %" m "[d]" SC_FLAGS_OUT        \
		: [d] "+&r"(d), "+&a"(f) : "c"(s) : "cc")
#define SHIFT_SIZES(op)                    \
	switch (size) {                    \
	case 1: SHIFT(op, "b"); break;     \
	case 2: SHIFT(op, "w"); break;     \
	case 4: SHIFT(op, "k"); break;     \
	default: SHIFT(op, "q"); break;    \
	}                                  \
	break

static u64 do_shift(u64 d, u64 s, unsigned size, unsigned sub, u64 *ax)
{
	u64 f = *ax;

	switch (sub) {
	case 0: SHIFT_SIZES("rol");
	case 1: SHIFT_SIZES("ror");
	case 2: SHIFT_SIZES("rcl");
	case 3: SHIFT_SIZES("rcr");
	case 4: SHIFT_SIZES("shl");
	case 5: SHIFT_SIZES("shr");
	default: SHIFT_SIZES("sar");
	}
	*ax = f;
	return d;
}

u64 sc_h_shift(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	sc_modify(v, in, do_shift, sc_op_read(v, in, 1), false);
	return next;
}

/* shld, shrd: the count rides in bits 7:0 of @sub's upper part; the filler is @s */
#define SHD(op, m)                                                              \
	__asm__(SC_FLAGS_IN op " %%cl, %" m "[s], %" m "[d]" SC_FLAGS_OUT       \
		: [d] "+&r"(d), "+&a"(f) : [s] "r"(s), "c"((u64)(sub >> 8)) : "cc")

static u64 do_shd(u64 d, u64 s, unsigned size, unsigned sub, u64 *ax)
{
	u64 f = *ax;

	if ((sub & 0xff) == 0) {
		switch (size) {
		case 2: SHD("shld", "w"); break;
		case 4: SHD("shld", "k"); break;
		default: SHD("shld", "q"); break;
		}
	} else {
		switch (size) {
		case 2: SHD("shrd", "w"); break;
		case 4: SHD("shrd", "k"); break;
		default: SHD("shrd", "q"); break;
		}
	}
	*ax = f;
	return d;
}

u64 sc_h_shd(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	unsigned size = in->op[0].size;
	unsigned sub = in->sub | (unsigned)(sc_op_read(v, in, 2) & 0xff) << 8;
	u64 src = sc_op_read(v, in, 1);

	if (in->op[0].kind == SC_OP_MEM) {
		sc_modify_mem(v, sc_mem(v, in, size, true), size, do_shd, src, sub, false);
	} else {
		u64 ax = sc_flags_pack(v->rflags);

		sc_op_write(v, in, 0, do_shd(sc_op_read(v, in, 0), src, size, sub, &ax));
		v->rflags = sc_flags_unpack(v->rflags, ax);
	}
	return next;
}
