// SPDX-License-Identifier: BSD-2-Clause
/* device/serial/uart.c - 16550A UART over a chr
 *
 * National Semiconductor PC16550D data sheet. vCPU threads come in through
 * uart_read/uart_write, the loop thread brings input. Sending takes no time, so the
 * transmitter is always empty and its 16-byte FIFO needs no storage; the chr gathers
 * bytes into larger writes.
 *
 * No lock is held while the chr or the interrupt line is called. A level computed under
 * the lock but set after it could overtake a newer one; see line_sync(). */
#include "device/serial/uart.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"

#define FIFO_BYTES 16u

enum { /* registers by offset */
	REG_DATA,
	REG_IER,
	REG_IIR_FCR,
	REG_LCR,
	REG_MCR,
	REG_LSR,
	REG_MSR,
	REG_SCR
};

#define IER_RX BIT(0)
#define IER_TX BIT(1)
#define IER_LINE BIT(2)
#define IER_MODEM BIT(3)
#define IER_ALL 0x0fu

#define IIR_MODEM 0x00u
#define IIR_NONE 0x01u
#define IIR_TX 0x02u
#define IIR_RX 0x04u
#define IIR_LINE 0x06u
#define IIR_RX_TIMEOUT 0x0cu
#define IIR_FIFO_ON 0xc0u

#define FCR_ENABLE BIT(0)
#define FCR_CLEAR_RX BIT(1)

#define LCR_DLAB BIT(7)

#define MCR_DTR BIT(0)
#define MCR_RTS BIT(1)
#define MCR_OUT1 BIT(2)
#define MCR_OUT2 BIT(3)
#define MCR_LOOP BIT(4)
#define MCR_ALL 0x1fu

#define LSR_READY BIT(0)
#define LSR_OVERRUN BIT(1)
#define LSR_ERRORS 0x1eu
#define LSR_TX_EMPTY 0x60u /* holding register and shifter */

#define MSR_TERI BIT(2)
#define MSR_CTS BIT(4)
#define MSR_DSR BIT(5)
#define MSR_RI BIT(6)
#define MSR_DCD BIT(7)

/* (c) constant   (L) under ->lock   (a) atomic, stored under ->lock */
struct uart {
	struct chr *chr;	/* (c) may be NULL */
	struct irq irq;		/* (c) */
	pthread_mutex_t lock;
	u8 ier, lcr, mcr, scr;	/* (L) */
	u8 dll, dlm;		/* (L) */
	u8 msr;			/* (L) with its delta bits */
	bool fifo_on;		/* (L) */
	u8 trigger;		/* (L) bytes */
	bool tx_pending;	/* (L) "holding register empty" waits to be reported */
	u8 rx[FIFO_BYTES];	/* (L) */
	u8 rx_head, rx_len;	/* (L) */
	u8 rbr;			/* (L) what an empty receiver repeats */
	_Atomic u8 lsr;		/* (a) without the transmitter's bits */

	pthread_mutex_t line_lock; /* held around irq_set */
	_Atomic bool line_wanted;  /* (a) */
	_Atomic bool line;	   /* what the line was last set to; stored under line_lock */
};

/* ---- interrupts ---- */

/* Highest priority cause that is enabled (data sheet, table IV) */
static u8 cause_locked(const struct uart *u)
{
	u8 lsr = atomic_load_explicit(&u->lsr, memory_order_relaxed);

	if ((u->ier & IER_LINE) && (lsr & LSR_ERRORS))
		return IIR_LINE;
	if ((u->ier & IER_RX) && u->rx_len)
		/* Four characters' time below the trigger is a timeout. Input comes in
		 * bursts here and all of a burst at once, so that time has passed. */
		return u->fifo_on && u->rx_len < u->trigger ? IIR_RX_TIMEOUT : IIR_RX;
	if ((u->ier & IER_TX) && u->tx_pending)
		return IIR_TX;
	if ((u->ier & IER_MODEM) && (u->msr & 0x0f))
		return IIR_MODEM;
	return IIR_NONE;
}

static void wish_locked(struct uart *u)
{
	atomic_store(&u->line_wanted, cause_locked(u) != IIR_NONE);
}

/* Bring the line to where it is wanted; ->lock is not held.
 *
 * Threads A and B both changed ->line_wanted. Whoever finds line and wish different
 * enters and works until they agree. Storing ->line comes before looking at the wish
 * again, and storing a wish before looking at ->line (both sequentially consistent), so
 * either the one inside sees the new wish or the newcomer sees the difference. Interrupt
 * controllers never call a UART, so holding line_lock around them is safe. */
static void line_sync(struct uart *u)
{
	bool want;

	if (atomic_load(&u->line_wanted) == atomic_load(&u->line))
		return;
	pthread_mutex_lock(&u->line_lock);
	while ((want = atomic_load(&u->line_wanted)) != atomic_load(&u->line)) {
		irq_set(&u->irq, want);
		atomic_store(&u->line, want);
	}
	pthread_mutex_unlock(&u->line_lock);
}

