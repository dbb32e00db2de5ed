// SPDX-License-Identifier: BSD-2-Clause
/* device/virtio/console_int.h - Between virtio-console's queues (console.c) and what is behind its
 * ports on the host (console_host.c). All [loop] unless it says otherwise. */
#ifndef DEVICE_VIRTIO_CONSOLE_INT_H
#define DEVICE_VIRTIO_CONSOLE_INT_H

#include <sys/types.h>

#include "backend/char/chr.h"
#include "device/virtio/vio.h"

#define CON_MAX_PORTS 16u
#define CON_IN_BYTES 4096u

struct console;
struct con_port;

/* A socket that listens for one client at a time */
struct con_sock {
	struct con_port *port;
	struct log *log;
	char path[108];
	int listen_fd, fd; /* -1 = none */
	struct watch listen_watch, watch;
	bool blocked;	   /* the port waits until the client takes more */
};

struct con_port {
	struct console *con;
	unsigned id;
	char *name;		/* NULL = none */
	char *spec;		/* what is behind it, as the user wrote it; NULL = nothing */
	bool is_console;
	struct chr *chr;	/* one of the two, or none */
	struct con_sock *sock;
	struct vq *rx, *tx;
	bool guest_ready;	/* the driver has it */
	bool guest_open;	/* a program of the guest has it open */
	bool host_open;		/* somebody is behind it */
	u8 in[CON_IN_BYTES];	/* host to guest, where the driver has no buffers yet */
	unsigned in_head, in_len;
	struct vq_chain *tx_chain; /* being written, its first tx_off bytes are */
	u32 tx_off;
	u64 in_bytes, out_bytes, lost_bytes;
};

/* console_host.c */
/* [setup] */
int con_host_open(struct con_port *p, struct loop *loop, struct log *log,
		  struct hk_err *err) MUST_CHECK;
void con_host_close(struct con_port *p);  /* [setup] */
int con_host_start(struct con_port *p) MUST_CHECK; /* [setup] */
void con_host_stop(struct con_port *p);	  /* [setup] */
/* Return: bytes taken; fewer than @n: con_port_writable() follows. Nobody there: all, lost */
size_t con_host_write(struct con_port *p, const u8 *bytes, size_t n);
void con_host_room(struct con_port *p);	  /* con_port_room() is larger than it was */

/* console.c */
size_t con_port_room(struct con_port *p);
void con_port_input(struct con_port *p, const u8 *bytes, size_t n); /* n <= room */
void con_port_writable(struct con_port *p);
void con_port_opened(struct con_port *p, bool open); /* a client came or went */

#endif
