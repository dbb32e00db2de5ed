// SPDX-License-Identifier: BSD-2-Clause
/* base/err.c - Error words without allocation
 *
 * Both functions format into a buffer of their own first: an argument may be
 * the old text of the same struct. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* One line, whatever a file name in it contains */
static void store_line(struct hk_err *err, const char *text)
{
	size_t n = strnlen(text, sizeof(err->text) - 1);

	for (size_t i = 0; i < n; i++)
		err->text[i] = text[i] == '\n' || text[i] == '\r' ? ' ' : text[i];
	err->text[n] = '\0';
}

int err_set(struct hk_err *err, int rc, const char *fmt, ...)
{
	char text[sizeof(err->text)];
	va_list ap;

	if (!err)
		return rc;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	store_line(err, text);
	return rc;
}

int err_wrap(struct hk_err *err, int rc, const char *fmt, ...)
{
	char text[2 * sizeof(err->text) + 2];
	va_list ap;
	size_t n;

	if (!err)
		return rc;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(err->text), fmt, ap);
	va_end(ap);
	n = strlen(text);
	if (err->text[0])
		snprintf(text + n, sizeof(text) - n, ": %s", err->text);
	store_line(err, text);
	return rc;
}
