// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/sys/flags.c - RFLAGS by POPF and IRET, and what CPU state means for running
 *
 * sc_mode_update() is the one place that derives CPL, the translation mode and the
 * need to go one instruction at a time. CR4.VME and PVI are never set. [vcpu] */
#include "accel/soft/sys/sys_int.h"

void sc_if_changed(struct sc_vcpu *v)
{
	if (v->intr_wait)
		sc_attention(v, SC_ATTN_INTR);
}

u64 flags_mask(const struct sc_vcpu *v, unsigned opsize)
{
	u64 mask = SYS_BASE_FLAGS;

	if (opsize > 2)
		mask |= X86_FLAG_AC | X86_FLAG_ID;
	if (v->cpl <= sc_iopl(v))
		mask |= X86_FLAG_IF;
	if (v->cpl == 0)
		mask |= X86_FLAG_IOPL;
	return mask;
}

void flags_set(struct sc_vcpu *v, u64 val, u64 mask)
{
	u64 old = v->rflags;

	v->rflags = (old & ~mask) | (val & mask) | 2;
	if ((old ^ v->rflags) & X86_FLAG_TF)
		sc_mode_update(v);
	if (v->rflags & ~old & X86_FLAG_IF)
		sc_if_changed(v);
}

void sc_popf(struct sc_vcpu *v, u64 val, unsigned opsize)
{
	u64 mask;

	if (sc_vm86(v) && sc_iopl(v) < 3)
		sc_gp0(v);
	mask = flags_mask(v, opsize);
	if (opsize > 2) {
		/* Always comes out clear; VIF and VIP only below ring 3 (SDM 2B POPF) */
		mask |= X86_FLAG_RF;
		val &= ~(u64)(X86_FLAG_RF | X86_FLAG_VIF | X86_FLAG_VIP);
		if (v->cpl == 0)
			mask |= X86_FLAG_VIF | X86_FLAG_VIP;
	}
	flags_set(v, val, mask);
}

static unsigned privilege(const struct sc_vcpu *v)
{
	if (!sc_protected(v))
		return 0;
	return sc_vm86(v) ? 3 : attr_dpl(v->seg[X86_SS].attr);
}

/* Breakpoints of DR7 that are not for instructions; those for ports need CR4.DE */
static u8 watched(const struct sc_vcpu *v)
{
	unsigned i;
	u8 bits = 0;

	for (i = 0; i < 4; i++) {
		enum dr7_type type = v->dr[7] >> (16 + 4 * i) & 3;

		if ((v->dr[7] >> (2 * i) & 3) && type != DR7_EXEC &&
		    (type != DR7_IO || (v->cr4 & X86_CR4_DE)))
			bits |= BIT(i);
	}
	return bits;
}

void sc_mode_update(struct sc_vcpu *v)
{
	u32 mode = 0;
	bool single = (v->rflags & X86_FLAG_TF) || (v->dr[7] & 0xff) || v->debug_step || v->num_bp;

	v->cpl = privilege(v);
	v->watch = unlikely(v->dr[7] & 0xff) ? watched(v) : 0;
	if (v->cpl == 3)
		mode |= SC_MODE_USER;
	if (!(v->cr0 & (X86_CR0_EM | X86_CR0_TS)) && (v->cr4 & X86_CR4_OSFXSR)) {
		mode |= SC_MODE_FPU;
		if ((v->cr4 & X86_CR4_OSXSAVE) && (v->xcr0 & 6) == 6)
			mode |= SC_MODE_AVX;
	}
	if (sc_code64(v))
		mode |= SC_MODE_64;
	v->mode = mode;
	/* Only this thread changes the bit; a locked instruction each time would cost more than
	 * the rest of this function */
	if (single != !!(atomic_load_explicit(&v->attention, memory_order_relaxed) &
			 SC_ATTN_SINGLE)) {
		if (single)
			sc_attention(v, SC_ATTN_SINGLE);
		else
			atomic_fetch_and(&v->attention, ~SC_ATTN_SINGLE);
	}
}
