// SPDX-License-Identifier: BSD-2-Clause
/* device/virtio/vio.c - The life of a virtio device: status, features, queues, kicks
 *
 * Between the device (struct vio_class) and the transport (vio_pci.c). All that changes the
 * device's life runs as the loop, so that it never meets the data path; a vCPU that writes such a
 * register waits for it. Test: test/unit/device/virtio/vio_test.c. */
#include "device/virtio/vio.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/range.h"
#include "base/strbuf.h"
#include "device/virtio/vio_int.h"

/**
 * DOC: Legacy drivers
 *
 * They know neither FEATURES_OK nor a word for "queue complete": the features are what was
 * accepted when the device is first used, and a queue exists once it has a page number. Old ones
 * use the device from their probe function, before DRIVER_OK; so a kick of a legacy queue
 * activates too.
 *
 * Who decides which interface is in use is the driver, register by register. A driver that mixes
 * them gets a mixture; the rings are checked all the same.
 */

u64 vio_offered(const struct vio *v)
{
	u64 f = v->cls->features | v->features | BIT64(VIO_F_INDIRECT) | BIT64(VIO_F_EVENT_IDX);

	if (v->legacy)
		f |= BIT64(VIO_F_ANY_LAYOUT);
	if (v->modern)
		f |= BIT64(VIO_F_VERSION_1);
	return f;
}

/* ---------------------------------------------------------- active or not */

static bool negotiate(struct vio *v, u64 features)
{
	v->acked = features;
	if (!v->cls->set_features || v->cls->set_features(v, features))
		return true;
	v->acked = 0;
	return false;
}

static void queue_enable(struct vio *v, unsigned i)
{
	struct vio_queue_regs r = vio_pci_queue(v, i);
	struct vq *q = &v->q[i];
	int rc;

	if (!r.enabled || q->ready)
		return;
	rc = vq_enable(q, r.size, r.desc, r.avail, r.used, vio_has(v, VIO_F_EVENT_IDX),
		       vio_has(v, VIO_F_INDIRECT));
	if (rc)
		vq_broken(q, rc == -EFAULT ? "rings that are not in RAM" : "an impossible ring");
}

static void kick_all(struct vio *v)
{
	u64 bits = 0;

	for (unsigned i = 0; i < v->num_queues; i++)
		if (v->q[i].ready)
			bits |= BIT64(i);
	atomic_fetch_or(&v->kicks, bits);
	work_post(&v->kick_work);
}

static void activate(struct vio *v)
{
	if (v->active || !v->started)
		return;
	for (unsigned i = 0; i < v->num_queues; i++)
		queue_enable(v, i);
	v->active = true;
	if (v->cls->activate)
		v->cls->activate(v);
	kick_all(v);
}

static void deactivate(struct vio *v)
{
	if (!v->active)
		return;
	if (v->cls->deactivate)
		v->cls->deactivate(v);
	v->active = false;
	for (unsigned i = 0; i < v->num_queues; i++)
		vq_forget(&v->q[i]);
}

static void reset(struct vio *v)
{
	deactivate(v);
	for (unsigned i = 0; i < v->num_queues; i++)
		vq_reset(&v->q[i]);
	v->acked = 0;
	v->in_use = false;
	atomic_store(&v->kicks, 0);
	vio_pci_reset(v);
	atomic_store(&v->status, 0);
	v->resets++;
}

/* The legacy interface has 32 bits of features */
static void use_legacy(struct vio *v)
{
	v->in_use = true;
	negotiate(v, vio_pci_driver_features(v) & vio_offered(v) & UINT32_MAX);
	activate(v);
}

/* -------------------------------------------------------- what a driver does */

struct call {
	struct vio *v;
	unsigned q, off, len;
	const u8 *bytes;
	u8 status;
};

static bool features_ok(struct vio *v)
{
	u64 f = vio_pci_driver_features(v);

	if ((f & ~vio_offered(v)) || !(f & BIT64(VIO_F_VERSION_1)))
		return false;
	return negotiate(v, f);
}

static void do_status(void *arg)
{
	struct call *c = arg;
	struct vio *v = c->v;
	u32 old = atomic_load(&v->status), new = old | c->status;

	if (!c->status) {
		reset(v);
		return;
	}
	if ((new & VIO_S_FEATURES_OK) && !(old & VIO_S_FEATURES_OK) &&
	    ((old & VIO_S_DRIVER_OK) || !features_ok(v)))
		new &= ~VIO_S_FEATURES_OK;
	/* NEEDS_RESET may come from activate(): the driver's bits first */
	atomic_fetch_or(&v->status, new & ~VIO_S_NEEDS_RESET);
	if (!(new & VIO_S_DRIVER_OK) || (old & VIO_S_DRIVER_OK))
		return;
	if (v->in_use)
		return;
	if (new & VIO_S_FEATURES_OK) {
		v->in_use = true;
		activate(v);
	} else if (v->legacy) {
		use_legacy(v);
	}
}

