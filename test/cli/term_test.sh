#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# timeout: 240
# The user's terminal: raw while the guest has it, as it was before on every way out. Also
# input and output that are closed, full, files, or go away.
. "$HK_TOP/test/cli/lib.sh"
guests exit echo halt spin triple hello button reset_kbd

run_pc=("${pc[@]}" -l com1,stdio)

# --- without a terminal
timeout -k 5 60 "$hk" "${run_pc[@]}" -f "multiboot,$guest/hello.elf" <&- >"$out" 2>"$err"
status=$?
expect "stdin closed" 33 "" "hello from a bare guest"
timeout -k 5 60 "$hk" "${run_pc[@]}" -f "multiboot,$guest/hello.elf" </dev/null >&- 2>"$err"
status=$?
: >"$out"
expect "stdout closed" 33 ""
timeout -k 5 60 "$hk" "${run_pc[@]}" -f "multiboot,$guest/hello.elf" <&- >&- 2>&-
status=$?
: >"$err"
expect "all three closed" 33 ""
timeout -k 5 60 "$hk" "${run_pc[@]}" -f "multiboot,$guest/hello.elf" </dev/null >/dev/full 2>"$err"
status=$?
expect "stdout full" 33 ""
timeout -k 5 60 "$hk" "${run_pc[@]}" -f "multiboot,$guest/triple.elf" </dev/null >/dev/full 2>/dev/full
status=$?
: >"$err"
expect "stdout and stderr full: the status stays" 3 ""
printf 'HALq' >"$HK_TMP/input"
timeout -k 5 60 "$hk" "${run_pc[@]}" -f "multiboot,$guest/echo.elf" <"$HK_TMP/input" >"$out" 2>"$err"
status=$?
expect "stdin is a file" 33 "" IBM
check "the file is as it was" [ "$(cat "$HK_TMP/input")" = HALq ]
timeout -k 5 60 "$hk" "${run_pc[@]}" -f "multiboot,$guest/hello.elf" <"$HK_TMP" >"$out" 2>"$err"
status=$?
check "stdin is a directory: told, or no input" [ "$status" = 33 -o "$status" = 1 ]
"$hk" "${run_pc[@]}" -f "multiboot,$guest/spin.elf" </dev/null 2>"$err" | head -c 20 >"$out" &
vm=$(jobs -p)
check "a reader that goes away in the middle leaves the VM running" wait_for "$out" ready
sleep 0.2
vm=$(pgrep -P $$ -f "$guest/spin.elf")
kill -TERM "$vm" 2>/dev/null
wait
check "... until it is told to end" [ -n "$vm" ]

if ! command -v script >/dev/null; then
	echo "ok $((n += 1)) - terminal # SKIP script: not installed"
	done_testing
fi

# --- on a terminal of script(1). What runs there is a file: quoting is one level less
# on_tty NAME BODY: the body starts the VM with vm ARG..., and says in $result what went wrong
on_tty() {
	cat >"$HK_TMP/body" <<-END
		out=$out err=$err hk=$hk guest=$guest HK_TMP=$HK_TMP
		pc=(${run_pc[*]})
		vm() {
			env --default-signal "\$hk" "\${pc[@]}" "\$@" </dev/tty >/dev/tty 2>"\$err" &
			vm=\$!
		}
		is_raw() { stty -a </dev/tty | grep -q -- -icanon; }
		until_raw() {
			local i
			for ((i = 0; i < 400; i++)); do is_raw && return; sleep 0.02; done
			result+=" never-raw"
		}
		# A signal that comes before env(1) ran is ignored, as of any background job: repeat
		signal_until_gone() { # NAME
			local i
			for ((i = 0; i < 400; i++)); do
				[ \$((i % 40)) = 0 ] && kill -"\$1" \$vm 2>/dev/null
				[ -n "\$(jobs -rp)" ] || return
				sleep 0.05
			done
		}
		ended() { # STATUS
			wait \$vm
			rc=\$?
			[ \$rc = "\$1" ] || result+=" status-\$rc-not-\$1"
		}
		state() { stty -g; sed -n 's/^flags:/flags/p' /proc/self/fdinfo/0 /proc/self/fdinfo/1; }
		result=
		state </dev/tty >"\$HK_TMP/before"
		$2
		state </dev/tty >"\$HK_TMP/after"
		cmp -s "\$HK_TMP/before" "\$HK_TMP/after" || result+=" terminal-not-restored"
		is_raw && result+=" still-raw"
		echo "result:\$result" >"\$HK_TMP/result"
	END
	rm -f "$HK_TMP/result"
	timeout -k 5 60 script -qec "bash $HK_TMP/body" /dev/null </dev/null >"$out" 2>&1
	check "$1" grep -qx 'result:' "$HK_TMP/result"
	[ "$(cat "$HK_TMP/result" 2>/dev/null)" = result: ] || sed 's/^/# /' "$HK_TMP/result" "$err"
}

