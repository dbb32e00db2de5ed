// SPDX-License-Identifier: BSD-2-Clause
/* Segments in long mode: loads and their faults, LDT, null selectors, bases of FS and GS, call
 * gates, limits in 32-bit code, LAR, LSL, VERR, VERW */
#include "cpu.h"

NO_APS

CODE(ld_ds, "nop", "mov %edi, %ds");
CODE(ld_es, "nop", "mov %edi, %es");
CODE(ld_fs, "nop", "mov %edi, %fs");
CODE(ld_gs, "nop", "mov %edi, %gs");
CODE(ld_ss, "mov %ss, %esi", "mov %edi, %ss; mov %esi, %ss");
CODE(pop_fs, "push %rdi", "pop %fs");
CODE(ld_ds_user, "nop", "mov %edi, %ds; mov %ds, %eax");
CODE(lldt_, "nop", "lldt %di");
CODE(ltr_, "nop", "ltr %di");
CODE(lfs_, "nop", ".byte 0x48, 0x0f, 0xb4, 0x07"); /* with 64-bit operand size */
CODE(fs_load, "nop", "mov %fs:(%rdi), %rax");
CODE(call_gate, "nop", "lcall *(%rdi)");
CODE(jmp_far, "nop", "ljmp *(%rdi)");
CODE(ud2_, "nop", "ud2");
/* 32-bit code, assembled as such: rdi, rsi as always, result by the trap */
#define CODE32(name, before, insn)                                                            \
	extern u8 name[], name##_at[], name##_next[];                                         \
	__asm__(".pushsection .text\n\t.code32\n\t.globl " #name ", " #name "_at, " #name      \
		"_next\n" #name ":\n\t" before "\n" #name "_at:\n\t" insn "\n" #name          \
		"_next:\n\tint $0xff\n\t.code64\n\t.popsection")
CODE32(c32_es, "mov %edi, %es", "mov %es:(%esi), %al");
CODE32(c32_es_st, "mov %edi, %es", "mov %al, %es:(%esi)");
CODE32(c32_es4, "mov %edi, %es", "mov %es:(%esi), %eax");
CODE32(c32_push, "mov $12, %esp", "push %eax; push %eax; push %eax; push %eax");
CODE32(c32_into, "mov $0x7f, %al; add $1, %al", "into");
CODE32(c32_bound, "mov $5, %eax; push $4; push $1", "bound %eax, (%esp)");
CODE32(c32_bound_ok, "mov $3, %eax; push $4; push $1", "bound %eax, (%esp)");
CODE32(c32_wrap, "mov %ss, %eax; mov %eax, %ds; mov $0xfffffffe, %esi", "mov 6(%esi), %al");
CODE32(c32_inc, "mov $0xff, %eax; inc %eax", "cmp $0x100, %eax; je 1f; ud2; 1: nop");
CODE32(c32_aaa, "mov $0x0f, %eax", "aaa; cmp $0x0105, %ax; je 1f; ud2; 1: nop");
CODE32(c32_pusha, "mov $0x12345678, %ebp", "pusha; xor %ebp, %ebp; popa; cmp $0x12345678, %ebp; je 1f; ud2; 1: nop");
CODE32(c32_far, "nop", "lcall $0x2b, $0x40000000 + c32_far_64; nop");
__asm__(".pushsection .text\n.globl c32_far_64\nc32_far_64: mov $0x1122334455667788, %rax; lretl\n.popsection");

static u64 ldt[16];
static u64 far[2];
static struct { u32 off; u16 sel; } __attribute__((packed)) far32;
#define S(n) (FREE_SEL + 8 * (n))

