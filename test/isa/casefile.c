// SPDX-License-Identifier: BSD-2-Clause
/* test/isa/casefile.c - A case as text: what a failure leaves behind, what replay_test.c runs
 *
 *	# anything
 *	bits 8			code size in bytes
 *	start 0x400		where it begins in the code pages
 *	len 0x410		where it ends: there the harness puts a jump to the exit
 *	rax 0x12		likewise all registers, rflags, fs_base, gs_base; others are 0
 *	xsave 0x0 7f03...	bytes of the XSAVE image, data, stack, code; the others are 0
 *				(of code 0xcc)
 *	code 0x400 4889c8	# mov rax, rcx */
#include <Zydis/Zydis.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"

static const char *const reg_name[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					  "r8",	 "r9",	"r10", "r11", "r12", "r13", "r14", "r15" };

static void put_bytes(FILE *f, const char *what, const u8 *p, unsigned len, u8 usual)
{
	for (unsigned at = 0; at < len; at += 16) {
		unsigned i;

		for (i = 0; i < 16 && p[at + i] == usual; i++)
			;
		if (i == 16)
			continue;
		fprintf(f, "%s %#x ", what, at);
		for (i = 0; i < 16; i++)
			fprintf(f, "%02x", p[at + i]);
		fprintf(f, "\n");
	}
}

static void put_code(FILE *f, const struct isa_case *c)
{
	ZydisDisassembledInstruction d;
	ZydisMachineMode mode = c->bits == 8 ? ZYDIS_MACHINE_MODE_LONG_64
					     : ZYDIS_MACHINE_MODE_LEGACY_32;
	u8 rest[ISA_CODE_LEN];

	memcpy(rest, c->code, sizeof(rest));
	for (unsigned at = c->start, n; at < c->len; at += n) {
		bool good = ZYAN_SUCCESS(ZydisDisassembleIntel(mode, ISA_CODE + at, c->code + at,
							       c->len - at, &d));

		n = good ? d.info.length : 1;
		fprintf(f, "code %#x ", at);
		for (unsigned i = 0; i < n; i++)
			fprintf(f, "%02x", c->code[at + i]);
		fprintf(f, "%s%s\n", good ? " # " : "", good ? d.text : "");
		memset(rest + at, 0xcc, n);
	}
	put_bytes(f, "code", rest, sizeof(rest), 0xcc);
}

int isa_case_save(const struct isa_case *c, const char *path, const char *note)
{
	FILE *f = fopen(path, "w");

	if (!f)
		return -1;
	fprintf(f, "# %s\nbits %u\nstart %#x\nlen %#x\n", note, c->bits, c->start, c->len);
	for (unsigned i = 0; i < 16; i++)
		if (c->in.gpr[i])
			fprintf(f, "%s %#llx\n", reg_name[i], (unsigned long long)c->in.gpr[i]);
	fprintf(f, "rflags %#llx\n", (unsigned long long)c->in.rflags);
	if (c->in.fs_base)
		fprintf(f, "fs_base %#llx\n", (unsigned long long)c->in.fs_base);
	if (c->in.gs_base)
		fprintf(f, "gs_base %#llx\n", (unsigned long long)c->in.gs_base);
	put_code(f, c);
	put_bytes(f, "xsave", c->in.xsave, ISA_XSAVE_LEN, 0);
	put_bytes(f, "data", c->data, ISA_DATA_LEN, 0);
	put_bytes(f, "stack", c->stack, ISA_STACK_LEN, 0);
	return fclose(f) ? -1 : 0;
}

static bool get_bytes(u8 *to, unsigned size, unsigned long at, const char *hex)
{
	char two[3] = { 0 }, *end;

	for (; hex[0] && hex[1]; hex += 2, at++) {
		two[0] = hex[0];
		two[1] = hex[1];
		if (at >= size)
			return false;
		to[at] = (u8)strtoul(two, &end, 16);
		if (*end)
			return false;
	}
	return !*hex;
}

static bool get_line(struct isa_case *c, const char *word, const char *arg, const char *hex)
{
	u64 x = strtoull(arg, NULL, 0);

	if (*hex) {
		if (!strcmp(word, "code"))
			return get_bytes(c->code, sizeof(c->code), x, hex);
		if (!strcmp(word, "data"))
			return get_bytes(c->data, sizeof(c->data), x, hex);
		if (!strcmp(word, "stack"))
			return get_bytes(c->stack, sizeof(c->stack), x, hex);
		return !strcmp(word, "xsave") && get_bytes(c->in.xsave, ISA_XSAVE_LEN, x, hex);
	}
	for (unsigned i = 0; i < 16; i++) {
		if (!strcmp(word, reg_name[i])) {
			c->in.gpr[i] = x;
			return true;
		}
	}
	if (!strcmp(word, "bits"))
		c->bits = (unsigned)x;
	else if (!strcmp(word, "start"))
		c->start = (unsigned)x;
	else if (!strcmp(word, "len"))
		c->len = (unsigned)x;
	else if (!strcmp(word, "rflags"))
		c->in.rflags = x;
	else if (!strcmp(word, "fs_base"))
		c->in.fs_base = x;
	else if (!strcmp(word, "gs_base"))
		c->in.gs_base = x;
	else
		return false;
	return true;
}

int isa_case_load(struct isa_case *c, const char *path)
{
	FILE *f = fopen(path, "r");
	char line[512], word[16], arg[32], hex[128];
	int rc = 0;

	if (!f)
		return -1;
	memset(c, 0, sizeof(*c));
	memset(c->code, 0xcc, sizeof(c->code));
	c->bits = 8;
	while (!rc && fgets(line, sizeof(line), f)) {
		int n;

		line[strcspn(line, "#\n")] = 0;
		hex[0] = 0;
		n = sscanf(line, "%15s %31s %127s", word, arg, hex);
		if (n > 0 && (n < 2 || !get_line(c, word, arg, hex)))
			rc = -1;
	}
	fclose(f);
	if (c->start >= ISA_CODE_LEN || c->len > ISA_CODE_LEN || (c->bits != 8 && c->bits != 4))
		rc = -1;
	return rc;
}
