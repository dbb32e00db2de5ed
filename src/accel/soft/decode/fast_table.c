// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/decode/fast_table.c - The fast decoder's tables, and what the operand codes mean
 *
 * Constant data only. The .def files are read three times: for the numbers of the rows, for
 * the index from opcode to row, and for the rows. test/unit/accel/soft/decode_test.c
 * compares every form with Zydis. */
#include <Zydis/Zydis.h>

#include "accel/soft/decode/fast.h"
#include "accel/soft/soft.h"

/* Operand codes. As in SDM 2D appendix A: E ModRM.rm, G ModRM.reg, B VEX.vvvv, Z opcode; V, W,
 * H the same for vectors; P, Q MMX; I (sign-extended), U immediates; J relative; O offset.
 * Then the size: b w d q o 1 to 16 bytes, v operand size, y 4 or 8, x vector length. */
/* name, kind, register from, size, size in memory, how */
#define E(C, name, size, mem) C(name, GPR, RM, size, mem, SC_H_RM | SC_H_GPR)
#define G(C, name, from, size) C(name, GPR, from, size, size, SC_H_GPR)
#define W(C, name, kind, size, mem) C(name, kind, RM, size, mem, SC_H_RM)
#define V(C, name, kind, from, size) C(name, kind, from, size, size, 0)
#define CODES(C)                                                                                  \
	E(C, Eb, 1, 1) E(C, Ew, 2, 2) E(C, Ed, 4, 4) E(C, Eq, 8, 8) E(C, Ev, V, V)                \
	E(C, Ey, Y, Y) E(C, Ed_b, 4, 1) E(C, Ed_w, 4, 2) E(C, Ea, V, ADDRESS)                        \
	E(C, Eline, 1, 64) G(C, Gb, REG, 1) G(C, Gd, REG, 4) G(C, Gq, REG, 8)                     \
	G(C, Gv, REG, V) G(C, Gy, REG, Y) C(By, GPR, VVVV, Y, Y, SC_H_VVVV | SC_H_GPR)            \
	G(C, Zb, OPCODE, 1) G(C, Zv, OPCODE, V) G(C, AL, 0, 1) G(C, rAX, 0, V)                    \
	G(C, zAX, 0, Z) G(C, CL, 1, 1) G(C, DX, 2, 2) C(Ib, IMM, NONE, 1, 1, SC_H_IMM)            \
	C(Iz, IMM, NONE, Z, Z, SC_H_IMM) C(Iv, IMM, NONE, V, V, SC_H_IMM)                         \
	C(Ub, IMM, NONE, 1, 1, SC_H_IMM | SC_H_UNSIGNED)                                          \
	C(Iw, IMM, NONE, 2, 2, SC_H_IMM | SC_H_UNSIGNED) C(One, IMM, NONE, 1, 1, SC_H_ONE)        \
	C(Jb, REL, NONE, 1, 1, SC_H_IMM) C(Jz, REL, NONE, 4, 4, SC_H_IMM)                         \
	C(Ob, MEM, NONE, 1, 1, SC_H_MOFFS) C(Ov, MEM, NONE, V, V, SC_H_MOFFS)                     \
	V(C, Vx, XMM, REG, X) V(C, Vo, XMM, REG, 16) V(C, V2, XMM, REG, 32)                       \
	C(Hx, XMM, VVVV, X, X, SC_H_VVVV) C(Ho, XMM, VVVV, 16, 16, SC_H_VVVV)                     \
	C(H2, XMM, VVVV, 32, 32, SC_H_VVVV) C(Lx, XMM, NONE, X, X, SC_H_IS4)                      \
	V(C, XMM0, XMM, 0, 16) W(C, Wx, XMM, X, X) W(C, Wx_2, XMM, 16, X2)                        \
	W(C, Wx_4, XMM, 16, X4) W(C, Wx_8, XMM, 16, X8) W(C, Wdup, XMM, X, DUP)                   \
	W(C, Wo_x, XMM, 16, X) W(C, Wb, XMM, 16, 1) W(C, Ww, XMM, 16, 2)                          \
	W(C, Wd, XMM, 16, 4) W(C, Wq, XMM, 16, 8) W(C, Wo, XMM, 16, 16)                           \
	W(C, W2, XMM, 32, 32) V(C, P, MMX, REG, 8) W(C, Q, MMX, 8, 8) W(C, Qd, MMX, 8, 4)

