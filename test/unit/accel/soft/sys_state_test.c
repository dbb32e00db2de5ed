// SPDX-License-Identifier: BSD-2-Clause
/* test/unit/accel/soft/sys_state_test.c - Control and debug registers, MSRs, CPUID,
 * kvm-clock, ports, flags, reset */
#include "sys_rig.h"

static void do_cr(u64 n, u64 val, u64 c) { sc_write_cr(cpu0, n, val); }
static void do_rd_cr(u64 n, u64 b, u64 c) { sc_read_cr(cpu0, n); }
static void do_dr(u64 n, u64 val, u64 c) { sc_write_dr(cpu0, n, val); }
static void do_wrmsr(u64 index, u64 val, u64 c) { sc_wrmsr(cpu0, index, val); }
static u64 read_val;
static void do_rdmsr(u64 index, u64 b, u64 c) { read_val = sc_rdmsr(cpu0, index); }
static void do_xsetbv(u64 index, u64 val, u64 c) { sc_xsetbv(cpu0, index, val); }
static void do_popf(u64 val, u64 size, u64 c) { sc_popf(cpu0, val, size); }
static void do_check_io(u64 port, u64 len, u64 c) { sc_check_io(cpu0, port, len); }
static void do_hypercall(u64 a, u64 b, u64 c) { sc_hypercall(cpu0); }

static u64 rdmsr(u32 index)
{
	must_do(do_rdmsr, index, 0, 0);
	return read_val;
}

struct regs {
	u32 a, b, c, d;
};

static struct regs cpuid(u32 leaf, u32 subleaf)
{
	cpu0->gpr[X86_RAX] = 0xffffffff00000000 | leaf;
	cpu0->gpr[X86_RCX] = subleaf;
	sc_cpuid(cpu0);
	assert_int_equal(cpu0->gpr[X86_RAX] >> 32, 0);
	return (struct regs){ (u32)cpu0->gpr[X86_RAX], (u32)cpu0->gpr[X86_RBX],
			      (u32)cpu0->gpr[X86_RCX], (u32)cpu0->gpr[X86_RDX] };
}

static struct cpuid_entry *row(u32 leaf)
{
	for (unsigned i = 0; i < cpu0->num_cpuid; i++)
		if (cpu0->cpuid[i].leaf == leaf)
			return &cpu0->cpuid[i];
	fail_msg("no leaf %#x", leaf);
	return NULL;
}

/* ---------------------------------------------------------- control registers */

static void cr0_refuses_impossible_combinations(void **s)
{
	rig_protected(0);
	must_throw(X86_VEC_GP, 0, do_cr, 0, X86_CR0_PG, 0);
	must_throw(X86_VEC_GP, 0, do_cr, 0, X86_CR0_PE | X86_CR0_NW, 0);
	must_throw(X86_VEC_GP, 0, do_cr, 0, 1ull << 32 | X86_CR0_PE, 0);
	must_do(do_cr, 0, X86_CR0_PE | BIT(10), 0); /* reserved bits read 0, ET reads 1 */
	assert_int_equal(sc_read_cr(cpu0, 0), X86_CR0_PE | X86_CR0_ET);
	rig_protected(3);
	must_throw(X86_VEC_GP, 0, do_cr, 0, X86_CR0_PE, 0);
	must_throw(X86_VEC_GP, 0, do_rd_cr, 0, 0, 0);
	rig_long(0);
	must_throw(X86_VEC_GP, 0, do_cr, 0, X86_CR0_PE, 0); /* PG off in 64-bit code */
	must_throw(X86_VEC_UD, -1, do_cr, 1, 0, 0);
	must_throw(X86_VEC_UD, -1, do_cr, 9, 0, 0);
}

