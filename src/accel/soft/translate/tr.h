// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/translate/tr.h - What the translator's files share while a block is made
 *
 * translate.c builds blocks, tr_mem.c flags and memory operands, tr_copy.c guest
 * instructions that run as they are, tr_flow.c jumps, calls and the stack. */
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

struct tr {
	struct sc_vcpu *v;
	struct sc_cache *c;
	struct emit e;
	gpa_t gpa, gpa2;	     /* as in struct sc_block */
	struct sc_page *page2;
	u64 granules2;
	bool into_crossing;	     /* the next instruction crosses the page */
	u32 mode;

	struct sc_insn in[SC_BLOCK_INSNS];
	u16 off[SC_BLOCK_INSNS + 1]; /* offset in page; one more: where the block ends */
	u16 live[SC_BLOCK_INSNS + 1]; /* flags wanted before instruction i */
	unsigned n;
	/* Stack accesses that the check at the start covers: guest rsp relative to its value
	 * there, which of the instructions' accesses are covered (bit 0 the operand, bit 1 the
	 * push or pop), and the range [lo, hi) of all */
	u8 stack[SC_BLOCK_INSNS];
	s32 stack_lo, stack_hi;
	bool stack_check;
	u32 block;		     /* offset of struct sc_block in cache->meta */
	u32 stack_start;	     /* the check */
	u32 stack_site;		     /* of the check's jump to its slow path */
	unsigned i;		     /* the one being emitted */
	bool open_end;		     /* falls through into the instruction at off[n] */

	enum tr_flags flags;
	u32 start;		     /* main entry */

	/* Slow paths of memory accesses, emitted behind the block */
	struct tr_cold {
		u32 site, retry, next;
		struct sc_meta meta;
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
	} exit[SC_BLOCK_EXITS + 2];
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
/* Value of guest register @g: its host register, or loaded into @scratch */
unsigned tr_get(struct tr *t, unsigned g, unsigned scratch);

/* tr_stack.c */
#define TR_STACK_OPERAND BIT(0)
#define TR_STACK_PUSH_POP BIT(1)
void tr_stack_plan(struct tr *t);
void tr_stack_check(struct tr *t);     /* at the block's start; flags are stashed or dead */
void tr_stack_cold_emit(struct tr *t);
/* Is this access covered? Then the host address of guest rsp + @disp is in r8 */
bool tr_stack_ptr(struct tr *t, unsigned which, s32 disp);

/* tr_mem.c */
void tr_clobber_flags(struct tr *t, u16 live); /* host RFLAGS will be destroyed; uses r8 */
void tr_want_flags(struct tr *t);	       /* host RFLAGS must hold them; uses r9 */
/* Host address of the current operand into r8, ready for the access. Uses r9, r10 and, unless
 * the operand is on the checked stack, the host's flags, which it stashes when @live wants
 * them. false: cannot be done, nothing emitted but perhaps the stash */
bool tr_operand(struct tr *t, unsigned size, bool write, u16 live);
bool tr_address(struct tr *t);		       /* linear address of the operand into r8; uses r9 */
/* Guest address in r8 becomes host address; uses r9, r10, flags. */
void tr_probe(struct tr *t, unsigned size, bool write);
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
void tr_edges_emit(struct tr *t);
/* How an instruction ends a block */
enum tr_end { TR_GOES_ON, TR_SIDE_EXIT, TR_ENDS };
enum tr_end tr_ends_block(const struct tr *t, const struct sc_insn *in);
void tr_push_scratch(struct tr *t, u16 live); /* push v->scratch[0], 8 bytes */

#endif
