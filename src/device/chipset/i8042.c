// SPDX-License-Identifier: BSD-2-Clause
/* device/chipset/i8042.c - Keyboard controller with nothing plugged in
 *
 * Intel 8042 as in the IBM PC/AT technical reference; port 0x92 as in PS/2. It is
 * here for its reset line, and answers the commands with which kernels look for
 * keyboards, since each that gets no answer costs them half a second. Idle it
 * reads 0x04 (status) and 0 (data). vCPUs only; one lock. */
#include <pthread.h>

#include "base/strbuf.h"
#include "device/chipset/chipset.h"

#define STATUS_FULL BIT(0) /* an answer waits at 0x60 */
#define STATUS_SYSTEM BIT(2)
#define OUT_NO_RESET BIT(0) /* output port: 0 resets the machine */
#define OUT_A20 BIT(1)
#define PORT92_RESET BIT(0)

struct i8042 {
	struct dev dev;
	pthread_mutex_t lock;
	struct region data, command, port92;
	bool mapped[3];
	u8 config;
	u8 answer;
	bool full;
	u8 pending; /* command that waits for its byte at 0x60; 0 = none */
};

static void request_reset(struct i8042 *k)
{
	const struct dev_env *env = k->dev.env;

	if (env->request_exit)
		env->request_exit(env->m, HK_EXIT_RESET, 0);
}

static void answer_locked(struct i8042 *k, u8 val)
{
	k->answer = val;
	k->full = true;
}

/* Return: was that a reset? */
static bool run_command_locked(struct i8042 *k, u8 cmd)
{
	k->pending = 0;
	switch (cmd) {
	case 0x20: /* read configuration byte */
		answer_locked(k, k->config);
		break;
	case 0xa9: /* test the mouse port: there is none */
		answer_locked(k, 0x01);
		break;
	case 0xaa: /* self test */
		answer_locked(k, 0x55);
		break;
	case 0xab: /* test the keyboard port */
		answer_locked(k, 0x00);
		break;
	case 0xc0: /* read input port: keyboard not locked */
		answer_locked(k, 0x80);
		break;
	case 0xd0: /* read output port */
		answer_locked(k, OUT_NO_RESET | OUT_A20);
		break;
	case 0x60: /* write configuration byte */
	case 0xd1: /* write output port */
	case 0xd2: /* byte as if from the keyboard */
	case 0xd3: /* byte as if from the mouse */
	case 0xd4: /* byte to the mouse */
		k->pending = cmd;
		break;
	case 0xa7 ... 0xa8: /* mouse off and on */
	case 0xad ... 0xae: /* keyboard off and on */
		break;
	default:
		/* Pulse the output port bits that are 0; bit 0 resets */
		return cmd >= 0xf0 && !(cmd & OUT_NO_RESET);
	}
	return false;
}

static bool write_data_locked(struct i8042 *k, u8 val)
{
	u8 cmd = k->pending;

	k->pending = 0;
	switch (cmd) {
	case 0x60:
		k->config = val;
		break;
	case 0xd1:
		return !(val & OUT_NO_RESET);
	case 0xd2:
		answer_locked(k, val);
		break;
	case 0xd3: /* a controller without mouse port does not give the byte back */
		answer_locked(k, 0xff);
		break;
	default: /* for a keyboard or mouse: nobody hears it */
		break;
	}
	return false;
}

static u64 data_read(void *opaque, u64 off, unsigned size)
{
	struct i8042 *k = opaque;
	u8 val;

	pthread_mutex_lock(&k->lock);
	val = k->full ? k->answer : 0;
	k->full = false;
	pthread_mutex_unlock(&k->lock);
	return val;
}

static void data_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct i8042 *k = opaque;
	bool reset;

	pthread_mutex_lock(&k->lock);
	reset = write_data_locked(k, (u8)val);
	pthread_mutex_unlock(&k->lock);
	if (reset)
		request_reset(k);
}

