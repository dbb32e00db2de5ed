// SPDX-License-Identifier: BSD-2-Clause
/* Guests made of random bytes: the CPU goes on, faults, halts or shuts down, and nothing else
 *
 * Each case is a CPU in one of the modes with random code, registers that point at the edges
 * of everything, page tables, descriptor tables and a TSS that are partly good and partly
 * not, and gates that lead back into the random code. Seeds are fixed; HK_CASES=n runs more
 * of them, HK_SEED=n one alone. hostile_rig.h counts accesses that leave RAM. */
#include <pthread.h>
#include <time.h>

#include "hostile_rig.h"

#define CASE_US 400 /* between two kicks; a case ends with the second */
#define STUCK_S 30

static u64 any_address(u64 *s)
{
	static const u64 places[] = {
		0, CODE_AT, CODE_AT + 0x1000, DATA_AT, STACK_TOP, LOW_BYTES, 0x600000, HIGH_GPA,
		HIGH_GPA + HIGH_BYTES, 0xfee00000, 0xe0000000, 0xfed00000, 1ull << 39, 2ull << 39,
		3ull << 39, 4ull << 39, 5ull << 39, TOP_OF_LOWER_HALF, 0xffff800000000000ull,
		0xffff800000000000ull + CODE_AT, 1ull << 63, PML4_AT, PDPT_AT, PD_AT, PT_AT, GDT_AT,
		IDT_AT, TSS_AT, HANDLERS, 0xffffffff, 0xffff, 0x10000, 0x100000, 5 * GiB,
	};
	u64 n = xorshift(s);

	if (n % 8 == 0)
		return xorshift(s);
	if (n % 8 == 1)
		return xorshift(s) & 0xff;
	return places[(n >> 8) % ARRAY_LEN(places)] + (s64)(n >> 32) % 80 - 40;
}

/* An instruction that is likely to be one: prefixes, opcode, ModRM, SIB, displacement */
static unsigned any_insn(u64 *s, u8 *p)
{
	static const u8 prefixes[] = { 0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x64, 0x65, 0x2e };
	static const u8 system[] = { 0x00, 0x01, 0x06, 0x08, 0x20, 0x21, 0x22, 0x23, 0x30, 0x32, 0x35, 0xa0,
				     0xae, 0xc7, 0x05, 0x07, 0xb2, 0xb4, 0xb5, 0xa2, 0x02, 0x03 };
	static const u8 common[] = { 0x50, 0x58, 0x8f, 0xff, 0xe8, 0xc3, 0xc2, 0xc8, 0xc9, 0x60, 0x61, 0x9c, 0x9d,
				     0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xae, 0xa6, 0x6c, 0x6e, 0xcd, 0xcc, 0xcf,
				     0xcb, 0xca, 0x9a, 0xea, 0x8e, 0x8c, 0xc4, 0xc5, 0xeb, 0x70, 0x75, 0xe2,
				     0xe9, 0xfa, 0xfb, 0xe4, 0xe6, 0xec, 0xee, 0xef, 0x89, 0x8b, 0x88, 0x8a };
	u64 n = xorshift(s);
	unsigned len = 0, i;

	for (i = 0; i < (n & 3) && (n >> 2 & 1); i++)
		p[len++] = prefixes[xorshift(s) % ARRAY_LEN(prefixes)];
	if (n >> 3 & 1)
		p[len++] = 0x40 | (n >> 8 & 15);
	switch (n >> 4 & 7) {
	case 0: case 1:
		p[len++] = common[(n >> 16) % ARRAY_LEN(common)];
		break;
	case 2:
		p[len++] = 0x0f;
		p[len++] = system[(n >> 16) % ARRAY_LEN(system)];
		break;
	case 3:
		p[len++] = 0x0f;
		p[len++] = n >> 16;
		break;
	case 4:
		p[len++] = 0x0f;
		p[len++] = n & 0x10000 ? 0x38 : 0x3a;
		p[len++] = n >> 24;
		break;
	case 5: /* VEX */
		p[len++] = 0xc4;
		p[len++] = 0xe1 | (n >> 16 & 3);
		p[len++] = n >> 24;
		p[len++] = n >> 32;
		break;
	default:
		p[len++] = n >> 16;
	}
	p[len++] = n >> 40;
	for (i = 0; i < (n >> 48 & 7); i++)
		p[len++] = xorshift(s) & (n >> 52 & 1 ? 0xff : 0x0f);
	return len;
}

