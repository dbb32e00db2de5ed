// SPDX-License-Identifier: BSD-2-Clause
/* fuzz/isa_diff.c - isa_diff: random programs on the host CPU and on the software CPU, for ever
 *
 *   isa_diff [--seconds N] [--instructions N] [--seed N] [--jobs N] [--engine interp|translate]
 *            [--out FOLDER] [--failures N] [--coverage] [--one SEED [--verbose]]
 *
 * Each job is a process with an arena of its own (test/isa). A program that ends differently is
 * made small and written to FOLDER as a case for test/isa/cases; so is one that kills its
 * job. Ends after N seconds, instructions, or failures, whichever comes first (60 seconds
 * unless told). Status: 0 no difference, 1 some, 2 wrong use. */
#include <Zydis/Zydis.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "accel/soft/decode/decode.h"
#include "isa/program.h"

#define NUM_MNEMONICS (ZYDIS_MNEMONIC_MAX_VALUE + 1)
#define MAX_JOBS 64

enum exposure { NOT_EXPOSED, COMPARED, NOT_COMPARED };

/* What a job tells its parent */
struct job {
	u64 programs, instructions, interpreted, blocks, timeouts, endings[32];
	u64 seed;		/* of the program that runs */
	u64 next;		/* where another process would go on */
	u32 failures;
	u64 hits[NUM_MNEMONICS];
};

static struct shared {
	volatile bool stop;
	u8 exposed[NUM_MNEMONICS];	/* enum exposure */
	u8 family[NUM_MNEMONICS];	/* ZYDIS_ISA_EXT_* */
	struct job job[MAX_JOBS];
} *sh;

static const struct isa_engine *only;
static const char *out_dir = "isa-failures";
static u64 seed = 1;
static unsigned jobs = 1, max_failures = 20;
static u64 max_seconds = 60, max_instructions = ~0ull;
static bool show_coverage, verbose;
static struct isa_program prog;
static struct isa_result want, ref, got, want2, got2;

static u64 mix(u64 a, u64 b)
{
	struct isa_rng r = { a * 0x9e3779b97f4a7c15ull + b };

	return isa_rand(&r);
}

/* ------------------------------------------------------------ coverage */

/* Those whose result is this machine's, or that do nothing but fault in a process */
static bool comparable(const struct sc_insn *in)
{
	switch (in->cls) {
	case SC_C_RDTSC:
	case SC_C_CPUID:
	case SC_C_RDRAND:
	case SC_C_XGETBV:
	case SC_C_XSETBV:
	case SC_C_DTABLE:
	case SC_C_LDTR:
	case SC_C_SMSW:
	case SC_C_LMSW:
	case SC_C_HYPERCALL:
	case SC_C_SYSCALL:
	case SC_C_INT:
	case SC_C_IN:
	case SC_C_OUT:
	case SC_C_INS:
	case SC_C_OUTS:
	case SC_C_STI:
	case SC_C_CLI:
	case SC_C_HLT:
	case SC_C_WBINVD:
	case SC_C_INVLPG:
	case SC_C_CLTS:
	case SC_C_MOV_CR:
	case SC_C_MOV_DR:
	case SC_C_RDMSR:
	case SC_C_WRMSR:
	case SC_C_SWAPGS: return false;
	default: return true;
	}
}

static u8 family_of(const u8 *b, unsigned bits)
{
	ZydisDecoder d;
	ZydisDecodedInstruction zi;

	ZydisDecoderInit(&d, bits == 8 ? ZYDIS_MACHINE_MODE_LONG_64 : ZYDIS_MACHINE_MODE_LEGACY_32,
			 bits == 8 ? ZYDIS_STACK_WIDTH_64 : ZYDIS_STACK_WIDTH_32);
	return ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&d, NULL, b, 15, &zi)) ? (u8)zi.meta.isa_ext : 0;
}

