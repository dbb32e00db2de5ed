// SPDX-License-Identifier: BSD-2-Clause
/* Address map: who answers, what a device sees of an access, changes under way */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "bus/bus.h"

/* A device that is 64 bytes of memory and remembers how it was asked */
struct dev {
	struct region r;
	u8 bytes[64];
	char trace[256]; /* "r4@8 w2@0 " */
};

static void note(struct dev *d, char what, u64 off, unsigned size)
{
	size_t n = strlen(d->trace);

	snprintf(d->trace + n, sizeof(d->trace) - n, "%c%u@%llu ", what, size,
		 (unsigned long long)off);
}

static u64 dev_read(void *opaque, u64 off, unsigned size)
{
	struct dev *d = opaque;
	u64 v = 0;

	assert_true(off + size <= d->r.size);
	note(d, 'r', off, size);
	memcpy(&v, d->bytes + off, size);
	/* What lies above the asked size must not reach the guest */
	return size < 8 ? v | ~0ull << (8 * size) : v;
}

static void dev_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct dev *d = opaque;

	assert_true(off + size <= d->r.size);
	if (size < 8)
		assert_int_equal(val >> (8 * size), 0);
	note(d, 'w', off, size);
	memcpy(d->bytes + off, &val, size);
}

#define OPS(lo, hi, un) 	{ .read = dev_read, .write = dev_write, .min = lo, .max = hi, .unaligned_ok = un }
static const struct region_ops any_ops = OPS(1, 8, true), aligned_ops = OPS(1, 8, false),
			       dword_ops = OPS(4, 4, false), byte_ops = OPS(1, 1, false),
			       small_ops = OPS(2, 4, false);

static void dev_init(struct dev *d, const char *name, u64 size, const struct region_ops *ops)
{
	memset(d, 0, sizeof(*d));
	d->r = (struct region){ .name = name, .size = size, .ops = ops, .opaque = d };
	for (unsigned i = 0; i < sizeof(d->bytes); i++)
		d->bytes[i] = 0x10 + i;
}

static void new_bus(struct bus *b, unsigned bits)
{
	assert_int_equal(bus_init(b, bits == 16 ? "port" : "mem", bits, NULL), 0);
}

static void nobody_reads_as_ones_and_is_counted(void **s)
{
	struct bus b;
	u64 v;

	new_bus(&b, 16);
	assert_false(bus_read(&b, 0x80, 1, &v));
	assert_int_equal(v, 0xff);
	assert_false(bus_read(&b, 0x80, 4, &v));
	assert_int_equal(v, 0xffffffff);
	assert_false(bus_read(&b, 0x80, 8, &v));
	assert_int_equal(v, ~0ull);
	assert_false(bus_write(&b, 0x80, 1, 0));
	assert_int_equal(bus_unclaimed(&b), 4);
	bus_fini(&b);
}

static void an_access_finds_its_region_and_offset(void **s)
{
	struct bus b;
	struct dev d[5];
	static const u64 base[] = { 0x300, 0x100, 0x500, 0x200, 0x400 };
	u64 v;

	new_bus(&b, 64);
	for (int i = 0; i < 5; i++) {
		dev_init(&d[i], "d", 64, &any_ops);
		d[i].bytes[63] = i;
		assert_int_equal(bus_map(&b, &d[i].r, base[i], NULL), 0);
		assert_int_equal(d[i].r.base, base[i]);
	}
	for (int i = 0; i < 5; i++) {
		assert_true(bus_read(&b, base[i] + 63, 1, &v));
		assert_int_equal(v, i);
		assert_false(bus_read(&b, base[i] + 64, 1, &v));
		assert_false(bus_read(&b, base[i] - 1, 1, &v));
		assert_true(bus_write(&b, base[i], 2, 0x1234));
		assert_int_equal(d[i].bytes[0], 0x34);
		assert_int_equal(d[i].bytes[1], 0x12);
	}
	bus_fini(&b);
}

