#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The guest of test/boot/virtio_test.sh: runs what the port "ctl" tells it, line by line
ctl=''
while [ -z "$ctl" ]; do # names arrive a moment after the ports
	for port in /sys/class/virtio-ports/*; do
		[ -e "$port/name" ] || continue
		read -r name <"$port/name"
		[ "$name" = ctl ] && ctl=/dev/${port##*/}
	done
done
exec 3<>"$ctl"
echo ready >&3
while read -r line <&3; do
	eval "$line" >&3 2>&1
	echo "--- $?" >&3
done
