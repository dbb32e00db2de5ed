// SPDX-License-Identifier: BSD-2-Clause
/* SYSENTER and SYSEXIT of 32-bit protected mode, where every vendor has them */
#include "guest.h"

NO_APS

static u64 gdt2[8];
static u32 failures;
u32 seen_cs, seen_ss, seen_esp, seen_flags, user_cs, user_ss, user_esp, rounds, vec, err, resume;
static u8 kstack[1024] __attribute__((aligned(16))), ustack[1024] __attribute__((aligned(16)));

static void ok(int good, const char *what)
{
	put(good ? "ok " : "FAIL ");
	put(what);
	put("\r\n");
	failures += !good;
}

static void fault(struct trap *t)
{
	vec = t->vector;
	err = t->error;
	t->eip = resume;
}

/* Ring 3 looks where it is and calls; ring 0 does and goes on behind the third call */
extern u8 entry[], user[];
__asm__("user:\n\tmov %cs, user_cs\n\tmov %ss, user_ss\n\tmov %esp, user_esp\n"
	"1:\tstc\n\tmov %esp, %ecx\n\tmov $1b, %edx\n\tsysenter\n"
	"entry:\n\tmov %cs, seen_cs\n\tmov %ss, seen_ss\n\tmov %esp, seen_esp\n\tpushfl\n\tpop seen_flags\n"
	"\tincl rounds\n\tcmpl $3, rounds\n\tjae 2f\n\tsti\n\tsysexit\n"
	"2:\tjmp *resume\n");

int main(u32 magic, u32 info)
{
	struct { u16 limit; u32 base; } __attribute__((packed)) r = { sizeof(gdt2) - 1, (u32)gdt2 };

	idt_init();
	traps[13] = fault;
	pic_init(0xffff);
	gdt2[1] = 0x00CF9A000000FFFFull;
	gdt2[2] = 0x00CF92000000FFFFull;
	gdt2[3] = 0x00CFFA000000FFFFull;
	gdt2[4] = 0x00CFF2000000FFFFull;
	__asm__ volatile("lgdt %0" : : "m"(r) : "memory");
	wrmsr(0x174, 0);
	vec = 0;
	__asm__ volatile("movl $1f, resume\n\tsysenter\n1:" : : : "memory");
	ok(vec == 13 && err == 0, "SYSENTER with a null SYSENTER_CS is #GP(0)");
	vec = 0;
	__asm__ volatile("movl $1f, resume\n\tsysexit\n1:" : : : "memory");
	ok(vec == 13 && err == 0, "SYSEXIT too");
	wrmsr(0x174, 8);
	wrmsr(0x175, (u32)kstack + sizeof(kstack));
	wrmsr(0x176, (u32)entry);
	__asm__ volatile("movl $1f, resume\n\tmov %%esp, %%esi\n\tmov %0, %%ecx\n\tmov $user, %%edx\n\tsysexit\n"
			 "1:\tmov %%esi, %%esp\n\tmov $0x10, %%eax\n\tmov %%eax, %%ss\n\tmov %%eax, %%ds\n\tmov %%eax, %%es"
			 : : "r"((u32)ustack + sizeof(ustack)) : "eax", "ecx", "edx", "esi", "memory");
	ok(rounds == 3, "three round trips");
	ok(user_cs == 0x1b, "SYSEXIT's CS is SYSENTER_CS + 16, ring 3");
	ok(user_ss == 0x23, "its SS the one behind");
	ok(user_esp == (u32)ustack + sizeof(ustack), "its ESP from ECX");
	ok(seen_cs == 8 && seen_ss == 0x10, "SYSENTER's CS and SS");
	ok(seen_esp == (u32)kstack + sizeof(kstack), "its ESP from the MSR");
	ok(!(seen_flags & 0x200), "IF is clear");
	ok(seen_flags & 1, "CF is as it was");
	return failures ? 1 : PASS;
}
