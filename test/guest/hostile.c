// SPDX-License-Identifier: BSD-2-Clause
/* Bad manners, by name and seed on the command line: "ports 7" (hostile_test.sh has the list)
 *
 * Random accesses of all sizes to ports, device memory, configuration space, MSRs and local
 * APICs, and random bytes run as code. Exceptions and interrupts never return: the next
 * step follows. Whoever gets to the end prints "done" and halts with interrupts off. */
#include "guest.h"

#define STEPS 20000
#define CODE 0x400000u

struct cpu {
	u64 s;
	void *buf[5];
	u32 step, traps;
	volatile u32 done;
};
static struct cpu cpus[2];
static u32 num_cpus, ram_end;

static u32 rnd(struct cpu *c)
{
	c->s ^= c->s << 13;
	c->s ^= c->s >> 7;
	c->s ^= c->s << 17;
	return (u32)(c->s >> 16);
}

static struct cpu *self(void)
{
	u32 esp;

	__asm__("mov %%esp, %0" : "=r"(esp));
	/* AP stacks lie above the BSP's (start.S) */
	return &cpus[num_cpus > 1 && esp > (u32)stack_top];
}

/* NMIs are blocked until an IRET; then the next step, on a stack that is as it was */
static void next_step(void)
{
	__asm__ volatile("pushf; push %%cs; push $1f; iret; 1:" : : : "memory", "cc");
	lapic_eoi();
	outb(0xA0, 0x20);
	outb(0x20, 0x20);
	__builtin_longjmp(self()->buf, 1);
}

static void any_trap(struct trap *t)
{
	self()->traps++;
	next_step();
}

/* ---------------------------------------------------------------- ports */

/* What ends or resets the VM is not a test of surviving: reset and power registers */
static int deadly_port(u16 p, u32 size)
{
	static const u16 bad[][2] = { { 0x60, 0x64 }, { 0x92, 0x92 }, { 0xcf9, 0xcf9 }, { 0x404, 0x405 } };

	for (u32 i = 0; i < 4; i++)
		if (p <= bad[i][1] && p + size > bad[i][0])
			return size != 4 || p != 0xcf8;
	return 0;
}

static void ports(struct cpu *c)
{
	static const u16 base[] = { 0x20, 0xa0, 0x4d0, 0x40, 0x61, 0x70, 0x3f8, 0x2f8, 0x400, 0x408, 0xb2, 0xcf8,
				    0xcfc, 0x80, 0xed, 0x60, 0x92, 0x488, 0x2000, 0xc000 };
	u32 n = rnd(c), size = 1u << n % 3, v = rnd(c) >> (n >> 8 & 31);
	u16 p = n & 0x1c00 ? (u16)(base[(n >> 16) % 20] + (n >> 24 & 7)) : (u16)(n >> 16);
	u8 buf[64] __attribute__((aligned(4)));
	u32 count = n >> 13 & 3;

	if (p >= 0xcfc && p < 0xd00 && !(n & 0x2000))
		outl(0xcf8, 1u << 31 | (rnd(c) & 0xffff00) | (rnd(c) & 0xfc));
	if (n & 0x200) {
		if (n & 0x80)
			__asm__ volatile("rep insb" : "+c"(count) : "D"(buf), "d"(p) : "memory");
		else if (size == 1)
			inb(p);
		else if (size == 2)
			inw(p);
		else
			inl(p);
	} else if (!deadly_port(p, size)) {
		if (n & 0x40)
			__asm__ volatile("rep outsb" : "+c"(count) : "S"(buf), "d"(p) : "memory");
		else if (size == 1)
			outb(p, (u8)v);
		else if (size == 2)
			outw(p, (u16)v);
		else
			outl(p, v);
	}
}

/* --------------------------------------------------------- device memory */

static u32 device_address(struct cpu *c)
{
	u32 n = rnd(c), off = rnd(c);

	switch (n & 15) {
	case 0: case 1: return LAPIC + (off & 0xff0) + (n & 0x700 ? 0 : off >> 12 & 15);
	case 2: return IOAPIC + (n & 0x300 ? (off & 1) * 0x10 : off & 0xfff);
	case 3: case 4: return 0xFED00000u + (off & 0x3ff);
	case 5: case 6: return 0xE0000000u + (off & 0xf8fff);
	case 7: return 0xE0000000u + (off & 0xfffffff);
	case 8: return 0xE0000000u + (3 << 15) + (off & 0xff); /* the slot where dummy is */
	case 9: case 10: return 0xC0000000u + (off & 0x7ffff);
	case 11: return ram_end - 16 + (off & 31);
	case 12: return 0xFFFFFFE0u + (off & 31);
	case 13: return 0xC0000000u + (off & 0x3fffffff);
	default: return n & 0x100 ? 0xFEE01000u - 8 + (off & 15) : LAPIC - 8 + (off & 15);
	}
}

