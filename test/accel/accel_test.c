// SPDX-License-Identifier: BSD-2-Clause
/* test/accel/accel_test.c - What every accelerator must do, run on each that opens here
 *
 * Tiny guests in real, protected and long mode against a machine made of
 * callbacks (vm.h). A test that needs a capability which the accelerator lacks
 * says so and is skipped; an accelerator that does not open is one skipped test. */
#include <fnmatch.h>
#include <sys/eventfd.h>

#include "guests.h"

static struct guest *gx(void **state)
{
	return *state;
}

#define NEEDS(g, cond, why)                                               \
	do {                                                              \
		if (!(cond)) {                                            \
			print_message("skipped: %s\n", why);                   \
			skip();                                           \
		}                                                         \
	} while (0)

/* ------------------------------------------------------------------ modes, ports */

GUEST(ports, 16,
      "mov $0x42, %al\n out %al, $0xe0\n"
      "in $0xe1, %al\n out %al, $0xe0\n"
      "mov $0xe1, %dx\n in %dx, %ax\n mov $0xe0, %dx\n out %ax, %dx\n"
      "in $0xe1, %eax\n out %eax, $0xe0\n" DONE);

static void ports_work_in_each_width_in_real_mode(void **state)
{
	struct guest *g = gx(state);

	LOAD(g, ports);
	g->in_value = 0x11223344;
	start_real(g, 0);
	run_done(g, 0);
	assert_int_equal(g->num_out, 4);
	assert_out(g, 0, 0x42, 1);
	assert_out(g, 1, 0x44, 1);
	assert_out(g, 2, 0x3345, 2);
	assert_out(g, 3, 0x11223346, 4);
}

GUEST(nobody, 16, "in $0xee, %eax\n out %eax, $0xe0\n" DONE);

static void port_that_nobody_answers_reads_as_ones(void **state)
{
	struct guest *g = gx(state);

	LOAD(g, nobody);
	start_real(g, 0);
	run_done(g, 0);
	assert_out(g, 0, 0xffffffff, 4);
}

GUEST(strings, 16,
      "cld\n mov $" AT(1f) ", %si\n mov $5, %cx\n mov $0xe0, %dx\n rep outsb\n"
      "mov $0x7000, %di\n mov $3, %cx\n mov $0xe1, %dx\n rep insw\n"
      "mov $0x7000, %si\n mov $3, %cx\n mov $0xe0, %dx\n rep outsw\n" DONE
      "1: .ascii \"hello\"\n");

static void string_port_instructions_move_every_item(void **state)
{
	struct guest *g = gx(state);

	LOAD(g, strings);
	g->in_value = 0xfffe;
	start_real(g, 0);
	run_done(g, 0);
	assert_int_equal(g->num_out, 8);
	for (unsigned i = 0; i < 5; i++)
		assert_out(g, i, "hello"[i], 1);
	assert_out(g, 5, 0xfffe, 2);
	assert_out(g, 6, 0xffff, 2);
	assert_out(g, 7, 0x0000, 2);
	assert_int_equal(get_gpr(g, 0, X86_RCX), 0);
}

GUEST(prot, 32,
      "mov $0x12345678, %eax\n push %eax\n mov $0, %eax\n pop %ebx\n rol $8, %ebx\n"
      "mov %ebx, %eax\n" OUT32 DONE);

static void protected_mode_runs_32_bit_code(void **state)
{
	struct guest *g = gx(state);

	LOAD(g, prot);
	start_protected(g, 0);
	run_done(g, 0);
	assert_out(g, 0, 0x34567812, 4);
}

GUEST(lng, 64,
      "mov $0x123456789abcdef0, %rax\n mov %rax, %r15\n imul $3, %r15, %r14\n push %r14\n"
      "pop %rax\n" OUT32 "shr $32, %rax\n" OUT32 DONE);

static void long_mode_runs_64_bit_code(void **state)
{
	struct guest *g = gx(state);

	LOAD(g, lng);
	start_long(g, 0);
	run_done(g, 0);
	assert_out(g, 0, (u32)(0x123456789abcdef0ull * 3), 4);
	assert_out(g, 1, (u32)(0x123456789abcdef0ull * 3 >> 32), 4);
}

/* From real mode to long mode by the guest itself, as a boot loader does it */
GUEST(climb, 16,
      "cli\n lgdtl " AT(9f) "\n mov $0x20, %eax\n mov %eax, %cr4\n"
      "mov $0x12000, %eax\n mov %eax, %cr3\n"
      "mov $0xc0000080, %ecx\n rdmsr\n or $0x100, %eax\n wrmsr\n"
      "mov %cr0, %eax\n or $0x80000001, %eax\n mov %eax, %cr0\n"
      "ljmpl $8, $" AT(1f) "\n"
      ".code64\n 1: mov $0x1122334455667788, %rax\n shr $32, %rax\n" OUT32
      "mov $0xc0000080, %ecx\n rdmsr\n" OUT32 DONE
      "9: .word 23\n .long 0x10000\n");

static void guest_can_climb_from_real_to_long_mode(void **state)
{
	struct guest *g = gx(state);

	start_long(g, 0); /* for the tables in RAM */
	LOAD(g, climb);
	start_real(g, 0);
	run_done(g, 0);
	assert_out(g, 0, 0x11223344, 4);
	assert_out(g, 1, X86_EFER_LME | X86_EFER_LMA, 4);
}

/* ------------------------------------------------------------------------- MMIO */

GUEST(mmio, 64,
      "mov $0x10000000, %rbx\n"
      "mov 1(%rbx), %al\n" OUT8 "mov 2(%rbx), %ax\n mov 4(%rbx), %eax\n" OUT32
      "mov 8(%rbx), %rcx\n mov %rcx, %rax\n shr $32, %rax\n" OUT32
      "movb $0x11, 0x10(%rbx)\n movw $0x2222, 0x12(%rbx)\n movl $0x33333333, 0x14(%rbx)\n"
      "mov $0x4444444455555555, %rax\n mov %rax, 0x18(%rbx)\n"
      "movzbl 0x20(%rbx), %eax\n" OUT32 "orl $0x100, 0x24(%rbx)\n" DONE);

static void mmio_reaches_the_callback_in_each_width(void **state)
{
	struct guest *g = gx(state);

	LOAD(g, mmio);
	g->mmio_value = 0x8877665544332211;
	start_long(g, 0);
	run_done(g, 0);
	assert_mmio(g, 0, MMIO + 1, 0, 1, false);
	assert_mmio(g, 1, MMIO + 2, 0, 2, false);
	assert_mmio(g, 2, MMIO + 4, 0, 4, false);
	assert_mmio(g, 3, MMIO + 8, 0, 8, false);
	assert_mmio(g, 4, MMIO + 0x10, 0x11, 1, true);
	assert_mmio(g, 5, MMIO + 0x12, 0x2222, 2, true);
	assert_mmio(g, 6, MMIO + 0x14, 0x33333333, 4, true);
	assert_mmio(g, 7, MMIO + 0x18, 0x4444444455555555, 8, true);
	assert_mmio(g, 8, MMIO + 0x20, 0, 1, false);
	assert_mmio(g, 9, MMIO + 0x24, 0, 4, false);
	assert_mmio(g, 10, MMIO + 0x24, 0x44332311, 4, true);
	assert_int_equal(g->num_mmio, 11);
	assert_out(g, 0, 0x11, 1);
	assert_out(g, 1, 0x44332211, 4);
	assert_out(g, 2, 0x88776655, 4);
	assert_out(g, 3, 0x11, 4);
}

