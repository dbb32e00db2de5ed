// SPDX-License-Identifier: BSD-2-Clause
/* Debug registers and single step */
#include "cpu.h"

NO_APS

static u8 buf[8192] __attribute__((aligned(4096)));
static u64 trail[64], trail_dr6[64];
static volatile unsigned steps;
static volatile u64 stop_at;

/* #DB that goes on: notes where, ends at stop_at */
static void note(struct trap *t)
{
	if (steps < 64) {
		trail[steps] = t->rip;
		trail_dr6[steps] = read_dr6();
	}
	steps++;
	write_dr6(0xffff0ff0);
	if (t->rip == stop_at || steps >= 64)
		t->rflags &= ~(u64)TF;
}

static void follow(const void *fn, u64 a, u64 b, const void *until)
{
	steps = 0;
	stop_at = (u64)until;
	hooks[DB] = note;
	run(fn, a, b);
	hooks[DB] = 0;
}

/* --------------------------------------------------------- single step */

#define STEP_ON "pushfq; orl $0x100, (%rsp); popfq"
CODE(step_nops, STEP_ON, "nop; nop; lea 1(%rdi), %rax");
CODE(step_ss, STEP_ON "; mov %ss, %eax", "mov %eax, %ss; nop; nop");
CODE(step_popss, "nop", "nop");
CODE(step_rep, STEP_ON "; mov $3, %ecx; mov $buf, %edi", "rep stosb; nop");
CODE(step_int, STEP_ON, "int $0x31; nop");
CODE(step_cpuid, STEP_ON "; xor %eax, %eax", "cpuid; nop");
CODE(step_hlt, STEP_ON, "hlt; nop");
CODE(step_popf, "pushfq; " STEP_ON, "popfq; nop");
CODE(step_ud, STEP_ON, "ud2");
CODE(step_jump, STEP_ON, "jmp 1f; nop; 1: nop; nop");
CODE(step_iret, "mov %ss, %rax; push %rax; lea 8(%rsp), %rcx; push %rcx; pushfq; orl $0x100, (%rsp);"
     "mov %cs, %rcx; push %rcx; lea step_iret_next(%rip), %rcx; push %rcx", "iretq");
CODE(user_step, "nop", "nop; nop; nop");
CODE(user_sys, "nop", "syscall; nop");
CODE(step_load, STEP_ON, "mov (%rdi), %rax; nop");
CODE(step_cmps, STEP_ON "; mov $3, %ecx; mov $buf, %edi; mov $buf + 100, %esi", "repe cmpsb; nop");

extern u8 step_entry[], step_entry_at[], int31[];
__asm__(".pushsection .text\nstep_entry: nop\nstep_entry_at: sysretq\n"
	"int31: nop\n nop\n iretq\n.popsection");

