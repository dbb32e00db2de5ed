// SPDX-License-Identifier: BSD-2-Clause
/* accel/soft/translate/shadow.c - Where translated calls come back to
 *
 * A guest call is a host call too, so that the host's own prediction of returns
 * works. Host rsp is then a stack of frames: the guest's return address and, pushed
 * by the host's call, the code to go on at. A guest ret takes the host's way
 * back when the address that it popped is the one in the frame (ret_write in
 * translate.c); else the frames are of no use, which is what a switch of guest
 * stacks looks like, and are all forgotten.
 *
 * A frame is as good as an entry of the branch cache, v->ibtc, and goes with it:
 * mmu_ibtc_flush() forgets the frames. Code of CPL 3 and of the kernel have a
 * stack each. The guest cannot reach either. [vcpu] */
#include <errno.h>
#include <sys/mman.h>

#include "accel/soft/translate/translate.h"

/* Below the limit there is room for slow paths and for a host signal's frame */
#define STACK_BYTES (256u << 10)
#define ROOM_BYTES (64u << 10)
/* Not canonical, so what a guest returns to only to have a #GP */
#define NO_RETURN 0x8000fee1dead0000ull

void sc_shadow_reset(struct sc_vcpu *v, enum sc_tlb_kind k)
{
	u64 *frame = (u64 *)v->shadow_top[k];

	v->shadow[k] = v->shadow_top[k];
	/* The frame below all others: no ret matches it but one that faults */
	if (frame) {
		frame[0] = (u64)v->vm->cache->rx + SC_JUMP_AT(k);
		frame[1] = NO_RETURN;
	}
}

int sc_shadow_init(struct sc_vcpu *v)
{
	unsigned k;
	u8 *p;

	p = mmap(NULL, SC_NUM_TLBS * STACK_BYTES, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return -ENOMEM;
	v->shadow_memory = p;
	for (k = 0; k < SC_NUM_TLBS; k++) {
		v->shadow_limit[k] = (u64)p + k * STACK_BYTES + ROOM_BYTES;
		v->shadow_top[k] = (u64)p + (k + 1) * STACK_BYTES - 64;
		sc_shadow_reset(v, k);
	}
	return 0;
}

void sc_shadow_fini(struct sc_vcpu *v)
{
	if (v->shadow_memory)
		munmap(v->shadow_memory, SC_NUM_TLBS * STACK_BYTES);
	v->shadow_memory = NULL;
}
