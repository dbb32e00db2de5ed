// SPDX-License-Identifier: BSD-2-Clause
/* One CPU writes code that others run: whole functions, immediates of running code, the INT3
 * protocol of kernels that patch themselves, through the same and another mapping */
#include "cpu.h"

static u8 page[8192] __attribute__((aligned(4096)));
static volatile u32 up, phase, ready, done, bad, traps_seen, spins[16];
static volatile u64 current, odd;

typedef u64 fn(void);
static u64 call(const void *f) { return ((fn *)f)(); }

static void on_ipi(struct trap *t)
{
	u32 r[4];

	cpuid(0, 0, r); /* serialises */
	lapic_eoi();
	atomic_inc(&ready);
}

/* The patched place: 5 bytes, NOP5 or JMP over an add */
static u8 *patch;
static void on_int3(struct trap *t)
{
	traps_seen++;
	if (t->rip == (u64)patch + 1)
		t->rip = (u64)patch + 5; /* as if it were the NOP */
}

void ap_main64(void)
{
	static volatile u32 which;
	u32 id = atomic_inc(&which);
	static struct tss t[16];
	static u64 g[16][64];
	struct { u16 limit; u64 base; } __attribute__((packed)) r;

	for (unsigned i = 0; i < (u64)(gdt_end - gdt); i++)
		g[id][i] = gdt[i];
	sys_desc(&g[id][TSS_SEL / 8], (u64)&t[id], 103, 0x89);
	r.limit = (u16)((u8 *)gdt_end - (u8 *)gdt - 1), r.base = (u64)g[id];
	__asm__ volatile("lgdt %0; ltr %w1" : : "m"(r), "r"(TSS_SEL));
	load_idt();
	lapic_on();
	atomic_inc(&up);
	/* 1: a function that is only run when it was announced */
	for (u64 seen = 0; phase == 0;) {
		u64 now = current;

		if (now != seen) {
			u32 regs[4];

			cpuid(0, 0, regs);
			bad += call(page + 64) != now;
			seen = now;
			atomic_inc(&ready);
		}
		pause();
	}
	/* 2: an aligned immediate that changes under way: old or new, nothing else */
	atomic_inc(&done);
	while (phase == 1) {
		u64 v = call(page + 256 + 3);

		if (v != 0x11111111 && v != 0x22222222 && v != 0x33333333) {
			bad++;
			odd = v;
		}
		spins[id]++;
	}
	/* 3: INT3 protocol, interrupts on for the serialising IPI */
	atomic_inc(&done);
	sti();
	while (phase == 2) {
		u64 v = call(page + 1024);

		bad += v != 1 && v != 2;
		spins[id]++;
	}
	cli();
	/* 4: run code of a page that is replaced as a whole, by turns */
	atomic_inc(&done);
	for (u64 seen = 0; phase == 3;) {
		u64 now = current;

		if (now != seen) {
			u32 regs[4];

			cpuid(0, 0, regs);
			bad += call(page + 4096 + 1000) != now;
			seen = now;
			atomic_inc(&ready);
		}
		pause();
	}
	atomic_inc(&done);
	for (;;)
		__asm__ volatile("cli; hlt");
}

static void function(volatile u8 *at, u32 val)
{
	at[0] = 0xb8;
	*(volatile u32 *)(at + 1) = val;
	at[5] = 0xc3;
}

static void sync_all(u32 n)
{
	ready = 0;
	lapic_send(0, ICR_OTHERS | ICR_ASSERT | 0x42);
	wait_for(ready == n - 1);
}

int main64(void)
{
	u32 n = num_cpus();
	bool ok = true;
	volatile u8 *alias = (volatile u8 *)TEST_VA;

	init();
	lapic_on();
	hooks[0x42] = on_ipi;
	hooks[BP] = on_int3;
	map(TEST_VA, (u64)page, P_P | P_W, 1);
	map(TEST_VA + 4096, (u64)page + 4096, P_P | P_W, 1);
	function(page + 64, 0);
	smp_start();
	check(wait_for(up == n - 1), "other CPUs run");
	for (u32 i = 1; i <= 500 && ok; i++) {
		ready = 0;
		function(i & 1 ? page + 64 : alias + 64, i);
		current = i;
		ok = wait_for(ready == n - 1);
	}
	check(ok, "500 functions announced");
	equal(bad, 0, "each CPU runs the new one");

	function(page + 256 + 3, 0x11111111);
	done = 0, bad = 0;
	phase = 1;
	wait_for(done == n - 1);
	for (u32 i = 0; i < 3000; i++) {
		*(volatile u32 *)((i & 1 ? alias : page) + 260) = i % 3 == 0 ? 0x11111111 : i % 3 == 1 ? 0x22222222 : 0x33333333;
		for (u32 k = 0; k < 100; k++)
			pause();
	}
	if (!equal(bad, 0, "an immediate that changes is old or new"))
		put("  it was "), put_hex(odd), put("\r\n");

	/* mov eax, 1; [nop5 | jmp +3]; add eax, 1 (3 bytes); ret : 2 with the NOP, 1 with the JMP */
	static const u8 code[] = { 0xb8, 1, 0, 0, 0, 0x0f, 0x1f, 0x44, 0, 0, 0x83, 0xc0, 1, 0xc3 };
	static const u8 nop5[] = { 0x0f, 0x1f, 0x44, 0, 0 }, jmp5[] = { 0xe9, 3, 0, 0, 0 };
	for (unsigned i = 0; i < sizeof(code); i++)
		page[1024 + i] = code[i];
	patch = page + 1024 + 5;
	done = 0, bad = 0;
	phase = 2;
	wait_for(done == n - 1);
	for (u32 i = 0; i < 200; i++) {
		const u8 *to = i & 1 ? nop5 : jmp5;
		volatile u8 *at = alias + (patch - page);

		at[0] = 0xcc;
		sync_all(n);
		for (unsigned k = 1; k < 5; k++)
			at[k] = to[k];
		sync_all(n);
		at[0] = to[0];
		sync_all(n);
		u64 v = call(page + 1024);
		bad += v != (i & 1 ? 2 : 1);
	}
	equal(bad, 0, "200 patches by the INT3 protocol");
	bool busy = true;
	for (u32 i = 1; i < n; i++)
		busy &= spins[i] > 0;
	check(busy, "while the others ran it");

	done = 0, bad = 0, current = 0;
	phase = 3;
	wait_for(done == n - 1);
	static u8 model[4096];
	for (u32 i = 1; i <= 300 && ok; i++) {
		const u8 *s = model;
		volatile u8 *d = i & 1 ? page + 4096 : alias + 4096;
		u64 cx = 4096;

		function(model + 1000, i);
		__asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(cx) : : "memory");
		ready = 0;
		current = i;
		ok = wait_for(ready == n - 1);
	}
	check(ok, "300 pages of code replaced");
	equal(bad, 0, "each CPU runs the new one");
	phase = 4;
	return verdict();
}
