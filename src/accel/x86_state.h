// SPDX-License-Identifier: BSD-2-Clause
/* accel/x86_state.h - Architectural state of one x86-64 CPU
 *
 * Shared by accelerators, boot, gdb and snapshot. Pure data, no pointers. */
#ifndef ACCEL_X86_STATE_H
#define ACCEL_X86_STATE_H

#include "base/types.h"

enum x86_gpr {
	X86_RAX, X86_RCX, X86_RDX, X86_RBX, X86_RSP, X86_RBP, X86_RSI, X86_RDI,
	X86_R8, X86_R9, X86_R10, X86_R11, X86_R12, X86_R13, X86_R14, X86_R15,
	X86_NUM_GPRS
};

/* In the order of the ModRM/sreg encoding, then the system ones */
enum x86_seg {
	X86_ES, X86_CS, X86_SS, X86_DS, X86_FS, X86_GS, X86_LDTR, X86_TR,
	X86_NUM_SEGS
};

/* A segment register with its hidden part (SDM 3A 3.4.3).
 * attr: bits 0-3 type, 4 S, 5-6 DPL, 7 P, 12 AVL, 13 L, 14 D/B, 15 G (VMX access-rights
 * layout), 16 unusable. limit is in bytes, already scaled by G. */
struct x86_segment {
	u64 base;
	u32 limit;
	u32 attr;
	u16 sel;
};
#define X86_SEG_TYPE 0xfu
#define X86_SEG_S BIT(4)
#define X86_SEG_DPL_SHIFT 5
#define X86_SEG_P BIT(7)
#define X86_SEG_AVL BIT(12)
#define X86_SEG_L BIT(13)
#define X86_SEG_DB BIT(14)
#define X86_SEG_G BIT(15)
#define X86_SEG_UNUSABLE BIT(16)

struct x86_table {
	u64 base;
	u16 limit;
};

#define X86_FLAG_CF BIT(0)
#define X86_FLAG_PF BIT(2)
#define X86_FLAG_AF BIT(4)
#define X86_FLAG_ZF BIT(6)
#define X86_FLAG_SF BIT(7)
#define X86_FLAG_TF BIT(8)
#define X86_FLAG_IF BIT(9)
#define X86_FLAG_DF BIT(10)
#define X86_FLAG_OF BIT(11)
#define X86_FLAG_IOPL (3u << 12)
#define X86_FLAG_NT BIT(14)
#define X86_FLAG_RF BIT(16)
#define X86_FLAG_VM BIT(17)
#define X86_FLAG_AC BIT(18)
#define X86_FLAG_VIF BIT(19)
#define X86_FLAG_VIP BIT(20)
#define X86_FLAG_ID BIT(21)

#define X86_CR0_PE BIT(0)
#define X86_CR0_MP BIT(1)
#define X86_CR0_EM BIT(2)
#define X86_CR0_TS BIT(3)
#define X86_CR0_ET BIT(4)
#define X86_CR0_NE BIT(5)
#define X86_CR0_WP BIT(16)
#define X86_CR0_AM BIT(18)
#define X86_CR0_NW BIT(29)
#define X86_CR0_CD BIT(30)
#define X86_CR0_PG BIT(31)

#define X86_CR4_VME BIT(0)
#define X86_CR4_PVI BIT(1)
#define X86_CR4_TSD BIT(2)
#define X86_CR4_DE BIT(3)
#define X86_CR4_PSE BIT(4)
#define X86_CR4_PAE BIT(5)
#define X86_CR4_MCE BIT(6)
#define X86_CR4_PGE BIT(7)
#define X86_CR4_PCE BIT(8)
#define X86_CR4_OSFXSR BIT(9)
#define X86_CR4_OSXMMEXCPT BIT(10)
#define X86_CR4_UMIP BIT(11)
#define X86_CR4_FSGSBASE BIT(16)
#define X86_CR4_PCIDE BIT(17)
#define X86_CR4_OSXSAVE BIT(18)
#define X86_CR4_SMEP BIT(20)
#define X86_CR4_SMAP BIT(21)

