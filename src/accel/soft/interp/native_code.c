// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/interp/native_code.c - Executable memory of native snippets
 *
 * One memfd per vCPU, mapped twice: writable here, executable there, never both at one
 * address. When it is full everything is dropped; a guest uses a few hundred different
 * encodings. [vcpu], but sc_native_fault [signal] on the same thread. */
#include <errno.h>
#include <stdlib.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ucontext.h>
#include <unistd.h>

#include "accel/soft/fault/fault.h"
#include "accel/soft/interp/native.h"

/* Linux 6.3; older kernels say EINVAL and need no flag */
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
#ifndef MFD_CLOEXEC
#define MFD_CLOEXEC 0x0001U
#endif

#define MAX_SNIPPET 96
_Static_assert(offsetof(struct sc_vcpu, rflags) - offsetof(struct sc_vcpu, gpr) == 136,
	       "snippets reach the flags from the registers");
#define RFLAGS_OFF 136

struct cpuid_bit {
	u32 leaf, sub;
	u8 reg, bit; /* reg: 0 EAX .. 3 EDX */
};
static const struct cpuid_bit feature_bits[SC_NF_NONE] = {
	[SC_NF_FPU] = { 1, 0, 3, 0 },	     [SC_NF_MMX] = { 1, 0, 3, 23 },
	[SC_NF_FXSR] = { 1, 0, 3, 24 },	     [SC_NF_SSE] = { 1, 0, 3, 25 },
	[SC_NF_SSE2] = { 1, 0, 3, 26 },	     [SC_NF_SSE3] = { 1, 0, 2, 0 },
	[SC_NF_PCLMUL] = { 1, 0, 2, 1 },     [SC_NF_SSSE3] = { 1, 0, 2, 9 },
	[SC_NF_FMA] = { 1, 0, 2, 12 },	     [SC_NF_SSE41] = { 1, 0, 2, 19 },
	[SC_NF_SSE42] = { 1, 0, 2, 20 },     [SC_NF_AES] = { 1, 0, 2, 25 },
	[SC_NF_XSAVE] = { 1, 0, 2, 26 },     [SC_NF_AVX] = { 1, 0, 2, 28 },
	[SC_NF_F16C] = { 1, 0, 2, 29 },	     [SC_NF_CMOV] = { 1, 0, 3, 15 },
	[SC_NF_AVX2] = { 7, 0, 1, 5 },	     [SC_NF_SHA] = { 7, 0, 1, 29 },
	[SC_NF_VAES] = { 7, 0, 2, 9 },	     [SC_NF_VPCLMUL] = { 7, 0, 2, 10 },
	[SC_NF_GFNI] = { 7, 0, 2, 8 },	     [SC_NF_AVX_VNNI] = { 7, 1, 0, 4 },
	[SC_NF_XSAVEOPT] = { 0xd, 1, 0, 0 }, [SC_NF_XSAVEC] = { 0xd, 1, 0, 1 },
	[SC_NF_SSE4A] = { 0x80000001, 0, 2, 6 },
};

static const struct cpuid_bit xgetbv_in_use = { 0xd, 1, 0, 2 };

static bool guest_has(const struct sc_vcpu *v, const struct cpuid_bit *b)
{
	for (unsigned i = 0; i < v->num_cpuid; i++) {
		const struct cpuid_entry *e = &v->cpuid[i];
		const u32 *regs = &e->eax; /* eax, ebx, ecx, edx in a row */

		if (e->leaf == b->leaf && (!e->has_subleaf || e->subleaf == b->sub))
			return regs[b->reg] >> b->bit & 1;
	}
	return false;
}
_Static_assert(offsetof(struct cpuid_entry, edx) - offsetof(struct cpuid_entry, eax) == 12,
	       "the four registers are an array");

static bool host_has(const struct cpuid_bit *b)
{
	u32 r[4], max;

	__asm__ volatile("cpuid" : "=a"(max), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(b->leaf & 0x80000000), "c"(0));
	if (b->leaf > max)
		return false;
	__asm__ volatile("cpuid"
			 : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
			 : "a"(b->leaf), "c"(b->sub));
	return r[b->reg] >> b->bit & 1;
}

