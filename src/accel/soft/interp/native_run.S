// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/interp/native_run.S - Into a native snippet and out again
 *
 * u32 sc_native_run(u64 *gpr, void *mem, const void *code, u64 *save_rsp)
 *
 * A snippet gets RDI = gpr and RSI = mem, may change RAX, RBX, RCX, RDX and flags, and
 * returns with a plain RET. When one faults, the signal handler continues at
 * sc_native_abort with RSP = *save_rsp and the return value in RAX. */
	.text
	.globl	sc_native_run, sc_native_abort
	.hidden	sc_native_run, sc_native_abort
	.type	sc_native_run, @function
	.p2align 4
sc_native_run:
	.cfi_startproc
	push	%rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbx, 0
	mov	%rsp, (%rcx)
	call	*%rdx
	xor	%eax, %eax
sc_native_abort:
	pop	%rbx
	.cfi_adjust_cfa_offset -8
	ret
	.cfi_endproc
	.size	sc_native_run, . - sc_native_run
	.section .note.GNU-stack, "", @progbits