static void long_mode_comes_with_paging_and_goes_with_it(void **s)
{
	rig_protected(0);
	wr(PML4_AT, 0x2007, 8);
	wr(0x2000, 0x3007, 8);
	wr(0x3000, 0xe7, 8);
	must_do(do_wrmsr, 0xc0000080, X86_EFER_LME, 0);
	must_do(do_cr, 3, PML4_AT, 0);
	must_throw(X86_VEC_GP, 0, do_cr, 0, X86_CR0_PE | X86_CR0_PG, 0); /* no PAE */
	must_do(do_cr, 4, X86_CR4_PAE, 0);
	must_do(do_cr, 0, X86_CR0_PE | X86_CR0_PG, 0);
	assert_true(sc_long_mode(cpu0));
	assert_int_equal(cpu0->mode & SC_MODE_64, 0);
	assert_int_equal(rdmsr(0xc0000080), X86_EFER_LME | X86_EFER_LMA);
	must_throw(X86_VEC_GP, 0, do_wrmsr, 0xc0000080, 0, 0);
	must_throw(X86_VEC_GP, 0, do_cr, 4, 0, 0);
	must_do(do_cr, 0, X86_CR0_PE, 0);
	assert_false(sc_long_mode(cpu0));
	assert_true(cpu0->efer & X86_EFER_LME);
}

static void pae_table_is_checked_at_the_load(void **s)
{
	rig_protected(0);
	must_do(do_cr, 4, X86_CR4_PAE, 0);
	wr(0x2000, 0x3001, 8);
	must_do(do_cr, 3, 0x2000, 0);
	wr(0x2000 + 8, 0x3003, 8); /* a reserved bit */
	must_throw(X86_VEC_GP, 0, do_cr, 0, X86_CR0_PE | X86_CR0_PG, 0);
	wr(0x2000 + 8, 0x3002, 8); /* not present: fine */
	must_do(do_cr, 0, X86_CR0_PE | X86_CR0_PG, 0);
	wr(0x2020, 0x8000000000003001ull, 8);
	must_throw(X86_VEC_GP, 0, do_cr, 3, 0x2020, 0);
	assert_int_equal(cpu0->cr3, 0x2000);
}

static void cr3_and_cr4_refuse_reserved_bits(void **s)
{
	rig_long(0);
	must_throw(X86_VEC_GP, 0, do_cr, 3, 1ull << 60, 0);
	must_throw(X86_VEC_GP, 0, do_cr, 3, 1ull << 63, 0);
	must_throw(X86_VEC_GP, 0, do_cr, 3, 1ull << 51, 0);
	must_throw(X86_VEC_GP, 0, do_cr, 4, X86_CR4_PAE | BIT(12), 0); /* LA57 */
	must_throw(X86_VEC_GP, 0, do_cr, 4, X86_CR4_PAE | X86_CR4_PCIDE, 0);
	must_throw(X86_VEC_GP, 0, do_cr, 4, X86_CR4_PAE | X86_CR4_VME, 0);
	must_throw(X86_VEC_GP, 0, do_cr, 4, X86_CR4_PAE | X86_CR4_SMAP, 0);
	must_do(do_cr, 4, X86_CR4_PAE | X86_CR4_PGE | X86_CR4_OSFXSR | X86_CR4_FSGSBASE, 0);
}

static void wp_change_is_seen_by_the_next_store(void **s)
{
	rig_long(0);
	wr(0x3000, 0xe5, 8); /* read-only */
	must_do(do_cr, 3, PML4_AT, 0);
	must_do(do_cr, 0, X86_CR0_PE | X86_CR0_PG, 0);
	sc_write(cpu0, 0x9000, 1, 8);
	assert_int_equal(rd(0x9000, 8), 1);
	must_do(do_cr, 0, X86_CR0_PE | X86_CR0_PG | X86_CR0_WP, 0);
	assert_int_equal(cpu0->tlb[SC_TLB_KERNEL][9].tag_w == 0x9000, 0);
}

static void cr8_is_the_machines(void **s)
{
	rig_long(0);
	must_do(do_cr, 8, 5, 0);
	assert_int_equal(rig.tpr, 5);
	rig.tpr = 9;
	assert_int_equal(sc_read_cr(cpu0, 8), 9);
	must_throw(X86_VEC_GP, 0, do_cr, 8, 16, 0);
}