int sc_native_init(struct sc_vcpu *v)
{
	struct sc_native *n;
	int fd, err;

	if (v->native)
		return 0;
	sc_fpu_save(v);
	n = aligned_alloc(64, sizeof(*n));
	if (!n)
		return -ENOMEM;
	sc_zero(n, sizeof(*n));
	fd = memfd_create("hyperkit-native", MFD_CLOEXEC | MFD_EXEC);
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("hyperkit-native", MFD_CLOEXEC);
	if (fd < 0) {
		err = -errno;
		goto out_free;
	}
	if (ftruncate(fd, SC_NAT_CODE_BYTES))
		goto out_close;
	n->rw = mmap(NULL, SC_NAT_CODE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (n->rw == MAP_FAILED)
		goto out_close;
	n->rx = mmap(NULL, SC_NAT_CODE_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	if (n->rx == MAP_FAILED) {
		err = -errno;
		munmap(n->rw, SC_NAT_CODE_BYTES);
		errno = -err;
		goto out_close;
	}
	close(fd);
	for (unsigned i = 0; i < SC_NF_NONE; i++)
		if (guest_has(v, &feature_bits[i]) && host_has(&feature_bits[i]))
			n->have |= BIT(i);
	n->xgetbv1 = host_has(&xgetbv_in_use);
	v->native = n;
	return 0;

out_close:
	err = -errno;
	close(fd);
out_free:
	free(n);
	return err;
}

void sc_native_fini(struct sc_vcpu *v)
{
	struct sc_native *n = v->native;

	if (!n)
		return;
	sc_fpu_save(v);
	v->native = NULL;
	munmap(n->rw, SC_NAT_CODE_BYTES);
	munmap((void *)n->rx, SC_NAT_CODE_BYTES);
	free(n);
}

/* ----------------------------------------------------------------- encoding */

struct out {
	u8 *p;
};
static void put(struct out *o, u64 bytes, unsigned n)
{
	for (unsigned i = 0; i < n; i++, bytes >>= 8)
		*o->p++ = (u8)bytes;
}

enum gpr_field { GPR_NONE, GPR_REG, GPR_RM };

/* Which ModRM field holds the one explicit general register */
static enum gpr_field gpr_field(const struct sc_insn *in)
{
	bool any = false;

	for (unsigned i = 0; i < in->nops; i++)
		any |= in->op[i].kind == SC_OP_GPR;
	if (!any || !in->off_modrm)
		return GPR_NONE;
	if (in->map == 1) {
		switch (in->opcode) {
		case 0x50: case 0xd7: case 0xc5: case 0x2c: case 0x2d: return GPR_REG;
		case 0x6e: case 0x7e: case 0xc4: case 0x2a: return GPR_RM;
		}
	} else if (in->map == 3) {
		switch (in->opcode) {
		case 0x14: case 0x15: case 0x16: case 0x17: case 0x20: case 0x22: return GPR_RM;
		}
	}
	return GPR_NONE; /* FNSTSW AX */
}

/* Those whose VEX.W means 64-bit integers, which 32-bit code does not have: there it is ignored.
 * The memory forms count, too. */
static bool integer_width(const struct sc_insn *in)
{
	if (in->map == 1)
		return in->opcode == 0x2a || in->opcode == 0x2c || in->opcode == 0x2d ||
		       in->opcode == 0x6e || in->opcode == 0x7e;
	/* PEXTRx, PINSRx; PCMPESTRx, whose lengths are in EAX and EDX */
	return in->map == 3 && (in->opcode == 0x16 || in->opcode == 0x22 || in->opcode == 0x60 ||
				in->opcode == 0x61);
}

/* VEX prefix: registers that became RBX or [RSI] lose their extension bit, and outside
 * 64-bit mode the ignored bits take the value that keeps registers 0..7 */
static void put_vex(struct out *o, const struct sc_insn *in, enum gpr_field g)
{
	const u8 *vex = in->raw + in->off_opcode;
	bool mem = in->flags & SC_I_MEM;
	u8 b1, b2;

	if (vex[0] == 0xc5) {
		b1 = vex[1];
		if (g == GPR_REG)
			b1 |= 0x80;
		put(o, 0xc5 | b1 << 8, 2);
		return;
	}
	b1 = vex[1];
	b2 = vex[2];
	if (g == GPR_REG)
		b1 |= 0x80;
	if (mem || g == GPR_RM)
		b1 |= 0x60;
	if (in->code != 8) {
		b1 |= 0xe0;
		b2 |= 0x40;
		if (integer_width(in))
			b2 &= 0x7f;
	}
	put(o, 0xc4 | b1 << 8 | (u32)b2 << 16, 3);
}

/* Prefixes that stay: the mandatory ones of SSE, and 66 of x87 environments for their
 * format. Address size, segment and LOCK do not matter any more. */
static void put_prefixes(struct out *o, const struct sc_insn *in, const struct sc_nat *e,
			 enum gpr_field g)
{
	u8 rex;

	if (e->flags & SC_NAT_F_X87) {
		if ((e->kind == SC_NAT_ENV || e->kind == SC_NAT_LDENV) &&
		    sc_native_env_size(in) == 2)
			put(o, 0x66, 1);
		return;
	}
	for (unsigned i = 0; i < in->off_opcode; i++)
		if (in->raw[i] == 0x66 || in->raw[i] == 0xf2 || in->raw[i] == 0xf3)
			put(o, in->raw[i], 1);
	rex = in->rex & 0xd; /* W, R, B; there is no index */
	if (g == GPR_REG)
		rex &= ~4;
	if (g == GPR_RM || in->flags & SC_I_MEM)
		rex &= ~1;
	if (rex)
		put(o, 0x40 | rex, 1);
}

static void put_insn(struct out *o, const struct sc_insn *in, const struct sc_nat *e)
{
	enum gpr_field g = gpr_field(in);
	u8 m = in->modrm;

	if (in->encoding == SC_ENC_VEX) {
		put_vex(o, in, g);
		put(o, in->opcode, 1);
	} else {
		unsigned end = in->off_modrm ? in->off_modrm : in->len - in->imm_len;

		put_prefixes(o, in, e, g);
		for (unsigned i = in->off_opcode; i < end; i++)
			put(o, in->raw[i], 1);
	}
	if (in->off_modrm) {
		if (g == GPR_REG)
			m = (m & ~0x38) | X86_RBX << 3;
		if (in->flags & SC_I_MEM)
			m = (m & 0x38) | X86_RSI;
		else if (g == GPR_RM)
			m = (m & ~7) | X86_RBX;
		put(o, m, 1);
	}
	for (unsigned i = 0; i < in->imm_len; i++) {
		u8 b = in->raw[in->off_imm + i];

		/* VBLENDV: a register in bits 7:4, of which 32-bit code uses three */
		if (in->encoding == SC_ENC_VEX && in->code != 8 && in->map == 3 &&
		    in->opcode >= 0x4a && in->opcode <= 0x4c)
			b &= 0x7f;
		put(o, b, 1);
	}
}

/* mov gpr[n](%rdi) to or from host register @r < 8 */
static void put_gpr(struct out *o, unsigned r, unsigned n, bool store)
{
	put(o, 0x48 | (store ? 0x89u : 0x8bu) << 8 | (0x47u | r << 3) << 16 | (u32)(n * 8) << 24, 4);
}

static void emit(struct out *o, const struct sc_insn *in, const struct sc_nat *e)
{
	static const u8 implicit[] = { X86_RAX, X86_RCX, X86_RDX };
	u32 arith = SC_ARITH_FLAGS;
	bool flags = (in->fl_read | in->fl_written) & arith;
	u16 used = in->gpr_read | in->gpr_written;
	int reg = -1;

	for (unsigned i = 0; i < in->nops; i++)
		if (in->op[i].kind == SC_OP_GPR && gpr_field(in) != GPR_NONE)
			reg = in->op[i].reg;
	/* PCMPESTR reads RAX and RDX, PCMPxSTRI writes RCX, FNSTSW writes AX. Those that only
	 * make up the address are loaded for nothing, which does no harm. */
	if (flags) {
		put(o, 0x878b, 2); /* mov 136(%rdi), %eax */
		put(o, RFLAGS_OFF, 4);
		put(o, 0x25, 1); /* and $arith, %eax */
		put(o, arith, 4);
		put(o, 0x9d50, 2); /* push %rax; popf */
	}
	for (unsigned i = 0; i < ARRAY_LEN(implicit); i++)
		if (used & BIT(implicit[i]))
			put_gpr(o, implicit[i], implicit[i], false);
	if (reg >= 0)
		put_gpr(o, X86_RBX, reg, false);
	put_insn(o, in, e);
	if (flags)
		put(o, 0x9c, 1); /* pushf */
	for (unsigned i = 0; i < ARRAY_LEN(implicit); i++)
		if (in->gpr_written & BIT(implicit[i]) && implicit[i] != reg)
			put_gpr(o, implicit[i], implicit[i], true);
	if (reg >= 0 && in->gpr_written & BIT(reg))
		put_gpr(o, X86_RBX, reg, true);
	if (flags) {
		put(o, 0x2558, 2); /* pop %rax; and $arith, %eax */
		put(o, arith, 4);
		put(o, 0x8f8b, 2); /* mov 136(%rdi), %ecx */
		put(o, RFLAGS_OFF, 4);
		put(o, 0xe181, 2); /* and $~arith, %ecx */
		put(o, ~arith, 4);
		put(o, 0xc809, 2); /* or %ecx, %eax */
		put(o, 0x878948, 3); /* mov %rax, 136(%rdi) */
		put(o, RFLAGS_OFF, 4);
	}
	put(o, 0xc3, 1);
}

struct sc_nat *sc_native_find(struct sc_vcpu *v, const struct sc_insn *in)
{
	struct sc_native *n = v->native;
	u64 key[2] = { 0, 0 }, h;
	struct sc_nat *e;
	struct out o;

	sc_copy(key, in->raw, in->len);
	key[1] |= (u64)in->code << 56;
	h = (key[0] ^ key[1] * 0x9e3779b97f4a7c15ull) * 0x9e3779b97f4a7c15ull;
	e = &n->nat[h >> (64 - SC_NAT_BITS)];
	if (likely(e->key[0] == key[0] && e->key[1] == key[1]))
		return e;

	if (n->used + MAX_SNIPPET > SC_NAT_CODE_BYTES) {
		u32 a = 0, b, c = 0, d;

		sc_zero(n->nat, sizeof(n->nat));
		n->used = 0;
		/* Bytes at addresses that were executed change: the writes went to another
		 * linear address, so a serializing instruction is due (SDM 3A 9.1.3) */
		__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d) : : "memory");
	}
	sc_zero(e, sizeof(*e));
	sc_native_classify(in, e);
	if (e->kind == SC_NAT_PLAIN || e->kind == SC_NAT_ENV || e->kind == SC_NAT_LDENV ||
	    e->kind == SC_NAT_VMASKMOV) {
		e->code = n->used;
		o.p = n->rw + n->used;
		emit(&o, in, e);
		n->used = (u32)(o.p - n->rw);
	}
	e->key[0] = key[0];
	e->key[1] = key[1];
	return e;
}