static void a_device_sees_only_what_it_declared(void **s)
{
	static const struct {
		const struct region_ops *ops;
		u64 off;
		unsigned size;
		const char *read, *write;
	} t[] = {
		{ &any_ops, 3, 4, "r4@3 ", "w4@3 " },
		{ &any_ops, 0, 8, "r8@0 ", "w8@0 " },
		{ &aligned_ops, 3, 4, "r1@3 r2@4 r1@6 ", "w1@3 w2@4 w1@6 " },
		{ &aligned_ops, 4, 8, "r4@4 r4@8 ", "w4@4 w4@8 " },
		{ &byte_ops, 2, 4, "r1@2 r1@3 r1@4 r1@5 ", "w1@2 w1@3 w1@4 w1@5 " },
		{ &dword_ops, 8, 8, "r4@8 r4@12 ", "w4@8 w4@12 " },
		{ &dword_ops, 5, 1, "r4@4 ", "r4@4 w4@4 " },
		{ &dword_ops, 6, 4, "r4@4 r4@8 ", "r4@4 w4@4 r4@8 w4@8 " },
		{ &dword_ops, 4, 2, "r4@4 ", "r4@4 w4@4 " },
		{ &small_ops, 4, 8, "r4@4 r4@8 ", "w4@4 w4@8 " },
		{ &small_ops, 3, 2, "r2@2 r2@4 ", "r2@2 w2@2 r2@4 w2@4 " },
		{ &small_ops, 2, 4, "r2@2 r2@4 ", "w2@2 w2@4 " },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct bus b;
		struct dev d;
		u8 want[64];
		u64 v, expect = 0, put = 0xa1a2a3a4a5a6a7a8ull;

		new_bus(&b, 64);
		dev_init(&d, "d", 64, t[i].ops);
		assert_int_equal(bus_map(&b, &d.r, 0x1000, NULL), 0);
		memcpy(&expect, d.bytes + t[i].off, t[i].size);
		assert_true(bus_read(&b, 0x1000 + t[i].off, t[i].size, &v));
		assert_int_equal(v, expect);
		assert_string_equal(d.trace, t[i].read);
		d.trace[0] = '\0';
		memcpy(want, d.bytes, sizeof(want));
		memcpy(want + t[i].off, &put, t[i].size);
		assert_true(bus_write(&b, 0x1000 + t[i].off, t[i].size, put));
		assert_string_equal(d.trace, t[i].write);
		assert_memory_equal(d.bytes, want, sizeof(want));
		assert_int_equal(bus_unclaimed(&b), 0);
		bus_fini(&b);
	}
}

static void an_access_across_two_regions_reaches_both(void **s)
{
	struct bus b;
	struct dev d1, d2;
	u64 v;

	new_bus(&b, 16);
	dev_init(&d1, "one", 4, &any_ops);
	dev_init(&d2, "two", 4, &any_ops);
	assert_int_equal(bus_map(&b, &d1.r, 0x10, NULL), 0);
	assert_int_equal(bus_map(&b, &d2.r, 0x14, NULL), 0);
	assert_true(bus_read(&b, 0x12, 4, &v));
	assert_int_equal(v, 0x11101312);
	assert_true(bus_write(&b, 0x12, 4, 0xddccbbaa));
	assert_int_equal(d1.bytes[3], 0xbb);
	assert_int_equal(d2.bytes[0], 0xcc);
	bus_fini(&b);
}

static void bytes_beside_a_region_read_as_ones(void **s)
{
	struct bus b;
	struct dev d;
	u64 v;

	new_bus(&b, 16);
	dev_init(&d, "d", 2, &any_ops);
	assert_int_equal(bus_map(&b, &d.r, 0x11, NULL), 0);
	assert_true(bus_read(&b, 0x10, 4, &v));
	assert_int_equal(v, 0xff1110ff);
	assert_int_equal(bus_unclaimed(&b), 1);
	bus_fini(&b);
}