GUEST(rep_mmio, 32,
      "cld\n mov $0x20000, %esi\n mov $0x10000100, %edi\n mov $4, %ecx\n rep movsl\n"
      "mov $0x10000200, %esi\n mov $0x20100, %edi\n mov $2, %ecx\n rep movsl\n"
      "mov 0x20104, %eax\n" OUT32 DONE);

static void string_moves_reach_mmio_item_by_item(void **state)
{
	struct guest *g = gx(state);

	LOAD(g, rep_mmio);
	for (unsigned i = 0; i < 4; i++)
		store_le32(g->ram + DATA + 4 * i, 100 + i);
	g->mmio_value = 0xcafe;
	start_protected(g, 0);
	run_done(g, 0);
	assert_int_equal(g->num_mmio, 6);
	for (unsigned i = 0; i < 4; i++)
		assert_mmio(g, i, MMIO + 0x100 + 4 * i, 100 + i, 4, true);
	assert_mmio(g, 4, MMIO + 0x200, 0, 4, false);
	assert_out(g, 0, 0xcafe, 4);
}

/* ------------------------------------------------------------------------- MSRs */

/* An index in a range that no vendor and no hypervisor uses */
GUEST(msr, 32,
      "mov $0x2f00ba5e, %ecx\n mov $0x11111111, %eax\n mov $0x22222222, %edx\n wrmsr\n rdmsr\n"
      OUT32 "mov %edx, %eax\n" OUT32 DONE);

static void unknown_msrs_reach_the_callback(void **state)
{
	struct guest *g = gx(state);

	LOAD(g, msr);
	g->msr_rc = 0;
	g->msr_value = 0x0123456789abcdef;
	start_protected(g, 0);
	run_done(g, 0);
	assert_int_equal(g->num_msr, 2);
	assert_true(g->msr[0].write);
	assert_int_equal(g->msr[0].addr, 0x2f00ba5e);
	assert_int_equal(g->msr[0].val, 0x2222222211111111);
	assert_false(g->msr[1].write);
	assert_out(g, 0, 0x89abcdef, 4);
	assert_out(g, 1, 0x01234567, 4);
}

GUEST(msr_gp, 32,
      "movl $" AT(1f) ", %eax\n mov %ax, 0x11068\n movw $8, 0x1106a\n"
      "movw $0x8e00, 0x1106c\n movw $0, 0x1106e\n"
      "mov $0x2f00ba5e, %ecx\n rdmsr\n" DONE
      "1: pop %eax\n" OUT32 "pop %eax\n sub $" AT(1b) ", %eax\n mov $0x77, %al\n" OUT8 DONE);

static void msr_that_the_host_refuses_is_a_general_protection_fault(void **state)
{
	struct guest *g = gx(state);

	LOAD(g, msr_gp);
	start_protected(g, 0);
	run_done(g, 0);
	assert_int_equal(g->num_out, 2);
	assert_out(g, 0, 0, 4); /* error code */
	assert_out(g, 1, 0x77, 1);
}

static void ignored_unknown_msr_reads_zero(void **state)
{
	const struct accel_ops *ops = gx(state)->ops;
	struct guest *g = guest_create(ops, 1, true);

	LOAD(g, msr);
	g->msr_value = 0xffffffff;
	start_protected(g, 0);
	run_done(g, 0);
	assert_int_equal(g->num_out, 2);
	assert_out(g, 0, 0, 4);
	assert_out(g, 1, 0, 4);
	guest_destroy(g);
}

/* ----------------------------------------------------------------------- CPUID */

GUEST(cpuid, 32, "mov $0x80000002, %eax\n cpuid\n" OUT32 "mov %ebx, %eax\n" OUT32
      "mov $1, %eax\n cpuid\n mov %ebx, %eax\n shr $24, %eax\n" OUT32 DONE);

static void guest_reads_the_cpuid_table_that_was_set(void **state)
{
	struct guest *g = gx(state);
	struct cpuid_entry *t = calloc(ACCEL_MAX_CPUID, sizeof(*t));
	unsigned n = g->caps.num_cpuid;
	bool brand = false;

	memcpy(t, g->caps.cpuid, n * sizeof(*t));
	for (unsigned i = 0; i < n; i++) {
		if (t[i].leaf == 1)
			t[i].ebx = (t[i].ebx & 0xffffff) | 0x2a << 24;
		if (t[i].leaf == 0x80000002) {
			brand = true;
			memcpy(&t[i].eax, "Hype", 4);
			memcpy(&t[i].ebx, "rKit", 4);
		}
	}
	assert_true(brand);
	assert_int_equal(g->ops->cpuid_set(g->cpu[0], t, n), 0);
	free(t);
	LOAD(g, cpuid);
	start_protected(g, 0);
	run_done(g, 0);
	assert_memory_equal(&g->out[0].val, "Hype", 4);
	assert_memory_equal(&g->out[1].val, "rKit", 4);
	assert_out(g, 2, 0x2a, 4);
}

static void probe_tells_a_plausible_cpu(void **state)
{
	struct guest *g = gx(state);
	bool leaf0 = false, leaf1 = false, told = false, signature = false;

	for (unsigned i = 0; i < g->caps.num_cpuid; i++) {
		const struct cpuid_entry *e = &g->caps.cpuid[i];

		leaf0 |= e->leaf == 0 && e->eax >= 1;
		/* FPU, TSC, MSR, PAE, CX8, APIC, FXSR, SSE, SSE2 */
		leaf1 |= e->leaf == 1 && (e->edx & 0x07000371) == 0x07000371;
		/* Kernels look for 0x40000000 only when leaf 1 says that there is a hypervisor */
		if (e->leaf == 1)
			told = e->ecx & BIT(31);
		if (e->leaf == 0x40000000)
			signature = e->ebx == 0x4b4d564b; /* "KVMK" */
	}
	assert_true(leaf0);
	assert_true(leaf1);
	assert_true(told);
	assert_true(signature);
	assert_true(g->caps.max_cpus >= 16);
	assert_true(g->caps.tsc_hz > 100000000 && g->caps.tsc_hz < 20000000000);
	assert_true(strlen(g->caps.why) > 0);
}

/* ------------------------------------------------------------------------ kicks */

GUEST(spin, 16, "mov $1, %al\n" OUT8 "1: inc %ecx\n jmp 1b\n");

static void kick_before_run_is_not_lost(void **state)
{
	struct guest *g = gx(state);

	LOAD(g, spin);
	start_real(g, 0);
	g->ops->vcpu_kick(g->cpu[0]);
	run_done(g, 0);
	assert_int_equal(g->num_out, 0); /* not one instruction ran */
	assert_int_equal(get_gpr(g, 0, X86_RCX), 0);
}

static void two_kicks_before_run_are_one(void **state)
{
	struct guest *g = gx(state);

	LOAD(g, ports);
	start_real(g, 0);
	g->ops->vcpu_kick(g->cpu[0]);
	g->ops->vcpu_kick(g->cpu[0]);
	run_done(g, 0);
	assert_int_equal(g->num_out, 0);
	run_done(g, 0);
	assert_int_equal(g->num_out, 4);
}

