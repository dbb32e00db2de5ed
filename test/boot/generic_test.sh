#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Debian's other kernel, linux-image-amd64, on the software CPU
# timeout: 300
set -u
# shellcheck source=test/lib/boot.sh
. "$HK_TOP/test/lib/boot.sh"
need_kernel generic

for cpus in 1 2; do
	boot 120 "hk.run=selfcheck" --accel soft -c $cpus -m 1G </dev/null
	want_status 0
	want_line '^hk-init: selfcheck ok'
	want_calm
	verdict "it_boots_and_is_content_with_${cpus}_cpus"
done
plan
