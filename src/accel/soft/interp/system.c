// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/interp/system.c - Privileged and system instructions
 *
 * Privilege and mode are checked here; what the registers mean is sys/'s. */
#include "accel/soft/interp/interp.h"

/* CLI and STI; real mode runs at CPL 0, virtual-8086 at 3 */
static void need_iopl(struct sc_vcpu *v)
{
	if (v->cpl > sc_iopl(v))
		sc_gp0(v);
}

/* SGDT, SIDT, SLDT, STR, SMSW */
static void check_umip(struct sc_vcpu *v)
{
	if (v->cr4 & X86_CR4_UMIP && v->cpl)
		sc_gp0(v);
}

u64 sc_h_hlt(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	sc_need_cpl0(v);
	v->halted = true;
	return next;
}

u64 sc_h_cli(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	need_iopl(v);
	v->rflags &= ~(u64)X86_FLAG_IF;
	return next;
}

u64 sc_h_sti(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	need_iopl(v);
	if (!(v->rflags & X86_FLAG_IF)) {
		v->rflags |= X86_FLAG_IF;
		v->int_shadow = 1;
		sc_if_changed(v);
	}
	return next;
}

u64 sc_h_clts(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	sc_need_cpl0(v);
	v->cr0 &= ~(u64)X86_CR0_TS;
	sc_mode_update(v);
	return next;
}

/* --------------------------------------------------------- descriptor tables */

u64 sc_h_dtable(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	unsigned base_len = sc_code64(v) ? 8 : 4;
	u64 off = sc_ea(v, in), base, m = sc_addr_mask(in->addrsize);
	u16 limit;

	if (in->sub < 2) {
		const struct x86_table *t = in->sub ? &v->idt : &v->gdt;
		u8 buf[10];

		check_umip(v);
		for (unsigned i = 0; i < 2; i++)
			buf[i] = (u8)(t->limit >> i * 8);
		for (unsigned i = 0; i < 8; i++)
			buf[2 + i] = (u8)(t->base >> i * 8);
		sc_write_bytes(v, sc_lin_any(v, in->seg, off, 2 + base_len, true), buf,
			       2 + base_len);
		return next;
	}
	sc_need_cpl0(v);
	limit = (u16)sc_read(v, sc_lin_any(v, in->seg, off, 2, false), 2);
	base = sc_read(v, sc_lin_any(v, in->seg, (off + 2) & m, base_len, false), base_len);
	if (base_len == 8) {
		if (!sc_canonical(base))
			sc_gp0(v);
	} else if (in->opsize == 2) {
		base &= 0xffffff;
	}
	*(in->sub == 2 ? &v->gdt : &v->idt) = (struct x86_table){ .base = base, .limit = limit };
	return next;
}

/* A selector or CR0's low half: 16 bits to memory, zero-extended to a register */
static void store16(struct sc_vcpu *v, const struct sc_insn *in, u64 val)
{
	if (in->op[0].kind == SC_OP_MEM)
		sc_write(v, sc_mem(v, in, 2, true), val & 0xffff, 2);
	else
		sc_op_write(v, in, 0, val);
}

static u16 load16(struct sc_vcpu *v, const struct sc_insn *in, unsigned n)
{
	if (in->op[n].kind == SC_OP_MEM)
		return (u16)sc_read(v, sc_mem(v, in, 2, false), 2);
	return (u16)sc_op_read(v, in, n);
}

u64 sc_h_ldtr(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	if (!sc_prot_not_vm86(v))
		sc_ud(v);
	if (in->sub < 2) {
		check_umip(v);
		store16(v, in, v->seg[in->sub ? X86_TR : X86_LDTR].sel);
		return next;
	}
	sc_need_cpl0(v);
	if (in->sub == 2)
		sc_load_ldtr(v, load16(v, in, 0));
	else
		sc_load_tr(v, load16(v, in, 0));
	return next;
}

u64 sc_h_lar(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	u32 val = 0;
	u16 sel;

	if (!sc_prot_not_vm86(v))
		sc_ud(v);
	sel = load16(v, in, 1);
	if (in->sub ? sc_lsl(v, sel, &val) : sc_lar(v, sel, &val)) {
		sc_op_write(v, in, 0, val);
		v->rflags |= X86_FLAG_ZF;
	} else {
		v->rflags &= ~(u64)X86_FLAG_ZF;
	}
	return next;
}

u64 sc_h_verr(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	if (!sc_prot_not_vm86(v))
		sc_ud(v);
	if (sc_verify_seg(v, load16(v, in, 0), in->sub))
		v->rflags |= X86_FLAG_ZF;
	else
		v->rflags &= ~(u64)X86_FLAG_ZF;
	return next;
}

/* --------------------------------------------------------- control registers */

u64 sc_h_smsw(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	check_umip(v);
	store16(v, in, v->cr0);
	return next;
}

u64 sc_h_lmsw(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	u64 val;

	sc_need_cpl0(v);
	val = load16(v, in, 0) & 0xf;
	/* PE can be set here but not cleared */
	sc_write_cr(v, 0, (v->cr0 & ~0xeull) | val);
	return next;
}

u64 sc_h_mov_cr(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	sc_need_cpl0(v);
	if (in->op[0].kind == SC_OP_CR)
		sc_write_cr(v, in->op[0].reg, sc_op_read(v, in, 1));
	else
		sc_op_write(v, in, 0, sc_read_cr(v, in->op[1].reg));
	return next;
}

u64 sc_h_mov_dr(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	sc_need_cpl0(v);
	if (in->op[0].kind == SC_OP_DR)
		sc_write_dr(v, in->op[0].reg, sc_op_read(v, in, 1));
	else
		sc_op_write(v, in, 0, sc_read_dr(v, in->op[1].reg));
	return next;
}