static void mode_follows_fpu_and_avx_switches(void **s)
{
	rig_long(0);
	assert_int_equal(cpu0->mode, SC_MODE_64);
	must_do(do_cr, 4, X86_CR4_PAE | X86_CR4_OSFXSR, 0);
	assert_int_equal(cpu0->mode, SC_MODE_64 | SC_MODE_FPU);
	must_throw(X86_VEC_UD, -1, do_xsetbv, 0, 7, 0);
	if (!(row(1)->ecx & BIT(28))) {
		print_message("host without AVX: the rest is not checked\n");
		return;
	}
	must_do(do_cr, 4, X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXSAVE, 0);
	must_throw(X86_VEC_GP, 0, do_xsetbv, 0, 6, 0);
	must_throw(X86_VEC_GP, 0, do_xsetbv, 0, 5, 0);
	must_throw(X86_VEC_GP, 0, do_xsetbv, 1, 1, 0);
	must_throw(X86_VEC_GP, 0, do_xsetbv, 0, 0xe7, 0);
	must_do(do_xsetbv, 0, 7, 0);
	assert_int_equal(cpu0->mode, SC_MODE_64 | SC_MODE_FPU | SC_MODE_AVX);
	must_do(do_cr, 0, cpu0->cr0 | X86_CR0_TS, 0);
	assert_int_equal(cpu0->mode, SC_MODE_64);
}

static void debug_registers_alias_trap_and_check(void **s)
{
	rig_long(0);
	must_do(do_dr, 4, 0xf, 0);
	assert_int_equal(cpu0->dr[6], 0xffff0fff);
	must_throw(X86_VEC_GP, 0, do_dr, 7, 1ull << 32, 0);
	must_do(do_dr, 7, 1, 0);
	assert_int_equal(cpu0->dr[7], 0x401);
	assert_true(atomic_load(&cpu0->attention) & SC_ATTN_SINGLE);
	must_do(do_dr, 7, DR7_GD, 0);
	assert_false(atomic_load(&cpu0->attention) & SC_ATTN_SINGLE);
	must_throw(X86_VEC_DB, -1, do_dr, 0, 0, 0);
	assert_int_equal(cpu0->exc.dr6, DR6_BD);
	rig_long(0);
	must_do(do_cr, 4, X86_CR4_PAE | X86_CR4_DE, 0);
	must_throw(X86_VEC_UD, -1, do_dr, 5, 0, 0);
	rig_long(3);
	must_throw(X86_VEC_GP, 0, do_dr, 0, 0, 0);
}

/* -------------------------------------------------------------------- MSRs */

static void msrs_keep_what_is_written_and_check_it(void **s)
{
	static const struct { u32 index; u64 good, bad; } m[] = {
		{ 0x174, 0x10, 0 }, { 0x175, 0xffff800000001000, 1ull << 47 },
		{ 0x176, 0x1000, 1ull << 60 }, { 0x1d9, 2, 1ull << 14 },
		{ 0x200, 0x12345006, 0x12345002 }, { 0x201, 0x800, 0x801 },
		{ 0x250, 0x0606060606060606, 0x0602060606060606 }, { 0x26f, 0, 7 },
		{ 0x277, 0x0007040600070406, 0x0007040600070402 }, { 0x2ff, 0xc06, 0xc02 },
		{ 0xc0000080, X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE, BIT(12) },
		{ 0xc0000081, ~0ull, 0 }, { 0xc0000082, 0xffffffff81000000, 1ull << 47 },
		{ 0xc0000084, 0x47700, 0 }, { 0xc0000100, 0x7fff00000000, 1ull << 47 },
		{ 0xc0000101, 0xffff888000000000, 1ull << 62 }, { 0xc0000102, 5, 1ull << 47 },
		{ 0xc0000103, 7, 1ull << 32 },
	};

	rig_long(0);
	for (unsigned i = 0; i < ARRAY_LEN(m); i++) {
		must_do(do_wrmsr, m[i].index, m[i].good, 0);
		assert_int_equal(rdmsr(m[i].index), m[i].good);
		if (m[i].bad)
			must_throw(X86_VEC_GP, 0, do_wrmsr, m[i].index, m[i].bad, 0);
		assert_int_equal(rdmsr(m[i].index), m[i].good);
	}
	assert_int_equal(cpu0->fs_base, 0x7fff00000000);
	assert_true(cpu0->gs_base == 0xffff888000000000);
	assert_int_equal(rdmsr(0x179), 0);
	assert_int_equal(rdmsr(0xfe), 0x508);
	must_throw(X86_VEC_GP, 0, do_wrmsr, 0xfe, 0, 0);
	rig_long(3);
	must_throw(X86_VEC_GP, 0, do_rdmsr, 0xc0000080, 0, 0);
	must_throw(X86_VEC_GP, 0, do_wrmsr, 0x10, 0, 0);
}

