// SPDX-License-Identifier: BSD-2-Clause
/* device/ahci/port.c - Port registers and the command engine (AHCI 1.3.1, 3.3 and 5)
 *
 * Registers are touched by vCPUs under ahci.lock; port_run() fetches and starts commands on the
 * loop; slot_finish() and its kin end them there. */
#include <errno.h>

#include "device/ahci/ahci.h"

/**
 * DOC: Theory of operation - commands that nobody waits for any more
 *
 * The guest may stop the engine (ST), reset the link (DET), the controller (HR) or the device
 * (SRST) at any moment, and an error of one queued command ends all. Requests that the back end
 * has already cannot be called back: they will store into guest memory, and a write that is
 * tried again must not be overtaken by its first attempt. So
 *   - port->epoch counts those moments. A command remembers the epoch it was fetched in and says
 *     nothing at its end when that is over (slot_live).
 *   - CR, the link and HR show that the stop or reset is not yet done until nothing is in
 *     flight any more; drivers wait for exactly these. Nothing new is fetched meanwhile.
 * Both are looked at in port_settle(), under the lock, by whoever could have been the last.
 */

/* Port register offsets (3.3) */
enum {
	PXCLB = 0x00, PXCLBU = 0x04, PXFB = 0x08, PXFBU = 0x0c, PXIS = 0x10, PXIE = 0x14,
	PXCMD = 0x18, PXTFD = 0x20, PXSIG = 0x24, PXSSTS = 0x28, PXSCTL = 0x2c, PXSERR = 0x30,
	PXSACT = 0x34, PXCI = 0x38,
};

#define PXCMD_WRITABLE (PXCMD_ST | PXCMD_FRE | PXCMD_ATAPI | PXCMD_DLAE)
#define PXIE_WRITABLE 0xfdc000ffu
#define PXIS_CLEARABLE 0xfd8000afu /* the others show PxSERR, or are reserved */
#define PXSCTL_WRITABLE 0x00000fffu
#define DET_MASK 0xfu
#define DET_NONE 0u
#define DET_RESET 1u
#define DET_OFF 4u
#define SSTS_UP 0x103u	/* IPM active, DET established */
#define SSTS_OFF 0x004u
#define SPEED_GEN3 3u

/* ---- registers ---- */

u32 port_is(const struct ahci_port *p)
{
	return p->is | (p->serr & SERR_DIAG_X ? PXIS_PCS : 0) |
	       (p->serr & SERR_DIAG_N ? PXIS_PRCS : 0);
}

u32 port_read(struct ahci_port *p, unsigned off)
{
	switch (off) {
	case PXCLB: return p->clb;
	case PXCLBU: return p->clbu;
	case PXFB: return p->fb;
	case PXFBU: return p->fbu;
	case PXIS: return port_is(p);
	case PXIE: return p->ie;
	case PXCMD: return p->cmd;
	case PXTFD: return p->tfd;
	case PXSIG: return p->sig;
	case PXSSTS: return p->ssts;
	case PXSCTL: return p->sctl;
	case PXSERR: return p->serr;
	case PXSACT: return p->sact;
	case PXCI: return p->ci;
	}
	return 0;
}

/* From here on commands fetched so far say nothing */
static void new_epoch(struct ahci_port *p)
{
	p->epoch++;
	p->draining = p->in_flight || p->engine;
}

static void cmd_write(struct ahci_port *p, u32 val)
{
	u32 old = p->cmd;

	p->cmd = (old & ~PXCMD_WRITABLE) | (val & PXCMD_WRITABLE);
	if ((val & PXCMD_CLO) && !(old & PXCMD_ST))
		p->tfd &= ~(u32)(ATA_BSY | ATA_DRQ);
	if (p->cmd & PXCMD_FRE)
		p->cmd |= PXCMD_FR;
	if (!(old & PXCMD_ST) && (p->cmd & PXCMD_ST)) {
		p->cmd |= PXCMD_CR;
		p->next_slot = 0;
	}
	if ((old & PXCMD_ST) && !(p->cmd & PXCMD_ST)) {
		new_epoch(p);
		p->ci = p->sact = p->issued = 0;
		p->halted = p->hold = false;
	}
}

