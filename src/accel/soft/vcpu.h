// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/vcpu.h - Functions of struct accel_ops that vcpu.c and state.c implement */
#ifndef ACCEL_SOFT_VCPU_H
#define ACCEL_SOFT_VCPU_H

#include "accel/soft/soft.h"

int sc_vcpu_create(struct accel_vm *vm, unsigned cpu, struct accel_vcpu **out, struct hk_err *err);
void sc_vcpu_destroy(struct accel_vcpu *v);
int sc_vcpu_cpuid_set(struct accel_vcpu *v, const struct cpuid_entry *table, unsigned n);
int sc_vcpu_run(struct accel_vcpu *v, struct accel_exit_info *info);
void sc_vcpu_kick(struct accel_vcpu *v);
int sc_vcpu_inject(struct accel_vcpu *v, enum accel_inject kind, u8 vector);
bool sc_vcpu_has_work(struct accel_vcpu *v);
int sc_vcpu_debug_set(struct accel_vcpu *v, const u64 *breakpoints, unsigned n, bool step);
int sc_state_get(struct accel_vcpu *v, u32 groups, struct x86_state *st);
int sc_state_set(struct accel_vcpu *v, u32 groups, const struct x86_state *st);

#endif
