// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/interp/native_mask.c - Masked stores, masked loads, gathers
 *
 * The instructions that touch only some elements of their memory operand, so that a fault
 * is due for those alone. They work on v->xsave with one checked access an element.
 *
 * A masked store checks all its elements before the first is written. A gather instead
 * makes progress as the hardware does: finished elements are in the destination, their mask
 * bits are clear, and the instruction starts again after the fault (SDM 2, VGATHERDPD).
 *
 * VZEROALL and VZEROUPPER of 32-bit code are here, too: they leave registers 8 to 15 alone,
 * which the host in 64-bit mode would not. */
#include <Zydis/Mnemonic.h>

#include "accel/soft/interp/native.h"

static u8 *xmm(struct sc_vcpu *v, unsigned r)
{
	return v->xsave + SC_XS_XMM + 16 * r;
}
static u8 *ymmh(struct sc_vcpu *v, unsigned r)
{
	return v->xsave + SC_XS_YMMH + 16 * r;
}

/* Element @i of @size bytes of vector register @r */
static u64 elem_get(struct sc_vcpu *v, unsigned r, unsigned i, unsigned size)
{
	unsigned off = i * size;
	u64 val = 0;

	sc_copy(&val, off < 16 ? xmm(v, r) + off : ymmh(v, r) + off - 16, size);
	return val;
}
static void elem_set(struct sc_vcpu *v, unsigned r, unsigned i, unsigned size, u64 val)
{
	unsigned off = i * size;

	sc_copy(off < 16 ? xmm(v, r) + off : ymmh(v, r) + off - 16, &val, size);
}
static void vec_in_use(struct sc_vcpu *v)
{
	sc_xs_put(v, SC_XS_BV,
		  sc_xs64(v, SC_XS_BV) | SC_XSTATE_SSE | (v->fpu_mask & SC_XSTATE_AVX), 8);
}

/* MASKMOVQ mm, mm and MASKMOVDQU xmm, xmm: bytes of the first register go to DS:rDI where the
 * mask byte's top bit is set */
void sc_native_maskmov(struct sc_vcpu *v, const struct sc_insn *in)
{
	bool mmx = in->mnemonic == ZYDIS_MNEMONIC_MASKMOVQ;
	unsigned n = mmx ? 8 : 16, ext = in->code == 8 ? 15 : 7;
	unsigned src, mask;
	u64 di = v->gpr[X86_RDI] & sc_addr_mask(in->addrsize);
	u8 data[16], m[16];
	gva_t a;

	/* Registers come from ModRM: the hidden memory operand may be listed among op[] */
	src = in->modrm >> 3 & 7;
	mask = in->modrm & 7;
	if (!mmx && in->encoding == SC_ENC_LEGACY) {
		src |= in->rex & 4 ? 8 : 0;
		mask |= in->rex & 1 ? 8 : 0;
	} else if (!mmx) {
		const u8 *vex = in->raw + in->off_opcode;

		src |= vex[1] & 0x80 ? 0 : 8;
		if (vex[0] == 0xc4)
			mask |= vex[1] & 0x20 ? 0 : 8;
		src &= ext;
		mask &= ext;
	}
	sc_fpu_save(v);
	if (mmx) {
		/* MMn is physical register n; the image counts from the top of the stack */
		unsigned top = sc_xs16(v, SC_XS_FSW) >> 11 & 7;

		sc_copy(data, v->xsave + SC_XS_ST + 16 * ((src - top) & 7), n);
		sc_copy(m, v->xsave + SC_XS_ST + 16 * ((mask - top) & 7), n);
	} else {
		sc_copy(data, xmm(v, src), n);
		sc_copy(m, xmm(v, mask), n);
	}
	if (mmx) {
		u32 low;

		/* Any MMX instruction sets TOP to 0 and all tags to valid: let one that only
		 * reads do it. On AMD also when a fault follows. */
		sc_fpu_load(v);
		__asm__ volatile("movd %%mm0, %0" : "=r"(low));
		(void)low;
	}
	/* Faults may come for bytes that are masked out, be it all (SDM 2, MASKMOVDQU), as on AMD */
	a = sc_lin_any(v, in->seg, di, n, true);
	sc_native_check_ac(v, a, 8);
	sc_check_write(v, a, n);
	for (unsigned i = 0; i < n; i++)
		if (m[i] & 0x80)
			sc_write(v, a + i, data[i], 1);
}