static u32 link_up(const struct ahci_port *p)
{
	u32 limit = p->sctl >> 4 & 0xf;

	return SSTS_UP | (limit && limit < SPEED_GEN3 ? limit : SPEED_GEN3) << 4;
}

/* The device answers a reset with its signature (SATA, 11.4) */
static void signature(struct ahci_port *p)
{
	struct fis_regs r;
	u8 status = ata_signature(p, &r);

	p->sig = r.count | (u32)r.lba[0] << 8 | (u32)r.lba[1] << 16 | (u32)r.lba[2] << 24;
	fis_post_d2h(p, &r, status, 1, false);
}

static void comreset(struct ahci_port *p)
{
	ata_reset(p, true);
	p->resets++;
	p->ssts = link_up(p);
	p->serr |= SERR_DIAG_X | SERR_DIAG_N;
	p->ci = p->sact = p->issued = 0;
	p->halted = p->hold = false;
	signature(p);
}

static void sctl_write(struct ahci_port *p, u32 val)
{
	u32 old = p->sctl & DET_MASK, det = val & DET_MASK;

	p->sctl = val & PXSCTL_WRITABLE;
	if (det == old)
		return;
	if (det == DET_RESET || det == DET_OFF) {
		new_epoch(p);
		p->reset_wanted = false;
		p->ssts = det == DET_OFF ? SSTS_OFF : 0;
		p->tfd = ATA_BSY;
		if (det == DET_RESET)
			p->serr |= SERR_DIAG_N;
	} else if (det == DET_NONE && !(p->ssts & DET_MASK & 3)) {
		p->reset_wanted = true;
	}
}

bool port_write(struct ahci_port *p, unsigned off, u32 val)
{
	switch (off) {
	case PXCLB: p->clb = val & ~0x3ffu; break;
	case PXCLBU: p->clbu = val; break;
	case PXFB: p->fb = val & ~0xffu; break;
	case PXFBU: p->fbu = val; break;
	case PXIS: p->is &= ~(val & PXIS_CLEARABLE); break;
	case PXIE: p->ie = val & PXIE_WRITABLE; break;
	case PXCMD: cmd_write(p, val); break;
	case PXSCTL: sctl_write(p, val); break;
	case PXSERR: p->serr &= ~val; break;
	case PXSACT:
		if (p->cmd & PXCMD_ST)
			p->sact |= val;
		break;
	case PXCI:
		if (p->cmd & PXCMD_ST)
			p->ci |= val;
		break;
	}
	port_settle(p);
	return p->ci & ~p->issued;
}

/* ---- resets ---- */

void port_settle(struct ahci_port *p)
{
	if (p->engine || p->in_flight)
		return;
	p->draining = false;
	if (!(p->cmd & PXCMD_ST))
		p->cmd &= ~(PXCMD_CR | PXCMD_CCS);
	if (!(p->cmd & (PXCMD_FRE | PXCMD_CR)))
		p->cmd &= ~PXCMD_FR;
	if (p->hba->reset_wanted) {
		ahci_reset_done_locked(p->hba);
	} else if (p->reset_wanted) {
		p->reset_wanted = false;
		comreset(p);
	}
}

/* Everything but where the guest's structures are (10.4.3) */
void port_hba_reset(struct ahci_port *p)
{
	p->epoch++;
	p->is = p->ie = p->sctl = p->serr = 0;
	p->cmd = PXCMD_SUD | PXCMD_POD;
	p->reset_wanted = false;
	comreset(p);
}

void port_power_on(struct ahci_port *p)
{
	p->clb = p->clbu = p->fb = p->fbu = 0;
	ata_init(p);
	port_hba_reset(p);
	p->resets = 0;
}

/* ---- the engine ---- */

