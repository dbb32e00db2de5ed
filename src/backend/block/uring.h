// SPDX-License-Identifier: BSD-2-Clause
/* backend/block/uring.h - Reads and writes handed to the kernel without a thread of ours
 *
 * All [loop]. Where io_uring is forbidden (seccomp, sysctl, old kernels) uring_create()
 * says so and the queue's worker threads do all the work. */
#ifndef BACKEND_BLOCK_URING_H
#define BACKEND_BLOCK_URING_H

#include "backend/block/blk.h"

struct uring;

int uring_create(struct uring **out, struct hk_err *err) MUST_CHECK;
void uring_destroy(struct uring *u); /* nothing in flight; NULL ok */
int uring_fd(const struct uring *u); /* readable while completions wait */
/* Queue a read or write at @host of @fd; false: no room, do it elsewhere */
bool uring_queue(struct uring *u, struct blk_req *req, int fd, u64 host) MUST_CHECK;
/* Hand what was queued to the kernel. Return: true when the kernel would not take all of
 * it now (no memory): call again */
bool uring_submit(struct uring *u);
/* One completion: its request, and in *@res bytes or -errno. NULL: none left */
struct blk_req *uring_reap(struct uring *u, int *res);

#endif