static void kick_gets_a_guest_out_of_an_endless_loop(void **state)
{
	struct guest *g = gx(state);
	struct runner r;

	LOAD(g, spin);
	start_real(g, 0);
	runner_start(&r, g, 0);
	wait_out(g, 1);
	g->ops->vcpu_kick(g->cpu[0]);
	runner_join(&r);
	/* Where it stood it goes on */
	runner_start(&r, g, 0);
	g->ops->vcpu_kick(g->cpu[0]);
	runner_join(&r);
	assert_int_equal(g->num_out, 1);
}

GUEST(count, 32, "xor %eax, %eax\n 1: inc %eax\n out %eax, $0xe2\n cmp $20000, %eax\n jb 1b\n"
      DONE);

static void expect_next(struct guest *g, unsigned cpu)
{
	(*(unsigned *)g->hook_arg)++;
}

static void *kick_often(void *arg)
{
	struct guest *g = arg;

	while (!atomic_load(&g->late)) {
		g->ops->vcpu_kick(g->cpu[0]);
		usleep(50);
	}
	return NULL;
}

static void kicks_neither_repeat_nor_swallow_port_accesses(void **state)
{
	struct guest *g = gx(state);
	unsigned outs = 0, kicks = 0;
	pthread_t t;

	LOAD(g, count);
	start_protected(g, 0);
	g->hook = expect_next;
	g->hook_arg = &outs;
	assert_int_equal(pthread_create(&t, NULL, kick_often, g), 0);
	while (outs < 20000 && kicks < 10000000) {
		assert_int_equal(g->ops->vcpu_run(g->cpu[0], &g->info), 0);
		assert_int_equal(g->info.exit, ACCEL_EXIT_KICKED);
		/* The state is whole at each kick: EAX is the number of OUTs done, or one more */
		assert_in_range(get_gpr(g, 0, X86_RAX), outs, outs + 1);
		kicks++;
	}
	atomic_store(&g->late, true);
	pthread_join(t, NULL);
	g->late = false;
	assert_int_equal(outs, 20000);
}

/* --------------------------------------------------------------------------- HLT */

GUEST(halt, 16, "mov $1, %al\n" OUT8 "cli\n hlt\n mov $2, %al\n" OUT8 DONE);

/* An accelerator with LAPICs sleeps inside vcpu_run: what it does shows after a kick */
static void run_until_halted(struct guest *g)
{
	struct runner r;

	if (!has(g, ACCEL_CAP_LAPIC)) {
		run_to(g, 0, ACCEL_EXIT_HLT);
		assert_true(g->info.hlt_irqs_off);
		assert_false(g->ops->has_work(g->cpu[0]));
		return;
	}
	for (unsigned i = 0; i < 16; i++) {
		runner_start(&r, g, 0);
		wait_out(g, 1);
		usleep(100u << i); /* nothing tells when it halts: give it more time each turn */
		g->ops->vcpu_kick(g->cpu[0]);
		runner_join(&r);
		assert_int_equal(g->ops->state_get(g->cpu[0], X86_STATE_EVENTS, g->st), 0);
		if (g->st->event.activity == X86_HALTED)
			return;
	}
	fail_msg("it never halted");
}

static void hlt_with_interrupts_off_is_seen(void **state)
{
	struct guest *g = gx(state);

	LOAD(g, halt);
	start_real(g, 0);
	run_until_halted(g);
	assert_int_equal(g->ops->state_get(g->cpu[0], X86_STATE_EVENTS | X86_STATE_GPR, g->st), 0);
	assert_int_equal(g->st->event.activity, X86_HALTED);
	assert_false(g->st->rflags & X86_FLAG_IF);
	assert_int_equal(g->num_out, 1);
}

static void kick_leaves_a_halted_cpu_halted(void **state)
{
	struct guest *g = gx(state);

	LOAD(g, halt);
	start_real(g, 0);
	run_until_halted(g);
	g->ops->vcpu_kick(g->cpu[0]);
	run_done(g, 0);
	assert_int_equal(g->ops->state_get(g->cpu[0], X86_STATE_EVENTS, g->st), 0);
	assert_int_equal(g->st->event.activity, X86_HALTED);
	assert_int_equal(g->num_out, 1);
}

GUEST(nmi, 16,
      "movw $" AT(2f) ", 8\n movw $0, 10\n mov $1, %al\n" OUT8
      "cli\n hlt\n mov $3, %al\n" OUT8 DONE
      "2: mov $2, %al\n" OUT8 "iretw\n");

static void nmi_wakes_a_halted_cpu_even_with_interrupts_off(void **state)
{
	struct guest *g = gx(state);

	LOAD(g, nmi);
	start_real(g, 0);
	run_until_halted(g);
	assert_int_equal(g->ops->inject(g->cpu[0], ACCEL_INJECT_NMI, 0), 0);
	assert_true(g->ops->has_work(g->cpu[0]));
	run_done(g, 0);
	assert_int_equal(g->num_out, 3);
	assert_out(g, 1, 2, 1);
	assert_out(g, 2, 3, 1);
}

GUEST(nmi_run, 16,
      "movw $" AT(2f) ", 8\n movw $0, 10\n mov $1, %al\n" OUT8 "1: jmp 1b\n"
      "2: mov $2, %al\n" OUT8 DONE);

static void nmi_interrupts_running_code(void **state)
{
	struct guest *g = gx(state);
	struct watchdog w;
	struct runner r;

	LOAD(g, nmi_run);
	start_real(g, 0);
	watchdog_start(&w, g);
	runner_start(&r, g, 0);
	wait_out(g, 1);
	assert_int_equal(g->ops->inject(g->cpu[0], ACCEL_INJECT_NMI, 0), 0);
	runner_join(&r);
	watchdog_stop(&w);
	assert_false(g->late);
	assert_out(g, 1, 2, 1);
}

/* ------------------------------------------------- interrupts, LAPICs of the host */

GUEST(intr, 16,
      "movw $" AT(2f) ", 0x100\n movw $0, 0x102\n cli\n mov $1, %al\n" OUT8
      "mov $1000, %cx\n 3: loop 3b\n mov $2, %al\n" OUT8 "sti\n 1: hlt\n jmp 1b\n"
      "2: mov $3, %al\n" OUT8 DONE);

static void interrupt_waits_until_the_flag_allows_it(void **state)
{
	struct guest *g = gx(state);

	NEEDS(g, !has(g, ACCEL_CAP_LAPIC), "its LAPICs are its own");
	LOAD(g, intr);
	start_real(g, 0);
	atomic_store(&g->pending[0], 0x40);
	assert_int_equal(g->ops->inject(g->cpu[0], ACCEL_INJECT_INTR, 0), 0);
	run_done(g, 0);
	assert_int_equal(g->num_out, 3);
	assert_out(g, 1, 2, 1);
	assert_out(g, 2, 3, 1);
	assert_int_equal(atomic_load(&g->pending[0]), -1);
}

static void interrupt_wakes_hlt(void **state)
{
	struct guest *g = gx(state);
	struct watchdog w;

	NEEDS(g, !has(g, ACCEL_CAP_LAPIC), "its LAPICs are its own");
	LOAD(g, intr);
	start_real(g, 0);
	run_to(g, 0, ACCEL_EXIT_HLT);
	assert_false(g->info.hlt_irqs_off);
	assert_false(g->ops->has_work(g->cpu[0]));
	atomic_store(&g->pending[0], 0x40);
	assert_int_equal(g->ops->inject(g->cpu[0], ACCEL_INJECT_INTR, 0), 0);
	assert_true(g->ops->has_work(g->cpu[0]));
	watchdog_start(&w, g);
	run_done(g, 0);
	watchdog_stop(&w);
	assert_out(g, 2, 3, 1);
}