static u64 status_read(void *opaque, u64 off, unsigned size)
{
	struct i8042 *k = opaque;
	u8 val;

	pthread_mutex_lock(&k->lock);
	val = STATUS_SYSTEM | (k->full ? STATUS_FULL : 0);
	pthread_mutex_unlock(&k->lock);
	return val;
}

static void command_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct i8042 *k = opaque;
	bool reset;

	pthread_mutex_lock(&k->lock);
	reset = run_command_locked(k, (u8)val);
	pthread_mutex_unlock(&k->lock);
	if (reset)
		request_reset(k);
}

/* System control port A: fast A20 (always on) and fast reset */
static u64 port92_read(void *opaque, u64 off, unsigned size) { return OUT_A20; }

static void port92_write(void *opaque, u64 off, u64 val, unsigned size)
{
	if (val & PORT92_RESET)
		request_reset(opaque);
}

static const struct region_ops data_ops = {
	.read = data_read, .write = data_write, .min = 1, .max = 1,
};
static const struct region_ops command_ops = {
	.read = status_read, .write = command_write, .min = 1, .max = 1,
};
static const struct region_ops port92_ops = {
	.read = port92_read, .write = port92_write, .min = 1, .max = 1,
};

static void i8042_reset(struct dev *d, enum dev_reset kind)
{
	struct i8042 *k = container_of(d, struct i8042, dev);

	pthread_mutex_lock(&k->lock);
	k->config = BIT(2) | BIT(4) | BIT(5); /* system flag; keyboard and mouse off */
	k->full = false;
	k->pending = 0;
	pthread_mutex_unlock(&k->lock);
}

static int i8042_init(struct dev *d, const char *opts, struct hk_err *err)
{
	pthread_mutex_init(&container_of(d, struct i8042, dev)->lock, NULL);
	i8042_reset(d, DEV_RESET_POWER_ON);
	return 0;
}

static int i8042_plug(struct dev *d, struct hk_err *err)
{
	struct i8042 *k = container_of(d, struct i8042, dev);
	struct region *r[3] = { &k->data, &k->command, &k->port92 };
	static const u16 base[3] = { 0x60, 0x64, 0x92 };

	k->data = (struct region){ .name = "i8042-data", .size = 1, .ops = &data_ops };
	k->command = (struct region){ .name = "i8042-command", .size = 1, .ops = &command_ops };
	k->port92 = (struct region){ .name = "port92", .size = 1, .ops = &port92_ops };
	for (unsigned i = 0; i < ARRAY_LEN(r); i++) {
		int rc;

		r[i]->opaque = k;
		rc = bus_map(d->env->pio_bus, r[i], base[i], err);
		if (rc)
			return rc;
		k->mapped[i] = true;
	}
	return 0;
}

static void i8042_dump(struct dev *d, struct strbuf *out)
{
	struct i8042 *k = container_of(d, struct i8042, dev);

	pthread_mutex_lock(&k->lock);
	strbuf_add(out, "i8042: config %02x answer %02x%s pending %02x\n", k->config, k->answer,
		   k->full ? " waits" : "", k->pending);
	pthread_mutex_unlock(&k->lock);
}

static void i8042_fini(struct dev *d)
{
	struct i8042 *k = container_of(d, struct i8042, dev);
	struct region *r[3] = { &k->data, &k->command, &k->port92 };

	for (unsigned i = 0; i < ARRAY_LEN(r); i++)
		if (k->mapped[i])
			bus_unmap(d->env->pio_bus, r[i]);
	pthread_mutex_destroy(&k->lock);
}

const struct dev_class i8042_class = {
	.name = "i8042",
	.help = "keyboard controller without keyboard",
	.size = sizeof(struct i8042),
	.init = i8042_init,
	.plug = i8042_plug,
	.reset = i8042_reset,
	.dump = i8042_dump,
	.fini = i8042_fini,
};
