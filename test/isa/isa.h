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
 * engines under test; gen.c random instructions; compare.c; isa_test.c. */
#ifndef TEST_ISA_ISA_H
#define TEST_ISA_ISA_H

#include "base/types.h"

/* ----------------------------------------------------------------- arena */

/* One piece of guest RAM, guest-physical = linear = host address */
#define ISA_BASE 0x20000000ull
#define ISA_SIZE 0x400000ull
#define ISA_DATA (ISA_BASE + 0x100000) /* two pages read-write, then a hole */
#define ISA_DATA_LEN 0x2000u
#define ISA_HOLE (ISA_DATA + ISA_DATA_LEN)
#define ISA_RO (ISA_DATA + 0x4000)     /* one page read-only */
#define ISA_STACK (ISA_BASE + 0x110000) /* one page */
#define ISA_STACK_LEN 0x1000u
#define ISA_CODE (ISA_BASE + 0x120000) /* one page; the rest of the region is the engines' */
#define ISA_CR3 ISA_BASE
#define ISA_SYSTEM (ISA_BASE + 0x8000) /* supervisor pages: GDT, IDT, TSS, stack, handlers */
#define ISA_SYSTEM_LEN 0x8000u

void isa_arena_create(void);

/* ----------------------------------------------------------------- state */

#define ISA_XSAVE_LEN 832 /* x87, SSE, AVX in the standard format */

struct isa_state {
	u64 gpr[16];
	u64 rip;
	u64 rflags; /* arithmetic bits and DF */
	ALIGNED(64) u8 xsave[ISA_XSAVE_LEN];
};

struct isa_case {
	u8 code[256];
	unsigned len;
	unsigned bits;	   /* 8: 64-bit code, 4: 32-bit code in compatibility mode */
	u64 undefined;	   /* RFLAGS bits that nobody defines at the end */
	struct isa_state in;
	u8 data[ISA_DATA_LEN], stack[ISA_STACK_LEN];
};

#define ISA_NO_FAULT (-1)
struct isa_result {
	int vector;	/* ISA_NO_FAULT, or the exception that ended it */
	u64 fault_addr; /* #PF */
	bool gave_up;	/* the engine did not come to an end */
	bool flags_lost; /* the engine does not keep arithmetic flags at this fault */
	struct isa_state out;
	u8 data[ISA_DATA_LEN], stack[ISA_STACK_LEN];
};

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

/* Set up memory, run, fetch memory */
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
/* Random registers, memory; empty code */
void isa_case_init(struct isa_case *c, struct isa_rng *r, unsigned bits);
/* Append one instruction of @op. Return: false when there is none that can be compared */
bool isa_case_add(struct isa_case *c, struct isa_rng *r, const struct isa_opcode *op,
		  enum isa_style style);
/* Append given bytes: one or more instructions */
void isa_case_bytes(struct isa_case *c, const u8 *bytes, unsigned len);

/* -------------------------------------------------------------- comparison */

/* Return: 0 when equal; else says what differs on stderr, with the instructions */
int isa_compare(const struct isa_case *c, const char *engine, const struct isa_result *want,
		const struct isa_result *got);
void isa_print_code(const struct isa_case *c);
/* Bring XSAVE images to one form: initial components written out, host pointers dropped */
void isa_normalize(struct isa_state *st);

#endif