enum operand_code {
	OPERAND_NONE,
#define CODE(name, ...) name,
	CODES(CODE)
#undef CODE
	NUM_OPERANDS
};
_Static_assert(NUM_OPERANDS <= 64, "SC_OPERAND has six bits");

/* Sizes in column c: fixed, or by operand size and vector length */
#define SZ_1(c) 1
#define SZ_2(c) 2
#define SZ_4(c) 4
#define SZ_8(c) 8
#define SZ_16(c) 16
#define SZ_32(c) 32
#define SZ_64(c) 64
#define SZ_V(c) (1 << ((c) & 3))		/* operand size */
#define SZ_Z(c) MIN(SZ_V(c), 4)
#define SZ_Y(c) (((c) & 3) == 3 ? 8 : 4)
#define SZ_X(c) ((c) & 4 ? 32 : 16)		/* vector length */
#define SZ_X2(c) (SZ_X(c) / 2)
#define SZ_X4(c) (SZ_X(c) / 4)
#define SZ_X8(c) (SZ_X(c) / 8)
#define SZ_DUP(c) ((c) & 4 ? 32 : 8)		/* MOVDDUP */
#define SZ_ADDRESS(c) 0
#define IN_COLUMN(k, s, c) { .kind = SC_OP_##k + (SZ_##s(c) == 32), .size = SZ_##s(c) }
#define IN_MEMORY(s, c) { .kind = SC_OP_MEM, .size = SZ_##s(c) }

const struct sc_operand sc_operands[64] = {
#define CODE(name, k, f, s, m, how_)                                                              \
	[name] = {                                                                                \
		.how = (how_), .from = SC_FROM_##f,                                               \
		.reg = { IN_COLUMN(k, s, 0), IN_COLUMN(k, s, 1), IN_COLUMN(k, s, 2),              \
			 IN_COLUMN(k, s, 3), IN_COLUMN(k, s, 4), IN_COLUMN(k, s, 5),              \
			 IN_COLUMN(k, s, 6), IN_COLUMN(k, s, 7) },                                \
		.mem = { IN_MEMORY(m, 0), IN_MEMORY(m, 1), IN_MEMORY(m, 2), IN_MEMORY(m, 3),      \
			 IN_MEMORY(m, 4), IN_MEMORY(m, 5), IN_MEMORY(m, 6), IN_MEMORY(m, 7) },    \
	},
	CODES(CODE)
#undef CODE
};
#undef E
#undef G
#undef W
#undef V

/* log2 of the operand size by prefix: none, 66, W, W and 66 */
const u8 sc_rule_sizes[SC_NUM_RULES][4] = {
	[SC_RULE_V] = { 2, 1, 3, 3 },
	[SC_RULE_B] = { 0, 0, 0, 0 },
	[SC_RULE_D64] = { 3, 1, 3, 3 },
	[SC_RULE_F64] = { 3, 3, 3, 3 },
	[SC_RULE_Y] = { 2, 2, 3, 3 },
	[SC_RULE_Z] = { 2, 1, 2, 2 },
};

