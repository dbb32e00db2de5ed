// SPDX-License-Identifier: BSD-2-Clause
/* backend/net/stream.c - Ethernet frames in a byte stream, each behind its length
 *
 * Two framings: 4 bytes big endian (QEMU's, and so passt's and gvproxy's), 2 bytes little
 * endian (VPNKit's). Reading and writing gather many frames in one system call. A length
 * that cannot be means that the two sides have lost each other: the stream ends. [loop] */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "backend/net/net_int.h"

/* A frame of the largest size fits beside the rest of the one before */
#define BUF_BYTES (256u << 10)

static size_t prefix_bytes(const struct net_stream *s)
{
	return s->framing == NET_FRAMING_BE32 ? 4 : 2;
}

int net_stream_init(struct net_stream *s, enum net_framing framing)
{
	*s = (struct net_stream){ .fd = -1, .framing = framing };
	s->max_frame = framing == NET_FRAMING_LE16 ? 0xffff : NET_MAX_FRAME;
	s->max_send = s->max_frame;
	s->in = malloc(BUF_BYTES);
	s->out = malloc(BUF_BYTES);
	return s->in && s->out ? 0 : -ENOMEM;
}

void net_stream_drop(struct net_stream *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->in_head = s->in_tail = s->out_head = s->out_tail = 0;
}

void net_stream_fini(struct net_stream *s)
{
	if (!s->in && !s->out)
		return; /* never initialised: fd is not -1 but 0 */
	net_stream_drop(s);
	free(s->in);
	free(s->out);
	s->in = s->out = NULL;
}

void net_stream_connected(struct net_stream *s, int fd)
{
	net_stream_drop(s);
	s->fd = fd;
}

int net_stream_fill(struct net_stream *s)
{
	ssize_t n;

	if (s->fd < 0)
		return -ECONNRESET;
	if (s->in_head == s->in_tail) {
		s->in_head = s->in_tail = 0;
	} else if (BUF_BYTES - s->in_tail < NET_MAX_FRAME + 4) {
		memmove(s->in, s->in + s->in_head, s->in_tail - s->in_head);
		s->in_tail -= s->in_head;
		s->in_head = 0;
	}
	if (s->in_tail == BUF_BYTES)
		return -EAGAIN; /* whole frames wait to be taken */
	do
		n = recv(s->fd, s->in + s->in_tail, BUF_BYTES - s->in_tail, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? -EAGAIN : -ECONNRESET;
	if (n == 0)
		return -ECONNRESET;
	s->in_tail += (size_t)n;
	return 0;
}

static size_t frame_len(const struct net_stream *s)
{
	const u8 *p = s->in + s->in_head;
	be32 be;

	if (s->framing == NET_FRAMING_LE16)
		return load_le16(p);
	memcpy(&be, p, sizeof(be));
	return be32_get(be);
}

ssize_t net_stream_peek(struct net_stream *s, const u8 **frame)
{
	size_t have = s->in_tail - s->in_head, prefix = prefix_bytes(s), len;

	if (have < prefix)
		return 0;
	len = frame_len(s);
	if (!len || len > s->max_frame)
		return -EPROTO;
	if (have - prefix < len)
		return 0;
	*frame = s->in + s->in_head + prefix;
	return (ssize_t)len;
}

void net_stream_take(struct net_stream *s)
{
	s->in_head += prefix_bytes(s) + frame_len(s);
}

int net_stream_flush(struct net_stream *s)
{
	while (s->out_head < s->out_tail) {
		ssize_t n = send(s->fd, s->out + s->out_head, s->out_tail - s->out_head,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN || errno == ENOBUFS ? -EAGAIN : -ECONNRESET;
		s->out_head += (size_t)n;
	}
	s->out_head = s->out_tail = 0;
	return 0;
}

int net_stream_send(struct net_stream *s, const struct iovec *iov, unsigned cnt, size_t bytes)
{
	size_t prefix = prefix_bytes(s), len = MAX(bytes, s->min_send);
	be32 be = be32_of((u32)len);
	u8 *p;
	int rc;

	if (len > s->max_send)
		return -EMSGSIZE;
	if (BUF_BYTES - s->out_tail < prefix + len) {
		rc = net_stream_flush(s);
		if (rc)
			return rc;
	}
	p = s->out + s->out_tail;
	if (s->framing == NET_FRAMING_LE16)
		store_le16(p, (u16)len);
	else
		memcpy(p, &be, sizeof(be));
	net_iov_read(iov, cnt, p + prefix);
	memset(p + prefix + bytes, 0, len - bytes);
	s->out_tail += prefix + len;
	return 0;
}
