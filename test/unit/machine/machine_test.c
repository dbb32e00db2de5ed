// SPDX-License-Identifier: BSD-2-Clause
/* One VM over an accelerator that runs C functions instead of guest code: sleep and
 * wake-up, pause, every way to end, what the embedder is told.
 *
 * This program has its own accel_all and accel_choose, so that the real ones stay
 * out. No test sleeps; whoever waits has a time limit. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "machine/machine_int.h"

#define WAIT_MS 20000

/* ----------------------------------------------------- the accelerator */

struct fake_vm {
	struct accel_vm base;
	const struct accel_host *host;
	void *m;
};

struct fake_vcpu {
	struct accel_vcpu base;
	struct fake_vm *vm;
	unsigned cpu;
	_Atomic u32 work; /* 1 << enum accel_inject */
	_Atomic bool kicked, wait_sipi;
	int kick_fd; /* readable after a kick: for scripts that sleep inside */
	_Atomic u64 runs;
	bool halted, irqs_off;
	u64 step; /* the script's own */
};

/* What runs on a CPU: called by vcpu_run until it returns true, that is @info */
typedef bool script_fn(struct fake_vcpu *v, struct accel_exit_info *info);

static script_fn *_Atomic script[MACHINE_MAX_CPUS];
static u32 fake_caps;
static _Atomic unsigned in_run; /* threads inside vcpu_run */

static int fake_probe(struct accel_caps *caps)
{
	memset(caps, 0, sizeof(*caps));
	caps->bits = fake_caps;
	caps->fits_kernels = true;
	caps->max_cpus = 64;
	caps->tsc_hz = 1000000000;
	return 0;
}

static int fake_vm_create(struct accel_vm **out, const struct accel_vm_config *cfg,
			  struct hk_err *err)
{
	struct fake_vm *vm = calloc(1, sizeof(*vm));

	vm->host = cfg->host;
	vm->m = cfg->m;
	*out = &vm->base;
	return 0;
}

static void fake_vm_destroy(struct accel_vm *vm)
{
	free(vm);
}

static int fake_ram_map(struct accel_vm *vm, const struct accel_ram *ram)
{
	return 0;
}

static int fake_ram_unmap(struct accel_vm *vm, unsigned id)
{
	return 0;
}

static int fake_vcpu_create(struct accel_vm *vm, unsigned cpu, struct accel_vcpu **out,
			    struct hk_err *err)
{
	struct fake_vcpu *v = calloc(1, sizeof(*v));

	v->vm = (struct fake_vm *)vm;
	v->cpu = cpu;
	v->kick_fd = eventfd(0, EFD_NONBLOCK);
	*out = &v->base;
	return 0;
}

static void fake_vcpu_destroy(struct accel_vcpu *v)
{
	close(((struct fake_vcpu *)v)->kick_fd);
	free(v);
}

static int fake_cpuid_set(struct accel_vcpu *v, const struct cpuid_entry *t, unsigned n)
{
	return 0;
}

static int fake_vcpu_run(struct accel_vcpu *base, struct accel_exit_info *info)
{
	struct fake_vcpu *v = (struct fake_vcpu *)base;

	atomic_fetch_add(&in_run, 1);
	memset(info, 0, sizeof(*info));
	for (;;) {
		if (atomic_exchange(&v->kicked, false)) {
			info->exit = ACCEL_EXIT_KICKED;
			break;
		}
		if (atomic_fetch_and(&v->work, ~(1u << ACCEL_INJECT_SIPI)) & 1u << ACCEL_INJECT_SIPI)
			atomic_store(&v->wait_sipi, false);
		if (atomic_load(&v->wait_sipi)) {
			info->exit = ACCEL_EXIT_HLT;
			info->hlt_irqs_off = true;
			break;
		}
		atomic_fetch_add(&v->runs, 1);
		if (atomic_load(&script[v->cpu])(v, info))
			break;
		sched_yield();
	}
	atomic_fetch_sub(&in_run, 1);
	return 0;
}

static void fake_vcpu_kick(struct accel_vcpu *base)
{
	struct fake_vcpu *v = (struct fake_vcpu *)base;

	atomic_store(&v->kicked, true);
	eventfd_write(v->kick_fd, 1);
}