static void the_ends_of_the_space_do_not_wrap(void **s)
{
	struct bus p, m;
	struct dev d, e;
	u64 v;

	new_bus(&p, 16);
	dev_init(&d, "low", 1, &any_ops);
	assert_int_equal(bus_map(&p, &d.r, 0, NULL), 0);
	assert_false(bus_read(&p, 0xffff, 2, &v));
	assert_int_equal(v, 0xffff);
	assert_false(bus_read(&p, 0x10000, 1, &v));
	assert_string_equal(d.trace, "");
	bus_fini(&p);

	new_bus(&m, 64);
	dev_init(&e, "high", 4, &any_ops);
	assert_int_equal(bus_map(&m, &e.r, ~0ull - 3, NULL), 0);
	assert_true(bus_read(&m, ~0ull - 3, 4, &v));
	assert_int_equal(v, 0x13121110);
	assert_true(bus_read(&m, ~0ull, 4, &v));
	assert_int_equal(v, 0xffffff13);
	bus_fini(&m);
}

static void a_region_may_be_the_whole_space(void **s)
{
	struct bus b;
	struct dev d;
	u64 v;
	static const struct region_ops none = { .min = 1, .max = 8 };

	new_bus(&b, 64);
	dev_init(&d, "all", ~0ull, &none);
	assert_int_equal(bus_map(&b, &d.r, 0, NULL), 0);
	assert_true(bus_read(&b, 0x123456789, 8, &v)); /* no read function: ones */
	assert_int_equal(v, ~0ull);
	assert_true(bus_write(&b, 0, 1, 1));
	bus_fini(&b);
}

static void overlap_names_both(void **s)
{
	struct bus b;
	struct dev d1, d2;
	struct hk_err e;

	new_bus(&b, 16);
	dev_init(&d1, "com1", 8, &any_ops);
	dev_init(&d2, "com9", 8, &any_ops);
	assert_int_equal(bus_map(&b, &d1.r, 0x3f8, NULL), 0);
	assert_int_equal(bus_map(&b, &d2.r, 0x3ff, &e), -EEXIST);
	assert_non_null(strstr(e.text, "com1"));
	assert_non_null(strstr(e.text, "com9"));
	assert_int_equal(bus_map(&b, &d2.r, 0x3f1, &e), -EEXIST);
	assert_int_equal(bus_map(&b, &d2.r, 0x3f0, &e), 0);
	bus_fini(&b);
}

static void past_the_end_is_refused(void **s)
{
	struct bus b;
	struct dev d;
	struct hk_err e;

	new_bus(&b, 16);
	dev_init(&d, "d", 8, &any_ops);
	assert_int_equal(bus_map(&b, &d.r, 0xfff9, &e), -ERANGE);
	assert_int_equal(bus_map(&b, &d.r, 0x10000, &e), -ERANGE);
	assert_int_equal(bus_map(&b, &d.r, 0xfff8, &e), 0);
	d.r.size = 0;
	assert_int_equal(bus_map(&b, &d.r, 0, &e), -EINVAL);
	bus_fini(&b);
}