/* INIT to oneself ends it; SIPI and INIT have a run of their own */
static int deadly_address(u32 a, u32 bytes)
{
	return a + bytes > LAPIC + LAPIC_ICR && a < LAPIC + LAPIC_ICR + 4;
}

static void memory(struct cpu *c)
{
	u32 n = rnd(c), v = rnd(c) >> (n >> 8 & 31), a = device_address(c);
	static u8 spare[2][512] __attribute__((aligned(64)));
	u8 *mine = spare[c - cpus];
	u32 count = n >> 13 & 15, to = (u32)mine;

	if (deadly_address(a, 512)) {
		rd32(a);
		if (a == LAPIC + LAPIC_ICR)
			wr32(a, (v & 0xff) | 0x40000); /* an interrupt to oneself */
		return;
	}
	switch (n & 31) {
	case 0: *(volatile u8 *)a = (u8)v; break;
	case 1: *(volatile u16 *)a = (u16)v; break;
	case 2: case 3: case 4: case 5: case 6: wr32(a, v); break;
	case 7: case 8: rd32(a); break;
	case 9: (void)*(volatile u8 *)a; break;
	case 10: (void)*(volatile u16 *)a; break;
	case 11: __asm__ volatile("fninit; fildll (%0)" : : "r"(a) : "memory"); break;
	case 12: __asm__ volatile("fninit; fld1; fistpll (%0)" : : "r"(a) : "memory"); break;
	case 13: __asm__ volatile("lock addl %1, (%0)" : : "r"(a), "r"(v) : "memory"); break;
	case 14: __asm__ volatile("xchgb %b1, (%0)" : : "r"(a), "q"(v) : "memory"); break;
	case 15: __asm__ volatile("lock cmpxchg8b (%0)" : : "r"(a), "a"(0), "b"(v), "c"(v), "d"(0) : "memory"); break;
	case 16: __asm__ volatile("rep movsl" : "+c"(count), "+S"(a), "+D"(to) : : "memory"); break;
	case 17: __asm__ volatile("rep movsb" : "+c"(count), "+D"(a), "+S"(to) : : "memory"); break;
	case 18: __asm__ volatile("rep stosw" : "+c"(count), "+D"(a) : "a"(v) : "memory"); break;
	case 19: __asm__ volatile("movups (%0), %%xmm0; movups %%xmm0, (%1)" : : "r"(a), "r"(mine) : "memory"); break;
	case 20: __asm__ volatile("movups %%xmm0, (%0)" : : "r"(a) : "memory"); break;
	case 21: __asm__ volatile("fxsave (%0)" : : "r"(a & ~15u) : "memory"); break;
	case 22: __asm__ volatile("fnsave (%0)" : : "r"(a) : "memory"); break;
	case 23: __asm__ volatile("btsl %1, (%0)" : : "r"(a), "r"(v & 0xfff) : "memory"); break;
	case 24: __asm__ volatile("cmpsl" : : "S"(a), "D"(mine) : "memory", "cc"); break;
	case 25: __asm__ volatile("xchg %%esp, %0; push $5; pop %%ecx; xchg %%esp, %0" : "+r"(a) : : "memory", "ecx"); break;
	case 26: __asm__ volatile("sgdt (%0); sidt (%0)" : : "r"(a) : "memory"); break;
	case 27: __asm__ volatile("call *%0" : : "r"(a) : "memory"); break;
	case 28: __asm__ volatile("rep movsl" : "+c"(count), "+S"(a) : "D"(device_address(c) & ~0xfffu) : "memory"); break;
	default: wr32(a & ~3u, v);
	}
}

/* ------------------------------------------------------- configuration */

static void pci(struct cpu *c)
{
	static const u8 slots[] = { 0, 3, 4, 5, 31 };
	u32 n = rnd(c), v = rnd(c) >> (n >> 8 & 31);
	u32 off = n & 0x80 ? n >> 16 & 0xff : (n & 0x40 ? 0x10 : 4) + (n >> 16 & 7) * 4;
	u32 slot = slots[(n >> 24) % 5];

	if (n & 1) {
		outl(0xcf8, 1u << 31 | slot << 11 | (off & 0xfc));
		if (n & 2)
			outl(0xcfc, v);
		else
			outw((u16)(0xcfc + (off & 2)), (u16)v);
	} else {
		wr32(0xE0000000u + (slot << 15) + (off & ~3u), v);
	}
	/* Decoding on, now and then where the next accesses go */
	if (!(n & 0x1c))
		wr32(0xE0000000u + (slot << 15) + 4, 7);
	if (!(n & 0x60))
		wr32(0xE0000000u + (slot << 15) + 0x10 + (n >> 20 & 4), 0xC0000000u + (v & 0x70000));
	if (n & 0x1000)
		memory(c);
	if (n & 0x2000)
		ports(c);
}

