#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The program of docs/embedding.md boots Debian's kernel
set -u
example=$HK_BUILD/examples/boot_linux
guest=$HK_TOP/build/guest/cloud
if ! cmp -s <(sed -n '/^```c/,/^```$/p' "$HK_TOP/docs/embedding.md" | sed '1d;$d') \
	<(sed -n '/^#include <hyperkit/,$p' "$HK_TOP/examples/boot_linux.c"); then
	echo "docs/embedding.md and examples/boot_linux.c differ"
	exit 1
fi
"$example" /no/such/kernel x y 2>&1 | grep -q '/no/such/kernel' || { echo "a missing kernel is not named"; exit 1; }
if [ ! -e "$guest/vmlinuz" ]; then
	echo "linux: no build/guest/cloud (tools/guest-images cloud)"
	exit 77
fi
timeout -k 5 100 "$example" "$guest/vmlinuz" "$guest/test.img" "console=ttyS0 quiet hk.run=poweroff" >"$HK_TMP/out" 2>&1
rc=$?
cat "$HK_TMP/out"
[ $rc = 0 ] && grep -q '^hk-init: up' "$HK_TMP/out" && grep -q '^the guest ended: ' "$HK_TMP/out"
