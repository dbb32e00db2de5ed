// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/translate/tr.h - What the translator's files share while a block is made
 *
 * translate.c builds blocks, tr_window.c plans and checks memory accesses, tr_mem.c has
 * registers, flags, addresses and slow paths, tr_copy.c guest instructions that run as
 * they are, tr_flow.c jumps, calls and the stack. */
#ifndef ACCEL_SOFT_TRANSLATE_TR_H
#define ACCEL_SOFT_TRANSLATE_TR_H

#include "accel/soft/decode/decode.h"
#include "accel/soft/emit/emit.h"
#include "accel/soft/offsets.h"
#include "accel/soft/translate/translate.h"

/* Where the guest's arithmetic flags are at a point of the block */
enum tr_flags {
	TR_REGS,    /* host RFLAGS */
	TR_STASHED, /* v->flags_stash */
	TR_BOTH,
	TR_DEAD	    /* nobody wants them */
};

#define TR_MAX_COLD 128
#define TR_MAX_WINDOWS (2 * SC_BLOCK_INSNS)
#define TR_NO_WINDOW 0xff

/* Memory that one check covers; tr_window.c */
enum tr_window_kind {
	TR_WINDOW_ADDRESS, /* one access whose address is computed into r9 */
	TR_WINDOW_BASE,	   /* around a register, or the running page (SC_REG_RIP) */
	TR_WINDOW_STACK	   /* around rsp, which moves meanwhile */
};
struct tr_window {
	u8 kind, base;
	bool write, checked;
	bool tlb;   /* looks into the TLB, has no slot */
	u8 members; /* accesses */
	s64 lo, hi; /* [lo, hi) relative to the base; stack: to rsp at the block's start */
	u32 addend; /* where it is in the vCPU, once checked */
};

/* Host operand of a guest access: [r8 + index + disp] */
struct tr_mem {
	u8 index; /* 0xff: none */
	s32 disp;
};

struct tr {
	struct sc_vcpu *v;
	struct sc_cache *c;
	struct emit e;
	gpa_t gpa, gpa2;	     /* as in struct sc_block */
	struct sc_page *page2;
	u64 granules2;
	u32 mode;
	u64 deps;		     /* granules of the page that live_at() looked at */
	bool hot;		     /* the page runs much: windows have slots of their own */
	bool loops;		     /* jumps to its own start */
	u32 shadow_full, shadow_back; /* site of a call's jump when its shadow stack is full, way back */
	bool attends;		     /* looks at v->attention there, so that these jumps need not */

	struct sc_insn in[SC_BLOCK_INSNS];
	struct sc_insn ahead;	     /* of live_at() */
	u16 live_taken[SC_BLOCK_INSNS]; /* flags wanted where a conditional jump leads */
	u16 off[SC_BLOCK_INSNS + 1]; /* offset in page; one more: where the block ends */
	u16 live[SC_BLOCK_INSNS + 1]; /* flags wanted before instruction i */
	unsigned n;
	bool poly;		     /* the planned instruction is (cache_is_poly) */
	struct tr_window window[TR_MAX_WINDOWS];
	unsigned num_windows;
	u8 win_operand[SC_BLOCK_INSNS], win_slot[SC_BLOCK_INSNS]; /* indices, or TR_NO_WINDOW */
	s32 rsp[SC_BLOCK_INSNS];     /* known moves of rsp before instruction i */
	struct tr_mem m;	     /* of the current access */
	u8 held;		     /* guest register that r10 has a copy of, or TR_NONE_HELD */
	s32 lag;		     /* guest rsp is r11 + lag: pushes and pops add up */
	bool pinned;		     /* the current instruction uses r10 as it is */
	u8 uses[4];		     /* of guest r8..r11 from the current instruction on */
	unsigned i;		     /* the one being emitted */
	bool open_end;		     /* falls through into the instruction at off[n] */

	enum tr_flags flags;
	u32 start;		     /* main entry */

	/* Slow paths of memory accesses, emitted behind the block */
	struct tr_cold {
		u32 site, retry, next;
		struct sc_meta meta;
		u8 thunk;	     /* SC_THUNK_SLOW, _SITE or _WINDOW */
		u32 slot;	     /* as struct sc_site_meta */
		u16 span, delta;     /* as struct sc_site_meta */
		bool solo;
		u8 held, held_next;  /* what r10 has to hold there */
		u32 r8_next;	     /* and r8 */
	} cold[TR_MAX_COLD];
	unsigned num_cold, cold_of_insn;

	/* Taken edges of conditional jumps that need more than a jump */
	struct tr_edge {
		u32 site;
		s32 target;		/* offset relative to the page */
		enum tr_flags flags;
		bool backward;
	} edge[SC_BLOCK_EXITS];
	unsigned num_edges;

	/* STI with an interrupt waiting */
	struct tr_sti {
		u32 site;
		struct sc_meta meta;
	} sti[SC_BLOCK_INSNS];
	unsigned num_stis;

