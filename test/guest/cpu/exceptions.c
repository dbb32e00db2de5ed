// SPDX-License-Identifier: BSD-2-Clause
/* Every exception that an instruction can raise: vector, error code, saved rip and flags, CR2 */
#include "cpu.h"

NO_APS

CODE(div0, "mov $1, %eax; xor %edx, %edx; xor %ecx, %ecx", "div %ecx");
CODE(div_big, "mov $1, %edx; mov $1, %ecx", "div %ecx");
CODE(idiv_min, "mov $0x80000000, %eax; cdq; mov $-1, %ecx", "idiv %ecx");
CODE(div0_mem, "xor %edx, %edx", "divq (%rdi)");
CODE(int3_, "nop", "int3");
CODE(int_n, "nop", "int $0x30");
CODE(int_ff, "nop", "int $0xff");
CODE(icebp, "nop", ".byte 0xf1");
CODE(ud2_, "nop", "ud2");
CODE(into_, "nop", ".byte 0xce");
CODE(lock_reg, "nop", ".byte 0xf0, 0x01, 0xc0");
CODE(lock_nop, "nop", ".byte 0xf0, 0x90");
CODE(lock_load, "nop", ".byte 0xf0, 0x8b, 0x07");
CODE(mov_cs, "xor %eax, %eax", ".byte 0x8e, 0xc8");
CODE(mov_cr1, "nop", ".byte 0x0f, 0x20, 0xc8");
CODE(too_long, "nop", ".fill 15, 1, 0x66; nop");
CODE(fifteen, "nop", ".fill 14, 1, 0x66; nop");
CODE(load, "nop", "mov (%rdi), %rax");
CODE(load_ss, "mov %rsp, %r8; mov %rdi, %rsp", "pop %rax; mov %r8, %rsp");
CODE(load_bp, "mov %rbp, %r8; mov %rdi, %rbp", "mov (%rbp), %rax; mov %r8, %rbp");
CODE(store, "nop", "mov %rsi, (%rdi)");
CODE(rmw, "mov $5, %esi", "add %rsi, (%rdi)");
CODE(rmw_fails, "xor %eax, %eax", "lock cmpxchg %rsi, (%rdi)");
CODE(push_mem, "mov %rsp, %r8", "pushq (%rdi); mov %r8, %rsp");
CODE(call_mem, "nop", "call *(%rdi)");
CODE(jump, "nop", "jmp *%rdi");
CODE(call_bad, "nop", "call *%rdi");
CODE(ret_bad, "push %rdi", "ret; nop");
CODE(movaps_, "nop", "movaps (%rdi), %xmm0");
CODE(movups_, "nop", "movups (%rdi), %xmm0");
CODE(paddd_, "nop", "paddd (%rdi), %xmm0");
CODE(hlt_, "nop", "hlt");
CODE(cli_, "nop", "cli");
CODE(in_, "mov $0x80, %edx", "in %dx, %al");
CODE(out_, "mov $0x80, %edx", "out %al, %dx");
CODE(rdmsr_, "mov $0x10, %ecx", "rdmsr");
CODE(wrmsr_, "mov $0xc0000102, %ecx", "wrmsr");
CODE(cr0_read, "nop", "mov %cr0, %rax");
CODE(dr7_read, "nop", "mov %dr7, %rax");
CODE(lgdt_, "nop", "lgdt (%rdi)");
CODE(lidt_, "nop", "lidt (%rdi)");
CODE(ltr_, "nop", "ltr %di");
CODE(invlpg_, "nop", "invlpg (%rdi)");
CODE(wbinvd_, "nop", "wbinvd");
CODE(swapgs_, "nop", "swapgs");
CODE(clts_, "nop", "clts");
CODE(sysret_, "nop", "sysretq");
CODE(lmsw_, "nop", "lmsw %di");
CODE(rdpmc_, "mov $0x12345, %ecx", "rdpmc");
CODE(xsetbv_, "xor %ecx, %ecx; xor %edx, %edx", "xsetbv");
CODE(fadd_pending, "fninit; fldcw (%rdi); fld1; fldz; fdivrp; nop", "fwait; nop");
CODE(sqrt_neg, "ldmxcsr (%rdi)", "sqrtss 4(%rdi), %xmm0");
CODE(div_ss, "ldmxcsr (%rdi); movss 8(%rdi), %xmm0", "divss 12(%rdi), %xmm0");
CODE(fpu_op, "nop", "fld1");
CODE(fwait_, "nop", "fwait");
CODE(sse_op, "nop", "xorps %xmm0, %xmm0");
CODE(mmx_op, "nop", "movd %edi, %mm0");
CODE(stmxcsr_, "nop", "stmxcsr (%rdi)");
CODE(ldmxcsr_, "nop", "ldmxcsr (%rdi)");
CODE(fxsave_, "nop", "fxsave (%rdi)");
CODE(ac_load, "pushq $0x40002; popfq", "mov (%rdi), %eax");
CODE(ac_off, "pushq $0x40002; popfq; mov (%rdi), %eax; pushq $2", "popfq");
CODE(ac_byte, "pushq $0x40002; popfq; mov (%rdi), %al; pushq $2", "popfq");
CODE(pop_mem, "mov %rsp, %r8; push $77", "popq (%rdi); mov %r8, %rsp");
CODE(push_bad, "mov %rsp, %r8; mov %rdi, %rsp", "push %rax; mov %r8, %rsp");
CODE(enter_, "mov %rsp, %r8; mov %rdi, %rsp", "enter $16, $0; mov %r8, %rsp");
CODE(cmpxchg16, "xor %eax, %eax; xor %ebx, %ebx", "lock cmpxchg16b (%rdi)");
CODE(flags_rf, "pushfq; pop %rax", "nop");

