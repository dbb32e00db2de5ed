// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/translate/tr_sys.c - Frequent system instructions and bit strings in line
 *
 * What a kernel does at every lock and system call: cli, sti, pushf, reading
 * segment registers, bt with a register index. [vcpu, cache locked] */
#include "accel/soft/translate/tr.h"

bool tr_sys_exact(const struct tr *t, const struct sc_insn *in)
{
	switch (in->cls) {
	case SC_C_CLI:
	case SC_C_STI:
	case SC_C_SWAPGS:
		return !(t->mode & SC_MODE_USER);
	case SC_C_MOV_SEG:
		return in->op[0].kind == SC_OP_GPR;
	default:
		return false;
	}
}

/* op dword gs:[off], imm32 */
static void e_gs_imm(struct emit *e, unsigned digit, u32 off, u32 imm)
{
	e_gs(e, false, 0x81, digit, off);
	e32(e, imm);
}

static bool cli(struct tr *t)
{
	if (t->mode & SC_MODE_USER)
		return false;
	tr_clobber_flags(t, t->live[t->i]);
	e_gs_imm(&t->e, 4, SC_OFF_RFLAGS, ~(u32)X86_FLAG_IF);	/* and */
	return true;
}

/*
 * The instruction behind STI runs before any interrupt. It is in this block
 * (translate.c), and nothing looks at v->attention in between. When an interrupt
 * waits already, the interpreter does STI with its shadow and leaves the block.
 */
static bool sti(struct tr *t)
{
	struct tr_sti *c = &t->sti[t->num_stis];

	if (t->mode & SC_MODE_USER)
		return false;
	tr_clobber_flags(t, t->live[t->i]);
	e_gs(&t->e, false, 0x80, 7, offsetof(struct sc_vcpu, intr_wait)); /* cmp byte, 0 */
	e8(&t->e, 0);
	c->site = e_jcc_later(&t->e, CC_NE);
	c->meta = tr_meta(t);
	c->meta.access = 0x80;
	t->num_stis++;
	e_gs_imm(&t->e, 1, SC_OFF_RFLAGS, X86_FLAG_IF);		/* or */
	return true;
}

void tr_sti_cold_emit(struct tr *t)
{
	unsigned i;

	for (i = 0; i < t->num_stis; i++) {
		e_fix(&t->e, t->sti[i].site);
		tr_call_interp(t, t->sti[i].meta);
	}
}

/* The image of RFLAGS without RF and VM (SDM 2B, PUSHF) */
static bool pushf(struct tr *t)
{
	struct emit *e = &t->e;

	if (tr_insn(t)->opsize != 8)
		return false;
	tr_clobber_flags(t, SC_ARITH);
	tr_forget(t);
	e8(e, 0x65), e8(e, 0x44), e8(e, 0x0f), e8(e, 0xb7);	/* movzx r9d, word gs:stash */
	e8(e, 0x0c), e8(e, 0x25);
	e32(e, SC_OFF_STASH);
	e8(e, 0x45), e8(e, 0x89), e8(e, 0xca);			/* mov r10d, r9d */
	e8(e, 0x41), e8(e, 0xc1), e8(e, 0xe9), e8(e, 8);	/* shr r9d, 8 */
	e8(e, 0x41), e8(e, 0x83), e8(e, 0xe2), e8(e, 1);	/* and r10d, 1 */
	e8(e, 0x41), e8(e, 0xc1), e8(e, 0xe2), e8(e, 11);	/* shl r10d, 11 */
	e8(e, 0x45), e8(e, 0x09), e8(e, 0xd1);			/* or r9d, r10d */
	e_gs_load32(e, H_R10, SC_OFF_RFLAGS);
	e8(e, 0x41), e8(e, 0x81), e8(e, 0xe2);			/* and r10d, ~... */
	e32(e, ~(SC_ARITH | X86_FLAG_RF | X86_FLAG_VM));
	e8(e, 0x45), e8(e, 0x09), e8(e, 0xd1);			/* or r9d, r10d */
	e_gs_store(e, H_R9, SC_OFF_SCRATCH);
	tr_push_scratch(t, SC_ARITH);
	return true;
}

