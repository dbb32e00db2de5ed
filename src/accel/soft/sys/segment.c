// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/sys/segment.c - Segment registers: descriptors, checks, hidden parts
 *
 * SDM 3A chapter 3 and 5. CS is transfer.c's. Checks come before changes; marking a
 * descriptor accessed or busy in memory is the last step that can fault. [vcpu] */
#include "accel/soft/sys/sys_int.h"

void sys_throw_sel(struct sc_vcpu *v, unsigned vector, u16 sel, u32 ext)
{
	sc_throw_error(v, vector, (sel & 0xfffcu) | ext);
}

/* ------------------------------------------------------------- descriptors */

/* Linear address of @len bytes of the descriptor, or false */
static bool desc_address(const struct sc_vcpu *v, u16 sel, unsigned len, gva_t *at)
{
	u32 off = sel & 0xfff8u;

	if (sel & 4) {
		const struct x86_segment *ldt = &v->seg[X86_LDTR];

		if ((ldt->attr & X86_SEG_UNUSABLE) || off + len - 1 > ldt->limit)
			return false;
		*at = ldt->base + off;
	} else {
		if (off + len - 1 > v->gdt.limit)
			return false;
		*at = v->gdt.base + off;
	}
	return true;
}

bool desc_fetch(struct sc_vcpu *v, u16 sel, u64 *raw)
{
	gva_t at;

	if (!desc_address(v, sel, 8, &at))
		return false;
	*raw = sys_read(v, at, 8);
	return true;
}

bool desc_fetch_high(struct sc_vcpu *v, u16 sel, u64 *high)
{
	gva_t at;

	if (!desc_address(v, sel, 16, &at))
		return false;
	*high = sys_read(v, at + 8, 8);
	return !(*high >> 40 & 0x1f);
}

void desc_to_seg(u64 raw, u16 sel, struct x86_segment *out)
{
	u32 limit = (raw & 0xffff) | (raw >> 32 & 0xf0000);

	out->sel = sel;
	out->attr = desc_attr(raw);
	out->base = (raw >> 16 & 0xffffff) | (raw >> 32 & 0xff000000);
	out->limit = out->attr & X86_SEG_G ? limit << 12 | 0xfff : limit;
}

/* The type byte alone is rewritten: an operating system that changes a descriptor's other
 * bytes at the same moment loses nothing, and setting the bit twice does no harm */
void desc_mark(struct sc_vcpu *v, u16 sel, u8 bits, u8 clear)
{
	gva_t at;
	u8 type;

	if (!desc_address(v, sel, 8, &at))
		return;
	type = (u8)sys_read(v, at + 5, 1);
	if (((type & ~clear) | bits) != type)
		sys_write(v, at + 5, (type & ~clear) | bits, 1);
}

void desc_accessed(struct sc_vcpu *v, struct x86_segment *seg)
{
	if (seg->attr & 1)
		return;
	desc_mark(v, seg->sel, 1, 0);
	seg->attr |= 1;
}

/* -------------------------------------------------------------- small parts */

void sc_seg_changed(struct sc_vcpu *v)
{
	v->fs_base = v->seg[X86_FS].base;
	v->gs_base = v->seg[X86_GS].base;
}

/* Real mode keeps limit and size of the hidden part, so that "unreal" segments work */
void seg_load_real(struct sc_vcpu *v, enum x86_seg seg, u16 sel)
{
	struct x86_segment *s = &v->seg[seg];

	s->sel = sel;
	s->base = (u32)sel << 4;
	if (sc_vm86(v)) {
		s->limit = 0xffff;
		s->attr = X86_SEG_P | X86_SEG_S | 3u << X86_SEG_DPL_SHIFT | 3;
	} else {
		if (s->attr & X86_SEG_UNUSABLE)
			s->limit = 0xffff;
		s->attr &= X86_SEG_DB | X86_SEG_G | X86_SEG_AVL;
		s->attr |= X86_SEG_P | X86_SEG_S | 3;
		if (seg == X86_CS)
			s->attr |= 8;
	}
	if (seg == X86_FS || seg == X86_GS)
		sc_seg_changed(v);
}

void seg_set_null(struct sc_vcpu *v, enum x86_seg seg, u16 sel)
{
	struct x86_segment *s = &v->seg[seg];

	s->sel = sel;
	s->base = 0;
	s->limit = 0;
	s->attr = X86_SEG_UNUSABLE;
	if (seg == X86_SS)
		s->attr |= (u32)v->cpl << X86_SEG_DPL_SHIFT;
	if (seg == X86_FS || seg == X86_GS)
		sc_seg_changed(v);
}