/* ---- receiver ---- */

static unsigned rx_cap_locked(const struct uart *u)
{
	return u->fifo_on ? FIFO_BYTES : 1;
}

static void lsr_set_locked(struct uart *u, u8 set, u8 clear)
{
	u8 lsr = atomic_load_explicit(&u->lsr, memory_order_relaxed);

	atomic_store_explicit(&u->lsr, (u8)((lsr & ~clear) | set), memory_order_release);
}

static void rx_put_locked(struct uart *u, u8 c)
{
	if (u->rx_len >= rx_cap_locked(u)) {
		lsr_set_locked(u, LSR_OVERRUN, 0);
		/* Without FIFO the new character replaces the old one */
		if (u->fifo_on)
			return;
		u->rx_len = 0;
	}
	u->rx[(u->rx_head + u->rx_len) % FIFO_BYTES] = c;
	u->rx_len++;
	lsr_set_locked(u, LSR_READY, 0);
}

static u8 rx_get_locked(struct uart *u)
{
	if (!u->rx_len)
		return u->rbr;
	u->rbr = u->rx[u->rx_head];
	u->rx_head = (u->rx_head + 1) % FIFO_BYTES;
	u->rx_len--;
	if (!u->rx_len)
		lsr_set_locked(u, 0, LSR_READY);
	return u->rbr;
}

static void rx_clear_locked(struct uart *u)
{
	u->rx_head = u->rx_len = 0;
	lsr_set_locked(u, 0, LSR_READY);
}

/* [loop] In loopback the receiver is cut off from the outside */
static size_t peer_room(void *arg)
{
	struct uart *u = arg;
	size_t n;

	pthread_mutex_lock(&u->lock);
	n = u->mcr & MCR_LOOP ? 0 : rx_cap_locked(u) - MIN(u->rx_len, rx_cap_locked(u));
	pthread_mutex_unlock(&u->lock);
	return n;
}

static void peer_input(void *arg, const u8 *bytes, size_t n)
{
	struct uart *u = arg;
	size_t i;

	pthread_mutex_lock(&u->lock);
	for (i = 0; i < n; i++)
		rx_put_locked(u, bytes[i]);
	wish_locked(u);
	pthread_mutex_unlock(&u->lock);
	line_sync(u);
}

/* ---- modem lines ---- */

static void modem_update_locked(struct uart *u)
{
	u8 lines = MSR_DCD | MSR_DSR | MSR_CTS, changed;

	if (u->mcr & MCR_LOOP)
		lines = (u->mcr & MCR_RTS ? MSR_CTS : 0) | (u->mcr & MCR_DTR ? MSR_DSR : 0) |
			(u->mcr & MCR_OUT1 ? MSR_RI : 0) | (u->mcr & MCR_OUT2 ? MSR_DCD : 0);
	changed = (u8)((u->msr ^ lines) & 0xf0);
	/* Of the ring indicator only the trailing edge counts */
	if ((changed & MSR_RI) && (lines & MSR_RI))
		changed &= (u8)~MSR_RI;
	u->msr = (u8)(lines | (u->msr & 0x0f) | changed >> 4);
}

/* ---- registers ---- */

u8 uart_read(struct uart *u, unsigned reg)
{
	bool drained = false;
	u8 val = 0xff;

	if (reg == REG_LSR) {
		/* Polled before each byte that goes out; nothing to clear as a rule */
		val = atomic_load_explicit(&u->lsr, memory_order_acquire);
		if (likely(!(val & LSR_ERRORS)))
			return val | LSR_TX_EMPTY;
	}
	pthread_mutex_lock(&u->lock);
	switch (reg) {
	case REG_DATA:
		if (u->lcr & LCR_DLAB) {
			val = u->dll;
			break;
		}
		drained = u->rx_len == 1;
		val = rx_get_locked(u);
		break;
	case REG_IER:
		val = u->lcr & LCR_DLAB ? u->dlm : u->ier;
		break;
	case REG_IIR_FCR:
		val = cause_locked(u);
		/* Reporting it clears it, this one alone */
		if (val == IIR_TX)
			u->tx_pending = false;
		if (u->fifo_on)
			val |= IIR_FIFO_ON;
		break;
	case REG_LCR:
		val = u->lcr;
		break;
	case REG_MCR:
		val = u->mcr;
		break;
	case REG_LSR:
		val = atomic_load_explicit(&u->lsr, memory_order_relaxed) | LSR_TX_EMPTY;
		lsr_set_locked(u, 0, LSR_ERRORS);
		break;
	case REG_MSR:
		val = u->msr;
		u->msr &= 0xf0;
		break;
	case REG_SCR:
		val = u->scr;
		break;
	default:
		break;
	}
	wish_locked(u);
	pthread_mutex_unlock(&u->lock);
	line_sync(u);
	if (drained && u->chr)
		chr_room(u->chr);
	return val;
}

