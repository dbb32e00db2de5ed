// SPDX-License-Identifier: BSD-2-Clause
/* base/md5.h - MD5 (RFC 1321): names derived as HyperKit derived them, nothing secret [any] */
#ifndef BASE_MD5_H
#define BASE_MD5_H

#include "base/types.h"

#define MD5_BYTES 16

void md5(const void *data, size_t n, u8 out[MD5_BYTES]);

#endif
