// SPDX-License-Identifier: BSD-2-Clause
/* device/ahci/ata.c - The ATA command set (ACS-3): transfers, flush, trim, features
 *
 * Runs on the loop. A command ends with exactly one of slot_finish, slot_fail, slot_fatal,
 * slot_short, slot_signature and slot_packet_fail, now or from a completion. */
#include <errno.h>

#include "base/range.h"
#include "device/ahci/ahci.h"

#define DEV_LBA BIT(6)
#define DEV_FUA BIT(7)
#define TRIM_ENTRIES (AHCI_PAGE / 8)
#define CHS_HEADS 16u
#define CHS_SECTORS 63u
#define SMART_KEY 0xc24fu

enum {
	C_NOP = 0x00, C_DSM = 0x06, C_DEVICE_RESET = 0x08, C_RECALIBRATE = 0x10,
	C_READ = 0x20, C_READ_NORETRY = 0x21, C_READ_EXT = 0x24, C_READ_DMA_EXT = 0x25,
	C_READ_MULTI_EXT = 0x29, C_READ_LOG = 0x2f,
	C_WRITE = 0x30, C_WRITE_NORETRY = 0x31, C_WRITE_EXT = 0x34, C_WRITE_DMA_EXT = 0x35,
	C_WRITE_MULTI_EXT = 0x39, C_WRITE_DMA_FUA = 0x3d,
	C_VERIFY = 0x40, C_VERIFY_NORETRY = 0x41, C_VERIFY_EXT = 0x42, C_READ_LOG_DMA = 0x47,
	C_READ_NCQ = 0x60, C_WRITE_NCQ = 0x61, C_NCQ_NODATA = 0x63, C_SEND_NCQ = 0x64,
	C_RECEIVE_NCQ = 0x65, C_SEEK = 0x70,
	C_DIAGNOSTIC = 0x90, C_SET_GEOMETRY = 0x91, C_PACKET = 0xa0, C_IDENTIFY_PACKET = 0xa1,
	C_SMART = 0xb0, C_READ_MULTI = 0xc4, C_WRITE_MULTI = 0xc5, C_SET_MULTIPLE = 0xc6,
	C_READ_DMA = 0xc8, C_READ_DMA_NORETRY = 0xc9, C_WRITE_DMA = 0xca,
	C_WRITE_DMA_NORETRY = 0xcb, C_WRITE_MULTI_FUA = 0xce,
	C_STANDBY_NOW = 0xe0, C_IDLE_NOW = 0xe1, C_STANDBY = 0xe2, C_IDLE = 0xe3,
	C_CHECK_POWER = 0xe5, C_SLEEP = 0xe6, C_FLUSH = 0xe7, C_FLUSH_EXT = 0xea,
	C_IDENTIFY = 0xec, C_SET_FEATURES = 0xef,
};

/* ---- resets ---- */

void ata_init(struct ahci_port *p)
{
	struct ata_dev *d = &p->dev;
	bool packet = d->packet;

	memset(d, 0, sizeof(*d));
	d->packet = packet;
	d->write_cache = d->read_ahead = d->smart = true;
	d->heads = CHS_HEADS;
	d->sectors = CHS_SECTORS;
	d->xfer_mode = 0x45; /* UDMA 5 */
	d->power = 0xff;
	ata_reset(p, true);
}

void ata_reset(struct ahci_port *p, bool hard)
{
	struct ata_dev *d = &p->dev;

	d->srst = false;
	d->ncq_error = false;
	d->power = 0xff;
	if (!d->packet || !hard)
		return;
	d->locked = false;
	d->unit_attention = true;
	d->sense_key = d->asc = d->ascq = 0;
}

u8 ata_signature(const struct ahci_port *p, struct fis_regs *r)
{
	*r = (struct fis_regs){ .lba = { 1, 0, 0 }, .count = 1 };
	if (!p->dev.packet)
		return ATA_GOOD;
	r->lba[1] = 0x14;
	r->lba[2] = 0xeb;
	return 0;
}

/* ---- transfers ---- */

static u64 sectors(const struct ahci_port *p)
{
	return p->blk->size_bytes / p->blk->logical;
}

