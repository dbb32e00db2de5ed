// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/interp/operand.c - Operands: read, write, read-modify-write
 *
 * A locked read-modify-write is a compare-and-swap loop on the host address, whatever
 * the instruction: to other CPUs that is one atomic access with the instruction's
 * outcome, and so no operation needs a locked twin. */
#include "accel/soft/interp/operand.h"

u64 sc_op_read(struct sc_vcpu *v, const struct sc_insn *in, unsigned n)
{
	const struct sc_op *op = &in->op[n];

	switch (op->kind) {
	case SC_OP_GPR: return v->gpr[op->reg] & sc_size_mask(op->size);
	case SC_OP_HIGH8: return v->gpr[op->reg] >> 8 & 0xff;
	case SC_OP_MEM: return sc_read(v, sc_mem(v, in, op->size, false), op->size);
	case SC_OP_SEG: return v->seg[op->reg].sel;
	default: return (u64)in->imm;
	}
}

void sc_op_write(struct sc_vcpu *v, const struct sc_insn *in, unsigned n, u64 val)
{
	const struct sc_op *op = &in->op[n];

	if (op->kind == SC_OP_GPR)
		sc_set_gpr(v, op->reg, val, op->size);
	else if (op->kind == SC_OP_HIGH8)
		v->gpr[op->reg] = (v->gpr[op->reg] & ~0xff00ull) | (val & 0xff) << 8;
	else
		sc_write(v, sc_mem(v, in, op->size, true), val, op->size);
}

bool sc_cond(u64 rflags, unsigned cc)
{
	bool cf = rflags & X86_FLAG_CF, zf = rflags & X86_FLAG_ZF, sf = rflags & X86_FLAG_SF;
	bool of = rflags & X86_FLAG_OF, r;

	switch (cc >> 1) {
	case 0: r = of; break;
	case 1: r = cf; break;
	case 2: r = zf; break;
	case 3: r = cf || zf; break;
	case 4: r = sf; break;
	case 5: r = rflags & X86_FLAG_PF; break;
	case 6: r = sf != of; break;
	default: r = zf || sf != of; break;
	}
	return r != (cc & 1);
}

/* Return: the value found; it is @old when the swap happened */
static u64 cas(void *p, u64 old, u64 new, unsigned size)
{
	switch (size) {
	case 1:
		__asm__ volatile("lock cmpxchgb %b2, %1"
				 : "+a"(old), "+m"(*(u8 *)p) : "r"(new) : "memory", "cc");
		break;
	case 2:
		__asm__ volatile("lock cmpxchgw %w2, %1"
				 : "+a"(old), "+m"(*(u16 *)p) : "r"(new) : "memory", "cc");
		break;
	case 4:
		__asm__ volatile("lock cmpxchgl %k2, %1"
				 : "+a"(old), "+m"(*(u32 *)p) : "r"(new) : "memory", "cc");
		break;
	default:
		__asm__ volatile("lock cmpxchgq %q2, %1"
				 : "+a"(old), "+m"(*(u64 *)p) : "r"(new) : "memory", "cc");
		break;
	}
	return old & sc_size_mask(size);
}

static void span_open(struct sc_vcpu *v, gva_t a, struct sc_span *s)
{
	gva_t second = sc_long_mode(v) ? a + s->n[0] : (u32)(a + s->n[0]);

	s->p[0] = sc_rw_ptr(v, a, s->n[0]);
	s->store_gpa[0] = v->store_gpa;
	s->store_len[0] = v->store_len;
	s->p[1] = sc_rw_ptr(v, second, s->n[1]);
	s->store_gpa[1] = v->store_gpa;
	s->store_len[1] = v->store_len;
}

/* span_open with a landing place of its own. false: it threw, v->exc says what. Only memory is
 * used after the second return of __builtin_setjmp. */
static bool __attribute__((noinline)) span_try(struct sc_vcpu *volatile v, volatile gva_t a,
					       struct sc_span *volatile s)
{
	void *volatile saved[5];
	volatile bool done = false;

