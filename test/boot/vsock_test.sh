#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# virtio-sock with Linux's driver: test/boot/vsock/host.c embeds the VM, guest.c runs in it
# timeout: 300
set -u
# shellcheck source=test/lib/boot.sh
. "$HK_TOP/test/lib/boot.sh"
need_kernel generic

folder=$(mktemp -d /tmp/hk-vsock.XXXXXX) # a short name: socket addresses hold 107 bytes
trap 'rm -rf "$folder"' EXIT
"$HK_TOP/tools/guest-images" initrd generic "$HK_TMP/initrd" -f "$HK_BUILD/test/boot/vsock-guest:bin/vsock-guest" || exit 1
if [ $slow != 1 ]; then
	export HK_VSOCK_BYTES=$((8 << 20)) HK_VSOCK_CONNS=100
fi
"$HK_BUILD/test/boot/vsock-host" soft "$kernel" "$HK_TMP/initrd" "$folder"
status=$?
[ $status = 0 ] || tail -n 40 "$folder/console" | sed 's/^/# console: /'
exit $status
