// SPDX-License-Identifier: BSD-2-Clause
/* test/lib/gvio.c - A guest's virtio driver: modern and legacy, split rings; see fake.h
 *
 * Written from virtio 1.2 (2.7, 3.1, 4.1) and knowing nothing of the device's side. */
#include "lib/fake.h"

#include <stdio.h>

#define MSI_ADDR 0xfee00000ull
#define MSIX_CAP 0x11u
#define NO_VECTOR 0xffffu

/* ---- finding it ---- */

static u64 bar_at(struct gvio *g, unsigned bar)
{
	u32 lo = fake_cfg_rd(g->f, g->dev, 0x10 + bar * 4, 4);

	if (lo & 1)
		return lo & ~3u;
	if ((lo & 6) == 4)
		return (lo & ~0xfull) | (u64)fake_cfg_rd(g->f, g->dev, 0x14 + bar * 4, 4) << 32;
	return lo & ~0xfu;
}

static void find_modern(struct gvio *g)
{
	unsigned cap, i;
	u64 at;

	for (i = 0; (cap = fake_cap(g->f, g->dev, 9, i)); i++) {
		u8 type = (u8)fake_cfg_rd(g->f, g->dev, cap + 3, 1);

		if (type < 1 || type > 4)
			continue;
		at = bar_at(g, fake_cfg_rd(g->f, g->dev, cap + 4, 1)) +
		     fake_cfg_rd(g->f, g->dev, cap + 8, 4);
		if (type == 1)
			g->common = at;
		if (type == 2) {
			g->notify = at;
			g->notify_mult = fake_cfg_rd(g->f, g->dev, cap + 16, 4);
		}
		if (type == 3)
			g->isr = at;
		if (type == 4) {
			g->device = at;
			g->device_len = fake_cfg_rd(g->f, g->dev, cap + 12, 4);
		}
	}
}

static void msix_on(struct gvio *g)
{
	unsigned cap = fake_cap(g->f, g->dev, MSIX_CAP, 0), n, i;
	u64 table;

	if (!cap || (g->flags & GVIO_INTX))
		return;
	n = (fake_cfg_rd(g->f, g->dev, cap + 2, 2) & 0x7ff) + 1;
	table = bar_at(g, fake_cfg_rd(g->f, g->dev, cap + 4, 4) & 7);
	for (i = 0; i < n; i++) {
		fake_mmio_wr(g->f, table + i * 16, MSI_ADDR, 4);
		fake_mmio_wr(g->f, table + i * 16 + 4, 0, 4);
		fake_mmio_wr(g->f, table + i * 16 + 8, i, 4);
		fake_mmio_wr(g->f, table + i * 16 + 12, 0, 4);
	}
	fake_cfg_wr(g->f, g->dev, cap + 2, 0x8000, 2);
	g->msix = true;
}

struct gvio *gvio_probe(struct fake *f, struct dev *d, unsigned flags)
{
	struct gvio *g = calloc(1, sizeof(*g));
	u32 bar0 = fake_cfg_rd(f, d, 0x10, 4);

	if (!g)
		fake_die("out of memory");
	g->f = f;
	g->dev = d;
	g->flags = flags;
	find_modern(g);
	if ((bar0 & 1) && fake_cfg_rd(f, d, 8, 1) == 0)
		g->io = (u16)(bar0 & ~3u);
	if ((flags & GVIO_LEGACY) ? !g->io : !g->common)
		fake_die("%s has no %s interface", d->id, flags & GVIO_LEGACY ? "legacy" : "modern");
	return g;
}

void gvio_close(struct gvio *g)
{
	if (!g)
		return;
	for (unsigned i = 0; i < VIO_MAX_QUEUES; i++) {
		free(g->q[i].busy);
		free(g->q[i].links);
	}
	free(g);
}

/* ---- registers ---- */

static bool legacy(const struct gvio *g)
{
	return g->flags & GVIO_LEGACY;
}

static u64 rd(struct gvio *g, unsigned common, unsigned port, unsigned size)
{
	return legacy(g) ? fake_pio_rd(g->f, (u16)(g->io + port), size) :
			   fake_mmio_rd(g->f, g->common + common, size);
}

static void wr(struct gvio *g, unsigned common, unsigned port, u64 val, unsigned size)
{
	if (legacy(g))
		fake_pio_wr(g->f, (u16)(g->io + port), val, size);
	else
		fake_mmio_wr(g->f, g->common + common, val, size);
}

