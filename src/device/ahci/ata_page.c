// SPDX-License-Identifier: BSD-2-Clause
/* device/ahci/ata_page.c - Pages of data that a disk describes itself with
 *
 * IDENTIFY DEVICE (ACS-3, 7.12.7), general purpose logs (9), SMART (SFF-8035i). */
#include "device/ahci/ahci.h"

static void put(u8 *buf, unsigned word, u16 val)
{
	store_le16(buf + 2 * word, val);
}

static u16 get(const u8 *buf, unsigned word)
{
	return load_le16(buf + 2 * word);
}

void ata_put_text(u8 *buf, unsigned word, unsigned words, const char *text)
{
	unsigned i;

	/* Two characters a word, the first in the upper half; blanks at the end */
	for (i = 0; i < 2 * words; i++)
		buf[2 * word + (i ^ 1)] = *text ? (u8)*text++ : ' ';
}

void ata_put_checksum(u8 *buf)
{
	u8 sum = 0;
	unsigned i;

	buf[510] = 0xa5;
	for (i = 0; i < 511; i++)
		sum = (u8)(sum + buf[i]);
	buf[511] = (u8)-sum;
}

/* Words that disks and CDs share */
void ata_put_common(const struct ahci_port *p, u8 *buf)
{
	const struct ata_dev *d = &p->dev;
	unsigned mode = d->xfer_mode;

	ata_put_text(buf, 10, 10, p->blk->serial);
	ata_put_text(buf, 23, 4, "001");
	ata_put_text(buf, 27, 20, p->model);
	put(buf, 53, 0x0006);			/* words 64..70 and 88 are valid */
	put(buf, 63, 0x0007);			/* multiword DMA 0..2 */
	put(buf, 64, 0x0003);			/* PIO 3, 4 */
	for (unsigned w = 65; w <= 68; w++)
		put(buf, w, 120);		/* cycle times, ns */
	put(buf, 80, 0x03f0);			/* ATA-4 .. ACS-3 */
	put(buf, 88, 0x007f);			/* ultra DMA 0..6 */
	if ((mode & 0xf8) == 0x40)
		put(buf, 88, (u16)(get(buf, 88) | 0x100u << (mode & 7)));
	else if ((mode & 0xf8) == 0x20 && (mode & 7) < 3)
		put(buf, 63, (u16)(get(buf, 63) | 0x100u << (mode & 7)));
}

static void put_sector_size(const struct blk *b, u8 *buf)
{
	unsigned shift = 0;
	u16 w = 0x4000;

	while ((b->logical << shift) < b->physical)
		shift++;
	if (shift)
		w |= (u16)(0x2000 | shift);
	if (b->logical > AHCI_PAGE) {
		w |= 0x1000;
		put(buf, 117, (u16)(b->logical / 2));
		put(buf, 118, (u16)(b->logical / 2 >> 16));
	}
	put(buf, 106, w);
	put(buf, 209, 0x4000); /* the first sector is aligned */
}

static void put_capacity(const struct blk *b, u8 *buf)
{
	u64 n = b->size_bytes / b->logical, low = MIN(n, 0x0fffffffull), cyl = n / (16 * 63);

	put(buf, 1, (u16)MIN(cyl, 16383u));
	put(buf, 3, 16);
	put(buf, 6, 63);
	put(buf, 60, (u16)low);
	put(buf, 61, (u16)(low >> 16));
	for (unsigned i = 0; i < 4; i++)
		put(buf, 100 + i, (u16)(n >> 16 * i));
}

u32 ata_identify(const struct ahci_port *p, u8 *buf)
{
	const struct ata_dev *d = &p->dev;
	const struct blk *b = p->blk;
	bool trim = (b->caps & BLK_CAP_DISCARD) && !b->read_only;

	memset(buf, 0, AHCI_PAGE);
	put(buf, 0, 0x0040);
	put_capacity(b, buf);
	ata_put_common(p, buf);
	put(buf, 47, 0x8000 | AHCI_MULTIPLE);
	put(buf, 49, 0x2f00);			/* timers, IORDY, LBA, DMA */
	put(buf, 50, 0x4000);
	if (d->multiple)
		put(buf, 59, (u16)(0x0100 | d->multiple));
	if (trim && (b->caps & BLK_CAP_DISCARD_ZEROES))
		put(buf, 69, 0x4020);		/* reads after trim: the same always, zeros */
	put(buf, 75, AHCI_SLOTS - 1);
	put(buf, 76, 0x010e);			/* NCQ, generations 1..3 */
	put(buf, 77, (u16)(3 << 1 | (trim ? 0x40 : 0))); /* generation 3 now; SEND FPDMA */
	put(buf, 82, 0x4069);			/* NOP, look-ahead, write cache, power, SMART */
	put(buf, 83, 0x7400);			/* FLUSH EXT, FLUSH, 48 bits */
	put(buf, 84, 0x4060);			/* WRITE FUA, logs */
	put(buf, 85, (u16)(0x4008 | d->read_ahead << 6 | d->write_cache << 5 | d->smart));
	put(buf, 86, 0x3400);
	put(buf, 87, 0x4060);
	if (trim) {
		put(buf, 105, AHCI_TRIM_BLOCKS);
		put(buf, 169, 1);
	}
	put_sector_size(b, buf);
	put(buf, 217, b->rotational ? 7200 : 1);
	ata_put_checksum(buf);
	return AHCI_PAGE;
}