static void expose(const u8 *b, unsigned bits)
{
	struct sc_insn in;

	if (sc_decode(NULL, bits, b, 15, &in) != SC_DEC_OK || !isa_exposed(&in))
		return;
	sh->family[in.mnemonic] = family_of(b, bits);
	if (comparable(&in))
		sh->exposed[in.mnemonic] = COMPARED;
	else if (!sh->exposed[in.mnemonic])
		sh->exposed[in.mnemonic] = NOT_COMPARED;
}

/* Every point of the opcode space: what is there for a guest? */
static void find_exposed(void)
{
	static const u8 prefix[] = { 0, 0x66, 0xf3, 0xf2 };
	u8 b[15] = { 0 };

	for (unsigned i = 0; i < 2 * 4 * 4 * 256; i++) {
		unsigned bits = i & 1 ? 4 : 8, map = i >> 1 & 3, pp = i >> 3 & 3, op = i >> 5;

		for (unsigned modrm = 0; modrm < 256; modrm += modrm < 0xc0 ? 8 : 1) {
			unsigned n = 0;

			for (unsigned w = 0; w < 2 && (!w || bits == 8); w++) {
				n = 0;
				if (pp)
					b[n++] = prefix[pp];
				if (w)
					b[n++] = 0x48;
				if (map)
					b[n++] = 0x0f;
				if (map > 1)
					b[n++] = map == 2 ? 0x38 : 0x3a;
				b[n] = (u8)op;
				b[n + 1] = (u8)modrm;
				expose(b, bits);
			}
			for (unsigned v = 0; map && v < 8; v++) {
				b[0] = 0xc4;
				b[1] = 0xe0 | (u8)map;
				b[2] = (u8)((v & 1) << 7 | (v & 4 ? 0x78 : 0x70) | (v & 2) << 1 | pp);
				b[3] = (u8)op;
				b[4] = (u8)modrm;
				expose(b, bits);
			}
		}
	}
}

static void note_coverage(struct job *j, const struct isa_result *r)
{
	for (unsigned i = 0; i < prog.n; i++)
		if (r->seen[prog.offset[i] / 64] >> (prog.offset[i] % 64) & 1)
			j->hits[prog.item[i].mnemonic]++;
}

static void print_coverage(void)
{
	static u64 sum[NUM_MNEMONICS];
	unsigned all = 0, hit = 0;

	for (unsigned i = 0; i < jobs; i++)
		for (unsigned m = 0; m < NUM_MNEMONICS; m++)
			sum[m] += sh->job[i].hits[m];
	for (unsigned f = 0; f <= ZYDIS_ISA_EXT_MAX_VALUE; f++) {
		unsigned n = 0, have = 0;
		u64 count = 0;

		for (unsigned m = 1; m < NUM_MNEMONICS; m++) {
			if (sh->exposed[m] != COMPARED || sh->family[m] != f)
				continue;
			n++;
			have += sum[m] > 0;
			count += sum[m];
		}
		if (!n)
			continue;
		all += n;
		hit += have;
		printf("  %-12s %3u of %3u mnemonics, seen %llu times%s", ZydisISAExtGetString(f), have, n,
		       (unsigned long long)count, have < n ? ", never:" : "");
		for (unsigned m = 1; m < NUM_MNEMONICS; m++)
			if (sh->exposed[m] == COMPARED && sh->family[m] == f && !sum[m])
				printf(" %s", ZydisMnemonicGetString(m));
		printf("\n");
	}
	printf("  together     %u of %u\n  not compared (privileged, or this machine's own):", hit, all);
	for (unsigned m = 1; m < NUM_MNEMONICS; m++)
		if (sh->exposed[m] == NOT_COMPARED)
			printf(" %s", ZydisMnemonicGetString(m));
	printf("\n");
}

/* ---------------------------------------------------------------- a job */

