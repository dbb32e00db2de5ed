// SPDX-License-Identifier: BSD-2-Clause
/* Tasks with the 80286's 16-bit TSS, to and from 32-bit ones: registers and their upper halves,
 * segments, links, error codes of 16 bits, limits */
#include "guest.h"

NO_APS

struct tss16 {
	u16 link, sp0, ss0, sp1, ss1, sp2, ss2, ip, flags, ax, cx, dx, bx, sp, bp, si, di, es, cs, ss, ds,
		ldt;
} __attribute__((packed));
static struct {
	u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi,
		edi, es, cs, ss, ds, fs, gs, ldt;
	u16 trap, iomap;
} a;
static struct tss16 b, c;
static u64 gdt2[16];
static u8 stack_b[4096] __attribute__((aligned(16))), stack_c[4096] __attribute__((aligned(16)));
static u32 failures;
static volatile u32 vec, err, resume;

/* What task B found */
struct seen {
	u32 eax, esi, flags;
	u16 sp, fs, gs, ds, tr, cr0, runs, error, error_sp;
};
volatile struct seen seen;

enum { A = 0x20, B = 0x28, C = 0x30, GATE = 0x38, CODE16 = 0x40, STACK_B = 0x48, STACK_C = 0x50, BAD = 0x58, SELF = 0x60 };

static void ok(int good, const char *what)
{
	put(good ? "ok " : "FAIL ");
	put(what);
	put("\r\n");
	failures += !good;
}

static u64 desc(u32 base, u32 limit, u32 type)
{
	return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)type << 40 |
	       (u64)(base & 0xff000000) << 32;
}
static u32 type_of(u32 sel) { return (u32)(*(volatile u64 *)&gdt2[sel / 8] >> 40) & 0x1f; }

static void fault(struct trap *t)
{
	vec = t->vector;
	err = t->error;
	t->eip = resume;
}

/* DS is flat; addresses need 32 bits. B: notes, then goes back by IRET when NT is set, else by JMP */
extern u8 code16[], task_b[], task_c[];
__asm__("code16:\n\t.code16\n"
	"task_b:\n\taddr32 movl %eax, seen\n\taddr32 movl %esi, seen+4\n\tpushfl\n\taddr32 popl seen+8\n\taddr32 mov %sp, seen+12\n"
	"\tmov %fs, %ax\n\taddr32 mov %ax, seen+14\n\tmov %gs, %ax\n\taddr32 mov %ax, seen+16\n\tmov %ds, %ax\n\taddr32 mov %ax, seen+18\n"
	"\tstr %ax\n\taddr32 mov %ax, seen+20\n\tsmsw %ax\n\taddr32 mov %ax, seen+22\n\taddr32 incw seen+24\n\tclts\n"
	"\tmovl $0xcafe1234, %ebx\n"
	"\taddr32 testw $0x4000, seen+8\n\tjz 1f\n\tiretw\n\tjmp task_b\n"
	"1:\tljmp $0x20, $0\n\tjmp task_b\n"
	/* C: the handler of an exception with an error code */
	"task_c:\n\taddr32 mov %sp, seen+28\n\taddr32 pop seen+26\n\taddr32 movw $0x10, selector\n\tclts\n\tiretw\n\tjmp task_c\n"
	"\t.code32\n");
u32 selector;

#define TRY(insn)                                                                             \
	do {                                                                                  \
		vec = 0xff;                                                                   \
		__asm__ volatile("movl $1f, %0\n\t" insn "\n1:" : "=m"(resume) : : "memory", "eax"); \
	} while (0)

static void task(struct tss16 *t, const u8 *at, u16 stack)
{
	*t = (struct tss16){ .ip = (u16)(at - code16), .flags = 2, .sp = 4096, .ax = 0xabcd, .si = 0x5678,
			     .es = 0x10, .cs = CODE16, .ss = stack, .ds = 0x10 };
}

