// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/translate/tr_flow.c - Jumps, calls, returns and the stack
 *
 * Each form does its memory accesses before it changes guest rsp, so a failed
 * probe can start the instruction again. [vcpu, cache locked] */
#include "accel/soft/translate/tr.h"

enum tr_end tr_ends_block(const struct tr *t, const struct sc_insn *in)
{
	switch (in->cls) {
	case SC_C_JCC:
		return TR_SIDE_EXIT;
	/* What changes mapping, mode or the interrupt flag ends the block too: what follows has
	 * to be looked up, and interrupts taken, anew */
	case SC_C_MOV_CR: case SC_C_INVLPG: case SC_C_POPF: case SC_C_HLT:
	case SC_C_LMSW: case SC_C_CLTS: case SC_C_XSETBV: case SC_C_MOV_DR: case SC_C_UD:
	case SC_C_HYPERCALL: case SC_C_LOAD_FAR: case SC_C_WBINVD:
		return TR_ENDS;
	case SC_C_STI:
		return t->mode & SC_MODE_USER ? TR_ENDS : TR_GOES_ON;
	case SC_C_FENCE:
		return in->sub == 3 ? TR_ENDS : TR_GOES_ON;
	case SC_C_MOV_SEG:
		return in->op[0].kind == SC_OP_SEG ? TR_ENDS : TR_GOES_ON;
	case SC_C_POP:
		return in->op[0].kind == SC_OP_SEG ? TR_ENDS : TR_GOES_ON;
	default:
		return in->flags & SC_I_BRANCH ? TR_ENDS : TR_GOES_ON;
	}
}

/* A rel32 that is patched while others run it must not cross a cache line */
static void align_site(struct tr *t, unsigned opcode_bytes)
{
	while (((t->e.at + opcode_bytes) & 63) > 60)
		e8(&t->e, 0x90);
}

static void add_exit(struct tr *t, u16 off, enum tr_flags flags)
{
	struct tr_exit *x = &t->exit[t->num_exits++];

	x->site = t->e.at - 4;
	x->off = off;
	x->stashed = flags == TR_STASHED;
}

/* Jump to @off of this page, chained later; flags are where @flags says */
static void jump_in_page(struct tr *t, u16 off, enum tr_flags flags)
{
	align_site(t, 1);
	e_jmp(&t->e, 0);
	add_exit(t, off, flags);
}

void tr_jump_solo(struct tr *t, u16 off, bool stashed)
{
	jump_in_page(t, off, stashed ? TR_STASHED : TR_DEAD);
	t->exit[t->num_exits - 1].off |= SC_EXIT_SOLO;
}

/* Guest rip in r8: look it up in the branch cache and go there. Flags are stashed. The
 * look-up is shared by all blocks: in line it was a fifth of all code, and host caches and
 * TLBs of big guest programs mind that more than the branch predictor minds one place. */
static void jump_r8(struct tr *t)
{
	e_jmp(&t->e, SC_JUMP_AT(tr_tlb(t)));
}

/* The address in r8 came from a register or memory: when it is not canonical, the fault is this
 * instruction's. @undo: what to add to guest rsp to have it as before it. */
static void branch_from(struct tr *t, s32 undo)
{
	e8(&t->e, 0x41), e8(&t->e, 0xba);			/* mov r10d, imm32 */
	e32(&t->e, undo == (s16)undo ? SC_BRANCH_FROM(t->off[t->i], undo) : 0);
}

/* Host flags, if they are the only copy, into the stash */
static void stash_now(struct tr *t, enum tr_flags *flags)
{
	enum tr_flags saved = t->flags;

	t->flags = *flags;
	tr_clobber_flags(t, SC_ARITH);
	*flags = t->flags;
	t->flags = saved;
}

