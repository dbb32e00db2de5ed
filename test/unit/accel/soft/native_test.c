// SPDX-License-Identifier: BSD-2-Clause
/* test/unit/accel/soft/native_test.c - Vector and x87 instructions: when they may run, what
 * they store, how their faults arrive. What they compute is judged by test/isa. */
#include <signal.h>

#include "interp_rig.h"

#include "accel/soft/fault/fault.h"
#include "accel/soft/interp/native.h"

static struct rig rig;
static struct sigaction ours[2];
static const int signals[2] = { SIGFPE, SIGSEGV };

static int open_rig(void **state)
{
	rig_open(&rig);
	for (unsigned i = 0; i < 2; i++)
		sigaction(signals[i], NULL, &ours[i]);
	return 0;
}
static int close_rig(void **state)
{
	rig_close(&rig);
	return 0;
}

/* 64-bit code at CPL 0 with everything enabled */
static struct sc_vcpu *start(void)
{
	struct sc_vcpu *v = rig.v;

	/* cmocka puts handlers of its own in place for each test */
	for (unsigned i = 0; i < 2; i++)
		sigaction(signals[i], &ours[i], NULL);
	rig_long(&rig, 0);
	v->cr4 |= X86_CR4_OSXSAVE | X86_CR4_OSXMMEXCPT;
	v->xcr0 = sc_fpu_components(v);
	sc_fpu_reset(v);
	sc_fpu_finit(v);
	sc_mode_update(v);
	memset(rig.ram + DATA_GPA, 0, DATA_PAGES * 4096);
	v->gpr[X86_RSI] = DATA;
	v->gpr[X86_RDI] = DATA + 0x800;
	return v;
}

/* Run the instructions one after the other; vector of the first fault */
static int run(const u8 *code, unsigned len)
{
	u64 end = rig.v->rip + len;
	int vector = NO_EXCEPTION;

	rig_code(&rig, code, len);
	sc_fault_enter(rig.v, NULL);
	while (vector == NO_EXCEPTION && rig.v->rip != end)
		vector = rig_step(&rig);
	sc_fpu_save(rig.v);
	sc_fault_leave();
	return vector;
}
#define DO(...)                                     \
	({                                          \
		const u8 do_[] = { __VA_ARGS__ };   \
		rig.v->rip = sc_code64(rig.v) ? CODE : CODE_GPA; \
		run(do_, sizeof(do_));              \
	})

static u8 *data(void)
{
	return rig.ram + DATA_GPA;
}
static u64 data64(unsigned off)
{
	u64 x;

	memcpy(&x, data() + off, 8);
	return x;
}

#define MOVAPS_LOAD 0x0f, 0x28, 0x06	    /* movaps (%rsi), %xmm0 */
#define ADDPS 0x0f, 0x58, 0xc1		    /* addps %xmm1, %xmm0 */
#define VADDPS 0xc5, 0xf4, 0x58, 0xc2	    /* vaddps %ymm2, %ymm1, %ymm0 */
#define PADDB_MMX 0x0f, 0xfc, 0xc1	    /* paddb %mm1, %mm0 */
#define FLD1 0xd9, 0xe8
#define FWAIT 0x9b
#define FXSAVE 0x0f, 0xae, 0x06		    /* (%rsi) */
#define FXRSTOR 0x0f, 0xae, 0x0e
#define XSAVE 0x0f, 0xae, 0x26
#define XRSTOR 0x0f, 0xae, 0x2e
#define XSAVEOPT 0x0f, 0xae, 0x36
#define XSAVEC 0x0f, 0xc7, 0x26

/* ------------------------------------------------------------ permission */

static void emulation_bit_makes_sse_undefined_and_x87_unavailable(void **state)
{
	start()->cr0 |= X86_CR0_EM;
	assert_int_equal(DO(ADDPS), X86_VEC_UD);
	assert_int_equal(DO(PADDB_MMX), X86_VEC_UD);
	assert_int_equal(DO(FLD1), X86_VEC_NM);
	assert_int_equal(DO(FXSAVE), X86_VEC_NM);
	/* VEX does not look at it */
	assert_int_equal(DO(VADDPS), NO_EXCEPTION);
}

