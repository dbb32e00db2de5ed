#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Bad input: whatever is wrong with files and figures is told in one line, and the status is 1
. "$HK_TOP/test/cli/lib.sh"
guests exit hello

f=$HK_TMP/f
mkdir -p "$f"

# refused NAME STATUS TEXT ARG...: the last run ended so, with one line on stderr
refused() {
	local name=$1 want=$2 text=$3 lines
	shift 3
	run "$@"
	lines=$(wc -l <"$err")
	if [ "$status" = "$want" ] && [ "$lines" = 1 ] && grep -qF -- "$text" "$err" && [ ! -s "$out" ]; then
		ok "$name"
	else
		not_ok "$name" "status $status instead of $want, $lines lines on stderr, or they lack: $text"
	fi
}

# --- kernels that are none. A bzImage begins with 0x55aa at 510 and HdrS at 514
: >"$f/empty"
echo "this is text, and not a kernel" >"$f/text"
printf '\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\2\0\0\0' >"$f/png"
head -c 100000 /dev/urandom >"$f/random"
head -c 1000 "$guest/exit.elf" >"$f/elf_short"
head -c 40 "$guest/exit.elf" >"$f/elf_header"
cp "$guest/exit.elf" "$f/arm"
printf '\x28' | dd of="$f/arm" bs=1 seek=18 conv=notrunc status=none # e_machine: EM_ARM
cp "$guest/exit.elf" "$f/phnum"
printf '\xff\xff' | dd of="$f/phnum" bs=1 seek=44 conv=notrunc status=none
cp "$guest/exit.elf" "$f/phoff"
printf '\xf0\xff\xff\xff' | dd of="$f/phoff" bs=1 seek=28 conv=notrunc status=none
head -c 2000 /dev/zero >"$f/bz_bare"
printf '\x55\xaaxxHdrS\x0f\x02' | dd of="$f/bz_bare" bs=1 seek=510 conv=notrunc status=none
head -c 600 "$f/bz_bare" >"$f/bz_short"
cp "$f/bz_bare" "$f/bz_sects"
printf '\xff' | dd of="$f/bz_sects" bs=1 seek=497 conv=notrunc status=none
for k in empty text png random elf_short elf_header arm phnum phoff bz_bare bz_short bz_sects; do
	refused "kexec: $k is no kernel" 1 "$f/$k" "${pc[@]}" -f "kexec,$f/$k"
	refused "kexec: $k is no kernel, with a RAM disk" 1 "$f/$k" "${pc[@]}" -f "kexec,$f/$k,$f/text,quiet"
done
for k in empty text png random elf_short elf_header phnum phoff bz_bare; do
	refused "multiboot: $k is no kernel" 1 "$f/$k" "${pc[@]}" -f "multiboot,$f/$k"
done
refused "a kernel that is not there" 1 "$f/none" "${pc[@]}" -f "kexec,$f/none"
refused "a name that is too long" 1 "kernel: nnnn" "${pc[@]}" -f "kexec,$(printf 'n%.0s' {1..5000})"
refused "a kernel below a file" 1 "$f/text/k" "${pc[@]}" -f "multiboot,$f/text/k"
refused "a kernel that is a directory" 1 "$f" "${pc[@]}" -f "multiboot,$f"
refused "a kernel that is a device without end" 1 /dev/zero "${pc[@]}" -f "kexec,/dev/zero"
refused "a kernel that is a device without data" 1 /dev/null "${pc[@]}" -f "multiboot,/dev/null"
mkfifo "$f/fifo"
refused "a kernel that is a pipe nobody writes to" 1 "$f/fifo" "${pc[@]}" -f "kexec,$f/fifo"
ln -s loop "$f/loop"
refused "a kernel that is a link to itself" 1 "$f/loop" "${pc[@]}" -f "kexec,$f/loop"
if [ "$(id -u)" != 0 ]; then
	cp "$guest/exit.elf" "$f/secret"
	chmod 0 "$f/secret"
	refused "a kernel that may not be read" 1 "$f/secret" "${pc[@]}" -f "multiboot,$f/secret"
fi

