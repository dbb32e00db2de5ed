// SPDX-License-Identifier: BSD-2-Clause
/* device/ahci/ahci.h - What the files of device/ahci share; nobody else includes it
 *
 * hba.c	the PCI function: controller registers, interrupts, options, life
 * port.c	port registers and the command engine
 * fis.c	command lists, PRD tables and received FISes in guest memory
 * ata.c	the ATA command set; ata_page.c its pages of data (identify, logs, SMART)
 * atapi.c	packet commands of a CD
 *
 * References: AHCI 1.3.1 (registers, section numbers in the sources), SATA 3.x (FIS
 * layouts), ACS-3 (commands), SPC-4, MMC-6 (packet commands).
 *
 * Threads and locks: registers are read and written by vCPUs under ahci.lock. Commands are
 * fetched, run and completed on the loop. What a vCPU writes is noted under the lock; if there are
 * commands to fetch it then runs the engine as the loop (work_run). A stop or reset is done when
 * the loop has nothing of the port in its hands: at once, or when the last request in flight is
 * done. ahci.lock is held while PCI raises interrupts and while a FIS is stored; never while the
 * block back end is called. */
#ifndef DEVICE_AHCI_AHCI_H
#define DEVICE_AHCI_AHCI_H

#include <pthread.h>
#include <stdatomic.h>

#include "backend/block/blk.h"
#include "base/types.h"
#include "base/wire.h"
#include "device/dev.h"
#include "device/pci/pci.h"

#define AHCI_SLOTS 32u
/* Pieces of one request to the back end. A PRD is at least 2 bytes, so a 512-byte sector always
 * fits; a transfer with more pieces is done in several requests. */
#define AHCI_IOVS 256u
#define AHCI_PAGE 512u	   /* unit of identify data and logs */
#define AHCI_REPLY 4096u   /* largest reply that we compose */
#define AHCI_MULTIPLE 128u /* sectors of SET MULTIPLE MODE */
#define AHCI_TRIM_BLOCKS 8u
#define AHCI_LOG_NCQ 0x10u /* queued error log */

/* ---- bits; names of AHCI 1.3.1 section 3 ---- */

#define GHC_HR BIT(0)
#define GHC_IE BIT(1)
#define GHC_AE BIT(31)

#define PXCMD_ST BIT(0)
#define PXCMD_SUD BIT(1)
#define PXCMD_POD BIT(2)
#define PXCMD_CLO BIT(3)
#define PXCMD_FRE BIT(4)
#define PXCMD_CCS_SHIFT 8
#define PXCMD_CCS (0x1fu << PXCMD_CCS_SHIFT)
#define PXCMD_FR BIT(14)
#define PXCMD_CR BIT(15)
#define PXCMD_ATAPI BIT(24)
#define PXCMD_DLAE BIT(25)

#define PXIS_DHRS BIT(0)
#define PXIS_PSS BIT(1)
#define PXIS_DSS BIT(2)
#define PXIS_SDBS BIT(3)
#define PXIS_UFS BIT(4)
#define PXIS_DPS BIT(5)
#define PXIS_PCS BIT(6)
#define PXIS_PRCS BIT(22)
#define PXIS_OFS BIT(24)
#define PXIS_IFS BIT(27)
#define PXIS_HBDS BIT(28)
#define PXIS_HBFS BIT(29)
#define PXIS_TFES BIT(30)

#define SERR_ERR_P BIT(10)	/* protocol error */
#define SERR_DIAG_N BIT(16)
#define SERR_DIAG_X BIT(26)

/* Status and error registers of the device (ACS-3, 6.2, 6.3) */
#define ATA_ERR BIT(0)
#define ATA_DRQ BIT(3)
#define ATA_DSC BIT(4)
#define ATA_DF BIT(5)
#define ATA_DRDY BIT(6)
#define ATA_BSY BIT(7)
#define ATA_GOOD (ATA_DRDY | ATA_DSC)
#define ATA_E_ABRT BIT(2)
#define ATA_E_IDNF BIT(4)
#define ATA_E_UNC BIT(6)

#define SIG_ATA 0x00000101u
#define SIG_ATAPI 0xeb140101u

/* Command header flags, DW0 (4.2.2) */
#define HDR_CFL 0x1fu
#define HDR_A BIT(5)
#define HDR_W BIT(6)
#define HDR_R BIT(8)
#define HDR_C BIT(10)

/* Register FIS, host to device (SATA, 10.5.5) */
struct fis_h2d {
	u8 type, flags, command, features;
	u8 lba0, lba1, lba2, device;
	u8 lba3, lba4, lba5, features_exp;
	u8 count, count_exp, icc, control;
	u8 aux[4];
};
#define FIS_H2D 0x27
#define FIS_H2D_C 0x80 /* flags: command register was written, not control */
#define FIS_CONTROL_SRST 0x04

