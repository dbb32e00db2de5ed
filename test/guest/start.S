// SPDX-License-Identifier: BSD-2-Clause
/* Entry of every bare guest: multiboot header, stack, interrupt stubs, AP trampoline
 *
 * 32-bit protected mode, flat segments, no paging. main()'s return value goes to
 * isa-debug-exit, so that the command exits with 2 * value + 1. */
	.section .multiboot, "a"
	.align 4
	.long 0x1BADB002, 0x3, -(0x1BADB002 + 0x3)

	.text
	.globl _start
_start:
	cli
	cld
	mov	$stack_top, %esp
	lgdt	gdtr
	ljmp	$0x08, $1f
1:	mov	$0x10, %ecx
	mov	%ecx, %ds
	mov	%ecx, %es
	mov	%ecx, %fs
	mov	%ecx, %gs
	mov	%ecx, %ss
	push	%ebx
	push	%eax
	call	main
	out	%al, $0xF4
2:	cli
	hlt
	jmp	2b

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
	pusha
	mov	%esp, %eax
	push	%eax
	call	on_trap
	add	$4, %esp
	popa
	add	$8, %esp
	iret

/* Copied to 0x8000: real mode to protected mode, a stack of its own, ap_main */
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
	ljmpl	$0x08, $(0x8000 + 3f - trampoline)
	.code32
3:	mov	$0x10, %ecx
	mov	%ecx, %ds
	mov	%ecx, %es
	mov	%ecx, %ss
	mov	$4096, %eax
	lock xadd %eax, ap_stack
	lea	4096(%eax), %esp
	mov	$ap_main, %eax		/* not relative: this is a copy */
	call	*%eax
4:	cli
	hlt
	jmp	4b
	.align 4
gdtr_low:
	.word	gdt_end - gdt - 1
	.long	gdt
trampoline_end:

	.data
	.align 8
	.globl gdt
gdt:	.quad	0
	.quad	0x00CF9A000000FFFF	/* 08: code 32 */
	.quad	0x00CF92000000FFFF	/* 10: data */
	.quad	0x00AF9A000000FFFF	/* 18: code 64 */
gdt_end:
gdtr:	.word	gdt_end - gdt - 1
	.long	gdt
ap_stack:
	.long	ap_stacks

	.bss
	.align 16
	.skip	16384
	.globl stack_top
stack_top:
ap_stacks:
	.skip	4096 * 64
	.section .note.GNU-stack, "", @progbits