void vio_driver_status(struct vio *v, u8 status)
{
	struct call c = { .v = v, .status = status };

	loop_run(v->dev.env->loop, do_status, &c);
}

static void do_enable(void *arg)
{
	struct call *c = arg;

	if (!c->v->active)
		return;
	queue_enable(c->v, c->q);
	vio_kick(c->v, c->q);
}

void vio_driver_enable(struct vio *v, unsigned q)
{
	struct call c = { .v = v, .q = q };

	loop_run(v->dev.env->loop, do_enable, &c);
}

static void do_disable(void *arg)
{
	struct call *c = arg;

	/* Drivers reset the device first; one that does not has taken memory that is in use */
	if (c->v->q[c->q].ready)
		vq_broken(&c->v->q[c->q], "the driver took it away");
}

void vio_driver_disable(struct vio *v, unsigned q)
{
	struct call c = { .v = v, .q = q };

	loop_run(v->dev.env->loop, do_disable, &c);
}

static void do_cfg_write(void *arg)
{
	struct call *c = arg;

	c->v->cls->cfg_write(c->v, c->off, c->bytes, c->len);
}

void vio_driver_cfg_write(struct vio *v, unsigned off, const u8 *bytes, unsigned len)
{
	struct call c = { .v = v, .off = off, .bytes = bytes, .len = len };

	if (v->cls->cfg_write && range_ok(off, len, v->config_len))
		loop_run(v->dev.env->loop, do_cfg_write, &c);
}

static bool early_legacy_kick(struct vio *v, unsigned q)
{
	struct vio_queue_regs r = vio_pci_queue(v, q);

	return !v->in_use && r.enabled && r.legacy &&
	       (atomic_load(&v->status) & VIO_S_DRIVER);
}

static void do_kicks(void *arg)
{
	struct vio *v = arg;
	u64 bits = atomic_exchange(&v->kicks, 0);

	while (bits) {
		unsigned i = (unsigned)__builtin_ctzll(bits);
		struct vq *q = &v->q[i];

		bits &= bits - 1;
		if (!v->active && v->started && early_legacy_kick(v, i))
			use_legacy(v);
		if (!v->active || !q->ready || q->broken)
			continue;
		q->kicks++;
		if (v->cls->notify)
			v->cls->notify(v, i);
	}
}

void vio_driver_kick(struct vio *v, unsigned q)
{
	if (q >= v->num_queues)
		return;
	atomic_fetch_or(&v->kicks, BIT64(q));
	if (v->cls->notify_on_loop)
		work_post(&v->kick_work);
	else
		work_run(&v->kick_work);
}

void vio_driver_rang(struct vio *v, unsigned q)
{
	atomic_fetch_or(&v->kicks, BIT64(q));
	do_kicks(v);
}

/* --------------------------------------------------------- what a device does */

void vio_kick(struct vio *v, unsigned q)
{
	atomic_fetch_or(&v->kicks, BIT64(q));
	work_post(&v->kick_work);
}

void vio_config_set(struct vio *v, unsigned off, const void *bytes, unsigned len)
{
	pthread_mutex_lock(&v->lock);
	if (range_ok(off, len, v->config_len)) {
		memcpy(v->config + off, bytes, len);
		v->generation++;
	}
	pthread_mutex_unlock(&v->lock);
}

void vio_config_get(struct vio *v, unsigned off, void *bytes, unsigned len)
{
	memset(bytes, 0, len);
	pthread_mutex_lock(&v->lock);
	if (off < v->config_len)
		memcpy(bytes, v->config + off, MIN(len, v->config_len - off));
	pthread_mutex_unlock(&v->lock);
}

void vio_config_changed(struct vio *v)
{
	if (atomic_load(&v->status) & VIO_S_DRIVER_OK)
		vio_raise_config(v);
}

void vio_needs_reset(struct vio *v, const char *why)
{
	u32 old = atomic_fetch_or(&v->status, VIO_S_NEEDS_RESET);

	if (old & VIO_S_NEEDS_RESET)
		return;
	log_guest(v->dev.env->log, "%s %s: the driver must reset it: %s", v->cls->name, v->dev.id,
		  why);
	if (old & VIO_S_DRIVER_OK)
		vio_raise_config(v);
}

/* --------------------------------------------------------------------- set-up */