static void a_moved_region_answers_only_at_its_new_place(void **s)
{
	struct bus b;
	struct dev d, other;
	u64 v;

	new_bus(&b, 16);
	dev_init(&d, "d", 8, &any_ops);
	dev_init(&other, "o", 8, &any_ops);
	assert_int_equal(bus_map(&b, &other.r, 0x200, NULL), 0);
	assert_int_equal(bus_map(&b, &d.r, BUS_NOWHERE, NULL), 0);
	assert_false(bus_read(&b, 0x100, 1, &v));
	assert_int_equal(bus_move(&b, &d.r, 0x100), 0);
	assert_true(bus_read(&b, 0x100, 1, &v));
	assert_int_equal(bus_move(&b, &d.r, 0x104), 0); /* over its own old place */
	assert_false(bus_read(&b, 0x103, 1, &v));
	assert_true(bus_read(&b, 0x104, 1, &v));
	assert_int_equal(bus_move(&b, &d.r, 0x1fc), -EEXIST);
	assert_int_equal(d.r.base, BUS_NOWHERE);
	assert_false(bus_read(&b, 0x104, 1, &v));
	assert_true(bus_read(&b, 0x200, 1, &v));
	assert_int_equal(bus_move(&b, &d.r, 0x300), 0);
	assert_int_equal(bus_move(&b, &d.r, 0xffff), -ERANGE);
	assert_false(bus_read(&b, 0x300, 1, &v));
	assert_int_equal(bus_move(&b, &d.r, BUS_NOWHERE), 0);
	bus_unmap(&b, &d.r);
	bus_fini(&b);
}

static void the_dump_is_the_map(void **s)
{
	struct bus b;
	struct dev d1, d2;
	struct strbuf out = { 0 };

	new_bus(&b, 16);
	dev_init(&d1, "com1", 8, &any_ops);
	dev_init(&d2, "pic", 2, &any_ops);
	assert_int_equal(bus_map(&b, &d1.r, 0x3f8, NULL), 0);
	assert_int_equal(bus_map(&b, &d2.r, 0x20, NULL), 0);
	bus_dump(&b, &out);
	assert_string_equal(out.s, "port 0020-0021 pic\nport 03f8-03ff com1\n");
	strbuf_fini(&out);
	bus_fini(&b);
}

/* A handler that moves its own region, as a BAR written through itself does */
struct mover {
	struct region r;
	struct bus *b;
	u64 seen;
};

static void mover_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct mover *m = opaque;
	u64 v;

	assert_int_equal(bus_move(m->b, &m->r, val), 0);
	assert_true(bus_read(m->b, val, 1, &v)); /* and reads through the new map */
	m->seen = v;
}

static u64 mover_read(void *opaque, u64 off, unsigned size)
{
	return 0x77;
}

static const struct region_ops mover_ops = { mover_read, mover_write, 1, 4, true };

static void a_handler_may_move_and_access(void **s)
{
	struct bus b;
	struct mover m = { .r = { "m", 16, &mover_ops, &m, 0 }, .b = &b };

	new_bus(&b, 64);
	assert_int_equal(bus_map(&b, &m.r, 0x1000, NULL), 0);
	for (u64 at = 0x1000; at < 0x1000 + 5000 * 16; at += 16)
		assert_true(bus_write(&b, at, 4, at + 16));
	assert_int_equal(m.seen, 0x77);
	bus_fini(&b);
}

/* A handler that stays inside until it is let go */
struct slow {
	struct region r;
	sem_t inside, go;
	_Atomic bool left;
};

static u64 slow_read(void *opaque, u64 off, unsigned size)
{
	struct slow *d = opaque;

	sem_post(&d->inside);
	sem_wait(&d->go);
	atomic_store(&d->left, true);
	return 0;
}

static const struct region_ops slow_ops = { .read = slow_read, .min = 1, .max = 8 };

struct access_job {
	struct bus *b;
	u64 addr;
};

static void *access_main(void *arg)
{
	struct access_job *j = arg;
	u64 v;

	bus_read(j->b, j->addr, 1, &v);
	return NULL;
}

struct unmap_job {
	struct bus *b;
	struct slow *d;
	sem_t done;
	bool left_when_done;
};

static void *unmap_main(void *arg)
{
	struct unmap_job *j = arg;

	bus_unmap(j->b, &j->d->r);
	j->left_when_done = atomic_load(&j->d->left);
	sem_post(&j->done);
	return NULL;
}

