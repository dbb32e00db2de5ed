// SPDX-License-Identifier: BSD-2-Clause
/* device/chipset/post.c - Ports that kernels write to without wanting an answer
 *
 * Power-on self test codes, I/O delays, the coprocessor's busy latch and its like.
 * They swallow writes and read as ones, so that a guest with strict I/O is not
 * stopped for them. No state. [any] */
#include "device/chipset/chipset.h"

static const struct post_range {
	u16 base;
	u8 size;
	const char *name;
} post_ranges[] = {
	{ 0x22, 2, "imcr" },	       /* MP specification 3.6.2.1; no effect */
	{ 0x80, 16, "post" },	       /* 0x80, 0x84; the others are DMA page registers */
	{ 0xed, 1, "io-delay" },
	{ 0xf0, 2, "fpu-busy" },
	{ 0x488, 1, "guest-nio" },
};

struct post {
	struct dev dev;
	struct region r[ARRAY_LEN(post_ranges)];
	bool mapped[ARRAY_LEN(post_ranges)];
};

static u64 post_read(void *opaque, u64 off, unsigned size) { return ~0ull; }
static void post_write(void *opaque, u64 off, u64 val, unsigned size) {}

static const struct region_ops post_ops = {
	.read = post_read, .write = post_write, .min = 1, .max = 4, .unaligned_ok = true,
};

static int post_plug(struct dev *d, struct hk_err *err)
{
	struct post *p = container_of(d, struct post, dev);

	for (unsigned i = 0; i < ARRAY_LEN(post_ranges); i++) {
		int rc;

		p->r[i] = (struct region){ .name = post_ranges[i].name,
					   .size = post_ranges[i].size,
					   .ops = &post_ops };
		rc = bus_map(d->env->pio_bus, &p->r[i], post_ranges[i].base, err);
		if (rc)
			return rc;
		p->mapped[i] = true;
	}
	return 0;
}

static void post_fini(struct dev *d)
{
	struct post *p = container_of(d, struct post, dev);

	for (unsigned i = 0; i < ARRAY_LEN(post_ranges); i++)
		if (p->mapped[i])
			bus_unmap(d->env->pio_bus, &p->r[i]);
}

const struct dev_class post_class = {
	.name = "post",
	.help = "ports that only swallow writes",
	.size = sizeof(struct post),
	.plug = post_plug,
	.fini = post_fini,
};
