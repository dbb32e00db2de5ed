#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The libraries as a stranger gets them: what they export, and the installed tree
set -u
n=0
check() { # NAME COMMAND...
	local name=$1 out
	shift
	n=$((n + 1))
	if out=$("$@" 2>&1); then
		echo "ok $n - $name"
	else
		echo "not ok $n - $name"
		printf '%s\n' "$out" | sed 's/^/# /'
	fi
}
only_hk() { # nm's output
	! awk 'NF == 3 && $3 !~ /^hk_/ {print $3}' | grep .
}
archive_exports() { nm -g --defined-only "$HK_BUILD/libhyperkit.a" | only_hk; }
shared_exports() { nm -D --defined-only "$HK_BUILD/libhyperkit.so" | only_hk; }
header_functions() { # each function of the header is in both
	local f
	for f in $(grep -oE '\bhk_[a-z_]+\(' "$HK_TOP/include/hyperkit/hyperkit.h" | tr -d '(' | sort -u); do
		grep -qE "^HK_API.*\b$f\(|^HK_API .*$f\(" "$HK_TOP/include/hyperkit/hyperkit.h" || continue
		nm -g --defined-only "$HK_BUILD/libhyperkit.a" | grep -q " T $f$" || { echo "no $f in the archive"; return 1; }
		nm -D --defined-only "$HK_BUILD/libhyperkit.so" | grep -q " T $f$" || { echo "no $f in the .so"; return 1; }
	done
}
no_exec_stack() { readelf -lW "$HK_BUILD/libhyperkit.so" | grep GNU_STACK | grep -q 'RW '; }
install_tree() {
	env -u MAKEFLAGS -u MAKELEVEL make -s --no-print-directory -C "$HK_TOP" -o all B="$HK_BUILD" MODE=release DESTDIR="$HK_TMP/root" PREFIX=/usr install &&
		for f in bin/hyperkit lib/libhyperkit.a lib/libhyperkit.so.0 lib/libhyperkit.so \
			lib/pkgconfig/hyperkit.pc include/hyperkit/hyperkit.h; do
			[ -e "$HK_TMP/root/usr/$f" ] || { echo "$f is missing"; return 1; }
		done
}
link_installed() { # [PKG-CONFIG-OPTION]: against the installed tree and nothing else
	local flags
	flags=$(PKG_CONFIG_LIBDIR=$HK_TMP/root/usr/lib/pkgconfig pkg-config --define-prefix "$@" \
		--cflags --libs hyperkit) || return 1
	# shellcheck disable=SC2086 # words are wanted
	"${CC:-gcc}" -o "$HK_TMP/example" "$HK_TOP/examples/boot_linux.c" $flags &&
		LD_LIBRARY_PATH=$HK_TMP/root/usr/lib "$HK_TMP/example" 2>&1 | grep -q usage
}
link_archive() { # where there is no shared library
	rm -f "$HK_TMP"/root/usr/lib/libhyperkit.so* && link_installed --static
}

if [ "$HK_MODE" != release ]; then
	echo "1..0 # SKIP a sanitizer adds symbols of its own: release only"
	exit 77
fi
check the_archive_exports_only_hk_names archive_exports
check the_shared_library_exports_only_hk_names shared_exports
check every_function_of_the_header_exists header_functions
check the_stack_is_not_executable no_exec_stack
check install_puts_everything_in_its_place install_tree
check a_program_links_with_the_installed_library link_installed
check a_program_links_with_the_archive_alone link_archive
echo "1..$n"
