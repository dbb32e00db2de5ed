// SPDX-License-Identifier: BSD-2-Clause
/* backend/net/pcap.c - Every frame of a port in a file that tcpdump and wireshark read
 *
 * The classic format with nanoseconds (draft-ietf-opsawg-pcap). One write per frame, so
 * that the file is whole whatever ends the process. [loop] */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "backend/net/net_int.h"

#define SNAP_LEN 262144u
#define MAX_PIECES 64

struct net_pcap {
	int fd; /* -1: given up */
};

struct file_header {
	le32 magic;
	le16 major, minor;
	le32 zone, sigfigs, snaplen, linktype;
} PACKED;

struct record_header {
	le32 sec, nsec, captured, len;
} PACKED;

int net_pcap_open(struct net_pcap **out, const char *path, struct hk_err *err)
{
	const struct file_header h = {
		.magic = le32_of(0xa1b23c4d),
		.major = le16_of(2),
		.minor = le16_of(4),
		.snaplen = le32_of(SNAP_LEN),
		.linktype = le32_of(1), /* Ethernet */
	};
	struct net_pcap *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	p->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (p->fd < 0 || write(p->fd, &h, sizeof(h)) != sizeof(h)) {
		rc = err_set(err, errno ? -errno : -EIO, "pcap file %s: %s", path,
			     strerrordesc_np(errno));
		net_pcap_close(p);
		return rc;
	}
	*out = p;
	return 0;
}

void net_pcap_close(struct net_pcap *p)
{
	if (!p)
		return;
	if (p->fd >= 0)
		close(p->fd);
	free(p);
}

void net_pcap_put(struct net_pcap *p, s64 wall_ns, const struct iovec *iov, unsigned cnt,
		  size_t skip)
{
	struct iovec out[1 + MAX_PIECES];
	struct record_header h;
	size_t len = 0;
	unsigned n = 1;

	for (unsigned i = 0; i < cnt && n <= MAX_PIECES; i++) {
		size_t off = MIN(skip, iov[i].iov_len);

		skip -= off;
		if (iov[i].iov_len == off)
			continue;
		out[n] = (struct iovec){ (u8 *)iov[i].iov_base + off, iov[i].iov_len - off };
		len += out[n++].iov_len;
	}
	h = (struct record_header){
		.sec = le32_of((u32)(wall_ns / (s64)NS_PER_SEC)),
		.nsec = le32_of((u32)(wall_ns % (s64)NS_PER_SEC)),
		.captured = le32_of((u32)len),
		.len = le32_of((u32)len),
	};
	out[0] = (struct iovec){ &h, sizeof(h) };
	if (p->fd >= 0 && writev(p->fd, out, (int)n) != (ssize_t)(sizeof(h) + len)) {
		/* Half a record is in it: what follows could not be read */
		close(p->fd);
		p->fd = -1;
	}
}
