// SPDX-License-Identifier: BSD-2-Clause
/* machine/machine_int.h - The whole of one VM, shared by the files of this room only
 *
 * machine.c owns life and order, pc.c the board, host.c the accelerator's calls
 * up, vcpu.c the vCPU threads, pause.c the parking place, events.c the queue to
 * the embedder. Locks and their order: docs/threads.md. */
#ifndef MACHINE_MACHINE_INT_H
#define MACHINE_MACHINE_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "accel/accel.h"
#include "backend/char/chr.h"
#include "backend/vsock/vsk.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/pool.h"
#include "base/strbuf.h"
#include "boot/boot.h"
#include "bus/bus.h"
#include "device/chipset/chipset.h"
#include "device/dev.h"
#include "device/pci/lpc.h"
#include "device/pci/pci.h"
#include "machine/machine.h"
#include "mem/mem.h"

#define MACHINE_MAX_CPUS 64
#define MACHINE_MAX_BOARD 16
#define MACHINE_MAX_SLOTS (256 * 32 * 8)
#define MACHINE_NUM_COMS 2
#define NUM_GSIS 24

/* ------------------------------------------------------------- events.c */

#define EVENTS_RING 32

/* (L) under ->lock */
struct events {
	pthread_mutex_t lock;
	pthread_cond_t ended_cond;
	int fd;				  /* eventfd; its counter is > 0 while an event waits */
	struct hk_event ring[EVENTS_RING]; /* (L) */
	unsigned head, count;		  /* (L) */
	struct hk_event end;		  /* (L) the last event, apart: it must never be dropped */
	bool ended, end_taken;		  /* (L) */
};

int events_init(struct events *e, struct hk_err *err) MUST_CHECK;
void events_fini(struct events *e);
/* [any] A full queue loses its oldest entry; never the end */
void events_post(struct events *e, const struct hk_event *ev);
/* [any] The last event. Only the first call counts. */
void events_end(struct events *e, const struct hk_event *ev);
int events_next(struct events *e, struct hk_event *ev);
int events_wait_end(struct events *e, int timeout_ms, enum hk_exit *why);

/* --------------------------------------------------------------- vcpu.c */

/* (c) constant once created, (v) own thread, (a) atomic, (P) under machine.park_lock */
struct vcpu {
	struct machine *m;	/* (c) */
	unsigned cpu;		/* (c) */
	struct accel_vcpu *av;	/* (c) */
	pthread_t thread;	/* (c) */
	bool has_thread;	/* (c) */
	/* A thread that sleeps after HLT. sleeping is set before the last look for work,
	 * and a waker looks at it after it made work: one of the two sees the other. */
	_Atomic bool sleeping;
	_Atomic bool wake;	/* somebody made work since the thread last looked */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	_Atomic bool started;	/* the BSP, or SIPI arrived since the last INIT */
	_Atomic bool halted_off; /* asleep, interrupts off: only NMI, INIT, SIPI can wake it */
	_Atomic s64 tsc_offset;	/* guest TSC - host TSC, as of the last use of the deadline timer */
	struct x86_state *st;	/* (v, or all parked) room for state_get */
	_Atomic u64 hlts, kicks; /* (a) statistics, written by the own thread */
	u64 watch_cpu_ns;	/* [loop] CPU time that the thread had used at the last halt watch */
	struct strbuf dump;	/* (v) registers at the end; read after the thread ended */
};

int vcpus_create(struct machine *m, struct hk_err *err) MUST_CHECK; /* [setup] */
int vcpus_start(struct machine *m, struct hk_err *err) MUST_CHECK;  /* [setup] */
void vcpus_join(struct machine *m);				     /* [setup] after stop */
void vcpus_destroy(struct machine *m);				     /* [setup] */
/* [any] After work was made for the CPU: wake its thread if it sleeps */
void vcpu_wake(struct vcpu *v);
/* [any] Every thread leaves the guest and looks at machine.attention */
void vcpus_kick_all(struct machine *m);

/* -------------------------------------------------------------- pause.c */

/* [vcpu] At the loop top while machine.attention is set: stand still as long as wanted.
 * Return: false when the thread must end */
bool park_here(struct vcpu *v);
/* [loop] Are all CPUs halted for good? For accelerators that keep HLT to themselves. */
void halt_watch_start(struct machine *m);
void halt_watch_stop(struct machine *m);
int park_init(struct machine *m, struct hk_err *err) MUST_CHECK;
void pause_init(struct machine *m); /* [setup] after the loop was made */
/* [any] dev_env.request_pause: stand still soon, tell @why in the event */
void machine_request_pause(void *m, const char *why);
void park_fini(struct machine *m);

/* ----------------------------------------------------------------- pc.c */