static u8 data[4096] __attribute__((aligned(4096)));

static void arithmetic(void)
{
	faults(div0, 0, 0, DE, 0, "DIV by zero is #DE at the DIV");
	check(last.t.rflags & RF, "#DE pushes RF");
	faults(div_big, 0, 0, DE, 0, "quotient overflow is #DE");
	equal(last.t.rdx, 1, "#DE leaves RDX alone");
	faults(idiv_min, 0, 0, DE, 0, "IDIV of the smallest by -1 is #DE");
	RD(u64, data) = 0;
	faults(div0_mem, data, 0, DE, 0, "DIV by zero in memory is #DE");
	faults(div0_mem, TEST_VA, 0, PF, 0, "#PF of the operand comes before #DE");
	faults_user(div0, 0, 0, DE, 0, "#DE in ring 3");
	equal(last.t.cs, CS64_3, "and its CS");
	equal(last.t.ss, DS3, "and its SS");
}

static void software(void)
{
	run(int3_, 0, 0);
	ended(BP, 0, (u64)int3__next, "INT3 pushes the next rip");
	check(!(last.t.rflags & RF), "INT3 pushes no RF");
	run(int_n, 0, 0);
	ended(0x30, 0, (u64)int_n_next, "INT n pushes the next rip");
	check(!(last.t.rflags & RF), "INT n pushes no RF");
	run(icebp, 0, 0);
	ended(DB, 0, (u64)icebp_next, "INT1 pushes the next rip");
	faults_user(int3_, 0, 0, GP, BP * 8 + 2, "INT3 in ring 3 needs a gate of DPL 3");
	faults_user(int_n, 0, 0, GP, 0x30 * 8 + 2, "INT n in ring 3 needs a gate of DPL 3");
	run_user(icebp, 0, 0);
	ended(DB, 0, USER(icebp_next), "INT1 in ring 3 needs no gate of DPL 3");
	gate(BP, (u64)stubs + BP * 16, 0xEE, 0);
	run_user(int3_, 0, 0);
	ended(BP, 0, USER(int3__next), "INT3 in ring 3 through a gate of DPL 3");
	gate(BP, (u64)stubs + BP * 16, 0x8E, 0);
	gate(0x30, (u64)stubs + 0x30 * 16, 0x0E, 0);
	faults(int_n, 0, 0, NP, 0x30 * 8 + 2, "INT n through an absent gate is #NP");
	gate(0x30, (u64)stubs + 0x30 * 16, 0x8E, 0);
	idt[0x30].lo = (idt[0x30].lo & ~0xffff0000ul) | (u64)DS0 << 16;
	faults(int_n, 0, 0, GP, DS0, "a gate to a data segment is #GP of the selector");
	idt[0x30].lo = (idt[0x30].lo & ~0xffff0000ul) | (u64)CS32 << 16;
	faults(int_n, 0, 0, GP, CS32, "a gate to 32-bit code is #GP of the selector");
	idt[0x30].lo = (idt[0x30].lo & ~0xffff0000ul);
	faults(int_n, 0, 0, GP, 0, "a gate to the null segment is #GP(0)");
	gate(0x30, (u64)stubs + 0x30 * 16, 0x85, 0);
	faults(int_n, 0, 0, GP, 0x30 * 8 + 2, "a task gate in long mode is #GP of the vector");
	gate(0x30, 0x8000000000000000ul, 0x8E, 0);
	faults(int_n, 0, 0, GP, 0, "a handler that is not canonical is #GP(0)");
	gate(0x30, (u64)stubs + 0x30 * 16, 0x8F, 0);
	run(int_n, 0, 0);
	ended(0x30, 0, (u64)int_n_next, "a trap gate works");
	gate(0x30, (u64)stubs + 0x30 * 16, 0x8E, 0);
}

