// SPDX-License-Identifier: BSD-2-Clause
/* machine/vcpu.c - One thread per vCPU: run, sleep after HLT, leave at the end
 *
 * A wake-up must never be lost. Whoever makes work for a CPU does so first
 * (accel_ops.inject) and calls vcpu_wake() after; a thread that wants to sleep
 * says so first (->sleeping) and looks for work after. Both orders are
 * sequentially consistent, so at least one of the two sees the other. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/thread.h"
#include "machine/machine_int.h"

void vcpu_wake(struct vcpu *v)
{
	atomic_store(&v->wake, true);
	if (!atomic_load(&v->sleeping))
		return;
	pthread_mutex_lock(&v->lock);
	pthread_cond_signal(&v->cond);
	pthread_mutex_unlock(&v->lock);
}

void vcpus_kick_all(struct machine *m)
{
	for (unsigned i = 0; i < m->num_vcpus; i++) {
		m->ops->vcpu_kick(m->vcpu[i].av);
		vcpu_wake(&m->vcpu[i]);
	}
}

/* HyperKit ends the process when every started CPU executed HLT with interrupts
 * disabled: no interrupt can ever wake them. An NMI, INIT or SIPI still under way
 * to one of them shows in has_work. */
static void end_if_all_halted(struct machine *m)
{
	for (unsigned i = 0; i < m->num_vcpus; i++) {
		struct vcpu *v = &m->vcpu[i];

		if (!atomic_load(&v->halted_off) || m->ops->has_work(v->av))
			return;
	}
	machine_request_exit(m, HK_EXIT_HALT, 0, "every CPU halted with interrupts off");
}

static bool stay_asleep(struct vcpu *v)
{
	return !atomic_load(&v->m->attention) && !atomic_exchange(&v->wake, false) &&
	       !v->m->ops->has_work(v->av);
}

/* Our LAPIC's timer is served by the sleeper itself: no other thread has to run first */
static u64 sleep_deadline(struct vcpu *v)
{
	return v->m->apics ? apics_timer_deadline(v->m->apics, v->cpu) : ~0ull;
}

static void sleep_halted(struct vcpu *v, bool irqs_off)
{
	struct machine *m = v->m;

	atomic_fetch_add_explicit(&v->hlts, 1, memory_order_relaxed);
	if (irqs_off || !atomic_load(&v->started)) {
		atomic_store(&v->halted_off, true);
		end_if_all_halted(m);
	}
	pthread_mutex_lock(&v->lock);
	atomic_store(&v->sleeping, true);
	while (stay_asleep(v)) {
		u64 deadline = sleep_deadline(v);
		struct timespec ts = { .tv_sec = deadline / NS_PER_SEC,
				       .tv_nsec = deadline % NS_PER_SEC };

		if (deadline == ~0ull) {
			pthread_cond_wait(&v->cond, &v->lock);
			continue;
		}
		if (pthread_cond_timedwait(&v->cond, &v->lock, &ts) != ETIMEDOUT)
			continue;
		/* The LAPIC answers through vcpu_wake(), which takes the lock */
		pthread_mutex_unlock(&v->lock);
		apics_timer_poll(m->apics, v->cpu);
		pthread_mutex_lock(&v->lock);
	}
	atomic_store(&v->sleeping, false);
	pthread_mutex_unlock(&v->lock);
	atomic_store(&v->halted_off, false);
}

static void run_once(struct vcpu *v)
{
	struct machine *m = v->m;
	struct accel_exit_info info = { .exit = ACCEL_EXIT_KICKED };
	int rc = m->ops->vcpu_run(v->av, &info);

	if (rc) {
		machine_request_exit(m, HK_EXIT_ERROR, 0, "vcpu %u cannot run: %s", v->cpu,
				     strerror(-rc));
		return;
	}
	switch (info.exit) {
	case ACCEL_EXIT_HLT:
		sleep_halted(v, info.hlt_irqs_off);
		break;
	case ACCEL_EXIT_KICKED:
		atomic_fetch_add_explicit(&v->kicks, 1, memory_order_relaxed);
		break;
	case ACCEL_EXIT_SHUTDOWN:
		machine_request_exit(m, HK_EXIT_TRIPLE_FAULT, 0, "triple fault on vcpu %u", v->cpu);
		break;
	case ACCEL_EXIT_BROKEN:
		info.text[sizeof(info.text) - 1] = '\0';
		machine_request_exit(m, HK_EXIT_ERROR, 0, "vcpu %u cannot go on: %s", v->cpu,
				     info.text);
		break;
	case ACCEL_EXIT_DEBUG: /* nobody asked for it: no debugger is attached */
	case ACCEL_NUM_EXITS:
		break;
	}
}

