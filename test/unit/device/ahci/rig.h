// SPDX-License-Identifier: BSD-2-Clause
/* test/unit/device/ahci/rig.h - A disk file, the device over it, and a driver */
#ifndef TEST_AHCI_RIG_H
#define TEST_AHCI_RIG_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/gahci.h"

#define SECTORS 8192u

struct rig {
	struct fake *f;
	struct dev *d;
	struct gahci *g;
	char path[64];
	int fd;
};

static inline u8 pattern(u64 at)
{
	return (u8)(at ^ at >> 8 ^ at >> 16 ^ 0x5a);
}

/* A file of SECTORS sectors of pattern(); device @name with @opts behind the path */
static inline struct rig *rig_open(const char *name, const char *opts)
{
	struct rig *r = calloc(1, sizeof(*r));
	char all[256];
	u8 buf[512];

	assert_non_null(r);
	snprintf(r->path, sizeof(r->path), "/tmp/hk-ahci-XXXXXX");
	r->fd = mkstemp(r->path);
	assert_true(r->fd >= 0);
	for (u64 s = 0; s < SECTORS; s++) {
		for (unsigned i = 0; i < 512; i++)
			buf[i] = pattern(s * 512 + i);
		assert_int_equal(pwrite(r->fd, buf, 512, (off_t)s * 512), 512);
	}
	r->f = fake_new();
	snprintf(all, sizeof(all), "%s%s", r->path, opts);
	r->d = fake_dev(r->f, name, 3, all, NULL);
	assert_non_null(r->d);
	r->g = gahci_open(r->f, r->d, 1);
	return r;
}

static inline void rig_close(struct rig *r)
{
	gahci_close(r->g);
	fake_dev_free(r->d);
	fake_free(r->f);
	close(r->fd);
	unlink(r->path);
	free(r);
}

static inline int hd_setup(void **state)
{
	*state = rig_open("ahci-hd", "");
	return 0;
}

static inline int cd_setup(void **state)
{
	*state = rig_open("ahci-cd", "");
	return 0;
}

static inline int rig_teardown(void **state)
{
	rig_close(*state);
	return 0;
}

#define HD_TEST(f) cmocka_unit_test_setup_teardown(f, hd_setup, rig_teardown)
#define CD_TEST(f) cmocka_unit_test_setup_teardown(f, cd_setup, rig_teardown)

#define GOOD 0x50u
#define ABORTED 0x0451u

#endif
