// SPDX-License-Identifier: BSD-2-Clause
/* Frames: IST, double faults, IRETQ in every form, SYSCALL and SYSRET, SWAPGS */
#include "cpu.h"

NO_APS

CODE(ud2_, "nop", "ud2");
CODE(int_n, "nop", "int $0x30");
CODE(odd_stack, "mov %rsp, %r8; lea -5(%rsp), %rsp", "ud2");
CODE(load, "nop", "mov (%rdi), %rax");
CODE(push_bad, "mov %rdi, %rsp", "push %rax");
CODE(nop_, "nop", "nop");
/* IRETQ of the five words at rdi */
CODE(iret_, "mov %rsp, %r8; mov %rdi, %rsp", "iretq");
CODE(iretd_, "mov %rsp, %r8; mov %rdi, %rsp", "iretl");
CODE(back, "mov %r8, %rsp", "nop"); /* where ring 0 frames go to */
CODE(user_ud2, "nop", "ud2");
CODE(set_nt, "pushfq; orl $0x4000, (%rsp); popfq", "iretq");
CODE(retf_, "mov %rsp, %r8; mov %rdi, %rsp", "lretq");
CODE(retf16_, "mov %rsp, %r8; mov %rdi, %rsp", "lretq $32");

/* Faults of an IRETQ from here push below it */
static u64 frame_stack[1024 + 8] __attribute__((aligned(16)));
#define frame (frame_stack + 1024)
static u8 ist2[4096] __attribute__((aligned(16)));

static void ist(void)
{
	faults(odd_stack, 0, 0, UD, 0, "exception on a misaligned stack");
	equal(last.at & 15, 0, "the frame ends at a multiple of 16");
	equal(last.t.rsp & 15, (run_rsp - 8 - 5) & 15, "the saved RSP is the misaligned one");
	tss.ist[1] = (u64)ist2 + sizeof(ist2) - 3;
	gate(UD, (u64)stubs + UD * 16, 0x8E, 2);
	faults(ud2_, 0, 0, UD, 0, "exception with IST");
	equal(last.at, (u64)ist2 + sizeof(ist2) - 16, "is on the IST's stack, aligned");
	equal(last.t.ss, DS0, "and the saved SS is the old one");
	faults_user(ud2_, 0, 0, UD, 0, "exception of ring 3 with IST");
	equal(last.at, (u64)ist2 + sizeof(ist2) - 16, "is on the IST's stack too");
	tss.ist[1] = 0x0000800000000000ul;
	/* #UD's delivery meets #SS: benign and contributory, so #SS is delivered after it */
	faults(ud2_, 0, 0, SS, 1, "an IST that is not canonical is #SS with EXT");
	tss.ist[1] = TEST_VA + 0x1000;
	faults(ud2_, 0, 0, PF, 2, "an IST without memory is #PF");
	equal(last.cr2, TEST_VA + 0x1000 - 8, "at its first slot");
	gate(UD, (u64)stubs + UD * 16, 0x8E, 0);
	faults_user(ud2_, 0, 0, UD, 0, "exception of ring 3 without IST");
	equal(last.at, tss.rsp[0], "is on RSP0's stack");
}

static void doubles(void)
{
	/* #GP, #NP, #SS, #TS, #DE and then such a one again; #PF and then such a one or #PF */
	gate(GP, (u64)stubs + GP * 16, 0x0E, 0);
	run(load, 0x0000800000000000ul, 0);
	ended(DF, 0, (u64)load_at, "#GP whose gate is absent is #DF");
	check(!(last.t.rflags & RF), "#DF pushes no RF");
	gate(GP, (u64)stubs + GP * 16, 0x8E, 0);
	gate(PF, (u64)stubs + PF * 16, 0x0E, 1);
	run(load, TEST_VA + 5, 0);
	ended(DF, 0, (u64)load_at, "#PF whose gate is absent is #DF");
	equal(last.cr2, TEST_VA + 5, "and CR2 is the first address");
	gate(PF, (u64)stubs + PF * 16, 0x8E, 0);
	run(push_bad, TEST_VA, 0);
	ended(DF, 0, (u64)push_bad_at, "#PF on a stack without memory is #DF");
	equal(last.t.rsp, TEST_VA, "with the bad RSP");
	gate(PF, (u64)stubs + PF * 16, 0x8E, 1);
	gate(UD, (u64)stubs + UD * 16, 0x0E, 0);
	run(ud2_, 0, 0);
	ended(NP, UD * 8 + 3, (u64)ud2__at, "#UD whose gate is absent is #NP with EXT");
	gate(UD, (u64)stubs + UD * 16, 0x8E, 0);
	gate(0x30, (u64)stubs + 0x30 * 16, 0x0E, 0);
	run(int_n, 0, 0);
	ended(NP, 0x30 * 8 + 2, (u64)int_n_at, "INT n whose gate is absent is #NP without EXT");
	gate(NP, (u64)stubs + NP * 16, 0x0E, 0);
	run(int_n, 0, 0);
	ended(DF, 0, (u64)int_n_at, "and when #NP's gate is absent too, #DF");
	gate(NP, (u64)stubs + NP * 16, 0x8E, 0);
	gate(0x30, (u64)stubs + 0x30 * 16, 0x8E, 0);
}

