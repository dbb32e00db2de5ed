#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Debian's cloud kernel under KVM, where the CPU has it
# timeout: 300
set -u
# shellcheck source=test/lib/boot.sh
. "$HK_TOP/test/lib/boot.sh"
need_kernel cloud
need_accel kvm

for cpus in 1 2; do
	boot 60 "hk.run=selfcheck" --accel kvm -c $cpus -m 512M </dev/null
	want_status 0
	want_line '^hk-init: selfcheck ok'
	want_calm
	verdict "it_boots_and_is_content_with_${cpus}_cpus"
done
boot 60 "quiet hk.run=reboot" --accel kvm -c 2 -m 512M </dev/null
want_status 2
verdict "reboot_ends_with_2"
boot 60 "quiet hk.run=halt" --accel kvm -c 2 -m 512M </dev/null
want_status 0
verdict "halt_ends_with_0"
plan