static void msrs_not_ours_go_to_the_machine(void **s)
{
	rig_long(0);
	rig.msr_val = 0xfee00900;
	assert_int_equal(rdmsr(0x1b), 0xfee00900);
	must_do(do_wrmsr, 0x830, 0x4000, 0);
	assert_int_equal(rig.msr_index, 0x830);
	assert_int_equal(rig.msr_val, 0x4000);
	must_do(do_wrmsr, 0x4b564d04, 0x1001, 0); /* PV EOI */
	assert_int_equal(rig.msr_index, 0x4b564d04);
	rig.msr_rc = -EINVAL;
	must_throw(X86_VEC_GP, 0, do_rdmsr, 0x12345, 0, 0);
	must_throw(X86_VEC_GP, 0, do_wrmsr, 0x12345, 0, 0);
	cpu0->vm->ignore_msr = true;
	assert_int_equal(rdmsr(0x12345), 0);
	cpu0->vm->ignore_msr = false;
}

static void vendor_decides_which_msrs_exist(void **s)
{
	rig_long(0);
	rig.msr_rc = -EINVAL;
	row(0)->ecx = 0x444d4163;
	row(7)->edx = 0;
	assert_int_equal(rdmsr(0xc0010015), BIT(24));
	must_do(do_wrmsr, 0xc0010015, BIT(24) | BIT(3), 0);
	must_throw(X86_VEC_GP, 0, do_wrmsr, 0xc0010015, 1ull << 40, 0);
	assert_int_equal(rdmsr(0xc0011029), 2);
	must_throw(X86_VEC_GP, 0, do_rdmsr, 0x10a, 0, 0);
	must_throw(X86_VEC_GP, 0, do_rdmsr, 0x48, 0, 0);
	row(0)->ecx = 0x6c65746e;
	row(7)->edx = BIT(26) | BIT(29);
	must_throw(X86_VEC_GP, 0, do_rdmsr, 0xc0010015, 0, 0);
	assert_int_equal(rdmsr(0x10a) & 3, 3);
	must_do(do_wrmsr, 0x48, 1, 0);
	assert_int_equal(rdmsr(0x48), 1);
	must_do(do_wrmsr, 0x49, 1, 0);
	must_throw(X86_VEC_GP, 0, do_wrmsr, 0x49, 2, 0);
	sc_cpuid_model(cpu0->cpuid, ACCEL_MAX_CPUID, cpu0->vm->tsc_hz);
}

static void tsc_write_moves_tsc_adjust(void **s)
{
	u64 before, after;

	rig_long(0);
	before = sc_rdtsc(cpu0);
	must_do(do_wrmsr, 0x10, before + (1ull << 40), 0);
	after = sc_rdtsc(cpu0);
	assert_true(after - before >= 1ull << 40);
	assert_true(after - before < 2ull << 40);
	assert_true(rdmsr(0x3b) > (1ull << 40) - (1ull << 36));
	must_do(do_wrmsr, 0x3b, 0, 0);
	assert_true(sc_rdtsc(cpu0) < after);
}

