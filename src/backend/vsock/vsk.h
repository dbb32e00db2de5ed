// SPDX-License-Identifier: BSD-2-Clause
/* backend/vsock/vsk.h - Host side of virtio-sock: where a guest's peers come from (door)
 *
 * Two sources of peers, which know nothing of virtio: struct vsk, sockets in the file
 * system with HyperKit's and Firecracker's protocols (unix.c, hello.c); struct vsk_hub,
 * the embedder's own descriptors (hub.c). A peer is a connected stream socket that is the
 * device's from the moment it is handed over; it may be a blocking one (use MSG_DONTWAIT).
 *
 * Host programs are not trusted to be well-behaved: half a line, silence, a line of garbage,
 * sudden death, a thousand of them at once. */
#ifndef BACKEND_VSOCK_VSK_H
#define BACKEND_VSOCK_VSK_H

#include "base/loop.h"
#include "base/types.h"

struct log;

/* A host program wants the guest's port @port over @fd. [loop] @hello: it is owed a line "OK <its
 * port>\n" when the guest accepts (vsk_say_ok). @fd is the callee's, whatever happens. */
struct vsk_peer {
	void (*incoming)(void *arg, int fd, u32 port, bool hello);
	void *arg;
};

/* ---- unix.c: sockets in the file system ---- */

#define VSK_MAX_FORWARDS 64u
#define VSK_MAX_HELLOS 1024u /* host programs that have not said yet what they want */
#define VSK_HOST_CID 2u

struct vsk;

struct vsk_config {
	u32 guest_cid;
	const char *dir; /* HyperKit's folder of sockets; NULL = none */
	const char *uds; /* Firecracker's socket; NULL = none */
	u32 forward[VSK_MAX_FORWARDS];
	unsigned num_forwards;
};

/* [setup] Bind and listen; old sockets of the same names are removed, the folder must exist.
 * -ENAMETOOLONG for a path that no socket address holds. @log may be NULL. */
int vsk_open(struct vsk **out, const struct vsk_config *cfg, const struct vsk_peer *peer,
	     struct loop *loop, struct log *log, struct hk_err *err) MUST_CHECK;
void vsk_close(struct vsk *k); /* [setup] removes the sockets that it made; NULL ok */
int vsk_start(struct vsk *k) MUST_CHECK; /* [setup] take connections from now on; idempotent */
void vsk_stop(struct vsk *k); /* [setup] who waits with half a line is closed; idempotent */
/* [loop] The guest wants (host CID, @port). 0; -EAGAIN: the listener is busy, try again soon;
 * -ENOENT, -ECONNREFUSED, ...: nobody there */
int vsk_connect(struct vsk *k, u32 port, int *fd) MUST_CHECK;
/* [loop] The line that a peer with @hello waits for. 0 or -errno: it is gone */
int vsk_say_ok(int fd, u32 host_port) MUST_CHECK;

/* ---- hello.c: the line that a host program writes first ---- */

#define VSK_LINE_MAX 32u

enum vsk_line {
	VSK_LINE_CID, /* "CCCCCCCC.PPPPPPPP\n", 18 bytes, lower or upper case hexadecimal */
	VSK_LINE_CONNECT, /* "CONNECT <port>\n", decimal */
};

/* [any] @n bytes so far, at most VSK_LINE_MAX. Return: length of the whole line (with \n) and
 * *@port; 0: not complete yet; -EINVAL: it will never be one; -EADDRNOTAVAIL: another CID's */
int vsk_line_parse(enum vsk_line kind, const char *s, size_t n, u32 guest_cid,
		   u32 *port) MUST_CHECK;

/* ---- hub.c: the embedder's end ---- */

#define VSK_HUB_MAX_WAITING 1024u

struct vsk_hub;

int vsk_hub_create(struct vsk_hub **out, struct loop *loop, struct hk_err *err) MUST_CHECK;
void vsk_hub_destroy(struct vsk_hub *h); /* [setup] NULL ok */
/* [any] A blocking descriptor that will be connected to the guest's @port. Bytes may be written
 * at once; that the guest refuses is seen as end of file. -ENOBUFS: too many wait */
int vsk_hub_connect(struct vsk_hub *h, u32 port, int *fd) MUST_CHECK;
/* [any] Take the guest's connections to (host CID, @port); *@fd becomes readable for each, and
 * vsk_hub_accept() takes it. Closing it ends the listening. -EADDRINUSE */
int vsk_hub_listen(struct vsk_hub *h, u32 port, int *fd) MUST_CHECK;
/* [any] As accept(2) on what vsk_hub_listen() gave. -EAGAIN if it is non-blocking and none waits;
 * -ECONNABORTED: the VM is gone */
int vsk_hub_accept(int listen_fd, int *fd, u32 *guest_port) MUST_CHECK;
/* [setup] The device that serves the embedder's connections; NULL takes it away. -EBUSY: there is
 * one already */
int vsk_hub_attach(struct vsk_hub *h, const struct vsk_peer *peer) MUST_CHECK;
void vsk_hub_detach(struct vsk_hub *h, const void *arg);
/* [loop] As vsk_connect(); -ENOENT: the embedder does not listen there */
int vsk_hub_dial(struct vsk_hub *h, u32 port, u32 guest_port, int *fd) MUST_CHECK;

#endif