static void task_switched_bit_makes_all_of_them_unavailable(void **state)
{
	struct sc_vcpu *v = start();

	v->cr0 |= X86_CR0_TS;
	assert_int_equal(DO(ADDPS), X86_VEC_NM);
	assert_int_equal(DO(VADDPS), X86_VEC_NM);
	assert_int_equal(DO(PADDB_MMX), X86_VEC_NM);
	assert_int_equal(DO(FLD1), X86_VEC_NM);
	assert_int_equal(DO(XSAVE), X86_VEC_NM);
	v->cr0 &= ~(u64)X86_CR0_MP;
	assert_int_equal(DO(FWAIT), NO_EXCEPTION);
	v->cr0 |= X86_CR0_MP;
	assert_int_equal(DO(FWAIT), X86_VEC_NM);
}

static void sse_needs_osfxsr(void **state)
{
	start()->cr4 &= ~(u64)X86_CR4_OSFXSR;
	assert_int_equal(DO(ADDPS), X86_VEC_UD);
	assert_int_equal(DO(PADDB_MMX), NO_EXCEPTION);
	assert_int_equal(DO(FXSAVE), NO_EXCEPTION);
}

static void avx_needs_osxsave_and_its_bit_in_xcr0(void **state)
{
	struct sc_vcpu *v = start();

	assert_int_equal(DO(VADDPS), NO_EXCEPTION);
	v->xcr0 = 3;
	assert_int_equal(DO(VADDPS), X86_VEC_UD);
	v->xcr0 = 7;
	v->cr4 &= ~(u64)X86_CR4_OSXSAVE;
	assert_int_equal(DO(VADDPS), X86_VEC_UD);
	assert_int_equal(DO(XSAVE), X86_VEC_UD);
}

static void what_cpuid_does_not_show_is_undefined(void **state)
{
	struct sc_vcpu *v = start();

	/* EVEX vaddps, 3DNow! pfadd, XSAVES */
	assert_int_equal(DO(0x62, 0xf1, 0x6c, 0x48, 0x58, 0xc3), X86_VEC_UD);
	assert_int_equal(DO(0x0f, 0x0f, 0xc1, 0x9e), X86_VEC_UD);
	assert_int_equal(DO(0x0f, 0xc7, 0x2e), X86_VEC_UD);
	/* aesenc, with and without the bit */
	assert_int_equal(DO(0x66, 0x0f, 0x38, 0xdc, 0xc1), NO_EXCEPTION);
	sc_native_fini(v);
	for (unsigned i = 0; i < v->num_cpuid; i++)
		if (v->cpuid[i].leaf == 1)
			v->cpuid[i].ecx ^= BIT(25);
	assert_int_equal(DO(0x66, 0x0f, 0x38, 0xdc, 0xc1), X86_VEC_UD);
	for (unsigned i = 0; i < v->num_cpuid; i++)
		if (v->cpuid[i].leaf == 1)
			v->cpuid[i].ecx ^= BIT(25);
	sc_native_fini(v);
}

static void vex_is_undefined_in_real_mode(void **state)
{
	rig_real(&rig);
	/* movd %eax, %xmm0 runs there; pextrw too */
	rig.v->cr4 |= X86_CR4_OSFXSR;
	rig.v->gpr[X86_RAX] = 0x12345678;
	assert_int_equal(RUN(&rig, 0x66, 0x0f, 0x6e, 0xc0), NO_EXCEPTION);
	sc_fpu_save(rig.v);
	assert_int_equal(sc_xs32(rig.v, SC_XS_XMM), 0x12345678);
	/* vaddps xmm: C5 is LDS with a register there */
	rig.v->rip = 16;
	assert_int_equal(RUN(&rig, 0xc5, 0xf0, 0x58, 0xc2), X86_VEC_UD);
}

/* ---------------------------------------------------------------- faults */

