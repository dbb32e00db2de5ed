// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/interp/mov.c - Moves, exchanges and small register work */
#include "accel/soft/interp/operand.h"
#include "accel/soft/sys/sys_int.h"

u64 sc_h_mov(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	sc_op_write(v, in, 0, sc_op_read(v, in, 1));
	return next;
}

u64 sc_h_movzx(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	sc_op_write(v, in, 0, sc_op_read(v, in, 1));
	return next;
}

u64 sc_h_movsx(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	sc_op_write(v, in, 0, sc_sext(sc_op_read(v, in, 1), in->op[1].size));
	return next;
}

u64 sc_h_mov_seg(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	if (in->op[0].kind == SC_OP_SEG) {
		sc_load_seg(v, in->op[0].reg, (u16)sc_op_read(v, in, 1));
		if (in->op[0].reg == X86_SS)
			v->int_shadow = 2;
	} else {
		sc_op_write(v, in, 0, v->seg[in->op[1].reg].sel);
	}
	return next;
}

u64 sc_h_load_far(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	unsigned size = sc_far_size(v, in->op[0].size);
	u64 off = sc_ea(v, in), m = sc_addr_mask(in->addrsize);
	u64 val = sc_read(v, sc_lin(v, in->seg, off, size, false), size);
	u64 sel = sc_read(v, sc_lin_any(v, in->seg, (off + size) & m, 2, false), 2);

	sc_load_seg(v, in->sub, (u16)sel);
	sc_op_write(v, in, 0, val); /* zero-extended when the register is wider */
	return next;
}

/* ------------------------------------------------------ exchange, compare */

static u64 do_swap(u64 old, u64 src, unsigned size, unsigned sub, u64 *ax)
{
	return src;
}

u64 sc_h_xchg(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	u64 b = sc_op_read(v, in, 1);

	/* memory is locked with or without the prefix; the decoder puts it first */
	sc_op_write(v, in, 1, sc_modify(v, in, do_swap, b, true));
	return next;
}

static u64 do_add(u64 d, u64 s, unsigned size, unsigned sub, u64 *ax)
{
	u64 f = *ax;

#define ADD(m)                                                       \
	__asm__(SC_FLAGS_IN "add %" m "[s], %" m "[d]" SC_FLAGS_OUT  \
		: [d] "+&r"(d), "+&a"(f) : [s] "r"(s) : "cc")
	switch (size) {
	case 1: ADD("b"); break;
	case 2: ADD("w"); break;
	case 4: ADD("k"); break;
	default: ADD("q"); break;
	}
#undef ADD
	*ax = f;
	return d;
}

u64 sc_h_xadd(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	u64 s = sc_op_read(v, in, 1);

	if (in->op[0].kind == SC_OP_MEM) {
		sc_op_write(v, in, 1, sc_modify(v, in, do_add, s, in->flags & SC_I_LOCK));
	} else {
		/* source first: with one register in both places the sum stays */
		u64 d = sc_op_read(v, in, 0), ax = sc_flags_pack(v->rflags);
		u64 sum = do_add(d, s, in->op[0].size, 0, &ax);

		sc_op_write(v, in, 1, d);
		sc_op_write(v, in, 0, sum);
		v->rflags = sc_flags_unpack(v->rflags, ax);
	}
	return next;
}

/* @f: flags of acc - d */
static void compare(u64 acc, u64 d, unsigned size, u64 *ax)
{
	u64 f = *ax;

#define CMP(m)                                                       \
	__asm__(SC_FLAGS_IN "cmp %" m "[d], %" m "[c]" SC_FLAGS_OUT  \
		: "+&a"(f) : [d] "r"(d), [c] "r"(acc) : "cc")
	switch (size) {
	case 1: CMP("b"); break;
	case 2: CMP("w"); break;
	case 4: CMP("k"); break;
	default: CMP("q"); break;
	}
#undef CMP
	*ax = f;
}

struct cmpxchg {
	u64 acc, src;
};

/* @src points to a struct cmpxchg: two values have to get in */
static u64 do_cmpxchg(u64 old, u64 src, unsigned size, unsigned sub, u64 *ax)
{
	const struct cmpxchg *c = (const void *)(uintptr_t)src;

	compare(c->acc, old, size, ax);
	return *ax & X86_FLAG_ZF << 8 ? c->src : old;
}

/* Whole registers through the host's instruction: whether a failed 32-bit one clears the upper
 * half of its destination differs between CPUs */