static int fake_state_get(struct accel_vcpu *base, u32 groups, struct x86_state *st)
{
	struct fake_vcpu *v = (struct fake_vcpu *)base;

	st->rip = 0x123456789a;
	st->rflags = 2 | (v->irqs_off ? 0 : X86_FLAG_IF);
	st->event.activity = atomic_load(&v->wait_sipi) ? X86_WAIT_SIPI :
			     v->halted ? X86_HALTED : X86_RUNNING;
	st->msr.tsc = 0;
	return 0;
}

static int fake_state_set(struct accel_vcpu *base, u32 groups, const struct x86_state *st)
{
	struct fake_vcpu *v = (struct fake_vcpu *)base;

	atomic_store(&v->wait_sipi, st->event.activity == X86_WAIT_SIPI);
	return 0;
}

static int fake_inject(struct accel_vcpu *base, enum accel_inject kind, u8 vector)
{
	atomic_fetch_or(&((struct fake_vcpu *)base)->work, 1u << kind);
	return 0;
}

static bool fake_has_work(struct accel_vcpu *base)
{
	struct fake_vcpu *v = (struct fake_vcpu *)base;

	/* While it waits for interrupts-off, INTR alone does not wake it */
	return atomic_load(&v->work) & (v->irqs_off ? ~(1u << ACCEL_INJECT_INTR) : ~0u);
}

static int fake_irq_line(struct accel_vm *vm, unsigned gsi, int level)
{
	return 0;
}

static int fake_msi(struct accel_vm *vm, u64 addr, u32 data)
{
	return 0;
}

static const struct accel_ops fake_ops = {
	.name = "fake",
	.probe = fake_probe,
	.vm_create = fake_vm_create,
	.vm_destroy = fake_vm_destroy,
	.ram_map = fake_ram_map,
	.ram_unmap = fake_ram_unmap,
	.vcpu_create = fake_vcpu_create,
	.vcpu_destroy = fake_vcpu_destroy,
	.cpuid_set = fake_cpuid_set,
	.vcpu_run = fake_vcpu_run,
	.vcpu_kick = fake_vcpu_kick,
	.state_get = fake_state_get,
	.state_set = fake_state_set,
	.inject = fake_inject,
	.has_work = fake_has_work,
	.irq_line = fake_irq_line,
	.msi = fake_msi,
};

const struct accel_ops *const accel_all[] = { &fake_ops, NULL };

int accel_choose(const char *name, const struct accel_ops **out, struct accel_caps *caps,
		 struct hk_err *err)
{
	if (name && strcmp(name, "auto") && strcmp(name, "fake"))
		return err_set(err, -EINVAL, "unknown accelerator %s", name);
	*out = &fake_ops;
	return fake_probe(caps);
}

/* --------------------------------------------------------- what scripts do */

static void out8(struct fake_vcpu *v, u16 port, u8 val)
{
	v->vm->host->pio(v->vm->m, v->cpu, port, &val, 1, true);
}

static bool halt(struct fake_vcpu *v, struct accel_exit_info *info, bool irqs_off)
{
	info->exit = ACCEL_EXIT_HLT;
	info->hlt_irqs_off = irqs_off;
	v->halted = true;
	v->irqs_off = irqs_off;
	return true;
}

static bool spin(struct fake_vcpu *v, struct accel_exit_info *info)
{
	return false;
}

static bool halt_off(struct fake_vcpu *v, struct accel_exit_info *info)
{
	return halt(v, info, true);
}

static bool halt_on(struct fake_vcpu *v, struct accel_exit_info *info)
{
	return halt(v, info, false);
}

static bool triple_fault(struct fake_vcpu *v, struct accel_exit_info *info)
{
	info->exit = ACCEL_EXIT_SHUTDOWN;
	return true;
}

static bool broken(struct fake_vcpu *v, struct accel_exit_info *info)
{
	info->exit = ACCEL_EXIT_BROKEN;
	snprintf(info->text, sizeof(info->text), "no such instruction");
	return true;
}

