#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# qcow2 disks under Linux: files, fio with checks, trim; looked at with qemu-img after
# timeout: 600
set -u
# shellcheck source=test/lib/boot.sh
. "$HK_TOP/test/lib/boot.sh"
# shellcheck source=test/lib/disks.sh
. "$HK_TOP/test/lib/disks.sh"
need_kernel generic
need_programs fio mkfs.ext4 e2fsck debugfs qemu-img
vm=(--accel soft -c 2 -m 512M)
modules=(-m crc32c_generic -m ext4 -m virtio_blk -m ahci -m sd_mod)

guest_runs() {
	{ echo '#!/bin/sh'; cat; } >"$HK_TMP/guest"
	chmod 755 "$HK_TMP/guest"
	initrd=$HK_TMP/initrd
	"$HK_TOP/tools/guest-images" initrd generic "$initrd" "${modules[@]}" \
		-f "$HK_TMP/guest:bin/guest" -r /bin/guest || exit 1
}
# An image that QEMU and we find without errors or leaks
clean() {
	local log
	log=$(qemu-img check -f qcow2 "$1" 2>&1) || fail "qemu-img check ${1##*/}: $log"
	log=$("$hyperkit" disk check -f qcow2 "$1" 2>&1) || fail "disk check ${1##*/}: $log"
}
used() { stat -c %b "$1"; }

files=$HK_TMP/files
mkdir -p "$files/deep"
head -c 5000000 /dev/urandom >"$files/one"
yes "words that compress" | head -c 9000000 >"$files/two"
(cd "$files" && find . -type f | sort | xargs md5sum) >"$HK_TMP/sums" && cp "$HK_TMP/sums" "$files/sums"
ext4_image "$HK_TMP/fs" 256M "$files"
tools_folder "$HK_TMP/tools"
ext4_image "$HK_TMP/toolsraw" 256M "$HK_TMP/tools"

# ---- compressed image of qemu-img, read-only tools; an overlay on a base; small clusters
qemu-img convert -c -f raw -O qcow2 "$HK_TMP/toolsraw" "$HK_TMP/tools.qcow2"
qemu-img convert -c -f raw -O qcow2 -o compression_type=zstd "$HK_TMP/fs" "$HK_TMP/base.qcow2"
"$hyperkit" disk create -f qcow2 -o backing_file=base.qcow2,backing_fmt=qcow2 "$HK_TMP/over.qcow2" 256m
"$hyperkit" disk convert -f raw -O qcow2 -o cluster_size=4k "$HK_TMP/fs" "$HK_TMP/small.qcow2"
guest_runs <<'EOT'
mkdir -p /mnt/t /mnt/vdb /mnt/sda
mount -o ro /dev/vda /mnt/t && echo "tools are there"
mount -t devtmpfs dev /mnt/t/dev
mount -t proc proc /mnt/t/proc
mount -t tmpfs tmp /mnt/t/tmp
for d in vdb sda; do
	mount /dev/$d /mnt/$d
	(cd /mnt/$d && md5sum -s -c sums && echo "sums of $d are right")
	mkdir /mnt/t/tmp/$d && mount --bind /mnt/$d /mnt/t/tmp/$d
	chroot /mnt/t /bin/fio --name=$d --directory=/tmp/$d --rw=randrw --bsrange=4k-128k \
		--size=64M --ioengine=libaio --iodepth=16 --direct=1 --verify=crc32c --do_verify=1 \
		--verify_fatal=1 --fsync=50 --randseed=3 --verify_state_save=0 --minimal >/mnt/t/tmp/out 2>&1 &&
		echo "fio $d ok" || cat /mnt/t/tmp/out
	umount /mnt/t/tmp/$d
	rm /mnt/$d/one /mnt/$d/$d.0.0
	dd if=/dev/urandom of=/mnt/$d/new bs=64k count=100 2>/dev/null
	md5sum </mnt/$d/new >/mnt/$d/new.sum
	sync
	fstrim /mnt/$d && echo "trimmed $d"
	umount /mnt/$d && echo "unmounted $d"
done
EOT
boot 300 quiet "${vm[@]}" -s "3,virtio-blk,$HK_TMP/tools.qcow2,ro,format=qcow2" \
	-s "4,virtio-blk,$HK_TMP/over.qcow2,format=qcow2,backing=allow" \
	-s "5,ahci-hd,file://$HK_TMP/small.qcow2?sync=os&buffered=1,format=qcow,qcow-config=discard=true" </dev/null
