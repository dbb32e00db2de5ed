// SPDX-License-Identifier: BSD-2-Clause
/* backend/char/syslog.c - Output lines to syslog(3), level NOTICE
 *
 * A line ends at a newline, a NUL, or when it is full. openlog(3) is left to the
 * embedder: its settings belong to the whole process. */
#include <syslog.h>

#include "backend/char/chr_int.h"

void chr_syslog_flush(struct chr_syslog *s)
{
	/* Consoles end their lines with CR LF */
	while (s->n && s->line[s->n - 1] == '\r')
		s->n--;
	s->line[s->n] = 0;
	if (s->n)
		syslog(LOG_USER | LOG_NOTICE, "%s", s->line);
	s->n = 0;
}

void chr_syslog_put(struct chr_syslog *s, const u8 *bytes, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (bytes[i] == '\n' || !bytes[i]) {
			chr_syslog_flush(s);
			continue;
		}
		s->line[s->n++] = (char)bytes[i];
		if (s->n == CHR_SYSLOG_LINE)
			chr_syslog_flush(s);
	}
}
