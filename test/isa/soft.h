// SPDX-License-Identifier: BSD-2-Clause
/* test/isa/soft.h - What the engines on the software CPU share */
#ifndef TEST_ISA_SOFT_H
#define TEST_ISA_SOFT_H

#include "accel/soft/soft.h"
#include "isa.h"

void isa_no_mmio(void *m, unsigned cpu, gpa_t gpa, void *data, unsigned len, bool write);
/* Long mode, paging by the arena's tables, a guest's CPUID, an IDT whose gates lead to HLT at CPL 0 */
void isa_cpu_setup(struct sc_vcpu *cpu);
/* Registers of the case, CPL 3, at its first instruction */
void isa_cpu_load(struct sc_vcpu *cpu, const struct isa_case *c);
/* After an exception or INT n was delivered: everything of @r but vector and x87 state, from the
 * stack frame. false: none was. */
bool isa_cpu_frame(struct sc_vcpu *cpu, const struct isa_case *c, struct isa_result *r);

#endif

