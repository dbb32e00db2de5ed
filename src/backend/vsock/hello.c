// SPDX-License-Identifier: BSD-2-Clause
/* backend/vsock/hello.c - The line with which a host program says which port it wants
 *
 * Either HyperKit's, of fixed length and in hexadecimal, or the one that Firecracker's and
 * Cloud Hypervisor's clients write. Bytes behind the line belong to the guest. [any] */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "backend/vsock/vsk.h"

static int hex8(const char *s, u32 *out)
{
	u32 v = 0;

	for (unsigned i = 0; i < 8; i++) {
		char c = s[i] | 0x20;

		if (s[i] >= '0' && s[i] <= '9')
			v = v << 4 | (u32)(s[i] - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (u32)(c - 'a' + 10);
		else
			return -EINVAL;
	}
	*out = v;
	return 0;
}

static int parse_cid(const char *s, size_t n, u32 guest_cid, u32 *port)
{
	u32 cid;

	if (n < 18)
		return memchr(s, '\n', n) ? -EINVAL : 0;
	if (s[8] != '.' || s[17] != '\n' || hex8(s, &cid) || hex8(s + 9, port))
		return -EINVAL;
	return cid == guest_cid ? 18 : -EADDRNOTAVAIL;
}

static int parse_connect(const char *s, size_t n, u32 *port)
{
	static const char word[] = "CONNECT ";
	const size_t skip = sizeof(word) - 1;
	const char *end = memchr(s, '\n', n);
	u64 v = 0;

	if (strncasecmp(s, word, MIN(n, skip)))
		return -EINVAL;
	if (!end)
		return n < VSK_LINE_MAX ? 0 : -EINVAL;
	for (const char *p = s + skip; p < end; p++) {
		if (*p == '\r' && p + 1 == end && p > s + skip)
			break;
		if (*p < '0' || *p > '9')
			return -EINVAL;
		v = v * 10 + (u64)(*p - '0');
		if (v > UINT32_MAX)
			return -EINVAL;
	}
	if (end <= s + skip)
		return -EINVAL;
	*port = (u32)v;
	return (int)(end - s) + 1;
}

int vsk_line_parse(enum vsk_line kind, const char *s, size_t n, u32 guest_cid, u32 *port)
{
	return kind == VSK_LINE_CID ? parse_cid(s, n, guest_cid, port) : parse_connect(s, n, port);
}