static void tsc_frequency_matches_the_clock(void **s)
{
	u64 hz = sc_host_tsc_hz();

	assert_true(hz > 500000000 && hz < 10000000000);
	assert_int_equal(sc_host_tsc_hz(), hz);
}

/* ------------------------------------------------------------------- CPUID */

static void model_hides_what_the_translator_does_not_do(void **s)
{
	struct regs r;

	rig_long(0);
	r = cpuid(1, 0);
	assert_int_equal(r.d & BIT(1), 0);			     /* VME */
	assert_int_equal(r.c & (BIT(3) | BIT(5) | BIT(17)), 0);	     /* MWAIT VMX PCID */
	assert_int_equal(r.c & (BIT(21) | BIT(24) | BIT(31)), BIT(21) | BIT(24) | BIT(31));
	r = cpuid(7, 0);
	/* SMEP INVPCID RTM AVX-512F SMAP */
	assert_int_equal(r.b & (BIT(7) | BIT(10) | BIT(11) | BIT(16) | BIT(20)), 0);
	assert_int_equal(r.b & BIT(1), BIT(1));
	assert_int_equal(r.c & ~BIT(22), 0);
	r = cpuid(0x80000001, 0);
	assert_int_equal(r.c & BIT(2), 0); /* SVM */
	assert_int_equal(r.d & (BIT(11) | BIT(20) | BIT(29)), BIT(11) | BIT(20) | BIT(29));
	r = cpuid(0x80000008, 0);
	assert_in_range(r.a & 0xff, 36, 46);
	assert_int_equal(r.a >> 8 & 0xff, 48);
	assert_true(cpu0->maxphyaddr_rsvd == (BIT64(52) - BIT64(r.a & 0xff)));
	r = cpuid(0x80000007, 0);
	assert_int_equal(r.d, BIT(8));
	r = cpuid(0xd, 0);
	assert_int_equal(r.a & ~7u, 0);
	assert_true(r.c <= 832);
	r = cpuid(0xd, 1);
	assert_int_equal(r.a & ~7u, 0);
}

static void model_has_kvms_leaves(void **s)
{
	struct regs r;

	rig_long(0);
	r = cpuid(0x40000000, 0);
	assert_int_equal(r.b, 0x4b4d564b);
	assert_int_equal(r.c, 0x564b4d56);
	r = cpuid(0x40000001, 0);
	assert_int_equal(r.a & BIT(4), 0); /* async page faults */
	assert_int_equal(r.a & (BIT(3) | BIT(6) | BIT(7) | BIT(24)),
			 BIT(3) | BIT(6) | BIT(7) | BIT(24));
	r = cpuid(0x40000010, 0);
	assert_int_equal(r.a, cpu0->vm->tsc_hz / 1000);
	r = cpuid(0x40000020, 0);
	assert_int_equal(r.a | r.b | r.c | r.d, 0);
}

static void dynamic_bits_follow_cr4_and_xcr0(void **s)
{
	rig_long(0);
	assert_int_equal(cpuid(1, 0).c & BIT(27), 0);
	assert_int_equal(cpuid(0xd, 0).b, 576);
	if (!(row(1)->ecx & BIT(28)))
		return;
	must_do(do_cr, 4, X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXSAVE, 0);
	must_do(do_xsetbv, 0, 7, 0);
	assert_int_equal(cpuid(1, 0).c & BIT(27), BIT(27));
	assert_int_equal(cpuid(0xd, 0).b, 832);
	assert_int_equal(cpuid(0xd, 1).b, 832);
}

