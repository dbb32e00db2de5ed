// SPDX-License-Identifier: BSD-2-Clause
/* test/unit/accel/soft/fault_test.c - Whose signal it is
 *
 * One process installs handlers once, so the order matters here: the test's own
 * handlers go first and must still get what is not the software CPU's. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <sys/ucontext.h>

#include "accel/soft/fault/fault.h"

static sigjmp_buf back;
static volatile int seen, hooked;

static void on_signal(int sig, siginfo_t *si, void *uc)
{
	seen = sig;
	siglongjmp(back, 1);
}

static const int signals[] = { SIGSEGV, SIGFPE, SIGBUS };
static struct sigaction ours[ARRAY_LEN(signals)];

static int install(void **state)
{
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGFPE, &sa, NULL);
	signal(SIGBUS, SIG_DFL);
	if (sc_fault_install() || sc_fault_install())
		return -1;
	for (unsigned i = 0; i < ARRAY_LEN(signals); i++)
		sigaction(signals[i], NULL, &ours[i]);
	return 0;
}

/* cmocka puts handlers of its own in place for each test */
static void put_back(void)
{
	for (unsigned i = 0; i < ARRAY_LEN(signals); i++)
		sigaction(signals[i], &ours[i], NULL);
}

static void divide(void)
{
	__asm__ volatile("xor %%edx, %%edx; mov $1, %%eax; xor %%ecx, %%ecx; div %%ecx"
			 : : : "eax", "ecx", "edx", "cc");
}

static bool hook_no(struct sc_vcpu *v, struct sc_fault *f)
{
	hooked = f->sig;
	return false;
}

/* Goes on behind the two bytes of DIV */
static bool hook_yes(struct sc_vcpu *v, struct sc_fault *f)
{
	hooked = f->sig;
	assert_int_equal(sc_fault_vector(f, false), X86_VEC_DE);
	f->gregs[REG_RIP] += 2;
	return true;
}

static void thread_without_a_vcpu_keeps_its_own_handler(void **state)
{
	put_back();
	seen = hooked = 0;
	if (!sigsetjmp(back, 1))
		divide();
	assert_int_equal(seen, SIGFPE);
}

static void unclaimed_signal_of_a_vcpu_thread_goes_to_the_previous_handler(void **state)
{
	static struct sc_vcpu v;

	put_back();
	seen = hooked = 0;
	sc_fault_enter(&v, hook_no);
	if (!sigsetjmp(back, 1))
		divide();
	sc_fault_leave();
	assert_int_equal(hooked, SIGFPE);
	assert_int_equal(seen, SIGFPE);
}

static void claimed_signal_continues_where_the_hook_says(void **state)
{
	static struct sc_vcpu v;

	put_back();
	seen = hooked = 0;
	sc_fault_enter(&v, hook_yes);
	divide();
	sc_fault_leave();
	assert_int_equal(hooked, SIGFPE);
	assert_int_equal(seen, 0);
}

static void sent_signal_is_not_offered_to_the_hook(void **state)
{
	static struct sc_vcpu v;

	put_back();
	seen = hooked = 0;
	sc_fault_enter(&v, hook_yes);
	if (!sigsetjmp(back, 1))
		raise(SIGFPE);
	sc_fault_leave();
	assert_int_equal(hooked, 0);
	assert_int_equal(seen, SIGFPE);
}

static void without_a_previous_handler_the_process_dies_of_it(void **state)
{
	int status;
	pid_t pid;

	put_back();
	pid = fork();
	if (!pid) {
		/* SIGBUS had the default action when the handlers were installed */
		volatile char *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, memfd_create("x", 0), 0);

		alarm(20);
		(void)*p;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGBUS);
	pid = fork();
	if (!pid) {
		alarm(20);
		kill(getpid(), SIGBUS);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGBUS);
}

static void signals_name_the_guests_exception(void **state)
{
	struct sc_fault f = { .sig = SIGFPE, .code = FPE_FLTDIV };

	assert_int_equal(sc_fault_vector(&f, true), X86_VEC_MF);
	assert_int_equal(sc_fault_vector(&f, false), X86_VEC_XM);
	f = (struct sc_fault){ .sig = SIGSEGV, .code = SI_KERNEL };
	assert_int_equal(sc_fault_vector(&f, false), X86_VEC_GP);
	f = (struct sc_fault){ .sig = SIGSEGV, .code = SEGV_MAPERR, .addr = 0x1000 };
	assert_int_equal(sc_fault_vector(&f, false), -1);
	f = (struct sc_fault){ .sig = SIGILL, .code = ILL_ILLOPN };
	assert_int_equal(sc_fault_vector(&f, false), X86_VEC_UD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(thread_without_a_vcpu_keeps_its_own_handler),
		cmocka_unit_test(unclaimed_signal_of_a_vcpu_thread_goes_to_the_previous_handler),
		cmocka_unit_test(claimed_signal_continues_where_the_hook_says),
		cmocka_unit_test(sent_signal_is_not_offered_to_the_hook),
		cmocka_unit_test(without_a_previous_handler_the_process_dies_of_it),
		cmocka_unit_test(signals_name_the_guests_exception),
	};

	return cmocka_run_group_tests(tests, install, NULL);
}