u32 gvio_status(struct gvio *g)
{
	return (u32)rd(g, 20, 18, 1);
}

void gvio_set_status(struct gvio *g, u32 status)
{
	wr(g, 20, 18, status, 1);
}

u64 gvio_offered(struct gvio *g)
{
	u64 f;

	if (legacy(g))
		return fake_pio_rd(g->f, g->io, 4);
	fake_mmio_wr(g->f, g->common, 0, 4);
	f = fake_mmio_rd(g->f, g->common + 4, 4);
	fake_mmio_wr(g->f, g->common, 1, 4);
	return f | fake_mmio_rd(g->f, g->common + 4, 4) << 32;
}

void gvio_accept(struct gvio *g, u64 features)
{
	g->features = features;
	if (legacy(g)) {
		fake_pio_wr(g->f, (u16)(g->io + 4), features, 4);
		return;
	}
	for (unsigned i = 0; i < 2; i++) {
		fake_mmio_wr(g->f, g->common + 8, i, 4);
		fake_mmio_wr(g->f, g->common + 12, features >> 32 * i & UINT32_MAX, 4);
	}
}

u8 gvio_isr(struct gvio *g)
{
	return legacy(g) ? (u8)fake_pio_rd(g->f, (u16)(g->io + 19), 1) :
			   (u8)fake_mmio_rd(g->f, g->isr, 1);
}

static u16 legacy_config(const struct gvio *g, unsigned off)
{
	return (u16)(g->io + 20 + (g->msix ? 4 : 0) + off);
}

u32 gvio_config(struct gvio *g, unsigned off, unsigned size)
{
	return legacy(g) ? (u32)fake_pio_rd(g->f, legacy_config(g, off), size) :
			   (u32)fake_mmio_rd(g->f, g->device + off, size);
}

void gvio_config_write(struct gvio *g, unsigned off, u32 val, unsigned size)
{
	if (legacy(g))
		fake_pio_wr(g->f, legacy_config(g, off), val, size);
	else
		fake_mmio_wr(g->f, g->device + off, val, size);
}

u32 gvio_generation(struct gvio *g)
{
	return (u32)fake_mmio_rd(g->f, g->common + 21, 1);
}

static void select_queue(struct gvio *g, unsigned q)
{
	wr(g, 22, 14, q, 2);
}

unsigned gvio_queue_size(struct gvio *g, unsigned q)
{
	select_queue(g, q);
	return (unsigned)rd(g, 24, 12, 2);
}

void gvio_queue_raw(struct gvio *g, unsigned q, unsigned size, gpa_t desc, gpa_t avail, gpa_t used)
{
	gpa_t at[3] = { desc, avail, used };

	select_queue(g, q);
	if (legacy(g)) {
		fake_pio_wr(g->f, (u16)(g->io + 8), desc >> 12, 4);
		return;
	}
	fake_mmio_wr(g->f, g->common + 24, size, 2);
	for (unsigned i = 0; i < 3; i++) {
		fake_mmio_wr(g->f, g->common + 32 + i * 8, at[i] & UINT32_MAX, 4);
		fake_mmio_wr(g->f, g->common + 36 + i * 8, at[i] >> 32, 4);
	}
	fake_mmio_wr(g->f, g->common + 28, 1, 2);
}

void gvio_queue_setup(struct gvio *g, unsigned qi, unsigned size)
{
	unsigned max = gvio_queue_size(g, qi);
	struct gvq *q = &g->q[qi];
	u64 bytes;

	if (!max)
		fake_die("queue %u does not exist", qi);
	q->size = (u16)(size && !legacy(g) ? size : max);
	if ((g->flags & GVIO_HIGH) && g->f->alloc_at < FAKE_HIGH_GPA)
		g->f->alloc_at = FAKE_HIGH_GPA;
	bytes = ALIGN_UP((u64)q->size * 18 + 6, 4096) + ALIGN_UP((u64)q->size * 8 + 6, 4096);
	q->desc_gpa = fake_alloc(g->f, bytes, 4096);
	q->avail_gpa = q->desc_gpa + (u64)q->size * 16;
	q->used_gpa = ALIGN_UP(q->avail_gpa + 6 + (u64)q->size * 2, 4096);
	q->desc = fake_ptr(g->f, q->desc_gpa, (u64)q->size * 16);
	q->avail = fake_ptr(g->f, q->avail_gpa, (u64)q->size * 2 + 6);
	q->used = fake_ptr(g->f, q->used_gpa, (u64)q->size * 8 + 6);
	q->avail_idx = q->used_seen = q->kicked_idx = 0;
	free(q->busy);
	free(q->links);
	q->busy = calloc(q->size, sizeof(*q->busy));
	q->links = calloc(q->size, sizeof(*q->links));
	if (!q->busy || !q->links)
		fake_die("out of memory");
	if (g->msix) {
		q->vector = qi + 1;
		select_queue(g, qi);
		wr(g, 26, 22, q->vector, 2);
	}
	if (!legacy(g)) {
		select_queue(g, qi);
		q->notify_at = g->notify + fake_mmio_rd(g->f, g->common + 30, 2) * g->notify_mult;
	}
	gvio_queue_raw(g, qi, q->size, q->desc_gpa, q->avail_gpa, q->used_gpa);
}