/* What the device's registers hold when it answers */
struct fis_regs {
	u8 lba[6], count, count_exp, device;
};

/* What the command has to say when it is done */
enum slot_reply {
	REPLY_D2H,	/* register FIS */
	REPLY_PIO_IN,	/* PIO set-up FIS says all */
	REPLY_NCQ,	/* set device bits FIS */
};

struct ahci;
struct ahci_port;

/* One command. All of it is [loop]'s. */
struct ahci_slot {
	struct blk_req req;
	struct ahci_port *port;
	u8 nr;
	u32 epoch;		/* the port's when it was fetched: see slot_live() */
	enum slot_reply reply;

	struct fis_h2d fis;	/* (g) copied once */
	u8 cdb[16];		/* (g) copied once */
	u32 hdr;		/* (g) DW0 of the command header */
	gpa_t table;		/* (g) command table */
	gpa_t hdr_gpa;

	/* PRD table: where the transfer is */
	unsigned prd_num;	/* (g) entries */
	unsigned prd_next;	/* entry to read next */
	u32 prd_used;		/* bytes of it that are used up */
	bool prd_intr;		/* an entry with its I bit was used up */
	u32 moved;		/* bytes transferred so far: PRDBC */

	/* Transfer between disk and guest */
	u64 off, left;		/* bytes on the disk that are still to do */
	unsigned blk_flags;	/* BLK_REQ_* */
	unsigned trim_block, trim_blocks, trim_entry; /* DATA SET MANAGEMENT */
	u64 trim_off, trim_left;
	unsigned niov;
	struct iovec iov[AHCI_IOVS];
	gpa_t gpa[AHCI_IOVS];	/* where iov[] is, to tell of stores */
	struct fis_regs regs;	/* registers at the end */
	u8 buf[AHCI_REPLY];	/* what is given to the guest, or was taken from it */
};

/* The device at the other end of the cable. [loop] */
struct ata_dev {
	bool packet;		/* a CD */
	bool write_cache, read_ahead;
	u8 multiple;		/* SET MULTIPLE MODE */
	u8 xfer_mode;		/* SET FEATURES 03h */
	u8 power;		/* what CHECK POWER MODE says */
	bool smart;
	bool srst;		/* software reset is on */
	unsigned heads, sectors; /* CHS translation */
	/* The first error of queued commands: log 10h. Until it is read, or a reset, everything
	 * else is refused (ACS-3, 4.15.2). */
	bool ncq_error;
	u8 ncq_log[AHCI_PAGE];
	/* Packet devices */
	u8 sense_key, asc, ascq;
	bool tray_open, locked, unit_attention, event_eject, event_media;
};

struct ahci_port {
	struct ahci *hba;	/* (c) */
	struct blk *blk;	/* (c) */
	char model[41], product[17]; /* (c) */
	/* (L) registers, 3.3 */
	u32 clb, clbu, fb, fbu, is, ie, cmd, tfd, sig, ssts, sctl, serr, sact, ci;
	/* (L) the command engine */
	bool engine;		/* the loop is fetching commands now */
	u32 busy;		/* slots between fetch and end; a queued one is free in ci before */
	unsigned in_flight;	/* bits in busy */
	u32 issued;		/* bit a slot: its command was fetched since its ci bit was set */
	bool halted;		/* error: nothing is fetched until ST was cleared (6.2.2.1) */
	bool reset_wanted;	/* COMRESET: when nothing is in flight */
	bool exclusive;		/* a command that is not queued is running */
	bool hold;		/* the next command waits until nothing is in flight */
	bool draining;		/* what is in flight belongs to a former epoch: wait for it */
	u32 epoch;		/* stops, resets and errors so far: older commands say nothing */
	unsigned next_slot;	/* where to look first */
	struct ata_dev dev;
	struct ahci_slot *slot;	/* [AHCI_SLOTS] */
	/* (L) statistics */
	u64 commands, errors, resets;
};

struct ahci {
	struct dev dev;
	struct pci_fn fn;
	bool cd;		/* (c) */
	pthread_mutex_t lock;
	bool have_lock;
	/* (L) */
	u32 ghc, is;
	bool reset_wanted;	/* GHC.HR: when nothing is in flight */
	bool line;		/* what the interrupt pin shows */
	bool stopped;		/* not between start and stop: nothing is fetched */
	struct work work;	/* port_run() */
	bool have_work;		/* (c) work was initialised */
	struct blk_env blk_env;	/* (c) */
	struct ahci_port port;	/* HyperKit's grammar has one disk a function */
};

/* hba.c */
void ahci_irq_update_locked(struct ahci *h);
/* Controller reset, when nothing of the port is in flight any more (10.4.3) */
void ahci_reset_done_locked(struct ahci *h);