static u64 iret_with(const void *code, u64 rip, u64 cs, u64 fl, u64 rsp, u64 ss)
{
	frame[0] = rip;
	frame[1] = cs;
	frame[2] = fl;
	frame[3] = rsp;
	frame[4] = ss;
	return run(code, (u64)frame, 0);
}

static void iret(void)
{
	u64 us = USER(user_stack_top) - 64;

	iret_with(iret_, (u64)back, CS64, 2, (u64)frame, DS0);
	ended(NONE, 0, 0, "IRETQ to the same ring");
	iret_with(iret_, (u64)back, CS64, 2, (u64)frame, 0);
	ended(NONE, 0, 0, "IRETQ with a null SS to ring 0 in 64-bit code");
	iret_with(iret_, USER(user_ud2), CS64_3, 0x3202, us, DS3);
	ended(UD, 0, USER(user_ud2_at), "IRETQ to ring 3");
	equal(last.t.rsp, us, "has the frame's RSP");
	equal(last.t.ss, DS3, "and SS");
	equal(last.t.rflags & ~RF & ~0xd5ul, 0x3202, "and RFLAGS with IOPL and IF");
	iret_with(iret_, USER(user_ud2), CS32_3, 2, us | 0xdead00000000ul, DS3);
	ended(UD, 0, USER(user_ud2_at), "IRETQ to 32-bit code in ring 3");
	equal(last.t.rsp, us, "has the lower half of RSP");
	iret_with(iret_, USER(user_ud2), CS64_3, 2, 0x1234567890abcdeful, DS3);
	ended(UD, 0, USER(user_ud2_at), "IRETQ with an RSP that is not canonical");
	equal(last.t.rsp, 0x1234567890abcdeful, "takes it as it is");
	iret_with(iret_, USER(user_ud2), CS64_3, 2, us, DS0);
	ended(GP, DS0, (u64)iret__at, "IRETQ to ring 3 with ring 0's SS is #GP of it");
	equal(last.t.rsp, (u64)frame, "and RSP is at the frame still");
	iret_with(iret_, USER(user_ud2), CS64_3, 2, us, 3);
	ended(GP, 0, (u64)iret__at, "IRETQ to ring 3 with a null SS is #GP(0)");
	iret_with(iret_, USER(user_ud2), CS64, 2, us, DS3);
	ended(GP, DS3 & ~3, (u64)iret__at, "IRETQ to ring 0 with ring 3's SS is #GP of it");
	iret_with(iret_, (u64)back, 0, 2, us, DS0);
	ended(GP, 0, (u64)iret__at, "IRETQ with a null CS is #GP(0)");
	iret_with(iret_, (u64)back, DS0, 2, us, DS0);
	ended(GP, DS0, (u64)iret__at, "IRETQ with data as CS is #GP of it");
	iret_with(iret_, (u64)back, 0xfff8, 2, us, DS0);
	ended(GP, 0xfff8, (u64)iret__at, "IRETQ with CS outside the GDT is #GP of it");
	iret_with(iret_, 0x0000800000000000ul, CS64, 2, us, DS0);
	ended(GP, 0, (u64)iret__at, "IRETQ to where is not canonical is #GP(0)");
	iret_with(iret_, (u64)user_ud2, CS32, 2, us, DS0);
	ended(UD, 0, (u64)user_ud2_at, "IRETQ to 32-bit code in ring 0");
	equal(last.t.cs, CS32, "has its CS");
	gdt[FREE_SEL / 8] = 0x00AFFB000000FFFFul & ~(1ul << 47);
	iret_with(iret_, USER(user_ud2), FREE_SEL | 3, 2, us, DS3);
	ended(NP, FREE_SEL, (u64)iret__at, "IRETQ to absent code is #NP of it");
	gdt[FREE_SEL / 8] = 0x00CFF3000000FFFFul & ~(1ul << 47);
	iret_with(iret_, USER(user_ud2), CS64_3, 2, us, FREE_SEL | 3);
	ended(SS, FREE_SEL, (u64)iret__at, "IRETQ with an absent SS is #SS of it");
	gdt[FREE_SEL / 8] = 0;
	run(set_nt, 0, 0);
	ended(GP, 0, (u64)set_nt_at, "IRETQ with NT set is #GP(0)");
	run(iret_, TEST_VA, 0);
	ended(PF, 0, (u64)iret__at, "IRETQ from no memory is #PF");
	run(iret_, 0x0000800000000000ul, 0);
	ended(SS, 0, (u64)iret__at, "IRETQ from where is not canonical is #SS");
	/* 32-bit operand size pops five doublewords in 64-bit code */
	u32 *f = (u32 *)frame;
	f[0] = (u32)(u64)back, f[1] = CS64, f[2] = 2, f[3] = (u32)(u64)frame, f[4] = DS0;
	run(iretd_, (u64)frame, 0);
	ended(NONE, 0, 0, "IRETD in 64-bit code");

	frame[0] = (u64)back, frame[1] = CS64;
	run(retf_, (u64)frame, 0);
	ended(NONE, 0, 0, "LRETQ to the same ring");
	frame[0] = USER(user_ud2), frame[1] = CS64_3, frame[2] = us, frame[3] = DS3;
	run(retf_, (u64)frame, 0);
	ended(UD, 0, USER(user_ud2_at), "LRETQ to ring 3");
	equal(last.t.rsp, us, "has the frame's RSP");
	frame[0] = USER(user_ud2), frame[1] = CS64_3, frame[6] = us, frame[7] = DS3;
	run(retf16_, (u64)frame, 0);
	ended(UD, 0, USER(user_ud2_at), "LRETQ n to ring 3");
	equal(last.t.rsp, us + 32, "has the frame's RSP plus n");
	frame[0] = (u64)back, frame[1] = CS64_3;
	frame[2] = us, frame[3] = DS0;
	run(retf_, (u64)frame, 0);
	ended(GP, DS0, (u64)retf__at, "LRETQ to ring 3 with ring 0's SS is #GP of it");
}

