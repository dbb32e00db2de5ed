// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/fault/fault.c - Signal handlers of the software CPU
 *
 * The handlers are process state by nature, hence the static data here: installed once,
 * never removed (somebody may have chained on top of them). Which vCPU a thread runs is
 * thread-local, so threads that are not vCPUs fall through to the previous handler.
 *
 * The handlers touch no vector register, though they could: the kernel has saved the
 * guest's and restores them on return. */
#include "accel/soft/fault/fault.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "accel/soft/interp/native.h"

static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
static struct sigaction previous[ARRAY_LEN(signals)];

/* initial-exec: reached without a call that might allocate */
static __thread __attribute__((tls_model("initial-exec"))) struct sc_vcpu *current;
static __thread __attribute__((tls_model("initial-exec"))) sc_fault_hook *current_hook;

int sc_fault_vector(const struct sc_fault *f, bool x87)
{
	switch (f->sig) {
	case SIGFPE:
		/* The kernel names #DE FPE_INTDIV; #MF and #XM share the other codes */
		if (f->code == FPE_INTDIV)
			return X86_VEC_DE;
		return x87 ? X86_VEC_MF : X86_VEC_XM;
	case SIGSEGV:
		/* #GP arrives without an address. With one the access itself was bad: the
		 * guest's own accesses are checked before, so that is a bug of ours. */
		return f->code == SI_KERNEL ? X86_VEC_GP : -1;
	case SIGILL:
		return X86_VEC_UD;
	default:
		return -1;
	}
}

static void chain(int sig, siginfo_t *si, void *uc)
{
	struct sigaction *prev = NULL, dfl = { .sa_handler = SIG_DFL };

	for (unsigned i = 0; i < ARRAY_LEN(signals); i++)
		if (signals[i] == sig)
			prev = &previous[i];
	if (prev && prev->sa_flags & SA_SIGINFO) {
		prev->sa_sigaction(sig, si, uc);
	} else if (prev && prev->sa_handler != SIG_DFL && prev->sa_handler != SIG_IGN) {
		prev->sa_handler(sig);
	} else if (prev && prev->sa_handler == SIG_IGN && si->si_code <= 0) {
		return; /* kill(2) of a signal the process ignores */
	} else {
		/* Die of it as if we were not here: a real fault happens again on return, a
		 * sent one has to be sent again */
		sigaction(sig, &dfl, NULL);
		if (si->si_code <= 0)
			syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), sig);
	}
}

static void on_signal(int sig, siginfo_t *si, void *ucp)
{
	ucontext_t *uc = ucp;
	struct sc_vcpu *v = current;
	struct sc_fault f = {
		.sig = sig,
		.code = si->si_code,
		.addr = (u64)si->si_addr,
		.pc = uc->uc_mcontext.gregs[REG_RIP],
		.gregs = uc->uc_mcontext.gregs,
	};
	int saved = errno;

	/* si_code <= 0: sent by kill, tgkill, sigqueue; it has nothing to do with f.pc.
	 * SI_KERNEL is positive. */
	if (v && si->si_code > 0) {
		bool ours = sc_native_fault(v, &f);

		if (ours)
			v->stats.left_fault++; /* the hook counts what it takes */
		else
			ours = current_hook && current_hook(v, &f);
		if (ours) {
			errno = saved;
			return;
		}
	}
	chain(sig, si, ucp);
	errno = saved;
}

static int install_result;
static void install(void)
{
	struct sigaction sa = {
		.sa_sigaction = on_signal,
		/* ONSTACK: whoever embeds us may want it; NODEFER not, a fault inside the
		 * handler must kill instead of recurse */
		.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART,
	};

	sigemptyset(&sa.sa_mask);
	for (unsigned i = 0; i < ARRAY_LEN(signals); i++) {
		/* Two calls: previous[] must be valid before the handler can run */
		if (sigaction(signals[i], NULL, &previous[i]) ||
		    sigaction(signals[i], &sa, NULL)) {
			install_result = -errno;
			return;
		}
	}
}

int sc_fault_install(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, install);
	return install_result;
}

void sc_fault_enter(struct sc_vcpu *v, sc_fault_hook *hook)
{
	current_hook = hook;
	/* The handler runs on this thread: order for the compiler is enough */
	atomic_signal_fence(memory_order_seq_cst);
	current = v;
}

void sc_fault_leave(void)
{
	current = NULL;
	atomic_signal_fence(memory_order_seq_cst);
	current_hook = NULL;
}
