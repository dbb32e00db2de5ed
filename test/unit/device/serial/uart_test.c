// SPDX-License-Identifier: BSD-2-Clause
/* The 16550A as a driver uses it: registers, FIFO, interrupts, loopback */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "device/serial/uart.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR, FCR = IIR };

struct rig {
	struct clock_fake clock;
	struct loop *loop;
	struct chr *chr;
	struct uart *u;
	_Atomic int level;
	_Atomic unsigned rises;
	char out[4096];
	size_t out_len;
};

static void line(void *arg, unsigned n, int level)
{
	struct rig *r = arg;

	if (level && !atomic_load(&r->level))
		atomic_fetch_add(&r->rises, 1);
	atomic_store(&r->level, level);
}

static void output(void *arg, const uint8_t *bytes, size_t n)
{
	struct rig *r = arg;

	assert_true(r->out_len + n < sizeof(r->out));
	memcpy(r->out + r->out_len, bytes, n);
	r->out_len += n;
}

static int setup(void **state)
{
	struct hk_serial_config cfg = HK_SERIAL_CONFIG_INIT;
	struct rig *r = calloc(1, sizeof(*r));
	struct irq irq = { .set = line, .arg = r };

	assert_non_null(r);
	cfg.output = output;
	cfg.output_arg = r;
	clock_fake_init(&r->clock, 1000, 0);
	assert_int_equal(loop_create(&r->loop, &r->clock.clock, NULL), 0);
	assert_int_equal(chr_open(&r->chr, &cfg, r->loop, NULL, NULL), 0);
	assert_int_equal(uart_create(&r->u, r->chr, &irq, NULL), 0);
	assert_int_equal(chr_start(r->chr), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	chr_stop(r->chr);
	uart_destroy(r->u);
	assert_int_equal(r->level, 0);
	chr_close(r->chr);
	loop_destroy(r->loop);
	free(r);
	return 0;
}

static u8 rd(struct rig *r, unsigned reg)
{
	return uart_read(r->u, reg);
}

static void wr(struct rig *r, unsigned reg, u8 v)
{
	uart_write(r->u, reg, v);
}

static void type(struct rig *r, const char *text)
{
	assert_int_equal(chr_feed(r->chr, (const u8 *)text, strlen(text)), strlen(text));
	while (loop_step(r->loop, 0))
		;
}

static void settle(struct rig *r)
{
	clock_fake_advance(&r->clock, 10000000);
	while (loop_step(r->loop, 0))
		;
}

static void power_on_state_is_the_data_sheets(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rd(r, IER), 0);
	assert_int_equal(rd(r, IIR), 1);
	assert_int_equal(rd(r, LCR), 0);
	assert_int_equal(rd(r, MCR), 0);
	assert_int_equal(rd(r, LSR), 0x60);
	assert_int_equal(rd(r, MSR), 0xb0);
	assert_int_equal(r->level, 0);
}

/* drivers/tty/serial/8250 finds out so what it has */
static void linux_takes_it_for_a_16550a(void **state)
{
	struct rig *r = *state;

	wr(r, IER, 0);
	assert_int_equal(rd(r, IER) & 0x0f, 0);
	wr(r, IER, 0x0f);
	assert_int_equal(rd(r, IER), 0x0f);
	wr(r, IER, 0xff);
	assert_int_equal(rd(r, IER), 0x0f);
	wr(r, IER, 0);
	wr(r, MCR, 0x1a);
	assert_int_equal(rd(r, MSR) & 0xf0, 0x90);
	wr(r, MCR, 0);
	wr(r, SCR, 0xa5);
	assert_int_equal(rd(r, SCR), 0xa5);
	wr(r, FCR, 1);
	assert_int_equal(rd(r, IIR) >> 6, 3);
	/* not a 16750 */
	wr(r, LCR, 0x80);
	wr(r, FCR, 0x21);
	wr(r, LCR, 0);
	assert_int_equal(rd(r, IIR) & 0x20, 0);
	wr(r, FCR, 0);
	assert_int_equal(rd(r, IIR) >> 6, 0);
}

static void divisor_hides_behind_dlab(void **state)
{
	struct rig *r = *state;

	wr(r, LCR, 0x83);
	wr(r, DATA, 0x01);
	wr(r, IER, 0x02);
	assert_int_equal(rd(r, DATA), 1);
	assert_int_equal(rd(r, IER), 2);
	wr(r, LCR, 3);
	assert_int_equal(rd(r, IER), 0);
	settle(r);
	assert_int_equal(r->out_len, 0);
}

static void output_goes_out_in_order(void **state)
{
	struct rig *r = *state;
	const char *c;

	for (c = "login: "; *c; c++) {
		assert_int_equal(rd(r, LSR) & 0x60, 0x60);
		wr(r, DATA, (u8)*c);
	}
	settle(r);
	assert_int_equal(r->out_len, 7);
	assert_memory_equal(r->out, "login: ", 7);
}