struct gvio *gvio_open(struct fake *f, struct dev *d, u64 want, unsigned flags)
{
	struct gvio *g = gvio_probe(f, d, flags);

	msix_on(g);
	gvio_set_status(g, 0);
	if (gvio_status(g))
		fake_die("%s did not reset", d->id);
	gvio_set_status(g, VIO_S_ACKNOWLEDGE);
	gvio_set_status(g, VIO_S_ACKNOWLEDGE | VIO_S_DRIVER);
	g->offered = gvio_offered(g);
	if (!legacy(g))
		want |= BIT64(VIO_F_VERSION_1);
	gvio_accept(g, g->offered & want);
	if (!legacy(g)) {
		gvio_set_status(g, VIO_S_ACKNOWLEDGE | VIO_S_DRIVER | VIO_S_FEATURES_OK);
		if (!(gvio_status(g) & VIO_S_FEATURES_OK))
			fake_die("%s refuses features %#llx", d->id,
				 (unsigned long long)g->features);
	}
	if (g->msix)
		wr(g, 16, 20, 0, 2);
	while (g->num_queues < VIO_MAX_QUEUES && gvio_queue_size(g, g->num_queues))
		gvio_queue_setup(g, g->num_queues++, 0);
	if (!(flags & GVIO_NO_START))
		gvio_set_status(g, gvio_status(g) | VIO_S_DRIVER_OK);
	return g;
}

void gvio_kick(struct gvio *g, unsigned q)
{
	if (legacy(g))
		fake_pio_wr(g->f, (u16)(g->io + 16), q, 2);
	else
		fake_mmio_wr(g->f, g->q[q].notify_at, q, 2);
}

void gvio_kick_if_wanted(struct gvio *g, unsigned q)
{
	bool wanted = gvq_wants_kick(g, q, g->q[q].kicked_idx);

	g->q[q].kicked_idx = g->q[q].avail_idx;
	if (wanted)
		gvio_kick(g, q);
}

unsigned gvio_irqs(struct gvio *g, unsigned q)
{
	if (!g->msix)
		return atomic_exchange(&g->f->gsi_rises, 0);
	return atomic_exchange(&g->f->msi[q == GVIO_CONFIG_IRQ ? 0 : q + 1], 0);
}

/* ---- rings ---- */

static u16 used_idx(const struct gvq *q)
{
	return __atomic_load_n((const u16 *)(const void *)(q->used + 2), __ATOMIC_ACQUIRE);
}

static void make_available(struct gvq *q, u16 head)
{
	store_le16(q->avail + 4 + (q->avail_idx % q->size) * 2u, head);
	q->avail_idx++;
	__atomic_store_n((u16 *)(void *)(q->avail + 2), q->avail_idx, __ATOMIC_SEQ_CST);
}

static int free_desc(const struct gvq *q)
{
	for (unsigned i = 0; i < q->size; i++)
		if (!q->busy[i])
			return (int)i;
	return -1;
}

static unsigned free_count(const struct gvq *q)
{
	unsigned n = 0;

	for (unsigned i = 0; i < q->size; i++)
		n += !q->busy[i];
	return n;
}

int gvq_add(struct gvio *g, unsigned qi, const struct gseg *seg, unsigned n)
{
	struct gvq *q = &g->q[qi];
	int head = -1, prev = -1, i;

	if (!n || free_count(q) < n)
		return -1;
	for (unsigned k = 0; k < n; k++) {
		i = free_desc(q);
		q->busy[i] = true;
		q->desc[i].addr = le64_of(seg[k].gpa);
		q->desc[i].len = le32_of(seg[k].len);
		q->desc[i].flags = le16_of((u16)((seg[k].in ? GDESC_IN : 0) |
						 (k + 1 < n ? GDESC_NEXT : 0)));
		q->desc[i].next = le16_of(0);
		if (prev >= 0)
			q->desc[prev].next = le16_of((u16)i);
		else
			head = i;
		prev = i;
	}
	q->links[head] = (u16)n;
	make_available(q, (u16)head);
	return head;
}