int pc_create(struct machine *m, struct hk_err *err) MUST_CHECK; /* RAM, buses, loop */
int pc_plug(struct machine *m, struct hk_err *err) MUST_CHECK;   /* controllers, devices */
int pc_firmware(struct machine *m, struct x86_state *bsp, struct hk_err *err) MUST_CHECK;
int pc_start(struct machine *m, struct hk_err *err) MUST_CHECK;
/* [last vcpu, setup] Devices in slots stop; what they still hold, such as the serial ports'
 * last bytes, is out after it. Once the vCPUs have left, before the end is told. Idempotent. */
void pc_quiet(struct machine *m);
void pc_stop(struct machine *m);
void pc_unplug(struct machine *m); /* devices and controllers are gone after it */
void pc_destroy(struct machine *m);

/* --------------------------------------------------------------- host.c */

extern const struct accel_host machine_host;
/* [vcpu] Store @cpu's guest TSC offset from the accelerator; see host.c */
void host_tsc_sync(struct vcpu *v);
/* Sink of our LAPICs */
extern const struct apic_cpu_sink machine_apic_sink;

/* -------------------------------------------------------------- cpuid.c */

/* Rows that @cpu of @cpus shall see. @lapic_ours: our LAPICs serve them.
 * Return: rows in @out (at most ACCEL_MAX_CPUID) */
unsigned cpuid_build(const struct accel_caps *caps, bool lapic_ours, unsigned cpu, unsigned cpus,
		     struct cpuid_entry *out);

/* ------------------------------------------------------------ machine.c */

struct slot {
	struct slot *next; /* sorted by bus, slot, func */
	unsigned bus, slot, func;
	const struct dev_class *cls;
	char *opts;	   /* NULL and "" differ for some devices */
	struct dev *dev;
	bool started;	   /* start was tried: stop is due */
};

enum machine_phase { MACHINE_SETUP, MACHINE_STARTED, MACHINE_FAILED };

struct machine {
	/* (c) */
	unsigned cpus, flags;
	u64 memory_bytes, low_bytes, high_bytes;
	char name[32];
	char uuid[40];
	bool has_uuid;
	struct log log;
	struct clock clock;
	u64 boot_ns;

	const struct accel_ops *ops;
	struct accel_caps caps;
	struct accel_vm *avm;
	bool lapic_ours, ioapic_ours;

	struct mem mem;
	unsigned ram_mapped;
	struct bus mem_bus, pio_bus;
	bool mem_ok, mem_bus_ok, pio_bus_ok;
	struct loop *loop;
	struct pool *pool;
	struct dev_env env;
	struct pci_bus *pci;
	struct apics *apics;
	struct dev *board[MACHINE_MAX_BOARD];
	unsigned num_board, board_started;
	struct dev *ioapic, *pic, *power; /* in board[]; NULL when the accelerator's */
	struct slot *slots;
	struct chr *com[MACHINE_NUM_COMS]; /* NULL: not connected */
	struct slot *lpc;
	struct vsk_hub *vsock;		   /* the embedder's ends of vsock connections */
	struct boot_source *boot;

	struct vcpu vcpu[MACHINE_MAX_CPUS];
	_Atomic unsigned num_vcpus; /* grows in set-up, while machine_stop() may look */
	_Atomic enum machine_phase phase;
	pthread_mutex_t life_lock; /* one machine_start, pause, resume at a time */

	/* Anything that vCPU threads must look at before they enter the guest again */
	_Atomic bool attention;

	/* (P) under park_lock */
	pthread_mutex_t park_lock;
	pthread_cond_t parked_cond; /* a pauser waits here until all stand */
	pthread_cond_t go_cond;	    /* parked threads and the loop's gate wait here */
	bool pause_wanted, halt_check, gate_closed;
	bool gate_held;		    /* the loop stands in the gate */
	u64 gates;		    /* how often it went there */
	bool pause_asked;	    /* by a device: pause_work closes the gate when all are parked */
	char pause_why[252];	    /* its words for the event */
	struct work pause_work;
	bool park_ready;	    /* locks exist */
	unsigned alive, parked;	    /* vCPU threads */
	struct timer halt_watch;
	bool halt_watch_on;

	/* The end: first caller wins */
	_Atomic bool stopping;
	pthread_mutex_t end_lock;
	bool end_set;		    /* under end_lock */
	struct hk_event end;	    /* under end_lock until stopping, then constant */

	struct events events;
	bool events_ok;
	_Atomic bool end_told;	    /* machine_ended() ran */
	_Atomic bool fault_ready;
	struct strbuf fault;	    /* constant once fault_ready */
};

/* [any] End the VM. Only the first call counts. */
void machine_request_exit(struct machine *m, enum hk_exit why, int value, const char *fmt, ...)
	PRINTF(4, 5);
/* The last vCPU thread to leave calls it, or who finds that none will: collect registers,
 * post the end. Only the first call counts. */
void machine_ended(struct machine *m);

#endif
