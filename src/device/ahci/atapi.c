// SPDX-License-Identifier: BSD-2-Clause
/* device/ahci/atapi.c - Packet commands of a CD or DVD drive with one data track
 *
 * SPC-4 (inquiry, sense, mode sense), MMC-6 (everything with "disc" in it). The image is the
 * user data of a single session in 2048-byte blocks. Up to 700 MB or so it is a CD-ROM, beyond a
 * DVD-ROM: drivers that care look at the current profile. [loop] */
#include <errno.h>

#include "base/range.h"
#include "device/ahci/ahci.h"

#define BLOCK 2048u
#define CD_BLOCKS (99u * 60 * 75) /* what minutes:seconds:frames can name */
#define LEADOUT 0xaau

#define NO_SENSE 0
#define NOT_READY 2
#define ILLEGAL_REQUEST 5
#define UNIT_ATTENTION 6

#define PROFILE_CD 0x0008u
#define PROFILE_DVD 0x0010u

enum {
	P_TEST_UNIT_READY = 0x00, P_REQUEST_SENSE = 0x03, P_INQUIRY = 0x12, P_MODE_SENSE_6 = 0x1a,
	P_START_STOP = 0x1b, P_PREVENT_ALLOW = 0x1e, P_READ_CAPACITY = 0x25, P_READ_10 = 0x28,
	P_SEEK = 0x2b, P_READ_TOC = 0x43, P_GET_CONFIGURATION = 0x46, P_GET_EVENT = 0x4a,
	P_READ_DISC_INFO = 0x51, P_MODE_SENSE_10 = 0x5a, P_REPORT_LUNS = 0xa0, P_READ_12 = 0xa8,
	P_SET_SPEED = 0xbb, P_MECHANISM = 0xbd, P_READ_CD = 0xbe,
};

static u16 be16_at(const u8 *p) { return (u16)(p[0] << 8 | p[1]); }
static u32 be32_at(const u8 *p) { return (u32)be16_at(p) << 16 | be16_at(p + 2); }
static void put16(u8 *p, u32 v) { p[0] = (u8)(v >> 8); p[1] = (u8)v; }
static void put32(u8 *p, u32 v) { put16(p, v >> 16); put16(p + 2, v); }

void atapi_sense(struct ahci_port *p, u8 key, u8 asc, u8 ascq)
{
	p->dev.sense_key = key;
	p->dev.asc = asc;
	p->dev.ascq = ascq;
}

u32 atapi_identify(const struct ahci_port *p, u8 *buf)
{
	memset(buf, 0, AHCI_PAGE);
	ata_put_common(p, buf);
	store_le16(buf, 0x85c0);	    /* packet device, CD, removable, 12-byte packets */
	store_le16(buf + 2 * 49, 0x0f00);   /* DMA, LBA, IORDY */
	store_le16(buf + 2 * 76, 0x000e);   /* generations 1..3 */
	store_le16(buf + 2 * 77, 3 << 1);
	store_le16(buf + 2 * 82, 0x4218);   /* NOP, DEVICE RESET, PACKET, power */
	store_le16(buf + 2 * 83, 0x4000);
	store_le16(buf + 2 * 84, 0x4000);
	store_le16(buf + 2 * 85, 0x4218);
	store_le16(buf + 2 * 87, 0x4000);
	ata_put_checksum(buf);
	return AHCI_PAGE;
}

/* ---- ends ---- */

static void done(struct ahci_slot *s)
{
	s->regs.count = 3;
	slot_finish(s);
}

static void fail(struct ahci_slot *s, u8 key, u8 asc, u8 ascq)
{
	atapi_sense(s->port, key, asc, ascq);
	slot_packet_fail(s);
}

static void bad_field(struct ahci_slot *s)
{
	fail(s, ILLEGAL_REQUEST, 0x24, 0);
}

/* The guest gets what it has room for; the byte count says how much that was */
static void give(struct ahci_slot *s, u32 len, u32 room)
{
	s64 n = slot_give(s, s->buf, MIN(len, room));

	if (n < 0) {
		slot_fatal(s, PXIS_HBDS);
		return;
	}
	s->regs.lba[1] = (u8)n;
	s->regs.lba[2] = (u8)(n >> 8);
	done(s);
}