static void leaves_beyond_the_last_are_clamped_by_vendor(void **s)
{
	struct cpuid_entry intel[] = {
		{ .leaf = 0, .eax = 0x16, .ecx = 0x6c65746e }, { .leaf = 0x16, .eax = 2600 },
		{ .leaf = 0x80000000, .eax = 0x80000001 },
		{ .leaf = 0xb, .has_subleaf = true, .eax = 0, .ebx = 1, .ecx = 0x100, .edx = 5 },
	};

	rig_long(0);
	memcpy(cpu0->cpuid, intel, sizeof(intel));
	cpu0->num_cpuid = ARRAY_LEN(intel);
	assert_int_equal(cpuid(0x100, 0).a, 2600);
	assert_int_equal(cpuid(0x80000100, 0).a, 2600);
	assert_int_equal(cpuid(0x15, 0).a, 0);
	assert_int_equal(cpuid(0xb, 7).c, 7);
	assert_int_equal(cpuid(0xb, 7).d, 5);
	assert_int_equal(cpuid_apic_id(cpu0), 5);
	cpu0->cpuid[0].ecx = 0x444d4163;
	assert_int_equal(cpuid(0x100, 0).a, 0);
	cpu0->num_cpuid = sc_cpuid_model(cpu0->cpuid, ACCEL_MAX_CPUID, cpu0->vm->tsc_hz);
}

static void model_fits_any_table(void **s)
{
	struct cpuid_entry t[5];

	assert_int_equal(sc_cpuid_model(t, 5, 1000000000), 5);
}

/* ------------------------------------------------------------ paravirtual clock */

struct vcpu_time {
	u32 version, pad0;
	u64 tsc, ns;
	u32 mul;
	s8 shift;
	u8 flags, pad[2];
};

static u64 clock_of(const struct vcpu_time *t, u64 tsc)
{
	u64 d = tsc - t->tsc;

	d = t->shift < 0 ? d >> -t->shift : d << t->shift;
	return t->ns + (u64)((u128)d * t->mul >> 32);
}

static void kvm_clock_counts_the_machines_nanoseconds(void **s)
{
	struct vcpu_time t;
	u64 now;

	rig_long(0);
	sc_pvclock_rebase(cpu0->vm);
	rig.clock = 123456789;
	must_do(do_wrmsr, 0x4b564d01, 0x12000 | 1, 0);
	memcpy(&t, rig.ram + 0x12000, sizeof(t));
	assert_int_equal(t.version & 1, 0);
	assert_int_not_equal(t.version, 0);
	assert_int_equal(t.flags, 1);
	assert_int_equal(t.ns, 123456789);
	now = clock_of(&t, t.tsc + cpu0->vm->tsc_hz); /* one second on, to 1 ppm */
	assert_in_range(now, 123456789 + 999999000, 123456789 + 1000001000);
	/* The second page, and one of a vCPU with a moved TSC, tell the same time */
	must_do(do_wrmsr, 0x3b, 5000, 0);
	memcpy(&t, rig.ram + 0x12000, sizeof(t));
	assert_int_equal(clock_of(&t, t.tsc), 123456789);
	assert_int_equal(t.tsc, cpu0->vm->pvclock_tsc + 5000);
	must_throw(X86_VEC_GP, 0, do_wrmsr, 0x4b564d01, (RAM_BYTES + 0x1000) | 1, 0);
	must_do(do_wrmsr, 0x4b564d01, 0, 0);
}

static void wall_clock_is_plausible(void **s)
{
	u32 w[3];

	rig_long(0);
	must_do(do_wrmsr, 0x4b564d00, 0x13000, 0);
	memcpy(w, rig.ram + 0x13000, sizeof(w));
	assert_int_equal(w[0] & 1, 0);
	assert_true(w[1] > 1600000000);
	assert_true(w[2] < 1000000000);
}

static void async_page_faults_are_refused(void **s)
{
	rig_long(0);
	must_do(do_wrmsr, 0x4b564d02, 0, 0);
	must_throw(X86_VEC_GP, 0, do_wrmsr, 0x4b564d02, 0x1001, 0);
}

