#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# virtio-rnd, -console and -balloon with Linux's drivers, modern and legacy
# timeout: 400
set -u
# shellcheck source=test/lib/boot.sh
. "$HK_TOP/test/lib/boot.sh"
need_kernel cloud

folder=$(mktemp -d /tmp/hk-virtio.XXXXXX) # a short name: socket addresses hold 107 bytes
trap 'rm -rf "$folder"' EXIT
"$HK_TOP/tools/guest-images" initrd cloud "$HK_TMP/initrd" -m virtio_balloon \
	-f "$HK_TOP/test/boot/virtio/guest.sh:bin/guest" -r /bin/guest || exit 1
HK_SLOW=$slow "$HK_BUILD/test/boot/virtio-host" soft "$kernel" "$HK_TMP/initrd" "$folder"
status=$?
[ $status = 0 ] || tr -s ' ' <"$folder/console" | tail -n 20 | sed 's/^/# console: /'
exit $status