static void single_step(void)
{
	u64 at;

	follow(step_nops, 0, 0, step_nops_next);
	at = (u64)step_nops_at;
	equal(steps, 3, "TF: a #DB behind each instruction");
	equal(trail[0], at + 1, "the first behind the one after POPF");
	equal(trail[1], at + 2, "then each");
	equal(trail_dr6[0] & 0xf00f, 0x4000, "DR6 has BS");

	follow(step_ss, 0, 0, step_ss_next);
	equal(trail[0], (u64)step_ss_at, "MOV from SS is stepped");
	equal(trail[1], (u64)step_ss_at + 3, "MOV SS is not: the #DB comes behind the next one");
	equal(steps, 3, "and the rest is");

	follow(step_rep, 0, 0, step_rep_next);
	at = (u64)step_rep_at;
	equal(trail[2], at, "REP STOS: #DB at it after the first iteration");
	equal(trail[3], at, "after the second");
	equal(trail[4], at + 2, "behind it after the last");
	equal(steps, 6, "and no others");
	buf[100] = buf[0], buf[101] = buf[1], buf[102] = buf[2];
	follow(step_cmps, 0, 0, step_cmps_next);
	at = (u64)step_cmps_at;
	equal(trail[3], at, "REPE CMPS likewise");
	equal(trail[5], at + 2, "to its end");

	gate(0x31, (u64)int31, 0x8E, 0);
	follow(step_int, 0, 0, step_int_next);
	at = (u64)step_int_at;
	equal(trail[0], at + 3, "INT n: the handler runs unstepped; #DB behind what follows IRETQ");
	equal(steps, 1, "and no others");

	follow(step_cpuid, 0, 0, step_cpuid_next);
	equal(trail[1], (u64)step_cpuid_at + 2, "CPUID is stepped");
	follow(step_popf, 0, 0, (void *)1);
	equal(steps, 1, "POPF that clears TF still gives its #DB");
	equal(trail[0], (u64)step_popf_at + 1, "behind it");
	follow(step_jump, 0, 0, step_jump_next);
	equal(trail[0], (u64)step_jump_at + 3, "a jump: #DB at the target");
	follow(step_iret, 0, 0, run_abort);
	equal(trail[0], (u64)run_abort, "IRETQ that sets TF: #DB behind the next instruction");

	follow(step_ud, 0, 0, 0);
	equal(steps, 0, "a faulting instruction gives no #DB");
	ended(UD, 0, (u64)step_ud_at, "but its fault");
	check(last.t.rflags & TF, "with TF in the frame");
	follow(step_load, TEST_VA, 0, 0);
	equal(steps, 0, "nor does one with a page fault");
	ended(PF, 0, (u64)step_load_at, "but its fault");

	/* ring 3 */
	steps = 0;
	stop_at = USER(user_step_next);
	hooks[DB] = note;
	run_user_with(user_step, 0, 0, 2 | TF, CS64_3);
	equal(steps, 4, "TF by IRETQ to ring 3: each instruction");
	equal(trail[0], USER(user_step_at), "from the first");
	run_user_with(user_step, 0, 0, 2, CS64_3);
	steps = 0;
	wrmsr(0xC0000081, (u64)0x1b << 48 | (u64)CS64 << 32);
	wrmsr(0xC0000082, (u64)step_entry);
	wrmsr(0xC0000084, TF | IF);
	stop_at = USER(user_sys_next);
	run_user_with(user_sys, 0, 0, 2 | TF, CS64_3);
	equal(trail[0], USER(user_sys_at), "SYSCALL whose SFMASK has TF: stepped before");
	equal(trail[1], USER(user_sys_at) + 2, "not in ring 0, and SYSRET gives the #DB behind SYSCALL");
	steps = 0;
	stop_at = (u64)step_entry;
	wrmsr(0xC0000084, IF);
	run_user_with(user_sys, 0, 0, 2 | TF, CS64_3);
	equal(trail[1], (u64)step_entry, "without TF in SFMASK the #DB is at the entry");
	hooks[DB] = 0;
	wrmsr(0xC0000084, 0);
}

/* ---------------------------------------------------- instruction breakpoints */

CODE(jump_to, "nop", "jmp *%rdi");
CODE(three, "nop", "lea 1(%rdi), %rax; nop; nop");
CODE(bp_ud, "nop", "ud2");
CODE(bp_loop, "mov $3, %ecx; 1: nop", "dec %ecx; jnz 1b");
CODE(bp_rep, "mov $3, %ecx; mov $buf, %edi", "rep stosb");

static void hit_once(struct trap *t)
{
	trail[steps] = t->rip;
	trail_dr6[steps] = read_dr6();
	steps++;
	write_dr6(0xffff0ff0);
	t->rflags |= RF;
}

static void instruction(void)
{
	write_dr0((u64)three_at);
	write_dr7(0x402);
	faults(three, 1, 0, DB, 0, "instruction breakpoint is a #DB at it");
	equal(last.dr6 & 0xe00f, 1, "DR6 has B0");
	equal(last.t.rax, (u64)three, "before it ran");
	check(!(last.t.rflags & RF), "the frame has no RF: the handler sets it");
	write_dr6(0xffff0ff0);
	write_dr7(0x401);
	faults(three, 1, 0, DB, 0, "local enable works too");
	write_dr7(0x400);
	returns(three, 1, 0, "none when it is not enabled");
	write_dr7(0x402);
	hooks[DB] = hit_once;
	steps = 0;
	run(three, 1, 0);
	ended(NONE, 0, 0, "IRETQ with RF goes over it");
	equal(steps, 1, "hit once");
	equal(last.t.vector, NONE, "and the code ran on");
	write_dr0((u64)bp_loop_at);
	steps = 0;
	run(bp_loop, 0, 0);
	equal(steps, 3, "RF covers one instruction: a loop hits each time");
	write_dr0((u64)bp_rep_at);
	steps = 0;
	run(bp_rep, 0, 0);
	equal(steps, 1, "a REP instruction hits once");
	hooks[DB] = 0;
	write_dr0((u64)bp_ud_at);
	faults(bp_ud, 0, 0, DB, 0, "the breakpoint comes before the instruction's fault");
	write_dr3(TEST_VA);
	write_dr7(0x480);
	run(three, 0, 0);
	run(jump_to, TEST_VA, 0);
	ended(DB, 0, TEST_VA, "and before the page fault of its fetch");
	equal(last.dr6 & 15, 8, "DR6 has B3");
	write_dr6(0xffff0ff0);
	write_dr0((u64)three_at);
	write_dr3((u64)three_at);
	write_dr7(0x482);
	run(three, 0, 0);
	equal(last.dr6 & 15, 9, "two breakpoints at one place set both bits");
	write_dr6(0xffff0ff0);
	write_dr7(0x402);
	write_dr0(USER(three_at));
	faults_user(three, 0, 0, DB, 0, "breakpoint in ring 3");
	write_dr7(0x400);
	write_dr6(0xffff0ff0);
}