# --- what comes with it
truncate -s 200M "$f/big"
truncate -s 1000G "$f/huge"
kernel=$HK_TOP/build/guest/cloud/vmlinuz
if [ -e "$kernel" ]; then
	head -c 200000 "$kernel" >"$f/truncated"
	refused "a truncated bzImage" 1 "$f/truncated" -m 64M -f "kexec,$f/truncated"
	refused "a RAM disk larger than RAM" 1 "$f/big" -m 96M -f "kexec,$kernel,$f/big"
	refused "a RAM disk larger than any RAM" 1 "$f/huge" -m 96M -f "kexec,$kernel,$f/huge"
	refused "a RAM disk that is not there" 1 "$f/none" -m 96M -f "kexec,$kernel,$f/none"
	refused "a RAM disk that is a directory" 1 "$f" -m 96M -f "kexec,$kernel,$f"
	refused "a kernel larger than RAM" 1 "$kernel" -m 4M -f "kexec,$kernel"
	refused "a command line that is too long" 1 "command line" -m 96M \
		-f "kexec,$kernel,,$(printf 'x%.0s' {1..70000})"
fi
refused "a module larger than RAM" 1 "$f/big" "${pc[@]}" -f "multiboot,$guest/exit.elf,$f/big"
refused "a module larger than any RAM" 1 "$f/huge" "${pc[@]}" -f "multiboot,$guest/exit.elf,$f/huge"
refused "a module that is not there" 1 "$f/none" "${pc[@]}" -f "multiboot,$guest/exit.elf,$f/none"
refused "an empty module" 1 "$f/empty" "${pc[@]}" -f "multiboot,$guest/exit.elf,$f/empty"
refused "more modules than there is room for" 1 "module" "${pc[@]}" \
	-f "multiboot,$guest/exit.elf,$(printf "$f/text:%.0s" {1..500})$f/text"

# --- absurd figures
refused "more memory than there are addresses" 1 "memory" -m 16000000g -f "multiboot,$guest/exit.elf"
refused "one byte of memory" 1 "Unable to setup memory" -m 1b -f "multiboot,$guest/exit.elf"
refused "less memory than the kernel needs" 1 "$guest/exit.elf" -m 1m -f "multiboot,$guest/exit.elf"
refused "-c that overflows" 1 "vCPUs" -c 99999999999999999999 -f "multiboot,$guest/exit.elf"
refused "-c that is empty" 1 "Invalid guest vCPUs" -c "" -f "multiboot,$guest/exit.elf"
refused "-s that is empty" 1 "Invalid PCI slot info field" -s "" -f "multiboot,$guest/exit.elf"
refused "-s with a device of no name" 1 "device" -s 3, -f "multiboot,$guest/exit.elf"
refused "-s that overflows" 1 "Invalid PCI slot" -s 99999999999999999999,lpc -f "multiboot,$guest/exit.elf"
slots=()
for ((i = 1; i < 31; i++)); do
	for ((j = 0; j < 8; j++)); do slots+=(-s "$i:$j,dummy"); done
done
run "${pc[@]}" "${slots[@]}" -f "multiboot,$guest/exit.elf"
check "240 devices work or are refused in words" [ "$status" = 15 -o "$status" = 1 ]
check "... in one line at most" [ "$(wc -l <"$err")" -le 1 ]
run "${pc[@]}" -c 64 -f "multiboot,$guest/exit.elf"
expect "64 CPUs start" 15 ""
refused "-U of 36 wrong letters" 1 "zzzzzzzz" -U zzzzzzzz-zzzz-zzzz-zzzz-zzzzzzzzzzzz -f "multiboot,$guest/exit.elf"

# --- files that are refused by the system
# A sanitizer needs address space for itself before main()
case ${HK_MODE:-release} in
asan | tsan) echo "ok $((n += 1)) - no memory for the guest: one line and 1 # SKIP a sanitizer cannot start so" ;;
*)
	(ulimit -v 60000 2>/dev/null && run "${pc[@]}" -m 2G -f "multiboot,$guest/exit.elf"; echo "$status" >"$f/status")
	status=$(cat "$f/status")
	expect "no memory for the guest: one line and 1" 1 "memory"
	check "... one line, really" [ "$(wc -l <"$err")" = 1 ]
	;;
esac
(ulimit -n 8 && run "${pc[@]}" -l com1,autopty -f "multiboot,$guest/exit.elf"; echo "$status" >"$f/status")
status=$(cat "$f/status")
check "no descriptors left: 1 or the guest runs" [ "$status" = 1 -o "$status" = 15 ]
check "... in one line at most" [ "$(grep -vc '^$' "$err")" -le 1 ]

done_testing
