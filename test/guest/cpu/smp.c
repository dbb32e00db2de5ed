// SPDX-License-Identifier: BSD-2-Clause
/* CPUs among themselves: INIT and SIPI again and again, the state they leave, one TSC for all,
 * sleeps that end, paging entries and TLBs across CPUs */
#include "cpu.h"

#define SLOTS 16
static volatile u32 up, phase, gone, turn, seen_bad;
static volatile u64 last_tsc;
static volatile u32 woken[SLOTS], shot[SLOTS], acks;

static void on_wake(struct trap *t)
{
	woken[lapic_id() & 15]++;
	lapic_eoi();
}

/* TLB shoot-down */
static void on_shoot(struct trap *t)
{
	invlpg(TEST_VA);
	shot[lapic_id() & 15]++;
	lapic_eoi();
	atomic_inc(&acks);
}

static void tsc_turns(u32 me, u32 n, u32 rounds)
{
	for (u32 i = 0; i < rounds; i++) {
		while (turn % n != me)
			pause();
		__asm__ volatile("lfence" : : : "memory");
		u64 now = rdtsc();

		if (now < last_tsc)
			seen_bad++;
		last_tsc = now;
		__atomic_add_fetch(&turn, 1, __ATOMIC_SEQ_CST);
	}
}

static void load_tss(u32 id)
{
	static struct tss t[SLOTS];
	static u64 g[SLOTS][64];
	struct { u16 limit; u64 base; } __attribute__((packed)) r;

	for (unsigned i = 0; i < (u64)(gdt_end - gdt); i++)
		g[id][i] = gdt[i];
	sys_desc(&g[id][TSS_SEL / 8], (u64)&t[id], 103, 0x89);
	r.limit = (u16)((u8 *)gdt_end - (u8 *)gdt - 1), r.base = (u64)g[id];
	__asm__ volatile("lgdt %0; ltr %w1" : : "m"(r), "r"(TSS_SEL));
	load_idt();
}

static volatile u32 store_a, store_b;

void ap_main64(void)
{
	u32 id = lapic_id();

	lapic_on();
	load_tss(id);
	if (phase == 0) {
		atomic_inc(&up);
		/* until an INIT comes */
		for (;;)
			pause();
	}
	atomic_inc(&up);
	while (phase < 2)
		pause();
	tsc_turns(id, num_cpus(), 500);
	atomic_inc(&gone);
	while (phase < 3)
		pause();
	/* asleep; each interrupt wakes, whatever else happens */
	while (phase < 4)
		sti_hlt_cli();
	atomic_inc(&gone);
	/* busy reading one page, whose mapping another CPU changes */
	sti();
	while (phase < 5) {
		u64 x = RD(u64, TEST_VA);

		if (x != 0x1111 && x != 0x2222)
			seen_bad++;
	}
	cli();
	atomic_inc(&gone);
	/* store, fence, load: Dekker's */
	if (id == 1) {
		for (u32 i = 1; i <= 20000; i++) {
			store_b = i;
			__asm__ volatile("mfence" : : : "memory");
			while (store_a < i)
				pause();
		}
	}
	atomic_inc(&gone);
	for (;;)
		__asm__ volatile("cli; hlt");
}

/* What INIT leaves: seen by 16-bit code at 0x9000 that a SIPI starts */
extern u8 look[], look_end[];
__asm__(".pushsection .text\n.code16\n"
	"look:\n\tcli\n\tmov %cs, %ax\n\tmov %ax, %ds\n"
	"\tmovl %edx, 0x804\n\tmov %cs, 0x808\n\tsmsw %ax\n\tmovw %ax, 0x80c\n"
	"\tpushfl\n\tpopl %eax\n\tmovl %eax, 0x810\n\tmov %cr0, %eax\n\tmovl %eax, 0x814\n"
	"\tmov %cr3, %eax\n\tmovl %eax, 0x818\n\tmov %cr4, %eax\n\tmovl %eax, 0x81c\n"
	"\tmov %dr7, %eax\n\tmovl %eax, 0x820\n\tmov %dr6, %eax\n\tmovl %eax, 0x824\n"
	"\tmov %cr2, %eax\n\tmovl %eax, 0x828\n"
	"\tmovl $0xc0000080, %ecx\n\trdmsr\n\tmovl %eax, 0x82c\n"
	"\tmovl $0x1b, %ecx\n\trdmsr\n\tmovl %eax, 0x830\n"
	"\tmovl $1, 0x800\n1:\thlt\n\tjmp 1b\n"
	"look_end:\n.code64\n.popsection");