GUEST(spurious, 16, "sti\n mov $1, %al\n" OUT8 "mov $100, %cx\n 1: loop 1b\n" DONE);

static void interrupt_that_went_away_is_not_delivered(void **state)
{
	struct guest *g = gx(state);

	NEEDS(g, !has(g, ACCEL_CAP_LAPIC), "its LAPICs are its own");
	LOAD(g, spurious);
	start_real(g, 0);
	assert_int_equal(g->ops->inject(g->cpu[0], ACCEL_INJECT_INTR, 0), 0); /* intr_ack: -1 */
	run_done(g, 0);
	assert_int_equal(g->num_out, 1);
}

GUEST(cr8, 64, "mov $5, %eax\n mov %rax, %cr8\n xor %eax, %eax\n mov %cr8, %rax\n" OUT32 DONE);

static void cr8_is_the_hosts_task_priority(void **state)
{
	struct guest *g = gx(state);

	NEEDS(g, !has(g, ACCEL_CAP_LAPIC), "its LAPICs are its own");
	LOAD(g, cr8);
	start_long(g, 0);
	run_done(g, 0);
	assert_int_equal(atomic_load(&g->last_tpr), 5);
	assert_out(g, 0, 5, 4);
}

/* CPU 0 starts at the top, CPU 1 at g_ipi_ap */
extern const u8 g_ipi_ap[];
GUEST(ipi, 16,
      "mov $1, %al\n" OUT8 "1: cmpb $0, 0x7000\n je 1b\n out %al, $0xe2\n"
      "2: cmpb $1, 0x7001\n jne 2b\n mov $4, %al\n" OUT8 DONE
      ".globl g_ipi_ap\n.hidden g_ipi_ap\n g_ipi_ap:\n"
      "movw $" AT(4f) ", 0x100\n movw $0, 0x102\n sti\n movb $1, 0x7000\n"
      "3: hlt\n jmp 3b\n 4: movb $1, 0x7001\n" DONE);

static void interrupt_cpu_1(struct guest *g, unsigned cpu)
{
	atomic_store(&g->pending[1], 0x40);
	g->ops->inject(g->cpu[1], ACCEL_INJECT_INTR, 0);
}

static void one_cpu_interrupts_the_other(void **state)
{
	struct guest *g;
	struct watchdog w;
	struct runner r0, r1;

	NEEDS(gx(state), !has(gx(state), ACCEL_CAP_LAPIC), "its LAPICs are its own");
	g = guest_create(gx(state)->ops, 2, false);
	LOAD(g, ipi);
	start_real(g, 1);
	g->st->rip = CODE + (u64)(g_ipi_ap - g_ipi);
	set_state(g, 1);
	start_real(g, 0);
	g->hook = interrupt_cpu_1;
	watchdog_start(&w, g);
	runner_start(&r1, g, 1);
	runner_start(&r0, g, 0);
	runner_join(&r0);
	runner_join(&r1);
	watchdog_stop(&w);
	assert_false(g->late);
	assert_out(g, 1, 4, 1);
	guest_destroy(g);
}

/* ------------------------------------------- interrupts, LAPICs of the accelerator */

GUEST(pic, 16,
      "movw $" AT(2f) ", 0x90\n movw $0, 0x92\n"
      "mov $0x11, %al\n out %al, $0x20\n mov $0x20, %al\n out %al, $0x21\n"
      "mov $4, %al\n out %al, $0x21\n mov $1, %al\n out %al, $0x21\n"
      "mov $0, %al\n out %al, $0x21\n sti\n mov $1, %al\n" OUT8
      "1: hlt\n jmp 1b\n 2: mov $2, %al\n" OUT8 DONE);

static void line_reaches_the_guest_through_the_8259(void **state)
{
	struct guest *g = gx(state);
	struct watchdog w;
	struct runner r;

	NEEDS(g, has(g, ACCEL_CAP_IOAPIC), "it has no interrupt controllers");
	LOAD(g, pic);
	start_real(g, 0);
	watchdog_start(&w, g);
	runner_start(&r, g, 0);
	wait_out(g, 1);
	assert_int_equal(g->ops->irq_line(g->vm, 4, 1), 0);
	runner_join(&r);
	watchdog_stop(&w);
	assert_false(g->late);
	assert_out(g, 1, 2, 1);
}

GUEST(msi, 32,
      "movl $" AT(1f) ", %eax\n mov %ax, 0x11188\n movw $8, 0x1118a\n"
      "movw $0x8e00, 0x1118c\n movw $0, 0x1118e\n"
      "movl $0x1ff, 0xfee000f0\n sti\n mov $1, %al\n" OUT8 "2: hlt\n jmp 2b\n"
      "1: movl $0, 0xfee000b0\n mov $2, %al\n" OUT8 DONE);

static void msi_reaches_the_guest(void **state)
{
	struct guest *g = gx(state);
	struct watchdog w;
	struct runner r;

	NEEDS(g, has(g, ACCEL_CAP_LAPIC), "its LAPICs are the host's");
	LOAD(g, msi);
	start_protected(g, 0);
	watchdog_start(&w, g);
	runner_start(&r, g, 0);
	wait_out(g, 1);
	assert_int_equal(g->ops->msi(g->vm, 0xfee00000, 0x31), 0);
	runner_join(&r);
	watchdog_stop(&w);
	assert_false(g->late);
	assert_out(g, 1, 2, 1);
}

static void eventfd_raises_the_message_that_its_route_says(void **state)
{
	struct guest *g = gx(state);
	struct watchdog w;
	struct runner r;
	int fd;

	NEEDS(g, has(g, ACCEL_CAP_IRQFD), "it takes no eventfds");
	fd = eventfd(0, EFD_CLOEXEC);
	LOAD(g, msi);
	start_protected(g, 0);
	assert_int_equal(g->ops->msi_route(g->vm, 24, 0xfee00000, 0x31), 0);
	assert_int_equal(g->ops->irqfd_add(g->vm, 24, fd, -1), 0);
	watchdog_start(&w, g);
	runner_start(&r, g, 0);
	wait_out(g, 1);
	assert_int_equal(write(fd, &(u64){ 1 }, 8), 8);
	runner_join(&r);
	watchdog_stop(&w);
	assert_int_equal(g->ops->irqfd_del(g->vm, 24, fd), 0);
	close(fd);
	assert_false(g->late);
	assert_out(g, 1, 2, 1);
}

GUEST(bell, 32,
      "movw $7, 0x10002000\n movw $8, 0x10002000\n mov $0x55, %al\n out %al, $0xe8\n" DONE);

