// SPDX-License-Identifier: BSD-2-Clause
/* backend/block/lock.h - One writer, or many readers, of an image file */
#ifndef BACKEND_BLOCK_LOCK_H
#define BACKEND_BLOCK_LOCK_H

#include "base/types.h"
#include "hyperkit/hyperkit.h"

/* [setup] Held until the last descriptor of this open file is closed. -EBUSY names the file. */
int lock_image(int fd, bool write, const char *path, struct hk_err *err) MUST_CHECK;
/* Nothing is in flight any more. Closing would do it too, but the kernel may hold the file for an
 * io_uring that it ends later. */
void unlock_image(int fd);

#endif
