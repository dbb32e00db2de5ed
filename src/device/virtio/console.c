// SPDX-License-Identifier: BSD-2-Clause
/* device/virtio/console.c - virtio-console: consoles and named byte streams (virtio 1.2, 5.3)
 *
 * With one console alone the device is of the simple kind, two queues; with more ports, or a
 * named one, it has the control queues and MULTIPORT. Bytes from the host wait in a small buffer
 * of the port until the driver has given buffers and somebody in the guest has the port open.
 *
 * All [loop]. What is behind a port: console_host.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "base/wire.h"
#include "device/virtio/console_int.h"

#define CON_QUEUE 128u
#define CON_PENDING 128u
#define CON_NAME_BYTES 64u

#define F_SIZE 0
#define F_MULTIPORT 1
#define F_EMERG_WRITE 2

/* 5.3.4 */
enum { CFG_COLS = 0, CFG_ROWS = 2, CFG_MAX_PORTS = 4, CFG_EMERG = 8, CFG_LEN = 12 };
enum { Q_CONTROL_RX = 2, Q_CONTROL_TX = 3 };

/* 5.3.6.2 */
enum con_event {
	EV_DEVICE_READY, EV_PORT_ADD, EV_PORT_REMOVE, EV_PORT_READY, EV_CONSOLE_PORT, EV_RESIZE,
	EV_PORT_OPEN, EV_PORT_NAME,
};
struct con_msg {
	le32 id;
	le16 event, value;
};

struct console {
	struct vio v;
	struct con_port *port[CON_MAX_PORTS];
	unsigned num_ports;	/* (c) */
	bool multi;		/* (c) MULTIPORT is offered */
	bool use_multi;		/* the driver took it */
	struct con_msg pending[CON_PENDING]; /* no buffers for them yet */
	unsigned pending_head, num_pending;
	u64 lost_messages;
	_Atomic u32 size;	/* columns << 16 | rows */
	struct work resized;
};

static struct console *console_of(struct vio *v)
{
	return container_of(v, struct console, v);
}

/* ------------------------------------------------------------ host to guest */

size_t con_port_room(struct con_port *p)
{
	return CON_IN_BYTES - p->in_len;
}

static void port_flush(struct con_port *p)
{
	struct vio *v = &p->con->v;
	unsigned before = p->in_len, part, budget = p->rx->size;
	struct vq_chain *c;
	u32 done;

	if (!v->active || !p->guest_open)
		return;
	while (p->in_len && budget--) {
		c = vq_pop(p->rx);
		if (!c && !vq_kicks_on(p->rx))
			break;
		if (!c)
			continue;
		done = 0;
		while (p->in_len && done < c->in_len) {
			part = MIN(p->in_len, CON_IN_BYTES - p->in_head);
			part = (unsigned)vq_write(c, done, p->in + p->in_head, part);
			p->in_head = (p->in_head + part) % CON_IN_BYTES;
			p->in_len -= part;
			done += part;
		}
		vq_push(p->rx, c, done);
		p->in_bytes += done;
	}
	if (p->in_len && vq_avail(p->rx))
		vio_kick(v, p->rx->index);
	vq_signal(p->rx);
	if (p->in_len < before)
		con_host_room(p);
}

void con_port_input(struct con_port *p, const u8 *bytes, size_t n)
{
	unsigned at, part;

	n = MIN(n, con_port_room(p));
	at = (p->in_head + p->in_len) % CON_IN_BYTES;
	part = (unsigned)MIN(n, CON_IN_BYTES - at);
	memcpy(p->in + at, bytes, part);
	memcpy(p->in, bytes + part, n - part);
	p->in_len += (unsigned)n;
	port_flush(p);
}

/* ------------------------------------------------------------ guest to host */

/* Write what the chain has from tx_off on. Return: all of it is out */
static bool chain_write(struct con_port *p)
{
	u8 buf[1024];
	size_t n, took;

	while ((n = vq_read(p->tx_chain, p->tx_off, buf, sizeof(buf)))) {
		took = con_host_write(p, buf, n);
		p->tx_off += (u32)took;
		p->out_bytes += took;
		if (took < n)
			return false;
	}
	return true;
}