static void undefined(void)
{
	faults(ud2_, 0, 0, UD, 0, "UD2 is #UD");
	check(last.t.rflags & RF, "#UD pushes RF");
	faults(into_, 0, 0, UD, 0, "INTO is #UD in 64-bit code");
	faults(lock_reg, 0, 0, UD, 0, "LOCK of a register form is #UD");
	faults(lock_nop, 0, 0, UD, 0, "LOCK NOP is #UD");
	faults(lock_load, data, 0, UD, 0, "LOCK of a load is #UD");
	faults(mov_cs, 0, 0, UD, 0, "MOV to CS is #UD");
	faults(mov_cr1, 0, 0, UD, 0, "CR1 is #UD");
	faults(too_long, 0, 0, GP, 0, "16 bytes of instruction are #GP");
	returns(fifteen, 0, 0, "15 bytes of instruction are fine");
}

static void addresses(void)
{
	u64 odd = 0x0000800000000000ul;

	faults(load, odd, 0, GP, 0, "load from an address that is not canonical is #GP");
	faults(store, odd, 0, GP, 0, "store likewise");
	faults(load, odd - 4, 0, GP, 0, "load that runs out of the canonical half is #GP");
	faults(load_bp, odd, 0, SS, 0, "through RBP it is #SS");
	faults(load_ss, odd, 0, SS, 0, "POP there is #SS");
	faults(push_bad, odd + 8, 0, SS, 0, "PUSH there is #SS");
	faults(rmw, odd, 0, GP, 0, "read-modify-write there is #GP");
	faults(jump, odd, 0, GP, 0, "JMP there is #GP at the JMP");
	faults(call_bad, odd, 0, GP, 0, "CALL there is #GP at the CALL");
	faults(ret_bad, odd, 0, GP, 0, "RET there is #GP at the RET");
	faults(load, TEST_VA + 0x123, 0, PF, 0, "load from no page is #PF of 0");
	equal(last.cr2, TEST_VA + 0x123, "and CR2 is the address");
	check(last.t.rflags & RF, "#PF pushes RF");
	faults(store, TEST_VA + 0x123, 0, PF, 2, "store to no page is #PF of 2");
	faults(rmw, TEST_VA + 8, 0, PF, 2, "read-modify-write of no page is #PF of 2");
	faults(rmw_fails, TEST_VA + 8, 0, PF, 2, "CMPXCHG likewise");
	faults(push_mem, TEST_VA, 0, PF, 0, "PUSH of no page is #PF of 0");
	faults(pop_mem, TEST_VA, 0, PF, 2, "POP to no page is #PF of 2");
	equal(RD(u64, last.t.rsp), 77, "and RSP still points at the value");
	faults(push_bad, TEST_VA, 0, PF, 2, "PUSH to no page is #PF of 2");
	equal(last.t.rsp, TEST_VA, "and RSP is as it was");
	equal(last.cr2, TEST_VA - 8, "and CR2 is the slot");
	faults(enter_, TEST_VA, 0, PF, 2, "ENTER to no page is #PF of 2");
	equal(last.t.rsp, TEST_VA, "and RSP is as it was");
	faults(call_mem, TEST_VA, 0, PF, 0, "CALL through no page is #PF of 0");
	run(jump, TEST_VA + 0x10, 0);
	ended(PF, 0x10, TEST_VA + 0x10, "jump to no page is #PF of 16 at the target");
	equal(last.cr2, TEST_VA + 0x10, "and CR2 is the target");
	faults_user(load, TEST_VA, 0, PF, 4, "ring 3 load from no page is #PF of 4");
	faults_user(store, TEST_VA, 0, PF, 6, "ring 3 store to no page is #PF of 6");
	faults_user(load, data, 0, PF, 5, "ring 3 load from ring 0's page is #PF of 5");
	faults_user(store, data, 0, PF, 7, "ring 3 store to ring 0's page is #PF of 7");
	run_user(jump, (u64)data, 0);
	ended(PF, 0x15, (u64)data, "ring 3 jump to ring 0's page is #PF of 0x15");
	/* across two pages: the second one is missing */
	map(TEST_VA, (u64)data, P_P | P_W | P_U, 1);
	faults(load, TEST_VA + 4092, 0, PF, 0, "load into a missing page is #PF");
	equal(last.cr2, TEST_VA + 4096, "and CR2 is the first byte there");
	RD(u32, data + 4092) = 0x12345678;
	faults(store, TEST_VA + 4092, 0, PF, 2, "store into a missing page is #PF");
	equal(last.cr2, TEST_VA + 4096, "and CR2 is the first byte there");
	equal(RD(u32, data + 4092), 0x12345678, "and nothing was stored");
	/* an instruction into a missing page */
	data[4095] = 0x48;
	run(jump, TEST_VA + 4095, 0);
	ended(PF, 0x10, TEST_VA + 4095, "an instruction that goes on in no page is #PF at its start");
	equal(last.cr2, TEST_VA + 4096, "and CR2 is the missing page");
	data[4095] = 0xc3;
	run(jump, TEST_VA + 4095, 0);
	ended(NONE, 0, 0, "one that ends before it runs");
	*entry(TEST_VA, 1) = 0;
	invlpg(TEST_VA);
	faults(movaps_, data + 8, 0, GP, 0, "MOVAPS misaligned is #GP");
	returns(movups_, data + 8, 0, "MOVUPS misaligned is fine");
	faults(paddd_, data + 4, 0, GP, 0, "PADDD misaligned is #GP");
	faults(movaps_, TEST_VA + 8, 0, GP, 0, "misalignment comes before #PF");
	faults(movaps_, TEST_VA, 0, PF, 0, "MOVAPS of no page is #PF");
	faults(cmpxchg16, data + 8, 0, GP, 0, "CMPXCHG16B misaligned is #GP");
}

