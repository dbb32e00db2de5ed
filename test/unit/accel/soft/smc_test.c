// SPDX-License-Identifier: BSD-2-Clause
/* Code that is written while it runs: whatever wrote it, the next execution is of the new bytes
 *
 * A target "mov $k, %ebx; hlt" is patched by each kind of store, from the page it lies in or
 * from another, and entered by a jump or by falling into it, in translated code and one
 * instruction at a time. */
#include "hostile_rig.h"

#define SAME_PAGE (CODE_AT + 0x800)  /* the target; the snippet ends right before it */
#define OTHER_PAGE (CODE_AT + 0x1800)
#define NEW DATA_AT		     /* 64 bytes: what the target shall be */
#define VALUE_TO_WRITE 100 /* and 101, 102, 103: some stores are of one byte */

/* rsi = NEW, rdi = the target, rax = the first 8 bytes of NEW, rsp = a good stack, rdx = k.
 * Whoever changes rsp or leaves rax somewhere bad does so on purpose. */
#define FORM(name, text)                                                        \
	extern const u8 s_##name[], s_##name##_end[];                           \
	__asm__(".pushsection .rodata\n"                                        \
		".globl s_" #name "\n.globl s_" #name "_end\n"                  \
		".hidden s_" #name "\n.hidden s_" #name "_end\n"                \
		"s_" #name ": " text "\ns_" #name "_end:\n.popsection\n");

#define FORMS(X)                                                                        \
	X(mov8, "mov %rax, (%rdi)")                                                     \
	X(mov_imm_byte, "mov %dl, 1(%rdi)")                                             \
	X(mov_unaligned, "mov %edx, 1(%rdi)")                                           \
	X(movnti, "movnti %rax, (%rdi)")                                                \
	X(movbe, "bswap %rax; movbe %rax, (%rdi)")                                      \
	X(xchg, "xchg %rax, (%rdi)")                                                    \
	X(add, "mov 1(%rdi), %ecx; sub %ecx, %edx; add %edx, 1(%rdi)")                  \
	X(lock_add, "mov 1(%rdi), %ecx; sub %ecx, %edx; lock add %edx, 1(%rdi)")        \
	X(xadd, "mov 1(%rdi), %ecx; sub %ecx, %edx; lock xadd %edx, 1(%rdi)")           \
	X(cmpxchg, "mov %rax, %rcx; mov (%rdi), %rax; lock cmpxchg %rcx, (%rdi)")       \
	X(cmpxchg16b, "mov (%rsi), %rbx; mov 8(%rsi), %rcx; mov (%rdi), %rax; mov 8(%rdi), %rdx; lock cmpxchg16b (%rdi)") \
	X(bts, "mov %edx, %ecx; movl $0, 1(%rdi); mov $31, %ebx; 1: bt %ebx, %ecx; jnc 2f; bts %ebx, 1(%rdi); 2: dec %ebx; jns 1b") \
	X(shld, "mov %rdx, %rax; shl $32, %rax; shldl $31, %edx, 1(%rdi); mov %edx, 1(%rdi)") \
	X(setcc, "test %esi, %esi; movl $0, 1(%rdi); setnz 1(%rdi); sub $1, %edx; add %edx, 1(%rdi)") \
	X(push, "lea 8(%rdi), %rsp; push %rax")                                         \
	X(push_mem, "lea 8(%rdi), %rsp; pushq (%rsi)")                                  \
	X(pushes, "lea 16(%rdi), %rsp; mov 8(%rsi), %rcx; push %rcx; push %rax")        \
	X(push16, "lea 3(%rdi), %rsp; movzwl 1(%rsi), %ecx; pushw %cx")                 \
	X(pop_mem, "mov %rsi, %rsp; popq (%rdi)")                                       \
	X(stack_store, "mov %rdi, %rsp; mov %rax, (%rsp); mov %edx, 1(%rsp)")           \
	X(enter, "mov %rax, %rbp; lea 8(%rdi), %rsp; enter $0, $0")                     \
	X(stosb, "mov %edx, %eax; lea 1(%rdi), %rdi; stosl")                            \
	X(rep_stosb, "lea 1(%rdi), %rdi; mov %edx, %eax; mov $1, %ecx; rep stosl")      \
	X(movsq, "movsq")                                                               \
	X(rep_movsb, "mov $8, %ecx; rep movsb")                                         \
	X(rep_movsq, "mov $8, %ecx; rep movsq")                                         \
	X(rep_movsb_down, "std; add $7, %rsi; add $7, %rdi; mov $8, %ecx; rep movsb; cld") \
	X(movups, "movups (%rsi), %xmm0; movups %xmm0, (%rdi)")                         \
	X(movaps, "movaps (%rsi), %xmm0; movaps %xmm0, (%rdi)")                         \
	X(movq, "movq (%rsi), %xmm0; movq %xmm0, (%rdi)")                               \
	X(movss, "movss 1(%rsi), %xmm0; movss %xmm0, 1(%rdi)")                          \
	X(movntdq, "movaps (%rsi), %xmm0; movntdq %xmm0, (%rdi)")                       \
	X(maskmov, "movups (%rsi), %xmm0; pcmpeqb %xmm1, %xmm1; maskmovdqu %xmm1, %xmm0") \
	X(mmx, "movq (%rsi), %mm0; movq %mm0, (%rdi); emms")                            \
	X(fstp, "fninit; fldt (%rsi); fstpt (%rdi)")                                            \
	X(fist, "fninit; fildll (%rsi); fistpll (%rdi)")                                      \
	X(pextrd, "movd %edx, %xmm0; pextrd $0, %xmm0, 1(%rdi)")                        \
	X(again_and_again, "movl $0, 1(%rdi); movl $1, 1(%rdi); mov %edx, 1(%rdi)")     \
	X(indirect, "lea 1(%rdi), %rcx; xor %ebx, %ebx; mov %edx, (%rcx, %rbx, 8)")     \
	X(fs, "mov %edx, %fs:1(%rdi)")                                                  \
	X(ins, "mov %edx, %ecx; mov $0x80, %dx; lea 1(%rdi), %rdi; insl; mov %ecx, -4(%rdi)")

FORMS(FORM)

static const struct form {
	const char *name;
	const u8 *at, *end;
} forms[] = {
#define ROW(name, text) { #name, s_##name, s_##name##_end },
	FORMS(ROW)
};

static void target(u8 *p, u32 k)
{
	memset(p, 0x90, 64);
	p[0] = 0xbb; /* mov $k, %ebx */
	memcpy(p + 1, &k, 4);
	p[63] = 0xf4; /* hlt */
}

static u32 run_to_hlt(struct rig *r, bool step)
{
	struct accel_exit_info info;
	unsigned n = 0;

	assert_int_equal(sc_accel_ops.debug_set(&r->v[0]->base, NULL, 0, step), 0);
	do {
		assert_int_equal(sc_accel_ops.vcpu_run(&r->v[0]->base, &info), 0);
	} while (info.exit == ACCEL_EXIT_DEBUG && n++ < 100000);
	if (info.exit != ACCEL_EXIT_HLT)
		fail_msg("exit %u, vector %u at rip %#llx", info.exit, r->v[0]->exc.vector,
			 (unsigned long long)r->v[0]->rip);
	return (u32)r->v[0]->gpr[X86_RBX];
}

static void set_up(struct rig *r)
{
	rig_open(r, 1);
	r->quiet = true;
	tables_init(r);
	gdt_init(r);
	memset(r->low + IDT_AT, 0, 0x1000);
}

/* Registers anew, TLB and translations as they are */
static void again(struct rig *r, u32 rip, u32 to, u32 k)
{
	struct sc_vcpu *v = r->v[0];

	target(r->low + NEW, k);
	memset(v->gpr, 0, sizeof(v->gpr));
	v->gpr[X86_RSI] = NEW;
	v->gpr[X86_RDI] = to;
	v->gpr[X86_RSP] = STACK_TOP;
	v->gpr[X86_RDX] = k;
	memcpy(&v->gpr[X86_RAX], r->low + NEW, 8);
	v->halted = false;
	v->rip = rip;
}

static void try_form(struct rig *r, const struct form *f, u32 to, bool fall_through, bool step)
{
	unsigned len = (unsigned)(f->end - f->at);
	u32 start = fall_through ? to - len : CODE_AT + 0x40, k, got;

	memset(r->low + CODE_AT, 0x90, 0x3000);
	memcpy(r->low + start, f->at, len);
	if (!fall_through) /* mov $to, %edi; jmp *%rdi: the snippets move rdi */
		memcpy(r->low + start + len, (u8[]){ 0xbf, to & 0xff, to >> 8 & 0xff, to >> 16, 0, 0xff, 0xe7 }, 7);
	target(r->low + to, 99);
	sc_accel_ops.ram_written(r->vm, CODE_AT, 0x3000);
	cpu_init(r->v[0], M_LONG, start);
	for (k = VALUE_TO_WRITE; k < VALUE_TO_WRITE + 4; k++) {
		again(r, start, to, k);
		got = run_to_hlt(r, step);
		if (got != k)
			fail_msg("%s, %s, %s, %s: run %u saw %u", f->name, step ? "stepped" : "translated",
				 to == SAME_PAGE ? "same page" : "other page",
				 fall_through ? "falling into it" : "by a jump", k - VALUE_TO_WRITE, got);
		/* The host writes, too: as a device does */
		target(r->low + to, 77);
		sc_accel_ops.ram_written(r->vm, to, 64);
		again(r, to, to, k);
		assert_int_equal(run_to_hlt(r, step), 77);
	}
}

static void each_kind_of_store_is_seen_by_the_code_it_changed(void **state)
{
	struct rig r;

	set_up(&r);
	for (unsigned i = 0; i < ARRAY_LEN(forms); i++) {
		for (unsigned step = 0; step < 2; step++) {
			try_form(&r, &forms[i], SAME_PAGE, true, step);
			try_form(&r, &forms[i], SAME_PAGE, false, step);
			try_form(&r, &forms[i], OTHER_PAGE, false, step);
		}
	}
	rig_close(&r);
}

/* A string instruction that overwrites itself, with the same bytes, and what follows it */
static void rep_movs_over_itself(void **state)
{
	static const u8 code[] = { 0xf3, 0xa4 }; /* rep movsb */
	struct rig r;

	set_up(&r);
	for (unsigned step = 0; step < 2; step++) {
		for (u32 k = 5; k < 9; k++) {
			memset(r.low + CODE_AT, 0x90, 0x1000);
			memcpy(r.low + CODE_AT + 0x100, code, sizeof(code));
			target(r.low + CODE_AT + 0x102, 1);
			sc_accel_ops.ram_written(r.vm, CODE_AT, 0x1000);
			memcpy(r.low + NEW, r.low + CODE_AT, 0x1000);
			target(r.low + NEW + 0x102, k);
			cpu_init(r.v[0], M_LONG, CODE_AT + 0x100);
			r.v[0]->gpr[X86_RSI] = NEW;
			r.v[0]->gpr[X86_RDI] = CODE_AT;
			r.v[0]->gpr[X86_RCX] = 0x1000;
			assert_int_equal(run_to_hlt(&r, step), k);
		}
	}
	rig_close(&r);
}

/* The frame of an exception and a return address, pushed over the operand of the code that
 * runs next. What else they overwrite does no harm when rax points at data. */
static void frames_pushed_into_code(void **state)
{
	static const u8 call[] = { 0xe8, 0, 0, 0, 0, 0x5a, 0xff, 0xe1 }; /* call .+5; pop %rdx; jmp *%rcx */
	struct rig r;
	u32 to, got;

	set_up(&r);
	for (unsigned step = 0; step < 2; step++) {
		for (unsigned round = 0; round < 3; round++) {
			to = CODE_AT + 0x400;
			memset(r.low + CODE_AT, 0x90, 0x1000);
			memcpy(r.low + CODE_AT + 0x40 + round, call, sizeof(call));
			target(r.low + to, 1);
			memset(r.low + to + 5, 0, 4);
			sc_accel_ops.ram_written(r.vm, CODE_AT, 0x1000);
			cpu_init(r.v[0], M_LONG, to);
			r.v[0]->gpr[X86_RAX] = DATA_AT;
			assert_int_equal(run_to_hlt(&r, step), 1);
			again(&r, CODE_AT + 0x40 + round, to, 0);
			r.v[0]->gpr[X86_RAX] = DATA_AT;
			r.v[0]->gpr[X86_RCX] = to;
			r.v[0]->gpr[X86_RSP] = to + 1 + 8;
			got = run_to_hlt(&r, step);
			assert_int_equal(got, CODE_AT + 0x45 + round);

			/* int3: rip is the lowest word of the frame at (rsp & ~15) - 40 */
			to = CODE_AT + 0x407;
			gate(&r, 16, 3, SEL_CODE64, to, 0x8e, 0);
			r.low[CODE_AT + 0x80 + round] = 0xcc;
			target(r.low + to, 1);
			/* Zeros are harmless two at a time; where that ends depends on the flags */
			memset(r.low + to + 5, 0, 58);
			memset(r.low + to + 63, 0xf4, 2);
			sc_accel_ops.ram_written(r.vm, CODE_AT, 0x1000);
			again(&r, to, to, 0);
			r.v[0]->gpr[X86_RAX] = DATA_AT;
			assert_int_equal(run_to_hlt(&r, step), 1);
			again(&r, CODE_AT + 0x80 + round, to, 0);
			r.v[0]->gpr[X86_RAX] = DATA_AT;
			r.v[0]->gpr[X86_RSP] = to + 1 + 40;
			got = run_to_hlt(&r, step);
			assert_int_equal(got, CODE_AT + 0x81 + round);
		}
	}
	rig_close(&r);
}

/* A page table entry is the operand of an instruction: the walk changes code */
static void accessed_and_dirty_bits_set_in_code(void **state)
{
	const u32 to = CODE_AT + 0x407, pte = to + 1, page = DATA_AT + 0x5000;
	const u64 far = 6 * GiB;
	struct rig r;

	set_up(&r);
	for (unsigned step = 0; step < 2; step++) {
		memset(r.low + CODE_AT, 0x90, 0x1000);
		target(r.low + to, 0);
		put64(&r, pte, page | 3);
		/* mov (%rcx), %dl; jmp *%rdi ... mov %dl, (%rcx); jmp *%rdi */
		memcpy(r.low + CODE_AT + 0x40, (u8[]){ 0x8a, 0x11, 0xff, 0xe7 }, 4);
		memcpy(r.low + CODE_AT + 0x50, (u8[]){ 0x88, 0x11, 0xff, 0xe7 }, 4);
		put64(&r, PDPT_AT + 8 * 6, 0xf000 | 3);
		memset(r.low + 0xf000, 0, 0x1000);
		put64(&r, 0xf000, CODE_AT | 3);
		sc_accel_ops.ram_written(r.vm, 0, LOW_BYTES);
		cpu_init(r.v[0], M_LONG, to);
		r.v[0]->gpr[X86_RAX] = DATA_AT;
		assert_int_equal(run_to_hlt(&r, step), page | 3);
		for (unsigned i = 0; i < 2; i++) {
			again(&r, CODE_AT + 0x40 + 0x10 * i, to, 0);
			r.v[0]->gpr[X86_RAX] = DATA_AT;
			r.v[0]->gpr[X86_RCX] = far + (u64)(pte & 0xfff) / 8 * 4096;
			assert_int_equal(run_to_hlt(&r, step), page | (i ? 0x63 : 0x23));
		}
	}
	rig_close(&r);
}

/* Each round is a translation more; the code memory fills up several times */
static void a_just_in_time_compiler_that_never_stops(void **state)
{
	static const u8 loop[] = {
		0x31, 0xc9,			/* xor %ecx, %ecx */
		0x89, 0x4f, 0x01,		/* 1: mov %ecx, 1(%rdi) */
		0xff, 0xd7,			/* call *%rdi */
		0x01, 0xc2,			/* add %eax, %edx */
		0xff, 0xc1,			/* inc %ecx */
		0x39, 0xf1,			/* cmp %esi, %ecx */
		0x75, 0xf3,			/* jne 1b */
		0x89, 0xd3, 0xf4,		/* mov %edx, %ebx; hlt */
	};
	const u32 n = getenv("HK_CASES") ? 3000000 : 150000;
	struct rig r;
	u64 sum = (u64)n * (n - 1) / 2;
	unsigned at;

	set_up(&r);
	memset(r.low + CODE_AT, 0x90, 0x3000);
	memcpy(r.low + CODE_AT, loop, sizeof(loop));
	at = OTHER_PAGE;
	r.low[at] = 0xb8; /* mov $k, %eax */
	for (at += 5; at < OTHER_PAGE + 5 + 28 * 4; at += 4) /* xor %ebp, 8(%rsp, %r8): long translations */
		memcpy(r.low + at, (u8[]){ 0x31, 0x6c, 0x24, 0xe0 }, 4);
	r.low[at] = 0xc3;
	sc_accel_ops.ram_written(r.vm, CODE_AT, 0x3000);
	cpu_init(r.v[0], M_LONG, CODE_AT);
	r.v[0]->gpr[X86_RDI] = OTHER_PAGE;
	r.v[0]->gpr[X86_RSI] = n;
	assert_int_equal(run_to_hlt(&r, false), (u32)sum);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_of_store_is_seen_by_the_code_it_changed),
		cmocka_unit_test(rep_movs_over_itself),
		cmocka_unit_test(frames_pushed_into_code),
		cmocka_unit_test(accessed_and_dirty_bits_set_in_code),
		cmocka_unit_test(a_just_in_time_compiler_that_never_stops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