/* VMASKMOVPS/PD, VPMASKMOVD/Q: register, mask, memory or memory, mask, register */
void sc_native_vmaskmov(struct sc_vcpu *v, const struct sc_insn *in)
{
	bool store = in->mem_op == 0;
	unsigned size, n, mask = in->op[1].reg, reg = in->op[store ? 2 : 0].reg;
	u64 old[8], mbit, off = sc_ea(v, in);
	gva_t at[8];

	size = in->mnemonic == ZYDIS_MNEMONIC_VMASKMOVPD ||
	       in->mnemonic == ZYDIS_MNEMONIC_VPMASKMOVQ ? 8 : 4;
	n = in->vec_len / size;
	if (!n || n > ARRAY_LEN(old))
		sc_ud(v);
	mbit = BIT64(size * 8 - 1);
	sc_fpu_save(v);
	for (unsigned i = 0; i < n; i++) {
		old[i] = 0;
		at[i] = 0;
		if (!(elem_get(v, mask, i, size) & mbit))
			continue;
		at[i] = sc_lin_any(v, in->seg, (off + i * size) & sc_addr_mask(in->addrsize), size,
				   store);
		if (store)
			sc_check_write(v, at[i], size);
		else
			old[i] = sc_read(v, at[i], size);
	}
	if (store) {
		for (unsigned i = 0; i < n; i++)
			if (elem_get(v, mask, i, size) & mbit)
				sc_write(v, at[i], elem_get(v, reg, i, size), size);
		return;
	}
	sc_zero(ymmh(v, reg), 16);
	for (unsigned i = 0; i < n; i++)
		elem_set(v, reg, i, size, old[i]);
	vec_in_use(v);
}

/* VGATHERxPx, VPGATHERxx: destination, [base + index vector * scale], mask. The mnemonic says
 * the index size, VEX.W the element size (1: 8 bytes). */
void sc_native_gather(struct sc_vcpu *v, const struct sc_insn *in)
{
	const u8 *vex = in->raw + in->off_opcode;
	unsigned dst = in->op[0].reg, mask = in->op[2].reg, idx = in->index;
	unsigned size = vex[2] & 0x80 ? 8 : 4;
	/* opcodes 90, 92: dword indices; 91, 93: qword indices */
	unsigned isize = in->opcode & 1 ? 8 : 4;
	unsigned n = in->vec_len / MAX(size, isize);
	u64 mbit = BIT64(size * 8 - 1), base = (u64)in->disp;

	if (dst == idx || dst == mask || mask == idx || !n || vex[0] != 0xc4)
		sc_ud(v);
	if (in->base < 16)
		base += v->gpr[in->base];
	sc_fpu_save(v);
	vec_in_use(v);
	for (unsigned i = 0; i < n; i++) {
		u64 x, off;
		gva_t a;

		if (!(elem_get(v, mask, i, size) & mbit)) {
			elem_set(v, mask, i, size, 0);
			continue;
		}
		x = elem_get(v, idx, i, isize);
		if (isize == 4)
			x = (u64)(s64)(s32)x;
		off = (base + (x << in->scale)) & sc_addr_mask(in->addrsize);
		a = sc_lin_any(v, in->seg, off, size, false);
		elem_set(v, dst, i, size, sc_read(v, a, size));
		elem_set(v, mask, i, size, 0);
	}
	/* Done: the whole mask and the bytes above the destination are cleared */
	for (unsigned i = 0; i < 32 / size; i++) {
		elem_set(v, mask, i, size, 0);
		if (i >= n)
			elem_set(v, dst, i, size, 0);
	}
}

void sc_native_vzero(struct sc_vcpu *v, const struct sc_insn *in)
{
	sc_fpu_save(v);
	if (in->mnemonic == ZYDIS_MNEMONIC_VZEROALL)
		sc_zero(xmm(v, 0), 8 * 16);
	sc_zero(ymmh(v, 0), 8 * 16);
}