static void set_lba(struct ahci_slot *s, u64 lba)
{
	unsigned i;

	for (i = 0; i < 6; i++)
		s->regs.lba[i] = (u8)(lba >> 8 * i);
}

static void io_error(struct ahci_slot *s, int rc)
{
	if (s->port->dev.packet) {
		atapi_sense(s->port, 3, 0x11, 0); /* medium error, unrecovered read error */
		slot_packet_fail(s);
		return;
	}
	set_lba(s, s->off / s->port->blk->logical);
	if (rc == -EINVAL)
		slot_fail(s, ATA_E_IDNF);
	else if (s->req.kind == BLK_READ)
		slot_fail(s, ATA_E_UNC);
	else
		slot_fail(s, ATA_E_ABRT);
}

static void transfer_step(struct ahci_slot *s);

static void transfer_done(struct blk_req *req, int rc)
{
	struct ahci_slot *s = container_of(req, struct ahci_slot, req);

	/* A failed read may have stored a part */
	if (req->kind == BLK_READ)
		slot_wrote(s, req->len);
	if (rc) {
		io_error(s, rc);
		return;
	}
	s->moved += (u32)req->len;
	s->off += req->len;
	s->left -= req->len;
	transfer_step(s);
}

static void transfer_step(struct ahci_slot *s)
{
	struct blk *blk = s->port->blk;
	s64 n;

	if (!s->left || !slot_live(s)) {
		if (s->port->dev.packet)
			s->regs.count = 3;
		slot_finish(s);
		return;
	}
	n = slot_map(s, MIN(s->left, ALIGN_DOWN(blk->max_transfer, blk->logical)), blk->logical,
		     s->req.kind == BLK_READ);
	if (n == -EFAULT) {
		slot_fatal(s, PXIS_HBDS);
	} else if (n <= 0) {
		slot_short(s);
	} else {
		s->req.flags = s->blk_flags;
		s->req.off = s->off;
		s->req.len = (u64)n;
		s->req.iov = s->iov;
		s->req.niov = s->niov;
		s->req.done = transfer_done;
		blk_submit(blk, &s->req);
	}
}

void ata_transfer(struct ahci_slot *s, enum blk_kind kind, u64 off, u64 len)
{
	const struct ahci_port *p = s->port;

	s->off = off;
	s->left = len;
	s->req.kind = kind;
	s->blk_flags = kind == BLK_WRITE && !p->dev.write_cache ? BLK_REQ_FUA : 0;
	transfer_step(s);
}

void ata_give(struct ahci_slot *s, u32 len, enum slot_reply reply)
{
	s64 n = slot_give(s, s->buf, len);

	if (n < 0) {
		slot_fatal(s, PXIS_HBDS);
	} else if (n < len) {
		slot_short(s);
	} else {
		s->reply = reply;
		slot_finish(s);
	}
}

/* CHS or 28-bit address (ACS-3 has the second only; boot code uses the first) */
static bool lba28(const struct ahci_slot *s, u64 *lba)
{
	const struct fis_h2d *f = &s->fis;
	const struct ata_dev *d = &s->port->dev;
	unsigned cyl = f->lba1 | f->lba2 << 8, head = f->device & 0xfu, sec = f->lba0;

	if (f->device & DEV_LBA) {
		*lba = f->lba0 | f->lba1 << 8 | f->lba2 << 16 | (u64)head << 24;
		return true;
	}
	if (!sec || sec > d->sectors || head >= d->heads)
		return false;
	*lba = ((u64)cyl * d->heads + head) * d->sectors + sec - 1;
	return true;
}

struct cmd_shape {
	bool ext, ncq, pio, write, fua, verify;
};