	for (unsigned i = 0; i < 5; i++)
		saved[i] = v->throw_buf[i];
	if (!__builtin_setjmp(v->throw_buf)) {
		span_open(v, a, s);
		done = true;
	}
	for (unsigned i = 0; i < 5; i++)
		v->throw_buf[i] = saved[i];
	return done;
}

static void NORETURN __attribute__((noinline)) throw_again(struct sc_vcpu *v)
{
	__builtin_longjmp(v->throw_buf, 1);
}

bool sc_span_lock(struct sc_vcpu *v, gva_t a, unsigned size, struct sc_span *s)
{
	s->n[0] = (unsigned)(PAGE_BYTES - (a & ~PAGE_MASK));
	s->n[1] = size - s->n[0];
	/* waiting for the lock leaves guest context: pointers from before would be stale */
	sc_bus_lock(v);
	if (!span_try(v, a, s)) {
		sc_bus_unlock(v);
		throw_again(v);
	}
	if (s->p[0] && s->p[1])
		return true;
	sc_bus_unlock(v);
	return false;
}

void sc_span_load(const struct sc_span *s, void *buf)
{
	sc_copy(buf, s->p[0], s->n[0]);
	sc_copy((u8 *)buf + s->n[0], s->p[1], s->n[1]);
}

void sc_span_store(const struct sc_span *s, const void *buf)
{
	sc_copy(s->p[0], buf, s->n[0]);
	sc_copy(s->p[1], (const u8 *)buf + s->n[0], s->n[1]);
}

void sc_span_unlock(struct sc_vcpu *v, const struct sc_span *s)
{
	sc_bus_unlock(v);
	for (unsigned i = 0; i < 2; i++) {
		v->store_gpa = s->store_gpa[i];
		v->store_len = s->store_len[i];
		sc_store_done(v);
	}
}

u64 sc_modify_mem(struct sc_vcpu *v, gva_t a, unsigned size, sc_modify_fn *fn, u64 src,
		  unsigned sub, bool lock)
{
	bool split = (a & ~PAGE_MASK) + size > PAGE_BYTES;
	u64 start = sc_flags_pack(v->rflags), ax = start, old, new;
	void *p = split ? NULL : sc_rw_ptr(v, a, size);

	if (likely(p)) {
		old = sc_host_load(p, size);
		new = fn(old, src, size, sub, &ax);
		if (lock) {
			u64 found;

			while ((found = cas(p, old, new & sc_size_mask(size), size)) != old) {
				old = found;
				ax = start;
				new = fn(old, src, size, sub, &ax);
			}
		} else {
			sc_host_store(p, new, size);
		}
		sc_store_done(v);
	} else {
		struct sc_span s;

		if (split && lock && sc_span_lock(v, a, size, &s)) {
			old = 0;
			sc_span_load(&s, &old);
			new = fn(old, src, size, sub, &ax);
			sc_span_store(&s, &new);
			sc_span_unlock(v, &s);
		} else {
			/* a device or ROM: LOCK has nobody to be atomic against */
			sc_check_write(v, a, size);
			old = sc_read(v, a, size);
			new = fn(old, src, size, sub, &ax);
			sc_write(v, a, new, size);
		}
	}
	v->rflags = sc_flags_unpack(v->rflags, ax);
	return old;
}

u64 sc_modify(struct sc_vcpu *v, const struct sc_insn *in, sc_modify_fn *fn, u64 src, bool lock)
{
	unsigned size = in->op[0].size;
	u64 ax, old;

	if (in->op[0].kind == SC_OP_MEM)
		return sc_modify_mem(v, sc_mem(v, in, size, true), size, fn, src, in->sub, lock);
	ax = sc_flags_pack(v->rflags);
	old = sc_op_read(v, in, 0);
	sc_op_write(v, in, 0, fn(old, src, size, in->sub, &ax));
	v->rflags = sc_flags_unpack(v->rflags, ax);
	return old;
}