int gvq_add_indirect(struct gvio *g, unsigned qi, const struct gseg *seg, unsigned n)
{
	struct gvq *q = &g->q[qi];
	gpa_t at = fake_alloc(g->f, n * sizeof(struct gdesc), 16);
	struct gdesc *t = fake_ptr(g->f, at, n * sizeof(*t));
	int head = free_desc(q);

	if (head < 0)
		return -1;
	for (unsigned k = 0; k < n; k++)
		t[k] = (struct gdesc){
			.addr = le64_of(seg[k].gpa),
			.len = le32_of(seg[k].len),
			.flags = le16_of((u16)((seg[k].in ? GDESC_IN : 0) |
					       (k + 1 < n ? GDESC_NEXT : 0))),
			.next = le16_of((u16)(k + 1)),
		};
	q->busy[head] = true;
	q->links[head] = 1;
	q->desc[head] = (struct gdesc){
		.addr = le64_of(at),
		.len = le32_of((u32)(n * sizeof(*t))),
		.flags = le16_of(GDESC_INDIRECT),
	};
	make_available(q, (u16)head);
	return head;
}

int gvq_get(struct gvio *g, unsigned qi, u32 *written)
{
	struct gvq *q = &g->q[qi];
	u32 head, i, n;
	const u8 *e;

	if (used_idx(q) == q->used_seen)
		return -1;
	e = q->used + 4 + (q->used_seen++ % q->size) * 8u;
	head = load_le32(e);
	if (written)
		*written = load_le32(e + 4);
	if (head >= q->size || !q->links[head])
		fake_die("queue %u: the device used head %u, which is not out", qi, head);
	n = q->links[head];
	q->links[head] = 0;
	for (i = head; n--; i = le16_get(q->desc[i].next))
		q->busy[i] = false;
	return (int)head;
}

bool gvq_wants_kick(struct gvio *g, unsigned qi, u16 old)
{
	struct gvq *q = &g->q[qi];
	u16 event;

	atomic_thread_fence(memory_order_seq_cst);
	if (!(g->features >> VIO_F_EVENT_IDX & 1))
		return !(load_le16(q->used) & 1);
	event = load_le16(q->used + 4 + q->size * 8u);
	return (u16)(q->avail_idx - event - 1) < (u16)(q->avail_idx - old);
}

void gvq_set_used_event(struct gvio *g, unsigned qi, u16 idx)
{
	store_le16(g->q[qi].avail + 4 + g->q[qi].size * 2u, idx);
}

void gvq_no_interrupt(struct gvio *g, unsigned qi, bool on)
{
	store_le16(g->q[qi].avail, on);
}

/* ---- requests ---- */

static bool is_used(void *arg)
{
	const struct gvq *q = arg;

	return used_idx(q) != q->used_seen;
}

u32 gvio_request(struct gvio *g, unsigned qi, const void *out, u32 out_len, void *in, u32 in_len)
{
	u64 mark = g->f->alloc_at;
	struct gseg seg[2];
	unsigned n = 0;
	gpa_t in_at = 0;
	u32 written;

	if (out_len) {
		seg[n] = (struct gseg){ fake_alloc(g->f, out_len, 16), out_len, false };
		memcpy(fake_ptr(g->f, seg[n].gpa, out_len), out, out_len);
		n++;
	}
	if (in_len) {
		in_at = fake_alloc(g->f, in_len, 16);
		seg[n++] = (struct gseg){ in_at, in_len, true };
	}
	if (gvq_add(g, qi, seg, n) < 0)
		fake_die("queue %u is full", qi);
	gvio_kick_if_wanted(g, qi);
	if (!fake_wait(g->f, is_used, &g->q[qi], 5000))
		fake_die("%s: no answer on queue %u; last log line: %s", g->dev->id, qi,
			 g->f->log_text);
	gvq_get(g, qi, &written);
	if (in_len)
		memcpy(in, fake_ptr(g->f, in_at, in_len), in_len);
	fake_release(g->f, mark);
	return written;
}
