// SPDX-License-Identifier: BSD-2-Clause
/* test/isa/shrink.c - Make a program that shows a difference as small as it gets */
#include <string.h>

#include "accel/x86_state.h"
#include "program.h"

struct shrink {
	struct isa_program *p;
	const struct isa_engine *e;
	unsigned left;
	bool endless; /* that it does not end is the difference */
};

static bool fails(struct shrink *s)
{
	static struct isa_result want, got;

	if (!s->left || !isa_program_link(s->p))
		return false;
	s->left--;
	isa_run(&isa_native, &s->p->c, &want);
	if (want.gave_up)
		return false;
	/* Twice: the difference may be one of translations that are there already */
	for (unsigned i = 0; i < 2; i++) {
		isa_run(s->e, &s->p->c, &got);
		/* A loop whose counter has become large is another matter */
		if (got.gave_up)
			return s->endless;
		if (isa_compare(&s->p->c, s->e->name, &want, &got, NULL))
			return true;
	}
	return false;
}

static bool drop(struct shrink *s, unsigned first, unsigned n)
{
	static bool was[ISA_MAX_ITEMS];
	bool any = false;

	while (first + n < s->p->n && s->p->item[first + n].tied)
		n++;
	while (first && s->p->item[first].tied)
		first--, n++;
	for (unsigned i = first; i < first + n && i < s->p->n; i++) {
		was[i] = s->p->item[i].gone;
		any |= !was[i];
		s->p->item[i].gone = true;
	}
	if (any && fails(s))
		return true;
	for (unsigned i = first; i < first + n && i < s->p->n; i++)
		s->p->item[i].gone = was[i];
	return false;
}

/* Zero @len bytes at @at if the difference stays */
static bool zero(struct shrink *s, void *at, unsigned len)
{
	static u8 was[ISA_DATA_LEN];
	u8 *p = at;
	bool any = false;

	for (unsigned i = 0; i < len; i++)
		any |= p[i];
	if (!any)
		return true;
	memcpy(was, at, len);
	memset(at, 0, len);
	if (fails(s))
		return true;
	memcpy(at, was, len);
	return false;
}

static void zero_parts(struct shrink *s, void *at, unsigned len)
{
	if (zero(s, at, len) || len <= 8)
		return;
	zero_parts(s, at, len / 2);
	zero_parts(s, (u8 *)at + len / 2, len / 2);
}

void isa_shrink(struct isa_program *p, const struct isa_engine *e, unsigned tries)
{
	struct shrink s = { .p = p, .e = e, .left = tries };
	bool better = fails(&s);
	u64 bv = 7;
	u32 mxcsr = 0x1f80;
	u8 was[ISA_XSAVE_LEN];

	if (!better) {
		s.endless = true;
		better = fails(&s);
	}
	while (better) {
		better = false;
		for (unsigned n = p->n / 2; n; n /= 2)
			for (unsigned i = 0; i < p->n; i += n)
				better |= drop(&s, i, n);
	}
	memcpy(was, p->c.in.xsave, sizeof(was));
	memset(p->c.in.xsave, 0, sizeof(was));
	memcpy(p->c.in.xsave, "\x7f\x03", 2);
	memcpy(p->c.in.xsave + 24, &mxcsr, 4);
	memcpy(p->c.in.xsave + 512, &bv, 8);
	if (!fails(&s)) {
		memcpy(p->c.in.xsave, was, sizeof(was));
		zero_parts(&s, p->c.in.xsave + 32, 128);
		zero_parts(&s, p->c.in.xsave + 160, 256);
		zero_parts(&s, p->c.in.xsave + 576, 256);
	}
	for (unsigned i = 0; i < 16; i++)
		if (i != X86_RSP)
			zero(&s, &p->c.in.gpr[i], 8);
	zero(&s, &p->c.in.rflags, 8);
	zero(&s, &p->c.in.fs_base, 8);
	zero(&s, &p->c.in.gs_base, 8);
	zero_parts(&s, p->c.data, ISA_DATA_LEN);
	zero_parts(&s, p->c.stack, ISA_STACK_LEN);
	isa_program_link(p);
}