/* ------------------------------------------------------------ data breakpoints */

CODE(both, STEP_ON, "movb $1, (%rdi); nop");
CODE(st1, "nop", "movb $1, (%rdi)");
CODE(st4, "nop", "movl $1, (%rdi)");
CODE(st8, "nop", "movq $1, (%rdi)");
CODE(ld1, "nop", "mov (%rdi), %al");
CODE(ld8, "nop", "mov (%rdi), %rax");
CODE(addm, "nop", "addl $1, (%rdi)");
CODE(cmpxchg_fails, "mov $-1, %eax", "lock cmpxchg %rsi, (%rdi)");
CODE(push_, "mov %rsp, %r8; lea 8(%rdi), %rsp", "push %rax; mov %r8, %rsp");
CODE(pop_, "mov %rsp, %r8; mov %rdi, %rsp", "pop %rax; mov %r8, %rsp");
CODE(stos_, "mov $16, %ecx", "rep stosb");
CODE(movs_, "mov $4, %ecx", "rep movsb");
CODE(sse_st, "nop", "movups %xmm0, (%rdi)");
CODE(sse_ld, "nop", "movups (%rdi), %xmm0");
CODE(x87_st, "fninit; fld1", "fstpl (%rdi)");
CODE(mov_ss_mem, "nop", "mov (%rdi), %ss; nop");
CODE(call_, "mov %rsp, %r8; lea 8(%rdi), %rsp", "call 1f; 1: mov %r8, %rsp");
CODE(prefetch_, "nop", "prefetcht0 (%rdi)");
CODE(lea_, "nop", "lea (%rdi), %rax");
CODE(cmov_no, "xor %eax, %eax", "cmovnz (%rdi), %eax");
CODE(out_80, "nop", "out %al, $0x80");
CODE(in_80, "nop", "in $0x80, %al");
CODE(fxsave_, "nop", "fxsave (%rdi)");
CODE(st_fault, "nop", "movw $1, (%rdi)");

/* Breakpoint n of @type (1 write, 3 read and write), length code @len at @a */
static u64 dr7_of(unsigned n, unsigned type, unsigned len)
{
	return 0x400 | 2ul << 2 * n | (u64)(type | len << 2) << (16 + 4 * n);
}

static void trap_after(const void *fn, const u8 *next, u64 a, u64 b, u64 bits, const char *what)
{
	write_dr6(0xffff0ff0);
	run(fn, a, b);
	ended(DB, 0, (u64)next, what);
	if ((last.dr6 & 0xe00f) != bits)
		equal(last.dr6 & 0xe00f, bits, "with the right bits in DR6");
	write_dr6(0xffff0ff0);
}