static bool reset_by_cf9(struct fake_vcpu *v, struct accel_exit_info *info)
{
	out8(v, 0xCF9, 6);
	return false;
}

static bool debug_exit_21(struct fake_vcpu *v, struct accel_exit_info *info)
{
	out8(v, 0xF4, 21);
	return false;
}

static bool odd_port(struct fake_vcpu *v, struct accel_exit_info *info)
{
	u16 val;

	v->vm->host->pio(v->vm->m, v->cpu, 0x1234, &val, 2, false);
	return false;
}

static bool acpi_on_then_spin(struct fake_vcpu *v, struct accel_exit_info *info)
{
	if (!v->step++)
		out8(v, 0xB2, 0xA0);
	return false;
}

/* ------------------------------------------------------------- the machine */

/* A kernel that is never looked at: the smallest multiboot image there is */
static char kernel_path[] = "/tmp/hk-machine-test-XXXXXX";

static int make_kernel(void **state)
{
	u32 image[16] = { 0x1BADB002, 0x00010000, -(0x1BADB002u + 0x00010000u),
			  0x100000, 0x100000, 0x100040, 0x100040, 0x100020 };
	int fd = mkstemp(kernel_path);

	if (fd < 0 || write(fd, image, sizeof(image)) != sizeof(image))
		return -1;
	return close(fd);
}

static int drop_kernel(void **state)
{
	return unlink(kernel_path);
}

static struct machine *make(unsigned cpus, u32 caps, unsigned flags)
{
	const struct hk_vm_config cfg = {
		.size = sizeof(cfg),
		.cpus = cpus,
		.memory_bytes = 16 << 20,
		.flags = flags,
	};
	struct hk_err err = { "" };
	struct machine *m;

	fake_caps = caps;
	for (unsigned i = 0; i < MACHINE_MAX_CPUS; i++)
		script[i] = spin;
	if (machine_create(&m, &cfg, &err))
		fail_msg("%s", err.text);
	if (machine_boot_multiboot(m, kernel_path, NULL, NULL, &err))
		fail_msg("%s", err.text);
	return m;
}

static void start(struct machine *m)
{
	struct hk_err err = { "" };

	if (machine_start(m, &err))
		fail_msg("%s", err.text);
}

/* Events up to the last, which is left in @ev */
static void expect_end(struct machine *m, enum hk_exit why, struct hk_event *ev)
{
	struct hk_event own;
	enum hk_exit got = HK_EXIT_NONE;

	if (!ev)
		ev = &own;
	assert_int_equal(machine_wait(m, WAIT_MS, &got), 0);
	assert_int_equal(got, why);
	do
		assert_int_equal(machine_next_event(m, ev), 0);
	while (ev->type != HK_EVENT_EXIT);
	assert_int_equal(ev->exit, why);
	assert_int_equal(atomic_load(&in_run), 0); /* told only when all have left */
}

static struct fake_vcpu *cpu(struct machine *m, unsigned i)
{
	return (struct fake_vcpu *)m->vcpu[i].av;
}

/* Until @i ran a little more */
static void wait_progress(struct machine *m, unsigned i)
{
	u64 at = atomic_load(&cpu(m, i)->runs);

	while (atomic_load(&cpu(m, i)->runs) < at + 3)
		sched_yield();
}

static void each_way_to_end_has_its_reason(void **state)
{
	static const struct { script_fn *fn; enum hk_exit why; } ways[] = {
		{ halt_off, HK_EXIT_HALT },
		{ triple_fault, HK_EXIT_TRIPLE_FAULT },
		{ broken, HK_EXIT_ERROR },
		{ reset_by_cf9, HK_EXIT_RESET },
		{ debug_exit_21, HK_EXIT_DEBUG },
	};

	for (unsigned i = 0; i < ARRAY_LEN(ways); i++) {
		struct machine *m = make(1, 0, HK_VM_DEBUG_EXIT);
		struct hk_event ev;

		script[0] = ways[i].fn;
		start(m);
		expect_end(m, ways[i].why, &ev);
		if (ways[i].why == HK_EXIT_DEBUG)
			assert_int_equal(ev.value, 43);
		if (ways[i].why == HK_EXIT_ERROR)
			assert_non_null(strstr(ev.text, "no such instruction"));
		machine_destroy(m);
	}
}