static void loads(void)
{
	gdt[S(0) / 8] = seg_desc(0, 0xfffff, 0xc092);			/* data, not accessed */
	gdt[S(1) / 8] = seg_desc(0, 0xfffff, 0xc012);			/* data, absent */
	gdt[S(2) / 8] = seg_desc(0, 0xfffff, 0xc098);			/* code, execute only */
	gdt[S(3) / 8] = seg_desc(0, 0xfffff, 0xc090);			/* data, read only */
	gdt[S(4) / 8] = seg_desc(0x12345000, 0xfffff, 0xc0f2);		/* data of ring 3 with a base */
	sys_desc(&gdt[S(6) / 8], (u64)ldt, sizeof(ldt) - 1, 0x82);	/* LDT */
	sys_desc(&gdt[S(8) / 8], (u64)ldt, sizeof(ldt) - 1, 0x02);	/* LDT, absent */
	returns(ld_ds, S(0), 0, "DS: data");
	check(gdt[S(0) / 8] >> 40 & 1, "sets the accessed bit");
	faults(ld_ds, S(1), 0, NP, S(1), "absent data is #NP of it");
	faults(ld_ss, S(1), 0, SS, S(1), "for SS #SS of it");
	faults(ld_ds, S(2), 0, GP, S(2), "execute-only code is #GP of it");
	returns(ld_ds, CS64, 0, "readable code is fine");
	faults(ld_ss, S(3), 0, GP, S(3), "SS: read-only data is #GP of it");
	faults(ld_ss, DS3, 0, GP, DS3 & ~3, "SS of ring 3 in ring 0 is #GP of it");
	faults(ld_ss, DS0 | 3, 0, GP, DS0, "RPL 3 is #GP of it");
	faults(ld_ds, TSS_SEL, 0, GP, TSS_SEL, "a TSS in DS is #GP of it");
	faults(ld_ds, 0xfff0, 0, GP, 0xfff0, "outside the GDT is #GP of it");
	faults(ld_ds, 0x14, 0, GP, 0x14, "LDT selector without an LDT is #GP of it");
	returns(ld_ds, 0, 0, "DS: null");
	returns(ld_ds, 3, 0, "DS: null with RPL");
	returns(ld_ss, 0, 0, "SS: null in ring 0 of 64-bit code");
	faults(ld_ss, 3, 0, GP, 0, "SS: null with another RPL is #GP(0)");
	faults_user(ld_ss, 3, 0, GP, 0, "SS: null in ring 3 is #GP(0)");
	faults_user(ld_ds, DS0, 0, GP, DS0, "DS of ring 0 in ring 3 is #GP of it");
	returns_user(ld_ds_user, DS3, 0, "DS of ring 3");
	faults_user(pop_fs, DS0, 0, GP, DS0, "POP FS of ring 0's in ring 3 is #GP of it");
	check(last.t.rsp == USER(user_stack_top) - 16, "and RSP is as it was");
	/* bases */
	wrmsr(0xC0000100, 0x1111);
	returns(ld_fs, S(4), 0, "FS: descriptor with a base");
	equal(rdmsr(0xC0000100), 0x12345000, "gives FS.base");
	wrmsr(0xC0000100, 0xffff800000000000ul);
	u32 fs;
	__asm__ volatile("mov %%fs, %0" : "=r"(fs));
	equal(fs, S(4), "WRMSR of the base leaves the selector");
	faults(ld_fs, S(1), 0, NP, S(1), "FS: absent is #NP");
	equal(rdmsr(0xC0000100), 0xffff800000000000ul, "and the base stays");
	faults(fs_load, 0, 0, PF, 0, "FS base where no page is: #PF");
	faults(fs_load, 0xffff000000000000ul, 0, GP, 0, "FS base plus offset not canonical is #GP");
	returns(ld_gs, DS0, 0, "GS: data");
	equal(rdmsr(0xC0000101), 0, "gives GS.base 0");
	/* Offsets of far pointers have 64 bits with Intel, never more than 32 with AMD */
	u32 r[4];
	cpuid(0, 0, r);
	u64 *sel = (u64 *)((u8 *)far + (r[2] == 0x444d4163 ? 4 : 8));
	far[0] = far[1] = 0x5566778811223344ul;
	*(u16 *)sel = S(4);
	returns(lfs_, far, 0, "LFS with REX.W");
	equal(rdmsr(0xC0000100), 0x12345000, "loads FS");
	*(u16 *)sel = S(1);
	faults(lfs_, far, 0, NP, S(1), "LFS of an absent one is #NP");
	wrmsr(0xC0000100, 0);
}

