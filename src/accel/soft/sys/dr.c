// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/sys/dr.c - Debug registers
 *
 * SDM 3B 18.2. The interpreter runs alone while DR7 enables anything (sc_mode_update).
 * The dispatch loop compares the addresses of instructions; whoever computes the address
 * of an operand asks sc_watch(), and the trap comes when the instruction is through. [vcpu] */
#include "accel/soft/sys/sys_int.h"

/* DR4 and DR5 are DR6 and DR7 unless CR4.DE takes them away; DR7.GD traps any access */
static unsigned check(struct sc_vcpu *v, unsigned n)
{
	if (n == 4 || n == 5) {
		if (v->cr4 & X86_CR4_DE)
			sc_ud(v);
		n += 2;
	}
	if (n > 7)
		sc_ud(v);
	if (v->cpl)
		sc_gp0(v);
	if (v->dr[7] & DR7_GD) {
		v->exc.dr6 = DR6_BD;
		sc_throw(v, X86_VEC_DB);
	}
	return n;
}

u64 sc_read_dr(struct sc_vcpu *v, unsigned n)
{
	return v->dr[check(v, n)];
}

void sc_write_dr(struct sc_vcpu *v, unsigned n, u64 val)
{
	n = check(v, n);
	if (n >= 6 && val >> 32)
		sc_gp0(v);
	if (n == 6)
		val = (val & (DR6_TRAPS | DR6_BD | DR6_BS | DR6_BT)) | DR6_ONES;
	else if (n == 7)
		val = (val & 0xffff23ffu) | DR7_ONES;
	v->dr[n] = val;
	if (n == 7)
		sc_mode_update(v);
}

void sc_watch(struct sc_vcpu *v, gva_t a, unsigned size, bool write, bool io)
{
	/* LEN: 1, 2, 8 and 4 bytes, aligned to themselves */
	static const u8 mask[4] = { 0, 1, 7, 3 };
	unsigned i;

	for (i = 0; i < 4; i++) {
		unsigned type = v->dr[7] >> (16 + 4 * i) & 3;
		u64 m = mask[v->dr[7] >> (18 + 4 * i) & 3], first = v->dr[i] & ~m;

		if (!(v->watch >> i & 1) || (type == DR7_IO) != io ||
		    (type == DR7_WRITE && !write))
			continue;
		if (a <= first + m && first <= a + size - 1)
			v->watch_hits |= BIT(i);
	}
}