static void doorbell_is_a_store_that_only_an_eventfd_sees(void **state)
{
	struct guest *g = gx(state);
	u64 n = 0;
	int fd;

	NEEDS(g, has(g, ACCEL_CAP_DOORBELL), "it takes no eventfds");
	fd = eventfd(0, EFD_CLOEXEC);
	LOAD(g, bell);
	start_protected(g, 0);
	assert_int_equal(g->ops->doorbell_add(g->vm, ACCEL_SPACE_MEM, 0x10002000, 2, &(u64){ 7 },
					      fd), 0);
	assert_int_equal(g->ops->doorbell_add(g->vm, ACCEL_SPACE_PIO, 0xe8, 1, NULL, fd), 0);
	run_done(g, 0);
	assert_int_equal(read(fd, &n, 8), 8);
	assert_int_equal(n, 2);
	assert_int_equal(g->num_mmio, 1); /* the value that did not match */
	assert_mmio(g, 0, 0x10002000, 8, 2, true);
	assert_int_equal(g->ops->doorbell_del(g->vm, ACCEL_SPACE_MEM, 0x10002000, 2, &(u64){ 7 },
					      fd), 0);
	assert_int_equal(g->ops->doorbell_del(g->vm, ACCEL_SPACE_PIO, 0xe8, 1, NULL, fd), 0);
	close(fd);
}

/* -------------------------------------------------------------------- INIT, SIPI */

GUEST(ap, 16, "mov %cs, %ax\n out %ax, $0xe0\n mov $1, %al\n" OUT8 "1: jmp 1b\n");

static void application_processor_starts_at_its_sipi_vector(void **state)
{
	struct guest *g = guest_create(gx(state)->ops, 2, false);
	struct watchdog w;
	struct runner r;

	memcpy(g->ram + 0x9000, g_ap, g_ap_end - g_ap);
	watchdog_start(&w, g);
	runner_start(&r, g, 1);
	assert_int_equal(g->ops->inject(g->cpu[1], ACCEL_INJECT_INIT, 0), 0);
	assert_int_equal(g->ops->inject(g->cpu[1], ACCEL_INJECT_SIPI, 9), 0);
	wait_out(g, 2);
	assert_int_equal(g->out[0].cpu, 1);
	assert_out(g, 0, 0x900, 2);
	/* A second SIPI is ignored by a running CPU; INIT stops it */
	assert_int_equal(g->ops->inject(g->cpu[1], ACCEL_INJECT_SIPI, 0x33), 0);
	assert_int_equal(g->ops->inject(g->cpu[1], ACCEL_INJECT_INIT, 0), 0);
	assert_int_equal(g->ops->inject(g->cpu[1], ACCEL_INJECT_SIPI, 9), 0);
	wait_out(g, 4);
	g->ops->vcpu_kick(g->cpu[1]);
	runner_join(&r);
	watchdog_stop(&w);
	assert_false(g->late);
	if (!has(g, ACCEL_CAP_LAPIC))
		assert_true(g->num_resets >= 2);
	guest_destroy(g);
}

static void application_processor_waits_until_it_is_started(void **state)
{
	struct guest *g = guest_create(gx(state)->ops, 2, false);
	struct runner r;

	runner_start(&r, g, 1);
	usleep(3000);
	g->ops->vcpu_kick(g->cpu[1]);
	runner_join(&r);
	assert_int_equal(g->ops->state_get(g->cpu[1], X86_STATE_EVENTS, g->st), 0);
	assert_int_equal(g->st->event.activity, X86_WAIT_SIPI);
	assert_int_equal(g->num_out, 0);
	guest_destroy(g);
}

/* ------------------------------------------------------------- two CPUs, memory */

GUEST(add, 64,
      "mov $20000, %ecx\n 1: lock incl 0x20000\n lock cmpxchg8b 0x20040\n dec %ecx\n jnz 1b\n"
      DONE);

static void locked_instructions_are_atomic_between_cpus(void **state)
{
	struct guest *g = guest_create(gx(state)->ops, 2, false);
	struct watchdog w;
	struct runner r0, r1;

	start_long(g, 0);
	start_long(g, 1);
	LOAD(g, add);
	watchdog_start(&w, g);
	runner_start(&r0, g, 0);
	runner_start(&r1, g, 1);
	runner_join(&r0);
	runner_join(&r1);
	watchdog_stop(&w);
	assert_false(g->late);
	assert_int_equal(load_le32(g->ram + DATA), 40000);
	guest_destroy(g);
}

/* ----------------------------------------------------------- code that changes */

GUEST(smc, 64,
      "xor %ebx, %ebx\n 1: inc %ebx\n mov %bl, 2f+1(%rip)\n 2: mov $0, %al\n" OUT8
      "cmp $5, %ebx\n jne 1b\n"
      /* and in another page: write a function there, call it, change it, call it */
      "movl $0xc300b0, 0x21000\n 3: mov $0x21000, %eax\n call *%rax\n" OUT8
      "incb 0x21001\n cmpb $3, 0x21001\n jne 3b\n" DONE);

static void code_that_was_just_written_runs(void **state)
{
	struct guest *g = gx(state);

	LOAD(g, smc);
	start_long(g, 0);
	run_done(g, 0);
	assert_int_equal(g->num_out, 8);
	for (unsigned i = 0; i < 5; i++)
		assert_out(g, i, i + 1, 1);
	for (unsigned i = 0; i < 3; i++)
		assert_out(g, 5 + i, i, 1);
}

GUEST(dma, 64,
      "movl $0xc300b0, 0x21000\n mov $200, %ecx\n mov $0x21000, %ebx\n"
      "1: call *%rbx\n dec %ecx\n jnz 1b\n" OUT8 "out %al, $0xe2\n call *%rbx\n" OUT8 DONE);

static void store_code(struct guest *g, unsigned cpu)
{
	g->ram[0x21001] = 0x99;
	if (has(g, ACCEL_CAP_RAM_WRITTEN))
		g->ops->ram_written(g->vm, 0x21001, 1);
}

static void code_that_a_device_wrote_runs(void **state)
{
	struct guest *g = gx(state);

	LOAD(g, dma);
	start_long(g, 0);
	g->hook = store_code;
	run_done(g, 0);
	assert_out(g, 0, 0, 1);
	assert_out(g, 1, 0x99, 1);
}

GUEST(remap, 64,
      "movb $0x11, 0x20000\n movb $0x22, 0x21000\n mov 0x20000, %al\n" OUT8
      /* PTE of 0x20000 := 0x21000 */
      "movq $0x21007, 0x15100\n invlpg 0x20000\n mov 0x20000, %al\n" OUT8
      "movq $0x20007, 0x15100\n mov %cr3, %rax\n mov %rax, %cr3\n mov 0x20000, %al\n" OUT8 DONE);

static void changed_page_table_entry_counts_after_invlpg_and_cr3(void **state)
{
	struct guest *g = gx(state);

	LOAD(g, remap);
	start_long(g, 0);
	run_done(g, 0);
	assert_out(g, 0, 0x11, 1);
	assert_out(g, 1, 0x22, 1);
	assert_out(g, 2, 0x11, 1);
}

GUEST(fault, 64,
      "movq $0, 0x15100\n invlpg 0x20000\n movl $0x1234, 0x20010\n mov $0xbad, %eax\n" OUT32 DONE);
GUEST(fault_handler, 64, "mov %cr2, %rax\n" OUT32 "pop %rax\n" OUT32 "pop %rax\n" OUT32 DONE);

