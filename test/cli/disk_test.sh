#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# hyperkit disk: images of ours read by qemu-img and the other way round
# timeout: 240
. "$HK_TOP/test/cli/lib.sh"

if ! command -v qemu-img >/dev/null; then
	echo "1..0 # SKIP qemu-img: not installed (qemu-utils)"
	exit 77
fi
cd "$HK_TMP" || exit 1
export LC_ALL=C

qemu() { qemu-img "$@" >"$out" 2>"$err"; }
same() { # NAME FORMAT A FORMAT B: both programs say so
	if ! qemu compare -f "$2" -F "$4" "$3" "$5"; then
		not_ok "$1" "qemu-img compare says no"
		return
	fi
	run disk compare -f "$2" -F "$4" --backing "$3" "$5"
	expect "$1" 0 "" "the same"
}
clean() { # NAME FILE: neither program finds anything
	if ! qemu check -f qcow2 "$2"; then
		not_ok "$1" "qemu-img check finds something"
		return
	fi
	run disk check -f qcow2 "$2"
	expect "$1" 0 "" "no errors"
}

# --- something to copy: data, zeros, holes, an odd length, lines that compress
make_raw() { # FILE SECTORS-AT-END
	head -c 3000000 /dev/urandom >"$1"
	truncate -s 6M "$1"
	for i in $(seq 40000); do echo "line $((i % 100)) of a text that compresses"; done >>"$1"
	truncate -s $((24 * 1048576 + $2 * 512)) "$1"
	head -c 70000 /dev/urandom | dd of="$1" bs=1k seek=20000 conv=notrunc status=none
}
make_raw a.raw 3
cp a.raw keep.raw

# --- create
run disk create -f qcow2 new.qcow2 1g
expect "create makes an image" 0 ""
clean "a new image is clean" new.qcow2
qemu info --output=json -f qcow2 new.qcow2
check "qemu-img sees its size" grep -q '"virtual-size": 1073741824' "$out"
run disk create -f qcow2 new.qcow2 1g
expect "an existing file is not overwritten" 1 "File exists"
run disk create -f qcow2 --force new.qcow2 2g
expect "but with --force" 0 ""
run disk info new.qcow2
expect "info tells the size" 0 "" "size: 2147483648"
run disk create -f raw new.raw 3m
expect "a raw image is created" 0 ""
check "and has its length" [ "$(stat -c %s new.raw)" = 3145728 ]
for o in cluster_size=512 cluster_size=4k,refcount_bits=1 cluster_size=2m refcount_bits=64 \
	version=2 lazy_refcounts; do
	run disk create -f qcow2 --force -o $o x.qcow2 64m
	expect "create -o $o" 0 ""
	clean "create -o $o: clean" x.qcow2
done
run disk create -f qcow2 -o cluster_size=3k x2.qcow2 1m
expect "clusters are powers of two" 1 "clusters of 3072 bytes"
check "what could not be made is not left behind" [ ! -e x2.qcow2 ]
run disk create -f qcow2 -o nonsense=1 x2.qcow2 1m
expect "unknown options are refused" 1 "bad option -o nonsense=1"
run disk create -f qcow2 -o cluster_size=512 x2.qcow2 1t
expect "a disk too large for its clusters is refused" 1 "larger clusters"
run disk create -f vmdk x2.qcow2 1m
expect "unknown formats are refused" 1 "unknown format vmdk"

# --- convert: raw -> qcow2 -> raw, ours and theirs
run disk convert -f raw -O qcow2 a.raw a.qcow2
expect "raw becomes qcow2" 0 ""
clean "the result is clean" a.qcow2
same "and has the same content" raw a.raw qcow2 a.qcow2
check "zeros take no space" [ "$(stat -c %s a.qcow2)" -lt 9000000 ]
run disk convert -f qcow2 -O raw a.qcow2 b.raw
expect "qcow2 becomes raw" 0 ""
check "raw again is what it was" cmp a.raw b.raw
for o in compat=0.10 cluster_size=512 cluster_size=2M refcount_bits=1 refcount_bits=8 refcount_bits=64 \
	lazy_refcounts=on; do
	qemu convert -f raw -O qcow2 -o $o a.raw q.qcow2
	same "qemu-img's -o $o is read" raw a.raw qcow2 q.qcow2
	clean "and checks clean" q.qcow2