/* Leave for the dispatch loop when v->attention is set, then jump. Flags survive. */
static void attend_and_jump(struct tr *t, u16 off, enum tr_flags flags)
{
	struct emit *e = &t->e;
	u32 skip;

	if (flags != TR_REGS) {
		/* Nobody needs the host's flags, or there is a stashed copy */
		if (flags == TR_BOTH)
			flags = TR_STASHED;
		e_gs(e, false, 0x83, 7, SC_OFF_ATTENTION);
		e8(e, 0);
		align_site(t, 2);
		e_jcc(e, CC_E, 0);
		add_exit(t, off, flags);
		jump_in_page(t, off, flags);
		t->exit[t->num_exits - 1].off |= SC_EXIT_ATTEND;
		return;
	}
	e_mov(e, H_R8, H_RCX);
	e_gs_load32(e, H_RCX, SC_OFF_ATTENTION);
	e8(e, 0xe3);						/* jrcxz over the way out */
	e8(e, 0);
	skip = e->at;
	e_mov(e, H_RCX, H_R8);
	jump_in_page(t, off, flags);
	t->exit[t->num_exits - 1].off |= SC_EXIT_ATTEND;
	e->base[skip - 1] = e->at - skip;
	e_mov(e, H_RCX, H_R8);
	jump_in_page(t, off, flags);
}

void tr_attend(struct tr *t)
{
	e_gs(&t->e, false, 0x83, 7, SC_OFF_ATTENTION);
	e8(&t->e, 0);
	align_site(t, 2);
	e_jcc(&t->e, CC_NE, 0);
	add_exit(t, t->off[0], TR_DEAD);
	t->exit[t->num_exits - 1].off |= SC_EXIT_ATTEND;
}

/* May a jump to this distance from the page's start be chained? Not to where an instruction may cross
 * into the next page: its block depends on that page's mapping, too. */
static bool in_page(s32 target)
{
	return target >= 0 && target <= (s32)PAGE_BYTES - 15;
}

/* Unconditional transfer to a fixed distance from the page's start */
static void jump_to(struct tr *t, s32 target, enum tr_flags flags, bool backward)
{
	if (in_page(target)) {
		if (t->attends && target == t->off[0])
			e_jmp(&t->e, t->start);
		else if (backward)
			attend_and_jump(t, target, flags);
		else
			jump_in_page(t, target, flags);
		return;
	}
	stash_now(t, &flags);
	e_gs_load(&t->e, H_R8, SC_OFF_RIP_PAGE);
	e_lea(&t->e, true, H_R8, H_R8, 0xff, 0, target);
	e8(&t->e, 0x45), e8(&t->e, 0x31), e8(&t->e, 0xd2);	/* xor r10d, r10d */
	jump_r8(t);
}

/* mov reg, t->m and back */
static void load(struct tr *t, unsigned reg)
{
	e_load(&t->e, reg, H_R8, t->m.index, t->m.disp);
}

static void store(struct tr *t, unsigned reg)
{
	e_store(&t->e, reg, H_R8, t->m.index, t->m.disp);
}

static void add_rsp(struct tr *t, s32 by)
{
	t->lag += by;
}

bool tr_lets_rsp_lag(const struct sc_insn *in)
{
	return (in->cls == SC_C_PUSH || in->cls == SC_C_POP || in->cls == SC_C_RET) &&
	       in->opsize == 8 && in->op[0].kind != SC_OP_MEM && in->op[0].kind != SC_OP_SEG &&
	       !(in->op[0].kind == SC_OP_GPR && in->op[0].reg == X86_RSP);
}

void tr_push_scratch(struct tr *t, u16 live)
{
	tr_slot(t, -8, true, live);
	e_gs_load(&t->e, H_R9, SC_OFF_SCRATCH);
	store(t, H_R9);
	add_rsp(t, -8);
}

static bool wide_stack(const struct sc_insn *in)
{
	return in->opsize == 8;
}

