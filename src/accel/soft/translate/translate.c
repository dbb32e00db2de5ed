// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/translate/translate.c - Build one block
 *
 * translate.h has the theory. Runs on a vCPU's thread under cache->lock. */
#include <errno.h>
#include <sys/mman.h>

#include "accel/soft/interp/interp.h"
#include "accel/soft/mmu/mmu.h"
#include "accel/soft/translate/tr.h"

/* No block needs more: 32 instructions of at most some 300 bytes with their slow paths */
#define BLOCK_MAX_BYTES (32u << 10)

/* Guest rip in r8: look it up in the branch cache and go there. Flags are stashed. */
static void jump_write(struct emit *e, enum sc_tlb_kind kind)
{
	u32 ibtc = offsetof(struct sc_vcpu, ibtc) +
		   kind * sizeof(((struct sc_vcpu *)NULL)->ibtc[0]);

	_Static_assert(sizeof(struct sc_ibtc) == 16, "the shift below");
	e8(e, 0x45), e8(e, 0x89), e8(e, 0xc1);			/* mov r9d, r8d */
	e8(e, 0x41), e8(e, 0xc1), e8(e, 0xe9), e8(e, PAGE_SHIFT); /* shr r9d, 12 */
	e8(e, 0x45), e8(e, 0x31), e8(e, 0xc1);			/* xor r9d, r8d */
	e8(e, 0x41), e8(e, 0x81), e8(e, 0xe1);			/* and r9d, index mask */
	e32(e, SC_IBTC_ENTRIES - 1);
	e8(e, 0x41), e8(e, 0xc1), e8(e, 0xe1), e8(e, 4);	/* shl r9d, 4 */
	e_gs_based(e, 0x3b, H_R8, H_R9, ibtc + offsetof(struct sc_ibtc, rip)); /* cmp r8, rip */
	e_jcc(e, CC_NE, SC_THUNK_AT(SC_THUNK_BRANCH));
	e_gs(e, false, 0x83, 7, SC_OFF_ATTENTION);		/* cmp dword gs:attention, 0 */
	e8(e, 0);
	e_jcc(e, CC_NE, SC_THUNK_AT(SC_THUNK_BRANCH));
	e8(e, 0x49), e8(e, 0x81), e8(e, 0xe0);			/* and r8, ~0xfff */
	e32(e, 0xfffff000);
	e_gs_store(e, H_R8, SC_OFF_RIP_PAGE);
	e8(e, 0x65), e8(e, 0x41), e8(e, 0xff), e8(e, 0xa1);	/* jmp gs:[r9 + host] */
	e32(e, ibtc + offsetof(struct sc_ibtc, host));
}

/* A ret: back behind the host's call when this is where it was made */
static void ret_write(struct emit *e, enum sc_tlb_kind kind)
{
	u32 other;

	e8(e, 0x4c), e8(e, 0x3b), e8(e, 0x44), e8(e, 0x24), e8(e, 8); /* cmp r8, [rsp + 8] */
	other = e_jcc_later(e, CC_NE);
	e_gs(e, false, 0x83, 7, SC_OFF_ATTENTION);		/* cmp dword gs:attention, 0 */
	e8(e, 0);
	/* jump_write looks at it again, and leaves */
	e8(e, 0x75), e8(e, 19);					/* jne over the ret */
	e8(e, 0x49), e8(e, 0x81), e8(e, 0xe0);			/* and r8, ~0xfff */
	e32(e, 0xfffff000);
	e_gs_store(e, H_R8, SC_OFF_RIP_PAGE);
	e8(e, 0xc2), e16(e, 8);					/* ret 8 */
	e8(e, 0x48), e8(e, 0x8d), e8(e, 0x64), e8(e, 0x24), e8(e, 16); /* lea rsp, [rsp + 16] */
	e_jmp(e, SC_JUMP_AT(kind));
	e_fix(e, other);
	e_gs(e, true, 0x8b, H_RSP, offsetof(struct sc_vcpu, shadow_top) + kind * 8);
	e_jmp(e, SC_JUMP_AT(kind));
}

