# SPDX-License-Identifier: BSD-2-Clause
# The libraries of $(PKGS): where they are, or one line that says what to install.
# Debian 12's libzydis-dev brings no .pc file, so a library without one is taken
# when its header is where the compiler looks. Override with PKG_CFLAGS, PKG_LIBS.

# Library name, header to look for and Debian package of each name in PKGS
zydis_lib := Zydis Zycore
zydis_header := Zydis/Zydis.h
zydis_deb := libzydis-dev
liburing_lib := uring
liburing_header := liburing.h
liburing_deb := liburing-dev
zlib_lib := z
zlib_header := zlib.h
zlib_deb := zlib1g-dev
libzstd_lib := zstd
libzstd_header := zstd.h
libzstd_deb := libzstd-dev
slirp_lib := slirp
slirp_header := slirp/libslirp.h
slirp_deb := libslirp-dev

PKG_CONFIG ?= pkg-config
have_pc = $(shell $(PKG_CONFIG) --exists $(1) 2>/dev/null && echo y)
have_header = $(shell printf '\043include <%s>\n' $(1) | $(CC) $(CPPFLAGS) -E -x c - >/dev/null 2>&1 && echo y)

PKGS_PC := $(foreach p,$(PKGS),$(if $(call have_pc,$(p)),$(p)))
PKGS_PLAIN := $(filter-out $(PKGS_PC),$(PKGS))
PKG_CFLAGS ?= $(if $(PKGS_PC),$(shell $(PKG_CONFIG) --cflags $(PKGS_PC)))
PKG_LIBS_PLAIN := $(foreach p,$(PKGS_PLAIN),$(addprefix -l,$($(p)_lib)))
PKG_LIBS ?= $(if $(PKGS_PC),$(shell $(PKG_CONFIG) --libs $(PKGS_PC))) $(PKG_LIBS_PLAIN)

# Recursive: looked at by the recipe only, so `make help` and `make clean` ask nobody
PKGS_MISSING = $(foreach p,$(PKGS_PLAIN),$(if $(call have_header,$($(p)_header)),,$($(p)_deb)))
DEBS_MISSING = $(strip $(PKGS_MISSING) $(if $(shell command -v $(IASL) 2>/dev/null),,acpica-tools) \
	$(if $(shell command -v $(firstword $(CC)) 2>/dev/null),,$(firstword $(CC))))

.PHONY: deps-checked
deps-checked:
	@missing="$(DEBS_MISSING)"; if [ -n "$$missing" ]; then \
		echo "missing to build: $$missing - install with: apt-get install $$missing (or tools/install-deps build)" >&2; \
		exit 1; fi