static bool push(struct tr *t)
{
	const struct sc_insn *in = tr_insn(t);
	const struct sc_op *op = &in->op[0];
	struct emit *e = &t->e;

	if (!wide_stack(in) || (op->kind != SC_OP_GPR && op->kind != SC_OP_IMM && op->kind != SC_OP_MEM))
		return false;
	if (op->kind == SC_OP_IMM && in->imm != (s32)in->imm)
		return false;
	if (op->kind == SC_OP_MEM) {
		if (!tr_operand(t, 8, false, t->live[t->i]))
			return false;
		load(t, H_R8);
		e_gs_store(e, H_R8, SC_OFF_SCRATCH);
		tr_push_scratch(t, t->live[t->i]);
		return true;
	}
	tr_slot(t, -8, true, t->live[t->i]);
	if (op->kind == SC_OP_GPR) {
		store(t, tr_get(t, op->reg, H_R9));
	} else {
		e_rex(e, true, 0, t->m.index, H_R8);		/* mov qword, imm32 */
		e8(e, 0xc7);
		e_mem(e, 0, H_R8, t->m.index, 0, t->m.disp);
		e32(e, in->imm);
	}
	add_rsp(t, -8);
	return true;
}

static bool pop(struct tr *t)
{
	const struct sc_insn *in = tr_insn(t);
	const struct sc_op *op = &in->op[0];
	unsigned d;

	if (!wide_stack(in) || op->kind != SC_OP_GPR)
		return false;
	tr_slot(t, 0, false, t->live[t->i]);
	d = tr_dst(t, op->reg, H_R9);
	load(t, d);
	tr_put(t, op->reg, d);
	if (op->reg != X86_RSP)
		add_rsp(t, 8);
	return true;
}

static bool leave(struct tr *t)
{
	if (!wide_stack(tr_insn(t)))
		return false;
	tr_slot(t, 0, false, t->live[t->i]);
	load(t, H_R9);
	e_lea(&t->e, true, H_R11, H_RBP, 0xff, 0, 8);
	e_mov(&t->e, H_RBP, H_R9);
	return true;
}

/* Target of an indirect jump or call into r8 */
static bool target(struct tr *t)
{
	const struct sc_insn *in = tr_insn(t);
	unsigned r;

	if (in->op[0].kind == SC_OP_GPR) {
		r = tr_get(t, in->op[0].reg, H_R8);
		if (r != H_R8)
			e_mov(&t->e, H_R8, r);
		return true;
	}
	if (in->op[0].kind != SC_OP_MEM || !tr_operand(t, 8, false, SC_ARITH))
		return false;
	load(t, H_R8);
	return true;
}

static bool call(struct tr *t)
{
	const struct sc_insn *in = tr_insn(t);
	bool direct = in->op[0].kind == SC_OP_REL;
	unsigned next = tr_next_off(t);
	s32 to = next + (s32)in->imm;
	struct emit *e = &t->e;

	if (!wide_stack(in))
		return false;
	tr_clobber_flags(t, t->live[t->i + 1]);
	if (!direct) {
		if (!target(t))
			return false;
		e_gs_store(e, H_R8, SC_OFF_SCRATCH);
	}
	tr_slot(t, -8, true, t->live[t->i + 1]);
	e_gs_load(e, H_R9, SC_OFF_RIP_PAGE);
	e_lea(e, true, H_R9, H_R9, 0xff, 0, next);
	store(t, H_R9);
	add_rsp(t, -8);
	tr_rsp(t);
	/* A frame of the shadow stack (shadow.c) */
	e_gs(e, true, 0x3b, H_RSP, offsetof(struct sc_vcpu, shadow_limit) + tr_tlb(t) * 8); /* cmp rsp */
	t->shadow_full = e_jcc_later(e, CC_B);
	t->shadow_back = e->at;
	e8(e, 0x41), e8(e, 0x51);				/* push r9 */
	if (direct && in_page(to)) {
		align_site(t, 1);
		e_call(e, 0);
		add_exit(t, to, t->flags);
	} else {
		if (direct) {
			stash_now(t, &t->flags);
			e_gs_load(e, H_R8, SC_OFF_RIP_PAGE);
			e_lea(e, true, H_R8, H_R8, 0xff, 0, to);
			e8(e, 0x45), e8(e, 0x31), e8(e, 0xd2);	/* xor r10d, r10d */
		} else {
			e_gs_load(e, H_R8, SC_OFF_SCRATCH);
			branch_from(t, 8);
		}
		e_call(e, SC_JUMP_AT(tr_tlb(t)));
	}
	/* Here ret_write() comes back, with the page of the return address in rip_page */
	if (in_page(next)) {
		jump_in_page(t, next, TR_STASHED);
	} else {
		e_gs_load(e, H_R8, SC_OFF_RIP_PAGE);
		e_lea(e, true, H_R8, H_R8, 0xff, 0, next & (PAGE_BYTES - 1));
		e8(e, 0x45), e8(e, 0x31), e8(e, 0xd2);		/* xor r10d, r10d */
		jump_r8(t);
	}
	return true;
}

