// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/sys/sys_int.h - What the files of sys/ share
 *
 * Descriptors, stacks of far transfers, event delivery, CPUID questions. Everything
 * here is [vcpu] and may throw unless it says otherwise. */
#ifndef ACCEL_SOFT_SYS_SYS_INT_H
#define ACCEL_SOFT_SYS_SYS_INT_H

#include "accel/soft/soft.h"

#define SYS_BASE_FLAGS \
	(X86_FLAG_CF | X86_FLAG_PF | X86_FLAG_AF | X86_FLAG_ZF | X86_FLAG_SF | X86_FLAG_OF | \
	 X86_FLAG_TF | X86_FLAG_DF | X86_FLAG_NT)

/* #DB: reasons in DR6 (SDM 3B 18.2.3) */
#define DR6_BD BIT(13)
#define DR6_BS BIT(14)
#define DR6_BT BIT(15)
#define DR6_TRAPS 0xfu
#define DR6_ONES 0xffff0ff0u
#define DR7_GD BIT(13)
enum dr7_type { DR7_EXEC, DR7_WRITE, DR7_IO, DR7_ACCESS };
#define DR7_ONES BIT(10)

/* ------------------------------------------------------------ segment.c */

/* System descriptor types (SDM 3A table 3-2) */
enum sys_type {
	SYS_TSS16 = 1, SYS_LDT = 2, SYS_TSS16_BUSY = 3, SYS_CALL16 = 4, SYS_TASK_GATE = 5,
	SYS_INT16 = 6, SYS_TRAP16 = 7, SYS_TSS32 = 9, SYS_TSS32_BUSY = 11, SYS_CALL32 = 12,
	SYS_INT32 = 14, SYS_TRAP32 = 15
};

/* Attributes in the layout of x86_segment.attr */
static inline u32 desc_attr(u64 raw) { return raw >> 40 & 0xf0ff; }
static inline unsigned attr_dpl(u32 attr) { return attr >> X86_SEG_DPL_SHIFT & 3; }
static inline unsigned desc_dpl(u64 raw) { return raw >> 45 & 3; }
static inline unsigned desc_type(u64 raw) { return raw >> 40 & 0xf; }
static inline bool desc_present(u64 raw) { return raw >> 47 & 1; }
static inline bool attr_is_code(u32 attr) { return (attr & (X86_SEG_S | 8)) == (X86_SEG_S | 8); }
static inline bool attr_is_data(u32 attr) { return (attr & (X86_SEG_S | 8)) == X86_SEG_S; }
static inline bool attr_conforming(u32 attr) { return attr_is_code(attr) && (attr & 4); }
static inline bool attr_writable(u32 attr) { return attr_is_data(attr) && (attr & 2); }
static inline bool attr_readable(u32 attr) { return attr_is_data(attr) || (attr & 2); }
static inline bool sel_null(u16 sel) { return !(sel & 0xfffc); }

/* Loads and stores of system structures: supervisor rights, through the TLB where it serves
 * those rights anyway */
static inline u64 sys_read(struct sc_vcpu *v, gva_t a, unsigned size)
{
	return v->cpl == 3 ? sc_sys_read(v, a, size) : sc_read(v, a, size);
}
static inline void sys_write(struct sc_vcpu *v, gva_t a, u64 val, unsigned size)
{
	if (v->cpl == 3)
		sc_sys_write(v, a, val, size);
	else
		sc_write(v, a, val, size);
}

/* Exception whose error code is a selector; @ext is 0 or 1 */
void sys_throw_sel(struct sc_vcpu *v, unsigned vector, u16 sel, u32 ext) NORETURN;
/* Eight bytes of the descriptor, or false when the selector points outside its table */
bool desc_fetch(struct sc_vcpu *v, u16 sel, u64 *raw);
/* Upper half of a 16-byte descriptor (long mode); false: outside, or its type is not 0 */
bool desc_fetch_high(struct sc_vcpu *v, u16 sel, u64 *high);
void desc_to_seg(u64 raw, u16 sel, struct x86_segment *out);
/* OR @bits into and clear @clear from the descriptor's type byte, in memory */
void desc_mark(struct sc_vcpu *v, u16 sel, u8 bits, u8 clear);
/* Set the accessed bit if it is clear, in memory and in @seg */
void desc_accessed(struct sc_vcpu *v, struct x86_segment *seg);
/* A segment register by the rules of real or virtual-8086 mode */
void seg_load_real(struct sc_vcpu *v, enum x86_seg seg, u16 sel);
void seg_set_null(struct sc_vcpu *v, enum x86_seg seg, u16 sel);
/* Data segment or SS with the faults of @vector (#GP, or #TS in a task switch) at @cpl;
 * checks only, and sets the accessed bit. @out gets what to load. */
void seg_check_data(struct sc_vcpu *v, enum x86_seg seg, u16 sel, unsigned cpl, unsigned vector,
		    u32 ext, struct x86_segment *out);
/* A new stack segment for @cpl: the same for SS, null is a fault */
void seg_check_stack(struct sc_vcpu *v, u16 sel, unsigned cpl, unsigned vector, u32 ext,
		     struct x86_segment *out);