/* CF and AF are opcodes, too */
enum {
	CF_ = X86_FLAG_CF,
	PF_ = X86_FLAG_PF,
	AF_ = X86_FLAG_AF,
	ZF_ = X86_FLAG_ZF,
	SF_ = X86_FLAG_SF,
	OF_ = X86_FLAG_OF,
};
#define ALL (CF_ | PF_ | AF_ | ZF_ | SF_ | OF_)
#define EVERY (ALL | X86_FLAG_IF | X86_FLAG_DF)
#define RAX BIT(X86_RAX)
#define RCX BIT(X86_RCX)
#define RDX BIT(X86_RDX)
#define RBX BIT(X86_RBX)
#define RSP BIT(X86_RSP)
#define RBP BIT(X86_RBP)
#define JUMPS .flags = SC_I_BRANCH
/* name: flags read, written, killed (written, not undefined); registers read, written; the rest */
#define EFFECTS(E)                                                                                \
	E(NONE, 0, 0, 0, 0, 0)                                                                    \
	E(ARITH, 0, ALL, ALL, 0, 0)                                                               \
	E(LOGIC, 0, ALL, ALL & ~AF_, 0, 0)                                                         \
	E(ADC, CF_, ALL, ALL, 0, 0)                                                                \
	E(SBB, CF_, ALL, ALL & ~AF_, 0, 0)                                                          \
	E(INC, 0, ALL & ~CF_, ALL & ~CF_, 0, 0)                                                     \
	E(MUL, 0, ALL, CF_ | OF_, 0, 0)                                                             \
	E(MUL_AX, 0, ALL, CF_ | OF_, RAX, RAX)                                                      \
	E(MUL_DXAX, 0, ALL, CF_ | OF_, RAX, RAX | RDX, .sized = true)                               \
	E(DIV_AX, 0, ALL, 0, RAX, RAX)                                                            \
	E(DIV_DXAX, 0, ALL, 0, RAX | RDX, RAX | RDX)                                              \
	E(ROTATE, 0, CF_ | OF_, CF_, 0, 0)                                                           \
	E(ROTATE_C, CF_, CF_ | OF_, CF_, 0, 0)                                                        \
	E(SHIFT, 0, ALL, ALL & ~(AF_ | OF_), 0, 0)                                                  \
	E(SHD, 0, ALL, ALL & ~(AF_ | OF_), 0, 0, .cond0 = true)                                     \
	E(BT, 0, ALL & ~ZF_, CF_, 0, 0)                                                             \
	E(BSF, 0, ALL, ZF_, 0, 0)                                                                  \
	E(TZCNT, 0, ALL, CF_ | ZF_, 0, 0)                                                           \
	E(BLS, 0, ALL, CF_ | ZF_ | SF_ | OF_, 0, 0)                                                   \
	E(BEXTR, 0, ALL, ZF_, 0, 0)                                                                \
	E(ADCX, CF_, CF_, CF_, 0, 0)                                                                 \
	E(ADOX, OF_, OF_, OF_, 0, 0)                                                                 \
	E(TEST_VECTOR, 0, CF_ | ZF_, CF_ | ZF_, 0, 0)                                                 \
	E(CMPXCHG, 0, ALL, ALL, RAX, RAX, .cond0 = true)                                          \
	E(CMPXCHG8B, 0, ZF_, ZF_, RAX | RCX | RDX | RBX, RAX | RDX, .cond0 = true)                  \
	E(STACK, 0, 0, 0, RSP, RSP)                                                               \
	E(LEAVE, 0, 0, 0, RSP | RBP, RSP | RBP)                                                   \
	E(PUSHF, ALL | X86_FLAG_DF, 0, 0, RSP, RSP)                                               \
	E(POPF, 0, EVERY, EVERY, RSP, RSP)                                                        \
	E(CBW, 0, 0, 0, RAX, RAX)                                                                 \
	E(CWD, 0, 0, 0, RAX, RDX, .sized = true)                                                  \
	E(READ_RAX, 0, 0, 0, RAX, 0)                                                              \
	E(READ_RDX, 0, 0, 0, RDX, 0)                                                              \
	E(WRITE_RAX, 0, 0, 0, 0, RAX, .sized = true)                                              \
	E(SCAS, 0, ALL, ALL, RAX, 0)                                                              \
	E(CARRY, 0, CF_, CF_, 0, 0)                                                                 \
	E(CMC, CF_, CF_, CF_, 0, 0)                                                                  \
	E(IF, 0, X86_FLAG_IF, X86_FLAG_IF, 0, 0)                                                  \
	E(DF, 0, X86_FLAG_DF, X86_FLAG_DF, 0, 0)                                                  \
	E(WRMSR, 0, 0, 0, RAX | RCX | RDX, 0)                                                     \
	E(RDMSR, 0, 0, 0, RCX, RAX | RDX)                                                         \
	E(RDTSC, 0, 0, 0, 0, RAX | RDX)                                                           \
	E(CPUID, 0, 0, 0, RAX | RCX, RAX | RCX | RDX | RBX)                                       \
	E(PESTRI, 0, ALL, ALL, RAX | RDX, RCX)                                                    \
	E(PESTRM, 0, ALL, ALL, RAX | RDX, 0)                                                      \
	E(PISTRI, 0, ALL, ALL, 0, RCX)                                                            \
	E(JUMP, 0, 0, 0, 0, 0, JUMPS)                                                             \
	E(CALL, 0, 0, 0, RSP, RSP, JUMPS)                                                         \
	E(RET, 0, 0, 0, RSP, RSP, JUMPS)                                                          \
	E(INT, 0, X86_FLAG_IF, X86_FLAG_IF, 0, 0, JUMPS)                                          \
	E(SYSCALL, 0, EVERY, EVERY, 0, RCX | BIT(11), JUMPS)                                      \
	CONDITION(E, O, OF_)                                                                       \
	CONDITION(E, C, CF_)                                                                       \
	CONDITION(E, Z, ZF_)                                                                       \
	CONDITION(E, CZ, CF_ | ZF_)                                                                 \
	CONDITION(E, S, SF_)                                                                       \
	CONDITION(E, P, PF_)                                                                       \
	CONDITION(E, SO, SF_ | OF_)                                                                 \
	CONDITION(E, SZO, SF_ | ZF_ | OF_)