/* mov r32/r64, sreg: zero-extended */
static bool mov_from_seg(struct tr *t)
{
	const struct sc_insn *in = tr_insn(t);
	struct emit *e = &t->e;
	unsigned d;

	if (in->op[0].kind != SC_OP_GPR || in->opsize < 4 || in->op[1].kind != SC_OP_SEG)
		return false;
	d = tr_dst(t, in->op[0].reg, H_R9);
	e8(e, 0x65);
	if (d >= 8)
		e8(e, 0x44);
	e8(e, 0x0f), e8(e, 0xb7), e8(e, (d & 7) << 3 | 4), e8(e, 0x25);
	e32(e, offsetof(struct sc_vcpu, seg) + in->op[1].reg * sizeof(struct x86_segment) +
	       offsetof(struct x86_segment, sel));
	tr_put(t, in->op[0].reg, d);
	return true;
}

/*
 * bt, bts, btr, btc with memory and a register: the register is a bit number in a
 * string, so it moves the address (SDM 2A, BT). The host's instruction then gets
 * the number inside the unit, in r10.
 */
static bool bit_string(struct tr *t)
{
	const struct sc_insn *in = tr_insn(t);
	bool wide = in->opsize == 8, write = in->sub != 0;
	unsigned r, p;
	struct emit *e = &t->e;

	if (!(in->flags & SC_I_MEM) || in->imm_len || in->opsize < 4 || in->addrsize != 8 ||
	    in->op[1].kind != SC_OP_GPR || ((in->flags & SC_I_LOCK) && !write))
		return false;
	tr_clobber_flags(t, SC_ARITH);
	if (!tr_address(t, H_R8, H_R9))
		return false;
	r = tr_get(t, in->op[1].reg, H_R9);
	if (wide)
		e_mov(e, H_R9, r);
	else							/* movsxd r9, r32 */
		e_rex(e, true, H_R9, 0, r), e8(e, 0x63), e8(e, 0xc0 | (H_R9 & 7) << 3 | (r & 7));
	e8(e, 0x49), e8(e, 0xc1), e8(e, 0xf9), e8(e, wide ? 6 : 5); /* sar r9, 5 or 6 */
	e_lea(e, true, H_R8, H_R8, H_R9, wide ? 3 : 2, 0);
	tr_probe(t, in->opsize, write);
	r = tr_get(t, in->op[1].reg, H_R9);
	e_mov(e, H_R10, r);
	tr_forget(t);
	e8(e, 0x41), e8(e, 0x83), e8(e, 0xe2), e8(e, wide ? 63 : 31); /* and r10d, 31 or 63 */
	tr_want_flags(t, H_R9);
	for (p = 0; p < in->off_opcode; p++)
		if (in->raw[p] == 0xf0)
			e8(e, 0xf0);
	e_rex(e, wide, H_R10, 0, H_R8);
	e8(e, 0x0f), e8(e, in->opcode);
	e_mem(e, H_R10, H_R8, 0xff, 0, 0);
	t->flags = TR_REGS;
	return true;
}

/* At CPL 0; seg[X86_GS].base and its copy move together */
static bool swapgs(struct tr *t)
{
	struct emit *e = &t->e;

	if (t->mode & SC_MODE_USER)
		return false;
	e_gs_load(e, H_R8, SC_OFF_GS_BASE);
	e_gs_load(e, H_R9, offsetof(struct sc_vcpu, msr.kernel_gs_base));
	e_gs_store(e, H_R9, SC_OFF_GS_BASE);
	e_gs_store(e, H_R9, offsetof(struct sc_vcpu, seg[X86_GS].base));
	e_gs_store(e, H_R8, offsetof(struct sc_vcpu, msr.kernel_gs_base));
	return true;
}

bool tr_sys(struct tr *t)
{
	switch (tr_insn(t)->cls) {
	case SC_C_SWAPGS: return swapgs(t);
	case SC_C_CLI: return cli(t);
	case SC_C_STI: return sti(t);
	case SC_C_PUSHF: return pushf(t);
	case SC_C_MOV_SEG: return mov_from_seg(t);
	case SC_C_BT: return bit_string(t);
	default: return false;
	}
}
