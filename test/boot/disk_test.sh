#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Disks and CDs with Linux's drivers: file systems made here, used there, checked here again
# timeout: 900
set -u
# shellcheck source=test/lib/boot.sh
. "$HK_TOP/test/lib/boot.sh"
# shellcheck source=test/lib/disks.sh
. "$HK_TOP/test/lib/disks.sh"
need_kernel generic
need_programs fio mkfs.ext4 e2fsck debugfs genisoimage prlimit
vm=(--accel soft -c 2 -m 512M)
modules=(-m crc32c_generic -m ext4 -m isofs -m virtio_blk -m ahci -m sd_mod -m sr_mod)

# What the guest runs is $HK_TMP/guest: written anew for each test
guest_runs() {
	{ echo '#!/bin/sh'; cat; } >"$HK_TMP/guest"
	chmod 755 "$HK_TMP/guest"
	initrd=$HK_TMP/initrd
	"$HK_TOP/tools/guest-images" initrd generic "$initrd" "${modules[@]}" \
		-f "$HK_TMP/guest:bin/guest" -r /bin/guest || exit 1
}

# ---- file systems: read what the host put there, write, read back, leave clean
files=$HK_TMP/files
mkdir -p "$files/deep/er"
head -c 3000000 /dev/urandom >"$files/one"
for i in 1 2 3 4 5 6 7 8; do head -c $((i * 777)) /dev/urandom >"$files/deep/er/$i"; done
(cd "$files" && find . -type f | sort | xargs md5sum) >"$HK_TMP/sums"
cp "$HK_TMP/sums" "$files/sums"
ext4_image "$HK_TMP/v" 192M "$files"
ext4_image "$HK_TMP/s" 192M "$files"
genisoimage -quiet -R -o "$HK_TMP/iso" "$files"
guest_runs <<'EOT'
for d in vda sda sr0; do
	mkdir -p /mnt/$d
	mount /dev/$d /mnt/$d || echo "no mount of $d"
	(cd /mnt/$d && md5sum -s -c sums && echo "sums of $d are right")
done
for d in vda sda; do
	dd if=/dev/urandom of=/mnt/$d/new bs=64k count=480 2>/dev/null
	cp -r /mnt/sr0/deep /mnt/$d/copy
	rm /mnt/$d/one
	sync
	echo 3 >/proc/sys/vm/drop_caches
	md5sum </mnt/$d/new >/mnt/$d/new.sum
	fstrim /mnt/$d && echo "trimmed $d"
	umount /mnt/$d && echo "unmounted $d"
done
EOT
boot 120 quiet "${vm[@]}" -s "3,virtio-blk,$HK_TMP/v" -s "4,ahci-hd,$HK_TMP/s" -s "5,ahci-cd,$HK_TMP/iso" </dev/null
want_status 0
want_calm
for d in vda sda sr0; do want_line "^sums of $d are right"; done
for d in vda sda; do want_line "^unmounted $d" && want_line "^trimmed $d"; done
want_no_line 'I/O error|exception Emask'
for d in v s; do
	fsck_clean "$HK_TMP/$d"
	[ "$(file_in "$HK_TMP/$d" new | md5sum)" = "$(file_in "$HK_TMP/$d" new.sum)" ] ||
		fail "$d: the host reads something else than the guest wrote"
	for i in 1 5 8; do
		file_in "$HK_TMP/$d" copy/er/$i | cmp -s - "$files/deep/er/$i" || fail "$d: copy/er/$i differs"
	done
done
verdict "file_systems_are_shared_with_the_host_without_a_wrong_bit"

# ---- fio writes, reads and checks what it read
tools_folder "$HK_TMP/tools"
ext4_image "$HK_TMP/toolsdisk" 256M "$HK_TMP/tools"
for f in v s; do rm -f "$HK_TMP/$f" && truncate -s 64M "$HK_TMP/$f"; done
guest_runs <<'EOT'
mkdir /mnt/t
mount -o ro /dev/vda /mnt/t
mount -t devtmpfs dev /mnt/t/dev
mount -t proc proc /mnt/t/proc
mount -t tmpfs tmp /mnt/t/tmp
for d in vdb sda; do
	for engine in libaio psync; do
		chroot /mnt/t /bin/fio --name=$d-$engine --filename=/dev/$d --rw=randrw --bsrange=512-128k \
			--size=40M --ioengine=$engine --iodepth=24 --direct=1 --verify=crc32c \
			--do_verify=1 --verify_fatal=1 --fsync=64 --randseed=7 --verify_state_save=0 \
			--minimal >/mnt/t/tmp/out 2>&1 && echo "fio $d $engine ok" || cat /mnt/t/tmp/out
	done
done
EOT
boot 300 quiet "${vm[@]}" -s "3,virtio-blk,$HK_TMP/toolsdisk,ro" -s "4,virtio-blk,$HK_TMP/v,num-queues=2" \
	-s "5,ahci-hd,$HK_TMP/s" </dev/null
want_status 0
want_calm
for d in vdb sda; do for e in libaio psync; do want_line "^fio $d $e ok"; done; done
want_no_line 'I/O error|exception Emask'
verdict "fio_finds_every_block_as_it_wrote_it"

