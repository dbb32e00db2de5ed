// SPDX-License-Identifier: BSD-2-Clause
/* test/isa/compare.c - What must be equal after a case, and how differences are told */
#include <Zydis/Zydis.h>
#include <stdio.h>
#include <string.h>

#include "accel/soft/decode/decode.h"
#include "isa.h"

#define ARITH 0x8d5u
#define DF 0x400u

static const char *const gpr_name[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					  "r8",	 "r9",	"r10", "r11", "r12", "r13", "r14", "r15" };

static FILE *out; /* where differences are told */

void isa_normalize(struct isa_state *st)
{
	u64 bv;

	memcpy(&bv, st->xsave + 512, 8);
	if (!(bv & 1)) {
		memset(st->xsave, 0, 24);
		st->xsave[0] = 0x7f;
		st->xsave[1] = 3;
		memset(st->xsave + 32, 0, 128);
	}
	if (!(bv & 2))
		memset(st->xsave + 160, 0, 256);
	if (!(bv & 4))
		memset(st->xsave + 576, 0, 256);
	memset(st->xsave + 6, 0, 18);	/* FOP, FIP, FDP */
	memset(st->xsave + 28, 0, 4);	/* MXCSR_MASK */
	for (unsigned i = 0; i < 8; i++)
		memset(st->xsave + 32 + 16 * i + 10, 0, 6);
	memset(st->xsave + 416, 0, 576 - 416);
}

void isa_print_code(const struct isa_case *c, FILE *to)
{
	ZydisDisassembledInstruction d;
	ZydisMachineMode mode = c->bits == 8 ? ZYDIS_MACHINE_MODE_LONG_64
					     : ZYDIS_MACHINE_MODE_LEGACY_32;

	for (unsigned at = c->start; at < c->len;) {
		fprintf(to, "    %#llx ", (unsigned long long)(ISA_CODE + at));
		if (!ZYAN_SUCCESS(ZydisDisassembleIntel(mode, ISA_CODE + at, c->code + at,
							c->len - at, &d))) {
			fprintf(to, " ?\n");
			return;
		}
		for (unsigned i = 0; i < d.info.length; i++)
			fprintf(to, " %02x", c->code[at + i]);
		fprintf(to, "   %s\n", d.text);
		at += d.info.length;
	}
}

static void show_bytes(const char *what, const u8 *a, const u8 *b, const u8 *in, unsigned len)
{
	fprintf(out, "  %s\n    before  ", what);
	for (unsigned i = len; i--;)
		fprintf(out, "%02x", in[i]);
	fprintf(out, "\n    want    ");
	for (unsigned i = len; i--;)
		fprintf(out, "%02x", a[i]);
	fprintf(out, "\n    got     ");
	for (unsigned i = len; i--;)
		fprintf(out, "%02x", b[i]);
	fprintf(out, "\n");
}

static unsigned diff_bytes(const char *what, int index, const u8 *a, const u8 *b, const u8 *in,
			   unsigned len)
{
	char name[48];

	if (!memcmp(a, b, len))
		return 0;
	snprintf(name, sizeof(name), index < 0 ? "%s" : "%s%d", what, index);
	show_bytes(name, a, b, in, len);
	return 1;
}

static unsigned diff_memory(const char *what, const u8 *a, const u8 *b, const u8 *in, unsigned len)
{
	unsigned n = 0;

	for (unsigned i = 0; i < len && n < 4; i += 16) {
		char name[32];

		if (!memcmp(a + i, b + i, 16))
			continue;
		snprintf(name, sizeof(name), "%s+%#x", what, i);
		show_bytes(name, a + i, b + i, in + i, 16);
		n++;
	}
	return n;
}

/* Error codes as far as the host's kernel lets them through: of addresses that are not a
 * process' it always says that the page is there. Supervisor pages of ours are there for the guest alone. */
static u32 error_of(const struct isa_result *r)
{
	if (r->vector == 14 &&
	    (r->fault_addr >= 0x7ffffffff000 || r->fault_addr - ISA_BASE < ISA_SYSTEM + ISA_SYSTEM_LEN - ISA_BASE))
		return r->error | 1;
	return r->error;
}