static void any_code(struct rig *r, u64 *s)
{
	unsigned at = 0;

	if (xorshift(s) % 4 == 0) {
		for (; at < 0x2000; at += 8)
			put64(r, CODE_AT + at, xorshift(s));
	} else {
		while (at < 0x2000 - 32)
			at += any_insn(s, r->low + CODE_AT + at);
	}
	/* Code at the edges too */
	memcpy(r->low + LOW_BYTES - 0x800, r->low + CODE_AT, 0x800);
	memcpy(r->high, r->low + CODE_AT + 0x123, 0x1000);
	memcpy(r->high + HIGH_BYTES - 0x800, r->low + CODE_AT + 0x800, 0x800);
}

/* Real mode has its own table at 0; the others' gates lead to HLT or into the code */
static void any_tables(struct rig *r, u64 *s, enum rig_mode mode)
{
	static const u8 types[] = { 0x8e, 0x8f, 0xee, 0xef, 0x8e, 0xee, 0x86, 0x85, 0x0e, 0x8c };
	bool wide = rig_is_long(mode);
	unsigned vec, i;
	u64 n;

	tables_init(r);
	gdt_init(r);
	memset(r->low + HANDLERS, 0xf4, 0x1000);
	for (vec = 0; vec < 256; vec++) {
		n = xorshift(s);
		gate(r, wide ? 16 : 8, vec, n & 0x700 ? (wide ? SEL_CODE64 : SEL_CODE32) : n >> 16,
		     vec % 32 == 8 ? HANDLERS : CODE_AT + (n >> 32 & 0x1fff),
		     types[(n & 0xff) % (n & 0x3000 ? 4 : ARRAY_LEN(types))], wide ? n >> 40 & 3 : 0);
		if (mode == M_REAL)
			put32(r, vec * 4, (CODE_AT << 12 & 0xffff0000) | (n >> 32 & 0x1fff));
	}
	for (i = 0; i < 3; i++)
		put64(r, TSS_AT + 0x24 + i * 8, any_address(s)); /* IST1.. */
	if (xorshift(s) & 1)
		put64(r, TSS_AT + 4, any_address(s));
	/* Some of it broken */
	n = xorshift(s);
	for (i = 0; i < (n & 7); i++) {
		u32 at = (n & 8 ? GDT_AT : PML4_AT) + (xorshift(s) % (n & 8 ? 0x100 : 0x8000));

		put64(r, at & ~7u, xorshift(s) & 1 ? any_address(s) | 7 : xorshift(s));
	}
}

static void any_cpu(struct sc_vcpu *v, u64 *s, enum rig_mode mode)
{
	u64 n = xorshift(s);
	unsigned i;

	cpu_init(v, mode, CODE_AT + (n & 0xfff));
	for (i = 0; i < X86_NUM_GPRS; i++)
		v->gpr[i] = any_address(s);
	if (n >> 12 & 3)
		v->gpr[X86_RSP] = STACK_TOP - 0x800;
	v->rflags |= xorshift(s) & (X86_FLAG_IF | X86_FLAG_DF | X86_FLAG_IOPL | X86_FLAG_NT | X86_FLAG_AC |
				    0x8d5 | (n >> 14 & 15 ? 0 : X86_FLAG_TF));
	v->cr0 |= n >> 20 & X86_CR0_AM ? X86_CR0_AM : 0;
	if (!(n >> 18 & 15))
		v->cr0 |= X86_CR0_TS;
	if (!(n >> 22 & 15))
		v->cr0 &= ~(u64)X86_CR0_WP;
	v->msr.lstar = v->msr.cstar = any_address(s);
	v->msr.star = (u64)SEL_CODE64 << 32 | (u64)SEL_USER32 << 48;
	v->msr.sysenter_cs = SEL_CODE64;
	v->msr.sysenter_eip = any_address(s);
	v->msr.kernel_gs_base = any_address(s);
	v->seg[X86_FS].base = rig_is_long(mode) ? any_address(s) : v->seg[X86_FS].base;
	v->seg[X86_GS].base = rig_is_long(mode) ? any_address(s) : v->seg[X86_GS].base;
	if (!(n >> 26 & 7))
		v->idt.base = any_address(s);
	if (!(n >> 29 & 7))
		v->gdt.base = any_address(s);
	if (!(n >> 32 & 7))
		v->seg[X86_TR].base = any_address(s);
	if (!(n >> 35 & 15) && (v->cr0 & X86_CR0_PG))
		v->cr3 = any_address(s) & 0xffffffffff000ull;
	if (!(n >> 39 & 15)) {
		v->dr[0] = CODE_AT + (n >> 44 & 0xff);
		v->dr[7] |= 0x303;
	}
	mmu_flush_all(v);
	sc_seg_changed(v);
	sc_mode_update(v);
}