static void cmpxchg_registers(struct sc_vcpu *v, const struct sc_insn *in)
{
	u64 d = v->gpr[in->op[0].reg], s = v->gpr[in->op[1].reg], acc = v->gpr[X86_RAX];
	u64 f = sc_flags_pack(v->rflags);

#define CMPXCHG(m)                                                                      \
	__asm__("movq %[f], %%rax\n\t" SC_FLAGS_IN "movq %[acc], %%rax\n\t"            \
		"cmpxchg %" m "[s], %" m "[d]\n\t"                                      \
		"movq %%rax, %[acc]" SC_FLAGS_OUT "\n\tmovq %%rax, %[f]"                \
		: [d] "+&r"(d), [acc] "+&r"(acc), [f] "+&r"(f) : [s] "r"(s) : "rax", "cc")
	switch (in->op[0].size) {
	case 2: CMPXCHG("w"); break;
	case 4: CMPXCHG("k"); break;
	default: CMPXCHG("q"); break;
	}
#undef CMPXCHG
	/* the destination last: it may be RAX itself, and then the compare succeeded */
	v->gpr[X86_RAX] = acc;
	v->gpr[in->op[0].reg] = d;
	v->rflags = sc_flags_unpack(v->rflags, f);
}

u64 sc_h_cmpxchg(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	unsigned size = in->op[0].size;
	struct cmpxchg c = { v->gpr[X86_RAX] & sc_size_mask(size), sc_op_read(v, in, 1) };
	u64 old;

	if (in->op[0].kind == SC_OP_GPR && size > 1) {
		cmpxchg_registers(v, in);
		return next;
	}
	old = sc_modify(v, in, do_cmpxchg, (u64)(uintptr_t)&c, in->flags & SC_I_LOCK);
	if (!(v->rflags & X86_FLAG_ZF))
		sc_set_gpr(v, X86_RAX, old, size);
	return next;
}

/* lock cmpxchg8b or 16b on host memory; @p is 16-byte aligned for the latter. Return: ZF */
static bool cas_pair(void *p, u64 *lo, u64 *hi, u64 new_lo, u64 new_hi, bool wide)
{
	bool z;

	if (wide)
		__asm__ volatile("lock cmpxchg16b %1\n\tsetz %0"
				 : "=q"(z), "+m"(*(u128 *)p), "+a"(*lo), "+d"(*hi)
				 : "b"(new_lo), "c"(new_hi) : "memory", "cc");
	else
		__asm__ volatile("lock cmpxchg8b %1\n\tsetz %0"
				 : "=q"(z), "+m"(*(u64 *)p), "+a"(*lo), "+d"(*hi)
				 : "b"(new_lo), "c"(new_hi) : "memory", "cc");
	return z;
}

u64 sc_h_cmpxchg8b(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	bool wide = in->sub, z;
	unsigned half = wide ? 8 : 4;
	u64 m = sc_size_mask(half);
	u64 lo = v->gpr[X86_RAX] & m, hi = v->gpr[X86_RDX] & m;
	u64 new_lo = v->gpr[X86_RBX] & m, new_hi = v->gpr[X86_RCX] & m;
	gva_t a = wide ? sc_lin_any(v, in->seg, sc_ea(v, in), 16, true) : sc_mem(v, in, 8, true);
	bool split = (a & ~PAGE_MASK) + 2 * half > PAGE_BYTES;
	void *p;

	if (wide && a & 15)
		sc_gp0(v);
	p = split ? NULL : sc_rw_ptr(v, a, 2 * half);
	if (p) {
		z = cas_pair(p, &lo, &hi, new_lo, new_hi, wide);
		sc_store_done(v);
	} else {
		struct sc_span s;
		u64 old[2], set[2];

		old[0] = old[1] = 0; /* no initializer: a compiler may make it a memset */
		split = split && sc_span_lock(v, a, 2 * half, &s);
		if (split) {
			sc_span_load(&s, old);
		} else {
			sc_check_write(v, a, 2 * half);
			sc_read_bytes(v, a, old, 2 * half);
		}
		if (!wide) {
			old[1] = old[0] >> 32;
			old[0] &= m;
		}
		z = old[0] == lo && old[1] == hi;
		set[0] = z ? new_lo : old[0];
		set[1] = z ? new_hi : old[1];
		if (!wide)
			set[0] |= set[1] << 32;
		if (split) {
			sc_span_store(&s, set);
			sc_span_unlock(v, &s);
		} else {
			sc_write_bytes(v, a, set, 2 * half);
		}
		lo = old[0];
		hi = old[1];
	}
	if (z) {
		v->rflags |= X86_FLAG_ZF;
	} else {
		v->rflags &= ~(u64)X86_FLAG_ZF;
		v->gpr[X86_RAX] = lo & m;
		v->gpr[X86_RDX] = hi & m;
	}
	return next;
}

