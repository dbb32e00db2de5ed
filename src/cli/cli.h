// SPDX-License-Identifier: BSD-2-Clause
/* cli/cli.h - The command `hyperkit`, written on the public header alone
 *
 * main.c puts the parts together, args.c reads options as HyperKit did, serial.c
 * the -l strings, run.c waits for events and signals, term.c keeps the terminal,
 * pidfile.c the pid file, info.c is `hyperkit info`. One thread; what the library
 * calls from other threads is main.c's log function. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "hyperkit/hyperkit.h"

#define CLI_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))

/* Exit codes (HyperKit's; 64 is EX_USAGE of sysexits.h) */
enum {
	CLI_OK = 0,
	CLI_ERROR = 1,
	CLI_RESET = 2,
	CLI_TRIPLE_FAULT = 3,
	CLI_USAGE = 64,
};
/* parse_args: everything is fine, go on */
#define CLI_GO_ON (-1)

#define CLI_MAX_CPUS 64
#define CLI_NUM_COMS 2

enum cli_firmware { CLI_FW_NONE, CLI_FW_KEXEC, CLI_FW_MULTIBOOT };

struct cli_slot {
	unsigned bus, slot, func;
	char *name;
	char *opts; /* NULL: there was no second comma */
};

/* One -l: what becomes of it is decided when the VM exists */
struct cli_com {
	bool given;
	char first[128]; /* first option, for the error message */
	enum { CLI_TERM_NONE, CLI_TERM_NULL, CLI_TERM_STDIO, CLI_TERM_PTY, CLI_TERM_DEVICE } term;
	char *device, *pty_file, *ring_file;
	bool syslog;
};

struct cli_args {
	const char *prog;
	int cpus;
	uint64_t memory_bytes;
	bool memory_given;
	unsigned flags; /* HK_VM_* */
	const char *accel, *uuid, *pid_file;
	enum hk_log_level log_level;
	bool stats, print_mac;
	enum cli_firmware fw;
	char *fw_arg[3]; /* NULL = absent */
	struct cli_slot *slot;
	unsigned num_slots;
	struct cli_com com[CLI_NUM_COMS];
	bool stdio_taken;
};

/* args.c: fills @a; CLI_GO_ON or the exit code, after the message was printed */
int args_parse(struct cli_args *a, int argc, char **argv);
void args_fini(struct cli_args *a);
bool args_has_lpc(const struct cli_args *a);

/* serial.c: 0, or the exit code after the message was printed */
int serial_parse(struct cli_args *a, const char *arg);
void serial_fini(struct cli_com *c);
int serial_connect(const struct cli_args *a, struct hk_vm *vm);

/* term.c: raw mode of the terminal on descriptor 0, undone on every way out */
void term_init(void);	 /* descriptors 0..2 exist; handlers of fatal signals stand */
void term_take(void);	 /* from now on term_restore has something to do */
void term_raw(void);	 /* after term_take; nothing when descriptor 0 is no terminal */
void term_restore(void); /* idempotent; async-signal-safe */
bool term_is_raw(void);
int term_output_fd(void); /* where the guest's output goes with -l comN,stdio */
/* A line on stdout or stderr; ends in CR LF while the terminal there is raw */
void term_line(FILE *f, const char *fmt, ...) CLI_PRINTF(2, 3);
void term_text(FILE *f, const char *text); /* several lines */

/* pidfile.c: 0 or -1 after the message was printed */
int pidfile_create(const char *path);
void pidfile_remove(void); /* ours only; idempotent */

/* run.c: signals are blocked from signals_block() on and read in run_vm() */
void signals_block(void);
int run_vm(const struct cli_args *a, struct hk_vm *vm); /* exit code */

/* info.c */
int info_main(const char *prog);

/* disk.c: `hyperkit disk ...`; argv[0] is "disk" */
int disk_main(const char *prog, int argc, char **argv);

#endif
