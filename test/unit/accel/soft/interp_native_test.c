// SPDX-License-Identifier: BSD-2-Clause
/* test/unit/accel/soft/interp_native_test.c - The interpreter against the host CPU
 *
 * Random integer instructions run on the host, at the addresses and with the registers
 * that the guest has, and then in the interpreter. Registers, all arithmetic flags and
 * memory must agree, and so must the kind of fault. The seed is fixed. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "interp_rig.h"

#define SAVE 0x20020000ull
#define COMPARED_FLAGS (SC_ARITH_FLAGS | X86_FLAG_DF)

/* At SAVE; the offsets are in the assembly below */
struct save {
	u64 gpr[16];	/* 0x00: in and out */
	u64 flags;	/* 0x80 */
	u64 host_rsp;	/* 0x88 */
	u64 entry;	/* 0x90 */
	u32 far32[2];	/* 0x98: offset and selector of 32-bit code */
	u64 stack[64];	/* 0xa0 */
};

void native_enter(void);
void native_enter32(void);
extern const char native_exit[];

__asm__(".text\n"
	".macro load_all\n"
	"push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"mov %rsp, 0x20020088\n"
	"pushq 0x20020080; popfq\n"
	"mov 0x20020000, %rax; mov 0x20020008, %rcx; mov 0x20020010, %rdx; mov 0x20020018, %rbx\n"
	"mov 0x20020020, %rsp; mov 0x20020028, %rbp; mov 0x20020030, %rsi; mov 0x20020038, %rdi\n"
	"mov 0x20020040, %r8; mov 0x20020048, %r9; mov 0x20020050, %r10; mov 0x20020058, %r11\n"
	"mov 0x20020060, %r12; mov 0x20020068, %r13; mov 0x20020070, %r14; mov 0x20020078, %r15\n"
	".endm\n"
	".globl native_enter, native_enter32, native_exit\n"
	"native_enter: load_all; jmp *0x20020090\n"
	"native_enter32: load_all; ljmpl *0x20020098\n"
	"native_exit:\n"
	"mov %rax, 0x20020000; mov %rcx, 0x20020008; mov %rdx, 0x20020010; mov %rbx, 0x20020018\n"
	"mov %rsp, 0x20020020; mov %rbp, 0x20020028; mov %rsi, 0x20020030; mov %rdi, 0x20020038\n"
	"mov %r8, 0x20020040; mov %r9, 0x20020048; mov %r10, 0x20020050; mov %r11, 0x20020058\n"
	"mov %r12, 0x20020060; mov %r13, 0x20020068; mov %r14, 0x20020070; mov %r15, 0x20020078\n"
	"mov 0x20020088, %rsp\n"
	"pushfq; popq 0x20020080; cld\n"
	"pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n");

static struct save *const save = (struct save *)SAVE;
static u8 *const host_code = (u8 *)CODE;
static u8 *const host_data = (u8 *)DATA;
static sigjmp_buf fault_jmp;
static struct rig rig;
static u64 rng_state = 20240611;

static void on_signal(int sig)
{
	siglongjmp(fault_jmp, sig);
}

static u64 rnd(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state * 0x2545f4914f6cdd1dull;
}
static u32 below(u32 n)
{
	return (u32)(rnd() >> 32) % n;
}
static bool chance(u32 percent)
{
	return below(100) < percent;
}