# ---- interfaces: legacy, modern, interrupts of each kind, sector sizes, read-only
head -c 8388608 /dev/urandom >"$HK_TMP/raw"
sum=$(md5sum <"$HK_TMP/raw")
guest_runs <<'EOT'
for d in /dev/vd? /dev/sd?; do
	dd if=$d of=/dev/null bs=4k count=4 2>/dev/null
	echo "$d $(md5sum <$d) $(blockdev --getss $d) $(blockdev --getro $d) $(cat /sys/block/${d#/dev/}/queue/physical_block_size)"
done
cat /sys/block/vda/serial
echo
cat /sys/bus/virtio/devices/virtio0/features
EOT
variants=("disable-modern" "disable-legacy" "disable-legacy,vectors=0" "disable-modern,vectors=0"
	"sectorsize=4096" "sectorsize=512/512")
slots=()
for i in "${!variants[@]}"; do
	slots+=(-s "$((i + 1)),virtio-blk,$HK_TMP/raw,ro,serial=disk$i,${variants[i]}")
done
slots+=(-s "8,ahci-hd,$HK_TMP/raw,ro" -s "9,ahci-hd,$HK_TMP/raw,ro,sectorsize=4096")
boot 120 quiet "${vm[@]}" "${slots[@]}" </dev/null
want_status 0
want_calm
want_line "^/dev/vda $sum 512 1 4096"
want_line "^/dev/vdb $sum 512 1 4096"
want_line "^/dev/vdc $sum 512 1 4096"
want_line "^/dev/vdd $sum 512 1 4096"
want_line "^/dev/vde $sum 4096 1 4096"
want_line "^/dev/vdf $sum 512 1 512"
want_line "^/dev/sd. $sum 512 0 4096"
want_line "^/dev/sd. $sum 4096 0 4096"
want_line "^disk0"
[ "$(md5sum <"$HK_TMP/raw")" = "$sum" ] || fail "somebody wrote to a read-only disk"
verdict "every_interface_and_sector_size_reads_the_same"

boot 120 quiet "${vm[@]}" -W -s "3,virtio-blk,$HK_TMP/raw,ro" -s "4,ahci-hd,$HK_TMP/raw,ro" </dev/null
want_status 0
want_line "^/dev/vda $sum 512 1 4096"
want_line "^/dev/sda $sum"
verdict "without_msix_it_works_too"

boot 120 "quiet pci=nomsi" "${vm[@]}" -s "3,virtio-blk,$HK_TMP/raw,ro" -s "4,ahci-hd,$HK_TMP/raw,ro" </dev/null
want_status 0
want_line "^/dev/vda $sum 512 1 4096"
want_line "^/dev/sda $sum"
verdict "interrupt_lines_do_as_well"

# ---- the cloud kernel has virtio-blk only
if [ -e "$HK_TOP/build/guest/cloud/vmlinuz" ]; then
	"$HK_TOP/tools/guest-images" initrd cloud "$HK_TMP/initrd" -m virtio_blk -f "$HK_TMP/guest:bin/guest" \
		-r /bin/guest || exit 1
	kernel=$HK_TOP/build/guest/cloud/vmlinuz
	boot 120 quiet "${vm[@]}" -s "3,virtio-blk,$HK_TMP/raw,ro,serial=disk0,num-queues=2" </dev/null
	want_status 0
	want_line "^/dev/vda $sum 512 1 4096"
	verdict "the_cloud_kernel_reads_the_same"
	need_kernel generic
fi

# ---- on-error=pause: the host has no room, the VM waits, nothing is lost
wait_for() { # TEXT FILE, at most 60 s
	local i
	for ((i = 0; i < 600 * slow; i++)); do
		grep -qsaE -- "$1" "$2" && return
		read -r -t 0.1 <> <(:)
	done
	fail "no \"$1\" in ${2##*/}"
}
guest_runs <<'EOT'
d=/dev/$(ls /dev | grep '^[vs]da$')
echo "ready for $d"
read -r word </dev/ttyS0
yes "this is $d" | dd of=$d bs=1M count=24 iflag=fullblock 2>/dev/null && sync && echo "wrote $d"
EOT
keys=$HK_TMP/keys
mkfifo "$keys"
for d in v s; do
	rm -f "$HK_TMP/$d" "$out.raw" "$err"
	truncate -s 32M "$HK_TMP/$d"
	[ $d = v ] && dev=virtio-blk || dev=ahci-hd
	boot 120 quiet "${vm[@]}" -s "3,$dev,$HK_TMP/$d,on-error=pause" <"$keys" &
	boot=$!
	exec 8>"$keys"
	wait_for '^ready' "$out.raw"
	pid=$(pgrep -f "^$hyperkit .*$HK_TMP/$d,on-error" | tail -n 1)
	# Writes beyond 8 MiB fail now, as those to a full disk do
	prlimit --pid "$pid" --fsize=$((8 << 20)):unlimited
	echo go >&8
	wait_for 'paused: disk 0:3.0: No space left on device' "$err"
	prlimit --pid "$pid" --fsize=unlimited:unlimited
	kill -USR2 "$pid"
	wait_for '^wrote' "$out.raw"
	exec 8>&-
	wait $boot
	cmp -s -n $((24 << 20)) <(yes "this is /dev/${d}da") "$HK_TMP/$d" || fail "$d: not what was written"
done
tr -d '\r' <"$out.raw" >"$out"
verdict "a_full_host_disk_pauses_the_vm_and_nothing_is_lost"
plan
