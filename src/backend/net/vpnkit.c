// SPDX-License-Identifier: BSD-2-Clause
/* backend/net/vpnkit.c - Client of VPNKit's Ethernet socket (also spoken by gvisor-tap-vsock)
 *
 * The greeting, all integers little endian, fixed sizes:
 *	both	49 bytes: "VMN3T", u32 version 22, 40 hex digits of a commit
 *	we	41 bytes: 1, UUID as text, 4 zeros; or 8, UUID, the IPv4 address wished for as u32
 *	server	258 bytes: 1, u16 MTU, u16 largest frame, 6 bytes MAC; or 2, u8 length, words
 * and then frames behind a u16 length, both ways. The server derives MAC and IP address
 * from the UUID, so a new connection with the same UUID gets the same.
 *
 * The guest must know its MAC when it starts, so open waits for the server: at most wait=
 * seconds. A server that goes later is a link that is down until it is back. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "backend/net/net_int.h"

#define VERSION 22
#define HELLO_BYTES 49u
#define COMMAND_BYTES 41u
#define RESPONSE_BYTES 258u
#define UUID_CHARS 36
#define CMD_ETHERNET 1
#define CMD_PREFERRED_IPV4 8
#define RESP_VIF 1
#define RESP_DISCONNECT 2
#define ETHERNET_MIN 60u /* without FCS: the server expects padded frames */

struct vpnkit {
	struct net_conn c;
	char uuid[UUID_CHARS + 1];
	u32 ipv4; /* wished for, in host order; 0 = any */
	char *macfile;
	/* The greeting: bytes of the answer so far, and which answer */
	bool sent, hello_seen;
	u8 answer[RESPONSE_BYTES];
	unsigned got;
};

static const struct opt_desc vpnkit_opts[] = {
	{ "path", OPT_STR, "/var/tmp/com.docker.slirp.socket", "socket of the VPNKit server" },
	{ "uuid", OPT_STR, NULL, "identity by which the server chooses MAC and IP address" },
	{ "macfile", OPT_STR, NULL, "file that receives the MAC address" },
	{ "preferred_ipv4", OPT_STR, NULL, "IPv4 address to ask for" },
	{ "wait", OPT_U64, "30", "seconds to wait for the server before the VM starts" },
	{ 0 }
};

static struct vpnkit *vpnkit_of(struct net_conn *c)
{
	return container_of(c, struct vpnkit, c);
}

static int send_all(int fd, const u8 *p, size_t n)
{
	/* The greeting fits every socket's empty buffer: a short write is a broken peer */
	return send(fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)n ? 0 : -ECONNRESET;
}

static int send_hello(struct vpnkit *v)
{
	u8 p[HELLO_BYTES] = "VMN3T";

	store_le32(p + 5, VERSION);
	memset(p + 9, '0', 40); /* no commit of the original's */
	v->got = 0;
	v->hello_seen = false;
	v->sent = true;
	return send_all(v->c.s.fd, p, sizeof(p));
}

static int send_command(struct vpnkit *v)
{
	u8 p[COMMAND_BYTES] = { v->ipv4 ? CMD_PREFERRED_IPV4 : CMD_ETHERNET };

	memcpy(p + 1, v->uuid, UUID_CHARS);
	store_le32(p + 1 + UUID_CHARS, v->ipv4);
	return send_all(v->c.s.fd, p, sizeof(p));
}

/* Not a byte more than the answer: frames may follow at once */
static int read_answer(struct vpnkit *v, unsigned len)
{
	while (v->got < len) {
		ssize_t n = recv(v->c.s.fd, v->answer + v->got, len - v->got, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return -EAGAIN;
		if (n <= 0)
			return -ECONNRESET;
		v->got += (unsigned)n;
	}
	v->got = 0;
	return 0;
}

static void write_macfile(struct vpnkit *v)
{
	const u8 *m = v->c.net.mac;
	char tmp[4096], text[18];
	int fd, n;

	n = snprintf(tmp, sizeof(tmp), "%s.tmp", v->macfile);
	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4],
		 m[5]);
	fd = n < (int)sizeof(tmp) ? open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : -1;
	if (fd < 0 || write(fd, text, 17) != 17 || rename(tmp, v->macfile))
		log_warn(v->c.net.env.log, "%s: cannot write %s: %s", v->c.net.env.id, v->macfile,
			 strerrordesc_np(errno));
	if (fd >= 0)
		close(fd);
}

