// SPDX-License-Identifier: BSD-2-Clause
/* test/isa/native_run.S - Run guest instructions on the host with all registers loaded
 *
 * void isa_native_enter(struct isa_state *st): loads everything, jumps to *isa_entry. The
 * instructions are followed by a jump to isa_native_exit, which stores everything.
 * isa_native_abort is where the signal handler goes on after it has stored everything. */
	.bss
	.globl	isa_entry, isa_far_entry, isa_exit_rsp
	.p2align 3
isa_entry:	.skip 8
isa_far_entry:	.skip 8		/* 32-bit offset, selector */
host_rsp:	.skip 8
state:		.skip 8
guest_rsp:	.skip 8
guest_rdi:	.skip 8
isa_exit_rsp:	.skip 8

	.section .rodata
mxcsr:	.long 0x1f80

	.text
	.globl	isa_native_enter, isa_native_exit, isa_native_abort
	.type	isa_native_enter, @function
isa_native_enter:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, host_rsp(%rip)
	mov	%rdi, state(%rip)
	mov	$7, %eax
	xor	%edx, %edx
	xrstor64 192(%rdi)
	push	136(%rdi)
	popfq
	mov	(%rdi), %rax
	mov	8(%rdi), %rcx
	mov	16(%rdi), %rdx
	mov	24(%rdi), %rbx
	mov	32(%rdi), %rsp
	mov	40(%rdi), %rbp
	mov	48(%rdi), %rsi
	mov	64(%rdi), %r8
	mov	72(%rdi), %r9
	mov	80(%rdi), %r10
	mov	88(%rdi), %r11
	mov	96(%rdi), %r12
	mov	104(%rdi), %r13
	mov	112(%rdi), %r14
	mov	120(%rdi), %r15
	mov	56(%rdi), %rdi
	jmp	*isa_entry(%rip)

	.globl	isa_enter_compat
isa_enter_compat:		/* an isa_entry that goes on in 32-bit code */
	ljmp	*isa_far_entry(%rip)

isa_native_exit:
	mov	%rdi, guest_rdi(%rip)
	mov	%rsp, guest_rsp(%rip)
	mov	state(%rip), %rdi
	mov	%rax, (%rdi)
	mov	%rcx, 8(%rdi)
	mov	%rdx, 16(%rdi)
	mov	%rbx, 24(%rdi)
	mov	%rbp, 40(%rdi)
	mov	%rsi, 48(%rdi)
	mov	%r8, 64(%rdi)
	mov	%r9, 72(%rdi)
	mov	%r10, 80(%rdi)
	mov	%r11, 88(%rdi)
	mov	%r12, 96(%rdi)
	mov	%r13, 104(%rdi)
	mov	%r14, 112(%rdi)
	mov	%r15, 120(%rdi)
	mov	host_rsp(%rip), %rsp
	pushfq
	pop	136(%rdi)
	push	$0x202			/* no AC, TF, NT of the guest's */
	popfq
	mov	guest_rsp(%rip), %rax
	mov	%rax, 32(%rdi)
	mov	guest_rdi(%rip), %rax
	mov	%rax, 56(%rdi)
	mov	$7, %eax
	xor	%edx, %edx
	xsave64	192(%rdi)
isa_native_abort:
	mov	host_rsp(%rip), %rsp
	cld
	fninit
	vzeroupper
	ldmxcsr	mxcsr(%rip)
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret
	.size	isa_native_enter, . - isa_native_enter
	.section .note.GNU-stack, "", @progbits