int main(u32 magic, u32 info)
{
	struct { u16 limit; u32 base; } __attribute__((packed)) r = { sizeof(gdt2) - 1, (u32)gdt2 };
	u32 esp1, esp2, si, cr3;

	idt_init();
	for (u32 i = 0; i < 32; i++)
		traps[i] = fault;
	pic_init(0xffff);
	gdt2[1] = 0x00CF9A000000FFFFull;
	gdt2[2] = 0x00CF92000000FFFFull;
	gdt2[A / 8] = desc((u32)&a, 103, 0x89);
	gdt2[B / 8] = desc((u32)&b, 43, 0x81);
	gdt2[C / 8] = desc((u32)&c, 43, 0x81);
	gdt2[GATE / 8] = (u64)B << 16 | 0x8500ull << 32;
	gdt2[CODE16 / 8] = desc((u32)code16, 0xffff, 0x9a);
	gdt2[STACK_B / 8] = desc((u32)stack_b, 4095, 0x92);
	gdt2[STACK_C / 8] = desc((u32)stack_c, 4095, 0x92);
	gdt2[BAD / 8] = desc((u32)&b, 42, 0x81);
	gdt2[SELF / 8] = desc((u32)&c, 43, 0x81);
	__asm__ volatile("lgdt %0; ltr %w1" : : "m"(r), "r"(SELF) : "memory");
	ok(type_of(SELF) == 3, "LTR takes a 16-bit TSS and makes it busy");
	gdt2[SELF / 8] = 0;
	__asm__ volatile("ltr %w0" : : "r"(A));
	task(&b, task_b, STACK_B);
	task(&c, task_c, STACK_C);
	__asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
	a.cr3 = cr3;

	__asm__ volatile("mov %%esp, %0; mov $0x12345555, %%esi; ljmp $0x28, $0; mov %%esp, %1; mov %%esi, %2"
			 : "=m"(esp1), "=m"(esp2), "=m"(si)
			 : : "eax", "ecx", "edx", "esi", "edi", "ebx", "memory");
	ok(seen.runs == 1 && seen.tr == B, "JMP to a 16-bit TSS runs its task");
	ok((u16)seen.eax == 0xabcd && (u16)seen.esi == 0x5678, "with its registers");
	ok(seen.sp == 4096, "and its stack");
	ok(seen.fs == 0 && seen.gs == 0 && seen.ds == 0x10, "FS and GS, which it has not, are null");
	ok(seen.cr0 & 8, "CR0.TS was set");
	ok(!(seen.flags & 0x4000), "NT was not");
	ok(esp1 == esp2 && si == 0x12345555, "JMP back finds all of the 32-bit task");
	ok(a.fs == 0x10 && a.gs == 0x10, "its FS and GS were saved");
	ok(b.bx == 0x1234, "16 bits of each register were saved");
	ok(b.cs == CODE16 && b.ss == STACK_B, "and the segments");
	ok(type_of(A) == 11 && type_of(B) == 1, "busy bits moved");

	task(&b, task_b, STACK_B);
	__asm__ volatile("lcall $0x28, $0" : : : "eax", "ecx", "edx", "ebx", "memory");
	ok(seen.runs == 2 && (seen.flags & 0x4000), "CALL sets NT");
	ok(b.link == A, "and the link of 16 bits");
	ok(type_of(A) == 11 && type_of(B) == 1, "IRET goes back and frees it");
	ok(!(b.flags & 0x4000), "NT is clear in what was saved");
	__asm__ volatile("lcall $0x38, $0" : : : "eax", "ecx", "edx", "ebx", "memory");
	ok(seen.runs == 3, "CALL through a task gate goes on where it stopped");
	task(&b, task_b, STACK_B);
	idt[0x30] = (u64)B << 16 | 0x8500ull << 32;
	__asm__ volatile("int $0x30" : : : "memory");
	ok(seen.runs == 4 && (seen.flags & 0x4000), "INT n through a task gate");
	idt[13] = (u64)C << 16 | 0x8500ull << 32;
	__asm__ volatile("movw $0xf8, selector\n\tmov selector, %%es" : : : "eax", "memory");
	ok(seen.error == 0xf8 && seen.error_sp == 4094, "an error code of 16 bits is on its stack");
	idt_init();

	TRY("ljmp $0x58, $0");
	ok(vec == 10 && err == BAD, "a limit below 43 is #TS of it");
	return failures ? 1 : PASS;
}
