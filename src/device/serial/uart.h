// SPDX-License-Identifier: BSD-2-Clause
/* device/serial/uart.h - 16550A UART over a chr; COM ports and the PCI uart share it */
#ifndef DEVICE_SERIAL_UART_H
#define DEVICE_SERIAL_UART_H

#include <pthread.h>

#include "backend/char/chr.h"
#include "base/types.h"
#include "bus/irq.h"

struct strbuf;
struct uart;
/* [setup] @chr may be NULL; it stays the caller's, starts and stops by the caller */
int uart_create(struct uart **out, struct chr *chr, const struct irq *irq, struct log *log) MUST_CHECK;
void uart_destroy(struct uart *u); /* [setup] after chr_stop; lowers the line; NULL ok */
void uart_reset(struct uart *u);   /* [vCPUs parked] */
u8 uart_read(struct uart *u, unsigned reg);	     /* [vcpu] reg 0..7 */
void uart_write(struct uart *u, unsigned reg, u8 v); /* [vcpu] */
void uart_dump(struct uart *u, struct strbuf *out);  /* [any] */

#endif