static void misaligned_operand_is_gp_and_changes_nothing(void **state)
{
	struct sc_vcpu *v = start();

	memset(data(), 0x5a, 64);
	v->gpr[X86_RSI] = DATA + 4;
	assert_int_equal(DO(MOVAPS_LOAD), X86_VEC_GP);
	assert_int_equal(sc_xs64(v, SC_XS_XMM), 0);
	/* movups does not mind */
	assert_int_equal(DO(0x0f, 0x10, 0x06), NO_EXCEPTION);
	assert_int_equal(sc_xs64(v, SC_XS_XMM), 0x5a5a5a5a5a5a5a5a);
}

static void store_over_two_pages_is_all_or_nothing(void **state)
{
	struct sc_vcpu *v = start();

	memset(data(), 0x77, DATA_PAGES * 4096);
	v->gpr[X86_RSI] = DATA + DATA_PAGES * 4096 - 8; /* nothing behind */
	assert_int_equal(DO(0x0f, 0x11, 0x06), X86_VEC_PF);
	assert_int_equal(v->exc.cr2, DATA + DATA_PAGES * 4096);
	assert_int_equal(data64(DATA_PAGES * 4096 - 8), 0x7777777777777777);
	v->gpr[X86_RSI] = DATA + 4096 - 8;
	assert_int_equal(DO(0x0f, 0x11, 0x06), NO_EXCEPTION);
	assert_int_equal(data64(4096 - 8), 0);
	assert_int_equal(data64(4096), 0);
}

static void unmasked_sse_exception_is_xm_or_undefined(void **state)
{
	struct sc_vcpu *v = start();

	/* 1.0 / 0.0 with division by zero unmasked */
	sc_xs_put(v, SC_XS_MXCSR, 0x1f80 & ~0x200u, 4);
	sc_xs_put(v, SC_XS_XMM, 0x3f800000, 4);
	assert_int_equal(DO(0xf3, 0x0f, 0x5e, 0xc1), X86_VEC_XM); /* divss %xmm1, %xmm0 */
	assert_int_equal(v->rip, CODE);
	assert_int_equal(sc_xs32(v, SC_XS_XMM), 0x3f800000);
	assert_int_equal(sc_xs32(v, SC_XS_MXCSR) & 0x3f, 4);
	v->cr4 &= ~(u64)X86_CR4_OSXMMEXCPT;
	assert_int_equal(DO(0xf3, 0x0f, 0x5e, 0xc1), X86_VEC_UD);
}

static void x87_exception_waits_for_the_next_waiting_instruction(void **state)
{
	struct sc_vcpu *v = start();

	/* fld1; fldz; fdivrp with division by zero unmasked; then fnstsw; then fld1 */
	sc_xs_put(v, SC_XS_FCW, 0x37b, 2);
	assert_int_equal(DO(FLD1, 0xd9, 0xee, 0xde, 0xf9), NO_EXCEPTION);
	assert_int_equal(DO(0xdf, 0xe0), NO_EXCEPTION);
	assert_int_equal(v->gpr[X86_RAX] & 0x84, 0x84);
	assert_int_equal(DO(FLD1), X86_VEC_MF);
	assert_int_equal(v->rip, CODE);
	assert_int_equal(DO(FWAIT), X86_VEC_MF);
	assert_int_equal(DO(PADDB_MMX), X86_VEC_MF);
	assert_int_equal(DO(ADDPS), NO_EXCEPTION);
	/* fnclex takes it away */
	assert_int_equal(DO(0xdb, 0xe2, FLD1), NO_EXCEPTION);
}

static void pending_x87_exception_comes_before_a_page_fault(void **state)
{
	struct sc_vcpu *v = start();

	sc_xs_put(v, SC_XS_FCW, 0x37b, 2);
	assert_int_equal(DO(FLD1, 0xd9, 0xee, 0xde, 0xf9), NO_EXCEPTION);
	v->gpr[X86_RSI] = 0x123456789000;
	assert_int_equal(DO(0xd9, 0x06), X86_VEC_MF); /* flds (%rsi) */
	assert_int_equal(DO(0xd9, 0x3e), X86_VEC_PF); /* fnstcw (%rsi) */
}

