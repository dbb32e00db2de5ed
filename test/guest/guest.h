/* SPDX-License-Identifier: BSD-2-Clause */
/* What bare guests share: ports, interrupts, local APIC, other CPUs. One file a guest. */
#ifndef GUEST_H
#define GUEST_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

/* Value of main when all is well: exit status 33, which no error of the command has */
enum { PASS = 16 };

int main(u32 magic, u32 info);
void ap_main(void);
extern u8 stubs[], trampoline[], trampoline_end[], stack_top[];

static inline void outb(u16 p, u8 v) { __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(p)); }
static inline void outw(u16 p, u16 v) { __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(p)); }
static inline void outl(u16 p, u32 v) { __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(p)); }
static inline u8 inb(u16 p) { u8 v; __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(p)); return v; }
static inline u16 inw(u16 p) { u16 v; __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(p)); return v; }
static inline u32 inl(u16 p) { u32 v; __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(p)); return v; }
static inline u64 rdmsr(u32 i) { u64 v; __asm__ volatile("rdmsr" : "=A"(v) : "c"(i)); return v; }
static inline void wrmsr(u32 i, u64 v) { __asm__ volatile("wrmsr" : : "c"(i), "A"(v)); }
static inline u64 rdtsc(void) { u64 v; __asm__ volatile("rdtsc" : "=A"(v)); return v; }
static inline void cpuid(u32 leaf, u32 sub, u32 r[4])
{
	__asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(sub));
}
static inline void cli(void) { __asm__ volatile("cli" : : : "memory"); }
static inline void sti(void) { __asm__ volatile("sti" : : : "memory"); }
/* Interrupts on for the sleep only: none can come between STI and HLT */
static inline void sti_hlt_cli(void) { __asm__ volatile("sti; hlt; cli" : : : "memory"); }
static inline void pause(void) { __asm__ volatile("pause" : : : "memory"); }
static inline void finish(u8 v)
{
	outb(0xF4, v);
	for (;;)
		__asm__ volatile("cli; hlt");
}

/* Memory-mapped */
static inline u32 rd32(u32 a) { return *(volatile u32 *)a; }
static inline void wr32(u32 a, u32 v) { *(volatile u32 *)a = v; }

#define LAPIC 0xFEE00000u
#define LAPIC_ID 0x20
#define LAPIC_EOI 0xB0
#define LAPIC_SVR 0xF0
#define LAPIC_ICR 0x300
#define LAPIC_ICR_HIGH 0x310
#define LAPIC_LVT_TIMER 0x320
#define LAPIC_TIMER_INIT 0x380
#define LAPIC_TIMER_DIV 0x3E0
#define IOAPIC 0xFEC00000u

static inline void ioapic_write(u32 reg, u32 v)
{
	wr32(IOAPIC, reg);
	wr32(IOAPIC + 0x10, v);
}

/* --------------------------------------------------------------- serial */

static inline void put(const char *s)
{
	while (*s) {
		while (!(inb(0x3FD) & 0x20))
			;
		outb(0x3F8, (u8)*s++);
	}
}

/* ----------------------------------------------------------- interrupts */

struct trap {
	u32 edi, esi, ebp, esp, ebx, edx, ecx, eax;
	u32 vector, error, eip, cs, eflags;
};

typedef void trap_fn(struct trap *t);
static trap_fn *traps[256];
static u64 idt[256];

/* An exception that nobody expects ends the guest with 0x60 + vector */
void on_trap(struct trap *t);
void on_trap(struct trap *t)
{
	if (traps[t->vector])
		traps[t->vector](t);
	else
		finish(0x60 + (t->vector & 0x1f));
}

static inline void idt_load(void)
{
	struct { u16 limit; u32 base; } __attribute__((packed)) r = { sizeof(idt) - 1, (u32)idt };

	__asm__ volatile("lidt %0" : : "m"(r));
}

static inline void idt_init(void)
{
	for (u32 i = 0; i < 256; i++) {
		u32 a = (u32)stubs + i * 16;

		idt[i] = (a & 0xffff) | 0x08u << 16 | (u64)((a & 0xffff0000) | 0x8E00) << 32;
	}
	idt_load();
}

/* 8259 pair: vectors 0x20.., only @mask's zero bits open */
static inline void pic_init(u16 mask)
{
	outb(0x20, 0x11);
	outb(0x21, 0x20);
	outb(0x21, 4);
	outb(0x21, 1);
	outb(0xA0, 0x11);
	outb(0xA1, 0x28);
	outb(0xA1, 2);
	outb(0xA1, 1);
	outb(0x21, (u8)mask);
	outb(0xA1, (u8)(mask >> 8));
}

static inline void pit_rate(u16 divisor)
{
	outb(0x43, 0x34); /* channel 0, low then high byte, mode 2 */
	outb(0x40, (u8)divisor);
	outb(0x40, (u8)(divisor >> 8));
}

static inline void lapic_on(void) { wr32(LAPIC + LAPIC_SVR, 0x1FF); }
static inline void lapic_eoi(void) { wr32(LAPIC + LAPIC_EOI, 0); }
static inline u32 lapic_id(void) { return rd32(LAPIC + LAPIC_ID) >> 24; }
static inline void lapic_send(u32 dest, u32 icr)
{
	wr32(LAPIC + LAPIC_ICR_HIGH, dest << 24);
	wr32(LAPIC + LAPIC_ICR, icr);
	while (rd32(LAPIC + LAPIC_ICR) & 1u << 12)
		pause();
}

/* ------------------------------------------------------------ other CPUs */

static inline void smp_start_all(void)
{
	u8 *to = (u8 *)0x8000;

	for (u8 *p = trampoline; p < trampoline_end; p++)
		*to++ = *p;
	lapic_on();
	wr32(LAPIC + LAPIC_ICR, 0xC4500); /* INIT, all but self */
	wr32(LAPIC + LAPIC_ICR, 0xC4608); /* SIPI to 0x8000 */
	wr32(LAPIC + LAPIC_ICR, 0xC4608); /* the second one finds them running */
}

static inline u32 atomic_inc(volatile u32 *p)
{
	return __atomic_add_fetch(p, 1, __ATOMIC_SEQ_CST);
}

#define NO_APS        \
	void ap_main(void) \
	{             \
	}

#endif
