// SPDX-License-Identifier: BSD-2-Clause
/* Code that a device writes or takes away runs as it is now, not as it was translated:
 * virtio-rnd (slot 2) stores into an instruction that ran before, virtio-balloon (slot 3)
 * discards the page of one. Legacy interface. */
#include "cpu.h"

NO_APS
static inline void outw(u16 p, u16 v) { __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(p)); }
static inline void outl(u16 p, u32 v) { __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(p)); }
static inline u16 inw(u16 p) { u16 v; __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(p)); return v; }
static inline u32 inl(u16 p) { u32 v; __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(p)); return v; }

struct desc {
	u64 addr;
	u32 len;
	u16 flags, next;
};

struct queue {
	u16 io, size;
	struct desc *desc;
	volatile u16 *avail, *used;
};

static u8 rings[2][3 * 4096] __attribute__((aligned(4096)));
static u8 code[3 * 4096] __attribute__((aligned(4096)));
static u32 scratch[4];

static u32 cfg(u32 slot, u32 off)
{
	outl(0xCF8, 1u << 31 | slot << 11 | off);
	return inl(0xCFC);
}

static int begin(struct queue *q, u32 slot, u8 *ring)
{
	q->io = (u16)(cfg(slot, 0x10) & ~3u);
	if ((cfg(slot, 0) & 0xffff) != 0x1af4)
		return -1;
	outb(q->io + 18, 0);
	outb(q->io + 18, 1);
	outb(q->io + 18, 3);
	outl(q->io + 4, 0);
	outw(q->io + 14, 0);
	q->size = inw(q->io + 12);
	q->desc = (struct desc *)ring;
	q->avail = (u16 *)(ring + 16 * q->size);
	q->used = (u16 *)(ring + ((18 * q->size + 6 + 4095) & ~4095u));
	outl(q->io + 8, (u32)((u64)ring >> 12));
	outb(q->io + 18, 7);
	return q->size ? 0 : -1;
}

static void request(struct queue *q, void *buf, u32 len, u16 flags)
{
	u16 idx = q->avail[1];

	q->desc[0].addr = (u64)buf;
	q->desc[0].len = len;
	q->desc[0].flags = flags;
	q->avail[2 + idx % q->size] = 0;
	__sync_synchronize();
	q->avail[1] = idx + 1;
	__sync_synchronize();
	outw(q->io + 16, 0);
	while (q->used[1] != (u16)(idx + 1))
		pause();
}

static u64 call(void *fn, u64 rax)
{
	__asm__ volatile("call *%1" : "+a"(rax) : "c"(fn) : "memory", "cc");
	return rax;
}

int main64(void)
{
	u8 *edge = code + 2 * 4096 - 6;
	u64 at = (u64)scratch;
	struct queue rnd, balloon;
	u32 last = 0, same = 0, got, pfn;

	if (begin(&rnd, 2, rings[0]) || begin(&balloon, 3, rings[1]))
		return 2;
	code[0] = 0xB8; /* mov eax, imm32 */
	code[5] = 0xC3; /* ret */
	for (u32 i = 0; i < 500; i++) {
		request(&rnd, code + 1, 4, 2);
		got = call(code, 0);
		if (got != *(u32 *)(code + 1))
			return 3;
		same += got == last;
		last = got;
	}
	if (same > 2)
		return 4;
	/* At a page's end: inc rax, twice; discarded it is add [rax], al, three times. The next
	 * page returns. */
	code[2 * 4096] = 0xC3;
	for (u32 i = 0; i < 20; i++) {
		edge[0] = edge[3] = 0x48;
		edge[1] = edge[4] = 0xFF;
		edge[2] = edge[5] = 0xC0;
		if (call(edge, at) != at + 2)
			return 5;
		pfn = (u32)((u64)edge >> 12);
		request(&balloon, &pfn, 4, 0);
		if (*(volatile u8 *)edge)
			return 6;
		scratch[0] = 0;
		if (call(edge, at) != at)
			return 7;
		if ((u8)scratch[0] != (u8)(3 * at))
			return 8;
	}
	return PASS;
}