/* ---------------------------------------------------------------- execution */

bool sc_native_fault(struct sc_vcpu *v, struct sc_fault *f)
{
	struct sc_native *n = v->native;
	int vector;

	if (!n || f->pc - (u64)n->rx >= SC_NAT_CODE_BYTES)
		return false;
	if (f->sig == SIGBUS) {
		f->gregs[REG_RAX] = SC_NAT_BUS;
	} else {
		vector = sc_fault_vector(f, n->x87);
		if (vector < 0)
			return false;
		f->gregs[REG_RAX] = vector + 1;
	}
	f->gregs[REG_RIP] = (long long)sc_native_abort;
	f->gregs[REG_RSP] = (long long)n->host_rsp;
	return true;
}

static void say_broken(struct sc_vcpu *v, const char *why)
{
	unsigned i = 0;

	for (; why[i] && i < sizeof(v->broken) - 1; i++)
		v->broken[i] = why[i];
	v->broken[i] = 0;
}

void sc_native_call(struct sc_vcpu *v, const struct sc_nat *e, void *mem)
{
	struct sc_native *n = v->native;
	u32 r;

	n->x87 = e->flags & SC_NAT_F_X87;
	sc_fpu_load(v);
	r = sc_native_run(v->gpr, mem, n->rx + e->code, &n->host_rsp);
	if (likely(!r))
		return;
	switch (r) {
	case SC_NAT_BUS:
		say_broken(v, "the host cannot provide a page of guest memory (SIGBUS)");
		sc_throw_error(v, X86_VEC_MC, 0);
	case X86_VEC_XM + 1:
		if (!(v->cr4 & X86_CR4_OSXMMEXCPT))
			sc_ud(v);
		sc_throw(v, X86_VEC_XM);
	case X86_VEC_GP + 1:
		sc_gp0(v);
	default:
		sc_throw(v, r - 1);
	}
}