static u32 num_blocks(const struct ahci_port *p)
{
	u64 n = p->blk->size_bytes / BLOCK;

	return (u32)MIN(n, 0xffffffffull);
}

static u32 profile(const struct ahci_port *p)
{
	return num_blocks(p) > CD_BLOCKS ? PROFILE_DVD : PROFILE_CD;
}

/* ---- SPC ---- */

static void request_sense(struct ahci_slot *s)
{
	struct ata_dev *d = &s->port->dev;

	memset(s->buf, 0, 18);
	s->buf[0] = 0x70;
	s->buf[2] = d->sense_key;
	s->buf[7] = 10;
	s->buf[12] = d->asc;
	s->buf[13] = d->ascq;
	atapi_sense(s->port, NO_SENSE, 0, 0);
	give(s, 18, s->cdb[4]);
}

static void pad(u8 *to, const char *text, size_t len)
{
	memset(to, ' ', len);
	memcpy(to, text, MIN(strlen(text), len));
}

static void inquiry_vpd(struct ahci_slot *s)
{
	const char *serial = s->port->blk->serial;
	u32 room = be16_at(s->cdb + 3), n = (u32)strlen(serial);
	u8 *b = s->buf;

	memset(b, 0, 64);
	b[0] = 0x05;
	b[1] = s->cdb[2];
	switch (s->cdb[2]) {
	case 0x00:
		b[3] = 3;
		b[5] = 0x80;
		b[6] = 0x83;
		break;
	case 0x80:
		b[3] = (u8)n;
		memcpy(b + 4, serial, n);
		break;
	case 0x83: /* one designator: T10 vendor and serial, as text */
		b[3] = (u8)(4 + 8 + n);
		b[4] = 2;
		b[5] = 1;
		b[7] = (u8)(8 + n);
		pad(b + 8, "BHYVE", 8);
		memcpy(b + 16, serial, n);
		break;
	default:
		bad_field(s);
		return;
	}
	give(s, 4u + b[3], room);
}

static void inquiry(struct ahci_slot *s)
{
	u8 *b = s->buf;

	if (s->cdb[1] & 1) {
		inquiry_vpd(s);
		return;
	}
	if (s->cdb[2]) {
		bad_field(s);
		return;
	}
	memset(b, 0, 36);
	b[0] = 0x05; /* CD/DVD */
	b[1] = 0x80; /* removable */
	b[2] = 0x05; /* SPC-3 */
	b[3] = 0x02;
	b[4] = 36 - 5;
	pad(b + 8, "BHYVE", 8);
	pad(b + 16, s->port->product, 16);
	pad(b + 32, "001", 4);
	give(s, 36, be16_at(s->cdb + 3));
}

/* Pages 01h error recovery, 2Ah capabilities. Return: bytes, 0 = no such page */
static u32 mode_pages(const struct ahci_slot *s, unsigned page, u8 *b)
{
	u32 n = 0;

	if (page == 0x01 || page == 0x3f) {
		memset(b + n, 0, 12);
		b[n] = 0x01;
		b[n + 1] = 10;
		b[n + 3] = 5; /* retries */
		n += 12;
	}
	if (page == 0x2a || page == 0x3f) {
		memset(b + n, 0, 22);
		b[n] = 0x2a;
		b[n + 1] = 20;
		b[n + 2] = 0x3b; /* reads CD-R, CD-RW, method 2, DVD-ROM, DVD-R */
		b[n + 4] = 0x70; /* mode 2 forms, multisession */
		b[n + 6] = (u8)(0x29 | s->port->dev.locked << 1); /* tray, eject, lock */
		put16(b + n + 8, 0x0b00);  /* KB/s */
		put16(b + n + 12, 0x0200); /* KB of buffer */
		put16(b + n + 14, 0x0b00);
		n += 22;
	}
	return n;
}

