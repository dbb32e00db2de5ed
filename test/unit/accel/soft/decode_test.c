// SPDX-License-Identifier: BSD-2-Clause
/* The fast decoder against Zydis: whatever it answers, Zydis must answer the same */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accel/soft/decode/fast.h"
#include "accel/soft/soft.h"

struct tally {
	u64 good, fast, wrong; /* by Zydis, by both, by the fast one alone or otherwise */
};

static void say(const char *who, const struct sc_insn *in)
{
	fprintf(stderr, "  %s: len %u mnemonic %u class %u.%u feature %u opsize %u addrsize %u flags %x\n", who,
		in->len, in->mnemonic, in->cls, in->sub, in->feature, in->opsize, in->addrsize, in->flags);
	fprintf(stderr, "    mem %u+%u<<%u%+lld seg %u size %u op %u; imm %llx %x; ext %u set %u\n", in->base,
		in->index, in->scale, (long long)in->disp, in->seg, in->mem_size, in->mem_op,
		(unsigned long long)in->imm, in->imm2, in->isa_ext, in->isa_set);
	fprintf(stderr, "    enc %u map %u op %02x modrm %02x rex %02x off %u %u %u+%u %u+%u %u vl %u\n",
		in->encoding, in->map, in->opcode, in->modrm, in->rex, in->off_modrm, in->off_sib, in->off_disp,
		in->disp_len, in->off_imm, in->imm_len, in->off_opcode, in->vec_len);
	fprintf(stderr, "    flags %x %x %x gpr %x %x ops", in->fl_read, in->fl_written, in->fl_killed,
		in->gpr_read, in->gpr_written);
	for (unsigned i = 0; i < in->nops; i++)
		fprintf(stderr, " %u:%u:%u:%u", in->op[i].kind, in->op[i].reg, in->op[i].size, in->op[i].act);
	fprintf(stderr, "\n");
}

/* Return: length to go on with */
static unsigned both(struct tally *t, const u8 *b, unsigned len)
{
	struct sc_insn fast, zydis;
	enum sc_decode_result rc;

	memset(&fast, 0xaa, sizeof(fast));
	memset(&zydis, 0x55, sizeof(zydis));
	rc = sc_decode_zydis(NULL, 8, b, len, &zydis);
	t->good += rc == SC_DEC_OK;
	if (!sc_decode_fast(b, len, &fast))
		return rc == SC_DEC_OK ? zydis.len : 1;
	t->fast++;
	/* bytes behind the instruction are whatever was there */
	memset(fast.raw + MIN(fast.len, 15), 0, 15 - MIN(fast.len, 15));
	if (rc == SC_DEC_OK && !memcmp(&fast, &zydis, sizeof(fast)))
		return zydis.len;
	if (t->wrong++ < 20) {
		for (unsigned i = 0; i < fast.len; i++)
			fprintf(stderr, "%02x ", b[i]);
		fprintf(stderr, "Zydis says %d\n", rc);
		say("fast", &fast);
		if (rc == SC_DEC_OK)
			say("zydis", &zydis);
	}
	return rc == SC_DEC_OK ? zydis.len : 1;
}

