// SPDX-License-Identifier: BSD-2-Clause
/* device/virtio/net.c - virtio-net: a network card (virtio 1.2, 5.1)
 *
 * One device under three names that differ in the back end they begin with: virtio-net
 * (user networking, as vmnet was on macOS), virtio-tap, virtio-vpnkit. docs/devices/net.md has
 * the options. One pair of queues: all back ends run on the VM's loop, more would share it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/err.h"
#include "base/log.h"
#include "base/md5.h"
#include "base/strbuf.h"
#include "device/virtio/net_int.h"

#define QUEUE_SIZE 1024

static struct vnet *vnet_of(struct vio *v)
{
	return container_of(v, struct vnet, v);
}

/* ---- features ---- */

static const struct {
	u32 net;
	unsigned bit;
	u32 needs; /* NET_* without which it means nothing (5.1.3.1) */
} offload_bits[] = {
	{ NET_TX_CSUM, NET_F_CSUM, 0 },
	{ NET_TX_TSO4, NET_F_HOST_TSO4, NET_TX_CSUM },
	{ NET_TX_TSO6, NET_F_HOST_TSO6, NET_TX_CSUM },
	{ NET_RX_CSUM, NET_F_GUEST_CSUM, 0 },
	{ NET_RX_TSO4, NET_F_GUEST_TSO4, NET_RX_CSUM },
	{ NET_RX_TSO6, NET_F_GUEST_TSO6, NET_RX_CSUM },
};

u32 vnet_offloads_of(u64 f)
{
	u32 net = 0;

	for (unsigned i = 0; i < ARRAY_LEN(offload_bits); i++)
		if (f >> offload_bits[i].bit & 1 &&
		    (net & offload_bits[i].needs) == offload_bits[i].needs)
			net |= offload_bits[i].net;
	return net;
}

static u64 features_of(u32 net)
{
	u64 f = 0;

	for (unsigned i = 0; i < ARRAY_LEN(offload_bits); i++)
		if (net & offload_bits[i].net)
			f |= BIT64(offload_bits[i].bit);
	return f;
}

void vnet_set_offloads(struct vnet *n, u32 bits)
{
	bool mtu_known = n->mtu0 && vio_has(&n->v, NET_F_MTU);

	n->offloads = bits;
	n->net_hdr = net_features(n->net) != 0;
	net_set_features(n->net, bits, n->net_hdr ? n->hdr_len : 0, mtu_known ? n->mtu0 : 1500);
}

static bool vnet_set_features(struct vio *v, u64 f)
{
	struct vnet *n = vnet_of(v);

	n->mergeable = vio_has(v, NET_F_MRG_RXBUF);
	/* 5.1.6.1: num_buffers is there in each header but old drivers' */
	n->hdr_len = n->mergeable || vio_has(v, VIO_F_VERSION_1) ? NET_MAX_HDR : NET_MAX_HDR - 2;
	return true;
}

/* ---- life ---- */

static u16 link_bits(struct vnet *n)
{
	return net_link(n->net) ? NET_S_LINK_UP : 0;
}

static void set_status(struct vnet *n, u16 bits)
{
	le16 status = le16_of(bits);

	vio_config_set(&n->v, offsetof(struct net_config, status), &status, sizeof(status));
}

static void to_power_on(struct vnet *n)
{
	vnet_filter_reset(n);
	memcpy(n->mac, n->mac0, 6);
	vio_config_set(&n->v, offsetof(struct net_config, mac), n->mac0, 6);
	set_status(n, link_bits(n));
}

static void vnet_activate(struct vio *v)
{
	struct vnet *n = vnet_of(v);

	vnet_set_offloads(n, vnet_offloads_of(v->acked));
	n->rx_starved = true; /* notify follows */
	n->tx_blocked = false;
	vq_kicks_off(&v->q[NET_Q_RX]);
}

static void vnet_deactivate(struct vio *v)
{
	struct vnet *n = vnet_of(v);

	net_rx(n->net, false);
	to_power_on(n);
}

static void vnet_notify(struct vio *v, unsigned i)
{
	struct vnet *n = vnet_of(v);

	switch (i) {
	case NET_Q_RX:
		if (!n->rx_starved)
			return;
		n->rx_starved = false;
		vq_kicks_off(&v->q[NET_Q_RX]);
		net_rx(n->net, true);
		vnet_rx(n);
		return;
	case NET_Q_TX:
		vnet_tx(n);
		return;
	default:
		vnet_ctrl(n);
	}
}