on_tty "the guest's own end" 'vm -f "multiboot,$guest/exit.elf"; ended 15'
on_tty "every CPU halted" 'vm -f "multiboot,$guest/halt.elf"; ended 0'
on_tty "a triple fault" 'vm -f "multiboot,$guest/triple.elf"; ended 3'
on_tty "a reset" 'vm -f "multiboot,$guest/reset_kbd.elf"; ended 2'
on_tty "a kernel that is not there" 'vm -f multiboot,/no/kernel; ended 1'
on_tty "a bad option behind the serial port" 'vm -c 0 -f "multiboot,$guest/exit.elf"; ended 1'
on_tty "a second device in a slot" 'vm -s 31,lpc -f "multiboot,$guest/exit.elf"; ended 1'
for sig in TERM:143 INT:130 HUP:129 QUIT:131 SEGV:139 ABRT:134 ALRM:142 XCPU:152; do
	on_tty "SIG${sig%:*} while the guest runs" \
		"vm -f \"multiboot,\$guest/spin.elf\"; until_raw; kill -${sig%:*} \$vm; ended ${sig#*:}"
done
for sig in TERM:143 INT:130 HUP:129 QUIT:131; do
	for delay in 0 0.002 0.005 0.01 0.02; do
		on_tty "SIG${sig%:*} $delay s after the start" \
			"vm -f \"multiboot,\$guest/spin.elf\"; sleep $delay; signal_until_gone ${sig%:*}; ended ${sig#*:}"
	done
done
on_tty "SIGTERM while paused" 'vm -f "multiboot,$guest/spin.elf"; until_raw; kill -USR1 $vm; sleep 0.1
	kill -TERM $vm; ended 143'
on_tty "SIGTERM twice" 'vm -f "multiboot,$guest/spin.elf"; until_raw; kill -TERM $vm; kill -TERM $vm; ended 143'
on_tty "the power button" 'vm --accel soft -A -f "multiboot,$guest/button.elf"; until_raw; sleep 0.5
	kill -TERM $vm; ended 0'
on_tty "a user who never types" 'vm -f "multiboot,$guest/echo.elf"; until_raw; sleep 0.2; kill -TERM $vm; ended 143'
on_tty "input that was closed, output a terminal" \
	'"$hk" "${pc[@]}" -f "multiboot,$guest/hello.elf" <&- >/dev/tty 2>"$err"; [ $? = 33 ] || result+=" status"'
on_tty "two VMs on one terminal" 'vm -f "multiboot,$guest/spin.elf"; until_raw; first=$vm
	stty sane </dev/tty; state </dev/tty >/dev/null; kill -TERM $first; wait $first; stty "$(head -n 1 $HK_TMP/before)" </dev/tty'

# ctrl-C is the guest's, and bytes that were typed early are not lost
cat >"$HK_TMP/body" <<-END
	$hk ${run_pc[*]} -f multiboot,$guest/echo.elf
	echo "status:\$?" >"$HK_TMP/result"
END
rm -f "$HK_TMP/result"
{
	sleep 2
	printf 'HAL\003q'
	sleep 5
} | timeout -k 5 60 script -qec "bash $HK_TMP/body" /dev/null >"$out" 2>"$err"
check "ctrl-C goes to the guest" grep -qx 'status:33' "$HK_TMP/result"
check "... and so does what was typed" grep -q IBM "$out"

