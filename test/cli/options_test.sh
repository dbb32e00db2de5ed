#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Options: what HyperKit's clients rely on - grammar, messages, exit codes, order of errors
. "$HK_TOP/test/cli/lib.sh"

kernel=$HK_TMP/kernel
head -c 4096 /dev/zero >"$kernel"
fw=(-f "kexec,$kernel")

# --- ends at once
run -h
expect "-h prints the usage on stderr and succeeds" 0 "Usage: hyperkit"
check "-h leaves stdout empty" [ ! -s "$out" ]
run --help
expect "--help does as -h" 0 "Usage: hyperkit"
run -v
expect "-v prints version, homepage and license on stderr" 0 "Homepage: https://github.com/docker/hyperkit"
check "the version line is what minikube parses" \
	grep -qE '^hyperkit: v0\.(20(19|[2-9][0-9])[0-9]{4})' "$err"
check "the version is followed by an empty line" [ -z "$(sed -n 2p "$err")" ]
check "the license line is there" grep -qx 'License: BSD' "$err"
run -m nonsense -v
expect "options act left to right: a bad -m before -v" 64 "invalid memsize 'nonsense'"
run -v -m nonsense
expect "options act left to right: -v before a bad -m" 0 "hyperkit: v0"
run
expect "no -f: usage and 1" 1 "Usage: hyperkit"
run -z
expect "an unknown option: usage and 1" 1 "hyperkit: illegal option -- z"
run -p 0:0 "${fw[@]}"
expect "-p is in old manuals but no option" 1 "illegal option -- p"
run -f
expect "a missing argument" 1 "hyperkit: option requires an argument -- f"
run --nonsense
expect "an unknown long option" 1 "illegal option -- -nonsense"
run --accel
expect "a long option without its argument" 1 "option requires an argument -- accel"
run positional -v
expect "parsing stops at the first word that is no option" 1 "Usage:"

# --- memory
for m in '' x 12q -5 99999999999999999999 17179869184g; do
	run -m "$m" "${fw[@]}"
	expect "-m '$m' is invalid" 64 "hyperkit: invalid memsize '$m'"
done
run -m 1000001b "${fw[@]}"
expect "-m that is no multiple of 4096" 1 "Unable to setup memory (22)"
run -m 0 "${fw[@]}"
expect "-m 0" 1 "Unable to setup memory (22)"
run -m 1000001 "${fw[@]}"
expect "a number below 1 Mi means MiB and is too much" 1 "memory size"
for m in 16 0x10 020 16M 16mxyz 16384k 16777216; do
	run -m "$m" "${fw[@]}"
	expect "-m $m is taken: the next mistake is reported" 1 "$kernel"
done

# --- CPUs
run -c 0 "${fw[@]}"
expect "-c 0" 1 "Invalid guest vCPUs (0)"
run -c x "${fw[@]}"
expect "-c is read as atoi does" 1 "Invalid guest vCPUs (0)"
run -c 65 "${fw[@]}"
expect "-c 65" 1 "65 vCPUs requested but only 64 available"
run -c -3 "${fw[@]}"
expect "-c -3" 1 "Invalid guest vCPUs (-3)"
run -c 65 -m 1000001b "${fw[@]}"
expect "-c is checked before -m's granularity" 1 "65 vCPUs"

# --- PCI slots
for s in 0 x,lpc 32,lpc 0:8,lpc 256:0:0,lpc -1,lpc 0:0:8,lpc ,lpc; do
	run -s "$s" "${fw[@]}"
	expect "-s $s is no slot" 1 "Invalid PCI slot info field \"$s\""
done
run -s 3,virtio-bulk "${fw[@]}"
expect "an unknown device" 1 'pci slot 3:0: unknown device "virtio-bulk"'
run -s 3,LPC "${fw[@]}"
expect "device names are case-sensitive" 1 'unknown device "LPC"'
run -s 3,hostbridge -s 3:0,lpc "${fw[@]}"
expect "an occupied slot" 1 "pci slot 3:0 already occupied!"
run -s 0:3:1,hostbridge -s 3:1,nonsense "${fw[@]}"
expect "occupied is said before unknown" 1 "pci slot 3:1 already occupied!"
run -s 3:0x,hostbridge -s 4:2:,lpc "${fw[@]}"
expect "junk behind slot numbers is ignored" 1 "$kernel"
run -s 1,lpc -s 2,lpc "${fw[@]}"
expect "a second lpc" 1 "pci slot 2:0"
for d in ahci-hd ahci-cd virtio-blk virtio-net virtio-tap virtio-vpnkit virtio-9p virtio-sock virtio-rnd; do
	if "$hk" info | grep -qE "^  $d "; then continue; fi
	run -s 2,$d,/some/thing "${fw[@]}"
	expect "$d is refused by name until it is there" 1 "pci slot 2:0: device \"$d\" is not built into this version"