static void triple_fault_shows_registers_and_power_off_does_not(void **state)
{
	struct machine *m = make(2, 0, 0);

	script[0] = triple_fault;
	start(m);
	expect_end(m, HK_EXIT_TRIPLE_FAULT, NULL);
	assert_non_null(strstr(machine_fault_text(m), "123456789a"));
	machine_destroy(m);

	m = make(1, 0, 0);
	script[0] = reset_by_cf9;
	start(m);
	expect_end(m, HK_EXIT_RESET, NULL);
	assert_string_equal(machine_fault_text(m), "");
	machine_destroy(m);
}

static void debug_exit_port_is_absent_unless_asked_for(void **state)
{
	struct machine *m = make(1, 0, HK_VM_STRICT_IO);
	struct hk_event ev;

	script[0] = debug_exit_21;
	start(m);
	expect_end(m, HK_EXIT_ERROR, &ev);
	assert_string_equal(ev.text, "Unhandled outb 0x00f4 at 0x123456789a");
	machine_destroy(m);
}

static void unclaimed_port_ends_the_vm_only_when_strict(void **state)
{
	struct machine *m = make(1, 0, HK_VM_STRICT_IO);
	struct hk_event ev;

	script[0] = odd_port;
	start(m);
	expect_end(m, HK_EXIT_ERROR, &ev);
	assert_string_equal(ev.text, "Unhandled inw 0x1234 at 0x123456789a");
	machine_destroy(m);

	m = make(1, 0, 0);
	script[0] = odd_port;
	start(m);
	wait_progress(m, 0);
	machine_stop(m);
	expect_end(m, HK_EXIT_STOPPED, NULL);
	machine_destroy(m);
}

static void unstarted_processors_do_not_keep_a_halted_vm_alive(void **state)
{
	struct machine *m = make(4, 0, 0);

	script[0] = halt_off;
	start(m);
	expect_end(m, HK_EXIT_HALT, NULL);
	machine_destroy(m);
}

static void a_running_processor_keeps_the_vm_alive(void **state)
{
	struct machine *m = make(2, 0, 0);

	start(m);
	machine_apic_sink.sipi(m, 1, 0x10);
	wait_progress(m, 1);
	script[0] = halt_off;
	while (!atomic_load(&m->vcpu[0].halted_off))
		sched_yield();
	wait_progress(m, 1);
	assert_int_equal(machine_wait(m, 0, NULL), -ETIMEDOUT);
	script[1] = halt_off;
	expect_end(m, HK_EXIT_HALT, NULL);
	machine_destroy(m);
}

/* An accelerator with its own LAPIC sleeps in its own way and reports nothing */
static bool halted_inside(struct fake_vcpu *v, struct accel_exit_info *info)
{
	struct pollfd p = { .fd = v->kick_fd, .events = POLLIN };
	eventfd_t n;

	v->halted = true;
	v->irqs_off = v->cpu != 1;
	poll(&p, 1, WAIT_MS); /* as KVM_RUN: takes no CPU time until kicked */
	eventfd_read(v->kick_fd, &n);
	return false;
}

static void halt_inside_the_accelerator_is_found(void **state)
{
	struct machine *m = make(1, ACCEL_CAP_LAPIC | ACCEL_CAP_IOAPIC, 0);

	script[0] = halted_inside;
	start(m);
	expect_end(m, HK_EXIT_HALT, NULL);
	machine_destroy(m);
}

static void one_cpu_with_interrupts_on_is_not_halted_for_good(void **state)
{
	struct machine *m = make(2, ACCEL_CAP_LAPIC, 0);
	bool asked = true;

	script[1] = halted_inside;
	start(m);
	machine_apic_sink.sipi(m, 1, 0x10);
	while (!atomic_load(&cpu(m, 1)->runs))
		sched_yield();
	script[0] = halted_inside;
	pthread_mutex_lock(&m->park_lock);
	m->halt_check = true;
	atomic_store(&m->attention, true);
	pthread_mutex_unlock(&m->park_lock);
	vcpus_kick_all(m);
	while (asked) { /* the answer was no, and both go on */
		sched_yield();
		pthread_mutex_lock(&m->park_lock);
		asked = m->halt_check;
		pthread_mutex_unlock(&m->park_lock);
	}
	assert_int_equal(machine_wait(m, 0, NULL), -ETIMEDOUT);
	machine_destroy(m);
}