bool slot_live(const struct ahci_slot *s)
{
	struct ahci_port *p = s->port;
	bool live;

	pthread_mutex_lock(&p->hba->lock);
	live = s->epoch == p->epoch;
	pthread_mutex_unlock(&p->hba->lock);
	return live;
}

static struct ahci_slot *pick_locked(struct ahci_port *p)
{
	/* A slot that the guest issues again while its queued command runs has to wait */
	u32 want = p->ci & ~p->issued & ~p->busy;
	struct ahci_slot *s;
	unsigned i;

	if (!want || !(p->cmd & PXCMD_ST) || p->halted || p->exclusive || p->draining ||
	    p->hba->stopped || p->hba->reset_wanted || p->reset_wanted || !(p->ssts & 1) ||
	    (p->hold && p->in_flight))
		return NULL;
	p->hold = false;
	for (i = p->next_slot; !(want >> i & 1); i = (i + 1) % AHCI_SLOTS)
		;
	s = &p->slot[i];
	p->issued |= BIT(i);
	p->in_flight++;
	p->cmd = (p->cmd & ~PXCMD_CCS) | i << PXCMD_CCS_SHIFT;
	p->next_slot = (i + 1) % AHCI_SLOTS;
	p->busy |= BIT(i);
	s->epoch = p->epoch;
	return s;
}

/* @s is over. Return: may it say so? */
static bool end_locked(struct ahci_slot *s)
{
	struct ahci_port *p = s->port;
	bool live = s->epoch == p->epoch;

	p->busy &= ~BIT(s->nr);
	p->in_flight--;
	if (s->reply != REPLY_NCQ)
		p->exclusive = false;
	return live;
}

/* The lock is given back; what waited for @p goes on */
static void unlock_and_go(struct ahci_port *p)
{
	port_settle(p);
	ahci_irq_update_locked(p->hba);
	pthread_mutex_unlock(&p->hba->lock);
	port_run(p);
}

/* A control FIS: SRST goes up, the device stands still; it goes down, the device starts anew */
static void control(struct ahci_slot *s)
{
	struct ahci_port *p = s->port;
	bool srst = s->fis.control & FIS_CONTROL_SRST, was = p->dev.srst;

	pthread_mutex_lock(&p->hba->lock);
	p->dev.srst = srst;
	if (end_locked(s)) {
		p->ci &= ~BIT(s->nr);
		p->issued &= ~BIT(s->nr);
		if (srst && !(s->hdr & HDR_C))
			p->tfd |= ATA_BSY;
		if (was && !srst) {
			ata_reset(p, false);
			signature(p);
		}
	}
	unlock_and_go(p);
}

/* Commands that are not queued have the device for themselves. A driver that mixes them is told
 * off by real disks; we let the command wait. Return: it may start */
static bool admit(struct ahci_slot *s)
{
	struct ahci_port *p = s->port;
	bool ncq = (s->fis.flags & FIS_H2D_C) && ata_is_ncq(s), ok = true;

	s->reply = ncq ? REPLY_NCQ : REPLY_D2H;
	pthread_mutex_lock(&p->hba->lock);
	p->commands++;
	if (!ncq && p->in_flight > 1) {
		ok = false;
		p->busy &= ~BIT(s->nr);
		p->in_flight--;
		p->hold = true;
		p->next_slot = s->nr;
		p->issued &= ~BIT(s->nr);
		p->commands--;
	} else if (!ncq) {
		p->exclusive = true;
	} else if (s->epoch == p->epoch) {
		/* The device has it now and is ready for more (SATA, 13.6.4.1) */
		p->ci &= ~BIT(s->nr);
		p->issued &= ~BIT(s->nr);
	}
	pthread_mutex_unlock(&p->hba->lock);
	return ok;
}

static void slot_run(struct ahci_slot *s)
{
	int rc;

	s->reply = REPLY_D2H;
	rc = slot_fetch(s);
	if (rc) {
		slot_fatal(s, rc == -EFAULT ? PXIS_HBFS : PXIS_IFS);
		return;
	}
	if (!admit(s))
		return;
	if (!(s->fis.flags & FIS_H2D_C))
		control(s);
	else if (s->port->dev.srst)
		slot_fail(s, ATA_E_ABRT);
	else
		ata_exec(s);
}