static bool ret(struct tr *t)
{
	const struct sc_insn *in = tr_insn(t);

	if (!wide_stack(in))
		return false;
	tr_clobber_flags(t, SC_ARITH);
	tr_slot(t, 0, false, SC_ARITH);
	load(t, H_R8);
	add_rsp(t, 8 + (u16)in->imm);
	tr_rsp(t);
	branch_from(t, -8 - (s32)(u16)in->imm);
	e_jmp(&t->e, SC_RET_AT(tr_tlb(t)));
	return true;
}

static bool jmp(struct tr *t)
{
	const struct sc_insn *in = tr_insn(t);

	if (!wide_stack(in))
		return false;
	if (in->op[0].kind == SC_OP_REL) {
		s32 to = tr_next_off(t) + (s32)in->imm;

		jump_to(t, to, t->flags, to <= t->off[t->i]);
		return true;
	}
	tr_clobber_flags(t, SC_ARITH);
	if (!target(t))
		return false;
	branch_from(t, 0);
	jump_r8(t);
	return true;
}

static bool jcc(struct tr *t)
{
	const struct sc_insn *in = tr_insn(t);
	s32 to = tr_next_off(t) + (s32)in->imm;
	bool backward = to <= t->off[t->i];
	struct tr_edge *g;

	if (!wide_stack(in))
		return false;
	tr_want_flags(t, H_R9);
	if (t->attends && to == t->off[0]) {
		e_jcc(&t->e, in->sub, t->start);
		return true;
	}
	if (in_page(to) && !backward) {
		align_site(t, 2);
		e_jcc(&t->e, in->sub, 0);
		add_exit(t, to, t->flags);
		return true;
	}
	g = &t->edge[t->num_edges++];
	g->site = e_jcc_later(&t->e, in->sub);
	g->target = to;
	g->flags = t->live_taken[t->i] & SC_ARITH ? t->flags : TR_DEAD;
	g->backward = backward;
	return true;
}

void tr_edges_emit(struct tr *t)
{
	unsigned i;

	if (t->shadow_full) {
		e_fix(&t->e, t->shadow_full);
		e_gs(&t->e, true, 0x8b, H_RSP, offsetof(struct sc_vcpu, shadow_top) + tr_tlb(t) * 8);
		e_jmp(&t->e, t->shadow_back);
	}

	for (i = 0; i < t->num_edges; i++) {
		e_fix(&t->e, t->edge[i].site);
		jump_to(t, t->edge[i].target, t->edge[i].flags, t->edge[i].backward);
	}
}

void tr_fallthrough(struct tr *t)
{
	jump_to(t, t->off[t->n], t->flags, false);
}

bool tr_flow(struct tr *t)
{
	switch (tr_insn(t)->cls) {
	case SC_C_PUSH: return push(t);
	case SC_C_POP: return pop(t);
	case SC_C_LEAVE: return leave(t);
	case SC_C_CALL: return call(t);
	case SC_C_RET: return ret(t);
	case SC_C_JMP: return jmp(t);
	case SC_C_JCC: return jcc(t);
	default: return false;
	}
}