static void mode_sense(struct ahci_slot *s, bool ten)
{
	u32 head = ten ? 8 : 4, room = ten ? be16_at(s->cdb + 7) : s->cdb[4], n;

	if (s->cdb[2] >> 6 == 3) {
		fail(s, ILLEGAL_REQUEST, 0x39, 0); /* no saved pages */
		return;
	}
	memset(s->buf, 0, head);
	n = mode_pages(s, s->cdb[2] & 0x3fu, s->buf + head);
	if (!n) {
		bad_field(s);
		return;
	}
	n += head;
	if (ten)
		put16(s->buf, n - 2);
	else
		s->buf[0] = (u8)(n - 1);
	give(s, n, room);
}

static void report_luns(struct ahci_slot *s)
{
	memset(s->buf, 0, 16);
	put32(s->buf, 8);
	give(s, 16, be32_at(s->cdb + 6));
}

/* ---- MMC ---- */

static void start_stop(struct ahci_slot *s)
{
	struct ata_dev *d = &s->port->dev;
	bool load = s->cdb[4] & 1, tray = s->cdb[4] & 2;

	if (s->cdb[4] >> 4 || !tray) { /* power conditions, spinning up and down */
		done(s);
		return;
	}
	if (!load && d->locked && !d->tray_open) {
		fail(s, ILLEGAL_REQUEST, 0x53, 0x02); /* removal prevented */
		return;
	}
	if (d->tray_open == load) {
		d->tray_open = !load;
		d->event_media = load;
		d->event_eject = !load;
		d->unit_attention = load; /* the medium may be another one */
	}
	done(s);
}

static void read_capacity(struct ahci_slot *s)
{
	u32 n = num_blocks(s->port);

	put32(s->buf, n ? n - 1 : 0);
	put32(s->buf + 4, BLOCK);
	give(s, 8, 8);
}

static void address(u8 *b, u32 lba, bool msf)
{
	u32 f = lba + 150;

	if (!msf) {
		put32(b, lba);
		return;
	}
	b[0] = 0;
	b[1] = (u8)MIN(f / (60 * 75), 255u);
	b[2] = (u8)(f / 75 % 60);
	b[3] = (u8)(f % 75);
}

static u32 toc_entry(u8 *b, u8 track, u32 lba, bool msf)
{
	memset(b, 0, 8);
	b[1] = 0x14; /* data track */
	b[2] = track;
	address(b + 4, lba, msf);
	return 8;
}

/* Formatted TOC, session information, raw TOC (MMC-6, 6.25) */
static void read_toc(struct ahci_slot *s)
{
	bool msf = s->cdb[1] & 2;
	unsigned format = s->cdb[2] & 0xf, track = s->cdb[6];
	u8 *b = s->buf;
	u32 n = 4, i;
	static const u8 point[] = { 0xa0, 0xa1, 0xa2, 1 };

	if (!format)
		format = s->cdb[9] >> 6; /* where ATAPI had it first */
	memset(b, 0, 64);
	b[2] = b[3] = 1;
	switch (format) {
	case 0:
		if (track > 1 && track != LEADOUT) {
			bad_field(s);
			return;
		}
		if (track <= 1)
			n += toc_entry(b + n, 1, 0, msf);
		n += toc_entry(b + n, LEADOUT, num_blocks(s->port), msf);
		break;
	case 1:
		n += toc_entry(b + n, 1, 0, msf);
		break;
	case 2:
		for (i = 0; i < ARRAY_LEN(point); i++, n += 11) {
			b[n] = 1;
			b[n + 1] = 0x14;
			b[n + 3] = point[i];
			if (point[i] == 0xa2)
				address(b + n + 7, num_blocks(s->port), true);
			else if (point[i] == 1)
				address(b + n + 7, 0, true);
			else
				b[n + 8] = 1;
			b[n + 7] = 0;
		}
		break;
	default:
		bad_field(s);
		return;
	}
	put16(b, n - 2);
	give(s, n, be16_at(s->cdb + 7));
}

static u8 *feature(u8 *b, u16 code, u8 flags, u8 len)
{
	put16(b, code);
	b[2] = flags; /* version, persistent, current */
	b[3] = len;
	memset(b + 4, 0, len);
	return b + 4;
}

