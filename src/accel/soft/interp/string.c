// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/interp/string.c - String instructions
 *
 * A repeated one runs in chunks that stay inside one page on either side and do the
 * whole chunk with the host's own instruction of the same element size, so that
 * overlapping moves come out right. Whatever is odd (devices, page crossing elements,
 * DF set, a segment limit near) goes element by element. The registers are up to date
 * after each chunk: a fault or an interrupt between two finds an instruction that can
 * be started again. */
#include "accel/soft/interp/operand.h"

#define MAX_CHUNKS 64	 /* per call; pages */
#define MAX_ELEMENTS 512 /* per call, of the slow kind */

static bool repeated(const struct sc_insn *in)
{
	return in->flags & (SC_I_REP | SC_I_REPNE);
}

static u64 reg_get(const struct sc_vcpu *v, const struct sc_insn *in, unsigned r)
{
	return v->gpr[r] & sc_addr_mask(in->addrsize);
}

static void reg_add(struct sc_vcpu *v, const struct sc_insn *in, unsigned r, s64 n)
{
	sc_set_gpr(v, r, v->gpr[r] + (u64)n, in->addrsize);
}

/* Elements still to do */
static u64 left(const struct sc_vcpu *v, const struct sc_insn *in)
{
	return repeated(in) ? reg_get(v, in, X86_RCX) : 1;
}

static s64 step(const struct sc_vcpu *v, const struct sc_insn *in)
{
	return v->rflags & X86_FLAG_DF ? -(s64)in->opsize : in->opsize;
}

/* TF, data breakpoints and debuggers see every iteration */
static bool one_by_one(const struct sc_vcpu *v)
{
	return v->rflags & X86_FLAG_TF || v->watch || v->debug_step;
}

/* May the loop take another turn after @done chunks or elements? */
static bool go_on(struct sc_vcpu *v, unsigned done, unsigned max)
{
	return !done || (done < max && !one_by_one(v) &&
			 !atomic_load_explicit(&v->attention, memory_order_relaxed));
}

/* rip after the call: the instruction again when it was cut */
static u64 leave(struct sc_vcpu *v, const struct sc_insn *in, u64 next, bool cut)
{
	if (!cut)
		return next;
	v->rf_next = true;
	return v->rip;
}

/* Bytes, a multiple of the element size, that can be had at seg:off upwards in one page without
 * another check than the first element's; 0 when the element itself crosses the page or a limit.
 * *a: linear address. Throws what the first element would. */
static unsigned chunk(struct sc_vcpu *v, const struct sc_insn *in, enum x86_seg seg, u64 off,
		      bool write, gva_t *a)
{
	const struct x86_segment *s = &v->seg[seg];
	u64 n, room;

	*a = sc_lin(v, seg, off, in->opsize, write);
	n = PAGE_BYTES - (*a & ~PAGE_MASK);
	room = sc_addr_mask(in->addrsize) - off; /* to the address wrap, less one */
	if (room < n)
		n = room + 1;
	if (!sc_code64(v)) {
		/* expand-down and partial limits: element by element */
		if ((s->attr & 0xc) == 4)
			return 0;
		room = (u64)s->limit - off;
		if (room < n)
			n = room + 1;
	}
	/* a misaligned element may cross the page, where sc_lin's answer was for both */
	return (unsigned)(n & ~(u64)(in->opsize - 1));
}

static bool fast(const struct sc_vcpu *v)
{
	return !(v->rflags & X86_FLAG_DF) && !one_by_one(v);
}

/* ------------------------------------------------------------ movs, stos */

static void host_movs(void *d, const void *s, u64 n, unsigned size)
{
	switch (size) {
	case 1: __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory"); break;
	case 2: __asm__ volatile("rep movsw" : "+D"(d), "+S"(s), "+c"(n) : : "memory"); break;
	case 4: __asm__ volatile("rep movsl" : "+D"(d), "+S"(s), "+c"(n) : : "memory"); break;
	default: __asm__ volatile("rep movsq" : "+D"(d), "+S"(s), "+c"(n) : : "memory"); break;
	}
}

static void host_stos(void *d, u64 val, u64 n, unsigned size)
{
	switch (size) {
	case 1: __asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(val) : "memory"); break;
	case 2: __asm__ volatile("rep stosw" : "+D"(d), "+c"(n) : "a"(val) : "memory"); break;
	case 4: __asm__ volatile("rep stosl" : "+D"(d), "+c"(n) : "a"(val) : "memory"); break;
	default: __asm__ volatile("rep stosq" : "+D"(d), "+c"(n) : "a"(val) : "memory"); break;
	}
}

/* A host pointer for @bytes at @a, or NULL */
static void *r_ptr(struct sc_vcpu *v, gva_t a, unsigned bytes)
{
	return bytes ? sc_r_ptr(v, a, bytes) : NULL;
}