	struct tr_exit {
		u32 site;
		u16 off;
		bool stashed;
	} exit[SC_BLOCK_EXITS + 2 + SC_BLOCK_INSNS];
	unsigned num_exits;
};

static inline const struct sc_insn *tr_insn(const struct tr *t) { return &t->in[t->i]; }
static inline u16 tr_next_off(const struct tr *t) { return t->off[t->i] + t->in[t->i].len; }
static inline unsigned tr_tlb(const struct tr *t)
{
	return t->mode & SC_MODE_USER ? SC_TLB_USER : SC_TLB_KERNEL;
}

/* Guest registers that stay in v->gpr */
static inline bool tr_in_memory(unsigned g) { return g >= 8 && g <= 11; }
/* Host register of the others */
static inline unsigned tr_host(unsigned g) { return g == 4 ? H_R11 : g; }
static inline u32 tr_gpr_off(unsigned g) { return offsetof(struct sc_vcpu, gpr) + 8 * g; }
/* tr_mem.c: registers. Guest r8..r11 live in v->gpr, always up to date; r10 keeps a copy of
 * one of them between instructions when it is used again soon. */
#define TR_NONE_HELD 0xff
/* Value of guest register @g: its host register, r10 when held, or loaded into @scratch */
unsigned tr_get(struct tr *t, unsigned g, unsigned scratch);
/* Host register to put a new value of @g into, then tr_put() */
unsigned tr_dst(struct tr *t, unsigned g, unsigned scratch);
void tr_put(struct tr *t, unsigned g, unsigned host);
void tr_forget(struct tr *t); /* r10 is needed for something else */
/* Is @g worth r10? Then it holds it from now on; the caller loads or writes it */
bool tr_hold(struct tr *t, unsigned g);

void tr_rsp(struct tr *t); /* make r11 guest rsp itself */
/* A push, pop or ret: it takes rsp + lag as it is */
bool tr_lets_rsp_lag(const struct sc_insn *in);

/* Flags and addresses */
void tr_clobber_flags(struct tr *t, u16 live); /* host RFLAGS will be destroyed; uses r8 */
void tr_want_flags(struct tr *t, unsigned tmp); /* host RFLAGS must hold them; uses @tmp */
/* Linear address of the operand into @dst (r8 or r9); uses @tmp, the other. false: cannot */
bool tr_address(struct tr *t, unsigned dst, unsigned tmp);
void tr_tlb_index(struct tr *t); /* r9: offset of the TLB entry of the address in r8 */
/* Guest address in r8 becomes host address, t->m; uses r9, flags */
void tr_probe(struct tr *t, unsigned size, bool write);

/* tr_window.c */
void tr_windows_plan(struct tr *t);
/* The current operand becomes t->m, ready for the access. Uses r8, r9 and, when its window
 * was not checked yet, the host's flags, which it stashes when @live wants them. false: cannot
 * be done, nothing emitted but perhaps the stash */
bool tr_operand(struct tr *t, unsigned size, bool write, u16 live);
/* The same for the 8 bytes at rsp (leave: rbp) + @disp that the instruction pushes or pops */
void tr_slot(struct tr *t, s32 disp, bool write, u16 live);

/* Call the interpreter for the current instruction; @end: and leave the block */
void tr_interp(struct tr *t, bool end);
struct sc_meta tr_meta(const struct tr *t); /* of the current instruction and flags */
void tr_call_interp(struct tr *t, struct sc_meta m);
void tr_cold_emit(struct tr *t);

/* Flags that do not depend on their old value after @in. Beyond fl_killed: those that are
 * undefined, where CPUs set them to something all the same */
u16 tr_killed(const struct sc_insn *in);

/* tr_copy.c: false when the interpreter has to do it (nothing was emitted) */
bool tr_copy(struct tr *t);
bool tr_can_copy(const struct tr *t, const struct sc_insn *in);

/* tr_sys.c: frequent system instructions and bit strings in line; false: not one of them.
 * Flags are known exactly for those that tr_sys_exact names. */
bool tr_sys(struct tr *t);
bool tr_sys_exact(const struct tr *t, const struct sc_insn *in);
void tr_sti_cold_emit(struct tr *t);

/* tr_flow.c */
bool tr_flow(struct tr *t);   /* branches and stack instructions; false: not one of them */
void tr_fallthrough(struct tr *t);
void tr_jump_solo(struct tr *t, u16 off, bool stashed); /* to the solo variant at @off */
void tr_edges_emit(struct tr *t);
void tr_attend(struct tr *t); /* leave at the block's start when v->attention is set; flags are dead */
/* How an instruction ends a block */
enum tr_end { TR_GOES_ON, TR_SIDE_EXIT, TR_ENDS };
enum tr_end tr_ends_block(const struct tr *t, const struct sc_insn *in);
void tr_push_scratch(struct tr *t, u16 live); /* push v->scratch[0], 8 bytes */

#endif