#define traps_db(name, a, b, bits, what) trap_after(name, name##_next, (u64)(a), (u64)(b), bits, what)
static void data(void)
{
	u64 x = (u64)buf + 64;

	write_dr1(x);
	write_dr7(dr7_of(1, 1, 0));
	traps_db(st1, x, 0, 2, "write breakpoint: a byte store is a #DB behind it");
	check(!(last.t.rflags & RF), "a trap pushes no RF");
	equal(buf[64], 1, "and the store was made");
	trap_after(st4, st4_next, x - 3, 0, 2, "a store that covers the byte");
	trap_after(st8, st8_next, x - 7, 0, 2, "its last byte");
	returns(st4, x - 4, 0, "a store before it is none");
	returns(st4, x + 1, 0, "a store behind it is none");
	returns(ld8, x, 0, "a load is none");
	traps_db(addm, x, 0, 2, "read-modify-write");
	traps_db(cmpxchg_fails, x, 0, 2, "a CMPXCHG that fails writes too");
	trap_after(push_, push__at + 1, x, 0, 2, "PUSH");
	returns(pop_, x, 0, "POP is none");
	trap_after(call_, call__at + 5, x, 0, 2, "CALL");
	traps_db(sse_st, x - 15, 0, 2, "16-byte SSE store");
	returns(sse_ld, x, 0, "SSE load is none");
	traps_db(x87_st, x - 7, 0, 2, "x87 store");
	traps_db(fxsave_, x - 64, 0, 2, "FXSAVE");
	write_dr6(0xffff0ff0);
	run(stos_, x - 5, 0);
	ended(DB, 0, (u64)stos__at, "REP STOS stops at itself behind the iteration");
	equal(last.t.rcx, 10, "with what is left in RCX");
	equal(last.t.rdi, x + 1, "and RDI behind the byte");
	equal(last.dr6 & 15, 2, "and B1");
	write_dr6(0xffff0ff0);
	write_dr7(dr7_of(1, 3, 3));
	traps_db(ld8, x, 0, 2, "read-write breakpoint: a load");
	traps_db(ld1, x + 3, 0, 2, "a byte of the four");
	returns(ld1, x + 4, 0, "the byte behind is none");
	traps_db(st1, x + 3, 0, 2, "a store");
	traps_db(sse_ld, x - 12, 0, 2, "an SSE load");
	trap_after(pop_, pop__at + 1, x, 0, 2, "POP");
	returns(prefetch_, x, 0, "PREFETCH is none");
	returns(lea_, x, 0, "LEA is none");
	trap_after(movs_, movs__at, (u64)buf + 256, x + 3, 2, "REP MOVS from it");
	write_dr7(dr7_of(1, 3, 2));
	traps_db(ld1, x + 7, 0, 2, "length 8");
	write_dr1(x + 3);
	write_dr7(dr7_of(1, 3, 1));
	traps_db(ld1, x + 2, 0, 2, "the address is rounded down to the length");
	returns(ld1, x + 4, 0, "so the byte behind is none");
	write_dr1(x);
	write_dr2(x + 8);
	write_dr7(dr7_of(1, 3, 2) | dr7_of(2, 1, 2));
	traps_db(sse_st, x, 0, 6, "one store into two breakpoints");
	traps_db(sse_ld, x, 0, 2, "one load into two, one for writes");
	/* faults take no data breakpoint with them */
	map(TEST_VA, (u64)buf, P_P | P_W, 1);
	write_dr1(TEST_VA + 4095);
	write_dr7(dr7_of(1, 1, 0));
	faults(st_fault, TEST_VA + 4095, 0, PF, 2, "a store that faults is only a fault");
	equal(last.dr6 & 15, 0, "and DR6 shows nothing");
	*entry(TEST_VA, 1) = 0;
	invlpg(TEST_VA);
	/* MOV SS puts it off */
	*(u64 *)x = DS0;
	write_dr1(x);
	write_dr7(dr7_of(1, 3, 1));
	run(mov_ss_mem, x, 0);
	ended(DB, 0, (u64)mov_ss_mem_next, "a breakpoint of MOV SS is put off behind the next instruction");
	/* with single step: one #DB with both */
	write_dr6(0xffff0ff0);
	write_dr7(dr7_of(1, 1, 0));
	steps = 0;
	stop_at = 0;
	run(both, x, 0);
	ended(DB, 0, (u64)both_at + 3, "breakpoint and single step make one #DB");
	equal(last.dr6 & 0x400f, 0x4002, "with both bits");
	write_dr6(0xffff0ff0);
	write_dr1(USER(x));
	faults_user(ld8, x, 0, PF, 5, "a fault of ring 3 is only a fault");
	run_user(st1, USER(x), 0);
	ended(DB, 0, USER(st1_next), "breakpoint of ring 3's store");
	write_dr7(0x400);
	returns(st1, x, 0, "DR7 cleared: none");
	/* ports */
	write_cr4(read_cr4() | 8);
	write_dr6(0xffff0ff0);
	write_dr0(0x80);
	write_dr7(dr7_of(0, 2, 0));
	traps_db(out_80, 0, 0, 1, "I/O breakpoint: OUT");
	traps_db(in_80, 0, 0, 1, "and IN");
	write_cr4(read_cr4() & ~8ul);
	write_dr7(0x400);
}

