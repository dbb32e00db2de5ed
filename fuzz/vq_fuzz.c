// SPDX-License-Identifier: BSD-2-Clause
/* fuzz/vq_fuzz.c - Virtqueues: a driver that writes anything into its rings, at any time
 *
 * The first bytes choose interface, features and the queue's size; the rest is a program of stores
 * into descriptor table, rings and indirect tables, of kicks, pushes and resets. The device looks
 * at every byte of every chain it gets and checks what vq.h promises of chains. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/fake.h"
#include "input.h"

#define TABLE 0x80000ull /* indirect tables and small buffers lie here, 64 KiB */
#define MAX_TOUCH 4096u

struct probe {
	struct vio v;
	struct vq_chain *held[64];
	unsigned num_held;
};

static struct probe *probe_of(struct vio *v)
{
	return container_of(v, struct probe, v);
}

static void look_at(struct vio *v, struct vq_chain *c)
{
	static u8 buf[MAX_TOUCH];
	struct mem *m = v->dev.env->mem;

	require(c->head < v->q[0].size, "a head beyond the queue");
	require(iov_bytes(c->out, c->num_out) == c->out_len, "out_len is not the sum");
	require(iov_bytes(c->in, c->num_in) == c->in_len, "in_len is not the sum");
	for (unsigned i = 0; i < c->num_out + c->num_in; i++) {
		const u8 *p = c->out[i].iov_base;
		bool found = false;

		for (unsigned k = 0; k < m->num_blocks; k++)
			found |= p >= m->block[k].hva &&
				 p + c->out[i].iov_len <= m->block[k].hva + m->block[k].len;
		require(found && c->out[i].iov_len, "a piece that is not RAM");
	}
	vq_read(c, 0, buf, sizeof(buf));
	vq_read(c, c->out_len - MIN(c->out_len, 16u), buf, 32);
	vq_write(c, c->in_len - MIN(c->in_len, 16u), buf, 32);
	vq_write_zero(c, c->in_len / 2, 64);
}

static void probe_notify(struct vio *v, unsigned i)
{
	struct probe *p = probe_of(v);
	struct vq *q = &v->q[i];
	unsigned budget = q->size;
	struct vq_chain *c;

	vq_kicks_off(q);
	while (budget-- && (c = vq_pop(q))) {
		look_at(v, c);
		if ((c->head & 3) == 3 && p->num_held < ARRAY_LEN(p->held))
			p->held[p->num_held++] = c;
		else
			vq_push(q, c, c->in_len / 2 + 1);
	}
	if (vq_kicks_on(q))
		vio_kick(v, i);
	vq_signal(q);
}

static void probe_deactivate(struct vio *v)
{
	probe_of(v)->num_held = 0;
}

static const struct vio_class probe_vio = {
	.name = "probe",
	.id = 42,
	.pci_legacy_id = 0x1030,
	.num_queues = 1,
	.queue_size = 64,
	.notify = probe_notify,
	.deactivate = probe_deactivate,
};

static int probe_init(struct dev *d, const char *opts, struct hk_err *err)
{
	char *rest;
	int rc = vio_init(vio_of(d), &probe_vio, opts, &rest, err);

	free(rest);
	return rc;
}

static const struct dev_class probe_class = {
	.name = "probe",
	.size = sizeof(struct probe),
	.init = probe_init,
	.plug = vio_plug,
	.start = vio_start,
	.stop = vio_stop,
	.reset = vio_reset,
	.fini = vio_fini,
};

static u64 address(struct in *in)
{
	switch (u8_of(in) & 7) {
	case 0:
		return FAKE_LOW_BYTES - num_of(in, 2);
	case 1:
		return FAKE_HIGH_GPA + num_of(in, 3);
	case 2:
		return (u64)num_of(in, 4) << 32 | num_of(in, 4);
	case 3:
		return 0xc0000000 + num_of(in, 3);
	default:
		return TABLE + num_of(in, 2);
	}
}

