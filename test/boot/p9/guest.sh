#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# test/boot/p9/guest.sh - runs in the guest of test/boot/p9_test.sh; says what came of it
for t in none loose owners ro diod; do mkdir -p /mnt/$t; done
try() { # TAG DIR OPTIONS
	mount -t 9p -o "trans=virtio,version=9p2000.L,$3" "$1" "/mnt/$2" || echo "p9: cannot mount $1"
}
try share none msize=512000,cache=none
p9-guest none /mnt/none
umount /mnt/none
try share loose msize=131072,cache=loose
p9-guest loose /mnt/loose loose
umount /mnt/loose
try owners owners msize=512000,cache=mmap
p9-guest owners /mnt/owners loose owners
umount /mnt/owners

# many files: unpacked, compared, deleted again but for one copy that the host looks at
mkdir /ref && tar xf /tree.tar -C /ref
for cache in none loose; do
	try share $cache msize=131072,cache=$cache
	cd /mnt/$cache && mkdir $cache && tar xf /tree.tar -C $cache && diff -r /ref $cache &&
		echo "p9: tree $cache ok"
	cp -a $cache copy && rm -rf copy && [ ! -e copy ] && echo "p9: delete $cache ok"
	cd / && umount /mnt/$cache
done
try owners owners msize=131072
tar xf /tree.tar -C /mnt/owners && diff -r /ref /mnt/owners && echo "p9: tree owners ok"
[ -L /mnt/owners/link ] && echo "p9: link owners ok"
umount /mnt/owners

try ro ro msize=65536
cat /mnt/ro/file
for what in "touch new" "rm file" "mkdir d" "mv file g" "ln -s x y" "chmod 0 file" "truncate -s 0 file"; do
	(cd /mnt/ro && $what 2>/dev/null) && echo "p9: ro allowed $what"
done
umount /mnt/ro
if grep -q hk.diod /proc/cmdline; then
	export_dir=$(sed 's/.*hk.diod=\([^ ]*\).*/\1/' /proc/cmdline)
	try diod diod msize=65536,cache=none,aname=$export_dir
	tar xf /tree.tar -C /mnt/diod && diff -r /ref /mnt/diod && echo "p9: tree diod ok"
	echo "p9: diod dies now"
	i=0
	while [ -e /mnt/diod/sub0/file0 ] && [ $i -lt 3000 ]; do
		i=$((i + 1))
		usleep 10000
	done
	cat /mnt/diod/sub1/file1 2>&1 | grep -qE "(I/O|Input/output) error" && echo "p9: dead server ok"
fi
echo "p9: done"