#define F_CURRENT 1
#define F_PERSISTENT 2

static void get_configuration(struct ahci_slot *s)
{
	const struct ata_dev *d = &s->port->dev;
	unsigned from = be16_at(s->cdb + 2), rt = s->cdb[1] & 3;
	u32 cur = d->tray_open ? 0 : profile(s->port), n = 8, i;
	static const struct { u16 code; u8 flags, len; } list[] = {
		{ 0x0000, F_PERSISTENT | F_CURRENT, 8 }, /* profiles */
		{ 0x0001, 2 << 2 | F_PERSISTENT | F_CURRENT, 8 }, /* core */
		{ 0x0003, 2 << 2 | F_PERSISTENT | F_CURRENT, 4 }, /* removable medium */
		{ 0x0010, F_CURRENT, 8 },	/* random readable */
		{ 0x001e, 2 << 2, 4 },		/* CD read */
		{ 0x001f, 2 << 2, 4 },		/* DVD read */
	};
	u8 *b = s->buf, *f, flags;

	if (rt == 3) {
		bad_field(s);
		return;
	}
	memset(b, 0, 8);
	put16(b + 6, cur);
	for (i = 0; i < ARRAY_LEN(list); i++) {
		flags = list[i].flags;
		if (list[i].code == (cur == PROFILE_CD ? 0x1e : 0x1f) && cur)
			flags |= F_CURRENT;
		if (list[i].code == 0x10 && !cur)
			flags &= (u8)~F_CURRENT;
		if (list[i].code < from || (rt == 2 && list[i].code != from) ||
		    (rt == 1 && !(flags & F_CURRENT)))
			continue;
		f = feature(b + n, list[i].code, flags, list[i].len);
		n += 4u + list[i].len;
		switch (list[i].code) {
		case 0x0000:
			put16(f, PROFILE_DVD);
			f[2] = cur == PROFILE_DVD;
			put16(f + 4, PROFILE_CD);
			f[6] = cur == PROFILE_CD;
			break;
		case 0x0001:
			put32(f, 8); /* SATA */
			f[4] = 1;
			break;
		case 0x0003:
			f[0] = 0x29; /* tray; eject, lock */
			break;
		case 0x0010:
			put32(f, BLOCK);
			put16(f + 4, 1);
			break;
		}
	}
	put32(b, n - 4);
	give(s, n, be16_at(s->cdb + 7));
}

/* Polled, media class only (MMC-6, 6.6) */
static void get_event(struct ahci_slot *s)
{
	struct ata_dev *d = &s->port->dev;
	u8 *b = s->buf;

	if (!(s->cdb[1] & 1)) {
		bad_field(s);
		return;
	}
	memset(b, 0, 8);
	b[3] = 0x10; /* classes that there are */
	if (!(s->cdb[4] & 0x10)) {
		put16(b, 2);
		b[2] = 0x80; /* none of those asked for */
		give(s, 4, be16_at(s->cdb + 7));
		return;
	}
	put16(b, 6);
	b[2] = 4;
	b[4] = d->event_eject ? 3 : d->event_media ? 2 : 0; /* removal, new medium */
	b[5] = d->tray_open ? 1 : 2;
	d->event_eject = d->event_media = false;
	give(s, 8, be16_at(s->cdb + 7));
}

static void disc_info(struct ahci_slot *s)
{
	u8 *b = s->buf;

	if (s->cdb[1] & 7) {
		bad_field(s);
		return;
	}
	memset(b, 0, 34);
	put16(b, 32);
	b[2] = 0x0e; /* finished disc, complete session */
	b[3] = b[4] = b[5] = b[6] = 1;
	b[7] = 0x20;
	memset(b + 16, 0xff, 8);
	give(s, 34, be16_at(s->cdb + 7));
}

static void mechanism(struct ahci_slot *s)
{
	memset(s->buf, 0, 8);
	s->buf[1] = s->port->dev.tray_open ? 0x10 : 0;
	give(s, 8, be16_at(s->cdb + 8));
}

