// SPDX-License-Identifier: BSD-2-Clause
/* Virtual-8086 mode: entry by IRET and by a task, segments, what IOPL and the I/O bitmap forbid,
 * frames of faults and interrupts, return to it */
#include "guest.h"

NO_APS

static struct {
	u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi,
		edi, es, cs, ss, ds, fs, gs, ldt;
	u16 trap, iomap;
	u8 map[32 + 1];
} __attribute__((packed)) tss, task;
static u64 gdt2[8];
static u8 stack0[4096] __attribute__((aligned(16)));
static u32 failures;

enum { TSS = 0x18, TASK = 0x20 };
#define CODE_SEG 0x2000u
#define DATA_SEG 0x3000u
#define VM 0x20000u
#define IOPL3 0x3000u

/* What the last trap out of virtual-8086 mode found */
static struct {
	u32 vector, error, eip, cs, eflags, esp, ss, es, ds, fs, gs, eax, ebx, ecx, edx;
} last;
u32 vm_esp, vm_ds;
static u32 ticks;
static int resume; /* the next trap goes back where it came from */

struct frame {
	u32 eip, cs, eflags, esp, ss, es, ds, fs, gs;
};
void vm_enter(struct frame *f);
void vm_leave(void);
extern u8 vm_stubs[];

__asm__("vm_enter:\n\tpush %ebp\n\tpush %ebx\n\tpush %esi\n\tpush %edi\n\tmov 20(%esp), %eax\n"
	"\tmov %esp, vm_esp\n"
	"\tpush 32(%eax)\n\tpush 28(%eax)\n\tpush 24(%eax)\n\tpush 20(%eax)\n\tpush 16(%eax)\n"
	"\tpush 12(%eax)\n\tpush 8(%eax)\n\tpush 4(%eax)\n\tpush (%eax)\n"
	"\txor %eax, %eax\n\txor %ebx, %ebx\n\txor %ecx, %ecx\n\txor %edx, %edx\n\tiretl\n"
	"vm_leave:\n\tmov vm_esp, %esp\n\tpop %edi\n\tpop %esi\n\tpop %ebx\n\tpop %ebp\n\tret\n"
	"\t.align 16\nvm_stubs:\n\t.set n, 0\n\t.rept 64\n\t.align 16\n"
	"\t.if !(n == 8 || (n >= 10 && n <= 14) || n == 17)\n\tpush $0\n\t.endif\n"
	"\tpush $n\n\tjmp vm_trap_entry\n\t.set n, n + 1\n\t.endr\n"
	"vm_trap_entry:\n\tpusha\n\tmov %ds, %ecx\n\tmov $0x10, %eax\n\tmov %eax, %ds\n\tmov %eax, %es\n"
	"\tmov %ecx, vm_ds\n\tmov %esp, %eax\n\tpush %eax\n\tcall vm_trap\n\tadd $4, %esp\n"
	"\tpopa\n\tadd $8, %esp\n\tiretl\n");

static void ok(int good, const char *what)
{
	put(good ? "ok " : "FAIL ");
	put(what);
	put("\r\n");
	failures += !good;
}

void vm_trap(struct trap *t);
void vm_trap(struct trap *t)
{
	u32 *more = &t->eflags + 1;

	if (t->vector == 0x20) {
		ticks++;
		outb(0x20, 0x20);
		if (!(t->eflags & VM))
			return;
	}
	if (!(t->eflags & VM))
		finish(0x60 + (t->vector & 0x1f));
	last.vector = t->vector;
	last.error = t->error;
	last.eip = t->eip;
	last.cs = t->cs;
	last.eflags = t->eflags;
	last.esp = more[0];
	last.ss = more[1];
	last.es = more[2];
	last.ds = more[3];
	last.fs = more[4];
	last.gs = more[5];
	last.eax = t->eax;
	last.ebx = t->ebx;
	last.ecx = t->ecx;
	last.edx = t->edx;
	if (resume)
		resume--;
	else
		vm_leave();
}