/* ----------------------------------------------------------------- MSRs */

static void msr(struct cpu *c)
{
	static const u32 base[] = { 0, 0x10, 0x1b, 0x3a, 0x48, 0x79, 0xce, 0x174, 0x179, 0x1a0, 0x1d9, 0x200, 0x250,
				    0x277, 0x2ff, 0x400, 0x48b, 0x6e0, 0x800, 0x820, 0x4b564d00, 0xc0000080,
				    0xc0000100, 0xc0010010, 0xc0010114, 0x40000000, 0x11, 0xda0 };
	u32 n = rnd(c), i = n & 0x300 ? base[(n >> 16) % 28] + (n >> 24 & 7) : rnd(c);

	/* x2APIC's ICR and self IPI have a run of their own */
	if (i == 0x830)
		return;
	if (n & 1) {
		rdmsr(i);
		return;
	}
	if (n & 2) {
		wrmsr(i, rdmsr(i) ^ 1ull << (n >> 8 & 63));
	} else {
		u64 v = (u64)rnd(c) << 32;

		wrmsr(i, (v | rnd(c)) >> (n >> 8 & 63));
	}
}

/* Control and debug registers, descriptor tables: back to what they were after each */
static void control(struct cpu *c)
{
	u32 n = rnd(c), v = rnd(c) >> (n >> 8 & 31), cr0, cr4;
	struct { u16 limit; u32 base; } __attribute__((packed)) t = { (u16)v, rnd(c) };

	__asm__ volatile("mov %%cr0, %0; mov %%cr4, %1" : "=r"(cr0), "=r"(cr4));
	switch (n & 15) {
	case 0: __asm__ volatile("mov %0, %%cr4" : : "r"(v)); break;
	case 1: __asm__ volatile("mov %0, %%cr4" : : "r"(1u << (v & 31))); break;
	case 2: __asm__ volatile("mov %0, %%cr0" : : "r"((v & 0x7fffffff) | 1)); break;
	case 3: __asm__ volatile("mov %0, %%cr3" : : "r"(v)); break;
	case 4: __asm__ volatile("mov %0, %%dr0" : : "r"(v)); break;
	case 5: __asm__ volatile("mov %0, %%dr7" : : "r"(v & ~0x2000u)); break;
	case 6: __asm__ volatile("mov %0, %%dr6" : : "r"(v)); break;
	case 7: __asm__ volatile("lldt %w0" : : "r"(v)); break;
	case 8: __asm__ volatile("ltr %w0" : : "r"(v)); break;
	case 9: __asm__ volatile("mov %w0, %%fs; mov %w0, %%gs" : : "r"(v)); break;
	case 10: __asm__ volatile("invlpg (%0)" : : "r"(v)); break;
	case 11: __asm__ volatile("xsetbv" : : "a"(v), "d"(0), "c"(0)); break;
	case 12: __asm__ volatile("sgdt %0; lldt %w1" : "=m"(t) : "r"(v & 0xfff8)); break;
	case 13: __asm__ volatile("push %0; popf" : : "r"(v & ~0x23100u) : "cc"); break;
	case 14: __asm__ volatile("lmsw %w0" : : "r"(v | 1)); break;
	default: __asm__ volatile("vmcall" : "+a"(n) : "b"(v), "c"(v)); break;
	}
	__asm__ volatile("mov %0, %%cr0; mov %1, %%cr4; mov %2, %%dr7; cld" : : "r"(cr0), "r"(cr4), "r"(0x400));
}

/* ---------------------------------------------------------------- local APIC */

static void apic(struct cpu *c)
{
	u32 n = rnd(c), v = rnd(c);

	if (n & 0x100)
		wr32(LAPIC + LAPIC_ICR_HIGH, (n & 0x200 ? 1 : n >> 16) << 24);
	/* Any delivery mode; INIT and SIPI to oneself would end it */
	if ((v >> 8 & 7) == 5 || (v >> 8 & 7) == 6)
		v = (v & ~0xc0000u) | 0xc0000 | (v & 0x100 ? 8 : 0);
	wr32(LAPIC + LAPIC_ICR, v);
	if (!(n & 15))
		wr32(LAPIC + (n >> 16 & 0x3f0), rnd(c) & ~0x500u);
}