static void fcr_write_locked(struct uart *u, u8 v)
{
	static const u8 trigger[4] = { 1, 4, 8, 14 };
	bool on = v & FCR_ENABLE;

	/* Turning the FIFOs on or off empties them; the other bits count only while on */
	if (on != u->fifo_on || (on && (v & FCR_CLEAR_RX)))
		rx_clear_locked(u);
	u->fifo_on = on;
	if (on)
		u->trigger = trigger[v >> 6];
}

/* Return: a byte has to go out */
static bool data_write_locked(struct uart *u, u8 v)
{
	if (u->lcr & LCR_DLAB) {
		u->dll = v;
		return false;
	}
	/* Filling the holding register ends the interrupt, emptying it at once raises it
	 * anew: a driver that writes without reading IIR first still gets the next one */
	u->tx_pending = true;
	if (!(u->mcr & MCR_LOOP))
		return true;
	rx_put_locked(u, v);
	return false;
}

void uart_write(struct uart *u, unsigned reg, u8 v)
{
	bool send = false, more_room = false;

	pthread_mutex_lock(&u->lock);
	switch (reg) {
	case REG_DATA:
		send = data_write_locked(u, v);
		break;
	case REG_IER:
		if (u->lcr & LCR_DLAB) {
			u->dlm = v;
			break;
		}
		/* Enabling the interrupt while the holding register is empty reports that,
		 * even when an earlier report was read (Linux tests for it, serial8250
		 * "BUG_THRE") */
		if ((v & IER_TX) && !(u->ier & IER_TX))
			u->tx_pending = true;
		u->ier = v & IER_ALL;
		break;
	case REG_IIR_FCR:
		fcr_write_locked(u, v);
		more_room = true;
		break;
	case REG_LCR:
		u->lcr = v;
		break;
	case REG_MCR:
		u->mcr = v & MCR_ALL;
		modem_update_locked(u);
		more_room = true;
		break;
	case REG_SCR:
		u->scr = v;
		break;
	default: /* LSR and MSR are read-only outside factory tests */
		break;
	}
	wish_locked(u);
	pthread_mutex_unlock(&u->lock);
	line_sync(u);
	if (send && u->chr)
		chr_write(u->chr, &v, 1);
	if (more_room && u->chr)
		chr_room(u->chr);
}

/* ---- life ---- */

static void power_on_locked(struct uart *u)
{
	u->ier = u->lcr = u->mcr = u->scr = 0;
	u->dll = 12; /* 9600 */
	u->dlm = 0;
	u->msr = MSR_DCD | MSR_DSR | MSR_CTS;
	u->fifo_on = false;
	u->trigger = 1;
	u->tx_pending = false;
	u->rbr = 0;
	rx_clear_locked(u);
	atomic_store(&u->lsr, 0);
	wish_locked(u);
}

void uart_reset(struct uart *u)
{
	pthread_mutex_lock(&u->lock);
	power_on_locked(u);
	pthread_mutex_unlock(&u->lock);
	line_sync(u);
	if (u->chr)
		chr_room(u->chr);
}

int uart_create(struct uart **out, struct chr *chr, const struct irq *irq, struct log *log)
{
	struct uart *u = calloc(1, sizeof(*u));
	struct chr_peer peer = { .room = peer_room, .input = peer_input, .arg = u };

	if (!u)
		return -ENOMEM;
	u->chr = chr;
	u->irq = *irq;
	pthread_mutex_init(&u->lock, NULL);
	pthread_mutex_init(&u->line_lock, NULL);
	power_on_locked(u);
	if (chr)
		chr_attach(chr, &peer);
	*out = u;
	return 0;
}

void uart_destroy(struct uart *u)
{
	if (!u)
		return;
	if (u->chr)
		chr_attach(u->chr, NULL);
	atomic_store(&u->line_wanted, false);
	line_sync(u);
	pthread_mutex_destroy(&u->line_lock);
	pthread_mutex_destroy(&u->lock);
	free(u);
}

void uart_dump(struct uart *u, struct strbuf *out)
{
	pthread_mutex_lock(&u->lock);
	strbuf_add(out, "ier %02x lcr %02x mcr %02x msr %02x lsr %02x rx %u/%u tx_pending %d irq %d\n",
		   u->ier, u->lcr, u->mcr, u->msr, atomic_load(&u->lsr) | LSR_TX_EMPTY, u->rx_len,
		   rx_cap_locked(u), u->tx_pending, atomic_load(&u->line));
	pthread_mutex_unlock(&u->lock);
}
