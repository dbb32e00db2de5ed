// SPDX-License-Identifier: BSD-2-Clause
/* test/lib/vpnkit.h - The server's side of VPNKit's greeting, over a blocking socket
 *
 * From the description of the protocol (docs/devices/net.md), not from src/. */
#ifndef TEST_LIB_VPNKIT_H
#define TEST_LIB_VPNKIT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct vpnkit_hello {
	uint8_t command;
	char uuid[37];
	uint32_t ipv4;
};

static inline bool vpnkit_read(int fd, void *p, size_t n)
{
	return recv(fd, p, n, MSG_WAITALL) == (ssize_t)n;
}

/* Both hellos and the command */
static inline bool vpnkit_hear(int fd, struct vpnkit_hello *h)
{
	uint8_t hello[49], command[41];

	if (!vpnkit_read(fd, hello, sizeof(hello)) || memcmp(hello, "VMN3T\x16\0\0\0", 9))
		return false;
	memset(hello + 9, 'a', 40);
	if (send(fd, hello, sizeof(hello), MSG_NOSIGNAL) != sizeof(hello) ||
	    !vpnkit_read(fd, command, sizeof(command)))
		return false;
	h->command = command[0];
	memcpy(h->uuid, command + 1, 36);
	h->uuid[36] = '\0';
	h->ipv4 = command[37] | command[38] << 8 | command[39] << 16 | (uint32_t)command[40] << 24;
	return true;
}

static inline bool vpnkit_accept(int fd, unsigned mtu, const uint8_t mac[6])
{
	uint8_t r[258] = { 1 };
	unsigned largest = mtu + 50;

	r[1] = (uint8_t)mtu;
	r[2] = (uint8_t)(mtu >> 8);
	r[3] = (uint8_t)largest;
	r[4] = (uint8_t)(largest >> 8);
	memcpy(r + 5, mac, 6);
	return send(fd, r, sizeof(r), MSG_NOSIGNAL) == sizeof(r);
}

static inline bool vpnkit_refuse(int fd, const char *words)
{
	uint8_t r[258] = { 2, (uint8_t)strlen(words) };

	memcpy(r + 2, words, strlen(words));
	return send(fd, r, sizeof(r), MSG_NOSIGNAL) == sizeof(r);
}

#endif