/* Old drivers set their address here (5.1.4.2) */
static void vnet_cfg_write(struct vio *v, unsigned off, const u8 *bytes, unsigned len)
{
	struct vnet *n = vnet_of(v);

	if (off + len > sizeof(n->mac) || vio_has(v, VIO_F_VERSION_1))
		return;
	memcpy(n->mac + off, bytes, len);
	vio_config_set(v, off, bytes, len);
}

static void on_readable(void *arg)
{
	vnet_rx(arg);
}

static void on_writable(void *arg)
{
	struct vnet *n = arg;

	n->tx_blocked = false;
	vnet_tx(n);
}

static void on_link(void *arg)
{
	struct vnet *n = arg;
	u16 bits = link_bits(n);

	/* Switches and servers on the other side may have forgotten where the guest is */
	if (bits && n->v.active && vio_has(&n->v, NET_F_GUEST_ANNOUNCE))
		bits |= NET_S_ANNOUNCE;
	set_status(n, bits);
	vio_config_changed(&n->v);
}

static void vnet_dump(struct vio *v, struct strbuf *out)
{
	struct vnet *n = vnet_of(v);
	const struct net_stats *s;

	if (!n->net)
		return;
	s = net_stats(n->net);
	strbuf_add(out, "  %s, link %s, MAC %02x:%02x:%02x:%02x:%02x:%02x\n", net_info(n->net),
		   net_link(n->net) ? "up" : "down", n->mac0[0], n->mac0[1], n->mac0[2], n->mac0[3],
		   n->mac0[4], n->mac0[5]);
	strbuf_add(out, "  sent %llu frames, %llu bytes, %llu dropped\n",
		   (unsigned long long)s->tx_frames, (unsigned long long)s->tx_bytes,
		   (unsigned long long)(s->tx_dropped + n->tx_bad));
	strbuf_add(out, "  received %llu frames, %llu bytes, %llu dropped\n",
		   (unsigned long long)s->rx_frames, (unsigned long long)s->rx_bytes,
		   (unsigned long long)s->rx_dropped);
}

static const struct vio_class net_vio = {
	.name = "virtio-net",
	.id = 1,
	.pci_legacy_id = 0x1000,
	.pci_class = 2,
	.features = BIT64(NET_F_MAC) | BIT64(NET_F_STATUS) | BIT64(NET_F_MRG_RXBUF) |
		    BIT64(NET_F_CTRL_VQ) | BIT64(NET_F_CTRL_RX) | BIT64(NET_F_CTRL_RX_EXTRA) |
		    BIT64(NET_F_CTRL_MAC_ADDR) | BIT64(NET_F_GUEST_ANNOUNCE),
	.num_queues = NET_NUM_QUEUES,
	.queue_size = QUEUE_SIZE,
	.set_features = vnet_set_features,
	.activate = vnet_activate,
	.deactivate = vnet_deactivate,
	.notify = vnet_notify,
	.cfg_write = vnet_cfg_write,
	.dump = vnet_dump,
};

/* ---- options ---- */

static const struct opt_desc net_opts[] = {
	{ "backend", OPT_STR, NULL, "user, tap, vpnkit, socket or none" },
	{ "mac", OPT_STR, NULL, "the guest's address, aa:bb:cc:dd:ee:ff" },
	{ "mtu", OPT_U64, NULL, "largest packet, told to the guest" },
	{ "offload", OPT_BOOL, "on", "offer checksum and segmentation offload" },
	{ "pcap", OPT_STR, NULL, "file that receives every frame" },
	{ 0 }
};

/* The words of net_opts to *@own, the others, which are the back end's, to *@rest */
static int split_opts(const char *text, bool first_is_name, char **own, char **rest)
{
	size_t n = text ? strlen(text) : 0;
	const char *word, *end;
	bool first = true;
	char *to;

	*own = calloc(1, n + 2);
	*rest = calloc(1, n + 8);
	if (!*own || !*rest)
		return -ENOMEM;
	for (word = text; word; word = *end ? end + 1 : NULL, first = false) {
		bool ours = false;
		size_t key;

		end = word + strcspn(word, ",");
		n = (size_t)(end - word);
		key = MIN(n, strcspn(word, "="));
		for (unsigned i = 0; net_opts[i].name; i++)
			ours |= strlen(net_opts[i].name) == key && !memcmp(net_opts[i].name, word, key);
		/* HyperKit threw the first word of virtio-net away ("vmnet0") and took that of
		 * virtio-tap as the interface */
		if (!ours && first && key == n && !(first_is_name && n))
			continue;
		to = ours ? *own : *rest;
		if (*to)
			strcat(to, ",");
		if (!ours && first && key == n)
			strcat(to, "ifname=");
		strncat(to, word, n);
	}
	return 0;
}