/* Two CPUs wake each other with an interrupt and sleep until the answer. If a wake-up
 * is lost both sleep for ever, which the time limit of the wait finds. */
#define PINGS 20000
static bool ping_pong(struct fake_vcpu *v, struct accel_exit_info *info)
{
	if (v->step && !(atomic_fetch_and(&v->work, ~(1u << ACCEL_INJECT_INTR)) &
			 1u << ACCEL_INJECT_INTR))
		return halt(v, info, false);
	if (v->step++ == PINGS) {
		out8(v, 0xF4, 0);
		return false;
	}
	if (v->step > 1 || v->cpu == 0)
		machine_apic_sink.intr(v->vm->m, !v->cpu);
	return false;
}

static void no_wake_up_is_lost(void **state)
{
	struct machine *m = make(2, 0, HK_VM_DEBUG_EXIT);

	script[0] = script[1] = ping_pong;
	start(m);
	machine_apic_sink.sipi(m, 1, 0x10);
	expect_end(m, HK_EXIT_DEBUG, NULL);
	machine_destroy(m);
}

static void paused_cpus_stand_still_until_resumed(void **state)
{
	struct machine *m = make(2, 0, 0);
	struct hk_event ev;
	u64 at[2];

	script[1] = halt_on; /* one spins, one sleeps */
	start(m);
	machine_apic_sink.sipi(m, 1, 0x10);
	wait_progress(m, 0);
	assert_int_equal(machine_resume(m), -EALREADY);
	for (int round = 0; round < 20; round++) {
		assert_int_equal(machine_pause(m), 0);
		assert_int_equal(machine_pause(m), -EALREADY);
		assert_int_equal(atomic_load(&in_run), 0);
		at[0] = atomic_load(&cpu(m, 0)->runs);
		machine_apic_sink.intr(m, 1); /* work arrives; nobody runs */
		for (int i = 0; i < 100; i++)
			sched_yield();
		assert_int_equal(atomic_load(&cpu(m, 0)->runs), at[0]);
		assert_int_equal(machine_resume(m), 0);
		wait_progress(m, 0);
	}
	assert_int_equal(machine_next_event(m, &ev), 0);
	assert_int_equal(ev.type, HK_EVENT_PAUSED);
	assert_int_equal(machine_next_event(m, &ev), 0);
	assert_int_equal(ev.type, HK_EVENT_RESUMED);
	machine_stop(m);
	expect_end(m, HK_EXIT_STOPPED, NULL);
	machine_destroy(m);
}

static _Atomic unsigned timer_ran;

static void count_timer(void *arg)
{
	atomic_fetch_add(&timer_ran, 1);
}

static void no_timer_fires_while_paused(void **state)
{
	struct machine *m = make(1, 0, 0);
	struct timer t;

	start(m);
	atomic_store(&timer_ran, 0);
	timer_init(&t, m->loop, count_timer, NULL);
	assert_int_equal(machine_pause(m), 0);
	timer_arm(&t, 1); /* due for long */
	for (int i = 0; i < 1000; i++)
		sched_yield();
	assert_int_equal(atomic_load(&timer_ran), 0);
	assert_int_equal(machine_resume(m), 0);
	while (!atomic_load(&timer_ran))
		sched_yield();
	machine_destroy(m);
}

static void ask_for_pause(void *arg)
{
	struct machine *m = arg;

	m->env.request_pause(m, "disk 0:3.0: full");
	m->env.request_pause(m, "another one"); /* asked already */
}