/* ------------------------------------------------------ kicks, and what is stuck */

static struct rig *_Atomic now_running;
static _Atomic unsigned long ticks, progress;
static _Atomic u64 now_seed;
static _Atomic unsigned now_mode;

static void on_alarm(int sig)
{
	struct rig *r = atomic_load(&now_running);
	static unsigned long seen, since;
	unsigned i;

	for (i = 0; r && i < r->num_cpus; i++) {
		u64 n = noise(r);

		if (!(n & 15))
			sc_accel_ops.inject(&r->v[i]->base, ACCEL_INJECT_NMI, 0);
		if (!(n & 0x30))
			sc_accel_ops.inject(&r->v[i]->base, ACCEL_INJECT_INTR, 0);
		sc_accel_ops.vcpu_kick(&r->v[i]->base);
	}
	if (seen != atomic_load(&progress)) {
		seen = atomic_load(&progress);
		since = ticks;
	}
	if (++ticks - since > STUCK_S * 1000000ul / CASE_US) {
		char text[96];
		int n = snprintf(text, sizeof(text), "stuck: mode %u seed %llu\n", atomic_load(&now_mode),
				 (unsigned long long)atomic_load(&now_seed));

		if (write(2, text, n) < 0)
			_exit(3);
		_exit(2);
	}
}

static void alarms(bool on)
{
	struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	struct itimerval it = { { 0, on ? CASE_US : 0 }, { 0, on ? CASE_US : 0 } };

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
}

/* Until something ends it, or the second kick */
static void run_cpu(struct sc_vcpu *v, unsigned mode, u64 seed)
{
	struct accel_exit_info info;
	unsigned kicks = 0, hlts = 0;

	for (;;) {
		int rc = sc_accel_ops.vcpu_run(&v->base, &info);

		if (rc || info.exit == ACCEL_EXIT_BROKEN || info.exit >= ACCEL_NUM_EXITS)
			fail_msg("mode %u seed %llu: rc %d exit %u %s", mode, (unsigned long long)seed, rc,
				 info.exit, info.text);
		if (info.exit == ACCEL_EXIT_SHUTDOWN || (info.exit == ACCEL_EXIT_HLT && hlts++ > 3) ||
		    (info.exit == ACCEL_EXIT_KICKED && kicks++))
			break;
	}
}

static void check_wild(struct rig *r, unsigned mode, u64 seed)
{
	if (!wild)
		return;
	fail_msg("mode %u seed %llu: host address RAM%+lld touched, pc %#llx (code cache %p)", mode,
		 (unsigned long long)seed, (long long)(wild_addr - (u64)r->low), (unsigned long long)wild_pc,
		 (void *)r->vm);
}

static unsigned cases(unsigned def)
{
	const char *s = getenv("HK_CASES");

	return s ? (unsigned)strtoul(s, NULL, 0) : def;
}

static void prepare(struct rig *r, unsigned mode, u64 seed, u64 *s)
{
	*s = (seed + 1) * 0x9e3779b97f4a7c15ull + mode;
	atomic_store(&r->noise, *s | 1);
	any_tables(r, s, mode);
	any_code(r, s);
	sc_accel_ops.ram_written(r->vm, 0, LOW_BYTES);
	sc_accel_ops.ram_written(r->vm, HIGH_GPA, HIGH_BYTES);
	atomic_store(&now_seed, seed);
	atomic_store(&now_mode, mode);
	progress++;
}