/* [vcpu] What a human needs to see when it ended badly */
static void dump_registers(struct vcpu *v)
{
	struct machine *m = v->m;
	if (m->end.exit != HK_EXIT_TRIPLE_FAULT && m->end.exit != HK_EXIT_ERROR &&
	    m->end.exit != HK_EXIT_BUG)
		return;
	if (!m->ops->state_get(v->av, X86_STATE_GPR | X86_STATE_SEG | X86_STATE_CTRL |
			       X86_STATE_EVENTS, v->st) &&
	    v->st->event.activity != X86_WAIT_SIPI)
		x86_state_dump(v->st, v->cpu, &v->dump);
}

static void *vcpu_main(void *arg)
{
	struct vcpu *v = arg;
	struct machine *m = v->m;
	bool last;

	for (;;) {
		if (atomic_load(&m->attention) && !park_here(v))
			break;
		run_once(v);
	}
	dump_registers(v);
	pthread_mutex_lock(&m->park_lock);
	last = --m->alive == 0;
	pthread_cond_broadcast(&m->parked_cond);
	pthread_mutex_unlock(&m->park_lock);
	if (last)
		machine_ended(m);
	return NULL;
}

int vcpus_create(struct machine *m, struct hk_err *err)
{
	struct cpuid_entry *table = calloc(ACCEL_MAX_CPUID, sizeof(*table));
	pthread_condattr_t attr;
	int rc = 0;

	if (!table)
		return err_set(err, -ENOMEM, "no memory for CPUID");
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	for (unsigned i = 0; i < m->cpus && !rc; i++) {
		struct vcpu *v = &m->vcpu[i];

		v->m = m;
		v->cpu = i;
		atomic_store(&v->started, i == 0);
		v->st = aligned_alloc(64, ALIGN_UP(sizeof(*v->st), 64));
		if (!v->st) {
			rc = err_set(err, -ENOMEM, "no memory for registers");
			break;
		}
		memset(v->st, 0, sizeof(*v->st));
		rc = m->ops->vcpu_create(m->avm, i, &v->av, err);
		if (rc) {
			free(v->st);
			err_wrap(err, rc, "vcpu %u", i);
			break;
		}
		pthread_mutex_init(&v->lock, NULL);
		pthread_cond_init(&v->cond, &attr);
		m->num_vcpus++;
		rc = m->ops->cpuid_set(v->av, table,
				       cpuid_build(&m->caps, m->lapic_ours, i, m->cpus, table));
		if (rc)
			err_set(err, rc, "vcpu %u: CPUID refused: %s", i, strerror(-rc));
	}
	pthread_condattr_destroy(&attr);
	free(table);
	return rc;
}

int vcpus_start(struct machine *m, struct hk_err *err)
{
	int rc = 0;
	unsigned i;

	m->alive = m->num_vcpus; /* before the first thread counts itself */
	for (i = 0; i < m->num_vcpus && !rc; i++) {
		struct vcpu *v = &m->vcpu[i];
		char name[16];

		snprintf(name, sizeof(name), "vcpu:%u", i);
		rc = thread_create(&v->thread, name, vcpu_main, v, err);
		if (rc)
			break;
		v->has_thread = true;
	}
	if (!rc)
		return 0;
	pthread_mutex_lock(&m->park_lock);
	m->alive -= m->num_vcpus - i;
	pthread_mutex_unlock(&m->park_lock);
	machine_request_exit(m, HK_EXIT_ERROR, 0, "no thread for vcpu %u: %s", i, strerror(-rc));
	vcpus_join(m);
	return rc;
}

void vcpus_join(struct machine *m)
{
	for (unsigned i = 0; i < m->num_vcpus; i++) {
		if (m->vcpu[i].has_thread)
			thread_join(m->vcpu[i].thread);
		m->vcpu[i].has_thread = false;
	}
}

void vcpus_destroy(struct machine *m)
{
	for (unsigned i = 0; i < m->num_vcpus; i++) {
		struct vcpu *v = &m->vcpu[i];

		m->ops->vcpu_destroy(v->av);
		pthread_cond_destroy(&v->cond);
		pthread_mutex_destroy(&v->lock);
		strbuf_fini(&v->dump);
		free(v->st);
	}
	m->num_vcpus = 0;
}
