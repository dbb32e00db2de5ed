#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Debian's cloud kernel on the software CPU: to init, to a shell, and out again
# timeout: 600
set -u
# shellcheck source=test/lib/boot.sh
. "$HK_TOP/test/lib/boot.sh"
need_kernel cloud
vm=(--accel soft)

for cpus in 1 2 4; do
	boot 90 "hk.run=selfcheck" "${vm[@]}" -c $cpus -m 512M </dev/null
	want_status 0
	want_line '^hk-init: up '
	want_line "^CPUs +$cpus "
	want_line '^hk-init: selfcheck ok'
	want_calm
	verdict "it_boots_and_is_content_with_${cpus}_cpus"
done

boot 90 "quiet hk.run=selfcheck" "${vm[@]}" -c 2 -m 256M </dev/null
want_status 0
want_line '^hk-init: selfcheck ok'
verdict "256_mib_are_enough"

boot 120 "quiet hk.run=selfcheck" "${vm[@]}" -c 2 -m 6G </dev/null
want_status 0
want_line '^memory +[56][0-9]{6} kB'
want_line '^hk-init: selfcheck ok'
verdict "memory_above_4_gib_is_found"

boot 90 "quiet hk.run=poweroff" "${vm[@]}" -c 2 -m 512M </dev/null
want_status 0
verdict "poweroff_ends_with_0"

boot 90 "quiet hk.run=reboot" "${vm[@]}" -c 2 -m 512M </dev/null
want_status 2
verdict "reboot_ends_with_2"

boot 90 "quiet hk.run=halt" "${vm[@]}" -c 2 -m 512M </dev/null
want_status 0
want_line 'System halted'
verdict "halt_ends_with_0"

boot 90 "hk.run=crash panic=-1" "${vm[@]}" -c 2 -m 512M </dev/null
want_status 2
want_line 'Kernel panic - not syncing: sysrq triggered crash'
verdict "a_panic_that_reboots_ends_with_2"

# A shell: type when it is there, with ctrl-C in between
keys=$HK_TMP/keys
mkfifo "$keys"
boot 90 "quiet hk.run=shell" "${vm[@]}" -c 2 -m 512M <"$keys" &
pid=$!
exec 8>"$keys"
wait_for() { # TEXT in the console, at most 60 s
	local i
	for ((i = 0; i < 600 * slow; i++)); do
		grep -qaE -- "$1" "$out.raw" 2>/dev/null && return
		kill -0 $pid 2>/dev/null || return
		read -r -t 0.1 <> <(:)
	done
}
wait_for 'busybox shell in the guest'
printf 'echo sum $((6*7))\n' >&8
wait_for '^sum 42'
# What is typed is echoed before the program runs: wait for a word of its own
printf "sh -c 'echo go\$((1)); exec sleep 1000'\n" >&8
wait_for '^go1'
printf '\003' >&8
printf 'echo after the $((1+1))nd\n' >&8
wait_for 'after the 2nd'
printf 'exit\n' >&8
exec 8>&-
wait $pid
status=$?
tr -d '\r' <"$out.raw" >"$out"
grep -q 'reboot: Power down' "$out" || fail "no power down"
want_line '^sum 42'
want_line '^after the 2nd'
verdict "a_shell_reads_what_is_typed_and_ctrl_c_stops_a_program"
plan