#define CONDITION(E, name, reads)                                                                 \
	E(READ_##name, reads, 0, 0, 0, 0)                                                         \
	E(JUMP_##name, reads, 0, 0, 0, 0, JUMPS)                                                  \
	E(CMOV_##name, reads, 0, 0, 0, 0, .cond0 = true)

enum {
#define EFFECT(name, ...) FX_##name,
	EFFECTS(EFFECT)
#undef EFFECT
};

const struct sc_effect sc_effects[] = {
#define EFFECT(name, r, w, k, gr, gw, ...) [FX_##name] = { r, w, k, gr, gw, __VA_ARGS__ },
	EFFECTS(EFFECT)
#undef EFFECT
};

/* Zydis' names of what vector instructions belong to, the second for VEX.L */
#define ISAS(I)                                                                                   \
	I(MMX, MMX, PENTIUMMMX, MMX, PENTIUMMMX) I(SSE, SSE, SSE, SSE, SSE)                       \
	I(SSEMMX, MMX, SSE, MMX, SSE) I(MXCSR, SSE, SSEMXCSR, SSE, SSEMXCSR)                      \
	I(SSE2, SSE2, SSE2, SSE2, SSE2) I(SSE2MMX, SSE2, SSE2MMX, SSE2, SSE2MMX)                  \
	I(SSE3, SSE3, SSE3, SSE3, SSE3) I(SSSE3, SSSE3, SSSE3, SSSE3, SSSE3)                      \
	I(SSSE3MMX, SSSE3, SSSE3MMX, SSSE3, SSSE3MMX) I(SSE4, SSE4, SSE4, SSE4, SSE4)             \
	I(SSE42, SSE4, SSE42, SSE4, SSE42) I(AES, AES, AES, AES, AES)                             \
	I(PCLMUL, PCLMULQDQ, PCLMULQDQ, PCLMULQDQ, PCLMULQDQ) I(SHA, SHA, SHA, SHA, SHA)          \
	I(GFNI, GFNI, GFNI, GFNI, GFNI) I(AVX, AVX, AVX, AVX, AVX)                                \
	I(AVXI, AVX, AVX, AVX2, AVX2) I(AVX2, AVX2, AVX2, AVX2, AVX2)                             \
	I(AVXAES, AVXAES, AVXAES, AVXAES, AVXAES) I(VAES, AVXAES, AVXAES, VAES, VAES)             \
	I(FMA, FMA, FMA, FMA, FMA) I(F16C, F16C, F16C, F16C, F16C)                                \
	I(VPCLMUL, AVX, AVX, VPCLMULQDQ, VPCLMULQDQ) I(VGFNI, GFNI, AVX_GFNI, GFNI, AVX_GFNI)     \
	I(VNNI, AVX_VNNI, AVX_VNNI, AVX_VNNI, AVX_VNNI)

enum {
#define ISA(name, ...) ISA_##name,
	ISAS(ISA)
#undef ISA
};

const struct sc_isa sc_isas[][2] = {
#define ISA(name, e0, s0, e1, s1)                                                                 \
	[ISA_##name] = { { ZYDIS_ISA_EXT_##e0, ZYDIS_ISA_SET_##s0 },                              \
			 { ZYDIS_ISA_EXT_##e1, ZYDIS_ISA_SET_##s1 } },
	ISAS(ISA)
#undef ISA
};

/* ------------------------------------------------------------------- opcodes */

/* Prefix columns as designators */
#define PP_NP SC_PP_NP
#define PP_66 SC_PP_66
#define PP_F3 SC_PP_F3
#define PP_F2 SC_PP_F2
#define PP_N6 SC_PP_NP ... SC_PP_66
#define PP_ANY SC_PP_NP ... SC_PP_F2

enum {
	ROW_NONE,
#define OP(map, op, pp, ...) ROW_##map##_##op##_##pp,
#define MR OP
#define OPS(map, lo, hi, pp, ...) ROW_##map##_##lo##_##pp,
#define OR(mnemonic, ...) ROW_OR_(__COUNTER__),
#define VEC OP
#define VEC0 OP
#define VOR OR
#define ROW_OR_(n) ROW_OR__(n)
#define ROW_OR__(n) ROW_OR_##n
#include "accel/soft/decode/legacy.def"
#include "accel/soft/decode/sse.def"
#include "accel/soft/decode/vex.def"
	ROW_END
#undef OP
#undef OPS
#undef OR
};

const u16 sc_row_of[SC_NUM_MAPS][256][4] = {
#define OP(map, op, pp, ...) [SC_MAP_##map][0x##op][PP_##pp] = ROW_##map##_##op##_##pp,
#define OPS(map, lo, hi, pp, ...)                                                                 \
	[SC_MAP_##map][0x##lo ... 0x##hi][PP_##pp] = ROW_##map##_##lo##_##pp,
#define OR(...)
#include "accel/soft/decode/legacy.def"
#include "accel/soft/decode/sse.def"
#include "accel/soft/decode/vex.def"
#undef OP
#undef MR
#undef OPS
#undef OR
#undef VEC
#undef VEC0
#undef VOR
};

/* Attributes */
#define LOCK SC_R_LOCK
#define REPS SC_R_STRING
#define FIX SC_R_FIX
#define BY_REG SC_R_BY_REG
#define F(feature) (SC_F_##feature << 8)
/* When a row is the one: what counts << 16 | what it must be */
#define WHEN(mask, is) ((u32)(mask) << 16 | (is))
#define ALWAYS 0
#define REG(n) WHEN(0x38, (n) << 3)
#define MODRM(m) WHEN(SC_W_MODRM, m)
#define MEM WHEN(SC_W_MEM, SC_W_MEM)
#define NO_MEM WHEN(SC_W_MEM, 0)
#define W0 WHEN(SC_W_W, 0)
#define W1 WHEN(SC_W_W, SC_W_W)
#define L0 WHEN(SC_W_L, 0)
#define L1 WHEN(SC_W_L, SC_W_L)
#define O32 WHEN(SC_W_W | SC_W_66, 0)
#define NOT_66 WHEN(SC_W_66, 0)
#define NOT_B WHEN(SC_W_B, 0)
/* Operands */
#define R(x) ((x) | SC_ACT_R << 6)
#define W(x) ((x) | SC_ACT_W << 6)
#define RW(x) ((x) | (SC_ACT_R | SC_ACT_W) << 6)
#define AGEN(x) (x)

#define ROW(name, c, s, effect_, rule_, attr_, when_, ...)                                        \
	{ .mnemonic = ZYDIS_MNEMONIC_##name, .cls = SC_C_##c, .sub = (s), .effect = FX_##effect_, \
	  .rule = SC_RULE_##rule_, .attr = (attr_), .when = (when_), .op = { __VA_ARGS__ } },
#define OP(map, op, pp, name, c, s, effect_, rule_, attr_, when_, ...)                            \
	ROW(name, c, s, effect_, rule_, (attr_) | SC_R_FIRST, when_, __VA_ARGS__)
#define MR(map, op, pp, name, c, s, effect_, rule_, attr_, when_, ...)                            \
	ROW(name, c, s, effect_, rule_, (attr_) | SC_R_FIRST | SC_R_MODRM, when_, __VA_ARGS__)
#define OPS(map, lo, hi, pp, ...) OP(map, lo, pp, __VA_ARGS__)
#define OR(name, c, s, effect_, rule_, attr_, when_, ...)                                         \
	ROW(name, c, s, effect_, rule_, attr_, when_, __VA_ARGS__)
#define VEC(map, op, pp, name, isa, effect_, when_, ...)                                          \
	ROW(name, NATIVE, 0, effect_, Y, ISA_##isa << 8 | SC_R_FIRST | SC_R_MODRM, when_, __VA_ARGS__)
#define VEC0(map, op, pp, name, isa, effect_, when_)                                              \
	ROW(name, NATIVE, 0, effect_, Y, ISA_##isa << 8 | SC_R_FIRST, when_)
#define VOR(name, isa, effect_, when_, ...)                                                       \
	ROW(name, NATIVE, 0, effect_, Y, ISA_##isa << 8, when_, __VA_ARGS__)

const struct sc_row sc_rows[] = {
	{ .attr = SC_R_FIRST },
#include "accel/soft/decode/legacy.def"
#include "accel/soft/decode/sse.def"
#include "accel/soft/decode/vex.def"
	{ .attr = SC_R_FIRST },
};