done

run -M -U 01234567-89ab-cdef-0123-456789abcdef -s 3,virtio-tap -s 2,virtio-net "${fw[@]}"
expect "-M prints the address of the virtio-net device" 0 "" "MAC: 02:c5:2b:d3:f1:d5"
run -M -s 2,virtio-net,vmnet0,mac=02:03:04:05:06:07 "${fw[@]}"
expect "-M prints the address that was given" 0 "" "MAC: 02:03:04:05:06:07"
run -M -s 2,virtio-net,mac=01:03:04:05:06:07 "${fw[@]}"
expect "-M says what is wrong with it" 1 "Invalid MAC address"

# --- firmware
for f in nonsense kexec kexec, multiboot; do
	run -f "$f"
	expect "-f $f is no firmware" 1 "Invalid firmware argument"
done
run -f fbsd,a,b,c
expect "-f fbsd cannot work" 1 "cannot work on Linux"
run -f bootrom,x
expect "-f bootrom says that it is not there" 1 "bootrom is not built"
run -f nonsense "${fw[@]}"
expect "every -f is checked, not only the last" 1 "Invalid firmware argument"
run -f kexec,/no/such/kernel
expect "a kernel that is not there: one line and 1" 1 "/no/such/kernel"
check "... one line, really" [ "$(wc -l <"$err")" = 1 ]
run -f kexecfoo,/no/such/kernel
expect "the loader's name is compared by prefix" 1 "/no/such/kernel"
run "${fw[@]}"
expect "a kernel that is none" 1 "$kernel"
check "... one line, too" [ "$(wc -l <"$err")" = 1 ]
run -f "multiboot,$kernel"
expect "a multiboot kernel that is none" 1 "$kernel"
run -f "kexec,$HK_TMP"
expect "a kernel that is a directory" 1 "$HK_TMP"

# --- serial ports
run -l com3,null "${fw[@]}"
expect "-l com3" 64 "hyperkit: invalid lpc device configuration 'com3,null'"
run -l COM1 -l cOm2,null -s 31,lpc "${fw[@]}"
expect "port names are in any case; none is connected by itself" 1 "$kernel"
run -l "com1,log=$HK_TMP/ring" -s 31,lpc "${fw[@]}"
expect "log alone is an error" 1 "Unable to initialize backend 'log=$HK_TMP/ring' for LPC device COM1"
run -l com2,asl -s 31,lpc "${fw[@]}"
expect "asl alone is an error" 1 "Unable to initialize backend 'asl' for LPC device COM2"
run -l "com1,$HK_TMP/no-tty" -s 31,lpc "${fw[@]}"
expect "a terminal that is not there" 1 "Unable to initialize backend '$HK_TMP/no-tty' for LPC device COM1"
run -l "com1,$kernel" -s 31,lpc "${fw[@]}"
expect "a file that is no terminal" 1 "Unable to initialize backend '$kernel' for LPC device COM1"
run -l com1,stdio -l com2,stdio -s 31,lpc "${fw[@]}"
expect "stdio serves one port only" 1 "Unable to initialize backend 'stdio' for LPC device COM2"
run -l com1,/no/tty -l com1,stdio -s 31,lpc "${fw[@]}"
expect "the last -l of a port wins" 1 "$kernel"
run -l com1,/no/tty "${fw[@]}"
expect "without an lpc device -l opens nothing" 1 "$kernel"
run -l "com1,null,log=$HK_TMP/ring" -s 31,lpc "${fw[@]}"
expect "null and log" 1 "$kernel"
check "the ring log has 64 KiB" [ "$(stat -c %s "$HK_TMP/ring")" = 65536 ]

# --- others
run -U nonsense "${fw[@]}"
expect "-U that is no UUID" 1 "nonsense"
run --accel abacus "${fw[@]}"
expect "--accel that is none" 1 "unknown accelerator 'abacus'"
run --log loud "${fw[@]}"
expect "--log that is none" 1 "unknown log level 'loud'"
run -g 1234 "${fw[@]}"
expect "-g says that it is not there" 1 "not built into this version"
run -ACHMPYWuwx "${fw[@]}"
expect "flags may be joined; those without effect are taken" 1 "$kernel"

# --- info
run info
expect "info names the accelerators" 0 "" "soft"
check "info says which one is taken" grep -qE '^--accel auto takes (kvm|soft)\.$' "$out"
check "info lists devices" grep -qE '^  lpc ' "$out"

done_testing