static void privilege(void)
{
	faults_user(hlt_, 0, 0, GP, 0, "HLT in ring 3 is #GP");
	faults_user(cli_, 0, 0, GP, 0, "CLI in ring 3 is #GP");
	faults_user(in_, 0, 0, GP, 0, "IN in ring 3 is #GP");
	faults_user(out_, 0, 0, GP, 0, "OUT in ring 3 is #GP");
	faults_user(rdmsr_, 0, 0, GP, 0, "RDMSR in ring 3 is #GP");
	faults_user(wrmsr_, 0, 0, GP, 0, "WRMSR in ring 3 is #GP");
	faults_user(cr0_read, 0, 0, GP, 0, "CR0 in ring 3 is #GP");
	faults_user(dr7_read, 0, 0, GP, 0, "DR7 in ring 3 is #GP");
	faults_user(lgdt_, USER(data), 0, GP, 0, "LGDT in ring 3 is #GP");
	faults_user(lidt_, TEST_VA, 0, GP, 0, "LIDT in ring 3 is #GP before its operand's #PF");
	faults_user(ltr_, TSS_SEL, 0, GP, 0, "LTR in ring 3 is #GP");
	faults_user(invlpg_, 0, 0, GP, 0, "INVLPG in ring 3 is #GP");
	faults_user(wbinvd_, 0, 0, GP, 0, "WBINVD in ring 3 is #GP");
	faults_user(swapgs_, 0, 0, GP, 0, "SWAPGS in ring 3 is #GP");
	faults_user(clts_, 0, 0, GP, 0, "CLTS in ring 3 is #GP");
	faults_user(sysret_, 0, 0, GP, 0, "SYSRET in ring 3 is #GP");
	faults_user(lmsw_, 0, 0, GP, 0, "LMSW in ring 3 is #GP");
	faults_user(rdpmc_, 0, 0, GP, 0, "RDPMC in ring 3 is #GP");
	run_user_with(in_, 0, 0, 0x3002, CS64_3);
	ended(NONE, 0, 0, "IN in ring 3 with IOPL 3 works");
	run_user_with(cli_, 0, 0, 0x3002, CS64_3);
	ended(NONE, 0, 0, "CLI in ring 3 with IOPL 3 works");
	tss.iomap = (u16)((u64)tss.bitmap - (u64)&tss);
	tss.bitmap[8192] = 0xff;
	returns_user(in_, 0, 0, "IN in ring 3 by the bitmap works");
	tss.bitmap[0x80 / 8] = 1;
	faults_user(in_, 0, 0, GP, 0, "IN in ring 3 by the bitmap's other value is #GP");
	tss.iomap = sizeof(tss);
}