static void page_fault_gives_address_code_and_rip(void **state)
{
	struct guest *g = gx(state);

	LOAD(g, fault);
	memcpy(g->ram + 0x3000, g_fault_handler, g_fault_handler_end - g_fault_handler);
	start_long(g, 0);
	idt_gate(g, true, X86_VEC_PF, 0x3000);
	run_done(g, 0);
	assert_int_equal(g->num_out, 3);
	assert_out(g, 0, 0x20010, 4);
	assert_out(g, 1, 2, 4); /* a store to a page that is not there */
	assert_in_range(g->out[2].val, CODE + 8, CODE + 32);
}

/* ------------------------------------------------------------------ ROM and slots */

GUEST(rom, 32,
      "mov 0x400000, %eax\n" OUT32 "movl $0x5555, 0x400000\n mov 0x400000, %eax\n" OUT32
      "mov $0x400010, %ebx\n call *%ebx\n" OUT8 DONE);

static void stores_to_rom_go_to_the_callback(void **state)
{
	struct guest *g = gx(state);
	struct accel_ram rom = { .id = 1, .gpa = 0x400000, .len = 0x1000, .flags = ACCEL_RAM_ROM };

	LOAD(g, rom);
	rom.hva = map_pages(rom.len);
	store_le32(rom.hva, 0xabcd1234);
	memcpy((u8 *)rom.hva + 0x10, "\xb0\x66\xc3", 3); /* mov $0x66, %al; ret */
	assert_int_equal(g->ops->ram_map(g->vm, &rom), 0);
	start_protected(g, 0);
	run_done(g, 0);
	assert_out(g, 0, 0xabcd1234, 4);
	assert_out(g, 1, 0xabcd1234, 4);
	assert_out(g, 2, 0x66, 1);
	assert_int_equal(g->num_mmio, 1);
	assert_mmio(g, 0, 0x400000, 0x5555, 4, true);
	assert_int_equal(load_le32(rom.hva), 0xabcd1234);
	assert_int_equal(g->ops->ram_unmap(g->vm, 1), 0);
	munmap(rom.hva, rom.len);
}

GUEST(slot, 32, "1: mov 0x400000, %eax\n" OUT32 "mov 0x600000, %eax\n" OUT32 DONE "jmp 1b\n");

static void unmapped_ram_is_gone_and_may_come_back_elsewhere(void **state)
{
	struct guest *g = gx(state);
	struct accel_ram slot = { .id = 3, .gpa = 0x400000, .len = 0x2000 };

	LOAD(g, slot);
	slot.hva = map_pages(slot.len);
	store_le32(slot.hva, 0x1234);
	start_protected(g, 0);
	assert_int_equal(g->ops->ram_map(g->vm, &slot), 0);
	run_done(g, 0);
	assert_int_equal(g->ops->ram_unmap(g->vm, 3), 0);
	slot.gpa = 0x600000;
	assert_int_equal(g->ops->ram_map(g->vm, &slot), 0);
	run_done(g, 0);
	assert_out(g, 0, 0x1234, 4);
	assert_out(g, 1, 0xffffffff, 4);
	assert_out(g, 2, 0xffffffff, 4);
	assert_out(g, 3, 0x1234, 4);
	assert_int_equal(g->ops->ram_unmap(g->vm, 3), 0);
	munmap(slot.hva, slot.len);
}

GUEST(dirty, 32,
      "movb $1, 0x401000\n movb $1, 0x443fff\n" DONE "mov 0x402000, %al\n" DONE
      "movb $1, 0x400000\n" DONE);

static void dirty_log_names_written_pages_once(void **state)
{
	struct guest *g = gx(state);
	struct accel_ram slot = { .id = 2, .gpa = 0x400000, .len = 0x80000, .flags = ACCEL_RAM_LOG };
	u64 bits[2];

	NEEDS(g, has(g, ACCEL_CAP_DIRTY_LOG), "it has no dirty log");
	LOAD(g, dirty);
	slot.hva = map_pages(slot.len);
	start_protected(g, 0);
	assert_int_equal(g->ops->ram_map(g->vm, &slot), 0);
	run_done(g, 0);
	assert_int_equal(g->ops->dirty_take(g->vm, 2, bits), 0);
	assert_int_equal(bits[0], 1ull << 1);
	assert_int_equal(bits[1], 1ull << (0x43 - 64));
	run_done(g, 0);
	assert_int_equal(g->ops->dirty_take(g->vm, 2, bits), 0);
	assert_int_equal(bits[0] | bits[1], 0);
	run_done(g, 0);
	assert_int_equal(g->ops->dirty_take(g->vm, 2, bits), 0);
	assert_int_equal(bits[0], 1);
	assert_true(g->ops->dirty_take(g->vm, 0, bits) < 0); /* not logged */
	assert_int_equal(g->ops->ram_unmap(g->vm, 2), 0);
	munmap(slot.hva, slot.len);
}

static void bad_slots_are_refused(void **state)
{
	struct guest *g = gx(state);
	struct accel_ram slot = { .id = ACCEL_MAX_RAM, .gpa = 0x400000, .len = 0x1000 };

	slot.hva = map_pages(0x1000);
	assert_true(g->ops->ram_map(g->vm, &slot) < 0);
	slot.id = 5;
	slot.gpa = 0x1000; /* RAM is there already */
	assert_true(g->ops->ram_map(g->vm, &slot) < 0);
	assert_true(g->ops->ram_unmap(g->vm, 5) < 0);
	munmap(slot.hva, 0x1000);
}

/* -------------------------------------------------------------------------- state */

GUEST(mix, 64, "inc %rax\n movq %xmm3, %rbx\n addps %xmm1, %xmm2\n" DONE);

static void state_comes_back_as_it_was_set(void **state)
{
	struct guest *g = gx(state);
	struct x86_state *want = aligned_alloc(64, ALIGN_UP(sizeof(*want), 64));
	struct x86_state *got = aligned_alloc(64, ALIGN_UP(sizeof(*got), 64));
	const u32 groups = X86_STATE_ALL & ~X86_STATE_LAPIC;

	start_long(g, 0);
	memcpy(want, g->st, sizeof(*want));
	for (unsigned i = 0; i < X86_NUM_GPRS; i++)
		want->gpr[i] = 0x1111111111111111ull * i;
	want->rflags = 2 | X86_FLAG_CF | X86_FLAG_DF | X86_FLAG_ID;
	want->seg[X86_FS].base = 0x123456789000;
	want->seg[X86_GS].base = 0xffff800000001000;
	want->cr2 = 0x7000;
	want->msr.star = 0x0023001000000000;
	want->msr.lstar = 0xffffffff81000000;
	want->msr.sfmask = 0x47700;
	want->msr.kernel_gs_base = 0xffff888000000000;
	want->msr.sysenter_cs = 0x10;
	want->msr.sysenter_eip = 0x1234;
	want->dr[0] = 0x5000;
	want->dr[7] = 0x401;
	for (unsigned i = 0; i < 16 * 16; i++)
		want->xsave[160 + i] = (u8)(i * 7 + 1);
	want->event.nmi_blocked = 1;
	assert_int_equal(g->ops->state_set(g->cpu[0], groups, want), 0);
	memset(got, 0xee, sizeof(*got));
	assert_int_equal(g->ops->state_get(g->cpu[0], groups, got), 0);
	assert_memory_equal(got->gpr, want->gpr, sizeof(want->gpr));
	assert_int_equal(got->rip, want->rip);
	assert_int_equal(got->rflags, want->rflags);
	for (unsigned i = 0; i < X86_LDTR; i++) {
		assert_int_equal(got->seg[i].base, want->seg[i].base);
		assert_int_equal(got->seg[i].sel, want->seg[i].sel);
		assert_int_equal(got->seg[i].limit, want->seg[i].limit);
		assert_int_equal(got->seg[i].attr, want->seg[i].attr);
	}
	assert_int_equal(got->gdt.base, want->gdt.base);
	assert_int_equal(got->gdt.limit, want->gdt.limit);
	assert_int_equal(got->idt.base, want->idt.base);
	assert_int_equal(got->cr0, want->cr0);
	assert_int_equal(got->cr2, want->cr2);
	assert_int_equal(got->cr3, want->cr3);
	assert_int_equal(got->cr4, want->cr4);
	assert_int_equal(got->efer, want->efer);
	assert_int_equal(got->msr.star, want->msr.star);
	assert_int_equal(got->msr.lstar, want->msr.lstar);
	assert_int_equal(got->msr.sfmask, want->msr.sfmask);
	assert_int_equal(got->msr.kernel_gs_base, want->msr.kernel_gs_base);
	assert_int_equal(got->msr.sysenter_cs, want->msr.sysenter_cs);
	assert_int_equal(got->msr.sysenter_eip, want->msr.sysenter_eip);
	assert_int_equal(got->msr.pat, want->msr.pat);
	assert_int_equal(got->dr[0], want->dr[0]);
	assert_int_equal(got->dr[7], want->dr[7]);
	assert_memory_equal(got->xsave + 160, want->xsave + 160, 256);
	assert_int_equal(load_le32(got->xsave + 24), 0x1f80);
	assert_int_equal(got->event.nmi_blocked, 1);
	assert_int_equal(got->event.activity, X86_RUNNING);
	free(want);
	free(got);
}

