// SPDX-License-Identifier: BSD-2-Clause
/* test/boot/vsock/proto.h - What guest.c offers and host.c asks for */
#ifndef VSOCK_PROTO_H
#define VSOCK_PROTO_H

#include <stdint.h>
#include <string.h>

/* Ports of the guest */
#define PORT_CONTROL 4000 /* one line in, one line out, "ok ..." or "failed ..." */
#define PORT_ECHO 5000	  /* every byte back; half-closes when the peer does */
#define PORT_SINK 5001	  /* bytes of the pattern until end of file; then a struct sum back */
#define PORT_SOURCE 5002  /* u64 in; that many bytes of the pattern out; half-close */
#define PORT_RUDE 5003	  /* sends "bye", reads nothing, closes */
#define PORT_NOBODY 5004
/* Ports of the host */
#define PORT_READY 1000	  /* the guest connects when all of the above listen */

struct sum {
	uint64_t bytes, wrong; /* first wrong byte, ~0 = none */
};

/* Byte @off of the endless pattern is a byte of the 64-bit number of its word, mixed */
static inline uint64_t pattern_word(uint64_t i)
{
	return (i + 1) * 0x9E3779B97F4A7C15ull;
}

static inline void pattern_fill(unsigned char *buf, uint64_t off, size_t n)
{
	for (size_t i = 0; i < n;) {
		uint64_t w = pattern_word((off + i) / 8);
		size_t in = (off + i) % 8, part = 8 - in < n - i ? 8 - in : n - i;

		memcpy(buf + i, (unsigned char *)&w + in, part);
		i += part;
	}
}

static inline void pattern_check(const unsigned char *buf, uint64_t off, size_t n, uint64_t *wrong)
{
	for (size_t i = 0; i < n && *wrong == ~0ull;) {
		uint64_t w = pattern_word((off + i) / 8);
		size_t in = (off + i) % 8, part = 8 - in < n - i ? 8 - in : n - i;

		if (memcmp(buf + i, (unsigned char *)&w + in, part))
			*wrong = off + i;
		i += part;
	}
}

#endif