static void tables(void)
{
	u32 v;

	ldt[1] = seg_desc(0x1000, 0xfff, 0x40f2);
	ldt[2] = seg_desc(0x2000, 0, 0x40f6); /* expand-down from 1 */
	returns(lldt_, S(6), 0, "LLDT");
	returns(ld_fs, 0xc, 0, "FS from the LDT");
	equal(rdmsr(0xC0000100), 0x1000, "has its base");
	faults(ld_fs, 0x84, 0, GP, 0x84, "beyond the LDT is #GP of it");
	faults(lldt_, S(8), 0, NP, S(8), "LLDT of an absent one is #NP");
	faults(lldt_, DS0, 0, GP, DS0, "LLDT of data is #GP");
	faults(lldt_, 0xc, 0, GP, 0xc, "LLDT of an LDT selector is #GP");
	__asm__ volatile("sldt %0" : "=r"(v));
	equal(v & 0xffff, S(6), "SLDT");
	returns(lldt_, 0, 0, "LLDT of null");
	faults(ld_fs, 0xc, 0, GP, 0xc, "then LDT selectors are #GP");
	returns(lldt_, S(6), 0, "LLDT again");
	faults(ltr_, TSS_SEL, 0, GP, TSS_SEL, "LTR of a busy TSS is #GP");
	faults(ltr_, 0, 0, GP, 0, "LTR of null is #GP(0)");
	__asm__ volatile("str %0" : "=r"(v));
	equal(v & 0xffff, TSS_SEL, "STR");

	u64 r;
	u8 zf;
#define ASK(insn, sel) __asm__ volatile("xor %%eax, %%eax; " insn "; setz %1" : "=&a"(r), "=q"(zf) : "r"((u32)(sel)) : "cc")
	ASK("lar %2, %%eax", CS64);
	check(zf && (r & 0xf0ff00) == 0xa09b00, "LAR of code");
	ASK("lar %2, %%eax", 0);
	check(!zf, "LAR of null says no");
	ASK("lsl %2, %%eax", CS64);
	check(zf && r == 0xffffffff, "LSL of code");
	ASK("lsl %2, %%eax", TSS_SEL);
	check(zf && r == sizeof(tss) - 1, "LSL of the TSS");
	ASK("lsl %2, %%eax", 0xc);
	check(zf && r == 0xfff, "LSL of the LDT's");
	ASK("verr %w2", CS64);
	check(zf, "VERR of code");
	ASK("verw %w2", CS64);
	check(!zf, "VERW of code says no");
	ASK("verw %w2", DS0);
	check(zf, "VERW of data");
	ASK("verr %w2", S(2));
	check(!zf, "VERR of execute-only code says no");
	ASK("verr %w2", 0xfff0);
	check(!zf, "VERR outside the table says no");
}

static void far_calls(void)
{
	/* call gate to ring 0 */
	u64 to = (u64)ud2_;

	gdt[S(10) / 8] = (to & 0xffff) | (u64)CS64 << 16 | 0xECul << 40 | (to >> 16 & 0xffff) << 48;
	gdt[S(11) / 8] = to >> 32;
	far32.off = 0, far32.sel = S(10);
	run(call_gate, (u64)&far32, 0);
	ended(UD, 0, (u64)ud2__at, "call gate in ring 0");
	run_user(call_gate, USER(&far32), 0);
	ended(UD, 0, (u64)ud2__at, "call gate from ring 3 to ring 0");
	equal(last.t.cs, CS64, "runs in ring 0");
	equal(last.t.rsp, tss.rsp[0] - 32, "on RSP0 with four words");
	equal(RD(u64, last.t.rsp), USER(call_gate_next), "rip");
	equal(RD(u64, last.t.rsp + 8), CS64_3, "CS");
	equal(RD(u64, last.t.rsp + 24), DS3, "SS");
	gdt[S(10) / 8] &= ~(3ul << 45);
	faults_user(call_gate, USER(&far32), 0, GP, S(10), "a gate of DPL 0 in ring 3 is #GP of it");
	gdt[S(10) / 8] = (gdt[S(10) / 8] | 3ul << 45) & ~(1ul << 47);
	faults(call_gate, &far32, 0, NP, S(10), "an absent gate is #NP of it");
	gdt[S(10) / 8] = (gdt[S(10) / 8] | 1ul << 47);
	gdt[S(10) / 8] = (gdt[S(10) / 8] & ~0xffff0000ul) | (u64)CS32 << 16;
	faults(call_gate, &far32, 0, GP, CS32, "a gate to 32-bit code is #GP of that");
	gdt[S(11) / 8] |= 1ul << 40;
	faults(call_gate, &far32, 0, GP, S(10), "an upper half with a type is #GP");
	far32.off = (u32)(u64)ud2_, far32.sel = CS32;
	run(jmp_far, (u64)&far32, 0);
	ended(UD, 0, (u64)ud2__at, "far jump to 32-bit code");
	equal(last.t.cs, CS32, "in ring 0");
	far32.sel = CS64_3;
	faults(jmp_far, &far32, 0, GP, CS64_3 & ~3, "far jump to ring 3 is #GP of it");
	far32.sel = 0;
	faults(jmp_far, &far32, 0, GP, 0, "far jump to null is #GP(0)");
	far32.sel = DS0;
	faults(jmp_far, &far32, 0, GP, DS0, "far jump to data is #GP of it");
	far32.sel = TSS_SEL;
	faults(jmp_far, &far32, 0, GP, TSS_SEL, "far jump to a TSS in long mode is #GP of it");
}

