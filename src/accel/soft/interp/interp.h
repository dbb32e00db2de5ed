// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/interp/interp.h - What the interpreter's files share
 *
 * A handler runs one instruction. It returns the new rip, throws before any effect
 * (soft.h, rule 2), and leaves v->rip alone unless it hands over to sys/, whose
 * functions set it. Everything here is [vcpu]. */
#ifndef ACCEL_SOFT_INTERP_INTERP_H
#define ACCEL_SOFT_INTERP_INTERP_H

#include "accel/soft/decode/decode.h"
#include "accel/soft/soft.h"

/* @next: rip of the following instruction, cut to the code size */
typedef u64 sc_handler(struct sc_vcpu *v, const struct sc_insn *in, u64 next);

/* Does the guest's CPUID show @f (enum sc_feature)? */
bool sc_interp_has(struct sc_vcpu *v, unsigned f);

/* ------------------------------------------------ native.c, not of this list */

/* Run an instruction that is not integer (x87, MMX, SSE, AVX, AES...) on the host. Checks
 * CR0.EM/TS, CR4 and CPUID itself. false: unknown, the caller throws #UD. */
bool sc_native_exec(struct sc_vcpu *v, const struct sc_insn *in);

/* ---------------------------------------------------------------- segm.c */

/**
 * sc_lin() - Segment offset to linear address, with every segment check
 * @size:  bytes accessed, 1..4096
 * @write: store; checked for rights in protected mode
 *
 * Throws #GP(0), #SS(0) for SS, #AC(0) for a misaligned 2, 4 or 8 byte access when
 * alignment checks are on. @off is already cut to the address size.
 */
gva_t sc_lin(struct sc_vcpu *v, enum x86_seg seg, u64 off, unsigned size, bool write);
/* The same without the alignment check, for vector and table operands */
gva_t sc_lin_any(struct sc_vcpu *v, enum x86_seg seg, u64 off, unsigned size, bool write);

/* Offset of the memory operand inside its segment, cut to the address size */
static inline u64 sc_addr_mask(unsigned addrsize)
{
	return addrsize == 8 ? ~0ull : addrsize == 4 ? 0xffffffffull : 0xffffull;
}

static inline u64 sc_ea(const struct sc_vcpu *v, const struct sc_insn *in)
{
	u64 off = (u64)in->disp;

	if (in->base < 16)
		off += v->gpr[in->base];
	else if (in->base == SC_REG_RIP)
		off += v->rip + in->len;
	if (in->index < 16)
		off += v->gpr[in->index] << in->scale;
	return off & sc_addr_mask(in->addrsize);
}

/* Linear address of the memory operand of @size bytes */
static inline gva_t sc_mem(struct sc_vcpu *v, const struct sc_insn *in, unsigned size, bool write)
{
	return sc_lin(v, in->seg, sc_ea(v, in), size, write);
}

/* Stack address size in bytes, from SS */
static inline unsigned sc_stack_size(const struct sc_vcpu *v)
{
	return sc_code64(v) ? 8 : v->seg[X86_SS].attr & X86_SEG_DB ? 4 : 2;
}
/* RSP moved by @delta within the stack size; other bits as they are */
static inline u64 sc_stack_add(const struct sc_vcpu *v, s64 delta)
{
	u64 m = sc_addr_mask(sc_stack_size(v)), sp = v->gpr[X86_RSP];

	/* a 32-bit stack in compatibility mode zero-extends, a 16-bit one keeps the rest */
	return m == 0xffffffff ? (u32)(sp + delta) : (sp & ~m) | ((sp + delta) & m);
}
/* Push and pop one value at RSP; they throw before RSP changes */
void sc_push(struct sc_vcpu *v, u64 val, unsigned size);
u64 sc_pop(struct sc_vcpu *v, unsigned size);
/* Value at RSP + @off, without popping */
u64 sc_stack_peek(struct sc_vcpu *v, unsigned off, unsigned size);

/* ------------------------------------------------------- registers and operands */

static inline u64 sc_size_mask(unsigned size)
{
	return size == 8 ? ~0ull : (1ull << size * 8) - 1;
}
static inline u64 sc_sext(u64 x, unsigned size)
{
	unsigned s = 64 - size * 8;

	return (u64)((s64)(x << s) >> s);
}