static void port_send(struct con_port *p)
{
	unsigned budget = p->tx->size;

	if (!p->con->v.active)
		return;
	vq_kicks_off(p->tx);
	for (;;) {
		if (!p->tx_chain && budget && (p->tx_chain = vq_pop(p->tx))) {
			p->tx_off = 0;
			budget--;
		}
		if (!p->tx_chain || !chain_write(p))
			break;
		vq_push(p->tx, p->tx_chain, 0);
		p->tx_chain = NULL;
	}
	/* While the host takes nothing, kicks would change nothing */
	if (!p->tx_chain && vq_kicks_on(p->tx))
		vio_kick(&p->con->v, p->tx->index);
	vq_signal(p->tx);
}

void con_port_writable(struct con_port *p)
{
	port_send(p);
}

/* -------------------------------------------------------- control messages */

static u32 message_write(struct console *con, struct vq_chain *c, const struct con_msg *m)
{
	u32 id = le32_get(m->id), n = (u32)vq_write(c, 0, m, sizeof(*m));
	u32 size = atomic_load(&con->size);
	const struct con_port *p = id < con->num_ports ? con->port[id] : NULL;
	le16 dim[2];

	switch (le16_get(m->event)) {
	case EV_PORT_NAME:
		if (p && p->name)
			n += (u32)vq_write(c, n, p->name, strlen(p->name));
		break;
	case EV_RESIZE:
		/* Columns first, as the specification has it. Linux had them the other way round
		 * for years; those of Debian 12 and later are right. */
		dim[0] = le16_of((u16)(size >> 16));
		dim[1] = le16_of((u16)size);
		n += (u32)vq_write(c, n, dim, sizeof(dim));
		break;
	}
	return n;
}

static void messages_flush(struct console *con)
{
	struct vq *q = &con->v.q[Q_CONTROL_RX];
	struct vq_chain *c;

	if (!con->v.active || !con->use_multi)
		return;
	while (con->num_pending) {
		c = vq_pop(q);
		if (!c && !vq_kicks_on(q))
			break;
		if (!c)
			continue;
		vq_push(q, c, message_write(con, c, &con->pending[con->pending_head]));
		con->pending_head = (con->pending_head + 1) % CON_PENDING;
		con->num_pending--;
	}
	vq_signal(q);
}

static void message(struct con_port *p, enum con_event event, u16 value)
{
	struct console *con = p->con;

	if (!con->use_multi)
		return;
	if (con->num_pending == CON_PENDING) {
		con->lost_messages++; /* a driver that asks but does not listen */
		return;
	}
	con->pending[(con->pending_head + con->num_pending++) % CON_PENDING] = (struct con_msg){
		le32_of(p->id), le16_of(event), le16_of(value) };
	messages_flush(con);
}

void con_port_opened(struct con_port *p, bool open)
{
	p->host_open = open;
	if (p->guest_ready)
		message(p, EV_PORT_OPEN, open);
}

static void port_ready(struct con_port *p)
{
	p->guest_ready = true;
	if (p->is_console) {
		message(p, EV_CONSOLE_PORT, 1);
		message(p, EV_RESIZE, 0);
	}
	if (p->name)
		message(p, EV_PORT_NAME, 1);
	if (p->host_open)
		message(p, EV_PORT_OPEN, 1);
}

static void heard(struct console *con, const struct con_msg *m)
{
	u32 id = le32_get(m->id);
	bool on = le16_get(m->value);
	struct con_port *p;

	if (le16_get(m->event) == EV_DEVICE_READY) {
		for (unsigned i = 0; on && i < con->num_ports; i++)
			message(con->port[i], EV_PORT_ADD, 1);
		return;
	}
	if (id >= con->num_ports)
		return;
	p = con->port[id];
	switch (le16_get(m->event)) {
	case EV_PORT_READY:
		if (on)
			port_ready(p);
		break;
	case EV_PORT_OPEN:
		p->guest_open = on;
		port_flush(p);
		break;
	}
}

static void control_notify(struct console *con, struct vq *q)
{
	unsigned budget = q->size;
	struct vq_chain *c;
	struct con_msg m;

	while (budget-- && (c = vq_pop(q))) {
		bool whole = vq_read(c, 0, &m, sizeof(m)) == sizeof(m);

		vq_push(q, c, 0);
		if (whole)
			heard(con, &m);
	}
	if (vq_kicks_on(q))
		vio_kick(&con->v, q->index);
	vq_signal(q);
}

/* ------------------------------------------------------------------ the device */