static void kick_wakes_the_named_vcpu(void **s)
{
	rig_long(0);
	rig.kicked = 0;
	rig.v1->halted = true;
	cpu0->gpr[X86_RAX] = 5;
	cpu0->gpr[X86_RCX] = 1;
	must_do(do_hypercall, 0, 0, 0);
	assert_int_equal(cpu0->gpr[X86_RAX], 0);
	assert_int_equal(rig.kicked, BIT(1));
	assert_true(atomic_load(&rig.v1->pv_unhalt));
	assert_true(sc_accel_ops.has_work(&rig.v1->base));
	cpu0->gpr[X86_RAX] = 9; /* CLOCK_PAIRING */
	must_do(do_hypercall, 0, 0, 0);
	assert_int_equal((s64)cpu0->gpr[X86_RAX], -1000);
	rig_long(3);
	cpu0->gpr[X86_RAX] = 5;
	must_do(do_hypercall, 0, 0, 0);
	assert_int_equal((s64)cpu0->gpr[X86_RAX], -1);
}

/* ------------------------------------------------------------- ports and flags */

static void port_access_needs_iopl_or_a_bitmap_bit(void **s)
{
	rig_long(0);
	must_do(do_check_io, 0x80, 4, 0);
	rig_long(3);
	cpu0->rflags |= X86_FLAG_IOPL;
	must_do(do_check_io, 0x80, 4, 0);
	cpu0->rflags &= ~(u64)X86_FLAG_IOPL;
	wr(TSS_AT + 102, 104, 2);
	memset(rig.ram + TSS_AT + 104, 0xff, 64);
	must_throw(X86_VEC_GP, 0, do_check_io, 0x80, 1, 0);
	wr(TSS_AT + 104 + 0x10, 0x7f, 1); /* 0x87 free */
	wr(TSS_AT + 104 + 0x11, 0xfe, 1); /* 0x88 free */
	must_do(do_check_io, 0x87, 2, 0);
	must_throw(X86_VEC_GP, 0, do_check_io, 0x87, 4, 0);
	must_throw(X86_VEC_GP, 0, do_check_io, 0xffff, 1, 0); /* beyond the limit */
	wr(TSS_AT + 102, 0xffff, 2);
	must_throw(X86_VEC_GP, 0, do_check_io, 0x87, 1, 0);
}

static void ports_reach_the_machine(void **s)
{
	rig_long(0);
	sc_port_out(cpu0, 0x3f8, 1, 0x41);
	assert_int_equal(rig.pio_port, 0x3f8);
	assert_int_equal(rig.pio_size, 1);
	assert_int_equal(rig.pio_val, 0x41);
	rig.pio_val = 0x12345678;
	assert_int_equal(sc_port_in(cpu0, 0xcfc, 2), 0x5678);
}

static void popf_respects_privilege(void **s)
{
	rig_long(0);
	must_do(do_popf, 0x3ffdd5 | X86_FLAG_RF, 8, 0);
	assert_int_equal(cpu0->rflags & X86_FLAG_IOPL, X86_FLAG_IOPL);
	assert_int_equal(cpu0->rflags & (X86_FLAG_RF | X86_FLAG_VM | X86_FLAG_VIF | X86_FLAG_VIP), 0);
	assert_true(atomic_load(&cpu0->attention) & SC_ATTN_SINGLE); /* TF */
	rig_long(3);
	must_do(do_popf, X86_FLAG_IOPL | X86_FLAG_AC, 8, 0);
	assert_int_equal(cpu0->rflags, 0x202 | X86_FLAG_AC);
	must_do(do_popf, 0, 2, 0);
	assert_int_equal(cpu0->rflags, 0x202 | X86_FLAG_AC); /* 16 bits do not reach AC */
	rig_protected(3);
	cpu0->rflags |= X86_FLAG_VM;
	must_throw(X86_VEC_GP, 0, do_popf, 0, 4, 0);
	cpu0->rflags |= X86_FLAG_IOPL;
	must_do(do_popf, 0, 4, 0);
	assert_int_equal(cpu0->rflags, 2 | X86_FLAG_VM | X86_FLAG_IOPL);
}

static void enabling_interrupts_asks_for_the_one_that_waits(void **s)
{
	rig_long(0);
	cpu0->rflags = 2;
	must_do(do_popf, 0x202, 8, 0);
	assert_false(atomic_load(&cpu0->attention) & SC_ATTN_INTR);
	cpu0->rflags = 2;
	cpu0->intr_wait = true;
	must_do(do_popf, 0x202, 8, 0);
	assert_true(atomic_load(&cpu0->attention) & SC_ATTN_INTR);
}

