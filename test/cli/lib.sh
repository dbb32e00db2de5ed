# SPDX-License-Identifier: BSD-2-Clause
# test/cli/lib.sh - one test a line, for scripts that check the command; sourced by bash
# shellcheck shell=bash
# shellcheck disable=SC2034 # for those who source us

hk=$HK_BUILD/hyperkit
n=0 failed=0 status=0
out=$HK_TMP/out err=$HK_TMP/err

ok() { n=$((n + 1)); echo "ok $n - $1"; }
not_ok() { # NAME WHY...
	n=$((n + 1)) failed=$((failed + 1))
	echo "not ok $n - $1"
	shift
	printf '# %s\n' "$@"
	head -n 12 "$out" | sed 's/^/# out: /'
	head -n 12 "$err" | sed 's/^/# err: /'
}
done_testing() {
	echo "1..$n"
	[ $failed = 0 ]
	exit
}

# run ARG...: the command with no input; $status, $out and $err are left behind
run() {
	timeout -k 5 60 "$hk" "$@" </dev/null >"$out" 2>"$err"
	status=$?
}

# expect NAME STATUS STDERR-TEXT [STDOUT-TEXT]: of the last run; fixed strings, '' = do not look
expect() {
	local why=()
	[ "$status" = "$2" ] || why+=("status $status instead of $2")
	[ -z "$3" ] || grep -qF -- "$3" "$err" || why+=("stderr lacks: $3")
	[ -z "${4:-}" ] || grep -qF -- "$4" "$out" || why+=("stdout lacks: $4")
	if [ ${#why[@]} = 0 ]; then ok "$1"; else not_ok "$1" "${why[@]}"; fi
}

# check NAME COMMAND...: the command's status decides
check() {
	local name=$1
	shift
	if "$@"; then ok "$name"; else not_ok "$name" "failed: $*"; fi
}

# wait_for FILE TEXT: until TEXT is in FILE, 20 s at most
wait_for() {
	local i
	for ((i = 0; i < 400; i++)); do
		grep -qF -- "$2" "$1" 2>/dev/null && return
		sleep 0.05
	done
	return 1
}

# What runs bare guests here
guests() {
	if ! "$HK_TOP/test/guest/build-guests" "$HK_TMP/guest" "$@" 2>"$err"; then
		echo "1..0 # SKIP guests cannot be built: $(head -n 1 "$err")"
		exit 77
	fi
	guest=$HK_TMP/guest
	pc=(--debug-exit -m 16M -s 0:0,hostbridge -s 31,lpc)
}