/* ------------------------------------------------------------ conditions */

u64 sc_h_cmov(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	u64 s = sc_op_read(v, in, 1); /* read, and faulting, in any case */

	if (!sc_cond(v->rflags, in->sub))
		s = v->gpr[in->op[0].reg]; /* a 32-bit form zero-extends even so */
	sc_op_write(v, in, 0, s);
	return next;
}

u64 sc_h_setcc(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	sc_op_write(v, in, 0, sc_cond(v->rflags, in->sub));
	return next;
}

/* ------------------------------------------------------- small register work */

u64 sc_h_lea(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	sc_op_write(v, in, 0, sc_ea(v, in));
	return next;
}

u64 sc_h_lahf(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	v->gpr[X86_RAX] = (v->gpr[X86_RAX] & ~0xff00ull) | ((v->rflags & 0xd5) | 2) << 8;
	return next;
}

u64 sc_h_sahf(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	v->rflags = (v->rflags & ~0xd5ull) | (v->gpr[X86_RAX] >> 8 & 0xd5);
	return next;
}

u64 sc_h_flag(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	switch (in->sub) {
	case 0: v->rflags &= ~(u64)X86_FLAG_CF; break;
	case 1: v->rflags |= X86_FLAG_CF; break;
	case 2: v->rflags ^= X86_FLAG_CF; break;
	case 3: v->rflags &= ~(u64)X86_FLAG_DF; break;
	default: v->rflags |= X86_FLAG_DF; break;
	}
	return next;
}

u64 sc_h_salc(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	sc_set_gpr(v, X86_RAX, v->rflags & X86_FLAG_CF ? 0xff : 0, 1);
	return next;
}

u64 sc_h_xlat(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	u64 off = (v->gpr[X86_RBX] + (u8)v->gpr[X86_RAX]) & sc_addr_mask(in->addrsize);

	sc_set_gpr(v, X86_RAX, sc_read(v, sc_lin(v, in->seg, off, 1, false), 1), 1);
	return next;
}

u64 sc_h_cbw(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	sc_set_gpr(v, X86_RAX, sc_sext(v->gpr[X86_RAX], in->opsize / 2), in->opsize);
	return next;
}

u64 sc_h_cwd(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	s64 a = (s64)sc_sext(v->gpr[X86_RAX], in->opsize);

	sc_set_gpr(v, X86_RDX, a < 0 ? ~0ull : 0, in->opsize);
	return next;
}

u64 sc_h_bound(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	unsigned size = in->op[0].size;
	u64 off = sc_ea(v, in), m = sc_addr_mask(in->addrsize);
	s64 i = (s64)sc_sext(sc_op_read(v, in, 0), size), lo, hi;

	lo = (s64)sc_sext(sc_read(v, sc_lin(v, in->seg, off, size, false), size), size);
	hi = (s64)sc_sext(sc_read(v, sc_lin(v, in->seg, (off + size) & m, size, false), size), size);
	if (i < lo || i > hi)
		sc_throw(v, X86_VEC_BR);
	return next;
}

static u64 do_arpl(u64 old, u64 src, unsigned size, unsigned sub, u64 *ax)
{
	if ((old & 3) < (src & 3)) {
		*ax |= X86_FLAG_ZF << 8;
		return (old & ~3ull) | (src & 3);
	}
	*ax &= ~(u64)(X86_FLAG_ZF << 8);
	return old;
}

u64 sc_h_arpl(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	u64 src = sc_op_read(v, in, 1);

	if (!sc_prot_not_vm86(v))
		sc_ud(v);
	/* What need not change is not stored: the page may be read-only */
	if ((sc_op_read(v, in, 0) & 3) < (src & 3))
		sc_modify(v, in, do_arpl, src, false);
	else
		v->rflags &= ~(u64)X86_FLAG_ZF;
	return next;
}

u64 sc_h_nop(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	return next;
}

u64 sc_h_nop_or_ud(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	if (cpuid_is_amd(v))
		sc_ud(v);
	return next;
}
