// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/translate/enter.S - Into translated code and out of it
 *
 * Register map while in translated code: guest rax rcx rdx rbx rbp rsi rdi
 * r12..r15 are in the host registers of the same name, guest rsp is in host r11,
 * guest r8..r11 stay in v->gpr. Host r8, r9, r10 are scratch, host rsp is the
 * shadow stack of the mode (shadow.c), gs points at struct sc_vcpu. Arithmetic flags
 * are the host's or stashed in v->flags_stash (AH of lahf in bits 15:8, OF in bit 0). */
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

	/* To C's stack, to go back to the shadow stack later; uses @reg */
	.macro leave_shadow reg32 reg
	movl %gs:SC_OFF_MODE, \reg32
	andl $1, \reg32				/* SC_MODE_USER */
	movq %rsp, %gs:SC_OFF_SHADOW(, \reg, 8)
	movq %gs:SC_OFF_HOST_RSP, %rsp
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
	movl %gs:SC_OFF_MODE, %eax
	andl $1, %eax
	movq %gs:SC_OFF_SHADOW(, %rax, 8), %rsp
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
	leave_shadow %ecx %rcx
	movl %eax, %eax
	jmp sc_leave
	.size sc_thunk_chain, . - sc_thunk_chain

/* Jumped to with the guest rip in r8, SC_BRANCH_FROM in r10, flags stashed */
begin sc_thunk_branch
	save_gprs
	movq %r10, %gs:SC_OFF_SCRATCH
	movq %r8, %gs:SC_OFF_RIP
	leave_shadow %eax %rax
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
	movl %gs:SC_OFF_MODE, %eax
	andl $1, %eax
	movq %gs:SC_OFF_SHADOW(, %rax, 8), %rsp
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
	leave_shadow %eax %rax
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
	leave_shadow %eax %rax
	call sc_slow_interp
	resume
	.size sc_thunk_interp, . - sc_thunk_interp

/* Called when a window is not in the page of its slot (tr_window.c); struct sc_site_meta
 * follows, r8 is its address xor the slot's tag, flags are dead or stashed. When the TLB has
 * the page, the slot takes it over and the check is made again; else, and each 64 misses,
 * sc_slow_site decides. */
begin sc_thunk_site
	popq %r9
	pushq %rax
	pushq %rcx
	movl 12(%r9), %eax			/* slot */
	xorq %gs:(%rax), %r8			/* address of the window */
	movq %r8, %gs:SC_OFF_SCRATCH + 8
	movl %r8d, %r10d
	andl $0xfff, %r10d
	movzwl 8(%r9), %ecx			/* span */
	andl $0x7fff, %ecx
	addl %ecx, %r10d
	cmpl $0x1000, %r10d
	ja 6f
	movl %gs:SC_OFF_MODE, %ecx
	andl $1, %ecx				/* SC_MODE_USER: which table */
	shll $SC_TLB_INDEX_BITS + 5, %ecx
	movl %r8d, %r10d
	shrl $7, %r10d
	andl $((1 << SC_TLB_INDEX_BITS) - 1) << 5, %r10d
	addl %ecx, %r10d
	movzwl 8(%r9), %ecx
	shrl $15, %ecx				/* tag_r or tag_w */
	andq $-4096, %r8
	cmpq %gs:SC_OFF_TLB(%r10, %rcx, 8), %r8
	jne 3f
	cmpl $SC_OFF_SITE, %eax
	jb 2f					/* the stack's */
	movl %eax, %ecx
	subl $SC_OFF_SITE, %ecx
	shrl $4, %ecx
	testb $0x80, %gs:SC_OFF_SITE_NOTE(%rcx)
	jnz 1f
	/* Not in the list of those that MOV CR3 empties: need it be? */
	testl $1 << SC_SITES_BITS, %ecx
	jnz 3f
	testq %r8, %r8
	jns 3f
	testb $1, %gs:SC_OFF_TLB + 24(%r10)
	jz 3f
1:	pushq %rdx
	movb %gs:SC_OFF_SITE_NOTE(%rcx), %dl
	incl %edx
	movb %dl, %gs:SC_OFF_SITE_NOTE(%rcx)
	testb $0x3f, %dl
	jz 5f
	/* Bit of the page in site_pages: 4096 bits, the same again for the lower half */
	movq %r8, %rcx
	shrq $63, %rcx
	xorl $1, %ecx
	shll $12, %ecx
	movq %r8, %rdx
	shrq $12, %rdx
	andl $4095, %edx
	addl %ecx, %edx
	btsq %rdx, %gs:SC_OFF_SITE_PAGES
	popq %rdx
2:	movq %r8, %gs:(%rax)
	movq %gs:SC_OFF_TLB + 16(%r10), %r10
	movq %r10, %gs:8(%rax)
	movswq 4(%r9), %rax
	addq %rax, %r9
	popq %rcx
	popq %rax
	jmpq *%r9
6:	/* A stack frame in two pages: a jump to the solo variant is behind the meta */
	cmpl $SC_OFF_SITE, %eax
	jae 3f
	addq $16, %r9
	popq %rcx
	popq %rax
	jmpq *%r9
5:	popq %rdx
3:	popq %rcx
	popq %rax
	pushq %r9
	save_gprs
	popq %rsi
	movq %gs:SC_OFF_SELF, %rdi
	movq %gs:SC_OFF_SCRATCH + 8, %rdx
	leave_shadow %eax %rax
	call sc_slow_site
	resume
	.size sc_thunk_site, . - sc_thunk_site

/* The same for a window that the TLB did not have: r8 is its address xor the entry's tag, r9
 * the entry's offset in its table; struct sc_window_meta follows */
begin sc_thunk_window
	save_gprs
	popq %rsi
	movl %gs:SC_OFF_MODE, %eax
	andl $1, %eax
	shll $SC_TLB_INDEX_BITS + 5, %eax
	addl %eax, %r9d
	movzwl 8(%rsi), %eax
	shrl $15, %eax				/* tag_r or tag_w */
	xorq %gs:SC_OFF_TLB(%r9, %rax, 8), %r8
	movq %gs:SC_OFF_SELF, %rdi
	movq %r8, %gs:SC_OFF_SCRATCH + 8
	movq %r8, %rdx
	leave_shadow %eax %rax
	call sc_slow_window
	resume
	.size sc_thunk_window, . - sc_thunk_window

	.section .note.GNU-stack, "", @progbits
