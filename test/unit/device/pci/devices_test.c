// SPDX-License-Identifier: BSD-2-Clause
/* The plain PCI devices: host bridges, ISA bridge, test device, serial port */
#include "unit/device/pci/rig.h"

#include <errno.h>

#include "backend/char/chr.h"
#include "device/pci/lpc.h"

static struct dev *put(struct pci_rig *r, const char *name, unsigned bus, unsigned slot,
		       const char *opts)
{
	const struct dev_class *cls = dev_class_find(name);
	struct dev *d;

	assert_non_null(cls);
	d = calloc(1, cls->size);
	assert_non_null(d);
	d->cls = cls;
	d->env = &r->b->env;
	snprintf(d->id, sizeof(d->id), "%u:%u.0", bus, slot);
	d->pci_bus = bus;
	d->pci_slot = slot;
	if (cls->init)
		assert_int_equal(cls->init(d, opts, NULL), 0);
	return d;
}

static void every_device_says_what_it_is(void **state)
{
	static const struct { const char *name; u32 id, class; } want[] = {
		{ "hostbridge", 0x12751275, 0x0600 }, { "amd_hostbridge", 0x74321022, 0x0600 },
		{ "lpc", 0x70008086, 0x0601 },	      { "uart", 0x2000131f, 0x0700 },
		{ "dummy", 0x000110dd, 0x0200 },
	};
	struct pci_rig *r = *state;
	struct dev *d[ARRAY_LEN(want)];
	unsigned i;

	for (i = 0; i < ARRAY_LEN(want); i++) {
		d[i] = put(r, want[i].name, 0, i, NULL);
		dev_up(d[i]);
		assert_int_equal(cfg_rd(r, i, 0, 0, 4), want[i].id);
		assert_int_equal(cfg_rd(r, i, 0, 10, 2), want[i].class);
	}
	assert_int_equal(pci_lpc_slot(r->bus), 2);
	for (i = 0; i < ARRAY_LEN(want); i++) {
		if (d[i]->cls->reset)
			d[i]->cls->reset(d[i], DEV_RESET_POWER_ON);
		dev_down(d[i]);
	}
	assert_int_equal(pci_lpc_slot(r->bus), -1);
}

static void unknown_names_are_not_found(void **state)
{
	const struct dev_class *const *c;
	const char *const *p;

	assert_null(dev_class_find("floppy"));
	assert_null(dev_class_find(""));
	for (p = dev_planned; *p; p++)
		assert_null(dev_class_find(*p));
	for (c = dev_registry; *c; c++) {
		assert_ptr_equal(dev_class_find((*c)->name), *c);
		assert_non_null((*c)->help);
		assert_true((*c)->size >= sizeof(struct dev));
	}
}

static void host_bridge_has_the_express_capability(void **state)
{
	struct pci_rig *r = *state;
	struct dev *d = put(r, "hostbridge", 0, 0, NULL);
	unsigned c;

	dev_up(d);
	c = cap_find(r, 0, 0x10);
	assert_true(c);
	assert_int_equal(cfg_rd(r, 0, 0, c + 2, 2), 0x42);
	assert_int_equal(cfg_rd(r, 0, 0, c + 12, 4), 0x411);
	assert_int_equal(cfg_rd(r, 0, 0, c + 18, 2), 0x11);
	dev_down(d);
}

static void lpc_holds_the_router_registers(void **state)
{
	struct pci_rig *r = *state;
	struct dev *d = put(r, "lpc", 0, 31, NULL);

	dev_up(d);
	assert_int_equal(cfg_rd(r, 31, 0, 0x60, 4), 0x80808080);
	assert_int_equal(cfg_rd(r, 31, 0, 0x68, 4), 0x80808080);
	cfg_wr(r, 31, 0, 0x61, 0x0b, 1);
	cfg_wr(r, 31, 0, 0x6a, 0x0a09, 2);
	assert_int_equal(cfg_rd(r, 31, 0, 0x60, 4), 0x80800b80);
	assert_int_equal(cfg_rd(r, 31, 0, 0x68, 4), 0x0a098080);
	assert_int_equal(pci_pirq_read(r->bus, 1), 0x0b);
	assert_int_equal(pci_pirq_read(r->bus, 7), 0x0a);
	dev_down(d);
}

static void lpc_is_alone_and_on_bus_0(void **state)
{
	struct pci_rig *r = *state;
	struct dev *d = put(r, "lpc", 0, 31, NULL), *second = put(r, "lpc", 0, 30, NULL);
	struct dev *far = put(r, "lpc", 1, 30, NULL);
	struct hk_err err;

	assert_int_equal(far->cls->plug(far, &err), -EINVAL);
	assert_non_null(strstr(err.text, "bus 0"));
	dev_up(d);
	assert_int_equal(second->cls->plug(second, &err), -EBUSY);
	dev_down(second);
	dev_down(far);
	dev_down(d);
}

/* What a guest writes to a port comes out of the chr, what is typed raises the port's
 * interrupt, and ports without a chr discard */
struct sink {
	char text[64];
	size_t n;
};

static void sink_put(void *arg, const uint8_t *bytes, size_t n)
{
	struct sink *s = arg;

	assert_true(s->n + n < sizeof(s->text));
	memcpy(s->text + s->n, bytes, n);
	s->n += n;
}