/* ------------------------------------------------------------- syscalls */

extern u8 sc_entry[], sc_entry32[];
u64 sc_rsp;
static volatile u64 sc_rcx, sc_r11, sc_flags, sc_cs, sc_ss;
/* Entry on the user's stack, as the CPU leaves it: look around and go back by SYSRET */
__asm__(".pushsection .text\n"
	"sc_entry:\n\t"
	"mov %rcx, sc_rcx\n\tmov %r11, sc_r11\n\tmov %rsp, sc_rsp\n\t"
	"mov $stack_top - 8192, %rsp\n\t"
	"pushfq\n\tpopq sc_flags\n\tmov %cs, sc_cs\n\tmov %ss, sc_ss\n\t"
	"mov sc_rsp, %rsp\n\tsysretq\n"
	"sc_entry32:\n\t"
	"mov %rcx, sc_rcx\n\tmov %r11, sc_r11\n\tmov %cs, sc_cs\n\tsysretl\n\t"
	".popsection");
CODE(syscall_, "stc", "syscall");
CODE(syscall_ud2, "stc; mov %rsp, %rdx", "syscall; ud2");
CODE(sysret_bad, "mov $0x800000000000, %rcx; mov $2, %r11d", "sysretq");
CODE(sysret_32, "mov %rdi, %rcx; mov $0x3202, %r11d", "sysretl");
CODE(sysret_64, "mov %rdi, %rcx; mov %rsi, %r11", "sysretq");
CODE(sysenter_, "nop", "sysenter");
CODE(sysexit_, "nop", ".byte 0x0f, 0x35");
CODE(compat_syscall, "nop", "syscall; ud2");