static void init_state(void)
{
	volatile u8 *to = (u8 *)0x9000;

	for (u8 *p = look; p < look_end; p++)
		*to++ = *p;
	RD(u32, 0x9800) = 0;
	lapic_send(1, 0x4500);
	lapic_send(1, 0x4609);
	check(wait_for(RD(u32, 0x9800) == 1), "SIPI starts 16-bit code at its vector");
	equal(RD(u16, 0x9808), 0x900, "CS is vector << 8");
	equal(RD(u32, 0x9810) & ~0xd5u, 2, "RFLAGS is 2");
	equal(RD(u32, 0x9814) & ~0x60000000u, 0x10, "CR0 is ET, CD and NW as they were");
	equal(RD(u32, 0x9818), 0, "CR3 is 0");
	equal(RD(u32, 0x981c), 0, "CR4 is 0");
	equal(RD(u32, 0x9820), 0x400, "DR7");
	equal(RD(u32, 0x9824), 0xffff0ff0, "DR6");
	equal(RD(u32, 0x9828), 0, "CR2");
	equal(RD(u32, 0x982c), 0, "EFER");
	check((RD(u32, 0x9830) & 0xfffff900) == 0xfee00800, "APIC_BASE without BSP");
	u32 edx = RD(u32, 0x9804), r[4];
	cpuid(1, 0, r);
	equal(edx, r[0], "EDX is the CPU's signature");
}

static void starts(u32 n)
{
	bool ok = true;

	phase = 0;
	for (u32 i = 0; i < 20 && ok; i++) {
		up = 0;
		__asm__ volatile("movl $ap_stacks_start, ap_stack_pos" : : : "memory");
		smp_start();
		ok = wait_for(up == n - 1);
	}
	check(ok, "20 times INIT and SIPI to all, running as they are");
	up = 0;
	/* a SIPI to a CPU that runs does nothing */
	lapic_send(0, ICR_OTHERS | 0x4608);
	for (u64 until = rdtsc() + 5000000; rdtsc() < until;)
		pause();
	equal(up, 0, "SIPI to a running CPU does nothing");
}

int main64(void)
{
	u32 n = num_cpus();
	u64 p1, p2;

	init();
	lapic_on();
	hooks[0x42] = on_wake;
	hooks[0x43] = on_shoot;
	starts(n);
	init_state();
	phase = 1;
	up = 0;
	__asm__ volatile("movl $ap_stacks_start, ap_stack_pos" : : : "memory");
	smp_start();
	check(wait_for(up == n - 1), "and start again");
	phase = 2;
	tsc_turns(0, n, 500);
	check(wait_for(gone == n - 1), "TSC by turns");
	equal(seen_bad, 0, "no CPU's TSC is behind another's");

	phase = 3;
	bool ok = true;
	for (u32 i = 0; i < 300 && ok; i++)
		for (u32 cpu = 1; cpu < n && ok; cpu++) {
			u32 want = woken[cpu] + 1;

			lapic_send(cpu, ICR_ASSERT | 0x42);
			ok = wait_for(woken[cpu] == want);
		}
	check(ok, "300 wake-ups each");
	p1 = page_alloc(), p2 = page_alloc();
	RD(u64, p1) = 0x1111, RD(u64, p2) = 0x2222;
	volatile u64 *e = map(TEST_VA, p1, P_P | P_W, 1);
	gone = 0;
	phase = 4;
	lapic_send(0, ICR_OTHERS | ICR_ASSERT | 0x42);
	check(wait_for(gone == n - 1), "all leave their sleep");
	seen_bad = 0;
	for (u32 i = 0; i < 200 && ok; i++) {
		u64 want = i & 1 ? 0x1111 : 0x2222;

		*e = (i & 1 ? p1 : p2) | P_P | P_W;
		invlpg(TEST_VA);
		acks = 0;
		lapic_send(0, ICR_OTHERS | ICR_ASSERT | 0x43);
		ok = wait_for(acks == n - 1);
		/* nobody may read the old page from now on */
		RD(u64, i & 1 ? p2 : p1) = 0xbad;
		for (u32 k = 0; k < 200; k++)
			pause();
		RD(u64, i & 1 ? p2 : p1) = i & 1 ? 0x2222 : 0x1111;
		if (RD(u64, TEST_VA) != want)
			ok = false;
	}
	check(ok, "200 shoot-downs");
	gone = 0;
	phase = 5;
	check(wait_for(gone >= n - 1), "readers end");
	equal(seen_bad, 0, "nobody reads a page after its shoot-down");
	/* store buffers: both sides with a fence, one of them must see the other */
	u32 both = 0;
	for (u32 i = 1; i <= 20000; i++) {
		store_a = i;
		__asm__ volatile("mfence" : : : "memory");
		u32 x = store_b;

		both += x + 1 < i;
		while (store_b < i)
			pause();
	}
	equal(both, 0, "stores are seen in turn");
	return verdict();
}