static void guest_runs_on_the_state_that_was_set_and_leaves_its_own(void **state)
{
	struct guest *g = gx(state);
	const float two[4] = { 1, 2, 3, 4 }, three[4] = { 10, 20, 30, 40 };
	float sum[4];

	LOAD(g, mix);
	start_long(g, 0);
	g->st->gpr[X86_RAX] = 0xffffffff;
	g->st->gpr[X86_R9] = 0x99;
	memcpy(g->st->xsave + 160 + 16, two, 16);
	memcpy(g->st->xsave + 160 + 32, three, 16);
	store_le64(g->st->xsave + 160 + 48, 0x7766554433221100);
	set_state(g, 0);
	run_done(g, 0);
	assert_int_equal(g->ops->state_get(g->cpu[0], X86_STATE_GPR | X86_STATE_FPU, g->st), 0);
	assert_int_equal(g->st->gpr[X86_RAX], 0x100000000);
	assert_int_equal(g->st->gpr[X86_RBX], 0x7766554433221100);
	assert_int_equal(g->st->gpr[X86_R9], 0x99);
	assert_int_equal(g->st->rip, CODE + (g_mix_end - g_mix));
	memcpy(sum, g->st->xsave + 160 + 32, 16);
	for (unsigned i = 0; i < 4; i++)
		assert_true(sum[i] == (i + 1) * 11.0f);
}

static void groups_that_were_not_asked_for_are_left_alone(void **state)
{
	struct guest *g = gx(state);

	start_long(g, 0);
	memset(g->st, 0, sizeof(*g->st));
	g->st->gpr[X86_RBX] = 0x42;
	g->st->rip = 0x1234;
	assert_int_equal(g->ops->state_set(g->cpu[0], X86_STATE_GPR, g->st), 0);
	assert_int_equal(g->ops->state_get(g->cpu[0], X86_STATE_CTRL | X86_STATE_GPR, g->st), 0);
	assert_int_equal(g->st->cr3, PML4);
	assert_int_equal(g->st->rip, 0x1234);
	assert_int_equal(g->st->seg[X86_CS].sel, 0); /* not written by state_get either */
}

/* ------------------------------------------------------------------ bad ends, debug */

/* #GP for a selector behind the GDT, #DF because the IDT has no gate, and no gate for that */
GUEST(triple, 32, "lidt 1f - 77b + 0x1000\n mov $0xfff8, %ax\n mov %ax, %fs\n" DONE
      "1: .word 0\n .long 0\n");

static void triple_fault_is_a_shutdown(void **state)
{
	struct guest *g = gx(state);

	LOAD(g, triple);
	start_protected(g, 0);
	run_to(g, 0, ACCEL_EXIT_SHUTDOWN);
	assert_int_equal(g->num_out, 0);
}

GUEST(steps, 32, "nop\n inc %ecx\n inc %ecx\n nop\n" DONE);

static void single_step_stops_after_each_instruction(void **state)
{
	struct guest *g = gx(state);

	NEEDS(g, has(g, ACCEL_CAP_DEBUG), "it cannot debug");
	LOAD(g, steps);
	start_protected(g, 0);
	assert_int_equal(g->ops->debug_set(g->cpu[0], NULL, 0, true), 0);
	for (unsigned i = 1; i <= 3; i++) {
		run_to(g, 0, ACCEL_EXIT_DEBUG);
		assert_int_equal(g->ops->state_get(g->cpu[0], X86_STATE_GPR, g->st), 0);
		assert_int_equal(g->st->rip, CODE + i);
		assert_int_equal(g->st->gpr[X86_RCX], i - 1);
	}
	assert_int_equal(g->ops->debug_set(g->cpu[0], NULL, 0, false), 0);
	run_done(g, 0);
}

static void breakpoint_stops_before_its_instruction(void **state)
{
	struct guest *g = gx(state);
	const u64 at = CODE + 2;

	NEEDS(g, has(g, ACCEL_CAP_DEBUG), "it cannot debug");
	LOAD(g, steps);
	start_protected(g, 0);
	assert_int_equal(g->ops->debug_set(g->cpu[0], &at, 1, false), 0);
	run_to(g, 0, ACCEL_EXIT_DEBUG);
	assert_int_equal(g->ops->state_get(g->cpu[0], X86_STATE_GPR, g->st), 0);
	assert_int_equal(g->st->rip, at);
	assert_int_equal(g->st->gpr[X86_RCX], 1);
	assert_int_equal(g->ops->debug_set(g->cpu[0], NULL, 0, false), 0);
	run_done(g, 0);
	assert_int_equal(get_gpr(g, 0, X86_RCX), 2);
}

GUEST(tsc, 64, "rdtsc\n shl $32, %rdx\n or %rax, %rdx\n mov %rdx, %rbx\n"
      "mov $1000, %ecx\n 1: loop 1b\n rdtsc\n shl $32, %rdx\n or %rdx, %rax\n" DONE);

static void time_stamp_counter_counts_up(void **state)
{
	struct guest *g = gx(state);

	LOAD(g, tsc);
	start_long(g, 0);
	run_done(g, 0);
	assert_int_equal(g->ops->state_get(g->cpu[0], X86_STATE_GPR | X86_STATE_MSR, g->st), 0);
	assert_true(g->st->gpr[X86_RAX] > g->st->gpr[X86_RBX]);
	assert_true(g->st->msr.tsc > g->st->gpr[X86_RAX]);
}

static void clock_is_what_it_was_set_to(void **state)
{
	struct guest *g = gx(state);
	u64 ns = 0;

	NEEDS(g, has(g, ACCEL_CAP_CLOCK), "it has no clock");
	assert_int_equal(g->ops->clock_set(g->vm, 5000000000000), 0);
	assert_int_equal(g->ops->clock_get(g->vm, &ns), 0);
	assert_true(ns >= 5000000000000 && ns < 5100000000000);
}