/* port.c */
u32 port_read(struct ahci_port *p, unsigned off);		 /* lock held */
/* Lock held. Return: is there something for port_run()? */
bool port_write(struct ahci_port *p, unsigned off, u32 val);
void port_run(struct ahci_port *p);				 /* [loop] fetch what is there */
void port_power_on(struct ahci_port *p);			 /* lock held */
void port_hba_reset(struct ahci_port *p);			 /* lock held; nothing in flight */
void port_settle(struct ahci_port *p);	   /* lock held: do stops and resets that waited */
u32 port_is(const struct ahci_port *p);				 /* lock held: PxIS as read */
/* [loop] The end of a command: it said everything that the device has to say */
void slot_finish(struct ahci_slot *s);
void slot_fail(struct ahci_slot *s, u8 error);			 /* ERR and @error */
void slot_packet_fail(struct ahci_slot *s); /* CHECK CONDITION from dev.sense_key ... */
/* [loop] The controller cannot go on with it: PXIS_HBDS, HBFS, IFS */
void slot_fatal(struct ahci_slot *s, u32 is);
/* [loop] The PRD table is shorter than the transfer */
void slot_short(struct ahci_slot *s);
/* [loop] Is anybody still interested? */
bool slot_live(const struct ahci_slot *s);
/* [loop] Signature after a software reset, DEVICE RESET, EXECUTE DEVICE DIAGNOSTIC */
void slot_signature(struct ahci_slot *s);

/* fis.c; all [loop], but for fis_post_*, which want the lock */
/* Copy header, FIS and packet. 0; -EFAULT not in RAM, -EINVAL not a FIS that we know */
int slot_fetch(struct ahci_slot *s);
void slot_rewind(struct ahci_slot *s);
/* Next @max bytes of the PRD table as iov[]; a multiple of @unit, the rest stays for the next
 * call. Return: bytes (0 = end of the table), -EFAULT not in RAM, -E2BIG too many pieces */
s64 slot_map(struct ahci_slot *s, u64 max, u32 unit, bool device_writes);
void slot_wrote(struct ahci_slot *s, u64 bytes); /* tell of stores through iov[] */
/* Copy between buf and the guest from where the table stands. Bytes or -EFAULT */
s64 slot_give(struct ahci_slot *s, const void *buf, u32 len);
s64 slot_take(struct ahci_slot *s, void *buf, u32 len);
void slot_store_prdbc(struct ahci_slot *s);
void fis_post_d2h(struct ahci_port *p, const struct fis_regs *r, u8 status, u8 error, bool intr);
void fis_post_pio(struct ahci_port *p, const struct fis_regs *r, u8 status, u16 bytes);
void fis_post_sdb(struct ahci_port *p, u8 status, u8 error, u32 done);

/* ata.c */
void ata_init(struct ahci_port *p);
void ata_reset(struct ahci_port *p, bool hard);
/* Registers after a reset; return: status */
u8 ata_signature(const struct ahci_port *p, struct fis_regs *r);
bool ata_is_ncq(const struct ahci_slot *s);
void ata_exec(struct ahci_slot *s);
/* Move @len bytes at disk offset @off, then finish the command */
void ata_transfer(struct ahci_slot *s, enum blk_kind kind, u64 off, u64 len);
/* Give @len bytes of s->buf and finish; as PIO data-in when @reply says so */
void ata_give(struct ahci_slot *s, u32 len, enum slot_reply reply);

/* ata_page.c: fill s->buf, return bytes */
u32 ata_identify(const struct ahci_port *p, u8 *buf);
bool ata_log(struct ahci_port *p, unsigned log, unsigned page, unsigned pages, u8 *buf);
void ata_ncq_log_set(struct ahci_port *p, const struct ahci_slot *s, u8 status, u8 error);
void ata_put_text(u8 *buf, unsigned word, unsigned words, const char *text);
void ata_put_common(const struct ahci_port *p, u8 *buf);
void ata_put_checksum(u8 *buf);
void ata_smart_data(u8 *buf);
void ata_smart_thresholds(u8 *buf);

/* atapi.c */
u32 atapi_identify(const struct ahci_port *p, u8 *buf);
void atapi_exec(struct ahci_slot *s);
void atapi_sense(struct ahci_port *p, u8 key, u8 asc, u8 ascq);

static inline u64 fis_lba48(const struct fis_h2d *f)
{
	return f->lba0 | (u64)f->lba1 << 8 | (u64)f->lba2 << 16 | (u64)f->lba3 << 24 |
	       (u64)f->lba4 << 32 | (u64)f->lba5 << 40;
}

static inline u16 fis_count(const struct fis_h2d *f)
{
	return (u16)(f->count | f->count_exp << 8);
}

static inline u16 fis_features(const struct fis_h2d *f)
{
	return (u16)(f->features | f->features_exp << 8);
}

#endif
