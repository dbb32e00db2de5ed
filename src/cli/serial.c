// SPDX-License-Identifier: BSD-2-Clause
/* cli/serial.c - `-l comN,option,...`: where the serial ports go (docs/command.md)
 *
 * Parsing keeps what the original decided then; files and terminals are opened
 * when the VM exists, and only if there is an lpc device to carry the ports. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/cli.h"

void serial_fini(struct cli_com *c)
{
	free(c->device);
	free(c->pty_file);
	free(c->ring_file);
	*c = (struct cli_com){ 0 };
}

static int replace(char **where, const char *with)
{
	free(*where);
	*where = with ? strdup(with) : NULL;
	return with && !*where ? -ENOMEM : 0;
}

/* The last terminal named wins; log and asl add to it */
static int take_word(struct cli_args *a, struct cli_com *c, const char *w)
{
	if (!strcmp(w, "null")) {
		c->term = CLI_TERM_NULL;
	} else if (!strcmp(w, "stdio") && !a->stdio_taken) {
		c->term = CLI_TERM_STDIO;
		a->stdio_taken = true; /* a second one is a file of that name, as ever */
	} else if (!strcmp(w, "autopty") || !strncmp(w, "autopty=", 8)) {
		c->term = CLI_TERM_PTY;
		return replace(&c->pty_file, w[7] ? w + 8 : NULL);
	} else if (!strncmp(w, "log=", 4)) {
		return replace(&c->ring_file, w + 4);
	} else if (!strcmp(w, "asl")) {
		c->syslog = true;
	} else {
		c->term = CLI_TERM_DEVICE;
		return replace(&c->device, w);
	}
	return 0;
}

int serial_parse(struct cli_args *a, const char *arg)
{
	char *copy = strdup(arg), *rest = copy, *word;
	struct cli_com *c = NULL;
	int rc = 0;

	if (!copy)
		return CLI_ERROR;
	word = strsep(&rest, ",");
	if (!strcasecmp(word, "com1"))
		c = &a->com[0];
	else if (!strcasecmp(word, "com2"))
		c = &a->com[1];
	if (!c) {
		fprintf(stderr, "%s: invalid lpc device configuration '%s'\n", a->prog, arg);
		free(copy);
		return CLI_USAGE;
	}
	if (c->term == CLI_TERM_STDIO)
		a->stdio_taken = false; /* the earlier -l of this port is forgotten */
	serial_fini(c);
	c->given = true;
	for (bool first = true; rest && !rc; first = false) {
		word = strsep(&rest, ",");
		if (first)
			snprintf(c->first, sizeof(c->first), "%s", word);
		rc = take_word(a, c, word);
	}
	free(copy);
	if (rc)
		fprintf(stderr, "out of memory\n");
	return rc ? CLI_ERROR : CLI_GO_ON;
}

static int refuse(const struct cli_com *c, unsigned port, const char *why)
{
	fprintf(stderr, "Unable to initialize backend '%s' for LPC device COM%u%s%s\n", c->first,
		port, why[0] ? ": " : "", why);
	return CLI_ERROR;
}

static int connect_one(const struct cli_com *c, unsigned port, struct hk_vm *vm)
{
	struct hk_serial_config cfg = HK_SERIAL_CONFIG_INIT;
	struct hk_err err = { "" };
	const char *pty;

	if (c->term == CLI_TERM_NONE) {
		if (!c->ring_file && !c->syslog)
			return 0;
		return refuse(c, port, "log and asl need a terminal beside them, such as null");
	}
	switch (c->term) {
	case CLI_TERM_STDIO:
		cfg.in_fd = 0;
		cfg.out_fd = term_output_fd();
		break;
	case CLI_TERM_PTY:
		cfg.pty = 1;
		cfg.pty_file = c->pty_file;
		break;
	case CLI_TERM_DEVICE:
		cfg.device = c->device;
		break;
	default:
		break;
	}
	cfg.ring_file = c->ring_file;
	cfg.syslog = c->syslog;
	if (c->term == CLI_TERM_PTY)
		printf("linkname %s\n", c->pty_file ? c->pty_file : "(null)");
	if (hk_vm_serial(vm, port, &cfg, &err))
		return refuse(c, port, err.text);
	pty = hk_vm_serial_pty(vm, port);
	if (pty)
		printf("COM%u connected to %s\n", port, pty);
	fflush(stdout);
	return 0;
}

int serial_connect(const struct cli_args *a, struct hk_vm *vm)
{
	int rc = 0;

	if (!args_has_lpc(a))
		return 0;
	for (unsigned i = 0; i < CLI_NUM_COMS && !rc; i++)
		if (a->com[i].given)
			rc = connect_one(&a->com[i], i + 1, vm);
	return rc;
}