static void random_code_in(unsigned mode)
{
	const char *one = getenv("HK_SEED");
	u64 seed, first = one ? strtoull(one, NULL, 0) : 0, last = one ? first + 1 : cases(1500), s;
	struct rig r;

	rig_open(&r, 1);
	atomic_store(&now_running, &r);
	alarms(true);
	for (seed = first; seed < last; seed++) {
		prepare(&r, mode, seed, &s);
		any_cpu(r.v[0], &s, mode);
		run_cpu(r.v[0], mode, seed);
		check_wild(&r, mode, seed);
	}
	alarms(false);
	atomic_store(&now_running, NULL);
	rig_close(&r);
}

static void random_code_in_long_mode(void **st) { random_code_in(M_LONG); }
static void random_code_in_long_mode_at_cpl_3(void **st) { random_code_in(M_LONG_USER); }
static void random_code_in_compatibility_mode(void **st) { random_code_in(M_COMPAT); }
static void random_code_in_compatibility_mode_at_cpl_3(void **st) { random_code_in(M_COMPAT_USER); }
static void random_code_in_protected_mode(void **st) { random_code_in(M_PROT32); }
static void random_code_in_protected_mode_at_cpl_3(void **st) { random_code_in(M_PROT32_USER); }
static void random_code_under_pae_paging(void **st) { random_code_in(M_PAE); }
static void random_code_under_32_bit_paging(void **st) { random_code_in(M_PAGED32); }
static void random_code_in_16_bit_protected_mode(void **st) { random_code_in(M_PROT16); }
static void random_code_in_real_mode(void **st) { random_code_in(M_REAL); }
static void random_code_in_virtual_8086_mode(void **st) { random_code_in(M_VM86); }

/* ------------------------------------------------------------------- two CPUs */

struct half {
	struct sc_vcpu *v;
	unsigned mode;
	u64 seed;
};

static void *half_main(void *arg)
{
	struct half *h = arg;

	run_cpu(h->v, h->mode, h->seed);
	return NULL;
}

static void two_cpus_run_and_write_the_same_random_code(void **state)
{
	static const u8 modes[] = { M_LONG, M_LONG_USER, M_LONG, M_COMPAT };
	u64 seed, last = cases(800), s;
	sigset_t set;
	struct rig r;

	rig_open(&r, 2);
	atomic_store(&now_running, &r);
	alarms(true);
	for (seed = 0; seed < last; seed++) {
		unsigned mode = modes[seed % ARRAY_LEN(modes)];
		struct half half[2] = { { r.v[0], mode, seed }, { r.v[1], mode, seed } };
		pthread_t other;

		prepare(&r, mode, seed, &s);
		any_cpu(r.v[0], &s, mode);
		any_cpu(r.v[1], &s, mode);
		/* The handler may run on either thread: both have it open */
		sigemptyset(&set);
		sigaddset(&set, SIGALRM);
		assert_int_equal(pthread_create(&other, NULL, half_main, &half[1]), 0);
		half_main(&half[0]);
		pthread_join(other, NULL);
		check_wild(&r, mode, seed);
	}
	alarms(false);
	atomic_store(&now_running, NULL);
	rig_close(&r);
}

int main(void)
{
#ifdef HK_TSAN
	puts("tsan: making a case takes it seconds, and accel/soft is not instrumented");
	return 77;
#endif
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_code_in_long_mode),
		cmocka_unit_test(random_code_in_long_mode_at_cpl_3),
		cmocka_unit_test(random_code_in_compatibility_mode),
		cmocka_unit_test(random_code_in_compatibility_mode_at_cpl_3),
		cmocka_unit_test(random_code_in_protected_mode),
		cmocka_unit_test(random_code_in_protected_mode_at_cpl_3),
		cmocka_unit_test(random_code_under_pae_paging),
		cmocka_unit_test(random_code_under_32_bit_paging),
		cmocka_unit_test(random_code_in_16_bit_protected_mode),
		cmocka_unit_test(random_code_in_real_mode),
		cmocka_unit_test(random_code_in_virtual_8086_mode),
		cmocka_unit_test(two_cpus_run_and_write_the_same_random_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
