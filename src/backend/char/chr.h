// SPDX-License-Identifier: BSD-2-Clause
/* backend/char/chr.h - Host side of a byte stream: where a serial port's bytes go (door)
 *
 * One `struct chr` has any number of sinks (ring file, syslog, callback) and at
 * most one terminal (descriptors, pty, device). */
#ifndef BACKEND_CHAR_CHR_H
#define BACKEND_CHAR_CHR_H

#include "base/loop.h"
#include "base/types.h"

struct chr;
struct log;

/* [loop] The front end: how much can it take, and here are bytes */
struct chr_peer {
	size_t (*room)(void *arg);
	void (*input)(void *arg, const u8 *bytes, size_t n);
	void *arg;
};

/* [setup] @cfg as the public header describes; NULL = nothing connected */
int chr_open(struct chr **out, const struct hk_serial_config *cfg, struct loop *loop,
	     struct log *log, struct hk_err *err) MUST_CHECK;
/* [setup] The same from HyperKit's words: "stdio", "null", "autopty[=FILE]", "log=FILE", "asl",
 * a terminal's path, separated by commas; NULL or "" = nothing connected */
int chr_open_opts(struct chr **out, const char *opts, struct loop *loop, struct log *log,
		  struct hk_err *err) MUST_CHECK;
void chr_close(struct chr *c);				  /* [setup] NULL ok */
void chr_attach(struct chr *c, const struct chr_peer *p); /* [setup] */
int chr_start(struct chr *c);				  /* [setup] begin to read */
void chr_stop(struct chr *c);				  /* [setup] */
/* [any] Never blocks for long: a terminal that takes nothing loses bytes after 100 ms in total */
void chr_write(struct chr *c, const u8 *bytes, size_t n);
void chr_room(struct chr *c);				  /* [any] the front end has room again */
/* [any] Bytes typed by the embedder. Return: taken */
size_t chr_feed(struct chr *c, const u8 *bytes, size_t n);
const char *chr_pty_name(const struct chr *c);		  /* [any] NULL = none */

#endif