static void a_device_may_ask_for_a_pause_from_the_loop(void **state)
{
	struct machine *m = make(2, 0, 0);
	struct hk_event ev = { 0 };
	struct pollfd fd;
	u64 at;

	start(m);
	machine_apic_sink.sipi(m, 1, 0x10);
	fd = (struct pollfd){ .fd = machine_event_fd(m), .events = POLLIN };
	for (int round = 0; round < 20; round++) {
		wait_progress(m, 0);
		assert_int_equal(loop_call(m->loop, ask_for_pause, m), 0);
		assert_int_equal(poll(&fd, 1, 10000), 1);
		assert_int_equal(machine_next_event(m, &ev), 0);
		assert_int_equal(ev.type, HK_EVENT_PAUSED);
		assert_string_equal(ev.text, "disk 0:3.0: full");
		/* it stands still when it says so */
		assert_int_equal(atomic_load(&in_run), 0);
		at = atomic_load(&cpu(m, 0)->runs);
		assert_int_equal(machine_pause(m), -EALREADY);
		for (int i = 0; i < 100; i++)
			sched_yield();
		assert_int_equal(atomic_load(&cpu(m, 0)->runs), at);
		assert_int_equal(machine_resume(m), 0);
		assert_int_equal(machine_next_event(m, &ev), 0);
		assert_int_equal(ev.type, HK_EVENT_RESUMED);
		assert_int_equal(ev.text[0], 0);
	}
	/* the end comes through */
	assert_int_equal(loop_call(m->loop, ask_for_pause, m), 0);
	machine_stop(m);
	machine_destroy(m);
}

/* A request that is tried again at a resume and fails again: nobody else has moved yet */
static void a_device_may_ask_again_at_once(void **state)
{
	struct machine *m = make(2, 0, 0);
	struct hk_event ev = { 0 };
	struct pollfd fd;
	struct timer t;

	start(m);
	machine_apic_sink.sipi(m, 1, 0x10);
	fd = (struct pollfd){ .fd = machine_event_fd(m), .events = POLLIN };
	timer_init(&t, m->loop, ask_for_pause, m);
	timer_arm(&t, 1);
	for (unsigned round = 0; round < 2000; round++) {
		assert_int_equal(poll(&fd, 1, 10000), 1);
		assert_int_equal(machine_next_event(m, &ev), 0);
		assert_int_equal(ev.type, HK_EVENT_PAUSED);
		timer_arm(&t, 1); /* due for long: as soon as the loop runs */
		assert_int_equal(machine_resume(m), 0);
		assert_int_equal(machine_next_event(m, &ev), 0);
		assert_int_equal(ev.type, HK_EVENT_RESUMED);
	}
	machine_destroy(m);
}

static void a_paused_vm_can_be_stopped_and_destroyed(void **state)
{
	struct machine *m = make(3, 0, 0);

	start(m);
	assert_int_equal(machine_pause(m), 0);
	machine_stop(m);
	expect_end(m, HK_EXIT_STOPPED, NULL);
	assert_int_equal(machine_pause(m), -ESRCH);
	machine_destroy(m);

	m = make(3, 0, 0);
	start(m);
	assert_int_equal(machine_pause(m), 0);
	machine_destroy(m);
}

static void a_vm_that_never_ran_can_be_stopped(void **state)
{
	struct machine *m = make(1, 0, 0);

	machine_stop(m);
	expect_end(m, HK_EXIT_STOPPED, NULL);
	machine_destroy(m);
}

static void start_without_a_kernel_fails_and_ends_the_wait(void **state)
{
	const struct hk_vm_config cfg = { .size = sizeof(cfg) };
	struct hk_err err = { "" };
	struct machine *m;
	enum hk_exit why;

	fake_caps = 0;
	assert_int_equal(machine_create(&m, &cfg, &err), 0);
	assert_int_equal(machine_start(m, &err), -EINVAL);
	assert_non_null(strstr(err.text, "no kernel"));
	assert_int_equal(machine_wait(m, WAIT_MS, &why), 0);
	assert_int_equal(why, HK_EXIT_ERROR);
	assert_int_equal(machine_start(m, &err), -EBUSY);
	machine_destroy(m);
}