static int parse_mac(const char *text, u8 mac[6], struct hk_err *err)
{
	static const u8 zero[6];
	unsigned b[6];
	int used = 0;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5],
		   &used) != 6 || text[used])
		return err_set(err, -EINVAL, "Invalid MAC address: %s", text);
	for (unsigned i = 0; i < 6; i++)
		mac[i] = (u8)b[i];
	if ((mac[0] & 1) || !memcmp(mac, zero, 6))
		return err_set(err, -EINVAL, "Invalid MAC address: %s", text);
	return 0;
}

/* Nobody said one. 0; -EAGAIN: only chance is left */
static int default_mac(const char *name, const char *kind, const struct vnet_place *at, u8 mac[6])
{
	u8 sum[MD5_BYTES];
	char text[96];

	if (!at->uuid && !strcmp(name, "virtio-tap")) {
		/* HyperKit's, so that a lease or a rule of a firewall stays valid */
		snprintf(text, sizeof(text), "%u-%u-vm", at->slot, at->func);
		md5(text, strlen(text), sum);
		mac[0] = 0x00;
		mac[1] = 0xa0;
		mac[2] = 0x98;
		memcpy(mac + 3, sum, 3);
		return 0;
	}
	/* A guest of user networking is alone; on a cable between VMs two must not be the same */
	if (!at->uuid && !strcmp(kind, "socket"))
		return -EAGAIN;
	snprintf(text, sizeof(text), "%s/%u:%u.%u", at->uuid ? at->uuid : "vm", at->bus, at->slot,
		 at->func);
	for (char *p = text; *p; p++)
		*p = (char)(*p >= 'A' && *p <= 'F' ? *p | 0x20 : *p);
	md5(text, strlen(text), sum);
	mac[0] = 0x02; /* locally administered */
	memcpy(mac + 1, sum, 5);
	return 0;
}

static const char *kind_of(const char *name)
{
	return !strcmp(name, "virtio-net") ? "user" : !strcmp(name, "virtio-tap") ? "tap" :
	       !strcmp(name, "virtio-vpnkit") ? "vpnkit" : NULL;
}

int vnet_mac(const char *name, const char *text, const struct vnet_place *at, u8 mac[6],
	     struct hk_err *err)
{
	const char *kind = kind_of(name);
	char *own = NULL, *rest = NULL;
	struct opts *o = NULL;
	int rc;

	if (!kind)
		return err_set(err, -ENODEV, "%s is no network card", name);
	rc = split_opts(text, !strcmp(kind, "tap"), &own, &rest);
	if (rc)
		err_set(err, rc, "out of memory");
	else
		rc = opts_parse(&o, net_opts, own, err);
	if (rc)
		goto out;
	if (opts_str(o, "backend"))
		kind = opts_str(o, "backend");
	if (!strcmp(kind, "vpnkit"))
		rc = err_set(err, -EAGAIN, "the VPNKit server chooses the address");
	else if (opts_str(o, "mac"))
		rc = parse_mac(opts_str(o, "mac"), mac, err);
	else if ((rc = default_mac(name, kind, at, mac)))
		err_set(err, rc, "without a UUID the address is a random one");
out:
	opts_destroy(o);
	free(own);
	free(rest);
	return rc;
}

static int configure(struct vnet *n, const struct opts *o, const char *rest, const char *kind,
		     struct hk_err *err)
{
	struct dev *d = &n->v.dev;
	const struct net_env env = {
		.loop = d->env->loop, .log = d->env->log, .id = n->name, .uuid = d->env->uuid,
	};
	const struct vnet_place at = {
		.uuid = d->env->uuid, .bus = d->pci_bus, .slot = d->pci_slot, .func = d->pci_func,
	};
	const char *mac = opts_str(o, "mac"), *pcap = opts_str(o, "pcap");
	struct net_config cfg = { .max_pairs = le16_of(1) };
	u64 mtu = opts_u64(o, "mtu");
	int rc;

