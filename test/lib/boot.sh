# SPDX-License-Identifier: BSD-2-Clause
# test/lib/boot.sh - boots of Debian's kernels for tests; sourced by bash scripts
#
# need_kernel FLAVOUR; then for each test: boot ...; verdict NAME
# boot leaves $status, $out (console and stdout, no CR) and $err (stderr) behind.
# shellcheck shell=bash
# shellcheck disable=SC2034 # for those who source us

n=0 bad=()
hyperkit=$HK_BUILD/hyperkit
out=$HK_TMP/out err=$HK_TMP/err status=0
slow=1
case ${HK_MODE:-release} in asan | tsan | cov) slow=4 ;; esac

need_kernel() { # FLAVOUR: sets $kernel and $initrd
	kernel=$HK_TOP/build/guest/$1/vmlinuz initrd=$HK_TOP/build/guest/$1/test.img
	[ -e "$kernel" ] && [ -e "$initrd" ] && return
	echo "1..0 # SKIP linux: no build/guest/$1 (tools/guest-images $1)"
	exit 77
}
need_accel() { # NAME: one that can boot kernels
	"$hyperkit" info 2>/dev/null | grep -qE "^ *$1 +works" && return
	echo "1..0 # SKIP $1: the accelerator cannot boot kernels here"
	exit 77
}

# boot SECONDS COMMAND-LINE OPTION...: stdin is the guest's keyboard
boot() {
	local limit=$(($1 * slow)) append=$2
	shift 2
	timeout -k 5 "$limit" "$hyperkit" -A -u -s 0:0,hostbridge -s 31,lpc -l com1,stdio "$@" \
		-f "kexec,$kernel,$initrd,console=ttyS0 $append" >"$out.raw" 2>"$err"
	status=$?
	tr -d '\r' <"$out.raw" >"$out"
}

fail() { bad+=("$*"); }
want_status() { [ "$status" = "$1" ] || fail "status $status instead of $1"; }
want_line() { grep -qE -- "$1" "$out" || fail "no line like: $1"; }
want_no_line() { # a line that must not be there
	local l
	l=$(grep -m 1 -E -- "$1" "$out") && fail "unwanted line: $l"
}
# What no healthy boot says
want_calm() {
	want_no_line 'soft lockup|hard LOCKUP|clocksource.*(unstable|skewed)|BUG:|WARNING:|Call Trace:|Oops|rcu.*stall|Kernel panic'
}

verdict() { # NAME
	n=$((n + 1))
	if [ ${#bad[@]} = 0 ]; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1"
		printf '# %s\n' "${bad[@]}"
		tail -n 30 "$out" | sed 's/^/# out: /'
		tail -n 20 "$err" | sed 's/^/# err: /'
	fi
	bad=()
}
plan() { echo "1..$n"; }
