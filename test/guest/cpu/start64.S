// SPDX-License-Identifier: BSD-2-Clause
/* Entry of the 64-bit guests: multiboot header, page tables, long mode, interrupt stubs,
 * AP trampoline, and the two calls that survive an exception (run, run_user)
 *
 * Physical = linear below 4 GiB in 2 MiB pages for ring 0 only, but for the second
 * gigabyte, which shows the first one to ring 3 as well: cpu.h's USER(). */
	.section .multiboot, "a"
	.align 4
	.long 0x1BADB002, 0x3, -(0x1BADB002 + 0x3)

	.text
	.code32
	.globl _start
_start:
	cli
	cld
	mov	$stack_top, %esp
	/* PML4[0] -> pdpt, pdpt[0..3] -> pds; entry 1 is the user's */
	movl	$pdpt + 7, pml4
	mov	$4, %ecx
	mov	$pds + 3, %eax
	mov	$pdpt, %edi
1:	mov	%eax, (%edi)
	add	$4096, %eax
	add	$8, %edi
	loop	1b
	orl	$4, pdpt + 8
	mov	$2048, %ecx
	mov	$0x83, %eax
	mov	$pds, %edi
1:	mov	%eax, (%edi)
	add	$0x200000, %eax
	add	$8, %edi
	loop	1b
	mov	$512, %ecx
	mov	$0x87, %eax
	mov	$pds + 4096, %edi
1:	mov	%eax, (%edi)
	add	$0x200000, %eax
	add	$8, %edi
	loop	1b
	lgdt	gdtr
	mov	$0, %ebp		/* boot processor */
	jmp	to_long

/* ebp: 0, or 1 for an AP; esp is a stack */
to_long:
	mov	%cr4, %eax
	or	$0x620, %eax		/* PAE, OSFXSR, OSXMMEXCPT */
	mov	%eax, %cr4
	mov	$pml4, %eax
	mov	%eax, %cr3
	mov	$0xC0000080, %ecx
	rdmsr
	or	$0x901, %eax		/* SCE, LME, NXE */
	wrmsr
	mov	%cr0, %eax
	and	$~0xC, %eax		/* EM, TS */
	or	$0x80010022, %eax	/* PG, WP, NE, MP */
	mov	%eax, %cr0
	ljmp	$0x08, $1f
	.code64
1:	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	xor	%eax, %eax
	mov	%eax, %fs
	mov	%eax, %gs
	fninit
	test	%ebp, %ebp
	jnz	2f
	mov	$stack_top, %rsp
	call	main64
	out	%al, $0xF4
3:	cli
	hlt
	jmp	3b
2:	mov	%esp, %esp
	call	ap_main64
	jmp	3b

/* Stubs for all vectors: push an error code where the CPU does not, then the vector */
	.globl stubs
	.align 16
stubs:
	.set	vec, 0
	.rept	256
	.align 16
	.if !(vec == 8 || (vec >= 10 && vec <= 14) || vec == 17 || vec == 21)
	push	$0
	.endif
	push	$vec
	jmp	trap_entry
	.set	vec, vec + 1
	.endr

trap_entry:
	push	%rax
	push	%rcx
	push	%rdx
	push	%rbx
	push	%rbp
	push	%rsi
	push	%rdi
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, %rdi
	mov	%rsp, %rbx
	and	$~15, %rsp
	cld
	call	on_trap
	mov	%rbx, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rdi
	pop	%rsi
	pop	%rbp
	pop	%rbx
	pop	%rdx
	pop	%rcx
	pop	%rax
	add	$16, %rsp
	iretq

	.macro	SAVE
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, run_rsp
	movl	$1, run_armed
	.endm

/* u64 run(void *fn, u64 a, u64 b): fn(a, b) in ring 0; whatever trap comes ends it */
	.globl	run, run_asm, run_user_asm, run_user32_asm, run_abort, user_exit
run_asm:
	SAVE
	mov	%rdi, %rax
	mov	%rsi, %rdi
	mov	%rdx, %rsi
	xor	%ecx, %ecx
	xor	%edx, %edx
	call	*%rax
run_abort:
	movl	$0, run_armed
	mov	run_rsp, %rsp
	cld
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

/* The same in ring 3, 64-bit: fn returns to user_exit. rdi, rsi, rdx; rcx: RFLAGS, r8: CS */
run_user_asm:
	SAVE
	push	$0x23
	mov	$user_stack_top + 0x40000000 - 8, %rax
	push	%rax
	push	%rcx
	push	%r8
	push	%rdi
	mov	%rsi, %rdi
	mov	%rdx, %rsi
	xor	%ecx, %ecx
	xor	%edx, %edx
	iretq
user_exit:
	int	$0xff

/* What a compiler may call for structures */
	.globl	memcpy, memset
memcpy:
	mov	%rdi, %rax
	mov	%rdx, %rcx
	rep movsb
	ret
memset:
	mov	%rdi, %r8
	mov	%esi, %eax
	mov	%rdx, %rcx
	rep stosb
	mov	%r8, %rax
	ret

/* Copied to 0x8000: real mode to protected mode, a stack of its own, long mode */
	.globl trampoline, trampoline_end
	.code16
trampoline:
	cli
	xor	%ax, %ax
	mov	%ax, %ds
	lgdtl	(0x8000 + gdtr_low - trampoline)
	mov	%cr0, %eax
	or	$1, %al
	mov	%eax, %cr0
	ljmpl	$0x30, $(0x8000 + 3f - trampoline)
	.code32
3:	mov	$0x10, %ecx
	mov	%ecx, %ds
	mov	%ecx, %es
	mov	%ecx, %ss
	mov	$8192, %eax
	lock xadd %eax, ap_stack
	lea	8192(%eax), %esp
	mov	$1, %ebp
	mov	$to_long, %eax		/* not relative: this is a copy */
	jmp	*%eax
	.align 4
gdtr_low:
	.word	gdt_end - gdt - 1
	.long	gdt
trampoline_end:

	.data
	.align 8
	.globl gdt, gdt_end
gdt:	.quad	0
	.quad	0x00AF9B000000FFFF	/* 08: code 64 */
	.quad	0x00CF93000000FFFF	/* 10: data */
	.quad	0x00CFFB000000FFFF	/* 18: ring 3 code 32 */
	.quad	0x00CFF3000000FFFF	/* 20: ring 3 data */
	.quad	0x00AFFB000000FFFF	/* 28: ring 3 code 64 */
	.quad	0x00CF9B000000FFFF	/* 30: code 32 */
	.quad	0, 0			/* 38: TSS */
	.quad	0, 0			/* 48: LDT */
	.fill	24, 8, 0		/* 58: for tests */
gdt_end:
gdtr:	.word	gdt_end - gdt - 1
	.long	gdt
	.globl	ap_stack_pos, ap_stacks_start
ap_stack:
ap_stack_pos:
	.long	ap_stacks
	.globl	run_rsp, run_armed
	.align 8
run_rsp:
	.quad	0
run_armed:
	.long	0
	/* user_stack_top[-8] is where ring 3 code returns to */
	.align 4096
	.globl user_stack_top
	.fill	4096 - 8, 1, 0
	.quad	user_exit + 0x40000000
user_stack_top:
	.skip	4096

	.bss
	.globl pml4, pdpt, pds
	.align 4096
pml4:	.skip	4096
pdpt:	.skip	4096
pds:	.skip	4096 * 4
	.skip	32768
	.globl stack_top
stack_top:
ap_stacks_start:
ap_stacks:
	.skip	8192 * 16
	.section .note.GNU-stack, "", @progbits
