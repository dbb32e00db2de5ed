// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/sys/iret.c - IRET, IRETD, IRETQ in every mode
 *
 * SDM 2A "IRET". NMIs are unblocked first and stay so when IRET faults, as hardware
 * does (SDM 3A 6.7.1). [vcpu] */
#include "accel/soft/sys/sys_int.h"

/* RF matters to instruction breakpoints only. While none is enabled it is dropped here, as if
 * the instruction after IRET had run: then nobody else has to clear it. */
static u64 drop_rf(const struct sc_vcpu *v, u64 flags)
{
	return v->dr[7] & 0xff ? flags : flags & ~(u64)X86_FLAG_RF;
}

static void iret_real(struct sc_vcpu *v, unsigned opsize)
{
	struct sys_stack st;
	u64 rip, flags;
	u16 cs;

	if (sc_vm86(v) && sc_iopl(v) < 3)
		sc_gp0(v);
	stack_current(v, &st);
	rip = stack_pop(v, &st, opsize);
	cs = (u16)stack_pop(v, &st, opsize);
	flags = drop_rf(v, stack_pop(v, &st, opsize));
	if (rip > v->seg[X86_CS].limit)
		sc_gp0(v);
	v->gpr[X86_RSP] = stack_rsp(v, &st);
	seg_load_real(v, X86_CS, cs);
	v->rip = rip;
	flags_set(v, flags, flags_mask(v, opsize) | (opsize > 2 ? X86_FLAG_RF : 0));
	sc_mode_update(v);
}

static void iret_to_vm86(struct sc_vcpu *v, struct sys_stack *st, u64 rip, u16 cs, u64 flags)
{
	static const u8 data[] = { X86_ES, X86_DS, X86_FS, X86_GS };
	u16 sel[4], ss;
	unsigned i;
	u64 sp;

	sp = stack_pop(v, st, 4);
	ss = (u16)stack_pop(v, st, 4);
	for (i = 0; i < 4; i++)
		sel[i] = (u16)stack_pop(v, st, 4);
	v->rflags = (flags & 0x3f7fd5) | 2;
	for (i = 0; i < 4; i++)
		seg_load_real(v, data[i], sel[i]);
	seg_load_real(v, X86_SS, ss);
	seg_load_real(v, X86_CS, cs);
	v->gpr[X86_RSP] = (u32)sp;
	v->rip = rip & 0xffff;
	sc_mode_update(v);
	sc_if_changed(v);
}

void sc_iret(struct sc_vcpu *v, unsigned opsize)
{
	struct x86_segment cs, ss;
	u64 rip, flags, sp = 0, mask;
	bool from64 = sc_code64(v), to64, outer;
	struct sys_stack st;
	u16 cs_sel, ss_sel = 0;
	unsigned cpl;

	v->nmi_blocked = false;
	if (!sc_protected(v) || sc_vm86(v)) {
		iret_real(v, opsize);
		return;
	}
	if (v->rflags & X86_FLAG_NT) {
		if (sc_long_mode(v))
			sc_gp0(v);
		task_return(v);
		return;
	}
	stack_current(v, &st);
	rip = stack_pop(v, &st, opsize);
	cs_sel = (u16)stack_pop(v, &st, opsize);
	flags = drop_rf(v, stack_pop(v, &st, opsize));
	if (!sc_long_mode(v) && opsize == 4 && (flags & X86_FLAG_VM) && v->cpl == 0) {
		iret_to_vm86(v, &st, rip, cs_sel, flags);
		return;
	}
	cpl = cs_sel & 3;
	return_check_code(v, cs_sel, &cs);
	to64 = sc_long_mode(v) && (cs.attr & X86_SEG_L);
	outer = cpl != v->cpl;
	if (outer || from64) {
		sp = stack_pop(v, &st, opsize);
		ss_sel = (u16)stack_pop(v, &st, opsize);
		return_check_stack(v, ss_sel, cpl, to64, &ss);
	}
	code_check_offset(v, &cs, rip, 0);
	desc_accessed(v, &cs);
	/* By the privilege that executes IRET, not the one it goes to */
	mask = flags_mask(v, opsize) | (opsize > 2 ? X86_FLAG_RF : 0);
	if (v->cpl == 0 && opsize > 2)
		mask |= X86_FLAG_VIF | X86_FLAG_VIP;
	if (outer || from64) {
		v->seg[X86_SS] = ss;
		v->gpr[X86_RSP] = return_rsp(v, &ss, to64, sp);
	} else {
		v->gpr[X86_RSP] = stack_rsp(v, &st);
	}
	v->rflags = (v->rflags & ~mask) | (flags & mask) | 2;
	code_commit(v, &cs, cpl, rip);
	if (outer)
		seg_null_for(v, cpl);
	if (v->rflags & X86_FLAG_IF)
		sc_if_changed(v);
}
