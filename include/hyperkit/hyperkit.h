// SPDX-License-Identifier: BSD-2-Clause
/* hyperkit/hyperkit.h - Virtual machines inside your program
 *
 * Life of a VM:  hk_vm_create -> hk_vm_serial / hk_vm_device / hk_vm_boot_* ->
 * hk_vm_start -> poll hk_vm_fd, hk_vm_next_event -> hk_vm_destroy.
 *
 * The library never exits the process, prints, reads argv or the environment,
 * or changes directory. Many VMs may live in one process, each used from any
 * thread unless a function says otherwise. The software CPU installs handlers
 * for SIGSEGV, SIGBUS and SIGFPE once per process; signals that did not come
 * from guest code are passed on to the handlers that were there before. KVM takes
 * one real-time signal, the highest that has no handler, to interrupt its vCPUs.
 *
 * Functions return 0 or a negative errno. Those that take a `struct hk_err *`
 * (may be NULL) leave one line of words there.
 *
 * Threads: [setup] one thread, before hk_vm_start or after the VM ended;
 * [any] any thread at any time of the VM's life. */
#ifndef HYPERKIT_HYPERKIT_H
#define HYPERKIT_HYPERKIT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define HK_API __attribute__((visibility("default")))
#define HK_MUST_CHECK __attribute__((warn_unused_result))
#else
#define HK_API
#define HK_MUST_CHECK
#endif

/* One line of text, NUL-terminated, no newline. No clean-up needed. */
struct hk_err {
	char text[252];
};

/* "v0.20261122" style, as `hyperkit -v` prints it; static storage */
HK_API const char *hk_version(void);

/* ------------------------------------------------------------------ log */

enum hk_log_level { HK_LOG_ERROR, HK_LOG_WARN, HK_LOG_INFO, HK_LOG_DEBUG };

/* Called from any thread of the VM, possibly from several at once. @text has no
 * newline and is gone after the call. It may not call back into the VM. */
typedef void hk_log_fn(void *arg, enum hk_log_level level, const char *text);

/* --------------------------------------------------------- accelerators */

/* What one accelerator can do on this host */
struct hk_accel_info {
	const char *name;	/* "kvm" or "soft"; static storage */
	int usable;		/* can it boot an ordinary kernel here? */
	int present;		/* does it open at all? (tiny guests may run) */
	int chosen_by_auto;	/* would "auto" take it? */
	char why[200];		/* one sentence: why (not) */
};

/* [any] Fill @info for accelerator @index (0, 1, ...); -ENOENT past the last */
HK_API int hk_accel_query(unsigned index, struct hk_accel_info *info) HK_MUST_CHECK;

/* ------------------------------------------------------------------- VM */

struct hk_vm;

/* Flags of struct hk_vm_config */
#define HK_VM_ACPI (1u << 0)	    /* write ACPI tables (hyperkit -A) */
#define HK_VM_NO_MPTABLE (1u << 1)  /* no MP table (-Y) */
#define HK_VM_X2APIC (1u << 2)	    /* LAPICs start in x2APIC mode (-x) */
#define HK_VM_RTC_UTC (1u << 3)	    /* RTC holds UTC instead of local time (-u) */
#define HK_VM_STRICT_IO (1u << 4)   /* an unclaimed port stops the VM (-e) */
#define HK_VM_IGNORE_MSR (1u << 5)  /* an unknown MSR reads 0 instead of #GP (-w) */
#define HK_VM_MSI_ONLY (1u << 6)    /* virtio functions get MSI, not MSI-X (-W) */
#define HK_VM_DEBUG_EXIT (1u << 7)  /* isa-debug-exit device at port 0xF4 */
#define HK_VM_PAUSE_EXIT (1u << 8)  /* leave the guest on PAUSE (-P) */

struct hk_vm_config {
	size_t size;		/* sizeof(struct hk_vm_config) of the caller */
	unsigned cpus;		/* 1..64; 0 means 1 */
	unsigned flags;		/* HK_VM_* */
	uint64_t memory_bytes;	/* multiple of 4096, at least 1 MiB; 0 means 256 MiB */
	const char *accel;	/* "auto" (NULL), "kvm", "soft" */
	const char *uuid;	/* SMBIOS system UUID as text; NULL: derived from the host name */
	const char *name;	/* for thread names and log lines; NULL: "vm" */
	hk_log_fn *log;		/* NULL: messages are dropped */
	void *log_arg;
	enum hk_log_level log_level;
};

