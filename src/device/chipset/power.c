// SPDX-License-Identifier: BSD-2-Clause
/* device/chipset/power.c - ACPI power management registers
 *
 * ACPI 5.0 4.8.3 (PM1 event and control), 4.8.2.3 (SMI command). The button is
 * pressed by any thread; one lock, held while the SCI (IRQ 9, level) is set.
 * The reset control register 0xCF9 lies inside the PCI address register and is
 * answered by device/pci/host.c.
 *
 * There is no SMM: writing the FADT's values to the SMI command port switches at
 * once. Of the sleep states S5 exists, with SLP_TYP 5. */
#include <pthread.h>

#include "base/strbuf.h"
#include "device/chipset/chipset.h"

#define PM1_PORT 0x400
#define SMI_PORT 0xb2
#define ACPI_ENABLE 0xa0
#define ACPI_DISABLE 0xa1

/* Same bits in status and enable */
#define PM1_TMR BIT(0)
#define PM1_GBL BIT(5)
#define PM1_PWRBTN BIT(8)
#define PM1_SLPBTN BIT(9)
#define PM1_RTC BIT(10)
/* All can be enabled, as a kernel complains if one cannot; only the button happens */
#define PM1_EVENTS (PM1_TMR | PM1_GBL | PM1_PWRBTN | PM1_SLPBTN | PM1_RTC)

#define CNT_SCI_EN BIT(0)
#define CNT_KEPT (BIT(1) | 7u << 10) /* BM_RLD, SLP_TYP */
#define CNT_SLP_EN BIT(13)
#define SLP_TYP(cnt) ((cnt) >> 10 & 7)
#define SLP_TYP_S5 5

struct power {
	struct dev dev;
	pthread_mutex_t lock;
	struct region pm1, smi;
	bool mapped[2];
	u16 status, enable, control;
	bool sci;
	u8 smi_cmd[2];
};

static void update_sci_locked(struct power *p)
{
	bool sci = (p->control & CNT_SCI_EN) && (p->status & p->enable & PM1_EVENTS);

	if (sci == p->sci)
		return;
	p->sci = sci;
	irq_set(&p->dev.env->isa_irq[9], sci);
}

static u64 pm1_read(void *opaque, u64 off, unsigned size)
{
	struct power *p = opaque;
	u16 reg;

	pthread_mutex_lock(&p->lock);
	reg = off < 2 ? p->status : off < 4 ? p->enable : p->control;
	pthread_mutex_unlock(&p->lock);
	return off & 1 ? reg >> 8 : reg & 0xff;
}

/* A byte of PM1_CNT. Return: did it ask for S5? */
static bool write_control_locked(struct power *p, u16 val, u16 mask)
{
	u16 kept = mask & CNT_KEPT;

	/* SCI_EN belongs to the platform: only the SMI command changes it */
	p->control = (p->control & ~kept) | (val & kept);
	return (val & mask & CNT_SLP_EN) && SLP_TYP(p->control) == SLP_TYP_S5;
}

/* Byte by byte: the fields of a command (SLP_TYP with SLP_EN) share a byte */
static void pm1_write(void *opaque, u64 off, u64 byte, unsigned size)
{
	struct power *p = opaque;
	const struct dev_env *env = p->dev.env;
	u16 shift = off & 1 ? 8 : 0, mask = (u16)(0xff << shift), val = (u16)(byte << shift);
	bool power_off = false;

	pthread_mutex_lock(&p->lock);
	if (off < 2)
		p->status &= ~val; /* write 1 to clear */
	else if (off < 4)
		p->enable = (p->enable & ~mask) | (val & mask & PM1_EVENTS);
	else
		power_off = write_control_locked(p, val, mask);
	update_sci_locked(p);
	pthread_mutex_unlock(&p->lock);
	if (power_off && env->request_exit)
		env->request_exit(env->m, HK_EXIT_POWEROFF, 0);
}