	if (opts_str(o, "mtu") && (mtu < 68 || mtu > 65535))
		return err_set(err, -EINVAL, "mtu=%llu: want 68 to 65535", (unsigned long long)mtu);
	if (mac) {
		rc = parse_mac(mac, n->mac0, err);
		if (rc)
			return rc;
	}
	rc = net_open(&n->net, kind, rest, &env, err);
	if (!rc && pcap)
		rc = net_pcap(n->net, pcap, err);
	if (rc)
		return rc;
	/* VPNKit's server decides, whatever the option says: it drops other addresses' frames */
	if (!net_mac(n->net, n->mac0) && !mac && default_mac(d->cls->name, kind, &at, n->mac0)) {
		if (getrandom(n->mac0, 6, 0) != 6)
			return err_set(err, -EIO, "no random bytes");
		n->mac0[0] = (u8)((n->mac0[0] & 0xfc) | 2);
	}
	memcpy(n->mac, n->mac0, 6);
	memcpy(cfg.mac, n->mac0, 6);
	cfg.status = le16_of(link_bits(n));
	n->mtu0 = mtu ? (unsigned)mtu : net_mtu(n->net);
	cfg.mtu = le16_of((u16)n->mtu0);
	if (n->mtu0)
		n->v.features |= BIT64(NET_F_MTU);
	if (opts_bool(o, "offload") && net_features(n->net))
		n->v.features |= features_of(net_features(n->net)) |
				 BIT64(NET_F_CTRL_GUEST_OFFLOADS);
	n->v.q[NET_Q_CTRL].max_size = 64;
	return vio_config_init(&n->v, &cfg, sizeof(cfg), err);
}

static int init(struct dev *d, const char *text, struct hk_err *err)
{
	struct vnet *n = vnet_of(vio_of(d));
	char *common = NULL, *own = NULL, *rest = NULL;
	const char *kind = kind_of(d->cls->name);
	bool tap = !strcmp(kind, "tap");
	struct opts *o = NULL;
	int rc;

	snprintf(n->name, sizeof(n->name), "%s %s", d->cls->name, d->id);
	rc = vio_init(&n->v, &net_vio, text, &common, err);
	if (rc)
		goto out;
	rc = split_opts(common, tap, &own, &rest);
	if (rc)
		err_set(err, rc, "out of memory");
	else
		rc = opts_parse(&o, net_opts, own, err);
	if (rc)
		goto out;
	if (opts_str(o, "backend"))
		kind = opts_str(o, "backend");
	else if (tap && !*rest)
		kind = "none"; /* HyperKit's virtio-tap without options: a link without a cable */
	vnet_filter_reset(n);
	timer_init(&n->tx_timer, d->env->loop, vnet_tx_signal, n);
	rc = configure(n, o, rest, kind, err);
	if (rc)
		err_wrap(err, rc, "%s", n->name);
	else
		log_info(d->env->log, "%s: MAC %02x:%02x:%02x:%02x:%02x:%02x, %s", n->name, n->mac0[0],
			 n->mac0[1], n->mac0[2], n->mac0[3], n->mac0[4], n->mac0[5],
			 net_info(n->net));
out:
	opts_destroy(o);
	free(common);
	free(own);
	free(rest);
	return rc;
}

static int start(struct dev *d)
{
	struct vnet *n = vnet_of(vio_of(d));
	const struct net_peer peer = { on_readable, on_writable, on_link, n };
	int rc;

	net_attach(n->net, &peer);
	rc = net_start(n->net);
	if (!rc)
		rc = vio_start(d);
	if (rc)
		net_stop(n->net);
	return rc;
}

static void stop(struct dev *d)
{
	struct vnet *n = vnet_of(vio_of(d));

	vio_stop(d); /* deactivate: no queue is touched from here on */
	net_stop(n->net);
	timer_cancel_sync(&n->tx_timer);
	n->tx_owed = false;
}

static void reset(struct dev *d, enum dev_reset kind)
{
	struct vnet *n = vnet_of(vio_of(d));

	vio_reset(d, kind);
	to_power_on(n);
}

static void fini(struct dev *d)
{
	struct vnet *n = vnet_of(vio_of(d));

	net_close(n->net);
	vio_fini(d);
}

#define NET_CLASS(name_, help_)                                                                \
	{                                                                                      \
		.name = name_, .help = help_, .size = sizeof(struct vnet), .init = init,       \
		.plug = vio_plug, .start = start, .stop = stop, .reset = reset,                \
		.dump = vio_dump, .fini = fini,                                                \
	}

extern const struct dev_class virtio_net_class, virtio_tap_class, virtio_vpnkit_class;
const struct dev_class virtio_net_class =
	NET_CLASS("virtio-net", "network card; user networking unless backend= says otherwise");
const struct dev_class virtio_tap_class =
	NET_CLASS("virtio-tap", "network card on a tap interface of the host");
const struct dev_class virtio_vpnkit_class =
	NET_CLASS("virtio-vpnkit", "network card on a VPNKit server's socket");
