// SPDX-License-Identifier: BSD-2-Clause
/* backend/block/uring.c - Reads and writes handed to the kernel without a thread of ours
 *
 * One ring per disk. The descriptor of the image is registered on its first use, which
 * saves the kernel a reference per request. Never more requests in the ring than it has
 * completion slots. */
#include "backend/block/uring.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

enum { URING_ENTRIES = 128, URING_MAX = 256 };

struct uring {
	struct io_uring ring;
	int fixed_fd;	    /* registered as file 0; -1 = none yet, -2 = cannot be */
	unsigned in_flight; /* queued and not reaped */
	unsigned queued;    /* not yet handed to the kernel */
};

int uring_create(struct uring **out, struct hk_err *err)
{
	struct uring *u = calloc(1, sizeof(*u));
	struct io_uring_probe *probe;
	bool able;
	int rc;

	*out = NULL;
	if (!u)
		return err_set(err, -ENOMEM, "out of memory");
	rc = io_uring_queue_init(URING_ENTRIES, &u->ring, IORING_SETUP_CLAMP);
	if (rc) {
		free(u);
		return err_set(err, rc, "no io_uring here: %s", strerrordesc_np(-rc));
	}
	/* SUBMIT_STABLE: iovecs are read at submission, so they may be the request's */
	probe = io_uring_get_probe_ring(&u->ring);
	able = probe && io_uring_opcode_supported(probe, IORING_OP_READV) &&
	       io_uring_opcode_supported(probe, IORING_OP_WRITEV) &&
	       (u->ring.features & IORING_FEAT_SUBMIT_STABLE) &&
	       (u->ring.features & IORING_FEAT_NODROP);
	if (probe)
		io_uring_free_probe(probe);
	if (!able) {
		io_uring_queue_exit(&u->ring);
		free(u);
		return err_set(err, -ENOTSUP, "this kernel's io_uring is too old");
	}
	io_uring_ring_dontfork(&u->ring);
	u->fixed_fd = -1;
	*out = u;
	return 0;
}

void uring_destroy(struct uring *u)
{
	if (!u)
		return;
	io_uring_queue_exit(&u->ring);
	free(u);
}

int uring_fd(const struct uring *u)
{
	return u->ring.ring_fd;
}

bool uring_queue(struct uring *u, struct blk_req *req, int fd, u64 host)
{
	struct io_uring_sqe *sqe;

	if (u->in_flight >= URING_MAX)
		return false;
	if (u->fixed_fd == -1)
		u->fixed_fd = io_uring_register_files(&u->ring, &fd, 1) ? -2 : fd;
	sqe = io_uring_get_sqe(&u->ring);
	if (!sqe) {
		uring_submit(u);
		sqe = io_uring_get_sqe(&u->ring);
		if (!sqe)
			return false;
	}
	if (req->kind == BLK_READ)
		io_uring_prep_readv(sqe, fd, req->iov, req->niov, host);
	else
		io_uring_prep_writev(sqe, fd, req->iov, req->niov, host);
	if (fd == u->fixed_fd) {
		sqe->fd = 0;
		sqe->flags |= IOSQE_FIXED_FILE;
	}
	io_uring_sqe_set_data(sqe, req);
	u->in_flight++;
	u->queued++;
	return true;
}

bool uring_submit(struct uring *u)
{
	while (u->queued) {
		int n = io_uring_submit(&u->ring);

		if (n == -EINTR)
			continue;
		if (n <= 0)
			return true;
		u->queued -= MIN((unsigned)n, u->queued);
	}
	return false;
}

struct blk_req *uring_reap(struct uring *u, int *res)
{
	struct io_uring_cqe *cqe;
	struct blk_req *req;

	if (io_uring_peek_cqe(&u->ring, &cqe) || !cqe)
		return NULL;
	req = io_uring_cqe_get_data(cqe);
	*res = cqe->res;
	io_uring_cqe_seen(&u->ring, cqe);
	u->in_flight--;
	return req;
}
