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
#define CODES(C)                                                                                  \
	C(Eb, GPR, RM, 1, 1) C(Ew, GPR, RM, 2, 2) C(Ed, GPR, RM, 4, 4) C(Eq, GPR, RM, 8, 8)       \
	C(Ev, GPR, RM, V, V) C(Ey, GPR, RM, Y, Y) C(Ed_b, GPR, RM, 4, 1) C(Ed_w, GPR, RM, 4, 2)   \
	C(Ea, GPR, RM, V, NONE) /* an address, no access */ C(Eline, GPR, RM, 1, 64)                                          \
	C(Gb, GPR, REG, 1, 1) C(Gd, GPR, REG, 4, 4) C(Gq, GPR, REG, 8, 8) C(Gv, GPR, REG, V, V)   \
	C(Gy, GPR, REG, Y, Y) C(By, GPR, VVVV, Y, Y) C(Zb, GPR, OPCODE, 1, 1)                     \
	C(Zv, GPR, OPCODE, V, V) C(AL, GPR, 0, 1, 1) C(rAX, GPR, 0, V, V) C(zAX, GPR, 0, Z, Z)    \
	C(CL, GPR, 1, 1, 1) C(DX, GPR, 2, 2, 2)                                                   \
	C(Ib, IMM, IMM, 1, 1) C(Iz, IMM, IMM, Z, Z) C(Iv, IMM, IMM, V, V)                         \
	C(Ub, IMM, IMM_U, 1, 1) C(Iw, IMM, IMM_U, 2, 2) C(One, IMM, ONE, 1, 1)                    \
	C(Jb, REL, IMM, 1, 1) C(Jz, REL, IMM, 4, 4)                                               \
	C(Ob, MEM, MOFFS, 1, 1) C(Ov, MEM, MOFFS, V, V)                                           \
	C(Vx, XMM, REG, X, X) C(Vo, XMM, REG, 16, 16) C(V2, YMM, REG, 32, 32)                     \
	C(Hx, XMM, VVVV, X, X) C(Ho, XMM, VVVV, 16, 16) C(H2, YMM, VVVV, 32, 32)                  \
	C(Lx, XMM, IS4, X, X) C(XMM0, XMM, 0, 16, 16)                                             \
	C(Wx, XMM, RM, X, X) C(Wx_2, XMM, RM, 16, X2) C(Wx_4, XMM, RM, 16, X4)                    \
	C(Wx_8, XMM, RM, 16, X8) C(Wdup, XMM, RM, X, DUP) C(Wo_x, XMM, RM, 16, X)                 \
	C(Wb, XMM, RM, 16, 1) C(Ww, XMM, RM, 16, 2) C(Wd, XMM, RM, 16, 4) C(Wq, XMM, RM, 16, 8)   \
	C(Wo, XMM, RM, 16, 16) C(W2, YMM, RM, 32, 32)                                             \
	C(P, MMX, REG, 8, 8) C(Q, MMX, RM, 8, 8) C(Qd, MMX, RM, 8, 4)

enum operand_code {
	OPERAND_NONE,
#define CODE(name, ...) name,
	CODES(CODE)
#undef CODE
	NUM_OPERANDS
};
_Static_assert(NUM_OPERANDS <= 64, "SC_OPERAND has six bits");

const struct sc_operand sc_operands[64] = {
#define CODE(name, k, f, s, m) [name] = { SC_OP_##k, SC_FROM_##f, SC_SZ_##s, SC_SZ_##m },
	CODES(CODE)
#undef CODE
};

/* First index: log2 of the operand size, 4 more with VEX.L */
#define BOTH(a, b, c, d) { a, b, c, d, a, b, c, d }
#define LENGTH(l0, l1) { l0, l0, l0, l0, l1, l1, l1, l1 }
const u8 sc_sizes[SC_NUM_SZ][8] = {
	[SC_SZ_1] = LENGTH(1, 1),
	[SC_SZ_2] = LENGTH(2, 2),
	[SC_SZ_4] = LENGTH(4, 4),
	[SC_SZ_8] = LENGTH(8, 8),
	[SC_SZ_16] = LENGTH(16, 16),
	[SC_SZ_32] = LENGTH(32, 32),
	[SC_SZ_64] = LENGTH(64, 64),
	[SC_SZ_V] = BOTH(1, 2, 4, 8),
	[SC_SZ_Z] = BOTH(1, 2, 4, 4),
	[SC_SZ_Y] = BOTH(4, 4, 4, 8),
	[SC_SZ_X] = LENGTH(16, 32),
	[SC_SZ_X2] = LENGTH(8, 16),
	[SC_SZ_X4] = LENGTH(4, 8),
	[SC_SZ_X8] = LENGTH(2, 4),
	[SC_SZ_DUP] = LENGTH(8, 32),
};

/* log2 of the operand size by prefix: none, 66, W, W and 66 */
const u8 sc_rule_sizes[SC_NUM_RULES][4] = {
	[SC_RULE_V] = { 2, 1, 3, 3 },
	[SC_RULE_B] = { 0, 0, 0, 0 },
	[SC_RULE_D64] = { 3, 1, 3, 3 },
	[SC_RULE_F64] = { 3, 3, 3, 3 },
	[SC_RULE_Y] = { 2, 2, 3, 3 },
	[SC_RULE_Z] = { 2, 1, 2, 2 },
};

enum { CF_ = X86_FLAG_CF, PF_ = X86_FLAG_PF, AF_ = X86_FLAG_AF, ZF_ = X86_FLAG_ZF, SF_ = X86_FLAG_SF,
       OF_ = X86_FLAG_OF };
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
	I(SSEMMX, MMX, SSE, MMX, SSE) I(MXCSR, SSE, SSEMXCSR, SSE, SSEMXCSR) I(SSE2, SSE2, SSE2, SSE2, SSE2)                    \
	I(SSE2MMX, SSE2, SSE2MMX, SSE2, SSE2MMX) I(SSE3, SSE3, SSE3, SSE3, SSE3)                  \
	I(SSSE3, SSSE3, SSSE3, SSSE3, SSSE3) I(SSSE3MMX, SSSE3, SSSE3MMX, SSSE3, SSSE3MMX)        \
	I(SSE4, SSE4, SSE4, SSE4, SSE4) I(SSE42, SSE4, SSE42, SSE4, SSE42)                        \
	I(AES, AES, AES, AES, AES) I(PCLMUL, PCLMULQDQ, PCLMULQDQ, PCLMULQDQ, PCLMULQDQ)          \
	I(SHA, SHA, SHA, SHA, SHA) I(GFNI, GFNI, GFNI, GFNI, GFNI)                                \
	I(AVX, AVX, AVX, AVX, AVX) I(AVXI, AVX, AVX, AVX2, AVX2)                                  \
	I(AVX2, AVX2, AVX2, AVX2, AVX2) I(AVXAES, AVXAES, AVXAES, AVXAES, AVXAES)                 \
	I(VAES, AVXAES, AVXAES, VAES, VAES) I(FMA, FMA, FMA, FMA, FMA)                            \
	I(F16C, F16C, F16C, F16C, F16C) I(VPCLMUL, AVX, AVX, VPCLMULQDQ, VPCLMULQDQ)              \
	I(VGFNI, GFNI, AVX_GFNI, GFNI, AVX_GFNI)                                          \
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
