// SPDX-License-Identifier: BSD-2-Clause
/* test/isa/program.h - Whole programs: straight code, branches, loops, calls, faults
 *
 * A program is a list of items, one instruction each, that are put together only when
 * it is linked: so the shrinker can take any of them out. */
#ifndef TEST_ISA_PROGRAM_H
#define TEST_ISA_PROGRAM_H

#include "isa.h"

#define ISA_MAX_ITEMS 320

/* What a field of an item is filled with at link time */
enum isa_fix {
	ISA_FIX_NONE,
	ISA_FIX_REL,	  /* displacement to item @target */
	ISA_FIX_RIP,	  /* displacement to @addr */
	ISA_FIX_RIP_ITEM, /* displacement to byte @add of item @target */
	ISA_FIX_ABS_ITEM  /* address of item @target */
};

struct isa_item {
	u8 b[15], len;
	u8 fix, at, width; /* enum isa_fix; which bytes of b */
	u8 add;
	bool gone;	   /* not there any more */
	bool tied;	   /* makes no sense without the one before */
	s16 target;	   /* the number of items: the end */
	u16 mnemonic;
	u64 addr;
};

struct isa_program {
	struct isa_case c;
	struct isa_item item[ISA_MAX_ITEMS];
	unsigned n;
	u8 tail[16];	/* last bytes of the code pages */
	bool has_tail;
	u16 offset[ISA_MAX_ITEMS + 1]; /* after linking: where each is in the code */
};

/* Everything about a program follows from @seed. Initialise the engines first. */
void isa_program_make(struct isa_program *p, u64 seed);
/* Fill in p->c.code. Return: false when it does not fit */
bool isa_program_link(struct isa_program *p);

/* Make @p small while @e differs from the host: fewer items, then simpler state. @tries: how
 * many runs at most. */
void isa_shrink(struct isa_program *p, const struct isa_engine *e, unsigned tries);

/* casefile.c: a case as text. @note: words for its head. 0 or -1. */
int isa_case_save(const struct isa_case *c, const char *path, const char *note);
int isa_case_load(struct isa_case *c, const char *path);

/* ------------------------------------------ between program.c, prog_*.c */

struct prog {
	struct isa_program *p;
	struct isa_rng r;
	unsigned bits, regs; /* regs: 16 or 8 general registers */
	u16 fixed;	/* registers that free instructions leave alone */
	u8 base[2], index, counter; /* some of those, with known values: */
	u64 base_at[2], index_is;
	u64 fs, gs;
	unsigned depth; /* inside loops, branches, functions */
	bool no_push, looping;
	bool wild;	/* the next memory operand may fault */
	bool full;
};

static inline u64 prog_below(struct prog *g, u64 n) { return isa_below(&g->r, n); }
static inline bool prog_chance(struct prog *g, unsigned n) { return isa_below(&g->r, n) == 0; }

/* prog_insn.c: append. Return: the item's number */
unsigned prog_bytes(struct prog *g, const void *b, unsigned len);
/* The same for several instructions: an item each */
void prog_code(struct prog *g, const void *b, unsigned len);
#define PROG_BYTES(g, s) prog_code(g, s, sizeof(s) - 1)
unsigned prog_mov_imm(struct prog *g, unsigned reg, u64 val);
/* mov [at], imm32 or imm16 without a register; size 2, 4 or 8 (sign-extended) */
void prog_poke(struct prog *g, u64 at, u32 imm, unsigned size);
/* A general register that is free to be written, not in @avoid */
unsigned prog_free_reg(struct prog *g, u16 avoid);
/* One random instruction, and what it needs before. false: none found this time */
bool prog_insn(struct prog *g);
u64 prog_target(struct prog *g);

/* A memory operand, ready to be put behind an opcode */
struct prog_mem {
	u8 prefix[3], nprefix;
	u8 rex;		  /* X and B */
	u8 b[6], n;	  /* ModRM with reg 0, SIB, displacement */
	u8 rip_at;	  /* where in b; 0: not RIP relative */
	u64 addr;
	u16 uses;	  /* registers in it */
	u8 set[2], nset;  /* registers to be loaded before */
	u64 val[2];
};
/* prog_mem.c */
void prog_mem(struct prog *g, struct prog_mem *m, u64 at, bool plain);

/* prog_flow.c */
void prog_body(struct prog *g, unsigned items);
void prog_end(struct prog *g);
/* prog_state.c: x87 and XSAVE images, MXCSR, segments, gathers */
void prog_state(struct prog *g);

#endif
