// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/translate/translate.h - 64-bit guest code to host code
 *
 * DOC: Theory of operation
 *
 * A block is up to SC_BLOCK_INSNS instructions of one page, following not-taken
 * conditional jumps. Registers are mapped statically (enter.S), so every host
 * address inside a block has a known guest state and blocks can be joined by
 * plain jumps. Code is position-independent: it knows its offset in the page and
 * takes the page's linear address from v->rip_page, so one translation serves
 * every mapping of a physical page.
 *
 * Memory operands go through the software TLB: compute the linear address in r8,
 * probe, add the entry's addend; then the guest's own instruction runs with [r8]
 * as its operand. The probe is before the instruction's first effect, so when it
 * fails sc_slow_access fills the TLB and runs the probe again, or has the
 * interpreter do the whole instruction.
 *
 * Arithmetic flags stay in the host's RFLAGS. Probes destroy them; where they are
 * still wanted (backward liveness, unknown after an exit means wanted) they are
 * stashed once (lahf, seto) and brought back only before an instruction that
 * reads them. Every block has a second entry that first takes flags out of the
 * stash, which is the same as the first when it does not want any.
 *
 * Most accesses are to the stack, at known distances from rsp. A block with
 * several of them checks once, at its start, that all fall into the page in
 * v->stack; they then need no probe. When they do not, the block's variant
 * without the check (SC_MODE_NO_STACK) runs instead.
 *
 * Jumps inside the page are chained by patching; calls, returns and jumps to
 * other pages look the target up in v->ibtc. Backward jumps and look-ups test
 * v->attention, so every loop does.
 *
 * Instructions that are not copied run in the interpreter, in place. */
#ifndef ACCEL_SOFT_TRANSLATE_TRANSLATE_H
#define ACCEL_SOFT_TRANSLATE_TRANSLATE_H

#include "accel/soft/cache/cache.h"
#include "accel/soft/soft.h"

#define SC_BLOCK_INSNS 32
#define SC_BLOCK_EXITS 16

/* Follows a call of sc_thunk_slow or sc_thunk_interp in the code */
struct sc_meta {
	u16 guest;	/* offset in page; bit 15: flags are stashed, bit 14: dead */
	u8 len;		/* of the instruction */
	u8 access;	/* bits 6:0 bytes, bit 7 store */
	u16 back_retry; /* from this struct back to the probe, bytes */
	u16 back_next;	/* ... to the next instruction; 0 = right behind this struct */
};

/* Follows a call of sc_thunk_stack; enter.S knows the offsets of the first three */
struct sc_stack_meta {
	s16 lo;		/* the block accesses [rsp + lo, rsp + lo + span) */
	u16 span;
	s32 back;	/* from this struct to the check, bytes (negative) */
	u32 block;	/* offset in cache->meta */
	u8 stashed;	/* flags: in v->flags_stash, else dead */
};

/* Entry points at the start of the code memory, where any block can reach them */
enum sc_thunk {
	SC_THUNK_CHAIN, SC_THUNK_BRANCH, SC_THUNK_SLOW, SC_THUNK_INTERP, SC_THUNK_STACK, SC_NUM_THUNKS
};
#define SC_THUNK_BYTES 16
/* What an indirect branch says of itself: its offset in the page and how to undo its change of
 * rsp; 0: nothing */
#define SC_BRANCH_FROM(off, undo) (((u32)(off) + 1) | (u32)(undo) << 16)
#define SC_THUNK_AT(t) ((t) * SC_THUNK_BYTES)
/* Jumped to with a guest rip in r8 and stashed flags; one a TLB kind */
#define SC_JUMP_AT(kind) (SC_THUNK_AT(SC_NUM_THUNKS) + (kind) * 128)
#define SC_CODE_FIRST 512

int sc_translate_init(struct sc_cache *c) MUST_CHECK; /* [setup] writes the thunks */
void sc_translate_fini(struct sc_cache *c);

/* [vcpu] Make a block for @gpa in @mode (v->mode and perhaps SC_MODE_NO_STACK). Return: NULL when its first instruction has to be
 * interpreted (it crosses the page, or is not in RAM) */
struct sc_block *sc_translate(struct sc_vcpu *v, gpa_t gpa, u32 mode);

/* [vcpu] enter.S */
u64 sc_enter(struct sc_vcpu *v, void *host);
void sc_leave(void);
void sc_thunk_chain(void);
void sc_thunk_branch(void);
void sc_thunk_slow(void);
void sc_thunk_interp(void);
void sc_thunk_stack(void);
#define SC_LEFT_BRANCH (~0ull)

/* [vcpu] called by enter.S; return where to go on or NULL to leave */
void *sc_slow_access(struct sc_vcpu *v, const struct sc_meta *meta, gva_t addr);
void *sc_slow_interp(struct sc_vcpu *v, const struct sc_meta *meta);
/* The stack check at a block's start failed and the TLB did not have the page either */
void *sc_slow_stack(struct sc_vcpu *v, const struct sc_stack_meta *meta);

/* May translated code run from v->rip, as far as the vCPU's own state goes? */
static inline bool sc_translates(const struct sc_vcpu *v)
{
	return (v->mode & SC_MODE_64) && v->ibtc_mode[v->cpl == 3 ? SC_TLB_USER : SC_TLB_KERNEL] == v->mode &&
	       !v->int_shadow && !v->halted && !v->shutdown && !v->broken[0] &&
	       !(v->intr_wait && (v->rflags & X86_FLAG_IF)) && !v->nmi_wait &&
	       !(v->cpl == 3 && (v->rflags & X86_FLAG_AC) && (v->cr0 & X86_CR0_AM)) && !v->num_bp;
}

/* Arithmetic flags between RFLAGS and the stash */
#define SC_ARITH 0x8d5u
static inline u64 sc_stash_of(u64 rflags)
{
	return (rflags & 0xd5) << 8 | (rflags >> 11 & 1);
}
static inline u64 sc_unstash(u64 rflags, u64 stash)
{
	return (rflags & ~(u64)SC_ARITH) | (stash >> 8 & 0xd5) | (stash & 1) << 11;
}

#endif