#define compat(name, a, b) run_user_with(name, (u64)(a), (u64)(b), 2, CS32_3)
static void compat_mode(void)
{
	/* ring 3 data, base in the user's alias, byte limit 0xff */
	gdt[S(14) / 8] = seg_desc((u32)USER(ldt), 0x7f, 0x40f2);
	gdt[S(15) / 8] = seg_desc((u32)USER(ldt), 0x0f, 0x40f6); /* expand-down: 0x10 and up */
	gdt[S(16) / 8] = seg_desc((u32)USER(ldt), 0x7f, 0x40f0); /* read-only */
	gate(OF, (u64)stubs + OF * 16, 0xEE, 0);
	compat(c32_es, S(14) | 3, 0x7f);
	ended(NONE, 0, 0, "32-bit code: last byte of a segment");
	compat(c32_es, S(14) | 3, 0x80);
	ended(GP, 0, USER(c32_es_at), "one more is #GP(0)");
	compat(c32_es4, S(14) | 3, 0x7d);
	ended(GP, 0, USER(c32_es4_at), "4 bytes across the limit are #GP(0)");
	compat(c32_es, S(15) | 3, 0x0f);
	ended(GP, 0, USER(c32_es_at), "expand-down: at its limit is #GP(0)");
	compat(c32_es, S(15) | 3, 0x10);
	ended(NONE, 0, 0, "above is fine");
	compat(c32_es_st, S(16) | 3, 0);
	ended(GP, 0, USER(c32_es_st_at), "store to read-only data is #GP(0)");
	compat(c32_es, 0, 0);
	ended(GP, 0, USER(c32_es_at), "null segment is #GP(0)");
	compat(c32_push, 0, 0);
	ended(PF, 7, USER(c32_push_at), "PUSH into ring 0's page is #PF");
	equal(last.cr2, 8, "with a 32-bit address");
	compat(c32_into, 0, 0);
	ended(OF, 0, USER(c32_into_next), "INTO is #OF with the next rip");
	compat(c32_bound, 0, 0);
	ended(BR, 0, USER(c32_bound_at), "BOUND is #BR at it");
	compat(c32_bound_ok, 0, 0);
	ended(NONE, 0, 0, "BOUND inside is fine");
	compat(c32_wrap, 0, 0);
	ended(PF, 5, USER(c32_wrap_at), "32-bit addresses wrap");
	equal(last.cr2, 4, "to the lower end");
	compat(c32_inc, 0, 0);
	ended(NONE, 0, 0, "INC by its short form");
	compat(c32_aaa, 0, 0);
	ended(NONE, 0, 0, "AAA");
	compat(c32_pusha, 0, 0);
	ended(NONE, 0, 0, "PUSHA and POPA");
	compat(c32_far, 0, 0);
	ended(NONE, 0, 0, "far call to 64-bit code and back");
	equal(last.t.rax, 0x1122334455667788ul, "which uses 64-bit registers");
}

int main64(void)
{
	init();
	loads();
	tables();
	far_calls();
	compat_mode();
	return verdict();
}
