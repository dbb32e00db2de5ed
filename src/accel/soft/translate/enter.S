// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/translate/enter.S - Into translated code and out of it
 *
 * Register map while in translated code: guest rax rcx rdx rbx rbp rsi rdi
 * r12..r15 are in the host registers of the same name, guest rsp is in host r11,
 * guest r8..r11 stay in v->gpr. Host r8, r9, r10 are scratch, host rsp is the
 * host's stack, gs points at struct sc_vcpu. Arithmetic flags are the host's or
 * stashed in v->flags_stash (AH of lahf in bits 15:8, OF in bit 0). */
#include "accel/soft/offsets.h"

#define GPR(n) %gs:(SC_OFF_GPR + 8 * (n))

	.text

	.macro save_gprs
	movq %rax, GPR(0)
	movq %rcx, GPR(1)
	movq %rdx, GPR(2)
	movq %rbx, GPR(3)
	movq %r11, GPR(4)
	movq %rbp, GPR(5)
	movq %rsi, GPR(6)
	movq %rdi, GPR(7)
	movq %r12, GPR(12)
	movq %r13, GPR(13)
	movq %r14, GPR(14)
	movq %r15, GPR(15)
	.endm

	.macro load_gprs_but_rax
	movq GPR(1), %rcx
	movq GPR(2), %rdx
	movq GPR(3), %rbx
	movq GPR(4), %r11
	movq GPR(5), %rbp
	movq GPR(6), %rsi
	movq GPR(7), %rdi
	movq GPR(12), %r12
	movq GPR(13), %r13
	movq GPR(14), %r14
	movq GPR(15), %r15
	.endm

	.macro begin name
	.globl \name
	.hidden \name
	.type \name, @function
	.p2align 4
\name:
	.endm

/* u64 sc_enter(struct sc_vcpu *v, void *host): run from @host, an entry that takes
 * stashed flags. Returns SC_LEFT_* or the struct sc_exit that was not chained. */
begin sc_enter
	pushq %rbp
	pushq %rbx
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	subq $8, %rsp
	movq %rsp, SC_OFF_HOST_RSP(%rdi)
	movq %rsi, %gs:SC_OFF_RESUME
	load_gprs_but_rax
	movq GPR(0), %rax
	jmpq *%gs:SC_OFF_RESUME
	.size sc_enter, . - sc_enter

/* Everything is saved; return rax to the caller of sc_enter. Also where the signal
 * handler sends a faulting thread. */
begin sc_leave
	movq %gs:SC_OFF_HOST_RSP, %rsp
	cld
	addq $8, %rsp
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbx
	popq %rbp
	retq
	.size sc_leave, . - sc_leave

/* Jumped to after "push $id" of an exit that is not chained: flags are the host's or
 * stashed, struct sc_exit says which. */
begin sc_thunk_chain
	save_gprs
	pushfq
	popq %gs:SC_OFF_SCRATCH
	popq %rax
	movl %eax, %eax
	jmp sc_leave
	.size sc_thunk_chain, . - sc_thunk_chain

/* Jumped to with the guest rip in r8, SC_BRANCH_FROM in r10, flags stashed */
begin sc_thunk_branch
	save_gprs
	movq %r10, %gs:SC_OFF_SCRATCH
	movq %r8, %gs:SC_OFF_RIP
	xorl %eax, %eax
	decq %rax
	jmp sc_leave
	.size sc_thunk_branch, . - sc_thunk_branch

	/* rax: where to go on, or 0 to leave. Flags come from the stash, r8 is the address
	 * that the probe may have to look up again. */
	.macro resume
	testq %rax, %rax
	jz 1f
	movq %rax, %gs:SC_OFF_RESUME
	load_gprs_but_rax
	movzwl %gs:SC_OFF_STASH, %eax
	addb $0x7f, %al
	sahf
	movq GPR(0), %rax
	movq %gs:SC_OFF_SCRATCH + 8, %r8
	jmpq *%gs:SC_OFF_RESUME
1:	jmp sc_leave
	.endm

/* Called from the slow path of a memory access; struct sc_meta follows the call.
 * r8: guest address. Flags are dead or stashed. */
begin sc_thunk_slow
	save_gprs
	popq %rsi
	movq %gs:SC_OFF_SELF, %rdi
	movq %r8, %gs:SC_OFF_SCRATCH + 8
	movq %r8, %rdx
	call sc_slow_access
	resume
	.size sc_thunk_slow, . - sc_thunk_slow

/* Called in place of one instruction; struct sc_meta follows the call */
begin sc_thunk_interp
	save_gprs
	pushfq
	popq %gs:SC_OFF_SCRATCH
	popq %rsi
	movq %gs:SC_OFF_SELF, %rdi
	call sc_slow_interp
	resume
	.size sc_thunk_interp, . - sc_thunk_interp

/* Called from the start of a block whose stack check failed; struct sc_stack_meta follows.
 * Flags are dead or stashed. When the TLB has the page for stores, v->stack takes it over
 * and the check is made again. */
begin sc_thunk_stack
	popq %r9
	movq %rax, %gs:SC_OFF_SCRATCH + 16
	movswq (%r9), %r8
	addq %r11, %r8
	movl %r8d, %r10d
	andl $0xfff, %r10d
	movzwl 2(%r9), %eax
	addl %r10d, %eax
	cmpl $0x1000, %eax
	ja 2f
	movl %gs:SC_OFF_MODE, %eax
	andl $1, %eax				/* SC_MODE_USER: which table */
	shll $SC_TLB_INDEX_BITS + 5, %eax
	movl %r8d, %r10d
	shrl $7, %r10d
	andl $((1 << SC_TLB_INDEX_BITS) - 1) << 5, %r10d
	addl %eax, %r10d
	andq $-4096, %r8
	cmpq %gs:SC_OFF_TLB + 8(%r10), %r8
	jne 2f
	shrl $SC_TLB_INDEX_BITS + 1, %eax	/* times sizeof(struct sc_stack) */
	movq %r8, %gs:SC_OFF_STACK(%rax)
	movq %gs:SC_OFF_TLB + 16(%r10), %r10
	movq %r10, %gs:SC_OFF_STACK + 8(%rax)
	movslq 4(%r9), %rax
	addq %rax, %r9
	movq %gs:SC_OFF_SCRATCH + 16, %rax
	jmpq *%r9
2:	movq %gs:SC_OFF_SCRATCH + 16, %rax
	pushq %r9
	save_gprs
	popq %rsi
	movq %gs:SC_OFF_SELF, %rdi
	call sc_slow_stack
	resume
	.size sc_thunk_stack, . - sc_thunk_stack

	.section .note.GNU-stack, "", @progbits
