// SPDX-License-Identifier: BSD-2-Clause
/* device/ahci/fis.c - Command lists, PRD tables and received FISes in guest memory
 *
 * The only file of the room that follows guest pointers. Each structure is copied once and
 * checked by mem/; PRD entries are read one at a time as the transfer comes to them, so a table
 * of any length needs no memory of ours. A guest that changes its table during a transfer gets
 * the transfer that it wrote down. [loop], but for fis_post_*. */
#include <errno.h>

#include "device/ahci/ahci.h"

#define HDR_BYTES 32u
#define TABLE_CDB 0x40u
#define TABLE_PRDT 0x80u
#define PRD_BYTES 16u
#define PRD_INTR BIT(31)
#define PRD_LEN_MASK 0x3fffffu

#define FIS_D2H 0x34
#define FIS_PIO 0x5f
#define FIS_SDB 0xa1
#define FIS_INTR 0x40
#define FIS_TO_HOST 0x20
/* Where they are received (4.2.1) */
#define RX_PIO 0x20u
#define RX_D2H 0x40u
#define RX_SDB 0x58u

/* 4.2.2, 4.2.3.3 */
struct cmd_header {
	le32 flags, prdbc, table_lo, table_hi, reserved[4];
};
struct prd {
	le32 addr_lo, addr_hi, reserved, len;
};

static struct mem *mem_of(const struct ahci_port *p)
{
	return p->hba->dev.env->mem;
}

int slot_fetch(struct ahci_slot *s)
{
	struct ahci_port *p = s->port;
	struct cmd_header h;
	struct mem *mem = mem_of(p);
	gpa_t list;

	pthread_mutex_lock(&p->hba->lock);
	list = p->clb | (u64)p->clbu << 32;
	pthread_mutex_unlock(&p->hba->lock);
	s->hdr_gpa = list + s->nr * HDR_BYTES;
	s->hdr = 0;
	s->prd_num = 0;
	slot_rewind(s);
	if (mem_read(mem, s->hdr_gpa, &h, sizeof(h)))
		return -EFAULT;
	s->hdr = le32_get(h.flags);
	s->prd_num = s->hdr >> 16;
	s->table = (le32_get(h.table_lo) & ~0x7fu) | (u64)le32_get(h.table_hi) << 32;
	if (mem_read(mem, s->table, &s->fis, sizeof(s->fis)))
		return -EFAULT;
	memset(s->cdb, 0, sizeof(s->cdb));
	if ((s->hdr & HDR_A) && mem_read(mem, s->table + TABLE_CDB, s->cdb, sizeof(s->cdb)))
		return -EFAULT;
	if ((s->hdr & HDR_CFL) < 2 || s->fis.type != FIS_H2D)
		return -EINVAL;
	s->regs.count = s->fis.count;
	s->regs.count_exp = s->fis.count_exp;
	s->regs.device = s->fis.device;
	memcpy(s->regs.lba, &s->fis.lba0, 3);
	memcpy(s->regs.lba + 3, &s->fis.lba3, 3);
	return 0;
}

void slot_rewind(struct ahci_slot *s)
{
	s->prd_next = 0;
	s->prd_used = 0;
	s->prd_intr = false;
	s->moved = 0;
	s->niov = 0;
}

static int prd_read(const struct ahci_slot *s, unsigned i, gpa_t *at, u32 *len, bool *intr)
{
	struct prd e;

	if (mem_read(mem_of(s->port), s->table + TABLE_PRDT + (u64)i * PRD_BYTES, &e, sizeof(e)))
		return -EFAULT;
	*at = (le32_get(e.addr_lo) & ~1u) | (u64)le32_get(e.addr_hi) << 32;
	/* Bit 0 is always set: an even number of bytes, less one */
	*len = (((le32_get(e.len) & PRD_LEN_MASK) | 1) + 1);
	*intr = le32_get(e.len) & PRD_INTR;
	return 0;
}

/* Stand @bytes further on; for the rare transfer whose end did not fit */
static int prd_skip(struct ahci_slot *s, u64 bytes)
{
	bool intr;
	gpa_t at;
	u32 len;

	while (bytes) {
		if (s->prd_next >= s->prd_num || prd_read(s, s->prd_next, &at, &len, &intr))
			return -EFAULT;
		if (s->prd_used + bytes < len) {
			s->prd_used += (u32)bytes;
			break;
		}
		bytes -= len - MIN(len, s->prd_used);
		s->prd_used = 0;
		s->prd_next++;
	}
	return 0;
}

static void iov_cut(struct ahci_slot *s, u64 bytes)
{
	unsigned i;

	for (i = 0; i < s->niov && bytes; i++) {
		if (s->iov[i].iov_len > bytes)
			s->iov[i].iov_len = bytes;
		bytes -= s->iov[i].iov_len;
	}
	s->niov = i;
}