done
qemu convert -c -f raw -O qcow2 a.raw q.qcow2
same "zlib clusters are read" raw a.raw qcow2 q.qcow2
clean "compressed clusters check clean" q.qcow2
qemu convert -c -f raw -O qcow2 -o cluster_size=4k a.raw q.qcow2
same "small zlib clusters are read" raw a.raw qcow2 q.qcow2
qemu convert -c -f raw -O qcow2 -o compression_type=zstd a.raw q.qcow2
same "zstd clusters are read" raw a.raw qcow2 q.qcow2
clean "zstd clusters check clean" q.qcow2
qemu create -f qcow2 -o preallocation=metadata pre.qcow2 64m
clean "preallocated metadata is clean" pre.qcow2

# --- writing to what qemu-img made: resize writes zeros, tables, refcounts
qemu convert -c -f raw -O qcow2 a.raw q.qcow2
run disk resize -f qcow2 --shrink q.qcow2 10m
expect "a compressed image shrinks" 0 ""
clean "and is clean" q.qcow2
run disk resize -f qcow2 q.qcow2 +2g
expect "and grows" 0 ""
clean "and is clean then" q.qcow2
truncate -s 10M a.raw && truncate -s $((10 * 1048576 + 2147483648)) a.raw
same "what was cut off does not come back" raw a.raw qcow2 q.qcow2
run disk resize -f qcow2 q.qcow2 1m
expect "nothing is lost without --shrink" 1 "smaller than it is"
cp keep.raw a.raw

# --- backing files
mkdir -p chain
cp a.raw chain/base.raw
qemu create -f qcow2 -F raw -b base.raw chain/one.qcow2
qemu-io -f qcow2 -c "write -P 7 1m 3m" -c "write -z 8m 1m" chain/one.qcow2 >/dev/null
run disk create -f qcow2 -o backing_file=one.qcow2,backing_fmt=qcow2 chain/two.qcow2 30m
expect "an image on a backing file is created" 0 ""
qemu-io -f qcow2 -c "write -P 9 2m 100k" chain/two.qcow2 >/dev/null
qemu convert -f qcow2 -O raw chain/two.qcow2 flat.raw
run disk convert -f qcow2 -O raw chain/two.qcow2 no.raw
expect "backing files are not opened unasked" 1 "backing=allow"
run disk convert -f qcow2 -O raw --backing chain/two.qcow2 ours.raw
expect "a chain is read when it may" 0 ""
check "as qemu-img reads it" cmp flat.raw ours.raw
qemu create -u -f qcow2 -F raw -b /etc/passwd evil.qcow2 1m
run disk convert -f qcow2 -O raw --backing evil.qcow2 stolen.raw
expect "a backing file elsewhere is refused" 1 "not beneath"
qemu create -u -f qcow2 -F raw -b ../a.raw chain/up.qcow2 1m
run disk convert -f qcow2 -O raw --backing chain/up.qcow2 stolen.raw
expect "and one above" 1 "leads out"
ln -s /etc/passwd chain/link
qemu create -u -f qcow2 -F raw -b link chain/l.qcow2 1m
run disk convert -f qcow2 -O raw --backing chain/l.qcow2 stolen.raw
expect "and a link to one" 1 "leads out"
qemu create -u -f qcow2 -F qcow2 -b loop.qcow2 chain/loop.qcow2 1m
run disk convert -f qcow2 -O raw --backing chain/loop.qcow2 stolen.raw
expect "an image on itself is refused" 1 "on top of each other"
check "nothing was stolen" [ ! -e stolen.raw ]