static void read_blocks(struct ahci_slot *s, u32 lba, u32 n)
{
	if (!range_ok(lba, n, num_blocks(s->port))) {
		fail(s, ILLEGAL_REQUEST, 0x21, 0);
		return;
	}
	ata_transfer(s, BLK_READ, (u64)lba * BLOCK, (u64)n * BLOCK);
}

/* User data of mode 1 sectors only: what an ISO image has */
static void read_cd(struct ahci_slot *s)
{
	u32 n = (u32)s->cdb[6] << 16 | be16_at(s->cdb + 7);
	unsigned type = s->cdb[1] >> 2 & 7;

	if ((type && type != 2) || (s->cdb[9] & 0xfe & ~0x10u) || s->cdb[10]) {
		fail(s, ILLEGAL_REQUEST, 0x64, 0); /* illegal mode for this track */
		return;
	}
	read_blocks(s, be32_at(s->cdb + 2), s->cdb[9] & 0x10 ? n : 0);
}

/* ---- dispatch ---- */

#define MEDIUM BIT(0)	 /* needs a disc */
#define ALWAYS BIT(1)	 /* even when a unit attention waits (SPC-4, 5.14) */

static void test_unit_ready(struct ahci_slot *s) { done(s); }
static void nothing(struct ahci_slot *s) { done(s); }
static void mode_sense_6(struct ahci_slot *s) { mode_sense(s, false); }
static void mode_sense_10(struct ahci_slot *s) { mode_sense(s, true); }

static void prevent_allow(struct ahci_slot *s)
{
	s->port->dev.locked = s->cdb[4] & 1;
	done(s);
}

static void read_10(struct ahci_slot *s)
{
	read_blocks(s, be32_at(s->cdb + 2), be16_at(s->cdb + 7));
}

static void read_12(struct ahci_slot *s)
{
	read_blocks(s, be32_at(s->cdb + 2), be32_at(s->cdb + 6));
}

static const struct {
	u8 op;
	unsigned flags;
	void (*fn)(struct ahci_slot *s);
} commands[] = {
	{ P_TEST_UNIT_READY, MEDIUM, test_unit_ready },
	{ P_REQUEST_SENSE, ALWAYS, request_sense },
	{ P_INQUIRY, ALWAYS, inquiry },
	{ P_MODE_SENSE_6, 0, mode_sense_6 },
	{ P_START_STOP, 0, start_stop },
	{ P_PREVENT_ALLOW, 0, prevent_allow },
	{ P_READ_CAPACITY, MEDIUM, read_capacity },
	{ P_READ_10, MEDIUM, read_10 },
	{ P_SEEK, MEDIUM, nothing },
	{ P_READ_TOC, MEDIUM, read_toc },
	{ P_GET_CONFIGURATION, ALWAYS, get_configuration },
	{ P_GET_EVENT, ALWAYS, get_event },
	{ P_READ_DISC_INFO, MEDIUM, disc_info },
	{ P_MODE_SENSE_10, 0, mode_sense_10 },
	{ P_REPORT_LUNS, ALWAYS, report_luns },
	{ P_READ_12, MEDIUM, read_12 },
	{ P_SET_SPEED, 0, nothing },
	{ P_MECHANISM, 0, mechanism },
	{ P_READ_CD, MEDIUM, read_cd },
};

void atapi_exec(struct ahci_slot *s)
{
	struct ata_dev *d = &s->port->dev;
	unsigned i;

	for (i = 0; i < ARRAY_LEN(commands) && commands[i].op != s->cdb[0]; i++)
		;
	if (i == ARRAY_LEN(commands)) {
		fail(s, ILLEGAL_REQUEST, 0x20, 0);
		return;
	}
	if (d->unit_attention && !(commands[i].flags & ALWAYS)) {
		d->unit_attention = false;
		fail(s, UNIT_ATTENTION, 0x29, 0); /* power on, reset, or a medium came */
		return;
	}
	if ((commands[i].flags & MEDIUM) && d->tray_open) {
		fail(s, NOT_READY, 0x3a, 0x02);
		return;
	}
	if (s->cdb[0] != P_REQUEST_SENSE)
		atapi_sense(s->port, NO_SENSE, 0, 0);
	commands[i].fn(s);
}