static void console_notify(struct vio *v, unsigned i)
{
	struct console *con = console_of(v);
	unsigned port;

	if (con->multi && i == Q_CONTROL_RX) {
		messages_flush(con);
	} else if (con->multi && i == Q_CONTROL_TX) {
		control_notify(con, &v->q[i]);
	} else {
		port = i < 2 ? 0 : i / 2 - 1;
		if (i & 1)
			port_send(con->port[port]);
		else
			port_flush(con->port[port]);
	}
}

static void console_activate(struct vio *v)
{
	struct console *con = console_of(v);

	con->use_multi = vio_has(v, F_MULTIPORT);
	if (con->use_multi)
		return;
	con->port[0]->guest_ready = con->port[0]->guest_open = true;
	vio_config_changed(v); /* Linux looks at the size when it is told of a change, not before */
}

static void console_deactivate(struct vio *v)
{
	struct console *con = console_of(v);

	con->num_pending = 0;
	con->use_multi = false;
	for (unsigned i = 0; i < con->num_ports; i++) {
		con->port[i]->tx_chain = NULL;
		con->port[i]->guest_ready = con->port[i]->guest_open = false;
	}
}

/* 5.3.4: one byte at a time, before there are queues */
static void console_cfg_write(struct vio *v, unsigned off, const u8 *bytes, unsigned len)
{
	if (off == CFG_EMERG)
		con_host_write(console_of(v)->port[0], bytes, 1);
}

static void resized(void *arg)
{
	struct console *con = arg;
	u32 size = atomic_load(&con->size);
	le16 dim[2] = { le16_of((u16)(size >> 16)), le16_of((u16)size) };

	vio_config_set(&con->v, CFG_COLS, dim, sizeof(dim));
	if (!con->use_multi) {
		vio_config_changed(&con->v);
		return;
	}
	for (unsigned i = 0; i < con->num_ports; i++) {
		if (!con->port[i]->is_console)
			continue;
		if (con->port[i]->guest_ready)
			message(con->port[i], EV_RESIZE, 0);
		break;
	}
}

static int console_control(struct dev *d, enum dev_control what, void *arg)
{
	struct console *con = console_of(vio_of(d));
	const u16 *size = arg;

	if (what != DEV_CONSOLE_SIZE)
		return -ENOTSUP;
	atomic_store(&con->size, (u32)size[0] << 16 | size[1]);
	work_post(&con->resized);
	return 0;
}

static void console_dump(struct vio *v, struct strbuf *out)
{
	struct console *con = console_of(v);

	for (unsigned i = 0; i < con->num_ports; i++) {
		const struct con_port *p = con->port[i];

		strbuf_add(out, "  port %u %s%s%s:%s%s%s in %llu out %llu lost %llu\n", i,
			   p->is_console ? "console" : "port", p->name ? " " : "",
			   p->name ? p->name : "", p->guest_ready ? " ready" : "",
			   p->guest_open ? " guest-open" : "", p->host_open ? " host-open" : "",
			   (unsigned long long)p->in_bytes, (unsigned long long)p->out_bytes,
			   (unsigned long long)p->lost_bytes);
	}
}

static const struct vio_class console_vio = {
	.name = "virtio-console",
	.id = 3,
	.pci_legacy_id = 0x1003,
	.pci_class = 0x07,
	.pci_subclass = 0x80,
	.features = BIT64(F_SIZE) | BIT64(F_EMERG_WRITE),
	.num_queues = 2,
	.queue_size = CON_QUEUE,
	.activate = console_activate,
	.deactivate = console_deactivate,
	.notify = console_notify,
	.cfg_write = console_cfg_write,
	.dump = console_dump,
};

/* --------------------------------------------------------------------- set-up */

static int port_new(struct console *con, bool is_console, const char *name, struct hk_err *err)
{
	struct con_port *p;

	if (con->num_ports == CON_MAX_PORTS)
		return err_set(err, -EINVAL, "more than %u ports", CON_MAX_PORTS);
	if (name && (!*name || strlen(name) > CON_NAME_BYTES))
		return err_set(err, -EINVAL, "a port's name has 1 to %u characters", CON_NAME_BYTES);
	p = calloc(1, sizeof(*p));
	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	p->con = con;
	p->id = con->num_ports;
	p->is_console = is_console;
	con->port[con->num_ports++] = p;
	if (name)
		p->name = strdup(name);
	return name && !p->name ? err_set(err, -ENOMEM, "out of memory") : 0;
}

