/* SPDX-License-Identifier: BSD-2-Clause */
/* What the 64-bit guests share: checks, exceptions that are expected, ring 3, page tables
 *
 * A guest is a list of checks. Code that is to fault is a CODE() of its own, so that its
 * address is known; run() or run_user() calls it and @last tells how it ended. One line
 * a check on COM1; status 33 when all are well. */
#ifndef CPU_H
#define CPU_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
typedef unsigned char bool;

enum { PASS = 16, FAILED = 1 };
enum { false, true };

#define USER_BASE 0x40000000ul
#define USER(p) ((u64)(p) + USER_BASE) /* the same byte as ring 3 sees it */
#define CS64 0x08
#define DS0 0x10
#define CS32_3 0x1b
#define DS3 0x23
#define CS64_3 0x2b
#define CS32 0x30
#define TSS_SEL 0x38
#define LDT_SEL 0x48
#define FREE_SEL 0x58 /* and 23 more */

enum { DE, DB, NMI, BP, OF, BR, UD, NM, DF, TS = 10, NP, SS, GP, PF, MF = 16, AC, MC, XM };

#define CF 1u
#define ZF 0x40u
#define TF 0x100u
#define IF 0x200u
#define DIRF 0x400u
#define NT 0x4000u
#define RF 0x10000u
#define ACF 0x40000u
#define IDF 0x200000u

int main64(void);
void ap_main64(void);
extern u8 stubs[], trampoline[], trampoline_end[], run_abort[], user_exit[], user_stack_top[],
	stack_top[];
extern u64 gdt[], gdt_end[], pml4[512], pdpt[512], pds[2048], run_rsp;
extern volatile u32 run_armed;
void run_asm(const void *fn, u64 a, u64 b);
void run_user_asm(u64 fn, u64 a, u64 b, u64 flags, u64 cs);

/* ------------------------------------------------------------ instructions */