static void read_write(struct ahci_slot *s, struct cmd_shape c)
{
	struct ahci_port *p = s->port;
	const struct fis_h2d *f = &s->fis;
	u32 logical = p->blk->logical, n;
	u64 lba;

	if (c.ncq) {
		lba = fis_lba48(f);
		n = fis_features(f) ? fis_features(f) : 65536;
		c.fua = f->device & DEV_FUA;
		if (f->count >> 3 != s->nr) {
			/* AHCI, 5.6.4.1: tag and slot are one number */
			slot_fail(s, ATA_E_ABRT);
			return;
		}
	} else if (c.ext) {
		lba = fis_lba48(f);
		n = fis_count(f) ? fis_count(f) : 65536;
	} else {
		n = f->count ? f->count : 256;
		if (!lba28(s, &lba)) {
			slot_fail(s, ATA_E_IDNF);
			return;
		}
	}
	if (!range_ok(lba, n, sectors(p))) {
		set_lba(s, lba);
		slot_fail(s, ATA_E_IDNF);
		return;
	}
	if (c.verify) {
		slot_finish(s);
		return;
	}
	if (c.write && p->blk->read_only) {
		slot_fail(s, ATA_E_ABRT);
		return;
	}
	if (c.pio && !c.write)
		s->reply = REPLY_PIO_IN;
	s->off = lba * logical;
	s->left = (u64)n * logical;
	s->req.kind = c.write ? BLK_WRITE : BLK_READ;
	s->blk_flags = c.write && (c.fua || !p->dev.write_cache) ? BLK_REQ_FUA : 0;
	transfer_step(s);
}

static void plain_done(struct blk_req *req, int rc)
{
	struct ahci_slot *s = container_of(req, struct ahci_slot, req);

	if (rc)
		slot_fail(s, ATA_E_ABRT);
	else
		slot_finish(s);
}

static void flush(struct ahci_slot *s)
{
	s->req = (struct blk_req){ .kind = BLK_FLUSH, .done = plain_done };
	blk_submit(s->port->blk, &s->req);
}

/* ---- trim: blocks of 64 entries, 48 bits sector and 16 bits count (ACS-3, 7.5) ---- */

static void trim_step(struct ahci_slot *s);

static void trim_done(struct blk_req *req, int rc)
{
	struct ahci_slot *s = container_of(req, struct ahci_slot, req);

	if (rc) {
		slot_fail(s, ATA_E_ABRT);
		return;
	}
	s->trim_off += req->len;
	s->trim_left -= req->len;
	trim_step(s);
}

/* Stand at the next range. Return: there is one; else the command is over */
static bool trim_next(struct ahci_slot *s)
{
	struct ahci_port *p = s->port;
	u64 entry, lba, n;
	s64 got;

	for (;;) {
		if (s->trim_entry == TRIM_ENTRIES) {
			if (!s->trim_blocks) {
				slot_finish(s);
				return false;
			}
			got = slot_take(s, s->buf, AHCI_PAGE);
			if (got == -EFAULT) {
				slot_fatal(s, PXIS_HBDS);
				return false;
			}
			if (got != AHCI_PAGE) {
				slot_short(s);
				return false;
			}
			s->trim_blocks--;
			s->trim_entry = 0;
		}
		entry = load_le64(s->buf + 8 * s->trim_entry++);
		lba = entry & (BIT64(48) - 1);
		n = entry >> 48;
		if (!n)
			continue;
		if (!range_ok(lba, n, sectors(p))) {
			set_lba(s, lba);
			slot_fail(s, ATA_E_IDNF | ATA_E_ABRT);
			return false;
		}
		s->trim_off = lba * p->blk->logical;
		s->trim_left = n * p->blk->logical;
		return true;
	}
}

static void trim_step(struct ahci_slot *s)
{
	struct blk *blk = s->port->blk;
	u64 max = ALIGN_DOWN(blk->max_discard, blk->logical);

	if (!slot_live(s)) {
		slot_finish(s);
		return;
	}
	if (!s->trim_left && !trim_next(s))
		return;
	s->req = (struct blk_req){
		.kind = BLK_DISCARD,
		.off = s->trim_off,
		.len = MIN(s->trim_left, MAX(max, blk->logical)),
		.done = trim_done,
	};
	blk_submit(blk, &s->req);
}

static void trim(struct ahci_slot *s, u32 blocks)
{
	const struct blk *blk = s->port->blk;

	if (!(blk->caps & BLK_CAP_DISCARD) || blk->read_only || !blocks ||
	    blocks > AHCI_TRIM_BLOCKS) {
		slot_fail(s, ATA_E_ABRT);
		return;
	}
	s->trim_blocks = blocks;
	s->trim_entry = TRIM_ENTRIES;
	s->trim_left = 0;
	trim_step(s);
}