/* Several words may describe one host side: "autopty,log=FILE" */
static int spec_add(struct con_port *p, const char *word, struct hk_err *err)
{
	size_t have = p->spec ? strlen(p->spec) + 1 : 0;
	char *s = realloc(p->spec, have + strlen(word) + 1);

	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	if (have)
		s[have - 1] = ',';
	memcpy(s + have, word, strlen(word) + 1);
	p->spec = s;
	return 0;
}

/* "[HOST][,console[=NAME][,HOST]...][,port=NAME[,HOST]...]" */
static int parse(struct console *con, char *text, struct hk_err *err)
{
	char *word, *save = NULL;
	int rc = 0;

	for (word = text ? strtok_r(text, ",", &save) : NULL; word && !rc;
	     word = strtok_r(NULL, ",", &save)) {
		if (!strcmp(word, "console"))
			rc = port_new(con, true, NULL, err);
		else if (!strncmp(word, "console=", 8))
			rc = port_new(con, true, word + 8, err);
		else if (!strncmp(word, "port=", 5))
			rc = port_new(con, false, word + 5, err);
		else if (!con->num_ports && (rc = port_new(con, true, NULL, err)))
			break;
		else
			rc = spec_add(con->port[con->num_ports - 1], word, err);
	}
	return rc || con->num_ports ? rc : port_new(con, true, NULL, err);
}

static int configure(struct console *con, struct hk_err *err)
{
	u8 config[CFG_LEN] = { 0 };
	int rc = 0;

	con->multi = con->num_ports > 1 || !con->port[0]->is_console || con->port[0]->name;
	if (con->multi) {
		con->v.features |= BIT64(F_MULTIPORT);
		rc = vio_set_queues(&con->v, 2 * con->num_ports + 2, err);
	}
	for (unsigned i = 0; i < con->num_ports && !rc; i++) {
		struct con_port *p = con->port[i];
		unsigned q = i ? 2 * i + 2 : 0;

		p->rx = &con->v.q[q];
		p->tx = &con->v.q[q + 1];
		rc = con_host_open(p, con->v.dev.env->loop, con->v.dev.env->log, err);
	}
	if (rc)
		return rc;
	atomic_store(&con->size, 80u << 16 | 25u);
	store_le16(config + CFG_COLS, 80);
	store_le16(config + CFG_ROWS, 25);
	store_le32(config + CFG_MAX_PORTS, con->num_ports);
	return vio_config_init(&con->v, config, sizeof(config), err);
}

static int console_init(struct dev *d, const char *text, struct hk_err *err)
{
	struct console *con = console_of(vio_of(d));
	char *rest;
	int rc = vio_init(&con->v, &console_vio, text, &rest, err);

	if (rc)
		return rc;
	work_init(&con->resized, d->env->loop, resized, con);
	rc = parse(con, rest, err);
	free(rest);
	if (!rc)
		rc = configure(con, err);
	return rc ? err_wrap(err, rc, "virtio-console") : 0;
}

static int console_start(struct dev *d)
{
	struct console *con = console_of(vio_of(d));
	int rc = vio_start(d);

	for (unsigned i = 0; i < con->num_ports && !rc; i++)
		rc = con_host_start(con->port[i]);
	return rc;
}

static void console_stop(struct dev *d)
{
	struct console *con = console_of(vio_of(d));

	vio_stop(d);
	for (unsigned i = 0; i < con->num_ports; i++)
		con_host_stop(con->port[i]);
}

static void console_fini(struct dev *d)
{
	struct console *con = console_of(vio_of(d));

	vio_stop(d);
	work_cancel_sync(&con->resized);
	for (unsigned i = 0; i < con->num_ports; i++) {
		con_host_close(con->port[i]);
		free(con->port[i]->name);
		free(con->port[i]->spec);
		free(con->port[i]);
	}
	con->num_ports = 0;
	vio_fini(d);
}

extern const struct dev_class virtio_console_class;
const struct dev_class virtio_console_class = {
	.name = "virtio-console",
	.help = "consoles and byte streams: [HOST][,console[=NAME],HOST][,port=NAME,HOST]...",
	.size = sizeof(struct console),
	.init = console_init,
	.plug = vio_plug,
	.start = console_start,
	.stop = console_stop,
	.reset = vio_reset,
	.dump = vio_dump,
	.control = console_control,
	.fini = console_fini,
};
