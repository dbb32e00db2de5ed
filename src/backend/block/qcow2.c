// SPDX-License-Identifier: BSD-2-Clause
/* backend/block/qcow2.c - qcow2 images */
#include <errno.h>

#include "backend/block/img.h"
#include "base/err.h"

int qcow2_open(struct img **out, struct img *child, const struct img_cfg *cfg, struct hk_err *err)
{
	*out = NULL;
	img_close(child);
	return err_set(err, -ENOTSUP, "format=qcow2 is not built");
}

int qcow2_create(struct img *child, const struct qcow2_create *c, struct hk_err *err)
{
	return err_set(err, -ENOTSUP, "format=qcow2 is not built");
}
