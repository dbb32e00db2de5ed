// SPDX-License-Identifier: BSD-2-Clause
/* The first line of a host program */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "backend/vsock/vsk.h"

struct row {
	const char *line;
	int rc;
	u32 port;
};

static void check(enum vsk_line kind, const struct row *row, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		u32 port = 0xdead;
		int rc = vsk_line_parse(kind, row[i].line, strlen(row[i].line), 3, &port);

		if (rc != row[i].rc || (rc > 0 && port != row[i].port))
			fail_msg("\"%s\": %d, port %u", row[i].line, rc, port);
		/* Every beginning of a good line is an incomplete one */
		for (int k = 0; rc > 0 && k < rc; k++)
			assert_int_equal(vsk_line_parse(kind, row[i].line, (size_t)k, 3, &port), 0);
	}
}

static void hyperkits_line_is_18_bytes_of_hexadecimal(void **state)
{
	static const struct row row[] = {
		{ "00000003.0000f3a5\n", 18, 0xf3a5 },
		{ "00000003.0000F3A5\nand more", 18, 0xf3a5 },
		{ "00000003.ffffffff\n", 18, 0xffffffff },
		{ "00000004.0000f3a5\n", -EADDRNOTAVAIL, 0 },
		{ "00000003.0000f3a5 ", -EINVAL, 0 },
		{ "00000003:0000f3a5\n", -EINVAL, 0 },
		{ "0000000g.0000f3a5\n", -EINVAL, 0 },
		{ "00000003.0x00f3a5\n", -EINVAL, 0 },
		{ " 0000003.0000f3a5\n", -EINVAL, 0 },
		{ "3.5\n", -EINVAL, 0 },
		{ "\n", -EINVAL, 0 },
		{ "", 0, 0 },
	};

	check(VSK_LINE_CID, row, ARRAY_LEN(row));
}

static void firecrackers_line_is_connect_and_a_number(void **state)
{
	static const struct row row[] = {
		{ "CONNECT 52\n", 11, 52 },
		{ "connect 52\nbytes", 11, 52 },
		{ "CONNECT 4294967295\n", 19, 0xffffffff },
		{ "CONNECT 4294967296\n", -EINVAL, 0 },
		{ "CONNECT \n", -EINVAL, 0 },
		{ "CONNECT\n", -EINVAL, 0 },
		{ "CONNECT 5 2\n", -EINVAL, 0 },
		{ "CONNECT 0x52\n", -EINVAL, 0 },
		{ "CONNECT -1\n", -EINVAL, 0 },
		{ "CONNECT 52\r\n", 12, 52 },
		{ "CONNECT \r\n", -EINVAL, 0 },
		{ "GET / HTTP/1.0\n", -EINVAL, 0 },
		{ "CONNECT 00000000000000000000000", 0, 0 },
		{ "CONNECT 000000000000000000000000", -EINVAL, 0 },
		{ "X", -EINVAL, 0 },
	};

	check(VSK_LINE_CONNECT, row, ARRAY_LEN(row));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hyperkits_line_is_18_bytes_of_hexadecimal),
		cmocka_unit_test(firecrackers_line_is_connect_and_a_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
