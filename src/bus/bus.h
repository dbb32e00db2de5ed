// SPDX-License-Identifier: BSD-2-Clause
/* bus/bus.h - Who answers at which address (door of the room)
 *
 * One bus for memory space, one for ports, per machine. A region is its owner's
 * own struct; nothing is allocated per region. Lookups take no lock; see bus.c. */
#ifndef BUS_BUS_H
#define BUS_BUS_H

#include "base/loop.h"
#include "base/types.h"
#include "hyperkit/hyperkit.h"

struct strbuf;

/* A device sees only sizes it declared, aligned unless it says otherwise */
struct region_ops {
	u64 (*read)(void *opaque, u64 off, unsigned size);
	void (*write)(void *opaque, u64 off, u64 val, unsigned size);
	u8 min, max; /* access sizes in bytes: 1, 2, 4 or 8 */
	bool unaligned_ok;
};

struct region {
	const char *name;
	u64 size;		      /* bytes, > 0 */
	const struct region_ops *ops; /* called by [vcpu] threads, several at once */
	void *opaque;
	u64 base; /* the bus's own; BUS_NOWHERE while hidden */
};
#define BUS_NOWHERE (~0ull)

struct bus_table;
struct bus {
	const char *name;
	u64 limit;			    /* highest address + 1 - 1, i.e. last valid address */
	_Atomic(struct bus_table *) table;  /* sorted by base; published whole */
	struct bus_int *in;		    /* lock, doorbells, statistics */
};

/* [setup] @bits: width of an address, 16 or 64 */
int bus_init(struct bus *b, const char *name, unsigned bits, struct hk_err *err) MUST_CHECK;
void bus_fini(struct bus *b); /* [setup] */
/* [any] -EEXIST on overlap (names both), -ERANGE past the end. base BUS_NOWHERE: registers hidden */
int bus_map(struct bus *b, struct region *r, u64 base, struct hk_err *err) MUST_CHECK;
/* [any, also from a handler] An access under way elsewhere may still see the old place.
 * Overlap with another region: the moved one stays hidden and -EEXIST is returned. */
int bus_move(struct bus *b, struct region *r, u64 base);
/* [setup, loop; never from a handler] After it no access is inside; the owner may free */
void bus_unmap(struct bus *b, struct region *r);
/* [vcpu] Return: was anybody there (else *val is all ones) */
bool bus_read(struct bus *b, u64 addr, unsigned size, u64 *val);
bool bus_write(struct bus *b, u64 addr, unsigned size, u64 val);
void bus_dump(struct bus *b, struct strbuf *out); /* [any] */

/* A place in a region whose stores mean "look here" and nothing else. Where the accelerator can, they
 * become an eventfd that calls @fn on the loop and never reach the region; where it cannot, the
 * region's own write handler gets them as ever. Follows the region when it moves. */
struct bus_doorbell {
	struct region *region; /* mapped (perhaps hidden) before, unmapped after the doorbell */
	u64 off;
	unsigned size;	       /* of the store; 0 = any */
	bool has_match;
	u64 match;	       /* only stores of this value */
	void (*fn)(void *arg); /* [loop] */
	void *arg;
	struct bus_doorbell *next; /* the bus's own from here */
	u64 at;
	int fd;
	struct watch watch;
};

/* [setup] Who turns stores into eventfds: accel_ops.doorbell_add and _del of one space */
struct bus_doorbell_host {
	int (*add)(void *arg, u64 addr, unsigned len, const u64 *match, int fd);
	int (*del)(void *arg, u64 addr, unsigned len, const u64 *match, int fd);
	void *arg;
};
void bus_set_doorbell_host(struct bus *b, const struct bus_doorbell_host *host);
/* [setup] 0 also when nobody can; -errno: no descriptor left */
int bus_doorbell_add(struct bus *b, struct bus_doorbell *d, struct loop *loop) MUST_CHECK;
void bus_doorbell_del(struct bus *b, struct bus_doorbell *d); /* [setup] idempotent */
/* [any] accesses that nobody claimed so far */
u64 bus_unclaimed(struct bus *b);

#endif
