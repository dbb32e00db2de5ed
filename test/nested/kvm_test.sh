#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# test/nested/kvm_test.sh - hyperkit on real KVM, on machines without VT-x or AMD-V
#
# QEMU's TCG emulates a CPU with AMD-V. In it boots Debian's cloud kernel with
# kvm-amd and our programs in its RAM disk. There the accelerator's conformance
# suite runs, then hyperkit --accel kvm boots the same kernel once more. What the
# inner guest says is prefixed with "L2: ", so the outer one's lines cannot be taken for it.
# timeout: 450
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${HK_BUILD:-$PWD/build}
tmp=${HK_TMP:-$(mktemp -d)}
guest=build/guest/cloud

skip() {
	echo "$*"
	exit 77
}
[ "${HK_MODE:-release}" = release ] || skip "real KVM under emulation is tested with the release build only"
command -v qemu-system-x86_64 >/dev/null || skip "no qemu-system-x86_64 (apt-get install qemu-system-x86)"
[ -x "$build/hyperkit" ] || skip "$build/hyperkit is not built"
[ -x "$build/test/accel/accel_test" ] || skip "$build/test/accel/accel_test is not built"
tools/guest-images cloud >"$tmp/images.log" 2>&1 || skip "no Linux guest: $(tail -n 1 "$tmp/images.log")"

# Process 1 of the outer guest runs it and prints its exit status
cat >"$tmp/nested" <<'END'
#!/bin/sh
grep -q -w svm /proc/cpuinfo || { echo "nested: the CPU has no AMD-V"; exit 90; }
[ -c /dev/kvm ] || { echo "nested: no /dev/kvm"; exit 91; }
# What QEMU's emulation of AMD-V gets wrong: VMRUN does not arm breakpoints in DR7, and a
# store that first takes a nested page fault does not refetch the instruction behind it
CMOCKA_MESSAGE_OUTPUT=TAP /bin/accel_test -x breakpoint_stops_before_its_instruction \
	-x code_that_was_just_written_runs kvm 2>&1 | tee /tmp/accel.log | sed 's/^/accel: /'
grep -q '^# ok - accel' /tmp/accel.log; echo "nested: conformance $?"
/bin/hyperkit info | sed 's/^/info: /'
boot() { # CPUS MEMORY RUN
	timeout -s KILL 60 /bin/hyperkit --accel kvm -A -u -c "$1" -m "$2" -s 0:0,hostbridge -s 31,lpc -l com1,stdio \
		-f "kexec,/vm/vmlinuz,/vm/initrd,console=ttyS0 quiet hk.run=$3" </dev/null >/tmp/vm.log 2>&1
	echo "nested: $3 with $1 CPUs ended with $?"
	sed 's/^/L2: /' /tmp/vm.log
}
boot 2 256M selfcheck
boot 1 256M reboot
boot 1 256M halt
exit 0
END
chmod 755 "$tmp/nested"

files=(-f "$tmp/nested:bin/nested" -f "$build/hyperkit:bin/hyperkit"
	-f "$build/test/accel/accel_test:bin/accel_test"
	-f "$guest/vmlinuz:vm/vmlinuz" -f "$guest/test.img:vm/initrd")
# Shared libraries under the names that the loader looks for
while read -r lib; do
	files+=(-f "$lib:${lib#/}")
done < <(ldd "$build/hyperkit" "$build/test/accel/accel_test" | grep -o '/[^ ]*\.so[^ ]*' | sort -u)
tools/guest-images initrd cloud "$tmp/outer.img" -m kvm_amd "${files[@]}" -r /bin/nested

# Without XSAVE, because this QEMU does not let KVM see the guest's XSETBV: KVM then
# runs the guest with the XCR0 of reset, and the guest's own saved state does not fit
cpu=max,+svm,+npt,-xsave,-avx,-avx2,-pku
# One CPU: with several, QEMU's threads lose an interrupt now and then while one runs a
# nested guest, and the outer kernel locks up
start=$(date +%s)
timeout -k 5 400 qemu-system-x86_64 -accel tcg -cpu $cpu -smp 1 -m 1536 \
	-kernel $guest/vmlinuz -initrd "$tmp/outer.img" \
	-append "console=ttyS0 quiet panic=-1 hk.run=/bin/nested" \
	-nodefaults -no-user-config -display none -serial stdio -no-reboot \
	</dev/null 2>"$tmp/qemu.err" | tr -d '\r' >"$tmp/console.log" || true
echo "nested run took $(($(date +%s) - start)) s"

bad=0
expect() { # WHAT PATTERN
	if grep -Eq -- "$2" "$tmp/console.log"; then
		echo "ok - $1"
	else
		echo "not ok - $1"
		bad=1
	fi
}
expect "the conformance suite passes on real KVM" '^nested: conformance 0$'
expect "auto takes KVM where the CPU has AMD-V" '^info: .*kvm.*'
expect "Linux boots to init" '^L2: hk-init: up'
expect "two CPUs and no complaint of the kernel" '^L2: hk-init: selfcheck ok$'
expect "kvm-clock is the clock" '^L2: clocksource +kvm-clock$'
expect "poweroff ends with 0" '^nested: selfcheck with 2 CPUs ended with 0$'
expect "reboot ends with 2" '^nested: reboot with 1 CPUs ended with 2$'
expect "a guest that halts ends with 0" '^nested: halt with 1 CPUs ended with 0$'
expect "process 1 of the outer guest is content" '^hk-init: exit 0$'
if [ $bad = 1 ]; then
	cat "$tmp/qemu.err"
	cp "$tmp/console.log" "$build/nested-console.log"
	tail -n 120 "$tmp/console.log"
fi
exit $bad