static void unmap_waits_until_nobody_is_inside(void **s)
{
	struct bus b;
	struct slow d = { .r = { "slow", 4, &slow_ops, &d, 0 } };
	struct access_job aj = { &b, 0x1000 };
	struct unmap_job uj = { .b = &b, .d = &d };
	struct timespec soon;
	pthread_t reader, unmapper;
	u64 v;

	new_bus(&b, 64);
	sem_init(&d.inside, 0, 0);
	sem_init(&d.go, 0, 0);
	sem_init(&uj.done, 0, 0);
	assert_int_equal(bus_map(&b, &d.r, 0x1000, NULL), 0);
	pthread_create(&reader, NULL, access_main, &aj);
	sem_wait(&d.inside);
	pthread_create(&unmapper, NULL, unmap_main, &uj);
	/* It must not be done while the handler is inside */
	clock_gettime(CLOCK_REALTIME, &soon);
	soon.tv_nsec += 30000000;
	if (soon.tv_nsec >= 1000000000) {
		soon.tv_nsec -= 1000000000;
		soon.tv_sec++;
	}
	assert_int_equal(sem_timedwait(&uj.done, &soon), -1);
	assert_false(bus_read(&b, 0x1000, 1, &v)); /* but newcomers find nobody */
	sem_post(&d.go);
	pthread_join(reader, NULL);
	pthread_join(unmapper, NULL);
	assert_true(uj.left_when_done);
	bus_fini(&b);
}

/* Readers hammer while a region is mapped, moved, unmapped and freed */
#define READERS 3
struct storm {
	struct bus b;
	_Atomic bool stop;
	_Atomic u64 hits;
};

static u64 alive_read(void *opaque, u64 off, unsigned size)
{
	return *(u64 *)opaque;
}

static const struct region_ops alive_ops = { .read = alive_read, .min = 8, .max = 8 };

static void *storm_main(void *arg)
{
	struct storm *st = arg;

	while (!atomic_load(&st->stop)) {
		u64 v;

		for (u64 at = 0x1000; at < 0x1100; at += 8) {
			if (!bus_read(&st->b, at, 8, &v))
				continue;
			/* Either the device's word or nothing; never freed memory */
			if (v != 0x1122334455667788ull)
				return (void *)1;
			atomic_fetch_add(&st->hits, 1);
		}
	}
	return NULL;
}

static void readers_never_meet_a_freed_region(void **s)
{
	struct storm st = { 0 };
	pthread_t t[READERS];
	u64 rounds = 0, hits = 0;
	struct timespec start, now;

	new_bus(&st.b, 64);
	for (int i = 0; i < READERS; i++)
		pthread_create(&t[i], NULL, storm_main, &st);
	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		struct region *r = calloc(1, sizeof(*r));
		u64 *word = malloc(sizeof(*word));

		*word = 0x1122334455667788ull;
		*r = (struct region){ "r", 64, &alive_ops, word, 0 };
		assert_int_equal(bus_map(&st.b, r, 0x1000, NULL), 0);
		for (int i = 1; i < 4; i++)
			assert_int_equal(bus_move(&st.b, r, 0x1000 + 64 * i), 0);
		/* Let each round be seen, at first */
		for (int i = 0; rounds < 20 && atomic_load(&st.hits) == hits && i < 1000000; i++)
			sched_yield();
		hits = atomic_load(&st.hits);
		bus_unmap(&st.b, r);
		*word = 0;
		free(word);
		free(r);
		rounds++;
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec - start.tv_sec < 2 && rounds < 3000);
	atomic_store(&st.stop, true);
	for (int i = 0; i < READERS; i++) {
		void *rc;

		pthread_join(t[i], &rc);
		assert_null(rc);
	}
	assert_true(atomic_load(&st.hits) > 0);
	bus_fini(&st.b);
}

/* What an accelerator was told of doorbells */
struct host {
	u64 at;
	int fd;
	unsigned adds, dels, refuse;
	bool match;
};