static inline void outb(u16 p, u8 v) { __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(p)); }
static inline u8 inb(u16 p) { u8 v; __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(p)); return v; }
static inline u64 rdmsr(u32 i)
{
	u32 lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(i));
	return lo | (u64)hi << 32;
}
static inline void wrmsr(u32 i, u64 v)
{
	__asm__ volatile("wrmsr" : : "c"(i), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}
static inline u64 rdtsc(void)
{
	u32 lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return lo | (u64)hi << 32;
}
static inline void cpuid(u32 leaf, u32 sub, u32 r[4])
{
	__asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(sub));
}
#define REG_RW(name)                                                                          \
	static inline u64 read_##name(void)                                                   \
	{                                                                                     \
		u64 v;                                                                        \
		__asm__ volatile("mov %%" #name ", %0" : "=r"(v) : : "memory");               \
		return v;                                                                     \
	}                                                                                     \
	static inline void write_##name(u64 v)                                                \
	{                                                                                     \
		__asm__ volatile("mov %0, %%" #name : : "r"(v) : "memory");                   \
	}
REG_RW(cr0) REG_RW(cr2) REG_RW(cr3) REG_RW(cr4) REG_RW(cr8)
REG_RW(dr0) REG_RW(dr1) REG_RW(dr2) REG_RW(dr3) REG_RW(dr6) REG_RW(dr7)
static inline void invlpg(u64 a) { __asm__ volatile("invlpg (%0)" : : "r"(a) : "memory"); }
static inline void cli(void) { __asm__ volatile("cli" : : : "memory"); }
static inline void sti(void) { __asm__ volatile("sti" : : : "memory"); }
static inline void sti_hlt_cli(void) { __asm__ volatile("sti; hlt; cli" : : : "memory"); }
static inline void pause(void) { __asm__ volatile("pause" : : : "memory"); }
static inline u64 flags(void) { u64 f; __asm__ volatile("pushfq; pop %0" : "=r"(f)); return f; }
#define barrier() __asm__ volatile("" : : : "memory")
#define RD(type, a) (*(volatile type *)(u64)(a))

static inline void finish(u8 v)
{
	outb(0xF4, v);
	for (;;)
		__asm__ volatile("cli; hlt");
}

/* Code at a known address: NAME is its start, NAME_at the instruction in question, NAME_next
 * the one after it. It gets rdi and rsi and may clobber what a C function may. */
#define CODE(name, before, insn)                                                              \
	extern u8 name[], name##_at[], name##_next[];                                         \
	__asm__(".pushsection .text\n\t.globl " #name ", " #name "_at, " #name "_next\n"      \
		#name ":\n\t" before "\n" #name "_at:\n\t" insn "\n" #name                    \
		"_next:\n\tret\n\t.popsection")

/* ------------------------------------------------------------------ output */

static inline void put_char(char c)
{
	while (!(inb(0x3FD) & 0x20))
		;
	outb(0x3F8, (u8)c);
}
static inline void put(const char *s)
{
	while (*s)
		put_char(*s++);
}
static inline void put_hex(u64 x)
{
	int i = 60;

	while (i && !(x >> i & 15))
		i -= 4;
	for (; i >= 0; i -= 4)
		put_char("0123456789abcdef"[x >> i & 15]);
}

static unsigned failures;

static inline bool report(bool ok, const char *what)
{
	put(ok ? "ok " : "FAIL ");
	put(what);
	put("\r\n");
	failures += !ok;
	return ok;
}
#define check(cond, what) report(!!(cond), what)

static inline bool equal(u64 got, u64 want, const char *what)
{
	if (!report(got == want, what)) {
		put("  is ");
		put_hex(got);
		put(" not ");
		put_hex(want);
		put("\r\n");
	}
	return got == want;
}

static inline int verdict(void) { return failures ? FAILED : PASS; }

/* -------------------------------------------------------------- exceptions */

struct trap {
	u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 vector, error, rip, cs, rflags, rsp, ss;
};

#define NONE 0x1ff /* the code returned */
struct ending {
	struct trap t;
	u64 cr2, dr6, at; /* at: where the frame was pushed */
};
static struct ending last;

typedef void trap_fn(struct trap *t);
static trap_fn *volatile hooks[256];
static struct { u64 lo, hi; } idt[256] __attribute__((aligned(16)));

struct tss {
	u32 r0;
	u64 rsp[3], r1, ist[7], r2;
	u16 r3, iomap;
	u8 bitmap[8193];
} __attribute__((packed));
static struct tss tss;
static u8 rsp0_stack[8192] __attribute__((aligned(16)));
static u8 ist1_stack[8192] __attribute__((aligned(16)));

void on_trap(struct trap *t);
void on_trap(struct trap *t)
{
	if (hooks[t->vector]) {
		hooks[t->vector](t);
		return;
	}
	if (!run_armed) {
		put("FAIL unexpected vector ");
		put_hex(t->vector);
		put(" error ");
		put_hex(t->error);
		put(" rip ");
		put_hex(t->rip);
		put(" cr2 ");
		put_hex(read_cr2());
		put("\r\n");
		finish(2);
	}
	last.t = *t;
	last.cr2 = read_cr2();
	last.dr6 = read_dr6();
	last.at = (u64)t + sizeof(*t);
	if (t->vector == 0xff)
		last.t.vector = NONE;
	t->rip = (u64)run_abort;
	t->cs = CS64;
	t->ss = DS0;
	t->rflags = 2;
	t->rsp = run_rsp;
}

static inline void gate(unsigned vec, u64 to, u8 type_dpl, u8 ist)
{
	idt[vec].lo = (to & 0xffff) | (u64)CS64 << 16 | (u64)ist << 32 | (u64)type_dpl << 40 |
		      (to & 0xffff0000) << 32;
	idt[vec].hi = to >> 32;
}

static inline void load_idt(void)
{
	struct { u16 limit; u64 base; } __attribute__((packed)) r = { sizeof(idt) - 1, (u64)idt };

	__asm__ volatile("lidt %0" : : "m"(r));
}

static inline void sys_desc(u64 *at, u64 base, u32 limit, u8 type)
{
	at[0] = (limit & 0xffff) | (base & 0xffffff) << 16 | (u64)type << 40 |
		(u64)(limit & 0xf0000) << 32 | (base & 0xff000000) << 32;
	at[1] = base >> 32;
}

static inline u64 seg_desc(u32 base, u32 limit, u32 attr) /* attr: bits 55:52 and 47:40 */
{
	return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)(attr & 0xff) << 40 |
	       (u64)(limit & 0xf0000) << 32 | (u64)(attr & 0xf000) << 40 | (u64)(base & 0xff000000) << 32;
}

static inline void init(void)
{
	for (unsigned i = 0; i < 256; i++)
		gate(i, (u64)stubs + i * 16, 0x8E, 0);
	gate(0xff, (u64)stubs + 0xff * 16, 0xEE, 0);
	/* What a bad RSP gives needs a good one */
	gate(DF, (u64)stubs + DF * 16, 0x8E, 1);
	gate(SS, (u64)stubs + SS * 16, 0x8E, 1);
	gate(PF, (u64)stubs + PF * 16, 0x8E, 1);
	load_idt();
	tss.ist[0] = (u64)ist1_stack + sizeof(ist1_stack);
	tss.rsp[0] = (u64)rsp0_stack + sizeof(rsp0_stack);
	tss.iomap = sizeof(tss);
	sys_desc(&gdt[TSS_SEL / 8], (u64)&tss, sizeof(tss) - 1, 0x89);
	__asm__ volatile("ltr %w0" : : "r"(TSS_SEL));
	outb(0x21, 0xff);
	outb(0xA1, 0xff);
}

/* How @fn(a, b) in ring 0 ended: its vector, NONE when it returned */
static inline u64 run(const void *fn, u64 a, u64 b)
{
	last.t.vector = NONE;
	run_asm(fn, a, b);
	return last.t.vector;
}
/* The same in ring 3. @fn is the ring 0 address. */
static inline u64 run_user_with(const void *fn, u64 a, u64 b, u64 rflags, u64 cs)
{
	last.t.vector = NONE;
	run_user_asm(USER(fn), a, b, rflags, cs);
	return last.t.vector;
}
static inline u64 run_user(const void *fn, u64 a, u64 b)
{
	return run_user_with(fn, a, b, 2, CS64_3);
}

static inline bool ended(u64 vector, u64 error, u64 rip, const char *what)
{
	bool ok = last.t.vector == vector && (vector == NONE || (last.t.error == error && last.t.rip == rip));

	if (!report(ok, what)) {
		put("  vector ");
		put_hex(last.t.vector);
		put(" error ");
		put_hex(last.t.error);
		put(" rip ");
		put_hex(last.t.rip);
		put(" cr2 ");
		put_hex(last.cr2);
		put(", expected ");
		put_hex(vector);
		put(" ");
		put_hex(error);
		put(" ");
		put_hex(rip);
		put("\r\n");
	}
	return ok;
}
/* CODE @name must fault at its own instruction */
#define faults(name, a, b, vector, error, what)                                               \
	(run(name, (u64)(a), (u64)(b)), ended(vector, error, (u64)name##_at, what))
#define faults_user(name, a, b, vector, error, what)                                          \
	(run_user(name, (u64)(a), (u64)(b)), ended(vector, error, USER(name##_at), what))
#define returns(name, a, b, what) (run(name, (u64)(a), (u64)(b)), ended(NONE, 0, 0, what))
#define returns_user(name, a, b, what) (run_user(name, (u64)(a), (u64)(b)), ended(NONE, 0, 0, what))

/* ------------------------------------------------------------- page tables */

#define P_P 1ul
#define P_W 2ul
#define P_U 4ul
#define P_A 0x20ul
#define P_D 0x40ul
#define P_PS 0x80ul
#define P_G 0x100ul
#define P_NX (1ul << 63)
#define P_ADDR 0x000ffffffffff000ul

/* Pages of the guest's own from 8 MiB on, zeroed; where nothing else is */
static u64 next_page = 0x800000;
static inline u64 page_alloc(void)
{
	u64 p = next_page;

	next_page += 4096;
	for (unsigned i = 0; i < 512; i++)
		RD(u64, p + i * 8) = 0;
	return p;
}

/* Entry of @va in the table of @level (1: PT .. 4: PML4); what is missing above gets all rights */
static inline volatile u64 *entry(u64 va, unsigned level)
{
	volatile u64 *t = pml4;

	for (unsigned l = 4; l > level; l--) {
		volatile u64 *e = &t[va >> (3 + 9 * l) & 511];

		if (!(*e & P_P))
			*e = page_alloc() | P_P | P_W | P_U;
		t = (volatile u64 *)(*e & P_ADDR);
	}
	return &t[va >> (3 + 9 * level) & 511];
}

static inline volatile u64 *map(u64 va, u64 pa, u64 bits, unsigned level)
{
	volatile u64 *e = entry(va, level);

	*e = pa | bits | (level > 1 ? P_PS : 0);
	invlpg(va);
	return e;
}

#define TEST_VA 0x10000000000ul /* tests map from here on */

/* ---------------------------------------------------------- APIC and CPUs */

#define LAPIC 0xFEE00000ul
#define LAPIC_ID 0x20
#define LAPIC_TPR 0x80
#define LAPIC_EOI 0xB0
#define LAPIC_SVR 0xF0
#define LAPIC_ICR 0x300
#define LAPIC_ICR_HIGH 0x310
#define LAPIC_LVT_TIMER 0x320
#define LAPIC_TIMER_INIT 0x380
#define LAPIC_TIMER_CUR 0x390
#define LAPIC_TIMER_DIV 0x3E0

static inline u32 lapic_rd(u32 r) { return RD(u32, LAPIC + r); }
static inline void lapic_wr(u32 r, u32 v) { RD(u32, LAPIC + r) = v; }
static inline void lapic_on(void) { lapic_wr(LAPIC_SVR, 0x1FF); }
static inline void lapic_eoi(void) { lapic_wr(LAPIC_EOI, 0); }
static inline u32 lapic_id(void) { return lapic_rd(LAPIC_ID) >> 24; }
static inline void lapic_send(u32 dest, u32 icr)
{
	lapic_wr(LAPIC_ICR_HIGH, dest << 24);
	lapic_wr(LAPIC_ICR, icr);
	while (lapic_rd(LAPIC_ICR) & 1u << 12)
		pause();
}
#define ICR_SELF 0x40000u
#define ICR_ALL 0x80000u
#define ICR_OTHERS 0xC0000u
#define ICR_ASSERT 0x4000u
#define ICR_NMI 0x400u
static inline void self_ipi(u8 vec) { lapic_send(0, ICR_SELF | ICR_ASSERT | vec); }
static inline void self_nmi(void) { lapic_send(lapic_id(), ICR_ASSERT | ICR_NMI); }

static inline u32 num_cpus(void)
{
	u32 r[4];

	cpuid(0xB, 1, r);
	if (r[1])
		return r[1];
	cpuid(1, 0, r);
	return r[1] >> 16 & 0xff;
}

static inline void smp_start(void)
{
	u8 *to = (u8 *)0x8000;

	for (u8 *p = trampoline; p < trampoline_end; p++)
		*(volatile u8 *)to++ = *p;
	lapic_on();
	lapic_send(0, ICR_OTHERS | 0x4500);
	for (u64 until = rdtsc() + 10000000; rdtsc() < until;)
		pause();
	lapic_send(0, ICR_OTHERS | 0x4608);
	lapic_send(0, ICR_OTHERS | 0x4608);
}

static inline u32 atomic_inc(volatile u32 *p) { return __atomic_add_fetch(p, 1, __ATOMIC_SEQ_CST); }

/* Spin until @cond, at most some seconds */
#define wait_for(cond)                                                                        \
	({                                                                                    \
		u64 until_ = rdtsc() + 20000000000ul;                                         \
		bool ok_;                                                                     \
		while (!(ok_ = !!(cond)) && rdtsc() < until_)                                 \
			pause();                                                              \
		ok_;                                                                          \
	})

#define NO_APS           \
	void ap_main64(void) \
	{                \
	}

#endif