static void syscalls(void)
{
	u64 efer = rdmsr(0xC0000080);
	u32 r[4];
	bool amd;

	cpuid(0, 0, r);
	amd = r[2] == 0x444d4163 || r[2] == 0x656e6975;
	wrmsr(0xC0000081, (u64)0x1b << 48 | (u64)CS64 << 32);
	wrmsr(0xC0000082, (u64)sc_entry);
	wrmsr(0xC0000083, (u64)sc_entry32);
	wrmsr(0xC0000084, IF | DIRF | CF);
	run_user_with(syscall_, 0, 0, 0x3202, CS64_3);
	ended(NONE, 0, 0, "SYSCALL and SYSRET");
	equal(sc_rcx, USER(syscall__next), "RCX is the next rip");
	equal(sc_r11 & 0x3f01, 0x3201 & 0x3f01, "R11 is RFLAGS");
	equal(sc_flags & (IF | CF), 0, "SFMASK cleared IF and CF");
	equal(sc_cs, CS64, "CS comes from STAR");
	equal(sc_ss, DS0, "SS comes from STAR");
	equal(last.t.cs, CS64_3, "SYSRET's CS comes from STAR");
	equal(last.t.ss, DS3, "SYSRET's SS comes from STAR");
	check(last.t.rflags & CF, "SYSRET takes the flags from R11");
	check(last.t.rflags & IF, "and IF");
	wrmsr(0xC0000080, efer & ~1ul);
	faults_user(syscall_, 0, 0, UD, 0, "SYSCALL without EFER.SCE is #UD");
	wrmsr(0xC0000080, efer);
	if (!amd)
		faults(sysret_bad, 0, 0, GP, 0, "SYSRET to where is not canonical is #GP in ring 0");
	run(sysret_64, USER(user_ud2), ~0x100ul);
	ended(UD, 0, USER(user_ud2_at), "SYSRETQ with all flags but TF");
	equal(last.t.rflags & (1ul << 17), 0, "does not set VM");
	check(last.t.rflags & IDF, "and sets ID");
	run(sysret_32, USER(user_ud2), 0);
	ended(UD, 0, USER(user_ud2_at), "SYSRETL goes to 32-bit code");
	equal(last.t.cs, CS32_3, "with its CS");
	run_user_with(compat_syscall, 0, 0, 2, CS32_3);
	if (amd)
		ended(UD, 0, USER(compat_syscall_next) - 2, "SYSCALL from 32-bit code goes to CSTAR and back");
	else
		ended(UD, 0, USER(compat_syscall_at), "SYSCALL from 32-bit code is #UD");
	if (amd) {
		equal(sc_cs, CS64, "in 64-bit code");
		faults_user(sysenter_, 0, 0, UD, 0, "SYSENTER in long mode is #UD");
		faults(sysexit_, 0, 0, UD, 0, "SYSEXIT in long mode is #UD");
	}
}

CODE(gs_load, "nop", "mov %gs:0, %rax");

static void gs(void)
{
	static u64 a = 0x1111, b = 0x2222;

	wrmsr(0xC0000101, (u64)&a);
	wrmsr(0xC0000102, (u64)&b);
	run(gs_load, 0, 0);
	returns(gs_load, 0, 0, "load through GS");
	u64 v;
	__asm__ volatile("mov %%gs:0, %0" : "=r"(v));
	equal(v, 0x1111, "GS base by MSR");
	__asm__ volatile("swapgs; mov %%gs:0, %0" : "=r"(v));
	equal(v, 0x2222, "SWAPGS exchanges it");
	equal(rdmsr(0xC0000101), (u64)&b, "with KERNEL_GS_BASE: GS");
	equal(rdmsr(0xC0000102), (u64)&a, "and back");
	__asm__ volatile("swapgs; mov %%gs:0, %0" : "=r"(v));
	equal(v, 0x1111, "twice is as before");
}

int main64(void)
{
	init();
	gdt[FREE_SEL / 8] = 0;
	ist();
	doubles();
	iret();
	syscalls();
	gs();
	return verdict();
}
