// SPDX-License-Identifier: BSD-2-Clause
/* base/err.h - Error words without allocation
 *
 * A function that a user's mistake can reach takes `struct hk_err *err` last
 * (may be NULL) and returns 0 or -errno. Data paths return the number only. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/types.h"
#include "hyperkit/hyperkit.h" /* struct hk_err */

/**
 * err_set() - Record what went wrong
 * @err:  where to write, may be NULL
 * @rc:   negative errno
 *
 * [any] Return: @rc, so that `return err_set(err, -EINVAL, ...)` reads well.
 */
int err_set(struct hk_err *err, int rc, const char *fmt, ...) PRINTF(3, 4);

/**
 * err_wrap() - Put words in front of those recorded deeper: "disk root: no image"
 *
 * [any] Return: @rc
 */
int err_wrap(struct hk_err *err, int rc, const char *fmt, ...) PRINTF(3, 4);

#endif
