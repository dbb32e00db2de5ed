// SPDX-License-Identifier: BSD-2-Clause
/* backend/net/user_opts.c - Options of user networking: addresses, forwards [setup]
 *
 * Names and the form of forwards are QEMU's, so that command lines can be taken over. What
 * differs: a forward without a host address listens on 127.0.0.1, not on all interfaces. */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/net/user_int.h"

static const struct opt_desc user_opts[] = {
	{ "net", OPT_STR, "10.0.2.0/24", "the guest's network" },
	{ "host", OPT_STR, NULL, "the gateway, which is this host (default: .2 of the network)" },
	{ "dns", OPT_STR, NULL, "address of the name server shown to the guest (.3)" },
	{ "dhcpstart", OPT_STR, NULL, "address that DHCP gives to the guest (.15)" },
	{ "dhcp", OPT_BOOL, "on", "answer DHCP requests" },
	{ "ipv6", OPT_BOOL, "off", "IPv6, too: fec0::/64" },
	{ "hostname", OPT_STR, NULL, "host name that DHCP gives to the guest" },
	{ "domainname", OPT_STR, NULL, "domain that DHCP gives to the guest" },
	{ "restrict", OPT_BOOL, "off", "nothing but forwards: the guest reaches neither host nor net" },
	{ "loopback", OPT_BOOL, "on", "the gateway's ports are those of the host's 127.0.0.1" },
	{ "hostfwd", OPT_STR, NULL, "[tcp|udp]:[HOST]:PORT-[GUEST]:PORT, repeatable: into the guest" },
	{ "guestfwd", OPT_STR, NULL, "tcp:ADDRESS:PORT-unix:PATH, repeatable: to a socket of the host" },
	{ 0 }
};

/* slirp_new() fills tables of the library that all instances share */
static pthread_mutex_t slirp_new_lock = PTHREAD_MUTEX_INITIALIZER;

/* "ADDRESS:PORT" of @text, which is changed. An empty address leaves *@addr. */
static int take_end(char *text, struct in_addr *addr, int *port)
{
	char *colon = strrchr(text, ':'), *end;
	unsigned long v;

	if (!colon)
		return -EINVAL;
	*colon = '\0';
	v = strtoul(colon + 1, &end, 10);
	if (end == colon + 1 || *end || !v || v > 65535)
		return -EINVAL;
	*port = (int)v;
	return *text && inet_pton(AF_INET, text, addr) != 1 ? -EINVAL : 0;
}

static int add_hostfwd(struct user *u, char *text, struct hk_err *err)
{
	struct in_addr host = { htonl(INADDR_LOOPBACK) }, guest = { 0 };
	int host_port, guest_port;
	bool udp = !strncmp(text, "udp:", 4);
	char *from = strchr(text, ':'), *to = strrchr(text, '-');
	char name[128];

	snprintf(name, sizeof(name), "%s", text);
	if (!from || !to || to < from ||
	    (!udp && strncmp(text, "tcp:", 4) && strncmp(text, ":", 1)))
		goto bad;
	*to++ = '\0';
	if (take_end(from + 1, &host, &host_port) || take_end(to, &guest, &guest_port))
		goto bad;
	if (slirp_add_hostfwd(u->slirp, udp, host, host_port, guest, guest_port) < 0)
		return err_set(err, errno ? -errno : -EADDRINUSE, "hostfwd=%s: cannot listen: %s", name,
			       strerrordesc_np(errno ? errno : EADDRINUSE));
	return 0;
bad:
	return err_set(err, -EINVAL, "hostfwd=%s: want [tcp|udp]:[HOST]:PORT-[GUEST]:PORT", name);
}

static int add_guestfwd(struct user *u, char *text, struct hk_err *err)
{
	char *to = strstr(text, "-unix:");
	struct in_addr guest = { 0 };
	struct net_addr path;
	char name[160];
	int port, rc;

	snprintf(name, sizeof(name), "%s", text);
	if (!to || strncmp(text, "tcp:", 4))
		goto bad;
	*to = '\0';
	rc = net_addr_parse(&path, to + 6, err);
	if (rc)
		return err_wrap(err, rc, "guestfwd=%s", name);
	if (take_end(text + 4, &guest, &port) || !guest.s_addr)
		goto bad;
	if (slirp_add_unix(u->slirp, path.un.sun_path, &guest, port) < 0)
		return err_set(err, -EINVAL, "guestfwd=%s: the address must be in the guest's network "
			       "and free", name);
	return 0;
bad:
	return err_set(err, -EINVAL, "guestfwd=%s: want tcp:ADDRESS:PORT-unix:PATH", name);
}

/* Repeatable options are taken out first: a table of options has each once. Return: @text without
 * them, the caller frees it; @fwd gets the others, one after the other behind NULs. */
