// SPDX-License-Identifier: BSD-2-Clause
/* api/api_int.h - What the files of the api room share
 *
 * The room checks arguments and calls the machine; it holds no logic of its own.
 * A NULL VM or a NULL out pointer is -EINVAL, never a crash. */
#ifndef API_API_INT_H
#define API_API_INT_H

#include "base/err.h"
#include "hyperkit/hyperkit.h"
#include "machine/machine.h"

struct hk_vm {
	struct machine *m;
};

/* Copy the caller's sized struct over defaults that @out holds already. A caller built
 * with an older header gives fewer bytes, a newer one more: those must be zero.
 * 0 or -EINVAL */
int api_take_sized(void *out, size_t out_size, const void *in, size_t in_size, size_t min_size,
		   const char *what, struct hk_err *err) MUST_CHECK;

#endif