static int host_add(void *arg, u64 addr, unsigned len, const u64 *match, int fd)
{
	struct host *h = arg;

	if (h->refuse)
		return -ENOSPC;
	assert_int_equal(len, 2);
	assert_true(!match || *match == 7);
	h->match = match;
	h->at = addr;
	h->fd = fd;
	h->adds++;
	return 0;
}

static int host_del(void *arg, u64 addr, unsigned len, const u64 *match, int fd)
{
	struct host *h = arg;

	assert_int_equal(h->at, addr);
	assert_int_equal(h->fd, fd);
	h->dels++;
	h->at = 0;
	return 0;
}

static void count_ring(void *arg)
{
	++*(unsigned *)arg;
}

static void a_doorbell_follows_its_region_and_rings_on_the_loop(void **s)
{
	struct dev d = { .r = { "d", 64, &any_ops, &d, 0 } };
	struct host h = { 0 };
	struct bus_doorbell_host host = { host_add, host_del, &h };
	unsigned rang = 0;
	struct bus_doorbell bell = { .region = &d.r, .off = 16, .size = 2, .has_match = true,
				     .match = 7, .fn = count_ring, .arg = &rang };
	struct clock clock;
	struct loop *l;
	struct bus b;
	u64 one = 1;

	clock_init_host(&clock);
	assert_int_equal(loop_create(&l, &clock, NULL), 0);
	assert_int_equal(bus_init(&b, "memory", 64, NULL), 0);
	bus_set_doorbell_host(&b, &host);
	assert_int_equal(bus_map(&b, &d.r, BUS_NOWHERE, NULL), 0);
	assert_int_equal(bus_doorbell_add(&b, &bell, l), 0);
	assert_int_equal(h.adds, 0);
	assert_int_equal(bus_move(&b, &d.r, 0x1000), 0);
	assert_true(h.at == 0x1010 && h.match);
	assert_int_equal(write(h.fd, &one, 8), 8);
	assert_int_equal(write(h.fd, &one, 8), 8);
	loop_step(l, 0);
	assert_int_equal(rang, 1);
	assert_int_equal(bus_move(&b, &d.r, 0x2000), 0);
	assert_true(h.at == 0x2010 && h.dels == 1);
	/* where the accelerator has no room the region's handler is left */
	h.refuse = 1;
	assert_int_equal(bus_move(&b, &d.r, 0x3000), 0);
	assert_int_equal(h.dels, 2);
	assert_true(bus_write(&b, 0x3010, 2, 7));
	assert_string_equal(d.trace, "w2@16 ");
	h.refuse = 0;
	assert_int_equal(bus_move(&b, &d.r, BUS_NOWHERE), 0);
	assert_int_equal(bus_move(&b, &d.r, 0x4000), 0);
	assert_true(h.at == 0x4010);
	bus_doorbell_del(&b, &bell);
	bus_doorbell_del(&b, &bell);
	assert_int_equal(h.adds, h.dels);
	bus_unmap(&b, &d.r);
	bus_fini(&b);
	loop_destroy(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_doorbell_follows_its_region_and_rings_on_the_loop),
		cmocka_unit_test(nobody_reads_as_ones_and_is_counted),
		cmocka_unit_test(an_access_finds_its_region_and_offset),
		cmocka_unit_test(a_device_sees_only_what_it_declared),
		cmocka_unit_test(an_access_across_two_regions_reaches_both),
		cmocka_unit_test(bytes_beside_a_region_read_as_ones),
		cmocka_unit_test(the_ends_of_the_space_do_not_wrap),
		cmocka_unit_test(a_region_may_be_the_whole_space),
		cmocka_unit_test(overlap_names_both),
		cmocka_unit_test(past_the_end_is_refused),
		cmocka_unit_test(a_moved_region_answers_only_at_its_new_place),
		cmocka_unit_test(the_dump_is_the_map),
		cmocka_unit_test(a_handler_may_move_and_access),
		cmocka_unit_test(unmap_waits_until_nobody_is_inside),
		cmocka_unit_test(readers_never_meet_a_freed_region),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
