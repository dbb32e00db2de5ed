// SPDX-License-Identifier: BSD-2-Clause
/* base/strbuf.h - Text that grows; out of memory truncates and is remembered */
#ifndef BASE_STRBUF_H
#define BASE_STRBUF_H

#include "base/types.h"

struct strbuf {
	char *s; /* NUL-terminated once something was added; else NULL */
	size_t len, cap;
	bool oom;
};

void strbuf_add(struct strbuf *b, const char *fmt, ...) PRINTF(2, 3); /* [any] */
void strbuf_add_mem(struct strbuf *b, const void *p, size_t n);       /* [any] */
void strbuf_fini(struct strbuf *b);                                   /* [any] */

#endif