static void failure(struct job *j, const struct isa_engine *e, u64 s)
{
	static struct isa_program small;
	char path[300], note[200];

	if (verbose)
		isa_compare(&prog.c, e->name, &want, e == &isa_interp ? &ref : &got, stderr);
	small = prog;
	isa_shrink(&small, e, 6000);
	isa_run(&isa_native, &small.c, &want2);
	isa_run(e, &small.c, &got2);
	if (!isa_compare(&small.c, e->name, &want2, &got2, stderr)) {
		/* It needs what ran before it */
		isa_compare(&prog.c, e->name, &want, e == &isa_interp ? &ref : &got, stderr);
		fprintf(stderr, "  %s differed once and does not again: seed %#llx\n", e->name,
			(unsigned long long)s);
	}
	snprintf(path, sizeof(path), "%s/%s-%016llx.txt", out_dir, e->name, (unsigned long long)s);
	snprintf(note, sizeof(note), "%s differs from the host; isa_diff --one %#llx", e->name,
		 (unsigned long long)s);
	if (isa_case_save(&small.c, path, note))
		fprintf(stderr, "  %s: %s\n", path, strerror(errno));
	else
		fprintf(stderr, "  written to %s\n\n", path);
	j->failures++;
}

static void one(struct job *j, u64 s)
{
	j->seed = s;
	isa_program_make(&prog, s);
	if (verbose) {
		fprintf(stderr, "seed %#llx\n", (unsigned long long)s);
		isa_print_code(&prog.c, stderr);
	}
	isa_run(&isa_native, &prog.c, &want);
	j->programs++;
	if (want.gave_up) {
		j->timeouts++;
		fprintf(stderr, "  no end: seed %#llx\n", (unsigned long long)s);
		return;
	}
	j->endings[want.vector < 0 ? 31 : want.vector & 31]++;
	/* The interpreter counts, whoever is judged */
	isa_run(&isa_interp, &prog.c, &ref);
	j->instructions += ref.steps;
	note_coverage(j, &ref);
	if (only != &isa_translate && isa_compare(&prog.c, "interp", &want, &ref, NULL)) {
		failure(j, &isa_interp, s);
		return;
	}
	if (only == &isa_interp)
		return;
	/* Some again with the translations that are there */
	for (unsigned k = 0; k < (j->programs % 8 ? 1 : 3); k++) {
		isa_run(&isa_translate, &prog.c, &got);
		if (isa_compare(&prog.c, "translate", &want, &got, NULL)) {
			failure(j, &isa_translate, s);
			break;
		}
	}
	isa_translate_stats(&j->interpreted, &j->blocks);
}

static void run_job(unsigned k)
{
	struct job *j = &sh->job[k];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	isa_start();
	if (!k && !j->next && show_coverage)
		find_exposed();
	while (!sh->stop) {
		u64 i = j->next++;

		one(j, mix(seed, i * MAX_JOBS + k));
	}
	isa_stop();
	exit(0);
}

/* -------------------------------------------------------------- parent */

static pid_t start_job(unsigned k)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		perror("fork");
		exit(2);
	}
	if (!pid)
		run_job(k);
	return pid;
}

static u64 total(size_t off)
{
	u64 sum = 0;

	for (unsigned i = 0; i < jobs; i++)
		sum += *(u64 *)((u8 *)&sh->job[i] + off);
	return sum;
}
#define TOTAL(field) ((unsigned long long)total(offsetof(struct job, field)))

static unsigned failures(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < jobs; i++)
		n += sh->job[i].failures;
	return n;
}

/* A job died: that is a difference too. Another one goes on behind it. */
static void crashed(unsigned k, int status)
{
	u64 s = sh->job[k].seed;

	fprintf(stderr, "  job %u died (status %#x) at seed %#llx\n", k, status, (unsigned long long)s);
	sh->job[k].failures++;
}

static u64 now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000 + (u64)ts.tv_nsec / 1000000;
}

