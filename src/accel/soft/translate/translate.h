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
 * Memory operands are checked against the page that the place used last
 * (tr_window.c), behind which is the software TLB; then the guest's own instruction
 * runs with [r8 + register + displacement] as its operand. The check is before the
 * instruction's first effect, so when it fails the slow path fills the TLB and the
 * slot and checks again, or has the interpreter do the whole instruction.
 *
 * Arithmetic flags stay in the host's RFLAGS. Probes destroy them; where they are
 * still wanted (backward liveness, unknown after an exit means wanted) they are
 * stashed once (lahf, seto) and brought back only before an instruction that
 * reads them. Every block has a second entry that first takes flags out of the
 * stash, which is the same as the first when it does not want any.
 *
 * Jumps inside the page are chained by patching; jumps to other pages and indirect
 * ones look the target up in v->ibtc, and returns go the host's way back
 * (shadow.c). Backward jumps, look-ups and returns test v->attention, so every loop
 * does.
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
	s16 to_retry;	/* from this struct to where the access begins again, bytes */
	s16 to_next;	/* ... to the next instruction; 0 = right behind this struct */
};

/* Follow a call of sc_thunk_window and of sc_thunk_site; enter.S knows the offsets */
struct sc_window_meta {
	struct sc_meta m;
	u16 span;	/* bytes of the window | SC_SITE_STORES */
	u16 delta;	/* the access made now is that far into it | SC_SITE_SOLO */
};
struct sc_site_meta {
	struct sc_window_meta w;
	u32 slot;	/* offset of the window's struct sc_site in struct sc_vcpu */
};
#define SC_SITE_STORES BIT(15) /* in a page that may be stored to */
#define SC_SITE_SOLO BIT(15) /* the window is of this access alone */

/* Entry points at the start of the code memory, where any block can reach them */
enum sc_thunk {
	SC_THUNK_CHAIN, SC_THUNK_BRANCH, SC_THUNK_SLOW, SC_THUNK_INTERP, SC_THUNK_SITE, SC_THUNK_WINDOW,
	SC_NUM_THUNKS
};
#define SC_THUNK_BYTES 16
/* What an indirect branch says of itself: its offset in the page and how to undo its change of
 * rsp; 0: nothing */
#define SC_BRANCH_FROM(off, undo) (((u32)(off) + 1) | (u32)(undo) << 16)
#define SC_THUNK_AT(t) ((t) * SC_THUNK_BYTES)
/* Jumped to with a guest rip in r8 and stashed flags; one a TLB kind */
#define SC_JUMP_AT(kind) (SC_THUNK_AT(SC_NUM_THUNKS) + (kind) * 128)
/* Jumped to with the address that a ret popped in r8, SC_BRANCH_FROM in r10, stashed flags */
#define SC_RET_AT(kind) (SC_JUMP_AT(SC_NUM_TLBS) + (kind) * 128)
#define SC_CODE_FIRST 768

int sc_translate_init(struct sc_cache *c) MUST_CHECK; /* [setup] writes the thunks */
void sc_translate_fini(struct sc_cache *c);

int sc_shadow_init(struct sc_vcpu *v) MUST_CHECK; /* [setup] 0 or -ENOMEM */
void sc_shadow_fini(struct sc_vcpu *v);
void sc_shadow_reset(struct sc_vcpu *v, enum sc_tlb_kind k); /* [vcpu] forget all frames */

/* [vcpu] Make a block for @gpa in @mode (v->mode and perhaps SC_MODE_SOLO). Return: NULL when its first instruction has to be
 * interpreted (it crosses the page, or is not in RAM) */
struct sc_block *sc_translate(struct sc_vcpu *v, gpa_t gpa, u32 mode);

/* [vcpu] enter.S */
u64 sc_enter(struct sc_vcpu *v, void *host);
void sc_leave(void);
void sc_thunk_chain(void);
void sc_thunk_branch(void);
void sc_thunk_slow(void);
void sc_thunk_interp(void);
void sc_thunk_site(void);
void sc_thunk_window(void);
#define SC_LEFT_BRANCH (~0ull)

/* [vcpu] called by enter.S; return where to go on or NULL to leave */
void *sc_slow_access(struct sc_vcpu *v, const struct sc_meta *meta, gva_t addr);
void *sc_slow_interp(struct sc_vcpu *v, const struct sc_meta *meta);
/* The TLB does not have the window's page, or the window is in two, or it is time to ask whether
 * its slot is of use at all. @addr: where it begins */
void *sc_slow_site(struct sc_vcpu *v, const struct sc_site_meta *meta, gva_t addr);
void *sc_slow_window(struct sc_vcpu *v, const struct sc_window_meta *meta, gva_t addr);

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
