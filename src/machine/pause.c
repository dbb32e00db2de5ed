// SPDX-License-Identifier: BSD-2-Clause
/* machine/pause.c - Where vCPU threads and the I/O loop stand still
 *
 * A pause first parks the vCPUs at their loop top, between two instructions,
 * then closes a gate on the loop thread, so that no timer fires and no device
 * gets input. Nothing of the VM runs then. Time does not stop: guest clocks
 * jump when it goes on, as HyperKit's did. A device that waits for the host (a
 * full disk) asks for the same without waiting for it; the embedder resumes.
 *
 * The halt watch uses the same parking place. An accelerator with its own LAPIC
 * keeps a halted CPU inside vcpu_run and never reports it, so once no vCPU
 * thread has used CPU time for a while, all are parked and looked at. They are
 * looked at together, since a CPU that still ran could send an NMI to one that
 * was already judged. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "machine/machine_int.h"

#define HALT_WATCH_NS (200 * 1000000ull)

int park_init(struct machine *m, struct hk_err *err)
{
	if (pthread_mutex_init(&m->park_lock, NULL))
		return err_set(err, -ENOMEM, "no memory for locks");
	pthread_cond_init(&m->parked_cond, NULL);
	pthread_cond_init(&m->go_cond, NULL);
	m->park_ready = true;
	return 0;
}

void park_fini(struct machine *m)
{
	if (!m->park_ready)
		return;
	pthread_cond_destroy(&m->go_cond);
	pthread_cond_destroy(&m->parked_cond);
	pthread_mutex_destroy(&m->park_lock);
}

static bool halted_for_good(struct machine *m, struct vcpu *v)
{
	struct x86_state *st = v->st;

	if (m->ops->state_get(v->av, X86_STATE_GPR | X86_STATE_EVENTS, st))
		return false;
	if (st->event.activity == X86_WAIT_SIPI)
		return v->cpu != 0;
	return st->event.activity == X86_HALTED && !(st->rflags & X86_FLAG_IF) &&
	       !st->event.nmi_pending && !st->event.exception_pending &&
	       !st->event.interrupt_injected;
}

/* [vcpu] The last thread to park decides for all; all of them stand still */
static bool all_halted_locked(struct machine *m)
{
	for (unsigned i = 0; i < m->num_vcpus; i++)
		if (!halted_for_good(m, &m->vcpu[i]))
			return false;
	return true;
}

bool park_here(struct vcpu *v)
{
	struct machine *m = v->m;
	bool halted = false, go_on;

	pthread_mutex_lock(&m->park_lock);
	m->parked++;
	if (m->parked == m->alive) {
		pthread_cond_broadcast(&m->parked_cond);
		if (m->pause_asked)
			work_post(&m->pause_work);
		if (m->halt_check) {
			halted = all_halted_locked(m);
			m->halt_check = false;
			pthread_cond_broadcast(&m->go_cond);
		}
	}
	while ((m->pause_wanted || m->halt_check) && !atomic_load(&m->stopping))
		pthread_cond_wait(&m->go_cond, &m->park_lock);
	m->parked--;
	go_on = !atomic_load(&m->stopping);
	if (go_on && !m->pause_wanted && !m->halt_check)
		atomic_store(&m->attention, false);
	pthread_mutex_unlock(&m->park_lock);
	if (halted)
		machine_request_exit(m, HK_EXIT_HALT, 0, "every CPU halted with interrupts off");
	return go_on;
}

/* ------------------------------------------------------------ halt watch */

static void halt_watch_tick(void *arg)
{
	struct machine *m = arg;
	bool idle = true;

	for (unsigned i = 0; i < m->num_vcpus; i++) {
		struct vcpu *v = &m->vcpu[i];
		struct timespec ts = { 0 };
		clockid_t id;
		u64 ns;

		if (pthread_getcpuclockid(v->thread, &id) || clock_gettime(id, &ts))
			continue;
		ns = ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
		if (ns != v->watch_cpu_ns)
			idle = false;
		v->watch_cpu_ns = ns;
	}
	pthread_mutex_lock(&m->park_lock);
	if (idle && !m->pause_wanted && !atomic_load(&m->stopping)) {
		m->halt_check = true;
		atomic_store(&m->attention, true);
	} else {
		idle = false;
	}
	pthread_mutex_unlock(&m->park_lock);
	if (idle)
		vcpus_kick_all(m);
	timer_arm(&m->halt_watch, clock_ns(&m->clock) + HALT_WATCH_NS);
}

void halt_watch_start(struct machine *m)
{
	timer_init(&m->halt_watch, m->loop, halt_watch_tick, m);
	m->halt_watch_on = true;
	timer_arm(&m->halt_watch, clock_ns(&m->clock) + HALT_WATCH_NS);
}

void halt_watch_stop(struct machine *m)
{
	if (m->halt_watch_on)
		timer_cancel_sync(&m->halt_watch);
	m->halt_watch_on = false;
}

