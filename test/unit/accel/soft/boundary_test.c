// SPDX-License-Identifier: BSD-2-Clause
/* The boundary: no instruction reaches memory of the host beside the guest's RAM
 *
 * Every kind of memory access, at every distance from every edge: of RAM, of 4 GiB, of the
 * canonical halves, of the address space; with the page warm in the TLB and cold, in
 * translated and in interpreted code. hostile_rig.h puts RAM where a stray access shows. */
#include "hostile_rig.h"

/* Snippets run with rdi = rsi = the address, rax = rbp = 0x55..., rcx = 64, rdx = DATA_AT */
#define FORM(name, text)                                                        \
	extern const u8 f_##name[], f_##name##_end[];                           \
	__asm__(".pushsection .rodata\n"                                        \
		".globl f_" #name "\n.globl f_" #name "_end\n"                  \
		".hidden f_" #name "\n.hidden f_" #name "_end\n"                \
		"f_" #name ": " text "\nf_" #name "_end:\n.popsection\n");

#define FORMS(X) \
	X(load1, "mov (%rdi), %bl")                                             \
	X(load2, "mov (%rdi), %bx")                                             \
	X(load4, "mov (%rdi), %ebx")                                            \
	X(load8, "mov (%rdi), %rbx")                                            \
	X(load_sib, "mov -8(%rdi, %rcx, 1), %r9; mov 8(%rdi, %rcx, 8), %r10d")  \
	X(movzx, "movzwl (%rdi), %ebx; movsbq (%rdi), %rbx; movslq (%rdi), %rbx") \
	X(store1, "mov %al, (%rdi)")                                            \
	X(store2, "mov %ax, (%rdi)")                                            \
	X(store4, "mov %eax, (%rdi)")                                           \
	X(store8, "mov %rax, (%rdi)")                                           \
	X(store_imm, "movq $-1, (%rdi); movw $7, 3(%rdi)")                      \
	X(alu, "add %rax, (%rdi); sbb (%rdi), %ebx; notq (%rdi); incb (%rdi)")  \
	X(cmp, "cmpq $1, (%rdi); testl $4, (%rdi)")                             \
	X(lock_add, "lock addq $1, (%rdi); lock decw (%rdi)")                   \
	X(xchg, "xchg %rbx, (%rdi); xadd %ebx, (%rdi)")                         \
	X(cmpxchg, "lock cmpxchg %rbx, (%rdi); cmpxchg %bl, (%rdi)")            \
	X(cmpxchg8b, "lock cmpxchg8b (%rdi)")                                   \
	X(cmpxchg16b, "lock cmpxchg16b (%rdi)")                                 \
	X(shld, "shld $3, %rax, (%rdi); rclb %cl, (%rdi); shlq $5, (%rdi)")      \
	X(mul, "mulq (%rdi); imulq $3, (%rdi), %rbx")                           \
	X(bt_near, "btsl $31, (%rdi); btrw $15, (%rdi)")                        \
	X(bt_far, "mov $-1, %r8; bts %r8, (%rdi); mov $512, %r8; btc %r8, (%rdi)") \
	X(bt_huge, "movabs $0x7fffffffffffffff, %r8; lock bts %r8, (%rdi)")     \
	X(movbe, "movbe (%rdi), %rbx; movbe %rax, (%rdi)")                      \
	X(movnti, "movnti %rax, (%rdi)")                                        \
	X(crc32, "crc32q (%rdi), %rbx; popcnt (%rdi), %rbx; lzcnt (%rdi), %ebx") \
	X(setcc, "setc (%rdi); cmovc (%rdi), %rbx")                             \
	X(xlat, "lea -0x55(%rdi), %rbx; xlat")                                  \
	X(moffs_like, "mov %fs:(%rdi), %eax; mov %eax, %gs:(%rdi)")             \
	X(addr32, "mov (%edi), %ebx; mov %ebx, (%edi)")                         \
	X(push_pop, "mov %rdi, %rsp; push %rax; pop %rbx")                      \
	X(pushes, "mov %rdi, %rsp; nop; jmp 1f; 1: push %rax; push %rbx; push %rcx; pop %r8; pop %r9; pop %r10") \
	X(frame, "mov %rdi, %rsp; jmp 1f; 1: mov %rax, -8(%rsp); mov %rax, -32(%rsp); mov 16(%rsp), %rbx; movups %xmm0, 24(%rsp); sub $64, %rsp; mov %rax, (%rsp); mov (%rsp), %al") \
	X(frame_far, "mov %rdi, %rsp; jmp 1f; 1: mov %rax, -1000(%rsp); mov 1000(%rsp), %rbx; mov %rax, -1016(%rsp)") \
	X(pops, "mov %rdi, %rsp; jmp 1f; 1: pop %r8; pop %r9; popq 8(%rsp)")    \
	X(push16, "mov %rdi, %rsp; pushw %ax; pushf; popf; popw %bx")           \
	X(push_mem, "pushq (%rdi); popq (%rdi)")                                \
	X(call, "mov %rdi, %rsp; call 1f; 1: call 2f; 2: pop %rbx; pop %rbx")   \
	X(enter, "mov %rdi, %rsp; enter $64, $3; leave")                        \
	X(leave, "mov %rdi, %rbp; leave")                                       \
	X(movs, "mov %rdx, %rdi; rep movsb")                                    \
	X(movs_to, "mov %rdx, %rsi; rep movsb")                                 \
	X(movsq_over, "lea -64(%rdi), %rsi; mov $16, %ecx; rep movsq")          \
	X(movs_down, "std; mov %rdx, %rsi; rep movsq; cld")                     \
	X(stos, "rep stosb")                                                    \
	X(stosq, "rep stosq")                                                   \
	X(stos_down, "std; rep stosw; cld")                                     \
	X(scas, "repne scasb; rep lodsq; mov %rdx, %rdi; repe cmpsb")           \
	X(outs, "mov $8, %ecx; mov $0x80, %dx; rep outsl")                      \
	X(ins, "mov $8, %ecx; mov $0x80, %dx; rep insl")                        \
	X(movups, "movups (%rdi), %xmm1; movups %xmm0, (%rdi)")                 \
	X(movaps, "movaps %xmm0, (%rdi)")                                       \
	X(movaps_load, "movaps (%rdi), %xmm1")                                  \
	X(movss, "movss (%rdi), %xmm1; movss %xmm0, (%rdi); movsd %xmm0, (%rdi)") \
	X(movlps, "movlps %xmm0, (%rdi); movhps (%rdi), %xmm1; movq %xmm0, (%rdi)") \
	X(sse_alu, "addss (%rdi), %xmm1; cvtsi2sdq (%rdi), %xmm1; cvtps2pd (%rdi), %xmm1") \
	X(sse_ext, "pmovzxbq (%rdi), %xmm1; pinsrw $1, (%rdi), %xmm1; movddup (%rdi), %xmm1") \
	X(pextr, "pextrb $1, %xmm0, (%rdi); pextrq $1, %xmm0, (%rdi); extractps $1, %xmm0, (%rdi)") \
	X(pcmpistri, "pcmpistri $0, (%rdi), %xmm1; lddqu (%rdi), %xmm1")        \
	X(movnt, "movntdq %xmm0, (%rdi)")                                       \
	X(mmx, "movq %mm0, (%rdi); paddb (%rdi), %mm1; movntq %mm0, (%rdi); emms") \
	X(maskmov, "pcmpeqb %xmm0, %xmm0; maskmovdqu %xmm0, %xmm0")             \
	X(maskmovq, "pcmpeqb %mm0, %mm0; maskmovq %mm0, %mm0; emms")            \
	X(avx, "vmovups (%rdi), %ymm1; vmovups %ymm0, (%rdi)")                  \
	X(avx_part, "vbroadcastss (%rdi), %ymm1; vextractf128 $1, %ymm0, (%rdi); vinsertf128 $1, (%rdi), %ymm0, %ymm1") \
	X(avx_mask, "vpcmpeqd %ymm1, %ymm1, %ymm1; vpmaskmovd (%rdi), %ymm1, %ymm2; vpmaskmovd %ymm2, %ymm1, (%rdi)") \
	X(avx_mask_half, "vpcmpeqd %xmm1, %xmm1, %xmm1; vmaskmovps (%rdi), %ymm1, %ymm2; vmaskmovps %ymm2, %ymm1, (%rdi)") \
	X(gather, "vpcmpeqd %ymm1, %ymm1, %ymm1; vpxor %ymm2, %ymm2, %ymm2; vpgatherdd %ymm1, (%rdi, %ymm2, 4), %ymm3") \
	X(gather_far, "vpcmpeqd %ymm1, %ymm1, %ymm1; vpcmpeqd %ymm2, %ymm2, %ymm2; vpgatherdq %ymm1, (%rdi, %xmm2, 8), %ymm3") \
	X(vcvt, "vcvtps2ph $0, %ymm0, (%rdi); vcvtph2ps (%rdi), %ymm1")         \
	X(ldmxcsr, "stmxcsr (%rdi); ldmxcsr (%rdi)")                            \
	X(fld, "fldt (%rdi); fstpt (%rdi); fldl (%rdi); fstps (%rdi)")          \
	X(fild, "fildll (%rdi); fistpll (%rdi); fisttps (%rdi); fiadds (%rdi)") \
	X(fbcd, "fldz; fbstp (%rdi); fbld (%rdi)")                              \
	X(fenv, "fnstenv (%rdi); fldenv (%rdi); fnstcw (%rdi); fnstsw (%rdi)")  \
	X(fnsave, "fnsave (%rdi)")                                              \
	X(frstor, "frstor (%rdi)")                                              \
	X(fxsave, "fxsave64 (%rdi)")                                            \
	X(fxrstor, "fxrstor64 (%rdi)")                                          \
	X(xsave, "mov $7, %eax; xor %edx, %edx; xsave64 (%rdi)")                \
	X(xsavec, "mov $7, %eax; xor %edx, %edx; xsavec (%rdi)")                \
	X(xrstor, "mov $7, %eax; xor %edx, %edx; xrstor (%rdi)")                \
	X(sgdt, "sgdt (%rdi)")                                                  \
	X(lidt, "lidt (%rdi)")                                                  \
	X(smsw, "smsw (%rdi); sldt (%rdi); mov %ds, (%rdi)")                    \
	X(fs_load, "mov (%rdi), %fs; lfs (%rdi), %ebx; verr (%rdi)")            \
	X(hints, "prefetcht0 (%rdi); clflush (%rdi); nopl (%rdi); invlpg (%rdi); prefetchw (%rdi)") \
	X(lss, "lss (%rdi), %ebx")                                              \
	X(jump_ind, "jmp *(%rdi)")                                              \
	X(call_ind, "call *(%rdi)")                                             \
	X(jump_far, "ljmp *(%rdi)")                                             \
	X(jump_there, "jmp *%rdi")                                              \
	X(ret, "mov %rdi, %rsp; ret $32")                                       \
	X(retf, "mov %rdi, %rsp; lretq")                                         \
	X(iret, "mov %rdi, %rsp; iretq")                                        \
	X(int3, "mov %rdi, %rsp; int3")                                         \
	X(descriptors, "mov $0x48, %rbx; mov %rbx, -10(%rdx); mov %rdi, -8(%rdx); lgdt -10(%rdx); mov %ebx, %ds") \
	X(idt_there, "movw $0xfff, -10(%rdx); mov %rdi, -8(%rdx); lidt -10(%rdx); ud2") \
	X(cr3_there, "mov %rdi, %cr3; mov (%rsi), %al; mov %al, (%rsi)")

FORMS(FORM)

static const struct form {
	const char *name;
	const u8 *at, *end;
} forms[] = {
#define ROW(name, text) { #name, f_##name, f_##name##_end },
	FORMS(ROW)
};

/* [at + from, at + to) is looked at byte by byte */
static const struct edge {
	const char *name;
	u64 at;
} edges[] = {
	{ "address 0", 0 },
	{ "a page inside RAM", DATA_AT + 0x2000 },
	{ "the end of low RAM", LOW_BYTES },
	{ "the end of a 2 MiB page without RAM", 0x600000 },
	{ "4 GiB", HIGH_GPA },
	{ "the end of high RAM", HIGH_GPA + HIGH_BYTES },
	{ "512 GiB, a page table that is its own", 1ull << 39 },
	{ "a page table in a device", 3ull << 39 },
	{ "the end of the lower half", TOP_OF_LOWER_HALF + 1 },
	{ "the start of the upper half", 0xffff800000000000ull },
	{ "the middle of nowhere", 1ull << 63 },
	{ "4 KiB above the middle", (1ull << 63) + 0x1000 },
	{ "the end of 4 KiB above the middle", (1ull << 63) + 0x2000 },
};

static const int distances[] = {
	-4097, -1100, -1017, -1000, -832, -577, -576, -513, -512, -511, -108, -107,
	-72, -65, -64, -63, -48, -33, -32, -31, -28, -24, -17, -16, -15, -14, -12, -10, -9, -8, -7,
	-6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 32, 33, 63, 64, 65, 999, 1024,
};

static void handlers_init(struct rig *r)
{
	unsigned vec;

	memset(r->low + HANDLERS, 0xf4, 0x1000); /* hlt */
	memset(r->low + IDT_AT, 0, 0x1000);
	for (vec = 0; vec < 256; vec++)
		gate(r, 16, vec, SEL_CODE64, HANDLERS + vec * 16, 0x8e, 1);
	put32(r, TSS_AT + 0x24, STACK_TOP); /* IST1 */
}

static void regs(struct sc_vcpu *v, u64 at)
{
	bool in_ram = at < LOW_BYTES || (at >= HIGH_GPA && at < HIGH_GPA + HIGH_BYTES);

	cpu_init(v, M_LONG, CODE_AT);
	v->gpr[X86_RDI] = v->gpr[X86_RSI] = at;
	v->gpr[X86_RAX] = v->gpr[X86_RBP] = 0x5555555555555555ull;
	v->gpr[X86_RCX] = 64;
	v->gpr[X86_RDX] = DATA_AT;
	/* The page that the warm variant touches first */
	v->gpr[X86_RBX] = in_ram ? at : DATA_AT;
}

static void run(struct rig *r, const char *form, const char *edge, int distance, bool step)
{
	struct sc_vcpu *v = r->v[0];
	struct accel_exit_info info;
	unsigned n = 0;

	assert_int_equal(sc_accel_ops.debug_set(&v->base, NULL, 0, step), 0);
	do {
		assert_int_equal(sc_accel_ops.vcpu_run(&v->base, &info), 0);
	} while (info.exit == ACCEL_EXIT_DEBUG && n++ < 100);
	if (wild)
		fail_msg("%s at %s %+d, %s: host address RAM%+lld touched (pc %#llx)", form, edge, distance,
			 step ? "interpreted" : "translated", (long long)(wild_addr - (u64)r->low),
			 (unsigned long long)wild_pc);
	if (info.exit != ACCEL_EXIT_HLT && info.exit != ACCEL_EXIT_SHUTDOWN &&
	    info.exit != ACCEL_EXIT_KICKED && info.exit != ACCEL_EXIT_DEBUG)
		fail_msg("%s at %s %+d: exit %u %s", form, edge, distance, info.exit, info.text);
}

static struct sc_vcpu *_Atomic kicked;
static void on_alarm(int sig)
{
	struct sc_vcpu *v = atomic_load(&kicked);

	if (v)
		sc_accel_ops.vcpu_kick(&v->base);
}

/* A guest that found code to run must come back some time */
static void kicks_start(struct sc_vcpu *v, unsigned us)
{
	struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	struct itimerval it = { { 0, us }, { 0, us } };

	atomic_store(&kicked, v);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
}

static void kicks_stop(void)
{
	struct itimerval it = { { 0, 0 }, { 0, 0 } };

	setitimer(ITIMER_REAL, &it, NULL);
	signal(SIGALRM, SIG_IGN);
	atomic_store(&kicked, NULL);
}

static void try_form(struct rig *r, const struct form *f)
{
	/* mov (%rbx), %al; lock orb $0, (%rbx): both TLB tags of the page; rbx and al again */
	static const u8 warm[] = { 0x44, 0x8a, 0x03, 0xf0, 0x80, 0x0b, 0x00, 0x31, 0xdb };
	unsigned w, e, d, s;

	for (w = 0; w < 2; w++) {
		u8 *p = r->low + CODE_AT;

		memset(p, 0x90, 64);
		if (w)
			memcpy(p, warm, sizeof(warm));
		memcpy(p + sizeof(warm), f->at, f->end - f->at);
		p[sizeof(warm) + (f->end - f->at)] = 0xf4;
		sc_accel_ops.ram_written(r->vm, CODE_AT, 0x1000);
		for (e = 0; e < ARRAY_LEN(edges); e++) {
			for (d = 0; d < ARRAY_LEN(distances); d++) {
				u64 at = edges[e].at + distances[d];

				for (s = 0; s < 2; s++) {
					handlers_init(r);
					tables_init(r);
					gdt_init(r);
					regs(r->v[0], at);
					run(r, f->name, edges[e].name, distances[d], s);
				}
			}
		}
	}
}

static void no_access_of_any_instruction_leaves_ram(void **state)
{
	struct rig r;

	rig_open(&r, 1);
	r.quiet = true;
	kicks_start(r.v[0], 2000);
	for (unsigned i = 0; i < ARRAY_LEN(forms); i++)
		try_form(&r, &forms[i]);
	kicks_stop();
	rig_close(&r);
}

int main(void)
{
#ifdef HK_TSAN
	puts("tsan: one thread only");
	return 77;
#endif
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_access_of_any_instruction_leaves_ram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
