// SPDX-License-Identifier: BSD-2-Clause
/* base/clock.c - The host's clock and one that a test moves by hand */
#include "base/clock.h"

#include <stdatomic.h>

static u64 host_now_ns(struct clock *c)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

static s64 host_wall_ns(struct clock *c)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (s64)ts.tv_sec * (s64)NS_PER_SEC + ts.tv_nsec;
}

void clock_init_host(struct clock *c)
{
	c->now_ns = host_now_ns;
	c->wall_ns = host_wall_ns;
}

static u64 fake_now_ns(struct clock *c)
{
	return atomic_load(&container_of(c, struct clock_fake, clock)->ns);
}

static s64 fake_wall_ns(struct clock *c)
{
	return atomic_load(&container_of(c, struct clock_fake, clock)->wall);
}

void clock_fake_init(struct clock_fake *f, u64 start_ns, s64 wall_ns)
{
	f->clock.now_ns = fake_now_ns;
	f->clock.wall_ns = fake_wall_ns;
	atomic_init(&f->ns, start_ns);
	atomic_init(&f->wall, wall_ns);
}

void clock_fake_advance(struct clock_fake *f, u64 ns)
{
	atomic_fetch_add(&f->ns, ns);
	atomic_fetch_add(&f->wall, (s64)ns);
}
