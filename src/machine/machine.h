// SPDX-License-Identifier: BSD-2-Clause
/* machine/machine.h - One VM: address map, wiring, vCPU threads, pause (door)
 *
 * pc.c builds the board, vcpu.c holds the threads, pause.c parks them. The api
 * room is the only caller. */
#ifndef MACHINE_MACHINE_H
#define MACHINE_MACHINE_H

#include "base/types.h"
#include "device/dev.h"
#include "hyperkit/hyperkit.h"

struct machine;

int machine_create(struct machine **out, const struct hk_vm_config *cfg, struct hk_err *err) MUST_CHECK;
void machine_destroy(struct machine *m);
const char *machine_accel(const struct machine *m);
int machine_add_device(struct machine *m, unsigned bus, unsigned slot, unsigned func,
		       const char *name, const char *opts, struct hk_err *err) MUST_CHECK;
int machine_set_serial(struct machine *m, unsigned port, const struct hk_serial_config *cfg,
		       struct hk_err *err) MUST_CHECK;
const char *machine_serial_pty(const struct machine *m, unsigned port);
int machine_serial_input(struct machine *m, unsigned port, const u8 *bytes, size_t n);
int machine_vsock_connect(struct machine *m, u32 port, int *fd, struct hk_err *err) MUST_CHECK;
int machine_vsock_listen(struct machine *m, u32 port, int *fd, struct hk_err *err) MUST_CHECK;
int machine_boot_linux(struct machine *m, const char *kernel, const char *initrd,
		       const char *cmdline, struct hk_err *err) MUST_CHECK;
int machine_boot_multiboot(struct machine *m, const char *kernel, const char *modules,
			   const char *cmdline, struct hk_err *err) MUST_CHECK;
int machine_start(struct machine *m, struct hk_err *err) MUST_CHECK;
int machine_event_fd(const struct machine *m);
int machine_next_event(struct machine *m, struct hk_event *ev) MUST_CHECK;
int machine_wait(struct machine *m, int timeout_ms, enum hk_exit *why) MUST_CHECK;
void machine_stop(struct machine *m);
int machine_pause(struct machine *m);
int machine_resume(struct machine *m);
void machine_power_button(struct machine *m);
/* [any] Ask the devices in slots, lowest first, until one understands. -ENODEV: none, or not running */
int machine_control(struct machine *m, enum dev_control what, void *arg);
const char *machine_fault_text(const struct machine *m);
size_t machine_stats(struct machine *m, char *buf, size_t n);

#endif