/* FF /2, with REX or other prefixes before */
static bool is_call(const struct isa_case *c, u64 rip)
{
	u64 at = rip - ISA_CODE;

	for (unsigned i = 0; i < 6 && at + i < ISA_CODE_LEN - 1; i++)
		if (c->code[at + i] == 0xff)
			return (c->code[at + i + 1] & 0x38) == 0x10;
	return false;
}

/* Arithmetic flags that translated code need not have kept for the frame of a fault: those that
 * the faulting instruction or one behind it replaces before anybody looks (translate.h) */
static u64 flags_lost_at(const struct isa_case *c, const struct isa_result *want, u64 at, u64 open,
			 unsigned depth)
{
	struct sc_insn in;
	u64 lost = 0;
	unsigned n = 0;

	while (open && at < ISA_CODE_LEN && n++ < 64 &&
	       sc_decode(NULL, c->bits, want->code + at, (unsigned)MIN(15, ISA_CODE_LEN - at), &in) ==
		       SC_DEC_OK) {
		open &= ~(u64)in.fl_read;
		lost |= open & in.fl_written;
		open &= ~(u64)in.fl_written;
		/* It looks behind a jump to a known place too, where a few instructions may tell */
		if (in.cls == SC_C_JCC && in.opsize == 8 && depth < 4) {
			u64 taken = at + in.len + (u64)in.imm;

			return lost | (open & flags_lost_at(c, want, taken, open, depth + 1) &
				       flags_lost_at(c, want, at + in.len, open, depth + 1));
		}
		if ((in.cls == SC_C_JMP || in.cls == SC_C_CALL) && in.op[0].kind == SC_OP_REL && in.opsize == 8) {
			at += in.len + (u64)in.imm;
			continue;
		}
		if (in.flags & SC_I_BRANCH)
			break;
		at += in.len;
	}
	return lost;
}

static u64 flags_lost(const struct isa_case *c, const struct isa_result *want)
{
	return flags_lost_at(c, want, want->out.rip - ISA_CODE, ARITH, 0);
}

static int compare(const struct isa_case *c, const char *engine, const struct isa_result *want,
		   struct isa_result *got)
{
	u64 flags = got->flags_lost ? (ARITH | DF) & ~flags_lost(c, want) : ARITH | DF;
	u64 keep = c->bits == 8 ? ~0ull : 0xffffffff;
	const u8 *x = want->out.xsave, *y = got->out.xsave, *z = c->in.xsave;
	unsigned n = 0;

	if (want->vector == got->vector && want->fault_addr == got->fault_addr &&
	    want->out.rip == got->out.rip && error_of(want) == error_of(got) && !got->gave_up &&
	    want->out.fs_base == got->out.fs_base && want->out.gs_base == got->out.gs_base &&
	    !((want->out.rflags ^ got->out.rflags) & flags) &&
	    (c->bits != 8 || !memcmp(want->out.gpr, got->out.gpr, sizeof(want->out.gpr))) &&
	    c->bits == 8 && !memcmp(x, y, ISA_XSAVE_LEN) &&
	    !memcmp(want->data, got->data, ISA_DATA_LEN) &&
	    !memcmp(want->code, got->code, ISA_CODE_LEN) &&
	    !memcmp(want->stack, got->stack, ISA_STACK_LEN))
		return 0;