static void ldmxcsr_with_reserved_bits_is_gp(void **state)
{
	u32 bad = 0x80001f80, good = 0x1fa0;

	start();
	memcpy(data(), &bad, 4);
	assert_int_equal(DO(0x0f, 0xae, 0x16), X86_VEC_GP);
	memcpy(data(), &good, 4);
	assert_int_equal(DO(0x0f, 0xae, 0x16), NO_EXCEPTION);
	assert_int_equal(sc_xs32(rig.v, SC_XS_MXCSR), good);
}

static void device_sees_one_access_of_the_operands_size(void **state)
{
	struct sc_vcpu *v = start();

	v->gpr[X86_RSI] = DEVICE;
	rig.mmio_value = 0x1122334455667788;
	rig.mmio_reads = rig.mmio_writes = 0;
	assert_int_equal(DO(0x66, 0x0f, 0x6e, 0x06), NO_EXCEPTION); /* movd (%rsi), %xmm0 */
	assert_int_equal(rig.mmio_reads, 1);
	assert_int_equal(sc_xs64(v, SC_XS_XMM), 0x55667788);
	sc_xs_put(v, SC_XS_XMM, 0xabcdef, 4);
	assert_int_equal(DO(0x66, 0x0f, 0x7e, 0x06), NO_EXCEPTION);
	assert_int_equal(rig.mmio_reads, 1);
	assert_int_equal(rig.mmio_writes, 1);
	assert_int_equal(rig.mmio_value, 0xabcdef);
}

static void many_encodings_recycle_the_code_memory(void **state)
{
	struct sc_vcpu *v = start();

	for (u32 i = 0; i < 3 * 4096 - 16; i++) {
		u8 code[] = { 0x0f, 0x10, 0x86, (u8)i, (u8)(i >> 8), 0, 0 }; /* movups i(%rsi), %xmm0 */

		data()[i] = (u8)(i * 7 + 1);
		v->rip = CODE;
		assert_int_equal(run(code, sizeof(code)), NO_EXCEPTION);
		assert_int_equal(v->xsave[SC_XS_XMM], (u8)(i * 7 + 1));
	}
}

/* ---------------------------------------------------------------- images */

/* Something in each component, with an x87 memory operand for the pointers */
static void fill(struct sc_vcpu *v)
{
	static const float f = 1.5;

	for (unsigned i = 0; i < 256; i++) {
		v->xsave[SC_XS_XMM + i] = (u8)(i + 1);
		v->xsave[SC_XS_YMMH + i] = (u8)(0x80 ^ i);
	}
	sc_xs_put(v, SC_XS_BV, 7, 8);
	memcpy(data() + 0x400, &f, 4);
	assert_int_equal(DO(0xd9, 0x86, 0, 4, 0, 0, FLD1), NO_EXCEPTION); /* flds 0x400(%rsi); fld1 */
}

