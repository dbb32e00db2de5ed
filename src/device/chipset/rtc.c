// SPDX-License-Identifier: BSD-2-Clause
/* device/chipset/rtc.c - Real-time clock and battery RAM
 *
 * Motorola MC146818 data sheet, 128 bytes. The time is the host's wall clock plus
 * what the guest's own setting added, so it follows the host when that sleeps or
 * is set. vCPUs use the ports, the loop interrupts (IRQ 8); one lock, held while
 * the line is set.
 *
 * Flags are worked out when somebody looks (catch_up_locked); a timer runs only
 * for an enabled interrupt whose line is not up already. So a guest that does not
 * acknowledge costs nothing. */
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/strbuf.h"
#include "device/chipset/chipset.h"
#include "device/chipset/chipset_int.h"

enum {
	REG_SEC, REG_SEC_ALARM, REG_MIN, REG_MIN_ALARM, REG_HOUR, REG_HOUR_ALARM, REG_WDAY,
	REG_MDAY, REG_MONTH, REG_YEAR, REG_A, REG_B, REG_C, REG_D,
	REG_CENTURY = 0x32
};
#define A_UIP BIT(7)
#define B_SET BIT(7)
#define B_PIE BIT(6)
#define B_AIE BIT(5)
#define B_UIE BIT(4)
#define B_BINARY BIT(2)
#define B_24H BIT(1)
#define C_PF BIT(6)
#define C_AF BIT(5)
#define C_UF BIT(4)
#define FLAGS (C_PF | C_AF | C_UF) /* the enables have the same bits */

#define UIP_NS 244000ll
#define NSEC 1000000000ll
#define ALARM_NAP_NS (10 * NS_PER_SEC) /* how late a step of the host's clock is noticed */

struct rtc {
	struct dev dev;
	pthread_mutex_t lock;
	struct region ports;
	bool mapped, running, irq_off;
	struct rtc_config cfg;
	u8 index;
	u8 cell[128];	  /* time cells: valid while frozen */
	u8 flags;	  /* register C without IRQF */
	bool line;
	/* Guest's time - host's; apart, as years that a guest may set overflow ns in one */
	s64 offset_sec, offset_ns;
	s64 last_sec;	  /* UF and AF are worked out up to here */
	s64 alarm_sec;	  /* next match after last_sec */
	u64 next_tick_ns; /* PF: loop's clock */
	struct timer timer;
};

/* ------------------------------------------------------------- calendar */

static s64 floor_div(s64 a, s64 b)
{
	return a / b - (a % b < 0);
}