/* Register write by the x86 rules: 4 bytes zero-extend, 1 and 2 leave the rest */
static inline void sc_set_gpr(struct sc_vcpu *v, unsigned r, u64 val, unsigned size)
{
	switch (size) {
	case 1: *(u8 *)&v->gpr[r] = (u8)val; break;
	case 2: *(u16 *)&v->gpr[r] = (u16)val; break;
	case 4: v->gpr[r] = (u32)val; break;
	default: v->gpr[r] = val; break;
	}
}

/* Value of a register, memory or immediate operand, zero-extended from its size */
u64 sc_op_read(struct sc_vcpu *v, const struct sc_insn *in, unsigned n);
/* Store to a register or memory operand */
void sc_op_write(struct sc_vcpu *v, const struct sc_insn *in, unsigned n, u64 val);

/* ----------------------------------------------------------------- flags */

#define SC_ARITH_FLAGS \
	(X86_FLAG_CF | X86_FLAG_PF | X86_FLAG_AF | X86_FLAG_ZF | X86_FLAG_SF | X86_FLAG_OF)

/* Arithmetic flags as SAHF and LAHF + SETO carry them: AH in 15:8, OF in bit 0 */
static inline u64 sc_flags_pack(u64 rflags)
{
	return (rflags & 0xd5) << 8 | (rflags >> 11 & 1);
}
static inline u64 sc_flags_unpack(u64 rflags, u64 ax)
{
	return (rflags & ~(u64)SC_ARITH_FLAGS) | (ax >> 8 & 0xd5) | (ax & 1) << 11;
}
/* Condition 0..15 of jcc, setcc, cmovcc */
bool sc_cond(u64 rflags, unsigned cc);

/* #GP(0) unless CPL is 0 */
static inline void sc_need_cpl0(struct sc_vcpu *v)
{
	if (v->cpl)
		sc_gp0(v);
}
/* Protected mode and not virtual-8086: else LAR, SLDT, ARPL... are #UD */
static inline bool sc_prot_not_vm86(const struct sc_vcpu *v)
{
	return sc_protected(v) && !sc_vm86(v);
}

/* --------------------------------------------------------------- handlers */

sc_handler sc_h_alu, sc_h_test, sc_h_incdec, sc_h_mul, sc_h_imul, sc_h_bcd;
sc_handler sc_h_shift, sc_h_shd;
sc_handler sc_h_bt, sc_h_scan, sc_h_bswap, sc_h_movbe, sc_h_crc32, sc_h_bmi, sc_h_adx;
sc_handler sc_h_mov, sc_h_movzx, sc_h_movsx, sc_h_mov_seg, sc_h_load_far, sc_h_xchg, sc_h_xadd,
	sc_h_cmpxchg, sc_h_cmpxchg8b, sc_h_cmov, sc_h_setcc, sc_h_lea, sc_h_lahf, sc_h_sahf,
	sc_h_flag, sc_h_salc, sc_h_xlat, sc_h_cbw, sc_h_cwd, sc_h_bound, sc_h_arpl, sc_h_nop, sc_h_nop_or_ud;
sc_handler sc_h_push, sc_h_pop, sc_h_pusha, sc_h_popa, sc_h_pushf, sc_h_popf, sc_h_enter,
	sc_h_leave;
sc_handler sc_h_movs, sc_h_cmps, sc_h_scas, sc_h_lods, sc_h_stos, sc_h_ins, sc_h_outs;
sc_handler sc_h_jcc, sc_h_jcxz, sc_h_loop, sc_h_jmp, sc_h_call, sc_h_ret, sc_h_jmpf, sc_h_callf,
	sc_h_retf, sc_h_iret, sc_h_int, sc_h_syscall;
sc_handler sc_h_hlt, sc_h_cli, sc_h_sti, sc_h_clts, sc_h_dtable, sc_h_ldtr, sc_h_smsw, sc_h_lmsw,
	sc_h_invlpg, sc_h_wbinvd, sc_h_mov_cr, sc_h_mov_dr, sc_h_rdmsr, sc_h_wrmsr, sc_h_rdtsc,
	sc_h_cpuid, sc_h_in, sc_h_out, sc_h_swapgs, sc_h_fsgsbase, sc_h_clflush, sc_h_fence,
	sc_h_lar, sc_h_verr, sc_h_xgetbv, sc_h_xsetbv, sc_h_hypercall, sc_h_rdrand;

#endif