/* 16-bit code; it has a label name_at at the instruction that matters */
#define CODE16(name, text)                                                                     \
	extern u8 name[], name##_at[], name##_end[];                                           \
	__asm__(".pushsection .text\n" #name ":\n.code16\n\t" text "\n" #name "_end:\n"         \
		".code32\n.popsection")

CODE16(look, "mov %cs, %ax; mov %ds, %bx; mov %ss, %cx; mov (0), %dx; look_at: int3");
CODE16(c_cli, "nop; c_cli_at: cli; int3");
CODE16(c_sti, "nop; c_sti_at: sti; int3");
CODE16(c_pushf, "nop; c_pushf_at: pushf; int3");
CODE16(c_popf, "nop; c_popf_at: popf; int3");
CODE16(c_iret, "nop; c_iret_at: iretw; int3");
CODE16(c_int, "nop; c_int_at: int $0x21; int3");
CODE16(c_int30, "nop; c_int30_at: int $0x30; int3");
CODE16(c_hlt, "nop; c_hlt_at: hlt; int3");
CODE16(c_in, "in $0x80, %al; c_in_at: in $0x81, %al; int3");
CODE16(c_inw, "nop; c_inw_at: in $0x80, %ax; int3");
CODE16(c_cr, "nop; c_cr_at: mov %cr0, %eax; int3");
CODE16(c_lgdt, "nop; c_lgdt_at: lgdtw (0); int3");
CODE16(c_sldt, "nop; c_sldt_at: sldt %ax; int3");
CODE16(c_lar, "nop; c_lar_at: lar %ax, %ax; int3");
CODE16(c_arpl, "nop; c_arpl_at: arpl %ax, %ax; int3");
CODE16(c_smsw, "smsw %ax; c_smsw_at: int3");
CODE16(c_limit, "mov $0xffff, %bx; c_limit_at: mov (%bx), %ax; int3");
CODE16(c_stack, "mov $0xffff, %bp; c_stack_at: mov (%bp), %ax; int3");
CODE16(c_div, "xor %cx, %cx; c_div_at: div %cx; int3");
CODE16(c_ud, "nop; c_ud_at: ud2");
CODE16(c_flags, "sti; pushf; pop %ax; cli; pushf; pop %bx; push $0x0; popf; pushf; pop %cx; "
		"push $0x4ed7; popf; pushf; pop %dx; c_flags_at: int3");
CODE16(c_far, "mov $0x1234, %ax; mov %ax, %es; lcall $0x2000, $(1f - c_far); mov %es, %cx; c_far_at: int3;"
	      "1: mov %sp, %bx; mov $7, %dx; lret");
CODE16(c_iret3, "pushf; push %cs; push $(1f - c_iret3); iretw; ud2; 1: mov $5, %ax; c_iret3_at: int3");
CODE16(c_wait, "sti; c_wait_at: jmp c_wait_at");
CODE16(c_step, "mov $1, %ax; c_step_at: mov $2, %ax; int3");
CODE16(c_32, "movl $0x12345678, %eax; mov $0x3000, %ebx; movl $0x99, (0x20); movl %ds:(0x20), %ecx; c_32_at: int3");