static bool zero(const u8 *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

static void fxsave_and_fxrstor_carry_everything_but_host_pointers(void **state)
{
	struct sc_vcpu *v = start();
	u8 x87[128], xmm[256];

	fill(v);
	memcpy(x87, v->xsave + SC_XS_ST, sizeof(x87));
	memcpy(xmm, v->xsave + SC_XS_XMM, sizeof(xmm));
	memset(data(), 0xee, 512);
	assert_int_equal(DO(FXSAVE), NO_EXCEPTION);
	assert_int_equal(data64(0) & 0xff, 0x7f);
	assert_int_equal(data()[4], 0xc0); /* two registers in use */
	assert_true(zero(data() + 6, 18));
	assert_memory_equal(data() + SC_XS_ST, x87, sizeof(x87));
	assert_memory_equal(data() + SC_XS_XMM, xmm, sizeof(xmm));
	assert_int_equal(data()[464], 0xee); /* the program's own */

	sc_fpu_reset(v);
	assert_int_equal(DO(FXRSTOR), NO_EXCEPTION);
	assert_memory_equal(v->xsave + SC_XS_ST, x87, sizeof(x87));
	assert_memory_equal(v->xsave + SC_XS_XMM, xmm, sizeof(xmm));
	assert_int_equal(v->xsave[4], 0xc0);

	v->gpr[X86_RSI] += 8;
	assert_int_equal(DO(FXSAVE), X86_VEC_GP);
	assert_int_equal(DO(FXRSTOR), X86_VEC_GP);
	v->gpr[X86_RSI] -= 8;
	data()[27] = 0x80; /* MXCSR bit 31 */
	assert_int_equal(DO(FXRSTOR), X86_VEC_GP);
}

static void fxsave_of_32_bit_code_leaves_the_upper_registers_out(void **state)
{
	struct sc_vcpu *v = start();

	fill(v);
	rig_segs(v, 0xc09b, 0xc093, 0xffffffff, 0);
	memset(data(), 0xee, 512);
	v->rip = CODE;
	memcpy(rig.ram + CODE_GPA, (u8[]){ FXSAVE }, 3);
	assert_int_equal(rig_step(&rig), NO_EXCEPTION);
	assert_int_equal(data()[SC_XS_XMM + 127], 128);
	assert_int_equal(data()[SC_XS_XMM + 128], 0xee);
}

static void environment_comes_in_two_formats_without_pointers(void **state)
{
	struct sc_vcpu *v = start();

	fill(v);
	memset(data(), 0xee, 128);
	assert_int_equal(DO(0xd9, 0x36), NO_EXCEPTION); /* fnstenv (%rsi) */
	assert_int_equal(data64(0), 0xffff3000ffff037f);
	assert_int_equal(data64(8), 0x00000000ffff0fff); /* R6, R7 valid; FIP */
	assert_int_equal(data64(16), 0);		 /* FCS, FOP, FDP */
	assert_int_equal(data64(24), 0xeeeeeeeeffff0000); /* FDS; end */
	memset(data(), 0xee, 128);
	assert_int_equal(DO(0x66, 0xd9, 0x36), NO_EXCEPTION);
	assert_int_equal(data64(0), 0x00000fff3000037f);
	assert_int_equal(data64(8), 0xeeee000000000000);
	/* and back */
	assert_int_equal(DO(0xdb, 0xe3, 0x66, 0xd9, 0x26), NO_EXCEPTION); /* fninit; fldenv */
	assert_int_equal(sc_xs16(v, SC_XS_FSW), 0x3000);
}

static void fnsave_and_frstor_round_trip(void **state)
{
	struct sc_vcpu *v = start();
	u8 x87[128];

	fill(v);
	memcpy(x87, v->xsave + SC_XS_ST, sizeof(x87));
	memset(data(), 0xee, 128);
	assert_int_equal(DO(0xdd, 0x36), NO_EXCEPTION);
	assert_int_equal(data()[107] == 0xee, 0);
	assert_int_equal(data()[108], 0xee);
	assert_int_equal(sc_xs16(v, SC_XS_FSW), 0); /* as FNINIT */
	assert_int_equal(v->xsave[SC_XS_FTW], 0);
	assert_int_equal(DO(0xdd, 0x26), NO_EXCEPTION);
	assert_memory_equal(v->xsave + SC_XS_ST, x87, sizeof(x87));
	assert_int_equal(v->xsave[SC_XS_FTW], 0xc0);
}

static void xsave_stores_what_is_asked_for_and_enabled(void **state)
{
	struct sc_vcpu *v = start();

	fill(v);
	memset(data(), 0xee, 0x400);
	memset(data() + 512, 0, 64);
	data()[512] = 0xf8; /* bits that nobody asks about stay */
	v->gpr[X86_RAX] = 0xfffffff6;
	v->gpr[X86_RDX] = ~0ull;
	assert_int_equal(DO(XSAVE), NO_EXCEPTION);
	assert_int_equal(data64(512), 0xfe);
	assert_int_equal(data()[0], 0xee); /* x87 was not asked for */
	assert_int_equal(data()[SC_XS_XMM], 1);
	assert_int_equal(data()[SC_XS_YMMH], 0x80);
	/* with AVX disabled it is not stored */
	v->xcr0 = 3;
	memset(data() + SC_XS_YMMH, 0xdd, 256);
	assert_int_equal(DO(XSAVE), NO_EXCEPTION);
	assert_int_equal(data()[SC_XS_YMMH], 0xdd);
	assert_int_equal(data64(512), 0xfe);
	v->xcr0 = 7;
	v->gpr[X86_RSI] += 32;
	assert_int_equal(DO(XSAVE), X86_VEC_GP);
}

static void xsave_zeroes_pointers_of_the_host(void **state)
{
	struct sc_vcpu *v = start();

	fill(v);
	memset(data(), 0xee, 512);
	memset(data() + 512, 0, 64);
	v->gpr[X86_RAX] = 7;
	assert_int_equal(DO(XSAVE), NO_EXCEPTION);
	assert_int_equal(data64(512), 7);
	assert_true(zero(data() + 6, 18));
	assert_int_equal(data()[4], 0xc0);
	memset(data(), 0xee, 512);
	assert_int_equal(DO(XSAVEC), NO_EXCEPTION);
	assert_true(zero(data() + 6, 18));
	assert_int_equal(data64(520), BIT64(63) | 7);
}

static void optimised_saves_skip_initial_components(void **state)
{
	struct sc_vcpu *v = start();

	fill(v);
	assert_int_equal(DO(0xc5, 0xf8, 0x77), NO_EXCEPTION); /* vzeroupper */
	memset(data(), 0, 0x400);
	memset(data() + SC_XS_YMMH, 0xdd, 256);
	v->gpr[X86_RAX] = 6;
	assert_int_equal(DO(XSAVEOPT), NO_EXCEPTION);
	assert_int_equal(data64(512) & 2, 2);
	/* Whether the host calls the upper halves initial is its affair, but a restore has to
	 * give zeros */
	assert_int_equal(DO(XSAVEC), NO_EXCEPTION);
	memset(v->xsave + SC_XS_YMMH, 0x33, 256);
	assert_int_equal(DO(XRSTOR), NO_EXCEPTION);
	assert_true(zero(v->xsave + SC_XS_YMMH, 256));
	assert_int_equal(v->xsave[SC_XS_XMM], 1);
}

static void xrstor_initialises_what_the_image_lacks(void **state)
{
	struct sc_vcpu *v = start();
	u64 bv = 2;

	fill(v);
	memset(data(), 0, 0x400);
	memcpy(data() + 512, &bv, 8);
	memcpy(data() + 24, "\x80\x1f", 2);
	memset(data() + SC_XS_XMM, 0x44, 256);
	v->gpr[X86_RAX] = 7;
	assert_int_equal(DO(XRSTOR), NO_EXCEPTION);
	assert_int_equal(sc_xs16(v, SC_XS_FCW), 0x37f);
	assert_int_equal(v->xsave[SC_XS_FTW], 0);
	assert_int_equal(v->xsave[SC_XS_XMM + 255], 0x44);
	assert_true(zero(v->xsave + SC_XS_YMMH, 256));
	/* the registers themselves, not only the copy in memory */
	assert_int_equal(DO(0xc5, 0xfc, 0x11, 0xbe, 0, 8, 0, 0), NO_EXCEPTION); /* vmovups %ymm7, .. */
	assert_int_equal(data()[0x800], 0x44);
	assert_int_equal(data()[0x810], 0);
}

static void xrstor_refuses_bad_headers(void **state)
{
	struct sc_vcpu *v = start();

	v->gpr[X86_RAX] = 7;
	memset(data(), 0, 0x400);
	assert_int_equal(DO(XRSTOR), NO_EXCEPTION);
	data()[512] = 8; /* a component that is not enabled */
	assert_int_equal(DO(XRSTOR), X86_VEC_GP);
	data()[512] = 0;
	data()[520] = 1; /* XCOMP_BV without its top bit */
	assert_int_equal(DO(XRSTOR), X86_VEC_GP);
	data()[527] = 0x80; /* compacted, fine: 1 is enabled */
	assert_int_equal(DO(XRSTOR), NO_EXCEPTION);
	data()[512] = 2; /* not in XCOMP_BV */
	assert_int_equal(DO(XRSTOR), X86_VEC_GP);
	data()[512] = 0;
	data()[520] = 0x20; /* AVX-512 */
	assert_int_equal(DO(XRSTOR), X86_VEC_GP);
	data()[520] = 0;
	data()[528] = 1; /* reserved */
	assert_int_equal(DO(XRSTOR), X86_VEC_GP);
	memset(data(), 0, 0x400);
	data()[27] = 0x80; /* MXCSR: read by the standard format whatever XSTATE_BV says */
	assert_int_equal(DO(XRSTOR), X86_VEC_GP);
	v->gpr[X86_RAX] = 1;
	assert_int_equal(DO(XRSTOR), NO_EXCEPTION);
}

static void state_goes_out_and_in_again(void **state)
{
	static struct x86_state st;
	struct sc_vcpu *v = start();

	fill(v);
	sc_fpu_load(v);
	sc_fpu_get(v, &st);
	assert_true(zero(st.xsave + 6, 18));
	assert_int_equal(st.xsave[SC_XS_YMMH], 0x80);
	sc_fpu_reset(v);
	assert_int_equal(sc_fpu_set(v, &st), 0);
	assert_int_equal(v->xsave[SC_XS_XMM], 1);
	assert_int_equal(v->xsave[SC_XS_FTW], 0xc0);
	st.xsave[SC_XS_BV] |= 0x40;
	assert_int_equal(sc_fpu_set(v, &st), -22);
	st.xsave[SC_XS_BV] = 7;
	st.xsave[SC_XS_MXCSR + 3] = 0x80;
	assert_int_equal(sc_fpu_set(v, &st), -22);
}

static void host_has_clean_registers_after_a_save(void **state)
{
	struct sc_vcpu *v = start();
	u32 mxcsr;
	u16 fcw, fsw;

	fill(v);
	sc_xs_put(v, SC_XS_MXCSR, 0x5fc0, 4); /* rounding up, DAZ */
	sc_xs_put(v, SC_XS_FCW, 0xf7f, 2);
	sc_fpu_load(v);
	sc_fpu_save(v);
	__asm__ volatile("stmxcsr %0; fnstcw %1; fnstsw %2" : "=m"(mxcsr), "=m"(fcw), "=m"(fsw));
	assert_int_equal(mxcsr & 0xffc0, 0x1f80);
	assert_int_equal(fcw, 0x37f);
	assert_int_equal(fsw & 0x3800, 0);
	assert_int_equal(sc_xs32(v, SC_XS_MXCSR), 0x5fc0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(emulation_bit_makes_sse_undefined_and_x87_unavailable),
		cmocka_unit_test(task_switched_bit_makes_all_of_them_unavailable),
		cmocka_unit_test(sse_needs_osfxsr),
		cmocka_unit_test(avx_needs_osxsave_and_its_bit_in_xcr0),
		cmocka_unit_test(what_cpuid_does_not_show_is_undefined),
		cmocka_unit_test(vex_is_undefined_in_real_mode),
		cmocka_unit_test(misaligned_operand_is_gp_and_changes_nothing),
		cmocka_unit_test(store_over_two_pages_is_all_or_nothing),
		cmocka_unit_test(unmasked_sse_exception_is_xm_or_undefined),
		cmocka_unit_test(x87_exception_waits_for_the_next_waiting_instruction),
		cmocka_unit_test(pending_x87_exception_comes_before_a_page_fault),
		cmocka_unit_test(ldmxcsr_with_reserved_bits_is_gp),
		cmocka_unit_test(device_sees_one_access_of_the_operands_size),
		cmocka_unit_test(many_encodings_recycle_the_code_memory),
		cmocka_unit_test(fxsave_and_fxrstor_carry_everything_but_host_pointers),
		cmocka_unit_test(fxsave_of_32_bit_code_leaves_the_upper_registers_out),
		cmocka_unit_test(environment_comes_in_two_formats_without_pointers),
		cmocka_unit_test(fnsave_and_frstor_round_trip),
		cmocka_unit_test(xsave_stores_what_is_asked_for_and_enabled),
		cmocka_unit_test(xsave_zeroes_pointers_of_the_host),
		cmocka_unit_test(optimised_saves_skip_initial_components),
		cmocka_unit_test(xrstor_initialises_what_the_image_lacks),
		cmocka_unit_test(xrstor_refuses_bad_headers),
		cmocka_unit_test(state_goes_out_and_in_again),
		cmocka_unit_test(host_has_clean_registers_after_a_save),
	};

	return cmocka_run_group_tests(tests, open_rig, close_rig);
}