void seg_set_flat(struct sc_vcpu *v, enum x86_seg seg, u16 sel, u32 attr)
{
	v->seg[seg] = (struct x86_segment){ .sel = sel, .limit = 0xffffffff, .attr = attr };
}

bool seg_in_limit(const struct x86_segment *s, u64 off, unsigned size)
{
	u64 last = off + size - 1;

	if (attr_is_data(s->attr) && (s->attr & 4))
		return off > s->limit && last <= (s->attr & X86_SEG_DB ? 0xffffffffu : 0xffffu);
	return last <= s->limit;
}

void seg_null_for(struct sc_vcpu *v, unsigned cpl)
{
	static const u8 data[] = { X86_ES, X86_DS, X86_FS, X86_GS };
	unsigned i;

	for (i = 0; i < ARRAY_LEN(data); i++) {
		u32 attr = v->seg[data[i]].attr;

		if (!(attr & X86_SEG_UNUSABLE) && attr_dpl(attr) < cpl && !attr_conforming(attr))
			seg_set_null(v, data[i], 0);
	}
}

/* ------------------------------------------------------------ checked loads */

void seg_check_stack(struct sc_vcpu *v, u16 sel, unsigned cpl, unsigned vector, u32 ext,
		     struct x86_segment *out)
{
	u64 raw;

	if (sel_null(sel))
		sc_throw_error(v, vector, ext);
	if (!desc_fetch(v, sel, &raw))
		sys_throw_sel(v, vector, sel, ext);
	desc_to_seg(raw, sel, out);
	if ((sel & 3) != cpl || attr_dpl(out->attr) != cpl || !attr_writable(out->attr))
		sys_throw_sel(v, vector, sel, ext);
	if (!desc_present(raw))
		sys_throw_sel(v, X86_VEC_SS, sel, ext);
	desc_accessed(v, out);
}

void seg_check_data(struct sc_vcpu *v, enum x86_seg seg, u16 sel, unsigned cpl, unsigned vector,
		    u32 ext, struct x86_segment *out)
{
	u64 raw;

	if (seg == X86_SS) {
		seg_check_stack(v, sel, cpl, vector, ext, out);
		return;
	}
	if (!desc_fetch(v, sel, &raw))
		sys_throw_sel(v, vector, sel, ext);
	desc_to_seg(raw, sel, out);
	if (!(out->attr & X86_SEG_S) || !attr_readable(out->attr))
		sys_throw_sel(v, vector, sel, ext);
	if (!attr_conforming(out->attr) && MAX(cpl, (sel & 3u)) > attr_dpl(out->attr))
		sys_throw_sel(v, vector, sel, ext);
	if (!desc_present(raw))
		sys_throw_sel(v, X86_VEC_NP, sel, ext);
	desc_accessed(v, out);
}

void sc_load_seg(struct sc_vcpu *v, enum x86_seg seg, u16 sel)
{
	struct x86_segment s;

	if (!sc_protected(v) || sc_vm86(v)) {
		seg_load_real(v, seg, sel);
		return;
	}
	if (sel_null(sel)) {
		/* SS may be null in 64-bit code outside ring 3 (SDM 3A 5.4.1.1) */
		if (seg == X86_SS && (!sc_code64(v) || v->cpl == 3 || (sel & 3) != v->cpl))
			sc_gp0(v);
		seg_set_null(v, seg, sel);
		return;
	}
	seg_check_data(v, seg, sel, v->cpl, X86_VEC_GP, 0, &s);
	v->seg[seg] = s;
	if (seg == X86_FS || seg == X86_GS)
		sc_seg_changed(v);
}

/* Upper half of a system descriptor's base in long mode */
static void high_base(struct sc_vcpu *v, u16 sel, unsigned vector, u32 ext, struct x86_segment *s)
{
	u64 high;

	if (!sc_long_mode(v))
		return;
	if (!desc_fetch_high(v, sel, &high))
		sys_throw_sel(v, vector, sel, ext);
	s->base |= high << 32;
	if (!sc_canonical(s->base))
		sys_throw_sel(v, vector, sel, ext);
}