static void put_desc(struct in *in, struct gdesc *d)
{
	u8 form = u8_of(in);

	d->addr = le64_of(address(in));
	d->len = le32_of(form & 0x80 ? num_of(in, 4) : form & 0x40 ? 16 * u8_of(in) : u8_of(in));
	d->flags = le16_of(form & 7);
	d->next = le16_of((u16)(form & 0x20 ? num_of(in, 2) : u8_of(in) & 63));
}

static void step(struct fake *f, struct gvio *g, struct probe *p, struct in *in)
{
	struct gvq *q = &g->q[0];
	struct vq *vq = &p->v.q[0];
	u16 idx;

	switch (u8_of(in) % 12) {
	case 0:
	case 1:
	case 2:
		put_desc(in, &q->desc[u8_of(in) % q->size]);
		break;
	case 3:
	case 4:
		put_desc(in, fake_ptr(f, TABLE + 16 * (num_of(in, 2) & 4095), 16));
		break;
	case 5: /* an ordinary entry, mostly */
		idx = load_le16(q->avail + 2);
		store_le16(q->avail + 4 + (idx % q->size) * 2u, u8_of(in) % (q->size + 1u));
		store_le16(q->avail + 2, (u16)(idx + 1));
		break;
	case 6:
		store_le16(q->avail + 2, (u16)num_of(in, 2));
		break;
	case 7:
		q->avail[num_of(in, 2) % (6 + q->size * 2u)] = u8_of(in);
		break;
	case 8:
		gvio_kick(g, 0);
		loop_step(f->loop, 0);
		break;
	case 9:
		if (p->num_held) {
			struct vq_chain *c = p->held[--p->num_held];

			vq_fill(vq, c, num_of(in, 4));
			if (u8_of(in) & 1)
				vq_publish(vq);
			vq_signal(vq);
		}
		break;
	case 10:
		require(vq_in_flight(vq) == p->num_held, "in flight is not what is held");
		gvio_kick(g, 0);
		loop_step(f->loop, 0);
		break;
	case 11:
		if (u8_of(in) < 8) {
			gvio_set_status(g, 0);
			require(!vq_in_flight(vq), "in flight after a reset");
		}
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fake *f; /* RAM keeps what earlier inputs left: only size makes that cheap */
	struct in in = { data, size };
	struct probe *p;
	struct gvio *g;
	struct dev *d;
	u8 form = u8_of(&in);
	u64 mark, want = 0;

	if (!f)
		f = fake_new();
	mark = f->alloc_at;
	memset(fake_ptr(f, TABLE, 65536), 0, 65536);
	d = fake_dev_of(f, &probe_class, 1, NULL, NULL);
	require(d, "no device");
	p = probe_of(vio_of(d));
	if (form & 1)
		want |= BIT64(VIO_F_INDIRECT);
	if (form & 2)
		want |= BIT64(VIO_F_EVENT_IDX);
	g = gvio_open(f, d, want, form & 4 ? GVIO_LEGACY : 0);
	for (unsigned i = 0; in.n && i < 2000; i++)
		step(f, g, p, &in);
	for (unsigned i = 0; i < 100 && loop_step(f->loop, 0) > 0; i++)
		;
	/* whatever happened: after a reset it works */
	gvio_close(g);
	fake_release(f, mark);
	g = gvio_open(f, d, want, form & 4 ? GVIO_LEGACY : 0);
	require(gvio_request(g, 0, "abcd", 4, NULL, 0) == 0, "no answer");
	gvio_close(g);
	fake_dev_free(d);
	pci_bus_destroy(f->pci);
	fake_release(f, mark);
	/* BAR space is never given back: a new bus for each input */
	f->pci = NULL;
	f->env.pci = NULL;
	{
		struct pci_bus_config cfg = {
			.env = &f->env, .io_base = 0x2000, .io_limit = 0x10000,
			.mem32_base = 0xc0000000, .mem32_limit = 0xe0000000,
			.mem64_base = 0xd000000000, .mem64_limit = 0xfd00000000,
			.ecam_base = 0xe0000000,
		};

		require(!pci_bus_create(&f->pci, &cfg, NULL), "no bus");
		f->env.pci = f->pci;
	}
	return 0;
}
