// SPDX-License-Identifier: BSD-2-Clause
/* A page that was run gets other code from a disk, again and again: virtio-blk (slot 2, legacy
 * interface) and AHCI (slot 3). The guest writes the versions of its code to the disk itself. */
#include "cpu.h"

NO_APS
static inline void outw(u16 p, u16 v) { __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(p)); }
static inline void outl(u16 p, u32 v) { __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(p)); }
static inline u16 inw(u16 p)
{
	u16 v;

	__asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(p));
	return v;
}

static inline u32 inl(u16 p)
{
	u32 v;

	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(p));
	return v;
}
static inline u32 rd32(u64 a) { return *(volatile u32 *)a; }
static inline void wr32(u64 a, u32 v) { *(volatile u32 *)a = v; }

#define VERSIONS 8
#define SECTOR 512

struct desc {
	u64 addr;
	u32 len;
	u16 flags, next;
};

static u8 ring[3 * 4096] __attribute__((aligned(4096)));
/* Pages of its own for each: one that was written often is run with more care */
static u8 code[2][4 * 4096] __attribute__((aligned(4096)));
static u8 image[SECTOR] __attribute__((aligned(512)));
static u32 list[256] __attribute__((aligned(1024)));
static u32 fises[64] __attribute__((aligned(256)));
static u32 table[64] __attribute__((aligned(256)));
static volatile u32 header[4];
static volatile u8 status;

static u32 abar;
static u16 io, size;

static u32 cfg(u32 slot, u32 off)
{
	outl(0xCF8, 1u << 31 | slot << 11 | off);
	return inl(0xCFC);
}

/* ---- virtio-blk ---- */

static int blk_begin(void)
{
	io = (u16)(cfg(2, 0x10) & ~3u);
	if (cfg(2, 0) != 0x10011af4)
		return -1;
	outb(io + 18, 0);
	outb(io + 18, 3);
	outl(io + 4, 0);
	outw(io + 14, 0);
	size = inw(io + 12);
	outl(io + 8, (u32)((u64)ring >> 12));
	outb(io + 18, 7);
	/* descriptors, available and used ring of this size fit into what we have */
	return size && size <= 256 ? 0 : -1;
}

static int blk_move(void *buf, u32 sector, int write)
{
	struct desc *d = (struct desc *)ring;
	volatile u16 *avail = (u16 *)(ring + 16 * size);
	volatile u16 *used = (u16 *)(ring + ((18 * size + 6 + 4095) & ~4095u));
	u16 idx = avail[1];

	header[0] = (u32)write;
	header[2] = sector;
	header[3] = 0;
	status = 0xee;
	d[0] = (struct desc){ (u64)header, 16, 1, 1 };
	d[1] = (struct desc){ (u64)buf, SECTOR, write ? 1 : 3, 2 };
	d[2] = (struct desc){ (u64)&status, 1, 2, 0 };
	avail[2 + idx % size] = 0;
	__sync_synchronize();
	avail[1] = idx + 1;
	__sync_synchronize();
	outw(io + 16, 0);
	while (used[1] != (u16)(idx + 1))
		pause();
	return status;
}

/* ---- AHCI ---- */

static int ahci_begin(void)
{
	abar = cfg(3, 0x24) & ~0xfu;
	if (cfg(3, 0) != 0x28218086)
		return -1;
	wr32(abar + 4, 1u << 31);
	wr32(abar + 0x100, (u32)(u64)list);
	wr32(abar + 0x108, (u32)(u64)fises);
	wr32(abar + 0x118, 0x16);
	wr32(abar + 0x118, 0x17);
	return 0;
}

static int ahci_move(void *buf, u32 sector, int write)
{
	list[0] = 5u | (u32)write << 6 | 1u << 16;
	list[2] = (u32)(u64)table;
	table[0] = 0x00008027 | (write ? 0x35 : 0x25) << 16;
	table[1] = sector | 0x40u << 24;
	table[2] = 0;
	table[3] = 1;
	table[32] = (u32)(u64)buf;
	table[33] = 0;
	table[35] = SECTOR - 1;
	__sync_synchronize();
	wr32(abar + 0x138, 1);
	while (rd32(abar + 0x138) & 1)
		if (rd32(abar + 0x110) & 0x78000000)
			return -1;
	return 0;
}

/* ---- the code: version @n returns @n * 1000 + what it was given ---- */

static void version(u32 n)
{
	for (u32 i = 0; i < SECTOR; i++)
		image[i] = 0x90;
	image[0] = 0x05; /* add eax, imm32 */
	*(u32 *)(image + 1) = n * 1000;
	image[5] = 0xC3; /* ret */
}

static u32 call(void *fn, u32 eax)
{
	u64 rax = eax;

	__asm__ volatile("call *%1" : "+a"(rax) : "c"(fn) : "memory");
	return (u32)rax;
}

static int try(int (*move)(void *, u32, int), u8 *page)
{
	static const u32 at[] = { 0, 512, 4096 - 512, 4096 - 256, 4096 + 100 };

	for (u32 n = 0; n < VERSIONS; n++) {
		version(n);
		if (move(image, n, 1))
			return 1;
	}
	for (u32 round = 0; round < 100; round++) {
		u8 *where = page + at[round % 5];
		u32 n = round * 5 % VERSIONS;

		if (move(where, n, 0))
			return 2;
		for (u32 i = 0; i < 200; i++)
			if (call(where, i) != n * 1000 + i)
				return 3;
	}
	return 0;
}

int main64(void)
{
	int rc;

	if (blk_begin())
		return 2;
	rc = try(blk_move, code[0]);
	if (rc)
		return 2 + rc;
	if (ahci_begin())
		return 6;
	rc = try(ahci_move, code[1]);
	return rc ? 6 + rc : PASS;
}