static int split(const char *text, char **rest, char **fwd, size_t *fwd_len)
{
	size_t n = text ? strlen(text) : 0, rest_len = 0;
	const char *word, *end;

	*rest = calloc(1, n + 1);
	*fwd = calloc(1, n + 1);
	*fwd_len = 0;
	if (!*rest || !*fwd)
		return -ENOMEM;
	for (word = text; n && word; word = *end ? end + 1 : NULL) {
		end = word + strcspn(word, ",");
		n = (size_t)(end - word);
		if (!strncmp(word, "hostfwd=", 8) || !strncmp(word, "guestfwd=", 9)) {
			memcpy(*fwd + *fwd_len, word, n);
			*fwd_len += n + 1;
			continue;
		}
		if (rest_len)
			(*rest)[rest_len++] = ',';
		memcpy(*rest + rest_len, word, n);
		rest_len += n;
	}
	return 0;
}

static int address(const struct opts *o, const char *key, const SlirpConfig *c, u32 host_part,
		   struct in_addr *out, struct hk_err *err)
{
	const char *text = opts_str(o, key);
	u32 mask = ntohl(c->vnetmask.s_addr), net = ntohl(c->vnetwork.s_addr);

	out->s_addr = htonl(net | host_part);
	if (text && inet_pton(AF_INET, text, out) != 1)
		return err_set(err, -EINVAL, "%s=%s is no IPv4 address", key, text);
	if ((ntohl(out->s_addr) & mask) != net || !(ntohl(out->s_addr) & ~mask))
		return err_set(err, -EINVAL, "%s=%s is not in the guest's network", key,
			       text ? text : "(default)");
	return 0;
}

static int network(const struct opts *o, SlirpConfig *c, struct hk_err *err)
{
	const char *text = opts_str(o, "net"), *slash = strchr(text, '/');
	char addr[32] = "", *end = NULL;
	unsigned long bits = slash ? strtoul(slash + 1, &end, 10) : 24;
	u32 mask;

	if (strcspn(text, "/") < sizeof(addr))
		memcpy(addr, text, strcspn(text, "/"));
	/* Room for .2, .3 and .15 */
	if (inet_pton(AF_INET, addr, &c->vnetwork) != 1 ||
	    (slash && (end == slash + 1 || *end || bits < 8 || bits > 27)))
		return err_set(err, -EINVAL, "net=%s: want a network such as 10.0.2.0/24", text);
	mask = ~0u << (32 - bits);
	c->vnetmask.s_addr = htonl(mask);
	c->vnetwork.s_addr &= htonl(mask);
	return 0;
}

static int configure(struct user *u, const struct opts *o, const SlirpCb *cb, struct hk_err *err)
{
	SlirpConfig c = { .version = 4 };
	int rc = network(o, &c, err);

	if (!rc)
		rc = address(o, "host", &c, 2, &c.vhost, err);
	if (!rc)
		rc = address(o, "dns", &c, 3, &c.vnameserver, err);
	if (!rc)
		rc = address(o, "dhcpstart", &c, 15, &c.vdhcp_start, err);
	if (rc)
		return rc;
	if (c.vhost.s_addr == c.vnameserver.s_addr || c.vhost.s_addr == c.vdhcp_start.s_addr ||
	    c.vnameserver.s_addr == c.vdhcp_start.s_addr)
		return err_set(err, -EINVAL, "host=, dns= and dhcpstart= must differ");
	c.in_enabled = true;
	c.in6_enabled = opts_bool(o, "ipv6");
	if (inet_pton(AF_INET6, "fec0::", &c.vprefix_addr6) != 1 ||
	    inet_pton(AF_INET6, "fec0::2", &c.vhost6) != 1 ||
	    inet_pton(AF_INET6, "fec0::3", &c.vnameserver6) != 1)
		return -EINVAL;
	c.vprefix_len = 64;
	c.restricted = opts_bool(o, "restrict");
	c.vhostname = opts_str(o, "hostname");
	c.vdomainname = opts_str(o, "domainname");
	c.disable_host_loopback = !opts_bool(o, "loopback");
	c.disable_dhcp = !opts_bool(o, "dhcp");
	/* Segments as large as the guest announces (user_frame.c), datagrams in one piece */
	c.if_mtu = c.if_mru = 65521;
	pthread_mutex_lock(&slirp_new_lock);
	u->slirp = slirp_new(&c, cb, u);
	pthread_mutex_unlock(&slirp_new_lock);
	return u->slirp ? 0 : err_set(err, -EINVAL, "libslirp refuses these options");
}

int user_configure(struct user *u, const char *text, const SlirpCb *cb, struct hk_err *err)
{
	char *rest, *fwd;
	size_t fwd_len;
	struct opts *o = NULL;
	int rc = split(text, &rest, &fwd, &fwd_len);

	if (rc)
		err_set(err, rc, "out of memory");
	else
		rc = opts_parse(&o, user_opts, rest, err);
	if (!rc)
		rc = configure(u, o, cb, err);
	for (size_t at = 0; !rc && at < fwd_len;) {
		char *word = fwd + at;

		at += strlen(word) + 1;
		rc = *word == 'h' ? add_hostfwd(u, word + 8, err) : add_guestfwd(u, word + 9, err);
	}
	if (!rc)
		snprintf(u->net.info, sizeof(u->net.info), "user %s", opts_str(o, "net"));
	opts_destroy(o);
	free(rest);
	free(fwd);
	return rc;
}