u64 sc_h_invlpg(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	u64 a = sc_ea(v, in);

	sc_need_cpl0(v);
	/* no segment or canonical faults: a bad address has nothing to flush */
	if (sc_code64(v))
		a += in->seg == X86_FS || in->seg == X86_GS ? v->seg[in->seg].base : 0;
	else
		a = (u32)(a + v->seg[in->seg].base);
	if (sc_canonical(a))
		sc_invlpg(v, a);
	return next;
}

u64 sc_h_wbinvd(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	sc_need_cpl0(v); /* caches are the host's and coherent */
	return next;
}

u64 sc_h_xgetbv(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	if (!(v->cr4 & X86_CR4_OSXSAVE))
		sc_ud(v);
	if ((u32)v->gpr[X86_RCX] > 1) /* 1: components in use; all enabled ones may be */
		sc_gp0(v);
	v->gpr[X86_RAX] = (u32)v->xcr0;
	v->gpr[X86_RDX] = v->xcr0 >> 32;
	return next;
}

u64 sc_h_xsetbv(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	if (!(v->cr4 & X86_CR4_OSXSAVE))
		sc_ud(v);
	sc_need_cpl0(v);
	sc_xsetbv(v, (u32)v->gpr[X86_RCX], (u32)v->gpr[X86_RAX] | v->gpr[X86_RDX] << 32);
	return next;
}

/* ------------------------------------------------------- MSRs, time, identity */

u64 sc_h_rdmsr(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	u64 val;

	sc_need_cpl0(v);
	val = sc_rdmsr(v, (u32)v->gpr[X86_RCX]);
	v->gpr[X86_RAX] = (u32)val;
	v->gpr[X86_RDX] = val >> 32;
	return next;
}

u64 sc_h_wrmsr(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	sc_need_cpl0(v);
	sc_wrmsr(v, (u32)v->gpr[X86_RCX], (u32)v->gpr[X86_RAX] | v->gpr[X86_RDX] << 32);
	return next;
}

u64 sc_h_rdtsc(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	u64 t;

	if (in->sub == 2) { /* rdpid */
		sc_op_write(v, in, 0, (u32)v->msr.tsc_aux);
		return next;
	}
	if (in->sub == 3) /* rdpmc: there are no counters */
		sc_gp0(v);
	if (v->cr4 & X86_CR4_TSD && v->cpl)
		sc_gp0(v);
	t = sc_rdtsc(v);
	v->gpr[X86_RAX] = (u32)t;
	v->gpr[X86_RDX] = t >> 32;
	if (in->sub == 1)
		v->gpr[X86_RCX] = (u32)v->msr.tsc_aux;
	return next;
}

u64 sc_h_cpuid(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	sc_cpuid(v);
	return next;
}

u64 sc_h_rdrand(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	u64 val = 0;
	bool ok;

	if (in->sub)
		__asm__ volatile("rdseed %0\n\tsetc %1" : "=r"(val), "=q"(ok) : : "cc");
	else
		__asm__ volatile("rdrand %0\n\tsetc %1" : "=r"(val), "=q"(ok) : : "cc");
	v->rflags = (v->rflags & ~(u64)SC_ARITH_FLAGS) | (ok ? X86_FLAG_CF : 0);
	sc_op_write(v, in, 0, ok ? val : 0);
	return next;
}

/* ------------------------------------------------------------------ ports */

u64 sc_h_in(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	unsigned size = in->op[0].size;
	u16 port = in->op[1].kind == SC_OP_IMM ? (u8)in->imm : (u16)v->gpr[X86_RDX];

	sc_check_io(v, port, size);
	sc_set_gpr(v, X86_RAX, sc_port_in(v, port, size), size);
	return next;
}

u64 sc_h_out(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	unsigned size = in->op[1].size;
	u16 port = in->op[0].kind == SC_OP_IMM ? (u8)in->imm : (u16)v->gpr[X86_RDX];

	sc_check_io(v, port, size);
	sc_port_out(v, port, size, v->gpr[X86_RAX] & sc_size_mask(size));
	return next;
}

/* --------------------------------------------------------- segment bases */

u64 sc_h_swapgs(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	u64 base = v->seg[X86_GS].base;

	if (!sc_code64(v))
		sc_ud(v);
	sc_need_cpl0(v);
	v->seg[X86_GS].base = v->msr.kernel_gs_base;
	v->msr.kernel_gs_base = base;
	sc_seg_changed(v);
	return next;
}

u64 sc_h_fsgsbase(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	struct x86_segment *s = &v->seg[in->sub & 1 ? X86_GS : X86_FS];

	if (!sc_code64(v) || !(v->cr4 & X86_CR4_FSGSBASE))
		sc_ud(v);
	if (in->sub < 2) {
		sc_op_write(v, in, 0, s->base);
	} else {
		u64 val = sc_op_read(v, in, 0);

		if (!sc_canonical(val))
			sc_gp0(v);
		s->base = val;
		sc_seg_changed(v);
	}
	return next;
}

/* ----------------------------------------------------------------- others */

u64 sc_h_clflush(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	/* it faults as a load of one byte does, but a device must not see a read */
	sc_r_ptr(v, sc_mem(v, in, 1, false), 1);
	return next;
}

u64 sc_h_fence(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	__asm__ volatile("mfence" : : : "memory");
	return next;
}

u64 sc_h_hypercall(struct sc_vcpu *v, const struct sc_insn *in, u64 next)
{
	sc_hypercall(v);
	return next;
}
