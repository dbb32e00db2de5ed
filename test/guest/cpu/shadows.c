// SPDX-License-Identifier: BSD-2-Clause
/* NMI and its blocking, STI and MOV SS shadows, interrupts that wait, HLT's ways out */
#include "cpu.h"

NO_APS

static volatile u32 nmis, irqs, depth, max_depth;
static volatile u64 irq_rip[8], nmi_rip[8];
static volatile u32 nested; /* what the NMI handler does */

static void on_irq(struct trap *t)
{
	irq_rip[irqs++ & 7] = t->rip;
	lapic_eoi();
}

static void on_nmi(struct trap *t)
{
	if (++depth > max_depth)
		max_depth = depth;
	nmi_rip[nmis++ & 7] = t->rip;
	if (nested == 1 && nmis == 1) {
		self_nmi(); /* must wait for our IRET */
		for (unsigned i = 0; i < 1000; i++)
			pause();
	}
	if (nested == 2 && nmis == 1) {
		self_nmi();
		__asm__ volatile("int3"); /* its IRET ends the blocking: the second one comes now */
		for (unsigned i = 0; i < 1000; i++)
			pause();
	}
	if (nested == 3 && nmis == 1) {
		self_ipi(0x41); /* IF is clear here */
		for (unsigned i = 0; i < 100; i++)
			pause();
	}
	depth--;
}

static void on_int3(struct trap *t) { }

/* With an interrupt waiting and IF clear */
CODE(sti_nop, "cli", "sti; nop; nop; nop; cli");
CODE(sti_cli, "cli", "sti; cli; nop; nop");
CODE(sti_sti, "cli", "sti; sti; nop; cli");
CODE(popf_if, "pushfq; orl $0x200, (%rsp)", "popfq; nop; nop; cli");
CODE(sti_ret, "call 1f; nop; nop; cli; ret; 1: cli", "sti; ret");
CODE(mov_ss, "mov %ss, %eax; sti", "nop");
CODE(mov_ss_sti, "cli; mov %ss, %eax", "sti; mov %eax, %ss; nop; nop; cli");
CODE(sti_hlt, "cli", "sti; hlt; nop; cli");
CODE(iret_if, "mov %ss, %rax; push %rax; lea 8(%rsp), %rcx; push %rcx; pushfq; orl $0x200, (%rsp);"
     "mov %cs, %rcx; push %rcx; lea iret_if_next(%rip), %rcx; push %rcx", "iretq");
CODE(irq_on_ss, "mov %ss, %r8d; sti; movl $0x44041, %ecx; mov $0xFEE00300, %eax", "movl %ecx, (%rax);"
     "mov %r8d, %ss; nop; nop; cli");
CODE(user_nops, "nop", "nop; nop; nop");

static u64 waiting(const void *code)
{
	irqs = 0;
	cli();
	self_ipi(0x41);
	run(code, 0, 0);
	cli();
	return irqs;
}

static void shadows(void)
{
	hooks[0x41] = on_irq;
	equal(waiting(sti_nop), 1, "STI: the interrupt comes");
	equal(irq_rip[0], (u64)sti_nop_at + 2, "behind the instruction after STI");
	equal(waiting(sti_cli), 0, "STI; CLI lets none in");
	sti(); __asm__ volatile("nop"); cli();
	equal(irqs, 1, "it comes later");
	equal(waiting(sti_sti), 1, "STI; STI");
	equal(irq_rip[0], (u64)sti_sti_at + 2, "has one shadow only");
	equal(waiting(popf_if), 1, "POPF: the interrupt comes");
	equal(irq_rip[0], (u64)popf_if_at + 1, "at once");
	equal(waiting(sti_ret), 1, "STI; RET");
	equal(irq_rip[0], (u64)sti_ret + 5, "comes in the caller");
	equal(waiting(iret_if), 1, "IRETQ that sets IF");
	equal(irq_rip[0], (u64)iret_if_next, "lets it in at once");
	equal(waiting(sti_hlt), 1, "STI; HLT with an interrupt waiting");
	equal(irq_rip[0], (u64)sti_hlt_at + 2, "does not sleep");
	equal(waiting(mov_ss_sti), 1, "STI; MOV SS");
	check(irq_rip[0] == (u64)mov_ss_sti_at + 4 || irq_rip[0] == (u64)mov_ss_sti_at + 3,
	      "comes behind one of the two shadows");
	irqs = 0;
	run(irq_on_ss, 0, 0);
	equal(irqs, 1, "self IPI before MOV SS comes once");
	/* to ring 3 with IF */
	irqs = 0;
	self_ipi(0x41);
	run_user_with(user_nops, 0, 0, 0x202, CS64_3);
	equal(irqs, 1, "IRETQ to ring 3 with IF");
	equal(irq_rip[0], USER(user_nops), "lets it in before the first instruction");
}

