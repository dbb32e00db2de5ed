#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Running VMs: exit codes, serial ports, signals, pid file, pause, bad stdin
. "$HK_TOP/test/cli/lib.sh"
guests exit hello echo spin button triple odd_port halt

# --- exit codes
run "${pc[@]}" -f "multiboot,$guest/exit.elf"
expect "--debug-exit gives twice the value plus one" 15 ""
run -m 16M -f "multiboot,$guest/halt.elf"
expect "all CPUs halted with interrupts off: 0" 0 ""
run "${pc[@]}" -f "multiboot,$guest/triple.elf"
expect "a triple fault: 3, and registers on stderr" 3 "0000000000c0ffee"
run "${pc[@]}" -e -f "multiboot,$guest/odd_port.elf"
expect "-e: an unclaimed port ends with 1 and its name" 1 "Unhandled outb 0x1234 at 0x"
run --stats "${pc[@]}" -f "multiboot,$guest/exit.elf"
expect "--stats prints counters" 15 "uptime_ms"

# --- serial
run "${pc[@]}" -l com1,stdio -f "multiboot,$guest/hello.elf"
expect "stdin from /dev/null: output goes to stdout" 33 "" "hello from a bare guest"
run "${pc[@]}" -f "multiboot,$guest/hello.elf"
expect "an unconnected port swallows output" 33 ""
check "... all of it" [ ! -s "$out" ]
timeout -k 5 60 "$hk" "${pc[@]}" -l com1,stdio -f "multiboot,$guest/hello.elf" <&- >"$out" 2>"$err"
status=$?
expect "stdin closed" 33 "" "hello from a bare guest"
timeout -k 5 60 "$hk" "${pc[@]}" -l com1,stdio -f "multiboot,$guest/echo.elf" <<<"HALq" >"$out" 2>"$err"
status=$?
expect "stdin from a file reaches the guest" 33 "" "IBM"
printf 'HALq' | timeout -k 5 60 "$hk" "${pc[@]}" -l com1,stdio -f "multiboot,$guest/echo.elf" >"$out" 2>"$err"
status=$?
expect "stdin from a pipe reaches the guest" 33 "" "IBM"
timeout -k 5 60 "$hk" "${pc[@]}" -l com1,stdio -f "multiboot,$guest/hello.elf" </dev/null 2>"$err" | false
status=${PIPESTATUS[0]}
expect "a reader of stdout that goes away does not kill the VM" 33 ""
run "${pc[@]}" -l "com1,null,log=$HK_TMP/ring" -f "multiboot,$guest/hello.elf"
expect "null with a ring log" 33 ""
check "the ring log holds the output from its start" \
	[ "$(head -c 23 "$HK_TMP/ring")" = "hello from a bare guest" ]

# --- a VM in the background: start ARG... and wait for its "ready"
start() {
	: >"$out"
	"$hk" "${pc[@]}" -l com1,stdio "$@" </dev/null >"$out" 2>"$err" &
	vm=$!
	wait_for "$out" ready
}
finish() { # STATUS-variable only
	wait "$vm"
	status=$?
}
cpu_ticks() { awk '{print $14 + $15}' "/proc/$vm/stat"; }

start -f "multiboot,$guest/spin.elf"
kill -TERM "$vm"
finish
expect "SIGTERM kills while the guest has not enabled ACPI" 143 ""

start -A -f "multiboot,$guest/button.elf" --accel soft
kill -TERM "$vm"
finish
expect "SIGTERM presses the power button once the guest has ACPI" 0 "" pressed

start -A -f "multiboot,$guest/button.elf" --accel soft
before=$(cpu_ticks)
sleep 1
after=$(cpu_ticks)
check "an idle guest takes no CPU time" [ $((after - before)) -le 5 ]
kill -INT "$vm" # jobs of a script ignore it, and so does the command
kill -TERM "$vm"
finish
expect "an ignored SIGINT stays ignored" 0 "" pressed