/* Return: elements moved */
static u64 movs_once(struct sc_vcpu *v, const struct sc_insn *in, u64 count)
{
	unsigned size = in->opsize;
	u64 si = reg_get(v, in, X86_RSI), di = reg_get(v, in, X86_RDI), val;
	gva_t src, dst;

	if (count > 1 && fast(v)) {
		unsigned bytes = chunk(v, in, in->seg, si, false, &src);
		void *s = r_ptr(v, src, bytes), *d = NULL;

		if (s) { /* else its fault comes first */
			unsigned room = chunk(v, in, X86_ES, di, true, &dst);

			bytes = MIN(bytes, room);
			if (count < bytes / size)
				bytes = (unsigned)count * size;
			d = bytes ? sc_rw_ptr(v, dst, bytes) : NULL;
		}
		if (d) {
			host_movs(d, s, bytes / size, size);
			sc_store_done(v);
			return bytes / size;
		}
	}
	/* the load's faults come before the store's */
	val = sc_read(v, sc_lin(v, in->seg, si, size, false), size);
	sc_write(v, sc_lin(v, X86_ES, di, size, true), val, size);
	return 1;
}

u64 sc_h_movs(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	s64 d = step(v, in);
	unsigned turns = 0;
	u64 count;

	while ((count = left(v, in)) != 0 && go_on(v, turns++, MAX_CHUNKS)) {
		u64 n = movs_once(v, in, count);

		reg_add(v, in, X86_RSI, d * (s64)n);
		reg_add(v, in, X86_RDI, d * (s64)n);
		if (!repeated(in))
			return next;
		reg_add(v, in, X86_RCX, -(s64)n);
	}
	return leave(v, in, next, count != 0);
}

static u64 stos_once(struct sc_vcpu *v, const struct sc_insn *in, u64 count)
{
	unsigned size = in->opsize;
	u64 di = reg_get(v, in, X86_RDI);
	gva_t dst;

	if (count > 1 && fast(v)) {
		unsigned bytes = chunk(v, in, X86_ES, di, true, &dst);
		void *d;

		if (count < bytes / size)
			bytes = (unsigned)count * size;
		d = bytes ? sc_rw_ptr(v, dst, bytes) : NULL;
		if (d) {
			host_stos(d, v->gpr[X86_RAX], bytes / size, size);
			sc_store_done(v);
			return bytes / size;
		}
	}
	sc_write(v, sc_lin(v, X86_ES, di, size, true), v->gpr[X86_RAX], size);
	return 1;
}

u64 sc_h_stos(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	s64 d = step(v, in);
	unsigned turns = 0;
	u64 count;

	while ((count = left(v, in)) != 0 && go_on(v, turns++, MAX_CHUNKS)) {
		u64 n = stos_once(v, in, count);

		reg_add(v, in, X86_RDI, d * (s64)n);
		if (!repeated(in))
			return next;
		reg_add(v, in, X86_RCX, -(s64)n);
	}
	return leave(v, in, next, count != 0);
}

u64 sc_h_lods(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	unsigned size = in->opsize, turns = 0;
	s64 d = step(v, in);
	u64 count;

	while ((count = left(v, in)) != 0 && go_on(v, turns++, MAX_ELEMENTS)) {
		u64 si = reg_get(v, in, X86_RSI);

		sc_set_gpr(v, X86_RAX, sc_read(v, sc_lin(v, in->seg, si, size, false), size), size);
		reg_add(v, in, X86_RSI, d);
		if (!repeated(in))
			return next;
		reg_add(v, in, X86_RCX, -1);
	}
	return leave(v, in, next, count != 0);
}

/* ------------------------------------------------------------ cmps, scas */

/* Compare up to @n elements; *n: those left when it stopped. Return: flags image */
#define CMPS(rep, sfx)                                             \
	__asm__ volatile(rep " cmps" sfx SC_FLAGS_OUT              \
			 : "+S"(a), "+D"(b), "+c"(*n), "=a"(f)     \
			 : "3"(0) : "memory", "cc")
#define SCAS(rep, sfx)                                             \
	__asm__ volatile(rep " scas" sfx SC_FLAGS_OUT              \
			 : "+D"(b), "+c"(*n), "=a"(f)              \
			 : "2"(val) : "memory", "cc")
#define BY_SIZE(what, rep)                       \
	do {                                     \
		switch (size) {                  \
		case 1: what(rep, "b"); break;   \
		case 2: what(rep, "w"); break;   \
		case 4: what(rep, "l"); break;   \
		default: what(rep, "q"); break;  \
		}                                \
	} while (0)