static void acpi_switch_reaches_the_embedder(void **state)
{
	struct machine *m = make(1, 0, 0);
	struct pollfd p = { .fd = machine_event_fd(m), .events = POLLIN };
	struct hk_event ev;

	script[0] = acpi_on_then_spin;
	start(m);
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_int_equal(machine_next_event(m, &ev), 0);
	assert_int_equal(ev.type, HK_EVENT_ACPI_ENABLED);
	assert_int_equal(ev.value, 1);
	machine_power_button(m);
	machine_destroy(m);
}

static void bad_numbers_are_refused_with_words(void **state)
{
	static const struct { unsigned cpus; u64 mem; const char *uuid, *accel, *words; } bad[] = {
		{ 65, 0, NULL, NULL, "65 vCPUs" },
		{ 1, 4097, NULL, NULL, "multiple of 4096" },
		{ 1, 4096, NULL, NULL, "below 1 MiB" },
		{ 1, 1ull << 62, NULL, NULL, "does not fit" },
		{ 1, 0, "no-uuid", NULL, "not a UUID" },
		{ 1, 0, "00000000-0000-0000-0000-00000000000g", NULL, "not a UUID" },
		{ 1, 0, NULL, "abacus", "abacus" },
	};

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		const struct hk_vm_config cfg = {
			.size = sizeof(cfg), .cpus = bad[i].cpus, .memory_bytes = bad[i].mem,
			.uuid = bad[i].uuid, .accel = bad[i].accel,
		};
		struct hk_err err = { "" };
		struct machine *m;

		fake_caps = 0;
		assert_true(machine_create(&m, &cfg, &err) < 0);
		assert_null(m);
		if (!strstr(err.text, bad[i].words))
			fail_msg("row %u: %s", i, err.text);
	}
}

static void slots_are_checked(void **state)
{
	struct machine *m = make(1, 0, 0);
	struct hk_err err;

	assert_int_equal(machine_add_device(m, 0, 0, 0, "hostbridge", NULL, &err), 0);
	assert_int_equal(machine_add_device(m, 0, 31, 0, "lpc", NULL, &err), 0);
	assert_int_equal(machine_add_device(m, 0, 0, 0, "dummy", NULL, &err), -EBUSY);
	assert_string_equal(err.text, "pci slot 0:0 already occupied!");
	assert_int_equal(machine_add_device(m, 0, 5, 0, "lpc", NULL, &err), -EBUSY);
	assert_int_equal(machine_add_device(m, 0, 32, 0, "dummy", NULL, &err), -EINVAL);
	assert_int_equal(machine_add_device(m, 0, 1, 8, "dummy", NULL, &err), -EINVAL);
	assert_int_equal(machine_add_device(m, 256, 1, 0, "dummy", NULL, &err), -EINVAL);
	assert_int_equal(machine_add_device(m, 0, 1, 2, "virtio-bulk", NULL, &err), -ENODEV);
	assert_string_equal(err.text, "pci slot 1:2: unknown device \"virtio-bulk\"");
	script[0] = halt_off;
	start(m);
	assert_int_equal(machine_add_device(m, 0, 7, 0, "dummy", NULL, &err), -EBUSY);
	expect_end(m, HK_EXIT_HALT, NULL);
	machine_destroy(m);
}

struct msr_try {
	u32 index;
	bool write;
	u64 val;
	int want;
	u64 want_val;
};

static const struct msr_try msr_tries[] = {
	{ 0x1B, false, 0, 0, 0xFEE00900 },	  /* our LAPIC's base */
	{ 0x8B, false, 0, 0, 0 },		  /* microcode revision */
	{ 0x79, true, 1, 0, 1 },		  /* microcode update: ignored */
	{ 0x606, false, 0, 0, 0xA1003 },	  /* RAPL units */
	{ 0xC0011029, false, 0, 0, 2 },		  /* LFENCE serializes */
	{ 0x12345, false, 0, -EINVAL, 0 },
	{ 0x12345, true, 0, -EINVAL, 0 },
};
static bool msr_result[ARRAY_LEN(msr_tries)];

static bool try_msrs(struct fake_vcpu *v, struct accel_exit_info *info)
{
	for (unsigned i = 0; i < ARRAY_LEN(msr_tries); i++) {
		const struct msr_try *t = &msr_tries[i];
		u64 val = t->val;
		int rc = v->vm->host->msr(v->vm->m, v->cpu, t->index, &val, t->write);

		msr_result[i] = rc == t->want && (rc || val == t->want_val);
	}
	return halt(v, info, true);
}

