// SPDX-License-Identifier: BSD-2-Clause
/* device/ahci/hba.c - AHCI controller with one disk or CD: PCI function, registers, life
 *
 * AHCI 1.3.1, sections 2 (PCI) and 3.1 (generic host control). `-s N,ahci-hd,PATH[,option...]`
 * and `ahci-cd` make one function with one port each, as HyperKit does. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "device/ahci/ahci.h"

#define ABAR_BYTES 0x400u
#define PORT_BASE 0x100u
#define PORT_BYTES 0x80u

enum { R_CAP = 0x00, R_GHC = 0x04, R_IS = 0x08, R_PI = 0x0c, R_VS = 0x10, R_CAP2 = 0x24 };

/* 64-bit addresses, NCQ, command list override, AHCI only, generation 3, 32 slots, activity
 * LED (nothing hangs on it), PIO of several blocks, one port */
#define CAP_VALUE                                                                      \
	(BIT(31) | BIT(30) | BIT(25) | BIT(24) | 3u << 20 | BIT(18) | BIT(15) | \
	 (AHCI_SLOTS - 1) << 8)
#define VS_VALUE 0x00010301u

/* ---- interrupts (10.7) ---- */

void ahci_irq_update_locked(struct ahci *h)
{
	bool line;

	if (port_is(&h->port) & h->port.ie)
		h->is |= BIT(0);
	line = (h->ghc & GHC_IE) && h->is;
	if (line == h->line)
		return;
	h->line = line;
	pci_intx_set(&h->fn, line);
	if (line)
		pci_msi_raise(&h->fn, 0);
}

static void is_write(struct ahci *h, u32 val)
{
	h->is &= ~val;
	/* What is still pending comes again at once, with a message of its own */
	if (!h->is && h->line) {
		h->line = false;
		pci_intx_set(&h->fn, 0);
	}
}

/* ---- registers ---- */

void ahci_reset_done_locked(struct ahci *h)
{
	h->reset_wanted = false;
	h->ghc = GHC_AE;
	h->is = 0;
	port_hba_reset(&h->port);
}

static void ghc_write(struct ahci *h, u32 val)
{
	h->ghc = (h->ghc & ~GHC_IE) | (val & GHC_IE);
	if (!(val & GHC_HR) || (h->ghc & GHC_HR))
		return;
	h->ghc |= GHC_HR;
	h->reset_wanted = true;
	h->port.epoch++;
	port_settle(&h->port);
}

static u64 abar_read(void *opaque, u64 off, unsigned size)
{
	struct ahci *h = opaque;
	u32 val = 0;

	pthread_mutex_lock(&h->lock);
	switch (off) {
	case R_CAP: val = CAP_VALUE; break;
	case R_GHC: val = h->ghc; break;
	case R_IS: val = h->is; break;
	case R_PI: val = 1; break;
	case R_VS: val = VS_VALUE; break;
	default:
		if (off >= PORT_BASE && off < PORT_BASE + PORT_BYTES)
			val = port_read(&h->port, (unsigned)off - PORT_BASE);
	}
	pthread_mutex_unlock(&h->lock);
	return val;
}

static void abar_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct ahci *h = opaque;
	bool work = false;

	pthread_mutex_lock(&h->lock);
	if (off == R_GHC)
		ghc_write(h, (u32)val);
	else if (off == R_IS)
		is_write(h, (u32)val);
	else if (off >= PORT_BASE && off < PORT_BASE + PORT_BYTES)
		work = port_write(&h->port, (unsigned)off - PORT_BASE, (u32)val);
	ahci_irq_update_locked(h);
	pthread_mutex_unlock(&h->lock);
	if (work)
		work_run(&h->work);
}

static const struct region_ops abar_ops = { abar_read, abar_write, 4, 4, false };

static const struct pci_fn_class ahci_fn = {
	.vendor = 0x8086,
	.device = 0x2821,
	.class_code = 0x01,
	.subclass = 0x06,
	.prog_if = 0x01,
	.intx = true,
	.msi_vectors = 1,
	.bar[5] = { PCI_BAR_MEM32, ABAR_BYTES, &abar_ops },
};