start -c 2 -f "multiboot,$guest/spin.elf"
kill -USR1 "$vm"
wait_for "$err" "vcpu 1 waiting for signal to resume"
expect_pause=$?
before=$(cpu_ticks)
size=$(stat -c %s "$out")
sleep 0.5
after=$(cpu_ticks)
check "SIGUSR1 pauses and says so for each vcpu" [ $expect_pause = 0 ]
check "the pause is told on stdout" wait_for "$out" "received sigusr1, pausing"
check "nothing runs while paused" [ $((after - before)) -le 2 ]
kill -USR1 "$vm"
check "a second SIGUSR1" wait_for "$err" "freeze signal received, but we are already frozen"
kill -USR2 "$vm"
check "SIGUSR2 resumes and says so" wait_for "$err" "vcpu 1 received signal, resuming"
check "the resume is told on stdout" wait_for "$out" "received sigusr2, unpausing"
for ((i = 0; i < 200; i++)); do
	[ "$(stat -c %s "$out")" -gt $((size + 60)) ] && break
	sleep 0.05
done
check "the guest goes on after it" [ "$(stat -c %s "$out")" -gt $((size + 60)) ]
kill -USR2 "$vm"
check "a second SIGUSR2" wait_for "$err" "thaw signal received, but we are not frozen"
kill -USR1 "$vm"
sleep 0.1
kill -TERM "$vm"
finish
expect "a paused VM can be killed" 143 ""

# --- pid file
pidfile=$HK_TMP/hk.pid
start -F "$pidfile" -f "multiboot,$guest/spin.elf"
check "the pid file holds the pid and no newline" [ "$(od -An -c "$pidfile" | tr -d ' \n')" = "$vm" ]
timeout 20 "$hk" -F "$pidfile" "${pc[@]}" -f "multiboot,$guest/exit.elf" </dev/null >"$HK_TMP/out2" 2>"$HK_TMP/err2"
status=$?
check "a pid file in use is refused with 1" [ "$status" = 1 ]
check "... and with words" grep -qF "Failed to set up pidfile" "$HK_TMP/err2"
check "the other's pid file stays" [ -e "$pidfile" ]
kill -KILL "$vm"
finish 2>/dev/null
check "SIGKILL leaves the pid file" [ -e "$pidfile" ]
run -F "$pidfile" "${pc[@]}" -f "multiboot,$guest/exit.elf"
expect "the pid file of a dead process is taken over" 15 ""
check "the pid file is gone after the end" [ ! -e "$pidfile" ]
echo "not a pid" >"$pidfile"
run -F "$pidfile" "${pc[@]}" -f "multiboot,$guest/exit.elf"
expect "a file that holds no pid is left alone" 1 "Failed to set up pidfile"
check "... untouched" grep -qx "not a pid" "$pidfile"
run -F "$HK_TMP/no/dir/pid" "${pc[@]}" -f "multiboot,$guest/exit.elf"
expect "a pid file that cannot be made" 1 "pidfile error -1"
rm -f "$pidfile"
run -F "$pidfile" "${pc[@]}" -f multiboot,/no/kernel
check "the pid file is gone after an error" [ ! -e "$pidfile" ]

# --- pty
: >"$out"
"$hk" "${pc[@]}" -l "com1,autopty=$HK_TMP/tty" -f "multiboot,$guest/echo.elf" </dev/null >"$out" 2>"$err" &
vm=$!
check "autopty tells the pty on stdout" wait_for "$out" "COM1 connected to /dev/pts/"
check "... after the link's name" [ "$(head -n 1 "$out")" = "linkname $HK_TMP/tty" ]
tty=$(cat "$HK_TMP/tty")
check "the link is a file with the pty's name and no newline" \
	[ "$(sed -n 's/^COM1 connected to //p' "$out")" = "$tty" -a "$(wc -l <"$HK_TMP/tty")" = 0 ]
check "a pty that nobody opens does not keep the VM busy" [ "$(cpu_ticks)" -lt 3000 ]
stty -F "$tty" raw -echo 2>/dev/null
exec 3<>"$tty"
printf 'HAL' >&3
answer=
for ((i = 0; i < 100; i++)); do
	IFS= read -r -t 0.1 -n 64 -u 3 part || true
	answer+=$part
	[[ $answer == *IBM* ]] && break
done
check "bytes go both ways through the pty" [ "${answer##*IBM*}" = "" -a -n "$answer" ]
printf 'q' >&3
wait "$vm"
status=$?
exec 3>&-
expect "the guest ends by a key from the pty" 33 ""

done_testing