static u64 smi_read(void *opaque, u64 off, unsigned size)
{
	struct power *p = opaque;
	u8 val;

	pthread_mutex_lock(&p->lock);
	val = p->smi_cmd[off & 1];
	pthread_mutex_unlock(&p->lock);
	return val;
}

static void smi_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct power *p = opaque;
	const struct dev_env *env = p->dev.env;
	bool on = val == ACPI_ENABLE, changed = false;

	pthread_mutex_lock(&p->lock);
	p->smi_cmd[off & 1] = (u8)val;
	if (off == 0 && (on || val == ACPI_DISABLE)) {
		changed = on != !!(p->control & CNT_SCI_EN);
		p->control = on ? p->control | CNT_SCI_EN : p->control & ~CNT_SCI_EN;
		update_sci_locked(p);
	}
	pthread_mutex_unlock(&p->lock);
	if (changed && env->acpi_enabled)
		env->acpi_enabled(env->m, on);
}

static const struct region_ops pm1_ops = {
	.read = pm1_read, .write = pm1_write, .min = 1, .max = 1,
};
static const struct region_ops smi_ops = {
	.read = smi_read, .write = smi_write, .min = 1, .max = 1,
};

void power_button(struct dev *d)
{
	struct power *p = container_of(d, struct power, dev);

	pthread_mutex_lock(&p->lock);
	p->status |= PM1_PWRBTN;
	update_sci_locked(p);
	pthread_mutex_unlock(&p->lock);
}

bool power_acpi_on(struct dev *d)
{
	struct power *p = container_of(d, struct power, dev);
	bool on;

	pthread_mutex_lock(&p->lock);
	on = p->control & CNT_SCI_EN;
	pthread_mutex_unlock(&p->lock);
	return on;
}

static void power_reset(struct dev *d, enum dev_reset kind)
{
	struct power *p = container_of(d, struct power, dev);

	pthread_mutex_lock(&p->lock);
	p->status = p->enable = p->control = 0;
	p->smi_cmd[0] = p->smi_cmd[1] = 0;
	update_sci_locked(p);
	pthread_mutex_unlock(&p->lock);
}

static int power_init(struct dev *d, const char *opts, struct hk_err *err)
{
	pthread_mutex_init(&container_of(d, struct power, dev)->lock, NULL);
	return 0;
}

static int power_plug(struct dev *d, struct hk_err *err)
{
	struct power *p = container_of(d, struct power, dev);
	int rc;

	p->pm1 = (struct region){ .name = "acpi-pm1", .size = 6, .ops = &pm1_ops, .opaque = p };
	p->smi = (struct region){ .name = "smi-command", .size = 2, .ops = &smi_ops, .opaque = p };
	rc = bus_map(d->env->pio_bus, &p->pm1, PM1_PORT, err);
	p->mapped[0] = !rc;
	if (rc)
		return rc;
	rc = bus_map(d->env->pio_bus, &p->smi, SMI_PORT, err);
	p->mapped[1] = !rc;
	return rc;
}

static void power_dump(struct dev *d, struct strbuf *out)
{
	struct power *p = container_of(d, struct power, dev);

	pthread_mutex_lock(&p->lock);
	strbuf_add(out, "power: status %04x enable %04x control %04x sci %d\n", p->status,
		   p->enable, p->control, p->sci);
	pthread_mutex_unlock(&p->lock);
}

static void power_fini(struct dev *d)
{
	struct power *p = container_of(d, struct power, dev);
	struct region *r[2] = { &p->pm1, &p->smi };

	for (unsigned i = 0; i < ARRAY_LEN(r); i++)
		if (p->mapped[i])
			bus_unmap(d->env->pio_bus, r[i]);
	pthread_mutex_destroy(&p->lock);
}

const struct dev_class power_class = {
	.name = "power",
	.help = "ACPI power management",
	.size = sizeof(struct power),
	.init = power_init,
	.plug = power_plug,
	.reset = power_reset,
	.dump = power_dump,
	.fini = power_fini,
};