void seg_load_ldtr(struct sc_vcpu *v, u16 sel, unsigned vector, u32 ext)
{
	struct x86_segment s;
	u64 raw;

	if (sel_null(sel)) {
		seg_set_null(v, X86_LDTR, sel);
		return;
	}
	if ((sel & 4) || !desc_fetch(v, sel, &raw))
		sys_throw_sel(v, vector, sel, ext);
	desc_to_seg(raw, sel, &s);
	if ((s.attr & (X86_SEG_S | X86_SEG_TYPE)) != SYS_LDT)
		sys_throw_sel(v, vector, sel, ext);
	if (!desc_present(raw))
		sys_throw_sel(v, vector == X86_VEC_TS ? X86_VEC_TS : X86_VEC_NP, sel, ext);
	high_base(v, sel, vector, ext, &s);
	v->seg[X86_LDTR] = s;
}

static void need_protected_ring0(struct sc_vcpu *v)
{
	if (!sc_protected(v) || sc_vm86(v))
		sc_ud(v);
	if (v->cpl)
		sc_gp0(v);
}

void sc_load_ldtr(struct sc_vcpu *v, u16 sel)
{
	need_protected_ring0(v);
	seg_load_ldtr(v, sel, X86_VEC_GP, 0);
}

void sc_load_tr(struct sc_vcpu *v, u16 sel)
{
	struct x86_segment s;
	unsigned type;
	u64 raw;

	need_protected_ring0(v);
	if (sel_null(sel))
		sc_gp0(v);
	if ((sel & 4) || !desc_fetch(v, sel, &raw))
		sys_throw_sel(v, X86_VEC_GP, sel, 0);
	desc_to_seg(raw, sel, &s);
	type = s.attr & (X86_SEG_S | X86_SEG_TYPE);
	if (type != SYS_TSS32 && (type != SYS_TSS16 || sc_long_mode(v)))
		sys_throw_sel(v, X86_VEC_GP, sel, 0);
	if (!desc_present(raw))
		sys_throw_sel(v, X86_VEC_NP, sel, 0);
	high_base(v, sel, X86_VEC_GP, 0, &s);
	desc_mark(v, sel, 2, 0);
	s.attr |= 2;
	v->seg[X86_TR] = s;
}

/* ------------------------------------------------------ LAR, LSL, VERR, VERW */

/* Descriptor that code at CPL and RPL may ask about; system types of @types (a bit each) */
static bool visible(struct sc_vcpu *v, u16 sel, u32 types, u64 *raw)
{
	u32 attr;

	if (!sc_protected(v) || sc_vm86(v))
		sc_ud(v);
	if (sel_null(sel) || !desc_fetch(v, sel, raw))
		return false;
	attr = desc_attr(*raw);
	if (!(attr & X86_SEG_S) && !(types >> (attr & X86_SEG_TYPE) & 1))
		return false;
	return attr_conforming(attr) || MAX(v->cpl, (sel & 3u)) <= attr_dpl(attr);
}

bool sc_lar(struct sc_vcpu *v, u16 sel, u32 *rights)
{
	u32 types = BIT(SYS_LDT) | BIT(SYS_TSS32) | BIT(SYS_TSS32_BUSY) | BIT(SYS_CALL32);
	u64 raw;

	if (!sc_long_mode(v))
		types |= BIT(SYS_TSS16) | BIT(SYS_TSS16_BUSY) | BIT(SYS_CALL16) | BIT(SYS_TASK_GATE);
	if (!visible(v, sel, types, &raw))
		return false;
	*rights = raw >> 32 & 0x00ffff00;
	return true;
}

bool sc_lsl(struct sc_vcpu *v, u16 sel, u32 *limit)
{
	u32 types = BIT(SYS_LDT) | BIT(SYS_TSS32) | BIT(SYS_TSS32_BUSY);
	struct x86_segment s;
	u64 raw;

	if (!sc_long_mode(v))
		types |= BIT(SYS_TSS16) | BIT(SYS_TSS16_BUSY);
	if (!visible(v, sel, types, &raw))
		return false;
	desc_to_seg(raw, sel, &s);
	*limit = s.limit;
	return true;
}

bool sc_verify_seg(struct sc_vcpu *v, u16 sel, bool write)
{
	u64 raw;

	if (!visible(v, sel, 0, &raw))
		return false;
	return write ? attr_writable(desc_attr(raw)) : attr_readable(desc_attr(raw));
}
