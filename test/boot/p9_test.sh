#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# virtio-9p with Linux's v9fs: what programs expect, trees of files, an external server
# timeout: 400
set -u
# shellcheck source=test/lib/boot.sh
. "$HK_TOP/test/lib/boot.sh"
need_kernel generic

files=${HK_P9_FILES:-600}
[ $slow = 1 ] || files=$((files / 5))
folder=$(mktemp -d /tmp/hk-p9.XXXXXX) # a short name: socket addresses hold 107 bytes
pid=''
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$folder"' EXIT
chmod 755 "$folder" # diod drops the rights of root
mkdir "$folder"/{tree,share,owners,ro,diod}
echo "read me" >"$folder/ro/file"

# A tree with files of all sizes, links, modes
for ((i = 0; i < files; i++)); do
	d=$folder/tree/sub$((i % 37))
	[ -d "$d" ] || mkdir "$d"
	head -c $((i * 7919 % 20000)) /dev/urandom >"$d/file$i"
done
ln -s sub1/file1 "$folder/tree/link"
ln "$folder/tree/sub2/file2" "$folder/tree/hard"
chmod 0751 "$folder/tree/sub3/file3"
tar cf "$folder/tree.tar" -C "$folder/tree" .

"$HK_TOP/tools/guest-images" initrd generic "$HK_TMP/initrd" -f "$HK_BUILD/test/boot/p9-guest:bin/p9-guest" \
	-f "$HK_TOP/test/boot/p9/guest.sh:bin/p9" -f "$folder/tree.tar:tree.tar" -r /bin/p9 || exit 1
initrd=$HK_TMP/initrd

map=xattr
if ! setfattr -n user.probe -v x "$folder/owners" 2>/dev/null; then
	# Without the tool or the attributes: as they are, when we may
	[ "$(id -u)" = 0 ] && map=none
fi
words="quiet hk.run=/bin/p9" more=()
if command -v diod >/dev/null || [ -x /usr/sbin/diod ]; then
	PATH=$PATH:/usr/sbin diod -f -n -e "$folder/diod" -l "$folder/diod.sock" >"$folder/diod.log" 2>&1 &
	pid=$!
	words="$words hk.diod=$folder/diod"
	more=(-s "6,virtio-9p,path=$folder/diod.sock,tag=diod")
	# The server dies when the guest is done with it
	(
		while kill -0 $pid 2>/dev/null && ! grep -qsa 'diod dies now' "$out.raw"; do read -r -t 0.1 <> <(:); done
		kill -9 $pid 2>/dev/null
	) &
fi

boot 300 "$words" --accel soft -c 2 -m 512M -s "3,virtio-9p,dir=$folder/share,tag=share" \
	-s "4,virtio-9p,dir=$folder/owners,map=$map,tag=owners" -s "5,virtio-9p,dir=$folder/ro,ro,tag=ro" \
	"${more[@]}" </dev/null

want_status 0
want_line '^p9: done'
want_calm
verdict "the_guest_runs_to_its_end"
for m in none loose owners; do
	for t in files names directories attributes mappings locks; do want_line "^$m: $t ok"; done
	verdict "programs_find_what_they_expect_$m"
done
for cache in none loose; do
	want_line "^p9: tree $cache ok"
	want_line "^p9: delete $cache ok"
	diff -r --no-dereference "$folder/tree" "$folder/share/$cache" >"$folder/diff" 2>&1 || fail "$(head -n 3 "$folder/diff")"
	[ ! -e "$folder/share/copy" ] || fail "copy is still there"
	[ "$(stat -c %a "$folder/share/$cache/sub3/file3")" = 751 ] || fail "mode"
	[ "$(stat -c %h "$folder/share/$cache/hard")" = 2 ] || fail "hard link"
	verdict "a_tree_unpacked_is_the_same_on_the_host_$cache"
done
want_line "^p9: tree owners ok"
want_line "^p9: link owners ok"
[ "$map" != xattr ] || [ ! -L "$folder/owners/link" ] || fail "a symlink on the host"
verdict "a_tree_with_owners_is_kept"
want_line '^read me'
want_no_line '^p9: ro allowed'
[ "$(ls "$folder/ro")" = file ] || fail "the read-only directory changed"
verdict "a_read_only_directory_stays_as_it_is"
if [ -n "$pid" ]; then
	want_line "^p9: tree diod ok"
	want_line "^p9: dead server ok"
	diff -r --no-dereference "$folder/tree" "$folder/diod" >"$folder/diff" 2>&1 || fail "$(head -n 3 "$folder/diff")"
	verdict "an_external_server_serves_and_its_death_is_an_io_error"
else
	n=$((n + 1))
	echo "ok $n - an_external_server_serves # SKIP diod: not installed"
fi
plan