static int take_vif(struct vpnkit *v, const u8 *p)
{
	struct net *n = &v->c.net;
	unsigned mtu = load_le16(p + 1), largest = load_le16(p + 3);
	const u8 *mac = p + 5;

	if (mtu < 68 || largest < NET_MIN_FRAME || mac[0] & 1) {
		log_warn(n->env.log, "%s: the server's MTU or MAC makes no sense", n->env.id);
		return -EPROTO;
	}
	/* It limits what we send; what the server sends is limited by its u16 */
	v->c.s.max_send = largest;
	if (!n->mac_known) {
		memcpy(n->mac, mac, 6);
		n->mac_known = true;
		n->peer_mtu = mtu;
		if (v->macfile)
			write_macfile(v);
	} else if (memcmp(n->mac, mac, 6)) {
		log_warn(n->env.log, "%s: the server chose another MAC this time; the guest keeps its",
			 n->env.id);
	}
	return 0;
}

static int take_response(struct vpnkit *v)
{
	struct net *n = &v->c.net;
	const u8 *p = v->answer;
	char words[256];
	unsigned i, len;

	if (p[0] == RESP_VIF)
		return take_vif(v, p);
	if (p[0] != RESP_DISCONNECT) {
		log_warn(n->env.log, "%s: the server's answer is unknown (%u)", n->env.id, p[0]);
		return -EPROTO;
	}
	len = p[1];
	for (i = 0; i < len && i < sizeof(words) - 1; i++)
		words[i] = p[2 + i] >= ' ' && p[2 + i] < 127 ? (char)p[2 + i] : '?';
	words[i] = '\0';
	log_warn(n->env.log, "%s: the server refuses: %s", n->env.id, words);
	return -ECONNREFUSED;
}

static int greet(struct net_conn *c)
{
	struct vpnkit *v = vpnkit_of(c);
	int rc = 0;

	if (!v->sent)
		rc = send_hello(v);
	if (!rc && !v->hello_seen) {
		rc = read_answer(v, HELLO_BYTES);
		if (!rc && memcmp(v->answer, "VMN3T", 5)) {
			log_warn(c->net.env.log, "%s: the server is no VPNKit", c->net.env.id);
			rc = -EPROTO;
		}
		if (!rc) {
			if (load_le32(v->answer + 5) != VERSION)
				log_warn(c->net.env.log, "%s: the server's version is %u, ours %u",
					 c->net.env.id, load_le32(v->answer + 5), VERSION);
			v->hello_seen = true;
			rc = send_command(v);
		}
	}
	if (!rc)
		rc = read_answer(v, RESPONSE_BYTES);
	if (!rc)
		rc = take_response(v);
	if (rc != -EAGAIN)
		v->sent = false; /* the next connection begins anew */
	return rc;
}

/* ---- open: the only place that waits ---- */

static u64 mono_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000 + (u64)ts.tv_nsec / 1000000;
}

/* One try. 0; -EAGAIN: time is up; else the reason why it failed */
static int try_server(struct vpnkit *v, u64 end_ms)
{
	bool pending;
	int fd = net_connect(&v->c.addr, SOCK_STREAM, &pending), rc;

	if (fd < 0)
		return fd;
	net_stream_connected(&v->c.s, fd);
	v->sent = false;
	while ((rc = greet(&v->c)) == -EAGAIN) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		u64 t = mono_ms();

		if (t >= end_ms || poll(&p, 1, (int)(end_ms - t)) <= 0) {
			rc = -ETIMEDOUT;
			break;
		}
	}
	if (rc) {
		net_stream_drop(&v->c.s);
		v->sent = false;
	}
	return rc;
}