int vio_set_queues(struct vio *v, unsigned n, struct hk_err *err)
{
	int rc = 0;

	if (!n || n > VIO_MAX_QUEUES)
		return err_set(err, -EINVAL, "%s: from 1 to %u queues are possible", v->cls->name,
			       VIO_MAX_QUEUES);
	for (unsigned i = 0; i < v->num_queues; i++)
		vq_fini(&v->q[i]);
	free(v->q);
	v->num_queues = 0;
	v->q = calloc(n, sizeof(*v->q));
	if (!v->q)
		return err_set(err, -ENOMEM, "out of memory");
	v->num_queues = n;
	for (unsigned i = 0; i < n && !rc; i++)
		rc = vq_init(&v->q[i], v, (u16)i, v->cls->queue_size);
	return rc ? err_set(err, rc, "out of memory") : 0;
}

int vio_config_init(struct vio *v, const void *bytes, unsigned len, struct hk_err *err)
{
	if (len > VIO_MAX_CONFIG)
		return err_set(err, -EINVAL, "%s: the configuration is too long", v->cls->name);
	free(v->config);
	v->config_len = 0;
	v->config = malloc(len ? len : 1);
	if (!v->config)
		return err_set(err, -ENOMEM, "out of memory");
	memcpy(v->config, bytes, len);
	v->config_len = len;
	return 0;
}

int vio_init(struct vio *v, const struct vio_class *cls, const char *opts, char **rest,
	     struct hk_err *err)
{
	struct vio_opts o;
	int rc;

	*rest = NULL;
	v->cls = cls;
	pthread_mutex_init(&v->lock, NULL);
	v->have_lock = true;
	work_init(&v->kick_work, v->dev.env->loop, do_kicks, v);
	rc = vio_take_opts(&o, opts, rest, err);
	if (rc)
		return err_wrap(err, rc, "%s", cls->name);
	v->legacy = !o.disable_legacy && cls->pci_legacy_id;
	v->modern = !o.disable_modern;
	v->vectors = o.have_vectors ? o.vectors : ~0u;
	rc = vio_set_queues(v, cls->num_queues, err);
	if (!v->legacy && !v->modern)
		rc = err_set(err, -EINVAL, "%s has no legacy interface", cls->name);
	if (rc) {
		free(*rest);
		*rest = NULL;
	}
	return rc;
}

int vio_plug(struct dev *d, struct hk_err *err)
{
	struct vio *v = vio_of(d);

	if (!d->env->pci)
		return err_set(err, -ENODEV, "%s: this board has no PCI", v->cls->name);
	if (v->vectors == ~0u)
		v->vectors = v->num_queues + 1;
	if (d->env->flags & DEV_ENV_MSI_ONLY)
		v->vectors = 0;
	return vio_pci_create(v, err);
}

static void do_start(void *arg)
{
	struct vio *v = arg;

	v->started = true;
	if (v->in_use)
		activate(v);
}

int vio_start(struct dev *d)
{
	loop_run(d->env->loop, do_start, vio_of(d));
	return 0;
}

static void do_stop(void *arg)
{
	struct vio *v = arg;

	deactivate(v);
	v->started = false;
}

void vio_stop(struct dev *d)
{
	if (vio_of(d)->pci)
		loop_run(d->env->loop, do_stop, vio_of(d));
}

static void do_reset(void *arg)
{
	reset(arg);
}

void vio_reset(struct dev *d, enum dev_reset kind)
{
	if (vio_of(d)->pci)
		loop_run(d->env->loop, do_reset, vio_of(d));
}

void vio_dump(struct dev *d, struct strbuf *out)
{
	struct vio *v = vio_of(d);

	strbuf_add(out, "%s %s: status %#x offered %#llx acked %#llx resets %llu broken %llu\n",
		   v->cls->name, d->id, atomic_load(&v->status),
		   (unsigned long long)vio_offered(v), (unsigned long long)v->acked,
		   (unsigned long long)v->resets, (unsigned long long)v->breaks);
	for (unsigned i = 0; i < v->num_queues; i++) {
		const struct vq *q = &v->q[i];

		strbuf_add(out, "  queue %u: size %u%s%s kicks %llu popped %llu pushed %llu "
			   "signals %llu\n", i, q->size, q->ready ? " ready" : "",
			   q->broken ? " broken" : "", (unsigned long long)q->kicks,
			   (unsigned long long)q->popped, (unsigned long long)q->pushed,
			   (unsigned long long)q->signals);
	}
	if (v->pci)
		vio_pci_dump(v, out);
	if (v->cls->dump)
		v->cls->dump(v, out);
}

void vio_fini(struct dev *d)
{
	struct vio *v = vio_of(d);

	vio_stop(d);
	vio_pci_destroy(v);
	work_cancel_sync(&v->kick_work);
	for (unsigned i = 0; i < v->num_queues; i++)
		vq_fini(&v->q[i]);
	free(v->q);
	v->q = NULL;
	v->num_queues = 0;
	free(v->config);
	v->config = NULL;
	if (v->have_lock)
		pthread_mutex_destroy(&v->lock);
	v->have_lock = false;
}