static void *map_at(u64 a, size_t len, int prot)
{
	void *p = mmap((void *)a, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	assert_ptr_equal(p, (void *)a);
	return p;
}

static int setup(void **state)
{
	map_at(CODE, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
	map_at(DATA, DATA_PAGES * 4096, PROT_READ | PROT_WRITE);
	map_at(SAVE, 4096, PROT_READ | PROT_WRITE);
	rig_open(&rig);
	return 0;
}

/* At the start of each test: cmocka and the software CPU have handlers of their own */
static void catch_signals(void)
{
	static u8 alt_stack[65536];
	stack_t ss = { .ss_sp = alt_stack, .ss_size = sizeof(alt_stack) };
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_ONSTACK };
	static const int sigs[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };

	sigaltstack(&ss, NULL);
	for (unsigned i = 0; i < ARRAY_LEN(sigs); i++)
		sigaction(sigs[i], &sa, NULL);
}

static int teardown(void **state)
{
	rig_close(&rig);
	return 0;
}

/* Run what is at CODE on the host. Return: signal or 0 */
static int __attribute__((noinline)) native_run(void (*enter)(void))
{
	int sig = sigsetjmp(fault_jmp, 1);

	if (!sig)
		enter();
	return sig;
}

/* ------------------------------------------------------------ generation */

/* F: opcode map 0..3; then opcode range, /digit or -1, mandatory prefix, VEX */
struct form {
	u8 map, first, last;
	s8 digit;
	u8 prefix;
	bool vex;
};

static const struct form forms[] = {
	{ 0, 0x00, 0x05, -1 }, { 0, 0x08, 0x0d, -1 }, { 0, 0x10, 0x15, -1 }, { 0, 0x18, 0x1d, -1 },
	{ 0, 0x20, 0x25, -1 }, { 0, 0x28, 0x2d, -1 }, { 0, 0x30, 0x35, -1 }, { 0, 0x38, 0x3d, -1 },
	{ 0, 0x50, 0x5f, -1 }, { 0, 0x63, 0x63, -1 }, { 0, 0x68, 0x6b, -1 }, { 0, 0x80, 0x81, -1 },
	{ 0, 0x83, 0x8b, -1 }, { 0, 0x8d, 0x8d, -1 }, { 0, 0x8f, 0x8f, 0 }, { 0, 0x90, 0x99, -1 },
	{ 0, 0x9c, 0x9c, -1 }, { 0, 0x9e, 0x9f, -1 }, { 0, 0xa0, 0xa3, -1 }, { 0, 0xa4, 0xa7, -1 },
	{ 0, 0xa8, 0xa9, -1 }, { 0, 0xaa, 0xaf, -1 },
	{ 0, 0xa4, 0xa7, -1, 0xf3 }, { 0, 0xaa, 0xaf, -1, 0xf3 }, { 0, 0xa6, 0xa7, -1, 0xf2 },
	{ 0, 0xae, 0xaf, -1, 0xf2 }, { 0, 0xb0, 0xbf, -1 }, { 0, 0xc0, 0xc1, -1 },
	{ 0, 0xc6, 0xc7, 0 }, { 0, 0xc8, 0xc9, -1 }, { 0, 0xd0, 0xd3, -1 }, { 0, 0xd7, 0xd7, -1 },
	{ 0, 0xf5, 0xf5, -1 }, { 0, 0xf6, 0xf7, -1 }, { 0, 0xf6, 0xf7, 6 }, { 0, 0xf6, 0xf7, 7 },
	{ 0, 0xf8, 0xf9, -1 }, { 0, 0xfc, 0xfd, -1 }, { 0, 0xfe, 0xff, 0 }, { 0, 0xfe, 0xff, 1 },
	{ 0, 0xff, 0xff, 6 }, { 1, 0x1f, 0x1f, 0 }, { 1, 0x40, 0x4f, -1 }, { 1, 0x90, 0x9f, -1 },
	{ 1, 0xa3, 0xa5, -1 }, { 1, 0xab, 0xad, -1 }, { 1, 0xaf, 0xb1, -1 }, { 1, 0xb3, 0xb3, -1 },
	{ 1, 0xb6, 0xb7, -1 }, { 1, 0xb8, 0xb8, -1, 0xf3 }, { 1, 0xba, 0xbf, -1 },
	{ 1, 0xbc, 0xbd, -1, 0xf3 }, { 1, 0xc0, 0xc1, -1 }, { 1, 0xc3, 0xc3, -1 },
	{ 1, 0xc7, 0xc7, 1 }, { 1, 0xc8, 0xcf, -1 }, { 2, 0xf0, 0xf1, -1 },
	{ 2, 0xf0, 0xf1, -1, 0xf2 }, { 2, 0xf6, 0xf6, -1, 0x66 }, { 2, 0xf6, 0xf6, -1, 0xf3 },
	{ 2, 0xf2, 0xf2, -1, 0, true }, { 2, 0xf3, 0xf3, -1, 0, true },
	{ 2, 0xf5, 0xf5, -1, 0, true }, { 2, 0xf5, 0xf5, -1, 0xf3, true },
	{ 2, 0xf5, 0xf5, -1, 0xf2, true }, { 2, 0xf6, 0xf6, -1, 0xf2, true },
	{ 2, 0xf7, 0xf7, -1, 0, true }, { 2, 0xf7, 0xf7, -1, 0x66, true },
	{ 2, 0xf7, 0xf7, -1, 0xf3, true }, { 2, 0xf7, 0xf7, -1, 0xf2, true },
	{ 3, 0xf0, 0xf0, -1, 0xf2, true },
};

static unsigned gen_bytes(u8 *b)
{
	const struct form *f = &forms[below(ARRAY_LEN(forms))];
	unsigned n = 0;
	u8 modrm = (u8)rnd();

	if (chance(8))
		b[n++] = 0x67;
	if (f->vex) {
		b[n++] = 0xc4;
		b[n++] = (u8)((rnd() & 0xe0) | f->map);
		b[n++] = (u8)((rnd() & 0xf8) |
			      (f->prefix == 0x66 ? 1 : f->prefix == 0xf3 ? 2 : f->prefix ? 3 : 0));
	} else {
		if (chance(10))
			b[n++] = 0xf0;
		if (chance(25) && f->prefix != 0x66)
			b[n++] = 0x66;
		if (f->prefix)
			b[n++] = f->prefix;
		if (chance(60))
			b[n++] = 0x40 | (rnd() & 15);
		if (f->map)
			b[n++] = 0x0f;
		if (f->map > 1)
			b[n++] = f->map == 2 ? 0x38 : 0x3a;
	}
	b[n++] = (u8)(f->first + below(f->last - f->first + 1));
	if (f->digit >= 0)
		modrm = (modrm & ~0x38) | f->digit << 3;
	b[n++] = modrm;
	while (n < 15)
		b[n++] = (u8)rnd();
	return n;
}

static u64 interesting(void)
{
	static const u64 v[] = { 0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff,
				 0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, ~0ull };

	if (chance(40))
		return v[below(ARRAY_LEN(v))];
	return chance(30) ? rnd() & 0x3f : rnd();
}

static bool wanted(const struct sc_insn *in)
{
	return (in->cls >= SC_C_ALU && in->cls <= SC_C_LODS + 1 && in->cls != SC_C_MOV_SEG &&
		in->cls != SC_C_LOAD_FAR && in->cls != SC_C_POPF && in->cls != SC_C_BCD) ||
	       in->cls == SC_C_MOVNTI;
}

static bool is_string(const struct sc_insn *in)
{
	return in->cls >= SC_C_MOVS && in->cls <= SC_C_STOS;
}

/* Registers that make the memory operand land in the data. false: cannot be had */
static bool aim(const struct sc_insn *in, u64 *gpr, u8 *b)
{
	u64 t = DATA + 0x100 + below(0x2d00), index = 0, disp = (u64)in->disp;

	if (chance(15))
		t = DATA + 0x1000 - below(16);
	else if (chance(3))
		t = DATA + DATA_PAGES * 4096 - below(16);
	if (in->cls == SC_C_CMPXCHG8B && chance(90))
		t &= ~15ull;
	if (in->cls == SC_C_BT && in->op[1].kind == SC_OP_GPR) {
		if (in->op[1].reg == in->base || in->op[1].reg == in->index)
			return false;
		gpr[in->op[1].reg] = (u64)((s64)below(4000) - 2000);
		t = DATA + 0x1000 + below(0x1000);
	}
	if (in->base == X86_RSP && (in->cls == SC_C_PUSH || in->cls == SC_C_POP))
		return false; /* RSP cannot be two places */
	if (in->index < 16) {
		if (in->index == in->base)
			return false;
		gpr[in->index] = below(64);
		index = gpr[in->index] << in->scale;
	}
	if (in->base < 16) {
		gpr[in->base] = t - disp - index;
		return true;
	}
	disp = t - index - (in->base == SC_REG_RIP ? CODE + in->len : 0);
	memcpy(b + in->off_disp, &disp, in->disp_len);
	return in->disp_len >= 4;
}

static bool gen_case(u8 *b, struct sc_insn *in, u64 *gpr, u64 *flags)
{
	gen_bytes(b);
	if (sc_decode(NULL, 8, b, 15, in) != SC_DEC_OK || !wanted(in))
		return false;
	for (unsigned i = 0; i < 16; i++)
		gpr[i] = interesting();
	*flags = 0x202 | (rnd() & SC_ARITH_FLAGS);
	gpr[X86_RSP] = DATA + 0x1800 + below(64) * 8;
	if (in->cls == SC_C_ENTER) {
		b[in->off_imm] = (u8)rnd();
		b[in->off_imm + 1] = 0;
		b[in->off_imm + 2] &= 3;
	}
	if (in->cls == SC_C_ENTER || in->cls == SC_C_LEAVE)
		gpr[X86_RBP] = DATA + 0x1000 + below(0x1000);
	if (in->cls == SC_C_XLAT)
		gpr[X86_RBX] = DATA + below(0x1000);
	if (in->cls == SC_C_MUL && in->sub >= 6 && chance(80))
		gpr[X86_RDX] = chance(50) ? below(3) : (u64)((s64)gpr[X86_RAX] >> 63);
	if (in->flags & SC_I_MEM && in->cls != SC_C_LEA && in->cls != SC_C_NOP && !aim(in, gpr, b))
		return false;
	if (is_string(in)) {
		gpr[X86_RSI] = DATA + 0x1000 + below(0x1000);
		gpr[X86_RDI] = chance(30) ? gpr[X86_RSI] + below(32) : DATA + 0x1000 + below(0x1000);
		gpr[X86_RCX] = chance(10) ? 0 : below(260);
		if (chance(20))
			*flags |= X86_FLAG_DF;
		/* long equal runs, so that compares go on */
		if (in->cls == SC_C_CMPS || in->cls == SC_C_SCAS)
			memset(host_data + 0x1000, (int)gpr[X86_RAX], below(0x1000));
	}
	return sc_decode(NULL, 8, b, 15, in) == SC_DEC_OK;
}

/* ------------------------------------------------------------ comparison */

static void describe(const struct sc_insn *in, const u64 *gpr, u64 flags)
{
	char text[256];
	int n = 0;

	for (unsigned i = 0; i < in->len; i++)
		n += snprintf(text + n, sizeof(text) - n, "%02x ", in->raw[i]);
	print_message("bytes %s class %u sub %u flags %lx\n", text, in->cls, in->sub, flags);
	for (unsigned i = 0; i < 16; i++)
		print_message(" r%u in %016lx host %016lx soft %016lx\n", i, gpr[i], save->gpr[i],
			      rig.v->gpr[i]);
	print_message(" flags host %lx soft %lx\n", save->flags, rig.v->rflags);
}

static int expected_vector(int sig, int vector)
{
	switch (sig) {
	case 0: return NO_EXCEPTION;
	case SIGFPE: return X86_VEC_DE;
	case SIGILL: return X86_VEC_UD;
	case SIGTRAP: return X86_VEC_BP;
	default: /* the kernel does not tell them apart */
		return vector == X86_VEC_GP || vector == X86_VEC_SS ? vector : X86_VEC_PF;
	}
}

static void put_code(const u8 *b, unsigned len)
{
	static const u8 jump[] = { 0xff, 0x25, 0, 0, 0, 0 };
	u64 to = (u64)native_exit;
	u8 *guest = rig.ram + CODE_GPA;

	memcpy(host_code, b, len);
	memcpy(host_code + len, jump, sizeof(jump));
	memcpy(host_code + len + sizeof(jump), &to, 8);
	memcpy(guest, host_code, 64);
}

/* true: it was compared; the counter of its class may go up */
static bool one_case(struct sc_insn *in)
{
	u8 b[16];
	u64 gpr[16], flags;
	struct sc_vcpu *v = rig.v;
	int sig, vector;

	if (!gen_case(b, in, gpr, &flags))
		return false;
	put_code(b, in->len);
	memcpy(rig.ram + DATA_GPA, host_data, DATA_PAGES * 4096);

	memcpy(save->gpr, gpr, sizeof(gpr));
	save->flags = flags;
	save->entry = CODE;
	sig = native_run(native_enter);

	memcpy(v->gpr, gpr, sizeof(gpr));
	v->rflags = flags;
	v->rip = CODE;
	for (unsigned i = 0; i < 1000; i++) {
		vector = rig_step(&rig);
		if (vector != NO_EXCEPTION || v->rip != CODE)
			break;
	}
	if (vector != expected_vector(sig, vector)) {
		describe(in, gpr, flags);
		fail_msg("host signal %d, guest vector %d", sig, vector);
	}
	if (sig) {
		if (memcmp(v->gpr, gpr, sizeof(gpr)) || v->rip != CODE) {
			describe(in, gpr, flags);
			fail_msg("a faulting instruction changed registers");
		}
	} else if (memcmp(v->gpr, save->gpr, sizeof(gpr)) || v->rip != CODE + in->len ||
		   (v->rflags ^ save->flags) & COMPARED_FLAGS) {
		describe(in, gpr, flags);
		fail_msg("registers or flags differ");
	}
	if (memcmp(rig.ram + DATA_GPA, host_data, DATA_PAGES * 4096)) {
		describe(in, gpr, flags);
		fail_msg("memory differs");
	}
	return !sig;
}

static void integer_instructions_do_what_the_host_does(void **state)
{
	unsigned count[SC_NUM_CLASSES] = { 0 }, cases = 0;
	struct sc_insn in;

	catch_signals();
	rig_long(&rig, 3);
	for (unsigned i = 0; i < DATA_PAGES * 4096; i++)
		host_data[i] = (u8)rnd();
	while (cases < 150000) {
		if (one_case(&in))
			count[in.cls]++;
		cases++;
	}
	for (unsigned c = 0; c < SC_NUM_CLASSES; c++) {
		struct sc_insn want = { .cls = (u8)c };
		bool x32 = c == SC_C_PUSHA || c == SC_C_POPA || c == SC_C_SALC || c == SC_C_BOUND ||
			   c == SC_C_ARPL || c == SC_C_INS;

		if (wanted(&want) && !x32 && !count[c])
			fail_msg("class %u was never compared", c);
	}
}

/* ------------------------------------------------------------ 32-bit code */

#define USER32_CS 0x23
#define USER64_CS 0x33

static void decimal_adjustment_does_what_the_host_does_in_32_bit_code(void **state)
{
	static const u8 ops[][2] = { { 0x27 }, { 0x2f }, { 0x37 }, { 0x3f }, { 0xd4, 10 },
				     { 0xd5, 10 }, { 0xd4, 7 }, { 0xd5, 0x85 } };
	struct sc_vcpu *v = rig.v;
	u8 *tail = host_code + 0x100; /* back to 64-bit code, then out */
	u32 back = CODE + 0x107;
	u64 to = (u64)native_exit;

	catch_signals();
	memcpy(tail, (u8[]){ 0xea, 0, 0, 0, 0, USER64_CS, 0, 0xff, 0x25, 0, 0, 0, 0 }, 13);
	memcpy(tail + 1, &back, 4);
	memcpy(tail + 13, &to, 8);
	for (unsigned i = 0; i < 20000; i++) {
		const u8 *op = ops[i % ARRAY_LEN(ops)];
		unsigned len = op[1] ? 2 : 1;
		u32 rel = 0x100 - (len + 5);
		u64 ax = i < 16000 ? rnd() & 0xffff : rnd() & 0x0f0f;
		u64 flags = 0x202 | (rnd() & SC_ARITH_FLAGS);
		u64 seen;

		memcpy(host_code, op, len);
		host_code[len] = 0xe9;
		memcpy(host_code + len + 1, &rel, 4);
		memset(save->gpr, 0, sizeof(save->gpr));
		save->gpr[X86_RAX] = ax;
		save->gpr[X86_RSP] = (u64)&save->stack[32];
		save->flags = flags;
		save->far32[0] = CODE;
		save->far32[1] = USER32_CS;
		if (native_run(native_enter32))
			skip(); /* no 32-bit code segment here */

		rig_protected(&rig, 4, 0);
		memcpy(rig.ram + CODE_GPA, op, len);
		v->gpr[X86_RAX] = ax;
		v->rflags = flags;
		assert_int_equal(rig_step(&rig), NO_EXCEPTION);
		assert_int_equal(v->rip, CODE_GPA + len);
		seen = v->rflags & SC_ARITH_FLAGS;
		if (v->gpr[X86_RAX] != save->gpr[X86_RAX] ||
		    seen != (save->flags & SC_ARITH_FLAGS))
			fail_msg("op %02x ax %lx flags %lx: host %lx %lx soft %lx %lx", op[0], ax, flags,
				 save->gpr[X86_RAX], save->flags & SC_ARITH_FLAGS, v->gpr[X86_RAX],
				 seen);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integer_instructions_do_what_the_host_does),
		cmocka_unit_test(decimal_adjustment_does_what_the_host_does_in_32_bit_code),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