static void fpu(void)
{
	u64 cr0 = read_cr0(), cr4 = read_cr4();
	u32 *d = (u32 *)data;

	write_cr0(cr0 | 8);
	faults(fpu_op, 0, 0, NM, 0, "x87 with CR0.TS is #NM");
	check(last.t.rflags & RF, "#NM pushes RF");
	faults(sse_op, 0, 0, NM, 0, "SSE with CR0.TS is #NM");
	faults(mmx_op, 0, 0, NM, 0, "MMX with CR0.TS is #NM");
	faults(fwait_, 0, 0, NM, 0, "FWAIT with TS and MP is #NM");
	faults(stmxcsr_, data, 0, NM, 0, "STMXCSR with CR0.TS is #NM");
	faults(fxsave_, data, 0, NM, 0, "FXSAVE with CR0.TS is #NM");
	faults(movaps_, TEST_VA, 0, NM, 0, "#NM comes before #PF");
	write_cr0((cr0 | 8) & ~2ul);
	returns(fwait_, 0, 0, "FWAIT with TS but not MP is fine");
	write_cr0(cr0 | 8);
	run(clts_, 0, 0);
	returns(sse_op, 0, 0, "SSE after CLTS is fine");
	write_cr0(cr0 | 4);
	faults(fpu_op, 0, 0, NM, 0, "x87 with CR0.EM is #NM");
	faults(sse_op, 0, 0, UD, 0, "SSE with CR0.EM is #UD");
	faults(mmx_op, 0, 0, UD, 0, "MMX with CR0.EM is #UD");
	write_cr0(cr0);
	write_cr4(cr4 & ~0x200ul);
	faults(sse_op, 0, 0, UD, 0, "SSE without CR4.OSFXSR is #UD");
	returns(fpu_op, 0, 0, "x87 without CR4.OSFXSR is fine");
	write_cr4(cr4);
	__asm__ volatile("fninit; emms");

	d[0] = 0x37b; /* zero divide unmasked */
	run(fadd_pending, (u64)data, 0);
	ended(MF, 0, (u64)fadd_pending_at, "an unmasked x87 exception is #MF at the next waiting instruction");
	__asm__ volatile("fninit");
	d[0] = 0x1f00; /* invalid unmasked */
	d[1] = 0xbf800000; /* -1.0 */
	d[2] = 0x3f800000; /* 1.0 */
	d[3] = 0;
	faults(sqrt_neg, data, 0, XM, 0, "an unmasked SSE exception is #XM");
	check(last.t.rflags & RF, "#XM pushes RF");
	__asm__ volatile("stmxcsr %0" : "=m"(d[4]));
	check(d[4] & 1, "and MXCSR has the flag");
	d[0] = 0x1d80; /* zero divide unmasked */
	faults(div_ss, data, 0, XM, 0, "division by zero is #XM");
	write_cr4(cr4 & ~0x400ul);
	faults(div_ss, data, 0, UD, 0, "without CR4.OSXMMEXCPT it is #UD");
	write_cr4(cr4);
	d[0] = 0x10000;
	faults(ldmxcsr_, data, 0, GP, 0, "LDMXCSR of reserved bits is #GP");
	d[0] = 0x1f80;
	returns(ldmxcsr_, data, 0, "LDMXCSR of the default is fine");
	faults(fxsave_, data + 8, 0, GP, 0, "FXSAVE misaligned is #GP");
}

static void alignment(void)
{
	u64 cr0 = read_cr0(), at = USER(data);

	write_cr0(cr0 | 0x40000);
	faults_user(ac_load, at + 1, 0, AC, 0, "a misaligned load with AM and AC is #AC");
	check(last.t.rflags & RF, "#AC pushes RF");
	returns_user(ac_off, at + 4, 0, "an aligned one is not");
	returns_user(ac_byte, at + 1, 0, "bytes are not checked");
	run(ac_load, (u64)data + 1, 0);
	ended(NONE, 0, 0, "ring 0 is not checked");
	write_cr0(cr0);
	returns_user(ac_off, at + 1, 0, "without CR0.AM nothing is checked");
}

int main64(void)
{
	init();
	arithmetic();
	software();
	undefined();
	addresses();
	privilege();
	fpu();
	alignment();
	returns(flags_rf, 0, 0, "PUSHF");
	check(!(last.t.rax & RF), "PUSHF never shows RF");
	return verdict();
}