/* ---- general purpose logs ---- */

#define LOG_DIRECTORY 0x00u
#define LOG_SEND_RECEIVE 0x13u

bool ata_log(struct ahci_port *p, unsigned log, unsigned page, unsigned pages, u8 *buf)
{
	bool trim = (p->blk->caps & BLK_CAP_DISCARD) && !p->blk->read_only;

	if (page || pages != 1)
		return false;
	memset(buf, 0, AHCI_PAGE);
	switch (log) {
	case LOG_DIRECTORY: /* a word a log: its pages (9.2) */
		put(buf, 0, 1); /* version */
		put(buf, AHCI_LOG_NCQ, 1);
		if (trim)
			put(buf, LOG_SEND_RECEIVE, 1);
		return true;
	case AHCI_LOG_NCQ:
		memcpy(buf, p->dev.ncq_log, AHCI_PAGE);
		p->dev.ncq_error = false;
		return true;
	case LOG_SEND_RECEIVE: /* SEND FPDMA QUEUED takes DATA SET MANAGEMENT, and of it trim */
		buf[0] = trim;
		buf[4] = trim;
		return trim;
	}
	return false;
}

/* 9.10: which queued command failed, and its registers */
void ata_ncq_log_set(struct ahci_port *p, const struct ahci_slot *s, u8 status, u8 error)
{
	u8 *l = p->dev.ncq_log, sum = 0;
	unsigned i;

	memset(l, 0, AHCI_PAGE);
	l[0] = s->nr;
	l[2] = status;
	l[3] = error;
	memcpy(l + 4, s->regs.lba, 3);
	l[7] = s->regs.device;
	memcpy(l + 8, s->regs.lba + 3, 3);
	l[12] = s->regs.count;
	l[13] = s->regs.count_exp;
	for (i = 0; i < AHCI_PAGE - 1; i++)
		sum = (u8)(sum + l[i]);
	l[AHCI_PAGE - 1] = (u8)-sum;
	p->dev.ncq_error = true;
}

/* ---- SMART: a disk that never fails, for software that asks ---- */

static const struct {
	u8 id, flags, value, threshold;
	u8 raw;
} attribute[] = {
	{ 5, 0x33, 100, 10, 0 },  /* reallocated sectors */
	{ 9, 0x32, 100, 0, 0 },	  /* power-on hours */
	{ 12, 0x32, 100, 0, 1 },  /* power cycles */
	{ 194, 0x22, 100, 0, 30 }, /* degrees Celsius */
};

static void sum_page(u8 *buf)
{
	u8 sum = 0;
	unsigned i;

	for (i = 0; i < AHCI_PAGE - 1; i++)
		sum = (u8)(sum + buf[i]);
	buf[AHCI_PAGE - 1] = (u8)-sum;
}

void ata_smart_data(u8 *buf)
{
	unsigned i;
	u8 *a;

	memset(buf, 0, AHCI_PAGE);
	put(buf, 0, 0x0010);
	for (i = 0; i < ARRAY_LEN(attribute); i++) {
		a = buf + 2 + 12 * i;
		a[0] = attribute[i].id;
		a[1] = attribute[i].flags;
		a[3] = a[4] = attribute[i].value;
		a[5] = attribute[i].raw;
	}
	put(buf, 184, 0x0003); /* SMART capability: saves attributes */
	sum_page(buf);
}

void ata_smart_thresholds(u8 *buf)
{
	unsigned i;

	memset(buf, 0, AHCI_PAGE);
	put(buf, 0, 0x0010);
	for (i = 0; i < ARRAY_LEN(attribute); i++) {
		buf[2 + 12 * i] = attribute[i].id;
		buf[3 + 12 * i] = attribute[i].threshold;
	}
	sum_page(buf);
}