static void send_ncq(struct ahci_slot *s)
{
	const struct fis_h2d *f = &s->fis;

	/* DATA SET MANAGEMENT with the trim bit, the only one that log 13h promises */
	if (f->count >> 3 != s->nr || (f->count_exp & 0x1f) || !(f->aux[0] & 1))
		slot_fail(s, ATA_E_ABRT);
	else
		trim(s, fis_features(f) ? fis_features(f) : 65536);
}

/* ---- the rest ---- */

static void set_features(struct ahci_slot *s)
{
	struct ata_dev *d = &s->port->dev;

	switch (s->fis.features) {
	case 0x03: /* transfer mode: PIO, multiword DMA, ultra DMA */
		d->xfer_mode = s->fis.count;
		break;
	case 0x02:
		d->write_cache = true;
		break;
	case 0x82:
		d->write_cache = false;
		if (d->packet)
			break;
		flush(s);
		return;
	case 0x55:
	case 0xaa:
		d->read_ahead = s->fis.features == 0xaa;
		break;
	case 0x66: /* settings stay or go at a reset: they stay */
	case 0xcc:
		break;
	default:
		slot_fail(s, ATA_E_ABRT);
		return;
	}
	slot_finish(s);
}

static void smart(struct ahci_slot *s)
{
	struct ata_dev *d = &s->port->dev;
	const struct fis_h2d *f = &s->fis;

	if ((f->lba1 | f->lba2 << 8) != SMART_KEY || (!d->smart && f->features != 0xd8)) {
		slot_fail(s, ATA_E_ABRT);
		return;
	}
	switch (f->features) {
	case 0xd0:
		ata_smart_data(s->buf);
		ata_give(s, AHCI_PAGE, REPLY_PIO_IN);
		return;
	case 0xd1:
		ata_smart_thresholds(s->buf);
		ata_give(s, AHCI_PAGE, REPLY_PIO_IN);
		return;
	case 0xd2: /* attribute autosave */
	case 0xda: /* return status: the key unchanged means healthy */
		break;
	case 0xd8:
	case 0xd9:
		d->smart = f->features == 0xd8;
		break;
	default:
		slot_fail(s, ATA_E_ABRT);
		return;
	}
	slot_finish(s);
}

static void read_log(struct ahci_slot *s, bool dma)
{
	const struct fis_h2d *f = &s->fis;
	u32 pages = fis_count(f);

	if (!pages || pages > AHCI_REPLY / AHCI_PAGE ||
	    !ata_log(s->port, f->lba0, f->lba1 | f->lba4 << 8, pages, s->buf)) {
		slot_fail(s, ATA_E_ABRT);
		return;
	}
	ata_give(s, pages * AHCI_PAGE, dma ? REPLY_D2H : REPLY_PIO_IN);
}

static void power(struct ahci_slot *s)
{
	struct ata_dev *d = &s->port->dev;

	switch (s->fis.command) {
	case C_CHECK_POWER:
		s->regs.count = d->power;
		break;
	case C_IDLE:
	case C_IDLE_NOW:
		d->power = 0xff;
		break;
	default:
		d->power = 0x00;
		if (d->packet)
			break;
		/* A disk that goes to sleep has written what it kept */
		flush(s);
		return;
	}
	slot_finish(s);
}

static void set_multiple(struct ahci_slot *s)
{
	u8 n = s->fis.count;

	if (n & (n - 1) || n > AHCI_MULTIPLE) {
		slot_fail(s, ATA_E_ABRT);
		return;
	}
	s->port->dev.multiple = n;
	slot_finish(s);
}

static void set_geometry(struct ahci_slot *s)
{
	struct ata_dev *d = &s->port->dev;

	if (!s->fis.count) {
		slot_fail(s, ATA_E_ABRT);
		return;
	}
	d->sectors = s->fis.count;
	d->heads = (s->fis.device & 0xfu) + 1;
	slot_finish(s);
}

bool ata_is_ncq(const struct ahci_slot *s)
{
	return !s->port->dev.packet && s->fis.command >= 0x60 && s->fis.command <= 0x65;
}