static void thunks_write(struct sc_cache *c)
{
	static void (*const fn[SC_NUM_THUNKS])(void) = {
		[SC_THUNK_CHAIN] = sc_thunk_chain,
		[SC_THUNK_BRANCH] = sc_thunk_branch,
		[SC_THUNK_SLOW] = sc_thunk_slow,
		[SC_THUNK_INTERP] = sc_thunk_interp,
		[SC_THUNK_SITE] = sc_thunk_site,
		[SC_THUNK_WINDOW] = sc_thunk_window,
	};
	struct emit e = { .base = c->rw };
	unsigned i;

	for (i = 0; i < SC_NUM_THUNKS; i++) {
		e.at = SC_THUNK_AT(i);
		e8(&e, 0xff), e8(&e, 0x25);	/* jmp [rip + 0] */
		e32(&e, 0);
		e64(&e, (u64)fn[i]);
	}
	for (i = 0; i < SC_NUM_TLBS; i++) {
		e.at = SC_JUMP_AT(i);
		jump_write(&e, i);
		e.at = SC_RET_AT(i);
		ret_write(&e, i);
	}
	c->used = c->first = SC_CODE_FIRST;
	/* An exit is known by its offset, which must not look like a SC_LEFT_* value */
	c->meta_used = c->meta_first = 64;
}