static u64 host_cmps(const void *a, const void *b, u64 *n, unsigned size, bool repne)
{
	u64 f;

	if (repne)
		BY_SIZE(CMPS, "repne");
	else
		BY_SIZE(CMPS, "repe");
	return f;
}

static u64 host_scas(u64 val, const void *b, u64 *n, unsigned size, bool repne)
{
	u64 f;

	if (repne)
		BY_SIZE(SCAS, "repne");
	else
		BY_SIZE(SCAS, "repe");
	return f;
}

/* Compare @count elements at most; @scas: with RAX instead of seg:rsi. Return: elements used */
static u64 compare_once(struct sc_vcpu *v, const struct sc_insn *in, u64 count, bool scas)
{
	unsigned size = in->opsize;
	bool repne = in->flags & SC_I_REPNE;
	u64 si = reg_get(v, in, X86_RSI), di = reg_get(v, in, X86_RDI), f, n = 1, x, y;
	gva_t src = 0, dst;

	if (count > 1 && fast(v)) {
		unsigned a = scas ? PAGE_BYTES : chunk(v, in, in->seg, si, false, &src);
		unsigned b = chunk(v, in, X86_ES, di, false, &dst);
		unsigned bytes = MIN(a, b);
		void *s = NULL, *d;

		if (count < bytes / size)
			bytes = (unsigned)count * size;
		if (!scas)
			s = r_ptr(v, src, bytes);
		d = scas || s ? r_ptr(v, dst, bytes) : NULL;
		if (d) {
			n = bytes / size;
			f = scas ? host_scas(v->gpr[X86_RAX], d, &n, size, repne)
				 : host_cmps(s, d, &n, size, repne);
			v->rflags = sc_flags_unpack(v->rflags, f);
			return bytes / size - n;
		}
	}
	x = scas ? v->gpr[X86_RAX] : sc_read(v, sc_lin(v, in->seg, si, size, false), size);
	y = sc_read(v, sc_lin(v, X86_ES, di, size, false), size);
	f = scas ? host_scas(x, &y, &n, size, repne) : host_cmps(&x, &y, &n, size, repne);
	v->rflags = sc_flags_unpack(v->rflags, f);
	return 1;
}

static u64 compare(struct sc_vcpu *v, const struct sc_insn *in, u64 next, bool scas)
{
	s64 d = step(v, in);
	unsigned turns = 0;
	u64 count;

	while ((count = left(v, in)) != 0 && go_on(v, turns++, MAX_ELEMENTS)) {
		u64 n = compare_once(v, in, count, scas);

		if (!scas)
			reg_add(v, in, X86_RSI, d * (s64)n);
		reg_add(v, in, X86_RDI, d * (s64)n);
		if (!repeated(in))
			return next;
		reg_add(v, in, X86_RCX, -(s64)n);
		if (!!(v->rflags & X86_FLAG_ZF) == !!(in->flags & SC_I_REPNE))
			return next;
	}
	return leave(v, in, next, count != 0);
}

u64 sc_h_cmps(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	return compare(v, in, next, false);
}

u64 sc_h_scas(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	return compare(v, in, next, true);
}

/* -------------------------------------------------------------- ins, outs */

u64 sc_h_ins(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	unsigned size = MIN(in->opsize, 4), turns = 0;
	s64 d = v->rflags & X86_FLAG_DF ? -(s64)size : size;
	u16 port = (u16)v->gpr[X86_RDX];
	u64 count;

	sc_check_io(v, port, size);
	while ((count = left(v, in)) != 0 && go_on(v, turns++, MAX_ELEMENTS)) {
		gva_t a = sc_lin(v, X86_ES, reg_get(v, in, X86_RDI), size, true);

		sc_check_write(v, a, size); /* the port read cannot be taken back */
		sc_write(v, a, sc_port_in(v, port, size), size);
		reg_add(v, in, X86_RDI, d);
		if (!repeated(in))
			return next;
		reg_add(v, in, X86_RCX, -1);
	}
	return leave(v, in, next, count != 0);
}

u64 sc_h_outs(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	unsigned size = MIN(in->opsize, 4), turns = 0;
	s64 d = v->rflags & X86_FLAG_DF ? -(s64)size : size;
	u16 port = (u16)v->gpr[X86_RDX];
	u64 count;

	sc_check_io(v, port, size);
	while ((count = left(v, in)) != 0 && go_on(v, turns++, MAX_ELEMENTS)) {
		gva_t a = sc_lin(v, in->seg, reg_get(v, in, X86_RSI), size, false);

		sc_port_out(v, port, size, sc_read(v, a, size));
		reg_add(v, in, X86_RSI, d);
		if (!repeated(in))
			return next;
		reg_add(v, in, X86_RCX, -1);
	}
	return leave(v, in, next, count != 0);
}