/* Linux's test for UARTs that forget it (UART_BUG_THRE) and the one for UART_BUG_TXEN */
static void enabling_the_tx_interrupt_raises_it_each_time(void **state)
{
	struct rig *r = *state;
	unsigned i;

	for (i = 1; i <= 3; i++) {
		wr(r, IER, 2);
		assert_int_equal(r->level, 1);
		assert_int_equal(rd(r, IIR), 2);
		assert_int_equal(r->level, 0);
		assert_int_equal(rd(r, IIR), 1);
		wr(r, IER, 0);
		assert_int_equal(r->rises, i);
	}
	wr(r, IER, 2);
	assert_int_equal(rd(r, LSR) & 0x40, 0x40);
	assert_int_equal(rd(r, IIR) & 1, 0);
}

static void each_byte_sent_raises_the_tx_interrupt_again(void **state)
{
	struct rig *r = *state;
	unsigned i;

	wr(r, IER, 2);
	for (i = 0; i < 100; i++) {
		assert_int_equal(rd(r, IIR), 2);
		assert_int_equal(r->level, 0);
		wr(r, DATA, 'x');
		assert_int_equal(r->level, 1);
	}
	assert_int_equal(r->rises, 101);
	/* sent without looking: it stays up */
	wr(r, DATA, 'y');
	assert_int_equal(r->level, 1);
	wr(r, IER, 0);
	assert_int_equal(r->level, 0);
}

static void input_interrupts_until_it_was_read(void **state)
{
	struct rig *r = *state;

	wr(r, FCR, 1);
	wr(r, IER, 1);
	type(r, "ab");
	assert_int_equal(r->level, 1);
	assert_int_equal(rd(r, IIR), 0xc4);
	assert_int_equal(rd(r, LSR), 0x61);
	assert_int_equal(rd(r, DATA), 'a');
	assert_int_equal(r->level, 1);
	assert_int_equal(rd(r, DATA), 'b');
	assert_int_equal(r->level, 0);
	assert_int_equal(rd(r, LSR), 0x60);
	assert_int_equal(rd(r, IIR), 0xc1);
}

static void input_below_the_trigger_is_a_timeout(void **state)
{
	struct rig *r = *state;

	wr(r, FCR, 0x81); /* 8 bytes */
	wr(r, IER, 1);
	type(r, "1234567");
	assert_int_equal(rd(r, IIR), 0xcc);
	assert_int_equal(r->level, 1);
	type(r, "8");
	assert_int_equal(rd(r, IIR), 0xc4);
	rd(r, DATA);
	assert_int_equal(rd(r, IIR), 0xcc);
	wr(r, FCR, 0x83);
	assert_int_equal(rd(r, IIR), 0xc1);
	assert_int_equal(r->level, 0);
}

static void causes_come_in_their_order(void **state)
{
	struct rig *r = *state;

	wr(r, FCR, 1);
	type(r, "a");
	wr(r, MCR, 0x10); /* modem lines fall: CTS, DSR, DCD */
	wr(r, IER, 0x0f);
	assert_int_equal(rd(r, IIR) & 0x0f, 4);
	rd(r, DATA);
	assert_int_equal(rd(r, IIR) & 0x0f, 2);
	assert_int_equal(rd(r, IIR) & 0x0f, 0);
	assert_int_equal(r->level, 1);
	assert_int_equal(rd(r, MSR), 0x0b);
	assert_int_equal(rd(r, IIR) & 0x0f, 1);
	assert_int_equal(r->level, 0);
}

/* While input waits the transmitter's report is kept */
static void a_tx_interrupt_is_not_lost_behind_input(void **state)
{
	struct rig *r = *state;

	wr(r, FCR, 1);
	wr(r, IER, 3);
	type(r, "a");
	assert_int_equal(rd(r, IIR), 0xc4);
	assert_int_equal(rd(r, IIR), 0xc4);
	rd(r, DATA);
	assert_int_equal(r->level, 1);
	assert_int_equal(rd(r, IIR), 0xc2);
	assert_int_equal(r->level, 0);
}

