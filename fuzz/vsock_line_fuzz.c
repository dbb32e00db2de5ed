// SPDX-License-Identifier: BSD-2-Clause
/* fuzz/vsock_line_fuzz.c - The line that a host program writes first (backend/vsock/hello.c) */
#include <stdlib.h>
#include <string.h>

#include "backend/vsock/vsk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	size_t len = n < VSK_LINE_MAX ? n : VSK_LINE_MAX;
	char *s = malloc(len ? len : 1); /* exactly as long, so that a look beyond is seen */

	memcpy(s, data, len);
	for (int kind = VSK_LINE_CID; kind <= VSK_LINE_CONNECT; kind++) {
		u32 port = 0;
		int rc = vsk_line_parse(kind, s, len, 3, &port);

		if (rc > (int)len || (rc > 0 && s[rc - 1] != '\n'))
			abort();
		/* What is refused or whole does not change when more bytes come */
		for (size_t k = 0; k < len; k++) {
			int early = vsk_line_parse(kind, s, k, 3, &port);

			if (early > 0 && early != rc)
				abort();
			if (early < 0 && rc >= 0)
				abort();
		}
	}
	free(s);
	return 0;
}