/* LDTR with faults of @vector */
void seg_load_ldtr(struct sc_vcpu *v, u16 sel, unsigned vector, u32 ext);
/* Flat segments of SYSCALL and friends */
void seg_set_flat(struct sc_vcpu *v, enum x86_seg seg, u16 sel, u32 attr);
/* Is [off, off+size) inside? Expand-down considered. Never throws. */
bool seg_in_limit(const struct x86_segment *s, u64 off, unsigned size);
/* Return to less privilege: data segments that it may not see become null. Never throws. */
void seg_null_for(struct sc_vcpu *v, unsigned cpl);

/* A stack that values go to or come from before the registers change. */
struct sys_stack {
	struct x86_segment ss;
	u64 sp, mask;
	bool is64;  /* flat: canonical check instead of limits */
	bool user;  /* by the rights of CPL 3 */
	u32 error;  /* of its #SS */
};
void stack_current(struct sc_vcpu *v, struct sys_stack *st);
void stack_new(struct sys_stack *st, const struct x86_segment *ss, u64 sp, unsigned cpl, u32 error);
void stack_push(struct sc_vcpu *v, struct sys_stack *st, u64 val, unsigned size);
u64 stack_peek(struct sc_vcpu *v, const struct sys_stack *st, u64 off, unsigned size);
u64 stack_pop(struct sc_vcpu *v, struct sys_stack *st, unsigned size);
/* RSP for @st after @sp moved within its width. Never throws. */
u64 stack_rsp(const struct sc_vcpu *v, const struct sys_stack *st);

/* ----------------------------------------------------------- transfer.c */

/* Is @off a rip that code segment @cs can have? else #GP(@ext) */
void code_check_offset(struct sc_vcpu *v, const struct x86_segment *cs, u64 off, u32 ext);
/* CS, CPL and rip together; recomputes the mode. Never throws. */
void code_commit(struct sc_vcpu *v, const struct x86_segment *cs, unsigned cpl, u64 rip);
/* Checks of a far return's CS and SS, and the RSP that it gives */
void return_check_code(struct sc_vcpu *v, u16 sel, struct x86_segment *cs);
void return_check_stack(struct sc_vcpu *v, u16 sel, unsigned cpl, bool to64,
			struct x86_segment *ss);
u64 return_rsp(const struct sc_vcpu *v, const struct x86_segment *ss, bool to64, u64 sp);
/* RFLAGS: bits of @mask from @val; wakes what depends on IF and TF. Never throws. */
void flags_set(struct sc_vcpu *v, u64 val, u64 mask);
/* Which bits may IRET and POPF change with this operand size here? (not VM) */
u64 flags_mask(const struct sc_vcpu *v, unsigned opsize);

/* --------------------------------------------------------------- gate.c */

struct sys_event {
	u8 vector;
	bool has_error;
	bool soft;   /* INT n, INT3, INTO: gate DPL counts */
	u32 ext;     /* EXT bit for faults while delivering */
	u32 error;
	u64 rip;     /* to push */
	u64 flags;   /* to OR into the pushed flags: RF */
};
/* Through IVT or IDT: completes, or throws before any effect (a task switch may have happened) */
void gate_deliver(struct sc_vcpu *v, const struct sys_event *ev);
/* New stack for privilege @dpl from the TSS (16 and 32 bit) */
void tss_stack(struct sc_vcpu *v, unsigned dpl, u32 ext, struct sys_stack *st);
/* The same in long mode; @ist 0: RSP0..2 */
u64 tss_rsp(struct sc_vcpu *v, unsigned dpl, unsigned ist, u32 ext);

/* --------------------------------------------------------------- task.c */

enum task_reason { TASK_JMP, TASK_CALL, TASK_IRET, TASK_INT };
/* To the TSS @sel with descriptor @raw, which is of the right type and present. On return the
 * new task's registers are loaded. @next_rip: of the old task */
void task_switch(struct sc_vcpu *v, u16 sel, u64 raw, enum task_reason why, u64 next_rip, u32 ext);
/* Through a task gate's selector: #GP, #NP by its descriptor, then switch */
void task_gate(struct sc_vcpu *v, u64 gate, enum task_reason why, u64 next_rip, u32 ext);
void task_return(struct sc_vcpu *v); /* IRET with NT */
/* Error code onto the new task's stack */
void task_push_error(struct sc_vcpu *v, u32 error);

/* -------------------------------------------------------------- cpuid.c */

/* Row of the table or NULL. Never throws. */
const struct cpuid_entry *cpuid_find(const struct sc_vcpu *v, u32 leaf, u32 subleaf);
/* AuthenticAMD or HygonGenuine: their SYSCALL, SYSRET and SYSENTER rules */
bool cpuid_is_amd(const struct sc_vcpu *v);
u64 cpuid_cr4_bits(const struct sc_vcpu *v);  /* CR4 bits that may be set */
u64 cpuid_efer_bits(const struct sc_vcpu *v);
u64 cpuid_xcr0_bits(const struct sc_vcpu *v);
u32 cpuid_apic_id(const struct sc_vcpu *v);
bool cpuid_has_kvm(const struct sc_vcpu *v);  /* KVM's signature is visible */

/* ---------------------------------------------------------------- cr.c */

/* EFER by WRMSR */
void efer_write(struct sc_vcpu *v, u64 val);

/* -------------------------------------------------------------- pvclock.c */

/* KVM's own MSRs. 0; -EINVAL: #GP; -ENOENT: not one of these */
int pvclock_rdmsr(struct sc_vcpu *v, u32 index, u64 *val);
int pvclock_wrmsr(struct sc_vcpu *v, u32 index, u64 val);

#endif