static void input_waits_for_room_in_the_fifo(void **state)
{
	static const char text[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	struct rig *r = *state;
	size_t i;

	wr(r, FCR, 1);
	type(r, text);
	for (i = 0; i < sizeof(text) - 1; i++) {
		while (loop_step(r->loop, 0))
			;
		assert_int_equal(rd(r, LSR) & 3, 1); /* ready, never overrun */
		assert_int_equal(rd(r, DATA), text[i]);
	}
	assert_int_equal(rd(r, LSR) & 1, 0);
}

static void without_fifo_there_is_one_byte(void **state)
{
	struct rig *r = *state;

	type(r, "ab");
	assert_int_equal(rd(r, DATA), 'a');
	assert_int_equal(rd(r, LSR) & 1, 0);
	assert_int_equal(rd(r, DATA), 'a');
	while (loop_step(r->loop, 0))
		;
	assert_int_equal(rd(r, DATA), 'b');
}

static void loopback_turns_output_into_input(void **state)
{
	struct rig *r = *state;
	unsigned i;

	wr(r, FCR, 1);
	wr(r, IER, 1);
	wr(r, MCR, 0x10);
	wr(r, DATA, 0x5a);
	assert_int_equal(r->level, 1);
	assert_int_equal(rd(r, DATA), 0x5a);
	for (i = 0; i < 17; i++)
		wr(r, DATA, (u8)i);
	wr(r, IER, 5);
	assert_int_equal(rd(r, IIR), 0xc6);
	assert_int_equal(rd(r, LSR), 0x63);
	assert_int_equal(rd(r, LSR), 0x61);
	for (i = 0; i < 16; i++)
		assert_int_equal(rd(r, DATA), i);
	/* from outside nothing comes in meanwhile, afterwards it does */
	type(r, "z");
	assert_int_equal(rd(r, LSR) & 1, 0);
	wr(r, MCR, 0);
	while (loop_step(r->loop, 0))
		;
	assert_int_equal(rd(r, DATA), 'z');
	settle(r);
	assert_int_equal(r->out_len, 0);
}

static void loopback_joins_the_modem_lines(void **state)
{
	static const u8 msr[4] = { 0x20, 0x10, 0x40, 0x80 };
	struct rig *r = *state;
	unsigned i;

	for (i = 0; i < 4; i++) {
		wr(r, MCR, (u8)(0x10 | 1 << i));
		assert_int_equal(rd(r, MSR) & 0xf0, msr[i]);
	}
	/* the ring indicator tells of its end only */
	wr(r, MCR, 0x10);
	rd(r, MSR);
	wr(r, MCR, 0x14);
	assert_int_equal(rd(r, MSR), 0x40);
	wr(r, MCR, 0x10);
	assert_int_equal(rd(r, MSR), 0x04);
}

static void reset_forgets_everything(void **state)
{
	struct rig *r = *state;

	wr(r, FCR, 1);
	wr(r, IER, 3);
	type(r, "abc");
	uart_reset(r->u);
	assert_int_equal(r->level, 0);
	assert_int_equal(rd(r, LSR), 0x60);
	assert_int_equal(rd(r, IIR), 1);
}

static void works_without_a_back_end(void **state)
{
	struct irq none = { 0 };
	struct uart *u;
	unsigned i;

	assert_int_equal(uart_create(&u, NULL, &none, NULL), 0);
	for (i = 0; i < 8; i++) {
		uart_write(u, i, 0x5a);
		uart_read(u, i);
	}
	uart_reset(u);
	uart_destroy(u);
	uart_destroy(NULL);
}

/* ---- two threads ---- */

#define RACE_BYTES 20000u

/* A second CPU that takes reports and turns interrupts on and off */
static void *meddler(void *arg)
{
	struct rig *r = arg;
	unsigned i;

	for (i = 0; i < RACE_BYTES; i++) {
		uart_read(r->u, IIR);
		uart_write(r->u, SCR, (u8)i);
		uart_write(r->u, IER, i & 1 ? 3 : 1);
	}
	return NULL;
}

/* Loop thread's input and a vCPU's reads both change what the line should be; in the end
 * it must be what the registers say */
static void the_line_agrees_with_the_registers_after_a_race(void **state)
{
	struct rig *r = *state;
	pthread_t other;
	unsigned i, got = 0;
	u8 b = 'x';

	wr(r, FCR, 1);
	wr(r, IER, 1);
	assert_int_equal(pthread_create(&other, NULL, meddler, r), 0);
	for (i = 0; i < RACE_BYTES; i++) {
		chr_feed(r->chr, &b, 1);
		loop_step(r->loop, 0);
		if (uart_read(r->u, LSR) & 1)
			got += uart_read(r->u, DATA) == 'x';
	}
	pthread_join(other, NULL);
	assert_true(got > 0);
	/* drain */
	uart_write(r->u, IER, 1);
	do {
		while (loop_step(r->loop, 0))
			;
		while (uart_read(r->u, LSR) & 1)
			uart_read(r->u, DATA);
	} while (loop_step(r->loop, 0));
	assert_int_equal(uart_read(r->u, IIR) & 1, 1);
	assert_int_equal(r->level, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(power_on_state_is_the_data_sheets),
		T(linux_takes_it_for_a_16550a),
		T(divisor_hides_behind_dlab),
		T(output_goes_out_in_order),
		T(enabling_the_tx_interrupt_raises_it_each_time),
		T(each_byte_sent_raises_the_tx_interrupt_again),
		T(input_interrupts_until_it_was_read),
		T(input_below_the_trigger_is_a_timeout),
		T(causes_come_in_their_order),
		T(a_tx_interrupt_is_not_lost_behind_input),
		T(input_waits_for_room_in_the_fifo),
		T(without_fifo_there_is_one_byte),
		T(loopback_turns_output_into_input),
		T(loopback_joins_the_modem_lines),
		T(reset_forgets_everything),
		T(works_without_a_back_end),
		T(the_line_agrees_with_the_registers_after_a_race),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