static void known_msrs_answer_and_others_fault(void **state)
{
	struct machine *m = make(1, 0, 0);

	script[0] = try_msrs;
	start(m);
	expect_end(m, HK_EXIT_HALT, NULL);
	for (unsigned i = 0; i < ARRAY_LEN(msr_tries); i++)
		if (!msr_result[i])
			fail_msg("MSR %x %s", msr_tries[i].index, msr_tries[i].write ? "write" : "read");
	machine_destroy(m);
}

static bool read_lapic(struct fake_vcpu *v, struct accel_exit_info *info)
{
	const struct accel_host *h = v->vm->host;
	u32 id = ~0u, version = 0, outside = 0;

	h->mmio(v->vm->m, v->cpu, 0xFEE00020, &id, 4, false);
	h->mmio(v->vm->m, v->cpu, 0xFEE00030, &version, 4, false);
	h->mmio(v->vm->m, v->cpu, 0xFED80000, &outside, 4, false);
	v->step = id == v->cpu << 24 && (version & 0xf0) == 0x10 && outside == ~0u;
	return halt(v, info, true);
}

static void each_cpu_sees_its_own_lapic_page(void **state)
{
	struct machine *m = make(2, 0, 0);

	script[1] = read_lapic;
	start(m);
	machine_apic_sink.sipi(m, 1, 0x10);
	while (!atomic_load(&cpu(m, 1)->runs))
		sched_yield();
	script[0] = read_lapic;
	expect_end(m, HK_EXIT_HALT, NULL);
	assert_int_equal(cpu(m, 0)->step, 1);
	assert_int_equal(cpu(m, 1)->step, 1);
	machine_destroy(m);
}

static void statistics_fit_any_buffer(void **state)
{
	struct machine *m = make(1, 0, 0);
	char buf[16] = "x";
	size_t need;

	need = machine_stats(m, NULL, 0);
	assert_true(need > sizeof(buf));
	assert_true(machine_stats(m, buf, sizeof(buf)) >= sizeof(buf));
	assert_int_equal(strlen(buf), sizeof(buf) - 1);
	assert_memory_equal(buf, "accel fake\n", 11);
	machine_destroy(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_way_to_end_has_its_reason),
		cmocka_unit_test(triple_fault_shows_registers_and_power_off_does_not),
		cmocka_unit_test(debug_exit_port_is_absent_unless_asked_for),
		cmocka_unit_test(unclaimed_port_ends_the_vm_only_when_strict),
		cmocka_unit_test(unstarted_processors_do_not_keep_a_halted_vm_alive),
		cmocka_unit_test(a_running_processor_keeps_the_vm_alive),
		cmocka_unit_test(halt_inside_the_accelerator_is_found),
		cmocka_unit_test(one_cpu_with_interrupts_on_is_not_halted_for_good),
		cmocka_unit_test(no_wake_up_is_lost),
		cmocka_unit_test(paused_cpus_stand_still_until_resumed),
		cmocka_unit_test(no_timer_fires_while_paused),
		cmocka_unit_test(a_device_may_ask_for_a_pause_from_the_loop),
		cmocka_unit_test(a_device_may_ask_again_at_once),
		cmocka_unit_test(a_paused_vm_can_be_stopped_and_destroyed),
		cmocka_unit_test(a_vm_that_never_ran_can_be_stopped),
		cmocka_unit_test(start_without_a_kernel_fails_and_ends_the_wait),
		cmocka_unit_test(acpi_switch_reaches_the_embedder),
		cmocka_unit_test(bad_numbers_are_refused_with_words),
		cmocka_unit_test(slots_are_checked),
		cmocka_unit_test(known_msrs_answer_and_others_fault),
		cmocka_unit_test(each_cpu_sees_its_own_lapic_page),
		cmocka_unit_test(statistics_fit_any_buffer),
	};

	return cmocka_run_group_tests(tests, make_kernel, drop_kernel);
}