static u64 rng_state;
static u64 rng(void)
{
	u64 z = rng_state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* What follows an opcode: SIB, displacement, immediate */
static void tail(u8 *b, unsigned n)
{
	while (n < 15)
		b[n++] = (u8)rng();
}

/* Legacy prefixes that matter, alone and in pairs */
static const char *const prefix_sets[] = {
	"", "\x66", "\xf2", "\xf3", "\xf0", "\x67", "\x64", "\x65", "\x2e", "\x66\xf2", "\x66\xf3", "\xf3\x66",
	"\x66\x66", "\x2e\x66", "\x66\x67", "\x64\x66", "\x65\x67", "\xf0\x66", "\xf0\xf2", "\xf0\xf3", "\xf2\xf3",
	"\xf2\xf2", "\x64\x2e", "\x3e\x65", "\x64\x65", "\x26\x36", "\x40\x66", "\x48\xf3",
};

static void every_opcode_and_modrm_is_decoded_alike(void **state)
{
	static const u8 escape[4][3] = { { 0 }, { 0x0f }, { 0x0f, 0x38 }, { 0x0f, 0x3a } };
	static const u8 rexes[] = { 0, 0x40, 0x41, 0x46, 0x4c, 0x4f };
	struct tally t = { 0 };
	u8 b[16];

	rng_state = 1;
	for (unsigned map = 0; map < 4; map++)
		for (unsigned p = 0; p < (map < 2 ? ARRAY_LEN(prefix_sets) : 9); p++)
			for (unsigned r = 0; r < (p < 4 ? ARRAY_LEN(rexes) : 2); r++)
				for (unsigned op = 0; op < 256; op++)
					for (unsigned m = 0; m < 256; m++) {
						unsigned n = strlen(prefix_sets[p]);

						memcpy(b, prefix_sets[p], n);
						if (rexes[r])
							b[n++] = rexes[r];
						memcpy(b + n, escape[map], map < 2 ? map : 2);
						n += map < 2 ? map : 2;
						b[n++] = (u8)op;
						b[n++] = (u8)m;
						tail(b, n);
						both(&t, b, 15);
					}
	assert_int_equal(t.wrong, 0);
	assert_true(t.fast > t.good / 3);
}

static void every_vex_form_is_decoded_alike(void **state)
{
	static const u8 modrms[] = { 0x00, 0x05, 0x04, 0x44, 0x84, 0x4d, 0x9a, 0x1c, 0xc0, 0xc9, 0xd2, 0xdb, 0xe4,
				     0xed, 0xf6, 0xff, 0x10, 0x18, 0x20, 0x28, 0x30, 0x38 };
	struct tally t = { 0 };
	u8 b[16];

	rng_state = 2;
	for (unsigned b1 = 0; b1 < 256; b1++)
		for (unsigned b2 = 0; b2 < 256; b2++)
			for (unsigned op = 0; op < 256; op++) {
				if ((b1 & 31) > 4)
					break;
				for (unsigned k = 0; k < 2; k++) {
					b[0] = 0xc4;
					b[1] = (u8)b1;
					b[2] = (u8)b2;
					b[3] = (u8)op;
					b[4] = modrms[rng() % ARRAY_LEN(modrms)];
					tail(b, 5);
					both(&t, b, 15);
				}
			}
	for (unsigned b1 = 0; b1 < 256; b1++)
		for (unsigned op = 0; op < 256; op++)
			for (unsigned m = 0; m < ARRAY_LEN(modrms); m++) {
				b[0] = 0xc5;
				b[1] = (u8)b1;
				b[2] = (u8)op;
				b[3] = modrms[m];
				tail(b, 4);
				both(&t, b, 15);
			}
	assert_int_equal(t.wrong, 0);
	assert_true(t.fast > t.good / 2);
}

static void random_bytes_are_decoded_alike(void **state)
{
	static const u8 likely_bytes[] = { 0x66, 0xf2, 0xf3, 0xf0, 0x67, 0x64, 0x65, 0x2e, 0x48, 0x41, 0x4c, 0x0f,
					   0xc4, 0xc5, 0x38, 0x3a, 0x62 };
	struct tally t = { 0 };
	u8 b[16];

	rng_state = 3;
	for (unsigned i = 0; i < 2000000; i++) {
		tail(b, 0);
		/* every other one starts with something that leads far into the tables */
		for (unsigned k = 0; i & 1 && k < 3; k++)
			if (rng() & 1)
				b[k] = likely_bytes[rng() % ARRAY_LEN(likely_bytes)];
		both(&t, b, 15);
	}
	assert_int_equal(t.wrong, 0);
	assert_true(t.fast > t.good / 2);
}

static void cut_instructions_are_told_alike(void **state)
{
	struct tally t = { 0 };
	u8 b[16];

	rng_state = 4;
	for (unsigned i = 0; i < 60000; i++) {
		tail(b, 0);
		if (i & 1)
			b[0] = 0x48;
		for (unsigned len = 0; len <= 15; len++) {
			/* exactly @len bytes are readable, so that a sanitizer sees one too many */
			u8 *exact = malloc(len + !len);

			memcpy(exact, b, len);
			both(&t, exact, len);
			free(exact);
		}
	}
	assert_int_equal(t.wrong, 0);
}

/* .text of a program on this host. Return: instructions that the fast decoder did, in 1000 */
static unsigned real_code(const char *path)
{
	struct tally t = { 0 };
	FILE *f = fopen(path, "rb");
	Elf64_Ehdr eh;
	Elf64_Shdr sh;

	if (!f || fread(&eh, sizeof(eh), 1, f) != 1 || memcmp(eh.e_ident, ELFMAG, SELFMAG)) {
		if (f)
			fclose(f);
		return 1000;
	}
	for (unsigned i = 0; i < eh.e_shnum; i++) {
		u8 *code;
		u64 at = 0, n;

		fseek(f, (long)(eh.e_shoff + i * eh.e_shentsize), SEEK_SET);
		if (fread(&sh, sizeof(sh), 1, f) != 1)
			break;
		if (sh.sh_type != SHT_PROGBITS || !(sh.sh_flags & SHF_EXECINSTR))
			continue;
		n = MIN(sh.sh_size, 1u << 20);
		code = malloc(n);
		fseek(f, (long)sh.sh_offset, SEEK_SET);
		n = fread(code, 1, n, f);
		while (at < n)
			at += both(&t, code + at, (unsigned)MIN(n - at, 15));
		free(code);
	}
	fclose(f);
	assert_int_equal(t.wrong, 0);
	return t.good ? t.fast * 1000 / t.good : 1000;
}

static void real_programs_are_decoded_alike_and_fast(void **state)
{
	static const char *const paths[] = {
		"/lib/x86_64-linux-gnu/libc.so.6", "/bin/bash", "/lib/x86_64-linux-gnu/libm.so.6",
		"/usr/lib/x86_64-linux-gnu/libcrypto.so.3", "/proc/self/exe",
	};

	for (unsigned i = 0; i < ARRAY_LEN(paths); i++)
		assert_true(real_code(paths[i]) > 850 /* libm has much x87 */);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_programs_are_decoded_alike_and_fast),
		cmocka_unit_test(every_opcode_and_modrm_is_decoded_alike),
		cmocka_unit_test(every_vex_form_is_decoded_alike),
		cmocka_unit_test(random_bytes_are_decoded_alike),
		cmocka_unit_test(cut_instructions_are_told_alike),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