/* ------------------------------------------------------------------- reset */

static void power_on_state_is_table_9_1(void **s)
{
	rig_long(3);
	cpu0->msr.lstar = 5;
	cpu0->fpu_live = false;
	sc_cpu_reset(cpu0, true);
	assert_int_equal(cpu0->rip, 0xfff0);
	assert_int_equal(cpu0->seg[X86_CS].base, 0xffff0000);
	assert_int_equal(cpu0->cr0, 0x60000010);
	assert_int_equal(cpu0->gpr[X86_RDX], row(1)->eax);
	assert_int_equal(cpu0->efer, 0);
	assert_int_equal(cpu0->cpl, 0);
	assert_int_equal(cpu0->mode, 0);
	assert_int_equal(cpu0->msr.lstar, 0);
	assert_int_equal(cpu0->dr[7], 0x400);
	assert_false(cpu0->wait_sipi);
}

static void init_keeps_msrs_and_waits_for_sipi(void **s)
{
	rig_long(0);
	cpu0->msr.lstar = 5;
	cpu0->xcr0 = 3;
	cpu0->cr0 |= X86_CR0_CD;
	sc_cpu_reset(cpu0, false);
	assert_int_equal(cpu0->msr.lstar, 5);
	assert_int_equal(cpu0->xcr0, 3);
	assert_int_equal(cpu0->cr0, 0x40000010);
	sc_cpu_reset(rig.v1, false);
	assert_true(rig.v1->wait_sipi);
	sc_cpu_sipi(rig.v1, 0x9a);
	assert_false(rig.v1->wait_sipi);
	assert_int_equal(rig.v1->seg[X86_CS].base, 0x9a000);
	assert_int_equal(rig.v1->seg[X86_CS].sel, 0x9a00);
	assert_int_equal(rig.v1->rip, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cr0_refuses_impossible_combinations),
		cmocka_unit_test(long_mode_comes_with_paging_and_goes_with_it),
		cmocka_unit_test(pae_table_is_checked_at_the_load),
		cmocka_unit_test(cr3_and_cr4_refuse_reserved_bits),
		cmocka_unit_test(wp_change_is_seen_by_the_next_store),
		cmocka_unit_test(cr8_is_the_machines),
		cmocka_unit_test(mode_follows_fpu_and_avx_switches),
		cmocka_unit_test(debug_registers_alias_trap_and_check),
		cmocka_unit_test(msrs_keep_what_is_written_and_check_it),
		cmocka_unit_test(msrs_not_ours_go_to_the_machine),
		cmocka_unit_test(vendor_decides_which_msrs_exist),
		cmocka_unit_test(tsc_write_moves_tsc_adjust),
		cmocka_unit_test(tsc_frequency_matches_the_clock),
		cmocka_unit_test(model_hides_what_the_translator_does_not_do),
		cmocka_unit_test(model_has_kvms_leaves),
		cmocka_unit_test(dynamic_bits_follow_cr4_and_xcr0),
		cmocka_unit_test(leaves_beyond_the_last_are_clamped_by_vendor),
		cmocka_unit_test(model_fits_any_table),
		cmocka_unit_test(kvm_clock_counts_the_machines_nanoseconds),
		cmocka_unit_test(wall_clock_is_plausible),
		cmocka_unit_test(async_page_faults_are_refused),
		cmocka_unit_test(kick_wakes_the_named_vcpu),
		cmocka_unit_test(port_access_needs_iopl_or_a_bitmap_bit),
		cmocka_unit_test(ports_reach_the_machine),
		cmocka_unit_test(popf_respects_privilege),
		cmocka_unit_test(enabling_interrupts_asks_for_the_one_that_waits),
		cmocka_unit_test(power_on_state_is_table_9_1),
		cmocka_unit_test(init_keeps_msrs_and_waits_for_sipi),
	};

	return cmocka_run_group_tests(tests, rig_open, rig_close);
}
