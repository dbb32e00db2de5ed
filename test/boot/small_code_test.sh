#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The software CPU with 2 MiB for translated code: it is emptied again and again under
# running vCPUs
# timeout: 300
set -u
# shellcheck source=test/lib/boot.sh
. "$HK_TOP/test/lib/boot.sh"
need_kernel cloud
hyperkit=$HK_BUILD/test/boot/hyperkit-small-code

for cpus in 1 2; do
	for round in 1 2; do
		boot 90 "hk.run=selfcheck" --accel soft --stats -c $cpus -m 512M </dev/null
		want_status 0
		want_line '^hk-init: selfcheck ok'
		want_calm
		grep -qE '^soft: code .* flushes [1-9][0-9]' "$err" "$out" || fail "the code memory was not emptied"
		verdict "it_survives_emptying_its_code_memory_with_${cpus}_cpus_round_$round"
	done
done
plan