/* ----------------------------------------------------------------- pause */

/* [loop] Nothing else runs on the loop while we stand here */
static void gate(void *arg)
{
	struct machine *m = arg;

	pthread_mutex_lock(&m->park_lock);
	m->gate_held = true;
	m->gates++;
	pthread_cond_broadcast(&m->parked_cond);
	while (m->gate_closed && !atomic_load(&m->stopping))
		pthread_cond_wait(&m->go_cond, &m->park_lock);
	m->gate_held = false;
	pthread_cond_broadcast(&m->parked_cond);
	pthread_mutex_unlock(&m->park_lock);
}

/* [loop] A device asked for a pause, and the last vCPU has parked. Not before: one of them may
 * wait for the loop in a register write. */
static void pause_asked(void *arg)
{
	struct machine *m = arg;
	struct hk_event ev = { .type = HK_EVENT_PAUSED };

	pthread_mutex_lock(&m->park_lock);
	if (!m->pause_asked || m->parked < m->alive || atomic_load(&m->stopping)) {
		pthread_mutex_unlock(&m->park_lock);
		return;
	}
	m->pause_asked = false;
	m->gate_closed = true;
	memcpy(ev.text, m->pause_why, sizeof(ev.text));
	events_post(&m->events, &ev);
	pthread_mutex_unlock(&m->park_lock);
	gate(m);
}

void pause_init(struct machine *m)
{
	work_init(&m->pause_work, m->loop, pause_asked, m);
}

void machine_request_pause(void *arg, const char *why)
{
	struct machine *m = arg;
	bool kick = false;

	pthread_mutex_lock(&m->park_lock);
	if (!m->pause_wanted && !atomic_load(&m->stopping) &&
	    atomic_load(&m->phase) == MACHINE_STARTED) {
		m->pause_wanted = m->pause_asked = kick = true;
		snprintf(m->pause_why, sizeof(m->pause_why), "%s", why);
		atomic_store(&m->attention, true);
		/* Right behind a resume, when none of them has left yet, nobody arrives last */
		if (m->parked == m->alive)
			work_post(&m->pause_work);
	}
	pthread_mutex_unlock(&m->park_lock);
	if (kick)
		vcpus_kick_all(m);
}

static void open_locked(struct machine *m)
{
	m->pause_wanted = false;
	m->pause_asked = false;
	m->gate_closed = false;
	pthread_cond_broadcast(&m->go_cond);
}

int machine_pause(struct machine *m)
{
	const struct hk_event ev = { .type = HK_EVENT_PAUSED };
	int rc = 0;

	if (atomic_load(&m->phase) != MACHINE_STARTED || atomic_load(&m->stopping))
		return -ESRCH;
	pthread_mutex_lock(&m->life_lock);
	pthread_mutex_lock(&m->park_lock);
	if (m->pause_wanted)
		rc = -EALREADY;
	m->pause_wanted = true;
	atomic_store(&m->attention, true);
	pthread_mutex_unlock(&m->park_lock);
	if (rc)
		goto out;

	vcpus_kick_all(m);
	pthread_mutex_lock(&m->park_lock);
	while (m->parked < m->alive && !atomic_load(&m->stopping))
		pthread_cond_wait(&m->parked_cond, &m->park_lock);
	m->gate_closed = true;
	pthread_mutex_unlock(&m->park_lock);

	rc = loop_call(m->loop, gate, m);
	pthread_mutex_lock(&m->park_lock);
	while (!rc && !m->gate_held && !atomic_load(&m->stopping))
		pthread_cond_wait(&m->parked_cond, &m->park_lock);
	if (!rc && atomic_load(&m->stopping))
		rc = -ESRCH;
	if (rc)
		open_locked(m);
	pthread_mutex_unlock(&m->park_lock);
	if (!rc)
		events_post(&m->events, &ev);
out:
	pthread_mutex_unlock(&m->life_lock);
	return rc;
}

int machine_resume(struct machine *m)
{
	const struct hk_event ev = { .type = HK_EVENT_RESUMED };
	u64 gate_nr;
	int rc = 0;

	pthread_mutex_lock(&m->life_lock);
	pthread_mutex_lock(&m->park_lock);
	if (!m->pause_wanted) {
		rc = -EALREADY;
	} else {
		/* Here, since a device may ask for the next pause before we come to it */
		events_post(&m->events, &ev);
		open_locked(m);
		/* A next pause must not find this one's gate still held. If it is held by a
		 * device's next pause already, that is for the next resume */
		gate_nr = m->gates;
		while (m->gate_held && m->gates == gate_nr)
			pthread_cond_wait(&m->parked_cond, &m->park_lock);
	}
	pthread_mutex_unlock(&m->park_lock);
	pthread_mutex_unlock(&m->life_lock);
	return rc;
}