/**
 * hk_vm_create() - Make a VM without devices but those of the board
 * @out:  receives the VM; the caller destroys it
 * @cfg:  copied, strings too
 *
 * [any] Return: 0; -EINVAL for a bad number, -ENOTSUP when the accelerator asked for
 * cannot work here, -ENOMEM
 */
HK_API int hk_vm_create(struct hk_vm **out, const struct hk_vm_config *cfg,
			struct hk_err *err) HK_MUST_CHECK;

/* [any, not from a callback] Stop whatever runs, free everything. NULL does nothing. */
HK_API void hk_vm_destroy(struct hk_vm *vm);

/* [any] Name of the accelerator in use; static storage */
HK_API const char *hk_vm_accel(const struct hk_vm *vm);

/**
 * hk_vm_device() - Put a device into a PCI slot
 * @bus, @slot, @func:  0..255, 0..31, 0..7
 * @name:  "hostbridge", "lpc", "virtio-blk", ...
 * @opts:  the device's option string; NULL and "" differ for some
 *
 * [setup] Devices are created by hk_vm_start in bus, slot, function order.
 * Return: 0; -EBUSY slot taken, -ENODEV unknown name, -EINVAL bad number
 */
HK_API int hk_vm_device(struct hk_vm *vm, unsigned bus, unsigned slot, unsigned func,
			const char *name, const char *opts, struct hk_err *err) HK_MUST_CHECK;

/**
 * hk_net_mac() - Address that a network device will have
 * @name, @opts, @bus, @slot, @func:  as for hk_vm_device()
 * @uuid:  of hk_vm_config; NULL = none
 *
 * [any] Return: 0; -EINVAL bad options, -ENODEV no network device, -EAGAIN when a server or chance
 * decides (virtio-vpnkit; backend=socket without a UUID)
 */
HK_API int hk_net_mac(const char *name, const char *opts, const char *uuid, unsigned bus,
		      unsigned slot, unsigned func, uint8_t mac[6], struct hk_err *err) HK_MUST_CHECK;

/* [any] Name and one-line help of device type @index; -ENOENT past the last */
HK_API int hk_device_query(unsigned index, const char **name, const char **help) HK_MUST_CHECK;

/* Where a serial port's bytes go. Everything unused is -1 or NULL. */
struct hk_serial_config {
	size_t size;		/* sizeof(struct hk_serial_config) of the caller */
	int in_fd, out_fd;	/* the caller's, stay open; -1 = none. in_fd is set O_NONBLOCK
				 * while the VM lives and restored after. EOF on it is not an error. */
	int pty;		/* 1: open a pseudo terminal */
	const char *device;	/* path of a terminal device to open */
	const char *pty_file;	/* file that receives the name of the pty's slave, no newline */
	const char *ring_file;	/* 64 KiB ring log */
	int syslog;		/* 1: each line to syslog(3), level NOTICE */
	/* 0 or a function that gets the guest's output bytes; [loop or vCPU thread], must not block */
	void (*output)(void *arg, const uint8_t *bytes, size_t n);
	void *output_arg;
};
#define HK_SERIAL_CONFIG_INIT \
	{ .size = sizeof(struct hk_serial_config), .in_fd = -1, .out_fd = -1 }

/* [setup] Configure COM @port (1 or 2) of the lpc device. The last call wins. */
HK_API int hk_vm_serial(struct hk_vm *vm, unsigned port, const struct hk_serial_config *cfg,
			struct hk_err *err) HK_MUST_CHECK;
/* [any] Name of the pty that COM @port got, NULL if none; valid until destroy */
HK_API const char *hk_vm_serial_pty(const struct hk_vm *vm, unsigned port);
/* [any, after start] Type @n bytes into COM @port. Return: bytes taken (0..n) or -errno */
HK_API int hk_vm_serial_input(struct hk_vm *vm, unsigned port, const uint8_t *bytes, size_t n);