	/* Translated code looks at the address before the instruction can tell of a waiting x87
	 * exception; the guest gets both, one after the other */
	if (got->flags_lost && want->vector == 16 && got->vector == 14)
		return 0;
	/* and it has pushed already when it finds that the target of a call is no address */
	if (got->flags_lost && want->vector == 13 && got->vector == 13 && is_call(c, want->out.rip) &&
	    c->bits == 8) {
		u64 at = want->out.gpr[4] - 8 - ISA_STACK;

		if (at < ISA_STACK_LEN - 8)
			memcpy(got->stack + at, want->stack + at, 8);
	}
	/* INT1 is a trap; a virtual AMD CPU says that it is a fault */
	if (want->vector == 1 && got->out.rip == want->out.rip + 1 &&
	    want->out.rip - ISA_CODE < ISA_CODE_LEN && want->code[want->out.rip - ISA_CODE] == 0xf1)
		got->out.rip--;
	/* Something, or 32-bit code: look closer */
	if (got->gave_up)
		n++, fprintf(out, "  gave up at rip %#llx\n", (unsigned long long)got->out.rip);
	if (want->vector != got->vector)
		n++, fprintf(out, "  fault: want %d got %d (-1: none)\n", want->vector, got->vector);
	else if (want->fault_addr != got->fault_addr)
		n++, fprintf(out, "  fault address: want %#llx got %#llx\n",
			     (unsigned long long)want->fault_addr,
			     (unsigned long long)got->fault_addr);
	else if (error_of(want) != error_of(got))
		n++, fprintf(out, "  error code: want %#x got %#x\n", want->error, got->error);
	if (c->bits == 8 && want->out.fs_base != got->out.fs_base)
		n++, fprintf(out, "  FS base: want %#llx got %#llx\n",
			     (unsigned long long)want->out.fs_base,
			     (unsigned long long)got->out.fs_base);
	if (c->bits == 8 && want->out.gs_base != got->out.gs_base)
		n++, fprintf(out, "  GS base: want %#llx got %#llx\n",
			     (unsigned long long)want->out.gs_base,
			     (unsigned long long)got->out.gs_base);
	if (want->out.rip != got->out.rip)
		n++, fprintf(out, "  rip: want %#llx got %#llx\n",
			     (unsigned long long)want->out.rip, (unsigned long long)got->out.rip);
	if ((want->out.rflags ^ got->out.rflags) & flags)
		n++, fprintf(out, "  flags: before %#llx want %#llx got %#llx (compared %#llx)\n",
			     (unsigned long long)c->in.rflags & (ARITH | DF),
			     (unsigned long long)want->out.rflags & (ARITH | DF),
			     (unsigned long long)got->out.rflags & (ARITH | DF),
			     (unsigned long long)flags);
	for (unsigned i = 0; i < (c->bits == 8 ? 16 : 8); i++)
		if ((want->out.gpr[i] ^ got->out.gpr[i]) & keep)
			n++, fprintf(out, "  %s: before %#llx want %#llx got %#llx\n", gpr_name[i],
				     (unsigned long long)c->in.gpr[i],
				     (unsigned long long)want->out.gpr[i],
				     (unsigned long long)got->out.gpr[i]);
	n += diff_bytes("fcw, fsw, ftw (high to low: ftw fsw fcw)", -1, x, y, z, 5);
	n += diff_bytes("mxcsr", -1, x + 24, y + 24, z + 24, 4);
	for (int i = 0; i < 8; i++)
		n += diff_bytes("st", i, x + 32 + 16 * i, y + 32 + 16 * i, z + 32 + 16 * i, 10);
	for (int i = 0; i < 16; i++) {
		n += diff_bytes("xmm", i, x + 160 + 16 * i, y + 160 + 16 * i, z + 160 + 16 * i, 16);
		n += diff_bytes("ymmh", i, x + 576 + 16 * i, y + 576 + 16 * i, z + 576 + 16 * i, 16);
	}
	n += diff_memory("data", want->data, got->data, c->data, ISA_DATA_LEN);
	n += diff_memory("code", want->code, got->code, c->code, ISA_CODE_LEN);
	n += diff_memory("stack", want->stack, got->stack, c->stack, ISA_STACK_LEN);
	if (n) {
		fprintf(out, "  %s differs from the host; vector %d at %#llx, after\n", engine,
			want->vector, (unsigned long long)want->out.rip);
		isa_print_code(c, out);
	}
	return n != 0;
}

int isa_compare(const struct isa_case *c, const char *engine, const struct isa_result *want,
		struct isa_result *got, FILE *to)
{
	static FILE *nowhere;

	if (!nowhere)
		nowhere = fopen("/dev/null", "w");
	out = to ? to : nowhere;
	return out ? compare(c, engine, want, got) : -1;
}