static void com_ports_talk_to_their_chr(void **state)
{
	struct hk_serial_config cfg = HK_SERIAL_CONFIG_INIT;
	struct pci_rig *r = *state;
	struct dev *d = put(r, "lpc", 0, 31, NULL);
	struct sink s = { 0 };
	struct chr *chr;
	const char *c;

	cfg.output = sink_put;
	cfg.output_arg = &s;
	assert_int_equal(chr_open(&chr, &cfg, r->b->loop, NULL, NULL), 0);
	lpc_set_chr(d, 1, chr);
	dev_up(d);
	for (c = "hello\n"; *c; c++)
		outb(r->b, 0x3f8, (u8)*c);
	outb(r->b, 0x2f8, 'x');
	assert_string_equal(s.text, "hello\n");

	outb(r->b, 0x3fa, 1);
	outb(r->b, 0x3f9, 1);
	assert_int_equal(chr_feed(chr, (const u8 *)"ok", 2), 2);
	leap(r->b, 1000);
	assert_int_equal(r->b->isa[4].level, 1);
	assert_int_equal(inb(r->b, 0x3fd) & 1, 1);
	/* a 2-byte access is two registers */
	assert_int_equal(in(r->b, 0x3f8, 2) & 0xff, 'o');
	assert_int_equal(inb(r->b, 0x3f8), 'k');
	assert_int_equal(r->b->isa[4].level, 0);
	dev_down(d);
	chr_close(chr);
}

static void a_link_and_a_com_port_may_share_an_isa_interrupt(void **state)
{
	static const struct pci_fn_class intx_cls = { .vendor = 1, .device = 1, .intx = true };
	struct pci_rig *r = *state;
	struct dev *d = put(r, "lpc", 0, 31, NULL);
	static struct toy t;

	dev_up(d);
	toy_add(r, &t, &intx_cls, 3, 0);
	pci_route_intx(r->bus);
	cfg_wr(r, 31, 0, 0x60, 4, 1);
	pci_intx_set(&t.fn, 1);
	outb(r->b, 0x3f9, 2); /* transmitter empty */
	assert_int_equal(r->b->isa[4].level, 1);
	pci_intx_set(&t.fn, 0);
	assert_int_equal(r->b->isa[4].level, 1);
	assert_int_equal(inb(r->b, 0x3fa) & 0xf, 2);
	assert_int_equal(r->b->isa[4].level, 0);
	pci_fn_remove(&t.fn);
	dev_down(d);
}

static void pci_uart_interrupts_by_its_pin(void **state)
{
	struct pci_rig *r = *state;
	struct dev *d = put(r, "uart", 0, 5, NULL);

	dev_up(d);
	pci_route_intx(r->bus);
	outb(r->b, 0x2001, 2);
	assert_int_equal(r->b->gsi[16].level, 1);
	assert_int_equal(inb(r->b, 0x2002) & 0xf, 2);
	assert_int_equal(r->b->gsi[16].level, 0);
	outb(r->b, 0x2001, 0);
	outb(r->b, 0x2001, 2);
	dev_down(d);
	assert_int_equal(r->b->gsi[16].level, 0);
}

static void pci_uart_refuses_a_file_that_is_no_terminal(void **state)
{
	struct pci_rig *r = *state;
	const struct dev_class *cls = dev_class_find("uart");
	struct dev *d = calloc(1, cls->size);
	struct hk_err err;

	d->cls = cls;
	d->env = &r->b->env;
	assert_int_equal(cls->init(d, "/etc/passwd", &err), -ENOTTY);
	assert_non_null(strstr(err.text, "/etc/passwd"));
	dev_down(d);
}

static void dummy_rings_its_messages(void **state)
{
	struct pci_rig *r = *state;
	struct dev *d = put(r, "dummy", 0, 5, NULL);
	unsigned c, i;

	dev_up(d);
	c = cap_find(r, 5, 0x05);
	cfg_wr(r, 5, 0, c + 4, 0xfee00000, 4);
	cfg_wr(r, 5, 0, c + 12, 0x60, 2);
	cfg_wr(r, 5, 0, c + 2, 0x21, 2);
	out(r->b, 0x2004, 6, 4);
	assert_int_equal(r->b->num_msi, 1);
	assert_int_equal(r->b->msi[0].data, 0x62);
	out(r->b, 0x2004, 0xabcdef, 4);
	assert_int_equal(r->b->num_msi, 5);
	for (i = 0; i < 4; i++)
		assert_int_equal(r->b->msi[1 + i].data, 0x60 + i);
	outb(r->b, 0x2004, 1);
	assert_int_equal(r->b->num_msi, 5);
	mem_wr(r, 0xc0001ff8, 0x1122334455667788, 8);
	assert_int_equal(mem_rd(r, 0xc0001ffc, 2), 0x3344);
	dev_down(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(every_device_says_what_it_is),
		RIG_TEST(unknown_names_are_not_found),
		RIG_TEST(host_bridge_has_the_express_capability),
		RIG_TEST(lpc_holds_the_router_registers),
		RIG_TEST(lpc_is_alone_and_on_bus_0),
		RIG_TEST(com_ports_talk_to_their_chr),
		RIG_TEST(a_link_and_a_com_port_may_share_an_isa_interrupt),
		RIG_TEST(pci_uart_interrupts_by_its_pin),
		RIG_TEST(pci_uart_refuses_a_file_that_is_no_terminal),
		RIG_TEST(dummy_rings_its_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