/* ---------------------------------------------------------------- vsock */

/* Ports of the guest's virtio-sock in the embedder's own hands, without sockets in the file system
 * (option "api" of the device, or in addition to its path= and uds=). Descriptors are the caller's
 * to close; they outlive the VM and then read end of file. With more than one virtio-sock the one
 * in the lowest slot is meant. After hk_vm_device; -ENODEV: there is no virtio-sock, or the VM has
 * ended. */

/**
 * hk_vm_vsock_connect() - Connect to @port of the guest
 * @fd:  receives a blocking stream socket
 *
 * [any] Returns at once, before the guest has answered or was even started. Bytes may be written
 * right away; that nobody listens in the guest is seen as end of file.
 *
 * Return: 0; -ENODEV; -ENOBUFS: more than 1024 wait for the device; -EMFILE and the like
 */
HK_API int hk_vm_vsock_connect(struct hk_vm *vm, uint32_t port, int *fd,
			       struct hk_err *err) HK_MUST_CHECK;
/**
 * hk_vm_vsock_listen() - Take what the guest connects to @port of the host (CID 2)
 * @fd:  receives a descriptor that is readable (POLLIN) while a connection waits. Give it to
 *       hk_vsock_accept(); closing it ends the listening.
 *
 * [any] Goes before a host program's socket of the same port below path=.
 * Return: 0; -ENODEV; -EADDRINUSE
 */
HK_API int hk_vm_vsock_listen(struct hk_vm *vm, uint32_t port, int *fd,
			      struct hk_err *err) HK_MUST_CHECK;
/* [any] As accept(2): the guest's next connection, a blocking stream socket. @guest_port may be NULL.
 * -EAGAIN when @listen_fd was made non-blocking and none waits; -ECONNABORTED: the VM was destroyed */
HK_API int hk_vsock_accept(int listen_fd, int *fd, uint32_t *guest_port) HK_MUST_CHECK;

/* --------------------------------------------------- balloon and console */

/* What virtio-balloon knows. Fields of the guest's statistics are UINT64_MAX while unknown. */
struct hk_balloon_info {
	size_t size;		     /* sizeof(struct hk_balloon_info) of the caller */
	uint64_t target_bytes;	     /* what the guest was asked to do without */
	uint64_t actual_bytes;	     /* what it says it does without */
	uint64_t given_back_bytes;   /* by balloon and free page reports, since the start */
	uint64_t age_ms;	     /* of what follows; each call asks the guest for newer ones */
	uint64_t free_bytes, total_bytes, available_bytes, cache_bytes;
	uint64_t swap_in_bytes, swap_out_bytes;
	uint64_t major_faults, minor_faults;
};

/* [any] Ask the guest to do without @bytes of its memory; 0 gives all back to it. Takes effect when
 * the guest gets to it. 0; -ENODEV: no virtio-balloon, or the VM does not run */
HK_API int hk_vm_balloon_set(struct hk_vm *vm, uint64_t bytes) HK_MUST_CHECK;
/* [any] 0; -ENODEV as above */
HK_API int hk_vm_balloon_info(struct hk_vm *vm, struct hk_balloon_info *info) HK_MUST_CHECK;
/* [any] The terminal behind the first console of virtio-console has this size now. 0; -ENODEV */
HK_API int hk_vm_console_size(struct hk_vm *vm, unsigned columns, unsigned rows) HK_MUST_CHECK;

/* [any] The disk (virtio-blk, ahci-hd) at this place has @bytes now: its image is made larger, or
 * smaller, and loses what is beyond. A virtio-blk driver is told at once, a SATA disk when the guest
 * asks the next time. 0; -ENODEV: no such disk, or the VM does not run; -EINVAL, -EROFS, -ENOSPC */
HK_API int hk_vm_disk_resize(struct hk_vm *vm, unsigned bus, unsigned slot, unsigned func,
			     uint64_t bytes, struct hk_err *err) HK_MUST_CHECK;