static int wait_for_server(struct vpnkit *v, u64 seconds, struct hk_err *err)
{
	u64 start = mono_ms(), end = start + MIN(seconds, 86400 * 365ull) * 1000, told = start + 1000;
	const char *path = v->c.addr.un.sun_path;
	int rc;

	while ((rc = try_server(v, end))) {
		/* A path that cannot become right by waiting */
		if (rc == -EACCES || rc == -EPROTOTYPE || rc == -ENOTSOCK || mono_ms() >= end)
			return err_set(err, rc, "no VPNKit server at %s within %llu s: %s", path,
				       (unsigned long long)seconds, strerrordesc_np(-rc));
		if (mono_ms() >= told) {
			log_warn(v->c.net.env.log, "%s: waiting for a VPNKit server at %s",
				 v->c.net.env.id, path);
			told = ~0ull;
		}
		poll(NULL, 0, 100);
	}
	v->c.state = NET_CONN_UP;
	v->c.connects = 1;
	v->c.net.link_up = true;
	return 0;
}

static int take_uuid(struct vpnkit *v, const char *text, struct hk_err *err)
{
	u8 r[16];

	if (text && strlen(text) < UUID_CHARS)
		return err_set(err, -EINVAL, "uuid=%s: want 36 characters", text);
	if (text) {
		memcpy(v->uuid, text, UUID_CHARS);
		return 0;
	}
	if (getrandom(r, sizeof(r), 0) != sizeof(r))
		return err_set(err, -EIO, "no random bytes");
	r[6] = (r[6] & 0x0f) | 0x40; /* RFC 9562, 5.4: version 4 */
	r[8] = (r[8] & 0x3f) | 0x80;
	snprintf(v->uuid, sizeof(v->uuid),
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", r[0], r[1],
		 r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12], r[13], r[14],
		 r[15]);
	return 0;
}

static int configure(struct vpnkit *v, const struct opts *o, struct hk_err *err)
{
	const char *ip = opts_str(o, "preferred_ipv4"), *macfile = opts_str(o, "macfile");
	struct net *n = &v->c.net;
	struct in_addr in;
	int rc;

	rc = net_addr_parse(&v->c.addr, opts_str(o, "path"), err);
	if (rc)
		return rc;
	if (ip && inet_pton(AF_INET, ip, &in) != 1)
		return err_set(err, -EINVAL, "preferred_ipv4=%s is no IPv4 address", ip);
	if (ip)
		v->ipv4 = ntohl(in.s_addr);
	if (macfile) {
		v->macfile = strdup(macfile);
		if (!v->macfile)
			return err_set(err, -ENOMEM, "out of memory");
	}
	rc = take_uuid(v, opts_str(o, "uuid"), err);
	if (rc)
		return rc;
	snprintf(n->info, sizeof(n->info), "vpnkit %s", opts_str(o, "path"));
	return wait_for_server(v, opts_u64(o, "wait"), err);
}

static int vpnkit_open(struct net *n, const char *text, struct hk_err *err)
{
	struct vpnkit *v = container_of(n, struct vpnkit, c.net);
	struct opts *o;
	int rc;

	rc = opts_parse(&o, vpnkit_opts, text, err);
	if (rc)
		return rc;
	v->c.greet = greet;
	if (net_conn_init(&v->c, NET_FRAMING_LE16))
		rc = err_set(err, -ENOMEM, "out of memory");
	v->c.s.min_send = ETHERNET_MIN;
	if (!rc)
		rc = configure(v, o, err);
	opts_destroy(o);
	return rc;
}

static void vpnkit_close(struct net *n)
{
	struct vpnkit *v = container_of(n, struct vpnkit, c.net);

	free(v->macfile);
	net_conn_close(n);
}

const struct net_ops vpnkit_net_ops = {
	.kind = "vpnkit",
	.size = sizeof(struct vpnkit),
	.open = vpnkit_open,
	.close = vpnkit_close,
	.start = net_conn_start,
	.stop = net_conn_stop,
	.send = net_conn_send,
	.flush = net_conn_flush,
	.peek = net_conn_peek,
	.take = net_conn_take,
	.rx = net_conn_rx,
};
