// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/interp/operand.h - Read-modify-write of one operand, LOCK included */
#ifndef ACCEL_SOFT_INTERP_OPERAND_H
#define ACCEL_SOFT_INTERP_OPERAND_H

#include "accel/soft/interp/interp.h"

/* Around an instruction in inline asm: load the arithmetic flags from AX (sc_flags_pack's
 * image) and bring them back. Neither touches the stack, so red zones are safe. */
#define SC_FLAGS_IN "addb $0x7f, %%al\n\tsahf\n\t"
#define SC_FLAGS_OUT "\n\tlahf\n\tseto %%al"

/* New value of the operand. @ax: arithmetic flags in and out, as sc_flags_pack() has them.
 * May be called again with another @old when a locked store lost a race; @ax starts over. */
typedef u64 sc_modify_fn(u64 old, u64 src, unsigned size, unsigned sub, u64 *ax);

/**
 * sc_modify() - operand 0 = fn(operand 0), then the arithmetic flags
 * @lock: atomic against other vCPUs when the operand is memory
 *
 * Return: the old value, zero-extended.
 */
u64 sc_modify(struct sc_vcpu *v, const struct sc_insn *in, sc_modify_fn *fn, u64 src, bool lock);
/* The same for @size bytes at linear @a */
u64 sc_modify_mem(struct sc_vcpu *v, gva_t a, unsigned size, sc_modify_fn *fn, u64 src,
		  unsigned sub, bool lock);

/* A locked access that crosses a page end, both pages being RAM */
struct sc_span {
	void *p[2];
	unsigned n[2];
	gpa_t store_gpa[2];
	unsigned store_len[2];
};
/* Take the bus lock and find both halves of [a, a+size). Throws #PF with the lock free. false: not
 * all RAM and the lock is free; nobody else can be at it, so use sc_read and sc_write. */
bool sc_span_lock(struct sc_vcpu *v, gva_t a, unsigned size, struct sc_span *s);
void sc_span_load(const struct sc_span *s, void *buf);
void sc_span_store(const struct sc_span *s, const void *buf);
void sc_span_unlock(struct sc_vcpu *v, const struct sc_span *s);

static inline u64 sc_host_load(const void *p, unsigned size)
{
	switch (size) {
	case 1: return *(const volatile u8 *)p;
	case 2: return *(const volatile u16 *)p;
	case 4: return *(const volatile u32 *)p;
	default: return *(const volatile u64 *)p;
	}
}
static inline void sc_host_store(void *p, u64 val, unsigned size)
{
	switch (size) {
	case 1: *(volatile u8 *)p = (u8)val; break;
	case 2: *(volatile u16 *)p = (u16)val; break;
	case 4: *(volatile u32 *)p = (u32)val; break;
	default: *(volatile u64 *)p = val; break;
	}
}

#endif