static void go_flags(const u8 *code, const u8 *end, u32 flags)
{
	struct frame f = { 0, CODE_SEG, VM | 2 | flags, 0x8000, 0x4000, 0x5000, DATA_SEG, 0x6000, 0x7000 };
	u8 *to = (u8 *)(CODE_SEG * 16);

	for (const u8 *p = code; p < end; p++)
		*(volatile u8 *)to++ = *p;
	last.vector = 0xff;
	vm_enter(&f);
}
#define GO(name, flags) go_flags(name, name##_end, flags)
#define FAULTS(name, flags, vec, err, what)                                                    \
	(GO(name, flags), ok(last.vector == (vec) && last.error == (err) &&                     \
			     last.eip == (u32)(name##_at - name) && last.cs == CODE_SEG, what))
/* It comes to the INT3 at its end */
#define ENDS(name, flags, what)                                                                \
	(GO(name, flags), ok(last.vector == 3 && last.eip == (u32)(name##_at - name) + 1, what))

static void gate(u32 vec, u32 type)
{
	u32 a = (u32)vm_stubs + vec * 16;

	idt[vec] = (a & 0xffff) | 0x08u << 16 | (u64)((a & 0xffff0000) | type) << 32;
}

static void entry(void)
{
	*(volatile u16 *)(DATA_SEG * 16) = 0xbeef;
	ENDS(look, IOPL3, "IRET with VM runs 16-bit code");
	ok((u16)last.eax == CODE_SEG && (u16)last.ebx == DATA_SEG && (u16)last.ecx == 0x4000, "segments are those of the frame");
	ok((u16)last.edx == 0xbeef, "and begin at 16 times their number");
	ok(last.eflags & VM, "the frame of a trap has VM");
	ok(last.cs == CODE_SEG && last.ss == 0x4000 && last.esp == 0x8000, "CS, SS and SP");
	ok(last.es == 0x5000 && last.ds == DATA_SEG && last.fs == 0x6000 && last.gs == 0x7000, "and the data segments");
	ok((vm_ds & 0xffff) == 0, "which are null in the handler");
	ENDS(c_32, IOPL3, "32-bit operands");
	ok(last.eax == 0x12345678 && last.ecx == 0x99, "have all bits");
}

static void sensitive(void)
{
	FAULTS(c_cli, 0, 13, 0, "CLI with IOPL below 3 is #GP(0)");
	FAULTS(c_sti, 0x2000, 13, 0, "STI too");
	FAULTS(c_pushf, 0x1000, 13, 0, "PUSHF too");
	FAULTS(c_popf, 0, 13, 0, "POPF too");
	FAULTS(c_iret, 0, 13, 0, "IRET too");
	FAULTS(c_int, 0, 13, 0, "INT n too");
	FAULTS(c_int30, IOPL3, 13, 0x30 * 8 + 2, "INT n with IOPL 3 minds the gate's DPL");
	GO(c_int, IOPL3);
	ok(last.vector == 0x21 && last.eip == (u32)(c_int_at - c_int) + 2, "a gate with DPL 3 is taken");
	ENDS(look, 0, "INT3 does not mind IOPL");
	FAULTS(c_hlt, IOPL3, 13, 0, "HLT is #GP(0)");
	FAULTS(c_cr, IOPL3, 13, 0, "so is MOV from CR0");
	FAULTS(c_lgdt, IOPL3, 13, 0, "and LGDT");
	FAULTS(c_sldt, IOPL3, 6, 0, "SLDT is #UD");
	FAULTS(c_lar, IOPL3, 6, 0, "LAR is #UD");
	FAULTS(c_arpl, IOPL3, 6, 0, "ARPL is #UD");
	ENDS(c_smsw, IOPL3, "SMSW works");
	ok(last.eax & 1, "and shows PE");
	FAULTS(c_in, IOPL3, 13, 0, "a port that the bitmap forbids is #GP(0) even with IOPL 3");
	FAULTS(c_inw, IOPL3, 13, 0, "a word of which one byte is forbidden, too");
}

static void faults(void)
{
	FAULTS(c_limit, IOPL3, 13, 0, "a word over the segment's end is #GP(0)");
	FAULTS(c_stack, IOPL3, 12, 0, "on the stack it is #SS(0)");
	FAULTS(c_div, 0, 0, 0, "#DE");
	FAULTS(c_ud, 0, 6, 0, "#UD");
	GO(c_step, 0x100);
	ok(last.vector == 1 && last.eip == (u32)(c_step_at - c_step) && (u16)last.eax == 1, "single step");
}

static void allowed(void)
{
	ENDS(c_flags, IOPL3, "IOPL 3: CLI, STI, PUSHF, POPF");
	ok(last.eax & 0x200, "STI sets IF");
	ok(!(last.ebx & 0x200), "CLI clears it");
	ok((last.ecx & 0x3000) == 0x3000, "POPF does not change IOPL");
	ok((u16)last.edx == 0x7ed7, "but the others");
	ENDS(c_far, IOPL3, "far call and return");
	ok((u16)last.ebx == 0x8000 - 4 && (u16)last.edx == 7 && (u16)last.ecx == 0x1234, "as in real mode; any selector loads");
	ENDS(c_iret3, IOPL3, "IRET with IOPL 3");
	ok((u16)last.eax == 5, "goes where the stack says");
}

static void interrupts(void)
{
	ticks = 0;
	resume = 2; /* two ticks go back into the loop, the third ends it */
	pic_init(0xfffe);
	pit_rate(11932);
	GO(c_wait, IOPL3);
	ok(last.vector == 0x20 && ticks == 3, "interrupts come and IRET goes back");
	ok(last.eip == 1 && (last.eflags & 0x20200) == 0x20200, "to where they came from");
	ok(last.ds == DATA_SEG && last.gs == 0x7000, "with its segments");
	outb(0x21, 0xff);
	resume = 0;
}

static void by_task(void)
{
	u8 *to = (u8 *)(CODE_SEG * 16);

	for (const u8 *p = look; p < look_end; p++)
		*(volatile u8 *)to++ = *p;
	task.eip = 0;
	task.cs = CODE_SEG;
	task.ds = task.es = task.fs = task.gs = DATA_SEG;
	task.ss = 0x4000;
	task.esp = 0x8000;
	task.eflags = VM | 2;
	task.esp0 = (u32)stack0 + sizeof(stack0);
	task.ss0 = 0x10;
	task.iomap = 104;
	last.vector = 0xff;
	__asm__ volatile("push %%ebp\n\tpush %%ebx\n\tpush %%esi\n\tpush %%edi\n\tpush $1f\n"
			 "\tmov %%esp, vm_esp\n\tsubl $16, vm_esp\n\tsub $16, %%esp\n\tljmp $0x20, $0\n"
			 "1:\tpop %%edi\n\tpop %%esi\n\tpop %%ebx\n\tpop %%ebp"
			 : : : "eax", "ecx", "edx", "memory", "cc");
	ok(last.vector == 3 && (u16)last.eax == CODE_SEG && (u16)last.edx == 0xbeef, "a task of virtual-8086 mode");
}

int main(u32 magic, u32 info)
{
	struct { u16 limit; u32 base; } __attribute__((packed)) r = { sizeof(gdt2) - 1, (u32)gdt2 };

	idt_init();
	for (u32 i = 0; i < 64; i++)
		gate(i, 0x8E00);
	gate(3, 0xEE00);
	gate(0x21, 0xEE00);
	pic_init(0xffff);
	gdt2[1] = 0x00CF9A000000FFFFull;
	gdt2[2] = 0x00CF92000000FFFFull;
	gdt2[TSS / 8] = (sizeof(tss) - 1) | (u64)((u32)&tss & 0xffffff) << 16 | 0x89ull << 40;
	gdt2[TASK / 8] = (sizeof(task) - 1) | (u64)((u32)&task & 0xffffff) << 16 | 0x89ull << 40;
	tss.esp0 = (u32)stack0 + sizeof(stack0);
	tss.ss0 = 0x10;
	tss.iomap = 104;
	tss.map[0x81 / 8] = 1 << (0x81 & 7);
	tss.map[32] = 0xff;
	__asm__ volatile("lgdt %0; ltr %w1" : : "m"(r), "r"(TSS) : "memory");
	entry();
	sensitive();
	faults();
	allowed();
	interrupts();
	by_task();
	return failures ? 1 : PASS;
}
