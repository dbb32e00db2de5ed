#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# timeout: 240
# Guests with bad manners (hostile.c): the VM may end as guests can end, or go on; the
# command neither dies nor stops answering. HK_SEEDS="1 2 3" runs others than usual.
. "$HK_TOP/test/cli/lib.sh"
guests hostile

# hostile MODE SEED MUST-FINISH: odd seeds are run with two CPUs
hostile() {
	local i name="$1, seed $2" answered=yes

	: >"$err"
	"$hk" --accel soft -m 16M -c $((1 + ($2 & 1))) -s 0:0,hostbridge -s 3,dummy -s 4,uart -s 31,lpc \
		-l com1,stdio -f "multiboot,$guest/hostile.elf,,$1 $2" </dev/null >"$out" 2>"$err" &
	vm=$!
	for ((i = 0; i < 80; i++)); do
		kill -0 "$vm" 2>/dev/null || break
		sleep 0.05
	done
	if kill -USR1 "$vm" 2>/dev/null; then
		wait_for "$err" "waiting for signal to resume" || answered=
	fi
	# Unless it came to its end just now
	if kill -0 "$vm" 2>/dev/null; then
		if [ -z "$answered" ]; then
			not_ok "$name: answers while the guest loops" "no pause within 20 s"
		elif [ -n "$3" ]; then
			not_ok "$name: comes to its end" "still running"
		else
			ok "$name: answers while the guest loops"
		fi
		kill -KILL "$vm"
		wait "$vm" 2>/dev/null
		return
	fi
	wait "$vm" 2>/dev/null
	status=$?
	if grep -qE 'Sanitizer|runtime error|cannot go on|cannot run' "$err"; then
		not_ok "$name" "status $status, and words that must not be"
	elif [ -n "$3" ] && { [ $status != 0 ] || ! tail -c 5 "$out" | grep -q 'done'; }; then
		not_ok "$name" "status $status and no end of the run"
	else
		case $status in
		0 | 2 | 3) ok "$name" ;;
		*) not_ok "$name" "status $status" ;;
		esac
	fi
}

for seed in ${HK_SEEDS:-0 1 2 3}; do
	hostile ports "$seed" finish
	hostile msr "$seed" finish
	hostile control "$seed" finish
	# These may move or switch off the serial port, jump into a device, or reset a CPU
	hostile memory "$seed"
	hostile pci "$seed"
	hostile apic "$seed"
	hostile code "$seed"
done

done_testing