/* ---- options ---- */

static int text_opt(const char *key, const char *value, char *to, size_t size, struct hk_err *err)
{
	const char *c;

	if (!value || !*value || strlen(value) >= size)
		return err_set(err, -EINVAL, "%s: 1 to %zu characters are needed", key, size - 1);
	for (c = value; *c; c++)
		if (*c < 0x20 || *c > 0x7e)
			return err_set(err, -EINVAL, "%s: only printable ASCII is possible", key);
	memcpy(to, value, strlen(value) + 1);
	return 0;
}

static bool own_opt(void *arg, const char *key, const char *value, int *rc, struct hk_err *err)
{
	struct ahci_port *p = &((struct ahci *)arg)->port;
	size_t size;

	if (strcmp(key, "model"))
		return false;
	/* INQUIRY has 16 bytes for a product, IDENTIFY 40 for a model */
	size = p->hba->cd ? sizeof(p->product) : sizeof(p->model);
	*rc = text_opt(key, value, p->hba->cd ? p->product : p->model, size, err);
	if (!*rc && p->hba->cd)
		memcpy(p->model, p->product, sizeof(p->product));
	return true;
}

static const struct opt_desc ahci_opts[] = {
	{ "model", OPT_STR, "BHYVE SATA DISK", "model that the guest sees; 40 characters" },
	{ 0 },
};

/* ---- life ---- */

static int init(struct dev *d, const char *opts, bool cd, struct hk_err *err)
{
	struct ahci *h = container_of(d, struct ahci, dev);
	struct ahci_port *p = &h->port;
	struct blk_open how = { 0 };
	unsigned i;

	h->cd = p->dev.packet = cd;
	p->hba = h;
	pthread_mutex_init(&h->lock, NULL);
	h->have_lock = true;
	h->stopped = true;
	snprintf(p->model, sizeof(p->model), cd ? "BHYVE SATA DVD ROM" : "BHYVE SATA DISK");
	snprintf(p->product, sizeof(p->product), "BHYVE DVD-ROM");
	h->blk_env = (struct blk_env){
		.loop = d->env->loop,
		.pool = d->env->pool,
		.log = d->env->log,
		.request_pause = d->env->request_pause,
		.m = d->env->m,
	};
	how = (struct blk_open){
		.env = &h->blk_env,
		.id = d->id,
		.force_read_only = cd,
		.min_logical = cd ? 2048 : 0,
		.own_opt = own_opt,
		.own_arg = h,
	};
	p->slot = calloc(AHCI_SLOTS, sizeof(*p->slot));
	if (!p->slot)
		return err_set(err, -ENOMEM, "%s: out of memory", d->id);
	for (i = 0; i < AHCI_SLOTS; i++) {
		p->slot[i].port = p;
		p->slot[i].nr = (u8)i;
	}
	return blk_open(&p->blk, opts, &how, err);
}

static int hd_init(struct dev *d, const char *opts, struct hk_err *err)
{
	return init(d, opts, false, err);
}

static int cd_init(struct dev *d, const char *opts, struct hk_err *err)
{
	return init(d, opts, true, err);
}

static void run(void *arg)
{
	port_run(&((struct ahci *)arg)->port);
}

static int plug(struct dev *d, struct hk_err *err)
{
	struct ahci *h = container_of(d, struct ahci, dev);

	if (!d->env->pci)
		return err_set(err, -ENODEV, "%s: this board has no PCI", d->cls->name);
	work_init(&h->work, d->env->loop, run, h);
	h->have_work = true;
	h->ghc = GHC_AE;
	port_power_on(&h->port);
	return pci_fn_add(d->env->pci, &h->fn, &ahci_fn, d, h, err);
}

static int start(struct dev *d)
{
	struct ahci *h = container_of(d, struct ahci, dev);

	pthread_mutex_lock(&h->lock);
	h->stopped = false;
	pthread_mutex_unlock(&h->lock);
	work_post(&h->work);
	return 0;
}

