// SPDX-License-Identifier: BSD-2-Clause
/* device/virtio/rnd.c - virtio-rnd: the host's random numbers (virtio 1.2, 5.4)
 *
 * getrandom() without waiting: the host's generator is seeded long before it can start a VM, and
 * asks no system resource of its own, so nothing limits the guest but its own vCPU's time. */
#include <stdlib.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/strbuf.h"
#include "device/virtio/vio.h"

#define RND_QUEUE 64u
/* In one go on the loop; a larger buffer is filled in part, which the driver expects (5.4.6.1) */
#define RND_MAX_BYTES (64u * 1024)

struct rnd {
	struct vio v;
	u64 bytes; /* [loop] given so far */
};

static u32 fill(struct vq_chain *c)
{
	u8 buf[256];
	u32 done = 0, want = MIN(c->in_len, RND_MAX_BYTES);
	ssize_t n;

	while (done < want) {
		n = getrandom(buf, MIN(sizeof(buf), want - done), GRND_NONBLOCK);
		if (n <= 0)
			break;
		done += (u32)vq_write(c, done, buf, (size_t)n);
	}
	return done;
}

static void rnd_notify(struct vio *v, unsigned i)
{
	struct rnd *r = container_of(v, struct rnd, v);
	struct vq *q = &v->q[i];
	unsigned budget = q->size;
	struct vq_chain *c;
	u32 n;

	vq_kicks_off(q);
	while (budget-- && (c = vq_pop(q))) {
		n = fill(c);
		r->bytes += n;
		vq_push(q, c, n);
	}
	if (vq_kicks_on(q))
		vio_kick(v, i);
	vq_signal(q);
}

static void rnd_dump(struct vio *v, struct strbuf *out)
{
	struct rnd *r = container_of(v, struct rnd, v);

	strbuf_add(out, "  bytes %llu\n", (unsigned long long)r->bytes);
}

static const struct vio_class rnd_vio = {
	.name = "virtio-rnd",
	.id = 4,
	.pci_legacy_id = 0x1005,
	.pci_class = 0x10,
	.num_queues = 1,
	.queue_size = RND_QUEUE,
	.notify = rnd_notify,
	.dump = rnd_dump,
};

static int rnd_init(struct dev *d, const char *opts, struct hk_err *err)
{
	char *rest;
	int rc = vio_init(vio_of(d), &rnd_vio, opts, &rest, err);

	/* The original took any text here and meant nothing by it */
	if (!rc && rest && *rest)
		log_warn(d->env->log, "virtio-rnd %s: \"%s\" is ignored", d->id, rest);
	free(rest);
	return rc;
}

extern const struct dev_class virtio_rnd_class;
const struct dev_class virtio_rnd_class = {
	.name = "virtio-rnd",
	.help = "random numbers of the host",
	.size = sizeof(struct rnd),
	.init = rnd_init,
	.plug = vio_plug,
	.start = vio_start,
	.stop = vio_stop,
	.reset = vio_reset,
	.dump = vio_dump,
	.fini = vio_fini,
};
