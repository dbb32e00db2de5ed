// SPDX-License-Identifier: BSD-2-Clause
/* test/unit/accel/accel_test.c - The choice among accelerators */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "accel/accel.h"

static struct accel_caps caps;

static void auto_takes_the_first_that_fits_kernels(void **state)
{
	const struct accel_ops *chosen = NULL, *want = NULL;
	struct hk_err err;

	for (unsigned i = 0; accel_all[i] && !want; i++)
		if (!accel_all[i]->probe(&caps) && caps.fits_kernels)
			want = accel_all[i];
	assert_non_null(want); /* the software CPU fits everywhere */
	assert_int_equal(accel_choose(NULL, &chosen, &caps, &err), 0);
	assert_ptr_equal(chosen, want);
	assert_true(caps.fits_kernels);
	chosen = NULL;
	assert_int_equal(accel_choose("auto", &chosen, &caps, &err), 0);
	assert_ptr_equal(chosen, want);
}

static void name_takes_it_or_says_why_not(void **state)
{
	for (unsigned i = 0; accel_all[i]; i++) {
		const struct accel_ops *chosen = NULL;
		struct hk_err err = { "" };
		int rc = accel_choose(accel_all[i]->name, &chosen, &caps, &err);

		if (!rc) {
			assert_ptr_equal(chosen, accel_all[i]);
			continue;
		}
		assert_int_equal(rc, -ENOTSUP);
		assert_non_null(strstr(err.text, accel_all[i]->name));
		assert_true(strlen(err.text) > strlen(accel_all[i]->name) + 15);
	}
}

static void unknown_name_is_refused_with_the_known_ones(void **state)
{
	const struct accel_ops *chosen = NULL;
	struct hk_err err = { "" };

	assert_int_equal(accel_choose("hvf", &chosen, &caps, &err), -EINVAL);
	assert_non_null(strstr(err.text, "hvf"));
	assert_non_null(strstr(err.text, "auto, kvm or soft"));
	assert_null(chosen);
}

static void optional_functions_are_there_when_their_bit_is(void **state)
{
	for (unsigned i = 0; accel_all[i]; i++) {
		const struct accel_ops *o = accel_all[i];

		memset(&caps, 0, sizeof(caps));
		if (o->probe(&caps))
			continue;
		assert_true(!(caps.bits & ACCEL_CAP_DIRTY_LOG) || o->dirty_take);
		assert_true(!(caps.bits & ACCEL_CAP_LAPIC) || o->msi);
		assert_true(!(caps.bits & ACCEL_CAP_IOAPIC) || o->irq_line);
		assert_true(!(caps.bits & ACCEL_CAP_IRQFD) ||
			    (o->irqfd_add && o->irqfd_del && o->msi_route));
		assert_true(!(caps.bits & ACCEL_CAP_DOORBELL) || (o->doorbell_add && o->doorbell_del));
		assert_true(!(caps.bits & ACCEL_CAP_DEBUG) || o->debug_set);
		assert_int_equal(!!(caps.bits & ACCEL_CAP_RAM_WRITTEN), !!o->ram_written);
		assert_true(!(caps.bits & ACCEL_CAP_CLOCK) || (o->clock_get && o->clock_set));
		assert_true(o->probe && o->vm_create && o->vm_destroy && o->ram_map && o->ram_unmap);
		assert_true(o->vcpu_create && o->vcpu_destroy && o->cpuid_set && o->vcpu_run);
		assert_true(o->vcpu_kick && o->state_get && o->state_set && o->inject);
		assert_true(o->has_work && o->stats);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(auto_takes_the_first_that_fits_kernels),
		cmocka_unit_test(name_takes_it_or_says_why_not),
		cmocka_unit_test(unknown_name_is_refused_with_the_known_ones),
		cmocka_unit_test(optional_functions_are_there_when_their_bit_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
