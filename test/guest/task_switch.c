// SPDX-License-Identifier: BSD-2-Clause
/* Hardware tasks of 32-bit protected mode: JMP, CALL and IRET, task gates for interrupts and
 * exceptions with and without error codes, busy bits, NT, CR0.TS, LDT and faults of a switch */
#include "guest.h"

NO_APS

struct tss {
	u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi,
		edi, es, cs, ss, ds, fs, gs, ldt;
	u16 trap, iomap;
};
static struct tss a, b, c;
static u64 gdt2[16], ldt2[2];
static u8 stack_b[4096] __attribute__((aligned(16))), stack_c[4096] __attribute__((aligned(16)));
static u32 failures;
static volatile u32 ran_b, ran_c, err_c, nt_b, cr0_b, eax_b, vec, err, resume, ldt_b;

enum { A = 0x20, B = 0x28, C = 0x30, GATE = 0x38, LDT = 0x40, BAD = 0x48 };

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

static void task(struct tss *t, void (*fn)(void), u8 *stack)
{
	*t = (struct tss){ .eip = (u32)fn, .eflags = 2, .esp = (u32)stack, .es = 0x10, .cs = 8, .ss = 0x10,
			   .ds = 0x10, .fs = 0x10, .gs = 0x10, .iomap = 104, .eax = 0x1234abcd };
}

/* Task B: notes what it finds and goes back the way @how says, again and again */
u32 selector;
extern u8 task_b[], task_c[];
__asm__("task_b:\n\tmov %eax, eax_b\n\tpushfl\n\tpop nt_b\n\tmov %cr0, %eax\n\tmov %eax, cr0_b\n"
	"\tsldt %ax\n\tmov %ax, ldt_b\n\tincl ran_b\n\tclts\n"
	"\ttestl $0x4000, nt_b\n\tjz 1f\n\tiretl\n\tjmp task_b\n"
	"1:\tljmp $0x20, $0\n\tjmp task_b\n"
	/* Task C: the handler of an exception with an error code */
	"task_c:\n\tpop err_c\n\tmovw $0x10, selector\n\tincl ran_c\n\tclts\n\tiretl\n\tjmp task_c\n");

#define TRY(insn)                                                                             \
	do {                                                                                  \
		vec = 0xff;                                                                   \
		__asm__ volatile("movl $1f, %0\n\t" insn "\n1:" : "=m"(resume) : : "memory", "eax"); \
	} while (0)

int main(u32 magic, u32 info)
{
	struct { u16 limit; u32 base; } __attribute__((packed)) r = { sizeof(gdt2) - 1, (u32)gdt2 };
	u32 esp1, esp2;

	idt_init();
	for (u32 i = 0; i < 32; i++)
		traps[i] = fault;
	pic_init(0xffff);
	gdt2[1] = 0x00CF9A000000FFFFull;
	gdt2[2] = 0x00CF92000000FFFFull;
	gdt2[A / 8] = desc((u32)&a, 103, 0x89);
	gdt2[B / 8] = desc((u32)&b, 103, 0x89);
	gdt2[C / 8] = desc((u32)&c, 103, 0x89);
	gdt2[GATE / 8] = (u64)B << 16 | 0x8500ull << 32;
	gdt2[LDT / 8] = desc((u32)ldt2, sizeof(ldt2) - 1, 0x82);
	gdt2[BAD / 8] = desc((u32)&b, 102, 0x89);
	__asm__ volatile("lgdt %0; ltr %w1" : : "m"(r), "r"(A) : "memory");
	ok(type_of(A) == 11, "LTR sets the busy bit");
	task(&b, (void (*)(void))task_b, stack_b + sizeof(stack_b));
	task(&c, (void (*)(void))task_c, stack_c + sizeof(stack_c));

	/* JMP there and back */
	__asm__ volatile("mov %%esp, %0; mov $0x55, %%esi; ljmp $0x28, $0; mov %%esp, %1"
			 : "=m"(esp1), "=m"(esp2) : : "eax", "ecx", "edx", "esi", "edi", "ebx", "memory");
	ok(ran_b == 1, "JMP to a TSS runs the task");
	ok(esp1 == esp2, "and comes back with the stack");
	ok(eax_b == 0x1234abcd, "which had its registers");
	ok(cr0_b & 8, "CR0.TS was set");
	ok(!(nt_b & 0x4000), "NT was not");
	ok(a.esi == 0x55, "the old task's registers are in its TSS");
	ok(type_of(A) == 11 && type_of(B) == 9, "busy bits moved");

	/* CALL, back by IRET */
	b.eip = (u32)task_b;
	__asm__ volatile("lcall $0x28, $0" : : : "eax", "ecx", "edx", "memory");
	ok(ran_b == 2, "CALL to a TSS");
	ok(nt_b & 0x4000, "sets NT");
	ok(b.link == A, "and the link");
	ok(type_of(A) == 11 && type_of(B) == 9, "IRET clears the busy bit again");
	/* ... a second time goes on behind the IRET */
	__asm__ volatile("lcall $0x38, $0" : : : "eax", "ecx", "edx", "memory");
	ok(ran_b == 3, "CALL through a task gate goes on where it stopped");

	/* interrupt and exceptions through task gates */
	b.eip = (u32)task_b;
	idt[0x30] = (u64)B << 16 | 0x8500ull << 32;
	__asm__ volatile("int $0x30" : : : "memory");
	ok(ran_b == 4 && (nt_b & 0x4000), "INT n through a task gate");
	idt[13] = (u64)C << 16 | 0x8500ull << 32;
	a.esp0 = 0;
	c.eip = (u32)task_c;
	/* a selector beyond the table; the handler puts it right, and IRET tries again */
	__asm__ volatile("movw $0xf8, selector\n\tmov selector, %%es" : : : "eax", "memory");
	ok(ran_c == 1, "#GP through a task gate");
	ok(err_c == 0xf8, "its error code is on the new task's stack");
	idt_init();

	/* LDT of a task */
	b.eip = (u32)task_b;
	b.ldt = LDT;
	__asm__ volatile("ljmp $0x28, $0" : : : "eax", "ecx", "edx", "memory");
	ok((ldt_b & 0xffff) == LDT, "LDTR comes from the TSS");
	b.ldt = 0;

	/* faults before the switch are the old task's */
	TRY("ljmp $0x20, $0");
	ok(vec == 13 && err == A, "JMP to the busy task itself is #GP of it");
	TRY("ljmp $0x48, $0");
	ok(vec == 10 && err == BAD, "a TSS with a short limit is #TS of it");
	gdt2[C / 8] &= ~(1ull << 47);
	TRY("lcall $0x30, $0");
	ok(vec == 11 && err == C, "an absent TSS is #NP of it");
	gdt2[C / 8] |= 1ull << 47;
	TRY("ljmp $0x58, $0");
	ok(vec == 13 && err == 0x58, "an empty descriptor is #GP of it");
	ok(type_of(A) == 11 && type_of(B) == 9 && type_of(C) == 9, "and busy bits are as before");
	return failures ? 1 : PASS;
}