/* Days since 1970-01-01 of a date; years begin in March, so that leap days end them */
static s64 days_of(s64 year, unsigned month, unsigned day)
{
	s64 y = month <= 2 ? year - 1 : year, era = floor_div(y, 400);
	unsigned yoe = (unsigned)(y - era * 400);
	unsigned doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void date_of(s64 days, s64 *year, unsigned *month, unsigned *day)
{
	s64 z = days + 719468, era = floor_div(z, 146097);
	unsigned doe = (unsigned)(z - era * 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

	*day = doy - (153 * mp + 2) / 5 + 1;
	*month = mp < 10 ? mp + 3 : mp - 9;
	*year = yoe + era * 400 + (*month <= 2);
}

static u8 encode(const struct rtc *r, unsigned v)
{
	return (u8)(r->cell[REG_B] & B_BINARY ? v : v / 10 % 10 << 4 | v % 10);
}

static unsigned decode(const struct rtc *r, u8 v)
{
	return r->cell[REG_B] & B_BINARY ? v : (v >> 4) * 10 + (v & 15);
}

static u8 encode_hour(const struct rtc *r, unsigned hour)
{
	if (r->cell[REG_B] & B_24H)
		return encode(r, hour);
	return encode(r, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? 0x80 : 0);
}

static unsigned decode_hour(const struct rtc *r, u8 v)
{
	if (r->cell[REG_B] & B_24H)
		return decode(r, v);
	return decode(r, v & 0x7f) % 12 + (v & 0x80 ? 12 : 0);
}

/* ----------------------------------------------------------- the time */

/* The host's wall clock, ns, in the zone that the guest is to see */
static s64 host_ns(struct rtc *r)
{
	s64 ns = r->dev.env->clock->wall_ns(r->dev.env->clock);
	time_t t = (time_t)floor_div(ns, NSEC);
	struct tm tm;

	if (!r->cfg.utc && localtime_r(&t, &tm))
		ns += tm.tm_gmtoff * NSEC;
	return ns;
}

/* Return: seconds; @part: ns into the second, may be NULL */
static s64 guest_time(struct rtc *r, s64 *part)
{
	s64 ns = host_ns(r) + r->offset_ns, sec = floor_div(ns, NSEC);

	if (part)
		*part = ns - sec * NSEC;
	return sec + r->offset_sec;
}

static u64 mono_ns(struct rtc *r) { return clock_ns(r->dev.env->clock); }

static bool divider_reset(u8 a) { return (a & 0x60) == 0x60; }

/* No updates: the guest sets the time, or holds the divider */
static bool frozen(const struct rtc *r)
{
	return (r->cell[REG_B] & B_SET) || divider_reset(r->cell[REG_A]);
}

static void time_to_cells(struct rtc *r)
{
	s64 sec = guest_time(r, NULL), days = floor_div(sec, 86400), year;
	unsigned sod = (unsigned)(sec - days * 86400), month, day;

	date_of(days, &year, &month, &day);
	r->cell[REG_SEC] = encode(r, sod % 60);
	r->cell[REG_MIN] = encode(r, sod / 60 % 60);
	r->cell[REG_HOUR] = encode_hour(r, sod / 3600);
	r->cell[REG_WDAY] = encode(r, (unsigned)(((days + 4) % 7 + 7) % 7) + 1);
	r->cell[REG_MDAY] = encode(r, day);
	r->cell[REG_MONTH] = encode(r, month);
	r->cell[REG_YEAR] = encode(r, (unsigned)(year % 100));
	r->cell[REG_CENTURY] = encode(r, (unsigned)(year / 100 % 100));
}

/* What the cells say, in seconds; nonsense is clipped */
static s64 cells_to_sec(const struct rtc *r)
{
	unsigned month = decode(r, r->cell[REG_MONTH]), day = decode(r, r->cell[REG_MDAY]);
	s64 year = decode(r, r->cell[REG_CENTURY]) * 100 + decode(r, r->cell[REG_YEAR]);

	month = MAX(1u, MIN(month, 12u));
	day = MAX(1u, MIN(day, 31u));
	return days_of(year, month, day) * 86400 + decode_hour(r, r->cell[REG_HOUR]) * 3600 +
	       decode(r, r->cell[REG_MIN]) * 60 + decode(r, r->cell[REG_SEC]);
}

/* ------------------------------------------------- flags and interrupts */

static bool wild(u8 v) { return (v & 0xc0) == 0xc0; }

/* The first second after @after that the alarm cells match */
static s64 next_alarm(const struct rtc *r, s64 after)
{
	bool any_h = wild(r->cell[REG_HOUR_ALARM]), any_m = wild(r->cell[REG_MIN_ALARM]);
	bool any_s = wild(r->cell[REG_SEC_ALARM]);
	unsigned h = decode_hour(r, r->cell[REG_HOUR_ALARM]);
	unsigned m = decode(r, r->cell[REG_MIN_ALARM]), s = decode(r, r->cell[REG_SEC_ALARM]);

	for (s64 at = after + 1; at <= after + 2 * 86400;) {
		unsigned sod = (unsigned)(((at % 86400) + 86400) % 86400);

		if (!any_h && sod / 3600 != h)
			at += 3600 - sod % 3600;
		else if (!any_m && sod / 60 % 60 != m)
			at += 60 - sod % 60;
		else if (!any_s && sod % 60 != s)
			at++;
		else
			return at;
	}
	return INT64_MAX; /* 25:70:99 never comes */
}

static u64 tick_period_ns(const struct rtc *r)
{
	unsigned rate = r->cell[REG_A] & 15;

	if (!rate || divider_reset(r->cell[REG_A]))
		return 0;
	if (rate <= 2)
		rate += 7; /* 256 and 128 Hz have two codes */
	return muldiv64(1ull << (rate - 1), NS_PER_SEC, 32768);
}

static void update_line_locked(struct rtc *r)
{
	bool line = r->flags & r->cell[REG_B] & FLAGS;

	if (line == r->line)
		return;
	r->line = line;
	if (!r->irq_off)
		irq_set(&r->dev.env->isa_irq[8], line);
}

static void restart_alarm_locked(struct rtc *r, s64 sec)
{
	r->last_sec = sec;
	r->alarm_sec = next_alarm(r, sec);
}

static void catch_up_locked(struct rtc *r)
{
	u64 period = tick_period_ns(r), mono = mono_ns(r);
	s64 sec;

	if (!frozen(r)) {
		sec = guest_time(r, NULL);
		if (sec > r->last_sec) {
			r->flags |= C_UF;
			if (sec >= r->alarm_sec)
				r->flags |= C_AF;
		}
		if (sec < r->last_sec || sec >= r->alarm_sec)
			restart_alarm_locked(r, sec); /* also when the host's clock went back */
		r->last_sec = sec;
	}
	if (period && mono >= r->next_tick_ns) {
		r->flags |= C_PF;
		r->next_tick_ns += ((mono - r->next_tick_ns) / period + 1) * period;
	}
	update_line_locked(r);
}

static void arm_locked(struct rtc *r)
{
	u8 b = r->cell[REG_B];
	u64 mono = mono_ns(r), first = ~0ull;
	s64 sec, into; /* ns since last_sec; a second turns now and then while we are here */

	if (r->running && !r->line) {
		if ((b & B_PIE) && tick_period_ns(r))
			first = r->next_tick_ns;
		if (!frozen(r) && (b & (B_UIE | B_AIE))) {
			sec = guest_time(r, &into);
			if (sec > r->last_sec)
				into = NSEC;
			if (b & B_UIE)
				first = MIN(first, mono + (u64)(NSEC - into));
			if ((b & B_AIE) && r->alarm_sec != INT64_MAX) {
				u64 wait = (u64)(r->alarm_sec - r->last_sec) * NS_PER_SEC;

				wait -= MIN(wait, (u64)into);
				first = MIN(first, mono + MIN(wait, ALARM_NAP_NS));
			}
		}
	}
	if (first != ~0ull)
		timer_arm(&r->timer, first);
	else
		timer_cancel(&r->timer);
}

/* [loop] */
static void timer_fn(void *arg)
{
	struct rtc *r = arg;

	pthread_mutex_lock(&r->lock);
	if (r->running)
		catch_up_locked(r);
	arm_locked(r);
	pthread_mutex_unlock(&r->lock);
}

/* --------------------------------------------------------------- cells */

static bool is_time(u8 i)
{
	return i == REG_SEC || i == REG_MIN || i == REG_HOUR || (i >= REG_WDAY && i <= REG_YEAR) ||
	       i == REG_CENTURY;
}

/* The cells become the time; @half: the divider starts, 500 ms before an update */
static void cells_to_time_locked(struct rtc *r, bool half)
{
	s64 part, now = guest_time(r, &part), sec = cells_to_sec(r);

	r->offset_sec += sec - now;
	if (half) /* offset_ns stays within a second: parts of seconds differ by less */
		r->offset_ns = (r->offset_ns + NSEC / 2 - part) % NSEC;
	/* The change of phase may have carried into the seconds */
	r->offset_sec += sec - guest_time(r, NULL);
	restart_alarm_locked(r, sec);
}

static u8 read_cell_locked(struct rtc *r, u8 i)
{
	s64 ns;
	u8 val;

	switch (i) {
	case REG_A:
		val = r->cell[REG_A];
		if (!frozen(r)) {
			guest_time(r, &ns);
			if (ns >= NSEC - UIP_NS)
				val |= A_UIP;
		}
		return val;
	case REG_C:
		catch_up_locked(r);
		val = r->flags | (r->line ? 0x80 : 0);
		r->flags = 0;
		update_line_locked(r);
		arm_locked(r);
		return val;
	case REG_D:
		return 0x80; /* the battery is good */
	default:
		if (is_time(i) && !frozen(r))
			time_to_cells(r);
		return r->cell[i];
	}
}

/* Registers A and B decide whether the clock runs */
static void write_control_locked(struct rtc *r, u8 i, u8 val)
{
	bool was_frozen = frozen(r), was_held = divider_reset(r->cell[REG_A]);
	u64 old_period = tick_period_ns(r);

	catch_up_locked(r);
	if (!was_frozen) {
		/* In the old format, should the write change it; the alarm cells stay raw */
		time_to_cells(r);
	}
	if (i == REG_A) {
		r->cell[REG_A] = val & 0x7f;
	} else {
		if (val & B_SET)
			val &= ~B_UIE; /* data sheet: SET clears UIE */
		r->cell[REG_B] = val;
	}
	if (was_frozen && !frozen(r))
		cells_to_time_locked(r, was_held);
	else if (!frozen(r))
		restart_alarm_locked(r, r->last_sec);
	if (tick_period_ns(r) != old_period)
		r->next_tick_ns = mono_ns(r) + tick_period_ns(r);
	update_line_locked(r);
}

static void write_cell_locked(struct rtc *r, u8 i, u8 val)
{
	switch (i) {
	case REG_A:
	case REG_B:
		write_control_locked(r, i, val);
		break;
	case REG_C:
	case REG_D:
		break;
	case REG_SEC_ALARM:
	case REG_MIN_ALARM:
	case REG_HOUR_ALARM:
		catch_up_locked(r);
		r->cell[i] = val;
		restart_alarm_locked(r, r->last_sec);
		break;
	default:
		if (is_time(i) && !frozen(r)) {
			catch_up_locked(r);
			time_to_cells(r);
			r->cell[i] = val;
			cells_to_time_locked(r, false);
		} else {
			r->cell[i] = val;
		}
		break;
	}
	arm_locked(r);
}

static u64 rtc_read(void *opaque, u64 off, unsigned size)
{
	struct rtc *r = opaque;
	u8 val = 0xff; /* the index cannot be read */

	pthread_mutex_lock(&r->lock);
	if (off == 1)
		val = read_cell_locked(r, r->index);
	pthread_mutex_unlock(&r->lock);
	return val;
}

static void rtc_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct rtc *r = opaque;

	pthread_mutex_lock(&r->lock);
	if (off == 0)
		r->index = val & 0x7f; /* bit 7 masks NMI: nothing here sends one */
	else
		write_cell_locked(r, r->index, (u8)val);
	pthread_mutex_unlock(&r->lock);
}

static const struct region_ops rtc_ops = {
	.read = rtc_read, .write = rtc_write, .min = 1, .max = 1,
};

/* ----------------------------------------------------------------- life */

/* What firmware would leave in the battery RAM */
static void fill_cells(struct rtc *r)
{
	u64 low = r->cfg.low_bytes, high64k = MIN(r->cfg.high_bytes >> 16, 0xffffffull);
	u64 ext_kib = low > 0x100000 ? MIN((low - 0x100000) >> 10, 0xffffull) : 0;
	u64 ext_64k = low > 0x1000000 ? MIN((low - 0x1000000) >> 16, 0xffffull) : 0;
	unsigned sum = 0;

	r->cell[0x14] = 0x06; /* FPU, pointing device; no floppy, no video */
	r->cell[0x15] = (u8)640;
	r->cell[0x16] = 640 >> 8;
	r->cell[0x17] = r->cell[0x30] = (u8)ext_kib;
	r->cell[0x18] = r->cell[0x31] = (u8)(ext_kib >> 8);
	r->cell[0x34] = (u8)ext_64k;
	r->cell[0x35] = (u8)(ext_64k >> 8);
	r->cell[0x5b] = (u8)high64k;
	r->cell[0x5c] = (u8)(high64k >> 8);
	r->cell[0x5d] = (u8)(high64k >> 16);
	for (unsigned i = 0x10; i < 0x2e; i++)
		sum += r->cell[i];
	r->cell[0x2e] = (u8)(sum >> 8);
	r->cell[0x2f] = (u8)sum;
}

void rtc_configure(struct dev *d, const struct rtc_config *cfg)
{
	struct rtc *r = container_of(d, struct rtc, dev);

	r->cfg = *cfg;
	fill_cells(r);
}

void rtc_connect_irq(struct dev *d, bool on)
{
	struct rtc *r = container_of(d, struct rtc, dev);

	pthread_mutex_lock(&r->lock);
	if (r->irq_off == on) {
		r->irq_off = !on;
		if (r->line)
			irq_set(&r->dev.env->isa_irq[8], on);
	}
	pthread_mutex_unlock(&r->lock);
}

static void rtc_reset(struct dev *d, enum dev_reset kind)
{
	struct rtc *r = container_of(d, struct rtc, dev);

	pthread_mutex_lock(&r->lock);
	/* A battery keeps the time and the cells; RESET clears enables and flags */
	r->index = 0;
	r->flags = 0;
	if (kind == DEV_RESET_POWER_ON) {
		r->cell[REG_A] = 0x26;
		r->cell[REG_B] = B_24H;
	}
	r->cell[REG_B] &= ~(FLAGS | BIT(3));
	update_line_locked(r);
	r->irq_off = false;
	pthread_mutex_unlock(&r->lock);
	timer_cancel(&r->timer);
}

static int rtc_init(struct dev *d, const char *opts, struct hk_err *err)
{
	struct rtc *r = container_of(d, struct rtc, dev);

	pthread_mutex_init(&r->lock, NULL);
	rtc_reset(d, DEV_RESET_POWER_ON);
	return 0;
}

static int rtc_plug(struct dev *d, struct hk_err *err)
{
	struct rtc *r = container_of(d, struct rtc, dev);
	int rc;

	timer_init(&r->timer, d->env->loop, timer_fn, r);
	r->next_tick_ns = mono_ns(r) + tick_period_ns(r);
	restart_alarm_locked(r, guest_time(r, NULL));
	r->ports = (struct region){ .name = "rtc", .size = 2, .ops = &rtc_ops, .opaque = r };
	rc = bus_map(d->env->pio_bus, &r->ports, 0x70, err);
	r->mapped = !rc;
	return rc;
}

static int rtc_start(struct dev *d)
{
	struct rtc *r = container_of(d, struct rtc, dev);

	pthread_mutex_lock(&r->lock);
	r->running = true;
	catch_up_locked(r);
	arm_locked(r);
	pthread_mutex_unlock(&r->lock);
	return 0;
}

static void rtc_stop(struct dev *d)
{
	struct rtc *r = container_of(d, struct rtc, dev);

	pthread_mutex_lock(&r->lock);
	r->running = false;
	pthread_mutex_unlock(&r->lock);
	timer_cancel_sync(&r->timer);
}

static void rtc_dump(struct dev *d, struct strbuf *out)
{
	struct rtc *r = container_of(d, struct rtc, dev);

	pthread_mutex_lock(&r->lock);
	if (!frozen(r))
		time_to_cells(r);
	strbuf_add(out, "rtc: %02x%02x-%02x-%02x %02x:%02x:%02x a %02x b %02x flags %02x line %d\n",
		   r->cell[REG_CENTURY], r->cell[REG_YEAR], r->cell[REG_MONTH], r->cell[REG_MDAY],
		   r->cell[REG_HOUR], r->cell[REG_MIN], r->cell[REG_SEC], r->cell[REG_A],
		   r->cell[REG_B], r->flags, r->line);
	pthread_mutex_unlock(&r->lock);
}

static void rtc_fini(struct dev *d)
{
	struct rtc *r = container_of(d, struct rtc, dev);

	if (r->mapped)
		bus_unmap(d->env->pio_bus, &r->ports);
	timer_cancel_sync(&r->timer);
	pthread_mutex_destroy(&r->lock);
}

const struct dev_class rtc_class = {
	.name = "rtc",
	.help = "MC146818 real-time clock",
	.size = sizeof(struct rtc),
	.init = rtc_init,
	.plug = rtc_plug,
	.start = rtc_start,
	.stop = rtc_stop,
	.reset = rtc_reset,
	.dump = rtc_dump,
	.fini = rtc_fini,
};