# The terminal goes away: the VM ends by SIGHUP and does not spin
cat >"$HK_TMP/body" <<-END
	$hk ${run_pc[*]} -F $HK_TMP/pid -f multiboot,$guest/spin.elf
END
timeout -k 5 60 script -qec "exec bash $HK_TMP/body" /dev/null </dev/null >"$out" 2>"$err" &
tty=$!
wait_for "$out" ready
pid=$(cat "$HK_TMP/pid")
pkill -KILL -P "$tty" script
wait "$tty" 2>/dev/null
for ((i = 0; i < 200; i++)); do kill -0 "$pid" 2>/dev/null || break; sleep 0.05; done
check "a terminal that goes away ends the VM" [ "$i" -lt 200 ]
check "... and its pid file is gone" [ ! -e "$HK_TMP/pid" ]
kill -KILL "$pid" 2>/dev/null

# --- a pty that nobody opens, and one whose user comes and goes
"$hk" "${pc[@]}" -l "com1,autopty=$HK_TMP/tty" -f "multiboot,$guest/spin.elf" </dev/null >"$out" 2>"$err" &
vm=$!
wait_for "$out" "COM1 connected to"
sleep 0.5
check "output to a pty that nobody opens does not stop the VM" kill -0 "$vm"
pts=$(cat "$HK_TMP/tty")
for ((i = 0; i < 5; i++)); do head -c 8 "$pts" >/dev/null; done
check "users of a pty may come and go" kill -0 "$vm"
kill -TERM "$vm"
wait "$vm" 2>/dev/null
status=$?
expect "... and SIGTERM ends it" 143 ""
run "${pc[@]}" -l "com1,autopty=$HK_TMP/no/dir/tty" -f "multiboot,$guest/exit.elf"
expect "a pty's file that cannot be made" 1 "Unable to initialize backend"
mkdir "$HK_TMP/dir"
run "${pc[@]}" -l "com1,autopty=$HK_TMP/dir" -f "multiboot,$guest/exit.elf"
expect "a pty's file that is a directory" 1 "Unable to initialize backend"
check "... and nothing is left beside it" [ "$(find "$HK_TMP" -maxdepth 1 -name 'dir.*' | wc -l)" = 0 ]

# --- pid files
ln -s "$HK_TMP/elsewhere" "$HK_TMP/link"
run -F "$HK_TMP/link" "${pc[@]}" -f "multiboot,$guest/exit.elf"
expect "a pid file that is a link to nowhere is not followed" 1 "Failed to set up pidfile"
check "... nothing was made there" [ ! -e "$HK_TMP/elsewhere" ]
run -F "$HK_TMP/dir" "${pc[@]}" -f "multiboot,$guest/exit.elf"
expect "a pid file that is a directory" 1 "Failed to set up pidfile"
run -F "" "${pc[@]}" -f "multiboot,$guest/exit.elf"
expect "a pid file without a name" 1 "pidfile"
run -F /dev/full "${pc[@]}" -f "multiboot,$guest/exit.elf"
expect "a pid file that is a device" 1 "Failed to set up pidfile"
check "... which stays" [ -c /dev/full ]
: >"$HK_TMP/empty.pid"
run -F "$HK_TMP/empty.pid" "${pc[@]}" -f "multiboot,$guest/exit.elf"
expect "an empty pid file is another's that is starting" 1 "Failed to set up pidfile"
for text in -1 0 1 99999999999999999999 "$$ junk" "$$"; do
	printf '%s' "$text" >"$HK_TMP/odd.pid"
	run -F "$HK_TMP/odd.pid" "${pc[@]}" -f "multiboot,$guest/exit.elf"
	expect "a pid file that says '${text/$$/(a living pid)}'" 1 "Failed to set up pidfile"
	check "... is left as it was" [ "$(cat "$HK_TMP/odd.pid")" = "$text" ]
done

done_testing
