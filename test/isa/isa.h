// SPDX-License-Identifier: BSD-2-Clause
/* test/isa/isa.h - The host CPU as the judge of the software CPU
 *
 * A case is a few instructions, a register state and memory. It runs on several engines,
 * native among them, from exactly the same state at exactly the same addresses: the
 * arena is mapped at a fixed place of this process, and the guest's page tables map guest
 * linear addresses to themselves there. Afterwards everything a program can see
 * must be equal: registers, flags, vector and x87 state, memory, and which fault came where.
 *
 * Files: arena.c memory; native.c, native_run.S the judge; soft.c, translate.c the
 * engines under test; compare.c. gen.c makes cases of single instructions and short
 * sequences (isa_test.c); program.c, prog_mem.c, prog_flow.c make whole programs, shrink.c
 * makes a failing one small, casefile.c writes it to cases/, which replay_test.c runs for ever.
 * fuzz/isa_diff.c goes on without end. */
#ifndef TEST_ISA_ISA_H
#define TEST_ISA_ISA_H

#include <stdio.h>

#include "base/types.h"

/* ----------------------------------------------------------------- arena */

/* One piece of guest RAM, guest-physical = linear = host address but for ISA_EXIT */
#define ISA_BASE 0x20000000ull
#define ISA_SIZE 0x400000ull
#define ISA_DATA (ISA_BASE + 0x200000) /* two pages read-write, then a hole */
#define ISA_DATA_LEN 0x2000u
#define ISA_HOLE (ISA_DATA + ISA_DATA_LEN)
#define ISA_RO (ISA_DATA + 0x4000)     /* one page read-only */
#define ISA_STACK (ISA_BASE + 0x210000) /* one page */
#define ISA_STACK_LEN 0x1000u
#define ISA_CODE (ISA_BASE + 0x220000) /* two pages, then a hole */
#define ISA_CODE_LEN 0x2000u
/* Where a case jumps to when it is done: the host has the way back there, the guest an INT3 */
#define ISA_EXIT (ISA_BASE + 0x230000)
#define ISA_EXIT32 (ISA_EXIT + 64)
#define ISA_CR3 ISA_BASE
#define ISA_SYSTEM (ISA_BASE + 0x8000) /* supervisor pages: GDT, IDT, TSS, stack, handlers */
#define ISA_SYSTEM_LEN 0x8000u
#define ISA_GDT ISA_SYSTEM		   /* like Linux': the same selectors */
#define ISA_GDT_LIMIT 0x7fu
#define ISA_GUEST_EXIT (ISA_SYSTEM + 0x7000) /* what ISA_EXIT is for the guest */
#define ISA_CS32 0x23
#define ISA_DS 0x2b
#define ISA_CS64 0x33

void isa_arena_create(void);
/* The arena and all engines. The judge comes last: what happens to its code is none of theirs. */
void isa_start(void);
void isa_stop(void);

/* ----------------------------------------------------------------- state */

#define ISA_XSAVE_LEN 832 /* x87, SSE, AVX in the standard format */

struct isa_state {
	u64 gpr[16];
	u64 rip;
	u64 rflags; /* arithmetic bits and DF */
	u64 fs_base, gs_base;
	ALIGNED(64) u8 xsave[ISA_XSAVE_LEN];
};

struct isa_case {
	u8 code[ISA_CODE_LEN]; /* INT3 where there is nothing */
	unsigned start;	   /* offset of the first instruction */
	unsigned len;	   /* offset behind the last one */
	unsigned bits;	   /* 8: 64-bit code, 4: 32-bit code in compatibility mode */
	struct isa_state in;
	u8 data[ISA_DATA_LEN], stack[ISA_STACK_LEN];
};

#define ISA_NO_FAULT (-1)
#define ISA_TIMEOUT 99
struct isa_result {
	int vector;	/* ISA_NO_FAULT, the exception that ended it, or ISA_TIMEOUT */
	u32 error;	/* its error code, where it has one */
	u64 fault_addr; /* #PF */
	bool gave_up;	/* the engine did not come to an end */
	bool flags_lost; /* the engine does not keep arithmetic flags at this fault */
	struct isa_state out;
	u8 data[ISA_DATA_LEN], stack[ISA_STACK_LEN], code[ISA_CODE_LEN];
	/* isa_interp counts */
	u32 steps;			/* instructions without a fault */
	u64 seen[ISA_CODE_LEN / 64];	/* where they began */
};

/* Vectors that push an error code */
static inline bool isa_has_error(int vector) { return vector >= 0 && vector < 32 && 0x27d00u >> vector & 1; }

/* ---------------------------------------------------------------- engines */

struct isa_engine {
	const char *name;
	void (*init)(void);
	void (*fini)(void); /* NULL: nothing to do */
	/* The arena holds code and memory; fill everything of @r but data and stack */
	void (*run)(const struct isa_case *c, struct isa_result *r);
};
extern const struct isa_engine isa_native, isa_interp, isa_translate;
/* NULL-terminated: all but isa_native */
extern const struct isa_engine *const isa_engines[];

/* May guest code use RDFSBASE and the like, and have bases of its own natively? */
bool isa_have_fsgsbase(void);
/* Of isa_translate so far: instructions that the interpreter ran, blocks made */
void isa_translate_stats(u64 *interpreted, u64 *blocks);
/* [signal] The engine that runs has taken too long */
void isa_stop_engines(void);
/* Set up memory, run, fetch memory. A case that does not end is stopped after a second or two,
 * with vector ISA_TIMEOUT. */
void isa_run(const struct isa_engine *e, const struct isa_case *c, struct isa_result *r);

/* -------------------------------------------------------------- generation */

struct isa_rng {
	u64 s;
};
u64 isa_rand(struct isa_rng *r);
static inline u64 isa_below(struct isa_rng *r, u64 n) { return isa_rand(r) % n; }

/* A point of the opcode space */
struct isa_opcode {
	u8 vex;	   /* 1: VEX, vl and w count */
	u8 map;	   /* 0 one byte, 1 0F, 2 0F38, 3 0F3A */
	u8 prefix; /* 0, 0x66, 0xf3, 0xf2 */
	u8 opcode;
};
enum isa_style {
	ISA_SINGLE,  /* any registers, memory operands that may fault */
	ISA_SEQUENCE /* keeps the registers that addresses are made of */
};
struct sc_insn;
/* Do guests have it? isa_interp must be initialised. */
bool isa_exposed(const struct sc_insn *in);
u64 isa_value(struct isa_rng *r); /* corners, floats, small and any numbers */
/* Random registers, memory; empty code */
void isa_case_init(struct isa_case *c, struct isa_rng *r, unsigned bits);
/* Append one instruction of @op. Return: false when there is none that can be compared */
bool isa_case_add(struct isa_case *c, struct isa_rng *r, const struct isa_opcode *op,
		  enum isa_style style);
/* Append given bytes: one or more instructions */
void isa_case_bytes(struct isa_case *c, const u8 *bytes, unsigned len);

/* -------------------------------------------------------------- comparison */

/* Return: 0 when equal; else says what differs on @to (NULL: nowhere), with the instructions */
int isa_compare(const struct isa_case *c, const char *engine, const struct isa_result *want,
		struct isa_result *got, FILE *to);
void isa_print_code(const struct isa_case *c, FILE *to);
/* Bring XSAVE images to one form: initial components written out, host pointers dropped */
void isa_normalize(struct isa_state *st);

#endif