static void drain(void *arg)
{
	struct ahci *h = arg;

	blk_drain(h->port.blk);
}

static void stop(struct dev *d)
{
	struct ahci *h = container_of(d, struct ahci, dev);

	if (!h->have_work)
		return;
	pthread_mutex_lock(&h->lock);
	h->stopped = true;
	pthread_mutex_unlock(&h->lock);
	loop_call_wait(d->env->loop, drain, h);
	work_cancel_sync(&h->work);
}

static void reset(struct dev *d, enum dev_reset kind)
{
	struct ahci *h = container_of(d, struct ahci, dev);
	bool stopped;

	pthread_mutex_lock(&h->lock);
	stopped = h->stopped;
	h->stopped = true;
	pthread_mutex_unlock(&h->lock);
	loop_call_wait(d->env->loop, drain, h);
	pthread_mutex_lock(&h->lock);
	h->stopped = stopped;
	h->reset_wanted = false;
	h->ghc = GHC_AE;
	h->is = 0;
	port_power_on(&h->port);
	ahci_irq_update_locked(h);
	pthread_mutex_unlock(&h->lock);
}

static void dump(struct dev *d, struct strbuf *out)
{
	struct ahci *h = container_of(d, struct ahci, dev);
	struct ahci_port *p = &h->port;

	pthread_mutex_lock(&h->lock);
	strbuf_add(out, "%s ghc %08x is %08x port: cmd %08x tfd %04x ssts %03x serr %08x is %08x "
		   "ie %08x ci %08x sact %08x in flight %u%s%s\n", d->id, h->ghc, h->is, p->cmd,
		   p->tfd, p->ssts, p->serr, port_is(p), p->ie, p->ci, p->sact, p->in_flight,
		   p->halted ? " halted" : "", p->draining ? " draining" : "");
	strbuf_add(out, "%s commands %llu errors %llu resets %llu\n", d->id,
		   (unsigned long long)p->commands, (unsigned long long)p->errors,
		   (unsigned long long)p->resets);
	pthread_mutex_unlock(&h->lock);
	if (p->blk)
		blk_dump(p->blk, out);
}

static int control(struct dev *d, enum dev_control what, void *arg)
{
	const struct dev_disk *which = arg;
	const struct hk_disk_limits *l;
	struct blk *blk = container_of(d, struct ahci, dev)->port.blk;

	if ((what != DEV_DISK_RESIZE && what != DEV_DISK_LIMIT) || !dev_disk_is(d, which))
		return -ENOTSUP;
	if (what == DEV_DISK_RESIZE)
		return blk_resize(blk, which->bytes, which->err);
	l = which->limits;
	blk_set_limits(blk, &(struct blk_limits){ l->bytes_per_s, l->ops_per_s, l->burst_bytes,
						  l->burst_ops });
	return 0;
}

static void fini(struct dev *d)
{
	struct ahci *h = container_of(d, struct ahci, dev);

	stop(d);
	pci_fn_remove(&h->fn);
	blk_close(h->port.blk);
	h->port.blk = NULL;
	free(h->port.slot);
	h->port.slot = NULL;
	if (h->have_lock)
		pthread_mutex_destroy(&h->lock);
	h->have_lock = false;
}

extern const struct dev_class ahci_hd_class, ahci_cd_class;
const struct dev_class ahci_hd_class = {
	.name = "ahci-hd",
	.help = "SATA disk: PATH[,option...]",
	.size = sizeof(struct ahci),
	.opts = ahci_opts,
	.init = hd_init,
	.plug = plug,
	.start = start,
	.stop = stop,
	.reset = reset,
	.dump = dump,
	.control = control,
	.fini = fini,
};

const struct dev_class ahci_cd_class = {
	.name = "ahci-cd",
	.help = "SATA CD-ROM: PATH of an ISO image",
	.size = sizeof(struct ahci),
	.opts = ahci_opts,
	.init = cd_init,
	.plug = plug,
	.start = start,
	.stop = stop,
	.reset = reset,
	.dump = dump,
	.control = control,
	.fini = fini,
};