/* How much a disk may do; 0 = as much as it can */
struct hk_disk_limits {
	size_t size;		/* sizeof(struct hk_disk_limits) of the caller */
	uint64_t bytes_per_s, ops_per_s;
	uint64_t burst_bytes, burst_ops; /* at once after a rest; 0: a tenth of a second's worth */
};
/* [any] From now on. 0; -ENODEV as above */
HK_API int hk_vm_disk_limit(struct hk_vm *vm, unsigned bus, unsigned slot, unsigned func,
			    const struct hk_disk_limits *limits) HK_MUST_CHECK;

/* ----------------------------------------------------------------- boot */

/* [setup] What runs first; the last call wins. Files are opened and checked here,
 * read by hk_vm_start. NULL = absent. */
HK_API int hk_vm_boot_linux(struct hk_vm *vm, const char *kernel, const char *initrd,
			    const char *cmdline, struct hk_err *err) HK_MUST_CHECK;
/* @modules: "path[;args][:path[;args]]..." */
HK_API int hk_vm_boot_multiboot(struct hk_vm *vm, const char *kernel, const char *modules,
				const char *cmdline, struct hk_err *err) HK_MUST_CHECK;

/* ------------------------------------------------------------------ run */

enum hk_exit {
	HK_EXIT_NONE,	      /* still running */
	HK_EXIT_POWEROFF,     /* ACPI S5 */
	HK_EXIT_HALT,	      /* every started CPU halted with interrupts off */
	HK_EXIT_RESET,	      /* port 0xCF9, keyboard controller, ACPI reset register */
	HK_EXIT_TRIPLE_FAULT, /* hk_vm_fault_text() has the registers */
	HK_EXIT_DEBUG,	      /* isa-debug-exit; the event's value is 2 * written + 1 */
	HK_EXIT_STOPPED,      /* hk_vm_stop */
	HK_EXIT_ERROR,	      /* the host failed us; text says how */
	HK_EXIT_BUG,	      /* we found ourselves in an impossible state; text says where */
};

enum hk_event_type {
	HK_EVENT_EXIT,	       /* the VM ended: see exit, value, text */
	HK_EVENT_ACPI_ENABLED, /* the guest took over power management (value 1) or gave it back (0) */
	HK_EVENT_PAUSED,       /* text: "" or, when a device could not go on, why (a disk with
				* on-error=pause); hk_vm_resume makes it try again */
	HK_EVENT_RESUMED,
};

struct hk_event {
	enum hk_event_type type;
	enum hk_exit exit;
	int value;
	char text[252];
};

/* [setup] Create the devices, load the kernel, let the CPUs run. Once per VM. */
HK_API int hk_vm_start(struct hk_vm *vm, struct hk_err *err) HK_MUST_CHECK;
/* [any] Readable (POLLIN) while an event waits; owned by the VM */
HK_API int hk_vm_fd(const struct hk_vm *vm);
/* [any] Take the oldest event. 0; -EAGAIN when there is none */
HK_API int hk_vm_next_event(struct hk_vm *vm, struct hk_event *ev) HK_MUST_CHECK;
/* [any] Wait for the end. @timeout_ms < 0: for ever. 0; -ETIMEDOUT */
HK_API int hk_vm_wait(struct hk_vm *vm, int timeout_ms, enum hk_exit *why) HK_MUST_CHECK;
/* [any] End it now; the guest is not asked. The event HK_EXIT_STOPPED follows. */
HK_API void hk_vm_stop(struct hk_vm *vm);
/* [any] Stop CPUs and devices between instructions; returns when all stand still.
 * 0; -EALREADY */
HK_API int hk_vm_pause(struct hk_vm *vm);
HK_API int hk_vm_resume(struct hk_vm *vm);
/* [any] Press the ACPI power button */
HK_API void hk_vm_power_button(struct hk_vm *vm);
/* [any, after the end] Registers of each CPU as text lines; "" if there are none */
HK_API const char *hk_vm_fault_text(const struct hk_vm *vm);
/* [any] Counters as text lines into @buf (NUL-terminated). Return: bytes needed */
HK_API size_t hk_vm_stats(struct hk_vm *vm, char *buf, size_t n);

#ifdef __cplusplus
}
#endif
#endif