/* --------------------------------------------------------------- random code */

static void fill_code(struct cpu *c)
{
	u32 *p = (u32 *)CODE;

	for (u32 i = 0; i < 1024; i++)
		p[i] = rnd(c);
	/* Short forms that are often valid: more of the instructions run */
	for (u32 i = 0; i < 4096; i += 1 + (rnd(c) & 7))
		((u8 *)CODE)[i] = (u8)"\x89\x8b\x50\x58\x0f\x66\xa4\xab\xf3\xe8\xc3\x01\x8e\xcd\xff\x0f"[rnd(c) & 15];
}

static void code32(struct cpu *c)
{
	if (!(c->step & 63))
		fill_code(c);
	__asm__ volatile("mov %0, %%ebx; mov %1, %%esi; mov %2, %%edi; mov %3, %%ebp; push $2; popf; jmp *%4" : :
			 "a"(rnd(c)), "c"(device_address(c)), "d"(CODE + (rnd(c) & 0xffff)), "m"(ram_end),
			 "r"(CODE + (rnd(c) & 0xfff)) : "ebx", "esi", "edi", "memory");
}

/* LINT0 as NMI and the timer on it: comes back from loops with interrupts off */
static void watchdog(void)
{
	lapic_on();
	wr32(LAPIC + 0x350, 0x400);
	outb(0x20, 0x11);
	outb(0x21, 0x20);
	outb(0x21, 4);
	outb(0x21, 3); /* automatic EOI */
	outb(0x21, 0xfe);
	outb(0xA1, 0xff);
	pit_rate(1193); /* 1 kHz */
}

/* ------------------------------------------------------------------ the run */

typedef void step_fn(struct cpu *);
static const struct { const char *name; step_fn *fn; u32 steps; } runs[] = {
	{ "ports", ports, STEPS }, { "memory", memory, STEPS }, { "pci", pci, STEPS }, { "msr", msr, STEPS },
	{ "control", control, STEPS }, { "apic", apic, 3000 }, { "code", code32, 2000 },
};
static u32 which;

static int same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return !*a && (!*b || *b == ' ');
}

static void steps(struct cpu *c)
{
	__builtin_setjmp(c->buf);
	cli();
	while (c->step < runs[which].steps) {
		c->step++;
		idt_load();
		if (!(c->step & 31)) {
			sti();
			pause();
			cli();
		}
		runs[which].fn(c);
	}
}

void ap_main(void)
{
	struct cpu *c = self();

	idt_load();
	lapic_on();
	steps(c);
	c->done = 1;
}

int main(u32 magic, u32 info)
{
	u32 mem_upper = *(u32 *)(info + 8), spins;
	const char *cmd = (const char *)*(u32 *)(info + 16);
	u32 seed = 0, cr4;

	ram_end = (mem_upper << 10) + 0x100000;
	for (which = 0; !same(runs[which].name, cmd); which++)
		if (which == sizeof(runs) / sizeof(runs[0]) - 1)
			return 1;
	for (; *cmd; cmd++)
		if (*cmd >= '0' && *cmd <= '9')
			seed = seed * 10 + (*cmd - '0');
	cpus[0].s = 0x9E3779B97F4A7C15ull * (seed + 1);
	cpus[1].s = 0xBF58476D1CE4E5B9ull * (seed + 1);
	__asm__ volatile("mov %%cr4, %0; or $0x600, %0; mov %0, %%cr4" : "=r"(cr4)); /* SSE */
	for (u32 i = 0; i < 256; i++)
		traps[i] = any_trap;
	idt_init();
	pic_init(0xffff);
	lapic_on();
	num_cpus = seed & 1 ? 2 : 1; /* odd seeds are run with two */
	if (num_cpus > 1)
		smp_start_all();
	if (runs[which].fn == code32)
		watchdog();
	steps(&cpus[0]);
	for (spins = 0; num_cpus > 1 && !cpus[1].done && spins < 5000000; spins++)
		pause();
	wr32(LAPIC + LAPIC_LVT_TIMER, 0x10000);
	outb(0x3FB, 3);
	outb(0x3FC, 0);
	for (const char *p = "done\n"; *p; p++) /* not put(): nobody may be there any more */
		outb(0x3F8, (u8)*p);
	for (;;)
		__asm__ volatile("cli; hlt");
}