/* ------------------------------------------- stacks of events and far transfers */

CODE(undefined, "nop", "ud2");
CODE(int_40, "mov %rdi, %rsp", "int $0x40");
CODE(iretq_, "mov %rdi, %rsp", "iretq");
CODE(lretq_, "mov %rdi, %rsp", "lretq $1024");
CODE(lcall_, "mov %rdi, %rsp; mov %rsi, %rax", "lcall *(%rax)");

static void stacks(void)
{
	u64 top = page_alloc() + 4096;
	volatile u64 *f = (u64 *)(top - 2048);
	static struct { u32 off; u16 sel; } __attribute__((packed)) far;

	write_dr6(0xffff0ff0);
	write_dr1((u64)rsp0_stack + sizeof(rsp0_stack) - 16);
	write_dr7(dr7_of(1, 1, 2));
	run_user(undefined, 0, 0);
	ended(DB, 0, (u64)stubs + UD * 16, "a frame pushed into a breakpoint: #DB before the handler");
	equal(last.dr6 & 0xe00f, 2, "with B1");
	equal(last.at, (u64)rsp0_stack + sizeof(rsp0_stack) - 48, "on the stack of the first, below its frame");
	write_dr6(0xffff0ff0);
	write_dr7(dr7_of(1, 3, 2));
	write_dr1(top - 40);
	run(int_40, top, 0);
	ended(DB, 0, (u64)stubs + 0x40 * 16, "INT n pushes into a breakpoint");
	write_dr6(0xffff0ff0);
	f[0] = (u64)iretq__next;
	f[1] = CS64;
	f[2] = 2;
	f[3] = top - 3072;
	f[4] = DS0;
	write_dr1((u64)(f + 3));
	run(iretq_, (u64)f, 0);
	ended(DB, 0, (u64)iretq__next, "IRETQ reads from one");
	write_dr6(0xffff0ff0);
	f[0] = (u64)lretq__next;
	write_dr1((u64)f);
	run(lretq_, (u64)f, 0);
	ended(DB, 0, (u64)lretq__next, "LRETQ reads from one");
	write_dr6(0xffff0ff0);
	far.off = (u32)(u64)three;
	far.sel = CS64;
	write_dr1(top - 8);
	run(lcall_, top, (u64)&far);
	ended(DB, 0, (u64)three, "a far call pushes into one");
	write_dr7(0x400);
	write_dr6(0xffff0ff0);
}

/* ------------------------------------------------------------- the registers */

CODE(rd_dr0, "nop", "mov %dr0, %rax");
CODE(rd_dr4, "nop", ".byte 0x0f, 0x21, 0xe0");
CODE(wr_dr7, "nop", "mov %rdi, %dr7");
CODE(wr_dr6, "nop", "mov %rdi, %dr6");

static void registers(void)
{
	write_dr7(0);
	equal(read_dr7(), 0x400, "DR7 bit 10 is always set");
	write_dr6(0);
	equal(read_dr6() & ~0x1f00ul, 0xffff00f0 | (0x0ff0 & ~0x1f00 & 0xf0), "DR6 ones");
	faults(wr_dr7, 1ul << 32, 0, GP, 0, "DR7 bits 63:32 are #GP");
	faults(wr_dr6, 1ul << 40, 0, GP, 0, "DR6 bits 63:32 are #GP");
	returns(rd_dr4, 0, 0, "DR4 is DR6");
	write_cr4(read_cr4() | 8);
	faults(rd_dr4, 0, 0, UD, 0, "DR4 with CR4.DE is #UD");
	write_cr4(read_cr4() & ~8ul);
	write_dr6(0xffff0ff0);
	write_dr7(0x2400);
	faults(rd_dr0, 0, 0, DB, 0, "DR7.GD: access is a #DB");
	equal(last.dr6 & 0x2000, 0x2000, "DR6 has BD");
	equal(read_dr7(), 0x400, "and GD is clear then");
	write_dr6(0xffff0ff0);
	write_dr0(0xffff800000001234ul);
	equal(read_dr0(), 0xffff800000001234ul, "DR0 holds 64 bits");
}

int main64(void)
{
	init();
	single_step();
	instruction();
	data();
	stacks();
	registers();
	return verdict();
}
