// SPDX-License-Identifier: BSD-2-Clause
/* backend/char/chr_int.h - What the files of backend/char share; nobody else includes it */
#ifndef BACKEND_CHAR_CHR_INT_H
#define BACKEND_CHAR_CHR_INT_H

#include <sys/types.h>
#include <termios.h>

#include "backend/char/chr.h"

#define CHR_NAME_BYTES 128

/* ---- fd.c: the terminal: one descriptor to read, one to write ---- */

enum chr_fd_kind { CHR_FD_FILE, CHR_FD_TTY, CHR_FD_PIPE, CHR_FD_SOCKET };

struct chr_fd {
	int fd;			/* ours (a duplicate); -1 = none */
	enum chr_fd_kind kind;
	bool restore;		/* O_NONBLOCK was set by us on a shared description */
};

struct chr_term {
	struct chr_fd in, out;
	int slave;		/* pty: kept open, so that the master never reads EIO; -1 */
	char name[CHR_NAME_BYTES]; /* of the pty's slave */
	bool pty;
	bool restore_termios;	/* a device that we opened */
	struct termios old;
};

void chr_term_init(struct chr_term *t);
int chr_term_fds(struct chr_term *t, int in_fd, int out_fd, struct hk_err *err);
int chr_term_device(struct chr_term *t, const char *path, struct hk_err *err);
int chr_term_pty(struct chr_term *t, const char *name_file, struct hk_err *err); /* pty.c */
void chr_term_close(struct chr_term *t);
/* Never blocks and never raises SIGPIPE. Return: bytes (> 0), -EAGAIN, or another -errno */
ssize_t chr_fd_write(const struct chr_fd *f, const u8 *bytes, size_t n);
/* Return: bytes, 0 = end, -EAGAIN, or another -errno */
ssize_t chr_fd_read(const struct chr_fd *f, u8 *bytes, size_t n);
int chr_fd_adopt(struct chr_fd *f, int fd, bool output); /* duplicates @fd */

/* ---- ring.c: file that holds the last 64 KiB ---- */

struct chr_ring {
	int fd; /* -1 = none */
	u32 next;
};
int chr_ring_open(struct chr_ring *r, const char *path, struct hk_err *err);
void chr_ring_close(struct chr_ring *r);
void chr_ring_put(struct chr_ring *r, const u8 *bytes, size_t n);

/* ---- syslog.c: lines to syslog(3) ---- */

#define CHR_SYSLOG_LINE 4094
struct chr_syslog {
	size_t n;
	char line[CHR_SYSLOG_LINE + 1];
};
void chr_syslog_put(struct chr_syslog *s, const u8 *bytes, size_t n);
void chr_syslog_flush(struct chr_syslog *s);

#endif