#define X86_EFER_SCE BIT(0)
#define X86_EFER_LME BIT(8)
#define X86_EFER_LMA BIT(10)
#define X86_EFER_NXE BIT(11)
#define X86_EFER_AUTOIBRS BIT(21)

/* Exception vectors (SDM 3A table 6-1) */
enum x86_vector {
	X86_VEC_DE = 0, X86_VEC_DB = 1, X86_VEC_NMI = 2, X86_VEC_BP = 3, X86_VEC_OF = 4,
	X86_VEC_BR = 5, X86_VEC_UD = 6, X86_VEC_NM = 7, X86_VEC_DF = 8, X86_VEC_TS = 10,
	X86_VEC_NP = 11, X86_VEC_SS = 12, X86_VEC_GP = 13, X86_VEC_PF = 14, X86_VEC_MF = 16,
	X86_VEC_AC = 17, X86_VEC_MC = 18, X86_VEC_XM = 19
};

/* Groups of state, as bits, so that only what is wanted moves */
#define X86_STATE_GPR BIT(0)	/* gpr, rip, rflags */
#define X86_STATE_SEG BIT(1)	/* seg, gdt, idt */
#define X86_STATE_CTRL BIT(2)	/* cr0..cr8, efer, apic_base, xcr0 */
#define X86_STATE_FPU BIT(3)	/* xsave */
#define X86_STATE_MSR BIT(4)	/* msr.* */
#define X86_STATE_DEBUG BIT(5)	/* dr */
#define X86_STATE_EVENTS BIT(6) /* event.* */
#define X86_STATE_LAPIC BIT(7)	/* lapic page; only accelerators with cap LAPIC */
#define X86_STATE_ALL 0xffu

/* What a CPU is doing besides running instructions */
enum x86_activity { X86_RUNNING, X86_HALTED, X86_WAIT_SIPI, X86_SHUTDOWN };

struct x86_state {
	u64 gpr[X86_NUM_GPRS];
	u64 rip;
	u64 rflags; /* bit 1 always set */
	struct x86_segment seg[X86_NUM_SEGS];
	struct x86_table gdt, idt;
	u64 cr0, cr2, cr3, cr4, cr8;
	u64 efer;
	u64 apic_base;
	u64 xcr0;
	u64 dr[8]; /* 4 and 5 unused */
	struct {
		u64 star, lstar, cstar, sfmask;
		u64 kernel_gs_base; /* fs and gs base are in seg[] */
		u64 sysenter_cs, sysenter_esp, sysenter_eip;
		u64 tsc;     /* value at the moment of state_get */
		u64 tsc_aux;
		u64 pat;
		u64 mtrr_def_type;
		u64 misc_enable;
		u64 kvm_system_time, kvm_wall_clock, kvm_steal_time, kvm_pv_eoi, kvm_async_pf;
	} msr;
	struct {
		u8 activity;	     /* enum x86_activity */
		u8 nmi_pending, nmi_blocked;
		u8 int_shadow;	     /* 1: by STI, 2: by MOV SS / POP SS */
		u8 exception_pending, exception_vector, exception_has_error;
		u32 exception_error;
		u8 interrupt_injected, interrupt_vector; /* taken from the LAPIC, not yet delivered */
	} event;
	ALIGNED(64) u8 xsave[4096]; /* XSAVE standard format */
	u8 lapic[1024];
};

/* State after INIT or power-on (SDM 3A table 9-1); defined in accel/x86_state.c.
 * @bsp: false leaves the CPU in X86_WAIT_SIPI */
void x86_state_reset(struct x86_state *st, bool bsp);
/* Registers as text lines for a human: rip, flags, GPRs, segments, control registers */
struct strbuf;
void x86_state_dump(const struct x86_state *st, unsigned cpu, struct strbuf *out);

#endif
