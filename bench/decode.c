// SPDX-License-Identifier: BSD-2-Clause
/* bench/decode.c - Nanoseconds an instruction, with and without the fast decoder
 *
 *	make bench-decode [CODE="file..."]
 *
 * Decodes all executable sections of the files once in a row, as a translator meets new code:
 * branch predictors and caches of the host see each instruction once a round. */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "accel/soft/decode/fast.h"

#define ROUNDS 7
#define MAX_BYTES (8u << 20)

static u8 *code;
static size_t code_len;
static u32 *starts, num;

static void load(const char *path)
{
	FILE *f = fopen(path, "rb");
	Elf64_Ehdr eh;
	Elf64_Shdr sh;

	if (!f || fread(&eh, sizeof(eh), 1, f) != 1 || memcmp(eh.e_ident, ELFMAG, SELFMAG)) {
		fprintf(stderr, "%s: not an ELF file\n", path);
		exit(1);
	}
	for (unsigned i = 0; i < eh.e_shnum; i++) {
		fseek(f, (long)(eh.e_shoff + i * eh.e_shentsize), SEEK_SET);
		if (fread(&sh, sizeof(sh), 1, f) != 1)
			break;
		if (sh.sh_type != SHT_PROGBITS || !(sh.sh_flags & SHF_EXECINSTR))
			continue;
		fseek(f, (long)sh.sh_offset, SEEK_SET);
		code_len += fread(code + code_len, 1, MIN(sh.sh_size, MAX_BYTES - code_len), f);
	}
	fclose(f);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

typedef enum sc_decode_result decode_fn(struct sc_vcpu *v, unsigned code, const u8 *buf, unsigned len,
					struct sc_insn *in);

/* Best of the rounds, ns an instruction */
static double measure(decode_fn *fn)
{
	struct sc_insn block[32];
	double best = 1e18, t;
	u64 sum = 0;

	for (unsigned r = 0; r < ROUNDS; r++) {
		t = now();
		for (u32 i = 0; i < num; i++) {
			fn(NULL, 8, code + starts[i], 15, &block[i & 31]);
			sum += block[i & 31].len;
		}
		t = (now() - t) / num;
		best = MIN(best, t);
	}
	return sum ? best : 0;
}

int main(int argc, char **argv)
{
	u64 done = 0;

	code = calloc(1, MAX_BYTES + 16);
	starts = calloc(MAX_BYTES, sizeof(*starts));
	for (int i = 1; i < argc; i++)
		load(argv[i]);
	for (size_t at = 0; at + 15 < code_len;) {
		struct sc_insn in, fast;

		if (sc_decode_zydis(NULL, 8, code + at, 15, &in) != SC_DEC_OK) {
			at++;
			continue;
		}
		done += sc_decode_fast(code + at, 15, &fast);
		starts[num++] = (u32)at;
		at += in.len;
	}
	if (!num)
		return 1;
	printf("%u instructions, %.2f %% by the fast decoder\n", num, 100.0 * (double)done / num);
	printf("Zydis alone %6.1f ns an instruction\n", measure(sc_decode_zydis));
	printf("sc_decode   %6.1f ns an instruction\n", measure(sc_decode));
	return 0;
}
