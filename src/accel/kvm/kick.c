// SPDX-License-Identifier: BSD-2-Clause
/* accel/kvm/kick.c - Getting a thread out of KVM_RUN
 *
 * Two means, both needed: kvm_run.immediate_exit makes the next entry return at
 * once, a signal ends the present one. The flags (kicked, nmi_wanted) say why;
 * they are what counts and what is never lost:
 *
 *   kicker: flag = 1; immediate_exit = 1; tid = run_tid; if tid: signal it
 *   vCPU:   run_tid = own; immediate_exit = 0; look at the flags; KVM_RUN
 *
 * A kicker that still saw run_tid 0 has set its flag before the vCPU looks. One
 * whose flag the vCPU did not see sets immediate_exit after the vCPU cleared it,
 * so KVM_RUN returns. All of it is sequentially consistent.
 *
 * The signal is a real-time one, the highest that had no handler when the first
 * VM was made. Ours stays for the life of the process. It does nothing: delivery
 * alone ends KVM_RUN. If every one had a handler (Go programs), we share the
 * highest and pass on what did not come from here. */
#include "accel/kvm/hkvm.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"

/* Process-wide by nature; written once, under the once control */
static struct {
	pthread_once_t once;
	int signo; /* 0: could not be had */
	struct sigaction before;
} kick = { .once = PTHREAD_ONCE_INIT };

/* Marks signals from here: an address that no other sender has */
static const char kick_mark;

static void on_kick(int signo, siginfo_t *si, void *context)
{
	if (si->si_code == SI_QUEUE && si->si_value.sival_ptr == &kick_mark)
		return;
	if (kick.before.sa_flags & SA_SIGINFO)
		kick.before.sa_sigaction(signo, si, context);
	else if (kick.before.sa_handler != SIG_DFL && kick.before.sa_handler != SIG_IGN)
		kick.before.sa_handler(signo);
}

static void take_signal(void)
{
	/* SA_RESTART: other system calls of the thread go on; KVM_RUN ends all the same */
	struct sigaction sa = { .sa_sigaction = on_kick,
				.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK };
	struct sigaction old;
	int pick = SIGRTMAX;

	sigemptyset(&sa.sa_mask);
	for (int s = SIGRTMAX; s >= SIGRTMIN; s--) {
		if (!sigaction(s, NULL, &old) && !(old.sa_flags & SA_SIGINFO) &&
		    old.sa_handler == SIG_DFL) {
			pick = s;
			break;
		}
	}
	if (sigaction(pick, NULL, &kick.before) || sigaction(pick, &sa, NULL))
		return;
	kick.signo = pick;
}

int hkvm_kick_init(struct hk_err *err)
{
	pthread_once(&kick.once, take_signal);
	return kick.signo ? 0 : err_set(err, -EBUSY, "no signal to interrupt vCPUs with");
}

void hkvm_kick_enter(struct hkvm_vcpu *v)
{
	pid_t tid = (pid_t)syscall(SYS_gettid);

	if (v->unblocked_tid != tid) {
		sigset_t set;

		sigemptyset(&set);
		sigaddset(&set, kick.signo);
		pthread_sigmask(SIG_UNBLOCK, &set, NULL);
		v->unblocked_tid = tid;
	}
	atomic_store(&v->run_tid, tid);
}

void hkvm_kick_leave(struct hkvm_vcpu *v)
{
	atomic_store(&v->run_tid, 0);
}

void hkvm_interrupt(struct hkvm_vcpu *v)
{
	siginfo_t si;
	pid_t tid;
	int saved = errno;

	__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	tid = atomic_load(&v->run_tid);
	if (tid) {
		memset(&si, 0, sizeof(si));
		si.si_signo = kick.signo;
		si.si_code = SI_QUEUE;
		si.si_pid = getpid();
		si.si_uid = getuid();
		si.si_value.sival_ptr = (void *)(uintptr_t)&kick_mark;
		/* A full signal queue refuses marked signals, but never plain ones */
		if (syscall(SYS_rt_tgsigqueueinfo, si.si_pid, tid, kick.signo, &si) &&
		    errno == EAGAIN)
			syscall(SYS_tgkill, si.si_pid, tid, kick.signo);
	}
	errno = saved;
}

void hkvm_vcpu_kick(struct accel_vcpu *av)
{
	struct hkvm_vcpu *v = hkvm_vcpu(av);

	if (!atomic_exchange(&v->kicked, true))
		hkvm_interrupt(v);
}