void port_run(struct ahci_port *p)
{
	struct ahci_slot *s;

	pthread_mutex_lock(&p->hba->lock);
	/* A command that ends at once comes back here; the loop below goes on with the next */
	if (!p->engine) {
		p->engine = true;
		while ((s = pick_locked(p))) {
			pthread_mutex_unlock(&p->hba->lock);
			slot_run(s);
			pthread_mutex_lock(&p->hba->lock);
		}
		p->engine = false;
		port_settle(p);
		ahci_irq_update_locked(p->hba);
	}
	pthread_mutex_unlock(&p->hba->lock);
}

/* ---- the end of a command ---- */

static void answer(struct ahci_slot *s, u8 status, u8 error)
{
	struct ahci_port *p = s->port;
	bool bad = status & ATA_ERR;

	pthread_mutex_lock(&p->hba->lock);
	if (!end_locked(s))
		goto out;
	p->errors += bad;
	if (s->prd_intr)
		p->is |= PXIS_DPS;
	if (s->reply == REPLY_NCQ) {
		/* The tags that stay set in PxSACT, the failed one among them, are over, too; which
		 * one it was is in log 10h */
		fis_post_sdb(p, status, error, bad ? 0 : BIT(s->nr));
		if (bad)
			ata_ncq_log_set(p, s, status, error);
	} else {
		slot_store_prdbc(s);
		/* An error leaves the bit in PxCI: software sees which one it was (6.2.2) */
		if (!bad) {
			p->ci &= ~BIT(s->nr);
			p->issued &= ~BIT(s->nr);
		}
		if (s->reply == REPLY_PIO_IN && !bad)
			fis_post_pio(p, &s->regs, status, (u16)MIN(s->moved, 0xfffeu));
		else
			fis_post_d2h(p, &s->regs, status, error, true);
	}
	if (bad)
		new_epoch(p);
out:
	unlock_and_go(p);
}

void slot_finish(struct ahci_slot *s)
{
	answer(s, ATA_GOOD, 0);
}

void slot_fail(struct ahci_slot *s, u8 error)
{
	answer(s, ATA_DRDY | ATA_DSC | ATA_ERR, error);
}

void slot_packet_fail(struct ahci_slot *s)
{
	s->regs.count = 3; /* C/D, I/O: status phase (MMC; ACS-3, 7.21.4) */
	s->reply = REPLY_D2H;
	answer(s, ATA_DRDY | ATA_DSC | ATA_ERR,
	       (u8)(s->port->dev.sense_key << 4 | ATA_E_ABRT));
}

void slot_fatal(struct ahci_slot *s, u32 is)
{
	struct ahci_port *p = s->port;

	pthread_mutex_lock(&p->hba->lock);
	p->errors++;
	if (end_locked(s)) {
		p->is |= is;
		p->halted = true;
		if (is & PXIS_IFS)
			p->serr |= SERR_ERR_P;
		new_epoch(p);
	}
	unlock_and_go(p);
}

void slot_short(struct ahci_slot *s)
{
	struct ahci_port *p = s->port;

	pthread_mutex_lock(&p->hba->lock);
	if (s->epoch == p->epoch)
		p->is |= PXIS_OFS;
	pthread_mutex_unlock(&p->hba->lock);
	slot_fail(s, ATA_E_ABRT);
}

void slot_signature(struct ahci_slot *s)
{
	struct ahci_port *p = s->port;
	u8 status;

	ata_reset(p, false);
	status = ata_signature(p, &s->regs);
	pthread_mutex_lock(&p->hba->lock);
	if (end_locked(s)) {
		p->ci &= ~BIT(s->nr);
		p->issued &= ~BIT(s->nr);
		fis_post_d2h(p, &s->regs, status, 1, true);
	}
	unlock_and_go(p);
}
