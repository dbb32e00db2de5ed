// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/emit/emit.h - Host instructions as bytes
 *
 * Writes through the writable mapping; addresses are offsets in the code memory.
 * The caller makes sure that there is room (translate.c reserves it per block). */
#ifndef ACCEL_SOFT_EMIT_EMIT_H
#define ACCEL_SOFT_EMIT_EMIT_H

#include "base/types.h"

enum host_reg {
	H_RAX, H_RCX, H_RDX, H_RBX, H_RSP, H_RBP, H_RSI, H_RDI,
	H_R8, H_R9, H_R10, H_R11, H_R12, H_R13, H_R14, H_R15
};

struct emit {
	u8 *base; /* writable mapping of the code memory */
	u32 at;	  /* offset of the next byte */
	u32 in_r8; /* which window's addend (tr_window.c): where it is in the vCPU; 0 after any write of r8 */
};

static inline void e8(struct emit *e, u8 b) { e->base[e->at++] = b; }
static inline void e16(struct emit *e, u16 v) { *(u16 *)(e->base + e->at) = v; e->at += 2; }
static inline void e32(struct emit *e, u32 v) { *(u32 *)(e->base + e->at) = v; e->at += 4; }
static inline void e64(struct emit *e, u64 v) { *(u64 *)(e->base + e->at) = v; e->at += 8; }

/* Everything below that writes a register says so here */
static inline void e_writes(struct emit *e, unsigned reg)
{
	if (reg == H_R8)
		e->in_r8 = 0;
}

/* REX for 64-bit (@w) operation with modrm reg @r, index @x, base or rm @b */
static inline void e_rex(struct emit *e, bool w, unsigned r, unsigned x, unsigned b)
{
	e8(e, 0x40 | w << 3 | (r >> 3) << 2 | (x >> 3) << 1 | b >> 3);
}

/* op reg, gs:[off] with a one-byte opcode; 64-bit when @w */
static inline void e_gs(struct emit *e, bool w, u8 op, unsigned reg, u32 off)
{
	e_writes(e, reg);
	e8(e, 0x65);
	if (w || reg >= 8)
		e_rex(e, w, reg, 0, 0);
	e8(e, op);
	e8(e, (reg & 7) << 3 | 4);
	e8(e, 0x25);
	e32(e, off);
}
static inline void e_gs_load(struct emit *e, unsigned reg, u32 off) { e_gs(e, true, 0x8b, reg, off); }
static inline void e_gs_store(struct emit *e, unsigned reg, u32 off) { e_gs(e, true, 0x89, reg, off); }
static inline void e_gs_load32(struct emit *e, unsigned reg, u32 off) { e_gs(e, false, 0x8b, reg, off); }

/* op reg, gs:[base + disp32]; base not rsp or r12 */
static inline void e_gs_based(struct emit *e, u8 op, unsigned reg, unsigned base, u32 disp)
{
	e_writes(e, reg);
	e8(e, 0x65);
	e_rex(e, true, reg, 0, base);
	e8(e, op);
	e8(e, 0x80 | (reg & 7) << 3 | (base & 7));
	e32(e, disp);
}

static inline void e_mov(struct emit *e, unsigned dst, unsigned src)
{
	e_writes(e, dst);
	e_rex(e, true, src, 0, dst);
	e8(e, 0x89);
	e8(e, 0xc0 | (src & 7) << 3 | (dst & 7));
}

/* modrm + sib + disp for [base + index << scale + disp]; base 0xff: none; index 0xff: none */
static inline void e_mem(struct emit *e, unsigned reg, unsigned base, unsigned index,
			 unsigned scale, s32 disp)
{
	unsigned mod;

	if (base == 0xff) {
		e8(e, (reg & 7) << 3 | 4);
		e8(e, scale << 6 | (index == 0xff ? 4 : index & 7) << 3 | 5);
		e32(e, disp);
		return;
	}
	mod = !disp && (base & 7) != 5 ? 0 : disp == (s8)disp ? 1 : 2;
	if (index != 0xff || (base & 7) == 4) {
		e8(e, mod << 6 | (reg & 7) << 3 | 4);
		e8(e, scale << 6 | (index == 0xff ? 4 : index & 7) << 3 | (base & 7));
	} else {
		e8(e, mod << 6 | (reg & 7) << 3 | (base & 7));
	}
	if (mod == 1)
		e8(e, disp);
	else if (mod == 2)
		e32(e, disp);
}

/* lea dst, [base + index << scale + disp] */
static inline void e_lea(struct emit *e, bool w, unsigned dst, unsigned base, unsigned index,
			 unsigned scale, s32 disp)
{
	e_writes(e, dst);
	e_rex(e, w, dst, index == 0xff ? 0 : index, base == 0xff ? 0 : base);
	e8(e, 0x8d);
	e_mem(e, dst, base, index, scale, disp);
}

/* mov reg, [base + index + disp] / mov [...], reg; 64 bits; index 0xff: none */
static inline void e_load(struct emit *e, unsigned reg, unsigned base, unsigned index, s32 disp)
{
	e_writes(e, reg);
	e_rex(e, true, reg, index == 0xff ? 0 : index, base);
	e8(e, 0x8b);
	e_mem(e, reg, base, index, 0, disp);
}
static inline void e_store(struct emit *e, unsigned reg, unsigned base, unsigned index, s32 disp)
{
	e_rex(e, true, reg, index == 0xff ? 0 : index, base);
	e8(e, 0x89);
	e_mem(e, reg, base, index, 0, disp);
}

/* Jumps and calls to a known offset of the code memory */
static inline void e_jmp(struct emit *e, u32 to)
{
	e8(e, 0xe9);
	e32(e, to - (e->at + 4));
}
static inline void e_call(struct emit *e, u32 to)
{
	e_writes(e, H_R8);
	e8(e, 0xe8);
	e32(e, to - (e->at + 4));
}
static inline void e_jcc(struct emit *e, unsigned cc, u32 to)
{
	e8(e, 0x0f);
	e8(e, 0x80 | cc);
	e32(e, to - (e->at + 4));
}
/* To a place not known yet; returns the offset of the rel32 for e_fix */
static inline u32 e_jcc_later(struct emit *e, unsigned cc)
{
	e_jcc(e, cc, 0);
	return e->at - 4;
}
static inline void e_fix(struct emit *e, u32 site)
{
	*(u32 *)(e->base + site) = e->at - (site + 4);
}

#define CC_B 2
#define CC_E 4
#define CC_NE 5
#define CC_A 7

#endif