static void nmi(void)
{
	hooks[NMI] = on_nmi;
	hooks[BP] = on_int3;
	nmis = 0;
	self_nmi();
	check(wait_for(nmis == 1), "an NMI to oneself comes");
	nmis = 0, nested = 1, max_depth = 0;
	self_nmi();
	check(wait_for(nmis == 2), "an NMI during NMI comes too");
	equal(max_depth, 1, "but not before IRETQ");
	nmis = 0, nested = 2, max_depth = 0;
	self_nmi();
	check(wait_for(nmis == 2), "with an INT3 in the handler two come");
	equal(max_depth, 2, "the second behind that one's IRETQ");
	nmis = irqs = 0, nested = 3;
	sti();
	self_nmi();
	check(wait_for(nmis == 1), "an interrupt sent in the NMI handler");
	check(wait_for(irqs == 1), "comes behind it");
	cli();
	nested = 0, nmis = 0;
	/* with IF clear, out of HLT */
	lapic_send(lapic_id(), ICR_ASSERT | ICR_NMI);
	check(wait_for(nmis == 1), "IF does not hold NMIs back");
	/* An NMI right behind MOV SS waits for one instruction; just that it arrives */
	nmis = 0;
	__asm__ volatile("mov %%ss, %%eax\n\tmovl $0x4400, %%ecx\n\tmovl %%ecx, (%0)\n\tmov %%eax, %%ss\n\tnop"
			 : : "r"(LAPIC + LAPIC_ICR) : "eax", "ecx", "memory");
	check(wait_for(nmis == 1), "NMI around MOV SS");
	/* a faulting IRETQ ends the blocking as well */
	hooks[NMI] = 0;
}

static void order(void)
{
	static const u8 vec[] = { 0x41, 0x91, 0x62, 0xe1, 0x55 };

	for (unsigned i = 0; i < 5; i++)
		hooks[vec[i]] = on_irq;
	cli();
	irqs = 0;
	for (unsigned i = 0; i < 5; i++)
		self_ipi(vec[i]);
	for (unsigned i = 0; i < 5; i++)
		self_ipi(vec[i]); /* the same again: one each */
	u32 irr = lapic_rd(0x200 + 0x10 * (0x91 / 32));
	check(irr >> (0x91 & 31) & 1, "IRR shows what waits");
	write_cr8(6);
	sti();
	__asm__ volatile("nop; nop");
	cli();
	equal(irqs, 2, "CR8 = 6 holds back vectors up to 0x6f");
	write_cr8(0);
	sti();
	__asm__ volatile("nop; nop");
	cli();
	equal(irqs, 5, "and CR8 = 0 lets them in");
}

static volatile u32 wakes;
static void on_timer(struct trap *t)
{
	wakes++;
	lapic_eoi();
}

static void halts(void)
{
	hooks[0x50] = on_timer;
	lapic_wr(LAPIC_TIMER_DIV, 0xb);
	lapic_wr(LAPIC_LVT_TIMER, 0x50);
	for (unsigned i = 0; i < 50; i++) {
		u32 want = wakes + 1;

		lapic_wr(LAPIC_TIMER_INIT, 20000 + i * 1000);
		while (wakes < want)
			sti_hlt_cli();
	}
	equal(wakes, 50, "50 sleeps, each ended by the timer");
	/* HLT pushes the rip behind it */
	hooks[0x50] = on_irq;
	irqs = 0;
	lapic_wr(LAPIC_TIMER_INIT, 1000000);
	run(sti_hlt, 0, 0);
	equal(irqs, 1, "HLT is left");
	equal(irq_rip[0], (u64)sti_hlt_at + 2, "with the rip behind it");
}

int main64(void)
{
	init();
	lapic_on();
	shadows();
	nmi();
	order();
	halts();
	return verdict();
}
