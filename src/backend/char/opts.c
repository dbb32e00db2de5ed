// SPDX-License-Identifier: BSD-2-Clause
/* backend/char/opts.c - HyperKit's words for where a serial port's bytes go
 *
 * Words are read in order; the last terminal wins, sinks add up. [setup] */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/char/chr_int.h"
#include "base/err.h"

/* The strings stay in @text */
static int parse(struct hk_serial_config *cfg, char *text, struct hk_err *err)
{
	char *word;

	while ((word = strsep(&text, ","))) {
		if (!strncmp(word, "log=", 4)) {
			if (!word[4])
				return err_set(err, -EINVAL, "log= needs a file name");
			cfg->ring_file = word + 4;
			continue;
		}
		if (!strcmp(word, "asl")) {
			cfg->syslog = 1;
			continue;
		}
		cfg->in_fd = cfg->out_fd = -1;
		cfg->pty = 0;
		cfg->device = cfg->pty_file = NULL;
		if (!strcmp(word, "stdio")) {
			cfg->in_fd = 0;
			cfg->out_fd = 1;
		} else if (!strcmp(word, "autopty")) {
			cfg->pty = 1;
		} else if (!strncmp(word, "autopty=", 8)) {
			cfg->pty = 1;
			cfg->pty_file = word + 8;
		} else if (*word && strcmp(word, "null")) {
			cfg->device = word;
		}
	}
	return 0;
}

int chr_open_opts(struct chr **out, const char *opts, struct loop *loop, struct log *log,
		  struct hk_err *err)
{
	struct hk_serial_config cfg = HK_SERIAL_CONFIG_INIT;
	char *text = strdup(opts ? opts : "");
	int rc;

	if (!text)
		return err_set(err, -ENOMEM, "out of memory");
	rc = parse(&cfg, text, err);
	if (!rc)
		rc = chr_open(out, &cfg, loop, log, err);
	free(text);
	return rc;
}