/* Commands that disks and CDs have in common. Return: it was one */
static bool exec_common(struct ahci_slot *s)
{
	switch (s->fis.command) {
	case C_DIAGNOSTIC:
		slot_signature(s);
		return true;
	case C_SET_FEATURES:
		set_features(s);
		return true;
	case C_STANDBY_NOW:
	case C_IDLE_NOW:
	case C_STANDBY:
	case C_IDLE:
	case C_CHECK_POWER:
	case C_SLEEP:
		power(s);
		return true;
	}
	return false;
}

static void exec_packet_device(struct ahci_slot *s)
{
	switch (s->fis.command) {
	case C_PACKET:
		if (s->hdr & HDR_A)
			atapi_exec(s);
		else
			slot_fail(s, ATA_E_ABRT);
		break;
	case C_IDENTIFY_PACKET:
		ata_give(s, atapi_identify(s->port, s->buf), REPLY_PIO_IN);
		break;
	case C_DEVICE_RESET:
		slot_signature(s);
		break;
	case C_IDENTIFY:
	case C_READ: /* old software tells CDs from disks by what these leave behind */
		ata_signature(s->port, &s->regs);
		slot_fail(s, ATA_E_ABRT);
		break;
	default:
		if (!exec_common(s))
			slot_fail(s, ATA_E_ABRT);
	}
}

static void exec_disk(struct ahci_slot *s)
{
	struct cmd_shape c = { 0 };

	switch (s->fis.command) {
	case C_READ_NCQ: c = (struct cmd_shape){ .ncq = true }; break;
	case C_WRITE_NCQ: c = (struct cmd_shape){ .ncq = true, .write = true }; break;
	case C_READ_DMA_EXT: c = (struct cmd_shape){ .ext = true }; break;
	case C_WRITE_DMA_EXT: c = (struct cmd_shape){ .ext = true, .write = true }; break;
	case C_WRITE_DMA_FUA:
		c = (struct cmd_shape){ .ext = true, .write = true, .fua = true };
		break;
	case C_READ_DMA: case C_READ_DMA_NORETRY: break;
	case C_WRITE_DMA: case C_WRITE_DMA_NORETRY: c.write = true; break;
	case C_READ: case C_READ_NORETRY: case C_READ_MULTI: c.pio = true; break;
	case C_READ_EXT: case C_READ_MULTI_EXT: c.pio = c.ext = true; break;
	case C_WRITE: case C_WRITE_NORETRY: case C_WRITE_MULTI: c.pio = c.write = true; break;
	case C_WRITE_EXT: case C_WRITE_MULTI_EXT: c.pio = c.write = c.ext = true; break;
	case C_WRITE_MULTI_FUA: c.pio = c.write = c.ext = c.fua = true; break;
	case C_VERIFY: case C_VERIFY_NORETRY: c.verify = true; break;
	case C_VERIFY_EXT: c.verify = c.ext = true; break;
	case C_FLUSH: case C_FLUSH_EXT: flush(s); return;
	case C_SEND_NCQ: send_ncq(s); return;
	case C_DSM:
		if (s->fis.features & 1)
			trim(s, fis_count(&s->fis) ? fis_count(&s->fis) : 65536);
		else
			slot_fail(s, ATA_E_ABRT);
		return;
	case C_IDENTIFY: ata_give(s, ata_identify(s->port, s->buf), REPLY_PIO_IN); return;
	case C_READ_LOG: case C_READ_LOG_DMA:
		read_log(s, s->fis.command == C_READ_LOG_DMA);
		return;
	case C_SMART: smart(s); return;
	case C_SET_MULTIPLE: set_multiple(s); return;
	case C_SET_GEOMETRY: set_geometry(s); return;
	case C_RECALIBRATE: case C_SEEK: slot_finish(s); return;
	default:
		if (!exec_common(s))
			slot_fail(s, ATA_E_ABRT);
		return;
	}
	read_write(s, c);
}

void ata_exec(struct ahci_slot *s)
{
	struct ata_dev *d = &s->port->dev;
	u8 cmd = s->fis.command;

	s->req.flags = 0;
	if (d->packet) {
		exec_packet_device(s);
		return;
	}
	if (d->ncq_error && !((cmd == C_READ_LOG || cmd == C_READ_LOG_DMA) &&
			      s->fis.lba0 == AHCI_LOG_NCQ)) {
		slot_fail(s, ATA_E_ABRT);
		return;
	}
	exec_disk(s);
}