int sc_translate_init(struct sc_cache *c)
{
	c->tr = mmap(NULL, sizeof(*c->tr), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (c->tr == MAP_FAILED) {
		c->tr = NULL;
		return -ENOMEM;
	}
	thunks_write(c);
	return 0;
}

void sc_translate_fini(struct sc_cache *c)
{
	if (c->tr)
		munmap(c->tr, sizeof(*c->tr));
}

/* Code that another vCPU may be writing at this moment: of an aligned store of up to 8 bytes we
 * see all or nothing, as the fetch of a CPU does. @n bytes, at most 15, into 16. */
static void code_read(u8 *dst, const u8 *src, unsigned n)
{
	unsigned skip = (u64)src & 7, shift = skip * 8;
	const u64 *p = (const u64 *)(src - skip);
	u64 w[3] = { 0, 0, 0 };

	w[0] = __atomic_load_n(p, __ATOMIC_RELAXED);
	if (skip + n > 8)
		w[1] = __atomic_load_n(p + 1, __ATOMIC_RELAXED);
	if (skip + n > 16)
		w[2] = __atomic_load_n(p + 2, __ATOMIC_RELAXED);
	((u64 *)dst)[0] = (u64)(((unsigned __int128)w[1] << 64 | w[0]) >> shift);
	((u64 *)dst)[1] = (u64)(((unsigned __int128)w[2] << 64 | w[1]) >> shift);
}

/* The instruction at the end of @page, whose other bytes are on the next one. It makes a
 * block of its own. */
static bool decode_crossing(struct tr *t, const u8 *page)
{
	struct sc_vcpu *v = t->v;
	unsigned off = t->gpa & ~PAGE_MASK, first = PAGE_BYTES - off;
	const u8 *next;
	u8 buf[32];
	gpa_t gpa2;

	gpa2 = mmu_fetch_cached(v, (v->rip & PAGE_MASK) + PAGE_BYTES);
	next = gpa2 == ~0ull ? NULL : sc_phys_ptr(v->vm, gpa2, PAGE_BYTES);
	if (!next || (gpa2 == (t->gpa & PAGE_MASK)))
		return false;
	cache_track_locked(v, gpa2);
	t->page2 = cache_page(v->vm, gpa2);
	t->granules2 = atomic_exchange(&t->page2->granules, ~0ull);
	code_read(buf, page + off, first);
	code_read(buf + first, next, 15 - first);
	if (sc_decode(v, 8, buf, 15, &t->in[0]) != SC_DEC_OK)
		return false;
	t->gpa2 = gpa2;
	t->n = 1;
	t->off[0] = off;
	t->off[1] = off + t->in[0].len;
	t->open_end = tr_ends_block(t, &t->in[0]) != TR_ENDS && t->in[0].cls != SC_C_STI;
	return t->in[0].cls != SC_C_STI;
}

/* Instructions of the block, up to the page's end. false: interpret the first one */
static bool decode(struct tr *t, const u8 *page)
{
	unsigned off = t->gpa & ~PAGE_MASK, exits = 0, n;
	u8 code[16] __attribute__((aligned(8)));

	t->open_end = true;
	while (t->n < SC_BLOCK_INSNS && off < PAGE_BYTES && exits < SC_BLOCK_EXITS / 2 - 1) {
		struct sc_insn *in = &t->in[t->n];
		enum sc_decode_result rc;

		n = MIN(PAGE_BYTES - off, 15u);
		code_read(code, page + off, n);
		rc = sc_decode(t->v, 8, code, n, in);
		if (rc == SC_DEC_MORE) {
			if (!t->n)
				return decode_crossing(t, page);
			break;
		}
		if (rc != SC_DEC_OK) {
			*in = (struct sc_insn){ .cls = SC_C_UD, .len = 1, .flags = SC_I_BRANCH };
			in->len = MIN(15, PAGE_BYTES - off);
		}
		t->off[t->n++] = off;
		off += in->len;
		if (tr_ends_block(t, in) == TR_ENDS) {
			t->open_end = false;
			break;
		}
		exits += tr_ends_block(t, in) == TR_SIDE_EXIT;
	}
	/* STI and its shadow, the next instruction, stay in one block */
	if (t->open_end && t->n && t->in[t->n - 1].cls == SC_C_STI) {
		off -= t->in[t->n - 1].len;
		t->n--;
	}
	t->off[t->n] = off;
	return t->n;
}

/* Is it emitted by tr_copy or tr_flow, with its flags known exactly? */
static bool flags_exact(const struct tr *t, const struct sc_insn *in)
{
	return tr_can_copy(t, in) || in->cls == SC_C_LEA || in->cls == SC_C_NOP ||
	       tr_sys_exact(t, in) || in->cls == SC_C_PUSH || in->cls == SC_C_POP || in->cls == SC_C_LEAVE;
}

/* Instructions that are looked at behind a jump */
#define AHEAD 5

static const struct sc_insn *insn_at(struct tr *t, const u8 *page, unsigned off)
{
	unsigned i, n = MIN(PAGE_BYTES - off, 15);
	u8 code[16] __attribute__((aligned(8)));

	for (i = 0; i < t->n; i++)
		if (t->off[i] == off)
			return &t->in[i];
	code_read(code, page + off, n);
	if (sc_decode(t->v, 8, code, n, &t->ahead) != SC_DEC_OK)
		return NULL;
	t->deps |= cache_granule_mask(off, t->ahead.len);
	return &t->ahead;
}

/* Flags that the code at @off of the page may read before it sets them */
static u16 live_at(struct tr *t, const u8 *page, s32 off)
{
	u16 want = 0, open = SC_ARITH;
	unsigned i;

	for (i = 0; i < AHEAD && open && off >= 0 && off < (s32)PAGE_BYTES; i++) {
		const struct sc_insn *in = insn_at(t, page, off);

		if (!in)
			break;
		if (in->cls == SC_C_JMP && in->op[0].kind == SC_OP_REL && in->opsize == 8) {
			off += in->len + (s32)in->imm;
			continue;
		}
		if (!flags_exact(t, in))
			break;
		want |= in->fl_read & open;
		open &= ~tr_killed(in);
		off += in->len;
	}
	return want | open;
}

/* Backwards through the block; behind it and at the ends of its jumps the page tells */
static void liveness(struct tr *t, const u8 *page)
{
	const struct sc_insn *last = &t->in[t->n - 1];
	s32 out = t->off[t->n];
	unsigned i = t->n;
	u16 live = SC_ARITH;

	if (t->gpa2) {
		page = NULL;
	} else if (t->open_end) {
		live = live_at(t, page, out);
	} else if ((last->cls == SC_C_JMP || last->cls == SC_C_CALL) && last->op[0].kind == SC_OP_REL &&
		   last->opsize == 8) {
		live = live_at(t, page, out + (s32)last->imm);
	}
	t->live[i] = live;
	while (i--) {
		const struct sc_insn *in = &t->in[i];
		s32 to = t->off[i] + in->len + (s32)in->imm;

		if (flags_exact(t, in)) {
			live = (live & ~tr_killed(in)) | (in->fl_read & SC_ARITH);
		} else if (in->cls == SC_C_JCC && in->opsize == 8) {
			t->live_taken[i] = page ? live_at(t, page, to) : SC_ARITH;
			t->loops |= to == t->off[0];
			live |= t->live_taken[i] | (in->fl_read & SC_ARITH);
		} else if ((in->cls == SC_C_JMP || in->cls == SC_C_CALL) && in->op[0].kind == SC_OP_REL &&
			   in->opsize == 8) {
			t->loops |= to == t->off[0] && in->cls == SC_C_JMP;
		} else {
			live = SC_ARITH;
		}
		t->live[i] = live;
	}
}

/* lea: address arithmetic without memory */
static bool lea(struct tr *t)
{
	const struct sc_insn *in = tr_insn(t);
	unsigned g = in->op[0].reg, d, b, x;
	struct emit *e = &t->e;
	bool wide = in->opsize == 8;
	s64 disp = in->disp;

	if (in->cls != SC_C_LEA)
		return false;
	if (in->opsize < 4 || in->addrsize < 4 || in->op[0].kind != SC_OP_GPR)
		return false;
	if (in->addrsize == 4)
		wide = false;
	if (in->base == SC_REG_RIP)
		disp += tr_next_off(t);
	if (disp != (s32)disp || (in->base == SC_REG_RIP && in->addrsize != 8))
		return false;
	b = in->base == SC_REG_NONE ? 0xff : H_R8;
	if (in->base == SC_REG_RIP)
		e_gs_load(e, H_R8, SC_OFF_RIP_PAGE);
	else if (b != 0xff)
		b = tr_get(t, in->base, H_R8);
	x = in->index == SC_REG_NONE ? 0xff : tr_get(t, in->index, H_R9);
	d = tr_dst(t, g, H_R8);
	e_lea(e, wide, d, b, x, in->scale, disp);
	tr_put(t, g, d);
	return true;
}

static void insn(struct tr *t)
{
	const struct sc_insn *in = tr_insn(t);
	unsigned k;

	t->cold_of_insn = t->num_cold;
	t->pinned = false;
	if (!tr_lets_rsp_lag(in))
		tr_rsp(t);
	if (in->cls == SC_C_NOP)
		return;
	if (!lea(t) && !tr_flow(t) && !tr_copy(t) && !tr_sys(t))
		tr_interp(t, tr_ends_block(t, in) == TR_ENDS);
	/* Who comes back from the interpreter has rsp itself */
	for (k = t->cold_of_insn; k < t->num_cold; k++)
		if (t->cold[k].solo || t->cold[k].thunk == SC_THUNK_SLOW)
			tr_rsp(t);
	for (k = t->cold_of_insn; k < t->num_cold; k++) {
		t->cold[k].next = t->e.at;
		t->cold[k].held_next = t->held;
		t->cold[k].r8_next = t->e.in_r8;
	}
}

static bool uses_of(const struct sc_insn *in, unsigned g)
{
	return (in->gpr_read | in->gpr_written) & BIT(g);
}

static unsigned uses(const struct tr *t, unsigned g)
{
	unsigned i, n = 0;

	for (i = 0; i < t->n; i++)
		n += uses_of(&t->in[i], g);
	return n;
}

static struct sc_block *emit_block(struct tr *t)
{
	struct sc_cache *c = t->c;
	struct sc_insn_map *map;
	struct sc_block *b;
	unsigned i, g;

	b = cache_meta_locked(c, sizeof(*b));
	map = cache_meta_locked(c, t->n * sizeof(*map));
	if (!b || !map)
		return NULL;
	t->e.base = c->rw;
	t->e.at = (c->used + 15) & ~15u;
	*b = (struct sc_block){ .gpa = t->gpa, .gpa2 = t->gpa2, .mode = t->mode, .code = t->e.at, .map = map,
				.num_insns = t->n, .len = t->off[t->n] - t->off[0], .deps = t->deps };
	t->start = t->e.at;
	t->flags = t->live[0] & SC_ARITH ? TR_REGS : TR_DEAD;
	t->held = TR_NONE_HELD;
	t->e.in_r8 = t->lag = 0;
	for (i = 0; i < 4; i++)
		t->uses[i] = uses(t, 8 + i);
	if (t->loops && !(t->live[0] & SC_ARITH)) {
		t->attends = true;
		tr_attend(t);
	}
	for (i = 0; i < t->n; i++) {
		t->i = i;
		map[i].host_off = t->e.at - t->start;
		map[i].guest = t->off[i] | (t->flags == TR_STASHED || t->flags == TR_BOTH ? SC_MAP_STASHED :
					    t->flags == TR_DEAD ? SC_MAP_DEAD : 0);
		insn(t);
		for (g = 8; g < 12; g++)
			t->uses[g - 8] -= uses_of(&t->in[i], g);
		/* A fault happens behind the probe: from there on the stash has them */
		if (t->num_cold > t->cold_of_insn)
			map[i].guest = t->off[i] | (t->live[i] & SC_ARITH ? SC_MAP_STASHED : SC_MAP_DEAD);
	}
	t->i = t->n - 1;
	tr_rsp(t);
	if (t->open_end)
		tr_fallthrough(t);
	tr_edges_emit(t);
	tr_cold_emit(t);
	tr_sti_cold_emit(t);
	if (!(t->live[0] & SC_ARITH)) {
		b->code_stashed = b->code;
	} else {
		b->code_stashed = t->e.at;
		t->flags = TR_STASHED;
		tr_want_flags(t, H_R9);
		e_jmp(&t->e, b->code);
	}
	b->exits = cache_meta_locked(c, t->num_exits * sizeof(*b->exits) + 1);
	if (!b->exits)
		return NULL;
	b->num_exits = t->num_exits;
	for (i = 0; i < t->num_exits; i++) {
		struct sc_exit *x = &b->exits[i];

		*x = (struct sc_exit){ .owner = b, .site = t->exit[i].site, .off = t->exit[i].off,
				       .stashed = t->exit[i].stashed, .stub = t->e.at };
		*(u32 *)(c->rw + x->site) = x->stub - (x->site + 4);
		e8(&t->e, 0x68);			/* push id */
		e32(&t->e, (u8 *)x - c->meta);
		e_jmp(&t->e, SC_THUNK_AT(SC_THUNK_CHAIN));
	}
	b->host_len = t->e.at - b->code;
	c->used = t->e.at;
	return b;
}

/* The block is made: what of the page counts as code from now on */
static void settle(struct sc_page *p, u64 granules)
{
	atomic_store(&p->granules, granules);
	if (!p->blocks)
		atomic_store(&p->tracked, 0);
}

struct sc_block *sc_translate(struct sc_vcpu *v, gpa_t gpa, u32 mode)
{
	struct sc_cache *c = v->vm->cache;
	struct sc_block *b = NULL;
	struct sc_page *p;
	const u8 *page;
	struct tr *t = c->tr;
	u64 granules, begin = __builtin_ia32_rdtsc();

	page = sc_phys_ptr(v->vm, gpa & PAGE_MASK, PAGE_BYTES);
	if (!page)
		return NULL;
	sc_fpu_save(v);
	cache_lock(v);
	b = cache_find(v, gpa, mode);
	if (b)
		goto out;
	if (c->size - c->used < BLOCK_MAX_BYTES || c->hash_used == SC_MAX_BLOCKS ||
	    c->meta_size - c->meta_used < BLOCK_MAX_BYTES)
		cache_flush_all_locked(v);
	p = cache_page(v->vm, gpa);
	cache_track_locked(v, gpa & PAGE_MASK);
	/* From here on stores to the page come to sc_cache_invalidate and wait for the lock */
	granules = atomic_exchange(&p->granules, ~0ull);
	sc_zero(t, offsetof(struct tr, in));
	t->n = t->num_cold = t->num_edges = t->num_exits = t->num_stis = 0;
	t->v = v;
	t->c = c;
	t->gpa = gpa;
	t->mode = mode;
	t->hot = atomic_load(&p->hot);
	if (decode(t, page)) {
		liveness(t, page);
		tr_windows_plan(t);
		b = emit_block(t);
	}
	if (b) {
		cache_insert_locked(v, b);
		cache_grown_locked(c);
		granules |= cache_granules(&b->link[0]);
		if (b->gpa2)
			t->granules2 |= cache_granules(&b->link[1]);
		v->stats.blocks++;
		v->stats.guest_bytes += b->len;
		v->stats.solo_blocks += (mode & SC_MODE_SOLO) != 0;
	}
	settle(p, granules);
	if (t->page2)
		settle(t->page2, t->granules2);
out:
	cache_unlock(v);
	v->stats.translate_cycles += __builtin_ia32_rdtsc() - begin;
	return b;
}

/* ------------------------------------------- slow paths, from enter.S */

/* v->rip and v->rflags of the instruction that @meta stands for */
static void enter_insn(struct sc_vcpu *v, const struct sc_meta *meta)
{
	v->rip = v->rip_page + (meta->guest & (PAGE_BYTES - 1));
	if (meta->guest & SC_MAP_STASHED)
		v->rflags = sc_unstash(v->rflags, v->flags_stash);
}

/* After the interpreter: may the block go on behind the instruction? */
static bool goes_on(struct sc_vcpu *v, u64 next, u32 mode)
{
	if (v->rip != next || v->code_written || v->mode != mode || v->int_shadow || v->halted ||
	    v->shutdown || atomic_load_explicit(&v->attention, memory_order_relaxed))
		return false;
	v->flags_stash = sc_stash_of(v->rflags);
	sc_fpu_load(v);
	return true;
}

/* The block is left for v->rip. When nothing needs the dispatch loop and the branch cache
 * knows the place, go there at once: system calls and returns from them do. */
static void *elsewhere(struct sc_vcpu *v)
{
	enum sc_tlb_kind k = mmu_kind(v);
	const struct sc_ibtc *t = mmu_ibtc(v, k, v->rip);

	if (t->rip != v->rip || !sc_translates(v) || v->code_written ||
	    atomic_load_explicit(&v->attention, memory_order_relaxed))
		return NULL;
	v->flags_stash = sc_stash_of(v->rflags);
	v->rip_page = v->rip & PAGE_MASK;
	sc_fpu_load(v);
	return t->host;
}

void *sc_slow_access(struct sc_vcpu *v, const struct sc_meta *meta, gva_t addr)
{
	unsigned size = meta->access & 0x7f;
	u32 mode = v->mode;
	u64 next;

	enter_insn(v, meta);
	/* Misaligned vectors are the interpreter's: their #GP, if any, comes before a #PF */
	if ((size < 16 || !(addr & (size - 1))) &&
	    mmu_fill(v, addr, size, meta->access & 0x80 ? SC_WRITE : SC_READ) && !v->code_written) {
		sc_fpu_load(v);
		return (u8 *)meta + meta->to_retry;
	}
	if (v->code_written)
		return NULL;
	v->stats.slow_insns++;
	next = v->rip + meta->len;
	sc_interp_one(v);
	return goes_on(v, next, mode) ? (u8 *)meta + meta->to_next : elsewhere(v);
}

void *sc_slow_interp(struct sc_vcpu *v, const struct sc_meta *meta)
{
	u32 mode = v->mode;
	u64 next;

	if (!(meta->guest & SC_MAP_STASHED))
		v->rflags = (v->rflags & ~(u64)SC_ARITH) | (v->scratch[0] & SC_ARITH);
	enter_insn(v, meta);
	v->stats.interp_insns++;
	next = v->rip + meta->len;
	sc_interp_one(v);
	if (!(meta->access & 0x80) && goes_on(v, next, mode))
		return (u8 *)(meta + 1);
	return elsewhere(v);
}

/* The instruction at v->rip in the variant whose accesses stand alone; flags are stashed or dead */
static void *go_solo(struct sc_vcpu *v)
{
	u32 mode = v->mode | SC_MODE_SOLO;
	gpa_t gpa = mmu_fetch_gpa(v, v->rip);
	const struct sc_block *b = cache_find(v, gpa, mode);

	if (!b)
		b = sc_translate(v, gpa, mode);
	if (v->code_written)
		return NULL;
	if (!b) {
		sc_interp_one(v);
		return elsewhere(v);
	}
	sc_fpu_load(v);
	return v->vm->cache->rx + b->code_stashed;
}

static void *slow_window(struct sc_vcpu *v, const struct sc_window_meta *s, gva_t window, u32 slot)
{
	gva_t addr = window + (s->delta & ~SC_SITE_SOLO);
	unsigned size = s->m.access & 0x7f;
	enum sc_access access = s->m.access & 0x80 ? SC_WRITE : SC_READ;
	bool stores = s->span & SC_SITE_STORES, inside;
	const struct sc_tlbe *e = mmu_entry(v, mmu_kind(v), addr);

	if ((s->delta & SC_SITE_SOLO) && (window & ~PAGE_MASK) + size > PAGE_BYTES)
		return sc_slow_access(v, &s->m, addr);
	enter_insn(v, &s->m);
	if (slot && mmu_site_is_poly(v, slot)) {
		cache_set_poly(v, mmu_fetch_gpa(v, v->rip), s->m.len);
		return NULL;
	}
	v->stats.window_miss++;
	inside = (window & ~PAGE_MASK) + (s->span & ~SC_SITE_STORES) <= PAGE_BYTES;
	/* Misaligned vectors are the interpreter's: their #GP, if any, comes before a #PF */
	if ((stores ? e->tag_w : e->tag_r) != (addr & PAGE_MASK))
		e = size < 16 || !(addr & (size - 1)) ? mmu_fill(v, addr, size, access) : NULL;
	if (v->code_written)
		return NULL;
	if (e && inside && (!stores || e->tag_w == (addr & PAGE_MASK))) {
		if (slot)
			mmu_site_fill(v, slot, e, addr & PAGE_MASK);
		sc_fpu_load(v);
		return (u8 *)s + s->m.to_retry;
	}
	return s->delta & SC_SITE_SOLO ? sc_slow_access(v, &s->m, addr) : go_solo(v);
}

void *sc_slow_site(struct sc_vcpu *v, const struct sc_site_meta *s, gva_t window)
{
	return slow_window(v, &s->w, window, s->slot);
}

void *sc_slow_window(struct sc_vcpu *v, const struct sc_window_meta *s, gva_t window)
{
	return slow_window(v, s, window, 0);
}
