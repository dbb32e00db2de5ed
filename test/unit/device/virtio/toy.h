// SPDX-License-Identifier: BSD-2-Clause
/* test/unit/device/virtio/toy.h - A virtio device that shows what the core does to devices */
#ifndef TEST_VIRTIO_TOY_H
#define TEST_VIRTIO_TOY_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/fake.h"

#define TOY_FEATURE 3 /* offered */
#define TOY_REFUSE 5  /* offered, but refused when accepted */

/* Queue 0 gives back what it gets, each byte plus one; queue 1 keeps chains until told */
struct toy {
	struct vio v;
	unsigned activated, deactivated, notified[2], features_set;
	u64 features;
	unsigned held;
	struct vq_chain *chain[64];
	bool complete_on_deactivate;
};

static inline struct toy *toy_of(struct vio *v) { return container_of(v, struct toy, v); }

static inline bool toy_features(struct vio *v, u64 acked)
{
	toy_of(v)->features_set++;
	toy_of(v)->features = acked;
	return !(acked & BIT64(TOY_REFUSE));
}

static inline void toy_activate(struct vio *v)
{
	assert_true(loop_is_current(v->dev.env->loop));
	toy_of(v)->activated++;
}

static inline void toy_complete(struct toy *t)
{
	while (t->held) {
		struct vq_chain *c = t->chain[--t->held];

		vq_push(&t->v.q[1], c, c->in_len);
	}
	vq_signal(&t->v.q[1]);
}

static inline void toy_deactivate(struct vio *v)
{
	struct toy *t = toy_of(v);

	assert_true(loop_is_current(v->dev.env->loop));
	t->deactivated++;
	if (t->complete_on_deactivate)
		toy_complete(t);
	t->held = 0;
}

static inline u32 toy_echo(struct vq_chain *c)
{
	u32 n = MIN(c->out_len, c->in_len);
	u8 b;

	for (u32 i = 0; i < n; i++) {
		vq_read(c, i, &b, 1);
		b++;
		vq_write(c, i, &b, 1);
	}
	return n;
}

static inline void toy_notify(struct vio *v, unsigned i)
{
	struct toy *t = toy_of(v);
	struct vq *q = &v->q[i];
	unsigned budget = q->size;
	struct vq_chain *c;

	t->notified[i]++;
	vq_kicks_off(q);
	while (budget-- && (c = vq_pop(q))) {
		if (i == 0)
			vq_push(q, c, toy_echo(c));
		else
			t->chain[t->held++] = c;
	}
	if (vq_kicks_on(q))
		vio_kick(v, i);
	vq_signal(q);
}

static inline void toy_cfg_write(struct vio *v, unsigned off, const u8 *bytes, unsigned len)
{
	if (off >= 8) /* the first half is read-only */
		vio_config_set(v, off, bytes, len);
}

static const struct vio_class toy_vio = {
	.name = "toy",
	.id = 42,
	.pci_legacy_id = 0x1030,
	.pci_class = 0xff,
	.features = BIT64(TOY_FEATURE) | BIT64(TOY_REFUSE),
	.num_queues = 2,
	.queue_size = 16,
	.set_features = toy_features,
	.activate = toy_activate,
	.deactivate = toy_deactivate,
	.notify = toy_notify,
	.cfg_write = toy_cfg_write,
};

static inline int toy_init(struct dev *d, const char *opts, struct hk_err *err)
{
	static const u8 config[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
	char *rest;
	int rc = vio_init(vio_of(d), &toy_vio, opts, &rest, err);

	free(rest);
	return rc ? rc : vio_config_init(vio_of(d), config, sizeof(config), err);
}

static const struct dev_class toy_class = {
	.name = "toy",
	.size = sizeof(struct toy),
	.init = toy_init,
	.plug = vio_plug,
	.start = vio_start,
	.stop = vio_stop,
	.reset = vio_reset,
	.dump = vio_dump,
	.fini = vio_fini,
};

struct rig {
	struct fake *f;
	struct dev *d;
	struct toy *t;
	struct gvio *g;
};

static inline struct rig *rig_make(const char *opts)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->f = fake_new();
	r->d = fake_dev_of(r->f, &toy_class, 3, opts, NULL);
	assert_non_null(r->d);
	r->t = toy_of(vio_of(r->d));
	return r;
}

static inline int rig_setup(void **state)
{
	*state = rig_make(NULL);
	return 0;
}

static inline int rig_teardown(void **state)
{
	struct rig *r = *state;

	gvio_close(r->g);
	fake_dev_free(r->d);
	fake_free(r->f);
	free(r);
	return 0;
}

#define RIG(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

#endif