static void supervise(void)
{
	pid_t pid[MAX_JOBS];
	unsigned running = jobs;
	u64 start = now(), told = start;

	for (unsigned i = 0; i < jobs; i++)
		pid[i] = start_job(i);
	while (running) {
		int status;
		pid_t who = waitpid(-1, &status, WNOHANG);

		if (now() - start >= max_seconds * 1000 || TOTAL(instructions) >= max_instructions ||
		    failures() >= max_failures)
			sh->stop = true;
		if (who <= 0) {
			if (now() - told >= 60000) { /* long runs show that they live */
				told = now();
				fprintf(stderr, "  %llu instructions, %u differences\n", TOTAL(instructions),
					failures());
			}
			usleep(50000);
			continue;
		}
		for (unsigned i = 0; i < jobs; i++) {
			if (pid[i] != who)
				continue;
			running--;
			if (status) {
				crashed(i, status);
				if (!sh->stop && failures() < max_failures) {
					pid[i] = start_job(i);
					running++;
				}
			}
		}
	}
}

static void print_sum(void)
{
	static const char *const name[32] = { "#DE", "#DB", "", "#BP", "#OF", "#BR", "#UD", "#NM",
					      "", "", "", "#NP", "#SS", "#GP", "#PF", "", "#MF", "#AC",
					      "", "#XM", [31] = "end" };

	printf("%llu instructions in %llu programs compared, %u differences, %llu without end\n",
	       TOTAL(instructions), TOTAL(programs), failures(), TOTAL(timeouts));
	if (only != &isa_interp)
		printf("translator: %llu blocks, %llu instructions left to the interpreter\n",
		       TOTAL(blocks), TOTAL(interpreted));
	printf("ended by:");
	for (unsigned i = 0; i < 32; i++)
		if (total(offsetof(struct job, endings) + 8 * i))
			printf(" %s %llu", name[i] ? name[i] : "?",
			       (unsigned long long)total(offsetof(struct job, endings) + 8 * i));
	printf("\n");
	if (show_coverage)
		print_coverage();
}

static int usage(void)
{
	fprintf(stderr, "usage: isa_diff [--seconds N] [--instructions N] [--seed N] [--jobs N]\n"
			"                [--engine interp|translate] [--out FOLDER] [--failures N]\n"
			"                [--coverage] [--one SEED [--verbose]]\n");
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seconds", 1, NULL, 't' }, { "instructions", 1, NULL, 'n' }, { "seed", 1, NULL, 's' },
		{ "jobs", 1, NULL, 'j' }, { "engine", 1, NULL, 'e' }, { "out", 1, NULL, 'o' },
		{ "failures", 1, NULL, 'f' }, { "coverage", 0, NULL, 'c' }, { "one", 1, NULL, '1' },
		{ "verbose", 0, NULL, 'v' }, { 0 }
	};
	u64 single = 0;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 't': max_seconds = strtoull(optarg, NULL, 0); break;
		case 'n':
			max_instructions = strtoull(optarg, NULL, 0);
			max_seconds = 1u << 30;
			break;
		case 's': seed = strtoull(optarg, NULL, 0); break;
		case 'j': jobs = (unsigned)strtoul(optarg, NULL, 0); break;
		case 'o': out_dir = optarg; break;
		case 'f': max_failures = (unsigned)strtoul(optarg, NULL, 0); break;
		case 'c': show_coverage = true; break;
		case '1': single = strtoull(optarg, NULL, 0); break;
		case 'v': verbose = true; break;
		case 'e':
			only = !strcmp(optarg, "interp") ? &isa_interp :
			       !strcmp(optarg, "translate") ? &isa_translate : NULL;
			if (only)
				break;
			return usage();
		default: return usage();
		}
	}
	if (!jobs || jobs > MAX_JOBS || optind < argc)
		return usage();
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (sh == MAP_FAILED) {
		perror("mmap");
		return 2;
	}
	mkdir(out_dir, 0777);
	if (single) {
		isa_start();
		one(&sh->job[0], single);
		isa_stop();
	} else {
		supervise();
	}
	print_sum();
	rmdir(out_dir); /* when nothing is in it */
	return failures() != 0;
}
