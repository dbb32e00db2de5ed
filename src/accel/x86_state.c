// SPDX-License-Identifier: BSD-2-Clause
/* accel/x86_state.c - What a CPU looks like after reset, and as text
 *
 * Pure functions on struct x86_state. [any] */
#include "accel/x86_state.h"

#include <string.h>

#include "base/strbuf.h"
#include "base/wire.h"

/* Places in the legacy region of an XSAVE image (SDM 1, 13.4) */
#define XSAVE_FCW 0
#define XSAVE_FTW 4
#define XSAVE_MXCSR 24
#define XSAVE_BV 512
#define XSTATE_X87_SSE 3u

void x86_state_reset(struct x86_state *st, bool bsp)
{
	memset(st, 0, sizeof(*st));
	st->rflags = 2;
	st->rip = 0xfff0;
	/* Family, model and stepping; the family is what HyperKit shows, too */
	st->gpr[X86_RDX] = 0xf00;
	for (unsigned i = 0; i < X86_NUM_SEGS; i++) {
		st->seg[i].limit = 0xffff;
		st->seg[i].attr = X86_SEG_P | X86_SEG_S | 3;
	}
	st->seg[X86_CS] = (struct x86_segment){ .base = 0xffff0000, .limit = 0xffff,
						.attr = X86_SEG_P | X86_SEG_S | 0xb,
						.sel = 0xf000 };
	st->seg[X86_LDTR].attr = X86_SEG_P | 2;
	/* A busy TSS: VMX and SVM refuse to run with anything else in TR */
	st->seg[X86_TR].attr = X86_SEG_P | 0xb;
	st->gdt.limit = 0xffff;
	st->idt.limit = 0xffff;
	st->cr0 = X86_CR0_CD | X86_CR0_NW | X86_CR0_ET;
	st->xcr0 = 1;
	st->dr[6] = 0xffff0ff0;
	st->dr[7] = 0x400;
	/* Enabled at its usual place; bit 8 marks the bootstrap processor (SDM 3A 11.4.4) */
	st->apic_base = 0xfee00800 | (bsp ? BIT(8) : 0);
	st->msr.pat = 0x0007040600070406;
	st->msr.misc_enable = 1; /* fast strings */
	store_le16(st->xsave + XSAVE_FCW, 0x40);
	st->xsave[XSAVE_FTW] = 0xff; /* tags 5555H: every register holds zero */
	store_le32(st->xsave + XSAVE_MXCSR, 0x1f80);
	store_le64(st->xsave + XSAVE_BV, XSTATE_X87_SSE);
	st->event.activity = bsp ? X86_RUNNING : X86_WAIT_SIPI;
}

static const char *const gpr_name[X86_NUM_GPRS] = {
	"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
	"r8 ", "r9 ", "r10", "r11", "r12", "r13", "r14", "r15",
};

static const char *const seg_name[X86_NUM_SEGS] = {
	"es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr",
};

static const char *const activity_name[] = {
	[X86_RUNNING] = "running", [X86_HALTED] = "halted",
	[X86_WAIT_SIPI] = "waiting for SIPI", [X86_SHUTDOWN] = "shut down",
};

void x86_state_dump(const struct x86_state *st, unsigned cpu, struct strbuf *out)
{
	static const struct { u32 bit; const char *name; } flag[] = {
		{ X86_FLAG_CF, "cf" }, { X86_FLAG_PF, "pf" }, { X86_FLAG_AF, "af" },
		{ X86_FLAG_ZF, "zf" }, { X86_FLAG_SF, "sf" }, { X86_FLAG_TF, "tf" },
		{ X86_FLAG_IF, "if" }, { X86_FLAG_DF, "df" }, { X86_FLAG_OF, "of" },
		{ X86_FLAG_NT, "nt" }, { X86_FLAG_RF, "rf" }, { X86_FLAG_VM, "vm" },
		{ X86_FLAG_AC, "ac" },
	};
	/* The order that people know from other dumps */
	static const u8 order[X86_NUM_GPRS] = {
		X86_RAX, X86_RBX, X86_RCX, X86_RDX, X86_RSI, X86_RDI, X86_RBP, X86_RSP,
		X86_R8, X86_R9, X86_R10, X86_R11, X86_R12, X86_R13, X86_R14, X86_R15,
	};

	strbuf_add(out, "vcpu %u: %s, cpl %u\n", cpu,
		   st->event.activity < ARRAY_LEN(activity_name) ?
			   activity_name[st->event.activity] : "in an unknown state",
		   st->seg[X86_SS].attr >> X86_SEG_DPL_SHIFT & 3);
	strbuf_add(out, "  rip %016llx rflags %08llx", (unsigned long long)st->rip,
		   (unsigned long long)st->rflags);
	for (unsigned i = 0; i < ARRAY_LEN(flag); i++)
		if (st->rflags & flag[i].bit)
			strbuf_add(out, " %s", flag[i].name);
	for (unsigned i = 0; i < X86_NUM_GPRS; i++)
		strbuf_add(out, "%s%s %016llx", i % 4 ? " " : "\n  ", gpr_name[order[i]],
			   (unsigned long long)st->gpr[order[i]]);
	strbuf_add(out, "\n  cr0 %08llx cr2 %016llx cr3 %016llx cr4 %08llx cr8 %llx\n",
		   (unsigned long long)st->cr0, (unsigned long long)st->cr2,
		   (unsigned long long)st->cr3, (unsigned long long)st->cr4,
		   (unsigned long long)st->cr8);
	strbuf_add(out, "  efer %04llx xcr0 %llx apic_base %llx dr6 %08llx dr7 %08llx\n",
		   (unsigned long long)st->efer, (unsigned long long)st->xcr0,
		   (unsigned long long)st->apic_base, (unsigned long long)st->dr[6],
		   (unsigned long long)st->dr[7]);
	for (unsigned i = 0; i < X86_NUM_SEGS; i++) {
		const struct x86_segment *s = &st->seg[i];

		strbuf_add(out, "  %-4s %04x base %016llx limit %08x attr %05x%s\n", seg_name[i],
			   s->sel, (unsigned long long)s->base, s->limit, s->attr,
			   s->attr & X86_SEG_UNUSABLE ? " unusable" : "");
	}
	strbuf_add(out, "  gdt  base %016llx limit %04x  idt base %016llx limit %04x\n",
		   (unsigned long long)st->gdt.base, st->gdt.limit,
		   (unsigned long long)st->idt.base, st->idt.limit);
}