static void statistics_are_lines_of_text(void **state)
{
	struct guest *g = gx(state);
	struct strbuf b = { 0 };

	g->ops->stats(g->vm, &b);
	assert_non_null(b.s);
	assert_int_equal(b.s[b.len - 1], '\n');
	strbuf_fini(&b);
}

static void side_by_side(const struct accel_ops *first, const struct accel_ops *second)
{
	struct guest *a = guest_create(first, 1, false), *b = guest_create(second, 1, false);
	struct runner ra, rb;
	struct watchdog wa, wb;

	LOAD(a, smc);
	LOAD(b, dma);
	start_long(a, 0);
	start_long(b, 0);
	b->hook = store_code;
	watchdog_start(&wa, a);
	watchdog_start(&wb, b);
	runner_start(&ra, a, 0);
	runner_start(&rb, b, 0);
	runner_join(&ra);
	runner_join(&rb);
	watchdog_stop(&wa);
	watchdog_stop(&wb);
	assert_int_equal(a->num_out, 8);
	assert_int_equal(b->num_out, 2);
	assert_out(b, 1, 0x99, 1);
	guest_destroy(a);
	guest_destroy(b);
}

static void vms_of_every_accelerator_live_side_by_side(void **state)
{
	struct guest *g = gx(state);
	struct accel_caps *caps = calloc(1, sizeof(*caps));

	for (unsigned i = 0; accel_all[i]; i++)
		if (!accel_all[i]->probe(caps))
			side_by_side(g->ops, accel_all[i]);
	free(caps);
}

/* ------------------------------------------------------------------------ the list */

#define T(fn) { #fn, fn }
static const struct { const char *name; void (*fn)(void **); } conformance[] = {
	T(probe_tells_a_plausible_cpu),
	T(ports_work_in_each_width_in_real_mode),
	T(port_that_nobody_answers_reads_as_ones),
	T(string_port_instructions_move_every_item),
	T(protected_mode_runs_32_bit_code),
	T(long_mode_runs_64_bit_code),
	T(guest_can_climb_from_real_to_long_mode),
	T(mmio_reaches_the_callback_in_each_width),
	T(string_moves_reach_mmio_item_by_item),
	T(unknown_msrs_reach_the_callback),
	T(msr_that_the_host_refuses_is_a_general_protection_fault),
	T(ignored_unknown_msr_reads_zero),
	T(guest_reads_the_cpuid_table_that_was_set),
	T(kick_before_run_is_not_lost),
	T(two_kicks_before_run_are_one),
	T(kick_gets_a_guest_out_of_an_endless_loop),
	T(kicks_neither_repeat_nor_swallow_port_accesses),
	T(hlt_with_interrupts_off_is_seen),
	T(kick_leaves_a_halted_cpu_halted),
	T(nmi_wakes_a_halted_cpu_even_with_interrupts_off),
	T(nmi_interrupts_running_code),
	T(interrupt_waits_until_the_flag_allows_it),
	T(interrupt_wakes_hlt),
	T(interrupt_that_went_away_is_not_delivered),
	T(cr8_is_the_hosts_task_priority),
	T(one_cpu_interrupts_the_other),
	T(line_reaches_the_guest_through_the_8259),
	T(msi_reaches_the_guest),
	T(eventfd_raises_the_message_that_its_route_says),
	T(doorbell_is_a_store_that_only_an_eventfd_sees),
	T(application_processor_starts_at_its_sipi_vector),
	T(application_processor_waits_until_it_is_started),
	T(locked_instructions_are_atomic_between_cpus),
	T(code_that_was_just_written_runs),
	T(code_that_a_device_wrote_runs),
	T(changed_page_table_entry_counts_after_invlpg_and_cr3),
	T(page_fault_gives_address_code_and_rip),
	T(stores_to_rom_go_to_the_callback),
	T(unmapped_ram_is_gone_and_may_come_back_elsewhere),
	T(dirty_log_names_written_pages_once),
	T(bad_slots_are_refused),
	T(state_comes_back_as_it_was_set),
	T(guest_runs_on_the_state_that_was_set_and_leaves_its_own),
	T(groups_that_were_not_asked_for_are_left_alone),
	T(triple_fault_is_a_shutdown),
	T(single_step_stops_after_each_instruction),
	T(breakpoint_stops_before_its_instruction),
	T(time_stamp_counter_counts_up),
	T(clock_is_what_it_was_set_to),
	T(statistics_are_lines_of_text),
	T(vms_of_every_accelerator_live_side_by_side),
};

static int setup(void **state)
{
	*state = guest_create(*state, 1, false);
	return 0;
}

static int teardown(void **state)
{
	guest_destroy(*state);
	return 0;
}

static void accelerator_does_not_open_here(void **state)
{
	const struct accel_ops *ops = *state;
	struct accel_caps *caps = calloc(1, sizeof(*caps));

	assert_true(ops->probe(caps) < 0);
	print_message("skipped: no %s: %s\n", ops->name, caps->why);
	free(caps);
	skip();
}

#define MAX_ACCELS 4
static struct CMUnitTest tests[MAX_ACCELS * ARRAY_LEN(conformance)];
static char names[ARRAY_LEN(tests)][96];

/* Arguments: names of accelerators; none: all. -x PATTERN leaves tests out */
static const char *leave_out[8];
static unsigned num_leave_out;

static bool left_out(const char *name)
{
	for (unsigned i = 0; i < num_leave_out; i++) {
		if (!fnmatch(leave_out[i], name, 0)) {
			print_message("left out: %s\n", name);
			return true;
		}
	}
	return false;
}

static bool wanted(const char *name, int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		if (!strcmp(argv[i], name))
			return true;
	return argc == 0;
}

int main(int argc, char **argv)
{
	struct accel_caps *caps = calloc(1, sizeof(*caps));
	size_t n = 0;

	argc--;
	argv++;
	for (; argc >= 2 && !strcmp(argv[0], "-x"); argc -= 2, argv += 2)
		if (num_leave_out < ARRAY_LEN(leave_out))
			leave_out[num_leave_out++] = argv[1];
	for (unsigned a = 0; a < MAX_ACCELS && accel_all[a]; a++) {
		const struct accel_ops *ops = accel_all[a];

		if (!wanted(ops->name, argc, argv))
			continue;
		memset(caps, 0, sizeof(*caps));
		if (ops->probe(caps)) {
			snprintf(names[n], sizeof(names[n]), "%s: does not open here", ops->name);
			tests[n] = (struct CMUnitTest){ .name = names[n],
							.test_func = accelerator_does_not_open_here,
							.initial_state = (void *)(uintptr_t)ops };
			n++;
			continue;
		}
		for (unsigned i = 0; i < ARRAY_LEN(conformance); i++) {
			if (left_out(conformance[i].name))
				continue;
			snprintf(names[n], sizeof(names[n]), "%s: %s", ops->name,
				 conformance[i].name);
			tests[n] = (struct CMUnitTest){ names[n], conformance[i].fn, setup, teardown,
							(void *)(uintptr_t)ops };
			n++;
		}
	}
	free(caps);
	return _cmocka_run_group_tests("accel", tests, n, NULL, NULL);
}