# --- internal snapshots stay as they are
qemu convert -f raw -O qcow2 a.raw s.qcow2
qemu snapshot -c before s.qcow2
clean "an image with a snapshot is clean" s.qcow2
run disk resize -f qcow2 s.qcow2 1g
expect "and keeps its size" 1 "internal snapshots"

# --- check and repair
cp a.qcow2 bad.qcow2
# 16-bit refcounts begin in the third cluster
printf '\1' | dd of=bad.qcow2 bs=1 seek=$((2 * 65536 + 2 * 100 + 1)) conv=notrunc status=none
run disk check -f qcow2 bad.qcow2
expect "a leak is found" 3 "" "leak: cluster 100 has refcount 1 and 0 references"
run disk check -f qcow2 --repair leaks bad.qcow2
expect "and mended" 0 "" "1 leaked clusters, 1 of them freed"
clean "for both" bad.qcow2
cp a.qcow2 bad.qcow2
printf '\0\0' | dd of=bad.qcow2 bs=1 seek=$((2 * 65536 + 40)) conv=notrunc status=none
run disk check -f qcow2 bad.qcow2
expect "a lost refcount is an error" 2 "" "error: cluster 20 has refcount 0"
run disk resize -f qcow2 bad.qcow2 1g
expect "an image with errors is not written" 1 "errors in its metadata"
run disk check -f qcow2 --repair all bad.qcow2
expect "and mended" 0 "" "of them repaired"
clean "for both programs" bad.qcow2
same "and nothing is lost" raw a.raw qcow2 bad.qcow2
run disk create -f qcow2 --force -o lazy_refcounts dirty.qcow2 64m
(qemu-io -f qcow2 -c "write -P 1 0 4m" -c abort dirty.qcow2 >/dev/null 2>&1) 2>/dev/null
run disk info -f qcow2 dirty.qcow2
expect "a dirty image is called that" 0 "" "dirty:"
run disk resize -f qcow2 dirty.qcow2 128m
expect "it is repaired when it is opened" 0 ""
clean "and clean then" dirty.qcow2

# --- what we do not do
qemu create -f qcow2 -o extended_l2=on ext.qcow2 1m
run disk check -f qcow2 ext.qcow2
expect "extended L2 entries are refused" 1 "extended L2"
qemu create -f qcow2 -o data_file=df.raw ext.qcow2 1m
run disk check -f qcow2 ext.qcow2
expect "data in another file is refused" 1 "another file"
# Not luks: making one measures the machine, and fails when that is busy
qemu create -f qcow2 --object secret,id=s,data=x -o encrypt.format=aes,encrypt.key-secret=s ext.qcow2 1m
run disk check -f qcow2 ext.qcow2
expect "encryption is refused" 1 "encrypted"

# --- formats are said
run disk convert -O raw a.qcow2 c.raw
expect "a qcow2 image is not taken for raw by accident" 1 "say -f qcow2"
run disk check -f qcow2 a.raw
expect "a raw image is not qcow2" 1 "not a qcow2 image"
run disk compare -f raw -F raw a.raw b.raw
expect "compare: the same" 0 "" "the same"
printf X | dd of=b.raw bs=1 seek=5000000 conv=notrunc status=none
run disk compare -f raw -F raw a.raw b.raw
expect "compare: different, and where" 1 "" "different at 5000000"
run disk
expect "no words: usage" 1 "disk create"
run disk create
expect "too few words: usage" 1 "disk create"

# --- in use
mkfifo words
qemu-io -f qcow2 a.qcow2 <words >io.log 2>&1 &
exec 8>words
echo "read 0 512" >&8
check "QEMU has the image open" wait_for io.log "read 512/512"
run disk resize -f qcow2 a.qcow2 1g
expect "an image that QEMU writes to is refused" 1 "in use"
run disk convert -f qcow2 -O raw a.qcow2 c.raw
expect "reading is, too" 1 "in use"
run disk info -f qcow2 a.qcow2
expect "looking is not" 0 "" "cluster: 65536"
echo quit >&8
exec 8>&-
wait
done_testing