want_status 0
want_calm
want_line '^tools are there'
for d in vdb sda; do
	want_line "^sums of $d are right"
	want_line "^fio $d ok"
	want_line "^trimmed $d"
	want_line "^unmounted $d"
done
want_no_line 'I/O error|exception Emask'
clean "$HK_TMP/over.qcow2"
clean "$HK_TMP/small.qcow2"
for i in over small; do
	qemu-img convert -f qcow2 -O raw "$HK_TMP/$i.qcow2" "$HK_TMP/$i.raw" || fail "qemu-img cannot read $i"
	[ "$("$hyperkit" disk compare -f qcow2 -F raw --backing "$HK_TMP/$i.qcow2" "$HK_TMP/$i.raw")" = "the same" ] ||
		fail "$i: we read something else than qemu-img"
	fsck_clean "$HK_TMP/$i.raw"
	[ "$(file_in "$HK_TMP/$i.raw" new | md5sum)" = "$(file_in "$HK_TMP/$i.raw" new.sum)" ] || fail "$i: new differs"
	file_in "$HK_TMP/$i.raw" two | cmp -s - "$files/two" || fail "$i: two differs"
done
verdict "file_systems_on_qcow2_are_clean_for_linux_and_for_qemu_img"

# ---- what is deleted and trimmed goes back to the host
before=$(used "$HK_TMP/small.qcow2")
guest_runs <<'EOT'
mkdir -p /mnt
mount /dev/vda /mnt
rm -r /mnt/two /mnt/new
sync
fstrim /mnt && echo "trimmed"
umount /mnt
EOT
boot 120 quiet "${vm[@]}" -s "3,virtio-blk,$HK_TMP/small.qcow2,format=qcow2" </dev/null
want_status 0
want_line '^trimmed'
clean "$HK_TMP/small.qcow2"
[ "$(used "$HK_TMP/small.qcow2")" -lt $((before - 25000)) ] ||
	fail "$before blocks before, $(used "$HK_TMP/small.qcow2") after"
verdict "trimmed_space_goes_back_to_the_host"

# ---- the VM is killed while the guest writes
cp "$HK_TMP/small.qcow2" "$HK_TMP/kill.qcow2"
guest_runs <<'EOT'
mkdir -p /mnt
mount /dev/vda /mnt
echo flushed >/mnt/flushed && sync
echo "writing"
while :; do dd if=/dev/urandom of=/mnt/big bs=64k count=300 conv=fsync 2>/dev/null; rm /mnt/big; done
EOT
boot 120 quiet "${vm[@]}" -s "3,virtio-blk,$HK_TMP/kill.qcow2,format=qcow2" </dev/null &
boot=$!
for ((i = 0; i < 900 * slow; i++)); do
	grep -qsa '^writing' "$out.raw" && break
	read -r -t 0.1 <> <(:)
done
read -r -t 1 <> <(:)
pid=$(pgrep -f "^$hyperkit .*$HK_TMP/kill.qcow2" | tail -n 1)
[ -n "$pid" ] && kill -KILL "$pid"
wait $boot
# The kernel lets go of the file when the last write of the dead has ended
for ((i = 0; i < 20; i++)); do
	"$hyperkit" disk check -f qcow2 "$HK_TMP/kill.qcow2" >"$HK_TMP/log" 2>&1
	[ $? = 1 ] || break
done
qemu-img check -f qcow2 "$HK_TMP/kill.qcow2" >"$HK_TMP/log" 2>&1
case $? in 0 | 3) ;; *) fail "qemu-img check: $(cat "$HK_TMP/log")" ;; esac
"$hyperkit" disk check -f qcow2 --repair leaks "$HK_TMP/kill.qcow2" >"$HK_TMP/log" || fail "$(cat "$HK_TMP/log")"
clean "$HK_TMP/kill.qcow2"
qemu-img convert -f qcow2 -O raw "$HK_TMP/kill.qcow2" "$HK_TMP/kill.raw"
PATH=$PATH:/usr/sbin:/sbin e2fsck -fp "$HK_TMP/kill.raw" >"$HK_TMP/log" 2>&1
[ $? -le 1 ] || fail "e2fsck: $(cat "$HK_TMP/log")"
[ "$(file_in "$HK_TMP/kill.raw" flushed)" = flushed ] || fail "what was flushed is not there"
tr -d '\r' <"$out.raw" >"$out"
verdict "a_vm_that_is_killed_leaves_a_consistent_image_with_all_that_was_flushed"
plan