s64 slot_map(struct ahci_slot *s, u64 max, u32 unit, bool device_writes)
{
	unsigned limit = MIN(AHCI_IOVS, s->port->blk->max_segments);
	unsigned first = s->prd_next, i;
	u32 first_used = s->prd_used, len, rest;
	u64 bytes = 0, take, over;
	bool intr, full = false;
	gpa_t at;
	int n;

	s->niov = 0;
	while (bytes < max && s->prd_next < s->prd_num && s->niov < limit) {
		if (prd_read(s, s->prd_next, &at, &len, &intr))
			return -EFAULT;
		/* The guest may have made the entry shorter since we began with it */
		rest = len - MIN(len, s->prd_used);
		take = MIN(rest, max - bytes);
		at += s->prd_used;
		n = take ? mem_iov(mem_of(s->port), at, take, device_writes, s->iov + s->niov,
				   (int)(limit - s->niov)) : 0;
		if (n == -E2BIG) {
			full = true;
			break;
		}
		if (n < 0)
			return -EFAULT;
		for (i = s->niov; i < s->niov + (unsigned)n; i++) {
			s->gpa[i] = at;
			at += s->iov[i].iov_len;
		}
		s->niov += (unsigned)n;
		bytes += take;
		s->prd_used += (u32)take;
		if (s->prd_used >= len) {
			s->prd_used = 0;
			s->prd_next++;
			s->prd_intr |= intr;
		}
	}
	full |= s->niov == limit && bytes < max && s->prd_next < s->prd_num;
	over = bytes % unit;
	if (!over)
		return (s64)bytes;
	bytes -= over;
	if (!bytes && full)
		return -E2BIG;
	iov_cut(s, bytes);
	s->prd_next = first;
	s->prd_used = first_used;
	return prd_skip(s, bytes) ? -EFAULT : (s64)bytes;
}

void slot_wrote(struct ahci_slot *s, u64 bytes)
{
	struct mem *mem = mem_of(s->port);
	unsigned i;
	u64 n;

	for (i = 0; i < s->niov && bytes; i++) {
		n = MIN(bytes, s->iov[i].iov_len);
		mem_wrote(mem, s->gpa[i], n);
		bytes -= n;
	}
}

static s64 copy(struct ahci_slot *s, u8 *buf, u32 len, bool to_guest)
{
	u32 done = 0, i;
	s64 n;

	while (done < len) {
		n = slot_map(s, len - done, 1, to_guest);
		if (n < 0)
			return n;
		if (!n)
			break;
		for (i = 0; i < s->niov; i++) {
			if (to_guest)
				memcpy(s->iov[i].iov_base, buf + done, s->iov[i].iov_len);
			else
				memcpy(buf + done, s->iov[i].iov_base, s->iov[i].iov_len);
			done += (u32)s->iov[i].iov_len;
		}
		if (to_guest)
			slot_wrote(s, (u64)n);
	}
	s->moved += done;
	return done;
}

s64 slot_give(struct ahci_slot *s, const void *buf, u32 len)
{
	return copy(s, (u8 *)buf, len, true);
}

s64 slot_take(struct ahci_slot *s, void *buf, u32 len)
{
	return copy(s, buf, len, false);
}

void slot_store_prdbc(struct ahci_slot *s)
{
	le32 n = le32_of(s->moved);

	/* The header was there when the command was fetched; if it is no more, nobody reads it */
	if (mem_write(mem_of(s->port), s->hdr_gpa + 4, &n, sizeof(n)))
		return;
}

/* ---- received FISes; the controller's lock is held ---- */

static void post(struct ahci_port *p, u32 off, const u8 *fis, u32 len)
{
	gpa_t base = p->fb | (u64)p->fbu << 32;

	if (!(p->cmd & PXCMD_FR))
		return;
	if (mem_write(mem_of(p), base + off, fis, len)) {
		p->is |= PXIS_HBFS;
		p->halted = true;
	}
}

static void task_file(struct ahci_port *p, u8 status, u8 error)
{
	p->tfd = status | (u32)error << 8;
	if (status & ATA_ERR) {
		p->is |= PXIS_TFES;
		p->halted = true;
	}
}

static void registers(const struct fis_regs *r, u8 *f)
{
	memcpy(f + 4, r->lba, 3);
	f[7] = r->device;
	memcpy(f + 8, r->lba + 3, 3);
	f[12] = r->count;
	f[13] = r->count_exp;
}

void fis_post_d2h(struct ahci_port *p, const struct fis_regs *r, u8 status, u8 error, bool intr)
{
	u8 f[20] = { FIS_D2H, intr ? FIS_INTR : 0, status, error };

	registers(r, f);
	post(p, RX_D2H, f, sizeof(f));
	task_file(p, status, error);
	if (intr)
		p->is |= PXIS_DHRS;
}

void fis_post_pio(struct ahci_port *p, const struct fis_regs *r, u8 status, u16 bytes)
{
	u8 f[20] = { FIS_PIO, FIS_INTR | FIS_TO_HOST, status | ATA_DRQ, 0 };

	registers(r, f);
	f[15] = status;
	store_le16(f + 16, bytes);
	post(p, RX_PIO, f, sizeof(f));
	task_file(p, status, 0);
	p->is |= PXIS_PSS;
}

void fis_post_sdb(struct ahci_port *p, u8 status, u8 error, u32 done)
{
	u8 f[8] = { FIS_SDB, FIS_INTR, status & 0x77, error };

	store_le32(f + 4, done);
	post(p, RX_SDB, f, sizeof(f));
	task_file(p, (u8)((p->tfd & (ATA_BSY | ATA_DRQ)) | (status & 0x77)), error);
	p->sact &= ~done;
	p->is |= PXIS_SDBS;
}
