# SPDX-License-Identifier: BSD-2-Clause
# test/lib/disks.sh - disk images for boots, and fio inside the guest; sourced
#
# A "tools" disk is an ext4 image that holds fio with its libraries; the guest mounts it and
# changes its root into it, so that nothing of that must fit into the RAM disk.
# shellcheck shell=bash

need_programs() { # NAME...: else the test is skipped
	local p
	for p; do
		PATH=$PATH:/usr/sbin:/sbin command -v "$p" >/dev/null && continue
		echo "1..0 # SKIP $p: not here (tools/install-deps test)"
		exit 77
	done
}

# ext4_image FILE SIZE [FOLDER]: made without root, FOLDER's content inside
ext4_image() {
	rm -f "$1"
	truncate -s "$2" "$1"
	PATH=$PATH:/usr/sbin:/sbin mkfs.ext4 -q -F -E root_owner=0:0 ${3:+-d "$3"} "$1"
}

# fsck_clean FILE: nothing to mend, and it was unmounted
fsck_clean() {
	local log
	log=$(PATH=$PATH:/usr/sbin:/sbin e2fsck -fn "$1" 2>&1) && return
	fail "e2fsck of ${1##*/}: $log"
}

# file_in FILE PATH: content of a file in an ext4 image
file_in() { PATH=$PATH:/usr/sbin:/sbin debugfs -R "cat $2" "$1" 2>/dev/null; }

# tools_folder FOLDER: fio, its libraries and loader, places to mount things
tools_folder() {
	local lib
	mkdir -p "$1"/{bin,dev,proc,sys,tmp,lib64,usr/lib}
	install -m 755 "$(command -v fio)" "$1/bin/fio"
	for lib in $(ldd "$(command -v fio)" | grep -o '/[^ ]*'); do
		mkdir -p "$1${lib%/*}"
		cp -L "$lib" "$1$lib"
	done
}
